//! From a scan to the requests that a backend is sent.
//!
//! Everything is settled here, before a row is read: the range, the profile types, the selector, the groups. What comes
//! out is plain data that EXPLAIN prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{catalog::Session, common::DFSchema, logical_expr::Expr};
use flamesql_backend::{Backend, Bins, GroupBy, Grouping, MetaQuery, Notice, Select};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp};
use flamesql_selector::{Matcher, Selector};

use crate::{
    Error, ErrorKind, TableKind,
    catalog::Source,
    condition::{Condition, VALUE},
    law::{Coarse, LabelNeed, TimeNeed},
    options::{self, Options},
    rows::Shape,
    table::AdditiveTable,
};

/// How the profile type of a scan was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeChoice {
    /// The statement, or the caller by its full id, names it.
    Named,
    /// The session names it, or a part of it that is unique.
    Session,
    /// The source has no other.
    Only,
    /// The source says that it is to be shown first, as a file does.
    Default,
    /// The table needs none.
    NotNeeded,
}

impl fmt::Display for TypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "as named",
            Self::Session => "of the session",
            Self::Only => "the only one",
            Self::Default => "the source's default",
            Self::NotNeeded => "not needed",
        })
    }
}

/// The profile type that `hint` means at a source: a full id, or a part of one that no other type there has. Without a
/// hint it is the source's only type or its default.
///
/// # Errors
///
/// If no type or more than one qualifies; the message lists those that there are.
pub async fn resolve_profile_type(
    backend: &dyn Backend,
    hint: Option<&str>,
    range: TimeRange,
) -> Result<(ProfileType, TypeChoice), Error> {
    let types = backend.profile_types(range).await?;
    choose_type(backend, hint, &types).await
}

async fn choose_type(
    backend: &dyn Backend,
    hint: Option<&str>,
    types: &[ProfileType],
) -> Result<(ProfileType, TypeChoice), Error> {
    if let Some(hint) = hint {
        if let Some(exact) = types.iter().find(|t| t.as_str() == hint) {
            return Ok((exact.clone(), TypeChoice::Named));
        }
        if let Ok(id) = ProfileType::parse(hint)
            && let Some(found) = types.iter().find(|t| t.matches(&id))
        {
            return Ok((found.clone(), TypeChoice::Named));
        }
        let called: Vec<&ProfileType> = types.iter().filter(|t| t.is_called(hint)).collect();
        return match called.as_slice() {
            [one] => Ok(((*one).clone(), TypeChoice::Session)),
            [] if hint.contains(':') && ProfileType::parse(hint).is_err() => {
                Err(ProfileType::parse(hint)
                    .map_or_else(Error::from, |_| no_type("", types))
                    .with_hint(list(types)))
            }
            [] => Err(no_type(&format!("there is no profile type {hint:?} here"), types)),
            several => {
                // What a source shows first is also what it means by a name.
                let default = backend.default_profile_type().await?;
                match default.filter(|default| several.contains(&default)) {
                    Some(default) => Ok((default, TypeChoice::Session)),
                    None => {
                        let what = format!("{} profile types are called {hint:?}", several.len());
                        let several: Vec<ProfileType> = several.iter().copied().cloned().collect();
                        Err(no_type(&what, &several))
                    }
                }
            }
        };
    }
    if let [only] = types {
        return Ok((only.clone(), TypeChoice::Only));
    }
    if let Some(default) = backend.default_profile_type().await?.filter(|t| types.contains(t)) {
        return Ok((default, TypeChoice::Default));
    }
    Err(no_type("no profile type is named", types))
}

fn list(types: &[ProfileType]) -> String {
    match types {
        [] => "the source has no profiles in this range".to_owned(),
        types => {
            let ids: Vec<&str> = types.iter().map(ProfileType::as_str).collect();
            format!("the source has {}", ids.join(", "))
        }
    }
}

fn no_type(what: &str, types: &[ProfileType]) -> Error {
    Error::new(ErrorKind::Query, format!("{what}; {}", list(types)))
        .with_hint("name one: WHERE profile_type = '...', --type, or SET flamesql.profile_type")
}

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

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.shape == Shape::Points { "series" } else { "stacks" };
        let Select { profile_type, selector, range, .. } = &self.select;
        write!(f, "{method} type={profile_type} selector={selector} range={range}")?;
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

/// What a scan will ask, and what is worth telling about it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) source: Arc<Source>,
    pub(crate) kind: TableKind,
    pub(crate) coarse: Option<Coarse>,
    pub(crate) requests: Vec<Request>,
    /// All labels of the source: one group of whole label sets is told from others by those it lacks.
    pub(crate) label_names: Vec<String>,
    /// The labels that are columns.
    pub(crate) label_columns: Vec<String>,
    pub(crate) profile_types: Vec<ProfileType>,
    pub(crate) type_choice: TypeChoice,
    pub(crate) range: TimeRange,
    pub(crate) is_range_chosen: bool,
    pub(crate) notices: Vec<Notice>,
    pub(crate) options: Options,
}

impl Plan {
    /// More requests than the session allows.
    pub(crate) fn too_many(&self, n_requests: usize) -> Error {
        let (source, table, max) = (&self.source.name, self.kind.name(), self.options.max_requests);
        let what = format!(
            "{source}.{table} would need {n_requests} requests, more than flamesql.max_requests = {max}"
        );
        Error::new(ErrorKind::Query, what).with_hint(
            "ask for a shorter range, fewer label sets or wider bins, or SET flamesql.max_requests",
        )
    }
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

    let (range, is_range_chosen) = range(&conditions, &options, session, capabilities.is_finite)?;
    let types = backend.profile_types(range).await?;
    let on_type: Vec<Expr> = conditions
        .iter()
        .filter_map(|c| if let Condition::Type(expr) = c { Some(expr.clone()) } else { None })
        .collect();
    let (profile_types, type_choice) = if on_type.is_empty() {
        // A range without profiles is an empty answer, not a missing choice.
        match types.as_slice() {
            [] => (Vec::new(), TypeChoice::Only),
            types => {
                // Who speaks of the type does not mean a default that he did not name.
                let speaks_of_type = table.coarse().is_some_and(|c| c.profile_type);
                if speaks_of_type && types.len() > 1 && options.profile_type.is_none() {
                    return Err(no_type(
                        "no profile type is named, though the statement speaks of it",
                        types,
                    ));
                }
                let (one, choice) =
                    choose_type(backend, options.profile_type.as_deref(), types).await?;
                (vec![one], choice)
            }
        }
    } else {
        let texts: Vec<Option<&str>> = types.iter().map(|t| Some(t.as_str())).collect();
        let fits = all_true(session, &on_type, &texts)?;
        let fitting = types.iter().zip(fits).filter(|(_, fits)| *fits).map(|(t, _)| t.clone());
        (fitting.collect(), TypeChoice::Named)
    };
    let mut notices = backend.notices();
    if profile_types.is_empty() && !types.is_empty() {
        let reason = format!("no profile type qualifies; {}", list(&types));
        notices.push(Notice { subject: source.name.clone(), reason, is_missing: false });
    }
    if let Some(coarse) = table.coarse().filter(|c| c.sums && !c.profile_type) {
        one_unit(&profile_types, coarse)?;
    }

    let only_type = match profile_types.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    let meta = MetaQuery { profile_type: only_type, selector: Selector::all(), range };
    let constants: Vec<Expr> = conditions
        .iter()
        .filter_map(|c| if let Condition::Constant(expr) = c { Some(expr.clone()) } else { None })
        .collect();
    let selector = match all_true(session, &constants, &[None])?[0] {
        true => selector(&conditions, backend, session, &meta).await?,
        false => None,
    };
    let shape = Shape::of(table.kind(), table.coarse(), schema);
    let mut requests = Vec::new();
    if let Some(selector) = selector.filter(|_| !range.is_empty()) {
        for profile_type in &profile_types {
            for (range, grouping) in pieces(range, table.coarse(), capabilities.grain) {
                let (profile_type, selector) = (profile_type.clone(), selector.clone());
                let select = Select::new(profile_type, selector, range);
                requests.push(Request {
                    shape,
                    select,
                    grouping,
                    is_coarse: table.coarse().is_some(),
                });
            }
        }
    }
    let label_names =
        if requests.is_empty() || capabilities.groups_stacks && table.coarse().is_none() {
            Vec::new()
        } else {
            backend.label_names(&meta).await?
        };
    let strict = options.strict;
    let too_many = requests.len() > options.max_requests;
    let plan = Plan {
        source: Arc::clone(&source),
        kind: table.kind(),
        coarse: table.coarse().cloned(),
        requests,
        label_names,
        label_columns: table.label_columns().to_vec(),
        profile_types,
        type_choice,
        range,
        is_range_chosen,
        notices,
        options,
    };
    if too_many {
        return Err(plan.too_many(plan.requests.len()));
    }
    match plan.notices.iter().find(|notice| notice.is_missing) {
        Some(notice) if strict => Err(Error::new(ErrorKind::Partial, notice.to_string())),
        _ => Ok(plan),
    }
}

fn range(
    conditions: &[Condition],
    options: &Options,
    session: &dyn Session,
    is_finite: bool,
) -> Result<(TimeRange, bool), Error> {
    let (mut start, mut end) = (Timestamp::MIN, Timestamp::MAX);
    for condition in conditions {
        if let Condition::Time(from, until) = condition {
            (start, end) = (start.max(*from), end.min(*until));
        }
    }
    let (default, is_set) = options.range(options::statement_time(session), is_finite)?;
    let is_chosen = is_set || start != Timestamp::MIN || end != Timestamp::MAX;
    // A bound that the statement names stands against the session's.
    if start == Timestamp::MIN {
        start = default.start();
    }
    if end == Timestamp::MAX {
        end = default.end();
    }
    // Bounds that exclude each other are an empty range, and so is a default that lies beyond a named bound.
    let range = TimeRange::new(start, end.max(start)).expect("the end is not before the start");
    Ok((range, is_chosen))
}

fn one_unit(types: &[ProfileType], coarse: &Coarse) -> Result<(), Error> {
    let other = types.iter().find(|t| t.sample_unit() != types[0].sample_unit());
    match other {
        Some(other) => {
            let first = &types[0];
            Err(Error::new(
                ErrorKind::Query,
                format!(
                    "a sum {coarse} over {first} in {} and {other} in {} has no unit",
                    first.sample_unit(),
                    other.sample_unit()
                ),
            )
            .with_hint("choose one with profile_type = '...', or add GROUP BY profile_type"))
        }
        None => Ok(()),
    }
}

/// The selector that all label conditions come to; `None` if nothing can fulfil them.
async fn selector(
    conditions: &[Condition],
    backend: &dyn Backend,
    session: &dyn Session,
    meta: &MetaQuery,
) -> Result<Option<Selector>, Error> {
    // All that is said of one label together: the values that it may have, and conditions on them.
    let mut by_label: BTreeMap<&str, (Option<BTreeSet<&str>>, Vec<Expr>)> = BTreeMap::new();
    for condition in conditions {
        match condition {
            Condition::OneOf(name, values) => {
                let values = values.iter().map(String::as_str);
                let known = &mut by_label.entry(name).or_default().0;
                *known = Some(match known.take() {
                    None => values.collect(),
                    Some(known) => values.filter(|v| known.contains(v)).collect(),
                });
            }
            Condition::Label(name, expr) => by_label.entry(name).or_default().1.push(expr.clone()),
            Condition::Time(..) | Condition::Type(_) | Condition::Constant(_) => {}
        }
    }
    let mut selector = Selector::all();
    for (name, (known, exprs)) in by_label {
        let is_known = known.is_some();
        let found = match known {
            Some(_) => Vec::new(),
            None => backend.label_values(name, meta).await?,
        };
        // A missing label is NULL to the conditions, and an empty value to the selector.
        let rows: Vec<Option<&str>> = match &known {
            Some(known) => known.iter().copied().map(Some).collect(),
            None => found.iter().map(|v| Some(v.as_str())).chain([None]).collect(),
        };
        let fits = all_true(session, &exprs, &rows)?;
        let fitting: Vec<&str> = rows
            .iter()
            .zip(&fits)
            .filter(|(_, fits)| **fits)
            .map(|(row, _)| row.unwrap_or(""))
            .collect();
        match fitting.as_slice() {
            [] => return Ok(None),
            all if !is_known && all.len() == rows.len() => {}
            [one] => selector.push(Matcher::equal(name, *one)),
            all if !is_known && all.len() + 1 == rows.len() && !all.contains(&"") => {
                selector.push(Matcher::not_equal(name, ""));
            }
            some => selector.push(Matcher::one_of(name, some)),
        }
    }
    Ok(Some(selector))
}

/// For each value whether all conditions are true of it; NULL is not true.
fn all_true(
    session: &dyn Session,
    conditions: &[Expr],
    values: &[Option<&str>],
) -> Result<Vec<bool>, Error> {
    let schema = Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Utf8, true)]));
    let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])
        .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
    let mut fits = vec![true; values.len()];
    for condition in conditions {
        let evaluated =
            session.create_physical_expr(condition.clone(), &df_schema)?.evaluate(&batch)?;
        let evaluated = evaluated.into_array(values.len())?;
        let evaluated = evaluated.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("the filter {condition} is not a truth value"))
        })?;
        for (fits, value) in fits.iter_mut().zip(evaluated) {
            *fits &= value == Some(true);
        }
    }
    Ok(fits)
}

/// The ranges and groups to ask for, so that no group crosses a place where time is cut.
fn pieces(range: TimeRange, coarse: Option<&Coarse>, grain: Step) -> Vec<(TimeRange, Grouping)> {
    let instants = Bins::Every { step: grain, origin: Timestamp::from_nanos(0) };
    let Some(Coarse { labels, time: TimeNeed { bins, cuts }, .. }) = coarse else {
        return vec![(range, Grouping { labels: GroupBy::All, time: instants })];
    };
    let labels = match labels {
        LabelNeed::All => GroupBy::All,
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
    if let Bins::Every { step, origin } = grouping.time {
        let start = time.floor(step, origin);
        let end = start.saturating_add(step.nanos());
        let bin = TimeRange::new(start, end).expect("a step is above zero");
        narrowed.range = select.range.intersect(bin);
    }
    narrowed
}
