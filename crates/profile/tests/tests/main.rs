//! All integration tests of this crate in one binary.
//!
//! `golden` holds self and total of recorded and written profiles against pprof's; `hostile` feeds files that are broken,
//! each in one way; `diff` compares two trees as real servers and pprof do; `example` runs what the README tells users to
//! run.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod diff;
mod example;
mod golden;
mod hostile;

use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The files of a folder whose names end so, sorted.
fn files(name: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)))
        .collect();
    files.sort();
    files
}
