//! From a tree, or two of them, to the rows of a flame graph as one list.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, ListArray, StringBuilder, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, FieldRef, Fields},
};
use flamesql_profile::{Error, NameId, StackTree, TreePair};

/// The label of the root, as in Grafana's flame graphs.
const ROOT: &str = "total";

/// The measures of a flame graph's rows.
pub(super) const ONE: &[&str] = &["value", "self"];
/// The measures of two flame graphs' rows.
pub(super) const TWO: &[&str] = &["baseline", "baseline_self", "comparison", "comparison_self"];

/// The item of a list of rows: level, measures, label.
pub(super) fn item(measures: &[&str]) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(fields(measures)), false))
}

fn fields(measures: &[&str]) -> Fields {
    let int = |name: &str| Field::new(name, DataType::Int64, false);
    let label = Field::new("label", DataType::Utf8, false);
    std::iter::once("level").chain(measures.iter().copied()).map(int).chain([label]).collect()
}

/// The rows of one tree: level, value, self, label.
pub(crate) fn rows(tree: &StackTree, max_nodes: usize) -> Result<ListArray, Error> {
    let cut;
    let tree = match max_nodes {
        0 => tree,
        n => {
            cut = tree.truncate(n)?.0;
            &cut
        }
    };
    let mut columns = Columns::<2>::with_capacity(tree.len());
    tree.walk(|visit| {
        columns.push(tree.function(visit.node), visit.depth, [visit.total, visit.self_value])
    })?;
    columns.finish(tree, ONE)
}

/// The rows of two trees: level, baseline, baseline_self, comparison, comparison_self, label.
pub(crate) fn pair_rows(pair: &TreePair, max_nodes: usize) -> Result<ListArray, Error> {
    let cut;
    let pair = match max_nodes {
        0 => pair,
        n => {
            cut = pair.truncate(n)?;
            &cut
        }
    };
    let mut columns = Columns::<4>::with_capacity(pair.shape().len());
    pair.walk(|v| {
        let measures = [v.baseline, v.baseline_self, v.comparison, v.comparison_self];
        columns.push(pair.shape().function(v.node), v.depth, measures);
    })?;
    columns.finish(pair.shape(), TWO)
}

struct Columns<const N: usize> {
    /// `None` for the root.
    functions: Vec<Option<NameId>>,
    level: Vec<i64>,
    measures: [Vec<i64>; N],
}

impl<const N: usize> Columns<N> {
    fn with_capacity(n_rows: usize) -> Self {
        Self {
            functions: Vec::with_capacity(n_rows),
            level: Vec::with_capacity(n_rows),
            measures: std::array::from_fn(|_| Vec::with_capacity(n_rows)),
        }
    }

    fn push(&mut self, function: Option<NameId>, depth: usize, measures: [i64; N]) {
        self.functions.push(function);
        self.level.push(i64::try_from(depth).expect("a depth fits"));
        self.measures.iter_mut().zip(measures).for_each(|(column, value)| column.push(value));
    }

    fn finish(self, tree: &StackTree, names: &[&str]) -> Result<ListArray, Error> {
        let label =
            |function: &Option<NameId>| function.map_or(ROOT, |name| tree.names().get(name));
        let n_bytes: usize = self.functions.iter().map(|function| label(function).len()).sum();
        // An array of text and a list count in 32 bits.
        let n_rows = self.functions.len();
        if i32::try_from(n_bytes.max(n_rows)).is_err() {
            return Err(Error::too_large("flame graph", "more than 2 GiB of names"));
        }
        let mut labels = StringBuilder::with_capacity(n_rows, n_bytes);
        self.functions.iter().for_each(|function| labels.append_value(label(function)));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(self.level))];
        columns.extend(self.measures.map(|column| Arc::new(Int64Array::from(column)) as ArrayRef));
        columns.push(Arc::new(labels.finish()));
        let rows = StructArray::new(fields(names), columns, None);
        let offsets = OffsetBuffer::from_lengths([n_rows]);
        Ok(ListArray::new(item(names), offsets, Arc::new(rows), None))
    }
}
