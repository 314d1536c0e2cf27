//! The way of profiles through Pyroscope's own API: a server of them, and the adapter that asks it.

use std::sync::{Arc, LazyLock};

use flamesql_backend::{Backend, Memory, Proxy, PyroscopeOptions, Server};
use flamesql_profile::Step;
use flamesql_server::{Guise, ServeOptions, Served};
use tokio::runtime::{Builder, Runtime};

/// Where servers run, whatever test asks them.
static SERVERS: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// What a memory holds, served in a guise. It blocks: no runtime may be around it.
pub(crate) fn over_http(memory: Memory, guise: Guise) -> Arc<dyn Backend> {
    // This server answers for months at once.
    over_http_in(memory, guise, None)
}

/// The same, asked for no longer range at a time.
pub(crate) fn over_http_in(
    memory: Memory,
    guise: Guise,
    max_range: Option<Step>,
) -> Arc<dyn Backend> {
    SERVERS.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut options = ServeOptions::default();
        options.guise = guise;
        let served = Served::new(Arc::new(memory), options);
        tokio::spawn(served.serve(listener, std::future::pending()));
        let mut options = PyroscopeOptions::default();
        options.http.proxy = Proxy::None;
        options.max_range = max_range;
        let server = Server::open(&url, None, &options).await.unwrap();
        Arc::clone(server.backend())
    })
}
