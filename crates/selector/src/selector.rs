//! The selector: a list of matchers which all have to hold. Plain data, so that a planner can take
//! it apart and put it together without asking this crate.

use std::str::FromStr;

use crate::{Error, Matcher, display, parser};

/// A label selector: the conditions a series has to meet, all of them.
///
/// The order of the matchers is kept, repeated labels are fine and no matcher at all (`{}`, the
/// default) selects everything. [`Display`](std::fmt::Display) prints the canonical form.
///
/// ```
/// use flamesql_selector::{Matcher, Selector};
///
/// let selector = Selector::all()
///     .with(Matcher::equal("service_name", "shop"))
///     .with(Matcher::one_of("region", ["eu", "us"]));
/// assert_eq!(selector.to_string(), r#"{service_name="shop",region=~"eu|us"}"#);
/// assert_eq!(selector.to_string().parse(), Ok(selector));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The conditions in the order they were written; a metric name outside the braces comes last.
    pub matchers: Vec<Matcher>,
}

impl Selector {
    /// The selector without conditions, `{}`: it selects every series.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// assert_eq!(Selector::all().to_string(), "{}");
    /// ```
    pub fn all() -> Self {
        Self::default()
    }

    /// Parses a selector the way Prometheus and Pyroscope do.
    ///
    /// With feature `match` regexes are checked, too. At most [`MAX_LEN`](crate::MAX_LEN) bytes.
    ///
    /// ```
    /// use flamesql_selector::{Matcher, Selector};
    ///
    /// let selector = Selector::parse(r#"up{region!="eu"} # a comment"#)?;
    /// assert_eq!(
    ///     selector.matchers,
    ///     [Matcher::not_equal("region", "eu"), Matcher::equal("__name__", "up")]
    /// );
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the text is not a selector; [`Error::span`] is the place. Text of nothing but white
    /// space and comments is an error as well: see [`Selector::parse_or_all`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        parser::parse(text)
    }

    /// Parses a selector and reads blank text (only white space and comments) as `{}`.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// assert!(Selector::parse_or_all("  ")?.is_all());
    /// assert!(Selector::parse("  ").is_err());
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the text is neither blank nor a selector.
    pub fn parse_or_all(text: &str) -> Result<Self, Error> {
        parser::parse_or_all(text)
    }

    /// Whether there is no condition at all.
    ///
    /// `{a=~".*"}` selects everything, too, yet is not `{}`.
    ///
    /// ```
    /// use flamesql_selector::{Matcher, Selector};
    ///
    /// assert!(Selector::all().is_all());
    /// assert!(!Selector::all().with(Matcher::regex("a", ".*")).is_all());
    /// ```
    pub fn is_all(&self) -> bool {
        self.matchers.is_empty()
    }

    /// The selector with one more condition at the end.
    ///
    /// ```
    /// use flamesql_selector::{Matcher, Selector};
    ///
    /// assert_eq!(Selector::all().with(Matcher::equal("a", "b")).to_string(), r#"{a="b"}"#);
    /// ```
    #[must_use]
    pub fn with(mut self, matcher: Matcher) -> Self {
        self.push(matcher);
        self
    }

    /// Adds a condition at the end.
    ///
    /// ```
    /// use flamesql_selector::{Matcher, Selector};
    ///
    /// let mut selector = Selector::all();
    /// selector.push(Matcher::equal("a", "b"));
    /// assert_eq!(selector.matchers.len(), 1);
    /// ```
    pub fn push(&mut self, matcher: Matcher) {
        self.matchers.push(matcher);
    }

    /// The canonical text for a server that knows no quoted label names: Phlare, Pyroscope before
    /// 1.8, Prometheus before 0.50.
    ///
    /// ```
    /// use flamesql_selector::{Matcher, Selector};
    ///
    /// let selector = Selector::all().with(Matcher::equal("service_name", "shop"));
    /// assert_eq!(selector.display_legacy()?, r#"{service_name="shop"}"#);
    ///
    /// let error = selector.with(Matcher::equal("k8s.pod", "shop-1")).display_legacy().unwrap_err();
    /// assert_eq!(error.message(), r#"label name "k8s.pod" cannot be written for this server"#);
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LegacyName`](crate::ErrorKind::LegacyName) for the first name which is not
    /// `[a-zA-Z_][a-zA-Z0-9_]*`.
    pub fn display_legacy(&self) -> Result<String, Error> {
        display::legacy(self)
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromIterator<Matcher> for Selector {
    fn from_iter<I: IntoIterator<Item = Matcher>>(matchers: I) -> Self {
        Self { matchers: matchers.into_iter().collect() }
    }
}
