//! How many profiles have which value when.

use std::collections::BTreeMap;

use flamesql_backend::ProfileRow;
use flamesql_profile::Labels;
use flamesql_proto::{
    querier::v1::{HeatmapQueryType, SelectHeatmapRequest, SelectHeatmapResponse},
    types::v1::{ExemplarType, HeatmapSeries, HeatmapSlot, LabelPair},
};

use crate::{
    Served,
    connect::Asked,
    fault::{Code, Fault},
    private,
    question::{Millis, check_names},
    series::{Grid, exemplar, step_millis},
    served::report,
};

/// How many rows a heat map has.
const ROWS: usize = 20;

pub(crate) async fn select_heatmap(
    served: Served,
    Asked { message, .. }: Asked<SelectHeatmapRequest>,
) -> Result<SelectHeatmapResponse, Fault> {
    served.options().guise.check_heatmap()?;
    let step = step_millis(message.step)
        .ok_or_else(|| Fault::invalid(format!("step must be >= 1ms, got {:.6}", message.step)))?;
    if let Some(limit) = message.limit.filter(|limit| *limit < 0) {
        return Err(Fault::invalid(format!("limit must be non-negative, got {limit}")));
    }
    let (start, end) = (message.start, message.end);
    let millis = Millis::new(start, end, served.options())?;
    if start >= end {
        let message = format!("start time must be before end time, got start={start} end={end}");
        return Err(Fault::invalid(message));
    }
    match (message.query_type(), message.exemplar_type()) {
        (HeatmapQueryType::Unspecified, _) => {
            return Err(Fault::invalid("query_type is required"));
        }
        (HeatmapQueryType::Span, _) => {
            let message = "a heat map of spans is not implemented: ask for one of profiles";
            return Err(Fault::new(Code::Unimplemented, message));
        }
        (HeatmapQueryType::Individual, ExemplarType::Span) => {
            return Err(Fault::invalid("exemplar_type must be that of query_type, or none"));
        }
        (HeatmapQueryType::Individual, _) => {}
    }
    check_names("group_by", &message.group_by)?;
    let grid = Grid::new(millis, step);
    let chosen = grid.select(
        &message.profile_type_id,
        &message.label_selector,
        served.options().regex_budget(),
    )?;
    let Some(chosen) = chosen else { return Ok(SelectHeatmapResponse::default()) };
    let profiles = served.backend().profiles(&chosen, &report()).await?;
    let exemplars = match (message.exemplar_type(), step) {
        (ExemplarType::Individual, 1) => Exemplars::All,
        (ExemplarType::Individual, _) => Exemplars::Largest,
        _ => Exemplars::None,
    };
    let map = Map { grid, group_by: &message.group_by, exemplars };
    let mut series = map.series(&profiles);
    if let Some(limit) = message.limit.filter(|limit| *limit > 0) {
        series.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(SelectHeatmapResponse { series })
}

/// Which profiles are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exemplars {
    None,
    /// Of each cell the one with the largest value.
    Largest,
    /// All of them: who asks in steps of a millisecond wants a list. Pyroscope names the largest here as well, so that
    /// some are missing.
    All,
}

struct Map<'a> {
    grid: Grid,
    group_by: &'a [String],
    exemplars: Exemplars,
}

impl Map<'_> {
    /// The series, those of the most profiles first.
    fn series(&self, profiles: &[ProfileRow]) -> Vec<HeatmapSeries> {
        let values = profiles.iter().map(|profile| profile.value);
        let (Some(min), Some(max)) = (values.clone().min(), values.max()) else {
            return Vec::new();
        };
        let rows = Rows::new(min, max);
        let mut groups: BTreeMap<Labels, (usize, BTreeMap<i64, Vec<Cell<'_>>>)> = BTreeMap::new();
        for profile in profiles {
            let all = private::with_private(&profile.profile_type, &profile.labels);
            let group = all.only(self.group_by.iter().map(String::as_str));
            let (n, slots) = groups.entry(group).or_default();
            *n += 1;
            let slot = slots
                .entry(self.grid.point(profile.time))
                .or_insert_with(|| vec![Cell::default(); ROWS]);
            slot[rows.of(profile.value)].add(profile, self.exemplars);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
        let slot = |(timestamp, cells): (i64, Vec<Cell<'_>>)| HeatmapSlot {
            timestamp,
            y_min: rows.bounds(),
            counts: cells.iter().map(|cell| cell.n).collect(),
            exemplars: cells
                .iter()
                .flat_map(|cell| &cell.named)
                .map(|profile| exemplar(profile, self.group_by))
                .collect(),
        };
        let series = groups.into_iter().map(|(labels, (_, slots))| HeatmapSeries {
            labels: self
                .group_by
                .iter()
                .filter_map(|name| {
                    let value = labels.get(name)?.to_owned();
                    Some(LabelPair { name: name.clone(), value })
                })
                .collect(),
            slots: slots.into_iter().map(slot).collect(),
        });
        series.collect()
    }
}

#[derive(Clone, Default)]
struct Cell<'a> {
    n: i32,
    named: Vec<&'a ProfileRow>,
}

impl<'a> Cell<'a> {
    fn add(&mut self, profile: &'a ProfileRow, exemplars: Exemplars) {
        self.n = self.n.saturating_add(1);
        match (exemplars, self.named.first_mut()) {
            (Exemplars::None, _) => {}
            (Exemplars::Largest, Some(largest)) => {
                if profile.value > largest.value {
                    *largest = profile;
                }
            }
            (Exemplars::Largest, None) | (Exemplars::All, _) => self.named.push(profile),
        }
    }
}

/// Rows of equal height from the smallest value to the largest.
struct Rows {
    min: f64,
    height: f64,
}

impl Rows {
    #[expect(clippy::cast_precision_loss, reason = "the message has doubles")]
    fn new(min: i64, max: i64) -> Self {
        let max = if min == max { max.saturating_add(1) } else { max };
        let height = (max as f64 - min as f64) / ROWS as f64;
        Self { min: min as f64, height }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between the first row and the last"
    )]
    fn of(&self, value: i64) -> usize {
        (((value as f64 - self.min) / self.height) as usize).min(ROWS - 1)
    }

    #[expect(clippy::cast_precision_loss, reason = "there are few rows")]
    fn bounds(&self) -> Vec<f64> {
        (0..ROWS).map(|n| self.min + n as f64 * self.height).collect()
    }
}
