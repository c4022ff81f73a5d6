//! A command sent twice happens once.

use haetae_ledger::request::{self, Begun, Scope};
use time::{Duration, OffsetDateTime};

use crate::fixture::{House, eventually};

const COMMAND: [u8; 32] = [1; 32];
const ANOTHER: [u8; 32] = [2; 32];

fn scope(person: &str) -> Scope {
    Scope { system: "kics".to_owned(), person: person.to_owned(), method: "SubmitRequest".to_owned() }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
}

async fn succeed(house: &House, person: &str, id: &str, answer: &[u8], until: OffsetDateTime) {
    let mut tx = house.log.begin().await.unwrap();
    let begun = request::begin(&mut tx, scope(person), id, COMMAND, now()).await;
    let Begun::Fresh(fresh) = begun.unwrap() else {
        panic!("not fresh");
    };
    fresh.remember(&mut tx, answer, until).await.unwrap();
    house.log.commit(tx).await.unwrap();
}

async fn begin(house: &House, person: &str, fingerprint: [u8; 32], at: OffsetDateTime) -> Begun {
    let mut tx = house.log.begin().await.unwrap();
    request::begin(&mut tx, scope(person), "r-1", fingerprint, at).await.unwrap()
}

#[tokio::test]
async fn a_repeated_success_gives_the_same_answer() {
    let house = House::new().await;
    succeed(&house, "kim", "r-1", b"answer", now() + Duration::DAY).await;
    let again = begin(&house, "kim", COMMAND, now()).await;
    assert!(matches!(again, Begun::Replay(answer) if answer == b"answer"));
}

#[tokio::test]
async fn the_same_id_for_another_command_is_a_mismatch() {
    let house = House::new().await;
    succeed(&house, "kim", "r-1", b"answer", now() + Duration::DAY).await;
    let other = begin(&house, "kim", ANOTHER, now()).await;
    assert!(matches!(other, Begun::Mismatch));
}

#[tokio::test]
async fn ids_of_different_persons_have_nothing_to_do_with_each_other() {
    let house = House::new().await;
    succeed(&house, "kim", "r-1", b"answer", now() + Duration::DAY).await;
    let other = begin(&house, "lee", ANOTHER, now()).await;
    assert!(matches!(other, Begun::Fresh(_)));
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let house = House::new().await;
    assert!(matches!(begin(&house, "kim", COMMAND, now()).await, Begun::Fresh(_)));
    let other = begin(&house, "kim", ANOTHER, now()).await;
    assert!(matches!(other, Begun::Fresh(_)));
}

#[tokio::test]
async fn an_expired_answer_is_forgotten_and_swept() {
    let house = House::new().await;
    succeed(&house, "kim", "r-1", b"old", now() + Duration::HOUR).await;
    let later = now() + 2 * Duration::HOUR;
    assert!(matches!(begin(&house, "kim", ANOTHER, later).await, Begun::Fresh(_)));
    assert_eq!(request::sweep(&house.db.pool, now(), 10).await.unwrap(), 0, "not yet");
    assert_eq!(request::sweep(&house.db.pool, later, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn an_expired_answer_gives_way_to_a_new_one() {
    let house = House::new().await;
    succeed(&house, "kim", "r-1", b"old", now()).await;
    succeed(&house, "kim", "r-1", b"new", now() + Duration::HOUR).await;
    let again = begin(&house, "kim", COMMAND, now()).await;
    assert!(matches!(again, Begun::Replay(answer) if answer == b"new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_sent_twice_at_once_happens_once() {
    let house = House::new().await;
    let mut tx = house.log.begin().await.unwrap();
    let begun = request::begin(&mut tx, scope("kim"), "r-1", COMMAND, now()).await;
    let Begun::Fresh(fresh) = begun.unwrap() else {
        panic!("not fresh");
    };
    let second = tokio::spawn({
        let log = house.log.clone();
        async move {
            let mut tx = log.begin().await.unwrap();
            request::begin(&mut tx, scope("kim"), "r-1", COMMAND, now()).await.unwrap()
        }
    });
    eventually("the second waits", async || {
        house
            .count(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event = 'advisory'",
            )
            .await
            == 1
    })
    .await;
    let until = now() + Duration::DAY;
    fresh.remember(&mut tx, b"answer", until).await.unwrap();
    house.log.commit(tx).await.unwrap();
    assert!(matches!(second.await.unwrap(), Begun::Replay(answer) if answer == b"answer"));
}
