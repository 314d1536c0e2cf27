//! All integration tests of the engine in one binary.
//!
//! `example` runs what users are told to run; `law` holds the same statements against a relation that is written out row by row; `explain` what a backend is
//! asked for; `shop` numbers of real files; `statements` what users type, and type wrongly.

mod example;
mod explain;
mod law;
mod relation;
mod shop;
mod statements;
