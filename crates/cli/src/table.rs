//! Rows for people: columns side by side, in the manner of psql.
//!
//! Widths are taken from the first rows, so that an answer of any length passes through; a later cell that is wider
//! pushes its line to the right and loses nothing. Text is cut only to fit a terminal, and shows it.

use std::io::{self, Write};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
};
use flamesql_engine::output;

use crate::text;

/// How many rows are looked at for the widths of the columns.
const N_HELD: usize = 1000;
/// A column of text is not cut to less, however narrow the terminal is.
const MIN_WIDTH: usize = 8;
const SEPARATOR: &str = " | ";

/// A table that is being written.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    held: Vec<Vec<String>>,
    is_begun: bool,
    terminal: Option<usize>,
    /// Whether the rows are those of EXPLAIN, whose indented lines are to be read as such.
    is_plan: bool,
    n_cut: u64,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
    width: usize,
    /// How many digits a time's second has in all rows.
    n_digits: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Number,
    Time,
    Text,
}

impl Table {
    /// Begins a table; `terminal` is the number of columns of the terminal it goes to.
    pub(crate) fn new(schema: &Schema, terminal: Option<usize>) -> Self {
        let columns = schema.fields().iter().map(|field| {
            let kind = match field.data_type() {
                DataType::Timestamp(..) => Kind::Time,
                other if other.is_numeric() => Kind::Number,
                _ => Kind::Text,
            };
            let name = text::printable(field.name()).into_owned();
            Column { width: text::width(&name), name, kind, n_digits: 0 }
        });
        let columns: Vec<Column> = columns.collect();
        let is_plan = columns.iter().map(|column| column.name.as_str()).eq(["plan_type", "plan"]);
        let terminal = terminal.filter(|_| !is_plan);
        Self { columns, held: Vec::new(), is_begun: false, terminal, is_plan, n_cut: 0 }
    }

    /// Writes the rows of a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch, into: &mut dyn Write) -> io::Result<()> {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| output::cell_text(column, row));
            if self.is_plan {
                let cells: Vec<String> = cells.map(Option::unwrap_or_default).collect();
                let first = std::iter::once(cells[0].as_str()).chain(std::iter::repeat(""));
                for (plan_type, line) in first.zip(cells[1].trim_end().split('\n')) {
                    let line = [plan_type, line].map(|cell| text::printable(cell).into_owned());
                    self.push(line.into(), into)?;
                }
            } else {
                let shown = |cell: Option<String>| match cell {
                    Some(cell) => text::printable(&cell).into_owned(),
                    None => "NULL".to_owned(),
                };
                self.push(cells.map(shown).collect(), into)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, cells: Vec<String>, into: &mut dyn Write) -> io::Result<()> {
        if self.is_begun {
            return self.write_row(&cells, into);
        }
        self.held.push(cells);
        if self.held.len() == N_HELD {
            self.begin(into)?;
        }
        Ok(())
    }

    /// Writes what is left and returns how many cells were cut.
    pub(crate) fn finish(&mut self, into: &mut dyn Write) -> io::Result<u64> {
        if !self.is_begun {
            self.begin(into)?;
        }
        Ok(self.n_cut)
    }

    fn begin(&mut self, into: &mut dyn Write) -> io::Result<()> {
        self.is_begun = true;
        let held = std::mem::take(&mut self.held);
        for (idx, column) in self.columns.iter_mut().enumerate() {
            let cells = || held.iter().map(|row| &row[idx]);
            column.n_digits = match column.kind {
                Kind::Time => cells().map(|cell| n_digits(cell)).max().unwrap_or(0),
                _ => 0,
            };
            let widths = cells().map(|cell| text::width(&column.shown(cell)));
            column.width = widths.max().unwrap_or(0).max(column.width);
        }
        self.fit();
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        self.write_row(&names, into)?;
        let dashes: Vec<String> =
            self.columns.iter().map(|column| "-".repeat(column.width + 2)).collect();
        if !dashes.is_empty() {
            writeln!(into, "{}", dashes.join("+"))?;
        }
        held.iter().try_for_each(|row| self.write_row(row, into))
    }

    /// Makes columns of text narrower, the widest first, until a line fits the terminal.
    fn fit(&mut self) {
        let Some(terminal) = self.terminal else { return };
        loop {
            let separators = SEPARATOR.len() * self.columns.len().saturating_sub(1) + 1;
            let line: usize = self.columns.iter().map(|column| column.width).sum();
            let excess = (line + separators).saturating_sub(terminal);
            let mut texts: Vec<&mut Column> = self
                .columns
                .iter_mut()
                .filter(|c| c.kind == Kind::Text && c.width > MIN_WIDTH)
                .collect();
            texts.sort_by_key(|column| std::cmp::Reverse(column.width));
            let [widest, rest @ ..] = texts.as_mut_slice() else { return };
            if excess == 0 {
                return;
            }
            // Down to the next one, that both shrink alike from there.
            let next = rest.first().map_or(MIN_WIDTH, |column| column.width.min(widest.width - 1));
            let next = next.max(MIN_WIDTH);
            widest.width -= excess.min(widest.width - next).max(1);
        }
    }

    fn write_row(&mut self, cells: &[String], into: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        for (idx, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            line.push_str(if idx == 0 { " " } else { SEPARATOR });
            let shown = column.shown(cell);
            let is_cut = self.terminal.is_some()
                && column.kind == Kind::Text
                && text::width(&shown) > column.width;
            let shown = if is_cut { text::cut(&shown, column.width) } else { shown };
            self.n_cut += u64::from(is_cut);
            let blanks = column.width.saturating_sub(text::width(&shown));
            let is_right = column.kind == Kind::Number;
            text::pad(&mut line, if is_right { blanks } else { 0 });
            line.push_str(&shown);
            text::pad(&mut line, if is_right { 0 } else { blanks });
        }
        writeln!(into, "{}", line.trim_end())
    }
}

impl Column {
    /// A time without the zeros that all of its column end in.
    fn shown<'a>(&self, cell: &'a str) -> std::borrow::Cow<'a, str> {
        match self.kind {
            Kind::Time => short_time(cell, self.n_digits).into(),
            _ => cell.into(),
        }
    }
}

/// How many digits of a second are more than zeros, in groups of three.
fn n_digits(time: &str) -> usize {
    let fraction = time.strip_suffix('Z').and_then(|time| time.split_once('.'));
    let digits = fraction.map_or("", |(_, digits)| digits).trim_end_matches('0').len();
    digits.div_ceil(3) * 3
}

/// A time in RFC 3339 with so many digits of a second, or as many more as it takes.
pub(crate) fn short_time(time: &str, at_least: usize) -> String {
    let parts = time.strip_suffix('Z').and_then(|time| time.split_once('.'));
    let Some((seconds, digits)) = parts else { return time.to_owned() };
    match n_digits(time).max(at_least).min(digits.len()) {
        0 => format!("{seconds}Z"),
        n => format!("{seconds}.{}Z", &digits[..n]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
            .unwrap()
    }

    #[track_caller]
    fn check(batches: &[RecordBatch], terminal: Option<usize>, text: &str) -> u64 {
        let mut table = Table::new(&batches[0].schema(), terminal);
        let mut into = Vec::new();
        for batch in batches {
            table.write(batch, &mut into).unwrap();
        }
        let n_cut = table.finish(&mut into).unwrap();
        assert_eq!(String::from_utf8(into).unwrap(), text);
        n_cut
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn integers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn numbers_stand_to_the_right_in_full() {
        let batch = batch(vec![
            ("function", texts(&[Some("世界\u{1b}[1m\n"), None, Some("")])),
            ("self", integers(&[Some(i64::MIN), None, Some(7)])),
            ("last", texts(&[Some("a"), Some("b"), None])),
        ]);
        let n_cut = check(
            &[batch],
            None,
            r" function        |                 self | last
-----------------+----------------------+------
 世界\u{1b}[1m\n | -9223372036854775808 | a
 NULL            |                 NULL | b
                 |                    7 | NULL
",
        );
        assert_eq!(n_cut, 0);
    }

    #[test]
    fn an_empty_answer_has_its_columns_still() {
        let batch = batch(vec![("a", texts(&[])), ("b", integers(&[]))]);
        check(&[batch], None, " a | b\n---+---\n");
    }

    #[test]
    fn times_end_where_all_are_zero() {
        let times = |nanos: &[i64]| -> ArrayRef {
            let nanos: Vec<i64> = nanos.iter().map(|n| 1_794_301_200_000_000_000 + n).collect();
            Arc::new(TimestampNanosecondArray::from(nanos))
        };
        let batch = batch(vec![
            ("a", times(&[0, 1_000_000_000])),
            ("b", times(&[0, 5_000_000])),
            ("c", times(&[1_000, 1])),
        ]);
        check(
            &[batch],
            None,
            " a                    | b                        | c
----------------------+--------------------------+--------------------------------
 2026-11-10T09:00:00Z | 2026-11-10T09:00:00.000Z | 2026-11-10T09:00:00.000001000Z
 2026-11-10T09:00:01Z | 2026-11-10T09:00:00.005Z | 2026-11-10T09:00:00.000000001Z
",
        );
    }

    #[test]
    fn text_is_cut_to_a_terminal_only() {
        let long = || {
            batch(vec![
                ("stack", texts(&[Some("main;serve;parse;read"), Some("main")])),
                ("service", texts(&[Some("checkout-service"), Some("b")])),
                ("value", integers(&[Some(123_456_789), Some(1)])),
            ])
        };
        let whole = " stack                 | service          |     value
-----------------------+------------------+-----------
 main;serve;parse;read | checkout-service | 123456789
 main                  | b                |         1
";
        assert_eq!(check(&[long()], None, whole), 0);
        assert_eq!(check(&[long()], Some(80), whole), 0);
        let n_cut = check(
            &[long()],
            Some(43),
            " stack         | service        |     value
---------------+----------------+-----------
 main;s…e;read | checkou…ervice | 123456789
 main          | b              |         1
",
        );
        assert_eq!(n_cut, 2);
    }

    #[test]
    fn a_plan_is_read_line_by_line() {
        let batch = batch(vec![
            ("plan_type", texts(&[Some("logical_plan"), Some("physical_plan")])),
            ("plan", texts(&[Some("Projection: a\n  TableScan: t"), Some("Scan\tb\n")])),
        ]);
        check(
            &[batch],
            Some(20),
            r" plan_type     | plan
---------------+----------------
 logical_plan  | Projection: a
               |   TableScan: t
 physical_plan | Scan\tb
"
            .replace("\\\\", "\\")
            .as_str(),
        );
    }

    #[test]
    fn later_rows_may_be_wider_and_lose_nothing() {
        let first =
            batch(vec![("t", texts(&[Some("a"); N_HELD])), ("n", integers(&[Some(1); N_HELD]))]);
        let later = batch(vec![("t", texts(&[Some("abcdef")])), ("n", integers(&[Some(1234)]))]);
        let mut table = Table::new(&first.schema(), None);
        let mut into = Vec::new();
        table.write(&first, &mut into).unwrap();
        assert_eq!(into.iter().filter(|b| **b == b'\n').count(), N_HELD + 2);
        table.write(&later, &mut into).unwrap();
        table.finish(&mut into).unwrap();
        assert!(into.ends_with(b"\n a | 1\n abcdef | 1234\n"));
    }
}
