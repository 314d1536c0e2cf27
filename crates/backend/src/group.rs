//! Answering from digests: which of them a question concerns, and how they are added up by group.

use std::collections::BTreeMap;

use flamesql_profile::{
    Labels, NodeId, Point, ProfileType, Series, StackTree, StackTreeBuilder, Step, SubsetScratch,
    Timestamp,
};
use flamesql_selector::{Filter, Selector};

use crate::{
    Bins, Error, ErrorKind, GroupBy, Grouping, LabelSet, MetaQuery, ProfileRow, Select,
    SeriesAnswer, StackGroup, Weigh,
    digest::{Digest, add, overflow},
    only::Choice,
};

/// Of which part of a profile's stacks on a tree is that of the profile with other values, although stacks that have
/// none are in it: a half.
const MANY: usize = 2;

/// A selector ready to be matched against the series of digests.
pub(crate) struct Matcher(Filter);

impl Matcher {
    pub(crate) fn new(selector: &Selector) -> Result<Self, Error> {
        Filter::new(selector).map(Self).map_err(|error| {
            Error::new(ErrorKind::InvalidQuery, format!("match the selector {selector}: {error}"))
                .with_source(error)
        })
    }

    /// Labels that begin with `__` are those that a server derives from the profile type.
    pub(crate) fn matches(&self, labels: &Labels, profile_type: &ProfileType) -> bool {
        self.0.matches(|name| match name {
            "__profile_type__" => Some(profile_type.as_str()),
            "__name__" => Some(profile_type.name()),
            "__type__" => Some(profile_type.sample_type()),
            "__unit__" => Some(profile_type.sample_unit()),
            "__period_type__" => Some(profile_type.period_type()),
            "__period_unit__" => Some(profile_type.period_unit()),
            _ => labels.get(name),
        })
    }
}

/// The time of a digest at a source of this grain.
pub(crate) fn floored(digest: &Digest, grain: Step) -> Timestamp {
    digest.time.floor(grain, Timestamp::from_nanos(0))
}

/// Where a time goes: the start of its bin, or of the range if that is later.
pub(crate) fn bin(time: Timestamp, select: &Select, bins: Bins) -> Timestamp {
    match bins {
        Bins::Whole => select.range.start(),
        Bins::Every { step, origin } => time.floor(step, origin).max(select.range.start()),
    }
}

fn group_labels(labels: &Labels, by: &GroupBy) -> Labels {
    match by {
        GroupBy::All => labels.clone(),
        GroupBy::Labels(names) => labels.only(names.iter().map(String::as_str)),
    }
}

/// The series of a digest that a selection takes, if its time is right.
fn chosen<'a>(
    digest: &'a Digest,
    select: &'a Select,
    matcher: &'a Matcher,
    choice: &'a Choice,
    grain: Step,
) -> Option<(usize, impl Iterator<Item = usize> + 'a)> {
    let kind = digest.type_index(&select.profile_type)?;
    if !select.range.contains(floored(digest, grain)) {
        return None;
    }
    let profile_type = &digest.types[kind];
    let series = (0..digest.series.len()).filter(move |s| {
        matcher.matches(&digest.series[*s], profile_type)
            // Values of samples may be there and cancel out in their stack.
            && (choice.is_of_samples() || digest.has_data(kind, *s))
            && choice.takes_profile(|| profile_id(digest, *s))
    });
    Some((kind, series))
}

/// Adds up series, digest by digest.
pub(crate) struct SeriesSum<'a> {
    select: &'a Select,
    grouping: &'a Grouping,
    matcher: Matcher,
    choice: Choice,
    grain: Step,
    // By labels and bin; the value and the first time. Parts of a sum may leave 64 bits and come back.
    sums: BTreeMap<Labels, BTreeMap<Timestamp, (i128, Timestamp)>>,
    has_negative: bool,
}

impl<'a> SeriesSum<'a> {
    pub(crate) fn new(
        select: &'a Select,
        grouping: &'a Grouping,
        grain: Step,
    ) -> Result<Self, Error> {
        let matcher = Matcher::new(&select.selector)?;
        let choice = Choice::new(&select.only);
        let sums = BTreeMap::new();
        Ok(Self { select, grouping, matcher, choice, grain, sums, has_negative: false })
    }

    pub(crate) fn add(&mut self, digest: &Digest) -> Result<(), Error> {
        self.add_each(digest, |kind, series| digest.total(kind, series).map(i128::from))
    }

    /// Adds the stacks of a digest, each as often as `weigh` says; `None` if it does not say that.
    pub(crate) fn add_weighed(
        &mut self,
        digest: &Digest,
        weigh: &dyn Weigh,
    ) -> Result<Option<()>, Error> {
        let marks = digest.marks.as_deref().filter(|_| self.choice.is_of_samples());
        if self.choice.is_of_samples() && marks.is_none() {
            return Ok(Some(()));
        }
        let Some(weights) = weigh.weigh(&digest.stacks) else { return Ok(None) };
        let weighed =
            |(node, value): (NodeId, i64)| i128::from(weights[node.index()]) * i128::from(value);
        let choice = self.choice.clone();
        self.add_each(digest, |kind, series| {
            digest.check_stacks(kind)?;
            Ok(match marks {
                Some(marks) => marks.rows(kind, series, &choice).map(weighed).sum(),
                None => digest.rows(kind, series).map(weighed).sum(),
            })
        })?;
        Ok(Some(()))
    }

    fn add_each(
        &mut self,
        digest: &Digest,
        sum: impl Fn(usize, usize) -> Result<i128, Error>,
    ) -> Result<(), Error> {
        let Self { select, grouping, matcher, choice, grain, sums, has_negative } = self;
        let Some((kind, series)) = chosen(digest, select, matcher, choice, *grain) else {
            return Ok(());
        };
        let time = floored(digest, *grain);
        let bin = bin(time, select, grouping.time);
        for series in series {
            *has_negative |= digest.has_negative[kind];
            let labels = group_labels(&digest.series[series], &grouping.labels);
            let (value, first) = sums.entry(labels).or_default().entry(bin).or_insert((0, time));
            *value += sum(kind, series)?;
            *first = time.min(*first);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<SeriesAnswer, Error> {
        let is_whole = self.grouping.time == Bins::Whole;
        let mut series = Vec::with_capacity(self.sums.len());
        for (labels, sums) in self.sums {
            let mut points = Vec::with_capacity(sums.len());
            for (bin, (value, first)) in sums {
                let value = i64::try_from(value).map_err(|_| overflow())?;
                points.push(Point { time: if is_whole { first } else { bin }, value });
            }
            series.push(Series { labels, points });
        }
        Ok(SeriesAnswer { series, has_negative: self.has_negative })
    }
}

/// Adds up stacks, digest by digest. Digests come in the order of their times, so that bins are complete one by one.
pub(crate) struct StackSum<'a> {
    select: &'a Select,
    grouping: &'a Grouping,
    matcher: Matcher,
    choice: Choice,
    grain: Step,
    bin: Option<Timestamp>,
    groups: BTreeMap<Labels, Group>,
    subset: SubsetScratch,
    // Values by node while several series of one digest are added up.
    sums: Vec<i64>,
}

/// The stacks of one group as they are added up.
pub(crate) struct Group {
    first: Timestamp,
    has_negative: bool,
    tree: Tree,
}

/// Most groups are of one digest, whose tree needs no merging.
enum Tree {
    One(StackTree),
    Many(Box<StackTreeBuilder>),
}

impl<'a> StackSum<'a> {
    pub(crate) fn new(
        select: &'a Select,
        grouping: &'a Grouping,
        grain: Step,
    ) -> Result<Self, Error> {
        let matcher = Matcher::new(&select.selector)?;
        let choice = Choice::new(&select.only);
        let (bin, groups) = (None, BTreeMap::new());
        Ok(Self {
            select,
            grouping,
            matcher,
            choice,
            grain,
            bin,
            groups,
            subset: SubsetScratch::default(),
            sums: Vec::new(),
        })
    }

    /// Adds a digest and returns the groups that are complete because a new bin begins.
    pub(crate) fn add(&mut self, digest: &Digest) -> Result<Vec<StackGroup>, Error> {
        if self.choice.is_of_samples() && digest.marks.is_none() {
            return Ok(Vec::new());
        }
        let Some((kind, series)) =
            chosen(digest, self.select, &self.matcher, &self.choice, self.grain)
        else {
            return Ok(Vec::new());
        };
        let mut by_group: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
        for series in series {
            let labels = group_labels(&digest.series[series], &self.grouping.labels);
            by_group.entry(labels).or_default().push(series);
        }
        let time = floored(digest, self.grain);
        let bin = bin(time, self.select, self.grouping.time);
        let complete = if self.bin == Some(bin) { Vec::new() } else { self.complete() };
        self.bin = Some(bin);
        if !by_group.is_empty() {
            digest.check_stacks(kind)?;
        }
        if by_group.len() > 1 {
            // Once for all of them: their trees are parts of this one.
            digest.stacks.outermost();
        }
        for (labels, series) in by_group {
            let tree = self.tree(digest, kind, &series)?;
            if self.choice.is_of_samples() && tree.is_empty() {
                continue;
            }
            let has_negative = digest.has_negative[kind];
            match self.groups.get_mut(&labels) {
                None => {
                    self.groups.insert(labels, Group::new(time, has_negative, tree));
                }
                Some(group) => group.add(time, has_negative, &tree)?,
            }
        }
        Ok(complete)
    }

    /// The stacks of several series.
    fn tree(&mut self, digest: &Digest, kind: usize, series: &[usize]) -> Result<StackTree, Error> {
        let marks = digest.marks.as_deref().filter(|_| self.choice.is_of_samples());
        if let ([one], None) = (series, marks)
            && digest.rows(kind, *one).len() < digest.n_stacks / MANY
        {
            let rows: Vec<(NodeId, i64)> = digest.rows(kind, *one).collect();
            return Ok(digest.stacks.subset(&rows, &mut self.subset));
        }
        self.sums.clear();
        self.sums.resize(digest.stacks.len(), 0);
        let mut put = |(node, value): (NodeId, i64)| {
            let slot = &mut self.sums[node.index()];
            *slot = add(*slot, value)?;
            Ok::<(), Error>(())
        };
        for series in series {
            match marks {
                Some(marks) => marks.rows(kind, *series, &self.choice).try_for_each(&mut put)?,
                None => digest.rows(kind, *series).try_for_each(&mut put)?,
            }
        }
        let n_stacks = self.sums.iter().filter(|sum| **sum != 0).count();
        if n_stacks >= digest.n_stacks / MANY {
            return Ok(digest.stacks.with_values(std::mem::take(&mut self.sums)));
        }
        let rows: Vec<(NodeId, i64)> = digest
            .stacks
            .nodes()
            .map(|node| (node, self.sums[node.index()]))
            .filter(|(_, value)| *value != 0)
            .collect();
        Ok(digest.stacks.subset(&rows, &mut self.subset))
    }

    /// All groups that are left.
    pub(crate) fn complete(&mut self) -> Vec<StackGroup> {
        let is_whole = self.grouping.time == Bins::Whole;
        let bin = self.bin;
        std::mem::take(&mut self.groups)
            .into_iter()
            .map(|(labels, group)| group.finish(labels, bin.filter(|_| !is_whole)))
            .collect()
    }
}

impl Group {
    pub(crate) fn new(time: Timestamp, has_negative: bool, tree: StackTree) -> Self {
        Self { first: time, has_negative, tree: Tree::One(tree) }
    }

    pub(crate) fn add(
        &mut self,
        time: Timestamp,
        has_negative: bool,
        tree: &StackTree,
    ) -> Result<(), Error> {
        self.first = self.first.min(time);
        self.has_negative |= has_negative;
        self.tree.merge(tree)
    }

    /// The group at the start of its bin, or where there are no bins at its first time.
    pub(crate) fn finish(self, labels: Labels, bin: Option<Timestamp>) -> StackGroup {
        StackGroup {
            labels,
            time: bin.unwrap_or(self.first),
            tree: match self.tree {
                Tree::One(tree) => tree,
                Tree::Many(builder) => builder.finish(),
            },
            has_negative: self.has_negative,
        }
    }
}

impl Tree {
    fn merge(&mut self, tree: &StackTree) -> Result<(), Error> {
        if let Self::One(first) = self {
            let mut builder = StackTreeBuilder::new();
            builder.merge(first).map_err(Error::sum)?;
            *self = Self::Many(Box::new(builder));
        }
        if let Self::Many(builder) = self {
            builder.merge(tree).map_err(Error::sum)?;
        }
        Ok(())
    }
}

/// The series of a digest that a query for names asks for.
pub(crate) fn label_sets(
    digest: &Digest,
    query: &MetaQuery,
    matcher: &Matcher,
    grain: Step,
) -> Vec<LabelSet> {
    if !query.range.contains(floored(digest, grain)) {
        return Vec::new();
    }
    let asked = |t: &ProfileType| query.profile_type.as_ref().is_none_or(|asked| t.matches(asked));
    let mut sets = Vec::new();
    for (kind, profile_type) in digest.types.iter().enumerate().filter(|(_, t)| asked(t)) {
        for (series, labels) in digest.series.iter().enumerate() {
            if matcher.matches(labels, profile_type) && digest.has_data(kind, series) {
                sets.push(LabelSet { profile_type: profile_type.clone(), labels: labels.clone() });
            }
        }
    }
    sets
}

/// What tells a profile from others. One that its samples' labels split is several.
fn profile_id(digest: &Digest, series: usize) -> String {
    match digest.series.len() {
        1 => digest.id.clone(),
        _ => format!("{}#{series}", digest.id),
    }
}

/// The profiles of a digest: one for each of its series.
pub(crate) fn profiles(
    digest: &Digest,
    select: &Select,
    matcher: &Matcher,
    grain: Step,
) -> Result<Vec<ProfileRow>, Error> {
    let Some((kind, series)) = chosen(digest, select, matcher, &Choice::All, grain) else {
        return Ok(Vec::new());
    };
    let row = |series: usize| {
        Ok(ProfileRow {
            id: profile_id(digest, series),
            time: floored(digest, grain),
            profile_type: digest.types[kind].clone(),
            labels: digest.series[series].clone(),
            value: digest.total(kind, series)?,
            duration_nanos: digest.duration_nanos,
            source_file: digest.source_file.as_deref().map(str::to_owned),
        })
    };
    series.map(row).collect()
}
