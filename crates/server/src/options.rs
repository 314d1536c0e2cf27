//! How much a server takes upon itself.

use std::{fmt, sync::Arc, time::Duration};

use flamesql_backend::Memory;
use flamesql_profile::Step;

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
    /// The largest body that profiles are pushed in, inflated.
    pub max_push_bytes: usize,
    /// How many questions are answered at a time; the others wait. A large answer counts until its client has taken it.
    pub max_concurrent: usize,
    /// How long an answer may take, the wait and the reading of the question included. Who has not taken an answer by
    /// then does not keep others waiting any longer.
    pub timeout: Duration,
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
            max_push_bytes: 32 << 20,
            max_concurrent: 32,
            timeout: Duration::from_secs(120),
            push: None,
            #[cfg(feature = "datasource")]
            sources: None,
            access: None,
            guise: Guise::V2,
        }
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
    /// The status of the answer.
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
