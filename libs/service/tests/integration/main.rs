//! The service's database, on real servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod privileges;
mod server;
mod tables;

use haetae_mesh::config::{DatabaseConfig, MigrateWhen, Secret};
use haetae_service::database;
use sqlx::{
    PgPool, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    postgres::PgConnectOptions,
};

/// The first so many migrations of a service of the tests.
fn version(migrations: usize) -> Migrator {
    let all = [
        "create table thing (id bigint generated always as identity primary key, what text not null)",
        "alter table thing add column weight bigint",
    ];
    let migration = |(version, sql): (i64, &'static str)| {
        Migration::new(version, "things".into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(all).take(migrations).map(migration).collect())
}

fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: Secret::new(url.to_owned()),
        max_connections: 4,
        migrate: MigrateWhen::Check,
        expect_synchronous_standby: false,
    }
}

fn options(url: &str) -> PgConnectOptions {
    database::options(&config(url), "test").unwrap()
}

async fn connect(url: &str) -> anyhow::Result<PgPool> {
    database::connect(options(url), 4).await
}
