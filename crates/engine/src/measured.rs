//! Which columns of an answer are measures, so that they have a unit.
//!
//! Followed from the end of a plan down to the scans: a measure, or a plain sum of one, keeps the unit on its way through
//! whatever leaves it as it is. What is made of something else has none, and a UNION's column has one only if each of its
//! branches gives a measure there.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::{
    common::{JoinType, Result},
    logical_expr::{Distinct, Expr, LogicalPlan},
};

use crate::trace::{Ours, below};

/// The tables that a measure comes from, each with its source.
pub(crate) type Tables = BTreeSet<(String, &'static str)>;

/// For each column of a plan the tables whose measure it is; `None` if it is anything else.
pub(crate) fn measured(plan: &LogicalPlan) -> Result<Vec<Option<Tables>>> {
    (0..plan.schema().fields().len()).map(|idx| column(plan, idx)).collect()
}

/// Whether a type is one in which a measure still has its unit.
pub(crate) fn is_quantity(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Float64)
}

fn column(plan: &LogicalPlan, idx: usize) -> Result<Option<Tables>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            if let Some(view) = scan.source.get_logical_plan() {
                let name = scan.projected_schema.field(idx).name();
                let idx = view.schema().index_of_column_by_name(None, name);
                return idx.map_or(Ok(None), |idx| column(&view, idx));
            }
            let is_measure = |table: &Ours| {
                table.measures().contains(&scan.projected_schema.field(idx).name().as_str())
            };
            Ok(Ours::of(scan).filter(is_measure).map(|table| {
                let (source, table) = table.names();
                BTreeSet::from([(source.to_owned(), table)])
            }))
        }
        LogicalPlan::Union(union) => {
            let mut all = Tables::new();
            for input in &union.inputs {
                match column(input, idx)? {
                    Some(tables) => all.extend(tables),
                    None => return Ok(None),
                }
            }
            Ok(Some(all))
        }
        LogicalPlan::Join(join) => {
            let n_left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                    column(&join.right, idx)
                }
                _ if idx < n_left => column(&join.left, idx),
                JoinType::LeftMark => Ok(None),
                _ => column(&join.right, idx - n_left),
            }
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Unnest(_) => {
            let input = plan.inputs()[0];
            let columns = below(plan, input)?.unwrap_or_default();
            columns.get(idx).map_or(Ok(None), |expr| value(expr, input))
        }
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            distinct.select_expr.get(idx).map_or(Ok(None), |expr| value(expr, &distinct.input))
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => column(plan.inputs()[0], idx),
        _ => Ok(None),
    }
}

fn value(expr: &Expr, input: &LogicalPlan) -> Result<Option<Tables>> {
    match expr {
        Expr::Alias(alias) => value(&alias.expr, input),
        Expr::Cast(cast) if is_quantity(cast.field.data_type()) => value(&cast.expr, input),
        Expr::AggregateFunction(call) if call.func.name() == "sum" => {
            call.params.args.first().map_or(Ok(None), |arg| value(arg, input))
        }
        Expr::Column(found) => {
            let idx = input.schema().maybe_index_of_column(found);
            idx.map_or(Ok(None), |idx| column(input, idx))
        }
        _ => Ok(None),
    }
}
