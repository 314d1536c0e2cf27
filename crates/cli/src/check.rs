//! Whether a source answers, what it is, and what it can do: what somebody wants to know who was called at night.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use flamesql_backend::{MetaQuery, ServerKind};
use flamesql_profile::{ProfileType, format_duration};
use flamesql_selector::Selector;

use crate::{args::Check, footer, source::Source, text};

/// How many names are shown of a list.
const MAX_NAMES: usize = 12;

/// `flamesql check`.
pub(crate) async fn run(args: &Check) -> anyhow::Result<()> {
    let start = Instant::now();
    let source = Source::open(args.source.as_deref(), &args.connect, false).await?;
    let opened = start.elapsed();
    let backend = source.backend.as_ref();
    let capabilities = backend.capabilities();
    let range = args.range.parse(capabilities.is_finite)?;

    let start = Instant::now();
    let types = backend.profile_types(range).await?;
    let listed = start.elapsed();
    let meta = MetaQuery { profile_type: None, selector: Selector::all(), range };
    let labels = backend.label_names(&meta).await?;

    let mut report = Report::default();
    report.line("source", source.to_string());
    if let Some(server) = &source.server {
        report.line("server", server.kind().to_string());
        report.line("version", server.version().unwrap_or("it does not say"));
    }
    report.line(
        "answers",
        format!("in {} (opened in {})", milliseconds(listed), milliseconds(opened)),
    );
    report.line("exact to", format_duration(capabilities.grain.nanos()));
    if let Some(server) = &source.server {
        let max_range = args.connect.max_range.as_str();
        report.line("long ranges", format!("are asked for in slices of {max_range} and added up"));
        report.line("can choose by", listing(&can(&capabilities.only)));
        report.line("cannot", listing(&cannot(server.kind(), &capabilities.only)));
    }
    report.line("range", footer::range(range));
    let ids: Vec<&str> = types.iter().map(ProfileType::as_str).collect();
    report.line("profile types", counted(&ids));
    let names: Vec<&str> = labels.iter().map(String::as_str).collect();
    report.line("labels", counted(&names));
    for notice in source.notices() {
        report.line("notice", notice.to_string());
    }
    if types.is_empty() {
        report.line(
            "hint",
            "nothing in this range: is something sent to it? --from now-7d looks further back",
        );
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(report.0.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Lines of a name and what there is to say.
#[derive(Default)]
struct Report(String);

impl Report {
    fn line(&mut self, name: &str, what: impl AsRef<str>) {
        let what = text::one_line(what.as_ref());
        self.0.push_str(&format!("{:<15}{what}\n", format!("{name}:")));
    }
}

fn can(only: &flamesql_backend::OnlyCapabilities) -> Vec<&'static str> {
    let mut list = vec!["label", "time"];
    list.extend(only.spans.then_some("span (in_span)"));
    list.extend(only.traces.then_some("trace (in_trace)"));
    list.extend(only.profiles.then_some("profile (in_profile)"));
    list
}

fn cannot(kind: ServerKind, only: &flamesql_backend::OnlyCapabilities) -> Vec<&'static str> {
    let mut list = Vec::new();
    list.extend((!only.spans).then_some("choose by span"));
    list.extend((!only.traces).then_some("choose by trace"));
    list.extend((!only.profiles).then_some("choose or list single profiles"));
    if let ServerKind::Connect(generation) = kind {
        list.extend((!generation.lists_by_range()).then_some("list names of an older range"));
        list.extend(
            (!generation.lists_quoted_names())
                .then_some("show labels whose names need quotes, such as k8s.cluster"),
        );
    }
    list
}

fn listing(list: &[&str]) -> String {
    if list.is_empty() { "nothing that is missing".to_owned() } else { list.join(", ") }
}

fn counted(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_owned(),
        n if n > MAX_NAMES => format!("{n}: {shown}, ..."),
        n => format!("{n}: {shown}"),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
