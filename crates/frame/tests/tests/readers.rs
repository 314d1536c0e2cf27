//! Readers that are not ours, where the machine has them: Grafana's own package and Arrow's for JavaScript, and pyarrow.
//!
//! `tests/readers` has the programs that call them; the README says how they are installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use flamesql_frame::{Frame, Kind, MAX_ENUM};
use serde_json::{Value, json};

use crate::shapes::{HARD, batch, cases, flamegraph, frame_of_batch, labels, named, series, told};

/// A frame, and what its columns say.
struct Sample {
    name: &'static str,
    frame: Frame,
    values: Vec<Value>,
}

fn samples() -> Vec<Sample> {
    let cases = cases();
    let types = batch(&cases);
    let none = cases.iter().map(|_| json!([])).collect();
    let texts = |n: usize| vec![(0..n).map(|n| json!(format!("f{n}"))).collect()];
    let mut tree = flamegraph(1000, 100);
    *tree.field_mut(0).unwrap().labels = Some([].into());
    vec![
        Sample {
            name: "types",
            frame: frame_of_batch("types", &types),
            values: cases.into_iter().map(|case| case.says).collect(),
        },
        Sample { name: "empty", frame: frame_of_batch("empty", &types.slice(0, 0)), values: none },
        Sample { name: "none", frame: Frame::default(), values: vec![] },
        Sample { name: "named", frame: named(), values: vec![json!([HARD, null])] },
        Sample {
            name: "told",
            frame: told(),
            values: vec![json!([1_000_000, 2_000_000]), json!([0.25, 4.0])],
        },
        Sample { name: "enum", frame: labels(MAX_ENUM), values: texts(MAX_ENUM) },
        Sample { name: "texts", frame: labels(MAX_ENUM + 1), values: texts(MAX_ENUM + 1) },
        Sample {
            name: "tree",
            frame: tree,
            values: vec![
                (0..1000).map(|n| json!(n % 60)).collect(),
                (0..1000).map(|n| json!(n * 7919 + 1)).collect(),
                (0..1000).map(|n| json!(n * 31)).collect(),
                (0..1000)
                    .map(|n| n % 100)
                    .map(|n| {
                        json!(format!("pkg{}/mod{}.(*Type{}).Method{n}", n % 97, n % 31, n % 53))
                    })
                    .collect(),
            ],
        },
        Sample {
            name: "series",
            frame: series(100),
            values: vec![
                (0..100_i64).map(|n| json!((1_795_176_000_000 + n * 15_000) * 1_000_000)).collect(),
                (0..100).map(|n| json!(f64::from(n) * 1.75 + 0.25)).collect(),
            ],
        },
    ]
}

#[test]
fn grafana_reads_the_json_and_javascript_the_arrow() {
    let Some(modules) = std::env::var_os("FLAMESQL_NODE_MODULES") else {
        skipped("@grafana/data and apache-arrow", "FLAMESQL_NODE_MODULES is not set");
        return;
    };
    if !Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
        skipped("@grafana/data and apache-arrow", "there is no node");
        return;
    }
    let read = |files: &[PathBuf]| {
        lines(Command::new("node").arg(program("read.cjs")).args(files).env("NODE_PATH", &modules))
    };
    check(Reader::Grafana, read);
    check(Reader::JavaScript, read);
}

#[test]
fn pyarrow_reads_the_file() {
    let has_it = Command::new("python3").args(["-c", "import pyarrow"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skipped("pyarrow", "python3 here has none");
        return;
    }
    check(Reader::Python, |files| {
        lines(Command::new("python3").arg(program("read.py")).args(files))
    });
}

#[expect(clippy::print_stderr, reason = "whoever runs it wants to know what was not")]
fn skipped(reader: &str, why: &str) {
    eprintln!("skipped: {reader}: {why}");
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

fn lines(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap_or_else(|e| panic!("{e}: {errors}")))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Of JSON.
    Grafana,
    /// Of Arrow files.
    JavaScript,
    /// Of Arrow files.
    Python,
}

impl Reader {
    /// Whether integers are floats to it, and rounded. JavaScript has no others in JSON.
    fn has_floats_only(self, kind: Kind) -> bool {
        self == Self::Grafana || self == Self::JavaScript && kind == Kind::Json
    }
}

/// All frames are read as what they were made of.
fn check(reader: Reader, read: impl Fn(&[PathBuf]) -> Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    let ending = if reader == Reader::Grafana { "json" } else { "arrow" };
    let files: Vec<PathBuf> = samples
        .iter()
        .map(|sample| folder.path().join(format!("{}.{ending}", sample.name)))
        .collect();
    for (sample, file) in samples.iter().zip(&files) {
        let file = fs::File::create(file).unwrap();
        match ending {
            "json" => sample.frame.write_json(file).unwrap(),
            _ => sample.frame.write_arrow(file).unwrap(),
        }
    }
    let read = read(&files);
    assert_eq!(read.len(), samples.len());
    for (sample, read) in samples.iter().zip(&read) {
        let (name, frame) = (sample.name, &sample.frame);
        // Grafana leaves an empty name out, Arrow has it.
        assert_eq!(read["name"].as_str().unwrap_or_default(), frame.name, "{name}");
        assert_eq!(read["refId"].as_str().unwrap_or_default(), frame.ref_id, "{name}");
        let meta =
            frame.meta.as_ref().map_or(Value::Null, |meta| serde_json::to_value(meta).unwrap());
        assert_eq!(read["meta"], meta, "{name}");
        assert_eq!(read["length"], json!(frame.n_rows()), "{name}");
        let fields = read["fields"].as_array().unwrap();
        assert_eq!(fields.len(), frame.fields().len(), "{name}");
        for ((field, read), values) in frame.fields().iter().zip(fields).zip(&sample.values) {
            let name = format!("{name}, {:?}", field.name);
            assert_eq!(read["name"].as_str(), Some(&*field.name), "{name}");
            let labels = field.labels.as_ref().map_or(Value::Null, |labels| json!(labels));
            assert_eq!(read["labels"], labels, "{name}");
            let keeps = Keeps {
                floats_only: reader.has_floats_only(field.kind()),
                half: field.kind() == Kind::Float32,
            };
            let mut config = read["config"].clone();
            config.as_object_mut().unwrap().remove("type");
            let told =
                field.config.as_ref().map_or(json!({}), |told| serde_json::to_value(told).unwrap());
            assert!(is_read(&config, &told, keeps), "{name}: {config} was {told}");
            let read = read["values"].as_array().unwrap();
            let values = values.as_array().unwrap();
            assert_eq!(read.len(), values.len(), "{name}");
            for (read, value) in read.iter().zip(values) {
                assert!(is_read(read, value, keeps), "{name}: {read} was {value}");
            }
        }
    }
}

/// What a reader keeps of numbers.
#[derive(Clone, Copy)]
struct Keeps {
    /// Integers are floats, and rounded.
    floats_only: bool,
    /// Floats had 32 bits, and have other digits as 64.
    half: bool,
}

/// Whether a value was read as what it was. Numbers may have come as text where they are larger than 2^53.
fn is_read(read: &Value, value: &Value, keeps: Keeps) -> bool {
    match (read, value) {
        (Value::Array(read), Value::Array(values)) => {
            read.len() == values.len() && read.iter().zip(values).all(|(r, v)| is_read(r, v, keeps))
        }
        (Value::Object(read), Value::Object(values)) => {
            let has = |name, v| read.get(name).is_some_and(|r| is_read(r, v, keeps));
            read.len() == values.len() && values.iter().all(|(name, v)| has(name, v))
        }
        (_, Value::Number(value)) => {
            let read = read.as_str().map_or_else(|| read.to_string(), str::to_owned);
            let wanted = value.to_string();
            let (Ok(float), Ok(wanted_float)) = (read.parse::<f64>(), wanted.parse::<f64>()) else {
                return false;
            };
            let is_integer = value.is_i64() || value.is_u64();
            read == wanted
                || (keeps.floats_only || !is_integer) && float == wanted_float
                || keeps.half && float as f32 == wanted_float as f32
        }
        _ => read == value,
    }
}
