//! Continuous profiles as plain data: what they are called, when they were taken, which stacks they hold.
//!
//! The nouns are [`ProfileType`], [`Labels`], [`Timestamp`], [`TimeRange`], [`Step`], [`Series`] and, for stacks,
//! [`StackTree`]: a trie of function names in struct-of-arrays form with one value for each stack; [`diff`] and
//! [`TreePair`] compare two of them. The codecs read
//! and write the formats that profiles travel in: [`pprof`], [`folded`] text, [`flamebearer`] levels and the trees that
//! Pyroscope's servers send ([`pyroscope_tree`]). Nothing here does I/O or waits.
//!
//! ```
//! use flamesql_profile::{StackTreeBuilder, folded};
//!
//! let tree = folded::decode("main;serve;parse 3\nmain;serve 1\nmain;gc 2\n".as_bytes())?.into_tree();
//! assert_eq!(tree.total()?, 6);
//! let hottest = tree.functions()?.into_iter().max_by_key(|f| f.self_value).unwrap();
//! assert_eq!(tree.names().get(hottest.name.unwrap()), "parse");
//!
//! // Trees merge function by function.
//! let mut both = StackTreeBuilder::new();
//! both.merge(&tree)?;
//! both.merge(&tree)?;
//! assert_eq!(both.finish().total()?, 12);
//! # Ok::<(), flamesql_profile::Error>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod duration;
mod error;
pub mod flamebearer;
pub mod folded;
mod functions;
mod gzip;
mod labels;
mod names;
mod pair;
pub mod pprof;
mod profile_type;
pub mod pyroscope_tree;
mod series;
mod time;
mod tree;
mod truncate;
mod unit;
mod wire;

pub use self::{
    duration::{format_duration, parse_duration, parse_time},
    error::{Error, ErrorKind},
    functions::{CallEdge, FunctionTotals},
    labels::Labels,
    names::{NameId, Names},
    pair::{PairVisit, TreePair, diff},
    profile_type::ProfileType,
    series::{Point, Series},
    time::{Step, TimeRange, Timestamp},
    tree::{NodeId, StackTree, StackTreeBuilder, SubsetScratch, Visit},
    unit::{Unit, format_value},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeRuns;
