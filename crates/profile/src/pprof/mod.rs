//! Profiles in pprof's format, plain or gzip.
//!
//! [`Profile`] holds all that a file says, in columns: [`decode()`] and [`encode()`] are each other's inverse up to the
//! numbering of ids. [`Profile::tree`] gives the stacks of function names with the values of one sample type.
//!
//! The format is described in `proto/profile.proto` of google/pprof. How this crate reads what that leaves open:
//!
//! - A location with several lines is a chain of inlined calls; the last line is the outermost function.
//! - A function without a name goes by its system name. A location without a function goes by its address:
//!   `binary!0x4f2a` with the base name of its mapping's file, or `0x4f2a`.
//! - `drop_frames` and `keep_frames` are read and written but not applied, as on Pyroscope; `go tool pprof` applies them.
//! - Text that is not UTF-8 has the bad bytes replaced, and [`Profile::replaced_texts`] counts such texts.
//! - Ids may be sparse and unsorted. An id or a text that does not exist, an id that occurs twice and a sample with the
//!   wrong number of values are errors.
//!
//! ```
//! use flamesql_profile::{ProfileType, Timestamp, folded, pprof};
//!
//! let tree = folded::decode(b"main;work 3\nmain 1\n")?.into_tree();
//! let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
//! let bytes = pprof::encode_gzip(&pprof::Profile::from_tree(&cpu, &tree, Timestamp::from_nanos(1), 0)?);
//!
//! let profile = pprof::decode(&bytes)?;
//! assert_eq!(profile.sample_type_names().collect::<Vec<_>>(), [("cpu", "nanoseconds")]);
//! assert_eq!(profile.tree(0)?, tree);
//! # Ok::<(), flamesql_profile::Error>(())
//! ```

mod decode;
mod encode;
mod stacks;

use std::collections::HashMap;

pub use self::{
    decode::{decode, decode_within},
    encode::{encode, encode_gzip},
};

/// A text of a profile: its place in the string table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TextId(pub(crate) u32);

/// What is measured, and in which unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueType {
    /// The name, such as `cpu`.
    pub kind: TextId,
    /// The unit, such as `nanoseconds`.
    pub unit: TextId,
}

/// A part of the program's address space and the file behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// The first address after it.
    pub limit: u64,
    /// Where in the file the first address lies.
    pub file_offset: u64,
    /// The file.
    pub filename: TextId,
    /// What tells this build from others.
    pub build_id: TextId,
    /// Whether its locations have functions.
    pub has_functions: bool,
    /// Whether its locations have file names.
    pub has_filenames: bool,
    /// Whether its locations have line numbers.
    pub has_line_numbers: bool,
    /// Whether its locations have inlined functions.
    pub has_inline_frames: bool,
}

/// A place in the program. Its lines are in [`Profile::lines`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The index of its mapping in [`Profile::mappings`].
    pub mapping: Option<u32>,
    /// The address.
    pub address: u64,
    /// Whether other locations were folded into it.
    pub is_folded: bool,
}

/// A line of source code at a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The index of its function in [`Profile::functions`].
    pub function: Option<u32>,
    /// The line number.
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// The name that people read.
    pub name: TextId,
    /// The name as the system has it, such as a mangled one.
    pub system_name: TextId,
    /// The source file.
    pub filename: TextId,
    /// The line where it begins.
    pub start_line: i64,
}

/// A label of one sample: text if `text` is not empty, else a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleLabel {
    /// The name.
    pub key: TextId,
    /// The value of a text label.
    pub text: TextId,
    /// The value of a number label.
    pub number: i64,
    /// The unit of the number.
    pub unit: TextId,
}

/// All that a pprof file says, in columns.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    texts: Texts,
    replaced_texts: usize,
    /// What the values of each sample measure, in their order.
    pub sample_types: Vec<ValueType>,
    mappings: Vec<Mapping>,
    locations: Vec<Location>,
    line_ends: Vec<u32>,
    lines: Vec<Line>,
    functions: Vec<Function>,
    sample_locations: Vec<u32>,
    sample_location_ends: Vec<u32>,
    values: Vec<i64>,
    sample_labels: Vec<SampleLabel>,
    sample_label_ends: Vec<u32>,
    /// A pattern of functions to hide, kept and not applied.
    pub drop_frames: TextId,
    /// A pattern of functions to show all the same, kept and not applied.
    pub keep_frames: TextId,
    /// When the profile was taken: nanoseconds since the epoch, 0 if unknown.
    pub time_nanos: i64,
    /// For how long: nanoseconds, 0 if unknown.
    pub duration_nanos: i64,
    /// What the sampling period counts.
    pub period_type: ValueType,
    /// How much lies between two samples.
    pub period: i64,
    comments: Vec<TextId>,
    /// The name of the sample type to show first; empty means the last one.
    pub default_sample_type: TextId,
}

impl Profile {
    /// The text of an id.
    pub fn text(&self, id: TextId) -> &str {
        self.texts.get(id)
    }

    /// The id of a text, which is added if it is new.
    pub fn intern(&mut self, text: &str) -> TextId {
        self.texts.intern(text)
    }

    /// How many texts were not UTF-8 and had bytes replaced by U+FFFD.
    pub fn replaced_texts(&self) -> usize {
        self.replaced_texts
    }

    /// Name and unit of each sample type.
    pub fn sample_type_names(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.sample_types.iter().map(|t| (self.text(t.kind), self.text(t.unit)))
    }

    /// The index of the sample type to show first: the one that the file names, else the last.
    pub fn default_sample_index(&self) -> Option<usize> {
        let named = match self.text(self.default_sample_type) {
            "" => None,
            name => self.sample_types.iter().position(|t| self.text(t.kind) == name),
        };
        named.or_else(|| self.sample_types.len().checked_sub(1))
    }

    /// The mappings.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The locations.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// The lines of a location, innermost first.
    pub fn lines(&self, location: usize) -> &[Line] {
        &self.lines[span(&self.line_ends, location)]
    }

    /// The functions.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The remarks that the writer left.
    pub fn comments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.comments.iter().map(|id| self.text(*id))
    }

    /// How many samples there are.
    pub fn n_samples(&self) -> usize {
        self.sample_location_ends.len()
    }

    /// The locations of a sample as indexes into [`Profile::locations`], leaf first.
    pub fn sample_locations(&self, sample: usize) -> &[u32] {
        &self.sample_locations[span(&self.sample_location_ends, sample)]
    }

    /// The values of a sample, one a sample type.
    pub fn sample_values(&self, sample: usize) -> &[i64] {
        let n = self.sample_types.len();
        &self.values[sample * n..(sample + 1) * n]
    }

    /// The labels of a sample.
    pub fn sample_labels(&self, sample: usize) -> &[SampleLabel] {
        &self.sample_labels[span(&self.sample_label_ends, sample)]
    }

    /// Adds a function and returns its index.
    pub fn push_function(&mut self, function: Function) -> u32 {
        self.functions.push(function);
        index(self.functions.len() - 1)
    }

    /// Adds a mapping and returns its index.
    pub fn push_mapping(&mut self, mapping: Mapping) -> u32 {
        self.mappings.push(mapping);
        index(self.mappings.len() - 1)
    }

    /// Adds a location with its lines, innermost first, and returns its index.
    ///
    /// # Panics
    ///
    /// If it names a mapping or a function that was not added.
    pub fn push_location(&mut self, location: Location, lines: &[Line]) -> u32 {
        assert!(
            location.mapping.is_none_or(|m| (m as usize) < self.mappings.len()),
            "unknown mapping"
        );
        assert!(
            lines
                .iter()
                .all(|line| line.function.is_none_or(|f| (f as usize) < self.functions.len())),
            "unknown function"
        );
        self.locations.push(location);
        self.lines.extend_from_slice(lines);
        self.line_ends.push(index(self.lines.len()));
        index(self.locations.len() - 1)
    }

    /// Adds a sample: its locations leaf first, a value for each sample type, its labels.
    ///
    /// # Panics
    ///
    /// If it names a location that was not added, or the number of values is not that of the sample types.
    pub fn push_sample(&mut self, locations: &[u32], values: &[i64], labels: &[SampleLabel]) {
        assert_eq!(values.len(), self.sample_types.len(), "one value for each sample type");
        assert!(locations.iter().all(|l| (*l as usize) < self.locations.len()), "unknown location");
        self.sample_locations.extend_from_slice(locations);
        self.sample_location_ends.push(index(self.sample_locations.len()));
        self.values.extend_from_slice(values);
        self.sample_labels.extend_from_slice(labels);
        self.sample_label_ends.push(index(self.sample_labels.len()));
    }

    /// Adds a remark.
    pub fn push_comment(&mut self, text: &str) {
        let id = self.intern(text);
        self.comments.push(id);
    }
}

impl PartialEq for Profile {
    /// Whether both say the same, whatever the order of their string tables.
    fn eq(&self, other: &Self) -> bool {
        // Two encodings are the same only if all ids are, so texts are numbered anew on both sides.
        self.renumbered().columns() == other.renumbered().columns()
    }
}

type Columns<'a> = (
    (&'a Texts, &'a [ValueType], &'a [Mapping], &'a [Location], &'a [u32], &'a [Line]),
    (&'a [Function], &'a [u32], &'a [u32], &'a [i64], &'a [SampleLabel], &'a [u32]),
    (TextId, TextId, i64, i64, ValueType, i64, &'a [TextId], TextId),
);

impl Profile {
    fn columns(&self) -> Columns<'_> {
        (
            (
                &self.texts,
                &self.sample_types,
                &self.mappings,
                &self.locations,
                &self.line_ends,
                &self.lines,
            ),
            (
                &self.functions,
                &self.sample_locations,
                &self.sample_location_ends,
                &self.values,
                &self.sample_labels,
                &self.sample_label_ends,
            ),
            (
                self.drop_frames,
                self.keep_frames,
                self.time_nanos,
                self.duration_nanos,
                self.period_type,
                self.period,
                &self.comments,
                self.default_sample_type,
            ),
        )
    }

    /// The same profile with only the texts that are used, in the order of their use.
    fn renumbered(&self) -> Self {
        let mut profile = self.clone();
        let mut texts = Texts::default();
        let mut visit = |id: &mut TextId| *id = texts.intern(self.text(*id));
        for kind in profile.sample_types.iter_mut().chain([&mut profile.period_type]) {
            visit(&mut kind.kind);
            visit(&mut kind.unit);
        }
        for mapping in &mut profile.mappings {
            visit(&mut mapping.filename);
            visit(&mut mapping.build_id);
        }
        for function in &mut profile.functions {
            visit(&mut function.name);
            visit(&mut function.system_name);
            visit(&mut function.filename);
        }
        for label in &mut profile.sample_labels {
            visit(&mut label.key);
            visit(&mut label.text);
            visit(&mut label.unit);
        }
        profile.comments.iter_mut().for_each(&mut visit);
        visit(&mut profile.drop_frames);
        visit(&mut profile.keep_frames);
        visit(&mut profile.default_sample_type);
        profile.texts = texts;
        profile
    }
}

fn span(ends: &[u32], idx: usize) -> std::ops::Range<usize> {
    let start = if idx == 0 { 0 } else { ends[idx - 1] as usize };
    start..ends[idx] as usize
}

fn index(len: usize) -> u32 {
    u32::try_from(len)
        .expect("inputs are bounded to 2 GiB, so nothing in them is counted beyond 32 bits")
}

/// The string table: one text after another, the first always empty.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    bytes: String,
    ends: Vec<u32>,
    // Filled at the first `intern`: a decoded profile seldom gets another text.
    ids: HashMap<Box<str>, TextId>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: String::new(), ends: vec![0], ids: HashMap::new() }
    }
}

impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.ends == other.ends
    }
}

impl Texts {
    fn get(&self, id: TextId) -> &str {
        &self.bytes[span(&self.ends, id.0 as usize)]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, text: &str) -> TextId {
        self.bytes.push_str(text);
        self.ends.push(index(self.bytes.len()));
        TextId(index(self.ends.len() - 1))
    }

    fn intern(&mut self, text: &str) -> TextId {
        if self.ids.is_empty() {
            for id in (0..index(self.ends.len())).map(TextId) {
                let text: Box<str> = self.get(id).into();
                self.ids.entry(text).or_insert(id);
            }
        }
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.push(text);
        self.ids.insert(text.into(), id);
        id
    }
}
