//! The HTTP API of Grafana's data sources over sources of one's own: queries, resources, health; and SQL.
//!
//! Paths and bodies are those of Grafana's HTTP API, so that whoever asks a data source there can ask here.

mod sources;
mod sql;

pub use self::sources::ApiSources;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use flamesql_datasource::{
    Caller, DataSource, Error, HealthStatus, QueryRequest, QueryResponse, QueryResult,
};
use serde_json::{Value, json};

use crate::Served;

/// The routes of the API; they want sources in the options.
pub(crate) fn routes() -> Router<Served> {
    Router::new()
        .route("/api/ds/query", post(query))
        .route("/api/datasources", get(list))
        .route("/api/datasources/uid/{uid}", get(one))
        .route("/api/datasources/uid/{uid}/health", get(health))
        .route("/api/datasources/uid/{uid}/resources/{*path}", any(resource))
        .route("/api/sql", post(sql::sql))
}

/// What went wrong, as JSON with its status.
#[derive(Debug)]
pub(crate) struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status());
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(&self.0)).into_response()
    }
}

fn sources(served: &Served) -> Result<&ApiSources, Failed> {
    let sources = served.options().sources.as_ref();
    sources.ok_or_else(|| Failed(Error::not_found("there are no data sources here")))
}

/// The data source of a uid or a name.
fn named(served: &Served, uid: &str) -> Result<Arc<DataSource>, Failed> {
    Ok(sources(served)?.named(uid)?)
}

/// The body of a request, or why it cannot be read.
async fn body(served: &Served, body: Body) -> Result<Vec<u8>, Failed> {
    let max = served.options().max_body_bytes;
    let bytes = axum::body::to_bytes(body, max).await.map_err(|error| {
        Failed(Error::request(format!("cannot read the request, of {max} bytes at most: {error}")))
    })?;
    Ok(bytes.into())
}

async fn query(State(served): State<Served>, request: Request) -> Result<Response, Failed> {
    let bytes = body(&served, request.into_body()).await?;
    let request = QueryRequest::read(&bytes)?;
    let mut all = QueryResponse::default();
    let mut asked = Vec::new();
    for (uid, part) in request.by_source()? {
        let source = match &uid {
            Some(uid) => named(&served, uid),
            None => sources(&served).map(ApiSources::default_source),
        };
        match source {
            Ok(source) => asked.push(async move { source.query(part).await }),
            Err(Failed(error)) => {
                for ref_id in part.ref_ids() {
                    let frames = Err(error.clone());
                    all.results.insert(ref_id, QueryResult { frames });
                }
            }
        }
    }
    for answer in futures::future::join_all(asked).await {
        all.add(answer);
    }
    let status = StatusCode::from_u16(all.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut json = Vec::new();
    all.write_json(&mut json)?;
    Ok((status, [(CONTENT_TYPE, "application/json")], json).into_response())
}

async fn list(State(served): State<Served>) -> Result<Json<Value>, Failed> {
    Ok(Json(Value::Array(sources(&served)?.described())))
}

async fn one(State(served): State<Served>, Path(uid): Path<String>) -> Result<Json<Value>, Failed> {
    let source = named(&served, &uid)?;
    Ok(Json(sources(&served)?.describe(&source)))
}

async fn health(State(served): State<Served>, Path(uid): Path<String>) -> Result<Response, Failed> {
    let health = named(&served, &uid)?.health().await;
    let status = match health.status {
        HealthStatus::Ok => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    };
    Ok((status, Json(health)).into_response())
}

async fn resource(
    State(served): State<Served>,
    method: Method,
    Path((uid, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failed> {
    let source = named(&served, &uid)?;
    let query = request.uri().query().unwrap_or_default();
    // Whoever reaches this server could have started it.
    let caller = Caller { may_write: true };
    let answer = source.resource(method.as_str(), &path, query, caller).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(CONTENT_TYPE, "application/json")], answer.body).into_response())
}

/// A list of what there is, for an error.
fn listed(names: &BTreeMap<String, usize>) -> String {
    let names: Vec<&str> = names.keys().map(String::as_str).collect();
    names.join(", ")
}

/// What a source says of itself.
fn described(source: &DataSource, is_default: bool) -> Value {
    let settings = source.settings();
    json!({
        "uid": settings.uid,
        "name": settings.name,
        "type": "grafana-pyroscope-datasource",
        "typeName": "Grafana Pyroscope",
        "access": "proxy",
        "url": settings.origin.to_string(),
        "isDefault": is_default,
        "readOnly": true,
        "jsonData": {
            "backendType": settings.backend_type.map(|kind| kind.to_string()),
            "minStep": settings.min_step.as_ref().ok().map(ToString::to_string),
        },
    })
}
