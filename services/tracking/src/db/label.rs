//! Labels, and the packs they came in.

use std::collections::HashMap;

use haetae_core::{Account, ChainId, Moment, WatchId};
use haetae_wire::tracking::v1::{Label, LabelPack};
use prost::Message;
use sqlx::{PgConnection, PgExecutor};

use super::code::{damaged, read, signed, unsigned};
use crate::labels::{Found, Pack, PackId, Row};

/// Labels of one address that are shown.
const MOST_OF_ADDRESS: i64 = 1_000;
/// Packs that are shown.
const MOST_PACKS: i64 = 1_000;
/// Labels of a pack in one answer.
const PAGE: i64 = 1_000;

/// Notes that a pack is coming in. The same again changes nothing.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    id: PackId,
    head: &LabelPack,
    person: &str,
    system: &str,
    at: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into label_pack (id, head, person, system, begun_at) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(id)
    .bind(head.encode_to_vec())
    .bind(person)
    .bind(system)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// The head of a pack.
pub(crate) async fn head(conn: &mut PgConnection, id: PackId) -> Result<Option<LabelPack>, sqlx::Error> {
    let head: Option<Vec<u8>> =
        sqlx::query_scalar("select head from label_pack where id = $1").bind(id).fetch_optional(conn).await?;
    head.map(|head| LabelPack::decode(head.as_slice()).map_err(|_| damaged("head"))).transpose()
}

/// Stores labels of a pack, the first of them at place `after` + 1.
pub(crate) async fn insert(conn: &mut PgConnection, id: PackId, after: u64, rows: &[Row]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into label (pack_id, number, chain, address, body)
         select $1, $2 + place, chain, address, body
         from unnest($3::text[], $4::text[], $5::bytea[]) with ordinality as l (chain, address, body, place)
         on conflict do nothing",
    )
    .bind(id)
    .bind(signed(after))
    .bind(rows.iter().map(|row| row.chain.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.address.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.body.as_slice()).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await?;
    sqlx::query("update label_pack set received = greatest(received, $2) where id = $1")
        .bind(id)
        .bind(signed(after.saturating_add(rows.len() as u64)))
        .execute(conn)
        .await?;
    Ok(())
}

/// A pack counts from now on, and the one that it takes the place of does not. False where there is no such pack.
pub(crate) async fn complete(
    conn: &mut PgConnection,
    id: PackId,
    superseded: Option<PackId>,
    at: Moment,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("update label_pack set complete_at = coalesce(complete_at, $2) where id = $1")
        .bind(id)
        .bind(at)
        .execute(&mut *conn)
        .await?;
    if let Some(superseded) = superseded {
        sqlx::query("update label_pack set superseded_by = $2 where id = $1 and superseded_by is null")
            .bind(superseded)
            .bind(id)
            .execute(conn)
            .await?;
    }
    Ok(done.rows_affected() == 1)
}

/// A query for labels with their packs, and what comes after `from`.
macro_rules! labels {
    ($rest:literal) => {
        concat!(
            "select l.pack_id, l.number, l.chain, l.address, l.body, p.head, p.complete_at, p.person, p.superseded_by \
             from label l join label_pack p on p.id = l.pack_id ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct LabelRow {
    pack_id: PackId,
    number: i64,
    chain: Option<String>,
    address: String,
    body: Vec<u8>,
    head: Vec<u8>,
    complete_at: Option<Moment>,
    person: String,
    superseded_by: Option<PackId>,
}

impl LabelRow {
    fn read(self) -> Result<Found, sqlx::Error> {
        Ok(Found {
            pack: self.pack_id,
            number: unsigned("number", self.number)?,
            chain: self.chain,
            address: self.address,
            label: Label::decode(self.body.as_slice()).map_err(|_| damaged("body"))?,
            head: LabelPack::decode(self.head.as_slice()).map_err(|_| damaged("head"))?,
            since: self.complete_at,
            person: self.person,
            superseded_by: self.superseded_by,
        })
    }
}

/// All that is said of an address, of packs that have come in whole: on one chain, or where none is named, on all.
pub(crate) async fn of_address(
    db: impl PgExecutor<'_>,
    address: &str,
    chain: Option<&ChainId>,
) -> Result<Vec<Found>, sqlx::Error> {
    let rows: Vec<LabelRow> = sqlx::query_as(labels!(
        "where l.address = $1 and ($2::text is null or l.chain = $2) and p.complete_at is not null \
         order by p.superseded_by is not null, p.complete_at desc, l.pack_id, l.number limit $3"
    ))
    .bind(address)
    .bind(chain.map(ChainId::as_str))
    .bind(MOST_OF_ADDRESS)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(LabelRow::read).collect()
}

/// What counts of what is said about accounts of a chain, by account.
pub(crate) async fn about(
    db: impl PgExecutor<'_>,
    chain: &ChainId,
    addresses: &[String],
) -> Result<HashMap<String, Vec<Found>>, sqlx::Error> {
    let rows: Vec<LabelRow> = sqlx::query_as(labels!(
        "where l.address = any($1) and l.chain = $2 and p.complete_at is not null and p.superseded_by is null"
    ))
    .bind(addresses)
    .bind(chain.as_str())
    .fetch_all(db)
    .await?;
    let mut found: HashMap<String, Vec<Found>> = HashMap::new();
    for row in rows {
        let label = row.read()?;
        found.entry(label.address.clone()).or_default().push(label);
    }
    Ok(found)
}

/// The labels that end trails of a watch at accounts, as they were known when the accounts were reached.
pub(crate) async fn of_known(
    conn: &mut PgConnection,
    watch: WatchId,
    accounts: &[&Account],
) -> Result<HashMap<Account, Found>, sqlx::Error> {
    if accounts.is_empty() {
        return Ok(HashMap::new());
    }
    let known: Vec<(String, PackId, i64)> = sqlx::query_as(
        "select account, label_pack, label_number from known_account
         where watch_id = $1 and account = any($2) and crossing is not null",
    )
    .bind(watch.0)
    .bind(accounts.iter().map(ToString::to_string).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let rows: Vec<LabelRow> = sqlx::query_as(labels!(
        "join unnest($1::bytea[], $2::bigint[]) as k (pack_id, number) using (pack_id, number)"
    ))
    .bind(known.iter().map(|(_, pack, _)| pack.as_slice()).collect::<Vec<_>>())
    .bind(known.iter().map(|(.., number)| *number).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let labels: HashMap<(PackId, i64), Found> =
        rows.into_iter().map(|row| Ok(((row.pack_id, row.number), row.read()?))).collect::<Result<_, sqlx::Error>>()?;
    known
        .into_iter()
        .filter_map(|(account, pack, number)| {
            let label = labels.get(&(pack, number))?.clone();
            Some(read("account", &account).map(|account| (account, label)))
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct PackRow {
    head: Vec<u8>,
    received: i64,
    begun_at: Moment,
    complete_at: Option<Moment>,
    superseded_by: Option<PackId>,
    person: String,
    system: String,
}

impl PackRow {
    fn read(self) -> Result<Pack, sqlx::Error> {
        Ok(Pack {
            head: LabelPack::decode(self.head.as_slice()).map_err(|_| damaged("head"))?,
            received: unsigned("received", self.received)?,
            begun_at: self.begun_at,
            complete_at: self.complete_at,
            superseded_by: self.superseded_by,
            person: self.person,
            system: self.system,
        })
    }
}

/// The packs, newest first.
pub(crate) async fn packs(db: impl PgExecutor<'_>) -> Result<Vec<Pack>, sqlx::Error> {
    let rows: Vec<PackRow> = sqlx::query_as(
        "select head, received, begun_at, complete_at, superseded_by, person, system
         from label_pack order by begun_at desc, id limit $1",
    )
    .bind(MOST_PACKS)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(PackRow::read).collect()
}

/// A pack.
pub(crate) async fn pack(db: impl PgExecutor<'_>, id: PackId) -> Result<Option<Pack>, sqlx::Error> {
    let row: Option<PackRow> = sqlx::query_as(
        "select head, received, begun_at, complete_at, superseded_by, person, system from label_pack where id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    row.map(PackRow::read).transpose()
}

/// The labels of a pack after a place.
pub(crate) async fn page(db: impl PgExecutor<'_>, id: PackId, after: u64) -> Result<Vec<Label>, sqlx::Error> {
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("select body from label where pack_id = $1 and number > $2 order by number limit $3")
            .bind(id)
            .bind(signed(after))
            .bind(PAGE)
            .fetch_all(db)
            .await?;
    bodies.iter().map(|body| Label::decode(body.as_slice()).map_err(|_| damaged("body"))).collect()
}
