//! The one error of this crate: whose fault it is, what was attempted, what to do next.

use std::{error::Error as StdError, fmt, sync::Arc};

use datafusion::{common::SchemaError, error::DataFusionError};

use crate::nearest::nearest;

/// Why a statement has no answer.
///
/// `Display` is one line; [`Error::hint`] says what to do next, where that is known, and [`Error::excerpt`] shows the
/// place in a text that was refused.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    excerpt: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The statement does not parse, or names a table, column or function that is not there.
    Syntax,
    /// The statement cannot be answered as it stands: no profile type, a sum over different units.
    Query,
    /// The source could not answer.
    Backend,
    /// The answer could not be written.
    Output,
    /// Something was skipped or is missing, and the session is strict.
    Partial,
    /// A fault of this program.
    Internal,
}

impl Error {
    /// An error that says what was attempted and why it failed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, excerpt: None, source: None }
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with lines that show the place in the text that was refused.
    #[must_use]
    pub(crate) fn with_excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
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

    /// Where it is a regex or a pattern that does not compile: its line, and below it carets under the place. Every line
    /// ends with a newline.
    pub fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    /// As DataFusion carries it through a plan.
    pub(crate) fn into_datafusion(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<flamesql_backend::Error> for Error {
    fn from(error: flamesql_backend::Error) -> Self {
        let kind = match error.kind() {
            flamesql_backend::ErrorKind::InvalidQuery => ErrorKind::Query,
            flamesql_backend::ErrorKind::Internal => ErrorKind::Internal,
            _ => ErrorKind::Backend,
        };
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(kind, error.to_string()).with_source(error) }
    }
}

impl From<flamesql_profile::Error> for Error {
    fn from(error: flamesql_profile::Error) -> Self {
        Self::new(ErrorKind::Query, error.to_string()).with_source(error)
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some(ours) = ours(&error) {
            return ours.clone();
        }
        let root = error.find_root();
        let kind = match root {
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..) => ErrorKind::Syntax,
            DataFusionError::Internal(_) => ErrorKind::Internal,
            _ => ErrorKind::Query,
        };
        // What DataFusion puts in front ("Error during planning: ") says who speaks, which no user asks for.
        let message = match root {
            DataFusionError::SQL(error, _) => error.to_string(),
            DataFusionError::Plan(text)
            | DataFusionError::Execution(text)
            | DataFusionError::NotImplemented(text) => text.clone(),
            DataFusionError::SchemaError(error, _) => error.to_string(),
            other => other.to_string(),
        };
        if let Some(ours) = of_regex(&message) {
            return ours;
        }
        // A function says how it is called; around that DataFusion lists types which nobody can write.
        if let Some((_, told)) = message.split_once("user-defined coercion failed with: ") {
            let usage = told.split(". No function matches").next().unwrap_or(told);
            let usage = usage.strip_prefix("External error: ").unwrap_or(usage);
            let usage = usage.strip_prefix("Execution error: ").unwrap_or(usage);
            return Self::new(ErrorKind::Syntax, usage);
        }
        let mut ours = Self::new(kind, message.trim_end().to_owned());
        if let DataFusionError::SchemaError(schema, _) = root
            && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
        {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name()).collect();
            // The fields are told in the hint, and need not stand in the message as well.
            if let Some((first, _)) = ours.message.split_once("\nValid fields are") {
                ours.message = first.to_owned();
            }
            let all = match names.as_slice() {
                [] => "there are no columns here".to_owned(),
                names => format!("columns here: {}", names.join(", ")),
            };
            ours = match nearest(field.name(), names.iter().copied()) {
                Some(meant) => ours.with_hint(format!("did you mean {meant}? {all}")),
                None => ours.with_hint(all),
            };
        } else if ours.message.starts_with("table '") && ours.message.ends_with("not found") {
            ours = ours.with_hint("SHOW TABLES lists those that there are");
        }
        ours
    }
}

/// The error of a regex that DataFusion compiles by itself, as those of our own functions are told. It comes as text: the
/// regex and carets below it, and behind that what is wrong.
fn of_regex(message: &str) -> Option<Error> {
    if let Some((_, told)) = message.split_once("CompiledTooBig(") {
        let limit = told.split(')').next().unwrap_or_default();
        let what = format!("a regex comes to more than the limit of {limit} bytes");
        return Some(
            Error::new(ErrorKind::Syntax, what)
                .with_hint("repeat less: (a{1000}){1000} is a million times a"),
        );
    }
    let (_, told) = message.split_once("regex parse error:\n")?;
    let mut lines = told.lines();
    let (regex, carets, what) = (lines.next()?, lines.next()?, lines.next()?);
    let (regex, what) = (regex.strip_prefix("    ")?, what.strip_prefix("error: ")?);
    // A regex of several lines is told in another way.
    let carets = carets.strip_prefix("    ").filter(|carets| carets.trim().starts_with('^'))?;
    let n_before = carets.chars().take_while(|c| *c == ' ').count();
    let place = |n: usize| regex.char_indices().nth(n).map_or(regex.len(), |(at, _)| at);
    let span = place(n_before)..place(carets.trim_end().chars().count());
    Some(
        Error::new(ErrorKind::Syntax, format!("regex {regex:?}: {what}"))
            .with_excerpt(flamesql_selector::excerpt(regex, span)),
    )
}

/// Our own error inside one of DataFusion's, however deep.
fn ours(error: &DataFusionError) -> Option<&Error> {
    let mut at: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        // Some of DataFusion's errors are their source themselves.
        at = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => {
                Some(inner.as_ref())
            }
            _ => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_error_comes_out_again() {
        let error = Error::new(ErrorKind::Partial, "half").with_hint("the other half");
        let wrapped = error.into_datafusion().context("while planning").context("twice");
        let back = Error::from(wrapped);
        assert_eq!(
            (back.kind(), back.to_string(), back.hint()),
            (ErrorKind::Partial, "half".to_owned(), Some("the other half"))
        );
    }
}
