//! Folded text: a line for each stack, `root;caller;leaf 42`, as `stackcollapse` scripts write it.
//!
//! ```
//! use flamesql_profile::folded;
//!
//! let tree = folded::decode(b"main;serve 2\nmain;gc mark 1\n")?.into_tree();
//! let mut text = Vec::new();
//! folded::encode(&tree, &mut text)?;
//! assert_eq!(text, b"main;gc mark 1\nmain;serve 2\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{borrow::Cow, io};

use crate::{Error, ErrorKind, NameId, NodeId, StackTree, StackTreeBuilder, gzip};

const WHAT: &str = "folded stacks";

/// What [`decode`] read.
#[derive(Debug)]
pub struct Folded {
    tree: StackTree,
    replaced_texts: usize,
}

impl Folded {
    /// The stacks.
    pub fn tree(&self) -> &StackTree {
        &self.tree
    }

    /// The stacks, owned.
    pub fn into_tree(self) -> StackTree {
        self.tree
    }

    /// How many lines were not UTF-8 and had bytes replaced by U+FFFD.
    pub fn replaced_texts(&self) -> usize {
        self.replaced_texts
    }
}

/// Reads folded text, plain or gzip. Equal stacks are added up; blank lines are passed over.
///
/// Function names may hold blanks: the number is what stands behind the last one. An empty stack is a line with only a
/// number. Empty names between semicolons are left out.
///
/// # Errors
///
/// If a line does not end in a whole number, or a sum does not fit in an `i64`. The offset is that of the line.
pub fn decode(bytes: &[u8]) -> Result<Folded, Error> {
    let bytes = gzip::inflate(bytes, WHAT)?;
    let is_inflated = matches!(bytes, Cow::Owned(_));
    decode_plain(&bytes).map_err(|error| error.in_inflated(is_inflated))
}

fn decode_plain(bytes: &[u8]) -> Result<Folded, Error> {
    let mut builder = StackTreeBuilder::new();
    let mut replaced_texts = 0;
    let mut at = 0;
    let mut stack: Vec<NameId> = Vec::new();
    for (idx, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        replaced_texts += usize::from(matches!(text, Cow::Owned(_)));
        let text = text.trim();
        if !text.is_empty() {
            let (names, number) = text.rsplit_once([' ', '\t']).unwrap_or(("", text));
            let names = names.trim_matches(|c: char| c.is_whitespace() || c == ';');
            let value: i64 = number.parse().map_err(|_| {
                let shown: String = text.chars().take(80).collect();
                Error::malformed(
                    WHAT,
                    format!("line {} does not end in a whole number: {shown:?}", idx + 1),
                )
                .at(at)
            })?;
            stack.clear();
            stack.extend(
                names.split(';').filter(|n| !n.is_empty()).map(|name| builder.intern(name)),
            );
            let node = builder.insert(&stack).map_err(|e| e.at(at))?;
            builder.add(node, value).map_err(|e| e.at(at))?;
        }
        at += line.len() + 1;
    }
    Ok(Folded { tree: builder.finish(), replaced_texts })
}

/// Whether each line that is not blank is `stack number`, which tells folded text from prose. Plain or gzip, as
/// [`decode`] takes it.
pub fn is_folded(bytes: &[u8]) -> bool {
    let Ok(bytes) = gzip::inflate(bytes, WHAT) else { return false };
    let mut any = false;
    bytes.split(|b| *b == b'\n').all(|line| {
        let Ok(line) = std::str::from_utf8(line) else { return false };
        let line = line.trim();
        any |= !line.is_empty();
        line.is_empty()
            || line.rsplit_once([' ', '\t']).is_some_and(|(_, n)| n.parse::<i64>().is_ok())
    }) && any
}

/// Writes the stacks, siblings in the order of their names.
///
/// The format has no escapes: a `;` inside a name, of which a reader would make two, is written as `:`, and a line break
/// as a blank; an empty name and blanks around the first and the last name are lost.
///
/// # Errors
///
/// If `into` fails, or a total does not fit in an `i64`.
pub fn encode(tree: &StackTree, into: &mut dyn io::Write) -> io::Result<()> {
    let mut order: Vec<(NodeId, i64)> = Vec::new();
    tree.walk(|visit| {
        if visit.self_value != 0 {
            order.push((visit.node, visit.self_value));
        }
    })
    .map_err(|error| match error.kind() {
        ErrorKind::Overflow => io::Error::other(error),
        _ => io::Error::new(io::ErrorKind::InvalidData, error),
    })?;
    for (node, value) in order {
        for (idx, name) in tree.path(node).into_iter().enumerate() {
            if idx > 0 {
                into.write_all(b";")?;
            }
            if name.contains([';', '\n']) {
                into.write_all(name.replace(';', ":").replace('\n', " ").as_bytes())?;
            } else {
                into.write_all(name.as_bytes())?;
            }
        }
        let blank = if node == NodeId::ROOT { "" } else { " " };
        writeln!(into, "{blank}{value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_that_are_not_stacks_are_named() {
        let error = decode(b"a;b 1\n\nhello world\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"folded stacks: line 3 does not end in a whole number: "hello world" (at byte 7)"#
        );
        assert_eq!(decode(b"a 9223372036854775807\na 1\n").unwrap_err().offset(), Some(22));
        assert!(
            is_folded(b"a;b c 1\n\n")
                && !is_folded(b"a;b c 1\nb\n")
                && !is_folded(b"\n")
                && !is_folded(b"7\n")
        );
    }

    proptest! {
        #[test]
        fn text_comes_back(stacks in proptest::collection::vec((proptest::collection::vec("[a-z]{1,3}( [a-z0-9]{1,2})?", 0..5), 1_i64..1000), 0..20)) {
            let mut builder = StackTreeBuilder::new();
            for (stack, value) in &stacks {
                let ids: Vec<_> = stack.iter().map(|name| builder.intern(name)).collect();
                let node = builder.insert(&ids).unwrap();
                builder.add(node, *value).unwrap();
            }
            let tree = builder.finish();
            let mut text = Vec::new();
            encode(&tree, &mut text).unwrap();
            prop_assert_eq!(decode(&text).unwrap().into_tree(), tree);
        }
    }
}
