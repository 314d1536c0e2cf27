//! Grafana's provisioning files: data sources in YAML, a file or a folder of them.
//!
//! What is read is what Grafana reads, and what is none of our business is accepted. What is wrong is an error that says
//! where, also where Grafana would take a default.

mod expand;
mod yaml;

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    rc::Rc,
};

use flamesql_backend::{Notice, Secret};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use self::{
    expand::{Lookup, expand},
    yaml::{Flaw, Kind, Mark, Node},
};
use crate::{Allow, Error, ErrorKind, InstanceSettings, Place, Settings, settings::quoted};

/// How large a file may be.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How many files a folder may have.
const MAX_FILES: usize = 1000;
/// How long a uid may be.
const MAX_UID: usize = 40;

/// The types of data sources that are ours, as Grafana knows them.
const OURS: [&str; 3] = ["phlare", "grafana-pyroscope-datasource", "flamesql-pyroscope-datasource"];

/// The data sources of provisioning files: one at least.
///
/// ```
/// use std::path::Path;
///
/// use flamesql_datasource::{Origin, Provisioning};
///
/// let text = "
/// apiVersion: 1
/// datasources:
///   - {name: A, type: phlare, url: 'file:///var/profiles'}
///   - {name: B, type: grafana-pyroscope-datasource, url: 'http://$HOST:4040', isDefault: true}
///   - {name: C, type: prometheus, url: 'http://prometheus:9090'}
/// ";
/// let lookup = |name: &str| (name == "HOST").then(|| "pyroscope".to_owned());
/// let found = Provisioning::parse_with(text, Path::new("a.yaml"), &lookup)?;
/// assert_eq!(found.sources()[0].settings.origin, Origin::Files("/var/profiles".into()));
/// let Origin::Server(url) = &found.default_source().settings.origin else { panic!() };
/// assert_eq!(url.to_string(), "http://pyroscope:4040");
/// assert!(found.notices()[0].to_string().contains("prometheus"));
/// # Ok::<(), flamesql_datasource::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Provisioning {
    sources: Vec<Provisioned>,
    notices: Vec<Notice>,
    default: usize,
}

/// A data source of a provisioning file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provisioned {
    /// Its settings.
    pub settings: Settings,
    /// Whether the file says that it is the one to take where none is named.
    pub is_default: bool,
    /// Where it stands.
    pub place: Place,
}

impl Provisioning {
    /// Reads a file, or the files of a folder whose names end in `.yaml` or `.yml`, in the order of their names. Variables
    /// are those of the environment.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or has something wrong in it, two data sources cannot be told apart or both want to be the
    /// default, or there is none that is ours.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(path, &variable)
    }

    /// As [`Provisioning::load`], with variables from elsewhere.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn load_with(
        path: impl AsRef<Path>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut reader = Reader::new(lookup);
        for file in files(path)? {
            let text = read(&file)?;
            reader.read(&text, &file)?;
        }
        reader.finish(path)
    }

    /// Reads the text of a file, which messages call by this name.
    ///
    /// # Errors
    ///
    /// As [`Provisioning::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        Self::parse_with(text, file, &variable)
    }

    /// As [`Provisioning::parse`], with variables from elsewhere.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn parse_with(
        text: &str,
        file: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut reader = Reader::new(lookup);
        reader.read(text, file)?;
        reader.finish(file)
    }

    /// All of them, in the order of the files.
    pub fn sources(&self) -> &[Provisioned] {
        &self.sources
    }

    /// The one to take where none is named: the default, or the first.
    pub fn default_source(&self) -> &Provisioned {
        &self.sources[self.default]
    }

    /// The one of a uid.
    pub fn source(&self, uid: &str) -> Option<&Provisioned> {
        self.sources.iter().find(|source| source.settings.uid == uid)
    }

    /// What was passed over, and what has no effect.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

fn variable(name: &str) -> Option<String> {
    // A name that no variable can have is looked up as well.
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    is_name.then(|| env::var(name).ok()).flatten()
}

fn unreadable(path: &Path, why: impl std::fmt::Display) -> Error {
    let what = format!("cannot read the provisioning file {}: {why}", path.display());
    Error::new(ErrorKind::Provisioning, what)
}

/// The files that are meant, sorted.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |error| unreadable(path, error);
    if !fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Of Kubernetes they are links.
        if (name.ends_with(".yaml") || name.ends_with(".yml")) && !file.is_dir() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            let what = format!("there are more than {MAX_FILES} of them in this folder");
            return Err(unreadable(path, what));
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err(unreadable(path, "it is a folder without a .yaml or .yml file"));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(path, "it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let before = String::from_utf8_lossy(before);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = Place { file: path.to_path_buf(), line, column };
        Error::new(ErrorKind::Provisioning, "this is not UTF-8").at(place)
    })
}

/// The uid that Grafana gives to a data source without one.
fn uid_of(name: &str) -> String {
    let hash = digest(&SHA256, name.as_bytes());
    let hex: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02X}")).collect();
    format!("P{hex}")
}

/// What was read so far.
struct Reader<'a> {
    lookup: Lookup<'a>,
    sources: Vec<Provisioned>,
    notices: Vec<Notice>,
    /// The types that were passed over.
    others: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(lookup: Lookup<'a>) -> Self {
        Self { lookup, sources: Vec::new(), notices: Vec::new(), others: Vec::new() }
    }

    fn read(&mut self, text: &str, file: &Path) -> Result<(), Error> {
        let refuse =
            |flaw: Flaw| Error::new(ErrorKind::Provisioning, flaw.what).at(place(file, flaw.at));
        let Some(root) = yaml::parse(text).map_err(refuse)? else { return Ok(()) };
        let mut reading = Reading { file, lookup: self.lookup, notices: Vec::new() };
        if root.is_null() {
            return Ok(());
        }
        if !matches!(root.kind, Kind::Map(_)) {
            let what = format!("a provisioning file is a mapping, and this is {}", root.is_a());
            return Err(refuse(Flaw::new(root.at, what)));
        }
        reading.check_version(&root)?;
        let none = [];
        let entries = match root.get("datasources") {
            None => &none[..],
            Some(Node { kind: Kind::List(entries), .. }) => entries,
            Some(other) => {
                let what = format!("datasources is {}, and has to be a list", other.is_a());
                return Err(refuse(Flaw::new(other.at, what)));
            }
        };
        for entry in entries {
            match reading.source(entry)? {
                Entry::Ours(source) => self.sources.push(*source),
                Entry::Other(kind) => self.others.push(kind),
            }
        }
        self.notices.append(&mut reading.notices);
        Ok(())
    }

    /// Looks at all of them together.
    fn finish(self, path: &Path) -> Result<Provisioning, Error> {
        let Self { sources, notices, others, .. } = self;
        if sources.is_empty() {
            let found = match others.as_slice() {
                [] => "it has none".to_owned(),
                others => format!("it has those of the types {}", others.join(", ")),
            };
            let ours = OURS.join(", ");
            let what = format!("no data source of ours, which are {ours}: {found}");
            return Err(unreadable(path, what));
        }
        let twice = |what: String, source: &Provisioned, other: &Provisioned| {
            let what = format!("{what}, and so does the one at {}", other.place);
            Err(Error::new(ErrorKind::Provisioning, what).at(source.place.clone()))
        };
        for (n, source) in sources.iter().enumerate() {
            let (name, uid) = (&source.settings.name, &source.settings.uid);
            let before = &sources[..n];
            if let Some(other) = before.iter().find(|other| other.settings.name == *name) {
                return twice(format!("this data source has the name {name:?}"), source, other);
            }
            if let Some(other) = before.iter().find(|other| other.settings.uid == *uid) {
                return twice(format!("this data source has the uid {uid:?}"), source, other);
            }
        }
        let mut defaults = sources.iter().enumerate().filter(|(_, source)| source.is_default);
        let default = defaults.next();
        if let (Some((_, first)), Some((_, second))) = (default, defaults.next()) {
            let what = format!("{:?} says isDefault", second.settings.name);
            return twice(what, second, first);
        }
        let default = default.map_or(0, |(n, _)| n);
        Ok(Provisioning { sources, notices, default })
    }
}

enum Entry {
    Ours(Box<Provisioned>),
    /// Of this type.
    Other(String),
}

/// A file that is read.
struct Reading<'a> {
    file: &'a Path,
    lookup: Lookup<'a>,
    notices: Vec<Notice>,
}

/// Whether a value may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

fn place(file: &Path, at: Mark) -> Place {
    Place { file: file.to_path_buf(), line: at.line, column: at.column }
}

impl Reading<'_> {
    fn refuse(&self, at: Mark, what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Provisioning, what).at(place(self.file, at))
    }

    fn notice(&mut self, at: Mark, reason: impl Into<String>, is_missing: bool) {
        let subject = place(self.file, at).to_string();
        self.notices.push(Notice { subject, reason: reason.into(), is_missing });
    }

    /// Files without a version have other names for the same keys: to read them as these would pass over passwords.
    fn check_version(&mut self, root: &Node) -> Result<(), Error> {
        let Some(node) = root.get("apiVersion") else {
            let what = "apiVersion is missing: write apiVersion: 1 at the top";
            return Err(self.refuse(root.at, what));
        };
        let text = self.text_of("apiVersion", node, Shown::Yes)?;
        match text.parse::<i64>() {
            Ok(1..) => Ok(()),
            _ => {
                let what = format!("apiVersion is {:?}, and has to be 1", quoted(&text));
                Err(self.refuse(node.at, what))
            }
        }
    }

    fn source(&mut self, node: &Node) -> Result<Entry, Error> {
        if !matches!(node.kind, Kind::Map(_)) {
            let what = format!("a data source is a mapping, and this is {}", node.is_a());
            return Err(self.refuse(node.at, what));
        }
        let name = self.text(node, "name")?;
        let Some(kind) = self.text(node, "type")?.filter(|kind| !kind.is_empty()) else {
            return Err(self.refuse(node.at, "type is missing: this data source is of none"));
        };
        if !OURS.contains(&kind.as_str()) {
            let kind = quoted(&kind);
            let name = quoted(&name.unwrap_or_default());
            let reason = format!("the data source {name:?} is of the type {kind:?}, not of ours");
            self.notice(node.at, reason, true);
            return Ok(Entry::Other(kind));
        }
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(self.refuse(node.at, "name is missing: this data source has none"));
        };
        let uid = match self.text(node, "uid")?.filter(|uid| !uid.is_empty()) {
            None => uid_of(&name),
            Some(uid) => {
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if uid.len() > MAX_UID || !uid.chars().all(fits) {
                    let what = format!(
                        "uid is {:?}, and has to be letters, digits, - and _, {MAX_UID} at most",
                        quoted(&uid)
                    );
                    return Err(self.refuse(node.get("uid").map_or(node.at, |uid| uid.at), what));
                }
                uid
            }
        };
        let instance = self.instance(node, name, uid)?;
        let settings =
            Settings::read(&instance, Allow::Files).and_then(|settings| match &settings.min_step {
                Ok(_) => Ok(settings),
                Err(error) => Err(error.clone()),
            });
        let mut settings = settings.map_err(|error| {
            let at = at_key(node, error.key().unwrap_or_default());
            error.at(place(self.file, at))
        })?;
        for notice in settings.notices.drain(..) {
            let reason = format!("{} {}", notice.subject, notice.reason);
            self.notice(at_key(node, &notice.subject), reason, notice.is_missing);
        }
        let is_default = self.flag(node, "isDefault")?;
        let place = place(self.file, node.at);
        Ok(Entry::Ours(Box::new(Provisioned { settings, is_default, place })))
    }

    /// What Grafana would hand to a plugin.
    fn instance(
        &mut self,
        node: &Node,
        name: String,
        uid: String,
    ) -> Result<InstanceSettings, Error> {
        for key in ["password", "basicAuthPassword"] {
            if let Some(entry) = node.entry(key) {
                let reason = format!("{key} is not read here: it belongs into secureJsonData");
                self.notice(entry.at, reason, false);
            }
        }
        let mut instance = InstanceSettings { name, uid, ..InstanceSettings::default() };
        // It may have a password in it.
        if let Some(url) = node.get("url") {
            instance.url = self.text_of("url", url, Shown::No)?;
        }
        instance.user = self.text(node, "user")?.unwrap_or_default();
        instance.basic_auth_enabled = self.flag(node, "basicAuth")?;
        instance.basic_auth_user = self.text(node, "basicAuthUser")?.unwrap_or_default();
        if let Some(data) = node.get("jsonData") {
            let Kind::Map(_) = data.kind else {
                let what = format!("jsonData is {}, and has to be a mapping", data.is_a());
                return Err(self.refuse(data.at, what));
            };
            let json = self.json("jsonData", data)?;
            instance.json_data = json.to_string().into_bytes();
        }
        instance.decrypted_secure_json_data = self.secrets(node)?;
        Ok(instance)
    }

    fn secrets(&mut self, node: &Node) -> Result<BTreeMap<String, Secret>, Error> {
        let Some(data) = node.get("secureJsonData") else { return Ok(BTreeMap::new()) };
        let Kind::Map(entries) = &data.kind else {
            let what = format!("secureJsonData is {}, and has to be a mapping", data.is_a());
            return Err(self.refuse(data.at, what));
        };
        let mut secrets = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.value.is_null()) {
            let key = format!("secureJsonData.{}", entry.key);
            let text = self.text_of(&key, &entry.value, Shown::No)?;
            secrets.insert(entry.key.clone(), Secret::new(text));
        }
        Ok(secrets)
    }

    /// The text of a key, if it is there.
    fn text(&mut self, node: &Node, key: &str) -> Result<Option<String>, Error> {
        match node.get(key) {
            None => Ok(None),
            Some(value) => self.text_of(key, value, Shown::Yes).map(Some),
        }
    }

    fn text_of(&mut self, key: &str, value: &Node, shown: Shown) -> Result<String, Error> {
        let Kind::Scalar(scalar) = &value.kind else {
            let what = format!("{key} is {}, and has to be a single value", value.is_a());
            return Err(self.refuse(value.at, what));
        };
        self.expand(key, &scalar.text, value.at, shown)
    }

    fn expand(&mut self, key: &str, text: &str, at: Mark, shown: Shown) -> Result<String, Error> {
        let expanded = expand(text, self.lookup).map_err(|why| {
            let quote = match shown {
                Shown::Yes => format!(", {:?},", quoted(text)),
                Shown::No => String::new(),
            };
            self.refuse(at, format!("{key}{quote} {why}"))
        })?;
        for name in &expanded.unset {
            // What follows a $ in a password may be a part of it.
            let name = match shown {
                Shown::Yes => format!("the variable {:?}", quoted(name)),
                Shown::No => "a variable".to_owned(),
            };
            let reason = format!(
                "{key} has {name} in it, which is not set and stands for nothing: a $ itself is written $$"
            );
            self.notice(at, reason, false);
        }
        Ok(expanded.text)
    }

    /// A switch, in the words of Go.
    fn flag(&mut self, node: &Node, key: &str) -> Result<bool, Error> {
        let Some(value) = node.get(key) else { return Ok(false) };
        match self.text_of(key, value, Shown::Yes)?.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => {
                let what = format!("{key} is {:?}, and has to be true or false", quoted(other));
                Err(self.refuse(value.at, what))
            }
        }
    }

    /// A value of any kind, with variables in its texts.
    fn json(&mut self, key: &str, node: &Node) -> Result<Value, Error> {
        match &node.kind {
            Kind::Scalar(scalar) => match scalar.value() {
                Value::String(text) => {
                    // What else stands here may be a secret that is in the wrong place.
                    let shown = if is_known(key) { Shown::Yes } else { Shown::No };
                    Ok(Value::String(self.expand(key, &text, node.at, shown)?))
                }
                other => Ok(other),
            },
            Kind::List(list) => list.iter().map(|node: &Rc<Node>| self.json(key, node)).collect(),
            Kind::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    let key = format!("{key}.{}", entry.key);
                    map.insert(entry.key.clone(), self.json(&key, &entry.value)?);
                }
                Ok(Value::Object(map))
            }
        }
    }
}

/// Whether a setting is one that [`Settings`] has, and so no secret.
fn is_known(key: &str) -> bool {
    let name = key.strip_prefix("jsonData.").unwrap_or_default();
    matches!(name, "minStep" | "backendType" | "serverName" | "timeout")
        || name.starts_with("httpHeaderName")
}

/// Where a setting stands, or else what it would be a part of.
fn at_key(source: &Node, key: &str) -> Mark {
    let mut node = source;
    let mut at = source.at;
    for part in key.split('.') {
        let Some(entry) = node.entry(part) else { break };
        node = &entry.value;
        at = if node.is_null() { entry.at } else { node.at };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_uid_is_made_as_grafana_makes_it() {
        assert_eq!(uid_of("Hello World"), "PA591A6D40BF42040");
    }
}
