//! Statuses, forms, limits, and who may ask.

use std::{io::Read as _, io::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flamesql_backend::Memory;
use flamesql_profile::{Labels, ProfileType, Timestamp};
use flamesql_proto::{
    querier::v1::{ProfileTypesRequest, ProfileTypesResponse, SelectMergeProfileRequest},
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
        ("SelectMergeSpanProfile", json!({"format": "PROFILE_FORMAT_DOT"}), "unimplemented"),
        ("SelectMergeSpanProfile", json!({"format": "PROFILE_FORMAT_PPROF"}), "unimplemented"),
        (
            "SelectMergeStacktraces",
            json!({"format": "PROFILE_FORMAT_PPROF", "stackTraceSelector": {"goPgo": {"keepLocations": 5}}}),
            "unimplemented",
        ),
        (
            "SelectMergeProfile",
            json!({"stackTraceSelector": {"goPgo": {"aggregateCallees": true}}}),
            "unimplemented",
        ),
        ("SelectHeatmap", json!({"step": 1}), "invalid_argument"),
        ("SelectHeatmap", json!({"step": 1, "limit": -1}), "invalid_argument"),
        ("SelectHeatmap", json!({"step": 1, "queryType": 2}), "unimplemented"),
    ] {
        let answer = call(&server, method, &question(method, change.clone())).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["code"], code, "{method} {change}: {body}");
        let status = if code == "unimplemented" { 501 } else { 400 };
        assert_eq!(answer.status, status, "{method} {change}");
        let format = change["format"].as_str().filter(|_| method == "SelectMergeSpanProfile");
        let message = body["message"].as_str().unwrap();
        assert!(format.is_none_or(|format| message.contains(format)), "{message}");
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
    for json in [
        r#"{"start":"1","end":"4000000000000"}"#,
        r#"{"start":1,"end":4000000000000}"#,
        r#"{"start":1.0,"end":4e12}"#,
        r#"{"unknown":null,"start":1.0,"end":4000000000000.0,"other":[null]}"#,
    ] {
        let answer = server.post(&path, "application/json; charset=utf-8", json.as_bytes()).await;
        assert_eq!(answer.header("content-type"), Some(JSON));
        let answer: ProfileTypesResponse = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer, binary);
    }
}

/// In JSON of protobuf a field that is `null` is one that is not given.
#[tokio::test]
async fn null_is_nothing() {
    let server = Server::of_memory(|_| {}).await;
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let merge = json!({"profileTypeID": CPU, "labelSelector": "{}", "start": 1, "end": 4_000_000_000_000_i64});
    for (method, given, fields) in [
        ("LabelNames", json!({"start": 1, "end": 2}), &["matchers"][..]),
        ("LabelValues", json!({"name": "pod", "start": 1, "end": 9}), &["matchers"]),
        ("Series", json!({"start": 1, "end": 2}), &["matchers", "labelNames"]),
        ("Series", json!({"labelNames": ["pod"]}), &["start", "end"]),
        (
            "SelectMergeStacktraces",
            merge.clone(),
            &[
                "maxNodes",
                "format",
                "stackTraceSelector",
                "profileIdSelector",
                "traceIdSelector",
                "spanSelector",
                "async",
            ],
        ),
        ("SelectMergeProfile", merge.clone(), &["maxNodes", "stackTraceSelector"]),
        ("SelectMergeSpanProfile", merge.clone(), &["maxNodes", "spanSelector", "format"]),
        (
            "SelectSeries",
            json!({"profileTypeID": CPU, "labelSelector": "{}", "start": 1, "end": 9, "step": 15.0}),
            &["groupBy", "aggregation", "stackTraceSelector", "limit", "exemplarType"],
        ),
        ("Diff", json!({"left": merge, "right": {"profileTypeID": CPU}}), &["nothing"]),
        ("Diff", json!({"left": merge}), &["right"]),
    ] {
        let right = call(&server, method, &given).await;
        let mut asked = given.clone();
        for field in fields {
            asked[*field] = Value::Null;
        }
        let answer = call(&server, method, &asked).await;
        assert_eq!((answer.status, answer.text()), (right.status, right.text()), "{asked}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_pprof_of_nothing() {
    let server = Server::of_memory(|_| {}).await;
    let path = format!("{QUERIER}SelectMergeProfile");
    let merge = question("SelectMergeProfile", json!({"labelSelector": "{pod=\"nobody\"}"}));
    let answer = call(&server, "SelectMergeProfile", &merge).await;
    assert_eq!(answer.text(), "{}");
    let message = SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: 1,
        end: 2,
        ..Default::default()
    };
    let answer = server.post(&path, "application/proto", &message.encode_to_vec()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let mut pprof = merge.clone();
    pprof["format"] = json!("PROFILE_FORMAT_PPROF");
    let answer = call(&server, "SelectMergeStacktraces", &pprof).await;
    assert_eq!(answer.text(), r#"{"pprof":{"profile":{}}}"#);
}

/// A value below 0 is shown by those forms that can show it, and named where it cannot be.
#[tokio::test]
async fn negative_values_are_named() {
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    let time = Timestamp::from_nanos(1_500_000_000);
    let tree = support::tree(&[(vec!["main".to_owned()], 5), (vec!["lost".to_owned()], -3)]);
    memory.insert(&cpu, &Labels::default(), time, 0, &tree).unwrap();
    let server = Server::start(Arc::new(memory), ServeOptions::default()).await;
    let side = question("SelectMergeStacktraces", json!({}));
    let mut as_tree = side.clone();
    as_tree["format"] = json!("PROFILE_FORMAT_TREE");
    let mut as_pprof = side.clone();
    as_pprof["format"] = json!("PROFILE_FORMAT_PPROF");
    let diff = json!({"left": side, "right": side});
    for (method, asked) in
        [("SelectMergeStacktraces", &side), ("SelectMergeStacktraces", &as_tree), ("Diff", &diff)]
    {
        let answer = call(&server, method, asked).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &body["code"]), (501, &json!("unimplemented")), "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(message.contains("lost") && message.contains("-3"), "{message}");
    }
    let page = format!("/pyroscope/render?query={CPU}{{}}&from=1000&until=2000");
    let answer = server.get(&page.replace("from=1000&until=2000", "from=1&until=2")).await;
    assert_eq!(answer.status, 501, "{}", answer.text());
    let answer = call(&server, "SelectMergeStacktraces", &as_pprof).await;
    assert!(answer.text().contains(r#""value":["-3"]"#), "{}", answer.text());
    let series = call(&server, "SelectSeries", &question("SelectSeries", json!({"step": 1}))).await;
    assert!(series.text().contains(r#""value":2.0"#), "{}", series.text());
}

/// Exemplars beside a call site are profiles that have such stacks, with the values of these.
#[tokio::test]
async fn exemplars_are_of_the_chosen_stacks() {
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (pod, millis, work, idle) in
        [("a", 1100, 3, 100), ("a", 1200, 7, 1), ("a", 1300, 0, 900), ("b", 1400, 0, 800)]
    {
        let stacks = [(names(&["main", "work"]), work), (names(&["main", "idle"]), idle)];
        let labels = [("pod", pod), ("service_name", "shop")].into_iter().collect();
        let time = Timestamp::from_nanos(millis * 1_000_000);
        memory.insert(&cpu, &labels, time, 0, &support::tree(&stacks)).unwrap();
    }
    let server = Server::start(Arc::new(memory), ServeOptions::default()).await;
    let ask = async |site: &[&str], group_by: &[&str]| -> Value {
        let site: Vec<Value> = site.iter().map(|name| json!({"name": name})).collect();
        let change = json!({
            "step": 1, "groupBy": group_by, "exemplarType": "EXEMPLAR_TYPE_INDIVIDUAL",
            "stackTraceSelector": {"callSite": site},
        });
        let answer = call(&server, "SelectSeries", &question("SelectSeries", change)).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["series"].clone()
    };
    let shown = |series: &Value| -> Vec<(Value, Value, Value)> {
        let points = series["points"].as_array().unwrap().iter();
        let exemplar = |point: &Value| {
            let exemplars = point["exemplars"].as_array().unwrap();
            assert_eq!(exemplars.len(), 1, "{point}");
            exemplars[0].clone()
        };
        points
            .map(|point| {
                let exemplar = exemplar(point);
                (point["value"].clone(), exemplar["value"].clone(), exemplar["timestamp"].clone())
            })
            .collect()
    };
    let series = ask(&["main", "work"], &["pod"]).await;
    assert_eq!(series.as_array().unwrap().len(), 1, "{series}");
    assert_eq!(shown(&series[0]), [(json!(10.0), json!("7"), json!("1200"))]);
    let all = ask(&[], &["pod"]).await;
    assert_eq!(shown(&all[0]), [(json!(1011.0), json!("900"), json!("1300"))]);
    assert_eq!(shown(&all[1]), [(json!(800.0), json!("800"), json!("1400"))]);
    // What is made of the type groups as any label does, and is not told by exemplars once more.
    let series = ask(&["main", "work"], &["__name__", "__service_name__"]).await;
    let labels = json!([
        {"name": "__name__", "value": "process_cpu"}, {"name": "__service_name__", "value": "shop"},
    ]);
    assert_eq!(series[0]["labels"], labels);
    let own: Vec<&Value> = series[0]["points"][0]["exemplars"][0]["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| &label["name"])
        .collect();
    assert!(!own.contains(&&json!("__name__")) && own.contains(&&json!("pod")), "{own:?}");
    assert!(!own.contains(&&json!("__service_name__")), "{own:?}");
    let page = format!("/pyroscope/render?query={CPU}{{}}&from=1&until=60&groupBy=");
    for (name, value) in [("__name__", "process_cpu"), ("__service_name__", "shop"), ("pod", "a")] {
        let answer = server.get(&format!("{page}{name}")).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(answer["groups"].get(value).is_some(), "{name}: {}", answer["groups"]);
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
