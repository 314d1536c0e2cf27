//! What writing a frame takes: a number of allocations and an amount of memory that do not depend on its rows.

use std::{io, sync::Arc};

use allocation_counter::{AllocationInfo, measure};
use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray},
    compute::concat_batches,
    datatypes::DataType,
};
use flamesql_frame::Frame;

use crate::shapes::{arc, batch, cases, flamegraph, frame_of_batch, series};

/// Counts bytes and keeps none.
#[derive(Default)]
struct Count(u64);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Write = fn(&Frame, &mut Count);

const WIRES: [(&str, Write); 2] = [
    ("JSON", |frame, into| frame.write_json(into).unwrap()),
    ("Arrow", |frame, into| frame.write_arrow(into).unwrap()),
];

/// What writing takes beyond the frame, and how many bytes come out.
fn written(frame: &Frame, write: Write) -> (AllocationInfo, u64) {
    let mut count = Count::default();
    let taken = measure(|| write(frame, &mut count));
    (taken, count.0)
}

/// A frame of all types with as many rows.
fn types(n_rows: usize) -> Frame {
    let mut cases = cases();
    // Runs that are counted by 16 bits do not become that many.
    cases.retain(|case| !matches!(case.array.data_type(), DataType::RunEndEncoded(..)));
    let batch = batch(&cases);
    let n = n_rows / batch.num_rows();
    frame_of_batch(
        "types",
        &concat_batches(&batch.schema(), std::iter::repeat_n(&batch, n)).unwrap(),
    )
}

#[test]
fn allocations_do_not_grow_with_the_rows() {
    type Make = fn(usize) -> Frame;
    // All types are eighty columns.
    let shapes: [(&str, Make, usize); 3] = [
        ("flame graph", |n_rows| flamegraph(n_rows, 500), 1_000),
        ("series", series, 1_000),
        ("types", types, 20),
    ];
    for (shape, make, n_rows) in shapes {
        for (wire, write) in WIRES {
            let (few, n_few) = written(&make(n_rows), write);
            let (many, n_many) = written(&make(n_rows * 100), write);
            assert!(n_many > 5 * n_few, "{shape} as {wire}: {n_few} and {n_many} bytes");
            let (few, many) = (few.count_total, many.count_total);
            assert!(many <= few, "{shape} as {wire}: {few} allocations, and {many} for more rows");
        }
    }
}

/// A flame graph in batches, as an engine answers it.
fn answer(n_nodes: i64, n_names: i64) -> Vec<RecordBatch> {
    let names: StringArray =
        (0..n_names).map(|n| Some(format!("package/module.(*Type).Method{n}"))).collect();
    let names: ArrayRef = arc(names);
    let starts = (0..n_nodes).step_by(8192);
    let batch = |start: i64| {
        let rows = start..(start + 8192).min(n_nodes);
        let of = |value: &dyn Fn(i64) -> i64| arc(rows.clone().map(value).collect::<Int64Array>());
        let keys: Int32Array = rows.clone().map(|row| Some((row % n_names) as i32)).collect();
        let labels = DictionaryArray::new(keys, Arc::clone(&names));
        RecordBatch::try_from_iter([
            ("level", of(&|n| n % 60)),
            ("value", of(&|n| n * 7919 + 1)),
            ("self", of(&|n| n * 31)),
            ("label", arc(labels) as ArrayRef),
        ])
        .unwrap()
    };
    starts.map(batch).collect()
}

/// From the batches of an answer to the last byte.
#[test]
fn a_million_nodes_take_less_memory_than_they_have() {
    let batches = answer(1_000_000, 50_000);
    let n_names = 50_000 * "package/module.(*Type).Method12345\",\"".len() as u64;
    let n_bytes: u64 = batches.iter().map(|batch| columns_of(batch) as u64).sum();
    for (wire, write) in WIRES {
        let mut count = Count::default();
        let taken = measure(|| {
            let frame = Frame::of_batches("response", &batches[0].schema(), &batches).unwrap();
            write(&frame, &mut count);
        });
        assert!(taken.bytes_max < n_bytes, "{wire}: {} bytes for {n_bytes}", taken.bytes_max);
        assert!(count.0 > n_bytes / 2, "{wire}: {} bytes came out", count.0);
        let frame = Frame::of_batches("response", &batches[0].schema(), &batches).unwrap();
        let (taken, _) = written(&frame, write);
        // JSON goes out as it is made. The file has the names in its schema, which is JSON and then the table around it.
        let limit = if wire == "JSON" { 1 << 17 } else { 2 * n_names };
        assert!(taken.bytes_max < limit, "{} bytes to write {wire}", taken.bytes_max);
    }
}

/// What the columns of a batch have, the dictionary that they share apart.
fn columns_of(batch: &RecordBatch) -> usize {
    batch.num_rows() * (3 * size_of::<i64>() + size_of::<i32>())
}
