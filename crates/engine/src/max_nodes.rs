//! `SET flamesql.max_nodes`: flame graphs that a statement does not cut are cut so far.

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr, LogicalPlan, WindowFunctionDefinition, expr::AggregateFunction,
        expr_rewriter::NamePreserver, lit,
    },
    optimizer::AnalyzerRule,
};

use crate::{flamegraph, options::Options};

/// The rule that writes the session's limit into flame graphs.
#[derive(Debug)]
pub(crate) struct MaxNodes;

impl AnalyzerRule for MaxNodes {
    fn name(&self) -> &str {
        "max_nodes"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let max_nodes = config.extensions.get::<Options>().map_or(0, |options| options.max_nodes);
        let Ok(max_nodes @ 1..) = i64::try_from(max_nodes) else { return Ok(plan) };
        let plan = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let cut = expr.transform_up(|e| Ok(cut(e, max_nodes)))?;
                Ok(cut.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(plan.data)
    }
}

fn cut(expr: Expr, max_nodes: i64) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, mut params })
            if [(flamegraph::NAME, 2), (flamegraph::DIFF_NAME, 3)]
                .contains(&(func.name(), params.args.len())) =>
        {
            params.args.push(lit(max_nodes));
            Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
        }
        Expr::WindowFunction(mut window) => {
            let name = match &window.fun {
                WindowFunctionDefinition::AggregateUDF(function) => function.name(),
                WindowFunctionDefinition::WindowUDF(_) => "",
            };
            let is_uncut = [(flamegraph::NAME, 2), (flamegraph::DIFF_NAME, 3)]
                .contains(&(name, window.params.args.len()));
            if is_uncut {
                window.params.args.push(lit(max_nodes));
            }
            Transformed::new_transformed(Expr::WindowFunction(window), is_uncut)
        }
        expr => Transformed::no(expr),
    }
}
