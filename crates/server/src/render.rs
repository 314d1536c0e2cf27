//! The plain HTTP endpoints of flame graphs, `/pyroscope/render` and what goes with it: GETs that answer in JSON.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State},
};
use flamesql_backend::{Bins, GroupBy, Grouping, Only, Select};
use flamesql_profile::{ProfileType, Series, Step, Timestamp, flamebearer::DiffLevels, parse_time};
use flamesql_selector::{MatchOp, RegexBudget, Selector};
use serde_json::{Map, Value, json};

use crate::{
    Guise, Served,
    fault::{Code, Fault},
    private::{self, Parted},
    question::{Millis, max_nodes, now_millis, profile_type},
    served::report,
    stacks::{graph_of, merged},
};

const MILLIS: i64 = 1_000_000;
const NAME: &str = "__name__";

type Parameters = Query<Vec<(String, String)>>;

pub(crate) async fn render(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Fault> {
    if value(&parameters, "format") == Some("dot") {
        return Err(Fault::new(Code::Unimplemented, "format=dot is not implemented"));
    }
    let names = ["query", "from", "until"];
    let side = Side::new(&served, &parameters, names, &mut served.options().regex_budget())?;
    let max_nodes = nodes(&parameters)?;
    let tree = side.tree(&served).await?;
    let graph = graph_of(&tree, max_nodes)?;
    let group_by: Vec<String> = parameters
        .iter()
        .filter(|(name, value)| name == "groupBy" && !value.is_empty())
        .map(|(_, value)| value.clone())
        .collect();
    let (timeline, groups) = side.timeline(&served, group_by).await?;
    let levels: Vec<Vec<i64>> = graph.levels.into_iter().map(|level| level.values).collect();
    Ok(Json(json!({
        "version": 1,
        "flamebearer": {
            "names": graph.names,
            "levels": levels,
            "numTicks": graph.total,
            "maxSelf": graph.max_self,
        },
        "metadata": side.metadata("single"),
        "timeline": timeline,
        "groups": groups,
        "heatmap": null,
    })))
}

pub(crate) async fn render_diff(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Fault> {
    let mut budget = served.options().regex_budget();
    let left = ["leftQuery", "leftFrom", "leftUntil"];
    let left = Side::new(&served, &parameters, left, &mut budget)?;
    let right = ["rightQuery", "rightFrom", "rightUntil"];
    let right = Side::new(&served, &parameters, right, &mut budget)?;
    if left.profile_type != right.profile_type {
        return Err(Fault::invalid("profile types must match"));
    }
    let max_nodes = nodes(&parameters)?;
    let trees = futures::future::try_join(left.tree(&served), right.tree(&served)).await?;
    let graph = DiffLevels::encode(&trees.0, &trees.1, max_nodes)?;
    Ok(Json(json!({
        "version": 1,
        "flamebearer": {
            "names": graph.names,
            "levels": graph.levels,
            "numTicks": graph.total()?,
            "maxSelf": graph.max_self,
        },
        "metadata": left.metadata("double"),
        "timeline": null,
        "groups": null,
        "heatmap": null,
        "leftTicks": graph.left_ticks,
        "rightTicks": graph.right_ticks,
    })))
}

/// Of the label `__name__`, which here is the type, alone; any other label is asked for by a method of its own.
pub(crate) async fn label_values(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Fault> {
    match value(&parameters, "label") {
        None | Some("") => Err(Fault::invalid("label parameter is required")),
        Some(NAME) => {
            let millis = Millis::or_last_hour(0, 0, served.options())?;
            let types = served.backend().profile_types(millis.range()).await?;
            Ok(Json(types.iter().map(|known| Value::from(known.as_str())).collect()))
        }
        Some(other) => Err(Fault::invalid(format!(
            "label={other}: only label={NAME} is listed here; ask LabelValues for all others"
        ))),
    }
}

/// The last value that is given for a parameter.
fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What is no number is passed over, as Pyroscope does.
fn nodes(parameters: &[(String, String)]) -> Result<usize, Fault> {
    let asked = value(parameters, "maxNodes").or_else(|| value(parameters, "max-nodes"));
    max_nodes(asked.and_then(|text| text.parse().ok()), Guise::V2)
}

/// A query with its range.
struct Side {
    profile_type: ProfileType,
    /// `None` if nothing can be found.
    select: Option<Select>,
    millis: Millis,
}

impl Side {
    fn new(
        served: &Served,
        parameters: &[(String, String)],
        [query, from, until]: [&str; 3],
        budget: &mut RegexBudget,
    ) -> Result<Self, Fault> {
        let text = value(parameters, query).unwrap_or_default();
        if text.is_empty() {
            return Err(Fault::invalid(format!("query is required: {query} is missing")));
        }
        let parsed = Selector::parse(text)
            .map_err(|error| Fault::invalid(format!("failed to parse {query}: {error}")))?;
        let (mut id, mut selector) = (None, Selector::all());
        for matcher in parsed.matchers {
            match (matcher.name.as_str(), matcher.op) {
                (NAME, MatchOp::Equal) if id.is_none() => id = Some(matcher.value),
                _ => selector.push(matcher),
            }
        }
        let id = id.ok_or_else(|| {
            Fault::invalid(format!("{query} must begin with a profile type, such as process_cpu:cpu:nanoseconds:cpu:nanoseconds{{}}"))
        })?;
        let profile_type = profile_type(&id)?;
        let now = now_millis();
        let time = |name: &str| match value(parameters, name) {
            None | Some("") => Ok(now),
            Some(text) => parse_time(text, Timestamp::from_nanos(now.saturating_mul(MILLIS)))
                .map(|time| time.nanos().div_euclid(MILLIS))
                .map_err(|error| Fault::invalid(format!("{name}: {error}"))),
        };
        let millis = Millis::new(time(from)?, time(until)?, served.options())?;
        let parted = Parted::new(selector, budget)?;
        let range = millis.range();
        let select = parted.of(&profile_type).map(|selector| {
            let mut select = Select::new(profile_type.clone(), selector.clone(), range);
            select.exact_end = Some(range.end());
            select
        });
        Ok(Self { profile_type, select, millis })
    }

    async fn tree(&self, served: &Served) -> Result<flamesql_profile::StackTree, Fault> {
        match &self.select {
            Some(select) => merged(served, select.clone()).await,
            None => Ok(flamesql_profile::StackTree::default()),
        }
    }

    fn metadata(&self, format: &str) -> Value {
        let kind = self.profile_type.sample_type();
        let units = match kind {
            "inuse_objects" | "alloc_objects" | "goroutine" | "samples" => "objects",
            // Nanoseconds are samples of a rate of 10^9 a second.
            "cpu" => "samples",
            _ => self.profile_type.sample_unit(),
        };
        json!({
            "format": format,
            "spyName": "",
            "sampleRate": if kind == "cpu" { 1_000_000_000 } else { 100 },
            "units": units,
            "name": kind,
        })
    }

    /// Values over time of all at once, and by the value of the first label to group by.
    async fn timeline(
        &self,
        served: &Served,
        group_by: Vec<String>,
    ) -> Result<(Value, Value), Fault> {
        let line = Line::new(self.millis);
        let Some(select) = &self.select else { return Ok((line.shown(&[]), Value::Null)) };
        let mut select = select.clone();
        select.range = line.range();
        select.only = Only::All;
        let first = group_by.first().cloned();
        let grouping = Grouping {
            labels: GroupBy::Labels(private::grouping(&group_by)),
            time: Bins::Every { step: line.step(), origin: Timestamp::from_nanos(0) },
        };
        let answer = served.backend().series(&select, &grouping, &report()).await?;
        let Some(first) = first else { return Ok((line.shown(&answer.series), Value::Null)) };
        let mut groups: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for series in &answer.series {
            let labels = private::with_private(&self.profile_type, &series.labels);
            let key = labels.get(&first).unwrap_or("*").to_owned();
            groups.entry(key).or_default().push(series.clone());
        }
        let groups: Map<String, Value> =
            groups.into_iter().map(|(key, series)| (key, line.shown(&series))).collect();
        Ok((line.shown(&answer.series), groups.into()))
    }
}

/// A row of bins of equal width, in seconds.
#[derive(Clone, Copy)]
struct Line {
    start: i64,
    end: i64,
    step: i64,
}

/// The widths of bins, each up to a width for 1,500 of them; in seconds.
const WIDTHS: [(f64, i64); 19] = [
    (17.5, 15),
    (25.0, 20),
    (45.0, 30),
    (90.0, 60),
    (210.0, 120),
    (450.0, 300),
    (750.0, 600),
    (1050.0, 900),
    (1500.0, 1200),
    (2700.0, 1800),
    (5400.0, 3600),
    (9000.0, 7200),
    (16_200.0, 10_800),
    (32_400.0, 21_600),
    (86_400.0, 43_200),
    (604_800.0, 86_400),
    (1_814_400.0, 604_800),
    (3_628_800.0, 2_592_000),
    (f64::INFINITY, 31_536_000),
];

impl Line {
    fn new(millis: Millis) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a width is one of a few")]
        let raw = (millis.end - millis.start) as f64 / 1000.0 / 1500.0;
        let step = WIDTHS.iter().find(|(bound, _)| raw <= *bound).map_or(15, |(_, step)| *step);
        let floor = |millis: i64| millis.div_euclid(1000).div_euclid(step) * step;
        Self { start: floor(millis.start), end: floor(millis.end), step }
    }

    fn range(&self) -> flamesql_profile::TimeRange {
        let end = self.end.saturating_mul(1000 * MILLIS);
        crate::question::between(self.start.saturating_mul(1000), end)
    }

    fn step(&self) -> Step {
        Step::from_nanos(self.step * 1000 * MILLIS).expect("it is 15 s at least")
    }

    fn shown(&self, series: &[Series]) -> Value {
        let mut samples =
            vec![0_i64; usize::try_from((self.end - self.start) / self.step).unwrap_or(0)];
        for point in series.iter().flat_map(|series| &series.points) {
            let at = (point.time.nanos().div_euclid(1000 * MILLIS) - self.start) / self.step;
            let slot = usize::try_from(at).ok().and_then(|at| samples.get_mut(at));
            if let Some(slot) = slot {
                *slot = slot.saturating_add(point.value);
            }
        }
        json!({
            "startTime": self.start,
            "samples": samples,
            "durationDelta": self.step,
            "watermarks": null,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_bins() {
        const DAY: i64 = 86_400;
        for (seconds, step) in [
            (1, 15),
            (3600, 15),
            (7 * DAY, 300),
            (30 * DAY, 1800),
            (180 * DAY, 10_800),
            (360 * DAY, 21_600),
            (720 * DAY, 43_200),
            (1800 * DAY, 86_400),
        ] {
            let millis = Millis {
                start: 1_700_000_000_000,
                end: 1_700_000_000_000 + seconds * 1000,
                guise: Guise::V2,
            };
            assert_eq!(Line::new(millis).step, step, "{seconds} s");
        }
    }
}
