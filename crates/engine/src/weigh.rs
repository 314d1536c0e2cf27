//! Sums over some stacks that no tree has to be made for.
//!
//! `sum(value)` of the stacks that fulfil a condition, and what one function comes to, are each a number for a group.
//! A source that holds stacks once and values by series is told how often each stack counts and adds up; to make a tree
//! for each of sixty-four threads took thirty times as long.

use std::sync::Arc;

use flamesql_backend::Weigh;
use flamesql_profile::{NodeId, StackTree};

use crate::{
    TableKind,
    ask::{Plan, Request},
    functions::stack_filter::{FunctionFilter, StackFilter},
    rows::{Measures, Shape},
};

/// What a source may be asked instead of a request's stacks: sums, and the measures that each of them is.
///
/// Where a row has to be there although its measure is 0, another one makes it be.
pub(crate) fn sums(plan: &Plan, request: &Request) -> Vec<(Measures, Arc<dyn Weigh>)> {
    if !request.is_coarse || !plan.is_one_question(request) {
        return Vec::new();
    }
    match plan.kind {
        TableKind::Samples if request.shape == Shape::Sum && !plan.filters.is_empty() => {
            vec![(Measures::Both, Arc::new(Kept(plan.filters.clone())))]
        }
        TableKind::Functions => {
            let Shape::OfFunctions { own } = request.shape else { return Vec::new() };
            let filters = &plan.functions;
            let of = |is_self| Arc::new(Named { filters: filters.clone(), is_self });
            let mut sums: Vec<(Measures, Arc<dyn Weigh>)> = vec![(Measures::Total, of(false))];
            if own {
                sums.push((Measures::Own, of(true)));
            }
            sums
        }
        _ => Vec::new(),
    }
}

/// Each stack that fulfils all of these once.
#[derive(Debug)]
struct Kept(Vec<StackFilter>);

impl Weigh for Kept {
    fn weigh(&self, tree: &StackTree) -> Option<Vec<u8>> {
        let mut weights = vec![1_u8; tree.len()];
        for filter in &self.0 {
            for (weight, keep) in weights.iter_mut().zip(filter.keep_of_all(tree).ok()?) {
                *weight &= u8::from(keep);
            }
        }
        Some(weights)
    }
}

/// Each stack as often as it counts in the sum over all functions that fulfil these: for each of them that it holds, or
/// if it ends in one.
#[derive(Debug)]
struct Named {
    filters: Vec<FunctionFilter>,
    is_self: bool,
}

impl Weigh for Named {
    fn weigh(&self, tree: &StackTree) -> Option<Vec<u8>> {
        // The last one is for samples without a stack.
        let functions = || tree.names().iter().map(Some).chain([None]);
        let mut is_one = vec![true; tree.names().len() + 1];
        for filter in &self.filters {
            for (is_one, keep) in is_one.iter_mut().zip(filter.keep(functions()).ok()?) {
                *is_one &= keep;
            }
        }
        let mut weights = vec![0_u8; tree.len()];
        // One function alone is in a stack or not, wherever it stands there.
        let is_single = is_one.iter().filter(|is_one| **is_one).count() <= 1;
        for node in tree.nodes() {
            let (Some(parent), Some(name)) = (tree.parent(node), tree.function(node)) else {
                continue;
            };
            let (above, is_one) = (weights[parent.index()], is_one[name.index()]);
            weights[node.index()] = if self.is_self {
                u8::from(is_one)
            } else if is_single {
                above | u8::from(is_one)
            } else {
                above.checked_add(u8::from(is_one && tree.outermost()[node.index()]))?
            };
        }
        weights[NodeId::ROOT.index()] = u8::from(is_one[tree.names().len()]);
        Some(weights)
    }
}
