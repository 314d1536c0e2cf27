//! Broken files: each is an error that says where, or is read for what it is; none panics.

use std::{collections::BTreeMap, fs};

use flamesql_profile::{ErrorKind, folded, pprof};

use super::files;

/// What is read although it is odd, with the sum of the first sample type, or why there is none.
fn accepted() -> BTreeMap<&'static str, Result<i64, ErrorKind>> {
    BTreeMap::from([
        ("name-invalid-utf8", Ok(20)),
        ("name-with-tab-newline-nul", Ok(23)),
        ("default-type-unknown", Ok(20)),
        ("sample-without-location", Ok(25)),
        ("samples-missing", Ok(0)),
        ("types-only", Ok(0)),
        ("mapping-unknown", Ok(25)),
        ("function-id-0-in-line", Ok(25)),
        ("sum-overflow", Err(ErrorKind::Overflow)),
        ("period-0", Ok(20)),
        ("time-negative", Ok(20)),
        ("time-huge", Ok(20)),
        ("deep-stack", Ok(21)),
    ])
}

#[test]
fn each_file_is_an_error_or_read_for_what_it_is() {
    let accepted = accepted();
    let mut wrong = Vec::new();
    let all = files("hostile", &[".pb.gz", ".pb"]);
    assert!(all.len() > 60, "the hostile files are there");
    for path in all {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.split('.').next().unwrap();
        let outcome = pprof::decode(&fs::read(&path).unwrap());
        match (&outcome, accepted.get(name)) {
            (Ok(profile), Some(sum)) => {
                let found = profile.tree(0).and_then(|tree| tree.total()).map_err(|e| e.kind());
                if found != *sum {
                    wrong.push(format!("{name}: {found:?} and not {sum:?}"));
                }
            }
            (Ok(_), None) => wrong.push(format!("{name}: accepted")),
            (Err(error), Some(_)) => wrong.push(format!("{name}: refused: {error}")),
            (Err(error), None) => {
                assert!(error.to_string().starts_with("pprof profile: "), "{name}: {error}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_say_where() {
    for (name, text, has_offset) in [
        ("values-too-few", "a sample has 1 values where the profile has 2 sample types", true),
        ("string-index-function", "text 4000 does not exist", true),
        ("location-unknown", "location 4711 does not exist", true),
        ("truncated", "damaged or cut off gzip", true),
        ("bomb-zeros", "inflates to more than 16777216 bytes", false),
        ("empty", "the input is empty", false),
        ("sample-type-twice", "two of its sample types are", true),
    ] {
        let path = super::folder("hostile").join(format!("{name}.pb.gz"));
        let error = pprof::decode(&fs::read(path).unwrap()).unwrap_err();
        assert!(error.to_string().contains(text), "{name}: {error}");
        assert_eq!(error.offset().is_some(), has_offset, "{name}: {error}");
    }
}

#[test]
fn bad_text_is_counted() {
    let path = super::folder("hostile").join("name-invalid-utf8.pb.gz");
    let profile = pprof::decode(&fs::read(path).unwrap()).unwrap();
    assert!(profile.replaced_texts() > 0);
    assert_eq!(folded::decode(b"a;\xff 1\n").unwrap().replaced_texts(), 1);
}

/// A few bytes that name one long chain of inlined calls over and over.
#[test]
fn inlined_calls_do_not_fill_the_memory() {
    let mut profile = pprof::Profile::default();
    let kind = profile.intern("samples");
    profile.sample_types.push(pprof::ValueType { kind, unit: kind });
    let name = profile.intern("f");
    let function = profile.push_function(pprof::Function { name, ..Default::default() });
    let line = pprof::Line { function: Some(function), line: 0 };
    let location = profile.push_location(pprof::Location::default(), &vec![line; 20_000]);
    profile.push_sample(&vec![location; 20_000], &[1], &[]);
    assert_eq!(profile.tree(0).unwrap_err().kind(), ErrorKind::TooLarge);
    let mut many = profile.clone();
    for _ in 0..2000 {
        many.push_sample(&[location; 3], &[1], &[]);
    }
    assert_eq!(many.tree(0).unwrap_err().kind(), ErrorKind::TooLarge);
}
