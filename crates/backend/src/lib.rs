//! Where profiles come from: one object-safe trait, [`Backend`], and the sources that this crate knows.
//!
//! [`Memory`] holds profiles that were put into it; [`Files`] (feature `files`) is a file or a folder of pprof and
//! folded files; `Legacy` (feature `legacy`) is a Pyroscope server of before 1.0; [`Split`] stands before a source that
//! takes short ranges only. A backend answers aggregates over a half-open range of time: the series or the merged stacks
//! of what a [`Select`] names, one for each group of a [`Grouping`], and tells in a [`Report`] what that came to. The
//! checks that every backend must pass are in `conformance` (feature `conformance`).
//!
//! ```
//! use flamesql_backend::{Backend, Bins, GroupBy, Grouping, Memory, Report, Select};
//! use flamesql_profile::{Labels, ProfileType, TimeRange, Timestamp, folded};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
//! let memory = Memory::new();
//! for (pod, text) in [("a", "main;work 3"), ("b", "main;work 4"), ("b", "main 1")] {
//!     let labels: Labels = [("pod", pod)].into_iter().collect();
//!     let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
//!     memory.insert(&cpu, &labels, Timestamp::from_nanos(1), 0, &tree).unwrap();
//! }
//! let select = Select::new(cpu, "{}".parse().unwrap(), TimeRange::ALL);
//! let by_pod = Grouping { labels: GroupBy::Labels(vec!["pod".into()]), time: Bins::Whole };
//! let series = memory.series(&select, &by_pod, &Report::new()).await?.series;
//! let sums: Vec<(String, i64)> = series.iter().map(|s| (s.labels.to_string(), s.points[0].value)).collect();
//! assert_eq!(sums, [(r#"{pod="a"}"#.to_owned(), 3), (r#"{pod="b"}"#.to_owned(), 5)]);
//! # Ok::<(), flamesql_backend::Error>(())
//! # }).unwrap();
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod cache;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(all(feature = "legacy", feature = "pyroscope"))]
mod detect;
mod digest;
mod error;
#[cfg(feature = "files")]
mod files;
mod group;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "legacy")]
mod legacy;
mod marks;
mod memory;
mod only;
#[cfg(feature = "pyroscope")]
mod pyroscope;
mod query;
mod report;
#[cfg(feature = "http")]
mod room;
mod split;

#[cfg(all(feature = "legacy", feature = "pyroscope"))]
pub use self::detect::{BackendType, Server, ServerKind};
#[cfg(feature = "files")]
pub use self::files::{Files, FilesOptions};
#[cfg(all(feature = "conformance", feature = "http"))]
#[doc(hidden)]
pub use self::http::door;
#[cfg(feature = "http")]
pub use self::http::{HttpOptions, Proxy, Secret, Timeouts, TlsOptions, server_address};
#[cfg(feature = "legacy")]
pub use self::legacy::{Legacy, LegacyOptions};
#[cfg(feature = "pyroscope")]
pub use self::pyroscope::{Generation, Pyroscope, PyroscopeOptions};
pub use self::{
    backend::{Backend, Capabilities, OnlyCapabilities, Question, StackStream, Weigh},
    cache::Cached,
    error::{Error, ErrorKind, Notice},
    memory::{Batch, Memory},
    query::{
        Annotation, Bins, Exemplar, GroupBy, Grouping, HeatmapCell, LabelSet, MetaQuery, Only,
        ProfileRow, Select, SeriesAnswer, StackGroup, is_uuid,
    },
    report::{Coverage, Report},
    split::Split,
};

/// The README's example compiles.
#[cfg(all(doctest, feature = "files"))]
#[doc = include_str!("../README.md")]
struct Readme;
