//! Cuts the text of a selector into tokens. Anything between two delimiters is one word, valid
//! name or not, so that the parser can say what is wrong with it where it stands.

use std::ops::Range;

use crate::{Error, ErrorKind, MatchOp, error::Subject};

/// A token of a selector.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    OpenBrace,
    CloseBrace,
    Comma,
    Op(MatchOp),
    /// A quoted string, decoded.
    Text(Text),
    /// Everything up to the next delimiter: a name, or what somebody took for one.
    Word,
    /// A delimiter that means nothing in a selector.
    Other,
    End,
}

/// The value of a quoted string, and where its parts come from.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// Offsets in the value and in the source, at the start and at each end of an escape.
    #[cfg_attr(not(feature = "match"), expect(dead_code, reason = "regex errors need it"))]
    marks: Vec<(usize, usize)>,
}

#[cfg(feature = "match")]
impl Text {
    /// The place in the source of a place in the value, which begins and ends with characters:
    /// there a mark or plain text is near, never the inside of an escape.
    pub(crate) fn source_span(&self, span: &Range<usize>) -> Range<usize> {
        self.source_offset(span.start)..self.source_offset(span.end)
    }

    fn source_offset(&self, at: usize) -> usize {
        let (value, source) = self.marks[self.marks.partition_point(|mark| mark.0 <= at) - 1];
        source + (at - value)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token and its place; [`Token::End`] again and again at the end.
    pub(crate) fn next(&mut self) -> Result<(Token, Range<usize>), Error> {
        self.skip_blank();
        let start = self.at;
        let rest = &self.text[start..];
        let (token, len) = match rest.as_bytes() {
            [] => (Token::End, 0),
            [b'{', ..] => (Token::OpenBrace, 1),
            [b'}', ..] => (Token::CloseBrace, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'=', b'~', ..] => (Token::Op(MatchOp::Regex), 2),
            [b'=', ..] => (Token::Op(MatchOp::Equal), 1),
            [b'!', b'=', ..] => (Token::Op(MatchOp::NotEqual), 2),
            [b'!', b'~', ..] => (Token::Op(MatchOp::NotRegex), 2),
            [b'`', ..] => self.raw_string()?,
            [quote @ (b'"' | b'\''), ..] => self.quoted_string(char::from(*quote))?,
            _ => match rest.find(is_delimiter) {
                Some(0) => (Token::Other, 1),
                Some(len) => (Token::Word, len),
                None => (Token::Word, rest.len()),
            },
        };
        self.at = start + len;
        Ok((token, start..self.at))
    }

    /// White space and comments; a comment ends with its line, for which a `\r` is enough.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.text.len() - rest.len();
            if !rest.starts_with('#') {
                return;
            }
            self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
        }
    }

    /// A string in backticks: no escapes, newlines are fine.
    fn raw_string(&self) -> Result<(Token, usize), Error> {
        let start = self.at + 1;
        let Some(len) = self.text[start..].find('`') else {
            let error = self.error(ErrorKind::UnclosedString, self.at..self.text.len());
            return Err(error.with_message("this string has no closing \"`\""));
        };
        let value = &self.text[start..start + len];
        self.refuse_replacement(value, start)?;
        let text = Text { value: value.to_owned(), marks: vec![(0, start)] };
        Ok((Token::Text(text), len + 2))
    }

    /// A string in quotes with Go's escapes.
    fn quoted_string(&self, quote: char) -> Result<(Token, usize), Error> {
        let start = self.at + 1;
        let mut at = start;
        let mut bytes = Vec::new();
        let mut marks = vec![(0, start)];
        loop {
            let rest = &self.text[at..];
            let len = rest.find([quote, '\\', '\n']).unwrap_or(rest.len());
            self.refuse_replacement(&rest[..len], at)?;
            bytes.extend_from_slice(&rest.as_bytes()[..len]);
            at += len;
            let rest = &rest[len..];
            if rest.starts_with(quote) {
                break;
            }
            if !rest.starts_with('\\') {
                return Err(self.unclosed(quote, at));
            }
            marks.push((bytes.len(), at));
            at += self.escape(quote, at, &mut bytes)?;
            marks.push((bytes.len(), at));
        }
        let value = String::from_utf8(bytes).map_err(|error| {
            // The first bad byte comes from an escape; say which.
            let valid_up_to = error.utf8_error().valid_up_to();
            let mark = marks.iter().rposition(|&(value, _)| value <= valid_up_to).unwrap_or(0);
            let escape = marks[mark].1;
            let end = marks.get(mark + 1).map_or(at, |&(_, end)| end);
            self.error(ErrorKind::InvalidUtf8, escape..end.max(escape))
                .with_message("the bytes of these escapes are not valid UTF-8")
                .with_hint("a character beyond ASCII is written as it is, or as \\u00e9")
        })?;
        Ok((Token::Text(Text { value, marks }), at + 1 - self.at))
    }

    /// Decodes the escape at `at` and returns its length.
    fn escape(&self, quote: char, at: usize, bytes: &mut Vec<u8>) -> Result<usize, Error> {
        let rest = &self.text[at + 1..];
        let Some(c) = rest.chars().next() else {
            return Err(self.unclosed(quote, self.text.len()));
        };
        let simple = match c {
            'a' => Some(b'\x07'),
            'b' => Some(b'\x08'),
            'f' => Some(b'\x0c'),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(b'\x0b'),
            '\\' => Some(b'\\'),
            '"' if quote == '"' => Some(b'"'),
            '\'' if quote == '\'' => Some(b'\''),
            _ => None,
        };
        if let Some(byte) = simple {
            bytes.push(byte);
            return Ok(2);
        }
        let (n_digits, radix) = match c {
            '0'..='7' => (3, 8),
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            _ => return Err(self.unknown_escape(at, c)),
        };
        let digits = if radix == 8 { rest } else { &rest[1..] };
        let n_found = digits.chars().take(n_digits).take_while(|d| d.is_digit(radix)).count();
        let end = self.text.len() - digits.len() + n_found;
        if n_found < n_digits {
            let unit = if radix == 8 { "octal" } else { "hex" };
            let error = self.error(ErrorKind::BadEscape, at..end);
            return Err(error.with_message(format!("this escape needs {n_digits} {unit} digits")));
        }
        let number = u32::from_str_radix(&digits[..n_digits], radix).unwrap_or(u32::MAX);
        let is_byte = matches!(c, 'x' | '0'..='7');
        if let (true, Ok(byte)) = (is_byte, u8::try_from(number)) {
            bytes.push(byte);
        } else if let (false, Some(c)) = (is_byte, char::from_u32(number)) {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            let what = if is_byte { "a byte, at most \\377" } else { "a Unicode character" };
            let error = self.error(ErrorKind::BadEscape, at..end);
            return Err(error.with_message(format!("this escape is not {what}")));
        }
        Ok(end - at)
    }

    fn unknown_escape(&self, at: usize, c: char) -> Error {
        let error = self.error(ErrorKind::BadEscape, at..at + 1 + c.len_utf8());
        let error = match c {
            _ if c.is_control() => error.with_message("a lone \\ in a quoted string"),
            _ => error.with_message(format!("unknown escape \\{c} in a quoted string")),
        };
        match c {
            '\'' | '"' | '`' => error.with_hint("only the enclosing quote is escaped"),
            _ if c.is_control() => error,
            _ => error.with_hint(format!(
                "in quotes a backslash is written twice (\\\\{c}), in backticks once (`\\{c}`)"
            )),
        }
    }

    fn unclosed(&self, quote: char, end: usize) -> Error {
        let error = self.error(ErrorKind::UnclosedString, self.at..end);
        let error = error.with_message(format!("this string has no closing {quote}"));
        if end < self.text.len() {
            error.with_hint("a newline in quotes is written \\n; only backticks span lines")
        } else {
            error
        }
    }

    /// The servers take a raw U+FFFD for broken UTF-8.
    fn refuse_replacement(&self, part: &str, start: usize) -> Result<(), Error> {
        let c = char::REPLACEMENT_CHARACTER;
        let Some(at) = part.find(c) else { return Ok(()) };
        let at = start + at;
        Err(self
            .error(ErrorKind::InvalidUtf8, at..at + c.len_utf8())
            .with_message("a string cannot hold the replacement character U+FFFD as it is")
            .with_hint("some text was decoded with loss; if it is meant, write \"\\ufffd\""))
    }

    pub(crate) fn error(&self, kind: ErrorKind, span: Range<usize>) -> Error {
        Error::new(kind, Subject::Selector, self.text, span)
    }
}

/// What ends a word.
fn is_delimiter(c: char) -> bool {
    c.is_ascii_whitespace()
        || matches!(c, '{' | '}' | '(' | ')' | '[' | ']' | '<' | '>' | '"' | '\'' | '`')
        || matches!(c, ',' | ';' | '=' | '!' | '~' | '#')
}
