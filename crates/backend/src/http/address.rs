//! Where a server is, taken apart: what may be shown, and who asks.

use reqwest::Url;

use super::Secret;
use crate::{Error, ErrorKind};

/// The address of a server.
#[derive(Debug)]
pub(super) struct Address {
    /// Scheme, host, port and path without a `/` at its end: nothing that is secret.
    pub(super) base: String,
    pub(super) host: String,
    pub(super) is_https: bool,
    /// User and password, where the address has them.
    pub(super) user: Option<(String, Secret)>,
}

impl Address {
    /// Takes the URL of a server apart.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| {
            // A text that is not understood may have its secrets anywhere.
            let shown =
                if text.contains(['@', '?', '#']) { String::new() } else { format!(" {text:?}") };
            Error::new(
                ErrorKind::InvalidOptions,
                format!("cannot take{shown} as the address of a server: {reason}"),
            )
            .with_hint(
                "an address is like http://localhost:4040 or https://user:password@host/path",
            )
        };
        let mut url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("it begins neither with http:// nor with https://"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a part behind ? or #"));
        }
        if url.path().contains('@') {
            // What stands before it is the end of a password then, which no message may show.
            return Err(refuse("there is an @ in its path; in a password / is %2F and @ is %40"));
        }
        let user = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let password = url.password().map(percent_decode).unwrap_or_default();
            (percent_decode(url.username()), Secret::new(password))
        });
        strip_user(&mut url);
        let host = url.host_str().unwrap_or_default().to_owned();
        let is_https = url.scheme() == "https";
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), host, is_https, user })
    }

    /// Whether the server is on this machine, as its name tells: no proxy leads there.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// The address of a server as it may be shown, without user and password; it is not asked.
///
/// ```
/// use flamesql_backend::server_address;
///
/// assert_eq!(server_address("HTTPS://me:hidden@Host:443/path/")?, "https://host/path");
/// assert!(server_address("localhost:4040").is_err());
/// # Ok::<(), flamesql_backend::Error>(())
/// ```
///
/// # Errors
///
/// If it is no URL of `http` or `https`; it is quoted only where it has no secrets.
pub fn server_address(url: &str) -> Result<String, Error> {
    Address::parse(url).map(|address| address.base)
}

/// A URL as it may be shown: without user, password, query and fragment.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    strip_user(&mut url);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn strip_user(url: &mut Url) {
    // They fail only where there can be no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |i: usize| bytes.get(at + i).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, base, user) in [
            ("http://localhost:4040", "http://localhost:4040", None),
            ("HTTP://Host:80/", "http://host", None),
            ("https://h/a/b/", "https://h/a/b", None),
            ("http://[::1]:4040/", "http://[::1]:4040", None),
            ("https://a:b@h", "https://h", Some(("a", "b"))),
            ("https://a%40x:b%2F%3a%zz@h:1/p", "https://h:1/p", Some(("a@x", "b/:%zz"))),
            ("https://a@h", "https://h", Some(("a", ""))),
            ("https://:b@h", "https://h", Some(("", "b"))),
        ] {
            let address = Address::parse(text).unwrap();
            let found = address.user.as_ref().map(|(name, word)| (name.as_str(), word.reveal()));
            assert_eq!((address.base.as_str(), found), (base, user), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for text in [
            "",
            "localhost:4040",
            "ftp://host",
            "http://",
            "http://host:99999",
            "https://user:hidden@host:port",
            "https://user:hid/den@host",
            "https://user:12/den@host",
            "https://user:hidden@host/?token=hidden",
            "https://host/#hidden",
            "user:hidden@host",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{text}");
            let message = format!("{error} {error:?}");
            assert!(!message.contains("hid") && !message.contains("den"), "{message}");
        }
        let error = Address::parse("localhost:4040").unwrap_err().to_string();
        assert!(error.contains(r#""localhost:4040""#), "{error}");
    }

    #[test]
    fn this_machine_is_known() {
        for (text, is_loopback) in [
            ("http://localhost", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]", true),
            ("http://localhost.test", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_loopback(), is_loopback, "{text}");
        }
    }
}
