//! What users type, and type wrongly.

use std::sync::Arc;

use flamesql_backend::{Capabilities, Memory};
use flamesql_engine::{Engine, ErrorKind, Session, SessionOptions, TypeChoice};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};

use super::relation::{self, CPU, HEAP, lines};

fn memory(types: &[(&str, &str)]) -> Memory {
    let memory = Memory::new();
    for (idx, (profile_type, text)) in types.iter().enumerate() {
        let labels: Labels = [("pod", if idx % 2 == 0 { "a" } else { "b" })].into_iter().collect();
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        let time = Timestamp::from_nanos(i64::try_from(idx).unwrap() * 1_000_000_000);
        memory.insert(&ProfileType::parse(profile_type).unwrap(), &labels, time, 0, &tree).unwrap();
    }
    memory
}

fn session(types: &[(&str, &str)]) -> Session {
    Engine::builder().source("m", Arc::new(memory(types))).build().unwrap().session()
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let answer = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&answer.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")), true)
}

async fn error(session: &Session, sql: &str) -> flamesql_engine::Error {
    match session.query(sql).await {
        Err(error) => error,
        Ok(answer) => answer.collect().await.expect_err(sql),
    }
}

#[tokio::test]
async fn a_type_is_named_found_or_asked_for() {
    let one = session(&[(CPU, "main;a 1")]);
    let answer = one.query("SELECT * FROM functions").await.unwrap();
    assert_eq!(answer.facts()[0].type_choice, TypeChoice::Only);

    let two = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    let e = error(&two, "SELECT * FROM functions").await;
    assert_eq!(e.kind(), ErrorKind::Query);
    assert!(e.to_string().contains(CPU) && e.to_string().contains(HEAP), "{e}");
    assert!(e.hint().unwrap().contains("profile_type"));

    assert_eq!(
        rows(&two, "SET flamesql.profile_type = 'inuse_space'; SELECT sum(value) FROM series")
            .await,
        ["2"]
    );
    let e = error(&two, "SET flamesql.profile_type = 'wall'; SELECT sum(value) FROM series").await;
    assert!(e.to_string().starts_with("there is no profile type \"wall\""), "{e}");
    let none = rows(&two, "SELECT count(*) FROM samples WHERE profile_type = 'x'").await;
    assert_eq!(none, ["0"]);
}

#[tokio::test]
async fn which_type_is_meant_does_not_depend_on_times() {
    // One after the other: in each half of time there is one type alone.
    let two = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    for sql in [
        "SELECT sum(value) FROM series WHERE time < '1970-01-01T00:00:01'",
        "SELECT (SELECT sum(value) FROM series WHERE time < '1970-01-01T00:00:01') - \
         (SELECT sum(value) FROM series WHERE time >= '1970-01-01T00:00:01')",
    ] {
        let e = error(&two, sql).await;
        assert!(e.to_string().starts_with("no profile type is named"), "{sql}: {e}");
    }
    let hinted = "SET flamesql.profile_type = 'inuse_space'; \
                  SELECT sum(value) FROM series WHERE time < '1970-01-01T00:00:01'";
    assert_eq!(rows(&two, hinted).await, ["NULL"]);
    let listed = "SET flamesql.profile_type = 'inuse_space'; \
                  SELECT count(*) FROM profiles WHERE time < '1970-01-01T00:00:01'";
    assert_eq!(rows(&two, listed).await, ["0"]);
}

#[tokio::test]
async fn a_condition_that_is_always_true_speaks_of_types_all_the_same() {
    let memory = memory(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    let memory = memory.with_default_profile_type(ProfileType::parse(CPU).unwrap());
    let session = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    assert_eq!(rows(&session, "SELECT count(*) FROM series").await, ["1"]);
    assert_eq!(rows(&session, "SELECT count(*) FROM series WHERE profile_type <> ''").await, ["2"]);
    for condition in ["LIKE '%'", "IS NOT NULL", "= profile_type", "~ '.*'", "LIKE 'p%' OR true"] {
        let sql = format!("SELECT count(*) FROM series WHERE profile_type {condition}");
        let e = error(&session, &sql).await;
        assert!(e.to_string().contains("though the statement speaks of it"), "{sql}: {e}");
        assert!(e.hint().unwrap().contains("profile_type <> ''"), "{sql}: {e:?}");
    }
}

#[tokio::test]
async fn a_time_in_a_zone_is_compared_as_it_is_shown() {
    // At midnight of 1970, which in Berlin was an hour before that of UTC.
    let one = session(&[(CPU, "main;a 1")]);
    let berlin = "time AT TIME ZONE 'Europe/Berlin'";
    for (condition, n) in [
        (format!("{berlin} >= '1970-01-01T00:00:00Z'"), 0),
        (format!("{berlin} < '1970-01-01T00:00:00Z'"), 1),
        (format!("{berlin} = '1969-12-31T23:00:00Z'"), 1),
        (format!("{berlin} BETWEEN '1969-12-31T22:59:59Z' AND '1969-12-31T23:00:01Z'"), 1),
        ("time AT TIME ZONE 'UTC' = '1970-01-01T00:00:00Z'".to_owned(), 1),
        ("time AT TIME ZONE '+02:00' = '1970-01-01T00:00:00+02:00'".to_owned(), 1),
    ] {
        let filtered = rows(&one, &format!("SELECT count(*) FROM series WHERE {condition}")).await;
        assert_eq!(filtered, [n.to_string()], "{condition}");
        let shown = rows(&one, &format!("SELECT {condition} FROM series")).await;
        assert_eq!(shown, [(n == 1).to_string()], "{condition}");
    }
    let grouped =
        format!("SELECT date_trunc('hour', {berlin}) AS h, sum(value) FROM series GROUP BY 1");
    assert_eq!(rows(&one, &grouped).await.len(), 1);
}

#[tokio::test]
async fn units_are_not_mixed() {
    let two = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    let both = format!("WHERE profile_type IN ('{CPU}', '{HEAP}')");
    let e = error(&two, &format!("SELECT sum(value) FROM series {both}")).await;
    assert!(e.to_string().contains("nanoseconds") && e.to_string().contains("bytes"), "{e}");
    let by_type = rows(
        &two,
        &format!("SELECT profile_type, sum(value) FROM series {both} GROUP BY 1 ORDER BY 1"),
    )
    .await;
    assert_eq!(by_type, [format!("{HEAP} | 2"), format!("{CPU} | 1")]);
}

#[tokio::test]
async fn the_session_has_a_range() {
    let s = session(&[(CPU, "main 1"), (CPU, "main 2"), (CPU, "main 4")]);
    assert_eq!(rows(&s, "SELECT sum(value) FROM series").await, ["7"]);
    assert_eq!(
        rows(&s, "SET flamesql.from = '1970-01-01T00:00:01Z'; SELECT sum(value) FROM series").await,
        ["6"]
    );
    assert_eq!(
        rows(&s, "SET flamesql.to = '1970-01-01T00:00:02Z'; SELECT sum(value) FROM series").await,
        ["2"]
    );
    // What the statement says stands against the session.
    assert_eq!(
        rows(&s, "SELECT sum(value) FROM series WHERE time >= TIMESTAMP '1970-01-01'").await,
        ["3"]
    );
    assert_eq!(rows(&s, "SELECT sum(value) FROM series WHERE time > now()").await, ["NULL"]);
    assert_eq!(rows(&s, "SELECT pod, sum(value) FROM series WHERE time > TIMESTAMP '1970-01-02' AND time < TIMESTAMP '1970-01-01' GROUP BY 1").await, [""; 0]);
    let mut options = SessionOptions::default();
    options.from = Some("nonsense".to_owned());
    let engine =
        Engine::builder().source("m", Arc::new(memory(&[(CPU, "main 1")]))).build().unwrap();
    assert!(engine.session_with(&options).unwrap_err().to_string().contains("nonsense"));
}

#[tokio::test]
async fn sources_are_schemas() {
    let engine = Engine::builder()
        .source("prod-eu", Arc::new(memory(&[(CPU, "main;a 5")])))
        .source("staging", Arc::new(memory(&[(CPU, "main;a 3")])))
        .default_source("staging")
        .build()
        .unwrap();
    let s = engine.session();
    let sql = "SELECT function, p.s - q.s FROM (SELECT function, sum(self) s FROM prod_eu.functions GROUP BY 1) p \
               JOIN (SELECT function, sum(self) s FROM functions GROUP BY 1) q USING (function) ORDER BY 1";
    assert_eq!(rows(&s, sql).await, ["a | 2", "main | 0"]);
    assert_eq!(rows(&s, "SELECT sum(value) FROM \"prod-eu\".series").await, ["5"]);
    let tables = rows(&s, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'staging' ORDER BY 1").await;
    assert_eq!(
        tables,
        [
            "annotations",
            "call_edges",
            "exemplars",
            "functions",
            "heatmap",
            "hot_functions",
            "label_sets",
            "labels",
            "profile_types",
            "profiles",
            "samples",
            "series"
        ]
    );
    let clash = Engine::builder()
        .source("a-b", Arc::new(Memory::new()))
        .source("a_b", Arc::new(Memory::new()));
    assert!(clash.build().unwrap_err().to_string().contains("a_b"));
    assert!(Engine::builder().build().is_err());
}

#[tokio::test]
async fn mistakes_are_named() {
    let s = session(&[(CPU, "main;a 1")]);
    for (sql, kind, text) in [
        ("SELECT functoin FROM functions", ErrorKind::Syntax, "function"),
        ("SELECT * FROM nothing", ErrorKind::Syntax, "nothing"),
        ("SELEC 1", ErrorKind::Syntax, "SELEC"),
        ("", ErrorKind::Syntax, "no statement"),
        ("SELECT nosuch(1)", ErrorKind::Syntax, "nosuch"),
        ("CREATE TABLE x (a INT)", ErrorKind::Syntax, "a session only reads"),
        ("COPY (SELECT 1) TO 'x.csv'", ErrorKind::Syntax, "a session only reads"),
        ("INSERT INTO series VALUES (1)", ErrorKind::Syntax, "a session only reads"),
        (
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x'",
            ErrorKind::Syntax,
            "a session only reads",
        ),
        (
            "SELECT date_bin(INTERVAL '-5 seconds', time) FROM series",
            ErrorKind::Query,
            "above zero",
        ),
        ("SELECT date_bin(INTERVAL '0 seconds', time) FROM series", ErrorKind::Query, "above zero"),
        (
            "SELECT date_bin(-INTERVAL '5 seconds', time) FROM series",
            ErrorKind::Query,
            "above zero",
        ),
        (
            "SELECT 1 FROM series WHERE pod ~ 'a(b'",
            ErrorKind::Syntax,
            "regex \"a(b\": unclosed group",
        ),
        (
            "SELECT 1 FROM functions WHERE function ~ '[a'",
            ErrorKind::Syntax,
            "unclosed character class",
        ),
        ("SELECT flamegraph(function, self) FROM functions", ErrorKind::Syntax, "flamegraph"),
        ("SELECT stack_depth(5)", ErrorKind::Syntax, "stack_depth(stack) takes a list of text"),
    ] {
        let e = error(&s, sql).await;
        assert_eq!(e.kind(), kind, "{sql}: {e}");
        assert!(
            e.to_string().contains(text) || e.hint().is_some_and(|h| h.contains(text)),
            "{sql}: {e}"
        );
        assert!(!e.to_string().contains("External error"), "{sql}: {e}");
    }
}

#[tokio::test]
async fn what_was_probably_meant_is_named() {
    let s = session(&[(CPU, "main;a 1")]);
    for (sql, meant) in [
        ("SELECT pdo FROM series", "did you mean pod? columns here: time, "),
        ("SELECT s.pdo FROM series AS s", "did you mean pod? "),
        ("SELECT functoin FROM functions", "did you mean function? "),
        ("SELECT smu(value) FROM series", "did you mean sum? "),
        ("SELECT flamegrph(stack, value) FROM samples", "did you mean flamegraph? "),
        ("SELECT rnk() OVER (ORDER BY value) FROM series", "did you mean rank? "),
        ("SELECT xyzzy(value) FROM series", "SHOW FUNCTIONS"),
        ("SET flamesql.puhsdown = false", "did you mean flamesql.pushdown? "),
        ("RESET flamesql.maxnodes", "did you mean flamesql.max_nodes? "),
        ("SHOW flamesql.form", "did you mean flamesql.from? "),
        ("SHOW flamesql.nope", "flamesql.* are from, to, profile_type, "),
        ("SELECT value FROM series GROUP BY pod WITH CUBE", "write GROUP BY CUBE(a, b)"),
    ] {
        let e = error(&s, sql).await;
        assert_eq!(e.kind(), ErrorKind::Syntax, "{sql}: {e}");
        assert!(e.hint().is_some_and(|hint| hint.starts_with(meant)), "{sql}: {:?}", e.hint());
    }
    let shown = "SET flamesql.from = 'now-1h'; RESET flamesql.from; SHOW flamesql.from";
    assert_eq!(rows(&s, shown).await, ["flamesql.from | NULL"]);
}

#[tokio::test]
async fn bins_finer_than_a_source_are_told() {
    let grain = flamesql_profile::Step::from_nanos(1_000_000_000).unwrap();
    let memory = memory(&[(CPU, "main;a 1"), (CPU, "main;a 2")])
        .with_capabilities(Capabilities::local("m").with_grain(grain));
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    for (sql, width) in [
        (
            "SELECT date_bin(INTERVAL '100 milliseconds', time), sum(value) FROM series GROUP BY 1",
            Some("100ms"),
        ),
        (
            "SELECT date_trunc('millisecond', t) FROM (SELECT time AS t, value FROM series)",
            Some("1ms"),
        ),
        (
            "SELECT count(*) FROM series WHERE value > 0 AND date_bin(INTERVAL '100 milliseconds', time) >= date_bin(INTERVAL '200 milliseconds', time)",
            Some("100ms"),
        ),
        ("SELECT date_bin(INTERVAL '1 second', time), sum(value) FROM series GROUP BY 1", None),
        ("SELECT date_bin(INTERVAL '1 month', time), sum(value) FROM series GROUP BY 1", None),
    ] {
        let answer = s.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let notices: Vec<String> =
            answer.facts().iter().flat_map(|f| &f.notices).map(ToString::to_string).collect();
        let expected: Vec<String> = width
            .map(|width| format!("m: bins of {width} are finer than its grain of 1s"))
            .into_iter()
            .collect();
        assert_eq!(notices, expected, "{sql}");
        assert!(!answer.collect().await.unwrap().is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn answers_that_are_empty_for_a_reason_say_it() {
    let s = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    for (sql, notice) in [
        (
            format!(
                "SELECT sum(value) FROM series WHERE profile_type = '{}'",
                CPU.replace("cpu:cpu", "cpu:cqu")
            ),
            format!("did you mean {CPU}?"),
        ),
        (
            "SELECT sum(value) FROM series WHERE profile_type = 'inuse_space'".to_owned(),
            format!("did you mean {HEAP}?"),
        ),
        (
            "SELECT sum(value) FROM series WHERE profile_type = 'other'".to_owned(),
            "no profile type qualifies; ".to_owned(),
        ),
        (
            format!(
                "SELECT sum(value) FROM series WHERE profile_type = '{CPU}' AND time > TIMESTAMP '2030-01-01' AND time < TIMESTAMP '2020-01-01'"
            ),
            "exclude each other".to_owned(),
        ),
        (
            format!("SELECT sum(value) FROM series WHERE profile_type = '{CPU}' AND pod IN (NULL)"),
            "no row can fulfil".to_owned(),
        ),
    ] {
        let answer = s.query(&sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let notices: Vec<String> = answer
            .facts()
            .iter()
            .flat_map(|f| f.notices.iter().map(|n| n.reason.clone()))
            .collect();
        assert!(notices.iter().any(|told| told.contains(&notice)), "{sql}\n{notices:?}");
        assert_eq!(lines(&answer.collect().await.unwrap(), true), ["NULL"]);
    }
    let e =
        error(&s, &format!("SELECT 1 FROM series WHERE profile_type = '{CPU}' AND pod ~ 'ab(c'"))
            .await;
    assert_eq!(e.excerpt(), Some("  |\n1 | ab(c\n  |   ^\n"));
}

#[tokio::test]
async fn a_flame_graph_is_one_value() {
    let s = session(&[(CPU, "main;a 1\nmain;b;a 2\n"), (CPU, "main;a 4\ngc 1\n")]);
    let sql = "SELECT r['level'], r['value'], r['self'], r['label'] FROM \
               (SELECT unnest(flamegraph(stack, value)) AS r FROM samples WHERE profile_type LIKE 'process%')";
    let expected = [
        "0 | 8 | 0 | total",
        "1 | 1 | 1 | gc",
        "1 | 7 | 0 | main",
        "2 | 5 | 5 | a",
        "2 | 2 | 0 | b",
        "3 | 2 | 2 | a",
    ];
    assert_eq!(rows(&s, sql).await, expected);
    let by_pod =
        "SELECT pod, cardinality(flamegraph(stack, value)) FROM samples GROUP BY pod ORDER BY pod";
    assert_eq!(rows(&s, by_pod).await, ["a | 5", "b | 4"]);
    let none = "SELECT flamegraph(stack, value) IS NULL FROM samples WHERE pod = 'x'";
    assert_eq!(rows(&s, none).await, ["true"]);
    // Over a window it is asked for again and again.
    let running = "SELECT flamegraph(stack, value) OVER (ORDER BY value)[1]['value'] FROM samples ORDER BY value";
    assert_eq!(rows(&s, running).await, ["2", "2", "4", "8"]);
    // With a filter that no backend can apply the rows are merged by the function itself, in several parts.
    let fine = "SELECT flamegraph(stack, value) FROM samples WHERE value > 1";
    let plain = "SELECT flamegraph(stack, value) FILTER (WHERE value > 1) FROM samples";
    assert_eq!(rows(&s, fine).await, rows(&s, plain).await);
}

#[tokio::test]
async fn requests_are_counted_before_they_are_made() {
    let profiles = relation::profiles(5, 40, false);
    let one_by_one = relation::memory(&profiles, Capabilities::local("memory").without_groups());
    let engine = Engine::builder().source("m", Arc::new(one_by_one)).build().unwrap();
    let s = engine.session();
    let sql = format!("SELECT count(*) FROM samples WHERE profile_type = '{CPU}'");
    assert!(rows(&s, &sql).await[0].parse::<i64>().unwrap() > 10);
    let e = error(&s, &format!("SET flamesql.max_requests = 10; {sql}")).await;
    assert!(e.to_string().contains("requests") && e.to_string().contains("= 10"), "{e}");
}

#[tokio::test]
async fn a_limit_stops_the_work() {
    let profiles = relation::profiles(6, 50, false);
    let s = Engine::builder()
        .source("m", Arc::new(relation::memory(&profiles, Capabilities::local("memory"))))
        .build()
        .unwrap()
        .session();
    for n in [0, 1, 7] {
        let sql = format!(
            "SELECT time, pod, function FROM functions WHERE profile_type = '{CPU}' LIMIT {n}"
        );
        assert_eq!(rows(&s, &sql).await.len(), n);
    }
}

#[tokio::test]
async fn a_sum_that_does_not_fit_is_an_error() {
    let max = i64::MAX;
    let s = session(&[(CPU, &format!("main;a {max}")), (CPU, "main;b 1"), (CPU, "main;b -2")]);
    // Formed by the source, by the engine over R's rows, and by the engine over what the source added up.
    for sql in [
        "SELECT sum(value) FROM series WHERE time < TIMESTAMP '1970-01-01T00:00:02'",
        "SELECT sum(value) FROM series WHERE time < TIMESTAMP '1970-01-01T00:00:02' AND value > 0",
        "SELECT sum(value) FROM samples WHERE value > 0",
        "SELECT pod IS NULL, sum(value) FROM samples WHERE value > 0 GROUP BY 1",
        "SELECT sum(s) FROM (SELECT time, sum(value) AS s FROM series WHERE value > 0 GROUP BY time)",
        "SELECT sum(value) OVER (ORDER BY time) FROM series WHERE value > 0",
        "SELECT sum(DISTINCT value), sum(DISTINCT value + 1) FROM series WHERE value > 0",
    ] {
        let e = error(&s, sql).await;
        assert!(e.to_string().contains("does not fit"), "{sql}: {e}");
    }
    // Parts may leave the range if the end is in it.
    for sql in ["SELECT sum(value) FROM series", "SELECT sum(value) FROM samples WHERE value <> 0"]
    {
        assert_eq!(rows(&s, sql).await, [(max - 1).to_string()], "{sql}");
    }
    assert_eq!(rows(&s, "SELECT sum(x) FROM (VALUES (1.5), (2)) AS t(x)").await, ["3.5"]);
    assert_eq!(rows(&s, "SELECT sum(x) FROM (SELECT 1 AS x WHERE false)").await, ["NULL"]);
}

#[tokio::test]
async fn what_nobody_asked_for_may_be_too_large() {
    let large = 6_000_000_000_000_000_000_i64;
    let s = session(&[(CPU, &format!("a {large}")), (CPU, &format!("b {large}"))]);
    let rows_of = |n: i64| [format!("a | {n}"), format!("b | {n}")];
    assert_eq!(
        rows(&s, "SELECT function, sum(self) FROM functions GROUP BY 1 ORDER BY 1").await,
        rows_of(large)
    );
    assert_eq!(
        rows(&s, "SELECT function, sum(value) FROM samples GROUP BY 1 ORDER BY 1").await,
        rows_of(large)
    );
    assert_eq!(rows(&s, "SELECT DISTINCT function FROM functions ORDER BY 1").await, ["a", "b"]);
    assert_eq!(rows(&s, "SELECT DISTINCT 1 FROM series").await, ["1"]);
}

#[tokio::test]
async fn a_default_type_is_not_taken_by_who_speaks_of_types() {
    let memory = memory(&[(CPU, "main 1"), (HEAP, "main 2")])
        .with_default_profile_type(ProfileType::parse(CPU).unwrap());
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    assert_eq!(rows(&s, "SELECT sum(value) FROM series").await, ["1"]);
    let e =
        error(&s, "SELECT sum(CASE WHEN profile_type LIKE 'memory%' THEN value END) FROM series")
            .await;
    assert!(e.to_string().contains("speaks of it") && e.to_string().contains(HEAP), "{e}");
    let both = "SELECT DISTINCT pod FROM series WHERE profile_type LIKE '%:%' ORDER BY 1";
    assert_eq!(rows(&s, both).await, ["a", "b"], "no sum, so no unit");
}

#[tokio::test]
async fn the_number_of_requests_is_bounded_for_every_source() {
    let s = session(&[(CPU, "main 1")]);
    let sql = "SET flamesql.max_requests = 2; SELECT sum(value) FILTER (WHERE time < TIMESTAMP '1970-01-02'), \
               sum(value) FILTER (WHERE time < TIMESTAMP '1969-01-02'), \
               sum(value) FILTER (WHERE time < TIMESTAMP '1968-01-02') FROM series";
    assert!(error(&s, sql).await.to_string().contains("4 requests"));
}

#[tokio::test]
async fn names_of_megabytes_do_not_panic() {
    let name = "x".repeat(1 << 20);
    let stack = vec![name.as_str(); 1100].join(";");
    let s = session(&[(CPU, &format!("{stack} 1"))]);
    let e = error(&s, "SELECT cardinality(stack) FROM samples").await;
    assert!(e.to_string().contains("more than the limit"), "{e}");
    assert_eq!(rows(&s, "SELECT sum(value) FROM samples").await, ["1"]);
}

#[tokio::test]
async fn what_users_type_first() {
    let s = session(&[(CPU, "main;a 1\nmain;b;a 2\n"), (CPU, "main;a 4\ngc 1\n")]);
    assert_eq!(
        rows(&s, "SELECT * FROM hot_functions ORDER BY self DESC, total DESC").await,
        ["a | 7 | 7", "gc | 1 | 1", "main | 0 | 7", "b | 0 | 2"]
    );
    assert_eq!(
        rows(&s, "SELECT function FROM m.hot_functions ORDER BY self DESC LIMIT 1").await,
        ["a"]
    );
    let callers = "SELECT * FROM callers_of('a') ORDER BY 2 DESC";
    assert_eq!(rows(&s, callers).await, ["main | 5", "b | 2"]);
    let callees = "SELECT c.function FROM m.callees_of('main') AS c ORDER BY 1";
    assert_eq!(rows(&s, callees).await, ["a", "b"]);
    assert_eq!(rows(&s, "SELECT * FROM callers_of('it''s')").await, [""; 0]);
    let e = error(&s, "SELECT * FROM callers_of(1)").await;
    assert!(e.to_string().contains("callers_of('main')"), "{e}");
}

#[tokio::test]
async fn rows_of_a_flame_graph_are_not_unique_by_its_group() {
    let s = session(&[(CPU, "main;a 1\nmain;b 2\n"), (CPU, "main;a 4\n")]);
    let graph = "SELECT pod, unnest(flamegraph(stack, value)) AS r FROM samples GROUP BY pod";
    let sql = format!("SELECT pod, r['self'] FROM ({graph}) ORDER BY pod, 2");
    assert_eq!(
        rows(&s, &sql).await,
        ["a | 0", "a | 0", "a | 1", "a | 2", "b | 0", "b | 0", "b | 4"]
    );
    let sql = format!(
        "SELECT pod, r['label'] AS l, count(*) FROM ({graph}) GROUP BY pod, l ORDER BY 1, 2"
    );
    assert_eq!(rows(&s, &sql).await.len(), 7);
}

#[tokio::test]
async fn settings_are_seen() {
    let s = session(&[(CPU, "main;a 1\nmain;b 2\n")]);
    let sql = "SET flamesql.strict = true; SELECT value FROM information_schema.df_settings WHERE name = 'flamesql.strict'";
    assert_eq!(rows(&s, sql).await, ["true"]);
    assert_eq!(rows(&s, "SHOW flamesql.max_requests").await, ["flamesql.max_requests | 500"]);
    let n = "SELECT cardinality(flamegraph(stack, value)) FROM samples";
    assert_eq!(rows(&s, n).await, ["4"]);
    assert_eq!(rows(&s, &format!("SET flamesql.max_nodes = 1; {n}")).await, ["3"]);
    let off = "SET flamesql.pushdown = false; EXPLAIN FORMAT INDENT SELECT sum(value) FROM series";
    assert!(rows(&s, off).await.join("\n").contains("flamesql.pushdown is off"));
    assert_eq!(rows(&s, "SELECT sum(value) FROM series").await, ["3"]);
}

#[tokio::test]
async fn statements_that_are_too_large_are_refused_and_the_session_lives_on() {
    let s = session(&[(CPU, "main 1")]);
    let long = format!("SELECT {}", vec!["1"; 400_000].join("+"));
    let nested = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    let ors =
        format!("SELECT sum(value) FROM series WHERE {}", vec!["pod = 'x'"; 5000].join(" OR "));
    for sql in [long, nested, ors, format!("SELECT '{}'", "x".repeat(2 << 20))] {
        let e = error(&s, &sql).await;
        assert_eq!(e.kind(), ErrorKind::Syntax, "{e}");
    }
    let fits = format!(
        "SELECT sum(value) FROM series WHERE {}",
        vec!["length(pod) = 1"; 300].join(" OR ")
    );
    assert_eq!(rows(&s, &fits).await, ["1"]);
    let many: Vec<String> = (0..20_000).map(|n| format!("'p{n}'")).collect();
    let sql = format!("SELECT sum(value) FROM series WHERE pod IN ({}, 'a')", many.join(", "));
    assert_eq!(rows(&s, &sql).await, ["1"]);
    assert_eq!(rows(&s, "SELECT sum(value) FROM series").await, ["1"]);
}

/// `WITH c0 AS (...), c1 AS (...), ...`, each of which has `{}` for the one before it.
fn with(n: usize, each: &str, last: &str) -> String {
    let mut sql = "WITH c0 AS (SELECT pod, time, value AS v FROM series)".to_owned();
    for n in 1..=n {
        sql += &format!(", c{n} AS ({})", each.replace("{}", &format!("c{}", n - 1)));
    }
    format!("{sql} {}", last.replace("{}", &format!("c{n}")))
}

#[tokio::test]
async fn selects_on_each_other_come_to_an_end() {
    let s = session(&[(CPU, "main 1"), (CPU, "main 2")]);
    let double = "SELECT pod, time, v + v AS v FROM {}";
    let inner = format!("SELECT pod, time, v{} AS v FROM {{}}", " + 0".repeat(390));
    let ands = format!("SELECT * FROM {{}} WHERE {}", vec!["v > 0"; 300].join(" AND "));
    for (n, each, last) in [
        (30, double, "SELECT sum(v) FROM {} WHERE v > 5"),
        (30, double, "SELECT a.v FROM {} a JOIN {} b ON a.v = b.v"),
        (30, "SELECT * FROM {} UNION ALL SELECT * FROM {}", "SELECT sum(v) FROM {}"),
        (30, "SELECT a.* FROM {} a JOIN {} b ON a.pod = b.pod", "SELECT count(*) FROM {}"),
        (30, "SELECT * FROM {} WHERE v > (SELECT min(v) FROM {})", "SELECT count(*) FROM {}"),
        (30, "SELECT * FROM {} WHERE pod IN (SELECT pod FROM {})", "SELECT count(*) FROM {}"),
        (20, inner.as_str(), "SELECT sum(v) FROM {}"),
        (100, ands.as_str(), "SELECT sum(v) FROM {}"),
    ] {
        for explain in ["", "EXPLAIN "] {
            let sql = format!("{explain}{}", with(n, each, last));
            let e = error(&s, &sql).await;
            assert_eq!(e.kind(), ErrorKind::Syntax, "{each}: {e}");
            assert!(e.to_string().contains(" comes to "), "{each}: {e}");
        }
    }
    for (n, each, last, expected) in [
        (30, double, "SELECT max(v) FROM {}", 2_i64 << 30),
        (30, double, "SELECT sum(v) FROM {}", 3 << 30),
        (30, double, "SELECT sum(v) OVER () FROM {} LIMIT 1", 3 << 30),
        (30, double, "SELECT sum(s) FROM (SELECT v, sum(v) AS s FROM {} GROUP BY v)", 3 << 30),
        (10, double, "SELECT sum(v) FROM {} WHERE v > 5", 3 << 10),
        (100, "SELECT pod, time, v + 1 AS v FROM {}", "SELECT sum(v) FROM {}", 203),
        (140, "SELECT * FROM {} WHERE pod IN ('a', 'b')", "SELECT sum(v) FROM {}", 3),
        (7, "SELECT * FROM {} UNION ALL SELECT * FROM {}", "SELECT sum(v) FROM {}", 3 << 7),
        (1, inner.as_str(), "SELECT sum(v) FROM {}", 3),
    ] {
        let sql = with(n, each, last);
        assert_eq!(rows(&s, &sql).await, [expected.to_string()], "{sql}");
    }
    assert_eq!(rows(&s, "SELECT sum(value) FROM series").await, ["3"]);
}

#[tokio::test]
async fn recursion_comes_to_an_end() {
    let s = session(&[(CPU, "main;a;b 1\nmain;c 2")]);
    for (sql, text) in [
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
            "10000 rounds",
        ),
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT n FROM t ORDER BY n",
            "10000 rounds",
        ),
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t CROSS JOIN generate_series(1, 1000)) SELECT count(*) FROM t",
            "10000000 rows",
        ),
    ] {
        let e = error(&s, sql).await;
        assert!(e.kind() == ErrorKind::Query && e.to_string().contains(text), "{sql}: {e}");
    }
    let callees = "WITH RECURSIVE t AS (SELECT 'main' AS f UNION SELECT callee || '' FROM t JOIN call_edges ON caller = f) \
                   SELECT f FROM t ORDER BY f";
    assert_eq!(rows(&s, callees).await, ["a", "b", "c", "main"]);
}

#[tokio::test]
async fn two_scans_that_need_the_same_ask_once() {
    let s = session(&[(CPU, "main;a 1\nmain;b 2\n")]);
    let sql = "SELECT f.function, f.s, l.v FROM \
               (SELECT function, sum(self) AS s FROM functions GROUP BY 1) f JOIN \
               (SELECT function, sum(value) AS v FROM samples GROUP BY 1) l ON f.function = l.function ORDER BY 1";
    let answer = s.query(sql).await.unwrap();
    let reports: Vec<_> = answer.facts().iter().map(|facts| facts.report.clone()).collect();
    assert_eq!(lines(&answer.collect().await.unwrap(), true), ["a | 1 | 1", "b | 2 | 2"]);
    assert_eq!(reports.iter().map(|report| report.requests()).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_source_that_keeps_growing_wants_a_bound() {
    let memory = memory(&[(CPU, "main 1")]).with_capabilities(Capabilities::local("m").endless());
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    let e = error(&s, "SELECT sum(value) FROM series WHERE date_part('hour', time) = 0").await;
    assert!(e.to_string().contains("gives no bound"), "{e}");
    let hour =
        "SELECT sum(value) FROM series WHERE date_trunc('hour', time) = TIMESTAMP '1970-01-01'";
    assert_eq!(rows(&s, hour).await, ["1"]);
    // A label that the last hour lacks is a label all the same.
    let pod = "SELECT sum(value) FROM series WHERE pod = 'a' AND time < TIMESTAMP '1970-01-02' AND time >= TIMESTAMP '1970-01-01'";
    assert_eq!(rows(&s, pod).await, ["1"]);
    assert!(error(&s, "SELECT nothing FROM series").await.to_string().contains("nothing"));
}

#[tokio::test]
async fn what_is_said_of_time_without_a_bound_is_not_the_last_hour() {
    let memory = memory(&[(CPU, "main;a 1"), (CPU, "main;a 2"), (CPU, "main;a 4")])
        .with_capabilities(Capabilities::local("m").endless());
    let engine = Engine::builder().source("m", Arc::new(memory)).build().unwrap();
    let second = "TIMESTAMP '1970-01-01T00:00:01'";
    let third = "TIMESTAMP '1970-01-01T00:00:02'";
    for (sql, expected) in [
        (format!("SELECT sum(value) FROM series WHERE time <> {second}"), "5"),
        (format!("SELECT sum(value) FROM series WHERE NOT (time = {second})"), "5"),
        (format!("SELECT sum(value) FROM series WHERE time NOT IN ({second}, {third})"), "1"),
        (
            format!("SELECT sum(value) FROM series WHERE time NOT BETWEEN {second} AND {second}"),
            "5",
        ),
        (format!("SELECT sum(value) FROM series WHERE time < {second} OR time > {second}"), "5"),
        (format!("SELECT sum(value) FROM series WHERE pod = 'a' OR time > {second}"), "5"),
        (
            format!(
                "SELECT sum(s) FROM (SELECT time, sum(value) AS s FROM series GROUP BY time HAVING time <> {second})"
            ),
            "5",
        ),
        (
            format!(
                "SELECT sum(s) FROM (SELECT time, sum(value) AS s FROM series GROUP BY time HAVING time > {second} OR sum(value) = 1)"
            ),
            "5",
        ),
        (format!("SELECT sum(value) FILTER (WHERE time < {second}) FROM series"), "1"),
        (format!("SELECT sum(CASE WHEN time >= {second} THEN value END) FROM series"), "6"),
        (
            format!(
                "SELECT max(s) FROM (SELECT time < {third} AS c, sum(value) AS s FROM series GROUP BY 1)"
            ),
            "4",
        ),
        (
            format!(
                "SELECT max(s) FROM (SELECT CASE WHEN time < {third} THEN 'x' ELSE 'y' END AS c, sum(value) AS s FROM series GROUP BY 1)"
            ),
            "4",
        ),
        (
            format!(
                "SELECT max(s) FROM (SELECT sum(value) FILTER (WHERE time < {third}) OVER () AS s FROM series)"
            ),
            "3",
        ),
        (format!("SELECT count(*) FROM profiles WHERE time <> {second}"), "2"),
        (format!("SELECT sum(value) FILTER (WHERE time < {third}) FROM profiles"), "3"),
        (
            format!(
                "SELECT sum(total) FILTER (WHERE time < {second}) FROM functions WHERE function = 'a'"
            ),
            "1",
        ),
    ] {
        let e = error(&engine.session(), &sql).await;
        assert!(e.to_string().contains("gives no bound"), "{sql}: {e}");
        assert!(e.hint().unwrap().contains("SET flamesql.from"), "{sql}");
        let ranged =
            format!("SET flamesql.from = '1970-01-01'; SET flamesql.to = '1970-01-02'; {sql}");
        assert_eq!(rows(&engine.session(), &ranged).await, [expected], "{sql}");
    }
    // One side is a bound, and what says nothing of time is the last hour.
    for sql in [
        format!("SELECT sum(value) FROM series WHERE time <> {third} AND time < {third}"),
        format!(
            "SELECT sum(value) FILTER (WHERE time <> {third}) FROM series WHERE time <= {second}"
        ),
    ] {
        assert_eq!(rows(&engine.session(), &sql).await, ["3"], "{sql}");
    }
    for sql in [
        "SELECT date_bin(INTERVAL '1 minute', time) AS t, sum(value) FROM series GROUP BY 1 ORDER BY 1",
        "SELECT time, value FROM series ORDER BY time",
        "SELECT max(time) FROM series HAVING max(value) > 5",
        "SELECT * FROM profiles",
    ] {
        assert_eq!(rows(&engine.session(), sql).await, [""; 0], "{sql}");
    }
}

#[tokio::test]
async fn units_are_decided_by_what_is_told_apart() {
    let two = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    let both = format!("profile_type IN ('{CPU}', '{HEAP}')");
    let below = |value: &str| {
        format!(
            "SELECT sum(v) FROM (SELECT profile_type, {value} AS v FROM series WHERE {both} GROUP BY 1)"
        )
    };
    for sql in [
        format!("SELECT sum(value * 2) FROM series WHERE {both}"),
        format!(
            "SELECT profile_type, sum(value) FROM series WHERE {both} GROUP BY ROLLUP (profile_type)"
        ),
        format!(
            "SELECT sum(s) FROM (SELECT profile_type, sum(value) AS s FROM series WHERE {both} GROUP BY 1)"
        ),
        format!("SELECT avg(value) FROM samples WHERE {both}"),
        format!("SELECT flamegraph(stack, value) FROM samples WHERE {both}"),
        // What a function of a measure gives has its unit as well.
        below("median(value)"),
        below("max(value)"),
        below("first_value(value ORDER BY time)"),
        below("approx_percentile_cont(value, 0.5)"),
        below("stddev(value)"),
        below("array_max(array_agg(value))"),
        format!(
            "SELECT sum(v) FROM (SELECT lag(value) OVER (ORDER BY time) AS v FROM series WHERE {both})"
        ),
        format!(
            "SELECT sum(v) FROM (SELECT sum(value) OVER (PARTITION BY profile_type) AS v FROM series WHERE {both})"
        ),
        format!(
            "SELECT sum(v) FROM (SELECT unnest(a) AS v FROM (SELECT profile_type, array_agg(value) AS a FROM series WHERE {both} GROUP BY 1))"
        ),
        // So have the values of profiles.
        "SELECT sum(value) FROM profiles".to_owned(),
        format!("SELECT pod, avg(value) FROM profiles WHERE {both} GROUP BY pod"),
        format!(
            "SELECT sum(v) FROM (SELECT value AS v FROM profiles WHERE profile_type = '{CPU}' UNION ALL SELECT value FROM series WHERE profile_type = '{HEAP}')"
        ),
    ] {
        let e = error(&two, &sql).await;
        assert!(e.to_string().contains("has no unit"), "{sql}: {e}");
    }
    for sql in [
        format!(
            "SELECT sum(value) FILTER (WHERE profile_type LIKE 'memory%') FROM series WHERE {both}"
        ),
        format!(
            "SELECT sum(CASE WHEN profile_type LIKE 'memory%' THEN value END) FROM series WHERE {both}"
        ),
        format!(
            "SELECT max(s) FROM (SELECT split_part(profile_type, ':', 3), sum(value) AS s FROM series WHERE {both} GROUP BY 1)"
        ),
    ] {
        assert_eq!(rows(&two, &sql).await, ["2"], "{sql}");
    }
    // Numbers of rows have none, and one type has one.
    for sql in [
        below("count(value)"),
        below("approx_distinct(value)"),
        below("array_length(array_agg(value))"),
        format!("SELECT sum(CAST(value > 0 AS BIGINT)) FROM series WHERE {both}"),
        format!(
            "SELECT max(v) FROM (SELECT row_number() OVER (ORDER BY value) AS v FROM series WHERE {both})"
        ),
        "SELECT sum(n) FROM (SELECT profile_type, count(*) AS n FROM profiles GROUP BY 1)"
            .to_owned(),
        format!("SELECT sum(value) FROM profiles WHERE profile_type = '{HEAP}'"),
        "SELECT max(s) FROM (SELECT profile_type, sum(value) AS s FROM profiles GROUP BY 1)"
            .to_owned(),
        "SET flamesql.profile_type = 'inuse_space'; SELECT sum(value) FROM profiles".to_owned(),
    ] {
        assert_eq!(rows(&two, &sql).await, ["2"], "{sql}");
    }
}

#[tokio::test]
async fn units_are_not_mixed_between_scans() {
    let two = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    let (cpu, heap) = (format!("profile_type = '{CPU}'"), format!("profile_type = '{HEAP}'"));
    let both = format!("profile_type IN ('{CPU}', '{HEAP}')");
    let (a, b) =
        (format!("SELECT * FROM series WHERE {cpu}"), format!("SELECT * FROM series WHERE {heap}"));
    for sql in [
        // The branches of a UNION ALL.
        format!("SELECT sum(value) FROM ({a} UNION ALL {b})"),
        format!("SELECT pod, sum(value) FROM ({a} UNION ALL {b}) GROUP BY pod"),
        format!("SELECT avg(value * 2) FROM ({a} UNION ALL {a} UNION ALL {b})"),
        format!(
            "SELECT sum(s) FROM (SELECT sum(value) AS s FROM series WHERE {cpu} UNION ALL SELECT sum(total) FROM functions WHERE {heap})"
        ),
        format!(
            "SELECT kind, sum(value) FROM (SELECT 'x' AS kind, value FROM ({a}) UNION ALL SELECT 'x', value FROM ({b})) GROUP BY 1"
        ),
        // A window.
        format!("SELECT sum(value) OVER () FROM series WHERE {both}"),
        format!("SELECT pod, avg(value) OVER (PARTITION BY pod) FROM series WHERE {both}"),
        format!("SELECT sum(value) OVER (ORDER BY time) FROM ({a} UNION ALL {b})"),
        // One row of a join.
        format!("SELECT sum(a.value + b.value) FROM ({a}) a CROSS JOIN ({b}) b"),
        format!(
            "SELECT a.pod, sum(a.value - coalesce(b.value, 0)) FROM ({a}) a LEFT JOIN ({b}) b ON a.pod = b.pod GROUP BY 1"
        ),
        format!(
            "SELECT sum(x.s + y.s) FROM (SELECT sum(value) AS s FROM ({a})) x CROSS JOIN (SELECT max(value) AS s FROM ({b})) y"
        ),
        // A key of the other side says nothing of the types of this one, or not on all rows.
        format!(
            "SELECT a.pod, sum(b.value) FROM series a JOIN series b ON a.time <> b.time WHERE a.{cpu} AND b.{both} GROUP BY 1"
        ),
        format!(
            "SELECT a.profile_type, sum(b.value) FROM ({a}) a RIGHT JOIN series b ON a.profile_type = b.profile_type WHERE b.{both} GROUP BY 1"
        ),
    ] {
        for explain in ["", "EXPLAIN "] {
            let e = error(&two, &format!("{explain}{sql}")).await;
            let text = e.to_string();
            assert!(text.contains("nanoseconds") && text.contains("bytes"), "{sql}: {e}");
            assert_eq!(e.kind(), ErrorKind::Query, "{sql}: {e}");
        }
    }
    for (sql, expected) in [
        (format!("SELECT sum(value) FROM ({a} UNION ALL {a})"), vec!["2"]),
        (
            format!(
                "SELECT max(s) FROM (SELECT profile_type, sum(value) AS s FROM ({a} UNION ALL {b}) GROUP BY 1)"
            ),
            vec!["2"],
        ),
        (
            format!(
                "SELECT kind, sum(value) FROM (SELECT 'cpu' AS kind, value FROM ({a}) UNION ALL SELECT 'heap', value FROM ({b})) GROUP BY 1 ORDER BY 1"
            ),
            vec!["cpu | 1", "heap | 2"],
        ),
        (
            format!(
                "SELECT sum(value) FILTER (WHERE kind = 'cpu'), sum(CASE WHEN kind = 'heap' THEN value END) FROM (SELECT 'cpu' AS kind, value FROM ({a}) UNION ALL SELECT 'heap', value FROM ({b}))"
            ),
            vec!["1 | 2"],
        ),
        (
            format!(
                "SELECT sum(value) FROM series WHERE {cpu} UNION ALL SELECT sum(value) FROM series WHERE {heap} ORDER BY 1"
            ),
            vec!["1", "2"],
        ),
        (
            format!(
                "SELECT sum(value) OVER (PARTITION BY profile_type) FROM series WHERE {both} ORDER BY 1"
            ),
            vec!["1", "2"],
        ),
        (
            format!("SELECT count(*) OVER (), max(value) OVER () FROM series WHERE {both} LIMIT 1"),
            vec!["2 | 2"],
        ),
        (
            format!(
                "SELECT sum(a.value), sum(b.value), sum(a.value * b.value) FROM ({a}) a CROSS JOIN ({b}) b"
            ),
            vec!["1 | 2 | 2"],
        ),
        (
            format!(
                "SELECT sum(a.value + b.value) FROM series a JOIN series b ON a.profile_type = b.profile_type WHERE a.{both} GROUP BY a.profile_type ORDER BY 1"
            ),
            vec!["2", "4"],
        ),
        // What a join says to be the same tells types apart as well.
        (
            format!(
                "SELECT a.profile_type = '{CPU}', sum(b.value) FROM series a JOIN series b ON a.profile_type = b.profile_type WHERE a.{both} GROUP BY 1 ORDER BY 1"
            ),
            vec!["false | 2", "true | 1"],
        ),
        (
            format!(
                "SELECT t.profile_type = '{CPU}', sum(s.value) FROM profile_types t JOIN series s ON s.profile_type = t.profile_type WHERE s.{both} GROUP BY t.profile_type ORDER BY 2 DESC"
            ),
            vec!["false | 2", "true | 1"],
        ),
        (
            format!(
                "SELECT sum(s) FROM (SELECT pod, sum(value) FILTER (WHERE {heap}) AS s FROM series WHERE {both} GROUP BY pod)"
            ),
            vec!["2"],
        ),
        // Another scan of the same table is another thing.
        (
            format!(
                "SELECT sum(series.value) FROM series JOIN (SELECT pod FROM series WHERE {both} AND value > 0) b ON series.pod = b.pod WHERE series.{cpu}"
            ),
            vec!["1"],
        ),
    ] {
        assert_eq!(rows(&two, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn units_and_comments_travel_with_the_columns() {
    let two = session(&[(CPU, "main;a 1"), (HEAP, "main;b 2")]);
    let unit = |answer: &flamesql_engine::Answer, idx: usize| {
        answer.schema().field(idx).metadata().get("unit").cloned()
    };
    let sql = "SELECT pod, sum(self) AS s, sum(self) * 2 FROM functions WHERE profile_type LIKE 'memory%' GROUP BY pod";
    let answer = two.query(sql).await.unwrap();
    assert_eq!(
        (unit(&answer, 0), unit(&answer, 1), unit(&answer, 2)),
        (None, Some("bytes".into()), None)
    );
    let schema = answer.schema();
    assert!(answer.collect().await.unwrap().iter().all(|batch| batch.schema() == schema));
    let answer = two.query("SELECT * FROM series WHERE profile_type LIKE '%:%'").await.unwrap();
    let value = answer.schema().index_of("value").unwrap();
    assert_eq!(unit(&answer, value), None, "two units are none");
    assert_eq!(answer.schema().field(value).metadata()["comment"], "The sum of all samples");
    // Only what is a measure on every way has a unit, and only where it still is a number.
    let heap = format!("WHERE profile_type = '{HEAP}'");
    for (sql, expected) in [
        (
            format!("SELECT count(*) FROM series {heap} UNION ALL SELECT value FROM series {heap}"),
            None,
        ),
        (
            format!("SELECT value FROM series {heap} UNION ALL SELECT count(*) FROM series {heap}"),
            None,
        ),
        (format!("SELECT CAST(value AS TEXT) FROM series {heap}"), None),
        (format!("SELECT count(value) FROM series {heap}"), None),
        (format!("SELECT row_number() OVER (ORDER BY value) FROM series {heap}"), None),
        (
            format!(
                "SELECT value FROM series {heap} UNION ALL SELECT value FROM series WHERE profile_type = '{CPU}'"
            ),
            None,
        ),
        (
            format!(
                "SELECT v FROM (SELECT value AS v FROM series {heap} UNION ALL SELECT sum(self) FROM functions {heap}) ORDER BY 1 LIMIT 1"
            ),
            Some("bytes"),
        ),
        (format!("SELECT CAST(sum(value) AS DOUBLE) AS v FROM series {heap}"), Some("bytes")),
        (format!("SELECT sum(value) OVER () FROM series {heap}"), Some("bytes")),
        (format!("SELECT value FROM profiles {heap}"), Some("bytes")),
        ("SELECT value FROM profiles".to_owned(), None),
        (
            format!(
                "SELECT h.value FROM series h, (SELECT value FROM series WHERE profile_type = '{CPU}') c WHERE h.profile_type = '{HEAP}'"
            ),
            None,
        ),
    ] {
        let answer = two.query(&sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
        assert_eq!(unit(&answer, 0).as_deref(), expected, "{sql}");
    }
    let e = error(&two, "SELECT * FROM exemplars").await;
    assert!(e.to_string().starts_with("m.exemplars of a memory source: "), "{e}");
    assert!(e.hint().unwrap().contains("the table profiles"), "{e}");
}

#[tokio::test]
async fn sorts_and_groups_go_on_in_files_where_memory_is_limited() {
    // 60,000 stacks of 40 functions: some 60 MB as rows, of which a tenth may be held.
    let mut text = String::new();
    for n in 0..60_000 {
        for depth in 0..40 {
            text += &format!("f{}_{depth};", n % 50);
        }
        text += &format!("leaf{n} {}\n", n % 97 + 1);
    }
    let memory = memory(&[(CPU, &text)]);
    let engine = Engine::builder().source("m", Arc::new(memory)).build().unwrap();
    let mut options = SessionOptions::default();
    options.memory_limit = Some(20 << 20);
    let s = engine.session_with(&options).unwrap();
    let sql = "SELECT count(*), sum(v) FROM (SELECT stack_text(stack) AS t, sum(value) AS v FROM samples GROUP BY 1 ORDER BY 1)";
    let total: i64 = (0..60_000).map(|n| n % 97 + 1).sum();
    assert_eq!(rows(&s, sql).await, [format!("60000 | {total}")]);
    let sorted = "SELECT function FROM samples ORDER BY stack_text(stack) DESC, value";
    assert_eq!(rows(&s, sorted).await.len(), 60_000);
}

#[tokio::test]
async fn stacks_are_sorted_and_counted_where_a_statement_limits_memory() {
    // 15,000 stacks of 24 functions: some 10 MB as rows.
    let mut text = String::new();
    for n in 0..15_000 {
        for depth in 0..23 {
            text += &format!("package{}.function_{depth};", n % 50);
        }
        text += &format!("leaf{n} {}\n", n % 97 + 1);
    }
    let memory = memory(&[(CPU, &text)]);
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    rows(&s, "SET datafusion.runtime.memory_limit = '5M'; SELECT 1").await;
    for (sql, expected) in [
        ("SELECT count(DISTINCT stack) FROM samples WHERE value > 0", "15000"),
        (
            "SELECT count(DISTINCT stack), count(*), count(DISTINCT function) FROM samples",
            "15000 | 15000 | 15000",
        ),
        ("SELECT count(DISTINCT stack), avg(value) > 1 FROM samples", "15000 | true"),
        ("SELECT count(DISTINCT stack_slice(stack, 1, 2)), count(*) FROM samples", "50 | 15000"),
        ("SELECT count(*) FROM (SELECT DISTINCT stack, value FROM samples)", "15000"),
    ] {
        assert_eq!(rows(&s, sql).await, [expected], "{sql}");
    }
    for (sql, is_by_key) in [
        ("SELECT count(DISTINCT stack) FROM samples", false),
        ("SELECT count(DISTINCT stack), sum(value) FROM samples", false),
        ("SELECT count(DISTINCT stack) FROM samples WHERE value > 0", true),
        ("SELECT pod, count(DISTINCT stack), max(value) FROM samples GROUP BY pod", true),
        ("SELECT count(DISTINCT stack), count(*) FROM samples", true),
    ] {
        let plan = rows(&s, &format!("EXPLAIN FORMAT INDENT {sql}")).await.join("\n");
        assert_eq!(plan.contains("list_key("), is_by_key, "{sql}\n{plan}");
    }
    let sorted = rows(&s, "SELECT function, stack FROM samples ORDER BY stack DESC").await;
    assert_eq!(sorted.len(), 15_000);
    let stack = |line: &String| line.split_once(" | [").unwrap().1.trim_end_matches(']').to_owned();
    let stacks: Vec<String> = sorted.iter().map(stack).collect();
    let names: Vec<Vec<&str>> = stacks.iter().map(|stack| stack.split(", ").collect()).collect();
    assert!(names.is_sorted_by(|a, b| a >= b));
}

#[tokio::test]
async fn whole_trees_are_read_where_nothing_looks_at_a_row() {
    let s = session(&[(CPU, "main;a 1\nmain;b;a 2\n"), (CPU, "main;a 4\ngc 1\n")]);
    for (sql, is_whole) in [
        ("SELECT flamegraph(stack, value) FROM samples", true),
        ("SELECT flamegraph(stack, value, 2) FROM samples WHERE pod = 'a'", true),
        ("SELECT flamegraph(stack, value) FROM samples WHERE pod = 'x'", true),
        ("SELECT flamegraph(stack, value) FROM samples WHERE stack_contains(stack, 'b')", true),
        ("SELECT flamegraph(stack, value) FROM samples WHERE stack_contains(stack, 'x')", true),
        ("SELECT stack, sum(value) FROM samples GROUP BY stack ORDER BY 2 DESC, 1", true),
        (
            "SELECT stack, sum(value) AS v FROM samples GROUP BY stack HAVING sum(value) > 1 ORDER BY 2 DESC, 1 LIMIT 1",
            true,
        ),
        (
            "SELECT count(*), sum(v) FROM (SELECT stack, sum(value) AS v FROM samples GROUP BY stack)",
            true,
        ),
        ("SELECT pod, flamegraph(stack, value) FROM samples GROUP BY pod ORDER BY pod", false),
        (
            "SELECT stack, sum(value), sum(value) FILTER (WHERE pod = 'a') FROM samples GROUP BY stack ORDER BY 2, 1",
            false,
        ),
        (
            "SELECT a.stack, a.v, b.v FROM (SELECT stack, sum(value) AS v FROM samples GROUP BY 1) a JOIN \
             (SELECT stack, sum(value) AS v FROM samples WHERE pod = 'a' GROUP BY 1) b ON a.stack = b.stack ORDER BY 1",
            false,
        ),
    ] {
        let plan = rows(&s, &format!("EXPLAIN FORMAT INDENT {sql}")).await.join("\n");
        // A join that spreads rows anew does not care either.
        let is_join = sql.contains("JOIN");
        assert!(is_join || plan.contains("WholeTree") == is_whole, "{sql}\n{plan}");
        let fast = rows(&s, sql).await;
        let slow = rows(&s, &format!("SET flamesql.pushdown = false; {sql}")).await;
        rows(&s, "SET flamesql.pushdown = true; SELECT 1").await;
        assert_eq!(fast, slow, "{sql}");
    }
    // Parts that cancel out, and sums that leave 64 bits and come back, are for R's rows to tell.
    let max = i64::MAX;
    for types in [
        [(CPU, "main;a 5\nb 2".to_owned()), (CPU, "main;a -5".to_owned())],
        [(CPU, format!("main;a {max}")), (CPU, "main;a 1\nmain;a -2".to_owned())],
    ] {
        let types: Vec<(&str, &str)> = types.iter().map(|(t, text)| (*t, text.as_str())).collect();
        let s = session(&types);
        for sql in [
            "SELECT flamegraph(stack, value) FROM samples",
            "SELECT stack, sum(value) FROM samples GROUP BY stack ORDER BY 1",
        ] {
            let fast = rows(&s, sql).await;
            let slow = rows(&s, &format!("SET flamesql.pushdown = false; {sql}")).await;
            rows(&s, "SET flamesql.pushdown = true; SELECT 1").await;
            assert_eq!(fast, slow, "{sql}");
        }
    }
}

#[tokio::test]
async fn choices_by_span_stay_at_their_table() {
    let s = session(&[(CPU, "main;a 1"), (CPU, "main;b 2")]);
    for sql in [
        "SELECT a.value FROM samples a JOIN samples b ON a.pod = b.pod WHERE in_profile('0')",
        "SELECT pod, sum(value) FROM samples GROUP BY pod HAVING in_profile('0')",
        "SELECT * FROM (SELECT rank() OVER (ORDER BY value) AS r FROM samples) WHERE in_profile('0')",
    ] {
        let e = error(&s, sql).await;
        assert!(
            e.to_string().contains("in_profile(...) can only stand in the WHERE"),
            "{sql}: {e}"
        );
    }
    let joined = "SELECT a.value, b.value FROM (SELECT * FROM samples WHERE in_profile('0')) a CROSS JOIN \
                  (SELECT * FROM samples WHERE in_profile('1')) b";
    assert_eq!(rows(&s, joined).await, ["1 | 2"]);
    assert_eq!(
        rows(&s, "SELECT sum(total) FROM functions WHERE function = 'main' AND in_profile('1')")
            .await,
        ["2"]
    );
}

#[tokio::test]
async fn a_group_that_nobody_asked_for_may_be_too_large() {
    let large = 6_000_000_000_000_000_000_i64;
    let large = |name: &str| format!("{name} {large}");
    let s = session(&[(CPU, &large("a")), (CPU, "b 2"), (CPU, &large("c"))]);
    let sql = "SELECT pod, sum(CASE WHEN function = 'b' THEN value END) FROM samples GROUP BY pod ORDER BY pod";
    assert_eq!(rows(&s, sql).await, ["a | NULL", "b | 2"]);
}

#[tokio::test]
async fn many_groups_with_negative_values_are_read_at_once() {
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    for n in 0..600 {
        let labels: Labels = [("g", format!("g{n}").as_str())].into_iter().collect();
        let tree = folded::decode(b"f1 -1\nf2 3\n").unwrap().into_tree();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(n), 0, &tree).unwrap();
    }
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    let sql = "SELECT count(*), sum(v) FROM (SELECT g, sum(value) AS v FROM samples WHERE function = 'f1' GROUP BY g)";
    assert_eq!(rows(&s, sql).await, ["600 | -600"]);
}

#[tokio::test]
async fn labels_above_a_union_are_their_own() {
    let s = session(&[(CPU, "main;a 1"), (CPU, "main;b 2")]);
    let both = "SELECT * FROM series WHERE length(pod) < value + 1 UNION ALL SELECT * FROM series";
    let sql = format!(
        "SELECT labels['nosuch'] AS x, pod, sum(value) FROM ({both}) u GROUP BY 1, 2 ORDER BY 2"
    );
    assert_eq!(rows(&s, &sql).await, ["NULL | a | 2", "NULL | b | 4"]);
}

#[tokio::test]
async fn many_times_are_a_condition_like_any_other() {
    let s = session(&[(CPU, "main 1"), (CPU, "main 2"), (CPU, "main 4")]);
    let times: Vec<String> = (0..3500)
        .map(|n| format!("TIMESTAMP '1970-01-01T00:{:02}:{:02}'", n / 60 % 60, n % 60))
        .collect();
    let sql = format!("SELECT sum(value) FROM series WHERE time IN ({})", times[1..].join(", "));
    assert_eq!(rows(&s, &sql).await, ["6"]);
    let sql =
        format!("SELECT sum(value) FROM series WHERE time NOT IN ({})", times[1..600].join(", "));
    assert_eq!(rows(&s, &sql).await, ["1"]);
}

#[tokio::test]
async fn who_leaves_a_shared_answer_early_does_not_keep_it() {
    let profiles = relation::profiles(9, 200, false);
    let memory = relation::memory(&profiles, Capabilities::local("memory"));
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    let all = format!("SELECT pod, time, value FROM series WHERE profile_type = '{CPU}'");
    let n = rows(&s, &format!("SELECT count(*) FROM ({all})")).await;
    let sql = format!("SELECT count(*) FROM (SELECT * FROM ({all} LIMIT 1) UNION ALL {all})");
    let both = rows(&s, &sql).await[0].parse::<i64>().unwrap();
    assert_eq!(both, n[0].parse::<i64>().unwrap() + 1);
}

#[tokio::test]
async fn listed_values_that_do_not_exist_are_not_looked_at() {
    let s = session(&[(CPU, "main 1"), (CPU, "main 2")]);
    let sql = "SELECT sum(value) FROM series WHERE pod IN ('zz', 'a') AND CAST(CASE pod WHEN 'a' THEN '1' ELSE pod END AS INT) < 5";
    assert_eq!(rows(&s, sql).await, ["1"]);
    let window = "SET flamesql.max_nodes = 1; SELECT cardinality(flamegraph(stack, value) OVER ()) FROM samples LIMIT 1";
    assert_eq!(rows(&s, window).await, ["2"]);
}
