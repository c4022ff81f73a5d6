use std::time::{Duration, Instant};

use haetae_mesh::{Deadline, Peer, explain};
use haetae_wire::audit::v1::GetCheckpointRequest;
use tokio::net::TcpListener;
use tonic::{Code, Request};

use crate::world::{Audit, AuditServiceClient, METHOD, Running, World, ask};

#[tokio::test]
async fn the_hop_that_takes_too_long_says_so_through_the_one_before_it() {
    let world = World::new();
    let inner =
        Running::start(world.server("tracking").add(Audit::answering(async |_| std::future::pending().await))).await;
    let onward = world.peer("intake", &[inner.at]);
    let outer = Audit::answering(move |_| {
        let onward = onward.clone();
        async move { ask(&onward).await }
    });
    let outer = Running::start(world.server("freeze").add(outer)).await;

    let mut request = Request::new(GetCheckpointRequest {});
    request.set_timeout(Duration::from_millis(600));
    let begun = Instant::now();
    let mut client = AuditServiceClient::new(world.peer("auditor/court", &[outer.at]));
    let told = explain(&client.get_checkpoint(request).await.unwrap_err());
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    assert_eq!(told.code, Code::DeadlineExceeded);
    assert_eq!(told.reason.as_deref(), Some("DEADLINE_EXCEEDED"));
    assert_eq!(told.metadata["hop"], "tracking", "{told:?}");
    assert_eq!(told.metadata["method"], METHOD);
}

#[tokio::test]
async fn a_handler_knows_how_much_time_is_left_and_its_peers_are_told() {
    let world = World::new();
    let inner = Audit::answering(async |request| {
        Ok(request.extensions().get::<Deadline>().unwrap().remaining().as_millis().to_string())
    });
    let inner = Running::start(world.server("tracking").add(inner)).await;
    let onward = world.peer("intake", &[inner.at]);
    let outer = Audit::answering(move |_| {
        let onward = onward.clone();
        async move { ask(&onward).await }
    });
    let outer = Running::start(world.server("freeze").add(outer)).await;

    let mut request = Request::new(GetCheckpointRequest {});
    request.extensions_mut().insert(Deadline::after(Duration::from_secs(3)));
    let mut client = AuditServiceClient::new(world.peer("auditor/court", &[outer.at]));
    let left = client.get_checkpoint(request).await.unwrap().into_inner().checkpoint;
    let left: u64 = left.parse().unwrap();
    assert!((1_000..=2_900).contains(&left), "{left} ms left after two shaves of 50 ms");
}

#[tokio::test]
async fn a_call_without_time_is_refused_before_it_is_handled() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    let peer = world.peer("auditor/court", &[server.at]);
    ask(&peer).await.unwrap();
    let mut request = Request::new(GetCheckpointRequest {});
    request.set_timeout(Duration::from_millis(2));
    let told = AuditServiceClient::new(peer).get_checkpoint(request).await.unwrap_err();
    assert_eq!(told.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_out_of_time_not_cancelled() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = world.peer("auditor/court", &[silent.local_addr().unwrap()]);
    let mut request = Request::new(GetCheckpointRequest {});
    request.set_timeout(Duration::from_millis(200));
    let told = explain(&AuditServiceClient::new(peer).get_checkpoint(request).await.unwrap_err());
    assert_eq!(told.code, Code::DeadlineExceeded);
    assert_eq!(told.metadata["peer"], "audit");
}

#[tokio::test]
async fn a_peer_that_cannot_be_connected_to_is_unavailable_within_the_time_to_connect() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = world.peer_config("auditor/court", &[silent.local_addr().unwrap()]);
    config.connect_timeout_ms = 100;
    let told = explain(&ask(&Peer::connect("audit", &config).unwrap()).await.unwrap_err());
    assert_eq!(told.code, Code::Unavailable);
    assert_eq!(told.reason.as_deref(), Some("PEER_UNREACHABLE"));
    assert!(!told.message.contains("127.0.0.1"));
}
