//! What Grafana's data source for Pyroscope and Phlare means, without Grafana: its settings, its provisioning files, the
//! check of its health, what its editors ask for, and its queries.
//!
//! [`Settings`] are read from what Grafana hands to a plugin ([`InstanceSettings`]) or from a file ([`Provisioning`]).
//! A [`DataSource`] is made of them, opens what they describe once it is needed, and answers queries
//! ([`DataSource::query`]) in Grafana's data frames. What is known of profile types
//! without asking anybody is in [`metadata`].
//!
//! ```
//! use std::path::Path;
//!
//! use flamesql_datasource::{BackendType, Provisioning};
//!
//! let text = "
//! apiVersion: 1
//!
//! datasources:
//!   - name: Grafana Pyroscope
//!     type: phlare
//!     url: http://localhost:4100
//!     jsonData:
//!       minStep: '15s'
//!       backendType: 'pyroscope'
//! ";
//! let provisioning = Provisioning::parse(text, Path::new("pyroscope.yaml"))?;
//! let settings = &provisioning.default_source().settings;
//! assert_eq!(settings.backend_type, Some(BackendType::Pyroscope));
//! # Ok::<(), flamesql_datasource::Error>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend_type;
mod error;
mod instance;
mod min_step;
mod settings;

pub mod metadata;
mod provisioning;

// What is asked of a data source.
mod data_source;
mod editor;
mod health;
mod names;
mod query;
mod resource;
mod variable;

pub use self::{
    backend_type::BackendType,
    data_source::{DataSource, Opened},
    editor::{ColumnItem, Completion, TableItem},
    error::{Error, ErrorKind, ErrorSource, Place},
    health::{Health, HealthDetails, HealthStatus, Problem},
    instance::InstanceSettings,
    min_step::MinStep,
    names::{MetaText, ProfileTypeItem},
    provisioning::{Provisioned, Provisioning},
    query::{MillisRange, QueryRequest, QueryResponse, QueryResult},
    resource::{Answer, Caller, DetectedType},
    settings::{Allow, Origin, ServerUrl, Settings},
    variable::{VariableQuery, VariableValue},
};

/// The README's code runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
