//! Stacks with values: a trie in struct-of-arrays form.
//!
//! A node is one distinct stack, named by its last function; a parent comes before its children, so totals are one
//! backward pass and paths one walk up. The builder finds the node of a stack by a hash of the whole path from the
//! root, not step by step: real stacks are long and differ near the leaf, so the deepest node that is already there is
//! found in a few look-ups, where a walk down takes one a function.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, OnceLock},
};

use crate::{Error, NameId, Names, truncate::OTHER};

/// The place of a stack in its tree; meaningless in any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The root: the stack without a function.
    pub const ROOT: Self = Self(0);

    /// The index of the node; 0 is the root, and a parent's is below its children's.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Stacks of function names, each with the value that was measured in exactly that stack.
///
/// ```
/// use flamesql_profile::StackTreeBuilder;
///
/// let mut builder = StackTreeBuilder::new();
/// let main = builder.intern("main");
/// let work = builder.intern("work");
/// let node = builder.insert(&[main, work])?;
/// builder.add(node, 7)?;
/// let tree = builder.finish();
/// let stacks: Vec<(String, i64)> =
///     tree.stacks().map(|(node, value)| (tree.path(node).join(";"), value)).collect();
/// assert_eq!(stacks, [("main;work".to_owned(), 7)]);
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone)]
pub struct StackTree {
    names: Arc<Names>,
    shape: Arc<Shape>,
    values: Vec<i64>,
}

/// Stacks without values. Trees that have the same ones share them.
pub(crate) struct Shape {
    pub(crate) parents: Vec<u32>,
    // What the root has here is never read.
    pub(crate) functions: Vec<NameId>,
    /// Found when it is first asked for.
    outermost: OnceLock<Vec<bool>>,
}

impl Default for StackTree {
    fn default() -> Self {
        StackTreeBuilder::new().finish()
    }
}

impl StackTree {
    /// The names of all functions.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// How many nodes there are, the root included.
    pub fn len(&self) -> usize {
        self.shape.parents.len()
    }

    /// Whether no stack has a value.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|value| *value == 0)
    }

    /// All nodes, parents before children.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.shape.parents.len()).expect("nodes are counted in 32 bits"))
            .map(NodeId)
    }

    /// The caller's node, or `None` for the root.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node != NodeId::ROOT).then(|| NodeId(self.shape.parents[node.index()]))
    }

    /// The last function of the stack, or `None` for the root.
    pub fn function(&self, node: NodeId) -> Option<NameId> {
        (node != NodeId::ROOT).then(|| self.shape.functions[node.index()])
    }

    /// The value measured in exactly this stack.
    pub fn value(&self, node: NodeId) -> i64 {
        self.values[node.index()]
    }

    /// The functions of a stack, root first.
    pub fn path(&self, node: NodeId) -> Vec<&str> {
        let mut ids = Vec::new();
        self.path_ids(node, &mut ids);
        ids.into_iter().map(|id| self.names.get(id)).collect()
    }

    /// As [`StackTree::path`], into a buffer, which is emptied first.
    pub fn path_ids(&self, mut node: NodeId, into: &mut Vec<NameId>) {
        into.clear();
        while let (Some(parent), Some(function)) = (self.parent(node), self.function(node)) {
            into.push(function);
            node = parent;
        }
        into.reverse();
    }

    /// The values of all nodes, by [`NodeId::index`].
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// The stacks whose value is not 0.
    pub fn stacks(&self) -> impl Iterator<Item = (NodeId, i64)> + '_ {
        self.nodes().map(|node| (node, self.value(node))).filter(|(_, value)| *value != 0)
    }

    /// The sum of all values.
    ///
    /// # Errors
    ///
    /// If it does not fit in an `i64`.
    pub fn total(&self) -> Result<i64, Error> {
        // Negative values may bring a sum back into range, so it is judged at its end.
        let sum: i128 = self.values.iter().map(|value| i128::from(*value)).sum();
        i64::try_from(sum).map_err(|_| Error::overflow("total of the profile"))
    }

    /// The value of each node and all below it, by [`NodeId::index`].
    ///
    /// # Errors
    ///
    /// If one of them does not fit in an `i64`.
    pub fn totals(&self) -> Result<Vec<i64>, Error> {
        self.totals_of(&self.values)
    }

    /// As `totals`, of other values: one a node.
    pub(crate) fn totals_of(&self, values: &[i64]) -> Result<Vec<i64>, Error> {
        let mut totals = values.to_vec();
        for idx in (1..totals.len()).rev() {
            let parent = self.shape.parents[idx] as usize;
            match totals[parent].checked_add(totals[idx]) {
                Some(sum) => totals[parent] = sum,
                None => return self.narrowed_totals(values),
            }
        }
        Ok(totals)
    }

    /// As `totals`, where a part of a sum left the range: negative values may bring it back.
    fn narrowed_totals(&self, values: &[i64]) -> Result<Vec<i64>, Error> {
        let narrow = |(idx, total): (usize, i128)| {
            total.try_into().map_err(|_| {
                let function =
                    if idx == 0 { "all stacks" } else { self.names.get(self.shape.functions[idx]) };
                Error::overflow(format!("total of {function}"))
            })
        };
        self.wide_totals_of(values).into_iter().enumerate().map(narrow).collect()
    }

    /// The totals in 128 bits, which hold them whatever they are.
    pub(crate) fn wide_totals(&self) -> Vec<i128> {
        self.wide_totals_of(&self.values)
    }

    fn wide_totals_of(&self, values: &[i64]) -> Vec<i128> {
        let mut totals: Vec<i128> = values.iter().map(|value| i128::from(*value)).collect();
        for idx in (1..totals.len()).rev() {
            totals[self.shape.parents[idx] as usize] += totals[idx];
        }
        totals
    }

    /// Walks the tree from the root down, siblings in the order of their names, and leaves out what is 0 all the way
    /// down. The first visit is the root. What is called `other` comes last: it is what truncated trees call the rest.
    ///
    /// # Errors
    ///
    /// If a total does not fit in an `i64`.
    pub fn walk(&self, mut visit: impl FnMut(Visit)) -> Result<(), Error> {
        let totals = self.totals()?;
        self.pre_order(&self.occupied(), |node, depth| {
            visit(Visit { node, depth, total: totals[node.index()], self_value: self.value(node) });
        });
        Ok(())
    }

    /// The nodes that are kept with their depths, in the order of [`StackTree::walk`]. With a node its parent is kept.
    pub(crate) fn pre_order(&self, keep: &[bool], mut visit: impl FnMut(NodeId, usize)) {
        let children = Children::by_name(self, keep, self.names.find(OTHER));
        // Where to go on when a node has no children left: each node is looked at once.
        let mut waiting: Vec<(u32, usize)> = Vec::new();
        let (mut at, mut depth) = (0_u32, 0_usize);
        loop {
            visit(NodeId(at), depth);
            let [first, next] = children.links[at as usize];
            if next != 0 {
                waiting.push((next, depth));
            }
            (at, depth) = match first {
                0 => match waiting.pop() {
                    Some(next) => next,
                    None => return,
                },
                first => (first, depth + 1),
            };
        }
    }

    /// A tree from its columns, of which each node but the first stands behind its parent, and no two nodes are the same
    /// stack.
    pub(crate) fn from_columns(
        names: Names,
        parents: Vec<u32>,
        functions: Vec<NameId>,
        values: Vec<i64>,
    ) -> Self {
        debug_assert!(parents.len() == functions.len() && parents.len() == values.len());
        let shape = Shape { parents, functions, outermost: OnceLock::new() };
        Self { names: Arc::new(names), shape: Arc::new(shape), values }
    }

    /// Whether some function is called `other`: so servers call the rest of a tree that they cut short.
    ///
    /// A program may have a function of that name, too: the tree does not say.
    ///
    /// ```
    /// use flamesql_profile::folded;
    ///
    /// let tree = folded::decode(b"main;serve 3\nmain;parse 1\n")?.into_tree();
    /// let (cut, _) = tree.truncate(2)?;
    /// assert!(cut.has_other() && !tree.has_other());
    /// # Ok::<(), flamesql_profile::Error>(())
    /// ```
    pub fn has_other(&self) -> bool {
        let other = self.names.find(OTHER);
        other.is_some() && self.shape.functions[1..].iter().any(|name| Some(*name) == other)
    }

    /// The same stacks with other values: one a node, by [`NodeId::index`].
    ///
    /// # Panics
    ///
    /// If there are more or fewer values than nodes.
    #[must_use]
    pub fn with_values(&self, values: Vec<i64>) -> Self {
        assert_eq!(values.len(), self.len(), "one value for each node");
        Self { names: Arc::clone(&self.names), shape: Arc::clone(&self.shape), values }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// For each node, by [`NodeId::index`], whether its function is in no stack above it: where a function recurs, its
    /// outermost node has the values of all others below it. The root has no function, and so none.
    ///
    /// It is found once for all trees that share these stacks.
    pub fn outermost(&self) -> &[bool] {
        self.shape.outermost.get_or_init(|| {
            let mut outermost = vec![false; self.len()];
            // How often each function is on the path from the root to where the walk is.
            let mut on_path = vec![0_u32; self.names.len()];
            let children = Children::of(self, &vec![true; self.len()]);
            let (mut path, mut at) = (Vec::new(), children.links[0][0]);
            loop {
                if at != 0 {
                    let n_above = &mut on_path[self.shape.functions[at as usize].index()];
                    outermost[at as usize] = *n_above == 0;
                    *n_above += 1;
                    path.push(at);
                    at = children.links[at as usize][0];
                } else if let Some(left) = path.pop() {
                    on_path[self.shape.functions[left as usize].index()] -= 1;
                    at = children.links[left as usize][1];
                } else {
                    return outermost;
                }
            }
        })
    }

    /// Whether a node or one below it has a value.
    pub(crate) fn occupied(&self) -> Vec<bool> {
        self.occupied_where(|node| self.value(node) != 0)
    }

    /// As `occupied`, of other values.
    pub(crate) fn occupied_where(&self, has_value: impl Fn(NodeId) -> bool) -> Vec<bool> {
        let mut occupied: Vec<bool> = self.nodes().map(has_value).collect();
        for idx in (1..occupied.len()).rev() {
            if occupied[idx] {
                occupied[self.shape.parents[idx] as usize] = true;
            }
        }
        occupied
    }

    /// The same stacks, with other values: one a node, by [`NodeId::index`]. Stacks that are 0 all the way down go.
    ///
    /// The cost is that of the stacks in `values` (node, value), not of the whole tree, if `scratch` is kept between
    /// calls; nodes must not repeat.
    pub fn subset(&self, values: &[(NodeId, i64)], scratch: &mut SubsetScratch) -> Self {
        scratch.place.resize(self.len(), 0);
        scratch.is_kept.resize(self.len().div_ceil(64), 0);
        let mut kept: Vec<u32> = vec![0];
        scratch.is_kept[0] |= 1;
        for (node, _) in values.iter().filter(|(_, value)| *value != 0) {
            let mut at = node.0;
            loop {
                let (word, bit) = (&mut scratch.is_kept[at as usize / 64], 1 << (at % 64));
                if *word & bit != 0 {
                    break;
                }
                *word |= bit;
                kept.push(at);
                at = self.shape.parents[at as usize];
            }
        }
        // Parents come first again. Many nodes are sooner looked for than sorted.
        if kept.len() < scratch.is_kept.len() {
            kept.sort_unstable();
            kept.iter().for_each(|node| scratch.is_kept[*node as usize / 64] = 0);
        } else {
            kept.clear();
            for (base, word) in (0..).step_by(64).zip(&mut scratch.is_kept) {
                while *word != 0 {
                    kept.push(base + word.trailing_zeros());
                    *word &= *word - 1;
                }
            }
        }
        for (place, old) in kept.iter().enumerate() {
            scratch.place[*old as usize] =
                u32::try_from(place).expect("no more nodes than the tree has");
        }
        let Shape { parents, functions, outermost } = self.shape.as_ref();
        let shape = Shape {
            parents: kept
                .iter()
                .map(|old| scratch.place[parents[*old as usize] as usize])
                .collect(),
            functions: kept.iter().map(|old| functions[*old as usize]).collect(),
            // A stack is kept with all above it, so that nothing changes for it.
            outermost: match outermost.get() {
                Some(known) => {
                    kept.iter().map(|old| known[*old as usize]).collect::<Vec<_>>().into()
                }
                None => OnceLock::new(),
            },
        };
        let mut tree = Self {
            names: Arc::clone(&self.names),
            shape: Arc::new(shape),
            values: vec![0; kept.len()],
        };
        for (node, value) in values {
            if *value != 0 {
                tree.values[scratch.place[node.index()] as usize] = *value;
            }
        }
        tree
    }
}

/// Memory that [`StackTree::subset`] uses again.
#[derive(Debug, Default)]
pub struct SubsetScratch {
    /// Where a node comes to stand. What is here of nodes that are not kept is of earlier calls.
    place: Vec<u32>,
    /// A bit for each node; 0 between calls.
    is_kept: Vec<u64>,
}

impl fmt::Debug for StackTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.stacks().map(|(node, value)| (self.path(node).join(";"), value)))
            .finish()
    }
}

impl PartialEq for StackTree {
    /// Whether both have the same stacks with the same values, in whatever order.
    fn eq(&self, other: &Self) -> bool {
        fn sorted(tree: &StackTree) -> Vec<(Vec<&str>, i64)> {
            let mut stacks: Vec<_> =
                tree.stacks().map(|(node, value)| (tree.path(node), value)).collect();
            stacks.sort_unstable();
            stacks
        }
        sorted(self) == sorted(other)
    }
}

/// One node on a [`StackTree::walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The node.
    pub node: NodeId,
    /// How many functions its stack has; 0 for the root.
    pub depth: usize,
    /// The value of the node and all below it.
    pub total: i64,
    /// The value of the node alone.
    pub self_value: i64,
}

/// The children of each node, as linked lists: for each node its first child and its next sibling.
pub(crate) struct Children {
    links: Vec<[u32; 2]>,
}

impl Children {
    /// 0 ends a list: the root is nobody's child.
    pub(crate) fn of(tree: &StackTree, keep: &[bool]) -> Self {
        let mut children = Self { links: vec![[0, 0]; tree.len()] };
        for idx in (1..tree.len()).rev().filter(|idx| keep[*idx]) {
            children.push_front(tree, idx);
        }
        children
    }

    /// As `of`, siblings in the order of their names, one of which may come last.
    ///
    /// Names are compared once each, and not once for each pair of siblings: pushing the nodes of the last name to the
    /// front of their lists, then those of the last but one, and so on, leaves each list in order.
    pub(crate) fn by_name(tree: &StackTree, keep: &[bool], last: Option<NameId>) -> Self {
        let kept = || (1..tree.len()).filter(|idx| keep[*idx]);
        let mut n_nodes = vec![0_u32; tree.names.len()];
        for idx in kept() {
            n_nodes[tree.shape.functions[idx].index()] += 1;
        }
        let mut used: Vec<u32> =
            (0..).zip(&n_nodes).filter(|(_, n)| **n > 0).map(|(id, _)| id).collect();
        used.sort_unstable_by_key(|id| {
            let id = NameId(*id);
            (last == Some(id), tree.names.get(id))
        });
        // The nodes by name, as a counting sort has them: where the next node of each name goes.
        let mut place = n_nodes;
        let mut end = 0;
        for id in used {
            let n = std::mem::replace(&mut place[id as usize], end);
            end += n;
        }
        let mut by_name = vec![0_u32; end as usize];
        for idx in kept() {
            let place = &mut place[tree.shape.functions[idx].index()];
            by_name[*place as usize] = u32::try_from(idx).expect("nodes are counted in 32 bits");
            *place += 1;
        }
        let mut children = Self { links: vec![[0, 0]; tree.len()] };
        for idx in by_name.into_iter().rev() {
            children.push_front(tree, idx as usize);
        }
        children
    }

    fn push_front(&mut self, tree: &StackTree, idx: usize) {
        let node = u32::try_from(idx).expect("nodes are counted in 32 bits");
        let first = &mut self.links[tree.shape.parents[idx] as usize][0];
        let next = std::mem::replace(first, node);
        self.links[idx][1] = next;
    }

    pub(crate) fn iter(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut at = self.links[node.index()][0];
        std::iter::from_fn(move || {
            let child = (at != 0).then_some(NodeId(at))?;
            at = self.links[child.index()][1];
            Some(child)
        })
    }
}

/// Collects stacks into a [`StackTree`].
pub struct StackTreeBuilder {
    names: Names,
    parents: Vec<u32>,
    functions: Vec<NameId>,
    values: Vec<i64>,
    hashes: Vec<PathHash>,
    by_hash: HashMap<PathHash, u32, TakeHash>,
    /// The stack inserted last: a hash for each of its starts, all of which are nodes.
    path: Vec<PathHash>,
    points: (u64, u64),
    max_nodes: usize,
}

impl Default for StackTreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StackTreeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackTreeBuilder")
            .field("nodes", &self.parents.len())
            .finish_non_exhaustive()
    }
}

impl StackTreeBuilder {
    /// A builder with no stack yet.
    pub fn new() -> Self {
        Self::with_max_nodes(u32::MAX as usize)
    }

    /// A builder that refuses to grow beyond so many distinct stacks.
    pub fn with_max_nodes(max_nodes: usize) -> Self {
        let mut names = Names::default();
        let none = names.intern("");
        Self {
            names,
            parents: vec![0],
            functions: vec![none],
            values: vec![0],
            hashes: vec![PathHash::ROOT],
            by_hash: HashMap::default(),
            path: Vec::new(),
            points: PathHash::points(),
            max_nodes: max_nodes.min(u32::MAX as usize),
        }
    }

    /// Makes room for so many more stacks, so that none has to be moved while they come.
    pub fn reserve(&mut self, n_stacks: usize) {
        let n_stacks = n_stacks.min(self.max_nodes);
        self.parents.reserve(n_stacks);
        self.functions.reserve(n_stacks);
        self.values.reserve(n_stacks);
        self.hashes.reserve(n_stacks);
        self.by_hash.reserve(n_stacks);
    }

    /// The id of a function's name.
    pub fn intern(&mut self, name: &str) -> NameId {
        self.names.intern(name)
    }

    /// The names so far.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How many nodes there are, the root included.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there is no stack but the empty one.
    pub fn is_empty(&self) -> bool {
        self.parents.len() == 1
    }

    /// The node of a stack, root first, which is added if it is new.
    ///
    /// # Errors
    ///
    /// If there are too many stacks.
    pub fn insert(&mut self, stack: &[NameId]) -> Result<NodeId, Error> {
        self.insert_after(0, stack)
    }

    /// As [`StackTreeBuilder::insert`], for a stack that begins as the one inserted before it: with so many functions of
    /// that one, and then the rest.
    ///
    /// ```
    /// use flamesql_profile::StackTreeBuilder;
    ///
    /// let mut builder = StackTreeBuilder::new();
    /// let [main, work, rest] = ["main", "work", "rest"].map(|name| builder.intern(name));
    /// builder.insert(&[main, work])?;
    /// let node = builder.insert_after(1, &[rest])?;
    /// assert_eq!(node, builder.insert(&[main, rest])?);
    /// # Ok::<(), flamesql_profile::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there are too many stacks.
    ///
    /// # Panics
    ///
    /// If the stack before has fewer functions, or could not be inserted.
    pub fn insert_after(&mut self, n_shared: usize, rest: &[NameId]) -> Result<NodeId, Error> {
        assert!(n_shared <= self.path.len(), "no more is shared than there was");
        self.path.truncate(n_shared);
        let (mut hash, points) = (self.path.last().copied().unwrap_or(PathHash::ROOT), self.points);
        self.path.extend(rest.iter().map(|name| {
            hash = hash.push(*name, points);
            hash
        }));
        let (mut node, known) = self.deepest(&self.path);
        for at in known..self.path.len() {
            match self.append(node, rest[at - n_shared], self.path[at]) {
                Ok(added) => node = added,
                Err(error) => {
                    // What is not there cannot be shared.
                    self.path.clear();
                    return Err(error);
                }
            }
        }
        Ok(NodeId(node))
    }

    /// The deepest node on a path that is there already, and its depth. If a stack is known, so is all of its start:
    /// doubling steps up from the leaf find a known depth, halving ones the deepest.
    fn deepest(&self, path: &[PathHash]) -> (u32, usize) {
        let find = |depth: usize| match depth {
            0 => Some(0),
            _ => self.by_hash.get(&path[depth - 1]).copied(),
        };
        let (mut low, mut high, mut step) = (path.len(), path.len() + 1, 1);
        let mut node = loop {
            match find(low) {
                Some(node) => break node,
                None => {
                    high = low;
                    low = low.saturating_sub(step);
                    step *= 2;
                }
            }
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match find(middle) {
                Some(found) => (node, low) = (found, middle),
                None => high = middle,
            }
        }
        (node, low)
    }

    fn append(&mut self, parent: u32, name: NameId, hash: PathHash) -> Result<u32, Error> {
        if self.parents.len() >= self.max_nodes {
            return Err(Error::new(
                crate::ErrorKind::TooLarge,
                "stacks of the profile",
                format!("more than {} distinct ones", self.max_nodes),
            ));
        }
        let node = u32::try_from(self.parents.len()).expect("max_nodes fits in 32 bits");
        self.parents.push(parent);
        self.functions.push(name);
        self.values.push(0);
        self.hashes.push(hash);
        self.by_hash.insert(hash, node);
        Ok(node)
    }

    /// The child of `node` that is called `name`, which is added if it is new.
    ///
    /// # Errors
    ///
    /// If there are too many stacks.
    pub fn child(&mut self, node: NodeId, name: NameId) -> Result<NodeId, Error> {
        let hash = self.hashes[node.index()].push(name, self.points);
        match self.by_hash.get(&hash) {
            Some(child) => Ok(NodeId(*child)),
            None => self.append(node.0, name, hash).map(NodeId),
        }
    }

    /// Adds to the value of a stack.
    ///
    /// # Errors
    ///
    /// If the sum does not fit in an `i64`.
    pub fn add(&mut self, node: NodeId, value: i64) -> Result<(), Error> {
        let slot = &mut self.values[node.index()];
        *slot = slot.checked_add(value).ok_or_else(|| Error::overflow("value of a stack"))?;
        Ok(())
    }

    /// Adds all stacks of a tree; the nodes here of the nodes there, by [`NodeId::index`], are returned. Stacks whose
    /// values are 0 come as well.
    ///
    /// # Errors
    ///
    /// If a sum does not fit in an `i64`, or there are too many stacks.
    pub fn merge(&mut self, tree: &StackTree) -> Result<Vec<NodeId>, Error> {
        let nodes = self.merge_shape(tree)?;
        for (node, value) in tree.stacks() {
            self.add(nodes[node.index()], value)?;
        }
        Ok(nodes)
    }

    /// As [`StackTreeBuilder::merge`], without the values.
    ///
    /// # Errors
    ///
    /// If there are too many stacks.
    pub fn merge_shape(&mut self, tree: &StackTree) -> Result<Vec<NodeId>, Error> {
        let mut names: Vec<Option<NameId>> = vec![None; tree.names.len()];
        let mut nodes = vec![NodeId::ROOT; tree.len()];
        for node in tree.nodes() {
            if let (Some(parent), Some(function)) = (tree.parent(node), tree.function(node)) {
                let name = *names[function.index()]
                    .get_or_insert_with(|| self.names.intern(tree.names.get(function)));
                nodes[node.index()] = self.child(nodes[parent.index()], name)?;
            }
        }
        Ok(nodes)
    }

    /// The tree so far; the builder goes on.
    pub fn snapshot(&self) -> StackTree {
        let shape = Shape {
            parents: self.parents.clone(),
            functions: self.functions.clone(),
            outermost: OnceLock::new(),
        };
        StackTree {
            names: Arc::new(self.names.clone()),
            shape: Arc::new(shape),
            values: self.values.clone(),
        }
    }

    /// The tree.
    pub fn finish(self) -> StackTree {
        let Self { parents, functions, values, .. } = self;
        let shape = Shape { parents, functions, outermost: OnceLock::new() };
        StackTree { names: Arc::new(self.names), shape: Arc::new(shape), values }
    }
}

/// A hash of a path: two polynomials modulo the prime 2^61 - 1, at points below 2^60 drawn anew in each process.
///
/// Paths are told apart by this hash alone, so it has to be more than likely: two different paths of up to n functions
/// have the same hash with a probability of at most (n / 2^60)^2, whoever chose them. For ten million stacks a hundred
/// deep some pair of them collides once in about 10^18 profiles, which is far below what memory errors do.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PathHash(u64, u64);

const PRIME: u64 = (1 << 61) - 1;

impl PathHash {
    const ROOT: Self = Self(1, 1);

    #[inline]
    fn push(self, name: NameId, points: (u64, u64)) -> Self {
        let term = u64::from(name.0) + 1;
        Self(step(self.0, points.0, term), step(self.1, points.1, term))
    }

    /// Where the polynomials are taken.
    fn points() -> (u64, u64) {
        static POINTS: OnceLock<(u64, u64)> = OnceLock::new();
        *POINTS.get_or_init(|| {
            let draw = |n: u64| RandomState::new().hash_one(n) % ((1 << 60) - 2) + 2;
            (draw(0), draw(1))
        })
    }
}

/// `hash * point + term`, brought near the modulus but not all the way: with a point below 2^60 the result stays below
/// 2^63, and equal paths come to equal numbers by equal steps, which is all that is asked.
#[inline]
fn step(hash: u64, point: u64, term: u64) -> u64 {
    let wide = u128::from(hash) * u128::from(point) + u128::from(term);
    // 2^61 is 1 modulo the prime: the high bits are added to the low ones.
    (wide as u64 & PRIME) + (wide >> 61) as u64
}

impl std::hash::Hash for PathHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes a hash that is one already.
#[derive(Clone, Default)]
struct TakeHash;

struct Taken(u64);

impl BuildHasher for TakeHash {
    type Hasher = Taken;

    fn build_hasher(&self) -> Taken {
        Taken(0)
    }
}

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a path hash writes one u64");
    }

    fn write_u64(&mut self, hash: u64) {
        // The table takes its tag from the top seven bits, of which a number near 2^61 leaves some empty.
        self.0 = hash ^ (hash << 7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(stacks: &[(Vec<u8>, i64)]) -> StackTree {
        let mut builder = StackTreeBuilder::new();
        for (stack, value) in stacks {
            let ids: Vec<NameId> = stack.iter().map(|b| builder.intern(&format!("f{b}"))).collect();
            let node = builder.insert(&ids).unwrap();
            builder.add(node, *value).unwrap();
        }
        builder.finish()
    }

    fn stacks() -> impl Strategy<Value = Vec<(Vec<u8>, i64)>> {
        proptest::collection::vec((proptest::collection::vec(0_u8..4, 0..9), -5_i64..50), 0..30)
    }

    proptest! {
        #[test]
        fn insert_finds_what_a_walk_down_finds(stacks in stacks()) {
            let by_hash = tree(&stacks);
            let mut builder = StackTreeBuilder::new();
            for (stack, value) in &stacks {
                let mut node = NodeId::ROOT;
                for b in stack {
                    let name = builder.intern(&format!("f{b}"));
                    node = builder.child(node, name).unwrap();
                }
                builder.add(node, *value).unwrap();
            }
            prop_assert_eq!(by_hash.len(), builder.len());
            prop_assert_eq!(&by_hash, &builder.finish());
            for node in by_hash.nodes().skip(1) {
                prop_assert!(by_hash.parent(node).unwrap() < node);
            }
        }

        #[test]
        fn what_is_shared_need_not_be_said_again(stacks in stacks()) {
            let mut builder = StackTreeBuilder::new();
            let mut before: &[u8] = &[];
            for (stack, value) in &stacks {
                let n_shared = before.iter().zip(stack).take_while(|(a, b)| a == b).count();
                let rest: Vec<NameId> =
                    stack[n_shared..].iter().map(|b| builder.intern(&format!("f{b}"))).collect();
                let node = builder.insert_after(n_shared, &rest).unwrap();
                builder.add(node, *value).unwrap();
                before = stack;
            }
            prop_assert_eq!(&builder.finish(), &tree(&stacks));
        }

        #[test]
        fn merge_is_commutative_and_adds(a in stacks(), b in stacks()) {
            let (ta, tb) = (tree(&a), tree(&b));
            let merged = |x: &StackTree, y: &StackTree| {
                let mut builder = StackTreeBuilder::new();
                builder.merge(x).unwrap();
                builder.merge(y).unwrap();
                builder.finish()
            };
            prop_assert_eq!(merged(&ta, &tb), merged(&tb, &ta));
            prop_assert_eq!(merged(&ta, &tb), tree(&[a, b].concat()));
            prop_assert_eq!(merged(&ta, &tb).total().unwrap(), ta.total().unwrap() + tb.total().unwrap());
        }

        #[test]
        fn a_subset_keeps_paths_and_values(stacks in stacks(), keep in proptest::collection::vec(any::<bool>(), 100)) {
            let all = tree(&stacks);
            let chosen: Vec<(NodeId, i64)> = all.stacks().filter(|(n, _)| keep[n.index() % 100]).collect();
            let mut scratch = SubsetScratch::default();
            for _ in 0..2 {
                let some = all.subset(&chosen, &mut scratch);
                let mut left: Vec<_> = some.stacks().map(|(n, v)| (some.path(n), v)).collect();
                let mut right: Vec<_> = chosen.iter().map(|(n, v)| (all.path(*n), *v)).collect();
                left.sort();
                right.sort();
                prop_assert_eq!(left, right);
                prop_assert!(some.occupied().iter().skip(1).all(|o| *o));
            }
        }
    }

    #[test]
    fn few_stacks_of_many_are_kept_like_many() {
        let stacks: Vec<(Vec<u8>, i64)> = (0..=255_u8)
            .flat_map(|a| (0..40).map(move |b| (vec![a, b, b, 7], i64::from(b) + 1)))
            .collect();
        let (all, small) = (tree(&stacks), tree(&stacks[..3]));
        let mut scratch = SubsetScratch::default();
        for every in [1, 3000, 2, 9000, 40] {
            let chosen: Vec<(NodeId, i64)> = all.stacks().step_by(every).collect();
            let some = all.subset(&chosen, &mut scratch);
            let left: Vec<_> = some.stacks().map(|(n, v)| (some.path(n), v)).collect();
            let right: Vec<_> = chosen.iter().map(|(n, v)| (all.path(*n), *v)).collect();
            assert_eq!(left, right);
            // The same memory serves another tree.
            let whole: Vec<(NodeId, i64)> = small.stacks().collect();
            assert_eq!(small.subset(&whole, &mut scratch), small);
        }
    }

    #[test]
    fn overflow_is_an_error_where_it_happens() {
        let mut builder = StackTreeBuilder::new();
        let f = builder.intern("f");
        let g = builder.intern("g");
        let one = builder.insert(&[f]).unwrap();
        let two = builder.insert(&[f, g]).unwrap();
        builder.add(one, i64::MAX).unwrap();
        assert!(builder.add(one, 1).is_err());
        builder.add(two, 1).unwrap();
        let tree = builder.finish();
        assert_eq!(
            tree.totals().unwrap_err().to_string(),
            "total of all stacks: the sum does not fit in a signed 64-bit integer"
        );
        assert!(tree.total().is_err());
    }

    #[test]
    fn the_number_of_stacks_is_bounded() {
        let mut builder = StackTreeBuilder::with_max_nodes(3);
        let f = builder.intern("f");
        assert!(builder.insert(&[f, f]).is_ok());
        assert_eq!(builder.insert(&[f, f, f]).unwrap_err().kind(), crate::ErrorKind::TooLarge);
    }

    #[test]
    fn a_walk_is_in_order_and_skips_what_is_zero() {
        let tree = tree(&[(vec![0, 2], 1), (vec![0, 1], 2), (vec![3], 0), (vec![], 5)]);
        let mut seen = Vec::new();
        tree.walk(|v| seen.push((v.depth, tree.path(v.node).join(";"), v.total, v.self_value)))
            .unwrap();
        let expected = [(0, "", 8, 5), (1, "f0", 3, 0), (2, "f0;f1", 2, 2), (2, "f0;f2", 1, 1)];
        assert_eq!(seen, expected.map(|(d, p, t, s)| (d, p.to_owned(), t, s)));
    }
}
