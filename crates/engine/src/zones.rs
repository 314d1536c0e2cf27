//! That a time in another zone is compared as what it is.
//!
//! DataFusion 55 takes a cast off a column that is compared with a constant and casts the constant instead, and between
//! timestamps it does so as if every zone were UTC. What is cast from a time without a zone to one in Europe/Berlin is an
//! hour or two earlier, though, so that `time AT TIME ZONE 'Europe/Berlin' >= ...` was true of other rows than the values
//! that were shown. A cast by which the instant changes is a function here, which stays where it is.

use arrow::{compute::CastOptions, datatypes::DataType};
use datafusion::{
    common::{
        DFSchema, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, Volatility, expr_rewriter::NamePreserver, utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

/// The rule.
#[derive(Debug)]
pub(crate) struct ZonesStay;

impl AnalyzerRule for ZonesStay {
    fn name(&self) -> &str {
        "zones_stay"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut has_zone = false;
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                has_zone |= expr.exists(|e| Ok(is_between_times(e)))?;
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if !has_zone {
            return Ok(plan);
        }
        let plan = plan.transform_up_with_subqueries(|node| {
            let schema = match node.inputs().as_slice() {
                [] => node.schema().as_ref().clone(),
                inputs => merge_schema(inputs),
            };
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let kept = expr.transform_up(|e| Ok(kept(e, &schema)))?;
                Ok(kept.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(plan.data)
    }
}

/// Whether it is a cast to a time, which may be of another zone.
fn is_between_times(expr: &Expr) -> bool {
    let to = match expr {
        Expr::Cast(cast) => cast.field.data_type(),
        Expr::TryCast(cast) => cast.field.data_type(),
        _ => return false,
    };
    matches!(to, DataType::Timestamp(_, _))
}

fn kept(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let (inner, to, is_safe) = match &expr {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type(), false),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type(), true),
        _ => return Transformed::no(expr),
    };
    match inner.get_type(schema) {
        Ok(from) if moves(&from, to) => {
            let zoned = ScalarUDF::from(Zoned::new(to.clone(), is_safe));
            Transformed::yes(zoned.call(vec![inner.as_ref().clone()]))
        }
        _ => Transformed::no(expr),
    }
}

/// Whether a cast makes another instant of a time: into a zone or out of one that is not UTC.
fn moves(from: &DataType, to: &DataType) -> bool {
    let is_utc = |zone: &str| ["+00:00", "UTC", "Z", "Etc/UTC"].contains(&zone);
    match (from, to) {
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(zone)))
        | (DataType::Timestamp(_, Some(zone)), DataType::Timestamp(_, None)) => !is_utc(zone),
        _ => false,
    }
}

/// The cast as a function, of which the planner knows nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Zoned {
    to: DataType,
    is_safe: bool,
    signature: Signature,
}

impl Zoned {
    fn new(to: DataType, is_safe: bool) -> Self {
        Self { to, is_safe, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &str {
        "in_zone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = CastOptions { safe: self.is_safe, ..CastOptions::default() };
        args.args[0].cast_to(&self.to, Some(&options))
    }
}
