//! Profiles that are sent here, where that is allowed.

use std::collections::BTreeSet;

use flamesql_backend::Batch;
use flamesql_profile::{Labels, Timestamp, pprof};
use flamesql_proto::{
    push::v1::{PushRequest, PushResponse},
    types::v1::LabelPair,
};

use crate::{
    Served,
    connect::Asked,
    fault::{Code, Fault},
    question::now_millis,
};

const NAME: &str = "__name__";
const NANOS: i64 = 1_000_000;
/// The last millisecond that a question can end with.
const LAST_MILLIS: i64 = i64::MAX / NANOS;

pub(crate) async fn push(
    served: Served,
    Asked { message, .. }: Asked<PushRequest>,
) -> Result<PushResponse, Fault> {
    let Some(memory) = &served.options().push else {
        return Err(Fault::new(Code::Unimplemented, "this server takes no profiles"));
    };
    // All are read before one is taken: who sent a damaged one may send all of them again. Of each only what is kept stays
    // in memory.
    let mut batch = Batch::new();
    let mut is_empty = true;
    let max = served.options().max_inflated_push_bytes;
    let mut left = max;
    for series in message.series {
        let labels = labels(&series.labels)?;
        let fail = |reason: String| Fault::invalid(format!("push {labels}: {reason}"));
        let Some(name) = labels.get(NAME) else {
            return Err(fail(format!("the label {NAME} is missing")));
        };
        for sample in series.samples {
            is_empty = false;
            let profile = pprof::decode_within(&sample.raw_profile, &mut left);
            drop(sample);
            let profile = profile.map_err(|error| match error.kind() {
                flamesql_profile::ErrorKind::TooLarge => fail(format!(
                    "{error}; all profiles of a message may have {max} bytes together"
                )),
                _ => fail(error.to_string()),
            })?;
            let time = match profile.time_nanos {
                0 => now_millis().saturating_mul(NANOS),
                nanos if nanos.unsigned_abs() > (LAST_MILLIS * NANOS).unsigned_abs() => {
                    return Err(fail(format!("no question reaches its time, {nanos} ns")));
                }
                nanos => nanos,
            };
            batch
                .add_pprof(name, &labels.public(), Timestamp::from_nanos(time), &profile)
                .map_err(|error| fail(error.to_string()))?;
        }
    }
    if is_empty {
        return Err(Fault::invalid("no profiles received"));
    }
    memory.insert_batch(batch);
    Ok(PushResponse {})
}

/// The labels of a series, each of which has a name of its own.
fn labels(pairs: &[LabelPair]) -> Result<Labels, Fault> {
    let labels: Labels =
        pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
    let mut names = BTreeSet::new();
    for LabelPair { name, .. } in pairs {
        if name.is_empty() {
            return Err(Fault::invalid(format!("push {labels}: a label has no name")));
        }
        if !names.insert(name) {
            let reason = format!("the label {name:?} is given twice");
            return Err(Fault::invalid(format!("push {labels}: {reason}")));
        }
    }
    Ok(labels)
}
