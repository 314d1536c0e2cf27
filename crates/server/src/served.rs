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
    listen::{self, Active},
    metrics::{self, Metrics},
    names, pprof, push, render, series, stacks, statistics,
    turn::{Kind, Room, Turn, in_turn},
};

/// How many places there may be: each is a thread, and whoever works there may need another one.
const MAX_PLACES: usize = 256;
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
    push_places: Arc<Semaphore>,
    room: Room,
    active: Active,
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
        let places = Arc::new(Semaphore::new(options.max_concurrent.clamp(1, MAX_PLACES)));
        Self(Arc::new(Inner {
            backend,
            room: Room::new(options.max_waiting_bytes),
            options,
            places,
            push_places: Arc::new(Semaphore::new(1)),
            active: Active::default(),
            metrics: Metrics::new(),
        }))
    }

    /// Answers whoever connects to the listener, until `stop` is done and what was begun is answered or has had its time
    /// ([`ServeOptions::grace`]). If this is dropped all ends at once.
    ///
    /// Whatever the listener, without an access token only requests to a name of this machine are answered: see
    /// [`Served::router`].
    ///
    /// # Errors
    ///
    /// None for now: where connections cannot be taken, that is tried again.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = self.clone().router();
        listen::run(listener, router, &self.0.options, self.0.active.clone(), stop).await;
        Ok(())
    }

    /// How many requests are under way by way of [`Served::serve`], up to the last byte of their answers.
    pub fn n_under_way(&self) -> usize {
        self.0.active.n()
    }

    /// The routes, to be served by a program of one's own. A request whose `Host` is no name of this machine is refused,
    /// unless there is an access token, which each request has to have then.
    pub fn router(self) -> Router {
        let guise = self.0.options.guise;
        let router = match guise {
            Guise::Legacy => self.in_turn(legacy::routes(), Kind::Question),
            _ => self.routes(),
        };
        #[cfg(feature = "datasource")]
        let router = match self.0.options.sources {
            Some(_) => router.merge(self.in_turn(crate::api::routes(), Kind::Question)),
            None => router,
        };
        router
            .layer(middleware::from_fn_with_state(self.clone(), in_guise))
            .fallback(move || unknown(guise))
            .layer(CatchPanicLayer::custom(|_| {
                Fault::new(Code::Internal, "a fault of this server; it goes on").into_response()
            }))
            .layer(middleware::from_fn_with_state(self.clone(), guard::guarded))
            .layer(middleware::from_fn_with_state(self.clone(), counted))
            .with_state(self)
    }

    /// The same routes, each request to which waits for its turn.
    fn in_turn(&self, routes: Router<Self>, kind: Kind) -> Router<Self> {
        // Whoever asks is near: what a better packing saves on the way is less than what it costs.
        let packing = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
        let packing = packing.compress_when(SizeAbove::new(GZIP_FROM));
        let turn = Turn { served: self.clone(), kind };
        routes
            .route_layer(middleware::from_fn_with_state(self.clone(), with_notices))
            .route_layer(RequestDecompressionLayer::new())
            .route_layer(packing)
            .route_layer(middleware::from_fn_with_state(turn, in_turn))
    }

    fn routes(&self) -> Router<Self> {
        let of_querier = |name: &str| format!("/querier.v1.QuerierService/{name}");
        let questions = Router::new()
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
            .route("/pyroscope/render", get(render::render))
            .route("/pyroscope/render-diff", get(render::render_diff))
            .route("/pyroscope/label-values", get(render::label_values));
        let at_once = Router::new()
            .route(
                "/capabilities.v1.FeatureFlagsService/GetFeatureFlags",
                method(about::feature_flags),
            )
            .route("/version.v1.Version/Version", method(about::version))
            .route("/api/v1/status/buildinfo", get(about::build_info))
            .route("/ready", get(about::ready))
            .route("/metrics", get(metrics));
        let router = self.in_turn(questions, Kind::Question);
        let router = router.merge(self.in_turn(at_once, Kind::AtOnce));
        if self.0.options.push.is_none() {
            return router;
        }
        let pushes = method_within(|options| options.max_push_bytes, push::push);
        let pushes = Router::new().route("/push.v1.PusherService/Push", pushes);
        router.merge(self.in_turn(pushes, Kind::Push))
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    pub(crate) fn options(&self) -> &ServeOptions {
        &self.0.options
    }

    pub(crate) fn places(&self) -> &Arc<Semaphore> {
        &self.0.places
    }

    pub(crate) fn push_places(&self) -> &Arc<Semaphore> {
        &self.0.push_places
    }

    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    /// A whole body that was inflated, if it is not too large.
    pub(crate) async fn read(&self, body: Body, max: usize) -> Result<Bytes, Fault> {
        axum::body::to_bytes(body, max).await.map_err(|error| {
            Fault::invalid(format!("cannot read the request, of {max} bytes at most: {error}"))
        })
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
    if answer.status().is_success() && !report.is_answered() {
        let missing = report.notices().into_iter().find(|notice| notice.is_missing);
        let why = missing.map_or_else(|| "a part of it failed".to_owned(), |n| n.to_string());
        let message = format!("the source's answer is not whole: {why}");
        return Fault::new(Code::Unavailable, message).into_response();
    }
    // What a server behind this one lacks it has said in its header, and it is passed on in ours.
    let lacks = served.backend().notices().into_iter().chain(report.lacks());
    let missing: Vec<_> = lacks.filter(|notice| notice.is_missing).collect();
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
    // What nobody serves is counted under one name, or anyone could make counters without end.
    let route = request.extensions().get::<MatchedPath>().cloned();
    served.0.metrics.begin();
    let mut under_way = UnderWay { served, method, path, route, start, status: GONE };
    let response = next.run(request).await;
    under_way.status = response.status().as_u16();
    response
}

/// A request that is not answered yet; what became of it is told when this is dropped.
struct UnderWay {
    served: Served,
    method: String,
    path: String,
    route: Option<MatchedPath>,
    start: Instant,
    status: u16,
}

/// The status of a request whose client went away before it was answered.
const GONE: u16 = 499;

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { served, method, path, route, start, status } = self;
        let elapsed = start.elapsed();
        let route = route.as_ref().map_or("other", MatchedPath::as_str);
        served.0.metrics.end();
        served.0.metrics.answered(route, *status, elapsed);
        if let Some(log) = &served.0.options.access {
            let (method, path) = (std::mem::take(method), std::mem::take(path));
            log.tell(&Access { method, path, status: *status, elapsed });
        }
    }
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], served.0.metrics.text())
}
