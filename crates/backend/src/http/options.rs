//! How a server is reached, and as whom.

use std::time::Duration;

use super::Secret;

/// How a server is reached, and as whom: what Grafana's settings of a data source say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// User and password of basic authentication. They stand against those in the URL.
    pub basic_auth: Option<(String, Secret)>,
    /// A bearer token; not together with a password.
    pub token: Option<Secret>,
    /// The tenant, sent as `X-Scope-OrgID`; `a|b` reads of two.
    pub tenant: Option<String>,
    /// Further headers. One of these stands against the same header of ours.
    pub headers: Vec<(String, Secret)>,
    /// How the server proves who it is, and we who we are.
    pub tls: TlsOptions,
    /// Whether a proxy is between.
    pub proxy: Proxy,
    /// How long what may take.
    pub timeouts: Timeouts,
    /// How large an answer may be, on the wire, inflated and decoded.
    pub max_answer_bytes: u64,
    /// The same of answers that hold no stacks, if that is less: series, names, single profiles.
    pub max_list_bytes: u64,
    /// How often a request is asked again that failed for a reason that may pass.
    pub max_retries: u32,
    /// How many requests may be under way at a time, whoever asks; the others wait their turn, within their own time.
    /// Zero is no limit.
    pub max_concurrent: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            basic_auth: None,
            token: None,
            tenant: None,
            headers: Vec::new(),
            tls: TlsOptions::default(),
            proxy: Proxy::default(),
            timeouts: Timeouts::default(),
            max_answer_bytes: 1 << 30,
            max_list_bytes: 256 << 20,
            max_retries: 3,
            max_concurrent: 64,
        }
    }
}

/// Certificates and what is made of them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsOptions {
    /// PEM of the authorities to trust, instead of those of the system.
    pub ca_certificate: Option<String>,
    /// PEM of our certificate and its key.
    pub client_certificate: Option<(String, Secret)>,
    /// The name that the server's certificate must have, where it is not that of the URL. The server is still asked for
    /// its certificate by the name in the URL.
    pub server_name: Option<String>,
    /// Whether any certificate is taken.
    pub skip_verify: bool,
}

/// Whether a proxy is between.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Proxy {
    /// What `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say. A server on this machine is asked without one.
    #[default]
    System,
    /// None.
    None,
    /// This one, of `http` or `https`; user and password may stand in it.
    Url(Secret),
}

/// How long what may take; the defaults are those of Grafana's data sources. Zero is no limit.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// A request from its beginning to the last byte of its answer, repetitions included.
    pub request: Duration,
    /// Making a connection.
    pub connect: Duration,
    /// The TLS handshake. What it does not use of this time a connection may, and the other way round.
    pub tls_handshake: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How often it is made sure that a silent connection still is one; zero is never.
    pub keep_alive: Duration,
    /// How many idle connections are kept.
    pub max_idle: usize,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            idle: Duration::from_secs(90),
            keep_alive: Duration::from_secs(30),
            max_idle: 100,
        }
    }
}

impl Timeouts {
    /// How long it may take until a connection can be used.
    pub(super) fn to_connect(self, is_https: bool) -> Duration {
        match (self.connect, self.tls_handshake) {
            (connect, _) if !is_https => connect,
            (Duration::ZERO, _) | (_, Duration::ZERO) => Duration::ZERO,
            (connect, handshake) => connect.saturating_add(handshake),
        }
    }
}
