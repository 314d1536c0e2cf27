//! Interned function names: each text once, a small id everywhere else.

use std::{collections::HashMap, fmt, sync::Arc};

/// The place of a name in its [`Names`]; meaningless in any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub(crate) u32);

impl NameId {
    /// The index of the name, from 0, in the order in which names were first seen.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of names, each with an id.
///
/// ```
/// use flamesql_profile::Names;
///
/// let mut names = Names::default();
/// let main = names.intern("main");
/// assert_eq!(names.intern("main"), main);
/// assert_eq!(names.get(main), "main");
/// ```
#[derive(Clone, Default)]
pub struct Names {
    texts: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, NameId>,
}

impl Names {
    /// The id of `name`, which is added if it is new.
    pub fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id =
            NameId(u32::try_from(self.texts.len()).expect("input limits keep names below 2^32"));
        let text: Arc<str> = name.into();
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    /// The id of `name`, if it is known.
    pub fn find(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// The text of a name.
    ///
    /// # Panics
    ///
    /// If `id` is of other names and out of range.
    pub fn get(&self, id: NameId) -> &str {
        &self.texts[id.index()]
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// All names in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.texts.iter().map(|text| &**text)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.texts).finish()
    }
}
