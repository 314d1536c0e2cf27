//! A server that plays back what a real one said: it knows the questions of one recording, and who asks another one fails
//! his test.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::faulty::{Faulty, Seen, Step, answer};

/// What a question asks for, by name: for two questions to be the same these have to be, and method and path.
pub(crate) type Fields = BTreeMap<String, String>;

/// A question as it goes over the wire.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    /// Without the query.
    pub(crate) path: &'a str,
    /// What stands behind `?`, as it stands there.
    pub(crate) query: &'a str,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Inflated.
    pub(crate) body: Vec<u8>,
}

/// Takes a question apart. What it leaves out tells no question from another.
pub(crate) type FieldsOf = fn(&Call<'_>) -> Fields;

/// The parameters of a GET, decoded.
pub(crate) fn query_fields(call: &Call<'_>) -> Fields {
    let pairs = call.query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

/// `%` with two digits and `+` for a blank, as in the query of a URL.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, tail @ ..]) => {
                rest = tail;
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                u8::from_str_radix(digits, 16).unwrap()
            }
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// A question and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// What is asked, in words.
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: Fields,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What one server said.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// When the shop opened, in seconds.
    pub(crate) t0: i64,
    pub(crate) exchanges: Vec<Exchange>,
    fields_of: FieldsOf,
}

impl Recording {
    /// Reads `recorded/NAME.json`.
    pub(crate) fn read(name: &str, fields_of: FieldsOf) -> Self {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests", "recorded", &format!("{name}.json")]
                .iter()
                .collect();
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: Value = serde_json::from_str(&text).unwrap();
        let exchanges = file["exchanges"].as_array().unwrap();
        Self {
            t0: file["t0_unix_seconds"].as_i64().unwrap(),
            exchanges: exchanges.iter().map(|exchange| read(exchange, fields_of)).collect(),
            fields_of,
        }
    }

    /// The exchange of a name.
    pub(crate) fn exchange(&self, name: &str) -> &Exchange {
        self.exchanges
            .iter()
            .find(|exchange| exchange.name == name)
            .unwrap_or_else(|| panic!("there is no exchange {name:?}"))
    }

    /// A server that knows these questions.
    pub(crate) async fn play(self) -> Replay {
        let log = Arc::new(Log::default());
        let of_server = Arc::clone(&log);
        let server = Faulty::start(move |_, seen| vec![Step::Send(self.reply(seen, &of_server))]);
        Replay { server: server.await, log }
    }

    fn reply(&self, seen: &Seen, log: &Log) -> Vec<u8> {
        let mut words = seen.head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let lines = seen.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let body = match headers.get("content-encoding").map(String::as_str) {
            Some("gzip") => {
                let mut inflated = Vec::new();
                MultiGzDecoder::new(&*seen.body).read_to_end(&mut inflated).unwrap();
                inflated
            }
            _ => seen.body.clone(),
        };
        let call = Call { method, path, query, headers, body };
        let fields = (self.fields_of)(&call);
        let known = self.exchanges.iter().find(|exchange| {
            exchange.method == method && exchange.path == path && exchange.fields == fields
        });
        let Some(known) = known else {
            let asked = format!("{method} {path} {fields:?}");
            log.unknown.lock().unwrap().push(asked.clone());
            return answer(418, &[("Content-Type", "text/plain")], asked.as_bytes());
        };
        log.asked.lock().unwrap().push(known.name.clone());
        let content_type = known.content_type.as_deref().map(|value| ("Content-Type", value));
        let headers: Vec<_> = content_type.into_iter().collect();
        answer(known.status, &headers, &known.body)
    }
}

fn read(exchange: &Value, fields_of: FieldsOf) -> Exchange {
    let text = |key: &str| exchange[key].as_str();
    let target = text("path").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let bytes = |encoded: &str, plain: &str| match (text(encoded), text(plain)) {
        (Some(encoded), _) => STANDARD.decode(encoded).unwrap(),
        (None, plain) => plain.unwrap_or_default().as_bytes().to_vec(),
    };
    let headers = exchange["request_headers"].as_object();
    let headers = headers
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()));
    let call = Call {
        // Connect's calls do not say.
        method: text("method").unwrap_or("POST"),
        path,
        query,
        headers: headers.collect(),
        body: bytes("request_b64", "request_text"),
    };
    Exchange {
        name: text("name").unwrap().to_owned(),
        method: call.method.to_owned(),
        path: path.to_owned(),
        fields: fields_of(&call),
        status: u16::try_from(exchange["status"].as_u64().unwrap()).unwrap(),
        content_type: text("content_type").map(str::to_owned),
        body: bytes("response_b64", "response_text"),
    }
}

/// The server. It ends when it is dropped, and panics then if it was asked what it does not know.
pub(crate) struct Replay {
    server: Faulty,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    asked: Mutex<Vec<String>>,
    unknown: Mutex<Vec<String>>,
}

impl Replay {
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The names of the questions so far, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.log.asked.lock().unwrap().clone()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let unknown = self.log.unknown.lock().unwrap();
        if !thread::panicking() {
            assert!(unknown.is_empty(), "asked what is not recorded:\n{}", unknown.join("\n"));
        }
    }
}

/// Plays a recording to a client that speaks HTTP by hand.
#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::{Recording, query_fields};

    async fn get(url: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_recording_is_played() {
        let recording = Recording::read("pyroscope-0.37", query_fields);
        assert_eq!(recording.exchange("label values, no label").status, 400);
        let replay = recording.play().await;
        // The order of parameters and how they are written is nothing to tell them apart.
        let answer = get(&replay.url(), "/label-values?query=checkout.cpu{}&label=%70od").await;
        assert!(answer.ends_with("\r\n\r\n[\"c-0\",\"c-1\"]"), "{answer}");
        assert_eq!(replay.asked(), ["label values of one app"]);
    }

    #[tokio::test]
    #[should_panic(expected = r#"GET /labels {"query": "nobody"}"#)]
    async fn what_is_not_recorded_is_named() {
        let replay = Recording::read("pyroscope-0.37", query_fields).play().await;
        assert!(get(&replay.url(), "/labels?query=nobody").await.starts_with("HTTP/1.1 418 "));
    }
}
