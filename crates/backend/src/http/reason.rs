//! Why there is no answer, in plain words.
//!
//! Nothing of an error of the HTTP client is passed on as it is: its texts name URLs, which may have secrets, and speak of
//! its own parts, which nobody asked about.

use std::{error::Error as StdError, io, iter, time::Duration};

use flamesql_profile::format_duration;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::{address::Address, proxy::Way};
use crate::ErrorKind;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) kind: ErrorKind,
    pub(super) text: String,
    /// What to do next.
    pub(super) hint: Option<String>,
    /// Whether another try may do better, and is safe.
    pub(super) may_pass: bool,
}

impl Reason {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unavailable, text: text.into(), hint: None, may_pass: false }
    }

    pub(super) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn passing(mut self) -> Self {
        self.may_pass = true;
        self
    }
}

/// Why no head of an answer came.
pub(super) fn of_head(
    error: &reqwest::Error,
    address: &Address,
    way: &Way,
    connect: Duration,
) -> Reason {
    let reason = match causes(error).find_map(|cause| cause.downcast_ref::<TlsError>()) {
        Some(error) => of_tls(error),
        None if error.is_dns() && way.proxy.is_none() => {
            Reason::new(format!("the name {} does not resolve", address.host))
                .with_hint("is it spelled right, and is this machine in the right network?")
        }
        None if error.is_dns() => Reason::new("the name of the proxy does not resolve"),
        None if error.is_connect() && error.is_timeout() => {
            Reason::new(format!("no connection within {}", duration(connect)))
                .with_hint("is the host right, and does a firewall let this machine through?")
        }
        None => of_connection(error, address),
    };
    if !error.is_connect() {
        return reason;
    }
    match (&way.proxy, &way.variable) {
        (Some(proxy), _) => Reason {
            text: format!("{}, by way of the proxy {proxy}", reason.text),
            // It speaks of the server.
            hint: None,
            ..reason
        },
        (None, Some(variable)) => {
            let further = format!("{variable} is set: does that proxy lead there?");
            let hint = match &reason.hint {
                Some(hint) => format!("{hint} {further}"),
                None => further,
            };
            reason.with_hint(hint)
        }
        (None, None) => reason,
    }
}

/// Why the rest of an answer did not come.
pub(super) fn of_rest(received: u64, announced: Option<u64>) -> Reason {
    Reason::new(format!("the answer breaks off after {}", bytes(received, announced)))
}

/// So much of a body.
pub(super) fn bytes(received: u64, announced: Option<u64>) -> String {
    match announced {
        Some(announced) => format!("{received} of {announced} bytes"),
        None => format!("{received} bytes"),
    }
}

/// A length of time as it is written in options.
pub(super) fn duration(duration: Duration) -> String {
    format_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn of_connection(error: &reqwest::Error, address: &Address) -> Reason {
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    // A later cause may be one of hyper's that says nothing, with the reason in it.
    let io = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let io = io.map(io::Error::kind).find(|kind| *kind != io::ErrorKind::Other);
    match (cause, io) {
        (_, Some(io::ErrorKind::ConnectionRefused)) => Reason::new("connection refused")
            .with_hint("is the server running, and is its port right?")
            .passing(),
        (
            _,
            Some(
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
            ),
        ) => closed().passing(),
        (Some(cause), _)
            if cause.is_incomplete_message() || cause.is_canceled() || cause.is_closed() =>
        {
            closed().passing()
        }
        (Some(cause), _) if cause.is_parse() => {
            let reason = Reason::new("what answers does not speak HTTP");
            if address.is_https { reason } else { reason.with_hint("is it a server of https://?") }
        }
        (_, Some(kind)) => Reason::new(kind.to_string()),
        // The innermost cause knows no URL.
        (_, None) => {
            let last = causes(error).last().map(ToString::to_string);
            Reason::new(last.unwrap_or_else(|| "the connection failed".to_owned()))
        }
    }
}

fn closed() -> Reason {
    Reason::new("the connection was closed before an answer")
}

fn of_tls(error: &TlsError) -> Reason {
    let other_name =
        "if it is the right server, give the name in its certificate (--server-name, serverName)";
    let untrusted = |why: &str| {
        Reason::new(format!("its certificate is not trusted: {why}")).with_hint(
            "give the certificate of its authority (--ca, tlsCACert), or take any where that is safe (--insecure, tlsSkipVerify)",
        )
    };
    match error {
        TlsError::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                untrusted("no authority known here signed it")
            }
            // webpki's error, which rustls passes on without a name.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                untrusted("it is that of an authority itself")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Reason::new("its certificate has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Reason::new("its certificate is not valid yet")
                    .with_hint("is the clock of this machine right?")
            }
            CertificateError::NotValidForName => {
                Reason::new("its certificate is for another name").with_hint(other_name)
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let presented = if presented.is_empty() {
                    "none".to_owned()
                } else {
                    presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
                };
                let expected = expected.to_str();
                let text =
                    format!("its certificate is for another name: {presented}, not {expected}");
                Reason::new(text).with_hint(other_name)
            }
            CertificateError::Revoked => Reason::new("its certificate is revoked"),
            other => Reason::new(format!("its certificate is not accepted: {other}")),
        },
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate,
        ) => Reason::new("it wants a certificate of the client")
            .with_hint("give a client certificate and its key (--cert and --key, tlsClientCert and tlsClientKey)"),
        TlsError::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => Reason::new(format!("it does not accept the client certificate: {alert:?}")),
        TlsError::AlertReceived(alert) => {
            Reason::new(format!("it refuses the TLS handshake: {alert:?}"))
        }
        TlsError::InvalidMessage(_) => {
            Reason::new("what answers does not speak TLS").with_hint("is it http:// there?")
        }
        other => Reason::new(format!("TLS fails: {other}")),
    }
}

/// The names in a certificate come as debug texts: `DnsName("shop.test")`, `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// The error and its causes. What an I/O error was made of is no source of it.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}
