//! FlameQL: how the legacy Pyroscope server (0.x) writes an app with a label selector, `shop.cpu{region="eu"}`.
//!
//! It looks like a selector of Prometheus and is another language: values are taken as they stand, without escapes; a
//! regex has to match a part of the value only; a value is never empty; and a regex, after `=~` as after `!~`, speaks only
//! of series that have the label. [`parse`] and [`print()`] translate, so that a [`Selector`] means the same on either side, and what one of the
//! languages cannot say is an error.
//!
//! ```
//! use flamesql_selector::{Matcher, Selector, flameql};
//!
//! let (app, selector) = flameql::parse(r#"shop.cpu{pod=~"^web", region="eu"}"#)?;
//! assert_eq!(app, "shop.cpu");
//! assert_eq!(selector.to_string(), r#"{region="eu",pod=~"(?s:.*)(?-s:^web)(?s:.*)"}"#);
//!
//! let selector = Selector::all().with(Matcher::regex("pod", "web-.*"));
//! assert_eq!(flameql::print("shop.cpu", &selector)?, r#"shop.cpu{pod=~"^(?s:web-.*)$"}"#);
//! # Ok::<(), flamesql_selector::Error>(())
//! ```

use std::ops::Range;

use crate::{
    Error, ErrorKind, MAX_LEN, MatchOp, Matcher, Selector,
    display::Quoted,
    error::{Subject, floor_boundary},
    escape_regex,
};

const APP_NAME: &str = "an app's name is letters, digits, \"_\", \".\" and \"-\"";

/// The key that stands for the app itself.
const RESERVED: &str = "__name__";

/// What makes a regex match the whole value, as it does in a [`Matcher`].
const WHOLE: (&str, &str) = ("^(?s:", ")$");
/// What makes a regex match a part of the value, as it does in FlameQL, where `.` is no line break.
const PART: (&str, &str) = ("(?s:.*)(?-s:", ")(?s:.*)");

/// Reads an app's name with a selector or without. Conditions come in the order in which the server takes them: those
/// with `!=`, `!~`, `=` and `=~`, each as they were written.
///
/// ```
/// use flamesql_selector::flameql;
///
/// assert!(flameql::parse("shop.cpu")?.1.is_all());
/// let error = flameql::parse("shop.cpu{pod=web}").unwrap_err();
/// assert_eq!(error.to_string(), r#"FlameQL "shop.cpu{pod=web}": expected a value in double quotes (at 13..16)"#);
/// # Ok::<(), flamesql_selector::Error>(())
/// ```
///
/// # Errors
///
/// When the text is not what the server takes; [`Error::span`] is the place. With feature `match` also for a `!~` whose
/// regex matches the empty value: the server takes series without the label even then, which no [`Selector`] can say.
pub fn parse(text: &str) -> Result<(String, Selector), Error> {
    if text.len() > MAX_LEN {
        let start = &text[..floor_boundary(text, 100)];
        let error = Error::new(ErrorKind::TooLong, Subject::FlameQl, start, 0..start.len());
        let message =
            format!("the text has {} bytes, more than the limit of {MAX_LEN}", text.len());
        return Err(error.with_message(message));
    }
    let parser = Parser { text };
    let all = trimmed(text, 0..text.len());
    let app = all.start
        ..text[all.clone()].find(|c| !is_app_char(c)).map_or(all.end, |len| all.start + len);
    if app.is_empty() {
        return Err(parser.no_app(all));
    }
    let name = text[app.clone()].to_owned();
    match text[app.end..all.end].chars().next() {
        None => Ok((name, Selector::all())),
        Some('{') if text[..all.end].ends_with('}') => {
            Ok((name, parser.matchers(app.end + 1..all.end - 1)?))
        }
        Some('{') => Err(parser
            .error(ErrorKind::UnclosedBrace, all.end..all.end)
            .with_message(format!("the \"{{\" at {} is not closed", app.end))
            .with_hint("add \"}\"")),
        Some(c) => Err(parser
            .error(ErrorKind::BadMetricName, app.end..app.end + c.len_utf8())
            .with_message(APP_NAME)),
    }
}

/// Writes an app's name with a selector.
///
/// Which condition stood in the way can be found with [`matcher`].
///
/// # Errors
///
/// [`ErrorKind::NotInFlameQl`] if the app's name or one of the conditions cannot be written.
pub fn print(app: &str, selector: &Selector) -> Result<String, Error> {
    if app.is_empty() || !app.chars().all(is_app_char) {
        return Err(Error::new(ErrorKind::NotInFlameQl, Subject::App, app, 0..app.len())
            .with_message(APP_NAME));
    }
    let mut text = format!("{app}{{");
    for condition in &selector.matchers {
        let is_there =
            selector.matchers.iter().any(|m| m.name == condition.name && excludes_empty(m));
        let condition = write(condition, is_there)?;
        if !condition.is_empty() && !text.ends_with('{') {
            text.push(',');
        }
        text.push_str(&condition);
    }
    text.push('}');
    Ok(text)
}

/// Writes one condition as it stands between the braces; nothing if it holds for every series. What takes two
/// conditions there comes with a comma between them.
///
/// ```
/// use flamesql_selector::{Matcher, flameql};
///
/// assert_eq!(flameql::matcher(&Matcher::not_equal("pod", r"a\b"))?, r#"pod!="a\b""#);
/// assert_eq!(flameql::matcher(&Matcher::equal("pod", ""))?, r#"pod!~"^(?s:.+)$""#);
/// assert_eq!(flameql::matcher(&Matcher::equal("pod", "a.\"b\""))?, r#"pod=~"^(?s:a\.\x22b\x22)$""#);
/// let error = flameql::matcher(&Matcher::equal("k8s.pod", "a")).unwrap_err();
/// assert_eq!(error.message(), r#"a label name in FlameQL is letters, digits and "_""#);
/// # Ok::<(), flamesql_selector::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::NotInFlameQl`] if the label's name is not of letters, digits and `_`, or is `__name__`; if a regex holds a
/// double quote together with `\Q`; and, with feature `match`, for an `=~` whose regex matches the empty value and others:
/// the server never finds series without the label by a regex. Without the feature regexes are taken for such that do not
/// match the empty value.
pub fn matcher(matcher: &Matcher) -> Result<String, Error> {
    write(matcher, false)
}

/// `is_there`: only series that have the label are asked for in any case.
fn write(matcher: &Matcher, is_there: bool) -> Result<String, Error> {
    let Matcher { name, op, value } = matcher;
    let input = matcher.to_string();
    let fail = |message: &str| {
        Error::new(ErrorKind::NotInFlameQl, Subject::Condition, &input, 0..input.len())
            .with_message(message)
    };
    if name.is_empty() || !name.chars().all(is_key_char) {
        return Err(fail("a label name in FlameQL is letters, digits and \"_\""));
    }
    if name == RESERVED {
        return Err(fail("FlameQL has no condition on __name__"));
    }
    let whole = |op: MatchOp, regex: &str| match without_quotes(regex) {
        Some(regex) => Ok(format!("{name}{op}\"{}{regex}{}\"", WHOLE.0, WHOLE.1)),
        None => Err(fail("FlameQL has no way to write a double quote behind \\Q")),
    };
    let with = |op: MatchOp, regex: MatchOp| {
        // A quote, and a backslash before the last one, would be taken for the end or not.
        if value.contains('"') || value.ends_with('\\') {
            whole(regex, &escape_regex(value))
        } else {
            Ok(format!("{name}{op}\"{value}\""))
        }
    };
    match op {
        MatchOp::Equal if value.is_empty() => whole(MatchOp::NotRegex, ".+"),
        MatchOp::NotEqual if value.is_empty() => whole(MatchOp::Regex, ".+"),
        MatchOp::Equal => with(*op, MatchOp::Regex),
        MatchOp::NotEqual => with(*op, MatchOp::NotRegex),
        MatchOp::Regex if value == ".*" => Ok(String::new()),
        MatchOp::Regex if !is_there && matches_empty(value)? => {
            Err(fail("in FlameQL a regex never finds series without the label"))
        }
        // Series without the label are excluded here and not there.
        MatchOp::NotRegex if !is_there && matches_empty(value)? => {
            Ok(format!("{},{}", whole(MatchOp::Regex, ".+")?, whole(*op, value)?))
        }
        MatchOp::Regex | MatchOp::NotRegex => whole(*op, value),
    }
}

/// The same regex with another way to write a double quote; `None` where it may stand between `\Q` and `\E`.
fn without_quotes(regex: &str) -> Option<String> {
    const QUOTE: &str = r"\x22";
    let mut written = String::with_capacity(regex.len());
    let mut is_literal = false;
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => written.push_str(QUOTE),
            '\\' => match chars.next() {
                Some('"') => written.push_str(QUOTE),
                next => {
                    is_literal |= next == Some('Q');
                    written.push(c);
                    written.extend(next);
                }
            },
            c => written.push(c),
        }
    }
    (!is_literal || !regex.contains('"')).then_some(written)
}

/// Whether a condition holds for series that have the label only, by its looks.
fn excludes_empty(matcher: &Matcher) -> bool {
    match matcher.op {
        MatchOp::Equal => !matcher.value.is_empty(),
        MatchOp::NotEqual => matcher.value.is_empty(),
        MatchOp::Regex => matches!(matches_empty(&matcher.value), Ok(false)),
        MatchOp::NotRegex => false,
    }
}

fn is_app_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A place without the white space at its ends.
fn trimmed(text: &str, place: Range<usize>) -> Range<usize> {
    let start = place.end - text[place.clone()].trim_start().len();
    start..start + text[start..place.end].trim_end().len()
}

struct Parser<'a> {
    text: &'a str,
}

impl Parser<'_> {
    fn error(&self, kind: ErrorKind, span: Range<usize>) -> Error {
        Error::new(kind, Subject::FlameQl, self.text, span)
    }

    fn no_app(&self, all: Range<usize>) -> Error {
        let hint = "write the app first: name{label=\"value\"}";
        match self.text[all.clone()].chars().next() {
            None => self.error(ErrorKind::Empty, 0..self.text.len()),
            Some(c) => self.error(ErrorKind::ExpectedSelector, all.start..all.start + c.len_utf8()),
        }
        .with_message("expected an app's name")
        .with_hint(hint)
    }

    /// What is between the braces.
    fn matchers(&self, inside: Range<usize>) -> Result<Selector, Error> {
        let (mut matchers, mut doubtful) = (Vec::new(), Vec::new());
        for piece in self.pieces(inside.clone()) {
            // A comma too many is none.
            if !piece.is_empty() {
                self.matcher(trimmed(self.text, piece), &mut matchers, &mut doubtful)?;
            }
        }
        if matchers.is_empty() && !inside.is_empty() {
            return Err(self
                .error(ErrorKind::ExpectedLabel, inside)
                .with_message("expected a label name"));
        }
        for (at, value) in doubtful {
            let Matcher { name, op, .. } = &matchers[at];
            if matchers.iter().any(|matcher| matcher.name == *name && excludes_empty(matcher)) {
                continue;
            }
            if op.is_negated() {
                return Err(self
                    .error(ErrorKind::BadRegex, value)
                    .with_message(
                        "the regex matches the empty value, and the server means labels that are there",
                    )
                    .with_hint(format!("say so: {name}=~\".\"")));
            }
            matchers.push(Matcher::not_equal(name.clone(), ""));
        }
        matchers.sort_by_key(|matcher| match matcher.op {
            MatchOp::NotEqual if matcher.value.is_empty() => 3,
            MatchOp::NotEqual => 0,
            MatchOp::NotRegex => 1,
            MatchOp::Equal => 2,
            MatchOp::Regex => 3,
        });
        Ok(Selector { matchers })
    }

    /// The pieces between commas that are in no quotes. A quote behind a backslash closes nothing.
    fn pieces(&self, inside: Range<usize>) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut start, mut is_quoted, mut before) = (inside.start, false, 0);
        for at in inside.clone() {
            let byte = self.text.as_bytes()[at];
            match byte {
                b',' if !is_quoted => {
                    pieces.push(start..at);
                    start = at + 1;
                }
                b'"' => is_quoted = !is_quoted || before == b'\\',
                _ => {}
            }
            before = byte;
        }
        pieces.push(start..inside.end);
        pieces
    }

    /// `doubtful` are the places of conditions that mean something else for series without the label.
    fn matcher(
        &self,
        piece: Range<usize>,
        matchers: &mut Vec<Matcher>,
        doubtful: &mut Vec<(usize, Range<usize>)>,
    ) -> Result<(), Error> {
        let text = &self.text[piece.clone()];
        let key_len = text.find(['=', '!']).unwrap_or(text.len());
        let key = &text[..key_len];
        if let Some((at, c)) = key.char_indices().find(|(_, c)| !is_key_char(*c)) {
            let at = piece.start + at;
            return Err(self
                .error(ErrorKind::BadLabelName, at..at + c.len_utf8())
                .with_message("a label name is letters, digits and \"_\""));
        }
        let name = piece.start..piece.start + key_len;
        if key.is_empty() {
            return Err(self
                .error(ErrorKind::ExpectedLabel, piece)
                .with_message("expected a label name"));
        }
        if key == RESERVED {
            return Err(self
                .error(ErrorKind::BadLabelName, name)
                .with_message("__name__ is reserved")
                .with_hint("the app's name stands before the brace"));
        }
        let rest = &text[key_len..];
        let (op, op_len) = match rest.as_bytes() {
            [b'=', b'~', ..] => (MatchOp::Regex, 2),
            [b'!', b'~', ..] => (MatchOp::NotRegex, 2),
            [b'!', b'=', ..] => (MatchOp::NotEqual, 2),
            [b'=', b'"', ..] => (MatchOp::Equal, 1),
            // A sign or none, and then a value: it is the operator that is wrong.
            [] | [_, b'"', ..] | [_, _, b'"', _, ..] => {
                let len = rest.find('"').unwrap_or(rest.len());
                return Err(self
                    .error(ErrorKind::ExpectedOperator, name.end..name.end + len)
                    .with_message(format!("expected an operator after label name {}", Quoted(key)))
                    .with_hint("operators are = != =~ !~"));
            }
            _ => (MatchOp::Equal, 1),
        };
        let value = name.end + op_len..piece.end;
        let quoted = &self.text[value.clone()];
        let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let Some(inside) = inside.filter(|inside| !inside.is_empty()) else {
            let message = match inside {
                Some(_) => "a value is never empty",
                None => "expected a value in double quotes",
            };
            return Err(self.error(ErrorKind::ExpectedString, value).with_message(message));
        };
        if !op.is_regex() {
            matchers.push(Matcher::new(key, op, inside));
            return Ok(());
        }
        #[cfg(feature = "match")]
        self.check_regex(inside, value.start + 1)?;
        let regex = match whole(inside) {
            Some(regex) => regex.to_owned(),
            None => format!("{}{inside}{}", PART.0, PART.1),
        };
        if matches_empty(&regex)? {
            doubtful.push((matchers.len(), value));
        }
        matchers.push(Matcher::new(key, op, regex));
        Ok(())
    }

    #[cfg(feature = "match")]
    fn check_regex(&self, regex: &str, at: usize) -> Result<(), Error> {
        crate::re2::check(regex).map_err(|error| {
            let span = error.span();
            self.error(error.kind(), at + span.start..at + span.end)
                .with_message(format!("the regex is not valid: {}", error.message()))
        })
    }
}

/// The regex inside, if this is one that was made to match the whole value.
fn whole(regex: &str) -> Option<&str> {
    let inside = regex.strip_prefix(WHOLE.0)?.strip_suffix(WHOLE.1)?;
    // The group must not end before its last parenthesis.
    let mut depth = 0_usize;
    let mut chars = inside.chars();
    let mut class: Option<usize> = None;
    while let Some(c) = chars.next() {
        class = match (class, c) {
            (class, '\\') => match chars.next() {
                // Up to \E all is text: that is not worth following.
                None | Some('Q') => return None,
                Some(_) => class.map(|n| n + 1),
            },
            // The first character of a class may be its bracket.
            (None, '[') => Some(0),
            (Some(0), '^') => Some(0),
            (Some(n), ']') if n > 0 => None,
            (Some(n), _) => Some(n + 1),
            (None, c) => {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.checked_sub(1)?,
                    _ => {}
                }
                None
            }
        };
    }
    (depth == 0 && class.is_none()).then_some(inside)
}

/// Whether a regex matches the empty value. Without the means to find out it is taken not to.
#[cfg_attr(
    not(feature = "match"),
    expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")
)]
fn matches_empty(regex: &str) -> Result<bool, Error> {
    #[cfg(feature = "match")]
    return Ok(crate::LabelMatcher::new(&Matcher::regex("", regex))?.matches_value(""));
    #[cfg(not(feature = "match"))]
    return Ok(regex == ".*" || regex.is_empty());
}
