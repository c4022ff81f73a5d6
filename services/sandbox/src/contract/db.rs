//! All SQL of the contract.

use std::collections::BTreeMap;

use haetae_core::{Amount, Asset, AuthorisationId, LegId, LegReport, Moment, Target, TransferId};
use haetae_wire::exchange::v1;
use prost::Message as _;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::book::AccountKey;
use super::budget::{Use, Used};
use super::leg::{Claim, Freeze, Leg};

/// A stored value that cannot be read: only by meddling with the tables.
fn damaged<E: std::fmt::Debug>(what: &'static str) -> impl Fn(E) -> sqlx::Error {
    move |_| sqlx::Error::Decode(format!("a stored {what} cannot be read").into())
}

/// Which log, and how far it reaches.
#[derive(Clone, Copy, Debug, FromRow)]
pub(super) struct LogHead {
    pub(super) log_id: Uuid,
    pub(super) epoch: i64,
    pub(super) last_sequence: i64,
}

/// Begins the log, or a new epoch of it, and answers with its head.
pub(super) async fn open_log(pool: &PgPool, epoch: i64) -> Result<LogHead, sqlx::Error> {
    sqlx::query("insert into contract.log (epoch) values ($1) on conflict do nothing")
        .bind(epoch)
        .execute(pool)
        .await?;
    sqlx::query("update contract.log set epoch = $1, last_sequence = 0 where epoch < $1")
        .bind(epoch)
        .execute(pool)
        .await?;
    log_head(pool).await
}

pub(super) async fn log_head(pool: &PgPool) -> Result<LogHead, sqlx::Error> {
    sqlx::query_as("select log_id, epoch, last_sequence from contract.log").fetch_one(pool).await
}

/// Draws the next sequence. Others wait for it until the transaction ends.
pub(super) async fn next_sequence(tx: &mut PgConnection) -> Result<LogHead, sqlx::Error> {
    sqlx::query_as("update contract.log set last_sequence = last_sequence + 1 returning log_id, epoch, last_sequence")
        .fetch_one(tx)
        .await
}

pub(super) async fn insert_event(
    tx: &mut PgConnection,
    epoch: i64,
    sequence: i64,
    envelope: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into contract.event (epoch, sequence, envelope) values ($1, $2, $3)")
        .bind(epoch)
        .bind(sequence)
        .bind(envelope)
        .execute(tx)
        .await?;
    Ok(())
}

/// Events after a sequence, in order.
pub(super) async fn events_after(
    pool: &PgPool,
    epoch: i64,
    sequence: i64,
    limit: i64,
) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    sqlx::query_as(
        "select sequence, envelope from contract.event where epoch = $1 and sequence > $2 order by sequence limit $3",
    )
    .bind(epoch)
    .bind(sequence)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// The receipt that was given to any of these.
pub(super) async fn receipt(
    conn: impl sqlx::PgExecutor<'_>,
    asked: &[[u8; 32]],
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let asked: Vec<&[u8]> = asked.iter().map(<[u8; 32]>::as_slice).collect();
    sqlx::query_scalar("select envelope from contract.receipt where asked = any($1)")
        .bind(asked)
        .fetch_optional(conn)
        .await
}

/// Keeps a receipt and answers with the one that counts: the first that was given.
pub(super) async fn keep_receipt(
    conn: &mut PgConnection,
    asked: &[u8; 32],
    envelope: Vec<u8>,
    at: Moment,
) -> Result<Vec<u8>, sqlx::Error> {
    let kept =
        sqlx::query("insert into contract.receipt (asked, envelope, at) values ($1, $2, $3) on conflict do nothing")
            .bind(asked.as_slice())
            .bind(&envelope)
            .bind(at)
            .execute(&mut *conn)
            .await?;
    if kept.rows_affected() == 1 {
        return Ok(envelope);
    }
    receipt(conn, &[*asked]).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Orders for a leg wait here for each other, the first ones too, when there is no row to lock.
pub(super) async fn lock_leg(tx: &mut PgConnection, leg: LegId) -> Result<(), sqlx::Error> {
    let (high, _) = leg.0.as_u64_pair();
    sqlx::query("select pg_advisory_xact_lock($1)").bind(high.cast_signed()).execute(tx).await?;
    Ok(())
}

/// Whether a leg was counted against its line's budgets.
pub(super) async fn is_counted(tx: &mut PgConnection, leg: LegId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from contract.used where leg_id = $1)").bind(leg.0).fetch_one(tx).await
}

/// New legs of a line wait here for each other. Taken after the leg's own lock, and before any other.
pub(super) async fn lock_line(tx: &mut PgConnection, line: AuthorisationId) -> Result<(), sqlx::Error> {
    let (high, low) = line.0.as_u64_pair();
    // Apart from the legs' locks.
    sqlx::query("select pg_advisory_xact_lock($1)").bind((high ^ low).cast_signed()).execute(tx).await?;
    Ok(())
}

/// What a line has used.
pub(super) async fn used(tx: &mut PgConnection, line: AuthorisationId) -> Result<Used, sqlx::Error> {
    let rows: Vec<(String, Option<Moment>)> =
        sqlx::query_as("select kind, opened_at from contract.used where line = $1").bind(line.0).fetch_all(tx).await?;
    let (questions, freezes): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(kind, _)| kind == "question");
    Ok(Used { questions: questions.len(), freezes: freezes.into_iter().map(|(_, opened_at)| opened_at).collect() })
}

/// Counts a new leg.
pub(super) async fn count(
    tx: &mut PgConnection,
    line: AuthorisationId,
    leg: LegId,
    new: Use,
) -> Result<(), sqlx::Error> {
    let (kind, opened_at) = match new {
        Use::Question => ("question", None),
        Use::Freeze { opened_at } => ("freeze", opened_at),
    };
    sqlx::query("insert into contract.used (leg_id, line, kind, opened_at) values ($1, $2, $3, $4)")
        .bind(leg.0)
        .bind(line.0)
        .bind(kind)
        .bind(opened_at)
        .execute(tx)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct LegRow {
    report: Vec<u8>,
    account: Option<String>,
    asset: Option<String>,
    target: Option<String>,
    memo: Option<String>,
    cap: Option<String>,
    until: Option<Moment>,
    held: Option<String>,
    grounds: Vec<String>,
    grounds_held: Vec<String>,
}

macro_rules! legs {
    ($tail:literal) => {
        concat!(
            "select report, account, asset, target, memo, cap::text, until, held::text, grounds, grounds_held::text[] ",
            "from contract.leg ",
            $tail
        )
    };
}

/// The leg, locked.
pub(super) async fn leg(tx: &mut PgConnection, leg: LegId) -> Result<Option<Leg>, sqlx::Error> {
    let row: Option<LegRow> =
        sqlx::query_as(legs!("where leg_id = $1 for update")).bind(leg.0).fetch_optional(tx).await?;
    row.map(LegRow::read).transpose()
}

/// Legs with a freeze in force on an account and asset, locked, in an order that all who lock several keep to.
pub(super) async fn legs_on(
    tx: &mut PgConnection,
    account: &AccountKey,
    asset: &Asset,
) -> Result<Vec<Leg>, sqlx::Error> {
    let rows: Vec<LegRow> =
        sqlx::query_as(legs!("where account = $1 and asset = $2 and until is not null order by leg_id for update"))
            .bind(&account.0)
            .bind(asset.to_string())
            .fetch_all(tx)
            .await?;
    rows.into_iter().map(LegRow::read).collect()
}

/// Some legs whose period has ended.
pub(super) async fn legs_due(pool: &PgPool, now: Moment) -> Result<Vec<LegId>, sqlx::Error> {
    let due: Vec<Uuid> =
        sqlx::query_scalar("select leg_id from contract.leg where until <= $1 order by until limit 100")
            .bind(now)
            .fetch_all(pool)
            .await?;
    Ok(due.into_iter().map(LegId).collect())
}

/// What was last said of a leg.
pub(super) async fn report(pool: &PgPool, leg: LegId) -> Result<Option<LegReport>, sqlx::Error> {
    let report: Option<Vec<u8>> = sqlx::query_scalar("select report from contract.leg where leg_id = $1")
        .bind(leg.0)
        .fetch_optional(pool)
        .await?;
    report.map(|bytes| read_report(&bytes)).transpose()
}

/// Writes a leg as it stands now.
pub(super) async fn put_leg(tx: &mut PgConnection, leg: &Leg) -> Result<(), sqlx::Error> {
    let freeze = leg.freeze.as_ref();
    let (held, grounds) = match freeze.map(|freeze| &freeze.claim) {
        None => (None, Vec::new()),
        Some(Claim::Balance { held }) => (Some(*held), Vec::new()),
        Some(Claim::Credits(grounds)) => (None, grounds.iter().collect()),
    };
    let (grounds, grounds_held): (Vec<String>, Vec<String>) =
        grounds.into_iter().map(|(transfer, held)| (written(transfer), held.to_string())).unzip();
    sqlx::query(
        "insert into contract.leg
            (leg_id, report, account, asset, target, memo, cap, until, held, grounds, grounds_held)
         values ($1, $2, $3, $4, $5, $6, $7::numeric, $8, $9::numeric, $10, $11::text[]::numeric[])
         on conflict (leg_id) do update set
            report = excluded.report,
            account = excluded.account, asset = excluded.asset, target = excluded.target, memo = excluded.memo,
            cap = excluded.cap, until = excluded.until, held = excluded.held, grounds = excluded.grounds, grounds_held = excluded.grounds_held",
    )
    .bind(leg.report.leg.0)
    .bind(v1::LegReport::from(&leg.report).encode_to_vec())
    .bind(freeze.map(|freeze| &freeze.account.0))
    .bind(freeze.map(|freeze| freeze.asset.to_string()))
    .bind(freeze.map(|freeze| freeze.target.account.to_string()))
    .bind(freeze.and_then(|freeze| freeze.target.memo.as_deref()))
    .bind(freeze.map(|freeze| freeze.cap.to_string()))
    .bind(freeze.map(|freeze| freeze.until))
    .bind(held.map(|held| held.to_string()))
    .bind(grounds)
    .bind(grounds_held)
    .execute(tx)
    .await?;
    Ok(())
}

impl LegRow {
    fn read(self) -> Result<Leg, sqlx::Error> {
        let report = read_report(&self.report)?;
        let freeze = match (self.account, self.asset, self.target, self.cap, self.until) {
            (Some(account), Some(asset), Some(target), Some(cap), Some(until)) => {
                let claim = match self.held {
                    Some(held) => Claim::Balance { held: amount(&held)? },
                    None => {
                        let grounds = self.grounds.iter().zip(&self.grounds_held);
                        let read = grounds.map(|(transfer, held)| Ok((read_transfer(transfer)?, amount(held)?)));
                        Claim::Credits(read.collect::<Result<BTreeMap<_, _>, sqlx::Error>>()?)
                    }
                };
                Some(Freeze {
                    account: AccountKey(account),
                    asset: asset.parse().map_err(damaged("asset"))?,
                    target: Target { account: target.parse().map_err(damaged("account"))?, memo: self.memo },
                    cap: amount(&cap)?,
                    until,
                    claim,
                })
            }
            _ => None,
        };
        Ok(Leg { report, freeze })
    }
}

fn amount(text: &str) -> Result<Amount, sqlx::Error> {
    text.parse().map_err(damaged("amount"))
}

fn read_report(bytes: &[u8]) -> Result<LegReport, sqlx::Error> {
    let wire = v1::LegReport::decode(bytes).map_err(damaged("report"))?;
    LegReport::try_from(&wire).map_err(damaged("report"))
}

fn written(TransferId { chain, transaction, index }: &TransferId) -> String {
    format!("{chain} {transaction} {index}")
}

fn read_transfer(text: &str) -> Result<TransferId, sqlx::Error> {
    let mut parts = text.splitn(3, ' ');
    let (Some(chain), Some(transaction), Some(index)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(damaged("transfer")(()));
    };
    Ok(TransferId {
        chain: chain.parse().map_err(damaged("chain"))?,
        transaction: transaction.to_owned(),
        index: index.parse().map_err(damaged("index"))?,
    })
}
