//! Selectors: read, compiled, and held against label sets.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_benches::n_samples;
use flamesql_profile::Labels;
use flamesql_selector::{Filter, Selector};

const SELECTORS: &[(&str, &str)] = &[
    ("equal", r#"{service_name="shop-7"}"#),
    ("one_of", r#"{service_name=~"shop-1|shop-2|shop-3",region!="eu"}"#),
    ("prefix", r#"{pod=~"shop-.*",region=""}"#),
    ("regex", r#"{pod=~"shop-[0-9]+-(abc|xyz)[a-f0-9]{4}",service_name!~"shop-[13579].*"}"#),
];

fn selector(c: &mut Criterion) {
    let series: Vec<Labels> = (0..n_samples(10_000))
        .map(|n| {
            [
                ("service_name", format!("shop-{}", n % 20)),
                ("pod", format!("shop-{}-abc{:04x}", n % 20, n)),
                ("region", ["eu", "us", ""][n % 3].to_owned()),
            ]
            .into_iter()
            .collect()
        })
        .collect();

    let mut group = c.benchmark_group("selector/parse");
    for (name, text) in SELECTORS {
        group.bench_function(*name, |b| {
            b.iter(|| Selector::parse(black_box(text)).expect("the texts are selectors"));
        });
    }
    group.finish();

    let parsed: Vec<(&str, Selector)> = SELECTORS
        .iter()
        .map(|(name, text)| (*name, Selector::parse(text).expect("the texts are selectors")))
        .collect();
    let mut group = c.benchmark_group("selector/compile");
    for (name, selector) in &parsed {
        group.bench_function(*name, |b| {
            b.iter(|| Filter::new(black_box(selector)).expect("the regexes are small"));
        });
    }
    group.finish();

    let mut group = c.benchmark_group("selector/match");
    group.throughput(Throughput::Elements(series.len() as u64));
    for (name, selector) in &parsed {
        let filter = Filter::new(selector).expect("the regexes are small");
        group.bench_function(*name, |b| {
            b.iter(|| {
                let series = black_box(&series);
                series.iter().filter(|labels| filter.matches(|label| labels.get(label))).count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, selector);
criterion_main!(benches);
