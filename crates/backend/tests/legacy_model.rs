//! A legacy Pyroscope server made up from its profiles: what `recorded/pyroscope-0.37.json` and the server's behaviour say
//! it answers, for any question. The recording is held against it, so that it is no better than the real one.

use std::collections::{BTreeMap, BTreeSet};

use flamesql_backend::conformance::TruthProfile;
use flamesql_profile::{StackTree, Timestamp, flamebearer::Levels, pprof::Profile};
use flamesql_selector::{Filter, flameql};
use serde_json::{Value, json};

use crate::{
    faulty::{Faulty, Step, answer},
    replay::{Call, Fields, query_fields},
    support,
};

/// Its profile types are apps.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    profiles: Vec<TruthProfile>,
    /// Whether it draws a function called `other` as it draws the rest of a graph.
    folds_other: bool,
    /// Whether it has a list of apps: old servers have none.
    has_apps: bool,
}

/// Status, content type and body.
type Answer = (u16, &'static str, Vec<u8>);

const BUCKET: i64 = 10;

impl Model {
    /// Profiles without a value are none that a client would send.
    pub(crate) fn new(profiles: &[TruthProfile]) -> Self {
        let has_value = |p: &&TruthProfile| p.stacks.iter().any(|(_, value)| *value != 0);
        let profiles = profiles.iter().filter(has_value).cloned().collect();
        Self { profiles, folds_other: false, has_apps: true }
    }

    pub(crate) fn folding_other(mut self) -> Self {
        self.folds_other = true;
        self
    }

    pub(crate) fn without_apps(mut self) -> Self {
        self.has_apps = false;
        self
    }

    pub(crate) async fn serve(self) -> Faulty {
        Faulty::start(move |_, seen| {
            let mut words = seen.head.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let headers = BTreeMap::new();
            let fields = query_fields(&Call { method, path, query, headers, body: Vec::new() });
            let (status, content_type, body) = self.answer(path, &fields);
            vec![Step::Send(answer(status, &[("Content-Type", content_type)], &body))]
        })
        .await
    }

    pub(crate) fn answer(&self, path: &str, fields: &Fields) -> Answer {
        let text =
            |value: Value| (200, "text/plain; charset=utf-8", value.to_string().into_bytes());
        match path {
            "/api/apps" if self.has_apps => text(self.apps()),
            "/labels" => text(self.labels(fields)),
            "/label-values" => match fields.get("label").map(String::as_str) {
                None => bad("label parameter is required"),
                Some("__name__") => text(json!(self.names())),
                Some(label) => text(self.values(label, fields)),
            },
            "/render" => self.render(fields),
            _ => (404, "text/plain", b"could not render index page".to_vec()),
        }
    }

    fn names(&self) -> BTreeSet<&str> {
        self.profiles.iter().map(|p| p.profile_type.as_str()).collect()
    }

    fn apps(&self) -> Value {
        let app =
            |name| json!({"name": name, "spyName": "gospy", "sampleRate": 100, "units": "samples"});
        self.names().into_iter().map(app).collect()
    }

    /// The profiles of a query, whenever.
    fn chosen(&self, query: &str) -> Result<Vec<&TruthProfile>, String> {
        let (app, selector) = flameql::parse(query).map_err(|error| error.to_string())?;
        let filter = Filter::new(&selector).unwrap();
        let is_chosen = |profile: &&TruthProfile| {
            profile.profile_type.as_str() == app
                && filter.matches(|name| profile.labels.get(name).map(String::as_str))
        };
        Ok(self.profiles.iter().filter(is_chosen).collect())
    }

    fn labels(&self, fields: &Fields) -> Value {
        let chosen = match fields.get("query") {
            Some(query) => self.chosen(query).unwrap(),
            None => self.profiles.iter().collect(),
        };
        let mut names: BTreeSet<&str> = ["__name__"].into();
        names.extend(chosen.iter().flat_map(|p| p.labels.keys()).map(String::as_str));
        json!(names)
    }

    fn values(&self, label: &str, fields: &Fields) -> Value {
        let chosen = match fields.get("query") {
            Some(query) => self.chosen(query).unwrap(),
            None => self.profiles.iter().collect(),
        };
        let values: BTreeSet<&String> = chosen.iter().filter_map(|p| p.labels.get(label)).collect();
        json!(values)
    }

    fn render(&self, fields: &Fields) -> Answer {
        let field = |name: &str| fields.get(name).map(String::as_str);
        let Some(query) = field("query") else {
            return bad("'query' or 'name' parameter is required");
        };
        let chosen = match self.chosen(query) {
            Ok(chosen) => chosen,
            Err(error) => return bad(&error),
        };
        let seconds = |name| -> i64 { field(name).unwrap().parse().unwrap() };
        let (from, until) = (seconds("from"), seconds("until"));
        let start = from.div_euclid(BUCKET) * BUCKET;
        let end = (until + BUCKET - 1).div_euclid(BUCKET) * BUCKET;
        let inside = |profile: &&&TruthProfile| (start..end).contains(&bucket(profile));
        let chosen: Vec<&TruthProfile> = chosen.iter().filter(inside).copied().collect();
        let stacks: Vec<_> = chosen.iter().flat_map(|p| p.stacks.iter().cloned()).collect();
        let tree = support::tree(&stacks);
        match field("format") {
            None => (200, "", Vec::new()),
            Some("pprof") => {
                let name = flamesql_profile::ProfileType::app("samples");
                let profile = Profile::from_tree(&name, &tree, Timestamp::from_nanos(0), 0);
                (
                    200,
                    "application/octet-stream",
                    flamesql_profile::pprof::encode(&profile.unwrap()),
                )
            }
            Some("json") => {
                let max_nodes = field("max-nodes").map_or(8192, |n| n.parse().unwrap());
                let graph = self.graph(&tree, max_nodes);
                let whole = timeline(&chosen, start, end);
                let groups: BTreeMap<String, Value> = match field("groupBy") {
                    Some(label) => {
                        let mut groups: BTreeMap<String, Vec<&TruthProfile>> = BTreeMap::new();
                        for profile in &chosen {
                            if let Some(value) = profile.labels.get(label) {
                                groups.entry(value.clone()).or_default().push(profile);
                            }
                        }
                        let line = |group: Vec<_>| timeline(&group, start, end);
                        groups.into_iter().map(|(value, group)| (value, line(group))).collect()
                    }
                    None if chosen.is_empty() => BTreeMap::new(),
                    None => [("*".to_owned(), whole.clone())].into(),
                };
                let answer = json!({
                    "version": 1,
                    "flamebearer": {
                        "names": graph.names,
                        "levels": graph.levels,
                        "numTicks": graph.total,
                        "maxSelf": graph.max_self,
                    },
                    "timeline": whole,
                    "groups": groups,
                    "heatmap": null,
                });
                (200, "application/json", answer.to_string().into_bytes())
            }
            Some(_) => bad("unknown format"),
        }
    }

    fn graph(&self, tree: &StackTree, max_nodes: usize) -> Levels {
        if !self.folds_other {
            return Levels::encode(tree, max_nodes).unwrap();
        }
        let stacks: Vec<(Vec<String>, i64)> = tree
            .stacks()
            .map(|(node, value)| {
                let mut path: Vec<String> =
                    tree.path(node).into_iter().map(str::to_owned).collect();
                if let Some(at) = path.iter().position(|name| name == "other") {
                    path.truncate(at + 1);
                }
                (path, value)
            })
            .collect();
        Levels::encode(&support::tree(&stacks), max_nodes).unwrap()
    }
}

fn bad(reason: &str) -> Answer {
    let text = format!("invalid parameter: {reason:?}\n");
    (400, "text/plain; charset=utf-8", text.into_bytes())
}

fn bucket(profile: &TruthProfile) -> i64 {
    profile.time_nanos.div_euclid(BUCKET * 1_000_000_000) * BUCKET
}

fn timeline(profiles: &[&TruthProfile], start: i64, end: i64) -> Value {
    // Steps are counted from the first day of the year 1.
    const BEFORE: i64 = 62_135_596_800;
    let mut step = BUCKET;
    while step * 10 * 1024 < end - start {
        step *= 10;
    }
    let mut samples = vec![0_u64; usize::try_from((end - start) / step).unwrap()];
    for profile in profiles {
        let at = (bucket(profile) + BEFORE).div_euclid(step) * step - BEFORE;
        // Towards zero, so that a step that begins before the range is drawn as the first.
        let idx = usize::try_from((at - start) / step).unwrap();
        let sum: i64 = profile.stacks.iter().map(|(_, value)| value).sum();
        if let Some(sample) = samples.get_mut(idx) {
            *sample = (*sample).max(1) + u64::try_from(sum).unwrap();
        }
    }
    json!({"startTime": start, "samples": samples, "durationDelta": step, "watermarks": {}})
}
