//! How long it takes from deciding to the follower's committed effect. Printed, not asserted: machines differ.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::interval;

use crate::fixture::{House, Record, eventually, fact, run, seal};

/// Writes down how old each entry is when its effect is written.
#[derive(Clone, Default)]
struct Ages(Arc<Mutex<Vec<Duration>>>);

#[async_trait]
impl Handler for Ages {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        Record("f").effect(tx, entry).await?;
        let age = OffsetDateTime::now_utc() - entry.time;
        self.0.lock().await.push(age.try_into().unwrap_or_default());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_followed_within_milliseconds() {
    const ENTRIES: usize = 300;
    let house = House::new().await;
    let ages = Ages::default();
    let _tasks = (run(house.follower("f", ages.clone())), seal(&house.log));
    let mut pace = interval(Duration::from_millis(10));
    for n in 0..ENTRIES {
        pace.tick().await;
        house.append(fact(&format!("case-{}", n % 20), "payload")).await;
    }
    eventually("all are handled", async || house.effects("f").await.len() == ENTRIES).await;
    let mut ages = ages.0.lock().await.clone();
    ages.sort_unstable();
    println!(
        "from deciding to the effect: p50 {:?}, p99 {:?}, slowest {:?}",
        ages[ENTRIES / 2],
        ages[ENTRIES * 99 / 100],
        ages[ENTRIES - 1]
    );
    assert_eq!(ages.len(), ENTRIES);
}
