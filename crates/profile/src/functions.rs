//! What a tree comes to by function, and by pair of caller and callee.

use std::{collections::HashMap, ops::AddAssign};

use crate::{
    Error, NameId, NodeId, StackTree,
    tree::{Children, Shape},
};

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
        let unnamed = self.value(NodeId::ROOT);
        let root = FunctionTotals { name: None, self_value: unnamed, total: unnamed };
        let mut functions: Vec<FunctionTotals> =
            (unnamed != 0).then_some(root).into_iter().collect();
        if self.sums_are_narrow() {
            let sums = (0..).map(NameId).zip(self.sums_by_function::<i64>());
            functions.extend(sums.filter(|(_, sums)| sums.is_there).map(|(name, sums)| {
                FunctionTotals { name: Some(name), self_value: sums.own, total: sums.total }
            }));
            return Ok(functions);
        }
        // Negative values may bring a sum back into range, so only its end is judged.
        for (name, sums) in (0..).map(NameId).zip(self.sums_by_function::<i128>()) {
            if !sums.is_there {
                continue;
            }
            let (Ok(self_value), Ok(total)) = (sums.own.try_into(), sums.total.try_into()) else {
                return Err(Error::overflow(format!("sum over {}", self.names().get(name))));
            };
            functions.push(FunctionTotals { name: Some(name), self_value, total });
        }
        Ok(functions)
    }

    /// The value of each function alone, which is 0 for those that are only on the way to others; as
    /// [`StackTree::functions`] has it, for less work.
    ///
    /// # Errors
    ///
    /// If a sum does not fit in an `i64`.
    pub fn selves(&self) -> Result<Vec<(Option<NameId>, i64)>, Error> {
        if !self.sums_are_narrow() {
            let functions = self.functions()?.into_iter();
            return Ok(functions.map(|function| (function.name, function.self_value)).collect());
        }
        let mut own = vec![0_i64; self.names().len()];
        let mut is_there = vec![false; self.names().len()];
        let functions = self.shape().functions.iter();
        for ((name, value), occupied) in functions.zip(self.values()).zip(self.occupied()).skip(1) {
            own[name.index()] += value;
            is_there[name.index()] |= occupied;
        }
        let unnamed = self.value(NodeId::ROOT);
        let root = (unnamed != 0).then_some((None, unnamed)).into_iter();
        let named = (0..).map(NameId).zip(own).zip(is_there).filter(|(_, is_there)| *is_there);
        Ok(root.chain(named.map(|((name, own), _)| (Some(name), own))).collect())
    }

    /// Whether no sum of any of the values, in whatever order, leaves 64 bits.
    fn sums_are_narrow(&self) -> bool {
        let all: u128 = self.values().iter().map(|value| u128::from(value.unsigned_abs())).sum();
        i64::try_from(all).is_ok()
    }

    /// Self and total by function, in numbers that hold them.
    fn sums_by_function<T: Copy + Default + AddAssign + From<i64>>(&self) -> Vec<Sums<T>> {
        let Shape { parents, functions, .. } = self.shape();
        let outermost = self.outermost();
        let mut occupied: Vec<bool> = self.values().iter().map(|value| *value != 0).collect();
        let mut totals: Vec<T> = self.values().iter().map(|value| T::from(*value)).collect();
        let mut sums = vec![Sums::default(); self.names().len()];
        // Children come after their parents, so that a total is complete when it is met.
        for node in (1..self.len()).rev() {
            if !occupied[node] {
                continue;
            }
            let (parent, total) = (parents[node] as usize, totals[node]);
            occupied[parent] = true;
            totals[parent] += total;
            let sums: &mut Sums<T> = &mut sums[functions[node].index()];
            sums.is_there = true;
            sums.own += T::from(self.values()[node]);
            if outermost[node] {
                sums.total += total;
            }
        }
        sums
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

#[derive(Clone, Copy, Default)]
struct Sums<T> {
    own: T,
    total: T,
    /// Whether the function is in a stack with a value.
    is_there: bool,
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
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use crate::{NameId, NodeId, StackTreeBuilder, SubsetScratch, folded};

    proptest! {
        #[test]
        fn functions_are_what_their_stacks_come_to(
            stacks in prop::collection::vec(
                (
                    prop::collection::vec(0_u8..5, 0..9),
                    prop_oneof![-9_i64..50, Just(i64::MAX / 2), Just(-i64::MAX / 2), Just(0)],
                ),
                0..20,
            ),
            keep in prop::collection::vec(any::<bool>(), 16),
        ) {
            let mut builder = StackTreeBuilder::new();
            for (stack, value) in &stacks {
                let ids: Vec<NameId> = stack.iter().map(|b| builder.intern(&format!("f{b}"))).collect();
                let node = builder.insert(&ids).unwrap();
                let _ = builder.add(node, *value);
            }
            let whole = builder.finish();
            // With and without what is known of the tree that it is a part of.
            for known in [false, true] {
                if known {
                    whole.outermost();
                }
                let some: Vec<(NodeId, i64)> = whole.stacks().filter(|(n, _)| keep[n.index() % 16]).collect();
                let part = whole.subset(&some, &mut SubsetScratch::default());
                for tree in [&whole, &part] {
                    let mut sums: BTreeMap<Option<&str>, (i128, i128)> = BTreeMap::new();
                    for (node, value) in tree.stacks() {
                        let path = tree.path(node);
                        sums.entry(path.last().copied()).or_default().0 += i128::from(value);
                        let mut on_path: BTreeSet<Option<&str>> = path.iter().copied().map(Some).collect();
                        if path.is_empty() {
                            on_path.insert(None);
                        }
                        for function in on_path {
                            sums.entry(function).or_default().1 += i128::from(value);
                        }
                    }
                    let fits = sums.values().all(|(own, total)| {
                        i64::try_from(*own).is_ok() && i64::try_from(*total).is_ok()
                    });
                    let name = |name: Option<NameId>| name.map(|name| tree.names().get(name));
                    let functions = tree.functions().map(|functions| {
                        let rows = functions.into_iter();
                        rows.map(|f| (name(f.name), (i128::from(f.self_value), i128::from(f.total)))).collect::<BTreeMap<_, _>>()
                    });
                    let selves = tree.selves().map(|selves| {
                        let rows = selves.into_iter().map(|(n, own)| (name(n), i128::from(own)));
                        rows.collect::<BTreeMap<_, _>>()
                    });
                    if !fits {
                        prop_assert!(functions.is_err() && selves.is_err());
                        continue;
                    }
                    let own: BTreeMap<_, _> = sums.iter().map(|(name, (own, _))| (*name, *own)).collect();
                    prop_assert_eq!(functions.unwrap(), sums);
                    prop_assert_eq!(selves.unwrap(), own);
                }
            }
        }
    }

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
