//! What watches know of the accounts that they reached.

use std::collections::{BTreeMap, HashMap};

use haetae_core::{Account, Asset, WatchId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::code::{read, read_role, read_standing, signed, unsigned, write_role, write_standing};
use crate::knowledge::{AccountFacts, Holder, Known, Opening, Payment, StoredKnowledge};
use crate::labels::{Labelled, PackId};
use crate::trail::Place;
use crate::watched::News;

/// What these watches know.
pub(super) async fn stored(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, StoredKnowledge>, sqlx::Error> {
    let mut stored: HashMap<Uuid, StoredKnowledge> = HashMap::new();
    for (watch, known) in known(conn, ids).await? {
        stored.entry(watch).or_default().known = known;
    }
    for (watch, openings) in openings(conn, ids).await? {
        stored.entry(watch).or_default().openings = openings;
    }
    for (watch, payment) in payments(conn, ids).await? {
        stored.entry(watch).or_default().payments.push(payment);
    }
    Ok(stored)
}

/// Stores what was learnt.
pub(super) async fn save(conn: &mut PgConnection, id: WatchId, news: &News) -> Result<(), sqlx::Error> {
    save_known(conn, id, &news.known).await?;
    save_payments(conn, id, &news.payments).await?;
    save_openings(conn, id, &news.openings).await
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    watch_id: Uuid,
    account: String,
    contract: bool,
    degree: i64,
    admitted: bool,
    standing: String,
    held_by: Option<String>,
    wallet_role: Option<String>,
    crossing: Option<String>,
    label_pack: Option<PackId>,
    label_number: Option<i64>,
}

/// What these watches know of accounts.
async fn known(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, BTreeMap<Account, Known>>, sqlx::Error> {
    let rows: Vec<KnownRow> = sqlx::query_as(
        "select watch_id, account, contract, degree, admitted, standing, held_by, wallet_role,
                crossing, label_pack, label_number
         from known_account where watch_id = any($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let mut known: HashMap<Uuid, BTreeMap<Account, Known>> = HashMap::new();
    for row in rows {
        let role = row.wallet_role.as_deref().map(read_role).transpose()?;
        let label = match (row.crossing, row.label_pack, row.label_number) {
            (Some(crossing), Some(pack), Some(number)) => {
                let number = unsigned("label_number", number)?;
                Some(Labelled { crossing: read("crossing", &crossing)?, pack, number })
            }
            _ => None,
        };
        let holder = row.held_by.map(|name| Ok::<_, sqlx::Error>(Holder { exchange: read("held_by", &name)?, role }));
        let account = Known {
            facts: AccountFacts { contract: row.contract, degree: unsigned("degree", row.degree)?, label },
            standing: read_standing(&row.standing, holder.transpose()?)?,
            admitted: row.admitted,
        };
        known.entry(row.watch_id).or_default().insert(read("account", &row.account)?, account);
    }
    Ok(known)
}

/// What lay at accounts before the first money that matters came, by watch.
async fn openings(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, BTreeMap<Account, BTreeMap<Asset, Opening>>>, sqlx::Error> {
    let rows: Vec<(Uuid, String, String, Option<String>, i64, i64)> = sqlx::query_as(
        "select watch_id, account, asset, balance::text, since_block, since_position
         from opening where watch_id = any($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let mut openings: HashMap<Uuid, BTreeMap<Account, BTreeMap<Asset, Opening>>> = HashMap::new();
    for (watch, account, asset, balance, block, position) in rows {
        let since = Place { block: unsigned("since_block", block)?, position: unsigned("since_position", position)? };
        let balance = balance.map(|balance| read("balance", &balance)).transpose()?;
        let of_account = openings.entry(watch).or_default().entry(read("account", &account)?).or_default();
        of_account.insert(read("asset", &asset)?, Opening { since, balance });
    }
    Ok(openings)
}

/// To whom money was ever traced from whom, by watch.
async fn payments(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, Payment)>, sqlx::Error> {
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("select watch_id, payer, payee from payment where watch_id = any($1)")
            .bind(ids)
            .fetch_all(conn)
            .await?;
    rows.into_iter()
        .map(|(watch, from, to)| Ok((watch, Payment { from: read("payer", &from)?, to: read("payee", &to)? })))
        .collect()
}

async fn save_known(conn: &mut PgConnection, id: WatchId, known: &[(Account, Known)]) -> Result<(), sqlx::Error> {
    if known.is_empty() {
        return Ok(());
    }
    let standings: Vec<_> = known.iter().map(|(_, known)| write_standing(&known.standing)).collect();
    let labels: Vec<Option<Labelled>> = known.iter().map(|(_, known)| known.facts.label).collect();
    sqlx::query(
        "insert into known_account
            (watch_id, account, contract, degree, admitted, standing, held_by, wallet_role,
             crossing, label_pack, label_number)
         select $1, * from unnest($2::text[], $3::boolean[], $4::bigint[], $5::boolean[], $6::text[], $7::text[], $8::text[],
                                  $9::text[], $10::bytea[], $11::bigint[])
         on conflict (watch_id, account) do update
         set admitted = excluded.admitted, standing = excluded.standing,
             held_by = excluded.held_by, wallet_role = excluded.wallet_role",
    )
    .bind(id.0)
    .bind(known.iter().map(|(account, _)| account.to_string()).collect::<Vec<_>>())
    .bind(known.iter().map(|(_, known)| known.facts.contract).collect::<Vec<_>>())
    .bind(known.iter().map(|(_, known)| signed(known.facts.degree)).collect::<Vec<_>>())
    .bind(known.iter().map(|(_, known)| known.admitted).collect::<Vec<_>>())
    .bind(standings.iter().map(|(text, _)| *text).collect::<Vec<_>>())
    .bind(standings.iter().map(|(_, holder)| holder.map(|h| h.exchange.as_str())).collect::<Vec<_>>())
    .bind(standings.iter().map(|(_, holder)| holder.and_then(|h| h.role).map(write_role)).collect::<Vec<_>>())
    .bind(labels.iter().map(|label| label.map(|label| label.crossing.name())).collect::<Vec<_>>())
    .bind(labels.iter().map(|label| label.map(|label| label.pack.to_vec())).collect::<Vec<_>>())
    .bind(labels.iter().map(|label| label.map(|label| signed(label.number))).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_openings(
    conn: &mut PgConnection,
    id: WatchId,
    openings: &[(Account, Asset, Option<Opening>)],
) -> Result<(), sqlx::Error> {
    if openings.is_empty() {
        return Ok(());
    }
    let of = |part: fn(&(Account, Asset, Option<Opening>)) -> String| openings.iter().map(part).collect::<Vec<_>>();
    sqlx::query(
        "delete from opening where watch_id = $1
         and (account, asset) in (select * from unnest($2::text[], $3::text[]))",
    )
    .bind(id.0)
    .bind(of(|(account, ..)| account.to_string()))
    .bind(of(|(_, asset, _)| asset.to_string()))
    .execute(&mut *conn)
    .await?;
    let opened: Vec<_> =
        openings.iter().filter_map(|(account, asset, opening)| Some((account, asset, (*opening)?))).collect();
    sqlx::query(
        "insert into opening (watch_id, account, asset, balance, since_block, since_position)
         select $1, account, asset, balance::numeric, since_block, since_position
         from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
              as o (account, asset, balance, since_block, since_position)",
    )
    .bind(id.0)
    .bind(opened.iter().map(|(account, ..)| account.to_string()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(_, asset, _)| asset.to_string()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., opening)| opening.balance.map(|b| b.to_string())).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., opening)| signed(opening.since.block)).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., opening)| i64::from(opening.since.position)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_payments(conn: &mut PgConnection, id: WatchId, payments: &[Payment]) -> Result<(), sqlx::Error> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into payment (watch_id, payer, payee) select $1, * from unnest($2::text[], $3::text[])
         on conflict do nothing",
    )
    .bind(id.0)
    .bind(payments.iter().map(|payment| payment.from.to_string()).collect::<Vec<_>>())
    .bind(payments.iter().map(|payment| payment.to.to_string()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
