//! From bytes to columns.
//!
//! Fields may come in any order, so a first pass notes where each sample and each location lies and reads the rest; the
//! texts and ids that samples speak of are all known when the second pass reads them.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{Function, Line, Location, Mapping, Profile, SampleLabel, TextId, ValueType, index};
use crate::{
    Error, ErrorKind, gzip,
    wire::{Field, Reader},
};

const WHAT: &str = "pprof profile";
/// How many things one profile may measure: real ones have up to a dozen.
const MAX_SAMPLE_TYPES: usize = 1024;

/// Reads a profile, plain or gzip.
///
/// # Errors
///
/// If the input is cut off or damaged, inflates to more than 2 GiB (or, beyond 16 MiB, to more than 256 times its
/// size), or names a text, function, mapping or location that it does not have. The error has the offset in the
/// inflated bytes.
pub fn decode(bytes: &[u8]) -> Result<Profile, Error> {
    let mut any = gzip::MAX_BYTES;
    decode_within(bytes, &mut any)
}

/// Reads one of several profiles that may have so many bytes, inflated, all together. Those of this one are taken off.
///
/// # Errors
///
/// As [`decode()`]; if it has more than what is left it is [`ErrorKind::TooLarge`].
pub fn decode_within(bytes: &[u8], left: &mut usize) -> Result<Profile, Error> {
    let bytes = gzip::inflate_within(bytes, WHAT, *left)?;
    *left -= bytes.len();
    let is_inflated = matches!(bytes, Cow::Owned(_));
    decode_plain(&bytes).map_err(|error| error.in_inflated(is_inflated))
}

fn decode_plain(bytes: &[u8]) -> Result<Profile, Error> {
    if bytes.is_empty() {
        return Err(Error::malformed(WHAT, "the input is empty"));
    }
    let mut parts = Parts::default();
    let profile = parts.scan(bytes).and_then(|mut profile| {
        parts.resolve(&mut profile)?;
        Ok(profile)
    });
    // What is wrong with the first letters as protobuf helps nobody.
    profile.map_err(|error| {
        text_start(bytes).map_or(error, |start| {
            Error::malformed(WHAT, format!("this is text and no pprof; it begins {start:?}"))
        })
    })
}

/// How the input begins, if it is text: a profile has control characters among its first bytes.
fn text_start(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(512)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // Cut within a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_text = !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace());
    is_text.then(|| text.trim_start().lines().next().unwrap_or("").chars().take(40).collect())
}

/// A message within the input, to be read later.
struct Piece<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Piece<'a> {
    fn reader(&self) -> Reader<'a> {
        Reader::new(self.bytes, self.at, WHAT)
    }
}

/// What the first pass leaves for the second.
#[derive(Default)]
struct Parts<'a> {
    samples: Vec<Piece<'a>>,
    locations: Vec<Piece<'a>>,
    mappings: Vec<Piece<'a>>,
    functions: Vec<Piece<'a>>,
    value_types: Vec<Piece<'a>>,
    period_type: Option<Piece<'a>>,
    comments: Vec<Piece<'a>>,
    drop_frames: (u64, usize),
    keep_frames: (u64, usize),
    default_sample_type: (u64, usize),
}

impl<'a> Parts<'a> {
    fn scan(&mut self, bytes: &'a [u8]) -> Result<Profile, Error> {
        let mut profile = Profile::default();
        let mut n_texts = 0_usize;
        let mut reader = Reader::new(bytes, 0, WHAT);
        loop {
            let start = reader.offset();
            let Some(field) = reader.next()? else { break };
            match field {
                Field::Bytes(1, bytes, at) => self.value_types.push(Piece { bytes, at }),
                Field::Bytes(2, bytes, at) => self.samples.push(Piece { bytes, at }),
                Field::Bytes(3, bytes, at) => self.mappings.push(Piece { bytes, at }),
                Field::Bytes(4, bytes, at) => self.locations.push(Piece { bytes, at }),
                Field::Bytes(5, bytes, at) => self.functions.push(Piece { bytes, at }),
                Field::Bytes(6, bytes, at) => {
                    n_texts += 1;
                    let text = String::from_utf8_lossy(bytes);
                    profile.replaced_texts += usize::from(matches!(text, Cow::Owned(_)));
                    if n_texts > 1 {
                        // What replaces bad bytes is longer than they are.
                        if profile.texts.bytes.len() + text.len() > gzip::MAX_BYTES {
                            return Err(Error::new(
                                ErrorKind::TooLarge,
                                WHAT,
                                "more than 2 GiB of texts",
                            )
                            .at(at));
                        }
                        profile.texts.push(&text);
                    } else if !text.is_empty() {
                        return Err(Error::malformed(
                            WHAT,
                            "the first text of its string table is not empty",
                        )
                        .at(at));
                    }
                }
                Field::Varint(7, value) => self.drop_frames = (value, start),
                Field::Varint(8, value) => self.keep_frames = (value, start),
                Field::Varint(9, value) => profile.time_nanos = value.cast_signed(),
                Field::Varint(10, value) => profile.duration_nanos = value.cast_signed(),
                Field::Bytes(11, bytes, at) => self.period_type = Some(Piece { bytes, at }),
                Field::Varint(12, value) => profile.period = value.cast_signed(),
                // A lone number is read later as a packed list of one.
                Field::Varint(13, _) => {
                    let mut number = Reader::new(&bytes[start..reader.offset()], start, WHAT);
                    number.varint()?;
                    let at = number.offset();
                    self.comments.push(Piece { bytes: &bytes[at..reader.offset()], at });
                }
                Field::Bytes(13, bytes, at) => self.comments.push(Piece { bytes, at }),
                Field::Varint(14, value) => self.default_sample_type = (value, start),
                // A known field of an unknown shape is damage; an unknown field is a newer version of the format.
                Field::Varint(number @ 1..=14, _)
                | Field::Bytes(number @ 1..=14, ..)
                | Field::Fixed(number @ 1..=14) => {
                    return Err(Error::malformed(
                        WHAT,
                        format!("field {number} has the wrong wire type"),
                    )
                    .at(start));
                }
                Field::Varint(..) | Field::Bytes(..) | Field::Fixed(_) => {}
            }
        }
        Ok(profile)
    }

    fn resolve(&self, profile: &mut Profile) -> Result<(), Error> {
        let n_texts = profile.texts.len();
        let text = |id: u64, at: usize| match usize::try_from(id) {
            Ok(idx) if idx < n_texts => Ok(TextId(index(idx))),
            _ => Err(Error::malformed(
                WHAT,
                format!("text {id} does not exist: there are {n_texts}"),
            )
            .at(at)),
        };
        let value_type = |piece: &Piece<'_>| {
            let mut kind = ValueType::default();
            each_number(piece, |number, value, at| {
                match number {
                    1 => kind.kind = text(value, at)?,
                    2 => kind.unit = text(value, at)?,
                    _ => {}
                }
                Ok(())
            })?;
            Ok::<_, Error>(kind)
        };
        if self.value_types.len() > MAX_SAMPLE_TYPES {
            let detail = format!(
                "{} sample types, more than the limit of {MAX_SAMPLE_TYPES}",
                self.value_types.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, WHAT, detail));
        }
        let mut names = HashSet::new();
        for piece in &self.value_types {
            let kind = value_type(piece)?;
            let (name, unit) =
                (profile.text(kind.kind).to_owned(), profile.text(kind.unit).to_owned());
            // Two columns of one name could not be told apart, and only one of them would ever be counted.
            if !names.insert((name.clone(), unit.clone())) {
                return Err(Error::malformed(
                    WHAT,
                    format!("two of its sample types are {name:?} in {unit:?}"),
                )
                .at(piece.at));
            }
            profile.sample_types.push(kind);
        }
        if let Some(piece) = &self.period_type {
            profile.period_type = value_type(piece)?;
        }
        for piece in &self.comments {
            let mut packed = piece.reader();
            while !packed.is_done() {
                let at = packed.offset();
                profile.comments.push(text(packed.varint()?, at)?);
            }
        }
        profile.drop_frames = text(self.drop_frames.0, self.drop_frames.1)?;
        profile.keep_frames = text(self.keep_frames.0, self.keep_frames.1)?;
        profile.default_sample_type = text(self.default_sample_type.0, self.default_sample_type.1)?;

        let mut mapping_ids = Ids::new("mapping");
        for piece in &self.mappings {
            let (mut id, mut mapping) = (0, Mapping::default());
            each_number(piece, |number, value, at| {
                match number {
                    1 => id = value,
                    2 => mapping.start = value,
                    3 => mapping.limit = value,
                    4 => mapping.file_offset = value,
                    5 => mapping.filename = text(value, at)?,
                    6 => mapping.build_id = text(value, at)?,
                    7 => mapping.has_functions = value != 0,
                    8 => mapping.has_filenames = value != 0,
                    9 => mapping.has_line_numbers = value != 0,
                    10 => mapping.has_inline_frames = value != 0,
                    _ => {}
                }
                Ok(())
            })?;
            mapping_ids.add(id, piece.at)?;
            profile.mappings.push(mapping);
        }
        let mut function_ids = Ids::new("function");
        for piece in &self.functions {
            let (mut id, mut function) = (0, Function::default());
            each_number(piece, |number, value, at| {
                match number {
                    1 => id = value,
                    2 => function.name = text(value, at)?,
                    3 => function.system_name = text(value, at)?,
                    4 => function.filename = text(value, at)?,
                    5 => function.start_line = value.cast_signed(),
                    _ => {}
                }
                Ok(())
            })?;
            function_ids.add(id, piece.at)?;
            profile.functions.push(function);
        }
        function_ids.finish();
        mapping_ids.finish();

        let mut location_ids = Ids::new("location");
        for piece in &self.locations {
            let (mut id, mut location) = (0, Location::default());
            let mut reader = piece.reader();
            loop {
                let at = reader.offset();
                match reader.next()? {
                    None => break,
                    Some(Field::Varint(1, value)) => id = value,
                    Some(Field::Varint(2, value)) => {
                        location.mapping = mapping_ids.known(value, at).ok()
                    }
                    Some(Field::Varint(3, value)) => location.address = value,
                    Some(Field::Varint(5, value)) => location.is_folded = value != 0,
                    Some(Field::Bytes(4, bytes, at)) => {
                        let mut line = Line::default();
                        each_number(&Piece { bytes, at }, |number, value, at| {
                            match number {
                                1 => line.function = function_ids.optional(value, at)?,
                                2 => line.line = value.cast_signed(),
                                _ => {}
                            }
                            Ok(())
                        })?;
                        profile.lines.push(line);
                    }
                    Some(_) => {}
                }
            }
            location_ids.add(id, piece.at)?;
            profile.locations.push(location);
            profile.line_ends.push(index(profile.lines.len()));
        }
        location_ids.finish();
        self.samples(profile, &location_ids, &text)
    }

    fn samples(
        &self,
        profile: &mut Profile,
        location_ids: &Ids,
        text: &impl Fn(u64, usize) -> Result<TextId, Error>,
    ) -> Result<(), Error> {
        let n_types = profile.sample_types.len();
        if n_types == 0 && !self.samples.is_empty() {
            return Err(Error::malformed(
                WHAT,
                "it has samples but does not say what they measure (no sample_type)",
            ));
        }
        profile.sample_location_ends.reserve_exact(self.samples.len());
        profile.sample_label_ends.reserve_exact(self.samples.len());
        // A value takes a byte at least, whatever the number of types promises. Ids are mostly of one or two bytes, so a
        // third of all bytes is about right.
        let n_bytes: usize = self.samples.iter().map(|s| s.bytes.len()).sum();
        profile.values.reserve_exact(self.samples.len().saturating_mul(n_types).min(n_bytes));
        profile.sample_locations.reserve(n_bytes / 3);
        for piece in &self.samples {
            let n_before = profile.values.len();
            let mut reader = piece.reader();
            loop {
                let at = reader.offset();
                match reader.next()? {
                    None => break,
                    Some(Field::Bytes(1, bytes, at)) => {
                        let mut packed = Reader::new(bytes, at, WHAT);
                        while !packed.is_done() {
                            let at = packed.offset();
                            let id = packed.varint()?;
                            profile.sample_locations.push(location_ids.known(id, at)?);
                        }
                    }
                    Some(Field::Varint(1, id)) => {
                        profile.sample_locations.push(location_ids.known(id, at)?)
                    }
                    Some(Field::Bytes(2, bytes, at)) => {
                        let mut packed = Reader::new(bytes, at, WHAT);
                        while !packed.is_done() {
                            profile.values.push(packed.varint()?.cast_signed());
                        }
                    }
                    Some(Field::Varint(2, value)) => profile.values.push(value.cast_signed()),
                    Some(Field::Bytes(3, bytes, at)) => {
                        let mut label = SampleLabel::default();
                        each_number(&Piece { bytes, at }, |number, value, at| {
                            match number {
                                1 => label.key = text(value, at)?,
                                2 => label.text = text(value, at)?,
                                3 => label.number = value.cast_signed(),
                                4 => label.unit = text(value, at)?,
                                _ => {}
                            }
                            Ok(())
                        })?;
                        profile.sample_labels.push(label);
                    }
                    Some(_) => {}
                }
            }
            let n_values = profile.values.len() - n_before;
            if n_values != n_types {
                let detail = format!(
                    "a sample has {n_values} values where the profile has {n_types} sample types"
                );
                return Err(Error::malformed(WHAT, detail).at(piece.at));
            }
            profile.sample_location_ends.push(index(profile.sample_locations.len()));
            profile.sample_label_ends.push(index(profile.sample_labels.len()));
        }
        Ok(())
    }
}

/// Calls `visit` with number, value and offset of each varint field of a message, and passes over the others.
fn each_number(
    piece: &Piece<'_>,
    mut visit: impl FnMut(u32, u64, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = piece.reader();
    loop {
        let at = reader.offset();
        match reader.next()? {
            None => return Ok(()),
            Some(Field::Varint(number, value)) => visit(number, value, at)?,
            Some(Field::Bytes(..) | Field::Fixed(_)) => {}
        }
    }
}

/// From the ids of a file, which may be sparse and unsorted, to indexes.
struct Ids {
    what: &'static str,
    sparse: HashMap<u64, u32>,
    /// The index plus one by id, used instead where the ids are dense; 0 for none.
    dense: Vec<u32>,
}

impl Ids {
    fn new(what: &'static str) -> Self {
        Self { what, sparse: HashMap::new(), dense: Vec::new() }
    }

    fn add(&mut self, id: u64, at: usize) -> Result<(), Error> {
        let index = index(self.sparse.len());
        if id == 0 {
            return Err(Error::malformed(
                WHAT,
                format!("a {} has the id 0, which means none", self.what),
            )
            .at(at));
        }
        if self.sparse.insert(id, index).is_some() {
            return Err(
                Error::malformed(WHAT, format!("two {}s have the id {id}", self.what)).at(at)
            );
        }
        Ok(())
    }

    fn finish(&mut self) {
        let largest = self.sparse.keys().copied().max().unwrap_or(0);
        if largest <= 4 * self.sparse.len() as u64 + 64 {
            self.dense = vec![0; usize::try_from(largest).expect("a few times a length") + 1];
            for (id, index) in &self.sparse {
                self.dense[usize::try_from(*id).expect("at most the largest")] = index + 1;
            }
        }
    }

    #[inline]
    fn known(&self, id: u64, at: usize) -> Result<u32, Error> {
        let found = match usize::try_from(id).ok().and_then(|id| self.dense.get(id)) {
            Some(0) => None,
            Some(place) => Some(place - 1),
            None => self.sparse.get(&id).copied(),
        };
        found.ok_or_else(|| {
            Error::malformed(WHAT, format!("{} {id} does not exist", self.what)).at(at)
        })
    }

    fn optional(&self, id: u64, at: usize) -> Result<Option<u32>, Error> {
        if id == 0 { Ok(None) } else { self.known(id, at).map(Some) }
    }
}
