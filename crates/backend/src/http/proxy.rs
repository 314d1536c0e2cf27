//! Whether a proxy is between, and what may be told of it.

use std::env;

use reqwest::{ClientBuilder, Url};

use super::{
    Proxy,
    address::{Address, shown},
};
use crate::{Error, ErrorKind};

/// The way by a proxy.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// The proxy, as it may be shown.
    pub(super) proxy: Option<String>,
    /// A variable of the environment that may name one.
    pub(super) variable: Option<String>,
    /// Whether the proxy itself may speak TLS.
    pub(super) may_be_tls: bool,
}

/// Says what proxies there are, and tells it to the client.
pub(super) fn set_up(
    builder: ClientBuilder,
    proxy: &Proxy,
    address: &Address,
) -> Result<(ClientBuilder, Way), Error> {
    match proxy {
        Proxy::None => Ok((builder.no_proxy(), Way::default())),
        // As Grafana does, whatever the environment says: a proxy's own machine is another one.
        Proxy::System if address.is_loopback() => Ok((builder.no_proxy(), Way::default())),
        Proxy::System => {
            let mut way = Way::default();
            let of_scheme = if address.is_https { "https_proxy" } else { "http_proxy" };
            for name in [of_scheme, "all_proxy"] {
                for name in [name.to_owned(), name.to_uppercase()] {
                    let Ok(value) = env::var(&name) else { continue };
                    if !value.is_empty() {
                        way.may_be_tls |= value.starts_with("https");
                        way.variable.get_or_insert(name);
                    }
                }
            }
            Ok((builder, way))
        }
        Proxy::Url(url) => {
            let refuse = || {
                // The text is a secret, and what a parser says of it may quote it.
                let what = "cannot take the URL of the proxy: it is none of http or https";
                Error::new(ErrorKind::InvalidOptions, what)
                    .with_hint("a proxy is like http://user:password@host:3128")
            };
            let url = Url::parse(url.reveal())
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.path() == "/")
                .ok_or_else(refuse)?;
            let way = Way {
                proxy: Some(shown(&url)),
                variable: None,
                may_be_tls: url.scheme() == "https",
            };
            let proxy = reqwest::Proxy::all(url).map_err(|_| refuse())?;
            // The second call takes the environment's proxies out.
            Ok((builder.no_proxy().proxy(proxy), way))
        }
    }
}
