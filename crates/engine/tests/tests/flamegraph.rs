//! Whole flame graphs as values: written cases, and generated ones against rows that are put together from paths alone.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use flamesql_backend::{Files, Memory};
use flamesql_engine::{
    Engine, ErrorKind, Session,
    output::{self, Format},
};
use flamesql_profile::{
    Labels, ProfileType, StackTreeBuilder, Timestamp, TreePair, flamebearer::DiffLevels, folded,
};

use super::relation::{CPU, Random, lines};

/// One profile a second, in pods by turns.
fn session(profiles: &[&str]) -> Session {
    let memory = Memory::new();
    for (idx, text) in profiles.iter().enumerate() {
        let labels: Labels = [("pod", if idx % 2 == 0 { "a" } else { "b" })].into_iter().collect();
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        let time = Timestamp::from_nanos(i64::try_from(idx).unwrap() * 1_000_000_000);
        memory.insert(&ProfileType::parse(CPU).unwrap(), &labels, time, 0, &tree).unwrap();
    }
    Engine::builder().source("m", Arc::new(memory)).build().unwrap().session()
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let answer = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&answer.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")), true)
}

async fn error(session: &Session, sql: &str) -> flamesql_engine::Error {
    match session.query(sql).await {
        Err(error) => error,
        Ok(answer) => answer.collect().await.expect_err(sql),
    }
}

/// The rows of a flame graph: its list twice unnested.
async fn graph(session: &Session, aggregate: &str, rest: &str) -> Vec<String> {
    rows(session, &format!("SELECT unnest(unnest({aggregate})) FROM {rest}")).await
}

/// A stack of a value that is NULL, and of numbers, as a table.
fn values(rows: &[(&str, &str)]) -> String {
    let rows: Vec<String> =
        rows.iter().map(|(stack, numbers)| format!("({stack}, {numbers})")).collect();
    format!("(VALUES {})", rows.join(", "))
}

#[tokio::test]
async fn rows_are_in_pre_order() {
    let s = session(&["main;b 2\nmain;a 1\n", "main;a 3\nmain 1\n"]);
    let all = ["0 | 7 | 0 | total", "1 | 7 | 1 | main", "2 | 4 | 4 | a", "2 | 2 | 2 | b"];
    assert_eq!(graph(&s, "flamegraph(stack, value)", "samples").await, all);
    assert_eq!(graph(&s, "flamegraph(stack, value, 0)", "samples").await, all);
    assert_eq!(graph(&s, "flamegraph(stack, value, 3)", "samples").await, all);
    let named = "SELECT label, self FROM (SELECT unnest(unnest(flamegraph(stack, value))) FROM samples) \
                 AS f(level, value, self, label) WHERE level = 2";
    assert_eq!(rows(&s, named).await, ["a | 4", "b | 2"]);
    assert_eq!(
        rows(&s, "SELECT pod, unnest(unnest(flamegraph(stack, value))) FROM samples WHERE stack[2] = 'a' GROUP BY pod ORDER BY pod").await,
        ["a | 0 | 1 | 0 | total", "a | 1 | 1 | 0 | main", "a | 2 | 1 | 1 | a",
         "b | 0 | 3 | 0 | total", "b | 1 | 3 | 0 | main", "b | 2 | 3 | 3 | a"]
    );
}

#[tokio::test]
async fn a_diff_has_two_sides() {
    let s = session(&["main;b 2\nmain;a 1\nold 5\n", "main;a 3\nmain 1\n"]);
    let diff = "flamegraph_diff(stack, CASE WHEN pod = 'a' THEN value END, CASE WHEN pod = 'b' THEN value END)";
    let expected = [
        "0 | 8 | 0 | 4 | 0 | total",
        "1 | 3 | 0 | 4 | 1 | main",
        "2 | 1 | 1 | 3 | 3 | a",
        "2 | 2 | 2 | 0 | 0 | b",
        "1 | 5 | 5 | 0 | 0 | old",
    ];
    assert_eq!(graph(&s, diff, "samples").await, expected);
    let by_time = "flamegraph_diff(stack, CASE WHEN time < TIMESTAMP '1970-01-01T00:00:01' THEN value ELSE 0 END, \
                   CASE WHEN time >= TIMESTAMP '1970-01-01T00:00:01' THEN value ELSE 0 END)";
    assert_eq!(graph(&s, by_time, "samples").await, expected);
    assert_eq!(
        graph(&s, "flamegraph_diff(stack, value, NULL)", "samples WHERE pod = 'b'").await,
        ["0 | 4 | 0 | 0 | 0 | total", "1 | 4 | 1 | 0 | 0 | main", "2 | 3 | 3 | 0 | 0 | a"]
    );
}

#[tokio::test]
async fn what_is_cut_away_is_called_other() {
    let s = session(&["main;a 1\nmain;b 2\nmain;z 9\nmain;z;y 1\ninit 1\n"]);
    assert_eq!(
        graph(&s, "flamegraph(stack, value, 2)", "samples").await,
        [
            "0 | 14 | 0 | total",
            "1 | 13 | 0 | main",
            "2 | 10 | 9 | z",
            "3 | 1 | 1 | other",
            "2 | 3 | 3 | other",
            "1 | 1 | 1 | other"
        ]
    );
    assert_eq!(
        graph(&s, "flamegraph_diff(stack, CASE WHEN function = 'b' THEN value END, CASE WHEN function <> 'b' THEN value END, 2)", "samples").await,
        ["0 | 2 | 0 | 12 | 0 | total", "1 | 2 | 0 | 11 | 0 | main", "2 | 0 | 0 | 10 | 9 | z",
         "3 | 0 | 0 | 1 | 1 | other", "2 | 2 | 2 | 1 | 1 | other", "1 | 0 | 0 | 1 | 1 | other"]
    );
}

#[tokio::test]
async fn rows_without_a_stack_or_a_value_do_not_count() {
    let s = session(&[]);
    let table = values(&[
        ("['a']", "1, NULL"),
        ("NULL", "5, 5"),
        ("['b', 'c']", "NULL, NULL"),
        ("['a', NULL]", "NULL, 4"),
        ("['a', 'b']", "2, 2"),
    ]);
    let from = format!("{table} AS t(stack, v, w)");
    assert_eq!(
        graph(&s, "flamegraph(stack, v)", &from).await,
        ["0 | 3 | 0 | total", "1 | 3 | 1 | a", "2 | 2 | 2 | b"]
    );
    assert_eq!(
        graph(&s, "flamegraph_diff(stack, v, w)", &from).await,
        [
            "0 | 3 | 0 | 6 | 0 | total",
            "1 | 3 | 1 | 6 | 0 | a",
            "2 | 0 | 0 | 4 | 4 | ",
            "2 | 2 | 2 | 2 | 2 | b"
        ]
    );
    // As a sum: NULL where nothing counted, and not an empty graph.
    for aggregate in ["flamegraph(stack, v)", "flamegraph_diff(stack, v, v)"] {
        let sql =
            format!("SELECT {aggregate} IS NULL FROM {from} WHERE v IS NULL OR stack IS NULL");
        assert_eq!(rows(&s, &sql).await, ["true"]);
        let sql = format!("SELECT {aggregate} IS NULL FROM {from} WHERE v > 100");
        assert_eq!(rows(&s, &sql).await, ["true"]);
    }
    let zero = format!("{} AS t(stack, v)", values(&[("['a']", "5"), ("['a']", "-5")]));
    assert_eq!(graph(&s, "flamegraph(stack, v)", &zero).await, ["0 | 0 | 0 | total"]);
    assert_eq!(
        graph(&s, "flamegraph_diff(stack, v, 1)", &zero).await,
        ["0 | 0 | 0 | 2 | 0 | total", "1 | 0 | 0 | 2 | 2 | a"]
    );
}

#[tokio::test]
async fn a_sum_that_does_not_fit_is_an_error() {
    let s = session(&[]);
    let max = i64::MAX;
    // One stack; two stacks below one; a side of a diff.
    let same = values(&[("['a']", &max.to_string()), ("['a']", "1")]);
    let apart = values(&[("['a', 'b']", &max.to_string()), ("['a', 'c']", "1")]);
    for table in [&same, &apart] {
        for aggregate in [
            "flamegraph(stack, v)",
            "flamegraph_diff(stack, v, 1)",
            "flamegraph_diff(stack, 1, v, 1)",
        ] {
            let e = error(&s, &format!("SELECT {aggregate} FROM {table} AS t(stack, v)")).await;
            assert_eq!(e.kind(), ErrorKind::Query, "{aggregate} {table} {e}");
            assert!(e.to_string().contains("64-bit"), "{e}");
        }
    }
    // Only the end counts.
    let back = values(&[("['a']", &max.to_string()), ("['a']", "1"), ("['a']", "-1")]);
    assert_eq!(
        graph(&s, "flamegraph(stack, v)", &format!("{back} AS t(stack, v)")).await,
        [format!("0 | {max} | 0 | total"), format!("1 | {max} | {max} | a")]
    );
}

#[tokio::test]
async fn wrong_arguments_are_told() {
    let s = session(&["main 1\n"]);
    for (call, part) in [
        ("flamegraph(stack)", "flamegraph(stack, value [, max_nodes])"),
        ("flamegraph(value, value)", "list of text"),
        ("flamegraph(stack, 1.5)", "whole number"),
        ("flamegraph(stack, value, 1, 1)", "flamegraph(stack, value [, max_nodes])"),
        ("flamegraph(stack, value, -1)", "0 or more"),
        ("flamegraph(stack, value, value)", "0 or more"),
        (
            "flamegraph_diff(stack, value)",
            "flamegraph_diff(stack, baseline, comparison [, max_nodes])",
        ),
        ("flamegraph_diff(stack, value, 'x')", "two whole numbers"),
        ("flamegraph_diff(stack, value, value, -5)", "0 or more"),
    ] {
        let e = error(&s, &format!("SELECT {call} FROM samples")).await;
        assert!(e.to_string().contains(part), "{call}: {e}");
    }
}

#[tokio::test]
async fn windows_add_and_take_away() {
    let s = session(&["main;a 1\n", "main;b 2\n", "main;a 4\nmain 1\n"]);
    let sql = "SELECT flamegraph(stack, value) OVER (ORDER BY time, value ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM samples";
    let row = |level, value, own, label: &str| {
        format!("{{level: {level}, value: {value}, self: {own}, label: {label}}}")
    };
    let list = |rows: &[String]| format!("[{}]", rows.join(", "));
    assert_eq!(
        rows(&s, sql).await,
        [
            list(&[row(0, 1, 0, "total"), row(1, 1, 0, "main"), row(2, 1, 1, "a")]),
            list(&[
                row(0, 3, 0, "total"),
                row(1, 3, 0, "main"),
                row(2, 1, 1, "a"),
                row(2, 2, 2, "b")
            ]),
            list(&[row(0, 3, 0, "total"), row(1, 3, 1, "main"), row(2, 2, 2, "b")]),
            list(&[row(0, 5, 0, "total"), row(1, 5, 1, "main"), row(2, 4, 4, "a")]),
        ]
    );
    let sql = "SELECT flamegraph_diff(stack, value, -value, 1) OVER (ORDER BY time, value) FROM samples LIMIT 2";
    let lists = rows(&s, sql).await;
    assert!(
        lists[0].contains(
            "baseline: 1, baseline_self: 1, comparison: -1, comparison_self: -1, label: a}"
        ),
        "{}",
        lists[0]
    );
    assert!(
        lists[1].contains(
            "baseline: 3, baseline_self: 3, comparison: -3, comparison_self: -3, label: other}"
        ),
        "{}",
        lists[1]
    );
    // A frame that is empty is NULL.
    let sql = "SELECT flamegraph(stack, value) OVER (ORDER BY time ROWS BETWEEN 2 PRECEDING AND 2 PRECEDING) IS NULL FROM samples WHERE time < TIMESTAMP '1970-01-01T00:00:02'";
    assert_eq!(rows(&s, sql).await, ["true", "true"]);
}

/// Rows from paths alone: in a sorted map of paths each comes right before what is below it.
fn expected(stacks: &BTreeMap<Vec<&str>, [i64; 2]>, n: usize) -> Vec<String> {
    let mut totals: BTreeMap<&[&str], ([i64; 2], [i64; 2])> = BTreeMap::new();
    totals.insert(&[], Default::default());
    for (stack, values) in stacks.iter().filter(|(_, values)| values[..n] != [0, 0][..n]) {
        for depth in 0..=stack.len() {
            let (total, own) = totals.entry(&stack[..depth]).or_default();
            for side in 0..2 {
                total[side] += values[side];
                own[side] += if depth == stack.len() { values[side] } else { 0 };
            }
        }
    }
    let row = |(path, (total, own)): (&&[&str], &([i64; 2], [i64; 2]))| {
        let label = path.last().unwrap_or(&"total");
        let measures: Vec<String> =
            (0..n).map(|side| format!("{} | {}", total[side], own[side])).collect();
        format!("{} | {} | {label}", path.len(), measures.join(" | "))
    };
    totals.iter().map(row).collect()
}

#[tokio::test]
async fn generated_profiles_give_the_rows_of_their_paths() {
    let names = ["main", "größe", "a b", "z", "", "total"];
    for seed in 0..12 {
        let mut random = Random(seed);
        let mut stacks: BTreeMap<Vec<&str>, [i64; 2]> = BTreeMap::new();
        let memory = Memory::new();
        // More than a batch for some.
        let n_stacks = if seed < 2 { 20_000 } else { 1 + random.below(60) };
        let n_names = if seed < 2 { 4_000 } else { 0 };
        let many: Vec<String> = (0..n_names).map(|n| format!("function{n}")).collect();
        let mut builders = [StackTreeBuilder::new(), StackTreeBuilder::new()];
        for _ in 0..n_stacks {
            let side = random.below(2);
            let stack: Vec<&str> = (0..random.below(7))
                .map(|_| match many.as_slice() {
                    [] => random.one(&names),
                    many => many[random.below(many.len())].as_str(),
                })
                .collect();
            let value =
                i64::try_from(random.below(40)).unwrap() - if seed % 3 == 0 { 20 } else { 0 };
            let ids: Vec<_> = stack.iter().map(|name| builders[side].intern(name)).collect();
            let node = builders[side].insert(&ids).unwrap();
            builders[side].add(node, value).unwrap();
            stacks.entry(stack).or_default()[side] += value;
        }
        let trees = builders.map(StackTreeBuilder::finish);
        for (tree, pod) in trees.iter().zip(["a", "b"]) {
            let labels: Labels = [("pod", pod)].into_iter().collect();
            let cpu = ProfileType::parse(CPU).unwrap();
            memory.insert(&cpu, &labels, Timestamp::from_nanos(5), 0, tree).unwrap();
        }
        let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
        let merged: BTreeMap<Vec<&str>, [i64; 2]> =
            stacks.iter().map(|(stack, [a, b])| (stack.clone(), [a + b, 0])).collect();
        let diff = "flamegraph_diff(stack, CASE WHEN pod = 'a' THEN value END, CASE WHEN pod = 'b' THEN value END";
        for partitions in [1, 3] {
            rows(&s, &format!("SET datafusion.execution.target_partitions = {partitions}")).await;
            assert_eq!(
                graph(&s, "flamegraph(stack, value)", "samples").await,
                expected(&merged, 1),
                "{seed}"
            );
            assert_eq!(
                graph(&s, &format!("{diff})"), "samples").await,
                expected(&stacks, 2),
                "{seed}"
            );
        }
        // Cut, the tree in SQL is the tree of the library.
        let pair = TreePair::of(&trees[0], &trees[1]).unwrap().truncate(9).unwrap();
        let mut cut = Vec::new();
        pair.walk(|v| {
            let label =
                pair.shape().function(v.node).map_or("total", |f| pair.shape().names().get(f));
            cut.push(format!(
                "{} | {} | {} | {} | {} | {label}",
                v.depth, v.baseline, v.baseline_self, v.comparison, v.comparison_self
            ));
        })
        .unwrap();
        assert_eq!(graph(&s, &format!("{diff}, 9)"), "samples").await, cut, "{seed}");
    }
}

/// The profiles that the server was given are the shop's.
#[tokio::test]
async fn a_diff_is_what_a_real_server_answered() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text =
        fs::read_to_string(fixtures.join("profile/tests/fixtures/diff/phlare-0.6.txt")).unwrap();
    let numbers = |line: &str| line.split(' ').map(|n| n.parse().unwrap()).collect::<Vec<i64>>();
    let mut text = text.lines();
    let names = text.next().unwrap().split('\t').map(str::to_owned).collect();
    text.next();
    let answer = DiffLevels { names, levels: text.map(numbers).collect(), ..DiffLevels::default() };
    let (left, right) = answer.decode().unwrap();
    let pair = TreePair::of(&left, &right).unwrap();
    let mut expected = Vec::new();
    pair.walk(|v| {
        let label = pair.shape().function(v.node).map_or("total", |f| pair.shape().names().get(f));
        expected.push(format!(
            "{} | {} | {} | {} | {} | {label}",
            v.depth, v.baseline, v.baseline_self, v.comparison, v.comparison_self
        ));
    })
    .unwrap();

    let files = Files::open(fixtures.join("backend/tests/fixtures/shop")).unwrap();
    let s = Engine::builder().source("shop", Arc::new(files)).build().unwrap().session();
    let (from, to) = ("to_timestamp_millis(1795366200000)", "to_timestamp_millis(1795366500001)");
    let middle = "to_timestamp_millis(1795366350001)";
    let found = graph(
        &s,
        &format!("flamegraph_diff(stack, CASE WHEN time < {middle} THEN value END, CASE WHEN time >= {middle} THEN value END)"),
        &format!("samples WHERE profile_type = '{CPU}' AND service_name = 'checkout' AND time >= {from} AND time < {to}"),
    )
    .await;
    assert_eq!(found, expected);
}

/// `docs/flamegraphs.md`: its profiles, its statements, and the tables that it says come out.
#[tokio::test]
async fn the_manual_is_true() {
    let manual = include_str!("../../../../docs/flamegraphs.md");
    let blocks = |kind: &str| {
        let begin = format!("```{kind}\n");
        manual.split(&begin).skip(1).map(|rest| rest.split_once("```").unwrap()).collect::<Vec<_>>()
    };
    let profiles: Vec<&str> = blocks("folded").into_iter().map(|(text, _)| text).collect();
    let s = session(&profiles);
    let statements = blocks("sql");
    assert!(statements.len() > 2);
    for (sql, rest) in statements {
        let answer = s.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let mut table = Vec::new();
        output::write_all(Format::Markdown, answer, &mut table).await.unwrap();
        let table = String::from_utf8(table).unwrap();
        assert!(rest.trim_start().starts_with(table.trim()), "{sql}\ngives\n{table}");
    }
}
