//! `stack_matches(stack, 'main;**;gc*')`: a path pattern over the whole stack.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray},
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
        Signature, Volatility,
    },
};

use super::{
    arguments::{self, Compiled, Kind, Stacks, Texts},
    docs,
    pattern::Pattern,
};
use crate::Error;

/// Module `pattern` says what patterns are.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct StackMatches {
    signature: Signature,
}

impl StackMatches {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for StackMatches {
    fn name(&self) -> &str {
        "stack_matches"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let usage = "stack_matches(stack, pattern) takes a list of text and a text";
        arguments::coerce(usage, &[Kind::Stack, Kind::Text], 2, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(pattern) = arguments::known_text(&args, 1) {
            Pattern::parse(pattern).map_err(Error::into_datafusion)?;
        }
        Ok(arguments::field(self.name(), DataType::Boolean, &args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (stacks, patterns) = (Stacks::of(&args, 0)?, Texts::of(&args, 1)?);
        let mut compiled = Compiled::new();
        let matches: Result<BooleanArray> = (0..stacks.len())
            .map(|row| {
                let (Some(stack), Some(pattern)) = (stacks.get(row), patterns.get(row)) else {
                    return Ok(None);
                };
                Ok(Some(compiled.get(pattern, Pattern::parse)?.is_match(stack)))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(matches?) as ArrayRef))
    }
}
