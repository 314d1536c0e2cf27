//! When: a range in milliseconds, as Grafana says it.

use flamesql_profile::{Step, TimeRange, Timestamp, parse_time};

use super::json::{Fields, MAX_TEXT, too_long};
use crate::Error;

const MILLISECOND: i64 = 1_000_000;

/// From one millisecond to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MillisRange {
    from: i64,
    to: i64,
}

impl MillisRange {
    /// A range of milliseconds since the epoch.
    ///
    /// ```
    /// use flamesql_datasource::MillisRange;
    ///
    /// assert!(MillisRange::new(1000, 1000).is_ok());
    /// assert!(MillisRange::new(2000, 1000).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If it ends before it begins, or its nanoseconds do not fit into 64 bits.
    pub fn new(from: i64, to: i64) -> Result<Self, Error> {
        if from > to {
            return Err(Error::request(format!(
                "the range ends before it begins: from {from} to {to}"
            )));
        }
        const MAX: i64 = i64::MAX / MILLISECOND - 1;
        if from < -MAX || to > MAX {
            return Err(Error::request(format!(
                "the range from {from} to {to} is beyond 292 years"
            )));
        }
        Ok(Self { from, to })
    }

    /// Reads `from` and `to`: milliseconds since the epoch as a number or a text, or what `--from` takes, such as
    /// `now-1h`.
    pub(super) fn read(fields: &Fields<'_>, now: Timestamp) -> Result<Option<Self>, Error> {
        let (from, to) = (fields.time("from")?, fields.time("to")?);
        if from.is_none() && to.is_none() {
            return Ok(None);
        }
        let read = |name: &str, text: Option<String>, other: i64| match text {
            None => Ok(other),
            Some(text) => {
                let name = fields.named(name);
                if text.len() > MAX_TEXT {
                    return Err(too_long(&name, &text));
                }
                let wrong = |error| Error::request(format!("{name}={text:?}: {error}"));
                millis(&text, now).map_err(wrong)
            }
        };
        let now = now.nanos().div_euclid(MILLISECOND);
        let to = read("to", to, now)?;
        let from = read("from", from, to.saturating_sub(3_600_000))?;
        Self::new(from, to).map(Some)
    }

    /// The same as long, this much earlier.
    pub(super) fn earlier(self, by: Step) -> Result<Self, Error> {
        let by = by.nanos().div_euclid(MILLISECOND);
        Self::new(self.from.saturating_sub(by), self.to.saturating_sub(by))
    }

    /// How long it is.
    pub(super) fn length(self) -> Step {
        let nanos = (self.to - self.from).max(1).saturating_mul(MILLISECOND);
        Step::from_nanos(nanos).unwrap_or(Step::NANOSECOND)
    }

    /// The first instant.
    pub(super) fn start(self) -> Timestamp {
        Timestamp::from_nanos(self.from * MILLISECOND)
    }

    /// The last millisecond.
    pub(super) fn last(self) -> Timestamp {
        Timestamp::from_nanos(self.to * MILLISECOND)
    }

    /// The same, half-open.
    pub(super) fn half_open(self) -> TimeRange {
        let end = Timestamp::from_nanos((self.to + 1) * MILLISECOND);
        TimeRange::new(self.start(), end).expect("it does not end before it begins")
    }
}

/// A number is milliseconds here, whatever its size.
fn millis(text: &str, now: Timestamp) -> Result<i64, flamesql_profile::Error> {
    match text.trim().parse::<i64>() {
        Ok(millis) => Ok(millis),
        Err(_) => Ok(parse_time(text, now)?.nanos().div_euclid(MILLISECOND)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_milliseconds_or_what_people_type() {
        let now = Timestamp::from_nanos(7_200_000_000_000);
        let read = |json: serde_json::Value| MillisRange::read(&Fields::new(&json)?, now);
        for (json, from, to) in [
            (json!({"from": "1000", "to": 2000}), 1000, 2000),
            (json!({"from": "now-1h", "to": "now"}), 3_600_000, 7_200_000),
            (json!({"to": "1970-01-01T01:00:00Z"}), 0, 3_600_000),
            (json!({"from": 7_000_000}), 7_000_000, 7_200_000),
        ] {
            assert_eq!(read(json.clone()).unwrap(), Some(MillisRange { from, to }), "{json}");
        }
        assert_eq!(read(json!({})).unwrap(), None);
        for (json, part) in [
            (json!({"from": "yesterday", "to": "now"}), "from=\"yesterday\""),
            (json!({"from": 2, "to": 1}), "ends before it begins"),
            (json!({"from": 0, "to": i64::MAX}), "292 years"),
            (json!({"from": true}), "from is to be a time, not true"),
        ] {
            let error = read(json.clone()).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
