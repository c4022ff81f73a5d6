//! What the role that a service connects as may do: read and write rows. It owns nothing, makes nothing, drops nothing,
//! and takes nothing out of the log.

use anyhow::{Context, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Keeps jobs apart: two that change the privileges of one table at once fail. The number means nothing.
const ONE_JOB: i64 = 0x6861_6574_6165_6772;

/// What a service may do to a table of its own.
const ROWS: &str = "select, insert, update, delete";

/// Something in the database that belongs to the owner of the tables.
#[derive(sqlx::FromRow)]
struct Owned {
    /// Quoted.
    schema: String,
    /// With its schema, quoted.
    name: String,
    /// Without, as it is.
    bare: String,
    sequence: bool,
}

pub(super) async fn give(connection: &mut PgConnection, role: &str) -> anyhow::Result<()> {
    let (exists, database): (bool, String) =
        sqlx::query_as("select exists(select from pg_roles where rolname = $1), quote_ident(current_database())")
            .bind(role)
            .fetch_one(&mut *connection)
            .await?;
    ensure!(exists, "there is no such role");
    let role = quoted(role);
    let mut tx = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(ONE_JOB).execute(&mut *tx).await?;
    execute(&mut tx, format!("grant connect on database {database} to {role}")).await?;

    let owned = owned(&mut tx).await?;
    let mut schemas: Vec<&str> = owned.iter().map(|thing| thing.schema.as_str()).collect();
    schemas.sort_unstable();
    schemas.dedup();
    for schema in schemas {
        execute(&mut tx, format!("grant usage on schema {schema} to {role}")).await?;
        // What a migration adds between two jobs. The log's tables are given one by one.
        if schema != "ledger" {
            let by_default = format!("alter default privileges in schema {schema} grant");
            execute(&mut tx, format!("{by_default} {ROWS} on tables to {role}")).await?;
            execute(&mut tx, format!("{by_default} usage, select on sequences to {role}")).await?;
        }
    }
    for Owned { schema, name, bare, sequence } in &owned {
        if *sequence {
            execute(&mut tx, format!("grant usage, select on sequence {name} to {role}")).await?;
            continue;
        }
        let privileges = match (schema.as_str(), bare.as_str()) {
            (_, "_sqlx_migrations") => "select",
            ("ledger", table) => haetae_ledger::PRIVILEGES
                .iter()
                .find(|(of, _)| *of == table)
                .map(|(_, privileges)| *privileges)
                .with_context(|| format!("nothing says what a service may do to {name}"))?,
            _ => ROWS,
        };
        execute(&mut tx, format!("revoke all on {name} from {role}")).await?;
        execute(&mut tx, format!("grant {privileges} on {name} to {role}")).await?;
    }
    Ok(tx.commit().await?)
}

/// Tables, views and sequences of whoever is connected; not what an extension has put beside them.
async fn owned(connection: &mut PgConnection) -> sqlx::Result<Vec<Owned>> {
    sqlx::query_as(
        "select quote_ident(n.nspname) as schema, format('%I.%I', n.nspname, c.relname) as name,
                c.relname::text as bare, c.relkind = 'S' as sequence
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v', 'm', 'S')
           and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'
           and pg_has_role(c.relowner, 'usage')
           and not exists (select from pg_depend d
                           where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
         order by 2",
    )
    .fetch_all(connection)
    .await
}

async fn execute(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
