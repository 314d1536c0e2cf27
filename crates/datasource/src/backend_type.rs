//! What kind of source the settings say there is.

use std::fmt;

/// Grafana's setting `backendType`, and `files`. Not set, it is found out by asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendType {
    /// Phlare, or any Pyroscope that speaks as it does: settings of before 2023 say so.
    Phlare,
    /// Pyroscope of any generation, told apart by asking.
    Pyroscope,
    /// Pyroscope 1.x or 2.x.
    GrafanaPyroscope,
    /// Pyroscope 0.x.
    LegacyPyroscope,
    /// A file or a folder of profiles.
    Files,
}

impl BackendType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Phlare, Self::Pyroscope, Self::GrafanaPyroscope, Self::LegacyPyroscope, Self::Files];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phlare => "phlare",
            Self::Pyroscope => "pyroscope",
            Self::GrafanaPyroscope => "grafana-pyroscope",
            Self::LegacyPyroscope => "legacy-pyroscope",
            Self::Files => "files",
        }
    }

    /// The type of this name.
    ///
    /// ```
    /// use flamesql_datasource::BackendType;
    ///
    /// assert_eq!(BackendType::named("phlare"), Some(BackendType::Phlare));
    /// assert_eq!(BackendType::named("Phlare"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// All names, to be listed in a message.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// The server that it is, if it is one.
    pub(crate) fn of_server(self) -> Option<flamesql_backend::BackendType> {
        match self {
            Self::Phlare => Some(flamesql_backend::BackendType::Phlare),
            Self::Pyroscope => Some(flamesql_backend::BackendType::Pyroscope),
            Self::GrafanaPyroscope => Some(flamesql_backend::BackendType::GrafanaPyroscope),
            Self::LegacyPyroscope => Some(flamesql_backend::BackendType::LegacyPyroscope),
            Self::Files => None,
        }
    }
}

impl fmt::Display for BackendType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
