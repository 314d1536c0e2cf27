//! What is worth knowing about an answer, on stderr: where it is from, what was taken for granted, what was left out.

use std::io::{self, Write as _};

use flamesql_backend::Notice;
use flamesql_engine::TypeChoice;
use flamesql_profile::{ProfileType, TimeRange, Timestamp};

use crate::{rows::Written, table, text};

/// How many notices are shown one by one.
const MAX_NOTICES: usize = 10;

/// Lines of a name and a text, gathered and shown behind the answer.
#[derive(Debug, Default)]
pub(crate) struct Footer {
    lines: String,
}

impl Footer {
    pub(crate) fn line(&mut self, name: &str, what: impl AsRef<str>) {
        self.lines.push_str(&format!("{name}: {}\n", text::one_line(what.as_ref())));
    }

    /// What became of rows, of each answer.
    pub(crate) fn rows(&mut self, written: &[Written]) {
        let n_rows: Vec<String> = written.iter().map(|w| w.n_rows.to_string()).collect();
        let mut what = n_rows.join(", ");
        let n_cut: u64 = written.iter().map(|w| w.n_cut).sum();
        if n_cut > 0 {
            let cells = plural(n_cut, "cell");
            what.push_str(&format!(
                "; {cells} cut to the width of the terminal, marked {}: --format csv has all",
                text::ELLIPSIS
            ));
        }
        self.line("rows", what);
    }

    /// What was skipped or repaired.
    pub(crate) fn notices(&mut self, notices: &[Notice]) {
        for notice in notices.iter().take(MAX_NOTICES) {
            self.line("notice", notice.to_string());
        }
        if let n @ 1.. = notices.len().saturating_sub(MAX_NOTICES) {
            self.line("notice", format!("and {n} more"));
        }
    }

    /// Shows it all.
    pub(crate) fn print(&self, is_quiet: bool) {
        if !is_quiet {
            // If stderr is closed, nobody wants to know.
            let _ = io::stderr().lock().write_all(self.lines.as_bytes());
        }
    }
}

/// A profile type and how it was found.
pub(crate) fn profile_type(profile_type: &ProfileType, choice: TypeChoice) -> String {
    match how(choice) {
        "" => profile_type.to_string(),
        how => format!("{profile_type} ({how})"),
    }
}

/// How a profile type was found; nothing if it was named.
pub(crate) fn how(choice: TypeChoice) -> &'static str {
    match choice {
        TypeChoice::Session => "as --type or SET says",
        TypeChoice::Only => "the only one",
        TypeChoice::Default => "the default",
        _ => "",
    }
}

/// A range of time in words.
pub(crate) fn range(range: TimeRange) -> String {
    match (range.start(), range.end()) {
        _ if range.is_empty() => "none".to_owned(),
        (Timestamp::MIN, Timestamp::MAX) => "all".to_owned(),
        (Timestamp::MIN, end) => format!("before {}", time(end)),
        (start, Timestamp::MAX) => format!("from {}", time(start)),
        (start, end) => format!("from {} to before {}", time(start), time(end)),
    }
}

/// A time without trailing zeros.
pub(crate) fn time(time: Timestamp) -> String {
    table::short_time(&time.to_string(), 0)
}

/// A number of things.
pub(crate) fn plural(n: impl TryInto<u64>, thing: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    let s = match (n, thing.ends_with("series")) {
        (1, _) | (_, true) => "",
        _ => "s",
    };
    format!("{n} {thing}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_words() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        for (start, end, words) in [
            (Timestamp::MIN, Timestamp::MAX, "all"),
            (Timestamp::MIN, at(0), "before 1970-01-01T00:00:00Z"),
            (Timestamp::MIN, Timestamp::MIN, "none"),
            (at(1), Timestamp::MAX, "from 1970-01-01T00:00:01Z"),
            (
                at(0),
                Timestamp::from_nanos(1_500_000),
                "from 1970-01-01T00:00:00Z to before 1970-01-01T00:00:00.001500Z",
            ),
        ] {
            assert_eq!(range(TimeRange::new(start, end).unwrap()), words);
        }
        assert_eq!(
            [plural(1_u64, "file"), plural(2_u64, "file"), plural(2_u64, "series")],
            ["1 file", "2 files", "2 series"]
        );
    }

    #[test]
    fn many_notices_are_counted() {
        let notice = |n: usize| Notice {
            subject: format!("{n}.pb\u{1b}"),
            reason: "damaged".to_owned(),
            is_missing: true,
        };
        let mut footer = Footer::default();
        footer.notices(&(0..12).map(notice).collect::<Vec<_>>());
        assert_eq!(footer.lines.lines().count(), 11);
        assert!(footer.lines.starts_with("notice: skipped 0.pb\\u{1b}: damaged\n"));
        assert!(footer.lines.ends_with("notice: and 2 more\n"));
    }
}
