//! A program's own DataFusion session, with profiles beside its own tables.
//!
//!     cargo run -p flamesql-engine --example install -- PATH
//!
//! The program has a table of which team looks after which region; the profiles are a schema beside it. What is added up
//! below the join is still asked from the source at once.

use std::{env, error::Error, io, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use flamesql_backend::Files;
use flamesql_engine::{
    Engine, checked_plan,
    datafusion::prelude::SessionContext,
    output::{Format, Writer},
};

const SQL: &str = "
    SELECT team, service_name, sum(cpu) AS cpu
    FROM teams JOIN (
        SELECT region, service_name, sum(value) AS cpu
        FROM profiles.series WHERE profile_type = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
        GROUP BY 1, 2
    ) USING (region)
    GROUP BY 1, 2 ORDER BY 1, 2";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: install PATH")?;

    // What the program has already.
    let context = SessionContext::new();
    let text = |values: [&str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let teams = [("region", text(["eu", "us", "asia"])), ("team", text(["blue", "red", "green"]))];
    context.register_batch("teams", RecordBatch::try_from_iter(teams)?)?;

    // What flamesql adds to it.
    let engine = Engine::builder().source("profiles", Arc::new(Files::open(path)?)).build()?;
    engine.install(&context)?;

    // `context.sql(SQL)` does as well. A statement that somebody else writes may be more than any planner could take.
    let plan = checked_plan(&context, SQL).await?;
    let frame = context.execute_logical_plan(plan).await?;
    let schema = Arc::clone(frame.schema().inner());
    let mut writer = Writer::new(Format::Csv, &schema, io::stdout())?;
    for batch in frame.collect().await? {
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(())
}
