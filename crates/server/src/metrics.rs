//! What this server counts, in the text form of Prometheus.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The content type of OpenMetrics, which Prometheus reads.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    /// What is served, never what was asked for: that may be anything.
    route: String,
    status: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Request, Counter<u64, AtomicU64>>,
    duration: Histogram,
    under_way: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let (requests, under_way) = (Family::default(), Gauge::default());
        let duration = Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]);
        let mut registry = Registry::with_prefix("flamesql_server");
        registry.register("requests", "Requests that were answered", requests.clone());
        registry.register("requests_under_way", "Requests that are not yet", under_way.clone());
        let help = "Time until an answer begins";
        registry.register_with_unit("request_duration", help, Unit::Seconds, duration.clone());
        Self { registry: Arc::new(registry), requests, duration, under_way }
    }

    pub(crate) fn begin(&self) {
        self.under_way.inc();
    }

    pub(crate) fn end(&self) {
        self.under_way.dec();
    }

    pub(crate) fn answered(&self, route: &str, status: u16, elapsed: Duration) {
        let route = route.to_owned();
        self.requests.get_or_create(&Request { route, status }).inc();
        self.duration.observe(elapsed.as_secs_f64());
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to memory does not fail");
        out
    }
}
