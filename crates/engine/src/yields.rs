//! That a join lets others work, and ends when nobody waits for it any more.
//!
//! DataFusion has its leaves give way now and then, which is enough where each batch of a leaf comes to about as much work.
//! A join may make a million batches of one, and count them all without ever giving way: whoever waits beside it waits as
//! long, and dropping the answer does not end it. A physical rule has each join give way as leaves do.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        coop::CooperativeExec,
        joins::{
            CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec,
            SortMergeJoinExec, SymmetricHashJoinExec,
        },
    },
};

/// The rule.
#[derive(Debug)]
pub(crate) struct JoinsYield;

impl PhysicalOptimizerRule for JoinsYield {
    fn name(&self) -> &str {
        "joins_yield"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|node| {
            Ok(match is_join(node.as_ref()) {
                true => Transformed::yes(Arc::new(CooperativeExec::new(node)) as _),
                false => Transformed::no(node),
            })
        })?;
        Ok(wrapped.data)
    }
}

fn is_join(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<CrossJoinExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<PiecewiseMergeJoinExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.is::<SymmetricHashJoinExec>()
}
