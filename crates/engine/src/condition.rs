//! What a filter says, as far as a backend can be asked for it exactly.
//!
//! A condition on one label alone, or on the profile type alone, is made exact by evaluating it over the values that
//! there are; so any function and any shape that DataFusion hands over will do, and nothing has to be translated.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{
        Column, Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
};
use flamesql_backend::Only;
use flamesql_profile::Step;
use flamesql_selector::Selector;

use crate::{
    TableKind,
    functions::{
        labels::LabelsMatch,
        origin::Origin,
        stack_filter::{FunctionFilter, StackFilter},
    },
    times::Times,
    values::VALUE,
};

/// Into how many ranges a condition may cut time, each a request of its own. Above, the plan judges row by row.
pub(crate) const MAX_RANGES: usize = 64;

/// A filter that the scan can take over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// On `time`.
    Times(Times),
    /// On `profile_type`, which the expression calls [`VALUE`].
    Type(Expr),
    /// On a label, which the expression calls [`VALUE`].
    Label(String, Expr),
    /// On nothing: it holds for all rows or for none. Filters become so when a NULL is worked out of a list.
    Constant(Expr),
    /// That a label has one of these values, none of them empty.
    OneOf(String, Vec<String>),
    /// That a label is there and has none of these values.
    NoneOf(String, Vec<String>),
    /// What a selector says, as it was written.
    Selector(Selector),
    /// A narrower choice than labels can make.
    Only(Only),
    /// On the stack, or the function at its leaf.
    Stack(StackFilter),
    /// On the function that a row is of.
    Function(FunctionFilter),
}

/// A thing that an expression speaks about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    Time,
    ProfileType,
    /// All labels.
    Labels,
    Label(String),
    /// Any other column, by its name.
    Own(String),
}

/// What a column or an access to the `labels` map speaks about.
pub(crate) fn reference(expr: &Expr, label_columns: &[String]) -> Option<Reference> {
    match expr {
        Expr::Column(column) => Some(match column.name.as_str() {
            "time" => Reference::Time,
            "profile_type" => Reference::ProfileType,
            "labels" => Reference::Labels,
            name if label_columns.iter().any(|l| l == name) => Reference::Label(name.to_owned()),
            name => Reference::Own(name.to_owned()),
        }),
        Expr::ScalarFunction(call) if call.name() == "get_field" => match call.args.as_slice() {
            [Expr::Column(column), Expr::Literal(key, _)] if column.name == "labels" => {
                let name = key.try_as_str()??;
                Some(Reference::Label(name.to_owned()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The condition that a conjunct is, or `None` if only the plan above the scan can judge it.
///
/// Depends on nothing but the expression: it is asked several times for each filter.
pub(crate) fn condition(
    expr: &Expr,
    kind: TableKind,
    label_columns: &[String],
    grain: Step,
) -> Option<Condition> {
    if expr.is_volatile() {
        return None;
    }
    if let Some(times) = Times::parse(expr, grain) {
        return (times.ranges().len() <= MAX_RANGES).then_some(Condition::Times(times));
    }
    if let Some((origin, ids)) = Origin::of(expr) {
        return Some(Condition::Only(match origin {
            Origin::Span => Only::Spans(ids),
            Origin::Trace => Only::Traces(ids),
            Origin::Profile => Only::Profiles(ids),
        }));
    }
    if let Some(selector) = LabelsMatch::of(expr) {
        // There are no labels that begin so, but a server would take them for what it derives from the type.
        let is_of_labels = |name: &str| !name.starts_with("__");
        let matchers = &selector.matchers;
        return matchers
            .iter()
            .all(|m| is_of_labels(&m.name))
            .then_some(Condition::Selector(selector));
    }
    let mut subject: Option<Reference> = None;
    let mut is_single = true;
    let mut check = |found: Option<Reference>| match (&subject, found) {
        (_, None | Some(Reference::Time | Reference::Labels | Reference::Own(_))) => {
            is_single = false
        }
        (None, found) => subject = found,
        (Some(known), Some(found)) => is_single &= *known == found,
    };
    let visited = expr.apply(|e| {
        Ok(match e {
            Expr::Column(_) => {
                check(reference(e, label_columns));
                TreeNodeRecursion::Continue
            }
            Expr::ScalarFunction(_) if reference(e, label_columns).is_some() => {
                check(reference(e, label_columns));
                TreeNodeRecursion::Jump
            }
            e if is_beyond(e) => {
                check(None);
                TreeNodeRecursion::Stop
            }
            _ => TreeNodeRecursion::Continue,
        })
    });
    if !is_single || visited.is_err() {
        return match kind {
            TableKind::Samples => StackFilter::parse(expr).map(Condition::Stack),
            // What is added up over all stacks stays as it is: the rows of other functions go.
            TableKind::Functions => FunctionFilter::parse(expr).map(Condition::Function),
            _ => None,
        };
    }
    let Some(subject) = subject else { return Some(Condition::Constant(expr.clone())) };
    // There are no labels that begin so, but a selector would take them for what a server derives from the type.
    if matches!(&subject, Reference::Label(name) if name.starts_with("__")) {
        return None;
    }
    if let (Reference::Label(name), Some(values)) = (&subject, equal_to(expr, label_columns)) {
        return Some(Condition::OneOf(name.clone(), values));
    }
    if let (Reference::Label(name), Some(values)) = (&subject, unequal_to(expr, label_columns)) {
        return Some(Condition::NoneOf(name.clone(), values));
    }
    let expr = expr
        .clone()
        .transform_down(|e| {
            Ok(match reference(&e, label_columns) {
                Some(_) => Transformed::new(
                    Expr::Column(Column::new_unqualified(VALUE)),
                    true,
                    TreeNodeRecursion::Jump,
                ),
                None => Transformed::no(e),
            })
        })
        .ok()?
        .data;
    match subject {
        Reference::ProfileType => Some(Condition::Type(expr)),
        Reference::Label(name) => Some(Condition::Label(name, expr)),
        _ => None,
    }
}

/// What a chain of one operator joins. A chain may be long, so it is not walked by recursion.
pub(crate) fn operands(expr: &Expr, op: Operator) -> Vec<&Expr> {
    let (mut operands, mut left) = (Vec::new(), vec![expr]);
    while let Some(expr) = left.pop() {
        match expr {
            Expr::BinaryExpr(binary) if binary.op == op => {
                left.extend([binary.right.as_ref(), binary.left.as_ref()]);
            }
            expr => operands.push(expr),
        }
    }
    operands
}

/// Whether an operator compares its two sides.
pub(crate) fn is_comparison(op: Operator) -> bool {
    // DataFusion has this list under another name.
    op.supports_propagation()
}

/// Whether an expression looks beyond its own row.
pub(crate) fn is_beyond(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Placeholder(_)
    )
}

/// The values of `label = 'x'`, `label IN (...)` and chains of them with OR: no need to know the values that there are.
fn equal_to(expr: &Expr, label_columns: &[String]) -> Option<Vec<String>> {
    // An empty value is none: nothing equals it, and the matcher of that name would mean a missing label.
    let some = |value: String| (!value.is_empty()).then_some(value);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            Some(vec![some(compared(left, right, label_columns)?)?])
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            let mut values = Vec::new();
            for operand in operands(expr, Operator::Or) {
                values.extend(equal_to(operand, label_columns)?);
            }
            Some(values)
        }
        Expr::InList(InList { expr, list, negated: false }) if is_label(expr, label_columns) => {
            list.iter().map(|value| some(text(value)?)).collect()
        }
        _ => None,
    }
}

/// The values of `label <> 'x'`, `label NOT IN (...)` and chains of them with AND. As NULL fulfils none of these, the
/// label has to be there, so that an empty value says nothing more.
fn unequal_to(expr: &Expr, label_columns: &[String]) -> Option<Vec<String>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::NotEq, right }) => {
            Some(vec![compared(left, right, label_columns)?])
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
            let mut values = Vec::new();
            for operand in operands(expr, Operator::And) {
                values.extend(unequal_to(operand, label_columns)?);
            }
            Some(values)
        }
        // A list without values is fulfilled by a missing label as well.
        Expr::InList(InList { expr, list, negated: true })
            if is_label(expr, label_columns) && !list.is_empty() =>
        {
            list.iter().map(text).collect()
        }
        _ => None,
    }
}

/// The text with which a label is compared, on either side.
fn compared(left: &Expr, right: &Expr, label_columns: &[String]) -> Option<String> {
    match (is_label(left, label_columns), is_label(right, label_columns)) {
        (true, false) => text(right),
        (false, true) => text(left),
        _ => None,
    }
}

fn is_label(expr: &Expr, label_columns: &[String]) -> bool {
    matches!(reference(expr, label_columns), Some(Reference::Label(_)))
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

/// Whether an expression is the column `time`, perhaps in another zone, which does not change it.
pub(crate) fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == "time",
        Expr::Cast(cast) => {
            let to = cast.field.data_type();
            matches!(to, DataType::Timestamp(TimeUnit::Nanosecond, zone)
                if zone.as_deref().is_none_or(|z| ["+00:00", "UTC", "Z"].contains(&z)))
                && is_time(&cast.expr)
        }
        _ => false,
    }
}

pub(crate) fn time_literal(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), _), _) => Some(*nanos),
        _ => None,
    }
}

/// Calls `visit` with everything that an expression speaks about.
pub(crate) fn each_reference(
    expr: &Expr,
    label_columns: &[String],
    visit: &mut dyn FnMut(&Expr, Option<Reference>) -> TreeNodeRecursion,
) -> Result<()> {
    expr.apply(|e| {
        let found = reference(e, label_columns);
        let inside = visit(e, found.clone());
        Ok(match found {
            Some(_) if inside == TreeNodeRecursion::Continue => TreeNodeRecursion::Jump,
            _ => inside,
        })
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    #[test]
    fn only_conditions_on_one_thing_are_taken() {
        let labels = ["pod".to_owned(), "region".to_owned()];
        let grain = Step::NANOSECOND;
        let taken = |e: Expr| condition(&e, TableKind::Series, &labels, grain);
        assert_eq!(
            taken(col("pod").eq(lit("a")).or(lit("b").eq(col("pod")))),
            Some(Condition::OneOf("pod".into(), vec!["a".into(), "b".into()]))
        );
        assert!(matches!(taken(col("pod").eq(lit(""))), Some(Condition::Label(..))));
        let none_of = |values: &[&str]| {
            let values = values.iter().map(|v| (*v).to_owned()).collect();
            Some(Condition::NoneOf("pod".into(), values))
        };
        assert_eq!(taken(lit("a").not_eq(col("pod"))), none_of(&["a"]));
        let neither = col("pod").not_eq(lit("a")).and(col("pod").not_eq(lit("")));
        assert_eq!(taken(neither), none_of(&["a", ""]));
        let list = vec![lit("a"), lit("b")];
        assert_eq!(taken(col("pod").in_list(list, true)), none_of(&["a", "b"]));
        let with_null = vec![lit("a"), lit(ScalarValue::Utf8(None))];
        assert!(matches!(taken(col("pod").in_list(with_null, true)), Some(Condition::Label(..))));
        assert!(matches!(taken(col("pod").in_list(vec![], true)), Some(Condition::Label(..))));
        assert!(matches!(taken(col("pod").is_null()), Some(Condition::Label(..))));
        assert!(matches!(taken(col("profile_type").like(lit("mem%"))), Some(Condition::Type(_))));
        assert_eq!(taken(col("pod").eq(col("region"))), None);
        assert_eq!(taken(col("pod").eq(lit("a")).or(col("value").gt(lit(1)))), None);
        assert_eq!(taken(lit(true)), Some(Condition::Constant(lit(true))));
        assert_eq!(taken(col("pod").eq(col("nowhere"))), None);
    }
}
