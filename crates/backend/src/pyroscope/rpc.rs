//! One unary call of the Connect protocol, and what its errors mean.
//!
//! The protocol is that of <https://connectrpc.com/docs/protocol>: a message is the body as it stands, an error a JSON
//! object with a code. Storage v1 hands on what its inner servers said as text, so that an error may be wrapped in
//! another one.

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Error, ErrorKind, Notice, Report,
    http::{Answer, Body, Client, Request, Response},
    room::{self, Shape},
};

const BINARY: &str = "application/proto";
const JSON: &str = "application/json";
/// How much of a server's own text is quoted.
const MAX_QUOTED: usize = 500;

/// The way to call methods of one server.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    client: Client,
    json: bool,
}

/// A method: its path, and what it is called for, to go on in "cannot ...".
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) path: &'static str,
    pub(super) what: &'static str,
    pub(super) answer: Answer,
    /// What its answer takes in memory.
    pub(super) shape: &'static Shape,
}

impl Rpc {
    pub(super) fn new(client: Client, json: bool) -> Self {
        Self { client, json }
    }

    pub(super) fn base(&self) -> &str {
        self.client.base()
    }

    /// Calls a method and decodes its answer.
    pub(super) async fn call<Q: Message + Serialize, A: Message + Default + DeserializeOwned>(
        &self,
        method: Method,
        question: &Q,
        report: &Report,
    ) -> Result<A, Error> {
        let body = self.send(method, question, report).await?;
        let room = match self.json {
            true => room::of_json(&body),
            false => room::of_message(&body, method.shape),
        };
        self.client.check_room(method.what, method.answer, room)?;
        let answer = match self.json {
            true => serde_json::from_slice(&body).map_err(|error| error.to_string()),
            false => A::decode(body).map_err(|error| error.to_string()),
        };
        answer.map_err(|reason| {
            let what = format!("cannot {} at {}", method.what, self.base());
            Error::new(ErrorKind::Unreadable, format!("{what}: its answer is damaged: {reason}"))
        })
    }

    /// Calls a method and gives its answer in protobuf's binary form, undecoded.
    pub(super) async fn call_raw<Q: Message>(
        &self,
        method: Method,
        question: &Q,
        report: &Report,
    ) -> Result<Bytes, Error> {
        let bytes = question.encode_to_vec().into();
        self.post(method, BINARY, bytes, report).await
    }

    async fn send<Q: Message + Serialize>(
        &self,
        method: Method,
        question: &Q,
        report: &Report,
    ) -> Result<Bytes, Error> {
        if !self.json {
            return self.call_raw(method, question, report).await;
        }
        let bytes = serde_json::to_vec(question).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("write a question as JSON: {error}"))
        })?;
        self.post(method, JSON, bytes.into(), report).await
    }

    async fn post(
        &self,
        method: Method,
        content_type: &'static str,
        bytes: Bytes,
        report: &Report,
    ) -> Result<Bytes, Error> {
        let request = Request {
            what: method.what.to_owned(),
            path: method.path.to_owned(),
            // Long lists of ids and values are worth it; the way packs no small ones.
            headers: vec![("connect-protocol-version", "1"), ("content-encoding", "gzip")],
            body: Body::Post { content_type, bytes },
            answer: method.answer,
            is_passing,
        };
        let response = self.client.send(&request, report).await?;
        if response.status != 200 {
            return Err(fault(method.what, self.base(), &response));
        }
        if let Some(missing) = &response.missing {
            let (subject, reason) = (self.base().to_owned(), missing.clone());
            report.add_lack(Notice { subject, reason, is_missing: true });
        }
        if !response.content_type.starts_with(content_type) {
            let what = format!(
                "cannot {} at {}: the answer is {}, and not {content_type}",
                method.what,
                self.base(),
                shown_type(&response.content_type),
            );
            return Err(Error::new(ErrorKind::Unreadable, what)
                .with_hint("is this the address of a Pyroscope server, or of a page to log in?"));
        }
        Ok(response.body)
    }
}

pub(super) fn shown_type(content_type: &str) -> &str {
    if content_type.is_empty() { "of no type" } else { content_type }
}

/// What a server says is wrong.
#[derive(Debug, Default, Deserialize)]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
}

impl Fault {
    /// From the body of an answer, whatever it is wrapped in.
    fn read(body: &[u8]) -> Option<Self> {
        let mut fault: Self = serde_json::from_slice(body).ok()?;
        // Each server on the way may have put its own around it; four are more than there are.
        for _ in 0..4 {
            if let Ok(inner) = serde_json::from_str::<Self>(&fault.message) {
                fault = inner;
            } else if let Some((code, message)) = grpc_text(&fault.message) {
                fault = Self { code: code.to_owned(), message: message.to_owned() };
            } else {
                break;
            }
        }
        Some(fault)
    }

    fn kind(&self) -> ErrorKind {
        // Where storage v1 looks for names it calls a selector that does not parse a fault of its own.
        if self.message.contains("parse error") {
            return ErrorKind::InvalidQuery;
        }
        match self.code.as_str() {
            "invalid_argument"
            | "out_of_range"
            | "failed_precondition"
            | "InvalidArgument"
            | "OutOfRange"
            | "FailedPrecondition"
            | "code_400"
            | "code_413"
            | "code_422" => ErrorKind::InvalidQuery,
            "unauthenticated" | "permission_denied" | "Unauthenticated" | "PermissionDenied"
            | "code_401" | "code_403" => ErrorKind::Unauthorized,
            "unimplemented" | "Unimplemented" | "code_404" => ErrorKind::Unsupported,
            "not_found" | "NotFound" => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        }
    }
}

/// What gRPC wrote as text: `rpc error: code = InvalidArgument desc = ...`.
fn grpc_text(message: &str) -> Option<(&str, &str)> {
    let (code, message) = message.strip_prefix("rpc error: code = ")?.split_once(" desc = ")?;
    Some((code, message))
}

/// Whether asking again may help. A server that says what is wrong with the question will say it again.
fn is_passing(response: &Response) -> bool {
    Fault::read(&response.body).is_none_or(|fault| fault.kind() == ErrorKind::Unavailable)
}

/// The error of an answer whose status is not 200: what its body says, and what its status says where that is nothing.
pub(super) fn fault(what: &str, base: &str, response: &Response) -> Error {
    let Response { status, content_type, body, .. } = response;
    let fail = |kind, reason: &str| Error::new(kind, format!("cannot {what} at {base}: {reason}"));
    if let Some(fault) = Fault::read(body) {
        let reason = match fault.message.as_str() {
            "" => fault.code.clone(),
            message => quoted(message),
        };
        let reason = match fault.kind() {
            // What may pass: that it did not is worth to be known.
            ErrorKind::Unavailable => format!("{reason} ({})", response.status_and_tries()),
            _ => reason,
        };
        let error = fail(fault.kind(), &reason);
        return match fault.kind() {
            ErrorKind::Unauthorized => error.with_hint(LET_IN),
            _ if reason.contains("max_query_length") || reason.contains("query length") => error
                .with_hint(
                    "ask for a shorter range, or for less at a time than this server's limit (--max-range)",
                ),
            _ => error,
        };
    }
    match status {
        401 | 403 => {
            let name = if *status == 401 { "401 Unauthorized" } else { "403 Forbidden" };
            fail(ErrorKind::Unauthorized, name).with_hint(LET_IN)
        }
        404 | 405 | 415 | 501 => {
            let error = fail(ErrorKind::Unsupported, &format!("it has no such method ({status})"));
            match content_type.starts_with("text/html") {
                true => {
                    error.with_hint("this is a web page: is it the address of the server itself?")
                }
                false => error,
            }
        }
        _ => {
            let text = String::from_utf8_lossy(body);
            let reason = match content_type.starts_with("text/plain") && !text.trim().is_empty() {
                true => format!("{}: {}", response.status_and_tries(), quoted(text.trim())),
                false => response.status_and_tries(),
            };
            fail(ErrorKind::Unavailable, &reason)
        }
    }
}

const LET_IN: &str = "give a user and password, a token, or a tenant that this server lets in";

/// A server's text as one line, not too long.
fn quoted(text: &str) -> String {
    let mut line: String = text.chars().take(MAX_QUOTED).collect();
    if line.len() < text.len() {
        line.push_str("...");
    }
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, content_type: &str, body: &str) -> (ErrorKind, String) {
        let response = Response {
            status,
            content_type: content_type.to_owned(),
            body: body.to_owned().into(),
            ..Response::default()
        };
        let error = fault("ask", "http://s", &response);
        (error.kind(), error.to_string())
    }

    #[test]
    fn the_code_of_the_body_comes_before_the_status() {
        use ErrorKind::{InvalidQuery, Unauthorized, Unavailable, Unsupported};
        for (status, content_type, body, kind, text) in [
            (500, JSON, r#"{"code":"invalid_argument","message":"no"}"#, InvalidQuery, "no"),
            (
                400,
                JSON,
                r#"{"code":"invalid_argument","message":"{\"code\":\"unimplemented\",\"message\":\"v2 only\"}"}"#,
                Unsupported,
                "v2 only",
            ),
            (
                400,
                JSON,
                r#"{"code":"invalid_argument","message":"{\"code\":\"invalid_argument\",\"message\":\"rpc error: code = InvalidArgument desc = got(1)\"}"}"#,
                InvalidQuery,
                "got(1)",
            ),
            (500, JSON, r#"{"code":"code_400","message":"too long"}"#, InvalidQuery, "too long"),
            (
                500,
                JSON,
                r#"{"code":"unknown","message":"1:2: parse error: x"}"#,
                InvalidQuery,
                "1:2: parse error: x",
            ),
            (401, JSON, r#"{"code":"unauthenticated"}"#, Unauthorized, "unauthenticated"),
            (403, "text/html", "<html>", Unauthorized, "403 Forbidden"),
            (404, "text/plain", "404 page not found", Unsupported, "it has no such method (404)"),
            (502, "text/html", "<html>", Unavailable, "status 502"),
            (503, "text/plain", "not\nready", Unavailable, "status 503: not ready"),
        ] {
            let (told_kind, told) = told(status, content_type, body);
            assert_eq!((told_kind, told), (kind, format!("cannot ask at http://s: {text}")));
        }
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        for (body, passes) in [
            ("<html>", true),
            (r#"{"code":"unavailable"}"#, true),
            (r#"{"code":"unknown","message":"parse error"}"#, false),
            (r#"{"code":"unimplemented"}"#, false),
        ] {
            let response =
                Response { status: 500, body: body.to_owned().into(), ..Response::default() };
            assert_eq!(is_passing(&response), passes, "{body}");
        }
    }
}
