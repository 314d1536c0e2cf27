//! Which series are meant, in the server's language.
//!
//! Everything that a selector says can be said there but for two things. Labels that begin with `__` are none of the
//! server's: they are about the app, and judged here. And a regex never finds series without the label; one that also
//! means these is turned round, and excludes the values that do not match.

use std::fmt;

use flamesql_profile::{Labels, ProfileType};
use flamesql_selector::{LabelMatcher, MatchOp, Matcher, Selector, flameql};

use super::{Legacy, names};
use crate::{Error, ErrorKind, Report, group};

/// Series of one app.
#[derive(Clone, Debug)]
pub(super) struct Query {
    app: String,
    /// As they stand between the braces.
    conditions: Vec<String>,
}

impl Query {
    /// `None` if no series can be meant.
    pub(super) async fn new(
        legacy: &Legacy,
        app: &ProfileType,
        selector: &Selector,
        report: &Report,
    ) -> Result<Option<Self>, Error> {
        legacy.check_type(app)?;
        // All are compiled first: who asks learns what is wrong with his regex from us.
        group::Matcher::new(selector)?;
        let (ours, theirs): (Vec<_>, Vec<_>) =
            selector.matchers.iter().cloned().partition(|matcher| !is_key(&matcher.name));
        // A label that the server cannot have is missing.
        let ours = group::Matcher::new(&ours.into_iter().collect())?;
        if !ours.matches(&Labels::default(), app) {
            return Ok(None);
        }
        let mut query = Self { app: app.as_str().to_owned(), conditions: Vec::new() };
        flameql::print(&query.app, &Selector::all()).map_err(|error| {
            let what = format!("cannot ask {} for an app: {error}", legacy.url());
            Error::new(ErrorKind::InvalidQuery, what)
        })?;
        for matcher in theirs {
            let matcher = match flameql::matcher(&matcher) {
                Ok(condition) => {
                    query.push(condition);
                    continue;
                }
                Err(_) if matcher.op == MatchOp::Regex => matcher,
                Err(error) => return Err(unspeakable(&matcher, &error)),
            };
            let test =
                LabelMatcher::new(&matcher).map_err(|error| unspeakable(&matcher, &error))?;
            let values = names::stored_values(legacy, &matcher.name, &query.app, report).await?;
            let others: Vec<&String> =
                values.iter().filter(|value| !test.matches_value(value)).collect();
            if !test.matches_value("") {
                return Err(unspeakable(&matcher, &"it cannot be written in FlameQL"));
            }
            if !others.is_empty() {
                query.add(&Matcher::none_of(&matcher.name, others))?;
            }
        }
        Ok(Some(query))
    }

    /// The same with one more condition.
    pub(super) fn with(&self, matcher: &Matcher) -> Result<Self, Error> {
        let mut query = self.clone();
        query.add(matcher)?;
        Ok(query)
    }

    pub(super) fn app(&self) -> &str {
        &self.app
    }

    /// The text of the parameter `query`.
    pub(super) fn text(&self) -> String {
        format!("{}{{{}}}", self.app, self.conditions.join(","))
    }

    fn add(&mut self, matcher: &Matcher) -> Result<(), Error> {
        let condition = flameql::matcher(matcher).map_err(|error| unspeakable(matcher, &error))?;
        self.push(condition);
        Ok(())
    }

    fn push(&mut self, condition: String) {
        if !condition.is_empty() {
            self.conditions.push(condition);
        }
    }
}

/// Whether a series of the server's may have a label of this name.
///
/// By `profile_id` it gives single profiles, whatever else was asked for.
pub(super) fn is_key(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with("__")
        && name != "profile_id"
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn unspeakable(matcher: &Matcher, reason: &dyn fmt::Display) -> Error {
    let what = format!("ask a legacy Pyroscope server for {matcher}: {reason}");
    Error::new(ErrorKind::InvalidQuery, what)
}
