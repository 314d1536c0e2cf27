//! The command that shows values over time.

use std::{slice, sync::Arc};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use flamesql_backend::{Bins, GroupBy, Grouping, LabelSet, MetaQuery, Report};
use flamesql_engine::resolve_profile_type;
use flamesql_profile::{Labels, Timestamp, Unit, format_value};
use flamesql_selector::is_label_name;

use crate::{
    args::{self, Series},
    footer::{self, Footer, plural},
    names, rows,
    source::{self, Source},
};

/// `flamesql series`.
pub(crate) async fn run(args: &Series) -> anyhow::Result<()> {
    let selector = args::selector(&args.select.selector)?;
    let step = args.step()?;
    args::check_profile_type(args.select.profile_type.as_deref())?;
    let source = Source::open(args.source.as_deref(), &args.connect, args.output.strict).await?;
    let backend = source.backend.as_ref();
    let range = args.select.range.parse(backend.capabilities().is_finite)?;
    let sink = rows::open(&args.output)?;

    let (profile_type, choice) =
        resolve_profile_type(backend, args.select.profile_type.as_deref(), range).await?;
    let mut group_by: Vec<String> = Vec::new();
    for name in args.group_by.iter().map(|name| name.trim()) {
        if !name.is_empty() && !group_by.iter().any(|known| known == name) {
            group_by.push(name.to_owned());
        }
    }
    if !group_by.is_empty() {
        let query = MetaQuery {
            profile_type: Some(profile_type.clone()),
            selector: flamesql_selector::Selector::all(),
            range,
        };
        check_labels(&group_by, &backend.label_sets(&query).await?, &source)?;
    }
    let select = flamesql_backend::Select::new(profile_type.clone(), selector, range);
    let grouping = Grouping {
        labels: GroupBy::Labels(group_by.clone()),
        time: Bins::Every { step, origin: Timestamp::from_nanos(0) },
    };
    let report = Report::new();
    let answer = backend.series(&select, &grouping, &report).await?;
    let notices = source.notices_with(&report);
    if args.output.strict {
        source::nothing_missing(&notices)?;
    }

    // Rows in the order of their times, and at one time in that of the labels.
    let mut points: Vec<(Timestamp, &Labels, i64)> = answer
        .series
        .iter()
        .flat_map(|series| {
            // The first bin of a range begins with its bin.
            let at = |time: Timestamp| time.floor(step, Timestamp::from_nanos(0));
            series.points.iter().map(move |p| (at(p.time), &series.labels, p.value))
        })
        .collect();
    points.sort_by_key(|(time, ..)| *time);
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        points.iter().map(|(time, ..)| time.nanos()),
    ));
    let mut columns = vec![("time".to_owned(), times, false)];
    for name in &group_by {
        let values = points.iter().map(|(_, labels, _)| labels.get(name));
        let values: ArrayRef = Arc::new(values.collect::<StringArray>());
        columns.push((column_name(name), values, true));
    }
    let values: ArrayRef =
        Arc::new(Int64Array::from_iter_values(points.iter().map(|(.., value)| *value)));
    columns.push(("value".to_owned(), values, false));
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let written = rows::write(&batch, args.output.format()?, sink)?;

    let mut footer = Footer::default();
    footer.line("source", source.to_string());
    footer.line("type", footer::profile_type(&profile_type, choice));
    footer.line("time", format!("{}, in bins of {step}", footer::range(range)));
    let total: i128 = points.iter().map(|(.., value)| i128::from(*value)).sum();
    let total = i64::try_from(total).map_or_else(
        |_| total.to_string(),
        |total| format_value(total, Unit::parse(profile_type.sample_unit())),
    );
    footer.line("total", format!("{total} in {}", plural(answer.series.len() as u64, "series")));
    footer.rows(slice::from_ref(&written));
    footer.notices(&notices);
    written.commit()?;
    footer.print(args.output.quiet);
    Ok(())
}

fn check_labels(names: &[String], sets: &[LabelSet], source: &Source) -> anyhow::Result<()> {
    // What a server does not list may be there all the same.
    let may_be_hidden =
        |name: &str| !source.backend.capabilities().lists_quoted && !is_label_name(name);
    let has =
        |name: &str| may_be_hidden(name) || sets.iter().any(|set| set.labels.get(name).is_some());
    match names.iter().find(|name| !has(name)) {
        // Without any profile there is nothing to compare the name with.
        Some(name) if !sets.is_empty() => {
            Err(names::unknown_label(name, sets, false, source).into())
        }
        _ => Ok(()),
    }
}

/// A label that is called as one of the other columns gets the name that SQL has for it.
fn column_name(label: &str) -> String {
    match label {
        "time" | "value" => format!("labels['{label}']"),
        _ => label.to_owned(),
    }
}
