//! What every backend has to do, asked of this server by way of the adapter of Pyroscope: what goes in on one side comes
//! out on the other.

use std::{collections::BTreeSet, sync::Arc};

use flamesql_backend::{
    Backend, Generation, Memory, Proxy, PyroscopeOptions, Report, Select, Server as Found,
    ServerKind,
    conformance::{self, TruthProfile, sample_truth, sample_truth_with_spans},
};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp};
use flamesql_selector::Selector;
use flamesql_server::{Guise, ServeOptions};
use serde_json::json;

use crate::{support, wire::Server};

async fn found(server: &Server, generation: Generation) -> Arc<dyn Backend> {
    let mut options = PyroscopeOptions::default();
    options.http.proxy = Proxy::None;
    let found = Found::open(&server.url(), None, &options).await.unwrap();
    assert_eq!(found.kind(), ServerKind::Connect(generation));
    assert_eq!(found.version(), Some("flamesql-0.1.0"));
    Arc::clone(found.backend())
}

async fn check(truth: &[TruthProfile], guise: Guise, generation: Generation) {
    let memory = support::memory(truth);
    let mut options = ServeOptions::default();
    options.guise = guise;
    let server = Server::start(Arc::new(memory), options).await;
    conformance::check(found(&server, generation).await.as_ref(), truth).await;
}

/// Profiles as older servers can have them: they list no name with a dot.
fn without_dots(seed: u64) -> Vec<TruthProfile> {
    let mut truth = sample_truth(seed);
    for profile in &mut truth {
        let labels = std::mem::take(&mut profile.labels).into_iter();
        profile.labels = labels.map(|(name, value)| (name.replace('.', "_"), value)).collect();
    }
    truth
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_what_a_memory_holds() {
    check(&sample_truth(21), Guise::V2, Generation::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_spans_and_traces() {
    check(&sample_truth_with_spans(22), Guise::V2, Generation::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_storage_v1() {
    check(&without_dots(23), Guise::V1, Generation::V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_pyroscope_1_15() {
    check(&without_dots(24), Guise::V115, Generation::V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_phlare() {
    check(&without_dots(25), Guise::Phlare, Generation::Phlare).await;
}

/// What another server tells of its times is told on, however long ago they are; one that does not tell them is asked whether
/// there is something.
#[tokio::test(flavor = "multi_thread")]
async fn times_of_another_server() {
    let stats = async |server: &Server| {
        let path = "/querier.v1.QuerierService/GetProfileStats";
        let answer = server.post(path, "application/json", b"{}").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
    let tree = support::tree(&[(vec!["main".to_owned()], 3)]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_nanos()).unwrap();
    for (guise, generation, nanos, told) in [
        (Guise::V2, Generation::V2, 1_600_000_000_000_000_000, true),
        (Guise::V1, Generation::V1, 1_600_000_000_000_000_000, true),
        (Guise::Phlare, Generation::Phlare, now - 60_000_000_000, false),
    ] {
        let memory = Memory::new();
        let time = Timestamp::from_nanos(nanos);
        memory.insert(&cpu, &Labels::default(), time, 0, &tree).unwrap();
        let mut options = ServeOptions::default();
        options.guise = guise;
        let first = Server::start(Arc::new(memory), options).await;
        let second = Server::start(found(&first, generation).await, ServeOptions::default()).await;
        let right = match told {
            true => stats(&first).await,
            false => r#"{"dataIngested":true}"#.to_owned(),
        };
        assert!(right.contains("\"dataIngested\":true"), "{right}");
        assert_eq!(stats(&second).await, right, "{guise:?}");
    }
}

/// Questions that end within a millisecond in which there are profiles are answered by a server of another one as by that.
#[tokio::test(flavor = "multi_thread")]
async fn ends_are_those_of_another_server() {
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
    let memory = Memory::new();
    const BEGIN: i64 = 1_700_000_000_000;
    for (n, after) in [-1_000_000, -1, 0, 1, 500_000, 999_999, 1_000_000].into_iter().enumerate() {
        let nanos = (BEGIN + 2000) * 1_000_000 + after;
        let tree = support::tree(&[(vec![format!("f{n}")], 1 << n)]);
        memory.insert(&cpu, &Labels::default(), Timestamp::from_nanos(nanos), 0, &tree).unwrap();
    }
    let first = Server::start(Arc::new(memory), ServeOptions::default()).await;
    let second = Server::start(found(&first, Generation::V2).await, ServeOptions::default()).await;
    let mut seen = BTreeSet::new();
    for end in [BEGIN + 1999, BEGIN + 2000, BEGIN + 2001] {
        let base = json!({
            "profileTypeID": cpu.as_str(), "labelSelector": "{}", "start": BEGIN, "end": end,
        });
        let mut series = base.clone();
        series["step"] = json!((end - BEGIN) as f64 / 1000.0);
        let mut steps = base.clone();
        steps["step"] = json!(0.7);
        let mut map = series.clone();
        map["queryType"] = json!("HEATMAP_QUERY_TYPE_INDIVIDUAL");
        let diff = json!({"left": base, "right": base});
        for (method, body) in [
            ("SelectMergeStacktraces", &base),
            ("SelectMergeProfile", &base),
            ("SelectSeries", &series),
            ("SelectSeries", &steps),
            ("SelectHeatmap", &map),
            ("Diff", &diff),
        ] {
            let path = format!("/querier.v1.QuerierService/{method}");
            let body = body.to_string();
            let ask = async |server: &Server| {
                let answer = server.post(&path, "application/json", body.as_bytes()).await;
                assert_eq!(answer.status, 200, "{method}: {}", answer.text());
                if method != "SelectMergeProfile" {
                    return answer.text();
                }
                // Its samples come in any order, each with a value of its own.
                let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                let samples = answer["sample"].as_array().cloned().unwrap_or_default();
                let values: BTreeSet<String> =
                    samples.iter().map(|sample| sample["value"].to_string()).collect();
                format!("{values:?}")
            };
            let right = ask(&first).await;
            assert_eq!(ask(&second).await, right, "{method} {body}");
            seen.insert((method, right));
        }
        let page = format!("/pyroscope/render?query={}{{}}&from={BEGIN}&until={end}", cpu.as_str());
        let flames = async |server: &Server| {
            let answer = server.get(&page).await;
            serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["flamebearer"]
                .clone()
        };
        assert_eq!(flames(&second).await, flames(&first).await, "{end}");
    }
    // No two ends have one answer, but for what is behind the last point.
    assert!(seen.len() >= 15, "{}", seen.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn heat_maps_count_what_is_in_the_range() {
    let truth = sample_truth(26);
    let memory = support::memory(&truth);
    let server = Server::start(Arc::new(memory.clone()), ServeOptions::default()).await;
    let source = found(&server, Generation::V2).await;
    let times = truth.iter().map(|profile| profile.time_nanos / 1_000_000);
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    let millis = |millis: i64| Timestamp::from_millis(millis).unwrap();
    let mut n_counted = 0;
    for profile_type in truth.iter().map(|profile| &profile.profile_type).collect::<BTreeSet<_>>() {
        for (start, end) in [(first, last + 1), (first + 1, last), (first - 5, last - 7000)] {
            for step in [1, 999, 10_000, last - first + 1, 1 << 40] {
                let range = TimeRange::new(millis(start), millis(end)).unwrap();
                let select = Select::new(profile_type.clone(), Selector::all(), range);
                let step = Step::from_nanos(step * 1_000_000).unwrap();
                let report = Report::new();
                let cells = source.heatmap(&select, step, &report).await.unwrap();
                let counted: i64 = cells.iter().map(|cell| cell.count).sum();
                let there = memory.profiles(&select, &report).await.unwrap().len();
                assert_eq!(counted, i64::try_from(there).unwrap(), "{profile_type} {range} {step}");
                n_counted += counted;
                for cell in cells {
                    let after = cell.time.nanos() - range.start().nanos();
                    assert!(range.contains(cell.time) && after % step.nanos() == 0, "{cell:?}");
                }
                for exemplar in source.exemplars(&select, &report).await.unwrap() {
                    assert!(range.contains(exemplar.time), "{exemplar:?} {range}");
                }
            }
        }
    }
    assert!(n_counted > 100);
}
