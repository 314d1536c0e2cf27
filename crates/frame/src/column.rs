//! A field: one column, of a type that Grafana reads.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    mem,
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, LargeStringArray, LargeStringBuilder,
        PrimitiveArray, StringArray, UInt16Array, UInt16Builder, downcast_integer_array,
        new_null_array,
    },
    compute::{CastOptions, cast_with_options, take},
    datatypes::{ArrowNativeType, ArrowPrimitiveType, DataType, Field as ArrowField, TimeUnit},
    error::ArrowError,
    util::display::FormatOptions,
};

use crate::{
    Error, FieldConfig, grafana_unit,
    nested::{self, Nested},
};

/// A value that does not fit is an error and no NULL.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

/// How many texts an enumeration has at most; beyond that its values are written as texts.
pub const MAX_ENUM: usize = 1 << 16;

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "their names are what they are")]
pub enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Bool,
    Text,
    /// Nanoseconds since the epoch.
    Time,
    /// One of the texts that the field has.
    Enum,
    /// Values of JSON, for what Grafana has no type.
    Json,
}

impl Kind {
    /// What it is called on the wire: the type, and the type of Go.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Int8 => ("number", "int8"),
            Self::Int16 => ("number", "int16"),
            Self::Int32 => ("number", "int32"),
            Self::Int64 => ("number", "int64"),
            Self::UInt8 => ("number", "uint8"),
            Self::UInt16 => ("number", "uint16"),
            Self::UInt32 => ("number", "uint32"),
            Self::UInt64 => ("number", "uint64"),
            Self::Float32 => ("number", "float32"),
            Self::Float64 => ("number", "float64"),
            Self::Bool => ("boolean", "bool"),
            Self::Text => ("string", "string"),
            Self::Time => ("time", "time.Time"),
            Self::Enum => ("enum", "enum"),
            Self::Json => ("other", "json.RawMessage"),
        }
    }

    /// The type that its values have in Arrow.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 | Self::Enum => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::Json => DataType::Binary,
        }
    }
}

/// One column of a frame.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, which may be empty.
    pub name: String,
    /// What tells it from other fields of that name, such as the labels of a series.
    pub labels: Option<BTreeMap<String, String>>,
    /// What is said of it.
    pub config: Option<FieldConfig>,
    kind: Kind,
    is_nullable: bool,
    /// Of the type that the kind has in Arrow.
    chunks: Vec<ArrayRef>,
    /// Of an enumeration, without NULL.
    texts: Option<LargeStringArray>,
}

/// What is said of a field, without its values.
#[derive(Debug)]
pub struct FieldMut<'a> {
    /// Its name.
    pub name: &'a mut String,
    /// What tells it from other fields of that name.
    pub labels: &'a mut Option<BTreeMap<String, String>>,
    /// What is said of it.
    pub config: &'a mut Option<FieldConfig>,
}

impl FieldMut<'_> {
    /// Its config, to say more about it.
    pub fn config_mut(&mut self) -> &mut FieldConfig {
        self.config.get_or_insert_default()
    }
}

impl Field {
    /// A field of an array; it is nullable if a value is NULL.
    ///
    /// # Errors
    ///
    /// See [`Field::of_chunks`].
    pub fn new(name: &str, array: ArrayRef) -> Result<Self, Error> {
        let is_nullable = array.is_nullable();
        let field = ArrowField::new(name, array.data_type().clone(), is_nullable);
        Self::of_chunks(&field, &[array])
    }

    /// A field of the arrays of a column.
    ///
    /// Numbers, booleans and text stay what they are, dictionaries of text become enumerations, dates and timestamps times,
    /// lists and their like JSON; the [README] has the table of all types.
    ///
    /// [README]: https://github.com/flamesql/flamesql/tree/main/crates/frame#what-becomes-of-each-type
    ///
    /// The metadata `unit` and `comment` of the column become its unit and its description.
    ///
    /// # Errors
    ///
    /// If a date or a timestamp is beyond the years that 64 bits of nanoseconds hold, a time of day is beyond its day, texts
    /// have more than two gigabytes in one array, or an array is of another type than the column.
    pub fn of_chunks(field: &ArrowField, chunks: &[ArrayRef]) -> Result<Self, Error> {
        let of_duration = match field.data_type() {
            DataType::Duration(TimeUnit::Second) => Some("s"),
            DataType::Duration(TimeUnit::Millisecond) => Some("ms"),
            DataType::Duration(TimeUnit::Microsecond) => Some("µs"),
            DataType::Duration(TimeUnit::Nanosecond) => Some("ns"),
            _ => None,
        };
        let told = || field.metadata().get("unit").map(|unit| grafana_unit(unit));
        let config = FieldConfig {
            unit: of_duration.or_else(told).map(str::to_owned),
            description: field.metadata().get("comment").cloned(),
            ..FieldConfig::default()
        };
        if let Some(chunk) = chunks.iter().find(|chunk| !is_of(chunk.data_type(), field)) {
            return Err(Error::new(format!(
                "put column {:?} into a frame: it is {} and has values of {}",
                field.name(),
                field.data_type(),
                chunk.data_type()
            )));
        }
        let Column { kind, chunks, texts } = column(field, chunks)?;
        // Some plans promise that there is no NULL, and are wrong.
        let has_null = chunks.iter().any(|chunk| chunk.null_count() > 0);
        Ok(Self {
            name: field.name().clone(),
            labels: None,
            config: (config != FieldConfig::default()).then_some(config),
            kind,
            is_nullable: field.is_nullable() || field.data_type().is_null() || has_null,
            chunks,
            texts,
        })
    }

    /// A field of texts, each of which is named by its index.
    ///
    /// # Errors
    ///
    /// If there are more than [`MAX_ENUM`] texts, or an index has none.
    pub fn enumeration(
        name: &str,
        texts: impl Into<Arc<[String]>>,
        indexes: UInt16Array,
    ) -> Result<Self, Error> {
        let texts = texts.into();
        let n = texts.len();
        let largest = indexes.iter().flatten().max();
        if n > MAX_ENUM || largest.is_some_and(|idx| usize::from(idx) >= n) {
            let what = format!("make field {name:?}: index {largest:?} of {n} texts");
            return Err(Error::new(what));
        }
        Ok(Self {
            name: name.to_owned(),
            labels: None,
            config: None,
            kind: Kind::Enum,
            is_nullable: indexes.is_nullable(),
            chunks: vec![Arc::new(indexes)],
            texts: Some(texts.iter().map(Some).collect()),
        })
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What its values are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether there may be a NULL among them.
    pub fn is_nullable(&self) -> bool {
        self.is_nullable
    }

    /// Its config, to say more about it.
    pub fn config_mut(&mut self) -> &mut FieldConfig {
        self.config.get_or_insert_default()
    }

    pub(crate) fn as_mut(&mut self) -> FieldMut<'_> {
        FieldMut { name: &mut self.name, labels: &mut self.labels, config: &mut self.config }
    }

    pub(crate) fn chunks(&self) -> &[ArrayRef] {
        &self.chunks
    }

    pub(crate) fn texts(&self) -> Option<&LargeStringArray> {
        self.texts.as_ref()
    }
}

struct Column {
    kind: Kind,
    chunks: Vec<ArrayRef>,
    texts: Option<LargeStringArray>,
}

fn column(field: &ArrowField, chunks: &[ArrayRef]) -> Result<Column, Error> {
    let data_type = field.data_type();
    let of = |kind: Kind| -> Result<Column, Error> {
        let chunks =
            chunks.iter().map(|chunk| cast(field, chunk, kind)).collect::<Result<_, _>>()?;
        Ok(Column { kind, chunks, texts: None })
    };
    match data_type {
        DataType::Int8 => of(Kind::Int8),
        DataType::Int16 => of(Kind::Int16),
        DataType::Int32 => of(Kind::Int32),
        DataType::Int64 | DataType::Duration(_) => of(Kind::Int64),
        DataType::UInt8 => of(Kind::UInt8),
        DataType::UInt16 => of(Kind::UInt16),
        DataType::UInt32 => of(Kind::UInt32),
        DataType::UInt64 => of(Kind::UInt64),
        DataType::Float16 | DataType::Float32 => of(Kind::Float32),
        DataType::Float64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => of(Kind::Float64),
        DataType::Boolean => of(Kind::Bool),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => of(Kind::Text),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => of(Kind::Time),
        DataType::Null => {
            let nulls = |chunk: &ArrayRef| new_null_array(&DataType::Utf8, chunk.len());
            let chunks = chunks.iter().map(nulls).collect();
            Ok(Column { kind: Kind::Text, chunks, texts: None })
        }
        DataType::Dictionary(_, values) if is_text(values) => enumerated(field, chunks),
        DataType::Dictionary(_, values) => plain(field, values, chunks),
        DataType::RunEndEncoded(_, values) => plain(field, values.data_type(), chunks),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_)
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Interval(_) => {
            let shown = |chunk: &ArrayRef| nested::shown(chunk).map(|texts| Arc::new(texts) as _);
            let shown = chunks.iter().map(shown).collect::<Result<_, _>>();
            Ok(Column {
                kind: Kind::Text,
                chunks: shown.map_err(|e| unsayable(field, e))?,
                texts: None,
            })
        }
        // Lists, maps, structs, unions, and whatever Arrow will have next.
        _ => {
            let json = chunks.iter().map(json).collect::<Result<_, _>>();
            Ok(Column {
                kind: Kind::Json,
                chunks: json.map_err(|e| unsayable(field, e))?,
                texts: None,
            })
        }
    }
}

/// Whether values are those of a column. What is said of the parts of nested values may differ: they are written as they
/// are.
fn is_of(values: &DataType, field: &ArrowField) -> bool {
    let declared = field.data_type();
    values == declared
        || values.is_nested() && mem::discriminant(values) == mem::discriminant(declared)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn unsayable(field: &ArrowField, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with_source(format!("put column {:?} into a frame", field.name()), error)
}

fn cast(field: &ArrowField, chunk: &ArrayRef, kind: Kind) -> Result<ArrayRef, Error> {
    let data_type = kind.data_type();
    if *chunk.data_type() == data_type {
        return Ok(Arc::clone(chunk));
    }
    // A date is cast to nanoseconds without a look at its size.
    let from = match chunk.data_type() {
        DataType::Date32 | DataType::Date64 => {
            let seconds = DataType::Timestamp(TimeUnit::Second, None);
            &cast_with_options(chunk, &seconds, &STRICT).map_err(|e| unsayable(field, e))?
        }
        // The instant stays the same without its zone.
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            &cast_with_options(chunk, &utc, &STRICT).map_err(|e| unsayable(field, e))?
        }
        _ => chunk,
    };
    cast_with_options(from, &data_type, &STRICT).map_err(|e| unsayable(field, e))
}

/// The column with its values themselves.
fn plain(field: &ArrowField, values: &DataType, chunks: &[ArrayRef]) -> Result<Column, Error> {
    let unpack = |chunk: &ArrayRef| match chunk.as_any_dictionary_opt() {
        Some(dictionary) => take(dictionary.values(), dictionary.keys(), None),
        None => cast_with_options(chunk, values, &STRICT),
    };
    let chunks = chunks
        .iter()
        .map(|chunk| unpack(chunk).map_err(|e| unsayable(field, e)))
        .collect::<Result<Vec<_>, _>>()?;
    column(&field.clone().with_data_type(values.clone()), &chunks)
}

/// A dictionary's texts, each once, and which of them each value is.
fn enumerated(field: &ArrowField, chunks: &[ArrayRef]) -> Result<Column, Error> {
    // Batches of one answer often share a dictionary.
    let mut dictionaries: Vec<(&ArrayRef, StringArray)> = Vec::new();
    let mut which = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let values = chunk.as_any_dictionary().values();
        if !dictionaries.last().is_some_and(|(last, _)| Arc::ptr_eq(last, values)) {
            let texts = cast_with_options(values, &DataType::Utf8, &STRICT)
                .map_err(|e| unsayable(field, e))?;
            dictionaries.push((values, texts.as_string().clone()));
        }
        which.push(dictionaries.len() - 1);
    }
    let mut texts = Texts::default();
    let mut known = (0, Vec::new());
    let mut indexes = Vec::with_capacity(chunks.len());
    for (chunk, which) in chunks.iter().zip(which) {
        let (_, values) = &dictionaries[which];
        if known.0 != which || indexes.is_empty() {
            known = (which, vec![None; values.len()]);
        }
        let keys = chunk.as_any_dictionary().keys();
        let of_chunk = downcast_integer_array!(
            keys => texts.indexes(keys, values, &mut known.1),
            _ => None
        );
        let Some(of_chunk) = of_chunk else {
            return plain(field, &DataType::Utf8, chunks);
        };
        indexes.push(Arc::new(of_chunk) as ArrayRef);
    }
    Ok(Column { kind: Kind::Enum, chunks: indexes, texts: Some(texts.by_number.finish()) })
}

/// The texts that occur: a dictionary may hold those of a whole table.
#[derive(Default)]
struct Texts<'a> {
    by_number: LargeStringBuilder,
    numbers: HashMap<&'a str, u16>,
}

impl<'a> Texts<'a> {
    /// The numbers of the texts that keys stand for; `None` if there are more texts than can be numbered. `known` has those
    /// of texts that occurred before.
    fn indexes<K: ArrowPrimitiveType>(
        &mut self,
        keys: &PrimitiveArray<K>,
        values: &'a StringArray,
        known: &mut [Option<u16>],
    ) -> Option<UInt16Array> {
        let mut indexes = UInt16Builder::with_capacity(keys.len());
        for key in keys {
            let key = key.map(ArrowNativeType::as_usize).filter(|key| values.is_valid(*key));
            let Some(key) = key else {
                indexes.append_null();
                continue;
            };
            let number = match known[key] {
                Some(number) => number,
                None => self.number(values.value(key))?,
            };
            known[key] = Some(number);
            indexes.append_value(number);
        }
        Some(indexes.finish())
    }

    fn number(&mut self, text: &'a str) -> Option<u16> {
        let next = self.numbers.len();
        match self.numbers.entry(text) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(place) => {
                let number = *place.insert(u16::try_from(next).ok()?);
                self.by_number.append_value(text);
                Some(number)
            }
        }
    }
}

fn json(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nested = Nested::of(array)?;
    // A union has its NULLs in its parts.
    let nulls = array.logical_nulls();
    let mut builder = BinaryBuilder::new();
    let mut value = Vec::new();
    for row in 0..array.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            builder.append_null();
            continue;
        }
        value.clear();
        nested.push(&mut value, row);
        builder.append_value(&value);
    }
    Ok(Arc::new(builder.finish()))
}
