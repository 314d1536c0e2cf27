//! Why a scan reads R's own rows, in words for EXPLAIN.

use std::fmt;

use datafusion::{
    common::{
        Column,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator},
    sql::unparser::{Unparser, dialect::Dialect},
};

/// Why what stands above a scan needs R's own rows, and what to write instead where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    reason: String,
    rewrite: Option<String>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.rewrite {
            Some(rewrite) => write!(f, " (write {rewrite})"),
            None => Ok(()),
        }
    }
}

impl Why {
    fn new(reason: String) -> Self {
        Self { reason, rewrite: None }
    }

    fn write(mut self, rewrite: impl Into<String>) -> Self {
        self.rewrite = Some(rewrite.into());
        self
    }

    /// An aggregate that is none of those that add up.
    pub(crate) fn aggregate(expr: &Expr) -> Self {
        Self::new(format!("{} looks at single rows", text(expr)))
    }

    /// A measure that is not added up as it stands.
    pub(crate) fn computed(function: &str, measure: &Expr) -> Self {
        let shown = text(measure);
        let inner = shown.strip_prefix('(').and_then(|shown| shown.strip_suffix(')'));
        let shown = inner.filter(|_| matches!(measure, Expr::BinaryExpr(_))).unwrap_or(&shown);
        if let Expr::Cast(cast) = measure
            && cast.field.data_type().is_floating()
            && matches!(cast.expr.as_ref(), Expr::Column(_))
        {
            return Self::new(format!(
                "{function}(CAST({shown} AS DOUBLE)) adds up a computed value"
            ))
            .write(format!("CAST({function}({shown}) AS DOUBLE)"));
        }
        let why = Self::new(format!("{function}({shown}) adds up a computed value"));
        match scaled(measure) {
            Some((measure, op, by)) => why.write(format!("{function}({measure}) {op} {by}")),
            None => why,
        }
    }

    /// A measure, or a column that is not known, in a key or a condition.
    pub(crate) fn measure(expr: &Expr) -> Self {
        Self::new(format!("{} depends on the value of a single row", text(expr)))
    }

    /// Something about time that no bin and no place on the axis of time says.
    pub(crate) fn time(expr: &Expr) -> Self {
        let why = Self::new(format!("{} depends on each single time", text(expr)));
        match expr {
            Expr::Column(_) => why.write("date_bin(INTERVAL '15 seconds', time)"),
            _ => why,
        }
    }

    /// Bins whose widths differ.
    pub(crate) fn months(expr: &Expr) -> Self {
        Self::new(format!("the bins of {} have no one width", text(expr)))
            .write("date_trunc('day', time), or weeks")
    }

    /// Bins whose width the statement does not say.
    pub(crate) fn width(expr: &Expr) -> Self {
        Self::new(format!("the width of the bins of {} is no literal", text(expr)))
            .write("an INTERVAL literal, or the unit in quotes")
    }

    /// Bins of one width that begin nobody knows where.
    pub(crate) fn origin(expr: &Expr) -> Self {
        Self::new(format!("the origin of the bins of {} is no literal in nanoseconds", text(expr)))
            .write("a TIMESTAMP literal as the third argument")
    }

    pub(crate) fn volatile(expr: &Expr) -> Self {
        Self::new(format!("{} is another one on each row", text(expr)))
    }

    pub(crate) fn subquery(expr: &Expr) -> Self {
        Self::new(format!("{} looks beyond its own row", text(expr)))
    }

    /// A node between the aggregate and the scan; `None` for another aggregate, which was judged by itself.
    pub(crate) fn node(plan: &LogicalPlan) -> Option<Self> {
        Some(match plan {
            LogicalPlan::Join(_) => {
                Self::new("rows are joined before they are added up".to_owned())
                    .write("two subqueries that add up, and join those")
            }
            LogicalPlan::Limit(_) => {
                Self::new("a LIMIT below the aggregate counts rows".to_owned())
            }
            LogicalPlan::Sort(_) => Self::new("rows are sorted below the aggregate".to_owned()),
            LogicalPlan::Window(_) => {
                Self::new("a window function looks at single rows".to_owned())
            }
            LogicalPlan::Aggregate(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::TableScan(_) => return None,
            LogicalPlan::Unnest(_) => {
                Self::new("rows are taken apart below the aggregate".to_owned())
            }
            _ => Self::new("what stands below the aggregate looks at single rows".to_owned()),
        })
    }

    pub(crate) fn limited() -> Self {
        Self::new("a LIMIT below the aggregate counts rows".to_owned())
    }

    /// Expressions on expressions on expressions.
    pub(crate) fn too_large() -> Self {
        Self::new("what it adds up is too large to be looked through".to_owned())
    }

    pub(crate) fn switched_off() -> Self {
        Self::new("flamesql.pushdown is off".to_owned())
    }
}

/// A measure that is multiplied or divided by a literal: the sum may be so afterwards. A whole number as a divisor is
/// left out, since that division drops what is behind the point on each row.
fn scaled(expr: &Expr) -> Option<(String, Operator, String)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let Expr::Literal(by, _) = right.as_ref() else { return None };
    let is_exact = match op {
        Operator::Multiply => true,
        Operator::Divide => by.data_type().is_floating(),
        _ => false,
    };
    (is_exact && matches!(uncast(left), Expr::Column(_)))
        .then(|| (text(uncast(left)), *op, text(right)))
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        expr => expr,
    }
}

/// An expression as a user would have written it: no table names, no casts that nobody wrote.
fn text(expr: &Expr) -> String {
    let plain = expr.clone().transform(|e| {
        Ok(match e {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Column(_)) => {
                Transformed::yes(*cast.expr)
            }
            e => Transformed::no(e),
        })
    });
    let plain = plain.map_or_else(|_| expr.clone(), |transformed| transformed.data);
    let sql = Unparser::new(&Plain).expr_to_sql(&plain);
    let sql = sql.map_or_else(|_| plain.to_string(), |sql| sql.to_string());
    // A selector of hundreds of values would bury the rest of the line.
    match sql.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &sql[..end]),
        None => sql,
    }
}

/// Names are quoted where they must be and nowhere else: the parser takes `value` and `time` as they are.
struct Plain;

impl Dialect for Plain {
    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        let is_plain = identifier.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
            && !identifier.starts_with(|c: char| c.is_ascii_digit());
        (!is_plain).then_some('"')
    }
}
