//! Frames for all tests: a column of each type of Arrow, and frames as data sources make them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::*,
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::cast,
    datatypes::*,
};
use flamesql_frame::{
    DataTopic, Field, FieldConfig, Frame, FrameMeta, FrameType, Link, MAX_ENUM, Notice, Severity,
    Visualisation,
};
use serde_json::{Value, json};

/// A column of five values, and what it becomes.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) array: ArrayRef,
    /// The type of Go.
    pub(crate) frame: &'static str,
    /// The values in JSON.
    pub(crate) json: Value,
    /// What whoever reads the frame is told: NaN and infinities by name, times in nanoseconds, the texts of enumerations.
    pub(crate) says: Value,
}

fn case(array: impl Array + 'static, frame: &'static str, json: Value) -> Case {
    let says = json.clone();
    said(array, frame, json, says)
}

fn said(array: impl Array + 'static, frame: &'static str, json: Value, says: Value) -> Case {
    let name = array.data_type().to_string();
    Case { name, array: Arc::new(array), frame, json, says }
}

pub(crate) fn arc(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

/// A column of each type, with NULL in each.
pub(crate) fn cases() -> Vec<Case> {
    [numbers(), texts(), times(), nested()].into_iter().flatten().collect()
}

/// All columns as one batch.
pub(crate) fn batch(cases: &[Case]) -> RecordBatch {
    let field = |case: &Case| ArrowField::new(&case.name, case.array.data_type().clone(), true);
    let schema = Schema::new(cases.iter().map(field).collect::<Vec<_>>());
    let columns = cases.iter().map(|case| Arc::clone(&case.array)).collect();
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(crate) fn frame_of_batch(name: &str, batch: &RecordBatch) -> Frame {
    Frame::of_batches(name, &batch.schema(), std::slice::from_ref(batch)).unwrap()
}

use arrow::datatypes::Field as ArrowField;

macro_rules! integers {
    ($($array:ident $native:ident),*) => {
        vec![$({
            let (min, max) = ($native::MIN, $native::MAX);
            let values = vec![Some(min), Some(0), Some(1), Some(max), None];
            case($array::from(values), stringify!($native), json!([min, 0, 1, max, null]))
        }),*]
    };
}

fn numbers() -> Vec<Case> {
    let mut cases: Vec<Case> = integers!(
        Int8Array i8, Int16Array i16, Int32Array i32, Int64Array i64, UInt8Array u8,
        UInt16Array u16, UInt32Array u32, UInt64Array u64
    );
    for case in &mut cases {
        case.frame = match case.frame {
            "i8" => "int8",
            "i16" => "int16",
            "i32" => "int32",
            "i64" => "int64",
            "u8" => "uint8",
            "u16" => "uint16",
            "u32" => "uint32",
            _ => "uint64",
        };
    }
    let none = json!([0.5, null, null, null, null]);
    let by_name = json!([0.5, "NaN", "Infinity", "-Infinity", null]);
    let float64 = Float64Array::from(vec![
        Some(0.5),
        Some(f64::NAN),
        Some(f64::INFINITY),
        Some(f64::NEG_INFINITY),
        None,
    ]);
    for to in [DataType::Float16, DataType::Float32, DataType::Float64] {
        let name = if to == DataType::Float64 { "float64" } else { "float32" };
        let array = make_array(cast(&float64, &to).unwrap().to_data());
        cases.push(said(array, name, none.clone(), by_name.clone()));
    }
    // A float of 32 bits is written with the digits that it has, and no more.
    let least = vec![Some(0.1), Some(-0.0), Some(f32::MAX), Some(1e-7), None];
    let digits = json!([0.1, -0.0, 3.4028235e38, 1e-7, null]);
    cases.push(Case {
        name: "float32 digits".to_owned(),
        ..case(Float32Array::from(least), "float32", digits)
    });
    let digits = vec![Some(0.1), Some(-0.0), Some(f64::MAX), Some(1e-7), None];
    let json = json!(digits);
    cases.push(Case {
        name: "float64 digits".to_owned(),
        ..case(Float64Array::from(digits), "float64", json)
    });
    // Neighbours of 2^53, which a float does not tell apart.
    let large = vec![
        Some((1_i64 << 53) - 1),
        Some(1 << 53),
        Some((1 << 53) + 1),
        Some(-(1 << 53) - 1),
        None,
    ];
    let json = json!(large);
    cases.push(Case {
        name: "beyond 2^53".to_owned(),
        ..case(Int64Array::from(large), "int64", json)
    });

    let decimal = json!([1.25, -0.05, 0.0, 99.99, null]);
    let hundredths = [Some(125), Some(-5), Some(0), Some(9999), None];
    let array: Decimal128Array =
        hundredths.into_iter().map(|v: Option<i32>| v.map(i128::from)).collect();
    let array = array.with_precision_and_scale(5, 2).unwrap();
    for to in [
        DataType::Decimal32(5, 2),
        DataType::Decimal64(5, 2),
        DataType::Decimal128(5, 2),
        DataType::Decimal256(5, 2),
    ] {
        cases.push(case(
            make_array(cast(&array, &to).unwrap().to_data()),
            "float64",
            decimal.clone(),
        ));
    }
    let bools = vec![Some(true), Some(false), Some(true), Some(false), None];
    cases.push(case(BooleanArray::from(bools.clone()), "bool", json!(bools)));
    let dictionary = DictionaryArray::<UInt8Type>::new(
        UInt8Array::from(vec![Some(1), Some(0), Some(0), Some(1), None]),
        arc(Int64Array::from(vec![7, 9])),
    );
    cases.push(case(dictionary, "int64", json!([9, 7, 7, 9, null])));
    let runs = RunArray::<Int32Type>::try_new(
        &Int32Array::from(vec![2, 4, 5]),
        &Int64Array::from(vec![Some(7), Some(9), None]),
    );
    cases.push(case(runs.unwrap(), "int64", json!([7, 7, 9, 9, null])));
    for (unit, array) in [
        ("s", arc(DurationSecondArray::from(vec![Some(-1), Some(0), Some(1), Some(7), None]))),
        (
            "ms",
            arc(DurationMillisecondArray::from(vec![Some(-1), Some(0), Some(1), Some(7), None])),
        ),
        (
            "µs",
            arc(DurationMicrosecondArray::from(vec![Some(-1), Some(0), Some(1), Some(7), None])),
        ),
        ("ns", arc(DurationNanosecondArray::from(vec![Some(-1), Some(0), Some(1), Some(7), None]))),
    ] {
        let json = json!([-1, 0, 1, 7, null]);
        let case = case(array, "int64", json);
        assert_eq!(case.name, format!("Duration({unit})"));
        cases.push(case);
    }
    cases
}

fn texts() -> Vec<Case> {
    let texts = ["", "plain", "a\"\\\n\u{7}\u{2028}", "é🔥"];
    let array: StringArray = texts.into_iter().map(Some).chain([None]).collect();
    let json = json!([texts[0], texts[1], texts[2], texts[3], null]);
    let mut cases = Vec::new();
    for to in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        cases.push(case(cast(&array, &to).unwrap(), "string", json.clone()));
    }
    for key in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
    ] {
        let to = DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
        cases.push(said(
            cast(&array, &to).unwrap(),
            "enum",
            json!([0, 1, 2, 3, null]),
            json.clone(),
        ));
    }
    for values in [DataType::LargeUtf8, DataType::Utf8View] {
        let keys = Int32Array::from(vec![Some(3), Some(3), Some(0), Some(4), None]);
        let values = cast(&array, &values).unwrap();
        // The fourth is NULL among the values, the fifth among the keys.
        let json = json!([0, 0, 1, null, null]);
        let says = json!([texts[3], texts[3], texts[0], null, null]);
        cases.push(said(DictionaryArray::new(keys, values), "enum", json, says));
    }
    let runs = RunArray::<Int16Type>::try_new(
        &Int16Array::from(vec![4, 5]),
        &StringArray::from(vec![Some("run"), None]),
    );
    cases.push(case(runs.unwrap(), "string", json!(["run", "run", "run", "run", null])));
    cases.push(case(NullArray::new(5), "string", json!([null, null, null, null, null])));

    let bytes: [&[u8]; 4] = [b"", b"\xca\xfe", b"\0\x0a", b"\xff"];
    let array: BinaryArray = bytes.into_iter().map(Some).chain([None]).collect();
    for to in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
        let json = json!(["", "cafe", "000a", "ff", null]);
        cases.push(case(cast(&array, &to).unwrap(), "string", json));
    }
    let pairs = [Some(*b"\xca\xfe"), Some([0; 2]), Some([1; 2]), Some([0xff; 2]), None];
    let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(pairs.into_iter(), 2).unwrap();
    cases.push(case(array, "string", json!(["cafe", "0000", "0101", "ffff", null])));
    cases
}

fn times() -> Vec<Case> {
    const DAY: i64 = 86_400_000_000_000;
    let mut cases = Vec::new();
    // The first of 1970, one before, a leap day, and one that is far away.
    let days = [0, -1, 19_782, 100_000];
    let array: Date32Array = days.into_iter().map(Some).chain([None]).collect();
    let millis = |unit: i64, n: &[i64]| {
        let values = n.iter().map(|n| json!((n * unit).div_euclid(1_000_000)));
        Value::Array(values.chain([Value::Null]).collect())
    };
    let nanos = |unit: i64, n: &[i64]| {
        Value::Array(n.iter().map(|n| json!(n * unit)).chain([Value::Null]).collect())
    };
    let n = days.map(i64::from);
    for to in [DataType::Date32, DataType::Date64] {
        let array = cast(&array, &to).unwrap();
        cases.push(said(array, "time.Time", millis(DAY, &n), nanos(DAY, &n)));
    }
    for (time_unit, unit) in [
        (TimeUnit::Second, 1_000_000_000),
        (TimeUnit::Millisecond, 1_000_000),
        (TimeUnit::Microsecond, 1000),
        (TimeUnit::Nanosecond, 1),
    ] {
        let largest = i64::MAX / unit;
        let n = [0, -1, 1_700_000_001, largest];
        let array = Int64Array::from(vec![Some(n[0]), Some(n[1]), Some(n[2]), Some(n[3]), None]);
        for zone in [None, Some("+02:00"), Some("Europe/Berlin")] {
            let to = DataType::Timestamp(time_unit, zone.map(Into::into));
            let array = cast(&array, &to).unwrap();
            cases.push(said(array, "time.Time", millis(unit, &n), nanos(unit, &n)));
        }
    }
    let dictionary = DictionaryArray::<Int32Type>::new(
        Int32Array::from(vec![Some(1), Some(0), Some(0), Some(1), None]),
        arc(TimestampSecondArray::from(vec![0, 1])),
    );
    let (json, says) = (millis(1_000_000_000, &[1, 0, 0, 1]), nanos(1_000_000_000, &[1, 0, 0, 1]));
    cases.push(said(dictionary, "time.Time", json, says));

    let seconds = Time32SecondArray::from(vec![Some(0), Some(1), Some(61), Some(86_399), None]);
    let clock = ["00:00:00", "00:00:01", "00:01:01", "23:59:59"];
    let json = json!([clock[0], clock[1], clock[2], clock[3], null]);
    for to in [
        DataType::Time32(TimeUnit::Second),
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Time64(TimeUnit::Nanosecond),
    ] {
        cases.push(case(cast(&seconds, &to).unwrap(), "string", json.clone()));
    }
    let months = vec![Some(0), Some(1), Some(-1), Some(14), None];
    cases.push(case(
        IntervalYearMonthArray::from(months),
        "string",
        json!(["0 years 0 mons", "0 years 1 mons", "-1 years 11 mons", "1 years 2 mons", null]),
    ));
    let of = IntervalDayTime::new;
    let days = vec![Some(of(0, 0)), Some(of(1, 0)), Some(of(0, -1)), Some(of(-2, 1500)), None];
    cases.push(case(
        IntervalDayTimeArray::from(days),
        "string",
        json!(["0 secs", "1 days", "-0.001 secs", "-2 days 1.500 secs", null]),
    ));
    let of = IntervalMonthDayNano::new;
    let all = vec![
        Some(of(0, 0, 0)),
        Some(of(1, 2, 3)),
        Some(of(0, 0, -1)),
        Some(of(14, 0, 3_600_000_000_000)),
        None,
    ];
    cases.push(case(
        IntervalMonthDayNanoArray::from(all),
        "string",
        json!([
            "0 secs",
            "1 mons 2 days 0.000000003 secs",
            "-0.000000001 secs",
            "14 mons 1 hours",
            null
        ]),
    ));
    cases
}

fn nested() -> Vec<Case> {
    let lists = [
        Some(vec![Some(1), None]),
        Some(vec![]),
        Some(vec![Some(-7)]),
        Some(vec![Some(2), Some(3)]),
        None,
    ];
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(lists.clone());
    let json = json!([[1, null], [], [-7], [2, 3], null]);
    let mut cases = Vec::new();
    let item = Arc::new(ArrowField::new_list_field(DataType::Int32, true));
    for to in [
        DataType::List(Arc::clone(&item)),
        DataType::LargeList(Arc::clone(&item)),
        DataType::ListView(Arc::clone(&item)),
        DataType::LargeListView(Arc::clone(&item)),
    ] {
        cases.push(case(cast(&list, &to).unwrap(), "json.RawMessage", json.clone()));
    }
    let pairs = [[1, 2], [3, 4], [5, 6], [7, 8]].map(|pair| Some(pair.map(Some)));
    let pairs = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        pairs.into_iter().chain([None]),
        2,
    );
    cases.push(case(pairs, "json.RawMessage", json!([[1, 2], [3, 4], [5, 6], [7, 8], null])));
    // What stands before and behind its rows is not written.
    let sliced = ListArray::from_iter_primitive::<Int32Type, _, _>(
        [Some(vec![Some(99)])].into_iter().chain(lists).chain([Some(vec![Some(98)])]),
    );
    cases.push(Case {
        name: "sliced list".to_owned(),
        ..case(sliced.slice(1, 5), "json.RawMessage", json)
    });
    cases.push(deep());

    let keys = |keys: ArrayRef| {
        let entries = StructArray::from(vec![
            (Arc::new(ArrowField::new("keys", keys.data_type().clone(), false)), keys),
            (
                Arc::new(ArrowField::new("values", DataType::Utf8, true)),
                arc(StringArray::from(vec![Some("a\"\n"), None, Some("c"), Some("d")])),
            ),
        ]);
        let field = ArrowField::new("entries", entries.data_type().clone(), false);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 2, 3, 4, 4]));
        let nulls = NullBuffer::from(vec![true, true, true, true, false]);
        MapArray::new(Arc::new(field), offsets, entries, Some(nulls), false)
    };
    let names = StringArray::from(vec!["pod", "é\"", "pod", ""]);
    let of_texts = json!([{"pod": "a\"\n", "é\"": null}, {}, {"pod": "c"}, {"": "d"}, null]);
    for to in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8)),
    ] {
        let array = keys(cast(&names, &to).unwrap());
        cases.push(case(array, "json.RawMessage", of_texts.clone()));
    }
    let array = keys(arc(Int64Array::from(vec![1, 2, 3, 4])));
    let of_numbers = json!([[[1, "a\"\n"], [2, null]], [], [[3, "c"]], [[4, "d"]], null]);
    cases.push(case(array, "json.RawMessage", of_numbers));

    let fields = UnionFields::try_new(
        [3, 5],
        [ArrowField::new("n", DataType::Int64, true), ArrowField::new("s", DataType::Utf8, true)],
    )
    .unwrap();
    let sparse = UnionArray::try_new(
        fields.clone(),
        ScalarBuffer::from(vec![3_i8, 5, 3, 5, 5]),
        None,
        vec![
            arc(Int64Array::from(vec![Some(1), None, None, None, None])),
            arc(StringArray::from(vec![None, Some("x"), None, Some("\""), None])),
        ],
    );
    let json = json!([1, "x", null, "\"", null]);
    cases.push(case(sparse.unwrap(), "json.RawMessage", json.clone()));
    let dense = UnionArray::try_new(
        fields,
        ScalarBuffer::from(vec![3_i8, 5, 3, 5, 5]),
        Some(ScalarBuffer::from(vec![0, 0, 1, 1, 2])),
        vec![
            arc(Int64Array::from(vec![Some(1), None])),
            arc(StringArray::from(vec![Some("x"), Some("\""), None])),
        ],
    );
    cases.push(case(dense.unwrap(), "json.RawMessage", json));
    cases
}

/// A struct of what may stand in a value, within a list.
fn deep() -> Case {
    let labels: DictionaryArray<Int8Type> =
        [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let runs = RunArray::<Int32Type>::try_new(
        &Int32Array::from(vec![3, 4]),
        &Int64Array::from(vec![6, 7]),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "f32",
            arc(Float32Array::from(vec![Some(0.1), Some(f32::NAN), None, Some(f32::INFINITY)])),
        ),
        ("f64", arc(Float64Array::from(vec![0.1, f64::NAN, f64::NEG_INFINITY, 1e300]))),
        ("u64", arc(UInt64Array::from(vec![u64::MAX, 0, 1, 2]))),
        ("bool", arc(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        (
            "decimal",
            arc(Decimal128Array::from(vec![
                Some(100_000_000_000_000_000_000_000_000_001_i128),
                Some(-1),
                None,
                Some(100),
            ])
            .with_precision_and_scale(30, 2)
            .unwrap()),
        ),
        ("day", arc(Date32Array::from(vec![0, -1, 19_782, 1]))),
        (
            "time",
            arc(TimestampNanosecondArray::from(vec![0, 1, -1, 2]).with_timezone("Europe/Berlin")),
        ),
        ("clock", arc(Time32SecondArray::from(vec![0, 1, 61, 2]))),
        ("bytes", arc(BinaryArray::from(vec![&b"\xca\xfe"[..], b"", b"\"", b"\n"]))),
        ("label", arc(labels)),
        ("\"run\"", arc(runs.unwrap())),
        ("none", arc(NullArray::new(4))),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, array)| {
            (Arc::new(ArrowField::new(name, array.data_type().clone(), true)), array)
        })
        .collect::<Vec<_>>();
    let values = StructArray::from(columns);
    let item = ArrowField::new_list_field(values.data_type().clone(), true);
    let list = ListArray::new(
        Arc::new(item),
        OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 3, 3, 4, 4])),
        arc(values),
        Some(NullBuffer::from(vec![true, true, true, true, false])),
    );
    let large: Value = serde_json::from_str("1000000000000000000000000000.01").unwrap();
    let values = [
        json!({"f32": 0.1, "f64": 0.1, "u64": u64::MAX, "bool": true, "decimal": large, "day": "1970-01-01",
            "time": "1970-01-01T00:00:00Z", "clock": "00:00:00", "bytes": "cafe", "label": "a", "\"run\"": 6, "none": null}),
        json!({"f32": null, "f64": null, "u64": 0, "bool": false, "decimal": -0.01, "day": "1969-12-31",
            "time": "1970-01-01T00:00:00.000000001Z", "clock": "00:00:01", "bytes": "", "label": null, "\"run\"": 6, "none": null}),
        json!({"f32": null, "f64": null, "u64": 1, "bool": null, "decimal": null, "day": "2024-02-29",
            "time": "1969-12-31T23:59:59.999999999Z", "clock": "00:01:01", "bytes": "22", "label": "b", "\"run\"": 6, "none": null}),
        json!({"f32": null, "f64": 1e300, "u64": 2, "bool": true, "decimal": 1.0, "day": "1970-01-02",
            "time": "1970-01-01T00:00:00.000000002Z", "clock": "00:00:02", "bytes": "0a", "label": "a", "\"run\"": 7, "none": null}),
    ];
    let json = json!([[values[0], values[1]], [values[2]], [], [values[3]], null]);
    Case { name: "list of structs".to_owned(), ..case(list, "json.RawMessage", json) }
}

/// A flame graph as Grafana's panel wants it.
pub(crate) fn flamegraph(n_nodes: usize, n_names: usize) -> Frame {
    let names: Vec<String> = (0..n_names)
        .map(|n| format!("pkg{}/mod{}.(*Type{}).Method{n}", n % 97, n % 31, n % 53))
        .collect();
    let integers =
        |of: &dyn Fn(i64) -> i64| arc((0..n_nodes as i64).map(of).collect::<Int64Array>());
    let labels = (0..n_nodes).map(|n| (n % n_names) as u16).collect::<UInt16Array>();
    let mut frame = Frame::new("response");
    for (name, values) in [
        ("level", integers(&|n| n % 60)),
        ("value", integers(&|n| n * 7919 + 1)),
        ("self", integers(&|n| n * 31)),
    ] {
        frame.push(Field::new(name, values).unwrap()).unwrap();
    }
    for idx in [1, 2] {
        frame.field_mut(idx).unwrap().config_mut().unit = Some("ns".to_owned());
    }
    frame.push(Field::enumeration("label", names, labels).unwrap()).unwrap();
    frame.meta = Some(FrameMeta {
        preferred_visualisation: Some(Visualisation::FlameGraph),
        ..FrameMeta::default()
    });
    frame
}

/// A series over time.
pub(crate) fn series(n_points: usize) -> Frame {
    let times = (0..n_points as i64).map(|n| 1_795_176_000_000 + n * 15_000);
    let values = (0..n_points).map(|n| n as f64 * 1.75 + 0.25);
    let mut frame = Frame::new("");
    let times = arc(times.map(Some).collect::<TimestampMillisecondArray>());
    frame.push(Field::new("time", times).unwrap()).unwrap();
    frame.push(Field::new("cpu", arc(values.collect::<Float64Array>())).unwrap()).unwrap();
    *frame.field_mut(1).unwrap().labels =
        Some([("service_name".to_owned(), "shop".to_owned())].into());
    frame
}

/// A frame of which all is said that can be.
pub(crate) fn told() -> Frame {
    let mut frame = Frame::new("series");
    let times = arc(TimestampMillisecondArray::from(vec![1, 2]));
    frame.push(Field::new("time", times).unwrap()).unwrap();
    frame.push(Field::new("value", arc(Float64Array::from(vec![0.25, 4.0]))).unwrap()).unwrap();
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
    let mut value = frame.field_mut(1).unwrap();
    *value.labels = Some(BTreeMap::from([("pod".to_owned(), "a \"b\"\n".to_owned())]));
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

/// A name that every quoting has to deal with.
pub(crate) const HARD: &str = "a \"b\"\n\\c\t{é🔥\u{2028}}</script>";

/// A frame of hard names.
pub(crate) fn named() -> Frame {
    let mut frame = Frame::new(HARD);
    frame.ref_id = HARD.to_owned();
    let labels: DictionaryArray<Int32Type> = [Some(HARD), None].into_iter().collect();
    frame.push(Field::new(HARD, arc(labels)).unwrap()).unwrap();
    let mut field = frame.field_mut(0).unwrap();
    *field.labels = Some([(HARD.to_owned(), HARD.to_owned())].into());
    field.config_mut().display_name = Some(HARD.to_owned());
    frame.meta = Some(FrameMeta {
        executed_query_string: Some(HARD.to_owned()),
        custom: Some(json!({ HARD: HARD })),
        ..FrameMeta::default()
    });
    frame
}

/// As many texts as an enumeration has, or one more than that.
pub(crate) fn labels(n: usize) -> Frame {
    assert!(n <= MAX_ENUM + 1);
    let texts: Vec<String> = (0..n).map(|n| format!("f{n}")).collect();
    let array: DictionaryArray<Int32Type> = texts.iter().map(|text| Some(text.as_str())).collect();
    let mut frame = Frame::new("labels");
    frame.push(Field::new("label", arc(array)).unwrap()).unwrap();
    frame
}
