//! What the crate shows to its users.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod frame;
mod golden;
mod memory;
mod readers;
mod shapes;
mod types;
