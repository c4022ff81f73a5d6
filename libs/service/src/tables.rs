//! A service's tables: bringing them up to date, looking whether that was done, and what the service may do to them.
//!
//! Migrations *expand* before the programs that need them, and *contract* after the last program that needed what they
//! drop. So a database that is newer than the program is as good as one of its own age: a replica of the earlier version
//! lives through an upgrade, and a rollback needs no migration.

mod privileges;

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use haetae_mesh::Migration;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use crate::database;

/// For how long a migration waits for a lock. What it waits for makes everybody else wait behind it.
const PATIENCE: &str = "set lock_timeout = '30s'";

/// The tables of a service.
#[derive(Clone, Debug)]
pub struct Tables<'a> {
    service: &'static str,
    sets: Vec<Set<'a>>,
}

/// Migrations that are numbered together.
#[derive(Clone, Copy, Debug)]
struct Set<'a> {
    name: &'static str,
    migrator: &'a Migrator,
    /// Where it is recorded which of them were applied.
    record: &'static str,
}

/// How a database stands to this program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What the program needs and the database lacks, such as `freeze/0002_limits`, in order.
    pub pending: Vec<String>,
    /// How many migrations the database has that the program does not know: those of later versions.
    pub newer: usize,
}

impl<'a> Tables<'a> {
    /// A service's own tables, and a log's beside them.
    #[must_use]
    pub fn with_log(service: &'static str, own: &'a Migrator) -> Self {
        let log = Set { name: "ledger", migrator: &haetae_ledger::MIGRATOR, record: "ledger._sqlx_migrations" };
        let mut tables = Self::own(service, own);
        tables.sets.insert(0, log);
        tables
    }

    /// The tables of a service that keeps no log of this kind.
    #[must_use]
    pub fn own(service: &'static str, own: &'a Migrator) -> Self {
        Self { service, sets: vec![Set { name: service, migrator: own, record: "_sqlx_migrations" }] }
    }

    /// The command `migrate`: brings the tables up to date, lets the service's role use them, and prints what it did.
    /// Jobs that run at once wait for each other.
    ///
    /// # Errors
    /// When the database cannot be reached, a migration fails, or the role does not exist.
    pub async fn migrate(&self, job: Migration) -> anyhow::Result<()> {
        let options = database::options(&job.database, self.service)?;
        let applied = self.update(&options).await?;
        for migration in &applied {
            println!("applied {migration}");
        }
        if applied.is_empty() {
            println!("the tables are up to date");
        }
        if let Some(role) = &job.grant {
            self.grant(&options, role).await.with_context(|| format!("{role} cannot be granted what it needs"))?;
            println!("{role} may read and write, and no more");
        }
        Ok(())
    }

    /// Applies what is pending, as the tables' owner. Returns what was.
    ///
    /// # Errors
    /// When the database cannot be reached, or a migration fails; those before it stay applied.
    pub async fn update(&self, options: &PgConnectOptions) -> anyhow::Result<Vec<String>> {
        let mut connection = connect(options).await?;
        sqlx::query(PATIENCE).execute(&mut connection).await?;
        let mut applied = Vec::new();
        for set in &self.sets {
            let before = set.standing(&mut connection).await?;
            set.run(&mut connection).await.with_context(|| format!("the tables of {}", set.name))?;
            applied.extend(before.pending);
        }
        connection.close().await?;
        Ok(applied)
    }

    /// How the database stands. Changes nothing, and needs no more than a service's role may do.
    ///
    /// # Errors
    /// When the database does not answer, or holds other migrations than this program under the same numbers.
    pub async fn standing(&self, pool: &PgPool) -> anyhow::Result<Standing> {
        let mut connection = pool.acquire().await?;
        let mut whole = Standing::default();
        for set in &self.sets {
            let Standing { pending, newer } = set.standing(&mut connection).await?;
            whole.pending.extend(pending);
            whole.newer += newer;
        }
        Ok(whole)
    }

    /// Whether the service can work on these tables.
    ///
    /// # Errors
    /// Says what is missing and who brings it.
    pub async fn ready(&self, pool: &PgPool) -> anyhow::Result<()> {
        let Standing { pending, newer } = self.standing(pool).await?;
        ensure!(
            pending.is_empty(),
            "the database lacks {}: run `haetae-{} migrate` as the owner of the tables",
            pending.join(", "),
            self.service
        );
        if newer > 0 {
            tracing::info!(newer, "the database is of a later version than this program, which works on it as well");
        }
        Ok(())
    }

    /// Gives a role what the service needs, and takes what it does not need. Repeated with every migration, since a new
    /// table is nobody's but its owner's.
    ///
    /// # Errors
    /// When there is no such role, or the tables belong to somebody else.
    pub async fn grant(&self, options: &PgConnectOptions, role: &str) -> anyhow::Result<()> {
        let mut connection = connect(options).await?;
        privileges::give(&mut connection, role).await?;
        Ok(connection.close().await?)
    }
}

async fn connect(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    options.connect().await.context("the database cannot be reached")
}

impl Set<'_> {
    async fn standing(&self, connection: &mut PgConnection) -> anyhow::Result<Standing> {
        let begun: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(self.record)
            .fetch_one(&mut *connection)
            .await?;
        let mut applied: HashMap<i64, (Vec<u8>, bool)> = HashMap::new();
        if begun {
            let record = AssertSqlSafe(format!("select version, checksum, success from {}", self.record));
            let rows: Vec<(i64, Vec<u8>, bool)> = sqlx::query_as(record).fetch_all(connection).await?;
            applied.extend(rows.into_iter().map(|(version, checksum, success)| (version, (checksum, success))));
        }
        let mut standing = Standing::default();
        for migration in self.migrator.iter() {
            let name = format!("{}/{:04}_{}", self.name, migration.version, migration.description.replace(' ', "_"));
            match applied.remove(&migration.version) {
                None => standing.pending.push(name),
                Some((_, false)) => bail!("{name} was begun and not finished: a person has to look at the database"),
                Some((checksum, true)) => {
                    ensure!(
                        checksum == *migration.checksum,
                        "{name} in the database is not the one that this program has"
                    );
                }
            }
        }
        standing.newer = applied.len();
        Ok(standing)
    }

    async fn run(&self, connection: &mut PgConnection) -> Result<(), MigrateError> {
        let mut migrator = Migrator::with_migrations(self.migrator.iter().cloned().collect());
        migrator.dangerous_set_table_name(self.record);
        if let Some((schema, _)) = self.record.split_once('.') {
            migrator.create_schema(schema.to_owned());
        }
        // Those of later versions.
        migrator.set_ignore_missing(true);
        migrator.run_direct(None, connection, false).await
    }
}
