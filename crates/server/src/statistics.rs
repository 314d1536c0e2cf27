//! Whether there are profiles, and since when.

use flamesql_backend::{Report, Select};
use flamesql_profile::{TimeRange, Timestamp};
use flamesql_proto::types::v1::{GetProfileStatsRequest, GetProfileStatsResponse};
use flamesql_selector::Selector;

use crate::{Served, connect::Asked, fault::Fault};

pub(crate) async fn profile_stats(
    served: Served,
    _: Asked<GetProfileStatsRequest>,
) -> Result<GetProfileStatsResponse, Fault> {
    let backend = served.backend();
    let mut times: Option<(Timestamp, Timestamp)> = None;
    for profile_type in backend.profile_types(TimeRange::ALL).await? {
        let select = Select::new(profile_type, Selector::all(), TimeRange::ALL);
        for profile in backend.profiles(&select, &Report::new()).await? {
            let (oldest, newest) = times.unwrap_or((profile.time, profile.time));
            times = Some((oldest.min(profile.time), newest.max(profile.time)));
        }
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
