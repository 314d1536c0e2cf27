//! Which server it is, and with that what it honours, ignores and lacks.
//!
//! Servers differ without saying so: a choice that one honours another passes over, and answers with everything. So
//! nothing is sent that this generation was not seen to honour. It is judged by what a server answers, once, when the
//! source is opened.

use std::fmt;

use bytes::Bytes;
use flamesql_profile::Step;
use futures::future;
use serde::Deserialize;

use super::rpc::{fault, shown_type};
use crate::{
    Error, ErrorKind, Report,
    http::{Answer, Body, Client, Request, Response},
};

/// A generation of servers that behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Generation {
    /// Pyroscope that reads from storage v2, or from both storages: 2.x, and 1.x where it was set up so.
    V2,
    /// Pyroscope that reads from storage v1 and tells its features: 1.14 and later.
    V1,
    /// Pyroscope 1.5 to 1.13.
    V1Before14,
    /// Phlare, or Pyroscope before 1.5, which knows no more.
    Phlare,
}

impl Generation {
    /// The finest time that it can be exact at. Storage v1 takes steps of whole seconds only.
    pub fn grain(self) -> Step {
        let nanos = if self == Self::V2 { 1_000_000 } else { 1_000_000_000 };
        Step::from_nanos(nanos).expect("it is above 0")
    }

    /// The kind of source, in one word.
    pub fn kind(self) -> &'static str {
        if self == Self::Phlare { "phlare" } else { "pyroscope" }
    }

    /// Whether names of labels may stand in quotes in a selector, as those with a dot must.
    pub(super) fn reads_quoted_names(self) -> bool {
        matches!(self, Self::V2 | Self::V1)
    }

    /// Whether questions for names and labels have a range. Without one a server looks at what came last only.
    pub fn lists_by_range(self) -> bool {
        self != Self::Phlare
    }

    /// Whether labels whose names must stand in quotes are in its lists of names and label sets. Storage v1 has them,
    /// and finds what is asked for by them, but shows them to nobody; what is older has no such names.
    pub fn lists_quoted_names(self) -> bool {
        self != Self::V1
    }

    /// Whether stacks can be had as a tree, which is smaller and quicker than a flame graph. Servers that do not know it
    /// answer with a flame graph all the same.
    pub(super) fn knows_trees(self) -> bool {
        self != Self::Phlare
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "Pyroscope, storage v2",
            Self::V1 => "Pyroscope, storage v1",
            Self::V1Before14 => "Pyroscope before 1.14, storage v1",
            Self::Phlare => "Phlare, or Pyroscope before 1.5",
        })
    }
}

const FLAGS: &str = "/capabilities.v1.FeatureFlagsService/GetFeatureFlags";
const STATS: &str = "/querier.v1.QuerierService/GetProfileStats";
const TYPES: &str = "/querier.v1.QuerierService/ProfileTypes";
const BUILD: &str = "/api/v1/status/buildinfo";
const WHAT: &str = "find out what server this is";

/// Asks a server what it is: the generation, and the version if it tells one.
pub(super) async fn probe(client: &Client) -> Result<(Generation, Option<String>), Error> {
    let report = Report::new();
    let request = |path: &str, body| Request {
        what: WHAT.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body,
        answer: Answer::List,
        is_passing: |_| true,
    };
    let post = |content_type, bytes: &'static [u8]| Body::Post {
        content_type,
        bytes: Bytes::from_static(bytes),
    };
    let flags = request(FLAGS, post("application/json", b"{}"));
    let build = request(BUILD, Body::None);
    let (flags, build) =
        future::join(client.send(&flags, &report), client.send(&build, &report)).await;
    let flags = flags?;
    // The version is good to know and no more.
    let version = build.ok().and_then(|build| version(&build));
    if let Some(generation) = by_flags(client.base(), &flags)? {
        return Ok((generation, version));
    }
    // An older server, or none at all: one that has this method refuses to be asked by GET.
    let types = client.send(&request(TYPES, Body::None), &report).await?;
    if types.status != 405 {
        return Err(no_server(client.base(), &types));
    }
    let stats = request(STATS, post("application/proto", b""));
    let stats = client.send(&stats, &report).await?;
    Ok((by_stats(client.base(), &stats, version.as_deref())?, version))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flags {
    feature_flags: Vec<Flag>,
}

#[derive(Deserialize)]
struct Flag {
    name: String,
    #[serde(default)]
    enabled: bool,
}

/// What the features of a server say; `None` where it has no such method.
fn by_flags(base: &str, response: &Response) -> Result<Option<Generation>, Error> {
    match response.status {
        200 => {}
        404 | 405 | 501 => return Ok(None),
        _ => return Err(fault(WHAT, base, response)),
    }
    let flags: Flags =
        serde_json::from_slice(&response.body).map_err(|_| no_server(base, response))?;
    let is_v2 =
        flags.feature_flags.iter().any(|flag| flag.name == "v2StorageLayer" && flag.enabled);
    Ok(Some(if is_v2 { Generation::V2 } else { Generation::V1 }))
}

/// What a server without features is.
fn by_stats(base: &str, response: &Response, version: Option<&str>) -> Result<Generation, Error> {
    match response.status {
        200 => Ok(Generation::V1Before14),
        404 | 405 | 501 => {
            // Releases of Pyroscope say which they are; Phlare's versions begin with 0.
            let is_pyroscope = version.is_some_and(|v| v.trim_start_matches('v').starts_with("1."));
            let is_5_or_later = version.and_then(minor).is_some_and(|minor| minor >= 5);
            Ok(match is_pyroscope && is_5_or_later {
                true => Generation::V1Before14,
                false => Generation::Phlare,
            })
        }
        _ => Err(fault(WHAT, base, response)),
    }
}

fn minor(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').nth(1)?.parse().ok()
}

fn version(response: &Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Build {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        version: String,
    }
    let build: Build = serde_json::from_slice(&response.body).ok()?;
    Some(build.data.version).filter(|version| !version.is_empty())
}

fn no_server(base: &str, response: &Response) -> Error {
    if matches!(response.status, 401 | 403) {
        return fault(WHAT, base, response);
    }
    let what = format!(
        "{base} is no Pyroscope or Phlare server: it answers with status {} and {}",
        response.status,
        shown_type(&response.content_type)
    );
    Error::new(ErrorKind::NotFound, what).with_hint(
        "check host, port and path: Pyroscope listens on 4040, Phlare on 4100 by default",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, body: body.to_owned().into(), ..Response::default() }
    }

    #[test]
    fn a_server_is_judged_by_what_it_answers() {
        let flags = |enabled: &str| {
            answer(200, &format!(r#"{{"featureFlags":[{{"name":"v2StorageLayer"{enabled}}}]}}"#))
        };
        let of = |response: &Response| by_flags("http://s", response);
        assert_eq!(of(&flags(r#","enabled":true"#)).unwrap(), Some(Generation::V2));
        assert_eq!(of(&flags(r#","enabled":false"#)).unwrap(), Some(Generation::V1));
        assert_eq!(of(&flags("")).unwrap(), Some(Generation::V1));
        assert_eq!(of(&answer(404, "404 page not found")).unwrap(), None);
        // A page says 200 to everything.
        assert_eq!(of(&answer(200, "<html>")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(of(&answer(401, "")).unwrap_err().kind(), ErrorKind::Unauthorized);
        assert_eq!(of(&answer(500, "")).unwrap_err().kind(), ErrorKind::Unavailable);

        let of = |status, version| by_stats("http://s", &answer(status, ""), version).unwrap();
        assert_eq!(of(200, None), Generation::V1Before14);
        assert_eq!(of(404, None), Generation::Phlare);
        assert_eq!(of(404, Some("0.6.1")), Generation::Phlare);
        assert_eq!(of(404, Some("1.2.0")), Generation::Phlare);
        assert_eq!(of(404, Some("1.13.1")), Generation::V1Before14);
    }
}
