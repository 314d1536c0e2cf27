//! The table of what Prometheus makes of selectors.

use flamesql_selector::{ErrorKind, Selector};

use super::unquote;

const TABLE: &str = include_str!("../data/prometheus.txt");

#[test]
fn table() {
    let mut n_cases = 0;
    for line in TABLE.lines().filter(|line| line.starts_with('"')) {
        let (quoted, expected) = line.split_once('\t').unwrap();
        let input = unquote(quoted);
        if cfg!(not(feature = "match")) && input.contains('~') {
            continue;
        }
        n_cases += 1;
        let parsed = Selector::parse(&input);
        match &parsed {
            Err(error) if is_difference(&input, error.kind()) => assert_ne!(expected, "!"),
            Ok(selector) => assert_eq!(canonical(selector), expected, "{quoted}"),
            Err(error) => assert_eq!("!", expected, "{error}"),
        }
    }
    assert!(n_cases > 200);
}

/// What Prometheus takes and we do not; also written in lib.rs.
fn is_difference(input: &str, kind: ErrorKind) -> bool {
    match kind {
        // Values are text here and bytes in Go.
        ErrorKind::InvalidUtf8 => input.contains(r"\xff") || input.contains(r"\377"),
        // ParseMetricSelector leaves out a check that expressions have.
        ErrorKind::TwoMetricNames => input.starts_with("up{"),
        _ => false,
    }
}

/// Prometheus prints a raw U+FFFD, which it does not read again; we print an escape.
fn canonical(selector: &Selector) -> String {
    selector.to_string().replace(r"\ufffd", "\u{fffd}")
}
