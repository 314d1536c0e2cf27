//! What this server says of itself.

use axum::{Json, extract::State, http::header::CONTENT_TYPE, response::IntoResponse};
use flamesql_proto::{
    capabilities::v1::{FeatureFlag, GetFeatureFlagsRequest, GetFeatureFlagsResponse},
    version::v1::{VersionRequest, VersionResponse},
};
use serde_json::json;

use crate::{Served, connect::Asked, fault::Fault};

/// By these a client knows that it may ask what storage v2 answers.
pub(crate) async fn feature_flags(
    served: Served,
    _: Asked<GetFeatureFlagsRequest>,
) -> Result<GetFeatureFlagsResponse, Fault> {
    let is_v2 = served.options().guise.is_storage_v2();
    let flag = |name: &str, description: &str| FeatureFlag {
        name: name.to_owned(),
        enabled: is_v2,
        description: Some(description.to_owned()),
        documentation_url: None,
    };
    Ok(GetFeatureFlagsResponse {
        feature_flags: vec![
            flag("utf8LabelNames", "Labels may have names of any letters."),
            flag("v2StorageLayer", "Answers are those of storage v2."),
        ],
    })
}

pub(crate) async fn version(_: Served, _: Asked<VersionRequest>) -> Result<VersionResponse, Fault> {
    Ok(VersionResponse { querier_api: 1 })
}

pub(crate) async fn build_info(State(served): State<Served>) -> impl IntoResponse {
    Json(json!({
        "status": "success",
        "data": {
            "version": format!("flamesql-{}", served.options().version),
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
    }))
}

pub(crate) async fn ready() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain")], "ready")
}
