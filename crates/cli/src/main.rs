//! The program `flamesql`: what was typed becomes a question to a source, and its answer bytes on stdout.
//!
//! Data goes to stdout; what is worth knowing about it, notices and errors go to stderr.

mod args;
mod check;
mod demo;
mod failure;
mod footer;
mod names;
mod profile;
mod query;
mod rows;
mod series;
mod serve;
mod sink;
mod source;
mod table;
mod text;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
    thread,
};

use clap::Parser as _;

use crate::args::{Args, Command};

/// What `flamesql` alone answers.
const WELCOME: &str = "\
flamesql asks continuous profiles in SQL. These run as they stand, on the demo inside the program:

    flamesql types
    flamesql profile
    flamesql query \"SELECT function, sum(self) AS self FROM functions GROUP BY 1 ORDER BY 2 DESC LIMIT 5\"

To ask your own pprof files, name a file or a folder behind the command: flamesql types ./profiles
All commands: flamesql --help
";

fn main() -> ExitCode {
    let args = match Args::try_parse_from(env::args_os().map(not_an_option)) {
        Ok(args) => args,
        Err(error) => return failure::refuse(&error),
    };
    let Some(command) = args.command else {
        let mut stdout = io::stdout().lock();
        return match stdout.write_all(WELCOME.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::report(&error.into(), false),
        };
    };
    let is_strict = command.is_strict();
    match on_large_stack(|| run(&command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, is_strict),
    }
}

/// A statement that begins with a comment is no option; a blank in front of it makes that plain.
fn not_an_option(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) if text.starts_with("-- ") || text.starts_with("--\n") => {
            format!("\n{text}").into()
        }
        _ => arg,
    }
}

/// How much stack a thread may use: the planner goes as deep as a statement. It costs nothing that is not used.
const STACK: usize = 256 << 20;

fn on_large_stack(work: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn run(command: &Command) -> anyhow::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().thread_stack_size(STACK).build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Query(args) => query::run(args).await,
            Command::Profile(args) => profile::run(args).await,
            Command::Series(args) => series::run(args).await,
            Command::Types(args) => names::types(args).await,
            Command::Labels(args) => names::labels(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Serve(args) => serve::run(args).await,
        }
    });
    // A thread that still reads a file is not waited for.
    runtime.shutdown_background();
    done
}
