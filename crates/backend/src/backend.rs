//! The trait that every source implements.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use flamesql_profile::{ProfileType, StackTree, Step, TimeRange, Timestamp, format_duration};
use flamesql_selector::Selector;
use futures::stream::BoxStream;

use crate::{
    Annotation, Bins, Error, ErrorKind, Exemplar, Grouping, HeatmapCell, LabelSet, MetaQuery,
    Notice, Only, ProfileRow, Report, Select, SeriesAnswer, StackGroup,
};

/// Groups of stacks, as they become complete. Dropping it stops the work.
pub type StackStream = BoxStream<'static, Result<StackGroup, Error>>;

/// A place that profiles come from.
///
/// An implementation answers exactly what is asked: each profile in the range counts once, no label condition is
/// dropped, nothing is cut off. What it cannot do is an [`ErrorKind::Unsupported`]. The range is half-open; how it is
/// asked from a server that thinks otherwise is the implementation's business.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What this source can do. The same on each call.
    fn capabilities(&self) -> Capabilities;

    /// How many requests a question comes to at least, by itself: nothing is asked to find out. Whoever plans counts with
    /// it before asking, so that one question that is hundreds of requests does not pass for one.
    fn n_requests(&self, _question: Question, _range: TimeRange) -> u64 {
        1
    }

    /// The profile types that have data in the range, sorted.
    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error>;

    /// The type to take where none is named: for a file the one that it says is to be shown first.
    async fn default_profile_type(&self) -> Result<Option<ProfileType>, Error> {
        Ok(None)
    }

    /// The series that exist, sorted. Labels whose names begin with `__` are left out.
    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error>;

    /// The names of the labels that exist, sorted.
    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        let sets = self.label_sets(query).await?;
        let names: BTreeSet<&str> =
            sets.iter().flat_map(|set| set.labels.iter().map(|(name, _)| name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// The values of one label, sorted.
    async fn label_values(&self, name: &str, query: &MetaQuery) -> Result<Vec<String>, Error> {
        let sets = self.label_sets(query).await?;
        let values: BTreeSet<&str> = sets.iter().filter_map(|set| set.labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    /// Values over time, a series for each group of labels.
    ///
    /// [`Select::only`] other than [`Only::All`] is [`ErrorKind::Unsupported`] here, whatever the capabilities: the
    /// totals of a span are those of its stacks.
    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error>;

    /// Merged stacks, a tree for each group that has a profile. The work begins when the stream is polled.
    ///
    /// With [`Select::only`], of the samples it chooses; a group without one is not there. A choice that is not in
    /// [`Capabilities::only`] is [`ErrorKind::Unsupported`].
    ///
    /// A source whose [`Capabilities::groups_stacks`] is false refuses all but one group: no labels, [`Bins::Whole`].
    ///
    /// [`Bins::Whole`]: crate::Bins::Whole
    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream;

    /// Values over time as in [`Backend::series`], to which each stack adds its value as often as `weigh` says. Groups
    /// and [`Select::only`] are those of [`Backend::stacks`]; a group in which no stack counts has a point of 0 or none.
    ///
    /// `None` where this is not less work than [`Backend::stacks`], which is then asked instead: so it is at a source that
    /// does not hold stacks itself, and where `weigh` gives none.
    async fn weighed(
        &self,
        select: &Select,
        grouping: &Grouping,
        weigh: Arc<dyn Weigh>,
        report: &Report,
    ) -> Result<Option<SeriesAnswer>, Error> {
        let _ = (select, grouping, weigh, report);
        Ok(None)
    }

    /// The single profiles of a selection, sorted by time; no two of one type have the same id.
    ///
    /// [`Select::only`] other than [`Only::All`] is [`ErrorKind::Unsupported`], as in [`Backend::series`].
    async fn profiles(&self, select: &Select, _report: &Report) -> Result<Vec<ProfileRow>, Error> {
        let what = format!(
            "list the profiles of {}: a {} source does not tell its profiles apart",
            select.profile_type,
            self.capabilities().kind
        );
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// Profiles and spans that stand for others, sorted by time.
    async fn exemplars(&self, select: &Select, _report: &Report) -> Result<Vec<Exemplar>, Error> {
        Err(has_none(self, "exemplars", select))
    }

    /// How many profiles have which value when, sorted by time: in columns of `step`, counted from the start of the range.
    async fn heatmap(
        &self,
        select: &Select,
        _step: Step,
        _report: &Report,
    ) -> Result<Vec<HeatmapCell>, Error> {
        Err(has_none(self, "heat map", select))
    }

    /// What was noted while profiles were taken in, sorted by time.
    async fn annotations(
        &self,
        select: &Select,
        _report: &Report,
    ) -> Result<Vec<Annotation>, Error> {
        Err(has_none(self, "annotations", select))
    }

    /// When the oldest and the newest profile were taken; `None` if there is none.
    ///
    /// A source at hand that does not say otherwise lists its profiles to find out. Of one that is not
    /// ([`Capabilities::is_finite`]) that would be without end, so this is [`ErrorKind::Unsupported`]; a server may say it by
    /// itself, as far as it knows.
    async fn first_and_last(&self) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        let Capabilities { kind, is_finite, .. } = self.capabilities();
        if !is_finite {
            let what = format!("ask since when there are profiles: a {kind} source does not tell");
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let mut times = None;
        for profile_type in self.profile_types(TimeRange::ALL).await? {
            let select = Select::new(profile_type, Selector::all(), TimeRange::ALL);
            for profile in self.profiles(&select, &Report::new()).await? {
                times = with_time(times, profile.time);
            }
        }
        Ok(times)
    }

    /// What was skipped or repaired so far.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }
}

/// The first and the last time, one more taken in.
pub(crate) fn with_time(
    times: Option<(Timestamp, Timestamp)>,
    time: Timestamp,
) -> Option<(Timestamp, Timestamp)> {
    let (first, last) = times.unwrap_or((time, time));
    Some((first.min(time), last.max(time)))
}

fn has_none<B: Backend + ?Sized>(source: &B, what: &str, select: &Select) -> Error {
    let (kind, of) = (source.capabilities().kind, &select.profile_type);
    Error::new(ErrorKind::Unsupported, format!("list the {what} of {of}: a {kind} source has none"))
}

/// A kind of question, as far as its kind says how many requests it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// [`Backend::series`], in these bins.
    Series(Bins),
    /// One group of [`Backend::stacks`], or all of them where the source tells them apart, in these bins.
    Stacks(Bins),
    /// [`Backend::heatmap`], in columns of this width.
    Heatmap(Step),
    /// Anything else, such as names or single profiles: what is listed over a range.
    List,
}

impl Question {
    /// The bins that are told apart.
    pub(crate) fn bins(self) -> Bins {
        match self {
            Self::Series(bins) | Self::Stacks(bins) => bins,
            Self::Heatmap(_) | Self::List => Bins::Whole,
        }
    }
}

/// How often stacks count in a sum.
pub trait Weigh: fmt::Debug + Send + Sync + 'static {
    /// For each stack of a tree, by [`NodeId::index`](flamesql_profile::NodeId::index), how often its value counts. The
    /// tree's own values mean nothing, and some of its stacks may have none anywhere.
    ///
    /// `None` if this cannot be said without them, or not in 8 bits.
    fn weigh(&self, tree: &StackTree) -> Option<Vec<u8>>;
}

/// What a source can do, as far as a planner has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The kind of source, in one word, such as `files`.
    pub kind: &'static str,
    /// The finest time that it can be exact at: a profile's time is floored to a multiple of it.
    pub grain: Step,
    /// Whether one request for stacks may ask for several groups.
    pub groups_stacks: bool,
    /// Whether a question without a range means all that there is (and not the last hour).
    pub is_finite: bool,
    /// Which of [`Only`]'s choices it can make.
    pub only: OnlyCapabilities,
    /// The longest range of one request; longer ones are an [`ErrorKind::InvalidQuery`], of names and labels too.
    /// [`Split`](crate::Split) cuts them.
    pub max_range: Option<Step>,
    /// Whether lists of types and labels hold all that is in a range. Where they hold only what came last, an id that is
    /// not listed may have profiles nevertheless, and label sets may lack labels.
    pub lists_all: bool,
    /// Whether labels whose names need quotes, such as `k8s.cluster`, are in lists of labels. Where they are not,
    /// [`GroupBy::All`](crate::GroupBy::All) leaves them out, and whoever knows their names has to give them.
    pub lists_quoted: bool,
}

/// Which narrower choices than labels a source can make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnlyCapabilities {
    /// Samples of spans.
    pub spans: bool,
    /// Samples of traces.
    pub traces: bool,
    /// Single profiles.
    pub profiles: bool,
}

impl OnlyCapabilities {
    /// All of them.
    pub const ALL: Self = Self { spans: true, traces: true, profiles: true };
    /// None of them.
    pub const NONE: Self = Self { spans: false, traces: false, profiles: false };

    /// Whether a choice is among them.
    pub fn allows(self, only: &Only) -> bool {
        match only {
            Only::All => true,
            Only::Spans(_) => self.spans,
            Only::Traces(_) => self.traces,
            Only::Profiles(_) => self.profiles,
        }
    }
}

impl Capabilities {
    /// Those of a source that holds all its profiles: any time, all groups at once, and no choice but by labels.
    pub const fn local(kind: &'static str) -> Self {
        Self {
            kind,
            grain: Step::NANOSECOND,
            groups_stacks: true,
            is_finite: true,
            only: OnlyCapabilities::NONE,
            max_range: None,
            lists_all: true,
            lists_quoted: true,
        }
    }

    /// The same, but labels whose names need quotes are in no list.
    #[must_use]
    pub const fn without_quoted(mut self) -> Self {
        self.lists_quoted = false;
        self
    }

    /// The same, but lists hold only what came last.
    #[must_use]
    pub const fn without_lists(mut self) -> Self {
        self.lists_all = false;
        self
    }

    /// The same with another grain.
    #[must_use]
    pub const fn with_grain(mut self, grain: Step) -> Self {
        self.grain = grain;
        self
    }

    /// The same, but one group a request for stacks.
    #[must_use]
    pub const fn without_groups(mut self) -> Self {
        self.groups_stacks = false;
        self
    }

    /// The same with these choices.
    #[must_use]
    pub const fn with_only(mut self, only: OnlyCapabilities) -> Self {
        self.only = only;
        self
    }

    /// The same with a limit to the range of one request.
    #[must_use]
    pub const fn with_max_range(mut self, max_range: Step) -> Self {
        self.max_range = Some(max_range);
        self
    }

    /// The same, but where no range is named the last hour is meant.
    #[must_use]
    pub const fn endless(mut self) -> Self {
        self.is_finite = false;
        self
    }

    /// Refuses a range beyond the limit.
    pub(crate) fn check_range(&self, range: TimeRange) -> Result<(), Error> {
        match self.max_range {
            Some(max) if length(range) > i128::from(max.nanos()) => {
                let what = format!(
                    "ask a {} source for {range}: the longest range of one request is {}",
                    self.kind,
                    format_duration(max.nanos())
                );
                Err(Error::new(ErrorKind::InvalidQuery, what))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a choice that is not among those of this source.
    pub(crate) fn check_only(&self, only: &Only) -> Result<(), Error> {
        if self.only.allows(only) { Ok(()) } else { Err(unsupported(self.kind, only)) }
    }
}

/// How many nanoseconds a range has.
pub(crate) fn length(range: TimeRange) -> i128 {
    i128::from(range.end().nanos()) - i128::from(range.start().nanos())
}

/// Refuses a choice where there is none.
pub(crate) fn only_all(kind: &str, only: &Only) -> Result<(), Error> {
    if *only == Only::All { Ok(()) } else { Err(unsupported(kind, only)) }
}

fn unsupported(kind: &str, only: &Only) -> Error {
    let by = match only {
        Only::All => "label",
        Only::Spans(_) => "span",
        Only::Traces(_) => "trace",
        Only::Profiles(_) => "profile",
    };
    let what = format!("choose by {by}: a {kind} source makes no such choice here");
    Error::new(ErrorKind::Unsupported, what)
}
