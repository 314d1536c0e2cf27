//! The canonical text of selectors, matchers and errors' quotations: Go's `%q`, which every server
//! version reads. It is apart from the data so that reading and writing stand side by side:
//! `lexer.rs` undoes what is done here.

use std::fmt::{self, Write};

use crate::{Error, ErrorKind, MatchOp, Matcher, Selector, error::Subject};

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (n, matcher) in self.matchers.iter().enumerate() {
            if n > 0 {
                f.write_char(',')?;
            }
            write!(f, "{matcher}")?;
        }
        f.write_char('}')
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write!(f, "{}", Quoted(&self.name))?;
        }
        write!(f, "{}{}", self.op, Quoted(&self.value))
    }
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

/// The text for servers without quoted names.
pub(crate) fn legacy(selector: &Selector) -> Result<String, Error> {
    let mut text = String::from("{");
    for (n, matcher) in selector.matchers.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        if !is_label_name(&matcher.name) {
            let start = text.len();
            let end = start + Quoted(&matcher.name).to_string().len();
            let message =
                format!("label name {} cannot be written for this server", Quoted(&matcher.name));
            let hint = "quoted label names need Pyroscope 1.8 or Prometheus 0.50";
            let input = selector.to_string();
            return Err(Error::new(ErrorKind::LegacyName, Subject::Selector, &input, start..end)
                .with_message(message)
                .with_hint(hint));
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{matcher}");
    }
    text.push('}');
    Ok(text)
}

/// Whether a label name needs no quotes in a selector: letters, digits and `_`, and no digit first. Servers without UTF-8
/// names have no others.
///
/// ```
/// use flamesql_selector::is_label_name;
///
/// assert!(is_label_name("service_name") && is_label_name("_a1"));
/// assert!(!is_label_name("k8s.pod") && !is_label_name("1st") && !is_label_name(""));
/// ```
pub fn is_label_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Text in double quotes with Go's escapes for all that cannot be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut plain = 0;
        for (at, c) in self.0.char_indices() {
            if (' '..='~').contains(&c) && c != '"' && c != '\\' || is_printable(c) {
                continue;
            }
            f.write_str(&self.0[plain..at])?;
            plain = at + c.len_utf8();
            match c {
                '"' => f.write_str("\\\""),
                '\\' => f.write_str("\\\\"),
                '\x07' => f.write_str("\\a"),
                '\x08' => f.write_str("\\b"),
                '\x0c' => f.write_str("\\f"),
                '\n' => f.write_str("\\n"),
                '\r' => f.write_str("\\r"),
                '\t' => f.write_str("\\t"),
                '\x0b' => f.write_str("\\v"),
                '\0'..='\x7f' => write!(f, "\\x{:02x}", c as u32),
                '\u{80}'..='\u{ffff}' => write!(f, "\\u{:04x}", c as u32),
                _ => write!(f, "\\U{:08x}", c as u32),
            }?;
        }
        f.write_str(&self.0[plain..])?;
        f.write_char('"')
    }
}

/// Whether a character beyond ASCII is written as it is. U+FFFD is not: the servers refuse it raw.
fn is_printable(c: char) -> bool {
    if c.is_ascii() || c == char::REPLACEMENT_CHARACTER {
        return false;
    }
    // `str::escape_debug` knows what can be printed; the first character of a string is special
    // there (a combining mark would be escaped), hence one in front.
    let mut buffer = [0; 8];
    buffer[0] = b'x';
    let len = 1 + c.encode_utf8(&mut buffer[1..]).len();
    match std::str::from_utf8(&buffer[..len]) {
        Ok(text) => text.escape_debug().nth(1) == Some(c),
        Err(_) => false,
    }
}
