//! Series: a frame for each, as Grafana's data source has them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray},
    datatypes::{Int64Type, TimestampNanosecondType},
};
use flamesql_frame::{Field, Frame, FrameMeta, Visualisation};
use flamesql_profile::{Step, TimeRange, Timestamp};
use serde_json::json;

use super::{asked::Asked, range::MillisRange};
use crate::{
    Error,
    metadata::{DisplayUnit, Rate},
};

/// The labels of one series, in the order of their names.
pub(super) type Labels = BTreeMap<String, String>;

/// A series: when, and how much.
#[derive(Debug, Default)]
pub(super) struct Points {
    pub(super) times: Vec<i64>,
    pub(super) sums: Vec<i64>,
}

/// The steps of a range: a point at `t` is of what lies after `t - step` and not after `t`, as Pyroscope has it; `t` is a
/// multiple of the step, so that points stay where they are while a dashboard goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    step: Step,
    grain: Step,
    /// What they cover.
    pub(super) range: TimeRange,
}

impl Steps {
    /// The steps that end within a range. The last is one that is over at `now`, if there is one: half a step would show
    /// half a rate.
    pub(super) fn of(range: MillisRange, step: Step, grain: Step, now: Timestamp) -> Self {
        let nanos = step.nanos();
        let up = |time: Timestamp| {
            let down = time.floor(step, Timestamp::from_nanos(0));
            if down == time { down } else { down.saturating_add(nanos) }
        };
        let down = |time: Timestamp| time.floor(step, Timestamp::from_nanos(0));
        let first = up(range.start());
        let last = up(range.last()).min(down(now)).max(first);
        let start = first.saturating_add(-nanos).saturating_add(grain.nanos());
        let end = last.saturating_add(grain.nanos()).max(start);
        let range = TimeRange::new(start, end).expect("the end is not before the start");
        Self { step, grain, range }
    }

    pub(super) fn step(self) -> Step {
        self.step
    }

    /// Where steps are counted from: times are floored to the grain, so that the instant after a point is a grain later.
    pub(super) fn origin(self) -> Timestamp {
        Timestamp::from_nanos(self.grain.nanos())
    }

    /// The time of the point of a step that begins so.
    fn point(self, begins: i64) -> i64 {
        begins.saturating_add(self.step.nanos()).saturating_sub(self.grain.nanos())
    }
}

/// The series of an answer, in the order of their labels.
pub(super) fn collect(
    asked: &Asked,
    group_by: &[String],
    steps: Steps,
) -> BTreeMap<Labels, Points> {
    let mut all: BTreeMap<Labels, Points> = BTreeMap::new();
    for batch in &asked.batches {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let labels: Vec<&StringArray> =
            (1..=group_by.len()).map(|idx| batch.column(idx).as_string::<i32>()).collect();
        let sums = batch.column(group_by.len() + 1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let of_row: Labels = group_by
                .iter()
                .zip(&labels)
                .filter(|(_, values)| values.is_valid(row))
                .map(|(name, values)| (name.clone(), values.value(row).to_owned()))
                .collect();
            let points = all.entry(of_row).or_default();
            points.times.push(steps.point(times.value(row)));
            points.sums.push(sums.value(row));
        }
    }
    all
}

/// The largest series, as many as were asked for, and how many are left out.
pub(super) fn largest(
    all: BTreeMap<Labels, Points>,
    limit: Option<usize>,
) -> (Vec<(Labels, Points)>, usize) {
    let Some(limit) = limit.filter(|limit| *limit < all.len()) else {
        return (all.into_iter().collect(), 0);
    };
    let n_left_out = all.len() - limit;
    let total = |points: &Points| points.sums.iter().map(|sum| i128::from(*sum)).sum::<i128>();
    let mut sorted: Vec<(Labels, Points)> = all.into_iter().collect();
    sorted.sort_by_cached_key(|(_, points)| std::cmp::Reverse(total(points)));
    sorted.truncate(limit);
    (sorted, n_left_out)
}

/// How sums are shown.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    Rate(Rate),
    Sum(DisplayUnit),
}

impl Shown {
    pub(super) fn value(&self, sum: i64) -> f64 {
        match self {
            Self::Rate(rate) => rate.of_sum(sum),
            Self::Sum(_) => sum as f64,
        }
    }

    pub(super) fn unit(&self) -> &DisplayUnit {
        match self {
            Self::Rate(rate) => rate.unit(),
            Self::Sum(unit) => unit,
        }
    }

    fn is_rate(&self) -> bool {
        matches!(self, Self::Rate(rate) if rate.is_calculated())
    }
}

/// The frame of one series.
pub(super) fn frame(
    name: &str,
    labels: Labels,
    points: Points,
    shown: &Shown,
) -> Result<Frame, Error> {
    let mut frame = Frame::new("series");
    frame.meta = Some(FrameMeta {
        preferred_visualisation: Some(Visualisation::Graph),
        custom: shown.is_rate().then(|| json!({"rateCalculated": true})),
        ..FrameMeta::default()
    });
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(points.times));
    let values = points.sums.iter().map(|sum| shown.value(*sum));
    let values = Float64Array::from_iter_values(values);
    frame.push(Field::new("time", times)?)?;
    let mut field = Field::new(name, Arc::new(values))?;
    field.labels = Some(labels);
    field.config_mut().unit = Some(shown.unit().to_string());
    frame.push(field)?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(from: i64, to: i64, step: i64, now: i64) -> (i64, i64) {
        let millis = |n: i64| Step::from_nanos(n * 1_000_000).unwrap();
        let now = Timestamp::from_nanos(now * 1_000_000);
        let range = MillisRange::new(from, to).unwrap();
        let range = Steps::of(range, millis(step), millis(1), now).range;
        (range.start().nanos() / 1_000_000, range.end().nanos() / 1_000_000)
    }

    #[test]
    fn steps_are_whole() {
        // Points at 30 and 45 s: of all after 15 s, and not after 45 s.
        assert_eq!(steps(30_000, 45_000, 15_000, 100_000), (15_001, 45_001));
        assert_eq!(steps(29_999, 45_000, 15_000, 100_000), (15_001, 45_001));
        assert_eq!(steps(30_001, 45_001, 15_000, 100_000), (30_001, 60_001));
        // What is not over yet is left out, unless there would be nothing.
        assert_eq!(steps(30_000, 59_999, 15_000, 59_999), (15_001, 45_001));
        assert_eq!(steps(50_000, 55_000, 15_000, 55_000), (45_001, 60_001));
    }
}
