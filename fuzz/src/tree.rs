//! What holds for every tree of stacks, wherever it came from.

use flamesql_profile::{
    ErrorKind, NodeId, ProfileType, StackTree, StackTreeBuilder, Timestamp, folded, pprof,
};

/// Beyond so many nodes only sums are checked: paths are compared as texts, whose length is quadratic in a chain.
pub(crate) const MAX_NODES: usize = 2000;

/// The sum of all values, in more bits than any tree can need.
pub(crate) fn sum(tree: &StackTree) -> i128 {
    tree.stacks().map(|(_, value)| i128::from(value)).sum()
}

/// Sums agree with each other, and the tree comes back from each format that can hold it.
pub(crate) fn check(tree: &StackTree) {
    check_sums(tree);
    if tree.len() <= MAX_NODES {
        check_merge(tree);
        check_pprof(tree);
        check_folded(tree);
    }
}

fn check_sums(tree: &StackTree) {
    let sum = sum(tree);
    match tree.total() {
        Ok(total) => assert_eq!(i128::from(total), sum),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Overflow);
            assert!(i64::try_from(sum).is_err(), "{sum} fits");
        }
    }
    let is_negative = tree.stacks().any(|(_, value)| value < 0);
    match tree.totals() {
        Ok(totals) => {
            assert_eq!(i128::from(totals[0]), sum);
            let mut children = vec![0_i128; tree.len()];
            for node in tree.nodes() {
                if let Some(parent) = tree.parent(node) {
                    assert!(parent < node, "a parent comes first");
                    children[parent.index()] += i128::from(totals[node.index()]);
                }
            }
            for node in tree.nodes() {
                let expected = children[node.index()] + i128::from(tree.value(node));
                assert_eq!(i128::from(totals[node.index()]), expected);
            }
        }
        Err(_) => assert!(is_negative || i64::try_from(sum).is_err(), "{sum} fits"),
    }
    match tree.functions() {
        Ok(rows) => {
            let selves: i128 = rows.iter().map(|row| i128::from(row.self_value)).sum();
            let in_root = if rows.iter().any(|row| row.name.is_none()) {
                0
            } else {
                tree.value(NodeId::ROOT)
            };
            assert_eq!(selves + i128::from(in_root), sum);
            if !is_negative {
                assert!(rows.iter().all(|row| 0 <= row.self_value && row.self_value <= row.total));
                assert!(rows.iter().all(|row| i128::from(row.total) <= sum));
            }
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Overflow),
    }
}

fn check_merge(tree: &StackTree) {
    let mut builder = StackTreeBuilder::new();
    builder.merge(tree).expect("what fits in one tree fits in another");
    if builder.merge(tree).is_ok() {
        assert_eq!(sum(&builder.finish()), 2 * sum(tree));
    }
    if tree.stacks().all(|(_, value)| value >= 0) && tree.total().is_ok() {
        for max_nodes in [1, 2, 7] {
            let (cut, _) = tree.truncate(max_nodes).expect("the total fits");
            assert_eq!(sum(&cut), sum(tree), "cut to {max_nodes} nodes");
        }
    }
}

fn check_pprof(tree: &StackTree) {
    // pprof has no function without a name: it would go by its address.
    if tree.names().iter().skip(1).any(str::is_empty) || names_nothing(tree) {
        return;
    }
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")
        .expect("it has five parts");
    let profile = pprof::Profile::from_tree(&cpu, tree, Timestamp::from_nanos(1), 0)
        .expect("the tree is small");
    let again = pprof::decode(&pprof::encode(&profile)).expect("what was written can be read");
    assert_eq!(again, profile);
    assert_eq!(&again.tree(0).expect("the sums did fit"), tree);
}

fn check_folded(tree: &StackTree) {
    let mut text = Vec::new();
    if folded::encode(tree, &mut text).is_err() {
        assert!(tree.totals().is_err(), "writing to memory fails only if a total does not fit");
        return;
    }
    // Whatever a name held, what was written can be read; nothing is lost but what the format cannot say.
    let again = folded::decode(&text).expect("what was written can be read").into_tree();
    assert_eq!(sum(&again), sum(tree));
    let is_plain =
        |name: &str| name == name.trim() && !name.is_empty() && !name.contains([';', '\n', '\r']);
    if tree.names().iter().skip(1).all(is_plain) && !names_nothing(tree) {
        assert_eq!(&again, tree);
    }
}

/// Whether some function has the empty name, which is always the first of the names.
fn names_nothing(tree: &StackTree) -> bool {
    tree.nodes()
        .filter_map(|node| tree.function(node))
        .any(|name| tree.names().get(name).is_empty())
}
