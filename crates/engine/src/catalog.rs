//! Sources as schemas.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    common::Result,
};
use flamesql_backend::{Backend, GroupBy, MetaQuery};
use flamesql_profile::TimeRange;
use flamesql_selector::{Selector, is_label_name};

use crate::{
    Error, TableKind,
    meta::{MetaKind, MetaTable},
    options::{self, Options},
    spoken,
    table::AdditiveTable,
    views,
};

/// How long the labels of a source that goes on growing are believed.
const LABELS_LAST: Duration = Duration::from_secs(30);
/// How many labels are columns at most; the rest are reachable as `labels['x']`.
const MAX_LABEL_COLUMNS: usize = 2000;

/// A configured place to ask.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) backend: Arc<dyn Backend>,
    labels: Mutex<KnownLabels>,
}

#[derive(Default)]
struct KnownLabels {
    /// Those of the range that sessions ask for.
    found: Option<Found>,
    /// Those that a statement named and that were found in another range.
    looked_up: BTreeSet<String>,
}

struct Found {
    since: Instant,
    asked: Asked,
    names: Vec<String>,
}

/// The range of which labels were asked for: what the session says, else what the statement speaks of. The last hour is
/// another one each time, and the same question.
type Asked = (Option<String>, Option<String>, Option<TimeRange>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn new(name: &str, backend: Arc<dyn Backend>) -> Self {
        Self { name: name.to_owned(), backend, labels: Mutex::default() }
    }

    fn labels(&self) -> MutexGuard<'_, KnownLabels> {
        self.labels.lock().expect("no thread panics while it holds this lock")
    }

    async fn ask(&self, range: TimeRange) -> Result<Vec<String>, Error> {
        let query = MetaQuery { profile_type: None, selector: Selector::all(), range };
        Ok(self.backend.label_names(&query).await?)
    }

    /// Where to look for labels: in the time that a statement speaks of, else in that of the session. A source that is at
    /// hand is asked for all it has: a range then changes no columns.
    fn range(&self, options: &Options, spoken: Option<TimeRange>) -> Result<TimeRange, Error> {
        match spoken {
            _ if self.backend.capabilities().is_finite => Ok(TimeRange::ALL),
            Some(spoken) => Ok(spoken),
            None => Ok(options.range(options::now(), false)?.0),
        }
    }

    /// The labels that are columns, sorted: those that were found, and those that were looked up.
    async fn label_names(&self, options: &Options) -> Result<Vec<String>, Error> {
        let is_finite = self.backend.capabilities().is_finite;
        // What the session says stands against it: then columns are the same for all statements.
        let is_set = options.from.is_some() || options.to.is_some();
        let spoken = spoken::spoken().filter(|_| !is_set);
        let range = self.range(options, spoken)?;
        let asked = (options.from.clone(), options.to.clone(), spoken);
        let known = match &self.labels().found {
            Some(found)
                if !is_finite && found.since.elapsed() < LABELS_LAST && found.asked == asked =>
            {
                Some(found.names.clone())
            }
            _ => None,
        };
        let mut names = match known {
            Some(names) => names,
            None => {
                let names = self.ask(range).await?;
                let since = Instant::now();
                self.labels().found = Some(Found { since, asked, names: names.clone() });
                names
            }
        };
        names.truncate(MAX_LABEL_COLUMNS);
        names.extend(self.labels().looked_up.iter().cloned());
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Whether labels were looked for where there are none, at a source that goes on growing.
    pub(crate) fn has_no_labels(&self) -> bool {
        let labels = self.labels();
        !self.backend.capabilities().is_finite
            && labels.looked_up.is_empty()
            && labels.found.as_ref().is_some_and(|found| found.names.is_empty())
    }

    /// How the rows of a range are told apart by all labels: where a source does not list those that need quotes, by those
    /// that it lists and those that statements have named.
    pub(crate) async fn all_labels(&self, range: TimeRange) -> Result<GroupBy, Error> {
        if self.backend.capabilities().lists_quoted {
            return Ok(GroupBy::All);
        }
        let mut names: BTreeSet<String> = self.ask(range).await?.into_iter().collect();
        let looked_up = self.labels().looked_up.clone();
        names.extend(looked_up.into_iter().filter(|name| !is_label_name(name)));
        Ok(GroupBy::Labels(names.into_iter().collect()))
    }

    /// Looks for labels that a statement takes from `labels` by names that are in no list.
    pub(crate) async fn look_up_quoted(
        &self,
        names: &BTreeSet<String>,
        options: &Options,
        spoken: Option<TimeRange>,
    ) {
        if !self.backend.capabilities().lists_quoted {
            for name in names {
                self.look_up(name, options, spoken).await;
            }
        }
    }

    /// Looks for a label in the time that a statement speaks of, whatever the session says; whether it is there and was
    /// no column so far. All of time would be too many questions to a server.
    pub(crate) async fn look_up(
        &self,
        name: &str,
        options: &Options,
        spoken: Option<TimeRange>,
    ) -> bool {
        if self.labels().looked_up.contains(name) {
            return false;
        }
        let Ok(range) = self.range(options, spoken) else { return false };
        let mut is_found = self.ask(range).await.is_ok_and(|all| all.iter().any(|n| n == name));
        // Pyroscope's storage v1 has such names and shows them to nobody.
        if !is_found && name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let query = MetaQuery { profile_type: None, selector: Selector::all(), range };
            let values = self.backend.label_values(name, &query).await;
            is_found = values.is_ok_and(|values| !values.is_empty());
        }
        is_found && self.labels().looked_up.insert(name.to_owned())
    }
}

/// The tables of one source, in one session.
pub(crate) struct SourceSchema {
    pub(crate) source: Arc<Source>,
    /// What the session says now, for its range.
    pub(crate) session: SessionSays,
}

/// The options of a session as they are now.
pub(crate) type SessionSays = Arc<dyn Fn() -> Options + Send + Sync>;

impl fmt::Debug for SourceSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceSchema").field("source", &self.source).finish_non_exhaustive()
    }
}

enum Table {
    Additive(TableKind),
    Meta(MetaKind),
    HotFunctions,
}

fn find(name: &str) -> Option<Table> {
    let additive = TableKind::ALL.into_iter().find(|kind| kind.name() == name).map(Table::Additive);
    let meta = || MetaKind::ALL.into_iter().find(|kind| kind.name() == name).map(Table::Meta);
    let view = || (name == views::HOT_FUNCTIONS).then_some(Table::HotFunctions);
    additive.or_else(meta).or_else(view)
}

/// The names of all tables that a source has.
pub(crate) fn table_names() -> impl Iterator<Item = &'static str> {
    let additive = TableKind::ALL.iter().map(|kind| kind.name());
    additive.chain(MetaKind::ALL.iter().map(|kind| kind.name())).chain([views::HOT_FUNCTIONS])
}

impl SourceSchema {
    async fn label_names(&self) -> Result<Vec<String>> {
        self.source.label_names(&(self.session)()).await.map_err(Error::into_datafusion)
    }
}

#[async_trait]
impl SchemaProvider for SourceSchema {
    fn table_names(&self) -> Vec<String> {
        table_names().map(str::to_owned).collect()
    }

    fn table_exist(&self, name: &str) -> bool {
        find(name).is_some()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = find(name) else { return Ok(None) };
        let source = Arc::clone(&self.source);
        Ok(Some(match table {
            Table::Additive(kind) => {
                Arc::new(AdditiveTable::new(source, kind, &self.label_names().await?))
            }
            Table::Meta(kind) if kind.has_labels() => {
                Arc::new(MetaTable::new(source, kind, &self.label_names().await?))
            }
            Table::Meta(kind) => Arc::new(MetaTable::new(source, kind, &[])),
            Table::HotFunctions => {
                let functions = AdditiveTable::new(source, TableKind::Functions, &[]);
                Arc::new(views::hot_functions(Arc::new(functions))?)
            }
        }))
    }
}
