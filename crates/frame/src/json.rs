//! A frame as JSON.
//!
//! Values come column by column, times in whole milliseconds. What is left of a time goes into `nanos`, and of numbers that
//! are none (NaN, infinities), which are null among the values, the rows go into `entities`.

use std::{io, mem};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use serde::Serialize;

use crate::{Error, Field, Frame, Kind, config, text};

/// How many bytes are gathered before they are passed on.
const BUFFER_LEN: usize = 1 << 16;
const NANOS: i64 = 1_000_000;

impl Frame {
    /// Writes the frame as JSON, a piece at a time: what it takes beside the frame does not grow with the rows.
    ///
    /// # Errors
    ///
    /// If `into` fails.
    pub fn write_json(&self, into: impl io::Write) -> Result<(), Error> {
        let mut out = Out { into, buffer: Vec::with_capacity(BUFFER_LEN + 1024) };
        out.frame(self).map_err(|e| Error::with_source("write a frame as JSON", e))
    }
}

struct Out<W> {
    into: W,
    buffer: Vec<u8>,
}

/// What the values of a field leave to be said behind all values.
#[derive(Clone, Copy, Default)]
struct Left {
    /// A number is none.
    entities: bool,
    /// A time is no whole number of milliseconds.
    nanos: bool,
}

impl<W: io::Write> Out<W> {
    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.buffer.extend_from_slice(b"{\"schema\":{");
        if !frame.name.is_empty() {
            self.member("name", &frame.name)?;
        }
        if !frame.ref_id.is_empty() {
            self.member("refId", &frame.ref_id)?;
        }
        if let Some(meta) = &frame.meta {
            self.member("meta", meta)?;
        }
        self.buffer.extend_from_slice(b"\"fields\":[");
        for (idx, field) in frame.fields().iter().enumerate() {
            self.comma(idx);
            self.described(field)?;
        }
        self.buffer.extend_from_slice(b"]},\"data\":{\"values\":[");
        let mut left = Vec::with_capacity(frame.fields().len());
        for (idx, field) in frame.fields().iter().enumerate() {
            self.comma(idx);
            left.push(self.values(field)?);
        }
        self.buffer.push(b']');
        if left.iter().any(|left| left.entities) {
            self.buffer.extend_from_slice(b",\"entities\":[");
            for (idx, (field, left)) in frame.fields().iter().zip(&left).enumerate() {
                self.comma(idx);
                match left.entities {
                    true => self.entities(field)?,
                    false => self.buffer.extend_from_slice(b"null"),
                }
            }
            self.buffer.push(b']');
        }
        if left.iter().any(|left| left.nanos) {
            self.buffer.extend_from_slice(b",\"nanos\":[");
            for (idx, (field, left)) in frame.fields().iter().zip(&left).enumerate() {
                self.comma(idx);
                match left.nanos {
                    true => self.nanos(field)?,
                    false => self.buffer.extend_from_slice(b"null"),
                }
            }
            self.buffer.push(b']');
        }
        self.buffer.extend_from_slice(b"}}");
        self.into.write_all(&self.buffer)?;
        self.into.flush()
    }

    fn described(&mut self, field: &Field) -> io::Result<()> {
        let (kind, frame) = field.kind().names();
        self.buffer.push(b'{');
        if !field.name.is_empty() {
            self.member("name", &field.name)?;
        }
        self.member("type", kind)?;
        self.buffer.extend_from_slice(b"\"typeInfo\":{\"frame\":");
        text::push(&mut self.buffer, frame);
        if field.is_nullable() {
            self.buffer.extend_from_slice(b",\"nullable\":true");
        }
        self.buffer.push(b'}');
        if let Some(labels) = &field.labels {
            self.buffer.extend_from_slice(b",\"labels\":");
            serde_json::to_writer(&mut self.buffer, labels)?;
        }
        if field.config.is_some() || field.texts().is_some() {
            self.buffer.extend_from_slice(b",\"config\":");
            let (buffer, into) = (&mut self.buffer, &mut self.into);
            config::push(buffer, field.config.as_ref(), field.texts(), |out| pass_on(out, into))?;
        }
        self.buffer.push(b'}');
        self.pass_on()
    }

    /// A member that others follow.
    fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        text::push(&mut self.buffer, name);
        self.buffer.push(b':');
        serde_json::to_writer(&mut self.buffer, value)?;
        self.buffer.push(b',');
        Ok(())
    }

    fn comma(&mut self, idx: usize) {
        if idx > 0 {
            self.buffer.push(b',');
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        pass_on(&mut self.buffer, &mut self.into)
    }

    fn values(&mut self, field: &Field) -> io::Result<Left> {
        let mut left = Left::default();
        self.buffer.push(b'[');
        let mut is_first = true;
        for chunk in field.chunks() {
            let of = &mut is_first;
            match field.kind() {
                Kind::Int8 => self.integers::<Int8Type>(of, chunk)?,
                Kind::Int16 => self.integers::<Int16Type>(of, chunk)?,
                Kind::Int32 => self.integers::<Int32Type>(of, chunk)?,
                Kind::Int64 => self.integers::<Int64Type>(of, chunk)?,
                Kind::UInt8 => self.integers::<UInt8Type>(of, chunk)?,
                Kind::UInt16 | Kind::Enum => self.integers::<UInt16Type>(of, chunk)?,
                Kind::UInt32 => self.integers::<UInt32Type>(of, chunk)?,
                Kind::UInt64 => self.integers::<UInt64Type>(of, chunk)?,
                Kind::Float32 => left.entities |= self.floats::<Float32Type>(of, chunk)?,
                Kind::Float64 => left.entities |= self.floats::<Float64Type>(of, chunk)?,
                Kind::Bool => self.each(of, chunk, chunk.as_boolean().values(), |out, value| {
                    out.extend_from_slice(if value { b"true" } else { b"false" });
                })?,
                Kind::Text => {
                    let texts = chunk.as_string::<i32>();
                    self.each(of, chunk, (0..texts.len()).map(|row| texts.value(row)), text::push)?;
                }
                Kind::Json => {
                    let values = chunk.as_binary::<i32>();
                    let values = (0..values.len()).map(|row| values.value(row));
                    self.each(of, chunk, values, |out, value| out.extend_from_slice(value))?;
                }
                Kind::Time => {
                    let times = chunk.as_primitive::<TimestampNanosecondType>().values();
                    self.each(of, chunk, times.iter().copied(), |out, nanos: i64| {
                        left.nanos |= nanos.rem_euclid(NANOS) != 0;
                        text::push_integer(out, nanos.div_euclid(NANOS));
                    })?;
                }
            }
        }
        self.buffer.push(b']');
        Ok(left)
    }

    fn integers<T>(&mut self, is_first: &mut bool, chunk: &ArrayRef) -> io::Result<()>
    where
        T: ArrowPrimitiveType,
        T::Native: itoa::Integer,
    {
        let values = chunk.as_primitive::<T>().values();
        self.each(is_first, chunk, values.iter().copied(), text::push_integer)
    }

    /// What is no number is null. Whether there was one.
    fn floats<T>(&mut self, is_first: &mut bool, chunk: &ArrayRef) -> io::Result<bool>
    where
        T: ArrowPrimitiveType,
        T::Native: zmij::Float + Into<f64>,
    {
        let values = chunk.as_primitive::<T>().values();
        let mut is_left = false;
        self.each(is_first, chunk, values.iter().copied(), |out, value| {
            is_left |= !text::push_number(out, value);
        })?;
        Ok(is_left)
    }

    /// Each value of a chunk, with commas between all of a field.
    fn each<T>(
        &mut self,
        is_first: &mut bool,
        chunk: &ArrayRef,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) -> io::Result<()> {
        let nulls = chunk.nulls();
        for (row, value) in values.into_iter().enumerate() {
            if !mem::take(is_first) {
                self.buffer.push(b',');
            }
            match nulls {
                Some(nulls) if nulls.is_null(row) => self.buffer.extend_from_slice(b"null"),
                _ => write(&mut self.buffer, value),
            }
            self.pass_on()?;
        }
        Ok(())
    }

    /// The rows in which a number of a field is none, by what it is instead.
    fn entities(&mut self, field: &Field) -> io::Result<()> {
        let kinds = [("NaN", f64::NAN), ("Inf", f64::INFINITY), ("NegInf", f64::NEG_INFINITY)];
        self.buffer.push(b'{');
        let mut n_kinds = 0;
        for (name, kind) in kinds {
            let is_it = |value: f64| value == kind || value.is_nan() && kind.is_nan();
            let (mut n_rows, mut first) = (0, 0);
            for chunk in field.chunks() {
                for row in 0..chunk.len() {
                    if chunk.is_null(row) || !is_it(number(field.kind(), chunk, row)) {
                        continue;
                    }
                    if n_rows == 0 {
                        self.comma(n_kinds);
                        n_kinds += 1;
                        text::push(&mut self.buffer, name);
                        self.buffer.extend_from_slice(b":[");
                    }
                    self.comma(n_rows);
                    n_rows += 1;
                    text::push_integer(&mut self.buffer, first + row);
                    self.pass_on()?;
                }
                first += chunk.len();
            }
            if n_rows > 0 {
                self.buffer.push(b']');
            }
        }
        self.buffer.push(b'}');
        Ok(())
    }

    /// What is left of each time behind its whole milliseconds.
    fn nanos(&mut self, field: &Field) -> io::Result<()> {
        self.buffer.push(b'[');
        let mut n_rows = 0;
        for chunk in field.chunks() {
            let times = chunk.as_primitive::<TimestampNanosecondType>();
            for time in times {
                self.comma(n_rows);
                n_rows += 1;
                text::push_integer(
                    &mut self.buffer,
                    time.map_or(0, |nanos| nanos.rem_euclid(NANOS)),
                );
                self.pass_on()?;
            }
        }
        self.buffer.push(b']');
        Ok(())
    }
}

fn pass_on(buffer: &mut Vec<u8>, into: &mut impl io::Write) -> io::Result<()> {
    if buffer.len() >= BUFFER_LEN {
        into.write_all(buffer)?;
        buffer.clear();
    }
    Ok(())
}

fn number(kind: Kind, chunk: &ArrayRef, row: usize) -> f64 {
    match kind {
        Kind::Float32 => f64::from(chunk.as_primitive::<Float32Type>().value(row)),
        _ => chunk.as_primitive::<Float64Type>().value(row),
    }
}
