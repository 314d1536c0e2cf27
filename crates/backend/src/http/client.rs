//! One request, one answer.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::HttpOptions;
use crate::{Error, ErrorKind, Report};

/// A server, and how to reach it. Cloning gives another handle on the same connections.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    base: String,
    client: reqwest::Client,
    options: HttpOptions,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.0.base).finish_non_exhaustive()
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What it is for, to go on in `cannot <what>: ...`, such as `list the profile types`.
    pub(crate) what: String,
    /// Path and query, behind the base: begins with `/`.
    pub(crate) path: String,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Body,
    /// Whether an answer of status 500 is worth another try, as its status and body tell.
    pub(crate) is_passing: fn(&Response) -> bool,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Nothing: it is a GET.
    None,
    /// It is a POST.
    Post { content_type: &'static str, bytes: Bytes },
}

/// What came back, whatever its status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// Inflated.
    pub(crate) body: Bytes,
}

impl Client {
    /// A client for a URL of `http` or `https`. User and password in it are taken as basic authentication.
    pub(crate) fn new(url: &str, options: &HttpOptions) -> Result<Self, Error> {
        let client = reqwest::Client::builder().build().map_err(|error| {
            Error::new(ErrorKind::Internal, "set up the way to a server").with_source(error)
        })?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner { base, client, options: options.clone() })))
    }

    /// Where the server is, without what may be a secret.
    pub(crate) fn base(&self) -> &str {
        &self.0.base
    }

    /// Sends a request, more than once if a try failed for a reason that may pass, and counts tries and bytes.
    pub(crate) async fn send(&self, request: &Request, report: &Report) -> Result<Response, Error> {
        let url = format!("{}{}", self.0.base, request.path);
        let fail = |error: reqwest::Error| {
            let what = format!("cannot {} at {}", request.what, self.0.base);
            Error::new(ErrorKind::Unavailable, what).with_source(error.without_url())
        };
        let builder = match &request.body {
            Body::None => self.0.client.get(url),
            Body::Post { content_type, bytes } => {
                let builder = self.0.client.post(url).header("content-type", *content_type);
                builder.body(bytes.clone())
            }
        };
        let builder =
            request.headers.iter().fold(builder, |b, (name, value)| b.header(*name, *value));
        report.add_requests(1);
        let mut answer =
            builder.timeout(self.0.options.timeouts.request).send().await.map_err(fail)?;
        let content_type = answer.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_owned();
        let status = answer.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(fail)? {
            report.add_bytes(chunk.len() as u64);
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, content_type, body: body.freeze() })
    }
}
