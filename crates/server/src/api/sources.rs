//! The data sources of a server, by uid and by name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use flamesql_datasource::{DataSource, Error, Provisioning};
use serde_json::Value;

use super::{described, listed};

/// The data sources that a server answers for. Cheap to clone.
#[derive(Clone)]
pub struct ApiSources(Arc<Inner>);

struct Inner {
    all: Vec<Arc<DataSource>>,
    default: usize,
    by_uid: BTreeMap<String, usize>,
    by_name: BTreeMap<String, usize>,
}

impl fmt::Debug for ApiSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.by_uid.keys()).finish()
    }
}

impl From<&Provisioning> for ApiSources {
    fn from(provisioning: &Provisioning) -> Self {
        let all = provisioning.sources().iter();
        let default = all
            .clone()
            .position(|source| source.settings.uid == provisioning.default_source().settings.uid);
        let all = all.map(|source| DataSource::new(source.settings.clone())).collect();
        Self::of(all, default.unwrap_or(0))
    }
}

impl From<DataSource> for ApiSources {
    fn from(source: DataSource) -> Self {
        Self::of(vec![source], 0)
    }
}

impl ApiSources {
    fn of(all: Vec<DataSource>, default: usize) -> Self {
        let (mut by_uid, mut by_name) = (BTreeMap::new(), BTreeMap::new());
        for (idx, source) in all.iter().enumerate() {
            by_uid.insert(source.settings().uid.clone(), idx);
            by_name.insert(source.settings().name.clone(), idx);
        }
        let all = all.into_iter().map(Arc::new).collect();
        Self(Arc::new(Inner { all, default, by_uid, by_name }))
    }

    /// The one that is asked where none is named.
    pub fn default_source(&self) -> Arc<DataSource> {
        Arc::clone(&self.0.all[self.0.default])
    }

    /// The one of this uid, or of this name.
    ///
    /// # Errors
    ///
    /// If there is none; the error lists those that there are.
    pub fn named(&self, name: &str) -> Result<Arc<DataSource>, Error> {
        let inner = &self.0;
        let found = inner.by_uid.get(name).or_else(|| inner.by_name.get(name));
        let found = found.and_then(|idx| inner.all.get(*idx)).cloned();
        found.ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            Error::not_found(format!("there is no data source {name:?}"))
                .with_hint(format!("there are {}", listed(&inner.by_uid)))
        })
    }

    pub(super) fn describe(&self, source: &Arc<DataSource>) -> Value {
        described(source, Arc::ptr_eq(source, &self.default_source()))
    }

    pub(super) fn described(&self) -> Vec<Value> {
        self.0.all.iter().map(|source| self.describe(source)).collect()
    }
}
