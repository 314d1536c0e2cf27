//! What is wrong with a data source, told apart.

use flamesql_backend::Memory;
use flamesql_datasource::{
    Allow, DataSource, Health, HealthStatus, InstanceSettings, Problem, Settings,
};
use flamesql_server::Guise;
use tokio::net::TcpListener;

use crate::support::{answering, now, serve, shop_at, shop_at_a, source};

fn json(health: &Health) -> serde_json::Value {
    serde_json::to_value(health).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_works_is_told_with_kind_and_version() {
    for (guise, kind, version) in [
        (Guise::V2, "Pyroscope, storage v2", "flamesql-2.2.0"),
        (Guise::V1, "Pyroscope, storage v1", "flamesql-2.2.0"),
        (Guise::Phlare, "Phlare, or Pyroscope before 1.5", "flamesql-0.6.1"),
        (Guise::Legacy, "Pyroscope 0.x (legacy)", "flamesql-0.37.2"),
    ] {
        let server = shop_at_a(guise).await;
        let health = source(&server.url, None).health().await;
        let shown = json(&health);
        assert_eq!(shown["status"], "OK", "{shown}");
        assert_eq!(shown["details"]["kind"], kind, "{shown}");
        assert_eq!(shown["details"]["version"], version, "{shown}");
        assert_eq!(shown["details"].get("problem"), None, "{shown}");
        assert!(shown["details"]["latencyMs"].as_f64().unwrap() > 0.0, "{shown}");
        assert!(shown["details"]["profileTypes"].as_u64().unwrap() > 0, "{shown}");
        let start = format!("Data source is working: {kind}, version {version}, answers in ");
        assert!(shown["message"].as_str().unwrap().starts_with(&start), "{shown}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cpu.folded"), "main;work 3\n").unwrap();
    let url = format!("file://{}", folder.path().display());
    let health = source(&url, None).health().await;
    assert_eq!((health.status, health.details.kind.as_deref()), (HealthStatus::Ok, Some("files")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_data_yet_is_no_fault() {
    let empty = serve(Memory::new(), Guise::V2).await;
    let old = serve(shop_at(now().saturating_add(-90_000_000_000_000)), Guise::V2).await;
    for server in [empty, old] {
        let health = source(&server.url, None).health().await;
        assert_eq!(
            (health.status, health.details.problem),
            (HealthStatus::Ok, Some(Problem::NoData))
        );
        assert!(health.message.contains("no profiles of the last 24 hours"), "{health:?}");
        assert_eq!(json(&health)["details"]["problem"], "noData");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let locked =
        answering(401, "application/json", r#"{"code":"unauthenticated","message":"no"}"#).await;
    let page = answering(200, "text/html", "<html>welcome</html>").await;
    let missing = answering(404, "text/plain", "404 page not found").await;
    let broken = answering(500, "text/plain", "out of order").await;
    for (url, problem, part) in [
        (nobody.as_str(), Problem::Unreachable, "connection refused"),
        (&locked.url, Problem::Unauthorized, ""),
        (&page.url, Problem::NoProfileServer, "is no Pyroscope or Phlare server"),
        (&missing.url, Problem::NoProfileServer, "is no Pyroscope or Phlare server"),
        (&broken.url, Problem::Unreachable, "out of order"),
        ("file:///not/there", Problem::NoProfileServer, "/not/there"),
    ] {
        let health = source(url, None).health().await;
        assert_eq!(health.status, HealthStatus::Error, "{health:?}");
        assert_eq!(health.details.problem, Some(problem), "{health:?}");
        assert!(health.message.contains(part) && !health.message.is_empty(), "{health:?}");
        assert_eq!(health.details.latency, None);
        let shown = json(&health);
        assert_eq!(shown["status"], "ERROR");
    }
    let health = source(&nobody, Some("phlare")).health().await;
    assert_eq!(health.details.problem, Some(Problem::Unreachable));
    let health = source(&page.url, Some("phlare")).health().await;
    assert_eq!(health.details.problem, Some(Problem::NoProfileServer));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_than_is_set() {
    let mut servers = Vec::new();
    for guise in [Guise::V2, Guise::V1, Guise::Phlare, Guise::Legacy] {
        servers.push(shop_at_a(guise).await);
    }
    let (other, wrong) = (Some(Problem::OtherBackendType), Some(Problem::WrongBackendType));
    for (kind, expected) in [
        ("phlare", [None, None, None, wrong]),
        ("pyroscope", [None, None, None, None]),
        ("grafana-pyroscope", [None, None, other, wrong]),
        ("legacy-pyroscope", [wrong, wrong, wrong, None]),
    ] {
        for (server, expected) in servers.iter().zip(expected) {
            let health = source(&server.url, Some(kind)).health().await;
            assert_eq!(health.details.problem, expected, "{kind}: {health:?}");
            let is_wrong = expected == wrong;
            assert_eq!(health.status == HealthStatus::Error, is_wrong, "{kind}: {health:?}");
            assert!(health.details.kind.is_some(), "{kind}: {health:?}");
            if is_wrong {
                assert!(health.message.contains("it seems to be"), "{kind}: {health:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_are_told_first() {
    let server = shop_at_a(Guise::V2).await;
    let mut instance = InstanceSettings::default();
    instance.url.clone_from(&server.url);
    instance.json_data = br#"{"minStep": "0s"}"#.to_vec();
    let health = DataSource::new(Settings::read(&instance, Allow::Servers).unwrap()).health().await;
    assert_eq!(
        (health.status, health.details.problem),
        (HealthStatus::Error, Some(Problem::Settings))
    );
    assert!(health.message.contains("jsonData.minStep of \"0s\""), "{health:?}");
    // What only the way to the server finds out.
    instance.json_data = br#"{"tlsAuthWithCACert": true}"#.to_vec();
    let secret = flamesql_backend::Secret::new("no certificate");
    instance.decrypted_secure_json_data.insert("tlsCACert".to_owned(), secret);
    let health = DataSource::new(Settings::read(&instance, Allow::Servers).unwrap()).health().await;
    assert_eq!(
        (health.status, health.details.problem),
        (HealthStatus::Error, Some(Problem::Settings))
    );
    assert!(health.message.contains("CA certificate"), "{health:?}");
}
