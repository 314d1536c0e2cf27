//! Marks on a graph: exemplars, and what a server says of a time, such as that it took in less than was sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, MapArray, StringArray,
        TimestampNanosecondArray,
    },
    datatypes::{Int64Type, TimestampNanosecondType},
};
use flamesql_frame::{DataTopic, Field, Frame, FrameMeta, Notice, Severity};
use flamesql_profile::Timestamp;
use serde::Deserialize;

use super::{
    asked::Asked,
    series::{Labels, Shown},
};
use crate::Error;

const SECOND: i64 = 1_000_000_000;

/// The columns of which [`exemplars`] makes frames.
pub(super) fn exemplars_sql(chosen: &str) -> String {
    format!("SELECT time, profile_id, value, labels FROM exemplars WHERE {chosen} ORDER BY time")
}

/// One profile.
#[derive(Debug)]
struct Exemplar {
    time: i64,
    id: String,
    value: i64,
    labels: Labels,
}

/// The exemplars of each series, a frame for each that has some.
pub(super) fn exemplars(
    asked: &Asked,
    group_by: &[String],
    shown: &Shown,
) -> Result<BTreeMap<Labels, Frame>, Error> {
    let mut by_series: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for batch in &asked.batches {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let ids: &StringArray = batch.column(1).as_string();
        let values = batch.column(2).as_primitive::<Int64Type>();
        let maps = batch.column(3).as_map();
        for row in 0..batch.num_rows() {
            let labels = labels_of(maps, row);
            let series = labels.iter().filter(|(name, _)| group_by.contains(name));
            let series = series.map(|(name, value)| (name.clone(), value.clone())).collect();
            let id = if ids.is_valid(row) { ids.value(row).to_owned() } else { String::new() };
            let (time, value) = (times.value(row), values.value(row));
            by_series.entry(series).or_default().push(Exemplar { time, id, value, labels });
        }
    }
    let frames = by_series.into_iter().map(|(series, exemplars)| {
        Ok((series.clone(), exemplar_frame(asked, series, &exemplars, shown)?))
    });
    frames.collect()
}

fn labels_of(maps: &MapArray, row: usize) -> Labels {
    let entries = maps.value(row);
    let (names, values) =
        (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    let pairs = (0..entries.len()).filter(|at| values.is_valid(*at));
    pairs.map(|at| (names.value(at).to_owned(), values.value(at).to_owned())).collect()
}

fn exemplar_frame(
    asked: &Asked,
    series: Labels,
    exemplars: &[Exemplar],
    shown: &Shown,
) -> Result<Frame, Error> {
    let mut frame = Frame::new("exemplar");
    frame.meta =
        Some(FrameMeta { data_topic: Some(DataTopic::Annotations), ..FrameMeta::default() });
    asked.tell(&mut frame);
    let times: Vec<i64> = exemplars.iter().map(|exemplar| exemplar.time).collect();
    frame.push(Field::new("Time", Arc::new(TimestampNanosecondArray::from(times)))?)?;
    let values: Vec<f64> = exemplars.iter().map(|exemplar| shown.value(exemplar.value)).collect();
    let mut value = Field::new("Value", Arc::new(Float64Array::from(values)))?;
    value.labels = Some(series);
    let config = value.config_mut();
    (config.display_name, config.unit) = (Some("Value".to_owned()), Some(shown.unit().to_string()));
    frame.push(value)?;
    let texts = |text: &dyn Fn(&Exemplar) -> String| -> ArrayRef {
        Arc::new(exemplars.iter().map(|exemplar| Some(text(exemplar))).collect::<StringArray>())
    };
    let mut id = Field::new("Id", texts(&|exemplar| exemplar.id.clone()))?;
    id.config_mut().display_name = Some("Profile ID".to_owned());
    frame.push(id)?;
    let names: BTreeSet<&String> = exemplars.iter().flat_map(|e| e.labels.keys()).collect();
    for name in names {
        let of = |exemplar: &Exemplar| exemplar.labels.get(name).cloned().unwrap_or_default();
        frame.push(Field::new(name, texts(&of))?)?;
    }
    Ok(frame)
}

/// The columns of which [`annotations`] makes a frame.
pub(super) fn annotations_sql(chosen: &str) -> String {
    format!("SELECT time, key, value FROM annotations WHERE {chosen} ORDER BY time")
}

/// A mark: a region if it goes on for a time.
#[derive(Debug, PartialEq)]
struct Mark {
    id: String,
    text: String,
    from: i64,
    to: i64,
    is_region: bool,
}

/// What a server says of times, as one frame; `None` if it says nothing.
///
/// What says the same at several points is one mark, and a note that cannot be read is told and spoils no other.
pub(super) fn annotations(asked: &Asked, now: Timestamp) -> Result<Option<Frame>, Error> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut unread: Vec<Notice> = Vec::new();
    let mut n_notes = 0;
    for batch in &asked.batches {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let (keys, values) =
            (batch.column(1).as_string::<i32>(), batch.column(2).as_string::<i32>());
        n_notes += batch.num_rows();
        for row in 0..batch.num_rows() {
            match read(times.value(row), keys.value(row), values.value(row), now) {
                Ok(None) => {}
                Ok(Some(mark)) => match marks.iter_mut().find(|known| known.id == mark.id) {
                    Some(known) => known.to = known.to.max(mark.to),
                    None => marks.push(mark),
                },
                Err(why) => {
                    let text = format!("an annotation {} cannot be read: {why}", keys.value(row));
                    let notice = Notice { severity: Severity::Warning, text };
                    if !unread.contains(&notice) {
                        unread.push(notice);
                    }
                }
            }
        }
    }
    if n_notes == 0 {
        return Ok(None);
    }
    let mut frame = Frame::new("annotations");
    frame.meta = Some(FrameMeta {
        data_topic: Some(DataTopic::Annotations),
        notices: unread,
        ..FrameMeta::default()
    });
    asked.tell(&mut frame);
    let times = |time: &dyn Fn(&Mark) -> i64| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(marks.iter().map(time).collect::<Vec<_>>()))
    };
    frame.push(Field::new("time", times(&|mark| mark.from))?)?;
    frame.push(Field::new("timeEnd", times(&|mark| mark.to))?)?;
    let texts: StringArray = marks.iter().map(|mark| Some(mark.text.as_str())).collect();
    frame.push(Field::new("text", Arc::new(texts))?)?;
    let regions: BooleanArray = marks.iter().map(|mark| Some(mark.is_region)).collect();
    frame.push(Field::new("isRegion", Arc::new(regions))?)?;
    let colors: StringArray = marks.iter().map(|_| Some("")).collect();
    frame.push(Field::new("color", Arc::new(colors))?)?;
    Ok(Some(frame))
}

/// A note of Pyroscope's; other kinds mean nothing here.
fn read(time: i64, key: &str, value: &str, now: Timestamp) -> Result<Option<Mark>, String> {
    #[derive(Deserialize)]
    struct Of<T> {
        body: T,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Throttled {
        period_type: String,
        period_limit_mb: f64,
        limit_reset_time: i64,
    }
    #[derive(Deserialize)]
    struct Sampled {
        source: Option<SampledBy>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SampledBy {
        usage_group: String,
        probability: f64,
    }
    let why = |error: serde_json::Error| error.to_string();
    match key {
        "pyroscope.ingest.throttled" => {
            let Of { body } = serde_json::from_str::<Of<Throttled>>(value).map_err(why)?;
            let limit = binary_size(body.period_limit_mb * 1024.0 * 1024.0);
            let Throttled { period_type, limit_reset_time, .. } = body;
            Ok(Some(Mark {
                id: format!("{period_type}-{}-{limit_reset_time}", body.period_limit_mb),
                text: format!("Ingestion limit ({limit}/{period_type}) reached"),
                from: time,
                to: limit_reset_time.saturating_mul(SECOND),
                is_region: limit_reset_time < now.nanos() / SECOND,
            }))
        }
        "pyroscope.ingest.sampled" => {
            let Of { body } = serde_json::from_str::<Of<Sampled>>(value).map_err(why)?;
            let SampledBy { usage_group, probability } = body.source.ok_or("it names no source")?;
            if probability >= 1.0 {
                return Ok(None);
            }
            let percent = (1.0 - probability) * 100.0;
            Ok(Some(Mark {
                id: format!("{usage_group}-{percent:.2}"),
                text: format!("Profile volume reduced by {percent:.2}% for this service."),
                from: time,
                to: time,
                is_region: true,
            }))
        }
        _ => Ok(None),
    }
}

/// A number of bytes as people write it, in powers of 1024.
fn binary_size(bytes: f64) -> String {
    let mut size = bytes.max(0.0).trunc();
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if size < 10.0 && unit != "B" {
        format!("{size:.1} {unit}")
    } else {
        format!("{size:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read() {
        let now = Timestamp::from_nanos(2000 * SECOND);
        let throttled = r#"{"body":{"periodType":"hour","periodLimitMb":1024,"limitResetTime":1000,"usageGroup":"x"}}"#;
        let mark = read(7, "pyroscope.ingest.throttled", throttled, now).unwrap().unwrap();
        assert_eq!(mark.text, "Ingestion limit (1.0 GiB/hour) reached");
        assert_eq!((mark.from, mark.to, mark.is_region), (7, 1000 * SECOND, true));
        let sampled = r#"{"body":{"source":{"usageGroup":"shop","probability":0.25}}}"#;
        let mark = read(7, "pyroscope.ingest.sampled", sampled, now).unwrap().unwrap();
        assert_eq!(mark.text, "Profile volume reduced by 75.00% for this service.");
        let whole = r#"{"body":{"source":{"usageGroup":"shop","probability":1}}}"#;
        assert_eq!(read(7, "pyroscope.ingest.sampled", whole, now), Ok(None));
        assert_eq!(read(7, "else", "no JSON", now), Ok(None));
        for value in ["no JSON", "{}", r#"{"body":{}}"#] {
            assert!(read(7, "pyroscope.ingest.sampled", value, now).is_err(), "{value}");
        }
    }

    #[test]
    fn sizes_have_a_digit_behind_the_point_below_ten() {
        for (bytes, text) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1024.0, "1.0 KiB"), (10.0 * 1048576.0, "10 MiB")]
        {
            assert_eq!(binary_size(bytes), text);
        }
    }
}
