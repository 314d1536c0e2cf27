//! What is too much, what breaks off, and what changes meanwhile: the right answer or the right error, memory bounded.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flamesql_backend::{
    Backend, Capabilities, Error, Files, FilesOptions, Grouping, LabelSet, Memory, MetaQuery,
    Notice, ProfileRow, Report, Select, SeriesAnswer, StackStream,
};
use flamesql_profile::{
    Labels, ProfileType, StackTreeBuilder, TimeRange, Timestamp, pyroscope_tree,
};
use flamesql_proto::{
    querier::v1::{
        DiffRequest, DiffResponse, ProfileFormat, SelectMergeStacktracesRequest,
        SelectMergeStacktracesResponse, SelectSeriesRequest, SelectSeriesResponse,
    },
    types::v1::GetProfileStatsResponse,
};
use flamesql_server::{Guise, ServeOptions};
use futures::StreamExt;
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

use crate::{
    shop, support,
    wire::{Answer, Server},
};

const JSON: &str = "application/json";
const PROTO: &str = "application/proto";
const QUERIER: &str = "/querier.v1.QuerierService/";
const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const MILLION: usize = 1_000_000;
const LAST: i64 = 4_000_000_000_000;

async fn call(server: &Server, method: &str, body: &Value) -> Answer {
    server.post(&format!("{QUERIER}{method}"), JSON, body.to_string().as_bytes()).await
}

async fn ask(server: &Server, method: &str, message: &impl Message) -> Answer {
    server.post(&format!("{QUERIER}{method}"), PROTO, &message.encode_to_vec()).await
}

pub(crate) fn stacks_of(id: &str) -> SelectMergeStacktracesRequest {
    SelectMergeStacktracesRequest {
        profile_type_id: id.to_owned(),
        label_selector: "{}".to_owned(),
        start: 1,
        end: LAST,
        max_nodes: Some(MILLION as i64),
        format: ProfileFormat::Tree.into(),
        ..Default::default()
    }
}

pub(crate) fn series_of(id: &str) -> SelectSeriesRequest {
    SelectSeriesRequest {
        profile_type_id: id.to_owned(),
        label_selector: "{}".to_owned(),
        start: 1,
        end: LAST,
        step: 1e9,
        ..Default::default()
    }
}

/// The sum of a tree that was answered.
fn total(answer: &Answer) -> i64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = SelectMergeStacktracesResponse::decode(answer.body.as_slice()).unwrap();
    pyroscope_tree::decode(&answer.tree).unwrap().into_tree().total().unwrap()
}

/// A profile of a tree of so many leaves.
fn wide(n_leaves: usize) -> Memory {
    let mut builder = StackTreeBuilder::new();
    for n in 0..n_leaves {
        let names = [format!("f{}", n / 1000), format!("g{}", n % 1000)];
        let names: Vec<_> = names.iter().map(|name| builder.intern(name)).collect();
        let node = builder.insert(&names).unwrap();
        builder.add(node, 1 + i64::try_from(n % 7).unwrap()).unwrap();
    }
    let memory = Memory::new();
    let (time, labels) = (Timestamp::from_nanos(1_700_000_000_000_000_000), Labels::default());
    let cpu = ProfileType::parse(CPU).unwrap();
    memory.insert(&cpu, &labels, time, 0, &builder.finish()).unwrap();
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_nodes_are_answered() {
    const LEAVES: usize = 1_200_000;
    let sum: i64 = (0..LEAVES as i64).map(|n| 1 + n % 7).sum();
    let server = Server::start(Arc::new(wide(LEAVES)), ServeOptions::default()).await;
    let mut request = stacks_of(CPU);
    let answer = ask(&server, "SelectMergeStacktraces", &request).await;
    assert_eq!(total(&answer), sum);
    let answer = SelectMergeStacktracesResponse::decode(answer.body.as_slice()).unwrap();
    let tree = pyroscope_tree::decode(&answer.tree).unwrap().into_tree();
    // Equal ones stay or go together: all leaves of more than 1, and what is left of each function in `other`.
    let n_kept = (0..LEAVES).filter(|n| n % 7 > 0).count();
    assert_eq!(tree.len(), 1 + 1200 + n_kept + 1200);

    request.format = ProfileFormat::Flamegraph.into();
    let answer = ask(&server, "SelectMergeStacktraces", &request).await;
    let graph = SelectMergeStacktracesResponse::decode(answer.body.as_slice()).unwrap();
    assert_eq!(graph.flamegraph.unwrap().total, sum);
    let diff = DiffRequest { left: Some(request.clone()), right: Some(request) };
    let answer = ask(&server, "Diff", &diff).await;
    let graph = DiffResponse::decode(answer.body.as_slice()).unwrap().flamegraph.unwrap();
    assert_eq!((graph.left_ticks, graph.right_ticks, graph.total), (sum, sum, 2 * sum));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_a_million_parts_are_answered_or_refused() {
    let server = Server::of_memory(|_| {}).await;
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let many = |text: &str, n: usize| vec![text.to_owned(); n];
    let base = json!({"start": 1, "end": LAST});
    for (method, field, text, n, expected) in [
        // Beyond the size of a question.
        ("Series", "matchers", "{pod!=\"x\"}", MILLION, 400),
        ("LabelNames", "matchers", "{}", MILLION, 400),
        // Within it, and more than anyone has use for.
        ("Series", "matchers", "{a!=\"b\"}", 100_000, 400),
        ("Series", "matchers", "{a!~\"b[0-9]\"}", 1000, 400),
        ("Series", "labelNames", "", MILLION, 400),
        ("Series", "labelNames", "pod", 10_000, 200),
        ("Series", "matchers", "{pod!=\"x\"}", 10_000, 200),
        ("Series", "matchers", "{pod!~\"x[0-9]\"}", 100, 200),
    ] {
        let mut question = base.clone();
        question[field] = json!(many(text, n));
        let answer = call(&server, method, &question).await;
        assert_eq!(answer.status, expected, "{method} {field} {n}: {}", answer.text());
        if expected == 400 {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["code"], "invalid_argument", "{body}");
            assert!(body["message"].as_str().unwrap().contains(" at most"), "{body}");
        }
    }
    let right = call(&server, "LabelNames", &base).await.text();
    for n in [10_001, 100_000] {
        let text = format!("{{{}}}", many("pod!=\"x\"", n).join(","));
        let question = SelectSeriesRequest { label_selector: text, ..series_of(CPU) };
        let answer = ask(&server, "SelectSeries", &question).await;
        assert_eq!(answer.status, 400, "{n}");
        assert!(answer.text().contains("at most 10000 may be given"), "{}", answer.text());
    }
    for method in ["SelectSeries", "SelectHeatmap"] {
        let question = json!({
            "profileTypeID": CPU, "labelSelector": "{}", "start": 1, "end": LAST, "step": 1e9,
            "queryType": "HEATMAP_QUERY_TYPE_INDIVIDUAL", "limit": 10, "groupBy": many("pod", 100_000),
        });
        let answer = call(&server, method, &question).await;
        assert_eq!(answer.status, 400, "{method}: {}", answer.text());
        assert!(answer.text().contains("at most 10000 may be given"), "{}", answer.text());
    }
    // Fields that nobody knows: two bytes of a name, one of a value.
    let mut body = json!({"start": 1, "end": LAST}).to_string();
    body.pop();
    body.extend((0..200_000).map(|n| format!(",\"x{n}\":[{{}}]")));
    body.push('}');
    let path = format!("{QUERIER}LabelNames");
    let answer = server.post(&path, JSON, body.as_bytes()).await;
    assert_eq!((answer.status, answer.text()), (200, right));
    let request = stacks_of(CPU);
    let right = total(&ask(&server, "SelectMergeStacktraces", &request).await);
    let mut body = request.encode_to_vec();
    body.extend([0x98, 0x06, 0x01].repeat(MILLION));
    let path = format!("{QUERIER}SelectMergeStacktraces");
    assert_eq!(total(&server.post(&path, PROTO, &body).await), right);
    body.extend([0x98, 0x06, 0x01].repeat(MILLION));
    assert_eq!(server.post(&path, PROTO, &body).await.status, 400);
}

#[tokio::test]
async fn what_nobody_knows_is_passed_over() {
    let server = Server::of_memory(|_| {}).await;
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let known = series_of(CPU);
    let right = ask(&server, "SelectSeries", &known).await.body;
    let right = SelectSeriesResponse::decode(right.as_slice()).unwrap();
    assert!(!right.series.is_empty());
    // A number, eight bytes, a text and four bytes, in fields of high numbers.
    let unknown: [&[u8]; 4] = [
        &[0x98, 0x06, 0x7f],
        &[0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x9a, 0x06, 3, b'a', 0xff, b'c'],
        &[0x9d, 0x06, 1, 2, 3, 4],
    ];
    let path = format!("{QUERIER}SelectSeries");
    for bytes in unknown {
        for body in
            [[bytes, &known.encode_to_vec()].concat(), [&known.encode_to_vec(), bytes].concat()]
        {
            let answer = server.post(&path, PROTO, &body).await;
            let answer = SelectSeriesResponse::decode(answer.body.as_slice()).unwrap();
            assert_eq!(answer, right);
        }
        // One that breaks off in the middle is no message.
        let half = [&known.encode_to_vec(), &bytes[..bytes.len() - 1]].concat();
        assert_eq!(server.post(&path, PROTO, &half).await.status, 400);
    }
    let question = json!({
        "profileTypeID": CPU, "labelSelector": "{}", "start": 1, "end": LAST, "step": 1e9,
        "noSuchField": {"deep": [[[]], {"a": null}]}, "no": null, "aggregation": null,
    });
    let answer = call(&server, "SelectSeries", &question).await;
    assert_eq!(serde_json::from_slice::<SelectSeriesResponse>(&answer.body).unwrap(), right);
    // So deep that nobody means it.
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(server.post(&path, JSON, deep.as_bytes()).await.status, 400);
}

/// A source that does not answer for stacks before it is told to, and counts who waits for them.
#[derive(Clone, Debug)]
pub(crate) struct Endless {
    pub(crate) memory: Memory,
    pub(crate) n_asked: Arc<AtomicUsize>,
    n_waiting: Arc<AtomicUsize>,
    most_waiting: Arc<AtomicUsize>,
    /// Whether it answers after a while.
    answers: bool,
    /// So many are answered at once otherwise.
    pub(crate) gate: Arc<Semaphore>,
    /// Whether something is missing in its answers.
    lacks: bool,
    /// Whether it computes where values over time are asked for, without an end.
    pub(crate) computes: Arc<AtomicBool>,
}

impl Endless {
    pub(crate) fn new(answers: bool) -> Self {
        let memory = Memory::new();
        let (n_asked, n_waiting, most_waiting, computes) = Default::default();
        let gate = Arc::new(Semaphore::new(0));
        Self { memory, n_asked, n_waiting, most_waiting, answers, gate, lacks: false, computes }
    }
}

impl Endless {
    fn note(&self, report: &Report) {
        if self.lacks {
            let (subject, reason) = ("a slice".to_owned(), "it failed".to_owned());
            report.add_notice(Notice { subject, reason, is_missing: true });
        }
    }
}

/// A question that is under way.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an asynchronous method of a trait gives.
type Answered<'t, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 't>>;

impl Backend for Endless {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn profile_types<'s, 't>(&'s self, range: TimeRange) -> Answered<'t, Vec<ProfileType>>
    where
        's: 't,
        Self: 't,
    {
        self.memory.profile_types(range)
    }

    fn label_sets<'s, 'q, 't>(&'s self, query: &'q MetaQuery) -> Answered<'t, Vec<LabelSet>>
    where
        's: 't,
        'q: 't,
        Self: 't,
    {
        self.memory.label_sets(query)
    }

    fn series<'s, 'q, 'g, 'r, 't>(
        &'s self,
        select: &'q Select,
        grouping: &'g Grouping,
        report: &'r Report,
    ) -> Answered<'t, SeriesAnswer>
    where
        's: 't,
        'q: 't,
        'g: 't,
        'r: 't,
        Self: 't,
    {
        self.note(report);
        self.n_asked.fetch_add(1, Ordering::SeqCst);
        // Up to half a minute, so that a test that fails does so in the end.
        for _ in 0..6000 {
            if !self.computes.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.memory.series(select, grouping, report)
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        self.n_asked.fetch_add(1, Ordering::SeqCst);
        let now = self.n_waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_waiting.fetch_max(now, Ordering::SeqCst);
        let waiting = Waiting(Arc::clone(&self.n_waiting));
        self.note(&report);
        let (answers, inner) = (self.answers, self.memory.stacks(select, grouping, report));
        let gate = Arc::clone(&self.gate);
        futures::stream::once(async move {
            if !answers {
                gate.acquire().await.unwrap().forget();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(waiting);
            inner
        })
        .flatten()
        .boxed()
    }

    fn profiles<'s, 'q, 'r, 't>(
        &'s self,
        _: &'q Select,
        _: &'r Report,
    ) -> Answered<'t, Vec<ProfileRow>>
    where
        's: 't,
        'q: 't,
        'r: 't,
        Self: 't,
    {
        panic!("profiles are listed")
    }

    fn first_and_last<'s, 't>(&'s self) -> Answered<'t, Option<(Timestamp, Timestamp)>>
    where
        's: 't,
        Self: 't,
    {
        self.memory.first_and_last()
    }
}

pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Sends a question and leaves its connection to the caller.
pub(crate) async fn begun(server: &Server, method: &str, body: &[u8], n_sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {QUERIER}{method} HTTP/1.1\r\nHost: {}\r\nContent-Type: {PROTO}\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..n_sent]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_for_a_client_that_goes_away_is_dropped() {
    let source = Endless::new(false);
    let mut options = ServeOptions::default();
    options.max_concurrent = 1;
    let server = Server::start(Arc::new(source.clone()), options).await;
    let request = stacks_of(CPU).encode_to_vec();
    for round in 1..=3 {
        let client = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
        until("the source is asked", || source.n_asked.load(Ordering::SeqCst) == round).await;
        assert_eq!(source.n_waiting.load(Ordering::SeqCst), 1);
        drop(client);
        until("the stream is dropped", || source.n_waiting.load(Ordering::SeqCst) == 0).await;
    }
    // In the middle of a question.
    drop(begun(&server, "SelectMergeStacktraces", &request, request.len() / 2).await);
    // All have given their place back.
    let answer = call(&server, "LabelNames", &json!({"start": 1, "end": 2})).await;
    assert_eq!((answer.status, source.n_asked.load(Ordering::SeqCst)), (200, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_slowly_keeps_his_place_no_longer_than_others() {
    let mut options = ServeOptions::default();
    (options.max_concurrent, options.timeout) = (1, Duration::from_millis(500));
    let server = Server::start(Arc::new(Memory::new()), options).await;
    let request = stacks_of(CPU).encode_to_vec();
    let mut slow = begun(&server, "SelectMergeStacktraces", &request, 3).await;
    let mut answer = vec![0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 504");
    let answer = call(&server, "LabelNames", &json!({"start": 1, "end": 2})).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_has_a_place_until_it_is_taken() {
    let mut options = ServeOptions::default();
    options.max_concurrent = 1;
    let server = Server::start(Arc::new(wide(1_200_000)), options).await;
    let request = stacks_of(CPU).encode_to_vec();
    let mut client = begun(&server, "SelectMergeStacktraces", &request, request.len()).await;
    let mut head = vec![0; 4096];
    let n = client.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..n]).into_owned();
    assert!(head.to_ascii_lowercase().contains("content-length: "), "{head}");
    let question = json!({"start": 1, "end": LAST});
    let other = call(&server, "LabelNames", &question);
    tokio::pin!(other);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut other).await;
    assert!(early.is_err(), "answered while the only place was taken");
    drop(client);
    assert_eq!(other.await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_answered_at_a_time_than_are_allowed() {
    let source = Endless::new(true);
    let mut options = ServeOptions::default();
    options.max_concurrent = 5;
    let server = Arc::new(Server::start(Arc::new(source.clone()), options).await);
    let clients = (0..200).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(
            async move { ask(&server, "SelectMergeStacktraces", &stacks_of(CPU)).await.status },
        )
    });
    for status in futures::future::join_all(clients).await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(source.n_asked.load(Ordering::SeqCst), 200);
    let most = source.most_waiting.load(Ordering::SeqCst);
    assert!((2..=5).contains(&most), "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_get_what_one_gets() {
    let server = Arc::new(Server::of_memory(|_| {}).await);
    server.push_all(shop::pushes(shop::T0, Guise::V2)).await;
    let merge = json!({"profileTypeID": CPU, "labelSelector": "{}", "start": 1, "end": LAST, "step": 1e9, "groupBy": ["pod"]});
    let questions = [
        ("LabelValues", json!({"name": "pod", "start": 1, "end": LAST})),
        ("Series", json!({"start": 1, "end": LAST})),
        ("SelectSeries", merge.clone()),
        ("SelectMergeStacktraces", merge.clone()),
        ("Diff", json!({"left": merge, "right": merge})),
    ];
    let mut alone = Vec::new();
    for (method, question) in &questions {
        let answer = call(&server, method, question).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        alone.push(answer.body);
    }
    let clients = (0..200).map(|n| {
        let (server, (method, question)) = (Arc::clone(&server), questions[n % 5].clone());
        tokio::spawn(async move { call(&server, method, &question).await })
    });
    for (n, answer) in futures::future::join_all(clients).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", questions[n % 5].0);
        assert_eq!(answer.body, alone[n % 5], "{}", questions[n % 5].0);
    }
    // With a place for one, and no time to wait: the answer, or that there is none for now.
    let server = Arc::new(
        Server::of_memory(|options| {
            (options.max_concurrent, options.timeout) = (1, Duration::from_millis(200));
        })
        .await,
    );
    let clients = (0..200).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let answer = call(&server, "Series", &json!({"start": 1, "end": LAST})).await;
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            match answer.status {
                200 => assert_eq!(body, json!({})),
                503 => assert_eq!(body["code"], "unavailable"),
                status => assert_eq!((status, &body["code"]), (504, &json!("deadline_exceeded"))),
            }
        })
    });
    for done in futures::future::join_all(clients).await {
        done.unwrap();
    }
}

/// A folder of a test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static N: AtomicUsize = AtomicUsize::new(0);
        let n = N.fetch_add(1, Ordering::SeqCst);
        let name = format!("served-{}-{n}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder of one profile in each of some files, whose values are powers of two: each sum says which were in it.
fn folder(names: &[&str]) -> Folder {
    let root = Folder::new();
    for (n, name) in names.iter().enumerate() {
        support::write(root.path(), name, &support::cpu(1_700_000_000_000_000_000, 1 << n));
    }
    root
}

/// Statuses and sums: from values over time and from stacks.
async fn sums(server: &Server) -> Vec<Result<i64, (u16, Value)>> {
    let series = ask(server, "SelectSeries", &series_of(support::CPU)).await;
    let stacks = ask(server, "SelectMergeStacktraces", &stacks_of(support::CPU)).await;
    let fault = |answer: &Answer| {
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        Err((answer.status, body["code"].clone()))
    };
    let of_series = match series.status {
        200 => {
            let answer = SelectSeriesResponse::decode(series.body.as_slice()).unwrap();
            #[expect(clippy::cast_possible_truncation, reason = "they are small whole numbers")]
            Ok(answer.series.iter().flat_map(|s| &s.points).map(|p| p.value as i64).sum())
        }
        _ => fault(&series),
    };
    vec![of_series, if stacks.status == 200 { Ok(total(&stacks)) } else { fault(&stacks) }]
}

async fn served(root: &Path, cache_bytes: usize) -> Server {
    let mut options = FilesOptions::default();
    options.cache_bytes = cache_bytes;
    let files = Files::open_with(root, options).unwrap();
    Server::start(Arc::new(files), ServeOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_changes_while_it_is_served() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("added", |root| {
            support::write(root, "d.pb.gz", &support::cpu(1_700_000_000_000_000_000, 8));
        }),
        ("removed", |root| fs::remove_file(root.join("b.pb.gz")).unwrap()),
        ("truncated", |root| {
            let file = fs::File::options().write(true).open(root.join("b.pb.gz")).unwrap();
            file.set_len(20).unwrap();
        }),
        ("replaced", |root| {
            support::write(root, "b.pb.gz", &support::cpu(1_700_000_000_000_000_000, 1 << 20));
        }),
    ];
    let changed = Err((409, json!("aborted")));
    for (what, change) in changes {
        // What is remembered stays as it was, all of it.
        let root = folder(&["a.pb.gz", "b.pb.gz", "c.pb.gz"]);
        let server = served(root.path(), 512 << 20).await;
        assert_eq!(sums(&server).await, [Ok(7), Ok(7)]);
        change(root.path());
        assert_eq!(sums(&server).await, [Ok(7), Ok(7)], "{what}");
        // What has to be read again is as it was, or there is no answer.
        let root = folder(&["a.pb.gz", "b.pb.gz", "c.pb.gz"]);
        let server = served(root.path(), 0).await;
        assert_eq!(sums(&server).await, [Ok(7), Ok(7)]);
        change(root.path());
        let right = if what == "added" { Ok(7) } else { changed.clone() };
        assert_eq!(sums(&server).await, [right.clone(), right], "{what}");
        // Another server of the same folder sees it as it is.
        let server = served(root.path(), 0).await;
        let right = match what {
            "added" => 15,
            "replaced" => 5 + (1 << 20),
            _ => 5,
        };
        assert_eq!(sums(&server).await, [Ok(right), Ok(right)], "{what}");
    }
}

/// Whoever reads an answer of Pyroscope looks for no header of ours, and would take a part for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_answer_is_an_error() {
    for (lacks, status) in [(false, 200), (true, 503)] {
        let source = Endless { lacks, ..Endless::new(true) };
        let server = Server::start(Arc::new(source), ServeOptions::default()).await;
        let stacks = ask(&server, "SelectMergeStacktraces", &stacks_of(support::CPU)).await;
        let series = ask(&server, "SelectSeries", &series_of(support::CPU)).await;
        let page = format!("/pyroscope/render?query={}{{}}&from=1&until=9", support::CPU);
        let page = server.get(&page).await;
        for answer in [stacks, series, page] {
            assert_eq!(answer.status, status, "{}", answer.text());
            assert_eq!(answer.text().contains("is not whole"), lacks, "{}", answer.text());
        }
    }
}

/// Times beyond what nanoseconds hold are as good as the last that they do.
#[tokio::test]
async fn the_ends_of_time_are_no_overflow() {
    let server = Server::of_memory(|_| {}).await;
    for (start, end) in [(-1, i64::MAX), (i64::MIN, i64::MAX), (i64::MIN, -5), (1, i64::MAX)] {
        let mut series = series_of(support::CPU);
        (series.start, series.end) = (start, end);
        let mut stacks = stacks_of(support::CPU);
        (stacks.start, stacks.end) = (start, end);
        assert_eq!(ask(&server, "SelectSeries", &series).await.status, 200, "{start} {end}");
        let answer = ask(&server, "SelectMergeStacktraces", &stacks).await;
        assert_eq!(answer.status, 200, "{start} {end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_is_missing_in_them() {
    let root = folder(&["a.pb.gz", "b.pb.gz", "c.pb.gz"]);
    fs::write(root.path().join("größe\n.pb.gz"), b"damaged").unwrap();
    let server = served(root.path(), 512 << 20).await;
    // Before it was ever read.
    fs::remove_file(root.path().join("b.pb.gz")).unwrap();
    let answer = ask(&server, "SelectMergeStacktraces", &stacks_of(support::CPU)).await;
    assert_eq!(total(&answer), 5);
    let header = answer.header("flamesql-missing").expect("a header");
    assert!(header.starts_with("2 skipped; skipped b.pb.gz: "), "{header}");
    let root = folder(&["a.pb.gz"]);
    let server = served(root.path(), 512 << 20).await;
    let answer = ask(&server, "SelectMergeStacktraces", &stacks_of(support::CPU)).await;
    assert_eq!((total(&answer), answer.header("flamesql-missing")), (1, None));
}

#[tokio::test]
async fn since_when_there_are_profiles_is_known_without_a_list() {
    // Its list of profiles panics.
    let source = Endless::new(true);
    let server = Server::start(Arc::new(source.clone()), ServeOptions::default()).await;
    let stats = async || {
        let answer = call(&server, "GetProfileStats", &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<GetProfileStatsResponse>(&answer.body).unwrap()
    };
    assert_eq!(stats().await, GetProfileStatsResponse::default());
    let cpu = ProfileType::parse(CPU).unwrap();
    let tree = support::tree(&[(vec!["main".to_owned()], 3)]);
    for (millis, tree) in [(3000, &tree), (1000, &support::tree(&[])), (2000, &tree), (9000, &tree)]
    {
        let time = Timestamp::from_nanos(millis * 1_000_000);
        source.memory.insert(&cpu, &Labels::default(), time, 0, tree).unwrap();
    }
    // A profile without a value is none.
    let right = GetProfileStatsResponse {
        data_ingested: true,
        oldest_profile_time: 2000,
        newest_profile_time: 9000,
    };
    assert_eq!(stats().await, right);
    // Of a folder, and of one that is not at hand.
    let root = Folder::new();
    for (name, seconds) in [("a.pb.gz", 9), ("b.pb.gz", 2), ("c.pb.gz", 3)] {
        support::write(root.path(), name, &support::cpu(seconds * 1_000_000_000, 1));
    }
    let server = served(root.path(), 0).await;
    let answer = call(&server, "GetProfileStats", &json!({})).await;
    assert_eq!(serde_json::from_slice::<GetProfileStatsResponse>(&answer.body).unwrap(), right);
    let endless = Memory::new().with_capabilities(Capabilities::local("far").endless());
    let server = Server::start(Arc::new(endless.clone()), ServeOptions::default()).await;
    let answer = call(&server, "GetProfileStats", &json!({})).await;
    assert_eq!(answer.text(), "{}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap() - 60_000_000_000);
    endless.insert(&cpu, &Labels::default(), now, 0, &tree).unwrap();
    let answer = call(&server, "GetProfileStats", &json!({})).await;
    let answer: GetProfileStatsResponse = serde_json::from_slice(&answer.body).unwrap();
    let millis = now.nanos() / 1_000_000;
    let times = (answer.oldest_profile_time, answer.newest_profile_time);
    assert_eq!((answer.data_ingested, times), (true, (millis, millis)));
}
