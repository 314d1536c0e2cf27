//! What JSON of protobuf may hold that the generated code does not read: `null` for a field that is not given, and whole
//! numbers written with a fraction or an exponent.
//!
//! What is left out becomes blanks, so that what is wrong with the text otherwise is told at the right place. What is no JSON
//! stays none.

/// The same text without members that are `null`, and with whole numbers written as such.
pub(crate) fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut open: Vec<Level> = Vec::new();
    let mut rest = text;
    while let Some(byte) = rest.first().copied() {
        let object = open.last_mut().filter(|level| level.is_object);
        let mut n = 1;
        match byte {
            b'{' | b'[' => open.push(Level { is_object: byte == b'{', ..Level::default() }),
            b'}' | b']' => drop(open.pop()),
            b',' => {
                if let Some(object) = object {
                    object.key = None;
                    // Behind what was left out first, nothing is there to be separated from.
                    if std::mem::take(&mut object.is_open) {
                        out.push(b' ');
                        rest = &rest[1..];
                        continue;
                    }
                    object.comma = (object.n_left > 0).then_some(out.len());
                }
            }
            b'"' => {
                n = length_of_text(rest);
                if let Some(object) = object {
                    if object.is_open && object.key.is_none() {
                        // There was none where there should be one.
                        out.push(b',');
                    }
                    object.begin(out.len());
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_number =
                    |b: &&u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                n = rest.iter().take_while(is_number).count();
                if let Some(whole) = whole(&rest[..n]) {
                    out.extend_from_slice(whole.as_bytes());
                    out.resize(out.len() + n.saturating_sub(whole.len()), b' ');
                    rest = &rest[n..];
                    continue;
                }
            }
            b'n' if rest.starts_with(b"null") => {
                n = 4;
                let is_value = out.iter().rev().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
                if let Some(object) = object.filter(|_| is_value)
                    && let Some(key) = object.key.take()
                {
                    out.resize(out.len() + n, b' ');
                    out[key..].fill(b' ');
                    object.n_left -= 1;
                    match object.comma.take() {
                        Some(comma) => out[comma] = b' ',
                        None => object.is_open = true,
                    }
                    rest = &rest[n..];
                    continue;
                }
            }
            _ => {}
        }
        out.extend_from_slice(&rest[..n]);
        rest = &rest[n..];
    }
    out
}

/// An object or a list that is not closed yet.
#[derive(Default)]
struct Level {
    is_object: bool,
    /// Where the member begins that is being read.
    key: Option<usize>,
    /// The comma before it.
    comma: Option<usize>,
    /// How many members are left so far, this one included.
    n_left: usize,
    /// Whether the last member was left out, and the comma behind it has to be.
    is_open: bool,
}

impl Level {
    /// A text is the name of a member unless that is there already.
    fn begin(&mut self, at: usize) {
        if self.key.is_none() {
            self.key = Some(at);
            self.n_left += 1;
        }
    }
}

/// The bytes of a text that begins with a quote, both quotes included.
fn length_of_text(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// A number without its fraction, if it has one that is 0.
fn whole(number: &[u8]) -> Option<String> {
    if number.iter().all(|b| matches!(b, b'-' | b'0'..=b'9')) {
        return None;
    }
    let number: f64 = serde_json::from_slice(number).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
    (number.fract() == 0.0 && number.abs() < EXACT).then(|| (number as i64).to_string())
}

/// From here on a double does not hold every whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_null_is_left_out() {
        for (text, right) in [
            (r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":null,"b":1}"#, r#"{"b":1}"#),
            (r#"{"b":1,"a":null}"#, r#"{"b":1}"#),
            (r#"{"b":1, "a" : null , "c":2}"#, r#"{"b":1,"c":2}"#),
            (r#"{"a":null,"b":null,"c":2,"d":null,"e":null}"#, r#"{"c":2}"#),
            (r#"{"a":null,"b":null}"#, r#"{}"#),
            (r#"{"x":{"a":null},"y":[{"b":null,"c":"null"}]}"#, r#"{"x":{},"y":[{"c":"null"}]}"#),
            (r#"{"a\"b":null,"c\\":"\"null"}"#, r#"{"c\\":"\"null"}"#),
            (r#"{"x":{},"a":null,"y":[]}"#, r#"{"x":{},"y":[]}"#),
            // In a list nothing can be left out.
            (r#"{"a":[null,1,null]}"#, r#"{"a":[null,1,null]}"#),
            (r#"[null,{"a":null}]"#, r#"[null,{}]"#),
            ("null", "null"),
        ] {
            let plain = plain(text.as_bytes());
            let given: Value = serde_json::from_slice(&plain).expect(text);
            assert_eq!(given, serde_json::from_str::<Value>(right).unwrap(), "{text}");
            assert_eq!(plain.len(), text.len());
        }
    }

    #[test]
    fn whole_numbers_are_written_so() {
        for (text, right) in [
            ("5.0", "5"),
            ("-5.00", "-5"),
            ("15e-1", "15e-1"),
            ("150e-1", "15"),
            ("1.5e1", "15"),
            ("1794268800000.0", "1794268800000"),
            ("1.7942688e12", "1794268800000"),
            ("4e12", "4000000000000"),
            ("1e300", "1e300"),
            ("0.5", "0.5"),
            ("9007199254740993.0", "9007199254740993.0"),
            ("9223372036854775807", "9223372036854775807"),
            (r#""5.0""#, r#""5.0""#),
        ] {
            let plain = String::from_utf8(plain(text.as_bytes())).unwrap();
            assert_eq!(plain.trim_end(), right);
        }
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in [
            "",
            "{",
            "}",
            "]",
            ",",
            "\"",
            "{\"",
            "\"\\",
            "{\"a\":",
            "nul",
            "{null}",
            "{\"a\":nullnull}",
            "{\"a\" null}",
            "{,\"a\":null}",
            "{\"a\":null,,}",
            "{\"a\":null \"b\":1}",
            "{\"b\":1,\"a\":null \"c\":1}",
            "1.e",
            "-",
            "e",
            "[1.0.0]",
            "{\"a\":null]",
        ] {
            let plain = plain(text.as_bytes());
            assert!(serde_json::from_slice::<Value>(&plain).is_err(), "{text}");
        }
    }
}
