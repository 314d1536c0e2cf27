//! Two trees laid over each other: what was measured before and after in the same stacks, and the difference.

use crate::{Error, NodeId, StackTree, StackTreeBuilder, SubsetScratch, truncate::Place};

/// What was measured more in `comparison` than in `baseline`, stack by stack: less is negative, and stacks with equal
/// values are gone.
///
/// Self and total of its functions are what pprof's `-diff_base` shows as flat and cum.
///
/// ```
/// use flamesql_profile::{diff, folded};
///
/// let before = folded::decode(b"main;parse 3\nmain;render 4\nmain 1\n")?.into_tree();
/// let after = folded::decode(b"main;parse 5\nmain;cache 2\nmain 1\n")?.into_tree();
/// let expected = folded::decode(b"main;parse 2\nmain;render -4\nmain;cache 2\n")?.into_tree();
/// assert_eq!(diff(&before, &after)?, expected);
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
///
/// # Errors
///
/// If a difference does not fit in an `i64`, or there are too many stacks.
pub fn diff(baseline: &StackTree, comparison: &StackTree) -> Result<StackTree, Error> {
    TreePair::of(baseline, comparison)?.difference()
}

/// The stacks of two trees, each with the values that it has in both.
///
/// ```
/// use flamesql_profile::{TreePair, folded};
///
/// let before = folded::decode(b"main;parse 3\nmain 1\n")?.into_tree();
/// let after = folded::decode(b"main;parse 5\nmain;cache 2\n")?.into_tree();
/// let pair = TreePair::of(&before, &after)?;
/// let mut rows = Vec::new();
/// pair.walk(|visit| {
///     let label = pair.shape().path(visit.node).pop().unwrap_or("total").to_owned();
///     rows.push((visit.depth, visit.baseline, visit.comparison, label));
/// })?;
/// let expected = [(0, 4, 7, "total"), (1, 4, 7, "main"), (2, 0, 2, "cache"), (2, 3, 5, "parse")];
/// assert_eq!(rows, expected.map(|(depth, a, b, label)| (depth, a, b, label.to_owned())));
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TreePair {
    /// The stacks with the values of the baseline.
    tree: StackTree,
    /// The other values, one a node.
    comparison: Vec<i64>,
}

/// One node on a [`TreePair::walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairVisit {
    /// The node in [`TreePair::shape`].
    pub node: NodeId,
    /// How many functions its stack has; 0 for the root.
    pub depth: usize,
    /// The baseline's value of the node and all below it.
    pub baseline: i64,
    /// The baseline's value of the node alone.
    pub baseline_self: i64,
    /// The comparison's value of the node and all below it.
    pub comparison: i64,
    /// The comparison's value of the node alone.
    pub comparison_self: i64,
}

impl TreePair {
    /// Lays two trees over each other.
    ///
    /// # Errors
    ///
    /// If there are too many stacks.
    pub fn of(baseline: &StackTree, comparison: &StackTree) -> Result<Self, Error> {
        let mut builder = StackTreeBuilder::new();
        builder.merge(baseline)?;
        let nodes = builder.merge_shape(comparison)?;
        let mut values = vec![0; builder.len()];
        for (node, value) in comparison.stacks() {
            values[nodes[node.index()].index()] = value;
        }
        Ok(Self { tree: builder.finish(), comparison: values })
    }

    /// A tree, and other values for its stacks: one a node, by [`NodeId::index`].
    ///
    /// # Panics
    ///
    /// If there are more or fewer values than nodes.
    pub fn new(baseline: StackTree, comparison: Vec<i64>) -> Self {
        assert_eq!(comparison.len(), baseline.len(), "one value for each node");
        Self { tree: baseline, comparison }
    }

    /// All stacks, with the values of the baseline.
    pub fn shape(&self) -> &StackTree {
        &self.tree
    }

    /// The values of exactly this stack: the baseline's and the comparison's.
    pub fn values(&self, node: NodeId) -> (i64, i64) {
        (self.tree.value(node), self.comparison[node.index()])
    }

    /// The tree of the comparison.
    pub fn comparison(&self) -> StackTree {
        self.tree.with_values(self.comparison.clone())
    }

    /// What was measured more in the comparison than in the baseline; see [`diff`].
    ///
    /// # Errors
    ///
    /// If a difference does not fit in an `i64`.
    pub fn difference(&self) -> Result<StackTree, Error> {
        let mut stacks = Vec::new();
        for node in self.tree.nodes() {
            let (before, after) = self.values(node);
            let more = after
                .checked_sub(before)
                .ok_or_else(|| Error::overflow("difference of a stack"))?;
            if more != 0 {
                stacks.push((node, more));
            }
        }
        Ok(self.tree.subset(&stacks, &mut SubsetScratch::default()))
    }

    /// Walks both trees at once, as [`StackTree::walk`] does; what is 0 all the way down on both sides is left out.
    ///
    /// # Errors
    ///
    /// If a total does not fit in an `i64`.
    pub fn walk(&self, mut visit: impl FnMut(PairVisit)) -> Result<(), Error> {
        let (baseline, comparison) = self.totals()?;
        self.tree.pre_order(&self.occupied(), |node, depth| {
            let (baseline_self, comparison_self) = self.values(node);
            visit(PairVisit {
                node,
                depth,
                baseline: baseline[node.index()],
                baseline_self,
                comparison: comparison[node.index()],
                comparison_self,
            });
        });
        Ok(())
    }

    /// Cuts both trees down to the same nodes, about `max_nodes`, as [`StackTree::truncate`] does; 0 keeps all. A node
    /// is as large as the larger of its totals.
    ///
    /// # Errors
    ///
    /// If a total does not fit in an `i64`.
    pub fn truncate(&self, max_nodes: usize) -> Result<Self, Error> {
        let minimum = self.minimum_total(max_nodes)?;
        if minimum == 0 {
            return Ok(self.clone());
        }
        let (baseline, comparison) = self.totals()?;
        let (mut builder, places) = self.tree.cut(|node| {
            let (before, after) = (baseline[node.index()], comparison[node.index()]);
            (before != 0 || after != 0).then_some(before.max(after) >= minimum)
        })?;
        let mut values = vec![0_i64; builder.len()];
        for (node, place) in self.tree.nodes().zip(places) {
            let (at, (before, after)) = match place {
                Place::Kept(at) => (at, self.values(node)),
                Place::Other(at) => (at, (baseline[node.index()], comparison[node.index()])),
                Place::Gone => continue,
            };
            builder.add(at, before)?;
            let slot = &mut values[at.index()];
            *slot = slot.checked_add(after).ok_or_else(|| Error::overflow("value cut away"))?;
        }
        Ok(Self { tree: builder.finish(), comparison: values })
    }

    /// As [`StackTree::minimum_total`], of the larger totals.
    pub(crate) fn minimum_total(&self, max_nodes: usize) -> Result<i64, Error> {
        let occupied = self.occupied();
        let n_nodes = occupied.iter().skip(1).filter(|o| **o).count();
        if max_nodes == 0 || n_nodes <= max_nodes {
            return Ok(0);
        }
        let (mut larger, comparison) = self.totals()?;
        larger.iter_mut().zip(comparison).for_each(|(a, b)| *a = b.max(*a));
        Ok(self.tree.nth_largest(max_nodes, &larger, &occupied))
    }

    /// The values of each node and all below it: the baseline's and the comparison's.
    pub(crate) fn totals(&self) -> Result<(Vec<i64>, Vec<i64>), Error> {
        Ok((self.tree.totals()?, self.tree.totals_of(&self.comparison)?))
    }

    /// Whether a node or one below it has a value on either side.
    pub(crate) fn occupied(&self) -> Vec<bool> {
        self.tree.occupied_where(|node| self.values(node) != (0, 0))
    }
}
