//! The example program: it runs, and its backend passes the checks.

#[path = "../examples/own_backend.rs"]
mod own_backend;

use flamesql_backend::conformance::{self, TruthProfile};
use flamesql_profile::ProfileType;

#[tokio::test]
async fn it_prints_what_its_text_holds() {
    let text = own_backend::run().await.unwrap();
    assert_eq!(text, "main;pay;tls 5\n");
}

#[tokio::test]
async fn its_backend_passes_the_checks() {
    let backend = own_backend::Csv(own_backend::TEXT.to_owned());
    let mut truth = Vec::new();
    for line in own_backend::TEXT.lines() {
        let [time, service, stack, value] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        truth.push(TruthProfile {
            profile_type: ProfileType::parse(own_backend::CPU).unwrap(),
            labels: [("service".to_owned(), service.to_owned())].into(),
            time_nanos: time.parse::<i64>().unwrap() * 1_000_000_000,
            stacks: vec![(stack.split(';').map(str::to_owned).collect(), value.parse().unwrap())],
            marks: Vec::new(),
        });
    }
    conformance::check(&backend, &truth).await;
}
