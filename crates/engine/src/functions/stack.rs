//! What a stack holds: `stack_contains`, `stack_depth`, `stack_slice`, `stack_text`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int64Array, ListBuilder, StringBuilder},
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
    arguments::{self, Kind, Stacks, Texts},
    docs,
};
use crate::{Error, ErrorKind, schema};

/// A function of one stack that reads it and knows nothing of patterns.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct StackFunction {
    what: What,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Contains,
    Depth,
    Slice,
    Text,
}

impl StackFunction {
    pub(crate) fn new(what: What) -> Self {
        Self { what, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(crate) fn what(&self) -> What {
        self.what
    }
}

impl What {
    pub(super) const ALL: [Self; 4] = [Self::Contains, Self::Depth, Self::Slice, Self::Text];
}

impl ScalarUDFImpl for StackFunction {
    fn name(&self) -> &str {
        match self.what {
            What::Contains => "stack_contains",
            What::Depth => "stack_depth",
            What::Slice => "stack_slice",
            What::Text => "stack_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (usage, kinds, n_least): (_, &[Kind], _) = match self.what {
            What::Contains => (
                "stack_contains(stack, function) takes a list of text and a text",
                &[Kind::Stack, Kind::Text],
                2,
            ),
            What::Depth => ("stack_depth(stack) takes a list of text", &[Kind::Stack], 1),
            What::Slice => (
                "stack_slice(stack, from, to) takes a list of text and two whole numbers",
                &[Kind::Stack, Kind::Whole, Kind::Whole],
                3,
            ),
            What::Text => (
                "stack_text(stack [, separator]) takes a list of text, and perhaps a text",
                &[Kind::Stack, Kind::Text],
                1,
            ),
        };
        arguments::coerce(usage, kinds, n_least, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.what {
            What::Contains => DataType::Boolean,
            What::Depth => DataType::Int64,
            What::Slice => schema::stack_type(),
            What::Text => DataType::Utf8,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(arguments::field(self.name(), self.return_type(&[])?, &args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let stacks = Stacks::of(&args, 0)?;
        let array: ArrayRef = match self.what {
            What::Contains => Arc::new(contains(&stacks, &Texts::of(&args, 1)?)),
            What::Depth => Arc::new(depth(&stacks)),
            What::Slice => {
                slice(&stacks, &arguments::whole(&args, 1)?, &arguments::whole(&args, 2)?)
            }
            What::Text if args.args.len() > 1 => text(&stacks, &Texts::of(&args, 1)?)?,
            What::Text => text(&stacks, &Texts::One(Some(";".to_owned())))?,
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn contains(stacks: &Stacks, wanted: &Texts) -> BooleanArray {
    (0..stacks.len())
        .map(|row| {
            let (mut stack, wanted) = (stacks.get(row)?, wanted.get(row)?);
            Some(stack.any(|name| name == wanted))
        })
        .collect()
}

fn depth(stacks: &Stacks) -> Int64Array {
    (0..stacks.len()).map(|row| i64::try_from(stacks.depth(row)?).ok()).collect()
}

fn slice(stacks: &Stacks, from: &Int64Array, to: &Int64Array) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(schema::stack_item());
    for row in 0..stacks.len() {
        let range =
            (from.is_valid(row) && to.is_valid(row)).then(|| (from.value(row), to.value(row)));
        if let (Some(stack), Some(depth), Some((from, to))) =
            (stacks.get(row), stacks.depth(row), range)
        {
            let (first, end) = places(from, to, depth);
            for name in stack.skip(first).take(end.saturating_sub(first)) {
                lists.values().append_value(name);
            }
            lists.append(true);
        } else {
            lists.append(false);
        }
    }
    Arc::new(lists.finish())
}

/// The first place, from 0, and the one after the last; the latter may be the smaller.
fn places(from: i64, to: i64, depth: usize) -> (usize, usize) {
    let depth = i64::try_from(depth).unwrap_or(i64::MAX);
    let from_root = |place: i64| if place < 0 { place.saturating_add(depth + 1) } else { place };
    let first = from_root(from).clamp(1, depth + 1) - 1;
    let end = from_root(to).clamp(0, depth);
    (usize::try_from(first).unwrap_or(0), usize::try_from(end).unwrap_or(0))
}

fn text(stacks: &Stacks, separators: &Texts) -> Result<ArrayRef> {
    let mut texts = StringBuilder::new();
    let mut len = 0_usize;
    for row in 0..stacks.len() {
        let (Some(stack), Some(separator)) = (stacks.get(row), separators.get(row)) else {
            texts.append_null();
            continue;
        };
        let n_between = stacks.depth(row).unwrap_or(0).saturating_sub(1);
        let names: usize = stack.clone().map(str::len).sum();
        len = len.saturating_add(names).saturating_add(n_between.saturating_mul(separator.len()));
        // An Arrow array of text ends there.
        if i32::try_from(len).is_err() {
            let what = "stack_text: more than 2 GiB of text in one batch";
            return Err(Error::new(ErrorKind::Query, what)
                .with_hint("take a shorter separator, or parts of the stack with stack_slice")
                .into_datafusion());
        }
        let mut all = String::with_capacity(names + n_between * separator.len());
        for (idx, name) in stack.enumerate() {
            if idx > 0 {
                all.push_str(separator);
            }
            all.push_str(name);
        }
        texts.append_value(all);
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_either_end() {
        let names = ["a", "b", "c", "d"];
        for (from, to, expected) in [
            (1, 2, "ab"),
            (2, -1, "bcd"),
            (-2, -1, "cd"),
            (-9, 2, "ab"),
            (0, 1, "a"),
            (3, 9, "cd"),
            (3, 2, ""),
            (1, 0, ""),
            (1, -9, ""),
            (5, 9, ""),
            (i64::MIN, i64::MAX, "abcd"),
            (i64::MAX, i64::MIN, ""),
        ] {
            let (first, end) = places(from, to, names.len());
            let taken: String =
                names.iter().skip(first).take(end.saturating_sub(first)).copied().collect();
            assert_eq!(taken, expected, "{from} to {to}");
        }
        assert_eq!(places(1, -1, 0), (0, 0));
    }
}
