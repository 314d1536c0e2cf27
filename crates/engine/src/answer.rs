//! What a statement gives back.

use std::{
    collections::BTreeSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arrow::{
    array::RecordBatch,
    datatypes::{Fields, Schema, SchemaRef},
};
use datafusion::{
    error::DataFusionError, execution::SendableRecordBatchStream, physical_plan::ExecutionPlan,
};
use flamesql_backend::{Notice, Report};
use flamesql_profile::{ProfileType, Step, TimeRange};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::{
    Error, TypeChoice,
    measured::{Tables, is_quantity},
    meta::MetaExec,
    scan::ScanExec,
    schema::UNIT,
};

/// The rows of a statement, as a stream of record batches. Dropping it stops the work.
pub struct Answer {
    schema: SchemaRef,
    facts: Vec<ScanFacts>,
    stream: SendableRecordBatchStream,
}

/// What was asked of one source by one scan of a statement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScanFacts {
    /// The source's name.
    pub source: String,
    /// The table's name.
    pub table: String,
    /// The profile types that were asked for.
    pub profile_types: Vec<ProfileType>,
    /// How they were found.
    pub type_choice: TypeChoice,
    /// The range that was asked for.
    pub range: TimeRange,
    /// Whether the statement or the session said anything about the range.
    pub is_range_chosen: bool,
    /// The finest time at which the source is exact.
    pub grain: Step,
    /// How many requests it takes; `None` if that depends on the data.
    pub n_requests: Option<usize>,
    /// Whether rows were added up by the source.
    pub is_coarse: bool,
    /// What was skipped or repaired at the source before this statement.
    pub notices: Vec<Notice>,
    /// What the work came to so far: whole once all rows are read.
    pub report: Report,
}

impl Answer {
    pub(crate) fn new(
        plan: &Arc<dyn ExecutionPlan>,
        measured: &[Option<Tables>],
        stream: SendableRecordBatchStream,
    ) -> Self {
        let (mut facts, mut of_catalogue) = (Vec::new(), Vec::new());
        collect_facts(plan, &mut facts, &mut of_catalogue);
        facts.append(&mut of_catalogue);
        let schema = with_units(&stream.schema(), measured, &facts);
        Self { schema, facts, stream }
    }

    /// The columns. The metadata of a measure, and of a plain sum of it, have its `unit`, such as `nanoseconds`, where
    /// all that was read for it has the same.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What was asked, a scan each: those of additive tables, then those of catalogue tables of which there is something
    /// to say.
    pub fn facts(&self) -> &[ScanFacts] {
        &self.facts
    }

    /// All rows.
    ///
    /// # Errors
    ///
    /// If a source or the engine fails on the way.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, Error> {
        self.try_collect().await
    }
}

fn collect_facts(
    plan: &Arc<dyn ExecutionPlan>,
    facts: &mut Vec<ScanFacts>,
    of_catalogue: &mut Vec<ScanFacts>,
) {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        facts.push(scan.facts());
    } else if let Some(scan) = plan.downcast_ref::<MetaExec>() {
        of_catalogue.extend(scan.facts());
    }
    for child in plan.children() {
        collect_facts(child, facts, of_catalogue);
    }
}

/// The schema with the unit of each column that has one.
fn with_units(schema: &SchemaRef, measured: &[Option<Tables>], facts: &[ScanFacts]) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(idx, field)| {
        let tables = measured.get(idx).and_then(Option::as_ref);
        let tables = tables.filter(|_| is_quantity(field.data_type()));
        match tables.and_then(|tables| unit(tables, facts)) {
            Some(unit) => {
                let mut metadata = field.metadata().clone();
                metadata.insert(UNIT.to_owned(), unit.to_owned());
                Arc::new(field.as_ref().clone().with_metadata(metadata))
            }
            None => Arc::clone(field),
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone()))
}

/// The unit of all that was read of some tables, if it is one.
fn unit<'a>(tables: &Tables, facts: &'a [ScanFacts]) -> Option<&'a str> {
    let is_read = |scan: &&ScanFacts| {
        tables.iter().any(|(source, table)| *source == scan.source && *table == scan.table)
    };
    let types = facts.iter().filter(is_read).flat_map(|scan| &scan.profile_types);
    let units: BTreeSet<&str> = types.map(ProfileType::sample_unit).collect();
    units.first().copied().filter(|_| units.len() == 1)
}

impl Stream for Answer {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let schema = Arc::clone(&self.schema);
        self.stream.poll_next_unpin(context).map(|batch| {
            batch.map(|batch| {
                let batch = batch.map_err(Error::from)?;
                batch.with_schema(schema).map_err(|e| Error::from(DataFusionError::from(e)))
            })
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("schema", &self.schema)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
