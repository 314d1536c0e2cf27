//! A text that is never shown.

use std::fmt;

/// A password, a token, or the value of a header: sent, and never printed.
///
/// ```
/// use flamesql_backend::Secret;
///
/// let token = Secret::new("glsa_123");
/// assert_eq!(format!("{token:?}"), "Secret(...)");
/// assert_eq!(token.reveal(), "glsa_123");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}
