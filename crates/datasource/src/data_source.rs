//! A data source: its settings, and the source of profiles that they describe.

use std::{fmt, sync::Arc};

use flamesql_backend::{Backend, Files, Notice, Server, ServerKind};
use flamesql_engine::Engine;
use tokio::{sync::OnceCell, task};

use crate::{BackendType, Error, ErrorKind, Origin, Settings};

/// A data source of these settings. Its source is opened when it is first needed, and kept; what fails is tried again.
///
/// ```
/// use flamesql_datasource::{Allow, DataSource, InstanceSettings, Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("cpu.folded"), "main;work 3\n")?;
/// let url = format!("file://{}", folder.path().display());
/// let instance = InstanceSettings { url, ..InstanceSettings::default() };
/// let source = DataSource::new(Settings::read(&instance, Allow::Files)?);
/// let backend = source.opened().await?.backend();
/// assert_eq!(backend.capabilities().kind, "files");
/// # Ok(())
/// # }
/// ```
pub struct DataSource {
    settings: Settings,
    opened: OnceCell<Opened>,
}

impl fmt::Debug for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSource").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A source of profiles, opened.
#[derive(Clone, Debug)]
pub struct Opened {
    backend: Arc<dyn Backend>,
    engine: Engine,
    server: Option<Server>,
    warning: Option<Notice>,
}

impl DataSource {
    /// A data source of these settings. Nothing is asked yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, opened: OnceCell::new() }
    }

    /// One over a source that is open already, with settings that say nothing more. Its server, if it is one, tells what
    /// kind it is.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use flamesql_backend::Memory;
    /// use flamesql_datasource::DataSource;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), flamesql_datasource::Error> {
    /// let source = DataSource::over("demo", "Demo", Arc::new(Memory::new()), None)?;
    /// assert!(source.profile_types(None, None).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the engine takes no source of that name.
    pub fn over(
        uid: &str,
        name: &str,
        backend: Arc<dyn Backend>,
        server: Option<Server>,
    ) -> Result<Self, Error> {
        let settings = Settings::here(uid, name);
        let warning = server.as_ref().and_then(|server| server.warning().cloned());
        let opened = Opened::new(&settings, backend, server, warning)?;
        Ok(Self { settings, opened: OnceCell::new_with(Some(opened)) })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its source of profiles.
    ///
    /// # Errors
    ///
    /// If it cannot be opened: see [`Opened::open`].
    pub async fn opened(&self) -> Result<&Opened, Error> {
        self.opened.get_or_try_init(|| Opened::open(&self.settings)).await
    }
}

impl Opened {
    /// Opens what the settings describe: finds out what a server is, or looks for files.
    ///
    /// # Errors
    ///
    /// If a server cannot be reached, does not let us in, or is none of those that the settings allow; if there are no
    /// files.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        match &settings.origin {
            Origin::Server(url) => {
                let kind = settings.backend_type.and_then(BackendType::of_server);
                let server = Server::open(url.reveal(), kind, &settings.options()).await?;
                // `phlare` stands for all that speak as it does.
                let is_said = settings.backend_type != Some(BackendType::Phlare);
                let warning = server.warning().filter(|_| is_said).cloned();
                Self::new(settings, Arc::clone(server.backend()), Some(server), warning)
            }
            Origin::Here => {
                Err(Error::new(ErrorKind::Internal, "open a source that is open already"))
            }
            Origin::Files(path) => {
                let path = path.clone();
                let files = task::spawn_blocking(move || Files::open(path)).await;
                let files = files.map_err(|_| {
                    Error::new(ErrorKind::Internal, "a fault of this program in listing files")
                })??;
                Self::new(settings, Arc::new(files), None, None)
            }
        }
    }

    fn new(
        settings: &Settings,
        backend: Arc<dyn Backend>,
        server: Option<Server>,
        warning: Option<Notice>,
    ) -> Result<Self, Error> {
        // A schema of SQL has a name, and one that DataFusion has already is none.
        let name = match settings.name.as_str() {
            "" | "information_schema" => "source",
            name => name,
        };
        let engine = Engine::builder().source(name, Arc::clone(&backend)).build()?;
        Ok(Self { backend, engine, server, warning })
    }

    /// The engine that has it as its only source.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The source, to be asked.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The server that it is, if it is one.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// That it seems to be another kind of server than the settings say.
    pub fn warning(&self) -> Option<&Notice> {
        self.warning.as_ref()
    }

    /// Whether it lists labels by a selector, in which the profile type is a label. Phlare looks at no selector there.
    pub(crate) fn lists_by_selector(&self) -> bool {
        self.server.as_ref().is_some_and(|server| match server.kind() {
            ServerKind::Connect(generation) => generation.lists_by_range(),
            _ => false,
        })
    }

    /// Whether its profile types are apps.
    pub(crate) fn has_apps(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.kind() == ServerKind::Legacy)
    }
}
