//! What stands in the head of each request.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    USER_AGENT,
};

use super::{Body, HttpOptions, Request, Secret};
use crate::{Error, ErrorKind};

/// What the connection settles by itself.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Shorter values of headers are words that a text may have for other reasons.
const MIN_SECRET: usize = 4;

/// The headers of all requests to one server.
#[derive(Clone)]
pub(super) struct Headers {
    ours: HeaderMap,
    /// They stand against all others.
    custom: HeaderMap,
    /// What an answer may repeat and nobody may show.
    secrets: Vec<Secret>,
}

impl Headers {
    /// Those that the options ask for; `user` is from the address.
    pub(super) fn new(
        options: &HttpOptions,
        user: Option<&(String, Secret)>,
    ) -> Result<Self, Error> {
        let mut ours = HeaderMap::new();
        // Without it a server hides labels such as `service.name`. It takes no second value here.
        ours.insert(ACCEPT, HeaderValue::from_static("*/*;allow-utf8-labelnames=true"));
        ours.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let agent = concat!("flamesql/", env!("CARGO_PKG_VERSION"));
        ours.insert(USER_AGENT, HeaderValue::from_static(agent));
        let user = options.basic_auth.as_ref().or(user);
        let pair = user.map(|(name, word)| STANDARD.encode(format!("{name}:{}", word.reveal())));
        let who = match (&options.token, &pair) {
            (Some(_), Some(_)) => {
                let what = "cannot send both a token and a password: a request has room for one";
                return Err(Error::new(ErrorKind::InvalidOptions, what));
            }
            (Some(token), None) => Some((format!("Bearer {}", token.reveal()), "the token")),
            (None, Some(pair)) => Some((format!("Basic {pair}"), "user and password")),
            (None, None) => None,
        };
        if let Some((who, what)) = who {
            ours.insert(AUTHORIZATION, sensitive(&who).ok_or_else(|| refuse(what))?);
        }
        if let Some(tenant) = options.tenant.as_deref().filter(|tenant| !tenant.is_empty()) {
            let value = HeaderValue::from_str(tenant).map_err(|_| refuse("the tenant"))?;
            ours.insert(HeaderName::from_static("x-scope-orgid"), value);
        }
        let mut custom = HeaderMap::new();
        let mut secrets: Vec<Secret> = options.token.iter().cloned().collect();
        secrets.extend(user.map(|(_, word)| word.clone()));
        secrets.extend(pair.map(Secret::new));
        for (name, text) in &options.headers {
            let refuse = |reason: &str| {
                let what = format!("cannot send the header {name:?}: {reason}");
                Error::new(ErrorKind::InvalidOptions, what)
            };
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| refuse("no header can have this name"))?;
            if OF_THE_CONNECTION.contains(&header.as_str()) {
                return Err(refuse("the connection settles it by itself"));
            }
            let value = sensitive(text.reveal())
                .ok_or_else(|| refuse("its value has characters that no header can have"))?;
            custom.insert(header, value);
            secrets.push(text.clone());
            // Of `Bearer ...` an answer may repeat the rest alone.
            secrets.extend(text.reveal().split_once(' ').map(|(_, rest)| Secret::new(rest.trim())));
        }
        // A short one would make nonsense of a text, and hides nothing.
        secrets.retain(|secret| secret.reveal().len() >= MIN_SECRET);
        let secrets = secrets.iter().flat_map(as_written).collect();
        Ok(Self { ours, custom, secrets })
    }

    /// Those of one request.
    pub(super) fn of(&self, request: &Request) -> Result<HeaderMap, Error> {
        let mut all = self.ours.clone();
        if let Body::Post { content_type, .. } = &request.body {
            all.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else {
                let what = format!("cannot {}: a header of its own is malformed", request.what);
                return Err(Error::new(ErrorKind::Internal, what));
            };
            all.insert(name, value);
        }
        for (name, value) in &self.custom {
            all.insert(name.clone(), value.clone());
        }
        Ok(all)
    }

    /// Whether they say who asks.
    pub(super) fn has_credentials(&self) -> bool {
        self.ours.contains_key(AUTHORIZATION) || self.custom.contains_key(AUTHORIZATION)
    }

    /// An answer without secrets.
    pub(super) fn conceal(&self, mut body: Bytes) -> Bytes {
        for secret in &self.secrets {
            let secret = secret.reveal().as_bytes();
            if body.windows(secret.len()).any(|window| window == secret) {
                body = replaced(&body, secret).into();
            }
        }
        body
    }
}

/// A secret as it may stand in an answer: as it is, as a text in JSON, and as one in a text in JSON, each also with the
/// escapes that Go writes for what means something in HTML.
fn as_written(secret: &Secret) -> Vec<Secret> {
    let quoted = |text: &str| {
        let text = serde_json::Value::from(text).to_string();
        text[1..text.len() - 1].to_owned()
    };
    let in_html = |text: &str| {
        let escaped = text.replace('&', "\\u0026").replace('<', "\\u003c");
        escaped.replace('>', "\\u003e")
    };
    let plain = secret.reveal().to_owned();
    let once = [quoted(&plain), in_html(&quoted(&plain))];
    let twice: Vec<String> =
        once.iter().flat_map(|text| [quoted(text), in_html(&quoted(text))]).collect();
    let mut all: Vec<String> = std::iter::once(plain).chain(once).chain(twice).collect();
    // The longest first: another may be a part of it.
    all.sort_by_key(|text| std::cmp::Reverse(text.len()));
    all.dedup();
    all.into_iter().map(Secret::new).collect()
}

fn replaced(bytes: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut left = bytes;
    let mut shown = Vec::with_capacity(bytes.len());
    while let Some(at) = left.windows(secret.len()).position(|window| window == secret) {
        shown.extend_from_slice(&left[..at]);
        shown.extend_from_slice(b"...");
        left = &left[at + secret.len()..];
    }
    shown.extend_from_slice(left);
    shown
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn refuse(what: &str) -> Error {
    let what = format!("cannot send {what}: there are characters in it that no header can have");
    Error::new(ErrorKind::InvalidOptions, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_concealed_however_they_are_written() {
        for secret in ["hunter2&secret", "hun\"ter2", "a\\b<c>d", "plain-word"] {
            let mut options = HttpOptions::default();
            options.headers.push(("X-Key".to_owned(), Secret::new(secret)));
            let headers = Headers::new(&options, None).unwrap();
            let once = serde_json::json!({ "message": format!("bad {secret}!") }).to_string();
            let twice = serde_json::json!({ "message": once }).to_string();
            let go = |text: &str| {
                text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
            };
            let bytes = [&b"\xff bad "[..], secret.as_bytes(), b"!"].concat();
            for body in [
                bytes,
                go(&once).into_bytes(),
                once.clone().into_bytes(),
                twice.clone().into_bytes(),
                go(&twice).into_bytes(),
            ] {
                let shown = headers.conceal(body.clone().into());
                let shown = String::from_utf8_lossy(&shown);
                assert!(shown.contains("bad ...!"), "{secret}: {shown}");
            }
        }
        let mut options = HttpOptions::default();
        options.headers.push(("Authorization".to_owned(), Secret::new("Bearer hunter2secret")));
        let headers = Headers::new(&options, None).unwrap();
        assert_eq!(headers.conceal("no hunter2secret here".into()), "no ... here");
    }

    fn request() -> Request {
        Request {
            what: "ask".to_owned(),
            path: "/".to_owned(),
            headers: vec![("Connect-Protocol-Version", "1")],
            body: Body::Post { content_type: "application/proto", bytes: "x".into() },
            answer: crate::http::Answer::List,
            is_passing: |_| false,
        }
    }

    fn shown(options: &HttpOptions, user: Option<&(String, Secret)>) -> Vec<String> {
        let all = Headers::new(options, user).unwrap().of(&request()).unwrap();
        let show = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut all: Vec<_> = all.iter().map(show).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn ours_are_there_and_custom_ones_stand_against_them() {
        let mut options = HttpOptions::default();
        let agent = concat!("user-agent: flamesql/", env!("CARGO_PKG_VERSION"));
        let usual = [
            "accept-encoding: gzip",
            "accept: */*;allow-utf8-labelnames=true",
            "connect-protocol-version: 1",
            "content-type: application/proto",
            agent,
        ];
        assert_eq!(shown(&options, None), usual);

        let of_url = ("me".to_owned(), Secret::new("word"));
        let basic = |all: &[String], pair: &str| {
            all.iter()
                .any(|line| *line == format!("authorization: Basic {}", STANDARD.encode(pair)))
        };
        assert!(basic(&shown(&options, Some(&of_url)), "me:word"));
        options.basic_auth = Some(("you".to_owned(), Secret::new("w:rd")));
        assert!(basic(&shown(&options, Some(&of_url)), "you:w:rd"));

        options.basic_auth = None;
        options.token = Some(Secret::new("glsa"));
        options.tenant = Some("a|b".to_owned());
        let all = shown(&options, None);
        assert!(all.contains(&"authorization: Bearer glsa".to_owned()), "{all:?}");
        assert!(all.contains(&"x-scope-orgid: a|b".to_owned()), "{all:?}");

        for (name, value) in [
            ("authorization", "Custom 1"),
            ("X-Scope-OrgID", "c"),
            ("ACCEPT", "text/plain"),
            ("Content-Type", "x/y"),
            ("X-New", "first"),
            ("X-New", "last"),
        ] {
            options.headers.push((name.to_owned(), Secret::new(value)));
        }
        let expected = [
            "accept-encoding: gzip",
            "accept: text/plain",
            "authorization: Custom 1",
            "connect-protocol-version: 1",
            "content-type: x/y",
            agent,
            "x-new: last",
            "x-scope-orgid: c",
        ];
        assert_eq!(shown(&options, None), expected);
    }

    #[test]
    fn what_no_header_can_have_is_refused_by_name_alone() {
        let with = |change: fn(&mut HttpOptions)| {
            let mut options = HttpOptions::default();
            change(&mut options);
            let error = Headers::new(&options, None).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidOptions);
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
            error.to_string()
        };
        for (change, part) in [
            (
                (|o: &mut HttpOptions| o.headers.push(("a b".to_owned(), Secret::new("hidden"))))
                    as fn(&mut HttpOptions),
                r#""a b""#,
            ),
            (|o| o.headers.push(("X-A".to_owned(), Secret::new("hidden\n"))), r#""X-A""#),
            (|o| o.headers.push(("Te".to_owned(), Secret::new("hidden"))), "by itself"),
            (|o| o.token = Some(Secret::new("hidden\r\nX: y")), "the token"),
            (|o| o.tenant = Some("a\nb".to_owned()), "the tenant"),
            (
                |o| {
                    o.token = Some(Secret::new("hidden"));
                    o.basic_auth = Some(("a".to_owned(), Secret::new("hidden")));
                },
                "both",
            ),
        ] {
            let message = with(change);
            assert!(message.contains(part), "{message}");
        }
    }
}
