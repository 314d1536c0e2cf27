//! The law of granularity, proven by comparison: each statement over R written out, over a backend that groups, over one
//! that answers a single group a request, and over coarser grains, must give the same rows; and for the statements
//! that are written down here it is known whether they must have been coarsened.
//!
//! `grammar` draws the generated ones and judges them. `FLAMESQL_LAW_CASES=10000` makes the run longer and prints how
//! many were answered, `FLAMESQL_LAW_SEED` begins with other numbers. `MUTATIONS.md` tells what the suite notices.

use std::sync::{Arc, Mutex};

use flamesql_backend::{Backend, Capabilities};
use flamesql_engine::{Engine, Session, SessionOptions, datafusion::prelude::SessionContext};
use flamesql_profile::Step;
use flamesql_server::Guise;
use proptest::{
    prelude::any,
    test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner},
};

use super::{
    grammar::{self, Statement, Verdict},
    relation::{self, CPU, HEAP, Truth},
    wire,
};

/// What EXPLAIN says of a scan that stands for R's rows.
const COARSE: &str = "coarse=";

fn session(profiles: &[Truth], capabilities: Capabilities) -> Session {
    session_of(Arc::new(relation::memory(profiles, capabilities)), SessionOptions::default())
}

fn session_of(backend: Arc<dyn Backend>, mut options: SessionOptions) -> Session {
    let engine = Engine::builder().source("m", backend).build().unwrap();
    options.max_requests = Some(100_000);
    engine.session_with(&options).unwrap()
}

struct Case {
    sessions: Vec<(String, Session)>,
    reference: SessionContext,
    /// Whether labels may have names with dots, of which [`DOTTED`] is one.
    has_dots: bool,
}

/// The label whose name older servers do not list, or do not have.
const DOTTED: &str = "k8s.cluster";

impl Case {
    /// Some profiles at three grains.
    fn of(profiles: &[Truth]) -> Vec<Self> {
        [1, 1_000_000_000, 7_000_000_000]
            .into_iter()
            .map(|grain| {
                let local =
                    Capabilities::local("memory").with_grain(Step::from_nanos(grain).unwrap());
                let sessions = vec![
                    (format!("grain {grain}, groups"), session(profiles, local)),
                    (
                        format!("grain {grain}, one group a request"),
                        session(profiles, local.without_groups()),
                    ),
                ];
                Self { sessions, reference: relation::reference(profiles, grain), has_dots: true }
            })
            .collect()
    }

    /// Some profiles, as servers of each generation send them that take what is in a range alone. For them there is no time
    /// before 1970, and 0 is none.
    fn served(mut profiles: Vec<Truth>) -> Vec<Self> {
        profiles.retain(|profile| profile.time > 1_000_000_000);
        let mut cases = vec![Self::in_guise(&profiles, Guise::V2, 1_000_000)];
        for profile in &mut profiles {
            profile.labels.retain(|(name, _)| *name != DOTTED);
        }
        for guise in [Guise::V1, Guise::V115, Guise::Phlare] {
            cases.push(Self { has_dots: false, ..Self::in_guise(&profiles, guise, 1_000_000_000) });
        }
        cases
    }

    fn in_guise(profiles: &[Truth], guise: Guise, grain: i64) -> Self {
        let mut options = SessionOptions::default();
        options.from = Some("2023-11-01".to_owned());
        options.to = Some("2024-02-01".to_owned());
        let session = session_of(
            wire::over_http(relation::memory(profiles, Capabilities::local("memory")), guise),
            options,
        );
        let sessions = vec![(format!("{guise:?} over HTTP"), session)];
        Self { sessions, reference: relation::reference(profiles, grain), has_dots: true }
    }

    /// Whether a statement can be asked here: without the label there is no column of its name.
    fn knows(&self, sql: &str) -> bool {
        self.has_dots || ![DOTTED, "SELECT *", ".*"].iter().any(|part| sql.contains(part))
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
        // A caller is never NULL, so the planner leaves a sum of 0, or of nothing. The group is there all the same.
        format!(
            "SELECT pod, sum(CASE WHEN caller IS NULL THEN value ELSE 0 END) FROM call_edges WHERE {cpu} GROUP BY 1"
        ),
        format!("SELECT sum(CASE WHEN caller IS NULL THEN value END) FROM call_edges WHERE {cpu}"),
        format!("SELECT pod, sum(0), sum(total) FROM functions WHERE {cpu} GROUP BY pod"),
        format!("SELECT function, sum(0) FROM functions WHERE {cpu} GROUP BY function"),
        format!("SELECT sum(CAST(NULL AS BIGINT)) FROM samples WHERE {cpu} AND pod = 'nobody'"),
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
        format!(
            "SELECT pod, sum(value) FROM samples WHERE {cpu} AND array_has(stack, 'parse') GROUP BY pod"
        ),
        format!(
            "SELECT labels, sum(value) FROM samples WHERE {cpu} AND cardinality(stack) <> 2 AND function <> 'main' GROUP BY 1"
        ),
        format!(
            "SELECT date_bin(INTERVAL '1 minute', time) AS t, region, sum(value) FROM samples WHERE {cpu} AND stack[1] = 'main' GROUP BY 1, 2"
        ),
        format!("SELECT DISTINCT pod FROM samples WHERE {cpu} AND array_has(stack, 'gc mark')"),
        format!(
            "SELECT pod, sum(total) FROM functions WHERE {cpu} AND function = 'parse' GROUP BY pod"
        ),
        format!(
            "SELECT pod, sum(self) FROM functions WHERE {cpu} AND function = 'main' GROUP BY pod"
        ),
        format!(
            "SELECT pod, sum(self), sum(total) FROM functions WHERE {cpu} AND function IN ('main', 'parse', 'nowhere') GROUP BY pod"
        ),
        format!(
            "SELECT date_trunc('minute', time) AS t, sum(total), sum(self) FILTER (WHERE pod = 'a') FROM functions WHERE {cpu} AND function LIKE '%e%' GROUP BY 1"
        ),
        format!(
            "SELECT region, sum(total), sum(self) FROM functions WHERE {cpu} AND function IS NULL GROUP BY 1"
        ),
        format!(
            "SELECT region, sum(total) FROM functions WHERE {cpu} AND function = 'main' IS NOT TRUE GROUP BY 1"
        ),
        format!("SELECT sum(total) FROM functions WHERE {cpu} AND function = 'nowhere'"),
        format!("SELECT sum(self) FROM functions WHERE {cpu} AND function <> 'main'"),
        format!("SELECT DISTINCT pod FROM functions WHERE {cpu} AND function = 'main'"),
        format!(
            "SELECT function, pod, sum(self) FROM functions WHERE {cpu} AND function >= 'main' GROUP BY 1, 2"
        ),
        format!(
            "SELECT function, sum(total) FROM functions WHERE {cpu} AND upper(function) = 'MAIN' AND function IS NOT NULL GROUP BY 1"
        ),
        format!("SELECT function, sum(self) FROM functions WHERE {cpu} GROUP BY 1"),
        // Some of the stacks, or nothing of them but that they are there.
        format!(
            "SELECT stack, sum(value) AS v FROM samples WHERE {cpu} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3"
        ),
        format!(
            "SELECT sum(value) AS v, stack AS s FROM samples WHERE {cpu} AND pod = 'a' GROUP BY 2 ORDER BY 1, 2 LIMIT 4"
        ),
        format!(
            "SELECT stack, sum(value) AS v FROM samples WHERE {cpu} GROUP BY 1 ORDER BY cardinality(stack), v DESC, 1 LIMIT 3"
        ),
        format!(
            "SELECT count(*), sum(v) FROM (SELECT stack, sum(value) AS v FROM samples WHERE {cpu} GROUP BY 1)"
        ),
        format!(
            "SELECT v, count(*) FROM (SELECT stack, sum(value) AS v FROM samples WHERE {cpu} GROUP BY 1) GROUP BY 1"
        ),
        format!("SELECT count(DISTINCT stack) FROM samples WHERE {cpu}"),
        format!(
            "SELECT count(DISTINCT stack) FROM samples WHERE {cpu} AND array_has(stack, 'main')"
        ),
        format!("SELECT DISTINCT stack FROM samples WHERE {cpu}"),
        format!(
            "SELECT count(stack), count(v), max(v) FROM (SELECT stack, sum(value) AS v FROM samples WHERE {cpu} GROUP BY 1)"
        ),
        format!(
            "SELECT max(cardinality(stack)), count(stack) FROM (SELECT stack, sum(value) AS v FROM samples WHERE {cpu} GROUP BY 1)"
        ),
        // Columns of a UNION are told by their places, whatever the branches call them.
        format!(
            "SELECT pod, sum(value) FROM (SELECT pod, value FROM series WHERE {cpu} UNION ALL SELECT region, self FROM functions WHERE {cpu}) GROUP BY 1"
        ),
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
        format!("SELECT sum(value ORDER BY region) FROM series WHERE {cpu}"),
        format!("SELECT sum(value ORDER BY value) FROM samples WHERE {cpu}"),
        format!("SELECT sum(DISTINCT self), sum(DISTINCT total) FROM functions WHERE {cpu}"),
        format!("SELECT sum(DISTINCT value) FILTER (WHERE pod <> 'b') FROM samples WHERE {cpu}"),
        format!("SELECT sum(value) FROM series WHERE {cpu} AND random() >= 0"),
        format!("SELECT sum(CASE WHEN random() > 2 THEN 0 ELSE value END) FROM series WHERE {cpu}"),
        format!("SELECT sum(value) FROM (SELECT value FROM series WHERE {cpu} LIMIT 100000)"),
        format!("SELECT sum(abs(value)) FROM series WHERE {cpu}"),
        format!("SELECT sum(1) FROM series WHERE {cpu}"),
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
        format!("SELECT * FROM functions WHERE {cpu} AND function = 'main'"),
        format!("SELECT count(*) FROM functions WHERE {cpu} AND function IN ('main', 'parse')"),
        format!(
            "SELECT time, sum(total) FROM functions WHERE {cpu} AND function IS NULL GROUP BY 1"
        ),
        format!(
            "SELECT function, sum(total) FROM functions WHERE {cpu} AND (function = 'main' OR total > 20) GROUP BY 1"
        ),
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
    for case in Case::of(&relation::profiles(1, 60, false)) {
        for (is_coarse, sql) in written() {
            case.check(&sql, Some(is_coarse)).await;
        }
    }
}

#[test]
fn written_statements_are_right_over_http() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for case in Case::served(relation::profiles(8, 60, false)) {
        for (is_coarse, sql) in written().into_iter().filter(|(_, sql)| case.knows(sql)) {
            runtime.block_on(case.check(&sql, Some(is_coarse)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_cancel_out_do_not_take_rows_with_them() {
    for case in Case::of(&relation::profiles(2, 60, true)) {
        for (_, sql) in written() {
            case.check(&sql, None).await;
        }
    }
}

/// What came of a statement that was answered everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered {
        n_coarse: usize,
    },
    /// The reference cannot run it either, or it adds up more than 64 bits hold, or values of two units.
    Refused,
}

impl Case {
    /// As [`Case::check`], for a statement of the grammar: what is wrong comes back as text.
    async fn judge(&self, statement: &Statement) -> Result<Outcome, String> {
        let Statement { sql, scans, is_ordered, may_overflow, may_mix } = statement;
        let expected = match self.reference.sql(sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        let expected = expected.map(|rows| relation::lines(&rows, *is_ordered));
        let mut outcome = Outcome::Answered { n_coarse: 0 };
        for (name, session) in &self.sessions {
            let fail = |what: String| Err(format!("{name}: {what}\n  {sql}\n  judged {scans:?}"));
            let answer = match session.query(sql).await {
                Ok(answer) => {
                    let facts: Vec<bool> = answer.facts().iter().map(|f| f.is_coarse).collect();
                    answer.collect().await.map(|rows| (facts, relation::lines(&rows, *is_ordered)))
                }
                Err(error) => Err(error),
            };
            match (&expected, answer) {
                (Ok(expected), Ok((facts, found))) => {
                    if let Some(why) = misjudged(scans, &facts) {
                        return fail(why);
                    }
                    if *expected != found {
                        let lost: Vec<&String> =
                            expected.iter().filter(|l| !found.contains(l)).collect();
                        let added: Vec<&String> =
                            found.iter().filter(|l| !expected.contains(l)).collect();
                        return fail(format!(
                            "{} rows, not {}; missing {lost:.5?}, instead {added:.5?}, coarse {facts:?}",
                            found.len(),
                            expected.len()
                        ));
                    }
                    outcome = Outcome::Answered { n_coarse: facts.iter().filter(|f| **f).count() };
                }
                (Ok(_), Err(error))
                    if *may_overflow && error.to_string().contains("does not fit") =>
                {
                    return Ok(Outcome::Refused);
                }
                (Ok(_), Err(error)) if *may_mix && error.to_string().contains("has no unit") => {
                    return Ok(Outcome::Refused);
                }
                (Err(_), Err(_)) => outcome = Outcome::Refused,
                (Ok(_), Err(error)) => return fail(format!("refused: {error}")),
                (Err(error), Ok(_)) => {
                    return fail(format!("not refused, as DataFusion does: {error}"));
                }
            }
        }
        Ok(outcome)
    }
}

/// What is wrong with the scans that were coarse, if something is.
fn misjudged(scans: &[Verdict], facts: &[bool]) -> Option<String> {
    let n = |verdict: Verdict| scans.iter().filter(|v| **v == verdict).count();
    let n_coarse = facts.iter().filter(|f| **f).count();
    let (least, most) = if facts.len() == scans.len() {
        (n(Verdict::Must), n(Verdict::Must) + n(Verdict::May))
    } else {
        // The planner left out what can have no rows; what is left is known only if all are of one kind.
        let is_all = |verdict| n(verdict) == scans.len();
        let least = if is_all(Verdict::Must) { facts.len() } else { 0 };
        (least, if is_all(Verdict::MustNot) { 0 } else { facts.len() })
    };
    (!(least..=most).contains(&n_coarse))
        .then(|| format!("{n_coarse} of {} scans are coarse, not {least} to {most}", facts.len()))
}

/// How many statements one run takes, all data together.
fn n_cases() -> u32 {
    let number = std::env::var("FLAMESQL_LAW_CASES").ok().map(|n| n.parse().unwrap());
    number.unwrap_or(240)
}

/// Where the numbers begin: the same each time, unless told otherwise.
fn seed() -> u64 {
    std::env::var("FLAMESQL_LAW_SEED").map_or(0x1a3, |n| n.parse().unwrap())
}

/// A quarter of the statements, over some profiles. What once failed comes first: its seeds are in `law.seeds`.
fn check_generated(cases: &[Case], salt: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counts = Mutex::new([0_usize; 4]);
    let config = Config {
        cases: n_cases().div_ceil(4),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/law.seeds"))),
        rng_seed: RngSeed::Fixed(seed() ^ salt),
        ..Config::default()
    };
    let tapes = proptest::collection::vec(any::<u16>(), 20..160);
    let found = TestRunner::new(config).run(&tapes, |tape| {
        let statement = grammar::statement(&tape);
        let mut is_answered = false;
        for case in cases.iter().filter(|case| case.knows(&statement.sql)) {
            let outcome = runtime.block_on(case.judge(&statement)).map_err(TestCaseError::fail)?;
            is_answered = outcome != Outcome::Refused;
            if !is_answered {
                break;
            }
        }
        let mut counts = counts.lock().unwrap();
        counts[0] += 1;
        counts[1] += usize::from(is_answered);
        counts[2] += usize::from(statement.scans.contains(&Verdict::Must));
        counts[3] += usize::from(statement.scans.contains(&Verdict::MustNot));
        Ok(())
    });
    match found {
        Ok(()) => {}
        Err(TestError::Fail(reason, tape)) => panic!("{}\n  tape {tape:?}", reason.message()),
        Err(error) => panic!("{error}"),
    }
    let [n, n_answered, n_must, n_must_not] = *counts.lock().unwrap();
    let text = format!(
        "{n} statements: {n_answered} answered, {n_must} coarse, {n_must_not} over R's rows"
    );
    // A judge that never decides, and a grammar of nonsense, prove nothing.
    assert!(n_answered * 10 >= n * 9 && n_must * 3 >= n && n_must_not * 8 >= n, "{text}");
    if std::env::var_os("FLAMESQL_LAW_CASES").is_some() {
        std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()).unwrap();
    }
}

#[test]
fn generated_statements_are_right() {
    check_generated(&Case::of(&relation::profiles(3, 40, false)), 1);
}

#[test]
fn generated_statements_are_right_if_values_cancel_out() {
    check_generated(&Case::of(&relation::profiles(4, 40, true)), 2);
}

#[test]
fn generated_statements_are_right_over_few_profiles() {
    check_generated(&Case::of(&relation::profiles(5, 7, true)), 3);
}

#[test]
fn generated_statements_are_right_near_the_end_of_64_bits() {
    let mut profiles = relation::profiles(6, 20, false);
    profiles.extend(relation::large(relation::START));
    check_generated(&Case::of(&profiles), 4);
}

#[test]
fn generated_statements_are_right_over_http() {
    check_generated(&Case::served(relation::profiles(7, 40, false)), 5);
}

/// A source that goes on growing is asked for the last hour where nothing is said of time, and never where something is.
#[test]
fn generated_statements_that_leave_time_open_are_refused_without_a_range() {
    let profiles = relation::profiles(7, 40, false);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cases: Vec<_> = [1, 1_000_000_000]
        .map(|grain| {
            let step = Step::from_nanos(grain).unwrap();
            let endless = Capabilities::local("memory").with_grain(step).endless();
            let source = Arc::new(relation::memory(&profiles, endless));
            let engine = Engine::builder().source("m", source).build().unwrap();
            let mut ranged = SessionOptions::default();
            ranged.from = Some("1960-01-01".to_owned());
            ranged.to = Some("2030-01-01".to_owned());
            ranged.max_requests = Some(100_000);
            let ranged = engine.session_with(&ranged).unwrap();
            (engine.session(), ranged, relation::reference(&profiles, grain))
        })
        .into();
    let n_refused = Mutex::new(0_u32);
    let check = async |sql: &str| {
        for (without, ranged, reference) in &cases {
            match without.query(sql).await {
                Err(error) if error.to_string().contains("gives no bound") => {
                    *n_refused.lock().unwrap() += 1;
                }
                // What the last hour and the times of the statement lack is no column.
                Err(error) if error.to_string().starts_with("No field named pod") => {}
                Err(error) => return Err(format!("refused for something else: {error}")),
                Ok(_) => return Err("not refused".to_owned()),
            }
            let expected = reference.sql(sql).await.unwrap().collect().await.unwrap();
            let found = match ranged.query(sql).await {
                Ok(answer) => answer.collect().await,
                Err(error) => Err(error),
            };
            let found = found.map_err(|error| error.to_string())?;
            if relation::lines(&found, false) != relation::lines(&expected, false) {
                return Err("another answer".to_owned());
            }
        }
        Ok(())
    };
    let config = Config {
        cases: n_cases().div_ceil(4),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed() ^ 5),
        ..Config::default()
    };
    let tapes = proptest::collection::vec(any::<u16>(), 20..60);
    let found = TestRunner::new(config).run(&tapes, |tape| {
        let sql = grammar::open(&tape);
        let checked = runtime.block_on(check(&sql));
        checked.map_err(|what| TestCaseError::fail(format!("{what}\n  {sql}")))
    });
    if let Err(error) = found {
        panic!("{error}");
    }
    let n_refused = *n_refused.lock().unwrap();
    assert!(n_refused >= n_cases() / 4, "{n_refused} refused");
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
