//! `count(DISTINCT stack)` where rows are read.
//!
//! Where it stands alone, DataFusion makes groups of it, whose rows are as long as stacks are, and sorts those in files where
//! memory is limited. Beside others it keeps each stack as a list of texts, and takes each for as large as the batch that
//! it came in, so that a few thousand come to more than there is. So a key of 128 bits is counted instead, which is
//! another one for each list: keyed anew in each process, so that nobody can find two lists with one key, and wide enough
//! that a billion lists have none by chance. Where a source adds up by stack there are no two alike, and no key is needed.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, AsArray, Decimal128Array},
    datatypes::{DataType, Decimal128Type, DecimalType},
};
use datafusion::{
    common::{
        Column, Result, internal_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Aggregate, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, Volatility, expr::AggregateFunction,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use crate::trace::additive;

/// The rule.
#[derive(Debug)]
pub(crate) struct ListsAreCountedByKey;

impl OptimizerRule for ListsAreCountedByKey {
    fn name(&self) -> &str {
        "lists_are_counted_by_key"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let mut aggregate = aggregate.clone();
        let mut is_changed = false;
        for expr in &mut aggregate.aggr_expr {
            if let Some(keyed) = keyed(expr, &aggregate.input)? {
                *expr = keyed;
                is_changed = true;
            }
        }
        if let Some(inner) = keyed_groups(&aggregate)? {
            aggregate.input = Arc::new(LogicalPlan::Aggregate(inner));
            is_changed = true;
        }
        Ok(match is_changed {
            // The columns are called as before, so that the schema stays as it is.
            true => Transformed::yes(LogicalPlan::Aggregate(aggregate)),
            false => Transformed::no(plan),
        })
    }
}

/// The groups that DataFusion makes of a count of distinct lists, of which nothing but their number is wanted above, as those
/// of their keys.
fn keyed_groups(outer: &Aggregate) -> Result<Option<Aggregate>> {
    let LogicalPlan::Aggregate(inner) = outer.input.as_ref() else { return Ok(None) };
    let mut groups = inner.group_expr.clone();
    let mut is_changed = false;
    for group in &mut groups {
        let Expr::Alias(alias) = &*group else { continue };
        let is_this = |column: &&Column| column.name == alias.name && column.relation.is_none();
        let is_counted = |expr: &Expr| match unaliased(expr) {
            Expr::AggregateFunction(call) if call.func.name() == "count" => {
                call.params.filter.is_none()
                    && matches!(call.params.args.as_slice(), [Expr::Column(column)] if is_this(&column))
            }
            _ => false,
        };
        let is_else =
            outer.group_expr.iter().any(|e| e.column_refs().into_iter().any(|c| is_this(&c)))
                || outer
                    .aggr_expr
                    .iter()
                    .any(|e| !is_counted(e) && e.column_refs().into_iter().any(|c| is_this(&c)));
        if is_else
            || !outer.aggr_expr.iter().any(is_counted)
            || !is_list(&alias.expr.get_type(inner.input.schema())?)
        {
            continue;
        }
        let key = ScalarUDF::from(ListKey::new()).call(vec![alias.expr.as_ref().clone()]);
        *group = key.alias(alias.name.clone());
        is_changed = true;
    }
    let is_coarse = |plan: &LogicalPlan| {
        let LogicalPlan::TableScan(scan) = plan else { return false };
        additive(scan).is_some_and(|table| table.coarse().is_some())
    };
    if !is_changed || inner.input.exists(|plan| Ok(is_coarse(plan)))? {
        return Ok(None);
    }
    Aggregate::try_new(Arc::clone(&inner.input), groups, inner.aggr_expr.clone()).map(Some)
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        expr => expr,
    }
}

/// A count of distinct lists of text as one of their keys, under the same name.
fn keyed(expr: &Expr, input: &LogicalPlan) -> Result<Option<Expr>> {
    let (name, bare) = match expr {
        Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref()),
        expr => (expr.schema_name().to_string(), expr),
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = bare else { return Ok(None) };
    let [arg] = params.args.as_slice() else { return Ok(None) };
    if func.name() != "count" || !params.distinct || !is_list(&arg.get_type(input.schema())?) {
        return Ok(None);
    }
    let mut params = params.clone();
    params.args = vec![ScalarUDF::from(ListKey::new()).call(vec![arg.clone()])];
    let call = AggregateFunction { func: Arc::clone(func), params };
    Ok(Some(Expr::AggregateFunction(call).alias(name)))
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if *item.data_type() == DataType::Utf8)
}

/// The key of a list of text; NULL of NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ListKey {
    signature: Signature,
}

impl ListKey {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

const KEY: DataType = DataType::Decimal128(Decimal128Type::MAX_PRECISION, 0);

impl ScalarUDFImpl for ListKey {
    fn name(&self) -> &str {
        "list_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(KEY)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = args.args[0].to_array(args.number_rows)?;
        let Some(lists) = lists.as_list_opt::<i32>() else {
            return internal_err!("a list was expected, not {}", lists.data_type());
        };
        let keys = lists.iter().map(|list| list.as_deref().map(key));
        let keys = Decimal128Array::from_iter(keys).with_data_type(KEY);
        Ok(ColumnarValue::Array(Arc::new(keys)))
    }
}

fn key(list: &dyn Array) -> i128 {
    static HALVES: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    let texts = list.as_string::<i32>();
    let [high, low] = HALVES.each_ref().map(|state| {
        let mut hasher = state.build_hasher();
        for text in texts {
            match text {
                // The length as well, so that no two lists are the same bytes.
                Some(text) => {
                    hasher.write_usize(text.len());
                    hasher.write(text.as_bytes());
                }
                None => hasher.write_usize(usize::MAX),
            }
        }
        hasher.finish()
    });
    (i128::from(high) << 64) | i128::from(low)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn each_list_has_a_key_of_its_own() {
        let lists: [&[Option<&str>]; 9] = [
            &[],
            &[None],
            &[None, None],
            &[Some("")],
            &[Some(""), Some("")],
            &[Some("ab")],
            &[Some("a"), Some("b")],
            &[Some("b"), Some("a")],
            &[Some("a"), None],
        ];
        let key = |list: &[Option<&str>]| key(&StringArray::from(list.to_vec()));
        let keys: HashSet<i128> = lists.iter().map(|list| key(list)).collect();
        assert_eq!(keys.len(), lists.len());
        assert!(lists.iter().all(|list| keys.contains(&key(list))));
    }
}
