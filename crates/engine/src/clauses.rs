//! Refusing what DataFusion parses and then passes over.
//!
//! Its parser takes clauses of many dialects, and its planner looks at those that it knows; of some others it says so, and
//! the rest it forgets: `PREWHERE pod = 'a'` would answer for all pods. Each of those is refused here by its name, with what
//! to write instead, before a statement is planned. What is listed was read in the planner of DataFusion 55 (`query.rs`,
//! `select.rs`, `cte.rs`, `relation/` and `expr/function.rs` of `datafusion-sql`); hints that change no answer, such as
//! comments to an optimizer, MATERIALIZED or DISTRIBUTE BY, stay.

use std::{fmt, ops::ControlFlow};

use datafusion::sql::{
    parser::{CopyToSource, Statement},
    sqlparser::ast::{
        Distinct, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArguments, GroupByExpr,
        GroupByWithModifier, LimitClause, NamedWindowExpr, OrderByKind, OrderByOptions,
        PipeOperator, Query, Select, SelectFlavor, SetExpr, SetOperator, TableAlias, TableFactor,
        Value, Visit, Visitor, WindowSpec, WindowType, visit_expressions,
    },
};

use crate::{Error, ErrorKind};

/// What a function looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// At one row.
    Row,
    /// At the rows of a window, one by one.
    Window,
    /// At a set of rows, or there is no such function.
    Set,
}

/// Refuses a statement with a clause that would be passed over, wherever in it.
pub(crate) fn check(statement: &Statement, looks: &dyn Fn(&str) -> Looks) -> Result<(), Error> {
    let mut clauses = Clauses { looks };
    let found = match statement {
        Statement::Explain(explain) => return check(&explain.statement, looks),
        Statement::Statement(statement) => statement.visit(&mut clauses),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(&mut clauses),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
    match found {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

type Found = ControlFlow<Error>;

const NOTHING: Found = ControlFlow::Continue(());

/// Refuses what `clause` is the name of if it is there.
fn refuse(is_there: bool, clause: impl fmt::Display, instead: &str) -> Found {
    if !is_there {
        return NOTHING;
    }
    let what = format!("{clause} is not supported");
    ControlFlow::Break(Error::new(ErrorKind::Syntax, what).with_hint(instead))
}

struct Clauses<'a> {
    looks: &'a dyn Fn(&str) -> Looks,
}

impl Visitor for Clauses<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        if let Some(lock) = query.locks.first() {
            refuse(true, lock, "leave it out: nothing is changed here, so nothing needs a lock")?;
        }
        if let Some(clause) = &query.for_clause {
            refuse(true, clause, "leave it out, and choose a format where the answer is written")?;
        }
        refuse(
            query.settings.is_some(),
            "SETTINGS",
            "write a statement SET name = value before it",
        )?;
        let instead = "leave it out, and choose a format where the answer is written";
        refuse(query.format_clause.is_some(), "FORMAT", instead)?;
        refuse(query.fetch.is_some(), "FETCH", "write LIMIT n")?;
        let has_by = matches!(&query.limit_clause,
            Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty());
        let instead = "number the rows: QUALIFY row_number() OVER (PARTITION BY ...) <= n";
        refuse(has_by, "LIMIT BY", instead)?;
        if let Some(order_by) = &query.order_by {
            let is_all = matches!(order_by.kind, OrderByKind::All(_));
            let is_select = matches!(query.body.as_ref(), SetExpr::Select(_));
            let instead = "write the columns, such as ORDER BY 1, 2";
            refuse(
                is_all && !is_select,
                "ORDER BY ALL behind UNION, EXCEPT, INTERSECT or VALUES",
                instead,
            )?;
            named_windows("ORDER BY", order_by)?;
        }
        for operator in &query.pipe_operators {
            if let PipeOperator::Aggregate { full_table_exprs, group_by_expr } = operator {
                let is_ordered = |order: OrderByOptions| order != OrderByOptions::default();
                let mut all = full_table_exprs.iter().chain(group_by_expr);
                let instead = "write |> ORDER BY behind it";
                refuse(
                    all.any(|expr| is_ordered(expr.order_by)),
                    "the order within |> AGGREGATE",
                    instead,
                )?;
            }
        }
        for cte in query.with.iter().filter(|with| with.recursive).flat_map(|with| &with.cte_tables)
        {
            recursive(&cte.query)?;
        }
        NOTHING
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        refuse(select.prewhere.is_some(), "PREWHERE", "write its condition in WHERE")?;
        refuse(!select.connect_by.is_empty(), "START WITH and CONNECT BY", "write WITH RECURSIVE")?;
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) =
            &select.group_by;
        if let Some(modifier) = modifiers.first() {
            let instead = match modifier {
                GroupByWithModifier::Rollup => "write GROUP BY ROLLUP(a, b)",
                GroupByWithModifier::Cube => "write GROUP BY CUBE(a, b)",
                GroupByWithModifier::Totals => {
                    "write GROUP BY GROUPING SETS ((a, b), ()): the last is the total"
                }
                GroupByWithModifier::GroupingSets(_) => {
                    "write the sets alone: GROUP BY GROUPING SETS ((a), (b))"
                }
            };
            refuse(true, format_args!("{modifier} behind GROUP BY"), instead)?;
        }
        if let Some(mode) = &select.value_table_mode {
            refuse(true, format_args!("SELECT {mode}"), "select the columns")?;
        }
        let modifiers =
            select.select_modifiers.as_ref().map(ToString::to_string).unwrap_or_default();
        refuse(!modifiers.trim().is_empty(), modifiers.trim(), "leave it out")?;
        let instead = "write SELECT * EXCLUDE (a, b)";
        refuse(select.exclude.is_some(), "EXCLUDE behind columns", instead)?;
        let is_bare = select.flavor == SelectFlavor::FromFirstNoSelect;
        refuse(is_bare, "FROM without SELECT", "write SELECT * FROM ...")?;
        refuse(select.top.is_some(), "TOP", "write LIMIT n at the end")?;
        refuse(!select.lateral_views.is_empty(), "LATERAL VIEW", "write unnest(...) in SELECT")?;
        let instead = "write ORDER BY at the end";
        refuse(!select.sort_by.is_empty(), "SORT BY", instead)?;
        refuse(!select.cluster_by.is_empty(), "CLUSTER BY", instead)?;
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &window.1 {
                window_of_a_window(spec)?;
            }
        }
        if let Some(qualify) = &select.qualify {
            named_windows("QUALIFY", qualify)?;
        }
        if let Some(Distinct::On(keys)) = &select.distinct {
            named_windows("DISTINCT ON", keys)?;
        }
        NOTHING
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> Found {
        const NO_SAMPLE: &str = "choose rows in WHERE, or as many as you want by LIMIT";
        let alias = match table {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                refuse(sample.is_some(), format_args!("TABLESAMPLE of {name}"), NO_SAMPLE)?;
                let instead = "choose rows in WHERE";
                refuse(!partitions.is_empty(), format_args!("PARTITION of {name}"), instead)?;
                let is_hinted = !with_hints.is_empty() || !index_hints.is_empty();
                refuse(is_hinted, format_args!("a hint for {name}"), "leave it out")?;
                if let Some(version) = version {
                    let instead = "choose times in WHERE: time < TIMESTAMP '...'";
                    refuse(true, format_args!("{version} of {name}"), instead)?;
                }
                ordinality(*with_ordinality)?;
                let instead = "take parts of columns in SELECT";
                refuse(json_path.is_some(), format_args!("a path behind {name}"), instead)?;
                let has_settings = args.as_ref().is_some_and(|args| args.settings.is_some());
                refuse(has_settings, "SETTINGS", "write a statement SET name = value before it")?;
                alias
            }
            TableFactor::Derived { alias, sample, .. } => {
                refuse(sample.is_some(), "TABLESAMPLE of a subquery", NO_SAMPLE)?;
                alias
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                ordinality(*with_ordinality)?;
                let is_named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
                let clause = format_args!("naming the arguments of {name}").to_string();
                refuse(args.iter().any(is_named), clause, "write them in their order")?;
                alias
            }
            TableFactor::UNNEST { with_ordinality, with_offset, alias, .. } => {
                ordinality(*with_ordinality || *with_offset)?;
                alias
            }
            TableFactor::NestedJoin { alias, .. } => alias,
            _ => return NOTHING,
        };
        named_place(alias.as_ref())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Found {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                let is_number = |expr: &Expr| match expr {
                    Expr::Value(value) => matches!(value.value, Value::Number(..)),
                    _ => false,
                };
                let is_there = sets.iter().flatten().any(is_number);
                let clause = "a number of a column in ROLLUP, CUBE or GROUPING SETS";
                refuse(is_there, clause, "write the column, or its name")
            }
            Expr::Trim { trim_characters: Some(characters), .. } => {
                let instead = "write them as one text: trim(x, 'abc')";
                refuse(characters.len() > 1, "trim with several texts", instead)
            }
            _ => NOTHING,
        }
    }
}

impl Clauses<'_> {
    fn function(&self, function: &Function) -> Found {
        let Function { name, parameters, args, filter, null_treatment, over, within_group, .. } =
            function;
        let is_parametric = !matches!(parameters, FunctionArguments::None);
        let instead = "write them as arguments, such as approx_percentile_cont(value, 0.9)";
        refuse(is_parametric, format_args!("{name} with two lists of arguments"), instead)?;
        if let Some(WindowType::WindowSpec(spec)) = over {
            window_of_a_window(spec)?;
        }
        let called = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| match ident.quote_style {
                Some(_) => ident.value.clone(),
                None => ident.value.to_lowercase(),
            }),
            _ => None,
        };
        let looks = match called.as_deref() {
            Some("unnest" | "unnest_outer") => Looks::Row,
            Some(name) => (self.looks)(name),
            None => Looks::Set,
        };
        let (treatment, clauses) = match args {
            FunctionArguments::List(list) => {
                let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                (is_distinct, !list.clauses.is_empty())
            }
            _ => (false, false),
        };
        if looks == Looks::Window && over.is_some() {
            let instead = "leave it out, or take it of a subquery with SELECT DISTINCT";
            return refuse(treatment, format_args!("DISTINCT of {name} OVER a window"), instead);
        }
        if looks != Looks::Row {
            return NOTHING;
        }
        let alone = [
            (filter.is_some(), "FILTER", "write CASE WHEN ... THEN ... END"),
            (over.is_some(), "OVER", "leave it out: a row has its own value"),
            (treatment, "DISTINCT", "leave it out, or write SELECT DISTINCT"),
            (clauses, "ORDER BY", "leave it out: there is one row to look at"),
            (
                null_treatment.is_some(),
                "IGNORE or RESPECT NULLS",
                "write coalesce(...) or IS NOT NULL",
            ),
            (!within_group.is_empty(), "WITHIN GROUP", "leave it out: there is one row to look at"),
        ];
        for (is_there, clause, instead) in alone {
            refuse(is_there, format_args!("{clause} of {name}, which is no aggregate,"), instead)?;
        }
        NOTHING
    }
}

/// What is around the two SELECTs of a recursive query is forgotten: its end above all.
fn recursive(query: &Query) -> Found {
    let is_union =
        matches!(query.body.as_ref(), SetExpr::SetOperation { op: SetOperator::Union, .. });
    let Query { with, order_by, limit_clause, fetch, pipe_operators, .. } = query;
    let around = [
        (order_by.is_some(), "ORDER BY"),
        (limit_clause.is_some() || fetch.is_some(), "LIMIT"),
        (with.is_some(), "WITH"),
        (!pipe_operators.is_empty(), "|>"),
    ];
    for (is_there, clause) in around {
        let clause = format_args!("{clause} of a UNION in WITH RECURSIVE").to_string();
        let instead =
            "put the UNION into a SELECT of its own, or the clause into the SELECT that reads it";
        refuse(is_there && is_union, clause, instead)?;
    }
    NOTHING
}

fn ordinality(is_there: bool) -> Found {
    let instead = "number the rows by row_number() OVER (...)";
    refuse(is_there, "WITH ORDINALITY or OFFSET", instead)
}

/// `AS row AT place`.
fn named_place(alias: Option<&TableAlias>) -> Found {
    let is_there = alias.is_some_and(|alias| alias.at.is_some());
    refuse(is_there, "AT behind a table", "number the rows by row_number() OVER (...)")
}

fn window_of_a_window(spec: &WindowSpec) -> Found {
    let instead = "write all of the window: OVER (PARTITION BY ... ORDER BY ...)";
    refuse(spec.window_name.is_some(), "a window made of a named one", instead)
}

/// Names of windows are known in what is selected, and forgotten elsewhere: the function would add up all rows.
fn named_windows(clause: &str, exprs: &impl Visit) -> Found {
    visit_expressions(exprs, |expr| {
        let is_there =
            matches!(expr, Expr::Function(Function { over: Some(WindowType::NamedWindow(_)), .. }));
        let instead = "select it with a name, or write OVER (...) there";
        refuse(is_there, format_args!("OVER with the name of a window in {clause}"), instead)
    })
}
