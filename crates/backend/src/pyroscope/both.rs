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

use super::{Generation, Pyroscope, millis::Millis, profiles::HEATMAP, stacks::MERGE};
use crate::{Error, ErrorKind, Report};

/// A selector that nothing meets, so that the answer costs nothing.
const NOTHING: &str = r#"{flamesql="none"}"#;
const ANY_TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

impl Pyroscope {
    /// Refuses a series over a range that lies in both storages.
    pub(super) async fn check_storages(&self, range: Millis) -> Result<(), Error> {
        let whole = Millis { start: range.start - 1, end: range.end };
        if self.generation != Generation::V2
            || !self.reads_both(whole).await?
            || self.is_v2_alone(whole).await?
            // All of it may lie before the change-over.
            || !self.is_v2_alone(Millis { start: range.end, end: range.end + 1 }).await?
        {
            return Ok(());
        }
        let what = format!(
            "ask {} for a series of {}: it changed over from one storage to another in that time, and series of both do \
             not add up there",
            self.rpc.base(),
            range.range()
        );
        Err(Error::new(ErrorKind::Unsupported, what)
            .with_hint("ask for times before or after the change-over"))
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
