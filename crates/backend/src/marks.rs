//! The samples of a profile that say in which span or trace they were taken.
//!
//! Most profiles have none, and most questions ask for none: so these stand beside a digest's rows and not among them.

use std::collections::HashMap;

use flamesql_profile::{
    NodeId,
    pprof::{Profile, TextId},
};

use crate::only::Choice;

/// What a text label of a sample says, if it is no label of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Span,
    Trace,
}

impl Mark {
    /// By the label's name. Older clients write `profile_id` for a span's id, and servers read it so.
    pub(crate) fn of_label(name: &str) -> Option<Self> {
        match name {
            "span_id" | "profile_id" => Some(Self::Span),
            "trace_id" => Some(Self::Trace),
            _ => None,
        }
    }
}

/// Samples with ids, each by itself, in the order of their series.
#[derive(Debug)]
pub(crate) struct Marks {
    /// In lower case, each once.
    ids: Vec<String>,
    rows: Vec<Row>,
    /// The values of each type, one a row.
    values: Vec<Vec<i64>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    series: u32,
    node: NodeId,
    span: Option<u32>,
    trace: Option<u32>,
}

/// Collects the ids of samples, which come in the order of their series.
pub(crate) struct MarksBuilder<'a> {
    profile: &'a Profile,
    marks: HashMap<TextId, Option<Mark>>,
    by_text: HashMap<TextId, u32>,
    by_id: HashMap<String, u32>,
    built: Marks,
}

impl<'a> MarksBuilder<'a> {
    pub(crate) fn new(profile: &'a Profile, n_types: usize) -> Self {
        let built = Marks { ids: Vec::new(), rows: Vec::new(), values: vec![Vec::new(); n_types] };
        let (marks, by_text, by_id) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { profile, marks, by_text, by_id, built }
    }

    /// Takes a sample if it has an id. `columns` are the types of its values; `None` is a sum that does not fit.
    pub(crate) fn add(
        &mut self,
        sample: usize,
        series: u32,
        node: NodeId,
        columns: &[usize],
    ) -> Option<()> {
        let (mut span, mut trace) = (None, None);
        for label in self.profile.sample_labels(sample) {
            let profile = self.profile;
            let mark = self.marks.entry(label.key);
            let mark = *mark.or_insert_with(|| Mark::of_label(profile.text(label.key)));
            let Some(mark) = mark.filter(|_| !profile.text(label.text).is_empty()) else {
                continue;
            };
            let slot = match mark {
                Mark::Span => &mut span,
                Mark::Trace => &mut trace,
            };
            // The first one counts, as on a server.
            if slot.is_none() {
                *slot = Some(self.id(label.text));
            }
        }
        if span.is_none() && trace.is_none() {
            return Some(());
        }
        self.built.rows.push(Row { series, node, span, trace });
        self.built.values.iter_mut().for_each(|column| column.push(0));
        for (kind, value) in columns.iter().zip(self.profile.sample_values(sample)) {
            let slot = self.built.values[*kind].last_mut()?;
            *slot = slot.checked_add(*value)?;
        }
        Some(())
    }

    fn id(&mut self, text: TextId) -> u32 {
        let (profile, by_id, ids) = (self.profile, &mut self.by_id, &mut self.built.ids);
        *self.by_text.entry(text).or_insert_with(|| {
            let id = profile.text(text).to_ascii_lowercase();
            *by_id.entry(id).or_insert_with_key(|id| {
                ids.push(id.clone());
                u32::try_from(ids.len() - 1).expect("texts are counted in 32 bits")
            })
        })
    }

    /// `None` if no sample has an id.
    pub(crate) fn finish(self) -> Option<Box<Marks>> {
        (!self.built.rows.is_empty()).then(|| Box::new(self.built))
    }
}

impl Marks {
    /// Stacks and values of the samples of one type and series that a choice takes, in no order, some stacks
    /// repeatedly.
    pub(crate) fn rows<'a>(
        &'a self,
        kind: usize,
        series: usize,
        choice: &'a Choice,
    ) -> impl Iterator<Item = (NodeId, i64)> + 'a {
        let before = |row: &Row, end: usize| (row.series as usize) < end;
        let start = self.rows.partition_point(|row| before(row, series));
        let end = self.rows.partition_point(|row| before(row, series + 1));
        let has = |id: Option<u32>, of: &dyn Fn(&str) -> bool| {
            id.is_some_and(|id| of(&self.ids[id as usize]))
        };
        let takes = move |row: &Row| match choice {
            Choice::Spans(ids) => has(row.span, &|id| ids.contains(id)),
            Choice::Traces(ids) => has(row.trace, &|id| ids.contains(id)),
            Choice::All | Choice::Profiles(_) => true,
        };
        let values = self.values[kind][start..end].iter();
        let rows = self.rows[start..end].iter().zip(values);
        rows.filter(move |(row, _)| takes(row)).map(|(row, value)| (row.node, *value))
    }

    /// About how much memory this takes.
    #[cfg(feature = "files")]
    pub(crate) fn bytes(&self) -> usize {
        self.ids.len() * 60 + self.rows.len() * (size_of::<Row>() + 8 * self.values.len())
    }
}
