//! Sources put together, and all that a session needs to know of them.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    catalog::{CatalogProvider, MemoryCatalogProvider},
    execution::SessionStateBuilder,
    logical_expr::AggregateUDF,
    prelude::{SessionConfig, SessionContext},
};
use flamesql_backend::Backend;

use crate::{
    Error, ErrorKind, Session, SessionOptions,
    catalog::{SessionSays, Source, SourceSchema},
    distinct::ListsAreCountedByKey,
    flamegraph::Flamegraph,
    functions::{self, origin::OriginsStay},
    grouped::GroupedAreColumns,
    law::LawOfGranularity,
    max_nodes::MaxNodes,
    once::AskOnce,
    options::{self, Options},
    rounds::RoundsEnd,
    speaks::{TypesAreSpokenOf, WhatIsSpokenOf},
    sum::CheckedSum,
    terms::TermsAreAlike,
    times::BinsHaveWidth,
    unique::UnnestIsNotUnique,
    units::SameUnits,
    views::Neighbours,
    whole::WholeTrees,
    yields::JoinsYield,
    zones::ZonesStay,
};

const CATALOG: &str = "flamesql";

/// Sources, each of which is a schema in SQL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    sources: Arc<[Arc<Source>]>,
    default: String,
    /// By each name under which a source is a schema.
    schemas: Arc<BTreeMap<String, Arc<Source>>>,
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
        // Told here and not with the first statement, which may be long in coming.
        Options::new(options).range(options::now(), true)?;
        let session = self.session_of(Options::new(options));
        if let Some(bytes) = options.memory_limit {
            session.limit_memory(bytes)?;
        }
        Ok(session)
    }

    fn session_of(&self, options: Options) -> Session {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, &self.default);
        config.options_mut().extensions.insert(options);
        let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
        let context = SessionContext::new_with_state(state);
        let catalog = Arc::new(MemoryCatalogProvider::new());
        context.register_catalog(CATALOG, Arc::clone(&catalog) as Arc<dyn CatalogProvider>);
        self.install_into(&context, catalog.as_ref()).expect("a new catalogue takes any schema");
        Session::new(context, Arc::clone(&self.sources))
    }

    /// Adds the sources, functions and rules to somebody else's DataFusion session: each source is a schema of the
    /// session's default catalogue. `examples/install.rs` joins such a schema with a table of the session's own.
    ///
    /// A few of the session's switches are set, without which DataFusion gives wrong answers over these tables or plans
    /// without end: filters that are found on the way (`enable_dynamic_filter_pushdown`) are off for all its tables, too.
    /// Its memory pool stays as it is; one that spills where sorts and groups need it is a `FairSpillPool`.
    ///
    /// [`checked_plan`](crate::checked_plan) refuses statements of others that no planner could take, as a
    /// [`Session`] does by itself.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use flamesql_backend::Memory;
    /// use flamesql_engine::{Engine, datafusion::prelude::SessionContext};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let engine = Engine::builder().source("prod", Arc::new(Memory::new())).build()?;
    /// let context = SessionContext::new();
    /// engine.install(&context)?;
    /// let sql = "SELECT function, sum(self) FROM prod.functions GROUP BY function";
    /// assert_eq!(context.sql(sql).await?.count().await?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// If the session has no default catalogue, or that takes no schemas.
    pub fn install(&self, context: &SessionContext) -> Result<(), Error> {
        let state = context.state();
        let name = &state.config_options().catalog.default_catalog;
        let catalog = state.catalog_list().catalog(name).ok_or_else(|| {
            Error::new(ErrorKind::Query, format!("the session has no catalogue {name:?}"))
        })?;
        {
            let state = context.state_ref();
            let mut state = state.write();
            let extensions = &mut state.config_mut().options_mut().extensions;
            if extensions.get::<Options>().is_none() {
                extensions.insert(Options::default());
            }
        }
        Ok(self.install_into(context, catalog.as_ref())?)
    }

    fn install_into(
        &self,
        context: &SessionContext,
        catalog: &dyn CatalogProvider,
    ) -> datafusion::common::Result<()> {
        let session = context.state_weak_ref();
        let says: SessionSays = Arc::new(move || {
            session.upgrade().map(|state| Options::of(&*state.read())).unwrap_or_default()
        });
        for (name, source) in self.schemas.iter() {
            let schema = SourceSchema { source: Arc::clone(source), session: Arc::clone(&says) };
            catalog.register_schema(name, Arc::new(schema))?;
        }
        context.register_udaf(AggregateUDF::from(Flamegraph::one()));
        context.register_udaf(AggregateUDF::from(Flamegraph::diff()));
        context.register_udaf(AggregateUDF::from(CheckedSum::default()));
        for function in functions::scalar() {
            context.register_udf(function);
        }
        context.register_relation_planner(Arc::new(Neighbours(Arc::clone(&self.schemas))))?;
        context.add_analyzer_rule(Arc::new(OriginsStay));
        context.add_analyzer_rule(Arc::new(UnnestIsNotUnique));
        context.add_analyzer_rule(Arc::new(TermsAreAlike));
        context.add_analyzer_rule(Arc::new(MaxNodes));
        context.add_analyzer_rule(Arc::new(BinsHaveWidth));
        context.add_analyzer_rule(Arc::new(ZonesStay));
        context.add_analyzer_rule(Arc::new(TypesAreSpokenOf));
        context.add_optimizer_rule(Arc::new(WhatIsSpokenOf));
        context.add_optimizer_rule(Arc::new(LawOfGranularity));
        // Behind the law, which may find a source that adds up by stack.
        context.add_optimizer_rule(Arc::new(ListsAreCountedByKey));
        // What a session which exists does not take.
        let state = context.state_ref();
        let mut state = state.write();
        // DataFusion 55 works the metadata of a UNION's columns out in two ways, and takes the difference for a fault.
        let options = state.config_mut().options_mut();
        options.execution.skip_physical_aggregate_schema_check = true;
        // It mixes up the branches of a UNION: labels['x'] above one gave another column's values.
        options.optimizer.enable_leaf_expression_pushdown = false;
        // No scan of ours takes a filter that is found on the way, and to offer it one DataFusion puts all expressions
        // between into each other, which may have no end. There is one switch for all, and one for each kind.
        options.optimizer.enable_dynamic_filter_pushdown = false;
        options.optimizer.enable_join_dynamic_filter_pushdown = false;
        options.optimizer.enable_topk_dynamic_filter_pushdown = false;
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        let mut with_rules = SessionStateBuilder::new_from_existing(state.clone())
            .with_session_id(state.session_id().to_owned())
            .with_physical_optimizer_rule(Arc::new(SameUnits))
            .with_physical_optimizer_rule(Arc::new(AskOnce))
            .with_physical_optimizer_rule(Arc::new(WholeTrees))
            .with_physical_optimizer_rule(Arc::new(RoundsEnd))
            .with_physical_optimizer_rule(Arc::new(JoinsYield));
        // Before the rules of DataFusion, which write expressions in another way.
        if let Some(analyzer) = with_rules.analyzer() {
            analyzer.rules.insert(0, Arc::new(GroupedAreColumns));
        }
        *state = with_rules.build();
        Ok(())
    }
}

impl EngineBuilder {
    /// Adds a source under a name; it is a schema of that name in SQL, and of its slug (`my-app` is also `my_app`).
    #[must_use]
    pub fn source(mut self, name: &str, backend: Arc<dyn Backend>) -> Self {
        self.sources.push(Arc::new(Source::new(name, backend)));
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
        let mut schemas: BTreeMap<String, Arc<Source>> = BTreeMap::new();
        for source in &self.sources {
            let names = [source.name.clone(), slug(&source.name)];
            for name in names.iter().take(if names[0] == names[1] { 1 } else { 2 }) {
                if let Some(other) = schemas.insert(name.clone(), Arc::clone(source)) {
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
        Ok(Engine { sources: self.sources.into(), default, schemas: Arc::new(schemas) })
    }
}

/// Lower case, with `_` for what cannot stand in a bare SQL name.
fn slug(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect()
}
