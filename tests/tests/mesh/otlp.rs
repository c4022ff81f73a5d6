//! A collector for one test: takes what services tell over OTLP and keeps it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::span::SpanKind,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, transport::Server};

/// A span as a service told it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) replica: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    /// Empty where it is the first of its trace.
    pub(crate) parent: Vec<u8>,
}

/// A metric as services told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: &'static str,
    pub(crate) unit: String,
    /// The attributes of its points, as sets of keys.
    pub(crate) attributes: BTreeSet<BTreeSet<String>>,
}

/// Everything that has arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) spans: Vec<Span>,
    pub(crate) metrics: BTreeMap<String, Told>,
    /// Every text that was told: names, and values of attributes of spans, their events, metrics and resources.
    pub(crate) texts: BTreeSet<String>,
}

/// A collector.
pub(crate) struct Collector {
    endpoint: String,
    arrived: Arrivals,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Arrived>>);

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let arrived = Arrivals::default();
        let serving = Server::builder()
            .add_service(TraceServiceServer::new(arrived.clone()))
            .add_service(MetricsServiceServer::new(arrived.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { endpoint, arrived, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(crate) fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock()
    }
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrived {
    fn read(&mut self, attributes: &[KeyValue]) {
        let texts = attributes.iter().flat_map(|attribute| [attribute.key.clone(), text(attribute.value.as_ref())]);
        self.texts.extend(texts);
    }

    fn take_metric(&mut self, metric: Metric) {
        let (kind, points): (_, Vec<Vec<KeyValue>>) = match metric.data {
            Some(Data::Gauge(gauge)) => ("gauge", gauge.data_points.into_iter().map(|p| p.attributes).collect()),
            Some(Data::Sum(sum)) => {
                let kind = if sum.is_monotonic { "counter" } else { "sum" };
                (kind, sum.data_points.into_iter().map(|p| p.attributes).collect())
            }
            Some(Data::Histogram(histogram)) => {
                ("histogram", histogram.data_points.into_iter().map(|p| p.attributes).collect())
            }
            other => panic!("{} is {other:?}", metric.name),
        };
        for attributes in &points {
            self.read(attributes);
        }
        let told = Told { kind, unit: metric.unit, attributes: BTreeSet::new() };
        let known = self.metrics.entry(metric.name.clone()).or_insert_with(|| told.clone());
        assert_eq!((known.kind, &known.unit), (told.kind, &told.unit), "{} is told in two ways", metric.name);
        known.attributes.extend(points.iter().map(|point| point.iter().map(|a| a.key.clone()).collect()));
    }
}

#[tonic::async_trait]
impl TraceService for Arrivals {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut arrived = self.lock();
        for from in request.into_inner().resource_spans {
            let resource = from.resource.unwrap_or_default();
            arrived.read(&resource.attributes);
            let (service, replica) = (of(&resource, "service.name"), of(&resource, "service.instance.id"));
            for span in from.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                arrived.read(&span.attributes);
                for event in &span.events {
                    arrived.texts.insert(event.name.clone());
                    arrived.read(&event.attributes);
                }
                arrived.texts.insert(span.name.clone());
                arrived.texts.extend(span.status.as_ref().map(|status| status.message.clone()));
                arrived.spans.push(Span {
                    service: service.clone(),
                    replica: replica.clone(),
                    kind: span.kind(),
                    name: span.name,
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Arrivals {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut arrived = self.lock();
        for from in request.into_inner().resource_metrics {
            arrived.read(&from.resource.unwrap_or_default().attributes);
            for metric in from.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                arrived.take_metric(metric);
            }
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn of(resource: &Resource, key: &str) -> String {
    let found = resource.attributes.iter().find(|attribute| attribute.key == key);
    found.map(|attribute| text(attribute.value.as_ref())).unwrap_or_default()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
