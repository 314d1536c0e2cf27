//! Texts and numbers as JSON has them.

/// A text in quotes. Most have nothing that needs a backslash, and are looked at eight bytes at a time and copied whole.
pub(crate) fn push(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    while let Some(n) = first_special(&bytes[from..]) {
        out.extend_from_slice(&bytes[from..from + n]);
        escape(out, bytes[from + n]);
        from += n + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// A number, or null for what JSON has none for. Whether it was one.
pub(crate) fn push_number(out: &mut Vec<u8>, value: impl zmij::Float + Into<f64>) -> bool {
    let is_number = value.into().is_finite();
    match is_number {
        true => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        false => out.extend_from_slice(b"null"),
    }
    is_number
}

/// A number without a fraction.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Where the first byte is that JSON wants behind a backslash.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let words = bytes.chunks_exact(8);
    let n_whole = bytes.len() - words.remainder().len();
    for (idx, word) in words.enumerate() {
        let word: [u8; 8] = word.try_into().expect("chunks of eight are eight");
        if may_be_special(u64::from_le_bytes(word)) {
            // Seldom, and one byte tells for sure what eight only hint at.
            if let Some(at) = word.iter().position(|byte| is_special(*byte)) {
                return Some(idx * 8 + at);
            }
        }
    }
    bytes[n_whole..].iter().position(|byte| is_special(*byte)).map(|at| n_whole + at)
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Whether one of eight bytes is below a blank, a quote or a backslash: a subtraction that borrows from the top bit of a
/// byte shows that the byte was smaller. It never misses one, and may see one too many behind another.
fn may_be_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | is(b'"') | is(b'\\')) & TOPS != 0
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        push(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_character_is_written_wherever_it_stands() {
        for c in (0..=0x2ff).filter_map(char::from_u32).chain(['\u{2028}', '\u{ffff}', '🔥']) {
            for n in 0..20 {
                let text = format!("{}{c}{}", "a".repeat(n), "\u{7f}é".repeat(19 - n));
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn a_number_has_the_digits_that_it_needs() {
        let written = |write: &dyn Fn(&mut Vec<u8>) -> bool| {
            let mut out = Vec::new();
            let is_number = write(&mut out);
            (String::from_utf8(out).unwrap(), is_number)
        };
        for (value, text) in
            [(0.1, "0.1"), (-0.0, "-0.0"), (1e-45, "1e-45"), (f32::MAX, "3.4028235e+38")]
        {
            assert_eq!(written(&|out| push_number(out, value)), (text.to_owned(), true));
        }
        for (value, text) in [
            (0.1, "0.1"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (1e15, "1000000000000000.0"),
        ] {
            assert_eq!(written(&|out| push_number(out, value)), (text.to_owned(), true));
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(written(&|out| push_number(out, value)), ("null".to_owned(), false));
        }
    }

    proptest! {
        #[test]
        fn texts_are_written_as_serde_writes_them(text in "(?s)([ -~]|.|[\\x00-\\x22\\\\]){0,40}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
