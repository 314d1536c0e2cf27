//! Manifests: versions in one place, tables in order, and all that a published crate shows.
//!
//! The text is read line by line, not as TOML: order and blank lines, which the checks are about, are not in the data.

use super::{Failure, Package};

/// A version that is written outside the root manifest.
#[derive(Debug)]
pub(crate) struct OwnVersion {
    pub(crate) manifest: &'static str,
    pub(crate) dependency: &'static str,
    #[expect(dead_code, reason = "the table has it for its readers")]
    pub(crate) reason: &'static str,
}

/// A published crate has all fields, and its dependencies of this workspace have a version as well as a path.
pub(crate) fn check_published(package: &Package) -> Vec<Failure> {
    if !package.published {
        return Vec::new();
    }
    let mut failures: Vec<Failure> = package
        .missing
        .iter()
        .map(|field| {
            Failure::new(
                &package.manifest,
                format!("{} is published without {field}", package.name),
                "write it or set publish = false",
            )
        })
        .collect();
    // A dependency of tests without a version is left out of the published manifest, which is fine.
    for dependency in package.dependencies.iter().filter(|d| d.has_path && !d.is_dev) {
        if dependency.version == "*" {
            failures.push(Failure::new(
                &package.manifest,
                format!("{} has a path and no version", dependency.name),
                "give its entry of the root manifest both",
            ));
        }
    }
    failures
}

/// Versions come from the root manifest, and each dependency table is sorted between its blank lines.
pub(crate) fn check_text(file: &str, text: &str, own_versions: &[OwnVersion]) -> Vec<Failure> {
    // A manifest with a workspace table is the one place for versions, that of libfuzzer's own workspace included.
    let is_root = text.lines().any(|line| line.trim() == "[workspace]");
    let mut failures = Vec::new();
    let mut in_table = false;
    let mut depth = 0_usize;
    let mut before: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        if depth == 0 {
            if line.is_empty() {
                before = None;
            } else if let Some(section) = line.strip_prefix('[') {
                let section = section.trim_end_matches(']');
                in_table = section.ends_with("dependencies");
                before = None;
                if section.contains("dependencies.") {
                    failures.push(Failure::new(
                        file,
                        format!("[{section}] is a table of its own"),
                        "write it as one line of the dependency table",
                    ));
                }
                continue;
            } else if in_table && !line.starts_with('#') {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                let name = key.trim().trim_end_matches(".workspace").trim_matches('"');
                if let Some(before) = before.filter(|before| *before > name) {
                    failures.push(Failure::new(
                        file,
                        format!("{name} stands after {before}"),
                        "sort the table, or part its groups with a blank line",
                    ));
                }
                before = Some(name);
                let is_inherited =
                    key.trim().ends_with(".workspace") || value.contains("workspace = true");
                let is_listed =
                    own_versions.iter().any(|own| own.manifest == file && own.dependency == name);
                if !is_root && !is_inherited && !is_listed {
                    failures.push(Failure::new(
                        file,
                        format!("{name} has a version of its own"),
                        "move it to the root manifest and write `workspace = true`, or list it with a reason in OWN_VERSIONS",
                    ));
                }
            }
        }
        depth = depth_after(line, depth);
    }
    failures
}

/// How many brackets are open at the end of a line: an array may go over several.
fn depth_after(line: &str, mut depth: usize) -> usize {
    let mut in_quotes = false;
    for c in line.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            '#' if !in_quotes => break,
            '[' | '{' if !in_quotes => depth += 1,
            ']' | '}' if !in_quotes => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::{super::packages::Dependency, *};

    fn what(file: &str, text: &str) -> Vec<String> {
        let own = [OwnVersion { manifest: "a/Cargo.toml", dependency: "tokio", reason: "r" }];
        check_text(file, text, &own).into_iter().map(|failure| failure.what).collect()
    }

    #[test]
    fn a_manifest_in_order() {
        let text = "[package]\nzeta = 1\nalpha = 2\n\n[dependencies]\n# Why.\na.workspace = true\nb = { workspace = true, features = [\n  \"z\",\n  \"c\", # ]\n] }\ntokio = \"1\"\n\n[dev-dependencies]\na.workspace = true\n";
        assert_eq!(what("a/Cargo.toml", text), [""; 0]);
        assert_eq!(
            what("Cargo.toml", "[workspace]\n[workspace.dependencies]\nz = \"1\"\n\na = \"2\"\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_version_outside_the_root() {
        assert_eq!(
            what(
                "b/Cargo.toml",
                "[dependencies]\ntokio = \"1\"\n[target.'cfg(unix)'.dependencies]\nlibc = { version = \"1\" }\n"
            ),
            ["tokio has a version of its own", "libc has a version of its own"]
        );
        assert_eq!(
            what("b/Cargo.toml", "[dependencies.tokio]\nversion = \"1\"\n"),
            ["[dependencies.tokio] is a table of its own"]
        );
    }

    #[test]
    fn an_unsorted_table() {
        assert_eq!(
            what("b/Cargo.toml", "[build-dependencies]\nb.workspace = true\na.workspace = true\n"),
            ["a stands after b"]
        );
        assert_eq!(
            what(
                "Cargo.toml",
                "[workspace]\n[workspace.dependencies]\nb = { version = \"1\", features = [\n\"x\",\n] }\na = \"2\"\n"
            ),
            ["a stands after b"]
        );
    }

    #[test]
    fn a_published_crate_shows_what_it_is() {
        let dependency = |name: &str, is_dev| Dependency {
            name: name.to_owned(),
            is_dev,
            has_path: true,
            version: "*".to_owned(),
        };
        let mut package = Package {
            name: "a".to_owned(),
            manifest: "a/Cargo.toml".to_owned(),
            published: true,
            missing: vec!["readme"],
            dependencies: vec![dependency("b", false), dependency("c", true)],
        };
        let shown: Vec<_> = check_published(&package).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "a/Cargo.toml: a is published without readme; write it or set publish = false",
                "a/Cargo.toml: b has a path and no version; give its entry of the root manifest both",
            ]
        );
        package.published = false;
        assert_eq!(check_published(&package), []);
    }
}
