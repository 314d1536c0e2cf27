//! From a URL to a source: what kind of server is there, found out by asking, and the way to it put together.
//!
//! A server is judged by what its answers hold, not by a status of 200, which a page to log in gives to everything.
//! Connect is tried first, then the legacy API. Who names a type is obeyed, and told where the server seems to be
//! another.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    Backend, Cached, Error, ErrorKind, Generation, Legacy, Notice, Pyroscope, PyroscopeOptions,
    Split, http::Client,
};

/// What kind of server a source is said to be: Grafana's setting `backendType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendType {
    /// Phlare, or what speaks as it does.
    Phlare,
    /// Pyroscope of any generation, told apart by asking.
    Pyroscope,
    /// Pyroscope 1.x or 2.x.
    GrafanaPyroscope,
    /// Pyroscope 0.x.
    LegacyPyroscope,
}

impl BackendType {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Phlare, Self::Pyroscope, Self::GrafanaPyroscope, Self::LegacyPyroscope];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phlare => "phlare",
            Self::Pyroscope => "pyroscope",
            Self::GrafanaPyroscope => "grafana-pyroscope",
            Self::LegacyPyroscope => "legacy-pyroscope",
        }
    }
}

impl fmt::Display for BackendType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackendType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let what = format!("no backend type {text:?}");
            Error::new(ErrorKind::InvalidQuery, what)
                .with_hint("it is one of phlare, pyroscope, grafana-pyroscope, legacy-pyroscope")
        })
    }
}

/// A server, as it was found.
#[derive(Clone, Debug)]
pub struct Server {
    backend: Arc<dyn Backend>,
    url: String,
    kind: ServerKind,
    version: Option<String>,
    warning: Option<Notice>,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerKind {
    /// Pyroscope 1.x or 2.x, or Phlare.
    Connect(Generation),
    /// Pyroscope 0.x.
    Legacy,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(generation) => fmt::Display::fmt(generation, f),
            Self::Legacy => f.write_str("Pyroscope 0.x (legacy)"),
        }
    }
}

impl Server {
    /// Finds out what a URL leads to, and makes a source of it: long ranges are cut to what the server takes, names and
    /// labels are remembered for a while.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if nothing answers, [`ErrorKind::Unauthorized`] if we are not let in, and
    /// [`ErrorKind::NotFound`] if what answers is no server of profiles.
    pub async fn open(
        url: &str,
        kind: Option<BackendType>,
        options: &PyroscopeOptions,
    ) -> Result<Self, Error> {
        let client = Client::new(url, &options.http)?;
        match kind {
            // What is chosen is obeyed; where it cannot be, what seems to be there is said.
            Some(BackendType::Phlare | BackendType::GrafanaPyroscope) => {
                match Pyroscope::with_client(client.clone(), options).await {
                    Ok(source) => Ok(Self::connect(source, kind)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        let other = Legacy::with_client(client).await;
                        Err(is_other(error, other.map(Self::legacy)))
                    }
                    Err(error) => Err(error),
                }
            }
            Some(BackendType::LegacyPyroscope) => match Legacy::with_client(client.clone()).await {
                Ok(source) => Ok(Self::legacy(source)),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let other = Pyroscope::with_client(client, options).await;
                    Err(is_other(error, other.map(|source| Self::connect(source, None))))
                }
                Err(error) => Err(error),
            },
            Some(BackendType::Pyroscope) | None => {
                match Pyroscope::with_client(client.clone(), options).await {
                    Ok(source) => Ok(Self::connect(source, kind)),
                    // Something answers, and it is no such server.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        match Legacy::with_client(client).await {
                            Ok(source) => Ok(Self::legacy(source)),
                            Err(legacy) if legacy.kind() == ErrorKind::NotFound => Err(error),
                            Err(legacy) => Err(legacy),
                        }
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn connect(source: Pyroscope, kind: Option<BackendType>) -> Self {
        let (url, generation) = (source.url().to_owned(), source.generation());
        let is_phlare = generation == Generation::Phlare;
        let is_other = match kind {
            Some(BackendType::Phlare) => !is_phlare,
            Some(BackendType::GrafanaPyroscope) => is_phlare,
            _ => false,
        };
        let warning = kind.filter(|_| is_other).map(|kind| Notice {
            subject: url.clone(),
            reason: format!("its type is set to {kind}, and it seems to be {generation}"),
            is_missing: false,
        });
        Self {
            url,
            kind: ServerKind::Connect(generation),
            version: source.version().map(str::to_owned),
            warning,
            backend: behind(Arc::new(source)),
        }
    }

    fn legacy(source: Legacy) -> Self {
        Self {
            url: source.url().to_owned(),
            kind: ServerKind::Legacy,
            version: source.version().map(str::to_owned),
            warning: None,
            backend: behind(Arc::new(source)),
        }
    }

    /// The source, to be asked.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Where it is, without what may be a secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was found to be.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// The version that it says it has.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// That it seems to be another kind of server than it is said to be.
    pub fn warning(&self) -> Option<&Notice> {
        self.warning.as_ref()
    }
}

/// A source behind its limit, with a memory for names.
fn behind(source: Arc<dyn Backend>) -> Arc<dyn Backend> {
    Arc::new(Cached::new(Arc::new(Split::new(source))))
}

/// The error of a server of another type than was chosen, with what it seems to be.
fn is_other(error: Error, other: Result<Server, Error>) -> Error {
    match other {
        Ok(server) => {
            let kind = match server.kind() {
                ServerKind::Connect(Generation::Phlare) => BackendType::Phlare,
                ServerKind::Connect(_) => BackendType::GrafanaPyroscope,
                ServerKind::Legacy => BackendType::LegacyPyroscope,
            };
            error.with_hint(format!(
                "it seems to be {}: choose {kind}, or no type to have it found out",
                server.kind()
            ))
        }
        Err(_) => error,
    }
}
