//! `flamegraph(stack, value)` and `flamegraph_diff(stack, baseline, comparison)`: whole flame graphs as values.
//!
//! Both add up the stacks of their rows and give one list of rows in pre-order, siblings in the order of their names.
//! A last argument `max_nodes` cuts away what is too small to be seen; what is cut away is in rows called `other`.

mod paths;
mod rows;
mod sums;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::{
    common::{Result, ScalarValue, exec_err},
    logical_expr::{
        Accumulator, AggregateUDFImpl, Documentation, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    physical_expr::expressions::Literal,
};

pub(crate) use self::rows::{pair_rows, rows};
use self::sums::{Measures, Sums};
use crate::{Error, ErrorKind, functions::docs, schema};

/// The name in SQL, and in the law.
pub(crate) const NAME: &str = "flamegraph";
/// The name in SQL, and in the law.
pub(crate) const DIFF_NAME: &str = "flamegraph_diff";

/// One of the two aggregates.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flamegraph {
    measures: Measures,
    signature: Signature,
}

impl Flamegraph {
    /// `flamegraph(stack, value [, max_nodes])`: level, value, self, label.
    pub(crate) fn one() -> Self {
        Self::of(Measures::One)
    }

    /// `flamegraph_diff(stack, baseline, comparison [, max_nodes])`: level, baseline, baseline_self, comparison,
    /// comparison_self, label.
    pub(crate) fn diff() -> Self {
        Self::of(Measures::Two)
    }

    fn of(measures: Measures) -> Self {
        // The name and nullability of a list's items are part of its type, and of no interest here.
        Self { measures, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn usage(&self) -> &'static str {
        match self.measures {
            Measures::One => {
                "flamegraph(stack, value [, max_nodes]) takes a list of text, root first, and a whole number"
            }
            Measures::Two => {
                "flamegraph_diff(stack, baseline, comparison [, max_nodes]) takes a list of text, root first, and two \
                 whole numbers"
            }
        }
    }
}

/// A list of text in the form that is read here, if it is a list of text.
fn stack_type(given: &DataType) -> Option<DataType> {
    match given {
        DataType::List(item) if *item.data_type() == DataType::Utf8 => Some(given.clone()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
            if item.data_type().is_string() || item.data_type().is_null() =>
        {
            Some(DataType::new_list(DataType::Utf8, true))
        }
        DataType::Null => Some(schema::stack_type()),
        _ => None,
    }
}

impl AggregateUDFImpl for Flamegraph {
    fn name(&self) -> &str {
        match self.measures {
            Measures::One => NAME,
            Measures::Two => DIFF_NAME,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let n = self.measures.n();
        let (Some(stack), numbers) = (types.first().and_then(stack_type), types.get(1..)) else {
            return exec_err!("{}", self.usage());
        };
        let numbers = numbers.unwrap_or_default();
        let is_number = |number: &DataType| number.is_integer() || number.is_null();
        if !(numbers.len() == n || numbers.len() == n + 1) || !numbers.iter().all(is_number) {
            return exec_err!("{}", self.usage());
        }
        Ok([vec![stack], vec![DataType::Int64; numbers.len()]].concat())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.measures.result())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(self.measures.state(args.name))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let max_nodes = match args.exprs.get(1 + self.measures.n()) {
            None => 0,
            Some(expr) => match expr.downcast_ref::<Literal>().map(Literal::value) {
                Some(ScalarValue::Int64(None)) => 0,
                Some(ScalarValue::Int64(Some(n))) if *n >= 0 => {
                    usize::try_from(*n).unwrap_or(usize::MAX)
                }
                _ => {
                    let what = format!(
                        "{}: max_nodes must be a whole number that stands in the statement, 0 or more, not {expr}",
                        self.name()
                    );
                    return Err(Error::new(ErrorKind::Query, what)
                        .with_hint("0 keeps all nodes")
                        .into_datafusion());
                }
            },
        };
        Ok(Box::new(Sums::new(self.measures, max_nodes)))
    }
}
