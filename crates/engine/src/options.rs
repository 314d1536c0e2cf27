//! What a session may be told: by the caller, and by `SET flamesql.*`.

use std::{any::Any, ops::Deref};

use datafusion::{
    catalog::Session,
    common::{
        Result as DataFusionResult,
        config::{ConfigEntry, ConfigExtension, ExtensionOptions},
        extensions_options,
    },
};
use flamesql_profile::{TimeRange, Timestamp, parse_time};

use crate::{Error, ErrorKind, nearest::nearest};

/// How a session differs from the usual.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The start of the range where a statement names none, such as `now-1h`; also `SET flamesql.from`.
    pub from: Option<String>,
    /// The end of the range where a statement names none; also `SET flamesql.to`.
    pub to: Option<String>,
    /// The profile type where a statement names none, or a part of its id that is unique at the source, such as `cpu`;
    /// also `SET flamesql.profile_type`.
    pub profile_type: Option<String>,
    /// Whether anything skipped or missing is an error; also `SET flamesql.strict`.
    pub strict: bool,
    /// How many requests one scan may make; 500 unless said otherwise; also `SET flamesql.max_requests`.
    pub max_requests: Option<usize>,
    /// To how many rows `flamegraph` and `flamegraph_diff` cut where they are not told; else they are complete. Also
    /// `SET flamesql.max_nodes`.
    pub max_nodes: Option<usize>,
    /// How much memory sorting and grouping may take, in bytes, before they go on in temporary files; else as much as there
    /// is. What cannot go on in files, such as the smaller side of a hash join, is an error beyond it, and what a source
    /// holds of its profiles is not counted. Also `SET datafusion.runtime.memory_limit = '512M'`.
    pub memory_limit: Option<usize>,
}

/// For how long before its end a source that goes on growing is asked where nobody says, in nanoseconds.
pub(crate) const DEFAULT_RANGE: i64 = 3_600_000_000_000;

extensions_options! {
    /// What is within [`Options`].
    pub(crate) struct Fields {
        /// Start of the time range where a statement names none, such as now-1h
        pub(crate) from: Option<String>, default = None
        /// End of the time range where a statement names none
        pub(crate) to: Option<String>, default = None
        /// Profile type where a statement names none, or a unique part of it
        pub(crate) profile_type: Option<String>, default = None
        /// Whether anything skipped or missing is an error
        pub(crate) strict: bool, default = false
        /// How many requests one scan may make
        pub(crate) max_requests: usize, default = 500
        /// To how many rows flame graphs are cut where a statement says nothing, 0 for complete ones
        pub(crate) max_nodes: usize, default = 0
        /// Whether sources are asked for what is added up already; the answers are the same
        pub(crate) pushdown: bool, default = true
    }
}

/// The options of this project within DataFusion's. They are listed with the prefix under which they are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(Fields);

impl Deref for Options {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl ExtensionOptions for Options {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> DataFusionResult<()> {
        Self::check(key).map_err(Error::into_datafusion)?;
        Self::check_value(key, value).map_err(Error::into_datafusion)?;
        ExtensionOptions::set(&mut self.0, key, value)
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let mut entries = self.0.entries();
        for entry in &mut entries {
            entry.key = format!("{}.{}", Self::PREFIX, entry.key);
        }
        entries
    }
}

impl ConfigExtension for Options {
    const PREFIX: &'static str = "flamesql";
}

impl Options {
    pub(crate) fn new(options: &SessionOptions) -> Self {
        let default = Fields::default();
        Self(Fields {
            from: options.from.clone(),
            to: options.to.clone(),
            profile_type: options.profile_type.clone(),
            strict: options.strict,
            max_requests: options.max_requests.unwrap_or(default.max_requests),
            max_nodes: options.max_nodes.unwrap_or(default.max_nodes),
            ..default
        })
    }

    /// Makes one of them what it is where nobody says anything.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub(crate) fn reset(&mut self, key: &str) -> Result<(), Error> {
        Self::check(key)?;
        let default = Fields::default();
        match key {
            "from" => self.0.from = default.from,
            "to" => self.0.to = default.to,
            "profile_type" => self.0.profile_type = default.profile_type,
            "strict" => self.0.strict = default.strict,
            "max_requests" => self.0.max_requests = default.max_requests,
            "max_nodes" => self.0.max_nodes = default.max_nodes,
            _ => self.0.pushdown = default.pushdown,
        }
        Ok(())
    }

    /// Says that a setting is none of these, and which was probably meant.
    ///
    /// # Errors
    ///
    /// If it is none of them.
    pub(crate) fn check(key: &str) -> Result<(), Error> {
        let known = Fields::default().entries();
        let mut names = known.iter().map(|entry| entry.key.as_str());
        if names.any(|name| name == key) {
            return Ok(());
        }
        let names: Vec<&str> = known.iter().map(|entry| entry.key.as_str()).collect();
        let all = format!("flamesql.* are {}", names.join(", "));
        let hint = match nearest(key, names) {
            Some(meant) => format!("did you mean {}.{meant}? {all}", Self::PREFIX),
            None => all,
        };
        let what = format!("there is no setting {}.{key}", Self::PREFIX);
        Err(Error::new(ErrorKind::Syntax, what).with_hint(hint))
    }

    /// Says what the value of a setting may be, if this is none.
    fn check_value(key: &str, value: &str) -> Result<(), Error> {
        let what = || format!("set {}.{key} to {value:?}", Self::PREFIX);
        let expected = match key {
            "from" | "to" => {
                return match parse_time(value, now()) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(Error::new(ErrorKind::Query, format!("{}: {error}", what()))
                        .with_source(error)),
                };
            }
            "max_requests" | "max_nodes" if value.parse::<usize>().is_err() => "a whole number",
            "strict" | "pushdown" if value.to_lowercase().parse::<bool>().is_err() => {
                "true or false"
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Query, format!("{}: {expected} is expected", what())))
    }

    pub(crate) fn of(session: &dyn Session) -> Self {
        session.config_options().extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// The range where a statement names none, and whether the session says anything about it.
    ///
    /// A source that is not finite is asked for the last hour.
    pub(crate) fn range(
        &self,
        now: Timestamp,
        is_finite: bool,
    ) -> Result<(TimeRange, bool), Error> {
        let side = |text: &Option<String>| text.as_deref().map(|t| parse_time(t, now)).transpose();
        let (from, to) = (side(&self.from)?, side(&self.to)?);
        let end = to.unwrap_or(if is_finite { Timestamp::MAX } else { now });
        let start = from.unwrap_or(if is_finite {
            Timestamp::MIN
        } else {
            end.saturating_add(-DEFAULT_RANGE)
        });
        Ok((TimeRange::new(start, end)?, from.is_some() || to.is_some()))
    }
}

/// Put into the configuration of a session that plans for EXPLAIN: what depends on data is then counted.
#[derive(Debug)]
pub(crate) struct Explaining;

/// The time at which the statement began, the same wherever it is asked.
pub(crate) fn statement_time(session: &dyn Session) -> Timestamp {
    let started = session.execution_props().query_execution_start_time;
    let nanos = started.and_then(|time| time.timestamp_nanos_opt());
    nanos.map_or_else(now, Timestamp::from_nanos)
}

/// The time by the clock.
pub(crate) fn now() -> Timestamp {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
