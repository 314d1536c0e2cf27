//! Ranges longer than a source takes: slices, and what becomes of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use flamesql_backend::{
    Backend, Bins, Capabilities, Error, ErrorKind, GroupBy, Grouping, HeatmapCell, LabelSet,
    Memory, MetaQuery, OnlyCapabilities, ProfileRow, Question, Report, Select, SeriesAnswer, Split,
    StackStream,
    conformance::{self, sample_truth, sample_truth_with_negatives, sample_truth_with_spans},
};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp};
use flamesql_selector::Selector;
use futures::{FutureExt, StreamExt, stream};
use proptest::prelude::*;

use crate::support;

const SECOND: i64 = 1_000_000_000;

fn step(nanos: i64) -> Step {
    Step::from_nanos(nanos).unwrap()
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(Timestamp::from_nanos(from), Timestamp::from_nanos(to)).unwrap()
}

fn every(width: i64, origin: i64) -> Bins {
    Bins::Every { step: step(width), origin: Timestamp::from_nanos(origin) }
}

fn cpu() -> ProfileType {
    ProfileType::parse(support::CPU).unwrap()
}

fn select_in(range: TimeRange) -> Select {
    Select::new(cpu(), Selector::all(), range)
}

/// A source that takes so many nanoseconds at a time.
fn limited(grain: i64, max: i64) -> Capabilities {
    let capabilities = Capabilities::local("memory").with_only(OnlyCapabilities::ALL);
    capabilities.with_grain(step(grain)).with_max_range(step(max)).endless()
}

#[tokio::test]
async fn slices_pass_what_the_whole_passes() {
    let negative = sample_truth_with_negatives(21);
    let spans = sample_truth_with_spans(22);
    let plain = sample_truth(23);
    for (truth, capabilities) in [
        (&spans, limited(1, 17 * SECOND + 3)),
        (&negative, limited(1_000_000, 60 * SECOND)),
        // Below the grain, and no multiple of it.
        (&plain, limited(10 * SECOND, 7 * SECOND).without_groups()),
        (&spans, limited(10 * SECOND, 25 * SECOND).without_groups()),
        (&plain, limited(1, 3600 * SECOND)),
    ] {
        let memory = support::memory(truth).with_capabilities(capabilities);
        let split = Split::new(Arc::new(memory));
        assert_eq!(split.capabilities().max_range, None);
        conformance::check(&split, truth).await;
    }
    // Without a limit it is in nobody's way.
    conformance::check(&Split::new(Arc::new(support::memory(&plain))), &plain).await;
}

#[tokio::test]
async fn memory_keeps_to_its_limit() {
    let memory = Memory::new().with_capabilities(limited(1, 10));
    let (fits, long) = (range(5, 15), range(5, 16));
    let meta = |range| MetaQuery { profile_type: None, selector: Selector::all(), range };
    let (by, report) = (Grouping::default(), Report::new());
    assert!(memory.series(&select_in(fits), &by, &report).await.is_ok());
    assert!(memory.profile_types(fits).await.is_ok());
    for error in [
        memory.series(&select_in(long), &by, &report).await.err(),
        support::stacks(&memory, &select_in(long), &by).await.err(),
        memory.profiles(&select_in(long), &Report::new()).await.err(),
        memory.profile_types(long).await.err(),
        memory.label_sets(&meta(long)).await.err(),
        memory.label_names(&meta(long)).await.err(),
    ] {
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidQuery));
    }
}

/// A source in which it can be seen what is asked, and that fails where it is told to.
#[derive(Debug)]
struct Probe {
    inner: Memory,
    fails: BTreeMap<i64, ErrorKind>,
    /// In stacks, after the first group.
    fails_late: bool,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    asked: Arc<Mutex<Vec<TimeRange>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

/// One question under way.
struct Running(Counts);

impl Running {
    async fn begin(counts: &Counts, range: TimeRange) -> Self {
        counts.asked.lock().unwrap().push(range);
        let n = counts.running.fetch_add(1, Relaxed) + 1;
        counts.most.fetch_max(n, Relaxed);
        let running = Self(counts.clone());
        // The first slices take longest, so that answers come out of order.
        for _ in 0..10 - (range.start().nanos() / 10).clamp(0, 9) {
            tokio::task::yield_now().await;
        }
        counts.finished.fetch_add(1, Relaxed);
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Probe {
    fn fail(&self, range: TimeRange) -> Option<Error> {
        let kind = self.fails.range(range.start().nanos()..range.end().nanos()).next()?.1;
        Some(Error::new(*kind, format!("fail with {kind:?}")))
    }
}

#[async_trait]
impl Backend for Probe {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        let _running = Running::begin(&self.counts, range).await;
        self.inner.profile_types(range).await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        let _running = Running::begin(&self.counts, query.range).await;
        match self.fail(query.range) {
            Some(error) => Err(error),
            None => self.inner.label_sets(query).await,
        }
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        let _running = Running::begin(&self.counts, select.range).await;
        match self.fail(select.range) {
            Some(error) => Err(error),
            None => self.inner.series(select, grouping, report).await,
        }
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        let error = self.fail(select.range);
        let groups = match (&error, self.fails_late) {
            (Some(_), false) => stream::empty().boxed(),
            _ => self.inner.stacks(select.clone(), grouping, report),
        };
        let groups = match error {
            Some(error) => groups.take(1).chain(stream::iter([Err(error)])).boxed(),
            None => groups,
        };
        let counts = self.counts.clone();
        stream::once(async move {
            let running = Running::begin(&counts, select.range).await;
            groups.inspect(move |_| {
                let _ = &running;
            })
        })
        .flatten()
        .boxed()
    }

    async fn profiles(&self, select: &Select, report: &Report) -> Result<Vec<ProfileRow>, Error> {
        let _running = Running::begin(&self.counts, select.range).await;
        self.inner.profiles(select, report).await
    }

    /// A cell for each question.
    async fn heatmap(
        &self,
        select: &Select,
        _step: Step,
        _report: &Report,
    ) -> Result<Vec<HeatmapCell>, Error> {
        let _running = Running::begin(&self.counts, select.range).await;
        let (time, labels) = (select.range.start(), Labels::default());
        let count = select.range.end().nanos() - time.nanos();
        Ok(vec![HeatmapCell { time, labels, value_min: 0.0, count }])
    }
}

/// One profile in each ten nanoseconds of the first hundred, asked for by ten.
fn probe(fails: &[(i64, ErrorKind)], fails_late: bool) -> (Split, Counts) {
    let inner = Memory::new().with_capabilities(limited(1, 10));
    for n in 0..10 {
        let labels: Labels = [("pod", ["a", "b"][n % 2])].into_iter().collect();
        let nanos = i64::try_from(n).unwrap() * 10 + 5;
        let tree = support::tree(&[(vec!["main".to_owned()], 1 << n)]);
        inner.insert(&cpu(), &labels, Timestamp::from_nanos(nanos), 0, &tree).unwrap();
    }
    let counts = Counts::default();
    let fails = fails.iter().copied().collect();
    let probe = Probe { inner, fails, fails_late, counts: counts.clone() };
    (Split::new(Arc::new(probe)), counts)
}

async fn sums(split: &Split, by: &Grouping, report: &Report) -> [Result<i64, Error>; 2] {
    let select = select_in(range(0, 100));
    let series = split.series(&select, by, report).await;
    let series =
        series.map(|a| a.series.iter().flat_map(|s| &s.points).map(|p| p.value).sum::<i64>());
    let groups: Vec<_> = split.stacks(select, by.clone(), report.clone()).collect().await;
    let groups: Result<Vec<_>, Error> = groups.into_iter().collect();
    let stacks = groups.map(|groups| groups.iter().map(|g| g.tree.total().unwrap()).sum::<i64>());
    [series, stacks]
}

#[tokio::test]
async fn what_a_failed_slice_holds_is_missing_and_told() {
    use ErrorKind::{Unavailable, Unreadable};
    for fails_late in [false, true] {
        for time in [Bins::Whole, every(5, 0), every(30, 7)] {
            let (split, _) = probe(&[(15, Unreadable), (40, Unavailable)], fails_late);
            let report = Report::new();
            let by = Grouping { labels: GroupBy::All, time };
            for sum in sums(&split, &by, &report).await {
                assert_eq!(sum.unwrap(), 1023 - (1 << 1) - (1 << 4), "{time:?}");
            }
            let coverage = report.coverage();
            // Once for series and once for stacks.
            assert_eq!((coverage.asked, coverage.answered, coverage.failed), (20, 16, 4));
            assert!(!report.is_complete());
            let notices = report.notices();
            assert!(notices.iter().all(|notice| notice.is_missing && notice.subject == "memory"));
            let first = format!("slice {}: fail with Unreadable", range(10, 20));
            assert_eq!((notices.len(), &notices[0].reason), (4, &first));
        }
    }
}

#[tokio::test]
async fn a_question_fails_if_all_slices_do_or_any_cannot_be_passed_over() {
    use ErrorKind::{
        Changed, Internal, InvalidQuery, NotFound, Overflow, Unauthorized, Unavailable, Unreadable,
        Unsupported,
    };
    let by = Grouping::default();
    let all: Vec<_> =
        (0..10).map(|n| (n * 10, if n == 0 { Unreadable } else { Unavailable })).collect();
    for fails_late in [false, true] {
        let report = Report::new();
        for sum in sums(&probe(&all, fails_late).0, &by, &report).await {
            assert_eq!(sum.unwrap_err().kind(), Unreadable);
        }
        assert_eq!(report.coverage().failed, 20);
    }
    for kind in [Changed, Internal, InvalidQuery, NotFound, Overflow, Unauthorized, Unsupported] {
        for sum in sums(&probe(&[(0, Unavailable), (55, kind)], true).0, &by, &Report::new()).await
        {
            assert_eq!(sum.unwrap_err().kind(), kind);
        }
    }
    // There is no report in which it could be told.
    let (split, _) = probe(&[(55, Unavailable)], false);
    let query = MetaQuery { profile_type: None, selector: Selector::all(), range: range(0, 100) };
    assert_eq!(split.label_sets(&query).await.unwrap_err().kind(), Unavailable);
}

#[tokio::test]
async fn one_slice_that_fails_is_the_question() {
    let (split, _) = probe(&[(5, ErrorKind::Unavailable)], true);
    let report = Report::new();
    let mut groups = split.stacks(select_in(range(0, 10)), Grouping::default(), report.clone());
    assert!(groups.next().await.unwrap().is_ok());
    assert!(groups.next().await.unwrap().is_err());
    assert!(groups.next().await.is_none());
    let coverage = report.coverage();
    assert_eq!((coverage.asked, coverage.answered, coverage.failed), (1, 0, 1));
    let (split, _) = probe(&[], false);
    let report = Report::new();
    let groups = split.stacks(select_in(range(0, 10)), Grouping::default(), report.clone());
    assert_eq!((groups.count().await, report.coverage().answered), (1, 1));
}

#[tokio::test]
async fn nothing_is_asked_before_it_is_polled_nor_much_at_a_time_nor_after_it_is_dropped() {
    for concurrency in [1, 3, Split::CONCURRENCY, 100] {
        let (split, counts) = probe(&[], false);
        let split = split.with_concurrency(concurrency);
        let asked = || counts.asked.lock().unwrap().len();
        let select = select_in(range(0, 100));
        let (by, report) = (Grouping::default(), Report::new());
        drop(split.series(&select, &by, &report));
        drop(split.stacks(select.clone(), by.clone(), report.clone()));
        assert_eq!((asked(), report.coverage().asked), (0, 0));

        let mut groups = split.stacks(select.clone(), by.clone(), report.clone());
        assert!(groups.next().now_or_never().is_none());
        assert_eq!(asked(), concurrency.min(10));
        drop(groups);
        let mut series = split.series(&select, &by, &report);
        assert!((&mut series).now_or_never().is_none());
        drop(series);
        tokio::task::yield_now().await;
        let running = counts.running.load(Relaxed);
        assert_eq!(
            (asked(), running, counts.finished.load(Relaxed)),
            (2 * concurrency.min(10), 0, 0)
        );

        for sum in sums(&split, &by, &report).await {
            assert_eq!(sum.unwrap(), 1023);
        }
        let meta = MetaQuery { profile_type: None, selector: Selector::all(), range: select.range };
        assert_eq!(split.label_sets(&meta).await.unwrap().len(), 2);
        assert_eq!(split.profiles(&select, &Report::new()).await.unwrap().len(), 10);
        assert_eq!(counts.most.load(Relaxed), concurrency.min(10));
        assert_eq!(counts.running.load(Relaxed), 0);
        assert!(
            counts.asked.lock().unwrap().iter().all(|r| r.end().nanos() - r.start().nanos() <= 10)
        );
    }
}

#[tokio::test]
async fn groups_are_handed_on_as_soon_as_no_slice_can_add_to_them() {
    let (split, counts) = probe(&[], false);
    let split = split.with_concurrency(1);
    let by = Grouping { labels: GroupBy::default(), time: every(20, 0) };
    let mut groups = split.stacks(select_in(range(0, 100)), by, Report::new());
    let mut seen = Vec::new();
    while let Some(group) = groups.next().await {
        let group = group.unwrap();
        let n_asked = counts.asked.lock().unwrap().len();
        seen.push((group.time.nanos(), group.tree.total().unwrap(), n_asked));
    }
    assert_eq!(seen, [(0, 3, 2), (20, 12, 4), (40, 48, 6), (60, 192, 8), (80, 768, 10)]);
}

/// No column of a heat map lies in two slices, so that each is as wide as the others.
#[tokio::test]
async fn heat_maps_are_cut_where_columns_begin() {
    let (split, _) = probe(&[], false);
    let cells = split.heatmap(&select_in(range(3, 45)), step(4), &Report::new()).await.unwrap();
    let slices: Vec<_> = cells.iter().map(|cell| (cell.time.nanos(), cell.count)).collect();
    assert_eq!(slices, [(3, 8), (11, 8), (19, 8), (27, 8), (35, 8), (43, 2)]);
    assert_eq!(split.n_requests(Question::Heatmap(step(4)), range(3, 45)), 6);
    // Columns wider than a slice become narrower.
    let cells = split.heatmap(&select_in(range(3, 45)), step(20), &Report::new()).await.unwrap();
    let slices: Vec<_> = cells.iter().map(|cell| (cell.time.nanos(), cell.count)).collect();
    assert_eq!(slices, [(3, 10), (13, 10), (23, 10), (33, 10), (43, 2)]);
    assert_eq!(split.n_requests(Question::Heatmap(step(20)), range(3, 45)), 5);
}

#[tokio::test]
async fn a_range_of_too_many_slices_is_refused_before_anything_is_asked() {
    let (split, counts) = probe(&[], false);
    let n = i64::from(Split::MAX_SLICES);
    for range in [TimeRange::ALL, range(0, n * 10 + 1)] {
        let select = select_in(range);
        let errors = [
            split.series(&select, &Grouping::default(), &Report::new()).await.unwrap_err(),
            support::stacks(&split, &select, &Grouping::default()).await.unwrap_err(),
            split.profiles(&select, &Report::new()).await.unwrap_err(),
            split.profile_types(range).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidQuery);
            let text = error.to_string();
            assert!(text.contains(&range.to_string()) && text.contains("name a shorter"), "{text}");
        }
    }
    let error = split.profile_types(range(0, n * 10 + 1)).await.unwrap_err().to_string();
    assert!(error.contains("10001 requests") && error.contains("10000"), "{error}");
    assert!(counts.asked.lock().unwrap().is_empty());
    assert!(!split.capabilities().is_finite);
}

#[tokio::test]
async fn sums_that_leave_64_bits_and_come_back_are_right_and_others_an_error() {
    let memory = Memory::new().with_capabilities(limited(1, 10));
    let put = |nanos, value| {
        let tree = support::tree(&[(vec!["main".to_owned()], value)]);
        memory.insert(&cpu(), &Labels::default(), Timestamp::from_nanos(nanos), 0, &tree).unwrap();
    };
    put(5, i64::MAX);
    put(15, 2);
    put(25, -3);
    let split = Split::new(Arc::new(memory.clone()));
    let ask = |to| {
        let split = split.clone();
        async move {
            let answer =
                split.series(&select_in(range(0, to)), &Grouping::default(), &Report::new()).await;
            answer.map(|answer| (answer.series[0].points[0].value, answer.has_negative))
        }
    };
    assert_eq!(ask(30).await.unwrap(), (i64::MAX - 1, true));
    assert_eq!(ask(20).await.unwrap_err().kind(), ErrorKind::Overflow);
    let stacks = support::stacks(&split, &select_in(range(0, 20)), &Grouping::default()).await;
    assert_eq!(stacks.unwrap_err().kind(), ErrorKind::Overflow);
}

/// All of an answer, in an order.
async fn shown(
    backend: &dyn Backend,
    select: &Select,
    by: &Grouping,
) -> (SeriesAnswer, Vec<String>) {
    let series = backend.series(select, by, &Report::new()).await.unwrap();
    let mut lines = Vec::new();
    for group in support::stacks(backend, select, by).await.unwrap() {
        let head = format!("{} {} {}", group.labels, group.time, group.has_negative);
        for (node, value) in group.tree.stacks() {
            lines.push(format!("{head} {:?} {value}", group.tree.path(node)));
        }
        lines.push(head);
    }
    lines.sort_unstable();
    (series, lines)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slices_add_up_to_the_whole(
        profiles in prop::collection::vec((-60_i64..60, 0..3_usize, 0..4_usize, 1..100_i64), 0..30),
        (from, length) in (-70_i64..60, 0..140_i64),
        (width, origin) in (1..60_i64, -100_i64..100),
        is_whole in prop::bool::weighted(0.2),
        by_pod in any::<bool>(),
        (max, grain) in (1..70_i64, prop::sample::select(vec![1, 1, 4, 10])),
        concurrency in 1..6_usize,
    ) {
        let capabilities = Capabilities::local("memory").with_grain(step(grain));
        let whole = Memory::new().with_capabilities(capabilities);
        for (nanos, pod, function, value) in profiles {
            let labels: Labels = [("pod", ["a", "b", ""][pod])].into_iter().collect();
            let stack = [vec!["main"], vec!["main", "f"], vec!["g"], vec![]][function].clone();
            let tree = support::tree(&[(stack.into_iter().map(str::to_owned).collect(), value)]);
            whole.insert(&cpu(), &labels, Timestamp::from_nanos(nanos), 0, &tree).unwrap();
        }
        let parts = whole.clone().with_capabilities(capabilities.with_max_range(step(max)));
        let split = Split::new(Arc::new(parts)).with_concurrency(concurrency);
        let select = select_in(range(from, from + length));
        let labels = if by_pod { GroupBy::All } else { GroupBy::default() };
        let time = if is_whole { Bins::Whole } else { every(width, origin) };
        let by = Grouping { labels, time };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_eq!(shown(&split, &select, &by).await, shown(&whole, &select, &by).await);
            assert_eq!(split.profiles(&select, &Report::new()).await.unwrap(), whole.profiles(&select, &Report::new()).await.unwrap());
            let meta = MetaQuery { profile_type: None, selector: Selector::all(), range: select.range };
            assert_eq!(split.label_sets(&meta).await.unwrap(), whole.label_sets(&meta).await.unwrap());
            let values = (split.label_values("pod", &meta).await, whole.label_values("pod", &meta).await);
            assert_eq!(values.0.unwrap(), values.1.unwrap());
        });
    }
}
