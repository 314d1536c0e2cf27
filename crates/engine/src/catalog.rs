//! Sources as schemas.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    common::Result,
};
use flamesql_backend::{Backend, MetaQuery};
use flamesql_profile::TimeRange;
use flamesql_selector::Selector;

use crate::{
    Error, TableKind,
    meta::{MetaKind, MetaTable},
    table::AdditiveTable,
};

/// A configured place to ask.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) backend: Arc<dyn Backend>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// The names of the labels that are found here, sorted.
    async fn label_names(&self) -> Result<Vec<String>, Error> {
        let query =
            MetaQuery { profile_type: None, selector: Selector::all(), range: TimeRange::ALL };
        Ok(self.backend.label_names(&query).await?)
    }
}

/// The tables of one source.
#[derive(Debug)]
pub(crate) struct SourceSchema(pub(crate) Arc<Source>);

enum Table {
    Additive(TableKind),
    Meta(MetaKind),
}

fn find(name: &str) -> Option<Table> {
    let additive = TableKind::ALL.into_iter().find(|kind| kind.name() == name).map(Table::Additive);
    additive.or_else(|| MetaKind::ALL.into_iter().find(|kind| kind.name() == name).map(Table::Meta))
}

#[async_trait]
impl SchemaProvider for SourceSchema {
    fn table_names(&self) -> Vec<String> {
        let additive = TableKind::ALL.iter().map(|kind| kind.name());
        additive.chain(MetaKind::ALL.iter().map(|kind| kind.name())).map(str::to_owned).collect()
    }

    fn table_exist(&self, name: &str) -> bool {
        find(name).is_some()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = find(name) else { return Ok(None) };
        let source = Arc::clone(&self.0);
        Ok(Some(match table {
            Table::Additive(kind) => {
                let labels = source.label_names().await.map_err(Error::into_datafusion)?;
                Arc::new(AdditiveTable::new(source, kind, &labels))
            }
            Table::Meta(kind) => {
                let labels = if kind.has_labels() {
                    source.label_names().await.map_err(Error::into_datafusion)?
                } else {
                    Vec::new()
                };
                Arc::new(MetaTable::new(source, kind, &labels))
            }
        }))
    }
}
