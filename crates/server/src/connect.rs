//! One unary call of the Connect protocol: a message comes in as the body of a POST, and one goes out.
//!
//! <https://connectrpc.com/docs/protocol#unary-request>. Bodies packed with gzip are inflated, and answers packed, before
//! and behind this module.

use std::{future::Future, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{ACCEPT, ALLOW, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ServeOptions, Served,
    fault::{Code, Fault},
};

const BINARY: &str = "application/proto";
const JSON: &str = "application/json";
const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// A question with what its headers say of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked<Q> {
    pub(crate) message: Q,
    /// Whether names of labels may be more than letters, digits and `_`.
    pub(crate) takes_utf8_names: bool,
}

/// A method: what `answer` makes of the messages that are posted to it.
pub(crate) fn method<Q, A, F>(answer: fn(Served, Asked<Q>) -> F) -> MethodRouter<Served>
where
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize + 'static,
    F: Future<Output = Result<A, Fault>> + Send + 'static,
{
    method_within(|options| options.max_body_bytes, answer)
}

/// The same of messages of another size.
pub(crate) fn method_within<Q, A, F>(
    max: fn(&ServeOptions) -> usize,
    answer: fn(Served, Asked<Q>) -> F,
) -> MethodRouter<Served>
where
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize + 'static,
    F: Future<Output = Result<A, Fault>> + Send + 'static,
{
    post(move |State(served): State<Served>, request: Request| async move {
        let guise = served.options().guise;
        let max = max(served.options());
        let answer = call(served, request, max, answer).await;
        answer.unwrap_or_else(|fault| guise.wrapped(fault).into_response())
    })
    .fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]) })
}

async fn call<Q, A, F>(
    served: Served,
    request: Request,
    max: usize,
    answer: fn(Served, Asked<Q>) -> F,
) -> Result<Response, Fault>
where
    Q: Message + Default + DeserializeOwned,
    A: Message + Serialize,
    F: Future<Output = Result<A, Fault>>,
{
    let (head, body) = request.into_parts();
    let Some(form) = Form::of(&head.headers) else {
        let accept = HeaderName::from_static("accept-post");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Ok((status, [(accept, format!("{JSON}, {BINARY}"))]).into_response());
    };
    let bytes = served.read(body, max).await?;
    let message: Q = form.read(&bytes)?;
    let asked = Asked { message, takes_utf8_names: takes_utf8_names(&head.headers) };
    let limit = served.options().timeout;
    let limit = asked_limit(&head.headers)?.map_or(limit, |asked| asked.min(limit));
    if limit.is_zero() {
        return Err(Fault::too_late(limit));
    }
    let answer = tokio::time::timeout(limit, answer(served, asked)).await;
    let answer = answer.map_err(|_| Fault::too_late(limit))??;
    Ok(([(CONTENT_TYPE, form.name())], Body::from(form.write(&answer)?)).into_response())
}

/// How messages are written.
#[derive(Clone, Copy)]
enum Form {
    Binary,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        match content_type.split(';').next().unwrap_or_default().trim() {
            BINARY => Some(Self::Binary),
            JSON => Some(Self::Json),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Binary => BINARY,
            Self::Json => JSON,
        }
    }

    fn read<Q: Message + Default + DeserializeOwned>(self, bytes: &[u8]) -> Result<Q, Fault> {
        match self {
            Self::Binary => Q::decode(bytes).map_err(|error| error.to_string()),
            Self::Json => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        }
        .map_err(|reason| Fault::invalid(format!("unmarshal message: {reason}")))
    }

    fn write<A: Message + Serialize>(self, answer: &A) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Binary => Ok(answer.encode_to_vec()),
            Self::Json => serde_json::to_vec(answer)
                .map_err(|error| Fault::new(Code::Internal, format!("marshal message: {error}"))),
        }
    }
}

/// How long whoever asks will wait: a number of milliseconds of ten digits at most.
fn asked_limit(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let Some(text) = headers.get(TIMEOUT) else { return Ok(None) };
    let text = text.to_str().unwrap_or_default();
    let millis = text.parse::<u64>().ok().filter(|_| text.len() <= 10);
    let millis = millis.ok_or_else(|| Fault::invalid(format!("invalid timeout: {text:?}")))?;
    Ok(Some(Duration::from_millis(millis)))
}

/// `Accept: */*;allow-utf8-labelnames=true`, as Pyroscope's own clients write it.
fn takes_utf8_names(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split([',', ';']).any(|part| part.trim() == "allow-utf8-labelnames=true")
    })
}
