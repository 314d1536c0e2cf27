//! The questions that Pyroscope 2.2 with storage v2 was asked, asked of this server over the same profiles.
//!
//! Answers are compared after decoding. What differs on purpose is in [`DIFFERENCES`], each with its reason; a difference
//! that is listed and not there fails as well.

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
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{shop, wire::Server};

/// What this server answers otherwise, and why.
const DIFFERENCES: &[(&str, &str)] = &[
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

#[derive(Deserialize)]
struct Recording {
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    method: Option<String>,
    path: String,
    #[serde(default)]
    request_headers: std::collections::BTreeMap<String, String>,
    request_b64: Option<String>,
    request_text: Option<String>,
    status: u16,
    content_type: Option<String>,
    response_b64: Option<String>,
    response_text: Option<String>,
}

fn recording() -> Recording {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "backend", "tests", "recorded", "pyroscope-2.2-v2.json"]
            .iter()
            .collect();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn json<M: Message + Default + Serialize>(bytes: &[u8]) -> Value {
    serde_json::to_value(M::decode(bytes).unwrap()).unwrap()
}

/// A message, as far as order and ids mean nothing in it.
fn shown(path: &str, content_type: &str, body: &[u8]) -> Value {
    if !content_type.starts_with("application/proto") {
        let text = String::from_utf8_lossy(body);
        return serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.into_owned()));
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
async fn the_recorded_questions_get_the_recorded_answers() {
    let server = Server::of_memory(|options| {
        options.max_range = Step::from_nanos(86_400_000_000_000);
    })
    .await;
    server.push_all(shop::pushes()).await;
    let mut wrong = Vec::new();
    for exchange in recording().exchanges {
        let headers: Vec<(&str, &str)> =
            exchange.request_headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let headers = match exchange.method.as_deref() {
            Some("POST") => vec![("Content-Type", "application/json")],
            _ => headers,
        };
        let body = match (&exchange.request_b64, &exchange.request_text) {
            (Some(bytes), _) => STANDARD.decode(bytes).unwrap(),
            (None, text) => text.clone().unwrap_or_default().into_bytes(),
        };
        let method = exchange.method.as_deref().unwrap_or("POST");
        let answer = server.send(method, &exchange.path, &headers, &body).await;
        let expected = match (&exchange.response_b64, &exchange.response_text) {
            (Some(bytes), _) => STANDARD.decode(bytes).unwrap(),
            (None, text) => text.clone().unwrap_or_default().into_bytes(),
        };
        let content_type = exchange.content_type.as_deref().unwrap_or_default();
        let right = (exchange.status, shown(&exchange.path, content_type, &expected));
        let given = (
            answer.status,
            shown(&exchange.path, answer.header("content-type").unwrap_or_default(), &answer.body),
        );
        let is_listed = DIFFERENCES.iter().any(|(name, _)| *name == exchange.name);
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
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
