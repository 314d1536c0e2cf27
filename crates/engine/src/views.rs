//! What users type first: `hot_functions`, `callers_of('f')`, `callees_of('f')`.
//!
//! The last two are no table functions, which would see their bare name only: with a schema in front they speak of that
//! source. They are planned as the subqueries that they stand for.

use std::sync::Arc;

use datafusion::{
    catalog::view::ViewTable,
    common::{Result, plan_err},
    datasource::provider_as_source,
    logical_expr::{
        AggregateUDF, LogicalPlanBuilder,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
    prelude::col,
    sql::sqlparser::{
        ast::{
            Expr as SqlExpr, FunctionArg, FunctionArgExpr, ObjectName, Query, SetExpr, Statement,
            TableFactor, Value, ValueWithSpan,
        },
        dialect::GenericDialect,
        parser::Parser,
    },
};

use crate::{sum::CheckedSum, table::AdditiveTable};

pub(crate) const HOT_FUNCTIONS: &str = "hot_functions";

/// Self and total of each function, the one with the most self first.
pub(crate) fn hot_functions(functions: Arc<AdditiveTable>) -> Result<ViewTable> {
    let sum = AggregateUDF::from(CheckedSum::default());
    let sum_of = |measure: &str| sum.call(vec![col(measure)]).alias(measure);
    let plan = LogicalPlanBuilder::scan("functions", provider_as_source(functions), None)?
        .aggregate([col("function")], [sum_of("self"), sum_of("total")])?
        .sort([col("self").sort(false, false), col("total").sort(false, false)])?
        .build()?;
    let definition = "SELECT function, sum(self) AS self, sum(total) AS total FROM functions \
                      GROUP BY function ORDER BY self DESC, total DESC";
    Ok(ViewTable::new(plan, Some(definition.to_owned())))
}

/// Plans `callers_of('f')` and `callees_of('f')`.
#[derive(Debug)]
pub(crate) struct Neighbours;

impl RelationPlanner for Neighbours {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(args), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (called, kept) = match last(name).as_str() {
            "callers_of" => ("caller", "callee"),
            "callees_of" => ("callee", "caller"),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(function),
                ..
            }))),
        ] = args.args.as_slice()
        else {
            return plan_err!("{name}(...) takes the name of one function, such as {name}('main')");
        };
        let sql = format!(
            "SELECT {called} AS function, sum(value) AS value FROM call_edges WHERE {kept} = '{}' \
             GROUP BY {called}",
            function.replace('\'', "''")
        );
        let mut query = parse(&sql)?;
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(from) = select.from.first_mut()
            && let TableFactor::Table { name: table, .. } = &mut from.relation
        {
            // In the same schema as the name itself.
            let mut parts = name.0.clone();
            parts.pop();
            parts.append(&mut table.0);
            *table = ObjectName(parts);
        }
        let subquery = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias: None,
            sample: None,
        };
        let plan = context.plan(subquery)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

fn last(name: &ObjectName) -> String {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map_or_else(String::new, |ident| ident.value.to_ascii_lowercase())
}

fn parse(sql: &str) -> Result<Query> {
    match Parser::parse_sql(&GenericDialect {}, sql)?.pop() {
        Some(Statement::Query(query)) => Ok(*query),
        _ => plan_err!("{sql} is no query"),
    }
}
