//! When one answer that is already added up may stand for many rows.
//!
//! An additive table is a relation with a fixed meaning, R (see ARCHITECTURE.md): one row for each profile type, label
//! set, instant and stack or function. Nobody wants all those rows if they are added up at once, and a server could not
//! send them. Below an aggregate, a coarser scan stands for R's if and only if
//!
//! 1. every node between is a projection, a filter or an alias;
//! 2. the aggregates are not empty, and each is a plain `sum`, `flamegraph` or `flamegraph_diff` of bare measures (or of
//!    NULL, of 0, or of CASEs whose conditions are over dimensions and whose results are a measure, NULL or 0), not
//!    DISTINCT and without ORDER BY, and the measure occurs nowhere else; an empty list qualifies only if no measure
//!    occurs at all;
//! 3. nothing between is volatile;
//! 4. every filter that the scan took over is applied to R's rows before they are added up;
//! 5. a coarse row has, for everything between, the value that it has on each row that it stands for;
//! 6. a coarse row exists exactly if one of its rows does.
//!
//! 1, 2, 3 and 5 are judged here, over all expressions between the scan and the aggregate; 4 and 6 are kept by the scan.
//! Below a UNION ALL each branch is judged by itself. A plan that does not qualify reads R, and EXPLAIN says why.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    common::{
        Column, DFSchema, Result, ScalarValue, TableReference,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    logical_expr::{
        Aggregate, Expr, LogicalPlan, SubqueryAlias, TableScan, TableScanBuilder,
        expr::AggregateFunction,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};
use flamesql_profile::{Step, Timestamp};

use crate::{
    coarse::{Coarse, LabelNeed, TimeNeed},
    condition::{self, Reference},
    flamegraph,
    options::Options,
    table::AdditiveTable,
    times::{self, Times},
    trace::{additive, bare, below, map_inputs, substitute},
    units::{self, Sum},
    why::Why,
};

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
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Window(window) = &plan {
            let noted = units::note(&window.input, &Sum::all(&plan))?;
            return put(plan, noted);
        }
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let options = config.options();
        let is_on = options.extensions.get::<Options>().is_none_or(|options| options.pushdown);
        let question = match is_on {
            true => Question::of(aggregate),
            false => Err(Why::switched_off()),
        };
        let judged = match question {
            Ok(question) => coarsen(&aggregate.input, &question)?,
            Err(why) => mark(&aggregate.input, &why)?,
        };
        let noted = units::note(judged.as_ref().unwrap_or(&aggregate.input), &Sum::all(&plan))?;
        let input = noted.or(judged);
        put(plan, input)
    }
}

/// The node over another input.
fn put(plan: LogicalPlan, input: Option<LogicalPlan>) -> Result<Transformed<LogicalPlan>> {
    match input {
        Some(input) => {
            let exprs = plan.expressions();
            Ok(Transformed::yes(plan.with_new_exprs(exprs, vec![input])?))
        }
        None => Ok(Transformed::no(plan)),
    }
}

/// What an aggregate asks of what is below it.
#[derive(Clone)]
struct Question {
    /// What each function adds up, with its name.
    measures: Vec<(String, Expr)>,
    /// Everything else that it speaks about: keys and conditions.
    between: Vec<Expr>,
}

impl Question {
    fn of(aggregate: &Aggregate) -> Result<Self, Why> {
        let mut question =
            Self { measures: Vec::new(), between: aggregate.group_expr.iter().map(bare).collect() };
        for expr in &aggregate.aggr_expr {
            question.add(&bare(expr))?;
        }
        Ok(question)
    }

    fn add(&mut self, expr: &Expr) -> Result<(), Why> {
        let why = || Why::aggregate(expr);
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else {
            return Err(why());
        };
        if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Err(why());
        }
        let (measures, others) = match (func.name(), params.args.as_slice()) {
            ("sum", [measure]) => (vec![measure], vec![]),
            (flamegraph::NAME, [stack, measure]) => (vec![measure], vec![stack]),
            (flamegraph::NAME, [stack, measure, Expr::Literal(..)]) => (vec![measure], vec![stack]),
            (flamegraph::DIFF_NAME, [stack, baseline, comparison]) => {
                (vec![baseline, comparison], vec![stack])
            }
            (flamegraph::DIFF_NAME, [stack, baseline, comparison, Expr::Literal(..)]) => {
                (vec![baseline, comparison], vec![stack])
            }
            _ => return Err(why()),
        };
        let name = func.name();
        self.measures.extend(measures.into_iter().map(|m| (name.to_owned(), m.clone())));
        self.between.extend(others.into_iter().cloned());
        self.between.extend(params.filter.iter().map(|filter| filter.as_ref().clone()));
        Ok(())
    }

    /// The same with its columns replaced; `None` if it comes to too much.
    fn map(&self, schema: &DFSchema, columns: &[Expr]) -> Result<Option<Self>> {
        let mut mapped = Self { measures: Vec::new(), between: Vec::new() };
        for (name, expr) in &self.measures {
            let Some(expr) = substitute(expr, schema, columns)? else { return Ok(None) };
            mapped.measures.push((name.clone(), expr));
        }
        for expr in &self.between {
            let Some(expr) = substitute(expr, schema, columns)? else { return Ok(None) };
            mapped.between.push(expr);
        }
        Ok(Some(mapped))
    }
}

/// The plan below an aggregate with coarser scans, or with the reason written on those that stay. `None` if it is as it
/// was. `question` is in the columns of `plan`'s schema, and is taken down to the scan's.
fn coarsen(plan: &LogicalPlan, question: &Question) -> Result<Option<LogicalPlan>> {
    let mut question = question.clone();
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            if let Some(columns) = below(plan, plan.inputs()[0])? {
                let Some(mapped) = question.map(plan.schema(), &columns)? else {
                    return mark(plan, &Why::too_large());
                };
                question = mapped;
            }
        }
        LogicalPlan::Filter(filter) => question.between.push(filter.predicate.clone()),
        LogicalPlan::Union(_) => {}
        LogicalPlan::TableScan(scan) => return coarse_scan(scan, &question),
        node => {
            return match Why::node(node) {
                Some(why) => mark(plan, &why),
                None => Ok(None),
            };
        }
    }
    map_inputs(plan, |input| match plan {
        LogicalPlan::Union(_) => {
            let columns = below(plan, input)?.unwrap_or_default();
            match question.map(plan.schema(), &columns)? {
                Some(question) => coarsen(input, &question),
                None => mark(input, &Why::too_large()),
            }
        }
        _ => coarsen(input, &question),
    })
}

/// Writes the reason on each scan below, as far as the next aggregate.
fn mark(plan: &LogicalPlan, why: &Why) -> Result<Option<LogicalPlan>> {
    if matches!(plan, LogicalPlan::Aggregate(_)) {
        return Ok(None);
    }
    if let LogicalPlan::TableScan(scan) = plan {
        let is_news = |table: &AdditiveTable| table.coarse().is_none() && table.why() != Some(why);
        let Some(table) = additive(scan).filter(is_news) else { return Ok(None) };
        let mut scan = scan.clone();
        scan.source = provider_as_source(Arc::new(table.with_why(why.clone())));
        return Ok(Some(LogicalPlan::TableScan(scan)));
    }
    map_inputs(plan, |input| mark(input, why))
}

fn coarse_scan(scan: &TableScan, question: &Question) -> Result<Option<LogicalPlan>> {
    // The rule sees its own result again.
    let Some(table) = additive(scan).filter(|table| table.coarse().is_none()) else {
        return Ok(None);
    };
    let needs = match scan.fetch {
        None => needs(&table, question)?,
        Some(_) => Err(Why::limited()),
    };
    let coarse = match needs {
        Ok(coarse) => coarse,
        Err(why) => return mark(&LogicalPlan::TableScan(scan.clone()), &why),
    };

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

/// What has to be told apart, or why only R's own rows will do.
fn needs(table: &AdditiveTable, question: &Question) -> Result<Result<Coarse, Why>> {
    let labels = table.label_columns();
    let is_measure = |expr: &Expr| {
        matches!(condition::reference(expr, labels), Some(Reference::Own(name))
            if table.kind().measures().contains(&name.as_str()))
    };
    let is_nothing = |expr: &Expr| {
        matches!(expr, Expr::Literal(value, _)
            if value.is_null() || *value == ScalarValue::Int64(Some(0)))
    };
    let mut all: Vec<&Expr> = question.between.iter().collect();
    for (function, measure) in &question.measures {
        match measure {
            // What the planner makes of a CASE that never gives the measure adds up to the same over any rows of a
            // group, as long as there is one.
            measure if is_measure(measure) || is_nothing(measure) => {}
            Expr::Case(case) => {
                let results =
                    case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                let mut only: Option<&Expr> = None;
                for result in results {
                    match result.as_ref() {
                        result if is_nothing(result) => {}
                        // One measure, not self here and total there.
                        result if is_measure(result) && only.is_none_or(|m| m == result) => {
                            only = Some(result)
                        }
                        _ => return Ok(Err(Why::computed(function, measure))),
                    }
                }
                all.extend(case.expr.iter().map(AsRef::as_ref));
                all.extend(case.when_then_expr.iter().map(|(when, _)| when.as_ref()));
            }
            _ => return Ok(Err(Why::computed(function, measure))),
        }
    }
    let mut coarse = Coarse { sums: !question.measures.is_empty(), ..Coarse::default() };
    for expr in all {
        if expr.is_volatile() {
            return Ok(Err(Why::volatile(expr)));
        }
        let mut why: Option<Why> = None;
        let mut need = |part: &Expr, found: Option<Reference>| {
            if time_atom(part, table.grain(), &mut coarse.time) {
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
                Some(Reference::Own(name)) => match name.as_str() {
                    "stack" => coarse.stack = true,
                    "function" | "caller" | "callee" => coarse.function = true,
                    _ => why = Some(Why::measure(expr)),
                },
                Some(Reference::Time) => why = Some(Why::time(expr)),
                None if condition::is_beyond(part) => why = Some(Why::subquery(part)),
                None => why = unequal_bins(part),
            }
            if why.is_none() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop }
        };
        condition::each_reference(expr, labels, &mut need)?;
        if let Some(why) = why {
            return Ok(Err(why));
        }
        if coarse.time.cuts.len() > condition::MAX_RANGES {
            return Ok(Err(Why::time(expr)));
        }
    }
    coarse.time = coarse.time.on_grain(table.grain());
    Ok(Ok(coarse))
}

/// Why bins of time are none that a source can be asked for, where an expression is such bins.
fn unequal_bins(expr: &Expr) -> Option<Why> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let (width, time) = (call.args.first()?, call.args.get(1)?);
    if !["date_bin", "date_trunc"].contains(&call.name()) || !condition::is_time(time) {
        return None;
    }
    Some(match width {
        // As its width is known, it is the origin that is not.
        _ if call.name() == "date_bin" && times::step(width).is_some() => Why::origin(expr),
        Expr::Literal(..) => Why::months(expr),
        _ => Why::width(expr),
    })
}

/// Whether an expression has one value all over each of some pieces of time; if so they are added to what is needed.
fn time_atom(expr: &Expr, grain: Step, need: &mut TimeNeed) -> bool {
    if let Some(times) = Times::parse(expr, grain) {
        need.cuts.extend(times.edges());
        return true;
    }
    match times::bins(expr) {
        Some((step, origin)) => {
            need.add_bins(step, Timestamp::from_nanos(origin));
            true
        }
        None => false,
    }
}
