//! One condition of a selector, and the regexes the crate writes itself: lists of values become an
//! alternation of escaped literals, which [`Filter`](crate::Filter) recognises again.

/// One condition on one label: name, operator and value.
///
/// A series without the label is treated as if the label had the empty value.
///
/// ```
/// use flamesql_selector::{MatchOp, Matcher};
///
/// let matcher = Matcher::new("region", MatchOp::NotRegex, "eu-.*");
/// assert_eq!(matcher.to_string(), r#"region!~"eu-.*""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// The label's name; any text, printed in quotes where it needs them.
    pub name: String,
    /// How the label's value is compared.
    pub op: MatchOp,
    /// What it is compared with: text, or an RE2 regex that has to match the whole value.
    pub value: String,
}

/// How a [`Matcher`] compares; prints as the operator.
///
/// ```
/// use flamesql_selector::MatchOp;
///
/// assert_eq!(MatchOp::NotRegex.to_string(), "!~");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`: the label has this value.
    Equal,
    /// `!=`: the label has another value or is missing.
    NotEqual,
    /// `=~`: the regex matches the whole value.
    Regex,
    /// `!~`: the regex does not match the whole value.
    NotRegex,
}

impl MatchOp {
    /// Whether the value is a regex: `=~` and `!~`.
    ///
    /// ```
    /// use flamesql_selector::MatchOp;
    ///
    /// assert!(MatchOp::NotRegex.is_regex());
    /// ```
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Regex | Self::NotRegex)
    }

    /// Whether the comparison is turned round: `!=` and `!~`.
    ///
    /// ```
    /// use flamesql_selector::MatchOp;
    ///
    /// assert!(MatchOp::NotRegex.is_negated());
    /// ```
    pub fn is_negated(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

/// A class without characters, to RE2 and to Rust: the alternation of no values.
pub(crate) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

impl Matcher {
    /// A condition from its three parts.
    ///
    /// ```
    /// use flamesql_selector::{MatchOp, Matcher};
    ///
    /// assert_eq!(Matcher::new("a", MatchOp::Equal, "b"), Matcher::equal("a", "b"));
    /// ```
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Self {
        Self { name: name.into(), op, value: value.into() }
    }

    /// `name="value"`. The empty value selects series without the label as well.
    ///
    /// ```
    /// use flamesql_selector::Matcher;
    ///
    /// assert_eq!(Matcher::equal("a", "b").to_string(), r#"a="b""#);
    /// ```
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(name, MatchOp::Equal, value)
    }

    /// `name!="value"`. Selects series without the label as well, unless the value is empty.
    ///
    /// ```
    /// use flamesql_selector::Matcher;
    ///
    /// assert_eq!(Matcher::not_equal("a", "b").to_string(), r#"a!="b""#);
    /// ```
    pub fn not_equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(name, MatchOp::NotEqual, value)
    }

    /// `name=~"regex"`, an RE2 regex that has to match the whole value. It is not checked here.
    ///
    /// ```
    /// use flamesql_selector::Matcher;
    ///
    /// assert_eq!(Matcher::regex("a", "b.*").to_string(), r#"a=~"b.*""#);
    /// ```
    pub fn regex(name: impl Into<String>, regex: impl Into<String>) -> Self {
        Self::new(name, MatchOp::Regex, regex)
    }

    /// `name!~"regex"`, the opposite of [`Matcher::regex`].
    ///
    /// ```
    /// use flamesql_selector::Matcher;
    ///
    /// assert_eq!(Matcher::not_regex("a", "b.*").to_string(), r#"a!~"b.*""#);
    /// ```
    pub fn not_regex(name: impl Into<String>, regex: impl Into<String>) -> Self {
        Self::new(name, MatchOp::NotRegex, regex)
    }

    /// `name=~"x|y|z"`: the label has one of these values, taken literally.
    ///
    /// The empty string among them selects series without the label as well. No values at all
    /// select nothing.
    ///
    /// ```
    /// use flamesql_selector::Matcher;
    ///
    /// assert_eq!(Matcher::one_of("file", ["a.go", "b"]).value, r"a\.go|b");
    /// assert_eq!(Matcher::one_of("file", ["a", ""]).value, "a|");
    /// ```
    pub fn one_of<I>(name: impl Into<String>, values: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::new(name, MatchOp::Regex, alternation(values))
    }

    /// `name!~"x|y|z"`: the label has none of these values, the opposite of [`Matcher::one_of`].
    ///
    /// ```
    /// use flamesql_selector::Matcher;
    ///
    /// assert_eq!(Matcher::none_of("file", ["a.go", "b"]).to_string(), r#"file!~"a\\.go|b""#);
    /// ```
    pub fn none_of<I>(name: impl Into<String>, values: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::new(name, MatchOp::NotRegex, alternation(values))
    }
}

/// The text as a regex that matches just this text, for RE2 (where it is `QuoteMeta`) and for the
/// `regex` crate alike.
///
/// ```
/// use flamesql_selector::escape_regex;
///
/// assert_eq!(escape_regex("a.b (c)"), r"a\.b \(c\)");
/// ```
pub fn escape_regex(text: &str) -> String {
    let mut regex = String::with_capacity(text.len());
    push_escaped(text, &mut regex);
    regex
}

fn alternation<I>(values: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut values = values.into_iter();
    let Some(first) = values.next() else {
        return NOTHING.to_owned();
    };
    let mut regex = escape_regex(first.as_ref());
    for value in values {
        regex.push('|');
        push_escaped(value.as_ref(), &mut regex);
    }
    regex
}

fn push_escaped(text: &str, regex: &mut String) {
    for c in text.chars() {
        if is_meta(c) {
            regex.push('\\');
        }
        regex.push(c);
    }
}

/// Whether the character means something in a regex outside of a class.
pub(crate) fn is_meta(c: char) -> bool {
    matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$')
}
