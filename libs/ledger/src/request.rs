//! A command sent twice under the same id gives the same answer, and happens once.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::sql::int;

/// How often expired answers are deleted.
const SWEEPING: Duration = Duration::from_secs(10);

/// Whose request id it is: ids of different scopes have nothing to do with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The calling system.
    pub system: String,
    /// The person on whose behalf; empty where there is none.
    pub person: String,
    /// The called method.
    pub method: String,
}

/// What is known of a request id.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: carry the command out, and remember the answer if it succeeds.
    Fresh(Fresh),
    /// The command succeeded before; this is its stored answer.
    Replay(Vec<u8>),
    /// The id was used for another command.
    Mismatch,
}

/// A request whose command is to be carried out in this transaction. Others with the same id wait for it to end.
#[derive(Debug)]
#[must_use = "a success that is not remembered happens again when it is repeated"]
pub struct Fresh {
    scope: Scope,
    request_id: String,
    fingerprint: [u8; 32],
}

/// Looks a request up, waiting while another transaction is at work on the same id. `fingerprint` is a digest of the
/// parsed command, not of its bytes on the wire.
///
/// # Errors
///
/// When the database fails.
pub async fn begin(
    tx: &mut PgConnection,
    scope: Scope,
    request_id: &str,
    fingerprint: [u8; 32],
    now: OffsetDateTime,
) -> Result<Begun, sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock($1)").bind(lock_key(&scope, request_id)).execute(&mut *tx).await?;
    // A statement of its own: it must see the answer that the other transaction committed while this one waited.
    let known: Option<([u8; 32], Vec<u8>)> = sqlx::query_as(
        "select fingerprint, response from ledger.request
         where system = $1 and person = $2 and method = $3 and request_id = $4 and expires_at > $5",
    )
    .bind(&scope.system)
    .bind(&scope.person)
    .bind(&scope.method)
    .bind(request_id)
    .bind(now)
    .fetch_optional(tx)
    .await?;
    Ok(match known {
        Some((of, response)) if of == fingerprint => Begun::Replay(response),
        Some(_) => Begun::Mismatch,
        None => Begun::Fresh(Fresh { scope, request_id: request_id.to_owned(), fingerprint }),
    })
}

impl Fresh {
    /// Remembers the answer of a command that succeeded, in the transaction that carries it out. Refusals are not
    /// remembered: what was wrong may be right next time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remember(
        self,
        tx: &mut PgConnection,
        response: &[u8],
        until: OffsetDateTime,
    ) -> Result<(), sqlx::Error> {
        // An expired answer may still lie there.
        sqlx::query(
            "insert into ledger.request
                (system, person, method, request_id, fingerprint, response, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (system, person, method, request_id) do update
             set fingerprint = excluded.fingerprint, response = excluded.response,
                 expires_at = excluded.expires_at",
        )
        .bind(self.scope.system)
        .bind(self.scope.person)
        .bind(self.scope.method)
        .bind(self.request_id)
        .bind(self.fingerprint)
        .bind(response)
        .bind(until)
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// Deletes at most `limit` expired answers; returns how many.
///
/// # Errors
///
/// When the database fails.
pub async fn sweep(pool: &PgPool, now: OffsetDateTime, limit: u32) -> Result<u64, sqlx::Error> {
    let swept = sqlx::query(
        "delete from ledger.request where ctid in (
            select ctid from ledger.request where expires_at <= $1 order by expires_at limit $2
            for update skip locked
         )",
    )
    .bind(now)
    .bind(int(limit.into()))
    .execute(pool)
    .await?;
    Ok(swept.rows_affected())
}

/// Deletes expired answers, a thousand at a time, until cancelled. Every replica may run it.
pub async fn keep_swept(pool: PgPool, cancel: CancellationToken) {
    let mut pace = interval(SWEEPING);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(pace.tick()).await.is_some() {
        // An answer that lies there too long is not given: it is looked at with the time.
        if let Err(error) = sweep(&pool, OffsetDateTime::now_utc(), 1_000).await {
            tracing::warn!(%error, "expired answers could not be deleted");
        }
    }
}

/// Requests whose keys collide wait for each other needlessly, no more.
fn lock_key(scope: &Scope, request_id: &str) -> i64 {
    let mut hash = Sha256::new_with_prefix("haetae-request");
    for part in [&scope.system, &scope.person, &scope.method, request_id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}
