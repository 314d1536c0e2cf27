//! A server that is there: the checks that every backend must pass, over the invented shop.
//!
//!     FLAMESQL_LIVE_URL=http://127.0.0.1:4040 FLAMESQL_LIVE_PUSH=1 cargo test --workspace --test tests live
//!
//! Without the first variable nothing is asked. Without the second the server is only read: what it has must agree with
//! itself. With it the shop is pushed first, at times of the last quarter of an hour: servers find only what was written
//! about when it says that it happened. The server must be fresh: what else it holds would be counted.

use std::{
    collections::BTreeMap,
    env, fs,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flamesql_backend::{
    Backend, Bins, Generation, GroupBy, Grouping, HttpOptions, PyroscopeOptions, Report, Select,
    Server, ServerKind,
    conformance::{self, TruthMark, TruthProfile},
    door::Door,
};
use flamesql_profile::{ProfileType, TimeRange, Timestamp, pprof};
use flamesql_proto::{
    push::v1::{PushRequest, RawProfileSeries, RawSample},
    types::v1::LabelPair,
};
use flamesql_selector::Selector;
use futures::StreamExt;
use prost::Message as _;

use crate::shop;

const SECOND: i64 = 1_000_000_000;

fn url() -> Option<String> {
    env::var("FLAMESQL_LIVE_URL").ok().filter(|url| !url.is_empty())
}

/// Now, in whole steps of five minutes, as nanoseconds.
fn recent() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (i64::try_from(now).unwrap() / 300 * 300 - 600) * SECOND
}

async fn open(url: &str) -> Server {
    Server::open(url, None, &PyroscopeOptions::default()).await.unwrap()
}

/// The labels of the shop as this server can have them. Storage v1 shows no name with a dot to anybody, and Phlare takes
/// neither such a name nor an empty value.
fn suited(labels: BTreeMap<String, String>, kind: ServerKind) -> BTreeMap<String, String> {
    if kind == ServerKind::Connect(Generation::V2) {
        return labels;
    }
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    labels.map(|(name, value)| (name.replace('.', "_"), value)).collect()
}

/// The profiles of the shop as they were pushed, `later` than in its files.
fn truth(later: i64, kind: ServerKind) -> Vec<TruthProfile> {
    let mut by_profile: BTreeMap<(String, BTreeMap<String, String>, i64), TruthProfile> =
        BTreeMap::new();
    for row in shop::rows() {
        let mut labels = row.labels.clone();
        // The file's name is a label of ours.
        labels.remove("file");
        let labels = suited(labels, kind);
        let time_nanos = row.time + later;
        let key = (row.profile_type.clone(), labels.clone(), time_nanos);
        let profile = by_profile.entry(key).or_insert_with(|| TruthProfile {
            profile_type: ProfileType::parse(&row.profile_type).unwrap(),
            labels,
            time_nanos,
            stacks: Vec::new(),
            marks: Vec::new(),
        });
        profile.stacks.push((row.stack, row.value));
        profile.marks.push(TruthMark { span: row.span, trace: row.trace });
    }
    by_profile.into_values().collect()
}

/// Sends every file of the shop, `later` than it says.
async fn push(url: &str, later: i64, kind: ServerKind) {
    let door = Door::new(url, &HttpOptions::default()).unwrap();
    for file in shop::index() {
        let mut profile = pprof::decode(&fs::read(shop::root().join(&file.file)).unwrap()).unwrap();
        profile.time_nanos += later;
        // Or storage v1 and Phlare make differences of what Go counts from the start of a program.
        let as_they_are = ("__delta__".to_owned(), "false".to_owned());
        let labels = suited(file.labels, kind).into_iter().chain([as_they_are]);
        let request = PushRequest {
            series: vec![RawProfileSeries {
                labels: labels.map(|(name, value)| LabelPair { name, value }).collect(),
                samples: vec![RawSample {
                    raw_profile: pprof::encode_gzip(&profile).into(),
                    ..RawSample::default()
                }],
                ..RawProfileSeries::default()
            }],
        };
        let path = "/push.v1.PusherService/Push";
        let body = request.encode_to_vec();
        let (status, _, answer) = door.post(path, body, &Report::new()).await.unwrap();
        assert_eq!(status, 200, "{}: {}", file.file, String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_server_holds_what_was_pushed() {
    let Some(url) = url() else { return };
    if env::var("FLAMESQL_LIVE_PUSH").as_deref() != Ok("1") {
        return;
    }
    let later = recent() - shop::index().iter().map(|file| file.time).min().unwrap();
    let server = open(&url).await;
    push(&url, later, server.kind()).await;
    let truth = truth(later, server.kind());
    assert!(truth.len() > 200);
    let total = truth.iter().flat_map(|profile| &profile.stacks).map(|(_, v)| i128::from(*v));
    let total: i128 = total.sum();
    let times = truth.iter().map(|profile| profile.time_nanos);
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    let range =
        TimeRange::new(Timestamp::from_nanos(first), Timestamp::from_nanos(last + SECOND)).unwrap();
    // What was written is found after a while.
    for _ in 0..60 {
        if sum(server.backend().as_ref(), range).await == total {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    conformance::check(server.backend().as_ref(), &truth).await;
}

/// The sum of all stacks of all types.
async fn sum(backend: &dyn Backend, range: TimeRange) -> i128 {
    let mut sum = 0;
    for profile_type in backend.profile_types(range).await.unwrap() {
        sum += stacks(backend, &Select::new(profile_type, Selector::all(), range)).await;
    }
    sum
}

async fn stacks(backend: &dyn Backend, select: &Select) -> i128 {
    let groups = backend.stacks(select.clone(), Grouping::default(), Report::new());
    let groups: Vec<_> = groups.collect().await;
    let trees = groups.into_iter().map(|group| group.unwrap().tree);
    trees.map(|tree| i128::from(tree.total().unwrap())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_server_agrees_with_itself() {
    let Some(url) = url() else { return };
    let server = open(&url).await;
    let backend: Arc<dyn Backend> = Arc::clone(server.backend());
    let grain = backend.capabilities().grain;
    // What came a while ago does not change any more.
    let end = Timestamp::from_nanos(recent() + 300 * SECOND).floor(grain, Timestamp::from_nanos(0));
    let range = TimeRange::new(end.saturating_add(-3600 * SECOND), end).unwrap();
    for profile_type in backend.profile_types(range).await.unwrap() {
        let select = Select::new(profile_type, Selector::all(), range);
        let of_stacks = stacks(backend.as_ref(), &select).await;
        for labels in [GroupBy::Labels(Vec::new()), GroupBy::All] {
            for time in [
                Bins::Whole,
                Bins::Every { step: grain, origin: Timestamp::from_nanos(0) },
                Bins::Every {
                    step: flamesql_profile::Step::from_nanos(70 * SECOND).unwrap(),
                    origin: Timestamp::from_nanos(10 * SECOND),
                },
            ] {
                let grouping = Grouping { labels: labels.clone(), time };
                let answer = backend.series(&select, &grouping, &Report::new()).await.unwrap();
                let points = answer.series.iter().flat_map(|series| &series.points);
                let of_series: i128 = points.map(|point| i128::from(point.value)).sum();
                assert_eq!(of_series, of_stacks, "{} {grouping:?}", select.profile_type);
            }
        }
    }
}
