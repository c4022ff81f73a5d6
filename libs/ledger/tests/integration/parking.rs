//! What cannot be handled is put aside with its subject; what is unavailable is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::anyhow;
use async_trait::async_trait;
use haetae_ledger::{AppendError, FollowedEntry, HandleError, Handler, parked};
use sqlx::PgConnection;

use crate::fixture::{House, Record, eventually, fact, run, text};

/// Fails as the payload says, unless everything is well.
#[derive(Clone, Default)]
struct Moody {
    all_is_well: Arc<AtomicBool>,
    attempts: Arc<AtomicU32>,
}

#[async_trait]
impl Handler for Moody {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        Record("f").effect(tx, entry).await?;
        let payload = text(&entry.payload);
        if self.all_is_well.load(Ordering::SeqCst) {
            return Ok(());
        }
        match payload.as_str() {
            "poison" => Err(HandleError::poison(anyhow!("nobody understands this"))),
            "panic" => panic!("as the test wants it"),
            "unavailable" => {
                self.attempts.fetch_add(1, Ordering::SeqCst);
                Err(HandleError::retry(anyhow!("not now")))
            }
            "violation" => {
                sqlx::query("insert into effect values (default, null)").execute(tx).await?;
                Ok(())
            }
            "swallowed" => {
                let failed = sqlx::query("select 1 / 0").execute(tx).await;
                assert!(failed.is_err());
                Ok(())
            }
            "no such table" => {
                self.attempts.fetch_add(1, Ordering::SeqCst);
                sqlx::query("select * from not_migrated_yet").execute(tx).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_entry_parks_its_subject_and_nothing_else() {
    let house = House::new().await;
    let moody = Moody::default();
    for (subject, payload) in [("a", "a1"), ("b", "b1"), ("a", "poison"), ("b", "b2"), ("a", "a3"), ("b", "b3")] {
        house.append(fact(subject, payload)).await;
    }
    let _follower = run(house.follower("f", moody.clone()));
    eventually("the cursor passes all", async || house.cursor("f").await == Some(6)).await;
    house.append(fact("a", "a4")).await;
    house.append(fact("b", "b4")).await;
    eventually("the cursor passes those, too", async || house.cursor("f").await == Some(8)).await;
    assert_eq!(house.effects("f").await, ["a1", "b1", "b2", "b3", "b4"]);

    let parked = house.parked().await;
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].subject.as_str(), parked[0].position, parked[0].waiting), ("a", 2, 2));
    assert!(parked[0].error.contains("nobody understands this"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_a_parked_subject_tried_again_in_order() {
    let house = House::new().await;
    let moody = Moody::default();
    for payload in ["poison", "a2", "a3"] {
        house.append(fact("a", payload)).await;
    }
    let _follower = run(house.follower("f", moody.clone()));
    eventually("all are parked", async || house.cursor("f").await == Some(3)).await;
    assert!(!retry(&house, 1).await, "what waits behind another is not what holds the subject back");
    let parked = house.parked().await;
    assert_eq!((parked[0].kind.as_str(), parked[0].stream.as_str(), parked[0].tries), ("happened", "stream/a", 1));

    assert!(retry(&house, 0).await);
    eventually("it fails again", async || house.parked().await[0].tries == 2).await;
    assert!(house.effects("f").await.is_empty() && !house.parked().await[0].retrying);

    moody.all_is_well.store(true, Ordering::SeqCst);
    assert!(retry(&house, 0).await);
    eventually("nothing is parked", async || house.parked().await.is_empty()).await;
    house.append(fact("a", "a4")).await;
    eventually("new ones are handled at once", async || house.effects("f").await == ["poison", "a2", "a3", "a4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_asked_for_twice_does_nothing_twice() {
    let house = House::new().await;
    let moody = Moody::default();
    house.append(fact("a", "poison")).await;
    house.append(fact("a", "a2")).await;
    let follower = run(house.follower("f", moody.clone()));
    eventually("both are parked", async || house.cursor("f").await == Some(2)).await;
    follower.stop().await.unwrap();

    moody.all_is_well.store(true, Ordering::SeqCst);
    assert!(retry(&house, 0).await && retry(&house, 0).await, "asked for twice before the follower has looked");
    let _follower = run(house.follower("f", moody));
    eventually("nothing is parked", async || house.parked().await.is_empty()).await;
    assert!(!retry(&house, 0).await, "asked for after it was handled");
    house.append(fact("a", "a3")).await;
    eventually("the next is handled", async || house.cursor("f").await == Some(3)).await;
    assert_eq!(house.effects("f").await, ["poison", "a2", "a3"]);
}

async fn retry(house: &House, position: u64) -> bool {
    let mut conn = house.db.pool.acquire().await.unwrap();
    parked::retry(&mut conn, "f", position).await.unwrap()
}

async fn parks(payload: &str) {
    let house = House::new().await;
    house.append(fact("a", "a1")).await;
    house.append(fact("a", payload)).await;
    house.append(fact("b", "b1")).await;
    let _follower = run(house.follower("f", Moody::default()));
    eventually("the cursor passes it", async || house.cursor("f").await == Some(3)).await;
    assert_eq!(house.effects("f").await, ["a1", "b1"], "{payload}");
    let parked = house.parked().await;
    assert_eq!(parked.len(), 1, "{payload}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violated_constraint_parks() {
    parks("violation").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_parks() {
    parks("panic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_that_is_passed_over_parks_and_loses_nothing() {
    parks("swallowed").await;
}

async fn waits(payload: &str) {
    let house = House::new().await;
    let moody = Moody::default();
    house.append(fact("a", "before")).await;
    house.append(fact("a", payload)).await;
    house.append(fact("b", "after")).await;
    let _follower = run(house.follower("f", moody.clone()));
    eventually("it was tried some times", async || moody.attempts.load(Ordering::SeqCst) >= 4).await;
    assert_eq!(house.effects("f").await, ["before"], "what came before need not wait");
    assert!(house.parked().await.is_empty());

    moody.all_is_well.store(true, Ordering::SeqCst);
    eventually("all are handled", async || house.effects("f").await == ["before", payload, "after"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unavailable_is_waited_for_and_parks_nothing() {
    waits("unavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_behind_the_code_is_waited_for() {
    waits("no such table").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_stopped_amid_a_sealing_goes_on_from_there() {
    let house = House::new().await;
    let moody = Moody::default();
    let mut tx = house.log.begin().await.unwrap();
    let entries = ["0", "1", "2", "unavailable", "4"].map(|payload| fact("a", payload));
    house.log.append_all(&mut tx, entries.to_vec()).await.unwrap();
    house.log.commit(tx).await.unwrap();
    let first = run(house.follower("f", moody.clone()));
    eventually("it waits at the fourth", async || moody.attempts.load(Ordering::SeqCst) >= 3).await;
    first.stop().await.unwrap();
    assert_eq!(house.cursor("f").await, Some(3));

    moody.all_is_well.store(true, Ordering::SeqCst);
    let _second = run(house.follower("f", moody.clone()));
    eventually("all are handled", async || house.cursor("f").await == Some(5)).await;
    assert_eq!(house.effects("f").await, ["0", "1", "2", "unavailable", "4"]);
}

#[test]
fn a_conflict_is_no_poison() {
    let conflict = AppendError::Conflict { stream: "leg/1".to_owned() };
    assert!(matches!(conflict.into(), HandleError::Retry(_)));
}

#[test]
fn a_payload_that_does_not_decode_is_poison() {
    use prost::Message;
    let error = haetae_wire::log::v1::Header::decode(&[0xff][..]).unwrap_err();
    assert!(matches!(error.into(), HandleError::Poison(_)));
}

#[test]
fn a_database_that_is_not_there_is_no_poison() {
    for error in [sqlx::Error::PoolTimedOut, sqlx::Error::Io(std::io::Error::other("gone")), sqlx::Error::WorkerCrashed]
    {
        assert!(matches!(error.into(), HandleError::Retry(_)));
    }
}
