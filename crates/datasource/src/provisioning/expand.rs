//! Variables in the values of a provisioning file: `$NAME`, `${NAME}`, `$__env{NAME}`, `$__file{path}`, and `$$` for `$`.
//!
//! Values come out as from Grafana, but for two of its faults: what a variable holds is not looked at again, so that a
//! password in a file may have a `$` in it, and what Grafana would swallow in silence is an error.

use std::{fs::File, io::Read as _};

/// How large a file may be that stands for a value.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How long a value may be with all that is put into it.
const MAX_VALUE_BYTES: usize = 4 << 20;
/// What is to be done about a lonely `$`.
const LITERAL: &str = "a $ itself is written $$";

/// Where variables are looked for.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A value, with what was put into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Variables that are not there, and stand for nothing.
    pub(super) unset: Vec<String>,
}

/// Puts in what variables stand for.
pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> Result<Expanded, String> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), unset: Vec::new() };
    for (n, part) in text.split("$$").enumerate() {
        if n > 0 {
            expanded.text.push('$');
        }
        expanded.part(part, lookup)?;
    }
    Ok(expanded)
}

impl Expanded {
    fn part(&mut self, part: &str, lookup: Lookup<'_>) -> Result<(), String> {
        let mut rest = part;
        while let Some(at) = rest.find('$') {
            if self.text.len() > MAX_VALUE_BYTES {
                return Err("stands for more than 4 MiB".to_owned());
            }
            self.text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, after) = rest.split_at(len.unwrap_or(rest.len()));
            let in_braces = after.strip_prefix('{').and_then(|after| after.split_once('}'));
            match (name, in_braces) {
                (_, Some(("", _))) if name.is_empty() || name.starts_with("__") => {
                    return Err(format!("has braces with nothing in them: {LITERAL}"));
                }
                ("" | "__env", Some((name, after))) => {
                    self.variable(name, lookup);
                    rest = after;
                }
                ("__file", Some((path, after))) => {
                    self.text.push_str(&file(path)?);
                    rest = after;
                }
                (name, Some(_)) if name.starts_with("__") => {
                    return Err(format!(
                        "takes something from ${name}{{...}}, and only $__env{{...}} and $__file{{...}} are known"
                    ));
                }
                ("", _) if after.starts_with('{') => {
                    return Err(format!("has a ${{ without an end: {LITERAL}"));
                }
                // A name of Go's is a digit or one of these signs, alone.
                ("", _) if after.starts_with(['*', '#', '@', '!', '?', '-']) => {
                    self.variable(&after[..1], lookup);
                    rest = &after[1..];
                }
                ("", _) => {
                    self.text.push('$');
                    rest = after;
                }
                (name, _) if name.starts_with(|c: char| c.is_ascii_digit()) => {
                    self.variable(&name[..1], lookup);
                    rest = &rest[1..];
                }
                (name, _) => {
                    self.variable(name, lookup);
                    rest = after;
                }
            }
        }
        self.text.push_str(rest);
        Ok(())
    }

    fn variable(&mut self, name: &str, lookup: Lookup<'_>) {
        match lookup(name) {
            Some(value) => self.text.push_str(&value),
            None => self.unset.push(name.to_owned()),
        }
    }
}

/// What stands in a file, without white space around it.
fn file(path: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("cannot be taken from the file {path:?}: {why}"));
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => refuse(&error.to_string()),
        Ok(n) if n as u64 > MAX_FILE_BYTES => refuse("it is larger than 1 MiB"),
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(_) => refuse("it is not UTF-8"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "HOST" => "h",
            "PASS" => "pa$$HOST$word",
            "with.dot" => "dot",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expected, unset) in [
            ("plain", "plain", &[][..]),
            ("http://$HOST:4040", "http://h:4040", &[]),
            ("${HOST}x$__env{HOST}", "hxh", &[]),
            ("$$HOST $$$HOST $$$$", "$HOST $h $$", &[]),
            // What comes out of a variable is not looked at.
            ("$PASS", "pa$$HOST$word", &[]),
            ("${PASS}$HOST", "pa$$HOST$wordh", &[]),
            ("${with.dot}", "dot", &[]),
            ("[$EMPTY]", "[]", &[]),
            ("a${NONE}b$NONE_2", "ab", &["NONE", "NONE_2"]),
            ("pa$1word", "paword", &["1"]),
            ("a$!b$-", "ab", &["!", "-"]),
            ("5$ $. $\u{e9}$", "5$ $. $\u{e9}$", &[]),
            ("$HOST{x}", "h{x}", &[]),
            ("$__envHOST", "", &["__envHOST"]),
        ] {
            let found = expand(text, &lookup).unwrap();
            assert_eq!(
                (found.text.as_str(), found.unset.join(" ")),
                (expected, unset.join(" ")),
                "{text}"
            );
        }
    }

    #[test]
    fn files_are_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, " \n pa$HOST\n").unwrap();
        let text = format!("<$__file{{{}}}>", path.display());
        assert_eq!(expand(&text, &lookup).unwrap().text, "<pa$HOST>");
        std::fs::write(&path, [0xff]).unwrap();
        assert!(expand(&text, &lookup).unwrap_err().contains("UTF-8"));
        std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(expand(&text, &lookup).unwrap().text.len(), (1 << 20) + 2);
        let many = text.repeat(10);
        assert_eq!(expand(&many, &lookup).unwrap_err(), "stands for more than 4 MiB");
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(expand(&text, &lookup).unwrap_err().contains("larger than"));
        std::fs::remove_file(&path).unwrap();
        let error = expand(&text, &lookup).unwrap_err();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn what_would_be_swallowed_is_refused() {
        for (text, part) in [
            ("a${", "without an end"),
            ("a${b", "without an end"),
            ("${}", "nothing in them"),
            ("$__env{}", "nothing in them"),
            ("$__file{}", "nothing in them"),
            ("$__vault{a}", "$__vault{...}"),
        ] {
            let error = expand(text, &lookup).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
