//! One request, one answer: sent, waited for, asked again where that helps.

use std::{
    fmt,
    io::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flamesql_profile::Timestamp;
use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Url,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
        RETRY_AFTER,
    },
    redirect::{Action, Attempt, Policy},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use super::{
    HttpOptions,
    address::{Address, shown},
    again::{backoff, is_passing, retry_after},
    body::{Body as Inflating, MAX_RATIO, Refused},
    headers::Headers,
    proxy::{self, Way},
    reason::{self, Reason, bytes, duration},
    tls,
};
use crate::{Error, ErrorKind, Report};

/// Smaller bodies are sent as they are: gzip would save nothing.
const GZIP_FROM: usize = 1 << 10;
/// How many redirections within the same server are followed.
const MAX_REDIRECTIONS: usize = 5;
/// A wait for requests before this one that is worth to be spoken of.
const A_WAIT: Duration = Duration::from_millis(50);
/// What to do where an answer is too large.
const SMALLER: &str = "ask for a shorter range, for less at a time (--max-range) or for fewer labels, or allow more (--max-answer)";
/// How much of an answer a message quotes.
const MAX_QUOTE: usize = 200;

/// A server, and how to reach it. Cloning gives another handle on the same connections.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    address: Address,
    way: Way,
    client: reqwest::Client,
    headers: Headers,
    options: HttpOptions,
    /// A place for each request that may be under way; `None` if any number may.
    places: Option<Semaphore>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.0.address.base).finish_non_exhaustive()
    }
}

/// What is sent. It only reads, whatever its method: it may be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What it is for, to go on in `cannot <what>: ...`, such as `list the profile types`.
    pub(crate) what: String,
    /// Path and query, behind the base: begins with `/`.
    pub(crate) path: String,
    /// Further headers. With `content-encoding: gzip` the body is packed, if that saves anything.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Body,
    /// What its answer holds.
    pub(crate) answer: Answer,
    /// Whether an answer of status 500 is worth another try, as its status and body tell.
    pub(crate) is_passing: fn(&Response) -> bool,
}

/// What an answer holds, as far as its limit depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Stacks.
    Stacks,
    /// Anything else: series, names, single profiles.
    List,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Nothing: it is a GET.
    None,
    /// It is a POST.
    Post { content_type: &'static str, bytes: Bytes },
}

/// What came back, whatever its status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// Inflated; of an error, without our secrets, should the server repeat them.
    pub(crate) body: Bytes,
    /// What the server says is missing in its answer, as `flamesql serve` does.
    pub(crate) missing: Option<String>,
    /// How often it was asked until this came.
    pub(crate) tries: u32,
}

impl Response {
    /// Its status, and how often it was asked if more than once: `status 503, 4 tries`.
    pub(crate) fn status_and_tries(&self) -> String {
        match self.tries {
            0 | 1 => format!("status {}", self.status),
            tries => format!("status {}, {tries} tries", self.status),
        }
    }
}

/// The header in which `flamesql serve` says what of its source could not be read.
const MISSING: &str = "flamesql-missing";

/// What is known of a try while it is under way.
#[derive(Default)]
struct Progress {
    /// For how long it waited until it could be sent.
    waited: Duration,
    has_head: bool,
    /// Of the body, on the wire.
    received: u64,
    announced: Option<u64>,
    retry_after: Option<Duration>,
}

/// A request as the HTTP client takes it.
struct Prepared {
    url: Url,
    headers: HeaderMap,
    /// With one it is a POST.
    body: Option<Bytes>,
    /// How large its answer may be.
    max: u64,
}

impl Client {
    /// A client for a URL of `http` or `https`. User and password in it are taken as basic authentication, unless the
    /// options have another.
    pub(crate) fn new(url: &str, options: &HttpOptions) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        let headers = Headers::new(options, address.user.as_ref())?;
        let builder = reqwest::Client::builder();
        let (builder, way) = proxy::set_up(builder, &options.proxy, &address)?;
        let tls = tls::config(&options.tls, address.is_https || way.may_be_tls)?;
        let timeouts = &options.timeouts;
        let mut builder = builder
            .tls_backend_preconfigured(tls)
            .redirect(Policy::custom(within_the_server))
            .referer(false)
            .tcp_keepalive(limit(timeouts.keep_alive))
            .http2_keep_alive_interval(limit(timeouts.keep_alive))
            .pool_idle_timeout(limit(timeouts.idle))
            .pool_max_idle_per_host(match timeouts.max_idle {
                0 => usize::MAX,
                max => max,
            });
        if let Some(connect) = limit(timeouts.to_connect(address.is_https)) {
            builder = builder.connect_timeout(connect);
        }
        // What it says of its parts names none of ours, and all of them have been looked at.
        let client = builder.build().map_err(|_| {
            Error::new(ErrorKind::Internal, "set up a client of HTTP: it refuses its options")
        })?;
        let options = options.clone();
        let places = match options.max_concurrent {
            0 => None,
            max => Some(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
        };
        Ok(Self(Arc::new(Inner { address, way, client, headers, options, places })))
    }

    /// Where the server is, without what may be a secret.
    pub(crate) fn base(&self) -> &str {
        &self.0.address.base
    }

    /// Refuses an answer that takes more memory once it is decoded than it may.
    pub(crate) fn check_room(&self, what: &str, answer: Answer, room: u64) -> Result<(), Error> {
        let max = self.0.options.max_of(answer);
        if room <= max {
            return Ok(());
        }
        let text = format!(
            "cannot {what} at {}: decoded, the answer would take {room} bytes, and the limit is {max}",
            self.base()
        );
        Err(Error::new(ErrorKind::Unavailable, text).with_hint(SMALLER))
    }

    /// Sends a request, more than once if a try failed for a reason that may pass, and counts tries and bytes.
    ///
    /// An answer of any status is an answer, except a redirection to another place and a status that asks for more time
    /// than there is. Dropping the future ends the request, on the wire as well.
    pub(crate) async fn send(&self, request: &Request, report: &Report) -> Result<Response, Error> {
        let inner = &*self.0;
        let prepared = inner.prepare(request)?;
        let whole = inner.options.timeouts.request;
        let deadline = limit(whole).and_then(|whole| Instant::now().checked_add(whole));
        let mut before = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut progress = Progress::default();
            let once = inner.once(&prepared, &mut progress, report);
            let mut outcome = match deadline {
                None => once.await,
                Some(deadline) => match timeout_at(deadline, once).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(progress.too_late(whole)),
                },
            };
            let may_pass = match &outcome {
                Ok(response) => {
                    is_passing(response.status)
                        || response.status == 500 && (request.is_passing)(response)
                }
                Err(reason) => reason.may_pass,
            };
            if let Ok(response) = &mut outcome {
                response.tries = tries;
            }
            if !may_pass || tries > inner.options.max_retries {
                return outcome.map_err(|reason| inner.fail(request, reason, tries, before));
            }
            let wait = progress.retry_after.unwrap_or_default().max(backoff(tries));
            if deadline.is_some_and(|at| wait >= at.saturating_duration_since(Instant::now())) {
                if let (Ok(response), Some(asked)) = (&outcome, progress.retry_after) {
                    // To say at once what is wrong is better than to wait in vain.
                    outcome = Err(inner.too_busy(response, asked));
                }
                return outcome.map_err(|reason| inner.fail(request, reason, tries, before));
            }
            before = Some(match outcome {
                Ok(response) => format!("status {}", response.status),
                Err(reason) => reason.text,
            });
            sleep(wait).await;
        }
    }
}

impl Inner {
    fn prepare(&self, request: &Request) -> Result<Prepared, Error> {
        let url = Url::parse(&format!("{}{}", self.address.base, request.path)).map_err(|_| {
            let what = format!("cannot {}: its path is malformed", request.what);
            Error::new(ErrorKind::Internal, what)
        })?;
        let mut headers = self.headers.of(request)?;
        let body = match &request.body {
            Body::None => None,
            Body::Post { bytes, .. } if headers.contains_key(CONTENT_ENCODING) => {
                if bytes.len() >= GZIP_FROM {
                    Some(gzip(bytes))
                } else {
                    headers.remove(CONTENT_ENCODING);
                    Some(bytes.clone())
                }
            }
            Body::Post { bytes, .. } => Some(bytes.clone()),
        };
        if body.as_ref().is_some_and(Bytes::is_empty) {
            // It is left out of an empty one, and some servers insist on it.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Prepared { url, headers, body, max: self.options.max_of(request.answer) })
    }

    /// One try.
    async fn once(
        &self,
        prepared: &Prepared,
        progress: &mut Progress,
        report: &Report,
    ) -> Result<Response, Reason> {
        let _place = match &self.places {
            None => None,
            Some(places) => {
                let start = Instant::now();
                let place = places.acquire().await.expect("it is never closed");
                progress.waited = start.elapsed();
                Some(place)
            }
        };
        report.add_requests(1);
        let url = prepared.url.clone();
        let builder = match &prepared.body {
            None => self.client.get(url),
            Some(bytes) => self.client.post(url).body(bytes.clone()),
        };
        let sent = builder.headers(prepared.headers.clone()).send().await;
        let mut answer = sent.map_err(|error| {
            let connect = self.options.timeouts.to_connect(self.address.is_https);
            reason::of_head(&error, &self.address, &self.way, connect)
        })?;
        progress.has_head = true;
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let (300..400, Some(location)) = (status, header(LOCATION)) {
            return Err(self.redirected(status, answer.url().join(location).ok().as_ref()));
        }
        progress.retry_after = header(RETRY_AFTER).and_then(|value| retry_after(value, now()));
        progress.announced = header(CONTENT_LENGTH).and_then(|value| value.parse().ok());
        let max = prepared.max;
        if progress.announced.is_some_and(|announced| announced > max) {
            return Err(too_large(max));
        }
        let is_gzip = match header(CONTENT_ENCODING).unwrap_or("identity") {
            "" | "identity" => false,
            "gzip" | "x-gzip" => true,
            other => {
                return Err(Reason::new(format!("it answers in {other:?}, asked for gzip")));
            }
        };
        let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let missing = answer.headers().get(MISSING).map(|value| {
            let text = self.headers.conceal(Bytes::copy_from_slice(value.as_bytes()));
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut body = Inflating::new(is_gzip, progress.announced, max);
        let refused = |refused| {
            match refused {
            Refused::TooLarge => too_large(max),
            Refused::Bomb => Reason::new(format!(
                "the answer inflates to more than {MAX_RATIO} times its size, the limit of what is packed"
            ))
            .with_hint("is it that of the server itself? ask for a shorter range otherwise"),
            Refused::Damaged => Reason::new("the answer is damaged: it is no whole gzip"),
        }
        };
        loop {
            let chunk = answer.chunk().await;
            let broken = |_| reason::of_rest(progress.received, progress.announced);
            let Some(chunk) = chunk.map_err(broken)? else { break };
            progress.received += chunk.len() as u64;
            report.add_bytes(chunk.len() as u64);
            if progress.received > max {
                return Err(too_large(max));
            }
            body.push(&chunk).map_err(refused)?;
        }
        let mut body = body.finish().map_err(refused)?;
        if status >= 400 {
            // It is quoted, and may repeat what it was sent.
            body = self.headers.conceal(body);
        }
        Ok(Response { status, content_type, body, missing, tries: 1 })
    }

    /// A redirection is not followed to another place: whoever is there is not to have what was meant for this server.
    fn redirected(&self, status: u16, to: Option<&Url>) -> Reason {
        let place = to.map_or_else(|| "nowhere".to_owned(), shown);
        let place = self.headers.conceal(place.into());
        let place = String::from_utf8_lossy(&place);
        let text = format!("it answers {status} and sends to {place}");
        if to.is_some_and(is_login) {
            let hint = if self.headers.has_credentials() {
                "are the credentials right, and is it the address of the server itself?"
            } else {
                "give a token, or user and password"
            };
            return Reason::new(format!("{text}, which is a login"))
                .with_kind(ErrorKind::Unauthorized)
                .with_hint(hint);
        }
        Reason::new(text).with_kind(ErrorKind::NotFound).with_hint("is that the address to take?")
    }

    fn too_busy(&self, response: &Response, asked: Duration) -> Reason {
        let text = String::from_utf8_lossy(&response.body);
        let is_quoted = !response.content_type.contains("html") && !text.trim().is_empty();
        let quote = if is_quoted {
            let line: Vec<&str> = text.split_whitespace().collect();
            format!(": {}", line.join(" ").chars().take(MAX_QUOTE).collect::<String>())
        } else {
            String::new()
        };
        Reason::new(format!(
            "it answers {} and asks to wait {}, longer than is left of {}{quote}",
            response.status,
            duration(asked),
            duration(self.options.timeouts.request),
        ))
    }

    fn fail(&self, request: &Request, reason: Reason, tries: u32, before: Option<String>) -> Error {
        let mut what = format!("cannot {} at {}: {}", request.what, self.address.base, reason.text);
        match before {
            Some(before) if before != reason.text => {
                what.push_str(&format!(" ({tries} tries; before: {before})"));
            }
            Some(_) => what.push_str(&format!(" ({tries} tries)")),
            None => {}
        }
        let error = Error::new(reason.kind, what);
        match reason.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl Progress {
    fn too_late(&self, whole: Duration) -> Reason {
        let whole = duration(whole);
        let text = if self.has_head {
            let bytes = bytes(self.received, self.announced);
            format!("the answer is not complete within {whole}: {bytes} came")
        } else if self.waited > A_WAIT {
            let waited = duration(self.waited);
            format!("no answer within {whole}, of which it waited {waited} for others of ours")
        } else {
            format!("no answer within {whole}")
        };
        Reason::new(text)
            .with_hint("give it more time (--timeout, timeout), or ask for a shorter range")
    }
}

impl HttpOptions {
    fn max_of(&self, answer: Answer) -> u64 {
        match answer {
            Answer::Stacks => self.max_answer_bytes,
            Answer::List => self.max_answer_bytes.min(self.max_list_bytes),
        }
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail").into()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Zero is no limit, as in Grafana.
fn limit(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

fn too_large(max: u64) -> Reason {
    Reason::new(format!("the answer is larger than the limit of {max} bytes")).with_hint(SMALLER)
}

/// Follows what keeps the request as it is, within the same server.
fn within_the_server(attempt: Attempt<'_>) -> Action {
    let previous = attempt.previous();
    let is_same = previous.last().is_some_and(|last| last.origin() == attempt.url().origin());
    let keeps = matches!(attempt.status().as_u16(), 307 | 308);
    if is_same && keeps && previous.len() <= MAX_REDIRECTIONS && !is_login(attempt.url()) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn is_login(url: &Url) -> bool {
    let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let place = place.to_ascii_lowercase();
    ["login", "signin", "sign-in", "sign_in", "oauth", "/auth", "sso.", "/sso", "saml"]
        .iter()
        .any(|word| place.contains(word))
}
