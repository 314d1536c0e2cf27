//! All that can go wrong between us and a server, each wrong thing by itself.

use std::{
    error::Error as StdError,
    io::Write as _,
    net::TcpListener as StdListener,
    time::{Duration, Instant},
};

use flamesql_backend::{
    Error, ErrorKind, HttpOptions, Proxy, Report, Secret,
    door::{Answer, Door},
};
use flate2::{Compression, write::GzEncoder};
use futures::future;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use crate::faulty::{Authority, Faulty, Seen, Signed, Step, answer, head};

const OK: &[u8] = b"all is well";

fn ok() -> Vec<u8> {
    answer(200, &[("Content-Type", "application/json")], OK)
}

/// Short times, and nobody else's proxy.
fn options() -> HttpOptions {
    let mut options = HttpOptions::default();
    options.proxy = Proxy::None;
    options.timeouts.request = Duration::from_secs(20);
    options
}

fn within(request: Duration) -> HttpOptions {
    let mut options = options();
    options.timeouts.request = request;
    options
}

async fn get(url: &str, options: &HttpOptions) -> Result<Answer, Error> {
    Door::new(url, options)?.get("/path?query=1", &Report::new()).await
}

/// What a failed request says: its kind, its one line, and what to do next.
async fn refused(url: &str, options: &HttpOptions, kind: ErrorKind) -> (String, String) {
    let error = get(url, options).await.unwrap_err();
    told(&error, kind)
}

fn told(error: &Error, kind: ErrorKind) -> (String, String) {
    let (line, hint) = (error.to_string(), error.hint().unwrap_or_default().to_owned());
    assert_eq!(error.kind(), kind, "{line}");
    assert!(!line.contains('\n') && !hint.contains('\n'), "{line} {hint}");
    // The one line says it all.
    assert!(error.source().is_none(), "{error:?}");
    (line, hint)
}

fn cannot(base: &str, reason: &str) -> String {
    format!("cannot list the profile types at {base}: {reason}")
}

/// A port at which nobody listens.
fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn nobody_listens() {
    let base = format!("http://127.0.0.1:{}", free_port());
    let mut options = options();
    options.max_retries = 1;
    let report = Report::new();
    let error = Door::new(&base, &options).unwrap().get("/", &report).await.unwrap_err();
    let (line, hint) = told(&error, ErrorKind::Unavailable);
    assert_eq!(line, cannot(&base, "connection refused (2 tries)"));
    assert_eq!(hint, "is the server running, and is its port right?");
    assert_eq!(report.requests(), 2);
}

#[tokio::test]
async fn the_server_comes_up_meanwhile() {
    let port = free_port();
    let door = Door::new(&format!("http://127.0.0.1:{port}"), &options()).unwrap();
    let (report, handle) = (Report::new(), Report::new());
    let late = async {
        while handle.requests() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(&ok()).await.unwrap();
    };
    let asked = async {
        handle.add_requests(1);
        door.get("/", &report).await
    };
    let (found, ()) = tokio::join!(asked, late);
    assert_eq!(found.unwrap().2, OK);
    assert!(report.requests() > 1);
}

#[tokio::test]
async fn the_name_does_not_resolve() {
    let url = "http://nowhere.invalid:4040";
    let (line, hint) = refused(url, &options(), ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(url, "the name nowhere.invalid does not resolve"));
    assert!(hint.contains("spelled"), "{hint}");
}

#[tokio::test]
async fn statuses_pass_through() {
    for (status, kind, body) in [
        (200, "application/json; charset=utf-8", "{}"),
        (200, "text/html", "<html>not what was asked for</html>"),
        (400, "application/json", r#"{"code":"invalid_argument"}"#),
        (401, "application/json", r#"{"code":"unauthenticated"}"#),
        (403, "text/plain", "no"),
        (404, "text/html", "<html><h1>404 Not Found</h1>nginx</html>"),
        (500, "text/plain", "for ever"),
        (501, "", ""),
    ] {
        let server =
            Faulty::answering(answer(status, &[("Content-Type", kind)], body.as_bytes())).await;
        let report = Report::new();
        let found = Door::new(&server.url(), &options()).unwrap().get("/", &report).await.unwrap();
        assert_eq!(found, (status, kind.to_owned(), body.as_bytes().to_vec()));
        assert_eq!((report.requests(), report.bytes()), (1, body.len() as u64), "{status}");
    }
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    // Status, further header, body; and how often a server is asked that answers so twice before all is well.
    for (status, header, body, asked) in [
        (429, ("X-A", "b"), "", 3),
        (429, ("Retry-After", "0"), "", 3),
        (502, ("X-A", "b"), "", 3),
        (503, ("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), "starting", 3),
        (504, ("Retry-After", "nonsense"), "", 3),
        (500, ("X-A", "b"), "passing", 3),
        (500, ("X-A", "b"), "not passing", 1),
        (408, ("X-A", "b"), "", 1),
    ] {
        let bad = answer(status, &[header], body.as_bytes());
        let plan = move |n, _: &Seen| vec![Step::Send(if n < 2 { bad.clone() } else { ok() })];
        let server = Faulty::start(plan).await;
        let report = Report::new();
        let door = Door::new(&server.url(), &options()).unwrap();
        let found = door.post("/", b"question".to_vec(), &report).await.unwrap();
        assert_eq!((report.requests(), server.seen().len()), (asked, asked as usize), "{status}");
        assert_eq!(found.0, if asked == 1 { status } else { 200 });
        assert!(server.seen().iter().all(|seen| seen.body == b"question"));
        // All of them over one connection.
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let busy = answer(429, &[("Retry-After", "1")], b"");
    let server =
        Faulty::start(move |n, _| vec![Step::Send(if n == 0 { busy.clone() } else { ok() })]).await;
    let begin = Instant::now();
    assert_eq!(get(&server.url(), &options()).await.unwrap().2, OK);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_no_wait() {
    let busy = answer(429, &[("Retry-After", "3600")], b"{\"message\":\n \"too many\"}");
    let server = Faulty::answering(busy).await;
    let begin = Instant::now();
    let (line, _) = refused(&server.url(), &options(), ErrorKind::Unavailable).await;
    let reason = r#"it answers 429 and asks to wait 1h, longer than is left of 20s: {"message": "too many"}"#;
    assert_eq!(line, cannot(&server.url(), reason));
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(server.seen().len(), 1);
    // A page is not quoted.
    let busy = answer(503, &[("Retry-After", "3600"), ("Content-Type", "text/html")], b"<html>");
    let server = Faulty::answering(busy).await;
    let (line, _) = refused(&server.url(), &options(), ErrorKind::Unavailable).await;
    assert!(line.ends_with("longer than is left of 20s"), "{line}");
}

#[tokio::test]
async fn unavailable_for_ever() {
    let server = Faulty::answering(answer(503, &[], b"no")).await;
    let mut options = options();
    options.max_retries = 2;
    assert_eq!(get(&server.url(), &options).await.unwrap().0, 503);
    assert_eq!(server.seen().len(), 3);
    // The deadline comes first: the last answer stands.
    options.max_retries = u32::MAX;
    options.timeouts.request = Duration::from_millis(400);
    let begin = Instant::now();
    assert_eq!(get(&server.url(), &options).await.unwrap().0, 503);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_answer_is_cut() {
    let announced = |encoding: &[(&str, &str)], n: usize| {
        head(200, &[encoding, &[("Content-Length", n.to_string().as_str())]].concat())
    };
    let chunked = head(200, &[("Transfer-Encoding", "chunked")]);
    for (start, reason) in [
        (announced(&[], 1000), "the answer breaks off after 9 of 1000 bytes"),
        ([&chunked[..], b"20\r\n"].concat(), "the answer breaks off after 9 bytes"),
        ([&chunked[..], b"9\r\n"].concat(), "the answer breaks off after 9 bytes"),
    ] {
        let whole = [&start[..], b"some half"].concat();
        let server = Faulty::start(move |_, _| vec![Step::Send(whole.clone()), Step::Close]).await;
        let (line, _) = refused(&server.url(), &options(), ErrorKind::Unavailable).await;
        assert!(line.contains(reason), "{line}");
        // It may be cut because it is large, and would be so again.
        assert_eq!(server.seen().len(), 1);
    }
    // Without a length the end of the connection is the end of the answer.
    let whole = [&head(200, &[])[..], b"some half"].concat();
    let server = Faulty::start(move |_, _| vec![Step::Send(whole.clone()), Step::Close]).await;
    assert_eq!(get(&server.url(), &options()).await.unwrap().2, b"some half");
    // Half of a gzip is noticed even then.
    let half = gzip(&[7; 1000]);
    let whole = [&head(200, &[("Content-Encoding", "gzip")])[..], &half[..half.len() - 5]].concat();
    let server = Faulty::start(move |_, _| vec![Step::Send(whole.clone()), Step::Close]).await;
    let (line, _) = refused(&server.url(), &options(), ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&server.url(), "the answer is damaged: it is no whole gzip"));
}

#[tokio::test]
async fn the_answer_has_another_encoding() {
    let server = Faulty::answering(answer(200, &[("Content-Encoding", "br")], b"x")).await;
    let (line, _) = refused(&server.url(), &options(), ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&server.url(), "it answers in \"br\", asked for gzip"));
}

#[tokio::test]
async fn gzip_goes_both_ways() {
    let inflated = vec![b'x'; 100_000];
    let packed = gzip(&inflated);
    let length = packed.len() as u64;
    let server = Faulty::answering(answer(200, &[("Content-Encoding", "gzip")], &packed)).await;
    let door = Door::new(&server.url(), &options()).unwrap();
    let report = Report::new();
    for question in [vec![b'q'; 100], vec![b'q'; 10_000]] {
        assert_eq!(door.post("/", question, &report).await.unwrap().2, inflated);
    }
    assert_eq!(report.bytes(), 2 * length);
    let seen = server.seen();
    assert_eq!(seen[0].header("accept-encoding"), Some("gzip"));
    assert_eq!((seen[0].header("content-encoding"), seen[0].body.len()), (None, 100));
    assert_eq!(seen[1].header("content-encoding"), Some("gzip"));
    assert!(seen[1].body.len() < 1000 && seen[1].body.starts_with(&[0x1f, 0x8b]));
}

#[tokio::test]
async fn the_answer_is_too_large() {
    let mut options = options();
    options.max_answer_bytes = 100_000;
    let gigabyte = head(200, &[("Content-Length", "1073741824")]);
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    let bomb = gzip(&vec![0; 4 << 20]);
    assert!(bomb.len() < 100_000);
    let bomb_header = [("Content-Encoding", "gzip")];
    for steps in [
        // Announced: not a byte of it is waited for.
        vec![Step::Send(gigabyte.clone()), Step::Hang],
        vec![Step::Send(gigabyte), Step::Repeat(vec![0; 0x10000])],
        vec![Step::Send(head(200, &[("Transfer-Encoding", "chunked")])), Step::Repeat(chunk)],
        vec![Step::Send(head(200, &[])), Step::Repeat(vec![0; 0x10000])],
        vec![Step::Send(answer(200, &bomb_header, &bomb)), Step::Hang],
        // Too large on the wire, whatever it may inflate to.
        vec![Step::Send(head(200, &bomb_header)), Step::Repeat(gzip(b""))],
    ] {
        let server = Faulty::start(move |_, _| steps.clone()).await;
        let door = Door::new(&server.url(), &options).unwrap();
        let report = Report::new();
        let error = door.get("/", &report).await.unwrap_err();
        let (line, hint) = told(&error, ErrorKind::Unavailable);
        let reason = "the answer is larger than the limit of 100000 bytes";
        assert_eq!(line, cannot(&server.url(), reason));
        assert!(hint.contains("shorter range"), "{hint}");
        // Nobody reads on to see how much there is.
        assert!(report.bytes() < 2_000_000, "{}", report.bytes());
        server.closed(1).await;
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn bytes_drip_beyond_the_deadline() {
    let start = head(200, &[("Content-Length", "1000")]);
    let mut steps = vec![Step::Send(start)];
    for _ in 0..1000 {
        steps.extend([Step::Send(vec![b'x']), Step::Wait(Duration::from_millis(20))]);
    }
    let server = Faulty::start(move |_, _| steps.clone()).await;
    let begin = Instant::now();
    let (line, _) =
        refused(&server.url(), &within(Duration::from_millis(300)), ErrorKind::Unavailable).await;
    assert!(line.contains("the answer is not complete within 300ms: "), "{line}");
    assert!(line.ends_with(" of 1000 bytes came"), "{line}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn no_answer_ever_comes() {
    let server = Faulty::start(|_, _| vec![Step::Hang]).await;
    let begin = Instant::now();
    let (line, hint) =
        refused(&server.url(), &within(Duration::from_millis(200)), ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&server.url(), "no answer within 200ms"));
    assert!(hint.contains("more time"), "{hint}");
    assert!(begin.elapsed() < Duration::from_secs(10));
    server.closed(1).await;
    // The deadline is one for all tries.
    let plan = |n, _: &Seen| {
        if n == 0 { vec![Step::Send(answer(503, &[], b""))] } else { vec![Step::Hang] }
    };
    let server = Faulty::start(plan).await;
    let (line, _) =
        refused(&server.url(), &within(Duration::from_millis(500)), ErrorKind::Unavailable).await;
    let reason = "no answer within 500ms (2 tries; before: status 503)";
    assert_eq!(line, cannot(&server.url(), reason));
}

#[tokio::test]
async fn no_handshake_ever_ends() {
    let server = Faulty::start(|_, _| vec![Step::Hang]).await;
    let mut options = options();
    options.timeouts.connect = Duration::from_millis(100);
    options.timeouts.tls_handshake = Duration::from_millis(50);
    let url = format!("https://localhost:{}", server.address.port());
    let (line, _) = refused(&url, &options, ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&url, "no connection within 150ms"));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_connection_is_closed_without_an_answer() {
    let plan = |n, _: &Seen| vec![if n < 2 { Step::Close } else { Step::Send(ok()) }];
    let server = Faulty::start(plan).await;
    assert_eq!(get(&server.url(), &options()).await.unwrap().2, OK);
    let server = Faulty::start(|_, _| vec![Step::Close]).await;
    let mut options = options();
    options.max_retries = 1;
    let (line, _) = refused(&server.url(), &options, ErrorKind::Unavailable).await;
    let reason = "the connection was closed before an answer (2 tries)";
    assert_eq!(line, cannot(&server.url(), reason));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Faulty::answering(ok()).await;
    // Whatever the environment says of proxies: it is this machine.
    let door = Door::new(&server.url(), &HttpOptions::default()).unwrap();
    for _ in 0..5 {
        door.clone().get("/", &Report::new()).await.unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (5, 1));
    // One that the server closed while nobody used it is no failure.
    let server = Faulty::start(|_, _| vec![Step::Send(ok()), Step::Close]).await;
    let door = Door::new(&server.url(), &options()).unwrap();
    for _ in 0..5 {
        door.get("/", &Report::new()).await.unwrap();
    }
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn no_more_are_under_way_than_may_be() {
    const MAX: usize = 3;
    let server =
        Faulty::start(|_, _| vec![Step::Wait(Duration::from_millis(20)), Step::Send(ok())]).await;
    let mut options = options();
    options.max_concurrent = MAX;
    let door = Door::new(&server.url(), &options).unwrap();
    let report = Report::new();
    let all = future::join_all((0..20).map(|_| door.get("/", &report))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    // Each of them has a connection to itself for as long as it lasts.
    assert_eq!(server.connections(), MAX);
    assert_eq!(server.seen().len(), 20);
    assert_eq!(report.requests(), 20);

    // Who waits for a turn has a deadline like all others.
    let server = Faulty::start(|_, _| vec![Step::Hang]).await;
    let mut options = within(Duration::from_secs(1));
    (options.max_concurrent, options.max_retries) = (1, 0);
    let door = Door::new(&server.url(), &options).unwrap();
    let later = async {
        sleep(Duration::from_millis(500)).await;
        door.get("/", &report).await
    };
    let (first, second) = future::join(door.get("/", &report), later).await;
    let said = [first, second].map(|answer| told(&answer.unwrap_err(), ErrorKind::Unavailable).0);
    assert!(said[0].ends_with("no answer within 1s"), "{said:?}");
    assert!(said[1].contains("no answer within 1s, of which it waited "), "{said:?}");
}

#[tokio::test]
async fn something_else_listens() {
    let server = Faulty::answering(b"220 mail.example ESMTP\r\n".to_vec()).await;
    let (line, hint) = refused(&server.url(), &options(), ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&server.url(), "what answers does not speak HTTP"));
    assert_eq!(hint, "is it a server of https://?");
}

#[test]
fn a_caller_who_leaves_ends_the_request() {
    let of_server = tokio::runtime::Runtime::new().unwrap();
    let slow = [&head(200, &[("Content-Length", "9")])[..], b"x"].concat();
    for steps in [vec![Step::Hang], vec![Step::Send(slow), Step::Hang]] {
        let server = of_server.block_on(Faulty::start(move |_, _| steps.clone()));
        let ours = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        ours.block_on(async {
            let door = Door::new(&server.url(), &options()).unwrap();
            let report = Report::new();
            let asked = door.get("/", &report);
            timeout(Duration::from_millis(100), asked).await.unwrap_err();
            assert_eq!(report.requests(), 1);
            timeout(Duration::from_secs(10), server.closed(1)).await.unwrap();
            let metrics = tokio::runtime::Handle::current().metrics();
            let begin = Instant::now();
            while metrics.num_alive_tasks() > 0 && begin.elapsed() < Duration::from_secs(10) {
                sleep(Duration::from_millis(1)).await;
            }
            // Nothing is left of it, though the client still is there.
            assert_eq!(metrics.num_alive_tasks(), 0);
            drop(door);
        });
    }
}

#[tokio::test]
async fn redirections_stay_within_the_server() {
    let other = Faulty::answering(ok()).await;
    let elsewhere = format!("{}/secret?token=hidden", other.url());
    for (status, location, kind, reason, hint) in [
        (302, elsewhere.as_str(), ErrorKind::NotFound, "/secret", "the address to take"),
        (307, elsewhere.as_str(), ErrorKind::NotFound, "/secret", "the address to take"),
        (301, "/moved", ErrorKind::NotFound, "/moved", "the address to take"),
        (302, "/login?next=x", ErrorKind::Unauthorized, "/login, which is a login", "right"),
        (
            303,
            "https://sso.example/start",
            ErrorKind::Unauthorized,
            "https://sso.example/start, which is a login",
            "right",
        ),
    ] {
        let server = Faulty::answering(answer(status, &[("Location", location)], b"")).await;
        let mut options = options();
        options.token = Some(Secret::new("hidden"));
        let (line, found) = refused(&server.url(), &options, kind).await;
        assert!(line.contains(&format!("it answers {status} and sends to ")), "{line}");
        assert!(line.ends_with(reason) && !line.contains("hidden"), "{line}");
        assert!(found.contains(hint), "{found}");
        assert_eq!(server.seen().len(), 1);
    }
    assert!(other.seen().is_empty());

    let plan = |n, _: &Seen| {
        let there = answer(308, &[("Location", "/there")], b"");
        vec![Step::Send(if n == 0 { there } else { ok() })]
    };
    let server = Faulty::start(plan).await;
    let mut options = options();
    options.token = Some(Secret::new("hidden"));
    let door = Door::new(&server.url(), &options).unwrap();
    let found = door.post("/here", b"question".to_vec(), &Report::new()).await.unwrap();
    assert_eq!(found.2, OK);
    let seen = &server.seen()[1];
    assert!(seen.head.starts_with("POST /there "), "{}", seen.head);
    assert_eq!(
        (seen.header("authorization"), &seen.body[..]),
        (Some("Bearer hidden"), &b"question"[..])
    );
    // Round and round is no way.
    let server = Faulty::answering(answer(307, &[("Location", "/x")], b"")).await;
    refused(&server.url(), &options, ErrorKind::NotFound).await;
    assert!(server.seen().len() < 10);
}

#[tokio::test]
async fn each_request_says_what_it_has_to() {
    let server = Faulty::answering(ok()).await;
    let mut options = options();
    options.tenant = Some("a|b".to_owned());
    options.headers.push(("X-Extra".to_owned(), Secret::new("yes")));
    let url = format!("http://me:w%40rd@{}/prefix/", server.address);
    let door = Door::new(&url, &options).unwrap();
    assert_eq!(door.base(), format!("http://{}/prefix", server.address));
    door.get("/path?a=b", &Report::new()).await.unwrap();
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("GET /prefix/path?a=b HTTP/1.1\r\n"), "{}", seen.head);
    let host = server.address.to_string();
    for (name, value) in [
        ("host", host.as_str()),
        ("accept", "*/*;allow-utf8-labelnames=true"),
        ("accept-encoding", "gzip"),
        ("authorization", "Basic bWU6d0ByZA=="),
        ("user-agent", concat!("flamesql/", env!("CARGO_PKG_VERSION"))),
        ("x-scope-orgid", "a|b"),
        ("x-extra", "yes"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_proxy_is_between() {
    let proxy = Faulty::answering(ok()).await;
    let through = |user: &str| {
        let mut options = options();
        options.proxy = Proxy::Url(Secret::new(format!("http://{user}{}", proxy.address)));
        options
    };
    let found = get("http://pyroscope.invalid/x", &through("me:hidden@")).await.unwrap();
    assert_eq!(found.2, OK);
    let seen = &proxy.seen()[0];
    assert!(seen.head.starts_with("GET http://pyroscope.invalid/x/path?query=1 "), "{}", seen.head);
    assert_eq!(seen.header("proxy-authorization"), Some("Basic bWU6aGlkZGVu"));
    // A proxy that leads nowhere.
    let port = free_port();
    let mut options = options();
    options.max_retries = 0;
    options.proxy = Proxy::Url(Secret::new(format!("http://me:hidden@127.0.0.1:{port}")));
    let url = "http://pyroscope.invalid";
    let (line, _) = refused(url, &options, ErrorKind::Unavailable).await;
    let reason = format!("connection refused, by way of the proxy http://127.0.0.1:{port}");
    assert_eq!(line, cannot(url, &reason));
    // A proxy that lets nobody through to a server of https.
    let proxy = Faulty::answering(answer(407, &[], b"")).await;
    options.proxy = Proxy::Url(Secret::new(proxy.url()));
    let (line, _) = refused("https://pyroscope.invalid", &options, ErrorKind::Unavailable).await;
    assert!(line.ends_with(&format!("by way of the proxy {}", proxy.url())), "{line}");
    assert!(proxy.seen()[0].head.starts_with("CONNECT pyroscope.invalid:443 "));
    for url in ["socks5://127.0.0.1:1080", "hidden", "http://a:hidden@h/path"] {
        options.proxy = Proxy::Url(Secret::new(url));
        let error = Door::new("http://h", &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}

async fn tls(signed: &Signed, clients: Option<&Authority>) -> Faulty {
    Faulty::start_tls(signed.server(clients, &[]), |_, _| vec![Step::Send(ok())]).await
}

fn https(server: &Faulty) -> String {
    format!("https://localhost:{}", server.address.port())
}

#[tokio::test]
async fn certificates_are_looked_at() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let good = authority.sign(&["localhost"], |_| ());
    let of_shop = authority.sign(&["shop.test", "127.0.0.2"], |_| ());
    let expired = authority.sign(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 2, 3);
    });
    let early = authority.sign(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(3001, 2, 3);
    });
    let alone = Signed::by_itself(&["localhost"], false);
    let own_authority = Signed::by_itself(&["localhost"], true);
    let own_of_shop = Signed::by_itself(&["shop.test"], true);
    let (ca, of_other) = (authority.pem(), other.pem());
    let bundle = format!("{of_other}# a comment\n{ca}");
    let untrusted = "its certificate is not trusted: no authority known here signed it";
    let another = "its certificate is for another name: shop.test, 127.0.0.2, not localhost";
    // The server's certificate, the CA certificate, the server name, and what is wrong.
    for (signed, ca, name, reason) in [
        (&good, Some(&ca), None, None),
        (&good, Some(&bundle), None, None),
        (&good, None, None, Some(untrusted)),
        (&good, Some(&of_other), None, Some(untrusted)),
        (&of_shop, Some(&ca), None, Some(another)),
        (&of_shop, Some(&ca), Some("shop.test"), None),
        (&of_shop, Some(&ca), Some("127.0.0.2"), None),
        (&good, Some(&ca), Some("shop.test"), Some("localhost, not shop.test")),
        (&expired, Some(&ca), None, Some("its certificate has expired")),
        (&early, Some(&ca), None, Some("its certificate is not valid yet")),
        (&alone, None, None, Some(untrusted)),
        (&alone, Some(&alone.certificate.pem()), None, None),
        (&own_authority, None, None, Some("it is that of an authority itself")),
        (&own_authority, Some(&own_authority.certificate.pem()), None, None),
        (
            &own_of_shop,
            Some(&own_of_shop.certificate.pem()),
            None,
            Some("shop.test, not localhost"),
        ),
        (&own_of_shop, Some(&own_of_shop.certificate.pem()), Some("shop.test"), None),
    ] {
        let server = tls(signed, None).await;
        let mut options = options();
        options.tls.ca_certificate = ca.cloned();
        options.tls.server_name = name.map(str::to_owned);
        let url = https(&server);
        match reason {
            None => assert_eq!(get(&url, &options).await.unwrap().2, OK),
            Some(reason) => {
                let (line, _) = refused(&url, &options, ErrorKind::Unavailable).await;
                assert!(line.starts_with(&cannot(&url, "")) && line.contains(reason), "{line}");
                assert!(server.seen().is_empty());
            }
        }
        options.tls.skip_verify = true;
        assert_eq!(get(&url, &options).await.unwrap().2, OK);
    }
    let (_, hint) =
        refused(&https(&tls(&good, None).await), &options(), ErrorKind::Unavailable).await;
    for name in ["--ca", "tlsCACert", "--insecure", "tlsSkipVerify"] {
        assert!(hint.contains(name), "{hint}");
    }
    let server = tls(&of_shop, None).await;
    let mut options = options();
    options.tls.ca_certificate = Some(ca);
    let (_, hint) = refused(&https(&server), &options, ErrorKind::Unavailable).await;
    assert!(hint.contains("--server-name") && hint.contains("serverName"), "{hint}");
}

#[tokio::test]
async fn a_server_wants_to_know_who_asks() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let server = tls(&authority.sign(&["localhost"], |_| ()), Some(&authority)).await;
    let mut options = options();
    options.tls.ca_certificate = Some(authority.pem());
    let (line, hint) = refused(&https(&server), &options, ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&https(&server), "it wants a certificate of the client"));
    assert!(hint.contains("tlsClientCert"), "{hint}");
    for (signer, is_taken) in [(&authority, true), (&other, false)] {
        let ours = signer.sign(&["someone"], |_| ());
        let key = Secret::new(ours.key.serialize_pem());
        options.tls.client_certificate = Some((ours.certificate.pem(), key));
        if is_taken {
            assert_eq!(get(&https(&server), &options).await.unwrap().2, OK);
        } else {
            let (line, _) = refused(&https(&server), &options, ErrorKind::Unavailable).await;
            assert!(line.contains("it does not accept the client certificate: "), "{line}");
        }
    }
}

#[tokio::test]
async fn tls_meets_no_tls() {
    let server = Faulty::answering(ok()).await;
    let url = format!("https://localhost:{}", server.address.port());
    let (line, hint) = refused(&url, &options(), ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&url, "what answers does not speak TLS"));
    assert_eq!(hint, "is it http:// there?");
    let server = tls(&Authority::new("ours").sign(&["localhost"], |_| ()), None).await;
    let mut options = options();
    options.max_retries = 0;
    let (line, hint) = refused(&server.url(), &options, ErrorKind::Unavailable).await;
    assert_eq!(line, cannot(&server.url(), "what answers does not speak HTTP"));
    assert_eq!(hint, "is it a server of https://?");
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered() {
    let authority = Authority::new("ours");
    let signed = authority.sign(&["localhost"], |_| ());
    let mut options = options();
    options.tls.ca_certificate = Some(authority.pem());
    options.tenant = Some("a".to_owned());
    let big = vec![b'x'; 300_000];
    for (alpn, is_h2) in [(&["h2", "http/1.1"][..], true), (&["http/1.1"], false), (&[], false)] {
        let body = big.clone();
        let plan = move |_, seen: &Seen| {
            let bytes = if seen.is_h2 { body.clone() } else { answer(200, &[], &body) };
            vec![Step::Send(bytes)]
        };
        let server = Faulty::start_tls(signed.server(None, alpn), plan).await;
        let door = Door::new(&https(&server), &options).unwrap();
        let report = Report::new();
        let (first, second) =
            tokio::join!(door.post("/x", b"one".to_vec(), &report), door.get("/y", &report));
        assert!(first.unwrap().2 == big && second.unwrap().2 == big);
        door.get("/z", &report).await.unwrap();
        let seen = server.seen();
        assert!(seen.len() == 3 && seen.iter().all(|seen| seen.is_h2 == is_h2), "{alpn:?}");
        assert!(seen.iter().all(|seen| seen.header("x-scope-orgid") == Some("a")));
        // The limit holds there as well, and the connection outlives it.
        let mut small = options.clone();
        small.max_answer_bytes = 1000;
        let (line, _) = refused(&https(&server), &small, ErrorKind::Unavailable).await;
        assert!(line.ends_with("the answer is larger than the limit of 1000 bytes"), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_a_request() {
    let authority = Authority::new("ours");
    let (one, two) = (authority.sign(&["a"], |_| ()), authority.sign(&["b"], |_| ()));
    let (pem, key) = (one.certificate.pem(), one.key.serialize_pem());
    let with = |certificate: &str, key: &str| {
        let mut options = options();
        options.tls.client_certificate = Some((certificate.to_owned(), Secret::new(key)));
        options
    };
    let of_ca = |pem: &str| {
        let mut options = options();
        options.tls.ca_certificate = Some(pem.to_owned());
        options
    };
    let mut of_name = options();
    of_name.tls.server_name = Some("no name".to_owned());
    let torn = pem.replace("-----END", "");
    // A certificate that is none, and a line that is no base64.
    let (none, odd) = (
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----",
    );
    for (options, part) in [
        (of_ca(""), "the CA certificate: there is no PEM in it"),
        (of_ca("/etc/ssl/ca.pem"), "the CA certificate: there is no PEM in it"),
        (of_ca(&key), "the CA certificate: there is no PEM in it"),
        (of_ca(&torn), "the CA certificate: its PEM is damaged"),
        (of_ca(odd), "the CA certificate: its PEM is damaged"),
        (of_ca(none), "the CA certificate: what its PEM holds is no certificate"),
        (with("", &key), "the client certificate: there is no PEM in it"),
        (with(&torn, &key), "the client certificate: its PEM is damaged"),
        (with(&pem, ""), "the client key: it is no PEM of a private key"),
        (with(&pem, &pem), "the client key: it is no PEM of a private key"),
        (with(&pem, &key.replace("-----END", "")), "the client key: it is no PEM"),
        (with(&pem, &two.key.serialize_pem()), "the client key is that of another certificate"),
        (of_name, "\"no name\""),
    ] {
        // It is looked at even where nothing of it would be used.
        for url in ["http://localhost", "https://localhost"] {
            let error = Door::new(url, &options).unwrap_err();
            let (line, _) = told(&error, ErrorKind::InvalidOptions);
            assert!(line.contains(part), "{line}");
            assert!(!line.contains(key.lines().nth(1).unwrap()), "{line}");
        }
    }
}

/// Each of them is sent to the server, or could be.
const SECRETS: &[&str] = &["hidden-word", "hidden-token", "hidden-header", "hidden-proxy"];

/// Neither message, hint, debug text nor any cause has a secret, its key or what is sent in its place.
fn has_no_secret(error: &Error, key: &str) {
    let mut texts = vec![format!("{error:?} {error:#?} {:?}", error.hint())];
    let mut next: Option<&dyn StdError> = Some(error);
    while let Some(error) = next {
        texts.push(format!("{error} {error:?}"));
        next = error.source();
    }
    // "me:hidden-word" as it is sent.
    let encoded = ["bWU6aGlkZGVuLXdvcmQ=", "bWU6aGlkZGVuLXByb3h5"];
    for text in texts {
        for secret in SECRETS.iter().chain(&encoded).chain([&key]) {
            assert!(!text.contains(secret), "{secret} is shown: {text}");
        }
    }
}

#[tokio::test]
async fn secrets_stay_secrets() {
    let authority = Authority::new("ours");
    let ours = authority.sign(&["someone"], |_| ());
    let pem = ours.key.serialize_pem();
    let key = pem.lines().nth(1).unwrap();
    let echo = |status: u16, headers: &[(&str, &str)]| {
        let text = "wrong: hidden-word bWU6aGlkZGVuLXdvcmQ= hidden-token hidden-header";
        vec![Step::Send(answer(status, headers, text.as_bytes()))]
    };
    let length = head(200, &[("Content-Length", "100")]);
    let faults: Vec<Vec<Step>> = vec![
        vec![Step::Close],
        vec![Step::Hang],
        vec![Step::Send(b"hidden-token".to_vec())],
        vec![Step::Send(length.clone()), Step::Close],
        vec![Step::Send(length), Step::Hang],
        vec![Step::Send(answer(200, &[("Content-Length", "99999999")], b""))],
        vec![Step::Send(answer(200, &[("Content-Encoding", "gzip")], b"hidden-token"))],
        echo(429, &[("Retry-After", "99")]),
        echo(
            302,
            &[("Location", "https://me:hidden-word@sso.test/login?token=hidden-token#hidden-word")],
        ),
    ];
    let each = faults.into_iter().map(|faults| async {
        let plain = {
            let faults = faults.clone();
            Faulty::start(move |_, _| faults.clone()).await
        };
        let signed = authority.sign(&["localhost"], |_| ());
        let secure =
            Faulty::start_tls(signed.server(Some(&authority), &[]), move |_, _| faults.clone())
                .await;
        let port = secure.address.port();
        for by_token in [false, true] {
            let mut options = within(Duration::from_millis(150));
            options.max_answer_bytes = 10_000;
            options.max_retries = 1;
            for (name, value) in [
                ("X-Key", "hidden-header"),
                ("X-Word", "hidden-word"),
                ("X-Token", "hidden-token"),
                ("X-Pair", "bWU6aGlkZGVuLXdvcmQ="),
            ] {
                options.headers.push((name.to_owned(), Secret::new(value)));
            }
            options.tls.ca_certificate = Some(authority.pem());
            options.tls.client_certificate = Some((ours.certificate.pem(), Secret::new(&*pem)));
            let user = if by_token {
                options.token = Some(Secret::new("hidden-token"));
                ""
            } else {
                "me:hidden-word@"
            };
            let shown = |options: &HttpOptions| {
                let text = format!("{options:?} {options:#?}");
                assert!(
                    SECRETS.iter().chain([&key]).all(|secret| !text.contains(secret)),
                    "{text}"
                );
            };
            for url in [
                format!("http://{user}{}", plain.address),
                format!("https://{user}localhost:{port}"),
                // Certificate for another name; nobody there; a name that is none; no URL.
                format!("https://{user}127.0.0.1:{port}"),
                format!("http://{user}127.0.0.1:{}", free_port()),
                format!("https://{user}nowhere.invalid"),
                format!("http://{user}localhost:port"),
                format!("http://{user}localhost/?a=hidden-token"),
            ] {
                shown(&options);
                match Door::new(&url, &options) {
                    Ok(door) => {
                        assert!(!format!("{door:?} {}", door.base()).contains("hidden"));
                        let error =
                            door.get("/x?token=hidden-token", &Report::new()).await.unwrap_err();
                        has_no_secret(&error, key);
                    }
                    Err(error) => has_no_secret(&error, key),
                }
            }
            // By a proxy that is not there, and by one that answers what the server would.
            for proxy in [format!("127.0.0.1:{}", free_port()), plain.address.to_string()] {
                let url = format!("http://me:hidden-proxy@{proxy}");
                options.proxy = Proxy::Url(Secret::new(url));
                shown(&options);
                for scheme in ["http", "https"] {
                    let url = format!("{scheme}://{user}pyroscope.invalid");
                    has_no_secret(&get(&url, &options).await.unwrap_err(), key);
                }
            }
            options.headers.push(("X-Key".to_owned(), Secret::new("hidden-header\n")));
            has_no_secret(&Door::new("http://localhost", &options).unwrap_err(), key);
        }
    });
    future::join_all(each).await;
    // What is wrong is quoted by adapters, what is right is left as it is.
    let mut options = options();
    options.token = Some(Secret::new("hidden-token"));
    options.headers.push(("X-Key".to_owned(), Secret::new("hidden-header")));
    for (status, body) in [(200, "no hidden-token, hidden-header!"), (400, "no ..., ...!")] {
        let server =
            Faulty::answering(answer(status, &[], b"no hidden-token, hidden-header!")).await;
        assert_eq!(get(&server.url(), &options).await.unwrap().2, body.as_bytes());
    }
}
