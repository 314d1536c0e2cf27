//! A small answer that would be large once it is decoded is refused before it is: a program of its own, because it
//! measures its whole process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use flamesql_backend::{
    Backend, ErrorKind, Grouping, Proxy, Pyroscope, PyroscopeOptions, Report, Select,
};
use flamesql_profile::{ProfileType, TimeRange, Timestamp};
use flamesql_selector::Selector;

/// Of points that have nothing in them: two bytes each.
const POINTS: usize = 20 << 20;

/// The most memory that this process ever had, in KiB.
fn peak() -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A server of storage v2 that answers whatever it is asked with a series of many empty points.
fn serve(mut stream: TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).unwrap_or_default();
        if n == 0 {
            return;
        }
        seen.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&seen);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if seen.len() < head.len() + 4 + length {
            continue;
        }
        let (is_flags, is_series) =
            (head.contains("/GetFeatureFlags "), head.contains("/SelectSeries "));
        let head = |kind: &str, length: usize| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/{kind}\r\nContent-Length: {length}\r\n\r\n"
            )
        };
        seen.clear();
        if is_flags {
            let flags = r#"{"featureFlags":[{"name":"v2StorageLayer","enabled":true}]}"#;
            let answer = format!("{}{flags}", head("json", flags.len()));
            stream.write_all(answer.as_bytes()).unwrap();
        } else if !is_series {
            // No stacks.
            stream.write_all(head("proto", 0).as_bytes()).unwrap();
        } else {
            // The series, and how long it is.
            let mut message = vec![0x0a];
            let mut length = 2 * POINTS;
            while length >= 0x80 {
                message.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            message.push(length as u8);
            stream.write_all(head("proto", message.len() + 2 * POINTS).as_bytes()).unwrap();
            stream.write_all(&message).unwrap();
            for _ in 0..POINTS / 1024 {
                // Whoever has enough closes.
                if stream.write_all(&[0x12, 0].repeat(1024)).is_err() {
                    return;
                }
            }
        }
    }
}

#[test]
fn a_series_of_nothing_takes_no_more_than_its_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    let mut options = PyroscopeOptions::default();
    options.http.proxy = Proxy::None;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let source = Pyroscope::open(&url, &options).await.unwrap();
        let start = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let range = TimeRange::new(start, start.saturating_add(3_600_000_000_000)).unwrap();
        let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
        let select = Select::new(cpu, Selector::all(), range);
        let before = peak();
        let answer = source.series(&select, &Grouping::default(), &Report::new()).await;
        let grown = peak() - before;
        // The body itself, as it grows.
        assert!(grown * 1024 < 4 * 2 * POINTS, "{grown} KiB for {} bytes", 2 * POINTS);
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().ends_with("and the limit is 268435456"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("ask for a shorter range")));
    });
}
