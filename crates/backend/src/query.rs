//! What a backend is asked, and what it answers: plain data.

use flamesql_profile::{Labels, ProfileType, Series, StackTree, Step, TimeRange, Timestamp};
use flamesql_selector::Selector;

/// Which profiles: of one type, chosen by their labels and times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Select {
    /// What is measured.
    pub profile_type: ProfileType,
    /// Which label sets.
    pub selector: Selector,
    /// When: a profile counts whole at its time, floored to the source's grain.
    pub range: TimeRange,
    /// Which samples or profiles of them.
    pub only: Only,
    /// The end of the range, if it is meant to the nanosecond although a server's times are coarser: if it is the first
    /// nanosecond after a whole millisecond, a server that compares nanoseconds itself is asked up to that millisecond.
    /// Without it all of the grain in which the range ends counts.
    pub exact_end: Option<Timestamp>,
}

impl Select {
    /// All samples of the profiles of one type that a selector and a range choose.
    pub fn new(profile_type: ProfileType, selector: Selector, range: TimeRange) -> Self {
        Self { profile_type, selector, range, only: Only::All, exact_end: None }
    }
}

/// A narrower choice than labels can make. A source that has no such choice refuses all but [`Only::All`]; see
/// [`Capabilities`](crate::Capabilities).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Only {
    /// Whatever labels and range choose.
    #[default]
    All,
    /// Samples taken in one of these spans: ids as 16 hexadecimal digits, in either case.
    ///
    /// In pprof it is the text label `span_id` of a sample, or `profile_id`, which older clients write for it.
    Spans(Vec<String>),
    /// Samples taken in one of these traces: ids as 32 hexadecimal digits, in either case.
    ///
    /// In pprof it is the text label `trace_id` of a sample.
    Traces(Vec<String>),
    /// These profiles, by [`ProfileRow::id`].
    Profiles(Vec<String>),
}

/// Whether an id is a UUID, as servers call their profiles: hexadecimal digits of either case, 8-4-4-4-12.
///
/// ```
/// assert!(flamesql_backend::is_uuid("c442d838-5285-4d13-94e2-11ceebfd2187"));
/// assert!(!flamesql_backend::is_uuid("c442d838-5285-4d13-94e2"));
/// ```
pub fn is_uuid(id: &str) -> bool {
    let mut parts = id.split('-');
    [8, 4, 4, 4, 12].iter().all(|len| {
        parts.next().is_some_and(|p| p.len() == *len && p.bytes().all(|b| b.is_ascii_hexdigit()))
    }) && parts.next().is_none()
}

/// What is kept apart in an answer; all else is added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// Which labels.
    pub labels: GroupBy,
    /// Which times.
    pub time: Bins,
}

/// The labels by which an answer is grouped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupBy {
    /// By these; a label set that lacks one is in the group without it. Empty: all in one.
    Labels(Vec<String>),
    /// By whole label sets.
    All,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self::Labels(Vec::new())
    }
}

/// The times by which an answer is grouped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bins {
    /// The whole range at once.
    #[default]
    Whole,
    /// Bins of `step`, counted from `origin`, cut off at the range's ends. A bin without data is not in the answer.
    Every {
        /// The width.
        step: Step,
        /// Where one of the bins begins.
        origin: Timestamp,
    },
}

/// Values over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesAnswer {
    /// A series for each group of labels, sorted by labels; a point for each bin that has a profile, at the start of its
    /// bin or of the range, whichever is later. Of [`Bins::Whole`] the point is at the first profile, or, of
    /// a server, at a time in the range.
    pub series: Vec<Series>,
    /// Whether a negative value was added up, so that parts of a sum may have cancelled out.
    pub has_negative: bool,
}

/// The stacks of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct StackGroup {
    /// The group's labels.
    pub labels: Labels,
    /// A time in the group's bin and in the range, as in [`SeriesAnswer::series`].
    pub time: Timestamp,
    /// All stacks, added up; complete unless something else was asked for.
    pub tree: StackTree,
    /// Whether a negative value was added up, so that parts of a sum may have cancelled out.
    pub has_negative: bool,
}

/// Which series' names and labels are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetaQuery {
    /// Of this type only; where names and values are listed a server may take those of other types as well.
    pub profile_type: Option<ProfileType>,
    /// Of these label sets only.
    pub selector: Selector,
    /// Of profiles in this range; a server may list a little more.
    pub range: TimeRange,
}

/// A series that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet {
    /// What it measures.
    pub profile_type: ProfileType,
    /// Its labels.
    pub labels: Labels,
}

/// One profile of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// What tells it from the others of this source.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// What it measures.
    pub profile_type: ProfileType,
    /// Its labels.
    pub labels: Labels,
    /// The sum of its samples.
    pub value: i64,
    /// For how long it was taken, in nanoseconds; `None` if unknown.
    pub duration_nanos: Option<i64>,
    /// The file it was read from.
    pub source_file: Option<String>,
}

/// A profile or a span that stands for others of its label set, about as large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// When it was taken.
    pub time: Timestamp,
    /// Its labels.
    pub labels: Labels,
    /// The profile.
    pub profile_id: Option<String>,
    /// The span, where it is one.
    pub span_id: Option<String>,
    /// The trace of the span.
    pub trace_id: Option<String>,
    /// Its value.
    pub value: i64,
}

/// A cell of a heat map that is not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatmapCell {
    /// Where its column begins.
    pub time: Timestamp,
    /// The labels of what it counts.
    pub labels: Labels,
    /// The smallest value that falls into it.
    pub value_min: f64,
    /// How many profiles do.
    pub count: i64,
}

/// Something that was noted while profiles were taken in, such as that some were thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The start of the time that it is about.
    pub time: Timestamp,
    /// The labels of what it is about.
    pub labels: Labels,
    /// What kind of note it is.
    pub key: String,
    /// What it says.
    pub value: String,
}
