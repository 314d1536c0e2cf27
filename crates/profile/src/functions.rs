//! Self and total by function.

use crate::{Error, NameId, NodeId, StackTree, tree::Children};

/// What was measured in one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionTotals {
    /// The function; `None` for samples without a stack.
    pub name: Option<NameId>,
    /// The value of all stacks that end in it (pprof: flat).
    pub self_value: i64,
    /// The value of all stacks that hold it, each counted once however often it recurs there (pprof: cum).
    pub total: i64,
}

impl StackTree {
    /// Self and total of each function that is in a stack with a value, in no particular order.
    ///
    /// A function stays in the list if its values cancel out to 0.
    ///
    /// # Errors
    ///
    /// If a sum does not fit in an `i64`.
    pub fn functions(&self) -> Result<Vec<FunctionTotals>, Error> {
        let occupied = self.occupied();
        // The total of all stacks may be too large where that of no function is.
        let totals = match self.totals() {
            Ok(totals) => Totals::Narrow(totals),
            Err(_) => Totals::Wide(self.wide_totals()),
        };
        let children = Children::of(self, &occupied);
        // Self and total. Negative values may bring a sum back into range, so only its end is judged.
        let mut rows: Vec<Option<(i128, i128)>> = vec![None; self.names().len()];
        // How often each function is on the path from the root to where the walk is.
        let mut on_path = vec![0_u32; self.names().len()];
        enum Step {
            Enter(NodeId),
            Leave(NameId),
        }
        let mut stack: Vec<Step> = children.iter(NodeId::ROOT).map(Step::Enter).collect();
        while let Some(step) = stack.pop() {
            let node = match step {
                Step::Enter(node) => node,
                Step::Leave(name) => {
                    on_path[name.index()] -= 1;
                    continue;
                }
            };
            let Some(name) = self.function(node) else { continue };
            let (own, total) = rows[name.index()].get_or_insert((0, 0));
            *own += i128::from(self.value(node));
            if on_path[name.index()] == 0 {
                *total += totals.of(node);
            }
            on_path[name.index()] += 1;
            stack.push(Step::Leave(name));
            stack.extend(children.iter(node).map(Step::Enter));
        }
        let unnamed = self.value(NodeId::ROOT);
        let root = FunctionTotals { name: None, self_value: unnamed, total: unnamed };
        let mut functions: Vec<FunctionTotals> =
            (unnamed != 0).then_some(root).into_iter().collect();
        for (name, row) in (0..).map(NameId).zip(rows) {
            let Some((own, total)) = row else { continue };
            let (Ok(self_value), Ok(total)) = (own.try_into(), total.try_into()) else {
                return Err(Error::overflow(format!("sum over {}", self.names().get(name))));
            };
            functions.push(FunctionTotals { name: Some(name), self_value, total });
        }
        Ok(functions)
    }
}

enum Totals {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl Totals {
    fn of(&self, node: NodeId) -> i128 {
        match self {
            Self::Narrow(totals) => totals[node.index()].into(),
            Self::Wide(totals) => totals[node.index()],
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::folded;

    #[test]
    fn recursion_counts_once() {
        let tree = folded::decode(b"a;b;a;b 5\na;c 2\nb 1\n").unwrap().into_tree();
        let mut rows: Vec<_> = tree
            .functions()
            .unwrap()
            .into_iter()
            .map(|row| (tree.names().get(row.name.unwrap()), row.self_value, row.total))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, [("a", 0, 7), ("b", 6, 6), ("c", 2, 2)]);
    }
}
