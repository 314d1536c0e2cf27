//! Points, ranges and steps of time, in whole nanoseconds.

use std::fmt;

use crate::{Error, ErrorKind, format_duration};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z.
///
/// `Display` is RFC 3339 in UTC with nine digits.
///
/// ```
/// use flamesql_profile::Timestamp;
///
/// assert_eq!(Timestamp::from_millis(1_795_366_200_007)?.to_string(), "2026-11-22T16:50:00.007000000Z");
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that can be written, in 1677.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be written, in 2262.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// If the time is before 1677 or after 2262.
    pub fn from_millis(millis: i64) -> Result<Self, Error> {
        let nanos =
            millis.checked_mul(1_000_000).ok_or_else(|| out_of_range(millis, "milliseconds"))?;
        Ok(Self(nanos))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The multiple of `step`, counted from `origin`, at or before this time; [`Timestamp::MIN`] where there is none.
    #[must_use]
    pub fn floor(self, step: Step, origin: Self) -> Self {
        let step = i128::from(step.nanos());
        let since = i128::from(self.0) - i128::from(origin.0);
        let floored = since.div_euclid(step) * step + i128::from(origin.0);
        Self(i64::try_from(floored).unwrap_or(i64::MIN))
    }

    /// The multiple of `step`, counted from the epoch, at or after this time; [`Timestamp::MAX`] where there is none.
    #[must_use]
    pub fn ceil(self, step: Step) -> Self {
        let floored = self.floor(step, Self(0));
        if floored == self { self } else { Self(floored.0.saturating_add(step.nanos())) }
    }

    /// This time and `nanos` more, held within the times that can be written.
    #[must_use]
    pub const fn saturating_add(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

pub(crate) fn out_of_range(number: i64, unit: &str) -> Error {
    Error::new(
        ErrorKind::Syntax,
        format!("time of {number} {unit}"),
        "must lie between the years 1677 and 2262",
    )
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000));
        let (days, secs) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date that lies `days` after 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A half-open range of time: `start` is in it, `end` is not.
///
/// ```
/// use flamesql_profile::{TimeRange, Timestamp};
///
/// let range = TimeRange::new(Timestamp::from_nanos(10), Timestamp::from_nanos(20))?;
/// assert!(range.contains(Timestamp::from_nanos(10)) && !range.contains(Timestamp::from_nanos(20)));
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    start: Timestamp,
    end: Timestamp,
}

impl TimeRange {
    /// All of time but for its very last nanosecond, which no half-open range can hold.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// The range from `start` to just before `end`; empty if both are the same.
    ///
    /// # Errors
    ///
    /// If `start` is after `end`.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, Error> {
        if start > end {
            return Err(Error::new(
                ErrorKind::Syntax,
                format!("time range from {start} to {end}"),
                "the start is after the end",
            ));
        }
        Ok(Self { start, end })
    }

    /// The first instant of the range.
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after the range.
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Whether no instant is in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `time` is in it.
    pub fn contains(self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }

    /// What both ranges have in common; an empty range at `self`'s start if that is nothing.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        if start <= end { Self { start, end } } else { Self { start: self.start, end: self.start } }
    }
}

impl fmt::Display for TimeRange {
    /// `[start, end)`, a side that is open to the end of time as `..`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Timestamp::MIN => f.write_str("[.., ")?,
            start => write!(f, "[{start}, ")?,
        }
        match self.end {
            Timestamp::MAX => f.write_str("..)"),
            end => write!(f, "{end})"),
        }
    }
}

impl fmt::Debug for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The width of a time bin: at least one nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(i64);

impl Step {
    /// One nanosecond.
    pub const NANOSECOND: Self = Self(1);

    /// The step of a picture of a range: a width that people use, of which the range has at most 120.
    pub fn of_columns(range: TimeRange) -> Self {
        const SECOND: i64 = 1_000_000_000;
        const WIDTHS: [i64; 16] =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200];
        let len = i128::from(range.end().nanos()) - i128::from(range.start().nanos());
        let widths = WIDTHS.into_iter().map(|seconds| seconds * SECOND);
        let fits = |width: &i64| len <= 120 * i128::from(*width);
        // Beyond that in whole days.
        let day = 86_400 * i128::from(SECOND);
        let days = (len / (120 * day) + 1) * day;
        Self(widths.into_iter().find(fits).unwrap_or(i64::try_from(days).unwrap_or(i64::MAX)))
    }

    /// From nanoseconds; `None` if that is not above zero.
    pub const fn from_nanos(nanos: i64) -> Option<Self> {
        if nanos > 0 { Some(Self(nanos)) } else { None }
    }

    /// The width in nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The widest step of which both are multiples.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        let (mut a, mut b) = (self.0, other.0);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self(a)
    }

    /// Whether this is a whole number of `other`s.
    pub const fn is_multiple_of(self, other: Self) -> bool {
        self.0 % other.0 == 0
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back_as_they_went() {
        for days in (-200_000..200_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(Timestamp::from_nanos(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(
            Timestamp::from_nanos(951_782_400_000_000_000).to_string(),
            "2000-02-29T00:00:00.000000000Z"
        );
    }

    #[test]
    fn floor_and_ceil_hold_at_the_ends_of_time() {
        let hour = Step::from_nanos(3_600_000_000_000).unwrap();
        let zero = Timestamp::from_nanos(0);
        assert_eq!(Timestamp::from_nanos(-1).floor(hour, zero).nanos(), -hour.nanos());
        assert_eq!(Timestamp::from_nanos(1).ceil(hour).nanos(), hour.nanos());
        assert_eq!(Timestamp::MIN.floor(hour, zero), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.ceil(hour), Timestamp::MAX);
    }

    #[test]
    fn ranges_are_half_open() {
        let at = Timestamp::from_nanos;
        let a = TimeRange::new(at(0), at(10)).unwrap();
        assert_eq!(
            a.intersect(TimeRange::new(at(5), at(20)).unwrap()),
            TimeRange::new(at(5), at(10)).unwrap()
        );
        assert!(a.intersect(TimeRange::new(at(10), at(20)).unwrap()).is_empty());
        assert!(a.intersect(TimeRange::new(at(15), at(20)).unwrap()).is_empty());
        assert!(TimeRange::new(at(1), at(0)).is_err());
        assert_eq!(TimeRange::ALL.to_string(), "[.., ..)");
    }
}
