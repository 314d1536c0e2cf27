//! When to ask again, and how long to wait before.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

use flamesql_profile::{Timestamp, parse_time};

/// The wait before the first repetition; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// And never longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Whether an answer of this status says that it may be another one later. Of 500 the adapters know more.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// The wait before the n-th repetition, from 1: a random one, so that many who failed together do not come back together.
pub(super) fn backoff(n: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX));
    let wait = wait.min(LONGEST_WAIT);
    // A hasher has random keys, which is all the randomness that is needed.
    let random = RandomState::new().build_hasher().finish() % 1024;
    wait / 2 + wait.mul_f64(random as f64 / 2048.0)
}

/// How long a server wants to be left alone: `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let nanos = http_date(value)?.nanos().saturating_sub(now.nanos());
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. The two older forms that servers must not send are not read.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split(' ');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let (time, zone) = (parts.next()?, parts.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    parse_time(&format!("{year}-{month:02}-{day}T{time}Z"), Timestamp::MIN).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        let waits: Vec<Duration> = (1..40).map(backoff).collect();
        for (n, wait) in (0..).zip(&waits) {
            let longest = FIRST_WAIT.saturating_mul(1 << n.min(20)).min(LONGEST_WAIT);
            assert!(*wait >= longest / 2 && *wait <= longest, "{n}: {wait:?}");
        }
        let mut late = waits[10..].to_vec();
        late.dedup();
        assert!(late.len() > 1, "{late:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = parse_time("1994-11-06T08:49:30Z", Timestamp::MIN).unwrap();
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Tue, 08 Nov 1994 08:49:30 GMT", Some(2 * 86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 anF 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 66 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
