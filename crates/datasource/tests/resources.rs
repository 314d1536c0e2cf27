//! What editors ask for, from servers of all generations.

use std::collections::BTreeSet;

use flamesql_datasource::{
    Answer, Caller, DataSource, DetectedType, ErrorKind, VariableQuery, VariableValue,
};
use flamesql_server::Guise;
use serde_json::{Value, json};

use crate::support::{CPU, HEAP, answering, shop_at_a, source};

const GUISES: [Guise; 4] = [Guise::V2, Guise::V1, Guise::Phlare, Guise::Legacy];
const WRITER: Caller = Caller { may_write: true };

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

async fn get(source: &DataSource, path: &str, parameters: &[(&str, &str)]) -> Value {
    let answer = ask(source, path, parameters).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    body(&answer)
}

async fn ask(source: &DataSource, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let query: String =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    source.resource("GET", path, &query, Caller::default()).await
}

/// What a server of this kind calls the CPU profile of the shop.
async fn cpu_of(source: &DataSource) -> String {
    let types = get(source, "profileTypes", &[]).await;
    let ids: Vec<&str> =
        types.as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap()).collect();
    (*ids.iter().find(|id| id.contains("cpu")).unwrap()).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_types_have_a_label() {
    for guise in GUISES {
        let server = shop_at_a(guise).await;
        let source = source(&server.url, None);
        let types = get(&source, "profileTypes", &[]).await;
        if guise == Guise::Legacy {
            // An app is called as it is.
            let expected = json!([
                {"id": "shop.cpu", "label": "shop.cpu"}, {"id": "shop.heap", "label": "shop.heap"},
            ]);
            assert_eq!(types, expected);
            continue;
        }
        let expected = json!([
            {"id": HEAP, "label": "memory - inuse_space"},
            {"id": CPU, "label": "process_cpu - cpu"},
        ]);
        assert_eq!(types, expected, "{guise:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_milliseconds() {
    let server = shop_at_a(Guise::V2).await;
    let source = source(&server.url, None);
    let ids = async |start: &str, end: &str| {
        let types = get(&source, "profileTypes", &[("start", start), ("end", end)]).await;
        types.as_array().unwrap().len()
    };
    // Long ago, and all of time.
    assert_eq!(ids("1000", "4000").await, 0);
    assert_eq!(ids("", "").await, 2);
    // One end alone says nothing, as in Grafana.
    assert_eq!(ids("1000", "").await, 2);
    for (start, end, part) in [
        ("x", "1", "start=\"x\" is no number of milliseconds"),
        ("1", "1.5", "end=\"1.5\" is no number"),
        ("now", "", "start=\"now\""),
        ("99999999999999999999", "1", "start=\"99999999999999999999\""),
        ("5", "4", "start=5 is after end=4"),
    ] {
        for path in ["profileTypes", "labelNames", "labelValues"] {
            let parameters = [("label", "pod"), ("start", start), ("end", end)];
            let answer = ask(&source, path, &parameters).await;
            assert_eq!(answer.status, 400, "{path} {start} {end}: {answer:?}");
            assert!(body(&answer)["message"].as_str().unwrap().contains(part), "{answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_selector_and_a_type() {
    for guise in GUISES {
        let server = shop_at_a(guise).await;
        let source = source(&server.url, None);
        let cpu = cpu_of(&source).await;
        let typed = format!(r#"{{__profile_type__="{cpu}"}}"#);
        let before = format!("{cpu}{{}}");
        for query in [typed.as_str(), &before] {
            let names = get(&source, "labelNames", &[("query", query)]).await;
            let names: BTreeSet<&str> =
                names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            assert!(names.contains("pod"), "{guise:?} {query}: {names:?}");
            assert!(!names.iter().any(|name| name.starts_with("__")), "{guise:?}: {names:?}");
            let values = get(&source, "labelValues", &[("query", query), ("label", "pod")]).await;
            assert_eq!(values, json!(["a", "b"]), "{guise:?} {query}");
        }
        let narrow = format!(r#"{{__profile_type__="{cpu}",pod!="a"}}"#);
        let names = get(&source, "labelNames", &[("query", &narrow)]).await;
        assert!(!names.as_array().unwrap().contains(&json!("pod")), "{guise:?}: {names}");
        let values = get(&source, "labelValues", &[("query", &narrow), ("label", "pod")]).await;
        assert_eq!(values, json!(["b"]), "{guise:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_without_a_type() {
    let server = shop_at_a(Guise::V2).await;
    let source = source(&server.url, None);
    for query in ["", "  ", "{}"] {
        let names = get(&source, "labelNames", &[("query", query)]).await;
        assert_eq!(names, json!(["pod", "service_name"]));
        let values = get(&source, "labelValues", &[("query", query), ("label", "pod")]).await;
        assert_eq!(values, json!(["a", "b", "c"]));
    }
    let values = get(&source, "labelValues", &[("label", "__profile_type__")]).await;
    assert_eq!(values, json!([HEAP, CPU]));
    let values = get(&source, "labelValues", &[("label", "none")]).await;
    assert_eq!(values, json!([]));
    let values = get(&source, "labelValues", &[("label", "pod"), ("label", "service_name")]).await;
    assert_eq!(values, json!(["a", "b", "c"]));
    for (path, query, part) in [
        ("labelNames", "{pod=", "query: "),
        ("labelNames", "pod=a", "query: "),
        ("labelValues", r#"{pod=~"("}"#, "query: "),
        ("labelNames", r#"{__profile_type__="a:b"}"#, "got 2 parts"),
    ] {
        let answer = ask(&source, path, &[("query", query), ("label", "pod")]).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(body(&answer)["message"].as_str().unwrap().contains(part), "{answer:?}");
    }
    let answer = ask(&source, "labelValues", &[("label", "")]).await;
    assert_eq!(body(&answer)["message"], "the parameter label is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_json_with_a_status() {
    let locked = answering(401, "text/plain", "who are you").await;
    let open = source(&locked.url, None);
    for (method, path, query, status, error_source) in [
        ("GET", "nothing", "", 404, "downstream"),
        ("GET", "", "", 404, "downstream"),
        ("GET", "profileTypes/x", "", 404, "downstream"),
        ("POST", "profileTypes", "", 405, "downstream"),
        ("DELETE", "profileMetadata", "", 405, "downstream"),
        ("get", "profileMetadata", "", 405, "downstream"),
        ("GET", "backendType", "url=x", 403, "downstream"),
        ("GET", "profileTypes", "", 502, "downstream"),
    ] {
        let answer = open.resource(method, path, query, Caller::default()).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let body = body(&answer);
        assert_eq!((&body["status"], &body["errorSource"]), (&json!(status), &json!(error_source)));
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
    // What needs nobody is answered without.
    let answer = open.resource("GET", "/profileMetadata", "", Caller::default()).await;
    assert_eq!((answer.status, body(&answer).as_object().unwrap().len()), (200, 29));
    let answer = open.resource("HEAD", "profileMetadata", "", Caller::default()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_down_is_asked_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let source = source(&url, None);
    for _ in 0..2 {
        assert_eq!(ask(&source, "profileTypes", &[]).await.status, 502);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_server_is_found_out() {
    for (guise, expected) in [
        (Guise::V2, DetectedType::Pyroscope),
        (Guise::V1, DetectedType::Pyroscope),
        (Guise::V115, DetectedType::Pyroscope),
        (Guise::Legacy, DetectedType::Pyroscope),
        (Guise::Phlare, DetectedType::Phlare),
    ] {
        let server = shop_at_a(guise).await;
        // Whatever is set, what is there is told.
        for kind in [None, Some("phlare"), Some("legacy-pyroscope")] {
            let source = source(&server.url, kind);
            assert_eq!(source.detect(&server.url, WRITER).await.unwrap(), expected, "{guise:?}");
        }
        let source = source(&server.url, None);
        let query = format!("url={}", server.url.replace(':', "%3A").replace('/', "%2F"));
        let answer = source.resource("GET", "backendType", &query, WRITER).await;
        let expected = json!({"backendType": expected});
        assert_eq!((answer.status, body(&answer)), (200, expected), "{guise:?}");
    }
    let page = answering(200, "text/html", "<html>").await;
    let locked = answering(401, "text/plain", "no").await;
    // A list under another status is no Pyroscope.
    let teapot = answering(418, "application/json", "[]").await;
    for server in [page, locked, teapot] {
        let found = source(&server.url, None).detect(&server.url, WRITER).await.unwrap();
        assert_eq!(found, DetectedType::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_server_is_looked_at_and_only_for_writers() {
    let server = shop_at_a(Guise::V2).await;
    let other = shop_at_a(Guise::V2).await;
    let ours = source(&format!("{}/none", server.url), None);
    // Another path of the same server.
    assert_eq!(ours.detect(&server.url, WRITER).await.unwrap(), DetectedType::Pyroscope);
    assert_eq!(
        ours.detect(&format!("{}/x/", server.url), WRITER).await.unwrap(),
        DetectedType::Unknown
    );
    let error = ours.detect(&server.url, Caller::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Forbidden, 403));
    let port = server.url.rsplit(':').next().unwrap();
    for url in [
        other.url.clone(),
        server.url.replace("http:", "https:"),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1.test:{port}"),
        format!("http://127.0.0.1:{port}@169.254.169.254/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let error = ours.detect(&url, WRITER).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Forbidden, 403), "{url}: {error}");
    }
    for url in ["", "x", "file:///etc/passwd", "http://h/?a=b"] {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("url", url).finish();
        let answer = ours.resource("GET", "backendType", &query, WRITER).await;
        assert_eq!(answer.status, 400, "{url}: {answer:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let files = source(&format!("file://{}", folder.path().display()), None);
    let error = files.detect(&server.url, WRITER).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_list_what_can_be_chosen() {
    let server = shop_at_a(Guise::V2).await;
    let source = source(&server.url, None);
    let list = async |json: Value| {
        let query = VariableQuery::parse(json.to_string().as_bytes()).unwrap();
        let values = source.variable(&query, None, None).await.unwrap();
        serde_json::to_value(values).unwrap()
    };
    let types = list(json!({"refId": "A", "type": "profileType", "profileTypeId": "x"})).await;
    let expected = json!([
        {"text": "memory - inuse_space", "value": HEAP}, {"text": "process_cpu - cpu", "value": CPU},
    ]);
    assert_eq!(types, expected);
    let labels = list(json!({"type": "label", "profileTypeId": CPU})).await;
    assert_eq!(labels, json!([{"text": "pod"}, {"text": "service_name"}]));
    let values =
        list(json!({"type": "labelValue", "profileTypeId": CPU, "labelName": "pod"})).await;
    assert_eq!(values, json!([{"text": "a"}, {"text": "b"}]));
    let sql = format!(
        "SELECT pod, count(*) FROM series WHERE profile_type = '{CPU}' GROUP BY 1 ORDER BY 1"
    );
    let pods = list(json!({"type": "sql", "rawSql": sql})).await;
    assert_eq!(pods, json!([{"text": "a", "value": "1"}, {"text": "b", "value": "1"}]));
    for json in [
        json!({"type": "sql", "rawSql": " "}),
        json!({"type": "label"}),
        json!({"type": "label", "profileTypeId": ""}),
        json!({"type": "labelValue", "labelName": "pod"}),
        json!({"type": "labelValue", "profileTypeId": CPU}),
    ] {
        assert_eq!(list(json).await, json!([]));
    }
    let query =
        VariableQuery::LabelValue { profile_type_id: CPU.to_owned(), label_name: "pod".to_owned() };
    let none: Vec<VariableValue> = source.variable(&query, Some(1000), Some(4000)).await.unwrap();
    assert_eq!(none, []);
    let query = VariableQuery::Label { profile_type_id: "${cpu}".to_owned() };
    let error = source.variable(&query, None, None).await.unwrap_err();
    assert!(error.status() == 400 && error.to_string().contains("${cpu}"), "{error}");
    for (json, part) in [
        (&br#"{"type": "labels"}"#[..], "`labels`"),
        (br#"{"refId": "A"}"#, "type"),
        (br#"{"type": "label", "profileTypeId": 5}"#, "5"),
        (b"{", "variable"),
    ] {
        let error = VariableQuery::parse(json).unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Request, 400));
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_editor_of_sql_is_told_what_there_is() {
    let server = shop_at_a(Guise::V2).await;
    let source = source(&server.url, None);
    let tables = get(&source, "tables", &[]).await;
    assert!(tables.as_array().unwrap().contains(&json!({"name": "series"})), "{tables}");
    let columns = get(&source, "columns", &[("table", "series")]).await;
    for (name, data_type) in [("time", "Timestamp(ns)"), ("pod", "Utf8"), ("value", "Int64")] {
        let column = json!({"name": name, "dataType": data_type});
        assert!(columns.as_array().unwrap().contains(&column), "{columns}");
    }
    let answer = ask(&source, "columns", &[("table", "x; DROP TABLE series")]).await;
    assert_eq!(answer.status, 404);
    assert!(body(&answer)["hint"].as_str().unwrap().contains("call_edges"));
    let completions = get(&source, "completions", &[]).await;
    let completions = completions.as_array().unwrap();
    for (label, kind) in [
        ("samples", "table"),
        ("service_name", "column"),
        ("flamegraph", "function"),
        ("$__interval", "macro"),
    ] {
        let is_there = |item: &&Value| item["label"] == label && item["kind"] == kind;
        assert_eq!(completions.iter().filter(is_there).count(), 1, "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_asked_for_all_that_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cpu.folded");
    std::fs::write(&path, "main;work 3\n").unwrap();
    // A profile is as old as its file, here of 2020.
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_600_000_000_123);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let source = source(&format!("file://{}", folder.path().display()), Some("files"));
    let types = get(&source, "profileTypes", &[]).await;
    assert_eq!(types.as_array().unwrap().len(), 1, "{types}");
    // The last millisecond is in the range.
    for (start, end, n) in [
        ("1600000000123", "1600000000123", 1),
        ("0", "1600000000122", 0),
        ("1600000000124", "1600000000124", 0),
        ("-9223372036854775808", "9223372036854775807", 1),
    ] {
        let types = get(&source, "profileTypes", &[("start", start), ("end", end)]).await;
        assert_eq!(types.as_array().unwrap().len(), n, "{start} {end}: {types}");
    }
    let values = get(&source, "labelValues", &[("label", "file")]).await;
    assert_eq!(values, json!(["cpu.folded"]));
}
