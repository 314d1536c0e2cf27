//! Who may ask: programs on this machine, or whoever has the access token, and no page of the web.
//!
//! A page can make a browser send requests to this machine, and by a name of its own that resolves to it read the
//! answers. It cannot make it say another `Host`, so that is looked at. A page may also send requests by the right name without
//! reading what comes back; a browser says with them where they are from. No header for other origins is ever sent.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{
        StatusCode,
        header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{AccessToken, Served};

/// What a load balancer asks, without a token: it says nothing of the source.
const OPEN: &str = "/ready";

/// Lets pass who may ask.
pub(crate) async fn guarded(
    State(served): State<Served>,
    request: Request,
    next: Next,
) -> Response {
    match &served.options().access_token {
        Some(token) => with_token(token, request, next).await,
        None => only_this_machine(request, next).await,
    }
}

/// Who has the token may be anywhere, but for a page of another origin in the browser of somebody who has it.
async fn with_token(token: &AccessToken, request: Request, next: Next) -> Response {
    if request.uri().path() != OPEN {
        let told = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !told.is_some_and(|told| token.is_told_by(told)) {
            let why = "this server wants its access token, as a bearer token or as the password of basic authentication\n";
            let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"flamesql\", charset=\"UTF-8\"")];
            return (StatusCode::UNAUTHORIZED, challenge, why).into_response();
        }
    }
    let host = host_of(&request);
    let is_own = |origin: &str| host.is_some_and(|host| host.eq_ignore_ascii_case(origin));
    if let Some(from) = foreign(&request, is_own) {
        let message = format!("this server is not for pages of {from:?}\n");
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    next.run(request).await
}

async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = host_of(&request);
    if host.is_some_and(is_this_machine) {
        if let Some(from) = foreign(&request, is_this_machine) {
            let message =
                format!("this server is for programs on this machine, and not for {from:?}\n");
            return (StatusCode::FORBIDDEN, message).into_response();
        }
        return next.run(request).await;
    }
    let message = format!(
        "this server is for this machine alone: it is called localhost or 127.0.0.1, and not {:?}\n",
        host.unwrap_or_default()
    );
    (StatusCode::FORBIDDEN, message).into_response()
}

/// The name by which a request calls this server.
fn host_of(request: &Request) -> Option<&str> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // With HTTP/2 it is part of the address.
    host.or_else(|| request.uri().authority().map(Authority::as_str))
}

/// The page of the web for which a browser asks, if it says that it is one.
fn foreign(request: &Request, is_host: impl Fn(&str) -> bool) -> Option<&str> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").filter(|site| ["cross-site", "same-site"].contains(site));
    let is_own = |origin: &&str| {
        let host = origin.split_once("://").map_or(*origin, |(_, host)| host);
        is_host(host)
    };
    text("origin").filter(|origin| !is_own(origin)).or(site)
}

/// Whether a host, with or without a port, is a name of this machine.
fn is_this_machine(host: &str) -> bool {
    let Ok(host) = host.parse::<Authority>() else { return false };
    let host = host.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in
            ["localhost", "LOCALHOST:4180", "127.0.0.1", "127.1.2.3:80", "[::1]:4180", "[::1]"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "localhost.example.com",
            "127.0.0.1.example.com:4180",
            "example.com",
            "10.0.0.1:4180",
            "localhost@example.com",
            "::",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
