//! What a service tells about itself: log lines on stderr, traces and metrics over OTLP.
//!
//! A tracer always runs, also where nothing is exported: trace context is carried through calls and logs in any case.

use std::time::Duration;

use anyhow::Context;
use opentelemetry::{KeyValue, global, propagation::TextMapPropagator, trace::TracerProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};
use opentelemetry_semantic_conventions::resource::{SERVICE_INSTANCE_ID, SERVICE_NAMESPACE, SERVICE_VERSION};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer,
    filter::{Targets, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, TelemetryConfig};

/// How long what is left to tell may take at the end.
const FLUSH: Duration = Duration::from_secs(3);

/// Sends what is left when dropped.
#[must_use = "telemetry ends when this is dropped"]
pub struct Guard {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.tracer.shutdown_with_timeout(FLUSH);
        let _ = self.meter.shutdown_with_timeout(FLUSH);
    }
}

/// Starts log lines, tracing and metrics for the whole process, told as of this replica of the service. Needs a Tokio
/// runtime.
///
/// # Errors
/// When the filter or the endpoint cannot be read, or telemetry has been started before.
pub fn init(config: &TelemetryConfig, service: &'static str, replica: String) -> anyhow::Result<Guard> {
    let wanted: Targets = config.level.parse().context("telemetry.level")?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attributes([
            KeyValue::new(SERVICE_NAMESPACE, "haetae"),
            KeyValue::new(SERVICE_INSTANCE_ID, replica),
            KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let mut tracer = SdkTracerProvider::builder().with_resource(resource.clone());
    let mut meter = SdkMeterProvider::builder().with_resource(resource);
    if let Some(endpoint) = &config.otlp_endpoint {
        let spans =
            SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().context("telemetry.otlp_endpoint")?;
        let metrics = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .context("telemetry.otlp_endpoint")?;
        tracer = tracer.with_batch_exporter(spans);
        let every = Duration::from_millis(config.metrics_every_ms);
        meter = meter.with_reader(PeriodicReader::builder(metrics).with_interval(every).build());
    }
    let guard = Guard { tracer: tracer.build(), meter: meter.build() };
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_tracer_provider(guard.tracer.clone());
    global::set_meter_provider(guard.meter.clone());

    let lines = match config.format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed(),
    };
    // Our spans are made whatever the log level, and nobody else's: the exporter's own crates would trace themselves.
    // One filter for everything. With a filter for each layer, whoever only asks whether an event would be wanted, as
    // database drivers do, leaves the answer behind for the next span of the thread, which is then lost.
    let filter = filter_fn(move |metadata| {
        let target = metadata.target();
        if metadata.is_span() { target.starts_with("haetae") } else { wanted.would_enable(target, metadata.level()) }
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(tracing_opentelemetry::layer().with_tracer(guard.tracer.tracer("haetae")))
        .try_init()
        .context("telemetry is running already")?;
    Ok(guard)
}

/// The W3C `traceparent` of the current span, to be stored with what the work decides; none outside of a trace.
pub fn traceparent() -> Option<String> {
    let mut carrier = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut carrier);
    carrier.remove("traceparent")
}

/// Makes a span continue a stored `traceparent`. Text that is none changes nothing.
pub fn continue_from(span: &tracing::Span, traceparent: &str) {
    let carrier = std::collections::HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract(&carrier);
    if opentelemetry::trace::TraceContextExt::span(&parent).span_context().is_valid() {
        // Fails only where no tracer listens, and then there is nothing to continue.
        let _ = span.set_parent(parent);
    }
}
