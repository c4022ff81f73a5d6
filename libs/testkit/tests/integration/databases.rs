//! Clusters and databases.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use haetae_testkit::postgres::{Cluster, ClusterOptions, Database, TestDb};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlStr};

fn migrator(sql: &'static str) -> Migrator {
    Migrator::with_migrations(vec![Migration::new(
        1,
        "first".into(),
        MigrationType::Simple,
        SqlStr::from_static(sql),
        false,
    )])
}

async fn count(db: &TestDb) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM thing").fetch_one(&db.pool).await?)
}

#[tokio::test]
async fn clones_of_one_template_are_migrated_and_do_not_see_one_another() -> Result<()> {
    let migrator = migrator("CREATE TABLE thing (id int); INSERT INTO thing VALUES (1)");
    let (one, other) = tokio::try_join!(TestDb::migrated(&migrator), TestDb::migrated(&migrator))?;
    sqlx::query("INSERT INTO thing VALUES (2)").execute(&one.pool).await?;
    assert_eq!((count(&one).await?, count(&other).await?), (2, 1));
    Ok(())
}

#[tokio::test]
async fn other_migrations_make_another_template() -> Result<()> {
    let empty = TestDb::migrated(&migrator("CREATE TABLE thing (id int)")).await?;
    let filled = TestDb::migrated(&migrator("CREATE TABLE thing AS SELECT 7 AS id")).await?;
    assert_eq!((count(&empty).await?, count(&filled).await?), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_template_is_prepared_once() -> Result<()> {
    let prepared = AtomicU32::new(0);
    let key = format!("once {} {}", std::process::id(), time::OffsetDateTime::now_utc());
    for _ in 0..3 {
        TestDb::prepared(key.as_bytes(), async |_| {
            prepared.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .await?;
    }
    assert_eq!(prepared.into_inner(), 1);
    Ok(())
}

#[tokio::test]
async fn a_failed_preparation_is_tried_again() -> Result<()> {
    let key = format!("retried {} {}", std::process::id(), time::OffsetDateTime::now_utc());
    let failed = TestDb::prepared(key.as_bytes(), async |pool| {
        sqlx::query("CREATE TABLE half_done (id int)").execute(&pool).await?;
        anyhow::bail!("on purpose")
    });
    assert!(failed.await.is_err());
    let db = TestDb::prepared(key.as_bytes(), async |_| Ok(())).await?;
    let left_over: bool = sqlx::query_scalar("SELECT to_regclass('half_done') IS NOT NULL").fetch_one(&db.pool).await?;
    assert!(!left_over);
    Ok(())
}

#[tokio::test]
async fn a_test_database_goes_with_its_value_even_when_connections_are_open() -> Result<()> {
    let database = Database::fresh().await?;
    let _still_connected = PgConnection::connect(&database.url).await?;
    let name = database.url.rsplit('/').next().unwrap_or_default().to_owned();
    drop(database);
    let mut server = PgConnection::connect(&Cluster::shared().await?.url("postgres")).await?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut server)
        .await?;
    assert!(!there);
    Ok(())
}

#[tokio::test]
async fn a_cluster_in_a_folder_keeps_its_data_and_its_durability() -> Result<()> {
    let folder = tempfile::Builder::new().permissions(world_readable()).tempdir()?;
    let options = ClusterOptions { folder: Some(folder.path().join("pg")), durable: true, ..ClusterOptions::default() };
    let cluster = Cluster::start(options.clone()).await?;
    let mut connection = PgConnection::connect(&cluster.database("kept").await?.url).await?;
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
    assert_eq!(fsync, "on");
    sqlx::query("CREATE TABLE thing AS SELECT 7 AS id").execute(&mut connection).await?;
    cluster.stop().await?;

    let cluster = Cluster::start(options).await?;
    let mut connection = PgConnection::connect(&cluster.database("kept").await?.url).await?;
    let id: i32 = sqlx::query_scalar("SELECT id FROM thing").fetch_one(&mut connection).await?;
    assert_eq!(id, 7);
    Ok(())
}

#[tokio::test]
async fn a_database_name_that_would_need_quoting_is_refused() -> Result<()> {
    let cluster = Cluster::shared().await?;
    assert!(cluster.database("x; DROP DATABASE postgres").await.is_err());
    Ok(())
}

fn world_readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
