//! What a file's path and sample types say of it.

use std::{fs, path::Path};

use flamesql_profile::{Labels, folded};

/// A text file is looked into to see whether it is folded; beyond this size it is taken for something else.
const MAX_SNIFFED: u64 = 64 << 20;

/// The name without a `.gz` behind it, and its ending.
fn ending(name: &str) -> &str {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map_or("", |(_, ending)| ending)
}

/// Whether a file in a folder is a profile.
pub(super) fn is_profile(name: &str, path: &Path) -> bool {
    match ending(name) {
        "pb" | "pprof" | "prof" | "folded" | "collapsed" => true,
        "txt" if name.ends_with(".txt") => {
            fs::metadata(path).is_ok_and(|m| m.len() <= MAX_SNIFFED)
                && fs::read(path).is_ok_and(|bytes| folded::is_folded(&bytes))
        }
        _ => false,
    }
}

/// Whether a file is folded text and not pprof.
pub(super) fn is_folded(name: &str, bytes: &[u8]) -> bool {
    match ending(name) {
        "folded" | "collapsed" => true,
        "pb" | "pprof" | "prof" => false,
        _ => folded::is_folded(bytes),
    }
}

/// The labels that a path gives, and the profile's name if it gives one. `prefix` is the way to the folder.
pub(super) fn labels(prefix: &str, name: &str) -> (Labels, Option<String>) {
    // A file may be called `run=3.pb.gz` and mean nothing by it.
    let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
    let parts = prefix.split(['/', '\\']).chain(folders.split('/'));
    let pairs: Vec<(String, String)> = std::iter::once(("file".to_owned(), name.to_owned()))
        .chain(parts.filter_map(|part| {
            let (key, value) = part.split_once('=')?;
            (!key.is_empty()).then(|| (percent_decode(key), percent_decode(value)))
        }))
        .collect();
    let given = pairs.iter().rev().find(|(key, value)| key == "__name__" && !value.is_empty());
    let given = given.map(|(_, value)| value.clone());
    let labels: Labels = pairs.into_iter().collect();
    (labels.public(), given)
}

/// `%41` is `A`; what is no escape stays as it is, and bytes that are not UTF-8 are replaced.
fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The name that profiles with such sample types go by; else the file's stem.
pub(super) fn of_sample_types(kinds: &[(&str, &str)], file: &str) -> String {
    let has = |wanted: &[&str]| kinds.iter().any(|(kind, _)| wanted.contains(kind));
    let starts = |wanted: &str| kinds.iter().any(|(kind, _)| kind.starts_with(wanted));
    if has(&["cpu"]) {
        "process_cpu".to_owned()
    } else if starts("alloc_") || starts("inuse_") {
        "memory".to_owned()
    } else if has(&["goroutine", "goroutines"]) {
        "goroutine".to_owned()
    } else if has(&["contentions", "delay"]) {
        // Both have the same sample types; only the file's name tells one from the other.
        let file = file.rsplit('/').next().unwrap_or(file).to_ascii_lowercase();
        match () {
            () if file.contains("block") => "block".to_owned(),
            () if file.contains("mutex") || file.contains("lock") => "mutex".to_owned(),
            () => stem(&file),
        }
    } else if has(&["wall"]) {
        "wall".to_owned()
    } else {
        stem(file)
    }
}

/// A file's name without its endings and without digits and punctuation around it; `profile` if nothing is left.
pub(super) fn stem(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    let file = file.strip_suffix(".gz").unwrap_or(file);
    let stem = match ending(file) {
        "pb" | "pprof" | "prof" | "folded" | "collapsed" | "txt" => {
            file.rsplit_once('.').map_or(file, |(s, _)| s)
        }
        _ => file,
    };
    let stem = stem.trim_matches(|c: char| !c.is_alphabetic());
    if stem.is_empty() { "profile".to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_the_path() {
        let (labels, name) =
            labels("data/region=eu", "service_name=a%2Fb/pod=%zz/__name__=wall/file=x/1.pb.gz");
        assert_eq!(labels.to_string(), r#"{file="x", pod="%zz", region="eu", service_name="a/b"}"#);
        assert_eq!(name.as_deref(), Some("wall"));
        let (labels, name) = super::labels("", "a/000-cpu.pb.gz");
        assert_eq!((labels.to_string().as_str(), name), (r#"{file="a/000-cpu.pb.gz"}"#, None));
    }

    #[test]
    fn names_come_from_sample_types_or_the_file() {
        for (kinds, file, name) in [
            (vec![("samples", "count"), ("cpu", "nanoseconds")], "x.pb", "process_cpu"),
            (vec![("inuse_space", "bytes")], "x.pb", "memory"),
            (vec![("goroutine", "count")], "x.pb", "goroutine"),
            (
                vec![("contentions", "count"), ("delay", "nanoseconds")],
                "d/001-block.pb.gz",
                "block",
            ),
            (vec![("contentions", "count"), ("delay", "nanoseconds")], "mutex.pprof", "mutex"),
            (vec![("contentions", "count"), ("delay", "nanoseconds")], "7-waits.pprof", "waits"),
            (vec![("samples", "count")], "d/2026-11-22_worker-3.pb.gz", "worker"),
            (vec![("samples", "count")], "001.pb", "profile"),
            (vec![("wall", "microseconds")], "001.pb", "wall"),
        ] {
            assert_eq!(of_sample_types(&kinds, file), name, "{file}");
        }
    }
}
