//! With the doorbell following is fast; without it, it works.

use std::time::Duration;

use haetae_ledger::{Doorbell, Follower, Log};
use haetae_testkit::redis::{Cluster, Redis, Watched};
use redis::sentinel::Sentinel;
use tokio::time::Instant;

use crate::fixture::{House, ORIGIN, Record, append, eventually, fact, ring, run, seal};

/// How long entries that one replica appends take to be handled by another's follower, shortest first.
async fn delays(house: &House, appending: &Log, times: usize) -> Vec<Duration> {
    let mut delays = Vec::new();
    for _ in 0..times {
        let before = house.effects("f").await.len();
        let begun = Instant::now();
        append(appending, fact("case", "x")).await;
        eventually("it is handled", async || house.effects("f").await.len() > before).await;
        delays.push(begun.elapsed());
    }
    delays.sort_unstable();
    delays
}

/// Whether most are heard at once: polls come 100 ms late on average.
async fn fast(house: &House, log: &Log) -> bool {
    delays(house, log, 9).await[4] < Duration::from_millis(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_doorbell_polling_delivers_within_half_a_second() {
    let house = House::new().await;
    let deaf = house.replica(Doorbell::local()).await;
    // It looks for all streams of its process.
    let _sealer = seal(&house.log);
    let _follower = run(house.follower("f", Record("f")));
    let delays = delays(&house, &deaf, 5).await;
    assert!(delays[2] < Duration::from_millis(500), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doorbell_wakes_other_replicas_and_survives_redis() {
    let mut redis = Redis::start().await.unwrap();
    let doorbell = || {
        let client = redis::Client::open(redis.url()).unwrap();
        Doorbell::redis(move || std::future::ready(Ok(client.clone())), ORIGIN)
    };
    let house = House::new().await;
    let (here, there) = (doorbell(), doorbell());
    let _bells = (ring(&here), ring(&there));
    let log = house.replica(here).await;
    let other = house.replica(there).await;
    let verifier = log.verifier().clone();
    let _follower = run(Follower::new(house.pool(), "f", other.clone(), verifier, Record("f")));
    eventually("most are heard at once", async || fast(&house, &log).await).await;

    redis.stop();
    delays(&house, &log, 3).await;

    redis.start_again().await.unwrap();
    eventually("they are heard again", async || fast(&house, &log).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doorbell_follows_the_master_that_sentinels_name() {
    let mut watched = Watched::start().await.unwrap();
    let sentinel = watched.sentinel_url();
    let doorbell = || {
        let sentinel = sentinel.clone();
        let find = move || {
            let mut asked = Sentinel::build(vec![sentinel.as_str()]).unwrap();
            async move { asked.async_master_for(Watched::MASTER, None).await }
        };
        Doorbell::redis(find, ORIGIN)
    };
    let house = House::new().await;
    let (here, there) = (doorbell(), doorbell());
    let _bells = (ring(&here), ring(&there));
    let log = house.replica(here).await;
    let other = house.replica(there).await;
    let verifier = log.verifier().clone();
    let _follower = run(Follower::new(house.pool(), "f", other.clone(), verifier, Record("f")));
    eventually("most are heard at once", async || fast(&house, &log).await).await;

    watched.lose_master();
    delays(&house, &log, 3).await;
    eventually("they are heard through its successor", async || fast(&house, &log).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rung_at_one_node_of_a_cluster_is_heard_at_another() {
    let cluster = Cluster::start().await.unwrap();
    let urls = cluster.urls();
    let at = |node: usize| {
        let client = redis::Client::open(urls[node].as_str()).unwrap();
        Doorbell::redis(move || std::future::ready(Ok(client.clone())), ORIGIN)
    };
    let house = House::new().await;
    let (here, there) = (at(0), at(2));
    let _bells = (ring(&here), ring(&there));
    let log = house.replica(here).await;
    let other = house.replica(there).await;
    let verifier = log.verifier().clone();
    let _follower = run(Follower::new(house.pool(), "f", other.clone(), verifier, Record("f")));
    eventually("most are heard at once", async || fast(&house, &log).await).await;
}
