//! Grafana's data frames, made of Arrow record batches.
//!
//! A [`Frame`] is what Grafana shows: columns of one length, with names, labels, units and hints of how to draw them. It is
//! written as [JSON](Frame::write_json), which browsers read, and as an [Arrow file](Frame::write_arrow), which plugins
//! send, both as Grafana's [SDK for Go] writes them. Not all that Arrow has can be read there: the crate's README has
//! a table of what becomes of which type.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flamesql_frame::{Field, Frame, FrameMeta, Visualisation, arrow::array::{Int64Array, StringArray}};
//!
//! let mut frame = Frame::new("response");
//! frame.push(Field::new("level", Arc::new(Int64Array::from(vec![0, 1])))?)?;
//! frame.push(Field::new("label", Arc::new(StringArray::from(vec!["total", "main"])))?)?;
//! frame.meta = Some(FrameMeta {
//!     preferred_visualisation: Some(Visualisation::FlameGraph),
//!     ..FrameMeta::default()
//! });
//! let mut json = Vec::new();
//! frame.write_json(&mut json)?;
//! let json: serde_json::Value = serde_json::from_slice(&json)?;
//! assert_eq!(json["data"]["values"], serde_json::json!([[0, 1], ["total", "main"]]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [SDK for Go]: https://pkg.go.dev/github.com/grafana/grafana-plugin-sdk-go/data
#![cfg_attr(docsrs, feature(doc_cfg))]

mod column;
mod config;
mod error;
mod file;
mod frame;
mod json;
mod nested;
mod text;

pub use arrow;

pub use self::{
    column::{Field, FieldMut, Kind, MAX_ENUM},
    config::{
        DataTopic, FieldConfig, FrameMeta, FrameType, Link, Notice, Severity, Visualisation,
        grafana_unit,
    },
    error::Error,
    frame::Frame,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
