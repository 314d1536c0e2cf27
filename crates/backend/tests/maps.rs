//! Single profiles, exemplars, heat maps and annotations: what a server of storage v2 is asked for, and what is made of the
//! bytes that it answers.

use std::sync::Arc;

use flamesql_backend::{
    Annotation, Backend, Error, ErrorKind, Exemplar, HeatmapCell, Proxy, PyroscopeOptions, Report,
    Select, Server,
};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp};
use flamesql_proto::{
    querier::v1::{
        HeatmapQueryType, SelectHeatmapRequest, SelectHeatmapResponse,
        SelectMergeStacktracesResponse, SelectSeriesRequest, SelectSeriesResponse,
    },
    types::v1::{self, ExemplarType, HeatmapSeries, HeatmapSlot, LabelNamesResponse, LabelPair},
};
use prost::Message;

use crate::faulty::{Faulty, Step as Do, answer};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const FLAGS: &[u8] = br#"{"featureFlags":[{"name":"v2StorageLayer","enabled":true}]}"#;
const START: i64 = 1_700_000_000_000;
const SECOND: i64 = 1000;

fn proto(message: &impl Message) -> Vec<Do> {
    let head = [("Content-Type", "application/proto")];
    vec![Do::Send(answer(200, &head, &message.encode_to_vec()))]
}

fn unimplemented() -> Vec<Do> {
    let body = br#"{"code":"unimplemented","message":"no spans here"}"#;
    vec![Do::Send(answer(501, &[("Content-Type", "application/json")], body))]
}

/// A server with a label `pod`, and these heat maps and series; `None` is none that it can draw.
async fn server(
    map: impl Fn(SelectHeatmapRequest) -> Option<SelectHeatmapResponse> + Send + Sync + 'static,
    series: impl Fn(SelectSeriesRequest) -> SelectSeriesResponse + Send + Sync + 'static,
) -> Faulty {
    Faulty::start(move |_, seen| {
        let (head, body) = (&seen.head, seen.body.as_slice());
        if head.contains("/GetFeatureFlags ") {
            vec![Do::Send(answer(200, &[("Content-Type", "application/json")], FLAGS))]
        } else if head.contains("/LabelNames ") {
            let names = ["__name__", "pod"].map(str::to_owned).to_vec();
            proto(&LabelNamesResponse { names })
        } else if head.contains("/SelectMergeStacktraces ") {
            // Whether it reads from both storages.
            proto(&SelectMergeStacktracesResponse::default())
        } else if head.contains("/SelectHeatmap ") {
            map(SelectHeatmapRequest::decode(body).unwrap())
                .map_or_else(unimplemented, |map| proto(&map))
        } else if head.contains("/SelectSeries ") {
            proto(&series(SelectSeriesRequest::decode(body).unwrap()))
        } else {
            vec![Do::Send(answer(404, &[], b"404 page not found"))]
        }
    })
    .await
}

async fn source(server: &Faulty) -> Arc<dyn Backend> {
    let mut options = PyroscopeOptions::default();
    options.http.proxy = Proxy::None;
    Arc::clone(Server::open(&server.url(), None, &options).await.unwrap().backend())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

/// Of one service, so many seconds from the start on.
fn select(seconds: i64) -> Select {
    let range = TimeRange::new(at(START), at(START + seconds * SECOND)).unwrap();
    Select::new(
        ProfileType::parse(CPU).unwrap(),
        r#"{service_name="checkout"}"#.parse().unwrap(),
        range,
    )
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| LabelPair {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    labels.iter().map(pair).collect()
}

fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().copied().collect()
}

/// An exemplar of a profile that was taken so many milliseconds after the start.
fn exemplar(after: i64, id: &str, value: i64) -> v1::Exemplar {
    v1::Exemplar {
        timestamp: START + after,
        profile_id: id.to_owned(),
        value,
        labels: pairs(&[("region", "eu")]),
        ..v1::Exemplar::default()
    }
}

/// A slot that ends so many milliseconds after the start.
fn slot(end: i64, cells: &[(f64, i32)], exemplars: Vec<v1::Exemplar>) -> HeatmapSlot {
    HeatmapSlot {
        timestamp: START + end,
        y_min: cells.iter().map(|(min, _)| *min).collect(),
        counts: cells.iter().map(|(_, count)| *count).collect(),
        exemplars,
    }
}

/// Labels, and what they have.
type Slots<'a> = (&'a [(&'a str, &'a str)], Vec<HeatmapSlot>);

fn map(series: Vec<Slots<'_>>) -> Option<SelectHeatmapResponse> {
    let series = series.into_iter();
    let series = series.map(|(labels, slots)| HeatmapSeries { labels: pairs(labels), slots });
    Some(SelectHeatmapResponse { series: series.collect() })
}

/// What each question for a heat map has to say.
fn check(asked: &SelectHeatmapRequest) {
    assert_eq!(asked.profile_type_id, CPU);
    assert_eq!(asked.label_selector, r#"{service_name="checkout"}"#);
    assert_eq!(asked.group_by, ["pod"]);
}

/// The profiles of the map of ten seconds, whose first slot counts so many.
async fn profiles(counted: i32) -> (Vec<(String, Timestamp, i64, Labels)>, Report) {
    let server = server(
        move |asked| {
            check(&asked);
            // Milliseconds, from one before the range on; a step of just one would be cut to none.
            let millis = (asked.start, asked.end, (asked.step * 1000.0) as i64);
            assert_eq!(millis, (START - 1, START + 10 * SECOND, 1));
            assert_eq!(asked.query_type(), HeatmapQueryType::Individual);
            assert_eq!(asked.exemplar_type(), ExemplarType::Individual);
            map(vec![
                (
                    &[("pod", "b"), ("__name__", "process_cpu")],
                    vec![
                        // Before the range, and behind it.
                        slot(-1, &[(0.0, 1)], vec![exemplar(-1, "before", 1)]),
                        slot(
                            0,
                            &[(0.0, counted), (50.0, 1)],
                            vec![exemplar(0, "first", 7), exemplar(0, "large", 99)],
                        ),
                        slot(10 * SECOND, &[(0.0, 1)], vec![exemplar(10 * SECOND, "behind", 1)]),
                    ],
                ),
                (&[("pod", "a")], vec![slot(9999, &[(0.0, 1)], vec![exemplar(9999, "last", 5)])]),
            ])
        },
        |_| panic!("a short range is looked through as it is"),
    )
    .await;
    let report = Report::new();
    let rows = source(&server).await.profiles(&select(10), &report).await.unwrap();
    assert!(rows.iter().all(|row| row.profile_type.as_str() == CPU));
    (rows.into_iter().map(|row| (row.id, row.time, row.value, row.labels)).collect(), report)
}

#[tokio::test]
async fn profiles_are_the_exemplars_of_milliseconds() {
    let row = |id: &str, after, value, pod| {
        (id.to_owned(), at(START + after), value, labels(&[("pod", pod), ("region", "eu")]))
    };
    let all = [row("first", 0, 7, "b"), row("large", 0, 99, "b"), row("last", 9999, 5, "a")];
    let (rows, report) = profiles(1).await;
    assert_eq!(rows, all);
    assert!(report.is_complete() && report.notices().is_empty());
}

/// What makes a statement fail where it is strict is that the notice says that something is missing.
#[tokio::test]
async fn profiles_that_others_stand_for_are_told_as_missing() {
    let (rows, report) = profiles(4).await;
    assert_eq!(rows.len(), 3);
    assert!(!report.is_complete());
    let notices = report.notices();
    let [notice] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(notice.is_missing);
    assert!(
        notice.reason.starts_with(&format!("3 of 6 profiles of {CPU} are not listed: ")),
        "{notice}"
    );
}

/// A long range is looked through in seconds first, and where there is data millisecond by millisecond.
#[tokio::test]
async fn profiles_of_a_long_range_are_looked_for_where_there_are_some() {
    let server = server(
        |asked| {
            check(&asked);
            let (start, end) = (asked.start + 1 - START, asked.end - START);
            assert!(
                [(60 * SECOND, 61 * SECOND), (3000 * SECOND, 3001 * SECOND)]
                    .contains(&(start, end))
            );
            let slot = slot(start + 500, &[(0.0, 1)], vec![exemplar(start + 500, "one", 7)]);
            map(vec![(&[("pod", "a")], vec![slot])])
        },
        |asked| {
            assert_eq!((asked.start, asked.step), (START - 1, 1.0));
            let point = |after: i64| v1::Point {
                value: 7.0,
                timestamp: START - 1 + (after + 1) * SECOND,
                ..v1::Point::default()
            };
            let series = v1::Series { points: vec![point(60), point(3000)], ..Default::default() };
            SelectSeriesResponse { series: vec![series] }
        },
    )
    .await;
    let rows = source(&server).await.profiles(&select(3600), &Report::new()).await.unwrap();
    let times: Vec<Timestamp> = rows.iter().map(|row| row.time).collect();
    assert_eq!(times, [at(START + 60_500), at(START + 3_000_500)]);
}

async fn exemplars(knows_spans: bool) -> (Result<Vec<Exemplar>, Error>, Report) {
    let server = server(
        move |asked| {
            check(&asked);
            let is_span = asked.query_type() == HeatmapQueryType::Span;
            let of = if is_span { ExemplarType::Span } else { ExemplarType::Individual };
            assert_eq!(asked.exemplar_type(), of);
            // A minute has columns of a second.
            assert_eq!((asked.start, asked.step), (START - 1, 1.0));
            let exemplar = match is_span {
                true if !knows_spans => return None,
                false => exemplar(2400, "7c9e6679-7425-40de-944b-e07fc1f90ae7", 7),
                true => v1::Exemplar {
                    span_id: "00f067aa0ba902b7".to_owned(),
                    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
                    ..exemplar(1300, "", 5)
                },
            };
            let end = (exemplar.timestamp - START) / SECOND * SECOND + SECOND - 1;
            map(vec![(&[("pod", "a")], vec![slot(end, &[(0.0, 9)], vec![exemplar])])])
        },
        |_| panic!("a series is not asked for"),
    )
    .await;
    let report = Report::new();
    (source(&server).await.exemplars(&select(60), &report).await, report)
}

#[tokio::test]
async fn exemplars_are_of_profiles_and_of_spans() {
    let of_profile = Exemplar {
        time: at(START + 2400),
        labels: labels(&[("pod", "a"), ("region", "eu")]),
        profile_id: Some("7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned()),
        span_id: None,
        trace_id: None,
        value: 7,
    };
    let of_span = Exemplar {
        time: at(START + 1300),
        profile_id: None,
        span_id: Some("00f067aa0ba902b7".to_owned()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        value: 5,
        ..of_profile.clone()
    };
    let (rows, report) = exemplars(true).await;
    assert_eq!(rows.unwrap(), [of_span, of_profile.clone()]);
    assert!(report.is_complete() && report.notices().is_empty());
    // Where there are none of spans they are told as missing.
    let (rows, report) = exemplars(false).await;
    assert_eq!(rows.unwrap(), [of_profile]);
    assert!(!report.is_complete());
    assert!(report.notices()[0].reason.starts_with("the exemplars of spans are not told: "));
}

#[tokio::test]
async fn a_heat_map_has_a_cell_for_each_count() {
    let server = server(
        |asked| {
            check(&asked);
            assert_eq!(asked.exemplar_type(), ExemplarType::None);
            let (start, end) = (asked.start + 1 - START, asked.end - START);
            let step = (asked.step * 1000.0) as i64;
            let slots = match (start, end, step) {
                (0, 45_000, 15_000) => vec![
                    slot(14_999, &[(0.0, 2), (5.0, 0), (10.0, 1)], Vec::new()),
                    slot(44_999, &[(0.0, 4)], Vec::new()),
                ],
                // What is left behind the last whole column.
                (45_000, 50_000, 5000) => vec![slot(49_999, &[(10.0, 8)], Vec::new())],
                other => panic!("{other:?}"),
            };
            map(vec![(&[("pod", "a")], slots)])
        },
        |_| panic!("a series is not asked for"),
    )
    .await;
    let step = Step::from_nanos(15_000_000_000).unwrap();
    let cells = source(&server).await.heatmap(&select(50), step, &Report::new()).await.unwrap();
    let cell = |after, value_min, count| HeatmapCell {
        time: at(START + after),
        labels: labels(&[("pod", "a")]),
        value_min,
        count,
    };
    let expected = [cell(0, 0.0, 2), cell(0, 10.0, 1), cell(30_000, 0.0, 4), cell(45_000, 10.0, 8)];
    assert_eq!(cells, expected);
}

#[tokio::test]
async fn annotations_are_those_of_points() {
    let server = server(
        |_| panic!("a heat map is not asked for"),
        |asked| {
            assert_eq!(asked.group_by, ["pod"]);
            assert_eq!((asked.start, asked.end, asked.step), (START - 1, START + 60_000, 1.0));
            let note = |text: &str| v1::ProfileAnnotation {
                key: "pyroscope.ingest.throttled".to_owned(),
                value: text.to_owned(),
            };
            let point = |after: i64, notes: &[&str]| v1::Point {
                value: 7.0,
                timestamp: START + after,
                annotations: notes.iter().map(|text| note(text)).collect(),
                ..v1::Point::default()
            };
            let points = vec![
                // Before the range.
                point(-1, &["early"]),
                point(9999, &["half", "limit"]),
                point(10_999, &[]),
            ];
            let series = v1::Series { labels: pairs(&[("pod", "a")]), points };
            SelectSeriesResponse { series: vec![series] }
        },
    )
    .await;
    let rows = source(&server).await.annotations(&select(60), &Report::new()).await.unwrap();
    let note = |value: &str| Annotation {
        time: at(START + 9000),
        labels: labels(&[("pod", "a")]),
        key: "pyroscope.ingest.throttled".to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(rows, [note("half"), note("limit")]);
}

/// As Phlare, whose points have none: nothing would be an answer that is wrong.
#[tokio::test]
async fn annotations_are_refused_where_points_have_none() {
    let server = Faulty::start(|_, seen| {
        let is_types = seen.head.starts_with("GET /querier.v1.QuerierService/ProfileTypes ");
        assert!(!seen.head.contains("/SelectSeries "));
        vec![Do::Send(answer(if is_types { 405 } else { 404 }, &[], b""))]
    })
    .await;
    let error = source(&server).await.annotations(&select(60), &Report::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("Pyroscope 1.14"), "{error}");
}
