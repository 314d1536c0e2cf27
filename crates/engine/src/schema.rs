//! The tables and their columns.

use std::sync::Arc;

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
        let measure = |name| Field::new(name, DataType::Int64, false);
        match self {
            Self::Series => vec![measure("value")],
            Self::Samples => vec![
                Field::new("stack", stack_type(), false),
                Field::new("function", DataType::Utf8, true),
                measure("value"),
            ],
            Self::Functions => {
                vec![
                    Field::new("function", DataType::Utf8, true),
                    measure("self"),
                    measure("total"),
                ]
            }
            Self::CallEdges => vec![
                Field::new("caller", DataType::Utf8, false),
                Field::new("callee", DataType::Utf8, false),
                measure("value"),
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
            Field::new("time", time_type(), false),
            Field::new("profile_type", DataType::Utf8, false),
            Field::new("labels", labels_type(), false),
        ];
        with_labels(&fixed, &self.own(), labels)
    }
}

pub(crate) fn with_labels(
    before: &[Field],
    after: &[Field],
    labels: &[String],
) -> (SchemaRef, Vec<String>) {
    let is_fixed = |name: &str| before.iter().chain(after).any(|field| field.name() == name);
    let columns: Vec<String> = labels.iter().filter(|name| !is_fixed(name)).cloned().collect();
    let label_fields = columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
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
