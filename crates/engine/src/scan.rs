//! Reading an additive table: requests one after another, answers turned into rows as they come.

use std::{collections::VecDeque, fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType},
        stream::RecordBatchStreamAdapter,
    },
};
use flamesql_backend::{
    Bins, ErrorKind as BackendErrorKind, GroupBy, Grouping, Report, Select, StackGroup, StackStream,
};
use flamesql_profile::{ErrorKind as ProfileErrorKind, Labels, Timestamp};
use futures::{StreamExt, stream};

use crate::{
    Error, ErrorKind, ScanFacts, TableKind,
    ask::{self, Plan, Request},
    catalog::Source,
    rows::{Cursor, RowBuilder, Shape},
};

/// How many rows a batch has.
const BATCH_ROWS: usize = 8192;

/// The scan of one additive table.
#[derive(Debug)]
pub(crate) struct ScanExec {
    plan: Arc<Plan>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl ScanExec {
    pub(crate) fn new(plan: Plan, schema: SchemaRef, limit: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self { plan: Arc::new(plan), schema, limit, properties: Arc::new(properties) }
    }

    /// What is worth telling about this scan.
    pub(crate) fn facts(&self) -> ScanFacts {
        let plan = &self.plan;
        ScanFacts {
            source: plan.source.name.clone(),
            table: plan.kind.name().to_owned(),
            profile_types: plan.profile_types.clone(),
            type_choice: plan.type_choice,
            range: plan.range,
            is_range_chosen: plan.is_range_chosen,
            grain: plan.source.backend.capabilities().grain,
            n_requests: plan.n_requests(),
            is_coarse: plan.coarse.is_some(),
            notices: plan.notices.clone(),
        }
    }
}

impl Plan {
    /// How many requests there will be, if that does not depend on data.
    fn n_requests(&self) -> Option<usize> {
        let groups = self.source.backend.capabilities().groups_stacks;
        let is_sure = |r: &Request| groups || r.shape == Shape::Points || is_one_group(&r.grouping);
        self.requests.iter().all(is_sure).then_some(self.requests.len())
    }
}

fn is_one_group(grouping: &Grouping) -> bool {
    grouping.time == Bins::Whole && grouping.labels == GroupBy::Labels(Vec::new())
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        write!(f, "BackendScan: {}.{}", plan.source.name, plan.kind.name())?;
        match &plan.coarse {
            Some(coarse) => write!(f, " coarse={coarse}")?,
            None => f.write_str(" every row")?,
        }
        write!(f, " grain={}", plan.source.backend.capabilities().grain)?;
        if let Some(limit) = self.limit {
            write!(f, " limit={limit}")?;
        }
        match plan.n_requests() {
            Some(n) => write!(f, " requests={n}")?,
            None => write!(f, " requests=one a group")?,
        }
        // Many cuts make many requests that differ in their range only.
        for request in plan.requests.iter().take(4) {
            write!(f, "; {request}")?;
        }
        match plan.requests.len() {
            0..=4 => Ok(()),
            n => write!(f, "; and {} more", n - 4),
        }
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        "BackendScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
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
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reader = Reader {
            queue: self.plan.requests.iter().cloned().collect(),
            plan: Arc::clone(&self.plan),
            streams: Vec::new(),
            cursors: VecDeque::new(),
            builder: RowBuilder::new(Arc::clone(&self.schema), &self.plan.label_columns),
            rows_left: self.limit.unwrap_or(usize::MAX),
            n_asked: 0,
        };
        let batches = stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.next().await.map_err(Error::into_datafusion)?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// An answer that is being read.
struct Open {
    request: Request,
    stream: StackStream,
    /// How many groups have come.
    n_groups: usize,
}

/// Reads a scan's rows. Nothing is asked before it is polled, and what it holds stops when it is dropped.
struct Reader {
    plan: Arc<Plan>,
    /// What is still to be asked.
    queue: VecDeque<Request>,
    /// The answers that are being read, the one in front last.
    streams: Vec<Open>,
    cursors: VecDeque<Cursor>,
    builder: RowBuilder,
    rows_left: usize,
    n_asked: usize,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let max = BATCH_ROWS.min(self.rows_left);
        while self.builder.n_rows < max && !self.builder.is_full() {
            if let Some(cursor) = self.cursors.front_mut() {
                if cursor.fill(&mut self.builder, max)? {
                    self.cursors.pop_front();
                }
            } else if let Some(open) = self.streams.last_mut() {
                let request = open.request.clone();
                match open.stream.next().await {
                    Some(Ok(group)) => {
                        open.n_groups += 1;
                        self.take_group(&request, group)?;
                    }
                    // As with series, as long as no row has gone out that would come again.
                    Some(Err(error))
                        if error.kind() == BackendErrorKind::Overflow
                            && request.is_coarse
                            && open.n_groups == 0
                            && is_one_group(&request.grouping) =>
                    {
                        self.streams.pop();
                        self.queue.push_front(self.fine(request.select));
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => drop(self.streams.pop()),
                }
            } else if let Some(request) = self.queue.pop_front() {
                self.ask(request).await?;
            } else {
                break;
            }
        }
        if self.builder.n_rows == 0 {
            return Ok(None);
        }
        self.rows_left -= self.builder.n_rows;
        let batch = self.builder.finish();
        batch.map(Some).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("put rows together: {e}")).with_source(e)
        })
    }

    async fn ask(&mut self, request: Request) -> Result<(), Error> {
        let source = Arc::clone(&self.plan.source);
        let backend = source.backend.as_ref();
        self.count_requests(1)?;
        if request.shape == Shape::Points {
            let answer = match backend
                .series(&request.select, &request.grouping, &Report::new())
                .await
            {
                // A part that nobody asked for may be too large, and parts may have cancelled out: a row that is gone is
                // not the same as a row of 0. R's own rows tell.
                Ok(answer) if answer.has_negative && request.is_coarse => None,
                Err(error) if error.kind() == BackendErrorKind::Overflow && request.is_coarse => {
                    None
                }
                answer => Some(answer?),
            };
            let Some(answer) = answer else {
                self.queue.push_front(self.fine(request.select));
                return Ok(());
            };
            let profile_type: Arc<str> = request.select.profile_type.as_str().into();
            self.cursors.extend(
                answer.series.into_iter().map(|s| Cursor::of_series(Arc::clone(&profile_type), s)),
            );
        } else if backend.capabilities().groups_stacks || is_one_group(&request.grouping) {
            let stream =
                backend.stacks(request.select.clone(), request.grouping.clone(), Report::new());
            self.streams.push(Open { request, stream, n_groups: 0 });
        } else {
            // Which groups there are is found first, exactly; then each is asked for by itself.
            let found = backend.series(&request.select, &request.grouping, &Report::new()).await?;
            let mut groups = Vec::new();
            for series in &found.series {
                for point in &series.points {
                    let select = self.narrow(&request, &series.labels, point.time);
                    let stream =
                        Self::one_group(&source, select, series.labels.clone(), point.time);
                    groups.push(Open { request: request.clone(), stream, n_groups: 0 });
                }
            }
            self.count_requests(groups.len())?;
            groups.reverse();
            self.streams.extend(groups);
        }
        Ok(())
    }

    fn count_requests(&mut self, n_more: usize) -> Result<(), Error> {
        self.n_asked += n_more;
        match self.n_asked > self.plan.options.max_requests {
            true => Err(self.plan.too_many(self.n_asked)),
            false => Ok(()),
        }
    }

    fn narrow(&self, request: &Request, labels: &Labels, time: Timestamp) -> Select {
        ask::narrow(&request.select, &request.grouping, &self.plan.label_names, labels, time)
    }

    /// The stacks of one group, under the labels and the time that it has in a larger answer. Asked when polled.
    fn one_group(
        source: &Arc<Source>,
        select: Select,
        labels: Labels,
        time: Timestamp,
    ) -> StackStream {
        let source = Arc::clone(source);
        stream::once(
            async move { source.backend.stacks(select, Grouping::default(), Report::new()) },
        )
        .flatten()
        .map(move |group| group.map(|group| StackGroup { labels: labels.clone(), time, ..group }))
        .boxed()
    }

    fn take_group(&mut self, request: &Request, group: StackGroup) -> Result<(), Error> {
        let select = request.is_coarse.then(|| self.narrow(request, &group.labels, group.time));
        if let (true, Some(select)) = (group.has_negative, &select) {
            self.queue.push_front(self.fine(select.clone()));
            return Ok(());
        }
        let profile_type: Arc<str> = request.select.profile_type.as_str().into();
        match (Cursor::of_group(profile_type, group, request.shape), select) {
            (Ok(cursor), _) => self.cursors.push_back(cursor),
            (Err(error), Some(select)) if error.kind() == ProfileErrorKind::Overflow => {
                self.queue.push_front(self.fine(select));
            }
            (Err(error), _) => return Err(error.into()),
        }
        Ok(())
    }

    /// R's own rows of a selection.
    fn fine(&self, select: Select) -> Request {
        let step = self.plan.source.backend.capabilities().grain;
        let grouping = Grouping {
            labels: GroupBy::All,
            time: Bins::Every { step, origin: Timestamp::from_nanos(0) },
        };
        let shape = match self.plan.kind {
            TableKind::Series => Shape::Points,
            TableKind::Samples => Shape::Stacks,
            TableKind::Functions => Shape::Functions,
            TableKind::CallEdges => Shape::Edges,
        };
        Request { shape, select, grouping, is_coarse: false }
    }
}
