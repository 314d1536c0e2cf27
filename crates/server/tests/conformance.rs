//! What every backend has to do, asked of this server by way of the adapter of Pyroscope: what goes in on one side comes
//! out on the other.

use std::sync::Arc;

use flamesql_backend::{
    Backend, Generation, Proxy, PyroscopeOptions, Server as Found, ServerKind,
    conformance::{self, TruthProfile, sample_truth, sample_truth_with_spans},
};
use flamesql_server::{Guise, ServeOptions};

use crate::{support, wire::Server};

async fn found(server: &Server, generation: Generation) -> Arc<dyn Backend> {
    let mut options = PyroscopeOptions::default();
    options.http.proxy = Proxy::None;
    let found = Found::open(&server.url(), None, &options).await.unwrap();
    assert_eq!(found.kind(), ServerKind::Connect(generation));
    assert_eq!(found.version(), Some("flamesql-0.1.0"));
    Arc::clone(found.backend())
}

async fn check(truth: &[TruthProfile], guise: Guise, generation: Generation) {
    let memory = support::memory(truth);
    let mut options = ServeOptions::default();
    options.guise = guise;
    let server = Server::start(Arc::new(memory), options).await;
    conformance::check(found(&server, generation).await.as_ref(), truth).await;
}

/// Profiles as older servers can have them: they list no name with a dot.
fn without_dots(seed: u64) -> Vec<TruthProfile> {
    let mut truth = sample_truth(seed);
    for profile in &mut truth {
        let labels = std::mem::take(&mut profile.labels).into_iter();
        profile.labels = labels.map(|(name, value)| (name.replace('.', "_"), value)).collect();
    }
    truth
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_what_a_memory_holds() {
    check(&sample_truth(21), Guise::V2, Generation::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_spans_and_traces() {
    check(&sample_truth_with_spans(22), Guise::V2, Generation::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_storage_v1() {
    check(&without_dots(23), Guise::V1, Generation::V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_pyroscope_1_15() {
    check(&without_dots(24), Guise::V115, Generation::V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_phlare() {
    check(&without_dots(25), Guise::Phlare, Generation::Phlare).await;
}
