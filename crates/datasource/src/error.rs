//! The one error of this crate: what is wrong, where it stands, and whose fault it is.

use std::{error::Error as StdError, fmt, path::PathBuf};

use flamesql_backend::ErrorKind as SourceErrorKind;
use serde::{Serialize, Serializer};

/// Why settings cannot be read, or a question has no answer.
///
/// `Display` is one line that quotes what is wrong, unless that may be a secret, and of a file begins with the place.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    what: String,
    hint: Option<String>,
    key: Option<String>,
    place: Option<Place>,
    source: Option<flamesql_backend::Error>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings of a data source make no sense.
    Settings,
    /// A provisioning file cannot be read.
    Provisioning,
    /// The question makes no sense.
    Request,
    /// There is no such resource.
    NotFound,
    /// The resource is there, and is asked for in another way.
    Method,
    /// Whoever asks may not do so.
    Forbidden,
    /// The source behind gives no answer.
    Source(SourceErrorKind),
    /// A fault of this program.
    Internal,
}

/// Whose fault an error is, as Grafana tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorSource {
    /// Of this program.
    Plugin,
    /// Of the source behind, of the settings, or of whoever asks.
    Downstream,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self(Box::new(Inner { kind, what, hint: None, key: None, place: None, source: None }))
    }

    /// An error in the settings, at a key such as `jsonData.timeout`.
    pub(crate) fn of_key(key: &str, what: impl fmt::Display) -> Self {
        let mut error = Self::new(ErrorKind::Settings, format!("{key} {what}"));
        error.0.key = Some(key.to_owned());
        error
    }

    /// An answer that could not be written.
    #[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
    pub(crate) fn write(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Internal, format!("write an answer: {error}"))
    }

    /// What is asked for is not there.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, what)
    }

    /// What is asked makes no sense.
    pub fn request(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, what)
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error at a place in a file.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.kind = ErrorKind::Provisioning;
        self.0.place = Some(place);
        self
    }

    /// The kind, to act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The setting that is wrong, such as `jsonData.minStep`.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Where it stands, if in a file.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The status of an answer of HTTP. What fails behind us is a bad gateway, a password that is refused there as well:
    /// 401 would make a browser ask its user for another one.
    pub fn status(&self) -> u16 {
        match self.0.kind {
            ErrorKind::Settings | ErrorKind::Provisioning | ErrorKind::Request => 400,
            ErrorKind::Forbidden => 403,
            ErrorKind::NotFound => 404,
            ErrorKind::Method => 405,
            ErrorKind::Source(SourceErrorKind::InvalidQuery | SourceErrorKind::InvalidOptions) => {
                400
            }
            ErrorKind::Source(SourceErrorKind::Unsupported) => 501,
            ErrorKind::Source(SourceErrorKind::Internal) | ErrorKind::Internal => 500,
            ErrorKind::Source(_) => 502,
        }
    }

    /// Whose fault it is.
    pub fn error_source(&self) -> ErrorSource {
        match self.0.kind {
            ErrorKind::Source(SourceErrorKind::Internal) | ErrorKind::Internal => {
                ErrorSource::Plugin
            }
            _ => ErrorSource::Downstream,
        }
    }
}

impl From<flamesql_backend::Error> for Error {
    fn from(error: flamesql_backend::Error) -> Self {
        let mut made = Self::new(ErrorKind::Source(error.kind()), error.to_string());
        made.0.hint = error.hint().map(str::to_owned);
        made.0.source = Some(error);
        made
    }
}

impl From<flamesql_engine::Error> for Error {
    fn from(error: flamesql_engine::Error) -> Self {
        use flamesql_engine::ErrorKind as Kind;
        let of_source = error.source().and_then(|s| s.downcast_ref::<flamesql_backend::Error>());
        let kind = match (error.kind(), of_source) {
            (_, Some(source)) => ErrorKind::Source(source.kind()),
            (Kind::Syntax | Kind::Query, None) => ErrorKind::Request,
            (Kind::Internal | Kind::Output, None) => ErrorKind::Internal,
            _ => ErrorKind::Source(SourceErrorKind::Unavailable),
        };
        let mut made = Self::new(kind, error.to_string());
        made.0.hint = error.hint().map(str::to_owned);
        made.0.source = of_source.cloned();
        made
    }
}

impl From<flamesql_frame::Error> for Error {
    fn from(error: flamesql_frame::Error) -> Self {
        Self::request(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().and_then(StdError::source)
    }
}

/// The body of an answer that is an error.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            status: u16,
            message: String,
            error_source: ErrorSource,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
        }
        Body {
            status: self.status(),
            message: self.to_string(),
            error_source: self.error_source(),
            hint: self.hint(),
        }
        .serialize(serializer)
    }
}
