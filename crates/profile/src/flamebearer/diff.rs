//! Two trees as levels: a bar is seven numbers, three for each side and its name.

use super::{BarNames, WHAT, name_at, only_positive, span};
use crate::{
    Error, NodeId, StackTree, StackTreeBuilder, TreePair, tree::Children, truncate::OTHER,
};

/// How many numbers a bar has.
const N: usize = 7;

/// Two flame graphs side by side, left what was before and right what was after, as levels of bars that both have.
///
/// ```
/// use flamesql_profile::{flamebearer::DiffLevels, folded};
///
/// let left = folded::decode(b"a;b 1\na;c 2\n")?.into_tree();
/// let right = folded::decode(b"a;b 4\na;d 8\n")?.into_tree();
/// let graph = DiffLevels::encode(&left, &right, 0)?;
/// assert_eq!(graph.names, ["total", "a", "d", "c", "b"]);
/// assert_eq!(graph.levels[1], [0, 3, 0, 0, 12, 0, 1]);
/// assert_eq!(graph.levels[2], [0, 1, 1, 0, 4, 4, 4, 0, 2, 2, 0, 0, 0, 3, 0, 0, 0, 0, 8, 8, 2]);
/// assert_eq!((graph.left_ticks, graph.right_ticks, graph.total()?), (3, 12, 15));
/// assert_eq!(graph.decode()?, (left, right));
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffLevels {
    /// The names that bars point at.
    pub names: Vec<String>,
    /// The bars of each depth, seven numbers a bar: the gap to the bar before it, total and self on the left; the same
    /// on the right; the index of its name.
    pub levels: Vec<Vec<i64>>,
    /// The value of the whole left graph.
    pub left_ticks: i64,
    /// The value of the whole right graph.
    pub right_ticks: i64,
    /// The largest self value of any bar on either side.
    pub max_self: i64,
}

impl DiffLevels {
    /// Lays out two trees over each other, cut to about `max_nodes` bars, the one at the bottom counted; 0 keeps all.
    ///
    /// A bar stays if it is large enough on one side. A function that is really called `other` stays beside what was
    /// cut away.
    ///
    /// # Errors
    ///
    /// If a value is negative, which a bar cannot be, or a total does not fit in an `i64`.
    pub fn encode(left: &StackTree, right: &StackTree, max_nodes: usize) -> Result<Self, Error> {
        only_positive(left)?;
        only_positive(right)?;
        let pair = TreePair::of(left, right)?;
        let (tree, totals) = (pair.shape(), pair.totals()?);
        let larger = |node: NodeId| totals.0[node.index()].max(totals.1[node.index()]);
        let minimum = match max_nodes {
            0 => 0,
            1 => larger(NodeId::ROOT),
            n => pair.minimum_total(n - 1)?,
        };
        let children = Children::by_name(tree, &pair.occupied(), None);
        let mut names = BarNames::of(tree);
        let other = tree.names().find(OTHER);
        // Bars with absolute places, right to left.
        let mut levels: Vec<Vec<[i64; N]>> = Vec::new();
        let mut max_self = 0;
        // A node, or what was cut away from one.
        enum Bar {
            Node(NodeId),
            Other(i64, i64),
        }
        let mut other_place = None;
        let mut stack = vec![(Bar::Node(NodeId::ROOT), (0_i64, 0_i64), 0_usize)];
        while let Some((bar, (mut left, mut right), depth)) = stack.pop() {
            if levels.len() == depth {
                levels.push(Vec::new());
            }
            let node = match bar {
                Bar::Node(node) => node,
                Bar::Other(l, r) => {
                    let name = match other {
                        Some(other) => names.place(tree, Some(other)),
                        None => *other_place
                            .get_or_insert_with(|| BarNames::push(&mut names.names, OTHER)),
                    };
                    levels[depth].push([left, l, l, right, r, r, name]);
                    max_self = max_self.max(l).max(r);
                    continue;
                }
            };
            let (own_left, own_right) = pair.values(node);
            let name = names.place(tree, tree.function(node));
            let (l, r) = (totals.0[node.index()], totals.1[node.index()]);
            levels[depth].push([left, l, own_left, right, r, own_right, name]);
            if depth > 0 {
                max_self = max_self.max(own_left).max(own_right);
            }
            left += own_left;
            right += own_right;
            let (mut rest_left, mut rest_right) = (0, 0);
            for child in children.iter(node) {
                let (l, r) = (totals.0[child.index()], totals.1[child.index()]);
                if l.max(r) >= minimum {
                    stack.push((Bar::Node(child), (left, right), depth + 1));
                    left += l;
                    right += r;
                } else {
                    rest_left += l;
                    rest_right += r;
                }
            }
            if rest_left > 0 || rest_right > 0 {
                stack.push((Bar::Other(rest_left, rest_right), (left, right), depth + 1));
            }
        }
        let levels = levels.into_iter().map(|bars| gaps(bars.into_iter().rev())).collect();
        let (left_ticks, right_ticks) = (totals.0[0], totals.1[0]);
        Ok(Self { names: names.names, levels, left_ticks, right_ticks, max_self })
    }

    /// The value of both graphs together.
    ///
    /// # Errors
    ///
    /// If it does not fit in an `i64`.
    pub fn total(&self) -> Result<i64, Error> {
        self.left_ticks
            .checked_add(self.right_ticks)
            .ok_or_else(|| Error::overflow("total of both flame graphs"))
    }

    /// The stacks of the left and of the right graph.
    ///
    /// A bar belongs to the first bar below it that covers it on both sides. The names stay as they are, `other` bars
    /// included.
    ///
    /// # Errors
    ///
    /// If a level is not made of sevens, a name does not exist, a bar has nothing below it, or a sum does not fit in an
    /// `i64`.
    pub fn decode(&self) -> Result<(StackTree, StackTree), Error> {
        let (mut left, mut right) = (StackTreeBuilder::new(), StackTreeBuilder::new());
        /// Where a bar begins and ends on each side.
        type Spans = [(i64, i64); 2];
        // The bars of the level below, with their nodes on each side.
        let mut below: Vec<(Spans, [NodeId; 2])> = Vec::new();
        for (depth, level) in self.levels.iter().enumerate() {
            let fail = |detail: String| Error::malformed(WHAT, format!("level {depth}: {detail}"));
            if !level.len().is_multiple_of(N) {
                return Err(fail(format!("{} numbers are not whole bars of seven", level.len())));
            }
            let mut bars = Vec::with_capacity(level.len() / N);
            let (mut edges, mut at) = ((0_i64, 0_i64), 0_usize);
            for bar in level.chunks_exact(N) {
                let spans = span(edges.0, bar[0], bar[1]).zip(span(edges.1, bar[3], bar[4]));
                let Some((on_left, on_right)) = spans else {
                    return Err(fail(format!("the bar {bar:?} has no place")));
                };
                let name = name_at(&self.names, bar[6]).map_err(fail)?;
                let nodes = if depth == 0 {
                    [NodeId::ROOT; 2]
                } else {
                    let covers = |outer: (i64, i64), inner: (i64, i64)| {
                        outer.0 <= inner.0 && inner.1 <= outer.1
                    };
                    while below
                        .get(at)
                        .is_some_and(|([l, r], _)| !covers(*l, on_left) || !covers(*r, on_right))
                    {
                        at += 1;
                    }
                    let Some((_, parents)) = below.get(at) else {
                        return Err(fail(format!("nothing lies below the bar of {name:?}")));
                    };
                    let (l, r) = (left.intern(name), right.intern(name));
                    [left.child(parents[0], l)?, right.child(parents[1], r)?]
                };
                left.add(nodes[0], bar[2])?;
                right.add(nodes[1], bar[5])?;
                bars.push(([on_left, on_right], nodes));
                edges = (on_left.1, on_right.1);
            }
            below = bars;
        }
        Ok((left.finish(), right.finish()))
    }
}

/// Bars from left to right, with gaps in place of places.
fn gaps(bars: impl Iterator<Item = [i64; N]>) -> Vec<i64> {
    let mut edges = (0, 0);
    bars.flat_map(|mut bar| {
        let (left, right) = (bar[0], bar[3]);
        bar[0] -= edges.0;
        bar[3] -= edges.1;
        edges = (left + bar[1], right + bar[4]);
        bar
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folded;

    fn tree(stacks: &str) -> StackTree {
        folded::decode(stacks.as_bytes()).unwrap().into_tree()
    }

    fn encode(left: &str, right: &str, max_nodes: usize) -> DiffLevels {
        DiffLevels::encode(&tree(left), &tree(right), max_nodes).unwrap()
    }

    #[test]
    fn goldens_of_the_protocol() {
        let graph = encode("a;b 1\na;c 2\n", "a;b 4\na;c 8\n", 1024);
        assert_eq!(graph.names, ["total", "a", "c", "b"]);
        assert_eq!(
            graph.levels,
            [
                vec![0, 3, 0, 0, 12, 0, 0],
                vec![0, 3, 0, 0, 12, 0, 1],
                vec![0, 1, 1, 0, 4, 4, 3, 0, 2, 2, 0, 8, 8, 2]
            ]
        );
        assert_eq!((graph.total().unwrap(), graph.max_self), (15, 8));

        let graph = encode("a;b 1\na;c 2\na;e 3\n", "a;b 4\na;d 8\na;e 12\n", 1024);
        assert_eq!(graph.names, ["total", "a", "e", "d", "c", "b"]);
        assert_eq!(
            graph.levels[2],
            [
                [0, 1, 1, 0, 4, 4, 5],
                [0, 2, 2, 0, 0, 0, 4],
                [0, 0, 0, 0, 8, 8, 3],
                [0, 3, 3, 0, 12, 12, 2]
            ]
            .concat()
        );
        assert_eq!((graph.total().unwrap(), graph.max_self), (30, 12));

        // The bar at the bottom counts.
        let graph = encode("a;b 1\na;c 2\n", "a;b 4\na;c 8\n", 2);
        assert_eq!(graph.names, ["total", "a", "other"]);
        assert_eq!((graph.total().unwrap(), graph.max_self), (15, 12));
        assert_eq!(encode("a;b 1\na;c 2\n", "a;b 4\na;c 8\n", 1).names, ["total", "a", "other"]);
        assert_eq!(
            encode("a;b 1\na;c 2\n", "a;b 4\na;c 8\n", 3).names,
            ["total", "a", "other", "c"]
        );

        // No function in common.
        let apart = encode("a;b 1\n", "k;b;a;c 8\n", 1024);
        assert_eq!(apart.decode().unwrap(), (tree("a;b 1\n"), tree("k;b;a;c 8\n")));
        let empty = encode("", "", 0);
        assert_eq!((empty.names.len(), empty.levels), (1, vec![vec![0; 7]]));
    }

    #[test]
    fn a_bar_stays_that_is_large_on_one_side() {
        let graph = encode("a 10\nb 1\nc 6\n", "a 1\nb 9\nc 6\n", 3);
        assert_eq!(graph.names, ["total", "other", "b", "a"]);
        assert_eq!(graph.levels[1][14..], [0, 6, 6, 0, 6, 6, 1]);
    }

    #[test]
    fn a_function_called_other_stays_beside_the_rest() {
        let graph = encode("other;x 9\nz 8\nb 1\n", "", 4);
        assert_eq!(graph.names, ["total", "other", "z", "x"]);
        let bars: Vec<_> = graph.levels[1].chunks(7).map(|bar| (bar[1], bar[6])).collect();
        assert_eq!(bars, [(9, 1), (8, 2), (1, 1)]);
    }

    #[test]
    fn damaged_levels_are_errors() {
        let good = encode("a;b 1\na;c 2\n", "a;b 4\na;c 8\n", 0);
        for (level, numbers) in [
            (1, vec![0, 3, 0, 0, 12, 0]),
            (1, vec![0, 3, 0, 0, 12, 0, 9]),
            (1, vec![0, 3, 0, 0, 12, 0, -1]),
            (1, vec![0, 3, 0, -1, 12, 0, 1]),
            (1, vec![i64::MAX, 3, 0, 0, 12, 0, 1]),
            (1, vec![0, 3, 0, i64::MAX, 12, 0, 1]),
            (2, vec![9, 1, 1, 0, 4, 4, 3]),
            (2, vec![0, 1, 1, 9, 4, 4, 3]),
            (2, vec![0, i64::MIN, 1, 0, 4, 4, 3]),
        ] {
            let mut bad = good.clone();
            bad.levels[level] = numbers;
            assert!(bad.decode().is_err());
        }
        let (good, negative) = (tree("a 1\n"), tree("a -1\n"));
        assert!(DiffLevels::encode(&good, &negative, 0).is_err());
        assert!(DiffLevels::encode(&negative, &good, 0).is_err());
    }
}
