//! The service's database: connecting, what operators see of it, and whether a commit is on another machine too.

use std::time::Duration;

use anyhow::Context;
use haetae_mesh::config::DatabaseConfig;
use opentelemetry::{KeyValue, global};
use opentelemetry_semantic_conventions::{attribute, metric};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

/// How long a query may wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How often it is looked whether a synchronous standby is named.
const LOOK: Duration = Duration::from_secs(30);

/// How to connect, as whom. What Postgres shows of the connection names the service, unless the URL does.
///
/// # Errors
/// When the URL is none. The error does not repeat it: it may hold a password.
pub fn options(database: &DatabaseConfig, service: &str) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = database.url.expose().parse().context("database.url")?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(&format!("haetae-{service}")),
    })
}

/// How long a statement waits for a lock. Whoever gives up on a statement leaves its session to it: without an end to it, a lock
/// that a person holds would take one connection after the other.
const LOCKS: &str = "set lock_timeout = '20s'";

/// A pool of so many connections, the first of which is made.
///
/// # Errors
/// When the database cannot be reached.
pub async fn connect(options: PgConnectOptions, max_connections: u32) -> anyhow::Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::query(LOCKS).execute(connection).await.map(|_| ()) })
        })
        .connect_with(options)
        .await
        .context("the database cannot be reached")
}

/// Tells how many connections there are and how many there may be, by the OpenTelemetry conventions for pools.
pub(crate) fn tell_connections(pool: &PgPool, service: &'static str) {
    let name = KeyValue::new(attribute::DB_CLIENT_CONNECTION_POOL_NAME, service);
    let state = |state: &'static str| [name.clone(), KeyValue::new(attribute::DB_CLIENT_CONNECTION_STATE, state)];
    let (idle, used) = (state("idle"), state("used"));
    let meter = global::meter("haetae");
    let counted = pool.clone();
    meter
        .i64_observable_up_down_counter(metric::DB_CLIENT_CONNECTION_COUNT)
        .with_unit("{connection}")
        .with_description("Connections to the database, by whether they are in use")
        .with_callback(move |told| {
            let (all, resting) = (i64::from(counted.size()), i64::try_from(counted.num_idle()).unwrap_or(i64::MAX));
            told.observe(resting, &idle);
            // The two are read one after the other.
            told.observe((all - resting).max(0), &used);
        })
        .build();
    let most = i64::from(pool.options().get_max_connections());
    meter
        .i64_observable_up_down_counter(metric::DB_CLIENT_CONNECTION_MAX)
        .with_unit("{connection}")
        .with_description("Connections to the database that this replica may hold")
        .with_callback(move |told| told.observe(most, std::slice::from_ref(&name)))
        .build();
}

/// Warns while commits are acknowledged before another machine has them, although that is expected.
pub(crate) async fn watch_standby(pool: PgPool, cancel: CancellationToken) -> anyhow::Result<()> {
    let gauge = global::meter("haetae")
        .u64_gauge("haetae.database.synchronous")
        .with_description("1 while a commit is acknowledged only when a synchronous standby has it, 0 while not")
        .build();
    let mut said = None;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        // A database that does not answer says nothing about its standbys.
        let Ok(synchronous) = is_synchronous(&pool).await else { continue };
        gauge.record(u64::from(synchronous), &[]);
        if said.replace(synchronous) == Some(synchronous) {
            continue;
        }
        if synchronous {
            tracing::info!("a commit is acknowledged when a synchronous standby has it");
        } else {
            tracing::warn!(
                "what is acknowledged is on one machine only: Postgres names no synchronous standby, or this role does \
                 not wait for one"
            );
        }
    }
    Ok(())
}

/// Whether commits over this pool wait for a standby. From settings that every role may read.
///
/// # Errors
/// When the database does not answer.
pub async fn is_synchronous(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select current_setting('synchronous_standby_names') <> ''
            and current_setting('synchronous_commit') in ('remote_write', 'on', 'remote_apply')",
    )
    .fetch_one(pool)
    .await
}
