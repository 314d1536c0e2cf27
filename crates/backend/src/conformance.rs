//! The checks that every backend must pass, for this crate's own and for those of others.
//!
//! Put the profiles of a truth into a backend, say with [`sample_truth`], and run [`check`], or one of the checks it
//! consists of. What is right is worked out here from the definition alone (times floored to the grain, equal keys
//! added up, zeros dropped), apart from the code of any backend. A check that fails panics with its name, the question
//! and both answers. A source with a limit to its ranges ([`Capabilities::max_range`](crate::Capabilities::max_range))
//! is checked behind a [`Split`](crate::Split).
//!
//! This module's API is not stable: a new version may bring new checks and drop or rename old ones.
//!
//! ```
//! use flamesql_backend::{Memory, conformance};
//! use flamesql_profile::{StackTreeBuilder, Timestamp};
//!
//! let truth = conformance::sample_truth(1);
//! let memory = Memory::new();
//! for profile in &truth {
//!     let mut tree = StackTreeBuilder::new();
//!     for (stack, value) in &profile.stacks {
//!         let names: Vec<_> = stack.iter().map(|name| tree.intern(name)).collect();
//!         let node = tree.insert(&names)?;
//!         tree.add(node, *value)?;
//!     }
//!     let (labels, time) = (profile.labels.clone().into_iter().collect(), Timestamp::from_nanos(profile.time_nanos));
//!     memory.insert(&profile.profile_type, &labels, time, 0, &tree.finish())?;
//! }
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! conformance::label_sets(&memory, &truth).await;
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod relation;
mod sample;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    sync::Arc,
};

use flamesql_profile::{Labels, NodeId, ProfileType, StackTree, Step, TimeRange, Timestamp};
use flamesql_selector::{Matcher, Selector, escape_regex};
use futures::{FutureExt, StreamExt, future};

pub use self::sample::{sample_truth, sample_truth_with_negatives, sample_truth_with_spans};
use self::{
    relation::{LabelMap, LabelSets, Relation, bin, range},
    sample::Random,
};
use crate::{
    Backend, Bins, Error, ErrorKind, GroupBy, Grouping, LabelSet, MetaQuery, Only, Report, Select,
    StackGroup, Weigh,
};

/// A profile that the backend under test holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthProfile {
    /// What it measures. Ids have five parts; the checks add the sixth.
    pub profile_type: ProfileType,
    /// Its labels; an empty value is a missing label, and names that begin with `__` are no labels.
    pub labels: BTreeMap<String, String>,
    /// When it was taken, in nanoseconds since the epoch.
    pub time_nanos: i64,
    /// Stacks, root first, with their values. The values of a type must add up to less than 2^63.
    pub stacks: Vec<(Vec<String>, i64)>,
    /// For each of the stacks where it was taken, from the first one on; those beyond the list say nothing.
    pub marks: Vec<TruthMark>,
}

/// The span and the trace in which a stack was taken: hexadecimal digits, 16 and 32 of them, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruthMark {
    /// The span's id.
    pub span: String,
    /// The trace's id.
    pub trace: String,
}

/// Runs every check: the backend holds exactly the profiles of `truth`.
///
/// # Panics
///
/// If an answer is not right.
pub async fn check(backend: &dyn Backend, truth: &[TruthProfile]) {
    capabilities(backend, truth).await;
    profile_types(backend, truth).await;
    label_sets(backend, truth).await;
    label_names_and_values(backend, truth).await;
    bounds(backend, truth).await;
    groups(backend, truth).await;
    bins(backend, truth).await;
    selectors(backend, truth).await;
    mixed(backend, truth).await;
    nothing(backend, truth).await;
    profiles(backend, truth).await;
    only(backend, truth).await;
    dropped_streams(backend, truth).await;
    refusals(backend, truth).await;
}

/// Capabilities do not change, and a source that takes one group a request for stacks refuses several.
///
/// # Panics
///
/// If that is not so.
pub async fn capabilities(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("capabilities", backend, truth);
    let (first, second) = (backend.capabilities(), backend.capabilities());
    if first != second || first.kind.is_empty() {
        let wanted = "the same each time, with a kind";
        check.fail("capabilities", wanted, format!("{first:?}, then {second:?}"));
    }
    for profile_type in check.relation.types() {
        let query = check.query(&profile_type);
        check.ask(&query).await;
        if first.groups_stacks {
            continue;
        }
        let bins = every(check.relation.grain(), 0);
        for (labels, time) in [
            (GroupBy::All, Bins::Whole),
            (GroupBy::Labels(Vec::new()), bins),
            (GroupBy::Labels(vec!["pod".into()]), Bins::Whole),
        ] {
            let query = Query { grouping: Grouping { labels, time }, ..query.clone() };
            let answer: Vec<_> = backend
                .stacks(query.select(), query.grouping.clone(), Report::new())
                .collect()
                .await;
            match answer.as_slice() {
                [Err(error)] if error.kind() == ErrorKind::Unsupported => {}
                _ => check.fail(&query, "one error of kind Unsupported", format!("{answer:?}")),
            }
        }
    }
}

/// The types that have a value in a range, sorted.
///
/// # Panics
///
/// If one is missing or does not belong there.
pub async fn profile_types(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("profile_types", backend, truth);
    for range in check.ranges() {
        let types = |sets: LabelSets| sets.into_iter().map(|(id, _)| id).collect();
        let right = check.sets(None, None, &Condition::all(), range, types);
        let answer = check.ok(range, backend.profile_types(range).await);
        let answer: Vec<String> = answer.iter().map(ToString::to_string).collect();
        check.listed(&range, &right, &answer, String::clone);
    }
}

/// The series that exist, sorted: of one type or all, by selector, by range.
///
/// A server ([`Capabilities::is_finite`](crate::Capabilities::is_finite) is false) may list more than is in the range.
///
/// # Panics
///
/// If one is missing, listed twice or does not belong there.
pub async fn label_sets(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("label_sets", backend, truth);
    for (query, condition) in check.meta_queries() {
        let profile_type = query.profile_type.as_ref();
        let right = check.sets(profile_type, profile_type, &condition, query.range, |sets| sets);
        let answer = check.ok(Shown(&query), backend.label_sets(&query).await);
        let set = |set: &LabelSet| (set.profile_type.to_string(), map(&set.labels));
        let answer: Vec<_> = answer.iter().map(set).collect();
        check.listed(&Shown(&query), &right, &answer, |(id, labels)| format!("{id} {labels:?}"));
    }
}

/// The names of labels and the values of each, sorted: of one type or all, by selector, by range.
///
/// # Panics
///
/// If one is missing, listed twice or does not belong there.
pub async fn label_names_and_values(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("label_names_and_values", backend, truth);
    let mut names: Vec<String> = check.relation.values().into_keys().collect();
    names.extend(["no_such_label", "__hidden__"].map(str::to_owned));
    for (query, condition) in check.meta_queries().into_iter().step_by(2) {
        let right = |of: &dyn Fn(LabelSets) -> BTreeSet<String>| {
            let profile_type = query.profile_type.as_ref();
            // A server may list names and values of other types as well.
            let possible = profile_type.filter(|_| backend.capabilities().is_finite);
            check.sets(profile_type, possible, &condition, query.range, of)
        };
        let names_of =
            |sets: LabelSets| sets.into_iter().flat_map(|(_, l)| l.into_keys()).collect();
        let answer = check.ok(Shown(&query), backend.label_names(&query).await);
        let asked = format!("names: {}", Shown(&query));
        check.listed(&asked, &right(&names_of), &answer, String::clone);
        for name in &names {
            let values_of = |sets: LabelSets| {
                sets.into_iter().filter_map(|(_, mut l)| l.remove(name)).collect()
            };
            let answer = check.ok(Shown(&query), backend.label_values(name, &query).await);
            let asked = format!("values of {name}: {}", Shown(&query));
            check.listed(&asked, &right(&values_of), &answer, String::clone);
        }
    }
}

/// Ranges are half-open: each begins or ends on a profile's time, or a nanosecond or a grain beside it.
///
/// # Panics
///
/// If a profile is missing or should not be there.
pub async fn bounds(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("bounds", backend, truth);
    for profile_type in check.relation.types() {
        let query = check.query(&profile_type);
        for range in check.edges(&check.relation.times(Some(&profile_type))) {
            check.ask(&Query { range, ..query.clone() }).await;
        }
    }
}

/// Groups by each label, by several, by a label that nobody has, by all and by none.
///
/// # Panics
///
/// If groups are merged, torn apart, missing, or there without data.
pub async fn groups(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("groups", backend, truth);
    for profile_type in check.relation.types() {
        for labels in check.group_bys() {
            let grouping = Grouping { labels, time: Bins::Whole };
            check.ask(&Query { grouping, ..check.query(&profile_type) }).await;
        }
    }
}

/// Bins of several widths and origins, and ranges that cut the first and the last of them.
///
/// # Panics
///
/// If a value is in a wrong bin, a bin is at a wrong time, or there without data.
pub async fn bins(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("bins", backend, truth);
    for profile_type in check.relation.types() {
        for time in check.bins() {
            for (n, range) in check.cuts().into_iter().enumerate() {
                let labels = match n % 3 {
                    0 => GroupBy::Labels(Vec::new()),
                    1 => GroupBy::All,
                    _ => GroupBy::Labels(vec!["region".into()]),
                };
                let grouping = Grouping { labels, time };
                check.ask(&Query { grouping, range, ..check.query(&profile_type) }).await;
            }
        }
    }
}

/// Selectors with each operator, on values that exist and that do not, on missing labels and the empty value.
///
/// # Panics
///
/// If a series is taken that does not match, or left out that does.
pub async fn selectors(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("selectors", backend, truth);
    for profile_type in check.relation.types() {
        for condition in check.conditions() {
            check.ask(&Query { condition, ..check.query(&profile_type) }).await;
        }
    }
}

/// Types, selectors, ranges, groups and bins, mixed at random; the same questions each time.
///
/// # Panics
///
/// If an answer is not right.
pub async fn mixed(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("mixed", backend, truth);
    let types = check.relation.types();
    if types.is_empty() {
        return;
    }
    let mut random = Random(7);
    let edges = check.edges(&check.relation.times(None));
    let (conditions, group_bys, bins) = (check.conditions(), check.group_bys(), check.bins());
    for _ in 0..100 {
        let (one, other) = (*random.pick(&edges), *random.pick(&edges));
        let range = one.intersect(other);
        let labels = random.pick(&group_bys).clone();
        let time = *random.pick(&bins);
        let query = Query {
            profile_type: random.pick(&types).clone(),
            condition: random.pick(&conditions).clone().and(random.pick(&conditions)),
            range,
            grouping: Grouping { labels, time },
            only: Only::All,
        };
        check.ask(&query).await;
    }
}

/// Where there is no data the answer is empty and no error: unknown types, empty ranges, times without profiles.
///
/// # Panics
///
/// If there is anything in an answer.
pub async fn nothing(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("nothing", backend, truth);
    let span = check.relation.span();
    for profile_type in check.relation.types() {
        let unknown = match profile_type.is_app() {
            true => ProfileType::app("no.such.app"),
            false => ProfileType::from_parts("no_such", "type", "count", "", ""),
        };
        check.ask(&check.query(&unknown)).await;
        if !profile_type.is_app() {
            // The same data: a sixth part is ignored.
            let delta = ProfileType::parse(&format!("{profile_type}:delta"));
            let delta = delta.expect("five parts and delta");
            check.ask(&check.query(&delta)).await;
        }
        let (from, to) = (span.start().nanos(), span.end().nanos());
        let mut ranges = vec![range(from, from), range(to, to), range(to, to.saturating_add(1))];
        for time in check.relation.times(Some(&profile_type)) {
            ranges.push(range(time, time));
        }
        for range in ranges {
            for labels in [GroupBy::Labels(Vec::new()), GroupBy::All] {
                let grouping = Grouping { labels, time: Bins::Whole };
                let query = Query { range, grouping, ..check.query(&profile_type) };
                check.ask(&query).await;
            }
        }
    }
}

/// The single profiles, sorted by time, add up to the series. A source may refuse as a whole.
///
/// # Panics
///
/// If they do not, or have no id.
pub async fn profiles(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("profiles", backend, truth);
    for profile_type in check.relation.types() {
        for condition in check.conditions().into_iter().step_by(7) {
            for range in check.cuts() {
                let condition = condition.clone();
                let query = Query { condition, range, ..check.query(&profile_type) };
                let rows = match backend.profiles(&query.select(), &Report::new()).await {
                    Err(error) if error.kind() == ErrorKind::Unsupported => return,
                    rows => check.ok(&query, rows),
                };
                if !rows.iter().is_sorted_by_key(|row| row.time) {
                    check.fail(&query, "profiles sorted by time", format!("{rows:?}"));
                }
                if rows.iter().any(|row| row.id.is_empty() || row.profile_type != profile_type) {
                    check.fail(&query, "ids, and the type that was asked for", format!("{rows:?}"));
                }
                let mut sums: BTreeMap<(LabelMap, i64), i64> = BTreeMap::new();
                for row in rows {
                    *sums.entry((map(&row.labels), row.time.nanos())).or_default() += row.value;
                }
                let fine = Grouping { labels: GroupBy::All, time: every(1, 0) };
                let truth = check.relation.series(&Query { grouping: fine, ..query.clone() });
                let may_cancel = check.relation.may_cancel(&profile_type);
                let show = |(labels, time): (LabelMap, i64), value: i64| {
                    let is_shown = value != 0 || !may_cancel;
                    is_shown.then(|| format!("{labels:?} {}: {value}", Timestamp::from_nanos(time)))
                };
                let expected = truth.into_iter().filter_map(|(key, (_, value))| show(key, value));
                let answer = sums.into_iter().filter_map(|(key, value)| show(key, value));
                check.same(&query, expected, answer);
            }
        }
    }
}

/// Samples of spans and traces, and single profiles, where the source says that it can choose them; where it does not,
/// and of series and lists of profiles in any case, such a choice is refused as [`ErrorKind::Unsupported`].
///
/// # Panics
///
/// If a choice is not made, or not rightly, or not refused.
pub async fn only(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("only", backend, truth);
    let can = backend.capabilities().only;
    let marks = || truth.iter().flat_map(|profile| &profile.marks);
    let ids = |of: fn(&TruthMark) -> &String| -> Vec<String> {
        marks()
            .map(of)
            .filter(|id| !id.is_empty())
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    let (spans, traces) = (ids(|mark| &mark.span), ids(|mark| &mark.trace));
    for profile_type in check.relation.types() {
        let query = check.query(&profile_type);
        let some = || vec!["00000000000000a1".to_owned()];
        for only in [Only::Spans(some()), Only::Traces(some()), Only::Profiles(some())] {
            check.refused(&Query { only, ..query.clone() }).await;
        }
        for list in check.choices(&spans) {
            let has = |mark: &TruthMark| list.iter().any(|id| id.eq_ignore_ascii_case(&mark.span));
            let chosen = of_samples(truth, &has);
            let only = Only::Spans(list.clone());
            check.ask_only(&Query { only, ..query.clone() }, &chosen).await;
        }
        for list in check.choices(&traces) {
            let has = |mark: &TruthMark| list.iter().any(|id| id.eq_ignore_ascii_case(&mark.trace));
            let chosen = of_samples(truth, &has);
            let only = Only::Traces(list.clone());
            check.ask_only(&Query { only, ..query.clone() }, &chosen).await;
        }
        if can.profiles {
            check.ask_profiles(&query, truth).await;
        }
    }
}

/// What is left of profiles if only some samples are taken.
fn of_samples(truth: &[TruthProfile], has: &dyn Fn(&TruthMark) -> bool) -> Vec<TruthProfile> {
    let chosen = |profile: &TruthProfile| {
        let marked = profile.stacks.iter().zip(&profile.marks);
        let stacks = marked.filter(|(_, mark)| has(mark)).map(|(stack, _)| stack.clone()).collect();
        TruthProfile { stacks, marks: Vec::new(), ..profile.clone() }
    };
    truth.iter().map(chosen).collect()
}

/// A stream of stacks may be dropped before and after it was polled, and the source still answers.
///
/// # Panics
///
/// If it does not, or not rightly.
pub async fn dropped_streams(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("dropped_streams", backend, truth);
    for profile_type in check.relation.types() {
        let query = check.query(&profile_type);
        let grouping = match backend.capabilities().groups_stacks {
            true => Grouping { labels: GroupBy::All, time: every(check.relation.grain(), 0) },
            false => Grouping::default(),
        };
        drop(backend.stacks(query.select(), grouping.clone(), Report::new()));
        for _ in 0..8 {
            let mut stream = backend.stacks(query.select(), grouping.clone(), Report::new());
            let _ = stream.next().now_or_never();
        }
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut stream = backend.stacks(query.select(), grouping.clone(), Report::new());
            if let Some(Err(error)) = stream.next().await {
                check.fail(&query, "the first group of stacks", error);
            }
            streams.push(stream);
        }
        // With eight streams half read: none of them may be in the way of another question.
        check.ask(&query).await;
        drop(streams);
        let both = future::join(check.ask(&query), check.ask(&query));
        both.await;
    }
}

/// A regex that does not compile is an error of kind [`ErrorKind::InvalidQuery`].
///
/// # Panics
///
/// If there is an answer, or another error.
pub async fn refusals(backend: &dyn Backend, truth: &[TruthProfile]) {
    let check = Check::new("refusals", backend, truth);
    let condition = Condition::new([Matcher::regex("pod", "(")], |_| false);
    for profile_type in check.relation.types() {
        let query = Query { condition: condition.clone(), ..check.query(&profile_type) };
        let (select, grouping) = (query.select(), query.grouping.clone());
        let meta = MetaQuery {
            profile_type: Some(profile_type),
            selector: select.selector.clone(),
            range: query.range,
        };
        let stacks: Result<Vec<StackGroup>, Error> = backend
            .stacks(select.clone(), grouping.clone(), Report::new())
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect();
        for (what, error) in [
            ("series", backend.series(&select, &grouping, &Report::new()).await.err()),
            ("stacks", stacks.err()),
            ("label_sets", backend.label_sets(&meta).await.err()),
        ] {
            if error.as_ref().map(Error::kind) != Some(ErrorKind::InvalidQuery) {
                let asked = format!("{what}: {query}");
                check.fail(&asked, "an error of kind InvalidQuery", format!("{error:?}"));
            }
        }
    }
}

/// A condition in two forms: as a backend is told, and as it is meant.
#[derive(Clone)]
struct Condition {
    selector: Selector,
    holds: Arc<dyn Fn(&LabelMap) -> bool + Send + Sync>,
}

impl Condition {
    fn all() -> Self {
        Self::new([], |_| true)
    }

    fn new(
        matchers: impl IntoIterator<Item = Matcher>,
        holds: impl Fn(&LabelMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { selector: matchers.into_iter().collect(), holds: Arc::new(holds) }
    }

    /// Of one label, whose value is empty where it is missing.
    fn on(matcher: Matcher, holds: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let name = matcher.name.clone();
        Self::new([matcher], move |labels| holds(labels.get(&name).map_or("", String::as_str)))
    }

    fn holds(&self, labels: &LabelMap) -> bool {
        (self.holds)(labels)
    }

    fn and(self, other: &Self) -> Self {
        let matchers = self.selector.matchers.iter().chain(&other.selector.matchers);
        let selector = matchers.cloned().collect();
        let other = other.clone();
        Self { selector, holds: Arc::new(move |labels| self.holds(labels) && other.holds(labels)) }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.selector, f)
    }
}

/// A question for series and stacks.
#[derive(Clone, Debug)]
struct Query {
    profile_type: ProfileType,
    condition: Condition,
    range: TimeRange,
    grouping: Grouping,
    only: Only,
}

impl Query {
    fn select(&self) -> Select {
        let (profile_type, selector) = (self.profile_type.clone(), self.condition.selector.clone());
        Select { only: self.only.clone(), ..Select::new(profile_type, selector, self.range) }
    }

    fn is_one_group(&self) -> bool {
        self.grouping == Grouping::default()
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile_type, condition, range, grouping, only } = self;
        write!(f, "{profile_type} {condition:?} in {range}, grouped by {grouping:?}")?;
        if *only == Only::All { Ok(()) } else { write!(f, ", only {only:?}") }
    }
}

struct Shown<'a>(&'a MetaQuery);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MetaQuery { profile_type, selector, range } = self.0;
        let profile_type = profile_type.as_ref().map_or("any type", ProfileType::as_str);
        write!(f, "{profile_type} {selector} in {range}")
    }
}

/// One check of one backend.
struct Check<'a> {
    name: &'static str,
    backend: &'a dyn Backend,
    relation: Relation,
}

impl<'a> Check<'a> {
    fn new(name: &'static str, backend: &'a dyn Backend, truth: &[TruthProfile]) -> Self {
        Self { name, backend, relation: Relation::new(truth, backend.capabilities().grain) }
    }

    /// All of one type, in one group.
    fn query(&self, profile_type: &ProfileType) -> Query {
        Query {
            profile_type: profile_type.clone(),
            condition: Condition::all(),
            range: self.relation.span(),
            grouping: Grouping::default(),
            only: Only::All,
        }
    }

    /// Lists of ids: each, several, all in capitals, one that nobody has, none.
    fn choices(&self, ids: &[String]) -> Vec<Vec<String>> {
        let mut lists: Vec<Vec<String>> = ids.iter().map(|id| vec![id.clone()]).collect();
        lists.push(ids.iter().take(2).cloned().collect());
        lists.push(ids.iter().map(|id| id.to_ascii_uppercase()).collect());
        lists.push(vec!["fedcba9876543210".to_owned()]);
        lists.push(Vec::new());
        lists
    }

    /// Asks for the stacks of a choice, if the source can make it, and compares with what is left of the truth.
    async fn ask_only(&self, query: &Query, chosen: &[TruthProfile]) {
        let capabilities = self.backend.capabilities();
        if !capabilities.only.allows(&query.only) {
            return;
        }
        let chosen = Relation::new(chosen, capabilities.grain);
        let mut ranges = vec![query.range];
        ranges.extend(self.cuts().into_iter().skip(2).take(1));
        for range in ranges {
            self.ask_stacks_of(&Query { range, ..query.clone() }, &chosen).await;
        }
        let pod = Condition::on(Matcher::not_equal("pod", ""), |value| !value.is_empty());
        self.ask_stacks_of(&Query { condition: pod, ..query.clone() }, &chosen).await;
        if capabilities.groups_stacks {
            let labels = GroupBy::Labels(vec!["pod".into()]);
            for time in self.bins().into_iter().take(6).step_by(2) {
                let grouping = Grouping { labels: labels.clone(), time };
                self.ask_stacks_of(&Query { grouping, ..query.clone() }, &chosen).await;
            }
        }
    }

    /// Asks for the stacks of single profiles, by the ids under which the source lists them.
    async fn ask_profiles(&self, query: &Query, truth: &[TruthProfile]) {
        let rows = self.ok(query, self.backend.profiles(&query.select(), &Report::new()).await);
        let mut by_key: BTreeMap<(LabelMap, i64), Vec<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for row in &rows {
            if !seen.insert(row.id.clone()) {
                self.fail(query, "profiles with ids of their own", format!("{rows:?}"));
            }
            let key = (map(&row.labels), row.time.nanos());
            by_key.entry(key).or_default().push(row.id.clone());
        }
        let grain = self.relation.grain();
        let of = |(labels, time): &(LabelMap, i64)| {
            let mut there = truth.to_vec();
            there.retain(|profile| {
                let mut own = profile.labels.clone();
                own.retain(|name, value| !value.is_empty() && !name.starts_with("__"));
                own == *labels && relation::below(profile.time_nanos, grain, 0) == *time
            });
            there
        };
        let keys: Vec<_> = by_key.keys().collect();
        for pair in keys.chunks(2).step_by(3) {
            // Profiles of the same series and time are not told apart by the truth: they are asked for together.
            let ids = pair.iter().flat_map(|key| by_key[*key].iter().cloned()).collect();
            let chosen: Vec<_> = pair.iter().flat_map(|key| of(key)).collect();
            self.ask_only(&Query { only: Only::Profiles(ids), ..query.clone() }, &chosen).await;
        }
        for row in rows.iter().step_by(5) {
            let one = Query { only: Only::Profiles(vec![row.id.clone()]), ..query.clone() };
            let groups = self.backend.stacks(one.select(), Grouping::default(), Report::new());
            let groups: Vec<_> = groups.collect::<Vec<_>>().await;
            let mut sum = 0;
            for group in groups {
                let tree = self.ok(&one, group).tree;
                sum += tree.stacks().map(|(_, value)| i128::from(value)).sum::<i128>();
            }
            if sum != i128::from(row.value) {
                self.fail(&one, format!("stacks of {}, as in {row:?}", row.value), sum);
            }
        }
        for list in [vec!["no such profile".to_owned()], Vec::new()] {
            self.ask_only(&Query { only: Only::Profiles(list), ..query.clone() }, &[]).await;
        }
    }

    /// A choice is refused where it cannot be made.
    async fn refused(&self, query: &Query) {
        let (select, grouping) = (query.select(), query.grouping.clone());
        let report = Report::new();
        let mut errors = vec![
            ("series", self.backend.series(&select, &grouping, &report).await.err()),
            ("profiles", self.backend.profiles(&select, &Report::new()).await.err()),
        ];
        if !self.backend.capabilities().only.allows(&query.only) {
            let groups = self.backend.stacks(select, grouping, report);
            let groups: Vec<Result<StackGroup, Error>> = groups.collect().await;
            let error = groups.into_iter().next().and_then(Result::err);
            errors.push(("stacks", error));
        }
        for (what, error) in errors {
            if error.as_ref().map(Error::kind) != Some(ErrorKind::Unsupported) {
                let asked = format!("{what} of {query}");
                self.fail(asked, "an error of kind Unsupported", format!("{error:?}"));
            }
        }
    }

    /// Asks for series and for stacks, and compares both with what is true.
    async fn ask(&self, query: &Query) {
        self.ask_series(query).await;
        if query.is_one_group() || self.backend.capabilities().groups_stacks {
            return self.ask_stacks(query).await;
        }
        // One group after the other, each chosen by its labels and times.
        let names: BTreeSet<String> = match &query.grouping.labels {
            GroupBy::Labels(names) => names.iter().cloned().collect(),
            GroupBy::All => self.relation.values().into_keys().collect(),
        };
        for (labels, start) in self.relation.series(query).into_keys() {
            let mut one = Query { grouping: Grouping::default(), ..query.clone() };
            for name in &names {
                let value = labels.get(name).cloned().unwrap_or_default();
                let matcher = Matcher::equal(name, &value);
                one.condition = one.condition.and(&Condition::on(matcher, move |v| v == value));
            }
            if let Bins::Every { step, origin } = query.grouping.time {
                let end = relation::below(start, step.nanos(), origin.nanos());
                let end = end.saturating_add(step.nanos()).min(query.range.end().nanos());
                one.range = range(start, end);
            }
            self.ask_stacks(&one).await;
        }
    }

    async fn ask_series(&self, query: &Query) {
        let may_cancel = self.relation.may_cancel(&query.profile_type);
        let is_whole = query.grouping.time == Bins::Whole;
        let show = |labels: &LabelMap, time: i64, value: i64| {
            if may_cancel && value == 0 {
                return None;
            }
            // Where values cancel out, so may the first of them.
            // A server does not tell when the first profile was.
            let time = match is_whole && (may_cancel || !self.backend.capabilities().is_finite) {
                true => "at some time".to_owned(),
                false => Timestamp::from_nanos(time).to_string(),
            };
            Some(format!("{labels:?} {time}: {value}"))
        };
        let truth = self.relation.series(query);
        let expected = truth.iter().filter_map(|((labels, start), (first, value))| {
            show(labels, if is_whole { *first } else { *start }, *value)
        });
        let asked = format!("series of {query}");
        let answer = self.ok(
            &asked,
            self.backend.series(&query.select(), &query.grouping, &Report::new()).await,
        );
        let points = answer.series.iter().flat_map(|series| {
            let labels = map(&series.labels);
            series
                .points
                .iter()
                .filter_map(move |point| show(&labels, point.time.nanos(), point.value))
                .collect::<Vec<_>>()
        });
        self.same(&asked, expected, points);
        let times = answer.series.iter().flat_map(|series| &series.points).map(|point| point.time);
        if let Some(time) = times.clone().find(|time| !query.range.contains(*time)) {
            self.fail(&asked, "points at times in the range", time);
        }
        if answer.series.iter().any(|series| series.points.is_empty()) {
            self.fail(&asked, "no series without a point", format!("{answer:?}"));
        }
        self.signs(&asked, query, self.relation.has_negative(query), answer.has_negative);
    }

    async fn ask_stacks(&self, query: &Query) {
        self.ask_stacks_of(query, &self.relation).await;
    }

    async fn ask_stacks_of(&self, query: &Query, relation: &Relation) {
        let asked = format!("stacks of {query}");
        let mut stream = self.backend.stacks(query.select(), query.grouping.clone(), Report::new());
        let mut answer = Vec::new();
        let mut has_negative = false;
        while let Some(group) = stream.next().await {
            let StackGroup { labels, time, tree, has_negative: below_zero } =
                self.ok(&asked, group);
            has_negative |= below_zero;
            if !query.range.contains(time) {
                self.fail(&asked, "groups at times in the range", format!("{labels} at {time}"));
            }
            let stacks = tree.stacks().map(|(node, value)| {
                let stack: Vec<String> = tree.path(node).into_iter().map(str::to_owned).collect();
                (stack, value)
            });
            answer.push((map(&labels), bin(time.nanos(), query), stacks.collect::<Vec<_>>()));
        }
        let may_cancel = self.relation.may_cancel(&query.profile_type);
        let show = |labels: LabelMap, start: i64, stacks: Vec<(Vec<String>, i64)>| {
            let group = format!("{labels:?} {}", Timestamp::from_nanos(start));
            let stacks: Vec<_> =
                stacks.into_iter().filter(|(_, value)| *value != 0 || !may_cancel).collect();
            let head = (!stacks.is_empty() || !may_cancel).then(|| format!("{group}: a group"));
            let lines =
                stacks.into_iter().map(|(stack, value)| format!("{group} {stack:?}: {value}"));
            head.into_iter().chain(lines).collect::<Vec<String>>()
        };
        let truth = relation.stacks(query).into_iter();
        let mut expected: Vec<String> = truth
            .flat_map(|((labels, start), stacks)| show(labels, start, stacks.into_iter().collect()))
            .collect();
        let mut answer: Vec<String> = answer
            .into_iter()
            .flat_map(|(labels, start, stacks)| show(labels, start, stacks))
            .collect();
        // Neither groups nor the stacks of one come in an order.
        expected.sort_unstable();
        answer.sort_unstable();
        self.same(&asked, expected, answer);
        self.signs(&asked, query, relation.has_negative(query), has_negative);
        self.ask_weighed_of(query, relation).await;
    }

    /// Sums of stacks, if the source adds them up: each as often as it is deep, up to twice.
    async fn ask_weighed_of(&self, query: &Query, relation: &Relation) {
        let asked = format!("weighed sums of {query}");
        let (select, weigh) = (query.select(), Arc::new(ByDepth));
        let answer = self.backend.weighed(&select, &query.grouping, weigh, &Report::new()).await;
        let Some(answer) = self.ok(&asked, answer) else { return };
        let show = |(labels, start, value): (&LabelMap, i64, i64)| {
            (value != 0).then(|| format!("{labels:?} {}: {value}", Timestamp::from_nanos(start)))
        };
        let truth = relation.stacks(query);
        let expected = truth.iter().filter_map(|((labels, start), stacks)| {
            let weighed = |(stack, value): (&Vec<String>, &i64)| ByDepth::of(stack.len()) * value;
            show((labels, *start, stacks.iter().map(weighed).sum()))
        });
        let mut expected: Vec<String> = expected.collect();
        let mut points = Vec::new();
        for series in &answer.series {
            let labels = map(&series.labels);
            for point in &series.points {
                if !query.range.contains(point.time) {
                    self.fail(&asked, "points in the range", format!("{labels:?} {}", point.time));
                }
                points.extend(show((&labels, bin(point.time.nanos(), query), point.value)));
            }
        }
        expected.sort_unstable();
        points.sort_unstable();
        self.same(&asked, expected, points);
        self.signs(&asked, query, relation.has_negative(query), answer.has_negative);
    }

    /// Whether something may have cancelled out has to be said, and not to be said of a type that has nothing below 0.
    fn signs(&self, asked: &str, query: &Query, must: bool, has_negative: bool) {
        let may = self.relation.may_cancel(&query.profile_type);
        if (must && !has_negative) || (has_negative && !may) {
            self.fail(
                asked,
                format!("has_negative: {must}"),
                format!("has_negative: {has_negative}"),
            );
        }
    }

    /// Ranges that begin or end on the times, or a nanosecond or a grain beside them.
    fn edges(&self, times: &[i64]) -> Vec<TimeRange> {
        let span = self.relation.span();
        let (from, to) = (span.start().nanos(), span.end().nanos());
        let grain = self.relation.grain();
        let mut ranges = vec![span];
        if self.backend.capabilities().is_finite {
            ranges.push(TimeRange::ALL);
        }
        for time in times {
            for bound in BTreeSet::from([time - grain, time - 1, *time, time + 1, time + grain]) {
                ranges.push(range(bound, to));
                ranges.push(range(from, bound));
            }
            ranges.push(range(*time, time + grain));
        }
        ranges
    }

    /// A few ranges: everything, and what begins and ends within it, on profiles and beside them.
    fn cuts(&self) -> Vec<TimeRange> {
        let times = self.relation.times(None);
        let at = |part: usize| times.get(times.len() * part / 8).copied().unwrap_or_default();
        vec![
            self.relation.span(),
            range(at(1), at(6)),
            range(at(2) + 1, at(7) + 1),
            range(at(3) - 1, at(5) - 1),
        ]
    }

    fn ranges(&self) -> Vec<TimeRange> {
        let times = self.relation.times(None);
        self.edges(&times.iter().copied().step_by(9).collect::<Vec<_>>())
    }

    fn group_bys(&self) -> Vec<GroupBy> {
        let names: Vec<String> = self.relation.values().into_keys().collect();
        let mut lists: Vec<Vec<String>> = vec![Vec::new(), names.clone()];
        lists.extend(names.iter().map(|name| vec![name.clone()]));
        // Neither the order nor a repetition means anything.
        lists.extend(names.windows(2).map(|two| vec![two[1].clone(), two[0].clone()]));
        lists.extend(names.first().map(|name| vec![name.clone(), name.clone()]));
        lists.push(vec!["no_such_label".to_owned()]);
        lists.extend(names.last().map(|name| vec!["no_such_label".to_owned(), name.clone()]));
        lists.into_iter().map(GroupBy::Labels).chain([GroupBy::All]).collect()
    }

    fn bins(&self) -> Vec<Bins> {
        let grain = self.relation.grain();
        let is_finite = self.backend.capabilities().is_finite;
        let mut bins = vec![Bins::Whole, every(grain, 0)];
        for seconds in [1, 10, 15, 60, 3600] {
            let step = seconds * 1_000_000_000;
            let whole = step.max(grain) / grain * grain;
            bins.push(every(whole, 0));
            // Counted from a time that begins no bin, one of them far away.
            bins.push(every(whole, whole / 3 / grain * grain + grain));
            bins.push(every(whole, self.relation.span().end().nanos() / grain * grain + grain));
        }
        if is_finite {
            bins.push(every(7_777_777_777, 13));
            bins.push(every(i64::MAX, i64::MAX));
        }
        bins
    }

    /// Conditions on each label and some of its values, and on a label that nobody has.
    fn conditions(&self) -> Vec<Condition> {
        let mut conditions = vec![Condition::all()];
        for (name, values) in self.relation.values() {
            for value in values.iter().take(2) {
                let any: Vec<char> = value.chars().collect();
                let (first, last) = (any[0].to_string(), any[any.len() - 1].to_string());
                let escaped = escape_regex(value);
                let (v, w) = (value.clone(), value.clone());
                conditions.push(Condition::on(Matcher::equal(&name, value), move |x| x == v));
                conditions.push(Condition::on(Matcher::not_equal(&name, value), move |x| x != w));
                let (v, w) = (value.clone(), value.clone());
                conditions.push(Condition::on(Matcher::regex(&name, &escaped), move |x| x == v));
                conditions
                    .push(Condition::on(Matcher::not_regex(&name, &escaped), move |x| x != w));
                // A missing label has the empty value.
                let v = value.clone();
                let or_none = Matcher::regex(&name, format!("{escaped}|"));
                conditions.push(Condition::on(or_none, move |x| x == v || x.is_empty()));
                let v = value.clone();
                let nor_none = Matcher::not_regex(&name, format!("(?:{escaped})?"));
                conditions.push(Condition::on(nor_none, move |x| x != v && !x.is_empty()));
                // A regex has to match the whole value.
                let (v, w) = (first.clone(), last.clone());
                let begins = Matcher::regex(&name, format!("{}.*", escape_regex(&first)));
                conditions.push(Condition::on(begins, move |x| x.starts_with(&v)));
                let ends = Matcher::not_regex(&name, format!(".*{}", escape_regex(&last)));
                conditions.push(Condition::on(ends, move |x| !x.ends_with(&w)));
                let short = Matcher::regex(&name, escape_regex(&first));
                conditions.push(Condition::on(short, move |x| x == first));
            }
            let names_only = values.iter().take(3).cloned().collect::<Vec<_>>();
            let one_of = Matcher::one_of(&name, &names_only);
            conditions.push(Condition::on(one_of, move |x| names_only.iter().any(|n| n == x)));
            conditions.extend(self.on_presence(&name));
        }
        conditions.extend(self.on_presence("no_such_label"));
        let absent = Matcher::equal("no_such_label", "x");
        conditions.push(Condition::on(absent, |_| false));
        let pairs: Vec<Condition> = conditions
            .iter()
            .zip(conditions.iter().skip(11))
            .step_by(4)
            .map(|(one, other)| one.clone().and(other))
            .collect();
        conditions.extend(pairs);
        conditions
    }

    /// What tells a label that is there from one that is not.
    fn on_presence(&self, name: &str) -> Vec<Condition> {
        vec![
            Condition::on(Matcher::equal(name, ""), str::is_empty),
            Condition::on(Matcher::not_equal(name, ""), |x| !x.is_empty()),
            Condition::on(Matcher::regex(name, ".*"), |_| true),
            Condition::on(Matcher::not_regex(name, ".*"), |_| false),
            Condition::on(Matcher::regex(name, ".+"), |x| !x.is_empty()),
            Condition::on(Matcher::not_regex(name, ".+"), str::is_empty),
            Condition::on(Matcher::not_equal(name, "no such value"), |_| true),
        ]
    }

    fn meta_queries(&self) -> Vec<(MetaQuery, Condition)> {
        let span = self.relation.span();
        let mut queries = Vec::new();
        let mut add = |profile_type: Option<&ProfileType>, condition: &Condition, range| {
            let profile_type = profile_type.cloned();
            let selector = condition.selector.clone();
            queries.push((MetaQuery { profile_type, selector, range }, condition.clone()));
        };
        let types = self.relation.types();
        let all = Condition::all();
        for profile_type in types.iter().map(Some).chain([None]) {
            for range in self.ranges() {
                add(profile_type, &all, range);
            }
            for condition in self.conditions().iter().step_by(2) {
                add(profile_type, condition, span);
            }
        }
        for profile_type in types.iter().filter(|t| !t.is_app()) {
            let delta = ProfileType::parse(&format!("{profile_type}:delta"));
            add(delta.ok().as_ref(), &all, span);
        }
        queries
    }

    fn ok<T>(&self, asked: impl Display, answer: Result<T, Error>) -> T {
        answer.unwrap_or_else(|error| self.fail(asked, "an answer", format!("the error: {error}")))
    }

    /// What has to be listed, and what may be: a server may list what it has at other times.
    fn sets<T>(
        &self,
        profile_type: Option<&ProfileType>,
        possible_type: Option<&ProfileType>,
        condition: &Condition,
        range: TimeRange,
        of: impl Fn(LabelSets) -> BTreeSet<T>,
    ) -> (BTreeSet<T>, BTreeSet<T>) {
        let within = |profile_type, range| {
            self.relation.label_sets(profile_type, |labels| condition.holds(labels), range)
        };
        let (there, possible) = within(profile_type, range);
        let is_finite = self.backend.capabilities().is_finite;
        let possible = if is_finite { possible } else { within(possible_type, TimeRange::ALL).1 };
        (of(there), of(possible))
    }

    /// Everything that is there is listed, nothing else but what may be, each once and sorted.
    fn listed<T: Ord + Clone>(
        &self,
        asked: &dyn Display,
        (there, possible): &(BTreeSet<T>, BTreeSet<T>),
        answer: &[T],
        show: impl Fn(&T) -> String,
    ) {
        let more: BTreeSet<T> =
            answer.iter().filter(|item| possible.contains(item)).cloned().collect();
        self.same(asked, there.union(&more).map(&show), answer.iter().map(&show));
    }

    fn same(
        &self,
        asked: impl Display,
        expected: impl IntoIterator<Item = String>,
        answer: impl IntoIterator<Item = String>,
    ) {
        let expected: Vec<String> = expected.into_iter().collect();
        let answer: Vec<String> = answer.into_iter().collect();
        if expected == answer {
            return;
        }
        let only = |these: &[String], those: &[String]| {
            let mut left: BTreeMap<&String, i64> = BTreeMap::new();
            those.iter().for_each(|line| *left.entry(line).or_default() += 1);
            let mut shown = format!("{} lines", these.len());
            let mut is_same = true;
            for line in these {
                let n = left.entry(line).or_default();
                *n -= 1;
                if *n < 0 {
                    is_same = false;
                    shown.push_str("\n    ");
                    shown.push_str(line);
                }
                if shown.len() > 4000 {
                    shown.push_str("\n    ...");
                    break;
                }
            }
            if is_same { format!("{shown}, all of them on the other side too") } else { shown }
        };
        let is_order = expected.len() == answer.len()
            && expected.iter().collect::<BTreeSet<_>>() == answer.iter().collect::<BTreeSet<_>>();
        if is_order {
            self.fail(
                asked,
                expected.join("\n    "),
                format!("in this order\n    {}", answer.join("\n    ")),
            );
        }
        self.fail(asked, only(&expected, &answer), only(&answer, &expected));
    }

    fn fail(&self, asked: impl Display, expected: impl Display, answer: impl Display) -> ! {
        panic!(
            "conformance check `{}` of a {} source failed\n  asked: {asked}\n  right: {expected}\n  answered: {answer}",
            self.name,
            self.backend.capabilities().kind,
        )
    }
}

/// The depth of a stack, from 3 on as from 0.
#[derive(Debug)]
struct ByDepth;

impl ByDepth {
    fn of(depth: usize) -> i64 {
        i64::try_from(depth % 3).expect("2 at most")
    }
}

impl Weigh for ByDepth {
    fn weigh(&self, tree: &StackTree) -> Option<Vec<u8>> {
        let depth = |node: NodeId| tree.path(node).len();
        tree.nodes().map(|node| u8::try_from(Self::of(depth(node))).ok()).collect()
    }
}

fn every(step: i64, origin: i64) -> Bins {
    let step = Step::from_nanos(step).expect("the checks ask for steps above 0");
    Bins::Every { step, origin: Timestamp::from_nanos(origin) }
}

fn map(labels: &Labels) -> LabelMap {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
