//! Fuzz targets: functions that take any bytes and panic where a promise is broken.
//!
//! A target asks for more than "no panic": what can be read is written and read again, sums are taken twice in
//! different ways. They are plain functions so that `cargo test` drives them with proptest on any compiler; the
//! libFuzzer wrappers, which need a nightly one, are in `fuzz/libfuzzer`.

mod flamebearer;
mod flameql;
mod folded;
mod pprof;
mod pyroscope_tree;
mod selector;
mod time;
mod tree;

pub use self::{
    flamebearer::flamebearer, flameql::flameql, folded::folded, pprof::pprof,
    pyroscope_tree::pyroscope_tree, selector::selector, time::time,
};

/// A function that takes any bytes and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// The targets by their names, which are also those of their folders in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("flamebearer", flamebearer),
    ("flameql", flameql),
    ("folded", folded),
    ("pprof", pprof),
    ("pyroscope_tree", pyroscope_tree),
    ("selector", selector),
    ("time", time),
];

/// An error is one line, and the place it names lies in the input. That of compressed input is not known here.
fn check_error(error: &flamesql_profile::Error, input: &[u8]) {
    let shown = error.to_string();
    assert!(!shown.contains('\n'), "an error of several lines: {shown:?}");
    if !input.starts_with(&[0x1f, 0x8b]) {
        assert!(error.offset().is_none_or(|at| at <= input.len()), "{shown}");
    }
}
