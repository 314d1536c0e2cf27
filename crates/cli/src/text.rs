//! Text as a terminal can take it: names come from files, and may hold anything.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What stands where a text was cut.
pub(crate) const ELLIPSIS: char = '…';

/// The text with what would move the cursor, colour or reorder it written as escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_active(c) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The text in one line: line breaks are blanks.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    printable(&lines.join(" ")).into_owned()
}

/// Whether a terminal would do something else with it than show it: controls, and marks that turn the writing direction.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to so many columns, one of which says where: in the middle, for both ends of a stack, a path or a
/// function's name tell more.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let left = columns.saturating_sub(1);
    let mut shown = fitting(text.chars(), left.div_ceil(2));
    shown.push(ELLIPSIS);
    let tail = fitting(text.chars().rev(), left / 2);
    shown.extend(tail.chars().rev());
    Cow::Owned(shown)
}

/// The first characters that fit in so many columns.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    chars
        .take_while(|c| {
            let width = c.width().unwrap_or(0);
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        })
        .collect()
}

/// Adds blanks up to so many columns.
pub(crate) fn pad(line: &mut String, n_columns: usize) {
    line.extend(std::iter::repeat_n(' ', n_columns));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_is_left() {
        assert_eq!(printable("größe 世界"), "größe 世界");
        assert_eq!(printable("a\u{1b}[31m\n\t\u{202e}b"), "a\\u{1b}[31m\\n\\t\\u{202e}b");
        assert_eq!(one_line(" a\n  b\r\n\nc "), "a b c");
    }

    #[test]
    fn a_cut_says_so_and_keeps_to_its_columns() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc…fg");
        assert_eq!(cut("世界世界", 6), "世…界");
        assert_eq!(cut("abc", 0), "…");
    }
}
