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
                    said(
                        Field::new("value_min", DataType::Float64, false),
                        "Lower edge of the cell",
                    ),
                    said(Field::new("count", DataType::Int64, false), "Profiles in the cell"),
                ],
            ),
            Self::Annotations => (with_time(), vec![text("key"), text("value")]),
        };
        with_labels(&before, &after, labels)
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
