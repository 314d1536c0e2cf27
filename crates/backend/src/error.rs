//! The one error of this crate, and what is worth saying though it is none.

use std::{error::Error as StdError, fmt, sync::Arc};

/// Why a source could not answer.
///
/// `Display` is one line that names what was attempted; the cause is in [`std::error::Error::source`], and
/// [`Error::hint`] says what to do next, where that is known.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The source itself is not there: a path that does not exist, a folder without profiles.
    NotFound,
    /// A part of the source could not be read or is damaged.
    Unreadable,
    /// The question cannot be asked: a selector whose regex does not compile, a profile type of another kind.
    InvalidQuery,
    /// This kind of source has no answer to such a question.
    Unsupported,
    /// What says how to reach the source makes no sense: an address that is none, a certificate that does not parse.
    InvalidOptions,
    /// The source does not answer for now: no connection, no answer in time, or a fault of the server's own. Asked
    /// later, it may.
    Unavailable,
    /// The source does not let this user in, or not see what is asked for.
    Unauthorized,
    /// A sum does not fit in a signed 64-bit integer.
    Overflow,
    /// The source changed while it was read.
    Changed,
    /// A fault of this program.
    Internal,
}

impl Error {
    /// An error that says what was attempted and why it failed.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None, source: None }
    }

    /// The same error as one of another kind.
    #[cfg(feature = "legacy")]
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same error with what to do next, in one line.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The kind, to act on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether it speaks of a part of the source alone, so that the other parts may still be answered.
    pub(crate) fn is_partial(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreadable | ErrorKind::Unavailable)
    }

    /// An error in adding up profiles, told by its own words.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err as it stands")]
    pub(crate) fn sum(error: flamesql_profile::Error) -> Self {
        let kind = match error.kind() {
            flamesql_profile::ErrorKind::Overflow => ErrorKind::Overflow,
            _ => ErrorKind::Unreadable,
        };
        Self::new(kind, error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Something that was skipped or repaired while the source was read; an error where the caller is strict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about, such as a file's path.
    pub subject: String,
    /// What happened to it.
    pub reason: String,
    /// Whether data is missing from answers because of it.
    pub is_missing: bool,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_missing { "skipped " } else { "" };
        write!(f, "{verb}{}: {}", self.subject, self.reason)
    }
}
