//! Reading an additive table: requests one after another, answers turned into rows as they come.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType},
        metrics::{
            BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
            RecordOutput, Time,
        },
        stream::RecordBatchStreamAdapter,
    },
};
use flamesql_backend::{Bins, Grouping, Notice, Report, Select, SeriesAnswer, StackGroup};
use flamesql_profile::{ErrorKind as ProfileErrorKind, SubsetScratch, Timestamp};
use futures::{StreamExt, stream};

use crate::{
    Error, ErrorKind, ScanFacts, TableKind,
    ask::{Plan, Request},
    catalog::Source,
    once::Ticket,
    pieces::{self, Piece, PieceStream, pieces},
    rows::{Cursor, Measures, RowBuilder, Shape},
    weigh,
};

/// How many rows a batch has.
pub(crate) const BATCH_ROWS: usize = 8192;

/// How many requests are under way at once, the one that is being read included.
pub(crate) const CONCURRENT: usize = 8;

/// The scan of one additive table.
#[derive(Clone, Debug)]
pub(crate) struct ScanExec {
    plan: Arc<Plan>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// For some of the requests an answer that other scans read as well.
    tickets: Vec<Option<Ticket>>,
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
        Self {
            tickets: vec![None; plan.requests.len()],
            plan: Arc::new(plan),
            schema,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What the work of scans that share an answer with this one came to.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.tickets.iter().flatten().flat_map(|ticket| ticket.reports().to_vec()).collect()
    }

    pub(crate) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// The answers to all requests. None is asked before it is polled.
    pub(crate) fn open(&self, asked: &Arc<AtomicUsize>) -> Vec<(Request, PieceStream)> {
        let requests = self.plan.requests.iter().zip(&self.tickets);
        requests
            .map(|(request, ticket)| {
                // Others read the stacks that a shared answer has.
                let pieces = match ticket.as_ref().and_then(Ticket::take) {
                    Some(shared) => {
                        let (plan, request) = (Arc::clone(&self.plan), request.clone());
                        let asked = Arc::clone(asked);
                        shared.read(move || pieces(&plan, &request, &asked, Vec::new()))
                    }
                    None => pieces(&self.plan, request, asked, weigh::sums(&self.plan, request)),
                };
                (request.clone(), pieces)
            })
            .collect()
    }

    /// The same scan, which reads some answers together with others.
    pub(crate) fn with_tickets(&self, tickets: Vec<Option<Ticket>>) -> Self {
        Self { tickets, ..self.clone() }
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
            n_requests: plan.n_requests,
            is_coarse: plan.coarse.is_some(),
            notices: plan.notices.clone(),
            report: plan.report.clone(),
        }
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        write!(f, "BackendScan: {}.{}", plan.source.name, plan.kind.name())?;
        match &plan.coarse {
            Some(coarse) => write!(f, " coarse={coarse}")?,
            None => f.write_str(" every row")?,
        }
        if let Some(why) = &plan.why {
            write!(f, ", since {why}")?;
        }
        for filter in &plan.filters {
            write!(f, " filter={filter}")?;
        }
        for filter in &plan.functions {
            write!(f, " filter={filter}")?;
        }
        write!(f, " grain={}", plan.source.backend.capabilities().grain)?;
        if let Some(limit) = self.limit {
            write!(f, " limit={limit}")?;
        }
        match plan.n_requests {
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
        }?;
        // What was asked to count the requests.
        match plan.requests.iter().filter(|request| !plan.is_one_question(request)).count() {
            n if n > 0 && plan.n_requests.is_some() => write!(f, "; groups counted by {n} series"),
            _ => Ok(()),
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
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let asked = Arc::new(AtomicUsize::new(0));
        let open = self.open(&asked).into_iter();
        let queue =
            open.map(|(request, pieces)| Open { request, pieces, has_begun: false }).collect();
        let reader = Reader {
            queue,
            // Who wants a few rows only may never need what would be asked ahead.
            n_ahead: if self.limit.is_some() { 1 } else { CONCURRENT },
            ahead: VecDeque::new(),
            asked,
            cursors: VecDeque::new(),
            builder: RowBuilder::new(Arc::clone(&self.schema), &self.plan.label_columns),
            rows_left: self.limit.unwrap_or(usize::MAX),
            batch_rows: BATCH_ROWS.min(context.session_config().batch_size()),
            scratch: SubsetScratch::default(),
            reports: self.reports(),
            gauges: Gauges::new(&self.metrics, partition, self.plan.report.clone()),
            plan: Arc::clone(&self.plan),
        };
        let batches = stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.next().await.map_err(Error::into_datafusion)?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// What EXPLAIN ANALYZE tells of a scan.
pub(crate) struct Gauges {
    report: Report,
    requests: Count,
    bytes: Count,
    cache_hits: Count,
    /// For how long the reader had nothing to do but wait for an answer.
    waited: Time,
    baseline: BaselineMetrics,
}

impl Gauges {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize, report: Report) -> Self {
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            report,
            requests: counter("requests"),
            bytes: counter("bytes"),
            cache_hits: counter("cache_hits"),
            waited: MetricBuilder::new(metrics).subset_time("waited", partition),
            baseline: BaselineMetrics::new(metrics, partition),
        }
    }

    /// Brings what is shown up to what was reported.
    pub(crate) fn update(&self) {
        for (count, now) in [
            (&self.requests, self.report.requests()),
            (&self.bytes, self.report.bytes()),
            (&self.cache_hits, self.report.cache_hits()),
        ] {
            count.add(usize::try_from(now).unwrap_or(usize::MAX).saturating_sub(count.value()));
        }
    }
}

/// An answer that is being read.
struct Open {
    request: Request,
    pieces: PieceStream,
    has_begun: bool,
}

/// Reads a scan's rows. Nothing is asked before it is polled, and what it holds stops when it is dropped.
struct Reader {
    plan: Arc<Plan>,
    /// What is still to be asked.
    queue: VecDeque<Open>,
    /// What is being answered; the one in front is read.
    ahead: VecDeque<Open>,
    n_ahead: usize,
    asked: Arc<AtomicUsize>,
    cursors: VecDeque<Cursor>,
    builder: RowBuilder,
    rows_left: usize,
    /// Less where memory is limited: whoever sorts has to hold a batch whole.
    batch_rows: usize,
    gauges: Gauges,
    scratch: SubsetScratch,
    /// Those of scans that ask for what this one reads too.
    reports: Vec<Report>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let max = self.batch_rows.min(self.rows_left);
        while self.builder.n_rows < max && !self.builder.is_full() {
            if let Some(cursor) = self.cursors.front_mut() {
                let _timer = self.gauges.baseline.elapsed_compute().timer();
                if cursor.fill(&mut self.builder, max)? {
                    self.cursors.pop_front();
                }
                continue;
            }
            self.look_ahead();
            let Some(open) = self.ahead.front_mut() else { break };
            let request = open.request.clone();
            let begun = Instant::now();
            let piece = open.pieces.next().await;
            self.gauges.waited.add_elapsed(begun);
            match piece {
                Some(Ok(Piece::Series(answer, measures))) => {
                    self.take_series(&request, &answer, measures);
                }
                // Where one group has negative values others will: all are read row by row, as long as none is out.
                Some(Ok(Piece::Group(group)))
                    if group.has_negative && request.is_coarse && !open.has_begun =>
                {
                    self.ahead.pop_front();
                    self.read_fine(request.select);
                }
                Some(Ok(Piece::Group(group))) => {
                    open.has_begun = true;
                    self.take_group(&request, &group).await?;
                }
                Some(Ok(Piece::Overflow(_, Some(select)))) if request.is_coarse => {
                    self.read_fine(*select);
                }
                // As with series, as long as no row has gone out that would come again.
                Some(Ok(Piece::Overflow(_, None))) if request.is_coarse && !open.has_begun => {
                    self.ahead.pop_front();
                    self.read_fine(request.select);
                }
                Some(Ok(Piece::Overflow(error, _)) | Err(error)) => return Err(error),
                None => drop(self.ahead.pop_front()),
            }
        }
        self.gauges.update();
        if self.builder.n_rows == 0 {
            return check_whole(&self.plan, &self.reports).map(|()| None);
        }
        self.rows_left -= self.builder.n_rows;
        let batch = self.builder.finish().map_err(|e| {
            Error::new(ErrorKind::Internal, format!("put rows together: {e}")).with_source(e)
        })?;
        Ok(Some(batch.record_output(&self.gauges.baseline)))
    }

    /// Begins with requests that are not read yet, so that their answers are on the way meanwhile.
    fn look_ahead(&mut self) {
        while self.ahead.len() < self.n_ahead {
            let Some(mut open) = self.queue.pop_front() else { break };
            // The one that is read is polled by its reader.
            if !self.ahead.is_empty() {
                open.pieces = pieces::spawn(open.pieces);
            }
            self.ahead.push_back(open);
        }
    }

    fn take_series(&mut self, request: &Request, answer: &SeriesAnswer, measures: Measures) {
        // Parts may have cancelled out: a row that is gone is not the same as a row of 0. R's own rows tell.
        if answer.has_negative && request.is_coarse {
            self.ahead.pop_front();
            return self.read_fine(request.select.clone());
        }
        let profile_type: Arc<str> = request.select.profile_type.as_str().into();
        let series = answer.series.iter().cloned();
        self.cursors
            .extend(series.map(|s| Cursor::of_series(Arc::clone(&profile_type), s, measures)));
    }

    async fn take_group(
        &mut self,
        request: &Request,
        group: &Arc<StackGroup>,
    ) -> Result<(), Error> {
        if group.has_negative && request.is_coarse {
            return self.read_group_fine(request, group).await;
        }
        let kept = filtered(&self.plan, group, &mut self.scratch)?;
        let group = kept.as_ref().unwrap_or(group);
        let profile_type: Arc<str> = request.select.profile_type.as_str().into();
        match Cursor::of_group(profile_type, group, request.shape) {
            Ok(mut cursor) => {
                cursor.keep_functions(&self.plan.functions)?;
                self.cursors.push_back(cursor);
            }
            Err(error) if request.is_coarse && error.kind() == ProfileErrorKind::Overflow => {
                return self.read_group_fine(request, group).await;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn read_group_fine(
        &mut self,
        request: &Request,
        group: &StackGroup,
    ) -> Result<(), Error> {
        let select = self.plan.narrow(request, &group.labels, group.time).await?;
        self.read_fine(select);
        Ok(())
    }

    /// Reads R's own rows of a selection next.
    fn read_fine(&mut self, select: Select) {
        let step = self.plan.source.backend.capabilities().grain;
        let grouping = Grouping {
            labels: self.plan.all_labels.clone(),
            time: Bins::Every { step, origin: Timestamp::from_nanos(0) },
        };
        let shape = match self.plan.kind {
            TableKind::Series => Shape::Points,
            TableKind::Samples => Shape::Stacks,
            TableKind::Functions => Shape::Functions,
            TableKind::CallEdges => Shape::Edges,
        };
        let request = Request { shape, select, grouping, is_coarse: false };
        let pieces = pieces(&self.plan, &request, &self.asked, Vec::new());
        self.ahead.push_front(Open { request, pieces, has_begun: false });
    }
}

/// Under strict, what is missing is an error, if only now that all else is there.
pub(crate) fn check_whole(plan: &Plan, reports: &[Report]) -> Result<(), Error> {
    match plan.options.strict {
        true => {
            reports.iter().chain([&plan.report]).try_for_each(|r| nothing_missing(r, &plan.source))
        }
        false => Ok(()),
    }
}

/// Fails if something is missing of what a source was asked, naming the first and how many more there are.
pub(crate) fn nothing_missing(report: &Report, source: &Source) -> Result<(), Error> {
    if report.is_complete() {
        return Ok(());
    }
    let notices = report.notices();
    let missing: Vec<&Notice> = notices.iter().filter(|notice| notice.is_missing).collect();
    let what = match missing.as_slice() {
        [] => format!("a part of {} is missing", source.name),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
    };
    Err(Error::new(ErrorKind::Partial, what))
}

/// The group with the stacks that fulfil the conditions taken over; `None` if there are no conditions.
pub(crate) fn filtered(
    plan: &Plan,
    group: &StackGroup,
    scratch: &mut SubsetScratch,
) -> Result<Option<Arc<StackGroup>>, Error> {
    let Some((first, others)) = plan.filters.split_first() else { return Ok(None) };
    let mut keep = first.keep(&group.tree)?;
    for filter in others {
        for (keep, also) in keep.iter_mut().zip(filter.keep(&group.tree)?) {
            *keep &= also;
        }
    }
    let kept: Vec<_> = group.tree.stacks().filter(|(node, _)| keep[node.index()]).collect();
    let tree = group.tree.subset(&kept, scratch);
    let StackGroup { labels, time, has_negative, .. } = group;
    let (labels, time, has_negative) = (labels.clone(), *time, *has_negative);
    Ok(Some(Arc::new(StackGroup { labels, time, tree, has_negative })))
}
