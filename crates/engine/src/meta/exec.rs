//! Reading a catalogue table: its requests, a few at a time, and then its rows, a batch at a time.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;

use super::{MetaTable, plan::MetaPlan, rows::Listed};
use crate::{
    Error, ErrorKind, ScanFacts,
    scan::{Gauges, nothing_missing},
    units::Part,
};

/// The scan of one catalogue table.
#[derive(Clone, Debug)]
pub(crate) struct MetaExec {
    table: Arc<MetaTable>,
    plan: Arc<MetaPlan>,
    /// The columns that are wanted; all of them if `None`.
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MetaExec {
    pub(super) fn new(
        table: MetaTable,
        plan: MetaPlan,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Self> {
        let schema = match projection {
            Some(columns) => Arc::new(table.schema.project(columns)?),
            None => Arc::clone(&table.schema),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            table: Arc::new(table),
            plan: Arc::new(plan),
            projection: projection.cloned(),
            schema,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// What sums take from this scan.
    pub(crate) fn sums(&self) -> &[Part] {
        &self.plan.sums
    }

    /// What is worth telling about this scan, if anything is: names of all of time go without saying.
    pub(crate) fn facts(&self) -> Option<ScanFacts> {
        let (source, plan) = (&self.table.source, &self.plan);
        let capabilities = source.backend.capabilities();
        let is_told = plan.kind.is_by_type() || plan.is_range_chosen || !capabilities.is_finite;
        is_told.then(|| ScanFacts {
            source: source.name.clone(),
            table: plan.kind.name().to_owned(),
            profile_types: plan.profile_types.clone(),
            type_choice: plan.type_choice,
            range: plan.range,
            is_range_chosen: plan.is_range_chosen,
            grain: capabilities.grain,
            n_requests: Some(plan.n_requests),
            is_coarse: false,
            notices: plan.notices.clone(),
            report: plan.report.clone(),
        })
    }

    /// What there is to list.
    async fn listed(&self) -> Result<Listed, Error> {
        let listed = self.table.listed(&self.plan, self.limit.unwrap_or(usize::MAX)).await?;
        if self.plan.is_strict {
            nothing_missing(&self.plan.report, &self.table.source)?;
            // Some of it is known only now that the source was asked.
            let notices = self.table.source.backend.notices();
            if let Some(notice) = notices.into_iter().find(|notice| notice.is_missing) {
                return Err(Error::new(ErrorKind::Partial, notice.to_string()));
            }
        }
        Ok(listed)
    }

    /// The batch that begins at a row; `None` behind the last.
    fn batch(&self, listed: &Listed, start: usize) -> Result<Option<RecordBatch>, Error> {
        let limit = self.limit.unwrap_or(usize::MAX);
        if start >= limit {
            return Ok(None);
        }
        let Some(rows) = listed.batch(start)? else { return Ok(None) };
        let rows = rows.start..rows.end.min(limit);
        let internal = |e: arrow::error::ArrowError| {
            Error::new(ErrorKind::Internal, format!("put rows together: {e}")).with_source(e)
        };
        let columns = self.table.columns(listed, rows);
        let all =
            RecordBatch::try_new(Arc::clone(&self.table.schema), columns).map_err(internal)?;
        match &self.projection {
            Some(columns) => all.project(columns).map(Some).map_err(internal),
            None => Ok(Some(all)),
        }
    }
}

impl DisplayAs for MetaExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, kind) = (&self.table.source, self.plan.kind);
        write!(f, "BackendScan: {}.{}", source.name, kind.name())?;
        if kind.is_by_type() {
            write!(f, " grain={}", source.backend.capabilities().grain)?;
        }
        if let Some(limit) = self.limit {
            write!(f, " limit={limit}")?;
        }
        write!(f, " {}", self.plan)
    }
}

impl ExecutionPlan for MetaExec {
    fn name(&self) -> &str {
        "CatalogueScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
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
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let this = self.clone();
        let gauges = Arc::new(Gauges::new(&self.metrics, partition, self.plan.report.clone()));
        let batches = stream::try_unfold((None, 0), move |(listed, start)| {
            let (this, gauges) = (this.clone(), Arc::clone(&gauges));
            async move {
                let listed = match listed {
                    Some(listed) => listed,
                    None => {
                        let listed = this.listed().await;
                        gauges.update();
                        listed.map_err(Error::into_datafusion)?
                    }
                };
                let batch = this.batch(&listed, start).map_err(Error::into_datafusion)?;
                Ok(batch.map(|batch| {
                    let next = start + batch.num_rows();
                    (batch, (Some(listed), next))
                }))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}
