//! Frames as bytes: a flame graph of 100,000 nodes, and 500 series of 1,000 points, as Grafana's SDK for Go is measured.

use std::{hint::black_box, sync::Arc};

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMillisecondArray,
    },
    datatypes::SchemaRef,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamesql_frame::{Field, Frame, FrameMeta, Visualisation};

fn frames(c: &mut Criterion) {
    // `cargo test` only asks whether it still runs.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let (n_nodes, n_series, n_points) = if is_bench { (100_000, 500, 1000) } else { (100, 5, 10) };

    let batches = answer(n_nodes);
    let schema = batches[0].schema();
    let tree = [flamegraph(&schema, &batches)];
    let series: Vec<Frame> = (0..n_series).map(|n| one_series(n, n_points)).collect();
    let mut group = c.benchmark_group("frames");
    group.bench_function("flamegraph/of_batches", |b| {
        b.iter(|| flamegraph(&schema, black_box(&batches)));
    });
    for (shape, frames) in [("flamegraph", &tree[..]), ("series", &series)] {
        for (wire, write) in [("json", json as fn(&[Frame]) -> Vec<u8>), ("arrow", arrow)] {
            group.throughput(Throughput::Bytes(write(frames).len() as u64));
            group
                .bench_function(format!("{shape}/{wire}"), |b| b.iter(|| write(black_box(frames))));
        }
    }
    group.finish();
}

fn json(frames: &[Frame]) -> Vec<u8> {
    let mut out = b"{\"frames\":[".to_vec();
    for (idx, frame) in frames.iter().enumerate() {
        if idx > 0 {
            out.push(b',');
        }
        frame.write_json(&mut out).expect("memory takes all");
    }
    out.extend_from_slice(b"]}");
    out
}

/// All files in one place, one behind another.
fn arrow(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        frame.write_arrow(&mut out).expect("memory takes all");
    }
    out
}

/// The rows of a flame graph with 20,000 names, in batches as an engine answers.
fn answer(n_nodes: i64) -> Vec<RecordBatch> {
    const N_NAMES: i64 = 20_000;
    let name = |n: i64| format!("pkg{}/mod{}.(*Type{}).Method{n}", n % 97, n % 31, n % 53);
    let names: ArrayRef = Arc::new((0..N_NAMES).map(|n| Some(name(n))).collect::<StringArray>());
    let batch = |start: i64| {
        let rows = start..(start + 8192).min(n_nodes);
        let of = |value: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(rows.clone().map(value).collect::<Int64Array>())
        };
        let keys: Int32Array = rows.clone().map(|n| Some((n % N_NAMES) as i32)).collect();
        RecordBatch::try_from_iter([
            ("level", of(&|n| n % 60)),
            ("value", of(&|n| n * 7919 + 1)),
            ("self", of(&|n| n * 31)),
            ("label", Arc::new(DictionaryArray::new(keys, Arc::clone(&names))) as ArrayRef),
        ])
        .expect("columns of one length")
    };
    (0..n_nodes).step_by(8192).map(batch).collect()
}

fn flamegraph(schema: &SchemaRef, batches: &[RecordBatch]) -> Frame {
    let mut frame = Frame::of_batches("response", schema, batches).expect("all of it can be said");
    frame.meta = Some(FrameMeta {
        preferred_visualisation: Some(Visualisation::FlameGraph),
        ..FrameMeta::default()
    });
    frame
}

fn one_series(number: usize, n_points: usize) -> Frame {
    let times = (0..n_points as i64).map(|n| Some(1_795_176_000_000 + n * 15_000));
    let values = (0..n_points).map(|n| n as f64 * 1.7 + number as f64);
    let mut frame = Frame::new("");
    for (name, array) in [
        ("time", Arc::new(times.collect::<TimestampMillisecondArray>()) as ArrayRef),
        ("cpu", Arc::new(values.collect::<Float64Array>())),
    ] {
        let field = Field::new(name, array).expect("times within 64 bits");
        frame.push(field).expect("columns of one length");
    }
    if let Some(value) = frame.field_mut(1) {
        *value.labels = Some([("service_name".to_owned(), format!("svc{number}"))].into());
    }
    frame
}

criterion_group!(benches, frames);
criterion_main!(benches);
