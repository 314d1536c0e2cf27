//! A backend of one's own in some hundred lines: profiles from text, one stack a line.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use flamesql_backend::{
    Backend, Bins, Capabilities, Error, ErrorKind, GroupBy, Grouping, LabelSet, MetaQuery, Select,
    SeriesAnswer, StackGroup, StackStream,
};
use flamesql_profile::{
    Labels, Point, ProfileType, Series, StackTreeBuilder, TimeRange, Timestamp,
};
use flamesql_selector::{Filter, Selector};
use futures::{StreamExt, stream};

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
/// Seconds, service, stack, nanoseconds.
pub(crate) const TEXT: &str =
    "10,checkout,main;pay,4\n15,checkout,main;pay;tls,5\n15,mail,main;send,2\n25,checkout,main,3\n";

type Row = (Labels, Timestamp, Vec<String>, i64);
#[derive(Debug)]
pub(crate) struct Csv(Vec<Row>);

impl Csv {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let bad = |line: &str| Error::new(ErrorKind::Unreadable, format!("read the line {line:?}"));
        let row = |line: &str| {
            let [time, service, stack, value] =
                line.split(',').collect::<Vec<_>>().try_into().ok()?;
            let time = Timestamp::from_nanos(time.parse::<i64>().ok()? * 1_000_000_000);
            let stack = stack.split(';').map(str::to_owned).collect();
            Some(([("service", service)].into_iter().collect(), time, stack, value.parse().ok()?))
        };
        text.lines()
            .map(|line| row(line).ok_or_else(|| bad(line)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Every question is about some of the rows: half-open in time, each condition applied.
    fn rows(
        &self,
        id: &ProfileType,
        selector: &Selector,
        range: TimeRange,
    ) -> Result<Vec<&Row>, Error> {
        let bad =
            |e| Error::new(ErrorKind::InvalidQuery, format!("match {selector}")).with_source(e);
        let filter = Filter::new(selector).map_err(bad)?;
        let is_asked = |(labels, time, _, value): &&Row| {
            *value != 0 && range.contains(*time) && filter.matches(|name| labels.get(name))
        };
        let is_cpu = id.matches(&ProfileType::parse(CPU).expect("five parts"));
        Ok(self.0.iter().filter(|_| is_cpu).filter(is_asked).collect())
    }

    /// ... put into groups by bin and labels; a bin begins with its range at the earliest.
    fn groups(
        &self,
        select: &Select,
        by: &Grouping,
    ) -> Result<BTreeMap<(Labels, Timestamp), Vec<&Row>>, Error> {
        let mut groups: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
        for row in self.rows(&select.profile_type, &select.selector, select.range)? {
            let labels = match &by.labels {
                GroupBy::Labels(names) => row.0.only(names.iter().map(String::as_str)),
                GroupBy::All => row.0.clone(),
                _ => return Err(Error::new(ErrorKind::Unsupported, "group like that")),
            };
            let start = match by.time {
                Bins::Every { step, origin } => row.1.floor(step, origin).max(select.range.start()),
                _ => select.range.start(),
            };
            groups.entry((labels, start)).or_default().push(row);
        }
        Ok(groups)
    }
}

#[async_trait]
impl Backend for Csv {
    fn capabilities(&self) -> Capabilities {
        Capabilities::local("csv")
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        let cpu = ProfileType::parse(CPU).expect("five parts");
        Ok(if self.rows(&cpu, &Selector::all(), range)?.is_empty() { vec![] } else { vec![cpu] })
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        let cpu = ProfileType::parse(CPU).expect("five parts");
        let rows =
            self.rows(query.profile_type.as_ref().unwrap_or(&cpu), &query.selector, query.range)?;
        let labels: BTreeSet<Labels> = rows.into_iter().map(|row| row.0.clone()).collect();
        Ok(labels
            .into_iter()
            .map(|labels| LabelSet { profile_type: cpu.clone(), labels })
            .collect())
    }

    async fn series(&self, select: &Select, by: &Grouping) -> Result<SeriesAnswer, Error> {
        let mut answer = SeriesAnswer::default();
        for ((labels, start), rows) in self.groups(select, by)? {
            let first = rows.iter().map(|row| row.1).min().expect("no group is empty");
            let time = if by.time == Bins::Whole { first } else { start };
            let point = Point { time, value: rows.iter().map(|row| row.3).sum() };
            match answer.series.last_mut().filter(|series| series.labels == labels) {
                Some(series) => series.points.push(point),
                None => answer.series.push(Series { labels, points: vec![point] }),
            }
        }
        Ok(answer)
    }

    fn stacks(&self, select: Select, by: Grouping) -> StackStream {
        let groups = self.groups(&select, &by).and_then(|groups| {
            let group = |((labels, _), rows): ((Labels, Timestamp), Vec<&Row>)| {
                let mut tree = StackTreeBuilder::new();
                for (_, _, stack, value) in &rows {
                    let names: Vec<_> = stack.iter().map(|name| tree.intern(name)).collect();
                    let added = tree.insert(&names).and_then(|node| tree.add(node, *value));
                    added.map_err(|e| Error::new(ErrorKind::Overflow, "add up").with_source(e))?;
                }
                let time = rows[0].1;
                Ok(StackGroup { labels, time, tree: tree.finish(), has_negative: false })
            };
            groups.into_iter().map(group).collect::<Result<Vec<_>, Error>>()
        });
        let groups =
            groups.map_or_else(|error| vec![Err(error)], |g| g.into_iter().map(Ok).collect());
        stream::iter(groups).boxed()
    }
}

/// Asks for a series by service, and for the stacks of one of them from 15 s to just before 25 s.
pub(crate) async fn run() -> Result<String, Error> {
    let csv = Csv::new(TEXT)?;
    let cpu = ProfileType::parse(CPU).expect("five parts");
    let mut select = Select { profile_type: cpu, selector: Selector::all(), range: TimeRange::ALL };
    let by_service =
        Grouping { labels: GroupBy::Labels(vec!["service".into()]), ..Grouping::default() };
    let mut text = String::new();
    for series in csv.series(&select, &by_service).await?.series {
        text += &format!("{} {}\n", series.labels, series.points[0].value);
    }
    let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
    select.range = TimeRange::new(at(15), at(25)).expect("in this order");
    select.selector = r#"{service=~"check.*"}"#.parse().expect("a selector");
    let mut stacks = csv.stacks(select, Grouping::default());
    while let Some(group) = stacks.next().await {
        let tree = group?.tree;
        for (node, value) in tree.stacks() {
            text += &format!("{} {value}\n", tree.path(node).join(";"));
        }
    }
    Ok(text)
}

#[cfg(not(test))]
#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "it is what an example is for")]
async fn main() -> Result<(), Error> {
    print!("{}", run().await?);
    Ok(())
}
