//! Regexes of RE2, as Go reads them, rewritten for the `regex` crate token by token.
//!
//! The two look alike and differ silently: to Rust `\d` is any Unicode digit, `\<` an assertion and
//! `[a&&b]` an intersection, to RE2 they are an ASCII digit, a `<` and three characters. The
//! translation parses what Go parses, refuses what Go refuses and writes down only what means the
//! same to Rust:
//!
//! | RE2 | written as |
//! |---|---|
//! | `\d` `\s` `\w` and `\D` `\S` `\W` | ASCII classes |
//! | `\b` `\B` | `(?-u:\b)` `(?-u:\B)` |
//! | `\<` `\>` and other escaped signs | the character |
//! | `[a&&b]` `[a--b]` `[a~~b]` `[[a]` | a class with these characters escaped |
//! | `\Q...\E`, octal `\101`, `\x41` | the characters, escaped where needed |
//! | `{` that opens no repetition: `a{`, `{x}`, `a{,5}`, `a{01}` | `\{` |
//! | `(...)` `(?P<n>...)` `(?<n>...)` | `(?:...)`, as only matching is of interest |
//! | `(?ii)`, `(?)` | each flag once |
//! | `x(?i)*` | the repetition first |
//! | `\x{D800}` | a class that matches nothing |
//! | `\pL` `\p{Greek}` `\p{Any}` | the general category or script by its full property |
//! | `(?x)`, `a**`, `a{1001}`, `(a{100}){100}`, `\C`, `\Z`, `\1`, lookaround, `\p{Alphabetic}` | error |
//!
//! # Differences that remain
//!
//! - Unicode versions: Go 1.26 knows Unicode 15, `regex` a newer one. Characters, scripts and case
//!   pairs added since then count here already.
//! - `(?i)` is simple case folding in both (`k` matches the Kelvin sign, `s` the long s).
//!   Prometheus' own shortcut for sets of values lets the flag of one branch leak into the others:
//!   there `(?i:é|s)|[a-c]` matches `A`, to Go and here it does not.
//! - Prometheus prints the parsed regex and compiles that; with `(?i)` in a part of an alternation
//!   only (`A\B(?i)|a`) it may lose the flag on the way. Here it holds to the end of the group.
//! - `\p{...}` wants the exact names of the servers (`Lu`, `Greek`); Go itself reads them loosely
//!   since 1.25.
//! - Nesting deeper than 200 groups is an error; Go allows 1000.

use std::ops::Range;

use regex::Regex;

use crate::{
    Error, ErrorKind,
    error::Subject,
    matcher::{NOTHING, is_meta},
};

/// Rewrites an RE2 regex for the `regex` crate; both match the same texts.
///
/// Neither anchors nor flags are added. For the whole of a label value as Prometheus compares it,
/// wrap the result as `\A(?s:...)\z`; groups keep no captures.
///
/// ```
/// use flamesql_selector::re2;
///
/// assert_eq!(re2::translate(r"v\d+{x}\<")?, r"v[0-9]+\{x\}<");
///
/// let error = re2::translate("a(?=b)").unwrap_err();
/// assert_eq!(error.to_string(), r#"regex "a(?=b)": RE2 has no lookaround (at 1..4)"#);
/// # Ok::<(), flamesql_selector::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::BadRegex`] when RE2 does not read the regex.
pub fn translate(regex: &str) -> Result<String, Error> {
    let mut translator = Translator::new(regex);
    translator.run()?;
    Ok(translator.out)
}

/// Whether RE2 reads the regex. Lists of literals, which may be long, are seen at a glance.
pub(crate) fn check(regex: &str) -> Result<(), Error> {
    match literals(regex) {
        Some(_) => Ok(()),
        None => translate(regex).map(drop),
    }
}

/// The values of a regex which is a list of literals, `a|b\.c|`.
pub(crate) fn literals(regex: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '|' => values.push(std::mem::take(&mut value)),
            '\\' => value.push(chars.next().filter(char::is_ascii_punctuation)?),
            ']' | '}' => value.push(c),
            _ if is_meta(c) => return None,
            _ => value.push(c),
        }
    }
    values.push(value);
    Some(values)
}

/// RE2's limit of a repetition, and of nested repetitions multiplied.
const MAX_REPEAT: u32 = 1000;

/// Groups within groups; `regex` allows 250 levels, of which a filter needs some itself.
const MAX_DEPTH: usize = 200;

/// The class of all characters.
const ANYTHING: &str = r"[\x00-\x{10FFFF}]";

#[derive(Debug)]
struct Translator<'a> {
    regex: &'a str,
    at: usize,
    out: String,
    /// Flag groups that wait for the next atom: a repetition after them belongs in front.
    flags: String,
    groups: Vec<Group>,
    /// The group, or the whole regex, we are in.
    current: Group,
    /// What a repetition would repeat.
    atom: Option<Atom>,
    /// The place of the repetition that was just read.
    repeat: Option<Range<usize>>,
}

/// An open group.
#[derive(Debug, Default)]
struct Group {
    /// Where it is opened in the regex.
    span: Range<usize>,
    /// Where it is opened in the output.
    out: usize,
    /// The largest product of nested repetitions in it.
    weight: u32,
}

#[derive(Debug)]
struct Atom {
    /// Where it begins in the output.
    out: usize,
    /// The largest product of nested repetitions in it.
    weight: u32,
    is_repeated: bool,
}

impl<'a> Translator<'a> {
    fn new(regex: &'a str) -> Self {
        Self {
            regex,
            at: 0,
            out: String::with_capacity(regex.len() + 16),
            flags: String::new(),
            groups: Vec::new(),
            current: Group::default(),
            atom: None,
            repeat: None,
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        while let Some(c) = self.peek() {
            let repeat = self.repeat.take();
            let start = self.at;
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.at += 1;
                    self.leave_atom();
                    self.flush();
                    self.out.push('|');
                }
                '[' => self.class()?,
                '*' | '+' | '?' => {
                    self.at += 1;
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repetition(start, min, max, repeat)?;
                }
                '{' => match self.counts() {
                    Some((min, max, len)) => {
                        self.at += len;
                        self.counted(start, min, max, repeat)?;
                    }
                    None => {
                        self.at += 1;
                        self.literal('{');
                    }
                },
                '\\' => self.escape()?,
                '^' | '$' | '.' => {
                    self.at += 1;
                    self.push_atom(c.encode_utf8(&mut [0; 4]));
                }
                _ => {
                    self.at += c.len_utf8();
                    self.literal(c);
                }
            }
        }
        self.leave_atom();
        if self.groups.is_empty() {
            return Ok(());
        }
        Err(self.error(self.current.span.clone(), "this \"(\" is not closed"))
    }

    // Reading.

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.regex[self.at..]
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadRegex, Subject::Regex, self.regex, span).with_message(message)
    }

    // Writing.

    /// Writes the flags that are waiting.
    fn flush(&mut self) {
        self.out.push_str(&self.flags);
        self.flags.clear();
    }

    fn push_atom(&mut self, text: &str) {
        self.leave_atom();
        self.flush();
        self.atom = Some(Atom { out: self.out.len(), weight: 1, is_repeated: false });
        self.out.push_str(text);
    }

    fn literal(&mut self, c: char) {
        self.push_atom("");
        if is_meta(c) {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    /// The character of a number, which may be a surrogate: RE2 allows them and never meets one.
    fn literal_number(&mut self, number: u32) {
        match char::from_u32(number) {
            Some(c) => self.literal(c),
            None => self.push_atom(NOTHING),
        }
    }

    /// The atom cannot be repeated any more.
    fn leave_atom(&mut self) {
        if let Some(atom) = self.atom.take() {
            self.current.weight = self.current.weight.max(atom.weight);
        }
    }

    // Groups and flags.

    fn open(&mut self) -> Result<(), Error> {
        let start = self.at;
        let rest = self.rest();
        let named = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<"));
        let is_lookbehind = rest.starts_with("(?<=") || rest.starts_with("(?<!");
        if let Some(name) = named.filter(|_| !is_lookbehind) {
            let name_start = self.regex.len() - name.len();
            let Some(len) = name.find('>') else {
                return Err(self.error(start..self.regex.len(), "this group name has no \">\""));
            };
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if len == 0 || !name.bytes().take(len).all(is_name) {
                let span = start..name_start + len + 1;
                let message = "a group name is letters, digits and \"_\"";
                return Err(self.error(span, message));
            }
            self.at = name_start + len + 1;
            return self.push_group(start, "(?:");
        }
        if rest.starts_with("(?") {
            return self.flag_group();
        }
        self.at += 1;
        self.push_group(start, "(?:")
    }

    fn push_group(&mut self, start: usize, text: &str) -> Result<(), Error> {
        self.leave_atom();
        if self.groups.len() >= MAX_DEPTH {
            let message = format!("groups are nested deeper than {MAX_DEPTH}");
            return Err(self.error(start..self.at, message));
        }
        self.flush();
        let group = Group { span: start..self.at, out: self.out.len(), weight: 1 };
        self.groups.push(std::mem::replace(&mut self.current, group));
        self.out.push_str(text);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.leave_atom();
        let Some(outer) = self.groups.pop() else {
            return Err(self
                .error(self.at..self.at + 1, "this \")\" closes nothing")
                .with_hint("a literal one is \\) in the regex"));
        };
        self.at += 1;
        // Flags at the end of a group are of no use.
        self.flags.clear();
        self.out.push(')');
        let Group { out, weight, .. } = std::mem::replace(&mut self.current, outer);
        self.atom = Some(Atom { out, weight, is_repeated: false });
        Ok(())
    }

    /// `(?i)` for the rest of the group, `(?i:` for a group, and all else that begins with `(?`.
    fn flag_group(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 2;
        // For each of RE2's flags, whether it is set or cleared here; the last word counts.
        let mut values = [("i", None), ("m", None), ("s", None), ("U", None)];
        let mut is_negated = false;
        let mut needs_flag = false;
        loop {
            let Some(c) = self.peek() else {
                return Err(self.error(start..self.at, "these flags are not closed"));
            };
            self.at += c.len_utf8();
            match c {
                'i' | 'm' | 's' | 'U' => {
                    for (flag, value) in &mut values {
                        if flag.starts_with(c) {
                            *value = Some(!is_negated);
                        }
                    }
                    needs_flag = false;
                }
                '-' if !is_negated => (is_negated, needs_flag) = (true, true),
                ':' | ')' if !needs_flag => break self.push_flags(start, c, &values),
                _ => break Err(self.bad_group(start)),
            }
        }
    }

    fn push_flags(
        &mut self,
        start: usize,
        end: char,
        values: &[(&str, Option<bool>)],
    ) -> Result<(), Error> {
        let named =
            |value| values.iter().filter(move |flag| flag.1 == Some(value)).map(|flag| flag.0);
        let mut text: String = named(true).collect();
        if named(false).next().is_some() {
            text.push('-');
            text.extend(named(false));
        }
        if end == ':' {
            return self.push_group(start, &format!("(?{text}:"));
        }
        if !text.is_empty() {
            self.flags.push_str(&format!("(?{text})"));
        }
        Ok(())
    }

    fn bad_group(&self, start: usize) -> Error {
        let rest = &self.regex[start..];
        let lookaround = ["(?=", "(?!", "(?<=", "(?<!"];
        if let Some(found) = lookaround.iter().find(|lookaround| rest.starts_with(**lookaround)) {
            return self
                .error(start..start + found.len(), "RE2 has no lookaround")
                .with_hint("add a second matcher for the label, with !~ for what must not match");
        }
        self.error(start..self.at, "unknown flag or group")
            .with_hint("flags of RE2 are i, m, s and U")
    }

    // Repetitions.

    /// `{2}`, `{2,}`, `{2,3}` at the current place with their length; `None` if the brace is a
    /// literal. Numbers saturate.
    fn counts(&self) -> Option<(u32, Option<u32>, usize)> {
        let inside = self.rest().strip_prefix('{')?;
        let (min, rest) = number(inside)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Some(min), rest),
            Some(rest) if rest.starts_with('}') => (None, rest),
            Some(rest) => number(rest).map(|(max, rest)| (Some(max), rest))?,
        };
        let rest = rest.strip_prefix('}')?;
        Some((min, max, self.rest().len() - rest.len()))
    }

    fn counted(
        &mut self,
        start: usize,
        min: u32,
        max: Option<u32>,
        previous: Option<Range<usize>>,
    ) -> Result<(), Error> {
        let span = start..self.at;
        if min.max(max.unwrap_or(0)) > MAX_REPEAT {
            let message = format!("RE2 repeats at most {MAX_REPEAT} times");
            return Err(self.error(span, message));
        }
        if max.is_some_and(|max| min > max) {
            return Err(self.error(span, "the bounds of this repetition are in the wrong order"));
        }
        self.repetition(start, min, max, previous)
    }

    fn repetition(
        &mut self,
        start: usize,
        min: u32,
        max: Option<u32>,
        previous: Option<Range<usize>>,
    ) -> Result<(), Error> {
        let operator = &self.regex[start..self.at];
        let is_lazy = self.rest().starts_with('?');
        self.at += usize::from(is_lazy);
        let span = start..self.at;
        if let Some(previous) = previous {
            let whole = previous.start..span.end;
            return Err(self
                .error(whole, "RE2 does not repeat a repetition")
                .with_hint("group the inner one: (?:a*)*"));
        }
        let Some(mut atom) = self.atom.take() else {
            return Err(self
                .error(
                    start..start + operator.len(),
                    format!("nothing to repeat before \"{operator}\""),
                )
                .with_hint("any text is .* in a regex"));
        };
        if atom.is_repeated {
            self.out.insert_str(atom.out, "(?:");
            self.out.push(')');
        }
        let count = match max {
            Some(0) => 0,
            Some(max) => max,
            None => min,
        };
        if operator.starts_with('{') {
            let weight = match (max, count) {
                // Nothing in it is ever repeated.
                (Some(0), _) => 1,
                (_, 0) => atom.weight,
                _ => atom.weight.saturating_mul(count),
            };
            if weight > MAX_REPEAT {
                let message =
                    format!("RE2 repeats at most {MAX_REPEAT} times, all nested ones together");
                return Err(self.error(span, message));
            }
            atom.weight = weight;
        }
        match (operator, max) {
            ("*" | "+" | "?", _) => self.out.push_str(operator),
            (_, None) => self.out.push_str(&format!("{{{min},}}")),
            (_, Some(max)) => self.out.push_str(&format!("{{{min},{max}}}")),
        }
        if is_lazy {
            self.out.push('?');
        }
        self.repeat = Some(span);
        self.atom = Some(Atom { is_repeated: true, ..atom });
        Ok(())
    }

    // Escapes.

    fn escape(&mut self) -> Result<(), Error> {
        let start = self.at;
        let rest = &self.rest()[1..];
        let Some(c) = rest.chars().next() else {
            return Err(self
                .error(start..start + 1, "a lone \"\\\" at the end")
                .with_hint("a literal one is \\\\ in the regex"));
        };
        let perl = match c {
            'A' => r"\A",
            'z' => r"\z",
            'b' => r"(?-u:\b)",
            'B' => r"(?-u:\B)",
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => r"[\t\n\f\r ]",
            'S' => r"[^\t\n\f\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            'Q' => {
                let quoted = &rest[1..];
                let len = quoted.find(r"\E").unwrap_or(quoted.len());
                for c in quoted[..len].chars() {
                    self.literal(c);
                }
                let end = start + 2 + len;
                self.at = if quoted.len() > len { end + 2 } else { end };
                return Ok(());
            }
            'p' | 'P' => {
                let class = self.unicode_class()?;
                self.push_atom(&class);
                return Ok(());
            }
            _ => {
                let number = self.character_escape()?;
                self.literal_number(number);
                return Ok(());
            }
        };
        self.at += 2;
        self.push_atom(perl);
        Ok(())
    }

    /// An escape that stands for one character, in classes and outside; moves behind it.
    fn character_escape(&mut self) -> Result<u32, Error> {
        let start = self.at;
        let rest = &self.rest()[1..];
        let Some(c) = rest.chars().next() else {
            return Err(self.error(start..start + 1, "a lone \"\\\" at the end"));
        };
        let is_octal = |digit: Option<char>| digit.is_some_and(|digit| digit.is_digit(8));
        let (number, len) = match c {
            'a' => (0x07, 1),
            'f' => (0x0c, 1),
            'n' => (0x0a, 1),
            'r' => (0x0d, 1),
            't' => (0x09, 1),
            'v' => (0x0b, 1),
            '0'..='7' if c == '0' || is_octal(rest.chars().nth(1)) => {
                let digits = rest.chars().take(3).take_while(|digit| digit.is_digit(8));
                let (number, len) = digits
                    .filter_map(|digit| digit.to_digit(8))
                    .fold((0, 0), |(number, len), digit| (number * 8 + digit, len + 1));
                (number, len)
            }
            'x' => {
                let Some((number, len)) = hex(&rest[1..]) else {
                    let span = start..start + 2;
                    let message = "expected two hex digits or {...} after \"\\x\"";
                    return Err(self.error(span, message));
                };
                (number, 1 + len)
            }
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => (c as u32, 1),
            _ => {
                let span = start..start + 1 + c.len_utf8();
                let error = self.error(span, format!("unknown escape \\{}", c.escape_debug()));
                return Err(match c {
                    '1'..='9' => error.with_hint("RE2 has no back references"),
                    'Z' => error.with_hint("the end of the text is \\z"),
                    _ => error,
                });
            }
        };
        self.at = start + 1 + len;
        Ok(number)
    }

    /// `\pN`, `\p{Greek}`, `\P{^Lu}` as a class of Rust; moves behind it.
    fn unicode_class(&mut self) -> Result<String, Error> {
        let start = self.at;
        let mut is_negated = self.rest().starts_with(r"\P");
        let rest = &self.rest()[2..];
        let (name, len) = match rest.strip_prefix('{') {
            Some(inside) => match inside.find('}') {
                Some(len) => (&inside[..len], len + 2),
                None => {
                    let span = start..self.regex.len();
                    return Err(self.error(span, "this class name has no \"}\""));
                }
            },
            None => {
                let len = rest.chars().next().map_or(0, char::len_utf8);
                (&rest[..len], len)
            }
        };
        self.at += 2 + len;
        let name = match name.strip_prefix('^') {
            Some(name) => {
                is_negated = !is_negated;
                name
            }
            None => name,
        };
        let p = if is_negated { 'P' } else { 'p' };
        let class = match name {
            // Surrogates are no characters to Rust.
            "Any" if is_negated => NOTHING.to_owned(),
            "Any" => ANYTHING.to_owned(),
            "Cs" if is_negated => ANYTHING.to_owned(),
            "Cs" => NOTHING.to_owned(),
            _ if CATEGORIES.contains(&name) => format!(r"\{p}{{gc={name}}}"),
            _ if is_script(name) => format!(r"\{p}{{sc={name}}}"),
            _ => {
                let span = start..self.at;
                let error = self.error(span, "this is no Unicode category or script of RE2");
                return Err(
                    error.with_hint("names are short and exact, as in \\p{Lu} and \\p{Greek}")
                );
            }
        };
        Ok(class)
    }

    // Classes.

    fn class(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let is_negated = self.rest().starts_with('^');
        self.at += usize::from(is_negated);
        let first = self.at;
        let mut items = String::new();
        loop {
            let rest = self.rest();
            let Some(c) = self.peek() else {
                return Err(self
                    .error(start..start + 1, "this \"[\" is not closed")
                    .with_hint("a literal one is \\[ in the regex"));
            };
            if c == ']' && self.at > first {
                self.at += 1;
                break;
            }
            if let Some(posix) = self.posix_class()? {
                items.push_str(posix);
                continue;
            }
            if rest.starts_with(r"\p") || rest.starts_with(r"\P") {
                let class = self.unicode_class()?;
                items.push_str(&class);
                continue;
            }
            if let Some(perl) = perl_class_items(rest) {
                self.at += 2;
                items.push_str(perl);
                continue;
            }
            self.range(start, &mut items)?;
        }
        let class = match (is_negated, items.is_empty()) {
            (false, false) => format!("[{items}]"),
            (true, false) => format!("[^{items}]"),
            (false, true) => NOTHING.to_owned(),
            (true, true) => ANYTHING.to_owned(),
        };
        self.push_atom(&class);
        Ok(())
    }

    /// `[:alpha:]` at the current place.
    fn posix_class(&mut self) -> Result<Option<&'a str>, Error> {
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix("[:") else { return Ok(None) };
        let Some(len) = inside.find(":]") else { return Ok(None) };
        let name = &inside[..len];
        let start = self.at;
        self.at += len + 4;
        if POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Ok(Some(&rest[..len + 4]));
        }
        Err(self.error(start..self.at, format!("unknown class [:{}:]", name.escape_debug())))
    }

    /// A character or a range of them.
    fn range(&mut self, class_start: usize, items: &mut String) -> Result<(), Error> {
        let start = self.at;
        let low = self.class_character(class_start)?;
        let mut high = low;
        let rest = self.rest();
        if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
            self.at += 1;
            high = self.class_character(class_start)?;
            if high < low {
                let message = "the ends of this range are in the wrong order";
                return Err(self.error(start..self.at, message));
            }
        }
        // Surrogates are no characters in Rust: shrink the range around them.
        let low = char::from_u32(low).unwrap_or('\u{e000}');
        let high = char::from_u32(high).unwrap_or('\u{d7ff}');
        if low <= high {
            push_class_char(low, items);
        }
        if low < high {
            items.push('-');
            push_class_char(high, items);
        }
        Ok(())
    }

    fn class_character(&mut self, class_start: usize) -> Result<u32, Error> {
        match self.peek() {
            Some('\\') => self.character_escape(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c as u32)
            }
            None => Err(self.error(class_start..class_start + 1, "this \"[\" is not closed")),
        }
    }
}

/// A number of a repetition, without leading zeros, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let len = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// `41` or `{e9}` with its length.
fn hex(text: &str) -> Option<(u32, usize)> {
    let (digits, len) = match text.strip_prefix('{') {
        Some(inside) => {
            let len = inside.find('}')?;
            (&inside[..len], len + 2)
        }
        None => (text.get(..2)?, 2),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let number = match significant {
        "" => 0,
        _ => u32::from_str_radix(significant, 16).ok()?,
    };
    (number <= char::MAX as u32).then_some((number, len))
}

fn push_class_char(c: char, items: &mut String) {
    if matches!(c, '\\' | '[' | ']' | '^' | '-' | '&' | '~') {
        items.push('\\');
    }
    items.push(c);
}

/// `\d` and its like as items of a class.
fn perl_class_items(text: &str) -> Option<&'static str> {
    Some(match text.as_bytes() {
        [b'\\', b'd', ..] => "0-9",
        [b'\\', b'D', ..] => "[^0-9]",
        [b'\\', b's', ..] => r"\t\n\f\r ",
        [b'\\', b'S', ..] => r"[^\t\n\f\r ]",
        [b'\\', b'w', ..] => "0-9A-Za-z_",
        [b'\\', b'W', ..] => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// The names of `[:alpha:]` and so on, which mean the same to both.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// The general categories of Unicode, save the surrogates.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Cn", "Co", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn",
    "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm",
    "So", "Z", "Zl", "Zp", "Zs",
];

/// Scripts whose name is as long as the codes (`Grek`) which Rust knows and RE2 does not.
const SHORT_SCRIPTS: [&str; 9] =
    ["Ahom", "Cham", "Kawi", "Lisu", "Miao", "Modi", "Newa", "Thai", "Toto"];

/// Whether Unicode has a script of this name. Asks `regex` rather than listing all of them; Rust
/// reads names loosely, hence the look at the letters first.
fn is_script(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().skip(1).all(|b| b.is_ascii_lowercase())
    };
    let is_exact = name.split('_').all(is_word) || name == "SignWriting";
    let is_code = name.len() == 4 && !SHORT_SCRIPTS.contains(&name);
    is_exact && !is_code && Regex::new(&format!(r"\p{{sc={name}}}")).is_ok()
}
