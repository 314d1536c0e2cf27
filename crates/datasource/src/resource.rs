//! The resources of a data source: what editors ask for by a path, answered in JSON.
//!
//! Grafana's own plugin knows no methods, and tells errors in words alone. Here each error has its status, and JSON.

use std::{collections::HashMap, fmt};

use flamesql_backend::{ErrorKind as SourceErrorKind, Generation, Server, ServerKind};
use serde::Serialize;

use crate::{
    DataSource, Error, ErrorKind, MetaText, Origin, ServerUrl, metadata::Registry, settings::quoted,
};

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Whether they may change the settings of this data source.
    pub may_write: bool,
}

/// An answer of HTTP: a status, and JSON.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    fn new(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self { status, body },
            Err(_) => Self { status: 500, body: b"null".to_vec() },
        }
    }
}

impl From<&Error> for Answer {
    fn from(error: &Error) -> Self {
        Self::new(error.status(), error)
    }
}

/// What kind of source is at an address: the answer of the resource `backendType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectedType {
    /// Phlare itself.
    Phlare,
    /// Pyroscope of any generation.
    Pyroscope,
    /// Neither.
    Unknown,
}

impl DetectedType {
    /// What a server is. Pyroscope of before 1.5 answers as Phlare does, and says its version, which Phlare's are below.
    fn of(kind: ServerKind, version: Option<&str>) -> Self {
        let version = version.unwrap_or_default().trim_start_matches('v');
        match kind {
            ServerKind::Connect(Generation::Phlare) if !version.starts_with("1.") => Self::Phlare,
            _ => Self::Pyroscope,
        }
    }
}

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    ProfileTypes,
    LabelNames,
    LabelValues,
    ProfileMetadata,
    BackendType,
    Tables,
    Columns,
    Completions,
}

impl Resource {
    const ALL: [(&str, Self); 8] = [
        ("profileTypes", Self::ProfileTypes),
        ("labelNames", Self::LabelNames),
        ("labelValues", Self::LabelValues),
        ("profileMetadata", Self::ProfileMetadata),
        ("backendType", Self::BackendType),
        ("tables", Self::Tables),
        ("columns", Self::Columns),
        ("completions", Self::Completions),
    ];

    fn at(path: &str) -> Result<Self, Error> {
        let name = path.trim_start_matches('/');
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, found)| *found);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            let what = format!("there is no resource {:?}", quoted(path));
            Error::new(ErrorKind::NotFound, what).with_hint(format!("there are {names}"))
        })
    }
}

/// The parameters of a question.
struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Of several of one name the first counts, as in Grafana.
    fn read(query: &str) -> Self {
        let mut parameters = HashMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(parameters)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::request(format!("the parameter {name} is missing")))
    }

    fn millis(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| {
            let value = quoted(value);
            Error::request(format!("{name}={value:?} is no number of milliseconds since 1970"))
        })
    }

    fn meta(&self) -> Result<MetaText<'_>, Error> {
        let query = self.get("query").unwrap_or_default();
        Ok(MetaText { query, start: self.millis("start")?, end: self.millis("end")? })
    }
}

impl DataSource {
    /// Answers a question for a resource: its method, its path without what leads to the data source, and what stands
    /// behind `?`.
    ///
    /// ```
    /// use flamesql_datasource::{Allow, Caller, DataSource, InstanceSettings, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("cpu.folded"), "main;work 3\n")?;
    /// # let url = format!("file://{}", folder.path().display());
    /// # let instance = InstanceSettings { url, ..InstanceSettings::default() };
    /// # let source = DataSource::new(Settings::read(&instance, Allow::Files)?);
    /// let answer = source.resource("GET", "labelValues", "label=file", Caller::default()).await;
    /// assert_eq!(format!("{answer:?}"), r#"200 ["cpu.folded"]"#);
    /// let answer = source.resource("GET", "labelValues", "", Caller::default()).await;
    /// assert_eq!(answer.status, 400);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resource(&self, method: &str, path: &str, query: &str, caller: Caller) -> Answer {
        self.answer(method, path, query, caller).await.unwrap_or_else(|error| (&error).into())
    }

    async fn answer(
        &self,
        method: &str,
        path: &str,
        query: &str,
        caller: Caller,
    ) -> Result<Answer, Error> {
        let resource = Resource::at(path)?;
        if method != "GET" && method != "HEAD" {
            let what = format!("the resource {path:?} is not asked by {:?}", quoted(method));
            return Err(Error::new(ErrorKind::Method, what).with_hint("ask by GET"));
        }
        let parameters = Parameters::read(query);
        Ok(match resource {
            Resource::ProfileTypes => {
                let (start, end) = (parameters.millis("start")?, parameters.millis("end")?);
                Answer::new(200, &self.profile_types(start, end).await?)
            }
            Resource::LabelNames => Answer::new(200, &self.label_names(parameters.meta()?).await?),
            Resource::LabelValues => {
                let label = parameters.needed("label")?;
                Answer::new(200, &self.label_values(label, parameters.meta()?).await?)
            }
            Resource::Tables => Answer::new(200, &self.tables().await?),
            Resource::Columns => {
                let table = parameters.needed("table")?;
                Answer::new(200, &self.columns(table, parameters.meta()?).await?)
            }
            Resource::Completions => Answer::new(200, &self.completions(parameters.meta()?).await?),
            Resource::ProfileMetadata => Answer::new(200, &Registry),
            Resource::BackendType => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Body {
                    backend_type: DetectedType,
                }
                check_may_write(caller)?;
                let url = parameters.needed("url")?;
                let backend_type = self.detect(url, caller).await?;
                Answer::new(200, &Body { backend_type })
            }
        })
    }

    /// Finds out what is at an address of the same server as in the settings: at another path, as somebody has typed it
    /// who has not saved it yet. No other server is asked, since whoever asks here asks with this machine's rights, and
    /// with the credentials of this data source.
    ///
    /// # Errors
    ///
    /// If whoever asks may not change the settings, the address is none or that of another server, or the settings know
    /// of no server. What does not answer is [`DetectedType::Unknown`].
    pub async fn detect(&self, url: &str, caller: Caller) -> Result<DetectedType, Error> {
        check_may_write(caller)?;
        let asked = ServerUrl::parse(url.trim()).map_err(|error| {
            Error::request(format!("url: {error}")).with_hint(error.hint().unwrap_or_default())
        })?;
        let is_ours = match &self.settings().origin {
            Origin::Server(ours) => ours.origin() == asked.origin(),
            Origin::Files(_) | Origin::Here => false,
        };
        if !is_ours {
            let what = format!("{asked} is not at the server of this data source");
            let hint = "save the URL first";
            return Err(Error::new(ErrorKind::Forbidden, what).with_hint(hint));
        }
        match Server::open(asked.reveal(), None, &self.settings().options()).await {
            Ok(server) => Ok(DetectedType::of(server.kind(), server.version())),
            Err(error) if error.kind() == SourceErrorKind::Internal => Err(error.into()),
            Err(_) => Ok(DetectedType::Unknown),
        }
    }
}

fn check_may_write(caller: Caller) -> Result<(), Error> {
    if caller.may_write {
        return Ok(());
    }
    let what = "only who may change this data source may have its server looked at";
    Err(Error::new(ErrorKind::Forbidden, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_as_phlare_says_its_version() {
        let phlare = ServerKind::Connect(Generation::Phlare);
        for (kind, version, expected) in [
            (phlare, None, DetectedType::Phlare),
            (phlare, Some("0.6.1"), DetectedType::Phlare),
            (phlare, Some("1.2.0"), DetectedType::Pyroscope),
            (phlare, Some("v1.4.0-rc.1"), DetectedType::Pyroscope),
            (ServerKind::Connect(Generation::V1Before14), Some("1.5.0"), DetectedType::Pyroscope),
            (ServerKind::Connect(Generation::V2), None, DetectedType::Pyroscope),
            (ServerKind::Legacy, Some("0.37.2"), DetectedType::Pyroscope),
        ] {
            assert_eq!(DetectedType::of(kind, version), expected, "{kind} {version:?}");
        }
    }
}
