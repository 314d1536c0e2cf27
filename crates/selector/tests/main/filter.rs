//! Matching label sets.

use std::time::Instant;

use flamesql_selector::{ErrorKind, Filter, LabelMatcher, Matcher, Selector};

/// Labels written as a selector of equalities, and selectors which hold or, after a `-`, do not.
const CASES: &[(&str, &[&str])] = &[
    (
        r#"{a="b",region="eu-1"}"#,
        &[
            "{}",
            r#"{a="b"}"#,
            r#"-{a="B"}"#,
            r#"{a!="c"}"#,
            r#"-{a!="b"}"#,
            r#"{a="b",region=~"eu.*"}"#,
            r#"-{a="b",region=~"us.*"}"#,
            r#"-{region=~"eu"}"#,
            r#"-{region=~"1"}"#,
            r#"{region=~"eu-1|us-1"}"#,
            r#"{region=~"eu-[0-9]"}"#,
            r#"{region!~"eu"}"#,
            r#"-{region!~"eu-."}"#,
            r#"-{a="b",a="c"}"#,
            r#"{a="b",a!="c"}"#,
            r#"-{up="1"}"#,
        ],
    ),
    (
        // A missing label is an empty one.
        "{}",
        &[
            r#"{a=""}"#,
            r#"-{a!=""}"#,
            r#"{a!="x"}"#,
            r#"-{a="x"}"#,
            r#"{a=~".*"}"#,
            r#"-{a=~".+"}"#,
            r#"{a!~".+"}"#,
            r#"{a=~"x|"}"#,
            r#"-{a=~"x"}"#,
            r#"{a!~"x"}"#,
            r#"{a=~""}"#,
            r#"{a=~"x*"}"#,
            r#"-up"#,
        ],
    ),
    (
        // The dot matches newlines.
        r#"{a="b\nc",__name__="up"}"#,
        &[
            r#"{a=~"b.c"}"#,
            r#"{a=~"b.*"}"#,
            r#"{a=~".*c"}"#,
            r#"-{a=~"b$.*"}"#,
            r#"{a=~"(?m)b$.*"}"#,
            r#"-{a=~"(?-s)b.c"}"#,
            "up",
            r#"{"up"}"#,
            r#"-down"#,
        ],
    ),
    (r#"{"k8s.pod"="x"}"#, &[r#"{"k8s.pod"=~"x|y"}"#, r#"-{"k8s.pod"!~"x|y"}"#]),
];

#[test]
fn label_sets() {
    for (labels, selectors) in CASES {
        let labels = Selector::parse(labels).unwrap();
        let get = |name: &str| {
            labels
                .matchers
                .iter()
                .find(|label| label.name == name)
                .map(|label| label.value.as_str())
        };
        for text in *selectors {
            let expected = !text.starts_with('-');
            let selector = Selector::parse(text.trim_start_matches('-')).unwrap();
            let filter = Filter::new(&selector).unwrap();
            assert_eq!(filter.matches(get), expected, "{selector} on {labels}");
            assert_eq!(filter.matchers().len(), selector.matchers.len());
        }
    }
}

#[test]
fn lists_of_values() {
    let values = ["a.b", "", "x|y", "(", "\\"];
    let one_of = LabelMatcher::new(&Matcher::one_of("a", values)).unwrap();
    let none_of = LabelMatcher::new(&Matcher::none_of("a", values)).unwrap();
    for value in values {
        assert!(one_of.matches_value(value));
        assert!(!none_of.matches_value(value));
    }
    for value in ["axb", "x", "a"] {
        assert!(!one_of.matches_value(value));
        assert!(none_of.matches_value(value));
    }
    let nothing = LabelMatcher::new(&Matcher::one_of("a", [""; 0])).unwrap();
    let anything = LabelMatcher::new(&Matcher::none_of("a", [""; 0])).unwrap();
    for value in ["", "a", "\n"] {
        assert!(!nothing.matches_value(value));
        assert!(anything.matches_value(value));
    }
}

/// A hundred thousand values are a set: printed, parsed and compiled in well under a second, and
/// looked up at once.
#[test]
fn many_values() {
    let start = Instant::now();
    let values = (0..100_000).map(|n| format!("pod-{n}.eu"));
    let selector = Selector::all().with(Matcher::one_of("pod", values));
    let parsed = Selector::parse(&selector.to_string()).unwrap();
    assert_eq!(parsed, selector);
    let filter = Filter::new(&parsed).unwrap();
    for n in 0..100_000 {
        let value = format!("pod-{n}.eu");
        assert!(filter.matches(|_| Some(&value)));
    }
    assert!(!filter.matches(|_| Some("pod-1xeu")));
    // A regex of this size alone takes longer than that, and a scan of the list hours.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn unparsed_selectors_are_checked() {
    let selector = Selector::all().with(Matcher::regex("a", "x("));
    let error = Filter::new(&selector).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRegex);
    assert_eq!(error.to_string(), r#"regex "x(": this "(" is not closed (at 1..2)"#);

    let huge = Matcher::regex("a", r"(\pL{100}\PL{100}|x){10}");
    let error = LabelMatcher::new(&huge).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RegexTooLarge);
}
