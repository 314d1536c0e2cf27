//! The target of the trees that Pyroscope's servers send.

use flamesql_profile::{ErrorKind, pyroscope_tree};

use crate::{check_error, tree};

/// The tree has no more nodes than the bytes can hold, no stack is in it twice, and what is written reads back as the
/// same tree.
///
/// # Panics
///
/// If one of these does not hold.
pub fn pyroscope_tree(data: &[u8]) {
    let decoded = match pyroscope_tree::decode(data) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Overflow), "{error}");
            return check_error(&error, data);
        }
    };
    let tree = decoded.tree();
    assert!(tree.len() <= 1 + data.len() / 3 && decoded.replaced_texts() <= data.len() / 4);
    tree::check(tree);
    let mut stacks: Vec<_> =
        tree.nodes().map(|node| (tree.parent(node), tree.function(node))).collect();
    stacks.sort_unstable_by_key(|(parent, function)| {
        (parent.map(|node| node.index()), function.map(|name| name.index()))
    });
    assert!(stacks.is_sorted_by(|a, b| a != b), "two nodes are one stack");

    let bytes = pyroscope_tree::encode(tree);
    let again = pyroscope_tree::decode(&bytes).expect("what was written can be read");
    assert_eq!(again.replaced_texts(), 0);
    assert_eq!(tree::sum(again.tree()), tree::sum(tree));
    assert_eq!(pyroscope_tree::encode(again.tree()), bytes, "writing is stable");
    if tree.len() <= tree::MAX_NODES {
        assert_eq!(again.tree(), tree);
    }
}
