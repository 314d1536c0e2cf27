//! The program from outside: what is typed, what comes out, how it ends.
//!
//! One binary, linked once. `commands` has what works, by command; `errors` what is refused and how; `docs` runs the
//! commands that help and manuals show; `servers` what `flamesql check` says of servers that are played back;
//! `serve` a server of our own. A new case goes where its neighbours are.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod docs;
mod errors;
#[path = "../../backend/tests/replay.rs"]
#[expect(dead_code, reason = "the backend's own tests use more of it")]
mod replay;
mod run;
mod serve;
mod servers;
