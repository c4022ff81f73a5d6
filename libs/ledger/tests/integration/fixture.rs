//! A log in a database of its own, replicas of it, and followers that write down what they handled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haetae_ledger::{
    Appended, Audience, Doorbell, Expected, FollowedEntry, Follower, FollowerError, HandleError, Handler, Log,
    LogConfig, MIGRATOR, NewEntry, Sealer,
    parked::{self, Parked},
};
use haetae_seal::checkpoint::LogKey;
use haetae_testkit::postgres::TestDb;
use haetae_wire::log::v1::Cursor;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const ORIGIN: &str = "test.example/log";

/// A service's database with its log, and the key to open it in further replicas.
pub(crate) struct House {
    pub(crate) db: TestDb,
    pub(crate) log: Log,
    pem: String,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with_key(&LogKey::generate().to_pkcs8_pem()).await
    }

    /// A log of the same name and key in a database of its own: what a fork looks like.
    pub(crate) async fn forked_from(other: &Self) -> Self {
        Self::with_key(&other.pem).await
    }

    async fn with_key(pem: &str) -> Self {
        let db = TestDb::migrated(&MIGRATOR).await.unwrap();
        sqlx::raw_sql(
            "create table effect (
                ordinal bigint generated always as identity,
                follower text not null, position bigint not null, payload text not null,
                unique (follower, position)
             )",
        )
        .execute(&db.pool)
        .await
        .unwrap();
        let log = open(&db.pool, pem, Doorbell::local()).await;
        Self { db, log, pem: pem.to_owned() }
    }

    /// The log as another replica has it, which hears nothing of this one but through its doorbell.
    pub(crate) async fn replica(&self, doorbell: Doorbell) -> Log {
        open(&self.db.pool, &self.pem, doorbell).await
    }

    pub(crate) async fn append(&self, entry: NewEntry) -> Appended {
        append(&self.log, entry).await
    }

    pub(crate) async fn append_many(&self, count: usize) {
        for n in 0..count {
            self.append(fact(&format!("case-{}", n % 3), &n.to_string())).await;
        }
    }

    pub(crate) fn pool(&self) -> PgPool {
        self.db.pool.clone()
    }

    /// A follower of this log in this database that writes what it handles into `effect`.
    pub(crate) fn follower(&self, name: &str, handler: impl Handler + 'static) -> Follower {
        let verifier = self.log.verifier().clone();
        Follower::new(self.pool(), name, self.log.clone(), verifier, handler)
    }

    /// What a follower has handled, in the order in which it did.
    pub(crate) async fn effects(&self, follower: &str) -> Vec<String> {
        sqlx::query_scalar("select payload from effect where follower = $1 order by ordinal")
            .bind(follower)
            .fetch_all(&self.db.pool)
            .await
            .unwrap()
    }

    /// The position of a follower's stored cursor.
    pub(crate) async fn cursor(&self, follower: &str) -> Option<i64> {
        sqlx::query_scalar("select next_position from ledger.cursor where follower = $1")
            .bind(follower)
            .fetch_optional(&self.db.pool)
            .await
            .unwrap()
    }

    /// What is parked.
    pub(crate) async fn parked(&self) -> Vec<Parked> {
        parked::list(&self.db.pool, 10).await.unwrap()
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.db.pool).await.unwrap()
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.db.pool).await.unwrap();
    }
}

async fn open(pool: &PgPool, pem: &str, doorbell: Doorbell) -> Log {
    let config = LogConfig {
        origin: ORIGIN.to_owned(),
        key: LogKey::from_pkcs8_pem(pem).unwrap(),
        drain: CancellationToken::new(),
    };
    Log::open(pool.clone(), config, doorbell).await.unwrap()
}

pub(crate) async fn append(log: &Log, entry: NewEntry) -> Appended {
    let mut tx = log.begin().await.unwrap();
    let appended = log.append(&mut tx, entry).await.unwrap();
    log.commit(tx).await.unwrap();
    appended
}

/// An entry on a stream of its subject.
pub(crate) fn fact(subject: &str, payload: &str) -> NewEntry {
    NewEntry {
        stream: format!("stream/{subject}"),
        expected: Expected::Any,
        kind: "happened",
        subject: subject.to_owned(),
        actor: "service:test".to_owned(),
        audience: None,
        payload: payload.as_bytes().to_vec(),
        time: OffsetDateTime::now_utc(),
    }
}

pub(crate) fn addressed(exchange: &str, payload: &str) -> NewEntry {
    NewEntry { audience: Some(exchange.to_owned()), ..fact(exchange, payload) }
}

pub(crate) fn start() -> Cursor {
    Cursor::default()
}

pub(crate) fn text(payload: &[u8]) -> String {
    String::from_utf8(payload.to_vec()).unwrap()
}

/// Writes down what it handles.
#[derive(Clone)]
pub(crate) struct Record(pub(crate) &'static str);

impl Record {
    pub(crate) async fn effect(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), sqlx::Error> {
        sqlx::query("insert into effect (follower, position, payload) values ($1, $2, $3)")
            .bind(self.0)
            .bind(entry.position.cast_signed())
            .bind(text(&entry.payload))
            .execute(tx)
            .await?;
        Ok(())
    }
}

#[async_trait]
impl Handler for Record {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        Ok(self.effect(tx, entry).await?)
    }
}

/// A task that ends with the test.
pub(crate) struct Running<T> {
    pub(crate) task: JoinHandle<T>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl<T: Send + 'static> Running<T> {
    fn new<F: Future<Output = T> + Send + 'static>(work: impl FnOnce(CancellationToken) -> F) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(work(stop.clone())), _guard: stop.clone().drop_guard(), stop }
    }

    pub(crate) async fn stop(self) -> T {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

pub(crate) fn run(follower: Follower) -> Running<Result<(), FollowerError>> {
    Running::new(|cancel| follower.run(cancel))
}

pub(crate) fn seal(log: &Log) -> Running<()> {
    let sealer = Sealer::new(log.clone());
    Running::new(|cancel| sealer.run(cancel))
}

pub(crate) fn ring(doorbell: &Doorbell) -> Running<()> {
    let doorbell = doorbell.clone();
    Running::new(|cancel| async move { doorbell.run(cancel).await })
}

/// Runs a follower until it stops by itself, and says why.
pub(crate) async fn refusal(follower: Follower) -> FollowerError {
    let mut running = run(follower);
    let stopped = tokio::time::timeout(Duration::from_secs(20), &mut running.task).await;
    stopped.expect("the follower did not stop").unwrap().unwrap_err()
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A source that alters what the log sends.
pub(crate) fn altered(
    log: &Log,
    audience: Audience,
    alter: impl Fn(&mut haetae_wire::log::v1::Batch) + Send + Sync + 'static,
) -> impl haetae_ledger::LogSource + 'static {
    use futures::StreamExt;
    let log = log.clone();
    let alter = Arc::new(alter);
    move |cursor: Cursor| {
        let alter = alter.clone();
        let batches = log.follow(audience.clone(), cursor).map(move |batch| {
            let mut batch = batch?;
            alter(&mut batch);
            Ok(batch)
        });
        async move { Ok(batches.boxed()) }
    }
}

/// What the log sends to one exchange, as it is.
pub(crate) fn for_exchange(log: &Log, exchange: &str) -> impl haetae_ledger::LogSource + 'static {
    altered(log, Audience::Exchange(exchange.to_owned()), |_| {})
}
