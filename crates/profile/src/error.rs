//! The one error of this crate: what kind, what was attempted, and where in the input it went wrong.

use std::{borrow::Cow, fmt};

/// What went wrong in reading, writing or adding up profiles.
///
/// `Display` is one line; [`Error::offset`] is the byte of the (inflated) input it speaks about.
///
/// ```
/// let error = flamesql_profile::ProfileType::parse("a:b:c:d").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"profile type "a:b:c:d": must be <name>:<sample type>:<sample unit>:<period type>:<period unit>, got 4 parts"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    what: Cow<'static, str>,
    detail: Cow<'static, str>,
    offset: Option<usize>,
    is_inflated: bool,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is not what it claims to be: cut off, damaged, or another format.
    Malformed,
    /// The input is larger than a named limit, so that a small hostile file cannot fill the memory.
    TooLarge,
    /// A sum does not fit in a signed 64-bit integer.
    Overflow,
    /// A text that a user wrote (a time, a duration, a profile type) does not parse.
    Syntax,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        what: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind, what: what.into(), detail: detail.into(), offset: None, is_inflated: false }
    }

    pub(crate) fn malformed(what: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Malformed, what, detail)
    }

    pub(crate) fn syntax(what: &'static str, input: &str, detail: impl fmt::Display) -> Self {
        let shown: String = input.chars().take(200).collect();
        Self::new(ErrorKind::Syntax, format!("{what} {shown:?}"), detail.to_string())
    }

    pub(crate) fn overflow(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Overflow, what, "the sum does not fit in a signed 64-bit integer")
    }

    /// Something larger than a limit of the caller's.
    pub fn too_large(what: &'static str, detail: &'static str) -> Self {
        Self::new(ErrorKind::TooLarge, what, detail)
    }

    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    /// The same error in input that was compressed: its offset is none of the file's.
    pub(crate) fn in_inflated(mut self, is_inflated: bool) -> Self {
        self.is_inflated |= is_inflated;
        self
    }

    /// The kind, to act on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The byte of the input where it went wrong; of the inflated input if that was compressed.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)?;
        match self.offset {
            Some(offset) if self.is_inflated => {
                write!(f, " (at byte {offset} of the inflated input)")
            }
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
