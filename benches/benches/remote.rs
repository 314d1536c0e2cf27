//! What the adapter of Pyroscope adds to a server's own time: over loopback, from a server that knows its answers.

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_backend::{
    Backend, Grouping, HttpOptions, MetaQuery, Pyroscope, PyroscopeOptions, Report, Select, Split,
    door::Door,
};
use flamesql_benches::{Shape, generate, n_samples};
use flamesql_profile::{ProfileType, TimeRange, Timestamp, pyroscope_tree};
use flamesql_proto::{
    querier::v1::{SelectMergeStacktracesRequest, SelectMergeStacktracesResponse},
    types::v1::LabelValuesResponse,
};
use flamesql_selector::Selector;
use futures::{TryStreamExt, future};
use prost::Message as _;

const FLAGS: &str = r#"{"featureFlags":[{"name":"v2StorageLayer","enabled":true}]}"#;
const MERGE: &str = "/querier.v1.QuerierService/SelectMergeStacktraces";
/// How many look-ups are under way at a time.
const LOOK_UPS: usize = 1000;

/// What the server answers.
struct Answers {
    /// The stacks of any range that is longer than a few milliseconds.
    stacks: Vec<u8>,
    values: Vec<u8>,
    delay: Duration,
}

/// Starts a server that ends with the program.
fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let answers = Arc::new(answers);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            thread::Builder::new()
                .stack_size(128 << 10)
                .spawn(move || drop(talk(stream, &answers)))
                .expect("a thread can be started");
        }
    });
    url
}

fn talk(stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        if head.is_empty() {
            return Ok(());
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (kind, answer): (&str, &[u8]) = match path {
            path if path.ends_with("/GetFeatureFlags") => ("application/json", FLAGS.as_bytes()),
            MERGE if !is_border(&body) => ("application/proto", &answers.stacks),
            path if path.ends_with("/LabelValues") => ("application/proto", &answers.values),
            _ => ("application/proto", &[]),
        };
        thread::sleep(answers.delay);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        writer.write_all(head.as_bytes())?;
        writer.write_all(answer)?;
    }
}

/// Whether a request for stacks is for a millisecond alone.
fn is_border(body: &[u8]) -> bool {
    SelectMergeStacktracesRequest::decode(body).is_ok_and(|r| r.end - r.start <= 1)
}

fn remote(c: &mut Criterion) {
    let tree = generate(Shape::Synthetic, n_samples(1_000_000)).tree(1).expect("sums are small");
    let bytes = pyroscope_tree::encode(&tree);
    let answer =
        SelectMergeStacktracesResponse { tree: bytes.clone().into(), ..Default::default() };
    let values = LabelValuesResponse { names: (0..100).map(|n| format!("pod-{n}")).collect() };
    let answers =
        |delay| Answers { stacks: answer.encode_to_vec(), values: values.encode_to_vec(), delay };
    let url = serve(answers(Duration::ZERO));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let source = runtime.block_on(Pyroscope::open(&url, &PyroscopeOptions::default()));
    let source = source.expect("the server answers");
    let door = Door::new(&url, &HttpOptions::default()).expect("the address is right");
    let cpu =
        ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").expect("five parts");
    let range = |hours: i64| {
        let start = Timestamp::from_nanos(1_700_000_000_000_000_000);
        TimeRange::new(start, start.saturating_add(hours * 3_600_000_000_000)).expect("forwards")
    };
    let select = |hours| Select::new(cpu.clone(), Selector::all(), range(hours));

    let mut group = c.benchmark_group("remote");
    group.sample_size(10).throughput(Throughput::Elements(tree.len() as u64));
    let request = SelectMergeStacktracesRequest { end: 3_600_000, ..Default::default() };
    let request = request.encode_to_vec();
    group.bench_function("fetch", |b| {
        b.iter(|| {
            let answer = runtime.block_on(door.post(MERGE, request.clone(), &Report::new()));
            assert!(answer.expect("the server answers").2.len() > bytes.len(), "not the tree");
        });
    });
    group.bench_function("decode", |b| b.iter(|| pyroscope_tree::decode(black_box(&bytes))));
    group.bench_function("stacks", |b| {
        b.iter(|| {
            let stacks = source.stacks(select(1), Grouping::default(), Report::new());
            runtime.block_on(stacks.try_collect::<Vec<_>>()).expect("the server answers")
        });
    });
    let query = |n: i64| MetaQuery {
        profile_type: None,
        selector: Selector::all(),
        range: range(n % 10 + 1),
    };
    group.throughput(Throughput::Elements(LOOK_UPS as u64));
    group.bench_function("label_values_p99_of_1000", |b| {
        b.iter_custom(|n| {
            let rounds = (0..n).map(|_| {
                let look_ups = (0..LOOK_UPS).map(|n| {
                    let (source, query) = (&source, query(n as i64));
                    async move {
                        let start = Instant::now();
                        source.label_values("pod", &query).await.expect("the server answers");
                        start.elapsed()
                    }
                });
                let mut times = runtime.block_on(future::join_all(look_ups));
                times.sort_unstable();
                times[LOOK_UPS * 99 / 100]
            });
            rounds.sum()
        });
    });

    let url = serve(answers(Duration::from_millis(20)));
    let slow = runtime.block_on(Pyroscope::open(&url, &PyroscopeOptions::default()));
    let split = Split::new(Arc::new(slow.expect("the server answers")));
    group.bench_function("week_in_days_of_20_ms", |b| {
        let grouping = Grouping::default();
        b.iter(|| {
            let select = select(7 * 24);
            runtime.block_on(split.series(&select, &grouping, &Report::new()))
        });
    });
    group.finish();
    runtime.shutdown_background();
}

criterion_group!(benches, remote);
criterion_main!(benches);
