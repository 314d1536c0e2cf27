//! Limits to what a statement may be, before anything looks at it that goes as deep as it does.
//!
//! There are three: of the text, before it is parsed; of the tables that it comes to, since what is named in WITH stands
//! for itself wherever it is read; and of the expressions that it comes to, since a planner puts those of SELECTs on each
//! other into one. A few lines come to more than there is memory where each reads the one before it twice.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::{
    common::{
        DFSchema, Result as DataFusionResult,
        tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor},
    },
    logical_expr::{Expr, JoinType, LogicalPlan, Operator, utils::grouping_set_to_exprlist},
    sql::{
        parser::Statement,
        sqlparser::{
            ast::{Expr as SqlExpr, GroupByExpr, Ident, ObjectName, Query, Select, Visit, Visitor},
            dialect::GenericDialect,
            keywords::Keyword,
            tokenizer::{Token, Tokenizer},
        },
    },
};

use crate::{Error, ErrorKind, condition::operands, trace::MAX_PARTS};

/// How long a statement may be.
const MAX_BYTES: usize = 1 << 20;
/// How many operators may follow each other between two commas or parentheses: each is a level of the tree that it is
/// parsed to, and of the stack on which that is evaluated. Nested parentheses the parser limits by itself.
const MAX_CHAIN: usize = 400;

/// How many SELECTs a statement may have.
const MAX_SELECTS: usize = 150;
/// How many tables a statement may read: what is named in WITH is read each time that it is named.
const MAX_TABLES: usize = 256;
/// How many sets of keys a SELECT may group by: CUBE of n keys is 2^n of them, and each is planned by itself.
const MAX_SETS: usize = 4096;
/// How many levels an expression may have when those of all SELECTs below are put into it.
const MAX_DEPTH: usize = 400;

/// Refuses statements that no planner could take.
pub(crate) fn check(sql: &str) -> Result<(), Error> {
    if sql.len() > MAX_BYTES {
        let what =
            format!("the statement has {} bytes, more than the limit of {MAX_BYTES}", sql.len());
        return Err(Error::new(ErrorKind::Syntax, what)
            .with_hint("ask for less at once, or by a condition such as a regex (~)"));
    }
    // What is no token is the parser's to say.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    // For each open parenthesis how many links there were: those of the last condition, and those between conditions.
    let mut open: Vec<(usize, usize)> = vec![(0, 0)];
    let mut n_selects = 0;
    for token in tokens {
        let chain = match &token {
            Token::LParen | Token::LBracket => {
                // A subscript is a level deeper as well.
                let (inside, _) = open.last_mut().expect("one is always open");
                *inside += usize::from(token == Token::LBracket);
                let is_too_long = *inside > MAX_CHAIN;
                open.push((0, 0));
                if is_too_long {
                    return Err(too_long());
                }
                continue;
            }
            Token::RParen | Token::RBracket => {
                open.pop();
                if open.is_empty() {
                    open.push((0, 0));
                }
                continue;
            }
            Token::Comma | Token::SemiColon => {
                *open.last_mut().expect("one is always open") = (0, 0);
                continue;
            }
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period => continue,
            Token::Word(word) if word.keyword == Keyword::SELECT => {
                n_selects += 1;
                if n_selects > MAX_SELECTS {
                    let what = format!("the statement has more than {MAX_SELECTS} SELECTs");
                    return Err(Error::new(ErrorKind::Syntax, what));
                }
                continue;
            }
            Token::Word(word)
                if matches!(word.keyword, Keyword::WHEN | Keyword::THEN | Keyword::ELSE) =>
            {
                open.last_mut().expect("one is always open").0 = 0;
                continue;
            }
            Token::Word(word) if matches!(word.keyword, Keyword::AND | Keyword::OR) => {
                let (inside, between) = open.last_mut().expect("one is always open");
                *inside = 0;
                between
            }
            Token::Word(word) if !is_link(word.keyword) => continue,
            _ => &mut open.last_mut().expect("one is always open").0,
        };
        *chain += 1;
        if *chain > MAX_CHAIN {
            return Err(too_long());
        }
    }
    Ok(())
}

/// Refuses statements that come to too many tables or sets of keys.
pub(crate) fn check_tables(statement: &Statement) -> Result<(), Error> {
    let mut statement = statement;
    while let Statement::Explain(explain) = statement {
        statement = &explain.statement;
    }
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let mut tables = Tables { open: vec![Scope::default()] };
    match statement.visit(&mut tables) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Counts tables.
struct Tables {
    /// The queries that are being looked at, the innermost last.
    open: Vec<Scope>,
}

#[derive(Default)]
struct Scope {
    n_tables: usize,
    /// How many tables each name comes to.
    named: HashMap<String, usize>,
    /// The queries that are named, by where they stand in memory.
    names: Vec<(*const Query, String)>,
}

impl Visitor for Tables {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let GroupByExpr::Expressions(keys, _) = &select.group_by else {
            return ControlFlow::Continue(());
        };
        let n_sets = keys.iter().map(n_sets).fold(1, usize::saturating_mul);
        if n_sets <= MAX_SETS {
            return ControlFlow::Continue(());
        }
        let n_sets = match n_sets {
            usize::MAX => "more sets of keys than can be counted".to_owned(),
            n => format!("{n} sets of keys"),
        };
        let what = format!("GROUP BY comes to {n_sets}, more than the limit of {MAX_SETS}");
        ControlFlow::Break(
            Error::new(ErrorKind::Syntax, what)
                .with_hint("write those that are wanted: GROUP BY GROUPING SETS ((a, b), (a), ())"),
        )
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = with.map(|cte| (std::ptr::from_ref(cte.query.as_ref()), name(&cte.alias.name)));
        self.open.push(Scope { names: names.collect(), ..Scope::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let (Some(done), Some(outer)) = (self.open.pop(), self.open.last_mut()) else {
            return ControlFlow::Continue(());
        };
        match outer.names.iter().find(|(named, _)| std::ptr::eq(*named, query)) {
            // It counts where its name stands.
            Some((_, name)) => drop(outer.named.insert(name.clone(), done.n_tables)),
            None => outer.n_tables += done.n_tables,
        }
        match done.n_tables.max(outer.n_tables) > MAX_TABLES {
            true => {
                let what = format!("the statement comes to more than {MAX_TABLES} tables");
                ControlFlow::Break(
                    Error::new(ErrorKind::Syntax, what)
                        .with_hint("what is named in WITH counts each time that it is named"),
                )
            }
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let named = match relation.0.as_slice() {
            [part] => part.as_ident().map(name).and_then(|name| {
                self.open.iter().rev().find_map(|scope| scope.named.get(&name).copied())
            }),
            _ => None,
        };
        if let Some(scope) = self.open.last_mut() {
            scope.n_tables += named.unwrap_or(1).max(1);
        }
        ControlFlow::Continue(())
    }
}

/// How many sets of keys one item of GROUP BY comes to.
fn n_sets(key: &SqlExpr) -> usize {
    match key {
        SqlExpr::Nested(inner) => n_sets(inner),
        SqlExpr::Rollup(keys) => keys.len() + 1,
        SqlExpr::Cube(keys) => u32::try_from(keys.len())
            .ok()
            .and_then(|n| 1_usize.checked_shl(n))
            .unwrap_or(usize::MAX),
        SqlExpr::GroupingSets(sets) => {
            let of_set = |set: &Vec<SqlExpr>| set.iter().map(n_sets).fold(1, usize::saturating_mul);
            sets.iter().map(of_set).fold(0, usize::saturating_add)
        }
        _ => 1,
    }
}

/// A name as SQL compares it.
fn name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Refuses plans whose expressions come to too much when they are put into each other.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), Error> {
    let mut extents = Extents { done: Vec::new(), refused: None };
    plan.visit(&mut extents)?;
    extents.refused.map_or(Ok(()), Err)
}

/// What an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    /// How many parts, literals aside.
    n_parts: usize,
    depth: usize,
}

const COLUMN: Extent = Extent { n_parts: 1, depth: 1 };

/// Measures the columns of each node of a plan.
struct Extents {
    /// Of nodes whose output is still to be looked at: the columns, and how many conditions may come together.
    done: Vec<(Vec<Extent>, usize)>,
    refused: Option<Error>,
}

impl<'n> TreeNodeVisitor<'n> for Extents {
    type Node = LogicalPlan;

    fn f_up(&mut self, plan: &'n LogicalPlan) -> DataFusionResult<TreeNodeRecursion> {
        let inputs = self.done.split_off(self.done.len() - plan.inputs().len());
        plan.apply_subqueries(|subquery| {
            self.refused = self.refused.take().or(check_plan(subquery).err());
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut n_conditions: usize = inputs.iter().map(|(_, n)| n).sum();
        let columns = inputs.iter().map(|(columns, _)| columns.as_slice());
        let known: Vec<(&DFSchema, &[Extent])> =
            plan.inputs().into_iter().map(|input| input.schema().as_ref()).zip(columns).collect();
        let of = |expr: &Expr| extent(expr, &known);
        let below = || known.iter().flat_map(|(_, columns)| columns.iter().copied());
        let mut conditions: Vec<&Expr> = Vec::new();
        let columns: Vec<Extent> = match plan {
            LogicalPlan::Projection(projection) => {
                projection.expr.iter().map(of).collect::<DataFusionResult<_>>()?
            }
            LogicalPlan::Aggregate(aggregate) => {
                let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
                let mut columns: Vec<Extent> =
                    keys.into_iter().map(of).collect::<DataFusionResult<_>>()?;
                let n_ids =
                    plan.schema().fields().len() - columns.len() - aggregate.aggr_expr.len();
                columns.extend((0..n_ids).map(|_| COLUMN));
                for expr in &aggregate.aggr_expr {
                    columns.push(Extent { n_parts: 1, ..of(expr)? });
                }
                columns
            }
            LogicalPlan::Window(window) => {
                let mut columns: Vec<Extent> = below().collect();
                for expr in &window.window_expr {
                    columns.push(Extent { n_parts: 1, ..of(expr)? });
                }
                columns
            }
            LogicalPlan::Union(_) => {
                let n = plan.schema().fields().len();
                let of_all = |idx: usize| {
                    let extents = inputs.iter().filter_map(|(columns, _)| columns.get(idx));
                    extents.copied().fold(COLUMN, Extent::max)
                };
                (0..n).map(of_all).collect()
            }
            LogicalPlan::Join(join) => {
                conditions.extend(join.on.iter().flat_map(|(left, right)| [left, right]));
                conditions.extend(&join.filter);
                let n_left = join.left.schema().fields().len();
                match join.join_type {
                    JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                        below().skip(n_left).collect()
                    }
                    _ => below().collect(),
                }
            }
            LogicalPlan::Filter(filter) => {
                conditions.push(&filter.predicate);
                below().collect()
            }
            _ => below().collect(),
        };
        let mut deepest = columns.iter().map(|column| column.depth).max().unwrap_or(1);
        for condition in conditions {
            let Extent { n_parts, depth } = of(condition)?;
            n_conditions += operands(condition, Operator::And).len();
            deepest = deepest.max(depth);
            if n_parts > MAX_PARTS {
                let what = format!(
                    "a condition comes to more than {MAX_PARTS} columns and operators when what it speaks of is put into it"
                );
                self.refuse(what);
            }
        }
        if deepest.max(n_conditions) > MAX_DEPTH {
            let what = format!(
                "the statement comes to an expression of more than {MAX_DEPTH} levels when its SELECTs are put into each other"
            );
            self.refuse(what);
        }
        let mut columns = columns;
        columns.resize(plan.schema().fields().len(), COLUMN);
        self.done.push((columns, n_conditions));
        Ok(match self.refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    }
}

impl Extents {
    fn refuse(&mut self, what: String) {
        let error = Error::new(ErrorKind::Syntax, what)
            .with_hint("compute less from one SELECT to the next, or add up on the way");
        self.refused.get_or_insert(error);
    }
}

impl Extent {
    fn max(self, other: Self) -> Self {
        Self { n_parts: self.n_parts.max(other.n_parts), depth: self.depth.max(other.depth) }
    }
}

/// What an expression comes to if its columns come to so much.
fn extent(expr: &Expr, known: &[(&DFSchema, &[Extent])]) -> DataFusionResult<Extent> {
    struct Measure<'a> {
        known: &'a [(&'a DFSchema, &'a [Extent])],
        depth: usize,
        found: Extent,
    }

    impl<'n> TreeNodeVisitor<'n> for Measure<'_> {
        type Node = Expr;

        fn f_down(&mut self, expr: &'n Expr) -> DataFusionResult<TreeNodeRecursion> {
            let own = match expr {
                Expr::Column(column) => {
                    let mut of_inputs = self.known.iter().filter_map(|(schema, columns)| {
                        columns.get(schema.maybe_index_of_column(column)?)
                    });
                    of_inputs.next().copied().unwrap_or(COLUMN)
                }
                Expr::Literal(..) => Extent { n_parts: 0, depth: 1 },
                _ => COLUMN,
            };
            self.found = Extent {
                n_parts: self.found.n_parts.saturating_add(own.n_parts),
                depth: self.found.depth.max(self.depth + own.depth),
            };
            self.depth += usize::from(!matches!(expr, Expr::Alias(_)));
            Ok(TreeNodeRecursion::Continue)
        }

        fn f_up(&mut self, expr: &'n Expr) -> DataFusionResult<TreeNodeRecursion> {
            self.depth -= usize::from(!matches!(expr, Expr::Alias(_)));
            Ok(TreeNodeRecursion::Continue)
        }
    }

    let found = Extent { n_parts: 0, depth: 0 };
    let mut measure = Measure { known, depth: 0, found };
    expr.visit(&mut measure)?;
    Ok(measure.found)
}

fn too_long() -> Error {
    let what =
        format!("the statement has an expression of more than {MAX_CHAIN} operators in a row");
    Error::new(ErrorKind::Syntax, what).with_hint("write IN (...) for many values, or a regex (~)")
}

/// Whether a word makes the tree one level deeper.
fn is_link(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::NOT
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::BETWEEN
            | Keyword::IN
            | Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::JOIN
            | Keyword::COLLATE
            | Keyword::AT
    )
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn chains_are_limited_and_lists_are_not() {
        let list = vec!["'x'"; 50_000].join(", ");
        assert!(check(&format!("SELECT 1 WHERE a IN ({list}) AND b = 1")).is_ok());
        let chain = |n: usize, link: &str| format!("SELECT {}", vec!["1"; n].join(link));
        assert!(check(&chain(300, " OR ")).is_ok());
        assert!(
            check(&format!("SELECT ({}), {}", &chain(300, "+")[7..], &chain(300, "+")[7..]))
                .is_ok()
        );
        let deep = format!("SELECT a{}", "[1]".repeat(5000));
        assert!(check(&deep).unwrap_err().to_string().contains("in a row"));
        assert!(
            check(&chain(200, " UNION ALL SELECT ")).unwrap_err().to_string().contains("SELECTs")
        );
        for link in [" OR ", "+", " = ", "::int::", " IS NULL AND "] {
            let error = check(&chain(5000, link)).unwrap_err();
            assert!(error.to_string().contains("in a row"), "{link}: {error}");
        }
        assert!(check(&"x".repeat(2 << 20)).unwrap_err().to_string().contains("bytes"));
    }
}
