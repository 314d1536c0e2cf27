//! The table of Go's answers to regexes.

use flamesql_selector::{LabelMatcher, Matcher, escape_regex, re2};
use proptest::prelude::*;

use super::unquote;

const TABLE: &str = include_str!("../data/go_regex.txt");

#[test]
fn table() {
    let mut lines = TABLE.lines().filter(|line| line.starts_with('"'));
    let inputs: Vec<_> = lines.next().unwrap().split('\t').map(unquote).collect();
    let mut n_cases = 0;
    for line in lines {
        let (quoted, expected) = line.split_once('\t').unwrap();
        let regex = unquote(quoted);
        n_cases += 1;
        match LabelMatcher::new(&Matcher::regex("a", &regex)) {
            Err(error) => assert_eq!("!", expected, "{error}"),
            Ok(matcher) => {
                assert_eq!(inputs.len(), expected.len(), "{quoted} is refused by Go");
                let opposite = LabelMatcher::new(&Matcher::not_regex("a", &regex)).unwrap();
                for (input, expected) in inputs.iter().zip(expected.chars()) {
                    let context = format!("{quoted} on {input:?}, {:?}", re2::translate(&regex));
                    assert_eq!(matcher.matches_value(input), expected == '1', "{context}");
                    assert_eq!(opposite.matches_value(input), expected == '0', "{context}");
                }
            }
        }
    }
    assert!(n_cases > 600);
}

/// Go's limit on nesting is 1000, ours is lower and must come before the compiler's.
#[test]
fn nesting() {
    let nested = |depth| format!("{}a*{}", "(".repeat(depth), ")*".repeat(depth));
    assert!(LabelMatcher::new(&Matcher::regex("a", nested(100))).is_ok());
    assert!(re2::translate(&nested(201)).is_err());
    assert!(LabelMatcher::new(&Matcher::regex("a", "(".repeat(200) + &")".repeat(200))).is_ok());
    // A hundred thousand of them do not overflow the stack.
    assert!(re2::translate(&nested(100_000)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn never_panics_and_always_compiles(regex in "([a-zé\\\\\\[\\](){}*+?|^$.:,0-9pQEPxiUsm<>&~-]|\\PC){0,20}") {
        match re2::translate(&regex) {
            Ok(translated) => {
                let compiled = ::regex::RegexBuilder::new(&translated).size_limit(1 << 28).build();
                prop_assert!(compiled.is_ok(), "{regex:?} became {translated:?}: {compiled:?}");
            }
            Err(error) => {
                prop_assert!(regex.get(error.span()).is_some());
                prop_assert!(!error.report().is_empty());
            }
        }
    }

    #[test]
    fn escaped_text_matches_itself(text in any::<String>(), other in any::<String>()) {
        let regex = escape_regex(&text);
        let compiled = ::regex::Regex::new(&format!(r"\A(?:{})\z", re2::translate(&regex).unwrap())).unwrap();
        prop_assert!(compiled.is_match(&text));
        prop_assert_eq!(compiled.is_match(&other), text == other);
        let plain = ::regex::Regex::new(&format!(r"\A(?:{regex})\z")).unwrap();
        prop_assert!(plain.is_match(&text));
    }

    /// The fast paths say what the regex engine says.
    #[test]
    fn shortcuts_are_right(parts in prop::collection::vec(PART, 0..5), values in prop::collection::vec("[ab.|\\n\\\\]{0,4}", 8)) {
        let regex = parts.concat();
        if let Ok(translated) = re2::translate(&regex) {
            let compiled = ::regex::Regex::new(&format!(r"\A(?s:{translated})\z")).unwrap();
            let matcher = LabelMatcher::new(&Matcher::regex("a", &regex)).unwrap();
            for value in &values {
                prop_assert_eq!(matcher.matches_value(value), compiled.is_match(value), "{:?} on {:?}", &regex, value);
            }
        }
    }
}

/// What shortcuts are made of.
const PART: &str = r"\.\*|\.\+|a|b|\||\\\\|\\\\\.|\.|\\\*|\?|\(a\)";
