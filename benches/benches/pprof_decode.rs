//! From bytes to [`Profile`](flamesql_profile::pprof::Profile), and from there to the tree of stacks.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_benches::{Shape, generate, n_samples};
use flamesql_profile::pprof;

fn pprof_decode(c: &mut Criterion) {
    for (name, shape) in [("synthetic", Shape::Synthetic), ("realistic", Shape::Realistic)] {
        let n_samples = n_samples(100_000);
        let profile = generate(shape, n_samples);
        let plain = pprof::encode(&profile);
        let gzip = pprof::encode_gzip(&profile);

        let mut group = c.benchmark_group(format!("pprof_decode/{name}"));
        group.sample_size(20).throughput(Throughput::Bytes(plain.len() as u64));
        group.bench_function("plain", |b| {
            b.iter(|| pprof::decode(black_box(&plain)).expect("it was just encoded"));
        });
        group.bench_function("gzip", |b| {
            b.iter(|| pprof::decode(black_box(&gzip)).expect("it was just encoded"));
        });
        group.throughput(Throughput::Elements(n_samples as u64));
        group.bench_function("tree", |b| {
            b.iter(|| black_box(&profile).tree(1).expect("sums are small"));
        });
        group.bench_function("encode", |b| b.iter(|| pprof::encode(black_box(&profile))));
        group.finish();
    }
}

criterion_group!(benches, pprof_decode);
criterion_main!(benches);
