//! Queries: what Grafana's editors ask, as statements of the engine, and their answers as frames.
//!
//! Each query of a request is read, asked and answered by itself, several at a time: what is wrong with one spoils no other.

mod asked;
mod flamegraph;
mod json;
mod macros;
mod marks;
mod model;
mod range;
mod response;
mod series;
mod sql;
mod table;

use flamesql_engine::{Session, SessionOptions};
use flamesql_frame::{Frame, FrameMeta, Notice, Severity, Visualisation};
use flamesql_profile::{ProfileType, Timestamp};
use futures::{StreamExt, stream};
use serde_json::Value;

pub(crate) use self::macros::MACROS;
use self::{
    asked::Asked,
    model::{Ask, Baseline, Metrics, Profile, Query, Selection, SeriesValue, Sql, Top},
    series::{Shown, Steps},
};
pub use self::{
    range::MillisRange,
    response::{QueryResponse, QueryResult},
};
use crate::{
    DataSource, Error, ErrorKind, Opened,
    metadata::{Rate, unit_of},
    names::now,
};

/// How many queries of one request are under way at a time.
const AT_ONCE: usize = 8;
/// How much memory sorting and grouping of one query may take before they go on in files.
const MEMORY: usize = 1 << 30;
/// How many queries a request may have.
const MAX_QUERIES: usize = 1000;

/// Queries over one range of time.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    range: MillisRange,
    queries: Vec<Value>,
}

impl QueryRequest {
    /// Queries as their editors wrote them.
    ///
    /// # Errors
    ///
    /// If there are none, or more than a thousand.
    pub fn new(range: MillisRange, queries: Vec<Value>) -> Result<Self, Error> {
        match queries.len() {
            0 => Err(Error::request("there are no queries")),
            n if n > MAX_QUERIES => {
                Err(Error::request(format!("{n} queries: at most {MAX_QUERIES} are answered")))
            }
            _ => Ok(Self { range, queries }),
        }
    }

    /// Reads the body of `POST /api/ds/query`: `queries`, `from` and `to`.
    ///
    /// # Errors
    ///
    /// If it is no such object; what is wrong with one of the queries is told in its answer.
    pub fn read(body: &[u8]) -> Result<Self, Error> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Error::request(format!("the request is no JSON: {error}")))?;
        let fields = json::Fields::new(&body)?;
        let range = MillisRange::read(&fields, now())?;
        let range = range.ok_or_else(|| Error::request("from and to are missing"))?;
        match body.get("queries") {
            Some(Value::Array(queries)) => Self::new(range, queries.clone()),
            _ => Err(Error::request("queries is missing, or no list")),
        }
    }

    /// The queries, by the data source that each names: `datasource.uid`, or `datasource` as a text.
    ///
    /// # Errors
    ///
    /// If a query names it in another way.
    pub fn by_source(self) -> Result<Vec<(Option<String>, Self)>, Error> {
        let mut parts: Vec<(Option<String>, Self)> = Vec::new();
        for query in self.queries {
            let named = match query.get("datasource") {
                None | Some(Value::Null) => None,
                Some(Value::Object(source)) => source.get("uid").filter(|uid| !uid.is_null()),
                named => named,
            };
            let uid = match named {
                None => None,
                Some(Value::String(uid)) => Some(uid.clone()),
                Some(other) => {
                    let (ref_id, shown) = (model::ref_id(&query), json::shown(other));
                    let what = format!(
                        "datasource of {ref_id:?} is to be {{\"uid\": \"...\"}}, not {shown}"
                    );
                    return Err(Error::request(what));
                }
            };
            match parts.iter_mut().find(|(known, _)| *known == uid) {
                Some((_, part)) => part.queries.push(query),
                None => parts.push((uid, Self { range: self.range, queries: vec![query] })),
            }
        }
        Ok(parts)
    }

    /// The refIds of all queries that are not hidden.
    pub fn ref_ids(&self) -> impl Iterator<Item = String> + '_ {
        self.queries.iter().filter(|query| !model::is_hidden(query)).map(model::ref_id)
    }
}

impl DataSource {
    /// Answers the queries of a request. Those that are hidden are passed over.
    ///
    /// ```
    /// use flamesql_datasource::{Allow, DataSource, InstanceSettings, QueryRequest, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("cpu.folded"), "main;work 3\n")?;
    /// # let url = format!("file://{}", folder.path().display());
    /// # let instance = InstanceSettings { url, ..InstanceSettings::default() };
    /// # let source = DataSource::new(Settings::read(&instance, Allow::Files)?);
    /// let body = br#"{"from": "now-1h", "to": "now", "queries": [
    ///     {"refId": "A", "queryType": "sql", "rawSql": "SELECT 1 AS one"},
    ///     {"refId": "B", "queryType": "profile"}]}"#;
    /// let answer = source.query(QueryRequest::read(body)?).await;
    /// assert_eq!(answer.results["A"].frames.as_ref().unwrap()[0].n_rows(), 1);
    /// assert_eq!(answer.results["B"].status(), 400);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn query(&self, request: QueryRequest) -> QueryResponse {
        let now = now();
        let range = request.range;
        let queries = request.queries.into_iter().filter(|query| !model::is_hidden(query));
        let answers = queries.map(|query| async move {
            let ref_id = model::ref_id(&query);
            let frames = self.answer_query(&query, range, now).await.map(|mut frames| {
                frames.iter_mut().for_each(|frame| frame.ref_id.clone_from(&ref_id));
                frames
            });
            (ref_id, QueryResult { frames })
        });
        let mut answers = stream::iter(answers).buffered(AT_ONCE);
        let mut response = QueryResponse::default();
        while let Some((ref_id, result)) = answers.next().await {
            response.put(ref_id, result);
        }
        response
    }

    async fn answer_query(
        &self,
        query: &Value,
        range: MillisRange,
        now: Timestamp,
    ) -> Result<Vec<Frame>, Error> {
        let query = Query::read(query, range, now)?;
        let opened = self.opened().await?;
        let run = Run::new(self, opened, &query, now)?;
        match &query.ask {
            Ask::Metrics(selection, metrics) => run.metrics(selection, metrics).await,
            Ask::Profile(selection, profile) => run.profile(selection, profile).await,
            Ask::Both(selection, metrics, profile) => {
                // The first that fails ends the other.
                let both = futures::future::try_join(
                    run.metrics(selection, metrics),
                    run.profile(selection, profile),
                );
                let (mut frames, graph) = both.await?;
                if profile.is_narrow()
                    && let Some(first) = frames.first_mut()
                {
                    let text = "spans, traces, profiles and call sites choose for the flame graph alone: the series is of all samples";
                    let notice = Notice { severity: Severity::Info, text: text.to_owned() };
                    first.meta.get_or_insert_with(FrameMeta::default).notices.push(notice);
                }
                frames.extend(graph);
                Ok(frames)
            }
            Ask::Diff(selection, baseline, profile) => run.diff(selection, baseline, profile).await,
            Ask::Top(selection, profile, top) => run.top(selection, profile, *top).await,
            Ask::Sql(sql) => run.sql(sql).await,
        }
    }
}

/// One query that is being answered.
struct Run<'a> {
    source: &'a DataSource,
    opened: &'a Opened,
    query: &'a Query,
    session: Session,
    now: Timestamp,
}

impl<'a> Run<'a> {
    fn new(
        source: &'a DataSource,
        opened: &'a Opened,
        query: &'a Query,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let range = query.range.half_open();
        let mut options = SessionOptions::default();
        (options.from, options.to) =
            (Some(range.start().to_string()), Some(range.end().to_string()));
        options.memory_limit = Some(MEMORY);
        let session = opened.engine().session_with(&options)?;
        Ok(Self { source, opened, query, session, now })
    }

    fn profile_type(&self, selection: &Selection) -> Result<ProfileType, Error> {
        let text = &selection.profile_type;
        if self.opened.has_apps() {
            return Ok(ProfileType::app(text));
        }
        ProfileType::parse(text).map_err(|error| {
            let what = format!("profileTypeId={text:?}: {error}");
            Error::request(what).with_hint("such as process_cpu:cpu:nanoseconds:cpu:nanoseconds")
        })
    }

    fn chosen(&self, selection: &Selection, range: flamesql_profile::TimeRange) -> String {
        sql::chosen(&selection.profile_type, &selection.selector, range)
    }

    async fn profile(&self, selection: &Selection, profile: &Profile) -> Result<Vec<Frame>, Error> {
        let unit = unit_of(&self.profile_type(selection)?);
        let chosen = self.chosen(selection, self.query.range.half_open());
        let asked = Asked::ask(&self.session, sql::flame_graph(&chosen, profile)).await?;
        Ok(vec![flamegraph::frame(&asked, &unit, profile.max_nodes)?])
    }

    async fn diff(
        &self,
        selection: &Selection,
        baseline: &Baseline,
        profile: &Profile,
    ) -> Result<Vec<Frame>, Error> {
        let unit = unit_of(&self.profile_type(selection)?);
        let comparison = self.chosen(selection, self.query.range.half_open());
        let range = baseline.range.half_open();
        let baseline = sql::chosen(&selection.profile_type, &baseline.selector, range);
        let asked =
            Asked::ask(&self.session, sql::flame_graphs(&baseline, &comparison, profile)).await?;
        Ok(vec![flamegraph::diff_frame(&asked, &unit, profile.max_nodes)?])
    }

    async fn top(
        &self,
        selection: &Selection,
        profile: &Profile,
        top: Top,
    ) -> Result<Vec<Frame>, Error> {
        let unit = unit_of(&self.profile_type(selection)?);
        if !profile.call_site.is_empty() || !profile.frames.is_empty() {
            let what = "stackTraceSelector and frameFilter do not choose for queryType=top";
            return Err(Error::request(what).with_hint("queryType=sql over the table samples does"));
        }
        let chosen = self.chosen(selection, self.query.range.half_open());
        let asked = Asked::ask(&self.session, sql::top(&chosen, profile, top)).await?;
        let (batches, is_cut) = asked.first(top.limit);
        let mut frame = Frame::of_batches("response", &asked.schema, &batches)?;
        for idx in 1..3 {
            if let Some(mut field) = frame.field_mut(idx) {
                field.config_mut().unit = Some(unit.to_string());
            }
        }
        frame.meta = Some(FrameMeta {
            preferred_visualisation: Some(Visualisation::Table),
            ..FrameMeta::default()
        });
        asked.tell(&mut frame);
        if is_cut && let Some(meta) = &mut frame.meta {
            let text = format!("there are more functions than {} (limit)", top.limit);
            meta.notices.push(Notice { severity: Severity::Info, text });
        }
        Ok(vec![frame])
    }

    async fn sql(&self, sql: &Sql) -> Result<Vec<Frame>, Error> {
        let least = self.source.settings().min_step.clone().unwrap_or_default();
        let step = self.query.step(least, self.grain());
        let statement = macros::expand(&sql.statement, self.query.range, step)?;
        let asked = Asked::ask(&self.session, statement).await?;
        table::frames(&asked, sql.format)
    }

    fn grain(&self) -> flamesql_profile::Step {
        self.opened.backend().capabilities().grain
    }

    async fn metrics(&self, selection: &Selection, metrics: &Metrics) -> Result<Vec<Frame>, Error> {
        let profile_type = self.profile_type(selection)?;
        let least = self.source.settings().min_step.clone()?;
        if metrics.heatmap.is_some() {
            let what = "includeHeatmap: heat maps are not made into frames yet";
            return Err(Error::new(
                ErrorKind::Source(flamesql_backend::ErrorKind::Unsupported),
                what,
            )
            .with_hint("queryType=sql over the table heatmap has their cells"));
        }
        let step = self.query.step(least, self.grain());
        let steps = Steps::of(self.query.range, step, self.grain(), self.now);
        let chosen = self.chosen(selection, steps.range);
        let series_sql =
            sql::series(&chosen, &metrics.frames, &metrics.group_by, step, steps.origin());
        let asked = Asked::ask(&self.session, series_sql).await?;
        let shown = match metrics.value {
            SeriesValue::Rate => Shown::Rate(Rate::of(&profile_type, steps.step())),
            SeriesValue::Sum => Shown::Sum(unit_of(&profile_type)),
        };
        let all = series::collect(&asked, &metrics.group_by, steps);
        let (kept, n_left_out) = series::largest(all, metrics.limit);
        let chosen = self.chosen(selection, self.query.range.half_open());
        let (exemplars, annotations) = futures::join!(
            self.marks(metrics.exemplars, marks::exemplars_sql(&chosen)),
            self.marks(metrics.annotations, marks::annotations_sql(&chosen)),
        );
        let mut notices: Vec<Notice> = Vec::new();
        let mut exemplars = match exemplars {
            Ok(Some(asked)) => marks::exemplars(&asked, &metrics.group_by, &shown)?,
            Ok(None) => Default::default(),
            Err(error) => {
                notices.push(warning(format!("there are no exemplars: {error}")));
                Default::default()
            }
        };
        let mut frames = Vec::new();
        let name = if profile_type.is_app() { "" } else { profile_type.sample_type() };
        for (labels, points) in kept {
            let marks = exemplars.remove(&labels);
            frames.push(series::frame(name, labels, points, &shown)?);
            frames.extend(marks);
        }
        if n_left_out > 0 {
            let text = format!("{n_left_out} smaller series are left out (limit)");
            notices.push(Notice { severity: Severity::Info, text });
        }
        match annotations {
            Ok(Some(asked)) => frames.extend(marks::annotations(&asked, self.now)?),
            Ok(None) => {}
            Err(error) => notices.push(warning(format!("there are no annotations: {error}"))),
        }
        if frames.is_empty() {
            // Without group by there is one series, and an empty answer is typed as a full one.
            frames.push(series::frame(name, Default::default(), Default::default(), &shown)?);
        }
        // Once for all of them, of which there may be thousands.
        if let Some(first) = frames.first_mut() {
            asked.tell(first);
            first.meta.get_or_insert_with(FrameMeta::default).notices.extend(notices);
        }
        Ok(frames)
    }

    /// What stands beside a graph, if it is wanted.
    async fn marks(&self, is_wanted: bool, sql: String) -> Result<Option<Asked>, Error> {
        match is_wanted {
            true => Asked::ask(&self.session, sql).await.map(Some),
            false => Ok(None),
        }
    }
}

fn warning(text: String) -> Notice {
    Notice { severity: Severity::Warning, text }
}
