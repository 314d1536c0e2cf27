//! The time that a statement speaks of, read from its text before it is planned.
//!
//! Which columns a table has must be known before a statement is planned, and at a server that depends on when one looks:
//! labels are those of a range. So the times that a statement compares `time` with are collected from its text and the
//! range around them is asked. That is a guess: `now()` and intervals are not worked out, and a time may stand elsewhere.
//! A wrong one costs a request, and a label that it misses is reachable as `labels['x']`; no answer depends on it.

use std::{collections::BTreeSet, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement,
    sqlparser::ast::{
        AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
        Subscript, Value, Visit, visit_expressions,
    },
};
use flamesql_profile::{TimeRange, Timestamp, parse_time};
use flamesql_selector::{Selector, is_label_name};

use crate::functions::labels;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

tokio::task_local! {
    /// The time that the statement speaks of that is being planned, for the schemas that are asked for tables meanwhile.
    pub(crate) static SPOKEN: Option<TimeRange>;
}

/// The range of which the statement that is being planned speaks.
pub(crate) fn spoken() -> Option<TimeRange> {
    SPOKEN.try_get().ok().flatten()
}

/// The least range around the times that a statement compares `time` with; around a single one, a day before and after.
pub(crate) fn range(statement: &Statement, now: Timestamp) -> Option<TimeRange> {
    let statement = match statement {
        Statement::Statement(statement) => statement,
        Statement::Explain(explain) => return range(&explain.statement, now),
        _ => return None,
    };
    let mut times: Vec<Timestamp> = Vec::new();
    let _ = visit_expressions(statement.as_ref(), |expr| {
        match expr {
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                for (subject, literal) in [(left, right), (right, left)] {
                    if is_about_time(subject.as_ref()) {
                        literals(literal.as_ref(), now, &mut times);
                    }
                }
            }
            Expr::Between { expr, low, high, .. } if is_about_time(expr.as_ref()) => {
                literals(low.as_ref(), now, &mut times);
                literals(high.as_ref(), now, &mut times);
            }
            Expr::InList { expr, list, .. } if is_about_time(expr.as_ref()) => {
                literals(list, now, &mut times);
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    // The last one may be meant as well.
    let after = if first == last { DAY } else { SECOND };
    let before = if first == last { DAY } else { 0 };
    TimeRange::new(first.saturating_add(-before), last.saturating_add(after)).ok()
}

/// The names with quotes by which a statement takes labels: `labels['k8s.cluster']`, `get_field(labels, 'k8s.cluster')`,
/// `labels_match(labels, '{"k8s.cluster"="eu"}')`.
///
/// Some may be of other maps; that costs a look for a label of that name.
pub(crate) fn quoted_labels(statement: &Statement) -> BTreeSet<String> {
    let statement = match statement {
        Statement::Statement(statement) => statement,
        Statement::Explain(explain) => return quoted_labels(&explain.statement),
        _ => return BTreeSet::new(),
    };
    let mut names = BTreeSet::new();
    let mut note = |name: &str| {
        if !name.is_empty() && !is_label_name(name) {
            names.insert(name.to_owned());
        }
    };
    let mut add = |expr: &Expr, is_selector: bool| {
        if let Expr::Value(value) = expr
            && let Value::SingleQuotedString(text) = &value.value
        {
            match is_selector.then(|| Selector::parse(text)) {
                Some(Ok(selector)) => selector.matchers.iter().for_each(|m| note(&m.name)),
                Some(Err(_)) => {}
                None => note(text),
            }
        }
    };
    let _ = visit_expressions(statement.as_ref(), |expr| {
        match expr {
            Expr::CompoundFieldAccess { access_chain, .. } => {
                for access in access_chain {
                    if let AccessExpr::Subscript(Subscript::Index { index }) = access {
                        add(index, false);
                    }
                }
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                if let FunctionArguments::List(list) = &function.args
                    && ["get_field", "map_extract", "element_at", labels::NAME]
                        .contains(&name.as_str())
                {
                    for arg in &list.args {
                        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
                            add(expr, name == labels::NAME);
                        }
                    }
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq};
    matches!(op, Eq | Gt | GtEq | Lt | LtEq)
}

/// Whether the column `time` is in it, perhaps within a function.
fn is_about_time(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |e| {
        let name = match e {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.last(),
            _ => None,
        };
        match name {
            Some(name) if name.value.eq_ignore_ascii_case("time") => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    found.is_break()
}

/// Collects what reads as a date or a time. A bare number is none in SQL: it may be that of an interval.
fn literals(exprs: &impl Visit, now: Timestamp, times: &mut Vec<Timestamp>) {
    let _ = visit_expressions(exprs, |expr| {
        let text = match expr {
            Expr::Value(value) => &value.value,
            Expr::TypedString(typed) => &typed.value.value,
            _ => return ControlFlow::<()>::Continue(()),
        };
        if let Value::SingleQuotedString(text) = text
            && text.trim_start().starts_with(|c: char| c.is_ascii_digit())
            && text.contains('-')
        {
            times.extend(parse_time(text, now));
        }
        ControlFlow::Continue(())
    });
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParserBuilder;

    use super::*;

    #[test]
    fn times_are_found_where_time_is_compared() {
        let now = Timestamp::from_nanos(0);
        for (condition, expected) in [
            ("time >= TIMESTAMP '2024-01-05' AND time < TIMESTAMP '2024-01-07'", "05 07"),
            (
                "'2024-01-07T00:00:00Z' > time AND m.\"time\" > CAST('2024-01-05' AS TIMESTAMP)",
                "05 07",
            ),
            ("time BETWEEN '2024-01-05' AND '2024-01-07 00:00:00'", "05 07"),
            (
                "date_bin(INTERVAL '1 day', time) IN ('2024-01-06', '2024-01-05', '2024-01-07')",
                "05 07",
            ),
            ("time::date = DATE '2024-01-05'", "04 06"),
            ("time > TIMESTAMP '2024-01-05' - INTERVAL '1' HOUR", "04 06"),
            ("x IN (SELECT x FROM a WHERE time > '2024-01-05') OR time < '2024-01-07'", "05 07"),
            ("time > now() - INTERVAL '1 hour'", ""),
            ("version = '2024-01-05' AND pod = '7' AND time > now()", ""),
            ("time > 'nonsense'", ""),
        ] {
            for sql in
                ["", "EXPLAIN "].map(|e| format!("{e}SELECT 1 FROM series m WHERE {condition}"))
            {
                let mut statements =
                    DFParserBuilder::new(sql.as_str()).build().unwrap().parse_statements().unwrap();
                let found = range(&statements.pop_front().unwrap(), now);
                let days = found.map(|range| {
                    [range.start(), range.end()]
                        .map(|at| at.to_string()[8..10].to_owned())
                        .join(" ")
                });
                assert_eq!(days.unwrap_or_default(), expected, "{sql}");
            }
        }
    }
}
