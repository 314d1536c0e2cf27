//! Two scans of one statement that need the same answer ask once.
//!
//! Answers are the same if their requests are, whatever the scans make of them: `functions` and `samples` are two views
//! of the same stacks. A physical rule finds them; who reads first asks, and the others read what has come.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
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

/// How much may be kept for readers who are behind, in stacks and points: some 256 MB. Who comes after that, or goes on
/// after it, asks for himself. Most read at once, but a part of a plan may turn out not to be needed, or wait until another
/// is read to its end, and nobody says so.
const MAX_KEPT: usize = 1 << 24;

/// A right to read a shared answer, for one execution: who runs a plan again asks again.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    claim: Arc<Claim>,
    /// What the work of all readers came to: whoever asked, what is missing is missing for all.
    reports: Vec<Report>,
}

impl Ticket {
    pub(crate) fn reports(&self) -> &[Report] {
        &self.reports
    }

    pub(crate) fn take(&self) -> Option<Reading> {
        let Claim { shared, reader, is_taken } = self.claim.as_ref();
        let is_first = !is_taken.swap(true, Ordering::Relaxed);
        is_first.then(|| Reading { shared: Arc::clone(shared), reader: *reader })
    }
}

/// The place of one reader.
#[derive(Debug)]
struct Claim {
    shared: Arc<Shared>,
    reader: usize,
    is_taken: AtomicBool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The scan was left out of the plan after all.
        if !*self.is_taken.get_mut() {
            self.shared.leave(self.reader);
        }
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Which readers have left. Beside the state, since who leaves cannot wait for it.
    gone: Vec<AtomicBool>,
    max_kept: usize,
}

impl Shared {
    fn new(n_readers: usize, max_kept: usize) -> Self {
        let readers = vec![Reader::Awaited; n_readers];
        let state = State { pieces: None, kept: VecDeque::new(), start: 0, readers };
        let gone = (0..n_readers).map(|_| AtomicBool::new(false)).collect();
        Self { state: Mutex::new(state), gone, max_kept }
    }

    fn leave(&self, reader: usize) {
        self.gone[reader].store(true, Ordering::Release);
        // A lock that is held is that of a reader who goes on, and will trim.
        if let Ok(mut state) = self.state.try_lock() {
            state.trim(self);
        }
    }
}

struct State {
    pieces: Option<PieceStream>,
    /// What has come and is still wanted by someone; the first one is number `start`.
    kept: VecDeque<Result<Piece, Error>>,
    start: usize,
    readers: Vec<Reader>,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Has not come yet.
    Awaited,
    /// Wants this piece next.
    At(usize),
    /// Too much was kept for it: it asks for itself, and passes over what it has.
    Alone,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Reader {
    /// Which piece it wants next of those that are shared.
    fn wants(self) -> Option<usize> {
        match self {
            Self::Awaited => Some(0),
            Self::At(wanted) => Some(wanted),
            Self::Alone => None,
        }
    }
}

impl State {
    /// Lets go of what nobody wants any more, or only those who are behind and who make it too much.
    fn trim(&mut self, shared: &Shared) {
        let here = |n: usize| !shared.gone[n].load(Ordering::Acquire);
        loop {
            let readers = self.readers.iter().enumerate();
            let wanted = readers.filter(|(n, _)| here(*n)).filter_map(|(_, r)| r.wants());
            let Some(last) = wanted.clone().min() else {
                self.pieces = None;
                self.start += self.kept.drain(..).len();
                return;
            };
            let first = wanted.max().unwrap_or(last);
            while self.start < last && self.kept.pop_front().is_some() {
                self.start += 1;
            }
            let kept = self.kept.iter().take(first - self.start);
            if first == last || kept.map(size).sum::<usize>() <= shared.max_kept {
                return;
            }
            let behind = self.readers.iter_mut().filter(|reader| reader.wants() == Some(last));
            behind.for_each(|reader| *reader = Reader::Alone);
        }
    }
}

/// How much a piece holds.
fn size(piece: &Result<Piece, Error>) -> usize {
    match piece {
        Ok(Piece::Group(group)) => group.tree.len(),
        Ok(Piece::Series(answer, _)) => {
            answer.series.iter().map(|series| series.points.len()).sum()
        }
        Ok(Piece::Overflow(..)) | Err(_) => 1,
    }
}

/// A shared answer in the hands of one of its readers.
pub(crate) struct Reading {
    shared: Arc<Shared>,
    reader: usize,
}

/// What a reader holds on its way.
struct Way<F> {
    reading: Reading,
    /// Asks anew.
    ask: F,
    /// The answer to a question of one's own.
    own: Option<PieceStream>,
    /// Which pieces were read, as long as they are shared: another answer need not have them in the same order.
    seen: HashSet<u128>,
}

impl Reading {
    /// The answer; `ask` asks for it if nobody has yet, or if this reader falls too far behind.
    pub(crate) fn read(self, ask: impl Fn() -> PieceStream + Send + 'static) -> PieceStream {
        let way = Way { reading: self, ask, own: None, seen: HashSet::new() };
        stream::unfold(way, |mut way| async move {
            let piece = way.next().await?;
            Some((piece, way))
        })
        .boxed()
    }
}

impl<F: Fn() -> PieceStream> Way<F> {
    async fn next(&mut self) -> Option<Result<Piece, Error>> {
        if self.own.is_none()
            && let Some(shared) = self.next_shared().await
        {
            return shared;
        }
        loop {
            let own = self.own.get_or_insert_with(&self.ask);
            let piece = own.next().await?;
            let is_known = |piece: &Piece| !self.seen.is_empty() && self.seen.contains(&key(piece));
            if !piece.as_ref().is_ok_and(is_known) {
                return Some(piece);
            }
        }
    }

    /// The next of the shared pieces; `None` if this reader has to ask for itself.
    async fn next_shared(&mut self) -> Option<Option<Result<Piece, Error>>> {
        let Reading { shared, reader } = &self.reading;
        let mut state = shared.state.lock().await;
        let at = state.readers[*reader].wants()?;
        state.readers[*reader] = Reader::At(at);
        if let (None, 0) = (&state.pieces, state.start + state.kept.len()) {
            state.pieces = Some((self.ask)());
        }
        let piece = match state.kept.get(at - state.start).cloned() {
            Some(piece) => piece,
            None => {
                let Some(pieces) = state.pieces.as_mut() else { return Some(None) };
                let Some(piece) = pieces.next().await else { return Some(None) };
                state.kept.push_back(piece.clone());
                piece
            }
        };
        state.readers[*reader] = Reader::At(at + 1);
        state.trim(shared);
        drop(state);
        self.seen.extend(piece.as_ref().ok().map(key));
        Some(Some(piece))
    }
}

/// What a piece is the answer to, within its request: in so many bits that no two are taken for one.
fn key(piece: &Piece) -> u128 {
    let half = |which: u8| {
        let mut hash = DefaultHasher::new();
        which.hash(&mut hash);
        match piece {
            Piece::Group(group) => (&group.labels, group.time).hash(&mut hash),
            Piece::Series(_, measures) => measures.hash(&mut hash),
            Piece::Overflow(_, select) => select.hash(&mut hash),
        }
        u128::from(hash.finish())
    };
    half(0) << 64 | half(1)
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shared.leave(self.reader);
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
            .map(|question| Arc::new(Shared::new(question.readers.len(), MAX_KEPT)))
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
                        let claim = Claim {
                            shared: Arc::clone(shared),
                            reader,
                            is_taken: AtomicBool::new(false),
                        };
                        tickets[*request] = Some(Ticket {
                            claim: Arc::new(claim),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use flamesql_backend::StackGroup;
    use flamesql_profile::{Labels, StackTree, Timestamp};

    use super::*;

    /// So many pieces; counts who asks for them.
    fn pieces(n: usize, asked: &Arc<AtomicUsize>) -> PieceStream {
        let asked = Arc::clone(asked);
        stream::once(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            stream::iter((0..n).map(|n| Ok(group(n))))
        })
        .flatten()
        .boxed()
    }

    /// A group as small as can be.
    fn group(n: usize) -> Piece {
        Piece::Group(Arc::new(StackGroup {
            labels: Labels::default(),
            time: Timestamp::from_nanos(i64::try_from(n).unwrap()),
            tree: StackTree::default(),
            has_negative: false,
        }))
    }

    async fn times(pieces: PieceStream) -> Vec<i64> {
        let time = |piece| match piece {
            Ok(Piece::Group(group)) => group.time.nanos(),
            _ => panic!("not a group"),
        };
        pieces.map(time).collect().await
    }

    fn tickets(n: usize, max_kept: usize) -> (Arc<Shared>, Vec<Ticket>) {
        let shared = Arc::new(Shared::new(n, max_kept));
        let ticket = |reader| {
            let is_taken = AtomicBool::new(false);
            let claim = Arc::new(Claim { shared: Arc::clone(&shared), reader, is_taken });
            Ticket { claim, reports: Vec::new() }
        };
        (Arc::clone(&shared), (0..n).map(ticket).collect())
    }

    /// Asks for ten pieces.
    fn asking(asked: &Arc<AtomicUsize>) -> impl Fn() -> PieceStream + Send + use<> {
        let asked = Arc::clone(asked);
        move || pieces(10, &asked)
    }

    async fn n_kept(shared: &Shared) -> usize {
        shared.state.lock().await.kept.len()
    }

    #[tokio::test]
    async fn what_is_kept_for_who_may_never_come_is_bounded() {
        for (max_kept, n_asked) in [(10, 1), (9, 2), (0, 2)] {
            let asked = Arc::new(AtomicUsize::new(0));
            let (shared, tickets) = tickets(2, max_kept);
            let [first, second] = [0, 1].map(|n| tickets[n].take().unwrap());
            let mut first = first.read(asking(&asked));
            for n in 1..=10 {
                assert!(first.next().await.is_some());
                assert!(n_kept(&shared).await <= n.min(max_kept));
            }
            // Who comes late has all of it, one way or the other.
            assert_eq!(times(second.read(asking(&asked))).await, (0..10).collect::<Vec<_>>());
            assert!(first.next().await.is_none());
            assert_eq!(asked.load(Ordering::Relaxed), n_asked, "{max_kept}");
            assert_eq!(n_kept(&shared).await, 0);
        }
    }

    /// Whoever begins, and whoever stops in between: the one that goes on reads all, and so does the other afterwards.
    #[tokio::test]
    async fn what_is_kept_for_who_stands_still_is_bounded() {
        for (n_before, the_first_stops) in
            [(1, true), (1, false), (4, true), (4, false), (10, true)]
        {
            let asked = Arc::new(AtomicUsize::new(0));
            let (shared, tickets) = tickets(2, 3);
            let mut readers = [0, 1].map(|n| tickets[n].take().unwrap().read(asking(&asked)));
            for _ in 0..n_before {
                for reader in &mut readers {
                    assert!(reader.next().await.is_some());
                }
            }
            let [first, second] = readers;
            let (mut stalled, mut other) =
                if the_first_stops { (first, second) } else { (second, first) };
            for _ in n_before..10 {
                assert!(other.next().await.is_some());
                assert!(n_kept(&shared).await <= 3);
            }
            assert!(other.next().await.is_none());
            let mut rest = Vec::new();
            while let Some(piece) = stalled.next().await {
                rest.extend(times(stream::iter([piece]).boxed()).await);
            }
            let before = i64::from(n_before);
            assert_eq!(rest, (before..10).collect::<Vec<_>>());
            let n_asked = if 10 - n_before > 3 { 2 } else { 1 };
            assert_eq!((asked.load(Ordering::Relaxed), n_kept(&shared).await), (n_asked, 0));
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_for_scans_that_are_left_out() {
        let asked = Arc::new(AtomicUsize::new(0));
        let (shared, mut tickets) = tickets(3, 100);
        let mut first = tickets[0].take().unwrap().read(asking(&asked));
        assert!(first.next().await.is_some());
        assert_eq!(n_kept(&shared).await, 1);
        let second = tickets[1].take().unwrap();
        drop(tickets.pop());
        assert_eq!(n_kept(&shared).await, 1);
        drop(second);
        assert_eq!(n_kept(&shared).await, 0);
        // A right is for one execution.
        assert!(tickets[1].take().is_none());
        assert_eq!(first.count().await, 9);
    }
}
