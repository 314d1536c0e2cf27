//! The protobuf wire format, as much of it as pprof uses: varints and length-delimited fields. Pyroscope's trees are made
//! of the same varints.
//!
//! Written by hand because a profile of a million samples is decoded straight into columns, without an object a sample.

use crate::Error;

/// One field of a message: its number and what it holds.
pub(crate) enum Field<'a> {
    Varint(u32, u64),
    /// The bytes, and where they begin in the whole input.
    Bytes(u32, &'a [u8], usize),
    /// A fixed-width field: pprof has none, so its value is of no interest.
    Fixed(u32),
}

/// Reads the fields of one message one after another.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the whole input, for errors.
    base: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: usize, what: &'static str) -> Self {
        Self { bytes, at: 0, base, what }
    }

    pub(crate) fn offset(&self) -> usize {
        self.base + self.at
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let start = self.at;
        // Up to three bytes are nearly all that a profile has.
        match *self.bytes.get(start..).unwrap_or_default() {
            [a, ..] if a < 0x80 => {
                self.at += 1;
                Ok(u64::from(a))
            }
            [a, b, ..] if b < 0x80 => {
                self.at += 2;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            [a, b, c, ..] if c < 0x80 => {
                self.at += 3;
                Ok(u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7 | u64::from(c) << 14)
            }
            _ => self.long_varint(start),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, start: usize) -> Result<u64, Error> {
        let mut value = 0_u64;
        for (idx, byte) in self.bytes[start..].iter().take(10).enumerate() {
            if idx == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * idx);
            if *byte < 0x80 {
                self.at = start + idx + 1;
                return Ok(value);
            }
        }
        let detail = if self.bytes.len() - start < 10 {
            "ends inside a number"
        } else {
            "a number has more than 64 bits"
        };
        Err(Error::malformed(self.what, detail).at(self.base + start))
    }

    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.is_done() {
            return Ok(None);
        }
        let start = self.offset();
        let tag = self.varint()?;
        let Ok(number @ 1..=0x1fff_ffff) = u32::try_from(tag >> 3) else {
            let detail = format!("field number {} does not exist", tag >> 3);
            return Err(Error::malformed(self.what, detail).at(start));
        };
        Ok(Some(match tag & 7 {
            0 => Field::Varint(number, self.varint()?),
            1 => {
                self.take(8, start)?;
                Field::Fixed(number)
            }
            2 => {
                let len = self.varint()?;
                let base = self.offset();
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                Field::Bytes(number, self.take(len, start)?, base)
            }
            5 => {
                self.take(4, start)?;
                Field::Fixed(number)
            }
            wire => {
                return Err(Error::malformed(self.what, format!("wire type {wire} is not in use"))
                    .at(start));
            }
        }))
    }

    fn take(&mut self, len: usize, start: usize) -> Result<&'a [u8], Error> {
        self.take_of("field", len, start)
    }

    /// The next bytes, which are `what`; it begins at `start`.
    #[inline]
    pub(crate) fn take_of(
        &mut self,
        what: &str,
        len: usize,
        start: usize,
    ) -> Result<&'a [u8], Error> {
        let rest = self.bytes.len() - self.at;
        if len > rest {
            let detail = format!("a {what} of {len} bytes where {rest} are left");
            return Err(Error::malformed(self.what, detail).at(start));
        }
        let bytes = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }
}

/// Appends fields to a message. Zero and empty values are left out, as proto3 does.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn uint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.varint(u64::from(number) << 3);
            self.varint(value);
        }
    }

    pub(crate) fn int(&mut self, number: u32, value: i64) {
        self.uint(number, value.cast_unsigned());
    }

    /// A length-delimited field, written even if it is empty: in a repeated field an empty entry counts.
    pub(crate) fn bytes(&mut self, number: u32, value: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn packed(&mut self, number: u32, values: impl Iterator<Item = u64>) {
        let mut inner = Self::default();
        values.for_each(|value| inner.varint(value));
        if !inner.bytes.is_empty() {
            self.bytes(number, &inner.bytes);
        }
    }

    pub(crate) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(number, &inner.bytes);
    }
}
