//! What is asked, as Grafana's editors write it.

use flamesql_profile::{Step, Timestamp};
use flamesql_selector::{Filter, LabelMatcher, Matcher, Selector};
use serde_json::Value;

use super::{
    json::{Fields, MAX_TEXT, quoted, shown, too_long},
    range::MillisRange,
};
use crate::{Error, MinStep};

/// To how many nodes a flame graph is cut where a query says nothing: what Grafana's editor shows there.
const DEFAULT_NODES: usize = 16_384;
/// How many nodes a query may ask for.
const MAX_NODES: usize = 1 << 20;
/// How long a statement may be, in bytes.
const MAX_SQL: usize = 256 << 10;
/// How long a selector may be, in bytes.
const MAX_SELECTOR: usize = 64 << 10;
/// How many labels tell series apart at most: each makes planning slower.
const MAX_GROUP_BY: usize = 50;
/// How many rows a list of functions has where a query says nothing.
const DEFAULT_TOP: usize = 100;
const MILLISECOND: i64 = 1_000_000;

/// One query of a request.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) range: MillisRange,
    /// How far apart points are wished to be.
    pub(super) interval: Step,
    pub(super) ask: Ask,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Metrics(Selection, Metrics),
    Profile(Selection, Profile),
    Both(Selection, Metrics, Profile),
    Diff(Selection, Baseline, Profile),
    Top(Selection, Profile, Top),
    Sql(Sql),
}

/// Which profiles.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// The id of a profile type, or the name of an app: the source decides which of them it takes.
    pub(super) profile_type: String,
    pub(super) selector: Selector,
}

/// What of a profile is compared with.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    pub(super) selector: Selector,
    pub(super) range: MillisRange,
}

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) group_by: Vec<String>,
    pub(super) limit: Option<usize>,
    pub(super) annotations: bool,
    pub(super) exemplars: bool,
    pub(super) heatmap: Option<Individuals>,
    pub(super) frames: FrameFilter,
    pub(super) value: SeriesValue,
}

/// What exemplars and the cells of heat maps are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Individuals {
    Profiles,
    Spans,
}

/// What the values of a series are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SeriesValue {
    /// By second, for what adds up.
    #[default]
    Rate,
    /// The sum of each step.
    Sum,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) max_nodes: usize,
    pub(super) spans: Vec<String>,
    pub(super) traces: Vec<String>,
    pub(super) profiles: Vec<String>,
    /// The functions that a stack begins with.
    pub(super) call_site: Vec<String>,
    pub(super) frames: FrameFilter,
}

impl Profile {
    /// Whether it chooses more narrowly than labels do.
    pub(super) fn is_narrow(&self) -> bool {
        [&self.spans, &self.traces, &self.profiles, &self.call_site]
            .iter()
            .any(|ids| !ids.is_empty())
    }
}

/// Which stacks count, by the functions in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameFilter {
    /// One of these has to be there.
    pub(super) include: Vec<String>,
    /// None of these may be there.
    pub(super) exclude: Vec<String>,
    /// A function has to match one of these.
    pub(super) include_regexes: Vec<String>,
    /// No function may match one of these.
    pub(super) exclude_regexes: Vec<String>,
}

impl FrameFilter {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// By what functions are put in order, and how many are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Top {
    pub(super) sort: Sort,
    pub(super) limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Own,
    Total,
}

#[derive(Clone, Debug)]
pub(super) struct Sql {
    pub(super) statement: String,
    pub(super) format: Format,
}

/// What becomes of the rows of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    TimeSeries,
    FlameGraph,
}

/// The refId of a query, whatever else is in it.
pub(super) fn ref_id(query: &Value) -> String {
    match query.get("refId") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "A".to_owned(),
    }
}

/// Whether a query is switched off in its editor.
pub(super) fn is_hidden(query: &Value) -> bool {
    query.get("hide").and_then(Value::as_bool).unwrap_or(false)
}

impl Query {
    /// Reads a query; `range` is that of the request.
    pub(super) fn read(value: &Value, range: MillisRange, now: Timestamp) -> Result<Self, Error> {
        let fields = Fields::new(value)?;
        let own = fields.object("timeRange", "timeRange.")?;
        let own = own.map(|own| MillisRange::read(&own, now)).transpose()?.flatten();
        let range = own.unwrap_or(range);
        let interval = match fields.whole("intervalMs")? {
            None => 1000,
            Some(millis) if millis > 0 => millis,
            Some(millis) => {
                return Err(Error::request(format!("intervalMs={millis} is not above zero")));
            }
        };
        let interval = interval.checked_mul(MILLISECOND).and_then(Step::from_nanos);
        let interval = interval.ok_or_else(|| Error::request("intervalMs is beyond 292 years"))?;
        let ask = match fields.text("queryType")?.unwrap_or("both") {
            "metrics" => Ask::Metrics(Selection::read(&fields)?, Metrics::read(&fields)?),
            "profile" => Ask::Profile(Selection::read(&fields)?, Profile::read(&fields)?),
            "both" | "" => Ask::Both(
                Selection::read(&fields)?,
                Metrics::read(&fields)?,
                Profile::read(&fields)?,
            ),
            "diff" => {
                let selection = Selection::read(&fields)?;
                let baseline = Baseline::read(&fields, &selection, range, now)?;
                Ask::Diff(selection, baseline, Profile::read(&fields)?)
            }
            "top" => {
                Ask::Top(Selection::read(&fields)?, Profile::read(&fields)?, Top::read(&fields)?)
            }
            "sql" => Ask::Sql(Sql::read(&fields)?),
            other => {
                let what = format!("queryType={} is none", quoted(other));
                let hint = "there are metrics, profile, both, diff, top and sql";
                return Err(Error::request(what).with_hint(hint));
            }
        };
        Ok(Self { range, interval, ask })
    }

    /// How far apart points are: as wished, but not further than the range is long, not nearer than the settings allow, and a
    /// multiple of what the source can tell apart.
    pub(super) fn step(&self, least: MinStep, grain: Step) -> Step {
        // Beyond the range there is nothing to be added up.
        let wished = self.interval.min(self.range.length());
        let (step, of_grain) = (least.bound(wished).nanos(), grain.nanos());
        let whole = step.checked_add(of_grain - 1).map_or(step, |step| step / of_grain * of_grain);
        Step::from_nanos(whole).unwrap_or(grain)
    }
}

impl Selection {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let profile_type = fields.text("profileTypeId")?.unwrap_or_default().trim();
        if profile_type.is_empty() {
            let what = "no profile type is chosen (profileTypeId): without a profile type or an app nothing is asked";
            return Err(Error::request(what).with_hint("choose one in the query editor"));
        }
        if profile_type.len() > MAX_TEXT {
            return Err(too_long("profileTypeId", profile_type));
        }
        if let Some(variable) = variable(profile_type) {
            let profile_type = quoted(profile_type);
            let what =
                format!("profileTypeId={profile_type}: {variable} is a variable without a value");
            return Err(Error::request(what)
                .with_hint("give the variable a value, or choose a profile type"));
        }
        Ok(Self {
            profile_type: profile_type.to_owned(),
            selector: selector(fields, "labelSelector")?,
        })
    }
}

/// A variable of Grafana's that nobody has put a value for: `$name`, `${name}`, `[[name]]`.
fn variable(text: &str) -> Option<&str> {
    let of_brackets = text.find("[[").and_then(|at| {
        let end = text[at..].find("]]")?;
        Some(&text[at..at + end + 2])
    });
    let of_dollar = || {
        text.match_indices('$').find_map(|(at, _)| {
            let rest = &text[at + 1..];
            if rest.starts_with('{') {
                return rest.find('}').map(|end| &text[at..at + end + 2]);
            }
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let is_there = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            is_there.then(|| &text[at..=at + len])
        })
    };
    of_brackets.or_else(of_dollar)
}

/// Names that are none while variables stand in them.
fn check_variables(name: &str, texts: &[String]) -> Result<(), Error> {
    match texts.iter().find_map(|text| variable(text)) {
        Some(found) => {
            let what = format!("{name}: {} is a variable without a value", quoted(found));
            Err(Error::request(what).with_hint("give the variable a value"))
        }
        None => Ok(()),
    }
}

/// The selector of a field; a blank one is `{}`.
fn selector(fields: &Fields<'_>, name: &str) -> Result<Selector, Error> {
    let text = fields.text(name)?.unwrap_or_default();
    let name = fields.named(name);
    let read = match text.len() {
        0..=MAX_SELECTOR => Selector::parse_or_all(text),
        n => {
            return Err(Error::request(format!(
                "{name} has {n} bytes: at most {MAX_SELECTOR} are read"
            )));
        }
    };
    let read = read.and_then(|selector| Filter::new(&selector).map(|_| selector));
    let selector = read.map_err(|error| {
        let text = shown(&Value::from(text));
        let hint = match text.contains('$') {
            true => "is it a variable without a value?",
            false => r#"a selector is such as {service_name="checkout",pod=~"a.*"}"#,
        };
        Error::request(format!("{name}={text}: {}", error.message())).with_hint(hint)
    })?;
    let values: Vec<String> =
        selector.matchers.iter().map(|matcher| matcher.value.clone()).collect();
    check_variables(&name, &values)?;
    match selector.matchers.iter().find(|matcher| matcher.name.starts_with("__")) {
        Some(matcher) => {
            let what = format!("{name}: {} is no label that a profile has", matcher.name);
            Err(Error::request(what).with_hint("the profile type is chosen by profileTypeId"))
        }
        None => Ok(selector),
    }
}

impl Metrics {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let mut group_by: Vec<String> = Vec::new();
        for name in fields.names("groupBy")? {
            if !group_by.contains(&name) {
                group_by.push(name);
            }
        }
        if group_by.len() > MAX_GROUP_BY {
            let n = group_by.len();
            return Err(Error::request(format!(
                "groupBy has {n} labels: at most {MAX_GROUP_BY} are taken"
            )));
        }
        check_variables("groupBy", &group_by)?;
        let limit = match fields.whole("limit")? {
            None | Some(0) => None,
            Some(limit) => Some(
                usize::try_from(limit)
                    .map_err(|_| Error::request(format!("limit={limit} is below zero")))?,
            ),
        };
        let individuals = match fields.text("heatmapType")? {
            Some("span") => Individuals::Spans,
            _ => Individuals::Profiles,
        };
        let value = match fields.text("seriesValue")? {
            None | Some("" | "rate") => SeriesValue::Rate,
            Some("sum") => SeriesValue::Sum,
            Some(other) => {
                return Err(Error::request(format!(
                    "seriesValue={} is neither rate nor sum",
                    quoted(other)
                )));
            }
        };
        Ok(Self {
            group_by,
            limit,
            annotations: fields.flag("annotations")?,
            exemplars: fields.flag("includeExemplars")?,
            heatmap: fields.flag("includeHeatmap")?.then_some(individuals),
            frames: FrameFilter::read(fields)?,
            value,
        })
    }
}

impl Profile {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let max_nodes = match fields.whole("maxNodes")? {
            // An editor that is cleared leaves a 0 behind.
            None | Some(0) => DEFAULT_NODES,
            Some(asked) => {
                usize::try_from(asked).ok().filter(|n| *n <= MAX_NODES).ok_or_else(|| {
                    Error::request(format!("maxNodes={asked} is not from 1 to {MAX_NODES}"))
                })?
            }
        };
        let [spans, traces, profiles] =
            ["spanSelector", "traceIdSelector", "profileIdSelector"].map(|name| fields.names(name));
        let (spans, traces, profiles) = (spans?, traces?, profiles?);
        let chosen = [&spans, &traces, &profiles].iter().filter(|ids| !ids.is_empty()).count();
        if chosen > 1 {
            let what =
                "spanSelector, traceIdSelector and profileIdSelector cannot be used together";
            return Err(Error::request(what).with_hint("clear all of them but one"));
        }
        check_variables("profileIdSelector", &profiles)?;
        check_ids("spanSelector", &spans, 16)?;
        check_ids("traceIdSelector", &traces, 32)?;
        let call_site = fields.texts("stackTraceSelector")?;
        Ok(Self {
            max_nodes,
            spans,
            traces,
            profiles,
            call_site,
            frames: FrameFilter::read(fields)?,
        })
    }
}

fn check_ids(name: &str, ids: &[String], digits: usize) -> Result<(), Error> {
    let is_wrong = |id: &&String| id.len() != digits || !id.bytes().all(|b| b.is_ascii_hexdigit());
    match ids.iter().find(is_wrong) {
        Some(id) => {
            let id = shown(&Value::from(id.as_str()));
            Err(Error::request(format!("{name}: {id} is no id of {digits} hexadecimal digits")))
        }
        None => Ok(()),
    }
}

impl FrameFilter {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let Some(filter) = fields.object("frameFilter", "frameFilter.")? else {
            return Ok(Self::default());
        };
        let regexes = |name: &str| {
            let regexes = filter.texts(name)?;
            for regex in &regexes {
                // Those of selectors are read as those of functions are.
                LabelMatcher::new(&Matcher::regex("function", regex)).map_err(|error| {
                    let (name, regex) = (filter.named(name), quoted(regex));
                    Error::request(format!("{name}: {regex}: {}", error.message()))
                })?;
            }
            Ok::<_, Error>(regexes)
        };
        Ok(Self {
            include: filter.texts("includeFunctionNames")?,
            exclude: filter.texts("excludeFunctionNames")?,
            include_regexes: regexes("includeFunctionNameRegexes")?,
            exclude_regexes: regexes("excludeFunctionNameRegexes")?,
        })
    }
}

impl Baseline {
    fn read(
        fields: &Fields<'_>,
        selection: &Selection,
        range: MillisRange,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let Some(baseline) = fields.object("baseline", "baseline.")? else {
            let what = "baseline is missing: what to compare with";
            let hint = r#"such as {"timeShift": "24h"}, or {"labelSelector": "{version=\"1.4\"}"}"#;
            return Err(Error::request(what).with_hint(hint));
        };
        let shift = baseline.text("timeShift")?.filter(|text| !text.trim().is_empty());
        let own = MillisRange::read(&baseline, now)?;
        let range = match (own, shift) {
            (Some(_), Some(_)) => {
                return Err(Error::request("baseline has from and to, and timeShift as well"));
            }
            (Some(own), None) => own,
            (None, Some(text)) => {
                let shift = MinStep::parse(text)
                    .map_err(|why| Error::request(format!("baseline.timeShift: {why}")))?;
                range.earlier(shift.step())?
            }
            (None, None) => range,
        };
        let selector = match baseline.text("labelSelector")? {
            None => selection.selector.clone(),
            Some(_) => selector(&baseline, "labelSelector")?,
        };
        Ok(Self { selector, range })
    }
}

impl Top {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let sort = match fields.text("sort")? {
            None | Some("" | "self") => Sort::Own,
            Some("total") => Sort::Total,
            Some(other) => {
                return Err(Error::request(format!(
                    "sort={} is neither self nor total",
                    quoted(other)
                )));
            }
        };
        let limit = match fields.whole("limit")? {
            None | Some(0) => DEFAULT_TOP,
            Some(limit) => usize::try_from(limit)
                .map_err(|_| Error::request(format!("limit={limit} is below zero")))?,
        };
        Ok(Self { sort, limit })
    }
}

impl Sql {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let statement = fields.text("rawSql")?.unwrap_or_default();
        if statement.trim().is_empty() {
            return Err(Error::request("rawSql is missing: there is no statement"));
        }
        if statement.len() > MAX_SQL {
            let n = statement.len();
            return Err(Error::request(format!(
                "rawSql has {n} bytes: at most {MAX_SQL} are read"
            )));
        }
        let format = match fields.text("format")? {
            None | Some("" | "table") => Format::Table,
            Some("time_series") => Format::TimeSeries,
            Some("flamegraph") => Format::FlameGraph,
            Some(other) => {
                let what = format!("format={} is none", quoted(other));
                return Err(
                    Error::request(what).with_hint("there are table, time_series and flamegraph")
                );
            }
        };
        Ok(Self { statement: statement.to_owned(), format })
    }
}
