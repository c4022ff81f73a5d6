//! The ledger's tables, which every service has beside its own.

use std::sync::LazyLock;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

/// The ledger's migrations. They live in the schema `ledger` and are recorded there, apart from the service's own,
/// so that the two can be numbered independently.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name("ledger._sqlx_migrations");
    migrator.create_schema("ledger");
    migrator
});

/// What the role that a service connects as may do to each of these tables, in SQL's words. It adds to the log and
/// numbers what it added; it takes nothing out of it.
pub const PRIVILEGES: [(&str, &str); 10] = [
    ("entry", "select, insert, update (position)"),
    ("node", "select, insert"),
    ("checkpoint", "select, insert"),
    ("log_head", "select, insert, update"),
    ("cursor", "select, insert, update"),
    ("parked_subject", "select, insert, update, delete"),
    ("parked", "select, insert, update, delete"),
    ("request", "select, insert, update, delete"),
    ("replica", "select, insert, update, delete"),
    ("obstacle", "select, insert, update, delete"),
];

/// Creates or updates the ledger's tables. Replicas that start at once wait for each other (advisory lock).
///
/// # Errors
///
/// When the database cannot be reached, or holds migrations that this build does not know.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await
}
