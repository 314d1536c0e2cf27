//! All integration tests of the engine in one binary.
//!
//! `asked` counts what a source is asked; `catalogue` asks for what there is; `example` runs what users are told to run; `explain` holds what a backend is asked for; `flamegraph` whole flame graphs
//! as values; `hidden` labels that no list has; `functions` SQL's own words for stacks and values, of which `pprof` holds some against pprof's numbers;
//! `law` the same statements over a relation that is written out row by row, which `relation` does, with functions of
//! stacks that are in `words`, and `grammar` draws them; `recorded` asks servers, as far as they were recorded; `seams` has long ranges; `shop`
//! numbers of real files; `slt` runs the files that say what tables give; `statements` what users type, and type wrongly;
//! `weighed` what is added up without trees; `wire` is the way over HTTP.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod asked;
mod catalogue;
mod example;
mod explain;
mod flamegraph;
mod functions;
mod grammar;
mod hidden;
mod law;
mod pprof;
mod recorded;
mod relation;
#[path = "../../../backend/tests/replay.rs"]
#[expect(dead_code, reason = "the backend's own tests use more of it")]
mod replay;
mod seams;
mod shop;
mod slt;
mod statements;
mod weighed;
mod wire;
mod words;
