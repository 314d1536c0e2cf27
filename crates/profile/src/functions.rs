//! What a tree comes to by function, and by pair of caller and callee.

use std::collections::HashMap;

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

/// What was measured where one function calls another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallEdge {
    /// The function that calls.
    pub caller: NameId,
    /// The function that is called.
    pub callee: NameId,
    /// The value of all stacks in which the call stands, each counted once however often it recurs there.
    pub value: i64,
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
        // Negative values may bring a sum back into range, so only its end is judged.
        let mut own = vec![0_i128; self.names().len()];
        for (node, value) in self.stacks() {
            if let Some(name) = self.function(node) {
                own[name.index()] += i128::from(value);
            }
        }
        let totals =
            self.path_totals(self.names().len(), |node| self.function(node).map(NameId::index));
        let rows = own.into_iter().zip(totals).map(|(own, total)| Some((own, total?)));
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

    /// The value of each pair of caller and callee that is in a stack with a value, in no particular order.
    ///
    /// A pair stays in the list if its values cancel out to 0. The root calls nobody: a stack of one function has no
    /// pair.
    ///
    /// # Errors
    ///
    /// If a sum does not fit in an `i64`.
    pub fn call_edges(&self) -> Result<Vec<CallEdge>, Error> {
        let mut pairs: Vec<(NameId, NameId)> = Vec::new();
        let mut by_pair: HashMap<(NameId, NameId), u32> = HashMap::new();
        let edges: Vec<Option<u32>> = self
            .nodes()
            .map(|node| {
                let pair = (self.function(self.parent(node)?)?, self.function(node)?);
                Some(*by_pair.entry(pair).or_insert_with(|| {
                    pairs.push(pair);
                    u32::try_from(pairs.len() - 1).expect("no more pairs than nodes")
                }))
            })
            .collect();
        let totals =
            self.path_totals(pairs.len(), |node| edges[node.index()].map(|edge| edge as usize));
        let mut found = Vec::with_capacity(pairs.len());
        for ((caller, callee), total) in pairs.into_iter().zip(totals) {
            let Some(total) = total else { continue };
            let value = total.try_into().map_err(|_| {
                let (caller, callee) = (self.names().get(caller), self.names().get(callee));
                Error::overflow(format!("sum over calls of {callee} by {caller}"))
            })?;
            found.push(CallEdge { caller, callee, value });
        }
        Ok(found)
    }

    /// For each key the value of all stacks that hold a node of that key, each counted once however many they hold.
    /// `None` for a key that is in no stack with a value.
    fn path_totals(
        &self,
        n_keys: usize,
        key: impl Fn(NodeId) -> Option<usize>,
    ) -> Vec<Option<i128>> {
        // The total of all stacks may be too large where that of no key is.
        let totals = match self.totals() {
            Ok(totals) => Totals::Narrow(totals),
            Err(_) => Totals::Wide(self.wide_totals()),
        };
        let children = Children::of(self, &self.occupied());
        let mut sums: Vec<Option<i128>> = vec![None; n_keys];
        // How often each key is on the path from the root to where the walk is.
        let mut on_path = vec![0_u32; n_keys];
        enum Step {
            Enter(NodeId),
            Leave(usize),
        }
        let mut stack: Vec<Step> = children.iter(NodeId::ROOT).map(Step::Enter).collect();
        while let Some(step) = stack.pop() {
            let node = match step {
                Step::Enter(node) => node,
                Step::Leave(key) => {
                    on_path[key] -= 1;
                    continue;
                }
            };
            if let Some(key) = key(node) {
                let sum = sums[key].get_or_insert(0);
                if on_path[key] == 0 {
                    *sum += totals.of(node);
                }
                on_path[key] += 1;
                stack.push(Step::Leave(key));
            }
            stack.extend(children.iter(node).map(Step::Enter));
        }
        sums
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

    #[test]
    fn a_call_counts_once_in_a_stack() {
        let tree = folded::decode(b"a;b;a;b 5\na;c 2\na;a;a 3\nb 1\n").unwrap().into_tree();
        let mut rows: Vec<_> = tree
            .call_edges()
            .unwrap()
            .into_iter()
            .map(|edge| (tree.names().get(edge.caller), tree.names().get(edge.callee), edge.value))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, [("a", "a", 3), ("a", "b", 5), ("a", "c", 2), ("b", "a", 5)]);
    }
}
