//! Pyroscope's own query API over any [`Backend`](flamesql_backend::Backend): whoever reads a Pyroscope server, such as
//! Grafana, can read files, a demo or another server through it.
//!
//! It answers as Pyroscope 2.2 with storage v2 does, in times, orders, limits and errors; what it does otherwise on
//! purpose is listed in the README.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flamesql_backend::Memory;
//! use flamesql_server::{Served, ServeOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! println!("http://{}", listener.local_addr()?);
//! let served = Served::new(Arc::new(Memory::new()), ServeOptions::default());
//! // Until the future in the last place is done; here at once.
//! served.serve(listener, async {}).await
//! # }
//! ```

mod options;
#[cfg(feature = "datasource")]
pub use self::api::ApiSources;
#[doc(hidden)]
pub use self::guise::Guise;
pub use self::options::{Access, AccessLog, AccessToken, ServeOptions};

mod served;
pub use self::served::Served;

// What comes in and goes out.
mod connect;
mod fault;
mod guard;
mod guise;
mod json;
mod listen;
mod metrics;
mod place;
mod turn;

// What a question says.
mod ids;
mod private;
mod question;

// The answers.
mod about;
#[cfg(feature = "datasource")]
mod api;
mod heatmap;
mod legacy;
mod names;
mod pprof;
mod push;
mod render;
mod series;
mod stacks;
mod statistics;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
