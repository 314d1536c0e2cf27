//! Labels that a server has and lists nowhere: those of storage v1 whose names need quotes.

use std::sync::Arc;

use flamesql_backend::Memory;
use flamesql_engine::{Engine, Session, SessionOptions};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};
use flamesql_server::Guise;

use super::{
    relation::{CPU, lines},
    wire,
};

fn memory() -> Memory {
    let memory = Memory::new();
    let cpu = ProfileType::parse(CPU).unwrap();
    for (cluster, pod, second, text) in [
        // Two that differ in the hidden label alone.
        ("prod", "a", 10, "main;work 1\n"),
        ("test", "a", 10, "main;work 2\n"),
        ("prod", "b", 20, "main;idle 4\n"),
        ("", "b", 20, "main;work 8\nmain 16\n"),
        ("", "c", 30, "gc 32\n"),
    ] {
        let labels = [("k8s.cluster", cluster), ("pod", pod)];
        let labels: Labels = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let time = Timestamp::from_nanos((1_704_067_200 + second) * 1_000_000_000);
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        memory.insert(&cpu, &labels, time, 0, &tree).unwrap();
    }
    memory
}

fn session(backend: Arc<dyn flamesql_backend::Backend>) -> Session {
    let mut options = SessionOptions::default();
    options.from = Some("2024-01-01".to_owned());
    options.to = Some("2024-01-02".to_owned());
    Engine::builder().source("m", backend).build().unwrap().session_with(&options).unwrap()
}

#[test]
fn a_label_that_is_named_is_told_apart_wherever_it_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (sum, count) = ("sum(value) FROM series", "count(*), max(value) FROM series");
    for sql in [
        format!("SELECT labels['k8s.cluster'], {sum} GROUP BY 1"),
        format!("SELECT labels['k8s.cluster'], {count} GROUP BY 1"),
        format!("SELECT \"k8s.cluster\", {count} GROUP BY 1"),
        format!("SELECT get_field(labels, 'k8s.cluster'), {count} GROUP BY 1"),
        format!("SELECT {sum} WHERE labels['k8s.cluster'] = 'prod' OR pod = 'c'"),
        format!("SELECT {count} WHERE labels['k8s.cluster'] = 'prod' OR pod = 'c'"),
        format!("SELECT {count} WHERE labels['k8s.cluster'] IS NULL"),
        "SELECT count(*) FILTER (WHERE labels['k8s.cluster'] = 'test') FROM series".to_owned(),
        "SELECT pod, labels['k8s.cluster'], value FROM samples".to_owned(),
        "SELECT function, \"k8s.cluster\", self, total FROM functions".to_owned(),
        "SELECT labels['k8s.cluster'], stack, sum(value) FROM samples GROUP BY 1, 2".to_owned(),
        "SELECT labels, sum(value) FROM series WHERE labels['k8s.cluster'] = 'prod' GROUP BY 1"
            .to_owned(),
        format!("SELECT {sum} WHERE labels_match(labels, '{{\"k8s.cluster\"=~\"p.*\"}}')"),
        format!(
            "SELECT {count} WHERE labels_match(labels, '{{\"k8s.cluster\"!=\"prod\"}}') OR pod = 'c'"
        ),
        "EXPLAIN SELECT labels['k8s.cluster'], count(*) FROM series GROUP BY 1".to_owned(),
    ] {
        for pushdown in ["true", "false"] {
            // Each has a source of its own, which nobody has asked for the label before.
            let sessions =
                [session(Arc::new(memory())), session(wire::over_http(memory(), Guise::V1))];
            let [local, served] = sessions.map(|session| {
                let work = async {
                    session.query(&format!("SET flamesql.pushdown = {pushdown}")).await?;
                    session.query(&sql).await?.collect().await
                };
                let batches = runtime.block_on(work).unwrap_or_else(|e| panic!("{sql}\n{e}"));
                lines(&batches, false)
            });
            assert!(!local.is_empty(), "{sql}");
            if sql.starts_with("EXPLAIN") {
                assert!(served.join("\n").contains("by=(k8s.cluster, pod)"), "{served:?}");
            } else {
                assert_eq!(served, local, "{sql}, pushdown {pushdown}");
            }
        }
    }
}

#[test]
fn where_it_is_not_named_a_notice_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (guise, is_told) in [(Guise::V1, true), (Guise::V2, false)] {
        let session = session(wire::over_http(memory(), guise));
        let answer = runtime.block_on(session.query("SELECT count(*) FROM series")).unwrap();
        let notices = answer.facts()[0].notices.clone();
        let found = notices.iter().any(|notice| notice.reason.contains("names need quotes"));
        assert_eq!(found, is_told, "{guise:?}: {notices:?}");
    }
}
