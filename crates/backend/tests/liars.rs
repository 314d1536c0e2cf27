//! Backends that lie in one respect each: every check has to be able to fail, and to say what is wrong.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use flamesql_backend::{
    Backend, Bins, Capabilities, Error, ErrorKind, GroupBy, Grouping, LabelSet, Memory, MetaQuery,
    Only, OnlyCapabilities, ProfileRow, Report, Select, SeriesAnswer, StackGroup, StackStream,
    Weigh,
    conformance::{self, sample_truth, sample_truth_with_negatives, sample_truth_with_spans},
};
use flamesql_profile::{
    Labels, Point, ProfileType, StackTree, StackTreeBuilder, Step, SubsetScratch, TimeRange,
    Timestamp,
};
use flamesql_selector::{MatchOp, Selector};
use futures::{FutureExt, StreamExt, stream};

use crate::support;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    None,
    ChangesItsCapabilities,
    GroupsStacksAfterAll,
    ListsATypeOfZeros,
    ForgetsTheRangeOfTypes,
    ForgetsTheSelectorOfLabelSets,
    ListsLabelSetsBackwards,
    ForgetsTheRangeOfNames,
    TakesTheEnd,
    LeavesOutTheStart,
    DoesNotFloor,
    MergesGroups,
    LosesTheGroupWithoutTheLabel,
    AddsAnEmptyGroup,
    SendsAGroupTwice,
    GoesThroughDoubles,
    ForgetsSigns,
    AddsAPointOfZero,
    CountsBinsFromTheEpoch,
    DoesNotCutBins,
    DropsTheLastMatcher,
    TakesMissingForUnequal,
    SearchesInsteadOfMatching,
    LosesAStack,
    AddsStacksUpByLeaf,
    KnowsItsTypesOnly,
    ReadsTheSixthPart,
    LosesAProfile,
    ListsProfilesBackwards,
    AllowsFourStreams,
    AnswersABadRegex,
    IgnoresTheChoice,
    TakesTheFirstIdOnly,
    TakesSpansForTraces,
    ReadsSmallLettersOnly,
    HidesThatItChooses,
    AddsUpSeriesOfSpans,
    GivesAllProfilesOneId,
    CountsEachStackOnce,
}

#[derive(Debug)]
struct Liar {
    inner: Memory,
    lie: Lie,
    n_calls: AtomicUsize,
    streams: Arc<()>,
}

impl Liar {
    fn is(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    fn range(&self, range: TimeRange) -> TimeRange {
        let (start, end) = (range.start(), range.end());
        match self.lie {
            Lie::TakesTheEnd => TimeRange::new(start, end.saturating_add(1)).unwrap(),
            Lie::LeavesOutTheStart if start < end => {
                TimeRange::new(start.saturating_add(1), end).unwrap()
            }
            _ => range,
        }
    }

    fn bent(&self, select: &Select, grouping: &Grouping) -> (Select, Grouping) {
        let (mut select, mut grouping) = (select.clone(), grouping.clone());
        select.range = self.range(select.range);
        match (self.lie, &mut select.only) {
            (Lie::IgnoresTheChoice, only) => *only = Only::All,
            (Lie::TakesTheFirstIdOnly, Only::Spans(ids) | Only::Profiles(ids)) => ids.truncate(1),
            (Lie::TakesSpansForTraces, Only::Traces(ids)) => {
                select.only = Only::Spans(ids.clone());
            }
            (Lie::ReadsSmallLettersOnly, Only::Spans(ids)) => {
                ids.retain(|id| id.chars().all(|c| !c.is_ascii_uppercase()));
            }
            _ => {}
        }
        let matchers = &mut select.selector.matchers;
        match self.lie {
            Lie::DropsTheLastMatcher => drop(matchers.pop()),
            Lie::TakesMissingForUnequal => matchers.retain(|m| !m.value.is_empty()),
            Lie::SearchesInsteadOfMatching => {
                for matcher in matchers.iter_mut().filter(|m| m.op == MatchOp::Regex) {
                    matcher.value = format!("(?:{}).*", matcher.value);
                }
            }
            Lie::AnswersABadRegex => matchers.retain(|m| m.value != "("),
            Lie::MergesGroups => {
                if let GroupBy::Labels(names) = &mut grouping.labels {
                    names.pop();
                }
            }
            Lie::CountsBinsFromTheEpoch => {
                if let Bins::Every { origin, .. } = &mut grouping.time {
                    *origin = Timestamp::from_nanos(0);
                }
            }
            _ => {}
        }
        (select, grouping)
    }

    fn bent_value(&self, value: i64) -> i64 {
        if self.is(Lie::GoesThroughDoubles) { value as f64 as i64 } else { value }
    }

    fn bent_tree(&self, tree: &StackTree) -> StackTree {
        let mut rows: Vec<_> = tree.stacks().map(|(n, v)| (n, self.bent_value(v))).collect();
        match self.lie {
            Lie::LosesAStack => drop(rows.pop()),
            Lie::AddsStacksUpByLeaf => {
                let mut builder = StackTreeBuilder::new();
                for (node, value) in rows {
                    let leaf: Vec<_> = tree
                        .path(node)
                        .last()
                        .map(|name| builder.intern(name))
                        .into_iter()
                        .collect();
                    let node = builder.insert(&leaf).unwrap();
                    builder.add(node, value).unwrap();
                }
                return builder.finish();
            }
            _ => {}
        }
        tree.subset(&rows, &mut SubsetScratch::default())
    }

    fn refuse(&self, select: &Select) -> Result<(), Error> {
        let is_known = !select.profile_type.name().starts_with("no_such");
        match self.lie {
            Lie::KnowsItsTypesOnly if !is_known => {
                Err(Error::new(ErrorKind::NotFound, "no such type"))
            }
            Lie::ReadsTheSixthPart if select.profile_type.as_str().ends_with(":delta") => {
                Err(Error::new(ErrorKind::InvalidQuery, "six parts"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Backend for Liar {
    fn capabilities(&self) -> Capabilities {
        let honest = self.inner.capabilities();
        let n_calls = self.n_calls.fetch_add(1, Ordering::Relaxed);
        match self.lie {
            Lie::ChangesItsCapabilities if n_calls % 2 == 1 => honest.endless(),
            Lie::HidesThatItChooses => honest.with_only(OnlyCapabilities::NONE),
            Lie::GroupsStacksAfterAll => honest.without_groups(),
            Lie::DoesNotFloor => honest.with_grain(Step::from_nanos(1_000_000).unwrap()),
            _ => honest,
        }
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        let range = if self.is(Lie::ForgetsTheRangeOfTypes) { TimeRange::ALL } else { range };
        let mut types = self.inner.profile_types(range).await?;
        if self.is(Lie::ListsATypeOfZeros) {
            types.insert(0, ProfileType::parse("goroutine:goroutines:count::").unwrap());
        }
        Ok(types)
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        let mut query = query.clone();
        if self.is(Lie::ForgetsTheSelectorOfLabelSets) {
            query.selector = Selector::all();
        }
        let mut sets = self.inner.label_sets(&query).await?;
        if self.is(Lie::ListsLabelSetsBackwards) {
            sets.reverse();
        }
        Ok(sets)
    }

    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        let mut query = query.clone();
        if self.is(Lie::ForgetsTheRangeOfNames) {
            query.range = TimeRange::ALL;
        }
        self.inner.label_names(&query).await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        self.refuse(select)?;
        let (mut bent, grouping) = self.bent(select, grouping);
        match self.lie {
            Lie::AddsUpSeriesOfSpans => bent.only = Only::All,
            _ => bent.only.clone_from(&select.only),
        }
        let mut answer = self.inner.series(&bent, &grouping, report).await?;
        for series in &mut answer.series {
            for point in &mut series.points {
                point.value = self.bent_value(point.value);
                if let (Lie::DoesNotCutBins, Bins::Every { step, origin }) =
                    (self.lie, grouping.time)
                {
                    point.time = point.time.floor(step, origin);
                }
            }
            if self.is(Lie::AddsAPointOfZero) {
                let time = series.points[0].time.saturating_add(1);
                series.points.insert(1, Point { time, value: 0 });
            }
        }
        if self.is(Lie::LosesTheGroupWithoutTheLabel) && grouping.labels != GroupBy::Labels(vec![])
        {
            answer.series.retain(|series| !series.labels.is_empty());
        }
        answer.has_negative &= !self.is(Lie::ForgetsSigns);
        Ok(answer)
    }

    async fn weighed(
        &self,
        select: &Select,
        grouping: &Grouping,
        weigh: Arc<dyn Weigh>,
        report: &Report,
    ) -> Result<Option<SeriesAnswer>, Error> {
        match self.lie {
            Lie::None => self.inner.weighed(select, grouping, weigh, report).await,
            Lie::CountsEachStackOnce => {
                self.inner.weighed(select, grouping, Arc::new(Once), report).await
            }
            _ => Ok(None),
        }
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        if let Err(error) = self.refuse(&select) {
            return stream::iter([Err(error)]).boxed();
        }
        if self.is(Lie::AllowsFourStreams) && Arc::strong_count(&self.streams) > 4 {
            let error = Error::new(ErrorKind::Internal, "too many streams");
            return stream::iter([Err(error)]).boxed();
        }
        let (bent, grouping) = self.bent(&select, &grouping);
        let this = Self {
            inner: self.inner.clone(),
            lie: self.lie,
            n_calls: AtomicUsize::new(0),
            streams: Arc::clone(&self.streams),
        };
        let extra = (self.is(Lie::AddsAnEmptyGroup)).then(|| {
            let labels: Labels = [("pod", "nobody")].into_iter().collect();
            let time = select.range.start();
            Ok(StackGroup { labels, time, tree: StackTree::default(), has_negative: false })
        });
        self.inner
            .stacks(bent, grouping, report)
            .flat_map(move |group| {
                let group = group.map(|mut group| {
                    group.tree = this.bent_tree(&group.tree);
                    group.has_negative &= !this.is(Lie::ForgetsSigns);
                    group
                });
                let n = if this.is(Lie::SendsAGroupTwice) { 2 } else { 1 };
                stream::iter(vec![group; n])
            })
            .chain(stream::iter(extra))
            .boxed()
    }

    async fn profiles(&self, select: &Select, report: &Report) -> Result<Vec<ProfileRow>, Error> {
        let mut rows = self.inner.profiles(select, report).await?;
        match self.lie {
            Lie::LosesAProfile => drop(rows.pop()),
            Lie::ListsProfilesBackwards => rows.reverse(),
            Lie::GivesAllProfilesOneId => rows.iter_mut().for_each(|row| row.id = "1".to_owned()),
            _ => {}
        }
        Ok(rows)
    }
}

#[derive(Debug)]
struct Once;

impl Weigh for Once {
    fn weigh(&self, tree: &StackTree) -> Option<Vec<u8>> {
        Some(vec![1; tree.len()])
    }
}

fn liar(lie: Lie) -> Liar {
    let truth = truth(lie);
    let inner = support::memory(&truth);
    Liar { inner, lie, n_calls: AtomicUsize::new(0), streams: Arc::new(()) }
}

fn truth(lie: Lie) -> Vec<conformance::TruthProfile> {
    match lie {
        Lie::ForgetsSigns => sample_truth_with_negatives(9),
        Lie::IgnoresTheChoice
        | Lie::TakesTheFirstIdOnly
        | Lie::TakesSpansForTraces
        | Lie::ReadsSmallLettersOnly => sample_truth_with_spans(9),
        _ => sample_truth(9),
    }
}

/// What a check says of a liar.
async fn caught(lie: Lie, check: impl Future<Output = ()>) -> String {
    let Err(panic) = AssertUnwindSafe(check).catch_unwind().await else {
        panic!("nothing noticed that the backend {lie:?}");
    };
    *panic.downcast::<String>().unwrap()
}

macro_rules! each_is_caught {
    ($($check:ident: $($lie:ident)+;)+) => {
        #[tokio::test]
        async fn each_check_catches_its_lies() {
            $($({
                let (liar, truth) = (liar(Lie::$lie), truth(Lie::$lie));
                let message = caught(Lie::$lie, conformance::$check(&liar, &truth)).await;
                let start = concat!("conformance check `", stringify!($check), "` of a memory source failed");
                assert!(message.starts_with(start), "{message}");
                for part in ["\n  asked: ", "\n  right: ", "\n  answered: "] {
                    assert!(message.contains(part), "{message}");
                }
            })+)+
        }

        #[tokio::test]
        async fn all_checks_together_catch_one_lie_of_each() {
            $({
                let lie = [$(Lie::$lie),+][0];
                caught(lie, conformance::check(&liar(lie), &truth(lie))).await;
            })+
        }

        #[tokio::test]
        async fn a_wrapper_that_does_not_lie_passes() {
            let (liar, truth) = (liar(Lie::None), truth(Lie::None));
            $(conformance::$check(&liar, &truth).await;)+
        }
    };
}

each_is_caught! {
    capabilities: ChangesItsCapabilities GroupsStacksAfterAll;
    profile_types: ListsATypeOfZeros ForgetsTheRangeOfTypes;
    label_sets: ForgetsTheSelectorOfLabelSets ListsLabelSetsBackwards;
    label_names_and_values: ForgetsTheRangeOfNames ForgetsTheSelectorOfLabelSets;
    bounds: TakesTheEnd LeavesOutTheStart DoesNotFloor;
    groups: MergesGroups LosesTheGroupWithoutTheLabel AddsAnEmptyGroup SendsAGroupTwice GoesThroughDoubles
        ForgetsSigns LosesAStack AddsStacksUpByLeaf CountsEachStackOnce;
    bins: AddsAPointOfZero CountsBinsFromTheEpoch DoesNotCutBins DoesNotFloor;
    selectors: DropsTheLastMatcher TakesMissingForUnequal SearchesInsteadOfMatching;
    mixed: LosesAStack DropsTheLastMatcher TakesTheEnd MergesGroups;
    nothing: KnowsItsTypesOnly ReadsTheSixthPart;
    profiles: LosesAProfile ListsProfilesBackwards;
    only: IgnoresTheChoice TakesTheFirstIdOnly TakesSpansForTraces ReadsSmallLettersOnly HidesThatItChooses
        AddsUpSeriesOfSpans GivesAllProfilesOneId;
    dropped_streams: AllowsFourStreams;
    refusals: AnswersABadRegex;
}
