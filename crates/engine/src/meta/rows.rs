//! Asking for a catalogue table, and its columns.

use std::{collections::BTreeSet, sync::Arc};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, StringArray, StringBuilder, TimestampNanosecondArray,
};
use flamesql_backend::{
    Backend, Error as BackendError, ErrorKind as BackendErrorKind, MetaQuery, Report, Select,
};
use flamesql_profile::{Labels, ProfileType, Timestamp};
use flamesql_selector::Selector;
use futures::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture, stream};

use super::{MetaKind, MetaTable, plan::MetaPlan};
use crate::{
    Error, ErrorKind,
    rows::{append_labels, labels_builder},
    scan::CONCURRENT,
};

type Listed<T> = BoxFuture<'static, Result<Vec<T>, BackendError>>;

impl MetaTable {
    /// All columns of all rows.
    pub(super) async fn columns(&self, plan: &MetaPlan) -> Result<Vec<ArrayRef>, Error> {
        let backend = self.source.backend.as_ref();
        let meta = MetaQuery { profile_type: None, selector: Selector::all(), range: plan.range };
        Ok(match self.kind {
            MetaKind::ProfileTypes => {
                let types = backend.profile_types(plan.range).await?;
                let column = |part: fn(&ProfileType) -> &str| texts(types.iter().map(part));
                vec![
                    column(|t| t.as_str()),
                    column(|t| t.name()),
                    column(|t| t.sample_type()),
                    column(|t| t.sample_unit()),
                    column(|t| t.period_type()),
                    column(|t| t.period_unit()),
                ]
            }
            MetaKind::Labels => {
                let sets = backend.label_sets(&meta).await?;
                let pairs: BTreeSet<(&str, &str)> =
                    sets.iter().flat_map(|set| set.labels.iter()).collect();
                vec![
                    texts(pairs.iter().map(|(name, _)| *name)),
                    texts(pairs.iter().map(|(_, value)| *value)),
                ]
            }
            MetaKind::LabelSets => {
                let sets = backend.label_sets(&meta).await?;
                let mut columns = vec![texts(sets.iter().map(|set| set.profile_type.as_str()))];
                let labels: Vec<&Labels> = sets.iter().map(|set| &set.labels).collect();
                self.push_labels(&labels, &mut columns);
                columns
            }
            MetaKind::Profiles => self.profiles(plan).await?,
            MetaKind::Exemplars => self.exemplars(plan).await?,
            MetaKind::Heatmap => self.heatmap(plan).await?,
            MetaKind::Annotations => self.annotations(plan).await?,
        })
    }

    async fn profiles(&self, plan: &MetaPlan) -> Result<Vec<ArrayRef>, Error> {
        let ask = |backend: Arc<dyn Backend>, select: Select, report: Report| -> Listed<_> {
            async move { backend.profiles(&select, &report).await }.boxed()
        };
        let mut rows = self.list(plan, ask).await?;
        // The types of one profile stand together.
        rows.sort_by(|(_, a), (_, b)| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let mut columns = vec![texts(rows.iter().map(|(_, row)| row.id.as_str()))];
        self.push_dimensions(&rows, |row| (row.time, &row.labels), &mut columns);
        columns.push(integers(rows.iter().map(|(_, row)| row.value)));
        let durations = rows.iter().map(|(_, row)| row.duration_nanos);
        columns.push(Arc::new(Int64Array::from_iter(durations)));
        columns.push(some_texts(rows.iter().map(|(_, row)| row.source_file.as_deref())));
        Ok(columns)
    }

    async fn exemplars(&self, plan: &MetaPlan) -> Result<Vec<ArrayRef>, Error> {
        let ask = |backend: Arc<dyn Backend>, select: Select, report: Report| -> Listed<_> {
            async move { backend.exemplars(&select, &report).await }.boxed()
        };
        let mut rows = self.list(plan, ask).await?;
        rows.sort_by_key(|(_, row)| row.time);
        let mut columns = Vec::new();
        self.push_dimensions(&rows, |row| (row.time, &row.labels), &mut columns);
        columns.push(some_texts(rows.iter().map(|(_, row)| row.profile_id.as_deref())));
        columns.push(some_texts(rows.iter().map(|(_, row)| row.span_id.as_deref())));
        columns.push(some_texts(rows.iter().map(|(_, row)| row.trace_id.as_deref())));
        columns.push(integers(rows.iter().map(|(_, row)| row.value)));
        Ok(columns)
    }

    async fn heatmap(&self, plan: &MetaPlan) -> Result<Vec<ArrayRef>, Error> {
        let step = plan.step();
        let ask = move |backend: Arc<dyn Backend>, select: Select, report: Report| -> Listed<_> {
            async move { backend.heatmap(&select, step, &report).await }.boxed()
        };
        let mut rows = self.list(plan, ask).await?;
        rows.sort_by_key(|(_, row)| row.time);
        let mut columns = Vec::new();
        self.push_dimensions(&rows, |row| (row.time, &row.labels), &mut columns);
        let edges = rows.iter().map(|(_, row)| row.value_min);
        columns.push(Arc::new(Float64Array::from_iter_values(edges)));
        columns.push(integers(rows.iter().map(|(_, row)| row.count)));
        Ok(columns)
    }

    async fn annotations(&self, plan: &MetaPlan) -> Result<Vec<ArrayRef>, Error> {
        let ask = |backend: Arc<dyn Backend>, select: Select, report: Report| -> Listed<_> {
            async move { backend.annotations(&select, &report).await }.boxed()
        };
        let mut rows = self.list(plan, ask).await?;
        rows.sort_by_key(|(_, row)| row.time);
        let mut columns = Vec::new();
        self.push_dimensions(&rows, |row| (row.time, &row.labels), &mut columns);
        columns.push(texts(rows.iter().map(|(_, row)| row.key.as_str())));
        columns.push(texts(rows.iter().map(|(_, row)| row.value.as_str())));
        Ok(columns)
    }

    /// What the source lists for each request. The first that it cannot answer is an error: a type that is left out would
    /// be a hole that nobody sees.
    async fn list<T: Send + 'static>(
        &self,
        plan: &MetaPlan,
        ask: impl Fn(Arc<dyn Backend>, Select, Report) -> Listed<T>,
    ) -> Result<Vec<(ProfileType, T)>, Error> {
        let answers: Vec<_> = plan
            .selects
            .iter()
            .map(|select| {
                let profile_type = select.profile_type.clone();
                ask(Arc::clone(&self.source.backend), select.clone(), plan.report.clone())
                    .map_ok(move |rows| (profile_type, rows))
            })
            .collect();
        let mut answers = stream::iter(answers).buffered(CONCURRENT);
        let mut listed = Vec::new();
        while let Some(answer) = answers.next().await {
            let (profile_type, rows) = answer.map_err(|error| self.unanswered(error))?;
            listed.extend(rows.into_iter().map(|row| (profile_type.clone(), row)));
        }
        Ok(listed)
    }

    /// Why a source does not answer; if it never will, with the table that it does not have.
    fn unanswered(&self, error: BackendError) -> Error {
        if error.kind() != BackendErrorKind::Unsupported {
            return error.into();
        }
        let (source, kind) = (&self.source.name, self.source.backend.capabilities().kind);
        let what = format!("{source}.{} of a {kind} source: {error}", self.kind.name());
        let unanswered = Error::new(ErrorKind::Query, what);
        let unanswered = match (error.hint(), self.kind) {
            (Some(hint), _) => unanswered.with_hint(hint),
            (None, MetaKind::Profiles) => unanswered,
            (None, _) => unanswered.with_hint(
                "the table profiles lists single profiles where a source tells them apart",
            ),
        };
        unanswered.with_source(error)
    }

    /// Time and type of rows, and their labels.
    fn push_dimensions<T>(
        &self,
        rows: &[(ProfileType, T)],
        of: impl Fn(&T) -> (Timestamp, &Labels),
        columns: &mut Vec<ArrayRef>,
    ) {
        let times = rows.iter().map(|(_, row)| of(row).0.nanos());
        columns.push(Arc::new(TimestampNanosecondArray::from_iter_values(times)));
        columns.push(texts(rows.iter().map(|(profile_type, _)| profile_type.as_str())));
        let labels: Vec<&Labels> = rows.iter().map(|(_, row)| of(row).1).collect();
        self.push_labels(&labels, columns);
    }

    /// The map of labels, and a column for each.
    fn push_labels(&self, rows: &[&Labels], columns: &mut Vec<ArrayRef>) {
        let mut map = labels_builder();
        for labels in rows {
            append_labels(&mut map, labels);
        }
        columns.push(Arc::new(map.finish()));
        for name in &self.label_columns {
            let mut texts = StringBuilder::new();
            rows.iter().for_each(|labels| texts.append_option(labels.get(name)));
            columns.push(Arc::new(texts.finish()));
        }
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn some_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}
