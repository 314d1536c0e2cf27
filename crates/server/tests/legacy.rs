//! The guise of the legacy server: what the real one was asked, and what every backend has to do, by way of the adapter.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flamesql_backend::{
    Backend, Legacy, LegacyOptions, Memory, PyroscopeOptions, Server as Found, ServerKind,
    conformance::{self, TruthProfile, sample_truth},
};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded, pprof};
use flamesql_server::{Guise, ServeOptions};
use serde_json::Value;

use crate::{
    recorded::{BUILD, Differences, WORDS, recording},
    shop, support,
    wire::Server,
};

const LEGACY: Differences = &[("render, bad query", WORDS), ("build", BUILD.1)];

async fn serve(memory: Memory) -> Server {
    let mut options = ServeOptions::default();
    options.guise = Guise::Legacy;
    Server::start(Arc::new(memory), options).await
}

/// What the recorded server was given of the shop: counts of CPU samples, but for the pod `big`, and `;` in names as `:`.
fn memory(t0: i64) -> Memory {
    let root: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "backend", "tests", "fixtures", "shop"].iter().collect();
    let index: Value = serde_json::from_slice(&fs::read(root.join("index.json")).unwrap()).unwrap();
    let memory = Memory::new();
    for file in index["profiles"].as_array().unwrap() {
        let label = |name: &str| file["labels"][name].as_str().unwrap_or_default();
        if label("__name__") != "process_cpu" || label("pod") == "big" {
            continue;
        }
        let bytes = fs::read(root.join(file["file"].as_str().unwrap())).unwrap();
        let profile = pprof::decode(&bytes).unwrap();
        let samples = profile.sample_type_names().position(|name| name == ("samples", "count"));
        let tree = profile.tree(samples.unwrap()).unwrap();
        let names = |path: Vec<&str>| path.iter().map(|name| name.replace(';', ":")).collect();
        let stacks: Vec<(Vec<String>, i64)> =
            tree.stacks().map(|(node, value)| (names(tree.path(node)), value)).collect();
        let labels: Labels = ["pod", "region"]
            .into_iter()
            .map(|name| (name, label(name)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let app = ProfileType::app(&format!("{}.cpu", label("service_name"))).with_unit("samples");
        let time = profile.time_nanos + (t0 - shop::T0) * 1_000_000_000;
        memory
            .insert(&app, &labels, Timestamp::from_nanos(time), 0, &support::tree(&stacks))
            .unwrap();
    }
    memory
}

/// An answer, as far as order means nothing in it.
fn shown(name: &str, body: &[u8]) -> Value {
    if name == "render, pprof" {
        let tree = pprof::decode(body).unwrap().tree(0).unwrap();
        let mut lines = Vec::new();
        folded::encode(&tree, &mut lines).unwrap();
        return lines_of(&lines);
    }
    match serde_json::from_slice(body) {
        Ok(Value::Array(mut items)) => {
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Ok(other) => other,
        Err(_) => lines_of(body),
    }
}

fn lines_of(text: &[u8]) -> Value {
    let text = String::from_utf8_lossy(text);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.into()
}

#[tokio::test]
async fn what_the_real_server_was_asked() {
    let recording = recording("pyroscope-0.37");
    let server = serve(memory(recording.t0)).await;
    let (mut wrong, mut n_asked) = (Vec::new(), 0);
    for exchange in &recording.exchanges {
        let answer = server.get(&exchange.path).await;
        let expected = match (&exchange.response_b64, &exchange.response_text) {
            (Some(bytes), _) => STANDARD.decode(bytes).unwrap(),
            (None, text) => text.clone().unwrap_or_default().into_bytes(),
        };
        let right =
            (exchange.status, exchange.content_type.as_deref(), shown(&exchange.name, &expected));
        let given =
            (answer.status, answer.header("content-type"), shown(&exchange.name, &answer.body));
        let is_listed = LEGACY.iter().any(|(name, _)| *name == exchange.name);
        if (right == given) == is_listed {
            wrong.push(format!(
                "{} ({is_listed})\n  recorded {right:?}\n  given    {given:?}",
                exchange.name
            ));
        }
        n_asked += 1;
    }
    assert!(wrong.is_empty(), "{} of {n_asked} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(n_asked, 29);
}

/// Profiles as such a server can have them: apps for types, labels of letters, digits and `_`, a value, and a stack for
/// each sample.
fn truth_of_apps(seed: u64) -> Vec<TruthProfile> {
    let mut truth = sample_truth(seed);
    truth.retain(|profile| profile.stacks.iter().any(|(_, value)| *value != 0));
    for profile in &mut truth {
        let id = &profile.profile_type;
        profile.profile_type = ProfileType::app(&format!("{}.{}", id.name(), id.sample_type()));
        let labels: BTreeMap<String, String> = std::mem::take(&mut profile.labels);
        profile.labels = labels
            .into_iter()
            .filter(|(name, value)| !name.starts_with("__") && !value.is_empty())
            .map(|(name, value)| (name.replace('.', "_"), value))
            .collect();
        for (stack, _) in &mut profile.stacks {
            if stack.is_empty() {
                stack.push("other".to_owned());
                stack.push("below other".to_owned());
            }
        }
    }
    truth
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_the_legacy_server() {
    let truth = truth_of_apps(27);
    let server = serve(support::memory(&truth)).await;
    let found = Found::open(&server.url(), None, &PyroscopeOptions::default()).await.unwrap();
    assert_eq!((found.kind(), found.version()), (ServerKind::Legacy, Some("flamesql-0.1.0")));
    let legacy = Legacy::open(&server.url(), &LegacyOptions::default()).await.unwrap();
    assert_eq!(legacy.capabilities(), found.backend().capabilities());
    conformance::check(&legacy, &truth).await;
}

#[tokio::test]
async fn statuses_of_the_legacy_server() {
    let server = serve(memory(shop::T0)).await;
    for (path, status) in [
        ("/render", 400),
        ("/render?query=checkout.cpu&from=soon&format=json", 400),
        ("/render?query=checkout.cpu%7B%7D&from=0&until=0&format=json", 200),
        ("/render?query=checkout.cpu&from=9223372036854775807&until=1&format=json", 200),
        ("/render?query=checkout.cpu&from=1&until=99999999999999999999&format=json", 400),
        ("/render?query=checkout.cpu&format=json", 200),
        ("/render-diff?leftQuery=checkout.cpu", 400),
        ("/labels?query=%7B%7D", 400),
        ("/label-values?label=", 400),
        ("/ready", 404),
        ("/pyroscope/render", 404),
        ("/querier.v1.QuerierService/ProfileTypes", 404),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(
        server
            .post("/querier.v1.QuerierService/ProfileTypes", "application/json", b"{}")
            .await
            .status,
        404
    );
    // Other guises have none of its paths.
    let server = Server::of_memory(|_| {}).await;
    for path in ["/api/apps", "/render", "/labels", "/label-values", "/build", "/healthz"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}
