//! What `SHOW FUNCTIONS` and `information_schema.routines` say of the functions of this project. docs/functions.md has the
//! same sentences in its table, and a test holds one against the other.

use std::{collections::HashMap, sync::LazyLock};

use datafusion::logical_expr::{DocSection, Documentation};

/// How it is written, what it answers, and an example of a statement.
type Entry = (&'static str, &'static str, &'static str);

const STACKS: &[Entry] = &[
    (
        "stack_contains(stack, function)",
        "whether the stack has this function",
        "SELECT function, value FROM samples WHERE stack_contains(stack, 'parse')",
    ),
    (
        "stack_depth(stack)",
        "how many functions it has",
        "SELECT stack_depth(stack), sum(value) FROM samples GROUP BY 1",
    ),
    (
        "stack_slice(stack, from, to)",
        "a part of it",
        "SELECT stack_slice(stack, -2, -1), sum(value) FROM samples GROUP BY 1",
    ),
    (
        "stack_text(stack [, separator])",
        "it as one text",
        "SELECT stack_text(stack, ' > ') FROM samples",
    ),
    (
        "stack_matches(stack, pattern)",
        "whether it is as the path pattern says",
        "SELECT stack, value FROM samples WHERE stack_matches(stack, 'main;**;gc*')",
    ),
    (
        "stack_focus(stack, regex)",
        "the stack, if a function matches",
        "SELECT stack, value FROM samples WHERE stack_focus(stack, '^gc') IS NOT NULL",
    ),
    (
        "stack_ignore(stack, regex)",
        "the stack, if no function matches",
        "SELECT sum(value) FROM samples WHERE stack_ignore(stack, '^gc') IS NOT NULL",
    ),
    (
        "stack_hide(stack, regex)",
        "the stack without the functions that match",
        "SELECT stack_hide(stack, '^gc'), sum(value) FROM samples GROUP BY 1",
    ),
    (
        "stack_show_from(stack, regex)",
        "the stack from the first function that matches",
        "SELECT stack_show_from(stack, '^serve$'), value FROM samples",
    ),
];

const VALUES: &[Entry] = &[
    (
        "format_value(value, unit)",
        "the value as people write it",
        "SELECT format_value(sum(value), 'nanoseconds') FROM series",
    ),
    (
        "rate(value, step)",
        "the value for each second of a step",
        "SELECT rate(sum(value), INTERVAL '15 seconds') / 1e9 FROM series",
    ),
];

const LABELS: &[Entry] = &[(
    "labels_match(labels, selector)",
    "whether the labels are as the label selector says",
    r#"SELECT sum(value) FROM series WHERE labels_match(labels, '{service_name="checkout",pod=~"a.*"}')"#,
)];

const ORIGINS: &[Entry] = &[
    (
        "in_span(id, ...)",
        "whether a sample comes from one of these spans",
        "SELECT function, self FROM functions WHERE in_span('9a517ae8ed1b50c3')",
    ),
    (
        "in_trace(id, ...)",
        "whether a sample comes from one of these traces",
        "SELECT count(*) FROM samples WHERE in_trace('9a517ae8ed1b50c39a517ae8ed1b50c3')",
    ),
    (
        "in_profile(id, ...)",
        "whether a sample comes from one of these profiles",
        "SELECT count(*) FROM samples WHERE in_profile('cpu.pb.gz')",
    ),
];

const GRAPHS: &[Entry] = &[
    (
        "flamegraph(stack, value [, max_nodes])",
        "an aggregate: the flame graph of all stacks that are not NULL",
        "SELECT unnest(unnest(flamegraph(stack, value))) FROM samples",
    ),
    (
        "flamegraph_diff(stack, baseline, comparison [, max_nodes])",
        "an aggregate: two flame graphs in one, side by side",
        "SELECT flamegraph_diff(stack, CASE WHEN pod = 'a' THEN value END, CASE WHEN pod = 'b' THEN value END) FROM samples",
    ),
];

static ALL: LazyLock<HashMap<&'static str, Documentation>> = LazyLock::new(|| {
    let sections = [
        ("Stacks", STACKS),
        ("Values", VALUES),
        ("Labels", LABELS),
        ("Origins", ORIGINS),
        ("Flame graphs", GRAPHS),
    ];
    let of_section = |(label, entries): (&'static str, &'static [Entry])| {
        entries.iter().map(move |entry| document(label, *entry))
    };
    sections.into_iter().flat_map(of_section).collect()
});

fn document(
    label: &'static str,
    (syntax, answer, example): Entry,
) -> (&'static str, Documentation) {
    let (name, arguments) = syntax.split_once('(').unwrap_or((syntax, ""));
    let section = DocSection { include: false, label, description: None };
    let mut builder = Documentation::builder(section, answer, syntax)
        .with_sql_example(format!("```sql\n{example}\n```"));
    for argument in arguments.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let what = match argument {
            "" => continue,
            "stack" => "functions, the root first",
            "function" => "the name of a function",
            "from" | "to" => "a place, from 1 at the root or from -1 at the leaf",
            "labels" => "the column of that name, or another map of text",
            "selector" => "a label selector in braces; a blank one means {}",
            "separator" => "what stands between two names; ; if there is none",
            "pattern" => {
                "elements with ; between them: a name, * for one function, ** for any number"
            }
            "regex" => "an RE2 regex, found anywhere in a name",
            "value" | "baseline" | "comparison" => "a number, such as a measure",
            "unit" => "the unit of a profile type, such as nanoseconds or bytes",
            "step" => "an interval without months, or a duration such as '15s'",
            "id" => "an id as text",
            "max_nodes" => "to how many rows it is cut; 0 for all of them",
            _ => "",
        };
        builder = builder.with_argument(argument, what);
    }
    (name, builder.build())
}

/// What is said of a function.
pub(crate) fn of(name: &str) -> Option<&'static Documentation> {
    ALL.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_same_table() {
        let page = include_str!("../../../../docs/functions.md");
        let mut of_page: Vec<(&str, &str)> = Vec::new();
        for line in page.lines() {
            let Some(row) = line.strip_prefix("| [`") else { continue };
            let (syntax, rest) = row.split_once("`](").unwrap();
            let (link, answer) = rest.split_once(") | ").unwrap();
            of_page.push((syntax, answer.strip_suffix(" |").unwrap()));
            let heading = link.strip_prefix('#').unwrap();
            let is_there = page
                .lines()
                .filter_map(|line| line.strip_prefix("## "))
                .any(|title| title.to_lowercase().replace(' ', "-").replace('\'', "") == heading);
            assert!(is_there, "no heading for #{heading}");
        }
        let ours = [STACKS, VALUES, LABELS, ORIGINS, GRAPHS].concat();
        let of_code: Vec<(&str, &str)> =
            ours.iter().map(|(syntax, answer, _)| (*syntax, *answer)).collect();
        assert_eq!(of_page, of_code);
        for function in crate::functions::scalar() {
            assert!(function.documentation().is_some(), "{}", function.name());
        }
        for (syntax, ..) in ours {
            let arguments =
                of(syntax.split('(').next().unwrap()).unwrap().arguments.as_ref().unwrap();
            assert!(arguments.iter().all(|(_, what)| !what.is_empty()), "{syntax}");
        }
    }
}
