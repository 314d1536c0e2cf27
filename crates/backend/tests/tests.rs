//! All integration tests but two (`memory_bound.rs` and `answer_memory.rs` measure their processes), so that there is one
//! program to link.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

// Answers that are wrong in themselves.
mod answers;
// What all backends have to do, asked of ours.
mod backends;
// Files that are not what they seem, and folders with traps.
mod bad_input;
// The example program.
mod example;
// All that can go wrong between us and a server.
mod faults;
// What `Files` makes of paths, names, sample labels and times.
mod files;
// The legacy Pyroscope server.
mod legacy;
// Backends that lie: each check has to be able to fail.
mod liars;
// A server that is there.
mod live;
// Single profiles, heat maps and notes, from bytes.
mod maps;
// Choices by span, trace and profile, and what reading files came to.
mod only;
// What real servers answered, held against the shop, and what they are asked.
mod recorded;
// The invented shop, added up by another path.
mod shop;
// Ranges longer than a source takes: slices, and what becomes of them.
mod split;

mod faulty;
mod legacy_model;
mod replay;
mod support;
