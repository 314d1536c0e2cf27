//! Two scans of one statement that need the same answer ask once.
//!
//! Answers are the same if their requests are, whatever the scans make of them: `functions` and `samples` are two views
//! of the same stacks. A physical rule finds them; who reads first asks, and the others read what has come.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::ExecutionPlan,
};
use flamesql_backend::{Grouping, Report, Select};
use futures::{StreamExt, stream};
use tokio::sync::Mutex;

use crate::{
    Error,
    pieces::{Piece, PieceStream},
    rows::Shape,
    scan::ScanExec,
};

/// A right to read a shared answer, for one execution: who runs a plan again asks again.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    reader: usize,
    is_taken: Arc<AtomicBool>,
    /// What the work of all readers came to: whoever asked, what is missing is missing for all.
    reports: Vec<Report>,
}

impl Ticket {
    pub(crate) fn reports(&self) -> &[Report] {
        &self.reports
    }

    pub(crate) fn take(&self) -> Option<Reading> {
        let is_first = !self.is_taken.swap(true, Ordering::Relaxed);
        is_first.then(|| Reading { shared: Arc::clone(&self.shared), reader: self.reader })
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Which readers have left. Beside the state, since who leaves cannot wait for it.
    gone: Vec<AtomicBool>,
}

struct State {
    pieces: Option<PieceStream>,
    /// What has come and is still wanted by someone; the first one is number `start`.
    kept: VecDeque<Result<Piece, Error>>,
    start: usize,
    /// Which piece each reader wants next.
    wanted: Vec<usize>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl State {
    /// Lets go of what nobody wants any more.
    fn trim(&mut self, gone: &[AtomicBool]) {
        let here = self.wanted.iter().zip(gone).filter(|(_, gone)| !gone.load(Ordering::Acquire));
        let first = here.map(|(wanted, _)| *wanted).min();
        while self.start < first.unwrap_or(usize::MAX) && self.kept.pop_front().is_some() {
            self.start += 1;
        }
        if first.is_none() {
            self.pieces = None;
        }
    }
}

/// A shared answer in the hands of one of its readers.
pub(crate) struct Reading {
    shared: Arc<Shared>,
    reader: usize,
}

impl Reading {
    /// The answer; `pieces` asks for it if nobody has yet.
    pub(crate) fn read(self, pieces: PieceStream) -> PieceStream {
        stream::unfold((self, Some(pieces)), |(this, mut own)| async move {
            let mut state = this.shared.state.lock().await;
            if let (None, 0) = (&state.pieces, state.start + state.kept.len()) {
                state.pieces = own.take();
            }
            let at = state.wanted[this.reader];
            let known = state.kept.get(at - state.start).cloned();
            let piece = match known {
                Some(piece) => piece,
                None => {
                    let piece = state.pieces.as_mut()?.next().await?;
                    state.kept.push_back(piece.clone());
                    piece
                }
            };
            state.wanted[this.reader] = at + 1;
            state.trim(&this.shared.gone);
            drop(state);
            Some((piece, (this, own)))
        })
        .boxed()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shared.gone[self.reader].store(true, Ordering::Release);
        // A lock that is held is that of a reader who goes on, and will trim.
        if let Ok(mut state) = self.shared.state.try_lock() {
            state.trim(&self.shared.gone);
        }
    }
}

/// The rule that hands out tickets.
#[derive(Debug)]
pub(crate) struct AskOnce;

/// What is asked, and of whom.
struct Question {
    source: *const (),
    select: Select,
    grouping: Grouping,
    is_series: bool,
    /// The scan, by its place in the plan, and the request in it.
    readers: Vec<(usize, usize)>,
    reports: Vec<Report>,
}

impl PhysicalOptimizerRule for AskOnce {
    fn name(&self) -> &str {
        "ask_once"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut questions: Vec<Question> = Vec::new();
        let mut n_scans = 0;
        plan.apply(|node| {
            if let Some(scan) = node.downcast_ref::<ScanExec>() {
                let source = Arc::as_ptr(&scan.plan().source).cast::<()>();
                for (idx, request) in scan.plan().requests.iter().enumerate() {
                    let is_series = request.shape == Shape::Points;
                    let known = questions.iter_mut().find(|known| {
                        known.source == source
                            && known.is_series == is_series
                            && known.select == request.select
                            && known.grouping == request.grouping
                    });
                    match known {
                        Some(known) => {
                            known.readers.push((n_scans, idx));
                            known.reports.push(scan.plan().report.clone());
                        }
                        None => questions.push(Question {
                            source,
                            select: request.select.clone(),
                            grouping: request.grouping.clone(),
                            is_series,
                            readers: vec![(n_scans, idx)],
                            reports: vec![scan.plan().report.clone()],
                        }),
                    }
                }
                n_scans += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        questions.retain(|question| question.readers.len() > 1);
        if questions.is_empty() {
            return Ok(plan);
        }
        let shared: Vec<Arc<Shared>> = questions
            .iter()
            .map(|question| {
                let state = State {
                    pieces: None,
                    kept: VecDeque::new(),
                    start: 0,
                    wanted: vec![0; question.readers.len()],
                };
                let gone = question.readers.iter().map(|_| AtomicBool::new(false)).collect();
                Arc::new(Shared { state: Mutex::new(state), gone })
            })
            .collect();
        let mut scan_idx = 0;
        let plan = plan.transform_down(|node| {
            let Some(scan) = node.downcast_ref::<ScanExec>() else {
                return Ok(Transformed::no(node));
            };
            let mut tickets = vec![None; scan.plan().requests.len()];
            for (question, shared) in questions.iter().zip(&shared) {
                for (reader, (of_scan, request)) in question.readers.iter().enumerate() {
                    if *of_scan == scan_idx {
                        tickets[*request] = Some(Ticket {
                            shared: Arc::clone(shared),
                            reader,
                            is_taken: Arc::default(),
                            reports: question.reports.clone(),
                        });
                    }
                }
            }
            scan_idx += 1;
            Ok(Transformed::yes(Arc::new(scan.with_tickets(tickets)) as Arc<dyn ExecutionPlan>))
        })?;
        Ok(plan.data)
    }
}
