//! Frames as bytes, and what cannot be one.

use std::{io::Cursor, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Date32Array, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
        Time32SecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt16Array,
    },
    datatypes::{DataType, Field as ArrowField, Int32Type, Schema},
    ipc::reader::FileReader,
};
use flamesql_frame::{Field, Frame, FrameMeta, Kind, MAX_ENUM};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::shapes::{arc, told};

pub(crate) fn json_of(frame: &Frame) -> Value {
    let mut text = Vec::new();
    frame.write_json(&mut text).unwrap();
    serde_json::from_slice(&text)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&text)))
}

pub(crate) fn arrow_of(frame: &Frame) -> RecordBatch {
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
fn a_null_is_one_whatever_the_schema_promised() {
    let field = ArrowField::new("x", DataType::Int64, false);
    let chunks = [arc(Int64Array::from(vec![Some(1)])), arc(Int64Array::from(vec![None]))];
    let mut frame = Frame::new("f");
    frame.push(Field::of_chunks(&field, &chunks).unwrap()).unwrap();
    assert_eq!(json_of(&frame)["schema"]["fields"][0]["typeInfo"]["nullable"], json!(true));
    assert_eq!(arrow_of(&frame).column(0).null_count(), 1);
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
    // A time of day that no day has.
    let error = Field::new("clock", arc(Time32SecondArray::from(vec![86_400]))).unwrap_err();
    assert!(error.to_string().contains("\"clock\""), "{error}");
    // More text than offsets of 32 bits reach: 16 MiB, 128 times.
    let field = ArrowField::new("s", DataType::Utf8, false);
    let text = arc(StringArray::from(vec!["a".repeat(1 << 24)]));
    let mut long = Frame::new("f");
    long.push(Field::of_chunks(&field, &vec![text; 128]).unwrap()).unwrap();
    let mut file = Vec::new();
    let error = long.write_arrow(&mut file).unwrap_err();
    assert!(error.to_string().contains("as an Arrow file: Offset overflow"), "{error}");
    assert!(file.is_empty());
    // An answer that is not of the schema it came with.
    let numbers = arc(Int64Array::from(vec![1]));
    let field = ArrowField::new("s", DataType::Utf8, false);
    let error = Field::of_chunks(&field, &[Arc::clone(&numbers)]).unwrap_err();
    assert!(error.to_string().contains("it is Utf8 and has values of Int64"), "{error}");
    let one = RecordBatch::try_from_iter([("a", Arc::clone(&numbers))]).unwrap();
    let two = RecordBatch::try_from_iter([("a", Arc::clone(&numbers)), ("b", numbers)]).unwrap();
    let error = Frame::of_batches("f", &two.schema(), &[one]).unwrap_err();
    assert!(error.to_string().contains("1 columns and its schema 2"), "{error}");
    let texts = vec!["a".to_owned()];
    assert!(Field::enumeration("e", texts.clone(), UInt16Array::from(vec![0, 0])).is_ok());
    assert!(Field::enumeration("e", texts, UInt16Array::from(vec![0, 1])).is_err());
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
