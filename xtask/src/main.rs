//! The tasks of this workspace: `cargo xtask ci` is the gate, `cargo xtask tidy` the part of it that is ours.
//!
//! A program and not a script, so that the gate is the same on every system and its checks have tests.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to whoever started it"
)]

mod ci;
mod codegen;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "\
usage: cargo xtask <task>

  ci     all that must hold before a commit: fmt, clippy, doc, deny, codegen, tidy
  codegen [--check]
         the messages in crates/proto from proto/; or only whether they are as they should be
  tidy   layers, dependency budgets, manifests and source files
";

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let passed = match args.as_slice() {
        ["ci"] => ci::run(&root()),
        ["codegen"] => codegen::run(&root(), false)?,
        ["codegen", "--check"] => codegen::run(&root(), true)?,
        ["tidy"] => tidy::run(&root())?,
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            true
        }
        _ => {
            eprint!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of the workspace: the one above this package, which `cargo run` names.
///
/// Clones that share build output share this program as well, so where it was built is the second choice.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().expect("the package lies in the workspace").to_owned()
}

/// The cargo that runs this program, in the folder of the workspace.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}
