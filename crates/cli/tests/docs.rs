//! The commands that help and manuals show: they run, and answer what is written.
//!
//! In a manual a block ```` ```sh run ```` is run in a folder of examples; if a block ```` ```text ```` follows, that is
//! its stdout. `cargo run --release --` stands for the program there. `FLAMESQL_UPDATE_DOCS=1 cargo test -p flamesql-cli` writes what comes out into the manual instead.

use std::{fs, path::Path};

use crate::run::Place;

/// The blocks of a manual that are to be run, each with the lines of the text that follows it.
struct Example {
    line: usize,
    command: String,
    /// From the line behind ```` ```text ```` to that of its end.
    text: Option<std::ops::Range<usize>>,
}

fn examples(lines: &[String]) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut at = 0;
    let end_of =
        |from: usize| from + lines[from..].iter().position(|l| l == "```").expect("a block ends");
    while at < lines.len() {
        if lines[at] != "```sh run" {
            at += 1;
            continue;
        }
        let end = end_of(at + 1);
        let command = lines[at + 1..end].join("\n");
        let next = (end + 1..lines.len()).find(|idx| !lines[*idx].is_empty());
        let text = next.filter(|idx| lines[*idx] == "```text").map(|idx| idx + 1..end_of(idx + 1));
        examples.push(Example { line: at + 1, command, text });
        at = end + 1;
    }
    examples
}

fn check(path: &Path) -> usize {
    let Ok(manual) = fs::read_to_string(path) else { return 0 };
    let is_update = std::env::var_os("FLAMESQL_UPDATE_DOCS").is_some();
    let mut lines: Vec<String> = manual.lines().map(str::to_owned).collect();
    let examples = examples(&lines);
    // From the last to the first, so that what is written does not move what is still to come.
    for example in examples.iter().rev() {
        let place = Place::with_profiles();
        let run = place.shell(&example.command.replace("cargo run --release --", "flamesql"));
        let shown = format!("{}:{}: {}", path.display(), example.line, example.command);
        assert_eq!(run.code, Some(0), "{shown}\n{}", run.stderr);
        let Some(text) = example.text.clone() else { continue };
        let answer: Vec<String> = run.text().lines().map(str::to_owned).collect();
        if is_update {
            lines.splice(text, answer);
        } else {
            assert_eq!(lines[text], answer, "{shown}\n{}", run.text());
        }
    }
    if is_update {
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    examples.len()
}

#[test]
fn the_manual() {
    assert!(check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")) >= 8);
}

#[test]
fn the_first_page() {
    // Not there where the crate was unpacked alone.
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"));
}

#[test]
fn the_help_of_each_command() {
    let mut n_examples = 0;
    for command in ["", "query", "profile", "series", "types", "labels", "check", "serve"] {
        let place = Place::with_profiles();
        let run = place.shell(&format!("flamesql {command} --help"));
        let help = run.ok();
        let at = help.find("Examples").unwrap_or_else(|| panic!("{command} has examples"));
        for line in help[at..].lines().skip(1).map_while(|line| line.strip_prefix("  ")) {
            if command == "serve" {
                // It goes on until somebody stops it: `serve.rs` does so.
                continue;
            }
            let run = place.shell(line);
            assert_eq!(run.code, Some(0), "{line}\n{}", run.stderr);
            n_examples += 1;
        }
        assert!(!help.contains("possible to see secrets"));
        let short = place.shell(&format!("flamesql {command} -h"));
        assert!(short.ok().lines().count() < help.lines().count(), "{}", short.text());
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    assert!(n_examples >= 16, "{n_examples}");
    let version = Place::new().shell("flamesql --version");
    assert_eq!(version.ok(), concat!("flamesql ", env!("CARGO_PKG_VERSION"), "\n"));
}
