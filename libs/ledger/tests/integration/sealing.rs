//! Committed entries get consecutive positions, whoever seals and whenever they commit.

use std::time::Duration;

use futures::StreamExt;
use haetae_ledger::{AppendError, Audience, Doorbell, Expected, Log, LogConfig, MIGRATOR, NewEntry, OpenError, Which};
use haetae_seal::checkpoint::{Checkpoint, LogKey};
use haetae_seal::leaf::{Leaf, commitment};
use haetae_seal::merkle::{Frontier, verify_inclusion};
use haetae_testkit::postgres::TestDb;
use haetae_wire::log::v1;
use tokio_util::sync::CancellationToken;

use crate::fixture::{House, ORIGIN, addressed, append, eventually, fact, seal, start, text};

fn leaf_hash(leaf: &v1::Leaf) -> [u8; 32] {
    let time = leaf.time.unwrap();
    Leaf {
        kind: leaf.kind.clone(),
        version: leaf.version,
        time_us: time.seconds * 1_000_000 + i64::from(time.nanos / 1_000),
        commitment: leaf.commitment.as_slice().try_into().unwrap(),
    }
    .hash()
}

/// Recomputes the tree from the leaves alone, as an auditor does, and compares every checkpoint ever signed.
async fn the_tree_is_whole(house: &House, size: u64) {
    let notes: Vec<(i64, String)> =
        sqlx::query_as("select size, note from ledger.checkpoint").fetch_all(&house.db.pool).await.unwrap();
    let mut roots = std::collections::HashMap::new();
    let mut frontier = Frontier::new();
    roots.insert(0, frontier.root());
    while frontier.size() < size {
        let leaves = house.log.leaves(frontier.size(), 1_000).await.unwrap();
        for leaf in &leaves {
            assert_eq!(leaf.position, frontier.size(), "positions have no gap");
            frontier.push(leaf_hash(leaf), &mut Vec::new());
            roots.insert(frontier.size(), frontier.root());
        }
        assert!(!leaves.is_empty(), "the log ends early");
    }
    for (size, note) in notes {
        let signed = Checkpoint::open(&note, house.log.verifier()).unwrap();
        assert_eq!(signed.size, size.cast_unsigned());
        assert_eq!(roots.get(&signed.size), Some(&signed.root));
    }
}

async fn sealed(house: &House) -> i64 {
    house.count("select size from ledger.log_head").await
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_have_no_gap_however_many_append_and_however_late_they_commit() {
    let house = House::new().await;
    let other = house.replica(Doorbell::local()).await;
    let _sealers = (seal(&house.log), seal(&other));
    let mut appenders = Vec::new();
    for appender in 0..6 {
        let log = if appender % 2 == 0 { house.log.clone() } else { other.clone() };
        appenders.push(tokio::spawn(async move {
            let mut kept = 0;
            for n in 0..25 {
                let count = rand::random_range(1..4);
                let late = Duration::from_micros(rand::random_range(0..4_000));
                let keep = rand::random_bool(0.8);
                let entries: Vec<NewEntry> = (0..count).map(|_| fact(&format!("{appender}-{n}"), "x")).collect();
                let mut tx = log.begin().await.unwrap();
                log.append_all(&mut tx, entries).await.unwrap();
                tokio::time::sleep(late).await;
                match (keep, rand::random_bool(0.3)) {
                    (false, _) => tx.rollback().await.unwrap(),
                    // A commit that nobody seals or tells of.
                    (true, true) => tx.commit().await.unwrap(),
                    (true, false) => log.commit(tx).await.unwrap(),
                }
                kept += if keep { count } else { 0 };
            }
            kept
        }));
    }
    let mut kept = 0;
    for appender in appenders {
        kept += appender.await.unwrap();
    }
    eventually("all entries are sealed", async || sealed(&house).await == kept).await;
    assert_eq!(house.count("select count(*) from ledger.entry").await, kept);
    the_tree_is_whole(&house, kept.cast_unsigned()).await;
}

#[tokio::test]
async fn an_entry_that_commits_late_gets_a_later_position_and_is_not_missed() {
    let house = House::new().await;
    let mut late = house.log.begin().await.unwrap();
    let first = house.log.append(&mut late, fact("late", "late")).await.unwrap();
    let second = house.append(fact("prompt", "prompt")).await;
    assert!(first.id < second.id);

    let mut stream = Box::pin(house.log.follow(Audience::Everything, start()));
    let batch = stream.next().await.unwrap().unwrap();
    assert_eq!(text(&batch.entries[0].payload), "prompt");

    house.log.commit(late).await.unwrap();
    let batch = stream.next().await.unwrap().unwrap();
    assert_eq!(text(&batch.entries[0].payload), "late");
    assert_eq!(batch.entries[0].position, 1);
}

#[tokio::test]
async fn a_commit_does_not_wait_for_a_head_that_is_taken() {
    let house = House::new().await;
    let mut holder = house.log.begin().await.unwrap();
    sqlx::query("select from ledger.log_head for update").execute(&mut *holder).await.unwrap();
    let appended = house.append(fact("case", "1")).await;
    assert_eq!(sealed(&house).await, 0);
    assert!(house.log.proof_of(Which::Id(appended.id)).await.unwrap().is_none());

    let _sealer = seal(&house.log);
    holder.rollback().await.unwrap();
    eventually("the sealer seals it", async || sealed(&house).await == 1).await;
}

#[tokio::test]
async fn what_is_rolled_back_was_never_there() {
    let house = House::new().await;
    let mut tx = house.log.begin().await.unwrap();
    house.log.append(&mut tx, fact("case", "1")).await.unwrap();
    tx.rollback().await.unwrap();
    house.append(fact("case", "2")).await;
    let mut tx = house.log.begin().await.unwrap();
    let entries = house.log.entries_of_stream(&mut tx, "stream/case").await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].version, entries[0].position),
        (1, Some(0)),
        "neither the version nor the position was used up"
    );
}

#[tokio::test]
async fn a_large_backlog_is_sealed_in_bounded_steps() {
    let house = House::new().await;
    let mut tx = house.log.begin().await.unwrap();
    let entries = (0..250).map(|n| fact(&n.to_string(), "x")).collect();
    house.log.append_all(&mut tx, entries).await.unwrap();
    house.log.commit(tx).await.unwrap();
    assert_eq!(sealed(&house).await, 100);
    assert_eq!(house.log.seal_once().await.unwrap(), Some(200));
    assert_eq!(house.log.seal_once().await.unwrap(), Some(250));
    assert_eq!(house.log.seal_once().await.unwrap(), None);
    the_tree_is_whole(&house, 250).await;
}

#[tokio::test]
async fn large_entries_make_small_sealings() {
    let house = House::new().await;
    let mut tx = house.log.begin().await.unwrap();
    let large = "x".repeat(600_000);
    let entries = (0..3).map(|n| fact(&n.to_string(), &large)).collect();
    house.log.append_all(&mut tx, entries).await.unwrap();
    house.log.commit(tx).await.unwrap();
    assert_eq!(sealed(&house).await, 1);
    let too_large = fact("case", &"x".repeat(1 << 20));
    let mut tx = house.log.begin().await.unwrap();
    assert!(matches!(house.log.append(&mut tx, too_large).await, Err(AppendError::TooLarge(_))));
}

#[tokio::test]
async fn a_decision_on_an_old_version_is_refused() {
    let house = House::new().await;
    let on = |version| NewEntry { expected: Expected::Version(version), ..fact("case", "x") };
    assert_eq!(house.append(on(0)).await.version, 1);
    assert_eq!(house.append(on(1)).await.version, 2);
    for stale in [0, 1, 3] {
        let mut tx = house.log.begin().await.unwrap();
        assert!(matches!(house.log.append(&mut tx, on(stale)).await, Err(AppendError::Conflict { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_decisions_on_one_version_one_holds() {
    let house = House::new().await;
    let on_nothing = || NewEntry { expected: Expected::Version(0), ..fact("case", "x") };
    let mut first = house.log.begin().await.unwrap();
    house.log.append(&mut first, on_nothing()).await.unwrap();
    let second = tokio::spawn({
        let log = house.log.clone();
        let entry = on_nothing();
        async move {
            let mut tx = log.begin().await.unwrap();
            log.append(&mut tx, entry).await.map(drop)
        }
    });
    eventually("the second waits for the first", async || {
        house
            .count(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await
            == 1
    })
    .await;
    house.log.commit(first).await.unwrap();
    assert!(matches!(second.await.unwrap(), Err(AppendError::Conflict { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_take_any_version_queue_up() {
    let house = House::new().await;
    let appends = (0..20).map(|_| {
        let log = house.log.clone();
        tokio::spawn(async move { append(&log, fact("case", "x")).await.version })
    });
    let mut versions = Vec::new();
    for appended in appends.collect::<Vec<_>>() {
        versions.push(appended.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn entries_of_one_call_keep_their_order() {
    let house = House::new().await;
    let on_nothing = |stream: &str| NewEntry { expected: Expected::Version(0), ..fact(stream, "x") };
    let mut tx = house.log.begin().await.unwrap();
    let entries = vec![on_nothing("z"), on_nothing("a"), on_nothing("z"), fact("m", "x"), on_nothing("a")];
    let appended = house.log.append_all(&mut tx, entries).await.unwrap();
    house.log.commit(tx).await.unwrap();
    let versions: Vec<u64> = appended.iter().map(|entry| entry.version).collect();
    assert_eq!(versions, [1, 1, 2, 1, 2]);
    assert!(appended.is_sorted_by_key(|entry| entry.id));
}

#[tokio::test]
async fn an_entry_lacking_a_part_is_refused() {
    let house = House::new().await;
    let mut tx = house.log.begin().await.unwrap();
    for entry in [fact("", "x"), addressed("", "x"), NewEntry { actor: String::new(), ..fact("case", "x") }] {
        assert!(matches!(house.log.append(&mut tx, entry).await, Err(AppendError::Malformed(_))));
    }
}

#[tokio::test]
async fn a_sealed_entry_proves_itself_offline() {
    let house = House::new().await;
    house.append_many(7).await;
    let appended = house.append(addressed("upbit", "order")).await;
    house.append_many(4).await;

    let sealed = house.log.proof_of(Which::Id(appended.id)).await.unwrap().unwrap();
    assert_eq!(sealed.position, 7);
    let opening = sealed.opening.unwrap();
    let salt = opening.salt.as_slice().try_into().unwrap();
    let payload = sealed.payload.unwrap();
    assert_eq!(commitment(salt, &opening.header, &payload).as_slice(), sealed.leaf.commitment);
    let signed = Checkpoint::open(&sealed.checkpoint, house.log.verifier()).unwrap();
    let path: Vec<_> = sealed.inclusion.hashes.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
    verify_inclusion(&leaf_hash(&sealed.leaf), 7, signed.size, &path, &signed.root).unwrap();
    let by_position = house.log.proof_of(Which::Position(7)).await.unwrap();
    assert_eq!(by_position.unwrap().leaf, sealed.leaf);
}

#[tokio::test]
async fn what_is_erased_stays_proven() {
    let house = House::new().await;
    house.append_many(3).await;
    house.append(fact("person", "a name")).await;
    house.append_many(3).await;
    let mut tx = house.log.begin().await.unwrap();
    let erased = house.log.erase_stream(&mut tx, "stream/person").await;
    assert_eq!(erased.unwrap(), 1);
    house.log.commit(tx).await.unwrap();

    the_tree_is_whole(&house, 7).await;
    let sealed = house.log.proof_of(Which::Position(3)).await.unwrap();
    assert!(sealed.is_some_and(|sealed| sealed.payload.is_none() && sealed.opening.is_none()));
    assert_eq!(house.count("select count(*) from ledger.entry where position = 3 and salt is null").await, 1);
}

#[tokio::test]
async fn entries_can_be_neither_changed_nor_deleted() {
    let house = House::new().await;
    house.append(fact("case", "1")).await;
    for meddling in [
        "update ledger.entry set payload = 'other'",
        "update ledger.entry set kind = 'other'",
        "update ledger.entry set position = 7",
        "update ledger.entry set audience = 'other'",
        "delete from ledger.entry",
    ] {
        let error = sqlx::raw_sql(meddling).execute(&house.db.pool).await.unwrap_err();
        assert!(error.to_string().contains("final"), "{meddling}: {error}");
    }
}

#[tokio::test]
async fn a_log_is_not_opened_under_another_name_or_key() {
    let house = House::new().await;
    house.append_many(2).await;
    let open = |origin: &str| {
        let config = LogConfig { origin: origin.to_owned(), key: LogKey::generate(), drain: CancellationToken::new() };
        Log::open(house.pool(), config, Doorbell::local())
    };
    assert!(matches!(open("test.example/other").await, Err(OpenError::AnotherLog { .. })));
    assert!(matches!(open(ORIGIN).await, Err(OpenError::Key(_))));
}

#[tokio::test]
async fn streams_end_when_the_log_drains() {
    let drain = CancellationToken::new();
    let db = TestDb::migrated(&MIGRATOR).await.unwrap();
    let config =
        LogConfig { origin: "test.example/draining".to_owned(), key: LogKey::generate(), drain: drain.clone() };
    let log = Log::open(db.pool.clone(), config, Doorbell::local()).await.unwrap();
    append(&log, fact("case", "1")).await;
    let mut stream = Box::pin(log.follow(Audience::Everything, start()));
    assert!(stream.next().await.unwrap().is_ok());
    drain.cancel();
    assert!(stream.next().await.is_none());
}
