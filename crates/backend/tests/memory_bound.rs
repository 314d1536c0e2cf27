//! A folder is merged without holding all of it: a program of its own, because it measures its whole process.
//!
//! Nothing is timed and no size is fixed: the peak with a small budget is compared with the peak with a large one.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, thread};

use flamesql_backend::{Backend, Files, FilesOptions, Grouping, Report, Select};
use flamesql_profile::{ProfileType, StackTreeBuilder, TimeRange, Timestamp, pprof};
use flamesql_selector::Selector;
use futures::StreamExt;

/// A line of this process' status in KiB.
fn status(name: &str) -> i64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// By how many KiB answering makes the process grow beyond what it was ever before.
fn growth(root: &Path, cache_bytes: usize, expected: i64) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let before = status("VmHWM:");
    let mut options = FilesOptions::default();
    options.cache_bytes = cache_bytes;
    let files = Files::open_with(root, options).unwrap();
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds::").unwrap();
    let select = Select::new(cpu, Selector::all(), TimeRange::ALL);
    runtime.block_on(async {
        let answer = files.series(&select, &Grouping::default(), &Report::new()).await.unwrap();
        assert_eq!(answer.series[0].points[0].value, expected);
        let groups: Vec<_> =
            files.stacks(select, Grouping::default(), Report::new()).collect().await;
        assert_eq!(groups[0].as_ref().unwrap().tree.total().unwrap(), expected);
    });
    status("VmHWM:") - before
}

#[test]
fn a_folder_is_merged_without_holding_all_of_it() {
    // Each thread holds four files at a time, so that many more are needed to tell. Long names take much memory and
    // little time.
    let n_files = 64 * thread::available_parallelism().map_or(1, usize::from);
    let n_stacks = 32_000 / n_files;
    let root = tempfile::tempdir().unwrap();
    let mut tree = StackTreeBuilder::new();
    for n in 0..n_stacks {
        let name = tree.intern(&format!("{n} {}", "f".repeat(2000)));
        let node = tree.insert(&[name]).unwrap();
        tree.add(node, 1).unwrap();
    }
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds::").unwrap();
    let profile =
        pprof::Profile::from_tree(&cpu, &tree.finish(), Timestamp::from_nanos(1), 0).unwrap();
    let first = root.path().join("00000.pb");
    fs::write(&first, pprof::encode(&profile)).unwrap();
    for n in 1..n_files {
        fs::hard_link(&first, root.path().join(format!("{n:05}.pb"))).unwrap();
    }
    drop(profile);
    let expected = i64::try_from(n_files * n_stacks).unwrap();
    let small = growth(root.path(), 1, expected);
    let large = growth(root.path(), usize::MAX / 2, expected);
    assert!(
        small * 2 < large,
        "{small} KiB with the smallest budget, {large} KiB more with the largest"
    );
}
