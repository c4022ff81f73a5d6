//! A log that is not what it was stops its followers, loudly and before any effect.

use haetae_ledger::{Audience, Doorbell, Follower, FollowerError, LogSource};
use haetae_wire::log::v1::Batch;

use crate::fixture::{House, Record, addressed, altered, eventually, fact, for_exchange, refusal, run};

/// Follows what a source sends as if it were the house's own log.
fn everything(house: &House, source: impl LogSource + 'static) -> Follower {
    let verifier = house.log.verifier().clone();
    Follower::new(house.pool(), "f", source, verifier, Record("f"))
}

fn upbit(house: &House, source: impl LogSource + 'static) -> Follower {
    everything(house, source).addressed_to("upbit")
}

/// Has a follower handle what there is, then stop.
async fn handle_all(house: &House, follower: Follower, next_position: i64) {
    let running = run(follower);
    eventually("all is handled", async || house.cursor("f").await == Some(next_position)).await;
    running.stop().await.unwrap();
}

/// Why a follower of everything stops when the log's batches are altered so.
async fn stopped_by(alter: impl Fn(&mut Batch) + Send + Sync + 'static) -> FollowerError {
    let house = House::new().await;
    house.append_many(6).await;
    let source = altered(&house.log, Audience::Everything, alter);
    let error = refusal(everything(&house, source)).await;
    assert_eq!(house.cursor("f").await, Some(0), "the cursor stays");
    assert!(house.effects("f").await.is_empty(), "nothing is acted on");
    error
}

/// Why a connector stops when the log's batches are altered so.
async fn connector_stopped_by(alter: impl Fn(&mut Batch) + Send + Sync + 'static) -> FollowerError {
    let house = House::new().await;
    for _ in 0..3 {
        house.append(addressed("upbit", "order")).await;
        house.append(fact("case", "internal")).await;
    }
    let source = altered(&house.log, Audience::Exchange("upbit".to_owned()), alter);
    let error = refusal(upbit(&house, source)).await;
    assert_eq!(house.cursor("f").await, Some(0), "the cursor stays");
    assert!(house.effects("f").await.is_empty(), "nothing is acted on");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_stops_a_follower_of_everything() {
    let error = stopped_by(|batch| {
        batch.entries.remove(2);
    })
    .await;
    assert!(matches!(error, FollowerError::Gap { expected: 2, found: 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_end_is_a_gap() {
    let error = stopped_by(|batch| {
        batch.entries.pop();
    })
    .await;
    assert!(matches!(error, FollowerError::Gap { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_payload_stops_a_follower_of_everything() {
    let error = stopped_by(|batch| batch.entries[1].payload = b"other".to_vec()).await;
    assert!(matches!(error, FollowerError::Fork { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_header_kind_version_or_time_stops_as_well() {
    for alter in [
        |batch: &mut Batch| batch.entries[1].kind = "other".to_owned(),
        |batch: &mut Batch| batch.entries[1].version += 1,
        |batch: &mut Batch| batch.entries[1].time.as_mut().unwrap().seconds += 1,
        |batch: &mut Batch| batch.entries[1].header.clear(),
    ] {
        assert!(matches!(stopped_by(alter).await, FollowerError::Fork { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leaf_does_not_cover_is_refused() {
    let error = stopped_by(|batch| batch.entries[1].time.as_mut().unwrap().nanos += 1).await;
    assert!(matches!(error, FollowerError::BadEntry { part: "time", .. }));
    let error = stopped_by(|batch| batch.entries[1].commitment = vec![1; 32]).await;
    assert!(matches!(error, FollowerError::BadEntry { part: "commitment", .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_stream_does_not_pass_for_everything() {
    let error = stopped_by(|batch| batch.unfiltered = false).await;
    assert!(matches!(error, FollowerError::AnotherView));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_by_another_key_is_refused() {
    let house = House::new().await;
    let stranger = House::new().await;
    stranger.append_many(3).await;
    let error = refusal(everything(&house, stranger.log.clone())).await;
    assert!(matches!(error, FollowerError::BadCheckpoint(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_refused() {
    let error = stopped_by(|batch| batch.log_id = uuid::Uuid::nil().to_string()).await;
    assert!(matches!(error, FollowerError::AnotherLog { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_log_stops_its_follower() {
    let house = House::new().await;
    let fork = House::forked_from(&house).await;
    house.append_many(5).await;
    fork.append_many(9).await;
    handle_all(&house, everything(&house, house.log.clone()), 5).await;
    let error = refusal(everything(&house, fork.log.clone())).await;
    assert!(matches!(error, FollowerError::Fork { .. }));
    assert_eq!(house.cursor("f").await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_log_stops_a_connector() {
    let house = House::new().await;
    let fork = House::forked_from(&house).await;
    house.append(addressed("upbit", "order")).await;
    for _ in 0..4 {
        fork.append(addressed("upbit", "another")).await;
    }
    handle_all(&house, upbit(&house, for_exchange(&house.log, "upbit")), 1).await;
    let error = refusal(upbit(&house, for_exchange(&fork.log, "upbit"))).await;
    assert!(matches!(error, FollowerError::Fork { .. }));
    assert_eq!(house.effects("f").await, ["order"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_from_an_older_copy_stops_its_follower() {
    let house = House::new().await;
    house.append_many(3).await;
    house.execute("create table older as select size, frontier from ledger.log_head").await;
    house.append_many(4).await;
    handle_all(&house, everything(&house, house.log.clone()), 7).await;

    // A restored database, and a replica that is started on it.
    house
        .execute(
            "alter table ledger.entry disable trigger all;
             delete from ledger.entry where position >= 3;
             delete from ledger.checkpoint where size > 3;
             delete from ledger.node where (index + 1) << level > 3;
             update ledger.log_head set (size, frontier) = (select size, frontier from older);",
        )
        .await;
    let restored = house.replica(Doorbell::local()).await;
    let error = refusal(everything(&house, restored.clone())).await;
    assert!(matches!(error, FollowerError::RolledBack { verified: 7 }));
    assert_eq!(house.cursor("f").await, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_seen_while_a_stream_is_open() {
    let house = House::new().await;
    house.append_many(3).await;
    house.execute("create table older as select size, frontier from ledger.log_head").await;
    house.append_many(4).await;
    let running = run(everything(&house, house.log.clone()));
    eventually("all is handled", async || house.cursor("f").await == Some(7)).await;
    house.execute("update ledger.log_head set (size, frontier) = (select size, frontier from older)").await;
    let error = running.task.await.unwrap().unwrap_err();
    assert!(matches!(error, FollowerError::RolledBack { verified: 7 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_checkpoint_is_a_rollback_even_if_the_server_hides_it() {
    let house = House::new().await;
    house.append_many(3).await;
    let older = house.log.checkpoint().await.unwrap();
    house.append_many(4).await;
    handle_all(&house, everything(&house, house.log.clone()), 7).await;
    house.append_many(1).await;
    let source = altered(&house.log, Audience::Everything, move |batch| {
        batch.checkpoint.clone_from(&older);
    });
    let error = refusal(everything(&house, source)).await;
    assert!(matches!(error, FollowerError::RolledBack { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_payload_stops_a_connector() {
    let error = connector_stopped_by(|batch| batch.entries[1].payload = b"other".to_vec()).await;
    assert!(matches!(error, FollowerError::BadProof { position: 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_foreign_proof_stops_a_connector() {
    let error = connector_stopped_by(|batch| batch.entries[0].inclusion = None).await;
    assert!(matches!(error, FollowerError::BadProof { position: 0 }));
    let error = connector_stopped_by(|batch| {
        batch.entries[0].inclusion = batch.entries[1].inclusion.clone();
    })
    .await;
    assert!(matches!(error, FollowerError::BadProof { position: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_out_of_order_stop_a_connector() {
    let error = connector_stopped_by(|batch| batch.entries.swap(0, 1)).await;
    assert!(matches!(error, FollowerError::Gap { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_not_shown_to_continue_stops_a_connector() {
    let house = House::new().await;
    house.append(addressed("upbit", "order")).await;
    handle_all(&house, upbit(&house, for_exchange(&house.log, "upbit")), 1).await;
    house.append_many(4).await;
    house.append(addressed("upbit", "order")).await;
    let upbits = Audience::Exchange("upbit".to_owned());
    let source = altered(&house.log, upbits, |batch| batch.consistency = None);
    let error = refusal(upbit(&house, source)).await;
    assert!(matches!(error, FollowerError::Fork { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_addressed_to_another_exchange_is_refused() {
    let house = House::new().await;
    house.append(addressed("bithumb", "order")).await;
    let error = refusal(upbit(&house, for_exchange(&house.log, "bithumb"))).await;
    assert!(matches!(error, FollowerError::NotAddressed { position: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_beyond_the_checkpoint_is_refused() {
    let error = connector_stopped_by(|batch| batch.next_position += 100).await;
    assert!(matches!(error, FollowerError::NotCovered { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_not_used_for_another_kind_of_stream() {
    let house = House::new().await;
    house.append_many(2).await;
    handle_all(&house, everything(&house, house.log.clone()), 2).await;
    let error = refusal(upbit(&house, for_exchange(&house.log, "upbit"))).await;
    assert!(matches!(error, FollowerError::AnotherView));
}
