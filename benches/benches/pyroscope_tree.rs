//! A tree as Pyroscope's servers send it, of the size of a busy service's: from bytes to the tree of stacks, and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_benches::{Random, n_samples};
use flamesql_profile::{NodeId, StackTree, StackTreeBuilder, pyroscope_tree};

fn pyroscope_tree(c: &mut Criterion) {
    let tree = tree(n_samples(220_000));
    let bytes = pyroscope_tree::encode(&tree);
    let mut group = c.benchmark_group("pyroscope_tree");
    group.sample_size(50).throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| pyroscope_tree::decode(black_box(&bytes)).expect("it was just encoded"));
    });
    group.bench_function("encode", |b| b.iter(|| pyroscope_tree::encode(black_box(&tree))));
    group.finish();
}

/// About 19 bytes a node when written, 5000 functions of which few are in many stacks, and callees up to a hundred deep.
fn tree(n_nodes: usize) -> StackTree {
    let mut random = Random::new(11);
    let mut builder = StackTreeBuilder::new();
    let names: Vec<_> =
        (0..5000).map(|n| builder.intern(&format!("{}.f{n}", ["net", "runtime"][n % 2]))).collect();
    let mut nodes = vec![NodeId::ROOT];
    while builder.len() < n_nodes {
        // Mostly a callee of what came just before.
        let from = nodes.len().saturating_sub(50);
        let parent = match random.below(3) {
            0 => random.below(nodes.len()),
            _ => from + random.below(nodes.len() - from),
        };
        let skewed = random.unit() * random.unit() * names.len() as f64;
        let node =
            builder.child(nodes[parent], names[skewed as usize]).expect("fewer than 2^32 nodes");
        builder.add(node, random.below(1 << 40) as i64).expect("sums are small");
        nodes.push(node);
    }
    builder.finish()
}

criterion_group!(benches, pyroscope_tree);
criterion_main!(benches);
