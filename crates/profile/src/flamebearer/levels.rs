//! One tree as levels: a bar is four numbers.

use super::{BarNames, WHAT, name_at, only_positive, span};
use crate::{Error, NodeId, StackTree, StackTreeBuilder, tree::Children, truncate::OTHER};

/// A flame graph as levels of bars.
///
/// ```
/// use flamesql_profile::{flamebearer::Levels, folded};
///
/// let tree = folded::decode(b"a;b 1\na;c 2\n")?.into_tree();
/// let graph = Levels::encode(&tree, 0)?;
/// assert_eq!(graph.names, ["total", "a", "c", "b"]);
/// assert_eq!(graph.levels, [vec![0, 3, 0, 0], vec![0, 3, 0, 1], vec![0, 1, 1, 3, 0, 2, 2, 2]]);
/// assert_eq!(graph.decode()?, tree);
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// The names that bars point at.
    pub names: Vec<String>,
    /// The bars of each depth, four numbers a bar: the gap to the bar before it, total, self, the index of its name.
    pub levels: Vec<Vec<i64>>,
    /// The value of the whole graph.
    pub total: i64,
    /// The largest self value of any bar.
    pub max_self: i64,
}

impl Levels {
    /// Lays out a tree, cut to about `max_nodes` bars; 0 keeps all.
    ///
    /// # Errors
    ///
    /// If a value is negative, which a bar cannot be, or a total does not fit in an `i64`.
    pub fn encode(tree: &StackTree, max_nodes: usize) -> Result<Self, Error> {
        only_positive(tree)?;
        let (tree, _) = tree.truncate(max_nodes)?;
        let totals = tree.totals()?;
        let children = Children::by_name(&tree, &tree.occupied(), tree.names().find(OTHER));
        let mut names = BarNames::of(&tree);
        // Bars with absolute places, right to left.
        let mut levels: Vec<Vec<[i64; 4]>> = Vec::new();
        let mut max_self = 0;
        let mut stack = vec![(NodeId::ROOT, 0_i64, 0_usize)];
        while let Some((node, x, depth)) = stack.pop() {
            let name = names.place(&tree, tree.function(node));
            let self_value = tree.value(node);
            if levels.len() == depth {
                levels.push(Vec::new());
            }
            levels[depth].push([x, totals[node.index()], self_value, name]);
            max_self = max_self.max(if depth == 0 { 0 } else { self_value });
            let mut x = x + self_value;
            for child in children.iter(node) {
                stack.push((child, x, depth + 1));
                x += totals[child.index()];
            }
        }
        let levels = levels
            .into_iter()
            .map(|mut bars| {
                bars.reverse();
                let mut edge = 0;
                bars.into_iter()
                    .flat_map(|[x, total, self_value, name]| {
                        let gap = x - edge;
                        edge = x + total;
                        [gap, total, self_value, name]
                    })
                    .collect()
            })
            .collect();
        Ok(Self { names: names.names, levels, total: totals[0], max_self })
    }

    /// The stacks of the graph.
    ///
    /// A bar belongs to the bar below it that covers it. The names stay as they are, `other` bars included. The self
    /// value of the bottom bar is that of samples without a stack.
    ///
    /// # Errors
    ///
    /// If a level is not made of fours, a name does not exist, a bar has nothing below it, or a sum does not fit in an
    /// `i64`.
    pub fn decode(&self) -> Result<StackTree, Error> {
        let mut builder = StackTreeBuilder::new();
        // The bars of the level below: first and last place, and the node.
        let mut below: Vec<(i64, i64, NodeId)> = Vec::new();
        for (depth, level) in self.levels.iter().enumerate() {
            let fail = |detail: String| Error::malformed(WHAT, format!("level {depth}: {detail}"));
            if !level.len().is_multiple_of(4) {
                return Err(fail(format!("{} numbers are not whole bars of four", level.len())));
            }
            let mut bars = Vec::with_capacity(level.len() / 4);
            let (mut edge, mut at) = (0_i64, 0_usize);
            for bar in level.chunks_exact(4) {
                let (gap, total, self_value) = (bar[0], bar[1], bar[2]);
                let Some((x, end)) = span(edge, gap, total) else {
                    return Err(fail(format!("the bar {bar:?} has no place")));
                };
                let name = name_at(&self.names, bar[3]).map_err(fail)?;
                let node = if depth == 0 {
                    NodeId::ROOT
                } else {
                    while below.get(at).is_some_and(|(_, parent_end, _)| end > *parent_end) {
                        at += 1;
                    }
                    let Some((_, _, parent)) = below.get(at).filter(|(start, ..)| *start <= x)
                    else {
                        return Err(fail(format!("nothing lies below the bar of {name:?}")));
                    };
                    let name = builder.intern(name);
                    builder.child(*parent, name)?
                };
                builder.add(node, self_value)?;
                bars.push((x, end, node));
                edge = end;
            }
            below = bars;
        }
        Ok(builder.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folded;

    fn golden(stacks: &str, max_nodes: usize) -> Levels {
        Levels::encode(&folded::decode(stacks.as_bytes()).unwrap().into_tree(), max_nodes).unwrap()
    }

    #[test]
    fn goldens_of_the_protocol() {
        let graph = golden("a;b;e 1\na;c 1\na;c;d 1\n", 0);
        assert_eq!(graph.total, 3);
        let graph = golden("a;b;e 1\na;c 2\na;c;d 1\n", 0);
        assert_eq!(graph.names, ["total", "a", "c", "d", "b", "e"]);
        assert_eq!(
            graph.levels,
            [
                vec![0, 4, 0, 0],
                vec![0, 4, 0, 1],
                vec![0, 1, 0, 4, 0, 3, 2, 2],
                vec![0, 1, 1, 5, 2, 1, 1, 3]
            ]
        );
        assert_eq!((graph.total, graph.max_self), (4, 2));

        let graph = golden("foo;bar 1\nfoo;bar;baz 1\nfoo;qux 2\nfred;zoo 1\nfred;other 1\n", 4);
        assert_eq!(graph.names, ["total", "fred", "other", "foo", "qux", "bar"]);
        assert_eq!(
            graph.levels,
            [
                vec![0, 6, 0, 0],
                vec![0, 4, 0, 3, 0, 2, 0, 1],
                vec![0, 2, 1, 5, 0, 2, 2, 4, 0, 2, 2, 2],
                vec![1, 1, 1, 2]
            ]
        );
        assert_eq!((graph.total, graph.max_self), (6, 2));

        let empty = golden("", 0);
        assert_eq!((empty.names.len(), empty.levels), (1, vec![vec![0, 0, 0, 0]]));
    }

    #[test]
    fn damaged_levels_are_errors() {
        let good = golden("a;b 1\na;c 2\n", 0);
        for (level, numbers) in [
            (1, vec![0, 3, 0]),
            (1, vec![0, 3, 0, 9]),
            (1, vec![0, 3, 0, -1]),
            (2, vec![9, 1, 1, 1]),
            (1, vec![i64::MAX, 3, 0, 1]),
            (1, vec![-1, 3, 0, 1]),
        ] {
            let mut bad = good.clone();
            bad.levels[level] = numbers;
            assert!(bad.decode().is_err());
        }
        let negative = folded::decode(b"a -1\n").unwrap().into_tree();
        assert!(Levels::encode(&negative, 0).is_err());
    }
}
