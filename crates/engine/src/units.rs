//! That no sum adds up different units: decided from the statement and the source's list of profile types.
//!
//! A logical rule writes on each scan which sums it is in, and what of them tells profile types apart; when the scan's
//! types are known each sum is looked at there. What one sum takes from several scans, the branches of a UNION ALL or
//! the sides of a join, a physical rule compares. Where it is not certain that units meet, the doubt is the statement's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::array::ArrayRef;
use datafusion::{
    catalog::Session,
    common::{
        Column, Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        BinaryExpr, Expr, GroupingSet, LogicalPlan, Operator, TableScan, WindowFunctionDefinition,
        expr::AggregateFunction, lit,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::ExecutionPlan,
};
use flamesql_profile::ProfileType;

use crate::{
    Error, ErrorKind,
    condition::is_comparison,
    meta::MetaExec,
    scan::ScanExec,
    trace::{Step, Subject, columns_in, follow},
    values::{VALUE, all_true, evaluate},
};

/// The functions that add up.
const ADD_UP: [&str; 4] = ["sum", "avg", "flamegraph", "flamegraph_diff"];

/// A sum of measures, with all that stands in its way to tell profile types apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    /// What is added up. In the columns of the node that is being looked at, as all expressions here.
    measure: Expr,
    /// Conditions under which it is added up.
    guards: Vec<Expr>,
    /// By what it is grouped.
    keys: Vec<Expr>,
}

/// A sum as a scan that it is over knows it. Expressions are over [`VALUE`], a profile type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Added {
    /// The same at all scans that one sum is over.
    id: u64,
    guards: Vec<Expr>,
    /// `None` for a key that says nothing of types.
    keys: Vec<Option<Expr>>,
    /// Whether other scans are in it.
    is_shared: bool,
    /// Whether a measure is added up by itself, and not its product with something from another scan.
    is_term: bool,
    /// Whether something from another scan is added to the measure in one row, as over a join.
    is_in_row: bool,
}

/// What a sum takes from one scan, when the types of that are known.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    id: u64,
    is_in_row: bool,
    /// Each type, with what the keys come to.
    types: Vec<(Vec<Option<ScalarValue>>, ProfileType)>,
}

impl Sum {
    /// The sums of an aggregate, one for each of its functions and each of its grouping sets, or of a window.
    pub(crate) fn all(plan: &LogicalPlan) -> Vec<Self> {
        let mut sums = Vec::new();
        let mut add = |args: &[Expr], filter: Option<&Expr>, sets: &[Vec<Expr>]| {
            let guards: Vec<Expr> = filter.into_iter().cloned().collect();
            for measure in args {
                sums.extend(sets.iter().map(|keys| Self {
                    measure: measure.clone(),
                    guards: guards.clone(),
                    keys: keys.clone(),
                }));
            }
        };
        match plan {
            LogicalPlan::Aggregate(aggregate) => {
                let sets: Vec<Vec<Expr>> = match aggregate.group_expr.as_slice() {
                    [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.clone(),
                    // The total row is the one that tells nothing apart.
                    [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => {
                        vec![Vec::new()]
                    }
                    keys => vec![keys.to_vec()],
                };
                for expr in &aggregate.aggr_expr {
                    let Expr::AggregateFunction(AggregateFunction { func, params }) =
                        expr.clone().unalias_nested().data
                    else {
                        continue;
                    };
                    if ADD_UP.contains(&func.name()) {
                        add(&params.args, params.filter.as_deref(), &sets);
                    }
                }
            }
            LogicalPlan::Window(window) => {
                for expr in &window.window_expr {
                    let Expr::WindowFunction(call) = expr.clone().unalias_nested().data else {
                        continue;
                    };
                    let params = call.params;
                    match &call.fun {
                        WindowFunctionDefinition::AggregateUDF(func)
                            if ADD_UP.contains(&func.name()) =>
                        {
                            add(&params.args, params.filter.as_deref(), &[params.partition_by]);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        sums
    }

    /// The sum as a scan knows it, if one of its measures is in it and does not only decide what is.
    fn at(&self, measures: &[&str], scan: &TableScan) -> Option<Added> {
        let is_own =
            &|column: &Column| scan.projected_schema.maybe_index_of_column(column).is_some();
        let is_measure =
            |column: &Column| is_own(column) && measures.contains(&column.name.as_str());
        let mut terms = Vec::new();
        split_terms(&self.measure, &mut terms);
        let has = |term: &Expr| term.column_refs().into_iter().any(&is_measure);
        let is_alone = |term: &Expr| term.column_refs().into_iter().all(is_own);
        if !terms.iter().any(|term| has(term)) {
            return None;
        }
        let only_type = |expr: &Expr| on_type(expr, is_own);
        let conjuncts = self.guards.iter().flat_map(conjuncts);
        let mut guards: Vec<Expr> = conjuncts.filter_map(|guard| only_type(&guard)).collect();
        guards.extend(guard_of(&self.measure, &only_type));
        // A key that holds the type beside other things may tell types apart.
        let holds_type = |key: &Expr| {
            key.column_refs().into_iter().any(|c| c.name == "profile_type" && is_own(c))
        };
        let whole = || Expr::Column(Column::new_unqualified(VALUE));
        let key = |key: &Expr| only_type(key).or_else(|| holds_type(key).then(whole));
        Some(Added {
            id: 0,
            guards,
            keys: self.keys.iter().map(key).collect(),
            is_shared: false,
            is_term: terms.iter().any(|term| has(term) && is_alone(term)),
            is_in_row: terms.iter().any(|term| !is_alone(term)),
        })
    }
}

impl Subject for Sum {
    fn lower(&self, step: &Step<'_>) -> Result<Self> {
        let measure = match step.lower(&self.measure)? {
            Some(measure) => measure,
            // What is too large to be looked through adds up all that is in it.
            None => {
                let columns =
                    columns_in(&self.measure).into_iter().flat_map(|c| step.columns_of(&c));
                columns.map(Expr::Column).fold(lit(0_i64), |sum, column| sum + column)
            }
        };
        let mut lowered = Self { measure, guards: Vec::new(), keys: Vec::new() };
        for guard in &self.guards {
            lowered.guards.extend(step.lower_same(guard)?);
        }
        for key in &self.keys {
            // Nor does it tell anything apart for sure.
            lowered.keys.push(step.lower_same(key)?.unwrap_or_else(|| lit(true)));
        }
        Ok(lowered)
    }
}

impl Added {
    fn is_same(&self, other: &Self) -> bool {
        *self == Self { id: self.id, is_shared: self.is_shared, ..other.clone() }
    }

    /// What the sum takes from a scan of some types.
    ///
    /// # Errors
    ///
    /// If types of different units come together in one group.
    pub(crate) fn check(
        &self,
        session: &dyn Session,
        types: &[ProfileType],
    ) -> Result<Part, Error> {
        let mut part = Part { id: self.id, is_in_row: self.is_in_row, types: Vec::new() };
        let Some(first) = types.first() else { return Ok(part) };
        let is_shared = self.is_shared && self.is_term;
        if !is_shared && types.iter().all(|t| t.sample_unit() == first.sample_unit()) {
            return Ok(part);
        }
        let texts: Vec<Option<&str>> = types.iter().map(|t| Some(t.as_str())).collect();
        let is_in = all_true(session, &self.guards, &texts)?;
        let keys: Vec<Option<ArrayRef>> = self
            .keys
            .iter()
            .map(|key| key.as_ref().map(|key| evaluate(session, key, &texts)).transpose())
            .collect::<Result<_, _>>()?;
        for (idx, profile_type) in types.iter().enumerate().filter(|(idx, _)| is_in[*idx]) {
            let group: Vec<Option<ScalarValue>> = keys
                .iter()
                .map(|key| {
                    key.as_ref().map(|key| ScalarValue::try_from_array(key, idx)).transpose()
                })
                .collect::<Result<_>>()?;
            let known = part.types.iter().find(|(known, _)| *known == group);
            if let Some((_, first)) = known.filter(|(_, first)| !is_one_unit(first, profile_type)) {
                return Err(no_unit(first, profile_type));
            }
            part.types.push((group, profile_type.clone()));
        }
        if !is_shared {
            part.types.clear();
        }
        Ok(part)
    }
}

/// The rule that compares what a sum takes from several scans.
#[derive(Debug)]
pub(crate) struct SameUnits;

impl PhysicalOptimizerRule for SameUnits {
    fn name(&self) -> &str {
        "same_units"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut all: Vec<Part> = Vec::new();
        plan.apply(|node| {
            if let Some(scan) = node.downcast_ref::<ScanExec>() {
                all.extend(scan.plan().sums.iter().cloned());
            } else if let Some(scan) = node.downcast_ref::<MetaExec>() {
                all.extend(scan.sums().iter().cloned());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut known: BTreeMap<u64, Vec<&Part>> = BTreeMap::new();
        for part in all.iter().filter(|part| !part.types.is_empty()) {
            let parts = known.entry(part.id).or_default();
            for other in parts.iter() {
                if let Some((one, other)) = other.clashes_with(part) {
                    return Err(no_unit(one, other).into_datafusion());
                }
            }
            parts.push(part);
        }
        Ok(plan)
    }
}

impl Part {
    /// Two types of different units that come together with another part of the same sum.
    fn clashes_with<'a>(&'a self, other: &'a Self) -> Option<(&'a ProfileType, &'a ProfileType)> {
        let pairs = self.types.iter().flat_map(|one| other.types.iter().map(move |two| (one, two)));
        let one_unit = |(one, two): &(&ProfileType, &ProfileType)| is_one_unit(one, two);
        if self.is_in_row && other.is_in_row {
            // Which rows are joined the keys do not say, but what none of them could give a unit has none.
            let mut meet = pairs
                .filter(|((keys, _), (others, _))| {
                    keys.iter().zip(others).all(|(key, other)| {
                        key.as_ref().zip(other.as_ref()).is_none_or(|(key, other)| key == other)
                    })
                })
                .map(|((_, one), (_, two))| (one, two));
            let first = meet.next()?;
            return (!one_unit(&first) && !meet.any(|pair| one_unit(&pair))).then_some(first);
        }
        pairs
            .filter(|((keys, _), (others, _))| keys == others)
            .map(|((_, one), (_, two))| (one, two))
            .find(|pair| !one_unit(pair))
    }
}

/// Writes sums on the scans that they are over, for the units to be looked at when the types are known.
pub(crate) fn note(plan: &LogicalPlan, sums: &[Sum]) -> Result<Option<LogicalPlan>> {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let mut noted: Option<LogicalPlan> = None;
    for sum in sums {
        let at = noted.as_ref().unwrap_or(plan);
        // Each scan that the sum is over, with what is written there already in the same words.
        let mut reached: Vec<Vec<(u64, bool)>> = Vec::new();
        follow(at, sum, &mut |table, scan, sum: &Sum| {
            let added = sum.at(table.measures(), scan)?;
            let same = table.noted().sums.iter().filter(|known| added.is_same(known));
            reached.push(same.map(|known| (known.id, known.is_shared)).collect());
            None
        })?;
        let is_shared = reached.len() > 1;
        let is_known = |(id, shared): &(u64, bool)| {
            *shared == is_shared
                && reached.iter().all(|known| known.iter().any(|(other, _)| other == id))
        };
        // The rule sees its own result again.
        if reached.first().is_none_or(|known| known.iter().any(is_known)) {
            continue;
        }
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let changed = follow(at, sum, &mut |table, scan, sum: &Sum| {
            let added = sum.at(table.measures(), scan)?;
            let mut noted = table.noted().clone();
            noted.sums.push(Added { id, is_shared, ..added });
            Some(noted)
        })?;
        noted = changed.or(noted);
    }
    Ok(noted)
}

fn is_one_unit(one: &ProfileType, other: &ProfileType) -> bool {
    one.sample_unit() == other.sample_unit()
}

fn no_unit(one: &ProfileType, other: &ProfileType) -> Error {
    let what = format!(
        "a sum over {one} in {} and {other} in {} has no unit",
        one.sample_unit(),
        other.sample_unit()
    );
    Error::new(ErrorKind::Query, what)
        .with_hint("choose one with profile_type = '...', or add GROUP BY profile_type")
}

fn conjuncts(expr: &Expr) -> Vec<Expr> {
    datafusion::logical_expr::utils::split_conjunction(expr).into_iter().cloned().collect()
}

/// What is added up in the end, each part of it for itself.
fn split_terms<'a>(expr: &'a Expr, terms: &mut Vec<&'a Expr>) {
    let mut left = vec![expr];
    while let Some(expr) = left.pop() {
        match expr {
            Expr::Alias(alias) => left.push(&alias.expr),
            Expr::Cast(cast) => left.push(&cast.expr),
            Expr::TryCast(cast) => left.push(&cast.expr),
            Expr::Negative(inner) => left.push(inner),
            Expr::BinaryExpr(BinaryExpr {
                left: a,
                op: Operator::Plus | Operator::Minus,
                right,
            }) => {
                left.extend([a.as_ref(), right.as_ref()]);
            }
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, then)| then);
                left.extend(results.chain(&case.else_expr).map(AsRef::as_ref));
            }
            Expr::ScalarFunction(call) if call.name() == "coalesce" => left.extend(&call.args),
            Expr::AggregateFunction(call) => left.extend(&call.params.args),
            // How many, or whether: no part of a value.
            Expr::ScalarFunction(call) if counts(call.name()) => {}
            Expr::BinaryExpr(BinaryExpr { op, .. }) if is_comparison(*op) => {}
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Between(_) | Expr::InList(_) => {}
            term => terms.push(term),
        }
    }
}

/// Whether a function gives a number that has nothing to do with the unit of what it is given.
fn counts(function: &str) -> bool {
    ["array_length", "list_length", "cardinality", "array_ndims", "signum", "date_part"]
        .contains(&function)
}

/// The expression over [`VALUE`], if it speaks about the profile type of this scan and nothing else, or about nothing.
fn on_type(expr: &Expr, is_own: &dyn Fn(&Column) -> bool) -> Option<Expr> {
    let mut qualifies = !expr.is_volatile();
    let found = expr.clone().transform_down(|e| {
        Ok(match e {
            Expr::Column(column) if column.name == "profile_type" && is_own(&column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(VALUE)))
            }
            Expr::Column(_) | Expr::AggregateFunction(_) | Expr::WindowFunction(_) => {
                qualifies = false;
                Transformed::new(e, false, TreeNodeRecursion::Stop)
            }
            e if crate::condition::is_beyond(&e) => {
                qualifies = false;
                Transformed::new(e, false, TreeNodeRecursion::Stop)
            }
            e => Transformed::no(e),
        })
    });
    found.ok().map(|t| t.data).filter(|_| qualifies)
}

/// The condition on types under which a measure gives anything to add up: that of a CASE, or of a sum below.
fn guard_of(measure: &Expr, only_type: &dyn Fn(&Expr) -> Option<Expr>) -> Option<Expr> {
    match measure {
        Expr::Alias(alias) => guard_of(&alias.expr, only_type),
        Expr::Cast(cast) => guard_of(&cast.expr, only_type),
        Expr::Case(_) => case_guard(measure, only_type),
        Expr::AggregateFunction(call) => {
            let filter = call.params.filter.iter().flat_map(|filter| conjuncts(filter));
            let measure = call.params.args.first().and_then(|arg| guard_of(arg, only_type));
            filter.filter_map(|guard| only_type(&guard)).chain(measure).reduce(Expr::and)
        }
        _ => None,
    }
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
