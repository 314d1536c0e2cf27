//! The place that a request has among those that are answered: a large answer takes memory until its client has it.

use std::sync::{Arc, Mutex};

use axum::{
    body::{Body, HttpBody as _},
    http::header::CONTENT_LENGTH,
    response::Response,
};
use futures::StreamExt;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// What is smaller may wait for its client by itself.
const HELD_FROM: u64 = 64 << 10;

/// Keeps a place until an answer is taken, or until its time is over: others shall not wait for who takes nothing.
pub(crate) fn held(place: OwnedSemaphorePermit, answer: Response, end: Instant) -> Response {
    let size = answer.body().size_hint().exact();
    if size.is_some_and(|size| size < HELD_FROM) {
        return answer;
    }
    let place = Arc::new(Mutex::new(Some(place)));
    let left = Arc::downgrade(&place);
    tokio::spawn(async move {
        tokio::time::sleep_until(end).await;
        if let Some(place) = left.upgrade() {
            place.lock().expect("no thread panics while it holds this lock").take();
        }
    });
    let (mut head, body) = answer.into_parts();
    if let Some(size) = size {
        // A stream does not tell it.
        head.headers.insert(CONTENT_LENGTH, size.into());
    }
    // The place goes where the body goes.
    let body = body.into_data_stream().inspect(move |_| {
        let _ = &place;
    });
    Response::from_parts(head, Body::from_stream(body))
}
