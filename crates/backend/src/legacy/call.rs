//! One GET, and what its errors mean.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    Error, ErrorKind, Report,
    http::{Answer, Body, Client, Request, Response},
    room,
};

/// How much of a server's own text is quoted.
const MAX_QUOTED: usize = 500;

/// The way to ask one server.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    client: Client,
}

/// A path, and what it is asked for, to go on in "cannot ...".
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) path: &'static str,
    pub(super) what: &'static str,
    pub(super) answer: Answer,
}

impl Calls {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) fn base(&self) -> &str {
        self.client.base()
    }

    /// Asks for JSON; `None` where there is no such path.
    pub(super) async fn json<A: DeserializeOwned>(
        &self,
        path: Path,
        parameters: &[(&str, &str)],
        report: &Report,
    ) -> Result<Option<A>, Error> {
        let response = self.get(path, parameters, report).await?;
        if matches!(response.status, 404 | 405 | 501) {
            return Ok(None);
        }
        let body = self.check(path, &response)?;
        self.client.check_room(path.what, path.answer, room::of_json(&body))?;
        serde_json::from_slice(&body).map(Some).map_err(|error| self.damaged(path, error))
    }

    /// As `json`, of a path that every such server has.
    pub(super) async fn json_of<A: DeserializeOwned>(
        &self,
        path: Path,
        parameters: &[(&str, &str)],
        report: &Report,
    ) -> Result<A, Error> {
        self.json(path, parameters, report).await?.ok_or_else(|| self.no_server(path))
    }

    /// Asks for bytes.
    pub(super) async fn bytes(
        &self,
        path: Path,
        parameters: &[(&str, &str)],
        report: &Report,
    ) -> Result<Bytes, Error> {
        let response = self.get(path, parameters, report).await?;
        if matches!(response.status, 404 | 405 | 501) {
            return Err(self.no_server(path));
        }
        self.check(path, &response)
    }

    async fn get(
        &self,
        path: Path,
        parameters: &[(&str, &str)],
        report: &Report,
    ) -> Result<Response, Error> {
        let mut target = path.path.to_owned();
        for (idx, (name, value)) in parameters.iter().enumerate() {
            target.push(if idx == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            push_encoded(value, &mut target);
        }
        let request = Request {
            what: path.what.to_owned(),
            path: target,
            headers: Vec::new(),
            body: Body::None,
            answer: path.answer,
            is_passing: |response| !response.body.starts_with(b"invalid parameter"),
        };
        self.client.send(&request, report).await
    }

    /// The body of an answer, if it is one.
    fn check(&self, path: Path, response: &Response) -> Result<Bytes, Error> {
        let Response { status, content_type, body, .. } = response;
        let is_page = content_type.starts_with("text/html") || body.starts_with(b"<");
        match status {
            200 if body.is_empty() => {
                Err(self.fail(ErrorKind::Unreadable, path, "the answer is empty"))
            }
            200 if is_page => {
                Err(self.fail(ErrorKind::Unreadable, path, "the answer is a web page").with_hint(
                    "is this the address of a legacy Pyroscope server, or of a page to log in?",
                ))
            }
            200 => Ok(body.clone()),
            401 | 403 => {
                let name = if *status == 401 { "401 Unauthorized" } else { "403 Forbidden" };
                Err(self
                    .fail(ErrorKind::Unauthorized, path, name)
                    .with_hint("give an API key of this server as a token, or a user and password"))
            }
            _ => {
                let text = String::from_utf8_lossy(body);
                let text = text.trim();
                let kind = match status {
                    400 | 413 | 414 | 422 => ErrorKind::InvalidQuery,
                    _ => ErrorKind::Unavailable,
                };
                let status = response.status_and_tries();
                let reason = match is_page || text.is_empty() {
                    true => status,
                    false if kind == ErrorKind::Unavailable => {
                        format!("{} ({status})", quoted(text))
                    }
                    false => quoted(text),
                };
                Err(self.fail(kind, path, &reason))
            }
        }
    }

    /// An answer that is not what it should be.
    pub(super) fn damaged(&self, path: Path, reason: impl fmt::Display) -> Error {
        self.fail(ErrorKind::Unreadable, path, &format!("its answer is damaged: {reason}"))
    }

    pub(super) fn fail(&self, kind: ErrorKind, path: Path, reason: &str) -> Error {
        Error::new(kind, format!("cannot {} at {}: {reason}", path.what, self.base()))
    }

    fn no_server(&self, path: Path) -> Error {
        let reason = format!("it has no {}", path.path);
        self.fail(ErrorKind::NotFound, path, &reason)
            .with_hint("is it a legacy Pyroscope server (0.x)? Pyroscope 1.x and later is another kind of source")
    }
}

/// Everything but what means nothing in a query is written as `%` and two digits.
fn push_encoded(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
            into.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

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
    use crate::HttpOptions;

    const PATH: Path = Path { path: "/render", what: "ask for stacks", answer: Answer::Stacks };

    #[test]
    fn what_is_no_answer_says_so() {
        use ErrorKind::{InvalidQuery, Unauthorized, Unavailable, Unreadable};
        let calls = Calls::new(Client::new("http://s", &HttpOptions::default()).unwrap());
        for (status, content_type, body, kind, text) in [
            (200, "application/json", "", Unreadable, "the answer is empty"),
            (200, "text/html", "<html>", Unreadable, "the answer is a web page"),
            (200, "text/plain", "<!doctype html>", Unreadable, "the answer is a web page"),
            (
                400,
                "text/plain; charset=utf-8",
                "invalid parameter: \"unknown format\"\n",
                InvalidQuery,
                "invalid parameter: \"unknown format\"",
            ),
            (401, "text/plain", "no", Unauthorized, "401 Unauthorized"),
            (403, "text/html", "<html>", Unauthorized, "403 Forbidden"),
            (
                500,
                "text/plain",
                "failed to\nretrieve",
                Unavailable,
                "failed to retrieve (status 500)",
            ),
            (502, "text/html", "<html>", Unavailable, "status 502"),
            (503, "", "", Unavailable, "status 503"),
        ] {
            let response = Response {
                status,
                content_type: content_type.to_owned(),
                body: body.to_owned().into(),
                ..Response::default()
            };
            let error = calls.check(PATH, &response).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert_eq!(error.to_string(), format!("cannot ask for stacks at http://s: {text}"));
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let mut text = String::new();
        push_encoded("a.cpu{b=\"c +&ö\"}", &mut text);
        assert_eq!(text, "a.cpu%7Bb%3D%22c%20%2B%26%C3%B6%22%7D");
    }
}
