//! Noting at each scan what the statement says about its type and time beyond what the scan takes over.
//!
//! Who compares profile types does not mean a default that he did not name, and a condition on time that gives no bound
//! must not become the last hour in silence. Both are errors where the choice is made; here they are only seen. So are bins
//! that are finer than a source can be exact at, which is worth a notice.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::{
    common::{
        Column, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, Expr, LogicalPlan},
    optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule},
};

use flamesql_profile::Step;

use crate::{
    condition::is_comparison,
    table::{Noted, SpeaksOf},
    times,
    trace::{self, Subject, columns_in, follow, map_inputs},
};

/// The rule. It runs over the whole plan, when filters are where they will stay.
#[derive(Debug)]
pub(crate) struct WhatIsSpokenOf;

impl OptimizerRule for WhatIsSpokenOf {
    fn name(&self) -> &str {
        "what_is_spoken_of"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        Ok(match visit(&plan, Notes::All)? {
            Some(changed) => Transformed::yes(changed),
            None => Transformed::no(plan),
        })
    }
}

/// The rule that notes conditions on types before any is simplified: one that is always true, such as
/// `profile_type LIKE '%'`, goes then, and who wrote it means every type and no default.
#[derive(Debug)]
pub(crate) struct TypesAreSpokenOf;

impl AnalyzerRule for TypesAreSpokenOf {
    fn name(&self) -> &str {
        "types_are_spoken_of"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(visit(&plan, Notes::Types)?.unwrap_or(plan))
    }
}

/// What is noted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notes {
    All,
    Types,
}

/// The columns of which something is said.
struct Said {
    columns: BTreeSet<Column>,
    /// Those of which a condition speaks.
    in_conditions: BTreeSet<Column>,
    /// Those that are cut into bins, each with the least width.
    bins: BTreeMap<Column, Step>,
}

impl Subject for Said {
    fn lower(&self, step: &trace::Step<'_>) -> Result<Self> {
        let lower = |columns: &BTreeSet<Column>| {
            columns.iter().flat_map(|column| step.columns_of(column)).collect()
        };
        let mut bins = BTreeMap::new();
        for (column, width) in &self.bins {
            step.columns_of(column).into_iter().for_each(|column| add(&mut bins, column, *width));
        }
        Ok(Self { columns: lower(&self.columns), in_conditions: lower(&self.in_conditions), bins })
    }
}

impl Said {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let exprs = plan.expressions();
        let all = || exprs.iter().flat_map(columns_in).collect();
        let (columns, in_conditions) = match plan {
            LogicalPlan::Filter(_) | LogicalPlan::Join(_) => (all(), all()),
            // Keys and what is added up may hold times; only conditions choose among them.
            LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => (all(), in_conditions(&exprs)?),
            LogicalPlan::Projection(_) | LogicalPlan::Sort(_) => {
                (BTreeSet::new(), in_conditions(&exprs)?)
            }
            _ => (BTreeSet::new(), BTreeSet::new()),
        };
        Ok(Self { columns, in_conditions, bins: bins(&exprs)? })
    }

    fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.in_conditions.is_empty() && self.bins.is_empty()
    }
}

/// The columns of all conditions in expressions: of FILTER, of CASE, and what is compared.
fn in_conditions(exprs: &[Expr]) -> Result<BTreeSet<Column>> {
    let mut found = BTreeSet::new();
    for expr in exprs {
        expr.apply(|e| {
            let mut add = |condition: &Expr| found.extend(columns_in(condition));
            match e {
                Expr::AggregateFunction(call) => {
                    call.params.filter.iter().for_each(|filter| add(filter));
                }
                Expr::WindowFunction(call) => {
                    call.params.filter.iter().for_each(|filter| add(filter));
                }
                Expr::Case(case) => {
                    case.expr.iter().for_each(|base| add(base));
                    case.when_then_expr.iter().for_each(|(when, _)| add(when));
                }
                Expr::BinaryExpr(BinaryExpr { op, .. }) if is_comparison(*op) => add(e),
                Expr::Between(_) | Expr::InList(_) => add(e),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

/// The columns that are cut into bins of a width that is known.
fn bins(exprs: &[Expr]) -> Result<BTreeMap<Column, Step>> {
    let mut found = BTreeMap::new();
    for expr in exprs {
        expr.apply(|e| {
            if let Expr::ScalarFunction(call) = e
                && let Some(Expr::Column(column)) = call.args.get(1)
            {
                // Whatever it is called here.
                let mut call = call.clone();
                call.args[1] = Expr::Column(Column::new_unqualified("time"));
                if let Some((width, _)) = times::bins(&Expr::ScalarFunction(call)) {
                    add(&mut found, column.clone(), width);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

fn add(bins: &mut BTreeMap<Column, Step>, column: Column, width: Step) {
    bins.entry(column).and_modify(|known| *known = (*known).min(width)).or_insert(width);
}

fn visit(plan: &LogicalPlan, notes: Notes) -> Result<Option<LogicalPlan>> {
    let said = Said::of(plan)?;
    map_inputs(plan, |input| {
        let changed = visit(input, notes)?;
        if said.is_empty() {
            return Ok(changed);
        }
        let at = changed.as_ref().unwrap_or(input);
        // What stands in a node is said in the columns of its input already.
        let noted = follow(at, &said, &mut |table, scan, said| {
            let is_own = |column: &Column, name: &str| {
                column.name == name && scan.projected_schema.maybe_index_of_column(column).is_some()
            };
            let is_said = |columns: &BTreeSet<Column>, name: &str| {
                columns.iter().any(|column| is_own(column, name))
            };
            let bins = said.bins.iter().filter(|(column, _)| is_own(column, "time"));
            let bins = bins.map(|(_, width)| *width);
            let known = table.noted().speaks_of;
            let profile_type = known.profile_type || is_said(&said.columns, "profile_type");
            let speaks_of = match notes {
                Notes::Types => SpeaksOf { profile_type, ..known },
                Notes::All => SpeaksOf {
                    profile_type,
                    time: known.time || is_said(&said.in_conditions, "time"),
                    bins: bins.chain(known.bins).min(),
                },
            };
            (speaks_of != known).then(|| Noted { speaks_of, ..table.noted().clone() })
        })?;
        Ok(noted.or(changed))
    })
}
