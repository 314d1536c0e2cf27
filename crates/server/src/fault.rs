//! What goes wrong, as the Connect protocol says it: a code and a text (<https://connectrpc.com/docs/protocol#error-codes>).

use std::{fmt, time::Duration};

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
    /// What Phlare makes of a status of plain HTTP.
    Text400,
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
            Self::Text400 => "code_400",
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
            Self::DataLoss | Self::Internal | Self::Text400 => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    code: Code,
    message: String,
    /// Where a server of several parts would find it.
    layer: Layer,
}

/// The part of a server that finds a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// The one that is asked.
    Outer,
    /// The one behind it.
    Inner,
    /// The one behind that, which is asked by gRPC.
    Innermost,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), layer: Layer::Outer }
    }

    /// The same, found by a server behind the one that is asked.
    pub(crate) fn inner(mut self) -> Self {
        self.layer = Layer::Inner;
        self
    }

    /// The same, found by a server behind that one.
    pub(crate) fn innermost(mut self) -> Self {
        self.layer = Layer::Innermost;
        self
    }

    /// The same as the outermost server tells it: as text that the next one gave it, which has it from a third one behind
    /// `grpc`.
    pub(crate) fn wrapped(self, grpc: &str) -> Self {
        let message = match self.layer {
            Layer::Outer => return self,
            Layer::Inner => self.message,
            Layer::Innermost => format!("{grpc}{}", self.message),
        };
        Self::new(self.code, Body { code: self.code.name(), message: &message }.text())
    }

    /// There is no answer in time.
    pub(crate) fn too_late(limit: Duration) -> Self {
        Self::new(Code::DeadlineExceeded, format!("no answer within {} ms", limit.as_millis()))
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
            // Stacks of a source are well formed; what a form of answer cannot show of them is a value below 0.
            _ => Code::Unimplemented,
        };
        Self::new(code, error.to_string())
    }
}

/// As it goes over the wire.
#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
}

impl Body<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("two texts can be written")
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = Body { code: self.code.name(), message: &self.message }.text();
        (self.code.status(), [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}
