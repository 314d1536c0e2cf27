//! Half-open ranges, as servers are asked.
//!
//! A request has milliseconds, both ends included, and each storage compares them in its own way with a profile's
//! nanoseconds: v2 takes `start * 10^6 <= time <= end * 10^6`, v1 and Phlare cut the time to milliseconds first. Two
//! recipes give `[a, b)` on all of them alike:
//!
//! - Of stacks, what is asked over `[a, b + 1 ms]` less what is asked over `[b, b + 1 ms]`.
//! - Of series, the points of steps counted from `a - 1 ms`, without the first one: the point at `t` then covers
//!   `[t + 1 ms - step, t + 1 ms)`.

use flamesql_profile::{Step, TimeRange, Timestamp};

const NANOS: i64 = 1_000_000;

/// A range in whole milliseconds since the epoch: `start` is in it, `end` is not, and it is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Millis {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Millis {
    /// The grains whose start lies in a range: a profile counts at its time, floored to the grain.
    ///
    /// `None` if there is none. Times before 1970 do not exist for a server, and 0 means no time at all.
    pub(super) fn of(range: TimeRange, grain: Step) -> Option<Self> {
        let grain = grain.nanos() / NANOS;
        let up = |time: Timestamp| {
            let millis = i128::from(time.nanos()) + i128::from(NANOS - 1);
            let millis = millis.div_euclid(i128::from(NANOS));
            let steps = (millis + i128::from(grain - 1)).div_euclid(i128::from(grain));
            i64::try_from(steps * i128::from(grain)).unwrap_or(i64::MAX)
        };
        // One more than 1 ms before the first point of a series is asked for.
        let first = 2_i64.max(grain);
        let (start, end) = (up(range.start()).max(first), up(range.end()));
        (start < end).then_some(Self { start, end })
    }

    pub(super) fn len(self) -> i64 {
        self.end - self.start
    }

    /// The same as a range of time.
    pub(super) fn range(self) -> TimeRange {
        let (start, end) = (time(self.start), time(self.end));
        TimeRange::new(start, end).expect("the start is before the end")
    }
}

/// The time of a millisecond.
pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_nanos(millis.saturating_mul(NANOS))
}

/// A step in seconds, as a request has it. The server cuts it to milliseconds, and what is just below one becomes the
/// one before.
pub(super) fn seconds(step_millis: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ranges in milliseconds fit in 53 bits")]
    let seconds = step_millis as f64 / 1000.0;
    if step_millis % 1000 == 0 { seconds } else { seconds + 1e-9 }
}

/// One request for a series: bins of `step` from `start` on, the last of which ends at or before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) range: Millis,
    pub(super) step: i64,
}

/// The requests that give the bins of a range: the first and the last bin may be cut off by it, and are asked for
/// by themselves. Bins are `step` wide, one of them begins at `origin`; all in milliseconds.
pub(super) fn parts(range: Millis, step: i64, origin: i64) -> Vec<Part> {
    let Millis { start, end } = range;
    let first = start + (origin - start).rem_euclid(step);
    let last = end - (end - origin).rem_euclid(step);
    let cuts = if first <= last { [start, first, last, end] } else { [start, end, end, end] };
    let mut parts = Vec::new();
    for (start, end) in [(cuts[0], cuts[1]), (cuts[1], cuts[2]), (cuts[2], cuts[3])] {
        if start < end {
            parts.push(Part { range: Millis { start, end }, step: step.min(end - start) });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_go_up_to_the_grain() {
        let range = |from, to| {
            TimeRange::new(Timestamp::from_nanos(from), Timestamp::from_nanos(to)).unwrap()
        };
        let of = |from, to, grain| {
            let millis = Millis::of(range(from, to), Step::from_nanos(grain).unwrap());
            millis.map(|millis| (millis.start, millis.end))
        };
        let (ms, s) = (NANOS, 1000 * NANOS);
        assert_eq!(of(5 * ms, 9 * ms, ms), Some((5, 9)));
        assert_eq!(of(5 * ms + 1, 9 * ms + 1, ms), Some((6, 10)));
        assert_eq!(of(5 * ms + 1, 6 * ms, ms), None);
        assert_eq!(of(5 * ms, 9 * ms, s), None);
        assert_eq!(of(1500 * ms, 2001 * ms, s), Some((2000, 3000)));
        assert_eq!(of(i64::MIN, 7 * ms, ms), Some((2, 7)));
        assert_eq!(of(i64::MIN, 7 * s, s), Some((1000, 7000)));
        assert_eq!(of(0, i64::MAX, ms).unwrap().1, i64::MAX / NANOS + 1);
    }

    #[test]
    fn bins_that_a_range_cuts_off_are_asked_for_by_themselves() {
        let of = |start, end, step, origin| -> Vec<(i64, i64, i64)> {
            let parts = parts(Millis { start, end }, step, origin);
            parts.iter().map(|p| (p.range.start, p.range.end, p.step)).collect()
        };
        assert_eq!(of(10, 30, 10, 0), [(10, 30, 10)]);
        assert_eq!(of(7, 33, 10, 0), [(7, 10, 3), (10, 30, 10), (30, 33, 3)]);
        assert_eq!(of(7, 33, 10, 7), [(7, 27, 10), (27, 33, 6)]);
        assert_eq!(of(12, 18, 10, 0), [(12, 18, 6)]);
        assert_eq!(of(12, 28, 10, 0), [(12, 20, 8), (20, 28, 8)]);
        assert_eq!(of(12, 20, 10, 1000), [(12, 20, 8)]);
    }

    #[test]
    fn a_step_survives_being_cut_to_milliseconds() {
        for millis in [1, 999, 1000, 33_977, 86_400_001, 59_999] {
            let cut = (seconds(millis) * 1000.0).trunc();
            assert_eq!(cut as i64, millis);
        }
        assert!(seconds(300_000).to_bits() == 300.0_f64.to_bits());
    }
}
