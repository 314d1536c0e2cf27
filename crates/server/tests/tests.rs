//! All integration tests, so that there is one program to link.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

// The HTTP API of data sources; with `cargo test --workspace` its feature is on.
#[cfg(feature = "datasource")]
mod api;
// What is too much, what breaks off, and what changes meanwhile.
mod bad_input;
// Who waits for whom, and how connections and the server end.
mod connections;
// What every backend has to do, asked of this server by way of the adapter of Pyroscope.
mod conformance;
// The guise of the legacy server.
mod legacy;
// Statuses, forms, limits, and who may ask.
mod protocol;
// What a real server answered, and this one.
mod recorded;
// Flame graphs by GET.
mod render;

mod shop;
#[path = "../../backend/tests/support.rs"]
#[expect(dead_code, reason = "the tests of another crate use the rest")]
mod support;
mod wire;
