//! One profile, ready to be asked: its stacks once, its values by series and stack.
//!
//! A profile with four sample types and samples of sixty-four threads has the same stacks over and over. Here each
//! stack stands once, and every question is an addition over rows of (stack, value).

use std::{collections::HashMap, sync::Arc};

use flamesql_profile::{
    Labels, NodeId, ProfileType, StackTree, Timestamp,
    pprof::{Profile, SampleLabel, TextId},
};

use crate::{
    Error, ErrorKind,
    marks::{Mark, Marks, MarksBuilder},
};

/// A profile in columns.
#[derive(Debug)]
pub(crate) struct Digest {
    pub(crate) id: String,
    pub(crate) time: Timestamp,
    pub(crate) duration_nanos: Option<i64>,
    pub(crate) source_file: Option<Arc<str>>,
    pub(crate) types: Vec<ProfileType>,
    /// The index of the type to show first.
    #[cfg_attr(
        not(feature = "files"),
        expect(dead_code, reason = "only a file says what to show first")
    )]
    pub(crate) default_type: usize,
    /// The label sets into which the samples fall.
    pub(crate) series: Vec<Labels>,
    /// All stacks; their values here mean nothing.
    pub(crate) stacks: StackTree,
    /// How many of them have a row.
    pub(crate) n_stacks: usize,
    /// The rows of each series: where they end.
    row_ends: Vec<usize>,
    /// The stack of each row; in a series each at most once, in rising order.
    nodes: Vec<NodeId>,
    /// The values of each type, one a row.
    values: Vec<Vec<i64>>,
    /// The sums of each type, one a series; `None` if a sum in it does not fit.
    totals: Vec<Vec<Option<i64>>>,
    /// For each type whether the sum of a stack does not fit, so that no question about it has an answer.
    overflows: Vec<bool>,
    pub(crate) has_negative: Vec<bool>,
    /// The samples that say where they belong, once more.
    pub(crate) marks: Option<Box<Marks>>,
}

impl Digest {
    /// Of a decoded pprof profile. Text labels of samples split it into series, over the labels given.
    pub(crate) fn from_pprof(
        profile: &Profile,
        types: Vec<ProfileType>,
        labels: &Labels,
        time: Timestamp,
    ) -> Result<Self, Error> {
        let mut builder = profile.builder();
        let nodes = profile.insert_stacks(&mut builder).map_err(Error::sum)?;
        let mut series = SeriesIndex::new(profile, labels);
        let of_sample: Vec<u32> =
            (0..profile.n_samples()).map(|sample| series.of(sample)).collect();
        let n_series = series.sets.len();

        // Samples in the order of series and stack, by two counting sorts; then equal ones are added up.
        let by_node = counting_order(nodes.iter().map(|n| n.index()), builder.len(), None);
        let order = counting_order(of_sample.iter().map(|s| *s as usize), n_series, Some(&by_node));
        // Types with one id (a `:` in a name becomes `_`) are one type: equal keys are added up.
        let default_type = profile.default_sample_index().unwrap_or(0);
        let mut kinds: Vec<ProfileType> = Vec::with_capacity(types.len());
        let columns: Vec<usize> = types
            .into_iter()
            .map(|kind| {
                kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
                    kinds.push(kind);
                    kinds.len() - 1
                })
            })
            .collect();
        let n_types = kinds.len();
        let mut digest = Self {
            id: String::new(),
            time,
            duration_nanos: (profile.duration_nanos > 0).then_some(profile.duration_nanos),
            source_file: None,
            types: kinds,
            default_type: columns.get(default_type).copied().unwrap_or(0),
            series: std::mem::take(&mut series.sets),
            stacks: builder.finish(),
            n_stacks: 0,
            row_ends: Vec::with_capacity(n_series),
            nodes: Vec::with_capacity(nodes.len()),
            values: vec![Vec::with_capacity(nodes.len()); n_types],
            totals: vec![Vec::new(); n_types],
            overflows: vec![false; n_types],
            has_negative: vec![false; n_types],
            marks: None,
        };
        let mut marks = series.has_marks.then(|| MarksBuilder::new(profile, n_types));
        let mut has_row = vec![false; digest.stacks.len()];
        let mut last = None;
        for sample in order {
            let sample = sample as usize;
            let (series, node) = (of_sample[sample], nodes[sample]);
            while digest.row_ends.len() < series as usize {
                digest.row_ends.push(digest.nodes.len());
            }
            let is_new = last != Some((series, node));
            last = Some((series, node));
            if is_new {
                digest.nodes.push(node);
                digest.n_stacks +=
                    usize::from(!std::mem::replace(&mut has_row[node.index()], true));
                digest.values.iter_mut().for_each(|column| column.push(0));
            }
            for (kind, value) in columns.iter().zip(profile.sample_values(sample)) {
                digest.has_negative[*kind] |= *value < 0;
                let slot = digest.values[*kind].last_mut().expect("a row was begun above");
                match slot.checked_add(*value) {
                    Some(sum) => *slot = sum,
                    None => digest.overflows[*kind] = true,
                }
            }
            if let Some(marks) = &mut marks {
                // The sum of the stack does not fit either.
                if marks.add(sample, series, node, &columns).is_none() {
                    digest.overflows.fill(true);
                }
            }
        }
        digest.marks = marks.and_then(MarksBuilder::finish);
        digest.row_ends.resize(n_series, digest.nodes.len());
        digest.sum_up();
        Ok(digest)
    }

    /// Of one tree of one type.
    pub(crate) fn from_tree(
        tree: &StackTree,
        profile_type: ProfileType,
        labels: &Labels,
        time: Timestamp,
        duration_nanos: i64,
    ) -> Self {
        let (nodes, values): (Vec<NodeId>, Vec<i64>) = tree.stacks().unzip();
        let mut digest = Self {
            id: String::new(),
            time,
            duration_nanos: (duration_nanos > 0).then_some(duration_nanos),
            source_file: None,
            types: vec![profile_type],
            default_type: 0,
            series: vec![labels.public()],
            stacks: tree.clone(),
            n_stacks: nodes.len(),
            row_ends: vec![nodes.len()],
            has_negative: vec![values.iter().any(|v| *v < 0)],
            nodes,
            values: vec![values],
            totals: vec![Vec::new()],
            overflows: vec![false],
            marks: None,
        };
        digest.sum_up();
        digest
    }

    fn sum_up(&mut self) {
        for (column, totals) in self.values.iter().zip(&mut self.totals) {
            let mut start = 0;
            for end in &self.row_ends {
                let sum: i128 = column[start..*end].iter().map(|v| i128::from(*v)).sum();
                totals.push(i64::try_from(sum).ok());
                start = *end;
            }
        }
    }

    /// Whether all values add up in an `i64`.
    pub(crate) fn check_sums(&self) -> Result<(), Error> {
        let is_total = self.totals.iter().flatten().all(Option::is_some);
        if is_total && !self.overflows.contains(&true) { Ok(()) } else { Err(overflow()) }
    }

    /// The index of a type, a sixth part of its id ignored.
    pub(crate) fn type_index(&self, profile_type: &ProfileType) -> Option<usize> {
        self.types.iter().position(|t| t.matches(profile_type))
    }

    /// Whether a series has a sample of a type that is not 0. Others do not exist.
    pub(crate) fn has_data(&self, kind: usize, series: usize) -> bool {
        self.rows(kind, series).any(|(_, value)| value != 0)
    }

    /// Whether any series has a sample of any type that is not 0.
    pub(crate) fn has_any_data(&self) -> bool {
        self.values.iter().flatten().any(|value| *value != 0)
    }

    /// Stacks and values of one type in one series.
    pub(crate) fn rows(
        &self,
        kind: usize,
        series: usize,
    ) -> impl ExactSizeIterator<Item = (NodeId, i64)> + '_ {
        let start = if series == 0 { 0 } else { self.row_ends[series - 1] };
        let range = start..self.row_ends[series];
        self.nodes[range.clone()].iter().copied().zip(self.values[kind][range].iter().copied())
    }

    /// The sum of one type in one series.
    pub(crate) fn total(&self, kind: usize, series: usize) -> Result<i64, Error> {
        self.check_stacks(kind)?;
        self.totals[kind][series].ok_or_else(overflow)
    }

    /// Whether the values of a type are right: the sum of no stack overflowed.
    pub(crate) fn check_stacks(&self, kind: usize) -> Result<(), Error> {
        if self.overflows[kind] { Err(overflow()) } else { Ok(()) }
    }

    /// About how much memory this takes.
    #[cfg(feature = "files")]
    pub(crate) fn bytes(&self) -> usize {
        let names: usize = self.stacks.names().iter().map(|name| name.len() + 80).sum();
        self.stacks.len() * 17
            + names
            + self.nodes.len() * (4 + 8 * self.types.len())
            + self.series.len() * 200
            + self.marks.as_ref().map_or(0, |marks| marks.bytes())
    }
}

/// The label set of each sample.
struct SeriesIndex<'a> {
    profile: &'a Profile,
    outer: &'a Labels,
    /// Which label names split a profile.
    splits: HashMap<TextId, bool>,
    by_labels: HashMap<Vec<(TextId, TextId)>, u32>,
    /// The series of samples that have one label and no more, which spares most profiles the longer way.
    by_label: HashMap<(TextId, TextId), u32>,
    by_set: HashMap<Labels, u32>,
    sets: Vec<Labels>,
    scratch: Vec<(TextId, TextId)>,
    /// Whether a sample says which span or trace it belongs to.
    has_marks: bool,
}

impl<'a> SeriesIndex<'a> {
    fn new(profile: &'a Profile, outer: &'a Labels) -> Self {
        Self {
            profile,
            outer,
            splits: HashMap::new(),
            by_labels: HashMap::new(),
            by_label: HashMap::new(),
            by_set: HashMap::new(),
            sets: Vec::new(),
            scratch: Vec::new(),
            has_marks: false,
        }
    }

    fn of(&mut self, sample: usize) -> u32 {
        let labels = self.profile.sample_labels(sample);
        let [label] = labels else { return self.of_labels(labels) };
        if let Some(series) = self.by_label.get(&(label.key, label.text)) {
            return *series;
        }
        let series = self.of_labels(labels);
        self.by_label.insert((label.key, label.text), series);
        series
    }

    fn of_labels(&mut self, labels: &[SampleLabel]) -> u32 {
        self.scratch.clear();
        for label in labels {
            let splits = self.splits.entry(label.key).or_insert_with(|| {
                let name = self.profile.text(label.key);
                let is_mark = Mark::of_label(name).is_some();
                self.has_marks |= is_mark;
                !name.is_empty() && !is_mark
            });
            // Numbers are not labels of a series on any server.
            if *splits && !self.profile.text(label.text).is_empty() {
                self.scratch.push((label.key, label.text));
            }
        }
        if let Some(series) = self.by_labels.get(&self.scratch) {
            return *series;
        }
        let text = |id: TextId| self.profile.text(id);
        let own: Labels =
            self.scratch.iter().map(|(name, value)| (text(*name), text(*value))).collect();
        let labels = self.outer.overlaid_by(&own).public();
        // The same labels in another order, or twice, are the same series.
        let series = *self.by_set.entry(labels).or_insert_with_key(|labels| {
            self.sets.push(labels.clone());
            u32::try_from(self.sets.len() - 1).expect("fewer series than samples")
        });
        self.by_labels.insert(self.scratch.clone(), series);
        series
    }
}

/// The order of things by a small key each, stable with regard to `before`.
fn counting_order(
    keys: impl ExactSizeIterator<Item = usize>,
    n_keys: usize,
    before: Option<&[u32]>,
) -> Vec<u32> {
    let keys: Vec<u32> = keys.map(|key| u32::try_from(key).expect("counted in 32 bits")).collect();
    let mut next = vec![0_u32; n_keys + 1];
    for key in &keys {
        next[*key as usize + 1] += 1;
    }
    for idx in 1..next.len() {
        next[idx] += next[idx - 1];
    }
    let mut order = vec![0_u32; keys.len()];
    let mut place = |thing: u32| {
        let slot = &mut next[keys[thing as usize] as usize];
        order[*slot as usize] = thing;
        *slot += 1;
    };
    match before {
        Some(before) => before.iter().for_each(|thing| place(*thing)),
        None => (0..u32::try_from(keys.len()).expect("counted in 32 bits")).for_each(place),
    }
    order
}

pub(crate) fn add(a: i64, b: i64) -> Result<i64, Error> {
    a.checked_add(b).ok_or_else(overflow)
}

pub(crate) fn overflow() -> Error {
    Error::new(
        ErrorKind::Overflow,
        "add up values: the sum does not fit in a signed 64-bit integer",
    )
}
