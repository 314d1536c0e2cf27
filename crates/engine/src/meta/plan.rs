//! What the scan of a catalogue table asks, settled before anything is read.

use std::fmt;

use datafusion::{catalog::Session, logical_expr::Expr};
use flamesql_backend::{Notice, Question, Report, Select};
use flamesql_profile::{ProfileType, Step, TimeRange};
use flamesql_selector::Selector;

use super::{MetaKind, MetaTable, speaks_of};
use crate::{
    Error, TableKind, TypeChoice,
    ask::{Asked, named_types, no_type_qualifies, too_many, with_named},
    condition::{self, Condition},
    options::Options,
    types::type_of_scan,
    units::Part,
};

/// What is asked, and what is worth telling about it.
#[derive(Debug)]
pub(super) struct MetaPlan {
    pub(super) kind: MetaKind,
    /// One request each; none for tables of names, which are one request.
    pub(super) selects: Vec<Select>,
    /// How many requests to the source that comes to at least.
    pub(super) n_requests: usize,
    pub(super) range: TimeRange,
    pub(super) is_range_chosen: bool,
    pub(super) profile_types: Vec<ProfileType>,
    pub(super) type_choice: TypeChoice,
    /// What sums take from this scan.
    pub(super) sums: Vec<Part>,
    pub(super) notices: Vec<Notice>,
    pub(super) is_strict: bool,
    /// What the work came to.
    pub(super) report: Report,
}

impl MetaPlan {
    /// The columns of a heat map: as many as a picture of the whole range has.
    pub(super) fn step(&self) -> Step {
        Step::of_columns(self.range)
    }
}

impl fmt::Display for MetaPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        write!(f, "requests={}", self.n_requests)?;
        if !self.kind.is_by_type() {
            return write!(f, "; {kind} range={}", self.range);
        }
        for select in self.selects.iter().take(4) {
            let Select { profile_type, selector, range, .. } = select;
            write!(f, "; {kind} type={profile_type} selector={selector} range={range}")?;
            if self.kind == MetaKind::Heatmap {
                write!(f, " step={}", self.step())?;
            }
        }
        match self.selects.len() {
            0..=4 => Ok(()),
            n => write!(f, "; and {} more", n - 4),
        }
    }
}

/// Settles what a scan asks.
pub(super) async fn plan(
    table: &MetaTable,
    session: &dyn Session,
    filters: &[Expr],
) -> Result<MetaPlan, Error> {
    let (source, kind) = (table.source.as_ref(), table.kind);
    let backend = source.backend.as_ref();
    let options = Options::of(session);
    let grain = backend.capabilities().grain;
    let conditions: Vec<Condition> = filters
        .iter()
        .filter_map(|f| condition::condition(f, TableKind::Series, &table.label_columns, grain))
        .collect();
    let speaks_of_time =
        table.noted.speaks_of.time || filters.iter().any(|filter| speaks_of(filter, "time"));
    let asked = Asked::of(source, &conditions, speaks_of_time, &options, session)?;
    let mut plan = MetaPlan {
        kind,
        selects: Vec::new(),
        n_requests: 0,
        range: asked.hull,
        is_range_chosen: asked.is_chosen,
        profile_types: Vec::new(),
        type_choice: TypeChoice::All,
        sums: Vec::new(),
        notices: Vec::new(),
        is_strict: options.strict,
        report: Report::new(),
    };
    let n_requests = |range| {
        let question = match kind {
            MetaKind::Heatmap => Question::Heatmap(Step::of_columns(asked.hull)),
            _ => Question::List,
        };
        usize::try_from(backend.n_requests(question, range)).unwrap_or(usize::MAX)
    };
    let recent = || Notice {
        subject: source.name.clone(),
        reason: "it lists what came last, whatever the range".to_owned(),
        is_missing: false,
    };
    if !kind.is_by_type() {
        plan.n_requests = n_requests(plan.range);
        plan.notices = backend.notices();
        if !backend.capabilities().lists_all {
            plan.notices.push(recent());
        }
        return Ok(plan);
    }
    let types = backend.profile_types(plan.range).await?;
    let types = with_named(types, &backend.capabilities(), &conditions, &options);
    plan.notices = backend.notices();
    let hint = options.profile_type.as_deref();
    (plan.profile_types, plan.type_choice) = match named_types(session, &conditions, &types)? {
        Some(named) => (named, TypeChoice::Named),
        // A range without profiles is an empty answer, not a missing choice.
        None if hint.is_some() && !types.is_empty() => {
            let (one, choice) = type_of_scan(backend, hint, &types).await?;
            (vec![one], choice)
        }
        None => (types.clone(), TypeChoice::All),
    };
    plan.sums = table.noted.parts(session, &plan.profile_types)?;
    if plan.profile_types.is_empty() && !types.is_empty() {
        plan.notices.push(no_type_qualifies(source, &conditions, &types));
    }
    for profile_type in &plan.profile_types {
        for range in asked.times.ranges() {
            plan.selects.push(Select::new(profile_type.clone(), Selector::all(), *range));
        }
    }
    plan.n_requests =
        plan.selects.iter().fold(0, |n: usize, s| n.saturating_add(n_requests(s.range)));
    match plan.n_requests {
        n if n > options.max_requests => Err(too_many(source, kind.name(), n, &options)),
        _ => Ok(plan),
    }
}
