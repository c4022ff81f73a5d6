//! Plain HTTP for whoever runs the process: is it alive, may it be given work, how does it stand.

use std::sync::Arc;

use axum::{Json, Router, extract, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{ready::Readiness, reload::Reloaded, tls::ServerSide};

#[derive(Clone)]
pub(crate) struct State {
    service: &'static str,
    started: OffsetDateTime,
    findings: watch::Receiver<Readiness>,
    tls: Option<Arc<Reloaded<ServerSide>>>,
}

impl State {
    /// Without `tls` nothing is said of a certificate.
    pub(crate) fn new(
        service: &'static str,
        findings: watch::Receiver<Readiness>,
        tls: Option<Arc<Reloaded<ServerSide>>>,
    ) -> Self {
        Self { service, started: OffsetDateTime::now_utc(), findings, tls }
    }
}

#[derive(Serialize)]
struct Status {
    service: &'static str,
    version: &'static str,
    started: Option<String>,
    certificate_ends: Option<String>,
    /// There is a newer certificate or key that cannot be used.
    certificate_stale: bool,
    #[serde(flatten)]
    readiness: Readiness,
}

/// Answers until stopped or dropped; a connection is never kept past the stop, so that nobody hears old findings.
pub(crate) async fn serve(listener: TcpListener, state: State, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(%error, "probes are no longer answered");
    }
}

async fn readyz(extract::State(state): extract::State<State>) -> impl IntoResponse {
    let readiness = state.findings.borrow().clone();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness))
}

async fn status(extract::State(state): extract::State<State>) -> impl IntoResponse {
    let rfc3339 = |t: OffsetDateTime| t.format(&Rfc3339).ok();
    let ends_at = state.tls.as_ref().and_then(|tls| tls.current().ends_at);
    Json(Status {
        service: state.service,
        version: env!("CARGO_PKG_VERSION"),
        started: rfc3339(state.started),
        certificate_ends: ends_at.and_then(|t| OffsetDateTime::from_unix_timestamp(t).ok()).and_then(rfc3339),
        certificate_stale: state.tls.as_ref().is_some_and(|tls| tls.stale()),
        readiness: state.findings.borrow().clone(),
    })
}
