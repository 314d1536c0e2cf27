//! A door for tests: one request by the way that all requests go. No part of the API.

use super::{Body, Client, HttpOptions, Request, Response};
use crate::{Error, Report};

/// A server to be asked.
#[derive(Clone, Debug)]
pub struct Door(Client);

/// What came back: status, type and body.
pub type Answer = (u16, String, Vec<u8>);

impl Door {
    /// The way to a server.
    pub fn new(url: &str, options: &HttpOptions) -> Result<Self, Error> {
        Client::new(url, options).map(Self)
    }

    /// The server's address, as messages show it.
    pub fn base(&self) -> &str {
        self.0.base()
    }

    /// Asks by GET.
    pub async fn get(&self, path: &str, report: &Report) -> Result<Answer, Error> {
        self.send(path, Body::None, report).await
    }

    /// Asks by POST.
    pub async fn post(&self, path: &str, body: Vec<u8>, report: &Report) -> Result<Answer, Error> {
        let body = Body::Post { content_type: "application/proto", bytes: body.into() };
        self.send(path, body, report).await
    }

    async fn send(&self, path: &str, body: Body, report: &Report) -> Result<Answer, Error> {
        let request = Request {
            what: "list the profile types".to_owned(),
            path: path.to_owned(),
            headers: vec![("content-encoding", "gzip")],
            body,
            answer: super::client::Answer::Stacks,
            is_passing: |response: &Response| response.body.starts_with(b"passing"),
        };
        let response = self.0.send(&request, report).await?;
        Ok((response.status, response.content_type, response.body.to_vec()))
    }
}
