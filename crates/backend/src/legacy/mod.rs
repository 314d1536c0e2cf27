//! The legacy Pyroscope server (0.x), which speaks JSON over plain GETs.
//!
//! `call.rs` makes one request and reads its errors, `query.rs` says which series are meant in the server's language,
//! `time.rs` how ranges are asked in buckets of ten seconds, and `render.rs` reads what `/render` answers. On these
//! stand `series.rs`, `stacks.rs` and `names.rs`, one for each kind of question.

mod call;
mod names;
mod query;
mod render;
mod series;
mod stacks;
mod time;

use std::fmt;

use async_trait::async_trait;
use flamesql_profile::{ProfileType, TimeRange};
use futures::{StreamExt, future, stream};

use self::{call::Calls, time::GRAIN};
use crate::{
    Backend, Capabilities, Error, ErrorKind, Grouping, HttpOptions, LabelSet, MetaQuery, Report,
    Select, SeriesAnswer, StackStream, http::Client,
};

/// A legacy Pyroscope server: 0.x, before it became one with Phlare.
///
/// Its profile types are its apps ([`ProfileType::app`]), with the unit that the server gives. Values are what it holds:
/// of a CPU profile the number of samples.
///
/// It keeps data in buckets of ten seconds, which is the grain. Sums and stacks are exact; where the server thins out
/// what is old, or keeps averages of an app and no sums, a [`Notice`](crate::Notice) in the report says so. Stacks that
/// the server cut as it stored them have their rest in functions called `other`, which nothing tells from others.
///
/// ```no_run
/// use flamesql_backend::{Backend, Legacy, LegacyOptions};
/// use flamesql_profile::TimeRange;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = Legacy::open("http://localhost:4040", &LegacyOptions::default()).await?;
/// for app in server.profile_types(TimeRange::ALL).await? {
///     println!("{app} in {}", app.sample_unit());
/// }
/// # Ok::<(), flamesql_backend::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Legacy {
    calls: Calls,
    version: Option<String>,
}

/// How a legacy Pyroscope server is asked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LegacyOptions {
    /// How it is reached, and as whom.
    pub http: HttpOptions,
}

const KIND: &str = "legacy-pyroscope";

impl fmt::Debug for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Legacy").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Legacy {
    /// Asks a server for its apps, and makes a source of it.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, does not let us in, or is no such server.
    pub async fn open(url: &str, options: &LegacyOptions) -> Result<Self, Error> {
        Self::with_client(Client::new(url, &options.http)?).await
    }

    pub(crate) async fn with_client(client: Client) -> Result<Self, Error> {
        let mut legacy = Self { calls: Calls::new(client), version: None };
        let report = Report::new();
        let (apps, build) =
            future::join(names::apps(&legacy, &report), names::build(&legacy, &report)).await;
        // What answers, and not as such a server does, is another one.
        let apps = apps.map_err(|error| match error.kind() {
            ErrorKind::Unreadable => error.with_kind(ErrorKind::NotFound),
            _ => error,
        })?;
        // A list of nothing is what others say as well.
        if apps.is_empty() && build.is_none() {
            let what = format!(
                "find a server of profiles at {}: it has no apps, and does not say what it is",
                legacy.url()
            );
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        legacy.version = build.and_then(names::Build::version);
        Ok(legacy)
    }

    /// The version that it says it has.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Where it is, without what may be a secret.
    pub fn url(&self) -> &str {
        self.calls.base()
    }

    fn check_type(&self, profile_type: &ProfileType) -> Result<(), Error> {
        if profile_type.is_app() {
            return Ok(());
        }
        let what = format!(
            "ask {} for the profile type {profile_type}: a legacy Pyroscope server has apps and no such ids",
            self.url()
        );
        Err(Error::new(ErrorKind::InvalidQuery, what)
            .with_hint("here a profile type is an app's name, such as checkout.cpu"))
    }
}

#[async_trait]
impl Backend for Legacy {
    fn capabilities(&self) -> Capabilities {
        Capabilities::local(KIND).with_grain(GRAIN).without_groups().endless()
    }

    /// All apps: the server does not say when each had data.
    async fn profile_types(&self, _range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        names::apps(self, &Report::new()).await
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
        let legacy = self.clone();
        stream::once(async move { stacks::group(&legacy, &select, &grouping, &report).await })
            .filter_map(|group| async { group.transpose() })
            .boxed()
    }
}
