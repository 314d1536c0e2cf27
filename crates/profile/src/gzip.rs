//! Gzip with a bound, so that a small file cannot fill the memory.

use std::{
    borrow::Cow,
    io::{Read, Write},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

use crate::{Error, ErrorKind};

/// What any input may inflate to.
const FREE_BYTES: usize = 16 << 20;
/// Beyond that: how many times its own size. Profiles reach 20, a bomb 1000.
const MAX_RATIO: usize = 256;
/// And never more than this, so that 32-bit offsets do.
pub(crate) const MAX_BYTES: usize = 2 << 30;

/// The bytes, inflated if they are gzip.
pub(crate) fn inflate<'a>(bytes: &'a [u8], what: &'static str) -> Result<Cow<'a, [u8]>, Error> {
    inflate_within(bytes, what, MAX_BYTES)
}

/// The same, of so many bytes at most.
pub(crate) fn inflate_within<'a>(
    bytes: &'a [u8],
    what: &'static str,
    max: usize,
) -> Result<Cow<'a, [u8]>, Error> {
    let max = max.min(MAX_BYTES);
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return match bytes.len() > max {
            false => Ok(Cow::Borrowed(bytes)),
            true => Err(too_large(what, max)),
        };
    }
    let limit = bytes.len().saturating_mul(MAX_RATIO).clamp(FREE_BYTES, MAX_BYTES).min(max);
    // The trailer tells the size of a last member modulo 2^32: a hint that is not trusted beyond the usual ratio.
    let hint = bytes.last_chunk::<4>().map_or(0, |tail| u32::from_le_bytes(*tail) as usize);
    let mut inflated = Vec::with_capacity(hint.min(bytes.len().saturating_mul(8)).min(limit));
    let mut reader = MultiGzDecoder::new(bytes).take(limit as u64 + 1);
    reader.read_to_end(&mut inflated).map_err(|error| {
        Error::malformed(what, format!("damaged or cut off gzip: {error}"))
            .at(inflated.len())
            .in_inflated(true)
    })?;
    if inflated.len() > limit {
        return Err(too_large(what, limit));
    }
    Ok(Cow::Owned(inflated))
}

fn too_large(what: &'static str, limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        what,
        format!("inflates to more than {limit} bytes, which is the limit for it"),
    )
}

/// The bytes as gzip, the same for the same bytes.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}
