//! What all backends have to do, asked of ours: see `flamesql_backend::conformance`.

use std::{collections::BTreeMap, path::Path};

use flamesql_backend::{
    Backend, Capabilities, Files, FilesOptions, Memory, OnlyCapabilities,
    conformance::{
        self, TruthProfile, sample_truth, sample_truth_with_negatives, sample_truth_with_spans,
    },
};
use flamesql_profile::{ProfileType, Step, Timestamp, pprof};

use crate::support;

fn grains() -> [Step; 3] {
    [1, 1_000_000, 10_000_000_000].map(|nanos| Step::from_nanos(nanos).unwrap())
}

async fn check_memory(truth: &[TruthProfile]) {
    let memory = support::memory(truth);
    for grain in grains() {
        let capabilities = Capabilities::local("memory").with_grain(grain);
        let capabilities = capabilities.with_only(OnlyCapabilities::ALL);
        conformance::check(&memory.clone().with_capabilities(capabilities), truth).await;
    }
}

#[tokio::test]
async fn memory_passes_at_each_grain() {
    check_memory(&sample_truth(1)).await;
}

#[tokio::test]
async fn memory_passes_with_one_group_a_request() {
    let truth = sample_truth(2);
    let memory = support::memory(&truth);
    for grain in grains() {
        let capabilities = Capabilities::local("memory").with_grain(grain).without_groups();
        let memory = memory.clone().with_capabilities(capabilities.endless());
        conformance::check(&memory, &truth).await;
    }
}

#[tokio::test]
async fn memory_passes_with_values_below_zero() {
    check_memory(&sample_truth_with_negatives(3)).await;
}

#[tokio::test]
async fn memory_passes_with_spans() {
    check_memory(&sample_truth_with_spans(10)).await;
    let mut truth = sample_truth_with_spans(11);
    for profile in truth.iter_mut().step_by(2) {
        profile.stacks.iter_mut().for_each(|(_, value)| *value = -*value);
    }
    conformance::only(&support::memory(&truth), &truth).await;
}

#[tokio::test]
async fn memory_passes_before_the_epoch_and_without_anything() {
    let mut truth = sample_truth(4);
    for profile in &mut truth {
        profile.time_nanos -= 1_795_366_200_000_000_000;
    }
    check_memory(&truth).await;
    check_memory(&[]).await;
}

/// Writes each profile as a pprof file in folders of its labels; returns the truth with the label `file`.
fn write_pprof(root: &Path, truth: &[TruthProfile]) -> Vec<TruthProfile> {
    write(root, truth, |profile| ("pb.gz", pprof::encode_gzip(&support::truth_profile(profile))))
}

/// The same as folded text, which has one type a name, and the time of the file's last change.
fn write_folded(root: &Path, truth: &[TruthProfile]) -> Vec<TruthProfile> {
    let mut truth = truth.to_vec();
    for profile in &mut truth {
        let name =
            format!("{}_{}", profile.profile_type.name(), profile.profile_type.sample_type());
        profile.profile_type = ProfileType::from_parts(&name, "samples", "count", "", "");
        // Not every file system keeps nanoseconds.
        profile.time_nanos = profile.time_nanos / 1_000_000 * 1_000_000;
        for (stack, _) in &mut profile.stacks {
            stack.iter_mut().for_each(|name| *name = name.replace(';', ":"));
        }
    }
    write(root, &truth, |profile| {
        let line = |(stack, value): &(Vec<String>, i64)| match stack.as_slice() {
            [] => format!("{value}\n"),
            stack => format!("{} {value}\n", stack.join(";")),
        };
        ("folded", profile.stacks.iter().map(line).collect::<String>().into_bytes())
    })
}

fn write(
    root: &Path,
    truth: &[TruthProfile],
    encode: impl Fn(&TruthProfile) -> (&'static str, Vec<u8>),
) -> Vec<TruthProfile> {
    let mut written = truth.to_vec();
    for (idx, profile) in written.iter_mut().enumerate() {
        let (ending, bytes) = encode(profile);
        let mut name = format!("__name__={}/", profile.profile_type.name());
        for (key, value) in &profile.labels {
            name.push_str(&format!("{}={}/", support::percent(key), support::percent(value)));
        }
        name.push_str(&format!("{idx:03}.{ending}"));
        support::write(root, &name, &bytes);
        support::touch(&root.join(&name), profile.time_nanos);
        profile.labels.insert("file".to_owned(), name);
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_pprof_pass() {
    let root = tempfile::tempdir().unwrap();
    let truth = write_pprof(root.path(), &sample_truth_with_spans(5));
    conformance::check(&Files::open(root.path()).unwrap(), &truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_pass_without_room_for_a_digest() {
    let root = tempfile::tempdir().unwrap();
    let truth = write_pprof(root.path(), &sample_truth_with_negatives(6));
    let mut options = FilesOptions::default();
    options.cache_bytes = 0;
    let files = Files::open_with(root.path(), options).unwrap();
    conformance::check(&files, &truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_folded_text_pass() {
    let root = tempfile::tempdir().unwrap();
    let truth = write_folded(root.path(), &sample_truth(7));
    let files = Files::open_with(root.path(), support::strict()).unwrap();
    conformance::check(&files, &truth).await;
    assert_eq!(files.notices(), []);
}

#[test]
fn the_sample_is_the_same_each_time_and_has_its_traps() {
    for seed in 0..20 {
        let truth = sample_truth(seed);
        assert_eq!(truth, sample_truth(seed));
        let mut sums: BTreeMap<_, i64> = BTreeMap::new();
        for profile in &truth {
            for (_, value) in &profile.stacks {
                *sums.entry(&profile.profile_type).or_default() += value;
            }
        }
        // Not what a double can hold.
        let inexact = sums.values().filter(|sum| **sum as f64 as i64 != **sum).count();
        assert!(inexact >= 1, "seed {seed}: {sums:?}");
        let is_zero = |id: &str| sums.iter().any(|(t, sum)| t.as_str() == id && *sum == 0);
        assert!(is_zero("goroutine:goroutines:count::"));
    }
    assert_ne!(sample_truth(1), sample_truth(2));
}

#[test]
fn several_questions_at_once_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let truth = write_pprof(root.path(), &sample_truth(8));
    let mut options = FilesOptions::default();
    options.cache_bytes = 20_000;
    let files = Files::open_with(root.path(), options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        // The first questions, too, come at the same time.
        tokio::join!(
            conformance::groups(&files, &truth),
            conformance::bounds(&files, &truth),
            conformance::selectors(&files, &truth),
            conformance::dropped_streams(&files, &truth),
        );
    });
}

#[tokio::test]
async fn a_coarse_grain_floors_what_is_listed() {
    let memory = Memory::new();
    let cpu = ProfileType::parse(support::CPU).unwrap();
    let stacks = support::tree(&[(vec!["main".to_owned()], 1)]);
    memory.insert(&cpu, &Default::default(), Timestamp::from_nanos(1999), 0, &stacks).unwrap();
    let grain = Step::from_nanos(1000).unwrap();
    let memory = memory.with_capabilities(Capabilities::local("memory").with_grain(grain));
    let rows = memory
        .profiles(&support::select(support::CPU, "{}"), &flamesql_backend::Report::new())
        .await
        .unwrap();
    assert_eq!(rows[0].time, Timestamp::from_nanos(1000));
}
