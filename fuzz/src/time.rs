//! The target of durations and times.

use flamesql_profile::{Error, ErrorKind, Timestamp, format_duration, parse_duration, parse_time};

/// Nanoseconds of each unit, written out here once more.
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
    ("y", 31_536_000_000_000_000),
];

/// A duration or a time that parses is printed and parsed again as the same, whatever the present is.
///
/// The first eight bytes are the present.
///
/// # Panics
///
/// If this does not hold.
pub fn time(data: &[u8]) {
    check(data, Timestamp::from_nanos(0));
    if let Some((now, text)) = data.split_first_chunk::<8>() {
        check(text, Timestamp::from_nanos(i64::from_le_bytes(*now)));
    }
}

fn check(data: &[u8], now: Timestamp) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_duration(text) {
        Ok(nanos) => {
            assert_eq!(parse_duration(&format_duration(nanos)), Ok(nanos), "{text:?}");
            let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
            let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..]);
            if let (Ok(number), Some((_, size))) = (digits.parse::<i128>(), unit) {
                assert_eq!(i128::from(nanos), number * size, "{text:?}");
            }
        }
        Err(error) => check_error(&error),
    }
    match parse_time(text, now) {
        Ok(time) => {
            assert_eq!(parse_time(&time.to_string(), now), Ok(time), "{text:?}");
            let nanos = time.nanos();
            // A bare number is in nanoseconds only from 1973 on.
            if nanos.unsigned_abs() >= 100_000_000_000_000_000 {
                assert_eq!(parse_time(&nanos.to_string(), now), Ok(time), "{text:?}");
            }
        }
        Err(error) => check_error(&error),
    }
    // Relative times add up as durations do.
    if let (Ok(nanos), false) = (parse_duration(text), text.starts_with('-')) {
        let later = now.nanos().checked_add(nanos).map(Timestamp::from_nanos);
        assert_eq!(parse_time(&format!("now+{text}"), now).ok(), later, "{text:?}");
    }
}

fn check_error(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Syntax, "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}
