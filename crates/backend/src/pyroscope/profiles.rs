//! Single profiles, and what stands for many: `SelectHeatmap`, which storage v2 answers, and the annotations of points.
//!
//! In steps of a millisecond a heat map lists profiles: its exemplars have their ids. One exemplar stands for all
//! profiles of a label set whose values lie in one of twenty cells of the same millisecond, so its counts tell how many
//! are missing.

use flamesql_profile::{Labels, Step};
use flamesql_proto::{
    querier::v1::{HeatmapQueryType, SelectHeatmapRequest, SelectHeatmapResponse},
    types::v1::{self, ExemplarType},
};

use super::{
    Generation, Pyroscope,
    millis::{Millis, seconds, time},
    names,
    rpc::Method,
    series::Question,
    shapes,
};
use crate::{
    Annotation, Error, ErrorKind, Exemplar, GroupBy, HeatmapCell, Notice, ProfileRow, Report,
    Select, backend::only_all, http::Answer,
};

pub(super) const HEATMAP: Method = Method {
    path: "/querier.v1.QuerierService/SelectHeatmap",
    what: "ask for a heat map",
    answer: Answer::List,
    shape: &shapes::HEATMAP,
};

const SECOND: i64 = 1000;
/// Ranges up to here are looked through millisecond by millisecond as they are.
const SHORT: i64 = 600 * SECOND;

pub(super) async fn profiles(
    source: &Pyroscope,
    select: &Select,
    report: &Report,
) -> Result<Vec<ProfileRow>, Error> {
    let what = "list single profiles";
    let Some((question, range)) = ask(source, select, what, report).await? else {
        return Ok(Vec::new());
    };
    let runs = match range.len() > SHORT {
        true => question.occupied(range, SECOND).await?,
        false => vec![range],
    };
    let mut rows = Vec::new();
    let mut n_counted = 0;
    for run in runs {
        let map = Map { range: run, step: 1, kind: HeatmapQueryType::Individual };
        for (series, slots) in map.ask(&question, ExemplarType::Individual).await? {
            for slot in slots {
                n_counted += slot.counts.iter().map(|n| i64::from(*n)).sum::<i64>();
                for exemplar in slot.exemplars {
                    rows.push(ProfileRow {
                        id: exemplar.profile_id,
                        time: time(exemplar.timestamp),
                        profile_type: select.profile_type.clone(),
                        labels: names::public(exemplar.labels).overlaid_by(&series),
                        value: exemplar.value,
                        duration_nanos: None,
                        source_file: None,
                    });
                }
            }
        }
    }
    let n_missing = n_counted - i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if n_missing > 0 {
        report.add_notice(Notice {
            subject: source.rpc.base().to_owned(),
            reason: format!(
                "{n_missing} of {n_counted} profiles of {} are not listed: others of the same labels, millisecond and \
                 about the same value stand for them",
                select.profile_type
            ),
            is_missing: true,
        });
    }
    rows.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    Ok(rows)
}

/// The profiles and the spans with the largest values of their cells.
pub(super) async fn exemplars(
    source: &Pyroscope,
    select: &Select,
    report: &Report,
) -> Result<Vec<Exemplar>, Error> {
    let Some((question, range)) = ask(source, select, "list exemplars", report).await? else {
        return Ok(Vec::new());
    };
    let step = Step::of_columns(range.range()).nanos() / 1_000_000;
    let mut rows = Vec::new();
    for (kind, of) in [
        (HeatmapQueryType::Individual, ExemplarType::Individual),
        (HeatmapQueryType::Span, ExemplarType::Span),
    ] {
        let answer = match (Map { range, step, kind }).ask(&question, of).await {
            Err(error) if of == ExemplarType::Span && error.kind() == ErrorKind::Unsupported => {
                report.add_notice(Notice {
                    subject: source.rpc.base().to_owned(),
                    reason: format!("the exemplars of spans are not told: {error}"),
                    is_missing: true,
                });
                continue;
            }
            answer => answer?,
        };
        for (series, slots) in answer {
            for exemplar in slots.into_iter().flat_map(|slot| slot.exemplars) {
                let id = |id: String| (!id.is_empty()).then_some(id);
                rows.push(Exemplar {
                    time: time(exemplar.timestamp),
                    labels: names::public(exemplar.labels).overlaid_by(&series),
                    profile_id: id(exemplar.profile_id),
                    span_id: id(exemplar.span_id),
                    trace_id: id(exemplar.trace_id),
                    value: exemplar.value,
                });
            }
        }
    }
    rows.sort_by_key(|row| row.time);
    Ok(rows)
}

pub(super) async fn heatmap(
    source: &Pyroscope,
    select: &Select,
    step: Step,
    report: &Report,
) -> Result<Vec<HeatmapCell>, Error> {
    let Some((question, range)) = ask(source, select, "draw a heat map", report).await? else {
        return Ok(Vec::new());
    };
    let step = (step.nanos() / 1_000_000).max(1);
    let kind = HeatmapQueryType::Individual;
    let mut cells = Vec::new();
    for (labels, slots) in (Map { range, step, kind }).ask(&question, ExemplarType::None).await? {
        for slot in slots {
            let start = time(slot.timestamp);
            for (value_min, count) in slot.y_min.into_iter().zip(slot.counts) {
                if count > 0 {
                    let (labels, count) = (labels.clone(), i64::from(count));
                    cells.push(HeatmapCell { time: start, labels, value_min, count });
                }
            }
        }
    }
    cells.sort_by_key(|cell| cell.time);
    Ok(cells)
}

/// What was noted on the points of series.
pub(super) async fn annotations(
    source: &Pyroscope,
    select: &Select,
    report: &Report,
) -> Result<Vec<Annotation>, Error> {
    only_all(source.generation.kind(), &select.only)?;
    if matches!(source.generation, Generation::V1Before14 | Generation::Phlare) {
        let what = format!(
            "list annotations at {}: Pyroscope 1.14 and later have them, and this is {}",
            source.rpc.base(),
            source.generation
        );
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let Some(range) = source.millis(select.range) else { return Ok(Vec::new()) };
    let question = Question::new(source, select, &GroupBy::All, report).await?;
    let step = Step::of_columns(select.range).nanos() / 1_000_000;
    let grain = source.generation.grain().nanos() / 1_000_000;
    let mut rows = question.annotations(range, step.max(grain)).await?;
    rows.sort_by_key(|row| row.time);
    Ok(rows)
}

/// What is needed to ask for a heat map; `None` if there is nothing in the range.
async fn ask<'a>(
    source: &'a Pyroscope,
    select: &'a Select,
    what: &str,
    report: &'a Report,
) -> Result<Option<(Question<'a>, Millis)>, Error> {
    only_all(source.generation.kind(), &select.only)?;
    if source.generation != Generation::V2 {
        let what = format!(
            "{what} at {}: only Pyroscope with storage v2 can (SelectHeatmap), and this is {}",
            source.rpc.base(),
            source.generation
        );
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let question = Question::new(source, select, &GroupBy::All, report).await?;
    Ok(source.millis(select.range).map(|range| (question, range)))
}

/// A heat map, as it is asked for.
struct Map {
    range: Millis,
    step: i64,
    kind: HeatmapQueryType,
}

type Slots = Vec<(Labels, Vec<v1::HeatmapSlot>)>;

impl Map {
    /// Slots are steps as those of a series: see `millis.rs`. What is left behind the last whole one is asked for by itself.
    async fn ask(&self, question: &Question<'_>, exemplars: ExemplarType) -> Result<Slots, Error> {
        let Self { range: Millis { start, end }, step, kind } = *self;
        let last = end - (end - start) % step;
        let mut slots = Slots::new();
        for (range, step) in [(start, last, step), (last, end, end - last)]
            .into_iter()
            .filter(|(start, end, _)| start < end)
            .map(|(start, end, step)| (Millis { start, end }, step))
        {
            slots.extend(Self { range, step, kind }.ask_whole(question, exemplars).await?);
        }
        Ok(slots)
    }

    /// Whole steps alone. Each slot is moved to the start of its step.
    async fn ask_whole(
        &self,
        question: &Question<'_>,
        exemplars: ExemplarType,
    ) -> Result<Slots, Error> {
        let Self { range, step, kind } = self;
        let mut request = SelectHeatmapRequest {
            profile_type_id: question.profile_type.as_str().to_owned(),
            label_selector: question.text.clone(),
            start: range.start - 1,
            // A profile within the last millisecond is found only by an end behind it.
            end: question.end_of(*range),
            step: seconds(*step),
            group_by: question.group_by.clone(),
            ..SelectHeatmapRequest::default()
        };
        request.set_query_type(*kind);
        request.set_exemplar_type(exemplars);
        let rpc = &question.source.rpc;
        let answer: SelectHeatmapResponse = rpc.call(HEATMAP, &request, question.report).await?;
        let series = answer.series.into_iter().map(|series| {
            let moved = |mut slot: v1::HeatmapSlot| {
                slot.timestamp = slot.timestamp + 1 - step;
                slot
            };
            let is_in = |slot: &v1::HeatmapSlot| (range.start..range.end).contains(&slot.timestamp);
            let slots = series.slots.into_iter().map(moved).filter(is_in).collect();
            (names::public(series.labels), slots)
        });
        Ok(series.collect())
    }
}
