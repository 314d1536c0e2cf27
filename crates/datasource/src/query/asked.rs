//! A statement that was answered: its rows, and what there is to say of them.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use flamesql_engine::Session;
use flamesql_frame::{Frame, FrameMeta, Notice, Severity};

use crate::Error;

/// Rows of one statement.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) sql: String,
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) notices: Vec<Notice>,
}

impl Asked {
    /// Asks, and waits for all rows.
    pub(super) async fn ask(session: &Session, sql: String) -> Result<Self, Error> {
        let answer = session.query(&sql).await?;
        let (schema, facts) = (answer.schema(), answer.facts().to_vec());
        let batches = answer.collect().await?;
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

    /// Says on a frame what was asked, and what is to be known of the answer.
    pub(super) fn tell(&self, frame: &mut Frame) {
        let meta = frame.meta.get_or_insert_with(FrameMeta::default);
        meta.executed_query_string = Some(self.sql.clone());
        meta.notices.extend(self.notices.iter().cloned());
    }
}
