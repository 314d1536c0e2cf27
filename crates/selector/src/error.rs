//! The crate's error: a kind to decide by, one line to log and a report to show. It carries the
//! whole input, because a message without the place is half a message.

use std::{fmt, fmt::Write, ops::Range};

use crate::display::Quoted;

/// Why a selector or a regex was refused, and where.
///
/// `Display` is one line which quotes the input; [`Error::report`] draws the place.
///
/// ```
/// use flamesql_selector::{ErrorKind, Selector};
///
/// let error = Selector::parse(r#"{region=="eu"}"#).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::ExpectedString);
/// assert_eq!(error.span(), 8..9);
/// assert_eq!(
///     error.to_string(),
///     r#"selector "{region==\"eu\"}": expected a quoted string after "=" (at 8..9)"#
/// );
/// assert_eq!(
///     error.report(),
///     r#"
/// error: expected a quoted string after "="
///   |
/// 1 | {region=="eu"}
///   |         ^
/// hint: equality is a single "="
/// "#
///     .trim_start()
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    subject: Subject,
    message: String,
    hint: Option<String>,
    input: String,
    span: Range<usize>,
}

/// What went wrong; see [`Error::message`] for the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text holds no selector, only white space or comments. Write `{}` to select everything,
    /// or use [`Selector::parse_or_all`](crate::Selector::parse_or_all).
    Empty,
    /// The text is longer than [`MAX_LEN`](crate::MAX_LEN). [`Error::input`] is its beginning.
    TooLong,
    /// Something else stands where a selector should begin: write `{` or a metric name.
    ExpectedSelector,
    /// Something else stands where a label name should be, such as a second comma.
    ExpectedLabel,
    /// A label name is not followed by `=`, `!=`, `=~` or `!~`.
    ExpectedOperator,
    /// An operator is not followed by a quoted string.
    ExpectedString,
    /// Two matchers are not separated by a comma.
    ExpectedComma,
    /// The text ends before the `}`.
    UnclosedBrace,
    /// Something follows the selector.
    TrailingText,
    /// A label name holds other characters than letters, digits and `_`: quote it.
    BadLabelName,
    /// A metric name in front of the braces is not one, or is a word PromQL reserves: write it
    /// quoted inside the braces.
    BadMetricName,
    /// The metric name is given in front of the braces and again inside them: keep one.
    TwoMetricNames,
    /// A string is not closed, or a line ends within quotes.
    UnclosedString,
    /// A backslash in a quoted string begins no escape that Go knows.
    BadEscape,
    /// The byte escapes of a string are not UTF-8, or it holds a raw U+FFFD, which the servers
    /// refuse.
    InvalidUtf8,
    /// A regex is not one that RE2 reads (feature `match`).
    BadRegex,
    /// A regex is fine for RE2 but too large to be compiled here (feature `match`). A server may
    /// still take it.
    RegexTooLarge,
    /// A label name cannot be written for a server without quoted names.
    LegacyName,
    /// An app's name or a condition cannot be written in [`flameql`](crate::flameql).
    NotInFlameQl,
}

/// What the input is, the first word of the one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Selector,
    FlameQl,
    App,
    Condition,
    #[cfg(feature = "match")]
    Regex,
}

impl Error {
    /// The kind, for decisions.
    ///
    /// ```
    /// use flamesql_selector::{ErrorKind, Selector};
    ///
    /// assert_eq!(Selector::parse("{a}").unwrap_err().kind(), ErrorKind::ExpectedOperator);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is wrong, in words, without input and place.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// let error = Selector::parse("{a=b}").unwrap_err();
    /// assert_eq!(error.message(), r#"expected a quoted string after "=""#);
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where there is a good guess.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// let error = Selector::parse("{a=b}").unwrap_err();
    /// assert_eq!(error.hint(), Some(r#"quote the value: "b""#));
    /// ```
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The text that was refused: the selector, or the regex if it was given alone.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// assert_eq!(Selector::parse("{a=b}").unwrap_err().input(), "{a=b}");
    /// ```
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The place in [`Error::input`], in bytes, always on character boundaries. It is empty where
    /// something is missing at the end.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// assert_eq!(Selector::parse("{a=b}").unwrap_err().span(), 3..4);
    /// ```
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Several lines for a person: the message, the line of the input with the place underlined,
    /// and the hint. Every line ends with a newline; a long line is cut around the place.
    ///
    /// ```
    /// use flamesql_selector::Selector;
    ///
    /// let error = Selector::parse("{a=\"b\",\n c=d}").unwrap_err();
    /// assert_eq!(
    ///     error.report(),
    ///     "error: expected a quoted string after \"=\"\n  |\n2 |  c=d}\n  |    ^\nhint: quote the value: \"d\"\n"
    /// );
    /// ```
    pub fn report(&self) -> String {
        let excerpt = excerpt(&self.input, self.span.clone());
        let mut report = format!("error: {}\n{excerpt}", self.message);
        if let Some(hint) = &self.hint {
            // Writing to a string cannot fail.
            let _ = writeln!(report, "hint: {hint}");
        }
        report
    }

    pub(crate) fn new(kind: ErrorKind, subject: Subject, input: &str, span: Range<usize>) -> Self {
        Self { kind, subject, message: String::new(), hint: None, input: input.to_owned(), span }
    }

    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Columns of a long line around the place that are shown, and quoted in the one line.
const WINDOW: usize = 120;
const ELLIPSIS: &str = "...";

/// The line of a text with a place in it underlined, as [`Error::report`] draws it: for errors about other small
/// languages beside selectors.
///
/// The place is in bytes; what lies beyond the text or inside a character is taken back to the character's beginning.
///
/// ```
/// assert_eq!(flamesql_selector::excerpt("a;;b", 2..2), "  |\n1 | a;;b\n  |   ^\n");
/// ```
pub fn excerpt(input: &str, span: Range<usize>) -> String {
    let from = floor_boundary(input, span.start);
    let to = floor_boundary(input, span.end).max(from);
    let line_start = input[..from].rfind('\n').map_or(0, |at| at + 1);
    let line = input[line_start..].split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let number = input[..line_start].matches('\n').count() + 1;
    let gutter = " ".repeat(number.to_string().len());

    // From here on in characters, each of which is taken to be one column wide.
    let start = line.len().min(from - line_start);
    let end = line.len().min(to - line_start);
    let n_before = line[..start].chars().count();
    let n_marked = line[start..end].chars().count();
    let (shown, n_skipped) = cut(line, n_before, n_marked);

    let n_blank =
        n_before - n_skipped.min(n_before) + if n_skipped > 0 { ELLIPSIS.len() } else { 0 };
    let carets = "^".repeat(n_marked.clamp(1, WINDOW));
    let mut excerpt = format!("{gutter} |\n");
    // Writing to a string cannot fail.
    let _ = writeln!(excerpt, "{}", format_args!("{number} | {shown}").to_string().trim_end());
    let _ = writeln!(excerpt, "{gutter} | {}{carets}", " ".repeat(n_blank));
    excerpt
}

/// The part of a line that is shown with control characters blanked, and how many characters were
/// left out in front.
fn cut(line: &str, n_before: usize, n_marked: usize) -> (String, usize) {
    let n_chars = line.chars().count();
    let (skip, take) = if n_chars <= WINDOW {
        (0, n_chars)
    } else {
        let skip = n_before.saturating_sub((WINDOW - n_marked.min(WINDOW)) / 2);
        (skip, WINDOW)
    };
    let mut shown = String::new();
    if skip > 0 {
        shown.push_str(ELLIPSIS);
    }
    shown.extend(line.chars().skip(skip).take(take).map(|c| if c.is_control() { ' ' } else { c }));
    if skip + take < n_chars {
        shown.push_str(ELLIPSIS);
    }
    (shown, skip)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match self.subject {
            Subject::Selector => "selector",
            Subject::FlameQl => "FlameQL",
            Subject::App => "app",
            Subject::Condition => "condition",
            #[cfg(feature = "match")]
            Subject::Regex => "regex",
        };
        let Range { start, end } = self.span;
        write!(f, "{subject} ")?;
        if self.input.len() <= 2 * WINDOW {
            write!(f, "{}", Quoted(&self.input))?;
        } else {
            let from = floor_boundary(&self.input, start.saturating_sub(WINDOW / 2));
            let to = floor_boundary(&self.input, from + WINDOW);
            let before = if from > 0 { ELLIPSIS } else { "" };
            let after = if to < self.input.len() { ELLIPSIS } else { "" };
            write!(f, "{before}{}{after}", Quoted(&self.input[from..to]))?;
        }
        write!(f, ": {} (at {start}..{end})", self.message)
    }
}

impl std::error::Error for Error {}

/// The last character boundary at or before a byte offset.
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
