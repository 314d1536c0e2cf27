//! Statuses, forms, limits, and who may ask.

use std::{io::Read as _, io::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flamesql_backend::Memory;
use flamesql_proto::{
    querier::v1::{ProfileTypesRequest, ProfileTypesResponse},
    types::v1::LabelValuesResponse,
};
use flamesql_server::{Guise, ServeOptions};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use prost::Message;
use serde_json::{Value, json};

use crate::{
    shop, support,
    wire::{Answer, Server},
};

const JSON: &str = "application/json";
const QUERIER: &str = "/querier.v1.QuerierService/";
const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

async fn call(server: &Server, method: &str, body: &Value) -> Answer {
    let path = if method.contains('/') { method.to_owned() } else { format!("{QUERIER}{method}") };
    server.post(&path, JSON, body.to_string().as_bytes()).await
}

/// A question that makes sense, with some fields changed; `null` takes one away.
fn question(method: &str, change: Value) -> Value {
    let merge = json!({"profileTypeID": CPU, "labelSelector": "{}", "start": 1000, "end": 2000});
    let mut base = match method {
        "ProfileTypes" | "LabelNames" | "Series" => json!({"start": 1000, "end": 2000}),
        "LabelValues" => json!({"name": "pod", "start": 1000, "end": 2000}),
        "SelectSeries" => {
            let mut base = merge;
            base["step"] = json!(15);
            base
        }
        "Diff" => return json!({"left": merge, "right": merge}),
        _ => merge,
    };
    let Value::Object(change) = change else { panic!("{change}") };
    for (name, value) in change {
        match value {
            Value::Null => drop(base.as_object_mut().unwrap().remove(&name)),
            value => base[name] = value,
        }
    }
    base
}

#[tokio::test]
async fn statuses_are_those_of_pyroscope() {
    let server = Server::of_memory(|_| {}).await;
    let methods = [
        "ProfileTypes",
        "LabelNames",
        "LabelValues",
        "Series",
        "SelectMergeStacktraces",
        "SelectMergeProfile",
        "SelectMergeSpanProfile",
        "SelectSeries",
        "Diff",
    ];
    for method in methods {
        let path = format!("{QUERIER}{method}");
        let right = question(method, json!({}));
        let status = async |change: Value| call(&server, method, &question(method, change)).await;
        assert_eq!(call(&server, method, &right).await.status, 200, "{method}");
        for bad in ["", "{\"invalid json", "[]"] {
            let answer = server.post(&path, JSON, bad.as_bytes()).await;
            assert_eq!(answer.status, 400, "{method} {bad}");
            assert_eq!(answer.header("content-type"), Some(JSON));
            assert!(answer.text().contains(r#""code":"invalid_argument""#), "{}", answer.text());
        }
        assert_eq!(
            server.post(&path, "application/proto", &[0xff; 9]).await.status,
            400,
            "{method}"
        );
        for other in ["GET", "PUT", "DELETE", "PATCH"] {
            let answer = server.send(other, &path, &[("Content-Type", JSON)], b"").await;
            assert_eq!(answer.status, 405, "{other} {method}");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        for form in ["text/plain", "application/grpc", ""] {
            let answer = server.post(&path, form, right.to_string().as_bytes()).await;
            assert_eq!(answer.status, 415, "{method} {form:?}");
        }
        if method == "Diff" {
            for side in ["left", "right"] {
                let mut one = right.clone();
                one.as_object_mut().unwrap().remove(side);
                assert_eq!(call(&server, method, &one).await.status, 400, "{side}");
            }
            continue;
        }
        assert_eq!(status(json!({"start": 3000})).await.status, 400, "{method}");
        // What nobody knows is passed over.
        assert_eq!(status(json!({"noSuchField": [1]})).await.status, 200, "{method}");
        let no_range = status(json!({"start": null, "end": null})).await.status;
        assert_eq!(no_range, if method == "ProfileTypes" { 200 } else { 400 }, "{method}");
        if method.starts_with("Select") {
            for change in [
                json!({"profileTypeID": null}),
                json!({"profileTypeID": ""}),
                json!({"profileTypeID": "a:b"}),
                json!({"labelSelector": null}),
                json!({"labelSelector": "{"}),
                json!({"labelSelector": "{a=~\"(\"}"}),
            ] {
                assert_eq!(status(change.clone()).await.status, 400, "{method} {change}");
            }
        } else if method != "ProfileTypes" {
            for (matchers, expected) in
                [(json!(["{a=\"b\"}", "{c=\"d\"}"]), 200), (json!(["{a=b}"]), 400)]
            {
                let answer = status(json!({"matchers": matchers})).await;
                assert_eq!(answer.status, expected, "{method} {matchers}");
            }
        }
    }
    for (change, expected) in [
        (json!({"start": 0, "end": 0}), 200),
        (json!({"start": -1, "end": 0}), 200),
        (json!({"start": -2, "end": -1}), 200),
        (json!({"start": "now-1h"}), 400),
        (json!({"end": "now"}), 400),
    ] {
        let answer = call(&server, "ProfileTypes", &question("ProfileTypes", change.clone())).await;
        assert_eq!(answer.status, expected, "{change}");
    }
    for (method, change, code) in [
        ("LabelValues", json!({"name": ""}), "invalid_argument"),
        ("SelectSeries", json!({"step": 0}), "invalid_argument"),
        ("SelectSeries", json!({"exemplarType": "EXEMPLAR_TYPE_SPAN"}), "unimplemented"),
        ("SelectMergeStacktraces", json!({"format": "PROFILE_FORMAT_DOT"}), "unimplemented"),
        ("SelectMergeStacktraces", json!({"maxNodes": -1}), "invalid_argument"),
        ("SelectMergeStacktraces", json!({"maxNodes": 1 << 21}), "invalid_argument"),
        ("SelectMergeStacktraces", json!({"traceIdSelector": ["1"]}), "invalid_argument"),
        ("SelectMergeStacktraces", json!({"profileIdSelector": ["1"]}), "invalid_argument"),
        ("SelectMergeSpanProfile", json!({"spanSelector": ["xyz"]}), "invalid_argument"),
        ("SelectHeatmap", json!({"step": 1}), "invalid_argument"),
        ("SelectHeatmap", json!({"step": 1, "limit": -1}), "invalid_argument"),
        ("SelectHeatmap", json!({"step": 1, "queryType": 2}), "unimplemented"),
    ] {
        let answer = call(&server, method, &question(method, change.clone())).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["code"], code, "{method} {change}: {body}");
        let status = if code == "unimplemented" { 501 } else { 400 };
        assert_eq!(answer.status, status, "{method} {change}");
    }
}

#[tokio::test]
async fn both_forms_say_the_same() {
    let server = Server::of_memory(|_| {}).await;
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let message = ProfileTypesRequest { start: 1, end: 4_000_000_000_000 };
    let path = format!("{QUERIER}ProfileTypes");
    let binary = server.post(&path, "application/proto", &message.encode_to_vec()).await;
    assert_eq!(binary.header("content-type"), Some("application/proto"));
    let binary = ProfileTypesResponse::decode(binary.body.as_slice()).unwrap();
    assert_eq!(binary.profile_types.len(), 6);
    // Numbers of 64 bits are texts in JSON, and may be numbers.
    for json in [r#"{"start":"1","end":"4000000000000"}"#, r#"{"start":1,"end":4000000000000}"#] {
        let answer = server.post(&path, "application/json; charset=utf-8", json.as_bytes()).await;
        assert_eq!(answer.header("content-type"), Some(JSON));
        let answer: ProfileTypesResponse = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer, binary);
    }
}

#[tokio::test]
async fn bodies_are_packed_both_ways() {
    let server = Server::of_memory(|_| {}).await;
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let question = json!({"start": "1", "end": "4000000000000"}).to_string();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(question.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let path = format!("{QUERIER}Series");
    let plain = server.post(&path, JSON, question.as_bytes()).await;
    assert_eq!(plain.header("content-encoding"), None);
    let headers =
        [("Content-Type", JSON), ("Content-Encoding", "gzip"), ("Accept-Encoding", "gzip")];
    let answer = server.send("POST", &path, &headers, &packed).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"), "{}", answer.head);
    let mut inflated = Vec::new();
    GzDecoder::new(answer.body.as_slice()).read_to_end(&mut inflated).unwrap();
    assert_eq!(inflated, plain.body);
    // A form of packing that nobody knows.
    let headers = [("Content-Type", JSON), ("Content-Encoding", "snappy")];
    let answer = server.send("POST", &path, &headers, &packed).await;
    assert_eq!((answer.status, answer.header("content-type")), (415, Some(JSON)));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let right = json!({
        "code": "unimplemented",
        "message": "unknown compression \"snappy\": supported encodings are gzip",
    });
    assert_eq!(body, right);
    for (version, status) in [("1", 200), ("2", 400)] {
        let headers = [("Content-Type", JSON), ("Connect-Protocol-Version", version)];
        let answer = server.send("POST", &path, &headers, question.as_bytes()).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let reason = r#"Connect-Protocol-Version must be \"1\": got \"2\""#;
        assert_eq!(answer.text().contains(reason), status == 400, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_large_body_is_refused_however_it_is_packed() {
    let server = Server::of_memory(|options| options.max_body_bytes = 1 << 16).await;
    let path = format!("{QUERIER}Series");
    let large = vec![b' '; 1 << 20];
    assert_eq!(server.post(&path, JSON, &large).await.status, 400);
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&large).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 13);
    let headers = [("Content-Type", JSON), ("Content-Encoding", "gzip")];
    let answer = server.send("POST", &path, &headers, &packed).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("65536 bytes at most"), "{}", answer.text());
}

#[tokio::test]
async fn pages_of_the_web_are_refused() {
    let server = Server::of_memory(|_| {}).await;
    let own = [("Host", "localhost:4180")];
    let answer = server.send("GET", "/ready", &own, b"").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ready"));
    let foreign = [("Host", "attacker.example:4180")];
    for path in ["/ready", "/metrics", "/nowhere", "/pyroscope/render?query=x"] {
        let answer = server.send("GET", path, &foreign, b"").await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("attacker.example"), "{}", answer.text());
    }
    let origin = [("Host", "localhost:4180"), ("Origin", "https://attacker.example")];
    for method in ["GET", "OPTIONS", "POST"] {
        let answer = server.send(method, "/querier.v1.QuerierService/Series", &origin, b"").await;
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
        assert_eq!(answer.status, 403, "{method}");
    }
    for (name, value, status) in [
        ("Origin", "http://localhost:3000", 200),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "none", 200),
    ] {
        let headers = [("Host", "localhost:4180"), (name, value)];
        assert_eq!(server.send("GET", "/ready", &headers, b"").await.status, status, "{value}");
    }
}

#[tokio::test]
async fn what_it_says_of_itself() {
    let server = Server::of_memory(|options| options.version = "9.8.7".to_owned()).await;
    let build = server.get("/api/v1/status/buildinfo").await;
    let build: Value = serde_json::from_slice(&build.body).unwrap();
    assert_eq!(build["data"]["version"], "flamesql-9.8.7");
    let version = call(&server, "/version.v1.Version/Version", &json!({})).await;
    assert_eq!(version.text(), r#"{"QuerierAPI":"1"}"#);
    assert_eq!(server.get("/nowhere").await.status, 404);
    // Whatever else is wrong with it, nobody serves it.
    let packed = [("Content-Encoding", "snappy")];
    assert_eq!(server.send("POST", "/nowhere/else", &packed, b"x").await.status, 404);
    let metrics = server.get("/metrics").await.text();
    for line in [
        r#"flamesql_server_requests_total{route="/api/v1/status/buildinfo",status="200"} 1"#,
        r#"flamesql_server_requests_total{route="other",status="404"} 2"#,
        "flamesql_server_requests_under_way 1",
        "flamesql_server_request_duration_seconds_count 4",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn nothing_is_pushed_unless_it_is_allowed() {
    let server = Server::start(Arc::new(Memory::new()), ServeOptions::default()).await;
    let answer = call(&server, "/push.v1.PusherService/Push", &json!({"series": []})).await;
    assert_eq!(answer.status, 404);

    let server = Server::of_memory(|_| {}).await;
    let known = async |server: &Server| {
        call(
            server,
            "ProfileTypes",
            &json!({"start": -9_000_000_000_000_000_i64, "end": 9_000_000_000_000_000_i64}),
        )
        .await
        .text()
    };
    let label = |name: &str, value: &str| json!({"name": name, "value": value});
    let series = |labels: Value, nanos: i64| {
        let bytes = STANDARD.encode(support::cpu(nanos, 1));
        json!({"labels": labels, "samples": [{"rawProfile": bytes}]})
    };
    let name = label("__name__", "cpu");
    let right = series(json!([name]), 1_700_000_000_000_000_000);
    for (series, reason) in [
        (json!({"labels": [label("pod", "a")]}), "the label __name__ is missing"),
        (json!({"labels": [name], "samples": [{"rawProfile": "bm90aGluZw=="}]}), "pprof"),
        (series(json!([name]), i64::MAX), "no question reaches its time, 9223372036854775807 ns"),
        (series(json!([name]), i64::MIN), "no question reaches its time"),
        (series(json!([name, label("", "a")]), 1), "a label has no name"),
        (
            series(json!([name, label("pod", "a"), label("pod", "b")]), 1),
            "the label \"pod\" is given twice",
        ),
    ] {
        // A right one before it is not taken either.
        let body = json!({"series": [right, series]});
        let answer = call(&server, "/push.v1.PusherService/Push", &body).await;
        assert_eq!(answer.status, 400, "{reason}: {}", answer.text());
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["code"], "invalid_argument");
        assert!(body["message"].as_str().unwrap().contains(reason), "{body}");
        assert_eq!(known(&server).await, "{}", "{reason}");
    }
    for nothing in [json!([]), json!([{"labels": [label("__name__", "cpu")]}])] {
        let answer =
            call(&server, "/push.v1.PusherService/Push", &json!({"series": nothing})).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(r#""message":"no profiles received""#), "{}", answer.text());
    }
    let answer = call(&server, "/push.v1.PusherService/Push", &json!({"series": [right]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(known(&server).await.contains("cpu:cpu:nanoseconds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_at_once() {
    let server = Arc::new(Server::of_memory(|options| options.max_concurrent = 4).await);
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let clients = (0..200).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let body = json!({"name": "pod", "start": "1", "end": "4000000000000"});
            let answer = call(&server, "LabelValues", &body).await;
            assert_eq!(answer.status, 200);
            let names: LabelValuesResponse = serde_json::from_slice(&answer.body).unwrap();
            names.names
        })
    });
    for names in futures::future::join_all(clients).await {
        assert_eq!(names.unwrap(), ["big", "c-0", "c-1", "m-0", "s-0"]);
    }
}

#[tokio::test]
async fn who_asks_says_how_long_he_waits() {
    let server = Server::of_memory(|_| {}).await;
    let path = format!("{QUERIER}ProfileTypes");
    for (limit, status) in [("0", 504), ("60000", 200), ("soon", 400), ("99999999999", 400)] {
        let headers = [("Content-Type", JSON), ("Connect-Timeout-Ms", limit)];
        let answer = server.send("POST", &path, &headers, b"{}").await;
        assert_eq!(answer.status, status, "{limit}: {}", answer.text());
    }
}
