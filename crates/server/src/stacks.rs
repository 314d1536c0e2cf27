//! Stacks, added up: as a flame graph, a tree or pprof, of one selection or of two side by side.

use flamesql_backend::{Grouping, Only, Select, StackGroup};
use flamesql_profile::{
    StackTree,
    flamebearer::{DiffLevels, Levels},
    pyroscope_tree,
};
use flamesql_proto::querier::v1::{
    DiffRequest, DiffResponse, FlameGraph, FlameGraphDiff, Level, PprofProfile, ProfileFormat,
    SelectMergeSpanProfileRequest, SelectMergeSpanProfileResponse, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse,
};
use flamesql_selector::RegexBudget;
use futures::TryStreamExt;

use crate::{
    Served,
    connect::Asked,
    fault::{Code, Fault},
    ids,
    pprof::message_of,
    question::{Millis, call_site, check_ids, check_pgo, max_nodes, only, profile_type, select},
    series::CallSite,
    served::report,
};

pub(crate) async fn merge_stacktraces(
    served: Served,
    Asked { message, .. }: Asked<SelectMergeStacktracesRequest>,
) -> Result<SelectMergeStacktracesResponse, Fault> {
    let question = Question::new(&served, &message, &mut served.options().regex_budget())?;
    let format = served.options().guise.format(message.format())?;
    if format == ProfileFormat::Pprof {
        check_pgo(message.stack_trace_selector.as_ref())?;
    }
    let tree = question.tree(&served).await?;
    let Question { max_nodes, millis, .. } = question;
    let mut answer = SelectMergeStacktracesResponse::default();
    match format {
        ProfileFormat::Tree => answer.tree = bytes_of(&tree, max_nodes)?.into(),
        ProfileFormat::Pprof => {
            // Of pprof nothing is cut unless it is asked for.
            let max_nodes = message.max_nodes.map_or(0, |_| max_nodes);
            let profile_type = profile_type(&message.profile_type_id)?;
            let profile = message_of(&profile_type, &tree, max_nodes, millis)?;
            answer.pprof = Some(PprofProfile { profile: Some(profile) });
        }
        _ => answer.flamegraph = Some(graph_of(&tree, max_nodes)?),
    }
    Ok(answer)
}

pub(crate) async fn merge_spans(
    served: Served,
    Asked { message, .. }: Asked<SelectMergeSpanProfileRequest>,
) -> Result<SelectMergeSpanProfileResponse, Fault> {
    let millis = Millis::new(message.start, message.end, served.options())?;
    check_ids("span", &message.span_selector, 16)?;
    let format = served.options().guise.format_of_spans(message.format())?;
    let spans = Only::Spans(message.span_selector.clone());
    let question = Question {
        select: select(
            &message.profile_type_id,
            &message.label_selector,
            millis.range(),
            spans,
            served.options().guise,
            &mut served.options().regex_budget(),
        )?,
        site: CallSite(Vec::new()),
        max_nodes: max_nodes(message.max_nodes, served.options().guise)?,
        millis,
    };
    let (tree, max_nodes) = (question.tree(&served).await?, question.max_nodes);
    let mut answer = SelectMergeSpanProfileResponse::default();
    match format {
        ProfileFormat::Tree => answer.tree = bytes_of(&tree, max_nodes)?.into(),
        _ => answer.flamegraph = Some(graph_of(&tree, max_nodes)?),
    }
    Ok(answer)
}

pub(crate) async fn diff(
    served: Served,
    Asked { message, .. }: Asked<DiffRequest>,
) -> Result<DiffResponse, Fault> {
    let (Some(left), Some(right)) = (message.left, message.right) else {
        return Err(Fault::invalid("missing left or right side of the diff"));
    };
    let mut budget = served.options().regex_budget();
    let sides =
        [Question::new(&served, &left, &mut budget)?, Question::new(&served, &right, &mut budget)?];
    let [left, right] = &sides;
    let max_nodes = left.max_nodes.max(right.max_nodes);
    let (left, right) = futures::future::try_join(left.tree(&served), right.tree(&served)).await?;
    let graph = DiffLevels::encode(&left, &right, max_nodes)?;
    Ok(DiffResponse { flamegraph: Some(diff_message(graph)?) })
}

/// What is asked of stacks.
struct Question {
    /// `None` if nothing can be found.
    select: Option<Select>,
    site: CallSite,
    max_nodes: usize,
    millis: Millis,
}

impl Question {
    fn new(
        served: &Served,
        message: &SelectMergeStacktracesRequest,
        budget: &mut RegexBudget,
    ) -> Result<Self, Fault> {
        let millis = Millis::new(message.start, message.end, served.options())?;
        let guise = served.options().guise;
        let only = only(
            &message.span_selector,
            &message.trace_id_selector,
            &message.profile_id_selector,
            guise,
        )?;
        Ok(Self {
            select: select(
                &message.profile_type_id,
                &message.label_selector,
                millis.range(),
                only,
                guise,
                budget,
            )?,
            site: match guise.chooses_stacks() {
                true => CallSite(call_site(message.stack_trace_selector.as_ref())),
                false => CallSite(Vec::new()),
            },
            max_nodes: max_nodes(message.max_nodes, guise)?,
            millis,
        })
    }

    async fn tree(&self, served: &Served) -> Result<StackTree, Fault> {
        let Some(select) = &self.select else { return Ok(StackTree::default()) };
        let tree = merged(served, select.clone()).await?;
        Ok(self.site.keep(tree))
    }
}

/// All stacks of a selection in one tree.
pub(crate) async fn merged(served: &Served, mut select: Select) -> Result<StackTree, Fault> {
    ids::resolved(served, &mut select).await?;
    let groups = served.backend().stacks(select, Grouping::default(), report());
    // All in one group: there is one, or none. What is missing is known at the end.
    let mut groups: Vec<StackGroup> = groups.try_collect().await?;
    Ok(groups.pop().map(|group| group.tree).unwrap_or_default())
}

fn bytes_of(tree: &StackTree, max_nodes: usize) -> Result<Vec<u8>, Fault> {
    if let Some((node, value)) = tree.stacks().find(|(_, value)| *value < 0) {
        let stack = tree.path(node).join(";");
        let message = format!("a tree cannot show the stack {stack:?}, whose value is {value}");
        return Err(Fault::new(Code::Unimplemented, message));
    }
    let (tree, _) = tree.truncate(max_nodes)?;
    Ok(pyroscope_tree::encode(&tree))
}

pub(crate) fn graph_of(tree: &StackTree, max_nodes: usize) -> Result<FlameGraph, Fault> {
    let (tree, _) = tree.truncate(max_nodes)?;
    let Levels { names, levels, total, max_self } = Levels::encode(&tree, 0)?;
    let levels = levels.into_iter().map(|values| Level { values }).collect();
    Ok(FlameGraph { names, levels, total, max_self })
}

fn diff_message(graph: DiffLevels) -> Result<FlameGraphDiff, Fault> {
    let total = graph.total()?;
    let DiffLevels { names, levels, left_ticks, right_ticks, max_self } = graph;
    let levels = levels.into_iter().map(|values| Level { values }).collect();
    Ok(FlameGraphDiff { names, levels, total, max_self, left_ticks, right_ticks })
}
