//! What is said when something fails, and with which code the program ends: both in one place.

use std::{
    error::Error as StdError,
    ffi::OsStr,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::error::{ContextKind, ContextValue};

use crate::{source, text};

/// The exit code of a question that has no answer.
const FAILED: u8 = 1;
/// The exit code of a command line that is not understood.
const USAGE: u8 = 2;
/// The exit code where a source wants to know who asks.
const NOT_AUTHORISED: u8 = 3;
/// The exit code under `--strict` where something is skipped or missing.
const NOT_STRICT: u8 = 4;

/// A mistake in what was typed.
#[derive(Debug)]
pub(crate) struct Usage {
    message: String,
    hint: Option<String>,
}

impl Usage {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Usage {}

/// Something was skipped or is missing, which `--strict` does not allow.
#[derive(Debug)]
pub(crate) struct NotStrict(pub(crate) String);

impl fmt::Display for NotStrict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NotStrict {}

/// Says why a command failed and returns the exit code.
pub(crate) fn report(error: &anyhow::Error, is_strict: bool) -> ExitCode {
    if is_broken_pipe(error) {
        // Whoever read has seen enough.
        return ExitCode::SUCCESS;
    }
    // If stderr is closed, the exit code has to do.
    let _ = io::stderr().lock().write_all(message(error).as_bytes());
    ExitCode::from(exit_code(error, is_strict))
}

/// Says what clap refused, or shows the help that was asked for.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let usage = if source::is_source(OsStr::new(word)) {
            let word = source::without_credentials(word);
            Usage::new(format!("which command is to ask {word:?}?"))
                .with_hint(format!("try: flamesql types {word}"))
        } else {
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(USAGE);
        };
        return report(&usage.into(), false);
    }
    let text = error.render().to_string();
    if text.contains('@') && error.use_stderr() {
        // What was typed is quoted in it.
        let _ = io::stderr().lock().write_all(source::concealed(&text).as_bytes());
        return ExitCode::from(USAGE);
    }
    // A closed pipe is no reason to complain.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// The one place where an error becomes an exit code.
fn exit_code(error: &anyhow::Error, is_strict: bool) -> u8 {
    for cause in error.chain() {
        if cause.is::<Usage>() || cause.is::<flamesql_selector::Error>() {
            return USAGE;
        }
        if cause.is::<NotStrict>() {
            return NOT_STRICT;
        }
        if let Some(error) = cause.downcast_ref::<flamesql_engine::Error>() {
            match error.kind() {
                flamesql_engine::ErrorKind::Partial => return NOT_STRICT,
                // Its cause may say more.
                flamesql_engine::ErrorKind::Backend => {}
                _ => return FAILED,
            }
        }
        if let Some(error) = cause.downcast_ref::<flamesql_backend::Error>() {
            use flamesql_backend::ErrorKind;
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::InvalidOptions => USAGE,
                ErrorKind::Unauthorized => NOT_AUTHORISED,
                ErrorKind::Unreadable | ErrorKind::Changed if is_strict => NOT_STRICT,
                _ => FAILED,
            };
        }
        if let Some(error) = cause.downcast_ref::<flamesql_profile::Error>() {
            let is_syntax = error.kind() == flamesql_profile::ErrorKind::Syntax;
            return if is_syntax { USAGE } else { FAILED };
        }
    }
    FAILED
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// `error:`, the causes that it does not quote itself, and what to do next.
fn message(error: &anyhow::Error) -> String {
    if let Some(error) = error.downcast_ref::<flamesql_selector::Error>() {
        return error.report();
    }
    let mut message = String::new();
    let (mut excerpt, mut hint) = (None, None);
    for cause in error.chain() {
        let line = text::one_line(&cause.to_string());
        if message.is_empty() {
            message = format!("error: {line}\n");
        } else if !message.contains(&line) {
            message.push_str(&format!("caused by: {line}\n"));
        }
        let of_cause = if let Some(usage) = cause.downcast_ref::<Usage>() {
            usage.hint.as_deref()
        } else if let Some(error) = cause.downcast_ref::<flamesql_engine::Error>() {
            excerpt = excerpt.or(error.excerpt());
            error.hint()
        } else if let Some(error) = cause.downcast_ref::<flamesql_backend::Error>() {
            error.hint()
        } else if let Some(error) = cause.downcast_ref::<flamesql_selector::Error>() {
            error.hint()
        } else {
            None
        };
        hint = hint.or(of_cause.map(text::one_line));
    }
    message.push_str(excerpt.unwrap_or_default());
    if let Some(hint) = hint {
        message.push_str(&format!("hint: {hint}\n"));
    }
    message
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use flamesql_backend::{Error as BackendError, ErrorKind};
    use flamesql_engine::{Error as EngineError, ErrorKind as EngineKind};

    use super::*;

    #[test]
    fn each_failure_has_its_code() {
        let unreadable = || BackendError::new(ErrorKind::Unreadable, "read a.pb: damaged");
        let of_engine = |kind| anyhow::Error::new(EngineError::new(kind, "no"));
        for (error, code, strict_code) in [
            (Usage::new("no").into(), 2, 2),
            (NotStrict("no".to_owned()).into(), 4, 4),
            (
                flamesql_profile::parse_time("x", flamesql_profile::Timestamp::MIN)
                    .unwrap_err()
                    .into(),
                2,
                2,
            ),
            (flamesql_selector::Selector::parse("{").unwrap_err().into(), 2, 2),
            (BackendError::new(ErrorKind::NotFound, "no").into(), 2, 2),
            (BackendError::new(ErrorKind::InvalidOptions, "no").into(), 2, 2),
            (BackendError::new(ErrorKind::Overflow, "no").into(), 1, 1),
            (unreadable().into(), 1, 4),
            (EngineError::new(EngineKind::Backend, "no").with_source(unreadable()).into(), 1, 4),
            (of_engine(EngineKind::Syntax), 1, 1),
            (of_engine(EngineKind::Query), 1, 1),
            (of_engine(EngineKind::Partial), 4, 4),
            (io::Error::other("no").into(), 1, 1),
        ] {
            let shown = format!("{error:?}");
            assert_eq!(exit_code(&error, false), code, "{shown}");
            assert_eq!(exit_code(&error, true), strict_code, "{shown}");
        }
    }

    #[test]
    fn causes_are_not_said_twice() {
        let error = io::Error::other("disk\nfull");
        let error = Err::<(), _>(error).context("write x").unwrap_err();
        assert_eq!(message(&error), "error: write x\ncaused by: disk full\n");
        let error =
            Err::<(), _>(Usage::new("full").with_hint("less")).context("it is full").unwrap_err();
        assert_eq!(message(&error), "error: it is full\nhint: less\n");
        let backend = BackendError::new(ErrorKind::Unavailable, "no").with_hint("yes");
        let expected = "error: no\nhint: yes\n";
        assert_eq!(message(&backend.clone().into()), expected);
        assert_eq!(message(&EngineError::from(backend).into()), expected);
    }
}
