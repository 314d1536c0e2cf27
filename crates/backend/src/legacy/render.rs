//! What `/render` answers: a flame graph, a timeline, and a timeline for each value of a label.

use std::collections::BTreeMap;

use flamesql_profile::{StackTree, flamebearer::Levels};
use serde::Deserialize;

use super::{
    Legacy,
    call::Path,
    query::Query,
    time::{BUCKET, Span, time},
};
use crate::{Error, ErrorKind, Notice, Report, http::Answer};

/// As many nodes as a server draws unless it is told otherwise. More is no use: it sorts each node into a list of so
/// many, and what is left out is asked for in another form.
pub(super) const MAX_NODES: &str = "8192";
/// Where only the timeline is of interest.
const ONE_NODE: &str = "1";

/// What is asked for beside the timeline.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want<'a> {
    /// The stacks.
    Stacks,
    /// Nothing.
    Timeline,
    /// A timeline for each value of a label.
    GroupBy(&'a str),
}

impl Want<'_> {
    pub(super) fn path(self) -> Path {
        let (what, answer) = match self {
            Self::Stacks => ("ask for stacks", Answer::Stacks),
            Self::Timeline | Self::GroupBy(_) => ("ask for a series", Answer::List),
        };
        Path { path: "/render", what, answer }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) levels: Levels,
    /// Of all that was asked for.
    pub(super) timeline: Timeline,
    /// By the value of the label.
    pub(super) groups: BTreeMap<String, Timeline>,
}

/// Sums over time.
#[derive(Debug)]
pub(super) struct Timeline {
    /// In seconds.
    start: i64,
    /// In seconds.
    pub(super) step: i64,
    /// A sum and one for each step with data, 0 for each without.
    samples: Vec<u64>,
}

impl Timeline {
    /// Seconds at which a step begins, and the sum in it, where that is not 0.
    pub(super) fn sums(&self) -> impl Iterator<Item = (i64, i128)> + '_ {
        let steps = (0..).map(|idx: i64| self.start + idx * self.step);
        steps
            .zip(&self.samples)
            .map(|(at, sample)| (at, i128::from(*sample) - 1))
            .filter(|(_, sum)| *sum > 0)
    }

    /// Where it ends, in seconds. The server leaves out a step that would go on beyond the range.
    fn end(&self) -> i64 {
        let n = i64::try_from(self.samples.len()).unwrap_or(i64::MAX);
        self.start.saturating_add(self.step.saturating_mul(n))
    }
}

#[derive(Deserialize)]
struct Drawn {
    flamebearer: Flamebearer,
    timeline: Option<Line>,
    groups: Option<BTreeMap<String, Line>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flamebearer {
    names: Option<Vec<String>>,
    levels: Option<Vec<Vec<i64>>>,
    #[serde(default)]
    num_ticks: i64,
    #[serde(default)]
    max_self: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    start_time: i64,
    samples: Option<Vec<u64>>,
    duration_delta: i64,
    /// By level, when data before it was thinned out: level 1 to steps of a hundred seconds, and so on.
    #[serde(default)]
    watermarks: Option<BTreeMap<String, i64>>,
}

/// Asks for a range.
pub(super) async fn render(
    legacy: &Legacy,
    query: &Query,
    span: Span,
    want: Want<'_>,
    report: &Report,
) -> Result<Rendered, Error> {
    let (text, from, until) = (query.text(), span.start.to_string(), span.end.to_string());
    let max_nodes = if matches!(want, Want::Stacks) { MAX_NODES } else { ONE_NODE };
    let mut parameters = vec![
        ("query", text.as_str()),
        ("from", &from),
        ("until", &until),
        ("format", "json"),
        ("max-nodes", max_nodes),
    ];
    if let Want::GroupBy(name) = want {
        parameters.push(("groupBy", name));
    }
    let path = want.path();
    let answer: Drawn = legacy.calls.json_of(path, &parameters, report).await?;
    let timeline = match answer.timeline {
        Some(line) => {
            thinned_out(query, span, &line, report);
            read(legacy, path, span, line)?
        }
        None => return Err(legacy.calls.damaged(path, "it has no timeline")),
    };
    let mut groups = BTreeMap::new();
    for (value, line) in answer.groups.unwrap_or_default() {
        // So a server calls all that it was asked for where no label is named.
        if matches!(want, Want::GroupBy(_)) {
            groups.insert(value, read(legacy, path, span, line)?);
        }
    }
    let Flamebearer { names, levels, num_ticks, max_self } = answer.flamebearer;
    let levels = Levels {
        names: names.unwrap_or_default(),
        levels: levels.unwrap_or_default(),
        total: num_ticks,
        max_self,
    };
    Ok(Rendered { levels, timeline, groups })
}

fn read(legacy: &Legacy, path: Path, span: Span, line: Line) -> Result<Timeline, Error> {
    let Line { start_time: start, samples, duration_delta: step, .. } = line;
    let timeline = Timeline { start, step, samples: samples.unwrap_or_default() };
    let is_right = step == span.step() && start == span.start && timeline.end() <= span.end;
    is_right.then_some(timeline).ok_or_else(|| {
        let asked = format!("from {} in steps of {} s", span.start, span.step());
        let reason = format!("a timeline from {start} in steps of {step} s, and not {asked}");
        legacy.calls.damaged(path, reason)
    })
}

/// Says where data are coarser than the grain. What is told about by then is not told again.
fn thinned_out(query: &Query, span: Span, line: &Line, report: &Report) {
    let watermarks = line.watermarks.iter().flatten();
    let marks = watermarks.filter_map(|(level, at)| Some((level.parse::<u32>().ok()?, *at)));
    for (level, at) in marks.filter(|(level, at)| *level > 0 && *at > span.start) {
        let step = BUCKET.saturating_mul(10_i64.saturating_pow(level));
        let notice = Notice {
            subject: query.app().to_owned(),
            reason: format!(
                "before {} the server keeps it in steps of {step} s: finer times are made up by it",
                time(at)
            ),
            is_missing: false,
        };
        if !report.notices().contains(&notice) {
            report.add_notice(notice);
        }
    }
}

impl Rendered {
    /// Says so where an app is kept as an average: its stacks add up to less than its timeline does. The sum of the stacks is
    /// in each answer, however few nodes were asked for.
    pub(super) fn check_sum(&self, query: &Query, span: Span, report: &Report) {
        if self.timeline.step != BUCKET {
            return;
        }
        let stacks = self.levels.total;
        let timeline: i128 = self.timeline.sums().map(|(_, sum)| sum).sum();
        if i128::from(stacks) != timeline {
            const WHY: &str = "the server keeps an average of it, or thinned it out";
            let (subject, start, end) = (query.app(), time(span.start), time(span.end));
            let reason = format!(
                "from {start} to {end} its stacks come to {stacks} and its series to {timeline}: {WHY}"
            );
            // A long range is many answers: the first that shows it is enough.
            let is_told = |n: &Notice| n.subject == subject && n.reason.ends_with(WHY);
            if !report.notices().iter().any(is_told) {
                let subject = subject.to_owned();
                report.add_notice(Notice { subject, reason, is_missing: false });
            }
        }
    }

    /// The stacks; `None` where the form does not hold them.
    ///
    /// A node called `other` may stand for what was left out, and what a function of that name calls is left out, too. And
    /// old servers lay out some graphs wrongly.
    pub(super) fn tree(&self) -> Option<StackTree> {
        let tree = self.levels.decode().ok()?;
        let is_whole =
            !tree.has_other() && tree.total().is_ok_and(|total| total == self.levels.total);
        is_whole.then_some(tree)
    }
}

/// The error of an app whose numbers are not whole.
pub(super) fn overflow(legacy: &Legacy, path: Path) -> Error {
    legacy.calls.fail(ErrorKind::Overflow, path, "a sum does not fit in a signed 64-bit integer")
}
