//! An additive table of a source, as DataFusion sees it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::TableType,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
};
use flamesql_profile::{ProfileType, Step};

use crate::{
    Error, ErrorKind, TableKind, ask,
    catalog::Source,
    coarse::Coarse,
    condition::{self, Condition},
    scan::ScanExec,
    schema,
    units::{Added, Part},
    why::Why,
};

/// `series`, `samples`, `functions` or `call_edges` of one source: the relation R, or what the law lets stand for it.
#[derive(Clone, Debug)]
pub(crate) struct AdditiveTable {
    source: Arc<Source>,
    kind: TableKind,
    schema: SchemaRef,
    label_columns: Vec<String>,
    coarse: Option<Coarse>,
    /// Why the rows of R are read below an aggregate.
    why: Option<Why>,
    noted: Noted,
}

/// What rules that look at a whole statement write on the tables that it is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Noted {
    /// What is added up above.
    pub(crate) sums: Vec<Added>,
    pub(crate) speaks_of: SpeaksOf,
}

impl Noted {
    /// What the sums take from a scan, when its types are known.
    pub(crate) fn parts(
        &self,
        session: &dyn Session,
        types: &[ProfileType],
    ) -> Result<Vec<Part>, Error> {
        self.sums.iter().map(|sum| sum.check(session, types)).collect()
    }
}

/// What a statement speaks about beyond the conditions that a scan takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpeaksOf {
    pub(crate) profile_type: bool,
    pub(crate) time: bool,
    /// The least width of bins of time.
    pub(crate) bins: Option<Step>,
}

impl AdditiveTable {
    pub(crate) fn new(source: Arc<Source>, kind: TableKind, labels: &[String]) -> Self {
        let (schema, label_columns) = kind.schema(labels);
        Self {
            source,
            kind,
            schema,
            label_columns,
            coarse: None,
            why: None,
            noted: Noted::default(),
        }
    }

    pub(crate) fn with_coarse(&self, coarse: Coarse) -> Self {
        Self { coarse: Some(coarse), why: None, ..self.clone() }
    }

    pub(crate) fn with_why(&self, why: Why) -> Self {
        Self { why: Some(why), ..self.clone() }
    }

    pub(crate) fn with_noted(&self, noted: Noted) -> Self {
        Self { noted, ..self.clone() }
    }

    /// The same table, of whose columns nothing is said.
    pub(crate) fn plain(&self) -> Self {
        Self { schema: schema::plain(&self.schema), ..self.clone() }
    }

    pub(crate) fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    pub(crate) fn noted(&self) -> &Noted {
        &self.noted
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(crate) fn kind(&self) -> TableKind {
        self.kind
    }

    pub(crate) fn coarse(&self) -> Option<&Coarse> {
        self.coarse.as_ref()
    }

    pub(crate) fn label_columns(&self) -> &[String] {
        &self.label_columns
    }

    pub(crate) fn grain(&self) -> Step {
        self.source.backend.capabilities().grain
    }

    fn condition(&self, filter: &Expr) -> Option<Condition> {
        condition::condition(filter, self.kind, &self.label_columns, self.grain())
    }
}

#[async_trait]
impl TableProvider for AdditiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.condition(filter) {
                Some(_) => TableProviderFilterPushDown::Exact,
                None => TableProviderFilterPushDown::Unsupported,
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
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let conditions: Option<Vec<Condition>> =
            filters.iter().map(|filter| self.condition(filter)).collect();
        // Only what was claimed comes here, if perhaps simplified since. A filter that is lost would be a wrong answer.
        let conditions = conditions.ok_or_else(|| {
            let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
            let what =
                format!("apply the filters {} to {}", filters.join(" AND "), self.kind.name());
            Error::new(ErrorKind::Internal, what).into_datafusion()
        })?;
        let plan =
            ask::plan(self, session, conditions, &schema).await.map_err(Error::into_datafusion)?;
        Ok(Arc::new(ScanExec::new(plan, schema, limit)))
    }
}
