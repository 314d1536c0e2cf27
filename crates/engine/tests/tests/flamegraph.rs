//! Whole flame graphs as values.
use super::relation::{CPU, lines};
use flamesql_backend::Memory;
use flamesql_engine::{Engine, Session};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};
use std::sync::Arc;

fn session(profiles: &[&str]) -> Session {
    let memory = Memory::new();
    for (idx, text) in profiles.iter().enumerate() {
        let labels: Labels = [("pod", if idx % 2 == 0 { "a" } else { "b" })].into_iter().collect();
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        let time = Timestamp::from_nanos(i64::try_from(idx).unwrap() * 1_000_000_000);
        memory.insert(&ProfileType::parse(CPU).unwrap(), &labels, time, 0, &tree).unwrap();
    }
    Engine::builder().source("m", Arc::new(memory)).build().unwrap().session()
}

#[tokio::test]
async fn explore() {
    let s = session(&["main;a 1\nmain;b 2\n", "main;a 3\nmain 1\n"]);
    for sql in [
        "SELECT unnest(unnest(flamegraph(stack, value))) FROM samples",
        "SELECT unnest(flamegraph(stack, value)) FROM samples",
        "SELECT * FROM (SELECT unnest(unnest(flamegraph(stack, value))) FROM samples) AS f(level, value, self, label)",
        "SELECT unnest(f) FROM (SELECT unnest(flamegraph(stack, value)) AS f FROM samples)",
        "SELECT * FROM unnest((SELECT flamegraph(stack, value) FROM samples))",
        "SELECT * FROM unnest(unnest((SELECT flamegraph(stack, value) FROM samples)))",
        "SELECT unnest((SELECT flamegraph(stack, value) FROM samples))",
        "SELECT unnest(unnest((SELECT flamegraph(stack, value) FROM samples)))",
        "SELECT f['level'], f['value'], f['self'], f['label'] FROM (SELECT unnest(flamegraph(stack, value)) AS f FROM samples)",
        "SELECT f.* FROM (SELECT unnest(flamegraph(stack, value)) AS f FROM samples)",
        "SELECT f.level, f.value, f.self, f.label FROM (SELECT unnest(flamegraph(stack, value)) AS f FROM samples)",
        "WITH f AS (SELECT unnest(unnest(flamegraph(stack, value))) FROM samples) SELECT * FROM f",
        "SELECT pod, unnest(unnest(flamegraph(stack, value))) FROM samples GROUP BY pod",
        "SELECT unnest(unnest(flamegraph_diff(stack, CASE WHEN pod = 'a' THEN value END, CASE WHEN pod = 'b' THEN value END))) FROM samples",
        "SELECT flamegraph_diff(stack, value, NULL, 1) FROM samples",
        "SELECT flamegraph(['a', 'b'], 1)",
        "SELECT flamegraph(['a', 'b'], 1, -1)",
        "SELECT flamegraph(stack, value, value) FROM samples",
        "SELECT flamegraph(stack, value, 1+1) FROM samples",
        "EXPLAIN SELECT flamegraph(stack, value, 5) FROM samples",
        "SELECT pod, value, flamegraph(stack, value) OVER (ORDER BY time, value ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM samples",
        "SELECT pod, value, flamegraph(stack, value, 1) OVER (ORDER BY time, value) FROM samples",
    ] {
        println!("=== {sql}");
        match s.query(sql).await {
            Err(e) => println!("ERR {e}"),
            Ok(a) => match a.collect().await {
                Err(e) => println!("ERR2 {e}"),
                Ok(b) => {
                    if let Some(b) = b.first() {
                        println!(
                            "{:?}",
                            b.schema()
                                .fields()
                                .iter()
                                .map(|f| f.name().clone())
                                .collect::<Vec<_>>()
                        );
                    }
                    for l in lines(&b, true) {
                        println!("{l}");
                    }
                }
            },
        }
    }
}
