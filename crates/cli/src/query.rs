//! The command that answers SQL.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use flamesql_backend::Notice;
use flamesql_engine::{Engine, ScanFacts, SessionOptions, TypeChoice};
use futures::TryStreamExt as _;

use crate::{
    args::{self, Query},
    failure::Usage,
    footer::{self, Footer, plural},
    rows::{self, Rows, Written},
    source::{self, Source},
};

/// `flamesql query`.
pub(crate) async fn run(args: &Query) -> anyhow::Result<()> {
    let format = args.output.format()?;
    args::check_profile_type(args.profile_type.as_deref())?;
    // The engine reads both again for each statement; a mistake is better said before anything is opened.
    args.range.parse(true)?;
    let (typed, sql) = statement(args)?;
    let is_strict = args.output.strict;
    let mut sources = Vec::new();
    // Who attaches sources and names no other does not ask the demo.
    let has_main = Source::is_named(typed) || args.sources.is_empty();
    if has_main {
        sources.push(Source::open(typed, &args.connect, is_strict).await?);
    }
    for typed in &args.sources {
        sources.push(Source::attach(typed, &args.connect, is_strict).await?);
    }
    source::check_names(&sources)?;
    let mut builder = Engine::builder();
    for source in &sources {
        builder = builder.source(&source.schema, Arc::clone(&source.backend));
    }
    let engine = builder.default_source(&sources[0].schema).build()?;
    let mut options = SessionOptions::default();
    options.from.clone_from(&args.range.from);
    options.to.clone_from(&args.range.to);
    options.profile_type.clone_from(&args.profile_type);
    options.strict = is_strict;
    options.memory_limit = args.memory_limit;
    let session = engine.session_with(&options)?;

    let mut sink = Some(rows::open(&args.output)?);
    let mut script = session.script(&sql)?;
    let mut written: Vec<Written> = Vec::new();
    let mut scans: Vec<ScanFacts> = Vec::new();
    let answers = async {
        while let Some(mut answer) = script.next().await? {
            // SET answers with nothing, which is shown where there is nothing else.
            let is_silent = answer.schema().fields().is_empty();
            let is_shown = !is_silent || (script.is_done() && written.is_empty());
            let mut rows = match is_shown {
                true => {
                    let sink = match written.last_mut() {
                        Some(before) => Some(before.go_on(format)?),
                        None => sink.take(),
                    };
                    sink.map(|sink| Rows::new(&answer.schema(), format, sink)).transpose()?
                }
                false => None,
            };
            while let Some(batch) = answer.try_next().await? {
                if let Some(rows) = &mut rows {
                    rows.write(&batch)?;
                }
            }
            if let Some(rows) = rows {
                written.push(rows.finish()?);
            }
            scans.extend(answer.facts().iter().cloned());
        }
        Ok::<(), anyhow::Error>(())
    };
    if let Err(error) = answers.await {
        // What stands already has its notices, whatever comes of the rest.
        if !written.is_empty() {
            let mut footer = Footer::default();
            footer.notices(&notices(&scans, &sources));
            footer.print(args.output.quiet);
        }
        return Err(error);
    }
    if written.is_empty() {
        return Err(Usage::new("there is no statement").with_hint("try SHOW TABLES").into());
    }

    let notices = notices(&scans, &sources);
    if is_strict {
        source::nothing_missing(&notices)?;
    }
    let mut footer = Footer::default();
    for (idx, source) in sources.iter().enumerate() {
        let schema =
            if idx == 0 && has_main { String::new() } else { format!("{} is ", source.schema) };
        footer.line("source", format!("{schema}{source}"));
    }
    for facts in &scans {
        footer.line("table", scan(facts));
    }
    footer.rows(&written);
    footer.notices(&notices);
    for written in written {
        written.commit()?;
    }
    footer.print(args.output.quiet);
    Ok(())
}

/// What is worth knowing of what was read, once each.
fn notices(scans: &[ScanFacts], sources: &[Source]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    let of_sources = sources.iter().flat_map(Source::notices);
    let of_scans =
        scans.iter().flat_map(|facts| facts.notices.iter().cloned().chain(facts.report.notices()));
    for notice in of_scans.chain(of_sources) {
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }
    notices
}

/// What a table was read for.
fn scan(facts: &ScanFacts) -> String {
    let mut what = format!("{}.{}", facts.source, facts.table);
    let types: Vec<String> = facts.profile_types.iter().map(ToString::to_string).collect();
    if facts.type_choice == TypeChoice::All && types.len() > 1 {
        what.push_str(&format!(" of all {} profile types", types.len()));
    } else if !types.is_empty() {
        what.push_str(&format!(" of {}", types.join(", ")));
        match footer::how(facts.type_choice) {
            "" => {}
            how => what.push_str(&format!(" ({how})")),
        }
    }
    what.push_str(&format!(", time {}", footer::range(facts.range)));
    if facts.is_coarse {
        what.push_str(", added up at the source");
    }
    let coverage = facts.report.coverage();
    if !coverage.is_complete() {
        what.push_str(&format!(
            ", PARTIAL: {} of {} slices answered",
            coverage.answered, coverage.asked
        ));
    } else if !facts.report.is_complete() {
        what.push_str(", PARTIAL: see the notices");
    }
    // Those that were made, where the source counts them.
    let made = Some(facts.report.requests()).filter(|n| *n > 0);
    if let Some(n) = made.or(facts.n_requests.map(|n| n as u64)) {
        what.push_str(&format!(", {}", plural(n, "request")));
    }
    what
}

/// The source that was typed, and the statement from wherever it is.
fn statement(args: &Query) -> anyhow::Result<(Option<&OsStr>, String)> {
    let text = |sql: &OsString| {
        sql.to_str().map(str::to_owned).ok_or_else(|| Usage::new("the statement is not UTF-8"))
    };
    let first = args.first.as_deref();
    let (typed, sql) = match (first, &args.second, &args.file) {
        (_, Some(sql), _) => (first, text(sql)?),
        (_, None, Some(file)) => (first, read(file)?),
        (Some(word), None, None) => {
            let is_word = !word.to_string_lossy().contains(char::is_whitespace);
            let shown = word.to_string_lossy();
            if is_word && source::is_source(word) {
                let shown = source::without_credentials(&shown);
                let usage =
                    Usage::new(format!("no statement: {shown:?} is a source")).with_hint(format!(
                        "try: flamesql query {shown} \"SHOW TABLES\", or -f FILE (- for stdin)"
                    ));
                return Err(usage.into());
            }
            (None, text(&word.to_owned())?)
        }
        (None, None, None) => (None, read(Path::new("-"))?),
    };
    if sql.trim().is_empty() {
        return Err(Usage::new("the statement is empty").into());
    }
    Ok((typed, sql))
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file != Path::new("-") {
        let unread =
            |error: io::Error| Usage::new(format!("cannot read {}: {error}", file.display()));
        return Ok(fs::read_to_string(file).map_err(unread)?);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // If stderr is closed, whoever typed it knows.
        let _ = writeln!(io::stderr(), "reading the statement from the terminal; Ctrl-D ends it");
    }
    let mut sql = String::new();
    stdin.lock().read_to_string(&mut sql).context("read the statement from stdin")?;
    Ok(sql)
}
