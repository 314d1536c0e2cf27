//! What a value says to people: `format_value(value, unit)` and `rate(value, step)`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, StringBuilder},
    datatypes::{
        DataType, Field, FieldRef, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    },
};
use datafusion::{
    common::{Result, ScalarValue, internal_err},
    logical_expr::{
        ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
        Signature, Volatility,
    },
};
use flamesql_profile::{Unit, format_value, parse_duration};

use super::{
    arguments::{self, Compiled, Kind, Texts},
    docs,
};
use crate::{Error, ErrorKind};

/// `format_value(value, unit)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct FormatValue {
    signature: Signature,
}

/// `rate(value, step)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rate {
    signature: Signature,
}

impl FormatValue {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Rate {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FormatValue {
    fn name(&self) -> &str {
        "format_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let usage =
            "format_value(value, unit) takes a whole number and a text such as 'nanoseconds'";
        arguments::coerce(usage, &[Kind::Whole, Kind::Text], 2, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(arguments::field(self.name(), DataType::Utf8, &args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (values, units) = (arguments::whole(&args, 0)?, Texts::of(&args, 1)?);
        let mut compiled = Compiled::new();
        let mut texts = StringBuilder::new();
        for row in 0..values.len() {
            let text = match (values.is_valid(row), units.get(row)) {
                (true, Some(unit)) => {
                    let unit = *compiled.get(unit, |unit| Ok(Unit::parse(unit)))?;
                    Some(format_value(values.value(row), unit))
                }
                _ => None,
            };
            texts.append_option(text);
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish()) as ArrayRef))
    }
}

impl ScalarUDFImpl for Rate {
    fn name(&self) -> &str {
        "rate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let usage = "rate(value, step) takes a number and an interval, or a duration such as '15s'";
        arguments::coerce(usage, &[Kind::Number, Kind::Duration], 2, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.scalar_arguments.get(1).copied().flatten() {
            Some(ScalarValue::IntervalMonthDayNano(Some(step))) => {
                of_interval(*step).map_err(Error::into_datafusion)?;
            }
            Some(step) => {
                let text = step.try_as_str().flatten();
                text.map(of_text).transpose().map_err(Error::into_datafusion)?;
            }
            None => {}
        }
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (values, steps) = (arguments::array(&args, 0)?, arguments::array(&args, 1)?);
        let Some(values) = values.as_primitive_opt::<Float64Type>() else {
            return internal_err!("a number was expected, not {}", values.data_type());
        };
        let each: Result<Float64Array> =
            if let Some(steps) = steps.as_primitive_opt::<IntervalMonthDayNanoType>() {
                let rate = |(value, step): (Option<f64>, Option<_>)| match (value, step) {
                    (Some(value), Some(step)) => Ok(Some(value / of_interval(step)?)),
                    _ => Ok(None),
                };
                let rates: Result<_, Error> = values.iter().zip(steps.iter()).map(rate).collect();
                rates.map_err(Error::into_datafusion)
            } else {
                let steps = Texts::of(&args, 1)?;
                let mut compiled = Compiled::new();
                (0..values.len())
                    .map(|row| match (values.is_valid(row), steps.get(row)) {
                        (true, Some(step)) => {
                            Ok(Some(values.value(row) / *compiled.get(step, of_text)?))
                        }
                        _ => Ok(None),
                    })
                    .collect()
            };
        Ok(ColumnarValue::Array(Arc::new(each?) as ArrayRef))
    }
}

/// The seconds of a step.
fn of_interval(step: IntervalMonthDayNano) -> Result<f64, Error> {
    if step.months != 0 {
        let what = "rate: a step of months has no length in seconds";
        return Err(Error::new(ErrorKind::Query, what).with_hint("say it in days"));
    }
    seconds(f64::from(step.days) * 86_400.0 + step.nanoseconds as f64 / 1e9)
}

fn of_text(step: &str) -> Result<f64, Error> {
    seconds(parse_duration(step)? as f64 / 1e9)
}

fn seconds(step: f64) -> Result<f64, Error> {
    match step > 0.0 {
        true => Ok(step),
        false => Err(Error::new(
            ErrorKind::Query,
            format!("rate: a step of {step} seconds is not above zero"),
        )),
    }
}
