//! Self and total of each function equal pprof's to the last unit.
//!
//! `tests/golden/README.md` says how the profiles came about and how the numbers beside them were made: by google/pprof's
//! own Go library, and compared with what `go tool pprof -top` prints.

use std::{collections::BTreeMap, fs, path::Path};

use flamesql_profile::{Labels, StackTreeBuilder, pprof};

use super::files;

/// Sample type and function with self and total.
type Table = BTreeMap<(String, String), (i64, i64)>;

fn expected(path: &Path) -> Table {
    let mut table = Table::new();
    for line in fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let [kind, own, total, function] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{}: {line:?}", path.display())
        };
        let row = (own.parse().unwrap(), total.parse().unwrap());
        assert!(table.insert((kind.to_owned(), function.to_owned()), row).is_none(), "{line}");
    }
    table
}

fn found(profile: &pprof::Profile) -> Table {
    let mut table = Table::new();
    for (idx, (kind, _)) in profile.sample_type_names().enumerate() {
        let tree = profile.tree(idx).unwrap();
        for function in tree.functions().unwrap() {
            // Samples without a stack are in no function, and pprof leaves out what is 0.
            let Some(name) = function.name else { continue };
            if (function.self_value, function.total) != (0, 0) {
                let key = (kind.to_owned(), tree.names().get(name).to_owned());
                table.insert(key, (function.self_value, function.total));
            }
        }
    }
    table
}

fn profiles() -> Vec<(String, pprof::Profile, Table)> {
    let profiles: Vec<_> = files("golden", &[".pb.gz", ".pb"])
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap();
            let table = expected(&path.with_file_name(format!("{stem}.tsv")));
            let profile =
                pprof::decode(&fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, profile, table)
        })
        .collect();
    assert!(profiles.len() > 20, "the golden profiles are there");
    profiles
}

#[test]
fn self_and_total_equal_pprofs() {
    for (name, profile, mut table) in profiles() {
        table.retain(|_, row| *row != (0, 0));
        assert!(
            !table.is_empty() || name.starts_with("zero"),
            "{name}: there is something to compare"
        );
        assert_eq!(found(&profile), table, "{name}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for (name, profile, _) in profiles() {
        assert_eq!(pprof::decode(&pprof::encode(&profile)).unwrap(), profile, "{name}");
        assert_eq!(pprof::decode(&pprof::encode_gzip(&profile)).unwrap(), profile, "{name}");
    }
}

#[test]
fn two_profiles_are_not_equal_for_nothing() {
    let all = profiles();
    let find = |name: &str| &all.iter().find(|(n, ..)| n == name).unwrap().1;
    assert_eq!(
        find("order-mixed.pb.gz").tree(0).unwrap(),
        find("order-strings-last.pb.gz").tree(0).unwrap()
    );
    assert_ne!(find("java.pb.gz"), find("dotnet.pb.gz"));
}

#[test]
fn a_tree_survives_each_codec() {
    for (name, profile, _) in profiles() {
        for idx in 0..profile.sample_types.len() {
            let tree = profile.tree(idx).unwrap();
            let mut builder = StackTreeBuilder::new();
            builder.merge(&tree).unwrap();
            assert_eq!(builder.finish(), tree, "{name}");
            if tree.stacks().all(|(_, value)| value > 0) {
                let levels = flamesql_profile::flamebearer::Levels::encode(&tree, 0).unwrap();
                assert_eq!(levels.total, tree.total().unwrap());
                assert_eq!(levels.decode().unwrap(), tree, "{name}");
            }
        }
    }
    assert!(Labels::default().is_empty());
}
