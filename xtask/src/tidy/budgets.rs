//! What a crate pulls in all the way down, as `cargo tree` tells it: a promise to those who use one crate alone.

use super::Failure;

/// A crate with some of its features, and what may come with it.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) package: &'static str,
    /// The only features that are on, with commas between them.
    features: &'static str,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// These crates and no others.
    Only(&'static [&'static str]),
    /// Neither these crates nor, written `crate/feature`, these features.
    Without(&'static [&'static str]),
}

impl Budget {
    pub(crate) const fn only(
        package: &'static str,
        features: &'static str,
        crates: &'static [&'static str],
    ) -> Self {
        Self { package, features, rule: Rule::Only(crates) }
    }

    pub(crate) const fn without(
        package: &'static str,
        features: &'static str,
        crates: &'static [&'static str],
    ) -> Self {
        Self { package, features, rule: Rule::Without(crates) }
    }

    /// What cargo is asked: the tree on any system, a line for each crate with its features.
    pub(crate) fn tree_args(&self) -> Vec<&'static str> {
        let mut args = vec!["tree", "--package", self.package, "--no-default-features"];
        if !self.features.is_empty() {
            args.extend(["--features", self.features]);
        }
        args.extend([
            "--edges", "normal", "--target", "all", "--prefix", "none", "--format", "{p}|{f}",
        ]);
        args
    }
}

/// Compares a tree with the budget.
pub(crate) fn check(budget: &Budget, manifest: &str, tree: &str) -> Vec<Failure> {
    let mut found: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        // `tokio v1.54.1|rt,sync (*)`: the star marks a crate that was shown before.
        let (package, features) =
            line.trim_end_matches(" (*)").split_once('|').unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or_default();
        match budget.rule {
            Rule::Only(allowed) if name != budget.package && !allowed.contains(&name) => {
                found.push(name.to_owned());
            }
            Rule::Only(_) => {}
            Rule::Without(refused) => {
                let parts = features.split(',').map(|feature| format!("{name}/{feature}"));
                found.extend(
                    parts.chain([name.to_owned()]).filter(|part| refused.contains(&part.as_str())),
                );
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let features = match budget.features {
        "" => String::new(),
        features => format!(" with {features}"),
    };
    let failure = |part: String| {
        let name = part.split('/').next().unwrap_or(&part);
        Failure::new(
            manifest,
            format!("{}{features} pulls in {part}", budget.package),
            format!("`cargo tree -p {} -e features -i {name}` shows how", budget.package),
        )
    };
    found.into_iter().map(failure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "a v0.1.0 (/x/a)|default\nregex v1.0.0|std\nmemchr v2.8.3|std (*)\nmemchr v2.8.3|std\ntokio v1.5.0|net,rt\n\n";

    #[test]
    fn within_the_budget() {
        assert_eq!(check(&Budget::only("a", "", &["regex", "memchr", "tokio"]), "m", TREE), []);
        assert_eq!(check(&Budget::without("a", "", &["hyper", "tokio/fs"]), "m", TREE), []);
    }

    #[test]
    fn beyond_the_budget() {
        let only = check(&Budget::only("a", "match", &["regex", "tokio"]), "a/Cargo.toml", TREE);
        assert_eq!(only.len(), 1);
        assert_eq!(
            only[0].to_string(),
            "a/Cargo.toml: a with match pulls in memchr; `cargo tree -p a -e features -i memchr` shows how"
        );
        let without = check(&Budget::without("a", "", &["regex", "tokio/net"]), "m", TREE);
        let parts: Vec<_> = without.iter().map(|failure| failure.what.as_str()).collect();
        assert_eq!(parts, ["a pulls in regex", "a pulls in tokio/net"]);
    }

    #[test]
    fn no_features_means_none() {
        assert!(!Budget::only("a", "", &[]).tree_args().contains(&"--features"));
        assert!(Budget::only("a", "files", &[]).tree_args().ends_with(&["--format", "{p}|{f}"]));
    }
}
