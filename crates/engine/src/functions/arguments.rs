//! Arguments as the functions see them: stacks as lists of names, texts as one text or one a row.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, GenericListArray, Int64Array, ListArray, StringArray,
        StringBuilder,
    },
    buffer::NullBuffer,
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs},
};

use crate::{Error, ErrorKind, schema};

/// What one argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A list of text.
    Stack,
    /// A map of text to text.
    Labels,
    Text,
    Whole,
    /// Any number, taken as a double.
    Number,
    /// An interval, or a duration as text.
    Duration,
}

impl Kind {
    /// The type that an argument of this kind is brought to.
    fn coerced(self, from: &DataType) -> Option<DataType> {
        let is_text = |t: &DataType| t.is_string() || t.is_null();
        let to = match self {
            Self::Stack => match from {
                DataType::Null => schema::stack_type(),
                DataType::List(item)
                | DataType::LargeList(item)
                | DataType::ListView(item)
                | DataType::LargeListView(item)
                | DataType::FixedSizeList(item, _)
                    if is_text(item.data_type()) =>
                {
                    // A cast cannot take NULLs out of a list, so there may be some.
                    let nullable = item.is_nullable();
                    DataType::List(Arc::new(Field::new("item", DataType::Utf8, nullable)))
                }
                _ => return None,
            },
            // As it is: no other type is cast to it.
            Self::Labels => match from {
                DataType::Null => schema::labels_type(),
                DataType::Map(entries, _) => match entries.data_type() {
                    DataType::Struct(pair)
                        if pair.iter().all(|field| *field.data_type() == DataType::Utf8) =>
                    {
                        from.clone()
                    }
                    _ => return None,
                },
                _ => return None,
            },
            Self::Text if is_text(from) => DataType::Utf8,
            Self::Whole if from.is_integer() || from.is_null() => DataType::Int64,
            Self::Number if from.is_numeric() || from.is_null() => DataType::Float64,
            Self::Duration => match from {
                DataType::Interval(_) => {
                    DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano)
                }
                text if is_text(text) => DataType::Utf8,
                _ => return None,
            },
            _ => return None,
        };
        Some(to)
    }
}

/// The types to which the arguments of a function are brought. `n_least` is how many there have to be.
pub(super) fn coerce(
    usage: &str,
    kinds: &[Kind],
    n_least: usize,
    types: &[DataType],
) -> Result<Vec<DataType>> {
    let fits = (n_least..=kinds.len()).contains(&types.len());
    let coerced: Option<Vec<DataType>> =
        kinds.iter().zip(types).map(|(kind, from)| kind.coerced(from)).collect();
    match coerced {
        Some(coerced) if fits => Ok(coerced),
        _ => {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            let what = format!("{usage}, and is called with ({})", types.join(", "));
            Err(Error::new(ErrorKind::Syntax, what).into_datafusion())
        }
    }
}

/// The field of a result that is NULL only if an argument is.
pub(super) fn field(name: &str, result: DataType, args: &ReturnFieldArgs<'_>) -> FieldRef {
    let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    Arc::new(Field::new(name, result, nullable))
}

/// A text argument that is known before there are rows, so that what is wrong with it is told at once.
pub(super) fn known_text<'a>(args: &ReturnFieldArgs<'a>, idx: usize) -> Option<&'a str> {
    args.scalar_arguments.get(idx).copied().flatten()?.try_as_str().flatten()
}

/// A column of stacks.
#[derive(Debug)]
pub(super) struct Stacks {
    lists: ListArray,
    names: StringArray,
}

impl Stacks {
    pub(super) fn of(args: &ScalarFunctionArgs, idx: usize) -> Result<Self> {
        let array = array(args, idx)?;
        let Some(lists) = array.as_list_opt::<i32>() else {
            return internal_err!("a stack is a list, not {}", array.data_type());
        };
        let Some(names) = lists.values().as_string_opt::<i32>() else {
            return internal_err!("a stack is a list of text, not {}", array.data_type());
        };
        // A function without a name has the name ''.
        let names = match names.null_count() {
            0 => StringArray::new(names.offsets().clone(), names.values().clone(), None),
            _ => {
                let mut filled = StringBuilder::with_capacity(names.len(), names.values().len());
                names.iter().for_each(|name| filled.append_value(name.unwrap_or_default()));
                filled.finish()
            }
        };
        let lists = GenericListArray::try_new(
            schema::stack_item(),
            lists.offsets().clone(),
            Arc::new(names.clone()),
            lists.nulls().cloned(),
        )?;
        Ok(Self { lists, names })
    }

    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// The functions of a row, root first, or `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<impl ExactSizeIterator<Item = &str> + Clone> {
        let range = self.range(row)?;
        Some(range.map(|at| self.names.value(at)))
    }

    pub(super) fn depth(&self, row: usize) -> Option<usize> {
        self.range(row).map(|range| range.len())
    }

    fn range(&self, row: usize) -> Option<std::ops::Range<usize>> {
        let offsets = self.lists.value_offsets();
        // Offsets are not negative.
        let at = |idx: usize| usize::try_from(offsets[idx]).unwrap_or(0);
        self.lists.is_valid(row).then(|| at(row)..at(row + 1))
    }

    /// The same stacks, but NULL where `keep` is false.
    pub(super) fn only(self, keep: Vec<bool>) -> Result<ArrayRef> {
        let nulls = NullBuffer::union(self.lists.nulls(), Some(&NullBuffer::from(keep)));
        let (item, offsets, values, _) = self.lists.into_parts();
        Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
    }
}

/// A text argument.
#[derive(Debug)]
pub(super) enum Texts {
    One(Option<String>),
    Each(StringArray),
}

impl Texts {
    pub(super) fn of(args: &ScalarFunctionArgs, idx: usize) -> Result<Self> {
        match args.args.get(idx) {
            Some(ColumnarValue::Scalar(text)) => {
                Ok(Self::One(text.try_as_str().flatten().map(str::to_owned)))
            }
            _ => {
                let array = array(args, idx)?;
                match array.as_string_opt::<i32>() {
                    Some(texts) => Ok(Self::Each(texts.clone())),
                    None => internal_err!("a text was expected, not {}", array.data_type()),
                }
            }
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::One(text) => text.as_deref(),
            Self::Each(texts) => texts.is_valid(row).then(|| texts.value(row)),
        }
    }
}

/// Whole numbers, one a row.
pub(super) fn whole(args: &ScalarFunctionArgs, idx: usize) -> Result<Int64Array> {
    let array = array(args, idx)?;
    match array.as_primitive_opt::<Int64Type>() {
        Some(numbers) => Ok(numbers.clone()),
        None => internal_err!("a whole number was expected, not {}", array.data_type()),
    }
}

/// An argument as a column of as many rows as there are.
pub(super) fn array(args: &ScalarFunctionArgs, idx: usize) -> Result<ArrayRef> {
    match args.args.get(idx) {
        Some(value) => value.to_array(args.number_rows),
        None => internal_err!("there is no argument {idx}"),
    }
}

/// What a text comes to when it is compiled: done once for a literal, and once for each run of equal texts else.
#[derive(Debug)]
pub(super) struct Compiled<T> {
    latest: Option<(String, T)>,
}

impl<T> Compiled<T> {
    pub(super) fn new() -> Self {
        Self { latest: None }
    }

    pub(super) fn get(
        &mut self,
        text: &str,
        compile: impl FnOnce(&str) -> Result<T, Error>,
    ) -> Result<&mut T> {
        let latest = match self.latest.take() {
            Some(latest) if latest.0 == text => latest,
            _ => (text.to_owned(), compile(text).map_err(Error::into_datafusion)?),
        };
        Ok(&mut self.latest.insert(latest).1)
    }
}

/// A regex with what is known of the names of a batch: they are few beside the rows that they are in.
#[derive(Debug)]
pub(super) struct Names<'a> {
    regex: regex::Regex,
    known: HashMap<&'a str, bool>,
}

impl<'a> Names<'a> {
    pub(super) fn new(regex: regex::Regex) -> Self {
        Self { regex, known: HashMap::new() }
    }

    pub(super) fn is_match(&mut self, name: &'a str) -> bool {
        *self.known.entry(name).or_insert_with(|| self.regex.is_match(name))
    }
}
