//! What planning costs: statements are planned over a small source in memory, many times each, and not run.
//!
//!     cargo run --release -p flamesql-engine --example planning -- 300
//!
//! Prints for each statement the least and the median time in microseconds, and those of a statement of the same shape
//! over a table of DataFusion alone, in a session of its own: what is left after that is ours.

use std::{
    env,
    error::Error,
    future::Future,
    io::{self, Write},
    sync::Arc,
    time::Instant,
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use flamesql_backend::Memory;
use flamesql_engine::{
    Engine,
    datafusion::{
        datasource::MemTable,
        prelude::{SessionConfig, SessionContext},
    },
};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};

const STATEMENTS: [[&str; 2]; 4] = [
    ["SELECT sum(value) FROM series", "SELECT sum(value) FROM t"],
    [
        "SELECT pod, sum(value) FROM series WHERE pod = 'a' GROUP BY pod",
        "SELECT pod, sum(value) FROM t WHERE pod = 'a' GROUP BY pod",
    ],
    [
        "SELECT function, sum(self), sum(total) FROM functions GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
        "SELECT pod, sum(value), sum(other) FROM t GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
    ],
    ["SELECT * FROM samples", "SELECT * FROM t"],
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let n_runs: usize = env::args().nth(1).map_or(Ok(300), |n| n.parse())?;

    let memory = Memory::new();
    let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
    for pod in ["a", "b"] {
        let labels: Labels = [("pod", pod), ("region", "eu")].into_iter().collect();
        let tree = folded::decode(b"main;parse 3\nmain;render 4\n")?.into_tree();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(0), 0, &tree)?;
    }
    let session = Engine::builder().source("demo", Arc::new(memory)).build()?.session();

    let context =
        SessionContext::new_with_config(SessionConfig::new().with_information_schema(true));
    let field = |name, data_type| Field::new(name, data_type, false);
    let schema = Arc::new(Schema::new(vec![
        field("pod", DataType::Utf8),
        field("value", DataType::Int64),
        field("other", DataType::Int64),
    ]));
    let pods: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![pods, Arc::clone(&values), values])?;
    context.register_table("t", Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))?;

    for [ours, plain] in STATEMENTS {
        let of_ours = times(n_runs, || async { Ok(session.query(ours).await.map(drop)?) }).await?;
        let of_plain = times(n_runs, || async {
            Ok(context.sql(plain).await?.create_physical_plan().await.map(drop)?)
        });
        let of_plain = of_plain.await?;
        let [least, median, plain_least, plain_median] =
            [of_ours[0], of_ours[n_runs / 2], of_plain[0], of_plain[n_runs / 2]];
        writeln!(
            io::stdout(),
            "{least} us ({median}), DataFusion alone {plain_least} us ({plain_median}): {ours}"
        )?;
    }
    Ok(())
}

/// How many microseconds each run took, sorted.
async fn times<F: Future<Output = Result<(), Box<dyn Error>>>>(
    n_runs: usize,
    run: impl Fn() -> F,
) -> Result<Vec<u128>, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..n_runs.max(1) {
        let start = Instant::now();
        run().await?;
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    Ok(times)
}
