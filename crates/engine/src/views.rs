//! What users type first: `hot_functions`, `callers_of('f')`, `callees_of('f')`.
//!
//! The last two are no table functions, which would see their bare name only: with a schema in front they speak of that
//! source.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    catalog::view::ViewTable,
    common::{Result, plan_err},
    datasource::provider_as_source,
    logical_expr::{
        AggregateUDF, LogicalPlanBuilder,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
    prelude::{col, lit},
    sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, TableFactor, Value},
};

use crate::{TableKind, catalog::Source, sum::CheckedSum, table::AdditiveTable};

pub(crate) const HOT_FUNCTIONS: &str = "hot_functions";

/// Self and total of each function. In no order: the planner takes a sort out of a view.
pub(crate) fn hot_functions(functions: Arc<AdditiveTable>) -> Result<ViewTable> {
    let sum = AggregateUDF::from(CheckedSum::default());
    let sum_of = |measure: &str| sum.call(vec![col(measure)]).alias(measure);
    let plan = LogicalPlanBuilder::scan("functions", provider_as_source(functions), None)?
        .aggregate([col("function")], [sum_of("self"), sum_of("total")])?
        .build()?;
    let definition = "SELECT function, sum(self) AS self, sum(total) AS total FROM functions \
                      GROUP BY function";
    Ok(ViewTable::new(plan, Some(definition.to_owned())))
}

/// Plans `callers_of('f')` and `callees_of('f')`.
#[derive(Debug)]
pub(crate) struct Neighbours(pub(crate) Arc<BTreeMap<String, Arc<Source>>>);

impl RelationPlanner for Neighbours {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(args), alias, sample, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let parts: Vec<String> = name
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .map(|ident| context.normalize_ident(ident.clone()))
            .collect();
        let (called, kept) = match parts.last().map(String::as_str) {
            Some("callers_of") => ("caller", "callee"),
            Some("callees_of") => ("callee", "caller"),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let catalog = &context.context_provider().options().catalog.default_catalog;
        if parts.len() > 2 && parts.first() != Some(catalog) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        if sample.is_some() {
            return plan_err!("{name}(...) takes no TABLESAMPLE");
        }
        let schema = match parts.len().checked_sub(2) {
            Some(idx) => &parts[idx],
            None => &context.context_provider().options().catalog.default_schema,
        };
        let Some(source) = self.0.get(schema) else {
            return plan_err!("{name}(...): there is no source {schema:?}");
        };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(value)))] =
            args.args.as_slice()
        else {
            return plan_err!("{USAGE}");
        };
        let Value::SingleQuotedString(function) = &value.value else {
            return plan_err!("{USAGE}");
        };
        let edges = AdditiveTable::new(Arc::clone(source), TableKind::CallEdges, &[]);
        let sum = AggregateUDF::from(CheckedSum::default()).call(vec![col("value")]);
        let plan =
            LogicalPlanBuilder::scan("call_edges", provider_as_source(Arc::new(edges)), None)?
                .filter(col(kept).eq(lit(function.as_str())))?
                .aggregate([col(called)], [sum.alias("value")])?
                .project([col(called).alias("function"), col("value")])?
                .build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

const USAGE: &str =
    "callers_of and callees_of take the name of one function, such as callers_of('main')";
