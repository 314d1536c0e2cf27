//! Flame graphs by GET.

use flamesql_server::Guise;
use serde_json::{Value, json};

use crate::{
    shop::{self, T0},
    wire::Server,
};

const CHECKOUT: &str =
    "process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds%7Bservice_name%3D%22checkout%22%7D";

async fn server() -> Server {
    let server = Server::of_memory(|_| {}).await;
    server.push_all(shop::pushes(T0, Guise::V2)).await;
    server
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let answer = server.get(path).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn a_flame_graph_with_its_timeline() {
    let server = server().await;
    let path = format!("/pyroscope/render?query={CHECKOUT}&from={T0}&until={}", T0 + 300);
    let (status, body) = get(&server, &path).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["flamebearer"]["numTicks"], 103_010_000_000_i64);
    assert_eq!(body["flamebearer"]["names"][0], "total");
    assert_eq!(
        body["metadata"],
        json!({
            "format": "single", "spyName": "", "sampleRate": 1_000_000_000, "units": "samples", "name": "cpu",
        })
    );
    assert_eq!(body["timeline"]["durationDelta"], 15);
    let samples = body["timeline"]["samples"].as_array().unwrap();
    let sum: i64 = samples.iter().map(|sample| sample.as_i64().unwrap()).sum();
    assert_eq!((samples.len(), sum), (20, 103_010_000_000));
    assert_eq!(body["groups"], Value::Null);

    let (_, body) = get(&server, &format!("{path}&groupBy=pod&maxNodes=nonsense")).await;
    let groups = body["groups"].as_object().unwrap();
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["c-0", "c-1"]);
}

#[tokio::test]
async fn two_flame_graphs_side_by_side() {
    let server = server().await;
    let (middle, end) = (T0 + 150, T0 + 300);
    let path = format!(
        "/pyroscope/render-diff?leftQuery={CHECKOUT}&leftFrom={T0}&leftUntil={middle}\
         &rightQuery={CHECKOUT}&rightFrom={middle}001&rightUntil={end}"
    );
    let (status, body) = get(&server, &path).await;
    assert_eq!(status, 200, "{body}");
    // Those of the recorded diff.
    assert_eq!(
        (&body["leftTicks"], &body["rightTicks"]),
        (&json!(52_990_000_000_i64), &json!(48_980_000_000_i64))
    );
    assert_eq!(body["metadata"]["format"], "double");
    let other = path.replace("rightQuery=process_cpu%3Acpu", "rightQuery=process_cpu%3Asamples");
    assert_eq!(get(&server, &other).await.0, 400);
}

#[tokio::test]
async fn what_cannot_be_rendered() {
    let server = server().await;
    for (query, status) in [
        ("", 400),
        ("query=", 400),
        ("query=bad_query", 400),
        ("query=%7Bpod%3D%22x%22%7D", 400),
        (&format!("query={CHECKOUT}&from=0"), 400),
        (&format!("query={CHECKOUT}&from=yesterday"), 400),
        (&format!("query={CHECKOUT}&from=now-1h&aggregation=nonsense"), 200),
        (&format!("query={CHECKOUT}&from=now-1h&maxNodes=0"), 200),
        (&format!("query={CHECKOUT}&from=now-1h&format=dot"), 501),
    ] {
        let (given, body) = get(&server, &format!("/pyroscope/render?{query}")).await;
        assert_eq!(given, status, "{query}: {body}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(server.send(method, "/pyroscope/render", &[], b"").await.status, 405);
    }
    let (status, body) = get(&server, "/pyroscope/label-values?label=__name__").await;
    assert_eq!((status, body), (200, json!([])));
    assert_eq!(get(&server, "/pyroscope/label-values").await.0, 400);
}
