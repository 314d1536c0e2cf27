//! Sums over 123 files of an invented shop, held against what the files say sample by sample.
//!
//! The fixtures are those of `flamesql-backend`; `index.json` beside them is not used: labels are read from the paths by
//! code of this test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use flamesql_backend::Files;
use flamesql_engine::{Engine, Session};
use flamesql_profile::pprof;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/tests/fixtures/shop")
}

/// One sample of one type.
pub(crate) struct Sample {
    pub(crate) profile_type: String,
    pub(crate) time: i64,
    pub(crate) labels: BTreeMap<String, String>,
    /// Root first.
    pub(crate) stack: Vec<String>,
    pub(crate) value: i64,
    /// Empty where it has none.
    pub(crate) span: String,
    pub(crate) trace: String,
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut folders = vec![folder()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".pb.gz") {
                read(&path, &mut samples);
            }
        }
    }
    samples
}

fn read(path: &Path, samples: &mut Vec<Sample>) {
    let below = path.strip_prefix(folder()).unwrap().to_string_lossy().into_owned();
    let name = if below.ends_with("-memory.pb.gz") { "memory" } else { "process_cpu" };
    let mut labels: BTreeMap<String, String> = below
        .split('/')
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    labels.insert("file".to_owned(), below);
    let profile = pprof::decode(&fs::read(path).unwrap()).unwrap();
    let period = profile.period_type;
    let period = format!("{}:{}", profile.text(period.kind), profile.text(period.unit));
    let types: Vec<String> = profile
        .sample_type_names()
        .map(|(kind, unit)| format!("{name}:{kind}:{unit}:{period}"))
        .collect();
    for sample in 0..profile.n_samples() {
        let stack: Vec<String> = profile
            .sample_locations(sample)
            .iter()
            .rev()
            .map(|location| {
                let line = profile.lines(*location as usize)[0];
                profile.text(profile.functions()[line.function.unwrap() as usize].name).to_owned()
            })
            .collect();
        let mark = |name: &str| {
            let labels = profile.sample_labels(sample).iter();
            let named = labels.filter(|label| profile.text(label.key) == name);
            named.map(|label| profile.text(label.text)).collect::<String>()
        };
        for (profile_type, value) in types.iter().zip(profile.sample_values(sample)) {
            samples.push(Sample {
                profile_type: profile_type.clone(),
                time: profile.time_nanos,
                labels: labels.clone(),
                stack: stack.clone(),
                value: *value,
                span: mark("span_id"),
                trace: mark("trace_id"),
            });
        }
    }
}

fn session() -> Session {
    let files = Files::open(folder()).unwrap();
    Engine::builder().source("shop", Arc::new(files)).build().unwrap().session()
}

/// Two columns, key and sum.
async fn sums(session: &Session, sql: &str) -> BTreeMap<Option<String>, i64> {
    let answer = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let mut sums = BTreeMap::new();
    for batch in answer.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")) {
        let (keys, values) =
            (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let key = keys.is_valid(row).then(|| keys.value(row).to_owned());
            let value = if values.is_valid(row) { values.value(row) } else { 0 };
            assert!(sums.insert(key, value).is_none(), "{sql}: a key twice");
        }
    }
    sums
}

fn expected<'a>(
    samples: impl Iterator<Item = &'a Sample>,
    keys: impl Fn(&'a Sample) -> Vec<Option<String>>,
) -> BTreeMap<Option<String>, i64> {
    let mut sums = BTreeMap::new();
    for sample in samples.filter(|s| s.value != 0) {
        for key in keys(sample) {
            *sums.entry(key).or_default() += sample.value;
        }
    }
    sums
}

fn types(samples: &[Sample]) -> BTreeSet<&str> {
    samples.iter().map(|s| s.profile_type.as_str()).collect()
}

#[tokio::test]
async fn every_table_by_every_label() {
    let (session, samples) = (session(), samples());
    assert_eq!(types(&samples).len(), 6);
    let names: BTreeSet<&str> =
        samples.iter().flat_map(|s| s.labels.keys().map(String::as_str)).collect();
    assert!(names.contains("k8s.cluster") && names.len() == 5);
    for profile_type in types(&samples) {
        let of_type = || samples.iter().filter(|s| s.profile_type == profile_type);
        for name in &names {
            let truth = expected(of_type(), |s| vec![s.labels.get(*name).cloned()]);
            for (table, measure) in
                [("series", "value"), ("samples", "value"), ("functions", "self")]
            {
                let sql = format!(
                    "SELECT \"{name}\", sum({measure}) FROM {table} WHERE profile_type = '{profile_type}' GROUP BY 1"
                );
                assert_eq!(sums(&session, &sql).await, truth, "{sql}");
            }
        }
        let leaf = expected(of_type(), |s| vec![s.stack.last().cloned()]);
        let all = expected(of_type(), |s| {
            s.stack.iter().cloned().map(Some).collect::<BTreeSet<_>>().into_iter().collect()
        });
        for (table, measure, truth) in [
            ("samples", "value", &leaf),
            ("functions", "self", &leaf),
            ("functions", "total", &all),
        ] {
            let sql = format!(
                "SELECT function, sum({measure}) AS s FROM {table} WHERE profile_type = '{profile_type}' GROUP BY 1 HAVING sum({measure}) <> 0"
            );
            assert_eq!(sums(&session, &sql).await, *truth, "{sql}");
        }
        let stacks = expected(of_type(), |s| vec![Some(s.stack.join("\u{1}"))]);
        let sql = format!(
            "SELECT array_to_string(stack, '\u{1}'), sum(value) FROM samples WHERE profile_type = '{profile_type}' GROUP BY 1"
        );
        assert_eq!(sums(&session, &sql).await, stacks, "{sql}");
    }
}

#[tokio::test]
async fn sums_over_2_to_the_53_are_exact() {
    let (session, samples) = (session(), samples());
    let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
    let truth = expected(
        samples.iter().filter(|s| s.profile_type == cpu && s.labels["pod"] == "big"),
        |s| vec![s.labels.get("pod").cloned()],
    );
    assert!(
        truth.values().all(|v| *v as f64 as i64 != *v),
        "a sum over 2^53 that no double holds: {truth:?}"
    );
    for (table, measure) in [("series", "value"), ("samples", "value"), ("functions", "self")] {
        let sql = format!(
            "SELECT pod, sum({measure}) FROM {table} WHERE profile_type = '{cpu}' AND pod = 'big' GROUP BY 1"
        );
        assert_eq!(sums(&session, &sql).await, truth);
    }
}

#[tokio::test]
async fn bounds_on_and_beside_the_times_of_profiles() {
    let (session, samples) = (session(), samples());
    let times: BTreeSet<i64> = samples.iter().map(|s| s.time).collect();
    // Some with a part of a millisecond, some without, and the one of the largest sum.
    let chosen: BTreeSet<i64> =
        times.iter().copied().step_by(17).chain([*times.last().unwrap()]).collect();
    for profile_type in
        ["process_cpu:cpu:nanoseconds:cpu:nanoseconds", "memory:alloc_space:bytes:space:bytes"]
    {
        for time in &chosen {
            for bound in [time - 1, *time, time + 1] {
                let text = flamesql_profile::Timestamp::from_nanos(bound).to_string();
                let text = text.trim_end_matches('Z');
                for (op, holds) in [
                    ("<", (|a, b| a < b) as fn(i64, i64) -> bool),
                    ("<=", |a, b| a <= b),
                    (">", |a, b| a > b),
                    (">=", |a, b| a >= b),
                    ("=", |a, b| a == b),
                ] {
                    let truth: i64 = samples
                        .iter()
                        .filter(|s| s.profile_type == profile_type && holds(s.time, bound))
                        .map(|s| s.value)
                        .sum();
                    for (table, measure) in [("series", "value"), ("functions", "self")] {
                        let sql = format!(
                            "SELECT 'all', sum({measure}) FROM {table} WHERE profile_type = '{profile_type}' AND time {op} TIMESTAMP '{text}'"
                        );
                        let found = sums(&session, &sql).await;
                        assert_eq!(found.values().sum::<i64>(), truth, "{sql}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn profiles_and_names_are_listed() {
    let (session, samples) = (session(), samples());
    let truth = expected(samples.iter(), |s| {
        vec![s.labels.get("file").map(|file| format!("{file} {}", s.profile_type))]
    });
    let sql =
        "SELECT file || ' ' || profile_type, sum(value) FROM profiles GROUP BY file, profile_type";
    assert_eq!(sums(&session, sql).await, truth);
    let sql = "SELECT source_file || ' ' || profile_type, sum(CASE WHEN duration = 10000000000 THEN value END) FROM profiles GROUP BY source_file, profile_type";
    assert_eq!(sums(&session, sql).await, truth);
    let one = |text: &str| (Some(text.to_owned()), 1);
    let found = sums(&session, "SELECT profile_type, count(*) FROM profile_types GROUP BY 1").await;
    assert_eq!(found, types(&samples).into_iter().map(one).collect());
    let found =
        sums(&session, "SELECT value, count(*) FROM labels WHERE name = 'pod' GROUP BY 1").await;
    assert_eq!(found, ["big", "c-0", "c-1", "m-0", "s-0"].map(one).into());
    let found =
        sums(&session, "SELECT \"k8s.cluster\", count(DISTINCT pod) FROM label_sets GROUP BY 1")
            .await;
    assert_eq!(found, [(Some("prod".to_owned()), 2), (None, 3)].into());
}
