//! How much a server takes upon itself.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flamesql_backend::Memory;
use flamesql_profile::Step;
use flamesql_selector::RegexBudget;

use crate::Guise;

/// How much a server takes upon itself, and what it says of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeOptions {
    /// The version that it tells.
    pub version: String,
    /// The longest range of one question; `None` is any.
    pub max_range: Option<Step>,
    /// The largest body of a question, inflated. In memory a message may be some twelve times as large.
    pub max_body_bytes: usize,
    /// What all regexes of a question may take together, compiled.
    pub max_regex_bytes: usize,
    /// The largest body that profiles are pushed in, inflated.
    pub max_push_bytes: usize,
    /// What the profiles of one push may inflate to, all of them together.
    pub max_inflated_push_bytes: usize,
    /// How much of larger bodies is held in all while they are read and while they wait for their turn; what comes beyond
    /// that is refused.
    pub max_waiting_bytes: usize,
    /// How many questions are worked on at a time, 256 at most; the others wait. A large answer counts until its client has
    /// taken it. Pushes take their turns one by one, beside the questions.
    pub max_concurrent: usize,
    /// How long an answer may take, the reading of the question and the wait included. Who has not taken an answer by then
    /// does not keep others waiting any longer.
    pub timeout: Duration,
    /// How many connections there are at a time. Who comes then waits to be let in.
    pub max_connections: usize,
    /// How long the head of a request may take, from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may be silent before a request.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that is there.
    pub write_timeout: Duration,
    /// How long what was begun has to come to its end once the server is told to stop.
    pub grace: Duration,
    /// What each request has to have, so that others than this machine may ask.
    pub access_token: Option<AccessToken>,
    /// Where pushed profiles go. Without it pushing is unknown here.
    pub push: Option<Memory>,
    /// The data sources whose API is served beside Pyroscope's; without them that API is unknown here.
    #[cfg(feature = "datasource")]
    pub sources: Option<crate::ApiSources>,
    /// Who is told of each request.
    pub access: Option<AccessLog>,
    /// Which server this one passes for, in tests.
    #[doc(hidden)]
    pub guise: Guise,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_range: None,
            max_body_bytes: 4 << 20,
            max_regex_bytes: RegexBudget::DEFAULT,
            max_push_bytes: 32 << 20,
            max_inflated_push_bytes: 32 << 20,
            max_waiting_bytes: 256 << 20,
            max_concurrent: 32,
            timeout: Duration::from_secs(120),
            max_connections: 512,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            access_token: None,
            push: None,
            #[cfg(feature = "datasource")]
            sources: None,
            access: None,
            guise: Guise::V2,
        }
    }
}

impl ServeOptions {
    /// What the regexes of one question may take.
    pub(crate) fn regex_budget(&self) -> RegexBudget {
        RegexBudget::new(self.max_regex_bytes)
    }
}

/// A secret that whoever asks has to know. It is never shown.
///
/// ```
/// use flamesql_server::AccessToken;
///
/// let token = AccessToken::new("hidden").unwrap();
/// assert_eq!(format!("{token:?}"), "AccessToken(...)");
/// assert!(AccessToken::new("").is_none());
/// ```
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// A token; `None` if there is nothing in it.
    pub fn new(token: impl Into<String>) -> Option<Self> {
        Some(token.into()).filter(|token| !token.is_empty()).map(Self)
    }

    /// Whether a header `Authorization` has it: `Bearer TOKEN`, or `Basic` with it as the password of any user.
    pub(crate) fn is_told_by(&self, header: &str) -> bool {
        let Some((scheme, rest)) = header.split_once(' ') else { return false };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(rest.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(pair) = BASE64.decode(rest) else { return false };
        let colon = pair.iter().position(|byte| *byte == b':');
        colon.is_some_and(|colon| self.is(&pair[colon + 1..]))
    }

    /// How long it takes tells nothing of where the two differ.
    fn is(&self, told: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differ = own.iter().zip(told).fold(0, |differ, (a, b)| differ | (a ^ b));
        own.len() == told.len() && differ == 0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(...)")
    }
}

/// A request that was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Access {
    /// Its method.
    pub method: String,
    /// Its path; what stands behind `?` may be long, and is left out.
    pub path: String,
    /// The status of the answer; 499 if whoever asked went away before there was one.
    pub status: u16,
    /// How long it took until the answer began.
    pub elapsed: Duration,
}

/// Whoever is told of each request.
#[derive(Clone)]
pub struct AccessLog(Arc<dyn Fn(&Access) + Send + Sync>);

impl AccessLog {
    /// Calls a function for each request.
    pub fn new(log: impl Fn(&Access) + Send + Sync + 'static) -> Self {
        Self(Arc::new(log))
    }

    pub(crate) fn tell(&self, access: &Access) {
        (self.0)(access);
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_as_bearer_or_as_a_password() {
        let token = AccessToken::new("a:b c").unwrap();
        let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair));
        for header in ["Bearer a:b c", "bearer  a:b c ", &basic("me:a:b c"), &basic(":a:b c")] {
            assert!(token.is_told_by(header), "{header}");
        }
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a:b",
            "Bearer a:b cd",
            "a:b c",
            "Digest a:b c",
            "Basic a:b c",
            &basic("a:b c"),
            &basic("me:a:b"),
        ] {
            assert!(!token.is_told_by(header), "{header}");
        }
    }
}
