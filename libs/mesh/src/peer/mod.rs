//! How a service calls another: over any endpoint that answers, with our certificate, a deadline and the trace.

mod line;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Uri, header::USER_AGENT};
use http_body::Frame;
use hyper::body::{Bytes, Incoming};
use tokio::time::{sleep_until, timeout_at};
use tonic::{Code, Status, body::Body};
use tower::Service;
use tracing::Instrument;

use self::line::{Line, NotSent};
use crate::{
    Deadline, Method,
    config::PeerConfig,
    contracts,
    deadline::{GRPC_TIMEOUT, header, stated},
    layers::{Instruments, Measured, Until, inject},
    refusal::{Refusal, reason},
    tls,
};

const USER_AGENT_VALUE: HeaderValue = HeaderValue::from_static(concat!("haetae/", env!("CARGO_PKG_VERSION")));

/// A service that is called, cheap to clone: hand a clone to a generated client.
///
/// Connects with the first call. Calls go round the endpoints; one that cannot be reached is passed over, and a call
/// that was never sent goes to the next. A call that was sent is not repeated: whoever knows that it may be decides.
///
/// Every call has a deadline: the one in its extensions or its `grpc-timeout`, else that of the work in hand, else the
/// peer's. A stream with none of the former two is timed until it begins.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    name: String,
    lines: Vec<Line>,
    next: AtomicUsize,
    deadline: Duration,
    instruments: Arc<Instruments>,
}

impl Peer {
    /// A peer of that name, for messages and spans. Reads certificates and keys, connects nowhere yet. Needs a Tokio
    /// runtime.
    ///
    /// # Errors
    /// When there is no endpoint, or certificates and keys cannot be used.
    pub fn connect(name: &str, config: &PeerConfig) -> anyhow::Result<Self> {
        anyhow::ensure!(!config.endpoints.is_empty(), "peer {name} has no endpoint");
        let files = config.tls.as_ref().with_context(|| format!("peer {name} has no certificates"))?;
        let server_name = config.server_name.as_deref();
        let tls = Arc::new(tls::client(files, server_name).with_context(|| format!("peer {name}"))?);
        tls::tell_end(name, &tls);
        let lines = config
            .endpoints
            .iter()
            .map(|endpoint| Line::new(endpoint.clone(), server_name, config.connect_timeout(), Arc::clone(&tls)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            lines,
            next: AtomicUsize::new(0),
            deadline: Duration::from_millis(config.deadline_ms),
            instruments: Arc::new(Instruments::client()),
        })))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Peer").field(&self.0.name).finish()
    }
}

impl Service<http::Request<Body>> for Peer {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        let method = contracts::known(request.uri().path());
        let name: Arc<str> = method.map_or_else(|| "unknown".into(), |m| m.full_name().into());
        let span = tracing::info_span!(
            "call",
            otel.name = &*name,
            otel.kind = "client",
            rpc.system.name = "grpc",
            rpc.method = &*name,
            peer = inner.name,
            rpc.response.status_code = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        inject(&span, request.headers_mut());
        request.headers_mut().insert(USER_AGENT, USER_AGENT_VALUE);
        let time = Time::of(&request, method.map(Arc::as_ref), inner.deadline);
        if let Some(end) = time.whole {
            request.headers_mut().insert(GRPC_TIMEOUT, header(end.remaining()));
        }

        async move {
            let mut tell = inner.instruments.begin(&name);
            let answer = match timeout_at(time.begins.instant(), inner.send(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(no_answer(&inner.name, &name)),
            };
            match answer {
                Ok(response) => {
                    let response = Measured::around(response, tell);
                    Ok(match time.whole {
                        Some(end) => response.map(|body| inner.timed(body, end, name)),
                        None => response,
                    })
                }
                Err(status) => {
                    tell(status.code());
                    Err(status)
                }
            }
        }
        .instrument(span)
        .boxed()
    }
}

/// How long a call may take.
struct Time {
    /// Until there are response headers.
    begins: Deadline,
    /// Until everything is over; the peer is told this one.
    whole: Option<Deadline>,
}

impl Time {
    fn of(request: &http::Request<Body>, method: Option<&Method>, default: Duration) -> Self {
        let of_call = request
            .extensions()
            .get::<Deadline>()
            .copied()
            .into_iter()
            .chain(stated(request.headers()).map(Deadline::after))
            .min();
        let told = of_call.into_iter().chain(Deadline::current()).min();
        let begins = told.unwrap_or_else(|| Deadline::after(default));
        // A method that no contract knows may be a stream.
        let streams = method.is_none_or(|m| m.server_streaming);
        Self { begins, whole: told.or((!streams).then_some(begins)) }
    }
}

impl Inner {
    async fn send(self: &Arc<Self>, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query;
        parts.uri = Uri::default();
        let mut request = http::Request::from_parts(parts, body);
        for line in self.in_turn() {
            *request.uri_mut() = line
                .uri(path.clone())
                .map_err(|error| Status::internal(format!("the method's path cannot be sent: {error}")))?;
            match line.send(request).await {
                Ok(response) => return Ok(response.map(|body| heard(body, Arc::clone(self)))),
                Err(NotSent::Unreachable(back)) => request = *back,
                Err(NotSent::Failed(error)) => return Err(failed(&self.name, error)),
            }
        }
        Err(Refusal::new(
            Code::Unavailable,
            reason::PEER_UNREACHABLE,
            format!("no endpoint of {} can be reached", self.name),
        )
        .retry_after(Duration::from_millis(500))
        .into())
    }

    /// Every line, beginning with the next; those that failed just now come last.
    fn in_turn(&self) -> Vec<&Line> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.lines.len().max(1);
        let (before, from) = self.lines.split_at(start);
        let mut order: Vec<&Line> = from.iter().chain(before).collect();
        order.sort_by_key(|line| line.failed_lately());
        order
    }

    /// A body that ends with its deadline.
    fn timed(&self, body: Body, end: Deadline, method: Arc<str>) -> Body {
        let peer = self.name.clone();
        let over = async move {
            sleep_until(end.instant()).await;
            no_answer(&peer, &method)
        };
        Until::around(body, over, 0)
    }
}

/// What comes from a peer. Holds the peer, and so the connection, for as long as it is read.
struct Heard {
    body: Incoming,
    peer: Arc<Inner>,
}

fn heard(body: Incoming, peer: Arc<Inner>) -> Body {
    Body::new(Heard { body, peer })
}

impl http_body::Body for Heard {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| failed(&this.peer.name, error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// tonic calls a connection that breaks UNKNOWN; what callers wait and ask again for is UNAVAILABLE.
fn failed(peer: &str, error: hyper::Error) -> Status {
    let status = Status::from_error(Box::new(error));
    match status.code() {
        Code::Unknown => Refusal::new(
            Code::Unavailable,
            reason::PEER_LOST,
            format!("the connection to {peer} broke; the call may have been handled"),
        )
        .into(),
        _ => status,
    }
}

fn no_answer(peer: &str, method: &str) -> Status {
    Refusal::new(Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED, format!("no answer from {peer} in time"))
        .metadata("peer", peer)
        .metadata("method", method)
        .into()
}
