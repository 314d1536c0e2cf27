//! A source that takes ranges of any length, made of one that does not.

mod slices;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use async_trait::async_trait;
use flamesql_profile::{Labels, Point, ProfileType, Series, Step, TimeRange, Timestamp};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};

use self::slices::cut;
use crate::{
    Annotation, Backend, Bins, Capabilities, Error, Exemplar, Grouping, HeatmapCell, LabelSet,
    MetaQuery, Notice, ProfileRow, Question, Report, Select, SeriesAnswer, StackGroup, StackStream,
    digest::overflow,
    group::{Group, bin},
};

/// A source behind its limit: ranges longer than [`Capabilities::max_range`] are cut into slices, which are asked for
/// one after the other, a few at a time, and added up exactly.
///
/// Nothing is asked before an answer is polled, and nothing more once it is dropped.
///
/// A slice that fails for a reason of its own ([`ErrorKind::Unreadable`], [`ErrorKind::Unavailable`]) is missing from
/// the answer, and the [`Report`] says so: in its [`coverage`](Report::coverage), and with a [`Notice`] that names the
/// slice. The question fails if no slice was answered, and at once for any other error. Questions without a report (for
/// names, labels and profiles) fail with any of their slices.
///
/// Without a limit a source answers as it does by itself; with one its [`Capabilities::is_finite`] is false, because all
/// of time is more than [`Split::MAX_SLICES`] slices, which is an [`ErrorKind::InvalidQuery`]. Sums are formed slice by
/// slice: where values below 0 are among them, a part may be an [`ErrorKind::Overflow`] though the whole would fit.
///
/// ```
/// use std::sync::Arc;
///
/// use flamesql_backend::{Backend, Capabilities, Grouping, Memory, Report, Select, Split};
/// use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp, folded};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let at_most = Step::from_nanos(10).unwrap();
/// let memory = Memory::new().with_capabilities(Capabilities::local("memory").with_max_range(at_most));
/// let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
/// for time in [3, 18, 19] {
///     let tree = folded::decode(b"main;work 1")?.into_tree();
///     memory.insert(&cpu, &Labels::default(), Timestamp::from_nanos(time), 0, &tree)?;
/// }
/// let range = TimeRange::new(Timestamp::from_nanos(0), Timestamp::from_nanos(25))?;
/// let select = Select::new(cpu, "{}".parse()?, range);
/// let grouping = Grouping::default();
/// assert!(memory.series(&select, &grouping, &Report::new()).await.is_err());
///
/// let report = Report::new();
/// let answer = Split::new(Arc::new(memory)).series(&select, &grouping, &report).await?;
/// assert_eq!((answer.series[0].points[0].value, report.coverage().answered), (3, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`ErrorKind::Unreadable`]: crate::ErrorKind::Unreadable
/// [`ErrorKind::Unavailable`]: crate::ErrorKind::Unavailable
/// [`ErrorKind::InvalidQuery`]: crate::ErrorKind::InvalidQuery
/// [`ErrorKind::Overflow`]: crate::ErrorKind::Overflow
#[derive(Clone, Debug)]
pub struct Split {
    inner: Arc<dyn Backend>,
    concurrency: usize,
}

impl Split {
    /// How many slices are asked for at a time, unless said otherwise.
    pub const CONCURRENCY: usize = 4;
    /// How many slices a question may come to; beyond that it is a mistake and no question.
    pub const MAX_SLICES: u32 = 10_000;

    /// Puts a source behind its limit.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, concurrency: Self::CONCURRENCY }
    }

    /// The same with so many slices at a time, at least one.
    #[must_use]
    pub fn with_concurrency(mut self, n: usize) -> Self {
        self.concurrency = n.max(1);
        self
    }

    fn cut(
        &self,
        range: TimeRange,
        bins: Bins,
    ) -> Result<impl ExactSizeIterator<Item = TimeRange> + Send + use<>, Error> {
        cut(range, bins, &self.inner.capabilities())
    }

    /// The answers of slices, in their order. At most so many are asked for, or wait to be taken, at a time.
    fn ask<T: Send + 'static>(
        &self,
        slices: impl Iterator<Item = TimeRange> + Send + 'static,
        ask: impl Fn(Arc<dyn Backend>, TimeRange) -> BoxFuture<'static, T> + Send + 'static,
    ) -> BoxStream<'static, (TimeRange, T)> {
        let inner = Arc::clone(&self.inner);
        stream::iter(slices)
            .map(move |slice| ask(Arc::clone(&inner), slice).map(move |answer| (slice, answer)))
            .buffered(self.concurrency)
            .boxed()
    }

    /// What the slices list, one after the other.
    async fn list<T: Send + 'static>(
        &self,
        select: &Select,
        bins: Bins,
        report: &Report,
        ask: impl Fn(Arc<dyn Backend>, Select, Report) -> BoxFuture<'static, Result<Vec<T>, Error>>
        + Send
        + 'static,
    ) -> Result<Vec<T>, Error> {
        let (one, report) = (select.clone(), report.clone());
        let slices = self.cut(select.range, bins)?;
        let mut answers = self.ask(slices, move |inner, range| {
            ask(inner, Select { range, ..one.clone() }, report.clone())
        });
        let mut rows = Vec::new();
        while let Some((_, answer)) = answers.next().await {
            rows.extend(answer?);
        }
        Ok(rows)
    }

    /// All that any slice lists, sorted.
    async fn union<T: Ord + Send + 'static>(
        &self,
        range: TimeRange,
        ask: impl Fn(Arc<dyn Backend>, TimeRange) -> BoxFuture<'static, Result<Vec<T>, Error>>
        + Send
        + 'static,
    ) -> Result<Vec<T>, Error> {
        let mut listed = BTreeSet::new();
        let mut answers = self.ask(self.cut(range, Bins::Whole)?, ask);
        while let Some((_, answer)) = answers.next().await {
            listed.extend(answer?);
        }
        Ok(listed.into_iter().collect())
    }

    /// The columns of a heat map, which begin with the range. Those that fit into no slice are made narrower: a cell cannot
    /// be put together of two, since each answer has values of its own that its cells begin at.
    fn columns(&self, step: Step, range: TimeRange) -> (Step, Bins) {
        let step = match self.inner.capabilities().max_range {
            Some(max) if max < step => {
                let end = Timestamp::from_nanos(max.nanos().saturating_mul(60));
                let width = TimeRange::new(Timestamp::from_nanos(0), end).map(Step::of_columns);
                width.map_or(max, |width| width.min(max))
            }
            _ => step,
        };
        (step, Bins::Every { step, origin: range.start() })
    }

    /// What becomes of the slices of one question.
    fn tally(&self, report: &Report) -> Tally {
        let kind = self.inner.capabilities().kind;
        Tally { report: report.clone(), kind, is_answered: false, first: None }
    }

    /// A question that is one slice: there is nothing to wait for or to add up.
    fn stacks_of_one(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        let (inner, mut tally) = (Arc::clone(&self.inner), self.tally(&report));
        let range = select.range;
        stream::once(async move {
            report.add_asked(1);
            let mut is_whole = true;
            // The end of the answer counts as well.
            let groups = inner.stacks(select, grouping, report).map(Some);
            groups.chain(stream::iter([None])).filter_map(move |group| {
                let group = match group {
                    Some(Err(error)) => {
                        is_whole = false;
                        // Nothing else can be answered, so that the question fails in any case.
                        let _ = tally.take::<()>(range, Err(error.clone()));
                        Some(Err(error))
                    }
                    None if is_whole => {
                        let _ = tally.take(range, Ok(()));
                        None
                    }
                    group => group,
                };
                future::ready(group)
            })
        })
        .flatten()
        .boxed()
    }

    fn stacks_of_many(
        &self,
        slices: impl Iterator<Item = TimeRange> + Send + 'static,
        select: Select,
        grouping: Grouping,
        report: Report,
    ) -> StackStream {
        let tally = self.tally(&report);
        let merge = Merge { select: select.clone(), bins: grouping.time, groups: BTreeMap::new() };
        // A slice is taken whole or not at all, so it waits until it is complete.
        let answers = self.ask(slices, move |inner, slice| {
            let select = Select { range: slice, ..select.clone() };
            let (grouping, report) = (grouping.clone(), report.clone());
            async move {
                report.add_asked(1);
                inner.stacks(select, grouping, report).try_collect::<Vec<_>>().await
            }
            .boxed()
        });
        stream::try_unfold(Some((answers, tally, merge)), |state| async move {
            let Some((mut answers, mut tally, mut merge)) = state else { return Ok(None) };
            let (complete, state) = match answers.next().await {
                Some((slice, answer)) => {
                    for group in tally.take(slice, answer)?.into_iter().flatten() {
                        merge.add(group)?;
                    }
                    (merge.complete(slice.end()), Some((answers, tally, merge)))
                }
                None => {
                    tally.finish()?;
                    (merge.complete(Timestamp::MAX), None)
                }
            };
            Ok(Some((stream::iter(complete.into_iter().map(Ok)), state)))
        })
        .try_flatten()
        .boxed()
    }
}

/// Counts what became of slices, and tells what may be passed over from what may not.
struct Tally {
    report: Report,
    kind: &'static str,
    is_answered: bool,
    first: Option<Error>,
}

impl Tally {
    /// The answer of a slice; `None` if it failed for a reason of its own.
    fn take<T>(&mut self, slice: TimeRange, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(answer) => {
                self.report.add_answered(1);
                self.is_answered = true;
                Ok(Some(answer))
            }
            Err(error) if error.is_partial() => {
                self.report.add_failed(1);
                self.report.add_notice(Notice {
                    subject: self.kind.to_owned(),
                    reason: format!("slice {slice}: {error}"),
                    is_missing: true,
                });
                self.first.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing but failed slices is no answer.
    fn finish(self) -> Result<(), Error> {
        match self.first {
            Some(error) if !self.is_answered => Err(error),
            _ => Ok(()),
        }
    }
}

/// Groups of stacks to which another slice may add.
struct Merge {
    select: Select,
    bins: Bins,
    groups: BTreeMap<(Timestamp, Labels), Group>,
}

impl Merge {
    fn add(&mut self, group: StackGroup) -> Result<(), Error> {
        let bin = bin(group.time, &self.select, self.bins);
        let StackGroup { labels, time, tree, has_negative } = group;
        match self.groups.entry((bin, labels)) {
            Entry::Vacant(slot) => {
                slot.insert(Group::new(time, has_negative, tree));
            }
            Entry::Occupied(mut slot) => slot.get_mut().add(time, has_negative, &tree)?,
        }
        Ok(())
    }

    /// Takes the groups whose bins end at or before a time, or with the range.
    fn complete(&mut self, until: Timestamp) -> Vec<StackGroup> {
        let mut complete = Vec::new();
        while let Some(first) = self.groups.first_entry() {
            let start = first.key().0;
            let end = match self.bins {
                Bins::Every { step, origin } => {
                    let floor = start.floor(step, origin);
                    // Where a bin begins before all time its end is not known: it is held until the last slice.
                    let is_known = floor > Timestamp::MIN;
                    if is_known { floor.saturating_add(step.nanos()) } else { Timestamp::MAX }
                }
                Bins::Whole => Timestamp::MAX,
            };
            if end > until {
                break;
            }
            let ((bin, labels), group) = first.remove_entry();
            let time = if self.bins == Bins::Whole { None } else { Some(bin) };
            complete.push(group.finish(labels, time));
        }
        complete
    }
}

#[async_trait]
impl Backend for Split {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        if capabilities.max_range.take().is_some() {
            capabilities.is_finite = false;
        }
        capabilities
    }

    /// So many slices, each of which is what it is to the source. Of too many it is their number as well, though none of
    /// them would be asked.
    fn n_requests(&self, question: Question, range: TimeRange) -> u64 {
        let capabilities = self.inner.capabilities();
        let bins = match question {
            Question::Heatmap(step) => self.columns(step, range).1,
            question => question.bins(),
        };
        let n = u64::try_from(slices::count(range, bins, &capabilities));
        n.unwrap_or(u64::MAX).saturating_mul(self.inner.n_requests(question, range))
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        self.union(range, |inner, slice| async move { inner.profile_types(slice).await }.boxed())
            .await
    }

    async fn first_and_last(&self) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        self.inner.first_and_last().await
    }

    async fn default_profile_type(&self) -> Result<Option<ProfileType>, Error> {
        self.inner.default_profile_type().await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        let query = query.clone();
        self.union(query.range, move |inner, range| {
            let query = MetaQuery { range, ..query.clone() };
            async move { inner.label_sets(&query).await }.boxed()
        })
        .await
    }

    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        let query = query.clone();
        self.union(query.range, move |inner, range| {
            let query = MetaQuery { range, ..query.clone() };
            async move { inner.label_names(&query).await }.boxed()
        })
        .await
    }

    async fn label_values(&self, name: &str, query: &MetaQuery) -> Result<Vec<String>, Error> {
        let (name, query) = (name.to_owned(), query.clone());
        self.union(query.range, move |inner, range| {
            let (name, query) = (name.clone(), MetaQuery { range, ..query.clone() });
            async move { inner.label_values(&name, &query).await }.boxed()
        })
        .await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        let mut tally = self.tally(report);
        let (one, by, report) = (select.clone(), grouping.clone(), report.clone());
        let mut answers = self.ask(self.cut(select.range, grouping.time)?, move |inner, range| {
            let select = Select { range, ..one.clone() };
            let (grouping, report) = (by.clone(), report.clone());
            async move {
                report.add_asked(1);
                inner.series(&select, &grouping, &report).await
            }
            .boxed()
        });
        // By labels and bin; parts of a sum may leave 64 bits and come back.
        let mut sums: BTreeMap<Labels, BTreeMap<Timestamp, (i128, Timestamp)>> = BTreeMap::new();
        let mut has_negative = false;
        while let Some((slice, answer)) = answers.next().await {
            let Some(answer) = tally.take(slice, answer)? else { continue };
            has_negative |= answer.has_negative;
            for series in answer.series {
                let points = sums.entry(series.labels).or_default();
                for point in series.points {
                    // A slice that begins within a bin says that the bin begins there.
                    let bin = bin(point.time, select, grouping.time);
                    let (value, first) = points.entry(bin).or_insert((0, point.time));
                    *value += i128::from(point.value);
                    *first = point.time.min(*first);
                }
            }
        }
        tally.finish()?;
        let is_whole = grouping.time == Bins::Whole;
        let mut series = Vec::with_capacity(sums.len());
        for (labels, sums) in sums {
            let mut points = Vec::with_capacity(sums.len());
            for (bin, (value, first)) in sums {
                let value = i64::try_from(value).map_err(|_| overflow())?;
                points.push(Point { time: if is_whole { first } else { bin }, value });
            }
            series.push(Series { labels, points });
        }
        Ok(SeriesAnswer { series, has_negative })
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        match self.cut(select.range, grouping.time) {
            Err(error) => stream::iter([Err(error)]).boxed(),
            Ok(slices) if slices.len() == 1 => self.stacks_of_one(select, grouping, report),
            Ok(slices) => self.stacks_of_many(slices, select, grouping, report),
        }
    }

    async fn profiles(&self, select: &Select, report: &Report) -> Result<Vec<ProfileRow>, Error> {
        self.list(select, Bins::Whole, report, |inner, select, report| {
            async move { inner.profiles(&select, &report).await }.boxed()
        })
        .await
    }

    async fn exemplars(&self, select: &Select, report: &Report) -> Result<Vec<Exemplar>, Error> {
        self.list(select, Bins::Whole, report, |inner, select, report| {
            async move { inner.exemplars(&select, &report).await }.boxed()
        })
        .await
    }

    async fn heatmap(
        &self,
        select: &Select,
        step: Step,
        report: &Report,
    ) -> Result<Vec<HeatmapCell>, Error> {
        let (step, columns) = self.columns(step, select.range);
        self.list(select, columns, report, move |inner, select, report| {
            async move { inner.heatmap(&select, step, &report).await }.boxed()
        })
        .await
    }

    async fn annotations(
        &self,
        select: &Select,
        report: &Report,
    ) -> Result<Vec<Annotation>, Error> {
        self.list(select, Bins::Whole, report, |inner, select, report| {
            async move { inner.annotations(&select, &report).await }.boxed()
        })
        .await
    }

    fn notices(&self) -> Vec<Notice> {
        self.inner.notices()
    }
}
