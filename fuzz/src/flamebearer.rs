//! The target of flame graph levels.

use flamesql_profile::{ErrorKind, StackTree, flamebearer::Levels, folded};

use crate::tree;

/// Levels that decode have the sum of their bars' self values; a tree without negative values comes back from its
/// levels as it was, and keeps its total when it is cut.
///
/// The bytes are taken as folded text and, as that seldom is a graph gone wrong, as the numbers of levels as well.
///
/// # Panics
///
/// If one of these does not hold.
pub fn flamebearer(data: &[u8]) {
    if let Ok(folded) = folded::decode(data) {
        check(folded.tree());
    }
    let graph = graph(data);
    match graph.decode() {
        Ok(tree) => {
            let bars = graph.levels.iter().flat_map(|level| level.chunks_exact(4));
            let sum: i128 = bars.map(|bar| i128::from(bar[2])).sum();
            assert_eq!(tree::sum(&tree), sum);
            tree::check(&tree);
            check(&tree);
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Overflow), "{error}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}

fn check(tree: &StackTree) {
    let Ok(graph) = Levels::encode(tree, 0) else {
        let is_negative = tree.stacks().any(|(_, value)| value < 0);
        assert!(is_negative || tree.total().is_err(), "the tree can be laid out");
        return;
    };
    assert_eq!(i128::from(graph.total), tree::sum(tree));
    check_places(&graph);
    let again = graph.decode().expect("what was laid out can be read");
    assert_eq!(tree::sum(&again), tree::sum(tree));
    // A bar without a name is drawn as the bottom is: "total".
    let has_names = tree
        .nodes()
        .filter_map(|node| tree.function(node))
        .all(|name| !tree.names().get(name).is_empty());
    if has_names {
        assert_eq!(&again, tree);
    }
    for max_nodes in [1, 3, 100] {
        let cut = Levels::encode(tree, max_nodes).expect("it can be laid out whole");
        assert_eq!(cut.total, graph.total);
        assert_eq!(tree::sum(&cut.decode().expect("as the whole")), tree::sum(tree));
    }
}

/// Bars do not overlap, and each lies over its caller, to the right of the caller's own time.
fn check_places(graph: &Levels) {
    // From where the callees of a bar may begin, and where it ends.
    let mut below = vec![(0, graph.total)];
    for level in &graph.levels {
        let mut bars = Vec::new();
        let mut edge = 0;
        for bar in level.chunks_exact(4) {
            let [gap, total, self_value] = [bar[0], bar[1], bar[2]];
            assert!(gap >= 0 && total >= self_value && self_value >= 0, "{bar:?}");
            let (start, end) = (edge + gap, edge + gap + total);
            assert!(
                below.iter().any(|(from, to)| *from <= start && end <= *to),
                "nothing lies below {start}..{end}"
            );
            bars.push((start + self_value, end));
            edge = end;
        }
        below = bars;
    }
}

/// Levels from bytes: a byte is a number, 0xff goes to the next level, 0x80 is followed by the eight bytes of a number.
fn graph(data: &[u8]) -> Levels {
    let names = ["total", "", "a", "b", "other"].map(str::to_owned).to_vec();
    let mut levels = vec![Vec::new()];
    let mut bytes = data;
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match (*first, rest.split_first_chunk::<8>()) {
            (0xff, _) => levels.push(Vec::new()),
            (0x80, Some((number, rest))) => {
                bytes = rest;
                levels.last_mut().expect("it is never empty").push(i64::from_le_bytes(*number));
            }
            (byte, _) => {
                levels.last_mut().expect("it is never empty").push(i64::from(byte.cast_signed()));
            }
        }
    }
    Levels { names, levels, total: 0, max_self: 0 }
}
