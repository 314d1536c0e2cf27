//! When one answer that is already added up may stand for many rows.
//!
//! An additive table is a relation with a fixed meaning, R (see ARCHITECTURE.md): one row for each profile type, label
//! set, instant and stack or function. Nobody wants all those rows if they are added up at once, and a server could not
//! send them. Below an aggregate, a coarser scan stands for R's if and only if
//!
//! 1. every node between is a projection, a filter or an alias;
//! 2. the aggregates are not empty, and each is a plain `sum` or `flamegraph` of a bare measure (or of a CASE whose
//!    conditions are over dimensions and whose results are that measure, NULL or 0), not DISTINCT and without ORDER BY, and
//!    the measure occurs nowhere else; an empty list qualifies only if no measure occurs at all;
//! 3. nothing between is volatile;
//! 4. every filter that the scan took over is applied to R's rows before they are added up;
//! 5. a coarse row has, for everything between, the value that it has on each row that it stands for;
//! 6. a coarse row exists exactly if one of its rows does.
//!
//! 1, 2, 3 and 5 are judged here, over all expressions between the scan and the aggregate; 4 and 6 are kept by the scan.
//! A plan that does not qualify is left alone and reads R.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    common::{
        Column, DFSchema, Result, ScalarValue, TableReference,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{
        Expr, LogicalPlan, Operator, SubqueryAlias, TableScan, TableScanBuilder,
        expr::AggregateFunction,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};
use flamesql_profile::{Step, Timestamp};

use crate::{
    condition::{self, Reference},
    table::AdditiveTable,
};

/// What an aggregate needs to be told apart, and so what a coarse scan is grouped by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Coarse {
    pub(crate) profile_type: bool,
    pub(crate) labels: LabelNeed,
    pub(crate) time: TimeNeed,
    pub(crate) stack: bool,
    pub(crate) function: bool,
    /// Whether values are added up, and not only looked for.
    pub(crate) sums: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LabelNeed {
    /// These, and each for itself.
    Only(BTreeSet<String>),
    /// The whole label set.
    All,
}

impl Default for LabelNeed {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

/// Where time is cut: the common refinement of all bins, and single places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TimeNeed {
    /// Width and origin of bins.
    pub(crate) bins: Option<(Step, Timestamp)>,
    /// Places before which and after which time is told apart.
    pub(crate) cuts: BTreeSet<Timestamp>,
}

impl TimeNeed {
    fn add_bins(&mut self, step: Step, origin: Timestamp) {
        self.bins = Some(match self.bins {
            None => (step, origin),
            Some((known, first)) => {
                let apart = i128::from(origin.nanos()) - i128::from(first.nanos());
                let apart = i64::try_from(apart.rem_euclid(i128::from(step.nanos())));
                let common = known.common(step);
                (apart.ok().and_then(Step::from_nanos).map_or(common, |a| common.common(a)), first)
            }
        });
    }

    /// The same with bins that begin and end at instants of a source: if they cannot, the instants themselves.
    pub(crate) fn on_grain(mut self, grain: Step) -> Self {
        if let Some((step, origin)) = self.bins
            && (!step.is_multiple_of(grain) || origin.nanos() % grain.nanos() != 0)
        {
            self.bins = Some((grain, Timestamp::from_nanos(0)));
        }
        self
    }
}

impl fmt::Display for Coarse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if self.profile_type {
            parts.push("profile_type".to_owned());
        }
        match &self.labels {
            LabelNeed::All => parts.push("labels".to_owned()),
            LabelNeed::Only(names) => parts.extend(names.iter().cloned()),
        }
        if let Some((step, origin)) = self.time.bins {
            let from = match origin.nanos().rem_euclid(step.nanos()) {
                0 => String::new(),
                offset => format!("+{}", flamesql_profile::format_duration(offset)),
            };
            parts.push(format!("{step}{from}"));
        }
        if !self.time.cuts.is_empty() {
            parts.push(format!("{} cuts", self.time.cuts.len()));
        }
        if self.stack {
            parts.push("stack".to_owned());
        }
        if self.function {
            parts.push("function".to_owned());
        }
        match parts.as_slice() {
            [] => f.write_str("all in one"),
            parts => write!(f, "by {}", parts.join(", ")),
        }
    }
}

/// The rule. It runs after all of DataFusion's, so that filters and columns are where they will stay.
#[derive(Debug)]
pub(crate) struct LawOfGranularity;

impl OptimizerRule for LawOfGranularity {
    fn name(&self) -> &str {
        "law_of_granularity"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let mut between: Vec<Expr> = aggregate.group_expr.iter().map(bare).collect();
        let mut measures = Vec::new();
        for expr in &aggregate.aggr_expr {
            let Some((measure, others)) = plain_aggregate(expr) else {
                return Ok(Transformed::no(plan));
            };
            measures.push(measure);
            between.extend(others);
        }
        match coarsen(&aggregate.input, between, measures)? {
            Some(input) => {
                let exprs = plan.expressions();
                Ok(Transformed::yes(plan.with_new_exprs(exprs, vec![input])?))
            }
            None => Ok(Transformed::no(plan)),
        }
    }
}

fn bare(expr: &Expr) -> Expr {
    expr.clone().unalias_nested().data
}

/// The measure that a plain aggregate adds up, and what else it speaks about.
fn plain_aggregate(expr: &Expr) -> Option<(Expr, Vec<Expr>)> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = bare(expr) else {
        return None;
    };
    if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
        return None;
    }
    let mut others: Vec<Expr> = params.filter.into_iter().map(|filter| *filter).collect();
    let measure = match (func.name(), params.args.as_slice()) {
        ("sum", [measure]) => measure.clone(),
        (crate::flamegraph::NAME, [stack, measure]) => {
            others.push(stack.clone());
            measure.clone()
        }
        _ => return None,
    };
    Some((measure, others))
}

/// The plan below an aggregate with a coarser scan, or `None` if it does not qualify.
///
/// `between` and `measures` are in the columns of `plan`'s schema, and are taken down to the scan's.
fn coarsen(
    plan: &LogicalPlan,
    mut between: Vec<Expr>,
    mut measures: Vec<Expr>,
) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let columns: Vec<Expr> = projection.expr.iter().map(bare).collect();
            for expr in between.iter_mut().chain(&mut measures) {
                *expr = substitute(expr, &projection.schema, &columns)?;
            }
            // What a projection computes and nobody uses does not matter: it has been removed, or is removed later.
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns: Vec<Expr> = alias
                .input
                .schema()
                .iter()
                .map(|column| Expr::Column(Column::from(column)))
                .collect();
            for expr in between.iter_mut().chain(&mut measures) {
                *expr = substitute(expr, &alias.schema, &columns)?;
            }
        }
        LogicalPlan::Filter(filter) => between.push(filter.predicate.clone()),
        LogicalPlan::TableScan(scan) => return coarse_scan(scan, &between, &measures),
        _ => return Ok(None),
    }
    let inputs = plan.inputs();
    let Some(input) = coarsen(inputs[0], between, measures)? else { return Ok(None) };
    Ok(Some(plan.with_new_exprs(plan.expressions(), vec![input])?))
}

fn substitute(expr: &Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr> {
    let replaced = expr.clone().transform(|e| {
        Ok(match &e {
            Expr::Column(column) => match schema.maybe_index_of_column(column) {
                // What is put in has the columns of the input, which are not to be looked up again.
                Some(idx) => Transformed::new(columns[idx].clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(e),
            },
            _ => Transformed::no(e),
        })
    })?;
    Ok(replaced.data)
}

fn coarse_scan(
    scan: &TableScan,
    between: &[Expr],
    measures: &[Expr],
) -> Result<Option<LogicalPlan>> {
    let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<AdditiveTable>() else { return Ok(None) };
    // The rule sees its own result again, and a limit below an aggregate counts rows of R.
    if table.coarse().is_some() || scan.fetch.is_some() {
        return Ok(None);
    }
    let Some(coarse) = needs(table, between, measures)? else { return Ok(None) };

    // Two scans are equal to the planner if their names are: the granularity must stand in the name.
    let mut hash = DefaultHasher::new();
    coarse.hash(&mut hash);
    let name = TableReference::bare(format!("{} {coarse} #{:x}", scan.table_name, hash.finish()));
    let rename = |expr: &Expr| {
        expr.clone().transform(|e| {
            Ok(match e {
                Expr::Column(column) => {
                    Transformed::yes(Expr::Column(Column::new(Some(name.clone()), column.name)))
                }
                e => Transformed::no(e),
            })
        })
    };
    let filters: Result<Vec<Expr>> =
        scan.filters.iter().map(|f| rename(f).map(|e| e.data)).collect();
    let source = provider_as_source(Arc::new(table.with_coarse(coarse)));
    let coarse_scan = TableScanBuilder::new(name.clone(), source)
        .with_projection(scan.projection.clone())
        .with_filters(filters?)
        .build()?;
    let plan = Arc::new(LogicalPlan::TableScan(coarse_scan));
    Ok(Some(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(plan, scan.table_name.clone())?)))
}

/// What has to be told apart, or `None` if only R's own rows will do.
fn needs(table: &AdditiveTable, between: &[Expr], measures: &[Expr]) -> Result<Option<Coarse>> {
    let labels = table.label_columns();
    let is_measure_name = |name: &str| table.kind().measures().contains(&name);
    let is_measure = |expr: &Expr| matches!(condition::reference(expr, labels), Some(Reference::Own(name)) if is_measure_name(&name));
    let mut all: Vec<&Expr> = between.iter().collect();
    for measure in measures {
        match measure {
            measure if is_measure(measure) => {}
            Expr::Case(case) => {
                let results =
                    case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                let mut measure: Option<&Expr> = None;
                for result in results {
                    match result.as_ref() {
                        Expr::Literal(value, _)
                            if value.is_null() || *value == ScalarValue::Int64(Some(0)) => {}
                        // One measure, not self here and total there.
                        result if is_measure(result) && measure.is_none_or(|m| m == result) => {
                            measure = Some(result)
                        }
                        _ => return Ok(None),
                    }
                }
                all.extend(case.expr.iter().map(AsRef::as_ref));
                all.extend(case.when_then_expr.iter().map(|(when, _)| when.as_ref()));
            }
            _ => return Ok(None),
        }
    }
    let mut coarse = Coarse { sums: !measures.is_empty(), ..Coarse::default() };
    for expr in all {
        if expr.is_volatile() {
            return Ok(None);
        }
        let mut qualifies = true;
        let mut need = |expr: &Expr, found: Option<Reference>| {
            if time_atom(expr, table.grain(), &mut coarse.time) {
                return TreeNodeRecursion::Jump;
            }
            match found {
                Some(Reference::ProfileType) => coarse.profile_type = true,
                Some(Reference::Labels) => coarse.labels = LabelNeed::All,
                // No label begins so: it is NULL on every row.
                Some(Reference::Label(name)) if name.starts_with("__") => {}
                Some(Reference::Label(name)) => {
                    if let LabelNeed::Only(names) = &mut coarse.labels {
                        names.insert(name);
                    }
                }
                Some(Reference::Own(name)) if name == "stack" => coarse.stack = true,
                Some(Reference::Own(name)) if name == "function" => coarse.function = true,
                // A measure, `time` as it stands, or a column that is none of ours.
                Some(Reference::Own(_) | Reference::Time) => qualifies = false,
                None => qualifies &= !condition::is_beyond(expr),
            }
            if qualifies { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop }
        };
        condition::each_reference(expr, labels, &mut need)?;
        if !qualifies {
            return Ok(None);
        }
    }
    coarse.time = coarse.time.on_grain(table.grain());
    Ok(Some(coarse))
}

const SECOND: i64 = 1_000_000_000;
/// 1970-01-05, a Monday.
const MONDAY: i64 = 4 * 86_400 * SECOND;

/// Whether an expression has one value all over each of some bins of time; if so they are added to what is needed.
fn time_atom(expr: &Expr, grain: Step, need: &mut TimeNeed) -> bool {
    if let Some((op, time)) = condition::time_comparison(expr) {
        let (at, after) = (time.ceil(grain), condition::after(time, grain));
        match op {
            Operator::Lt | Operator::GtEq => need.cuts.extend([at]),
            Operator::LtEq | Operator::Gt => need.cuts.extend([after]),
            _ => need.cuts.extend([at, after]),
        }
        return true;
    }
    let bins = match expr {
        Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
            ("date_bin", [width, time]) if condition::is_time(time) => {
                step(width).map(|step| (step, 0))
            }
            ("date_bin", [width, time, origin]) if condition::is_time(time) => {
                step(width).zip(condition::time_literal(origin))
            }
            ("date_trunc", [Expr::Literal(unit, _), time]) if condition::is_time(time) => {
                let unit = unit.try_as_str().flatten().map(str::to_ascii_lowercase);
                let bins = match unit.as_deref() {
                    Some("microsecond") => (1_000, 0),
                    Some("millisecond") => (1_000_000, 0),
                    Some("second") => (SECOND, 0),
                    Some("minute") => (60 * SECOND, 0),
                    Some("hour") => (3600 * SECOND, 0),
                    Some("day") => (86_400 * SECOND, 0),
                    Some("week") => (7 * 86_400 * SECOND, MONDAY),
                    _ => return false,
                };
                Step::from_nanos(bins.0).map(|step| (step, bins.1))
            }
            _ => None,
        },
        Expr::Cast(cast) if condition::is_time(&cast.expr) => match cast.field.data_type() {
            arrow::datatypes::DataType::Date32 => {
                Step::from_nanos(86_400 * SECOND).map(|step| (step, 0))
            }
            _ => None,
        },
        _ => None,
    };
    match bins {
        Some((step, origin)) => {
            need.add_bins(step, Timestamp::from_nanos(origin));
            true
        }
        None => false,
    }
}

/// The width of bins, if it is the same for all of them: months are not.
fn step(width: &Expr) -> Option<Step> {
    let Expr::Literal(width, _) = width else { return None };
    let nanos = match width {
        ScalarValue::IntervalMonthDayNano(Some(width)) if width.months == 0 => {
            i64::from(width.days).checked_mul(86_400 * SECOND)?.checked_add(width.nanoseconds)?
        }
        ScalarValue::IntervalDayTime(Some(width)) => {
            let days = i64::from(width.days).checked_mul(86_400 * SECOND)?;
            days.checked_add(i64::from(width.milliseconds) * 1_000_000)?
        }
        _ => return None,
    };
    Step::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(all: &[(i64, i64)]) -> (i64, i64) {
        let mut need = TimeNeed::default();
        for (step, origin) in all {
            need.add_bins(Step::from_nanos(*step).unwrap(), Timestamp::from_nanos(*origin));
        }
        let (step, origin) = need.bins.unwrap();
        (step.nanos(), origin.nanos())
    }

    #[test]
    fn bins_have_a_common_refinement() {
        assert_eq!(bins(&[(60, 0)]), (60, 0));
        assert_eq!(bins(&[(60, 0), (40, 0)]), (20, 0));
        assert_eq!(bins(&[(60, 0), (60, 15)]), (15, 0));
        assert_eq!(bins(&[(60, 7), (60, 7)]), (60, 7));
        assert_eq!(bins(&[(60, 0), (60, -60)]), (60, 0));
        assert_eq!(bins(&[(60, 0), (60, -1)]), (1, 0));
        // Every edge of each is an edge of the refinement.
        for (a, b) in [((12, 5), (18, 3)), ((7, 0), (14, 1)), ((100, 99), (30, 9))] {
            let (step, origin) = bins(&[a, b]);
            for (width, first) in [a, b] {
                assert!((0..20).all(|n| (first + n * width - origin) % step == 0), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn bins_between_instants_become_instants() {
        let grain = Step::from_nanos(10).unwrap();
        let at = |step, origin| TimeNeed {
            bins: Some((Step::from_nanos(step).unwrap(), Timestamp::from_nanos(origin))),
            cuts: BTreeSet::new(),
        };
        assert_eq!(at(20, 30).on_grain(grain), at(20, 30));
        assert_eq!(at(15, 0).on_grain(grain), at(10, 0));
        assert_eq!(at(20, 5).on_grain(grain), at(10, 0));
    }
}
