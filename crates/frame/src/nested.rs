//! A value that Grafana has no type for, as JSON.

use arrow::{
    array::{Array, AsArray, StructArray, downcast_integer_array},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type},
    error::ArrowError,
    util::display::array_value_to_string,
};

/// Appends one value of an array: lists as arrays, structs and maps with texts for keys as objects, other maps as arrays of
/// pairs; what JSON has no number for as null, and what it has no type for as text.
pub(crate) fn push(into: &mut Vec<u8>, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
    if array.is_null(row) {
        into.extend_from_slice(b"null");
        return Ok(());
    }
    downcast_integer_array!(
        array => write(into, &array.value(row)),
        DataType::Boolean => write(into, &array.as_boolean().value(row)),
        DataType::Float16 => number(into, f64::from(f32::from(array.as_primitive::<Float16Type>().value(row)))),
        DataType::Float32 => number(into, f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => number(into, array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => write(into, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => write(into, array.as_string::<i64>().value(row)),
        DataType::Utf8View => write(into, array.as_string_view().value(row)),
        DataType::Null => into.extend_from_slice(b"null"),
        DataType::List(_) => return list(into, array.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => return list(into, array.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(..) => return list(into, array.as_fixed_size_list().value(row).as_ref()),
        DataType::Struct(_) => return object(into, array.as_struct(), row),
        DataType::Map(..) => return map(into, &array.as_map().value(row)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            return push(into, dictionary.values().as_ref(), dictionary.normalized_keys()[row]);
        }
        _ => write(into, array_value_to_string(array, row)?.as_str())
    );
    Ok(())
}

/// Writing to memory does not fail.
fn write<T: serde::Serialize + ?Sized>(into: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(into, value);
}

/// serde writes null for what is no number.
fn number(into: &mut Vec<u8>, value: f64) {
    write(into, &value);
}

fn list(into: &mut Vec<u8>, values: &dyn Array) -> Result<(), ArrowError> {
    into.push(b'[');
    for row in 0..values.len() {
        if row > 0 {
            into.push(b',');
        }
        push(into, values, row)?;
    }
    into.push(b']');
    Ok(())
}

fn object(into: &mut Vec<u8>, values: &StructArray, row: usize) -> Result<(), ArrowError> {
    into.push(b'{');
    for (idx, (field, column)) in values.fields().iter().zip(values.columns()).enumerate() {
        if idx > 0 {
            into.push(b',');
        }
        write(into, field.name());
        into.push(b':');
        push(into, column.as_ref(), row)?;
    }
    into.push(b'}');
    Ok(())
}

/// The entries of one map.
fn map(into: &mut Vec<u8>, entries: &StructArray) -> Result<(), ArrowError> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let is_text = matches!(
        keys.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    ) || matches!(keys.data_type(), DataType::Dictionary(_, values) if **values == DataType::Utf8);
    if !is_text {
        return pairs(into, entries);
    }
    into.push(b'{');
    for row in 0..entries.len() {
        if row > 0 {
            into.push(b',');
        }
        push(into, keys.as_ref(), row)?;
        into.push(b':');
        push(into, values.as_ref(), row)?;
    }
    into.push(b'}');
    Ok(())
}

fn pairs(into: &mut Vec<u8>, entries: &StructArray) -> Result<(), ArrowError> {
    into.push(b'[');
    for row in 0..entries.len() {
        into.extend_from_slice(if row > 0 { b",[" } else { b"[" });
        push(into, entries.column(0).as_ref(), row)?;
        into.push(b',');
        push(into, entries.column(1).as_ref(), row)?;
        into.push(b']');
    }
    into.push(b']');
    Ok(())
}
