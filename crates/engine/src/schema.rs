//! The tables and their columns.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

/// The tables that every source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TableKind {
    /// One row for each label set and time.
    Series,
    /// One row for each label set, time and stack.
    Samples,
    /// One row for each label set, time and function.
    Functions,
    /// One row for each label set, time, caller and callee.
    CallEdges,
}

impl TableKind {
    /// All additive tables.
    pub const ALL: [Self; 4] = [Self::Series, Self::Samples, Self::Functions, Self::CallEdges];

    /// The name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Samples => "samples",
            Self::Functions => "functions",
            Self::CallEdges => "call_edges",
        }
    }

    /// The columns that only this table has, behind those that all have.
    fn own(self) -> Vec<Field> {
        match self {
            Self::Series => vec![measure("value", "The sum of all samples")],
            Self::Samples => vec![
                said(Field::new("stack", stack_type(), false), "Functions, root first"),
                said(
                    Field::new("function", DataType::Utf8, true),
                    "The last function of the stack",
                ),
                measure("value", "The sum of the samples with exactly this stack"),
            ],
            Self::Functions => vec![
                said(
                    Field::new("function", DataType::Utf8, true),
                    "NULL for samples without a stack",
                ),
                measure("self", "The sum of the samples that end in the function (pprof: flat)"),
                measure(
                    "total",
                    "The sum of the samples whose stack holds the function (pprof: cum)",
                ),
            ],
            Self::CallEdges => vec![
                said(Field::new("caller", DataType::Utf8, false), "The function that calls"),
                said(Field::new("callee", DataType::Utf8, false), "The function that is called"),
                measure("value", "The sum of the samples whose stack holds the call"),
            ],
        }
    }

    /// The names of its measures: what is added up.
    pub(crate) const fn measures(self) -> &'static [&'static str] {
        match self {
            Self::Series | Self::Samples | Self::CallEdges => &["value"],
            Self::Functions => &["self", "total"],
        }
    }

    /// The schema of this table at a source with such labels, and the labels that are columns.
    ///
    /// A label that is called as a fixed column is reachable as `labels['time']` only.
    pub(crate) fn schema(self, labels: &[String]) -> (SchemaRef, Vec<String>) {
        let fixed = [
            said(Field::new("time", time_type(), false), "When the profile was taken, UTC"),
            said(Field::new("profile_type", DataType::Utf8, false), "What was measured"),
            said(Field::new("labels", labels_type(), false), "All labels, sorted by their names"),
        ];
        with_labels(&fixed, &self.own(), labels)
    }
}

/// The key of a column's comment in its metadata.
const COMMENT: &str = "comment";
/// The key of a measure's unit in the metadata of an answer, such as `nanoseconds`.
pub(crate) const UNIT: &str = "unit";

/// The same columns with nothing said of them.
pub(crate) fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter();
    Arc::new(Schema::new(
        fields
            .map(|field| field.as_ref().clone().with_metadata(HashMap::new()))
            .collect::<Vec<_>>(),
    ))
}

/// A field with a comment.
pub(crate) fn said(field: Field, comment: &str) -> Field {
    field.with_metadata([(COMMENT.to_owned(), comment.to_owned())].into())
}

fn measure(name: &str, comment: &str) -> Field {
    said(Field::new(name, DataType::Int64, false), comment)
}

pub(crate) fn with_labels(
    before: &[Field],
    after: &[Field],
    labels: &[String],
) -> (SchemaRef, Vec<String>) {
    let is_fixed = |name: &str| before.iter().chain(after).any(|field| field.name() == name);
    let columns: Vec<String> = labels.iter().filter(|name| !is_fixed(name)).cloned().collect();
    let label_fields = columns.iter().map(|name| {
        said(Field::new(name, DataType::Utf8, true), "A label; NULL where it is missing")
    });
    let fields: Vec<Field> =
        before.iter().cloned().chain(label_fields).chain(after.iter().cloned()).collect();
    (Arc::new(Schema::new(fields)), columns)
}

/// Nanoseconds, always UTC.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

pub(crate) fn stack_type() -> DataType {
    DataType::List(stack_item())
}

/// A function of a stack.
pub(crate) fn stack_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Utf8, false))
}

pub(crate) fn labels_type() -> DataType {
    let [key, value] = label_fields();
    let entries = DataType::Struct(vec![key, value].into());
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// Key and value of the `labels` map.
pub(crate) fn label_fields() -> [Field; 2] {
    [Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)]
}
