//! The target of label selectors.

use flamesql_selector::{Error, ErrorKind, Filter, LabelMatcher, MatchOp, Matcher, Selector};

/// What parses is printed and parsed again as the same, also in the form for old servers; it compiles, and each condition
/// is the opposite of its negation.
///
/// # Panics
///
/// If one of these does not hold.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            check_error(&error, text);
            if let Ok(all) = Selector::parse_or_all(text) {
                assert!(error.kind() == ErrorKind::Empty && all.is_all());
            }
            return;
        }
    };
    let printed = selector.to_string();
    assert_eq!(Selector::parse(&printed).as_ref(), Ok(&selector), "printed as {printed:?}");
    assert_eq!(Selector::parse_or_all(text).as_ref(), Ok(&selector));
    if let Ok(legacy) = selector.display_legacy() {
        assert_eq!(legacy, printed, "a name without quotes is written the same everywhere");
    }
    match Filter::new(&selector) {
        Ok(filter) => {
            assert_eq!(filter.matchers().len(), selector.matchers.len());
            for matcher in &selector.matchers {
                check_matcher(matcher);
            }
            assert!(!selector.is_all() || filter.matches(|_| None));
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::RegexTooLarge, "parsing checks regexes: {error}");
        }
    }
}

fn check_matcher(matcher: &Matcher) {
    let opposite = match matcher.op {
        MatchOp::Equal => MatchOp::NotEqual,
        MatchOp::NotEqual => MatchOp::Equal,
        MatchOp::Regex => MatchOp::NotRegex,
        MatchOp::NotRegex => MatchOp::Regex,
    };
    let opposite = Matcher::new(&matcher.name, opposite, &matcher.value);
    let compile = |matcher| LabelMatcher::new(matcher).expect("the whole filter compiled");
    let (is, is_not) = (compile(matcher), compile(&opposite));
    for value in ["", "a", "\n", &matcher.value] {
        assert_ne!(is.matches_value(value), is_not.matches_value(value), "{matcher} of {value:?}");
        if !matcher.op.is_regex() {
            let is_equal = value == matcher.value;
            assert_eq!(is.matches_value(value), is_equal != matcher.op.is_negated());
        }
    }
}

pub(crate) fn check_error(error: &Error, text: &str) {
    let span = error.span();
    assert!(span.start <= span.end && span.end <= error.input().len(), "{error}");
    assert!(text.starts_with(error.input()) || error.kind() == ErrorKind::BadRegex, "{error}");
    assert!(error.input().get(span).is_some(), "the place is not between characters: {error}");
    assert!(!error.to_string().contains('\n') && !error.report().is_empty());
}
