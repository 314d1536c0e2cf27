//! `labels_match(labels, '{pod=~"a.*"}')`: a label selector over the map of all labels.
//!
//! Over a table's own `labels` a scan takes it over, and the source is asked with the selector as it was written.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::{
        ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
        Signature, Volatility,
    },
};
use flamesql_selector::{Filter, Selector};

use super::{
    arguments::{self, Compiled, Kind, Texts},
    docs,
};
use crate::{Error, ErrorKind};

/// Its name in SQL.
pub(crate) const NAME: &str = "labels_match";

/// A missing label counts as the empty value, as in Prometheus.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LabelsMatch {
    signature: Signature,
}

impl LabelsMatch {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The selector, if an expression is a call of this over a table's own labels with a literal.
    pub(crate) fn of(expr: &Expr) -> Option<Selector> {
        let Expr::ScalarFunction(call) = expr else { return None };
        call.func.inner().downcast_ref::<Self>()?;
        let [Expr::Column(column), Expr::Literal(text, _)] = call.args.as_slice() else {
            return None;
        };
        let selector = Selector::parse_or_all(text.try_as_str()??).ok()?;
        (column.name == "labels").then_some(selector)
    }
}

impl ScalarUDFImpl for LabelsMatch {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let usage = "labels_match(labels, selector) takes a map of text and a text";
        arguments::coerce(usage, &[Kind::Labels, Kind::Text], 2, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(text) = arguments::known_text(&args, 1) {
            filter(text).map_err(Error::into_datafusion)?;
        }
        Ok(arguments::field(self.name(), DataType::Boolean, &args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (maps, selectors) = (arguments::array(&args, 0)?, Texts::of(&args, 1)?);
        let Some(maps) = maps.as_map_opt() else {
            return internal_err!("labels are a map, not {}", maps.data_type());
        };
        let texts = |array: &ArrayRef| array.as_string_opt::<i32>().cloned();
        let (Some(keys), Some(values)) = (texts(maps.keys()), texts(maps.values())) else {
            return internal_err!("labels are a map of text, not {}", maps.data_type());
        };
        let offsets = maps.value_offsets();
        let mut compiled = Compiled::new();
        let matches: Result<BooleanArray> = (0..maps.len())
            .map(|row| {
                let Some(text) = selectors.get(row).filter(|_| maps.is_valid(row)) else {
                    return Ok(None);
                };
                // Offsets are not negative.
                let at = |idx: usize| usize::try_from(offsets[idx]).unwrap_or(0);
                let value = |name: &str| {
                    let entry = (at(row)..at(row + 1)).find(|entry| keys.value(*entry) == name)?;
                    values.is_valid(entry).then(|| values.value(entry))
                };
                Ok(Some(compiled.get(text, filter)?.matches(value)))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(matches?) as ArrayRef))
    }
}

fn filter(text: &str) -> Result<Filter, Error> {
    let filter = Selector::parse_or_all(text).and_then(|selector| Filter::new(&selector));
    filter.map_err(|error| {
        let what = format!("labels_match: cannot read the selector {text:?}: {}", error.message());
        let what = Error::new(ErrorKind::Syntax, what);
        what.with_hint(r#"a selector is such as {service_name="checkout",pod=~"a.*"}"#)
    })
}
