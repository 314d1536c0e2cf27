//! Profiles as the tests write them, and answers as they read them.

use std::{fs, path::Path, time::Duration, time::UNIX_EPOCH};

use flamesql_backend::{
    Backend, Error, Files, FilesOptions, GroupBy, Grouping, Memory, Report, Select, StackGroup,
    conformance::{TruthMark, TruthProfile},
};
use flamesql_profile::{
    ProfileType, StackTree, StackTreeBuilder, TimeRange, Timestamp,
    pprof::{self, Function, Line, Location, Profile, SampleLabel, ValueType},
};
use futures::StreamExt;

/// The stacks of a sample with its values and its text labels.
pub(crate) type Sample<'a> = (&'a [&'a str], &'a [i64], &'a [(&'a str, &'a str)]);

pub(crate) fn tree(stacks: &[(Vec<String>, i64)]) -> StackTree {
    let mut builder = StackTreeBuilder::new();
    for (stack, value) in stacks {
        let names: Vec<_> = stack.iter().map(|name| builder.intern(name)).collect();
        let node = builder.insert(&names).unwrap();
        builder.add(node, *value).unwrap();
    }
    builder.finish()
}

pub(crate) fn memory(truth: &[TruthProfile]) -> Memory {
    let memory = Memory::new();
    for profile in truth {
        let labels = profile.labels.clone().into_iter().collect();
        let time = Timestamp::from_nanos(profile.time_nanos);
        if profile.marks.is_empty() {
            let tree = tree(&profile.stacks);
            memory.insert(&profile.profile_type, &labels, time, 0, &tree).unwrap();
        } else {
            let name = profile.profile_type.name();
            memory.insert_pprof(name, &labels, time, &truth_profile(profile)).unwrap();
        }
    }
    memory
}

/// A profile of the truth as pprof, its spans and traces as text labels of its samples.
pub(crate) fn truth_profile(truth: &TruthProfile) -> Profile {
    let stacks: Vec<Vec<&str>> =
        truth.stacks.iter().map(|(stack, _)| stack.iter().map(String::as_str).collect()).collect();
    let none = TruthMark::default();
    let samples: Vec<_> = truth
        .stacks
        .iter()
        .zip(&stacks)
        .zip(truth.marks.iter().chain(std::iter::repeat(&none)))
        .map(|(((_, value), stack), mark)| {
            // Older clients write the id of a span under another name.
            let key = if value % 2 == 0 { "span_id" } else { "profile_id" };
            let labels = [(key, mark.span.as_str()), ("trace_id", mark.trace.as_str())];
            (stack.as_slice(), [*value], labels)
        })
        .collect();
    let samples: Vec<Sample<'_>> =
        samples.iter().map(|(stack, values, labels)| (*stack, &values[..], &labels[..])).collect();
    let kind = &truth.profile_type;
    let types = [(kind.sample_type(), kind.sample_unit())];
    let mut profile = profile(&types, truth.time_nanos, &samples);
    let (kind, unit) = (kind.period_type(), kind.period_unit());
    profile.period_type = ValueType { kind: profile.intern(kind), unit: profile.intern(unit) };
    profile
}

/// A pprof profile with these sample types (name, unit).
pub(crate) fn profile(types: &[(&str, &str)], time_nanos: i64, samples: &[Sample<'_>]) -> Profile {
    let mut profile = Profile::default();
    profile.time_nanos = time_nanos;
    for (kind, unit) in types {
        let value_type = ValueType { kind: profile.intern(kind), unit: profile.intern(unit) };
        profile.sample_types.push(value_type);
    }
    for (stack, values, labels) in samples {
        let mut locations = Vec::new();
        for name in stack.iter().rev() {
            let name = profile.intern(name);
            let function = profile.push_function(Function { name, ..Function::default() });
            let line = Line { function: Some(function), line: 1 };
            locations.push(profile.push_location(Location::default(), &[line]));
        }
        let labels: Vec<SampleLabel> = labels
            .iter()
            .map(|(key, text)| SampleLabel {
                key: profile.intern(key),
                text: profile.intern(text),
                ..SampleLabel::default()
            })
            .collect();
        profile.push_sample(&locations, values, &labels);
    }
    profile
}

pub(crate) fn pprof(types: &[(&str, &str)], time_nanos: i64, samples: &[Sample<'_>]) -> Vec<u8> {
    pprof::encode_gzip(&profile(types, time_nanos, samples))
}

/// A CPU profile of one sample of one stack.
pub(crate) fn cpu(time_nanos: i64, value: i64) -> Vec<u8> {
    pprof(&[("cpu", "nanoseconds")], time_nanos, &[(&["main"], &[value], &[])])
}

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds::";

pub(crate) fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Sets the time of a file's last change.
pub(crate) fn touch(path: &Path, nanos: i64) {
    let time = UNIX_EPOCH + Duration::from_nanos(nanos.try_into().unwrap());
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Text as a part of a path that the source decodes again.
pub(crate) fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02x}"),
        })
        .collect()
}

pub(crate) fn strict() -> FilesOptions {
    let mut options = FilesOptions::default();
    options.strict = true;
    options
}

pub(crate) fn select(profile_type: &str, selector: &str) -> Select {
    Select::new(
        ProfileType::parse(profile_type).unwrap(),
        selector.parse().unwrap(),
        TimeRange::ALL,
    )
}

pub(crate) fn by(names: &[&str]) -> Grouping {
    let labels = GroupBy::Labels(names.iter().map(|name| (*name).to_owned()).collect());
    Grouping { labels, ..Grouping::default() }
}

/// The series of a question, as `{labels} value` each, all bins added up.
pub(crate) async fn series(
    backend: &dyn Backend,
    select: &Select,
    grouping: &Grouping,
) -> Result<Vec<String>, Error> {
    let answer = backend.series(select, grouping, &Report::new()).await?;
    let sum = |points: &[flamesql_profile::Point]| points.iter().map(|p| p.value).sum::<i64>();
    Ok(answer.series.iter().map(|s| format!("{} {}", s.labels, sum(&s.points))).collect())
}

pub(crate) async fn stacks(
    backend: &dyn Backend,
    select: &Select,
    grouping: &Grouping,
) -> Result<Vec<StackGroup>, Error> {
    let groups = backend.stacks(select.clone(), grouping.clone(), Report::new());
    groups.collect::<Vec<_>>().await.into_iter().collect()
}

/// Everything of one type, added up.
pub(crate) async fn total(files: &Files, profile_type: &str) -> Result<i64, Error> {
    let answer =
        files.series(&select(profile_type, "{}"), &Grouping::default(), &Report::new()).await?;
    Ok(answer.series.iter().flat_map(|s| &s.points).map(|p| p.value).sum())
}
