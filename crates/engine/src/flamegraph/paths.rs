//! From lists of text to nodes of a tree, fast: this is done once for each row, and for each name in it.
//!
//! Rows come in the order of a tree, so each begins much as the one before it, and that part is only compared. Names that
//! are left are looked up in a small table by a quick hash; what the table has is compared too, so a hash that someone
//! made collide costs time and nothing else.

use arrow::array::{Array, AsArray, ListArray, StringArray};
use flamesql_profile::{Error, NameId, NodeId, StackTreeBuilder};

/// The stacks of rows in one batch after another.
#[derive(Default)]
pub(super) struct Paths {
    names: NameTable,
    rest: Vec<NameId>,
}

impl Paths {
    /// Calls `visit` for each row that has a stack and that `counts`, with the node of its stack.
    pub(super) fn each(
        &mut self,
        builder: &mut StackTreeBuilder,
        stacks: &ListArray,
        counts: impl Fn(usize) -> bool,
        mut visit: impl FnMut(usize, NodeId, &StackTreeBuilder),
    ) -> Result<(), Error> {
        let texts: &StringArray = stacks.values().as_string();
        let name = |at: usize| if texts.is_null(at) { "" } else { texts.value(at) };
        let offset = |at: usize| usize::try_from(stacks.value_offsets()[at]).unwrap_or(0);
        let mut before = 0..0;
        for row in 0..stacks.len() {
            if stacks.is_null(row) || !counts(row) {
                continue;
            }
            let stack = offset(row)..offset(row + 1);
            let n_shared =
                before.clone().zip(stack.clone()).take_while(|(a, b)| name(*a) == name(*b)).count();
            self.rest.clear();
            for at in stack.start + n_shared..stack.end {
                self.rest.push(self.names.intern(name(at), builder));
            }
            let node = builder.insert_after(n_shared, &self.rest)?;
            visit(row, node, builder);
            before = stack;
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.names.slots.capacity() * size_of::<Slot>() + self.rest.capacity() * size_of::<NameId>()
    }
}

/// The last name seen for each of some hashes.
#[derive(Default)]
struct NameTable {
    slots: Vec<Slot>,
}

type Slot = Option<NameId>;

impl NameTable {
    fn intern(&mut self, name: &str, builder: &mut StackTreeBuilder) -> NameId {
        // There may be an aggregate for each of many groups, so the table begins small.
        if self.slots.len() < 4 * builder.names().len().max(8) {
            self.slots = vec![None; (8 * builder.names().len().max(8)).next_power_of_two()];
        }
        let hash = usize::try_from(quick_hash(name.as_bytes()) >> 32).unwrap_or(0);
        let slot = hash & (self.slots.len() - 1);
        match self.slots[slot] {
            Some(id) if builder.names().get(id) == name => id,
            _ => {
                let id = builder.intern(name);
                self.slots[slot] = Some(id);
                id
            }
        }
    }
}

/// A hash of eight bytes at a time, whose high bits are good.
fn quick_hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash =
        words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash, u64::from_le_bytes(last))
}
