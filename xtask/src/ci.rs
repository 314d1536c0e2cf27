//! The gate: every check in turn, then one table.
//!
//! A failed check does not end the run, so that one run shows all there is to mend.

use std::{path::Path, time::Instant};

use crate::{cargo, codegen, tidy};

/// Name, arguments of cargo, environment and, where it is not plain, what to do if it fails.
struct Check {
    name: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    hint: &'static str,
}

const CHECKS: &[Check] = &[
    Check {
        name: "fmt",
        args: &["fmt", "--all", "--check"],
        env: &[],
        hint: "run `cargo fmt --all`",
    },
    Check {
        name: "clippy",
        args: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        env: &[],
        hint: "",
    },
    Check {
        name: "doc",
        args: &["doc", "--workspace", "--no-deps", "--document-private-items"],
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        hint: "",
    },
    Check {
        name: "deny",
        args: &["deny", "check", "bans", "licenses", "sources"],
        env: &[],
        hint: "needs `cargo install cargo-deny --locked`; deny.toml says why each rule is there",
    },
];

/// Whether all is in order.
type Task = fn(&Path) -> anyhow::Result<bool>;

/// What this program checks itself: name, what to type for it alone, and how.
const OWN: &[(&str, &str, Task)] =
    &[("codegen", "codegen --check", |root| codegen::run(root, true)), ("tidy", "tidy", tidy::run)];

struct Outcome {
    name: &'static str,
    passed: bool,
    seconds: f64,
    hint: &'static str,
}

/// Runs all checks and prints what came of them. Whether all passed.
pub(crate) fn run(root: &Path) -> bool {
    let mut outcomes = Vec::new();
    for check in CHECKS {
        println!("--- cargo {}", check.args.join(" "));
        let start = Instant::now();
        let status = cargo(root).args(check.args).envs(check.env.iter().copied()).status();
        outcomes.push(Outcome {
            name: check.name,
            passed: status.is_ok_and(|status| status.success()),
            seconds: start.elapsed().as_secs_f64(),
            hint: check.hint,
        });
    }
    for (name, args, task) in OWN {
        println!("--- cargo xtask {args}");
        let start = Instant::now();
        let passed = task(root).unwrap_or_else(|error| {
            println!("{error:#}");
            false
        });
        outcomes.push(Outcome { name, passed, seconds: start.elapsed().as_secs_f64(), hint: "" });
    }
    print!("\n{}", table(&outcomes));
    outcomes.iter().all(|outcome| outcome.passed)
}

fn table(outcomes: &[Outcome]) -> String {
    outcomes
        .iter()
        .map(|outcome| {
            let word = if outcome.passed { "ok" } else { "FAILED" };
            let hint = if outcome.passed { "" } else { outcome.hint };
            let line = format!("{:<8}{:<8}{:>6.1} s  {hint}", outcome.name, word, outcome.seconds);
            line.trim_end().to_owned() + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_hint() {
        let outcome = |name, passed| Outcome { name, passed, seconds: 1.25, hint: "mend it" };
        assert_eq!(
            table(&[outcome("fmt", true), outcome("deny", false)]),
            "fmt     ok         1.2 s\ndeny    FAILED     1.2 s  mend it\n"
        );
    }
}
