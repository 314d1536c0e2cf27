//! The scalar functions that SQL has here beside DataFusion's own. docs/functions.md tells users of them.
//!
//! Those of one kind share a module: `stack` reads stacks, `matches` holds `pattern`s against them, `labels` holds selectors against labels, `prune` shortens them
//! as pprof does, `value` writes values, `origin` asks where samples come from. `docs` has what is said of each.

mod arguments;
pub(crate) mod docs;
pub(crate) mod labels;
mod matches;
pub(crate) mod origin;
mod pattern;
mod prune;
mod re;
mod stack;
pub(crate) mod stack_filter;
mod value;

use datafusion::logical_expr::ScalarUDF;

/// All of them.
pub(crate) fn scalar() -> Vec<ScalarUDF> {
    let mut all: Vec<ScalarUDF> = vec![
        labels::LabelsMatch::new().into(),
        matches::StackMatches::new().into(),
        value::FormatValue::new().into(),
        value::Rate::new().into(),
    ];
    all.extend(stack::What::ALL.map(|what| stack::StackFunction::new(what).into()));
    all.extend(prune::How::ALL.map(|how| prune::Prune::new(how).into()));
    all.extend(origin::Origin::ALL.map(|origin| origin::InOrigin::new(origin).into()));
    all
}
