//! Ranges in the server's buckets of ten seconds.
//!
//! A range takes each bucket that it touches, whole, so only whole buckets are asked for. A timeline is kept in steps
//! of ten seconds as long as it is short; a longer one is asked for in parts.

use flamesql_profile::{Step, TimeRange, Timestamp};

const NANOS: i64 = 1_000_000_000;
/// The width of a bucket in seconds.
pub(super) const BUCKET: i64 = 10;
/// The same as a step.
pub(super) const GRAIN: Step = match Step::from_nanos(BUCKET * NANOS) {
    Some(grain) => grain,
    None => Step::NANOSECOND,
};
/// The longest range in seconds whose timeline has steps of ten seconds: a step is the largest of 10, 100, 1000 and so
/// on that is less than 1/1024 of the range.
const MAX_FINE: i64 = 100 * 1024;
/// Where time begins, in March 1973: numbers of seconds before have eight digits or less, which the server takes for a
/// date.
const MIN_START: i64 = 100_000_000;

/// A half-open range in whole seconds, multiples of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Span {
    /// The buckets whose beginnings are in a range; `None` if there are none.
    pub(super) fn of(range: TimeRange) -> Option<Self> {
        let up = |time: Timestamp| {
            let seconds = i128::from(time.nanos()).div_euclid(i128::from(NANOS * BUCKET));
            let rest = i128::from(time.nanos()).rem_euclid(i128::from(NANOS * BUCKET));
            i64::try_from((seconds + i128::from(rest > 0)) * i128::from(BUCKET))
                .expect("ten seconds are far more than the rounding")
        };
        let (start, end) = (up(range.start()).max(MIN_START), up(range.end()));
        // A bucket that begins at the very end of time cannot be written.
        let end = end.min(i64::MAX / NANOS / BUCKET * BUCKET);
        (start < end).then_some(Self { start, end })
    }

    pub(super) fn len(self) -> i64 {
        self.end - self.start
    }

    /// Whether the server's timeline of it is in steps of ten seconds.
    pub(super) fn is_fine(self) -> bool {
        self.len() <= MAX_FINE
    }

    /// Parts whose timelines are in steps of ten seconds.
    pub(super) fn fine(self) -> impl Iterator<Item = Self> {
        let n = (self.len() + MAX_FINE - 1) / MAX_FINE;
        (0..n).map(move |idx| {
            let start = self.start + idx * MAX_FINE;
            Self { start, end: self.end.min(start + MAX_FINE) }
        })
    }

    /// The same range, made so much longer that its timeline ends with a whole step: the server drops what is left over.
    pub(super) fn in_whole_steps(self) -> Self {
        let mut span = self;
        loop {
            let step = span.step();
            let len = (self.len() + step - 1) / step * step;
            span = Self { start: self.start, end: self.start + len };
            if span.step() == step {
                return span;
            }
        }
    }

    /// The step of the server's timeline in seconds.
    pub(super) fn step(self) -> i64 {
        let mut step = BUCKET;
        while step * 10 * 1024 < self.len() {
            step *= 10;
        }
        step
    }

    /// What both have in common.
    pub(super) fn intersect(self, other: Self) -> Option<Self> {
        let both = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (both.start < both.end).then_some(both)
    }
}

/// A number of seconds as a time.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds.saturating_mul(NANOS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: i64, end: i64) -> Option<Span> {
        let range = TimeRange::new(Timestamp::from_nanos(start), Timestamp::from_nanos(end));
        Span::of(range.unwrap())
    }

    #[test]
    fn both_ends_are_rounded_up() {
        let s = |seconds: i64| seconds * NANOS;
        let t0 = 1_795_367_100;
        for (start, end, expected) in [
            (s(t0), s(t0 + 10), Some((t0, t0 + 10))),
            (s(t0) + 1, s(t0 + 10) + 1, Some((t0 + 10, t0 + 20))),
            (s(t0) - 1, s(t0), None),
            (s(t0) - 1, s(t0) + 1, Some((t0, t0 + 10))),
            (i64::MIN, 0, None),
            (i64::MIN, i64::MAX, Some((MIN_START, 9_223_372_030))),
        ] {
            let expected = expected.map(|(start, end)| Span { start, end });
            assert_eq!(span(start, end), expected, "{start} to {end}");
        }
    }

    #[test]
    fn long_ranges_are_cut_or_stretched() {
        let start = 1_795_367_100;
        let long = Span { start, end: start + 3 * MAX_FINE + 10 };
        let parts: Vec<Span> = long.fine().collect();
        assert_eq!((parts.len(), parts[0].start, parts[3].end), (4, long.start, long.end));
        assert!(parts.windows(2).all(|two| two[0].end == two[1].start));
        assert!(parts.iter().all(|part| part.is_fine() && part.step() == BUCKET));
        for len in [10, MAX_FINE, MAX_FINE + 10, 1_023_990, 1_024_010, 5_000_000_010] {
            let whole = Span { start, end: start + len }.in_whole_steps();
            let more = whole.len() - len;
            assert!(whole.len() % whole.step() == 0 && (0..2 * whole.step()).contains(&more));
        }
        assert_eq!(long.step(), 100);
    }
}
