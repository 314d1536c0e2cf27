//! Whether a source answers, what it is, and what it can do: what somebody wants to know who was called at night.

use std::{
    borrow::Borrow,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use flamesql_backend::{MetaQuery, OnlyCapabilities, Server, ServerKind};
use flamesql_profile::{ProfileType, format_duration};
use flamesql_selector::Selector;

use crate::{args::Check, footer, source::Source, text};

/// How many names are shown of a list.
const MAX_NAMES: usize = 12;

/// `flamesql check`.
///
/// What is known is said before the next thing is asked: a server that fails halfway has told something by then.
pub(crate) async fn run(args: &Check) -> anyhow::Result<()> {
    let start = Instant::now();
    let source = Source::open(args.source.as_deref(), &args.connect, false).await?;
    let opened = start.elapsed();
    let backend = source.backend.as_ref();
    let capabilities = backend.capabilities();
    let range = args.range.parse(capabilities.is_finite)?;

    let mut report = Report::default();
    report.line("source", source.to_string());
    if let Some(server) = &source.server {
        report.line("server", server.kind().to_string());
        report.line("version", server.version().unwrap_or("it does not say"));
    }
    if let Some(who) = &source.asked_as {
        report.line("asked as", who);
    }
    report.line("opened", format!("in {}", milliseconds(opened)));
    report.line("exact to", format_duration(capabilities.grain.nanos()));
    if let Some(server) = &source.server {
        let long = match server.kind() {
            ServerKind::Connect(_) => {
                let max_range = args.connect.max_range.as_str();
                format!("are asked for in slices of {max_range} and added up")
            }
            _ => "are asked for as a whole".to_owned(),
        };
        report.line("long ranges", long);
        let able = Able::of(server, capabilities.only);
        report.line("can choose by", listing(&able.can));
        report.line("cannot", listing(&able.cannot));
    }
    report.line("range", footer::range(range));
    let warning = source.server.as_ref().and_then(|server| server.warning());
    if let Some(warning) = warning {
        report.line("notice", warning.to_string());
    }
    report.print()?;

    let start = Instant::now();
    let types = backend.profile_types(range).await;
    let listed = start.elapsed();
    // What was skipped is known once it was looked for.
    for notice in backend.notices() {
        report.line("notice", notice.to_string());
    }
    report.print()?;
    let types = types?;
    report.line("answers", format!("in {}", milliseconds(listed)));
    let ids: Vec<&str> = types.iter().map(ProfileType::as_str).collect();
    report.line("profile types", counted(&ids));
    report.print()?;
    let meta = MetaQuery { profile_type: None, selector: Selector::all(), range };
    let labels = backend.label_names(&meta).await?;
    let names: Vec<&str> = labels.iter().map(String::as_str).collect();
    report.line("labels", counted(&names));
    match (types.is_empty(), capabilities.lists_all) {
        (false, _) => {}
        (true, true) => report.line(
            "hint",
            "nothing in this range: is something sent to it? --from now-7d looks further back",
        ),
        (true, false) => report.line("hint", "it lists what came last: is something sent to it?"),
    }
    if !capabilities.lists_all && args.range.from.is_some() {
        report.line("notice", "types and labels are those of what came last, whatever the range");
    }
    report.print()
}

/// Lines of a name and what there is to say.
#[derive(Default)]
struct Report(String);

impl Report {
    fn line(&mut self, name: &str, what: impl AsRef<str>) {
        let what = text::one_line(what.as_ref());
        self.0.push_str(&format!("{:<15}{what}\n", format!("{name}:")));
    }

    /// Writes the lines so far.
    fn print(&mut self) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(self.0.as_bytes())?;
        stdout.flush()?;
        self.0.clear();
        Ok(())
    }
}

/// What a server honours, as far as its kind and its version tell.
#[derive(Default)]
struct Able {
    can: Vec<String>,
    cannot: Vec<&'static str>,
}

impl Able {
    fn of(server: &Server, only: OnlyCapabilities) -> Self {
        let mut able = Self::default();
        able.can.extend(["label".to_owned(), "time".to_owned()]);
        let version = server.version().and_then(version);
        for (is_there, since, what, cannot) in [
            (only.spans, None, "span (in_span)", "choose by span"),
            (only.traces, Some((2, 2)), "trace (in_trace)", "choose by trace"),
            (only.profiles, None, "profile (in_profile)", "choose or list single profiles"),
        ] {
            match since.filter(|_| is_there) {
                _ if !is_there => able.cannot.push(cannot),
                Some(since) if version.is_some_and(|version| version < since) => {
                    able.cannot.push(cannot);
                }
                // What a version would pass over is refused once it is asked for.
                Some((major, minor)) if version.is_none() => {
                    able.can.push(format!("{what} if it is {major}.{minor} or newer"));
                }
                _ => able.can.push(what.to_owned()),
            }
        }
        if let ServerKind::Connect(generation) = server.kind() {
            able.cannot
                .extend((!generation.lists_by_range()).then_some("list names of an older range"));
            able.cannot.extend(
                (!generation.lists_quoted_names())
                    .then_some("show labels whose names need quotes, such as k8s.cluster"),
            );
        }
        able
    }
}

/// `v2.2.0` and `2.2.0-rc1` as major and minor.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn listing<T: Borrow<str>>(list: &[T]) -> String {
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_servers_write_them() {
        for (text, expected) in [
            ("2.2.0", Some((2, 2))),
            ("v1.15.0-rc.1", Some((1, 15))),
            ("0.37.2", Some((0, 37))),
            ("main-abc", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }
}
