//! Manners of the legacy server (Pyroscope 0.x), for tests: other paths, buckets of ten seconds, timelines whose values
//! are one too large, errors as text. Its profile types are apps.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use flamesql_backend::{Bins, GroupBy, Grouping, MetaQuery, Select};
use flamesql_profile::{
    ProfileType, StackTree, Step, TimeRange, Timestamp, flamebearer::DiffLevels, folded,
    parse_time, pprof,
};
use flamesql_selector::{Selector, flameql};
use serde_json::{Value, json};

use crate::{
    Served,
    fault::Fault,
    question::{between, now_millis},
    served::report,
    stacks::{graph_of, merged},
};

const NANOS: i64 = 1_000_000_000;
/// What a profile's time is floored to, in seconds.
const BUCKET: i64 = 10;
const DEFAULT_NODES: usize = 8192;
const NAME: &str = "__name__";
/// What it says of each app.
const SPY: (&str, u32) = ("gospy", 100);

type Parameters = Query<BTreeMap<String, String>>;

/// All that it serves.
pub(crate) fn routes() -> Router<Served> {
    Router::new()
        .route("/api/apps", get(apps))
        .route("/labels", get(labels))
        .route("/label-values", get(label_values))
        .route("/render", get(render))
        .route("/render-diff", get(render_diff))
        .route("/healthz", get(|| async { text(StatusCode::OK, "server is ready") }))
        .route("/build", get(build))
}

/// What is not served is a page for the browser, which is not there either.
pub(crate) async fn unknown() -> Response {
    let reason = "open webapp/public/index.html: no such file or directory";
    let reason = format!("could not find file /index.html: {reason:?}");
    text(StatusCode::NOT_FOUND, format!("could not render index page: {reason:?}\n"))
}

/// Why there is no answer, as text.
enum Failed {
    Parameter(String),
    Retrieve(String),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Retrieve(fault.to_string())
    }
}

impl From<flamesql_backend::Error> for Failed {
    fn from(error: flamesql_backend::Error) -> Self {
        Self::Retrieve(error.to_string())
    }
}

impl From<flamesql_profile::Error> for Failed {
    fn from(error: flamesql_profile::Error) -> Self {
        Self::Retrieve(error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Parameter(reason) => {
                text(StatusCode::BAD_REQUEST, format!("invalid parameter: {reason:?}\n"))
            }
            Self::Retrieve(reason) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                text(status, format!("failed to retrieve data: {reason:?}\n"))
            }
        }
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text.into()).into_response()
}

/// JSON, of which it does not say that it is.
fn list(value: &Value) -> Response {
    text(StatusCode::OK, value.to_string())
}

async fn build(State(served): State<Served>) -> impl IntoResponse {
    Json(json!({"version": format!("flamesql-{}", served.options().version)}))
}

async fn known(served: &Served) -> Result<Vec<ProfileType>, Failed> {
    Ok(served.backend().profile_types(TimeRange::ALL).await?)
}

fn units(app: &ProfileType) -> &str {
    if app.sample_unit().is_empty() { "samples" } else { app.sample_unit() }
}

async fn apps(State(served): State<Served>) -> Result<Response, Failed> {
    let (spy, rate) = SPY;
    let app = |app: &ProfileType| json!({"name": app.as_str(), "spyName": spy, "sampleRate": rate, "units": units(app)});
    Ok(list(&known(&served).await?.iter().map(app).collect()))
}

/// An app with a selector; of none at all, everything.
fn asked(parameters: &BTreeMap<String, String>) -> Result<MetaQuery, Failed> {
    let (profile_type, selector) = match parameters.get("query") {
        None => (None, Selector::all()),
        Some(query) => {
            let (app, selector) = parsed(query)?;
            (Some(app), selector)
        }
    };
    // Names are those of any time.
    Ok(MetaQuery { profile_type, selector, range: TimeRange::ALL })
}

fn parsed(query: &str) -> Result<(ProfileType, Selector), Failed> {
    let parsed = flameql::parse(query);
    let (app, selector) = parsed.map_err(|error| Failed::Parameter(format!("query: {error}")))?;
    Ok((ProfileType::app(&app), selector))
}

async fn labels(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Response, Failed> {
    let mut names: BTreeSet<String> = [NAME.to_owned()].into();
    names.extend(served.backend().label_names(&asked(&parameters)?).await?);
    Ok(list(&json!(names)))
}

async fn label_values(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Response, Failed> {
    match parameters.get("label").map(String::as_str) {
        None | Some("") => Err(Failed::Parameter("label parameter is required".to_owned())),
        Some(NAME) => {
            Ok(list(&known(&served).await?.iter().map(|app| Value::from(app.as_str())).collect()))
        }
        Some(label) => {
            Ok(list(&json!(served.backend().label_values(label, &asked(&parameters)?).await?)))
        }
    }
}

/// What is asked of an app in a range.
struct Asked {
    query: String,
    select: Select,
    /// In seconds, as they were given.
    from: i64,
    until: i64,
}

impl Asked {
    fn new(
        parameters: &BTreeMap<String, String>,
        [query, from, until]: [&str; 3],
    ) -> Result<Self, Failed> {
        let Some(text) = parameters.get(query) else {
            return Err(Failed::Parameter(format!("'{query}' or 'name' parameter is required")));
        };
        let (app, selector) = parsed(text)?;
        let time = |name: &str, default: &str| {
            seconds(parameters.get(name).map_or(default, String::as_str))
        };
        let (from, until) = (time(from, "now-1h")?, time(until, "now")?);
        let mut asked = Self {
            query: text.clone(),
            select: Select::new(app, selector, TimeRange::ALL),
            from,
            until,
        };
        let (start, end) = asked.buckets();
        asked.select.range = between(start * 1000, end.saturating_mul(NANOS));
        Ok(asked)
    }

    /// All buckets that the range touches, whole.
    fn buckets(&self) -> (i64, i64) {
        let start = self.from.div_euclid(BUCKET) * BUCKET;
        (start, ((self.until + BUCKET - 1).div_euclid(BUCKET) * BUCKET).max(start))
    }

    async fn tree(&self, served: &Served) -> Result<StackTree, Failed> {
        Ok(merged(served, self.select.clone()).await?)
    }

    /// The sums of buckets, by the value of a label.
    async fn sums(
        &self,
        served: &Served,
        label: Option<&String>,
    ) -> Result<BTreeMap<Option<String>, BTreeMap<i64, i64>>, Failed> {
        let step = Step::from_nanos(BUCKET * NANOS).expect("it is above 0");
        let grouping = Grouping {
            labels: GroupBy::Labels(label.cloned().into_iter().collect()),
            time: Bins::Every { step, origin: Timestamp::from_nanos(0) },
        };
        let answer = served.backend().series(&self.select, &grouping, &report()).await?;
        let mut groups: BTreeMap<_, BTreeMap<i64, i64>> = BTreeMap::new();
        for series in answer.series {
            let value = label.and_then(|label| series.labels.get(label)).map(str::to_owned);
            let sums = groups.entry(value).or_default();
            for point in series.points {
                let at = point.time.nanos().div_euclid(BUCKET * NANOS) * BUCKET;
                *sums.entry(at).or_default() += point.value;
            }
        }
        Ok(groups)
    }

    /// A timeline in steps of ten seconds, a hundred, and so on; 0 is no data, and all else is one more than the sum.
    fn timeline(&self, sums: &BTreeMap<i64, i64>) -> Value {
        // Steps are counted from the first day of the year 1.
        const BEFORE: i64 = 62_135_596_800;
        let (start, end) = self.buckets();
        let mut step = BUCKET;
        while step * 10 * 1024 < end - start {
            step *= 10;
        }
        let mut samples = vec![0_i64; usize::try_from((end - start) / step).unwrap_or(0)];
        for (bucket, sum) in sums {
            let at = (bucket + BEFORE).div_euclid(step) * step - BEFORE;
            // Towards zero, so that a step that begins before the range is drawn as the first.
            let sample = usize::try_from((at - start) / step).ok();
            if let Some(sample) = sample.and_then(|at| samples.get_mut(at)) {
                *sample = (*sample).max(1).saturating_add(*sum);
            }
        }
        json!({"startTime": start, "samples": samples, "durationDelta": step, "watermarks": {}})
    }
}

/// A time in whole seconds. A number is of seconds, unless it is too long for that.
fn seconds(text: &str) -> Result<i64, Failed> {
    let bad = || Failed::Parameter(format!("{text:?} is no time"));
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        let number: i64 = text.parse().map_err(|_| bad())?;
        let unit = match text.len() {
            13 => 1000,
            16 => 1_000_000,
            19 => NANOS,
            _ => 1,
        };
        return Ok((number / unit).min(i64::MAX / NANOS / BUCKET * BUCKET));
    }
    let now = Timestamp::from_nanos(now_millis().saturating_mul(1_000_000));
    Ok(parse_time(text, now).map_err(|_| bad())?.nanos().div_euclid(NANOS))
}

fn max_nodes(parameters: &BTreeMap<String, String>) -> usize {
    let asked = parameters.get("max-nodes").or_else(|| parameters.get("maxNodes"));
    asked.and_then(|text| text.parse().ok()).filter(|n| *n > 0).unwrap_or(DEFAULT_NODES)
}

async fn render(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Response, Failed> {
    let asked = Asked::new(&parameters, ["query", "from", "until"])?;
    let file =
        |bytes: Vec<u8>| ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response();
    match parameters.get("format").map(String::as_str) {
        None => Ok(StatusCode::OK.into_response()),
        Some("json") => flame_graph(&served, &asked, &parameters).await,
        Some("pprof") => {
            let tree = asked.tree(&served).await?;
            let samples = ProfileType::app("samples");
            let profile = pprof::Profile::from_tree(&samples, &tree, Timestamp::from_nanos(0), 0)?;
            Ok(file(pprof::encode(&profile)))
        }
        Some("collapsed") => {
            let mut lines = Vec::new();
            folded::encode(&asked.tree(&served).await?, &mut lines)
                .map_err(|error| Failed::Retrieve(error.to_string()))?;
            Ok(file(lines))
        }
        Some(_) => Err(Failed::Parameter("unknown format".to_owned())),
    }
}

async fn flame_graph(
    served: &Served,
    asked: &Asked,
    parameters: &BTreeMap<String, String>,
) -> Result<Response, Failed> {
    let max_nodes = max_nodes(parameters);
    let graph = graph_of(&asked.tree(served).await?, max_nodes)?;
    let whole = asked.sums(served, None).await?.remove(&None).unwrap_or_default();
    let timeline = asked.timeline(&whole);
    let groups: BTreeMap<String, Value> = match parameters.get("groupBy") {
        Some(label) => {
            let groups = asked.sums(served, Some(label)).await?.into_iter();
            groups.filter_map(|(value, sums)| Some((value?, asked.timeline(&sums)))).collect()
        }
        None if whole.is_empty() => BTreeMap::new(),
        None => [("*".to_owned(), timeline.clone())].into(),
    };
    let app = &asked.select.profile_type;
    let listed = known(served).await?.into_iter().find(|known| known.matches(app));
    let (spy, rate) = if whole.is_empty() { ("", 0) } else { SPY };
    let units = if whole.is_empty() { "" } else { listed.as_ref().map_or("", units) };
    // In whole seconds.
    let start = Timestamp::from_nanos(asked.from.saturating_mul(NANOS)).to_string();
    let start = start.replace(".000000000", "");
    let levels: Vec<Vec<i64>> = graph.levels.into_iter().map(|level| level.values).collect();
    let answer = json!({
        "version": 1,
        "flamebearer": {
            "names": graph.names,
            "levels": levels,
            "numTicks": graph.total,
            "maxSelf": graph.max_self,
        },
        "timeline": timeline,
        "groups": groups,
        "heatmap": null,
        "metadata": {
            "format": "single",
            "spyName": spy,
            "sampleRate": rate,
            "units": units,
            "name": format!("{} {start}", app.as_str()),
            "appName": app.as_str(),
            "startTime": asked.from,
            "endTime": asked.until,
            "query": asked.query,
            "maxNodes": max_nodes,
        },
        "annotations": [],
    });
    Ok(Json(answer).into_response())
}

async fn render_diff(
    State(served): State<Served>,
    Query(parameters): Parameters,
) -> Result<Response, Failed> {
    let left = Asked::new(&parameters, ["leftQuery", "leftFrom", "leftUntil"])?;
    let right = Asked::new(&parameters, ["rightQuery", "rightFrom", "rightUntil"])?;
    let trees = (left.tree(&served).await?, right.tree(&served).await?);
    let graph = DiffLevels::encode(&trees.0, &trees.1, max_nodes(&parameters))?;
    let total = graph.total()?;
    let names = [&left, &right].map(|side| side.select.profile_type.as_str());
    Ok(Json(json!({
        "version": 1,
        "flamebearer": {
            "names": graph.names,
            "levels": graph.levels,
            "numTicks": total,
            "maxSelf": graph.max_self,
        },
        "timeline": null,
        "groups": null,
        "heatmap": null,
        "leftTicks": graph.left_ticks,
        "rightTicks": graph.right_ticks,
        "metadata": {
            "format": "double",
            "spyName": SPY.0,
            "sampleRate": SPY.1,
            "units": "samples",
            "name": "diff",
            "appName": format!("diff_{}", names.join("_")),
            "startTime": left.from,
            "endTime": left.until,
            "query": "",
            "maxNodes": 0,
        },
    }))
    .into_response())
}
