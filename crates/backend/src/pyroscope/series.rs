//! Values over time: `SelectSeries`, asked so that every bin is exact.

use std::collections::BTreeMap;

use flamesql_profile::{Labels, Point, ProfileType, Series, Timestamp};
use flamesql_proto::{
    querier::v1::{SelectSeriesRequest, SelectSeriesResponse},
    types::v1,
};
use flamesql_selector::{Matcher, Selector, is_label_name};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Pyroscope,
    millis::{Millis, Part, parts, seconds, time},
    names,
    rpc::Method,
    shapes, stacks,
};
use crate::{
    Annotation, Bins, Error, ErrorKind, GroupBy, Grouping, MetaQuery, Report, Select, SeriesAnswer,
    backend::only_all, digest::overflow, http::Answer,
};

pub(super) const SELECT_SERIES: Method = Method {
    path: "/querier.v1.QuerierService/SelectSeries",
    what: "ask for a series",
    answer: Answer::List,
    shape: &shapes::SERIES,
};

/// From here on a double does not hold every whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// A server walks every step of a range, so this many are looked through for those that have data first.
const MANY_STEPS: i64 = 1_000_000;
/// How many requests of one question are under way at a time.
const CONCURRENCY: usize = 4;

/// What is asked, as the server is told.
pub(super) struct Question<'a> {
    pub(super) source: &'a Pyroscope,
    pub(super) profile_type: &'a ProfileType,
    pub(super) selector: &'a Selector,
    pub(super) text: String,
    pub(super) group_by: Vec<String>,
    exact_end: Option<i64>,
    pub(super) report: &'a Report,
}

impl<'a> Question<'a> {
    pub(super) async fn new(
        source: &'a Pyroscope,
        select: &'a Select,
        labels: &GroupBy,
        report: &'a Report,
    ) -> Result<Self, Error> {
        source.check_type(&select.profile_type)?;
        let text = source.selector(&select.selector, select.range, report).await?;
        let group_by = match labels {
            GroupBy::Labels(names) => names.clone(),
            GroupBy::All => {
                let meta = MetaQuery {
                    profile_type: Some(select.profile_type.clone()),
                    selector: Selector::all(),
                    range: select.range,
                };
                names::label_names(source, &meta, report).await?
            }
        };
        for name in group_by.iter().filter(|name| !is_label_name(name)) {
            source.check_dotted(name, select.range, report).await?;
        }
        Ok(Self {
            source,
            profile_type: &select.profile_type,
            selector: &select.selector,
            text,
            group_by,
            exact_end: source.exact_end(select),
            report,
        })
    }

    /// The points of one request, each at the start of its bin.
    async fn part(&self, part: Part) -> Result<Found, Error> {
        let Part { range, step } = part;
        let series = self.ask(part).await?.into_iter().map(|series| {
            let v1::Series { labels, points } = series;
            let points = points.into_iter().map(|point| (point.timestamp + 1 - step, point.value));
            // The first point lies before the range, and is not complete on all storages.
            let points = points.filter(|(start, _)| (range.start..range.end).contains(start));
            let labels = labels.into_iter().map(|label| (label.name, label.value));
            (labels.collect(), points.collect())
        });
        Ok(series.collect())
    }

    /// The last millisecond that is asked for: what lies in the one after a range is behind its last point.
    pub(super) fn end_of(&self, range: Millis) -> i64 {
        range.end - i64::from(self.exact_end == Some(range.end))
    }

    async fn ask(&self, Part { range, step }: Part) -> Result<Vec<v1::Series>, Error> {
        let question = SelectSeriesRequest {
            profile_type_id: self.profile_type.as_str().to_owned(),
            label_selector: self.text.clone(),
            start: range.start - 1,
            end: self.end_of(range),
            group_by: self.group_by.clone(),
            step: seconds(step),
            ..SelectSeriesRequest::default()
        };
        let answer: SelectSeriesResponse =
            self.source.rpc.call(SELECT_SERIES, &question, self.report).await?;
        Ok(answer.series)
    }

    /// What was noted on the points of a range.
    pub(super) async fn annotations(
        &self,
        range: Millis,
        step: i64,
    ) -> Result<Vec<Annotation>, Error> {
        let mut rows = Vec::new();
        let parts = parts(range, step, 0);
        self.source.check_storages(&parts).await?;
        for part in parts {
            for series in self.ask(part).await? {
                let labels = names::public(series.labels);
                for point in series.points {
                    let start = point.timestamp + 1 - part.step;
                    if !(part.range.start..part.range.end).contains(&start) {
                        continue;
                    }
                    rows.extend(point.annotations.into_iter().map(|note| Annotation {
                        time: time(start),
                        labels: labels.clone(),
                        key: note.key,
                        value: note.value,
                    }));
                }
            }
        }
        Ok(rows)
    }

    /// All bins of a range; where there are very many steps, those around data only.
    async fn bins(&self, range: Millis, step: i64, origin: i64) -> Result<Found, Error> {
        let mut all = parts(range, step, origin);
        self.source.check_storages(&all).await?;
        if let Some(idx) = all.iter().position(|p| p.range.len() / p.step > MANY_STEPS) {
            let fine = all.remove(idx);
            all.extend(self.around_data(fine, origin).await?);
        }
        let answers = stream::iter(all).map(|part| self.part(part)).buffer_unordered(CONCURRENCY);
        let answers: Vec<_> = answers.try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Looks through a range in coarse steps, and gives the parts of it in which there is data.
    async fn around_data(&self, fine: Part, origin: i64) -> Result<Vec<Part>, Error> {
        let Part { range, step } = fine;
        // Coarse steps are whole bins, so that a part begins and ends where a bin does.
        let coarse = (range.len() / 10_000 / step).max(1) * step;
        let joined = self.occupied_from(range, coarse, origin).await?;
        Ok(joined.into_iter().map(|range| Part { range, step }).collect())
    }

    /// The parts of a range in which there is data, as far as whole steps tell.
    pub(super) async fn occupied(&self, range: Millis, step: i64) -> Result<Vec<Millis>, Error> {
        self.occupied_from(range, step, 0).await
    }

    async fn occupied_from(
        &self,
        range: Millis,
        coarse: i64,
        origin: i64,
    ) -> Result<Vec<Millis>, Error> {
        let mut occupied: Vec<Millis> = Vec::new();
        let parts = parts(range, coarse, origin);
        self.source.check_storages(&parts).await?;
        for part in parts {
            for (_, points) in self.part(part).await? {
                occupied.extend(points.iter().map(|(start, _)| Millis {
                    start: *start,
                    end: (start + part.step).min(range.end),
                }));
            }
        }
        occupied.sort_unstable_by_key(|bin| bin.start);
        let mut joined: Vec<Millis> = Vec::new();
        for bin in occupied {
            match joined.last_mut() {
                // A step more costs less than a request more.
                Some(last) if bin.start - last.end <= 100 * coarse => {
                    last.end = last.end.max(bin.end);
                }
                _ => joined.push(bin),
            }
        }
        Ok(joined)
    }

    /// The exact value of one cell: that of its stacks, which are whole numbers.
    async fn exact(&self, labels: &Labels, range: Millis) -> Result<i64, Error> {
        let mut selector = self.selector.clone();
        for name in &self.group_by {
            let value = labels.get(name).unwrap_or_default();
            // What this server cannot be asked for it cannot have, so that it is missing from all there is.
            let is_written = is_label_name(name) || self.source.generation.reads_quoted_names();
            if is_written || !value.is_empty() {
                selector.push(Matcher::equal(name, value));
            }
        }
        let select = Select::new(self.profile_type.clone(), selector, range.range());
        let is_exact = self.exact_end == Some(range.end);
        stacks::total(self.source, &select, range, is_exact, self.report).await
    }
}

/// Points by series, with all labels that were asked for, each at the start of its bin.
type Found = Vec<(Labels, Vec<(i64, f64)>)>;

pub(super) async fn series(
    source: &Pyroscope,
    select: &Select,
    grouping: &Grouping,
    report: &Report,
) -> Result<SeriesAnswer, Error> {
    only_all(source.generation.kind(), &select.only)?;
    let question = Question::new(source, select, &grouping.labels, report).await?;
    let Some(range) = source.millis(select.range) else { return Ok(SeriesAnswer::default()) };
    let bins = Asked::of(range, grouping.time, source.generation.grain().nanos() / 1_000_000);
    let found = question.bins(range, bins.step, bins.origin).await?;

    let mut cells: Vec<(Labels, i64, f64)> = Vec::new();
    for (labels, points) in found {
        cells.extend(points.into_iter().map(|(start, value)| (labels.clone(), start, value)));
    }
    let exact = cells.into_iter().map(|(labels, start, value)| {
        let (question, bins) = (&question, &bins);
        async move {
            let value = match whole(value) {
                Some(value) => value?,
                None => {
                    let end = bins.end_of(start, range);
                    question.exact(&labels, Millis { start, end }).await?
                }
            };
            Ok::<_, Error>((labels, start, value))
        }
    });
    let cells: Vec<(Labels, i64, i64)> =
        stream::iter(exact).buffered(CONCURRENCY).try_collect().await?;

    let mut sums: BTreeMap<Labels, BTreeMap<Timestamp, i128>> = BTreeMap::new();
    for (labels, start, value) in cells {
        // No profile with a value, no row.
        if value != 0 {
            let at = bins.place(start, select);
            *sums.entry(labels.public()).or_default().entry(at).or_default() += i128::from(value);
        }
    }
    let mut series = Vec::with_capacity(sums.len());
    for (labels, sums) in sums {
        let point = |(time, value): (Timestamp, i128)| {
            let value = i64::try_from(value).map_err(|_| overflow())?;
            Ok::<_, Error>(Point { time, value })
        };
        let points = sums.into_iter().map(point).collect::<Result<_, _>>()?;
        series.push(Series { labels, points });
    }
    Ok(SeriesAnswer { series, has_negative: false })
}

/// The groups that have data, without their values.
pub(super) async fn groups(
    source: &Pyroscope,
    select: &Select,
    grouping: &Grouping,
    report: &Report,
) -> Result<Vec<Labels>, Error> {
    let question = Question::new(source, select, &grouping.labels, report).await?;
    let Some(range) = source.millis(select.range) else { return Ok(Vec::new()) };
    let found = question.bins(range, range.len(), range.start).await?;
    let has_value = |points: &[(i64, f64)]| points.iter().any(|(_, value)| *value != 0.0);
    Ok(found.into_iter().filter(|(_, p)| has_value(p)).map(|(labels, _)| labels.public()).collect())
}

/// The bins that a server is asked for, and where their values go.
struct Asked {
    time: Bins,
    step: i64,
    origin: i64,
}

impl Asked {
    fn of(range: Millis, time: Bins, grain: i64) -> Self {
        const NANOS: i64 = 1_000_000;
        match time {
            Bins::Whole => Self { time, step: range.len(), origin: range.start },
            Bins::Every { step, origin }
                if step.nanos() % (grain * NANOS) == 0 && origin.nanos() % (grain * NANOS) == 0 =>
            {
                Self { time, step: step.nanos() / NANOS, origin: origin.nanos() / NANOS }
            }
            // Bins that begin or end within a grain: each grain is asked for, and goes where it begins.
            Bins::Every { .. } => Self { time, step: grain, origin: 0 },
        }
    }

    /// Where the bin that begins at a time ends.
    fn end_of(&self, start: i64, range: Millis) -> i64 {
        (start + self.step - (start - self.origin).rem_euclid(self.step)).min(range.end)
    }

    fn place(&self, start: i64, select: &Select) -> Timestamp {
        match self.time {
            Bins::Whole => time(start),
            Bins::Every { step, origin } => {
                time(start).floor(step, origin).max(select.range.start())
            }
        }
    }
}

/// A value as the whole number that it is; `None` if it is too large for a double to tell.
fn whole(value: f64) -> Option<Result<i64, Error>> {
    if value.abs() >= EXACT {
        return None;
    }
    if value < 0.0 {
        return Some(Err(wrapped()));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is below 2^53")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
    let is_whole = (whole as f64).to_bits() == value.to_bits();
    Some(is_whole.then_some(whole).ok_or_else(|| {
        let what = format!("read a series: {value} is no whole number, as the sum of profiles is");
        Error::new(ErrorKind::Unreadable, what)
    }))
}

/// Profiles with negative values are not taken in by a server, so a negative sum has wrapped.
pub(super) fn wrapped() -> Error {
    let what =
        "a sum of the server's own does not fit in a signed 64-bit integer: it came back negative";
    Error::new(ErrorKind::Overflow, what)
}
