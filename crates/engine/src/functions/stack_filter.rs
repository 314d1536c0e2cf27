//! A condition on stacks, judged once for each stack of a tree and not once for each row.
//!
//! A stack is its parent's with one function more, so what a condition asks of it follows from the parent and that
//! function: one pass, parents first, over arrays of one byte a node. What is asked of a function is asked once for each
//! name. Conditions on `function` or on the depth alone are not translated but evaluated by DataFusion, over the names
//! or depths that there are, so that they mean the same whatever functions they use.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::{
        Column, DFSchema,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    execution::context::ExecutionProps,
    logical_expr::{
        BinaryExpr, Expr, Operator, ScalarUDF, Volatility, expr::ScalarFunction,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, create_physical_expr},
    scalar::ScalarValue,
};
use flamesql_profile::{NameId, Names, NodeId, StackTree};

use super::{
    matches::StackMatches,
    pattern::{Fits, Pattern},
    prune::{How, Prune},
    re,
    stack::{StackFunction, What},
};
use crate::{Error, ErrorKind, condition};

/// How deep conditions may be nested; chains of AND and of OR count once.
const MAX_DEPTH: usize = 64;
/// How many names are evaluated at once, and how much text.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 16 << 20;

/// A condition on the columns `stack` and `function` alone.
///
/// Two are equal if they are written in the same way.
#[derive(Clone, Debug)]
pub(crate) struct StackFilter {
    expr: Expr,
    term: Term,
}

/// SQL's truth, in an order in which AND is the least, OR the greatest, and NOT counts from the other end.
type Truth = u8;
const FALSE: Truth = 0;
const NULL: Truth = 1;
const TRUE: Truth = 2;

#[derive(Clone, Debug)]
enum Term {
    Constant(Truth),
    /// AND
    All(Vec<Self>),
    /// OR
    Any(Vec<Self>),
    Not(Box<Self>),
    /// `IS TRUE`, `IS FALSE` and `IS NULL`.
    Is(Truth, Box<Self>),
    Leaf(Leaf),
}

/// What is asked of a stack. Only [`Leaf::Over`] is ever NULL.
#[derive(Clone, Debug)]
enum Leaf {
    /// Has this function.
    Contains(String),
    /// Has a function that matches.
    HasMatch(re::Lazy),
    /// Has a function that does not match.
    HasOther(re::Lazy),
    /// Has a function.
    HasAny,
    Path(Pattern),
    Over(Subject, Arc<dyn PhysicalExpr>),
}

/// What an expression speaks about that DataFusion evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The function at the leaf: `function`, `stack[-1]`.
    Leaf,
    /// The function at the root: `stack[1]`.
    Root,
    /// `stack_depth(stack)`, `cardinality(stack)`.
    Depth,
}

impl StackFilter {
    /// The filter that a conjunct is, or `None` if it speaks of other columns or in a way that is not known here.
    ///
    /// Depends on nothing but the expression, which is to be simplified and with its types brought together, as
    /// DataFusion hands filters to a table.
    pub(crate) fn parse(expr: &Expr) -> Option<Self> {
        Some(Self { expr: expr.clone(), term: term(expr, 0)? })
    }

    /// For each node, by its index, whether its stack fulfils the condition; NULL does not.
    ///
    /// # Errors
    ///
    /// If the evaluation of an expression fails, such as a cast, for a stack that has a value.
    pub(crate) fn keep(&self, tree: &StackTree) -> Result<Vec<bool>, Error> {
        // A name may be in the tree only on the way to others: then there is no row for which an expression would be
        // evaluated, and it must not fail because of it.
        let truths = match self.term.judge(tree, &|_| true) {
            Err(_) => self.term.judge(tree, &|node| tree.value(node) != 0)?,
            Ok(truths) => truths,
        };
        Ok(truths.into_iter().map(|truth| truth == TRUE).collect())
    }

    /// As [`StackFilter::keep`], whatever has a value.
    ///
    /// # Errors
    ///
    /// If the evaluation fails for any stack.
    pub(crate) fn keep_of_all(&self, tree: &StackTree) -> Result<Vec<bool>, Error> {
        let truths = self.term.judge(tree, &|_| true)?;
        Ok(truths.into_iter().map(|truth| truth == TRUE).collect())
    }
}

/// A condition on the column `function` alone, where a row is not a stack: judged once for each name.
#[derive(Clone, Debug)]
pub(crate) struct FunctionFilter {
    expr: Expr,
    physical: Arc<dyn PhysicalExpr>,
}

impl FunctionFilter {
    /// As [`StackFilter::parse`].
    pub(crate) fn parse(expr: &Expr) -> Option<Self> {
        match Subject::Leaf.alone(expr)? {
            Leaf::Over(_, physical) => Some(Self { expr: expr.clone(), physical }),
            _ => None,
        }
    }

    /// For each function whether it fulfils the condition; NULL does not.
    ///
    /// # Errors
    ///
    /// If the evaluation of the expression fails for one of them.
    pub(crate) fn keep<'a>(
        &self,
        functions: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<bool>, Error> {
        let mut keep = Vec::new();
        let mut functions = functions.peekable();
        while functions.peek().is_some() {
            let (mut rows, mut n_bytes) = (Vec::new(), 0);
            while rows.len() < BATCH_ROWS
                && n_bytes < BATCH_BYTES
                && let Some(function) = functions.next()
            {
                n_bytes += function.map_or(0, str::len);
                rows.push(function);
            }
            let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(rows))];
            let truths = evaluate(&self.physical, Subject::Leaf, columns)?;
            keep.extend(truths.into_iter().map(|truth| truth == TRUE));
        }
        Ok(keep)
    }
}

impl PartialEq for FunctionFilter {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

/// As EXPLAIN prints it.
impl fmt::Display for FunctionFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl PartialEq for StackFilter {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

/// As EXPLAIN prints it.
impl fmt::Display for StackFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

// Reading.

fn term(expr: &Expr, depth: usize) -> Option<Term> {
    if depth > MAX_DEPTH {
        return None;
    }
    let of = |expr: &Expr| term(expr, depth + 1);
    let is = |truth, expr| Some(Term::Is(truth, Box::new(of(expr)?)));
    let not = |term| Some(Term::Not(Box::new(term)));
    for subject in [Subject::Leaf, Subject::Depth, Subject::Root] {
        if let Some(leaf) = subject.alone(expr) {
            return Some(Term::Leaf(leaf));
        }
    }
    match expr {
        Expr::Alias(alias) => of(&alias.expr),
        Expr::Literal(ScalarValue::Boolean(truth), _) => Some(Term::Constant(truth_of(*truth))),
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
            let terms: Option<Vec<Term>> =
                condition::operands(expr, *op).into_iter().map(of).collect();
            Some(if *op == Operator::And { Term::All(terms?) } else { Term::Any(terms?) })
        }
        Expr::Not(inner) => not(of(inner)?),
        Expr::IsNotNull(inner) if prune(inner).is_some() => not_null(inner),
        Expr::IsNull(inner) if prune(inner).is_some() => not(not_null(inner)?),
        Expr::IsNull(inner) | Expr::IsUnknown(inner) => is(NULL, inner),
        Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => not(is(NULL, inner)?),
        Expr::IsTrue(inner) => is(TRUE, inner),
        Expr::IsNotTrue(inner) => not(is(TRUE, inner)?),
        Expr::IsFalse(inner) => is(FALSE, inner),
        Expr::IsNotFalse(inner) => not(is(FALSE, inner)?),
        Expr::ScalarFunction(ScalarFunction { func, args }) => match args.as_slice() {
            [stack, argument] if is_stack(stack) => {
                let argument = text(argument)?;
                if is_a(func, What::Contains) || func.name() == "array_has" {
                    Some(Term::Leaf(Leaf::Contains(argument.to_owned())))
                } else if func.inner().is::<StackMatches>() {
                    Some(Term::Leaf(Leaf::Path(Pattern::parse(argument).ok()?)))
                } else {
                    None
                }
            }
            _ => None,
        },
        _ => None,
    }
}

fn truth_of(truth: Option<bool>) -> Truth {
    match truth {
        Some(true) => TRUE,
        Some(false) => FALSE,
        None => NULL,
    }
}

fn is_stack(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "stack")
}

fn is_a(func: &ScalarUDF, what: What) -> bool {
    func.inner().downcast_ref::<StackFunction>().is_some_and(|function| function.what() == what)
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// A call of `stack_focus` and its like: which, the stack, and the regex.
fn prune(expr: &Expr) -> Option<(How, &Expr, &str)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let how = func.inner().downcast_ref::<Prune>()?.how();
    match args.as_slice() {
        [stack, regex] => Some((how, stack, text(regex)?)),
        _ => None,
    }
}

/// Whether such a call is not NULL. Within it there may be others that leave the stack as it is.
fn not_null(expr: &Expr) -> Option<Term> {
    let mut terms = Vec::new();
    let mut at = expr;
    while !is_stack(at) {
        let (how, stack, text) = prune(at)?;
        let regex = re::Lazy::new(text).ok()?;
        match how {
            How::Focus => terms.push(Term::Leaf(Leaf::HasMatch(regex))),
            How::Ignore => {
                terms.push(Term::Leaf(Leaf::HasAny));
                terms.push(Term::Not(Box::new(Term::Leaf(Leaf::HasMatch(regex)))));
            }
            // What is around these would see another stack.
            How::ShowFrom if at == expr => terms.push(Term::Leaf(Leaf::HasMatch(regex))),
            How::Hide if at == expr => terms.push(Term::Leaf(Leaf::HasOther(regex))),
            How::ShowFrom | How::Hide => return None,
        }
        at = stack;
    }
    Some(Term::All(terms))
}

impl Subject {
    const NAME: &str = "function";
    const SIGNED: &str = "stack_depth";
    const UNSIGNED: &str = "cardinality";

    /// The columns over which an expression is evaluated that speaks about this alone.
    fn schema(self) -> SchemaRef {
        let field = |name, data_type| Field::new(name, data_type, true);
        Arc::new(Schema::new(match self {
            Self::Leaf | Self::Root => vec![field(Self::NAME, DataType::Utf8)],
            Self::Depth => {
                vec![field(Self::SIGNED, DataType::Int64), field(Self::UNSIGNED, DataType::UInt64)]
            }
        }))
    }

    /// The column that stands for an expression.
    fn column(self, expr: &Expr) -> Option<&'static str> {
        match (self, expr) {
            (Self::Leaf, Expr::Column(column)) if column.name == "function" => Some(Self::NAME),
            (_, Expr::ScalarFunction(ScalarFunction { func, args })) => {
                match (self, args.as_slice()) {
                    (Self::Depth, [stack]) if is_stack(stack) => match func.name() {
                        "cardinality" => Some(Self::UNSIGNED),
                        _ => is_a(func, What::Depth).then_some(Self::SIGNED),
                    },
                    (Self::Leaf | Self::Root, [stack, Expr::Literal(at, _)])
                        if is_stack(stack) && func.name() == "array_element" =>
                    {
                        let place = if self == Self::Root { 1 } else { -1 };
                        (*at == ScalarValue::Int64(Some(place))).then_some(Self::NAME)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The expression as a leaf, if it speaks about this and nothing else and is always the same.
    fn alone(self, expr: &Expr) -> Option<Leaf> {
        let (mut is_about, mut is_alone) = (false, true);
        let replaced = expr.clone().transform_down(|e| {
            if let Some(name) = self.column(&e) {
                is_about = true;
                let column = Expr::Column(Column::new_unqualified(name));
                return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
            }
            is_alone &= match &e {
                Expr::Column(_) => false,
                Expr::ScalarFunction(call) => {
                    call.func.signature().volatility == Volatility::Immutable
                }
                Expr::HigherOrderFunction(_) | Expr::ScalarVariable(..) => false,
                e => !condition::is_beyond(e),
            };
            let next = if is_alone { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop };
            Ok(Transformed::new(e, false, next))
        });
        let replaced = replaced.ok()?.data;
        if !is_about || !is_alone {
            return None;
        }
        let schema = self.schema();
        let df_schema = DFSchema::try_from(Arc::clone(&schema)).ok()?;
        let physical = create_physical_expr(
            &replaced,
            &df_schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        );
        let physical = physical.ok()?;
        (physical.data_type(&schema).ok()? == DataType::Boolean)
            .then_some(Leaf::Over(self, physical))
    }
}

// Judging.

/// Which stacks there is a row for.
type Asked<'a> = dyn Fn(NodeId) -> bool + 'a;

impl Term {
    /// The truth of each node's stack; that of those which are not `asked` about does not matter.
    fn judge(&self, tree: &StackTree, asked: &Asked<'_>) -> Result<Vec<Truth>, Error> {
        let joined = |terms: &[Self], none: Truth, join: fn(Truth, Truth) -> Truth| {
            let mut truths: Option<Vec<Truth>> = None;
            for term in terms {
                let next = term.judge(tree, asked)?;
                match &mut truths {
                    None => truths = Some(next),
                    Some(truths) => {
                        truths
                            .iter_mut()
                            .zip(next)
                            .for_each(|(truth, other)| *truth = join(*truth, other));
                    }
                }
            }
            Ok(truths.unwrap_or_else(|| vec![none; tree.len()]))
        };
        match self {
            Self::Constant(truth) => Ok(vec![*truth; tree.len()]),
            Self::All(terms) => joined(terms, TRUE, Truth::min),
            Self::Any(terms) => joined(terms, FALSE, Truth::max),
            Self::Not(term) => {
                let mut truths = term.judge(tree, asked)?;
                truths.iter_mut().for_each(|truth| *truth = TRUE - *truth);
                Ok(truths)
            }
            Self::Is(wanted, term) => {
                let mut truths = term.judge(tree, asked)?;
                truths
                    .iter_mut()
                    .for_each(|truth| *truth = if *truth == *wanted { TRUE } else { FALSE });
                Ok(truths)
            }
            Self::Leaf(leaf) => leaf.judge(tree, asked),
        }
    }
}

impl Leaf {
    fn judge(&self, tree: &StackTree, asked: &Asked<'_>) -> Result<Vec<Truth>, Error> {
        Ok(match self {
            Self::Contains(wanted) => match tree.names().find(wanted) {
                Some(wanted) => has(tree, |name| name == wanted),
                None => vec![FALSE; tree.len()],
            },
            Self::HasMatch(regex) => {
                let regex = regex.get()?;
                let mut known = Known::new(tree);
                has(tree, |name| known.get(name, |name| regex.is_match(name)))
            }
            Self::HasOther(regex) => {
                let regex = regex.get()?;
                let mut known = Known::new(tree);
                has(tree, |name| !known.get(name, |name| regex.is_match(name)))
            }
            Self::HasAny => has(tree, |_| true),
            Self::Path(pattern) => path(tree, pattern),
            Self::Over(subject, expr) => over(tree, *subject, expr, asked)?,
        })
    }
}

/// What is known of the names of a tree, each asked about once.
struct Known<'a, T> {
    names: &'a Names,
    answers: Vec<Option<T>>,
}

impl<'a, T: Copy> Known<'a, T> {
    fn new(tree: &'a StackTree) -> Self {
        Self { names: tree.names(), answers: vec![None; tree.names().len()] }
    }

    fn get(&mut self, name: NameId, ask: impl FnOnce(&str) -> T) -> T {
        *self.answers[name.index()].get_or_insert_with(|| ask(self.names.get(name)))
    }
}

/// All nodes but the root, parents first, with the parent and the last function.
fn steps(tree: &StackTree) -> impl Iterator<Item = (NodeId, NodeId, NameId)> + '_ {
    tree.nodes().filter_map(|node| Some((node, tree.parent(node)?, tree.function(node)?)))
}

/// Whether a stack has a function of a kind: its own last one, or one of its parent's.
fn has(tree: &StackTree, mut is: impl FnMut(NameId) -> bool) -> Vec<Truth> {
    let mut truths = vec![FALSE; tree.len()];
    for (node, parent, name) in steps(tree) {
        let is_there = truths[parent.index()] == TRUE || is(name);
        truths[node.index()] = if is_there { TRUE } else { FALSE };
    }
    truths
}

fn path(tree: &StackTree, pattern: &Pattern) -> Vec<Truth> {
    let mut known: Known<'_, Fits> = Known::new(tree);
    let mut states = vec![pattern.start(); tree.len()];
    for (node, parent, name) in steps(tree) {
        let fits = known.get(name, |name| pattern.fits(name));
        states[node.index()] = pattern.step_fitting(states[parent.index()], fits);
    }
    states.into_iter().map(|state| truth_of(Some(pattern.accepts(state)))).collect()
}

/// The truth of an expression that is evaluated over names or depths. Nodes that are not `asked` about are FALSE.
fn over(
    tree: &StackTree,
    subject: Subject,
    expr: &Arc<dyn PhysicalExpr>,
    asked: &Asked<'_>,
) -> Result<Vec<Truth>, Error> {
    // What each node is judged by: a name, or a depth; nothing for the empty stack, which has no function.
    let mut subjects: Vec<Option<u32>> = vec![None; tree.len()];
    let small = |idx: usize| u32::try_from(idx).ok();
    if subject == Subject::Depth {
        subjects[0] = Some(0);
    }
    for (node, parent, name) in steps(tree) {
        subjects[node.index()] = match (subject, subjects[parent.index()]) {
            (Subject::Leaf, _) => small(name.index()),
            (Subject::Root, of_parent) => of_parent.or_else(|| small(name.index())),
            (Subject::Depth, of_parent) => of_parent.map(|depth| depth + 1),
        };
    }
    let n_subjects = subjects.iter().flatten().max().map_or(0, |max| *max as usize + 1);
    // The last one is for nothing.
    let mut wanted = vec![false; n_subjects + 1];
    let place = |subject: Option<u32>| subject.map_or(n_subjects, |subject| subject as usize);
    for node in tree.nodes().filter(|node| asked(*node)) {
        wanted[place(subjects[node.index()])] = true;
    }
    let mut truths = vec![FALSE; n_subjects + 1];
    let mut wanted = wanted.iter().enumerate().filter_map(|(idx, wanted)| wanted.then_some(idx));
    let names: Vec<&str> = match subject {
        Subject::Depth => Vec::new(),
        Subject::Leaf | Subject::Root => tree.names().iter().collect(),
    };
    loop {
        let (mut rows, mut n_bytes) = (Vec::new(), 0);
        while rows.len() < BATCH_ROWS
            && n_bytes < BATCH_BYTES
            && let Some(idx) = wanted.next()
        {
            n_bytes += names.get(idx).filter(|_| idx < n_subjects).map_or(0, |name| name.len());
            rows.push(idx);
        }
        if rows.is_empty() {
            break;
        }
        let known = rows.iter().map(|idx| (*idx < n_subjects).then_some(*idx));
        let columns: Vec<ArrayRef> = match subject {
            Subject::Depth => vec![
                Arc::new(known.clone().map(|d| d.map(|d| d as i64)).collect::<Int64Array>()),
                Arc::new(known.map(|d| d.map(|d| d as u64)).collect::<UInt64Array>()),
            ],
            Subject::Leaf | Subject::Root => {
                vec![Arc::new(known.map(|name| Some(names[name?])).collect::<StringArray>())]
            }
        };
        for (idx, truth) in rows.iter().zip(evaluate(expr, subject, columns)?) {
            truths[*idx] = truth;
        }
    }
    Ok(subjects.into_iter().map(|subject| truths[place(subject)]).collect())
}

fn evaluate(
    expr: &Arc<dyn PhysicalExpr>,
    subject: Subject,
    columns: Vec<ArrayRef>,
) -> Result<Vec<Truth>, Error> {
    let internal = |what: String| Error::new(ErrorKind::Internal, what);
    let batch =
        RecordBatch::try_new(subject.schema(), columns).map_err(|e| internal(e.to_string()))?;
    let truths = expr.evaluate(&batch)?.into_array(batch.num_rows())?;
    let truths = truths
        .as_boolean_opt()
        .ok_or_else(|| internal(format!("the filter {expr} is not a truth value")))?;
    Ok(truths.iter().map(truth_of).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::ListBuilder;
    use arrow::array::StringBuilder;
    use datafusion::{
        optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext},
        prelude::SessionContext,
    };
    use flamesql_profile::StackTreeBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::schema;

    fn context() -> SessionContext {
        let context = SessionContext::new();
        super::super::scalar().into_iter().for_each(|function| context.register_udf(function));
        context
    }

    fn row_schema() -> Arc<Schema> {
        Arc::new(Schema::new(vec![
            Field::new("stack", schema::stack_type(), false),
            Field::new("function", DataType::Utf8, true),
            Field::new("pod", DataType::Utf8, true),
        ]))
    }

    /// A condition as DataFusion hands it to a table.
    fn handed(context: &SessionContext, sql: &str) -> Expr {
        let schema = Arc::new(DFSchema::try_from(row_schema()).unwrap());
        let expr = context.parse_sql_expr(sql, &schema).unwrap();
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder().with_schema(Arc::clone(&schema)).build(),
        );
        let expr = simplifier.coerce(expr, &schema).unwrap();
        simplifier.simplify(expr).unwrap()
    }

    fn tree(stacks: &[Vec<&'static str>]) -> StackTree {
        let mut builder = StackTreeBuilder::new();
        for stack in stacks {
            let ids: Vec<NameId> = stack.iter().map(|name| builder.intern(name)).collect();
            let node = builder.insert(&ids).unwrap();
            builder.add(node, 1).unwrap();
        }
        builder.finish()
    }

    /// The same by rows.
    fn by_rows(context: &SessionContext, expr: Expr, tree: &StackTree) -> Vec<bool> {
        let mut stacks = ListBuilder::new(StringBuilder::new()).with_field(schema::stack_item());
        let mut leaves = StringBuilder::new();
        for node in tree.nodes() {
            let path = tree.path(node);
            path.iter().for_each(|name| stacks.values().append_value(name));
            stacks.append(true);
            leaves.append_option(path.last());
        }
        let pods = StringArray::from(vec![None::<&str>; tree.len()]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(stacks.finish()), Arc::new(leaves.finish()), Arc::new(pods)];
        let batch = RecordBatch::try_new(row_schema(), columns).unwrap();
        let schema = DFSchema::try_from(row_schema()).unwrap();
        let physical = context.create_physical_expr(expr, &schema).unwrap();
        let truths = physical.evaluate(&batch).unwrap().into_array(tree.len()).unwrap();
        truths.as_boolean().iter().map(|truth| truth == Some(true)).collect()
    }

    fn condition() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "stack_contains(stack, 'a')",
            "stack_contains(stack, 'nowhere')",
            "array_has(stack, 'gc')",
            "stack_matches(stack, 'main;**;a*')",
            "stack_matches(stack, '**;b;*')",
            "stack_matches(stack, '*;*')",
            "stack_matches(stack, '**')",
            "stack_focus(stack, 'a|^g') IS NOT NULL",
            "stack_focus(stack, 'b$') IS NULL",
            "stack_ignore(stack, '^a$') IS NOT NULL",
            "stack_ignore(stack, 'main') IS NULL",
            "stack_hide(stack, 'main|a') IS NOT NULL",
            "stack_show_from(stack, 'b') IS NOT NULL",
            "stack_focus(stack_ignore(stack, 'gc'), 'a') IS NOT NULL",
            "stack_hide(stack_focus(stack, 'a'), 'b|a') IS NULL",
            "stack_depth(stack) > 2",
            "cardinality(stack) <= 1",
            "cardinality(stack) = stack_depth(stack)",
            "stack_depth(stack) % 2 = 1",
            "stack_depth(stack) BETWEEN 1 AND 3",
            "stack_depth(stack) IN (0, 2, 4)",
            "stack[1] = 'main'",
            "stack[-1] LIKE 'g%'",
            "function = 'a'",
            "function <> 'a'",
            "function LIKE '%a%'",
            "function IS NULL",
            "upper(function) IN ('A', 'B', 'MAIN', 'X')",
            "function ~ '[ab]'",
            "length(function) > 1",
            "true",
        ]);
        let leaf = leaf.prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
                inner.clone().prop_map(|a| format!("NOT ({a})")),
                inner.clone().prop_map(|a| format!("({a}) IS NULL")),
                inner.clone().prop_map(|a| format!("({a}) IS NOT NULL")),
                inner.clone().prop_map(|a| format!("({a}) IS TRUE")),
                inner.clone().prop_map(|a| format!("({a}) IS NOT TRUE")),
                inner.clone().prop_map(|a| format!("({a}) IS FALSE")),
                inner.prop_map(|a| format!("({a}) IS NOT FALSE")),
            ]
        })
    }

    proptest! {
        #[test]
        fn trees_are_judged_as_rows_are(
            stacks in prop::collection::vec(
                prop::collection::vec(
                    prop::sample::select(vec!["main", "a", "b", "gc", "", "größe"]), 0..6), 0..12),
            sql in condition(),
        ) {
            let (context, tree) = (context(), tree(&stacks));
            let expr = handed(&context, &sql);
            let filter = StackFilter::parse(&expr).expect(&sql);
            prop_assert_eq!(filter.keep(&tree).unwrap(), by_rows(&context, expr, &tree), "{}", sql);
        }
    }

    #[test]
    fn other_conditions_are_not_taken() {
        let context = context();
        for sql in [
            "pod = 'a'",
            "function = pod",
            "stack_contains(stack, function)",
            "stack_contains(stack, pod)",
            "stack_contains(stack_hide(stack, 'a'), 'b')",
            "stack_focus(stack_hide(stack, 'a'), 'b') IS NOT NULL",
            "stack_text(stack) = 'a;b'",
            "stack_depth(stack) > length(function)",
            "stack[2] = 'a'",
            "function = 'a' AND random() < 0.5",
            "random() < length(function)",
            "in_span('a')",
            "stack_contains(stack, 'a') = (function = 'b')",
        ] {
            let expr = handed(&context, sql);
            assert_eq!(StackFilter::parse(&expr), None, "{sql}");
        }
        // What cannot be taken in part is not taken at all.
        assert_eq!(
            StackFilter::parse(&handed(&context, "stack_contains(stack, 'a') OR pod = 'b'")),
            None
        );
    }

    #[test]
    fn names_without_a_row_are_not_cast() {
        let (context, tree) = (context(), tree(&[vec!["main", "7"], vec!["main", "8"]]));
        let keep = |sql| {
            let filter = StackFilter::parse(&handed(&context, sql)).unwrap();
            filter.keep(&tree)
        };
        assert_eq!(keep("CAST(function AS BIGINT) > 7").unwrap(), [false, false, false, true]);
        assert!(keep("CAST(concat(function, 'x') AS BIGINT) > 7").is_err());
    }

    #[test]
    fn long_chains_are_no_deep_ones() {
        let context = context();
        let expr = handed(&context, "stack_contains(stack, 'a')");
        let chain = (0..200).fold(expr.clone(), |chain, _| chain.or(expr.clone()));
        let filter = StackFilter::parse(&chain).unwrap();
        assert_eq!(filter.keep(&tree(&[vec!["a"]])).unwrap(), [false, true]);
        let nested = (0..100).fold(expr, |nested, _| Expr::IsTrue(Box::new(nested)));
        assert_eq!(StackFilter::parse(&nested), None);
    }

    #[test]
    fn it_prints_as_the_condition() {
        let filter = handed(&context(), "stack_contains(stack, 'a') AND function = 'b'");
        let filter = StackFilter::parse(&filter).unwrap();
        assert_eq!(
            filter.to_string(),
            "stack_contains(stack, Utf8(\"a\")) AND function = Utf8(\"b\")"
        );
    }
}
