//! A tree in the order of a flame graph's rows, two of them side by side, and a tree put together stack by stack.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_benches::{Shape, generate, n_samples};
use flamesql_profile::{NameId, StackTree, StackTreeBuilder, TreePair};

fn flamegraph(c: &mut Criterion) {
    let n_samples = n_samples(1_000_000);
    let tree = generate(Shape::Synthetic, n_samples).tree(1).expect("sums are small");
    let mut group = c.benchmark_group("flamegraph/synthetic");
    group.sample_size(10).throughput(Throughput::Elements(tree.len() as u64));
    group.bench_function("rows", |b| b.iter(|| rows(black_box(&tree))));
    group.bench_function("rows_cut", |b| {
        b.iter(|| rows(&black_box(&tree).truncate(8192).expect("sums are small").0));
    });
    let pair = TreePair::of(&tree, &tree).expect("as many stacks as in one");
    group.bench_function("pair_rows", |b| {
        b.iter(|| {
            let mut n_rows = 0;
            black_box(&pair).walk(|_| n_rows += 1).expect("sums are small");
            n_rows
        });
    });
    let stacks = stacks(&tree);
    group.bench_function("insert", |b| b.iter(|| insert(black_box(&stacks), &tree, false)));
    group.bench_function("insert_after", |b| b.iter(|| insert(black_box(&stacks), &tree, true)));
    group.finish();
}

/// Levels, totals, self values and all labels in one text.
fn rows(tree: &StackTree) -> (Vec<(i64, i64, i64)>, String) {
    let mut numbers = Vec::with_capacity(tree.len());
    let mut functions = Vec::with_capacity(tree.len());
    tree.walk(|v| {
        numbers.push((v.depth as i64, v.total, v.self_value));
        functions.push(tree.function(v.node));
    })
    .expect("sums are small");
    let label = |function: &Option<NameId>| function.map_or("total", |name| tree.names().get(name));
    let mut labels = String::with_capacity(functions.iter().map(|f| label(f).len()).sum());
    functions.iter().for_each(|function| labels.push_str(label(function)));
    (numbers, labels)
}

/// All stacks with values, root first, in the order of the tree.
fn stacks(tree: &StackTree) -> Vec<Vec<NameId>> {
    tree.stacks()
        .map(|(node, _)| {
            let mut path = Vec::new();
            tree.path_ids(node, &mut path);
            path
        })
        .collect()
}

fn insert(stacks: &[Vec<NameId>], like: &StackTree, is_shared: bool) -> usize {
    let mut builder = StackTreeBuilder::new();
    for name in like.names().iter() {
        builder.intern(name);
    }
    let mut before: &[NameId] = &[];
    for stack in stacks {
        let n_shared = match is_shared {
            true => before.iter().zip(stack).take_while(|(a, b)| a == b).count(),
            false => 0,
        };
        builder.insert_after(n_shared, &stack[n_shared..]).expect("as many stacks as there are");
        before = stack;
    }
    builder.len()
}

criterion_group!(benches, flamegraph);
criterion_main!(benches);
