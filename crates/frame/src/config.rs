//! What Grafana is told about a frame and its fields, by the names that its SDK for Go has.

use std::io;

use arrow::array::LargeStringArray;
use serde::Serialize;
use serde_json::Value;

use crate::text;

/// What is said of a whole frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameMeta {
    /// What shape its data have.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub frame_type: Option<FrameType>,
    /// The version of that shape; it is always written.
    pub type_version: [u32; 2],
    /// Whatever a panel and a data source agree on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// What the user should know of the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// How Explore draws it.
    #[serde(rename = "preferredVisualisationType", skip_serializing_if = "Option::is_none")]
    pub preferred_visualisation: Option<Visualisation>,
    /// What was asked, in words of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_query_string: Option<String>,
    /// What it belongs to if it is no data of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_topic: Option<DataTopic>,
}

/// The shape of a frame's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FrameType {
    /// A time and a column for each series.
    TimeseriesWide,
    /// A time, columns of texts that tell series apart, and values.
    TimeseriesLong,
    /// One of several frames, each with a time and a value.
    TimeseriesMulti,
    /// A row of numbers.
    NumericWide,
    /// One of several frames with a number each.
    NumericMulti,
    /// Rows of texts and numbers.
    NumericLong,
    /// Anything else.
    Table,
    /// The cells of a heat map.
    HeatmapCells,
}

/// How Explore draws a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Visualisation {
    /// Lines over time.
    Graph,
    /// A flame graph.
    FlameGraph,
    /// A table.
    Table,
}

/// What a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DataTopic {
    /// Marks on the frames before it: annotations and exemplars.
    Annotations,
}

/// Something that the user should know of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// In words.
    pub text: String,
}

/// How much a [`Notice`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is missing.
    Warning,
    /// It failed.
    Error,
}

/// What is said of a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldConfig {
    /// The name that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The name that is shown where the user chose none.
    #[serde(rename = "displayNameFromDS", skip_serializing_if = "Option::is_none")]
    pub display_name_from_source: Option<String>,
    /// What it is, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Grafana's name of the unit, such as `ns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How far apart points are, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    /// Where a click leads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Whatever a panel and a data source agree on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

/// Where a click on a value leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What it says.
    pub title: String,
    /// Where it leads; `${__value.raw}` is the value.
    pub url: String,
    /// Whether it opens beside what is there.
    pub target_blank: bool,
}

/// Appends a field's config with the texts of an enumeration, which are a part of it on the wire. `pass_on` may take away
/// what is there.
pub(crate) fn push(
    out: &mut Vec<u8>,
    config: Option<&FieldConfig>,
    texts: Option<&LargeStringArray>,
    mut pass_on: impl FnMut(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let before = out.len();
    match config {
        Some(config) => serde_json::to_writer(&mut *out, config)?,
        None => out.extend_from_slice(b"{}"),
    }
    let Some(texts) = texts else { return Ok(()) };
    out.pop();
    if out.len() > before + 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"\"type\":{\"enum\":{\"text\":[");
    for (idx, text) in texts.iter().flatten().enumerate() {
        if idx > 0 {
            out.push(b',');
        }
        text::push(out, text);
        pass_on(out)?;
    }
    out.extend_from_slice(b"]}}}");
    Ok(())
}

/// Grafana's name of a unit of profiles: `ns` for nanoseconds, `bytes`, and `short` for all that is counted.
///
/// ```
/// assert_eq!(flamesql_frame::grafana_unit("nanoseconds"), "ns");
/// assert_eq!(flamesql_frame::grafana_unit("samples"), "short");
/// ```
pub fn grafana_unit(unit: &str) -> &'static str {
    match unit {
        "nanoseconds" | "ns" => "ns",
        "microseconds" | "us" | "µs" => "µs",
        "milliseconds" | "ms" => "ms",
        "seconds" | "s" => "s",
        "bytes" => "bytes",
        _ => "short",
    }
}
