//! That the two SELECTs of WITH RECURSIVE have columns of one kind.
//!
//! Our columns carry comments in the metadata of their fields, and DataFusion 55 takes two terms whose metadata differ for
//! a fault (`SELECT function ... UNION ALL SELECT callee ...`). Within a recursive query no table says anything of its
//! columns.

use std::sync::Arc;

use datafusion::{
    catalog::cte_worktable::CteWorkTable,
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{LogicalPlan, RecursiveQuery, TableScan, TableScanBuilder, TableSource},
    optimizer::AnalyzerRule,
};

use crate::{schema, trace::Ours};

/// The rule.
#[derive(Debug)]
pub(crate) struct TermsAreAlike;

impl AnalyzerRule for TermsAreAlike {
    fn name(&self) -> &str {
        "terms_are_alike"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut is_recursive = false;
        plan.apply_with_subqueries(|node| {
            is_recursive |= matches!(node, LogicalPlan::RecursiveQuery(_));
            Ok(TreeNodeRecursion::Continue)
        })?;
        if !is_recursive {
            return Ok(plan);
        }
        let alike = plan.transform_up_with_subqueries(|node| {
            Ok(Transformed::yes(match node {
                LogicalPlan::RecursiveQuery(query) => {
                    let (fixed, repeated) =
                        (plain(&query.static_term)?, plain(&query.recursive_term)?);
                    let query =
                        RecursiveQuery::try_new(query.name, fixed, repeated, query.is_distinct)?;
                    LogicalPlan::RecursiveQuery(query)
                }
                // Each schema is made from those below.
                node => node.recompute_schema()?,
            }))
        })?;
        Ok(alike.data)
    }
}

/// The plan over tables without comments.
fn plain(plan: &LogicalPlan) -> Result<Arc<LogicalPlan>> {
    let plain = plan.clone().transform_up_with_subqueries(|node| {
        Ok(Transformed::yes(match node {
            LogicalPlan::TableScan(scan) => plain_scan(scan)?,
            LogicalPlan::RecursiveQuery(query) => {
                LogicalPlan::RecursiveQuery(RecursiveQuery::try_new(
                    query.name,
                    query.static_term,
                    query.recursive_term,
                    query.is_distinct,
                )?)
            }
            node => node.recompute_schema()?,
        }))
    })?;
    Ok(Arc::new(plain.data))
}

fn plain_scan(scan: TableScan) -> Result<LogicalPlan> {
    let source: Arc<dyn TableSource> = match Ours::of(&scan) {
        Some(table) => table.plain(),
        // What the rounds before gave has the columns of the first SELECT.
        None => match source_as_provider(&scan.source)?.downcast_ref::<CteWorkTable>() {
            Some(table) => {
                let schema = schema::plain(&table.schema());
                provider_as_source(Arc::new(CteWorkTable::new(table.name(), schema)))
            }
            None => return Ok(LogicalPlan::TableScan(scan)),
        },
    };
    let scan = TableScanBuilder::new(scan.table_name, source)
        .with_projection(scan.projection)
        .with_filters(scan.filters)
        .with_fetch(scan.fetch)
        .build()?;
    Ok(LogicalPlan::TableScan(scan))
}
