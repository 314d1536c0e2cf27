//! The questions that real servers were asked, asked of this server over the same profiles: as itself it answers as
//! Pyroscope 2.2 with storage v2, and in a guise as that one.
//!
//! Answers are compared after decoding. What differs on purpose is listed, each with its reason; a difference that is
//! listed and not there fails as well.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flamesql_profile::{Step, pyroscope_tree};
use flamesql_proto::{
    google::v1::Profile,
    querier::v1::{
        DiffResponse, ProfileTypesResponse, SelectHeatmapResponse, SelectMergeSpanProfileResponse,
        SelectMergeStacktracesResponse, SelectSeriesResponse, SeriesResponse,
    },
    types::v1::{GetProfileStatsResponse, LabelNamesResponse, LabelValuesResponse},
};
use flamesql_server::Guise;
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{shop, wire::Server};

pub(crate) type Differences = &'static [(&'static str, &'static str)];

/// What this server answers otherwise, and why.
const V2: Differences = &[
    ("series, call site", "v2 passes over the selector and gives everything; here it is honoured"),
    ("stacks, dot", "whoever wants a drawing asks for pprof"),
    (
        "profile statistics",
        "v2 tells the time of its newest block, which is before the newest profile",
    ),
    ("error: bad selector", "the code and the place are the same, the reason is in our words"),
    ("plain GET /api/v1/status/buildinfo", "it is another program"),
    (
        "plain POST /capabilities.v1.FeatureFlagsService/GetFeatureFlags",
        "there is no ruler, and names of any letters are always known",
    ),
];

/// What the guises do not do as their servers.
const V1: Differences = &[
    ("series, average asked", AVERAGE),
    ("error: bad selector", WORDS),
    ("error: empty selector", WORDS),
    BUILD,
    FLAGS,
];

const V115: Differences = &[
    ("series, average asked", AVERAGE),
    ("label names", TRACES),
    ("label names without the UTF-8 Accept parameter", TRACES),
    ("label sets, all labels", TRACES),
    ("error: bad selector", WORDS),
    ("error: empty selector", WORDS),
    BUILD,
    FLAGS,
];

const PHLARE: Differences = &[
    ("label sets, two labels", "it sorts them by all labels, shown or not"),
    ("stacks, tree, everything", TOTAL),
    ("stacks, tree, first minute and a millisecond", TOTAL),
    ("stacks, region empty", TOTAL),
    ("stacks, region not eu", TOTAL),
    ("stacks, value over 2^53", TOTAL),
    ("error: too many nodes", TOTAL),
    ("stacks, UTF-8 label selector", WORDS),
    ("error: bad selector", WORDS),
    ("error: empty selector", WORDS),
    BUILD,
];

const AVERAGE: &str =
    "the average is of profiles as they happen to lie in its blocks; nobody asks for it";
const TRACES: &str = "it made a label of the trace ids of samples";
const TOTAL: &str = "a function called `total` is drawn with the name of the whole graph";
pub(crate) const WORDS: &str = "the code is the same, the reason is in our words";
pub(crate) const BUILD: (&str, &str) =
    ("plain GET /api/v1/status/buildinfo", "it is another program");
const FLAGS: (&str, &str) = (
    "plain POST /capabilities.v1.FeatureFlagsService/GetFeatureFlags",
    "the flag that matters is the same",
);

#[derive(Deserialize)]
pub(crate) struct Recording {
    #[serde(rename = "t0_unix_seconds")]
    pub(crate) t0: i64,
    pub(crate) exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    method: Option<String>,
    pub(crate) path: String,
    #[serde(default)]
    request_headers: std::collections::BTreeMap<String, String>,
    request_b64: Option<String>,
    request_text: Option<String>,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) response_b64: Option<String>,
    pub(crate) response_text: Option<String>,
}

pub(crate) fn recording(name: &str) -> Recording {
    let file = format!("{name}.json");
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "backend", "tests", "recorded", &file].iter().collect();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn json<M: Message + Default + Serialize>(bytes: &[u8]) -> Value {
    serde_json::to_value(M::decode(bytes).unwrap()).unwrap()
}

/// A message, as far as order and ids mean nothing in it.
fn shown(path: &str, content_type: &str, body: &[u8]) -> Value {
    if !content_type.starts_with("application/proto") {
        let text = String::from_utf8_lossy(body);
        let mut shown =
            serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.into_owned()));
        // An error that holds another one as text, in whatever way that is escaped.
        let inner = shown["message"].as_str().and_then(|text| serde_json::from_str(text).ok());
        if let Some(inner) = inner {
            shown["message"] = inner;
        }
        return shown;
    }
    match path.rsplit('/').next().unwrap() {
        "ProfileTypes" => json::<ProfileTypesResponse>(body),
        "LabelNames" => json::<LabelNamesResponse>(body),
        "LabelValues" => json::<LabelValuesResponse>(body),
        "Series" => json::<SeriesResponse>(body),
        "SelectSeries" => json::<SelectSeriesResponse>(body),
        "SelectMergeStacktraces" => {
            let mut answer = SelectMergeStacktracesResponse::decode(body).unwrap();
            let tree = std::mem::take(&mut answer.tree);
            let pprof = answer.pprof.take().and_then(|pprof| pprof.profile);
            let mut shown = serde_json::to_value(&answer).unwrap();
            if !tree.is_empty() {
                shown["tree"] = stacks(&tree);
            }
            if let Some(pprof) = pprof {
                shown["pprof"] = merged(&pprof);
            }
            shown
        }
        "SelectMergeSpanProfile" => json::<SelectMergeSpanProfileResponse>(body),
        "SelectMergeProfile" => merged(&Profile::decode(body).unwrap()),
        "SelectHeatmap" => {
            let mut answer = SelectHeatmapResponse::decode(body).unwrap();
            let slots = answer.series.iter_mut().flat_map(|series| &mut series.slots);
            for exemplar in slots.flat_map(|slot| &mut slot.exemplars) {
                // Each server makes ids of its own.
                assert_eq!(exemplar.profile_id.len(), 36, "{exemplar:?}");
                exemplar.profile_id.clear();
                exemplar.labels.sort_by(|a, b| a.name.cmp(&b.name));
            }
            serde_json::to_value(&answer).unwrap()
        }
        "Diff" => json::<DiffResponse>(body),
        "GetProfileStats" => json::<GetProfileStatsResponse>(body),
        other => panic!("{other}"),
    }
}

/// The stacks of a tree, one a line.
fn stacks(tree: &[u8]) -> Value {
    let tree = pyroscope_tree::decode(tree).unwrap().into_tree();
    let stacks =
        tree.stacks().map(|(node, value)| format!("{} {value}", tree.path(node).join(";")));
    let mut stacks: Vec<String> = stacks.collect();
    stacks.sort();
    stacks.into()
}

/// What pprof says but for lines, addresses and mappings, which this server does not know.
fn merged(profile: &Profile) -> Value {
    let bytes = profile.encode_to_vec();
    let decoded = flamesql_profile::pprof::decode(&bytes).unwrap();
    let tree = decoded.tree(0).unwrap();
    let mut shown = serde_json::json!({
        "stacks": stacks(&pyroscope_tree::encode(&tree)),
        "period": profile.period,
        "timeNanos": profile.time_nanos,
        "durationNanos": profile.duration_nanos,
    });
    for (kind, unit) in decoded.sample_type_names() {
        shown["type"] = format!("{kind} {unit}").into();
    }
    shown
}

#[tokio::test]
async fn pyroscope_with_storage_v2() {
    compare("pyroscope-2.2-v2", Guise::V2, V2).await;
}

#[tokio::test]
async fn pyroscope_with_storage_v1() {
    compare("pyroscope-2.2-v1", Guise::V1, V1).await;
}

#[tokio::test]
async fn pyroscope_1_15() {
    compare("pyroscope-1.15", Guise::V115, V115).await;
}

#[tokio::test]
async fn phlare() {
    compare("phlare-0.6", Guise::Phlare, PHLARE).await;
}

async fn compare(name: &str, guise: Guise, differences: Differences) {
    let recording = recording(name);
    let server = Server::of_memory(|options| {
        options.max_range = Step::from_nanos(86_400_000_000_000);
        options.guise = guise;
    })
    .await;
    server.push_all(shop::pushes(recording.t0, guise)).await;
    let mut wrong = Vec::new();
    for exchange in recording.exchanges {
        let headers: Vec<(&str, &str)> =
            exchange.request_headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let headers = match exchange.method.as_deref() {
            Some("POST") => vec![("Content-Type", "application/json")],
            _ => headers,
        };
        let bytes = |base64: &Option<String>, text: &Option<String>| match base64 {
            Some(bytes) => STANDARD.decode(bytes).unwrap(),
            None => text.clone().unwrap_or_default().into_bytes(),
        };
        let body = bytes(&exchange.request_b64, &exchange.request_text);
        let method = exchange.method.as_deref().unwrap_or("POST");
        let answer = server.send(method, &exchange.path, &headers, &body).await;
        let expected = bytes(&exchange.response_b64, &exchange.response_text);
        let content_type = exchange.content_type.as_deref().unwrap_or_default();
        let right = (exchange.status, shown(&exchange.path, content_type, &expected));
        let content_type = answer.header("content-type").unwrap_or_default();
        let given = (answer.status, shown(&exchange.path, content_type, &answer.body));
        let is_listed = differences.iter().any(|(name, _)| *name == exchange.name);
        if (right == given) == is_listed {
            wrong.push(format!(
                "{}{}\n  recorded {} {}\n  given    {} {}",
                exchange.name,
                if is_listed { ": listed as different, and it is not" } else { "" },
                right.0,
                right.1,
                given.0,
                given.1
            ));
        }
    }
    assert!(wrong.is_empty(), "{name}: {} differ:\n{}", wrong.len(), wrong.join("\n"));
}
