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
use tokio::time::{sleep, timeout};

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
        tokio::io::AsyncWriteExt::write_all(&mut stream, &ok()).await.unwrap();
        // What it was sent has to be read, or the end is a reset.
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await.unwrap();
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
        (announced(&[("Content-Encoding", "gzip")], 1000), "damaged"),
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
    let door = Door::new(&server.url(), &options()).unwrap();
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
