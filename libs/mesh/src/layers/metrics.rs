//! How long calls take and how they end, by the OpenTelemetry conventions for RPC: in metrics, and in the call's span.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::FutureExt;
use opentelemetry::{
    KeyValue, global,
    metrics::{Histogram, UpDownCounter},
};
use opentelemetry_semantic_conventions::{attribute, metric};
use tonic::Code;
use tower::{Layer, Service};
use tracing::Span;

use super::{Boxed, Handler, Measured, Request, called};

/// The instruments of one side.
pub(crate) struct Instruments {
    is_error: fn(Code) -> bool,
    duration: Histogram<f64>,
    in_hand: UpDownCounter<i64>,
}

impl Instruments {
    pub(crate) fn server() -> Self {
        Self::new(metric::RPC_SERVER_CALL_DURATION, "haetae.rpc.server.in_hand", failed_here)
    }

    pub(crate) fn client() -> Self {
        Self::new(metric::RPC_CLIENT_CALL_DURATION, "haetae.rpc.client.in_hand", |code| code != Code::Ok)
    }

    fn new(duration: &'static str, in_hand: &'static str, is_error: fn(Code) -> bool) -> Self {
        let meter = global::meter("haetae.mesh");
        Self {
            is_error,
            duration: meter
                .f64_histogram(duration)
                .with_unit("s")
                .with_description("Time from a call's beginning to its end; of a stream, to the stream's end")
                .with_boundaries(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
                .build(),
            in_hand: meter
                .i64_up_down_counter(in_hand)
                .with_unit("{call}")
                .with_description("Calls that have begun and not ended, open streams among them")
                .build(),
        }
    }

    /// Counts a call from now on; call the result with how it ended. The current span, the call's, ends with it too.
    pub(crate) fn begin(self: &Arc<Self>, method: &Arc<str>) -> impl FnMut(Code) + Send + Unpin + 'static {
        let (start, span) = (Instant::now(), Span::current());
        let (instruments, method) = (Arc::clone(self), Arc::clone(method));
        instruments.in_hand.add(1, &attributes(&method));
        move |code| {
            let mut attributes = attributes(&method).to_vec();
            instruments.in_hand.add(-1, &attributes);
            attributes.push(KeyValue::new(attribute::RPC_RESPONSE_STATUS_CODE, status_name(code)));
            span.record(attribute::RPC_RESPONSE_STATUS_CODE, status_name(code));
            if (instruments.is_error)(code) {
                span.record("otel.status_code", "ERROR");
            }
            instruments.duration.record(start.elapsed().as_secs_f64(), &attributes);
        }
    }
}

fn attributes(method: &Arc<str>) -> [KeyValue; 2] {
    [KeyValue::new(attribute::RPC_SYSTEM_NAME, "grpc"), KeyValue::new(attribute::RPC_METHOD, Arc::clone(method))]
}

/// Whether a code says that the server failed, and not that its caller may not, or asked for what is not there.
fn failed_here(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The code as the conventions write it.
fn status_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[derive(Clone)]
pub(super) struct MetricsLayer(Arc<Instruments>);

impl MetricsLayer {
    pub(super) fn server() -> Self {
        Self(Arc::new(Instruments::server()))
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Metrics<S>;

    fn layer(&self, inner: S) -> Metrics<S> {
        Metrics { inner, instruments: Arc::clone(&self.0) }
    }
}

#[derive(Clone)]
pub(super) struct Metrics<S> {
    inner: S,
    instruments: Arc<Instruments>,
}

impl<S: Handler> Service<Request> for Metrics<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = Boxed;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Boxed {
        let method = called(&request).map_or_else(|| "unknown".into(), |s| Arc::clone(&s.full_name));
        let mut call = Abandoned(Some(self.instruments.begin(&method)));
        let answer = self.inner.call(request);
        async move {
            let response = answer.await?;
            Ok(match call.0.take() {
                Some(tell) => Measured::around(response, tell),
                None => response,
            })
        }
        .boxed()
    }
}

/// A call whose caller went away before there was a response is told as cancelled.
struct Abandoned<F: FnMut(Code)>(Option<F>);

impl<F: FnMut(Code)> Drop for Abandoned<F> {
    fn drop(&mut self) {
        if let Some(mut tell) = self.0.take() {
            tell(Code::Cancelled);
        }
    }
}
