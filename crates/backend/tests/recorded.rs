//! What four Connect servers answered, held against the shop; what they are asked; and why a replayed answer may stand
//! for another one.
//!
//! The servers had the same profiles, but for what `recorded/README.md` says. Where one of them answers something else
//! than the sums over the shop, it is named here beside the check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use flamesql_backend::{
    Backend, BackendType, Bins, ErrorKind, Generation, GroupBy, Grouping, MetaQuery, Only,
    Pyroscope, PyroscopeOptions, Report, Select, Server, ServerKind,
};
use flamesql_profile::{
    ProfileType, StackTree, Step, TimeRange, Timestamp,
    flamebearer::{DiffLevels, Levels},
    pprof, pyroscope_tree,
};
use flamesql_proto::{
    google::v1::Profile,
    querier::v1::{
        DiffRequest, DiffResponse, FlameGraph, ProfileFormat, ProfileTypesRequest,
        ProfileTypesResponse, SelectHeatmapRequest, SelectHeatmapResponse,
        SelectMergeProfileRequest, SelectMergeSpanProfileRequest, SelectMergeSpanProfileResponse,
        SelectMergeStacktracesRequest, SelectMergeStacktracesResponse, SelectSeriesRequest,
        SelectSeriesResponse, SeriesRequest, SeriesResponse,
    },
    types::v1::{
        GetProfileStatsRequest, GetProfileStatsResponse, LabelNamesRequest, LabelNamesResponse,
        LabelPair, LabelValuesRequest, LabelValuesResponse,
    },
};
use flamesql_selector::{Filter, Selector};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    faulty::{self, Faulty},
    replay::{Exchange, Recording, Replay, query_fields},
    shop::{self, Row},
    support,
};

const V2: &str = "pyroscope-2.2-v2";
const V1: &str = "pyroscope-2.2-v1";
const V115: &str = "pyroscope-1.15";
const PHLARE: &str = "phlare-0.6";
const SERVERS: [&str; 4] = [V2, V1, V115, PHLARE];

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
/// From here on a double does not hold every whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

type Stacks = BTreeMap<Vec<String>, i64>;

/// A recording, and what its server was given.
struct Told {
    name: &'static str,
    recording: Recording,
    rows: Vec<Row>,
}

impl Told {
    fn new(name: &'static str) -> Self {
        let recording = Recording::connect(name);
        let mut rows = shop::rows();
        let opens = rows.iter().map(|row| row.time).min().unwrap() / SECOND * SECOND;
        let later = recording.t0 * SECOND - opens;
        for row in &mut rows {
            row.time += later;
            // The file's name is a label of ours.
            row.labels.remove("file");
            // 1.15 stores it so, and to Phlare it was pushed so.
            if [V115, PHLARE].contains(&name)
                && let Some(value) = row.labels.remove("k8s.cluster")
            {
                row.labels.insert("k8s_cluster".to_owned(), value);
            }
            // 1.15 makes it a label of the series.
            if name == V115 && !row.trace.is_empty() {
                row.labels.insert("trace_id".to_owned(), row.trace.clone());
            }
        }
        Self { name, recording, rows }
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name)
    }

    /// Whether a profile is between two milliseconds, as this server reads that.
    fn is_in(&self, time: i64, start: i64, end: i64) -> bool {
        match self.name {
            V2 => start * MS <= time && time <= end * MS,
            _ => (start..=end).contains(&time.div_euclid(MS)),
        }
    }

    fn chosen(&self, id: &str, selector: &str) -> impl Iterator<Item = &Row> {
        let filter = Filter::new(&Selector::parse(selector).unwrap()).unwrap();
        let rows = self.rows.iter().filter(move |row| row.profile_type == id);
        rows.filter(move |row| filter.matches(|name| row.labels.get(name).map(String::as_str)))
    }

    fn stacks(
        &self,
        question: &SelectMergeStacktracesRequest,
        keep: impl Fn(&Row) -> bool,
    ) -> Stacks {
        let SelectMergeStacktracesRequest { profile_type_id, label_selector, start, end, .. } =
            question;
        sums(
            self.chosen(profile_type_id, label_selector)
                .filter(|row| self.is_in(row.time, *start, *end) && row.value != 0 && keep(row)),
        )
    }
}

fn sums<'a>(rows: impl Iterator<Item = &'a Row>) -> Stacks {
    let mut sums = Stacks::new();
    for row in rows {
        *sums.entry(row.stack.clone()).or_default() += row.value;
    }
    sums
}

fn total(stacks: &Stacks) -> i64 {
    stacks.values().sum()
}

fn of_tree(tree: &StackTree) -> Stacks {
    let path = |node| tree.path(node).into_iter().map(str::to_owned).collect();
    tree.stacks().map(|(node, value)| (path(node), value)).collect()
}

fn of_graph(graph: FlameGraph) -> Stacks {
    let FlameGraph { names, levels, total: claimed, max_self } = graph;
    let levels = levels.into_iter().map(|level| level.values).collect();
    let stacks = of_tree(&Levels { names, levels, total: claimed, max_self }.decode().unwrap());
    assert_eq!(total(&stacks), claimed);
    stacks
}

fn of_bytes(tree: &[u8]) -> Stacks {
    of_tree(pyroscope_tree::decode(tree).unwrap().tree())
}

/// A message from its bytes.
fn decoded<T: Message + Default>(bytes: &[u8]) -> T {
    T::decode(bytes).unwrap()
}

// ------------------------------------------------------------------------------------------------------------ answers

#[test]
fn messages_as_bytes_are_the_same_as_json() {
    fn same<Q, A>(exchange: &Exchange)
    where
        Q: Message + Default + PartialEq + DeserializeOwned + Debug,
        A: Message + Default + PartialEq + DeserializeOwned + Debug,
    {
        let [question, answer] = &exchange.json;
        let as_json: Q = serde_json::from_value(question.clone()).unwrap();
        assert_eq!(decoded::<Q>(&exchange.question), as_json, "{}", exchange.name);
        if exchange.status == 200 {
            let as_json: A = serde_json::from_value(answer.clone()).unwrap();
            assert_eq!(decoded::<A>(&exchange.body), as_json, "{}", exchange.name);
        } else {
            assert_eq!(*answer, Value::Null, "{}", exchange.name);
        }
    }
    for name in SERVERS {
        let recording = Recording::connect(name);
        let calls = recording.exchanges.iter().filter(|exchange| exchange.json[0] != Value::Null);
        let mut n_seen = 0;
        for exchange in calls {
            n_seen += 1;
            match exchange.path.rsplit('/').next().unwrap() {
                "ProfileTypes" => same::<ProfileTypesRequest, ProfileTypesResponse>(exchange),
                "LabelNames" => same::<LabelNamesRequest, LabelNamesResponse>(exchange),
                "LabelValues" => same::<LabelValuesRequest, LabelValuesResponse>(exchange),
                "Series" => same::<SeriesRequest, SeriesResponse>(exchange),
                "SelectSeries" => same::<SelectSeriesRequest, SelectSeriesResponse>(exchange),
                "SelectMergeStacktraces" => {
                    same::<SelectMergeStacktracesRequest, SelectMergeStacktracesResponse>(exchange)
                }
                "SelectMergeSpanProfile" => {
                    same::<SelectMergeSpanProfileRequest, SelectMergeSpanProfileResponse>(exchange)
                }
                "SelectMergeProfile" => same::<SelectMergeProfileRequest, Profile>(exchange),
                "SelectHeatmap" => same::<SelectHeatmapRequest, SelectHeatmapResponse>(exchange),
                "GetProfileStats" => {
                    same::<GetProfileStatsRequest, GetProfileStatsResponse>(exchange)
                }
                "Diff" => same::<DiffRequest, DiffResponse>(exchange),
                other => panic!("{other} is no method"),
            }
        }
        assert!(n_seen >= 54, "{name}: {n_seen}");
    }
}

#[test]
fn each_answer_is_what_the_shop_gives() {
    for name in SERVERS {
        let told = Told::new(name);
        for exchange in &told.recording.exchanges {
            let what = format!("{name}: {}", exchange.name);
            match exchange.path.rsplit('/').next().unwrap() {
                // `detection_tells_them_apart` reads these.
                _ if exchange.name.starts_with("plain ") => {}
                // `errors_say_what_is_wrong` reads these.
                _ if exchange.status != 200 => assert!(said(name, exchange).is_some(), "{what}"),
                "ProfileTypes" => types(&told, exchange, &what),
                "LabelNames" => label_names(&told, exchange, &what),
                "LabelValues" => label_values(&told, exchange, &what),
                "Series" => label_sets(&told, exchange, &what),
                "SelectSeries" => series(&told, exchange, &what),
                "SelectMergeStacktraces" => stacks(&told, exchange, &what),
                "SelectMergeSpanProfile" => spans(&told, exchange, &what),
                "SelectMergeProfile" => merged(&told, exchange, &what),
                "SelectHeatmap" => heatmap(&told, exchange, &what),
                "GetProfileStats" => statistics(&told, exchange, &what),
                "Diff" => diff(&told, exchange, &what),
                other => panic!("{other} is no method"),
            }
        }
    }
}

fn types(told: &Told, exchange: &Exchange, what: &str) {
    let answer: ProfileTypesResponse = decoded(&exchange.body);
    let found: Vec<&str> = answer.profile_types.iter().map(|t| t.id.as_str()).collect();
    let truth: BTreeSet<&str> = told.rows.iter().map(|row| row.profile_type.as_str()).collect();
    assert_eq!(found, Vec::from_iter(truth), "{what}");
    for found in answer.profile_types {
        let id = ProfileType::parse(&found.id).unwrap();
        let parts = [&found.name, &found.sample_type, &found.sample_unit];
        assert_eq!(parts, [id.name(), id.sample_type(), id.sample_unit()], "{what}");
    }
}

/// The label sets of the shop that fit matchers: all of them, where a server takes several together, or any.
fn fitting<'a>(told: &'a Told, matchers: &[String]) -> Vec<&'a Row> {
    let filters: Vec<Filter> =
        matchers.iter().map(|text| Filter::new(&text.parse().unwrap()).unwrap()).collect();
    let rows = told.rows.iter().filter(|row| {
        let mut fits = filters
            .iter()
            .map(|filter| filter.matches(|name| row.labels.get(name).map(String::as_str)));
        // What two matcher sets mean is one of the differences: so we send one at most.
        if told.is(&[V2]) { fits.all(|fits| fits) } else { filters.is_empty() || fits.any(|f| f) }
    });
    rows.collect()
}

fn label_names(told: &Told, exchange: &Exchange, what: &str) {
    let question: LabelNamesRequest = decoded(&exchange.question);
    let answer: LabelNamesResponse = decoded(&exchange.body);
    let mut truth: BTreeSet<&str> = fitting(told, &question.matchers)
        .into_iter()
        .flat_map(|row| row.labels.keys().map(String::as_str))
        .collect();
    // A name with a dot: v2 lists it to who says that he reads it, v1 to nobody.
    if told.is(&[V1]) || told.is(&[V2]) && exchange.fields.contains_key("accept") {
        truth.remove("k8s.cluster");
    }
    let (private, public): (Vec<&str>, Vec<&str>) =
        answer.names.iter().map(String::as_str).partition(|name| name.starts_with("__"));
    assert_eq!(public, Vec::from_iter(truth), "{what}");
    assert!(private.contains(&"__profile_type__"), "{what}");
}

fn label_values(told: &Told, exchange: &Exchange, what: &str) {
    let question: LabelValuesRequest = decoded(&exchange.question);
    let answer: LabelValuesResponse = decoded(&exchange.body);
    let rows = fitting(told, &question.matchers);
    let truth: BTreeSet<&String> =
        rows.into_iter().filter_map(|row| row.labels.get(&question.name)).collect();
    assert_eq!(answer.names.iter().collect::<Vec<_>>(), Vec::from_iter(truth), "{what}");
    // No name at all is a mistake to the newer ones.
    assert!(!question.name.is_empty() || told.is(&[V115, PHLARE]), "{what}");
}

fn label_sets(told: &Told, exchange: &Exchange, what: &str) {
    let question: SeriesRequest = decoded(&exchange.question);
    let answer: SeriesResponse = decoded(&exchange.body);
    let is_asked = |name: &str| {
        question.label_names.is_empty() || question.label_names.iter().any(|n| n == name)
    };
    let mut truth = BTreeSet::new();
    for row in fitting(told, &question.matchers) {
        let mut set = row.labels.clone();
        // v1 shows it as little here as among the names.
        set.retain(|name, _| is_asked(name) && !(told.is(&[V1]) && name == "k8s.cluster"));
        if is_asked("__profile_type__") {
            set.insert("__profile_type__".to_owned(), row.profile_type.clone());
        }
        truth.insert(set);
    }
    let n_sets = answer.labels_set.len();
    let found: BTreeSet<BTreeMap<String, String>> = answer
        .labels_set
        .into_iter()
        .map(|set| {
            let pairs = set.labels.into_iter().map(|LabelPair { name, value }| (name, value));
            let is_shown = |name: &str| name == "__profile_type__" || !name.starts_with("__");
            pairs.filter(|(name, _)| is_shown(name)).collect()
        })
        .collect();
    assert_eq!(found, truth, "{what}");
    assert_eq!(n_sets, found.len(), "{what}: one twice");
}

fn series(told: &Told, exchange: &Exchange, what: &str) {
    let question: SelectSeriesRequest = decoded(&exchange.question);
    let answer: SelectSeriesResponse = decoded(&exchange.body);
    let step = (question.step * 1000.0) as i64;
    // v2 and Phlare pass over it.
    let call_site: Vec<String> = match question.stack_trace_selector {
        Some(selector) if told.is(&[V1, V115]) => {
            selector.call_site.into_iter().map(|location| location.name).collect()
        }
        _ => Vec::new(),
    };
    type Cells = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, (i64, BTreeSet<i64>)>>;
    let mut truth = Cells::new();
    let rows = told.chosen(&question.profile_type_id, &question.label_selector);
    for row in rows.filter(|row| row.stack.starts_with(&call_site)) {
        // A bin begins behind the first millisecond that is asked for, and a point stands at its last one.
        let since = row.time.div_euclid(MS) - (question.start + 1);
        if since < 0 || row.time.div_euclid(MS) >= question.end {
            continue;
        }
        let mut labels = row.labels.clone();
        labels.retain(|name, _| question.group_by.contains(name));
        let at = question.start + (since / step + 1) * step;
        let (sum, times) = truth.entry(labels).or_default().entry(at).or_default();
        *sum += row.value;
        times.insert(row.time);
    }
    // Phlare knows no limit.
    if let Some(limit) = question.limit.filter(|_| !told.is(&[PHLARE])) {
        let size =
            |cells: &BTreeMap<i64, (i64, _)>| cells.values().map(|(sum, _)| sum).sum::<i64>();
        let mut sizes: Vec<i64> = truth.values().map(size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        truth.retain(|_, cells| size(cells) >= sizes[limit as usize - 1]);
    }
    // An average is asked for where its value is not 0, SUM.
    let is_average = question.aggregation.is_some_and(|aggregation| aggregation != 0);
    let mut found: BTreeMap<BTreeMap<String, String>, BTreeMap<i64, f64>> = BTreeMap::new();
    for series in answer.series {
        let labels = series.labels.into_iter().map(|pair| (pair.name, pair.value)).collect();
        let points = series.points.into_iter().map(|point| (point.timestamp, point.value));
        let points: BTreeMap<i64, f64> = points.collect();
        assert_eq!(found.insert(labels, points), None, "{what}");
    }
    assert!(found.keys().eq(truth.keys()), "{what}: {found:?}");
    for (labels, cells) in &truth {
        let points = &found[labels];
        assert!(points.keys().eq(cells.keys()), "{what}: {points:?}");
        for (at, (sum, times)) in cells {
            let (value, sum) = (points[at], *sum as f64);
            match is_average {
                // Of the profiles in the step, over all series together.
                true if told.is(&[V1]) => {
                    let average = sum / times.len() as f64;
                    assert!((value - average).abs() <= average * 1e-12, "{what}: {value}");
                }
                // Profiles count twice that it took apart for their traces.
                true if told.is(&[V115]) => assert!(value < sum / times.len() as f64, "{what}"),
                // The others answer with the sum, so that we work averages out by ourselves.
                _ if sum < EXACT => assert_eq!(value, sum, "{what}"),
                // A double does not hold it: the last digits depend on the order of additions.
                _ => assert!((value - sum).abs() <= sum * 1e-12, "{what}: {value}"),
            }
        }
    }
}

fn stacks(told: &Told, exchange: &Exchange, what: &str) {
    let question: SelectMergeStacktracesRequest = decoded(&exchange.question);
    let answer: SelectMergeStacktracesResponse = decoded(&exchange.body);
    // Only v2 looks at these choices; v1 refuses the last one, and the others answer with everything.
    let (call_site, traces) = match told.name {
        V2 => {
            let site = question.stack_trace_selector.clone().unwrap_or_default().call_site;
            (site, question.trace_id_selector.clone())
        }
        _ => (Vec::new(), Vec::new()),
    };
    let call_site: Vec<String> = call_site.into_iter().map(|location| location.name).collect();
    // Phlare answers no range, or one the wrong way round, with nothing.
    let truth = told.stacks(&question, |row| {
        row.stack.starts_with(&call_site) && (traces.is_empty() || traces.contains(&row.trace))
    });

    // Phlare knows flame graphs only, 1.15 trees as well.
    let form = match (told.name, question.format()) {
        (PHLARE, _) => ProfileFormat::Flamegraph,
        (V115, ProfileFormat::Pprof | ProfileFormat::Dot) => ProfileFormat::Flamegraph,
        (_, ProfileFormat::Unspecified) => ProfileFormat::Flamegraph,
        (_, form) => form,
    };
    let SelectMergeStacktracesResponse { flamegraph, tree, dot, pprof, .. } = answer;
    let has = (flamegraph.is_some(), pprof.is_some(), !dot.is_empty());
    let found = match form {
        ProfileFormat::Pprof => {
            let profile = pprof.unwrap().profile.unwrap().encode_to_vec();
            of_tree(&pprof::decode(&profile).unwrap().tree(0).unwrap())
        }
        ProfileFormat::Dot => {
            assert_eq!(total(&truth), 103_010_000_000, "{what}");
            assert!(dot.contains("accounting for 103.01s, 100% of 103.01s total"), "{what}");
            return;
        }
        // No stacks, no field at all.
        ProfileFormat::Tree => of_bytes(&tree),
        _ => of_graph(flamegraph.unwrap()),
    };
    let expected = (
        form == ProfileFormat::Flamegraph,
        form == ProfileFormat::Pprof,
        form == ProfileFormat::Dot,
    );
    assert_eq!(has, expected, "{what}");
    match question.max_nodes {
        // The nodes that are left out stand together as `other`, and the sum is right.
        Some(3) => {
            assert!(found.len() < truth.len(), "{what}");
            assert!(found.keys().any(|stack| stack.last().unwrap() == "other"), "{what}");
            assert_eq!(total(&found), total(&truth), "{what}");
        }
        _ => assert_eq!(found, truth, "{what}"),
    }
}

fn spans(told: &Told, exchange: &Exchange, what: &str) {
    let question: SelectMergeSpanProfileRequest = decoded(&exchange.question);
    let answer: SelectMergeSpanProfileResponse = decoded(&exchange.body);
    let truth = told.chosen(&question.profile_type_id, &question.label_selector).filter(|row| {
        told.is_in(row.time, question.start, question.end)
            && question.span_selector.contains(&row.span)
    });
    let found = match answer.flamegraph {
        Some(graph) => of_graph(graph),
        None => of_bytes(&answer.tree),
    };
    assert_eq!(found, sums(truth), "{what}");
    assert!(!found.is_empty(), "{what}");
}

fn merged(told: &Told, exchange: &Exchange, what: &str) {
    let question: SelectMergeProfileRequest = decoded(&exchange.question);
    let profile = pprof::decode(&exchange.body).unwrap();
    let stacks = SelectMergeStacktracesRequest {
        profile_type_id: question.profile_type_id,
        label_selector: question.label_selector,
        start: question.start,
        end: question.end,
        ..SelectMergeStacktracesRequest::default()
    };
    assert_eq!(of_tree(&profile.tree(0).unwrap()), told.stacks(&stacks, |_| true), "{what}");
    assert_eq!(profile.time_nanos, question.end * MS, "{what}");
    // v2 does not say for how long.
    let duration = if told.is(&[V2]) { 0 } else { (question.end - question.start) * MS };
    assert_eq!(profile.duration_nanos, duration, "{what}");
}

/// We never ask for it: two answers make a difference as well.
fn diff(told: &Told, exchange: &Exchange, what: &str) {
    let question: DiffRequest = decoded(&exchange.question);
    let graph = decoded::<DiffResponse>(&exchange.body).flamegraph.unwrap();
    let levels = DiffLevels {
        names: graph.names,
        levels: graph.levels.into_iter().map(|level| level.values).collect(),
        left_ticks: graph.left_ticks,
        right_ticks: graph.right_ticks,
        max_self: graph.max_self,
    };
    let (left, right) = levels.decode().unwrap();
    for (tree, side) in [(left, question.left), (right, question.right)] {
        assert_eq!(of_tree(&tree), told.stacks(&side.unwrap(), |_| true), "{what}");
    }
}

fn heatmap(told: &Told, exchange: &Exchange, what: &str) {
    let question: SelectHeatmapRequest = decoded(&exchange.question);
    let answer: SelectHeatmapResponse = decoded(&exchange.body);
    // The profiles of a pod, by their time in milliseconds.
    let mut truth: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    for row in told.chosen(&question.profile_type_id, &question.label_selector) {
        if told.is_in(row.time, question.start, question.end) {
            let of_pod = truth.entry(row.labels["pod"].clone()).or_default();
            *of_pod.entry(row.time / MS).or_default() += row.value;
        }
    }
    let mut found: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for series in answer.series {
        let [LabelPair { name, value: pod }] = series.labels.as_slice() else { panic!("{what}") };
        assert_eq!(name, "pod", "{what}");
        let of_pod = found.entry(pod.clone()).or_default();
        let mut n_counted = 0;
        for slot in series.slots {
            n_counted += slot.counts.iter().sum::<i32>();
            for exemplar in slot.exemplars {
                assert!(ids.insert(exemplar.profile_id), "{what}: one id twice");
                assert!(exemplar.timestamp <= slot.timestamp, "{what}");
                assert_eq!(of_pod.insert(exemplar.timestamp, exemplar.value), None, "{what}");
            }
        }
        // As many as there are, and each has an exemplar.
        assert_eq!(usize::try_from(n_counted).unwrap(), of_pod.len(), "{what}");
    }
    assert_eq!(found, truth, "{what}");
}

fn statistics(told: &Told, exchange: &Exchange, what: &str) {
    let answer: GetProfileStatsResponse = decoded(&exchange.body);
    let times = told.rows.iter().map(|row| row.time / MS);
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    assert!(answer.data_ingested, "{what}");
    assert_eq!(answer.oldest_profile_time, first, "{what}");
    match told.name {
        // It had not compacted all of it yet.
        V2 => assert!(answer.newest_profile_time < last, "{what}"),
        _ => assert_eq!(answer.newest_profile_time, last, "{what}"),
    }
}

// ------------------------------------------------------------------------------------------------------------- errors

/// What an answer that is none says, without what it is wrapped in.
fn said(name: &str, exchange: &Exchange) -> Option<(ErrorKind, &'static str)> {
    use ErrorKind::{InvalidQuery, Unsupported};
    let error = match (exchange.name.as_str(), name) {
        ("error: bad selector", V2) => (
            InvalidQuery,
            "parsing label selector \"{service_name=\\\"checkout\\\"\": 1:25: parse error: unexpected end of input inside braces",
        ),
        ("error: bad selector", _) => {
            (InvalidQuery, "1:25: parse error: unexpected end of input inside braces")
        }
        ("error: empty selector", V2) => (
            InvalidQuery,
            "parsing label selector \"\": unknown position: parse error: unexpected end of input",
        ),
        ("error: empty selector", PHLARE) => {
            (InvalidQuery, "1:1: parse error: unexpected end of input")
        }
        ("error: empty selector", _) => {
            (InvalidQuery, "unknown position: parse error: unexpected end of input")
        }
        ("error: bad profile type", _) => (
            InvalidQuery,
            "profile-type selection must be of the form <name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), got(1): \"cpu\"",
        ),
        // Status 500, and our mistake all the same.
        ("error: range too long", PHLARE) => (
            InvalidQuery,
            "the query time range exceeds the limit (query length: 25h5m0s, limit: 1d)",
        ),
        ("error: range too long", _) => (
            InvalidQuery,
            "the query time range exceeds the limit (max_query_length, actual: 25h5m0s, limit: 1d)",
        ),
        ("error: start after end", V2 | V1 | V115) => {
            (InvalidQuery, "query start time is after end time")
        }
        ("error: no range", V2 | V1 | V115) => (InvalidQuery, "missing time range in the query"),
        ("error: step too small", V2 | V1) => (InvalidQuery, "step must be >= 1ms"),
        ("error: too many nodes", V2 | V1 | V115) => {
            (InvalidQuery, "max flamegraph nodes limit 2000000 is greater than allowed 1048576")
        }
        ("error: no label name", V2 | V1) => (InvalidQuery, "name is required"),
        ("stacks, dot", V1) => {
            (Unsupported, "dot format is only supported with the v2 query backend")
        }
        ("stacks, one trace", V1) => {
            (Unsupported, "trace_id_selector is only supported with the v2 query backend")
        }
        ("stacks, UTF-8 label selector", PHLARE) => (
            InvalidQuery,
            "1:2: parse error: unexpected string \"\\\"k8s.clust\"... in label matching, expected identifier or \"}\"",
        ),
        ("heat map of profiles", V1) => {
            (Unsupported, "this endpoint is not available in v1 frontend")
        }
        ("heat map of profiles", V115 | PHLARE)
        | ("span profile" | "profile statistics", PHLARE) => {
            (Unsupported, "it has no such method (404)")
        }
        _ => return None,
    };
    Some(error)
}

/// Whatever was asked: each recorded error is the answer to one question of ours here.
#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong() {
    for name in SERVERS {
        let recording = Recording::connect(name);
        let errors: Vec<Exchange> = recording.exchanges.to_vec();
        let mut n_errors = 0;
        for error in errors.iter().filter(|e| e.status != 200 && !e.name.starts_with("plain ")) {
            let mut recording = recording.clone();
            let types = recording.exchanges.iter_mut().find(|e| e.name == "profile types").unwrap();
            (types.status, types.content_type) = (error.status, error.content_type.clone());
            types.body.clone_from(&error.body);
            let range = range(&recording);
            let replay = recording.play().await;
            let source =
                Pyroscope::open(&replay.url(), &PyroscopeOptions::default()).await.unwrap();
            let told = source.profile_types(range).await.unwrap_err();
            let (kind, text) = said(name, error).unwrap_or_else(|| panic!("{}", error.name));
            let url = replay.url();
            let text = format!("cannot list the profile types at {url}: {text}");
            assert_eq!((told.kind(), told.to_string()), (kind, text), "{name}: {}", error.name);
            let hint = told.hint().unwrap_or_default();
            let is_about_length = error.name == "error: range too long";
            assert_eq!(hint.contains("shorter range"), is_about_length, "{name}: {hint}");
            n_errors += 1;
        }
        assert!(n_errors >= 7, "{name}: {n_errors}");
    }
}

// ---------------------------------------------------------------------------------------------------------- questions

/// The five minutes in which the shop was open.
fn range(recording: &Recording) -> TimeRange {
    from_to(recording, 0, 300)
}

fn from_to(recording: &Recording, from: i64, to: i64) -> TimeRange {
    let at = |seconds: i64| Timestamp::from_nanos((recording.t0 + seconds) * SECOND);
    TimeRange::new(at(from), at(to)).unwrap()
}

/// What we ask a source for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Types,
    Names(&'static str),
    Values(&'static str, &'static str),
    Sets,
    /// Type, selector, labels, seconds in a bin or 0 for the whole range.
    Series(&'static str, &'static str, &'static [&'static str], i64),
    /// Type, selector, seconds from and to.
    Stacks(&'static str, &'static str, i64, i64),
    Span(&'static str),
    Trace(&'static str),
}

const ALL: &str = "{}";
const CHECKOUT: &str = r#"{service_name="checkout"}"#;
const COUNT: &str = "process_cpu:samples:count:cpu:nanoseconds";
const INUSE: &str = "memory:inuse_space:bytes:space:bytes";

/// Questions that are recorded at all servers, or at those that are named; what else is asked for an answer, by its
/// recorded name, or none.
const FORMED: &[(&str, &[&str], Ask, &[&str])] = &[
    ("profile types", &SERVERS, Ask::Types, &[]),
    ("label names", &SERVERS, Ask::Names(ALL), &[]),
    ("label names, matcher", &SERVERS, Ask::Names(r#"{service_name="mail"}"#), &[]),
    ("label values", &[V2, V1, V115], Ask::Values("service_name", ALL), &[]),
    ("label values, UTF-8 name", &[V2, V1, V115], Ask::Values("k8s.cluster", ALL), &[]),
    ("label values, matcher", &[V2, V1, V115], Ask::Values("pod", CHECKOUT), &[]),
    ("label values, unknown name", &[V2, V1, V115], Ask::Values("nope", ALL), &[]),
    ("label sets, all labels", &SERVERS, Ask::Sets, &[]),
    // The bin of the pod `big` is over 2^53, and its exact value is not recorded.
    ("series, no group, 10 s bins", &SERVERS, Ask::Series(CPU, ALL, &[], 10), &[CELL]),
    ("series, by service", &SERVERS, Ask::Series(CPU, ALL, &["service_name"], 60), &[CELL]),
    (
        "series, by service and pod, filtered",
        &SERVERS,
        Ask::Series(CPU, r#"{service_name=~"checkout|search"}"#, &["pod", "service_name"], 60),
        &[],
    ),
    (
        "series, by a label that some lack",
        &SERVERS,
        Ask::Series(CPU, ALL, &["region"], 0),
        // What has no region is over 2^53.
        &["stacks, region empty"],
    ),
    ("series, by UTF-8 label", &[V2], Ask::Series(CPU, ALL, &["k8s.cluster"], 0), &[CELL]),
    (
        "series, by UTF-8 label",
        &[V1],
        Ask::Series(CPU, ALL, &["k8s.cluster"], 0),
        // Whether this server renamed it; the names of which it has are asked for first.
        &["label names", CELL],
    ),
    (
        "series, one bin over the range",
        &SERVERS,
        Ask::Series(CPU, ALL, &[], 0),
        &["stacks, tree, everything"],
    ),
    ("series, samples type", &SERVERS, Ask::Series(COUNT, ALL, &["service_name"], 0), &[]),
    ("series, memory", &SERVERS, Ask::Series(INUSE, ALL, &[], 60), &[]),
    (
        "series, value over 2^53",
        &SERVERS,
        Ask::Series(CPU, r#"{pod="big"}"#, &[], 0),
        &["stacks, value over 2^53"],
    ),
    ("stacks, flame graph", &[PHLARE], Ask::Stacks(CPU, CHECKOUT, 0, 300), &[]),
    ("stacks, tree", &[V2, V1, V115], Ask::Stacks(CPU, CHECKOUT, 0, 300), &[]),
    ("stacks, tree, everything", &SERVERS, Ask::Stacks(CPU, ALL, 0, 300), &[]),
    (
        "stacks, tree, first minute and a millisecond",
        &SERVERS,
        Ask::Stacks(CPU, ALL, 0, 60),
        &["stacks, tree, the millisecond after the first minute"],
    ),
    (
        "stacks, tree, the millisecond after the first minute",
        &SERVERS,
        Ask::Stacks(CPU, ALL, 0, 60),
        &["stacks, tree, first minute and a millisecond"],
    ),
    ("stacks, region empty", &SERVERS, Ask::Stacks(CPU, r#"{region=""}"#, 0, 300), &[]),
    ("stacks, region not eu", &SERVERS, Ask::Stacks(CPU, r#"{region!="eu"}"#, 0, 300), &[]),
    (
        "stacks, UTF-8 label selector",
        &[V2],
        Ask::Stacks(CPU, r#"{"k8s.cluster"="prod"}"#, 0, 300),
        &[],
    ),
    (
        "stacks, UTF-8 label selector",
        &[V1],
        Ask::Stacks(CPU, r#"{"k8s.cluster"="prod"}"#, 0, 300),
        &["label names"],
    ),
    ("stacks, value over 2^53", &SERVERS, Ask::Stacks(CPU, r#"{pod="big"}"#, 0, 300), &[]),
    (
        "stacks, empty answer, tree",
        &[V2, V1, V115],
        Ask::Stacks(CPU, r#"{pod="nobody"}"#, 0, 300),
        &[],
    ),
    (
        "stacks, empty answer, flame graph",
        &[PHLARE],
        Ask::Stacks(CPU, r#"{pod="nobody"}"#, 0, 300),
        &[],
    ),
    ("stacks, one trace", &[V2], Ask::Trace("000000000000000000000000000003ea"), &[PROBE]),
    ("span profile", &[V2, V1, V115], Ask::Span("0000000000003e91"), &[]),
    (
        "merged pprof",
        &[V2, V1, V115],
        Ask::Stacks(CPU, r#"{service_name="search"}"#, 0, 300),
        &[LIMIT],
    ),
    ("merged pprof, memory", &[V2, V1, V115], Ask::Stacks(INUSE, ALL, 0, 300), &[LIMIT]),
    ("error: range too long", &SERVERS, Ask::Stacks(CPU, ALL, -90_000, 300), &[]),
];

/// The exact value of a cell over 2^53, which is not recorded.
const CELL: &str = "a cell";
/// Made up by the test: that a trace cannot be, which a server says that looks at such a choice.
const PROBE: &str = "made up: no trace";
/// Made up by the test: what a server says whose limit of nodes is lower; its words are recorded.
const LIMIT: &str = "made up: too many nodes";

/// Questions that no source of ours asks, and why.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("label names without the UTF-8 Accept parameter", &SERVERS, "we read such names"),
    ("label values", &[PHLARE], "it looks among what came last: we take values from a series"),
    ("label values, matcher", &[PHLARE], "the same"),
    ("label values, unknown name", &[PHLARE], "the same"),
    ("label values, UTF-8 name", &[PHLARE], "the same, but to find out whether it was renamed"),
    ("label sets, two labels", &SERVERS, "whole sets are kept, and cut here"),
    ("label sets, two matcher sets", &SERVERS, "servers differ: one set at most"),
    ("series, by UTF-8 label", &[V115, PHLARE], "refused: the label has another name there"),
    ("series, limit 2", &SERVERS, "limits are ours: Phlare knows none"),
    ("series, average asked", &SERVERS, "averages are ours: servers differ"),
    ("series, call site", &SERVERS, "two servers pass over it"),
    ("stacks, flame graph", &[V2, V1, V115], "a tree is smaller"),
    ("stacks, tree", &[PHLARE], "it answers with a flame graph, which it is asked for"),
    ("stacks, tree, 3 nodes", &SERVERS, "stacks are complete"),
    ("stacks, flame graph, 3 nodes", &SERVERS, "the same"),
    ("stacks, pprof", &SERVERS, "a merged profile says the same at all of them"),
    ("stacks, dot", &SERVERS, "nothing to read for a program"),
    ("stacks, UTF-8 label selector", &[V115, PHLARE], "refused: the label has another name there"),
    ("stacks, empty answer, flame graph", &[V2, V1, V115], "a tree is smaller"),
    ("stacks, empty answer, tree", &[PHLARE], "it answers with a flame graph"),
    ("stacks, call site", &SERVERS, "three servers pass over it"),
    ("stacks, one trace", &[V1, V115, PHLARE], "refused: they do not know it, two without a word"),
    ("span profile", &[PHLARE], "refused: it does not know it"),
    ("merged pprof", &[PHLARE], "it has no limit of nodes"),
    ("merged pprof, memory", &[PHLARE], "the same"),
    ("diff", &SERVERS, "two answers make a difference as well"),
    ("heat map of profiles", &SERVERS, "single profiles are asked for in steps of a millisecond"),
    ("profile statistics", &[V2, V1, V115], "they tell their features; Phlare is asked for it"),
    ("error: bad selector", &SERVERS, "no selector"),
    ("error: empty selector", &SERVERS, "everything is {}"),
    ("error: bad profile type", &SERVERS, "no profile type"),
    ("error: start after end", &SERVERS, "an empty range is empty without a question"),
    ("error: no range", &SERVERS, "each question has a range"),
    ("error: step too small", &[V2, V1], "no step is below the grain"),
    ("error: too many nodes", &SERVERS, "not more than servers take"),
    ("error: no label name", &SERVERS, "there is no such label"),
];

#[test]
fn each_recorded_question_is_formed_or_not_for_a_reason() {
    for name in SERVERS {
        for exchange in Recording::connect(name).exchanges {
            let exchange = exchange.name;
            // Detection asks some of them.
            if exchange.starts_with("plain ")
                || (exchange.as_str(), name) == ("profile statistics", PHLARE)
            {
                continue;
            }
            let of = |known: &str, servers: &[&str]| known == exchange && servers.contains(&name);
            let n_formed = FORMED.iter().filter(|(known, servers, ..)| of(known, servers)).count();
            let n_never = NEVER.iter().filter(|(known, servers, _)| of(known, servers)).count();
            assert_eq!(n_formed + n_never, 1, "{name}: {exchange}");
        }
    }
}

async fn ask(
    backend: &dyn Backend,
    recording: &Recording,
    ask: Ask,
) -> Result<(), flamesql_backend::Error> {
    let meta = |selector: &str| MetaQuery {
        profile_type: None,
        selector: selector.parse().unwrap(),
        range: range(recording),
    };
    let select = |id: &str, selector: &str, from, to| {
        let range = from_to(recording, from, to);
        Select::new(ProfileType::parse(id).unwrap(), selector.parse().unwrap(), range)
    };
    let report = Report::new();
    match ask {
        Ask::Types => drop(backend.profile_types(range(recording)).await?),
        Ask::Names(selector) => drop(backend.label_names(&meta(selector)).await?),
        Ask::Values(name, selector) => drop(backend.label_values(name, &meta(selector)).await?),
        Ask::Sets => drop(backend.label_sets(&meta(ALL)).await?),
        Ask::Series(id, selector, names, seconds) => {
            let time = match seconds {
                0 => Bins::Whole,
                seconds => Bins::Every {
                    step: Step::from_nanos(seconds * SECOND).unwrap(),
                    origin: Timestamp::from_nanos(0),
                },
            };
            let labels = GroupBy::Labels(names.iter().map(|name| (*name).to_owned()).collect());
            let grouping = Grouping { labels, time };
            drop(backend.series(&select(id, selector, 0, 300), &grouping, &report).await?);
        }
        Ask::Stacks(id, selector, from, to) => {
            let select = select(id, selector, from, to);
            drop(support::stacks(backend, &select, &Grouping::default()).await?);
        }
        Ask::Span(id) | Ask::Trace(id) => {
            let mut select = select(CPU, CHECKOUT, 0, 300);
            let ids = vec![id.to_owned()];
            select.only =
                if matches!(ask, Ask::Span(_)) { Only::Spans(ids) } else { Only::Traces(ids) };
            drop(support::stacks(backend, &select, &Grouping::default()).await?);
        }
    }
    Ok(())
}

/// Puts in what is not recorded: that this question would need more nodes than a server allows.
fn refuse_trees(recording: &mut Recording, of: Ask) {
    let Ask::Stacks(id, selector, ..) = of else { panic!("{of:?} asks for no stacks") };
    let mut fields = recording.exchange("stacks, tree").fields.clone();
    let end = (recording.t0 + 300) * 1000 + 1;
    for (field, value) in [
        ("end", &*end.to_string()),
        ("maxNodes", "1048576"),
        ("profileTypeID", id),
        ("labelSelector", selector),
    ] {
        fields.insert(field.to_owned(), value.to_owned());
    }
    let told = recording.exchange("error: too many nodes").clone();
    recording.exchanges.push(Exchange { name: LIMIT.to_owned(), fields, ..told });
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_formed_as_they_are_recorded() {
    for name in SERVERS {
        for (exchange, servers, of, also) in FORMED {
            if !servers.contains(&name) {
                continue;
            }
            let what = format!("{name}: {exchange}");
            let mut recording = Recording::connect(name);
            let is_too_long = *exchange == "error: range too long";
            if also.contains(&PROBE) {
                recording = recording.refusing_traces();
            }
            if also.contains(&LIMIT) {
                refuse_trees(&mut recording, *of);
            }
            let replay = recording.clone().play().await;
            let mut options = PyroscopeOptions::default();
            if is_too_long {
                options.max_range = None;
            }
            let server = Server::open(&replay.url(), None, &options).await.unwrap();
            let n_before = replay.asked().len();
            let answer = ask(server.backend().as_ref(), &recording, *of).await;
            let asked: BTreeSet<String> = replay.asked().split_off(n_before).into_iter().collect();
            let unknown = replay.take_unknown();
            let mut expected: BTreeSet<String> =
                also.iter().filter(|also| **also != CELL).map(|also| (*also).to_owned()).collect();
            expected.insert((*exchange).to_owned());
            // Of stacks the end is asked for as well, and where it is that of the shop nothing is there.
            let empty =
                asked.iter().find(|asked| asked.starts_with("stacks, empty answer")).cloned();
            expected.extend(empty);
            if is_too_long {
                // Both ends are asked for at a time, and the first answer that is none is enough.
                expected.retain(|name| asked.contains(name));
                assert!(expected.contains(*exchange), "{what}");
            }
            assert_eq!(asked, expected, "{what}");
            match also.contains(&CELL) {
                true => {
                    assert!(!unknown.is_empty(), "{what}");
                    let is_total = |asked: &String| asked.contains(r#""maxNodes": "1""#);
                    assert!(unknown.iter().all(is_total), "{what}: {unknown:?}");
                    assert!(answer.is_err(), "{what}");
                }
                false => {
                    assert_eq!(unknown, [""; 0], "{what}");
                    let error = answer.err().map(|error| error.to_string());
                    let is_told = error.as_ref().is_some_and(|e| e.contains("exceeds the limit"));
                    assert_eq!(
                        (error.is_some(), is_told),
                        (is_too_long, is_too_long),
                        "{what}: {error:?}"
                    );
                }
            }
        }
    }
}

/// What a generation cannot do is refused by name, and not asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_would_pass_over_is_refused() {
    let trace = Ask::Trace("000000000000000000000000000003ea");
    let dotted = Ask::Stacks(CPU, r#"{"k8s.cluster"="prod"}"#, 0, 300);
    let by_dotted = Ask::Series(CPU, ALL, &["k8s.cluster"], 0);
    for (name, of, texts) in [
        (V1, trace, &["trace"][..]),
        (V115, trace, &["trace"]),
        (PHLARE, trace, &["trace"]),
        (PHLARE, Ask::Span("0000000000003e91"), &["span"]),
        (V115, dotted, &[r#"no label "k8s.cluster""#, "k8s_cluster"]),
        (V115, by_dotted, &[r#"no label "k8s.cluster""#, "k8s_cluster"]),
        (PHLARE, dotted, &["k8s.cluster", "_ for each other character"]),
        (PHLARE, by_dotted, &[r#"no label "k8s.cluster""#, "k8s_cluster"]),
    ] {
        let recording = Recording::connect(name);
        let replay = recording.clone().play().await;
        let server = Server::open(&replay.url(), None, &PyroscopeOptions::default()).await.unwrap();
        let n_before = replay.asked().len();
        let error = ask(server.backend().as_ref(), &recording, of).await.unwrap_err();
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(texts.iter().all(|part| text.contains(part)), "{name} {of:?}: {text}");
        // Names may be looked at, to say what is right.
        let asked = replay.asked().split_off(n_before);
        assert!(asked.iter().all(|asked| asked.starts_with("label ")), "{name} {of:?}: {asked:?}");
    }
    for name in [V1, V115, PHLARE] {
        let recording = Recording::connect(name);
        let replay = recording.clone().play().await;
        let server = Server::open(&replay.url(), None, &PyroscopeOptions::default()).await.unwrap();
        let select =
            Select::new(ProfileType::parse(CPU).unwrap(), Selector::all(), range(&recording));
        let error = server.backend().profiles(&select, &Report::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert!(
            error.to_string().contains("only Pyroscope with storage v2 can"),
            "{name}: {error}"
        );
    }
}

/// No recorded question is so: what is seen is what is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_over_a_day_is_asked_for_in_slices() {
    for name in SERVERS {
        let recording = Recording::connect(name);
        let replay = recording.clone().play().await;
        let server = Server::open(&replay.url(), None, &PyroscopeOptions::default()).await.unwrap();
        let too_long = Ask::Stacks(CPU, ALL, -90_000, 300);
        let mut slices = BTreeSet::new();
        let mut unknown = Vec::new();
        // Who fails first ends the others, which may not have come to the server yet: so it is asked until all were seen.
        for _ in 0..200 {
            ask(server.backend().as_ref(), &recording, too_long).await.unwrap_err();
            unknown.extend(replay.take_unknown());
            let is_long = |asked: &&String| asked.contains("\"maxNodes\": \"1048576\"");
            if unknown.iter().filter(is_long).collect::<BTreeSet<_>>().len() >= 4 {
                break;
            }
        }
        for asked in unknown {
            let millis = |key: &str| {
                let (_, rest) = asked.split_once(&format!("\"{key}\": \"")).unwrap();
                rest.split('"').next().unwrap().parse::<i64>().unwrap()
            };
            let (start, end) = (millis("start"), millis("end"));
            assert!(
                asked.contains("SelectMergeStacktraces") && end - start <= 86_400_000,
                "{asked}"
            );
            // Each end is asked for by itself as well.
            if end - start > 1 {
                slices.insert((start, end - 1));
            }
        }
        // They lie without a gap, and have all of it.
        let (first, last) = (slices.first().unwrap(), slices.last().unwrap());
        let t0 = recording.t0;
        assert_eq!((first.0, last.1), ((t0 - 90_000) * 1000, (t0 + 300) * 1000), "{name}");
        assert!(slices.iter().zip(slices.iter().skip(1)).all(|(a, b)| a.1 == b.0), "{slices:?}");
        assert_eq!(slices.len(), 2, "{name}: {slices:?}");
    }
}

// -------------------------------------------------------------------- why an answer may stand for another one's question

#[test]
fn no_recorded_whole_answer_was_cut() {
    // `each_answer_is_what_the_shop_gives` finds each stack of the shop in all answers without `maxNodes`, so that one
    // with more room holds the same; and one with room for three nodes has the same total.
    for name in SERVERS {
        let recording = Recording::connect(name);
        let of = |exchange: &str| {
            let exchange = recording.exchange(exchange);
            let answer: SelectMergeStacktracesResponse = decoded(&exchange.body);
            answer.flamegraph.map_or_else(|| of_bytes(&answer.tree), of_graph)
        };
        for [whole, cut] in [
            ["stacks, tree", "stacks, tree, 3 nodes"],
            ["stacks, flame graph", "stacks, flame graph, 3 nodes"],
        ] {
            assert_eq!(total(&of(whole)), total(&of(cut)), "{name}");
            assert!(of(whole).len() > of(cut).len(), "{name}");
        }
    }
}

#[test]
fn no_profile_lies_on_the_end() {
    for name in SERVERS {
        let told = Told::new(name);
        let closes = (told.recording.t0 + 300) * SECOND;
        // One lies within the last microsecond before it: what a server makes of it is not the same for all ends.
        let last = told.rows.iter().map(|row| row.time).max().unwrap();
        assert!((closes - MS..closes).contains(&last), "{name}");
        let millis = closes / MS;
        let question = |start, end| SelectMergeStacktracesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: ALL.to_owned(),
            start,
            end,
            ..SelectMergeStacktracesRequest::default()
        };
        let open = told.recording.t0 * 1000;
        let stacks = |start, end| told.stacks(&question(start, end), |_| true);
        assert_eq!(stacks(open, millis), stacks(open, millis + 1), "{name}");
        assert_eq!(stacks(millis, millis + 1), Stacks::new(), "{name}");
        // What a server says to no stacks.
        for form in ["tree", "flame graph"] {
            let exchange = told.recording.exchange(&format!("stacks, empty answer, {form}"));
            let answer: SelectMergeStacktracesResponse = decoded(&exchange.body);
            let stacks = answer.flamegraph.map_or_else(|| of_bytes(&answer.tree), of_graph);
            assert_eq!(stacks, Stacks::new(), "{name}");
        }
    }
}

#[test]
fn a_tree_and_a_flame_graph_hold_the_same() {
    for name in SERVERS {
        let recording = Recording::connect(name);
        let body = |exchange: &str| recording.exchange(exchange).body.clone();
        let (graph, tree) = (body("stacks, flame graph"), body("stacks, tree"));
        if name == PHLARE {
            // It does not look at the form.
            assert_eq!(graph, tree);
            continue;
        }
        let graph: SelectMergeStacktracesResponse = decoded(&graph);
        let tree: SelectMergeStacktracesResponse = decoded(&tree);
        assert_eq!(of_graph(graph.flamegraph.unwrap()), of_bytes(&tree.tree), "{name}");
    }
}

#[test]
fn the_first_minute_has_all_types_and_names() {
    for name in SERVERS {
        let told = Told::new(name);
        let minute = (told.recording.t0 + 60) * SECOND;
        let of = |rows: Vec<&Row>| -> (BTreeSet<String>, BTreeSet<String>) {
            let types = rows.iter().map(|row| row.profile_type.clone()).collect();
            (types, rows.iter().flat_map(|row| row.labels.keys().cloned()).collect())
        };
        let first = told.rows.iter().filter(|row| row.time < minute).collect();
        assert_eq!(of(first), of(told.rows.iter().collect()), "{name}");
    }
}

// ---------------------------------------------------------------------------------------------------------- detection

async fn open(replay: &Replay, kind: Option<BackendType>) -> Server {
    Server::open(&replay.url(), kind, &PyroscopeOptions::default()).await.unwrap()
}

const KINDS: [(&str, Generation); 4] = [
    (V2, Generation::V2),
    (V1, Generation::V1),
    // It tells its features as 2.2 does, and reads from storage v1.
    (V115, Generation::V1),
    (PHLARE, Generation::Phlare),
];

#[tokio::test(flavor = "multi_thread")]
async fn detection_tells_them_apart() {
    for (name, generation) in KINDS {
        let replay = Recording::connect(name).play().await;
        let server = open(&replay, None).await;
        assert_eq!(server.kind(), ServerKind::Connect(generation), "{name}");
        // A build by hand does not say.
        assert_eq!((server.version(), server.warning()), (None, None), "{name}");
        assert_eq!(server.url(), replay.url(), "{name}");
        let capabilities = server.backend().capabilities();
        let grain = if name == V2 { MS } else { SECOND };
        assert_eq!(capabilities.grain.nanos(), grain, "{name}");
        assert_eq!(capabilities.kind, if name == PHLARE { "phlare" } else { "pyroscope" });
    }
    // The legacy server has no such paths: it looks for a page, and finds none.
    let mut legacy = Recording::read("pyroscope-0.37", query_fields);
    let none = legacy.exchange("a Connect path").clone();
    let path = "/capabilities.v1.FeatureFlagsService/GetFeatureFlags".to_owned();
    legacy.exchanges.push(Exchange { method: "POST".to_owned(), path, ..none });
    let replay = legacy.play().await;
    assert_eq!(open(&replay, None).await.kind(), ServerKind::Legacy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_does_not_fit_is_a_warning() {
    for (name, generation) in KINDS {
        for (kind, fits) in [
            (BackendType::Pyroscope, true),
            (BackendType::GrafanaPyroscope, name != PHLARE),
            (BackendType::Phlare, name == PHLARE),
        ] {
            let replay = Recording::connect(name).play().await;
            let server = open(&replay, Some(kind)).await;
            assert_eq!(server.kind(), ServerKind::Connect(generation), "{name} {kind}");
            let warning = server.warning().map(ToString::to_string);
            assert_eq!(warning.is_none(), fits, "{name} {kind}: {warning:?}");
            if let Some(warning) = warning {
                let text = format!(
                    "{}: its type is set to {kind}, and it seems to be {generation}",
                    replay.url()
                );
                assert_eq!(warning, text);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_no_entry_and_no_server_of_profiles_are_three_things() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let html = [("Content-Type", "text/html")];
    let closed = Faulty::answering(faulty::answer(401, &html, b"<html>log in</html>")).await;
    let page = Faulty::answering(faulty::answer(200, &html, b"<html>hello</html>")).await;
    let mut told = Vec::new();
    for (url, kind, text) in [
        (format!("http://{free}"), ErrorKind::Unavailable, "connection refused"),
        (closed.url(), ErrorKind::Unauthorized, "401 Unauthorized"),
        (page.url(), ErrorKind::NotFound, "is no Pyroscope or Phlare server"),
    ] {
        let mut options = PyroscopeOptions::default();
        options.http.max_retries = 0;
        let error = Server::open(&url, None, &options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        let said = |text: &str| text.replace(&url, "URL");
        told.push((said(&error.to_string()), error.hint().map(said)));
    }
    for (idx, (text, hint)) in told.iter().enumerate() {
        for (other, other_hint) in &told[..idx] {
            assert!(text != other && hint != other_hint, "{text} {hint:?}");
        }
    }
}

// ------------------------------------------------------------------------------------------------ the replay by itself

fn get(url: &str, target: &str) -> String {
    use std::io::{Read as _, Write as _};

    let mut stream = std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_recording_is_played() {
    let recording = Recording::read("pyroscope-0.37", query_fields);
    assert_eq!(recording.exchange("label values, no label").status, 400);
    let replay = recording.start();
    // The order of parameters and how they are written is nothing to tell them apart.
    let answer = get(&replay.url(), "/label-values?query=checkout.cpu{}&label=%70od");
    assert!(answer.ends_with("\r\n\r\n[\"c-0\",\"c-1\"]"), "{answer}");
    assert_eq!(replay.asked(), ["label values of one app"]);
}

#[test]
#[should_panic(expected = r#"GET /labels {"query": "nobody"}"#)]
fn what_is_not_recorded_is_named() {
    let replay = Recording::read("pyroscope-0.37", query_fields).start();
    assert!(get(&replay.url(), "/labels?query=nobody").starts_with("HTTP/1.1 418 "));
}
