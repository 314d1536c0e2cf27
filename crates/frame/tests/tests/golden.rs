//! Frames as they were written before. `UPDATE=1 cargo test -p flamesql-frame` writes the files in `tests/golden` anew; look
//! at the diff.
//!
//! JSON has a line for each field and each column there, and is byte for byte what we write but for the ends of lines, which
//! never occur in it.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, error::ArrowError, ipc::reader::FileReader};
use flamesql_frame::Frame;

use crate::shapes::{batch, cases, flamegraph, frame_of_batch, named, series, told};

fn frames() -> Vec<(&'static str, Frame)> {
    let types = batch(&cases());
    vec![
        ("types", frame_of_batch("types", &types)),
        ("types-empty", frame_of_batch("types", &types.slice(0, 0))),
        ("none", Frame::default()),
        ("named", named()),
        ("told", told()),
        ("flamegraph", flamegraph(100, 20)),
        ("series", series(20)),
    ]
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

/// What is in a file, after it was written if that is wanted.
fn golden(file: &str, actual: &[u8]) -> Vec<u8> {
    let path = path(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, actual).unwrap();
    }
    fs::read(&path).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn json_is_what_it_was() {
    for (name, frame) in frames() {
        let mut json = Vec::new();
        frame.write_json(&mut json).unwrap();
        assert!(!json.contains(&b'\n'), "{name}");
        let file = format!("{name}.json");
        let golden = String::from_utf8(golden(&file, in_lines(&json).as_bytes())).unwrap();
        // Line by line for a message one can read.
        for (n, (expected, actual)) in golden.lines().zip(in_lines(&json).lines()).enumerate() {
            assert_eq!(actual, expected, "{file}:{}", n + 1);
        }
        assert_eq!(String::from_utf8(json).unwrap(), golden.replace('\n', ""), "{file}");
    }
}

#[test]
fn arrow_is_what_it_was() {
    for (name, frame) in frames() {
        let mut arrow = Vec::new();
        frame.write_arrow(&mut arrow).unwrap();
        let file = format!("{name}.arrow");
        let golden = golden(&file, &arrow);
        let (expected, actual) = (batches(&golden), batches(&arrow));
        assert_eq!(actual.len(), 1, "{file}");
        assert_eq!(actual, expected, "{file}");
        assert!(arrow == golden, "{file}: the same values in other bytes");
    }
}

/// Each golden file is one that is written.
#[test]
fn no_golden_file_is_left_over() {
    let known: Vec<String> = frames()
        .iter()
        .flat_map(|(name, _)| [format!("{name}.json"), format!("{name}.arrow")])
        .collect();
    for entry in fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name}");
    }
}

fn batches(file: &[u8]) -> Vec<RecordBatch> {
    let batches = FileReader::try_new(Cursor::new(file), None).unwrap();
    batches.collect::<Result<_, ArrowError>>().unwrap()
}

/// The same with a line for each field and each column.
fn in_lines(json: &[u8]) -> String {
    let (mut lines, mut depth) = (Vec::new(), 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json {
        lines.push(*byte);
        if is_text {
            is_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => is_text = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth <= 3 && matches!(byte, b'[' | b'{' | b',') {
            lines.push(b'\n');
        }
    }
    lines.push(b'\n');
    String::from_utf8(lines).unwrap()
}
