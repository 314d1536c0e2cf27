//! From answers to rows: one place for each kind of row, one builder for all columns.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, RecordBatch,
        RecordBatchOptions, StringBuilder, TimestampNanosecondBuilder,
    },
    datatypes::{DataType, Field, SchemaRef},
    error::ArrowError,
};
use flamesql_backend::StackGroup;
use flamesql_profile::{
    CallEdge, FunctionTotals, Labels, NameId, NodeId, Point, Series, StackTree, Timestamp,
};

use crate::{
    Error, ErrorKind, TableKind, coarse::Coarse, functions::stack_filter::FunctionFilter, schema,
};

/// A batch ends at so much text, so that names of a megabyte do not fill the memory by the thousand.
pub(crate) const BATCH_BYTES: usize = 32 << 20;
/// What one row may hold: an Arrow array of text ends at 2 GiB.
const MAX_ROW_BYTES: usize = 1 << 30;

/// Refuses a row with more text than an array takes.
pub(crate) fn check_row(len: usize) -> Result<(), Error> {
    if len <= MAX_ROW_BYTES {
        return Ok(());
    }
    let what = format!("a row of {len} bytes of text, more than the limit of {MAX_ROW_BYTES}");
    Err(Error::new(ErrorKind::Query, what))
}

/// What a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// A point of a series.
    Points,
    /// A stack with its own value.
    Stacks,
    /// A function with the values of the stacks that end in it.
    Leaves,
    /// A function with self and total.
    Functions,
    /// A function with self, even if that is 0.
    Selves,
    /// What some functions come to together, as well as each of them. `own`: self is asked for, and not only total.
    OfFunctions { own: bool },
    /// A caller and a callee with the value of their calls.
    Edges,
    /// All stacks of a group added up.
    Sum,
}

impl Shape {
    /// The rows of a table: those of R, or the fewest that carry what a coarse scan has to tell apart.
    ///
    /// `of_some`: only those of some functions.
    pub(crate) fn of(
        kind: TableKind,
        coarse: Option<&Coarse>,
        projected: &SchemaRef,
        of_some: bool,
    ) -> Self {
        let has = |name| projected.column_with_name(name).is_some();
        match (kind, coarse) {
            (TableKind::Series, _) => Self::Points,
            (TableKind::Samples, Some(coarse)) if !coarse.stack && !has("stack") => {
                if coarse.function || has("function") { Self::Leaves } else { Self::Points }
            }
            (TableKind::Samples, _) => Self::Stacks,
            (TableKind::Functions, Some(coarse)) if !coarse.function && !has("function") => {
                match (of_some, has("total")) {
                    (true, _) => Self::OfFunctions { own: has("self") },
                    (false, true) => Self::Functions,
                    (false, false) => Self::Points,
                }
            }
            (TableKind::Functions, Some(_)) if !has("total") => Self::Selves,
            (TableKind::Functions, _) => Self::Functions,
            (TableKind::CallEdges, _) => Self::Edges,
        }
    }

    /// The same rows from stacks where a series would do: not all samples count.
    pub(crate) fn of_stacks(self) -> Self {
        match self {
            Self::Points => Self::Sum,
            shape => shape,
        }
    }
}

/// Which columns the value of a point is in; it counts as 0 in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Measures {
    Both,
    Own,
    Total,
}

/// Rows that wait to be written.
pub(crate) struct Cursor {
    profile_type: Arc<str>,
    labels: Labels,
    time: Timestamp,
    rows: Rows,
    next: usize,
}

enum Rows {
    Points(Vec<Point>, Measures),
    Stacks(Arc<StackGroup>, Vec<(NodeId, i64)>),
    Functions(Arc<StackGroup>, Vec<FunctionTotals>),
    Selves(Arc<StackGroup>, Vec<(Option<NameId>, i64)>),
    Edges(Arc<StackGroup>, Vec<CallEdge>),
}

impl Cursor {
    pub(crate) fn of_series(
        profile_type: Arc<str>,
        mut series: Series,
        measures: Measures,
    ) -> Self {
        series.points.retain(|point| point.value != 0);
        let time = Timestamp::from_nanos(0);
        Self {
            profile_type,
            labels: series.labels,
            time,
            rows: Rows::Points(series.points, measures),
            next: 0,
        }
    }

    pub(crate) fn of_group(
        profile_type: Arc<str>,
        group: &Arc<StackGroup>,
        shape: Shape,
    ) -> Result<Self, flamesql_profile::Error> {
        let StackGroup { labels, time, tree, .. } = group.as_ref();
        let kept = Arc::clone(group);
        let rows = match shape {
            Shape::Functions | Shape::OfFunctions { .. } => {
                let mut functions = tree.functions()?;
                functions.retain(|function| function.total != 0);
                Rows::Functions(kept, functions)
            }
            Shape::Selves => Rows::Selves(kept, tree.selves()?),
            Shape::Leaves => {
                let mut selves = tree.selves()?;
                selves.retain(|(_, value)| *value != 0);
                Rows::Selves(kept, selves)
            }
            Shape::Edges => {
                let mut edges = tree.call_edges()?;
                edges.retain(|edge| edge.value != 0);
                Rows::Edges(kept, edges)
            }
            // Without a stack there is no row to stand for.
            Shape::Sum if tree.is_empty() => Rows::Points(Vec::new(), Measures::Both),
            Shape::Sum => {
                let value = tree.total()?;
                Rows::Points(vec![Point { time: *time, value }], Measures::Both)
            }
            Shape::Stacks | Shape::Points => Rows::Stacks(kept, tree.stacks().collect()),
        };
        Ok(Self { profile_type, labels: labels.clone(), time: *time, rows, next: 0 })
    }

    /// Of some stacks of a group.
    pub(crate) fn of_stacks(
        profile_type: Arc<str>,
        group: &Arc<StackGroup>,
        stacks: Vec<(NodeId, i64)>,
    ) -> Self {
        let (labels, time) = (group.labels.clone(), group.time);
        let rows = Rows::Stacks(Arc::clone(group), stacks);
        Self { profile_type, labels, time, rows, next: 0 }
    }

    /// Leaves out the rows of functions that do not fulfil all of these.
    ///
    /// # Errors
    ///
    /// If the evaluation fails for one of them.
    pub(crate) fn keep_functions(&mut self, filters: &[FunctionFilter]) -> Result<(), Error> {
        for filter in filters {
            match &mut self.rows {
                Rows::Functions(group, functions) => {
                    let names = group.tree.names();
                    let keep =
                        filter.keep(functions.iter().map(|f| f.name.map(|n| names.get(n))))?;
                    let mut keep = keep.into_iter();
                    functions.retain(|_| keep.next().unwrap_or_default());
                }
                Rows::Selves(group, selves) => {
                    let names = group.tree.names();
                    let keep =
                        filter.keep(selves.iter().map(|(name, _)| name.map(|n| names.get(n))))?;
                    let mut keep = keep.into_iter();
                    selves.retain(|_| keep.next().unwrap_or_default());
                }
                Rows::Points(..) | Rows::Stacks(..) | Rows::Edges(..) => {}
            }
        }
        Ok(())
    }

    /// Writes rows until none are left or the builder has `max`; whether none are left.
    ///
    /// # Errors
    ///
    /// If a single row is too large for an Arrow array.
    pub(crate) fn fill(&mut self, into: &mut RowBuilder, max: usize) -> Result<bool, Error> {
        let len = match &self.rows {
            Rows::Points(points, _) => points.len(),
            Rows::Stacks(_, stacks) => stacks.len(),
            Rows::Functions(_, functions) => functions.len(),
            Rows::Selves(_, selves) => selves.len(),
            Rows::Edges(_, edges) => edges.len(),
        };
        while self.next < len && into.n_rows < max && !into.is_full() {
            let mut row = Row {
                profile_type: &self.profile_type,
                labels: &self.labels,
                time: self.time,
                stack: None,
                function: None,
                caller: None,
                value: 0,
                total: 0,
            };
            match &self.rows {
                Rows::Points(points, measures) => {
                    let point = points[self.next];
                    row.time = point.time;
                    (row.value, row.total) = match measures {
                        Measures::Both => (point.value, point.value),
                        Measures::Own => (point.value, 0),
                        Measures::Total => (0, point.value),
                    };
                }
                Rows::Stacks(group, stacks) => {
                    let tree = &group.tree;
                    let (node, value) = stacks[self.next];
                    row.stack = Some((tree, node));
                    row.function = tree.function(node).map(|name| tree.names().get(name));
                    (row.value, row.total) = (value, value);
                }
                Rows::Functions(group, functions) => {
                    let tree = &group.tree;
                    let FunctionTotals { name, self_value, total } = functions[self.next];
                    row.function = name.map(|name| tree.names().get(name));
                    (row.value, row.total) = (self_value, total);
                }
                Rows::Selves(group, selves) => {
                    let tree = &group.tree;
                    let (name, value) = selves[self.next];
                    row.function = name.map(|name| tree.names().get(name));
                    (row.value, row.total) = (value, value);
                }
                Rows::Edges(group, edges) => {
                    let tree = &group.tree;
                    let CallEdge { caller, callee, value } = edges[self.next];
                    (row.caller, row.function) =
                        (Some(tree.names().get(caller)), Some(tree.names().get(callee)));
                    (row.value, row.total) = (value, value);
                }
            }
            into.push(&row)?;
            self.next += 1;
        }
        Ok(self.next >= len)
    }
}

/// One row, of whatever kind. `value` is what functions call `self`, and `function` what edges call `callee`.
struct Row<'a> {
    profile_type: &'a str,
    labels: &'a Labels,
    time: Timestamp,
    stack: Option<(&'a StackTree, NodeId)>,
    function: Option<&'a str>,
    caller: Option<&'a str>,
    value: i64,
    total: i64,
}

/// Columns of an additive table that grow row by row.
pub(crate) struct RowBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    pub(crate) n_rows: usize,
    /// How much text the rows hold.
    n_bytes: usize,
    path: Vec<NameId>,
}

enum Column {
    Time(TimestampNanosecondBuilder),
    ProfileType(StringBuilder),
    Labels(MapBuilder<StringBuilder, StringBuilder>),
    Label(String, StringBuilder),
    Stack(ListBuilder<StringBuilder>),
    Function(StringBuilder),
    Caller(StringBuilder),
    Value(Int64Builder),
    Total(Int64Builder),
}

impl RowBuilder {
    /// For the columns of a schema, which may be fewer than the table has, or none.
    pub(crate) fn new(schema: SchemaRef, label_columns: &[String]) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                // A label may be called as a column of another table.
                name if label_columns.iter().any(|label| label == name) => {
                    Column::Label(name.to_owned(), StringBuilder::new())
                }
                "time" => Column::Time(TimestampNanosecondBuilder::new()),
                "profile_type" => Column::ProfileType(StringBuilder::new()),
                "labels" => Column::Labels(labels_builder()),
                "stack" => {
                    Column::Stack(ListBuilder::new(StringBuilder::new()).with_field(Field::new(
                        "item",
                        DataType::Utf8,
                        false,
                    )))
                }
                "function" | "callee" => Column::Function(StringBuilder::new()),
                "caller" => Column::Caller(StringBuilder::new()),
                "value" | "self" => Column::Value(Int64Builder::new()),
                "total" => Column::Total(Int64Builder::new()),
                name => unreachable!("no table has a column {name}"),
            })
            .collect();
        Self { schema, columns, n_rows: 0, n_bytes: 0, path: Vec::new() }
    }

    /// Whether a batch should end here, however few its rows are.
    pub(crate) fn is_full(&self) -> bool {
        self.n_bytes >= BATCH_BYTES
    }

    /// How much text a row brings into these columns.
    fn text_len(&mut self, row: &Row<'_>) -> usize {
        let mut len = row.profile_type.len();
        for column in &self.columns {
            len += match column {
                Column::Labels(_) => {
                    row.labels.iter().map(|(name, value)| name.len() + value.len()).sum()
                }
                Column::Label(name, _) => row.labels.get(name).map_or(0, str::len),
                Column::Stack(_) => match row.stack {
                    Some((tree, node)) => {
                        tree.path_ids(node, &mut self.path);
                        self.path.iter().map(|name| tree.names().get(*name).len()).sum()
                    }
                    None => 0,
                },
                Column::Function(_) => row.function.map_or(0, str::len),
                Column::Caller(_) => row.caller.map_or(0, str::len),
                Column::Time(_) | Column::ProfileType(_) | Column::Value(_) | Column::Total(_) => 0,
            };
        }
        len
    }

    fn push(&mut self, row: &Row<'_>) -> Result<(), Error> {
        let len = self.text_len(row);
        check_row(len).map_err(|error| {
            error.with_hint("leave out the column stack, or take parts of it such as stack[1]")
        })?;
        self.n_bytes += len;
        for column in &mut self.columns {
            match column {
                Column::Time(time) => time.append_value(row.time.nanos()),
                Column::ProfileType(texts) => texts.append_value(row.profile_type),
                Column::Labels(map) => append_labels(map, row.labels),
                Column::Label(name, texts) => texts.append_option(row.labels.get(name)),
                Column::Stack(lists) => {
                    if let Some((tree, _)) = row.stack {
                        // As `text_len` found it.
                        for name in &self.path {
                            lists.values().append_value(tree.names().get(*name));
                        }
                    }
                    lists.append(true);
                }
                Column::Function(texts) => texts.append_option(row.function),
                Column::Caller(texts) => texts.append_option(row.caller),
                Column::Value(values) => values.append_value(row.value),
                Column::Total(values) => values.append_value(row.total),
            }
        }
        self.n_rows += 1;
        Ok(())
    }

    /// The rows so far; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.n_bytes = 0;
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .map(|column| -> ArrayRef {
                match column {
                    Column::Time(b) => Arc::new(b.finish()),
                    Column::ProfileType(b)
                    | Column::Label(_, b)
                    | Column::Function(b)
                    | Column::Caller(b) => Arc::new(b.finish()),
                    Column::Labels(b) => Arc::new(b.finish()),
                    Column::Stack(b) => Arc::new(b.finish()),
                    Column::Value(b) | Column::Total(b) => Arc::new(b.finish()),
                }
            })
            .collect();
        let options =
            RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.n_rows)));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }
}

/// A builder of the `labels` column.
pub(crate) fn labels_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let [key, value] = schema::label_fields();
    let names = MapFieldNames {
        entry: "entries".into(),
        key: key.name().clone(),
        value: value.name().clone(),
    };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

pub(crate) fn append_labels(map: &mut MapBuilder<StringBuilder, StringBuilder>, labels: &Labels) {
    for (name, value) in labels.iter() {
        map.keys().append_value(name);
        map.values().append_value(value);
    }
    map.append(true).expect("a key for each value");
}
