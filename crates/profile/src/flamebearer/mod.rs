//! Flame graphs as levels of bars: the forms of Pyroscope's `FlameGraph` and `FlameGraphDiff` messages and of
//! flamebearer JSON.
//!
//! A level is a list of bars from left to right, each a few numbers. What a bar calls is above it: within its width,
//! behind its self value, in the order of names. [`Levels`] is one tree (the "single" form), [`DiffLevels`] two trees
//! side by side (the "double" form).

mod diff;
mod levels;

pub use self::{diff::DiffLevels, levels::Levels};

use crate::{Error, ErrorKind, NameId, StackTree};

const WHAT: &str = "flame graph levels";
/// The name of the bar at the bottom, always the first of a graph's names.
const TOTAL: &str = "total";

/// The names of a graph in the order in which bars ask for them.
struct BarNames {
    names: Vec<String>,
    index: Vec<Option<i64>>,
}

impl BarNames {
    fn of(tree: &StackTree) -> Self {
        Self { names: vec![TOTAL.to_owned()], index: vec![None; tree.names().len()] }
    }

    /// The root, and a function without a name, are called as the bar at the bottom.
    fn place(&mut self, tree: &StackTree, function: Option<NameId>) -> i64 {
        match function.map(|f| (f, tree.names().get(f))) {
            None | Some((_, "")) => 0,
            Some((function, name)) => *self.index[function.index()]
                .get_or_insert_with(|| Self::push(&mut self.names, name)),
        }
    }

    fn push(names: &mut Vec<String>, name: &str) -> i64 {
        names.push(name.to_owned());
        i64::try_from(names.len() - 1).expect("fewer names than memory has bytes")
    }
}

/// A bar has a width, which cannot be negative.
fn only_positive(tree: &StackTree) -> Result<(), Error> {
    let Some((node, value)) = tree.stacks().find(|(_, value)| *value < 0) else { return Ok(()) };
    let stack = tree.path(node).join(";");
    let detail = format!("the stack {stack:?} has the negative value {value}");
    Err(Error::new(ErrorKind::Malformed, WHAT, detail))
}

/// From the end of the bar before it and its gap and width to where a bar begins and ends.
fn span(edge: i64, gap: i64, width: i64) -> Option<(i64, i64)> {
    let x = edge.checked_add(gap).filter(|_| gap >= 0 && width >= 0)?;
    Some((x, x.checked_add(width)?))
}

/// The name that a bar points at.
fn name_at(names: &[String], place: i64) -> Result<&str, String> {
    usize::try_from(place)
        .ok()
        .and_then(|idx| names.get(idx))
        .map(String::as_str)
        .ok_or_else(|| format!("name {place} does not exist: there are {}", names.len()))
}
