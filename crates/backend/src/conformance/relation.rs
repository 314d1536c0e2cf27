//! What is true: the relation that a backend stands for, built from its definition and from nothing else.
//!
//! No line here is shared with the code that answers questions, so that a mistake there is not repeated here.

use std::collections::{BTreeMap, BTreeSet};

use flamesql_profile::{ProfileType, Step, TimeRange, Timestamp};

use super::{Query, TruthProfile};
use crate::{Bins, GroupBy};

/// Labels by name, without those that mean nothing.
pub(super) type LabelMap = BTreeMap<String, String>;
/// Types with labels.
pub(super) type LabelSets = BTreeSet<(String, LabelMap)>;
type Stack = Vec<String>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    profile_type: String,
    labels: LabelMap,
    time: i64,
    stack: Stack,
}

/// Rows with unique keys: equal keys are added up, and no value is 0.
#[derive(Debug)]
pub(super) struct Relation {
    rows: BTreeMap<Key, i64>,
    /// Keys whose values are not 0 and add up to 0: a backend may take them for there or not.
    cancelled: BTreeSet<Key>,
    types: BTreeMap<String, ProfileType>,
    negative_types: BTreeSet<String>,
    grain: i64,
}

impl Relation {
    pub(super) fn new(truth: &[TruthProfile], grain: Step) -> Self {
        let grain = grain.nanos();
        let mut sums: BTreeMap<Key, i128> = BTreeMap::new();
        let mut occupied: BTreeSet<Key> = BTreeSet::new();
        let mut sizes: BTreeMap<&str, i128> = BTreeMap::new();
        let mut negative_types = BTreeSet::new();
        let mut types = BTreeMap::new();
        for profile in truth {
            let id = profile.profile_type.as_str();
            types.insert(id.to_owned(), profile.profile_type.clone());
            let mut labels = profile.labels.clone();
            labels.retain(|name, value| !value.is_empty() && !name.starts_with("__"));
            for (stack, value) in &profile.stacks {
                let key = Key {
                    profile_type: id.to_owned(),
                    labels: labels.clone(),
                    time: below(profile.time_nanos, grain, 0),
                    stack: stack.clone(),
                };
                if *value != 0 {
                    occupied.insert(key.clone());
                }
                *sums.entry(key).or_default() += i128::from(*value);
                *sizes.entry(id).or_default() += i128::from(value.unsigned_abs());
                if *value < 0 {
                    negative_types.insert(id.to_owned());
                }
            }
        }
        for (id, size) in sizes {
            assert!(size <= i128::from(i64::MAX), "the truth of {id} adds up to more than 2^63");
        }
        let rows = sums.into_iter().filter(|(_, value)| *value != 0);
        let rows: BTreeMap<Key, i64> = rows
            .map(|(key, value)| (key, i64::try_from(value).expect("all values together fit")))
            .collect();
        let cancelled = occupied.into_iter().filter(|key| !rows.contains_key(key)).collect();
        types.retain(|id, _| rows.keys().any(|key| key.profile_type == **id));
        Self { rows, cancelled, types, negative_types, grain }
    }

    pub(super) fn grain(&self) -> i64 {
        self.grain
    }

    /// The types that have a row.
    pub(super) fn types(&self) -> Vec<ProfileType> {
        self.types.values().cloned().collect()
    }

    /// Whether parts of a sum of this type may cancel out, so that what adds up to 0 may be listed or not.
    pub(super) fn may_cancel(&self, profile_type: &ProfileType) -> bool {
        self.negative_types.contains(five_parts(profile_type))
    }

    /// The times that have a row, of one type or all.
    pub(super) fn times(&self, profile_type: Option<&ProfileType>) -> Vec<i64> {
        let asked = |key: &&Key| profile_type.is_none_or(|t| key.profile_type == t.as_str());
        let times: BTreeSet<i64> = self.rows.keys().filter(asked).map(|key| key.time).collect();
        times.into_iter().collect()
    }

    /// A range that holds every row, with room on both sides.
    pub(super) fn span(&self) -> TimeRange {
        let times = self.times(None);
        let first = times.first().copied().unwrap_or(0).saturating_sub(self.grain);
        let last = times.last().copied().unwrap_or(0).saturating_add(self.grain.saturating_mul(2));
        range(first, last)
    }

    /// All labels with all their values.
    pub(super) fn values(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in self.rows.keys().flat_map(|key| &key.labels) {
            values.entry(name.clone()).or_default().insert(value.clone());
        }
        values
    }

    fn chosen<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = (&'a Key, i64)> {
        let (from, to) = (query.range.start().nanos(), query.range.end().nanos());
        let id = five_parts(&query.profile_type);
        self.rows
            .iter()
            .filter(move |(key, _)| key.profile_type == id && from <= key.time && key.time < to)
            .filter(|(key, _)| query.condition.holds(&key.labels))
            .map(|(key, value)| (key, *value))
    }

    /// Whether a value below 0 is among the rows.
    pub(super) fn has_negative(&self, query: &Query) -> bool {
        self.chosen(query).any(|(_, value)| value < 0)
    }

    /// By group and the start of the bin: the first time and the sum.
    pub(super) fn series(&self, query: &Query) -> BTreeMap<(LabelMap, i64), (i64, i64)> {
        let mut points: BTreeMap<(LabelMap, i64), (i64, i64)> = BTreeMap::new();
        for (key, value) in self.chosen(query) {
            let point = points.entry((group(key, query), bin(key.time, query)));
            let (first, sum) = point.or_insert((key.time, 0));
            *first = key.time.min(*first);
            *sum += value;
        }
        points
    }

    /// By group and the start of the bin: the sums of the stacks.
    pub(super) fn stacks(&self, query: &Query) -> BTreeMap<(LabelMap, i64), BTreeMap<Stack, i64>> {
        let mut groups: BTreeMap<(LabelMap, i64), BTreeMap<Stack, i64>> = BTreeMap::new();
        for (key, value) in self.chosen(query) {
            let stacks = groups.entry((group(key, query), bin(key.time, query))).or_default();
            *stacks.entry(key.stack.clone()).or_default() += value;
        }
        groups
    }

    /// The series of some rows, by type and labels: those that are there, and those that may be.
    pub(super) fn label_sets(
        &self,
        profile_type: Option<&ProfileType>,
        holds: impl Fn(&LabelMap) -> bool,
        range: TimeRange,
    ) -> (LabelSets, LabelSets) {
        let is_chosen = |key: &&Key| {
            profile_type.is_none_or(|t| key.profile_type == five_parts(t))
                && range.start().nanos() <= key.time
                && key.time < range.end().nanos()
                && holds(&key.labels)
        };
        let set = |key: &Key| (key.profile_type.clone(), key.labels.clone());
        let there: LabelSets = self.rows.keys().filter(is_chosen).map(set).collect();
        let mut possible = there.clone();
        possible.extend(self.cancelled.iter().filter(is_chosen).map(set));
        (there, possible)
    }
}

/// The multiple of `step`, counted from `origin`, at or before `time`; the least number where there is none.
pub(super) fn below(time: i64, step: i64, origin: i64) -> i64 {
    let since = i128::from(time) - i128::from(origin);
    let past = since.rem_euclid(i128::from(step));
    i64::try_from(i128::from(time) - past).unwrap_or(i64::MIN)
}

/// Where the bin of a time begins, cut off at the range; the range's start if there are no bins.
pub(super) fn bin(time: i64, query: &Query) -> i64 {
    let start = query.range.start().nanos();
    match query.grouping.time {
        Bins::Whole => start,
        Bins::Every { step, origin } => start.max(below(time, step.nanos(), origin.nanos())),
    }
}

fn group(key: &Key, query: &Query) -> LabelMap {
    let mut labels = key.labels.clone();
    if let GroupBy::Labels(names) = &query.grouping.labels {
        labels.retain(|name, _| names.contains(name));
    }
    labels
}

fn five_parts(profile_type: &ProfileType) -> &str {
    let id = profile_type.as_str();
    if profile_type.is_app() { id } else { id.strip_suffix(":delta").unwrap_or(id) }
}

pub(super) fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(Timestamp::from_nanos(from), Timestamp::from_nanos(to))
        .expect("the checks ask for no range that ends before it begins")
}
