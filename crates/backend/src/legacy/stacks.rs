//! Merged stacks: complete.

use flamesql_profile::{Labels, StackTree, pprof};

use super::{
    Legacy,
    query::Query,
    render::{Want, render},
    time::{BUCKET, Span, time},
};
use crate::{Backend, Error, ErrorKind, Grouping, Report, Select, StackGroup};

/// The stacks of one group; `None` if there are none.
pub(super) async fn group(
    legacy: &Legacy,
    select: &Select,
    grouping: &Grouping,
    report: &Report,
) -> Result<Option<StackGroup>, Error> {
    if *grouping != Grouping::default() {
        let what = format!(
            "ask {} for the stacks of several groups: it merges all that is chosen into one",
            legacy.url()
        );
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    legacy.capabilities().check_only(&select.only)?;
    let query = Query::new(legacy, &select.profile_type, &select.selector, report).await?;
    let (Some(query), Some(span)) = (query, Span::of(select.range)) else { return Ok(None) };
    let rendered = render(legacy, &query, span, Want::Stacks, report).await?;
    let tree = match rendered.tree() {
        Some(tree) => tree,
        None => whole(legacy, &query, span, report).await?,
    };
    if tree.is_empty() {
        return Ok(None);
    }
    rendered.check_sum(&query, span, report);
    // The first bucket with data, where the timeline is that fine.
    let first = rendered.timeline.sums().next().map(|(at, _)| at);
    let first = first.filter(|_| rendered.timeline.step == BUCKET).unwrap_or(span.start);
    let labels = Labels::default();
    Ok(Some(StackGroup { labels, time: time(first), tree, has_negative: false }))
}

/// All stacks as pprof, which leaves none out and keeps every name as it is.
async fn whole(
    legacy: &Legacy,
    query: &Query,
    span: Span,
    report: &Report,
) -> Result<StackTree, Error> {
    let (text, from, until) = (query.text(), span.start.to_string(), span.end.to_string());
    let parameters =
        [("query", text.as_str()), ("from", &from), ("until", &until), ("format", "pprof")];
    let path = Want::Stacks.path();
    let bytes = legacy.calls.bytes(path, &parameters, report).await?;
    let profile = pprof::decode(&bytes).map_err(|error| legacy.calls.damaged(path, error))?;
    if profile.sample_types.is_empty() {
        return Err(legacy.calls.damaged(path, "a profile without a type"));
    }
    profile.tree(0).map_err(Error::sum)
}
