use std::{num::NonZeroU32, sync::Arc, time::Duration};

use haetae_mesh::{
    Peer, Server,
    config::{Rate, RedisConfig, Secret},
};
use haetae_testkit::redis::{Cluster, Redis, Watched};
use haetae_wire::audit::v1::{GetCheckpointRequest, ListLeavesRequest};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tonic::{Code, Request};

use crate::world::{Audit, AuditServiceClient, DOMAIN, Running, World, ask, refused};

/// How many of so many calls, spread over the peers, pass.
async fn passed(calls: usize, peers: &[Peer]) -> usize {
    let mut passed = 0;
    for i in 0..calls {
        match ask(&peers[i % peers.len()]).await {
            Ok(_) => passed += 1,
            Err(status) => {
                let told = haetae_mesh::explain(&status);
                assert_eq!(told.reason.as_deref(), Some("RATE_LIMITED"), "{told:?}");
                assert!(told.retry_after.is_some());
            }
        }
    }
    passed
}

#[tokio::test]
async fn replicas_share_a_budget_and_without_redis_each_spends_its_share() {
    let world = World::new();
    let mut redis = Redis::start().await.unwrap();
    let mut config = world.server_config("upbit");
    // Slow enough that nothing comes back while the test runs.
    config.limits.rates.system = Rate::new(1, 40);
    // A loaded test machine must not make the replicas decide alone.
    config.limits.shared_timeout_ms = 5_000;
    config.limits.replicas = NonZeroU32::new(2).unwrap();
    let shared = RedisConfig { url: Some(Secret::new(redis.url())), ..RedisConfig::default() };
    let mut servers = Vec::new();
    for _ in 0..2 {
        let listed = [format!("{DOMAIN}/connector/*").parse().unwrap()];
        let server = Server::new("upbit", &config).redis(&shared).add_public(Audit::saying("head"), listed);
        servers.push(Running::start(server).await);
    }
    let peers = |caller: &str| -> Vec<Peer> { servers.iter().map(|s| world.peer(caller, &[s.at])).collect() };

    let together = passed(60, &peers("connector/upbit")).await;
    assert!((40..=45).contains(&together), "{together} of 60 passed for a burst of 40");
    // Another caller has a budget of its own.
    assert_eq!(passed(5, &peers("connector/bithumb")).await, 5);

    redis.stop();
    let alone = passed(30, &peers("connector/korbit")[..1]).await;
    assert!((20..=25).contains(&alone), "{alone} of 30 passed at one replica for its half of 40");
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn replicas_share_a_budget_again_when_sentinels_have_named_another_master() {
    let world = World::new();
    let mut watched = Watched::start().await.unwrap();
    let mut config = world.server_config("upbit");
    config.limits.rates.system = Rate::new(1, 10);
    config.limits.shared_timeout_ms = 5_000;
    // Alone, each would let everything through.
    config.limits.replicas = NonZeroU32::MIN;
    let shared = RedisConfig {
        sentinels: vec![Secret::new(watched.sentinel_url())],
        master: Some(Watched::MASTER.to_owned()),
        ..RedisConfig::default()
    };
    let mut servers = Vec::new();
    for _ in 0..2 {
        let listed = [format!("{DOMAIN}/connector/*").parse().unwrap()];
        let server = Server::new("upbit", &config).redis(&shared).add_public(Audit::saying("head"), listed);
        servers.push(Running::start(server).await);
    }
    // A caller of its own for every look: what came back meanwhile is nobody's.
    let mut callers = 0;
    let mut shares = async || {
        callers += 1;
        let peers: Vec<Peer> = servers.iter().map(|s| world.peer(&format!("connector/x{callers}"), &[s.at])).collect();
        passed(20, &peers).await < 15
    };
    eventually("they share", &mut shares).await;
    watched.lose_master();
    assert!(!shares().await, "without a master each spends its own");
    eventually("they share again", &mut shares).await;
}

#[tokio::test]
async fn replicas_share_budgets_that_lie_on_different_nodes_of_a_cluster() {
    let world = World::new();
    let mut cluster = Cluster::start().await.unwrap();
    let mut config = world.server_config("upbit");
    config.limits.rates.system = Rate::new(1, 10);
    config.limits.shared_timeout_ms = 5_000;
    // Alone, each would let everything through.
    config.limits.replicas = NonZeroU32::MIN;
    let shared =
        RedisConfig { cluster: cluster.urls().into_iter().map(Secret::new).collect(), ..RedisConfig::default() };
    let mut servers = Vec::new();
    for _ in 0..2 {
        let listed = [format!("{DOMAIN}/connector/*").parse().unwrap()];
        let server = Server::new("upbit", &config).redis(&shared).add_public(Audit::saying("head"), listed);
        servers.push(Running::start(server).await);
    }
    let mut callers = 0;
    // Six callers' budgets all lie on one of the three nodes in four of a thousand cases.
    let mut all_share = async || {
        for _ in 0..6 {
            callers += 1;
            let caller = format!("connector/x{callers}");
            let peers: Vec<Peer> = servers.iter().map(|s| world.peer(&caller, &[s.at])).collect();
            if passed(20, &peers).await >= 15 {
                return false;
            }
        }
        true
    };
    eventually("they share, wherever a budget lies", &mut all_share).await;
    cluster.lose(1);
    cluster.bring_back(1).await.unwrap();
    eventually("they share again", &mut all_share).await;
}

#[tokio::test]
async fn a_replica_with_its_hands_full_says_so() {
    let world = World::new();
    let mut config = world.server_config("tracking");
    config.limits.max_concurrent = 1;
    let (gate, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let audit = {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        Audit::answering(move |_| {
            let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
            async move {
                entered.add_permits(1);
                let _passed = gate.acquire().await.unwrap();
                Ok("head".into())
            }
        })
    };
    let server = Running::start(Server::new("tracking", &config).add(audit)).await;
    let peer = world.peer("auditor/court", &[server.at]);
    let first = tokio::spawn({
        let peer = peer.clone();
        async move { ask(&peer).await }
    });
    entered.acquire().await.unwrap().forget();
    let told = refused(&peer).await;
    assert_eq!((told.code, told.reason.as_deref()), (Code::Unavailable, Some("OVERLOADED")));
    assert!(told.retry_after.is_some());
    gate.add_permits(10);
    assert_eq!(first.await.unwrap().unwrap(), "head");
    assert_eq!(ask(&peer).await.unwrap(), "head");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let world = World::new();
    let mut config = world.server_config("tracking");
    config.limits.max_message_bytes = 8;
    let server = Running::start(Server::new("tracking", &config).add(Audit::saying("head"))).await;
    let mut client = AuditServiceClient::new(world.peer("auditor/court", &[server.at]));
    client.get_checkpoint(GetCheckpointRequest {}).await.unwrap();
    let large = ListLeavesRequest { start_position: u64::MAX, limit: u32::MAX };
    let told = haetae_mesh::explain(&client.list_leaves(Request::new(large)).await.unwrap_err());
    assert_eq!((told.code, told.reason.as_deref()), (Code::ResourceExhausted, Some("MESSAGE_TOO_LARGE")));
}
