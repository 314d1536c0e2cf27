//! Pyroscope 1.x and 2.x, and Phlare: servers that speak `querier.v1.QuerierService` over Connect.
//!
//! `rpc.rs` makes one call and reads its errors, `generation.rs` says what a server honours, ignores and lacks, and
//! `both.rs` what is different where a server reads from two storages, `shapes.rs` how much memory an answer takes, and
//! `millis.rs` how a half-open range is asked in milliseconds that are closed at both ends. On these stand `series.rs`,
//! `stacks.rs`, `names.rs` and `profiles.rs`, one for each kind of question.

mod both;
mod generation;
mod millis;
mod names;
mod profiles;
mod rpc;
mod series;
mod shapes;
mod stacks;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use flamesql_profile::{ProfileType, Step, TimeRange, Timestamp};
use flamesql_selector::{Selector, is_label_name};
use futures::{StreamExt, stream};

pub use self::generation::Generation;
use self::{millis::Millis, rpc::Rpc};
use crate::{
    Annotation, Backend, Capabilities, Error, ErrorKind, Exemplar, Grouping, HeatmapCell,
    HttpOptions, LabelSet, MetaQuery, OnlyCapabilities, ProfileRow, Question, Report, Select,
    SeriesAnswer, StackStream, group::Matcher, http::Client,
};

/// A Pyroscope 1.x or 2.x server, or Phlare.
///
/// What it answers is exact: times at its grain (a millisecond with storage v2, a second with all others), stacks
/// complete, sums in 64 bits. What this server would pass over in silence, such as a choice by trace that it does not
/// know, is refused by name.
///
/// Ranges longer than [`PyroscopeOptions::max_range`] are refused: put it behind a [`Split`](crate::Split).
#[derive(Clone)]
pub struct Pyroscope {
    rpc: Rpc,
    generation: Generation,
    version: Option<String>,
    max_range: Option<Step>,
    /// Whether traces can be chosen, once that was found out.
    knows_traces: Arc<OnceLock<bool>>,
    /// Whether it reads from both storages, once that was found out.
    reads_both: Arc<tokio::sync::OnceCell<bool>>,
}

/// How a Pyroscope server is asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PyroscopeOptions {
    /// How it is reached, and as whom.
    pub http: HttpOptions,
    /// Whether messages are sent as JSON, which a person can read on the wire.
    pub json: bool,
    /// The longest range of one request. Servers take a day unless they are told otherwise.
    pub max_range: Option<Step>,
}

impl Default for PyroscopeOptions {
    fn default() -> Self {
        Self { http: HttpOptions::default(), json: false, max_range: Step::from_nanos(DAY) }
    }
}

const DAY: i64 = 86_400_000_000_000;

impl fmt::Debug for Pyroscope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pyroscope")
            .field("url", &self.rpc.base())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Pyroscope {
    /// Asks a server what it is, and makes a source of it.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, does not let us in, or is no such server.
    pub async fn open(url: &str, options: &PyroscopeOptions) -> Result<Self, Error> {
        Self::with_client(Client::new(url, &options.http)?, options).await
    }

    pub(crate) async fn with_client(
        client: Client,
        options: &PyroscopeOptions,
    ) -> Result<Self, Error> {
        let (generation, version) = generation::probe(&client).await?;
        let rpc = Rpc::new(client, options.json);
        Ok(Self {
            rpc,
            generation,
            version,
            max_range: options.max_range,
            knows_traces: Arc::default(),
            reads_both: Arc::default(),
        })
    }

    /// Which generation of server it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The version that it says it has.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Where it is, without what may be a secret.
    pub fn url(&self) -> &str {
        self.rpc.base()
    }

    /// The text of a selector as this server reads it. `{}` at least.
    ///
    /// Regexes are compiled here first: servers give a bad one as a fault of their own on some calls.
    async fn selector(
        &self,
        selector: &Selector,
        range: TimeRange,
        report: &Report,
    ) -> Result<String, Error> {
        Matcher::new(selector)?;
        let mut dotted = selector.matchers.iter().map(|matcher| matcher.name.as_str());
        if !self.generation.reads_quoted_names() {
            return selector.display_legacy().map_err(|error| {
                let what =
                    format!("cannot ask {} for {selector}: {}", self.rpc.base(), error.message());
                Error::new(ErrorKind::InvalidQuery, what).with_hint(
                    "servers of this age store such names with _ for each other character",
                )
            });
        }
        if let Some(name) = dotted.find(|name| !is_label_name(name)) {
            self.check_dotted(name, range, report).await?;
        }
        Ok(selector.to_string())
    }

    /// Refuses a label's name that this server has under another: before 2.0 a name with a dot was stored with `_`.
    async fn check_dotted(
        &self,
        name: &str,
        range: TimeRange,
        report: &Report,
    ) -> Result<(), Error> {
        if self.generation == Generation::V2 || self.version_is_from(2) {
            return Ok(());
        }
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let Some(range) = self.meta_range(range) else { return Ok(()) };
        let names = names::all_names(self, Vec::new(), range, report).await?;
        let is_renamed = !names.iter().any(|n| n == name) && names.contains(&plain);
        if !is_renamed
            || !names::all_values(self, name, Vec::new(), range, report).await?.is_empty()
        {
            return Ok(());
        }
        let what = format!(
            "no label {name:?} at {}: this server stored names with _ for each dot",
            self.rpc.base()
        );
        Err(Error::new(ErrorKind::InvalidQuery, what)
            .with_hint(format!("ask for the label {plain:?}")))
    }

    /// Whether it says that its version is this one or later; the first number counts.
    fn version_is_from(&self, major: u32) -> bool {
        let version = self.version.as_deref().unwrap_or_default().trim_start_matches('v');
        let number = version.split('.').next().and_then(|number| number.parse::<u32>().ok());
        number.is_some_and(|number| number >= major)
    }

    /// A range in milliseconds at the grain; `None` if nothing is in it.
    fn millis(&self, range: TimeRange) -> Option<Millis> {
        Millis::of(range, self.generation.grain())
    }

    /// The millisecond after the last one of a selection, if that is to be asked for as it stands: storage v2 takes what lies
    /// within an end and not what comes after it in the same millisecond.
    fn exact_end(&self, select: &Select) -> Option<i64> {
        let end = select.exact_end.filter(|end| *end == select.range.end())?.nanos();
        let is_exact = self.generation == Generation::V2 && end.rem_euclid(1_000_000) == 1;
        is_exact.then(|| end.div_euclid(1_000_000) + 1)
    }

    /// A range for names, which are kept by block: in milliseconds, rounded outwards. `None` if it is empty.
    fn meta_range(&self, range: TimeRange) -> Option<(i64, i64)> {
        const NANOS: i64 = 1_000_000;
        if range.is_empty() {
            return None;
        }
        // 0 means no time at all, and a day that is to come holds no data.
        let start = range.start().nanos().div_euclid(NANOS).max(1);
        let end = match range.end() {
            Timestamp::MAX => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(now.as_millis()).unwrap_or(i64::MAX / 2) + DAY / NANOS
            }
            end => end.nanos().div_euclid(NANOS) + i64::from(end.nanos().rem_euclid(NANOS) > 0),
        };
        (start <= end).then_some((start, end))
    }

    fn check_type(&self, profile_type: &ProfileType) -> Result<(), Error> {
        if !profile_type.is_app() {
            return Ok(());
        }
        let what = format!(
            "ask {} for the profile type {:?}: that is the name of an app, which a legacy Pyroscope server has",
            self.rpc.base(),
            profile_type.as_str()
        );
        Err(Error::new(ErrorKind::InvalidQuery, what).with_hint(
            "here a profile type has five parts, such as process_cpu:cpu:nanoseconds:cpu:nanoseconds",
        ))
    }
}

#[async_trait]
impl Backend for Pyroscope {
    fn capabilities(&self) -> Capabilities {
        let mut only = OnlyCapabilities::NONE;
        only.spans = self.generation != Generation::Phlare;
        only.traces = self.generation == Generation::V2;
        only.profiles = self.generation == Generation::V2;
        let mut capabilities = Capabilities::local(self.generation.kind())
            .with_grain(self.generation.grain())
            .without_groups()
            .with_only(only)
            .endless();
        if !self.generation.lists_by_range() {
            capabilities = capabilities.without_lists();
        }
        if !self.generation.lists_quoted_names() {
            capabilities = capabilities.without_quoted();
        }
        if let Some(max_range) = self.max_range {
            // What is asked is a millisecond longer than what is meant (`millis.rs`), and a server takes no more than this. A
            // slice is of whole seconds where it can be: the storage v1 of a server of both tells no less apart.
            const SECOND: i64 = 1_000_000_000;
            let grain = self.generation.grain();
            let less = max_range.nanos() - grain.nanos();
            let whole = if less >= SECOND { less / SECOND * SECOND } else { less };
            let meant = Step::from_nanos(whole).unwrap_or(grain);
            capabilities = capabilities.with_max_range(meant);
        }
        capabilities
    }

    /// Stacks are asked for up to the end, and at it, which is taken off: see `millis.rs`.
    fn n_requests(&self, question: Question, _range: TimeRange) -> u64 {
        match question {
            // A heat map is asked for by all labels, which are asked for first.
            Question::Stacks(_) | Question::Heatmap(_) => 2,
            _ => 1,
        }
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        names::profile_types(self, range, &Report::new()).await
    }

    async fn first_and_last(&self) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        names::first_and_last(self).await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        names::label_sets(self, query, &Report::new()).await
    }

    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        names::label_names(self, query, &Report::new()).await
    }

    async fn label_values(&self, name: &str, query: &MetaQuery) -> Result<Vec<String>, Error> {
        names::label_values(self, name, query, &Report::new()).await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        series::series(self, select, grouping, report).await
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        let this = self.clone();
        stream::once(async move { stacks::group(&this, &select, &grouping, &report).await })
            .filter_map(|group| async { group.transpose() })
            .boxed()
    }

    async fn profiles(&self, select: &Select, report: &Report) -> Result<Vec<ProfileRow>, Error> {
        profiles::profiles(self, select, report).await
    }

    async fn exemplars(&self, select: &Select, report: &Report) -> Result<Vec<Exemplar>, Error> {
        profiles::exemplars(self, select, report).await
    }

    async fn heatmap(
        &self,
        select: &Select,
        step: Step,
        report: &Report,
    ) -> Result<Vec<HeatmapCell>, Error> {
        profiles::heatmap(self, select, step, report).await
    }

    async fn annotations(
        &self,
        select: &Select,
        report: &Report,
    ) -> Result<Vec<Annotation>, Error> {
        profiles::annotations(self, select, report).await
    }
}
