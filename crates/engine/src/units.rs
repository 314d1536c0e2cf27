//! That no sum adds up different units: decided from the statement and the source's list of profile types.

use arrow::array::ArrayRef;
use datafusion::{
    catalog::Session,
    common::{
        Column, Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Aggregate, Expr, GroupingSet, Operator, expr::AggregateFunction, lit},
};
use flamesql_profile::ProfileType;

use crate::{
    Error, ErrorKind,
    values::{VALUE, all_true, evaluate},
};

/// A sum of measures, with all that stands in its way to tell profile types apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    /// What is added up. In the columns of the node that is being looked at, as all expressions here.
    pub(crate) measure: Expr,
    /// Conditions under which it is added up.
    pub(crate) guards: Vec<Expr>,
    /// By what it is grouped.
    pub(crate) keys: Vec<Expr>,
}

impl Sum {
    /// The sums of an aggregate: one for each of its functions and each of its grouping sets.
    pub(crate) fn all(aggregate: &Aggregate) -> Vec<Self> {
        let sets: Vec<Vec<Expr>> = match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.clone(),
            // The total row is the one that tells nothing apart.
            [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => vec![Vec::new()],
            keys => vec![keys.to_vec()],
        };
        let mut sums = Vec::new();
        for expr in &aggregate.aggr_expr {
            let Expr::AggregateFunction(AggregateFunction { func, params }) =
                expr.clone().unalias_nested().data
            else {
                continue;
            };
            if !["sum", "avg", "flamegraph", "flamegraph_diff"].contains(&func.name()) {
                continue;
            }
            let guards: Vec<Expr> = params.filter.into_iter().map(|filter| *filter).collect();
            for measure in params.args {
                sums.extend(sets.iter().map(|keys| Self {
                    measure: measure.clone(),
                    guards: guards.clone(),
                    keys: keys.clone(),
                }));
            }
        }
        sums
    }

    /// Whether a column that `is_measure` is added up, and does not only decide what is.
    pub(crate) fn adds_up(&self, is_measure: &dyn Fn(&Column) -> bool) -> bool {
        let has = |expr: &Expr| expr.column_refs().into_iter().any(is_measure);
        match &self.measure {
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, then)| then);
                results.chain(&case.else_expr).any(|result| has(result))
            }
            measure => has(measure),
        }
    }

    /// All expressions, and back from them.
    pub(crate) fn map(&self, mut each: impl FnMut(&Expr) -> Result<Expr>) -> Result<Self> {
        Ok(Self {
            measure: each(&self.measure)?,
            guards: self.guards.iter().map(&mut each).collect::<Result<_>>()?,
            keys: self.keys.iter().map(&mut each).collect::<Result<_>>()?,
        })
    }

    /// What of this can be decided for each profile type alone: the rest cannot tell them apart for sure.
    pub(crate) fn by_type(&self, is_own: &dyn Fn(&Column) -> bool) -> Self {
        let only_type = |expr: &Expr| on_type(expr, is_own);
        let conjuncts = self.guards.iter().flat_map(conjuncts);
        let mut guards: Vec<Expr> = conjuncts.filter_map(|guard| only_type(&guard)).collect();
        guards.extend(case_guard(&self.measure, &only_type));
        // A key that holds the type beside other things may tell types apart: the doubt is the statement's.
        let holds_type = |key: &&Expr| {
            key.column_refs().into_iter().any(|c| c.name == "profile_type" && is_own(c))
        };
        let whole = || Expr::Column(Column::new_unqualified(VALUE));
        let key = |key: &Expr| only_type(key).unwrap_or_else(whole);
        let keys = self.keys.iter().filter(holds_type).map(key).collect();
        Self { measure: lit(1_i64), guards, keys }
    }

    /// Fails if types of different units come together in one group.
    pub(crate) fn check(&self, session: &dyn Session, types: &[ProfileType]) -> Result<(), Error> {
        let Some(first) = types.first() else { return Ok(()) };
        if types.iter().all(|t| t.sample_unit() == first.sample_unit()) {
            return Ok(());
        }
        let texts: Vec<Option<&str>> = types.iter().map(|t| Some(t.as_str())).collect();
        let is_in = all_true(session, &self.guards, &texts)?;
        let mut groups: Vec<(Vec<ScalarValue>, &ProfileType)> = Vec::new();
        let keys: Vec<ArrayRef> =
            self.keys.iter().map(|key| evaluate(session, key, &texts)).collect::<Result<_, _>>()?;
        for (idx, profile_type) in types.iter().enumerate().filter(|(idx, _)| is_in[*idx]) {
            let group: Vec<ScalarValue> = keys
                .iter()
                .map(|key| ScalarValue::try_from_array(key, idx))
                .collect::<Result<_>>()?;
            match groups.iter().find(|(known, _)| *known == group) {
                Some((_, first)) if first.sample_unit() != profile_type.sample_unit() => {
                    return Err(Error::new(
                        ErrorKind::Query,
                        format!(
                            "a sum over {first} in {} and {profile_type} in {} has no unit",
                            first.sample_unit(),
                            profile_type.sample_unit()
                        ),
                    )
                    .with_hint(
                        "choose one with profile_type = '...', or add GROUP BY profile_type",
                    ));
                }
                Some(_) => {}
                None => groups.push((group, profile_type)),
            }
        }
        Ok(())
    }
}

fn conjuncts(expr: &Expr) -> Vec<Expr> {
    datafusion::logical_expr::utils::split_conjunction(expr).into_iter().cloned().collect()
}

/// The expression over [`VALUE`], if it speaks about the profile type of this scan and nothing else.
fn on_type(expr: &Expr, is_own: &dyn Fn(&Column) -> bool) -> Option<Expr> {
    let mut qualifies = !expr.is_volatile();
    let mut speaks = false;
    let found = expr.clone().transform_down(|e| {
        Ok(match e {
            Expr::Column(column) if column.name == "profile_type" && is_own(&column) => {
                speaks = true;
                Transformed::yes(Expr::Column(Column::new_unqualified(VALUE)))
            }
            Expr::Column(_) => {
                qualifies = false;
                Transformed::no(e)
            }
            e if crate::condition::is_beyond(&e) => {
                qualifies = false;
                Transformed::new(e, false, TreeNodeRecursion::Stop)
            }
            e => Transformed::no(e),
        })
    });
    found.ok().map(|t| t.data).filter(|_| qualifies && speaks)
}

/// The condition on types under which a CASE gives anything to add up.
fn case_guard(measure: &Expr, only_type: &dyn Fn(&Expr) -> Option<Expr>) -> Option<Expr> {
    let Expr::Case(case) = measure else { return None };
    let is_nothing = |expr: &Expr| {
        matches!(expr, Expr::Literal(value, _)
            if value.is_null() || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value))
    };
    if case.else_expr.as_ref().is_some_and(|result| !is_nothing(result)) {
        return None;
    }
    let mut any = lit(false);
    for (when, _) in case.when_then_expr.iter().filter(|(_, then)| !is_nothing(then)) {
        let when = match &case.expr {
            Some(base) => base.as_ref().clone().eq(when.as_ref().clone()),
            None => when.as_ref().clone(),
        };
        let all = conjuncts(&when).iter().filter_map(only_type).reduce(Expr::and)?;
        any = datafusion::logical_expr::binary_expr(any, Operator::Or, all);
    }
    Some(any)
}
