//! `POST /api/sql`: a statement, and its rows in the form that was asked for.

use std::io;

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use flamesql_datasource::Error;
use flamesql_engine::{
    SessionOptions,
    output::{Format, Writer},
};
use futures::StreamExt;
use serde::Deserialize;

use super::{Failed, body, named, sources};
use crate::Served;

/// How many rows an answer may have.
const MAX_ROWS: u64 = 1_000_000;
/// And how many bytes.
const MAX_BYTES: usize = 512 << 20;
/// How much memory sorting and grouping may take before they go on in files.
const MEMORY: usize = 1 << 30;

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Question {
    sql: String,
    /// The uid or the name of a data source.
    source: Option<String>,
    from: Option<String>,
    to: Option<String>,
    profile_type: Option<String>,
    format: Option<String>,
}

/// Bytes that are not more than an answer may have.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            let what =
                format!("the answer has more than {MAX_BYTES} bytes: LIMIT takes the first rows");
            return Err(io::Error::other(what));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) async fn sql(
    State(served): State<Served>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Failed> {
    let bytes = body(&served, request.into_body()).await?;
    let question = read(&headers, &bytes)?;
    let format = format(&question, &headers)?;
    let source = match &question.source {
        Some(name) => named(&served, name)?,
        None => sources(&served)?.default_source(),
    };
    let mut options = SessionOptions::default();
    (options.from, options.to) = (question.from.clone(), question.to.clone());
    options.profile_type = question.profile_type.clone();
    options.memory_limit = Some(MEMORY);
    let engine = source.opened().await?.engine().clone();
    let session = engine.session_with(&options).map_err(Error::from)?;
    let mut answer = session.query(&question.sql).await.map_err(Error::from)?;
    let mut writer =
        Writer::new(format, &answer.schema(), Bounded::default()).map_err(Error::from)?;
    let mut n_rows = 0;
    while let Some(batch) = answer.next().await {
        let batch = batch.map_err(Error::from)?;
        n_rows += batch.num_rows() as u64;
        if n_rows > MAX_ROWS {
            let what = format!("the answer has more than {MAX_ROWS} rows");
            return Err(Failed(Error::request(what).with_hint("LIMIT takes the first of them")));
        }
        writer.write(&batch).map_err(Error::from)?;
    }
    let missing: Vec<String> = answer
        .facts()
        .iter()
        .flat_map(|fact| fact.notices.iter().cloned().chain(fact.report.notices()))
        .filter(|notice| notice.is_missing)
        .map(|notice| notice.to_string())
        .collect();
    let Bounded(body) = writer.finish().map_err(Error::from)?;
    let mut response = ([(CONTENT_TYPE, content_type(format))], body).into_response();
    crate::served::tell_missing(&mut response, &missing);
    Ok(response)
}

/// A statement as plain text, or an object with more.
fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Question, Error> {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    // No statement begins so, and not everybody says what he sends.
    let is_json = is_json || bytes.trim_ascii_start().starts_with(b"{");
    let question = match is_json {
        true => serde_json::from_slice(bytes).map_err(|error| {
            Error::request(format!("the question cannot be read: {error}"))
                .with_hint(r#"such as {"sql": "SELECT ...", "from": "now-1h", "format": "csv"}"#)
        })?,
        false => {
            let sql = std::str::from_utf8(bytes)
                .map_err(|_| Error::request("the statement is no UTF-8"))?;
            Question { sql: sql.to_owned(), ..Question::default() }
        }
    };
    match question.sql.trim().is_empty() {
        true => Err(Error::request("there is no statement")
            .with_hint("it is the body as plain text, or \"sql\" in JSON")),
        false => Ok(question),
    }
}

/// The form that is asked for by name, else the first that `Accept` has and is known.
fn format(question: &Question, headers: &HeaderMap) -> Result<Format, Error> {
    let known = [
        ("json", "application/json", Format::Json),
        ("jsonl", "application/x-ndjson", Format::Jsonl),
        ("jsonl", "application/jsonl", Format::Jsonl),
        ("csv", "text/csv", Format::Csv),
        ("arrow", "application/vnd.apache.arrow.stream", Format::Arrow),
    ];
    if let Some(name) = &question.format {
        let found = known.iter().find(|(known, ..)| known == name);
        return found.map(|(.., format)| *format).ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            Error::request(format!("format {name:?} is none"))
                .with_hint("there are json, jsonl, csv and arrow")
        });
    }
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepted = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    for accepted in accepted {
        if let Some((.., format)) = known.iter().find(|(_, of_type, _)| *of_type == accepted) {
            return Ok(*format);
        }
    }
    Ok(Format::Json)
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Jsonl => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Arrow => "application/vnd.apache.arrow.stream",
        _ => "application/json",
    }
}
