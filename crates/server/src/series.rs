//! Values over time.

use std::{collections::BTreeMap, sync::Arc};

use flamesql_backend::{
    Backend, Bins, GroupBy, Grouping, Only, ProfileRow, Select, SeriesAnswer, Weigh,
};
use flamesql_profile::{Labels, NameId, Series, StackTree, Step, TimeRange, Timestamp};
use flamesql_proto::{
    querier::v1::{SelectSeriesRequest, SelectSeriesResponse},
    types::v1::{self, ExemplarType, LabelPair},
};
use flamesql_selector::RegexBudget;
use futures::TryStreamExt;

use crate::{
    Served,
    connect::Asked,
    fault::{Code, Fault},
    ids,
    names::pairs,
    private,
    question::{Millis, between, call_site, check_names, select},
    served::report,
};

const NANOS: i64 = 1_000_000;

pub(crate) async fn select_series(
    served: Served,
    Asked { message, .. }: Asked<SelectSeriesRequest>,
) -> Result<SelectSeriesResponse, Fault> {
    let step =
        step_millis(message.step).ok_or_else(|| Fault::invalid("step must be >= 1ms").inner())?;
    let millis = Millis::new(message.start, message.end, served.options())?;
    check_names("group_by", &message.group_by)?;
    let grid = Grid::new(millis, step);
    let chosen = grid.select(
        &message.profile_type_id,
        &message.label_selector,
        served.options().regex_budget(),
    )?;
    let exemplars = message.exemplar_type();
    if exemplars == ExemplarType::Span {
        let message = "exemplars of spans are not implemented: ask for those of profiles";
        return Err(Fault::new(Code::Unimplemented, message));
    }
    let Some(chosen) = chosen else { return Ok(SelectSeriesResponse::default()) };
    let grouping = Grouping {
        labels: GroupBy::Labels(private::grouping(&message.group_by)),
        time: Bins::Every { step: grid.step(), origin: grid.origin() },
    };
    let guise = served.options().guise;
    let mut site = call_site(message.stack_trace_selector.as_ref());
    if !guise.series_of_call_sites() {
        site.clear();
    }
    let backend = served.backend().as_ref();
    let answer = match site.is_empty() {
        true => backend.series(&chosen, &grouping, &report()).await?,
        false => below(backend, &chosen, &grouping, &site).await?,
    };
    let mut series: Vec<Row> = Vec::new();
    for Series { labels, points } in answer.series {
        let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
        for point in points {
            let sum = sums.entry(grid.point(point.time)).or_default();
            *sum = sum.checked_add(point.value).ok_or_else(too_large)?;
        }
        series.push(Row::new(labels, sums));
    }
    if exemplars == ExemplarType::Individual {
        let question =
            Exemplars { select: &chosen, grid: &grid, names: &message.group_by, site: &site };
        question.add(backend, &grouping, &mut series).await?;
    }
    // The largest first, as a limit wants them; equal ones by their labels.
    series.sort_by(|a, b| match guise.sorts_series_by_sum() {
        true => b.total.cmp(&a.total).then_with(|| a.labels.cmp(&b.labels)),
        false => a.labels.cmp(&b.labels),
    });
    if let Some(limit) = message.limit.filter(|limit| *limit > 0 && guise.limits_series()) {
        series.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let mut group_by = message.group_by.clone();
    if guise.sorts_labels() {
        group_by.sort();
    }
    let series = series.into_iter().map(|row| row.shown(&chosen, &group_by)).collect();
    Ok(SelectSeriesResponse { series })
}

fn too_large() -> Fault {
    Fault::new(Code::OutOfRange, "a sum does not fit in a signed 64-bit integer")
}

/// A step in whole milliseconds; what is less than one is left out, as Pyroscope does.
#[expect(clippy::cast_possible_truncation, reason = "it saturates, and nobody waits for that")]
pub(crate) fn step_millis(seconds: f64) -> Option<i64> {
    // By way of nanoseconds, or other steps come out a millisecond short than there.
    let millis = (seconds * 1e9) as i64 / NANOS;
    Some(millis).filter(|millis| *millis >= 1)
}

/// The points of a series: at `start`, `start + step` and so on, not after `end`. A point stands for what is after the
/// one before it and not after itself, in whole milliseconds; the first one also for what is exactly a step before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    millis: Millis,
    step: i64,
}

impl Grid {
    pub(crate) fn new(millis: Millis, step: i64) -> Self {
        Self { millis, step }
    }

    /// What all points stand for.
    pub(crate) fn range(&self) -> TimeRange {
        let Millis { start, end, .. } = self.millis;
        let last = start + (end - start) / self.step * self.step;
        // What comes after the end, were it by less than a millisecond, is not asked for.
        let end = last.saturating_add(1).saturating_mul(NANOS).min(self.millis.after(end));
        between(start.saturating_sub(self.step), end)
    }

    /// What is asked of a source; `None` if nothing can be found.
    pub(crate) fn select(
        &self,
        profile_type_id: &str,
        label_selector: &str,
        mut budget: RegexBudget,
    ) -> Result<Option<Select>, Fault> {
        let (range, guise) = (self.range(), self.millis.guise);
        select(profile_type_id, label_selector, range, Only::All, guise, &mut budget)
    }

    pub(crate) fn step(&self) -> Step {
        Step::from_nanos(self.step.saturating_mul(NANOS)).expect("it is 1 ms at least")
    }

    /// Where one of the bins begins whose ends are the points.
    pub(crate) fn origin(&self) -> Timestamp {
        Timestamp::from_nanos(self.millis.start.saturating_add(1).saturating_mul(NANOS))
    }

    /// The point that a time belongs to, in milliseconds.
    pub(crate) fn point(&self, time: Timestamp) -> i64 {
        let after = time.nanos().div_euclid(NANOS) - self.millis.start;
        // Up to a whole step; of the first point, what is before it as well.
        let steps = (after + self.step - 1).div_euclid(self.step).max(0);
        self.millis.start + steps * self.step
    }
}

/// A series on its way out.
struct Row {
    labels: Labels,
    total: i128,
    points: BTreeMap<i64, i64>,
    exemplars: BTreeMap<i64, v1::Exemplar>,
}

impl Row {
    fn new(labels: Labels, points: BTreeMap<i64, i64>) -> Self {
        let total = points.values().map(|value| i128::from(*value)).sum();
        Self { labels, total, points, exemplars: BTreeMap::new() }
    }

    fn shown(mut self, select: &Select, group_by: &[String]) -> v1::Series {
        let all = private::with_private(&select.profile_type, &self.labels);
        let value = |name: &String| {
            let value = all.get(name)?.to_owned();
            Some(LabelPair { name: name.clone(), value })
        };
        // In the order in which they were asked for.
        let labels = group_by.iter().filter_map(value).collect();
        let points = self.points.into_iter().map(|(timestamp, value)| {
            #[expect(clippy::cast_precision_loss, reason = "the message has doubles")]
            let value = value as f64;
            let exemplars = self.exemplars.remove(&timestamp).into_iter().collect();
            v1::Point { value, timestamp, annotations: Vec::new(), exemplars }
        });
        v1::Series { labels, points: points.collect() }
    }
}

/// What is asked for beside values over time: the profiles that stand for them.
struct Exemplars<'a> {
    select: &'a Select,
    grid: &'a Grid,
    /// By which labels is grouped, as it was asked.
    names: &'a [String],
    /// With which functions the stacks begin that count.
    site: &'a [String],
}

impl Exemplars<'_> {
    /// Adds to each point the profile that has the largest value in it.
    async fn add(
        &self,
        backend: &dyn Backend,
        grouping: &Grouping,
        rows: &mut [Row],
    ) -> Result<(), Fault> {
        let GroupBy::Labels(names) = &grouping.labels else { return Ok(()) };
        let mut by_labels: BTreeMap<Labels, &mut Row> =
            rows.iter_mut().map(|row| (row.labels.clone(), row)).collect();
        for profile in self.profiles(backend).await? {
            let group = profile.labels.only(names.iter().map(String::as_str));
            let point = self.grid.point(profile.time);
            let row = by_labels.get_mut(&group).filter(|row| row.points.contains_key(&point));
            let Some(row) = row else { continue };
            let exemplar = exemplar(&profile, self.names);
            let best = row.exemplars.entry(point).or_insert_with(|| exemplar.clone());
            if exemplar.value > best.value {
                *best = exemplar;
            }
        }
        Ok(())
    }

    /// The profiles, with the values of the stacks that count.
    async fn profiles(&self, backend: &dyn Backend) -> Result<Vec<ProfileRow>, Fault> {
        let mut profiles = backend.profiles(self.select, &report()).await?;
        if self.site.is_empty() {
            return Ok(profiles);
        }
        // Profiles are told apart by their labels and times: two that have both in common have one value here.
        let grain = backend.capabilities().grain;
        let each = Grouping {
            labels: GroupBy::All,
            time: Bins::Every { step: grain, origin: Timestamp::from_nanos(0) },
        };
        let answer = below(backend, self.select, &each, self.site).await?;
        let mut values: BTreeMap<(Labels, Timestamp), i64> = BTreeMap::new();
        for Series { labels, points } in answer.series {
            values.extend(points.iter().map(|point| ((labels.clone(), point.time), point.value)));
        }
        profiles.retain_mut(|profile| {
            let value = values.get(&(profile.labels.clone(), profile.time));
            profile.value = value.copied().unwrap_or_default();
            profile.value != 0
        });
        Ok(profiles)
    }
}

/// A profile as an example of what it was grouped with: its labels are those that the group does not tell.
pub(crate) fn exemplar(profile: &ProfileRow, group_by: &[String]) -> v1::Exemplar {
    let all = private::with_private(&profile.profile_type, &profile.labels);
    let own = all.iter().filter(|(name, _)| group_by.iter().all(|grouped| grouped != name));
    v1::Exemplar {
        timestamp: profile.time.nanos().div_euclid(NANOS),
        profile_id: ids::shown(&profile.id).into_owned(),
        value: profile.value,
        labels: pairs(&own.collect()),
        ..v1::Exemplar::default()
    }
}

/// Values of the stacks that begin with some functions alone.
async fn below(
    backend: &dyn Backend,
    select: &Select,
    grouping: &Grouping,
    site: &[String],
) -> Result<SeriesAnswer, Fault> {
    let site = Arc::new(CallSite(site.to_vec()));
    let report = report();
    let weigh: Arc<dyn Weigh> = Arc::<CallSite>::clone(&site);
    if let Some(mut answer) = backend.weighed(select, grouping, weigh, &report).await? {
        // Where no stack counts there is nothing.
        for series in &mut answer.series {
            series.points.retain(|point| point.value != 0);
        }
        answer.series.retain(|series| !series.points.is_empty());
        return Ok(answer);
    }
    if !backend.capabilities().groups_stacks {
        let message = "stack_trace_selector of a series is not implemented for a source that \
                       gives one group of stacks at a time";
        return Err(Fault::new(Code::Unimplemented, message));
    }
    let mut series: BTreeMap<Labels, Vec<flamesql_profile::Point>> = BTreeMap::new();
    let mut groups = backend.stacks(select.clone(), grouping.clone(), report);
    while let Some(group) = groups.try_next().await? {
        let value = site.keep(group.tree).total()?;
        if value == 0 {
            continue;
        }
        let point = flamesql_profile::Point { time: group.time, value };
        series.entry(group.labels).or_default().push(point);
    }
    let series = series.into_iter().map(|(labels, points)| Series { labels, points }).collect();
    Ok(SeriesAnswer { series, has_negative: false })
}

/// Functions that a stack begins with, the outermost first.
#[derive(Debug)]
pub(crate) struct CallSite(pub(crate) Vec<String>);

impl CallSite {
    /// By node, whether its stack begins so.
    fn marks(&self, tree: &StackTree) -> Vec<u8> {
        let names = tree.names();
        let wanted: Vec<Option<NameId>> = self.0.iter().map(|name| names.find(name)).collect();
        // How many of the functions a node's stack has matched; more than that is known to be no match.
        let mut matched: Vec<Option<usize>> = Vec::with_capacity(tree.len());
        for node in tree.nodes() {
            let above = match tree.parent(node) {
                None => Some(0),
                Some(parent) => match matched[parent.index()] {
                    Some(n) if n == wanted.len() => Some(n),
                    Some(n)
                        if tree.function(node).is_some() && tree.function(node) == wanted[n] =>
                    {
                        Some(n + 1)
                    }
                    _ => None,
                },
            };
            matched.push(above);
        }
        matched.iter().map(|n| u8::from(*n == Some(wanted.len()))).collect()
    }

    /// The stacks that begin so.
    pub(crate) fn keep(&self, tree: StackTree) -> StackTree {
        if self.0.is_empty() {
            return tree;
        }
        let marks = self.marks(&tree);
        let values = tree.values().iter().zip(marks).map(|(value, mark)| value * i64::from(mark));
        tree.with_values(values.collect())
    }
}

impl Weigh for CallSite {
    fn weigh(&self, tree: &StackTree) -> Option<Vec<u8>> {
        Some(self.marks(tree))
    }
}

#[cfg(test)]
mod tests {
    use flamesql_profile::folded;

    use super::*;
    use crate::Guise;

    #[test]
    fn points_stand_for_what_is_not_after_them() {
        let grid = Grid::new(Millis { start: 1000, end: 4500, guise: Guise::V2 }, 1000);
        let at = |nanos| grid.point(Timestamp::from_nanos(nanos));
        assert_eq!([0, 1, 999 * NANOS, 1000 * NANOS, 1001 * NANOS - 1].map(at), [1000; 5]);
        assert_eq!([1001 * NANOS, 2001 * NANOS - 1].map(at), [2000; 2]);
        assert_eq!(at(2001 * NANOS), 3000);
        let range = grid.range();
        assert_eq!((range.start().nanos(), range.end().nanos()), (0, 4001 * NANOS));
        let whole = Grid::new(Millis { start: 1000, end: 4000, guise: Guise::V2 }, 1000).range();
        assert_eq!(whole.end().nanos(), 4000 * NANOS + 1);
    }

    #[test]
    fn steps_are_cut_to_milliseconds() {
        assert_eq!(
            [0.001, 0.0019, 33.977, 15.0].map(step_millis),
            [Some(1), Some(1), Some(33_976), Some(15_000)]
        );
        assert_eq!([0.0, 0.0009, -1.0, f64::NAN].map(step_millis), [None; 4]);
    }

    #[test]
    fn a_call_site_is_how_stacks_begin() {
        let tree = folded::decode(b"a;b;c 1\na;b 2\nb;a;b 4\na 8\n").unwrap().into_tree();
        let kept = |names: &[&str]| {
            let site = CallSite(names.iter().map(|name| (*name).to_owned()).collect());
            site.keep(tree.clone()).total().unwrap()
        };
        assert_eq!(kept(&["a", "b"]), 3);
        assert_eq!(kept(&["b"]), 4);
        assert_eq!(kept(&["a", "nobody"]), 0);
        assert_eq!(kept(&[]), 15);
    }
}
