//! How long questions take once a file is known: each statement is asked several times in one session.
//!
//!     cargo run --release -p flamesql-engine --example warm -- PATH N "SELECT function, sum(self) FROM functions GROUP BY 1"
//!
//! Prints for each statement one line of JSON: `ms`, the first time and then N more, and `rows`, its answer.

use std::{
    env,
    error::Error,
    io::{self, Write},
    sync::Arc,
    time::Instant,
};

use flamesql_backend::Files;
use flamesql_engine::{
    Engine,
    output::{self, Format},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [path, n_runs, statements @ ..] = args.as_slice() else {
        return Err("usage: warm PATH N STATEMENT...".into());
    };
    let n_runs: usize = n_runs.parse()?;

    let engine = Engine::builder().source("files", Arc::new(Files::open(path)?)).build()?;
    let session = engine.session();
    for sql in statements {
        let mut times = Vec::new();
        for _ in 0..=n_runs {
            let start = Instant::now();
            session.query(sql).await?.collect().await?;
            times.push(format!("{:.3}", start.elapsed().as_secs_f64() * 1000.0));
        }
        // Once more, so that writing the answer is in no figure.
        let answer = session.query(sql).await?;
        let mut rows = Vec::new();
        output::write_all(Format::Json, answer, &mut rows).await?;
        // JSON has no bare line break within a text.
        let rows = String::from_utf8(rows)?.replace('\n', "");
        writeln!(io::stdout(), r#"{{"ms":[{}],"rows":{rows}}}"#, times.join(","))?;
    }
    Ok(())
}
