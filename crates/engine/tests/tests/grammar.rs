//! Statements drawn from a grammar, and a judge that says of each scan whether the law lets it be coarse.
//!
//! A statement is drawn from a tape of numbers: each choice takes the next number, and a tape that has ended gives zeros,
//! which are the simplest choices. So a shorter tape of smaller numbers is a simpler statement, and shrinking the tape
//! shrinks the statement.
//!
//! The judge reads no plan. Each production says what it means for the scan below it: `Must` if it speaks of
//! dimensions, or of time where it is the same all over a bin; `MustNot` if it needs R's own rows; `May` where the
//! planner may make either of it, such as `value * 1`. The worst of its parts decides on a select.

use super::relation::{CPU, EDGES, HEAP, START};

/// Whether a scan has to be coarse. The worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Must,
    May,
    MustNot,
}

use Verdict::{May, Must, MustNot};

/// One statement of the grammar.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    /// One verdict for each scan.
    pub(crate) scans: Vec<Verdict>,
    pub(crate) is_ordered: bool,
    /// Whether more is added up than the values of one table once: such a sum may be refused for its size.
    pub(crate) may_overflow: bool,
    /// Whether values of two units may come together: such a sum may be refused, and only such a one.
    pub(crate) may_mix: bool,
}

/// The statement that a tape comes to.
pub(crate) fn statement(tape: &[u16]) -> Statement {
    let mut draw = Draw { tape, next: 0, scans: Vec::new(), may_overflow: false, may_mix: false };
    let (sql, is_ordered) = draw.statement();
    let Draw { scans, may_overflow, may_mix, .. } = draw;
    Statement { sql, scans, is_ordered, may_overflow, may_mix }
}

/// A statement that says something of time and bounds neither side of it.
pub(crate) fn open(tape: &[u16]) -> String {
    Draw { tape, next: 0, scans: Vec::new(), may_overflow: false, may_mix: false }.open()
}

/// A part of a statement.
#[derive(Clone, Debug)]
struct Piece {
    sql: String,
    verdict: Verdict,
}

fn piece(verdict: Verdict, sql: impl Into<String>) -> Piece {
    Piece { sql: sql.into(), verdict }
}

fn worst(pieces: &[Piece]) -> Verdict {
    pieces.iter().map(|p| p.verdict).max().unwrap_or(Must)
}

/// What the columns of one table are called at some place of a statement.
#[derive(Clone, Debug)]
struct Names {
    time: &'static str,
    pod: &'static str,
    region: &'static str,
    labels: &'static str,
    /// The columns of text that only this table has.
    texts: Vec<&'static str>,
    stack: Option<&'static str>,
    measures: Vec<&'static str>,
}

impl Names {
    fn of(table: &str) -> Self {
        let (texts, stack, measures) = match table {
            "series" | "profiles" => (vec![], None, vec!["value"]),
            "samples" => (vec!["function"], Some("stack"), vec!["value"]),
            "functions" => (vec!["function"], None, vec!["self", "total"]),
            _ => (vec!["caller", "callee"], None, vec!["value"]),
        };
        Self {
            time: "time",
            pod: "pod",
            region: "region",
            labels: "labels",
            texts,
            stack,
            measures,
        }
    }

    /// The same under other names, and the select list that gives them.
    fn renamed(&self) -> (Self, String) {
        let (texts, measures) = (["f", "g"], ["m", "n"]);
        let mut list =
            vec!["time AS at, profile_type, pod AS p, region AS r, labels AS l".to_owned()];
        let mut names = Self { time: "at", pod: "p", region: "r", labels: "l", ..self.clone() };
        for (name, new) in names.texts.iter_mut().zip(texts) {
            list.push(format!("{name} AS {new}"));
            *name = new;
        }
        if let Some(name) = &mut names.stack {
            list.push(format!("{name} AS s"));
            *name = "s";
        }
        for (name, new) in names.measures.iter_mut().zip(measures) {
            list.push(format!("{name} AS {new}"));
            *name = new;
        }
        (names, list.join(", "))
    }
}

/// What a select reads from.
struct Source {
    with: String,
    from: String,
    names: Names,
    /// What stands in the WHERE of the select itself.
    filters: Vec<Piece>,
    /// What the selects below it come to.
    below: Verdict,
    profile_type: &'static str,
}

struct Draw<'a> {
    tape: &'a [u16],
    next: usize,
    scans: Vec<Verdict>,
    may_overflow: bool,
    may_mix: bool,
}

/// Conditions on a text that may be NULL: `{}` is the text.
const ON_TEXT: &[&str] = &[
    "{} = 'a'",
    "{} <> 'b'",
    "{} IN ('a', 'c-0', 'zz')",
    "{} NOT IN ('a', 'b')",
    "{} NOT IN ('a', NULL)",
    "{} IN ('a', NULL)",
    "{} IN ('a', 'b', 'c-0', 'eu', 'prod', 'main')",
    "{} IS NULL",
    "{} IS NOT NULL",
    "{} = ''",
    "{} <> ''",
    "'a' = {}",
    "'b' >= {}",
    "{} > 'b'",
    "{} BETWEEN 'a' AND 'b'",
    "{} NOT BETWEEN 'a' AND 'b'",
    "{} LIKE 'a%'",
    "{} LIKE 'a%b'",
    "{} LIKE '_'",
    "{} LIKE '%'",
    "{} LIKE 'a'",
    "{} NOT LIKE '%u%'",
    "{} ILIKE 'A%'",
    "{} ILIKE 'üNÏ%'",
    "{} NOT ILIKE 'M%'",
    "{} ~ 'a'",
    "{} ~ ''",
    "{} ~ '^a$'",
    "{} ~ '^(a|b)$'",
    "{} ~ 'a.b'",
    "{} ~ '^a\\.b'",
    "{} !~ '^[a-b]'",
    "{} ~* '^A'",
    "{} !~* 'A'",
    "{} ~ '\\d'",
    "{} = 'x''y'",
    "{} = 'a\nb'",
    "{} LIKE 'Ün%'",
    "coalesce({}, 'none') = 'none'",
    "coalesce({}, '') = ''",
    "length({}) = 1",
    "length({}) > 2",
    "{} || 'x' = 'ax'",
    "{} || '' <> 'a'",
    "upper({}) = 'A'",
    "{} IS DISTINCT FROM 'a'",
    "{} IS NOT DISTINCT FROM 'a'",
    "({} = 'a') IS NOT TRUE",
    "({} = 'a') IS UNKNOWN",
    "nullif({}, 'a') IS NULL",
    "starts_with({}, 'c')",
    "regexp_like({}, '^[a-c]')",
    "CASE {} WHEN 'a' THEN true WHEN 'b' THEN false END",
];

const WIDTHS: &[&str] = &[
    "1 minute",
    "15 seconds",
    "37 seconds",
    "90 seconds",
    "1 second",
    "7 seconds",
    "500 milliseconds",
    "1 hour",
    "1 day",
    "1 week",
    "3 days 4 hours",
    "3 nanoseconds",
];

const UNITS: &[&str] =
    &["minute", "second", "hour", "day", "week", "millisecond", "microsecond", "MINUTE"];

impl Draw<'_> {
    fn below(&mut self, n: usize) -> usize {
        let number = self.tape.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        usize::from(number) % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One time in `n`, and never on a tape that has ended.
    fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// What kind of production comes next: mostly one that may be coarse, so that whole statements are.
    fn verdict(&mut self) -> Verdict {
        match self.below(26) {
            0..=22 => Must,
            23 => May,
            _ => MustNot,
        }
    }

    fn statement(&mut self) -> (String, bool) {
        match self.below(32) {
            0..=7 => self.flat(),
            8 => (self.catalogue(), false),
            9 => (self.recursive(), false),
            10 | 11 => (self.distinct(), false),
            12 => (self.many_types(), false),
            13..=15 => (self.nested(), false),
            16..=18 => (self.joined(), false),
            19 => (self.union_above(), false),
            20 => (self.union_below(), false),
            21 | 22 => self.rows(),
            23 | 24 => (self.limited(), false),
            25 => (self.self_join(), false),
            26 | 27 => (self.window_above(), false),
            28 => (self.window_over_rows(), false),
            29 => (self.set_operation(), false),
            30 => (self.projected(), false),
            _ => (self.join_of_rows_and_sums(), false),
        }
    }

    // ---- where rows come from

    fn table(&mut self) -> &'static str {
        self.one(&["series", "samples", "functions", "call_edges", "samples"])
    }

    fn type_filter(&mut self) -> Piece {
        let one = self.one(&[CPU, CPU, CPU, HEAP]);
        self.type_is(one)
    }

    fn type_is(&mut self, one: &str) -> Piece {
        let sql = match self.below(6) {
            0..=2 => format!("profile_type = '{one}'"),
            3 => format!("profile_type IN ('{one}')"),
            4 => format!("'{one}' = profile_type"),
            _ => format!("profile_type LIKE '{}%'", &one[..6]),
        };
        piece(Must, sql)
    }

    fn filters(&mut self, names: &Names) -> Vec<Piece> {
        (0..self.below(3)).map(|_| self.top_condition(names)).collect()
    }

    fn source(&mut self) -> Source {
        let table = self.table();
        let names = Names::of(table);
        let profile_type = self.one(&[CPU, CPU, CPU, HEAP]);
        let mut inner = vec![self.type_is(profile_type)];
        inner.extend(self.filters(&names));
        let below = worst(&inner);
        let filtered = format!("{table} AS x{}", filtered_by(&inner));
        let plain = Source {
            with: String::new(),
            from: format!("{table} AS x"),
            names: names.clone(),
            filters: inner,
            below: Must,
            profile_type,
        };
        match self.below(6) {
            0..=2 => plain,
            3 => {
                let filters = self.filters(&names);
                let from = format!("(SELECT * FROM {filtered}) AS x");
                Source { from, filters, below, ..plain }
            }
            4 => {
                let filters = self.filters(&names);
                let with = format!("WITH x AS (SELECT * FROM {filtered}) ");
                Source { with, from: "x".to_owned(), filters, below, ..plain }
            }
            _ => {
                let (names, list) = names.renamed();
                let filters = self.filters(&names);
                let from = format!("(SELECT {list} FROM {filtered}) AS x");
                Source { from, names, filters, below, ..plain }
            }
        }
    }

    // ---- shapes

    /// An aggregate over one table, with `HAVING`, `ORDER BY` and `LIMIT` at times.
    fn flat(&mut self) -> (String, bool) {
        let source = self.source();
        let n_keys = self.below(4);
        let mut keys: Vec<Piece> = Vec::new();
        for _ in 0..n_keys {
            let key = self.key(&source.names);
            if keys.iter().all(|k| k.sql != key.sql) {
                keys.push(key);
            }
        }
        let sums: Vec<Piece> =
            (0..1 + self.below(3)).map(|_| self.aggregate(&source.names)).collect();
        let columns: Vec<String> = (keys.iter().chain(&sums).enumerate())
            .map(|(i, p)| format!("{} AS c{i}", p.sql))
            .collect();
        let mut parts: Vec<Piece> = source.filters.clone();
        parts.extend(keys.iter().chain(&sums).cloned());
        let Source { with, from, filters, below, names, .. } = source;
        let mut sql =
            format!("{with}SELECT {} FROM {from}{}", columns.join(", "), filtered_by(&filters));
        let group = self.group(&keys);
        sql.push_str(&group);
        if self.rarely(5) {
            let having = self.having(&names);
            sql.push_str(&format!(" HAVING {}", having.sql));
            parts.push(having);
        }
        self.scans.push(worst(&parts).max(below));
        // Maps and lists of rows have no order, and doubles one that their last digit decides. DataFusion leaves a column out of the
        // order that a filter makes constant, even where a grouping set makes it NULL.
        let has_order = !group.contains('(')
            && keys.iter().all(|k| k.sql != names.labels)
            && sums.iter().all(|s| {
                !["avg", "DOUBLE", "array_agg", "flamegraph"].iter().any(|f| s.sql.contains(f))
            });
        if has_order && self.rarely(4) {
            let mut order: Vec<String> = (0..columns.len())
                .map(|i| format!("c{i}{}", self.one(&["", " DESC", " NULLS FIRST"])))
                .collect();
            order.reverse();
            sql.push_str(&format!(" ORDER BY {} LIMIT {}", order.join(", "), self.below(6)));
            if self.rarely(4) {
                sql.push_str(" OFFSET 1");
            }
            return (sql, true);
        }
        (sql, false)
    }

    fn group(&mut self, keys: &[Piece]) -> String {
        let all: Vec<&str> = keys.iter().map(|k| k.sql.as_str()).collect();
        match (keys.len(), self.below(12)) {
            (0, _) => String::new(),
            (_, 9) => format!(" GROUP BY ROLLUP ({})", all.join(", ")),
            (_, 10) => format!(" GROUP BY CUBE ({})", all.join(", ")),
            (_, 11) => {
                let sets: Vec<String> = all.iter().map(|k| format!("({k})")).collect();
                format!(" GROUP BY GROUPING SETS ({}, ())", sets.join(", "))
            }
            (_, 8) => format!(" GROUP BY {}", all.join(", ")),
            (n, _) => {
                let numbers: Vec<String> = (1..=n).map(|i| i.to_string()).collect();
                format!(" GROUP BY {}", numbers.join(", "))
            }
        }
    }

    fn having(&mut self, names: &Names) -> Piece {
        let measure = self.one(&names.measures);
        match self.below(6) {
            0..=2 => piece(Must, format!("sum({measure}) > 20")),
            3 => piece(MustNot, "count(*) > 1"),
            4 => piece(MustNot, format!("max({measure}) > 20")),
            _ => {
                let filter = self.type_filter();
                self.scans.push(Must);
                let inner = format!("SELECT sum(value) / 20 FROM series{}", filtered_by(&[filter]));
                piece(Must, format!("sum({measure}) > ({inner})"))
            }
        }
    }

    fn distinct(&mut self) -> String {
        let source = self.source();
        let keys: Vec<Piece> = (0..1 + self.below(3)).map(|_| self.key(&source.names)).collect();
        let columns: Vec<String> =
            keys.iter().enumerate().map(|(i, k)| format!("{} AS c{i}", k.sql)).collect();
        let columns = columns.join(", ");
        let mut parts = source.filters.clone();
        parts.extend(keys);
        self.scans.push(worst(&parts).max(source.below));
        let Source { with, from, filters, names, .. } = source;
        if self.rarely(6) {
            // The first row of each group is one of R's.
            let measure = names.measures[0];
            *self.scans.last_mut().unwrap() = MustNot;
            return format!(
                "{with}SELECT DISTINCT ON ({pod}) {pod}, {measure} FROM {from}{} ORDER BY {pod}, {measure} DESC",
                filtered_by(&filters),
                pod = names.pod,
            );
        }
        format!("{with}SELECT DISTINCT {columns} FROM {from}{}", filtered_by(&filters))
    }

    /// Over several types the values have several units, so the type is a key.
    fn many_types(&mut self) -> String {
        let table = self.table();
        let names = Names::of(table);
        let types = self.one(&[
            "profile_type LIKE '%:%'",
            "profile_type IN ('process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'memory:inuse_space:bytes:space:bytes')",
            "profile_type <> 'nothing'",
            "(profile_type ~ '^memory' OR profile_type ~ 'cpu$' OR profile_type ~ 'nanoseconds$')",
        ]);
        let mut parts = vec![piece(Must, types)];
        parts.extend(self.filters(&names));
        let filters = filtered_by(&parts);
        let (key, sum) = (self.key(&names), self.aggregate(&names));
        let sql = format!(
            "SELECT profile_type, {} AS k, {} AS s FROM {table} AS x{filters} GROUP BY 1, 2",
            key.sql, sum.sql
        );
        parts.extend([key, sum]);
        self.scans.push(worst(&parts));
        sql
    }

    /// `SELECT k, sum(measure) AS s`, whose key is one column.
    fn sums_by_key(&mut self) -> String {
        let source = self.source();
        let key = self.key(&source.names);
        self.sums_by(source, key)
    }

    fn sums_by(&mut self, source: Source, key: Piece) -> String {
        let measure = self.one(&source.names.measures);
        let Source { with, from, filters, below, .. } = source;
        let sql = format!(
            "{with}SELECT {} AS k, sum({measure}) AS s FROM {from}{} GROUP BY 1",
            key.sql,
            filtered_by(&filters)
        );
        let mut parts = filters;
        parts.push(key);
        self.scans.push(worst(&parts).max(below));
        sql
    }

    fn nested(&mut self) -> String {
        let inner = self.sums_by_key();
        match self.below(5) {
            0 => format!("SELECT sum(s), count(*), max(s), min(s) FROM ({inner}) AS y"),
            1 => format!("SELECT s % 7, count(k), sum(s) FROM ({inner}) AS y GROUP BY 1"),
            2 => {
                format!("SELECT count(DISTINCT s), sum(DISTINCT s) FROM ({inner}) AS y WHERE s > 3")
            }
            3 => format!(
                "WITH y AS ({inner}) SELECT k, s FROM y WHERE s > (SELECT avg(s) FROM (SELECT 1 AS s))"
            ),
            _ => format!(
                "SELECT k IS NULL AS c, max(s) FROM ({inner}) AS y GROUP BY 1 HAVING count(*) > 0"
            ),
        }
    }

    /// What was added up before and after, or here and there, side by side.
    fn joined(&mut self) -> String {
        let table = self.table();
        let names = Names::of(table);
        let mut key = self.key(&names);
        // Maps and lists are no keys of a join.
        let is_list =
            ["stack_slice", "stack_focus", "stack_ignore", "stack_hide", "stack_show_from"];
        if key.sql == names.labels
            || names.stack == Some(key.sql.as_str())
            || is_list.iter().any(|name| key.sql.starts_with(name))
        {
            key = piece(Must, names.pod);
        }
        let mut sides = Vec::new();
        for _ in 0..2 {
            let profile_type = self.one(&[CPU, CPU, CPU, HEAP]);
            let mut filters = vec![self.type_is(profile_type)];
            filters.extend(self.filters(&names));
            let source = Source {
                with: String::new(),
                from: format!("{table} AS x"),
                names: names.clone(),
                filters,
                below: Must,
                profile_type,
            };
            sides.push(self.sums_by(source, key.clone()));
        }
        let kind = self.one(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
        let on = self.one(&["a.k = b.k", "a.k IS NOT DISTINCT FROM b.k"]);
        let columns = self.one(&[
            "a.k, a.s - b.s",
            "a.k, b.k, coalesce(a.s, 0) - coalesce(b.s, 0)",
            "sum(a.s), sum(b.s)",
        ]);
        format!("SELECT {columns} FROM ({}) AS a {kind} ({}) AS b ON {on}", sides[0], sides[1])
    }

    fn union_above(&mut self) -> String {
        let (mut sides, mut types) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let source = self.source();
            types.push(source.profile_type);
            let key = piece(Must, source.names.pod);
            sides.push(self.sums_by(source, key));
        }
        self.may_overflow = true;
        let n = self.below(2);
        self.may_mix = n > 0 && types[0] != types[1];
        match n {
            0 => format!("{} UNION ALL {}", parenthesis(&sides[0]), parenthesis(&sides[1])),
            _ => format!(
                "SELECT k, sum(s), count(*) FROM ({} UNION ALL {}) AS u GROUP BY 1",
                parenthesis(&sides[0]),
                parenthesis(&sides[1])
            ),
        }
    }

    /// Each branch is judged by itself, with all that is said above.
    fn union_below(&mut self) -> String {
        let mut branches = Vec::new();
        let (mut below, mut types) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let table = self.table();
            let names = Names::of(table);
            types.push(self.one(&[CPU, CPU, CPU, HEAP]));
            let mut filters = vec![self.type_is(types[types.len() - 1])];
            filters.extend(self.filters(&names));
            let measure = self.one(&names.measures);
            branches.push(format!(
                "SELECT time, pod, region, labels, {measure} AS value FROM {table} AS x{}",
                filtered_by(&filters)
            ));
            below.push(worst(&filters));
        }
        let names = Names::of("series");
        let (key, sum) = (self.key(&names), self.aggregate(&names));
        let above = worst(&[key.clone(), sum.clone()]);
        self.scans.extend(below.into_iter().map(|v| v.max(above)));
        self.may_overflow = true;
        self.may_mix = types[0] != types[1];
        format!(
            "SELECT {} AS k, {} AS s FROM ({}) AS x GROUP BY 1",
            key.sql,
            sum.sql,
            branches.join(" UNION ALL ")
        )
    }

    /// Profiles one by one: a catalogue table, which is asked for as it is.
    fn catalogue(&mut self) -> String {
        self.scans.push(MustNot);
        let names = Names::of("profiles");
        let mut filters: Vec<Piece> =
            (0..self.below(3)).map(|_| self.condition(&names, 1)).collect();
        let n = self.below(5);
        // Elsewhere all types are listed, and may come together.
        match n {
            0 | 1 => filters.push(self.type_filter()),
            2 => self.may_mix = true,
            _ => {}
        }
        let columns = match n {
            0 => "pod, count(*), sum(value)".to_owned(),
            1 => "time, pod, region, value".to_owned(),
            2 => "pod, sum(value) FILTER (WHERE value > 3)".to_owned(),
            3 => "profile_type, count(*), sum(value), max(value)".to_owned(),
            _ => format!("profile_type, {} AS k, sum(value) AS s", self.key(&names).sql),
        };
        let group = match n {
            0 | 2 | 3 => " GROUP BY 1",
            1 => "",
            _ => " GROUP BY 1, 2",
        };
        format!("SELECT {columns} FROM profiles AS x{}{group}", filtered_by(&filters))
    }

    /// Who is called from where, as far as some steps go. What is named in WITH is read twice.
    fn recursive(&mut self) -> String {
        let names = Names::of("call_edges");
        let mut filters = vec![self.type_filter()];
        filters.extend((0..self.below(3)).map(|_| self.condition(&names, 1)).collect::<Vec<_>>());
        let filters = filtered_by(&filters);
        self.scans.extend([May, May]);
        self.may_overflow = true;
        let root = self.one(&["main", "serve", "parse"]);
        let n = 1 + self.below(3);
        match self.below(2) {
            0 => format!(
                "WITH RECURSIVE e AS (SELECT DISTINCT caller, callee FROM call_edges AS x{filters}), \
                 r AS (SELECT caller AS f, 0 AS d FROM e WHERE caller = '{root}' \
                 UNION SELECT callee, d + 1 FROM e JOIN r ON caller = f WHERE d < {n}) \
                 SELECT f, count(*), max(d) FROM r GROUP BY 1"
            ),
            _ => format!(
                "WITH RECURSIVE e AS (SELECT caller, callee, sum(value) AS v FROM call_edges AS x{filters} GROUP BY 1, 2), \
                 r AS (SELECT callee AS f, v, 0 AS d FROM e WHERE caller = '{root}' \
                 UNION ALL SELECT callee, e.v, d + 1 FROM e JOIN r ON caller = f WHERE d < {n}) \
                 SELECT f, d, sum(v) FROM r GROUP BY 1, 2"
            ),
        }
    }

    /// Something is said of time that leaves both ends open.
    fn open(&mut self) -> String {
        let table = self.one(&["series", "samples", "functions", "call_edges", "profiles"]);
        let names = Names::of(table);
        let (names, from) = match self.below(3) {
            0 => (names, format!("{table} AS x")),
            1 => (names, format!("(SELECT * FROM {table}) AS x")),
            _ => {
                let (names, list) = names.renamed();
                (names, format!("(SELECT {list} FROM {table}) AS x"))
            }
        };
        let kind = self.type_filter().sql;
        let Names { time, pod, .. } = names;
        let measure = self.one(&names.measures);
        let (open, on_time) = (self.open_condition(time), self.on_time(time).sql);
        match self.below(7) {
            0..=2 => format!("SELECT sum({measure}) FROM {from} WHERE {kind} AND {open}"),
            3 => format!("SELECT sum({measure}) FILTER (WHERE {on_time}) FROM {from} WHERE {kind}"),
            4 => format!(
                "SELECT sum(CASE WHEN {on_time} THEN {measure} ELSE 0 END) FROM {from} WHERE {kind}"
            ),
            5 => format!(
                "SELECT {time}, sum({measure}) FROM {from} WHERE {kind} GROUP BY 1 HAVING {open}"
            ),
            _ => format!(
                "SELECT {pod}, sum({measure}) FROM {from} WHERE {kind} AND ({pod} = 'a' OR {on_time}) GROUP BY 1"
            ),
        }
    }

    fn open_condition(&mut self, time: &str) -> String {
        let (a, b) = (self.instant(), self.instant());
        match self.below(8) {
            0 => format!("{time} <> {a}"),
            1 => format!("NOT ({time} = {a})"),
            2 => format!("{time} NOT BETWEEN {a} AND {b}"),
            3 => format!("({time} < {a} OR {time} > {b})"),
            4 => format!("NOT ({time} >= {a} AND {time} < {b})"),
            5 => format!("{time} NOT IN ({a}, {b})"),
            6 => format!("date_bin(INTERVAL '{}', {time}) <> {a}", self.one(WIDTHS)),
            _ => format!("date_part('second', {time}) >= 30"),
        }
    }

    /// R's own rows.
    fn rows(&mut self) -> (String, bool) {
        let Source { with, from, filters, names, .. } = self.source();
        self.scans.push(MustNot);
        let measure = self.one(&names.measures);
        let filters = filtered_by(&filters);
        let Names { time, pod, region, labels, .. } = names;
        match self.below(4) {
            0 => (format!("{with}SELECT * FROM {from}{filters}"), false),
            1 => {
                let own: Vec<&str> = names.texts.iter().copied().chain(names.stack).collect();
                let own: String = own.iter().map(|name| format!(", {name}")).collect();
                (
                    format!("{with}SELECT {labels}, {time}{own}, {measure} FROM {from}{filters}"),
                    false,
                )
            }
            2 => {
                let n = self.below(8);
                let sql = format!(
                    "{with}SELECT {time}, {measure}, {pod}, {region} FROM {from}{filters} ORDER BY 2 DESC, 1, 3, 4 LIMIT {n}"
                );
                (sql, true)
            }
            _ => (format!("{with}SELECT {measure} % 3, {pod} FROM {from}{filters}"), false),
        }
    }

    /// A limit below an aggregate counts rows of R.
    fn limited(&mut self) -> String {
        let Source { with, from, filters, names, .. } = self.source();
        self.scans.push(MustNot);
        let measure = self.one(&names.measures);
        let (pod, filters) = (names.pod, filtered_by(&filters));
        let n = self.one(&[3, 1, 10, 100_000]);
        match self.below(4) {
            0 => format!(
                "{with}SELECT count(*) FROM (SELECT {pod} FROM {from}{filters} LIMIT {n}) AS y"
            ),
            1 => format!(
                "{with}SELECT k, sum(m) FROM (SELECT {pod} AS k, {measure} AS m FROM {from}{filters} ORDER BY 2 DESC, 1 LIMIT {n}) AS y GROUP BY 1"
            ),
            2 => format!(
                "{with}SELECT sum(m) FROM (SELECT {measure} AS m FROM {from}{filters} LIMIT 100000) AS y"
            ),
            _ => format!(
                "{with}SELECT sum(m), count(*) FROM (SELECT {measure} AS m FROM {from}{filters} ORDER BY 1 LIMIT {n} OFFSET 2) AS y"
            ),
        }
    }

    fn self_join(&mut self) -> String {
        let (one, other) = (self.table(), self.table());
        let filter = self.type_filter();
        let measure = self.one(&Names::of(one).measures);
        self.scans.extend([MustNot, MustNot]);
        self.may_overflow = true;
        let condition =
            self.one(&["a.pod = b.pod", "a.labels['region'] = b.region AND a.pod = b.pod"]);
        let filters = ["a", "b"].map(|side| format!("{side}.{}", unqualified(&filter.sql)));
        let columns = self.one(&["sum(a.{})", "a.pod, sum(a.{}), count(*)"]).replace("{}", measure);
        let group = if columns.starts_with("a.pod") { " GROUP BY 1" } else { "" };
        let kind = self.one(&["JOIN", "LEFT JOIN"]);
        let second = if kind == "JOIN" { format!(" AND {}", filters[1]) } else { String::new() };
        format!(
            "SELECT {columns} FROM {one} AS a {kind} {other} AS b ON a.time = b.time AND {condition} AND b.{} WHERE {}{second}{group}",
            unqualified(&filter.sql),
            filters[0]
        )
    }

    fn join_of_rows_and_sums(&mut self) -> String {
        let source = self.source();
        let key = piece(Must, source.names.pod);
        let sums = self.sums_by(source, key);
        let table = self.table();
        let measure = self.one(&Names::of(table).measures);
        let filter = self.type_filter();
        self.scans.push(MustNot);
        self.may_overflow = true;
        let columns = self
            .one(&["a.pod, sum(a.{}), max(b.s)", "a.pod, sum(b.s), sum(a.{})"])
            .replace("{}", measure);
        format!(
            "SELECT {columns} FROM {table} AS a JOIN ({sums}) AS b ON a.pod = b.k WHERE a.{} GROUP BY 1",
            unqualified(&filter.sql)
        )
    }

    fn window_above(&mut self) -> String {
        let source = self.source();
        let key = piece(Must, self.one(&[source.names.pod, source.names.region]));
        let inner = self.sums_by(source, key);
        self.may_overflow = true;
        let window = self.one(&[
            "rank() OVER (ORDER BY s DESC)",
            "lag(s) OVER (ORDER BY s, k)",
            "s - first_value(s) OVER (ORDER BY s, k)",
            "sum(s) OVER (ORDER BY s, k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        ]);
        match self.below(2) {
            0 => format!("SELECT k, s, {window} FROM ({inner}) AS y"),
            _ => format!("SELECT sum(w) FROM (SELECT {window} AS w FROM ({inner}) AS y) AS z"),
        }
    }

    fn window_over_rows(&mut self) -> String {
        let Source { with, from, filters, names, .. } = self.source();
        self.scans.push(MustNot);
        self.may_overflow = true;
        let measure = self.one(&names.measures);
        let (pod, time, filters) = (names.pod, names.time, filtered_by(&filters));
        let window = match self.below(4) {
            0 => format!("sum({measure}) OVER (PARTITION BY {pod})"),
            1 => format!("sum({measure}) OVER (PARTITION BY {pod} ORDER BY {time})"),
            2 => format!("rank() OVER (PARTITION BY {pod} ORDER BY {measure})"),
            _ => format!("count(*) OVER (ORDER BY {time})"),
        };
        match self.below(2) {
            0 => format!("{with}SELECT {pod}, {measure}, {window} FROM {from}{filters}"),
            _ => format!(
                "{with}SELECT k, sum(w) FROM (SELECT {pod} AS k, {window} AS w FROM {from}{filters}) AS y GROUP BY 1"
            ),
        }
    }

    fn set_operation(&mut self) -> String {
        let mut sides = Vec::new();
        for _ in 0..2 {
            let Source { with, from, filters, names, .. } = self.source();
            let column = self.one(&[names.pod, names.region]);
            sides.push(parenthesis(&format!(
                "{with}SELECT {column} FROM {from}{}",
                filtered_by(&filters)
            )));
            self.scans.push(May);
        }
        let operation = self.one(&["UNION", "EXCEPT", "INTERSECT"]);
        format!("{} {operation} {}", sides[0], sides[1])
    }

    /// Keys that are computed below, one of them for nobody.
    fn projected(&mut self) -> String {
        let source = self.source();
        let (key, unused) = (self.key(&source.names), self.key(&source.names));
        let measure = self.one(&source.names.measures);
        let Source { with, from, filters, below, .. } = source;
        let filters_sql = filtered_by(&filters);
        let mut parts = filters;
        parts.push(key.clone());
        let is_volatile = unused.sql.contains("random()");
        self.scans.push(worst(&parts).max(below).max(if is_volatile { May } else { Must }));
        format!(
            "{with}SELECT k, sum(m) FROM (SELECT {} AS k, {} AS u, {measure} AS m FROM {from}{filters_sql}) AS y GROUP BY 1",
            key.sql, unused.sql
        )
    }

    // ---- expressions

    fn key(&mut self, names: &Names) -> Piece {
        let Names { time, pod, region, labels, .. } = *names;
        match self.verdict() {
            Must => match self.below(20) {
                0 => piece(Must, pod),
                1 => piece(Must, region),
                2 => piece(Must, self.label(names)),
                3 => piece(Must, labels),
                4 | 5 => self.of_own(names),
                6..=10 => piece(Must, self.bins(time)),
                11 => piece(Must, format!("date_part('minute', {})", self.bins(time))),
                12 => piece(Must, format!("date_trunc('minute', {})", self.bins(time))),
                13 => piece(
                    Must,
                    format!(
                        "{time} {} {}",
                        self.one(&["<", ">=", "<=", ">", "=", "<>"]),
                        self.instant()
                    ),
                ),
                14 => piece(Must, format!("coalesce({pod}, {region}, 'none')")),
                15 => piece(Must, format!("{pod} || '/' || {region}")),
                16 => piece(
                    Must,
                    self.one(&["upper({})", "length({})", "{} IS NULL", "substr({}, 1, 1)"])
                        .replace("{}", pod),
                ),
                17 => piece(Must, format!("CASE WHEN {pod} = 'a' THEN {region} ELSE 'other' END")),
                18 => piece(Must, "profile_type"),
                _ => self.on_text(names),
            },
            May => match self.below(8) {
                0 => piece(May, "'one'"),
                1 => piece(May, format!("date_trunc('hour', {time} AT TIME ZONE 'UTC')")),
                2 => piece(May, format!("date_trunc('day', {time} AT TIME ZONE '+02:00')")),
                3 => piece(May, format!("CAST({time} AT TIME ZONE 'UTC' AS DATE)")),
                4 => piece(
                    May,
                    format!(
                        "date_bin(INTERVAL '1 minute', CAST({time} AS TIMESTAMP WITH TIME ZONE))"
                    ),
                ),
                5 => piece(May, format!("arrow_cast({time}, 'Timestamp(Second, None)')")),
                6 => piece(
                    May,
                    format!(
                        "date_bin(INTERVAL '1 minute', {time}, TIMESTAMP '2023-01-01T00:00:07')"
                    ),
                ),
                _ => piece(May, format!("date_part('year', {time})")),
            },
            MustNot => {
                let measure = self.one(&names.measures);
                match self.below(12) {
                    0 => piece(MustNot, time),
                    1 => piece(MustNot, measure),
                    2 => piece(MustNot, format!("{measure} % 10")),
                    3 => piece(MustNot, format!("{measure} > 5")),
                    4 => piece(MustNot, format!("date_part('second', {time})")),
                    5 => piece(
                        MustNot,
                        format!(
                            "date_trunc('{}', {time})",
                            self.one(&["month", "quarter", "year"])
                        ),
                    ),
                    6 => piece(MustNot, format!("date_bin(INTERVAL '1 month', {time})")),
                    7 => piece(
                        MustNot,
                        format!("date_bin(INTERVAL '1 minute', {time} + INTERVAL '1 second')"),
                    ),
                    8 => piece(MustNot, format!("CASE WHEN random() >= 0 THEN {pod} END")),
                    9 => piece(MustNot, format!("{time} < {} AND {measure} > 3", self.instant())),
                    10 => piece(MustNot, format!("CAST({time} AS TEXT)")),
                    _ => {
                        piece(MustNot, format!("CASE WHEN {measure} > 3 THEN {pod} ELSE 'few' END"))
                    }
                }
            }
        }
    }

    /// Something of what only this table has.
    fn of_own(&mut self, names: &Names) -> Piece {
        if let Some(stack) = names.stack.filter(|_| self.below(2) == 0) {
            let of_stack = [
                "{}[1]",
                "{}",
                "cardinality({})",
                "array_to_string({}, '/')",
                "array_has({}, 'parse')",
                "{}[2]",
                "array_length({})",
                "{}[-1]",
                "stack_depth({})",
                "stack_contains({}, 'parse')",
                "stack_text({})",
                "stack_slice({}, -2, -1)",
                "stack_slice({}, 2, 3)",
                "stack_slice({}, 3, 2)",
                "stack_matches({}, 'main;**')",
                "stack_focus({}, '^gc|parse')",
                "stack_ignore({}, 'main')",
                "stack_hide({}, 'e$')",
                "stack_show_from({}, '(?i)SERVE')",
                "stack_text(stack_show_from(stack_hide(stack_focus({}, 'a'), ';'), 's|g'))",
                "stack_depth(stack_ignore({}, '^serve$')) IS NULL",
            ];
            return piece(Must, self.one(&of_stack).replace("{}", stack));
        }
        match names.texts.as_slice() {
            [] => piece(Must, self.label(names)),
            texts => {
                let text = self.one(texts);
                piece(
                    Must,
                    self.one(&["{}", "upper({})", "{} = 'main'", "substr({}, 1, 1)"])
                        .replace("{}", text),
                )
            }
        }
    }

    fn label(&mut self, names: &Names) -> String {
        let name = self.one(&[
            "pod",
            "region",
            "k8s.cluster",
            "Pod",
            "time",
            "function",
            "total",
            "nowhere",
            "__hidden",
            "__name__",
        ]);
        format!("{}['{name}']", names.labels)
    }

    fn on_text(&mut self, names: &Names) -> Piece {
        let mut texts = vec![names.pod.to_owned(), names.region.to_owned(), self.label(names)];
        texts.extend(names.texts.iter().map(|t| (*t).to_owned()));
        let n = self.below(texts.len());
        let condition = self.one(ON_TEXT);
        piece(Must, condition.replace("{}", &texts[n]))
    }

    /// An instant of or near a profile, on or beside the edge of a bin.
    fn nanos(&mut self) -> i64 {
        let about = match self.below(6) {
            0 => EDGES[self.below(EDGES.len())],
            _ => START + i64::try_from(self.below(180)).unwrap() * 1_000_000_000,
        };
        about + self.one(&[0, 1, -1, 500_000_000, 999_999_999, -13_000_000_000])
    }

    fn instant(&mut self) -> String {
        let time = flamesql_profile::Timestamp::from_nanos(self.nanos()).to_string();
        let text = time.trim_end_matches('Z');
        match self.below(6) {
            0..=2 => format!("TIMESTAMP '{text}'"),
            3 => format!("CAST('{text}' AS TIMESTAMP)"),
            4 => format!("TIMESTAMP '{text}' - INTERVAL '30 seconds'"),
            _ => format!("'{text}'"),
        }
    }

    fn bins(&mut self, time: &str) -> String {
        match self.below(8) {
            0..=2 => format!("date_bin(INTERVAL '{}', {time})", self.one(WIDTHS)),
            3 | 4 => {
                let origin = flamesql_profile::Timestamp::from_nanos(self.nanos()).to_string();
                format!(
                    "date_bin(INTERVAL '{}', {time}, TIMESTAMP '{}')",
                    self.one(WIDTHS),
                    origin.trim_end_matches('Z')
                )
            }
            5 | 6 => format!("date_trunc('{}', {time})", self.one(UNITS)),
            _ => format!("CAST({time} AS DATE)"),
        }
    }

    /// A condition that holds for nothing but rows, so it may stand in FILTER and CASE as well.
    fn condition(&mut self, names: &Names, depth: usize) -> Piece {
        if depth > 0 && self.rarely(4) {
            let (a, b) = (self.condition(names, depth - 1), self.condition(names, depth - 1));
            let both = [a.clone(), b.clone()];
            let sql = match self.below(4) {
                0 => format!("({} OR {})", a.sql, b.sql),
                1 => format!("({} AND {})", a.sql, b.sql),
                2 => format!("NOT ({} OR {})", a.sql, b.sql),
                _ => format!("NOT (({}) AND ({}))", a.sql, b.sql),
            };
            // A part that the planner finds to be constant takes the other with it: IS NULL of what is never NULL. So does
            // one that stands elsewhere as well: `a AND (b OR a)` is `a`.
            return match worst(&both) {
                MustNot if both.iter().any(|part| part.verdict != MustNot) => piece(May, sql),
                MustNot if [" IS ", "coalesce", "'%'"].iter().any(|text| sql.contains(text)) => {
                    piece(May, sql)
                }
                verdict => piece(verdict, sql),
            };
        }
        let Names { time, pod, region, labels, .. } = *names;
        match self.verdict() {
            // Of stacks there is the most to say.
            Must => match self.below(if names.stack.is_some() { 26 } else { 16 }) {
                0..=5 => self.on_text(names),
                6..=9 => self.on_time(time),
                10 | 11 => piece(Must, self.on_bins(time)),
                12 => {
                    let two = [
                        "{p} = {r}",
                        "{p} < {r}",
                        "{p} || {r} = 'aeu'",
                        "coalesce({p}, {r}, 'x') = 'eu'",
                        "concat({p}, {r}) LIKE 'a%'",
                        "{p} IS DISTINCT FROM {r}",
                        "{p} IN ('a', {r})",
                        "CASE WHEN {p} = 'a' THEN {r} = 'eu' ELSE true END",
                        "array_has(map_keys({l}), 'region')",
                        "cardinality({l}) > 1",
                        "labels_match({l}, '{region!=\"eu\",pod=~\"a|b.*\"}')",
                        "labels_match({l}, '{pod=~\"a|\"}')",
                    ];
                    piece(
                        Must,
                        self.one(&two)
                            .replace("{p}", pod)
                            .replace("{r}", region)
                            .replace("{l}", labels),
                    )
                }
                13 | 16.. => match names.stack {
                    Some(stack) => {
                        let on_stack = [
                            "array_has({}, 'parse')",
                            "cardinality({}) > 2",
                            "{}[1] = 'main'",
                            "{}[1] IS NULL",
                            "array_to_string({}, '/') LIKE 'main/%'",
                            "NOT array_has({}, 'main')",
                            "stack_contains({}, 'parse')",
                            "NOT stack_contains({}, 'a;b')",
                            "stack_contains({}, 'main') IS NOT TRUE",
                            "stack_contains({}, {p})",
                            "(stack_contains({}, 'parse') OR {p} = 'a')",
                            "stack_matches({}, 'main;**')",
                            "stack_matches({}, '**;gc*')",
                            "stack_matches({}, '**;?arse;**')",
                            "NOT stack_matches({}, '*;*')",
                            "stack_depth({}) > 2",
                            "stack_depth({}) IN (0, 3)",
                            "stack_text({}) LIKE 'main;%'",
                            "stack_text({}) = ''",
                            "stack_slice({}, 2, 2) = stack_slice({}, -1, -1)",
                            "stack_focus({}, '^gc|parse') IS NOT NULL",
                            "stack_focus({}, '') IS NULL",
                            "stack_ignore({}, 'main') IS NOT NULL",
                            "stack_hide({}, 'a|e') IS NOT NULL",
                            "stack_show_from({}, 'ß|^x') IS NULL",
                            "stack_focus(stack_ignore({}, 'gc'), 'main') IS NOT NULL",
                            "stack_depth(stack_hide({}, 'm')) < 2",
                            "stack_contains(stack_show_from({}, 'serve'), 'main')",
                            "(stack_focus({}, 'serve') IS NOT NULL) = ({r} IS NULL)",
                        ];
                        piece(
                            Must,
                            self.one(&on_stack)
                                .replace("{}", stack)
                                .replace("{p}", pod)
                                .replace("{r}", region),
                        )
                    }
                    None => self.on_text(names),
                },
                14 => match names.texts.first() {
                    Some(text) => {
                        let on_name = [
                            "{} <> 'parse'",
                            "{} IS NULL",
                            "{} LIKE 'm%'",
                            "{} = {p}",
                            "{} IN ('main', 'a;b')",
                        ];
                        let sql = self.one(&on_name).replace("{p}", pod).replace("{}", text);
                        piece(Must, sql)
                    }
                    None => self.on_text(names),
                },
                _ => {
                    let (a, b) = (self.on_text(names), self.on_time(time));
                    piece(a.verdict, format!("({} OR {})", a.sql, b.sql))
                }
            },
            May => {
                let measure = self.one(&names.measures);
                match self.below(12) {
                    0 => piece(May, format!("{time} IN ({}, {})", self.instant(), self.instant())),
                    1 => piece(
                        May,
                        format!(
                            "{time} NOT IN ({0}, {1}, {1}, {0}, {2})",
                            self.instant(),
                            self.instant(),
                            self.instant()
                        ),
                    ),
                    2 => piece(May, format!("{time} IS NOT NULL")),
                    3 => piece(May, format!("{time} IS DISTINCT FROM {}", self.instant())),
                    4 => piece(
                        May,
                        format!(
                            "date_part('year', {time}) {} 2023",
                            self.one(&["=", "<", ">=", "<>"])
                        ),
                    ),
                    5 => piece(
                        May,
                        format!(
                            "date_trunc('{}', {time}) = {}",
                            self.one(&["month", "year"]),
                            self.instant()
                        ),
                    ),
                    6 => piece(
                        May,
                        format!("{time} {} DATE '2023-12-01'", self.one(&["<", ">=", "="])),
                    ),
                    7 => piece(May, format!("{time} < now()")),
                    8 => piece(May, format!("{time} AT TIME ZONE 'UTC' >= {}", self.instant())),
                    9 => piece(
                        May,
                        format!(
                            "arrow_cast({time}, 'Timestamp(Second, None)') {} {}",
                            self.one(&["=", "<=", ">"]),
                            self.instant()
                        ),
                    ),
                    10 => piece(May, format!("{measure} = {measure}")),
                    _ => piece(May, format!("{measure} IS NOT NULL")),
                }
            }
            MustNot => {
                let measure = self.one(&names.measures);
                match self.below(12) {
                    0 => piece(MustNot, format!("{measure} > 5")),
                    1 => piece(MustNot, format!("{measure} % 2 = 0")),
                    2 => piece(MustNot, format!("abs({measure}) < 10")),
                    3 => piece(MustNot, format!("{measure} BETWEEN 3 AND 30")),
                    4 => piece(MustNot, format!("7 <> {measure}")),
                    5 => piece(MustNot, format!("({pod} = 'zz' OR {measure} > 10)")),
                    6 => piece(MustNot, "random() >= 0"),
                    7 => piece(MustNot, "random() > 2"),
                    8 => piece(MustNot, format!("date_part('second', {time}) >= 30")),
                    9 => {
                        piece(MustNot, format!("{time} + INTERVAL '1 second' > {}", self.instant()))
                    }
                    10 => piece(
                        MustNot,
                        format!(
                            "date_bin(INTERVAL '1 minute', {time} + INTERVAL '1 second') = {}",
                            self.instant()
                        ),
                    ),
                    _ => piece(
                        MustNot,
                        format!("CASE WHEN {measure} > 5 THEN {pod} = 'a' ELSE true END"),
                    ),
                }
            }
        }
    }

    fn on_time(&mut self, time: &str) -> Piece {
        let (a, b) = (self.instant(), self.instant());
        let sql = match self.below(12) {
            0 => format!("{time} >= {a}"),
            1 => format!("{time} < {a}"),
            2 => format!("{time} <= {a}"),
            3 => format!("{time} > {a}"),
            4 => format!("{time} = {a}"),
            5 => format!("{time} <> {a}"),
            6 => format!("{a} < {time}"),
            7 => format!("{a} >= {time}"),
            8 => format!("{time} BETWEEN {a} AND {b}"),
            9 => format!("{time} NOT BETWEEN {a} AND {b}"),
            10 => format!("({time} <= {a} OR {time} > {b})"),
            _ => format!("NOT ({time} < {a})"),
        };
        piece(Must, sql)
    }

    fn on_bins(&mut self, time: &str) -> String {
        let (bins, a, b) = (self.bins(time), self.instant(), self.instant());
        if bins.contains("DATE") {
            let compare = self.one(&[
                "= DATE '2023-11-14'",
                ">= DATE '2023-11-20'",
                "< DATE '2023-12-01'",
                "<> DATE '1970-01-01'",
                "IN (DATE '2023-12-31', DATE '1969-12-31')",
                "BETWEEN DATE '2023-11-15' AND DATE '2023-12-01'",
            ]);
            return format!("{bins} {compare}");
        }
        match self.below(7) {
            0 => format!("{bins} = {a}"),
            1 => format!("{bins} >= {a}"),
            2 => format!("{bins} < {a}"),
            3 => format!("{bins} BETWEEN {a} AND {b}"),
            4 => format!("{bins} IN ({a}, {b})"),
            5 => format!("{a} <= {bins}"),
            _ => format!("{bins} <> {a}"),
        }
    }

    /// A condition of a WHERE, where subqueries may stand too.
    fn top_condition(&mut self, names: &Names) -> Piece {
        if !self.rarely(14) {
            return self.condition(names, 2);
        }
        let filter = self.type_filter();
        let (pod, measure) = (names.pod, names.measures[0]);
        match self.below(6) {
            0 => {
                self.scans.push(MustNot);
                let inner =
                    format!("SELECT pod FROM series{} AND value > 10", filtered_by(&[filter]));
                piece(MustNot, format!("{pod} IN ({inner})"))
            }
            1 => {
                self.scans.push(Must);
                let inner = format!(
                    "SELECT pod FROM series{} GROUP BY pod HAVING sum(value) > 50",
                    filtered_by(&[filter])
                );
                piece(MustNot, format!("{pod} IN ({inner})"))
            }
            2 => {
                self.scans.push(MustNot);
                let inner = format!("SELECT max(value) FROM series{}", filtered_by(&[filter]));
                piece(MustNot, format!("{measure} < ({inner})"))
            }
            3 => {
                self.scans.push(May);
                let inner = format!("SELECT max(pod) FROM series{}", filtered_by(&[filter]));
                piece(May, format!("{pod} = ({inner})"))
            }
            4 => {
                self.scans.push(MustNot);
                let inner = format!(
                    "SELECT 1 FROM series AS y WHERE y.{} AND y.pod = x.{pod} AND y.value > 20",
                    unqualified(&filter.sql)
                );
                piece(MustNot, format!("EXISTS ({inner})"))
            }
            _ => piece(May, format!("{pod} IN (SELECT 'a')")),
        }
    }

    fn aggregate(&mut self, names: &Names) -> Piece {
        let measure = self.one(&names.measures);
        let Names { time, pod, region, .. } = *names;
        if let Some(stack) = names.stack.filter(|_| self.rarely(4)) {
            return self.flamegraph(names, stack, measure);
        }
        match self.verdict() {
            Must => match self.below(14) {
                0..=5 => piece(Must, format!("sum({measure})")),
                6 | 7 => {
                    let condition = self.condition(names, 1);
                    piece(
                        condition.verdict,
                        format!("sum({measure}) FILTER (WHERE {})", condition.sql),
                    )
                }
                8 => {
                    let condition = self.condition(names, 1);
                    let zero = self.one(&[" ELSE 0", "", " ELSE NULL"]);
                    piece(
                        condition.verdict,
                        format!("sum(CASE WHEN {} THEN {measure}{zero} END)", condition.sql),
                    )
                }
                9 => {
                    let (a, b) = (self.condition(names, 0), self.condition(names, 0));
                    let verdict = worst(&[a.clone(), b.clone()]);
                    piece(
                        verdict,
                        format!(
                            "sum(CASE WHEN {} THEN {measure} WHEN {} THEN 0 ELSE {measure} END)",
                            a.sql, b.sql
                        ),
                    )
                }
                10 => piece(Must, format!("sum({measure}) / 1e9")),
                11 => piece(Must, format!("sum({measure}) % 1000")),
                12 => piece(Must, format!("coalesce(sum({measure}), 0)")),
                _ => piece(
                    Must,
                    format!(
                        "sum(CASE {pod} WHEN 'a' THEN {measure} WHEN 'b' THEN NULL ELSE 0 END)"
                    ),
                ),
            },
            May => match self.below(8) {
                0 => piece(May, format!("count(DISTINCT {pod})")),
                1 => piece(May, format!("max({pod})")),
                2 => piece(May, format!("sum({measure} * 1)")),
                3 => piece(May, format!("sum(CAST({measure} AS BIGINT))")),
                4 => piece(MustNot, format!("sum({measure} ORDER BY {region})")),
                5 => piece(May, format!("sum({measure} + 0)")),
                6 => piece(May, format!("string_agg(DISTINCT {pod}, ',' ORDER BY {pod})")),
                _ => piece(May, format!("count(DISTINCT {region}) + count(DISTINCT {pod})")),
            },
            MustNot => {
                let others = [
                    "count(*)",
                    "max({m})",
                    "min({m})",
                    "avg({m})",
                    "median({m})",
                    "count(DISTINCT {m})",
                    "sum(DISTINCT {m})",
                    "count({p})",
                    "sum({m} + 1)",
                    "sum(1)",
                    "sum(abs({m}))",
                    "sum(CASE WHEN {m} > 3 THEN {m} END)",
                    "sum(CASE WHEN {p} = 'a' THEN {m} ELSE 1 END)",
                    "sum({m}) FILTER (WHERE {m} > 3)",
                    "max({t})",
                    "sum({m}) / count(*)",
                    "sum(length({p}))",
                    "percentile_cont(0.9) WITHIN GROUP (ORDER BY {m})",
                    "array_agg({m} ORDER BY {m})",
                    "bool_or({m} > 40)",
                    "sum(CAST({m} AS DOUBLE))",
                    "sum({m} * 2)",
                    "sum(CASE WHEN random() >= 0 THEN {m} END)",
                    "sum(-{m})",
                    "first_value({m} ORDER BY {m})",
                    // One DISTINCT alone becomes an inner GROUP BY, so these are what a rule for it is for.
                    "sum(DISTINCT {m}) FILTER (WHERE {p} = 'a')",
                    "sum(DISTINCT {m}) + sum(DISTINCT {m} % 3)",
                ];
                let n = self.below(others.len() + usize::from(names.measures.len() > 1));
                let Some(sql) = others.get(n) else {
                    let [a, b] = [names.measures[0], names.measures[1]];
                    return piece(
                        MustNot,
                        format!("sum(CASE WHEN {pod} = 'a' THEN {a} ELSE {b} END)"),
                    );
                };
                self.may_overflow |= sql.contains("* 2");
                let sql = sql.replace("{m}", measure).replace("{p}", pod).replace("{t}", time);
                piece(MustNot, sql)
            }
        }
    }
}

impl Draw<'_> {
    fn flamegraph(&mut self, names: &Names, stack: &str, measure: &str) -> Piece {
        let stack = self
            .one(&[
                "{}",
                "{}",
                "{}",
                "stack_focus({}, 'parse')",
                "stack_hide({}, '^main$')",
                "stack_show_from(stack_ignore({}, 'gc'), 'e')",
                "stack_slice({}, 1, 2)",
                "CASE WHEN cardinality({}) > 1 THEN {} END",
            ])
            .replace("{}", stack);
        match self.verdict() {
            Must => {
                let condition = self.condition(names, 1);
                let sql = match self.below(8) {
                    0..=2 => return piece(Must, format!("flamegraph({stack}, {measure})")),
                    3 => return piece(Must, format!("flamegraph({stack}, 0)")),
                    4 => format!("flamegraph({stack}, {measure}) FILTER (WHERE {})", condition.sql),
                    5 => format!(
                        "flamegraph({stack}, CASE WHEN {} THEN {measure} END)",
                        condition.sql
                    ),
                    6 => format!(
                        "flamegraph_diff({stack}, {measure}, CASE WHEN {} THEN {measure} ELSE 0 END)",
                        condition.sql
                    ),
                    _ => format!(
                        "flamegraph_diff({stack}, CASE WHEN {0} THEN {measure} END, CASE WHEN NOT ({0}) THEN {measure} END)",
                        condition.sql
                    ),
                };
                piece(condition.verdict, sql)
            }
            May => piece(May, format!("flamegraph({stack}, {measure} * 1)")),
            MustNot => {
                let sql = self
                    .one(&[
                        "flamegraph({s}, {m} + 1)",
                        "flamegraph({s}, {m}) FILTER (WHERE {m} > 3)",
                        "flamegraph({s}, CASE WHEN {m} > 3 THEN {m} END)",
                        "flamegraph_diff({s}, {m}, abs({m}))",
                        "flamegraph_diff({s}, {m}, 1)",
                        "cardinality(flamegraph({s}, {m})) + count(*)",
                    ])
                    .replace("{s}", &stack)
                    .replace("{m}", measure);
                piece(MustNot, sql)
            }
        }
    }
}

fn filtered_by(filters: &[Piece]) -> String {
    match filters {
        [] => String::new(),
        filters => {
            let all: Vec<&str> = filters.iter().map(|f| f.sql.as_str()).collect();
            format!(" WHERE {}", all.join(" AND "))
        }
    }
}

/// A select that may begin with WITH, as one side of a set operation.
fn parenthesis(select: &str) -> String {
    format!("(SELECT * FROM ({select}) AS q)")
}

/// The filter on the type begins with a literal or the column: the column shall come first.
fn unqualified(filter: &str) -> String {
    match filter.split_once(" = profile_type") {
        Some((literal, _)) => format!("profile_type = {literal}"),
        None => filter.to_owned(),
    }
}
