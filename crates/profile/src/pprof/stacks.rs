//! From samples to stacks of function names, and back.

use super::{Function, Line, Location, Profile, ValueType};
use crate::{
    Error, ErrorKind, NameId, NodeId, ProfileType, StackTree, StackTreeBuilder, Timestamp,
};

/// How many distinct stacks any profile may have, and how many functions in all its stacks together.
const FREE_NODES: usize = 1 << 20;
/// How many functions one stack may have.
const MAX_DEPTH: usize = 1 << 20;
/// Beyond what is free: how many functions the stacks may have for each entry that the file has. Inlined calls make
/// several of one; a file that makes more than this of them was not recorded.
const MAX_INLINED: usize = 64;

impl Profile {
    /// The stacks of function names with the summed values of one sample type, by its index.
    ///
    /// # Errors
    ///
    /// If a sum does not fit in an `i64`, or inlined calls make the stacks much larger than the profile.
    ///
    /// # Panics
    ///
    /// If there is no sample type of that index.
    pub fn tree(&self, sample_type: usize) -> Result<StackTree, Error> {
        assert!(
            sample_type < self.sample_types.len(),
            "sample type {sample_type} of {}",
            self.sample_types.len()
        );
        let mut builder = self.builder();
        let nodes = self.insert_stacks(&mut builder)?;
        for (sample, node) in nodes.into_iter().enumerate() {
            builder.add(node, self.sample_values(sample)[sample_type])?;
        }
        Ok(builder.finish())
    }

    /// A builder for the stacks of this profile alone: it refuses to grow out of proportion, which chains of inlined
    /// calls could make it do.
    pub fn builder(&self) -> StackTreeBuilder {
        let n_entries = self.sample_locations.len().saturating_add(self.lines.len());
        let mut builder =
            StackTreeBuilder::with_max_nodes(FREE_NODES.max(n_entries.saturating_mul(4)));
        // A sample is seldom more than one new stack; beyond a million, growing costs little by comparison.
        builder.reserve(self.n_samples().min(FREE_NODES));
        builder
    }

    /// Adds the stack of each sample to a builder, without values, and returns the samples' nodes in order.
    ///
    /// # Errors
    ///
    /// If the builder refuses.
    pub fn insert_stacks(&self, builder: &mut StackTreeBuilder) -> Result<Vec<NodeId>, Error> {
        // The names of each location, outermost first; nearly all have one, which is then found without a detour.
        let mut only: Vec<Option<NameId>> = Vec::with_capacity(self.locations.len());
        let mut ends = Vec::with_capacity(self.locations.len());
        let mut names: Vec<NameId> = Vec::with_capacity(self.lines.len());
        for (idx, location) in self.locations.iter().enumerate() {
            let lines = self.lines(idx);
            for line in lines.iter().rev() {
                names.push(self.name(location, line, builder));
            }
            if lines.is_empty() {
                names.push(self.name(location, &Line::default(), builder));
            }
            only.push((lines.len() < 2).then(|| names[names.len() - 1]));
            ends.push(super::index(names.len()));
        }
        let too_large = |what: &str, limit: usize| {
            Err(Error::new(
                ErrorKind::TooLarge,
                "stacks of the profile",
                format!("more than {limit} functions in {what}"),
            ))
        };
        let n_entries = self.sample_locations.len().saturating_add(self.lines.len());
        let max_functions = FREE_NODES.max(n_entries.saturating_mul(MAX_INLINED));
        let mut n_functions = 0;
        let mut stack: Vec<NameId> = Vec::new();
        (0..self.n_samples())
            .map(|sample| {
                stack.clear();
                for location in self.sample_locations(sample).iter().rev() {
                    if let Some(name) = only[*location as usize] {
                        stack.push(name);
                        continue;
                    }
                    match &names[super::span(&ends, *location as usize)] {
                        several if stack.len() + several.len() > MAX_DEPTH => {
                            return too_large("one", MAX_DEPTH);
                        }
                        several => stack.extend_from_slice(several),
                    }
                }
                n_functions += stack.len();
                if n_functions > max_functions {
                    return too_large("all", max_functions);
                }
                builder.insert(&stack)
            })
            .collect()
    }

    fn name(&self, location: &Location, line: &Line, builder: &mut StackTreeBuilder) -> NameId {
        let function = line.function.map(|f| self.functions[f as usize]).unwrap_or_default();
        for name in [function.name, function.system_name] {
            if !self.text(name).is_empty() {
                return builder.intern(self.text(name));
            }
        }
        let address = location.address;
        let file = location.mapping.map_or("", |m| self.text(self.mappings[m as usize].filename));
        let binary = file.rsplit(['/', '\\']).next().unwrap_or("");
        match binary {
            "" => builder.intern(&format!("{address:#x}")),
            binary => builder.intern(&format!("{binary}!{address:#x}")),
        }
    }

    /// A profile of one sample type with the stacks of a tree: one location a function, without lines or addresses.
    ///
    /// `duration_nanos` is 0 if unknown.
    ///
    /// # Errors
    ///
    /// If the tree is too large for the format.
    pub fn from_tree(
        profile_type: &ProfileType,
        tree: &StackTree,
        time: Timestamp,
        duration_nanos: i64,
    ) -> Result<Self, Error> {
        let mut profile = Self { time_nanos: time.nanos(), duration_nanos, ..Self::default() };
        let mut value_type = |kind: &str, unit: &str| ValueType {
            kind: profile.intern(kind),
            unit: profile.intern(unit),
        };
        let sample_type = match profile_type.is_app() {
            true => value_type(profile_type.name(), ""),
            false => value_type(profile_type.sample_type(), profile_type.sample_unit()),
        };
        let period_type = value_type(profile_type.period_type(), profile_type.period_unit());
        profile.sample_types.push(sample_type);
        profile.period_type = period_type;
        let mut locations: Vec<Option<u32>> = vec![None; tree.names().len()];
        let mut path = Vec::new();
        let mut stack = Vec::new();
        for (node, value) in tree.stacks() {
            tree.path_ids(node, &mut path);
            stack.clear();
            for name in path.iter().rev() {
                let slot = &mut locations[name.index()];
                let location = match *slot {
                    Some(location) => location,
                    None => {
                        let name = profile.intern(tree.names().get(*name));
                        let function = profile.push_function(Function {
                            name,
                            system_name: name,
                            ..Function::default()
                        });
                        let line = Line { function: Some(function), line: 0 };
                        *slot.insert(profile.push_location(Location::default(), &[line]))
                    }
                };
                stack.push(location);
            }
            if profile.sample_locations.len() + stack.len() > u32::MAX as usize {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    "pprof profile",
                    "more than 2^32 entries in its stacks",
                ));
            }
            profile.push_sample(&stack, &[value], &[]);
        }
        Ok(profile)
    }
}
