//! What the editor of SQL completes: tables, their columns, functions and Grafana's macros.

use arrow::{array::AsArray, compute::cast, datatypes::DataType};
use flamesql_engine::SessionOptions;
use serde::Serialize;

use crate::{DataSource, Error, ErrorKind, MetaText, query::MACROS};

/// A table of SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableItem {
    /// Its name; it needs no prefix.
    pub name: String,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnItem {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow calls it.
    pub data_type: String,
}

/// A word that an editor may offer, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Completion {
    /// What is put into the text.
    pub label: String,
    /// `table`, `column`, `function` or `macro`.
    pub kind: &'static str,
    /// What it is, in words; a function's arguments.
    pub detail: String,
}

impl DataSource {
    /// The tables that a statement may name.
    ///
    /// # Errors
    ///
    /// If the source cannot be opened.
    pub async fn tables(&self) -> Result<Vec<TableItem>, Error> {
        let sql = "SELECT table_name FROM information_schema.tables \
                   WHERE table_schema <> 'information_schema' GROUP BY 1 ORDER BY 1";
        let rows = self.rows(sql, MetaText::default()).await?;
        let name = |row: Vec<String>| row.into_iter().next().unwrap_or_default();
        Ok(rows.into_iter().map(|row| TableItem { name: name(row) }).collect())
    }

    /// The columns of a table: those that it always has, and the labels of the range.
    ///
    /// # Errors
    ///
    /// If there is no such table, or the source gives no answer.
    pub async fn columns(
        &self,
        table: &str,
        range: MetaText<'_>,
    ) -> Result<Vec<ColumnItem>, Error> {
        let tables = self.tables().await?;
        if !tables.iter().any(|known| known.name == table) {
            let names: Vec<&str> = tables.iter().map(|known| known.name.as_str()).collect();
            let table: String = table.chars().take(100).collect();
            return Err(Error::not_found(format!("there is no table {table:?}"))
                .with_hint(format!("there are {}", names.join(", "))));
        }
        self.columns_of(table, range).await
    }

    /// The columns of one of the tables that there are; its name needs no quotes.
    async fn columns_of(&self, table: &str, range: MetaText<'_>) -> Result<Vec<ColumnItem>, Error> {
        let rows = self.rows(&format!("DESCRIBE {table}"), range).await?;
        let column = |row: Vec<String>| {
            let mut cells = row.into_iter();
            let (name, data_type) = (cells.next(), cells.next());
            ColumnItem { name: name.unwrap_or_default(), data_type: data_type.unwrap_or_default() }
        };
        Ok(rows.into_iter().map(column).collect())
    }

    /// All that an editor may offer, in the order of kinds and names.
    ///
    /// # Errors
    ///
    /// If the source gives no answer.
    pub async fn completions(&self, range: MetaText<'_>) -> Result<Vec<Completion>, Error> {
        let mut all = Vec::new();
        for table in self.tables().await? {
            for column in self.columns_of(&table.name, range).await? {
                let (label, detail) = (column.name, column.data_type);
                all.push(Completion { label, kind: "column", detail });
            }
            let detail = "a table of profiles".to_owned();
            all.push(Completion { label: table.name, kind: "table", detail });
        }
        let sql =
            "SELECT routine_name, min(syntax_example) FROM information_schema.routines GROUP BY 1";
        for row in self.rows(sql, range).await? {
            let mut cells = row.into_iter();
            let (label, detail) = (cells.next().unwrap_or_default(), cells.next());
            all.push(Completion { label, kind: "function", detail: detail.unwrap_or_default() });
        }
        for (label, detail) in MACROS {
            let (label, detail) = ((*label).to_owned(), (*detail).to_owned());
            all.push(Completion { label, kind: "macro", detail });
        }
        all.sort();
        // A column of several tables is one word.
        all.dedup_by(|a, b| (&a.label, a.kind) == (&b.label, b.kind));
        Ok(all)
    }

    /// The first column of a statement, and the second, if there is one.
    pub(crate) async fn pairs(
        &self,
        sql: &str,
        range: MetaText<'_>,
    ) -> Result<Vec<(String, Option<String>)>, Error> {
        let rows = self.rows(sql, range).await?;
        let pair = |row: Vec<String>| {
            let mut cells = row.into_iter();
            (cells.next().unwrap_or_default(), cells.next())
        };
        Ok(rows.into_iter().map(pair).collect())
    }

    /// The rows of a statement as texts.
    async fn rows(&self, sql: &str, range: MetaText<'_>) -> Result<Vec<Vec<String>>, Error> {
        let opened = self.opened().await?;
        let mut options = SessionOptions::default();
        if let (Some(_), Some(_)) = (range.start, range.end) {
            let range = crate::names::range(opened, range.start, range.end)?;
            (options.from, options.to) =
                (Some(range.start().to_string()), Some(range.end().to_string()));
        }
        let answer = opened.engine().session_with(&options)?.query(sql).await?;
        let mut rows = Vec::new();
        for batch in answer.collect().await? {
            let texts = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
            let texts = texts.collect::<Result<Vec<_>, _>>().map_err(|error| {
                Error::new(ErrorKind::Request, format!("a column has no text: {error}"))
            })?;
            for row in 0..batch.num_rows() {
                let cells = texts.iter().map(|column| {
                    let column = column.as_string::<i32>();
                    column.value(row).to_owned()
                });
                rows.push(cells.collect());
            }
        }
        Ok(rows)
    }
}
