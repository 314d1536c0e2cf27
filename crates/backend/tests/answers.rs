//! Answers that HTTP has nothing against and that are wrong all the same, as whoever asks a source is told of them.

use std::{sync::Arc, time::Duration};

use flamesql_backend::{
    Backend, Bins, Error, ErrorKind, Grouping, HttpOptions, MetaQuery, Only, Proxy,
    PyroscopeOptions, Report, Secret, Select, Server, StackGroup,
};
use flamesql_profile::{ProfileType, TimeRange, Timestamp, folded, pprof, pyroscope_tree};
use flamesql_proto::{
    querier::v1::{
        FlameGraph, Level, SelectHeatmapRequest, SelectHeatmapResponse, SelectMergeProfileRequest,
        SelectMergeStacktracesRequest, SelectMergeStacktracesResponse, SelectSeriesRequest,
        SelectSeriesResponse,
    },
    types::v1::{LabelPair, Point, Series},
};
use flamesql_selector::Selector;
use futures::TryStreamExt;
use prost::Message;

use crate::{
    faulty::{Faulty, Seen, Step, answer, head},
    support,
};

const FLAGS: &[u8] = br#"{"featureFlags":[{"name":"v2StorageLayer","enabled":true}]}"#;
const PROTO: &[(&str, &str)] = &[("Content-Type", "application/proto")];
const TOKEN: &str = "hunter2-is-no-token";

/// A server of storage v2 that asks `stacks` what to say when it is asked for stacks, and whether for a border alone.
async fn server(stacks: impl Fn(bool) -> Vec<Step> + Send + Sync + 'static) -> Faulty {
    Faulty::start(move |_, seen| {
        if seen.head.contains("/GetFeatureFlags ") {
            vec![Step::Send(answer(200, &[("Content-Type", "application/json")], FLAGS))]
        } else if seen.head.contains("/SelectMergeStacktraces ") {
            stacks(is_border(seen))
        } else {
            vec![Step::Send(answer(404, &[], b"404 page not found"))]
        }
    })
    .await
}

fn is_border(seen: &Seen) -> bool {
    let question = SelectMergeStacktracesRequest::decode(seen.body.as_slice()).unwrap();
    question.end - question.start <= 1
}

fn options() -> PyroscopeOptions {
    let mut options = PyroscopeOptions::default();
    options.http = HttpOptions::default();
    options.http.proxy = Proxy::None;
    options.http.token = Some(Secret::new(TOKEN));
    options.http.timeouts.request = Duration::from_secs(20);
    options.http.max_retries = 1;
    options
}

async fn source(server: &Faulty, options: &PyroscopeOptions) -> Arc<dyn Backend> {
    Arc::clone(Server::open(&server.url(), None, options).await.unwrap().backend())
}

/// The CPU time of an hour.
fn select() -> Select {
    let start = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let range = TimeRange::new(start, start.saturating_add(3_600_000_000_000)).unwrap();
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
    Select::new(cpu, Selector::all(), range)
}

async fn stacks(source: &dyn Backend) -> Result<Vec<StackGroup>, Error> {
    source.stacks(select(), Grouping::default(), Report::new()).try_collect().await
}

/// What the error says, in a line that has no secret in it.
async fn refused(server: &Faulty, options: &PyroscopeOptions, kind: ErrorKind) -> String {
    let error = stacks(source(server, options).await.as_ref()).await.unwrap_err();
    let line = error.to_string();
    assert_eq!(error.kind(), kind, "{line}");
    assert!(!line.contains('\n'), "{line}");
    assert!(!format!("{error:?} {:?}", error.hint()).contains(TOKEN), "{error:?}");
    line.replace(&server.url(), "URL")
}

fn proto(message: &impl Message) -> Vec<Step> {
    vec![Step::Send(answer(200, PROTO, &message.encode_to_vec()))]
}

fn tree(bytes: Vec<u8>) -> Vec<Step> {
    proto(&SelectMergeStacktracesResponse { tree: bytes.into(), ..Default::default() })
}

/// The tree of stacks that are written one a line.
fn of_text(text: &str) -> Vec<Step> {
    match text {
        "" => tree(Vec::new()),
        text => tree(pyroscope_tree::encode(&folded::decode(text.as_bytes()).unwrap().into_tree())),
    }
}

fn graph(levels: &[&[i64]], names: &[&str]) -> Vec<Step> {
    let total = levels[0][1];
    let levels = levels.iter().map(|values| Level { values: values.to_vec() });
    let graph = FlameGraph {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        levels: levels.collect(),
        total,
        max_self: total,
    };
    proto(&SelectMergeStacktracesResponse { flamegraph: Some(graph), ..Default::default() })
}

#[tokio::test]
async fn a_level_names_no_function() {
    let server = server(|is_border| match is_border {
        true => of_text(""),
        false => graph(&[&[0, 5, 0, 0], &[0, 5, 5, 1_000_000_000]], &["total", "main"]),
    })
    .await;
    let said = refused(&server, &options(), ErrorKind::Unreadable).await;
    assert!(said.starts_with("cannot read the stacks of URL: "), "{said}");
    assert!(said.contains("1000000000"), "{said}");
}

#[tokio::test]
async fn levels_are_no_bars() {
    let server = server(|is_border| match is_border {
        true => of_text(""),
        false => graph(&[&[0, 5, 0, 0], &[0, 5, 5]], &["total", "main"]),
    })
    .await;
    let said = refused(&server, &options(), ErrorKind::Unreadable).await;
    assert!(said.starts_with("cannot read the stacks of URL: "), "{said}");
}

#[tokio::test]
async fn a_tree_announces_a_billion_children() {
    // No name, no value, 10^9 children, and not one of them.
    let server = server(|_| tree(vec![0, 0, 0x80, 0x94, 0xeb, 0xdc, 0x03])).await;
    let said = refused(&server, &options(), ErrorKind::Unreadable).await;
    assert!(said.starts_with("cannot read the stacks of URL: "), "{said}");
    assert!(said.contains("1000000000"), "{said}");
}

#[tokio::test]
async fn the_border_has_more_than_the_whole() {
    let server = server(|is_border| match is_border {
        true => of_text("main;serve 7\n"),
        false => of_text("main;serve 5\n"),
    })
    .await;
    let said = refused(&server, &options(), ErrorKind::Changed).await;
    assert!(said.starts_with("cannot tell the stacks of "), "{said}");
    assert!(said.contains("at URL: data came in while they were asked for, twice"), "{said}");
    // One for the features and the version each, and twice two for the stacks.
    assert_eq!(server.seen().len(), 2 + 4);
}

#[tokio::test]
async fn the_border_has_what_the_whole_has_not() {
    let server = server(|is_border| match is_border {
        true => of_text("main;other 1\n"),
        false => of_text("main;serve 5\n"),
    })
    .await;
    refused(&server, &options(), ErrorKind::Changed).await;
}

#[tokio::test]
async fn the_border_is_taken_off() {
    let server = server(|is_border| match is_border {
        true => of_text("main;serve 2\n"),
        false => of_text("main;serve 5\nmain 1\n"),
    })
    .await;
    let groups = stacks(source(&server, &options()).await.as_ref()).await.unwrap();
    let expected = folded::decode(b"main;serve 3\nmain 1\n").unwrap().into_tree();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].tree, expected);
}

#[tokio::test]
async fn a_body_is_cut_in_half() {
    let server = server(|_| {
        let whole = answer(200, PROTO, &[7; 1000]);
        vec![Step::Send(whole[..whole.len() / 2].to_vec()), Step::Close]
    })
    .await;
    let said = refused(&server, &options(), ErrorKind::Unavailable).await;
    assert!(said.contains("of 1000 bytes"), "{said}");
}

#[tokio::test]
async fn a_page_is_no_answer() {
    let server = server(|_| {
        vec![Step::Send(answer(200, &[("Content-Type", "text/html")], b"<html>log in</html>"))]
    })
    .await;
    let said = refused(&server, &options(), ErrorKind::Unreadable).await;
    assert_eq!(
        said,
        "cannot ask for stacks at URL: the answer is text/html, and not application/proto"
    );
}

#[tokio::test]
async fn a_body_has_no_end() {
    // Of a gigabyte no more is taken than is allowed.
    let server = server(|_| {
        vec![
            Step::Send(head(200, &[PROTO[0], ("Connection", "close")])),
            Step::Repeat(vec![1; 1 << 16]),
        ]
    })
    .await;
    let mut options = options();
    options.http.max_answer_bytes = 1 << 20;
    let said = refused(&server, &options, ErrorKind::Unavailable).await;
    assert!(
        said.contains("1.0 MiB") || said.contains("1 MiB") || said.contains("1048576"),
        "{said}"
    );
}

/// What takes two bytes on the wire and many in memory is told before it is decoded.
#[tokio::test]
async fn what_grows_as_it_is_decoded_is_refused() {
    // A series of empty points, and a graph whose levels are numbers of one byte.
    let nested = |tags: &[u8], inner: Vec<u8>| {
        tags.iter().fold(inner, |inner, tag| {
            let mut outer = vec![*tag];
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
            outer
        })
    };
    let points = nested(&[0x0a], [0x12, 0].repeat(100_000));
    let levels = nested(&[0x0a, 0x12, 0x0a], vec![0; 1_000_000]);
    let texts = nested(&[0x0a], [0x0a, 0].repeat(100_000));
    let server = Faulty::start(move |_, seen| {
        if seen.head.contains("/GetFeatureFlags ") {
            vec![Step::Send(answer(200, &[("Content-Type", "application/json")], FLAGS))]
        } else if seen.head.contains("/SelectSeries ") {
            vec![Step::Send(answer(200, PROTO, &points))]
        } else if seen.head.contains("/LabelNames ") {
            vec![Step::Send(answer(200, PROTO, &[0x0a, 0].repeat(100_000)))]
        } else if seen.body.windows(8).any(|eight| eight == b"flamesql") {
            // Whether it reads from both storages.
            of_text("")
        } else if is_border(seen) {
            vec![Step::Send(answer(200, PROTO, &texts))]
        } else {
            vec![Step::Send(answer(200, PROTO, &levels))]
        }
    })
    .await;
    let mut options = options();
    options.http.max_answer_bytes = 4_000_000;
    options.http.max_list_bytes = 2_000_000;
    let source = source(&server, &options).await;
    let series = source.series(&select(), &Grouping::default(), &Report::new()).await;
    let all = MetaQuery { profile_type: None, selector: Selector::all(), range: select().range };
    for (error, said) in [
        (series.unwrap_err(), "6400048 bytes, and the limit is 2000000"),
        (source.label_names(&all).await.unwrap_err(), "2400000 bytes, and the limit is 2000000"),
        (stacks(source.as_ref()).await.unwrap_err(), "and the limit is 4000000"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains("decoded, the answer would take ") && text.ends_with(said), "{text}");
        assert!(error.hint().unwrap().contains("shorter range"), "{error:?}");
    }
}

/// As Phlare, which cannot be asked for a label whose name needs quotes.
#[tokio::test]
async fn a_large_value_is_asked_for_by_labels_that_can_be_written() {
    let server = Faulty::start(move |_, seen| {
        let body = seen.body.as_slice();
        if seen.head.starts_with("GET /querier.v1.QuerierService/ProfileTypes ") {
            vec![Step::Send(answer(405, &[], b""))]
        } else if seen.head.contains("/LabelNames ") {
            proto(&flamesql_proto::types::v1::LabelNamesResponse::default())
        } else if seen.head.contains("/SelectSeries ") {
            let question = SelectSeriesRequest::decode(body).unwrap();
            assert_eq!(question.group_by, ["nope.x", "pod"]);
            let pod = LabelPair { name: "pod".to_owned(), value: "big".to_owned() };
            let point = Point { timestamp: question.end - 1, value: 1e16, ..Point::default() };
            let series = Series { labels: vec![pod], points: vec![point] };
            proto(&SelectSeriesResponse { series: vec![series] })
        } else if seen.head.contains("/SelectMergeStacktraces ") {
            let question = SelectMergeStacktracesRequest::decode(body).unwrap();
            assert_eq!(question.label_selector, r#"{pod="big"}"#);
            let value = if is_border(seen) { 0 } else { 10_000_000_000_000_001 };
            graph(&[&[0, value, 0, 0], &[0, value, value, 1]], &["total", "main"])
        } else {
            vec![Step::Send(answer(404, &[], b"404 page not found"))]
        }
    })
    .await;
    let source = source(&server, &options()).await;
    let by = support::by(&["nope.x", "pod"]);
    let answer = source.series(&select(), &by, &Report::new()).await.unwrap();
    assert_eq!(answer.series[0].labels.to_string(), r#"{pod="big"}"#);
    assert_eq!(answer.series[0].points[0].value, 10_000_000_000_000_001);
}

/// Labels of the server's own are asked for by the values that they have, and not shown.
#[tokio::test]
async fn a_large_value_is_asked_for_by_private_labels_as_well() {
    let server = Faulty::start(move |_, seen| {
        let body = seen.body.as_slice();
        if seen.head.contains("/GetFeatureFlags ") {
            vec![Step::Send(answer(200, &[("Content-Type", "application/json")], FLAGS))]
        } else if seen.head.contains("/SelectSeries ") {
            let end = SelectSeriesRequest::decode(body).unwrap().end;
            let series = ["a", "b"].map(|value| {
                let session =
                    LabelPair { name: "__session_id__".to_owned(), value: value.to_owned() };
                let point = Point { timestamp: end - 1, value: 1e16, ..Point::default() };
                Series { labels: vec![session], points: vec![point] }
            });
            proto(&SelectSeriesResponse { series: series.to_vec() })
        } else if seen.head.contains("/SelectMergeStacktraces ") {
            let question = SelectMergeStacktracesRequest::decode(body).unwrap();
            match question.label_selector.as_str() {
                _ if is_border(seen) => of_text(""),
                r#"{__session_id__="a"}"# => of_text("main 10000000000000001\n"),
                r#"{__session_id__="b"}"# => of_text("main 10000000000000003\n"),
                _ => of_text(""),
            }
        } else {
            vec![Step::Send(answer(404, &[], b"404 page not found"))]
        }
    })
    .await;
    let source = source(&server, &options()).await;
    let by = support::by(&["__session_id__"]);
    let answer = source.series(&select(), &by, &Report::new()).await.unwrap();
    let values: Vec<_> = answer
        .series
        .iter()
        .map(|series| (series.labels.to_string(), series.points[0].value))
        .collect();
    assert_eq!(values, [("{}".to_owned(), 20_000_000_000_000_004)]);
}

/// What is taken off pprof is pprof: of what has no symbol the forms have names of their own.
#[tokio::test]
async fn the_border_has_the_form_of_the_whole() {
    let as_pprof = |text: &str| {
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        let cpu = &select().profile_type;
        let profile = pprof::Profile::from_tree(cpu, &tree, Timestamp::from_nanos(1), 0).unwrap();
        vec![Step::Send(answer(200, PROTO, &pprof::encode(&profile)))]
    };
    let server = Faulty::start(move |_, seen| {
        if seen.head.contains("/GetFeatureFlags ") {
            vec![Step::Send(answer(200, &[("Content-Type", "application/json")], FLAGS))]
        } else if seen.head.contains("/SelectMergeProfile ") {
            let question = SelectMergeProfileRequest::decode(seen.body.as_slice()).unwrap();
            match question.end - question.start {
                1 => as_pprof("main;0x1f 2\n"),
                _ => as_pprof("main;0x1f 5\nmain 1\n"),
            }
        } else if is_border(seen) {
            of_text("main;app!0x1f 2\n")
        } else {
            let refused = br#"{"code":"invalid_argument","message":"max flamegraph nodes limit 1048576 is greater than allowed 8192"}"#;
            vec![Step::Send(answer(400, &[("Content-Type", "application/json")], refused))]
        }
    })
    .await;
    let groups = stacks(source(&server, &options()).await.as_ref()).await.unwrap();
    let expected = folded::decode(b"main;0x1f 3\nmain 1\n").unwrap().into_tree();
    assert_eq!(groups[0].tree, expected);
}

#[tokio::test]
async fn bytes_that_are_no_message() {
    let server = server(|_| vec![Step::Send(answer(200, PROTO, &[0xff; 64]))]).await;
    let said = refused(&server, &options(), ErrorKind::Unreadable).await;
    assert!(said.starts_with("cannot ask for stacks at URL: its answer is damaged: "), "{said}");
}

#[tokio::test]
async fn a_choice_by_profile_is_passed_over() {
    // As by a server of before 1.17: whatever is chosen, it answers with everything.
    let server = server(|_| of_text("main;serve 5\n")).await;
    let source = source(&server, &options()).await;
    let mut select = select();
    select.only = Only::Profiles(vec!["7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned()]);
    let stacks = source.stacks(select, Grouping::default(), Report::new());
    let error = stacks.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("passes over such a choice"), "{error}");
}

/// A server of both storages, which changed over half an hour after the range of [`select`] begins: what it hands on to
/// storage v1 it can make no heat map of, and DOT it cannot write.
async fn changing_over(asked: i64, time: Bins) -> (Result<i64, Error>, Vec<String>) {
    let changed = 1_700_000_000_000 + 1_800_000;
    let server = Faulty::start(move |_, seen| {
        let body = seen.body.as_slice();
        if seen.head.contains("/GetFeatureFlags ") {
            vec![Step::Send(answer(200, &[("Content-Type", "application/json")], FLAGS))]
        } else if seen.head.contains("/SelectMergeStacktraces ") {
            graph(&[&[0, 0, 0, 0]], &["total"])
        } else if seen.head.contains("/SelectHeatmap ") {
            if SelectHeatmapRequest::decode(body).unwrap().start > changed {
                return proto(&SelectHeatmapResponse::default());
            }
            let refused = br#"{"code":"unimplemented","message":"not in v1"}"#;
            vec![Step::Send(answer(501, &[("Content-Type", "application/json")], refused))]
        } else if seen.head.contains("/SelectSeries ") {
            let point = Point { value: 7.0, timestamp: 1, ..Point::default() };
            let end = SelectSeriesRequest::decode(body).unwrap().end;
            let point = Point { timestamp: end - 1, ..point };
            let series = Series { points: vec![point], ..Series::default() };
            proto(&SelectSeriesResponse { series: vec![series] })
        } else {
            vec![Step::Send(answer(404, &[], b"404 page not found"))]
        }
    })
    .await;
    let source = source(&server, &options()).await;
    let start = Timestamp::from_nanos(select().range.start().nanos() + asked * 1_000_000);
    let range = TimeRange::new(start, start.saturating_add(600_000_000_000)).unwrap();
    let select = Select { range, ..select() };
    let grouping = Grouping { time, ..Grouping::default() };
    let series = source.series(&select, &grouping, &Report::new()).await;
    let sum = series.map(|answer| {
        answer.series.iter().flat_map(|series| &series.points).map(|point| point.value).sum()
    });
    let seen = server.seen().into_iter().map(|seen| seen.head);
    (sum, seen.filter(|head| head.contains("/SelectSeries ")).collect())
}

#[tokio::test]
async fn series_over_a_change_of_storages_are_refused() {
    const MINUTE: i64 = 60_000;
    for minutes in [0, 40] {
        let (sum, asked) = changing_over(minutes * MINUTE, Bins::Whole).await;
        assert!(sum.unwrap() == 7 && !asked.is_empty(), "{minutes}");
    }
    let (refused, asked) = changing_over(25 * MINUTE, Bins::Whole).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("changed over from one storage to another"), "{error}");
    assert!(asked.is_empty(), "{asked:?}");
}

/// Storage v1 moves the bins of any step that is not of whole seconds, and says nothing.
#[tokio::test]
async fn parts_of_a_second_are_refused_before_a_change_of_storages() {
    let every = |millis: i64| Bins::Every {
        step: flamesql_profile::Step::from_nanos(millis * 1_000_000).unwrap(),
        origin: Timestamp::from_nanos(0),
    };
    for (asked, time, is_exact) in [
        (0, every(15_000), true),
        (0, every(1500), false),
        (500, Bins::Whole, false),
        (500, every(1000), false),
        (40 * 60_000 + 500, every(1500), true),
    ] {
        let (sum, n_asked) = changing_over(asked, time).await;
        match sum {
            Ok(_) => assert!(is_exact, "{asked} {time:?}"),
            Err(error) => {
                assert!(!is_exact, "{asked} {time:?}: {error}");
                assert!(error.to_string().contains("which tells whole seconds apart"), "{error}");
                assert!(n_asked.is_empty(), "{n_asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_leaves_is_not_waited_for() {
    let server = server(|_| vec![Step::Hang]).await;
    let source = source(&server, &options()).await;
    let asked = tokio::time::timeout(Duration::from_millis(200), stacks(source.as_ref())).await;
    assert!(asked.is_err(), "{asked:?}");
    // Both requests end on the wire.
    tokio::time::timeout(Duration::from_secs(10), server.closed(2)).await.unwrap();
}
