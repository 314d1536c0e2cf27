//! Statements over servers, played back from what they answered: the sums of the shop for every generation, or the reason
//! why this one cannot tell.
//!
//! Only what was recorded can be asked; the backend's `tests/replay.rs` says which questions are as good as the same, and
//! fails a test that asks for anything else. Times are whole bins and the first minute, therefore.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
    util::display::array_value_to_string,
};
use flamesql_backend::{Generation, PyroscopeOptions, Server, ServerKind};
use flamesql_engine::{Engine, Error, Session, SessionOptions};
use flamesql_profile::{Step, TimeRange, Timestamp};

use crate::{
    replay::{Call, Exchange, Fields, Recording, Replay, query_fields},
    shop::{self, Sample},
};

const V2: &str = "pyroscope-2.2-v2";
const V1: &str = "pyroscope-2.2-v1";
const V115: &str = "pyroscope-1.15";
const PHLARE: &str = "phlare-0.6";
const SERVERS: &[&str] = &[V2, V1, V115, PHLARE];
const PYROSCOPES: &[&str] = &[V2, V1, V115];

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const COUNT: &str = "process_cpu:samples:count:cpu:nanoseconds";
const INUSE: &str = "memory:inuse_space:bytes:space:bytes";
const SECOND: i64 = 1_000_000_000;

/// Rows of texts and a number, which is the last column.
type Rows = BTreeMap<Vec<String>, i64>;

/// A session whose range is that of the shop, or begins earlier.
async fn session(replay: &Replay, t0: i64, earlier: i64, max_range: bool) -> Session {
    let mut options = PyroscopeOptions::default();
    if !max_range {
        options.max_range = None;
    }
    let server = Server::open(&replay.url(), None, &options).await.unwrap();
    session_of(&server, t0, earlier)
}

fn session_of(server: &Server, t0: i64, earlier: i64) -> Session {
    let engine = Engine::builder().source("shop", Arc::clone(server.backend())).build().unwrap();
    let mut options = SessionOptions::default();
    let at = |seconds: i64| Some(Timestamp::from_nanos(seconds * SECOND).to_string());
    (options.from, options.to) = (at(t0 - earlier), at(t0 + 300));
    options.profile_type = Some(CPU.to_owned());
    engine.session_with(&options).unwrap()
}

async fn rows(session: &Session, sql: &str) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    for batch in session.query(sql).await?.collect().await? {
        let (value, keys) = batch.columns().split_last().unwrap();
        let values = cast(value, &DataType::Int64).unwrap();
        let values = values.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let key = keys.iter().map(|column| match column.data_type() {
                _ if column.is_null(row) => "NULL".to_owned(),
                DataType::Timestamp(..) => {
                    let nanos = cast(column, &DataType::Int64).unwrap();
                    nanos.as_primitive::<Int64Type>().value(row).to_string()
                }
                _ => array_value_to_string(column, row).unwrap(),
            });
            let key: Vec<String> = key.collect();
            assert_eq!(rows.insert(key, values.value(row)), None, "{sql}");
        }
    }
    Ok(rows)
}

/// What a server was given: see the backend's `tests/recorded/README.md`.
fn given(name: &str, t0: i64) -> Vec<Sample> {
    let mut samples = shop::samples();
    let opens = samples.iter().map(|sample| sample.time).min().unwrap() / SECOND * SECOND;
    for sample in &mut samples {
        sample.time += t0 * SECOND - opens;
        sample.labels.remove("file");
        if [V115, PHLARE].contains(&name)
            && let Some(value) = sample.labels.remove("k8s.cluster")
        {
            sample.labels.insert("k8s_cluster".to_owned(), value);
        }
        if name == V115 && !sample.trace.is_empty() {
            sample.labels.insert("trace_id".to_owned(), sample.trace.clone());
        }
    }
    samples.retain(|sample| sample.value != 0);
    samples
}

/// The rows of a statement, worked out here: which samples, by which keys.
struct Truth {
    of: fn(&Sample) -> bool,
    by: fn(&Sample) -> Vec<Vec<String>>,
}

impl Truth {
    fn rows(&self, samples: &[Sample]) -> Rows {
        let mut rows = Rows::new();
        for sample in samples.iter().filter(|sample| (self.of)(sample)) {
            for key in BTreeSet::from_iter((self.by)(sample)) {
                *rows.entry(key).or_default() += sample.value;
            }
        }
        rows
    }
}

fn label(sample: &Sample, name: &str) -> String {
    sample.labels.get(name).cloned().unwrap_or_else(|| "NULL".to_owned())
}

fn is(sample: &Sample, name: &str, value: &str) -> bool {
    sample.labels.get(name).is_some_and(|v| v == value)
}

fn cpu(sample: &Sample) -> bool {
    sample.profile_type == CPU
}

fn of_checkout(sample: &Sample) -> bool {
    cpu(sample) && is(sample, "service_name", "checkout")
}

fn all(_: &Sample) -> Vec<Vec<String>> {
    vec![Vec::new()]
}

fn leaf(sample: &Sample) -> Vec<Vec<String>> {
    vec![vec![sample.stack.last().unwrap().clone()]]
}

fn functions(sample: &Sample) -> Vec<Vec<String>> {
    sample.stack.iter().map(|name| vec![name.clone()]).collect()
}

fn stack(sample: &Sample) -> Vec<Vec<String>> {
    vec![vec![sample.stack.join("|")]]
}

fn calls(sample: &Sample) -> Vec<Vec<String>> {
    sample.stack.windows(2).map(<[String]>::to_vec).collect()
}

fn bin(sample: &Sample) -> String {
    bin_of(sample, 60)
}

fn bin_of(sample: &Sample, seconds: i64) -> String {
    let step = Step::from_nanos(seconds * SECOND).unwrap();
    let at = Timestamp::from_nanos(sample.time).floor(step, Timestamp::from_nanos(0));
    at.nanos().to_string()
}

/// Statements, the servers that can be asked for them, a recorded question that is asked for the answer, and the truth.
/// `{from}` and `{minute}` are when the shop opened and a minute later.
const STATEMENTS: &[(&str, &[&str], &[&str], Truth)] = &[
    (
        "SELECT sum(value) FROM series",
        SERVERS,
        &["series, one bin over the range", "stacks, tree, everything"],
        Truth { of: cpu, by: all },
    ),
    (
        // Over 2^53, so that the doubles of a series do not tell.
        "SELECT sum(value) FROM series WHERE pod = 'big'",
        SERVERS,
        &["series, value over 2^53", "stacks, value over 2^53"],
        Truth { of: |s| cpu(s) && is(s, "pod", "big"), by: all },
    ),
    (
        "SELECT region, sum(value) FROM series GROUP BY region",
        SERVERS,
        &["series, by a label that some lack", "stacks, region empty"],
        Truth { of: cpu, by: |s| vec![vec![label(s, "region")]] },
    ),
    (
        "SELECT service_name, sum(value) FROM series WHERE profile_type = '{count}' GROUP BY 1",
        SERVERS,
        &["series, samples type"],
        Truth { of: |s| s.profile_type == COUNT, by: |s| vec![vec![label(s, "service_name")]] },
    ),
    (
        "SELECT pod, service_name, date_bin(INTERVAL '1 minute', time), sum(value) FROM series \
         WHERE service_name IN ('checkout', 'search') GROUP BY 1, 2, 3",
        SERVERS,
        &["series, by service and pod, filtered"],
        Truth {
            of: |s| of_checkout(s) || cpu(s) && is(s, "service_name", "search"),
            by: |s| vec![vec![label(s, "pod"), label(s, "service_name"), bin(s)]],
        },
    ),
    (
        "SELECT date_bin(INTERVAL '1 minute', time), sum(value) FROM series \
         WHERE profile_type = '{inuse}' GROUP BY 1",
        SERVERS,
        &["series, memory"],
        Truth { of: |s| s.profile_type == INUSE, by: |s| vec![vec![bin(s)]] },
    ),
    (
        "SELECT function, sum(self) FROM functions WHERE service_name = 'checkout' \
         GROUP BY 1 HAVING sum(self) > 0",
        SERVERS,
        &["stacks, tree|stacks, flame graph"],
        Truth { of: of_checkout, by: leaf },
    ),
    (
        "SELECT function, sum(total) FROM functions WHERE service_name = 'checkout' GROUP BY 1",
        SERVERS,
        &["stacks, tree|stacks, flame graph"],
        Truth { of: of_checkout, by: functions },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples \
         WHERE service_name = 'checkout' GROUP BY 1",
        SERVERS,
        &["stacks, tree|stacks, flame graph"],
        Truth { of: of_checkout, by: stack },
    ),
    (
        "SELECT caller, callee, sum(value) FROM call_edges WHERE service_name = 'checkout' GROUP BY 1, 2",
        SERVERS,
        &["stacks, tree|stacks, flame graph"],
        Truth { of: of_checkout, by: calls },
    ),
    (
        "SELECT function, sum(total) FROM functions GROUP BY 1",
        SERVERS,
        &["stacks, tree, everything"],
        Truth { of: cpu, by: functions },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples GROUP BY 1",
        SERVERS,
        &["stacks, tree, everything"],
        Truth { of: cpu, by: stack },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples WHERE pod = 'big' GROUP BY 1",
        SERVERS,
        &["stacks, value over 2^53"],
        Truth { of: |s| cpu(s) && is(s, "pod", "big"), by: stack },
    ),
    (
        // What lies on the border is asked for as well, and taken off.
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples \
         WHERE time >= TIMESTAMP '{from}' AND time < TIMESTAMP '{minute}' GROUP BY 1",
        SERVERS,
        &[
            "stacks, tree, first minute and a millisecond",
            "stacks, tree, the millisecond after the first minute",
        ],
        Truth { of: |s| cpu(s) && s.time / SECOND % 300 < 60, by: stack },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples WHERE pod = 'nobody' GROUP BY 1",
        SERVERS,
        &["stacks, empty answer, tree|stacks, empty answer, flame graph"],
        Truth { of: |_| false, by: stack },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples WHERE \"k8s.cluster\" = 'prod' GROUP BY 1",
        &[V2, V1],
        &["stacks, UTF-8 label selector"],
        Truth { of: |s| cpu(s) && is(s, "k8s.cluster", "prod"), by: stack },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples \
         WHERE service_name = 'checkout' AND in_span('0000000000003e91') GROUP BY 1",
        PYROSCOPES,
        &["span profile"],
        Truth { of: |s| cpu(s) && s.span == "0000000000003e91", by: stack },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples \
         WHERE service_name = 'checkout' AND in_trace('000000000000000000000000000003ea') GROUP BY 1",
        &[V2],
        &["stacks, one trace"],
        Truth { of: |s| cpu(s) && s.trace == "000000000000000000000000000003ea", by: stack },
    ),
];

fn filled(sql: &str, t0: i64) -> String {
    let at = |seconds: i64| {
        Timestamp::from_nanos(seconds * SECOND).to_string().trim_end_matches('Z').to_owned()
    };
    sql.replace("{count}", COUNT)
        .replace("{inuse}", INUSE)
        .replace("{from}", &at(t0))
        .replace("{minute}", &at(t0 + 60))
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_give_the_sums_of_the_shop() {
    for name in SERVERS {
        let t0 = Recording::connect(name).t0;
        let samples = given(name, t0);
        for (sql, servers, questions, truth) in STATEMENTS {
            if !servers.contains(name) {
                continue;
            }
            let mut recording = Recording::connect(name);
            if sql.contains("in_trace") {
                recording = recording.refusing_traces();
            }
            let replay = recording.start();
            let session = session(&replay, t0, 0, true).await;
            let sql = filled(sql, t0);
            let found = rows(&session, &sql).await;
            let unknown = replay.take_unknown();
            assert!(unknown.is_empty(), "{name}: {sql}\nasked what is not recorded: {unknown:?}");
            let found = found.unwrap_or_else(|error| panic!("{name}: {sql}\n{error}"));
            assert_eq!(found, truth.rows(&samples), "{name}: {sql}");
            let asked = replay.asked();
            for question in *questions {
                let is_asked = question.split('|').any(|q| asked.iter().any(|asked| asked == q));
                assert!(is_asked, "{name}: {sql}\n{question:?} is not among {asked:?}");
            }
        }
    }
}

/// The same of a server that is there, into which the shop was pushed:
///
///     FLAMESQL_LIVE_URL=http://127.0.0.1:4040 FLAMESQL_LIVE_T0=1795625100 cargo test --workspace --test tests live
///
/// The second variable says when the shop opened, in seconds. Without both nothing is asked.
#[tokio::test(flavor = "multi_thread")]
async fn statements_give_the_sums_of_a_live_server() {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(url), Some(t0)) = (variable("FLAMESQL_LIVE_URL"), variable("FLAMESQL_LIVE_T0"))
    else {
        return;
    };
    let t0: i64 = t0.parse().unwrap();
    let server = Server::open(&url, None, &PyroscopeOptions::default()).await.unwrap();
    let name = match server.kind() {
        ServerKind::Connect(Generation::V2) => V2,
        ServerKind::Connect(Generation::Phlare) => PHLARE,
        _ if server.version().is_some_and(|v| v.trim_start_matches('v').starts_with("1.")) => V115,
        _ => V1,
    };
    let samples = given(name, t0);
    let session = session_of(&server, t0, 0);
    let mut n_asked = 0;
    for (sql, servers, _, truth) in STATEMENTS.iter().filter(|(_, of, ..)| of.contains(&name)) {
        let sql = filled(sql, t0);
        let found = rows(&session, &sql).await.unwrap_or_else(|e| panic!("{name}: {sql}\n{e}"));
        assert_eq!(found, truth.rows(&samples), "{name} of {servers:?}: {sql}");
        n_asked += 1;
    }
    assert!(n_asked > 10, "{name}: {n_asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_of_the_shop() {
    let one = |texts: &[&str]| (texts.iter().map(|text| (*text).to_owned()).collect(), 1);
    for name in SERVERS {
        let recording = Recording::connect(name);
        let t0 = recording.t0;
        let samples = given(name, t0);
        let replay = recording.start();
        let session = session(&replay, t0, 0, true).await;

        let sql = "SELECT profile_type, count(*) FROM profile_types GROUP BY 1";
        let types: BTreeSet<&str> = samples.iter().map(|s| s.profile_type.as_str()).collect();
        assert_eq!(
            rows(&session, sql).await.unwrap(),
            types.into_iter().map(|t| one(&[t])).collect()
        );

        // v1 does not show a label whose name has a dot; it can be asked for all the same.
        let dotted = if *name == V2 { "\"k8s.cluster\"" } else { "k8s_cluster" };
        let dotted = if *name == V1 { "NULL" } else { dotted };
        let sql = format!(
            "SELECT profile_type, service_name, pod, region, CAST({dotted} AS TEXT), count(*) > 0 \
             FROM label_sets GROUP BY 1, 2, 3, 4, 5"
        );
        let sets: BTreeSet<Vec<String>> = samples
            .iter()
            .map(|s| {
                let cluster = match *name {
                    V1 => "NULL".to_owned(),
                    V2 => label(s, "k8s.cluster"),
                    _ => label(s, "k8s_cluster"),
                };
                let own = ["service_name", "pod", "region"].map(|name| label(s, name));
                [vec![s.profile_type.clone()], own.to_vec(), vec![cluster]].concat()
            })
            .collect();
        let found = rows(&session, &sql).await.unwrap_or_else(|e| panic!("{name}: {sql}\n{e}"));
        assert_eq!(found, sets.into_iter().map(|set| (set, 1)).collect(), "{name}");

        // Phlare looks for values among what came last, so they are taken from series, which are not recorded.
        if *name != PHLARE {
            let sql = "SELECT value, count(*) FROM labels WHERE name = 'service_name' GROUP BY 1";
            let found = rows(&session, sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(found, ["checkout", "mail", "search"].map(|v| one(&[v])).into(), "{name}");
        }
    }
}

/// Where a server cannot tell, the error says so, and no server is asked what it would pass over.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_generation_cannot_is_said() {
    let trace = "SELECT sum(value) FROM samples WHERE service_name = 'checkout' \
                 AND in_trace('000000000000000000000000000003ea')";
    let span = "SELECT sum(value) FROM samples WHERE service_name = 'checkout' \
                AND in_span('0000000000003e91')";
    let profiles = "SELECT count(*) FROM profiles";
    let dotted = "SELECT sum(value) FROM samples WHERE labels['k8s.cluster'] = 'prod'";
    let storage_v2 = "only Pyroscope with storage v2 can";
    for (name, sql, text) in [
        (V1, trace, "trace"),
        (V115, trace, "trace"),
        (PHLARE, trace, "trace"),
        (PHLARE, span, "span"),
        (V1, profiles, storage_v2),
        (V115, profiles, storage_v2),
        (PHLARE, profiles, storage_v2),
        (V115, dotted, "k8s_cluster"),
        (PHLARE, dotted, "k8s.cluster"),
    ] {
        let recording = Recording::connect(name);
        let t0 = recording.t0;
        let replay = recording.start();
        let session = session(&replay, t0, 0, true).await;
        let error = rows(&session, sql).await.expect_err(sql);
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(told.contains(text), "{name}: {sql}\n{told}");
        let asked = replay.asked();
        assert!(!asked.iter().any(|asked| asked.starts_with("s")), "{name}: {sql}\n{asked:?}");
    }
}

/// Without slices a server says that a range is too long for it, and what to do is said with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_too_long_for_a_server_is_its_error() {
    for name in SERVERS {
        let recording = Recording::connect(name);
        let t0 = recording.t0;
        let replay = recording.start();
        let session = session(&replay, t0, 90_000, false).await;
        let sql = "SELECT function, sum(self) FROM functions GROUP BY 1";
        let error = rows(&session, sql).await.expect_err(sql);
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(told.contains("the query time range exceeds the limit"), "{name}: {told}");
        assert!(told.contains("shorter range"), "{name}: {told}");
        assert!(replay.asked().contains(&"error: range too long".to_owned()), "{name}");
    }
}

/// The server before those, whose profile types are apps: what it holds is the counts of the shop without `big`, by ten
/// seconds.
const LEGACY: &str = "pyroscope-0.37";

const OF_LEGACY: &[(&str, &str, Truth)] = &[
    ("SELECT sum(value) FROM series", "render", Truth { of: |_| true, by: all }),
    (
        "SELECT pod, sum(value) FROM series GROUP BY pod",
        "render, group by",
        Truth { of: |_| true, by: |s| vec![vec![label(s, "pod")]] },
    ),
    (
        "SELECT sum(value) FROM series WHERE pod = 'c-0'",
        "render, selector",
        Truth { of: |s| is(s, "pod", "c-0"), by: all },
    ),
    (
        "SELECT date_bin(INTERVAL '10 seconds', time), sum(value) FROM series GROUP BY 1",
        "render",
        Truth { of: |_| true, by: |s| vec![vec![bin_of(s, 10)]] },
    ),
    (
        "SELECT pod, date_bin(INTERVAL '1 minute', time), sum(value) FROM series GROUP BY 1, 2",
        "render, group by",
        Truth { of: |_| true, by: |s| vec![vec![label(s, "pod"), bin(s)]] },
    ),
    (
        "SELECT function, sum(self) FROM functions GROUP BY 1 HAVING sum(self) > 0",
        "render",
        Truth { of: |_| true, by: leaf },
    ),
    (
        "SELECT function, sum(total) FROM functions WHERE pod = 'c-0' GROUP BY 1",
        "render, selector",
        Truth { of: |s| is(s, "pod", "c-0"), by: functions },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples GROUP BY 1",
        "render",
        Truth { of: |_| true, by: stack },
    ),
    (
        "SELECT caller, callee, sum(value) FROM call_edges GROUP BY 1, 2",
        "render",
        Truth { of: |_| true, by: calls },
    ),
    (
        "SELECT array_to_string(stack, '|'), sum(value) FROM samples \
         WHERE time >= TIMESTAMP '{from}' AND time < TIMESTAMP '{minute}' GROUP BY 1",
        "render, first minute",
        Truth { of: |s| s.time / SECOND % 300 < 60, by: stack },
    ),
];

/// It was asked for as many nodes as it gives by itself; one node makes the same timeline.
fn legacy_fields(call: &Call<'_>) -> Fields {
    let mut fields = query_fields(call);
    if ["1", "8192"].map(Some).contains(&fields.get("max-nodes").map(String::as_str)) {
        fields.remove("max-nodes");
    }
    fields
}

fn legacy() -> Recording {
    let mut legacy = Recording::read(LEGACY, legacy_fields);
    // How it says that it has no such path.
    let none = legacy.exchange("a Connect path").clone();
    let path = "/capabilities.v1.FeatureFlagsService/GetFeatureFlags".to_owned();
    legacy.exchanges.push(Exchange { method: "POST".to_owned(), path, ..none });
    // Which columns there are is asked of each app, and was recorded for one: the others have no label beside.
    for app in ["mail.cpu", "search.cpu"] {
        let mut labels = legacy.exchange("labels of one app").clone();
        labels.fields.insert("query".to_owned(), format!("{app}{{}}"));
        legacy.exchanges.push(labels);
    }
    legacy
}

/// What it was given of one app.
fn given_to_legacy(t0: i64) -> Vec<Sample> {
    let mut samples = given(LEGACY, t0);
    samples.retain(|s| {
        s.profile_type == COUNT && is(s, "service_name", "checkout") && !is(s, "pod", "big")
    });
    for sample in &mut samples {
        for name in &mut sample.stack {
            *name = name.replace(';', ":");
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_give_the_sums_of_the_shop_by_the_legacy_server() {
    let t0 = legacy().t0;
    let samples = given_to_legacy(t0);
    for (sql, question, truth) in OF_LEGACY {
        let replay = legacy().start();
        let session = session(&replay, t0, 0, true).await;
        session.query("SET flamesql.profile_type = 'checkout.cpu'").await.unwrap();
        let sql = filled(sql, t0);
        let found = rows(&session, &sql).await;
        let unknown = replay.take_unknown();
        assert!(unknown.is_empty(), "{sql}\nasked what is not recorded: {unknown:?}");
        let found = found.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        assert_eq!(found, truth.rows(&samples), "{sql}");
        assert!(!found.is_empty(), "{sql}");
        let asked = replay.asked();
        assert!(asked.iter().any(|asked| asked == question), "{sql}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_legacy_server_cannot_is_said() {
    let t0 = legacy().t0;
    for (sql, text) in [
        ("SELECT sum(value) FROM samples WHERE in_span('0000000000003e91')", "span"),
        (
            "SELECT sum(value) FROM samples WHERE in_trace('000000000000000000000000000003ea')",
            "trace",
        ),
        ("SELECT count(*) FROM profiles", "does not tell its profiles apart"),
    ] {
        let replay = legacy().start();
        let session = session(&replay, t0, 0, true).await;
        session.query("SET flamesql.profile_type = 'checkout.cpu'").await.unwrap();
        let error = rows(&session, sql).await.expect_err(sql);
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(told.contains(text), "{sql}\n{told}");
        assert!(!replay.asked().iter().any(|asked| asked.starts_with("render")), "{sql}");
    }
}

/// The range of the shop as text is the range of the recordings.
#[test]
fn the_shop_is_open_for_whole_minutes() {
    for name in SERVERS {
        let t0 = Recording::connect(name).t0;
        assert_eq!(t0 % 300, 0, "{name}");
        let range = TimeRange::new(
            Timestamp::from_nanos(t0 * SECOND),
            Timestamp::from_nanos((t0 + 300) * SECOND),
        );
        let range = range.unwrap();
        assert!(given(name, t0).iter().all(|s| range.contains(Timestamp::from_nanos(s.time))));
    }
}
