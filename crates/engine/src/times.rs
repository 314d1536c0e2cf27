//! Conditions on time alone, as sets of half-open ranges.
//!
//! Comparisons of `time`, and of `date_bin`, `date_trunc` and the date of it, with literals, put together with AND, OR
//! and NOT. All are monotone in time, so each comparison is true on one side of a place that can be worked out.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Between, BinaryExpr, Expr, LogicalPlan, Operator, expr::InList, simplify::SimplifyContext,
    },
    optimizer::{AnalyzerRule, simplify_expressions::ExprSimplifier},
};
use flamesql_profile::{Step, TimeRange, Timestamp};

use crate::{
    Error, ErrorKind,
    condition::{is_time, operands, time_literal},
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 1970-01-05, a Monday.
const MONDAY: i64 = 4 * DAY;

/// Times of a source: ranges in order, apart from each other, cut at multiples of its grain. [`Timestamp::MIN`] and
/// [`Timestamp::MAX`] as bounds mean that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Times(Vec<TimeRange>);

impl Times {
    pub(crate) fn all() -> Self {
        Self(vec![TimeRange::ALL])
    }

    fn of(start: Timestamp, end: Timestamp) -> Self {
        match TimeRange::new(start, end) {
            Ok(range) if !range.is_empty() => Self(vec![range]),
            _ => Self(Vec::new()),
        }
    }

    pub(crate) fn between(range: TimeRange) -> Self {
        Self::of(range.start(), range.end())
    }

    pub(crate) fn ranges(&self) -> &[TimeRange] {
        &self.0
    }

    /// The least range that holds all of them; `None` if there are none.
    pub(crate) fn hull(&self) -> Option<TimeRange> {
        TimeRange::new(self.0.first()?.start(), self.0.last()?.end()).ok()
    }

    /// Where the condition changes its value.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let edges = self.0.iter().flat_map(|range| [range.start(), range.end()]);
        edges.filter(|edge| *edge != Timestamp::MIN && *edge != Timestamp::MAX)
    }

    pub(crate) fn intersect(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            both.push(x.intersect(**y));
            if x.end() < y.end() {
                a.next()
            } else {
                b.next()
            };
        }
        both.retain(|range| !range.is_empty());
        Self(both)
    }

    fn complement(&self) -> Self {
        let mut gaps = Vec::new();
        let mut from = Timestamp::MIN;
        for range in &self.0 {
            gaps.extend(Self::of(from, range.start()).0);
            from = range.end();
        }
        if from != Timestamp::MAX {
            gaps.extend(Self::of(from, Timestamp::MAX).0);
        }
        Self(gaps)
    }

    fn any(of: impl IntoIterator<Item = Self>) -> Self {
        let mut ranges: Vec<TimeRange> = of.into_iter().flat_map(|times| times.0).collect();
        ranges.sort_unstable_by_key(|range| (range.start(), range.end()));
        let mut apart: Vec<TimeRange> = Vec::new();
        for range in ranges {
            match apart.last_mut() {
                Some(last) if range.start() <= last.end() => {
                    let end = last.end().max(range.end());
                    *last = TimeRange::new(last.start(), end).unwrap_or(*last);
                }
                _ => apart.push(range),
            }
        }
        Self(apart)
    }

    /// The times for which a condition is true, at a source of this grain; `None` if it is about anything else.
    pub(crate) fn parse(expr: &Expr, grain: Step) -> Option<Self> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                let mut all = Self::all();
                for operand in operands(expr, Operator::And) {
                    all = all.intersect(&Self::parse(operand, grain)?);
                }
                Some(all)
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                let operands = operands(expr, Operator::Or);
                let times = operands.into_iter().map(|operand| Self::parse(operand, grain));
                Some(Self::any(times.collect::<Option<Vec<_>>>()?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                match (Subject::of(left), Subject::of(right)) {
                    (Some(subject), None) => subject.compare(*op, right, grain),
                    (None, Some(subject)) => subject.compare(op.swap()?, left, grain),
                    _ => None,
                }
            }
            // No time is NULL, and no literal that was taken above.
            Expr::Not(inner) => Some(Self::parse(inner, grain)?.complement()),
            Expr::Between(Between { expr, negated, low, high }) => {
                let subject = Subject::of(expr)?;
                let inside = subject
                    .compare(Operator::GtEq, low, grain)?
                    .intersect(&subject.compare(Operator::LtEq, high, grain)?);
                Some(if *negated { inside.complement() } else { inside })
            }
            Expr::InList(InList { expr, list, negated }) => {
                let subject = Subject::of(expr)?;
                let times = list.iter().map(|at| subject.compare(Operator::Eq, at, grain));
                let any = Self::any(times.collect::<Option<Vec<_>>>()?);
                Some(if *negated { any.complement() } else { any })
            }
            _ => None,
        }
    }
}

/// `time`, or the start of the bin that it falls into.
struct Subject {
    bins: Option<(Step, i64)>,
    is_date: bool,
}

impl Subject {
    fn of(expr: &Expr) -> Option<Self> {
        if is_time(expr) {
            return Some(Self { bins: None, is_date: false });
        }
        let bins = bins(expr)?;
        Some(Self { bins: Some(bins), is_date: matches!(expr, Expr::Cast(_)) })
    }

    fn compare(&self, op: Operator, literal: &Expr, grain: Step) -> Option<Times> {
        let nanos = i128::from(match (literal, self.is_date) {
            (Expr::Literal(ScalarValue::Date32(Some(days)), _), true) => {
                i64::from(*days).checked_mul(DAY)?
            }
            (literal, false) => time_literal(literal)?,
            _ => return None,
        });
        let (step, origin) = self.bins.map_or((1, 0), |(step, origin)| (step.nanos(), origin));
        let (step, origin) = (i128::from(step), i128::from(origin));
        // The first bin that begins at or after the literal, and the first that begins after it.
        let floor = nanos - (nanos - origin).rem_euclid(step);
        let (at, after) = (if floor == nanos { floor } else { floor + step }, floor + step);
        // Times of the source are multiples of the grain: a bound between two is met at the second.
        let on_grain = |bound: i128| {
            let grain = i128::from(grain.nanos());
            let bound = bound + (-bound).rem_euclid(grain);
            // A bound at the ends of time has no instant behind it, and would mean none.
            let is_inside = bound > i128::from(i64::MIN) && bound < i128::from(i64::MAX);
            is_inside.then(|| i64::try_from(bound).map(Timestamp::from_nanos).ok()).flatten()
        };
        let (at, after) = (on_grain(at)?, on_grain(after)?);
        Some(match op {
            Operator::Lt => Times::of(Timestamp::MIN, at),
            Operator::LtEq => Times::of(Timestamp::MIN, after),
            Operator::Gt => Times::of(after, Timestamp::MAX),
            Operator::GtEq => Times::of(at, Timestamp::MAX),
            Operator::Eq => Times::of(at, after),
            Operator::NotEq => Times::of(at, after).complement(),
            _ => return None,
        })
    }
}

/// Width and origin of the bins of an expression that has one value all over each of them.
pub(crate) fn bins(expr: &Expr) -> Option<(Step, i64)> {
    match expr {
        Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
            ("date_bin", [width, time]) if is_time(time) => step(width).map(|step| (step, 0)),
            ("date_bin", [width, time, origin]) if is_time(time) => {
                step(width).zip(time_literal(origin))
            }
            ("date_trunc", [Expr::Literal(unit, _), time]) if is_time(time) => {
                let unit = unit.try_as_str().flatten().map(str::to_ascii_lowercase);
                let (width, origin) = match unit.as_deref()? {
                    "microsecond" => (1_000, 0),
                    "millisecond" => (1_000_000, 0),
                    "second" => (SECOND, 0),
                    "minute" => (60 * SECOND, 0),
                    "hour" => (3600 * SECOND, 0),
                    "day" => (DAY, 0),
                    "week" => (7 * DAY, MONDAY),
                    _ => return None,
                };
                Step::from_nanos(width).map(|step| (step, origin))
            }
            _ => None,
        },
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 && is_time(&cast.expr) => {
            Step::from_nanos(DAY).map(|step| (step, 0))
        }
        _ => None,
    }
}

/// The width of bins, if it is the same for all of them: months are not.
pub(crate) fn step(width: &Expr) -> Option<Step> {
    let Expr::Literal(width, _) = width else { return None };
    let nanos = match width {
        ScalarValue::IntervalMonthDayNano(Some(width)) if width.months == 0 => {
            i64::from(width.days).checked_mul(DAY)?.checked_add(width.nanoseconds)?
        }
        ScalarValue::IntervalDayTime(Some(width)) => {
            let days = i64::from(width.days).checked_mul(DAY)?;
            days.checked_add(i64::from(width.milliseconds) * 1_000_000)?
        }
        _ => return None,
    };
    Step::from_nanos(nanos)
}

/// The rule that refuses bins of no width or less. DataFusion refuses some of them, and of the others makes something.
#[derive(Debug)]
pub(crate) struct BinsHaveWidth;

impl AnalyzerRule for BinsHaveWidth {
    fn name(&self) -> &str {
        "bins_have_width"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|e| match e {
                    Expr::ScalarFunction(call)
                        if call.name() == "date_bin"
                            && call
                                .args
                                .first()
                                .is_some_and(|width| is_backward(width, config)) =>
                    {
                        let what = "date_bin: the width of a bin is not above zero";
                        Err(Error::new(ErrorKind::Query, what)
                            .with_hint("write a width such as INTERVAL '15 seconds'")
                            .into_datafusion())
                    }
                    _ => Ok(TreeNodeRecursion::Continue),
                })
            })
        })?;
        Ok(plan)
    }
}

/// Whether a width that can be worked out comes to nothing or less.
fn is_backward(width: &Expr, config: &ConfigOptions) -> bool {
    if !width.column_refs().is_empty() || width.is_volatile() {
        return false;
    }
    let context = SimplifyContext::builder().with_config_options(Arc::new(config.clone())).build();
    let Ok(Expr::Literal(width, _)) = ExprSimplifier::new(context).simplify(width.clone()) else {
        return false;
    };
    match width {
        // What has months and anything else DataFusion refuses.
        ScalarValue::IntervalMonthDayNano(Some(width)) if width.months != 0 => width.months < 0,
        ScalarValue::IntervalMonthDayNano(Some(width)) => {
            i128::from(width.days) * i128::from(DAY) + i128::from(width.nanoseconds) <= 0
        }
        ScalarValue::IntervalDayTime(Some(width)) => {
            i64::from(width.days) * (DAY / 1_000_000) + i64::from(width.milliseconds) <= 0
        }
        ScalarValue::IntervalYearMonth(Some(months)) => months <= 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn at(nanos: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(nanos), None))
    }

    fn time() -> Expr {
        col("time")
    }

    fn parsed(expr: &Expr, grain: i64) -> Vec<(i64, i64)> {
        let times = Times::parse(expr, Step::from_nanos(grain).unwrap()).unwrap();
        times.ranges().iter().map(|r| (r.start().nanos(), r.end().nanos())).collect()
    }

    const FIRST: i64 = i64::MIN;
    const LAST: i64 = i64::MAX;

    #[test]
    fn bounds_are_rounded_to_the_grain() {
        assert_eq!(parsed(&time().gt_eq(at(10)), 10), [(10, LAST)]);
        assert_eq!(parsed(&time().gt_eq(at(11)), 10), [(20, LAST)]);
        assert_eq!(parsed(&time().gt(at(10)), 10), [(20, LAST)]);
        assert_eq!(parsed(&time().gt(at(9)), 10), [(10, LAST)]);
        assert_eq!(parsed(&time().lt(at(10)), 10), [(FIRST, 10)]);
        assert_eq!(parsed(&time().lt(at(11)), 10), [(FIRST, 20)]);
        assert_eq!(parsed(&time().lt_eq(at(19)), 10), [(FIRST, 20)]);
        assert_eq!(parsed(&time().eq(at(10)), 10), [(10, 20)]);
        assert_eq!(parsed(&time().eq(at(11)), 10), []);
        assert_eq!(parsed(&at(10).lt(time()), 10), [(20, LAST)]);
        assert_eq!(parsed(&time().not_eq(at(10)), 10), [(FIRST, 10), (20, LAST)]);
        assert!(Times::parse(&time().lt_eq(at(LAST)), Step::NANOSECOND).is_none());
        assert!(Times::parse(&time().gt(col("value")), Step::NANOSECOND).is_none());
    }

    #[test]
    fn conditions_are_put_together() {
        let outside = time().lt(at(10)).or(time().gt_eq(at(30)));
        assert_eq!(parsed(&outside, 1), [(FIRST, 10), (30, LAST)]);
        assert_eq!(parsed(&!outside.clone(), 1), [(10, 30)]);
        assert_eq!(parsed(&outside.clone().and(time().lt(at(40))), 1), [(FIRST, 10), (30, 40)]);
        assert_eq!(parsed(&outside.or(time().between(at(5), at(35))), 1), [(FIRST, LAST)]);
        let listed = time().in_list(vec![at(1), at(2), at(7)], false);
        assert_eq!(parsed(&listed, 1), [(1, 3), (7, 8)]);
        assert_eq!(parsed(&listed, 7), [(7, 14)]);
    }
}
