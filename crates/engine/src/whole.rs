//! Whole trees instead of rows, where nothing looks at a row.
//!
//! `flamegraph(stack, value)` over everything, and `sum(value)` by stack, are what a source's tree says already. To make
//! a row of each of a million stacks, hash its list of names and put a tree together again costs a hundred times as much.
//! A physical rule finds the two shapes and reads the tree. Of stacks it makes lists of names only for those that
//! somebody sees: none where they are counted, and the largest where ORDER BY and LIMIT leave no others. Where all that
//! might not be the same, because values are negative or a sum does not fit, the plan that was replaced runs after all.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
};

use arrow::{
    array::{ArrayRef, RecordBatch, new_null_array},
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, ScalarValue, config::ConfigOptions, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, Partitioning, PhysicalExpr,
        expressions::{Column, Literal},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        aggregates::{AggregateExec, AggregateMode},
        coalesce_partitions::CoalescePartitionsExec,
        execute_stream,
        execution_plan::{
            Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
        },
        filter::FilterExec,
        limit::{GlobalLimitExec, LocalLimitExec},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        stream::RecordBatchStreamAdapter,
        unnest::UnnestExec,
    },
};
use flamesql_backend::StackGroup;
use flamesql_profile::{ErrorKind as ProfileErrorKind, NodeId, StackTreeBuilder, SubsetScratch};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    Error,
    coarse::{LabelNeed, TimeNeed},
    flamegraph,
    pieces::Piece,
    rows::{Cursor, RowBuilder, Shape},
    scan::{BATCH_ROWS, Gauges, ScanExec, check_whole, filtered},
};

/// The rule.
#[derive(Debug)]
pub(crate) struct WholeTrees;

impl PhysicalOptimizerRule for WholeTrees {
    fn name(&self) -> &str {
        "whole_trees"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        visit(plan, true)
    }
}

/// `is_free`: nobody above cares how rows are spread over partitions, so that one will do.
fn visit(plan: Arc<dyn ExecutionPlan>, is_free: bool) -> Result<Arc<dyn ExecutionPlan>> {
    if is_free && let Some(whole) = WholeExec::of(&plan) {
        return Ok(Arc::new(whole));
    }
    let is_free = if plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
    {
        true
    } else {
        let passes = plan.is::<SortExec>()
            || plan.is::<ProjectionExec>()
            || plan.is::<FilterExec>()
            || plan.is::<GlobalLimitExec>()
            || plan.is::<LocalLimitExec>()
            || plan.is::<UnnestExec>()
            || plan
                .downcast_ref::<AggregateExec>()
                .is_some_and(|aggregate| *aggregate.mode() == AggregateMode::Partial);
        passes && is_free
    };
    let before: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
    let mut after = Vec::with_capacity(before.len());
    for child in &before {
        let child = visit(Arc::clone(child), is_free)?;
        let seen = child.downcast_ref::<WholeExec>().and_then(|whole| whole.seen_by(plan.as_ref()));
        after.push(seen.map_or(child, |whole| Arc::new(whole) as Arc<dyn ExecutionPlan>));
    }
    if before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(before, after)) {
        return Ok(plan);
    }
    plan.replace_children(after, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// What is made of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// One row with the flame graph, cut so far; 0 for a complete one.
    Flamegraph(usize),
    /// A row for each stack, with its value.
    Stacks,
}

/// A column of a row for each stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Stack,
    Value,
}

/// Which stacks and what of them somebody looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// All that is seen of a stack is that it is there: an empty list does.
    only_counted: bool,
    /// Only so many with the largest values, or with the smallest, and those of equal value.
    first: Option<(usize, Ends)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Largest,
    Smallest,
}

/// Reads the tree of a whole scan.
#[derive(Clone, Debug)]
struct WholeExec {
    made: Made,
    /// The columns of rows of stacks.
    parts: Vec<Part>,
    seen: Seen,
    /// What this stands for.
    original: Arc<dyn ExecutionPlan>,
    scan: ScanExec,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WholeExec {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            // Columns that are left out or change places.
            let whole = Self::of(projection.input()).filter(|whole| whole.made == Made::Stacks)?;
            let parts: Option<Vec<Part>> = projection
                .expr()
                .iter()
                .map(|e| Some(whole.parts[e.expr.downcast_ref::<Column>()?.index()]))
                .collect();
            let parts = parts.filter(|parts| !parts.is_empty())?;
            return Some(Self { parts, ..whole.instead_of(plan) });
        }
        let last = plan.downcast_ref::<AggregateExec>()?;
        let first = match last.mode() {
            AggregateMode::Single | AggregateMode::SinglePartitioned => last,
            AggregateMode::Final | AggregateMode::FinalPartitioned => {
                let mut below = last.input();
                loop {
                    match below.downcast_ref::<AggregateExec>() {
                        Some(first) if *first.mode() == AggregateMode::Partial => break first,
                        None if is_spread(below.as_ref()) => below = below.children()[0],
                        _ => return None,
                    }
                }
            }
            _ => return None,
        };
        if last.limit_options().is_some() || first.limit_options().is_some() {
            return None;
        }
        let mut below = first.input();
        while is_spread(below.as_ref()) {
            below = below.children()[0];
        }
        let scan = below.downcast_ref::<ScanExec>()?;
        let coarse = scan.plan().coarse.as_ref()?;
        let is_everything = coarse.labels == LabelNeed::default()
            && coarse.time == TimeNeed::default()
            && !coarse.profile_type
            && scan.plan().requests.iter().all(|request| request.shape == Shape::Stacks);
        if !is_everything || scan.has_limit() || scan.plan().requests.is_empty() {
            return None;
        }
        let schema = scan.schema();
        let is_column = |expr: &Arc<dyn PhysicalExpr>, name: &str| {
            expr.downcast_ref::<Column>()
                .is_some_and(|column| schema.field(column.index()).name() == name)
        };
        let (call, args) = match (first.aggr_expr(), first.filter_expr()) {
            // DISTINCT.
            ([], []) => (None, Vec::new()),
            ([call], [None]) if !call.is_distinct() && call.order_bys().is_empty() => {
                (Some(call.fun().name()), call.expressions())
            }
            _ => return None,
        };
        let mut parts = Vec::new();
        let made = match (call, args.as_slice(), first.group_expr().expr()) {
            (Some(flamegraph::NAME), [stack, value, rest @ ..], [])
                if is_column(stack, "stack") && is_column(value, "value") =>
            {
                let max_nodes = match rest {
                    [] => 0,
                    [max_nodes] => match max_nodes.downcast_ref::<Literal>()?.value() {
                        ScalarValue::Int64(Some(n)) => usize::try_from(*n).ok()?,
                        ScalarValue::Int64(None) => 0,
                        _ => return None,
                    },
                    _ => return None,
                };
                Made::Flamegraph(max_nodes)
            }
            (None | Some("sum"), values, [(stack, _)])
                if is_column(stack, "stack")
                    && values.iter().all(|value| is_column(value, "value"))
                    && first.group_expr().is_single() =>
            {
                parts.push(Part::Stack);
                parts.extend(values.iter().map(|_| Part::Value));
                Made::Stacks
            }
            _ => return None,
        };
        Some(Self {
            made,
            parts,
            seen: Seen::default(),
            original: Arc::clone(plan),
            scan: scan.clone(),
            properties: Arc::new(properties(plan)),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same instead of another plan.
    fn instead_of(self, plan: &Arc<dyn ExecutionPlan>) -> Self {
        Self { original: Arc::clone(plan), properties: Arc::new(properties(plan)), ..self }
    }

    /// The same for the plan right above, if that does not look at everything.
    fn seen_by(&self, above: &dyn ExecutionPlan) -> Option<Self> {
        if self.made != Made::Stacks {
            return None;
        }
        let part = |expr: &Arc<dyn PhysicalExpr>| {
            expr.downcast_ref::<Column>().map(|column| self.parts[column.index()])
        };
        let mut seen = self.seen;
        if let Some(sort) = above.downcast_ref::<SortExec>() {
            let first = sort.expr().first();
            if part(&first.expr)? != Part::Value {
                return None;
            }
            let ends = if first.options.descending { Ends::Largest } else { Ends::Smallest };
            seen.first = Some((sort.fetch()?, ends));
        } else {
            let aggregate = above.downcast_ref::<AggregateExec>()?;
            let mut calls = aggregate.aggr_expr().iter().zip(aggregate.filter_expr());
            let sees_nothing = calls.all(|(call, filter)| {
                // A list that is empty is there as well.
                let counts = call.fun().name() == "count" && !call.is_distinct();
                let may_be = |arg: &Arc<dyn PhysicalExpr>| match part(arg) {
                    Some(part) => counts || part == Part::Value,
                    None => arg.is::<Literal>(),
                };
                filter.is_none()
                    && call.order_bys().is_empty()
                    && call.expressions().iter().all(may_be)
            });
            let is_first =
                matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::Single);
            if !is_first || !aggregate.group_expr().is_empty() || !sees_nothing {
                return None;
            }
            seen.only_counted = true;
        }
        Some(Self { seen, ..self.clone() })
    }

    /// All stacks in one group.
    async fn read(&self, gauges: &Gauges) -> Result<Tree, Error> {
        let plan = self.scan.plan();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut scratch = SubsetScratch::default();
        let mut first: Option<Arc<StackGroup>> = None;
        let mut merged: Option<StackTreeBuilder> = None;
        for (_, mut pieces) in self.scan.open(&asked) {
            while let Some(piece) = pieces.next().await {
                let group = match piece? {
                    Piece::Group(group) if !group.has_negative => group,
                    _ => return Ok(Tree::Unsure),
                };
                gauges.update();
                let group = filtered(plan, &group, &mut scratch)?.unwrap_or(group);
                if first.is_none() {
                    first = Some(group);
                    continue;
                }
                let builder = merged.get_or_insert_with(StackTreeBuilder::new);
                let earlier = first.as_ref().filter(|_| builder.is_empty());
                for tree in earlier.into_iter().chain([&group]) {
                    match builder.merge(&tree.tree) {
                        Err(error) if error.kind() == ProfileErrorKind::Overflow => {
                            return Ok(Tree::Unsure);
                        }
                        merged => drop(merged?),
                    }
                }
            }
        }
        gauges.update();
        check_whole(plan, &self.scan.reports())?;
        Ok(match (first, merged) {
            (Some(group), Some(merged)) => {
                let StackGroup { labels, time, has_negative, .. } = group.as_ref();
                let (labels, time, has_negative) = (labels.clone(), *time, *has_negative);
                let tree = merged.finish();
                Tree::Whole(Arc::new(StackGroup { labels, time, tree, has_negative }))
            }
            (Some(group), None) => Tree::Whole(group),
            _ => Tree::Nothing,
        })
    }
}

fn properties(plan: &Arc<dyn ExecutionPlan>) -> PlanProperties {
    PlanProperties::new(
        EquivalenceProperties::new(plan.schema()),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Final,
        Boundedness::Bounded,
    )
}

fn is_spread(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<RepartitionExec>() || plan.is::<CoalescePartitionsExec>()
}

enum Tree {
    Whole(Arc<StackGroup>),
    Nothing,
    /// The rows of R have to tell.
    Unsure,
}

impl DisplayAs for WholeExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.made {
            Made::Flamegraph(_) => f.write_str("WholeTree: flame graph, instead of"),
            Made::Stacks => match self.seen.first {
                Some((n, Ends::Largest)) => write!(f, "WholeTree: {n} largest stacks, instead of"),
                Some((n, Ends::Smallest)) => {
                    write!(f, "WholeTree: {n} smallest stacks, instead of")
                }
                None if self.seen.only_counted || !self.parts.contains(&Part::Stack) => {
                    f.write_str("WholeTree: stacks without their functions, instead of")
                }
                None => f.write_str("WholeTree: stacks, instead of"),
            },
        }
    }
}

impl ExecutionPlan for WholeExec {
    fn name(&self) -> &str {
        "WholeTree"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// What this stands for is shown, and runs if need be.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.original]
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(original) = children.pop() else { return Ok(self) };
        // Whatever stands there now, it answers the same.
        Ok(match Self::of(&original) {
            Some(whole) => Arc::new(whole),
            None => original,
        })
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
        let this = self.clone();
        let schema = self.schema();
        let gauges = Gauges::new(&self.metrics, partition, self.scan.plan().report.clone());
        let batches = stream::once(async move {
            let schema = this.schema();
            let group = match this.read(&gauges).await.map_err(Error::into_datafusion)? {
                Tree::Unsure => return execute_stream(Arc::clone(&this.original), context),
                Tree::Nothing => None,
                Tree::Whole(group) => (!group.tree.is_empty()).then_some(group),
            };
            let batches = match this.made {
                Made::Flamegraph(max_nodes) => {
                    let column: ArrayRef = match group {
                        None => new_null_array(schema.field(0).data_type(), 1),
                        Some(group) => Arc::new(
                            flamegraph::rows(&group.tree, max_nodes)
                                .map_err(|e| Error::from(e).into_datafusion())?,
                        ),
                    };
                    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])?;
                    stream::iter([Ok(batch)]).boxed()
                }
                Made::Stacks => match group {
                    None => stream::empty().boxed(),
                    Some(group) => stacks(&group, &schema, &this.parts, this.seen),
                },
            };
            let batches = RecordBatchStreamAdapter::new(schema, batches);
            Ok(Box::pin(batches) as SendableRecordBatchStream)
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A row for each stack that is seen, in batches.
fn stacks(
    group: &Arc<StackGroup>,
    schema: &SchemaRef,
    parts: &[Part],
    seen: Seen,
) -> stream::BoxStream<'static, Result<RecordBatch>> {
    // The builder knows columns by the names that they have in the table.
    let names = parts.iter().map(|part| match part {
        Part::Stack => "stack",
        Part::Value => "value",
    });
    let fields = schema.fields().iter().zip(names);
    let fields = fields.map(|(field, name)| field.as_ref().clone().with_name(name));
    let builder = RowBuilder::new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), &[]);
    let mut stacks: Vec<(NodeId, i64)> = group.tree.stacks().collect();
    if let Some((n, ends)) = seen.first {
        keep_first(&mut stacks, n, ends);
    }
    if seen.only_counted {
        stacks.iter_mut().for_each(|(node, _)| *node = NodeId::ROOT);
    }
    let cursor = Cursor::of_stacks("".into(), group, stacks);
    let schema = Arc::clone(schema);
    let batches =
        stream::try_unfold((cursor, builder, false), move |(mut cursor, mut builder, is_done)| {
            let schema = Arc::clone(&schema);
            async move {
                if is_done {
                    return Ok(None);
                }
                let is_done =
                    cursor.fill(&mut builder, BATCH_ROWS).map_err(Error::into_datafusion)?;
                let batch = builder.finish()?;
                let batch = RecordBatch::try_new(schema, batch.columns().to_vec())?;
                Ok(Some((batch, (cursor, builder, is_done))))
            }
        });
    batches.boxed()
}

/// Leaves the stacks that may be among the first `n` by value, whatever the order of equal ones is.
fn keep_first(stacks: &mut Vec<(NodeId, i64)>, n: usize, ends: Ends) {
    if n == 0 || stacks.len() <= n {
        return;
    }
    let mut values: Vec<i64> = stacks.iter().map(|(_, value)| *value).collect();
    match ends {
        Ends::Largest => {
            let (_, last, _) = values.select_nth_unstable_by(n - 1, |a, b| b.cmp(a));
            stacks.retain(|(_, value)| value >= last);
        }
        Ends::Smallest => {
            let (_, last, _) = values.select_nth_unstable(n - 1);
            stacks.retain(|(_, value)| value <= last);
        }
    }
}
