//! A flame graph as an indented tree: callers above what they call, the larger first.

use flamesql_profile::{NodeId, StackTree, Unit, format_value};

use super::{is_small, percent, write_columns};
use crate::{sink::Sink, text};

/// So much of a function's name is to be seen on a terminal, however deep it stands.
const MIN_NAME: usize = 20;

/// What a line is about.
enum Line {
    Node(NodeId, usize),
    /// How many callees of one function are too small, and their total.
    Small(usize, i64, usize),
}

/// Writes the tree. What is too small is counted where it is left out.
pub(super) fn write(
    tree: &StackTree,
    unit: Unit,
    min_percent: f64,
    sink: &mut Sink,
) -> anyhow::Result<()> {
    let rows = rows(tree, unit, min_percent)?;
    let texts = texts(&rows, sink.columns());
    let rows: Vec<_> = rows.into_iter().zip(texts).map(|(row, text)| (row.cells, text)).collect();
    Ok(write_columns(&rows, sink)?)
}

/// A line, not indented yet.
struct Row {
    cells: [String; 3],
    depth: usize,
    name: String,
}

fn rows(tree: &StackTree, unit: Unit, min_percent: f64) -> anyhow::Result<Vec<Row>> {
    let totals = tree.totals()?;
    let all = totals[0];
    let children = children(tree, &totals);
    let cells = ["percent", "total", "self"].map(str::to_owned);
    let mut rows = vec![Row { cells, depth: 0, name: "function".to_owned() }];
    let mut lines = vec![Line::Node(NodeId::ROOT, 0)];
    while let Some(line) = lines.pop() {
        let (node, depth) = match line {
            Line::Node(node, depth) => (node, depth),
            Line::Small(n, total, depth) => {
                let cells = [percent(total, all), format_value(total, unit), String::new()];
                rows.push(Row { cells, depth, name: format!("({n} smaller)") });
                continue;
            }
        };
        let total = totals[node.index()];
        let cells =
            [percent(total, all), format_value(total, unit), format_value(tree.value(node), unit)];
        let name = tree.function(node).map_or("(total)", |name| tree.names().get(name));
        rows.push(Row { cells, depth, name: text::printable(name).into_owned() });

        let of_node = &children[node.index()];
        let n_large =
            of_node.partition_point(|child| !is_small(totals[child.index()], all, min_percent));
        let (large, small) = of_node.split_at(n_large);
        if !small.is_empty() {
            let total: i128 = small.iter().map(|child| i128::from(totals[child.index()])).sum();
            let total = i64::try_from(total).unwrap_or(i64::MAX);
            lines.push(Line::Small(small.len(), total, depth + 1));
        }
        lines.extend(large.iter().rev().map(|child| Line::Node(*child, depth + 1)));
    }
    Ok(rows)
}

/// The children of each node that have a value or are above one, the larger first.
pub(super) fn children(tree: &StackTree, totals: &[i64]) -> Vec<Vec<NodeId>> {
    let mut is_occupied: Vec<bool> = tree.nodes().map(|node| tree.value(node) != 0).collect();
    let mut children: Vec<Vec<NodeId>> = vec![Vec::new(); tree.len()];
    for node in tree.nodes().rev() {
        let Some(parent) = tree.parent(node).filter(|_| is_occupied[node.index()]) else {
            continue;
        };
        is_occupied[parent.index()] = true;
        children[parent.index()].push(node);
    }
    let name = |node: NodeId| tree.function(node).map(|name| tree.names().get(name));
    for of_node in &mut children {
        of_node.sort_by(|a, b| {
            let by_size = totals[b.index()].unsigned_abs().cmp(&totals[a.index()].unsigned_abs());
            by_size.then_with(|| name(*a).cmp(&name(*b)))
        });
    }
    children
}

/// The names, two columns to the right for each level. Where that is too much for a terminal it is one column, and if
/// even that is, none, with the level in front; a name that is still too long is cut.
fn texts(rows: &[Row], columns: Option<usize>) -> Vec<String> {
    let widest = |idx: usize| rows.iter().map(|row| row.cells[idx].len() + 2).max().unwrap_or(0);
    let front: usize = (0..3).map(widest).sum();
    let room = columns.map(|columns| columns.saturating_sub(front).max(MIN_NAME));
    let deepest = rows.iter().map(|row| row.depth).max().unwrap_or(0);
    let fits = |step: &usize| room.is_none_or(|room| deepest * step + MIN_NAME <= room);
    let step = [2, 1].into_iter().find(fits);
    let text = |row: &Row| {
        let before = match step {
            Some(step) => " ".repeat(row.depth * step),
            None => format!("{:>width$} ", row.depth, width = deepest.to_string().len()),
        };
        match room {
            None => format!("{before}{}", row.name),
            Some(room) => {
                format!("{before}{}", text::cut(&row.name, room.saturating_sub(before.len())))
            }
        }
    };
    // The header is no function of any level.
    std::iter::once("function".to_owned()).chain(rows.iter().skip(1).map(text)).collect()
}

#[cfg(test)]
mod tests {
    use flamesql_profile::folded;

    use super::*;

    fn shown(stacks: &str, min_percent: f64, columns: Option<usize>) -> Vec<String> {
        let tree = folded::decode(stacks.as_bytes()).unwrap().into_tree();
        let rows = rows(&tree, Unit::Count, min_percent).unwrap();
        let texts = texts(&rows, columns);
        rows.iter()
            .zip(texts)
            .map(|(row, text)| format!("{} {text}", row.cells.join(" ")))
            .collect()
    }

    #[test]
    fn the_larger_first_and_the_small_counted() {
        let stacks =
            "main;b 3\nmain;a 3\nmain;c;d 50\nmain 20\nmain;e 1\nmain;f;g 1\ninit 2\n 20\n";
        assert_eq!(
            shown(stacks, 2.5, None),
            [
                "percent total self function",
                "100.00% 100 20 (total)",
                "78.00% 78 20   main",
                "50.00% 50 0     c",
                "50.00% 50 50       d",
                "3.00% 3 3     a",
                "3.00% 3 3     b",
                "2.00% 2      (2 smaller)",
                "2.00% 2    (1 smaller)",
            ]
        );
        assert_eq!(shown(stacks, 0.0, None).len(), 11);
        assert_eq!(shown("", 0.5, None)[1..], ["- 0 0 (total)"]);
    }

    #[test]
    fn deep_functions_stay_in_sight() {
        let stack = |depth: usize| {
            let names: Vec<String> =
                (1..=depth).map(|n| format!("crate::a_function_of_level_{n}")).collect();
            format!("{} 1\n", names.join(";"))
        };
        let last = |depth: usize, columns: usize| {
            shown(&stack(depth), 0.5, Some(columns)).pop().unwrap().split_off("100.00% 1 1 ".len())
        };
        let name = |depth: usize| format!("crate::a_function_of_level_{depth}");
        assert_eq!(last(12, 80), format!("{}{}", " ".repeat(24), name(12)));
        assert_eq!(last(20, 80), format!("{}{}", " ".repeat(20), name(20)));
        assert_eq!(last(30, 80), format!("{}crate::a_funct…n_of_level_30", " ".repeat(30)));
        assert_eq!(last(40, 80), format!("40 {}", name(40)));
        assert_eq!(last(40, 20), "40 crate::a…level_40");
    }
}
