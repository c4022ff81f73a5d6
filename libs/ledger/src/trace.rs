//! The trace that caused an entry, carried in the entry: one trace runs from the block to the exchange's answer.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// The current span as W3C `traceparent`; empty where nothing is traced.
pub(crate) fn current() -> String {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT).unwrap_or_default()
}

/// Makes a span continue the trace of a `traceparent`. Without a tracer, or with an unreadable value, it stays as it is.
pub(crate) fn continue_from(span: &Span, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // An error only says that nobody traces.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}
