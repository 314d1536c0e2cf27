//! Agreement with `promql-parser`, an independent reading of the same grammar.

use flamesql_selector::{Error, ErrorKind, Filter, LabelMatcher, MatchOp, Matcher, Selector};
use promql_parser::{
    label::MatchOp as TheirOp,
    parser::{self, Expr},
};
use proptest::prelude::*;

use super::properties::nearly_selector;

/// A text and what both make of it.
struct Case<'a> {
    text: &'a str,
    ours: Result<Selector, Error>,
    theirs: Result<Selector, String>,
}

/// Whether a case is of the kind.
type Excuse = fn(&Case<'_>) -> bool;

/// Where the two may differ, and why. Each was settled by Prometheus itself: a case of its kind is
/// in `tests/data/prometheus.txt`.
const DIFFERENCES: &[(&str, Excuse)] = &[
    ("theirs reads expressions, which may not select everything", |case| {
        let is_empty = |matcher: &LabelMatcher| matcher.matches_value("");
        case.theirs.is_err()
            && case.ours.as_ref().is_ok_and(|selector| {
                Filter::new(selector).unwrap().matchers().iter().all(is_empty)
            })
    }),
    ("theirs reads escapes in backticks", |case| {
        case.theirs.is_err() && case.text.contains('`') && case.text.contains('\\')
    }),
    ("theirs takes a byte escape for a character, Go for a byte of UTF-8", |case| {
        let is_utf8_error = |error: &Error| error.kind() == ErrorKind::InvalidUtf8;
        case.text.contains('\\')
            && (case.ours.is_ok() || case.ours.as_ref().is_err_and(is_utf8_error))
            && case.theirs.as_ref().is_ok_and(|selector| {
                selector.matchers.iter().any(|matcher| {
                    [&matcher.name, &matcher.value]
                        .iter()
                        .any(|text| text.contains(|c| ('\u{80}'..='\u{ff}').contains(&c)))
                })
            })
    }),
    ("theirs takes a raw U+FFFD", |case| {
        case.ours.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
            && case.text.contains(char::REPLACEMENT_CHARACTER)
    }),
    ("theirs compiles regexes within parentheses and as Rust reads them", |case| {
        let is_regex_error = |error: &Error| error.kind() == ErrorKind::BadRegex;
        case.ours.as_ref().is_err_and(is_regex_error)
            || case.theirs.as_ref().is_err_and(|error| error.starts_with("illegal regex"))
    }),
    ("theirs has `or` between matchers, which no server of ours knows", |case| {
        case.text.contains("or")
            && case.ours.as_ref().is_err_and(|error| error.kind() == ErrorKind::ExpectedComma)
    }),
];

fn theirs(text: &str) -> Result<Selector, String> {
    let Expr::VectorSelector(selector) = parser::parse(text)? else {
        return Err("another expression".to_owned());
    };
    if selector.offset.is_some() || selector.at.is_some() {
        return Err("more than a selector".to_owned());
    }
    let matchers = selector.matchers.matchers.into_iter().map(|matcher| {
        let op = match matcher.op {
            TheirOp::Equal => MatchOp::Equal,
            TheirOp::NotEqual => MatchOp::NotEqual,
            TheirOp::Re(_) => MatchOp::Regex,
            TheirOp::NotRe(_) => MatchOp::NotRegex,
        };
        Matcher::new(matcher.name, op, matcher.value)
    });
    let name = selector.name.map(|name| Matcher::equal("__name__", name));
    Ok(matchers.chain(name).collect())
}

fn check(text: &str) {
    let case = Case { text, ours: Selector::parse(text), theirs: theirs(text) };
    let agree = match (&case.ours, &case.theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(_), Err(_)) => true,
        _ => false,
    };
    assert!(
        agree || DIFFERENCES.iter().any(|(_, excuses)| excuses(&case)),
        "{text:?}\n  ours: {:?}\ntheirs: {:?}",
        case.ours,
        case.theirs
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn agrees(text in nearly_selector()) {
        check(&text);
    }
}

/// A difference nobody needs any more goes off the list.
#[test]
fn differences_exist() {
    let texts =
        ["{}", "{`\\`}", r#"{a="\xff"}"#, "{a=`\u{fffd}`}", "{a=~'x)|(y'}", "{a='b' or c='d'}"];
    for (text, (reason, excuses)) in texts.iter().zip(DIFFERENCES) {
        let case = Case { text, ours: Selector::parse(text), theirs: theirs(text) };
        assert!(case.ours.is_ok() != case.theirs.is_ok() && excuses(&case), "{reason}");
    }
}
