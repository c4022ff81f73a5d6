//! Which endpoint and which certificate a call meets.

use haetae_mesh::Peer;
use tonic::Code;

use crate::world::{Audit, DOMAIN, Running, World, ask, until};

#[tokio::test]
async fn a_call_goes_to_the_endpoint_that_answers() {
    let world = World::new();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let server = Running::start(world.server("tracking").add(Audit::saying("second"))).await;
    let peer = world.peer("auditor/court", &[nobody, server.at]);
    for _ in 0..4 {
        assert_eq!(ask(&peer).await.unwrap(), "second");
    }
}

#[tokio::test]
async fn calls_go_round_and_move_on_when_a_replica_goes_down() {
    let world = World::new();
    let one = Running::start(world.server("tracking").add(Audit::saying("one"))).await;
    let two = Running::start(world.server("tracking").add(Audit::saying("two"))).await;
    let peer = world.peer("auditor/court", &[one.at, two.at]);
    let mut answers = [ask(&peer).await.unwrap(), ask(&peer).await.unwrap()];
    answers.sort();
    assert_eq!(answers, ["one", "two"]);

    one.begin_shutdown();
    one.ended().await;
    for _ in 0..4 {
        assert_eq!(ask(&peer).await.unwrap(), "two");
    }
    two.begin_shutdown();
    two.ended().await;
    assert_eq!(ask(&peer).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_peer_comes_back_when_its_replica_does() {
    let world = World::new();
    let mut config = world.server_config("tracking");
    let first = Running::start(haetae_mesh::Server::new("tracking", &config).add(Audit::saying("before"))).await;
    config.listen = first.at;
    let peer = world.peer("auditor/court", &[first.at]);
    assert_eq!(ask(&peer).await.unwrap(), "before");
    first.begin_shutdown();
    first.ended().await;
    assert!(ask(&peer).await.is_err());
    let _second = Running::start(haetae_mesh::Server::new("tracking", &config).add(Audit::saying("after"))).await;
    assert_eq!(ask(&peer).await.unwrap(), "after");
}

#[tokio::test]
async fn a_new_certificate_comes_into_use_without_a_restart_and_a_broken_one_does_not() {
    let world = World::new();
    let server = Running::start(world.server("old").add(Audit::saying("head"))).await;
    let folder = world.folder.path().join("old");
    let expecting = |name: &str| {
        let mut config = world.peer_config("auditor/court", &[server.at]);
        config.server_name = Some(format!("{DOMAIN}/{name}"));
        Peer::connect("audit", &config).unwrap()
    };
    let connected = expecting("old");
    ask(&connected).await.unwrap();

    std::fs::write(folder.join("tls.crt"), "no certificate").unwrap();
    let stale = async || server.probe("/status").await.1.contains(r#""certificate_stale":true"#);
    until("the broken file was seen", stale).await;
    ask(&expecting("old")).await.unwrap();

    world.issue_into(&folder, "new");
    until("the new certificate is presented", async || ask(&expecting("new")).await.is_ok()).await;
    assert!(ask(&expecting("old")).await.is_err(), "new connections meet the new one");
    ask(&connected).await.unwrap();
}

#[tokio::test]
async fn a_caller_presents_its_new_certificate_without_a_restart() {
    let world = World::new();
    let mut config = world.server_config("tracking");
    config.limits.max_connection_age_seconds = 1;
    let server = Running::start(haetae_mesh::Server::new("tracking", &config).add(Audit::saying("head"))).await;
    let peer = world.peer("stranger", &[server.at]);
    assert_eq!(ask(&peer).await.unwrap_err().code(), Code::PermissionDenied);
    world.issue_into(&world.folder.path().join("stranger"), "auditor/court");
    until("the new certificate is presented", async || ask(&peer).await.is_ok()).await;
}
