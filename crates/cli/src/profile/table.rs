//! The functions of a flame graph with self and total, as `pprof -top` lists them.

use flamesql_profile::{FunctionTotals, StackTree, Unit, format_value};

use super::{is_small, percent, write_columns};
use crate::{footer::plural, sink::Sink, text};

/// Writes the functions, the largest self first. What is too small is counted in the last line.
pub(super) fn write(
    tree: &StackTree,
    unit: Unit,
    min_percent: f64,
    sink: &mut Sink,
) -> anyhow::Result<()> {
    Ok(write_columns(&rows(tree, unit, min_percent)?, sink)?)
}

fn rows(
    tree: &StackTree,
    unit: Unit,
    min_percent: f64,
) -> anyhow::Result<Vec<([String; 4], String)>> {
    let all = tree.total()?;
    let name = |f: &FunctionTotals| f.name.map_or("(no stack)", |name| tree.names().get(name));
    let mut functions = tree.functions()?;
    functions.sort_by(|a, b| {
        let by_self = b.self_value.cmp(&a.self_value);
        by_self.then(b.total.cmp(&a.total)).then_with(|| name(a).cmp(name(b)))
    });
    let (small, large): (Vec<&FunctionTotals>, Vec<&FunctionTotals>) =
        functions.iter().partition(|f| is_small(f.total, all, min_percent));
    let head = ["self", "self%", "total", "total%"].map(str::to_owned);
    let mut rows = vec![(head, "function".to_owned())];
    for f in large {
        let cells = [
            format_value(f.self_value, unit),
            percent(f.self_value, all),
            format_value(f.total, unit),
            percent(f.total, all),
        ];
        rows.push((cells, text::printable(name(f)).into_owned()));
    }
    if !small.is_empty() {
        let own: i128 = small.iter().map(|f| i128::from(f.self_value)).sum();
        let own = i64::try_from(own).unwrap_or(i64::MAX);
        let cells = [format_value(own, unit), percent(own, all), String::new(), String::new()];
        let what = format!("({} below {min_percent}%)", plural(small.len() as u64, "function"));
        rows.push((cells, what));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use flamesql_profile::folded;

    use super::*;

    #[test]
    fn self_adds_up_to_the_total() {
        let stacks = "main;a;b;a 60\nmain;a 20\nmain;c 10\n 8\nmain;d 1\nmain;e;f 1\n";
        let tree = folded::decode(stacks.as_bytes()).unwrap().into_tree();
        let rows = rows(&tree, Unit::Count, 2.0).unwrap();
        let lines: Vec<String> =
            rows.into_iter().map(|(cells, name)| format!("{} {name}", cells.join(" "))).collect();
        assert_eq!(
            lines,
            [
                "self self% total total% function",
                "80 80.00% 80 80.00% a",
                "10 10.00% 10 10.00% c",
                "8 8.00% 8 8.00% (no stack)",
                "0 0.00% 92 92.00% main",
                "0 0.00% 60 60.00% b",
                "2 2.00%   (3 functions below 2%)",
            ]
        );
    }
}
