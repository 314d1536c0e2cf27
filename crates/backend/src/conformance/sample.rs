//! Profiles to check a backend with: few, and each a trap.

use std::collections::BTreeMap;

use flamesql_profile::ProfileType;

use super::{TruthMark, TruthProfile};

/// 2026-11-22T16:50:00Z, which begins a bin of every usual width.
const T0: i64 = 1_795_366_200_000_000_000;
const MILLI: i64 = 1_000_000;

const TYPES: [&str; 3] = [
    "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
    "process_cpu:samples:count:cpu:nanoseconds",
    "memory:inuse_space:bytes::",
];
/// Has profiles but no value, so it does not exist.
const ZERO_TYPE: &str = "goroutine:goroutines:count::";

const LABELS: [&[(&str, &str)]; 6] = [
    &[("service_name", "checkout"), ("pod", "c-0"), ("region", "eu"), ("k8s.cluster", "prod")],
    &[("service_name", "checkout"), ("pod", "c-1"), ("region", "us")],
    &[("service_name", "größe \"quoted\" λ"), ("pod", "a.b|c*(d)"), ("region", "eu-west")],
    &[("service_name", "back\\slash %2F /x=y"), ("region", ""), ("__hidden__", "1")],
    &[("pod", "eu"), ("region", "eu")],
    &[],
];

const STACKS: [&[&str]; 8] = [
    &["main"],
    &["main", "work"],
    &["main", "work", "work", "work"],
    &["main", "work", "main"],
    &["work"],
    &["std::rt<T, f64>", "größe \"quoted\" λ", "a b"],
    &["main", "read; then write", "<init>"],
    // A sample without a stack.
    &[],
];

/// A small generator of numbers (SplitMix64): the same on every machine, and no dependency.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let n = u64::try_from(from.len()).expect("a length fits");
        let idx = usize::try_from(self.next() % n).expect("an index fits");
        &from[idx]
    }
}

/// About sixty profiles within two minutes, the same for the same seed.
///
/// Their times are on the edges of bins, a nanosecond or a millisecond beside them and in between; labels are missing
/// or empty; values of labels and functions have quotes, letters outside ASCII and what means something in a regex, a
/// path or folded text; functions recur; a stack comes twice in a profile, and a profile twice; samples have no stack,
/// profiles no sample or only zeros; and each type has sums over 2^53, which a double cannot hold.
pub fn sample_truth(seed: u64) -> Vec<TruthProfile> {
    let mut random = Random(seed);
    let mut truth = Vec::new();
    for (idx, id) in TYPES.iter().cycle().take(54).enumerate() {
        let edge = [10_000, 15_000, 60_000][idx % 3] * MILLI;
        let near = [0, 0, -1, 1, -MILLI, MILLI, MILLI - 1, 500_000, 400 * MILLI];
        let n_edges = u64::try_from(120_000 * MILLI / edge).expect("positive");
        let edges = i64::try_from(random.next() % (n_edges + 1)).expect("small");
        let time_nanos = T0 + edges * edge + random.pick(&near);
        let mut stacks: Vec<(Vec<String>, i64)> = Vec::new();
        for _ in 0..=random.next() % 5 {
            let value = match random.next() % 10 {
                0 => 0,
                1 => (1 << 53) + 1,
                n => i64::try_from(n * (random.next() % 97)).expect("small"),
            };
            stacks.push((owned(random.pick::<&[&str]>(&STACKS)), value));
        }
        truth.push(profile(id, LABELS[idx * 7 % 6], time_nanos, stacks));
    }
    for (n, id) in (0..).zip(TYPES) {
        let over = (1 << 53) + 1 + 2 * n;
        let large = vec![(owned(STACKS[1]), over), (owned(STACKS[1]), 2), (owned(STACKS[3]), 1)];
        let twice = profile(id, LABELS[0], T0 + 30_000 * MILLI, large);
        truth.extend([twice.clone(), twice]);
        truth.push(profile(id, LABELS[4], T0 + 45_000 * MILLI, vec![(owned(STACKS[2]), 0)]));
        truth.push(profile(id, LABELS[1], T0 + 45_000 * MILLI, Vec::new()));
    }
    truth.push(profile(ZERO_TYPE, LABELS[0], T0, vec![(owned(STACKS[0]), 0)]));
    truth
}

/// As [`sample_truth`], with values below 0 in one of the types, as a stored difference has them; some cancel out.
pub fn sample_truth_with_negatives(seed: u64) -> Vec<TruthProfile> {
    let mut truth = sample_truth(seed);
    let of_type = |p: &&mut TruthProfile| p.profile_type.as_str() == TYPES[2];
    for profile in truth.iter_mut().filter(of_type).step_by(2) {
        profile.stacks.iter_mut().for_each(|(_, value)| *value = -*value);
    }
    let cancels = vec![(owned(STACKS[0]), 7), (owned(STACKS[4]), -7)];
    truth.push(profile(TYPES[2], LABELS[5], T0 + 77_000 * MILLI, cancels));
    truth
}

/// As [`sample_truth`], with spans and traces for most of the stacks: one stack in several spans, a span in several
/// profiles, a trace without a span.
pub fn sample_truth_with_spans(seed: u64) -> Vec<TruthProfile> {
    let mut truth = sample_truth(seed);
    let mut random = Random(!seed);
    let spans = ["", "", "00000000000000a1", "00000000000000a2", "0123456789abcdef"];
    let traces = ["", "000000000000000000000000000000b1", "0123456789abcdef0123456789abcdef"];
    for (idx, profile) in truth.iter_mut().enumerate().filter(|(idx, _)| idx % 4 != 3) {
        // The last stacks of some have none.
        let n = profile.stacks.len() - (idx % 2).min(profile.stacks.len());
        let mut mark = || TruthMark {
            span: (*random.pick(&spans)).to_owned(),
            trace: (*random.pick(&traces)).to_owned(),
        };
        profile.marks = (0..n).map(|_| mark()).collect();
    }
    truth
}

fn owned(stack: &[&str]) -> Vec<String> {
    stack.iter().map(|name| (*name).to_owned()).collect()
}

fn profile(
    id: &str,
    labels: &[(&str, &str)],
    time_nanos: i64,
    stacks: Vec<(Vec<String>, i64)>,
) -> TruthProfile {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let profile_type = ProfileType::parse(id).expect("the ids above have five parts");
    TruthProfile { profile_type, labels, time_nanos, stacks, marks: Vec::new() }
}
