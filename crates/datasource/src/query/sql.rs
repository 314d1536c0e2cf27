//! The statements that queries come to. Whatever a user typed stands in them as a text in quotes.

use std::fmt::Write as _;

use flamesql_profile::{Step, TimeRange, Timestamp};
use flamesql_selector::Selector;

use super::model::{FrameFilter, Profile, Sort, Top};

/// A text as SQL writes it.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time as SQL writes it.
pub(super) fn time(time: Timestamp) -> String {
    format!("TIMESTAMP '{}'", time.to_string().trim_end_matches('Z'))
}

/// A length of time as SQL writes it.
pub(super) fn interval(step: Step) -> String {
    const MILLISECOND: i64 = 1_000_000;
    match step.nanos() {
        nanos if nanos % MILLISECOND == 0 => {
            format!("INTERVAL '{} milliseconds'", nanos / MILLISECOND)
        }
        nanos => format!("INTERVAL '{nanos} nanoseconds'"),
    }
}

/// That `time` lies in a range.
pub(super) fn between(range: TimeRange) -> String {
    format!("time >= {} AND time < {}", time(range.start()), time(range.end()))
}

/// The conditions that choose profiles.
pub(super) fn chosen(profile_type: &str, selector: &Selector, range: TimeRange) -> String {
    let mut sql = format!("profile_type = {} AND {}", text(profile_type), between(range));
    if !selector.is_all() {
        let _ = write!(sql, " AND labels_match(labels, {})", text(&selector.to_string()));
    }
    sql
}

/// The conditions, each behind an AND, that choose stacks.
pub(super) fn stacks(frames: &FrameFilter) -> String {
    let mut sql = String::new();
    let any = |conditions: Vec<String>| format!(" AND ({})", conditions.join(" OR "));
    if !frames.include.is_empty() {
        let has = frames.include.iter().map(|f| format!("stack_contains(stack, {})", text(f)));
        sql.push_str(&any(has.collect()));
    }
    if !frames.include_regexes.is_empty() {
        let has = frames.include_regexes.iter();
        let has = has.map(|r| format!("stack_focus(stack, {}) IS NOT NULL", text(r)));
        sql.push_str(&any(has.collect()));
    }
    for function in &frames.exclude {
        let _ = write!(sql, " AND NOT stack_contains(stack, {})", text(function));
    }
    for regex in &frames.exclude_regexes {
        let _ = write!(sql, " AND stack_focus(stack, {}) IS NULL", text(regex));
    }
    sql
}

/// The conditions, each behind an AND, that choose samples more narrowly than labels do.
fn narrow(profile: &Profile) -> String {
    let mut sql = String::new();
    for (function, ids) in [
        ("in_span", &profile.spans),
        ("in_trace", &profile.traces),
        ("in_profile", &profile.profiles),
    ] {
        if !ids.is_empty() {
            let ids: Vec<String> = ids.iter().map(|id| text(id)).collect();
            let _ = write!(sql, " AND {function}({})", ids.join(", "));
        }
    }
    if !profile.call_site.is_empty() {
        let elements: Vec<String> = profile.call_site.iter().map(|f| element(f)).collect();
        let pattern = format!("{};**", elements.join(";"));
        let _ = write!(sql, " AND stack_matches(stack, {})", text(&pattern));
    }
    sql + &stacks(&profile.frames)
}

/// A function as an element of a path pattern.
fn element(function: &str) -> String {
    let mut element = String::with_capacity(function.len());
    for c in function.chars() {
        if matches!(c, '*' | '?' | ';' | '\\') {
            element.push('\\');
        }
        element.push(c);
    }
    element
}

/// The flame graph of a selection, as one value.
pub(super) fn flame_graph(chosen: &str, profile: &Profile) -> String {
    format!(
        "SELECT flamegraph(stack, value, {}) AS flamegraph FROM samples WHERE {chosen}{}",
        profile.max_nodes,
        narrow(profile),
    )
}

/// Two flame graphs in one, as one value.
pub(super) fn flame_graphs(baseline: &str, comparison: &str, profile: &Profile) -> String {
    let narrow = narrow(profile);
    format!(
        "SELECT flamegraph_diff(stack, baseline, comparison, {}) AS flamegraph FROM (\
         SELECT stack, value AS baseline, CAST(NULL AS BIGINT) AS comparison FROM samples WHERE {baseline}{narrow} \
         UNION ALL \
         SELECT stack, CAST(NULL AS BIGINT), value FROM samples WHERE {comparison}{narrow})",
        profile.max_nodes,
    )
}

/// The functions of a selection, the largest first.
pub(super) fn top(chosen: &str, profile: &Profile, top: Top) -> String {
    let order = match top.sort {
        Sort::Own => "self DESC, total DESC, function",
        Sort::Total => "total DESC, self DESC, function",
    };
    format!(
        "SELECT function, sum(self) AS self, sum(total) AS total FROM functions WHERE {chosen}{} \
         GROUP BY function ORDER BY {order} LIMIT {}",
        narrow(profile),
        // One more, to know whether there are more.
        top.limit.saturating_add(1),
    )
}

/// Sums by step and labels: the column `time` is the first instant of a step, then come the labels, then `value`.
pub(super) fn series(
    chosen: &str,
    frames: &FrameFilter,
    group_by: &[String],
    step: Step,
    origin: Timestamp,
) -> String {
    let table = if frames.is_empty() { "series" } else { "samples" };
    let mut columns = format!("date_bin({}, time, {}) AS time", interval(step), time(origin));
    let mut keys = "1".to_owned();
    for (idx, label) in group_by.iter().enumerate() {
        // They are read by their place; a label may be called as a column is.
        let _ = write!(columns, ", labels[{}] AS label_{}", text(label), idx + 1);
        let _ = write!(keys, ", {}", idx + 2);
    }
    format!(
        "SELECT {columns}, sum(value) AS value FROM {table} WHERE {chosen}{} GROUP BY {keys} ORDER BY 1",
        stacks(frames),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_within_its_quotes() {
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(element("a*b;c\\"), "a\\*b\\;c\\\\");
        let frames = FrameFilter {
            include: vec!["a".to_owned(), "b'".to_owned()],
            exclude_regexes: vec!["^gc".to_owned()],
            ..FrameFilter::default()
        };
        assert_eq!(
            stacks(&frames),
            " AND (stack_contains(stack, 'a') OR stack_contains(stack, 'b''')) \
             AND stack_focus(stack, '^gc') IS NULL"
        );
    }
}
