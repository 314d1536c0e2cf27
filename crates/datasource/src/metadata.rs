//! What is known of profile types: what they measure, in which unit, and whether values over time are rates.
//!
//! Grafana has such a list of the types that its agents send; this one has the same entries, said in other words. What is
//! in no list is judged by its unit.

use std::{borrow::Cow, fmt};

use flamesql_profile::{ProfileType, Step, Unit};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};

use self::{Aggregation::*, Known as K};

/// Whether values of a profile type add up over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Each profile has what came since the one before, such as time on a CPU: a graph shows it by second.
    Cumulative,
    /// Each profile has what is there at its time, such as memory in use: a graph shows it as it is.
    Instant,
}

/// A unit by Grafana's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct DisplayUnit(Cow<'static, str>);

impl DisplayUnit {
    /// Nanoseconds.
    pub const NANOSECONDS: Self = Self(Cow::Borrowed("ns"));
    /// Bytes, in powers of 1024.
    pub const BYTES: Self = Self(Cow::Borrowed("bytes"));
    /// A number of things.
    pub const SHORT: Self = Self(Cow::Borrowed("short"));
    /// How many processors are busy.
    pub const CORES: Self = Self(Cow::Borrowed("cores"));
    /// Bytes a second.
    pub const BYTES_PER_SECOND: Self = Self(Cow::Borrowed("binBps"));
    /// Things a second.
    pub const PER_SECOND: Self = Self(Cow::Borrowed("ops"));

    /// The unit that a profile type names. What Grafana has no name for it shows as it stands.
    fn named(unit: &str) -> Self {
        Self(match unit {
            "nanoseconds" | "ns" => Cow::Borrowed("ns"),
            "microseconds" | "us" | "\u{b5}s" => Cow::Borrowed("\u{b5}s"),
            "milliseconds" | "ms" => Cow::Borrowed("ms"),
            "seconds" | "s" => Cow::Borrowed("s"),
            "bytes" => Cow::Borrowed("bytes"),
            "" | "count" => Cow::Borrowed("short"),
            other => Cow::Owned(other.to_owned()),
        })
    }

    /// The unit of an app: what is neither memory nor time is counted, whatever it is.
    fn of_app(unit: &str) -> Self {
        match Unit::parse(unit) {
            Unit::Bytes => Self::BYTES,
            Unit::Nanoseconds => Self::NANOSECONDS,
            _ => Self::SHORT,
        }
    }

    /// As Grafana calls it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of one profile type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileMetadata {
    /// The id of the profile type.
    pub id: &'static str,
    /// What it measures, in a sentence.
    pub description: &'static str,
    /// What one sample counts.
    pub kind: &'static str,
    /// What it belongs to.
    pub group: &'static str,
    /// The unit of its values.
    pub unit: Known,
    /// Whether they add up over time.
    pub aggregation: Aggregation,
}

/// The units in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Short,
}

impl From<Known> for DisplayUnit {
    fn from(unit: Known) -> Self {
        match unit {
            Known::Nanoseconds => Self::NANOSECONDS,
            Known::Bytes => Self::BYTES,
            Known::Short => Self::SHORT,
        }
    }
}

impl Serialize for ProfileMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_struct("ProfileMetadata", 6)?;
        entry.serialize_field("id", self.id)?;
        entry.serialize_field("description", self.description)?;
        entry.serialize_field("type", self.kind)?;
        entry.serialize_field("group", self.group)?;
        entry.serialize_field("unit", &DisplayUnit::from(self.unit))?;
        entry.serialize_field("aggregationType", &self.aggregation)?;
        entry.end()
    }
}

const fn entry(
    id: &'static str,
    (kind, group): (&'static str, &'static str),
    unit: Known,
    aggregation: Aggregation,
    description: &'static str,
) -> ProfileMetadata {
    ProfileMetadata { id, description, kind, group, unit, aggregation }
}

/// All profile types that are known.
pub static REGISTRY: &[ProfileMetadata] = &[
    entry(
        "block:contentions:count:contentions:count",
        ("contentions", "block"),
        K::Short,
        Cumulative,
        "How often a goroutine had to wait for another one",
    ),
    entry(
        "block:delay:nanoseconds:contentions:count",
        ("delay", "block"),
        K::Nanoseconds,
        Cumulative,
        "How long goroutines waited for one another",
    ),
    entry(
        "goroutine:goroutine:count:goroutine:count",
        ("goroutine", "goroutine"),
        K::Short,
        Instant,
        "Goroutines that exist, and where they are",
    ),
    entry(
        "goroutines:goroutine:count:goroutine:count",
        ("goroutine", "goroutine"),
        K::Short,
        Instant,
        "Goroutines that exist, and where they are",
    ),
    entry(
        "memory:alloc_in_new_tlab_bytes:bytes::",
        ("alloc_in_new_tlab_bytes", "memory"),
        K::Bytes,
        Cumulative,
        "Memory that Java threads took from fresh buffers of their own",
    ),
    entry(
        "memory:alloc_in_new_tlab_objects:count::",
        ("alloc_in_new_tlab_objects", "memory"),
        K::Short,
        Cumulative,
        "Objects that Java threads put into fresh buffers of their own",
    ),
    entry(
        "memory:alloc_objects:count:space:bytes",
        ("alloc_objects", "memory"),
        K::Short,
        Cumulative,
        "Objects that were allocated, freed ones included",
    ),
    entry(
        "memory:alloc_space:bytes:space:bytes",
        ("alloc_space", "memory"),
        K::Bytes,
        Cumulative,
        "Memory that was allocated, freed memory included",
    ),
    entry(
        "memory:inuse_objects:count:space:bytes",
        ("inuse_objects", "memory"),
        K::Short,
        Instant,
        "Objects that are in use",
    ),
    entry(
        "memory:inuse_space:bytes:space:bytes",
        ("inuse_space", "memory"),
        K::Bytes,
        Instant,
        "Memory that is in use",
    ),
    entry(
        "mutex:contentions:count:contentions:count",
        ("contentions", "mutex"),
        K::Short,
        Cumulative,
        "How often somebody waited for a mutex",
    ),
    entry(
        "mutex:delay:nanoseconds:contentions:count",
        ("delay", "mutex"),
        K::Nanoseconds,
        Cumulative,
        "How long others waited until a mutex was given back",
    ),
    entry(
        "process_cpu:alloc_samples:count:cpu:nanoseconds",
        ("alloc_samples", "memory"),
        K::Short,
        Cumulative,
        "Allocations that were sampled",
    ),
    entry(
        "process_cpu:alloc_size:bytes:cpu:nanoseconds",
        ("alloc_size", "memory"),
        K::Bytes,
        Cumulative,
        "Memory that was allocated",
    ),
    entry(
        "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
        ("cpu", "process_cpu"),
        K::Nanoseconds,
        Cumulative,
        "Time spent on processors",
    ),
    entry(
        "process_cpu:exception:count:cpu:nanoseconds",
        ("exceptions", "exceptions"),
        K::Short,
        Cumulative,
        "Exceptions that were thrown",
    ),
    entry(
        "process_cpu:lock_count:count:cpu:nanoseconds",
        ("lock_count", "locks"),
        K::Short,
        Instant,
        "Locks that somebody waited for",
    ),
    entry(
        "process_cpu:lock_time:nanoseconds:cpu:nanoseconds",
        ("lock_time", "locks"),
        K::Nanoseconds,
        Cumulative,
        "Time spent waiting for locks",
    ),
    entry(
        "process_cpu:samples:count::milliseconds",
        ("samples", "process_cpu"),
        K::Short,
        Cumulative,
        "Samples of what ran, taken at intervals of time",
    ),
    entry(
        "process_cpu:samples:count:cpu:nanoseconds",
        ("samples", "process_cpu"),
        K::Short,
        Instant,
        "Samples of what ran, taken at intervals of processor time",
    ),
    entry(
        "process_cpu:cpu_samples:count:cpu:nanoseconds",
        ("cpu_samples", "process_cpu"),
        K::Short,
        Cumulative,
        "Samples of what ran on processors",
    ),
    entry(
        "alloc:alloc_samples:count:cpu:nanoseconds",
        ("alloc_samples", "memory"),
        K::Short,
        Cumulative,
        "Allocations that were sampled",
    ),
    entry(
        "alloc:alloc_size:bytes:cpu:nanoseconds",
        ("alloc_size", "memory"),
        K::Bytes,
        Cumulative,
        "Memory that was allocated",
    ),
    entry(
        "exception:exception:count:cpu:nanoseconds",
        ("exception", "exceptions"),
        K::Short,
        Cumulative,
        "Exceptions that were thrown",
    ),
    entry(
        "heap:inuse_objects:count:cpu:nanoseconds",
        ("inuse_objects", "memory"),
        K::Short,
        Instant,
        "Objects that are in use",
    ),
    entry(
        "heap:inuse_space:bytes:cpu:nanoseconds",
        ("inuse_space", "memory"),
        K::Bytes,
        Instant,
        "Memory that is in use",
    ),
    entry(
        "lock:lock_count:count:cpu:nanoseconds",
        ("lock_count", "locks"),
        K::Short,
        Instant,
        "Locks that somebody waited for",
    ),
    entry(
        "lock:lock_time:nanoseconds:cpu:nanoseconds",
        ("lock_time", "locks"),
        K::Nanoseconds,
        Cumulative,
        "Time spent waiting for locks",
    ),
    entry(
        "thread_lifetime:thread_lifetime_timeline:nanoseconds:cpu:nanoseconds",
        ("thread_lifetime_timeline", "thread_lifetime"),
        K::Nanoseconds,
        Cumulative,
        "How long threads lived",
    ),
];

/// The registry as Grafana's resource `profileMetadata` has it: an object with a key for each id.
#[derive(Clone, Copy, Debug)]
pub struct Registry;

impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(REGISTRY.len()))?;
        for entry in REGISTRY {
            map.serialize_entry(entry.id, entry)?;
        }
        map.end()
    }
}

/// What is known of a profile type, a sixth part of its id aside.
///
/// ```
/// use flamesql_datasource::metadata;
/// use flamesql_profile::ProfileType;
///
/// let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
/// assert_eq!(metadata::of(&cpu).unwrap().group, "process_cpu");
/// assert!(metadata::of(&ProfileType::app("shop.cpu")).is_none());
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
pub fn of(profile_type: &ProfileType) -> Option<&'static ProfileMetadata> {
    if profile_type.is_app() {
        return None;
    }
    let id = profile_type.as_str();
    let id = id.strip_suffix(":delta").filter(|id| id.split(':').count() == 5).unwrap_or(id);
    REGISTRY.iter().find(|entry| entry.id == id)
}

/// The unit of a profile type's values: in flame graphs, and in graphs that show no rate.
///
/// ```
/// use flamesql_datasource::metadata;
/// use flamesql_profile::ProfileType;
///
/// let heap = ProfileType::parse("memory:inuse_space:bytes:space:bytes")?;
/// assert_eq!(metadata::unit_of(&heap).as_str(), "bytes");
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
pub fn unit_of(profile_type: &ProfileType) -> DisplayUnit {
    match of(profile_type) {
        Some(known) => known.unit.into(),
        None if profile_type.is_app() => DisplayUnit::of_app(profile_type.sample_unit()),
        None => DisplayUnit::named(profile_type.sample_unit()),
    }
}

/// Whether a profile type's values add up over time. Of one that is not known, time and bytes do. Of an app nothing says
/// whether its bytes are those in use, so they are taken as they are.
pub fn aggregation_of(profile_type: &ProfileType) -> Aggregation {
    if let Some(known) = of(profile_type) {
        return known.aggregation;
    }
    let unit = unit_of(profile_type);
    let adds_up = unit == DisplayUnit::NANOSECONDS || unit == DisplayUnit::BYTES;
    if adds_up && !profile_type.is_app() { Cumulative } else { Instant }
}

/// How a graph shows the sums of a profile type by step.
///
/// ```
/// use flamesql_datasource::metadata::Rate;
/// use flamesql_profile::{ProfileType, Step};
///
/// let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
/// let rate = Rate::of(&cpu, Step::from_nanos(15_000_000_000).unwrap());
/// assert_eq!(rate.of_sum(30_000_000_000), 2.0);
/// assert_eq!((rate.unit().as_str(), rate.is_calculated()), ("cores", true));
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// The seconds of a step, where values are shown by second.
    seconds: Option<f64>,
    is_cores: bool,
    unit: DisplayUnit,
}

impl Rate {
    /// Of the sums of a profile type in steps of this length.
    pub fn of(profile_type: &ProfileType, step: Step) -> Self {
        let unit = unit_of(profile_type);
        if aggregation_of(profile_type) == Instant {
            return Self { seconds: None, is_cores: false, unit };
        }
        let is_cpu = profile_type.sample_type() == "cpu"
            || of(profile_type).is_some_and(|known| known.group == "process_cpu");
        let is_cores = is_cpu && unit == DisplayUnit::NANOSECONDS;
        let unit = match unit.as_str() {
            _ if is_cores => DisplayUnit::CORES,
            "bytes" => DisplayUnit::BYTES_PER_SECOND,
            "short" => DisplayUnit::PER_SECOND,
            _ => unit,
        };
        Self { seconds: Some(step.nanos() as f64 / 1e9), is_cores, unit }
    }

    /// A sum as it is shown.
    pub fn of_sum(&self, sum: i64) -> f64 {
        let sum = sum as f64;
        match self.seconds {
            Some(seconds) if self.is_cores => sum / seconds / 1e9,
            Some(seconds) => sum / seconds,
            None => sum,
        }
    }

    /// The unit of what is shown.
    pub fn unit(&self) -> &DisplayUnit {
        &self.unit
    }

    /// Whether values are shown by second: Grafana's `rateCalculated`.
    pub fn is_calculated(&self) -> bool {
        self.seconds.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By group of ids as the list of Grafana has them: kind, group, unit, aggregation.
    const EXPECTED: &str = "
        block:contentions:count:contentions:count contentions block short C
        block:delay:nanoseconds:contentions:count delay block ns C
        goroutine:goroutine:count:goroutine:count goroutine goroutine short I
        goroutines:goroutine:count:goroutine:count goroutine goroutine short I
        memory:alloc_in_new_tlab_bytes:bytes:: alloc_in_new_tlab_bytes memory bytes C
        memory:alloc_in_new_tlab_objects:count:: alloc_in_new_tlab_objects memory short C
        memory:alloc_objects:count:space:bytes alloc_objects memory short C
        memory:alloc_space:bytes:space:bytes alloc_space memory bytes C
        memory:inuse_objects:count:space:bytes inuse_objects memory short I
        memory:inuse_space:bytes:space:bytes inuse_space memory bytes I
        mutex:contentions:count:contentions:count contentions mutex short C
        mutex:delay:nanoseconds:contentions:count delay mutex ns C
        process_cpu:alloc_samples:count:cpu:nanoseconds alloc_samples memory short C
        process_cpu:alloc_size:bytes:cpu:nanoseconds alloc_size memory bytes C
        process_cpu:cpu:nanoseconds:cpu:nanoseconds cpu process_cpu ns C
        process_cpu:exception:count:cpu:nanoseconds exceptions exceptions short C
        process_cpu:lock_count:count:cpu:nanoseconds lock_count locks short I
        process_cpu:lock_time:nanoseconds:cpu:nanoseconds lock_time locks ns C
        process_cpu:samples:count::milliseconds samples process_cpu short C
        process_cpu:samples:count:cpu:nanoseconds samples process_cpu short I
        process_cpu:cpu_samples:count:cpu:nanoseconds cpu_samples process_cpu short C
        alloc:alloc_samples:count:cpu:nanoseconds alloc_samples memory short C
        alloc:alloc_size:bytes:cpu:nanoseconds alloc_size memory bytes C
        exception:exception:count:cpu:nanoseconds exception exceptions short C
        heap:inuse_objects:count:cpu:nanoseconds inuse_objects memory short I
        heap:inuse_space:bytes:cpu:nanoseconds inuse_space memory bytes I
        lock:lock_count:count:cpu:nanoseconds lock_count locks short I
        lock:lock_time:nanoseconds:cpu:nanoseconds lock_time locks ns C
        thread_lifetime:thread_lifetime_timeline:nanoseconds:cpu:nanoseconds thread_lifetime_timeline thread_lifetime ns C
    ";

    #[test]
    fn the_list_is_that_of_grafana() {
        let shown: Vec<String> = REGISTRY
            .iter()
            .map(|known| {
                let unit = DisplayUnit::from(known.unit);
                let aggregation = if known.aggregation == Cumulative { "C" } else { "I" };
                format!("{} {} {} {unit} {aggregation}", known.id, known.kind, known.group)
            })
            .collect();
        let expected: Vec<&str> =
            EXPECTED.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), 29);
        for known in REGISTRY {
            assert!(ProfileType::parse(known.id).is_ok());
            assert!(known.description.len() > 10 && !known.description.ends_with('.'));
        }
        let json = serde_json::to_value(Registry).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 29);
        let entry = &json["process_cpu:lock_count:count:cpu:nanoseconds"];
        let expected = serde_json::json!({
            "id": "process_cpu:lock_count:count:cpu:nanoseconds", "type": "lock_count", "group": "locks",
            "unit": "short", "aggregationType": "instant", "description": "Locks that somebody waited for",
        });
        assert_eq!(*entry, expected);
    }

    #[test]
    fn values_over_time() {
        const STEP: i64 = 20_000_000_000;
        let app = |unit: &str| ProfileType::app("shop.x").with_unit(unit);
        let id = |text: &str| ProfileType::parse(text).unwrap();
        for (profile_type, unit, shown, factor) in [
            (id("process_cpu:cpu:nanoseconds:cpu:nanoseconds"), "ns", "cores", 0.05 / 1e9),
            (id("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"), "ns", "cores", 0.05 / 1e9),
            (id("mutex:delay:nanoseconds:contentions:count"), "ns", "ns", 0.05),
            (id("memory:alloc_space:bytes:space:bytes"), "bytes", "binBps", 0.05),
            (id("memory:alloc_objects:count:space:bytes"), "short", "ops", 0.05),
            (id("memory:inuse_space:bytes:space:bytes"), "bytes", "bytes", 1.0),
            (id("memory:inuse_space:bytes:space:bytes:delta"), "bytes", "bytes", 1.0),
            (id("process_cpu:samples:count:cpu:nanoseconds"), "short", "short", 1.0),
            (id("process_cpu:samples:count::milliseconds"), "short", "ops", 0.05),
            // In no list.
            (id("on_cpu:cpu:nanoseconds:cpu:nanoseconds"), "ns", "cores", 0.05 / 1e9),
            (id("wall:wall:nanoseconds:wall:nanoseconds"), "ns", "ns", 0.05),
            (id("x:y:bytes::"), "bytes", "binBps", 0.05),
            (id("x:y:count::"), "short", "short", 1.0),
            (id("x:y:milliseconds::"), "ms", "ms", 1.0),
            (id("x:y:apples::"), "apples", "apples", 1.0),
            (id("x:y:::"), "short", "short", 1.0),
            (app("samples"), "short", "short", 1.0),
            (app("bytes"), "bytes", "bytes", 1.0),
            (app("lock_nanoseconds"), "ns", "ns", 1.0),
            (app("objects"), "short", "short", 1.0),
            (app(""), "short", "short", 1.0),
        ] {
            let rate = Rate::of(&profile_type, Step::from_nanos(STEP).unwrap());
            let found = (unit_of(&profile_type), rate.unit().as_str(), rate.of_sum(3_000));
            let value = 3_000.0 * factor;
            assert_eq!((found.0.as_str(), found.1), (unit, shown), "{profile_type}");
            assert!((found.2 - value).abs() <= value * 1e-12, "{profile_type}: {}", found.2);
            assert_eq!(rate.is_calculated(), factor < 1.0, "{profile_type}");
        }
    }
}
