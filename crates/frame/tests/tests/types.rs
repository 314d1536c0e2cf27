//! What becomes of each type, as the README says it.

use arrow::ipc::writer::FileWriter;
use flamesql_frame::Frame;
use serde_json::{Value, json};

use crate::{
    frame::{arrow_of, json_of},
    shapes::{batch, cases, frame_of_batch},
};

#[test]
fn each_type_is_one_that_grafana_reads() {
    let cases = cases();
    let frame = frame_of_batch("types", &batch(&cases));
    let (json, file) = (json_of(&frame), arrow_of(&frame));
    for (idx, case) in cases.iter().enumerate() {
        let field = &json["schema"]["fields"][idx];
        let name = &case.name;
        assert_eq!(field["typeInfo"], json!({"frame": case.frame, "nullable": true}), "{name}");
        assert_eq!(json["data"]["values"][idx], case.json, "{name}");
        for (row, value) in case.json.as_array().unwrap().iter().enumerate() {
            let has_entity = case.says[row].is_string() && value.is_null();
            let is_null = value.is_null() && !has_entity;
            assert_eq!(file.column(idx).is_null(row), is_null, "{name}, row {row}");
        }
    }
}

#[test]
fn columns_are_the_same_however_they_are_cut() {
    let batch = batch(&cases());
    let whole = frame_of_batch("types", &batch);
    for cut in 0..=batch.num_rows() {
        let parts = [batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut)];
        let parts = Frame::of_batches("types", &batch.schema(), &parts).unwrap();
        assert_eq!(json_of(&whole), json_of(&parts), "{cut}");
        assert_eq!(arrow_of(&whole), arrow_of(&parts), "{cut}");
    }
}

/// The file is what Arrow's own writer makes of the same batch, whose columns are each in one piece.
#[test]
fn the_file_is_arrows_own() {
    let batch = batch(&cases());
    for cut in 0..=batch.num_rows() {
        let parts = [batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut)];
        let frame = Frame::of_batches("types", &batch.schema(), &parts).unwrap();
        let mut ours = Vec::new();
        frame.write_arrow(&mut ours).unwrap();
        let read = arrow_of(&frame);
        let mut writer = FileWriter::try_new(Vec::new(), &read.schema()).unwrap();
        writer.write(&read).unwrap();
        assert!(ours == writer.into_inner().unwrap(), "{cut}");
    }
}

/// The table of types in the README has a line for each type, and says what comes out.
#[test]
fn the_readme_is_true() {
    let readme = include_str!("../../README.md");
    let table = readme.lines().skip_while(|line| !line.starts_with("| Arrow |")).skip(2);
    let lines: Vec<Vec<&str>> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let cases = cases();
    let file = arrow_of(&frame_of_batch("types", &batch(&cases)));
    let schema = file.schema();
    for (case, written) in cases.iter().zip(schema.fields()) {
        let data_type = format!("{:?}", case.array.data_type());
        let variant = data_type.split([' ', '(']).next().unwrap();
        // A dictionary's line depends on its values.
        let has_text = ["Utf8", "LargeUtf8", "Utf8View"]
            .iter()
            .any(|of| data_type.ends_with(&format!("{of})")));
        let variant = match variant {
            "Dictionary" if has_text => "Dictionary of texts",
            variant => variant,
        };
        let line = lines.iter().find(|line| line[1].split('`').any(|word| word == variant));
        let line = line.unwrap_or_else(|| panic!("the README says nothing of {variant}"));
        let as_values = line[2] == "as its values";
        assert!(as_values || line[2].contains(&format!("`{}`", case.frame)), "{variant}: {line:?}");
        let written = format!("{:?}", written.data_type());
        let written = written.split('(').next().unwrap();
        assert!(as_values || line[4].contains(&format!("`{written}")), "{variant}: {line:?}");
    }
}

#[test]
fn a_field_cannot_be_exchanged_for_another() {
    let mut frame = frame_of_batch("types", &batch(&cases()));
    let n_rows = frame.n_rows();
    let n_fields = frame.fields().len();
    *frame.field_mut(0).unwrap().name = "first".to_owned();
    assert!(frame.field_mut(n_fields).is_none());
    assert_eq!(frame.fields()[0].name, "first");
    assert!(frame.fields().iter().all(|field| field.len() == n_rows));
    let values = json_of(&frame);
    let values = values["data"]["values"].as_array().unwrap();
    assert!(values.iter().all(|column| column.as_array().map(Vec::len) == Some(n_rows)));
    assert_eq!(Value::from(values.len()), json!(n_fields));
}
