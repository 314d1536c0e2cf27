//! The answer to one request, piece by piece, however many questions to the source it takes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use flamesql_backend::{
    ErrorKind as BackendErrorKind, Grouping, Only, Select, SeriesAnswer, StackGroup, StackStream,
    Weigh,
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Error, ErrorKind,
    ask::{Plan, Request, narrow},
    rows::{Measures, Shape},
};

/// How many groups are asked for at once where each is a question of its own.
const CONCURRENT: usize = 8;

/// A part of an answer, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Series(Arc<SeriesAnswer>, Measures),
    Group(Arc<StackGroup>),
    /// A sum was formed that does not fit, which need not be one that the statement asked for: of this group, or of the
    /// whole request.
    Overflow(Error, Option<Box<Select>>),
}

/// Nothing is asked before it is polled; dropping it stops the work.
pub(crate) type PieceStream = BoxStream<'static, Result<Piece, Error>>;

/// The answer to a request. `asked` counts the questions of all requests of a scan. Where there are `sums`, they are
/// asked for instead of stacks if the source has them more cheaply.
pub(crate) fn pieces(
    plan: &Arc<Plan>,
    request: &Request,
    asked: &Arc<AtomicUsize>,
    sums: Vec<(Measures, Arc<dyn Weigh>)>,
) -> PieceStream {
    let (plan, request, asked) = (Arc::clone(plan), request.clone(), Arc::clone(asked));
    stream::once(async move {
        count(&plan, &asked, plan.least(&request))?;
        if request.shape == Shape::Points {
            return Ok(series(plan, request));
        }
        if let Some(sums) = weighed(&plan, &request, sums).await {
            return Ok(sums);
        }
        if plan.is_one_question(&request) {
            let backend = &plan.source.backend;
            let (select, grouping) = (request.select.clone(), request.grouping.clone());
            return Ok(groups(backend.stacks(select, grouping, plan.report.clone())));
        }
        one_by_one(plan, request, &asked).await
    })
    .try_flatten()
    .boxed()
}

fn count(plan: &Plan, asked: &AtomicUsize, n_more: usize) -> Result<(), Error> {
    let n = asked.fetch_add(n_more, Ordering::Relaxed).saturating_add(n_more);
    match n > plan.options.max_requests {
        true => Err(plan.too_many(n)),
        false => Ok(()),
    }
}

fn series(plan: Arc<Plan>, request: Request) -> PieceStream {
    stream::once(async move {
        let backend = &plan.source.backend;
        match backend.series(&request.select, &request.grouping, &plan.report).await {
            Ok(answer) => Ok(Piece::Series(Arc::new(answer), Measures::Both)),
            Err(error) => failed(error),
        }
    })
    .boxed()
}

/// `None` if the source has to be asked for stacks.
async fn weighed(
    plan: &Plan,
    request: &Request,
    sums: Vec<(Measures, Arc<dyn Weigh>)>,
) -> Option<PieceStream> {
    let mut pieces = Vec::new();
    for (measures, weigh) in sums {
        let Request { select, grouping, .. } = request;
        match plan.source.backend.weighed(select, grouping, weigh, &plan.report).await {
            Ok(answer) => pieces.push(Ok(Piece::Series(Arc::new(answer?), measures))),
            Err(error) => {
                pieces = vec![failed(error)];
                break;
            }
        }
    }
    (!pieces.is_empty()).then(|| stream::iter(pieces).boxed())
}

fn groups(stream: StackStream) -> PieceStream {
    stream
        .map(|group| match group {
            Ok(group) => Ok(Piece::Group(Arc::new(group))),
            Err(error) => failed(error),
        })
        .boxed()
}

fn failed(error: flamesql_backend::Error) -> Result<Piece, Error> {
    match error.kind() {
        BackendErrorKind::Overflow => Ok(Piece::Overflow(error.into(), None)),
        _ => Err(error.into()),
    }
}

/// Which groups there are is found first, exactly; then each is asked for by itself.
async fn one_by_one(
    plan: Arc<Plan>,
    request: Request,
    asked: &AtomicUsize,
) -> Result<PieceStream, Error> {
    let backend = Arc::clone(&plan.source.backend);
    // Groups that the narrower choice leaves nothing of are among them, and come out empty.
    let select = Select { only: Only::All, ..request.select.clone() };
    let found = backend.series(&select, &request.grouping, &plan.report).await?;
    // A label that the list of names lacks would not tell one label set from a larger one.
    let mut names: BTreeSet<&str> =
        plan.label_names(&request).await?.iter().map(String::as_str).collect();
    names.extend(found.series.iter().flat_map(|series| series.labels.iter().map(|(name, _)| name)));
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let mut all = Vec::new();
    for series in found.series {
        for point in series.points {
            let select =
                narrow(&request.select, &request.grouping, &names, &series.labels, point.time);
            all.push((select, series.labels.clone(), point.time));
        }
    }
    let n = all
        .iter()
        .fold(0, |n: usize, (select, ..)| n.saturating_add(plan.least_of_group(select.range)));
    count(&plan, asked, n)?;
    let report = plan.report.clone();
    let pieces = stream::iter(all).map(move |(select, labels, time)| {
        let stream = backend.stacks(select.clone(), Grouping::default(), report.clone());
        // Under the labels and the time that the group has in a larger answer.
        async move {
            let group = groups(stream).next().await?;
            Some(group.map(|piece| match piece {
                Piece::Group(group) => {
                    let group = Arc::unwrap_or_clone(group);
                    Piece::Group(Arc::new(StackGroup { labels, time, ..group }))
                }
                Piece::Overflow(error, _) => Piece::Overflow(error, Some(Box::new(select))),
                piece => piece,
            }))
        }
    });
    Ok(pieces.buffered(CONCURRENT).filter_map(|piece| async { piece }).boxed())
}

/// Lets an answer come while another one is read. It stops when the stream is dropped.
pub(crate) fn spawn(mut pieces: PieceStream) -> PieceStream {
    let (sender, receiver) = mpsc::channel(1);
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Some(piece) = pieces.next().await {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    stream::unfold((receiver, task), |(mut receiver, mut task)| async move {
        if let Some(piece) = receiver.recv().await {
            return Some((piece, (receiver, task)));
        }
        // A task that died must not look like the end of the answer.
        let died = task.join_next().await?.err()?;
        let what = Error::new(ErrorKind::Internal, "read an answer: the task died");
        Some((Err(what.with_source(died)), (receiver, task)))
    })
    .boxed()
}
