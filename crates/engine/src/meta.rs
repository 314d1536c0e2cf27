//! The catalogue tables: what there is to ask about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, Int64Builder, RecordBatch, StringArray, StringBuilder, TimestampNanosecondBuilder,
    },
    datatypes::{DataType, Field, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::TableType,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use flamesql_backend::{MetaQuery, ProfileRow, Report, Select};
use flamesql_profile::{Labels, TimeRange};
use flamesql_selector::Selector;
use futures::stream;

use crate::{
    Error, ErrorKind,
    catalog::Source,
    options::{self, Options},
    rows::{append_labels, labels_builder},
    schema::{self, said, with_labels},
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
}

impl MetaTable {
    pub(crate) fn new(source: Arc<Source>, kind: MetaKind, labels: &[String]) -> Self {
        let (schema, label_columns) = kind.schema(labels);
        Self { source, kind, schema, label_columns }
    }

    async fn rows(&self, range: TimeRange, is_strict: bool) -> Result<RecordBatch, Error> {
        let rows = self.all_rows(range).await?;
        // Known only now that the source was asked.
        match self.source.backend.notices().into_iter().find(|notice| notice.is_missing) {
            Some(notice) if is_strict => Err(Error::new(ErrorKind::Partial, notice.to_string())),
            _ => Ok(rows),
        }
    }

    async fn all_rows(&self, range: TimeRange) -> Result<RecordBatch, Error> {
        let backend = self.source.backend.as_ref();
        let meta = MetaQuery { profile_type: None, selector: Selector::all(), range };
        let columns: Vec<ArrayRef> = match self.kind {
            MetaKind::ProfileTypes => {
                let types = backend.profile_types(range).await?;
                let column = |part: fn(&flamesql_profile::ProfileType) -> &str| -> ArrayRef {
                    Arc::new(StringArray::from_iter_values(types.iter().map(part)))
                };
                vec![
                    column(|t| t.as_str()),
                    column(|t| t.name()),
                    column(|t| t.sample_type()),
                    column(|t| t.sample_unit()),
                    column(|t| t.period_type()),
                    column(|t| t.period_unit()),
                ]
            }
            MetaKind::Labels => {
                let sets = backend.label_sets(&meta).await?;
                let pairs: BTreeSet<(&str, &str)> =
                    sets.iter().flat_map(|set| set.labels.iter()).collect();
                vec![
                    Arc::new(StringArray::from_iter_values(pairs.iter().map(|(name, _)| name))),
                    Arc::new(StringArray::from_iter_values(pairs.iter().map(|(_, value)| value))),
                ]
            }
            MetaKind::LabelSets => {
                let sets = backend.label_sets(&meta).await?;
                let types =
                    StringArray::from_iter_values(sets.iter().map(|set| set.profile_type.as_str()));
                let labels: Vec<&Labels> = sets.iter().map(|set| &set.labels).collect();
                let mut columns: Vec<ArrayRef> = vec![Arc::new(types)];
                self.push_labels(&labels, &mut columns);
                columns
            }
            MetaKind::Profiles => {
                let mut rows: BTreeMap<(flamesql_profile::Timestamp, String), Vec<ProfileRow>> =
                    BTreeMap::new();
                for profile_type in backend.profile_types(range).await? {
                    let select = Select::new(profile_type, Selector::all(), range);
                    for row in backend.profiles(&select, &Report::new()).await? {
                        rows.entry((row.time, row.id.clone())).or_default().push(row);
                    }
                }
                self.profiles(&rows.into_values().flatten().collect::<Vec<_>>())
            }
            MetaKind::Exemplars | MetaKind::Heatmap | MetaKind::Annotations => {
                let (table, kind) = (self.kind.name(), backend.capabilities().kind);
                let what = format!("{}.{table}: a {kind} source has no {table}", self.source.name);
                return Err(Error::new(ErrorKind::Query, what).with_hint(
                    "the table profiles lists single profiles where a source tells them apart",
                ));
            }
        };
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("put rows together: {e}")).with_source(e)
        })
    }

    fn profiles(&self, rows: &[ProfileRow]) -> Vec<ArrayRef> {
        let mut time = TimestampNanosecondBuilder::new();
        let (mut value, mut duration) = (Int64Builder::new(), Int64Builder::new());
        for row in rows {
            time.append_value(row.time.nanos());
            value.append_value(row.value);
            duration.append_option(row.duration_nanos);
        }
        let labels: Vec<&Labels> = rows.iter().map(|row| &row.labels).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.id))),
            Arc::new(time.finish()),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| row.profile_type.as_str()),
            )),
        ];
        self.push_labels(&labels, &mut columns);
        let files = rows.iter().map(|row| row.source_file.as_deref());
        columns.push(Arc::new(value.finish()));
        columns.push(Arc::new(duration.finish()));
        columns.push(Arc::new(StringArray::from_iter(files)));
        columns
    }

    /// The map of labels, and a column for each.
    fn push_labels(&self, rows: &[&Labels], columns: &mut Vec<ArrayRef>) {
        let mut map = labels_builder();
        for labels in rows {
            append_labels(&mut map, labels);
        }
        columns.push(Arc::new(map.finish()));
        for name in &self.label_columns {
            let mut texts = StringBuilder::new();
            rows.iter().for_each(|labels| texts.append_option(labels.get(name)));
            columns.push(Arc::new(texts.finish()));
        }
    }
}

#[async_trait]
impl TableProvider for MetaTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let is_finite = self.source.backend.capabilities().is_finite;
        let options = Options::of(session);
        let (range, _) = options
            .range(options::statement_time(session), is_finite)
            .map_err(Error::into_datafusion)?;
        let rows = Rows { table: self.clone(), range, is_strict: options.strict };
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&self.schema),
            vec![Arc::new(rows)],
            projection,
            Vec::new(),
            false,
            limit,
        )?))
    }
}

#[derive(Debug)]
struct Rows {
    table: MetaTable,
    range: TimeRange,
    is_strict: bool,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, range, is_strict) = (self.table.clone(), self.range, self.is_strict);
        let schema = Arc::clone(&table.schema);
        let rows = stream::once(async move {
            table.rows(range, is_strict).await.map_err(Error::into_datafusion)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}
