//! Continues the caller's trace (W3C trace context) and names the method. No address, no unknown path, no person.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::FutureExt;
use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::{Layer, Service};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Answer, Boxed, Called, Handler, Request};
use crate::contracts::Routes;

#[derive(Clone)]
pub(super) struct TraceLayer {
    routes: Arc<Routes>,
}

impl TraceLayer {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner, routes: Arc::clone(&self.routes) }
    }
}

#[derive(Clone)]
pub(super) struct Trace<S> {
    inner: S,
    routes: Arc<Routes>,
}

impl<S: Handler> Service<Request> for Trace<S> {
    type Response = super::Response;
    type Error = std::convert::Infallible;
    type Future = Boxed;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Boxed {
        let served = self.routes.find(request.uri().path());
        let name = served.as_ref().map_or("unknown", |s| &s.full_name);
        let span = tracing::info_span!(
            "call",
            otel.name = name,
            otel.kind = "server",
            rpc.system.name = "grpc",
            rpc.method = name,
            rpc.response.status_code = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
        if parent.span().span_context().is_valid() {
            // Fails only where no tracer listens, and then there is nothing to continue.
            let _ = span.set_parent(parent);
        }
        request.extensions_mut().insert(Called(served));
        let answer = span.in_scope(|| self.inner.call(request));
        async move {
            let answer: Answer = answer.await;
            answer
        }
        .instrument(span)
        .boxed()
    }
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut http::HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// Writes a span's trace context into the headers of a call that leaves.
pub(crate) fn inject(span: &tracing::Span, headers: &mut http::HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
}
