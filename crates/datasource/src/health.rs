//! Whether a data source works, and if not, what is wrong.

use std::time::{Duration, Instant};

use flamesql_backend::{Backend, ErrorKind as SourceErrorKind, Server};
use flamesql_profile::TimeRange;
use serde::{Serialize, Serializer};

use crate::{DataSource, Error, ErrorKind, Opened, Origin, Settings, names::now};

/// How far back profiles are looked for, in nanoseconds: a day is one request.
const DAY: i64 = 86_400_000_000_000;

/// What came of a look at a data source.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether it works.
    pub status: HealthStatus,
    /// What there is to say, in a line.
    pub message: String,
    /// The same in parts.
    pub details: HealthDetails,
}

/// Whether a data source works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthStatus {
    /// It does.
    Ok,
    /// It does not.
    Error,
}

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HealthDetails {
    /// What is wrong, or worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What kind of source it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The version that it says it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How long it took to list its profile types.
    #[serde(
        rename = "latencyMs",
        serialize_with = "millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub latency: Option<Duration>,
    /// How many profile types it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_types: Option<usize>,
}

fn millis<S: Serializer>(latency: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = latency.unwrap_or_default().as_micros() as f64 / 1000.0;
    serializer.serialize_f64(millis)
}

/// What is wrong with a data source, or worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Problem {
    /// Its settings make no sense.
    Settings,
    /// Nothing answers, or not for now.
    Unreachable,
    /// It does not let us in.
    Unauthorized,
    /// It is another kind of source than the settings say.
    WrongBackendType,
    /// It seems to be another kind of source, and answers nevertheless.
    OtherBackendType,
    /// What answers has no profiles to give: no server of them, no files.
    NoProfileServer,
    /// It works, and has no profiles of late.
    NoData,
    /// It fails in answering.
    Fault,
}

impl Health {
    /// Of an error that is known without asking, such as of settings that cannot be read.
    ///
    /// ```
    /// use flamesql_datasource::{Allow, Health, HealthStatus, InstanceSettings, Problem, Settings};
    ///
    /// let error = Settings::read(&InstanceSettings::default(), Allow::Servers).unwrap_err();
    /// let health = Health::of(&error);
    /// assert_eq!((health.status, health.details.problem), (HealthStatus::Error, Some(Problem::Settings)));
    /// assert!(health.message.starts_with("url is missing"));
    /// ```
    pub fn of(error: &Error) -> Self {
        let problem = match error.kind() {
            ErrorKind::Source(SourceErrorKind::Unavailable) => Problem::Unreachable,
            ErrorKind::Source(SourceErrorKind::Unauthorized) => Problem::Unauthorized,
            ErrorKind::Source(SourceErrorKind::NotFound) => Problem::NoProfileServer,
            ErrorKind::Source(SourceErrorKind::InvalidOptions)
            | ErrorKind::Settings
            | ErrorKind::Provisioning => Problem::Settings,
            _ => Problem::Fault,
        };
        Self::wrong(problem, error)
    }

    fn wrong(problem: Problem, error: &Error) -> Self {
        let hint = error.hint().filter(|hint| !hint.is_empty()).map(str::to_owned);
        let message = match &hint {
            Some(hint) => format!("{error}: {hint}"),
            None => error.to_string(),
        };
        let details = HealthDetails { problem: Some(problem), hint, ..HealthDetails::default() };
        Self { status: HealthStatus::Error, message, details }
    }
}

impl DataSource {
    /// Looks whether it works: opens its source anew, and asks for profile types.
    ///
    /// ```
    /// use flamesql_datasource::{Allow, DataSource, HealthStatus, InstanceSettings, Problem, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // Nobody listens there.
    /// let url = "http://127.0.0.1:9".to_owned();
    /// let instance = InstanceSettings { url, ..InstanceSettings::default() };
    /// let health = DataSource::new(Settings::read(&instance, Allow::Servers)?).health().await;
    /// assert_eq!(health.status, HealthStatus::Error);
    /// assert_eq!(health.details.problem, Some(Problem::Unreachable));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn health(&self) -> Health {
        let settings = self.settings();
        if let Err(error) = &settings.min_step {
            return Health::of(error);
        }
        if settings.origin == Origin::Here {
            return match self.opened().await {
                Ok(opened) => of_opened(opened).await,
                Err(error) => Health::of(&error),
            };
        }
        match Opened::open(settings).await {
            Ok(opened) => of_opened(&opened).await,
            Err(error) => of_closed(settings, &error).await,
        }
    }
}

/// Why a source cannot be opened. What answers may be another one.
async fn of_closed(settings: &Settings, error: &Error) -> Health {
    let is_other = match (&settings.origin, settings.backend_type, error.kind()) {
        (Origin::Server(url), Some(_), ErrorKind::Source(SourceErrorKind::NotFound)) => {
            Server::open(url.reveal(), None, &settings.options()).await.ok()
        }
        _ => None,
    };
    let Some(server) = is_other else { return Health::of(error) };
    let mut health = Health::wrong(Problem::WrongBackendType, error);
    health.details.kind = Some(server.kind().to_string());
    health.details.version = server.version().map(str::to_owned);
    health
}

async fn of_opened(opened: &Opened) -> Health {
    let backend: &dyn Backend = opened.backend().as_ref();
    let is_finite = backend.capabilities().is_finite;
    let now = now();
    let range = match is_finite {
        true => TimeRange::ALL,
        false => TimeRange::new(now.saturating_add(-DAY), now).unwrap_or(TimeRange::ALL),
    };
    let start = Instant::now();
    let types = backend.profile_types(range).await;
    let latency = start.elapsed();
    let kind = match opened.server() {
        Some(server) => server.kind().to_string(),
        None => backend.capabilities().kind.to_owned(),
    };
    let version = opened.server().and_then(Server::version).map(str::to_owned);
    let n_types = match types {
        Ok(types) => types.len(),
        Err(error) => {
            let mut health = Health::of(&error.into());
            health.details.kind = Some(kind);
            health.details.version = version;
            return health;
        }
    };
    let named = match &version {
        Some(version) => format!("{kind}, version {version}"),
        None => kind.clone(),
    };
    let millis = latency.as_secs_f64() * 1000.0;
    let mut message = format!("Data source is working: {named}, answers in {millis:.1} ms");
    let mut problem = None;
    if n_types == 0 {
        problem = Some(Problem::NoData);
        message.push_str(match is_finite {
            true => "; it has no profiles",
            false => "; it has no profiles of the last 24 hours: is something sent to it?",
        });
    }
    if let Some(warning) = opened.warning() {
        problem = Some(Problem::OtherBackendType);
        message.push_str(&format!("; {}", warning.reason));
    }
    for notice in backend.notices().iter().filter(|notice| notice.is_missing).take(1) {
        message.push_str(&format!("; {notice}"));
    }
    let details = HealthDetails {
        problem,
        hint: None,
        kind: Some(kind),
        version,
        latency: Some(latency),
        profile_types: Some(n_types),
    };
    Health { status: HealthStatus::Ok, message, details }
}
