//! The smallest step of time series: `minStep`, in the language of Grafana's durations.

use std::fmt;

use flamesql_profile::{Step, format_duration};

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;
/// 365.25 days, and a month is a twelfth of it, as in Grafana.
const YEAR: i128 = 365 * DAY + DAY / 4;

/// The units of Go, which can be joined: `1h30m`.
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    // The sign for micro, and the Greek letter.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// The smallest step of time series: a panel that is wide enough would otherwise ask for points between two profiles.
///
/// Flame graphs have no step, and do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinStep(Step);

impl MinStep {
    /// Reads a duration as Grafana does: a whole number of `d`, `w`, `M` or `y`, or a duration of Go such as `15s`,
    /// `1h30m` and `1.5m`. A `m` is a minute, and `M` a month.
    ///
    /// ```
    /// use flamesql_datasource::MinStep;
    ///
    /// assert_eq!(MinStep::parse("1m30s")?, MinStep::parse("90s")?);
    /// assert_eq!(MinStep::parse("1M")?.step().nanos(), 2_629_800_000_000_000);
    /// let error = MinStep::parse("5").unwrap_err();
    /// assert_eq!(error, r#""5" has no unit: write 5s, or one of ns, us, ms, s, m, h, d, w, M, y"#);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with it, quoted: it is no duration, not above zero, or longer than 292 years.
    pub fn parse(text: &str) -> Result<Self, String> {
        let nanos = nanos(text)?;
        if nanos <= 0 {
            return Err(format!("{text:?} is not above zero"));
        }
        let nanos = i64::try_from(nanos).ok().and_then(Step::from_nanos);
        nanos.map(Self).ok_or_else(|| format!("{text:?} is longer than 292 years"))
    }

    /// The step.
    pub fn step(self) -> Step {
        self.0
    }

    /// The step to ask for where this one was wished for.
    ///
    /// ```
    /// use flamesql_datasource::MinStep;
    /// use flamesql_profile::Step;
    ///
    /// let wished = Step::from_nanos(1_000_000_000).unwrap();
    /// assert_eq!(MinStep::default().bound(wished).nanos(), 15_000_000_000);
    /// ```
    #[must_use]
    pub fn bound(self, wished: Step) -> Step {
        self.0.max(wished)
    }
}

impl Default for MinStep {
    /// Fifteen seconds.
    fn default() -> Self {
        Self(Step::from_nanos(15_000_000_000).expect("it is above 0"))
    }
}

impl fmt::Display for MinStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0.nanos()))
    }
}

fn nanos(text: &str) -> Result<i128, String> {
    let long = match text.chars().last() {
        Some('d') => Some(DAY),
        Some('w') => Some(7 * DAY),
        Some('M') => Some(YEAR / 12),
        Some('y') => Some(YEAR),
        _ => None,
    };
    if let Some(unit) = long {
        let number = &text[..text.len() - 1];
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "{text:?} is no duration: d, w, M and y stand alone, behind a whole number"
            ));
        }
        let number = number.parse::<i64>().map_err(|_| format!("{text:?} is out of range"))?;
        return Ok(i128::from(number) * unit);
    }
    of_go(text)
}

/// A duration of Go. What is below a nanosecond is cut off.
fn of_go(text: &str) -> Result<i128, String> {
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(format!("{text:?} is no duration, such as 15s or 1h30m"));
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(len);
        let len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(len);
        rest = after;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(format!("{text:?} is no duration, such as 15s or 1h30m"));
        }
        if unit.is_empty() {
            return Err(format!(
                "{text:?} has no unit: write {number}s, or one of ns, us, ms, s, m, h, d, w, M, y"
            ));
        }
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!(
                "{text:?} has the unit {unit:?}: there are ns, us, ms, s, m, h, and alone d, w, M, y"
            ));
        };
        let too_long = || format!("{text:?} is longer than 292 years");
        let whole = match whole {
            "" => 0,
            whole => whole.parse::<i64>().map_err(|_| too_long())?,
        };
        // More digits say nothing of a nanosecond.
        let fraction = &fraction[..fraction.len().min(15)];
        let part = match fraction {
            "" => 0,
            digits => {
                let scale = 10_i128.pow(u32::try_from(digits.len()).unwrap_or(15));
                digits.parse::<i128>().map_err(|_| too_long())? * unit / scale
            }
        };
        total += i128::from(whole) * unit + part;
        if total > i128::from(i64::MAX) {
            return Err(too_long());
        }
    }
    Ok(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_grafana_reads_them() {
        let second = 1_000_000_000_i64;
        for (text, nanos) in [
            ("15s", 15 * second),
            ("1h30m", 5400 * second),
            ("1.5h", 5400 * second),
            (".5s", second / 2),
            ("5.s", 5 * second),
            ("+1s", second),
            ("1m1m", 120 * second),
            ("1s1h", 3601 * second),
            ("100ms", second / 10),
            ("7us", 7_000),
            ("7\u{b5}s", 7_000),
            ("7\u{3bc}s", 7_000),
            ("1.9ns", 1),
            ("0.123456789123456789s", 123_456_789),
            ("1d", 86_400 * second),
            ("2w", 14 * 86_400 * second),
            ("1M", 2_629_800 * second),
            ("1y", 31_557_600 * second),
            ("12M", 31_557_600 * second),
            ("1m", 60 * second),
        ] {
            assert_eq!(MinStep::parse(text).map(|step| step.step().nanos()), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_quoted() {
        for (text, part) in [
            ("", "no duration"),
            ("5", "has no unit: write 5s"),
            ("1h5", "has no unit"),
            ("0", "not above zero"),
            ("0s", "not above zero"),
            ("0d", "not above zero"),
            ("0.1ns", "not above zero"),
            ("-15s", "not above zero"),
            ("-1d", "stand alone"),
            ("1d12h", "the unit \"d\""),
            ("1.5d", "stand alone"),
            ("d", "stand alone"),
            ("1S", "the unit \"S\""),
            ("15 s", "the unit \" s\""),
            ("s", "no duration"),
            ("1.2.3s", "no duration"),
            (".s", "no duration"),
            ("-", "no duration"),
            ("--1s", "no duration"),
            ("300y", "292 years"),
            ("99999999999999999999d", "out of range"),
            ("9999999999h", "292 years"),
            ("9223372036854775807h", "292 years"),
            ("99999999999999999999s", "292 years"),
            ("\u{663}s", "no duration"),
        ] {
            let error = MinStep::parse(text).unwrap_err();
            assert!(error.contains(part) && error.starts_with(&format!("{text:?}")), "{error}");
        }
        assert!(MinStep::parse("292y").is_ok());
    }

    #[test]
    fn a_step_is_no_smaller_than_this_one() {
        let step = |text: &str| MinStep::parse(text).unwrap().step();
        let min = MinStep::parse("20s").unwrap();
        for (wished, expected) in [("1ms", "20s"), ("20s", "20s"), ("1m", "1m")] {
            assert_eq!(min.bound(step(wished)), step(expected), "{wished}");
        }
    }
}
