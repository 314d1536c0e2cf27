//! The functions of docs/functions.md, as statements use them.

use std::sync::Arc;

use flamesql_backend::Memory;
use flamesql_engine::{
    Engine, Error, ErrorKind, Session,
    output::{self, Format},
};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};

use super::relation::{CPU, lines};

const STACKS: &str =
    "main;serve;parse 30\nmain;serve;parse;gc mark 5\nmain;serve 10\nmain;gc sweep 4\nidle 7\n";

fn session() -> Session {
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    let tree = folded::decode(STACKS.as_bytes()).unwrap().into_tree();
    let labels: Labels = [("pod", "a")].into_iter().collect();
    memory.insert(&cpu, &labels, Timestamp::from_nanos(0), 0, &tree).unwrap();
    Engine::builder().source("m", Arc::new(memory)).build().unwrap().session()
}

async fn rows(sql: &str) -> Vec<String> {
    let answer = session().query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&answer.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")), true)
}

async fn error(sql: &str) -> Error {
    match session().query(sql).await {
        Err(error) => error,
        Ok(answer) => answer.collect().await.expect_err(sql),
    }
}

const ABC: &str = "make_array('a', 'b', 'c')";

#[tokio::test]
async fn each_function_has_its_value() {
    for (expr, expected) in [
        ("stack_contains($, 'b')", "true"),
        ("stack_contains($, 'x')", "false"),
        ("stack_contains(NULL, 'x')", "NULL"),
        ("stack_contains($, NULL)", "NULL"),
        ("stack_depth($)", "3"),
        ("stack_depth([])", "0"),
        ("stack_depth(NULL)", "NULL"),
        ("arrow_typeof(stack_depth($))", "Int64"),
        ("stack_text(stack_slice($, 1, 2))", "a;b"),
        ("stack_text(stack_slice($, -2, -1))", "b;c"),
        ("stack_depth(stack_slice($, 3, 2))", "0"),
        ("stack_slice($, NULL, 2) IS NULL", "true"),
        ("stack_text($)", "a;b;c"),
        ("stack_text($, ' > ')", "a > b > c"),
        ("stack_text([])", ""),
        ("stack_text($, NULL)", "NULL"),
        ("stack_text(NULL)", "NULL"),
        ("stack_matches($, 'a;**')", "true"),
        ("stack_matches($, '**;b')", "false"),
        ("stack_matches($, '**;b;**')", "true"),
        ("stack_matches([], '**')", "true"),
        ("labels_match(MAP {'a': 'x'}, '{a=\"x\",b!=\"y\"}')", "true"),
        ("labels_match(MAP {'a': 'x'}, '{a=~\"y|\"}')", "false"),
        ("labels_match(MAP {'a': 'x'}, '{b=~\"y|\"}')", "true"),
        ("labels_match(MAP {'a': 'x'}, ' ')", "true"),
        ("labels_match(MAP {'a': 'x'}, NULL)", "NULL"),
        ("labels_match(NULL, '{}')", "NULL"),
        ("stack_matches($, NULL)", "NULL"),
        ("stack_matches(NULL, '**')", "NULL"),
        ("stack_text(stack_focus($, 'B|c'))", "a;b;c"),
        ("stack_text(stack_focus($, '(?i)B'))", "a;b;c"),
        ("stack_focus($, 'B') IS NULL", "true"),
        ("stack_focus(NULL, 'B') IS NULL", "true"),
        ("stack_focus($, NULL) IS NULL", "true"),
        ("stack_focus([], '') IS NULL", "true"),
        ("stack_text(stack_ignore($, '^ab'))", "a;b;c"),
        ("stack_ignore($, 'b') IS NULL", "true"),
        ("stack_ignore([], 'b') IS NULL", "true"),
        ("stack_text(stack_hide($, 'b'))", "a;c"),
        ("stack_hide($, '[abc]') IS NULL", "true"),
        ("stack_hide([], 'b') IS NULL", "true"),
        ("stack_text(stack_show_from($, 'b|c'))", "b;c"),
        ("stack_show_from($, 'x') IS NULL", "true"),
        ("stack_text(stack_hide(make_array('a', NULL), 'a'), '|') = ''", "true"),
        ("format_value(1530000000, 'nanoseconds')", "1.53s"),
        ("format_value(2621440, 'bytes')", "2.50MiB"),
        ("format_value(17, 'count')", "17"),
        ("format_value(NULL, 'count')", "NULL"),
        ("format_value(17, NULL)", "NULL"),
        ("rate(30000000000, INTERVAL '15 seconds') / 1e9", "2.0"),
        ("rate(30, '2m')", "0.25"),
        ("rate(86400, INTERVAL '1 day')", "1.0"),
        ("rate(NULL, '15s')", "NULL"),
        ("rate(1, NULL)", "NULL"),
    ] {
        let sql = format!("SELECT {}", expr.replace('$', ABC));
        assert_eq!(rows(&sql).await, [expected], "{sql}");
    }
    // The other arguments may differ from row to row.
    let sql = "SELECT stack_text(stack_hide(s, x), x), stack_matches(s, x), rate(n, x || 's'), format_value(n, x), \
               stack_contains(s, x) FROM (VALUES (['a', '1', '2'], '1', 8), (['2'], '2', 6), (NULL, '2', 4)) AS t(s, x, n)";
    assert_eq!(
        rows(sql).await,
        [
            "a12 | false | 8.0 | 8 | true",
            "NULL | true | 3.0 | 6 | true",
            "NULL | NULL | 2.0 | 4 | NULL"
        ]
    );
}

#[tokio::test]
async fn they_stand_wherever_an_expression_does() {
    let where_ = "SELECT stack_text(stack), value FROM samples WHERE stack_matches(stack, 'main;**;gc*') ORDER BY value";
    assert_eq!(rows(where_).await, ["main;gc sweep | 4", "main;serve;parse;gc mark | 5"]);
    let group = "SELECT stack_depth(stack), sum(value) FROM samples GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(group).await, ["1 | 7", "2 | 14", "3 | 30", "4 | 5"]);
    let from = "SELECT stack_text(stack_show_from(stack, 'serve')) AS s, sum(value) FROM samples GROUP BY 1 ORDER BY 1";
    let left = ["serve | 10", "serve;parse | 30", "serve;parse;gc mark | 5", "NULL | 11"];
    assert_eq!(rows(from).await, left);
    let sums =
        "SELECT sum(value) FILTER (WHERE stack_contains(stack, 'parse')), sum(value) FROM samples";
    assert_eq!(rows(sums).await, ["35 | 56"]);
    let of_functions =
        "SELECT format_value(sum(self), 'nanoseconds') FROM functions WHERE function LIKE 'gc%'";
    assert_eq!(rows(of_functions).await, ["9ns"]);
    let by_time =
        "SELECT rate(sum(value), '1ns') FROM samples GROUP BY date_bin(INTERVAL '1 second', time)";
    assert_eq!(rows(by_time).await, ["56000000000.0"]);
}

#[tokio::test]
async fn flame_graphs_of_what_is_left() {
    for (stack, expected) in [
        (
            "stack_hide(stack, 'serve|^idle')",
            &[
                "0 | 49 | total",
                "1 | 49 | main",
                "2 | 4 | gc sweep",
                "2 | 35 | parse",
                "3 | 5 | gc mark",
            ][..],
        ),
        (
            "stack_focus(stack, '^gc')",
            &[
                "0 | 9 | total",
                "1 | 9 | main",
                "2 | 4 | gc sweep",
                "2 | 5 | serve",
                "3 | 5 | parse",
                "4 | 5 | gc mark",
            ],
        ),
        (
            "stack_ignore(stack, 'serve')",
            &["0 | 11 | total", "1 | 7 | idle", "1 | 4 | main", "2 | 4 | gc sweep"],
        ),
        (
            "stack_show_from(stack, 'parse')",
            &["0 | 35 | total", "1 | 35 | parse", "2 | 5 | gc mark"],
        ),
        ("stack_slice(stack, 1, 1)", &["0 | 56 | total", "1 | 7 | idle", "1 | 49 | main"]),
    ] {
        let sql = format!(
            "SELECT r['level'], r['value'], r['label'] FROM (SELECT unnest(flamegraph({stack}, value)) AS r FROM samples)"
        );
        assert_eq!(rows(&sql).await, expected, "{sql}");
        // The same over R's rows, which are merged one by one.
        let fine = format!("{} WHERE value > 0)", sql.trim_end_matches(')'));
        assert_eq!(rows(&fine).await, expected, "{fine}");
    }
    let none = "SELECT flamegraph(stack_focus(stack, 'nothing'), value) IS NULL FROM samples";
    assert_eq!(rows(none).await, ["true"]);
}

#[tokio::test]
async fn what_does_not_compile_is_pointed_at() {
    for (sql, quoted, excerpt) in [
        (
            "SELECT * FROM samples WHERE stack_matches(stack, 'main;;gc')",
            r#"path pattern "main;;gc": this element is empty"#,
            "  |\n1 | main;;gc\n  |      ^\n",
        ),
        (
            "SELECT stack_matches(stack, 'a\\') FROM samples",
            r#"path pattern "a\\": the backslash"#,
            "  |\n1 | a\\\n  |  ^\n",
        ),
        (
            "SELECT stack_matches(stack, function || ';') FROM samples WHERE function = 'idle'",
            r#"path pattern "idle;""#,
            "  |\n1 | idle;\n  |      ^\n",
        ),
        (
            "SELECT sum(value) FROM samples WHERE stack_focus(stack, 'a(b') IS NOT NULL",
            r#"regex "a(b": this "(" is not closed"#,
            "  |\n1 | a(b\n  |  ^\n",
        ),
        (
            "SELECT stack_hide(['a'], 'x(?=y)')",
            "RE2 has no lookaround",
            "  |\n1 | x(?=y)\n  |  ^^^\n",
        ),
    ] {
        let e = error(sql).await;
        assert!(e.to_string().contains(quoted), "{sql}: {e}");
        assert_eq!((e.kind(), e.excerpt()), (ErrorKind::Syntax, Some(excerpt)), "{sql}: {e}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    for (sql, text) in [
        ("SELECT stack_depth('a')", "stack_depth(stack) takes a list of text"),
        ("SELECT stack_depth(stack, 1) FROM samples", "stack_depth(stack) takes"),
        ("SELECT stack_contains(stack, 1) FROM samples", "is called with (List(non-null Utf8"),
        ("SELECT stack_text()", "stack_text"),
        ("SELECT stack_matches([1], 'a')", "takes a list of text and a text"),
        ("SELECT stack_focus(stack) FROM samples", "stack_focus(stack, regex) takes"),
        ("SELECT stack_slice(stack, 1.5, 2) FROM samples", "two whole numbers"),
        ("SELECT format_value(1.5, 'bytes')", "takes a whole number"),
        ("SELECT rate(value, '0s') FROM samples", "not above zero"),
        ("SELECT rate(value, '-15s') FROM samples", "not above zero"),
        ("SELECT rate(value, 'soon') FROM samples", "soon"),
        ("SELECT rate(value, INTERVAL '1 month') FROM samples", "no length in seconds"),
        ("SELECT rate(value, INTERVAL '0 seconds') FROM samples", "not above zero"),
        ("SELECT rate(value, 15) FROM samples", "a duration such as '15s'"),
        ("SELECT rate(1, x) FROM (VALUES ('1s'), ('0s')) AS t(x)", "not above zero"),
        ("SELECT in_span()", "in_span"),
        ("SELECT in_span(1)", "in_span('id', ...) takes one text or more"),
    ] {
        let e = error(sql).await;
        assert!(e.to_string().contains(text), "{sql}: {e}");
        assert_ne!(e.kind(), ErrorKind::Internal, "{sql}: {e}");
    }
}

#[tokio::test]
async fn where_samples_come_from_is_asked_of_a_source_only() {
    for (sql, text) in [
        (
            "SELECT in_span('a')",
            "in_span(...) can only be an AND condition over samples, functions or call_edges of a source that knows spans",
        ),
        ("SELECT * FROM series WHERE in_span('a')", "in_span over series"),
        ("SELECT sum(value) FROM samples WHERE in_trace('a', 'b') AND in_span('a')", "together"),
        (
            "SELECT sum(self) FROM functions WHERE NOT in_profile('a')",
            "in_profile(...) can only be",
        ),
        ("SELECT * FROM samples WHERE in_span('a') OR pod = 'a'", "knows spans"),
        ("SELECT * FROM samples WHERE in_span(function)", "knows spans"),
        ("SELECT 1 WHERE in_span('a') IS NOT TRUE", "knows spans"),
    ] {
        let e = error(sql).await;
        assert!(e.to_string().contains(text), "{sql}: {e}");
        assert_eq!(e.kind(), ErrorKind::Query, "{sql}: {e}");
    }
}

/// The blocks of the page by their language, in order.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let (mut blocks, mut open): (Vec<(&str, String)>, bool) = (Vec::new(), false);
    for line in page.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                blocks.push((language, String::new()));
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let text = &mut blocks.last_mut().unwrap().1;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

#[tokio::test]
async fn the_page_tells_the_truth() {
    let page = include_str!("../../../../docs/functions.md");
    let blocks = blocks(page);
    assert_eq!(blocks[0], ("folded", STACKS.to_owned()));
    for pair in blocks[1..].chunks(2) {
        let [("sql", sql), (language, expected)] = pair else { panic!("{pair:?}") };
        match *language {
            "csv" => {
                let answer = session().query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
                let mut text = Vec::new();
                output::write_all(Format::Csv, answer, &mut text).await.unwrap();
                assert_eq!(String::from_utf8(text).unwrap(), *expected, "{sql}");
            }
            "error" => {
                let error = error(sql).await;
                let text = format!("{error}\n{}", error.excerpt().unwrap_or_default());
                assert_eq!(text, *expected, "{sql}");
            }
            language => panic!("{language}"),
        }
    }
    for function in session().context().state().scalar_functions().keys() {
        let ours =
            ["stack_", "format_value", "rate", "in_"].iter().any(|n| function.starts_with(n));
        assert!(!ours || page.contains(&format!("`{function}")), "{function} is not on the page");
    }
}
