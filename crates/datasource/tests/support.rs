//! Servers on this machine, and data sources at them.

use std::{future::pending, sync::Arc};

use flamesql_backend::{Backend, Memory};
use flamesql_datasource::{Allow, DataSource, InstanceSettings, Settings};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};
use flamesql_server::{Guise, ServeOptions, Served};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
pub(crate) const HEAP: &str = "memory:inuse_space:bytes:space:bytes";

/// A server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
}

/// Two services, of which one has a heap as well.
pub(crate) fn shop() -> Memory {
    shop_at(now().saturating_add(-60_000_000_000))
}

/// The same as a legacy server has it: its profile types are apps.
pub(crate) fn apps() -> Memory {
    shop_of(now().saturating_add(-60_000_000_000), |id| {
        ProfileType::app(if id == CPU { "shop.cpu" } else { "shop.heap" }).with_unit("samples")
    })
}

pub(crate) fn shop_at(time: Timestamp) -> Memory {
    shop_of(time, |id| ProfileType::parse(id).unwrap())
}

fn shop_of(time: Timestamp, type_of: fn(&str) -> ProfileType) -> Memory {
    let memory = Memory::new();
    for (id, service, pod) in [(CPU, "cart", "a"), (CPU, "cart", "b"), (HEAP, "pay", "c")] {
        let labels: Labels =
            [("pod", pod), ("service_name", service), ("__hidden__", "x")].into_iter().collect();
        let tree = folded::decode(b"main;work 3").unwrap().into_tree();
        memory.insert(&type_of(id), &labels, time, 0, &tree).unwrap();
    }
    memory
}

/// The shop at a server that passes for this one.
pub(crate) async fn shop_at_a(guise: Guise) -> Server {
    serve(if guise == Guise::Legacy { apps() } else { shop() }, guise).await
}

/// A server that passes for this one.
pub(crate) async fn serve(memory: Memory, guise: Guise) -> Server {
    let mut options = ServeOptions::default();
    options.guise = guise;
    options.version = match guise {
        Guise::Phlare => "0.6.1",
        Guise::Legacy => "0.37.2",
        _ => "2.2.0",
    }
    .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let backend: Arc<dyn Backend> = Arc::new(memory);
    let served = Served::new(backend, options);
    let task = tokio::spawn(async move { served.serve(listener, pending()).await.unwrap() });
    Server { url, task }
}

/// A server that answers whatever it is asked with a status and a body, or not at all.
pub(crate) async fn answering(
    status: u16,
    content_type: &'static str,
    body: &'static str,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                // What was not read would make a reset of the end.
                while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    Server { url, task }
}

/// The settings of a data source at a URL.
pub(crate) fn settings(url: &str, kind: Option<&str>) -> Settings {
    let instance = InstanceSettings {
        url: url.to_owned(),
        json_data: json!({"backendType": kind, "timeout": 20}).to_string().into_bytes(),
        ..InstanceSettings::default()
    };
    let mut settings = Settings::read(&instance, Allow::Files).unwrap();
    // What fails fails for good here.
    settings.http.max_retries = 0;
    settings
}

pub(crate) fn source(url: &str, kind: Option<&str>) -> DataSource {
    DataSource::new(settings(url, kind))
}
