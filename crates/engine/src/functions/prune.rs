//! `stack_focus`, `stack_ignore`, `stack_hide` and `stack_show_from`: pprof's options of these names, for each stack.
//!
//! A stack that pprof takes out of the profile is NULL, so it counts in no `flamegraph`, and `IS NOT NULL` is the
//! condition to leave its row out. As in pprof a stack without functions is never kept. Unlike pprof only the names of
//! functions are looked at, and not the names of source and program files, which a stack here does not have.

use std::sync::Arc;

use arrow::{
    array::{ListArray, ListBuilder, StringBuilder},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
        Signature, Volatility,
    },
};

use super::{
    arguments::{self, Compiled, Kind, Names, Stacks, Texts},
    docs, re,
};
use crate::{Error, schema};

/// One of the four.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prune {
    how: How,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    Focus,
    Ignore,
    Hide,
    ShowFrom,
}

impl How {
    pub(super) const ALL: [Self; 4] = [Self::Focus, Self::Ignore, Self::Hide, Self::ShowFrom];
}

impl Prune {
    pub(super) fn new(how: How) -> Self {
        Self { how, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(crate) fn how(&self) -> How {
        self.how
    }
}

impl ScalarUDFImpl for Prune {
    fn name(&self) -> &str {
        match self.how {
            How::Focus => "stack_focus",
            How::Ignore => "stack_ignore",
            How::Hide => "stack_hide",
            How::ShowFrom => "stack_show_from",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let usage = format!("{}(stack, regex) takes a list of text and a text", self.name());
        arguments::coerce(&usage, &[Kind::Stack, Kind::Text], 2, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(schema::stack_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(text) = arguments::known_text(&args, 1) {
            re::check(text).map_err(Error::into_datafusion)?;
        }
        Ok(Arc::new(Field::new(self.name(), schema::stack_type(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (stacks, texts) = (Stacks::of(&args, 0)?, Texts::of(&args, 1)?);
        let array = match self.how {
            How::Focus | How::Ignore => {
                let keep = kept(&stacks, &texts, self.how == How::Focus)?;
                stacks.only(keep)?
            }
            How::Hide | How::ShowFrom => {
                Arc::new(shortened(&stacks, &texts, self.how == How::Hide)?)
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn compile<'a>(text: &str) -> Result<Names<'a>, Error> {
    re::compile(text).map(Names::new)
}

/// The stacks in which some function matches, or those in which none does.
fn kept(stacks: &Stacks, texts: &Texts, is_match: bool) -> Result<Vec<bool>> {
    let mut compiled = Compiled::new();
    (0..stacks.len())
        .map(|row| {
            let (Some(mut stack), Some(text)) = (stacks.get(row), texts.get(row)) else {
                return Ok(false);
            };
            let names = compiled.get(text, compile)?;
            Ok(stack.len() > 0 && stack.any(|name| names.is_match(name)) == is_match)
        })
        .collect()
}

/// The stacks without the functions that match, or from the first that matches.
fn shortened(stacks: &Stacks, texts: &Texts, hide: bool) -> Result<ListArray> {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(schema::stack_item());
    let mut compiled = Compiled::new();
    for row in 0..stacks.len() {
        let (Some(stack), Some(text)) = (stacks.get(row), texts.get(row)) else {
            lists.append(false);
            continue;
        };
        let names: &mut Names<'_> = compiled.get(text, compile)?;
        let mut is_any = false;
        for name in stack {
            // From the first match on all functions are kept, and no more need be known.
            if (!hide && is_any) || names.is_match(name) != hide {
                lists.values().append_value(name);
                is_any = true;
            }
        }
        lists.append(is_any);
    }
    Ok(lists.finish())
}
