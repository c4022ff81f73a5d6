//! What goes wrong in the open tools that people use today, each under its name: here it does not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use haetae_mesh::Peer;
use haetae_testkit::certs::Leaf;
use opentelemetry::global;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

use crate::world::{Audit, DOMAIN, Running, World, ask, until};

/// What the alert CertificateExpiring takes for too little.
const TOO_LITTLE: f64 = 4.0 * 3600.0;

/// Keeps how long the certificate of one name has left, as it was last told.
struct Left {
    certificate: &'static str,
    told: Arc<Mutex<Option<f64>>>,
}

impl PushMetricExporter for Left {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let metrics = metrics.scope_metrics().flat_map(|scope| scope.metrics());
        for metric in metrics.filter(|metric| metric.name() == "haetae.tls.certificate.expires_in") {
            let AggregatedMetrics::F64(MetricData::Gauge(gauge)) = metric.data() else { continue };
            for point in gauge.data_points() {
                if point.attributes().any(|of| of.value.as_str() == self.certificate) {
                    *self.told.lock().unwrap() = Some(point.value());
                }
            }
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// A certificate that is about to end is told of hours before, a new one is taken up while everything runs, and one that has
/// ended lets nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_expire_unnoticed() {
    let told = Arc::new(Mutex::new(None));
    let exporter = Left { certificate: "about-to-end", told: Arc::clone(&told) };
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter).build()).build();
    global::set_meter_provider(provider.clone());
    let left = || {
        provider.force_flush().unwrap();
        *told.lock().unwrap()
    };

    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    let folder = world.folder.path().join("auditor/court");
    let config = world.peer_config("auditor/court", &[server.at]);
    let issue = |valid_for| {
        let spiffe = format!("{DOMAIN}/auditor/court");
        let leaf = Leaf { spiffe: Some(&spiffe), valid_for, ..Leaf::default() };
        world.ca.issue(&leaf).unwrap().write_to(&folder).unwrap();
    };
    issue(time::Duration::hours(2));
    let peer = Peer::connect("about-to-end", &config).unwrap();
    assert_eq!(ask(&peer).await.unwrap(), "head");
    assert!(left().is_some_and(|left| left > 0.0 && left < TOO_LITTLE));

    issue(time::Duration::DAY);
    until("the new one is in use", async || left().is_some_and(|left| left > TOO_LITTLE)).await;
    assert_eq!(ask(&peer).await.unwrap(), "head");

    issue(-time::Duration::MINUTE);
    let ended = Peer::connect("ended", &config).unwrap();
    assert!(ask(&ended).await.is_err());
}
