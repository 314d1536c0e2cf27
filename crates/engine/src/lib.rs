//! SQL over continuous profiles.
//!
//! An [`Engine`] holds sources; each is a schema with the same tables. A [`Session`] runs statements and answers in
//! Arrow record batches. What a statement adds up is asked from the backend as one aggregate where that gives exactly
//! the same answer, so that a sum over a million samples never builds a million rows; [`law`] says when.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flamesql_backend::Memory;
//! use flamesql_engine::{Engine, output::{self, Format}};
//! use flamesql_profile::{Labels, ProfileType, Timestamp, folded};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let memory = Memory::new();
//! let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
//! let tree = folded::decode(b"main;parse 3\nmain;render 4\nmain 1\n")?.into_tree();
//! memory.insert(&cpu, &Labels::default(), Timestamp::from_nanos(1), 0, &tree)?;
//!
//! let engine = Engine::builder().source("demo", Arc::new(memory)).build()?;
//! let answer = engine
//!     .session()
//!     .query("SELECT function, sum(self) AS self, sum(total) AS total FROM functions GROUP BY 1 ORDER BY 2 DESC")
//!     .await?;
//! let mut text = Vec::new();
//! output::write_all(Format::Csv, answer, &mut text).await?;
//! assert_eq!(String::from_utf8(text)?, "function,self,total\nrender,4,4\nparse,3,3\nmain,1,8\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod ask;
mod catalog;
mod clauses;
mod coarse;
mod condition;
mod distinct;
mod engine;
mod error;
mod flamegraph;
mod functions;
mod grouped;
pub mod law;
mod max_nodes;
mod measured;
mod meta;
mod nearest;
mod once;
mod options;
pub mod output;
mod pieces;
mod pool;
mod rounds;
mod rows;
mod scan;
mod schema;
mod session;
mod size;
mod speaks;
mod spoken;
mod sum;
mod table;
mod terms;
mod times;
mod trace;
mod types;
mod unique;
mod units;
mod values;
mod views;
mod weigh;
mod whole;
mod why;
mod yields;
mod zones;

pub use self::{
    answer::{Answer, ScanFacts},
    engine::{Engine, EngineBuilder},
    error::{Error, ErrorKind},
    options::SessionOptions,
    schema::TableKind,
    session::{Script, Session, checked_plan},
    types::{TypeChoice, resolve_profile_type},
};
pub use datafusion;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeRuns;
