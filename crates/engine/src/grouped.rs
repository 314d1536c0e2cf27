//! That what ROLLUP, CUBE and GROUPING SETS group by are columns.
//!
//! Where a rule writes an expression in another way (`NOT (x LIKE y)` as `x NOT LIKE y`), it gives it its old name. Within
//! a grouping set DataFusion 55 does that to the set as a whole, which is none from then on, and the statement fails. A
//! projection below the aggregate computes the expression instead, the sets have its column, and a projection above gives
//! the names back.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::Field;
use datafusion::{
    common::{
        Column, Result, TableReference,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder},
    optimizer::AnalyzerRule,
};

use crate::{Error, ErrorKind};

/// The rule.
#[derive(Debug)]
pub(crate) struct GroupedAreColumns;

impl AnalyzerRule for GroupedAreColumns {
    fn name(&self) -> &str {
        "grouped_are_columns"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(aggregate) => by_columns(aggregate),
            node => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

fn by_columns(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    // DataFusion 55 joins such a subquery by adding keys to its sets, and the total of nothing is lost.
    let has_total = match sets {
        GroupingSet::Rollup(_) | GroupingSet::Cube(_) => true,
        GroupingSet::GroupingSets(sets) => sets.iter().any(Vec::is_empty),
    };
    if has_total && !aggregate.input.all_out_ref_exprs().is_empty() {
        let what = "ROLLUP, CUBE and GROUPING SETS with a total are not supported in a subquery that refers to a query around it";
        return Err(Error::new(ErrorKind::Query, what)
            .with_hint("leave the reference out of it, and join")
            .into_datafusion());
    }
    let computed: Vec<Expr> = sets
        .distinct_expr()
        .into_iter()
        .filter(|expr| !matches!(expr, Expr::Column(_) | Expr::OuterReferenceColumn(..)))
        .cloned()
        .collect();
    let is_given = |(relation, field): &(Option<&TableReference>, &Arc<Field>)| {
        relation.is_some() || field.name() != Aggregate::INTERNAL_GROUPING_ID
    };
    let given = aggregate.schema.iter().filter(is_given);
    let flat: BTreeSet<String> = given.map(|given| Column::from(given).flat_name()).collect();
    // What is computed may have the name of the column that it is computed from: a cast has.
    let is_alone = flat.len() + 1 == aggregate.schema.fields().len();
    if computed.is_empty() || !is_alone {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let taken = aggregate.input.schema();
    let free = (0..).map(|n| format!("__grouped_{n}"));
    let free = free.filter(|name| !taken.has_column_with_unqualified_name(name));
    let columns: Vec<Column> = free.map(Column::from_name).take(computed.len()).collect();
    let column = |idx: usize| columns[idx].clone();
    let below = aggregate.input.schema().columns().into_iter().map(Expr::Column);
    let named = computed
        .iter()
        .enumerate()
        .map(|(idx, expr)| expr.clone().unalias().alias(column(idx).name()));
    let input = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .project(below.chain(named))?
        .build()?;
    let by_column = |expr: Expr| {
        expr.transform_down(|expr| {
            let found = computed.iter().position(|other| *other == expr);
            Ok(match found {
                Some(idx) => Transformed::yes(Expr::Column(column(idx))),
                None => Transformed::no(expr),
            })
        })
    };
    // grouping(x) names what is grouped by.
    let is_grouping = |expr: &Expr| {
        matches!(expr.clone().unalias_nested().data,
            Expr::AggregateFunction(f) if f.func.name() == "grouping")
    };
    let aggregates = aggregate
        .aggr_expr
        .into_iter()
        .map(|expr| if is_grouping(&expr) { Ok(by_column(expr)?.data) } else { Ok(expr) })
        .collect::<Result<_>>()?;
    let sets = by_column(Expr::GroupingSet(sets.clone()))?.data;
    let by_columns = Aggregate::try_new(Arc::new(input), vec![sets], aggregates)?;
    let names = aggregate.schema.iter().zip(by_columns.schema.iter());
    let outputs = names.filter(|(given, _)| is_given(given)).map(|((relation, field), now)| {
        let now = Column::from(now);
        match now.relation.as_ref() == relation && now.name() == field.name() {
            true => Expr::Column(now),
            false => Expr::Column(now).alias_qualified(relation.cloned(), field.name()),
        }
    });
    let outputs: Vec<Expr> = outputs.collect();
    let plan = LogicalPlanBuilder::from(LogicalPlan::Aggregate(by_columns)).project(outputs)?;
    Ok(Transformed::yes(plan.build()?))
}
