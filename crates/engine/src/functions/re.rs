//! Regexes of function names: RE2, as pprof's and the servers' are, and as theirs found anywhere in a name.

use std::sync::{Arc, OnceLock};

use flamesql_selector::{excerpt, re2};
use regex::{Regex, RegexBuilder};

use crate::{Error, ErrorKind};

/// As much memory as a compiled regex may take.
const MAX_BYTES: usize = 64 << 20;

/// Whether a regex is one, at a fraction of the cost of compiling it.
///
/// # Errors
///
/// If RE2 does not read it.
pub(crate) fn check(regex: &str) -> Result<(), Error> {
    re2::translate(regex).map(drop).map_err(|error| refused(&error))
}

/// The compiled regex.
///
/// # Errors
///
/// If RE2 does not read it, or it comes to more than 64 MiB.
pub(crate) fn compile(regex: &str) -> Result<Regex, Error> {
    let translated = re2::translate(regex).map_err(|error| refused(&error))?;
    RegexBuilder::new(&translated).size_limit(MAX_BYTES).build().map_err(|_| {
        Error::new(ErrorKind::Query, format!("regex {regex:?}: larger than 64 MiB when compiled"))
    })
}

/// A regex that is compiled when it is first used, once for all clones. A planner reads a filter several times.
#[derive(Clone, Debug)]
pub(crate) struct Lazy {
    text: String,
    compiled: Arc<OnceLock<Result<Regex, Error>>>,
}

impl Lazy {
    /// A regex that is one.
    ///
    /// # Errors
    ///
    /// If RE2 does not read it.
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        check(text)?;
        Ok(Self { text: text.to_owned(), compiled: Arc::default() })
    }

    /// The compiled regex.
    ///
    /// # Errors
    ///
    /// If it comes to more than 64 MiB.
    pub(crate) fn get(&self) -> Result<&Regex, Error> {
        self.compiled.get_or_init(|| compile(&self.text)).as_ref().map_err(Clone::clone)
    }
}

fn refused(error: &flamesql_selector::Error) -> Error {
    let refused = Error::new(ErrorKind::Syntax, error.to_string())
        .with_excerpt(excerpt(error.input(), error.span()));
    match error.hint() {
        Some(hint) => refused.with_hint(hint),
        None => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_was_compiled() {
        let regex = Lazy::new("^gc|parse$").unwrap();
        let clone = regex.clone();
        assert!(clone.compiled.get().is_none());
        assert!(regex.get().unwrap().is_match("gc mark"));
        assert!(std::ptr::eq(regex.get().unwrap(), clone.get().unwrap()));
        assert!(Lazy::new("a(").is_err());
    }
}
