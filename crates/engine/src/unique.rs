//! Forgetting that rows are unique where they no longer are.
//!
//! DataFusion 55 carries what it knows about an aggregate's rows (its keys are unique) through `unnest`, which makes
//! several rows of each: a sort or a group by the keys and something else then drops the something else
//! (<https://github.com/apache/datafusion/pull/24787>).

use std::sync::Arc;

use datafusion::{
    common::{
        FunctionalDependencies, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    logical_expr::LogicalPlan,
    optimizer::AnalyzerRule,
};

/// The rule that takes such knowledge from `unnest` and all that stands above it.
#[derive(Debug)]
pub(crate) struct UnnestIsNotUnique;

impl AnalyzerRule for UnnestIsNotUnique {
    fn name(&self) -> &str {
        "unnest_is_not_unique"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut has_unnest = false;
        plan.apply_with_subqueries(|node| {
            has_unnest |= matches!(node, LogicalPlan::Unnest(_));
            Ok(TreeNodeRecursion::Continue)
        })?;
        if !has_unnest {
            return Ok(plan);
        }
        let forgotten = plan.transform_up_with_subqueries(|node| {
            Ok(Transformed::yes(match node {
                LogicalPlan::Unnest(mut unnest) => {
                    let schema = unnest.schema.as_ref().clone();
                    let none = FunctionalDependencies::empty();
                    unnest.schema = Arc::new(schema.with_functional_dependencies(none)?);
                    LogicalPlan::Unnest(unnest)
                }
                // Each schema is made from those below.
                node => node.recompute_schema()?,
            }))
        })?;
        Ok(forgotten.data)
    }
}
