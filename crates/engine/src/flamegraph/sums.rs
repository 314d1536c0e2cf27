//! The accumulator of both aggregates: stacks, and for each the sum of one measure or of two.
//!
//! Sums are formed in 128 bits, as in `sum.rs`: parts may leave the range and come back, in whatever order they come.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, ListArray, StringArray, StructArray, UInt32Array,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Decimal128Type, Field, FieldRef, Fields, Int64Type, UInt32Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_datafusion_err},
    error::DataFusionError,
    logical_expr::Accumulator,
};
use flamesql_profile::{NodeId, StackTree, StackTreeBuilder, TreePair};

use super::{
    pair_rows,
    paths::Paths,
    rows,
    rows::{ONE, TWO, item},
};
use crate::{Error, ErrorKind};

/// As many digits as 128 bits always hold.
const SUM: DataType = DataType::Decimal128(38, 0);

/// How many measures are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Measures {
    One,
    Two,
}

impl Measures {
    pub(super) fn n(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// What the aggregate gives.
    pub(super) fn result(self) -> DataType {
        DataType::List(match self {
            Self::One => item(ONE),
            Self::Two => item(TWO),
        })
    }

    /// The names of functions, and the nodes of the tree, a parent before its children: the first node is the root.
    pub(super) fn state(self, name: &str) -> Vec<FieldRef> {
        let field = |part, item| Field::new(format!("{name}[{part}]"), DataType::List(item), true);
        vec![Arc::new(field("names", name_item())), Arc::new(field("nodes", self.node_item()))]
    }

    fn node_item(self) -> FieldRef {
        Arc::new(Field::new("item", DataType::Struct(self.node_fields()), false))
    }

    fn node_fields(self) -> Fields {
        let place = |name: &str| Field::new(name, DataType::UInt32, false);
        let sums = (0..self.n()).map(|n| Field::new(format!("sum{n}"), SUM, false));
        [place("parent"), place("name")].into_iter().chain(sums).collect()
    }
}

fn name_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Utf8, false))
}

/// What was added up so far.
pub(super) struct Sums {
    measures: Measures,
    max_nodes: usize,
    builder: StackTreeBuilder,
    paths: Paths,
    /// A sum for each measure of each node.
    sums: Vec<i128>,
    /// No rows at all give NULL, as they do for `sum`.
    n_rows: u64,
}

impl fmt::Debug for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sums").field("builder", &self.builder).finish_non_exhaustive()
    }
}

fn wrong(error: flamesql_profile::Error) -> DataFusionError {
    Error::from(error).into_datafusion()
}

fn damaged() -> DataFusionError {
    exec_datafusion_err!("the state of a flame graph is damaged")
}

impl Sums {
    pub(super) fn new(measures: Measures, max_nodes: usize) -> Self {
        let builder = StackTreeBuilder::new();
        let sums = vec![0; measures.n()];
        Self { measures, max_nodes, builder, paths: Paths::default(), sums, n_rows: 0 }
    }

    /// Adds rows, or takes them away: `sign` is 1 or -1. How many counted.
    fn add(&mut self, columns: &[ArrayRef], sign: i128) -> Result<u64> {
        let Self { measures, builder, paths, sums, .. } = self;
        let n = measures.n();
        let values: Vec<_> =
            columns[1..=n].iter().map(|column| column.as_primitive::<Int64Type>()).collect();
        let mut n_rows = 0;
        let counts = |row| values.iter().any(|value| value.is_valid(row));
        paths
            .each(builder, columns[0].as_list(), counts, |row, node, builder| {
                n_rows += 1;
                if sums.len() < n * builder.len() {
                    sums.resize(n * builder.len(), 0);
                }
                for (value, sum) in values.iter().zip(&mut sums[n * node.index()..]) {
                    if value.is_valid(row) {
                        *sum += sign * i128::from(value.value(row));
                    }
                }
            })
            .map_err(wrong)?;
        Ok(n_rows)
    }

    /// The sums of one measure, one a node of `tree`.
    fn narrow(&self, tree: &StackTree, measure: usize) -> Result<Vec<i64>> {
        let of_measure = self.sums.iter().skip(measure).step_by(self.measures.n());
        let narrow = |(node, sum): (NodeId, &i128)| {
            i64::try_from(*sum).map_err(|_| {
                let stack = tree.path(node).join(";");
                let what = format!(
                    "flame graph: {sum} in the stack {stack:?} does not fit in a signed 64-bit integer"
                );
                Error::new(ErrorKind::Query, what).with_hint("add up fewer rows").into_datafusion()
            })
        };
        tree.nodes().zip(of_measure).map(narrow).collect()
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.n_rows += self.add(values, 1)?;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.n_rows = self.n_rows.saturating_sub(self.add(values, -1)?);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let n = self.measures.n();
        let all = states[0].as_list::<i32>().iter().zip(states[1].as_list::<i32>().iter());
        for (names, state) in all.filter_map(|(names, state)| names.zip(state)) {
            let names: Vec<_> = names
                .as_string::<i32>()
                .iter()
                .map(|n| self.builder.intern(n.unwrap_or("")))
                .collect();
            let state = state.as_struct();
            let parent = state.column(0).as_primitive::<UInt32Type>().values();
            let name = state.column(1).as_primitive::<UInt32Type>().values();
            let mut nodes: Vec<NodeId> = Vec::with_capacity(state.len());
            for (parent, name) in parent.iter().zip(name) {
                nodes.push(if nodes.is_empty() {
                    NodeId::ROOT
                } else {
                    let parent = nodes.get(*parent as usize).ok_or_else(damaged)?;
                    let name = names.get(*name as usize).ok_or_else(damaged)?;
                    self.builder.child(*parent, *name).map_err(wrong)?
                });
            }
            self.sums.resize(n * self.builder.len(), 0);
            for measure in 0..n {
                let sums = state.column(2 + measure).as_primitive::<Decimal128Type>().values();
                for (node, sum) in nodes.iter().zip(sums) {
                    self.sums[n * node.index() + measure] += sum;
                }
            }
            self.n_rows += 1;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if self.n_rows == 0 {
            let null = |field: &FieldRef| ScalarValue::try_new_null(field.data_type());
            return self.measures.state("").iter().map(null).collect();
        }
        let tree = self.builder.snapshot();
        let place =
            |idx: usize| u32::try_from(idx).expect("nodes and names are counted in 32 bits");
        let parent = tree.nodes().map(|node| place(tree.parent(node).map_or(0, NodeId::index)));
        let name =
            tree.nodes().map(|node| place(tree.function(node).map_or(0, |name| name.index())));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(parent)),
            Arc::new(UInt32Array::from_iter_values(name)),
        ];
        for measure in 0..self.measures.n() {
            let sums = self.sums.iter().skip(measure).step_by(self.measures.n()).copied();
            columns.push(Arc::new(Decimal128Array::from_iter_values(sums).with_data_type(SUM)));
        }
        let n_bytes: usize = tree.names().iter().map(str::len).sum();
        if i32::try_from(n_bytes.max(tree.len())).is_err() {
            let error = "more than 2 GiB of names";
            return Err(wrong(flamesql_profile::Error::too_large("flame graph", error)));
        }
        let list = |item: FieldRef, array: ArrayRef| {
            let offsets = OffsetBuffer::from_lengths([array.len()]);
            ScalarValue::List(Arc::new(ListArray::new(item, offsets, array, None)))
        };
        let names = StringArray::from_iter_values(tree.names().iter());
        let nodes = StructArray::new(self.measures.node_fields(), columns, None);
        Ok(vec![
            list(name_item(), Arc::new(names)),
            list(self.measures.node_item(), Arc::new(nodes)),
        ])
    }

    /// The flame graph so far: over a window it is asked for again and again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.n_rows == 0 {
            return ScalarValue::try_new_null(&self.measures.result());
        }
        let shape = self.builder.snapshot();
        let first = self.narrow(&shape, 0)?;
        let list = match self.measures {
            Measures::One => rows(&shape.with_values(first), self.max_nodes),
            Measures::Two => {
                let second = self.narrow(&shape, 1)?;
                pair_rows(&TreePair::new(shape.with_values(first), second), self.max_nodes)
            }
        };
        Ok(ScalarValue::List(Arc::new(list.map_err(wrong)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.builder.len() * 64
            + self.paths.size()
            + self.sums.capacity() * size_of::<i128>()
    }
}
