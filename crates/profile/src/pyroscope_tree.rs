//! Trees of stacks as Pyroscope's servers send them: each node once, its name spelled out, and no names but those.
//!
//! The nodes come in pre-order, each as the length of its name, the name, its own value and its number of children;
//! numbers are varints. The first node is the root, which has no name, and no bytes at all are a tree without stacks.
//! Siblings are written from the last name to the first.
//!
//! A tree is read straight into columns: a node has its parent on the way down, so no stack is looked up. Only if
//! siblings share a name, which no server writes, is the tree put together again stack by stack.
//!
//! ```
//! use flamesql_profile::{folded, pyroscope_tree};
//!
//! let tree = folded::decode(b"main;serve 2\nmain 1\n")?.into_tree();
//! let bytes = pyroscope_tree::encode(&tree);
//! assert_eq!(bytes, b"\x00\x00\x01\x04main\x01\x01\x05serve\x02\x00");
//! assert_eq!(pyroscope_tree::decode(&bytes)?.into_tree(), tree);
//! # Ok::<(), flamesql_profile::Error>(())
//! ```

use std::borrow::Cow;

use crate::{
    Error, ErrorKind, NameId, Names, NodeId, StackTree, StackTreeBuilder,
    tree::Children,
    wire::{Reader, Writer},
};

const WHAT: &str = "Pyroscope tree";

/// How many nodes a tree may have, the root included. Servers send a million at most unless they are told otherwise.
pub const MAX_NODES: usize = 1 << 25;

/// The bytes of the smallest node: three numbers, and a name of no bytes.
const MIN_NODE_BYTES: u64 = 3;

/// The tree of which nothing is sent, written out.
const NO_STACKS: &[u8] = &[0, 0, 0];

/// What [`decode`] read.
#[derive(Debug)]
pub struct Decoded {
    tree: StackTree,
    replaced_texts: usize,
}

impl Decoded {
    /// The stacks.
    pub fn tree(&self) -> &StackTree {
        &self.tree
    }

    /// The stacks, owned.
    pub fn into_tree(self) -> StackTree {
        self.tree
    }

    /// How many names were not UTF-8 and had bytes replaced by U+FFFD.
    pub fn replaced_texts(&self) -> usize {
        self.replaced_texts
    }
}

/// Reads a tree. What the root has by itself is the value of samples without a stack.
///
/// The rest of a tree that the server cut short is in nodes called `other`: see [`StackTree::has_other`].
///
/// # Errors
///
/// If the bytes are cut off, go on behind the last node, announce more nodes than they can hold, or begin with a node
/// that has a name; if there are more than [`MAX_NODES`] nodes; or if siblings share a name and their sum does not fit
/// in an `i64`.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Error> {
    let mut columns = Columns::new();
    match bytes {
        [] => columns.read(NO_STACKS)?,
        _ => columns.read(bytes)?,
    }
    let has_twins = columns.has_twins();
    let Columns { names, parents, functions, values, replaced_texts } = columns;
    let tree = StackTree::from_columns(names, parents, functions, values);
    if !has_twins {
        return Ok(Decoded { tree, replaced_texts });
    }
    let mut builder = StackTreeBuilder::new();
    builder.merge(&tree)?;
    Ok(Decoded { tree: builder.finish(), replaced_texts })
}

/// Writes the stacks that have a value, siblings from the last name to the first, as servers do.
pub fn encode(tree: &StackTree) -> Vec<u8> {
    let occupied = tree.occupied();
    let mut out = Writer::default();
    if !occupied[0] {
        return out.bytes;
    }
    let children = Children::by_name(tree, &occupied, None);
    let mut waiting = vec![NodeId::ROOT];
    while let Some(node) = waiting.pop() {
        let name = tree.function(node).map_or("", |name| tree.names().get(name));
        out.varint(name.len() as u64);
        out.bytes.extend_from_slice(name.as_bytes());
        out.varint(tree.value(node).cast_unsigned());
        let n_before = waiting.len();
        waiting.extend(children.iter(node));
        out.varint((waiting.len() - n_before) as u64);
    }
    out.bytes
}

/// The nodes as they are read, in pre-order.
struct Columns {
    names: Names,
    parents: Vec<u32>,
    functions: Vec<NameId>,
    values: Vec<i64>,
    replaced_texts: usize,
}

impl Columns {
    fn new() -> Self {
        let mut names = Names::default();
        // What the root has for a name, which is never read.
        names.intern("");
        Self {
            names,
            parents: Vec::new(),
            functions: Vec::new(),
            values: Vec::new(),
            replaced_texts: 0,
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(bytes, 0, WHAT);
        // The nodes whose children are being read, and how many of these are still to come.
        let mut open: Vec<(u32, u64)> = Vec::new();
        // How many nodes have been announced and not been read.
        let mut n_due: u64 = 1;
        while n_due > 0 {
            let start = reader.offset();
            if self.parents.len() >= MAX_NODES {
                let detail = format!("more than {MAX_NODES} nodes");
                return Err(Error::new(ErrorKind::TooLarge, WHAT, detail).at(start));
            }
            let len = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
            let name = reader.take_of("name", len, start)?;
            let value = reader.varint()?.cast_signed();
            let n_children = reader.varint()?;
            n_due = (n_due - 1).saturating_add(n_children);
            let left = (bytes.len() - reader.offset()) as u64;
            if n_due > left / MIN_NODE_BYTES {
                let detail = format!("{n_due} nodes are to come where {left} bytes are left");
                return Err(Error::malformed(WHAT, detail).at(start));
            }
            let node = u32::try_from(self.parents.len()).expect("MAX_NODES fits in 32 bits");
            let parent = match open.last_mut() {
                Some((parent, n_left)) => {
                    *n_left -= 1;
                    let (parent, is_last) = (*parent, *n_left == 0);
                    if is_last {
                        open.pop();
                    }
                    parent
                }
                None if name.is_empty() => 0,
                None => {
                    let detail = format!("the first node has a name of {len} bytes");
                    return Err(Error::malformed(WHAT, detail).at(start));
                }
            };
            let function = self.intern(name);
            self.parents.push(parent);
            self.functions.push(function);
            self.values.push(value);
            if n_children > 0 {
                open.push((node, n_children));
            }
        }
        if !reader.is_done() {
            let at = reader.offset();
            let detail = format!("{} bytes behind the last node", bytes.len() - at);
            return Err(Error::malformed(WHAT, detail).at(at));
        }
        Ok(())
    }

    fn intern(&mut self, name: &[u8]) -> NameId {
        let text = String::from_utf8_lossy(name);
        self.replaced_texts += usize::from(matches!(text, Cow::Owned(_)));
        self.names.intern(&text)
    }

    /// Whether two children of one node have the same name.
    fn has_twins(&self) -> bool {
        // In pre-order a node is followed by all that is below it: its next sibling comes right behind that.
        let mut sizes = vec![1_usize; self.parents.len()];
        for idx in (1..sizes.len()).rev() {
            sizes[self.parents[idx] as usize] += sizes[idx];
        }
        // For each name the last node that had a child of it.
        let mut seen = vec![usize::MAX; self.names.len()];
        for node in 0..sizes.len() {
            let mut child = node + 1;
            while child < node + sizes[node] {
                let seen = &mut seen[self.functions[child].index()];
                if std::mem::replace(seen, node) == node {
                    return true;
                }
                child += sizes[child];
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folded;
    use proptest::prelude::*;

    fn tree(text: &str) -> StackTree {
        folded::decode(text.as_bytes()).unwrap().into_tree()
    }

    #[test]
    fn golden_of_the_protocol() {
        let whole =
            "a;b;c 2\na;b;c1 1\na;b1;c 1\na;b1;c1 1\na1;b;c 1\na1;b;c1 1\na1;b1;c 1\na1;b1;c1 1\n";
        let (cut, _) = tree(whole).truncate(3).unwrap();
        let bytes = encode(&cut);
        #[rustfmt::skip]
        let expected = [
            &b"\0\0\x02"[..],
            b"\x02a1\0\x01", b"\x05other\x04\0",
            b"\x01a\0\x02", b"\x05other\x02\0", b"\x01b\0\x01", b"\x05other\x03\0",
        ];
        assert_eq!(bytes, expected.concat());
        let again = decode(&bytes).unwrap().into_tree();
        assert_eq!(again, tree("a;b;other 3\na;other 2\na1;other 4\n"));
        assert!(again.has_other() && !tree(whole).has_other());
    }

    #[test]
    fn a_tree_without_stacks_is_no_bytes() {
        assert_eq!(encode(&tree("")), b"");
        assert_eq!(encode(&tree("a;b 0\n")), b"");
        for empty in [&b""[..], b"\0\0\0"] {
            let tree = decode(empty).unwrap().into_tree();
            assert!(tree.is_empty() && tree.len() == 1);
        }
        let unnamed = decode(b"\0\x07\0").unwrap().into_tree();
        assert_eq!(unnamed, tree("7\n"));
    }

    #[test]
    fn siblings_of_one_name_are_added_up() {
        let bytes = b"\0\0\x03\x01a\x01\x01\x01b\x02\0\x01b\x01\0\x01a\x04\x01\x01b\x08\0";
        assert_eq!(decode(bytes).unwrap().into_tree(), tree("a 5\na;b 10\nb 1\n"));
        // A name that returns further down is no sibling.
        let bytes = encode(&tree("a;a;a 1\na;b;a 1\n"));
        assert_eq!(decode(&bytes).unwrap().into_tree().len(), 6);
        let max = [&b"\0\0\x02"[..], b"\x01a\xff\xff\xff\xff\xff\xff\xff\xff\x7f\0"].concat();
        let twins = [&max[..], b"\x01a\x01\0"].concat();
        assert_eq!(decode(&twins).unwrap_err().kind(), ErrorKind::Overflow);
        let others = [&max[..], b"\x01b\x01\0"].concat();
        assert_eq!(decode(&others).unwrap().tree().stacks().count(), 2);
    }

    #[test]
    fn names_that_are_not_utf8_are_mended_and_counted() {
        let decoded = decode(b"\0\0\x02\x02a\xff\x01\0\x02a\xfe\x02\0").unwrap();
        assert_eq!(decoded.replaced_texts(), 2);
        assert_eq!(decoded.into_tree(), tree("a\u{fffd} 3\n"));
    }

    #[test]
    fn damaged_trees_are_errors_at_their_place() {
        for (bytes, message) in [
            (&b"\0"[..], "ends inside a number (at byte 1)"),
            (b"\0\0", "ends inside a number (at byte 2)"),
            (b"\0\0\x01", "1 nodes are to come where 0 bytes are left (at byte 0)"),
            (
                b"\0\0\x80\x94\xeb\xdc\x03\x01a\x01\0",
                "1000000000 nodes are to come where 4 bytes are left (at byte 0)",
            ),
            (
                b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0",
                "18446744073709551615 nodes are to come where 3 bytes are left (at byte 0)",
            ),
            (b"\0\0\x01\x05a\x01\0", "a name of 5 bytes where 3 are left (at byte 3)"),
            (
                b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\0",
                "a number has more than 64 bits (at byte 1)",
            ),
            (b"\0\0\0\0", "1 bytes behind the last node (at byte 3)"),
            (b"\x01a\0\0", "the first node has a name of 1 bytes (at byte 0)"),
        ] {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert_eq!(error.to_string(), format!("{WHAT}: {message}"));
        }
    }

    #[test]
    fn depth_is_not_bounded() {
        let chain = [&b"\0\0\x01"[..], &b"\x01a\0\x01".repeat(300_000), b"\x01a\x03\0"].concat();
        let tree = decode(&chain).unwrap().into_tree();
        assert_eq!((tree.len(), tree.total().unwrap()), (300_002, 3));
        assert_eq!(encode(&tree), chain);
    }

    proptest! {
        #[test]
        fn trees_come_back(stacks in proptest::collection::vec((proptest::collection::vec("[a-c]{0,2}|é", 0..7), any::<i64>()), 0..20)) {
            let mut builder = StackTreeBuilder::new();
            for (stack, value) in &stacks {
                let ids: Vec<_> = stack.iter().map(|name| builder.intern(name)).collect();
                let node = builder.insert(&ids).unwrap();
                prop_assume!(builder.add(node, *value).is_ok());
            }
            let tree = builder.finish();
            let bytes = encode(&tree);
            let again = decode(&bytes).unwrap();
            prop_assert_eq!(again.replaced_texts(), 0);
            prop_assert_eq!(again.tree(), &tree);
            prop_assert_eq!(encode(again.tree()), bytes);
        }
    }
}
