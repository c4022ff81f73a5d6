use haetae_ledger::{Doorbell, Expected, Log, LogConfig, NewEntry};
use haetae_seal::checkpoint::LogKey;
use haetae_service::Tables;
use haetae_testkit::postgres::Database;
use sqlx::{AssertSqlSafe, Executor, PgPool};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{connect, options, version};

/// A database whose tables belong to one role, and another that serves.
struct Roles {
    database: Database,
    owner: String,
    server: String,
}

impl Roles {
    async fn new() -> Self {
        let database = Database::fresh().await.unwrap();
        let name = database.url.rsplit('/').next().unwrap().to_owned();
        // Names that have to be quoted.
        let roles = Self { owner: format!("{name}-owner"), server: format!("{name}-server"), database };
        let all = connect(&roles.database.url).await.unwrap();
        for role in [&roles.owner, &roles.server] {
            all.execute(AssertSqlSafe(format!("create role \"{role}\" login"))).await.unwrap();
        }
        all.execute(AssertSqlSafe(format!("alter database {name} owner to \"{}\"", roles.owner))).await.unwrap();
        roles
    }

    fn url(&self, role: &str) -> String {
        self.database.url.replacen("haetae@", &format!("{role}@"), 1)
    }

    async fn pool(&self, role: &str) -> PgPool {
        connect(&self.url(role)).await.unwrap()
    }
}

async fn refused(pool: &PgPool, sql: &'static str) {
    let Err(error) = pool.execute(sql).await else { panic!("{sql} was done") };
    let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
}

#[tokio::test]
async fn who_serves_reads_and_writes_and_takes_nothing_out_of_the_log() {
    let roles = Roles::new().await;
    let own = version(1);
    let tables = Tables::with_log("test", &own);
    let owner = options(&roles.url(&roles.owner));
    tables.update(&owner).await.unwrap();
    let server = roles.pool(&roles.server).await;
    assert!(tables.ready(&server).await.is_err(), "a role that was given nothing");
    tables.grant(&owner, &roles.server).await.unwrap();
    tables.ready(&server).await.unwrap();

    server.execute("insert into thing (what) values ('a')").await.unwrap();
    server.execute("update thing set what = 'b'").await.unwrap();
    let config =
        LogConfig { origin: "haetae.test/test".to_owned(), key: LogKey::generate(), drain: CancellationToken::new() };
    let log = Log::open(server.clone(), config, Doorbell::local()).await.unwrap();
    let mut tx = log.begin().await.unwrap();
    let fact = NewEntry {
        stream: "thing/1".to_owned(),
        expected: Expected::Any,
        kind: "thing-made",
        subject: "thing/1".to_owned(),
        actor: "service:test".to_owned(),
        audience: None,
        payload: b"made".to_vec(),
        time: OffsetDateTime::now_utc(),
    };
    log.append(&mut tx, fact).await.unwrap();
    log.commit(tx).await.unwrap();
    let sealed: i64 = sqlx::query_scalar("select size from ledger.log_head").fetch_one(&server).await.unwrap();
    assert_eq!(sealed, 1, "what was appended is sealed by the same role");

    for forbidden in [
        "delete from ledger.entry",
        "update ledger.entry set payload = 'x'",
        "update ledger.checkpoint set note = ''",
        "delete from ledger.log_head",
        "delete from _sqlx_migrations",
        "update ledger._sqlx_migrations set success = false",
        "create table mine (id int)",
        "drop table thing",
        "truncate thing",
        "alter table thing add column more text",
    ] {
        refused(&server, forbidden).await;
    }
}

#[tokio::test]
async fn what_a_later_migration_adds_is_given_with_it() {
    let roles = Roles::new().await;
    let (first, second) = (version(1), version(2));
    let owner = options(&roles.url(&roles.owner));
    let tables = Tables::with_log("test", &first);
    tables.update(&owner).await.unwrap();
    tables.grant(&owner, &roles.server).await.unwrap();
    Tables::with_log("test", &second).update(&owner).await.unwrap();
    roles.pool(&roles.owner).await.execute("create table late (id bigserial, what text)").await.unwrap();
    let server = roles.pool(&roles.server).await;
    server.execute("insert into thing (what, weight) values ('a', 1)").await.unwrap();
    server.execute("insert into late (what) values ('a')").await.unwrap();
}

#[tokio::test]
async fn jobs_that_grant_at_once_wait_for_each_other_and_a_role_must_exist() {
    let roles = Roles::new().await;
    let own = version(1);
    let tables = Tables::with_log("test", &own);
    let owner = options(&roles.url(&roles.owner));
    tables.update(&owner).await.unwrap();
    futures::future::try_join_all((0..4).map(|_| tables.grant(&owner, &roles.server))).await.unwrap();
    assert!(tables.grant(&owner, "nobody of that name").await.is_err());
}
