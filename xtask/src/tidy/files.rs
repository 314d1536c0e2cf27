//! Files: what each source begins with, and what none may mention.

use std::path::Path;

use anyhow::Context as _;

use super::Failure;

/// Folders of history, build output and other people's packages.
const NOT_OURS: &[&str] = &[".git", "node_modules", "target"];

/// All files of the repository, as paths from its root with `/` between the parts, sorted.
///
/// Found by walking, so that it works where there is no git.
pub(crate) fn list(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let kind = entry.file_type()?;
            let file = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if kind.is_file() {
                files.push(file);
            } else if kind.is_dir() && !NOT_OURS.contains(&name) {
                folders.push(file);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The bytes as text, if that is what they are.
pub(crate) fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// A source file begins with what lives in it.
pub(crate) fn check_header(file: &str, text: &str, folders: &[&str]) -> Option<Failure> {
    let folder = file.split('/').next().unwrap_or_default();
    let is_source = file.ends_with(".rs") && folders.contains(&folder);
    (is_source && !text.starts_with("//!")).then(|| {
        Failure::new(file, "does not begin with //!", "say in a sentence what lives in the file")
    })
}

/// No text names a path that exists on one machine only.
pub(crate) fn check_paths(file: &str, text: &str, folders: &[&str]) -> Vec<Failure> {
    let needles: Vec<String> = folders.iter().map(|folder| format!("/{folder}/")).collect();
    let mut failures = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        for needle in &needles {
            // In the middle of a path, such as a URL's, it is another matter.
            let is_absolute = |at: usize| {
                !line[..at].ends_with(|c: char| {
                    c.is_alphanumeric() || ['.', '_', '-', '}', '~'].contains(&c)
                })
            };
            if line.match_indices(needle.as_str()).any(|(at, _)| is_absolute(at)) {
                failures.push(Failure::new(
                    file,
                    format!("line {} has a path of one machine, {needle}..", idx + 1),
                    "write a path within the repository",
                ));
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_begin_with_a_sentence() {
        assert_eq!(check_header("crates/a/src/lib.rs", "//! A.\n", &["crates"]), None);
        assert_eq!(check_header("crates/a/README.md", "# A\n", &["crates"]), None);
        assert_eq!(check_header("build.rs", "fn main() {}\n", &["crates"]), None);
        let failure = check_header("crates/a/src/lib.rs", "// A.\n", &["crates"]).unwrap();
        assert_eq!(
            failure.to_string(),
            "crates/a/src/lib.rs: does not begin with //!; say in a sentence what lives in the file"
        );
    }

    #[test]
    fn paths_of_one_machine_are_named() {
        let folders = ["home", "root"];
        assert_eq!(check_paths("f", "https://example.com/home/x and src/root/y\n", &folders), []);
        let text = format!("a\nsee {}/me/x\n\"{}/y\"\n", "/home", "/root");
        let shown: Vec<_> =
            check_paths("f", &text, &folders).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                format!(
                    "f: line 2 has a path of one machine, {}/..; write a path within the repository",
                    "/home"
                ),
                format!(
                    "f: line 3 has a path of one machine, {}/..; write a path within the repository",
                    "/root"
                ),
            ]
        );
    }

    #[test]
    fn what_is_not_text_is_passed_over() {
        assert_eq!(as_text(b"a\0b"), None);
        assert_eq!(as_text(b"\xff"), None);
        assert_eq!(as_text("é".as_bytes()), Some("é"));
    }

    #[test]
    fn this_package_is_listed() {
        let files = list(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(files.contains(&"src/tidy/files.rs".to_owned()));
    }
}
