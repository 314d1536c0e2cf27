//! A server that plays back what a real one said: it knows the questions of one recording, and who asks another one fails
//! his test.
//!
//! It stands alone, so that tests of other crates take it in by its path.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flamesql_proto::{
    querier::v1::{
        DiffRequest, ProfileTypesRequest, SelectHeatmapRequest, SelectMergeProfileRequest,
        SelectMergeSpanProfileRequest, SelectMergeStacktracesRequest, SelectSeriesRequest,
        SeriesRequest,
    },
    types::v1::{GetProfileStatsRequest, LabelNamesRequest, LabelValuesRequest},
};
use flate2::read::MultiGzDecoder;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

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

const SERVICE: &str = "/querier.v1.QuerierService/";
const STACKS: &str = "/querier.v1.QuerierService/SelectMergeStacktraces";
const SPANS: &str = "/querier.v1.QuerierService/SelectMergeSpanProfile";
const PPROF: &str = "/querier.v1.QuerierService/SelectMergeProfile";
const TYPES: &str = "/querier.v1.QuerierService/ProfileTypes";
const NAMES: &str = "/querier.v1.QuerierService/LabelNames";

/// The fields of a question to a Connect server, decoded: those of its message, and of a plain call its body.
///
/// In which order labels to group by are named tells no question from another: what is grouped is a set of labels.
pub(crate) fn connect_fields(call: &Call<'_>) -> Fields {
    let mut fields = query_fields(call);
    let method = call.path.strip_prefix(SERVICE).filter(|_| call.method == "POST");
    let message = match method {
        Some("ProfileTypes") => message::<ProfileTypesRequest>(call),
        Some("LabelNames") => message::<LabelNamesRequest>(call),
        Some("LabelValues") => message::<LabelValuesRequest>(call),
        Some("Series") => message::<SeriesRequest>(call),
        Some("SelectSeries") => message::<SelectSeriesRequest>(call),
        Some("SelectMergeStacktraces") => message::<SelectMergeStacktracesRequest>(call),
        Some("SelectMergeSpanProfile") => message::<SelectMergeSpanProfileRequest>(call),
        Some("SelectMergeProfile") => message::<SelectMergeProfileRequest>(call),
        Some("SelectHeatmap") => message::<SelectHeatmapRequest>(call),
        Some("GetProfileStats") => message::<GetProfileStatsRequest>(call),
        Some("Diff") => message::<DiffRequest>(call),
        _ if call.body.is_empty() => return fields,
        _ => {
            fields.insert("body".to_owned(), String::from_utf8_lossy(&call.body).into_owned());
            return fields;
        }
    };
    let Value::Object(message) = message else { panic!("{message} is no message") };
    for (name, value) in message {
        let text = match value {
            Value::String(text) => text,
            Value::Array(mut names) if name == "groupBy" => {
                names.sort_unstable_by_key(|name| name.to_string());
                Value::Array(names).to_string()
            }
            value => value.to_string(),
        };
        fields.insert(name, text);
    }
    // Without it a server hides names that are not plain, which is another answer.
    let accept = call.headers.get("accept").map(String::as_str);
    if call.path == NAMES && accept != Some("*/*;allow-utf8-labelnames=true") {
        fields.insert("accept".to_owned(), accept.unwrap_or_default().to_owned());
    }
    fields
}

fn message<Q: Message + Default + Serialize + DeserializeOwned>(call: &Call<'_>) -> Value {
    let content_type = call.headers.get("content-type").map_or("", String::as_str);
    let question: Q = match content_type.starts_with("application/json") {
        true => serde_json::from_slice(&call.body).unwrap(),
        false => Q::decode(call.body.as_slice()).unwrap(),
    };
    serde_json::to_value(&question).unwrap()
}

/// The recorded exchange that answers another question than its own as well. `recorded.rs` has a test of each of these
/// rules over the recorded bytes:
///
/// - Of stacks, a `maxNodes` of 1048576, or of 1 where the total is all that is wanted, for an answer that was not cut.
/// - Of stacks, an end one millisecond behind the recorded end: no profile lies there.
/// - Of stacks, that millisecond alone: an empty answer.
/// - Of stacks, their form: a tree and a flame graph hold the same, and who asks reads either.
/// - Of stacks as DOT, by a selector that nothing meets: an empty answer, as of storage v2 alone.
/// - Of types and names of labels, any range around the first minute: all that there are lie in it.
pub(crate) fn alike<'a>(
    recording: &'a Recording,
    path: &str,
    fields: &Fields,
) -> Option<&'a Exchange> {
    let known = |fields: &Fields| {
        recording.exchanges.iter().find(|known| known.path == path && known.fields == *fields)
    };
    let millis = |name: &str| fields.get(name)?.parse::<i64>().ok();
    let (start, end) = (millis("start")?, millis("end")?);
    let (opens, closes) = (recording.t0 * 1000, (recording.t0 + 300) * 1000);
    let mut fields = fields.clone();
    if path == TYPES || path == NAMES {
        if start <= opens && end >= opens + 60_000 {
            fields.insert("start".to_owned(), opens.to_string());
            fields.insert("end".to_owned(), closes.to_string());
        }
        return known(&fields);
    }
    if ![STACKS, SPANS, PPROF].contains(&path) {
        return None;
    }
    let is = |name: &str, value: &str| fields.get(name).is_some_and(|known| known == value);
    if is("format", "PROFILE_FORMAT_DOT") && is("labelSelector", r#"{flamesql="none"}"#) {
        return Some(recording.exchange("stacks, empty answer, tree"));
    }
    if (start, end) == (closes, closes + 1) && path != PPROF {
        let form = if fields.contains_key("format") { "tree" } else { "flame graph" };
        return Some(recording.exchange(&format!("stacks, empty answer, {form}")));
    }
    if end == closes + 1 {
        fields.insert("end".to_owned(), closes.to_string());
    }
    if matches!(fields.get("maxNodes").map(String::as_str), Some("1" | "1048576")) {
        fields.remove("maxNodes");
    }
    known(&fields).or_else(|| {
        match fields.remove("format") {
            Some(_) => {}
            None => drop(fields.insert("format".to_owned(), "PROFILE_FORMAT_TREE".to_owned())),
        }
        known(&fields)
    })
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
    /// The question's bytes.
    pub(crate) question: Vec<u8>,
    /// Question and answer as protobuf's JSON, where they were recorded as that as well.
    pub(crate) json: [Value; 2],
}

/// What one server said.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// When the shop opened, in seconds.
    pub(crate) t0: i64,
    pub(crate) exchanges: Vec<Exchange>,
    fields_of: FieldsOf,
    alike: Alike,
}

/// Which exchange answers a question that was not recorded: by path and fields.
type Alike = for<'a> fn(&'a Recording, &str, &Fields) -> Option<&'a Exchange>;

impl Recording {
    /// Reads `recorded/NAME.json`.
    pub(crate) fn read(name: &str, fields_of: FieldsOf) -> Self {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "../backend/tests/recorded", &format!("{name}.json")]
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
            alike: |_, _, _| None,
        }
    }

    /// Reads what a Connect server said, with the rules of [`alike`].
    pub(crate) fn connect(name: &str) -> Self {
        Self { alike, ..Self::read(name, connect_fields) }
    }

    /// The exchange of a name.
    pub(crate) fn exchange(&self, name: &str) -> &Exchange {
        self.exchanges
            .iter()
            .find(|exchange| exchange.name == name)
            .unwrap_or_else(|| panic!("there is no exchange {name:?}"))
    }

    /// With what is not recorded: how a server that looks at a choice by trace refuses an id that no trace can have, which
    /// it is asked for before it is relied upon. Storage v2 has these words for it.
    pub(crate) fn refusing_traces(mut self) -> Self {
        let mut made = self.exchange("stacks, tree").clone();
        "made up: no trace".clone_into(&mut made.name);
        let end = (self.t0 + 300) * 1000 + 1;
        for (field, value) in
            [("end", &*end.to_string()), ("maxNodes", "1"), ("traceIdSelector", r#"["none"]"#)]
        {
            made.fields.insert(field.to_owned(), value.to_owned());
        }
        made.status = 400;
        made.content_type = Some("application/json".to_owned());
        let told = r#"{"code":"invalid_argument","message":"invalid trace id length: \"none\""}"#;
        made.body = told.as_bytes().to_vec();
        self.exchanges.push(made);
        self
    }

    /// A server that knows these questions.
    pub(crate) async fn play(self) -> Replay {
        self.start()
    }

    /// As `play`, where nothing is waited for.
    pub(crate) fn start(self) -> Replay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, is_over) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let (of_thread, ends) = (Arc::clone(&log), Arc::clone(&is_over));
        thread::spawn(move || {
            let recording = Arc::new(self);
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (recording, log) = (Arc::clone(&recording), Arc::clone(&of_thread));
                // It ends with its connection.
                thread::spawn(move || recording.serve(stream.unwrap(), &log));
            }
        });
        Replay { address, log, is_over }
    }

    fn serve(&self, mut stream: TcpStream, log: &Log) -> io::Result<()> {
        let mut buffer = Vec::new();
        while let Some((head, body)) = read_request(&mut stream, &mut buffer)? {
            stream.write_all(&self.reply(&head, body, log))?;
        }
        Ok(())
    }

    fn reply(&self, head: &str, body: Vec<u8>, log: &Log) -> Vec<u8> {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let body = match headers.get("content-encoding").map(String::as_str) {
            Some("gzip") => {
                let mut inflated = Vec::new();
                MultiGzDecoder::new(&*body).read_to_end(&mut inflated).unwrap();
                inflated
            }
            _ => body,
        };
        let call = Call { method, path, query, headers, body };
        let fields = (self.fields_of)(&call);
        let known = self.exchanges.iter().find(|exchange| {
            exchange.method == method && exchange.path == path && exchange.fields == fields
        });
        let Some(known) = known.or_else(|| (self.alike)(self, path, &fields)) else {
            let asked = format!("{method} {path} {fields:?}");
            log.unknown.lock().unwrap().push(asked.clone());
            return answer(418, Some("text/plain"), asked.as_bytes());
        };
        log.asked.lock().unwrap().push(known.name.clone());
        answer(known.status, known.content_type.as_deref(), &known.body)
    }
}

/// Head and body of the next request; `None` if there is none.
fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().filter_map(|line| line.split_once(": "));
            let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.next().map_or(0, |(_, length)| length.parse().unwrap());
            let (start, end) = (end + 4, end + 4 + length);
            if buffer.len() >= end {
                let body = buffer[start..end].to_vec();
                buffer.drain(..end);
                return Ok(Some((head, body)));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            n => buffer.extend_from_slice(&chunk[..n]),
        }
    }
}

fn answer(status: u16, content_type: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Some Reason\r\nContent-Length: {}\r\n", body.len());
    if let Some(content_type) = content_type {
        head.push_str(&format!("Content-Type: {content_type}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
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
        question: call.body,
        json: ["request_json", "response_json"].map(|key| exchange[key].clone()),
    }
}

/// The server. It ends when it is dropped, and panics then if it was asked what it does not know.
pub(crate) struct Replay {
    address: SocketAddr,
    log: Arc<Log>,
    is_over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Log {
    asked: Mutex<Vec<String>>,
    unknown: Mutex<Vec<String>>,
    /// Whether somebody looked at what is unknown. What a question that was given up asks may come in after that.
    is_looked_at: AtomicBool,
}

impl Replay {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The names of the questions so far, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.log.asked.lock().unwrap().clone()
    }

    /// What was asked and is not recorded, so far and in its order; it is no fault then.
    pub(crate) fn take_unknown(&self) -> Vec<String> {
        self.log.is_looked_at.store(true, Ordering::Relaxed);
        std::mem::take(&mut self.log.unknown.lock().unwrap())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A thread waits for the next connection.
        drop(TcpStream::connect(self.address));
        let unknown = self.log.unknown.lock().unwrap();
        if !thread::panicking() && !self.log.is_looked_at.load(Ordering::Relaxed) {
            assert!(unknown.is_empty(), "asked what is not recorded:\n{}", unknown.join("\n"));
        }
    }
}
