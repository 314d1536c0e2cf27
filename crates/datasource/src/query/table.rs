//! The rows of a statement that a user wrote: as a table, or as a frame for each series.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array},
    compute::{cast, concat_batches, rank, take},
    datatypes::{DataType, Field as ArrowField},
};
use flamesql_frame::{Field, Frame, FrameMeta, FrameType, Notice, Severity, Visualisation};

use super::{asked::Asked, flamegraph, model::Format, series::Labels};
use crate::{Error, ErrorKind};

/// The frames of an answer.
pub(super) fn frames(asked: &Asked, format: Format) -> Result<Vec<Frame>, Error> {
    let mut frames = match format {
        Format::Table => vec![table(asked, Visualisation::Table)?],
        Format::FlameGraph => {
            vec![flamegraph::of_rows(asked, table(asked, Visualisation::FlameGraph)?)?]
        }
        Format::TimeSeries => series(asked)?,
    };
    frames.iter_mut().for_each(|frame| asked.tell(frame));
    Ok(frames)
}

fn table(asked: &Asked, visualisation: Visualisation) -> Result<Frame, Error> {
    let mut frame = Frame::of_batches("response", &asked.schema, &asked.batches)?;
    frame.meta =
        Some(FrameMeta { preferred_visualisation: Some(visualisation), ..FrameMeta::default() });
    Ok(frame)
}

/// A frame for each number and each set of texts: the first time is when, texts are labels, numbers are values.
fn series(asked: &Asked) -> Result<Vec<Frame>, Error> {
    let fields = asked.schema.fields();
    let (mut time, mut texts, mut values) = (None, Vec::new(), Vec::new());
    for (idx, field) in fields.iter().enumerate() {
        match field.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 if time.is_none() => {
                time = Some(idx);
            }
            of_text if is_text(of_text) => texts.push(idx),
            number if number.is_numeric() || *number == DataType::Boolean => values.push(idx),
            _ => {}
        }
    }
    let (Some(time), false) = (time, values.is_empty()) else {
        let names: Vec<String> =
            fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        let what = format!(
            "format=time_series: there have to be a time and a number among the columns, which are {}",
            names.join(", ")
        );
        return Err(Error::request(what)
            .with_hint("such as SELECT date_bin(...) AS time, pod, sum(value) AS cpu"));
    };
    let batch = concat_batches(&asked.schema, &asked.batches).map_err(internal)?;
    let labels = texts.iter().map(|idx| {
        let column = cast(batch.column(*idx), &DataType::Utf8).map_err(internal)?;
        Ok((fields[*idx].name().clone(), column))
    });
    let labels: Vec<(String, ArrayRef)> = labels.collect::<Result<_, Error>>()?;
    let mut rows: BTreeMap<Labels, Vec<u32>> = BTreeMap::new();
    let mut n_timeless = 0_usize;
    let ranks = rank(batch.column(time), None).map_err(internal)?;
    for row in 0..batch.num_rows() {
        let of_row = labels.iter().filter_map(|(name, column)| {
            let column: &StringArray = column.as_string();
            column.is_valid(row).then(|| (name.clone(), column.value(row).to_owned()))
        });
        // What has no time has no place in a series.
        if batch.column(time).is_null(row) {
            n_timeless += 1;
            continue;
        }
        let row =
            u32::try_from(row).map_err(|_| Error::request("there are more than 2^32 rows"))?;
        rows.entry(of_row.collect()).or_default().push(row);
    }
    if rows.is_empty() {
        return Ok(vec![one(&batch, time, values[0], Labels::new(), &[])?]);
    }
    let mut frames = Vec::new();
    for (labels, rows) in &mut rows {
        // A line goes from one time to the next, in whatever order the rows came.
        rows.sort_by_key(|row| ranks[*row as usize]);
        for value in &values {
            frames.push(one(&batch, time, *value, labels.clone(), rows)?);
        }
    }
    if let Some(first) = frames.first_mut().filter(|_| n_timeless > 0) {
        let text = format!("{n_timeless} rows without a time are left out");
        let notice = Notice { severity: Severity::Warning, text };
        first.meta.get_or_insert_with(FrameMeta::default).notices.push(notice);
    }
    Ok(frames)
}

fn one(
    batch: &RecordBatch,
    time: usize,
    value: usize,
    labels: Labels,
    rows: &[u32],
) -> Result<Frame, Error> {
    let rows = UInt32Array::from(rows.to_vec());
    let schema = batch.schema();
    let field = |idx: usize| -> Result<Field, Error> {
        let of: &Arc<ArrowField> = &schema.fields()[idx];
        let values = take(batch.column(idx), &rows, None).map_err(internal)?;
        Ok(Field::of_chunks(of, &[values])?)
    };
    let mut frame = Frame::new("series");
    frame.meta = Some(FrameMeta {
        frame_type: Some(FrameType::TimeseriesMulti),
        type_version: [0, 1],
        preferred_visualisation: Some(Visualisation::Graph),
        ..FrameMeta::default()
    });
    frame.push(field(time)?)?;
    let mut value = field(value)?;
    value.labels = Some(labels);
    frame.push(value)?;
    Ok(frame)
}

fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn internal(error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, format!("put rows into frames: {error}"))
}
