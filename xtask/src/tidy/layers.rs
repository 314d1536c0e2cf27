//! Which crate may use which, by the dependency tables of their manifests. Tests may look anywhere.

use super::{Failure, Package};

/// Each crate stands in `layers` and uses only crates of lower rows; `tools` may use any, and none may use them.
pub(crate) fn check(packages: &[Package], layers: &[&[&str]], tools: &[&str]) -> Vec<Failure> {
    let row = |name: &str| layers.iter().position(|row| row.contains(&name));
    let mut failures = Vec::new();
    for package in packages.iter().filter(|package| !tools.contains(&package.name.as_str())) {
        let Some(own_row) = row(&package.name) else {
            failures.push(Failure::new(
                &package.manifest,
                format!("{} stands on no layer", package.name),
                "give it a row of LAYERS or, if it is not published, a place in TOOLS of xtask/src/tidy/mod.rs",
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.has_path && !d.is_dev) {
            let what = match row(&dependency.name) {
                Some(row) if row > own_row => continue,
                Some(row) if row == own_row => "a crate of its own layer",
                Some(_) => "a crate of a higher layer",
                None => "no crate of a layer",
            };
            failures.push(Failure::new(
                &package.manifest,
                format!("{} uses {}, {what}", package.name, dependency.name),
                "move what is shared to a lower layer",
            ));
        }
    }
    failures
}

/// Each dependency of `sole_users` is in their manifests only. Here tests count as well.
pub(crate) fn check_sole_users(
    packages: &[Package],
    sole_users: &[(&str, &[&str])],
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for package in packages {
        for dependency in package.dependencies.iter().filter(|d| !d.has_path) {
            for (prefix, users) in sole_users {
                let rest = dependency.name.strip_prefix(prefix);
                let is_of_the_family =
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
                if is_of_the_family && !users.contains(&package.name.as_str()) {
                    failures.push(Failure::new(
                        &package.manifest,
                        format!("{} uses {} directly", package.name, dependency.name),
                        format!("go through {}", users[0]),
                    ));
                }
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::{super::packages::Dependency, *};

    fn package(name: &str, uses: &[&str]) -> Package {
        let dependencies = uses
            .iter()
            .map(|name| Dependency {
                name: name.trim_start_matches("dev:").to_owned(),
                is_dev: name.starts_with("dev:"),
                has_path: !name.contains("datafusion"),
                version: "1".to_owned(),
            })
            .collect();
        Package {
            name: name.to_owned(),
            manifest: format!("{name}/Cargo.toml"),
            dependencies,
            ..Package::default()
        }
    }

    const LAYERS: &[&[&str]] = &[&["top"], &["left", "right"], &["leaf"]];

    fn shown(failures: &[Failure]) -> Vec<String> {
        failures.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_point_down() {
        let packages = [
            package("top", &["left", "leaf"]),
            package("left", &["leaf", "dev:top", "dev:right"]),
            package("tool", &["top", "leaf"]),
        ];
        assert_eq!(check(&packages, LAYERS, &["tool"]), []);
    }

    #[test]
    fn other_arrows_are_named() {
        let packages =
            [package("leaf", &["left"]), package("left", &["right", "tool"]), package("new", &[])];
        assert_eq!(
            shown(&check(&packages, LAYERS, &["tool"])),
            [
                "leaf/Cargo.toml: leaf uses left, a crate of a higher layer; move what is shared to a lower layer",
                "left/Cargo.toml: left uses right, a crate of its own layer; move what is shared to a lower layer",
                "left/Cargo.toml: left uses tool, no crate of a layer; move what is shared to a lower layer",
                "new/Cargo.toml: new stands on no layer; give it a row of LAYERS or, if it is not published, a place in TOOLS of xtask/src/tidy/mod.rs",
            ]
        );
    }

    #[test]
    fn a_sole_user_is_alone() {
        let packages = [
            package("engine", &["datafusion", "datafusion-expr"]),
            package("cli", &["datafusion", "dev:datafusion-expr", "datafusionist"]),
        ];
        assert_eq!(
            shown(&check_sole_users(&packages, &[("datafusion", &["engine"])])),
            [
                "cli/Cargo.toml: cli uses datafusion directly; go through engine",
                "cli/Cargo.toml: cli uses datafusion-expr directly; go through engine",
            ]
        );
    }
}
