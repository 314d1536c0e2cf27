//! The turn of a request: its body is read, then it takes a place, and then it is worked on where it holds nobody up.
//!
//! What a source computes, what is decoded, compiled and written would keep the threads that everyone's requests pass
//! through. So a request is worked on in a thread of its own, of which there are as many as places. Who waits for it is
//! answered in time whatever it does; its place is free once it has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{
    TryStreamExt,
    future::{Either, select},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, oneshot},
    task,
    time::{Instant, timeout_at},
};

use crate::{
    Served, connect,
    fault::{Code, Fault},
    place,
};

/// Bodies up to here are not counted among those that wait.
const FREE: usize = 64 << 10;

/// How a kind of request is worked on.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) served: Served,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// It costs nothing and waits for nobody.
    AtOnce,
    Question,
    /// One at a time, beside the questions.
    Push,
}

/// Reads the body of a request and works on it once there is a place, all within its time. The work for a client that went
/// away is dropped.
pub(crate) async fn in_turn(
    State(Turn { served, kind }): State<Turn>,
    request: Request,
    next: Next,
) -> Response {
    let arrived = Instant::now();
    let (mut limit, mut is_asked) = (served.options().timeout, false);
    if request.method() == Method::POST && connect::is_call(request.uri().path()) {
        match connect::check(request.headers()) {
            Ok(Some(asked)) if asked < limit => (limit, is_asked) = (asked, true),
            Ok(_) => {}
            Err(refused) => return *refused,
        }
    }
    // As far ahead as there is a clock is as good as no end.
    let end = arrived.checked_add(limit).unwrap_or_else(|| arrived + Duration::from_secs(1 << 30));
    if limit.is_zero() {
        return Fault::too_late(limit).into_response();
    }
    let max = match kind {
        Kind::AtOnce => FREE,
        Kind::Question => served.options().max_body_bytes,
        Kind::Push => served.options().max_push_bytes,
    };
    let (head, body) = request.into_parts();
    let (bytes, room) = match timeout_at(end, read(body, max, served.room())).await {
        Ok(Ok(read)) => read,
        Ok(Err(fault)) => return fault.into_response(),
        Err(_) => return Fault::too_late(limit).into_response(),
    };
    let request = Request::from_parts(head, Body::from(bytes));
    let places = match kind {
        Kind::AtOnce => {
            let answer = timeout_at(end, next.run(request)).await;
            return answer.unwrap_or_else(|_| Fault::too_late(limit).into_response());
        }
        Kind::Question => served.places(),
        Kind::Push => served.push_places(),
    };
    let place = match timeout_at(end, Arc::clone(places).acquire_owned()).await {
        Ok(place) => place.expect("it is never closed"),
        Err(_) if is_asked => return Fault::too_late(limit).into_response(),
        Err(_) => {
            let message = "too many requests are under way";
            return Fault::new(Code::Unavailable, message).into_response();
        }
    };
    match timeout_at(end, aside(request, next, place, room)).await {
        Ok(Some((answer, place))) => place::held(place, answer, end),
        Ok(None) => {
            Fault::new(Code::Internal, "a fault of this server; it goes on").into_response()
        }
        Err(_) => Fault::too_late(limit).into_response(),
    }
}

/// Works on a request in a thread of its own, up to the bytes of the answer. `None` if that panics.
async fn aside(
    request: Request,
    next: Next,
    place: OwnedSemaphorePermit,
    room: Taken,
) -> Option<(Response, OwnedSemaphorePermit)> {
    let runtime = Handle::current();
    // Dropped with this future when nobody waits for the answer any more.
    let (_waiting, left) = oneshot::channel::<()>();
    let work = task::spawn_blocking(move || {
        let answer = async {
            let (head, body) = next.run(request).await.into_parts();
            // What is packed is packed here.
            let body = axum::body::to_bytes(body, usize::MAX).await.ok()?;
            Some(Response::from_parts(head, Body::from(body)))
        };
        let answer = runtime.block_on(async {
            match select(std::pin::pin!(answer), left).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => None,
            }
        });
        drop(room);
        Some((answer?, place))
    });
    work.await.ok().flatten()
}

/// A whole body, if it is not too large and there is room for it.
async fn read(body: Body, max: usize, room: &Room) -> Result<(Bytes, Taken), Fault> {
    let too_large = |why: &str| {
        Fault::invalid(format!("cannot read the request, of {max} bytes at most: {why}"))
    };
    let mut taken = Taken { room: room.clone(), bytes: 0 };
    let mut body = body.into_data_stream();
    let mut bytes = Bytes::new();
    let mut more = Vec::new();
    while let Some(chunk) = body.try_next().await.map_err(|error| too_large(&error.to_string()))? {
        let n = bytes.len() + more.len() + chunk.len();
        if n > max {
            return Err(too_large("it is larger"));
        }
        taken.grow(n.saturating_sub(FREE))?;
        match bytes.is_empty() && more.is_empty() {
            true => bytes = chunk,
            false => {
                more.extend_from_slice(&std::mem::take(&mut bytes));
                more.extend_from_slice(&chunk);
            }
        }
    }
    Ok((if more.is_empty() { bytes } else { more.into() }, taken))
}

/// The room for bodies that are read or wait, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl Room {
    pub(crate) fn new(max: usize) -> Self {
        Self { used: Arc::default(), max }
    }
}

/// What one body takes of it, until it is dropped.
#[derive(Debug)]
struct Taken {
    room: Room,
    bytes: usize,
}

impl Taken {
    fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let more = bytes.saturating_sub(self.bytes);
        let used = self.room.used.fetch_add(more, Ordering::Relaxed) + more;
        self.bytes += more;
        if used > self.room.max && more > 0 {
            let message = "too many large requests are being read";
            return Err(Fault::new(Code::Unavailable, message));
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
