//! The settings of a data source, typed: where it is, who asks, how finely, and what kind of source it is said to be.
//!
//! Nothing is passed over in silence: a value of the wrong type is an error that names its key, where Grafana takes a
//! default. A wrong `minStep` alone is kept as an error, since flame graphs have no step and work without.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use flamesql_backend::{HttpOptions, Notice, PyroscopeOptions, Secret, server_address};
use flamesql_profile::Timestamp;
use serde_json::{Map, Value};

use crate::{BackendType, Error, InstanceSettings, MinStep};

/// No time in settings is longer, in seconds: some thirty years.
const MAX_SECONDS: f64 = 1e9;
/// More headers are not looked for.
const MAX_HEADERS: usize = 1000;
/// How many idle connections Go keeps to one host where 0 is said.
const GO_IDLE_PER_HOST: usize = 2;
/// How much of a value a message quotes.
const MAX_QUOTE: usize = 100;

/// The settings of one data source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// What tells it from others.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Where the profiles are.
    pub origin: Origin,
    /// What kind of source it is said to be; `None` has it found out.
    pub backend_type: Option<BackendType>,
    /// The smallest step of time series, or why there is none.
    pub min_step: Result<MinStep, Error>,
    /// How a server is reached, and as whom.
    pub http: HttpOptions,
    /// Cookies to be handed on, by name.
    pub keep_cookies: Vec<String>,
    /// Whether who asks Grafana is who asks the server.
    pub forwards_identity: bool,
    /// When they were changed.
    pub updated: Option<Timestamp>,
    /// What is set and has no effect.
    pub notices: Vec<Notice>,
}

/// Where profiles are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// At a server.
    Server(ServerUrl),
    /// In a file or a folder.
    Files(PathBuf),
    /// In a source that the program has opened already ([`DataSource::over`](crate::DataSource::over)).
    Here,
}

impl fmt::Display for Origin {
    /// The address, without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(url) => url.fmt(f),
            Self::Files(path) => write!(f, "file://{}", path.display()),
            Self::Here => f.write_str("within the program"),
        }
    }
}

/// Which origins settings may name. Who writes the settings of a data source in Grafana may not read the files of the
/// machine for it, but who writes provisioning files may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Servers only.
    Servers,
    /// Files as well: `file:///path`.
    Files,
}

/// The URL of a server. Only what is no secret of it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    whole: Secret,
    shown: String,
}

impl ServerUrl {
    /// Reads a URL of `http` or `https`.
    ///
    /// # Errors
    ///
    /// If it is none; the message quotes it only where it has no secrets.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let shown = server_address(url)?;
        Ok(Self { whole: Secret::new(url), shown })
    }

    /// The URL with user and password, if it has them.
    pub fn reveal(&self) -> &str {
        self.whole.reveal()
    }

    /// Scheme, host and port, and nothing else.
    pub(crate) fn origin(&self) -> &str {
        let host = self.shown.find("://").map_or(0, |at| at + 3);
        let end = self.shown[host..].find('/').map_or(self.shown.len(), |at| host + at);
        &self.shown[..end]
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown)
    }
}

impl Settings {
    /// Makes sense of what Grafana says of a data source.
    ///
    /// # Errors
    ///
    /// At the first setting that makes none, by its key ([`Error::key`]).
    pub fn read(instance: &InstanceSettings, allow: Allow) -> Result<Self, Error> {
        let json = JsonData::read(&instance.json_data)?;
        let secrets = &instance.decrypted_secure_json_data;
        let mut notices = Vec::new();
        let backend_type = match json.text("backendType")?.as_deref() {
            None | Some("") => None,
            Some(name) => Some(BackendType::named(name).ok_or_else(|| {
                json.refuse("backendType", &format!("one of {}", BackendType::names()))
            })?),
        };
        let origin = origin(&instance.url, backend_type, allow)?;
        let min_step = match json.text("minStep") {
            Ok(None) => Ok(MinStep::default()),
            Ok(Some(text)) if text.is_empty() => Ok(MinStep::default()),
            Ok(Some(text)) => MinStep::parse(&text)
                .map_err(|why| Error::of_key("jsonData.minStep", format_args!("of {why}"))),
            Err(error) => Err(error),
        };
        let mut http = HttpOptions::default();
        http.basic_auth = basic_auth(instance)?;
        tls(&mut http, &json, secrets, &mut notices)?;
        limits(&mut http, &json)?;
        http.headers = headers(&json, secrets, &mut notices)?;
        for key in ["enableSecureSocksProxy", "sigV4Auth"] {
            if json.flag(key)? {
                notices.push(notice(key, "is not known here: requests go out without it"));
            }
        }
        Ok(Self {
            uid: instance.uid.clone(),
            name: instance.name.clone(),
            origin,
            backend_type,
            min_step,
            http,
            keep_cookies: json.texts("keepCookies")?,
            forwards_identity: json.flag("oauthPassThru")?,
            updated: instance.updated,
            notices,
        })
    }

    /// Those of a source that is open already.
    pub(crate) fn here(uid: &str, name: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            name: name.to_owned(),
            origin: Origin::Here,
            backend_type: None,
            min_step: Ok(MinStep::default()),
            http: HttpOptions::default(),
            keep_cookies: Vec::new(),
            forwards_identity: false,
            updated: None,
            notices: Vec::new(),
        }
    }

    /// How a server is asked.
    pub fn options(&self) -> PyroscopeOptions {
        let mut options = PyroscopeOptions::default();
        options.http = self.http.clone();
        options
    }
}

fn notice(key: &str, reason: &str) -> Notice {
    Notice { subject: format!("jsonData.{key}"), reason: reason.to_owned(), is_missing: false }
}

/// Where the profiles are. A URL is quoted only where [`ServerUrl::parse`] would.
fn origin(url: &str, kind: Option<BackendType>, allow: Allow) -> Result<Origin, Error> {
    let url = url.trim();
    let refuse = |what: &str| Err(Error::of_key("url", what));
    let is_files = kind == Some(BackendType::Files);
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    if !scheme.eq_ignore_ascii_case("file") {
        if is_files {
            return refuse(
                "leads to no file: jsonData.backendType is \"files\", which is for file:///path",
            );
        }
        if url.is_empty() {
            return refuse(
                "is missing: it is the address of a server, such as http://localhost:4040",
            );
        }
        let parsed = ServerUrl::parse(url);
        return parsed.map(Origin::Server).map_err(|error| {
            let hint = error.hint().unwrap_or_default().to_owned();
            Error::of_key("url", format_args!("is no address of a server: {error}")).with_hint(hint)
        });
    }
    if allow != Allow::Files {
        return refuse("is that of files, which only a provisioning file may name");
    }
    if let Some(kind) = kind.filter(|_| !is_files) {
        return refuse(&format!("leads to files, and jsonData.backendType is {:?}", kind.as_str()));
    }
    let rest = url[scheme.len() + 1..].strip_prefix("//").unwrap_or_default();
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return refuse(&format!(
            "{:?} names no path from the root: it is file:///path",
            quoted(url)
        ));
    }
    let bytes = percent_decoded(path);
    let path = String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'));
    match path {
        Some(path) => Ok(Origin::Files(path.into())),
        None => refuse(&format!("{:?} names no path: it is not UTF-8, or has a zero", quoted(url))),
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// User and password. A `user` without basic authentication is one as well: settings of long ago have it.
fn basic_auth(instance: &InstanceSettings) -> Result<Option<(String, Secret)>, Error> {
    let (user, key, of) = if instance.basic_auth_enabled {
        (&instance.basic_auth_user, "basicAuthPassword", "basicAuth")
    } else if !instance.user.is_empty() {
        (&instance.user, "password", "user")
    } else {
        return Ok(None);
    };
    let secrets = &instance.decrypted_secure_json_data;
    let password = secrets.get(key).ok_or_else(|| missing(key, of))?;
    Ok(Some((user.clone(), password.clone())))
}

fn missing(key: &str, of: &str) -> Error {
    Error::of_key(&format!("secureJsonData.{key}"), format_args!("is missing, and {of} is set"))
}

/// Certificates and names count only where one of the two switches for them is on, as in Grafana.
fn tls(
    http: &mut HttpOptions,
    json: &JsonData,
    secrets: &BTreeMap<String, Secret>,
    notices: &mut Vec<Notice>,
) -> Result<(), Error> {
    let secret = |key: &str| secrets.get(key).filter(|secret| !secret.reveal().is_empty());
    let is_client = json.flag("tlsAuth")?;
    let has_ca = json.flag("tlsAuthWithCACert")?;
    let server_name = json.text("serverName")?.filter(|name| !name.is_empty());
    http.tls.skip_verify = json.flag("tlsSkipVerify")?;
    if !is_client && !has_ca {
        if server_name.is_some() {
            let reason = "counts only with tlsAuth or tlsAuthWithCACert";
            notices.push(notice("serverName", reason));
        }
        return Ok(());
    }
    let ca = secret("tlsCACert");
    if has_ca && ca.is_none() {
        return Err(missing("tlsCACert", "tlsAuthWithCACert"));
    }
    http.tls.ca_certificate = ca.map(|ca| ca.reveal().to_owned());
    http.tls.client_certificate = match (secret("tlsClientCert"), secret("tlsClientKey")) {
        (Some(certificate), Some(key)) => Some((certificate.reveal().to_owned(), key.clone())),
        (None, None) if !is_client => None,
        (None, None) => return Err(missing("tlsClientCert", "tlsAuth")),
        (None, Some(_)) => return Err(missing("tlsClientCert", "tlsClientKey")),
        (Some(_), None) => return Err(missing("tlsClientKey", "tlsClientCert")),
    };
    http.tls.server_name = server_name;
    Ok(())
}

/// Times in seconds and numbers of connections; 0 is no limit.
fn limits(http: &mut HttpOptions, json: &JsonData) -> Result<(), Error> {
    let times = &mut http.timeouts;
    for (key, time) in [
        ("timeout", &mut times.request),
        ("dialTimeout", &mut times.connect),
        ("httpTLSHandshakeTimeout", &mut times.tls_handshake),
        ("httpIdleConnTimeout", &mut times.idle),
        ("httpKeepAlive", &mut times.keep_alive),
    ] {
        if let Some(set) = json.seconds(key)? {
            *time = set;
        }
    }
    // Nothing is sent that a server would have to expect: what is looked at is the type alone.
    json.seconds("httpExpectContinueTimeout")?;
    // All connections go to one host, so that the smaller of both limits counts.
    let of_all = json.number("httpMaxIdleConns")?;
    let of_host = json.number("httpMaxIdleConnsPerHost")?.map(|max| match max {
        0 => GO_IDLE_PER_HOST,
        max => max,
    });
    if let Some(max) = of_all.filter(|max| *max > 0).into_iter().chain(of_host).min() {
        times.max_idle = max;
    }
    if let Some(max) = json.number("httpMaxConnsPerHost")? {
        http.max_concurrent = max;
    }
    Ok(())
}

/// Headers by number, up to the first number that has no name. One without a value is passed over, as in Grafana.
fn headers(
    json: &JsonData,
    secrets: &BTreeMap<String, Secret>,
    notices: &mut Vec<Notice>,
) -> Result<Vec<(String, Secret)>, Error> {
    let mut headers = Vec::new();
    for n in 1..=MAX_HEADERS {
        let key = format!("httpHeaderName{n}");
        let Some(name) = json.text(&key)? else { break };
        match secrets.get(&format!("httpHeaderValue{n}")) {
            Some(value) => headers.push((name, value.clone())),
            None => {
                let reason = format!(
                    "is {:?}, and secureJsonData.httpHeaderValue{n} is missing: it is not sent",
                    quoted(&name)
                );
                notices.push(notice(&key, &reason));
            }
        }
    }
    Ok(headers)
}

/// What a data source has of settings of its own.
struct JsonData(Map<String, Value>);

impl JsonData {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Null) => Ok(Self(Map::new())),
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(other) => {
                Err(Error::of_key("jsonData", format_args!("is {}, not an object", kind(&other))))
            }
            Err(error) => Err(Error::of_key("jsonData", format_args!("is no JSON: {error}"))),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn refuse(&self, key: &str, expected: &str) -> Error {
        let found = self.get(key).unwrap_or(&Value::Null);
        let what = format!("is {}, and has to be {expected}", kind(found));
        Error::of_key(&format!("jsonData.{key}"), what)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.refuse(key, "a text")),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        let refuse = || self.refuse(key, "a list of texts");
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(texts)) => {
                let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or_else(refuse)
            }
            Some(_) => Err(refuse()),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.refuse(key, "true or false")),
        }
    }

    fn seconds(&self, key: &str) -> Result<Option<Duration>, Error> {
        let refuse = || self.refuse(key, "a number of seconds from 0 to 10^9");
        match self.get(key) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_f64().ok_or_else(refuse)?;
                match (0.0..=MAX_SECONDS).contains(&seconds) {
                    true => Ok(Some(Duration::from_secs_f64(seconds))),
                    false => Err(refuse()),
                }
            }
        }
    }

    fn number(&self, key: &str) -> Result<Option<usize>, Error> {
        let refuse = || self.refuse(key, "a whole number, 0 or above");
        match self.get(key) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_u64().or_else(|| whole(value.as_f64()?));
                number.and_then(|n| usize::try_from(n).ok()).map(Some).ok_or_else(refuse)
            }
        }
    }
}

/// JavaScript writes whole numbers with a point now and then.
fn whole(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..1e15).contains(&number);
    is_whole.then_some(number as u64)
}

/// A value as a message names it.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The beginning of a text.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
