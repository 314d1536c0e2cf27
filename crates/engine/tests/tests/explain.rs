//! What a backend is asked for, as EXPLAIN tells it: the text is what users read to trust a plan.

use std::sync::Arc;

use flamesql_backend::Memory;
use flamesql_engine::Engine;
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};

use super::relation::{CPU, lines};

/// The line of the scan in the physical plan of a statement.
async fn scan(sql: &str) -> String {
    let memory = Memory::new();
    for (pod, time) in [("a", 0), ("b", 60_000_000_000)] {
        let labels: Labels = [("pod", pod), ("region", "eu")].into_iter().collect();
        let tree = folded::decode(b"main;work 1\n").unwrap().into_tree();
        memory
            .insert(
                &ProfileType::parse(CPU).unwrap(),
                &labels,
                Timestamp::from_nanos(time),
                0,
                &tree,
            )
            .unwrap();
    }
    let session = Engine::builder().source("demo", Arc::new(memory)).build().unwrap().session();
    let answer = session
        .query(&format!("EXPLAIN FORMAT INDENT {sql}"))
        .await
        .unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let text = lines(&answer.collect().await.unwrap(), true).join("\n");
    let scans: Vec<&str> =
        text.lines().filter_map(|l| l.find("BackendScan: ").map(|at| &l[at + 13..])).collect();
    scans.join("\n").replace(CPU, "CPU")
}

#[tokio::test]
async fn why_every_row_is_read() {
    for (sql, why) in [
        (
            "SELECT sum(value / 1e9) FROM series",
            "sum(value / 1000000000.0) adds up a computed value (write sum(value) / 1000000000.0)",
        ),
        (
            "SELECT sum(value * 2) FROM series",
            "sum(value * 2) adds up a computed value (write sum(value) * 2)",
        ),
        (
            "SELECT sum(CAST(value AS DOUBLE)) FROM series",
            "sum(CAST(value AS DOUBLE)) adds up a computed value (write CAST(sum(value) AS DOUBLE))",
        ),
        ("SELECT sum(value / 2) FROM series", "sum(value / 2) adds up a computed value grain"),
        ("SELECT count(*) FROM samples", "count(1) looks at single rows"),
        ("SELECT max(value) FROM series", "max(value) looks at single rows"),
        (
            "SELECT sum(value) FROM series WHERE value > 5",
            "value > 5) depends on the value of a single row",
        ),
        (
            "SELECT time, sum(value) FROM series GROUP BY time",
            "time depends on each single time (write date_bin(",
        ),
        (
            "SELECT date_trunc('month', time), sum(value) FROM series GROUP BY 1",
            "have no one width (write date_trunc('day', time)",
        ),
        (
            "SELECT date_bin(INTERVAL '2 months', time, TIMESTAMP '1970-01-01'), sum(value) FROM series GROUP BY 1",
            "have no one width (write date_trunc('day', time)",
        ),
        (
            "SELECT date_bin(INTERVAL '1 day', time, to_timestamp_nanos(value)), sum(value) FROM series GROUP BY 1",
            "the origin of the bins of date_bin(",
        ),
        (
            "SELECT date_bin(CASE WHEN pod = 'a' THEN INTERVAL '1 day' ELSE INTERVAL '2 days' END, time), sum(value) FROM series GROUP BY 1",
            "is no literal (write an INTERVAL literal, or the unit in quotes)",
        ),
        (
            "SELECT sum(value) FROM (SELECT value FROM series LIMIT 3)",
            "a LIMIT below the aggregate counts rows",
        ),
        (
            "SELECT sum(a.value) FROM series a JOIN series b ON a.time = b.time",
            "rows are joined before they are added up (write two subqueries",
        ),
        ("SELECT sum(value) FROM series WHERE random() < 2", "is another one on each row"),
    ] {
        let text = scan(sql).await;
        assert!(text.contains("every row, since ") && text.contains(why), "{sql}\n{text}");
    }
    let text = scan("SELECT pod FROM series").await;
    assert!(text.contains("every row grain"), "nothing is added up: {text}");
    let union = "SELECT sum(v) FROM (SELECT value AS v FROM series UNION ALL SELECT value * 2 FROM samples)";
    let text = scan(union).await;
    assert!(
        text.contains("demo.series coarse=all in one")
            && text.contains("demo.samples every row, since"),
        "{text}"
    );
}

#[tokio::test]
async fn requests_are_shown_as_they_will_be_sent() {
    for (sql, expected) in [
        (
            "SELECT function, sum(self) FROM functions GROUP BY 1",
            "demo.functions coarse=by function grain=1ns requests=1; stacks type=CPU selector={} range=[.., ..)",
        ),
        (
            "SELECT sum(self) FROM functions",
            "demo.functions coarse=all in one grain=1ns requests=1; series type=CPU selector={} range=[.., ..)",
        ),
        (
            "SELECT date_bin(INTERVAL '15 seconds', time), pod, sum(value) FROM series WHERE region = 'eu' AND time >= TIMESTAMP '1970-01-01T00:00:10' GROUP BY 1, 2",
            "demo.series coarse=by pod, 15s grain=1ns requests=1; series type=CPU selector={region=\"eu\"} range=[1970-01-01T00:00:10.000000000Z, ..) by=(pod) step=15s",
        ),
        (
            "SELECT sum(value) FILTER (WHERE time < TIMESTAMP '1970-01-01T00:00:10'), sum(value) FROM samples",
            "demo.samples coarse=by 1 cuts grain=1ns requests=2; series type=CPU selector={} range=[.., 1970-01-01T00:00:10.000000000Z); series type=CPU selector={} range=[1970-01-01T00:00:10.000000000Z, ..)",
        ),
        (
            "SELECT * FROM samples WHERE pod IS NULL OR pod LIKE 'a%' LIMIT 3",
            "demo.samples every row grain=1ns limit=3 requests=1; stacks type=CPU selector={pod=~\"a|\"} range=[.., ..) by=(all labels) step=1ns",
        ),
        (
            "SELECT sum(value) FROM series WHERE pod LIKE 'a_' OR pod LIKE 'x%'",
            "demo.series coarse=all in one grain=1ns requests=0",
        ),
        (
            "SELECT sum(value) FROM series WHERE pod <> 'a' AND 'b' <> pod AND region NOT IN ('us', '')",
            "demo.series coarse=all in one grain=1ns requests=1; series type=CPU selector={pod!~\"a|b\",pod!=\"\",region!=\"us\",region!=\"\"} range=[.., ..)",
        ),
    ] {
        assert_eq!(scan(sql).await, expected, "{sql}");
    }
}
