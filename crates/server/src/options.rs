//! How much a server takes upon itself.

use std::{fmt, sync::Arc, time::Duration};

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
