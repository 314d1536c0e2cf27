//! Frames of all types, as bytes.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::{collections::BTreeMap, fs, io::Cursor, process::Command, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
        DurationMicrosecondArray, Float32Array, Float64Array, Int8Array, Int64Array, ListArray,
        MapBuilder, NullArray, RecordBatch, StringArray, StringBuilder, StringViewArray,
        Time32SecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt16Array, UInt64Array,
    },
    datatypes::{DataType, Field as ArrowField, Int32Type, Schema},
    ipc::reader::FileReader,
};
use flamesql_frame::{
    DataTopic, Field, FieldConfig, Frame, FrameMeta, FrameType, Kind, Link, MAX_ENUM, Notice,
    Severity, Visualisation,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn json_of(frame: &Frame) -> Value {
    let mut text = Vec::new();
    frame.write_json(&mut text).unwrap();
    serde_json::from_slice(&text)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&text)))
}

fn arrow_of(frame: &Frame) -> RecordBatch {
    let mut file = Vec::new();
    frame.write_arrow(&mut file).unwrap();
    let mut batches = FileReader::try_new(Cursor::new(file), None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

fn frame_of(columns: Vec<(&str, ArrayRef)>) -> Frame {
    let mut frame = Frame::new("f");
    for (name, array) in columns {
        frame.push(Field::new(name, array).unwrap()).unwrap();
    }
    frame
}

/// What a column becomes: its type and Go type on the wire, and its values.
fn becomes(array: impl Into<ArrayRef>) -> (Value, Value, Value) {
    let frame = frame_of(vec![("x", array.into())]);
    let json = json_of(&frame);
    let field = &json["schema"]["fields"][0];
    (field["type"].clone(), field["typeInfo"].clone(), json["data"]["values"][0].clone())
}

fn arc(array: impl arrow::array::Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn each_type_is_one_that_grafana_reads() {
    let map = {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        builder.keys().append_value("pod");
        builder.values().append_value("a\"\n");
        builder.append(true).unwrap();
        builder.append(true).unwrap();
        builder.finish()
    };
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let decimal =
        Decimal128Array::from(vec![Some(125), None]).with_precision_and_scale(10, 2).unwrap();
    let zoned = TimestampMillisecondArray::from(vec![1500]).with_timezone("Europe/Berlin");
    for (array, kind, info, values) in [
        (arc(Int8Array::from(vec![-1])), "number", json!({"frame": "int8"}), json!([-1])),
        (
            arc(Int64Array::from(vec![Some(i64::MAX), None])),
            "number",
            json!({"frame": "int64", "nullable": true}),
            json!([i64::MAX, null]),
        ),
        (
            arc(UInt64Array::from(vec![u64::MAX])),
            "number",
            json!({"frame": "uint64"}),
            json!([u64::MAX]),
        ),
        (arc(Float32Array::from(vec![0.5])), "number", json!({"frame": "float32"}), json!([0.5])),
        (
            arc(BooleanArray::from(vec![Some(true), None])),
            "boolean",
            json!({"frame": "bool", "nullable": true}),
            json!([true, null]),
        ),
        (
            arc(StringViewArray::from(vec!["a\u{2028}\"\n\u{7}"])),
            "string",
            json!({"frame": "string"}),
            json!(["a\u{2028}\"\n\u{7}"]),
        ),
        (
            arc(Date32Array::from(vec![1])),
            "time",
            json!({"frame": "time.Time"}),
            json!([86_400_000]),
        ),
        (
            arc(TimestampSecondArray::from(vec![-1])),
            "time",
            json!({"frame": "time.Time"}),
            json!([-1000]),
        ),
        // The instant, whatever zone it is shown in.
        (arc(zoned), "time", json!({"frame": "time.Time"}), json!([1500])),
        (
            arc(DurationMicrosecondArray::from(vec![7])),
            "number",
            json!({"frame": "int64"}),
            json!([7]),
        ),
        (
            arc(decimal),
            "number",
            json!({"frame": "float64", "nullable": true}),
            json!([1.25, null]),
        ),
        (
            arc(list),
            "other",
            json!({"frame": "json.RawMessage", "nullable": true}),
            json!([[1, null], null]),
        ),
        (arc(map), "other", json!({"frame": "json.RawMessage"}), json!([{"pod": "a\"\n"}, {}])),
        (
            arc(BinaryArray::from(vec![&[0xca, 0xfe][..]])),
            "string",
            json!({"frame": "string"}),
            json!(["cafe"]),
        ),
        (
            arc(Time32SecondArray::from(vec![61])),
            "string",
            json!({"frame": "string"}),
            json!(["00:01:01"]),
        ),
        (
            arc(NullArray::new(2)),
            "string",
            json!({"frame": "string", "nullable": true}),
            json!([null, null]),
        ),
    ] {
        let shown = format!("{array:?}");
        assert_eq!(becomes(array), (json!(kind), info, values), "{shown}");
    }
}

#[test]
fn texts_of_a_dictionary_are_numbered_over_all_batches() {
    let field = ArrowField::new(
        "label",
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        true,
    );
    let chunk =
        |texts: Vec<Option<&str>>| arc(texts.into_iter().collect::<DictionaryArray<Int32Type>>());
    let chunks = vec![chunk(vec![Some("b"), None, Some("a")]), chunk(vec![Some("a"), Some("c")])];
    let mut frame = Frame::new("f");
    frame.push(Field::of_chunks(&field, &chunks).unwrap()).unwrap();
    let json = json_of(&frame);
    assert_eq!(
        json["schema"]["fields"][0]["config"],
        json!({"type": {"enum": {"text": ["b", "a", "c"]}}})
    );
    assert_eq!(json["data"]["values"], json!([[0, null, 1, 1, 2]]));
    let batch = arrow_of(&frame);
    assert_eq!(batch.schema().field(0).metadata()["tstype"], "enum");
    assert_eq!(
        batch.column(0),
        &arc(UInt16Array::from(vec![Some(0), None, Some(1), Some(1), Some(2)]))
    );
    assert_eq!(frame.n_rows(), 5);
}

#[test]
fn more_texts_than_can_be_numbered_are_texts() {
    for (n, kind) in [(MAX_ENUM, Kind::Enum), (MAX_ENUM + 1, Kind::Text)] {
        let texts: Vec<String> = (0..n).map(|n| n.to_string()).collect();
        let array: DictionaryArray<Int32Type> =
            texts.iter().map(|text| Some(text.as_str())).collect();
        let field = Field::new("label", arc(array)).unwrap();
        assert_eq!((field.kind(), field.len()), (kind, n));
        let mut frame = Frame::new("f");
        frame.push(field).unwrap();
        let json = json_of(&frame);
        let last = &json["data"]["values"][0][n - 1];
        let last = match kind {
            Kind::Enum => {
                &json["schema"]["fields"][0]["config"]["type"]["enum"]["text"]
                    [last.as_u64().unwrap() as usize]
            }
            _ => last,
        };
        assert_eq!(*last, json!((n - 1).to_string()));
    }
    // A dictionary that is larger than what occurs of it.
    let texts: StringArray = (0..MAX_ENUM * 2).map(|n| Some(n.to_string())).collect();
    let array = DictionaryArray::<Int32Type>::new(vec![70_000, 5].into(), arc(texts));
    assert_eq!(Field::new("label", arc(array)).unwrap().kind(), Kind::Enum);
}

#[test]
fn what_json_cannot_say_is_said_beside_the_values() {
    let floats = [1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let times = [0, 1, -1, 1_999_999, i64::MIN];
    let frame = frame_of(vec![
        ("n", arc(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("x", arc(Float64Array::from(floats.to_vec()))),
        ("t", arc(TimestampNanosecondArray::from(times.to_vec()))),
    ]);
    let json = json_of(&frame);
    let millis: Vec<i64> = times.iter().map(|t| t.div_euclid(1_000_000)).collect();
    let nanos: Vec<i64> = times.iter().map(|t| t.rem_euclid(1_000_000)).collect();
    assert_eq!(
        json["data"],
        json!({
            "values": [[1, 2, 3, 4, 5], [1.5, null, null, null, null], millis],
            "entities": [null, {"NaN": [1, 4], "Inf": [2], "NegInf": [3]}, null],
            "nanos": [null, null, nanos],
        })
    );
    let plain =
        json_of(&frame_of(vec![("t", arc(TimestampNanosecondArray::from(vec![5_000_000])))]));
    assert_eq!(plain["data"], json!({"values": [[5]]}));
}

fn told() -> Frame {
    let mut frame = frame_of(vec![
        ("time", arc(TimestampMillisecondArray::from(vec![1, 2]))),
        ("value", arc(Float64Array::from(vec![0.25, 4.0]))),
    ]);
    frame.name = "series".to_owned();
    frame.ref_id = "A".to_owned();
    frame.meta = Some(FrameMeta {
        frame_type: Some(FrameType::TimeseriesMulti),
        type_version: [0, 1],
        custom: Some(json!({"total": 3})),
        notices: vec![Notice {
            severity: Severity::Warning,
            text: "a slice is missing".to_owned(),
        }],
        preferred_visualisation: Some(Visualisation::Graph),
        executed_query_string: Some("SELECT 1".to_owned()),
        data_topic: Some(DataTopic::Annotations),
    });
    let value = &mut frame.fields_mut()[1];
    value.labels = Some(BTreeMap::from([("pod".to_owned(), "a \"b\"\n".to_owned())]));
    *value.config_mut() = FieldConfig {
        display_name: Some("cpu".to_owned()),
        display_name_from_source: Some("CPU".to_owned()),
        description: Some("processor time".to_owned()),
        unit: Some("ns".to_owned()),
        interval: Some(15_000.0),
        links: vec![Link {
            title: "profile".into(),
            url: "/x?id=${__value.raw}".into(),
            target_blank: true,
        }],
        custom: Some(json!({"lineWidth": 1})),
    };
    frame
}

#[test]
fn all_that_is_told_of_a_frame_is_on_both_wires() {
    let frame = told();
    let meta = json!({
        "type": "timeseries-multi",
        "typeVersion": [0, 1],
        "custom": {"total": 3},
        "notices": [{"severity": "warning", "text": "a slice is missing"}],
        "preferredVisualisationType": "graph",
        "executedQueryString": "SELECT 1",
        "dataTopic": "annotations",
    });
    let config = json!({
        "displayName": "cpu",
        "displayNameFromDS": "CPU",
        "description": "processor time",
        "unit": "ns",
        "interval": 15000.0,
        "links": [{"title": "profile", "url": "/x?id=${__value.raw}", "targetBlank": true}],
        "custom": {"lineWidth": 1},
    });
    let labels = json!({"pod": "a \"b\"\n"});
    assert_eq!(
        json_of(&frame),
        json!({
            "schema": {
                "name": "series",
                "refId": "A",
                "meta": meta,
                "fields": [
                    {"name": "time", "type": "time", "typeInfo": {"frame": "time.Time"}},
                    {
                        "name": "value", "type": "number", "typeInfo": {"frame": "float64"},
                        "labels": labels, "config": config,
                    },
                ],
            },
            "data": {"values": [[1, 2], [0.25, 4.0]]},
        })
    );
    let batch = arrow_of(&frame);
    let schema = batch.schema();
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!((&*schema.metadata()["name"], &*schema.metadata()["refId"]), ("series", "A"));
    assert_eq!(parse(&schema.metadata()["meta"]), meta);
    let field = schema.field(1);
    assert_eq!(field.metadata()["tstype"], "number");
    assert_eq!(parse(&field.metadata()["labels"]), labels);
    assert_eq!(parse(&field.metadata()["config"]), config);
    assert!(!field.is_nullable());
}

#[test]
fn a_frame_without_meta_names_or_rows() {
    let schema = Schema::new(vec![ArrowField::new("x", DataType::Int64, true)]);
    let frame = Frame::of_batches("", &Arc::new(schema), &[]).unwrap();
    assert_eq!(
        json_of(&frame),
        json!({
            "schema": {"fields": [{"name": "x", "type": "number", "typeInfo": {"frame": "int64", "nullable": true}}]},
            "data": {"values": [[]]},
        })
    );
    assert_eq!(arrow_of(&frame).num_rows(), 0);
    assert_eq!(
        json_of(&Frame::default()),
        json!({"schema": {"fields": []}, "data": {"values": []}})
    );
    assert_eq!(arrow_of(&Frame::default()).num_columns(), 0);
    // A version is always there if there is any meta.
    let mut frame = Frame::default();
    frame.meta = Some(FrameMeta::default());
    assert_eq!(json_of(&frame)["schema"]["meta"], json!({"typeVersion": [0, 0]}));
}

#[test]
fn what_cannot_be_said_is_an_error_and_no_null() {
    let error =
        Field::new("since", arc(TimestampSecondArray::from(vec![i64::MAX / 10]))).unwrap_err();
    assert!(error.to_string().contains("\"since\""), "{error}");
    let error = Field::new("day", arc(Date32Array::from(vec![i32::MAX]))).unwrap_err();
    assert!(error.to_string().contains("\"day\""), "{error}");
    let mut frame = frame_of(vec![("a", arc(Int64Array::from(vec![1])))]);
    let error =
        frame.push(Field::new("b", arc(Int64Array::from(vec![1, 2]))).unwrap()).unwrap_err();
    assert!(error.to_string().contains("it has 2 values and \"a\" has 1"), "{error}");
    let texts = vec!["a".to_owned()];
    assert!(Field::enumeration("e", texts.clone(), UInt16Array::from(vec![0, 0])).is_ok());
    assert!(Field::enumeration("e", texts, UInt16Array::from(vec![0, 1])).is_err());
}

/// A reader that is not ours, where the machine has it: pyarrow.
#[test]
#[expect(clippy::print_stderr, reason = "whoever runs it wants to know what was not")]
fn pyarrow_reads_the_file() {
    let reads =
        |script: &str, file: &str| Command::new("python3").args(["-c", script, file]).output();
    if !reads("import pyarrow", "").is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 here has no pyarrow");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.arrow");
    let mut frame = told();
    let labels: DictionaryArray<Int32Type> = [Some("a"), None].into_iter().collect();
    frame.push(Field::new("label", arc(labels)).unwrap()).unwrap();
    frame.write_arrow(fs::File::create(&path).unwrap()).unwrap();
    let script = "
import sys, json, pyarrow as pa
table = pa.ipc.open_file(sys.argv[1]).read_all()
print(json.dumps([table.schema.metadata[b'name'].decode(), str(table.schema.field(0).type),
                  table.column(1).to_pylist(), table.column(2).to_pylist(),
                  table.schema.field(2).metadata[b'tstype'].decode()]))";
    let output = reads(script, path.to_str().unwrap()).unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said, json!(["series", "timestamp[ns]", [0.25, 4.0], [0, null], "enum"]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Both wires say the same, however the rows come in batches.
    #[test]
    fn rows_are_the_same_however_they_are_cut(
        values in prop::collection::vec((any::<Option<i64>>(), any::<f64>(), "\\PC{0,8}"), 0..60),
        cut in 0_usize..60,
    ) {
        let schema = Arc::new(Schema::new(vec![
            ArrowField::new("i", DataType::Int64, true),
            ArrowField::new("f", DataType::Float64, false),
            ArrowField::new("s", DataType::Utf8, false),
        ]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![
            arc(values.iter().map(|v| v.0).collect::<Int64Array>()),
            arc(values.iter().map(|v| Some(v.1)).collect::<Float64Array>()),
            arc(values.iter().map(|v| Some(v.2.as_str())).collect::<StringArray>()),
        ]).unwrap();
        let whole = Frame::of_batches("f", &schema, std::slice::from_ref(&batch)).unwrap();
        let cut = cut.min(values.len());
        let parts = [batch.slice(0, cut), batch.slice(cut, values.len() - cut)];
        let parts = Frame::of_batches("f", &schema, &parts).unwrap();
        let json = json_of(&whole);
        prop_assert_eq!(&json, &json_of(&parts));
        prop_assert_eq!(arrow_of(&whole), arrow_of(&parts));
        // As text, since serde_json reads the last digit of a float wrongly unless it is told to take its time.
        let floats = Frame::of_batches("f", &Arc::new(schema.project(&[1]).unwrap()), &[batch.project(&[1]).unwrap()]);
        let mut text = Vec::new();
        floats.unwrap().write_json(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let written = text.split_once("[[").unwrap().1.split_once("]]").unwrap().0;
        let written: Vec<Option<f64>> = written.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().ok()).collect();
        let finite: Vec<Option<f64>> = values.iter().map(|v| Some(v.1).filter(|f| f.is_finite())).collect();
        prop_assert_eq!(written, finite);
        for (row, (i, _, s)) in values.iter().enumerate() {
            prop_assert_eq!(&json["data"]["values"][0][row], &json!(i));
            prop_assert_eq!(&json["data"]["values"][2][row], &json!(s));
        }
    }
}
