//! Who waits for whom, and how connections and the server end. Nothing is timed: what has to happen is waited for.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use flamesql_backend::Memory;
use flamesql_profile::{Labels, ProfileType, Timestamp};
use flamesql_server::{AccessLog, ServeOptions};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    bad_input::{Endless, begun, series_of, stacks_of, until},
    support,
    wire::{self, Server},
};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const JSON: &str = "application/json";
const NAMES: &str = "/querier.v1.QuerierService/LabelNames";
const STACKS: &str = "/querier.v1.QuerierService/SelectMergeStacktraces";
const SERIES: &str = "/querier.v1.QuerierService/SelectSeries";

fn options(change: impl FnOnce(&mut ServeOptions)) -> ServeOptions {
    let mut options = ServeOptions::default();
    change(&mut options);
    options
}

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_computes_holds_nobody_up() {
    let source = Endless::new(true);
    source.computes.store(true, Ordering::SeqCst);
    let few = options(|options| (options.max_concurrent, options.timeout) = (4, SHORT));
    let server = Arc::new(Server::start(Arc::new(source.clone()), few).await);
    let questions = (0..4).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let body = series_of(CPU).encode_to_vec();
            server.post(SERIES, "application/proto", &body).await.status
        })
    });
    let questions: Vec<_> = questions.collect();
    until("all compute", || source.n_asked.load(Ordering::SeqCst) == 4).await;
    // All places are taken, and still are when the time of each is over.
    for path in ["/ready", "/metrics", "/api/v1/status/buildinfo"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let answer = server.post("/version.v1.Version/Version", JSON, b"{}").await;
    assert_eq!(answer.status, 200);
    for question in questions {
        assert_eq!(question.await.unwrap(), 504);
    }
    let answer = server.post(NAMES, JSON, br#"{"start":1,"end":2}"#).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(source.computes.swap(false, Ordering::SeqCst));
    // What nobody waits for gives its place back once it has ended.
    for _ in 0..100 {
        if server.post(NAMES, JSON, br#"{"start":1,"end":2}"#).await.status == 200 {
            return;
        }
    }
    panic!("no place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_asked_yet_has_no_place() {
    let one = options(|options| options.max_concurrent = 1);
    let server = Server::start(Arc::new(Memory::new()), one).await;
    let request = stacks_of(CPU).encode_to_vec();
    let mut slow = Vec::new();
    for _ in 0..40 {
        slow.push(begun(&server, "SelectMergeStacktraces", &request, 3).await);
    }
    let answer = server.post(NAMES, JSON, br#"{"start":1,"end":2}"#).await;
    assert_eq!(answer.status, 200);
    for mut slow in slow {
        slow.write_all(&request[3..]).await.unwrap();
        let mut head = [0; 12];
        slow.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_a_place_is_a_part_of_the_time() {
    let source = Endless::new(false);
    let one = options(|options| options.max_concurrent = 1);
    let server = Server::start(Arc::new(source.clone()), one).await;
    let request = stacks_of(CPU).encode_to_vec();
    let _first = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
    until("the only place is taken", || source.n_asked.load(Ordering::SeqCst) == 1).await;
    let headers = [("Content-Type", JSON), ("Connect-Timeout-Ms", "200")];
    let answer = server.send("POST", NAMES, &headers, br#"{"start":1,"end":2}"#).await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &body["code"]), (504, &json!("deadline_exceeded")));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_so_much_room_for_large_questions() {
    let little = options(|options| options.max_waiting_bytes = 256 << 10);
    let server = Server::start(Arc::new(Memory::new()), little).await;
    let body = vec![b' '; 300 << 10];
    let slow = begun(&server, "LabelNames", &body, 200 << 10).await;
    // As much again is too much, whatever is wrong with it besides; a small question is not counted.
    let mut last = 0;
    for _ in 0..200 {
        let answer = server.post(NAMES, JSON, &body[..200 << 10]).await;
        last = answer.status;
        if last == 503 {
            break;
        }
    }
    assert_eq!(last, 503);
    assert_eq!(server.post(NAMES, JSON, br#"{"start":1,"end":2}"#).await.status, 200);
    drop(slow);
    for _ in 0..200 {
        last = server.post(NAMES, JSON, &body[..200 << 10]).await.status;
        if last != 503 {
            break;
        }
    }
    assert_eq!(last, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_is_counted() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let source = Endless::new(false);
    let logged = options(|options| {
        options.access = Some(AccessLog::new(move |access| {
            log.lock().unwrap().push((access.status, access.path.clone()));
        }));
    });
    let server = Server::start(Arc::new(source.clone()), logged).await;
    let request = stacks_of(CPU).encode_to_vec();
    let client = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
    until("the source is asked", || source.n_asked.load(Ordering::SeqCst) == 1).await;
    assert_eq!((told.lock().unwrap().len(), server.served.n_under_way()), (0, 1));
    drop(client);
    until("it is told", || told.lock().unwrap().len() == 1).await;
    assert_eq!(told.lock().unwrap().as_slice(), [(499, STACKS.to_owned())]);
    let metrics = server.get("/metrics").await.text();
    let line = format!(r#"flamesql_server_requests_total{{route="{STACKS}",status="499"}} 1"#);
    assert!(metrics.contains(&line), "{metrics}");
}

/// Waits until the server has ended a connection, and gives what came before that.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    // An end that was not expected is one as well.
    let _ = tokio::time::timeout(Duration::from_secs(30), read).await.expect("it is ended");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_nothing_are_ended() {
    // Half a head of a request, and nothing at all.
    for (sent, head, idle) in [("GET /ready HT", SHORT, LONG), ("", LONG, SHORT)] {
        let limits = options(|options| {
            (options.head_timeout, options.idle_timeout) = (head, idle);
        });
        let server = Server::start(Arc::new(Memory::new()), limits).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(rest(stream).await, b"");
        // After a request as before it.
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /ready HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert!(rest(stream).await.ends_with(b"ready"));
    }
    // Who waits for an answer does nothing either, and may.
    let source = Endless::new(false);
    let limits = options(|options| {
        (options.head_timeout, options.idle_timeout, options.write_timeout) = (SHORT, SHORT, SHORT);
    });
    let server = Server::start(Arc::new(source.clone()), limits).await;
    let request = stacks_of(CPU).encode_to_vec();
    let stream = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
    until("the source is asked", || source.n_asked.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(3 * SHORT).await;
    source.gate.add_permits(1);
    assert_eq!(wire::read(&rest(stream).await).status, 200);
}

/// A source whose stacks are an answer of 30 MB.
fn large() -> Memory {
    let stacks: Vec<(Vec<String>, i64)> =
        (0..30_000).map(|n| (vec![format!("{n} {}", "f".repeat(1000))], 1)).collect();
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    let time = Timestamp::from_nanos(1_700_000_000_000_000_000);
    memory.insert(&cpu, &Labels::default(), time, 0, &support::tree(&stacks)).unwrap();
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_his_answer_loses_it() {
    let limits = options(|options| options.write_timeout = SHORT);
    let server = Server::start(Arc::new(large()), limits).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = stacks_of(CPU).encode_to_vec();
    let head = format!(
        "POST {STACKS} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/proto\r\nContent-Length: {}\r\n\r\n",
        server.address,
        request.len()
    );
    stream.write_all(&[head.as_bytes(), &request].concat()).await.unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    until("it is given up", || server.served.n_under_way() == 0).await;
    assert!(rest(stream).await.len() < 30_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_connections_at_a_time() {
    let two = options(|options| options.max_connections = 2);
    let server = Server::start(Arc::new(Memory::new()), two).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let second = TcpStream::connect(server.address).await.unwrap();
    let third = server.get("/ready");
    tokio::pin!(third);
    let early = tokio::time::timeout(SHORT, &mut third).await;
    assert!(early.is_err(), "answered beyond the limit");
    drop(first);
    assert_eq!(third.await.status, 200);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_answered_before_it_stops() {
    let source = Endless::new(false);
    let patient = options(|options| options.grace = LONG);
    let mut server = Server::start(Arc::new(source.clone()), patient).await;
    let request = stacks_of(CPU).encode_to_vec();
    let stream = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
    until("the source is asked", || source.n_asked.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.served.n_under_way(), 1);
    server.stop();
    // Nobody else is let in.
    for _ in 0..1000 {
        if TcpStream::connect(server.address).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.has_ended());
    source.gate.add_permits(1);
    assert_eq!(wire::read(&rest(stream).await).status, 200);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_begun_is_not_waited_for() {
    let patient = options(|options| {
        (options.grace, options.head_timeout, options.idle_timeout) = (LONG, LONG, LONG);
    });
    let mut server = Server::start(Arc::new(Memory::new()), patient).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"GET /ready HTTP/1.1\r\nHos").await.unwrap();
    // It was read: what is sent after it is answered.
    assert_eq!(server.get("/ready").await.status, 200);
    server.stop();
    server.ended().await;
    assert_eq!((rest(silent).await, rest(half).await), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_ends_with_the_server() {
    let source = Endless::new(false);
    let short = options(|options| options.grace = SHORT);
    let mut server = Server::start(Arc::new(source.clone()), short).await;
    let request = stacks_of(CPU).encode_to_vec();
    let all = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
    let half = begun(&server, "SelectMergeStacktraces", &request, 3).await;
    until("the source is asked", || source.n_asked.load(Ordering::SeqCst) == 1).await;
    until("both are under way", || server.served.n_under_way() == 2).await;
    server.stop();
    server.ended().await;
    assert_eq!((rest(all).await, rest(half).await), (Vec::new(), Vec::new()));
}
