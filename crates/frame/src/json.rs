//! A frame as JSON.
//!
//! Values come column by column, times in whole milliseconds. What is left of a time goes into `nanos`, and of numbers that
//! are none (NaN, infinities), which are null among the values, the rows go into `entities`.

use std::{collections::BTreeMap, io};

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    datatypes::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use serde::Serialize;

use crate::{Error, Field, Frame, FrameMeta, Kind, config::Configured};

/// How many bytes are gathered before they are passed on.
const BUFFER_LEN: usize = 1 << 16;
const NANOS: i64 = 1_000_000;

#[derive(Serialize)]
struct Schema<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "refId", skip_serializing_if = "str::is_empty")]
    ref_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a FrameMeta>,
    fields: Vec<Described<'a>>,
}

#[derive(Serialize)]
struct Described<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "typeInfo")]
    info: Info,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Configured::is_empty")]
    config: Configured<'a>,
}

#[derive(Serialize)]
struct Info {
    frame: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nullable: bool,
}

impl<'a> Described<'a> {
    fn of(field: &'a Field) -> Self {
        let (kind, frame) = field.kind().names();
        Self {
            name: &field.name,
            kind,
            info: Info { frame, nullable: field.is_nullable() },
            labels: field.labels.as_ref(),
            config: Configured { config: field.config.as_ref(), texts: field.texts() },
        }
    }
}

/// The rows in which a number is none.
#[derive(Default, Serialize)]
struct Entities {
    #[serde(rename = "NaN", skip_serializing_if = "Vec::is_empty")]
    nan: Vec<usize>,
    #[serde(rename = "Inf", skip_serializing_if = "Vec::is_empty")]
    inf: Vec<usize>,
    #[serde(rename = "NegInf", skip_serializing_if = "Vec::is_empty")]
    neg_inf: Vec<usize>,
}

impl Entities {
    fn is_empty(&self) -> bool {
        self.nan.is_empty() && self.inf.is_empty() && self.neg_inf.is_empty()
    }
}

impl Frame {
    /// Writes the frame as JSON, a piece at a time.
    ///
    /// # Errors
    ///
    /// If `into` fails.
    pub fn write_json(&self, into: impl io::Write) -> Result<(), Error> {
        let mut out = Out { into, buffer: Vec::with_capacity(BUFFER_LEN + 1024), row: 0 };
        out.frame(self).map_err(|e| Error::with_source("write a frame as JSON", e))
    }
}

struct Out<W> {
    into: W,
    buffer: Vec<u8>,
    /// Which value of its field comes next.
    row: usize,
}

impl<W: io::Write> Out<W> {
    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        let schema = Schema {
            name: &frame.name,
            ref_id: &frame.ref_id,
            meta: frame.meta.as_ref(),
            fields: frame.fields().iter().map(Described::of).collect(),
        };
        self.buffer.extend_from_slice(b"{\"schema\":");
        self.value(&schema)?;
        self.buffer.extend_from_slice(b",\"data\":{\"values\":[");
        let (mut entities, mut nanos) = (Vec::new(), Vec::new());
        for (idx, field) in frame.fields().iter().enumerate() {
            self.buffer.extend_from_slice(if idx > 0 { b",[" } else { b"[" });
            self.row = 0;
            let mut of_field = Entities::default();
            for chunk in field.chunks() {
                self.chunk(field.kind(), chunk, &mut of_field)?;
            }
            self.buffer.push(b']');
            entities.push((!of_field.is_empty()).then_some(of_field));
            nanos.push((field.kind() == Kind::Time).then(|| remainders(field)).flatten());
        }
        self.buffer.push(b']');
        if entities.iter().any(Option::is_some) {
            self.buffer.extend_from_slice(b",\"entities\":");
            self.value(&entities)?;
        }
        if nanos.iter().any(Option::is_some) {
            self.buffer.extend_from_slice(b",\"nanos\":");
            self.value(&nanos)?;
        }
        self.buffer.extend_from_slice(b"}}");
        self.into.write_all(&self.buffer)?;
        self.into.flush()
    }

    fn value(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.buffer, value)?;
        self.pass_on()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER_LEN {
            self.into.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn chunk(&mut self, kind: Kind, chunk: &ArrayRef, entities: &mut Entities) -> io::Result<()> {
        match kind {
            Kind::Int8 => self.numbers::<Int8Type>(chunk),
            Kind::Int16 => self.numbers::<Int16Type>(chunk),
            Kind::Int32 => self.numbers::<Int32Type>(chunk),
            Kind::Int64 => self.numbers::<Int64Type>(chunk),
            Kind::UInt8 => self.numbers::<UInt8Type>(chunk),
            Kind::UInt16 | Kind::Enum => self.numbers::<UInt16Type>(chunk),
            Kind::UInt32 => self.numbers::<UInt32Type>(chunk),
            Kind::UInt64 => self.numbers::<UInt64Type>(chunk),
            Kind::Float32 => self.floats::<Float32Type>(chunk, entities, f64::from),
            Kind::Float64 => self.floats::<Float64Type>(chunk, entities, |value| value),
            Kind::Bool => {
                let values = chunk.as_boolean();
                self.each(chunk, |out, row| write(out, &values.value(row)))
            }
            Kind::Text => {
                let values = chunk.as_string::<i32>();
                self.each(chunk, |out, row| write(out, values.value(row)))
            }
            Kind::Json => {
                let values = chunk.as_binary::<i32>();
                self.each(chunk, |out, row| {
                    out.extend_from_slice(values.value(row));
                    Ok(())
                })
            }
            Kind::Time => {
                let values = chunk.as_primitive::<TimestampNanosecondType>();
                self.each(chunk, |out, row| write(out, &values.value(row).div_euclid(NANOS)))
            }
        }
    }

    fn numbers<T: ArrowPrimitiveType>(&mut self, chunk: &ArrayRef) -> io::Result<()>
    where
        T::Native: Serialize,
    {
        let values: &PrimitiveArray<T> = chunk.as_primitive();
        self.each(chunk, |out, row| write(out, &values.value(row)))
    }

    /// What is no number is null; where it stood is told behind the values.
    fn floats<T: ArrowPrimitiveType>(
        &mut self,
        chunk: &ArrayRef,
        entities: &mut Entities,
        wide: impl Fn(T::Native) -> f64,
    ) -> io::Result<()>
    where
        T::Native: Serialize,
    {
        let values: &PrimitiveArray<T> = chunk.as_primitive();
        let first = self.row;
        self.each(chunk, |out, row| {
            let value = wide(values.value(row));
            if value.is_nan() {
                entities.nan.push(first + row);
            } else if value.is_infinite() && value > 0.0 {
                entities.inf.push(first + row);
            } else if value.is_infinite() {
                entities.neg_inf.push(first + row);
            }
            write(out, &values.value(row))
        })
    }

    /// Each value of a chunk, with commas between all of a field.
    fn each(
        &mut self,
        chunk: &ArrayRef,
        mut value: impl FnMut(&mut Vec<u8>, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        for row in 0..chunk.len() {
            if self.row > 0 {
                self.buffer.push(b',');
            }
            self.row += 1;
            match chunk.is_null(row) {
                true => self.buffer.extend_from_slice(b"null"),
                false => value(&mut self.buffer, row)?,
            }
            self.pass_on()?;
        }
        Ok(())
    }
}

fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> io::Result<()> {
    Ok(serde_json::to_writer(out, value)?)
}

/// What is left of each time behind its whole milliseconds; `None` if nothing is.
fn remainders(field: &Field) -> Option<Vec<i64>> {
    let mut rest = Vec::with_capacity(field.len());
    for chunk in field.chunks() {
        let values = chunk.as_primitive::<TimestampNanosecondType>();
        rest.extend(values.iter().map(|value| value.map_or(0, |nanos| nanos.rem_euclid(NANOS))));
    }
    rest.iter().any(|nanos| *nanos != 0).then_some(rest)
}
