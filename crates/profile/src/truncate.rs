//! Cutting a tree down to its largest stacks, as Pyroscope does for `max_nodes`.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{Error, NameId, NodeId, StackTree, StackTreeBuilder, tree::Children};

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
        Ok(self.nth_largest(max_nodes, &self.totals()?, &occupied))
    }

    /// The least of the `n` largest `totals` of occupied nodes but the root; no node has a larger one than its parent.
    pub(crate) fn nth_largest(&self, n: usize, totals: &[i64], occupied: &[bool]) -> i64 {
        let children = Children::of(self, occupied);
        let mut largest: BinaryHeap<Reverse<i64>> = BinaryHeap::with_capacity(n + 1);
        let mut stack: Vec<NodeId> = children.iter(NodeId::ROOT).collect();
        while let Some(node) = stack.pop() {
            let total = totals[node.index()];
            if largest.len() >= n {
                match largest.peek() {
                    // What is below is not larger either.
                    Some(Reverse(smallest)) if total <= *smallest => continue,
                    _ => drop(largest.pop()),
                }
            }
            largest.push(Reverse(total));
            stack.extend(children.iter(node));
        }
        largest.peek().map_or(0, |smallest| smallest.0)
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
        let (mut builder, places) = self.cut(|node| {
            let total = totals[node.index()];
            (total != 0).then_some(total >= minimum)
        })?;
        let mut cut: i64 = 0;
        for (node, place) in self.nodes().zip(places) {
            match place {
                Place::Kept(at) => builder.add(at, self.value(node))?,
                Place::Other(at) => {
                    let total = totals[node.index()];
                    builder.add(at, total)?;
                    if total < minimum {
                        cut = cut
                            .checked_add(total)
                            .ok_or_else(|| Error::overflow("value cut away"))?;
                    }
                }
                Place::Gone => {}
            }
        }
        Ok((builder.finish(), cut))
    }

    /// The nodes that are large enough, and an `other` where some are not, all without values; and where each node of
    /// this tree went. `is_large` has no answer for nodes that are nowhere to be seen.
    ///
    /// What is called `other` already is taken for the rest of an earlier cut.
    pub(crate) fn cut(
        &self,
        is_large: impl Fn(NodeId) -> Option<bool>,
    ) -> Result<(StackTreeBuilder, Vec<Place>), Error> {
        let mut builder = StackTreeBuilder::new();
        let other = builder.intern(OTHER);
        let mut names: Vec<Option<NameId>> = vec![None; self.names().len()];
        let mut places = vec![Place::Gone; self.len()];
        places[0] = Place::Kept(NodeId::ROOT);
        for node in self.nodes() {
            let (Some(parent), Some(function)) = (self.parent(node), self.function(node)) else {
                continue;
            };
            let Place::Kept(parent) = places[parent.index()] else { continue };
            let Some(is_large) = is_large(node) else { continue };
            let name = *names[function.index()]
                .get_or_insert_with(|| builder.intern(self.names().get(function)));
            places[node.index()] = if is_large && name != other {
                Place::Kept(builder.child(parent, name)?)
            } else {
                Place::Other(builder.child(parent, other)?)
            };
        }
        Ok((builder, places))
    }
}

/// Where a node of a tree is after the tree was cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Here, with its own value.
    Kept(NodeId),
    /// Here, with all that was below it.
    Other(NodeId),
    /// In the place of a node above it, or nowhere if nothing was measured.
    Gone,
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
