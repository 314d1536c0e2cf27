//! Queries of each kind over each kind of source, and what is wrong with them.

use std::{fs, path::Path};

use flamesql_backend::Memory;
use flamesql_datasource::{DataSource, MillisRange, QueryRequest, QueryResponse};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded, pprof};
use flamesql_server::Guise;
use serde_json::{Value, json};

use super::support::{self, CPU, HEAP, now, serve, settings};

const SECOND: i64 = 1_000_000_000;

/// What was measured: when, in seconds after the beginning, at which pod, and its stacks.
const PROFILES: [(i64, &str, &str); 3] = [
    (10, "a", "main;work 30000000000\nmain 15000000000\n"),
    (10, "b", "main;gc 15000000000\n"),
    (40, "a", "main;work 15000000000\n"),
];

/// A whole minute some time ago, in seconds.
fn begin() -> i64 {
    now().nanos() / SECOND / 60 * 60 - 1200
}

fn labels(pod: &str) -> Labels {
    [("pod", pod), ("service_name", "cart")].into_iter().collect()
}

fn memory(begin: i64, profile_type: &ProfileType) -> Memory {
    let memory = Memory::new();
    for (second, pod, text) in PROFILES {
        let time = Timestamp::from_nanos((begin + second) * SECOND);
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        memory.insert(profile_type, &labels(pod), time, 0, &tree).unwrap();
    }
    memory
}

fn cpu() -> ProfileType {
    ProfileType::parse(CPU).unwrap()
}

/// The same as files of pprof, in folders that are labels.
fn write_files(folder: &Path, begin: i64) {
    for (second, pod, text) in PROFILES {
        let folder = folder.join("service_name=cart").join(format!("pod={pod}"));
        fs::create_dir_all(&folder).unwrap();
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        let time = Timestamp::from_nanos((begin + second) * SECOND);
        let profile = pprof::Profile::from_tree(&cpu(), &tree, time, 0).unwrap();
        fs::write(folder.join(format!("{second}.pb.gz")), pprof::encode_gzip(&profile)).unwrap();
    }
}

/// Asks over the minute that begins so, and gives the response as JSON.
async fn ask(source: &DataSource, begin: i64, queries: Vec<Value>) -> Value {
    let response = respond(source, begin, queries).await;
    let mut json = Vec::new();
    response.write_json(&mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

async fn respond(source: &DataSource, begin: i64, queries: Vec<Value>) -> QueryResponse {
    let range = MillisRange::new(begin * 1000, (begin + 60) * 1000).unwrap();
    source.query(QueryRequest::new(range, queries).unwrap()).await
}

/// The frames of a query that has no error.
fn frames<'a>(response: &'a Value, ref_id: &str) -> &'a Vec<Value> {
    let result = &response["results"][ref_id];
    assert_eq!(result["status"], 200, "{result}");
    result["frames"].as_array().unwrap()
}

fn values(frame: &Value) -> &Value {
    &frame["data"]["values"]
}

/// The points of a series in seconds after the beginning.
fn points(frame: &Value, begin: i64) -> Vec<(f64, f64)> {
    let columns = values(frame);
    let (times, sums) = (columns[0].as_array().unwrap(), columns[1].as_array().unwrap());
    let second = |time: &Value| (time.as_i64().unwrap() - begin * 1000) as f64 / 1000.0;
    times.iter().zip(sums).map(|(time, sum)| (second(time), sum.as_f64().unwrap())).collect()
}

/// The rows of a flame graph: level, value and self in billions, and the name.
fn rows(frame: &Value) -> Vec<String> {
    let columns = values(frame);
    let names = &frame["schema"]["fields"].as_array().unwrap().last().unwrap()["config"]["type"];
    let names = &names["enum"]["text"];
    let n = columns[0].as_array().unwrap().len();
    let n_columns = columns.as_array().unwrap().len();
    let rows = (0..n).map(|row| {
        let mut text = columns[0][row].to_string();
        for column in 1..n_columns - 1 {
            text += &format!(" {}", columns[column][row].as_i64().unwrap() / SECOND);
        }
        let index = usize::try_from(columns[n_columns - 1][row].as_u64().unwrap()).unwrap();
        text + " " + names[index].as_str().unwrap()
    });
    rows.collect()
}

#[tokio::test]
async fn both_are_the_same_over_each_kind_of_source() {
    let begin = begin();
    for guise in [
        Some(Guise::V2),
        Some(Guise::V1),
        Some(Guise::V115),
        Some(Guise::Phlare),
        Some(Guise::Legacy),
        None,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let is_legacy = guise == Some(Guise::Legacy);
        let profile_type =
            if is_legacy { ProfileType::app("shop.cpu").with_unit("samples") } else { cpu() };
        let server = match guise {
            Some(guise) => Some(serve(memory(begin, &profile_type), guise).await),
            None => {
                write_files(folder.path(), begin);
                None
            }
        };
        let url = match &server {
            Some(server) => server.url.clone(),
            None => format!("file://{}", folder.path().display()),
        };
        let source = support::source(&url, None);
        let query = json!({
            "refId": "A", "queryType": "both", "profileTypeId": profile_type.as_str(), "labelSelector": "",
        });
        let response = ask(&source, begin, vec![query]).await;
        let frames = frames(&response, "A");
        assert_eq!(frames.len(), 2, "{guise:?}: {response}");
        let (series, graph) = (&frames[0], &frames[1]);
        assert_eq!(series["schema"]["name"], "series");
        assert_eq!(series["schema"]["refId"], "A");
        assert_eq!(series["schema"]["meta"]["preferredVisualisationType"], "graph");
        assert_eq!(series["schema"]["fields"][0]["name"], "time");
        let field = &series["schema"]["fields"][1];
        if is_legacy {
            // Exact to ten seconds, of which fifteen is no multiple; of an app nothing says that it adds up.
            assert_eq!(points(series, begin), [(20.0, 6e10), (40.0, 1.5e10)]);
            assert_eq!((&field["name"], &field["config"]["unit"]), (&Value::Null, &json!("short")));
            assert_eq!(series["schema"]["meta"]["custom"], Value::Null);
        } else {
            assert_eq!(points(series, begin), [(15.0, 4.0), (45.0, 1.0)], "{guise:?}");
            assert_eq!(
                (&field["name"], &field["config"]["unit"]),
                (&json!("cpu"), &json!("cores"))
            );
            assert_eq!(series["schema"]["meta"]["custom"], json!({"rateCalculated": true}));
        }
        assert_eq!(field["labels"], json!({}), "{guise:?}");
        let expected = ["0 75 0 total", "1 75 15 main", "2 15 15 gc", "2 45 45 work"];
        assert_eq!(rows(graph), expected, "{guise:?}");
        assert_eq!(graph["schema"]["name"], "response");
        assert_eq!(graph["schema"]["meta"]["preferredVisualisationType"], "flamegraph");
        let unit = if is_legacy { "short" } else { "ns" };
        assert_eq!(graph["schema"]["fields"][1]["config"]["unit"], unit);
        let asked = graph["schema"]["meta"]["executedQueryString"].as_str().unwrap();
        assert!(asked.starts_with("SELECT flamegraph("), "{asked}");
    }
}

/// A server as of storage v2.
async fn v2(begin: i64) -> (support::Server, DataSource) {
    let server = serve(memory(begin, &cpu()), Guise::V2).await;
    let source = support::source(&server.url, None);
    (server, source)
}

#[tokio::test]
async fn series_are_grouped_limited_and_chosen() {
    let begin = begin();
    let (_server, source) = v2(begin).await;
    let query = |more: Value| {
        let mut query = json!({"refId": "A", "queryType": "metrics", "profileTypeId": CPU});
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        query
    };
    let told = |response: &Value| -> Vec<String> {
        let frames = frames(response, "A").iter();
        frames
            .map(|frame| {
                let points = points(frame, begin);
                format!("{} {points:?}", frame["schema"]["fields"][1]["labels"])
            })
            .collect()
    };
    let a = r#"{"pod":"a"} [(15.0, 3.0), (45.0, 1.0)]"#;
    let b = r#"{"pod":"b"} [(15.0, 1.0)]"#;
    for (more, expected) in [
        (json!({"groupBy": ["pod", "", "pod", "nothing"]}), vec![a, b]),
        (json!({"groupBy": ["pod"], "limit": 1}), vec![a]),
        (json!({"groupBy": ["pod"], "limit": 0}), vec![a, b]),
        (json!({"labelSelector": "{pod!=\"a\"}"}), vec!["{} [(15.0, 1.0)]"]),
        (
            json!({"labelSelector": "{nothing!=\"a\",pod=~\"a|x\"}"}),
            vec!["{} [(15.0, 3.0), (45.0, 1.0)]"],
        ),
        (json!({"groupBy": ["time", "value"]}), vec!["{} [(15.0, 4.0), (45.0, 1.0)]"]),
        (json!({"seriesValue": "sum"}), vec!["{} [(15.0, 60000000000.0), (45.0, 15000000000.0)]"]),
        (json!({"intervalMs": 30_000.0}), vec!["{} [(30.0, 2.0), (60.0, 0.5)]"]),
        (
            json!({"frameFilter": {"includeFunctionNames": ["work"]}}),
            vec!["{} [(15.0, 2.0), (45.0, 1.0)]"],
        ),
        (
            json!({"frameFilter": {"excludeFunctionNameRegexes": ["^wor"]}}),
            vec!["{} [(15.0, 2.0)]"],
        ),
        (json!({"labelSelector": "{pod=\"none\"}"}), vec!["{} []"]),
    ] {
        let response = ask(&source, begin, vec![query(more.clone())]).await;
        assert_eq!(told(&response), expected, "{more}");
    }
    let limited = ask(&source, begin, vec![query(json!({"groupBy": ["pod"], "limit": 1}))]).await;
    let notices = limited["results"]["A"]["frames"][0]["schema"]["meta"]["notices"].to_string();
    assert!(notices.contains("1 smaller series are left out"), "{notices}");
}

#[tokio::test]
async fn flame_graphs_are_chosen_cut_and_compared() {
    let begin = begin();
    let (_server, source) = v2(begin).await;
    for (query, expected) in [
        (
            json!({"stackTraceSelector": ["main", "work"]}),
            vec!["0 45 0 total", "1 45 0 main", "2 45 45 work"],
        ),
        (
            json!({"labelSelector": "{pod=\"b\"}"}),
            vec!["0 15 0 total", "1 15 0 main", "2 15 15 gc"],
        ),
        (
            json!({"groupBy": ["pod"], "frameFilter": {"excludeFunctionNames": ["work"]}}),
            vec!["0 30 0 total", "1 30 15 main", "2 15 15 gc"],
        ),
        (json!({"labelSelector": "{pod=\"none\"}"}), vec![]),
        (
            json!({"queryType": "diff", "baseline": {"labelSelector": "{pod=\"b\"}"}, "labelSelector": "{pod=\"a\"}"}),
            // Level, the baseline, what is compared with it, and the same of what is in the function itself.
            vec!["0 15 60 0 0 total", "1 15 60 0 15 main", "2 15 0 15 0 gc", "2 0 45 0 45 work"],
        ),
        (
            json!({"queryType": "diff", "baseline": {"timeShift": "1h"}}),
            vec!["0 0 75 0 0 total", "1 0 75 0 15 main", "2 0 15 0 15 gc", "2 0 45 0 45 work"],
        ),
    ] {
        let mut whole = json!({"refId": "A", "queryType": "profile", "profileTypeId": CPU});
        whole.as_object_mut().unwrap().extend(query.as_object().unwrap().clone());
        let response = ask(&source, begin, vec![whole]).await;
        let frame = &frames(&response, "A")[0];
        assert_eq!(rows(frame), expected, "{query}");
        let names: Vec<&str> = frame["schema"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        match query["queryType"] == "diff" {
            true => {
                assert_eq!(names, ["level", "value", "valueRight", "self", "selfRight", "label"])
            }
            false => assert_eq!(names, ["level", "value", "self", "label"]),
        }
        // An empty one is typed as a full one.
        assert_eq!(frame["schema"]["fields"].as_array().unwrap().last().unwrap()["type"], "enum");
    }
    let cut = json!({"refId": "A", "queryType": "profile", "profileTypeId": CPU, "maxNodes": 2});
    let response = ask(&source, begin, vec![cut]).await;
    let frame = &frames(&response, "A")[0];
    assert!(rows(frame).iter().any(|row| row.ends_with("other")), "{frame}");
    assert!(
        frame["schema"]["meta"]["notices"].to_string().contains("nodes, the largest"),
        "{frame}"
    );
}

#[tokio::test]
async fn statements_are_tables_series_and_flame_graphs() {
    let begin = begin();
    let (_server, source) = v2(begin).await;
    let sql = |statement: &str, format: &str| json!({"refId": "A", "queryType": "sql", "rawSql": statement, "format": format, "intervalMs": 30_000});
    let of_cpu = format!("FROM series WHERE profile_type = '{CPU}' AND $__timeFilter(time)");
    let table =
        sql(&format!("SELECT pod, sum(value) AS cpu {of_cpu} GROUP BY pod ORDER BY pod"), "table");
    let response = ask(&source, begin, vec![table]).await;
    let frame = &frames(&response, "A")[0];
    assert_eq!(*values(frame), json!([["a", "b"], [60_000_000_000_i64, 15_000_000_000_i64]]));
    assert_eq!(frame["schema"]["fields"][1]["config"]["unit"], "ns");

    let series = sql(
        &format!(
            "SELECT $__timeGroup(time, $__interval) AS t, pod, rate(sum(value), '$__interval') AS v {of_cpu} GROUP BY 1, 2 ORDER BY 1"
        ),
        "time_series",
    );
    let response = ask(&source, begin, vec![series]).await;
    let told: Vec<String> = frames(&response, "A")
        .iter()
        .map(|frame| {
            format!("{} {:?}", frame["schema"]["fields"][1]["labels"], points(frame, begin))
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"{"pod":"a"} [(0.0, 1500000000.0), (30.0, 500000000.0)]"#,
            r#"{"pod":"b"} [(0.0, 500000000.0)]"#,
        ]
    );

    let graph = sql(
        &format!(
            "SELECT * FROM (SELECT unnest(unnest(flamegraph(stack, value))) FROM samples WHERE profile_type = '{CPU}') AS f(level, value, self, label)"
        ),
        "flamegraph",
    );
    let response = ask(&source, begin, vec![graph]).await;
    let frame = &frames(&response, "A")[0];
    assert_eq!(values(frame)[3], json!(["total", "main", "gc", "work"]));
    assert_eq!(frame["schema"]["meta"]["preferredVisualisationType"], "flamegraph");

    let top = json!({"refId": "A", "queryType": "top", "profileTypeId": CPU, "sort": "total", "limit": 2});
    let response = ask(&source, begin, vec![top]).await;
    let frame = &frames(&response, "A")[0];
    assert_eq!(values(frame)[0], json!(["main", "work"]));
    assert!(frame["schema"]["meta"]["notices"].to_string().contains("more functions than 2"));
    assert_eq!(values(frame)[1], json!([15_000_000_000_i64, 45_000_000_000_i64]));
}

#[tokio::test]
async fn exemplars_stand_behind_their_series() {
    let begin = begin();
    for guise in [Guise::V2, Guise::V1] {
        let server = serve(memory(begin, &cpu()), guise).await;
        let source = support::source(&server.url, None);
        let query = json!({
            "refId": "A", "queryType": "metrics", "profileTypeId": CPU, "groupBy": ["pod"], "includeExemplars": true,
            "annotations": true,
        });
        let response = ask(&source, begin, vec![query]).await;
        let frames = frames(&response, "A");
        let names: Vec<&str> =
            frames.iter().map(|frame| frame["schema"]["name"].as_str().unwrap()).collect();
        if guise == Guise::V1 {
            assert_eq!(names, ["series", "series"]);
            let notices = frames[0]["schema"]["meta"]["notices"].to_string();
            assert!(notices.contains("there are no exemplars"), "{notices}");
            continue;
        }
        assert_eq!(names, ["series", "exemplar", "series", "exemplar"], "{response}");
        let of_a = &frames[1];
        assert_eq!(of_a["schema"]["meta"]["dataTopic"], "annotations");
        let fields: Vec<&str> = of_a["schema"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        assert_eq!(fields, ["Time", "Value", "Id", "pod", "service_name"]);
        assert_eq!(values(of_a)[1], json!([3.0, 1.0]));
        assert_eq!(values(of_a)[4], json!(["cart", "cart"]));
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_query_spoils_no_other() {
    let begin = begin();
    let (_server, source) = v2(begin).await;
    let long = "x".repeat(1 << 20);
    for (query, status, parts) in [
        (json!({"queryType": "profile"}), 400, vec!["no profile type is chosen", "profileTypeId"]),
        (
            json!({"queryType": "metrics", "profileTypeId": " "}),
            400,
            vec!["no profile type is chosen"],
        ),
        (json!({"queryType": "profile", "profileTypeId": "$type"}), 400, vec!["$type", "variable"]),
        (json!({"queryType": "profile", "profileTypeId": "a"}), 400, vec!["profileTypeId=\"a\""]),
        (
            json!({"queryType": "profile", "profileTypeId": "a:b"}),
            400,
            vec!["profileTypeId=\"a:b\""],
        ),
        (json!({"queryType": "profile", "profileTypeId": "a:b:c:d"}), 400, vec!["profileTypeId"]),
        (
            json!({"queryType": "profile", "profileTypeId": 5}),
            400,
            vec!["profileTypeId is to be a text, not 5"],
        ),
        (
            json!({"queryType": "streams", "profileTypeId": CPU}),
            400,
            vec!["queryType=\"streams\"", "metrics, profile"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "labelSelector": "{pod=}"}),
            400,
            vec!["labelSelector=\"{pod=}\""],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "labelSelector": "{pod=~\"(\"}"}),
            400,
            vec!["labelSelector"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "labelSelector": "{__name__=\"x\"}"}),
            400,
            vec!["__name__ is no label"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "labelSelector": format!("{{a=\"{long}\"}}")}),
            400,
            vec!["labelSelector"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "maxNodes": -1}),
            400,
            vec!["maxNodes=-1"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "maxNodes": 1.5}),
            400,
            vec!["maxNodes is to be a whole number, not 1.5"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": format!("a:b:c:d:{long}")}),
            400,
            vec!["profileTypeId has 1048584 bytes"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": "process_cpu:$t:nanoseconds:cpu:nanoseconds"}),
            400,
            vec!["$t is a variable"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "labelSelector": "{pod=~\"${pod:regex}\"}"}),
            400,
            vec!["labelSelector", "${pod:regex}"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "profileIdSelector": ["$id"]}),
            400,
            vec!["profileIdSelector", "$id"],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "groupBy": ["[[label]]"]}),
            400,
            vec!["groupBy", "[[label]]"],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "groupBy": (0..51).map(|n| format!("l{n}")).collect::<Vec<_>>()}),
            400,
            vec!["groupBy has 51 labels"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "frameFilter": {"includeFunctionNames": [long]}}),
            400,
            vec!["frameFilter.includeFunctionNames has 1048576 bytes"],
        ),
        (
            json!({"queryType": "diff", "profileTypeId": CPU, "baseline": {"labelSelector": "{"}}),
            400,
            vec!["baseline.labelSelector"],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "frameFilter": {"excludeFunctionNameRegexes": ["a("]}}),
            400,
            vec!["frameFilter.excludeFunctionNameRegexes: \"a(\""],
        ),
        (json!({"queryType": long, "profileTypeId": CPU}), 400, vec!["queryType=\"xxx"]),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "timeRange": {"from": "x", "to": "1"}}),
            400,
            vec!["timeRange.from=\"x\""],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "includeHeatmap": true}),
            501,
            vec!["includeHeatmap"],
        ),
        (
            json!({"queryType": "sql", "format": "flamegraph", "rawSql": "SELECT 'a' AS level, 1 AS value, 1 AS self, 'x' AS label"}),
            400,
            vec!["level is Utf8"],
        ),
        (
            json!({"queryType": "sql", "rawSql": "SELECT unnest(range(2000000))"}),
            400,
            vec!["more than 1000000 rows"],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "spanSelector": ["xyz"]}),
            400,
            vec!["spanSelector: \"xyz\""],
        ),
        (
            json!({"queryType": "profile", "profileTypeId": CPU, "spanSelector": ["0123456789abcdef"], "profileIdSelector": ["x"]}),
            400,
            vec!["cannot be used together"],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "groupBy": "pod"}),
            400,
            vec!["groupBy is to be a list of texts, not \"pod\""],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "intervalMs": 0}),
            400,
            vec!["intervalMs=0"],
        ),
        (
            json!({"queryType": "metrics", "profileTypeId": CPU, "timeRange": {"from": "2", "to": "1"}}),
            400,
            vec!["ends before it begins"],
        ),
        (json!({"queryType": "diff", "profileTypeId": CPU}), 400, vec!["baseline is missing"]),
        (
            json!({"queryType": "diff", "profileTypeId": CPU, "baseline": {"timeShift": "5"}}),
            400,
            vec!["baseline.timeShift: \"5\" has no unit"],
        ),
        (json!({"queryType": "sql"}), 400, vec!["rawSql is missing"]),
        (json!({"queryType": "sql", "rawSql": "SELECT nothing FROM series"}), 400, vec!["nothing"]),
        (
            json!({"queryType": "sql", "rawSql": "SELECT $__what()"}),
            400,
            vec!["$__what is no macro"],
        ),
        (
            json!({"queryType": "sql", "rawSql": "SELECT 1", "format": "time_series"}),
            400,
            vec!["format=time_series"],
        ),
        (json!({"queryType": "sql", "rawSql": "CREATE TABLE x (a INT)"}), 400, vec!["only reads"]),
        (json!(7), 400, vec!["a query is an object, not 7"]),
    ] {
        let mut bad = query.clone();
        if let Some(bad) = bad.as_object_mut() {
            bad.insert("refId".to_owned(), json!("BAD"));
        }
        let good = json!({"refId": "GOOD", "queryType": "profile", "profileTypeId": CPU});
        let response = ask(&source, begin, vec![bad, good]).await;
        assert_eq!(frames(&response, "GOOD").len(), 1);
        let bad = response["results"].get("BAD").unwrap_or(&response["results"]["A"]);
        let text = bad["error"].as_str().unwrap_or_else(|| panic!("{query}: {bad}"));
        for part in parts {
            assert!(text.contains(part), "{query}: {text}");
        }
        assert!(text.len() < 1000, "{text}");
        assert_eq!((&bad["status"], &bad["errorSource"]), (&json!(status), &json!("downstream")));
    }
}

#[tokio::test]
async fn labels_may_have_quotes_and_newlines() {
    let begin = begin();
    let memory = Memory::new();
    let pod = "it's \"a\"\n\\b";
    let tree = folded::decode(b"ma'in;wo\"rk 3000000000").unwrap().into_tree();
    let time = Timestamp::from_nanos((begin + 10) * SECOND);
    memory.insert(&cpu(), &labels(pod), time, 0, &tree).unwrap();
    let server = serve(memory, Guise::V2).await;
    let source = support::source(&server.url, None);
    let query = json!({
        "refId": "it's", "queryType": "both", "profileTypeId": CPU, "groupBy": ["pod", "it's \"x\""],
        "labelSelector": format!("{{pod={}}}", json!(pod)), "stackTraceSelector": ["ma'in"],
    });
    let response = ask(&source, begin, vec![query]).await;
    let frames = frames(&response, "it's");
    assert_eq!(frames[0]["schema"]["fields"][1]["labels"], json!({"pod": pod}));
    assert_eq!(rows(&frames[1]), ["0 3 0 total", "1 3 0 ma'in", "2 3 3 wo\"rk"]);
    assert!(
        frames[0]["schema"]["meta"]["notices"].to_string().contains("for the flame graph alone")
    );
}

#[tokio::test]
async fn a_wrong_min_step_is_an_error_that_flame_graphs_survive() {
    let begin = begin();
    let server = serve(memory(begin, &cpu()), Guise::V2).await;
    let mut settings = settings(&server.url, None);
    settings.min_step = flamesql_datasource::Settings::read(
        &flamesql_datasource::InstanceSettings {
            url: server.url.clone(),
            json_data: br#"{"minStep": "0s"}"#.to_vec(),
            ..Default::default()
        },
        flamesql_datasource::Allow::Servers,
    )
    .unwrap()
    .min_step;
    let source = DataSource::new(settings);
    let query = |ref_id: &str, kind: &str| json!({"refId": ref_id, "queryType": kind, "profileTypeId": CPU});
    let queries = vec![query("M", "metrics"), query("P", "profile"), query("B", "both")];
    let response = ask(&source, begin, queries).await;
    assert_eq!(frames(&response, "P").len(), 1);
    for ref_id in ["M", "B"] {
        let error = response["results"][ref_id]["error"].as_str().unwrap();
        assert!(error.contains("minStep") && error.contains("0s"), "{error}");
        assert_eq!(response["results"][ref_id]["frames"], json!([]));
    }
}

#[tokio::test]
async fn a_dashboard_has_the_same_answer_run_after_run() {
    let begin = begin();
    let (_server, source) = v2(begin).await;
    let queries: Vec<Value> = (0..20)
        .map(|panel| {
            json!({
                "refId": format!("P{panel:02}"), "queryType": "both", "profileTypeId": CPU,
                "groupBy": if panel % 2 == 0 { json!(["pod"]) } else { json!([]) }, "intervalMs": 60_000,
                "timeRange": {"from": (begin - 86_400) * 1000, "to": (begin + 60) * 1000},
            })
        })
        .collect();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut json = Vec::new();
        let response = respond(&source, begin, queries.clone()).await;
        assert_eq!((response.status(), response.results.len()), (200, 20));
        response.write_json(&mut json).unwrap();
        answers.push(String::from_utf8(json).unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[tokio::test]
async fn hidden_queries_are_not_asked_and_ref_ids_are_told_apart() {
    let begin = begin();
    let (_server, source) = v2(begin).await;
    let sql =
        |ref_id: &str| json!({"refId": ref_id, "queryType": "sql", "rawSql": "SELECT 1 AS one"});
    let mut hidden = sql("H");
    hidden["hide"] = json!(true);
    let response = ask(&source, begin, vec![hidden, sql("A"), sql("B"), sql("A")]).await;
    assert_eq!(response["results"].as_object().unwrap().keys().collect::<Vec<_>>(), ["A", "B"]);
    let error = response["results"]["A"]["error"].as_str().unwrap();
    assert!(error.contains("two queries have the refId \"A\""), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_told_by_each_query() {
    let source = support::source("http://127.0.0.1:9", None);
    let query = json!({"refId": "A", "queryType": "both", "profileTypeId": HEAP});
    let response = ask(&source, begin(), vec![query]).await;
    let result = &response["results"]["A"];
    assert!(result["error"].as_str().unwrap().contains("connection refused"), "{result}");
    assert_eq!((&result["status"], &result["errorSource"]), (&json!(502), &json!("downstream")));
}

#[test]
fn requests_are_read_as_grafana_writes_them() {
    let body = br#"{"from": "now-1h", "to": "now", "queries": [
        {"refId": "A", "datasource": {"uid": "x", "type": "phlare"}},
        {"refId": "B", "datasource": "y"}, {"refId": "C"}, {"refId": "D", "datasource": {"uid": "x"}}]}"#;
    let parts = QueryRequest::read(body).unwrap().by_source().unwrap();
    let told: Vec<(Option<String>, Vec<String>)> =
        parts.into_iter().map(|(uid, part)| (uid, part.ref_ids().collect())).collect();
    let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            (Some("x".to_owned()), owned(&["A", "D"])),
            (Some("y".to_owned()), owned(&["B"])),
            (None, owned(&["C"])),
        ]
    );
    for (body, part) in [
        ("", "no JSON"),
        ("[]", "an object"),
        (r#"{"queries": []}"#, "from and to are missing"),
        (r#"{"from": "0", "to": "1"}"#, "queries is missing"),
        (r#"{"from": "0", "to": "1", "queries": []}"#, "no queries"),
        (r#"{"from": "2", "to": "1", "queries": [{}]}"#, "ends before it begins"),
    ] {
        let error = QueryRequest::read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part), "{body}: {error}");
    }
}
