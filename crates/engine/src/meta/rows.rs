//! Asking for a catalogue table, and its columns.
//!
//! What a source lists comes at once and is kept as it is; columns are made of a batch's worth of it at a time.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, StringArray, StringBuilder, TimestampNanosecondArray,
};
use flamesql_backend::{
    Annotation, Backend, Error as BackendError, ErrorKind as BackendErrorKind, Exemplar,
    HeatmapCell, LabelSet, MetaQuery, ProfileRow, Report, Select,
};
use flamesql_profile::{Labels, ProfileType, Timestamp};
use flamesql_selector::Selector;
use futures::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture, stream};

use super::{MetaKind, MetaTable, plan::MetaPlan};
use crate::{
    Error, ErrorKind,
    rows::{BATCH_BYTES, append_labels, check_row, labels_builder},
    scan::{BATCH_ROWS, CONCURRENT},
};

type Asked<T> = BoxFuture<'static, Result<Vec<T>, BackendError>>;

/// The rows of a catalogue table, as the source tells them.
pub(super) enum Listed {
    Types(Vec<ProfileType>),
    Labels(Vec<(String, String)>),
    Sets(Vec<LabelSet>),
    Profiles(Vec<(ProfileType, ProfileRow)>),
    Exemplars(Vec<(ProfileType, Exemplar)>),
    Heatmap(Vec<(ProfileType, HeatmapCell)>),
    Annotations(Vec<(ProfileType, Annotation)>),
}

impl Listed {
    fn len(&self) -> usize {
        match self {
            Self::Types(rows) => rows.len(),
            Self::Labels(rows) => rows.len(),
            Self::Sets(rows) => rows.len(),
            Self::Profiles(rows) => rows.len(),
            Self::Exemplars(rows) => rows.len(),
            Self::Heatmap(rows) => rows.len(),
            Self::Annotations(rows) => rows.len(),
        }
    }

    /// How much text a row brings into its columns, and the labels that it brings into more than one.
    fn text(&self, row: usize) -> (usize, Option<&Labels>) {
        let some = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Types(rows) => (2 * rows[row].as_str().len(), None),
            Self::Labels(rows) => (rows[row].0.len() + rows[row].1.len(), None),
            Self::Sets(rows) => (rows[row].profile_type.as_str().len(), Some(&rows[row].labels)),
            Self::Profiles(rows) => {
                let (profile_type, row) = &rows[row];
                let file = some(&row.source_file);
                (profile_type.as_str().len() + row.id.len() + file, Some(&row.labels))
            }
            Self::Exemplars(rows) => {
                let (profile_type, row) = &rows[row];
                let ids = some(&row.profile_id) + some(&row.span_id) + some(&row.trace_id);
                (profile_type.as_str().len() + ids, Some(&row.labels))
            }
            Self::Heatmap(rows) => (rows[row].0.as_str().len(), Some(&rows[row].1.labels)),
            Self::Annotations(rows) => {
                let (profile_type, row) = &rows[row];
                let note = row.key.len() + row.value.len();
                (profile_type.as_str().len() + note, Some(&row.labels))
            }
        }
    }

    /// The rows of the batch that begins at one: no more of them, and of their text, than a batch has. `None` behind the
    /// last.
    ///
    /// # Errors
    ///
    /// If a single row is too large for an Arrow array.
    pub(super) fn batch(&self, start: usize) -> Result<Option<Range<usize>>, Error> {
        let (mut end, mut n_bytes) = (start, 0);
        while end < self.len() && end - start < BATCH_ROWS && n_bytes < BATCH_BYTES {
            let (of_row, labels) = self.text(end);
            let of_labels = labels.map_or(0, |labels| {
                labels.iter().map(|(name, value)| name.len() + value.len()).sum()
            });
            check_row(of_row + of_labels)?;
            n_bytes += of_row + of_labels;
            end += 1;
        }
        Ok((start < end).then_some(start..end))
    }
}

impl MetaTable {
    /// All rows, or at least `limit` of them.
    pub(super) async fn listed(&self, plan: &MetaPlan, limit: usize) -> Result<Listed, Error> {
        let backend = self.source.backend.as_ref();
        let meta = MetaQuery { profile_type: None, selector: Selector::all(), range: plan.range };
        Ok(match self.kind {
            MetaKind::ProfileTypes => Listed::Types(backend.profile_types(plan.range).await?),
            MetaKind::Labels => {
                let sets = backend.label_sets(&meta).await?;
                let pairs: BTreeSet<(&str, &str)> =
                    sets.iter().flat_map(|set| set.labels.iter()).collect();
                let pairs = pairs.into_iter().take(limit);
                Listed::Labels(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
            }
            MetaKind::LabelSets => Listed::Sets(backend.label_sets(&meta).await?),
            MetaKind::Profiles => {
                let ask = |backend: Arc<dyn Backend>, select: Select, report: Report| -> Asked<_> {
                    async move { backend.profiles(&select, &report).await }.boxed()
                };
                let mut rows = self.list(plan, limit, ask).await?;
                // The types of one profile stand together.
                rows.sort_by(|(_, a), (_, b)| (a.time, &a.id).cmp(&(b.time, &b.id)));
                Listed::Profiles(rows)
            }
            MetaKind::Exemplars => {
                let ask = |backend: Arc<dyn Backend>, select: Select, report: Report| -> Asked<_> {
                    async move { backend.exemplars(&select, &report).await }.boxed()
                };
                let mut rows = self.list(plan, limit, ask).await?;
                rows.sort_by_key(|(_, row)| row.time);
                Listed::Exemplars(rows)
            }
            MetaKind::Heatmap => {
                let step = plan.step();
                let ask =
                    move |backend: Arc<dyn Backend>, select: Select, report: Report| -> Asked<_> {
                        async move { backend.heatmap(&select, step, &report).await }.boxed()
                    };
                let mut rows = self.list(plan, limit, ask).await?;
                rows.sort_by_key(|(_, row)| row.time);
                Listed::Heatmap(rows)
            }
            MetaKind::Annotations => {
                let ask = |backend: Arc<dyn Backend>, select: Select, report: Report| -> Asked<_> {
                    async move { backend.annotations(&select, &report).await }.boxed()
                };
                let mut rows = self.list(plan, limit, ask).await?;
                rows.sort_by_key(|(_, row)| row.time);
                Listed::Annotations(rows)
            }
        })
    }

    /// All columns of some rows.
    pub(super) fn columns(&self, listed: &Listed, rows: Range<usize>) -> Vec<ArrayRef> {
        match listed {
            Listed::Types(types) => {
                let column =
                    |part: fn(&ProfileType) -> &str| texts(types[rows.clone()].iter().map(part));
                vec![
                    column(|t| t.as_str()),
                    column(|t| t.name()),
                    column(|t| t.sample_type()),
                    column(|t| t.sample_unit()),
                    column(|t| t.period_type()),
                    column(|t| t.period_unit()),
                ]
            }
            Listed::Labels(pairs) => {
                let pairs = &pairs[rows];
                vec![
                    texts(pairs.iter().map(|(name, _)| name.as_str())),
                    texts(pairs.iter().map(|(_, value)| value.as_str())),
                ]
            }
            Listed::Sets(sets) => {
                let sets = &sets[rows];
                let mut columns = vec![texts(sets.iter().map(|set| set.profile_type.as_str()))];
                let labels: Vec<&Labels> = sets.iter().map(|set| &set.labels).collect();
                self.push_labels(&labels, &mut columns);
                columns
            }
            Listed::Profiles(profiles) => {
                let rows = &profiles[rows];
                let mut columns = vec![texts(rows.iter().map(|(_, row)| row.id.as_str()))];
                self.push_dimensions(rows, |row| (row.time, &row.labels), &mut columns);
                columns.push(integers(rows.iter().map(|(_, row)| row.value)));
                let durations = rows.iter().map(|(_, row)| row.duration_nanos);
                columns.push(Arc::new(Int64Array::from_iter(durations)));
                columns.push(some_texts(rows.iter().map(|(_, row)| row.source_file.as_deref())));
                columns
            }
            Listed::Exemplars(exemplars) => {
                let rows = &exemplars[rows];
                let mut columns = Vec::new();
                self.push_dimensions(rows, |row| (row.time, &row.labels), &mut columns);
                columns.push(some_texts(rows.iter().map(|(_, row)| row.profile_id.as_deref())));
                columns.push(some_texts(rows.iter().map(|(_, row)| row.span_id.as_deref())));
                columns.push(some_texts(rows.iter().map(|(_, row)| row.trace_id.as_deref())));
                columns.push(integers(rows.iter().map(|(_, row)| row.value)));
                columns
            }
            Listed::Heatmap(cells) => {
                let rows = &cells[rows];
                let mut columns = Vec::new();
                self.push_dimensions(rows, |row| (row.time, &row.labels), &mut columns);
                let edges = rows.iter().map(|(_, row)| row.value_min);
                columns.push(Arc::new(Float64Array::from_iter_values(edges)));
                columns.push(integers(rows.iter().map(|(_, row)| row.count)));
                columns
            }
            Listed::Annotations(annotations) => {
                let rows = &annotations[rows];
                let mut columns = Vec::new();
                self.push_dimensions(rows, |row| (row.time, &row.labels), &mut columns);
                columns.push(texts(rows.iter().map(|(_, row)| row.key.as_str())));
                columns.push(texts(rows.iter().map(|(_, row)| row.value.as_str())));
                columns
            }
        }
    }

    /// What the source lists for each request. The first that it cannot answer is an error: a type that is left out would
    /// be a hole that nobody sees. Who wants a few rows only is not asked for what comes after them.
    async fn list<T: Send + 'static>(
        &self,
        plan: &MetaPlan,
        limit: usize,
        ask: impl Fn(Arc<dyn Backend>, Select, Report) -> Asked<T>,
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
        let n_at_once = if limit < usize::MAX { 1 } else { CONCURRENT };
        let mut answers = stream::iter(answers).buffered(n_at_once);
        let mut listed = Vec::new();
        while listed.len() < limit
            && let Some(answer) = answers.next().await
        {
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
