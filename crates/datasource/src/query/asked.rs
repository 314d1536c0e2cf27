//! A statement that was answered: its rows, and what there is to say of them.

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use flamesql_engine::Session;
use flamesql_frame::{Frame, FrameMeta, Notice, Severity};
use futures::TryStreamExt;

use crate::Error;

/// How many rows an answer may have: more than anyone draws.
const MAX_ROWS: usize = 1_000_000;
/// And how much memory they may take; a flame graph is one row.
const MAX_BYTES: usize = 512 << 20;

/// Rows of one statement.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) sql: String,
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) notices: Vec<Notice>,
}

/// What rows take in memory; a part of a larger array counts as a part.
fn size(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(of).sum()
}

impl Asked {
    /// Asks, and waits for all rows.
    pub(super) async fn ask(session: &Session, sql: String) -> Result<Self, Error> {
        let mut answer = session.query(&sql).await?;
        let (schema, facts) = (answer.schema(), answer.facts().to_vec());
        let mut batches = Vec::new();
        let (mut n_rows, mut n_bytes) = (0, 0);
        while let Some(batch) = answer.try_next().await? {
            n_rows += batch.num_rows();
            n_bytes += size(&batch);
            if n_rows > MAX_ROWS || n_bytes > MAX_BYTES {
                let what = format!(
                    "the answer has more than {MAX_ROWS} rows, or more than {MAX_BYTES} bytes"
                );
                return Err(Error::request(what)
                    .with_hint("ask for less: LIMIT, a shorter range, wider steps"));
            }
            batches.push(batch);
        }
        let mut notices: Vec<Notice> = Vec::new();
        for fact in &facts {
            for notice in fact.notices.iter().cloned().chain(fact.report.notices()) {
                let severity = if notice.is_missing { Severity::Warning } else { Severity::Info };
                let notice = Notice { severity, text: notice.to_string() };
                if !notices.contains(&notice) {
                    notices.push(notice);
                }
            }
        }
        Ok(Self { sql, schema, batches, notices })
    }

    /// The first rows, and whether there are others.
    pub(super) fn first(&self, limit: usize) -> (Vec<RecordBatch>, bool) {
        let (mut left, mut kept) = (limit, Vec::new());
        for batch in &self.batches {
            let n = batch.num_rows().min(left);
            kept.push(batch.slice(0, n));
            left -= n;
        }
        let n_rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        (kept, n_rows > limit)
    }

    /// Says on a frame what was asked, and what is to be known of the answer.
    pub(super) fn tell(&self, frame: &mut Frame) {
        let meta = frame.meta.get_or_insert_with(FrameMeta::default);
        meta.executed_query_string = Some(self.sql.clone());
        meta.notices.extend(self.notices.iter().cloned());
    }
}
