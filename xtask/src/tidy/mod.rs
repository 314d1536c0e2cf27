//! What the compiler does not check: who may use whom, what a crate may pull in, how manifests and files look.
//!
//! The rules are the tables below; the modules are the checks, each a function from text to failures.

mod budgets;
mod files;
mod layers;
mod manifests;
mod packages;

use std::{fmt, path::Path};

use anyhow::Context as _;

use self::{budgets::Budget, manifests::OwnVersion, packages::Package};
use crate::cargo;

/// The crates of each row may use those of lower rows only. Some of them are still to be written.
const LAYERS: &[&[&str]] = &[
    &["flamesql"],
    &["flamesql-cli"],
    &["flamesql-server", "flamesql-plugin"],
    &["flamesql-datasource"],
    &["flamesql-engine", "flamesql-frame"],
    &["flamesql-backend"],
    &["flamesql-selector", "flamesql-profile", "flamesql-proto"],
];

/// Packages that are not published: they may use all others and are used by none.
const TOOLS: &[&str] = &["flamesql-benches", "flamesql-fuzz", "xtask"];

/// A dependency whose name begins so is written in the manifests of these crates of ours only.
const SOLE_USERS: &[(&str, &[&str])] = &[
    ("datafusion", &["flamesql-engine"]),
    // One asks, the other one is asked.
    ("hyper", &["flamesql-backend", "flamesql-server"]),
    ("reqwest", &["flamesql-backend"]),
];

/// What a crate may pull in, all the way down.
const BUDGETS: &[Budget] = &[
    Budget::only(
        "flamesql-selector",
        "match",
        &["regex", "regex-automata", "regex-syntax", "aho-corasick", "memchr"],
    ),
    Budget::only("flamesql-selector", "", &[]),
    Budget::only("flamesql-profile", "", &["flate2", "zlib-rs"]),
    Budget::without("flamesql", "files", &["arrow", "datafusion", "tokio/net"]),
    Budget::without(
        "flamesql-backend",
        "files",
        &[
            "arrow",
            "h2",
            "hyper",
            "native-tls",
            "openssl",
            "reqwest",
            "rustls",
            "tokio/fs",
            "tokio/net",
        ],
    ),
    Budget::without("flamesql-backend", "legacy", OF_A_SERVER),
    Budget::without("flamesql-backend", "pyroscope", OF_A_SERVER),
];

/// What the way to a server does without: the engine's crates, and any TLS but rustls with ring.
const OF_A_SERVER: &[&str] = &[
    "arrow",
    "aws-lc-rs",
    "datafusion",
    "native-tls",
    "openssl",
    "openssl-sys",
    "tokio/fs",
    "tonic",
    "webpki-roots",
];

/// Versions that stand in the manifest of a crate, with the reason.
const OWN_VERSIONS: &[OwnVersion] = &[
    OwnVersion {
        manifest: "crates/backend/Cargo.toml",
        dependency: "tokio",
        reason: "features only add up, and a library needs fewer than the workspace's entry has",
    },
    OwnVersion {
        manifest: "crates/backend/Cargo.toml",
        dependency: "flamesql-backend",
        reason: "its tests ask for its own features, and a version would have to be published first",
    },
];

/// Each source file in these folders begins with `//!`.
const SOURCES: &[&str] = &["benches", "crates", "fuzz", "xtask"];

/// The first folder of paths that exist on one machine only.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "work"];

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    file: String,
    what: String,
    fix: String,
}

impl Failure {
    fn new(file: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.file, self.what, self.fix)
    }
}

/// Prints a line for each failure. Whether there was none.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let metadata = output(root, &["metadata", "--format-version", "1", "--no-deps"])?;
    let packages = packages::read(&metadata)?;
    let mut failures = layers::check(&packages, LAYERS, TOOLS);
    failures.extend(layers::check_sole_users(&packages, SOLE_USERS));
    for budget in BUDGETS {
        match packages.iter().find(|package| package.name == budget.package) {
            Some(package) => {
                let tree = output(root, &budget.tree_args())?;
                failures.extend(budgets::check(budget, &package.manifest, &tree));
            }
            None => failures.push(Failure::new(
                "xtask/src/tidy/mod.rs",
                format!("there is no package {} to keep within its budget", budget.package),
                "mend BUDGETS",
            )),
        }
    }
    failures.extend(packages.iter().flat_map(manifests::check_published));
    for file in files::list(root)? {
        let bytes = std::fs::read(root.join(&file)).with_context(|| format!("reading {file}"))?;
        // Fixtures are not text and may hold what they like.
        let Some(text) = files::as_text(&bytes) else { continue };
        if file == "Cargo.toml" || file.ends_with("/Cargo.toml") {
            failures.extend(manifests::check_text(&file, text, OWN_VERSIONS));
        }
        failures.extend(files::check_header(&file, text, SOURCES));
        failures.extend(files::check_paths(&file, text, MACHINE_FOLDERS));
    }
    for failure in &failures {
        println!("{failure}");
    }
    match failures.len() {
        0 => println!("tidy: {} packages in order", packages.len()),
        n => println!("tidy: {n} to mend"),
    }
    Ok(failures.is_empty())
}

fn output(root: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = cargo(root).args(args).output().context("starting cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("reading what cargo wrote")
}
