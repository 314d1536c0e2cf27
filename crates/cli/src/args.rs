//! What may be typed. Nothing here looks at files or asks a source.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use flamesql_engine::output;
use flamesql_profile::{ProfileType, Step, TimeRange, Timestamp, parse_duration, parse_time};
use flamesql_selector::{Filter, Selector};

use crate::failure::Usage;

/// What SOURCE and times may be, below the help of each command.
const SOURCE_HELP: &str = "\
SOURCE is the URL of a Pyroscope or Phlare server, or a file or a folder of profiles (pprof: .pb
.pprof .prof; folded stacks: .folded .collapsed .txt; each also with .gz). Without one: the environment
variable FLAMESQL_SOURCE, else PROFILECLI_URL, else the demo that is inside the program and is also
called 'demo'. A server is asked for the last hour unless a range is named.
Times are now, now-1h, 2026-11-10T09:00:00Z, a date, or a number since the epoch (s, ms, us or ns).
--from is in the range, --to is not.";

const MAIN_EXAMPLES: &str = "\
Examples, which run as they stand on the demo inside the program:
  flamesql types
  flamesql profile --format table
  flamesql query \"SELECT service_name, sum(value) AS cpu FROM series GROUP BY service_name\"

Exit codes: 0 ok, 1 query or source error, 2 usage, 3 not let in, 4 something skipped or missing under --strict,
130 interrupted.";

/// Ask continuous profiles in SQL.
///
/// Pyroscope servers, pprof files, folded stacks and folders of both are tables: series, samples, functions and more. Data goes to stdout; all
/// else, such as what was read and what was left out, to stderr.
#[derive(Debug, Parser)]
#[command(name = "flamesql", version, after_help = MAIN_EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer a SQL statement
    Query(Query),
    /// Show the flame graph of a selection
    Profile(Profile),
    /// Show values over time
    Series(Series),
    /// List the profile types of a source
    Types(Types),
    /// List the labels of a source, or the values of one
    Labels(Labels),
    /// Say whether a source answers, what it is, and what it can do
    Check(Check),
    /// Serve a source as a Pyroscope server on this machine
    Serve(Serve),
}

impl Command {
    pub(crate) fn is_strict(&self) -> bool {
        match self {
            Self::Query(args) => args.output.strict,
            Self::Profile(args) => args.output.strict,
            Self::Series(args) => args.output.strict,
            Self::Types(args) => args.output.strict,
            Self::Labels(args) => args.output.strict,
            Self::Check(_) | Self::Serve(_) => false,
        }
    }
}

/// Answer a SQL statement.
///
/// The tables of SOURCE need no prefix; its schema is called as the file or the folder, and the demo's is demo. Several
/// statements are separated by `;`; their answers come one after another.
#[derive(Debug, ClapArgs)]
#[command(
    override_usage = "flamesql query [OPTIONS] [SOURCE] <SQL>\n       flamesql query [OPTIONS] [SOURCE] --file <FILE>",
    after_help = SOURCE_HELP,
    after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql query \"SHOW TABLES\"
  flamesql query ./profiles --type cpu \"SELECT function, sum(self) FROM functions GROUP BY 1\"
  flamesql query ./profiles -f top.sql --from 2026-11-10 -o top.csv
  flamesql query --source old=./monday --source new=./friday -f compare.sql
  echo \"SELECT * FROM profile_types\" | flamesql query --format json\n\n\
With a server:
  flamesql query http://localhost:4040 --type cpu --from now-6h \\
    \"SELECT service_name, sum(value) FROM series GROUP BY 1\"")
)]
pub(crate) struct Query {
    /// A URL, a file or a folder of profiles
    #[arg(value_name = "SOURCE")]
    pub(crate) first: Option<OsString>,
    /// The statement; a single word is this and not SOURCE
    #[arg(value_name = "SQL")]
    pub(crate) second: Option<OsString>,
    /// Read the statement from a file, `-` for stdin; without SQL and FILE it is read from stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "second")]
    pub(crate) file: Option<PathBuf>,
    /// The profile type where the statement names none: its id, or a part of it that is unique at the source
    #[arg(long = "type", value_name = "ID")]
    pub(crate) profile_type: Option<String>,
    /// Attach one more source as schema NAME; may be repeated
    #[arg(long = "source", value_name = "NAME=SOURCE")]
    pub(crate) sources: Vec<OsString>,
    /// Beyond so much memory, such as 512M, sorts and groups go on in temporary files
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    pub(crate) memory_limit: Option<usize>,
    #[command(flatten)]
    pub(crate) range: Range,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) output: Output<RowFormat>,
}

/// Show the flame graph of a selection: all its profiles, added up.
///
/// The tree and the table are for people: values are scaled, and what is small is counted in a line of its own. The other
/// formats are complete.
#[derive(Debug, ClapArgs)]
#[command(after_help = SOURCE_HELP, after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql profile cpu.pb.gz
  flamesql profile ./profiles --type cpu --selector '{{version=\"1.5.0\"}}' --format table
  flamesql profile ./profiles --type inuse_space --from 2026-11-10 -o heap.pb.gz"))]
pub(crate) struct Profile {
    /// A URL, a file or a folder of profiles
    pub(crate) source: Option<OsString>,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Keep about so many nodes of the flame graph, the largest; what is cut is called `other`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_nodes: Option<u32>,
    /// Count what is below this share of the total instead of showing it (tree and table) [default: 0.5]
    #[arg(long, value_name = "PERCENT")]
    pub(crate) min_percent: Option<f64>,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) output: Output<ProfileFormat>,
}

/// Show values over time: one row for each bin of time and group of labels that has data.
#[derive(Debug, ClapArgs)]
#[command(after_help = SOURCE_HELP, after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql series ./profiles --type cpu --group-by pod,version --step 1m
  flamesql series --selector '{{region=\"eu\"}}' --type alloc_space --format jsonl"))]
pub(crate) struct Series {
    /// A URL, a file or a folder of profiles
    pub(crate) source: Option<OsString>,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Keep these labels apart
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    pub(crate) group_by: Vec<String>,
    /// The width of a bin; bins are counted from the epoch
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) step: String,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) output: Output<RowFormat>,
}

impl Series {
    pub(crate) fn step(&self) -> anyhow::Result<Step> {
        let step = duration("--step", &self.step)?;
        Ok(step)
    }
}

/// List the profile types of a source.
///
/// `short` is what `--type` takes for the id.
#[derive(Debug, ClapArgs)]
#[command(after_help = SOURCE_HELP, after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql types
  flamesql types ./profiles --from 2026-11-10T09:01:00Z --format json"))]
pub(crate) struct Types {
    /// A URL, a file or a folder of profiles
    pub(crate) source: Option<OsString>,
    #[command(flatten)]
    pub(crate) range: Range,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) output: Output<RowFormat>,
}

/// List the labels of a source with the number of their values; or the values of one, with the number of series that
/// have it.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = SOURCE_HELP,
    after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql labels
  flamesql labels service_name
  flamesql labels ./profiles pod --selector '{{region=\"eu\"}}'")
)]
pub(crate) struct Labels {
    /// A URL, a file or a folder of profiles
    #[arg(value_name = "SOURCE")]
    pub(crate) first: Option<OsString>,
    /// The label whose values are listed; a single word is this, unless there is a file or folder called so
    #[arg(value_name = "NAME")]
    pub(crate) second: Option<String>,
    /// Only of this profile type: its id, or a part of it that is unique at the source
    #[arg(long = "type", value_name = "ID")]
    pub(crate) profile_type: Option<String>,
    /// Only of series with these labels, such as '{service_name="checkout"}'
    #[arg(long, value_name = "SELECTOR", default_value = "{}", hide_default_value = true)]
    pub(crate) selector: String,
    #[command(flatten)]
    pub(crate) range: Range,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) output: Output<RowFormat>,
}

/// Which profiles are meant.
#[derive(Debug, ClapArgs)]
pub(crate) struct Select {
    /// The profile type: its id, or a part of it that is unique at the source, such as cpu
    #[arg(long = "type", value_name = "ID")]
    pub(crate) profile_type: Option<String>,
    /// Only series with these labels, such as '{service_name="checkout"}'
    #[arg(long, value_name = "SELECTOR", default_value = "{}", hide_default_value = true)]
    pub(crate) selector: String,
    #[command(flatten)]
    pub(crate) range: Range,
}

/// When.
#[derive(Debug, ClapArgs)]
pub(crate) struct Range {
    /// Where the range of time begins [default: with the first profile; at a server an hour before the end]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Where it ends [default: after the last profile; at a server now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
}

impl Range {
    /// The range that is meant; `is_finite` says whether all of time may be asked for.
    pub(crate) fn parse(&self, is_finite: bool) -> Result<TimeRange, flamesql_profile::Error> {
        const HOUR: i64 = 3_600_000_000_000;
        let now = now();
        let side = |text: &Option<String>| text.as_deref().map(|t| parse_time(t, now)).transpose();
        let (from, to) = (side(&self.from)?, side(&self.to)?);
        let end = to.unwrap_or(if is_finite { Timestamp::MAX } else { now });
        let start =
            from.unwrap_or(if is_finite { Timestamp::MIN } else { end.saturating_add(-HOUR) });
        TimeRange::new(start, end)
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 or after 2262 is as good as none.
    let nanos = since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok());
    Timestamp::from_nanos(nanos.unwrap_or(0))
}

/// Whether a text is a host and a port.
pub(crate) fn is_address(text: &str) -> bool {
    let authority = text.split('/').next().unwrap_or_default();
    authority.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Say whether a source answers, what it is, and what it can do.
///
/// It asks for names only, so it costs a server next to nothing. The exit code is 0 if the source answers.
#[derive(Debug, ClapArgs)]
#[command(after_help = SOURCE_HELP, after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql check
  flamesql check ./profiles

With a server:
  flamesql check http://localhost:4040
  PROFILECLI_TOKEN=... flamesql check https://profiles.example.com --tenant team-a"))]
pub(crate) struct Check {
    /// A URL, a file or a folder of profiles
    pub(crate) source: Option<OsString>,
    #[command(flatten)]
    pub(crate) range: Range,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// Serve a source as a Pyroscope server on this machine, and as a data source of Grafana's HTTP API.
///
/// Grafana's Pyroscope data source, profilecli and flamesql itself can ask it; POST /api/ds/query answers queries in data
/// frames, and POST /api/sql statements. It answers as Pyroscope 2 does, at a grain of
/// a millisecond, and only programs on this machine unless there is an access token.
#[derive(Debug, ClapArgs)]
#[command(after_help = SOURCE_HELP, after_long_help = format!("{SOURCE_HELP}\n\n\
Examples:
  flamesql serve ./profiles
  flamesql serve --push --listen 127.0.0.1:4040
  flamesql serve --config provisioning/datasources

With a server:
  flamesql serve http://localhost:4040"))]
pub(crate) struct Serve {
    /// A URL, a file or a folder of profiles
    pub(crate) source: Option<OsString>,
    /// Serve the data sources of a provisioning file of Grafana's, or of a folder of them; the default one is the Pyroscope
    /// server [env: FLAMESQL_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "push"])]
    pub(crate) config: Option<PathBuf>,
    /// What each request has to have, as a bearer token or as the password of basic authentication; others than this machine
    /// may ask then. Who can list processes sees it, and not the environment's
    #[arg(long, value_name = "TOKEN", env = "FLAMESQL_ACCESS_TOKEN", hide_env_values = true)]
    pub(crate) access_token: Option<String>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4180")]
    pub(crate) listen: String,
    /// Serve what is pushed here instead of a source, from memory, until the program ends
    #[arg(long, conflicts_with = "source")]
    pub(crate) push: bool,
    /// How long requests that were begun have to come to their end, once the program is told to
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(crate) grace: String,
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Do not log requests
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How a server is reached, and as whom. Nothing of it goes to a file or a folder.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Servers")]
pub(crate) struct Connect {
    /// What kind of server it is [default: found out by asking]
    #[arg(long, value_name = "TYPE", value_parser = ["phlare", "pyroscope", "grafana-pyroscope", "legacy-pyroscope"])]
    pub(crate) backend_type: Option<String>,
    /// Basic authentication; who can list processes sees it, and the environment's PROFILECLI_USERNAME and
    /// PROFILECLI_PASSWORD are not seen
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) user: Option<String>,
    /// Bearer token; who can list processes sees it, and the environment's PROFILECLI_TOKEN is not seen
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    pub(crate) token: Option<String>,
    /// Tenant, sent as X-Scope-OrgID [env: PROFILECLI_TENANT_ID]
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// A further header; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Show the server this certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not that of the URL
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Take any certificate: nobody can tell who answers
    #[arg(long)]
    pub(crate) insecure: bool,
    /// How long one request may take, repetitions included
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: String,
    /// The longest range of one request; longer ones are cut and added up
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(crate) max_range: String,
    /// How large the answer to one request may be, decoded [default: 1G, and 256M where it holds no stacks]
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    pub(crate) max_answer: Option<usize>,
    /// Send messages as JSON, to be read on the wire
    #[arg(long, hide = true)]
    pub(crate) json_messages: bool,
}

/// Where the answer goes, and in which form.
#[derive(Debug, ClapArgs)]
pub(crate) struct Output<F: ValueEnum + Clone + Send + Sync + 'static> {
    /// The form of the answer [default: as FILE ends, else the first one]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<F>,
    /// Write the answer to a file, which is there only once it is complete
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Fail if anything is skipped or missing
    #[arg(long)]
    pub(crate) strict: bool,
    /// Say nothing but errors on stderr
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl<F: Ending> Output<F> {
    /// The format that was asked for, by name or by the ending of the file.
    ///
    /// An ending that means a format which is not here is an error: `answer.parquet` would hold a table for people.
    pub(crate) fn format(&self) -> Result<F, Usage> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let path = self.output.as_deref().unwrap_or_else(|| Path::new("-"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if let Some((_, format)) = F::ENDINGS.iter().find(|(ending, _)| ends(&[ending])) {
            return Ok(*format);
        }
        if !ends(OTHERS) {
            return Ok(F::DEFAULT);
        }
        let endings: Vec<&str> = F::ENDINGS.iter().map(|(ending, _)| *ending).collect();
        let what = format!("{} would not be what its ending says", path.display());
        let hint = format!("endings known here are {}; --format names one", endings.join(", "));
        Err(Usage::new(what).with_hint(hint))
    }
}

/// Endings of formats that people have programs for, and that one command or the other here does not write.
const OTHERS: &[&str] = &[
    ".arrow", ".arrows", ".avro", ".csv", ".db", ".duckdb", ".feather", ".folded", ".gz", ".html",
    ".ipc", ".json", ".jsonl", ".md", ".ndjson", ".orc", ".parquet", ".pb", ".pprof", ".prof",
    ".sqlite", ".svg", ".tsv", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip", ".zst",
];

/// A format that the ending of a file's name may choose.
pub(crate) trait Ending: ValueEnum + Copy + Send + Sync + 'static {
    const DEFAULT: Self;
    const ENDINGS: &[(&str, Self)];
}

/// A form of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Columns side by side, for people, also where stdout is not a terminal
    Table,
    /// One array of objects
    Json,
    /// An object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// A table for a Markdown document
    Markdown,
    /// An Arrow IPC stream
    Arrow,
    /// A data frame of Grafana's, as JSON
    Frame,
}

impl RowFormat {
    /// The engine's format; `None` for the table, which is the terminal's, and for Grafana's.
    pub(crate) fn of_engine(self) -> Option<output::Format> {
        match self {
            Self::Table | Self::Frame => None,
            Self::Json => Some(output::Format::Json),
            Self::Jsonl => Some(output::Format::Jsonl),
            Self::Csv => Some(output::Format::Csv),
            Self::Markdown => Some(output::Format::Markdown),
            Self::Arrow => Some(output::Format::Arrow),
        }
    }
}

impl Ending for RowFormat {
    const DEFAULT: Self = Self::Table;
    const ENDINGS: &[(&str, Self)] = &[
        (".json", Self::Json),
        (".jsonl", Self::Jsonl),
        (".ndjson", Self::Jsonl),
        (".csv", Self::Csv),
        (".md", Self::Markdown),
        (".arrow", Self::Arrow),
        (".arrows", Self::Arrow),
    ];
}

/// A form of flame graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileFormat {
    /// An indented tree, callers above callees
    Tree,
    /// The functions with self and total, as pprof -top
    Table,
    /// Nested objects of name, self, total and children
    Json,
    /// A stack and its value a line, as for flamegraph.pl
    Folded,
    /// A gzipped pprof profile
    Pprof,
}

impl Ending for ProfileFormat {
    const DEFAULT: Self = Self::Tree;
    const ENDINGS: &[(&str, Self)] = &[
        (".json", Self::Json),
        (".folded", Self::Folded),
        (".collapsed", Self::Folded),
        (".pb.gz", Self::Pprof),
        (".pprof", Self::Pprof),
        (".prof", Self::Pprof),
    ];
}

/// A number of bytes with `K`, `M` or `G` behind it, with or without a `B`; a bare number is bytes.
fn memory_size(text: &str) -> Result<usize, String> {
    let unread = || "a size such as 512M or 2G is expected".to_owned();
    let upper = text.trim().to_ascii_uppercase();
    let upper = upper.strip_suffix('B').unwrap_or(&upper);
    let unit = match upper.as_bytes().last() {
        Some(b'K') => 1 << 10,
        Some(b'M') => 1 << 20,
        Some(b'G') => 1 << 30,
        _ => 1_usize,
    };
    let number = if unit > 1 { &upper[..upper.len() - 1] } else { upper };
    let number: usize = number.trim().parse().map_err(|_| unread())?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(unread)
}

/// Reads a selector and makes sure that its regexes compile, so that a mistake is shown in its place.
pub(crate) fn selector(text: &str) -> Result<Selector, flamesql_selector::Error> {
    let selector = Selector::parse_or_all(text)?;
    Filter::new(&selector)?;
    Ok(selector)
}

/// A length of time above zero that stands behind an option.
pub(crate) fn duration(option: &str, text: &str) -> anyhow::Result<Step> {
    let step = Step::from_nanos(parse_duration(text)?);
    step.ok_or_else(|| Usage::new(format!("{option} {text:?} is not above zero")).into())
}

/// Makes sure that a hint which looks like an id is one, and says so before anything is read.
pub(crate) fn check_profile_type(hint: Option<&str>) -> Result<(), flamesql_profile::Error> {
    match hint {
        Some(id) if id.contains(':') => ProfileType::parse(id).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_file_may_name_its_format() {
        let format = |words: &str| {
            let args = Args::try_parse_from(words.split(' ')).unwrap();
            match args.command {
                Some(Command::Types(types)) => types.output.format().map_err(|e| e.to_string()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(format("flamesql types"), Ok(RowFormat::Table));
        assert_eq!(format("flamesql types -o a.CSV"), Ok(RowFormat::Csv));
        assert_eq!(format("flamesql types -o a.json.txt"), Ok(RowFormat::Table));
        assert_eq!(format("flamesql types -o a.csv --format json"), Ok(RowFormat::Json));
        for name in ["/dev/fd.d/1", "tmp.2K4aobBOge", "x.TXT", "answer.2026-11-25", "x."] {
            assert_eq!(
                format(&format!("flamesql types -o {name}")),
                Ok(RowFormat::Table),
                "{name}"
            );
        }
        assert_eq!(
            format("flamesql types -o a.parquet"),
            Err("a.parquet would not be what its ending says".to_owned())
        );
        assert_eq!(format("flamesql types -o a.parquet --format csv"), Ok(RowFormat::Csv));
    }
}
