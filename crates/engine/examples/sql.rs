//! SQL over a file or a folder of profiles.
//!
//!     cargo run -p flamesql-engine --example sql -- PATH "SELECT function, sum(self) FROM functions GROUP BY 1"

use std::{env, error::Error, io, sync::Arc};

use flamesql_backend::Files;
use flamesql_engine::{
    Engine,
    output::{self, Format},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [path, sql] = args.as_slice() else { return Err("usage: sql PATH STATEMENT".into()) };

    let engine = Engine::builder().source("files", Arc::new(Files::open(path)?)).build()?;
    let answer = engine.session().query(sql).await?;
    output::write_all(Format::Csv, answer, &mut io::stdout()).await?;
    Ok(())
}
