//! All integration tests of the engine in one binary.
//!
//! `example` runs what users are told to run; `explain` holds what a backend is asked for; `law` the same statements over
//! a relation that is written out row by row, which `relation` does, and `grammar` draws them; `shop` numbers of real
//! files; `slt` runs the files that say what tables give; `statements` what users type, and type wrongly.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod example;
mod explain;
mod grammar;
mod law;
mod relation;
mod shop;
mod slt;
mod statements;
