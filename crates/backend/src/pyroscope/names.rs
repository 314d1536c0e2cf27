//! What there is to ask about: profile types, labels, label sets.
//!
//! Storage keeps names by block, so that a server may list a little more than a range has. What matters is that nothing
//! is missing: Phlare looks for names only among what came last, so values are taken from a series there.

use std::collections::BTreeSet;

use flamesql_profile::{Labels, ProfileType, TimeRange, Timestamp};
use flamesql_proto::{
    querier::v1::{ProfileTypesRequest, ProfileTypesResponse, SeriesRequest, SeriesResponse},
    types::v1::{
        GetProfileStatsRequest, GetProfileStatsResponse, LabelNamesRequest, LabelNamesResponse,
        LabelPair, LabelValuesRequest, LabelValuesResponse,
    },
};
use flamesql_selector::{Matcher, Selector};

use super::{Pyroscope, millis::time, rpc::Method, shapes};
use crate::{Bins, Error, GroupBy, Grouping, LabelSet, MetaQuery, Report, Select, http::Answer};

const PROFILE_TYPES: Method = Method {
    path: "/querier.v1.QuerierService/ProfileTypes",
    what: "list the profile types",
    answer: Answer::List,
    shape: &shapes::PROFILE_TYPES,
};
const LABEL_NAMES: Method = Method {
    path: "/querier.v1.QuerierService/LabelNames",
    what: "list the label names",
    answer: Answer::List,
    shape: &shapes::NAMES,
};
const LABEL_VALUES: Method = Method {
    path: "/querier.v1.QuerierService/LabelValues",
    what: "list the values of a label",
    answer: Answer::List,
    shape: &shapes::NAMES,
};
const SERIES: Method = Method {
    path: "/querier.v1.QuerierService/Series",
    what: "list the label sets",
    answer: Answer::List,
    shape: &shapes::LABEL_SETS,
};

const STATISTICS: Method = Method {
    path: "/querier.v1.QuerierService/GetProfileStats",
    what: "ask since when there are profiles",
    answer: Answer::List,
    shape: &shapes::BYTES,
};

/// The label that stands for the profile type.
const PROFILE_TYPE: &str = "__profile_type__";

pub(super) async fn profile_types(
    source: &Pyroscope,
    range: TimeRange,
    report: &Report,
) -> Result<Vec<ProfileType>, Error> {
    let Some((start, end)) = source.meta_range(range) else { return Ok(Vec::new()) };
    let question = ProfileTypesRequest { start, end };
    let answer: ProfileTypesResponse = source.rpc.call(PROFILE_TYPES, &question, report).await?;
    // An id that is none of ours names nothing that could be asked for.
    let types = answer.profile_types.iter().filter_map(|t| ProfileType::parse(&t.id).ok());
    let types: BTreeSet<ProfileType> = types.collect();
    Ok(types.into_iter().collect())
}

/// The times of the oldest and the newest profile that the server tells of.
pub(super) async fn first_and_last(
    source: &Pyroscope,
) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let question = GetProfileStatsRequest {};
    let answer: GetProfileStatsResponse =
        source.rpc.call(STATISTICS, &question, &Report::new()).await?;
    let (first, last) = (answer.oldest_profile_time, answer.newest_profile_time);
    Ok((answer.data_ingested && first <= last).then(|| (time(first), time(last))))
}

/// Names of labels, of profiles of any type.
pub(super) async fn label_names(
    source: &Pyroscope,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let Some(range) = source.meta_range(query.range) else { return Ok(Vec::new()) };
    let matchers = matchers(source, query, None, report).await?;
    all_names(source, matchers, range, report).await
}

/// As `label_names`, of a range and a selector as the server reads them.
pub(super) async fn all_names(
    source: &Pyroscope,
    matchers: Vec<String>,
    (start, end): (i64, i64),
    report: &Report,
) -> Result<Vec<String>, Error> {
    let question = LabelNamesRequest { matchers, start, end };
    let answer: LabelNamesResponse = source.rpc.call(LABEL_NAMES, &question, report).await?;
    let names: BTreeSet<String> =
        answer.names.into_iter().filter(|name| !name.starts_with("__")).collect();
    Ok(names.into_iter().collect())
}

/// The values of a label, of profiles of any type; at Phlare of the given one.
pub(super) async fn label_values(
    source: &Pyroscope,
    name: &str,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let Some(range) = source.meta_range(query.range) else { return Ok(Vec::new()) };
    if name.starts_with("__") || name.is_empty() {
        return Ok(Vec::new());
    }
    if !source.generation.lists_by_range() {
        return of_series(source, name, query, report).await;
    }
    let matchers = matchers(source, query, None, report).await?;
    all_values(source, name, matchers, range, report).await
}

/// As `label_values`, of a range and a selector as the server reads them.
pub(super) async fn all_values(
    source: &Pyroscope,
    name: &str,
    matchers: Vec<String>,
    (start, end): (i64, i64),
    report: &Report,
) -> Result<Vec<String>, Error> {
    let question = LabelValuesRequest { name: name.to_owned(), matchers, start, end };
    let answer: LabelValuesResponse = source.rpc.call(LABEL_VALUES, &question, report).await?;
    let values: BTreeSet<String> =
        answer.names.into_iter().filter(|value| !value.is_empty()).collect();
    Ok(values.into_iter().collect())
}

/// The values of a label that have data in the range.
async fn of_series(
    source: &Pyroscope,
    name: &str,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let types = match &query.profile_type {
        Some(profile_type) => vec![profile_type.clone()],
        None => profile_types(source, query.range, report).await?,
    };
    let grouping = Grouping { labels: GroupBy::Labels(vec![name.to_owned()]), time: Bins::Whole };
    let mut values = BTreeSet::new();
    for profile_type in types {
        let select = Select::new(profile_type, query.selector.clone(), query.range);
        let groups = super::series::groups(source, &select, &grouping, report).await?;
        values.extend(groups.iter().filter_map(|labels| labels.get(name)).map(str::to_owned));
    }
    Ok(values.into_iter().collect())
}

pub(super) async fn label_sets(
    source: &Pyroscope,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<LabelSet>, Error> {
    let Some((start, end)) = source.meta_range(query.range) else { return Ok(Vec::new()) };
    let matchers = matchers(source, query, query.profile_type.as_ref(), report).await?;
    let question = SeriesRequest { matchers, label_names: Vec::new(), start, end };
    let answer: SeriesResponse = source.rpc.call(SERIES, &question, report).await?;
    let mut sets = BTreeSet::new();
    for labels in answer.labels_set {
        let id = labels.labels.iter().find(|label| label.name == PROFILE_TYPE);
        let Some(profile_type) = id.and_then(|id| ProfileType::parse(&id.value).ok()) else {
            continue;
        };
        sets.insert(LabelSet { profile_type, labels: public(labels.labels) });
    }
    Ok(sets.into_iter().collect())
}

/// Labels as a server has them, without those that begin with `__`.
pub(super) fn public(labels: Vec<LabelPair>) -> Labels {
    let labels = labels.into_iter().map(|label| (label.name, label.value));
    labels.collect::<Labels>().public()
}

/// One selector at most: storage v1 takes what any of several chooses, v2 what all of them do.
async fn matchers(
    source: &Pyroscope,
    query: &MetaQuery,
    profile_type: Option<&ProfileType>,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let mut selector = query.selector.clone();
    if let Some(profile_type) = profile_type {
        source.check_type(profile_type)?;
        let id = profile_type.as_str();
        selector.push(Matcher::equal(PROFILE_TYPE, id.strip_suffix(":delta").unwrap_or(id)));
    }
    if selector == Selector::all() {
        return Ok(Vec::new());
    }
    Ok(vec![source.selector(&selector, query.range, report).await?])
}
