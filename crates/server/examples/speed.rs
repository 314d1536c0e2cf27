//! How fast a server answers over loopback: `speed FILE [ROUNDS]`.
//!
//! The server is in the same process; it is asked in bytes of HTTP, so that no client's own time is counted but that of
//! reading the answer. Each question is asked once before it is measured.
#![expect(clippy::print_stdout, reason = "the program says what it measured")]

use std::{
    error::Error,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use flamesql_backend::{Backend, Files, MetaQuery};
use flamesql_profile::TimeRange;
use flamesql_proto::{
    querier::v1::{ProfileFormat, SelectMergeStacktracesRequest, SelectSeriesRequest},
    types::v1::{LabelNamesRequest, LabelValuesRequest},
};
use flamesql_selector::Selector;
use flamesql_server::{ServeOptions, Served};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Failed = Box<dyn Error + Send + Sync>;

/// How many clients look up labels at once.
const CLIENTS: usize = 64;
/// How often each of them does.
const LOOK_UPS: usize = 50;
const LAST: i64 = 4_000_000_000_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: speed FILE [ROUNDS]")?;
    let rounds: usize = args.next().map_or(Ok(10), |text| text.parse())?;

    let files = Files::open(&file)?;
    let profile_type = files.default_profile_type().await?.ok_or("the file has no type")?;
    let query = MetaQuery {
        profile_type: Some(profile_type.clone()),
        selector: Selector::all(),
        range: TimeRange::ALL,
    };
    let label = files.label_names(&query).await?.pop().ok_or("the file has no label")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let served = Served::new(Arc::new(files), ServeOptions::default());
    tokio::spawn(served.serve(listener, std::future::pending()));

    let id = profile_type.as_str();
    println!("{file}: {id}");
    let mut client = Client::new(address).await?;
    for (max_nodes, packing) in [(1 << 20, ""), (8192, ""), (1 << 20, "gzip"), (8192, "gzip")] {
        let request = SelectMergeStacktracesRequest {
            profile_type_id: id.to_owned(),
            label_selector: "{}".to_owned(),
            start: 1,
            end: LAST,
            max_nodes: Some(max_nodes),
            format: ProfileFormat::Tree.into(),
            ..Default::default()
        };
        let body = request.encode_to_vec();
        let what = format!("tree of {max_nodes} nodes, packing {packing:?}");
        measure(&mut client, &what, "SelectMergeStacktraces", &body, packing, rounds).await?;
    }
    for (group_by, seconds) in [(vec![], 15.0), (vec![label.clone()], 15.0)] {
        let request = SelectSeriesRequest {
            profile_type_id: id.to_owned(),
            label_selector: "{}".to_owned(),
            start: 1_600_000_000_000,
            end: 1_800_000_000_000,
            step: seconds,
            group_by: group_by.clone(),
            ..Default::default()
        };
        let body = request.encode_to_vec();
        let what = format!("series by {group_by:?} in steps of {seconds} s");
        measure(&mut client, &what, "SelectSeries", &body, "", rounds).await?;
    }

    let names = LabelNamesRequest { start: 1, end: LAST, ..Default::default() };
    let values = LabelValuesRequest { name: label, start: 1, end: LAST, ..Default::default() };
    for (method, body) in
        [("LabelNames", names.encode_to_vec()), ("LabelValues", values.encode_to_vec())]
    {
        let clients = (0..CLIENTS).map(|_| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut client = Client::new(address).await?;
                let mut times = Vec::with_capacity(LOOK_UPS);
                client.ask(method, &body, "").await?;
                for _ in 0..LOOK_UPS {
                    times.push(client.ask(method, &body, "").await?.0);
                }
                Ok::<_, Failed>(times)
            })
        });
        let mut times = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            times.extend(client.await??);
        }
        told(&format!("{method}, {CLIENTS} clients at once"), 0, times);
    }
    Ok(())
}

async fn measure(
    client: &mut Client,
    what: &str,
    method: &str,
    body: &[u8],
    packing: &str,
    rounds: usize,
) -> Result<(), Failed> {
    let mut size = client.ask(method, body, packing).await?.1;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let (time, given) = client.ask(method, body, packing).await?;
        times.push(time);
        size = given;
    }
    told(what, size, times);
    Ok(())
}

fn told(what: &str, bytes: usize, mut times: Vec<Duration>) {
    times.sort_unstable();
    let millis = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{what}: least {:.1} ms, median {:.1} ms, p99 {:.1} ms of {} ({bytes} bytes)",
        millis(0),
        millis(50),
        millis(99),
        times.len()
    );
}

/// A connection that is kept.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    read: Vec<u8>,
}

impl Client {
    async fn new(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, read: vec![0; 1 << 18] })
    }

    /// How long an answer took, all of it, and its size.
    async fn ask(
        &mut self,
        method: &str,
        body: &[u8],
        packing: &str,
    ) -> Result<(Duration, usize), Failed> {
        let begin = Instant::now();
        let packing = match packing {
            "" => String::new(),
            name => format!("Accept-Encoding: {name}\r\n"),
        };
        let head = format!(
            "POST /querier.v1.QuerierService/{method} HTTP/1.1\r\nHost: {}\r\nContent-Type: \
             application/proto\r\n{packing}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut head = Vec::new();
        let end = loop {
            let n = self.more().await?;
            head.extend_from_slice(&self.read[..n]);
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&head[..end])?;
        if !text.starts_with("HTTP/1.1 200") {
            return Err(format!("{method}: {}", String::from_utf8_lossy(&head)).into());
        }
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        let mut size = head.len() - end;
        match length {
            Some(length) => {
                while size < length {
                    size += self.more().await?;
                }
            }
            // In chunks: the last one is empty.
            None => {
                let mut last = head;
                while !last.ends_with(b"\r\n0\r\n\r\n") {
                    let n = self.more().await?;
                    size += n;
                    last.extend_from_slice(&self.read[n.saturating_sub(16)..n]);
                    let keep = last.len().saturating_sub(16);
                    last.drain(..keep);
                }
            }
        }
        Ok((begin.elapsed(), size))
    }

    async fn more(&mut self) -> Result<usize, Failed> {
        match self.stream.read(&mut self.read).await? {
            0 => Err("the server ended the connection".into()),
            n => Ok(n),
        }
    }
}
