//! `sum` that does not wrap: DataFusion's own goes round at 2^63 in silence.
//!
//! Sums of Int64 are formed in 128 bits, so that parts may leave the range and come back; only the end counts. All
//! other types are left to DataFusion.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Builder, Int64Builder},
    datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, ScalarValue},
    functions_aggregate::sum::Sum,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
        Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};

use crate::{Error, ErrorKind};

/// As many digits as 128 bits always hold. Sums of fewer than 2^62 values of 64 bits have no more.
const STATE: DataType = DataType::Decimal128(38, 0);

/// DataFusion's `sum`, but for Int64.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CheckedSum {
    inner: Sum,
}

fn is_ours(result: &DataType, is_distinct: bool) -> bool {
    *result == DataType::Int64 && !is_distinct
}

fn checked(sum: i128) -> Result<i64> {
    i64::try_from(sum).map_err(|_| {
        Error::new(ErrorKind::Query, format!("sum: {sum} does not fit in a signed 64-bit integer"))
            .with_hint("sum fewer rows, or sum(CAST(value AS DOUBLE)) where 15 digits are enough")
            .into_datafusion()
    })
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match (args.return_field.data_type(), args.is_distinct) {
            (DataType::Int64, false) => Ok(Box::new(One::default())),
            (DataType::Int64, true) => Ok(Box::new(Distinct::default())),
            _ => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match is_ours(args.return_field.data_type(), args.is_distinct) {
            true => Ok(Box::new(One::default())),
            false => self.inner.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match is_ours(args.return_field.data_type(), args.is_distinct) {
            true => {
                Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), STATE, true))])
            }
            false => self.inner.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match is_ours(args.return_field.data_type(), args.is_distinct) {
            true => Ok(Box::new(Groups::default())),
            false => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// One sum; NULL until there is a value.
#[derive(Debug, Default)]
struct One {
    sum: i128,
    n_values: usize,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Int64Type>().iter().flatten() {
            self.sum += i128::from(value);
            self.n_values += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Int64Type>().iter().flatten() {
            self.sum -= i128::from(value);
            self.n_values -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for sum in states[0].as_primitive::<Decimal128Type>().iter().flatten() {
            self.sum += sum;
            self.n_values += 1;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = (self.n_values > 0).then_some(self.sum);
        Ok(vec![ScalarValue::Decimal128(sum, 38, 0)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.n_values > 0).then(|| checked(self.sum)).transpose()?;
        Ok(ScalarValue::Int64(sum))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of different values. Its state is DataFusion's: a list of them.
#[derive(Debug, Default)]
struct Distinct {
    values: HashSet<i64>,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values[0].as_primitive::<Int64Type>().iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0]
            .as_list::<i32>()
            .iter()
            .flatten()
            .try_for_each(|values| self.update_batch(&[values]))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.values.iter().copied().map(ScalarValue::from).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum: i128 = self.values.iter().map(|value| i128::from(*value)).sum();
        let sum = (!self.values.is_empty()).then(|| checked(sum)).transpose()?;
        Ok(ScalarValue::Int64(sum))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<i64>()
    }
}

/// A sum for each group; `None` until there is a value.
#[derive(Debug, Default)]
struct Groups {
    sums: Vec<Option<i128>>,
}

impl Groups {
    fn add(
        &mut self,
        values: impl Iterator<Item = Option<i128>>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        n_groups: usize,
    ) {
        self.sums.resize(n_groups, None);
        for (row, (value, group)) in values.zip(groups).enumerate() {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(value), true) = (value, passes) {
                *self.sums[*group].get_or_insert(0) += value;
            }
        }
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = values[0].as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from));
        self.add(values, group_indices, opt_filter, total_num_groups);
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        let values = values[0].as_primitive::<Decimal128Type>().iter();
        self.add(values, group_indices, None, total_num_groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let mut values = Int64Builder::with_capacity(sums.len());
        for sum in sums {
            values.append_option(sum.map(checked).transpose()?);
        }
        Ok(Arc::new(values.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut sums = Decimal128Builder::new().with_data_type(STATE);
        for sum in emit_to.take_needed(&mut self.sums) {
            sums.append_option(sum);
        }
        Ok(vec![Arc::new(sums.finish())])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut groups = Self::default();
        let each: Vec<usize> = (0..values[0].len()).collect();
        groups.update_batch(values, &each, opt_filter, each.len())?;
        groups.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<i128>>()
    }
}
