//! Units of values, and values written for people.

use std::fmt;

/// The unit of a profile's values.
///
/// ```
/// use flamesql_profile::{Unit, format_value};
///
/// assert_eq!(Unit::parse("nanoseconds"), Unit::Nanoseconds);
/// assert_eq!(format_value(1_530_000_000, Unit::Nanoseconds), "1.53s");
/// assert_eq!(format_value(2_621_440, Unit::Bytes), "2.50MiB");
/// assert_eq!(format_value(17, Unit::Count), "17");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Billionths of a second.
    Nanoseconds,
    /// Millionths of a second.
    Microseconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Things: samples, objects, goroutines; and every unit that is not known.
    Count,
}

impl Unit {
    /// The unit that a profile names, in long or short form; an unknown name is [`Unit::Count`].
    pub fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            // The legacy Pyroscope server says what for.
            "nanoseconds" | "nanosecond" | "ns" | "lock_nanoseconds" => Self::Nanoseconds,
            "microseconds" | "microsecond" | "us" | "µs" => Self::Microseconds,
            "milliseconds" | "millisecond" | "ms" => Self::Milliseconds,
            "seconds" | "second" | "sec" | "s" => Self::Seconds,
            "bytes" | "byte" | "b" => Self::Bytes,
            _ => Self::Count,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nanoseconds => "nanoseconds",
            Self::Microseconds => "microseconds",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Count => "count",
        })
    }
}

/// A value as people read it: time and bytes scaled to three digits or so, counts in full.
pub fn format_value(value: i64, unit: Unit) -> String {
    const TIME: &[(f64, &str)] =
        &[(3.6e12, "h"), (6e10, "m"), (1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")];
    const BYTES: &[(f64, &str)] = &[
        (1_152_921_504_606_846_976.0, "EiB"),
        (1_125_899_906_842_624.0, "PiB"),
        (1_099_511_627_776.0, "TiB"),
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
        (1.0, "B"),
    ];
    let (factor, scales) = match unit {
        Unit::Nanoseconds => (1.0, TIME),
        Unit::Microseconds => (1e3, TIME),
        Unit::Milliseconds => (1e6, TIME),
        Unit::Seconds => (1e9, TIME),
        Unit::Bytes => (1.0, BYTES),
        Unit::Count => return value.to_string(),
    };
    if value == 0 {
        return "0".to_owned();
    }
    // The loss of digits beyond 2^53 does not show in three of them.
    let scaled = value as f64 * factor;
    let (size, suffix) =
        scales.iter().find(|(size, _)| scaled.abs() >= *size).unwrap_or(&scales[scales.len() - 1]);
    let number = scaled / size;
    if number.fract() == 0.0 { format!("{number}{suffix}") } else { format!("{number:.2}{suffix}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_scaled_to_their_size() {
        for (value, unit, text) in [
            (0, Unit::Bytes, "0"),
            (999, Unit::Nanoseconds, "999ns"),
            (-1_500, Unit::Nanoseconds, "-1.50us"),
            (90, Unit::Seconds, "1.50m"),
            (10, Unit::Milliseconds, "10ms"),
            (1023, Unit::Bytes, "1023B"),
            (i64::MAX, Unit::Bytes, "8EiB"),
            (i64::MIN, Unit::Count, "-9223372036854775808"),
        ] {
            assert_eq!(format_value(value, unit), text);
        }
    }
}
