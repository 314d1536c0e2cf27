//! How much memory an answer takes once it is decoded, found out before anything is decoded.
//!
//! Two bytes on the wire may be a point of a series, which is sixty in memory, so that a limit to an answer's bytes is
//! none to what becomes of them. Nothing is allocated here, and nothing is judged but sizes: what is no message at all is
//! for the decoder to refuse. What a vector has in reserve is not counted.

/// What a message of protobuf takes in memory.
#[cfg(feature = "pyroscope")]
#[derive(Debug)]
pub(crate) struct Shape {
    size: usize,
    fields: &'static [(u64, Field)],
}

/// What a field takes beside its place in the message.
#[cfg(feature = "pyroscope")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// A text.
    Text,
    /// One of a list of texts.
    Texts,
    /// A message, or one of a list.
    Message(&'static Shape),
    /// Whole numbers, eight bytes each at most.
    Whole,
    /// Doubles.
    Doubles,
    /// What nobody asks for, whatever it is: a message of nothing but small messages, say.
    Unasked,
}

/// More than any message takes in memory for each byte on the wire.
#[cfg(feature = "pyroscope")]
const MOST: u64 = 64;

#[cfg(feature = "pyroscope")]
impl Shape {
    /// Of a message of this type; fields that are not named take nothing beside their place.
    pub(crate) const fn of<T>(fields: &'static [(u64, Field)]) -> Self {
        Self { size: size_of::<T>(), fields }
    }
}

/// What the fields of a message take.
#[cfg(feature = "pyroscope")]
pub(crate) fn of_message(mut bytes: &[u8], shape: &Shape) -> u64 {
    let mut room = 0_u64;
    while let Some(tag) = varint(&mut bytes) {
        let field = shape.fields.iter().find(|(number, _)| *number == tag >> 3);
        let field = field.map(|(_, field)| *field);
        let (of_field, rest) = match tag & 7 {
            0 => {
                varint(&mut bytes);
                (if matches!(field, Some(Field::Whole)) { 8 } else { 0 }, Some(bytes))
            }
            1 => (if matches!(field, Some(Field::Doubles)) { 8 } else { 0 }, bytes.get(8..)),
            2 => {
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
                match length.and_then(|length| bytes.split_at_checked(length)) {
                    Some((inner, rest)) => (of_bytes(inner, field), Some(rest)),
                    None => (0, None),
                }
            }
            // A group has its own end: what is in it counts as if it were not.
            3 | 4 => (0, Some(bytes)),
            5 => (0, bytes.get(4..)),
            _ => (0, None),
        };
        room = room.saturating_add(of_field);
        let Some(rest) = rest else { break };
        bytes = rest;
    }
    room
}

#[cfg(feature = "pyroscope")]
fn of_bytes(bytes: &[u8], field: Option<Field>) -> u64 {
    let length = bytes.len() as u64;
    match field {
        None => 0,
        Some(Field::Text | Field::Doubles) => length,
        Some(Field::Texts) => length + size_of::<String>() as u64,
        Some(Field::Message(shape)) => shape.size as u64 + of_message(bytes, shape),
        // Each ends with a byte that says so.
        Some(Field::Whole) => 8 * bytes.iter().filter(|byte| **byte < 0x80).count() as u64,
        Some(Field::Unasked) => length.saturating_mul(MOST),
    }
}

#[cfg(feature = "pyroscope")]
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// What JSON takes at most: a number of two letters is one of eight bytes, `{}` an object with room for its fields.
pub(crate) fn of_json(bytes: &[u8]) -> u64 {
    const OBJECT: u64 = 128;
    const LETTER: u64 = 8;
    let n_objects = bytes.iter().filter(|byte| **byte == b'{').count() as u64;
    OBJECT * n_objects + LETTER * bytes.len() as u64
}

#[cfg(all(test, feature = "pyroscope"))]
mod tests {
    use super::*;

    struct Twice {
        _numbers: Vec<i64>,
        _texts: Vec<String>,
    }

    static INNER: Shape = Shape::of::<Twice>(&[(1, Field::Whole), (2, Field::Texts)]);
    static OUTER: Shape = Shape::of::<Twice>(&[
        (1, Field::Message(&INNER)),
        (2, Field::Text),
        (3, Field::Doubles),
        (4, Field::Unasked),
    ]);

    #[test]
    fn each_field_is_counted_as_what_it_becomes() {
        let of = |bytes: &[u8]| of_message(bytes, &OUTER);
        assert_eq!(of(&[]), 0);
        // Empty messages.
        assert_eq!(of(&[0x0a, 0, 0x0a, 0]), 96);
        // Numbers of one and two bytes, packed and one by one.
        assert_eq!(of(&[0x0a, 5, 0x0a, 3, 1, 0x81, 1]), 48 + 16);
        assert_eq!(of(&[0x0a, 4, 0x08, 1, 0x08, 2]), 48 + 16);
        assert_eq!(of(&[0x0a, 5, 0x12, 0, 0x12, 1, b'a']), 48 + 24 + 25);
        assert_eq!(of(&[0x12, 2, b'a', b'b']), 2);
        assert_eq!(of(&[0x1a, 8, 0, 0, 0, 0, 0, 0, 0, 0]), 8);
        assert_eq!(of(&[0x19, 0, 0, 0, 0, 0, 0, 0, 0]), 8);
        assert_eq!(of(&[0x22, 2, 1, 1]), 128);
        // What is behind fields that nobody knows counts, in a group as well.
        assert_eq!(of(&[0x7d, 0, 0, 0, 0, 0x7a, 1, 0, 0x78, 1, 0x0a, 0]), 48);
        assert_eq!(of(&[0x7b, 0x0a, 0, 0x7c, 0x0a, 0]), 96);
    }

    #[test]
    fn what_is_no_message_ends_the_count() {
        for bytes in [&[0x0a][..], &[0x0a, 5, 0], &[0x80], &[0xff; 20], &[0x1a, 8, 0], &[0x0f]] {
            assert_eq!(of_message(bytes, &OUTER), 0, "{bytes:?}");
        }
    }

    #[test]
    fn json_takes_no_more_than_is_counted() {
        assert!(of_json(b"[{},{}]") >= 2 * 112);
        assert!(of_json(b"[0,0,0,0]") >= 4 * 8);
        assert!(of_json(br#"["","",""]"#) >= 3 * 24);
    }
}
