//! The way to a server: the only place that opens connections, waits, and asks again.
//!
//! [`HttpOptions`] says how to reach and whom to be; `Client` sends one request and gives the answer with its status,
//! inflated and within a limit. What a status means is the adapters' business.

mod client;
mod options;
mod secret;

pub(crate) use self::client::{Body, Client, Request, Response};
pub use self::{
    options::{HttpOptions, Proxy, Timeouts, TlsOptions},
    secret::Secret,
};
