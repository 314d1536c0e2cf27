//! The catalogue tables: what there is to ask about.
//!
//! `plan.rs` settles what a scan asks, `exec.rs` asks it when the plan runs, `rows.rs` makes columns of the answers.
//! Tables whose rows have a time and a profile type are asked for each type that the statement leaves, in the times that
//! it leaves; what it says of both is judged again on each row, so that asking for less never changes an answer. (The
//! cells of a heat map are those of the range that is asked for, whatever they are called.)

mod exec;
mod plan;
mod rows;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, tree_node::TreeNode},
    datasource::TableType,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
};

pub(crate) use self::exec::MetaExec;
use crate::{
    Error,
    catalog::Source,
    condition::is_beyond,
    schema::{self, said, with_labels},
    table::Noted,
};

/// A catalogue table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaKind {
    ProfileTypes,
    Labels,
    LabelSets,
    Profiles,
    Exemplars,
    Heatmap,
    Annotations,
}

impl MetaKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::ProfileTypes,
        Self::Labels,
        Self::LabelSets,
        Self::Profiles,
        Self::Exemplars,
        Self::Heatmap,
        Self::Annotations,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ProfileTypes => "profile_types",
            Self::Labels => "labels",
            Self::LabelSets => "label_sets",
            Self::Profiles => "profiles",
            Self::Exemplars => "exemplars",
            Self::Heatmap => "heatmap",
            Self::Annotations => "annotations",
        }
    }

    /// Whether each label is a column.
    pub(crate) const fn has_labels(self) -> bool {
        !matches!(self, Self::ProfileTypes | Self::Labels)
    }

    /// The names of what has the unit of the row's profile type.
    pub(crate) const fn measures(self) -> &'static [&'static str] {
        match self {
            Self::Profiles | Self::Exemplars => &["value"],
            Self::Heatmap => &["value_min"],
            Self::ProfileTypes | Self::Labels | Self::LabelSets | Self::Annotations => &[],
        }
    }

    /// Whether a row is of one profile type and one time: such a table is asked for by both.
    const fn is_by_type(self) -> bool {
        matches!(self, Self::Profiles | Self::Exemplars | Self::Heatmap | Self::Annotations)
    }

    fn schema(self, labels: &[String]) -> (SchemaRef, Vec<String>) {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let labels_map = || Field::new("labels", schema::labels_type(), false);
        let with_time = || {
            vec![Field::new("time", schema::time_type(), false), text("profile_type"), labels_map()]
        };
        let (before, after): (Vec<Field>, Vec<Field>) = match self {
            Self::ProfileTypes => (
                [
                    "profile_type",
                    "name",
                    "sample_type",
                    "sample_unit",
                    "period_type",
                    "period_unit",
                ]
                .map(text)
                .into(),
                Vec::new(),
            ),
            Self::Labels => (vec![text("name"), text("value")], Vec::new()),
            Self::LabelSets => (vec![text("profile_type"), labels_map()], Vec::new()),
            Self::Profiles => (
                vec![
                    text("id"),
                    Field::new("time", schema::time_type(), false),
                    text("profile_type"),
                    labels_map(),
                ],
                vec![
                    Field::new("value", DataType::Int64, false),
                    Field::new("duration", DataType::Int64, true),
                    Field::new("source_file", DataType::Utf8, true),
                ],
            ),
            Self::Exemplars => (
                with_time(),
                vec![
                    Field::new("profile_id", DataType::Utf8, true),
                    Field::new("span_id", DataType::Utf8, true),
                    Field::new("trace_id", DataType::Utf8, true),
                    Field::new("value", DataType::Int64, false),
                ],
            ),
            Self::Heatmap => (
                with_time(),
                vec![
                    Field::new("value_min", DataType::Float64, false),
                    Field::new("count", DataType::Int64, false),
                ],
            ),
            Self::Annotations => (with_time(), vec![text("key"), text("value")]),
        };
        let commented = |fields: Vec<Field>| -> Vec<Field> {
            fields.into_iter().map(|field| self.commented(field)).collect()
        };
        with_labels(&commented(before), &commented(after), labels)
    }

    /// A column with what it is.
    fn commented(self, field: Field) -> Field {
        let comment = match (self, field.name().as_str()) {
            (Self::Profiles, "time") => "When the profile was taken, UTC",
            (Self::Exemplars, "time") => "When the profile or the span was taken, UTC",
            (Self::Heatmap, "time") => "Where the column of cells begins, UTC",
            (_, "time") => "The start of the time that it is about, UTC",
            (_, "profile_type") => "What was measured",
            (_, "labels") => "All labels, sorted by their names",
            (Self::Labels, "name") => "The name of a label",
            (Self::Labels, "value") => "A value that it has",
            (_, "name") => "The first part of the profile type, such as process_cpu",
            (_, "sample_type") => "What a sample counts, such as cpu or inuse_space",
            (_, "sample_unit") => "The unit of a sample, such as nanoseconds",
            (_, "period_type") => "What lies between two samples, such as cpu or space",
            (_, "period_unit") => "The unit of what lies between two samples",
            (_, "id") => "What tells the profile from others of its source, for in_profile",
            (Self::Profiles, "value") => "The sum of its samples, in the unit of the profile type",
            (Self::Exemplars, "value") => "Its value, in the unit of the profile type",
            (_, "value") => "What the note says",
            (_, "duration") => "For how long it was taken, in nanoseconds; NULL if unknown",
            (_, "source_file") => "The file that it was read from",
            (_, "profile_id") => "The profile, for in_profile",
            (_, "span_id") => "The span, for in_span; NULL if it is a profile",
            (_, "trace_id") => "The trace of the span, for in_trace",
            (_, "value_min") => "Lower edge of the cell",
            (_, "count") => "Profiles in the cell",
            (_, "key") => "What kind of note it is",
            (_, name) => unreachable!("no catalogue table has a column {name}"),
        };
        let is_duration = field.name() == "duration";
        let mut field = said(field, comment);
        if is_duration {
            field.metadata_mut().insert(schema::UNIT.to_owned(), "nanoseconds".to_owned());
        }
        field
    }
}

/// A catalogue table of one source. Its rows are asked for when the plan runs.
#[derive(Clone, Debug)]
pub(crate) struct MetaTable {
    source: Arc<Source>,
    kind: MetaKind,
    schema: SchemaRef,
    label_columns: Vec<String>,
    noted: Noted,
}

impl MetaTable {
    pub(crate) fn new(source: Arc<Source>, kind: MetaKind, labels: &[String]) -> Self {
        let (schema, label_columns) = kind.schema(labels);
        Self { source, kind, schema, label_columns, noted: Noted::default() }
    }

    pub(crate) fn with_noted(&self, noted: Noted) -> Self {
        Self { noted, ..self.clone() }
    }

    /// The same table, of whose columns nothing is said.
    pub(crate) fn plain(&self) -> Self {
        Self { schema: schema::plain(&self.schema), ..self.clone() }
    }

    pub(crate) fn noted(&self) -> &Noted {
        &self.noted
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(crate) fn kind(&self) -> MetaKind {
        self.kind
    }

    /// Whether a filter may narrow what is asked, or has to be seen because it speaks of time and gives no bound.
    fn concerns(&self, filter: &Expr) -> bool {
        let is_own = !filter.exists(|e| Ok(is_beyond(e))).unwrap_or(true);
        let speaks = speaks_of(filter, "time") || speaks_of(filter, "profile_type");
        self.kind.is_by_type() && is_own && speaks && !filter.is_volatile()
    }
}

/// Whether a filter says anything about a column.
fn speaks_of(filter: &Expr, name: &str) -> bool {
    filter.column_refs().iter().any(|column| column.name == name)
}

#[async_trait]
impl TableProvider for MetaTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.concerns(filter) {
                true => TableProviderFilterPushDown::Inexact,
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan::plan(self, session, filters).await.map_err(Error::into_datafusion)?;
        Ok(Arc::new(MetaExec::new(self.clone(), plan, projection, limit)?))
    }
}
