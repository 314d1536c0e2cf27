//! Noting at each scan what the statement says about its type and time beyond what the scan takes over.
//!
//! Who compares profile types does not mean a default that he did not name, and a condition on time that gives no bound
//! must not become the last hour in silence. Both are errors where the choice is made; here they are only seen.

use std::collections::BTreeSet;

use datafusion::{
    common::{Column, Result, tree_node::Transformed},
    logical_expr::LogicalPlan,
    optimizer::{OptimizerConfig, OptimizerRule},
};

use crate::{
    table::SpeaksOf,
    trace::{Step, Subject, columns_in, follow, map_inputs},
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
        Ok(match visit(&plan)? {
            Some(changed) => Transformed::yes(changed),
            None => Transformed::no(plan),
        })
    }
}

/// The columns of which something is said.
struct Said(BTreeSet<Column>);

impl Subject for Said {
    fn lower(&self, step: &Step<'_>) -> Result<Self> {
        Ok(Self(self.0.iter().flat_map(|column| step.columns_of(column)).collect()))
    }
}

fn visit(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let said: BTreeSet<Column> = match plan {
        LogicalPlan::Filter(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_) => plan.expressions().iter().flat_map(columns_in).collect(),
        _ => BTreeSet::new(),
    };
    let said = Said(said);
    // Keys and what is added up may hold times; only conditions choose among them.
    let chooses = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
    map_inputs(plan, |input| {
        let changed = visit(input)?;
        if said.0.is_empty() {
            return Ok(changed);
        }
        let at = changed.as_ref().unwrap_or(input);
        // What stands in a node is said in the columns of its input already.
        let noted = follow(at, &said, &mut |table, scan, said| {
            let is_said = |name: &str| {
                said.0.iter().any(|column| {
                    column.name == name
                        && scan.projected_schema.maybe_index_of_column(column).is_some()
                })
            };
            let known = table.speaks_of();
            let speaks_of = SpeaksOf {
                profile_type: known.profile_type || is_said("profile_type"),
                time: known.time || chooses && is_said("time"),
            };
            (speaks_of != known).then(|| table.with_speaks_of(speaks_of))
        })?;
        Ok(noted.or(changed))
    })
}
