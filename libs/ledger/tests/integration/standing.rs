//! What operators see: the log, its followers and what keeps them, the replicas and which are to go.

use haetae_ledger::{
    Following, LogSource, followers,
    replica::{self, Obstacle, Told},
};
use haetae_wire::log::v1::Cursor;
use time::{Duration, OffsetDateTime};
use tonic::Status;

use crate::fixture::{House, Record, eventually, fact, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_and_its_followers_are_seen_as_they_stand() {
    let house = House::new().await;
    let now = OffsetDateTime::now_utc();
    let empty = house.log.standing(now).await.unwrap();
    assert_eq!((empty.size, empty.aged_size, empty.newest_at, empty.oldest_unsealed_at), (0, 0, None, None));

    house.append_many(3).await;
    let _follower = run(house.follower("f", Record("f")));
    eventually("all is handled", async || house.cursor("f").await == Some(3)).await;
    let seen = followers(&house.db.pool).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].name.as_str(), seen[0].next_position, seen[0].parked), ("f", 3, 0));
    assert_eq!(seen[0].log_id, house.log.id());

    let mut tx = house.pool().begin().await.unwrap();
    house.log.append(&mut tx, fact("a", "committed past the log")).await.unwrap();
    tx.commit().await.unwrap();
    let standing = house.log.standing(now - Duration::HOUR).await.unwrap();
    assert_eq!((standing.size, standing.aged_size), (3, 0), "nothing is an hour old");
    let later = house.log.standing(now + Duration::HOUR).await.unwrap();
    assert_eq!(later.aged_size, 3, "in an hour all that is sealed is, and nothing else");
    assert!(standing.oldest_unsealed_at > standing.newest_at);
}

fn unreachable() -> impl LogSource + 'static {
    |_: Cursor| async { Err(Status::unavailable("not now")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_says_what_keeps_it() {
    let house = House::new().await;
    let follower =
        haetae_ledger::Follower::new(house.pool(), "f", unreachable(), house.log.verifier().clone(), Record("f"));
    let state = follower.state();
    assert_eq!(*state.borrow(), Following::GoingOn);
    let _running = run(follower);
    let waits = |state: &Following| matches!(state, Following::Waiting { what, .. } if what.contains("not now"));
    eventually("it waits and says why", async || waits(&state.borrow())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_asked_to_drain_hears_of_it_and_its_successor_does_not() {
    let house = House::new().await;
    let pool = house.pool();
    assert_eq!(replica::tell(&pool, "one", None).await.unwrap(), Told::Forgotten, "it has not arrived yet");
    for name in ["one", "two"] {
        replica::arrive(&pool, name, "0.1.0").await.unwrap();
        assert_eq!(replica::tell(&pool, name, None).await.unwrap(), Told::Stay);
    }

    let mut conn = pool.acquire().await.unwrap();
    assert!(replica::ask_to_drain(&mut conn, "one").await.unwrap());
    assert!(!replica::ask_to_drain(&mut conn, "three").await.unwrap(), "nobody of that name is there");
    assert_eq!(replica::tell(&pool, "one", None).await.unwrap(), Told::Drain);
    assert_eq!(replica::tell(&pool, "two", None).await.unwrap(), Told::Stay);

    replica::arrive(&pool, "one", "0.1.0").await.unwrap();
    assert_eq!(replica::tell(&pool, "one", None).await.unwrap(), Told::Stay, "its predecessor was meant");
    replica::leave(&pool, "one").await.unwrap();
    let names: Vec<_> = replica::list(&pool).await.unwrap().into_iter().map(|replica| replica.name).collect();
    assert_eq!(names, ["two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_follower_is_listed_until_it_goes_on() {
    let house = House::new().await;
    let pool = house.pool();
    replica::arrive(&pool, "one", "0.1.0").await.unwrap();
    let obstacle = |follower: &str, what: &str| Obstacle {
        follower: follower.to_owned(),
        stopped: false,
        since: OffsetDateTime::UNIX_EPOCH,
        what: what.to_owned(),
    };
    let told = [obstacle("f", "no answer"), obstacle("g", "no answer")];
    replica::tell(&pool, "one", Some(&told)).await.unwrap();
    replica::tell(&pool, "one", Some(&[obstacle("g", "still none")])).await.unwrap();
    let seen = replica::obstacles(&pool).await.unwrap();
    assert_eq!(seen, [("one".to_owned(), obstacle("g", "still none"))]);
    replica::tell(&pool, "one", None).await.unwrap();
    assert_eq!(replica::obstacles(&pool).await.unwrap(), seen, "nothing has changed");
    replica::tell(&pool, "one", Some(&[])).await.unwrap();
    assert!(replica::obstacles(&pool).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_gone_for_long_is_forgotten_by_the_others() {
    let house = House::new().await;
    let pool = house.pool();
    for name in ["killed", "alive"] {
        replica::arrive(&pool, name, "0.1.0").await.unwrap();
    }
    house.execute("update ledger.replica set seen_at = now() - interval '1 hour' where name = 'killed'").await;
    replica::tell(&pool, "alive", None).await.unwrap();
    assert_eq!(replica::list(&pool).await.unwrap().len(), 1);
    assert_eq!(
        replica::tell(&pool, "killed", None).await.unwrap(),
        Told::Forgotten,
        "if it ever comes back, it is told"
    );
}
