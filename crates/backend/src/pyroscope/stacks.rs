//! Merged stacks: complete, and exact in time.

use bytes::Bytes;
use flamesql_profile::{
    Labels, StackTree, StackTreeBuilder, flamebearer::Levels, pprof, pyroscope_tree,
};
use flamesql_proto::querier::v1::{
    FlameGraph, ProfileFormat, SelectMergeProfileRequest, SelectMergeSpanProfileRequest,
    SelectMergeSpanProfileResponse, SelectMergeStacktracesRequest, SelectMergeStacktracesResponse,
};
use futures::future;

use super::{
    Pyroscope,
    millis::{Millis, time},
    rpc::Method,
    series::wrapped,
    shapes,
};
use crate::{
    Error, ErrorKind, Grouping, Notice, Only, Report, Select, StackGroup, http::Answer, is_uuid,
};

pub(super) const MERGE: Method = Method {
    path: "/querier.v1.QuerierService/SelectMergeStacktraces",
    what: "ask for stacks",
    answer: Answer::Stacks,
    shape: &shapes::STACKS,
};
const MERGE_SPANS: Method = Method {
    path: "/querier.v1.QuerierService/SelectMergeSpanProfile",
    what: "ask for the stacks of spans",
    answer: Answer::Stacks,
    shape: &shapes::SPANS,
};
const MERGE_PROFILE: Method = Method {
    path: "/querier.v1.QuerierService/SelectMergeProfile",
    what: "ask for stacks as pprof",
    answer: Answer::Stacks,
    shape: &shapes::BYTES,
};

/// The id of no profile.
const NO_PROFILE: &str = "00000000-0000-0000-0000-000000000000";

/// As many as a server takes unless it is told otherwise.
pub(super) const MAX_NODES: i64 = 1 << 20;

/// The stacks of one group; `None` if there are none.
pub(super) async fn group(
    source: &Pyroscope,
    select: &Select,
    grouping: &Grouping,
    report: &Report,
) -> Result<Option<StackGroup>, Error> {
    if *grouping != Grouping::default() {
        let what = format!(
            "ask {} for the stacks of several groups: it merges all that is chosen into one",
            source.rpc.base()
        );
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let question = Question::new(source, select, MAX_NODES, report).await?;
    let (Some(question), Some(range)) = (question, source.millis(select.range)) else {
        return Ok(None);
    };
    question.check_traces(range).await?;
    question.check_profiles(range).await?;
    let tree = match source.exact_end(select) == Some(range.end) {
        true => question.closed(range).await?,
        false => question.exact(range).await?,
    };
    Ok((!tree.is_empty()).then(|| StackGroup {
        labels: Labels::default(),
        time: time(range.start),
        tree,
        has_negative: false,
    }))
}

/// The sum of all stacks of a range: right however few nodes are asked for.
pub(super) async fn total(
    source: &Pyroscope,
    select: &Select,
    range: Millis,
    is_exact: bool,
    report: &Report,
) -> Result<i64, Error> {
    match Question::new(source, select, 1, report).await? {
        Some(question) if is_exact => sum(&question.closed(range).await?),
        Some(question) => question.exact_total(range).await,
        None => Ok(0),
    }
}

/// What is asked, as the server is told.
#[derive(Clone)]
struct Question<'a> {
    source: &'a Pyroscope,
    id: String,
    selector: String,
    only: Only,
    max_nodes: i64,
    report: &'a Report,
}

impl<'a> Question<'a> {
    /// `None` if the choice is of none.
    async fn new(
        source: &'a Pyroscope,
        select: &Select,
        max_nodes: i64,
        report: &'a Report,
    ) -> Result<Option<Self>, Error> {
        use crate::Backend as _;
        source.capabilities().check_only(&select.only)?;
        source.check_type(&select.profile_type)?;
        let selector = source.selector(&select.selector, select.range, report).await?;
        // What is no id is none that a sample could have; a server takes it for a mistake.
        let ids = |ids: &[String], is_id: fn(&str) -> bool| {
            let ids = ids.iter().map(|id| id.to_ascii_lowercase());
            ids.filter(|id| is_id(id)).collect::<Vec<_>>()
        };
        let only = match &select.only {
            Only::All => Only::All,
            Only::Spans(spans) => Only::Spans(ids(spans, |id| is_hex(id, 16))),
            Only::Traces(traces) => Only::Traces(ids(traces, |id| is_hex(id, 32))),
            Only::Profiles(profiles) => Only::Profiles(ids(profiles, is_uuid)),
        };
        if let Only::Spans(ids) | Only::Traces(ids) | Only::Profiles(ids) = &only
            && ids.is_empty()
        {
            return Ok(None);
        }
        let id = select.profile_type.as_str().to_owned();
        Ok(Some(Self { source, id, selector, only, max_nodes, report }))
    }

    /// Refuses a choice by trace where the server would pass over it, which older ones do without a word.
    ///
    /// It is asked for a trace that cannot be: one that looks at the choice says so, one that does not gives stacks. Where
    /// it gives none there are none, and whether it looks is not known yet.
    async fn check_traces(&self, range: Millis) -> Result<(), Error> {
        let Only::Traces(_) = &self.only else { return Ok(()) };
        let known = &self.source.knows_traces;
        if known.get().is_none() {
            let only = Only::Traces(vec!["none".to_owned()]);
            let probe = Self { only, max_nodes: 1, ..self.clone() };
            match probe.merge(range.start, range.end + 1).await {
                Ok(merged) => match merged.decode(self)?.is_empty() {
                    true => return Ok(()),
                    false => known.set(false).unwrap_or_default(),
                },
                Err(error) if error.to_string().contains("trace id") => {
                    known.set(true).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    known.set(false).unwrap_or_default();
                }
                Err(error) => return Err(error),
            }
        }
        if known.get() == Some(&true) {
            return Ok(());
        }
        let what = format!(
            "choose by trace at {}: this server passes over such a choice; Pyroscope 2.2 makes it",
            self.source.rpc.base()
        );
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// Refuses a choice by profile where the server would pass over it: before 1.17, and where it reads what is asked for
    /// from storage v1 as well. Of a profile that cannot be it has stacks only if it does.
    async fn check_profiles(&self, range: Millis) -> Result<(), Error> {
        let Only::Profiles(_) = &self.only else { return Ok(()) };
        let only = Only::Profiles(vec![NO_PROFILE.to_owned()]);
        let probe = Self { only, max_nodes: 1, ..self.clone() };
        if probe.merge(range.start, range.end + 1).await?.decode(self)?.is_empty() {
            return Ok(());
        }
        let what = format!(
            "choose by profile at {}: this server passes over such a choice; Pyroscope 1.17 and later make it where they \
             read from storage v2 alone",
            self.source.rpc.base()
        );
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// The stacks from the start up to the last millisecond, as the server reads it.
    async fn closed(&self, Millis { start, end }: Millis) -> Result<StackTree, Error> {
        Ok(self.ask(start, end - 1).await?.0)
    }

    /// The stacks of `[start, end)`: see `millis.rs`. What lies on the end is asked for as well, and taken off.
    async fn exact(&self, range: Millis) -> Result<StackTree, Error> {
        self.twice(range, |all, border| less(&all, &border)).await
    }

    /// As `exact`, the sum alone.
    async fn exact_total(&self, range: Millis) -> Result<i64, Error> {
        self.twice(range, |all, border| {
            let (all, border) = (sum(&all)?, sum(&border)?);
            Ok(all.checked_sub(border).filter(|value| *value >= 0))
        })
        .await
    }

    /// Asks for both answers, and once more if one does not fit the other: data came in between.
    ///
    /// Both are of one form: a tree and pprof may call one function by two names, such as one that has no symbol.
    async fn twice<T>(
        &self,
        Millis { start, end }: Millis,
        subtract: impl Fn(StackTree, StackTree) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        for _ in 0..2 {
            let ((mut all, of_all), (mut border, of_border)) =
                future::try_join(self.ask(start, end + 1), self.ask(end, end + 1)).await?;
            match (of_all, of_border) {
                (Form::Pprof, Form::Tree) if !border.is_empty() => {
                    border = self.pprof(end, end + 1).await?;
                }
                (Form::Tree, Form::Pprof) => all = self.pprof(start, end + 1).await?,
                _ => {}
            }
            if let Some(answer) = subtract(all, border)? {
                return Ok(answer);
            }
        }
        let what = format!(
            "cannot tell the stacks of {} at {}: data came in while they were asked for, twice",
            Millis { start, end }.range(),
            self.source.rpc.base()
        );
        Err(Error::new(ErrorKind::Changed, what)
            .with_hint("ask again, or for a range that ended a while ago"))
    }

    /// What the server has between two milliseconds, both included in its own way.
    async fn ask(&self, start: i64, end: i64) -> Result<(StackTree, Form), Error> {
        let merged = match &self.only {
            Only::Spans(_) => self.spans(start, end).await?,
            _ => match self.merge(start, end).await {
                // The server's own limit is lower; pprof has none, or one of its own.
                Err(error) if error.to_string().contains("max flamegraph nodes limit") => {
                    return Ok((self.pprof(start, end).await?, Form::Pprof));
                }
                merged => merged?,
            },
        };
        let tree = merged.decode(self)?;
        if tree.stacks().any(|(_, value)| value < 0) {
            return Err(wrapped());
        }
        if self.max_nodes > 1 && is_cut(&tree, self.max_nodes) {
            return match &self.only {
                Only::Spans(_) => Err(self.too_many()),
                _ => Ok((self.pprof(start, end).await?, Form::Pprof)),
            };
        }
        Ok((tree, Form::Tree))
    }

    fn too_many(&self) -> Error {
        let what = format!(
            "ask {} for the stacks of spans: there are more than {MAX_NODES}, and it cuts off the rest",
            self.source.rpc.base()
        );
        Error::new(ErrorKind::Unsupported, what).with_hint("name fewer spans, or a shorter range")
    }

    async fn merge(&self, start: i64, end: i64) -> Result<Merged, Error> {
        let mut question = SelectMergeStacktracesRequest {
            profile_type_id: self.id.clone(),
            label_selector: self.selector.clone(),
            start,
            end,
            max_nodes: Some(self.max_nodes),
            ..SelectMergeStacktracesRequest::default()
        };
        if self.source.generation.knows_trees() {
            question.set_format(ProfileFormat::Tree);
        }
        match &self.only {
            Only::Traces(ids) => question.trace_id_selector.clone_from(ids),
            Only::Profiles(ids) => question.profile_id_selector.clone_from(ids),
            _ => {}
        }
        let answer: SelectMergeStacktracesResponse =
            self.source.rpc.call(MERGE, &question, self.report).await?;
        Ok(Merged { tree: answer.tree, graph: answer.flamegraph })
    }

    async fn spans(&self, start: i64, end: i64) -> Result<Merged, Error> {
        let Only::Spans(ids) = &self.only else { return self.merge(start, end).await };
        let mut question = SelectMergeSpanProfileRequest {
            profile_type_id: self.id.clone(),
            label_selector: self.selector.clone(),
            span_selector: ids.clone(),
            start,
            end,
            max_nodes: Some(self.max_nodes),
            ..SelectMergeSpanProfileRequest::default()
        };
        question.set_format(ProfileFormat::Tree);
        let answer: SelectMergeSpanProfileResponse =
            self.source.rpc.call(MERGE_SPANS, &question, self.report).await?;
        Ok(Merged { tree: answer.tree, graph: answer.flamegraph })
    }

    /// As pprof, which is cut only where a server is told to, and takes several times as long.
    async fn pprof(&self, start: i64, end: i64) -> Result<StackTree, Error> {
        let mut question = SelectMergeProfileRequest {
            profile_type_id: self.id.clone(),
            label_selector: self.selector.clone(),
            start,
            end,
            ..SelectMergeProfileRequest::default()
        };
        match &self.only {
            Only::Traces(ids) => question.trace_id_selector.clone_from(ids),
            Only::Profiles(ids) => question.profile_id_selector.clone_from(ids),
            _ => {}
        }
        let bytes = self.source.rpc.call_raw(MERGE_PROFILE, &question, self.report).await?;
        let tree = pprof::decode(&bytes).and_then(|profile| match profile.n_samples() {
            0 => Ok(StackTree::default()),
            _ => profile.tree(0),
        });
        tree.map_err(|error| self.damaged(error))
    }

    /// Says so where names of functions were no UTF-8.
    fn note_replaced(&self, n_texts: usize) {
        if n_texts > 0 {
            self.report.add_notice(Notice {
                subject: self.source.rpc.base().to_owned(),
                reason: format!(
                    "{n_texts} names of functions are not UTF-8; what is not is shown as \u{fffd}"
                ),
                is_missing: false,
            });
        }
    }

    fn damaged(&self, error: flamesql_profile::Error) -> Error {
        if error.kind() == flamesql_profile::ErrorKind::Overflow {
            return Error::sum(error);
        }
        let what = format!("cannot read the stacks of {}: {error}", self.source.rpc.base());
        Error::new(ErrorKind::Unreadable, what).with_source(error)
    }
}

/// How stacks were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As a tree or a flame graph, which have the same names.
    Tree,
    Pprof,
}

/// Stacks in one of the forms in which a server answers, whatever it was asked for.
struct Merged {
    tree: Bytes,
    graph: Option<FlameGraph>,
}

impl Merged {
    fn decode(self, question: &Question<'_>) -> Result<StackTree, Error> {
        let decoded = match self.graph {
            Some(graph) if self.tree.is_empty() => {
                let FlameGraph { names, levels, total, max_self } = graph;
                let levels = levels.into_iter().map(|level| level.values).collect();
                Levels { names, levels, total, max_self }.decode()
            }
            _ => pyroscope_tree::decode(&self.tree).map(|decoded| {
                question.note_replaced(decoded.replaced_texts());
                decoded.into_tree()
            }),
        };
        decoded.map_err(|error| question.damaged(error))
    }
}

/// Whether the server may have left nodes out. It keeps at least as many as it is asked for where there are more, and
/// calls the rest `other`, as a function may be called as well.
fn is_cut(tree: &StackTree, max_nodes: i64) -> bool {
    tree.len() as u64 > max_nodes.unsigned_abs() && tree.has_other()
}

fn sum(tree: &StackTree) -> Result<i64, Error> {
    tree.total().map_err(Error::sum)
}

/// One tree less another, which is nearly always empty; `None` if something of the other is not in the first.
fn less(all: &StackTree, border: &StackTree) -> Result<Option<StackTree>, Error> {
    if border.is_empty() {
        return Ok(Some(all.clone()));
    }
    let mut builder = StackTreeBuilder::new();
    builder.merge(all).map_err(Error::sum)?;
    let n_nodes = builder.len();
    let nodes = builder.merge_shape(border).map_err(Error::sum)?;
    for (node, value) in border.stacks() {
        builder.add(nodes[node.index()], -value).map_err(Error::sum)?;
    }
    let tree = builder.finish();
    let is_right = tree.len() == n_nodes && tree.stacks().all(|(_, value)| value >= 0);
    Ok(is_right.then_some(tree))
}

fn is_hex(id: &str, len: usize) -> bool {
    id.len() == len && id.bytes().all(|b| b.is_ascii_hexdigit())
}
