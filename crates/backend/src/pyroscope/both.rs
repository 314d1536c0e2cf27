//! Servers that read from both storages, as 2.x does unless it is told otherwise.
//!
//! Such a server hands a question on to storage v1 or to v2, by where its range lies, and a range with the change-over in
//! it to both. Stacks of both add up. Series do not: each storage counts its points from the start of its own part, so
//! that points are at other times and what lies behind the last one is lost. It does not say so, nor when it changed over.
//!
//! Two things show it from outside. Asked for stacks as DOT it answers with a flame graph, whatever the range, where v2
//! alone answers with none. And a heat map, which only v2 has, is refused for a range of which v1 has a part.

use flamesql_proto::querier::v1::{
    HeatmapQueryType, ProfileFormat, SelectHeatmapRequest, SelectHeatmapResponse,
    SelectMergeStacktracesRequest, SelectMergeStacktracesResponse,
};

use super::{
    Generation, Pyroscope,
    millis::{Millis, Part},
    profiles::HEATMAP,
    stacks::MERGE,
};
use crate::{Error, ErrorKind, Report};

/// A selector that nothing meets, so that the answer costs nothing.
const NOTHING: &str = r#"{flamesql="none"}"#;
const ANY_TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

impl Pyroscope {
    /// Refuses series that do not come out right: over a range that lies in both storages, and where storage v1 would
    /// have to tell parts of a second apart.
    pub(super) async fn check_storages(&self, parts: &[Part]) -> Result<(), Error> {
        let starts = parts.iter().map(|part| part.range.start);
        let ends = parts.iter().map(|part| part.range.end);
        let (Some(start), Some(end)) = (starts.min(), ends.max()) else { return Ok(()) };
        let whole = Millis { start: start - 1, end };
        if self.generation != Generation::V2
            || !self.reads_both(whole).await?
            || self.is_v2_alone(whole).await?
        {
            return Ok(());
        }
        let refuse = |why: &str, hint: &str| {
            let range = Millis { start, end }.range();
            let what = format!("ask {} for a series of {range}: {why}", self.rpc.base());
            Err(Error::new(ErrorKind::Unsupported, what).with_hint(hint))
        };
        if self.is_v2_alone(Millis { start: end, end: end + 1 }).await? {
            return refuse(
                "it changed over from one storage to another in that time, and series of both do not add up there",
                "ask for times before or after the change-over",
            );
        }
        let is_whole = |part: &Part| part.range.start % 1000 == 0 && part.step % 1000 == 0;
        match parts.iter().all(is_whole) {
            true => Ok(()),
            false => refuse(
                "that lies in its storage v1, which tells whole seconds apart",
                "begin and end the range with a second, and ask for bins of whole seconds",
            ),
        }
    }

    /// Whether it puts answers of two storages together. This is found out once.
    async fn reads_both(&self, range: Millis) -> Result<bool, Error> {
        let find_out = || async {
            let mut question = SelectMergeStacktracesRequest {
                profile_type_id: ANY_TYPE.to_owned(),
                label_selector: NOTHING.to_owned(),
                start: range.start,
                end: range.start + 1,
                max_nodes: Some(1),
                ..SelectMergeStacktracesRequest::default()
            };
            question.set_format(ProfileFormat::Dot);
            let answer: Result<SelectMergeStacktracesResponse, Error> =
                self.rpc.call(MERGE, &question, &Report::new()).await;
            match answer {
                Ok(answer) => Ok(answer.flamegraph.is_some()),
                // It knows no such form, and so it is not one of those.
                Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.reads_both.get_or_try_init(find_out).await.copied()
    }

    /// Whether a range is answered from storage v2 alone.
    async fn is_v2_alone(&self, range: Millis) -> Result<bool, Error> {
        let mut question = SelectHeatmapRequest {
            profile_type_id: ANY_TYPE.to_owned(),
            label_selector: NOTHING.to_owned(),
            start: range.start,
            end: range.end,
            // In seconds; how many steps there are does not matter where there is nothing.
            step: 3600.0,
            ..SelectHeatmapRequest::default()
        };
        question.set_query_type(HeatmapQueryType::Individual);
        let answer: Result<SelectHeatmapResponse, Error> =
            self.rpc.call(HEATMAP, &question, &Report::new()).await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
            Err(error) => Err(error),
        }
    }
}
