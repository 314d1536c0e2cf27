//! What questions have in common: a range, a type, a selector, and the faults of each, in Pyroscope's words.

use flamesql_backend::{Only, Select};
use flamesql_profile::{ProfileType, TimeRange, Timestamp};
use flamesql_proto::types::v1::StackTraceSelector;
use flamesql_selector::{MAX_LEN, RegexBudget, Selector, is_label_name};

use crate::{
    Guise, ServeOptions,
    fault::{Code, Fault},
    private::Parted,
};

const NANOS: i64 = 1_000_000;
const HOUR_MILLIS: i64 = 3_600_000;
/// How many nodes an answer has unless it is asked for another number, and at most.
const DEFAULT_NODES: i64 = 8192;
const MAX_NODES: i64 = 1 << 20;

/// How many labels a question names at most: each is looked for in each series.
pub(crate) const MAX_NAMES: usize = 10_000;

/// How many regexes a question has at most.
const MAX_REGEXES: usize = 100;

/// A range in milliseconds, both ends included: a profile is in it if its nanoseconds are not before the start and not
/// after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) guise: Guise,
}

impl Millis {
    /// A range before there was anything, for a server that takes any.
    const NONE: Self = Self { start: 1, end: 1, guise: Guise::Phlare };

    /// That of a question for names, which older servers ask of all that they have.
    pub(crate) fn of_names(start: i64, end: i64, options: &ServeOptions) -> Result<Self, Fault> {
        match options.guise.looks_at_ranges_of_names() {
            true => Self::new(start, end, options),
            false => Ok(Self { start: 1, end: i64::MAX / NANOS - 1, guise: options.guise }),
        }
    }

    pub(crate) fn new(start: i64, end: i64, options: &ServeOptions) -> Result<Self, Fault> {
        let (max, guise) = (options.max_range, options.guise);
        if !guise.minds_ranges() && (start == 0 || end == 0 || start > end) {
            return Ok(Self::NONE);
        }
        if start == 0 || end == 0 {
            return Err(Fault::invalid("missing time range in the query"));
        }
        if start > end {
            return Err(Fault::invalid("query start time is after end time"));
        }
        let length = i128::from(end) - i128::from(start);
        // Beyond what nanoseconds hold there is nothing, and what is reckoned with these would not fit.
        let (start, end) = (held(start), held(end));
        match max {
            Some(max) if length * i128::from(NANOS) > i128::from(max.nanos()) => {
                let actual = go_duration(i64::try_from(length).unwrap_or(i64::MAX));
                let limit = short_duration(max.nanos() / NANOS);
                Err(guise.too_long(&actual, &limit))
            }
            _ => Ok(Self { start, end, guise }),
        }
    }

    /// The last hour where no end is given.
    pub(crate) fn or_last_hour(
        start: i64,
        end: i64,
        options: &ServeOptions,
    ) -> Result<Self, Fault> {
        let guise = options.guise;
        if !guise.looks_at_ranges_of_names() {
            return Self::of_names(start, end, options);
        }
        if start == 0 && end == 0 {
            let now = now_millis();
            return Ok(Self { start: now - HOUR_MILLIS, end: now, guise });
        }
        // An end alone may be 0, which is a time like any other here.
        if start > end {
            return Err(Fault::invalid("query start time is after end time"));
        }
        if start == 0 || end == 0 {
            return Ok(Self { start: held(start), end: held(end), guise });
        }
        Self::new(start, end, options)
    }

    /// The same, half-open, in nanoseconds.
    pub(crate) fn range(self) -> TimeRange {
        between(self.start, self.after(self.end))
    }

    /// The first nanosecond after a millisecond that is the last of a range.
    pub(crate) fn after(self, millis: i64) -> i64 {
        match self.guise.cuts_times() {
            false => millis.saturating_mul(NANOS).saturating_add(1),
            true => millis.saturating_add(1).saturating_mul(NANOS),
        }
    }
}

/// The nearest millisecond whose nanoseconds fit into 64 bits.
fn held(millis: i64) -> i64 {
    const MAX: i64 = i64::MAX / NANOS;
    millis.clamp(-MAX, MAX)
}

/// From a millisecond to just before a nanosecond.
pub(crate) fn between(start_millis: i64, end_nanos: i64) -> TimeRange {
    let start = Timestamp::from_nanos(start_millis.saturating_mul(NANOS));
    let end = Timestamp::from_nanos(end_nanos).max(start);
    TimeRange::new(start, end).expect("the end is not before the start")
}

pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

/// A profile type, by its id.
pub(crate) fn profile_type(id: &str) -> Result<ProfileType, Fault> {
    ProfileType::parse(id).map_err(|_| {
        let shape = "<name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta)";
        let n = id.split(':').count();
        Fault::invalid(format!(
            "profile-type selection must be of the form {shape}, got({n}): {id:?}"
        ))
        .innermost()
    })
}

/// A selector with its braces; of none at all nothing can be chosen.
pub(crate) fn selector(text: &str, guise: Guise) -> Result<Selector, Fault> {
    let fail = |place: &str, reason: &str| {
        Fault::invalid(format!("parsing label selector {text:?}: {place}: parse error: {reason}"))
            .inner()
    };
    let parsed = match text.trim() {
        "" => return Err(fail("unknown position", "unexpected end of input")),
        _ => Selector::parse(text),
    };
    let parsed = parsed.map_err(|error| {
        let before = text.get(..error.span().start).unwrap_or(text);
        fail(&format!("1:{}", before.chars().count() + 1), error.message())
    })?;
    if !guise.knows_quoted_names()
        && parsed.matchers.iter().any(|matcher| !is_label_name(&matcher.name))
    {
        return Err(fail("1:2", "unexpected string in label matching, expected identifier"));
    }
    Ok(parsed)
}

/// Refuses more conditions than anyone has use for, before regexes are compiled.
pub(crate) fn check_matchers(selector: &Selector) -> Result<(), Fault> {
    let n_regexes = selector.matchers.iter().filter(|matcher| matcher.op.is_regex()).count();
    for (what, n, max) in
        [("matchers", selector.matchers.len(), MAX_NAMES), ("regexes", n_regexes, MAX_REGEXES)]
    {
        if n > max {
            return Err(Fault::invalid(format!("{n} {what}: at most {max} may be given")));
        }
    }
    Ok(())
}

/// All selectors at once: who is chosen is so by each of them. None chooses all. Of an older server they are several
/// choices, each of which is enough.
pub(crate) fn selectors(texts: &[String], options: &ServeOptions) -> Result<Vec<Parted>, Fault> {
    let guise = options.guise;
    // What one may have, all of them may.
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes > MAX_LEN {
        return Err(Fault::invalid(format!(
            "{} selectors have {bytes} bytes: at most {MAX_LEN} may be given",
            texts.len()
        )));
    }
    let mut budget = options.regex_budget();
    if guise.unites_selectors() && texts.len() > 1 {
        let parted = texts.iter().map(|text| Parted::new(selector(text, guise)?, &mut budget));
        return parted.collect();
    }
    let mut all = Selector::all();
    for text in texts {
        for matcher in selector(text, guise)?.matchers {
            all.push(matcher);
        }
        check_matchers(&all)?;
    }
    Ok(vec![Parted::new(all, &mut budget)?])
}

/// What is asked of a source; `None` if nothing can be found, as by a matcher that its type does not meet. The budget is
/// that of the whole question.
pub(crate) fn select(
    profile_type_id: &str,
    label_selector: &str,
    range: TimeRange,
    only: Only,
    guise: Guise,
    budget: &mut RegexBudget,
) -> Result<Option<Select>, Fault> {
    let profile_type = profile_type(profile_type_id)?;
    let parted = Parted::new(selector(label_selector, guise)?, budget)?;
    let Some(selector) = parted.of(&profile_type).cloned() else { return Ok(None) };
    let mut select = Select::new(profile_type, selector, range);
    select.only = only;
    // In a guise times are cut, as those servers do.
    select.exact_end = (!guise.cuts_times()).then(|| range.end());
    Ok(Some(select))
}

/// Which samples: of these spans, traces or profiles.
pub(crate) fn only(
    spans: &[String],
    traces: &[String],
    profiles: &[String],
    guise: Guise,
) -> Result<Only, Fault> {
    guise.check_traces(traces)?;
    let (traces, profiles) =
        if guise.chooses_stacks() { (traces, profiles) } else { (&[][..], &[][..]) };
    check_ids("span", spans, 16)?;
    check_ids("trace", traces, 32)?;
    match (spans.is_empty(), traces.is_empty(), profiles.is_empty()) {
        (true, true, true) => Ok(Only::All),
        (false, true, true) => Ok(Only::Spans(spans.to_vec())),
        (true, false, true) => Ok(Only::Traces(traces.to_vec())),
        (true, true, false) => Ok(Only::Profiles(profiles.to_vec())),
        _ => Err(Fault::invalid(
            "only one of span_selector, trace_id_selector and profile_id_selector can be used",
        )),
    }
}

pub(crate) fn check_ids(kind: &str, ids: &[String], digits: usize) -> Result<(), Fault> {
    let is_wrong = |id: &&String| id.len() != digits || !id.bytes().all(|b| b.is_ascii_hexdigit());
    match ids.iter().find(is_wrong) {
        Some(id) if id.len() != digits => {
            Err(Fault::invalid(format!("invalid {kind} id length: {id:?}")))
        }
        Some(id) => Err(Fault::invalid(format!("invalid {kind} id: {id:?}"))),
        None => Ok(()),
    }
}

/// How many nodes an answer may have.
pub(crate) fn max_nodes(asked: Option<i64>, guise: Guise) -> Result<usize, Fault> {
    match asked.unwrap_or_default() {
        n if n > MAX_NODES && !guise.limits_nodes() => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        0 => Ok(usize::try_from(DEFAULT_NODES).expect("it is above 0")),
        n if n > MAX_NODES => Err(Fault::invalid(format!(
            "max flamegraph nodes limit {n} is greater than allowed {MAX_NODES}"
        ))),
        n => usize::try_from(n).map_err(|_| {
            let message =
                format!("max flamegraph nodes limit must be set (max allowed {MAX_NODES})");
            Fault::invalid(message)
        }),
    }
}

/// Refuses more names of labels than anyone has use for.
pub(crate) fn check_names(field: &str, names: &[String]) -> Result<(), Fault> {
    match names.len() {
        n if n > MAX_NAMES => Err(Fault::invalid(format!(
            "{field} has {n} names of labels: at most {MAX_NAMES} may be given"
        ))),
        _ => Ok(()),
    }
}

/// Refuses to cut stacks for a compiler.
pub(crate) fn check_pgo(selector: Option<&StackTraceSelector>) -> Result<(), Fault> {
    let pgo = selector.and_then(|selector| selector.go_pgo.as_ref());
    if pgo.is_some_and(|pgo| pgo.keep_locations > 0 || pgo.aggregate_callees) {
        let message = "go_pgo is not implemented: a source here tells no lines";
        return Err(Fault::new(Code::Unimplemented, message));
    }
    Ok(())
}

/// The functions that a stack has to begin with.
pub(crate) fn call_site(selector: Option<&StackTraceSelector>) -> Vec<String> {
    let sites = selector.map(|selector| selector.call_site.as_slice()).unwrap_or_default();
    sites.iter().map(|location| location.name.clone()).collect()
}

/// `25h5m0s`, as Go writes it.
fn go_duration(millis: i64) -> String {
    let (hours, rest) = (millis / HOUR_MILLIS, millis % HOUR_MILLIS);
    let (minutes, rest) = (rest / 60_000, rest % 60_000);
    let seconds = match (rest / 1000, rest % 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, millis) => format!("{}s", format!("{seconds}.{millis:03}").trim_end_matches('0')),
    };
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// `1d`, `2d12h`, as Prometheus writes it.
fn short_duration(mut millis: i64) -> String {
    const UNITS: [(&str, i64); 5] =
        [("d", 24 * HOUR_MILLIS), ("h", HOUR_MILLIS), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut text = String::new();
    for (unit, size) in UNITS {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_and_prometheus_do() {
        let texts = [1, 1500, 60_000, 90_300_000].map(go_duration);
        assert_eq!(texts, ["0.001s", "1.5s", "1m0s", "25h5m0s"]);
        assert_eq!([0, 86_400_000, 216_000_000].map(short_duration), ["0s", "1d", "2d12h"]);
    }

    #[test]
    fn numbers_of_nodes() {
        assert_eq!(max_nodes(None, Guise::V2).unwrap(), 8192);
        assert_eq!(max_nodes(Some(1 << 20), Guise::V2).unwrap(), 1 << 20);
        for bad in [-1, (1 << 20) + 1] {
            assert!(max_nodes(Some(bad), Guise::V2).is_err(), "{bad}");
        }
    }
}
