//! The way to a server: the only place that opens connections, waits, and asks again.
//!
//! [`HttpOptions`] says how to reach and whom to be; `Client` sends one request and gives the answer with its status,
//! inflated and within a limit. What a status means is the adapters' business.

mod address;
mod again;
mod body;
#[cfg_attr(
    not(any(feature = "pyroscope", feature = "conformance")),
    expect(dead_code, reason = "the legacy server is asked by GET alone")
)]
mod client;
#[cfg(feature = "conformance")]
pub mod door;
mod headers;
mod options;
mod proxy;
mod reason;
mod secret;
mod tls;

pub(crate) use self::client::{Answer, Body, Client, Request, Response};
pub use self::{
    address::server_address,
    options::{HttpOptions, Proxy, Timeouts, TlsOptions},
    secret::Secret,
};
