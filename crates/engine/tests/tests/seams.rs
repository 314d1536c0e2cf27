//! Ranges longer than a server takes at a time, with profiles on and beside the seams of their slices.

use std::sync::Arc;

use flamesql_backend::{Backend, Capabilities, Memory};
use flamesql_engine::{Engine, Session, SessionOptions};
use flamesql_profile::{Labels, ProfileType, Step, Timestamp, folded};
use flamesql_server::Guise;

use super::{
    relation::{CPU, lines},
    wire,
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200 * SECOND;

/// Profiles around each midnight and where a slice of `a day less a grain` ends, at whole grains and within them.
fn memory(grain: i64) -> Memory {
    let local = Capabilities::local("memory").with_grain(Step::from_nanos(grain).unwrap());
    let memory = Memory::new().with_capabilities(local);
    let cpu = ProfileType::parse(CPU).unwrap();
    let mut value = 1;
    for day in 0..6 {
        // Slices are of whole seconds.
        for slice in [DAY, DAY - SECOND] {
            let seam = START + day * slice;
            for from_seam in [-grain, -1, 0, 1, grain - 1, grain] {
                let time = Timestamp::from_nanos(seam + from_seam);
                let labels: Labels = [("pod", ["a", "b"][day as usize % 2])].into_iter().collect();
                let text = format!("main;work{day} {value}\n");
                let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
                memory.insert(&cpu, &labels, time, 0, &tree).unwrap();
                // Each sum of some of them is another number.
                value = value * 5 % 1_000_003;
            }
        }
    }
    memory
}

fn session(backend: Arc<dyn Backend>) -> Session {
    let options = ranged();
    Engine::builder().source("m", backend).build().unwrap().session_with(&options).unwrap()
}

fn ranged() -> SessionOptions {
    let mut options = SessionOptions::default();
    // A slice before the first profiles, so that all of them lie on seams.
    options.from = Some(Timestamp::from_nanos(START - DAY + SECOND).to_string());
    options.to = Some("2024-01-08T07:00:00Z".to_owned());
    options.max_requests = Some(100_000);
    options
}

#[test]
fn a_week_in_slices_of_a_day_is_the_week() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (guise, grain) in [
        (Guise::V2, 1_000_000),
        (Guise::V1, SECOND),
        (Guise::V115, SECOND),
        (Guise::Phlare, SECOND),
    ] {
        let local = session(Arc::new(memory(grain)));
        let day = Step::from_nanos(DAY);
        let served = session(wire::over_http_in(memory(grain), guise, day));
        for sql in [
            "SELECT sum(value) FROM series",
            "SELECT pod, sum(value) FROM series GROUP BY 1",
            "SELECT date_trunc('day', time), sum(value) FROM series GROUP BY 1",
            "SELECT date_bin(INTERVAL '7 hours', time), pod, sum(value) FROM series GROUP BY 1, 2",
            "SELECT date_bin(INTERVAL '3 days', time), sum(value) FROM series GROUP BY 1",
            "SELECT time, pod, value FROM series",
            "SELECT function, sum(self), sum(total) FROM functions GROUP BY 1",
            "SELECT pod, stack, sum(value) FROM samples GROUP BY 1, 2",
            "SELECT date_trunc('day', time), stack, sum(value) FROM samples GROUP BY 1, 2",
            "SELECT count(*), max(value) FROM samples WHERE time >= TIMESTAMP '2024-01-02'",
            "SELECT sum(value) FROM samples \
             WHERE time > TIMESTAMP '2024-01-01T23:59:59' AND time <= TIMESTAMP '2024-01-04T00:00:00'",
        ] {
            let ask = |session: &Session| {
                let answer = runtime.block_on(async { session.query(sql).await?.collect().await });
                lines(&answer.unwrap_or_else(|e| panic!("{guise:?}: {sql}\n{e}")), false)
            };
            let expected = ask(&local);
            assert!(!expected.is_empty(), "{sql}");
            assert_eq!(ask(&served), expected, "{guise:?}: {sql}");
        }
    }
}
