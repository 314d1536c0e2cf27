//! What `flamesql check` says of servers: up, down, closed to us, and of another kind.
//!
//! Snapshots: where a server is and how long it took stand in the output as `URL` and `TIME`.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    replay::{Exchange, Fields, Recording, query_fields},
    run::Place,
};

/// How a run ended, and all that it said.
fn check(url: &str, args: &[&str]) -> String {
    let args = [&["check", url], args].concat();
    let run = Place::new().run(&args);
    let said = format!("exit {}\n{}{}", run.code.unwrap(), run.text(), run.stderr);
    let said = said.replace(url, "URL");
    let mut words: Vec<&str> = said.split(' ').collect();
    // `1.5 ms` is two words.
    for idx in 1..words.len() {
        if words[idx].starts_with("ms") && words[idx - 1].ends_with(|c: char| c.is_ascii_digit()) {
            words[idx - 1] = if words[idx - 1].starts_with('(') { "(TIME" } else { "TIME" };
        }
    }
    words.join(" ")
}

#[track_caller]
fn assert_same(found: &str, expected: &str) {
    assert!(found == expected, "--- found\n{found}\n--- expected\n{expected}");
}

/// As `check`, of a server that is played back, in the five minutes of which it was told.
fn check_recorded(recording: Recording, args: &[&str]) -> String {
    let t0 = recording.t0;
    let replay = recording.start();
    let (from, to) = (t0.to_string(), (t0 + 300).to_string());
    let range = ["--from", &*from, "--to", &*to];
    let said = check(&replay.url(), &[&range[..], args].concat());
    let unknown = replay.take_unknown();
    assert!(unknown.is_empty(), "asked what is not recorded: {unknown:?}\n{said}");
    said
}

/// A server with one answer to all.
fn answering(status: &str, content_type: &str, body: &str) -> String {
    let answer = http(status, content_type, body.as_bytes());
    answering_with(move |_| answer.clone())
}

fn http(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A server that answers to the first line of a request.
fn answering_with(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = [0; 65536];
                let n_read = stream.read(&mut request).unwrap();
                if n_read > 0 {
                    let request = String::from_utf8_lossy(&request[..n_read]);
                    let first = request.lines().next().unwrap_or_default();
                    stream.write_all(&answer(first)).unwrap();
                }
            });
        }
    });
    url
}

#[test]
fn servers_that_are_up() {
    for (name, expected) in [
        ("pyroscope-2.2-v2", V2),
        ("pyroscope-2.2-v1", V1),
        ("pyroscope-1.15", V115),
        ("phlare-0.6", PHLARE),
    ] {
        assert_same(&check_recorded(Recording::connect(name), &[]), expected);
    }
}

const V2: &str = "\
exit 0
source:        URL, Pyroscope, storage v2
server:        Pyroscope, storage v2
version:       it does not say
asked as:      nobody: no credentials
opened:        in TIME ms
exact to:      1ms
long ranges:   are asked for in slices of 24h and added up
can choose by: label, time, span (in_span), trace (in_trace) if it is 2.2 or newer, profile (in_profile)
cannot:        nothing
range:         from 2026-11-22T16:50:00Z to before 2026-11-22T16:55:00Z
answers:       in TIME ms
profile types: 6: memory:alloc_objects:count:space:bytes, memory:alloc_space:bytes:space:bytes, memory:inuse_objects:count:space:bytes, memory:inuse_space:bytes:space:bytes, process_cpu:cpu:nanoseconds:cpu:nanoseconds, process_cpu:samples:count:cpu:nanoseconds
labels:        4: k8s.cluster, pod, region, service_name
";
const V1: &str = "\
exit 0
source:        URL, Pyroscope, storage v1
server:        Pyroscope, storage v1
version:       it does not say
asked as:      nobody: no credentials
opened:        in TIME ms
exact to:      1s
long ranges:   are asked for in slices of 24h and added up
can choose by: label, time, span (in_span)
cannot:        choose by trace, choose or list single profiles, show labels whose names need quotes, such as k8s.cluster
range:         from 2026-11-22T16:50:00Z to before 2026-11-22T16:55:00Z
answers:       in TIME ms
profile types: 6: memory:alloc_objects:count:space:bytes, memory:alloc_space:bytes:space:bytes, memory:inuse_objects:count:space:bytes, memory:inuse_space:bytes:space:bytes, process_cpu:cpu:nanoseconds:cpu:nanoseconds, process_cpu:samples:count:cpu:nanoseconds
labels:        3: pod, region, service_name
";
const V115: &str = "\
exit 0
source:        URL, Pyroscope, storage v1
server:        Pyroscope, storage v1
version:       it does not say
asked as:      nobody: no credentials
opened:        in TIME ms
exact to:      1s
long ranges:   are asked for in slices of 24h and added up
can choose by: label, time, span (in_span)
cannot:        choose by trace, choose or list single profiles, show labels whose names need quotes, such as k8s.cluster
range:         from 2026-11-22T16:50:00Z to before 2026-11-22T16:55:00Z
answers:       in TIME ms
profile types: 6: memory:alloc_objects:count:space:bytes, memory:alloc_space:bytes:space:bytes, memory:inuse_objects:count:space:bytes, memory:inuse_space:bytes:space:bytes, process_cpu:cpu:nanoseconds:cpu:nanoseconds, process_cpu:samples:count:cpu:nanoseconds
labels:        5: k8s_cluster, pod, region, service_name, trace_id
";
const PHLARE: &str = "\
exit 0
source:        URL, Phlare, or Pyroscope before 1.5
server:        Phlare, or Pyroscope before 1.5
version:       it does not say
asked as:      nobody: no credentials
opened:        in TIME ms
exact to:      1s
long ranges:   are asked for in slices of 24h and added up
can choose by: label, time
cannot:        choose by span, choose by trace, choose or list single profiles, list names of an older range
range:         from 2026-11-22T17:05:00Z to before 2026-11-22T17:10:00Z
answers:       in TIME ms
profile types: 6: memory:alloc_objects:count:space:bytes, memory:alloc_space:bytes:space:bytes, memory:inuse_objects:count:space:bytes, memory:inuse_space:bytes:space:bytes, process_cpu:cpu:nanoseconds:cpu:nanoseconds, process_cpu:samples:count:cpu:nanoseconds
labels:        4: k8s_cluster, pod, region, service_name
notice:        types and labels are those of what came last, whatever the range
";

#[test]
fn the_legacy_server() {
    let mut recording = Recording::read("pyroscope-0.37", query_fields);
    // It has no such path: it looks for a page, and finds none.
    let none = recording.exchange("a Connect path").clone();
    let path = "/capabilities.v1.FeatureFlagsService/GetFeatureFlags".to_owned();
    recording.exchanges.push(Exchange { method: "POST".to_owned(), path, ..none });
    // The labels of one app are recorded; those of the others are made up here.
    let known = recording.exchange("labels of one app").clone();
    for (app, labels) in
        [("mail", r#"["__name__","pod"]"#), ("search", r#"["__name__","pod","region"]"#)]
    {
        let mut made = Exchange { body: labels.as_bytes().to_vec(), ..known.clone() };
        made.fields.insert("query".to_owned(), format!("{app}.cpu{{}}"));
        recording.exchanges.push(made);
    }
    assert_same(
        &check_recorded(recording, &[]),
        "\
exit 0
source:        URL, Pyroscope 0.x (legacy)
server:        Pyroscope 0.x (legacy)
version:       it does not say
asked as:      nobody: no credentials
opened:        in TIME ms
exact to:      10s
long ranges:   are asked for as a whole
can choose by: label, time
cannot:        choose by span, choose by trace, choose or list single profiles
range:         from 2026-11-22T17:05:00Z to before 2026-11-22T17:10:00Z
answers:       in TIME ms
profile types: 3: checkout.cpu, mail.cpu, search.cpu
labels:        2: pod, region
",
    );
}

#[test]
fn a_server_of_another_kind_than_it_is_said_to_be() {
    let said =
        check_recorded(Recording::connect("phlare-0.6"), &["--backend-type", "grafana-pyroscope"]);
    let notice = said.lines().find(|line| line.starts_with("notice:")).unwrap_or_default();
    assert_same(
        notice,
        "notice:        URL: its type is set to grafana-pyroscope, and it seems to be Phlare, or Pyroscope before 1.5",
    );
}

/// What cannot be obeyed says what is there.
#[test]
fn a_type_that_cannot_be_what_it_is_said_to_be() {
    let mut recording = Recording::connect("pyroscope-2.2-v2");
    for path in ["/api/apps", "/build", "/label-values", "/healthz"] {
        let known = recording.exchanges[0].clone();
        let (method, path) = ("GET".to_owned(), path.to_owned());
        let mut fields = Fields::new();
        if path == "/label-values" {
            fields.insert("label".to_owned(), "__name__".to_owned());
        }
        let body = b"404 page not found\n".to_vec();
        recording.exchanges.push(Exchange { method, path, fields, status: 404, body, ..known });
    }
    let replay = recording.start();
    let said = check(&replay.url(), &["--backend-type", "legacy-pyroscope"]);
    assert!(said.starts_with("exit 2\nerror: "), "{said}");
    assert!(
        said.ends_with(
            "hint: it seems to be Pyroscope, storage v2: choose grafana-pyroscope, or no type to have it found out\n"
        ),
        "{said}"
    );
}

/// A server whose second answer with data is damaged.
fn damaged_once() -> String {
    let n_asked = AtomicUsize::new(0);
    answering_with(move |first| {
        let flags = br#"{"featureFlags":[{"name":"v2StorageLayer","enabled":true}]}"#;
        let is_data =
            first.contains("/SelectSeries ") || first.contains("/SelectMergeStacktraces ");
        if first.contains("/GetFeatureFlags ") {
            http("200 OK", "application/json", flags)
        } else if is_data && n_asked.fetch_add(1, Relaxed) == 1 {
            http("200 OK", "application/proto", &[0xff; 9])
        } else {
            // A message in which nothing stands.
            http("200 OK", "application/proto", b"")
        }
    })
}

/// A day of some that is not answered is told by each command, and is an error under --strict.
#[test]
fn what_is_missing_is_told_by_all_commands() {
    let range = ["--from", "2026-11-10", "--to", "2026-11-14"];
    let cpu = ["--type", "process_cpu:cpu:nanoseconds:cpu:nanoseconds"];
    for command in [
        &["series", "--step", "1h"][..],
        &["profile"],
        &["query", "SELECT date_trunc('hour', time), sum(value) FROM series GROUP BY 1"],
    ] {
        let run = |more: &[&str]| {
            let url = damaged_once();
            let (name, rest) = command.split_first().unwrap();
            Place::new().run(&[&[*name, &*url][..], rest, &range, &cpu, more].concat())
        };
        let told = run(&[]);
        assert_eq!(told.code, Some(0), "{command:?}: {}", told.stderr);
        assert!(told.stderr.contains("\nnotice: "), "{command:?}: {}", told.stderr);
        assert_eq!(run(&["--strict"]).code, Some(4), "{command:?}");
    }
}

/// What is known stands before what fails.
#[test]
fn a_server_that_fails_halfway() {
    let mut recording = Recording::connect("pyroscope-2.2-v2");
    for exchange in &mut recording.exchanges {
        if exchange.path.ends_with("/ProfileTypes") {
            exchange.status = 501;
            exchange.body = br#"{"code":"unimplemented","message":"not today"}"#.to_vec();
        }
    }
    let t0 = recording.t0;
    let replay = recording.start();
    let range = ["--from", &t0.to_string(), "--to", &(t0 + 300).to_string()];
    let said = check(&replay.url(), &range);
    let known = "exit 1\nsource:        URL, Pyroscope, storage v2\n";
    assert!(said.starts_with(known) && said.contains("\nrange: "), "{said}");
    assert!(said.contains("\nerror: ") && said.contains("not today"), "{said}");
}

/// The page of a proxy is no server of profiles.
#[test]
fn a_proxy_that_knows_no_such_page() {
    let url = answering("404 Not Found", "text/html", "<html>nginx</html>");
    assert_same(
        &check(&url, &[]),
        "\
exit 2
error: URL is no Pyroscope or Phlare server: it answers with status 404 and text/html
hint: check host, port and path: Pyroscope listens on 4040, Phlare on 4100 by default
",
    );
}

#[test]
fn nobody_is_there() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_same(
        &check(&format!("http://{address}"), &[]),
        "\
exit 1
error: cannot find out what server this is at URL: connection refused (4 tries)
hint: is the server running, and is its port right?
",
    );
}

#[test]
fn it_does_not_let_us_in() {
    let url = answering("401 Unauthorized", "text/html", "<html>log in</html>");
    assert_same(
        &check(&url, &["--token", "a-secret"]),
        "\
exit 3
error: cannot find out what server this is at URL: 401 Unauthorized
hint: give a user and password, a token, or a tenant that this server lets in
",
    );
}

#[test]
fn it_is_no_server_of_profiles() {
    let url = answering("200 OK", "text/html", "<html>hello</html>");
    assert_same(
        &check(&url, &[]),
        "\
exit 2
error: URL is no Pyroscope or Phlare server: it answers with status 200 and text/html
hint: check host, port and path: Pyroscope listens on 4040, Phlare on 4100 by default
",
    );
}
