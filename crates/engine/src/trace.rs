//! Following expressions from a node of a plan down to the scans that they speak about.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{Expr, LogicalPlan, TableScan, lit, utils::grouping_set_to_exprlist},
};

use crate::table::AdditiveTable;

/// The additive table of a scan, if it is one.
pub(crate) fn additive(scan: &TableScan) -> Option<AdditiveTable> {
    source_as_provider(&scan.source).ok()?.downcast_ref::<AdditiveTable>().cloned()
}

/// The expressions over `schema` with each of its columns replaced.
pub(crate) fn substitute(expr: &Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr> {
    let replaced = expr.clone().transform_down(|e| {
        Ok(match &e {
            Expr::Column(column) => {
                match schema.maybe_index_of_column(column).and_then(|idx| columns.get(idx)) {
                    // What is put in has the columns of the input, which are not to be looked up again.
                    Some(column) => Transformed::new(column.clone(), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(e),
                }
            }
            _ => Transformed::no(e),
        })
    })?;
    Ok(replaced.data)
}

pub(crate) fn bare(expr: &Expr) -> Expr {
    expr.clone().unalias_nested().data
}

fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|column| Expr::Column(Column::from(column))).collect()
}

/// What each column of a node is in terms of one of its inputs; `None` if they are the same columns.
pub(crate) fn below(plan: &LogicalPlan, input: &LogicalPlan) -> Result<Option<Vec<Expr>>> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => Some(projection.expr.iter().map(bare).collect()),
        // By their places, whatever they are called.
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) => Some(columns(input.schema())),
        LogicalPlan::Aggregate(aggregate) => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
            let mut below: Vec<Expr> = keys.into_iter().map(bare).collect();
            // Behind the keys of grouping sets stands which set it is.
            let n_ids = aggregate.schema.fields().len() - below.len() - aggregate.aggr_expr.len();
            below.extend((0..n_ids).map(|_| lit(0_i64)));
            below.extend(aggregate.aggr_expr.iter().map(|expr| match bare(expr) {
                // A number of rows has no unit.
                Expr::AggregateFunction(call)
                    if !["sum", "min", "max", "avg"].contains(&call.func.name()) =>
                {
                    lit(0_i64)
                }
                expr => expr,
            }));
            Some(below)
        }
        _ => None,
    })
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

/// How the columns of a node are replaced in a subject by what they are below it.
pub(crate) type Map<'a, T> = &'a dyn Fn(&T, &DFSchema, &[Expr]) -> Result<T>;

/// What is done with a scan; `None` leaves it as it is.
pub(crate) type Visit<'a, T> =
    &'a mut dyn FnMut(&AdditiveTable, &TableScan, &T) -> Option<AdditiveTable>;

/// Follows `subject`, in the columns of `plan`, down to each scan of an additive table, which `visit` may exchange.
///
/// `map` replaces all expressions of a subject. A column that is not of a node stays as it is.
pub(crate) fn follow<T>(
    plan: &LogicalPlan,
    subject: &T,
    map: Map<'_, T>,
    visit: Visit<'_, T>,
) -> Result<Option<LogicalPlan>> {
    if let LogicalPlan::TableScan(scan) = plan {
        let Some(exchanged) = additive(scan).and_then(|table| visit(&table, scan, subject)) else {
            return Ok(None);
        };
        let mut scan = scan.clone();
        scan.source = provider_as_source(Arc::new(exchanged));
        return Ok(Some(LogicalPlan::TableScan(scan)));
    }
    map_inputs(plan, |input| {
        let mapped = match below(plan, input)? {
            Some(columns) => Some(map(subject, plan.schema(), &columns)?),
            None => None,
        };
        follow(input, mapped.as_ref().unwrap_or(subject), map, visit)
    })
}
