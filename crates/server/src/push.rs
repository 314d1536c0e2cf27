//! Profiles that are sent here, where that is allowed.

use flamesql_profile::{Labels, Timestamp, pprof};
use flamesql_proto::push::v1::{PushRequest, PushResponse};

use crate::{
    Served,
    connect::Asked,
    fault::{Code, Fault},
    question::now_millis,
};

const NAME: &str = "__name__";

pub(crate) async fn push(
    served: Served,
    Asked { message, .. }: Asked<PushRequest>,
) -> Result<PushResponse, Fault> {
    let Some(memory) = &served.options().push else {
        return Err(Fault::new(Code::Unimplemented, "this server takes no profiles"));
    };
    // All are read before one is taken: who sent a damaged one may send all of them again.
    let mut profiles = Vec::new();
    for series in &message.series {
        let pairs = series.labels.iter().map(|pair| (pair.name.as_str(), pair.value.as_str()));
        let labels: Labels = pairs.collect();
        let Some(name) = labels.get(NAME) else {
            return Err(Fault::invalid(format!("push {labels}: the label {NAME} is missing")));
        };
        for sample in &series.samples {
            let profile = pprof::decode(&sample.raw_profile)
                .map_err(|error| Fault::invalid(format!("push {labels}: {error}")))?;
            let time = match profile.time_nanos {
                0 => Timestamp::from_nanos(now_millis().saturating_mul(1_000_000)),
                nanos => Timestamp::from_nanos(nanos),
            };
            profiles.push((name.to_owned(), labels.public(), time, profile));
        }
    }
    for (name, labels, time, profile) in profiles {
        memory
            .insert_pprof(&name, &labels, time, &profile)
            .map_err(|error| Fault::invalid(format!("push {labels}: {error}")))?;
    }
    Ok(PushResponse {})
}
