//! What the benchmarks share: profiles of any size that are the same on every machine.
//!
//! Profiles are generated and not kept as files, because the large ones are hundreds of megabytes. Small real ones are
//! in `crates/profile/tests/golden`.

mod generate;
mod random;
mod rows;

pub use self::{
    generate::{Shape, generate},
    random::Random,
    rows::encode_rows,
};

/// `full` under `cargo bench`, a thousandth of it (and at least 100) under `cargo test`, which only asks whether a
/// benchmark still runs.
pub fn n_samples(full: usize) -> usize {
    if std::env::args().any(|arg| arg == "--bench") { full } else { (full / 1000).max(100) }
}
