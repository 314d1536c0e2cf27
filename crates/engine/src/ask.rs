//! From a scan to the requests that a backend is sent.
//!
//! Everything is settled here, before a row is read: the range, the profile types, the selector, the groups. What comes
//! out is plain data that EXPLAIN prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session,
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{BinaryExpr, Expr, Operator},
};
use flamesql_backend::{
    Backend, Bins, Capabilities, GroupBy, Grouping, MetaQuery, Notice, Only, Question, Report,
    Select,
};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp};
use flamesql_selector::{Matcher, Selector};
use tokio::sync::OnceCell;

use crate::{
    Error, ErrorKind, TableKind, TypeChoice,
    catalog::Source,
    coarse::{Coarse, LabelNeed, TimeNeed},
    condition::Condition,
    functions::stack_filter::{FunctionFilter, StackFilter},
    nearest::nearest,
    options::{self, Explaining, Options},
    rows::Shape,
    table::AdditiveTable,
    times::Times,
    types::{list, no_type, type_of_scan},
    units::Part,
    values::all_true,
    why::Why,
};

/// How many values of one label a request may list. A condition that more of them fulfil is asked in several requests,
/// whose label sets have nothing in common.
const MAX_ALTERNATIVES: usize = 1000;

/// How many characters of a selector EXPLAIN shows.
const MAX_SHOWN: usize = 1000;

/// One request to a backend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// What the rows are made of.
    pub(crate) shape: Shape,
    pub(crate) select: Select,
    pub(crate) grouping: Grouping,
    /// Whether it stands for finer rows, which must then not cancel out.
    pub(crate) is_coarse: bool,
}

impl Request {
    /// Whether the answer is a single group, which every source gives at once.
    pub(crate) fn is_one_group(&self) -> bool {
        self.grouping == Grouping::default()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.shape == Shape::Points { "series" } else { "stacks" };
        let Select { profile_type, selector, range, only, .. } = &self.select;
        let selector = Shortened(selector);
        write!(f, "{method} type={profile_type} selector={selector} range={range}")?;
        match only {
            Only::Spans(ids) => write!(f, " spans=({})", ids.join(", "))?,
            Only::Traces(ids) => write!(f, " traces=({})", ids.join(", "))?,
            Only::Profiles(ids) => write!(f, " profiles=({})", ids.join(", "))?,
            _ => {}
        }
        match &self.grouping.labels {
            GroupBy::Labels(names) if names.is_empty() => {}
            GroupBy::Labels(names) => write!(f, " by=({})", names.join(", "))?,
            _ => f.write_str(" by=(all labels)")?,
        }
        match self.grouping.time {
            Bins::Whole => Ok(()),
            Bins::Every { step, origin } => {
                write!(f, " step={step}")?;
                match origin.nanos().rem_euclid(step.nanos()) {
                    0 => Ok(()),
                    offset => write!(f, "+{}", flamesql_profile::format_duration(offset)),
                }
            }
            _ => Ok(()),
        }
    }
}

/// A selector, of which thousands of values would bury the rest of the line.
struct Shortened<'a>(&'a Selector);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => {
                write!(f, "{}… ({} characters)", &text[..end], text.chars().count())
            }
            None => f.write_str(&text),
        }
    }
}

/// What a scan will ask, and what is worth telling about it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) source: Arc<Source>,
    pub(crate) kind: TableKind,
    pub(crate) coarse: Option<Coarse>,
    pub(crate) why: Option<Why>,
    pub(crate) requests: Vec<Request>,
    /// What of the answers counts: stacks that fulfil all of these.
    pub(crate) filters: Vec<StackFilter>,
    /// Which rows of functions count: those that fulfil all of these.
    pub(crate) functions: Vec<FunctionFilter>,
    /// How many requests there will be; `None` if only the data can tell.
    pub(crate) n_requests: Option<usize>,
    /// What is asked of the source's names and labels.
    meta: MetaQuery,
    /// How R's own rows are told apart.
    pub(crate) all_labels: GroupBy,
    /// All labels of the source, once somebody asks for them.
    label_names: OnceCell<Vec<String>>,
    /// The labels that are columns.
    pub(crate) label_columns: Vec<String>,
    pub(crate) profile_types: Vec<ProfileType>,
    /// What sums that other scans are in as well take from this one.
    pub(crate) sums: Vec<Part>,
    pub(crate) type_choice: TypeChoice,
    pub(crate) range: TimeRange,
    pub(crate) is_range_chosen: bool,
    pub(crate) notices: Vec<Notice>,
    pub(crate) options: Options,
    /// What the work came to.
    pub(crate) report: Report,
}

impl Plan {
    /// More requests than the session allows.
    pub(crate) fn too_many(&self, n_requests: usize) -> Error {
        too_many(&self.source, self.kind.name(), n_requests, &self.options)
    }

    /// How many requests a request of ours comes to at least: as a whole, or to find its groups.
    pub(crate) fn least(&self, request: &Request) -> usize {
        let bins = request.grouping.time;
        let is_stacks = request.shape != Shape::Points && self.is_one_question(request);
        let question = if is_stacks { Question::Stacks(bins) } else { Question::Series(bins) };
        self.n_requests_of(question, request.select.range)
    }

    /// How many requests the stacks of one group come to at least.
    pub(crate) fn least_of_group(&self, range: TimeRange) -> usize {
        self.n_requests_of(Question::Stacks(Bins::Whole), range)
    }

    fn n_requests_of(&self, question: Question, range: TimeRange) -> usize {
        let n = self.source.backend.n_requests(question, range);
        usize::try_from(n).unwrap_or(usize::MAX)
    }

    /// The labels by which groups of a request are told apart beside those that it names: of whole label sets all of the
    /// source, for one is told from others by what it lacks.
    pub(crate) async fn label_names(&self, request: &Request) -> Result<&[String], Error> {
        if matches!(request.grouping.labels, GroupBy::Labels(_)) {
            return Ok(&[]);
        }
        let ask = || self.source.backend.label_names(&self.meta);
        Ok(self.label_names.get_or_try_init(ask).await?)
    }

    /// Whether a request comes to one question to the source, whatever the data.
    pub(crate) fn is_one_question(&self, request: &Request) -> bool {
        let groups = self.source.backend.capabilities().groups_stacks;
        groups || request.shape == Shape::Points || request.is_one_group()
    }

    /// The selection of one group alone.
    pub(crate) async fn narrow(
        &self,
        request: &Request,
        labels: &Labels,
        time: Timestamp,
    ) -> Result<Select, Error> {
        let names = self.label_names(request).await?;
        Ok(narrow(&request.select, &request.grouping, names, labels, time))
    }
}

/// More requests for a table than the session allows.
pub(crate) fn too_many(
    source: &Source,
    table: &str,
    n_requests: usize,
    options: &Options,
) -> Error {
    let (source, max) = (&source.name, options.max_requests);
    let what = format!(
        "{source}.{table} would need {n_requests} requests, more than flamesql.max_requests = {max}"
    );
    Error::new(ErrorKind::Query, what).with_hint(
        "ask for a shorter range, fewer label sets or wider bins, or SET flamesql.max_requests",
    )
}

/// Settles what a scan asks.
pub(crate) async fn plan(
    table: &AdditiveTable,
    session: &dyn Session,
    conditions: Vec<Condition>,
    schema: &SchemaRef,
) -> Result<Plan, Error> {
    let source = Arc::clone(table.source());
    let backend = source.backend.as_ref();
    let options = Options::of(session);
    let capabilities = backend.capabilities();

    let speaks_of_time = table.noted().speaks_of.time;
    let times = Asked::of(&source, &conditions, speaks_of_time, &options, session)?;
    let range = times.hull;
    let types = backend.profile_types(range).await?;
    let listed = types.len();
    let types = with_named(types, &capabilities, &conditions, &options);
    let (profile_types, type_choice) =
        profile_types(table, session, &conditions, &options, &types).await?;
    let mut notices = backend.notices();
    if profile_types.is_empty() && !types.is_empty() {
        notices.push(no_type_qualifies(&source, &conditions, &types));
    }
    let (listed, unlisted) = types.split_at(listed);
    for named in unlisted.iter().filter(|named| profile_types.contains(named)) {
        notices.push(not_listed(&source, named, listed));
    }
    let notice = |reason: &str| Notice {
        subject: source.name.clone(),
        reason: reason.to_owned(),
        is_missing: false,
    };
    if types.is_empty() && !capabilities.is_finite {
        notices.push(notice("no profile lies in the range, as far as it lists what there is"));
    }
    if times.times.ranges().is_empty() && times.is_chosen {
        let grain = capabilities.grain;
        notices.push(notice(&format!(
            "no time is in the range: its bounds exclude each other, or lie within one grain of {grain}"
        )));
    } else if !is_on_grain(range, capabilities.grain) {
        let grain = capabilities.grain;
        notices.push(notice(&format!(
            "bounds are finer than its grain of {grain}, and are rounded up to it"
        )));
    }
    if let Some(width) = table.noted().speaks_of.bins.filter(|width| *width < capabilities.grain) {
        let grain = capabilities.grain;
        notices.push(notice(&format!("bins of {width} are finer than its grain of {grain}")));
    }
    let all_labels = source.all_labels(range).await?;
    let is_all = |grouping: &Grouping| grouping.labels == all_labels;
    let sums = table.noted().parts(session, &profile_types)?;

    let only_type = match profile_types.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    let meta = MetaQuery { profile_type: only_type, selector: Selector::all(), range };
    let constants: Vec<Expr> = conditions
        .iter()
        .filter_map(|c| if let Condition::Constant(expr) = c { Some(expr.clone()) } else { None })
        .collect();
    let is_possible = all_true(session, &constants, &[None])?[0];
    if !is_possible {
        notices.push(notice("no row can fulfil the conditions"));
    }
    let selectors = match is_possible && !range.is_empty() && !profile_types.is_empty() {
        true => {
            // Where types are not all listed, those that are meant are asked one by one.
            let of_type =
                |one: &ProfileType| MetaQuery { profile_type: Some(one.clone()), ..meta.clone() };
            let metas: Vec<MetaQuery> = match capabilities.lists_all {
                true => vec![meta.clone()],
                false => profile_types.iter().map(of_type).collect(),
            };
            selectors(table, &conditions, session, &metas, &options).await?
        }
        false => Vec::new(),
    };
    let only = only(table, &conditions, &capabilities)?;
    let filters: Vec<StackFilter> = conditions
        .iter()
        .filter_map(|c| if let Condition::Stack(filter) = c { Some(filter.clone()) } else { None })
        .collect();
    let functions: Vec<FunctionFilter> = conditions
        .iter()
        .filter_map(|c| match c {
            Condition::Function(filter) => Some(filter.clone()),
            _ => None,
        })
        .collect();
    let shape = Shape::of(table.kind(), table.coarse(), schema, !functions.is_empty());
    let is_whole = only == Only::All && filters.is_empty();
    let shape = if is_whole { shape } else { shape.of_stacks() };
    let mut requests = Vec::new();
    for profile_type in &profile_types {
        for selector in &selectors {
            for range in times.times.ranges() {
                for (range, grouping) in
                    pieces(*range, table.coarse(), &all_labels, capabilities.grain)
                {
                    let mut select = Select::new(profile_type.clone(), selector.clone(), range);
                    select.only = only.clone();
                    let is_coarse = table.coarse().is_some();
                    requests.push(Request { shape, select, grouping, is_coarse });
                }
            }
        }
    }
    if !capabilities.lists_quoted && requests.iter().any(|request| is_all(&request.grouping)) {
        notices.push(notice(
            "it lists no labels whose names need quotes, such as k8s.cluster: rows that differ in them alone are one, \
             unless the statement names them, as labels['k8s.cluster']",
        ));
    }
    if !capabilities.lists_all && requests.iter().any(|request| is_all(&request.grouping)) {
        notices.push(notice("it lists labels of what came last: older rows may lack some"));
    }
    let strict = options.strict;
    let mut plan = Plan {
        source: Arc::clone(&source),
        kind: table.kind(),
        coarse: table.coarse().cloned(),
        why: table.why().cloned(),
        requests,
        filters,
        functions,
        n_requests: None,
        meta,
        all_labels,
        label_names: OnceCell::new(),
        label_columns: table.label_columns().to_vec(),
        profile_types,
        sums,
        type_choice,
        range,
        is_range_chosen: times.is_chosen,
        notices,
        options,
        report: Report::new(),
    };
    let least = plan.requests.iter().fold(0, |n: usize, r| n.saturating_add(plan.least(r)));
    if least > plan.options.max_requests {
        return Err(plan.too_many(least));
    }
    let is_explained = session.config().get_extension::<Explaining>().is_some();
    plan.n_requests = count(&plan, is_explained).await?;
    match plan.notices.iter().find(|notice| notice.is_missing) {
        Some(notice) if strict => Err(Error::new(ErrorKind::Partial, notice.to_string())),
        _ => Ok(plan),
    }
}

/// How many requests there will be. Where that depends on data the source is asked which groups there are, but only for
/// EXPLAIN: who runs the statement finds out on the way.
async fn count(plan: &Plan, is_explained: bool) -> Result<Option<usize>, Error> {
    let mut n: usize = 0;
    for request in &plan.requests {
        n = n.saturating_add(plan.least(request));
        if plan.is_one_question(request) {
            continue;
        }
        if !is_explained {
            return Ok(None);
        }
        let backend = &plan.source.backend;
        let select = Select { only: Only::All, ..request.select.clone() };
        let found = backend.series(&select, &request.grouping, &plan.report).await?;
        for point in found.series.iter().flat_map(|series| &series.points) {
            let range = bin(&request.select, &request.grouping, point.time);
            n = n.saturating_add(plan.least_of_group(range));
        }
    }
    Ok(Some(n))
}

/// The times that a scan asks for.
pub(crate) struct Asked {
    pub(crate) times: Times,
    pub(crate) hull: TimeRange,
    /// Whether the statement or the session says anything about it.
    pub(crate) is_chosen: bool,
}

impl Asked {
    /// The times that conditions leave, a missing bound from the session. `speaks_of_time` is whether the statement says
    /// anything about time beyond these conditions.
    pub(crate) fn of(
        source: &Source,
        conditions: &[Condition],
        speaks_of_time: bool,
        options: &Options,
        session: &dyn Session,
    ) -> Result<Self, Error> {
        let is_finite = source.backend.capabilities().is_finite;
        let mut said = Times::all();
        for condition in conditions {
            if let Condition::Times(times) = condition {
                said = said.intersect(times);
            }
        }
        let (default, is_set) = options.range(options::statement_time(session), is_finite)?;
        let is_chosen = is_set || said != Times::all();
        // Whatever it says of the time between, an open range would be cut to the default's in silence.
        let is_open = said.hull() == Some(TimeRange::ALL);
        let is_said = speaks_of_time || conditions.iter().any(|c| matches!(c, Condition::Times(_)));
        if is_open && !is_set && !is_finite && is_said {
            let what = format!(
                "what is said of time gives no bound, and {} has no first profile to begin with",
                source.name
            );
            return Err(Error::new(ErrorKind::Query, what).with_hint(
                "add a bound such as WHERE time >= now() - INTERVAL '1 hour', or --from, or SET flamesql.from",
            ));
        }
        let Some(hull) = said.hull() else {
            // Bounds that exclude each other are an empty range.
            let nothing = TimeRange::new(default.start(), default.start())?;
            return Ok(Self { times: said, hull: nothing, is_chosen });
        };
        // A bound that the statement names stands against the session's.
        let start = match hull.start() {
            // As long before the named end as the default is before now.
            Timestamp::MIN if !is_set && !is_finite && default.start() >= hull.end() => {
                hull.end().saturating_add(options::DEFAULT_RANGE.saturating_neg())
            }
            Timestamp::MIN => default.start(),
            start => start,
        };
        let end = if hull.end() == Timestamp::MAX { default.end() } else { hull.end() };
        // A default that lies beyond a named bound leaves an empty range as well.
        let bounds = TimeRange::new(start, end.max(start))?;
        let times = said.intersect(&Times::between(bounds));
        Ok(Self { hull: times.hull().unwrap_or(bounds), times, is_chosen })
    }
}

/// Of these types the ones that fulfil all conditions on the type; `None` if there is no such condition.
pub(crate) fn named_types(
    session: &dyn Session,
    conditions: &[Condition],
    types: &[ProfileType],
) -> Result<Option<Vec<ProfileType>>, Error> {
    let on_type: Vec<Expr> = conditions
        .iter()
        .filter_map(|c| if let Condition::Type(expr) = c { Some(expr.clone()) } else { None })
        .collect();
    if on_type.is_empty() {
        return Ok(None);
    }
    let texts: Vec<Option<&str>> = types.iter().map(|t| Some(t.as_str())).collect();
    let fits = all_true(session, &on_type, &texts)?;
    let fitting = types.iter().zip(fits).filter(|(_, fits)| *fits).map(|(t, _)| t.clone());
    Ok(Some(fitting.collect()))
}

/// Says that conditions leave none of the types that there are.
pub(crate) fn no_type_qualifies(
    source: &Source,
    conditions: &[Condition],
    types: &[ProfileType],
) -> Notice {
    let meant = meant_type(conditions, types);
    let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
    let reason = format!("no profile type qualifies{meant}; {}", list(types));
    Notice { subject: source.name.clone(), reason, is_missing: false }
}

/// The texts in conditions on the type.
fn typed(conditions: &[Condition]) -> Vec<String> {
    let mut typed: Vec<String> = Vec::new();
    for condition in conditions {
        let Condition::Type(expr) = condition else { continue };
        // Nothing that visits them fails.
        let _ = expr.apply(|e| {
            typed.extend(text_of(e));
            Ok(TreeNodeRecursion::Continue)
        });
    }
    typed
}

fn text_of(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    value.try_as_str().flatten().map(str::to_owned)
}

/// The texts that conditions name as types: what is compared with `=` and stands in IN, and no pattern.
fn named(conditions: &[Condition]) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for condition in conditions {
        let Condition::Type(expr) = condition else { continue };
        let _ = expr.apply(|e| {
            match e {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    named.extend(text_of(left).into_iter().chain(text_of(right)));
                }
                Expr::InList(list) if !list.negated => {
                    named.extend(list.list.iter().filter_map(text_of));
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    named
}

/// Says that a type was asked for that the source does not list.
fn not_listed(source: &Source, named: &ProfileType, listed: &[ProfileType]) -> Notice {
    let meant = nearest(named.as_str(), listed.iter().map(ProfileType::as_str));
    let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
    let reason =
        format!("it lists no profile type {named}{meant}, which was asked for all the same");
    Notice { subject: source.name.clone(), reason, is_missing: false }
}

/// Whether a range begins and ends where a grain does, as far as it does.
fn is_on_grain(range: TimeRange, grain: Step) -> bool {
    let is_on = |time: Timestamp| {
        [Timestamp::MIN, Timestamp::MAX].contains(&time) || time.nanos() % grain.nanos() == 0
    };
    is_on(range.start()) && is_on(range.end())
}

/// The types of a source, with those that are named in full where it may have more than it lists: a server may list only
/// what came last, and a list is kept for a while.
pub(crate) fn with_named(
    mut types: Vec<ProfileType>,
    capabilities: &Capabilities,
    conditions: &[Condition],
    options: &Options,
) -> Vec<ProfileType> {
    if !capabilities.lists_all || !capabilities.is_finite {
        let is_said = conditions.iter().any(|c| matches!(c, Condition::Type(_)));
        let of_session = options.profile_type.clone().filter(|_| !is_said);
        let named = named(conditions).into_iter().chain(of_session);
        for named in named.filter_map(|text| ProfileType::parse(&text).ok()) {
            if !types.iter().any(|known| known.matches(&named)) {
                types.push(named);
            }
        }
    }
    types
}

/// The type that a text in the conditions was probably meant to be.
fn meant_type<'a>(conditions: &[Condition], types: &'a [ProfileType]) -> Option<&'a str> {
    let typed = typed(conditions);
    typed.iter().find_map(|typed| {
        let mut called = types.iter().filter(|t| t.is_called(typed));
        match (called.next(), called.next()) {
            (Some(one), None) => Some(one.as_str()),
            _ => nearest(typed, types.iter().map(ProfileType::as_str)),
        }
    })
}

async fn profile_types(
    table: &AdditiveTable,
    session: &dyn Session,
    conditions: &[Condition],
    options: &Options,
    types: &[ProfileType],
) -> Result<(Vec<ProfileType>, TypeChoice), Error> {
    if let Some(named) = named_types(session, conditions, types)? {
        return Ok((named, TypeChoice::Named));
    }
    // A range without profiles is an empty answer, not a missing choice.
    if types.is_empty() {
        return Ok((Vec::new(), TypeChoice::Only));
    }
    // Who speaks of the type does not mean a default that he did not name.
    let speaks =
        table.noted().speaks_of.profile_type || table.coarse().is_some_and(|c| c.profile_type);
    if speaks && types.len() > 1 && options.profile_type.is_none() {
        return Err(no_type("no profile type is named, though the statement speaks of it", types));
    }
    let backend = table.source().backend.as_ref();
    let (one, choice) = type_of_scan(backend, options.profile_type.as_deref(), types).await?;
    Ok((vec![one], choice))
}

/// The narrower choice that all conditions come to.
fn only(
    table: &AdditiveTable,
    conditions: &[Condition],
    capabilities: &Capabilities,
) -> Result<Only, Error> {
    let mut chosen = Only::All;
    for condition in conditions {
        let Condition::Only(only) = condition else { continue };
        chosen = match (chosen, only) {
            (Only::All, only) => only.clone(),
            // Both have to hold: what is in one list and in the other.
            (Only::Spans(a), Only::Spans(b)) => Only::Spans(common(a, b)),
            (Only::Traces(a), Only::Traces(b)) => Only::Traces(common(a, b)),
            (Only::Profiles(a), Only::Profiles(b)) => Only::Profiles(common(a, b)),
            _ => {
                return Err(Error::new(
                    ErrorKind::Query,
                    "in_span, in_trace and in_profile cannot be asked for together",
                )
                .with_hint("take one of them"));
            }
        };
    }
    let (function, is_known) = match &chosen {
        Only::Spans(_) => ("in_span", capabilities.only.spans),
        Only::Traces(_) => ("in_trace", capabilities.only.traces),
        Only::Profiles(_) => ("in_profile", capabilities.only.profiles),
        _ => return Ok(Only::All),
    };
    let (source, kind) = (&table.source().name, capabilities.kind);
    if table.kind() == TableKind::Series {
        let what = format!("{function} over series: the points of a series have no spans");
        return Err(Error::new(ErrorKind::Query, what)
            .with_hint("ask samples, functions or call_edges instead"));
    }
    match is_known {
        true => Ok(chosen),
        false => Err(Error::new(
            ErrorKind::Query,
            format!(
                "{function}: {source} is a {kind} source that cannot choose so, by its version or its storage"
            ),
        )),
    }
}

fn common(mut a: Vec<String>, b: &[String]) -> Vec<String> {
    a.retain(|id| b.contains(id));
    a
}

/// All that is said of one label together.
#[derive(Default)]
struct OfLabel<'a> {
    /// The values that it may have.
    one_of: Option<BTreeSet<&'a str>>,
    /// The values that it may not have; it has to be there then.
    none_of: Option<BTreeSet<&'a str>>,
    /// Conditions on the value.
    exprs: Vec<Expr>,
}

impl<'a> OfLabel<'a> {
    fn all(conditions: &'a [Condition]) -> BTreeMap<&'a str, Self> {
        let mut by_label: BTreeMap<&str, Self> = BTreeMap::new();
        for condition in conditions {
            match condition {
                Condition::OneOf(name, values) => {
                    let values = values.iter().map(String::as_str);
                    let known = &mut by_label.entry(name).or_default().one_of;
                    *known = Some(match known.take() {
                        None => values.collect(),
                        Some(known) => values.filter(|v| known.contains(v)).collect(),
                    });
                }
                Condition::NoneOf(name, values) => {
                    let none_of = &mut by_label.entry(name).or_default().none_of;
                    none_of.get_or_insert_default().extend(values.iter().map(String::as_str));
                }
                Condition::Label(name, expr) => {
                    by_label.entry(name).or_default().exprs.push(expr.clone());
                }
                _ => {}
            }
        }
        by_label
    }

    /// Matchers for the label, of which one list has to hold: what the lists choose has nothing in common. An empty list
    /// chooses all there is; without lists nothing qualifies.
    async fn matchers(
        &self,
        name: &str,
        backend: &dyn Backend,
        session: &dyn Session,
        metas: &[MetaQuery],
    ) -> Result<Vec<Vec<Matcher>>, Error> {
        let is_finite = backend.capabilities().is_finite;
        let refused = |value: &str| self.none_of.as_ref().is_some_and(|none| none.contains(value));
        if self.exprs.is_empty() {
            // What is listed needs no look at the values that there are.
            return Ok(match (&self.one_of, &self.none_of) {
                (Some(known), _) => {
                    let kept: Vec<&str> = known.iter().copied().filter(|v| !refused(v)).collect();
                    one_of(name, &kept, is_finite)
                }
                (None, Some(none_of)) => {
                    let none_of = none_of.iter().copied().chain([""]).collect();
                    vec![none_of_these(name, &none_of)]
                }
                (None, None) => vec![Vec::new()],
            });
        }
        // Conditions may fail for a value that does not exist, so they are tried on those that do.
        let mut found: BTreeSet<String> = BTreeSet::new();
        for meta in metas {
            found.extend(backend.label_values(name, meta).await?);
        }
        let is_known = |value: &str| self.one_of.as_ref().is_none_or(|known| known.contains(value));
        // A missing label is NULL to the conditions, and an empty value to the selector.
        let may_lack = self.one_of.is_none() && self.none_of.is_none();
        let rows: Vec<Option<&str>> = (found.iter())
            .map(String::as_str)
            .filter(|value| is_known(value) && !refused(value))
            .map(Some)
            .chain(may_lack.then_some(None))
            .collect();
        let fits = all_true(session, &self.exprs, &rows)?;
        let (mut kept, mut left_out) = (Vec::new(), BTreeSet::new());
        for (row, fits) in rows.iter().zip(fits) {
            match fits {
                true => kept.push(row.unwrap_or("")),
                false => drop(left_out.insert(row.unwrap_or(""))),
            }
        }
        if self.one_of.is_none() {
            left_out.extend(self.none_of.iter().flatten().copied());
            if self.none_of.is_some() {
                left_out.insert("");
            }
            let all_that_have_it = left_out.len() == 1 && left_out.contains("");
            // Values that come up meanwhile are judged by nobody, so what is left out is only named where it is much less.
            let is_less = kept.len() > MAX_ALTERNATIVES && left_out.len() < kept.len();
            if !kept.is_empty()
                && (left_out.is_empty() || kept.len() > 1 && all_that_have_it || is_less)
            {
                return Ok(vec![none_of_these(name, &left_out)]);
            }
        }
        Ok(one_of(name, &kept, is_finite))
    }
}

/// That a label has one of these values. A source at hand looks them up, however many they are; others are sent so many
/// at a time.
fn one_of(name: &str, values: &[&str], is_finite: bool) -> Vec<Vec<Matcher>> {
    let at_once = if is_finite { values.len().max(1) } else { MAX_ALTERNATIVES };
    let matcher = |some: &[&str]| match some {
        [one] => vec![Matcher::equal(name, *one)],
        some => vec![Matcher::one_of(name, some)],
    };
    values.chunks(at_once).map(matcher).collect()
}

/// That a label has none of these values: all that do hold at once, so there is one list however many they are.
fn none_of_these(name: &str, values: &BTreeSet<&str>) -> Vec<Matcher> {
    let named: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
    let none_of = named.chunks(MAX_ALTERNATIVES).map(|some| match some {
        [one] => Matcher::not_equal(name, *one),
        some => Matcher::none_of(name, some),
    });
    let missing = values.contains("").then(|| Matcher::not_equal(name, ""));
    none_of.chain(missing).collect()
}

/// The selectors that all label conditions come to, apart from each other; none if nothing can fulfil the conditions.
async fn selectors(
    table: &AdditiveTable,
    conditions: &[Condition],
    session: &dyn Session,
    metas: &[MetaQuery],
    options: &Options,
) -> Result<Vec<Selector>, Error> {
    let source = table.source();
    let mut lists: Vec<Vec<Vec<Matcher>>> = Vec::new();
    for (name, said) in OfLabel::all(conditions) {
        let of_label = said.matchers(name, source.backend.as_ref(), session, metas).await?;
        if of_label.is_empty() {
            return Ok(Vec::new());
        }
        lists.push(of_label);
    }
    // Each is a request at least, and each is built: several labels with many values come to millions.
    let n = lists.iter().fold(1, |n: usize, of_label| n.saturating_mul(of_label.len()));
    if n > options.max_requests {
        return Err(too_many(source, table.kind().name(), n, options));
    }
    let mut all = Selector::all();
    for condition in conditions {
        if let Condition::Selector(selector) = condition {
            selector.matchers.iter().for_each(|matcher| all.push(matcher.clone()));
        }
    }
    let mut selectors = vec![all];
    for of_label in lists {
        selectors = selectors
            .iter()
            .flat_map(|selector| {
                of_label.iter().map(|matchers| {
                    let mut selector = selector.clone();
                    matchers.iter().for_each(|matcher| selector.push(matcher.clone()));
                    selector
                })
            })
            .collect();
    }
    Ok(selectors)
}

/// The ranges and groups to ask for, so that no group crosses a place where time is cut.
fn pieces(
    range: TimeRange,
    coarse: Option<&Coarse>,
    all_labels: &GroupBy,
    grain: Step,
) -> Vec<(TimeRange, Grouping)> {
    let instants = Bins::Every { step: grain, origin: Timestamp::from_nanos(0) };
    let Some(Coarse { labels, time: TimeNeed { bins, cuts }, .. }) = coarse else {
        return vec![(range, Grouping { labels: all_labels.clone(), time: instants })];
    };
    let labels = match labels {
        LabelNeed::All => all_labels.clone(),
        LabelNeed::Only(names) => GroupBy::Labels(names.iter().cloned().collect()),
    };
    let time = match bins {
        None => Bins::Whole,
        Some((step, origin)) => Bins::Every { step: *step, origin: *origin },
    };
    let inside = cuts.iter().copied().filter(|cut| range.start() < *cut && *cut < range.end());
    let edges: BTreeSet<Timestamp> = inside.chain([range.start(), range.end()]).collect();
    let edges: Vec<Timestamp> = edges.into_iter().collect();
    edges
        .windows(2)
        .map(|edge| {
            let range = TimeRange::new(edge[0], edge[1]).expect("edges are sorted");
            (range, Grouping { labels: labels.clone(), time })
        })
        .collect()
}

/// The selection of one group alone: every label of the group named, and its bin as the range.
pub(crate) fn narrow(
    select: &Select,
    grouping: &Grouping,
    label_names: &[String],
    labels: &Labels,
    time: Timestamp,
) -> Select {
    let names = match &grouping.labels {
        GroupBy::Labels(names) => names.as_slice(),
        _ => label_names,
    };
    let mut narrowed = select.clone();
    for name in names {
        narrowed.selector.push(Matcher::equal(name, labels.get(name).unwrap_or("")));
    }
    narrowed.range = bin(select, grouping, time);
    narrowed
}

/// The bin of a time, as far as it is in the range.
fn bin(select: &Select, grouping: &Grouping, time: Timestamp) -> TimeRange {
    let Bins::Every { step, origin } = grouping.time else { return select.range };
    let start = time.floor(step, origin);
    let end = start.saturating_add(step.nanos());
    select.range.intersect(TimeRange::new(start, end).expect("a step is above zero"))
}
