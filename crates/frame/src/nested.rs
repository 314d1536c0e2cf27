//! Values that Grafana has no type for, as JSON.
//!
//! A column is looked at once and becomes a tree of columns whose types are known; its values are then written from there
//! without a copy of any. The tree is as deep as the column's type.

use std::ops::Range;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array,
        OffsetSizeTrait, StringArray, StringBuilder, UInt64Array, UnionArray,
    },
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, FieldRef},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::text;

/// A column of values that are to be JSON: lists as arrays, structs and maps with texts for keys as objects, other maps as
/// arrays of pairs; what JSON has no number for as null, and what it has no type for as text.
pub(crate) struct Nested {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Bool(BooleanArray),
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Text(StringArray),
    /// Numbers of more digits than a float has.
    Digits(StringArray),
    List(Ranges, Box<Nested>),
    /// With the name of each field in quotes.
    Object(Vec<(Vec<u8>, Nested)>),
    Map(OffsetBuffer<i32>, Box<Nested>, Box<Nested>),
    Dictionary(Int64Array, Box<Nested>),
    /// By the id of the type.
    Union(UnionArray, Vec<Option<Nested>>),
}

/// Which values of its child each list has.
enum Ranges {
    Offsets(OffsetBuffer<i32>),
    LargeOffsets(OffsetBuffer<i64>),
    Fixed(usize),
    Views(ScalarBuffer<i32>, ScalarBuffer<i32>),
    LargeViews(ScalarBuffer<i64>, ScalarBuffer<i64>),
}

impl Nested {
    pub(crate) fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Values::Signed(cast(array, &DataType::Int64)?.as_primitive().clone())
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Values::Unsigned(cast(array, &DataType::UInt64)?.as_primitive().clone())
            }
            DataType::Float16 | DataType::Float32 => {
                Values::Float32(cast(array, &DataType::Float32)?.as_primitive().clone())
            }
            DataType::Float64 => Values::Float64(array.as_primitive().clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Values::Text(cast(array, &DataType::Utf8)?.as_string().clone())
            }
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Values::Digits(shown(array)?),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let ranges = Ranges::Offsets(list.offsets().clone());
                Values::List(ranges, Box::new(Self::of(list.values())?))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let ranges = Ranges::LargeOffsets(list.offsets().clone());
                Values::List(ranges, Box::new(Self::of(list.values())?))
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let n = usize::try_from(list.value_length()).unwrap_or_default();
                Values::List(Ranges::Fixed(n), Box::new(Self::of(list.values())?))
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                let ranges = Ranges::Views(list.offsets().clone(), list.sizes().clone());
                Values::List(ranges, Box::new(Self::of(list.values())?))
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                let ranges = Ranges::LargeViews(list.offsets().clone(), list.sizes().clone());
                Values::List(ranges, Box::new(Self::of(list.values())?))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let of_field = |(field, column): (&FieldRef, _)| {
                    let mut name = Vec::new();
                    text::push(&mut name, field.name());
                    Ok::<_, ArrowError>((name, Self::of(column)?))
                };
                Values::Object(fields.iter().zip(columns).map(of_field).collect::<Result<_, _>>()?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (keys, values) = (Self::of(map.keys())?, Self::of(map.values())?);
                Values::Map(map.offsets().clone(), Box::new(keys), Box::new(values))
            }
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let keys = cast_any(dictionary.keys(), &DataType::Int64)?;
                let values = Box::new(Self::of(dictionary.values())?);
                Values::Dictionary(keys.as_primitive().clone(), values)
            }
            DataType::RunEndEncoded(_, values) => {
                return Self::of(&cast(array, values.data_type())?);
            }
            DataType::Union(fields, _) => {
                let union = array.as_union();
                let mut children = Vec::new();
                for (id, _) in fields.iter() {
                    let at = usize::try_from(id).unwrap_or_default();
                    if children.len() <= at {
                        children.resize_with(at + 1, || None);
                    }
                    children[at] = Some(Self::of(union.child(id))?);
                }
                Values::Union(union.clone(), children)
            }
            // In the zone that needs no table of zones.
            DataType::Timestamp(unit, Some(_)) => {
                let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
                Values::Text(shown(&cast(array, &utc)?)?)
            }
            // Times, intervals, bytes, and whatever Arrow will have next.
            _ => Values::Text(shown(array)?),
        };
        Ok(Self { nulls: array.nulls().cloned(), values })
    }

    /// Appends the value of a row.
    pub(crate) fn push(&self, out: &mut Vec<u8>, row: usize) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Bool(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            }
            Values::Signed(values) => text::push_integer(out, values.value(row)),
            Values::Unsigned(values) => text::push_integer(out, values.value(row)),
            Values::Float32(values) => {
                text::push_number(out, values.value(row));
            }
            Values::Float64(values) => {
                text::push_number(out, values.value(row));
            }
            Values::Text(values) => text::push(out, values.value(row)),
            Values::Digits(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::List(ranges, values) => {
                out.push(b'[');
                for (idx, row) in ranges.of(row).enumerate() {
                    comma(out, idx);
                    values.push(out, row);
                }
                out.push(b']');
            }
            Values::Object(fields) => {
                out.push(b'{');
                for (idx, (name, values)) in fields.iter().enumerate() {
                    comma(out, idx);
                    out.extend_from_slice(name);
                    out.push(b':');
                    values.push(out, row);
                }
                out.push(b'}');
            }
            Values::Map(offsets, keys, values) => {
                let is_object = keys.is_text();
                out.push(if is_object { b'{' } else { b'[' });
                for (idx, row) in range(offsets, row).enumerate() {
                    comma(out, idx);
                    if !is_object {
                        out.push(b'[');
                    }
                    keys.push(out, row);
                    out.push(if is_object { b':' } else { b',' });
                    values.push(out, row);
                    if !is_object {
                        out.push(b']');
                    }
                }
                out.push(if is_object { b'}' } else { b']' });
            }
            Values::Dictionary(keys, values) => {
                values.push(out, usize::try_from(keys.value(row)).unwrap_or_default());
            }
            Values::Union(union, children) => {
                let id = usize::try_from(union.type_id(row)).unwrap_or_default();
                match children.get(id) {
                    Some(Some(child)) => child.push(out, union.value_offset(row)),
                    _ => out.extend_from_slice(b"null"),
                }
            }
        }
    }

    /// Whether its values are texts, and none is NULL.
    fn is_text(&self) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.null_count() == 0)
            && match &self.values {
                Values::Text(_) => true,
                Values::Dictionary(_, values) => values.is_text(),
                _ => false,
            }
    }
}

impl Ranges {
    fn of(&self, row: usize) -> Range<usize> {
        match self {
            Self::Offsets(offsets) => range(offsets, row),
            Self::LargeOffsets(offsets) => range(offsets, row),
            Self::Fixed(n) => row * n..(row + 1) * n,
            Self::Views(starts, sizes) => sized(starts[row], sizes[row]),
            Self::LargeViews(starts, sizes) => sized(starts[row], sizes[row]),
        }
    }
}

fn range<T: OffsetSizeTrait>(offsets: &OffsetBuffer<T>, row: usize) -> Range<usize> {
    offsets[row].as_usize()..offsets[row + 1].as_usize()
}

fn sized<T: OffsetSizeTrait>(start: T, size: T) -> Range<usize> {
    start.as_usize()..start.as_usize() + size.as_usize()
}

fn comma(out: &mut Vec<u8>, idx: usize) {
    if idx > 0 {
        out.push(b',');
    }
}

/// Values as Arrow shows them: bytes as hexadecimal digits. One that it cannot show is an error.
pub(crate) fn shown(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let mut builder = StringBuilder::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
        } else {
            formatter.value(row).write(&mut builder)?;
            builder.append_value("");
        }
    }
    Ok(builder.finish())
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_any(array.as_ref(), to)
}

/// What does not fit is an error and no NULL.
fn cast_any(array: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}
