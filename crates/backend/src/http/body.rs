//! The body of an answer: as it comes over the wire, inflated, and never more than the limit.

use std::{
    io::{self, Write},
    mem,
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

/// What is taken at once because an answer says that it is so large.
const MAX_HINT: u64 = 16 << 20;
/// To how many times its size on the wire a body may inflate. Profiles come to some tens; gzip can do a thousand.
pub(super) const MAX_RATIO: u64 = 256;
/// Up to here it does not matter: a long list of nothing packs well, and takes little room.
const ANY_RATIO: u64 = 64 << 20;

/// Collects a body.
#[derive(Debug)]
pub(super) enum Body {
    Plain(Bounded),
    /// Boxed, as it has room for what it is about to inflate. Nothing at all is whole as well: an answer without a body
    /// may have the header nevertheless.
    Gzip {
        decoder: Box<MultiGzDecoder<Bounded>>,
        /// On the wire.
        received: u64,
        /// To so much it may inflate whatever it is on the wire.
        free: u64,
    },
}

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is larger than the limit.
    TooLarge,
    /// It inflates to more than [`MAX_RATIO`] times its size, as nothing does that is what it should be.
    Bomb,
    /// It is no gzip, though its header says so, or not all of it.
    Damaged,
}

impl Body {
    /// A body that may inflate to `limit`; `announced` is what its header says of its size on the wire.
    pub(super) fn new(is_gzip: bool, announced: Option<u64>, limit: u64) -> Self {
        let bounded = Bounded { bytes: Vec::new(), limit, allowed: limit, is_over: false };
        if is_gzip {
            let decoder = Box::new(MultiGzDecoder::new(bounded));
            return Self::Gzip { decoder, received: 0, free: ANY_RATIO };
        }
        let hint = announced.unwrap_or_default().min(limit).min(MAX_HINT);
        let bytes = Vec::with_capacity(usize::try_from(hint).unwrap_or_default());
        Self::Plain(Bounded { bytes, ..bounded })
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        let written = match self {
            Self::Plain(bounded) => bounded.write_all(chunk),
            Self::Gzip { decoder, received, free } => {
                *received += chunk.len() as u64;
                let bounded = decoder.get_mut();
                let of_wire = received.saturating_mul(MAX_RATIO).max(*free);
                bounded.allowed = bounded.limit.min(of_wire);
                decoder.write_all(chunk)
            }
        };
        written.map_err(|_| self.refused())
    }

    /// The whole body.
    pub(super) fn finish(mut self) -> Result<Bytes, Refused> {
        if let Self::Gzip { decoder, received: 1.., .. } = &mut self {
            decoder.try_finish().map_err(|_| self.refused())?;
        }
        let bytes = match &mut self {
            Self::Plain(bounded) => &mut bounded.bytes,
            Self::Gzip { decoder, .. } => &mut decoder.get_mut().bytes,
        };
        Ok(mem::take(bytes).into())
    }

    fn refused(&self) -> Refused {
        let bounded = match self {
            Self::Plain(bounded) => bounded,
            Self::Gzip { decoder, .. } => decoder.get_ref(),
        };
        match bounded {
            Bounded { is_over: false, .. } => Refused::Damaged,
            Bounded { limit, allowed, .. } if allowed < limit => Refused::Bomb,
            _ => Refused::TooLarge,
        }
    }
}

/// Bytes that do not grow beyond a limit, nor does the room for them.
#[derive(Debug)]
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: u64,
    /// So much of it for now.
    allowed: u64,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.allowed).unwrap_or(usize::MAX);
        let length = self.bytes.len();
        if more.len() > limit - length {
            self.is_over = true;
            return Err(io::Error::other("larger than the limit"));
        }
        let needed = length + more.len();
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2).clamp(needed, limit);
            self.bytes.reserve_exact(doubled - length);
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(is_gzip: bool, wire: &[u8], piece: usize, limit: u64) -> Result<Bytes, Refused> {
        let mut body = Body::new(is_gzip, Some(wire.len() as u64), limit);
        for chunk in wire.chunks(piece) {
            body.push(chunk)?;
        }
        body.finish()
    }

    #[test]
    fn bodies_come_through_in_any_pieces() {
        let text: Vec<u8> = (0..5000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let halves = [gzip(&text[..700]), gzip(&text[700..])].concat();
        for piece in [1, 7, 4096, 1 << 20] {
            assert_eq!(read(false, &text, piece, 20_000).unwrap(), text);
            assert_eq!(read(true, &gzip(&text), piece, 20_000).unwrap(), text);
            assert_eq!(read(true, &halves, piece, 20_000).unwrap(), text);
            assert_eq!(read(true, &gzip(b""), piece, 0).unwrap(), b"".as_slice());
        }
        assert_eq!(read(true, b"", 1, 10).unwrap(), b"".as_slice());
    }

    #[test]
    fn the_limit_holds_to_the_byte() {
        let zeros = vec![0; 1 << 18];
        for is_gzip in [false, true] {
            let wire = if is_gzip { gzip(&zeros) } else { zeros.clone() };
            for piece in [1 << 10, 1 << 21] {
                assert_eq!(read(is_gzip, &wire, piece, 1 << 18).unwrap().len(), 1 << 18);
                assert_eq!(read(is_gzip, &wire, piece, (1 << 18) - 1), Err(Refused::TooLarge));
            }
        }
    }

    #[test]
    fn a_bomb_takes_no_more_room_than_the_limit() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 1 << 14, "{}", bomb.len());
        let mut body = Body::new(true, None, 100_000);
        assert_eq!(bomb.chunks(100).try_for_each(|chunk| body.push(chunk)), Err(Refused::TooLarge));
        let Body::Gzip { decoder, .. } = body else { unreachable!("it was made so") };
        let capacity = decoder.get_ref().bytes.capacity();
        assert!(capacity <= 100_000, "{capacity}");
    }

    #[test]
    fn what_inflates_beyond_all_profiles_is_refused_long_before_the_limit() {
        let inflate = |wire: &[u8]| {
            let mut body = Body::new(true, None, 1 << 30);
            let Body::Gzip { free, .. } = &mut body else { unreachable!("it is gzip") };
            *free = 1 << 20;
            wire.chunks(1 << 10).try_for_each(|chunk| body.push(chunk))?;
            body.finish().map(|bytes| bytes.len())
        };
        assert_eq!(inflate(&gzip(&vec![0; (1 << 20) + 1])), Err(Refused::Bomb));
        // A body that is small enough may be what it likes.
        assert_eq!(inflate(&gzip(&vec![0; 1 << 20])), Ok(1 << 20));
        // So may one that packs less well: each run of 80 bytes is another byte.
        let text: Vec<u8> = (0..2 << 20_u32).map(|n| (n / 80 * 7 % 251) as u8).collect();
        assert_eq!(inflate(&gzip(&text)), Ok(text.len()));
    }

    #[test]
    fn what_is_cut_or_damaged_is_told() {
        let whole = gzip(b"some text that is longer than nothing");
        for length in 1..whole.len() {
            assert_eq!(read(true, &whole[..length], 8, 1000), Err(Refused::Damaged), "{length}");
        }
        for at in [0, 1, 2, 12, 20, whole.len() - 8, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            assert_eq!(read(true, &damaged, 8, 1000), Err(Refused::Damaged), "{at}");
        }
        assert_eq!(read(true, b"plain text", 4, 1000), Err(Refused::Damaged));
    }
}
