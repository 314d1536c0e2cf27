//! What every backend has to do, asked of this server by way of the adapter of Pyroscope: what goes in on one side comes
//! out on the other.

use std::sync::Arc;

use flamesql_backend::{
    Backend, Generation, Proxy, PyroscopeOptions, Server as Found, ServerKind,
    conformance::{self, TruthProfile, sample_truth, sample_truth_with_spans},
};
use flamesql_server::ServeOptions;

use crate::{support, wire::Server};

async fn found(server: &Server) -> Arc<dyn Backend> {
    let mut options = PyroscopeOptions::default();
    options.http.proxy = Proxy::None;
    let found = Found::open(&server.url(), None, &options).await.unwrap();
    assert_eq!(found.kind(), ServerKind::Connect(Generation::V2));
    assert_eq!(found.version(), Some("flamesql-0.1.0"));
    Arc::clone(found.backend())
}

async fn check(truth: &[TruthProfile]) {
    let memory = support::memory(truth);
    let server = Server::start(Arc::new(memory), ServeOptions::default()).await;
    conformance::check(found(&server).await.as_ref(), truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_what_a_memory_holds() {
    check(&sample_truth(21)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_reads_spans_and_traces() {
    check(&sample_truth_with_spans(22)).await;
}
