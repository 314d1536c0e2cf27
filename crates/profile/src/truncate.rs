//! Cutting a tree down to its largest stacks, as Pyroscope does for `max_nodes`.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{Error, NodeId, StackTree, StackTreeBuilder, tree::Children};

/// The function that stands for stacks that were cut away.
pub(crate) const OTHER: &str = "other";

impl StackTree {
    /// The smallest total that a node must have to stay when the tree is cut to about `max_nodes` nodes; 0 keeps all.
    ///
    /// The root is not counted. Nodes with equal totals stay or go together, so more than `max_nodes` may stay.
    ///
    /// # Errors
    ///
    /// If a total does not fit in an `i64`.
    pub fn minimum_total(&self, max_nodes: usize) -> Result<i64, Error> {
        let occupied = self.occupied();
        let n_nodes = occupied.iter().skip(1).filter(|o| **o).count();
        if max_nodes == 0 || n_nodes <= max_nodes {
            return Ok(0);
        }
        let totals = self.totals()?;
        let children = Children::of(self, &occupied);
        let mut largest: BinaryHeap<Reverse<i64>> = BinaryHeap::with_capacity(max_nodes + 1);
        let mut stack: Vec<NodeId> = children.iter(NodeId::ROOT).collect();
        while let Some(node) = stack.pop() {
            let total = totals[node.index()];
            if largest.len() >= max_nodes {
                match largest.peek() {
                    // What is below is not larger either.
                    Some(Reverse(smallest)) if total <= *smallest => continue,
                    _ => drop(largest.pop()),
                }
            }
            largest.push(Reverse(total));
            stack.extend(children.iter(node));
        }
        Ok(largest.peek().map_or(0, |smallest| smallest.0))
    }

    /// Cuts the tree down to about `max_nodes` nodes: of each kept node, the children that are too small become one
    /// child called `other`. 0 keeps all. Returns the tree and the value that was cut away.
    ///
    /// # Errors
    ///
    /// If a total does not fit in an `i64`.
    pub fn truncate(&self, max_nodes: usize) -> Result<(Self, i64), Error> {
        let minimum = self.minimum_total(max_nodes)?;
        if minimum == 0 {
            return Ok((self.clone(), 0));
        }
        let totals = self.totals()?;
        let mut builder = StackTreeBuilder::new();
        let other = builder.intern(OTHER);
        let mut cut: i64 = 0;
        // What a node became: itself, or nothing if it was cut away.
        let mut nodes: Vec<Option<NodeId>> = vec![None; self.len()];
        nodes[0] = Some(NodeId::ROOT);
        builder.add(NodeId::ROOT, self.value(NodeId::ROOT))?;
        for node in self.nodes() {
            let (Some(parent), Some(function)) = (self.parent(node), self.function(node)) else {
                continue;
            };
            let Some(place) = nodes[parent.index()] else { continue };
            let total = totals[node.index()];
            let name = self.names().get(function);
            if total >= minimum && name != OTHER {
                let name = builder.intern(name);
                let child = builder.child(place, name)?;
                builder.add(child, self.value(node))?;
                nodes[node.index()] = Some(child);
            } else if total != 0 {
                let child = builder.child(place, other)?;
                builder.add(child, total)?;
                if total < minimum {
                    cut =
                        cut.checked_add(total).ok_or_else(|| Error::overflow("value cut away"))?;
                }
            }
        }
        Ok((builder.finish(), cut))
    }
}

#[cfg(test)]
mod tests {
    use crate::folded;

    #[test]
    fn minimum_of_the_three_stacks_of_the_protocol() {
        let tree = folded::decode(b"a;b;c 2\na;b;c1 1\na;b1;c 1\n").unwrap().into_tree();
        let minima: Vec<i64> = (0..9).map(|n| tree.minimum_total(n).unwrap()).collect();
        assert_eq!(minima, [0, 4, 3, 2, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn the_rest_becomes_other_and_nothing_is_lost() {
        let tree = folded::decode(b"a;b;c 2\na;b;c1 1\na;b1;c 1\n").unwrap().into_tree();
        let (cut, value) = tree.truncate(2).unwrap();
        assert_eq!(cut, folded::decode(b"a;b;other 3\na;other 1\n").unwrap().into_tree());
        assert_eq!(value, 4);
        assert_eq!(cut.total().unwrap(), tree.total().unwrap());
        assert_eq!(tree.truncate(0).unwrap(), (tree.clone(), 0));
    }
}
