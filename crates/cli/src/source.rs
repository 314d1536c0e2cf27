//! Where the profiles come from: what was typed, the environment, or the demo.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flamesql_backend::{
    Backend, BackendType, Files, FilesOptions, Notice, PyroscopeOptions, Report, Secret, Server,
};

use crate::{
    args::{self, Connect},
    demo,
    failure::{NotStrict, Usage},
    text,
};

/// The environment variables that name the source where none is typed, the first that is set.
const VARIABLES: [&str; 2] = ["FLAMESQL_SOURCE", "PROFILECLI_URL"];
/// What the demo is called, where no file or folder has that name.
const DEMO: &str = "demo";

/// A source, opened.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name of its schema.
    pub(crate) schema: String,
    pub(crate) backend: Arc<dyn Backend>,
    shown: String,
    /// The server that it is, if it is one.
    pub(crate) server: Option<Server>,
    /// As whom a server is asked.
    pub(crate) asked_as: Option<String>,
    variable: Option<&'static str>,
}

impl fmt::Display for Source {
    /// What it is, and why it is this one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)?;
        if let Some(server) = &self.server {
            write!(f, ", {}", server.kind())?;
        }
        match self.variable {
            Some(variable) => write!(f, " (from {variable})"),
            None => Ok(()),
        }
    }
}

/// What the environment names.
fn of_environment() -> Option<(&'static str, OsString)> {
    VARIABLES.into_iter().find_map(|name| {
        env::var_os(name).filter(|value| !value.is_empty()).map(|value| (name, value))
    })
}

impl Source {
    /// Whether there is a source to ask other than the demo, which is there for who has none.
    pub(crate) fn is_named(typed: Option<&OsStr>) -> bool {
        typed.is_some() || of_environment().is_some()
    }

    /// Opens what was typed, else what the environment names, else the demo.
    pub(crate) async fn open(
        typed: Option<&OsStr>,
        connect: &Connect,
        is_strict: bool,
    ) -> anyhow::Result<Self> {
        match (typed, of_environment()) {
            (Some(typed), _) => Self::open_one(typed, connect, is_strict).await,
            (None, Some((variable, named))) => {
                let source = Self::open_one(&named, connect, is_strict).await?;
                Ok(Self { variable: Some(variable), ..source })
            }
            (None, None) => Self::demo(),
        }
    }

    /// Opens `NAME=SOURCE` as a schema of that name.
    pub(crate) async fn attach(
        typed: &OsStr,
        connect: &Connect,
        is_strict: bool,
    ) -> anyhow::Result<Self> {
        let shown = without_credentials(&typed.to_string_lossy());
        let pair = typed.to_str().and_then(|text| text.split_once('='));
        let Some((name, source)) =
            pair.filter(|(name, source)| !name.is_empty() && !source.is_empty())
        else {
            let usage = Usage::new(format!("--source {shown:?} is not NAME=SOURCE"))
                .with_hint("give it a name to be used as a schema: --source new=./profiles");
            return Err(usage.into());
        };
        let source = Self::open_one(OsStr::new(source), connect, is_strict).await?;
        Ok(Self { schema: name.to_owned(), ..source })
    }

    async fn open_one(typed: &OsStr, connect: &Connect, is_strict: bool) -> anyhow::Result<Self> {
        let shown = typed.to_string_lossy();
        if is_url(typed) {
            return Self::server(&shown, connect).await;
        }
        let path = PathBuf::from(typed);
        if !is_path(typed) {
            if typed == DEMO {
                return Self::demo();
            }
            let shown = concealed(&shown);
            let usage = Usage::new(format!("no source {shown:?}: there is no such file or folder"));
            let is_address = shown.contains('@') || args::is_address(&shown);
            let usage = usage.with_hint(match is_address {
                true => "a server's URL begins with http:// or https://",
                false => "a source is a URL, a file or a folder of profiles, or 'demo'",
            });
            return Err(usage.into());
        }
        let mut options = FilesOptions::default();
        options.strict = is_strict;
        let files = Files::open_with(&path, options)?;
        let source = Self {
            schema: schema_name(&path),
            shown: text::printable(&shown).into_owned(),
            backend: Arc::new(files),
            server: None,
            asked_as: None,
            variable: None,
        };
        if is_strict {
            source.check_notices()?;
        }
        Ok(source)
    }

    fn demo() -> anyhow::Result<Self> {
        Ok(Self {
            schema: DEMO.to_owned(),
            backend: Arc::new(demo::open()?),
            shown: "demo (inside the program)".to_owned(),
            server: None,
            asked_as: None,
            variable: None,
        })
    }

    async fn server(url: &str, connect: &Connect) -> anyhow::Result<Self> {
        let kind = connect.backend_type.as_deref().map(str::parse::<BackendType>).transpose()?;
        let options = options(connect)?;
        let asked_as = asked_as(url, &options);
        let server = Server::open(url, kind, &options).await?;
        Ok(Self {
            schema: slug(host(server.url())),
            shown: text::printable(server.url()).into_owned(),
            backend: Arc::clone(server.backend()),
            server: Some(server),
            asked_as: Some(asked_as),
            variable: None,
        })
    }

    /// What is worth knowing about it: what was skipped so far, and that it seems to be another kind of server.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let warning = self.server.as_ref().and_then(|server| server.warning().cloned());
        warning.into_iter().chain(self.backend.notices()).collect()
    }

    /// The same, with what became of one question.
    pub(crate) fn notices_with(&self, report: &Report) -> Vec<Notice> {
        let mut notices = report.notices();
        notices.extend(self.notices());
        notices
    }

    /// Fails if anything was skipped, which `--strict` does not allow.
    pub(crate) fn check_notices(&self) -> Result<(), NotStrict> {
        nothing_missing(&self.backend.notices())
    }
}

/// Fails if one of the notices means that something is missing, naming the first.
pub(crate) fn nothing_missing(notices: &[Notice]) -> Result<(), NotStrict> {
    let missing: Vec<&Notice> = notices.iter().filter(|notice| notice.is_missing).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [one] => Err(NotStrict(one.to_string())),
        [first, rest @ ..] => Err(NotStrict(format!("{first}; and {} more", rest.len()))),
    }
}

/// Whether what was typed names a source and not something else that may stand in its place.
pub(crate) fn is_source(typed: &OsStr) -> bool {
    is_url(typed) || is_path(typed)
}

pub(crate) fn is_url(typed: &OsStr) -> bool {
    typed.to_string_lossy().contains("://")
}

/// How a server is asked. Credentials of the environment go to a URL that was typed or stands there as well.
fn options(connect: &Connect) -> anyhow::Result<PyroscopeOptions> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let mut options = PyroscopeOptions::default();
    options.json = connect.json_messages;
    options.max_range = Some(args::duration("--max-range", &connect.max_range)?);
    let http = &mut options.http;
    http.timeouts.request =
        Duration::from_nanos(args::duration("--timeout", &connect.timeout)?.nanos().unsigned_abs());
    if let Some(bytes) = connect.max_answer {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        (http.max_answer_bytes, http.max_list_bytes) = (bytes, bytes);
    }
    match (&connect.user, &connect.token) {
        (Some(user), _) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            http.basic_auth = Some((user.to_owned(), Secret::new(password)));
        }
        (None, Some(token)) => http.token = Some(Secret::new(token.as_str())),
        (None, None) => {
            if let Some(user) = variable("PROFILECLI_USERNAME") {
                let password = variable("PROFILECLI_PASSWORD").unwrap_or_default();
                http.basic_auth = Some((user, Secret::new(password)));
            } else if let Some(token) = variable("PROFILECLI_TOKEN") {
                http.token = Some(Secret::new(token));
            }
        }
    }
    http.tenant = connect.tenant.clone().or_else(|| variable("PROFILECLI_TENANT_ID"));
    for header in &connect.headers {
        // What follows the name may be a secret, so it is not quoted.
        let Some((name, value)) = header.split_once(':') else {
            return Err(Usage::new("a --header is not NAME: VALUE")
                .with_hint("such as --header 'X-Scope-OrgID: team-a'")
                .into());
        };
        http.headers.push((name.trim().to_owned(), Secret::new(value.trim())));
    }
    if let Some(file) = &connect.ca {
        http.tls.ca_certificate = Some(pem("--ca", file)?);
    }
    if let (Some(cert), Some(key)) = (&connect.cert, &connect.key) {
        http.tls.client_certificate = Some((pem("--cert", cert)?, Secret::new(pem("--key", key)?)));
    }
    http.tls.server_name.clone_from(&connect.server_name);
    http.tls.skip_verify = connect.insecure;
    Ok(options)
}

/// As whom a server is asked, without what is secret.
fn asked_as(url: &str, options: &PyroscopeOptions) -> String {
    let http = &options.http;
    let in_url = || {
        let authority = url.split_once("://")?.1.split('/').next()?;
        let (user, _) = authority.rsplit_once('@')?;
        Some(user.split(':').next().unwrap_or(user))
    };
    let who = match (&http.basic_auth, &http.token) {
        (Some((user, _)), _) => format!("user {user}"),
        (None, Some(_)) => "the owner of a token".to_owned(),
        (None, None) => match in_url() {
            Some(user) => format!("user {user}"),
            None => "nobody: no credentials".to_owned(),
        },
    };
    let tenant = http.tenant.as_ref().map(|tenant| format!(", tenant {tenant}"));
    let certificate = http.tls.client_certificate.as_ref().map(|_| ", with a client certificate");
    format!("{who}{}{}", tenant.unwrap_or_default(), certificate.unwrap_or_default())
}

/// What stands in a file that an option names.
fn pem(option: &str, file: &Path) -> Result<String, Usage> {
    fs::read_to_string(file)
        .map_err(|error| Usage::new(format!("cannot read {option} {}: {error}", file.display())))
}

/// The host of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

fn is_path(typed: &OsStr) -> bool {
    // A broken link exists as well: what is wrong with it is said when it is opened.
    Path::new(typed).symlink_metadata().is_ok()
}

/// The text without what may be a secret if it is a URL: user, password, and all that follows the path.
pub(crate) fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A password may hold any character, so the last @ decides.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let dots = if path.len() < rest.len() { "?..." } else { "" };
    format!("{scheme}://{path}{dots}")
}

/// A text without the credentials of the URLs in it, and of what looks like one but for its scheme.
pub(crate) fn concealed(text: &str) -> String {
    let word = |word: &str| {
        let (scheme, rest) = match word.find("://") {
            Some(at) => word.split_at(at + 3),
            None => ("", word),
        };
        match rest.rsplit_once('@') {
            Some((who, place)) if !scheme.is_empty() || who.contains(':') => {
                format!("{scheme}...@{place}")
            }
            _ => word.to_owned(),
        }
    };
    text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`'))
        .map(word)
        .collect()
}

/// A name that SQL takes without quotes, made of the file's or the folder's.
fn schema_name(path: &Path) -> String {
    // `.` and `..` have a name only in full.
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name =
        path.file_name().or(full.file_name()).map(OsStr::to_string_lossy).unwrap_or_default();
    let name = match full.is_dir() {
        true => &name,
        false => {
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            name.rsplit_once('.').map_or(name, |(stem, _)| stem)
        }
    };
    slug(name)
}

fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.ends_with('_') || slug.is_empty() => {}
            _ => slug.push('_'),
        }
    }
    let slug = slug.trim_end_matches('_');
    match slug.as_bytes() {
        [] => "source".to_owned(),
        [b'0'..=b'9', ..] => format!("_{slug}"),
        _ if slug == "information_schema" => format!("{slug}_"),
        _ => slug.to_owned(),
    }
}

/// The schemas' names must differ.
pub(crate) fn check_names(sources: &[Source]) -> Result<(), Usage> {
    for (idx, source) in sources.iter().enumerate() {
        if sources[..idx].iter().any(|other| other.schema == source.schema) {
            return Err(Usage::new(format!("two sources are called {:?}", source.schema))
                .with_hint("give them different names: --source NAME=SOURCE"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        for (text, shown) in [
            ("http://host:4040/a", "http://host:4040/a"),
            ("https://me:secret@host/a", "https://host/a"),
            ("https://me:se/cr@et@host", "https://host"),
            ("https://host/a?token=secret", "https://host/a?..."),
            ("https://host#secret", "https://host?..."),
            ("new=https://me:secret@host/", "new=https://host/"),
            ("./a@b", "./a@b"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn schemas_need_no_quotes() {
        for (path, name) in [
            ("/x/cpu.pb.gz", "cpu"),
            ("/x/000-CPU profile.pprof", "_000_cpu_profile"),
            ("/x/Größe.folded", "gr_e"),
            ("/x/--.pb", "source"),
            ("/x/information_schema.pb", "information_schema_"),
        ] {
            assert_eq!(schema_name(Path::new(path)), name);
        }
        assert_eq!(schema_name(Path::new("src")), "src");
        assert_eq!(schema_name(&Path::new("src").join("..")), schema_name(Path::new(".")));
    }
}
