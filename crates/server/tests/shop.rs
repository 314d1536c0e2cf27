//! The invented shop, as it was pushed to the servers that were recorded.

use std::{collections::BTreeMap, fs, path::PathBuf};

use flamesql_profile::pprof;
use flamesql_proto::{
    push::v1::{PushRequest, RawProfileSeries, RawSample},
    types::v1::LabelPair,
};
use flamesql_server::Guise;
use serde::Deserialize;

#[derive(Deserialize)]
struct Index {
    profiles: Vec<Indexed>,
}

#[derive(Deserialize)]
struct Indexed {
    file: String,
    labels: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "backend", "tests", "fixtures", "shop"].iter().collect()
}

/// When the shop opens, in seconds.
pub(crate) const T0: i64 = 1_795_366_200;

/// A message for each profile, as it was sent to a server so that the shop opens at `t0`: older servers have no names
/// with dots.
pub(crate) fn pushes(t0: i64, guise: Guise) -> Vec<PushRequest> {
    let index = fs::read(root().join("index.json")).unwrap();
    let index: Index = serde_json::from_slice(&index).unwrap();
    let push = |indexed: Indexed| {
        let bytes = fs::read(root().join(&indexed.file)).unwrap();
        let mut profile = pprof::decode(&bytes).unwrap();
        profile.time_nanos += (t0 - T0) * 1_000_000_000;
        let name = |name: String| match guise {
            Guise::V115 | Guise::Phlare => name.replace('.', "_"),
            _ => name,
        };
        let labels = indexed.labels.into_iter().map(|(known, value)| (name(known), value));
        PushRequest {
            series: vec![RawProfileSeries {
                labels: labels.map(|(name, value)| LabelPair { name, value }).collect(),
                samples: vec![RawSample {
                    raw_profile: pprof::encode(&profile).into(),
                    ..RawSample::default()
                }],
                ..RawProfileSeries::default()
            }],
        }
    };
    index.profiles.into_iter().map(push).collect()
}
