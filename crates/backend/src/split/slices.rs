//! Where a range is cut.

use flamesql_profile::{TimeRange, Timestamp, format_duration};

use super::Split;
use crate::{Bins, Capabilities, Error, ErrorKind, backend::length};

/// The slices of a range, in order: at least one, each within the source's limit, together the range.
///
/// Cuts are at edges of bins where a bin fits into the limit, so that no bin is in two slices; else at multiples of
/// the grain, so that no request begins or ends within the finest time that the source knows.
pub(super) fn cut(
    range: TimeRange,
    bins: Bins,
    capabilities: &Capabilities,
) -> Result<impl ExactSizeIterator<Item = TimeRange> + Send + use<>, Error> {
    let Cuts { base, width, n } = Cuts::of(range, bins, capabilities);
    let n = match u32::try_from(n) {
        Ok(n) if n <= Split::MAX_SLICES => n,
        _ => return Err(too_many(range, width, n, capabilities.kind)),
    };
    let slice = move |idx: u32| {
        let at = |time: i128| {
            let nanos = i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX });
            Timestamp::from_nanos(nanos)
        };
        let from = base + width * i128::from(idx);
        let slice = TimeRange::new(at(from).max(range.start()), at(from + width).min(range.end()));
        slice.unwrap_or(range)
    };
    Ok((0..n).map(slice))
}

/// How many slices there are, or would be.
pub(super) fn count(range: TimeRange, bins: Bins, capabilities: &Capabilities) -> i128 {
    Cuts::of(range, bins, capabilities).n
}

/// `n` slices of which the first begins at `base`, which may lie before all time, or within the range's start.
struct Cuts {
    base: i128,
    width: i128,
    n: i128,
}

impl Cuts {
    fn of(range: TimeRange, bins: Bins, capabilities: &Capabilities) -> Self {
        let start = i128::from(range.start().nanos());
        let whole = length(range);
        let (base, width) = match capabilities.max_range.map(|max| i128::from(max.nanos())) {
            Some(max) if max < whole => {
                let grain = i128::from(capabilities.grain.nanos());
                let (unit, origin) = match bins {
                    Bins::Every { step, origin } if i128::from(step.nanos()) <= max => {
                        (i128::from(step.nanos()), i128::from(origin.nanos()))
                    }
                    _ => (if grain <= max { grain } else { 1 }, 0),
                };
                (start - (start - origin).rem_euclid(unit), max / unit * unit)
            }
            // An empty range is asked for as well: the question may be wrong for other reasons.
            _ => (start, whole.max(1)),
        };
        let n = ((start + whole - base + width - 1) / width).max(1);
        Self { base, width, n }
    }
}

fn too_many(range: TimeRange, width: i128, n: i128, kind: &str) -> Error {
    let what = format!(
        "ask a {kind} source for {range}: in slices of {}, the longest that it takes, that would be {n} requests, and \
         the limit is {}; name a shorter range",
        format_duration(i64::try_from(width).unwrap_or(i64::MAX)),
        Split::MAX_SLICES,
    );
    Error::new(ErrorKind::InvalidQuery, what)
}

#[cfg(test)]
mod tests {
    use flamesql_profile::Step;

    use super::*;

    fn cuts(from: i64, to: i64, bins: Option<(i64, i64)>, grain: i64, max: i64) -> Vec<(i64, i64)> {
        let step = |nanos| Step::from_nanos(nanos).unwrap();
        let time = Timestamp::from_nanos;
        let bins = bins.map_or(Bins::Whole, |(width, origin)| Bins::Every {
            step: step(width),
            origin: time(origin),
        });
        let capabilities =
            Capabilities::local("test").with_grain(step(grain)).with_max_range(step(max));
        let range = TimeRange::new(time(from), time(to)).unwrap();
        let slices = cut(range, bins, &capabilities).unwrap();
        slices.map(|slice| (slice.start().nanos(), slice.end().nanos())).collect()
    }

    #[test]
    fn slices_keep_to_bins_and_grain_where_they_can() {
        // What fits is asked for as it is.
        assert_eq!(cuts(3, 10, None, 1, 7), [(3, 10)]);
        assert_eq!(cuts(3, 10, Some((4, 0)), 1, 7), [(3, 10)]);
        assert_eq!(cuts(3, 3, None, 1, 7), [(3, 3)]);
        assert_eq!(cuts(3, 11, None, 1, 7), [(3, 10), (10, 11)]);
        // Bins of 3 from 1: 7 holds two of them.
        assert_eq!(cuts(3, 16, Some((3, 1)), 1, 7), [(3, 7), (7, 13), (13, 16)]);
        assert_eq!(cuts(-8, 1, Some((3, 100)), 1, 7), [(-8, -2), (-2, 1)]);
        // Wider bins are in several slices.
        assert_eq!(cuts(0, 16, Some((8, 0)), 1, 7), [(0, 7), (7, 14), (14, 16)]);
        assert_eq!(cuts(3, 16, None, 5, 7), [(3, 5), (5, 10), (10, 15), (15, 16)]);
        // A limit below the grain.
        assert_eq!(cuts(3, 16, None, 10, 7), [(3, 10), (10, 16)]);
        let (low, high) = (i64::MIN, i64::MAX);
        assert_eq!(cuts(low, high, None, 1, high), [(low, -1), (-1, high - 1), (high - 1, high)]);
    }
}
