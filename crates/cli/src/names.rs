//! The commands that list what a source has: its profile types and its labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    slice,
    sync::Arc,
};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flamesql_backend::{LabelSet, MetaQuery};
use flamesql_engine::resolve_profile_type;
use flamesql_profile::ProfileType;
use flamesql_selector::is_label_name;

use crate::{
    args::{self, Labels, Types},
    failure::Usage,
    footer::{self, Footer},
    rows,
    source::{self, Source},
};

/// `flamesql types`.
pub(crate) async fn types(args: &Types) -> anyhow::Result<()> {
    let source = Source::open(args.source.as_deref(), &args.connect, args.output.strict).await?;
    let range = args.range.parse(source.backend.capabilities().is_finite)?;
    let sink = rows::open(&args.output)?;
    let types = source.backend.profile_types(range).await?;
    if args.output.strict {
        source.check_notices()?;
    }

    let column = |text: fn(&ProfileType) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(types.iter().map(text)))
    };
    let short: ArrayRef = Arc::new(types.iter().map(|t| short(t, &types)).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("profile_type", column(ProfileType::as_str), false),
        ("short", short, true),
        ("unit", column(ProfileType::sample_unit), false),
    ])?;
    let written = rows::write(&batch, args.output.format()?, sink)?;

    let mut footer = Footer::default();
    footer.line("source", source.to_string());
    footer.line("time", footer::range(range));
    footer.rows(slice::from_ref(&written));
    footer.notices(&source.notices());
    written.commit()?;
    footer.print(args.output.quiet);
    Ok(())
}

/// The part of the id that no other of the types goes by.
fn short<'a>(profile_type: &'a ProfileType, types: &[ProfileType]) -> Option<&'a str> {
    [profile_type.sample_type(), profile_type.name()]
        .into_iter()
        .find(|part| !part.is_empty() && types.iter().filter(|t| t.is_called(part)).count() == 1)
}

/// `flamesql labels`.
pub(crate) async fn labels(args: &Labels) -> anyhow::Result<()> {
    let (typed, name) = match (&args.first, &args.second) {
        (Some(source), Some(name)) => (Some(source.as_os_str()), Some(name.as_str())),
        (Some(word), None) if !source::is_source(word) => (None, Some(label_name(word)?)),
        (first, _) => (first.as_deref(), None),
    };
    let selector = args::selector(&args.selector)?;
    args::check_profile_type(args.profile_type.as_deref())?;
    let source = Source::open(typed, &args.connect, args.output.strict).await?;
    let backend = source.backend.as_ref();
    let range = args.range.parse(backend.capabilities().is_finite)?;
    let sink = rows::open(&args.output)?;
    let profile_type = match args.profile_type.as_deref() {
        Some(hint) => Some(resolve_profile_type(backend, Some(hint), range).await?),
        None => None,
    };
    let query = MetaQuery {
        profile_type: profile_type.as_ref().map(|(profile_type, _)| profile_type.clone()),
        selector,
        range,
    };
    let sets = backend.label_sets(&query).await?;
    if args.output.strict {
        source.check_notices()?;
    }
    let batch = match name {
        None => names(&sets)?,
        Some(name) => values(&sets, name, typed.is_none(), &source)?,
    };
    let written = rows::write(&batch, args.output.format()?, sink)?;

    let mut footer = Footer::default();
    footer.line("source", source.to_string());
    if let Some((profile_type, choice)) = profile_type {
        footer.line("type", footer::profile_type(&profile_type, choice));
    }
    footer.line("time", footer::range(range));
    footer.rows(slice::from_ref(&written));
    footer.notices(&source.notices());
    written.commit()?;
    footer.print(args.output.quiet);
    Ok(())
}

fn label_name(word: &OsStr) -> Result<&str, Usage> {
    word.to_str().ok_or_else(|| {
        Usage::new(format!(
            "no source {:?}: there is no such file or folder",
            word.to_string_lossy()
        ))
    })
}

/// Names and in how many values they come.
fn names(sets: &[LabelSet]) -> anyhow::Result<RecordBatch> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in sets.iter().flat_map(|set| set.labels.iter()) {
        values.entry(name).or_default().insert(value);
    }
    let counts = values.values().map(|values| count(values.len()));
    let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(counts));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(values.keys()));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("name", names, false),
        ("values", counts, false),
    ])?)
}

/// The values of a label and how many series have each.
fn values(
    sets: &[LabelSet],
    name: &str,
    may_be_source: bool,
    source: &Source,
) -> anyhow::Result<RecordBatch> {
    let mut series: BTreeMap<&str, usize> = BTreeMap::new();
    for value in sets.iter().filter_map(|set| set.labels.get(name)) {
        *series.entry(value).or_default() += 1;
    }
    if series.is_empty() {
        return Err(unknown_label(name, sets, may_be_source, source).into());
    }
    let counts = series.values().map(|n| count(*n));
    let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(counts));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(series.keys()));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("value", values, false),
        ("series", counts, false),
    ])?)
}

/// Says that a label is not there, and which are.
pub(crate) fn unknown_label(
    name: &str,
    sets: &[LabelSet],
    may_be_source: bool,
    source: &Source,
) -> Usage {
    let known: BTreeSet<&str> =
        sets.iter().flat_map(|set| set.labels.iter().map(|(name, _)| name)).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let or_file = if may_be_source { ", and no file or folder of that name" } else { "" };
    let usage = Usage::new(format!("no label {name:?} at {source}{or_file}"));
    match known.as_slice() {
        _ if !source.backend.capabilities().lists_quoted && !is_label_name(name) => usage
            .with_hint(format!(
                "this server lists no names that need quotes: ask in SQL, as labels['{name}']"
            )),
        [] => usage.with_hint("nothing that was asked for has labels"),
        known => usage.with_hint(format!("the labels are {}", known.join(", "))),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_unique() {
        let types: Vec<ProfileType> = [
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            "process_cpu:samples:count:cpu:nanoseconds",
            "memory:inuse_space:bytes:space:bytes",
            "mutex:delay:nanoseconds:contentions:count",
            "block:delay:nanoseconds:contentions:count",
            "jobs:samples:count::",
            "a::count::",
        ]
        .into_iter()
        .map(|id| ProfileType::parse(id).unwrap())
        .collect();
        let shorts: Vec<Option<&str>> = types.iter().map(|t| short(t, &types)).collect();
        let expected = [
            Some("cpu"),
            None,
            Some("inuse_space"),
            Some("mutex"),
            Some("block"),
            Some("jobs"),
            Some("a"),
        ];
        assert_eq!(shorts, expected);
    }
}
