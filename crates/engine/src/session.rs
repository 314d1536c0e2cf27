//! Running statements.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use datafusion::{
    common::{
        SchemaError,
        config::{ConfigNonZeroUsize, ConfigOptions},
    },
    error::DataFusionError,
    execution::{SessionState, SessionStateBuilder, runtime_env::RuntimeEnvBuilder},
    logical_expr::{self, LogicalPlan, LogicalPlanBuilder, PlanType},
    physical_plan::{ExecutionPlan, execute_stream, explain::ExplainExec},
    prelude::{SQLOptions, SessionContext},
    sql::{
        parser::{DFParserBuilder, ResetStatement, Statement},
        sqlparser::ast,
    },
};
use flamesql_profile::TimeRange;

use crate::{
    Answer, Error, ErrorKind,
    catalog::{self, Source, SourceSchema},
    clauses::{self, Looks},
    measured::measured,
    nearest::nearest,
    options::{self, Explaining, Options},
    pool::SpillPool,
    size,
    spoken::{self, SPOKEN},
};

/// How much of the stack planning finds free, and how much it gets where there is less. Not all recursion of DataFusion
/// looks to that by itself: in a debug build it takes 5 kB for each level of an expression, of which `size` allows some
/// hundreds.
const ROOM: usize = 8 << 20;
const NEW_ROOM: usize = 16 << 20;

/// Where memory is limited: how much of it each sort or group has at least, of which there is one for each partition; and
/// how many rows a batch has, of which a sort that reads its files again holds two of each. A stack of 24 names is 1 kB.
const LEAST_SHARE: usize = 128 << 20;
const LIMITED_ROWS: usize = 1024;

/// Runs statements. What `SET` changes lasts as long as the session.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    sources: Arc<[Arc<Source>]>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.context.session_id()).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(context: SessionContext, sources: Arc<[Arc<Source>]>) -> Self {
        Self { context, sources }
    }

    /// Beyond so much memory sorts and groups go on in temporary files; a join that hashes fails. A sort keeps an eighth
    /// of it for reading its files again: else it would fail with all of its rows in them.
    pub(crate) fn limit_memory(&self, bytes: usize) -> Result<(), Error> {
        let state = self.context.state_ref();
        let mut state = state.write();
        let runtime = RuntimeEnvBuilder::from_runtime_env(state.runtime_env())
            .with_memory_pool(Arc::new(SpillPool::new(bytes)))
            .build_arc()?;
        // An earlier limit does not count.
        let usual = ConfigOptions::default().execution;
        let execution = &mut state.config_mut().options_mut().execution;
        let n = (bytes / LEAST_SHARE).clamp(1, usual.target_partitions.max(1));
        execution.target_partitions = n;
        let rows = usual.batch_size.get().min(LIMITED_ROWS);
        execution.batch_size = ConfigNonZeroUsize::try_new(rows)?;
        execution.sort_spill_reservation_bytes = bytes / n / 8;
        let limited = SessionStateBuilder::new_from_existing(state.clone())
            .with_session_id(state.session_id().to_owned())
            .with_runtime_env(runtime);
        *state = limited.build();
        Ok(())
    }

    /// Runs one statement, or several separated by `;`, of which the last one answers.
    ///
    /// Nothing can be written or created: only queries, EXPLAIN, SHOW, DESCRIBE and SET run.
    ///
    /// # Errors
    ///
    /// If a statement does not parse, names what is not there, cannot be answered, or its source fails before the first
    /// row; what fails later comes through the answer.
    pub async fn query(&self, sql: &str) -> Result<Answer, Error> {
        with_room(self.query_all(sql)).await
    }

    async fn query_all(&self, sql: &str) -> Result<Answer, Error> {
        let mut script = self.script(sql)?;
        loop {
            let Some(answer) = script.next().await? else {
                return Err(Error::new(ErrorKind::Syntax, "there is no statement")
                    .with_hint("try SHOW TABLES"));
            };
            if script.is_done() {
                return Ok(answer);
            }
            answer.collect().await?;
        }
    }

    /// Takes several statements, separated by `;`, to be run one after another; each has an answer.
    ///
    /// ```
    /// use flamesql_engine::{Engine, Session};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let memory = std::sync::Arc::new(flamesql_backend::Memory::new());
    /// let session = Engine::builder().source("demo", memory).build()?.session();
    /// let mut script = session.script("SELECT 1 AS a; SET flamesql.strict = true; SELECT 2 AS b")?;
    /// let mut names = Vec::new();
    /// while let Some(answer) = script.next().await? {
    ///     names.extend(answer.schema().fields().iter().map(|field| field.name().clone()));
    /// }
    /// assert_eq!(names, ["a", "b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// If one of them does not parse: then none runs.
    pub fn script(&self, sql: &str) -> Result<Script, Error> {
        let parse = || {
            size::check(sql)?;
            Ok(DFParserBuilder::new(sql).build()?.parse_statements()?)
        };
        let statements: Result<_, Error> = stacker::maybe_grow(ROOM, NEW_ROOM, parse);
        Ok(Script { session: self.clone(), statements: statements? })
    }

    async fn run(&self, statement: Statement) -> Result<Answer, Error> {
        size::check_tables(&statement)?;
        clauses::check(&statement, &|name| looks(&self.context.state_ref().read(), name))?;
        // Before anyone counts its values: the others that write are refused by the plan below.
        if let Statement::Statement(statement) = &statement
            && matches!(statement.as_ref(), ast::Statement::Insert(_))
        {
            return Err(only_reads("INSERT"));
        }
        let spoken = spoken::range(&statement, options::now());
        look_up_quoted(&statement, &self.context.state(), spoken).await;
        let plan = match own_setting(&statement) {
            Some(key) => self.reset(&key)?,
            None => loop {
                match SPOKEN.scope(spoken, self.plan(statement.clone())).await {
                    Ok(plan) => break plan,
                    // A label that no profile of the range had is no column yet; it is looked up once.
                    Err(error) if self.found_label(&error, spoken).await => {}
                    Err(error) => return Err(self.explain_error(error)),
                }
            },
        };
        size::check_plan(&plan)?;
        let reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false);
        reads.verify_plan(&plan).map_err(|error| refused_writing(error.into()))?;
        let measured = measured(&plan)?;
        let limit = memory_limit(&plan)?;
        let frame = self.context.execute_logical_plan(plan).await?;
        if let Some(bytes) = limit {
            self.limit_memory(bytes)?;
        }
        let (mut state, plan) = frame.into_parts();
        if matches!(plan, LogicalPlan::Explain(_)) {
            state.config_mut().set_extension(Arc::new(Explaining));
        }
        let plan = state.create_physical_plan(&plan).await?;
        if let Some(error) = refused(plan.as_ref()) {
            return Err(error);
        }
        let stream = execute_stream(Arc::clone(&plan), Arc::new((&state).into()))?;
        Ok(Answer::new(&plan, &measured, stream))
    }

    async fn plan(&self, statement: Statement) -> Result<LogicalPlan, DataFusionError> {
        let state: SessionState = self.context.state();
        let untyped = untyped_functions(&statement);
        let plan = state.statement_to_plan(statement).await?;
        let Some(sql) = untyped else { return Ok(plan) };
        let untyped = state.create_logical_plan(&sql).await?;
        LogicalPlanBuilder::from(plan).union(untyped)?.build()
    }

    /// Resets a setting of ours, which DataFusion does not do, and gives a plan for the answer.
    fn reset(&self, key: &str) -> Result<LogicalPlan, Error> {
        let state = self.context.state_ref();
        let mut state = state.write();
        let extensions = &mut state.config_mut().options_mut().extensions;
        if let Some(options) = extensions.get_mut::<Options>() {
            options.reset(key)?;
        }
        Ok(LogicalPlanBuilder::empty(false).build()?)
    }

    /// Whether an error is about a column that is a label after all.
    async fn found_label(&self, error: &DataFusionError, spoken: Option<TimeRange>) -> bool {
        let DataFusionError::SchemaError(error, _) = error.find_root() else { return false };
        let SchemaError::FieldNotFound { field, .. } = error.as_ref() else { return false };
        let options = Options::of(&self.context.state());
        let mut is_found = false;
        for source in self.sources.iter() {
            is_found |= source.look_up(field.name(), &options, spoken).await;
        }
        is_found
    }

    /// The error with what was probably meant.
    fn explain_error(&self, error: DataFusionError) -> Error {
        let is_field = matches!(error.find_root(), DataFusionError::SchemaError(error, _)
            if matches!(error.as_ref(), SchemaError::FieldNotFound { .. }));
        let error = Error::from(error);
        let text = error.to_string();
        // Labels are columns as far as there are profiles to have them.
        if is_field && self.sources.iter().all(|source| source.has_no_labels()) {
            let what = format!("{text} There is no label at all: no profile lies in the range");
            return Error::new(ErrorKind::Syntax, what)
                .with_hint("name a range in which there are profiles, with --from and --to, SET flamesql.from or a condition on time");
        }
        let quoted = |before: &str| {
            let rest = text.strip_prefix(before)?;
            rest.split('\'').next().map(str::to_owned)
        };
        if let Some(name) = quoted("Invalid function '") {
            return self.no_function(&name);
        }
        if text.ends_with("which can be viewed with 'SHOW'")
            && let Some(key) = quoted("'").as_deref().and_then(|name| name.strip_prefix(OWN))
            && let Err(unknown) = Options::check(key)
        {
            return unknown;
        }
        let table = text
            .strip_prefix("table '")
            .and_then(|rest| rest.strip_suffix("' not found"))
            .map(|name| name.rsplit('.').next().unwrap_or(name).to_owned());
        match table.and_then(|name| nearest(&name, catalog::table_names())) {
            Some(meant) => error
                .with_hint(format!("did you mean {meant}? SHOW TABLES lists those that there are")),
            None => error,
        }
    }

    fn no_function(&self, name: &str) -> Error {
        let state = self.context.state_ref();
        let state = state.read();
        let names = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .chain(state.higher_order_functions().keys());
        // The same one each time.
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        let all = "SHOW FUNCTIONS lists those that there are";
        let hint = match nearest(name, names) {
            Some(meant) => format!("did you mean {meant}? {all}"),
            None => all.to_owned(),
        };
        Error::new(ErrorKind::Syntax, format!("there is no function {name}")).with_hint(hint)
    }

    /// The session underneath, for what only DataFusion can do. Its tables, functions and rules are all there.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }
}

/// Statements that are run one after another.
#[derive(Debug)]
pub struct Script {
    session: Session,
    statements: VecDeque<Statement>,
}

impl Script {
    /// Runs the next statement; `None` behind the last one. What its answer holds has to be read for it to be done.
    ///
    /// # Errors
    ///
    /// If it cannot be answered, as [`Session::query`]. What comes behind it can be run nevertheless.
    pub async fn next(&mut self) -> Result<Option<Answer>, Error> {
        let Some(statement) = self.statements.pop_front() else { return Ok(None) };
        with_room(Box::pin(self.session.run(statement))).await.map(Some)
    }

    /// Whether there is no further statement.
    pub fn is_done(&self) -> bool {
        self.statements.is_empty()
    }
}

/// The prefix of our own settings.
const OWN: &str = "flamesql.";

/// Which of our own settings a RESET is about.
fn own_setting(statement: &Statement) -> Option<String> {
    let Statement::Reset(ResetStatement::Variable(name)) = statement else { return None };
    name.to_string().to_lowercase().strip_prefix(OWN).map(str::to_owned)
}

/// What SHOW FUNCTIONS leaves out: functions that say by themselves which types they take, such as all of this project, have
/// no list of those for it.
fn untyped_functions(statement: &Statement) -> Option<String> {
    let Statement::Statement(statement) = statement else { return None };
    let ast::Statement::ShowFunctions { filter } = statement.as_ref() else { return None };
    let like = match filter {
        Some(ast::ShowStatementFilter::Like(pattern)) => {
            format!("AND routine_name LIKE '{}'", pattern.replace('\'', "''"))
        }
        _ => String::new(),
    };
    Some(format!(
        "SELECT routine_name, data_type, arrow_cast(NULL, 'List(Utf8)') AS parameters, \
         arrow_cast(NULL, 'List(Utf8)') AS parameter_types, function_type, description, syntax_example \
         FROM information_schema.routines \
         WHERE data_type IS NULL {like}"
    ))
}

/// The limit that a statement sets. The pool that DataFusion makes of it gives the memory to whoever comes first, and a
/// sort that comes second fails with most of it in files.
fn memory_limit(plan: &LogicalPlan) -> Result<Option<usize>, Error> {
    const LIMIT: &str = "datafusion.runtime.memory_limit";
    match plan {
        LogicalPlan::Statement(logical_expr::Statement::SetVariable(set))
            if set.variable.eq_ignore_ascii_case(LIMIT) =>
        {
            Ok(Some(SessionContext::parse_capacity_limit(LIMIT, &set.value)?))
        }
        _ => Ok(None),
    }
}

/// Plans one statement of somebody else's in a session that sources were [installed](crate::Engine::install) into, with
/// the limits of a [`Session`]: of its length, of the tables that it comes to and of the depth of its expressions, and
/// without clauses that DataFusion passes over. Without
/// them a statement of a few lines may take all memory or stack before it reads a row. What it may do is not
/// limited: that is what `SQLOptions::verify_plan` is for.
///
/// ```
/// use std::sync::Arc;
///
/// use flamesql_backend::Memory;
/// use flamesql_engine::{Engine, checked_plan, datafusion::prelude::SessionContext};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let context = SessionContext::new();
/// Engine::builder().source("prod", Arc::new(Memory::new())).build()?.install(&context)?;
/// let sql = "SELECT function, sum(self) FROM prod.functions GROUP BY function";
/// let plan = checked_plan(&context, sql).await?;
/// assert_eq!(context.execute_logical_plan(plan).await?.count().await?, 0);
/// let long = format!("SELECT 1{}", " + 1".repeat(10_000));
/// assert!(checked_plan(&context, &long).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// If it does not parse, is not one statement, names what is not there, or is beyond a limit.
pub async fn checked_plan(context: &SessionContext, sql: &str) -> Result<LogicalPlan, Error> {
    let work = async {
        size::check(sql)?;
        let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
        let (Some(statement), None) = (statements.pop_back(), statements.pop_back()) else {
            return Err(Error::new(ErrorKind::Syntax, "plan a text that is not one statement")
                .with_hint("plan each statement by itself"));
        };
        size::check_tables(&statement)?;
        let state = context.state();
        clauses::check(&statement, &|name| looks(&state, name))?;
        let spoken = spoken::range(&statement, options::now());
        look_up_quoted(&statement, &state, spoken).await;
        let plan = SPOKEN.scope(spoken, state.statement_to_plan(statement)).await?;
        size::check_plan(&plan)?;
        Ok(plan)
    };
    with_room(work).await
}

/// Looks for the labels that a statement names and that no source lists.
async fn look_up_quoted(statement: &Statement, state: &SessionState, spoken: Option<TimeRange>) {
    let quoted = spoken::quoted_labels(statement);
    if quoted.is_empty() {
        return;
    }
    let catalogs = state.catalog_list();
    let catalogs = catalogs.catalog_names().into_iter().filter_map(|name| catalogs.catalog(&name));
    let schemas = catalogs.flat_map(|catalog| {
        let names = catalog.schema_names();
        names.into_iter().filter_map(move |name| catalog.schema(&name))
    });
    // A source may be a schema under several names.
    let mut sources: Vec<Arc<Source>> = Vec::new();
    for schema in schemas {
        if let Some(SourceSchema { source, .. }) = schema.downcast_ref()
            && !sources.iter().any(|known| Arc::ptr_eq(known, source))
        {
            sources.push(Arc::clone(source));
        }
    }
    let options = Options::of(state);
    for source in sources {
        source.look_up_quoted(&quoted, &options, spoken).await;
    }
}

/// What a function of some name looks at.
fn looks(state: &SessionState, name: &str) -> Looks {
    let is_scalar = state.scalar_functions().contains_key(name)
        || state.higher_order_functions().contains_key(name);
    match is_scalar {
        true => Looks::Row,
        false if state.window_functions().contains_key(name) => Looks::Window,
        false => Looks::Set,
    }
}

/// That a statement writes.
fn only_reads(what: &str) -> Error {
    Error::new(ErrorKind::Syntax, format!("{what} is refused: a session only reads"))
        .with_hint("WITH name AS (SELECT ...) names what a statement uses; what a SELECT gives goes into a file with --output FILE")
}

/// The error with which DataFusion refuses what writes, in words of ours.
fn refused_writing(error: Error) -> Error {
    let text = error.to_string();
    let kind = ["DDL not supported: ", "DML not supported: "]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    // As the statement is written: CreateMemoryTable is CREATE TABLE, CatalogSchema a SCHEMA.
    match kind.map(|kind| kind.split(' ').next().unwrap_or(kind)) {
        Some("CreateMemoryTable" | "CreateExternalTable") => only_reads("CREATE TABLE"),
        Some("CreateView") => only_reads("CREATE VIEW"),
        Some(kind) if kind.starts_with("Create") => only_reads("CREATE"),
        Some(kind) if kind.starts_with("Drop") => only_reads("DROP"),
        Some(kind) => only_reads(&kind.to_uppercase()),
        None => error,
    }
}

/// Why the plan that EXPLAIN is asked for cannot be made: DataFusion has the error among what it shows, or, if a rule found
/// it, takes it for what the rule made of the plan.
fn refused(plan: &dyn ExecutionPlan) -> Option<Error> {
    let last = plan.downcast_ref::<ExplainExec>()?.stringified_plans().last()?;
    let is_error = matches!(
        last.plan_type,
        PlanType::PhysicalPlanError | PlanType::OptimizedPhysicalPlan { .. }
    );
    let what = last.plan.strip_prefix("External error: ").unwrap_or(&last.plan);
    is_error.then(|| Error::new(ErrorKind::Query, what))
}

async fn with_room<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| stacker::maybe_grow(ROOM, NEW_ROOM, || work.as_mut().poll(context))).await
}
