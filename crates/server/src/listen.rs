//! Connections: who may have one, for how long, and how they end.
//!
//! A client that sends nothing, half a request or takes nothing of its answer would keep a connection and what belongs to
//! it for ever, so each of these has its time.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::ServeOptions;

/// How long is waited where no connection can be taken, as where there are no more file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// How many requests are under way, up to the last byte of their answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Active(Arc<AtomicUsize>);

impl Active {
    pub(crate) fn n(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers whoever connects until `stop` is done; then what was begun has a while to come to its end.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    options: &ServeOptions,
    active: Active,
    stop: impl Future<Output = ()>,
) {
    let limits = Limits {
        head: options.head_timeout,
        idle: options.idle_timeout,
        write: options.write_timeout,
    };
    let room = options.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(room));
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
            (listener.accept().await, place)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => {
                    let serving =
                        connection(stream, router.clone(), limits, active.clone(), stopped.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                // One that was given up before it was taken.
                Err(error) if is_of_the_connection(&error) => {}
                Err(_) => sleep(PAUSE).await,
            },
        }
    }
    drop((listener, stopping));
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are left are dropped.
    let _ = timeout(options.grace, all).await;
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[derive(Clone, Copy)]
struct Limits {
    head: Duration,
    idle: Duration,
    write: Duration,
}

/// Serves one connection up to its end.
async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    active: Active,
    mut stopped: watch::Receiver<()>,
) {
    // Small answers are not held back to be sent with others; where that cannot be had they are right all the same.
    let _ = stream.set_nodelay(true);
    let state = State::new();
    let io = TokioIo::new(Watched { stream, state: state.clone() });
    let (router, of_requests) = (TowerToHyperService::new(router), state.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let begun = Begun::new(of_requests.clone(), active.clone());
        let answer = router.call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Counted { body, _begun: begun }))
        }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(io, service));
    // It fails once the sender is dropped.
    let mut stop = pin!(stopped.changed());
    let mut end = pin!(sleep_until(Instant::now()));
    let mut is_stopping = false;
    // All that changes the state happens in this task, so whatever wakes it finds the next time to look at.
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        // Half the head of a request is none.
        if is_stopping && state.lock().is_quiet() {
            return Poll::Ready(());
        }
        let Some(at) = state.lock().end(limits) else { return Poll::Pending };
        if end.deadline() != at {
            end.as_mut().reset(at);
        }
        end.as_mut().poll(cx)
    })
    .await;
}

/// What a connection is about.
#[derive(Clone)]
struct State(Arc<Mutex<Doing>>);

struct Doing {
    /// How many requests are under way.
    n_begun: usize,
    /// Since when there are none.
    quiet_since: Instant,
    /// Since when there is a part of the head of one.
    head_since: Option<Instant>,
    /// Since when the client takes nothing of what is ready for it.
    blocked_since: Option<Instant>,
}

impl State {
    fn new() -> Self {
        let quiet_since = Instant::now();
        let doing = Doing { n_begun: 0, quiet_since, head_since: None, blocked_since: None };
        Self(Arc::new(Mutex::new(doing)))
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().expect("no thread panics while it holds this lock")
    }
}

impl Doing {
    fn is_quiet(&self) -> bool {
        self.n_begun == 0 && self.blocked_since.is_none()
    }

    /// When it has taken too long with what it is about; `None` if it may take any time.
    fn end(&self, limits: Limits) -> Option<Instant> {
        let quiet = (self.n_begun == 0).then(|| match self.head_since {
            Some(since) => since.checked_add(limits.head),
            None => self.quiet_since.checked_add(limits.idle),
        });
        let blocked = self.blocked_since.and_then(|since| since.checked_add(limits.write));
        quiet.flatten().into_iter().chain(blocked).min()
    }
}

/// A request that is under way.
struct Begun {
    state: State,
    active: Active,
}

impl Begun {
    fn new(state: State, active: Active) -> Self {
        active.0.fetch_add(1, Ordering::Relaxed);
        {
            let mut doing = state.lock();
            doing.n_begun += 1;
            doing.head_since = None;
        }
        Self { state, active }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.active.0.fetch_sub(1, Ordering::Relaxed);
        let mut doing = self.state.lock();
        doing.n_begun -= 1;
        doing.quiet_since = Instant::now();
    }
}

/// The body of an answer, which is under way until it is sent.
struct Counted {
    body: Body,
    _begun: Begun,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that says what it does.
struct Watched {
    stream: TcpStream,
    state: State,
}

impl Watched {
    fn wrote(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut doing = self.state.lock();
        match poll {
            Poll::Pending => {
                doing.blocked_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(_) => doing.blocked_since = None,
        }
        poll
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            let mut doing = self.state.lock();
            if doing.n_begun == 0 {
                doing.head_since.get_or_insert_with(Instant::now);
            }
        }
        poll
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
