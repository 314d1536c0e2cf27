//! Whether there are profiles, and since when.

use flamesql_backend::ErrorKind;
use flamesql_profile::{TimeRange, Timestamp};
use flamesql_proto::types::v1::{GetProfileStatsRequest, GetProfileStatsResponse};

use crate::{Served, connect::Asked, fault::Fault, question::now_millis};

pub(crate) async fn profile_stats(
    served: Served,
    _: Asked<GetProfileStatsRequest>,
) -> Result<GetProfileStatsResponse, Fault> {
    let backend = served.backend();
    let times = match backend.first_and_last().await {
        Ok(times) => times,
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        Err(error) => return Err(error.into()),
    };
    if times.is_none() && !backend.capabilities().is_finite {
        // Not each server tells that, and storage v2 only of what lies in its place: whether there is something can be found
        // out nevertheless.
        let now = Timestamp::from_nanos(now_millis().saturating_mul(1_000_000));
        let last_day = TimeRange::new(now.saturating_add(-DAY_NANOS), now);
        let types = backend.profile_types(last_day.unwrap_or(TimeRange::ALL)).await?;
        return Ok(GetProfileStatsResponse {
            data_ingested: !types.is_empty(),
            ..GetProfileStatsResponse::default()
        });
    }
    let millis = |time: Timestamp| time.nanos().div_euclid(1_000_000);
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
