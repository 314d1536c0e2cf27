//! The packages of the workspace, as `cargo metadata` tells them.

use anyhow::Context as _;
use serde_json::Value;

/// What the checks need to know of a package.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The manifest's path from the root of the workspace.
    pub(crate) manifest: String,
    pub(crate) published: bool,
    /// The fields that a published manifest must have and this one has not.
    pub(crate) missing: Vec<&'static str>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a dependency table.
#[derive(Debug, Default)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
    pub(crate) has_path: bool,
    /// The version it asks for; `*` if none is written.
    pub(crate) version: String,
}

/// Fields that crates' users see.
const PUBLISHED_FIELDS: &[&str] =
    &["description", "keywords", "categories", "readme", "license", "repository"];

/// Reads what `cargo metadata --no-deps` wrote.
pub(crate) fn read(metadata: &str) -> anyhow::Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is not JSON")?;
    let root = text(&metadata["workspace_root"]);
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    Ok(packages.iter().map(|package| read_package(package, &root)).collect())
}

fn read_package(package: &Value, root: &str) -> Package {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let manifest = text(&package["manifest_path"]);
    let has_library = list(&package["targets"])
        .iter()
        .flat_map(|target| list(&target["kind"]))
        .any(|kind| kind == "lib" || kind == "proc-macro");
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        value => text(value).is_empty(),
    };
    let mut missing: Vec<&'static str> =
        PUBLISHED_FIELDS.iter().copied().filter(|field| is_empty(&package[field])).collect();
    // The documentation of a crate without a library is its --help.
    if has_library && package["metadata"]["docs"]["rs"].is_null() {
        missing.push("package.metadata.docs.rs");
    }
    Package {
        name: text(&package["name"]),
        manifest: manifest
            .strip_prefix(root)
            .unwrap_or(&manifest)
            .replace('\\', "/")
            .trim_start_matches('/')
            .to_owned(),
        // `publish = false` is an empty list of registries.
        published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        missing,
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                is_dev: dependency["kind"] == "dev",
                has_path: !dependency["path"].is_null(),
                version: text(&dependency["req"]),
            })
            .collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let packages = read(
            r#"{"workspace_root": "/w", "packages": [
                {"name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "publish": null, "description": "d",
                 "keywords": ["k"], "categories": [], "readme": "README.md", "license": "L", "repository": "r",
                 "targets": [{"kind": ["lib"]}], "metadata": null,
                 "dependencies": [{"name": "b", "kind": null, "path": "/w/crates/b", "req": "*"},
                                  {"name": "c", "kind": "dev", "req": "^1"}]},
                {"name": "tool", "manifest_path": "/w/tool/Cargo.toml", "publish": []}]}"#,
        )
        .unwrap();
        let [a, tool] = packages.as_slice() else { panic!("two packages") };
        assert_eq!((a.manifest.as_str(), a.published), ("crates/a/Cargo.toml", true));
        assert_eq!(a.missing, ["categories", "package.metadata.docs.rs"]);
        let [b, c] = a.dependencies.as_slice() else { panic!("two dependencies") };
        assert!(b.has_path && !b.is_dev && b.version == "*");
        assert!(!c.has_path && c.is_dev && c.version == "^1");
        assert!(!tool.published);
    }
}
