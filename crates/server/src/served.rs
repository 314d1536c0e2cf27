//! The server: its routes, and what each request passes through.

use std::{fmt, future::Future, io, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use flamesql_backend::{Backend, Report};
use tokio::{net::TcpListener, sync::Semaphore};
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, predicate::SizeAbove},
    decompression::RequestDecompressionLayer,
};

use crate::{
    Access, Guise, ServeOptions, about,
    connect::{method, method_within},
    fault::{Code, Fault},
    guard, heatmap, legacy,
    metrics::{self, Metrics},
    names, place, pprof, push, render, series, stacks, statistics,
};

/// Smaller answers are sent as they are.
const GZIP_FROM: u16 = 1400;
/// What of the source is missing in an answer.
const NOTICES: HeaderName = HeaderName::from_static("flamesql-missing");
/// How much of that is told.
const MAX_NOTICE: usize = 500;

/// A source, and how it is served. Cloning gives another handle on the same.
#[derive(Clone)]
pub struct Served(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    options: ServeOptions,
    places: Arc<Semaphore>,
    metrics: Metrics,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("backend", &self.0.backend).finish_non_exhaustive()
    }
}

impl Served {
    /// A server of this source.
    pub fn new(backend: Arc<dyn Backend>, options: ServeOptions) -> Self {
        let places = Semaphore::new(options.max_concurrent.clamp(1, Semaphore::MAX_PERMITS));
        let places = Arc::new(places);
        Self(Arc::new(Inner { backend, options, places, metrics: Metrics::new() }))
    }

    /// Answers whoever connects to the listener, until `stop` is done and what was begun is answered.
    ///
    /// Whatever the listener, only requests to a name of this machine are answered: see [`Served::router`].
    ///
    /// # Errors
    ///
    /// If the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(stop).await
    }

    /// The routes, to be served by a program of one's own. A request whose `Host` is no name of this machine is refused.
    pub fn router(self) -> Router {
        // Whoever asks is near: what a better packing saves on the way is less than what it costs.
        let packing = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
        let packing = packing.compress_when(SizeAbove::new(GZIP_FROM));
        let guise = self.0.options.guise;
        let router = match guise {
            Guise::Legacy => legacy::routes(),
            _ => self.routes(),
        };
        #[cfg(feature = "datasource")]
        let router = match self.0.options.sources {
            Some(_) => router.merge(crate::api::routes()),
            None => router,
        };
        router
            .route_layer(middleware::from_fn_with_state(self.clone(), with_notices))
            .route_layer(middleware::from_fn_with_state(self.clone(), in_turn))
            .layer(middleware::from_fn_with_state(self.clone(), in_guise))
            .fallback(move || unknown(guise))
            .layer(RequestDecompressionLayer::new())
            .layer(packing)
            .layer(CatchPanicLayer::custom(|_| {
                Fault::new(Code::Internal, "a fault of this server; it goes on").into_response()
            }))
            .layer(middleware::from_fn(guard::only_this_machine))
            .layer(middleware::from_fn_with_state(self.clone(), counted))
            .with_state(self)
    }

    fn routes(&self) -> Router<Self> {
        let of_querier = |name: &str| format!("/querier.v1.QuerierService/{name}");
        let mut router = Router::new()
            .route(&of_querier("ProfileTypes"), method(names::profile_types))
            .route(&of_querier("LabelNames"), method(names::label_names))
            .route(&of_querier("LabelValues"), method(names::label_values))
            .route(&of_querier("Series"), method(names::series))
            .route(&of_querier("SelectSeries"), method(series::select_series))
            .route(&of_querier("SelectMergeStacktraces"), method(stacks::merge_stacktraces))
            .route(&of_querier("SelectMergeSpanProfile"), method(stacks::merge_spans))
            .route(&of_querier("SelectMergeProfile"), method(pprof::merge_profile))
            .route(&of_querier("SelectHeatmap"), method(heatmap::select_heatmap))
            .route(&of_querier("Diff"), method(stacks::diff))
            .route(&of_querier("GetProfileStats"), method(statistics::profile_stats))
            .route(
                "/capabilities.v1.FeatureFlagsService/GetFeatureFlags",
                method(about::feature_flags),
            )
            .route("/version.v1.Version/Version", method(about::version))
            .route("/api/v1/status/buildinfo", get(about::build_info))
            .route("/ready", get(about::ready))
            .route("/metrics", get(metrics))
            .route("/pyroscope/render", get(render::render))
            .route("/pyroscope/render-diff", get(render::render_diff))
            .route("/pyroscope/label-values", get(render::label_values));
        if self.0.options.push.is_some() {
            router = router.route(
                "/push.v1.PusherService/Push",
                method_within(|options| options.max_push_bytes, push::push),
            );
        }
        router
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    pub(crate) fn options(&self) -> &ServeOptions {
        &self.0.options
    }

    /// A whole body, if it is not too large.
    pub(crate) async fn read(&self, body: Body, max: usize) -> Result<Bytes, Fault> {
        axum::body::to_bytes(body, max).await.map_err(|error| {
            Fault::invalid(format!("cannot read the request, of {max} bytes at most: {error}"))
        })
    }
}

/// Lets so many be answered at a time as the options say, each within its time. A client that went away gives its place
/// back.
async fn in_turn(State(served): State<Served>, request: Request, next: Next) -> Response {
    let limit = served.options().timeout;
    let end = tokio::time::Instant::now() + limit;
    let places = Arc::clone(&served.0.places);
    let place = match tokio::time::timeout_at(end, places.acquire_owned()).await {
        Ok(place) => place.expect("it is never closed"),
        Err(_) => {
            let message = "too many requests are under way";
            return Fault::new(Code::Unavailable, message).into_response();
        }
    };
    // Whoever sends his question slowly holds a place no longer than others.
    match tokio::time::timeout_at(end, next.run(request)).await {
        Ok(answer) => place::held(place, answer, end),
        Err(_) => Fault::too_late(limit).into_response(),
    }
}

tokio::task_local! {
    /// What the work came to for the request that is being answered.
    static REPORT: Report;
}

/// The report of the request that is being answered: what is missing there is missing in the answer.
pub(crate) fn report() -> Report {
    REPORT.try_with(Clone::clone).unwrap_or_default()
}

/// Says what of the source is missing in an answer. What failed of this question alone makes it an error, since whoever
/// reads the answer looks for no header of ours; what a folder lacks for every question is told in one.
async fn with_notices(State(served): State<Served>, request: Request, next: Next) -> Response {
    let report = Report::new();
    let mut answer = REPORT.scope(report.clone(), next.run(request)).await;
    if answer.status().is_success() && !report.is_complete() {
        let missing = report.notices().into_iter().find(|notice| notice.is_missing);
        let why = missing.map_or_else(|| "a part of it failed".to_owned(), |n| n.to_string());
        let message = format!("the source's answer is not whole: {why}");
        return Fault::new(Code::Unavailable, message).into_response();
    }
    let missing: Vec<_> =
        served.backend().notices().into_iter().filter(|notice| notice.is_missing).collect();
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    tell_missing(&mut answer, &missing);
    answer
}

/// Says in a header what is missing, if there is anything and nobody has said it.
pub(crate) fn tell_missing(answer: &mut Response, missing: &[String]) {
    if let [first, ..] = missing
        && !answer.headers().contains_key(NOTICES)
    {
        let text = format!("{} skipped; {first}", missing.len());
        // A header has no other letters; names of files may.
        let text: String = text.chars().flat_map(char::escape_default).take(MAX_NOTICE).collect();
        if let Ok(value) = HeaderValue::try_from(text) {
            answer.headers_mut().insert(NOTICES, value);
        }
    }
}

/// Passes over what the server is not supposed to have.
async fn in_guise(State(served): State<Served>, request: Request, next: Next) -> Response {
    let guise = served.options().guise;
    match guise.lacks(request.uri().path()) {
        true => unknown(guise).await,
        false => next.run(request).await,
    }
}

async fn unknown(guise: Guise) -> Response {
    match guise {
        Guise::Legacy => legacy::unknown().await,
        _ => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}

/// Counts a request, and tells of it.
async fn counted(State(served): State<Served>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let _under_way = UnderWay::new(served.0.metrics.clone());
    // What nobody serves is counted under one name, or anyone could make counters without end.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let (status, elapsed) = (response.status().as_u16(), start.elapsed());
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    served.0.metrics.answered(route, status, elapsed);
    if let Some(log) = &served.0.options.access {
        log.tell(&Access { method, path, status, elapsed });
    }
    response
}

/// A request that is not answered yet, or was given up.
struct UnderWay(Metrics);

impl UnderWay {
    fn new(metrics: Metrics) -> Self {
        metrics.begin();
        Self(metrics)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], served.0.metrics.text())
}
