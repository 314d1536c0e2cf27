//! YAML as a tree that knows where each part stands.
//!
//! An alias shares what its anchor holds, so that the tree is no larger than the text. What it would come to if it were
//! written out is counted while it is built, and bounded: so is how deep it is.

use std::{collections::HashMap, rc::Rc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Number, Value};

/// How deep lists and mappings may be in one another.
const MAX_DEPTH: usize = 64;
/// How many parts a file may have, those behind aliases counted each time.
const MAX_NODES: usize = 100_000;
/// Takes the entries of another mapping over.
const MERGE: &str = "<<";

/// A line and a column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Mark {
    fn of(span: Span) -> Self {
        Self { line: span.start.line(), column: span.start.col() + 1 }
    }
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) at: Mark,
    pub(super) what: String,
}

impl Flaw {
    pub(super) fn new(at: Mark, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// A part of a file.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) kind: Kind,
    /// How many parts it has if it is written out.
    size: usize,
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A text, a number, or whatever its text looks like.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Whether it is without quotes, so that its look says what it is.
    is_plain: bool,
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) value: Rc<Node>,
}

impl Scalar {
    /// What it is.
    pub(super) fn value(&self) -> Value {
        if !self.is_plain {
            return Value::String(self.text.clone());
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
        }
    }
}

/// A number in the notations of YAML 1.2. What JSON has no number for, such as `.inf`, is a text.
fn number(text: &str) -> Option<Number> {
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix)?;
        let is_number = digits.starts_with(|c: char| c.is_digit(radix));
        u64::from_str_radix(digits, radix).ok().filter(|_| is_number).map(Number::from)
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Some(number);
    }
    if !text.contains(|c: char| c.is_ascii_digit())
        || text.contains(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c)))
    {
        return None;
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}

impl Node {
    /// What a message calls it.
    pub(super) fn is_a(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.value().is_null())
    }

    /// The entry of a key, if this is a mapping that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a key that is there and is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &*entry.value).filter(|value| !value.is_null())
    }
}

/// Reads a text of one document; `None` if there is nothing in it.
pub(super) fn parse(text: &str) -> Result<Option<Rc<Node>>, Flaw> {
    let mut builder = Builder::default();
    let mut n_documents = 0;
    for event in Parser::new_from_str(text) {
        // What it says quotes a character at most.
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            let at = Mark { line: mark.line(), column: mark.col() + 1 };
            Flaw::new(at, format!("this is no YAML: {}", error.info()))
        })?;
        let at = Mark::of(span);
        match event {
            Event::DocumentStart(_) => {
                n_documents += 1;
                if n_documents > 1 {
                    return Err(Flaw::new(at, "a second document begins, and a file has one"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && !tag.is_some_and(|tag| is_text(&tag));
                let scalar = Scalar { text: text.into_owned(), is_plain };
                builder.put(anchor, Node { at, kind: Kind::Scalar(scalar), size: 1, depth: 1 })?;
            }
            Event::Alias(anchor) => {
                let node = builder.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| Flaw::new(at, "this alias is a part of itself"))?;
                builder.add(at, node)?;
            }
            Event::SequenceStart(anchor, _) => builder.open(at, anchor, Parts::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                let parts = Parts::Map { entries: Vec::new(), merged: Vec::new(), key: None };
                builder.open(at, anchor, parts)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            _ => {}
        }
    }
    Ok(builder.root)
}

/// Whether a tag makes a text of whatever stands there.
fn is_text(tag: &Tag) -> bool {
    tag.suffix == "str" || tag.handle.is_empty() && tag.suffix == "!"
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

/// A list or a mapping whose end is still to come.
struct Open {
    at: Mark,
    anchor: usize,
    parts: Parts,
    size: usize,
    depth: usize,
}

enum Parts {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, merged: Vec<Entry>, key: Option<(String, Mark)> },
}

impl Builder {
    fn open(&mut self, at: Mark, anchor: usize, parts: Parts) -> Result<(), Flaw> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, parts, size: 1, depth: 1 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Flaw> {
        let open = self.open.pop().expect("each end has a start");
        let kind = match open.parts {
            Parts::List(list) => Kind::List(list),
            Parts::Map { mut entries, merged, .. } => {
                for entry in merged {
                    if !entries.iter().any(|own| own.key == entry.key) {
                        entries.push(entry);
                    }
                }
                Kind::Map(entries)
            }
        };
        self.put(open.anchor, Node { at: open.at, kind, size: open.size, depth: open.depth })
    }

    fn put(&mut self, anchor: usize, node: Node) -> Result<(), Flaw> {
        let (at, node) = (node.at, Rc::new(node));
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(at, node)
    }

    /// Puts a part, which may be behind an alias at `at`, where it belongs.
    fn add(&mut self, at: Mark, node: Rc<Node>) -> Result<(), Flaw> {
        let n_open = self.open.len();
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size = open.size.saturating_add(node.size);
        open.depth = open.depth.max(node.depth + 1);
        if open.size > MAX_NODES {
            let what = format!("with what its aliases stand for it has over {MAX_NODES} parts");
            return Err(Flaw::new(at, what));
        }
        if n_open + node.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        match &mut open.parts {
            Parts::List(list) => list.push(node),
            Parts::Map { entries, merged, key } => match key.take() {
                None => match &node.kind {
                    Kind::Scalar(scalar) => *key = Some((scalar.text.clone(), at)),
                    _ => {
                        let what = format!("{} is the key of a mapping", node.is_a());
                        return Err(Flaw::new(at, what));
                    }
                },
                Some((key, at)) if key == MERGE => merge(&node, at, merged)?,
                Some((key, at)) => {
                    if let Some(other) = entries.iter().find(|entry| entry.key == key) {
                        let line = other.at.line;
                        let what =
                            format!("the key {key:?} is there twice, in line {line} as well");
                        return Err(Flaw::new(at, what));
                    }
                    entries.push(Entry { key, at, value: node });
                }
            },
        }
        Ok(())
    }
}

/// The entries of a mapping, or of a list of some, of which the first counts.
fn merge(node: &Node, at: Mark, merged: &mut Vec<Entry>) -> Result<(), Flaw> {
    let nodes = match &node.kind {
        Kind::List(list) => list.iter().map(|node| &**node).collect(),
        _ => vec![node],
    };
    for node in nodes {
        let Kind::Map(entries) = &node.kind else {
            let what = format!("{} stands behind <<, which takes mappings over", node.is_a());
            return Err(Flaw::new(at, what));
        };
        for entry in entries {
            if !merged.iter().any(|other| other.key == entry.key) {
                merged.push(entry.clone());
            }
        }
    }
    Ok(())
}

fn too_deep(at: Mark) -> Flaw {
    Flaw::new(at, format!("lists and mappings are more than {MAX_DEPTH} deep in one another"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree as JSON.
    fn json(node: &Node) -> Value {
        match &node.kind {
            Kind::Scalar(scalar) => scalar.value(),
            Kind::List(list) => list.iter().map(|node| json(node)).collect(),
            Kind::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()
            }
        }
    }

    #[test]
    fn values_are_what_they_look_like() {
        for (text, expected) in [
            ("[a, 'b', \"c\\n\"]", serde_json::json!(["a", "b", "c\n"])),
            ("[~, null, '', 'null', ]", serde_json::json!([null, null, "", "null"])),
            (
                "[true, False, yes, off, 'true']",
                serde_json::json!([true, false, "yes", "off", "true"]),
            ),
            ("[1, -2, +3, 0x1F, 0o17, 1.5, 1e3]", serde_json::json!([1, -2, 3, 31, 15, 1.5, 1e3])),
            (
                "[15s, 1.2.3, 1_000, .inf, '5', 0x, --, 0x+1]",
                serde_json::json!(["15s", "1.2.3", "1_000", ".inf", "5", "0x", "--", "0x+1"]),
            ),
            ("[!!str 5, !!int 5, ! 5]", serde_json::json!(["5", 5, "5"])),
            ("a: |\n  x\n  y\nb: >\n  x\n  y\n", serde_json::json!({"a": "x\ny\n", "b": "x y\n"})),
            ("{a: &x {b: 1}, c: *x}", serde_json::json!({"a": {"b": 1}, "c": {"b": 1}})),
            (
                "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\n",
                serde_json::json!({
                    "x": {"a": 1, "b": 2}, "y": {"b": 3, "c": 4}, "z": {"a": 0, "b": 2, "c": 4},
                }),
            ),
        ] {
            assert_eq!(json(&parse(text).unwrap().unwrap()), expected, "{text}");
        }
        assert!(parse("# nothing\n").unwrap().is_none());
    }

    #[test]
    fn flaws_have_a_place() {
        for (text, line, column, part) in [
            ("a: [1, 2", 2, 1, "no YAML"),
            ("a: b: c", 1, 5, "no YAML"),
            ("a: 1\nb: 2\na: 3", 3, 1, "\"a\" is there twice, in line 1"),
            ("a: 1\n---\nb: 2", 2, 1, "second document"),
            ("a: *b", 1, 4, "no YAML"),
            ("a: &a [*a]", 1, 8, "a part of itself"),
            ("? [1]\n: 2", 1, 3, "a list is the key"),
            ("a:\n  <<: 5", 2, 3, "a single value stands behind <<"),
        ] {
            let flaw = parse(text).unwrap_err();
            assert!(flaw.what.contains(part), "{text}: {}", flaw.what);
            assert_eq!((flaw.at.line, flaw.at.column), (line, column), "{text}: {}", flaw.what);
        }
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        // Nine times nine times nine.
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..40 {
            let before = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().what.contains("over 100000 parts"));
        // One in another, by aliases.
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for n in 1..100 {
            chain.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
        }
        assert!(parse(&chain).unwrap_err().what.contains("64 deep"));
        let brackets = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse(&brackets(64)).is_ok());
        assert!(parse(&brackets(65)).unwrap_err().what.contains("64 deep"));
        assert!(parse(&brackets(500_000)).is_err());
        assert!(parse(&("- ".repeat(10_000) + "x")).is_err());
        assert!(parse(&"- x\n".repeat(100_000)).unwrap_err().what.contains("over 100000"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "[-a: \n\"'{}\\[\\],&*!|>%@`#?<$~\u{e9}\t]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_damage_is_too_much(at in 0_usize..200, with in any::<char>()) {
            let text = "apiVersion: 1\ndatasources:\n  - &a {name: x, type: phlare}\n  - <<: *a\n    jsonData: |\n      x\n    z: >-\n      y\n";
            let mut chars: Vec<char> = text.chars().collect();
            let at = at % chars.len();
            chars[at] = with;
            let _ = parse(&chars.into_iter().collect::<String>());
        }
    }
}
