//! Runs the files of `tests/slt`: statements with the rows that they give, all over the same few profiles.
//!
//! Whoever wants to know what a table or a function gives reads a file there, and whoever adds one adds a file or a
//! few lines. The profiles are small enough to work out each number by hand. Of EXPLAIN only the lines of scans are rows.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use flamesql_backend::{Backend, Memory};
use flamesql_engine::{Engine, Error, Session, SessionOptions};
use flamesql_profile::{Labels, ProfileType, Timestamp, folded};
use flamesql_server::Guise;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Record, Runner, strict_column_validator};

use super::{
    relation::{CPU, HEAP},
    wire,
};

/// 2024-01-01T00:00:00Z, a Monday.
const MIDNIGHT: i64 = 1_704_067_200;

/// Profile type, labels, seconds after midnight, stacks.
type Profile<'a> = (&'a str, &'a [(&'a str, &'a str)], i64, &'a str);

const PROFILES: &[Profile<'_>] = &[
    (CPU, &[("pod", "a"), ("region", "eu")], 0, "main;work 3\nmain;idle 1\n"),
    (CPU, &[("pod", "a"), ("region", "eu")], 10, "main;work;work 5\n"),
    (CPU, &[("pod", "b")], 60, "main;work 2\ngc 4\n"),
    (HEAP, &[("pod", "a"), ("region", "eu")], 0, "main;alloc 100\n"),
    (HEAP, &[("pod", "b")], 60, "main 50\n"),
];

fn memory() -> Memory {
    let memory = Memory::new();
    for (profile_type, labels, seconds, stacks) in PROFILES {
        let labels: Labels = labels.iter().copied().collect();
        let time = Timestamp::from_nanos((MIDNIGHT + seconds) * 1_000_000_000);
        let tree = folded::decode(stacks.as_bytes()).unwrap().into_tree();
        let profile_type = ProfileType::parse(profile_type).unwrap();
        memory.insert(&profile_type, &labels, time, 0, &tree).unwrap();
    }
    memory
}

fn session() -> Session {
    Engine::builder().source("demo", Arc::new(memory())).build().unwrap().session()
}

/// A session that is asked for the day of the profiles where a statement says nothing of time, as a server has to be.
fn session_of_the_day(backend: Arc<dyn Backend>) -> Session {
    let mut options = SessionOptions::default();
    options.from = Some("2024-01-01".to_owned());
    options.to = Some("2024-01-02".to_owned());
    Engine::builder().source("demo", backend).build().unwrap().session_with(&options).unwrap()
}

struct Database(Session);

#[async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let explained =
            sql.strip_prefix("EXPLAIN ").map(|sql| format!("EXPLAIN FORMAT INDENT {sql}"));
        let answer = self.0.query(explained.as_deref().unwrap_or(sql)).await?;
        let schema = answer.schema();
        let rows = rows(&answer.collect().await?);
        if explained.is_some() {
            let lines = rows.iter().flatten().flat_map(|cell| cell.lines());
            let scans = lines.filter_map(|line| line.split_once("BackendScan: "));
            let rows = scans.map(|(_, scan)| vec![scan.to_owned()]).collect();
            return Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text], rows });
        }
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = schema.fields().iter().map(|field| column_type(field.data_type())).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "flamesql"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        t if t.is_integer() => DefaultColumnType::Integer,
        t if t.is_floating() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 | DataType::Utf8View => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

fn rows(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|c| c.value(row).to_string());
            rows.push(cells.map(|c| if c.is_empty() { "(empty)".to_owned() } else { c }).collect());
        }
    }
    rows
}

#[tokio::test]
async fn files_say_what_statements_give() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut failures = Vec::new();
    let mut n_files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "slt") {
            n_files += 1;
            // Each file has a session of its own, so SET lasts to its end.
            let mut runner = Runner::new(|| async { Ok(Database(session())) });
            runner.with_column_validator(strict_column_validator);
            if let Err(error) = runner.run_file_async(&path).await {
                failures.push(error.to_string());
            }
        }
    }
    assert!(n_files > 0 && failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What a statement of the files gives is the same where the profiles come from a server.
///
/// Left out is what is said of the source itself (EXPLAIN, SHOW and `information_schema`), ids of profiles, of which each
/// source has its own, and heat maps, which memory has none of.
#[test]
fn files_say_what_servers_give() {
    let local = session_of_the_day(Arc::new(memory()));
    let served = session_of_the_day(wire::over_http(memory(), Guise::V2));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut n_same, mut failures) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        runtime.block_on(async {
            for record in sqllogictest::parse_file::<DefaultColumnType>(&path).unwrap() {
                let (Record::Query { sql, .. } | Record::Statement { sql, .. }) = record else {
                    continue;
                };
                let own =
                    ["EXPLAIN", "SHOW", "DESCRIBE", "information_schema", "SELECT id", "heatmap"];
                if own.iter().any(|word| sql.contains(word)) {
                    continue;
                }
                let (ours, theirs) = (lines(&local, &sql).await, lines(&served, &sql).await);
                match ours == theirs {
                    true => n_same += 1,
                    false => failures.push(format!("{sql}\n{ours:?}\nserved {theirs:?}")),
                }
            }
            // What a file has set, the next has not.
            for name in ["profile_type", "strict", "max_requests", "max_nodes", "pushdown"] {
                for session in [&local, &served] {
                    session.query(&format!("RESET flamesql.{name}")).await.unwrap();
                }
            }
        });
    }
    assert!(failures.is_empty(), "{n_same} are the same, not\n{}", failures.join("\n\n"));
    assert!(n_same > 150, "{n_same}");
}

/// The rows of a statement in some order, or its error.
async fn lines(session: &Session, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let run = async { session.query(sql).await?.collect().await };
    let batches: Result<_, Error> = run.await;
    let mut lines = rows(&batches.map_err(|error| error.to_string())?);
    lines.sort();
    Ok(lines)
}
