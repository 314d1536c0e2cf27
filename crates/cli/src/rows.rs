//! Rows on their way out: the terminal's table, or one of the engine's formats.

use std::{io::Write as _, sync::Arc};

use anyhow::Context as _;
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use flamesql_engine::output::Writer;
use flamesql_frame::Frame;

use crate::{
    args::{Output, RowFormat},
    failure::Usage,
    sink::{Sink, WRITE},
    table::Table,
};

/// Opens the way out of rows. It comes before the question, which may take long and must not be asked in vain.
pub(crate) fn open(output: &Output<RowFormat>) -> anyhow::Result<Sink> {
    Sink::open(output.output.as_deref(), output.format()? == RowFormat::Arrow)
}

/// Rows that are being written.
#[derive(Debug)]
pub(crate) enum Rows {
    Table {
        table: Table,
        sink: Sink,
        n_rows: u64,
    },
    Engine(Writer<Sink>),
    /// A frame is written column by column, and is held until its last row is there.
    Frame {
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        sink: Sink,
    },
}

/// What became of them.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) n_rows: u64,
    /// How many cells of a table were cut to the terminal's width.
    pub(crate) n_cut: u64,
    /// Whoever wrote last has it.
    sink: Option<Sink>,
}

impl Rows {
    pub(crate) fn new(schema: &SchemaRef, format: RowFormat, sink: Sink) -> anyhow::Result<Self> {
        Ok(match format.of_engine() {
            Some(format) => Self::Engine(Writer::new(format, schema, sink)?),
            None if format == RowFormat::Frame => {
                Self::Frame { schema: Arc::clone(schema), batches: Vec::new(), sink }
            }
            None => Self::Table { table: Table::new(schema, sink.columns()), sink, n_rows: 0 },
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        match self {
            Self::Table { table, sink, n_rows } => {
                table.write(batch, sink).context(WRITE)?;
                *n_rows += batch.num_rows() as u64;
            }
            Self::Engine(writer) => writer.write(batch)?,
            Self::Frame { batches, .. } => batches.push(batch.clone()),
        }
        Ok(())
    }

    /// Writes what is left, but does not give a file its name yet.
    pub(crate) fn finish(self) -> anyhow::Result<Written> {
        match self {
            Self::Table { mut table, mut sink, n_rows } => {
                let n_cut = table.finish(&mut sink).context(WRITE)?;
                sink.flush().context(WRITE)?;
                Ok(Written { n_rows, n_cut, sink: Some(sink) })
            }
            Self::Engine(writer) => {
                let n_rows = writer.n_rows();
                Ok(Written { n_rows, n_cut: 0, sink: Some(writer.finish()?) })
            }
            Self::Frame { schema, batches, mut sink } => {
                let frame = Frame::of_batches("", &schema, &batches)?;
                frame.write_json(&mut sink)?;
                writeln!(sink).context(WRITE)?;
                sink.flush().context(WRITE)?;
                Ok(Written { n_rows: frame.n_rows() as u64, n_cut: 0, sink: Some(sink) })
            }
        }
    }
}

impl Written {
    /// Gives the file its name.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        self.sink.map_or(Ok(()), Sink::commit)
    }

    /// The way out for another answer behind this one.
    pub(crate) fn go_on(&mut self, format: RowFormat) -> anyhow::Result<Sink> {
        let one = || {
            Usage::new("an Arrow stream holds one answer, and several statements have one")
                .with_hint("ask one at a time, or choose another --format")
        };
        let mut sink = self.sink.take().filter(|_| format != RowFormat::Arrow).ok_or_else(one)?;
        if matches!(format, RowFormat::Table | RowFormat::Markdown) {
            writeln!(sink).context(WRITE)?;
        }
        Ok(sink)
    }
}

/// Writes one batch and returns what became of it.
pub(crate) fn write(batch: &RecordBatch, format: RowFormat, sink: Sink) -> anyhow::Result<Written> {
    let mut rows = Rows::new(&batch.schema(), format, sink)?;
    rows.write(batch)?;
    rows.finish()
}
