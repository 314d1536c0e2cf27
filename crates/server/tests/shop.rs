//! The invented shop, as it was pushed to the servers that were recorded.

use std::{collections::BTreeMap, fs, path::PathBuf};

use flamesql_profile::pprof;
use flamesql_proto::{
    push::v1::{PushRequest, RawProfileSeries, RawSample},
    types::v1::LabelPair,
};
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

/// A message for each profile.
pub(crate) fn pushes() -> Vec<PushRequest> {
    let index = fs::read(root().join("index.json")).unwrap();
    let index: Index = serde_json::from_slice(&index).unwrap();
    let push = |indexed: Indexed| {
        let bytes = fs::read(root().join(&indexed.file)).unwrap();
        // What is damaged should not get as far as a server.
        pprof::decode(&bytes).unwrap();
        let labels = indexed.labels.into_iter();
        PushRequest {
            series: vec![RawProfileSeries {
                labels: labels.map(|(name, value)| LabelPair { name, value }).collect(),
                samples: vec![RawSample { raw_profile: bytes.into(), ..RawSample::default() }],
                ..RawProfileSeries::default()
            }],
        }
    };
    index.profiles.into_iter().map(push).collect()
}
