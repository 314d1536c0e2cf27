//! Sources put together, and sessions that run statements over them.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    catalog::{CatalogProvider, MemoryCatalogProvider},
    execution::SessionStateBuilder,
    logical_expr::AggregateUDF,
    physical_plan::execute_stream,
    prelude::{SQLOptions, SessionConfig, SessionContext},
    sql::parser::{DFParserBuilder, Statement},
};
use flamesql_backend::Backend;

use crate::{
    Answer, Error, ErrorKind, SessionOptions,
    catalog::{Source, SourceSchema},
    flamegraph::Flamegraph,
    law::LawOfGranularity,
    options::Options,
    sum::CheckedSum,
};

const CATALOG: &str = "flamesql";

/// Sources, each of which is a schema in SQL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    sources: Arc<[Arc<Source>]>,
    default: String,
    catalog: Arc<MemoryCatalogProvider>,
}

/// Puts an [`Engine`] together.
#[derive(Debug, Default)]
pub struct EngineBuilder {
    sources: Vec<Arc<Source>>,
    default: Option<String>,
}

impl Engine {
    /// Begins with no source.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// The names of the sources.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sources.iter().map(|source| source.name.as_str())
    }

    /// The source whose tables need no prefix.
    pub fn default_source(&self) -> &str {
        &self.default
    }

    /// A session with the usual options.
    pub fn session(&self) -> Session {
        self.session_of(Options::default())
    }

    /// A session.
    ///
    /// # Errors
    ///
    /// If a time in the options does not parse, or the range ends before it begins.
    pub fn session_with(&self, options: &SessionOptions) -> Result<Session, Error> {
        let options = Options::new(options);
        // Told here and not with the first statement, which may be long in coming.
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = flamesql_profile::Timestamp::from_nanos(
            i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        );
        options.range(now, true)?;
        Ok(self.session_of(options))
    }

    fn session_of(&self, options: Options) -> Session {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, &self.default);
        config.options_mut().extensions.insert(options);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_optimizer_rule(Arc::new(LawOfGranularity))
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_catalog(CATALOG, Arc::clone(&self.catalog) as Arc<dyn CatalogProvider>);
        context.register_udaf(AggregateUDF::from(Flamegraph::one()));
        context.register_udaf(AggregateUDF::from(Flamegraph::diff()));
        context.register_udaf(AggregateUDF::from(CheckedSum::default()));
        Session { context }
    }
}

impl EngineBuilder {
    /// Adds a source under a name; it is a schema of that name in SQL, and of its slug (`my-app` is also `my_app`).
    #[must_use]
    pub fn source(mut self, name: &str, backend: Arc<dyn Backend>) -> Self {
        self.sources.push(Arc::new(Source { name: name.to_owned(), backend }));
        self
    }

    /// Names the source whose tables need no prefix; else it is the first one.
    #[must_use]
    pub fn default_source(mut self, name: &str) -> Self {
        self.default = Some(name.to_owned());
        self
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// If there is no source, two have one name or slug, or the default is none of them.
    pub fn build(self) -> Result<Engine, Error> {
        let wrong = |what: String| Error::new(ErrorKind::Query, what);
        let first =
            self.sources.first().ok_or_else(|| wrong("an engine without a source".to_owned()))?;
        let default = self.default.clone().unwrap_or_else(|| first.name.clone());
        let mut schemas: BTreeMap<String, &Arc<Source>> = BTreeMap::new();
        for source in &self.sources {
            let names = [source.name.clone(), slug(&source.name)];
            for name in names.iter().take(if names[0] == names[1] { 1 } else { 2 }) {
                if let Some(other) = schemas.insert(name.clone(), source) {
                    return Err(wrong(format!(
                        "the sources {:?} and {:?} are both called {name:?}",
                        other.name, source.name
                    )));
                }
            }
        }
        if !schemas.contains_key(&default) {
            return Err(wrong(format!("the default source {default:?} is not among the sources")));
        }
        if schemas.contains_key("information_schema") {
            return Err(wrong("a source cannot be called information_schema".to_owned()));
        }
        let catalog = MemoryCatalogProvider::new();
        for (name, source) in &schemas {
            catalog.register_schema(name, Arc::new(SourceSchema(Arc::clone(source))))?;
        }
        Ok(Engine { sources: self.sources.into(), default, catalog: Arc::new(catalog) })
    }
}

/// Lower case, with `_` for what cannot stand in a bare SQL name.
fn slug(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect()
}

/// Runs statements. What `SET` changes lasts as long as the session.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.context.session_id()).finish_non_exhaustive()
    }
}

impl Session {
    /// Runs one statement, or several separated by `;`, of which the last one answers.
    ///
    /// Nothing can be written or created: only queries, EXPLAIN, SHOW, DESCRIBE and SET run.
    ///
    /// # Errors
    ///
    /// If a statement does not parse, names what is not there, cannot be answered, or its source fails before the first
    /// row; what fails later comes through the answer.
    pub async fn query(&self, sql: &str) -> Result<Answer, Error> {
        let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
        let Some(last) = statements.pop_back() else {
            return Err(
                Error::new(ErrorKind::Syntax, "there is no statement").with_hint("try SHOW TABLES")
            );
        };
        for statement in statements {
            self.run(statement).await?.collect().await?;
        }
        self.run(last).await
    }

    async fn run(&self, statement: Statement) -> Result<Answer, Error> {
        let plan = self.context.state().statement_to_plan(statement).await?;
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).verify_plan(&plan)?;
        let frame = self.context.execute_logical_plan(plan).await?;
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let stream = execute_stream(Arc::clone(&plan), context)?;
        Ok(Answer::new(&plan, stream))
    }

    /// The session underneath, for what only DataFusion can do. Its tables, functions and rules are all there.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }
}
