//! `flamegraph(stack, value)`: a whole flame graph as one value.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, FieldRef, Fields, Int64Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_datafusion_err, exec_err},
    error::DataFusionError,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
};
use flamesql_profile::{NameId, NodeId, StackTree, StackTreeBuilder};

use crate::Error;

/// The name in SQL, and in the law.
pub(crate) const NAME: &str = "flamegraph";
/// The name in SQL, and in the law, of the one that holds two measures against each other.
pub(crate) const DIFF: &str = "flamegraph_diff";
/// The label of the root, as in Grafana's flame graphs.
const ROOT: &str = "total";

/// Rows in pre-order: level, value, self, label; siblings in the order of their names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flamegraph {
    signature: Signature,
}

impl Flamegraph {
    pub(crate) fn new() -> Self {
        // The name and nullability of a list's items are part of its type, and of no interest here.
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn row_fields() -> Fields {
    Fields::from(vec![
        Field::new("level", DataType::Int64, false),
        Field::new("value", DataType::Int64, false),
        Field::new("self", DataType::Int64, false),
        Field::new("label", DataType::Utf8, false),
    ])
}

fn row_field() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(row_fields()), false))
}

impl AggregateUDFImpl for Flamegraph {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [stack @ DataType::List(item), value]
                if *item.data_type() == DataType::Utf8 && value.is_integer() =>
            {
                Ok(vec![stack.clone(), DataType::Int64])
            }
            _ => exec_err!(
                "flamegraph(stack, value) takes a list of text, root first, and a whole number"
            ),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(row_field()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[rows]", args.name),
            DataType::List(row_field()),
            true,
        ))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Tree { builder: StackTreeBuilder::new(), is_empty: true, path: Vec::new() }))
    }
}

struct Tree {
    builder: StackTreeBuilder,
    /// No rows at all give NULL, as they do for `sum`.
    is_empty: bool,
    path: Vec<NameId>,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("builder", &self.builder).finish_non_exhaustive()
    }
}

fn wrong(error: flamesql_profile::Error) -> DataFusionError {
    Error::from(error).into_datafusion()
}

impl Tree {
    /// The flame graph so far: over a window it is asked for again and again.
    fn so_far(&self) -> Result<ScalarValue> {
        if self.is_empty {
            return ScalarValue::try_new_null(&DataType::List(row_field()));
        }
        Ok(ScalarValue::List(Arc::new(rows(&self.builder.snapshot()).map_err(wrong)?)))
    }
}

/// One list of rows.
fn rows(tree: &StackTree) -> Result<ListArray, flamesql_profile::Error> {
    let (mut level, mut value, mut own, mut label) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    tree.walk(|visit| {
        level.push(i64::try_from(visit.depth).expect("a depth fits"));
        value.push(visit.total);
        own.push(visit.self_value);
        label.push(tree.function(visit.node).map_or(ROOT, |name| tree.names().get(name)));
    })?;
    let n_bytes: usize = label.iter().map(|label| label.len()).sum();
    if i32::try_from(n_bytes).is_err() {
        return Err(flamesql_profile::Error::too_large("flame graph", "more than 2 GiB of names"));
    }
    let n_rows = level.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(level)),
        Arc::new(Int64Array::from(value)),
        Arc::new(Int64Array::from(own)),
        Arc::new(StringArray::from(label)),
    ];
    let rows = StructArray::new(row_fields(), columns, None);
    Ok(ListArray::new(row_field(), OffsetBuffer::from_lengths([n_rows]), Arc::new(rows), None))
}

impl Accumulator for Tree {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let stacks = values[0].as_list::<i32>();
        let names = stacks.values().as_string::<i32>();
        let values = values[1].as_primitive::<Int64Type>();
        for row in 0..stacks.len() {
            if values.is_null(row) || stacks.is_null(row) {
                continue;
            }
            self.is_empty = false;
            self.path.clear();
            let offsets = stacks.value_offsets();
            for at in usize::try_from(offsets[row]).unwrap_or(0)
                ..usize::try_from(offsets[row + 1]).unwrap_or(0)
            {
                self.path.push(self.builder.intern(names.value(at)));
            }
            let node = self.builder.insert(&self.path).map_err(wrong)?;
            self.builder.add(node, values.value(row)).map_err(wrong)?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for list in lists.iter().flatten() {
            self.is_empty = false;
            let rows = list.as_struct();
            let (level, own) = (
                rows.column(0).as_primitive::<Int64Type>(),
                rows.column(2).as_primitive::<Int64Type>(),
            );
            let label = rows.column(3).as_string::<i32>();
            let mut path: Vec<NodeId> = Vec::new();
            for row in 0..rows.len() {
                let depth = usize::try_from(level.value(row)).unwrap_or(usize::MAX);
                if depth > path.len() {
                    return Err(exec_datafusion_err!(
                        "the rows of a flame graph are not in pre-order"
                    ));
                }
                path.truncate(depth);
                let node = match path.last() {
                    None => NodeId::ROOT,
                    Some(parent) => {
                        let name = self.builder.intern(label.value(row));
                        self.builder.child(*parent, name).map_err(wrong)?
                    }
                };
                self.builder.add(node, own.value(row)).map_err(wrong)?;
                path.push(node);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.so_far()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.so_far()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.builder.len() * 64
    }
}
