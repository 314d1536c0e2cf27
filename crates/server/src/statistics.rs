//! Whether there are profiles, and since when.

use flamesql_profile::{TimeRange, Timestamp};
use flamesql_proto::types::v1::{GetProfileStatsRequest, GetProfileStatsResponse};

use crate::{Served, connect::Asked, fault::Fault, question::now_millis};

pub(crate) async fn profile_stats(
    served: Served,
    _: Asked<GetProfileStatsRequest>,
) -> Result<GetProfileStatsResponse, Fault> {
    let backend = served.backend();
    if !backend.capabilities().is_finite {
        // A server of another one does not know since when that has profiles: whether it has is all that it tells.
        let now = Timestamp::from_nanos(now_millis().saturating_mul(1_000_000));
        let last_day = TimeRange::new(now.saturating_add(-DAY_NANOS), now);
        let types = backend.profile_types(last_day.unwrap_or(TimeRange::ALL)).await?;
        return Ok(GetProfileStatsResponse {
            data_ingested: !types.is_empty(),
            ..GetProfileStatsResponse::default()
        });
    }
    let millis = |time: Timestamp| time.nanos().div_euclid(1_000_000);
    let times = backend.first_and_last().await?;
    Ok(times.map_or_else(GetProfileStatsResponse::default, |(oldest, newest)| {
        GetProfileStatsResponse {
            data_ingested: true,
            oldest_profile_time: millis(oldest),
            newest_profile_time: millis(newest),
        }
    }))
}

/// How far back is looked for profiles of a source without end.
const DAY_NANOS: i64 = 86_400_000_000_000;
