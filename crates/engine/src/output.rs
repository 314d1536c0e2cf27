//! Answers as bytes: JSON, lines of JSON, CSV, Markdown and Arrow, each batch written as it comes.
//!
//! Arrow's own writers are used for Arrow only. Theirs for JSON and CSV leave the zone off a time, write NaN as no
//! JSON reader takes it, and refuse the lists and maps that stacks and labels are.

use std::{
    fmt::{self, Write as _},
    io,
    str::FromStr,
};

use arrow::{
    array::{Array, AsArray, RecordBatch, downcast_integer_array},
    datatypes::{
        ArrowNativeType, DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
    error::ArrowError,
    ipc::writer::StreamWriter,
    util::display::array_value_to_string,
};
use flamesql_profile::Timestamp;
use flamesql_selector::Matcher;
use futures::TryStreamExt;

use crate::{Answer, Error, ErrorKind};

/// How many bytes of text are gathered before they are passed on.
const BUFFER_LEN: usize = 1 << 16;

/// A format that answers are written in.
///
/// Integers are written in full, times as RFC 3339 in UTC with nine digits. In `json` and `jsonl` a list is an array, a
/// map or a struct an object, and what JSON has no number for (NaN, infinities) null. In `csv` and `markdown` a list
/// of plain values is `a;b;c`, a map of texts `{a="b", c="d"}`, and what is nested otherwise is written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One array of objects, a line each: `[]` if there are none.
    Json,
    /// One object a line.
    Jsonl,
    /// RFC 4180 with a header, lines ending in `\n`. NULL is an empty field, an empty text `""`.
    Csv,
    /// A table as GitHub reads it: numbers to the right, line breaks as `<br>`, NULL as an empty cell.
    Markdown,
    /// The Arrow IPC stream format.
    Arrow,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Json, Self::Jsonl, Self::Csv, Self::Markdown, Self::Arrow];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
            Self::Arrow => "arrow",
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.to_string() == text).ok_or_else(|| {
            let hint = format!("the formats are {}", Self::ALL.map(|f| f.to_string()).join(", "));
            Error::new(ErrorKind::Output, format!("unknown format {text:?}")).with_hint(hint)
        })
    }
}

/// Writes a whole answer as it comes, and returns the number of its rows.
///
/// # Errors
///
/// If the answer ends in an error, or `into` fails. What was written before stays written.
pub async fn write_all(
    format: Format,
    mut answer: Answer,
    into: &mut (dyn io::Write + Send),
) -> Result<u64, Error> {
    let mut writer = Writer::new(format, &answer.schema(), into)?;
    while let Some(batch) = answer.try_next().await? {
        writer.write(&batch)?;
    }
    let n_rows = writer.n_rows();
    writer.finish()?;
    Ok(n_rows)
}

/// Writes batches of one schema in one format.
pub struct Writer<W: io::Write> {
    format: Format,
    n_rows: u64,
    sink: Sink<W>,
}

enum Sink<W: io::Write> {
    Text {
        into: W,
        text: String,
        /// What stands before the value of each column in an object.
        keys: Vec<String>,
    },
    Arrow(Box<StreamWriter<W>>),
}

impl<W: io::Write> Writer<W> {
    /// Begins an answer. A header goes out with the first rows or at the end.
    ///
    /// # Errors
    ///
    /// If `into` fails.
    pub fn new(format: Format, schema: &SchemaRef, into: W) -> Result<Self, Error> {
        let mut text = String::new();
        let mut keys = Vec::new();
        match format {
            Format::Json | Format::Jsonl => {
                let first = std::iter::once('{').chain(std::iter::repeat(','));
                for (mark, field) in first.zip(schema.fields()) {
                    let mut key = String::from(mark);
                    push_quoted(&mut key, field.name());
                    key.push(':');
                    keys.push(key);
                }
                if format == Format::Json {
                    text.push('[');
                }
            }
            Format::Csv => {
                for (idx, field) in schema.fields().iter().enumerate() {
                    text.push_str(if idx > 0 { "," } else { "" });
                    push_csv(&mut text, field.name());
                }
                text.push('\n');
            }
            Format::Markdown => push_markdown_header(&mut text, schema),
            Format::Arrow => {
                let writer =
                    StreamWriter::try_new(into, schema).map_err(|e| of_arrow(format, e))?;
                return Ok(Self { format, n_rows: 0, sink: Sink::Arrow(Box::new(writer)) });
            }
        }
        Ok(Self { format, n_rows: 0, sink: Sink::Text { into, text, keys } })
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    ///
    /// If the writer underneath fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let format = self.format;
        match &mut self.sink {
            Sink::Arrow(writer) => {
                writer.write(batch).map_err(|e| of_arrow(format, e))?;
                self.n_rows += batch.num_rows() as u64;
            }
            Sink::Text { into, text, keys } => {
                for row in 0..batch.num_rows() {
                    match format {
                        Format::Csv => push_csv_row(text, batch, row),
                        Format::Markdown => push_markdown_row(text, batch, row),
                        _ => {
                            if format == Format::Json && self.n_rows > 0 {
                                text.push_str(",\n");
                            }
                            push_object(text, keys, batch, row);
                            if format == Format::Jsonl {
                                text.push('\n');
                            }
                        }
                    }
                    self.n_rows += 1;
                    if text.len() >= BUFFER_LEN {
                        into.write_all(text.as_bytes()).map_err(|e| of_io(format, e))?;
                        text.clear();
                    }
                }
            }
        }
        Ok(())
    }

    /// How many rows were written so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Ends the answer and gives back the writer underneath, flushed.
    ///
    /// # Errors
    ///
    /// If the writer underneath fails.
    pub fn finish(self) -> Result<W, Error> {
        let format = self.format;
        match self.sink {
            Sink::Text { mut into, mut text, .. } => {
                if format == Format::Json {
                    text.push_str("]\n");
                }
                into.write_all(text.as_bytes())
                    .and_then(|()| into.flush())
                    .map_err(|e| of_io(format, e))?;
                Ok(into)
            }
            Sink::Arrow(mut writer) => {
                writer.finish().and_then(|()| writer.flush()).map_err(|e| of_arrow(format, e))?;
                writer.into_inner().map_err(|e| of_arrow(format, e))
            }
        }
    }
}

impl<W: io::Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("format", &self.format)
            .field("n_rows", &self.n_rows)
            .finish_non_exhaustive()
    }
}

fn of_io(format: Format, error: io::Error) -> Error {
    let what = format!("write the answer as {format}: {error}");
    Error::new(ErrorKind::Output, what).with_source(error)
}

fn of_arrow(format: Format, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) => of_io(format, error),
        error => {
            let what = format!("write the answer as {format}: {error}");
            Error::new(ErrorKind::Output, what).with_source(error)
        }
    }
}

/// One value as `csv`, `markdown` and a terminal's table write it, before they escape it; `None` for NULL.
pub fn cell_text(array: &dyn Array, row: usize) -> Option<String> {
    let mut text = String::new();
    push_text(&mut text, array, row).then_some(text)
}

fn push_csv_row(text: &mut String, batch: &RecordBatch, row: usize) {
    for (idx, column) in batch.columns().iter().enumerate() {
        text.push_str(if idx > 0 { "," } else { "" });
        if let Some(cell) = cell_text(column, row) {
            push_csv(text, &cell);
        }
    }
    text.push('\n');
}

fn push_csv(text: &mut String, cell: &str) {
    if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) {
        text.push('"');
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(cell);
    }
}

fn push_markdown_header(text: &mut String, schema: &Schema) {
    for field in schema.fields() {
        text.push_str("| ");
        push_markdown(text, field.name());
        text.push(' ');
    }
    text.push_str("|\n");
    for field in schema.fields() {
        text.push_str(if field.data_type().is_numeric() { "|---:" } else { "|---" });
    }
    text.push_str("|\n");
}

fn push_markdown_row(text: &mut String, batch: &RecordBatch, row: usize) {
    for column in batch.columns() {
        text.push_str("| ");
        if let Some(cell) = cell_text(column, row) {
            push_markdown(text, &cell);
            text.push(' ');
        }
    }
    text.push_str("|\n");
}

/// A text that a reader of Markdown shows as it is: names of functions are full of `<`, `*` and `__`.
fn push_markdown(text: &mut String, cell: &str) {
    let mut before = ' ';
    let mut rest = cell.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\r' => text.push_str("<br>"),
            '<' => text.push_str("&lt;"),
            '&' => text.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '[' | '~' => text.extend(['\\', c]),
            // Within a word it does not mean emphasis.
            '_' if before.is_alphanumeric() && rest.peek().is_some_and(|c| c.is_alphanumeric()) => {
                text.push(c);
            }
            '_' => text.push_str("\\_"),
            _ => text.push(c),
        }
        before = c;
    }
}

fn push_object(text: &mut String, keys: &[String], batch: &RecordBatch, row: usize) {
    if keys.is_empty() {
        text.push('{');
    }
    for (key, column) in keys.iter().zip(batch.columns()) {
        text.push_str(key);
        push_json(text, column, row);
    }
    text.push('}');
}

/// Writes a value as JSON.
fn push_json(text: &mut String, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        return text.push_str("null");
    }
    match array.data_type() {
        DataType::List(_) => push_json_list(text, &array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => push_json_list(text, &array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => {
            push_json_list(text, &array.as_fixed_size_list().value(row));
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            for entry in 0..entries.len() {
                text.push(if entry == 0 { '{' } else { ',' });
                let key = cell_text(entries.column(0), entry).unwrap_or_default();
                push_quoted(text, &key);
                text.push(':');
                push_json(text, entries.column(1), entry);
            }
            text.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            for (idx, (field, column)) in fields.iter().zip(columns).enumerate() {
                text.push(if idx == 0 { '{' } else { ',' });
                push_quoted(text, field.name());
                text.push(':');
                push_json(text, column, row);
            }
            text.push_str(if columns.is_empty() { "{}" } else { "}" });
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            push_json(text, dictionary.values(), dictionary_index(array, row));
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let start = text.len();
            let is_finite = push_float(text, array, row);
            if !is_finite {
                text.truncate(start);
                text.push_str("null");
            }
        }
        other if other.is_numeric() || *other == DataType::Boolean => {
            push_text(text, array, row);
        }
        _ => {
            let mut plain = String::new();
            match push_text(&mut plain, array, row) {
                true => push_quoted(text, &plain),
                false => text.push_str("null"),
            }
        }
    }
}

fn push_json_list(text: &mut String, list: &dyn Array) {
    text.push('[');
    for idx in 0..list.len() {
        text.push_str(if idx > 0 { "," } else { "" });
        push_json(text, list, idx);
    }
    text.push(']');
}

/// Writes a value as text and returns whether it is one, and not NULL.
fn push_text(text: &mut String, array: &dyn Array, row: usize) -> bool {
    // An array of type Null says that it has none.
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return false;
    }
    macro_rules! number {
        ($type:ty) => {
            push(text, array.as_primitive::<$type>().value(row))
        };
    }
    match array.data_type() {
        DataType::Utf8 => text.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text.push_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => text.push_str(array.as_string_view().value(row)),
        DataType::Boolean => {
            text.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            push_float(text, array, row);
        }
        DataType::Timestamp(unit, _) => push_time(text, array, *unit, row),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            return push_text(text, dictionary.values(), dictionary_index(array, row));
        }
        DataType::List(_) => push_list(text, &array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => push_list(text, &array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => push_list(text, &array.as_fixed_size_list().value(row)),
        DataType::Map(entries, _) if is_map_of_texts(entries.data_type()) => {
            let entries = array.as_map().value(row);
            text.push('{');
            for entry in 0..entries.len() {
                text.push_str(if entry > 0 { ", " } else { "" });
                let name = cell_text(entries.column(0), entry).unwrap_or_default();
                let value = cell_text(entries.column(1), entry).unwrap_or_default();
                push_label(text, &name, &value);
            }
            text.push('}');
        }
        DataType::Map(..) | DataType::Struct(_) => push_json(text, array, row),
        DataType::RunEndEncoded(..) | DataType::Union(..)
            if array.slice(row, 1).logical_nulls().is_some_and(|nulls| nulls.is_null(0)) =>
        {
            return false;
        }
        _ => push_shown(text, array, row),
    }
    true
}

fn push_list(text: &mut String, list: &dyn Array) {
    if list.data_type().is_nested() {
        return push_json_list(text, list);
    }
    for idx in 0..list.len() {
        text.push_str(if idx > 0 { ";" } else { "" });
        push_text(text, list, idx);
    }
}

/// Writes a label as a selector has it.
fn push_label(text: &mut String, name: &str, value: &str) {
    let is_plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let is_name = name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_name
        && !name.is_empty()
        && !value.contains(|c: char| c.is_control() || "\"\\".contains(c))
    {
        text.extend([name, "=\"", value, "\""]);
    } else {
        push(text, Matcher::equal(name, value));
    }
}

fn is_map_of_texts(entries: &DataType) -> bool {
    fn is_text(data_type: &DataType) -> bool {
        match data_type {
            DataType::Dictionary(_, values) => is_text(values),
            other => other.is_string(),
        }
    }
    match entries {
        DataType::Struct(fields) => fields.iter().all(|field| is_text(field.data_type())),
        _ => false,
    }
}

/// Writes a floating point number and returns whether it is finite.
fn push_float(text: &mut String, array: &dyn Array, row: usize) -> bool {
    // Debug keeps the point of a whole number and takes an exponent for a large one.
    match array.data_type() {
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            push(text, format_args!("{value:?}"));
            value.is_finite()
        }
        other => {
            let value = match other {
                DataType::Float16 => array.as_primitive::<Float16Type>().value(row).to_f32(),
                _ => array.as_primitive::<Float32Type>().value(row),
            };
            push(text, format_args!("{value:?}"));
            value.is_finite()
        }
    }
}

fn push_time(text: &mut String, array: &dyn Array, unit: TimeUnit, row: usize) {
    let nanos = match unit {
        TimeUnit::Nanosecond => Some(array.as_primitive::<TimestampNanosecondType>().value(row)),
        TimeUnit::Microsecond => {
            array.as_primitive::<TimestampMicrosecondType>().value(row).checked_mul(1_000)
        }
        TimeUnit::Millisecond => {
            array.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1_000_000)
        }
        TimeUnit::Second => {
            array.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000_000)
        }
    };
    match nanos {
        // Whatever zone the type names, the number counts from the epoch in UTC.
        Some(nanos) => push(text, Timestamp::from_nanos(nanos)),
        // Before 1677 or after 2262.
        None => push_shown(text, array, row),
    }
}

/// Writes a value as Arrow shows it.
fn push_shown(text: &mut String, array: &dyn Array, row: usize) {
    match array_value_to_string(array, row) {
        Ok(shown) => text.push_str(&shown),
        Err(error) => push(text, error),
    }
}

/// Where in the values of a dictionary the value of a row is.
fn dictionary_index(array: &dyn Array, row: usize) -> usize {
    let keys = array.as_any_dictionary().keys();
    downcast_integer_array!(
        keys => keys.value(row).as_usize(),
        other => unreachable!("the keys of a dictionary are integers, not {other}")
    )
}

fn push(text: &mut String, value: impl fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
}

fn push_quoted(text: &mut String, plain: &str) {
    text.push('"');
    let mut rest = plain;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (head, tail) = rest.split_at(at);
        text.push_str(head);
        match tail.as_bytes()[0] {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            other => push(text, format_args!("\\u{other:04x}")),
        }
        rest = &tail[1..];
    }
    text.push_str(rest);
    text.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
            Float64Array, Int64Array, ListBuilder, MapBuilder, NullArray, StringArray,
            StringBuilder, StructArray, TimestampNanosecondArray, TimestampSecondArray,
            UInt64Array,
        },
        datatypes::Field,
        ipc::reader::StreamReader,
    };

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
            .unwrap()
    }

    fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut writer = Writer::new(format, &batches[0].schema(), Vec::new()).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        let n_rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(writer.n_rows(), n_rows as u64);
        writer.finish().unwrap()
    }

    #[track_caller]
    fn check(batches: &[RecordBatch], format: Format, text: &str) {
        assert_eq!(String::from_utf8(written(format, batches)).unwrap(), text, "{format}");
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn integers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn stacks(values: &[Option<&[Option<&str>]>]) -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for value in values {
            builder.append_option(value.map(|functions| functions.iter().copied()));
        }
        Arc::new(builder.finish())
    }

    fn labels(values: &[Option<&[(&str, &str)]>]) -> ArrayRef {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for value in values {
            for (name, value) in value.unwrap_or_default() {
                builder.keys().append_value(name);
                builder.values().append_value(value);
            }
            builder.append(value.is_some()).unwrap();
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn a_profile_in_each_format() {
        let batch = batch(vec![
            (
                "time",
                Arc::new(TimestampNanosecondArray::from(vec![
                    Some(1_794_301_200_000_000_007),
                    None,
                ])),
            ),
            ("labels", labels(&[Some(&[("k8s.pod", "a-0"), ("region", "eu \"1\"")]), Some(&[])])),
            ("stack", stacks(&[Some(&[Some("main"), Some("main.(*Stock).Reserve")]), Some(&[])])),
            ("value", integers(&[Some(i64::MAX), Some(i64::MIN)])),
        ]);
        let batches = [batch];
        check(
            &batches,
            Format::Json,
            r#"[{"time":"2026-11-10T09:00:00.000000007Z","labels":{"k8s.pod":"a-0","region":"eu \"1\""},"stack":["main","main.(*Stock).Reserve"],"value":9223372036854775807},
{"time":null,"labels":{},"stack":[],"value":-9223372036854775808}]
"#,
        );
        check(
            &batches,
            Format::Jsonl,
            r#"{"time":"2026-11-10T09:00:00.000000007Z","labels":{"k8s.pod":"a-0","region":"eu \"1\""},"stack":["main","main.(*Stock).Reserve"],"value":9223372036854775807}
{"time":null,"labels":{},"stack":[],"value":-9223372036854775808}
"#,
        );
        check(
            &batches,
            Format::Csv,
            r#"time,labels,stack,value
2026-11-10T09:00:00.000000007Z,"{""k8s.pod""=""a-0"", region=""eu \""1\""""}",main;main.(*Stock).Reserve,9223372036854775807
,{},"",-9223372036854775808
"#,
        );
        check(
            &batches,
            Format::Markdown,
            r#"| time | labels | stack | value |
|---|---|---|---:|
| 2026-11-10T09:00:00.000000007Z | {"k8s.pod"="a-0", region="eu \\"1\\""} | main;main.(\*Stock).Reserve | 9223372036854775807 |
| | {} |  | -9223372036854775808 |
"#,
        );
    }

    #[test]
    fn an_empty_answer_has_its_columns_still() {
        let batches = [batch(vec![("a|b", integers(&[])), ("c,d", texts(&[]))])];
        check(&batches, Format::Json, "[]\n");
        check(&batches, Format::Jsonl, "");
        check(&batches, Format::Csv, "a|b,\"c,d\"\n");
        check(&batches, Format::Markdown, "| a\\|b | c,d |\n|---:|---|\n");
        let bytes = written(Format::Arrow, &batches[..1]);
        let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(reader.schema(), batches[0].schema());
        assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 0);
    }

    #[test]
    fn arrow_comes_back_with_its_metadata() {
        let unit = [("unit".to_owned(), "nanoseconds".to_owned())].into();
        let field = Field::new("value", DataType::Int64, false).with_metadata(unit);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![integers(&[Some(7)])]).unwrap();
        let bytes = written(Format::Arrow, &[batch.clone(), batch.clone()]);
        let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(reader.schema(), schema);
        assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [batch.clone(), batch]);
    }

    #[test]
    fn texts_with_every_kind_of_trouble() {
        let batches = [batch(vec![(
            "t",
            texts(&[
                Some("a\"b\\c"),
                Some("l1\nl2\r\nl3\r"),
                Some(""),
                None,
                Some("\u{1}\t\u{7f}"),
                Some("größe 世界 🔥"),
                Some(" a|b "),
                Some("<T as __m__>::f_g&`x`~[1]"),
            ]),
        )])];
        check(
            &batches,
            Format::Jsonl,
            "{\"t\":\"a\\\"b\\\\c\"}\n{\"t\":\"l1\\nl2\\r\\nl3\\r\"}\n{\"t\":\"\"}\n{\"t\":null}\n\
             {\"t\":\"\\u0001\\t\u{7f}\"}\n{\"t\":\"größe 世界 🔥\"}\n{\"t\":\" a|b \"}\n\
             {\"t\":\"<T as __m__>::f_g&`x`~[1]\"}\n",
        );
        check(
            &batches,
            Format::Csv,
            "t\n\"a\"\"b\\c\"\n\"l1\nl2\r\nl3\r\"\n\"\"\n\n\u{1}\t\u{7f}\ngröße 世界 🔥\n a|b \n<T as __m__>::f_g&`x`~[1]\n",
        );
        check(
            &batches,
            Format::Markdown,
            "| t |\n|---|\n| a\"b\\\\c |\n| l1<br>l2<br>l3<br> |\n|  |\n| |\n| \u{1}\t\u{7f} |\n\
             | größe 世界 🔥 |\n|  a\\|b  |\n\
             | &lt;T as \\_\\_m\\_\\_>::f_g&amp;\\`x\\`\\~\\[1] |\n",
        );
    }

    #[test]
    fn numbers_in_full() {
        let batches = [batch(vec![
            (
                "f",
                Arc::new(Float64Array::from(vec![
                    1.0,
                    0.1,
                    -0.0,
                    1e300,
                    f64::NAN,
                    f64::INFINITY,
                    f64::NEG_INFINITY,
                ])),
            ),
            (
                "g",
                Arc::new(Float32Array::from(vec![
                    0.1,
                    1.5,
                    f32::NAN,
                    f32::MAX,
                    f32::INFINITY,
                    -1.0,
                    0.0,
                ])),
            ),
            ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1, 2, 3, 4, 5]))),
            (
                "d",
                Arc::new(
                    Decimal128Array::from(vec![150, -1, 0, 1, 2, 3, 100])
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ),
            ),
        ])];
        check(
            &batches,
            Format::Json,
            r#"[{"f":1.0,"g":0.1,"u":18446744073709551615,"d":1.50},
{"f":0.1,"g":1.5,"u":0,"d":-0.01},
{"f":-0.0,"g":null,"u":1,"d":0.00},
{"f":1e300,"g":3.4028235e38,"u":2,"d":0.01},
{"f":null,"g":null,"u":3,"d":0.02},
{"f":null,"g":-1.0,"u":4,"d":0.03},
{"f":null,"g":0.0,"u":5,"d":1.00}]
"#,
        );
        check(
            &batches,
            Format::Csv,
            "f,g,u,d\n1.0,0.1,18446744073709551615,1.50\n0.1,1.5,0,-0.01\n-0.0,NaN,1,0.00\n\
             1e300,3.4028235e38,2,0.01\nNaN,inf,3,0.02\ninf,-1.0,4,0.03\n-inf,0.0,5,1.00\n",
        );
    }

    #[test]
    fn what_is_nested_otherwise() {
        let node = StructArray::from(vec![
            (Arc::new(Field::new("name", DataType::Utf8, true)), texts(&[Some("a;b"), None])),
            (Arc::new(Field::new("self", DataType::Int64, true)), integers(&[Some(1), Some(2)])),
        ]);
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 0]);
        let field = Arc::new(Field::new("item", node.data_type().clone(), true));
        let nodes = arrow::array::ListArray::new(field, offsets, Arc::new(node.clone()), None);
        let batches = [batch(vec![("nodes", Arc::new(nodes)), ("node", Arc::new(node))])];
        check(
            &batches,
            Format::Json,
            r#"[{"nodes":[{"name":"a;b","self":1},{"name":null,"self":2}],"node":{"name":"a;b","self":1}},
{"nodes":[],"node":{"name":null,"self":2}}]
"#,
        );
        check(
            &batches,
            Format::Csv,
            r#"nodes,node
"[{""name"":""a;b"",""self"":1},{""name"":null,""self"":2}]","{""name"":""a;b"",""self"":1}"
[],"{""name"":null,""self"":2}"
"#,
        );
    }

    #[test]
    fn the_other_types() {
        let dictionary: DictionaryArray<Int32Type> =
            [Some("x"), None, Some("y")].into_iter().collect();
        let zoned = TimestampSecondArray::from(vec![0, -1, i64::MAX]).with_timezone("+02:00");
        let batches = [batch(vec![
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("day", Arc::new(Date32Array::from(vec![0, 1, -1]))),
            ("dict", Arc::new(dictionary)),
            ("none", Arc::new(NullArray::new(3))),
            ("zoned", Arc::new(zoned.slice(0, 3))),
            ("stack", stacks(&[None, Some(&[None, Some("f")]), Some(&[Some("")])])),
            ("labels", labels(&[None, Some(&[("a", "b\n")]), Some(&[("9", "x"), ("_y", "z")])])),
        ])];
        check(
            &batches[..1].iter().map(|b| b.slice(0, 2)).collect::<Vec<_>>(),
            Format::Json,
            r#"[{"b":true,"day":"1970-01-01","dict":"x","none":null,"zoned":"1970-01-01T00:00:00.000000000Z","stack":null,"labels":null},
{"b":null,"day":"1970-01-02","dict":null,"none":null,"zoned":"1969-12-31T23:59:59.000000000Z","stack":[null,"f"],"labels":{"a":"b\n"}}]
"#,
        );
        let shown = |row| {
            let columns = batches[0].columns();
            columns.iter().map(|c| cell_text(c, row).unwrap_or("-".to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(1),
            ["-", "1970-01-02", "-", "-", "1969-12-31T23:59:59.000000000Z", ";f", r#"{a="b\n"}"#]
        );
        let last = shown(2);
        assert_eq!(last[..4], ["false", "1969-12-31", "y", "-"]);
        // A time that no nanoseconds reach: whatever it is shown as, nothing panics.
        assert!(!last[4].is_empty());
        assert_eq!(last[5..], ["", r#"{"9"="x", _y="z"}"#]);
    }

    #[test]
    fn rows_go_out_before_the_end() {
        let values: Vec<Option<i64>> = (0..20_000).map(Some).collect();
        let batch = batch(vec![("value", integers(&values))]);
        let mut writer = Writer::new(Format::Csv, &batch.schema(), Vec::new()).unwrap();
        writer.write(&batch).unwrap();
        let Sink::Text { into, text, .. } = &writer.sink else { panic!("csv is a text") };
        assert!(!into.is_empty() && text.len() < BUFFER_LEN);
        assert!(writer.finish().unwrap().ends_with(b"19998\n19999\n"));
    }

    #[test]
    fn an_error_names_the_format_and_its_cause() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::new(io::ErrorKind::StorageFull, "disk full"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in Format::ALL {
            let schema = batch(vec![("value", integers(&[]))]).schema();
            let error = Writer::new(format, &schema, Full).and_then(Writer::finish).err();
            let Some(error) = error else {
                // No rows, no bytes.
                assert_eq!(format, Format::Jsonl);
                continue;
            };
            assert_eq!(error.to_string(), format!("write the answer as {format}: disk full"));
            assert_eq!(error.kind(), ErrorKind::Output);
            let source = std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>();
            assert_eq!(source.unwrap().kind(), io::ErrorKind::StorageFull);
        }
    }

    #[test]
    fn formats_are_read_as_they_are_shown() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), r#"unknown format "xml""#);
        assert_eq!(error.hint(), Some("the formats are json, jsonl, csv, markdown, arrow"));
    }
}
