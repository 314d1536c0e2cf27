//! Following expressions from a node of a plan down to the scans that they speak about.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    common::{
        Column, DFSchema, JoinType, Result, TableReference,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{
        Expr, LogicalPlan, TableScan, TableSource, WindowFunctionDefinition,
        expr::AggregateFunction, utils::grouping_set_to_exprlist,
    },
};

use crate::{
    meta::MetaTable,
    table::{AdditiveTable, Noted},
};

/// How many parts, literals aside, the columns of one expression may come to when they are replaced by what they are
/// below. A column that is twice in each of many SELECTs on each other comes to more than there is memory.
pub(crate) const MAX_PARTS: usize = 10_000;

/// What a column is called that is not of the input that is being looked at. No table is called so.
const ELSEWHERE: &str = " elsewhere";

/// The additive table of a scan, if it is one.
pub(crate) fn additive(scan: &TableScan) -> Option<AdditiveTable> {
    source_as_provider(&scan.source).ok()?.downcast_ref::<AdditiveTable>().cloned()
}

/// A table of ours, of either sort.
pub(crate) enum Ours {
    Additive(AdditiveTable),
    Catalogue(MetaTable),
}

impl Ours {
    pub(crate) fn of(scan: &TableScan) -> Option<Self> {
        let provider = source_as_provider(&scan.source).ok()?;
        match provider.downcast_ref::<AdditiveTable>() {
            Some(table) => Some(Self::Additive(table.clone())),
            None => provider.downcast_ref::<MetaTable>().cloned().map(Self::Catalogue),
        }
    }

    pub(crate) fn noted(&self) -> &Noted {
        match self {
            Self::Additive(table) => table.noted(),
            Self::Catalogue(table) => table.noted(),
        }
    }

    /// The names of its measures: what has a unit.
    pub(crate) fn measures(&self) -> &'static [&'static str] {
        match self {
            Self::Additive(table) => table.kind().measures(),
            Self::Catalogue(table) => table.kind().measures(),
        }
    }

    /// The names of its source and of itself.
    pub(crate) fn names(&self) -> (&str, &'static str) {
        match self {
            Self::Additive(table) => (&table.source().name, table.kind().name()),
            Self::Catalogue(table) => (&table.source().name, table.kind().name()),
        }
    }

    /// With something else noted.
    fn with_noted(&self, noted: Noted) -> Arc<dyn TableSource> {
        match self {
            Self::Additive(table) => provider_as_source(Arc::new(table.with_noted(noted))),
            Self::Catalogue(table) => provider_as_source(Arc::new(table.with_noted(noted))),
        }
    }

    /// With nothing said of its columns.
    pub(crate) fn plain(&self) -> Arc<dyn TableSource> {
        match self {
            Self::Additive(table) => provider_as_source(Arc::new(table.plain())),
            Self::Catalogue(table) => provider_as_source(Arc::new(table.plain())),
        }
    }
}

/// The expression over `schema` with each of its columns replaced; `None` if it comes to too much.
pub(crate) fn substitute(expr: &Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Option<Expr>> {
    replace(expr, &|column| schema.maybe_index_of_column(column).and_then(|idx| columns.get(idx)))
}

fn replace<'a>(expr: &Expr, by: &dyn Fn(&Column) -> Option<&'a Expr>) -> Result<Option<Expr>> {
    let mut n_parts = 0;
    let replaced = expr.clone().transform_down(|e| {
        let Expr::Column(column) = &e else { return Ok(Transformed::no(e)) };
        let Some(column) = by(column) else { return Ok(Transformed::no(e)) };
        n_parts += n_parts_of(column)?;
        // What is put in has the columns of the input, which are not to be looked up again.
        let next = match n_parts > MAX_PARTS {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Jump,
        };
        Ok(Transformed::new(column.clone(), true, next))
    })?;
    Ok((n_parts <= MAX_PARTS).then_some(replaced.data))
}

fn n_parts_of(expr: &Expr) -> Result<usize> {
    let mut n = 0;
    expr.apply(|e| {
        n += usize::from(!matches!(e, Expr::Literal(..)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(n)
}

pub(crate) fn bare(expr: &Expr) -> Expr {
    expr.clone().unalias_nested().data
}

fn elsewhere(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(ELSEWHERE)), name))
}

fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|column| Expr::Column(Column::from(column))).collect()
}

/// What each column of a node is in terms of one of its inputs; `None` if they are the same columns.
pub(crate) fn below(plan: &LogicalPlan, input: &LogicalPlan) -> Result<Option<Vec<Expr>>> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => Some(projection.expr.iter().map(bare).collect()),
        // By their places, whatever they are called.
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) | LogicalPlan::RecursiveQuery(_) => {
            Some(columns(input.schema()))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
            let mut below: Vec<Expr> = keys.into_iter().map(bare).collect();
            // Behind the keys of grouping sets stands which set it is.
            let n_ids = aggregate.schema.fields().len() - below.len() - aggregate.aggr_expr.len();
            below.extend((0..n_ids).map(|_| elsewhere("grouping_id")));
            below.extend(aggregate.aggr_expr.iter().map(|expr| match bare(expr) {
                Expr::AggregateFunction(call) if is_number(call.func.name()) => {
                    elsewhere(call.func.name())
                }
                expr => expr,
            }));
            Some(below)
        }
        LogicalPlan::Window(window) => {
            let mut below = columns(window.input.schema());
            below.extend(window.window_expr.iter().map(|expr| of_window(&bare(expr))));
            Some(below)
        }
        LogicalPlan::Unnest(unnest) => {
            let columns = columns(unnest.input.schema());
            let of = |idx: &usize| columns.get(*idx).cloned();
            Some(
                unnest.dependency_indices.iter().map(of).collect::<Option<_>>().unwrap_or_default(),
            )
        }
        _ => None,
    })
}

/// Whether what an aggregate or a window function gives is a number of its own, whatever the unit of what it is given.
/// All others are taken to keep that: a function that nobody thought of must not hide a unit.
fn is_number(function: &str) -> bool {
    const NUMBERS: [&str; 14] = [
        "approx_distinct",
        "bool_and",
        "bool_or",
        "corr",
        "count",
        "cume_dist",
        "dense_rank",
        "grouping",
        "ntile",
        "percent_rank",
        "rank",
        "regr_count",
        "regr_r2",
        "row_number",
    ];
    NUMBERS.contains(&function)
}

/// What a window function gives, as the aggregate that it is or as the value of another row.
fn of_window(expr: &Expr) -> Expr {
    let Expr::WindowFunction(call) = expr else { return expr.clone() };
    let (name, params) = (call.fun.name(), &call.params);
    match (&call.fun, params.args.first()) {
        _ if is_number(name) => elsewhere(name),
        (WindowFunctionDefinition::AggregateUDF(function), _) => {
            Expr::AggregateFunction(AggregateFunction::new_udf(
                Arc::clone(function),
                params.args.clone(),
                params.distinct,
                params.filter.clone(),
                Vec::new(),
                None,
            ))
        }
        (WindowFunctionDefinition::WindowUDF(_), Some(value)) => value.clone(),
        _ => elsewhere(name),
    }
}

/// A node with some of its inputs exchanged for others of the same columns; `None` if none is.
pub(crate) fn map_inputs(
    plan: &LogicalPlan,
    mut map: impl FnMut(&LogicalPlan) -> Result<Option<LogicalPlan>>,
) -> Result<Option<LogicalPlan>> {
    let mapped = plan.clone().map_children(|input| {
        Ok(match map(&input)? {
            Some(changed) => Transformed::yes(changed),
            None => Transformed::no(input),
        })
    })?;
    Ok(mapped.transformed.then_some(mapped.data))
}

/// From a node to one of its inputs.
pub(crate) struct Step<'a> {
    schema: &'a DFSchema,
    input: &'a DFSchema,
    /// What each column of the node is in those of the input; `None` if they are the same.
    columns: Option<Vec<Expr>>,
    /// What of the other side of a join is the same as something of this one, on all rows that this one is in.
    same: Vec<(&'a Expr, &'a Expr)>,
}

impl<'a> Step<'a> {
    /// To the input of a place: of a join the left one is the first.
    fn new(plan: &'a LogicalPlan, input: &'a LogicalPlan, nth: usize) -> Result<Self> {
        let mut same: Vec<(&Expr, &Expr)> = Vec::new();
        if let LogicalPlan::Join(join) = plan {
            let is_left = nth == 0;
            let on = join.on.iter().map(|(left, right)| match is_left {
                true => (right, left),
                false => (left, right),
            });
            // A side whose rows stay without a partner has rows where the other one is NULL.
            let stays = if is_left { JoinType::Left } else { JoinType::Right };
            if join.join_type != JoinType::Full && join.join_type != stays {
                same.extend(on);
            }
        }
        Ok(Self {
            schema: plan.schema(),
            input: input.schema(),
            columns: below(plan, input)?,
            same,
        })
    }

    /// An expression of the node in the columns of the input; `None` if it comes to too much.
    pub(crate) fn lower(&self, expr: &Expr) -> Result<Option<Expr>> {
        let lowered = match &self.columns {
            Some(columns) => substitute(&self.leave(expr, self.schema)?, self.schema, columns)?,
            None => Some(self.leave(expr, self.input)?),
        };
        Ok(lowered)
    }

    /// The same for one that only tells rows apart: what a join says to be the same tells as much.
    pub(crate) fn lower_same(&self, expr: &Expr) -> Result<Option<Expr>> {
        if self.same.is_empty() {
            return self.lower(expr);
        }
        let same = expr.clone().transform_down(|e| {
            Ok(match self.same.iter().find(|(other, _)| **other == e) {
                Some((_, own)) => Transformed::new((*own).clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(e),
            })
        })?;
        self.lower(&same.data)
    }

    /// The columns of the input of which a column of the node is made.
    pub(crate) fn columns_of(&self, column: &Column) -> Vec<Column> {
        match &self.columns {
            None if self.input.maybe_index_of_column(column).is_some() => vec![column.clone()],
            None => Vec::new(),
            Some(columns) => {
                let below = self.schema.maybe_index_of_column(column);
                let below = below.and_then(|idx| columns.get(idx));
                below.map(columns_in).unwrap_or_default().into_iter().collect()
            }
        }
    }

    /// The expression with its columns that `schema` does not have called by a name that nothing has.
    fn leave(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let left = expr.clone().transform_down(|e| {
            Ok(match e {
                Expr::Column(column) if schema.maybe_index_of_column(&column).is_none() => {
                    Transformed::yes(elsewhere(&column.name))
                }
                e => Transformed::no(e),
            })
        })?;
        Ok(left.data)
    }
}

/// All columns of an expression.
pub(crate) fn columns_in(expr: &Expr) -> BTreeSet<Column> {
    expr.column_refs().into_iter().cloned().collect()
}

/// What is followed: something that is said in the columns of a node.
pub(crate) trait Subject: Sized {
    /// The same in the columns of an input.
    fn lower(&self, step: &Step<'_>) -> Result<Self>;
}

/// What is noted at a scan instead of what is there; `None` leaves it as it is.
pub(crate) type Visit<'a, T> = &'a mut dyn FnMut(&Ours, &TableScan, &T) -> Option<Noted>;

/// Follows `subject`, in the columns of `plan`, down to each scan of a table of ours, at which `visit` may note something.
pub(crate) fn follow<T: Subject>(
    plan: &LogicalPlan,
    subject: &T,
    visit: Visit<'_, T>,
) -> Result<Option<LogicalPlan>> {
    if let LogicalPlan::TableScan(scan) = plan {
        let Some(table) = Ours::of(scan) else { return Ok(None) };
        let Some(noted) = visit(&table, scan, subject) else { return Ok(None) };
        let mut scan = scan.clone();
        scan.source = table.with_noted(noted);
        return Ok(Some(LogicalPlan::TableScan(scan)));
    }
    let mut nth = 0..;
    map_inputs(plan, |input| {
        let step = Step::new(plan, input, nth.next().unwrap_or_default())?;
        follow(input, &subject.lower(&step)?, visit)
    })
}
