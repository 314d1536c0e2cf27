//! Path patterns such as `main;**;gc*`: what `stack_matches` asks of a whole stack.
//!
//! A pattern is a small automaton that takes one function at a time, root first, so the same steps go along a row's list
//! and down a tree, where what a parent came to is gone on with by all its children. Its states are the elements of the
//! pattern, several at once, as bits of one number: a step costs the same whatever the stack, and nothing is tried twice.

use std::{fmt, ops::Range};

use flamesql_selector::excerpt;

use crate::{Error, ErrorKind};

/// How many elements a pattern may have: one bit each, and one for its end.
const MAX_ELEMENTS: usize = 127;

/// A pattern that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    elements: Vec<Element>,
    /// The elements that any number of functions fulfil.
    any: u128,
}

/// How far a stack has come along a pattern: the elements that may be next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u128);

/// The elements of a pattern that one function's name fulfils.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fits(u128);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    /// `**`
    Any,
    /// A name without `*` and `?`.
    Name(String),
    Glob(Vec<Piece>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    /// `?`
    One,
    /// `*`
    Some,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If an element is empty or `***`, there are more than 127, or a backslash ends the text.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut elements = Vec::new();
        let mut start = 0;
        loop {
            let (element, end) = element(text, start)?;
            // Two in a row say no more than one, and a step need not go over more than one.
            if element != Element::Any || elements.last() != Some(&Element::Any) {
                elements.push(element);
            }
            if elements.len() > MAX_ELEMENTS {
                let what = format!("there are more than {MAX_ELEMENTS} elements");
                return Err(refused(text, start..end, &what));
            }
            if end == text.len() {
                break;
            }
            start = end + 1;
        }
        let is_any = elements.iter().enumerate().filter(|(_, element)| **element == Element::Any);
        let any = is_any.fold(0, |bits, (idx, _)| bits | 1 << idx);
        Ok(Self { text: text.to_owned(), elements, any })
    }

    /// Before the first function.
    pub(crate) fn start(&self) -> State {
        self.over_any(1)
    }

    /// One function further, towards the leaf.
    pub(crate) fn step(&self, state: State, name: &str) -> State {
        self.step_fitting(state, self.fits(name))
    }

    /// What a name fulfils: looked up once for each name where there are many stacks of few names.
    pub(crate) fn fits(&self, name: &str) -> Fits {
        let fitting = self.elements.iter().enumerate().filter(|(_, element)| match element {
            Element::Any => false,
            Element::Name(text) => text == name,
            Element::Glob(pieces) => matches(pieces, name),
        });
        Fits(fitting.fold(0, |bits, (idx, _)| bits | 1 << idx))
    }

    /// As [`Pattern::step`], with what the name fulfils.
    pub(crate) fn step_fitting(&self, state: State, fits: Fits) -> State {
        self.over_any((state.0 & fits.0) << 1 | (state.0 & self.any))
    }

    /// Whether the stack may end here.
    pub(crate) fn accepts(&self, state: State) -> bool {
        state.0 >> self.elements.len() & 1 == 1
    }

    /// Whether a whole stack fulfils the pattern.
    pub(crate) fn is_match<'a>(&self, stack: impl Iterator<Item = &'a str>) -> bool {
        self.accepts(stack.fold(self.start(), |state, name| self.step(state, name)))
    }

    /// `**` may stand for no function, so what is behind it may be next as well.
    fn over_any(&self, bits: u128) -> State {
        State(bits | (bits & self.any) << 1)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The element that begins at `start`, and where it ends: at a `;` or the end.
fn element(text: &str, start: usize) -> Result<(Element, usize), Error> {
    let mut pieces = Vec::new();
    let mut end = text.len();
    let mut chars = text[start..].char_indices();
    while let Some((at, c)) = chars.next() {
        pieces.push(match c {
            ';' => {
                end = start + at;
                break;
            }
            '*' => Piece::Some,
            '?' => Piece::One,
            '\\' => match chars.next() {
                Some((_, escaped)) => Piece::Char(escaped),
                None => {
                    let what = "the backslash at the end escapes nothing";
                    return Err(refused(text, start + at..text.len(), what));
                }
            },
            c => Piece::Char(c),
        });
    }
    let element = match text.get(start..end).unwrap_or_default() {
        "" => return Err(refused(text, start..end, "this element is empty")),
        "**" => Element::Any,
        stars if stars.len() > 2 && stars.bytes().all(|b| b == b'*') => {
            let what = "an element is * for one function or ** for any number of them";
            return Err(refused(text, start..end, what));
        }
        _ => {
            let chars = pieces.iter().map(|piece| match piece {
                Piece::Char(c) => Some(*c),
                Piece::One | Piece::Some => None,
            });
            match chars.collect() {
                Some(name) => Element::Name(name),
                None => Element::Glob(pieces),
            }
        }
    };
    Ok((element, end))
}

fn refused(text: &str, at: Range<usize>, what: &str) -> Error {
    let message = format!("path pattern {text:?}: {what} (at {}..{})", at.start, at.end);
    Error::new(ErrorKind::Syntax, message)
        .with_excerpt(excerpt(text, at))
        .with_hint("a pattern is names from the root to the leaf, such as main;**;gc*")
}

/// Whether a name is what the pieces say. Only the last `*` is gone back to, as what an earlier one could give is no
/// more than what the last one can: at worst a step for each piece and character.
fn matches(pieces: &[Piece], name: &str) -> bool {
    let (mut piece, mut rest) = (0, name.chars());
    let mut back: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let here = rest.clone();
        match (pieces.get(piece), rest.next()) {
            (Some(Piece::Some), _) => {
                (piece, rest) = (piece + 1, here.clone());
                back = Some((piece, here));
                continue;
            }
            (Some(Piece::One), Some(_)) => piece += 1,
            (Some(Piece::Char(wanted)), Some(c)) if *wanted == c => piece += 1,
            (None, None) => return true,
            _ => {
                // The last `*` takes one more character.
                let Some((after, from)) = &mut back else { return false };
                if from.next().is_none() {
                    return false;
                }
                (piece, rest) = (*after, from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_match(pattern: &str, stack: &[&str]) -> bool {
        Pattern::parse(pattern).unwrap().is_match(stack.iter().copied())
    }

    #[test]
    fn stacks_are_matched_as_a_whole() {
        for (pattern, stack, expected) in [
            ("main", &["main"][..], true),
            ("main", &["main", "a"], false),
            ("main", &[], false),
            ("main;**", &["main"], true),
            ("main;**", &["main", "a", "b"], true),
            ("main;**;gc*", &["main", "gc"], true),
            ("main;**;gc*", &["main", "a", "gc mark", "gc sweep"], true),
            ("main;**;gc*", &["main", "a", "gc mark", "b"], false),
            ("**;gc;**", &["main", "gc", "b"], true),
            ("**;gc;**", &["gc"], true),
            ("**;gc;**", &["main"], false),
            ("**", &[], true),
            ("*", &[], false),
            ("*", &[""], true),
            ("*;*", &["a", "b"], true),
            ("**;*;**", &[], false),
            ("**;**;a;**;**", &["x", "a"], true),
            ("a?c;*", &["aäc", "x"], true),
            ("a?c;*", &["ac", "x"], false),
            (r"a\;b;\*\?\\", &["a;b", r"*?\"], true),
            (r"\*\*", &["**"], true),
            (r"\*\*", &[], false),
            ("a**b", &["axxb"], true),
            ("*a*b*", &["xxaxxaxbx"], true),
            ("*ab", &["aab"], true),
            ("a*", &["ba"], false),
        ] {
            assert_eq!(is_match(pattern, stack), expected, "{pattern} {stack:?}");
        }
    }

    #[test]
    fn what_is_refused_is_pointed_at() {
        for (pattern, place) in [
            ("", "1 |\n  | ^\n"),
            ("main;;gc", "1 | main;;gc\n  |      ^\n"),
            ("main;", "1 | main;\n  |      ^\n"),
            (r"main;a\", "1 | main;a\\\n  |       ^\n"),
            ("größe;***", "1 | größe;***\n  |       ^^^\n"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.excerpt(), Some(format!("  |\n{place}").as_str()));
            assert!(error.to_string().contains(&format!("{pattern:?}")), "{error}");
        }
        assert!(Pattern::parse(&vec!["a"; 127].join(";")).is_ok());
        assert!(Pattern::parse(&vec!["a"; 128].join(";")).is_err());
        assert!(is_match(&vec!["a"; 127].join(";"), &["a"; 127]));
        assert!(is_match(&vec!["**"; 500].join(";"), &["a"; 127]));
    }

    #[test]
    fn no_pattern_is_slow() {
        let pattern = vec!["**;*a*a*a*a*b"; 60].join(";");
        let name = "a".repeat(1000);
        assert!(!is_match(&pattern, &vec![name.as_str(); 100]));
    }

    /// Names by trying all ways.
    fn slowly(pieces: &[Piece], name: &[char]) -> bool {
        match (pieces, name) {
            ([], name) => name.is_empty(),
            ([Piece::Some, rest @ ..], _) => {
                (0..=name.len()).any(|taken| slowly(rest, &name[taken..]))
            }
            ([Piece::One, rest @ ..], [_, name @ ..]) => slowly(rest, name),
            ([Piece::Char(c), rest @ ..], [d, name @ ..]) => c == d && slowly(rest, name),
            _ => false,
        }
    }

    /// Stacks by trying all ways.
    fn stack_slowly(elements: &[Element], stack: &[String]) -> bool {
        match (elements, stack) {
            ([], stack) => stack.is_empty(),
            ([Element::Any, rest @ ..], _) => {
                (0..=stack.len()).any(|taken| stack_slowly(rest, &stack[taken..]))
            }
            ([element, rest @ ..], [name, stack @ ..]) => {
                let fits = match element {
                    Element::Name(text) => text == name,
                    Element::Glob(pieces) => slowly(pieces, &name.chars().collect::<Vec<_>>()),
                    Element::Any => false,
                };
                fits && stack_slowly(rest, stack)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_automaton_is_right(
            pattern in r"(\*\*|[ab?*]{1,4}|a)(;(\*\*|[ab?*]{1,4}|b)){0,4}",
            stack in proptest::collection::vec("[ab]{0,4}", 0..6),
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                prop_assert_eq!(
                    pattern.is_match(stack.iter().map(String::as_str)),
                    stack_slowly(&pattern.elements, &stack)
                );
            }
        }

        #[test]
        fn no_text_panics(text in r"[ab;*?\\ö]{0,20}", stack in proptest::collection::vec(".{0,4}", 0..6)) {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.is_match(stack.iter().map(String::as_str));
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
