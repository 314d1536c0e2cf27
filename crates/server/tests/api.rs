//! Grafana's HTTP API of data sources, and SQL. It is a feature of the crate: tests of the whole workspace have it on.

use std::sync::Arc;

use flamesql_backend::{Backend, Memory};
use flamesql_datasource::DataSource;
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};
use flamesql_server::{ApiSources, ServeOptions, Served};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const SECOND: i64 = 1_000_000_000;
/// 2026-11-10T09:00:00Z.
const BEGIN: i64 = 1_794_301_200;

/// A server of a data source, by its address.
async fn served() -> String {
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    let labels: Labels = [("pod", "a")].into_iter().collect();
    let tree = folded::decode(b"main;work 30000000000").unwrap().into_tree();
    let time = Timestamp::from_nanos((BEGIN + 10) * SECOND);
    memory.insert(&cpu, &labels, time, 0, &tree).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(memory);
    let source = DataSource::over("uid-1", "Shop", Arc::clone(&backend), None).unwrap();
    let mut options = ServeOptions::default();
    options.sources = Some(ApiSources::from(source));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(Served::new(backend, options).serve(listener, std::future::pending()));
    address
}

/// Status, content type and body of an answer.
async fn ask(address: &str, head: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    (status, kind.unwrap_or_default().to_owned(), body.to_owned())
}

async fn json_of(address: &str, head: &str, body: &str) -> (u16, Value) {
    let (status, kind, body) = ask(address, head, body).await;
    assert!(kind.starts_with("application/json"), "{head}: {kind}");
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered_in_frames() {
    let address = served().await;
    let query = |source: Value| {
        json!({
            "from": (BEGIN * 1000).to_string(), "to": ((BEGIN + 60) * 1000).to_string(),
            "queries": [
                {"refId": "A", "datasource": source, "queryType": "both", "profileTypeId": CPU},
                {"refId": "B", "datasource": {"uid": "nowhere"}, "queryType": "profile", "profileTypeId": CPU},
            ],
        })
        .to_string()
    };
    for source in [json!({"uid": "uid-1"}), json!("Shop"), Value::Null] {
        let (status, json) = json_of(&address, "POST /api/ds/query HTTP/1.1", &query(source)).await;
        let frames = json["results"]["A"]["frames"].as_array().unwrap();
        assert_eq!(frames[0]["data"]["values"], json!([[(BEGIN + 15) * 1000], [2.0]]));
        assert_eq!(frames[1]["data"]["values"][0], json!([0, 1, 2]));
        // One of them has failed, and that is the status of the whole.
        assert_eq!(status, 400);
        let error = json["results"]["B"]["error"].as_str().unwrap();
        assert_eq!(error, "there is no data source \"nowhere\" (there are uid-1)");
        assert_eq!(json["results"]["B"]["status"], 404);
    }
    let wrong =
        json!({"from": "0", "to": "1", "queries": [{"refId": "A", "datasource": {"uid": 5}}]});
    for (body, part) in [
        ("", "no JSON"),
        ("{}", "from and to are missing"),
        (&wrong.to_string(), "datasource of \"A\" is to be"),
    ] {
        let (status, json) = json_of(&address, "POST /api/ds/query HTTP/1.1", body).await;
        assert_eq!(status, 400);
        assert!(json["message"].as_str().unwrap().contains(part), "{json}");
    }
}

/// A statement that would take for ever ends when whoever asked goes away, and keeps nobody waiting meanwhile: else this test
/// comes to no end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_without_end_ends_with_its_client() {
    let address = served().await;
    let millions = "(SELECT unnest(range(100000)) AS n)";
    let sql = format!(
        "SELECT count(*) FROM {millions} a, {millions} b, {millions} c WHERE a.n + b.n <> c.n"
    );
    for _ in 0..8 {
        let asked = ask(&address, "POST /api/sql HTTP/1.1", &sql);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(300), asked).await;
        assert!(waited.is_err(), "{waited:?}");
        let (status, _, _) = ask(&address, "GET /ready HTTP/1.1", "").await;
        assert_eq!(status, 200);
    }
    let (status, _, body) = ask(&address, "POST /api/sql HTTP/1.1", "SELECT 1 AS one").await;
    assert_eq!((status, body.as_str()), (200, "[{\"one\":1}]\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_sources_are_listed_and_looked_after() {
    let address = served().await;
    let (status, list) = json_of(&address, "GET /api/datasources HTTP/1.1", "").await;
    assert_eq!(
        (status, &list[0]["uid"], &list[0]["isDefault"]),
        (200, &json!("uid-1"), &json!(true))
    );
    let (status, one) = json_of(&address, "GET /api/datasources/uid/uid-1 HTTP/1.1", "").await;
    assert_eq!((status, &one), (200, &list[0]));
    let (status, none) = json_of(&address, "GET /api/datasources/uid/x HTTP/1.1", "").await;
    assert_eq!((status, &none["hint"]), (404, &json!("there are uid-1")));
    let (status, health) =
        json_of(&address, "GET /api/datasources/uid/uid-1/health HTTP/1.1", "").await;
    assert_eq!((status, &health["status"]), (200, &json!("OK")));
    let path = "/api/datasources/uid/uid-1/resources";
    let head = format!("GET {path}/labelValues?label=pod HTTP/1.1");
    assert_eq!(json_of(&address, &head, "").await, (200, json!(["a"])));
    for (head, expected) in [
        (format!("GET {path}/nothing HTTP/1.1"), 404),
        (format!("POST {path}/labelNames HTTP/1.1"), 405),
        (format!("GET {path}/labelValues HTTP/1.1"), 400),
    ] {
        let (status, json) = json_of(&address, &head, "").await;
        assert_eq!((status, &json["status"]), (expected, &json!(expected)), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_answered_in_the_form_that_is_asked_for() {
    let address = served().await;
    let sql = "SELECT pod, sum(value) AS cpu FROM series GROUP BY pod";
    let post = "POST /api/sql HTTP/1.1";
    let json_type = format!("{post}\r\nContent-Type: application/json");
    let of = |format: &str| json!({"sql": sql, "source": "Shop", "format": format}).to_string();
    for (head, body, kind, expected) in [
        (
            post.to_owned(),
            sql.to_owned(),
            "application/json",
            "[{\"pod\":\"a\",\"cpu\":30000000000}]\n",
        ),
        (
            format!("{post}\r\nAccept: text/html, text/csv;q=0.9"),
            sql.to_owned(),
            "text/csv; charset=utf-8",
            "pod,cpu\na,30000000000\n",
        ),
        (
            json_type.clone(),
            of("jsonl"),
            "application/x-ndjson",
            "{\"pod\":\"a\",\"cpu\":30000000000}\n",
        ),
        (json_type.clone(), of("csv"), "text/csv; charset=utf-8", "pod,cpu\na,30000000000\n"),
    ] {
        assert_eq!(ask(&address, &head, &body).await, (200, kind.to_owned(), expected.to_owned()));
    }
    let long = "SELECT unnest(range(2000000))";
    for (head, body, status, part) in [
        (&json_type, of("xml"), 400, "format \"xml\" is none"),
        (&json_type, "{\"sql\": 5}".to_owned(), 400, "cannot be read"),
        (&json_type, "{\"sq\": \"SELECT 1\"}".to_owned(), 400, "unknown field"),
        (&json_type, json!({"sql": sql, "source": "x"}).to_string(), 404, "no data source \"x\""),
        (&post.to_owned(), "{\"sq\": 1}".to_owned(), 400, "unknown field"),
        (&post.to_owned(), String::new(), 400, "no statement"),
        (&post.to_owned(), "SELECT nothing FROM series".to_owned(), 400, "nothing"),
        (&post.to_owned(), "CREATE TABLE x (a INT)".to_owned(), 400, "only reads"),
        (&post.to_owned(), "SELECT * FROM '/etc/passwd'".to_owned(), 400, "/etc/passwd"),
        (
            &post.to_owned(),
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'".to_owned(),
            400,
            "only reads",
        ),
        (&post.to_owned(), long.to_owned(), 400, "more than 1000000 rows"),
    ] {
        let (told, json) = json_of(&address, head, &body).await;
        assert_eq!(told, status, "{json}");
        assert!(json["message"].as_str().unwrap().contains(part), "{json}");
    }
}
