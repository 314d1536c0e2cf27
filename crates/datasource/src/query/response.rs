//! What comes back, in the shape that Grafana's browser part and its HTTP API have.

use std::{collections::BTreeMap, io};

use flamesql_frame::Frame;
use serde_json::json;

use crate::{Error, ErrorSource};

/// The answers of a request, by the refId of their query.
#[derive(Debug, Default)]
pub struct QueryResponse {
    /// Each answer.
    pub results: BTreeMap<String, QueryResult>,
}

/// The answer of one query: its frames, or why there are none.
#[derive(Debug)]
pub struct QueryResult {
    /// In an order that is always the same: series, each with its exemplars, annotations, the flame graph.
    pub frames: Result<Vec<Frame>, Error>,
}

impl QueryResponse {
    /// The status of the whole: 200, or 400 if a query failed, as Grafana has it.
    pub fn status(&self) -> u16 {
        if self.results.values().all(|result| result.frames.is_ok()) { 200 } else { 400 }
    }

    /// Adds the answers of another source. A refId that is here already keeps its answer, which is then an error.
    pub fn add(&mut self, other: Self) {
        for (ref_id, result) in other.results {
            self.put(ref_id, result);
        }
    }

    pub(super) fn put(&mut self, ref_id: String, mut result: QueryResult) {
        if self.results.contains_key(&ref_id) {
            let what = format!("two queries have the refId {ref_id:?}");
            result.frames = Err(Error::request(what));
        }
        self.results.insert(ref_id, result);
    }

    /// Writes `{"results": {...}}` as Grafana does.
    ///
    /// # Errors
    ///
    /// If writing fails, or a frame holds what cannot be said in JSON.
    pub fn write_json(&self, mut into: impl io::Write) -> Result<(), Error> {
        into.write_all(b"{\"results\":{").map_err(Error::write)?;
        for (idx, (ref_id, result)) in self.results.iter().enumerate() {
            let comma = if idx == 0 { "" } else { "," };
            write!(into, "{comma}{}:", json!(ref_id)).map_err(Error::write)?;
            result.write_json(&mut into)?;
        }
        into.write_all(b"}}\n").map_err(Error::write)
    }
}

impl QueryResult {
    /// The status of this answer.
    pub fn status(&self) -> u16 {
        self.frames.as_ref().map_or_else(Error::status, |_| 200)
    }

    fn write_json(&self, into: &mut impl io::Write) -> Result<(), Error> {
        match &self.frames {
            Ok(frames) => {
                into.write_all(b"{\"status\":200,\"frames\":[").map_err(Error::write)?;
                for (idx, frame) in frames.iter().enumerate() {
                    if idx > 0 {
                        into.write_all(b",").map_err(Error::write)?;
                    }
                    frame.write_json(&mut *into)?;
                }
                into.write_all(b"]}").map_err(Error::write)
            }
            Err(error) => {
                let source = match error.error_source() {
                    ErrorSource::Plugin => "plugin",
                    ErrorSource::Downstream => "downstream",
                };
                let text = match error.hint() {
                    Some(hint) => format!("{error} ({hint})"),
                    None => error.to_string(),
                };
                let body = json!({
                    "error": text, "errorSource": source, "status": error.status(), "frames": [],
                });
                write!(into, "{body}").map_err(Error::write)
            }
        }
    }
}
