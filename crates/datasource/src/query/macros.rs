//! Grafana's macros in SQL: `$__timeFilter(time)` and others, replaced before a statement is read.

use flamesql_profile::{Step, Timestamp, format_duration};

use super::{range::MillisRange, sql};
use crate::Error;

/// What there is, and what it stands for.
pub(crate) const MACROS: &[(&str, &str)] = &[
    ("$__timeFilter(time)", "that a time lies in the range"),
    ("$__timeFrom()", "the start of the range"),
    ("$__timeTo()", "the end of the range, which is not in it"),
    ("$__timeGroup(time, $__interval)", "the bin of a time"),
    ("$__from", "the first millisecond since the epoch"),
    ("$__to", "the last millisecond since the epoch"),
    ("$__interval", "the width of a step"),
    ("$__interval_ms", "the width of a step in milliseconds"),
];

/// The statement with what macros stand for. Texts in quotes and comments stay as they are, but for `$__interval` in
/// quotes, which is an interval wherever it stands.
pub(super) fn expand(statement: &str, range: MillisRange, step: Step) -> Result<String, Error> {
    let mut sql = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some(at) = rest.find(['\'', '"', '-', '/', '$']) {
        sql.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match rest.as_bytes() {
            [quote @ (b'\'' | b'"'), ..] => quoted(rest, char::from(*quote)),
            [b'-', b'-', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => rest.find("*/").map_or(rest.len(), |end| end + 2),
            [b'$', b'_', b'_', ..] => {
                let (text, len) = one(rest, range, step)?;
                sql.push_str(&text);
                rest = &rest[len..];
                continue;
            }
            _ => 1,
        };
        let (part, after) = rest.split_at(len);
        sql.push_str(
            &part.replace("$__interval_ms", &millis(step)).replace("$__interval", &duration(step)),
        );
        rest = after;
    }
    sql.push_str(rest);
    Ok(sql)
}

/// How long a text in quotes is; a quote twice is one in it.
fn quoted(text: &str, quote: char) -> usize {
    let end = text[1..].find(quote);
    end.map_or(text.len(), |end| end + 2)
}

/// What a macro stands for, and how long it is with its arguments.
fn one(text: &str, range: MillisRange, step: Step) -> Result<(String, usize), Error> {
    let len = text[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let len = len.map_or(text.len(), |len| len + 1);
    let (name, after) = text.split_at(len);
    let arguments = arguments(after);
    let whole = |n_bytes: usize| len + n_bytes;
    let none = match &arguments {
        Some((list, n)) if list.iter().all(|a| a.is_empty()) => whole(*n),
        _ => len,
    };
    Ok(match (name, &arguments) {
        ("$__interval", _) => (format!("'{}'", duration(step)), len),
        ("$__interval_ms", _) => (millis(step), len),
        ("$__timeFrom", _) => (sql::time(range.half_open().start()), none),
        ("$__timeTo", _) => (sql::time(range.half_open().end()), none),
        ("$__from", _) => (epoch_millis(range.start()), len),
        ("$__to", _) => (epoch_millis(range.last()), len),
        ("$__timeFilter", Some((list, n))) if list.len() == 1 && !list[0].is_empty() => {
            let (column, bounds) = (list[0], range.half_open());
            let text = format!(
                "({column} >= {} AND {column} < {})",
                sql::time(bounds.start()),
                sql::time(bounds.end())
            );
            (text, whole(*n))
        }
        ("$__timeGroup", Some((list, n))) if list.len() == 2 && !list[0].is_empty() => {
            let (column, interval) = (list[0], list[1].trim_matches('\''));
            let step = match interval {
                "$__interval" => step,
                text => crate::MinStep::parse(text)
                    .map_err(|why| Error::request(format!("rawSql: $__timeGroup: {why}")))?
                    .step(),
            };
            (format!("date_bin({}, {column})", sql::interval(step)), whole(*n))
        }
        _ => {
            let name: String = name.chars().take(100).collect();
            let what = format!("rawSql: {name} is no macro, or takes other arguments");
            let names: Vec<&str> = MACROS.iter().map(|(name, _)| *name).collect();
            return Err(Error::request(what).with_hint(format!("there are {}", names.join(", "))));
        }
    })
}

/// The arguments in parentheses, and how long they are; they have no parentheses in them but pairs.
fn arguments(text: &str) -> Option<(Vec<&str>, usize)> {
    let inner = text.strip_prefix('(')?;
    let (mut depth, mut start, mut list) = (0_usize, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => {
                list.push(inner[start..at].trim());
                return Some((list, at + 2));
            }
            ')' => depth -= 1,
            ',' if depth == 0 => {
                list.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

fn duration(step: Step) -> String {
    format_duration(step.nanos())
}

fn epoch_millis(time: Timestamp) -> String {
    (time.nanos() / 1_000_000).to_string()
}

fn millis(step: Step) -> String {
    (step.nanos() / 1_000_000).max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_stand_for_sql() {
        let range = MillisRange::new(0, 59_999).unwrap();
        let step = Step::from_nanos(15_000_000_000).unwrap();
        let (from, to) = (
            "TIMESTAMP '1970-01-01T00:00:00.000000000'",
            "TIMESTAMP '1970-01-01T00:01:00.000000000'",
        );
        for (text, expected) in [
            ("WHERE $__timeFilter(time)", format!("WHERE (time >= {from} AND time < {to})")),
            ("$__timeFrom() $__timeTo", format!("{from} {to}")),
            (
                "$__timeGroup(time, $__interval)",
                "date_bin(INTERVAL '15000 milliseconds', time)".into(),
            ),
            ("$__timeGroup(time, '1m')", "date_bin(INTERVAL '60000 milliseconds', time)".into()),
            ("rate(x, $__interval)", "rate(x, '15s')".into()),
            ("rate(x, '$__interval')", "rate(x, '15s')".into()),
            ("INTERVAL '$__interval_ms milliseconds'", "INTERVAL '15000 milliseconds'".into()),
            (
                "'$__timeFrom()' -- $__nothing\n/* $__x */ $1",
                "'$__timeFrom()' -- $__nothing\n/* $__x */ $1".into(),
            ),
            ("'it''s' $__from $__to", "'it''s' 0 59999".into()),
            ("'open", "'open".into()),
            ("a - b / c", "a - b / c".into()),
        ] {
            assert_eq!(expand(text, range, step).unwrap(), expected, "{text}");
        }
        for text in [
            "$__unknown()",
            "$__timeFilter()",
            "$__timeFilter(a, b)",
            "$__timeGroup(time, 5)",
            "$__timeFilter(time",
        ] {
            let error = expand(text, range, step).unwrap_err().to_string();
            assert!(error.starts_with("rawSql: $__"), "{error}");
        }
    }
}
