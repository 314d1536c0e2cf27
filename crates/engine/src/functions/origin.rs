//! `in_span('id', ...)`, `in_trace(...)` and `in_profile(...)`: where samples come from.
//!
//! No row says so: a source is asked for the samples of some spans before they are merged, or it cannot tell. So these
//! functions have no column to look at, and a scan takes them over or nobody does; called they are an error.
//!
//! That error is also what keeps them in the plan. They have to be called immutable, as what is volatile is no filter that
//! DataFusion offers to a table, and so they are tried when constants are folded; but what fails there stays as it is.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        ColumnarValue, Documentation, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs,
        ScalarUDFImpl, Signature, Volatility,
    },
    optimizer::AnalyzerRule,
};

use super::docs;
use crate::{Error, ErrorKind};

/// One of the three.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct InOrigin {
    origin: Origin,
    signature: Signature,
}

/// What samples are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Span,
    Trace,
    Profile,
}

impl Origin {
    pub(super) const ALL: [Self; 3] = [Self::Span, Self::Trace, Self::Profile];

    /// The origin and the ids that an expression asks for, if it is a call of one of these with literals.
    pub(crate) fn of(expr: &Expr) -> Option<(Self, Vec<String>)> {
        let Expr::ScalarFunction(call) = expr else { return None };
        let origin = call.func.inner().downcast_ref::<InOrigin>()?.origin;
        let ids = call.args.iter().map(|arg| match arg {
            Expr::Literal(id, _) => id.try_as_str().flatten().map(str::to_owned),
            _ => None,
        });
        Some((origin, ids.collect::<Option<_>>()?))
    }
}

impl InOrigin {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for InOrigin {
    fn name(&self) -> &str {
        match self.origin {
            Origin::Span => "in_span",
            Origin::Trace => "in_trace",
            Origin::Profile => "in_profile",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.is_empty() || !types.iter().all(DataType::is_string) {
            let what = format!("{}('id', ...) takes one text or more", self.name());
            return Err(Error::new(ErrorKind::Syntax, what).into_datafusion());
        }
        Ok(vec![DataType::Utf8; types.len()])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, false)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let what = format!(
            "{}(...) can only be an AND condition over samples, functions or call_edges of a source that knows {}",
            self.name(),
            match self.origin {
                Origin::Span => "spans",
                Origin::Trace => "traces",
                Origin::Profile => "profiles by their id",
            }
        );
        Err(Error::new(ErrorKind::Query, what).into_datafusion())
    }
}

/// The rule that refuses these functions where they would be about something else than one table's samples.
///
/// They have no column, so that the planner would take them through joins, aggregates and windows as it likes, and which
/// table they speak of would be its choice.
#[derive(Debug)]
pub(crate) struct OriginsStay;

impl AnalyzerRule for OriginsStay {
    fn name(&self) -> &str {
        "origins_stay"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Filter(filter) = node
                && let Some(name) = called(&filter.predicate)?
                && !is_over_a_table(&filter.input)
            {
                let what = format!(
                    "{name}(...) can only stand in the WHERE of a table, below joins, aggregates and windows"
                );
                return Err(Error::new(ErrorKind::Query, what)
                    .with_hint(format!(
                        "write it into a subquery: FROM (SELECT * FROM samples WHERE {name}(...)) AS s"
                    ))
                    .into_datafusion());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }
}

/// The name of one of these functions that an expression calls.
fn called(expr: &Expr) -> Result<Option<String>> {
    let mut name = None;
    expr.apply(|e| {
        if let Expr::ScalarFunction(call) = e
            && call.func.inner().downcast_ref::<InOrigin>().is_some()
        {
            name = Some(call.func.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(name)
}

fn is_over_a_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Filter(filter) => is_over_a_table(&filter.input),
        LogicalPlan::Projection(projection) => {
            let has_window =
                |expr: &Expr| expr.exists(|e| Ok(matches!(e, Expr::WindowFunction(_))));
            !projection.expr.iter().any(|expr| has_window(expr).unwrap_or(true))
                && is_over_a_table(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_over_a_table(&alias.input),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::datatypes::{Schema, SchemaRef};
    use async_trait::async_trait;
    use datafusion::{
        catalog::{Session, TableProvider},
        common::exec_err,
        datasource::TableType,
        logical_expr::TableProviderFilterPushDown,
        physical_plan::ExecutionPlan,
        prelude::SessionContext,
    };

    use super::*;

    /// A table that takes over what it knows, and notes it.
    #[derive(Debug, Default)]
    struct Knows(Mutex<Vec<(Origin, Vec<String>)>>);

    #[async_trait]
    impl TableProvider for Knows {
        fn schema(&self) -> SchemaRef {
            Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)]))
        }

        fn table_type(&self) -> TableType {
            TableType::Base
        }

        fn supports_filters_pushdown(
            &self,
            filters: &[&Expr],
        ) -> Result<Vec<TableProviderFilterPushDown>> {
            Ok(filters
                .iter()
                .map(|filter| match Origin::of(filter) {
                    Some(_) => TableProviderFilterPushDown::Exact,
                    None => TableProviderFilterPushDown::Unsupported,
                })
                .collect())
        }

        async fn scan(
            &self,
            _session: &dyn Session,
            _projection: Option<&Vec<usize>>,
            filters: &[Expr],
            _limit: Option<usize>,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            self.0.lock().unwrap().extend(filters.iter().filter_map(Origin::of));
            exec_err!("this table has no rows")
        }
    }

    #[tokio::test]
    async fn a_table_sees_them_as_filters() {
        for (condition, expected) in [
            ("in_span('a')", vec![(Origin::Span, vec!["a"])]),
            ("value > 1 AND in_trace('a', 'b')", vec![(Origin::Trace, vec!["a", "b"])]),
            (
                "in_profile('p') AND in_span('a') AND in_span('b')",
                vec![
                    (Origin::Profile, vec!["p"]),
                    (Origin::Span, vec!["a"]),
                    (Origin::Span, vec!["b"]),
                ],
            ),
            ("in_span(concat('a', 'b')) = true", vec![(Origin::Span, vec!["ab"])]),
            ("in_span('a') OR value > 1", vec![]),
            ("NOT in_span('a')", vec![]),
        ] {
            let (context, table) = (SessionContext::new(), Arc::new(Knows::default()));
            super::super::scalar().into_iter().for_each(|function| context.register_udf(function));
            let provider = Arc::clone(&table) as Arc<dyn TableProvider>;
            context.register_table("t", provider).unwrap();
            for sql in [
                format!("SELECT sum(value) FROM t WHERE {condition}"),
                format!("SELECT * FROM (SELECT value + 1 AS value FROM t) WHERE {condition}"),
            ] {
                let frame = context.sql(&sql).await.unwrap();
                assert!(frame.create_physical_plan().await.is_err());
                let seen = std::mem::take(&mut *table.0.lock().unwrap());
                let expected: Vec<(Origin, Vec<String>)> = expected
                    .iter()
                    .map(|(origin, ids)| (*origin, ids.iter().map(ToString::to_string).collect()))
                    .collect();
                assert_eq!(seen, expected, "{sql}");
            }
        }
    }
}
