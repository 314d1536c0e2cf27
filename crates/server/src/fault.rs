//! What goes wrong, as the Connect protocol says it: a code and a text (<https://connectrpc.com/docs/protocol#error-codes>).

use std::fmt;

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use flamesql_backend::ErrorKind;
use serde::Serialize;

/// The codes that this server has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    NotFound,
    Unimplemented,
    OutOfRange,
    DeadlineExceeded,
    Aborted,
    DataLoss,
    Unavailable,
    Internal,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Unimplemented => "unimplemented",
            Self::OutOfRange => "out_of_range",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Aborted => "aborted",
            Self::DataLoss => "data_loss",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::OutOfRange => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Aborted => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::DataLoss | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    code: Code,
    message: String,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The question makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<flamesql_backend::Error> for Fault {
    fn from(error: flamesql_backend::Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidQuery => Code::InvalidArgument,
            ErrorKind::Unsupported => Code::Unimplemented,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Overflow => Code::OutOfRange,
            ErrorKind::Changed => Code::Aborted,
            ErrorKind::Unreadable => Code::DataLoss,
            // Who may not ask is this server of another one, and not who asks this server.
            ErrorKind::Unavailable | ErrorKind::Unauthorized => Code::Unavailable,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<flamesql_profile::Error> for Fault {
    fn from(error: flamesql_profile::Error) -> Self {
        let code = match error.kind() {
            flamesql_profile::ErrorKind::Overflow => Code::OutOfRange,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            message: &'a str,
        }
        let body = Body { code: self.code.name(), message: &self.message };
        let body = serde_json::to_vec(&body).expect("two texts can be written");
        (self.code.status(), [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}
