//! That WITH RECURSIVE comes to an end.
//!
//! DataFusion goes on as long as a round gives rows, which may be for ever, or until there is no memory left. A physical
//! rule puts a node on top of what is repeated that counts rounds and rows.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions},
        recursive_query::RecursiveQueryExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use crate::{Error, ErrorKind};

/// How often a recursive query is repeated.
const MAX_ROUNDS: usize = 10_000;
/// How many rows all rounds together give.
const MAX_ROWS: usize = 10_000_000;

/// The rule.
#[derive(Debug)]
pub(crate) struct RoundsEnd;

impl PhysicalOptimizerRule for RoundsEnd {
    fn name(&self) -> &str {
        "rounds_end"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let bounded = plan.transform_up(|node| {
            let Some(query) = node.downcast_ref::<RecursiveQueryExec>() else {
                return Ok(Transformed::no(node));
            };
            let repeated = Arc::clone(query.recursive_term());
            if repeated.is::<RoundsExec>() {
                return Ok(Transformed::no(node));
            }
            let rounds = RoundsExec { repeated, done: Arc::default() };
            let children = vec![Arc::clone(query.static_term()), Arc::new(rounds) as _];
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(children, options).map(Transformed::yes)
        })?;
        Ok(bounded.data)
    }
}

/// Counts what is repeated.
#[derive(Debug)]
struct RoundsExec {
    repeated: Arc<dyn ExecutionPlan>,
    done: Arc<Done>,
}

#[derive(Debug, Default)]
struct Done {
    n_rounds: AtomicUsize,
    n_rows: AtomicUsize,
}

impl Done {
    fn add(count: &AtomicUsize, more: usize, max: usize, what: &str) -> Result<()> {
        if count.fetch_add(more, Ordering::Relaxed) + more <= max {
            return Ok(());
        }
        let what = format!("WITH RECURSIVE has come to more than {max} {what}");
        Err(Error::new(ErrorKind::Query, what)
            .with_hint(
                "write a condition that ends it, such as WHERE n < 100, or UNION for UNION ALL",
            )
            .into_datafusion())
    }
}

impl DisplayAs for RoundsExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rounds: at most {MAX_ROUNDS}")
    }
}

impl ExecutionPlan for RoundsExec {
    fn name(&self) -> &str {
        "Rounds"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.repeated.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.repeated]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Each round has a plan of its own, and all of them count together.
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(repeated) = children.pop() else { return Ok(self) };
        Ok(Arc::new(Self { repeated, done: Arc::clone(&self.done) }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Done::add(&self.done.n_rounds, 1, MAX_ROUNDS, "rounds")?;
        let done = Arc::clone(&self.done);
        let rows = self.repeated.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            Done::add(&done.n_rows, batch.num_rows(), MAX_ROWS, "rows").map(|()| batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
