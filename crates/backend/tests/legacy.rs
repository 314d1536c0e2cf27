//! The legacy Pyroscope server: what a real one said, and one made up, held against the profiles they hold.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use flamesql_backend::{
    Backend, Bins, Capabilities, ErrorKind, GroupBy, Grouping, Legacy, LegacyOptions, Memory,
    MetaQuery, Report, Select, SeriesAnswer, Split,
    conformance::{self, TruthProfile, sample_truth},
};
use flamesql_profile::{ProfileType, Step, TimeRange, Timestamp, folded, pprof};
use flamesql_selector::{Matcher, Selector, flameql};
use serde_json::Value;

use crate::{
    faulty::{Faulty, answer},
    legacy_model::Model,
    replay::{Call, Exchange, Fields, Recording, Replay, query_fields},
    support,
};

const NAME: &str = "pyroscope-0.37";
const SECOND: i64 = 1_000_000_000;

/// The recording was made with as many nodes as the server takes by itself. Where only the timeline is of interest one
/// node is asked for, which makes the same timeline.
fn fields(call: &Call<'_>) -> Fields {
    // It is asked by GET alone, and has no tenants.
    assert!(call.body.is_empty() && !call.headers.contains_key("x-scope-orgid"), "{}", call.path);
    let mut fields = query_fields(call);
    if ["1", "8192"].map(Some).contains(&fields.get("max-nodes").map(String::as_str)) {
        fields.remove("max-nodes");
    }
    fields
}

fn recording() -> Recording {
    Recording::read(NAME, fields)
}

async fn open(url: &str) -> Legacy {
    Legacy::open(url, &LegacyOptions::default()).await.unwrap()
}

async fn open_replay(recording: Recording) -> (Replay, Legacy) {
    let replay = recording.play().await;
    let legacy = open(&replay.url()).await;
    (replay, legacy)
}

/// What the recorded server was given of the shop: see `recorded/README.md`.
fn shop(t0: i64) -> Vec<TruthProfile> {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "shop"].iter().collect();
    let index: Value =
        serde_json::from_str(&fs::read_to_string(root.join("index.json")).unwrap()).unwrap();
    let mut truth = Vec::new();
    for file in index["profiles"].as_array().unwrap() {
        let label = |name: &str| file["labels"][name].as_str().unwrap_or_default();
        if label("__name__") != "process_cpu" || label("pod") == "big" {
            continue;
        }
        let bytes = fs::read(root.join(file["file"].as_str().unwrap())).unwrap();
        let profile = pprof::decode(&bytes).unwrap();
        let samples = profile.sample_type_names().position(|name| name == ("samples", "count"));
        let tree = profile.tree(samples.unwrap()).unwrap();
        let names = |path: Vec<&str>| path.iter().map(|name| name.replace(';', ":")).collect();
        let labels: BTreeMap<String, String> = ["pod", "region"]
            .map(|name| (name.to_owned(), label(name).to_owned()))
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        truth.push(TruthProfile {
            profile_type: ProfileType::app(&format!("{}.cpu", label("service_name"))),
            labels,
            time_nanos: t0 * SECOND + file["nanos_after_t0"].as_i64().unwrap(),
            stacks: tree.stacks().map(|(node, value)| (names(tree.path(node)), value)).collect(),
            marks: Vec::new(),
        });
    }
    truth
}

/// The same profiles at hand.
fn memory(truth: &[TruthProfile]) -> Memory {
    let capabilities =
        Capabilities::local("memory").with_grain(Step::from_nanos(10 * SECOND).unwrap());
    support::memory(truth).with_capabilities(capabilities)
}

fn range(start: i64, end: i64) -> TimeRange {
    let at = |seconds: i64| Timestamp::from_nanos(seconds * SECOND);
    TimeRange::new(at(start), at(end)).unwrap()
}

/// Seconds as they are written in a recorded question, some of them in milliseconds.
fn seconds(text: &str) -> i64 {
    let number: i64 = text.parse().unwrap();
    if text.len() == 13 { number / 1000 } else { number }
}

/// A recorded question as this adapter asks it: for whole buckets, in seconds, in its own words.
///
/// A server answers for each bucket that it touches, whole, and the seven seconds of one of the questions are asked as the
/// ten seconds of their bucket. A regex is asked for with anchors, as a selector means it.
fn asked_by_us(exchange: &Exchange) -> Option<(Select, Exchange)> {
    let field = |name: &str| exchange.fields.get(name).map(String::as_str);
    let is_answer = exchange.status == 200 && field("format") == Some("json");
    let is_ours = exchange.path == "/render" && field("max-nodes").is_none();
    let (app, mut selector) =
        flameql::parse(field("query").filter(|_| is_answer && is_ours)?).unwrap();
    for matcher in &mut selector.matchers {
        // Both mean the same of these values.
        if matcher.op.is_regex() {
            assert!(matcher.value.contains("c-.*"), "{matcher}");
            matcher.value = "c-.*".to_owned();
        }
    }
    let start = seconds(field("from")?) / 10 * 10;
    let end = (seconds(field("until")?) + 9) / 10 * 10;
    let mut exchange = exchange.clone();
    let query = flameql::print(&app, &selector).unwrap();
    exchange.fields.insert("query".to_owned(), query);
    exchange.fields.insert("from".to_owned(), start.to_string());
    exchange.fields.insert("until".to_owned(), end.to_string());
    let select = Select::new(ProfileType::app(&app), selector, range(start, end));
    Some((select, exchange))
}

#[tokio::test]
async fn what_a_real_server_said_is_what_its_profiles_come_to() {
    let recording = recording();
    let truth = shop(recording.t0);
    let memory = memory(&truth);
    let mut n_asked = 0;
    for exchange in &recording.exchanges {
        let Some((select, exchange)) = asked_by_us(exchange) else { continue };
        let group_by = exchange.fields.get("groupBy").cloned();
        let labels = GroupBy::Labels(group_by.clone().into_iter().collect());
        let mut alone = recording.clone();
        let opening = ["apps", "build"].map(|name| recording.exchange(name).clone());
        alone.exchanges = opening.into_iter().chain([exchange.clone()]).collect();
        let (replay, legacy) = open_replay(alone).await;
        for time in [
            Bins::Whole,
            every(10 * SECOND, 0),
            every(60 * SECOND, 0),
            every(25 * SECOND, 7),
            every(3 * SECOND, 0),
        ] {
            let grouping = Grouping { labels: labels.clone(), time };
            let answer = legacy.series(&select, &grouping, &Report::new()).await.unwrap();
            let expected = memory.series(&select, &grouping, &Report::new()).await.unwrap();
            assert_eq!(answer.series, expected.series, "{}: {time:?}", exchange.name);
        }
        if group_by.is_none() {
            let one = Grouping::default();
            let of = |backend| support::stacks(backend, &select, &one);
            assert_eq!(of(&legacy).await.unwrap(), of(&memory).await.unwrap(), "{}", exchange.name);
        }
        assert!(replay.asked().contains(&exchange.name));
        n_asked += 1;
    }
    assert_eq!(n_asked, 9, "a recorded answer was not looked at");
}

fn every(step: i64, origin: i64) -> Bins {
    let step = Step::from_nanos(step).unwrap();
    Bins::Every { step, origin: Timestamp::from_nanos(origin) }
}

#[test]
fn other_forms_hold_the_same_stacks() {
    let recording = recording();
    let truth = shop(recording.t0);
    let of_search: Vec<_> = truth
        .iter()
        .filter(|profile| profile.profile_type.as_str() == "search.cpu")
        .flat_map(|profile| profile.stacks.clone())
        .collect();
    let expected = support::tree(&of_search);
    let body = |name| &recording.exchange(name).body;
    assert_eq!(folded::decode(body("render, collapsed")).unwrap().into_tree(), expected);
    let profile = pprof::decode(body("render, pprof")).unwrap();
    assert_eq!(profile.tree(0).unwrap(), expected);
}

#[tokio::test]
async fn names_are_those_of_the_real_server() {
    let (replay, legacy) = open_replay(recording()).await;
    let mut asked = replay.asked();
    asked.sort();
    // It was built by hand and names no version.
    assert_eq!((asked, legacy.version()), (vec!["apps".to_owned(), "build".to_owned()], None));
    let types = legacy.profile_types(TimeRange::ALL).await.unwrap();
    let types: Vec<_> = types.iter().map(|t| (t.as_str(), t.sample_unit(), t.is_app())).collect();
    let app = |name| (name, "samples", true);
    assert_eq!(types, ["checkout.cpu", "mail.cpu", "search.cpu"].map(app));
    let query = MetaQuery {
        profile_type: Some(ProfileType::app("checkout.cpu")),
        selector: Selector::all(),
        range: TimeRange::ALL,
    };
    assert_eq!(legacy.label_names(&query).await.unwrap(), ["pod", "region"]);
    assert_eq!(legacy.label_values("pod", &query).await.unwrap(), ["c-0", "c-1"]);
}

/// The server that is made up says what the real one said, but for the order of names.
#[test]
fn the_model_is_the_real_server() {
    let recording = recording();
    let model = Model::new(&shop(recording.t0));
    let mut n_compared = 0;
    for exchange in &recording.exchanges {
        let mut fields = exchange.fields.clone();
        for name in ["from", "until"] {
            if let Some(value) = fields.get_mut(name) {
                *value = seconds(value).to_string();
            }
        }
        let is_known = ["/render", "/labels", "/label-values", "/api/apps"];
        let format = fields.get("format").map(String::as_str);
        if !is_known.contains(&exchange.path.as_str()) || format == Some("collapsed") {
            continue;
        }
        n_compared += 1;
        let (status, _, body) = model.answer(&exchange.path, &fields);
        assert_eq!(status, exchange.status, "{}", exchange.name);
        if status != 200 || body.is_empty() {
            assert_eq!(body.is_empty(), exchange.body.is_empty());
            continue;
        }
        if format == Some("pprof") {
            let tree = |bytes| pprof::decode(bytes).unwrap().tree(0).unwrap();
            assert_eq!(tree(&body), tree(&exchange.body));
            continue;
        }
        let parse = |bytes| serde_json::from_slice::<Value>(bytes).unwrap();
        let (ours, theirs) = (parse(&body), parse(&exchange.body));
        let Some(graph) = theirs.get("flamebearer") else {
            let sorted = |value: &Value| {
                let mut items: Vec<String> =
                    value.as_array().unwrap().iter().map(ToString::to_string).collect();
                items.sort();
                items
            };
            assert_eq!(sorted(&ours), sorted(&theirs), "{}", exchange.name);
            continue;
        };
        for key in ["timeline", "groups"] {
            assert_eq!(ours[key], theirs[key], "{key} of {}", exchange.name);
        }
        assert_eq!(&ours["flamebearer"], graph, "{}", exchange.name);
    }
    assert_eq!(n_compared, 22);
}

/// Profiles as such a server can have them: apps for types, labels of letters, digits and `_`, no sample without a stack.
fn truth_of_apps(seed: u64) -> Vec<TruthProfile> {
    let mut truth = sample_truth(seed);
    for profile in &mut truth {
        let id = &profile.profile_type;
        profile.profile_type = ProfileType::app(&format!("{}.{}", id.name(), id.sample_type()));
        let labels = std::mem::take(&mut profile.labels).into_iter();
        profile.labels = labels
            .filter(|(name, value)| !name.starts_with("__") && !value.is_empty())
            .map(|(name, value)| (name.replace('.', "_"), value))
            .collect();
        for (stack, _) in &mut profile.stacks {
            if stack.is_empty() {
                stack.push("other".to_owned());
                stack.push("below other".to_owned());
            }
        }
    }
    truth
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_passes() {
    let truth = truth_of_apps(21);
    let server = Model::new(&truth).folding_other().serve().await;
    conformance::check(&open(&server.url()).await, &truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_passes_behind_a_split_and_without_a_list_of_apps() {
    let truth = truth_of_apps(22);
    let server = Model::new(&truth).without_apps().serve().await;
    let split = Split::new(Arc::new(open(&server.url()).await));
    conformance::check(&split, &truth).await;
}

/// More than a timeline of ten-second steps can hold: data here and there in a year.
#[tokio::test(flavor = "multi_thread")]
async fn long_ranges_are_exact() {
    const DAY: i64 = 86_400;
    let t0 = 1_795_367_100;
    let mut truth = Vec::new();
    for (n, at) in (1..).zip([t0, t0 + 10, t0 + 3 * DAY, t0 + 200 * DAY + 50, t0 + 365 * DAY - 10])
    {
        let mut labels: BTreeMap<String, String> =
            [("pod".to_owned(), format!("p-{}", n % 2))].into();
        if n % 3 > 0 {
            labels.insert("region".to_owned(), format!("r-{}", n % 3));
        }
        truth.push(TruthProfile {
            profile_type: ProfileType::app("shop.cpu"),
            labels,
            time_nanos: at * SECOND,
            stacks: vec![(vec!["main".to_owned()], n)],
            marks: Vec::new(),
        });
    }
    let server = Model::new(&truth).serve().await;
    let (legacy, memory) = (open(&server.url()).await, memory(&truth));
    let ranges = [
        (t0, t0 + 365 * DAY),
        (t0 - 70, t0 + 2 * DAY),
        (t0 + 10, t0 + 201 * DAY),
        (0, 4_000_000_000),
    ];
    for (start, end) in ranges {
        let select = Select::new(ProfileType::app("shop.cpu"), Selector::all(), range(start, end));
        for labels in [GroupBy::Labels(Vec::new()), GroupBy::All] {
            for time in [Bins::Whole, every(10 * SECOND, 0), every(DAY * SECOND, 0)] {
                let grouping = Grouping { labels: labels.clone(), time };
                let report = Report::new();
                let answer = legacy.series(&select, &grouping, &report).await.unwrap();
                let expected = memory.series(&select, &grouping, &Report::new()).await.unwrap();
                assert_eq!(answer, expected, "{start} to {end}");
                assert!(report.requests() < 60, "{} requests", report.requests());
            }
        }
        let query =
            MetaQuery { profile_type: None, selector: Selector::all(), range: select.range };
        let (sets, expected) = (legacy.label_sets(&query).await, memory.label_sets(&query).await);
        assert_eq!(sets.unwrap(), expected.unwrap());
        let one = Grouping::default();
        let of = |backend| support::stacks(backend, &select, &one);
        let trees = |groups: Vec<flamesql_backend::StackGroup>| {
            groups.into_iter().map(|group| group.tree).collect::<Vec<_>>()
        };
        assert_eq!(trees(of(&legacy).await.unwrap()), trees(of(&memory).await.unwrap()));
    }
}

/// A graph with more nodes than are drawn is asked for in another form.
#[tokio::test]
async fn large_graphs_are_whole() {
    let stacks = (0..9000).map(|n| (vec!["main".to_owned(), format!("f;{n}")], n + 1)).collect();
    let truth = [TruthProfile {
        profile_type: ProfileType::app("shop.cpu"),
        labels: BTreeMap::new(),
        time_nanos: 1_795_367_100 * SECOND,
        stacks,
        marks: Vec::new(),
    }];
    let server = Model::new(&truth).serve().await;
    let legacy = open(&server.url()).await;
    let select = Select::new(
        ProfileType::app("shop.cpu"),
        Selector::all(),
        range(1_795_367_100, 1_795_367_110),
    );
    let groups = support::stacks(&legacy, &select, &Grouping::default()).await.unwrap();
    assert_eq!(groups[0].tree, support::tree(&truth[0].stacks));
    let asked: Vec<String> =
        server.seen().iter().map(|seen| seen.head.lines().next().unwrap().to_owned()).collect();
    assert!(asked[2].contains("format=json") && asked[3].contains("format=pprof"), "{asked:?}");
}

/// An answer of a server of our own making to each question but the first, which is for the apps.
async fn told(
    body: Value,
    select: &Select,
) -> (Result<SeriesAnswer, flamesql_backend::Error>, Report) {
    let body = body.to_string();
    let server = Faulty::start(move |_, seen| {
        let body =
            if seen.head.starts_with("GET /api/apps") { r#"[{"name":"shop.cpu"}]"# } else { &body };
        let head = [("Content-Type", "application/json")];
        vec![crate::faulty::Step::Send(answer(200, &head, body.as_bytes()))]
    })
    .await;
    let (legacy, report) = (open(&server.url()).await, Report::new());
    let by_pod = Grouping { labels: GroupBy::Labels(vec!["pod".to_owned()]), time: Bins::Whole };
    (legacy.series(select, &by_pod, &report).await, report)
}

#[tokio::test]
async fn what_does_not_add_up_is_said() {
    let t0 = 1_795_367_100;
    let select = Select::new(ProfileType::app("shop.cpu"), Selector::all(), range(t0, t0 + 20));
    let line = |samples: [u64; 2], step: i64, watermarks: Value| serde_json::json!({"startTime": t0, "samples": samples, "durationDelta": step, "watermarks": watermarks});
    let whole = |timeline: &Value, groups: Value| {
        // A server that keeps sums has the same one twice.
        let sum: u64 = timeline["samples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sample| sample.as_u64().unwrap().saturating_sub(1))
            .fold(0, u64::wrapping_add);
        let sum = i64::try_from(sum).unwrap_or_default();
        let graph =
            serde_json::json!({"names": ["total"], "levels": [[0, 0, 0, 0]], "numTicks": sum});
        serde_json::json!({"flamebearer": graph, "timeline": timeline, "groups": groups})
    };
    let none = || serde_json::json!({});
    // Groups that come to more than all.
    let groups = serde_json::json!({"a": line([5, 0], 10, none())});
    let (answer, _) = told(whole(&line([4, 0], 10, none()), groups), &select).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Changed);
    // And to less, where no more lacks the label.
    let groups = serde_json::json!({"a": line([3, 0], 10, none())});
    let (answer, report) = told(whole(&line([4, 0], 10, none()), groups), &select).await;
    assert_eq!((answer.unwrap_err().kind(), report.requests()), (ErrorKind::Changed, 6));
    // Steps that nobody asked for.
    let (answer, _) = told(whole(&line([4, 0], 100, none()), none()), &select).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    let wanted =
        format!("a timeline from {t0} in steps of 100 s, and not from {t0} in steps of 10 s");
    assert!(error.to_string().ends_with(&wanted), "{error}");
    // A sum that is too large.
    let (answer, _) = told(whole(&line([u64::MAX, u64::MAX], 10, none()), none()), &select).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Overflow);
    // Old data, thinned out.
    let marks = serde_json::json!({"1": t0 + 10, "2": t0 - 100});
    let (answer, report) = told(whole(&line([4, 1], 10, marks), none()), &select).await;
    assert_eq!(answer.unwrap().series[0].points.len(), 1);
    let notices: Vec<String> = report.notices().iter().map(ToString::to_string).collect();
    let wanted = "shop.cpu: before 2026-11-22T17:05:10.000000000Z the server keeps it in steps of 100 s: finer times are made up by it";
    assert_eq!(notices, [wanted]);
    // Another shape of JSON.
    let (answer, _) = told(serde_json::json!({"data": []}), &select).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unreadable);
}

#[tokio::test]
async fn an_average_is_told() {
    let t0 = 1_795_367_100;
    let mut truth = Vec::new();
    for at in [t0, t0 + 10] {
        truth.push(TruthProfile {
            profile_type: ProfileType::app("shop.inuse_space"),
            labels: BTreeMap::new(),
            time_nanos: at * SECOND,
            stacks: vec![(vec!["main".to_owned()], 10)],
            marks: Vec::new(),
        });
    }
    let model = Model::new(&truth);
    let server = Faulty::start(move |_, seen| {
        let target = seen.head.split(' ').nth(1).unwrap().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let call = Call { method: "GET", path, query, headers: BTreeMap::new(), body: Vec::new() };
        let (status, _, body) = model.answer(path, &query_fields(&call));
        // The mean over two writes.
        let text = String::from_utf8(body).unwrap();
        let text = text.replace("[0,20,", "[0,10,").replace(",20,1]", ",10,1]");
        let text = text.replace("\"numTicks\":20", "\"numTicks\":10");
        vec![crate::faulty::Step::Send(answer(status, &[], text.as_bytes()))]
    })
    .await;
    let (legacy, report) = (open(&server.url()).await, Report::new());
    let app = ProfileType::app("shop.inuse_space");
    let select = Select::new(app, Selector::all(), range(t0, t0 + 20));
    let groups: Vec<_> = futures::StreamExt::collect::<Vec<_>>(legacy.stacks(
        select.clone(),
        Grouping::default(),
        report.clone(),
    ))
    .await;
    assert_eq!(groups[0].as_ref().unwrap().tree.total().unwrap(), 10);
    assert!(report.notices()[0].reason.contains("its stacks come to 10 and its series to 20"));

    // A series by itself is told the same, once, whatever it is grouped by.
    let stacks_told = report.notices();
    for labels in [&[][..], &["pod"], &["pod", "region"]] {
        let report = Report::new();
        let answer = legacy.series(&select, &support::by(labels), &report).await.unwrap();
        assert_eq!(answer.series[0].points[0].value, 20);
        assert_eq!(report.notices(), stacks_told, "{labels:?}");
    }
    // Of a range of many answers it is told once as well.
    let (long, report) = (Select { range: range(t0 - 500_000, t0 + 20), ..select }, Report::new());
    legacy.series(&long, &Grouping::default(), &report).await.unwrap();
    assert_eq!(report.notices().len(), 1, "{:?}", report.notices());
}

#[tokio::test]
async fn selectors_are_asked_in_the_servers_words() {
    let truth = shop(1_795_367_100);
    let server = Model::new(&truth).serve().await;
    let (legacy, memory) = (open(&server.url()).await, memory(&truth));
    let all = range(1_795_367_100, 1_795_367_400);
    for (app, selector, query) in [
        ("checkout.cpu", r#"{pod="c-0"}"#, Some(r#"checkout.cpu{pod="c-0"}"#)),
        ("checkout.cpu", r#"{pod=~"c-.*"}"#, Some(r#"checkout.cpu{pod=~"^(?s:c-.*)$"}"#)),
        ("mail.cpu", r#"{region=""}"#, Some(r#"mail.cpu{region!~"^(?s:.+)$"}"#)),
        ("checkout.cpu", r#"{region=~".*"}"#, Some("checkout.cpu{}")),
        ("checkout.cpu", r#"{region=~"eu|"}"#, Some(r#"checkout.cpu{region!~"^(?s:us)$"}"#)),
        ("checkout.cpu", r#"{region=~"|[a-z]*"}"#, Some("checkout.cpu{}")),
        ("checkout.cpu", r#"{__name__="checkout.cpu"}"#, Some("checkout.cpu{}")),
        ("checkout.cpu", r#"{__name__="mail.cpu"}"#, None),
        ("checkout.cpu", r#"{"k8s.cluster"="prod"}"#, None),
        ("checkout.cpu", r#"{"k8s.cluster"!="prod"}"#, Some("checkout.cpu{}")),
        ("checkout.cpu", r#"{profile_id="a"}"#, None),
    ] {
        let selector = Selector::parse(selector).unwrap();
        let select = Select::new(ProfileType::app(app), selector, all);
        let n_before = server.seen().len();
        let grouping = Grouping::default();
        let answer = legacy.series(&select, &grouping, &Report::new()).await.unwrap();
        assert_eq!(answer, memory.series(&select, &grouping, &Report::new()).await.unwrap());
        let queries: Vec<String> = server.seen()[n_before..]
            .iter()
            .map(|seen| seen.head.split(' ').nth(1).unwrap().to_owned())
            .filter(|target| target.starts_with("/render?"))
            .map(|target| {
                let (path, query) = target.split_once('?').unwrap();
                let headers = BTreeMap::new();
                let call = Call { method: "GET", path, query, headers, body: Vec::new() };
                query_fields(&call).remove("query").unwrap()
            })
            .collect();
        assert_eq!(queries, query.into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn ids_are_refused_by_name() {
    let server = Model::new(&shop(1_795_367_100)).serve().await;
    let legacy = open(&server.url()).await;
    let id = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
    let select = Select::new(id.clone(), Selector::all(), TimeRange::ALL);
    let odd = Select::new(ProfileType::app("a{}"), Selector::all(), range(0, 4_000_000_000));
    let error = legacy.series(&odd, &Grouping::default(), &Report::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    let errors = [
        legacy.series(&select, &Grouping::default(), &Report::new()).await.unwrap_err(),
        support::stacks(&legacy, &select, &Grouping::default()).await.unwrap_err(),
        legacy
            .label_sets(&MetaQuery {
                profile_type: Some(id),
                selector: Selector::all(),
                range: TimeRange::ALL,
            })
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        let text = error.to_string();
        assert!(text.contains("process_cpu:cpu:nanoseconds:cpu:nanoseconds: a legacy"), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_such_server_is_told() {
    for (status, content_type, body, kind) in [
        (404, "text/plain", "404 page not found", ErrorKind::NotFound),
        (200, "text/html", "<html></html>", ErrorKind::NotFound),
        (200, "application/json", "", ErrorKind::NotFound),
        (200, "application/json", r#"{"apps": 3}"#, ErrorKind::NotFound),
        (401, "text/plain", "no", ErrorKind::Unauthorized),
    ] {
        let head = [("Content-Type", content_type)];
        let server = Faulty::answering(answer(status, &head, body.as_bytes())).await;
        let error = Legacy::open(&server.url(), &LegacyOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

/// Groups by several labels: those that a label set lacks are found as what is left.
#[tokio::test]
async fn what_lacks_a_label_is_in_a_group_of_its_own() {
    let truth = shop(1_795_367_100);
    let server = Model::new(&truth).serve().await;
    let (legacy, memory) = (open(&server.url()).await, memory(&truth));
    for app in ["checkout.cpu", "mail.cpu", "search.cpu"] {
        for names in
            [vec!["pod", "region"], vec!["region"], vec!["nothing"], vec!["region", "region"]]
        {
            let select = Select::new(
                ProfileType::app(app),
                Selector::all().with(Matcher::not_equal("pod", "c-1")),
                range(1_795_367_100, 1_795_367_400),
            );
            let labels = GroupBy::Labels(names.into_iter().map(str::to_owned).collect());
            let grouping = Grouping { labels, time: every(60 * SECOND, 0) };
            let answer = legacy.series(&select, &grouping, &Report::new()).await.unwrap();
            assert_eq!(answer, memory.series(&select, &grouping, &Report::new()).await.unwrap());
        }
    }
}
