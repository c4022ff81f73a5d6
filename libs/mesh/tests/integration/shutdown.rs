use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use haetae_mesh::{Drain, Server, config::TelemetryConfig, explain, telemetry};
use tokio::{sync::Semaphore, time::timeout};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::world::{Audit, Running, World, ask, until};

#[tokio::test]
async fn work_in_hand_finishes_while_nothing_new_is_taken() {
    let world = World::new();
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let audit = {
        let (entered, gate) = (Arc::clone(&entered), Arc::clone(&gate));
        Audit::answering(move |request| {
            let (entered, gate) = (Arc::clone(&entered), Arc::clone(&gate));
            let drain = request.extensions().get::<Drain>().unwrap().clone();
            async move {
                entered.add_permits(1);
                drain.wait().await;
                let _passed = gate.acquire().await.unwrap();
                Ok("finished".into())
            }
        })
    };
    let server = Running::start(world.server("tracking").add(audit)).await;
    let peer = world.peer("auditor/court", &[server.at]);
    let call = tokio::spawn(async move { ask(&peer).await });
    entered.acquire().await.unwrap().forget();
    server.begin_shutdown();
    let newcomer = world.peer("auditor/court", &[server.at]);
    until("the listener is closed", async || {
        timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(server.at)).await.is_ok_and(|c| c.is_err())
    })
    .await;
    assert_eq!(ask(&newcomer).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.probe("/readyz").await.0, 503);
    gate.add_permits(1);
    assert_eq!(call.await.unwrap().unwrap(), "finished");
    server.ended().await;
}

#[tokio::test]
async fn streams_end_so_that_they_can_be_resumed_elsewhere() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    let mut client = HealthClient::new(world.peer("auditor/court", &[server.at]));
    let request = HealthCheckRequest { service: String::new() };
    let mut stream = client.watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    server.begin_shutdown();
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it says why it ends"),
            Err(status) => break explain(&status),
        }
    };
    assert_eq!((end.code, end.reason.as_deref()), (Code::Unavailable, Some("DRAINING")));
    assert!(end.retry_after.is_some());
    server.ended().await;
}

#[tokio::test]
async fn work_that_never_ends_is_cut_at_the_limit() {
    let world = World::new();
    let mut config = world.server_config("tracking");
    config.drain.limit_ms = 100;
    let entered = Arc::new(Semaphore::new(0));
    let audit = {
        let entered = Arc::clone(&entered);
        Audit::answering(move |_| {
            entered.add_permits(1);
            std::future::pending()
        })
    };
    let server = Running::start(Server::new("tracking", &config).add(audit)).await;
    let peer = world.peer("auditor/court", &[server.at]);
    let call = tokio::spawn(async move { ask(&peer).await });
    entered.acquire().await.unwrap().forget();
    server.begin_shutdown();
    server.ended().await;
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn one_trace_runs_through_every_hop() {
    static TELEMETRY: OnceLock<telemetry::Guard> = OnceLock::new();
    TELEMETRY.get_or_init(|| {
        let config = TelemetryConfig { level: "error".into(), ..TelemetryConfig::default() };
        telemetry::init(&config, "haetae-test", "test".into()).unwrap()
    });
    let world = World::new();
    let inner = Audit::answering(async |_| Ok(telemetry::traceparent().unwrap()));
    let inner = Running::start(world.server("tracking").add(inner)).await;
    let onward = world.peer("intake", &[inner.at]);
    let outer = Audit::answering(move |_| {
        let onward = onward.clone();
        async move { ask(&onward).await }
    });
    let outer = Running::start(world.server("freeze").add(outer)).await;

    let stored = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = tracing::info_span!(target: "haetae", "work");
    telemetry::continue_from(&span, stored);
    let peer = world.peer("auditor/court", &[outer.at]);
    let seen = tracing::Instrument::instrument(async { ask(&peer).await.unwrap() }, span).await;
    let (trace, span_id) = (seen.split('-').nth(1).unwrap(), seen.split('-').nth(2).unwrap());
    assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(span_id, "00f067aa0ba902b7");
}
