//! The law of granularity, proven by comparison: each statement over R written out, over a backend that groups, over one
//! that answers a single group a request, and over coarser grains, must give the same rows; and for the statements
//! that are written down here it is known whether they must have been coarsened.

use std::sync::Arc;

use flamesql_backend::Capabilities;
use flamesql_engine::{Engine, Session, SessionOptions, datafusion::prelude::SessionContext};
use flamesql_profile::Step;

use super::relation::{self, CPU, HEAP, Random, Truth};

/// What EXPLAIN says of a scan that stands for R's rows.
const COARSE: &str = "coarse=";

fn session(profiles: &[Truth], capabilities: Capabilities) -> Session {
    let engine = Engine::builder()
        .source("m", Arc::new(relation::memory(profiles, capabilities)))
        .build()
        .unwrap();
    let mut options = SessionOptions::default();
    options.max_requests = Some(100_000);
    engine.session_with(&options).unwrap()
}

struct Case {
    sessions: Vec<(String, Session)>,
    reference: SessionContext,
}

impl Case {
    fn all(seed: u64, n: usize, with_negative: bool) -> Vec<Self> {
        let profiles = relation::profiles(seed, n, with_negative);
        [1, 1_000_000_000, 7_000_000_000]
            .into_iter()
            .map(|grain| {
                let local =
                    Capabilities::local("memory").with_grain(Step::from_nanos(grain).unwrap());
                let sessions = vec![
                    (format!("grain {grain}, groups"), session(&profiles, local)),
                    (
                        format!("grain {grain}, one group a request"),
                        session(&profiles, local.without_groups()),
                    ),
                ];
                Self { sessions, reference: relation::reference(&profiles, grain) }
            })
            .collect()
    }

    /// Whether each session gives what the reference gives; how many plans were coarsened.
    async fn check(&self, sql: &str, is_coarse: Option<bool>) -> usize {
        let is_ordered = sql.contains("ORDER BY");
        let expected = match self.reference.sql(sql).await {
            Ok(frame) => frame.collect().await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let expected = expected.unwrap_or_else(|e| panic!("the reference refuses\n  {sql}\n  {e}"));
        let expected = relation::lines(&expected, is_ordered);
        let mut n_coarse = 0;
        for (name, session) in &self.sessions {
            let answer = session
                .query(sql)
                .await
                .unwrap_or_else(|e| panic!("{name} refuses\n  {sql}\n  {e}"));
            let found = answer.facts().iter().filter(|f| f.is_coarse).count();
            n_coarse += found;
            if let Some(is_coarse) = is_coarse {
                assert_eq!(found > 0, is_coarse, "{name}: coarsened?\n  {sql}");
            }
            let rows =
                answer.collect().await.unwrap_or_else(|e| panic!("{name} fails\n  {sql}\n  {e}"));
            let rows = relation::lines(&rows, is_ordered);
            assert_eq!(rows, expected, "{name}\n  {sql}\n");
        }
        n_coarse
    }
}

/// Statements that must be coarsened, and ones that must not.
fn written() -> Vec<(bool, String)> {
    let cpu = format!("profile_type = '{CPU}'");
    let t = "TIMESTAMP '2023-11-14T22:14:30'";
    let yes = [
        format!("SELECT sum(value) FROM series WHERE {cpu}"),
        format!("SELECT function, sum(self), sum(total) FROM functions WHERE {cpu} GROUP BY 1"),
        format!("SELECT function, sum(value) FROM samples WHERE {cpu} GROUP BY function"),
        format!("SELECT pod, sum(self) FROM functions WHERE {cpu} GROUP BY pod"),
        format!("SELECT pod, region, sum(value) FROM series WHERE {cpu} GROUP BY pod, region"),
        format!("SELECT \"k8s.cluster\", sum(value) FROM samples WHERE {cpu} GROUP BY 1"),
        format!("SELECT labels['pod'] AS p, sum(value) FROM samples WHERE {cpu} GROUP BY 1"),
        format!("SELECT labels['time'] AS p, sum(value) FROM series WHERE {cpu} GROUP BY 1"),
        format!("SELECT labels['nowhere'] AS p, sum(value) FROM series WHERE {cpu} GROUP BY 1"),
        format!("SELECT labels, sum(value) FROM series WHERE {cpu} GROUP BY labels"),
        format!(
            "SELECT profile_type, sum(value) FROM series WHERE profile_type IN ('{CPU}', '{HEAP}') GROUP BY 1"
        ),
        "SELECT profile_type, sum(value) FROM series WHERE profile_type LIKE '%bytes' GROUP BY 1"
            .to_owned(),
        format!(
            "SELECT date_bin(INTERVAL '1 minute', time) AS t, sum(value) FROM series WHERE {cpu} GROUP BY 1"
        ),
        format!(
            "SELECT date_bin(INTERVAL '45 seconds', time, TIMESTAMP '2023-11-14T22:13:27') AS t, function, sum(total) FROM functions WHERE {cpu} GROUP BY 1, 2"
        ),
        format!(
            "SELECT date_bin(INTERVAL '1 minute', time) AS t, date_bin(INTERVAL '40 seconds', time) AS u, sum(value) FROM samples WHERE {cpu} GROUP BY 1, 2"
        ),
        format!(
            "SELECT date_trunc('minute', time) AS t, pod, sum(value) FROM series WHERE {cpu} GROUP BY 1, 2"
        ),
        format!("SELECT CAST(time AS DATE) AS d, sum(value) FROM series WHERE {cpu} GROUP BY 1"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND time >= {t}"),
        format!(
            "SELECT pod, sum(value) FROM series WHERE {cpu} AND time > {t} AND time <= {t} + INTERVAL '1 minute' GROUP BY 1"
        ),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod = 'a'"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod = ''"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod <> 'a'"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod NOT IN ('a', 'b')"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod IS NULL"),
        // DataFusion makes a constant of a list with NULL, after the filter was taken over.
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod NOT IN ('a', NULL)"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod IN (NULL)"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND labels['pod'] IS NOT NULL"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND labels['pod'] <> 'a'"),
        format!("SELECT sum(value) FROM samples WHERE {cpu} AND labels['time'] LIKE '%column'"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND labels['pod'] NOT IN ('a', 'b')"),
        // What a selector would find by these names is no label.
        format!("SELECT sum(value) FROM series WHERE {cpu} AND labels['__name__'] = 'process_cpu'"),
        format!(
            "SELECT labels['__name__'] AS n, function, sum(self), sum(total) FROM functions WHERE {cpu} GROUP BY 1, 2"
        ),
        // A label of this name is a column here, and another table's own column elsewhere.
        format!(
            "SELECT function, labels['function'] AS l, sum(value) FROM series WHERE {cpu} GROUP BY 1, 2"
        ),
        format!("SELECT total, sum(value) FROM series WHERE {cpu} GROUP BY 1"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod IS NOT NULL"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod LIKE 'c%'"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND pod !~ '^[a-b]'"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND coalesce(region, 'none') = 'none'"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND (pod = 'a' OR region = 'eu')"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND labels['k8s.cluster'] = 'prod'"),
        format!(
            "SELECT region, sum(value) FILTER (WHERE pod = 'a') AS a, sum(value) FILTER (WHERE time < {t}) AS b FROM series WHERE {cpu} GROUP BY region"
        ),
        format!(
            "SELECT function, sum(CASE WHEN time < {t} THEN self END) AS before, sum(CASE WHEN time >= {t} THEN self ELSE 0 END) AS after FROM functions WHERE {cpu} GROUP BY function"
        ),
        format!(
            "SELECT sum(v) FROM (SELECT value AS v, pod FROM series WHERE {cpu}) WHERE pod = 'a'"
        ),
        format!(
            "WITH x AS (SELECT * FROM functions WHERE {cpu}) SELECT upper(function) AS f, sum(total) FROM x GROUP BY 1"
        ),
        format!("SELECT DISTINCT function FROM functions WHERE {cpu}"),
        format!("SELECT DISTINCT pod, region FROM series WHERE {cpu}"),
        format!(
            "SELECT pod, region, sum(value) FROM series WHERE {cpu} GROUP BY GROUPING SETS ((pod), (region), ())"
        ),
        format!(
            "SELECT function, sum(total) AS t FROM functions WHERE {cpu} GROUP BY 1 HAVING sum(total) > 100 ORDER BY t DESC, function NULLS LAST LIMIT 3"
        ),
        format!("SELECT stack[1] AS root, sum(value) FROM samples WHERE {cpu} GROUP BY 1"),
        format!(
            "SELECT cardinality(stack) AS depth, sum(value) FROM samples WHERE {cpu} GROUP BY 1"
        ),
        format!("SELECT sum(value) FROM samples WHERE {cpu} AND array_has(stack, 'parse')"),
        // DataFusion makes an inner GROUP BY pod of the DISTINCT.
        format!("SELECT count(DISTINCT pod), sum(value) FROM series WHERE {cpu}"),
        format!(
            "SELECT sum(s) FROM (SELECT pod, sum(value) AS s FROM series WHERE {cpu} GROUP BY pod)"
        ),
        format!(
            "SELECT a.f, a.s - b.s AS d FROM (SELECT function AS f, sum(self) AS s FROM functions WHERE {cpu} AND time < {t} GROUP BY 1) a JOIN (SELECT function AS f, sum(self) AS s FROM functions WHERE {cpu} AND time >= {t} GROUP BY 1) b ON a.f = b.f"
        ),
    ];
    let no = [
        format!("SELECT * FROM series WHERE {cpu}"),
        format!("SELECT time, pod, function, self, total FROM functions WHERE {cpu}"),
        format!("SELECT count(*) FROM samples WHERE {cpu}"),
        format!("SELECT count(*) FROM functions WHERE {cpu} AND pod = 'a'"),
        format!("SELECT max(value) FROM series WHERE {cpu}"),
        format!("SELECT sum(value) / count(*) FROM samples WHERE {cpu}"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND value > 5"),
        format!("SELECT value, sum(value) FROM series WHERE {cpu} GROUP BY value"),
        format!("SELECT sum(DISTINCT value) FROM series WHERE {cpu}"),
        format!("SELECT sum(abs(value)) FROM series WHERE {cpu}"),
        format!("SELECT time, sum(value) FROM series WHERE {cpu} GROUP BY time"),
        format!(
            "SELECT date_part('second', time) AS s, sum(value) FROM series WHERE {cpu} GROUP BY 1"
        ),
        format!(
            "SELECT date_bin(INTERVAL '1 month', time) AS m, sum(value) FROM series WHERE {cpu} GROUP BY 1"
        ),
        format!("SELECT sum(self) FILTER (WHERE total > 10) FROM functions WHERE {cpu}"),
        format!("SELECT sum(CASE WHEN value > 3 THEN value END) FROM samples WHERE {cpu}"),
        format!("SELECT sum(CASE WHEN pod = 'a' THEN value ELSE 1 END) FROM series WHERE {cpu}"),
        format!(
            "SELECT sum(CASE WHEN pod = 'a' THEN self ELSE total END) FROM functions WHERE {cpu}"
        ),
        format!(
            "SELECT sum(value) FROM (SELECT value FROM series WHERE {cpu} ORDER BY value DESC, time, pod LIMIT 5)"
        ),
        format!("SELECT DISTINCT value FROM series WHERE {cpu}"),
        format!(
            "SELECT sum(a.value) FROM series a JOIN series b ON a.time = b.time AND a.pod = b.pod WHERE a.{cpu} AND b.{cpu}"
        ),
        format!(
            "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM series WHERE {cpu}"
        ),
    ];
    yes.into_iter().map(|sql| (true, sql)).chain(no.into_iter().map(|sql| (false, sql))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn written_statements_are_right_and_as_coarse_as_they_may_be() {
    for case in Case::all(1, 60, false) {
        for (is_coarse, sql) in written() {
            case.check(&sql, Some(is_coarse)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_cancel_out_do_not_take_rows_with_them() {
    for case in Case::all(2, 60, true) {
        for (_, sql) in written() {
            case.check(&sql, None).await;
        }
    }
}

fn generated(random: &mut Random) -> String {
    let t = |r: &mut Random| {
        let nanos = 1_700_000_000_000_000_000
            + i64::try_from(r.below(180)).unwrap() * 1_000_000_000
            + [0, 1, -1, 500_000_000][r.below(4)];
        format!(
            "TIMESTAMP '{}'",
            flamesql_profile::Timestamp::from_nanos(nanos).to_string().trim_end_matches('Z')
        )
    };
    let table = random.one(&["series", "samples", "functions"]);
    let measure = match table {
        "functions" => random.one(&["self", "total"]),
        _ => "value",
    };
    let predicate = |r: &mut Random| match r.below(16) {
        0 => "pod = 'a'".to_owned(),
        1 => "pod <> 'b'".to_owned(),
        2 => "pod IN ('a', 'c-0', 'zz')".to_owned(),
        3 => "pod IS NULL".to_owned(),
        4 => "region = 'eu' OR pod = 'a'".to_owned(),
        5 => "NOT (region = 'eu')".to_owned(),
        6 => format!("time >= {}", t(r)),
        7 => format!("time < {}", t(r)),
        8 => format!("{} < time", t(r)),
        9 => format!("time BETWEEN {} AND {}", t(r), t(r)),
        10 => format!("time <= {} OR time > {}", t(r), t(r)),
        11 => format!("date_bin(INTERVAL '30 seconds', time) = {}", t(r)),
        12 => format!("{measure} > {}", r.below(30)),
        13 => "labels['k8s.cluster'] = 'prod'".to_owned(),
        14 => "length(pod) = 1".to_owned(),
        _ if table == "series" => "region LIKE '%u%'".to_owned(),
        _ => "function <> 'parse'".to_owned(),
    };
    let key = |r: &mut Random| match r.below(11) {
        0 => "pod".to_owned(),
        1 => "region".to_owned(),
        2 => "labels['pod']".to_owned(),
        3 => format!("date_bin(INTERVAL '{} seconds', time)", [15, 60, 37][r.below(3)]),
        4 => format!("date_bin(INTERVAL '1 minute', time, {})", t(r)),
        5 => "date_trunc('minute', time)".to_owned(),
        6 => "time".to_owned(),
        7 => format!("time < {}", t(r)),
        8 => "coalesce(pod, 'none')".to_owned(),
        9 if table == "samples" => "array_to_string(stack, '/')".to_owned(),
        _ if table == "series" => "profile_type".to_owned(),
        _ => "function".to_owned(),
    };
    let aggregate = |r: &mut Random| match r.below(12) {
        0..=4 => format!("sum({measure})"),
        5 => format!("sum({measure}) FILTER (WHERE {})", predicate(r)),
        6 => format!("sum(CASE WHEN {} THEN {measure} ELSE 0 END)", predicate(r)),
        7 => "count(*)".to_owned(),
        8 => format!("max({measure})"),
        9 => format!("sum({measure}) * 2"),
        10 => format!("sum({measure} + 1)"),
        _ => format!("count(DISTINCT {measure})"),
    };
    let mut filters = vec![format!("profile_type = '{}'", random.one(&[CPU, CPU, HEAP]))];
    for _ in 0..random.below(3) {
        filters.push(format!("({})", predicate(random)));
    }
    let filters = filters.join(" AND ");
    let keys: Vec<String> = (0..random.below(3)).map(|_| key(random)).collect();
    let aggregates: Vec<String> = (0..1 + random.below(2)).map(|_| aggregate(random)).collect();
    let columns: Vec<String> =
        keys.iter().chain(&aggregates).enumerate().map(|(i, e)| format!("{e} AS c{i}")).collect();
    let columns = columns.join(", ");
    let group = match keys.len() {
        0 => String::new(),
        n => format!(" GROUP BY {}", (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ")),
    };
    match random.below(4) {
        0 => format!("SELECT {columns} FROM (SELECT * FROM {table} WHERE {filters}) AS x{group}"),
        1 => {
            let more = predicate(random);
            format!(
                "WITH x AS (SELECT * FROM {table} WHERE {filters}) SELECT {columns} FROM x WHERE {more}{group}"
            )
        }
        _ => format!("SELECT {columns} FROM {table} WHERE {filters}{group}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_statements_are_right() {
    let mut random = Random(0x5eed);
    for (idx, case) in Case::all(3, 40, false).into_iter().chain(Case::all(4, 40, true)).enumerate()
    {
        let (mut n_coarse, n_statements) = (0, 60);
        for _ in 0..n_statements {
            n_coarse += case.check(&generated(&mut random), None).await;
        }
        assert!(n_coarse > n_statements / 4, "case {idx}: the rule fired {n_coarse} times only");
    }
}

#[tokio::test]
async fn explain_of_a_coarse_scan_says_so() {
    let profiles = relation::profiles(1, 10, false);
    let session = session(&profiles, Capabilities::local("memory"));
    let sql = format!(
        "EXPLAIN SELECT pod, sum(value) FROM series WHERE profile_type = '{CPU}' GROUP BY pod"
    );
    let text = relation::lines(&session.query(&sql).await.unwrap().collect().await.unwrap(), true)
        .join("\n");
    assert!(text.contains(COARSE) && text.contains("by=(pod)"), "{text}");
}
