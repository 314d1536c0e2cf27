//! What a question may make a server take. The allocator counts for the whole process, so this is a program of its own
//! with a single test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;

use flamesql_proto::{
    google::v1::{Function, Line, Location, Profile, Sample, ValueType},
    push::v1::{PushRequest, RawProfileSeries, RawSample},
    types::v1::LabelPair,
};
use flate2::{Compression, write::GzEncoder};
use peak_alloc::PeakAlloc;
use prost::Message as _;
use serde_json::json;

use crate::wire::{Answer, Server};

#[expect(dead_code, reason = "other tests use the rest")]
mod wire;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// A question, and by how many MiB the process grew with it.
async fn grown(asked: impl Future<Output = Answer>) -> (Answer, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let answer = asked.await;
    (answer, MEMORY.peak_usage().saturating_sub(before) / MIB)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_question_takes_is_bounded() {
    let server = Server::of_memory(|options| options.max_regex_bytes = 4 * MIB).await;
    regexes(&server).await;
    pushes(&server).await;
}

/// A hundred regexes that are short, and large once they are compiled.
async fn regexes(server: &Server) {
    let matchers: Vec<String> =
        (0..100).map(|n| format!(r#"l{n}=~"\\pL{{20}}|x{{{n}}}""#)).collect();
    let selector = format!("{{{}}}", matchers.join(","));
    let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
    let merge = json!({"profileTypeID": cpu, "labelSelector": selector, "start": 1, "end": 9});
    let one_each: Vec<String> = matchers.iter().map(|one| format!("{{{one}}}")).collect();
    let long = format!(r#"{{a=~"({})*"}}"#, r"\\pL\\pN".repeat(200_000));
    let half = |matchers: &[String]| {
        let mut half = merge.clone();
        half["labelSelector"] = json!(format!("{{{}}}", matchers.join(",")));
        half
    };
    let questions = [
        ("Series", json!({"matchers": one_each, "start": 1, "end": 9})),
        // Read, it would take gigabytes before it is compiled.
        ("Series", json!({"matchers": [long], "start": 1, "end": 9})),
        ("Diff", json!({"left": half(&matchers[..2]), "right": half(&matchers[2..])})),
    ];
    let mut answers = Vec::new();
    for (method, question) in questions {
        let path = format!("/querier.v1.QuerierService/{method}");
        let body = question.to_string();
        answers
            .push((method, grown(server.post(&path, "application/json", body.as_bytes())).await));
    }
    let encoded: String = format!("{cpu}{selector}").bytes().map(|b| format!("%{b:02x}")).collect();
    let path = format!("/pyroscope/render?query={encoded}&from=1&until=9");
    answers.push(("render", grown(server.get(&path)).await));
    for (method, (answer, mib)) in answers {
        assert_eq!(answer.status, 400, "{method}: {}", answer.text());
        assert!(answer.text().contains("budget of 4194304 bytes"), "{method}: {}", answer.text());
        assert!(mib < 40, "{method}: {mib} MiB");
    }
    // What people write is far from it.
    let usual: Vec<String> =
        (0..100).map(|n| format!(r#"l{n}!~"(?i)web-[a-z]+-\\d+.*""#)).collect();
    let question = json!({"matchers": [format!("{{{}}}", usual.join(","))], "start": 1, "end": 9});
    let path = "/querier.v1.QuerierService/Series";
    let server = Server::of_memory(|_| {}).await;
    let answer = server.post(path, "application/json", question.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Profiles of which a few bytes inflate to many.
async fn pushes(server: &Server) {
    let sample = |n| Sample { location_id: vec![1 + n % 2], value: vec![1], ..Sample::default() };
    let text = |text: &str| text.to_owned();
    let mut profile = Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        location: (1..=2)
            .map(|id| Location {
                id,
                line: vec![Line { function_id: id, ..Line::default() }],
                ..Location::default()
            })
            .collect(),
        function: (1..=2)
            .map(|id| Function { id, name: 2 + i64::try_from(id).unwrap(), ..Function::default() })
            .collect(),
        string_table: ["", "cpu", "nanoseconds", "f", "g"].map(text).to_vec(),
        time_nanos: 1_700_000_000_000_000_000,
        ..Profile::default()
    };
    let push = |profile: &[u8], n: usize| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(profile).unwrap();
        let raw_profile = packed.finish().unwrap().into();
        let label =
            |name: &str, value: &str| LabelPair { name: name.to_owned(), value: value.to_owned() };
        let message = PushRequest {
            series: vec![RawProfileSeries {
                labels: vec![label("__name__", "process_cpu"), label("pod", "a")],
                samples: vec![RawSample { raw_profile, ..RawSample::default() }; n],
                ..RawProfileSeries::default()
            }],
        };
        message.encode_to_vec()
    };
    // A profile of 16 MiB that is a few kB on the way, a hundred times; and the one that takes most when it is read: of
    // samples of which nothing is said.
    profile.sample = (0..2 * MIB as u64 - 1000).map(sample).collect();
    let large = profile.encode_to_vec();
    let path = "/push.v1.PusherService/Push";
    for (bytes, reason, max_mib) in [
        (large, "33554432 bytes together", 400),
        ([0x12, 0x00].repeat(8 * MIB - 1000), "what they measure", 400),
    ] {
        let body = push(&bytes, 100);
        assert!(body.len() < 4 * MIB, "{}", body.len());
        let (answer, mib) = grown(server.post(path, "application/proto", &body)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(reason), "{}", answer.text());
        assert!(mib < max_mib, "{mib} MiB");
    }
    // None of it is there.
    let answer = server.get("/pyroscope/label-values?label=__name__").await;
    assert_eq!(answer.text(), "[]");
    let body = json!({"start": 1, "end": 4_000_000_000_000_i64}).to_string();
    let path_of_types = "/querier.v1.QuerierService/ProfileTypes";
    let types = server.post(path_of_types, "application/json", body.as_bytes()).await;
    assert_eq!(types.text(), "{}");
    // What is within its limits is taken.
    profile.sample.truncate(MIB);
    let body = push(&profile.encode_to_vec(), 2);
    let answer = server.post(path, "application/proto", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
