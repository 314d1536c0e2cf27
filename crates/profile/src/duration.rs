//! Durations and times as Grafana, Prometheus and people write them.

use crate::{
    Error, Step, Timestamp,
    time::{civil_from_days, days_from_civil, out_of_range},
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Units of a duration, the widest first. A year is 365 days, as in Prometheus.
const UNITS: &[(&str, i64)] = &[
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Reads a duration such as `15s`, `1h30m`, `1.5h` or `1d` as nanoseconds.
///
/// Units are `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w` and `y`, the wider before the narrower, each at most once; a
/// fraction of a nanosecond is an error. A lone `0` needs no unit.
///
/// ```
/// assert_eq!(flamesql_profile::parse_duration("1h30m")?, 5_400_000_000_000);
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
///
/// # Errors
///
/// If the text is empty, a unit is unknown, missing, repeated or out of order, or the sum is over 292 years.
pub fn parse_duration(text: &str) -> Result<i64, Error> {
    let fail = |detail: &str| Error::syntax("duration", text, detail);
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(fail("expected a number with a unit, such as 15s or 1h30m"));
    }
    let mut total: i64 = 0;
    let mut widest_left = 0;
    while !rest.is_empty() {
        let digits =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        if number.is_empty() {
            return Err(fail("expected a number before the unit"));
        }
        if unit.is_empty() {
            return Err(fail("expected a unit after the number: ns, us, ms, s, m, h, d, w or y"));
        }
        let Some(idx) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(fail("the units are ns, us, ms, s, m, h, d, w and y"));
        };
        if idx < widest_left {
            return Err(fail("units go from the widest to the narrowest, each at most once"));
        }
        widest_left = idx + 1;
        let nanos = scaled(number, UNITS[idx].1).ok_or_else(|| {
            fail("the number is not a whole count of nanoseconds below 292 years")
        })?;
        total = total.checked_add(nanos).ok_or_else(|| fail("longer than 292 years"))?;
        rest = after;
    }
    Ok(if negative { -total } else { total })
}

/// `number` (digits with at most one point) times `unit`, if that is a whole number in range.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.trim_end_matches('0');
    let mut nanos = whole.checked_mul(unit)?;
    if !fraction.is_empty() {
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = i128::from(unit).checked_mul(fraction.parse::<i128>().ok()?)?;
        if part % scale != 0 {
            return None;
        }
        nanos = nanos.checked_add(i64::try_from(part / scale).ok()?)?;
    }
    Some(nanos)
}

/// A duration in nanoseconds written as [`parse_duration`] reads it, such as `1h30m`.
pub fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut text = if nanos < 0 { "-".to_owned() } else { String::new() };
    let mut rest = nanos.unsigned_abs();
    // Weeks and years are read but not written: days say the same and are easier to compare.
    for (name, size) in UNITS.iter().filter(|(name, _)| !["y", "w", "µs"].contains(name)) {
        let size = size.unsigned_abs();
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

/// Reads a time: `now`, `now-1h30m`, `now-1d/d`, RFC 3339, a date, or a number since the epoch.
///
/// Relative times are taken from `now`; `/d` (also `/s /m /h /w`) goes back to the start of that unit in UTC, weeks
/// beginning on Monday. RFC 3339 may use a blank for the `T`; without a zone it is UTC, without a time of day
/// midnight. A bare number counts seconds below 10^11, else milliseconds below 10^14, else microseconds below 10^17,
/// else nanoseconds.
///
/// ```
/// use flamesql_profile::{Timestamp, parse_time};
///
/// let now = Timestamp::from_nanos(1_795_366_200_000_000_000);
/// assert_eq!(parse_time("now-15m", now)?.to_string(), "2026-11-22T16:35:00.000000000Z");
/// assert_eq!(parse_time("2026-11-22T16:50:00Z", now)?, now);
/// assert_eq!(parse_time("1795366200", now)?, now);
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
///
/// # Errors
///
/// If the text is none of these, or the time is before 1677 or after 2262.
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        return relative(text, rest, now);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return epoch(text);
    }
    rfc3339(text).ok_or_else(|| {
        Error::syntax(
            "time",
            text,
            "expected now, now-1h, 2026-11-22T16:50:00Z, a date, or a number since the epoch (s, ms, us or ns)",
        )
    })
}

fn relative(text: &str, rest: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let (offset, unit) = match rest.split_once('/') {
        Some((offset, unit)) => (offset, Some(unit)),
        None => (rest, None),
    };
    let fail = |detail: String| Error::syntax("time", text, detail);
    let nanos = match offset.as_bytes().first() {
        None => 0,
        Some(b'+') => parse_duration(&offset[1..]).map_err(|e| fail(e.to_string()))?,
        Some(b'-') if !offset[1..].starts_with('-') => {
            parse_duration(offset).map_err(|e| fail(e.to_string()))?
        }
        Some(_) => {
            return Err(fail("expected + or - and a duration after now, as in now-1h".to_owned()));
        }
    };
    let time = now
        .nanos()
        .checked_add(nanos)
        .ok_or_else(|| fail("the time lies outside the years 1677 to 2262".to_owned()))?;
    let Some(unit) = unit else { return Ok(Timestamp::from_nanos(time)) };
    let (size, origin) = match unit {
        "s" => (SECOND, 0),
        "m" => (60 * SECOND, 0),
        "h" => (3600 * SECOND, 0),
        "d" => (DAY, 0),
        // 1970-01-05 was a Monday.
        "w" => (7 * DAY, 4 * DAY),
        _ => return Err(fail("after / one of s, m, h, d and w is expected".to_owned())),
    };
    let step = Step::from_nanos(size).expect("each unit is above zero");
    Ok(Timestamp::from_nanos(time).floor(step, Timestamp::from_nanos(origin)))
}

fn epoch(text: &str) -> Result<Timestamp, Error> {
    let number: i64 =
        text.parse().map_err(|_| Error::syntax("time", text, "the number is too large"))?;
    let (factor, unit) = match number.unsigned_abs() {
        0..100_000_000_000 => (SECOND, "seconds"),
        100_000_000_000..100_000_000_000_000 => (1_000_000, "milliseconds"),
        100_000_000_000_000..100_000_000_000_000_000 => (1_000, "microseconds"),
        _ => (1, "nanoseconds"),
    };
    let nanos = number.checked_mul(factor).ok_or_else(|| out_of_range(number, unit))?;
    Ok(Timestamp::from_nanos(nanos))
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let number = |s: &str| -> Option<i64> {
        s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok()).flatten()
    };
    let field = |from: usize, to: usize| number(text.get(from..to)?);
    let is = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let days = days_from_civil(year, month, day);
    if !is(4, b'-') || !is(7, b'-') || civil_from_days(days) != (year, month, day) {
        return None;
    }
    let mut nanos = i128::from(days) * i128::from(DAY);
    if text.len() > 10 {
        if !(is(10, b'T') || is(10, b't') || is(10, b' ')) || !is(13, b':') {
            return None;
        }
        let (hour, minute) = (field(11, 13)?, field(14, 16)?);
        let (second, mut rest) =
            if is(16, b':') { (field(17, 19)?, &text[19..]) } else { (0, &text[16..]) };
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        nanos += i128::from((hour * 3600 + minute * 60 + second) * SECOND);
        if let Some(fraction) = rest.strip_prefix('.') {
            let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&len) {
                return None;
            }
            nanos +=
                i128::from(number(&fraction[..len])? * 10_i64.pow(9 - u32::try_from(len).ok()?));
            rest = &fraction[len..];
        }
        nanos -= match rest.as_bytes() {
            [] | [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hour, minute) = (number(rest.get(1..3)?)?, number(rest.get(4..6)?)?);
                if hour > 23 || minute > 59 {
                    return None;
                }
                let offset = i128::from((hour * 3600 + minute * 60) * SECOND);
                if *sign == b'+' { offset } else { -offset }
            }
            _ => return None,
        };
    }
    Some(Timestamp::from_nanos(i64::try_from(nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("15s", 15 * SECOND),
            ("1h30m", 5400 * SECOND),
            ("1d", DAY),
            ("1.5h", 5400 * SECOND),
            ("100ms", 100_000_000),
            ("1m1ms", 60 * SECOND + 1_000_000),
            ("0", 0),
            ("-2w", -14 * DAY),
            ("0.000000001s", 1),
        ] {
            assert_eq!(parse_duration(text).unwrap(), nanos, "{text}");
        }
        for bad in [
            "", "-", "5", "s", "1x", "1m1h", "1s1s", "1.5ns", ".s", "1..5s", "300y", "1h 30m",
            "--1s",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        let now = Timestamp::from_nanos(1_795_366_200_123_456_789);
        for (text, shown) in [
            ("now", "2026-11-22T16:50:00.123456789Z"),
            ("now-1h30m", "2026-11-22T15:20:00.123456789Z"),
            ("now/d", "2026-11-22T00:00:00.000000000Z"),
            ("now-1d/w", "2026-11-16T00:00:00.000000000Z"),
            ("now+1m", "2026-11-22T16:51:00.123456789Z"),
            ("2026-11-22", "2026-11-22T00:00:00.000000000Z"),
            ("2026-11-22 16:50", "2026-11-22T16:50:00.000000000Z"),
            ("2026-11-22T16:50:00.5+01:30", "2026-11-22T15:20:00.500000000Z"),
            ("1795366200007", "2026-11-22T16:50:00.007000000Z"),
            ("1795366200000007", "2026-11-22T16:50:00.000007000Z"),
            ("1795366200000000007", "2026-11-22T16:50:00.000000007Z"),
            ("-1", "1969-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(parse_time(text, now).unwrap().to_string(), shown, "{text}");
        }
        for bad in [
            "",
            "now-",
            "now--1h",
            "now1h",
            "now/y",
            "2026-02-30",
            "2026-11-22T25:00:00Z",
            "yesterday",
            "2026-11-22T16:50:00.Z",
            "9999-01-01",
            "2026-11-22Z",
            "99999999999999999999",
            "2026-11-22T16:50:00+1",
            "é26-11-22",
        ] {
            assert!(parse_time(bad, now).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn duration_round_trip(nanos in any::<i64>().prop_filter("has an opposite", |n| *n != i64::MIN)) {
            prop_assert_eq!(parse_duration(&format_duration(nanos)).unwrap(), nanos);
        }

        #[test]
        fn time_round_trip(nanos in any::<i64>()) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(parse_time(&time.to_string(), Timestamp::from_nanos(0)).unwrap(), time);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", now in any::<i64>()) {
            let _ = parse_duration(&text);
            let _ = parse_time(&text, Timestamp::from_nanos(now));
            let _ = parse_time(&format!("now{text}"), Timestamp::from_nanos(now));
        }
    }
}
