//! A backend of one's own: profiles from a text that somebody else keeps, one stack a line.
//!
//! What a question needs is read when it is asked and put into a `Memory`, which answers. A source that can filter or add
//! up by itself does that in the same places instead; the conformance suite says whether it does it right.

use async_trait::async_trait;
use flamesql_backend::{
    Backend, Capabilities, Error, ErrorKind, Grouping, LabelSet, Memory, MetaQuery, Report, Select,
    SeriesAnswer, StackStream,
};
use flamesql_profile::{Labels, ProfileType, TimeRange, Timestamp, folded};
use futures::{StreamExt, stream};

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
/// Seconds, service, stack, nanoseconds.
pub(crate) const TEXT: &str =
    "10,checkout,main;pay,4\n15,checkout,main;pay;tls,5\n15,mail,main;send,2\n25,checkout,main,3\n";

#[derive(Debug)]
pub(crate) struct Csv(pub(crate) String);

impl Csv {
    /// The lines of a range, which is half-open.
    fn load(&self, range: TimeRange) -> Result<Memory, Error> {
        // It keeps to what this source says of itself.
        let memory = Memory::new().with_capabilities(self.capabilities());
        for line in self.0.lines() {
            let bad = || Error::new(ErrorKind::Unreadable, format!("read the line {line:?}"));
            let [time, service, stack, value] =
                line.split(',').collect::<Vec<_>>().try_into().map_err(|_| bad())?;
            let seconds: i64 = time.parse().map_err(|_| bad())?;
            let time = Timestamp::from_nanos(seconds * 1_000_000_000);
            if range.contains(time) {
                let cpu = ProfileType::parse(CPU).expect("five parts");
                let labels: Labels = [("service", service)].into_iter().collect();
                let stacks = folded::decode(format!("{stack} {value}").as_bytes());
                memory.insert(&cpu, &labels, time, 0, stacks.map_err(|_| bad())?.tree())?;
            }
        }
        Ok(memory)
    }
}

#[async_trait]
impl Backend for Csv {
    fn capabilities(&self) -> Capabilities {
        Capabilities::local("csv")
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        self.load(range)?.profile_types(range).await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        self.load(query.range)?.label_sets(query).await
    }

    async fn series(
        &self,
        select: &Select,
        by: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        self.load(select.range)?.series(select, by, report).await
    }

    fn stacks(&self, select: Select, by: Grouping, report: Report) -> StackStream {
        match self.load(select.range) {
            Ok(memory) => memory.stacks(select, by, report),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}

/// Asks for the stacks of one service from 15 s to just before 25 s.
pub(crate) async fn run() -> Result<String, Error> {
    let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
    let select = Select::new(
        ProfileType::parse(CPU).expect("five parts"),
        r#"{service=~"check.*"}"#.parse().expect("a selector"),
        TimeRange::new(at(15), at(25)).expect("in this order"),
    );
    let mut stacks = Csv(TEXT.to_owned()).stacks(select, Grouping::default(), Report::new());
    let mut text = String::new();
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
