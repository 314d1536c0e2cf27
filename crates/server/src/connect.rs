//! One unary call of the Connect protocol: a message comes in as the body of a POST, and one goes out.
//!
//! <https://connectrpc.com/docs/protocol#unary-request>. Bodies packed with gzip are inflated, and answers packed, before
//! and behind this module, and how long an answer may take is seen to in `turn.rs`.

use std::{future::Future, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{ACCEPT, ALLOW, CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ServeOptions, Served,
    fault::{Code, Fault},
    json,
};

const BINARY: &str = "application/proto";
const JSON: &str = "application/json";
/// How a body may be packed.
const PACKINGS: [&str; 3] = ["", "gzip", "identity"];
const VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
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
    let form = Form::of(&head.headers).ok_or_else(|| Fault::invalid("a form that is not known"))?;
    let bytes = served.read(body, max).await?;
    let message: Q = form.read(&bytes)?;
    drop(bytes);
    let asked = Asked { message, takes_utf8_names: takes_utf8_names(&head.headers) };
    let answer = answer(served, asked).await?;
    Ok(([(CONTENT_TYPE, form.name())], Body::from(form.write(&answer)?)).into_response())
}

/// Whether it is the path of a call: that of a method, below the full name of its service.
pub(crate) fn is_call(path: &str) -> bool {
    path.split('/').nth(1).is_some_and(|service| service.contains('.'))
}

/// Looks at the headers of a call before its body is read: how long whoever asks will wait, or why there is no answer.
pub(crate) fn check(headers: &HeaderMap) -> Result<Option<Duration>, Box<Response>> {
    let refused = |answer: Response| Err(Box::new(answer));
    if Form::of(headers).is_none() {
        let accept = HeaderName::from_static("accept-post");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return refused((status, [(accept, format!("{JSON}, {BINARY}"))]).into_response());
    }
    let text =
        |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(packing) = text(&CONTENT_ENCODING).filter(|name| !PACKINGS.contains(name)) {
        let message = format!("unknown compression {packing:?}: supported encodings are gzip");
        let mut answer = Fault::new(Code::Unimplemented, message).into_response();
        *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return refused(answer);
    }
    if let Some(version) = text(&VERSION).filter(|version| !["", "1"].contains(version)) {
        let message = format!("Connect-Protocol-Version must be \"1\": got {version:?}");
        return refused(Fault::invalid(message).into_response());
    }
    asked_limit(headers).map_err(|fault| Box::new(fault.into_response()))
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
            // Nearly all that is written by programs is read as it stands.
            Self::Json => serde_json::from_slice(bytes)
                .or_else(|_| serde_json::from_slice(&json::plain(bytes)))
                .map_err(|error| error.to_string()),
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
