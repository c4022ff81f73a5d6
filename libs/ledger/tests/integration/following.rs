//! Each entry has its effect exactly once, in order, whatever goes wrong in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use haetae_ledger::{Doorbell, Expected, FollowedEntry, Follower, HandleError, Handler, Log, NewEntry, Which, ids};
use haetae_seal::checkpoint::Checkpoint;
use haetae_seal::leaf::{Leaf, commitment};
use haetae_seal::merkle::verify_inclusion;
use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::fixture::{House, Record, addressed, append, eventually, fact, for_exchange, run, seal, text};

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_race_make_each_effect_once_and_in_order() {
    let house = House::new().await;
    let other = house.replica(Doorbell::local()).await;
    let verifier = house.log.verifier().clone();
    let first = run(house.follower("f", Record("f")));
    let second = run(Follower::new(house.pool(), "f", other.clone(), verifier, Record("f")));
    let _sealer = seal(&house.log);
    for n in 0..150 {
        let log = if n % 2 == 0 { &house.log } else { &other };
        append(log, fact(&format!("case-{}", n % 7), &n.to_string())).await;
    }
    eventually("all are handled", async || house.effects("f").await.len() == 150).await;
    assert_eq!(house.effects("f").await, numbers(150));
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    assert_eq!(house.cursor("f").await, Some(150));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_catches_up_with_a_long_log() {
    let house = House::new().await;
    let mut tx = house.log.begin().await.unwrap();
    let entries = (0..330).map(|n| fact("case", &n.to_string())).collect();
    house.log.append_all(&mut tx, entries).await.unwrap();
    house.log.commit(tx).await.unwrap();
    while house.log.seal_once().await.unwrap().is_some() {}
    let _follower = run(house.follower("f", Record("f")));
    eventually("all are handled", async || house.effects("f").await.len() == 330).await;
    assert_eq!(house.effects("f").await, numbers(330));
}

/// Writes its effect, then never comes back, for as long as it is told to.
struct Hangs {
    hang: Arc<AtomicBool>,
    written: Arc<Notify>,
}

#[async_trait]
impl Handler for Hangs {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        Record("f").effect(tx, entry).await?;
        if self.hang.load(Ordering::SeqCst) {
            self.written.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_killed_between_effect_and_commit_makes_the_effect_once() {
    let house = House::new().await;
    let (hang, written) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
    let hangs = || Hangs { hang: hang.clone(), written: written.clone() };
    house.append(fact("case", "only")).await;
    let killed = run(house.follower("f", hangs()));
    written.notified().await;
    killed.task.abort();
    assert!(house.effects("f").await.is_empty());

    hang.store(false, Ordering::SeqCst);
    let _second = run(house.follower("f", hangs()));
    eventually("the effect is there", async || !house.effects("f").await.is_empty()).await;
    house.append(fact("case", "next")).await;
    eventually("the next one as well", async || house.effects("f").await == ["only", "next"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_commits_late_is_handled_as_well() {
    let house = House::new().await;
    let _follower = run(house.follower("f", Record("f")));
    let mut late = house.log.begin().await.unwrap();
    house.log.append(&mut late, fact("late", "late")).await.unwrap();
    for n in 0..5 {
        house.append(fact("prompt", &n.to_string())).await;
    }
    eventually("the prompt ones are handled", async || house.effects("f").await.len() == 5).await;
    house.log.commit(late).await.unwrap();
    eventually("the late one is handled", async || house.effects("f").await.last().is_some_and(|l| l == "late")).await;
}

/// Answers each fact with an order, on the service's own log.
struct Answers(Log);

#[async_trait]
impl Handler for Answers {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        if entry.kind == "happened" {
            let order = NewEntry {
                stream: format!("order/{}", entry.derive_id("order")),
                expected: Expected::Version(0),
                kind: "ordered",
                ..fact(&entry.header.subject, &text(&entry.payload))
            };
            self.0.append(tx, order).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_appends_is_sealed_with_the_cursor_and_has_a_derived_id() {
    let house = House::new().await;
    // No sealer runs: the follower's own commit has to seal.
    let follower = house.follower("f", Answers(house.log.clone())).appending_to(house.log.clone());
    let _follower = run(follower);
    house.append(fact("case", "a")).await;
    eventually("the order is followed as well", async || house.cursor("f").await == Some(2)).await;
    let mut tx = house.log.begin().await.unwrap();
    let stream = format!("order/{}", ids::of_entry(house.log.id(), 0, "order"));
    let orders = house.log.entries_of_stream(&mut tx, &stream).await.unwrap();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].position, Some(1));
}

/// Keeps what it saw, to prove it later.
#[derive(Clone, Default)]
struct Keeps(Arc<tokio::sync::Mutex<BTreeMap<u64, FollowedEntry>>>);

#[async_trait]
impl Handler for Keeps {
    async fn handle(&self, _: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        self.0.lock().await.insert(entry.position, entry.clone());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_gets_what_is_addressed_to_its_exchange_with_proofs() {
    let house = House::new().await;
    for n in 0..12 {
        house.append(addressed(["upbit", "bithumb"][n % 2], &format!("order {n}"))).await;
        house.append(fact("case", "internal")).await;
    }
    let keeps = Keeps::default();
    let verifier = house.log.verifier().clone();
    let source = for_exchange(&house.log, "upbit");
    let follower = Follower::new(house.pool(), "upbit", source, verifier.clone(), keeps.clone());
    let _follower = run(follower.addressed_to("upbit"));
    eventually("its six orders came", async || keeps.0.lock().await.len() == 6).await;
    house.append(addressed("upbit", "one more")).await;
    eventually("the new one as well", async || keeps.0.lock().await.len() == 7).await;
    for (position, entry) in keeps.0.lock().await.iter() {
        assert_eq!(entry.header.audience, "upbit");
        let opening = entry.opening();
        let salt = opening.salt.as_slice().try_into().unwrap();
        let leaf = Leaf {
            kind: opening.kind,
            version: opening.version,
            time_us: i64::try_from(entry.time.unix_timestamp_nanos() / 1_000).unwrap(),
            commitment: commitment(salt, &opening.header, &entry.payload),
        };
        let signed = Checkpoint::open(&entry.checkpoint, &verifier).unwrap();
        let path = entry.inclusion.as_ref().unwrap().hashes.iter();
        let path: Vec<[u8; 32]> = path.map(|hash| hash.as_slice().try_into().unwrap()).collect();
        verify_inclusion(&leaf.hash(), *position, signed.size, &path, &signed.root).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_stores_the_position_it_was_told_to_skip_to() {
    let house = House::new().await;
    house.append(addressed("upbit", "order")).await;
    let verifier = house.log.verifier().clone();
    let source = for_exchange(&house.log, "upbit");
    let follower = Follower::new(house.pool(), "upbit", source, verifier, Record("upbit"));
    let follower = follower.addressed_to("upbit").storing_passed_every(Duration::from_millis(100));
    let _follower = run(follower);
    eventually("the order is handled", async || house.cursor("upbit").await == Some(1)).await;
    house.append_many(30).await;
    eventually("what is for others is passed", async || house.cursor("upbit").await == Some(31)).await;
    assert_eq!(house.effects("upbit").await, ["order"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_a_connector_make_each_effect_once() {
    let house = House::new().await;
    let follower = || {
        let source = for_exchange(&house.log, "upbit");
        let verifier = house.log.verifier().clone();
        Follower::new(house.pool(), "upbit", source, verifier, Record("upbit"))
            .addressed_to("upbit")
            .storing_passed_every(Duration::from_millis(20))
    };
    let _replicas = (run(follower()), run(follower()));
    for n in 0..60 {
        house.append(addressed("upbit", &n.to_string())).await;
        house.append(fact("case", "internal")).await;
    }
    eventually("all are handled", async || house.effects("upbit").await.len() == 60).await;
    assert_eq!(house.effects("upbit").await, numbers(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_passes_over_what_was_erased_before_it_came() {
    let house = House::new().await;
    house.append(fact("a", "0")).await;
    house.append(fact("person", "a name")).await;
    house.append(addressed("upbit", "1")).await;
    let mut tx = house.log.begin().await.unwrap();
    let erased = house.log.erase_stream(&mut tx, "stream/person").await;
    assert_eq!(erased.unwrap(), 1);
    house.log.commit(tx).await.unwrap();
    let _follower = run(house.follower("f", Record("f")));
    eventually("the rest is handled", async || house.effects("f").await == ["0", "1"]).await;
    assert_eq!(house.cursor("f").await, Some(3));
    let proven = house.log.proof_of(Which::Position(1)).await.unwrap();
    assert!(proven.is_some_and(|sealed| sealed.payload.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_continues_the_trace_of_its_cause() {
    use opentelemetry::trace::TracerProvider;
    use tracing::Instrument;
    use tracing_subscriber::layer::SubscriberExt;

    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    // For the whole process: which spans are on is remembered across threads.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let house = House::new().await;
    let follower = house.follower("f", Answers(house.log.clone())).appending_to(house.log.clone());
    let _follower = run(follower);
    house.append(fact("case", "a")).instrument(tracing::info_span!("cause")).await;
    eventually("the effect is there", async || house.cursor("f").await == Some(2)).await;
    let traces: Vec<String> =
        sqlx::query_scalar("select traceparent from ledger.entry order by id").fetch_all(&house.db.pool).await.unwrap();
    let trace_id = |traceparent: &str| traceparent.split('-').nth(1).map(str::to_owned);
    assert_eq!(traces.len(), 2);
    assert!(trace_id(&traces[0]).is_some(), "{traces:?}");
    assert_eq!(trace_id(&traces[0]), trace_id(&traces[1]));
    assert_ne!(traces[0], traces[1], "another span of the same trace");
}
