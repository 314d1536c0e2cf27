//! Stacks as pprof. A source tells functions and no lines, so each function is one location.

use flamesql_backend::Only;
use flamesql_profile::{ProfileType, StackTree, Timestamp, pprof};
use flamesql_proto::{google::v1::Profile, querier::v1::SelectMergeProfileRequest};
use prost::Message as _;

use crate::{
    Served,
    connect::Asked,
    fault::{Code, Fault},
    question::{Millis, call_site, check_pgo, max_nodes, only, profile_type, select},
    series::CallSite,
    stacks::merged,
};

pub(crate) async fn merge_profile(
    served: Served,
    Asked { message, .. }: Asked<SelectMergeProfileRequest>,
) -> Result<Profile, Fault> {
    let millis = Millis::new(message.start, message.end, served.options())?;
    let only: Only = only(
        &[],
        &message.trace_id_selector,
        &message.profile_id_selector,
        served.options().guise,
    )?;
    // All of it, unless it is asked for less.
    let max_nodes = match message.max_nodes {
        None | Some(0) => 0,
        asked => max_nodes(asked, served.options().guise)?,
    };
    check_pgo(message.stack_trace_selector.as_ref())?;
    let select = select(
        &message.profile_type_id,
        &message.label_selector,
        millis.range(),
        only,
        served.options().guise,
        &mut served.options().regex_budget(),
    )?;
    let tree = match select {
        Some(select) => merged(&served, select).await?,
        None => StackTree::default(),
    };
    let site = CallSite(call_site(message.stack_trace_selector.as_ref()));
    let profile_type = profile_type(&message.profile_type_id)?;
    message_of(&profile_type, &site.keep(tree), max_nodes, millis)
}

/// A tree as pprof that was taken at the end of its range.
pub(crate) fn message_of(
    profile_type: &ProfileType,
    tree: &StackTree,
    max_nodes: usize,
    millis: Millis,
) -> Result<Profile, Fault> {
    if tree.is_empty() && !millis.guise.tells_durations() {
        // Storage v2 says nothing where there is nothing.
        return Ok(Profile::default());
    }
    let (tree, _) = tree.truncate(max_nodes)?;
    let nanos = |millis: i64| millis.saturating_mul(1_000_000);
    let time = Timestamp::from_nanos(nanos(millis.end));
    let duration = match millis.guise.tells_durations() {
        true => nanos(millis.end - millis.start),
        false => 0,
    };
    let mut profile = pprof::Profile::from_tree(profile_type, &tree, time, duration)?;
    profile.period = match profile_type.name() {
        "process_cpu" => 1_000_000_000,
        "memory" => 524_288,
        _ => 1,
    };
    profile.default_sample_type = profile.intern(profile_type.sample_type());
    let bytes = pprof::encode(&profile);
    Profile::decode(bytes.as_slice())
        .map_err(|error| Fault::new(Code::Internal, format!("pprof of our own: {error}")))
}
