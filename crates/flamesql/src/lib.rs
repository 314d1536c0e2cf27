//! SQL over continuous profiles: the crates of flamesql under one name.
//!
//! This crate only renames, so that a program has one line in its manifest and one version to follow. Each part can be
//! used alone as well, and pulls in little.
//!
//! | module | feature | crate | what it is |
//! |---|---|---|---|
//! | [`profile`] | | `flamesql-profile` | profiles as plain data; pprof, folded and flame graph codecs |
//! | [`selector`] | | `flamesql-selector` | label selectors such as `{service_name="shop"}` |
//! | `backend` | `backend` | `flamesql-backend` | where profiles come from: a trait, and profiles in memory |
//! | `backend::Files` | `files` (default) | | a file or a folder of pprof and folded files |
//! | `backend::Server` | `pyroscope`, `legacy` (default) | | Pyroscope and Phlare servers |
//! | `server` | `server` | `flamesql-server` | any backend as a Pyroscope server |
//! | `engine` | `engine` (default) | `flamesql-engine` | the tables, and SQL over any backend |
//! | `datasource` | `datasource` | `flamesql-datasource` | Grafana's data source: settings, provisioning, health, resources |
//! | `frame` | `frame` | `flamesql-frame` | Grafana's data frames of Arrow record batches |
//!
//! The program `flamesql` is the crate `flamesql-cli`.
//!
//! # Example
//!
//! The function in which most samples were taken, without SQL:
//!
//! ```
//! use flamesql::profile::folded;
//!
//! let tree = folded::decode(b"main;parse 3\nmain;render 4\nmain 1\n")?.into_tree();
//! let hottest = tree.functions()?.into_iter().max_by_key(|function| function.self_value);
//! let name = hottest.and_then(|function| function.name).map(|name| tree.names().get(name));
//! assert_eq!(name, Some("render"));
//! # Ok::<(), flamesql::profile::Error>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "backend")]
pub use flamesql_backend as backend;
#[cfg(feature = "datasource")]
pub use flamesql_datasource as datasource;
#[cfg(feature = "engine")]
pub use flamesql_engine as engine;
#[cfg(feature = "frame")]
pub use flamesql_frame as frame;
pub use flamesql_profile as profile;
pub use flamesql_selector as selector;
#[cfg(feature = "server")]
pub use flamesql_server as server;
