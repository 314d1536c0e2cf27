//! Values over time: timelines, grouped by one label at a time.
//!
//! The server groups by one label, and what lacks the label is in no group: it is what is left of the total. Groups by
//! several labels are found one label after the other, each group of the labels so far by itself, those labels first
//! that have few values. A label with one value, or with none, costs a single request.

use std::collections::BTreeMap;

use flamesql_profile::{Labels, Point, Series};
use flamesql_selector::Matcher;
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    KIND, Legacy, names,
    query::{Query, is_key},
    render::{Rendered, Want, overflow, render},
    time::{Span, time},
};
use crate::{
    Bins, Error, ErrorKind, GroupBy, Grouping, Report, Select, SeriesAnswer, backend::only_all,
    group::bin,
};

/// How many requests of one question are under way at a time.
const CONCURRENCY: usize = 4;
/// How often groups are asked for that do not add up.
const TRIES: usize = 3;
/// How many groups are followed from one label to the next; each is a request.
const MAX_GROUPS: usize = 10_000;

pub(super) async fn series(
    legacy: &Legacy,
    select: &Select,
    grouping: &Grouping,
    report: &Report,
) -> Result<SeriesAnswer, Error> {
    only_all(KIND, &select.only)?;
    let query = Query::new(legacy, &select.profile_type, &select.selector, report).await?;
    let (Some(query), Some(span)) = (query, Span::of(select.range)) else {
        return Ok(SeriesAnswer::default());
    };
    let labels = match &grouping.labels {
        GroupBy::Labels(names) => names.clone(),
        GroupBy::All => names::stored_names(legacy, query.app(), report).await?,
    };
    let question = Question::new(legacy, query, labels, report);
    let mut sums: BTreeMap<Labels, BTreeMap<_, (i128, _)>> = BTreeMap::new();
    for span in question.occupied(span).await? {
        for (labels, line) in question.groups(span).await? {
            let points = sums.entry(labels).or_default();
            for (at, sum) in line {
                let at = time(at);
                let bin = bin(at, select, grouping.time);
                let (value, first) = points.entry(bin).or_insert((0, at));
                *value += sum;
                *first = at.min(*first);
            }
        }
    }
    let is_whole = grouping.time == Bins::Whole;
    let mut series = Vec::with_capacity(sums.len());
    for (labels, sums) in sums {
        let mut points = Vec::with_capacity(sums.len());
        for (bin, (value, first)) in sums {
            let value =
                i64::try_from(value).map_err(|_| overflow(legacy, Want::Timeline.path()))?;
            points.push(Point { time: if is_whole { first } else { bin }, value });
        }
        series.push(Series { labels, points });
    }
    Ok(SeriesAnswer { series, has_negative: false })
}

/// Sums by the second at which their step begins; none is 0.
pub(super) type Sums = BTreeMap<i64, i128>;

/// A question for groups, whatever the time.
pub(super) struct Question<'a> {
    legacy: &'a Legacy,
    query: Query,
    /// Those that the server can have, each once.
    labels: Vec<String>,
    report: &'a Report,
}

/// A group that may be divided further: its query, and what it has for the labels so far.
struct Part {
    query: Query,
    labels: Vec<(String, String)>,
    sums: Sums,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        legacy: &'a Legacy,
        query: Query,
        mut labels: Vec<String>,
        report: &'a Report,
    ) -> Self {
        labels.retain(|name| is_key(name));
        labels.sort_unstable();
        labels.dedup();
        Self { legacy, query, labels, report }
    }

    /// The parts of a range in which there is data, in their order, each short enough for a timeline in steps of ten
    /// seconds. What is longer is looked through in the steps that the server gives, and again where these have data.
    async fn occupied(&self, span: Span) -> Result<Vec<Span>, Error> {
        let mut found = Vec::new();
        let mut pending = vec![span];
        while let Some(span) = pending.pop() {
            if span.is_fine() {
                found.push(span);
                continue;
            }
            let joined = self.coarse(span).await?;
            if joined.iter().map(|part| part.len()).sum::<i64>() > span.len() / 4 {
                // To look again would hardly leave out anything.
                found.extend(joined.into_iter().flat_map(Span::fine));
            } else {
                pending.extend(joined.into_iter().rev());
            }
        }
        Ok(found)
    }

    /// The parts of a long range in which there is data, as far as coarse steps tell.
    async fn coarse(&self, span: Span) -> Result<Vec<Span>, Error> {
        let whole = span.in_whole_steps();
        let coarse = self.ask(&self.query, whole, Want::Timeline).await?.timeline;
        let mut joined: Vec<Span> = Vec::new();
        for (at, _) in coarse.sums() {
            // The server may draw a step up to one step away from where it is.
            let step = Span { start: at - coarse.step, end: at + 2 * coarse.step };
            let Some(step) = step.intersect(span) else { continue };
            match joined.last_mut() {
                Some(last) if step.start <= last.end => last.end = last.end.max(step.end),
                _ => joined.push(step),
            }
        }
        Ok(joined)
    }

    /// The sums of each group that has any.
    pub(super) async fn groups(&self, span: Span) -> Result<BTreeMap<Labels, Sums>, Error> {
        let all = |sums| Part { query: self.query.clone(), labels: Vec::new(), sums };
        if self.labels.is_empty() {
            let found = self.ask(&self.query, span, Want::Timeline).await?;
            found.check_sum(&self.query, span, self.report);
            return Ok(finished(vec![all(found.timeline.sums().collect())]));
        }
        // Each label by itself: which have more than one value, and how many.
        let first: Vec<(String, Vec<Part>)> = stream::iter(self.labels.clone())
            .map(|name| async move {
                let whole =
                    Part { query: self.query.clone(), labels: Vec::new(), sums: Sums::new() };
                let parts = self.divide(whole, &name, span).await?;
                Ok((name, parts))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let (single, mut several): (Vec<_>, Vec<_>) =
            first.into_iter().partition(|(_, parts)| parts.len() <= 1);
        let common: Vec<(String, String)> = single
            .iter()
            .flat_map(|(_, parts)| parts)
            .flat_map(|part| part.labels.clone())
            .collect();
        several.sort_by_key(|(_, parts)| parts.len());
        let mut several = several.into_iter();
        let Some((_, mut parts)) = several.next() else {
            let sums = single.into_iter().find_map(|(_, mut parts)| parts.pop());
            let sums = sums.map_or_else(Sums::new, |part| part.sums);
            return Ok(finished(vec![Part { labels: common, ..all(sums) }]));
        };
        for (name, _) in several {
            if parts.len() > MAX_GROUPS {
                let reason = format!(
                    "more than {MAX_GROUPS} groups by several labels, each of which is a request"
                );
                let path = Want::GroupBy("").path();
                return Err(self
                    .legacy
                    .calls
                    .fail(ErrorKind::InvalidQuery, path, &reason)
                    .with_hint("group by fewer labels, or choose fewer series"));
            }
            let divided: Vec<Vec<Part>> = stream::iter(parts)
                .map(|part| self.divide(part, &name, span))
                .buffered(CONCURRENCY)
                .try_collect()
                .await?;
            parts = divided.into_iter().flatten().collect();
        }
        for part in &mut parts {
            part.labels.extend(common.iter().cloned());
        }
        Ok(finished(parts))
    }

    /// The groups of one label in what a part has. Data that come in meanwhile may keep them from adding up: they are asked
    /// for again then.
    async fn divide(&self, part: Part, name: &str, span: Span) -> Result<Vec<Part>, Error> {
        for _ in 1..TRIES {
            match self.divide_once(&part, name, span).await {
                Err(error) if error.kind() == ErrorKind::Changed => {}
                parts => return parts,
            }
        }
        self.divide_once(&part, name, span).await
    }

    async fn divide_once(&self, part: &Part, name: &str, span: Span) -> Result<Vec<Part>, Error> {
        let found = self.ask(&part.query, span, Want::GroupBy(name)).await?;
        if part.labels.is_empty() {
            found.check_sum(&self.query, span, self.report);
        }
        let mut left: Sums = found.timeline.sums().collect();
        let mut parts = Vec::new();
        for (value, line) in found.groups.iter().filter(|(value, _)| !value.is_empty()) {
            let sums: Sums = line.sums().collect();
            for (at, sum) in &sums {
                *left.entry(*at).or_insert(0) -= sum;
            }
            if !sums.is_empty() {
                parts.push(part.having(name, value, sums)?);
            }
        }
        left.retain(|_, sum| *sum != 0);
        if !left.is_empty() {
            // What is left is what lacks the label, and no group that the server kept to itself.
            let without = part.having(name, "", left)?;
            let found = self.ask(&without.query, span, Want::Timeline).await?;
            if found.timeline.sums().collect::<Sums>() != without.sums {
                let reason = format!("the groups by {name} and what lacks it do not add up to all");
                let path = Want::GroupBy(name).path();
                return Err(self.legacy.calls.fail(ErrorKind::Changed, path, &reason));
            }
            parts.push(without);
        }
        Ok(parts)
    }

    async fn ask(&self, query: &Query, span: Span, want: Want<'_>) -> Result<Rendered, Error> {
        render(self.legacy, query, span, want, self.report).await
    }
}

impl Part {
    /// The part of it with a value of a label; the empty one is that without the label.
    fn having(&self, name: &str, value: &str, sums: Sums) -> Result<Self, Error> {
        let mut labels = self.labels.clone();
        if !value.is_empty() {
            labels.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { query: self.query.with(&Matcher::equal(name, value))?, labels, sums })
    }
}

fn finished(parts: Vec<Part>) -> BTreeMap<Labels, Sums> {
    let parts = parts.into_iter().filter(|part| !part.sums.is_empty());
    parts.map(|part| (part.labels.into_iter().collect(), part.sums)).collect()
}
