//! All integration tests of the crate in one binary.
//!
//! Adding a case mostly means adding a line to a file in `tests/data`:
//! `grammar.txt` and `regex.txt` hold our own answers, `prometheus.txt` and `go_regex.txt` what the
//! real ones said.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail by panicking")]

/// Our answers to selectors, right and wrong: canonical text, or error and report.
mod grammar;

/// What Prometheus accepts, from a table.
mod prometheus;

/// Properties on generated text: round trip, no panic.
mod properties;

/// Agreement with `promql-parser` on generated text, and the list of differences.
#[cfg(feature = "match")]
mod promql;

/// Translated regexes against Go's answers, from a table.
#[cfg(feature = "match")]
mod regex;

/// Matching label sets.
#[cfg(feature = "match")]
mod filter;

/// Decodes what Go's `%q` wrote.
fn unquote(quoted: &str) -> String {
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut chars = inside.expect("a quoted string").chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let n_digits = match chars.next().expect("an escape") {
            'n' => {
                text.push('\n');
                continue;
            }
            'r' => {
                text.push('\r');
                continue;
            }
            't' => {
                text.push('\t');
                continue;
            }
            'v' => {
                text.push('\x0b');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c => {
                assert!(matches!(c, '"' | '\\'), "unexpected escape in {quoted}");
                text.push(c);
                continue;
            }
        };
        let digits: String = chars.by_ref().take(n_digits).collect();
        let number = u32::from_str_radix(&digits, 16).expect("hex digits");
        text.push(char::from_u32(number).expect("a character"));
    }
    text
}
