//! Properties on generated text.

use flamesql_selector::{ErrorKind, MAX_LEN, MatchOp, Matcher, Selector};
#[cfg(feature = "match")]
use flamesql_selector::{Filter, flameql};
use proptest::prelude::*;

fn matcher() -> impl Strategy<Value = Matcher> {
    let name = prop_oneof!["[a-zA-Z_][a-zA-Z0-9_]{0,8}", any::<String>()];
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    (name, op, any::<String>(), any::<[char; 2]>()).prop_map(|(name, op, value, ends)| {
        // A regex must be one; a text of any kind still comes through the quotes.
        let value = if op.is_regex() {
            format!("{}|x.*", flamesql_selector::escape_regex(&value))
        } else {
            format!("{}{value}{}", ends[0], ends[1])
        };
        Matcher::new(name, op, value)
    })
}

/// Text that looks like a selector, with mistakes.
pub(crate) fn nearly_selector() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z_]{1,3}",
        4 => Just("=".to_owned()),
        1 => "!=|=~|!~|==|~|:|!",
        4 => r#""[a-z.]{0,3}"|'[a-z"]{0,2}'|`[a-z\\"]{0,2}`"#,
        1 => r#""(\\[abfnrtv\\"'0-7xuUq.]|[0-9a-f]){0,5}""#,
        4 => Just(",".to_owned()),
        2 => "\\{|\\}",
        1 => " |\n|\t|#|#x\n|\r",
        1 => "or|and|on|by|offset|sum|5m|1|\\[|\\(|\\)|é|\u{fffd}|\u{a0}|\\\\|\"|'|`",
    ];
    let pieces = prop::collection::vec(piece.clone(), 0..12).prop_map(|pieces| pieces.concat());
    // Right ones, and right ones with one piece put in somewhere.
    let item = concat!(
        r#"([a-z_]{1,3}|"[a-z.]{1,3}")(=|!=|=~|!~)"#,
        r#"("[a-z]{0,3}"|'[a-z]'|`b`|"(\\x4[0-9]|\\u00e9|\\101|\\xff|\\n){0,3}""#,
        r#"|'(a|\.|\*|\(|\)|\||\[|\]|\{x\}|\{2\}|\\\\d|\\\\<|\?|\^|é){0,4}')|"[a-z.]{1,3}""#,
    );
    let right = ("|[a-z:]{1,3}", prop::collection::vec(item, 0..4), "|,| |\n", "| | #x")
        .prop_map(|(name, items, end, tail)| format!("{name}{{{}{end}}}{tail}", items.join(",")));
    let mutated = (right.clone(), piece, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(text, piece, at, replace)| {
            let mut chars: Vec<_> = text.chars().collect();
            let at = at.index(chars.len());
            let removed = usize::from(replace);
            chars.splice(at..at + removed, piece.chars());
            chars.into_iter().collect()
        },
    );
    prop_oneof![pieces, right, mutated]
}

fn check_any_text(text: &str) {
    match Selector::parse(text) {
        Ok(selector) => {
            assert_eq!(selector.to_string().parse(), Ok(selector.clone()));
            assert_eq!(Selector::parse_or_all(text), Ok(selector));
        }
        Err(error) => {
            assert!(text.get(error.span()).is_some(), "{error:?}");
            assert_eq!(error.input(), text);
            let line = error.to_string();
            assert!(!line.contains('\n') && !line.ends_with('.'), "{line}");
            let report = error.report();
            assert!(report.contains('^') && report.starts_with("error: "), "{report}");
            let is_all = Selector::parse_or_all(text) == Ok(Selector::all());
            assert_eq!(error.kind() == ErrorKind::Empty, is_all, "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn round_trip(matchers in prop::collection::vec(matcher(), 0..5)) {
        let selector = Selector { matchers };
        prop_assert_eq!(selector.to_string().parse(), Ok(selector.clone()));
        match selector.display_legacy() {
            Ok(text) => prop_assert_eq!(text, selector.to_string()),
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::LegacyName);
                let place = &error.input()[error.span()];
                prop_assert!(place.starts_with('"') && place.ends_with('"'), "{}", place);
            }
        }
    }

    #[test]
    fn any_text(text in any::<String>()) {
        check_any_text(&text);
    }

    #[test]
    fn any_text_in_braces(text in any::<String>()) {
        check_any_text(&format!("{{{text}}}"));
        check_any_text(&format!("{{a=\"{text}\"}}"));
        check_any_text(&format!("{{a=~`{text}`}}"));
    }

    #[test]
    fn near_misses(text in nearly_selector()) {
        check_any_text(&text);
    }
}

#[test]
fn length_limit() {
    let fits = format!("{{a=\"{}\"}}", "x".repeat(MAX_LEN - 6));
    assert_eq!(fits.len(), MAX_LEN);
    assert!(Selector::parse(&fits).is_ok());
    let error = Selector::parse(&format!("{fits} ")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert!(error.to_string().len() < 400 && error.report().len() < 400);
    // Errors of long texts are short, too.
    let error = Selector::parse(&fits[..MAX_LEN - 1]).unwrap_err();
    assert!(error.to_string().len() < 400 && error.report().len() < 600, "{error}");
}

/// Every character comes back from a printed value and a printed name.
#[test]
fn every_character() {
    for chunk in ('\0'..=char::MAX).collect::<Vec<_>>().chunks(1000) {
        let text: String = chunk.iter().collect();
        let selector = Selector::all().with(Matcher::equal(&text, &text));
        assert_eq!(selector.to_string().parse(), Ok(selector));
    }
}

#[cfg(feature = "match")]
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// What the legacy server is asked selects the same series, whether they have the label or not.
    #[test]
    fn the_legacy_server_is_asked_the_same(
        matchers in prop::collection::vec(
            (
                "[ab]",
                prop_oneof![
                    ("=|!=", r#"[ab,}\\ "]{0,3}"#),
                    ("=~|!~", r#"(a|b|ab|\.|\(b\)|\[ab\]|\[\)\]|"|\[a"\]){0,2}[*?]?(\|a|\|)?"#),
                    ("=~|!~", r"\^?(a|b|\.){0,2}\$?"),
                ],
            ),
            0..4,
        ),
    ) {
        let op = |op: &str| match op {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            _ => MatchOp::NotRegex,
        };
        let selector: Selector =
            matchers.iter().map(|(name, (o, value))| Matcher::new(name, op(o), value)).collect();
        let Ok(filter) = Filter::new(&selector) else { return Ok(()) };
        let text = match flameql::print("app", &selector) {
            Ok(text) => text,
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::NotInFlameQl);
                return Ok(());
            }
        };
        let (app, again) = flameql::parse(&text).unwrap();
        prop_assert_eq!(app, "app");
        let filter_again = Filter::new(&again).unwrap();
        let takes = legacy_server(&text);
        let values = ["", "a", "b", "ab", "ba", "aa", "bb", "a\\", "\"", "a\"", ",", "}", " ", "a ", "\n"];
        for a in values {
            for b in values {
                let get = |name: &str| Some(if name == "a" { a } else { b });
                prop_assert_eq!(filter.matches(get), filter_again.matches(get), "{} of {:?}", text, (a, b));
                prop_assert_eq!(filter.matches(get), takes(a, b), "{} of {:?}", text, (a, b));
            }
        }
        // Once it went there and back it stays as it is.
        let text = flameql::print("app", &again).unwrap();
        let (_, once_more) = flameql::parse(&text).unwrap();
        prop_assert_eq!(flameql::print("app", &once_more).unwrap(), text);
    }
}

/// Whether the legacy server takes a series with these values of `a` and `b`, of which the empty one is none.
#[cfg(feature = "match")]
fn legacy_server(query: &str) -> impl Fn(&str, &str) -> bool {
    enum Test {
        Value(String),
        Regex(regex::Regex),
    }
    let inside = query.strip_prefix("app{").and_then(|rest| rest.strip_suffix('}')).unwrap();
    // Conditions end in a quote, and no value holds one.
    let conditions: Vec<(bool, bool, Test)> = inside
        .split_inclusive('"')
        .collect::<Vec<_>>()
        .chunks_exact(2)
        .map(|parts| {
            let key_and_op = parts[0].trim_start_matches(',').trim_end_matches('"');
            let value = parts[1].trim_end_matches('"');
            let (key, op) = key_and_op.split_at(1);
            let test = if op.ends_with('~') {
                let regex = flamesql_selector::re2::translate(value).unwrap();
                Test::Regex(regex::Regex::new(&regex).unwrap())
            } else {
                Test::Value(value.to_owned())
            };
            (key == "a", op.starts_with('!'), test)
        })
        .collect();
    move |a, b| {
        conditions.iter().all(|(is_a, is_negated, test)| {
            let label = if *is_a { a } else { b };
            let holds = match test {
                Test::Value(value) => label == value,
                Test::Regex(regex) => !label.is_empty() && regex.is_match(label),
            };
            holds != *is_negated
        })
    }
}
