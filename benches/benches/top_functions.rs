//! The question that is asked most: which functions have the most self time?

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_benches::{Shape, generate, n_samples};
use flamesql_profile::{FunctionTotals, StackTree, pprof};

fn top_functions(c: &mut Criterion) {
    for (name, shape) in [("synthetic", Shape::Synthetic), ("realistic", Shape::Realistic)] {
        let n_samples = n_samples(100_000);
        let profile = generate(shape, n_samples);
        let gzip = pprof::encode_gzip(&profile);
        let tree = profile.tree(1).expect("sums are small");

        let mut group = c.benchmark_group(format!("top_functions/{name}"));
        group.sample_size(20).throughput(Throughput::Elements(n_samples as u64));
        group.bench_function("of_tree", |b| b.iter(|| top(black_box(&tree))));
        group.bench_function("of_gzip", |b| {
            b.iter(|| {
                let profile = pprof::decode(black_box(&gzip)).expect("it was just encoded");
                top(&profile.tree(1).expect("sums are small"))
            });
        });
        group.finish();
    }
}

fn top(tree: &StackTree) -> Vec<FunctionTotals> {
    let mut functions = tree.functions().expect("sums are small");
    functions.sort_unstable_by_key(|f| (std::cmp::Reverse(f.self_value), f.name));
    functions.truncate(10);
    functions
}

criterion_group!(benches, top_functions);
criterion_main!(benches);
