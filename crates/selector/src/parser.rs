//! The grammar of a selector, by recursive descent:
//!
//! ```text
//! selector := metric | metric '{' list? '}' | '{' list? '}'
//! list     := item (',' item)* ','?
//! item     := label op string | string op string | string
//! ```
//!
//! Most of the file is what to say when a text does not follow it.

use std::ops::Range;

use crate::{
    Error, ErrorKind, MatchOp, Matcher, Selector,
    display::{Quoted, is_label_name},
    error::{Subject, floor_boundary},
    lexer::{Lexer, Token},
};

/// The longest text [`Selector::parse`] takes, in bytes: 4 MiB, room for some hundred thousand
/// values of [`Matcher::one_of`].
pub const MAX_LEN: usize = 4 << 20;

/// The label that holds the metric name.
const METRIC_NAME: &str = "__name__";

/// The words, in any case, that PromQL does not take for a metric name.
const RESERVED: [&str; 8] =
    ["atan2", "bool", "group_left", "group_right", "ignoring", "inf", "nan", "on"];

pub(crate) fn parse(text: &str) -> Result<Selector, Error> {
    let mut parser = Parser::new(text)?;
    if let Token::End = parser.token {
        return Err(parser
            .error(ErrorKind::Empty, 0..text.len())
            .with_message("there is no selector")
            .with_hint("{} selects everything"));
    }
    parser.selector()
}

pub(crate) fn parse_or_all(text: &str) -> Result<Selector, Error> {
    let mut parser = Parser::new(text)?;
    match parser.token {
        Token::End => Ok(Selector::all()),
        _ => parser.selector(),
    }
}

/// A parser at a token.
#[derive(Debug)]
struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    token: Token,
    span: Range<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, Error> {
        if text.len() > MAX_LEN {
            let start = &text[..floor_boundary(text, 100)];
            let error = Error::new(ErrorKind::TooLong, Subject::Selector, start, 0..start.len());
            let message =
                format!("the text has {} bytes, more than the limit of {MAX_LEN}", text.len());
            return Err(error.with_message(message));
        }
        let mut lexer = Lexer::new(text);
        let (token, span) = lexer.next()?;
        Ok(Self { text, lexer, token, span })
    }

    fn advance(&mut self) -> Result<(), Error> {
        (self.token, self.span) = self.lexer.next()?;
        Ok(())
    }

    fn selector(&mut self) -> Result<Selector, Error> {
        let mut metric = None;
        match self.token {
            Token::OpenBrace => {}
            Token::Word => metric = Some(self.metric_name()?),
            _ => return Err(self.expected_selector()),
        }
        let mut matchers = Vec::new();
        if let Token::OpenBrace = self.token {
            self.list(metric.as_ref(), &mut matchers)?;
        }
        if !matches!(self.token, Token::End) {
            return Err(self.trailing_text(&matchers));
        }
        if let Some(Metric { name, .. }) = metric {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok(Selector { matchers })
    }

    /// The name in front of the braces.
    fn metric_name(&mut self) -> Result<Metric<'a>, Error> {
        let name = self.word();
        let span = self.span.clone();
        if !is_metric_name(name) {
            return Err(self
                .error(ErrorKind::BadMetricName, span)
                .with_message(format!("{} is not a metric name", Quoted(name)))
                .with_hint(format!("write it inside the braces: {{{}}}", Quoted(name))));
        }
        if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
            return Err(self
                .error(ErrorKind::BadMetricName, span)
                .with_message(format!("{} is a reserved word of PromQL", Quoted(name)))
                .with_hint(format!("write it inside the braces: {{{}}}", Quoted(name))));
        }
        self.advance()?;
        Ok(Metric { name, span })
    }

    /// From `{` to `}`.
    fn list(
        &mut self,
        metric: Option<&Metric<'_>>,
        matchers: &mut Vec<Matcher>,
    ) -> Result<(), Error> {
        let open = self.span.clone();
        self.advance()?;
        loop {
            match self.token {
                Token::CloseBrace => return self.advance(),
                Token::End => return Err(self.unclosed_brace(open)),
                _ => {}
            }
            let start = self.span.start;
            let matcher = self.item()?;
            if let Some(metric) = metric.filter(|_| matcher.name == METRIC_NAME) {
                let end = self.text[..self.span.start].trim_end().len();
                return Err(self.two_metric_names(metric, start..end.max(start)));
            }
            matchers.push(matcher);
            match self.token {
                Token::Comma => self.advance()?,
                Token::CloseBrace => {}
                Token::End => return Err(self.unclosed_brace(open)),
                _ => return Err(self.expected_comma()),
            }
        }
    }

    /// One matcher, or the metric name as a string alone.
    fn item(&mut self) -> Result<Matcher, Error> {
        let (name, is_quoted) = match &mut self.token {
            Token::Word => (self.label_name()?, false),
            Token::Text(text) => (std::mem::take(&mut text.value), true),
            _ => return Err(self.expected_label()),
        };
        let name_span = self.span.clone();
        self.advance()?;
        let op = match self.token {
            Token::Op(op) => op,
            Token::Comma | Token::CloseBrace | Token::End if is_quoted => {
                return Ok(Matcher::equal(METRIC_NAME, name));
            }
            _ => return Err(self.expected_operator(&name, &name_span)),
        };
        self.advance()?;
        let Token::Text(text) = &mut self.token else {
            return Err(self.expected_string(op));
        };
        let value = std::mem::take(&mut text.value);
        #[cfg(feature = "match")]
        if op.is_regex() {
            if let Err(error) = crate::re2::check(&value) {
                return Err(self.bad_regex(&name, &error));
            }
        }
        self.advance()?;
        Ok(Matcher { name, op, value })
    }

    fn label_name(&self) -> Result<String, Error> {
        let name = self.word();
        if is_label_name(name) {
            return Ok(name.to_owned());
        }
        Err(self
            .error(ErrorKind::BadLabelName, self.span.clone())
            .with_message(format!(
                "label name {} must be quoted, or be letters, digits and \"_\"",
                Quoted(name)
            ))
            .with_hint(label_name_hint(name)))
    }

    fn word(&self) -> &'a str {
        &self.text[self.span.clone()]
    }

    // What to say.

    fn error(&self, kind: ErrorKind, span: Range<usize>) -> Error {
        self.lexer.error(kind, span)
    }

    /// An error at the current token.
    fn expected(&self, kind: ErrorKind, what: &str) -> Error {
        self.error(kind, self.span.clone()).with_message(format!("expected {what}"))
    }

    fn expected_selector(&self) -> Error {
        let error = self.expected(ErrorKind::ExpectedSelector, "\"{\" or a metric name");
        match self.token {
            Token::Text(_) => {
                error.with_hint(format!("write it inside the braces: {{{}}}", self.word()))
            }
            _ => error,
        }
    }

    fn trailing_text(&self, matchers: &[Matcher]) -> Error {
        let rest = self.text[self.span.start..].trim_end();
        let span = self.span.start..self.span.start + rest.len();
        let error = self
            .error(ErrorKind::TrailingText, span)
            .with_message("expected nothing after the selector");
        match self.token {
            Token::Op(_) if matchers.is_empty() => {
                error.with_hint("matchers are written in braces: {name=\"value\"}")
            }
            Token::OpenBrace => error.with_hint("write all matchers in one pair of braces"),
            Token::Other if rest.starts_with('[') => {
                error.with_hint("a label selector has no time range")
            }
            Token::Other if rest.starts_with('(') => {
                error.with_hint("this is a label selector, not a PromQL expression")
            }
            Token::Word if self.word().eq_ignore_ascii_case("or") => error.with_hint(OR),
            _ => error,
        }
    }

    fn unclosed_brace(&self, open: Range<usize>) -> Error {
        let end = self.text.trim_end().len().max(open.end);
        self.error(ErrorKind::UnclosedBrace, end..end)
            .with_message(format!("the \"{{\" at {} is not closed", open.start))
            .with_hint("add \"}\"")
    }

    fn two_metric_names(&self, metric: &Metric<'_>, span: Range<usize>) -> Error {
        self.error(ErrorKind::TwoMetricNames, span)
            .with_message(format!(
                "the metric name is given twice, first at {}..{}",
                metric.span.start, metric.span.end
            ))
            .with_hint("keep one of them")
    }

    fn expected_label(&self) -> Error {
        let error = self.expected(ErrorKind::ExpectedLabel, "a label name");
        match self.token {
            Token::Comma => error.with_hint("one comma stands between two matchers"),
            _ => error,
        }
    }

    fn expected_operator(&self, name: &str, name_span: &Range<usize>) -> Error {
        let what = format!("an operator after label name {}", Quoted(name));
        let error = self.expected(ErrorKind::ExpectedOperator, &what);
        let rest = &self.text[self.span.start..];
        if rest.starts_with("~=") {
            error.with_hint("a regex match is \"=~\"")
        } else if rest.starts_with("~") {
            error.with_hint("operators are = != =~ !~")
        } else if rest.starts_with("<>") {
            error.with_hint("inequality is \"!=\"")
        } else if rest.starts_with([':', '<', '>', '!']) {
            error.with_hint("operators are = != =~ !~")
        } else if let Token::Comma | Token::CloseBrace = self.token {
            error
                .with_hint(format!("to ask for any value: {}!=\"\"", &self.text[name_span.clone()]))
        } else if let Token::Word = self.token {
            error.with_hint("a label name with blanks or signs is written in quotes")
        } else {
            error
        }
    }

    fn expected_string(&self, op: MatchOp) -> Error {
        let what = format!("a quoted string after \"{op}\"");
        let error = self.expected(ErrorKind::ExpectedString, &what);
        let rest = &self.text[self.span.start..];
        match (&self.token, op) {
            (Token::Word, _) => {
                let word = self.word();
                let straight = word.trim_matches(SMART_QUOTES);
                if straight.len() < word.len() {
                    error.with_hint(format!("use straight quotes: {}", Quoted(straight)))
                } else {
                    error.with_hint(format!("quote the value: {}", Quoted(word)))
                }
            }
            (Token::Op(MatchOp::Equal), MatchOp::Equal) => {
                error.with_hint("equality is a single \"=\"")
            }
            (Token::Op(MatchOp::Equal), MatchOp::NotEqual) => {
                error.with_hint("inequality is \"!=\"")
            }
            _ if rest.starts_with('~') => {
                error.with_hint("there is no blank within \"=~\" and \"!~\"")
            }
            _ => error,
        }
    }

    fn expected_comma(&self) -> Error {
        let error = self.expected(ErrorKind::ExpectedComma, "\",\" or \"}\"");
        match self.token {
            Token::Word if self.word().eq_ignore_ascii_case("or") => error.with_hint(OR),
            Token::Word if self.word().eq_ignore_ascii_case("and") => {
                error.with_hint("all matchers have to hold; separate them by \",\"")
            }
            Token::Word | Token::Text(_) => error.with_hint("separate matchers by \",\""),
            _ => error,
        }
    }

    /// The error of a regex, moved to its place in the selector.
    #[cfg(feature = "match")]
    fn bad_regex(&self, name: &str, error: &Error) -> Error {
        let span = match &self.token {
            Token::Text(text) => text.source_span(&error.span()),
            _ => self.span.clone(),
        };
        let message =
            format!("the regex of label {} is not valid: {}", Quoted(name), error.message());
        let moved = self.error(error.kind(), span).with_message(message);
        match error.hint() {
            Some(hint) => moved.with_hint(hint),
            None => moved,
        }
    }
}

const OR: &str = "there is no \"or\" between matchers; for one label use =~\"a|b\"";

const SMART_QUOTES: [char; 4] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];

fn label_name_hint(name: &str) -> String {
    if name.starts_with(SMART_QUOTES) {
        return format!("use straight quotes: {}", Quoted(name.trim_matches(SMART_QUOTES)));
    }
    if let Some(c) = name.chars().find(|c| c.is_whitespace()) {
        return format!("U+{:04X} is no blank here, use a space", c as u32);
    }
    match name.strip_suffix(':') {
        Some(name) if is_label_name(name) => {
            format!("operators are = != =~ !~, as in {name}=\"value\"")
        }
        _ => format!("quote it: {}=\"value\"", Quoted(name)),
    }
}

/// A metric name in front of the braces and its place.
#[derive(Debug)]
struct Metric<'a> {
    name: &'a str,
    span: Range<usize>,
}

fn is_metric_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}
