//! Selectors and what we make of them. `UPDATE=1 cargo test` writes the answers into the files;
//! look at the diff.

use std::{fmt::Write, fs, path::Path};

use flamesql_selector::Selector;
#[cfg(feature = "match")]
use flamesql_selector::flameql;

#[test]
fn selectors() {
    check_file("grammar.txt", answer);
}

#[cfg(feature = "match")]
#[test]
fn legacy_queries() {
    check_file("flameql.txt", flameql_answer);
}

#[cfg(feature = "match")]
#[test]
fn bad_regexes() {
    check_file("regex.txt", answer);
}

/// A file is a head and cases; a case is a title after `====`, the input, `----` and the answer.
fn check_file(name: &str, answer: fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let file = fs::read_to_string(&path).unwrap();
    let mut cases = file.split("==== ");
    let mut actual = cases.next().unwrap().to_owned();
    for case in cases {
        let (title, rest) = case.split_once('\n').unwrap();
        let (input, _) = rest.split_once("----\n").unwrap_or((rest, ""));
        let input = input.strip_suffix('\n').unwrap_or(input);
        write!(actual, "==== {title}\n{input}\n----\n{}", answer(input)).unwrap();
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    // Line by line for a message one can read.
    for (n, (expected, actual)) in file.lines().zip(actual.lines()).enumerate() {
        assert_eq!(actual, expected, "{name}:{}", n + 1);
    }
    assert_eq!(actual.lines().count(), file.lines().count());
}

fn answer(input: &str) -> String {
    match Selector::parse(input) {
        Ok(selector) => {
            let text = selector.to_string();
            assert_eq!(Selector::parse(&text).as_ref(), Ok(&selector));
            format!("{text}\n")
        }
        Err(error) => format!("{:?}\n{error}\n{}", error.kind(), error.report()),
    }
}

/// App and selector, and how they are written again if that is not what was read.
#[cfg(feature = "match")]
fn flameql_answer(input: &str) -> String {
    match flameql::parse(input) {
        Ok((app, selector)) => {
            let again = match flameql::print(&app, &selector) {
                Ok(printed) if printed == input => String::new(),
                Ok(printed) => format!("{printed}\n"),
                Err(error) => format!("{error}\n"),
            };
            format!("{app} {selector}\n{again}")
        }
        Err(error) => format!("{:?}\n{error}\n{}", error.kind(), error.report()),
    }
}
