//! The invented shop of `fixtures/shop`, added up by another path: sample by sample, straight from the decoded files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use flamesql_backend::{Backend, Files, GroupBy, Grouping, Report, Select};
use flamesql_profile::{Labels, ProfileType, TimeRange, Timestamp, pprof};
use flamesql_selector::Selector;

use crate::support;

pub(crate) fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "shop"].iter().collect()
}

/// A file as `index.json` has it.
#[derive(Default)]
pub(crate) struct Indexed {
    pub(crate) file: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) time: i64,
}

/// The list, read line by line: the script writes one key a line, and nothing in it needs an escape.
pub(crate) fn index() -> Vec<Indexed> {
    let mut list = Vec::new();
    let mut current = Indexed::default();
    for line in fs::read_to_string(root().join("index.json")).unwrap().lines() {
        let Some((key, value)) = line.trim_end_matches(',').split_once(": ") else { continue };
        let (key, value) = (key.trim_matches('"'), value.trim_matches('"'));
        match key {
            "file" => current.file = value.to_owned(),
            "time_unix_nanos" => current.time = value.parse().unwrap(),
            "nanos_after_t0" => list.push(std::mem::take(&mut current)),
            "labels" | "profiles" | "t0_unix_seconds" => {}
            _ => drop(current.labels.insert(key.to_owned(), value.to_owned())),
        }
    }
    list
}

/// A sample, with the labels under which it was pushed.
pub(crate) struct Row {
    pub(crate) profile_type: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) time: i64,
    pub(crate) stack: Vec<String>,
    pub(crate) value: i64,
    /// Empty where the sample has none.
    pub(crate) span: String,
    pub(crate) trace: String,
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for Indexed { file, mut labels, time } in index() {
        let profile = pprof::decode(&fs::read(root().join(&file)).unwrap()).unwrap();
        assert_eq!(profile.time_nanos, time, "{file}");
        let name = labels.remove("__name__").unwrap();
        labels.retain(|_, value| !value.is_empty());
        labels.insert("file".to_owned(), file);
        let text = |id| profile.text(id);
        let period =
            format!("{}:{}", text(profile.period_type.kind), text(profile.period_type.unit));
        for sample in 0..profile.n_samples() {
            let stack: Vec<String> = profile
                .sample_locations(sample)
                .iter()
                .rev()
                .flat_map(|location| profile.lines(*location as usize).iter().rev())
                .map(|line| profile.functions()[line.function.unwrap() as usize].name)
                .map(|name| text(name).to_owned())
                .collect();
            let mark = |name: &str| {
                let labels = profile.sample_labels(sample).iter();
                let value = |label: &pprof::SampleLabel| text(label.text).to_owned();
                labels.filter(|label| text(label.key) == name).map(value).collect::<String>()
            };
            for (kind, value) in profile.sample_types.iter().zip(profile.sample_values(sample)) {
                rows.push(Row {
                    profile_type: format!(
                        "{name}:{}:{}:{period}",
                        text(kind.kind),
                        text(kind.unit)
                    ),
                    labels: labels.clone(),
                    time,
                    stack: stack.clone(),
                    value: *value,
                    span: mark("span_id"),
                    trace: mark("trace_id"),
                });
            }
        }
    }
    rows
}

/// By the values of some labels: the sums of stacks.
type Sums = BTreeMap<Vec<(String, String)>, BTreeMap<Vec<String>, i64>>;

fn expected(
    rows: &[Row],
    profile_type: &str,
    names: Option<&[String]>,
    from: i64,
    to: i64,
) -> Sums {
    let mut sums = Sums::new();
    for row in rows.iter().filter(|row| row.profile_type == profile_type && row.value != 0) {
        if from <= row.time && row.time < to {
            let mut labels = row.labels.clone();
            labels.retain(|name, _| names.is_none_or(|names| names.contains(name)));
            let stacks = sums.entry(labels.into_iter().collect()).or_default();
            *stacks.entry(row.stack.clone()).or_default() += row.value;
        }
    }
    sums
}

fn owned(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn series_and_stacks_are_the_sums_of_what_the_files_hold() {
    let rows = rows();
    let files = Files::open_with(root(), support::strict()).unwrap();
    assert_eq!(files.n_files(), 123);
    let types: BTreeSet<&str> = rows.iter().map(|row| row.profile_type.as_str()).collect();
    let listed = files.profile_types(TimeRange::ALL).await.unwrap();
    assert_eq!(
        listed.iter().map(ProfileType::as_str).collect::<Vec<_>>(),
        Vec::from_iter(types.clone())
    );
    assert_eq!(types.len(), 6);

    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.labels.keys()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let mut groupings: Vec<Option<Vec<String>>> = vec![None, Some(Vec::new())];
    groupings.extend(names.into_iter().map(|name| Some(vec![name.clone()])));
    let mut n_asked = 0;
    for id in types {
        let times: BTreeSet<i64> =
            rows.iter().filter(|row| row.profile_type == id).map(|row| row.time).collect();
        for (n, time) in times.into_iter().enumerate() {
            // From just before, from the time, from just after; and up to each of them.
            for bound in [time - 1, time, time + 1] {
                let names = &groupings[n_asked % groupings.len()];
                n_asked += 1;
                for (from, to) in [(bound, i64::MAX), (i64::MIN, bound)] {
                    // Each range with one grouping, the first ones with all.
                    let all =
                        if n < 2 { groupings.as_slice() } else { std::slice::from_ref(names) };
                    for names in all {
                        compare(&files, &rows, id, names.as_deref(), from, to).await;
                    }
                }
            }
        }
    }
    assert_eq!(files.notices(), []);
}

async fn compare(
    files: &Files,
    rows: &[Row],
    id: &str,
    names: Option<&[String]>,
    from: i64,
    to: i64,
) {
    let expected = expected(rows, id, names, from, to);
    let range = TimeRange::new(Timestamp::from_nanos(from), Timestamp::from_nanos(to)).unwrap();
    let profile_type = ProfileType::parse(id).unwrap();
    let select = Select::new(profile_type, Selector::all(), range);
    let labels = names.map_or(GroupBy::All, |names| GroupBy::Labels(names.to_vec()));
    let grouping = Grouping { labels, ..Grouping::default() };

    let mut found = Sums::new();
    for group in support::stacks(files, &select, &grouping).await.unwrap() {
        let path = |node| group.tree.path(node).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let stacks = group.tree.stacks().map(|(node, value)| (path(node), value)).collect();
        assert_eq!(found.insert(owned(&group.labels), stacks), None, "{select:?}");
    }
    assert_eq!(found, expected, "{select:?} {grouping:?}");

    let series = files.series(&select, &grouping, &Report::new()).await.unwrap().series;
    let sums: Vec<_> = series.iter().map(|s| (owned(&s.labels), s.points[0].value)).collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(labels, stacks)| (labels, stacks.values().sum::<i64>()))
        .collect();
    assert_eq!(sums, expected, "{select:?} {grouping:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_series_is_over_what_a_double_can_hold() {
    let files = Files::open(root()).unwrap();
    let select = support::select("process_cpu:cpu:nanoseconds:cpu:nanoseconds", r#"{pod="big"}"#);
    let answer = files.series(&select, &Grouping::default(), &Report::new()).await.unwrap();
    let value = answer.series[0].points[0].value;
    assert!(value > 1 << 53 && value as f64 as i64 != value, "{value}");
}
