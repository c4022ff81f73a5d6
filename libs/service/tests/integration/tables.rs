use haetae_service::{Standing, Tables};
use haetae_testkit::postgres::Database;

use crate::{connect, options, version};

#[tokio::test]
async fn a_service_is_not_ready_until_its_tables_are_there_and_says_who_brings_them() {
    let database = Database::fresh().await.unwrap();
    let pool = connect(&database.url).await.unwrap();
    let own = version(2);
    let tables = Tables::with_log("test", &own);
    let told = tables.ready(&pool).await.unwrap_err().to_string();
    for part in ["ledger/0001_ledger", "test/0001_things", "test/0002_things", "haetae-test migrate"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let applied = tables.update(&options(&database.url)).await.unwrap();
    assert_eq!(applied.iter().filter(|name| name.starts_with("test/")).count(), 2, "{applied:?}");
    tables.ready(&pool).await.unwrap();
    assert_eq!(tables.standing(&pool).await.unwrap(), Standing::default());
    assert!(tables.update(&options(&database.url)).await.unwrap().is_empty(), "applied twice");
}

#[tokio::test]
async fn an_older_program_works_on_a_newer_database() {
    let database = Database::fresh().await.unwrap();
    let pool = connect(&database.url).await.unwrap();
    let (older, newer) = (version(1), version(2));
    Tables::with_log("test", &newer).update(&options(&database.url)).await.unwrap();
    let tables = Tables::with_log("test", &older);
    assert_eq!(tables.standing(&pool).await.unwrap(), Standing { pending: Vec::new(), newer: 1 });
    tables.ready(&pool).await.unwrap();
    assert!(tables.update(&options(&database.url)).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_migration_under_the_same_number_is_refused() {
    let database = Database::fresh().await.unwrap();
    let pool = connect(&database.url).await.unwrap();
    let own = version(1);
    let tables = Tables::own("test", &own);
    tables.update(&options(&database.url)).await.unwrap();
    sqlx::query("update _sqlx_migrations set checksum = '\\x00'").execute(&pool).await.unwrap();
    assert!(tables.ready(&pool).await.unwrap_err().to_string().contains("test/0001_things"));
    assert!(tables.update(&options(&database.url)).await.is_err());
}

#[tokio::test]
async fn jobs_that_run_at_once_wait_for_each_other() {
    let database = Database::fresh().await.unwrap();
    let own = version(2);
    let tables = Tables::with_log("test", &own);
    let options = options(&database.url);
    let jobs = (0..6).map(|_| tables.update(&options));
    futures::future::try_join_all(jobs).await.unwrap();
    tables.ready(&connect(&database.url).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_session_does_not_wait_for_a_lock_for_ever() {
    let database = Database::fresh().await.unwrap();
    let pool = connect(&database.url).await.unwrap();
    let waits: String = sqlx::query_scalar("show lock_timeout").fetch_one(&pool).await.unwrap();
    assert_eq!(waits, "20s");
}
