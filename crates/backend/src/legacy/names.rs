//! Apps, and the names and values of labels.

use std::collections::BTreeSet;

use flamesql_profile::{Labels, ProfileType};
use flamesql_selector::Matcher;
use serde::Deserialize;

use super::{
    Legacy,
    call::Path,
    query::{Query, is_key},
    series::Question,
    time::Span,
};
use crate::{Error, LabelSet, MetaQuery, Report, group, http::Answer};

const APPS: Path = Path { path: "/api/apps", what: "list the apps", answer: Answer::List };
const BUILD: Path = Path { path: "/build", what: "ask for the version", answer: Answer::List };
const APP_NAMES: Path = Path { path: "/label-values", what: "list the apps", answer: Answer::List };
const LABELS: Path = Path { path: "/labels", what: "list the labels", answer: Answer::List };
const VALUES: Path =
    Path { path: "/label-values", what: "list the values of a label", answer: Answer::List };

/// Whose values are the names of the apps.
const APP_LABEL: &str = "__name__";

#[derive(Deserialize)]
struct App {
    name: String,
    #[serde(default)]
    units: String,
}

/// What the server says of itself.
#[derive(Deserialize)]
pub(super) struct Build {
    version: String,
}

impl Build {
    /// Its version, if it has one: a server that nobody released says something else.
    pub(super) fn version(self) -> Option<String> {
        Some(self.version).filter(|version| !version.is_empty() && version != "N/A")
    }
}

/// It is good to know, and tells such a server from others.
pub(super) async fn build(legacy: &Legacy, report: &Report) -> Option<Build> {
    legacy.calls.json(BUILD, &[], report).await.ok()?
}

/// All apps, sorted. Servers that have no list of them know their names as values of a label.
pub(super) async fn apps(legacy: &Legacy, report: &Report) -> Result<Vec<ProfileType>, Error> {
    let apps: Option<Option<Vec<App>>> = legacy.calls.json(APPS, &[], report).await?;
    let mut types: Vec<ProfileType> = match apps {
        Some(apps) => {
            let apps = apps.unwrap_or_default().into_iter();
            apps.map(|app| ProfileType::app(&app.name).with_unit(&app.units)).collect()
        }
        None => {
            let names: Option<Vec<String>> =
                legacy.calls.json_of(APP_NAMES, &[("label", APP_LABEL)], report).await?;
            names.unwrap_or_default().iter().map(|name| ProfileType::app(name)).collect()
        }
    };
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// The names of the labels that an app has, whenever that was.
pub(super) async fn stored_names(
    legacy: &Legacy,
    app: &str,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let query = format!("{app}{{}}");
    let names: Option<Vec<String>> =
        legacy.calls.json_of(LABELS, &[("query", &query)], report).await?;
    let mut names = names.unwrap_or_default();
    names.retain(|name| is_key(name));
    Ok(names)
}

/// The values of one label that an app has, whenever that was.
pub(super) async fn stored_values(
    legacy: &Legacy,
    name: &str,
    app: &str,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let query = format!("{app}{{}}");
    let parameters = [("label", name), ("query", &query)];
    let values: Option<Vec<String>> = legacy.calls.json_of(VALUES, &parameters, report).await?;
    let mut values = values.unwrap_or_default();
    values.retain(|value| !value.is_empty());
    Ok(values)
}

/// The label sets that have data in the range, or a little before its end's last step: they are found as groups are.
pub(super) async fn label_sets(
    legacy: &Legacy,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<LabelSet>, Error> {
    let mut sets = Vec::new();
    for app in asked(legacy, query, report).await? {
        let found = Query::new(legacy, &app, &query.selector, report).await?;
        let (Some(found), Some(span)) = (found, Span::of(query.range)) else { continue };
        let names = stored_names(legacy, app.as_str(), report).await?;
        let groups = groups(legacy, found, names, span, report).await?;
        let set = |labels| LabelSet { profile_type: app.clone(), labels };
        sets.extend(groups.into_iter().map(set));
    }
    sets.sort_unstable();
    Ok(sets)
}

/// Without a selector the names of the labels that there are, whenever that was.
pub(super) async fn label_names(
    legacy: &Legacy,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let mut names = BTreeSet::new();
    if query.selector.is_all() {
        for app in asked(legacy, query, report).await? {
            names.extend(stored_names(legacy, app.as_str(), report).await?);
        }
    } else {
        for set in label_sets(legacy, query, report).await? {
            names.extend(set.labels.iter().map(|(name, _)| name.to_owned()));
        }
    }
    Ok(names.into_iter().collect())
}

/// As `label_names`, the values of one label.
pub(super) async fn label_values(
    legacy: &Legacy,
    name: &str,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<String>, Error> {
    let mut values = BTreeSet::new();
    if !is_key(name) {
        return Ok(Vec::new());
    }
    for app in asked(legacy, query, report).await? {
        if query.selector.is_all() {
            values.extend(stored_values(legacy, name, app.as_str(), report).await?);
            continue;
        }
        let selector = query.selector.clone().with(Matcher::not_equal(name, ""));
        let found = Query::new(legacy, &app, &selector, report).await?;
        let (Some(found), Some(span)) = (found, Span::of(query.range)) else { continue };
        let groups = groups(legacy, found, vec![name.to_owned()], span, report).await?;
        values.extend(groups.iter().filter_map(|labels| labels.get(name)).map(str::to_owned));
    }
    Ok(values.into_iter().collect())
}

async fn groups(
    legacy: &Legacy,
    query: Query,
    names: Vec<String>,
    span: Span,
    report: &Report,
) -> Result<Vec<Labels>, Error> {
    let groups = Question::new(legacy, query, names, report).groups(span.in_whole_steps()).await?;
    Ok(groups.into_keys().collect())
}

/// The apps that a query asks about.
async fn asked(
    legacy: &Legacy,
    query: &MetaQuery,
    report: &Report,
) -> Result<Vec<ProfileType>, Error> {
    // A selector that makes no sense is told of even where there is no app.
    group::Matcher::new(&query.selector)?;
    let Some(app) = &query.profile_type else { return apps(legacy, report).await };
    legacy.check_type(app)?;
    Ok(vec![app.clone()])
}
