//! Diffs: levels as real servers lay them out, and differences as pprof shows them.

use std::{collections::BTreeMap, fs};

use flamesql_profile::{
    StackTree, StackTreeBuilder, TreePair, diff, flamebearer::DiffLevels, folded, pprof,
};
use proptest::prelude::*;

use super::{files, folder};

fn recorded(text: &str) -> DiffLevels {
    let numbers = |line: &str| line.split(' ').map(|n| n.parse().unwrap()).collect::<Vec<i64>>();
    let mut lines = text.lines();
    let names = lines.next().unwrap().split('\t').map(str::to_owned).collect();
    let ticks = numbers(lines.next().unwrap());
    DiffLevels {
        names,
        left_ticks: ticks[0],
        right_ticks: ticks[1],
        max_self: ticks[2],
        levels: lines.map(numbers).collect(),
    }
}

#[test]
fn levels_are_those_of_real_servers() {
    let answers = files("fixtures/diff", &[".txt"]);
    assert_eq!(answers.len(), 3);
    for path in answers {
        let answer = recorded(&fs::read_to_string(&path).unwrap());
        let (left, right) = answer.decode().unwrap();
        assert_eq!(left.total().unwrap(), answer.left_ticks);
        assert_eq!(right.total().unwrap(), answer.right_ticks);
        let found = DiffLevels::encode(&left, &right, 8192).unwrap();
        assert_eq!(found, answer, "{}", path.display());
    }
}

/// `tests/golden/README.md` says how the numbers were made.
#[test]
fn differences_are_those_of_pprof() {
    let mut n_rows = 0;
    for path in files("golden/diff", &[".tsv"]) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let read = |path| pprof::decode(&fs::read(path).unwrap()).unwrap();
        let baseline = read(folder("golden/diff").join(format!("{name}.base.pb.gz")));
        let comparison = read(folder("golden").join(format!("{name}.pb.gz")));
        let mut expected: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let [kind, own, total, function] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{name}: {line:?}")
            };
            let row = (own.parse().unwrap(), total.parse().unwrap());
            expected.insert((kind.to_owned(), function.to_owned()), row);
        }
        let mut found = BTreeMap::new();
        for (idx, (kind, _)) in comparison.sample_type_names().enumerate() {
            let tree = diff(&baseline.tree(idx).unwrap(), &comparison.tree(idx).unwrap()).unwrap();
            for function in tree.functions().unwrap() {
                let key = (kind.to_owned(), tree.names().get(function.name.unwrap()).to_owned());
                found.insert(key, (function.self_value, function.total));
            }
        }
        // Functions whose differences cancel out.
        expected.retain(|_, row| *row != (0, 0));
        found.retain(|_, row| *row != (0, 0));
        assert!(expected.values().any(|(own, _)| *own < 0), "{name}: something went down");
        n_rows += expected.len();
        assert_eq!(found, expected, "{name}");
    }
    assert!(n_rows > 500, "{n_rows} rows were compared");
}

fn tree(stacks: &[(Vec<u8>, i64)]) -> StackTree {
    // One of the names is what truncated trees call the rest.
    let names = ["a", "b", "other", "c", "total"];
    let mut builder = StackTreeBuilder::new();
    for (stack, value) in stacks {
        let ids: Vec<_> =
            stack.iter().map(|name| builder.intern(names[usize::from(*name)])).collect();
        let node = builder.insert(&ids).unwrap();
        builder.add(node, *value).unwrap();
    }
    builder.finish()
}

fn stacks(values: std::ops::Range<i64>) -> impl Strategy<Value = Vec<(Vec<u8>, i64)>> {
    proptest::collection::vec((proptest::collection::vec(0_u8..5, 0..6), values), 0..30)
}

fn added(a: &StackTree, b: &StackTree) -> StackTree {
    let mut builder = StackTreeBuilder::new();
    builder.merge(a).unwrap();
    builder.merge(b).unwrap();
    builder.finish()
}

proptest! {
    #[test]
    fn levels_decode_as_what_was_encoded(left in stacks(0..50), right in stacks(0..50)) {
        let (left, right) = (tree(&left), tree(&right));
        let graph = DiffLevels::encode(&left, &right, 0).unwrap();
        prop_assert_eq!(&graph.decode().unwrap(), &(left, right));
    }

    #[test]
    fn cut_levels_keep_the_totals(left in stacks(0..50), right in stacks(0..50), max_nodes in 0_usize..30) {
        let (left, right) = (tree(&left), tree(&right));
        let graph = DiffLevels::encode(&left, &right, max_nodes).unwrap();
        let (cut_left, cut_right) = graph.decode().unwrap();
        prop_assert_eq!(cut_left.total().unwrap(), left.total().unwrap());
        prop_assert_eq!(cut_right.total().unwrap(), right.total().unwrap());
        let full = DiffLevels::encode(&left, &right, 0).unwrap();
        let n_bars = |graph: &DiffLevels| graph.levels.iter().map(|level| level.len() / 7).sum::<usize>();
        prop_assert!(n_bars(&graph) <= n_bars(&full));
        let all = |graph: &DiffLevels| graph.levels.concat();
        prop_assert!(max_nodes < n_bars(&full) || all(&graph) == all(&full));
    }

    #[test]
    fn what_is_more_added_to_what_was_is_what_is(a in stacks(-50..50), b in stacks(-50..50)) {
        let (a, b) = (tree(&a), tree(&b));
        prop_assert_eq!(&added(&a, &diff(&a, &b).unwrap()), &b);
        prop_assert!(diff(&a, &a).unwrap().len() == 1);
        let pair = TreePair::of(&a, &b).unwrap();
        prop_assert_eq!(pair.shape(), &a);
        prop_assert_eq!(&pair.comparison(), &b);
    }

    #[test]
    fn a_cut_pair_keeps_the_totals(a in stacks(0..50), b in stacks(0..50), max_nodes in 0_usize..30) {
        let (a, b) = (tree(&a), tree(&b));
        let pair = TreePair::of(&a, &b).unwrap();
        let cut = pair.truncate(max_nodes).unwrap();
        prop_assert_eq!(cut.shape().total().unwrap(), a.total().unwrap());
        prop_assert_eq!(cut.comparison().total().unwrap(), b.total().unwrap());
        // With equal sides it is the cut of one.
        let twice = TreePair::of(&a, &a).unwrap().truncate(max_nodes).unwrap();
        prop_assert_eq!(twice.shape(), &a.truncate(max_nodes).unwrap().0);
        prop_assert_eq!(&twice.comparison(), twice.shape());
    }
}

#[test]
fn differences_that_do_not_fit_are_errors() {
    let least = folded::decode(format!("a {}\n", i64::MIN).as_bytes()).unwrap().into_tree();
    let one = folded::decode(b"a 1\n").unwrap().into_tree();
    assert!(diff(&least, &one).is_err());
    assert!(diff(&one, &least).is_err());
    assert_eq!(diff(&least, &least).unwrap().len(), 1);
}
