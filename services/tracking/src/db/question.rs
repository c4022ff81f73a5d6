//! Questions to exchanges and what they come to.

use haetae_core::{
    Account, AuthorisationId, ConfirmationAnswer, LegId, Moment, RequestId, Target, TransferId, WatchId,
};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::code::{damaged, read, read_role, unsigned, write_conclusion, write_role};
use crate::question::{Answer, Asker, Conclusion, Confirmation, Question};

#[derive(sqlx::FromRow)]
struct Row {
    leg_id: Uuid,
    watch_id: Option<Uuid>,
    request_id: Option<Uuid>,
    subject: String,
    exchange: String,
    line: Uuid,
    account: String,
    memo: Option<String>,
    hop_transaction: Option<String>,
    hop_index: Option<String>,
    orders: Vec<Vec<u8>>,
    expires_at: Option<Moment>,
    answer: String,
    answered: i64,
    heard_at: Option<Moment>,
    as_of: Option<Moment>,
    searched: Vec<String>,
    wallet_role: Option<String>,
    statement: Vec<u8>,
    ask_at: Option<Moment>,
}

const COLUMNS: &str =
    "leg_id, watch_id, request_id, subject, exchange, line, account, memo, hop_transaction, hop_index,
    orders, expires_at, answer, answered, heard_at, as_of, searched, wallet_role, statement, ask_at";

/// A `select` of questions.
macro_rules! select {
    ($rest:literal) => {
        sqlx::AssertSqlSafe(format!("select {COLUMNS} from question {}", $rest))
    };
}

/// Stores new questions. A leg that is there already stays as it is.
pub(crate) async fn insert(conn: &mut PgConnection, questions: &[Question]) -> Result<(), sqlx::Error> {
    if questions.is_empty() {
        return Ok(());
    }
    let watch = |question: &Question| match question.asker {
        Asker::Watch(id) => Some(id.0),
        Asker::Request(_) => None,
    };
    let request = |question: &Question| match question.asker {
        Asker::Watch(_) => None,
        Asker::Request(id) => Some(id.0),
    };
    let hop = |question: &Question| question.hop.as_ref().map(|hop| hop.transaction.clone());
    let index = |question: &Question| question.hop.as_ref().map(|hop| hop.index.to_string());
    let order = |question: &Question| question.orders.first().map(|order| order.to_vec());
    sqlx::query(
        "insert into question (leg_id, watch_id, request_id, subject, exchange, line, account, memo,
                               hop_transaction, hop_index, orders, expires_at, ask_at, answer)
         select leg_id, watch_id, request_id, subject, exchange, line, account, memo, hop_transaction, hop_index,
                array_remove(array[first_order], null), expires_at, ask_at, 'pending'
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::bytea[], $12::timestamptz[], $13::timestamptz[])
              as q (leg_id, watch_id, request_id, subject, exchange, line, account, memo, hop_transaction, hop_index,
                    first_order, expires_at, ask_at)
         on conflict (leg_id) do nothing",
    )
    .bind(questions.iter().map(|question| question.leg.0).collect::<Vec<_>>())
    .bind(questions.iter().map(watch).collect::<Vec<_>>())
    .bind(questions.iter().map(request).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.subject.as_str()).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.exchange.as_str()).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.line.0).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.target.account.to_string()).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.target.memo.clone()).collect::<Vec<_>>())
    .bind(questions.iter().map(hop).collect::<Vec<_>>())
    .bind(questions.iter().map(index).collect::<Vec<_>>())
    .bind(questions.iter().map(order).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.expires_at).collect::<Vec<_>>())
    .bind(questions.iter().map(|question| question.ask_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what became of a question. Its row, or its chain's head, is locked.
pub(crate) async fn update(conn: &mut PgConnection, question: &Question) -> Result<(), sqlx::Error> {
    let (answer, said) = write_answer(&question.answer);
    sqlx::query(
        "update question set orders = $2, expires_at = $3, answer = $4, answered = $5, heard_at = $6, as_of = $7,
                searched = $8, wallet_role = $9, statement = $10, ask_at = $11 where leg_id = $1",
    )
    .bind(question.leg.0)
    .bind(question.orders.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
    .bind(question.expires_at)
    .bind(answer)
    .bind(i64::from(question.answered))
    .bind(question.heard_at)
    .bind(said.map(|said| said.as_of))
    .bind(said.map(|said| said.searched.iter().copied().map(write_role).collect::<Vec<_>>()).unwrap_or_default())
    .bind(said.and_then(|said| said.role).map(write_role))
    .bind(&question.statement)
    .bind(question.ask_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Which question a leg is, unlocked: who asks never changes.
pub(crate) async fn asker(db: impl PgExecutor<'_>, leg: LegId) -> Result<Option<Asker>, sqlx::Error> {
    let row: Option<(Option<Uuid>, Option<Uuid>)> =
        sqlx::query_as("select watch_id, request_id from question where leg_id = $1")
            .bind(leg.0)
            .fetch_optional(db)
            .await?;
    row.map(|(watch, request)| read_asker(watch, request)).transpose()
}

/// A question, locked.
pub(crate) async fn lock(conn: &mut PgConnection, leg: LegId) -> Result<Option<Question>, sqlx::Error> {
    let row: Option<Row> =
        sqlx::query_as(select!("where leg_id = $1 for update")).bind(leg.0).fetch_optional(conn).await?;
    row.map(Row::read).transpose()
}

/// The questions of a watch about an account.
pub(crate) async fn about(
    db: impl PgExecutor<'_>,
    watch: WatchId,
    account: &Account,
) -> Result<Vec<Question>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(select!("where watch_id = $1 and account = $2 order by exchange"))
        .bind(watch.0)
        .bind(account.to_string())
        .fetch_all(db)
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// The questions of a confirm-address request.
pub(crate) async fn of_request(db: impl PgExecutor<'_>, request: RequestId) -> Result<Vec<Question>, sqlx::Error> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("where request_id = $1 order by exchange")).bind(request.0).fetch_all(db).await?;
    rows.into_iter().map(Row::read).collect()
}

/// Questions that are to be asked again, locked; those that another replica has in hand are passed over.
pub(crate) async fn due(conn: &mut PgConnection, now: Moment, limit: u32) -> Result<Vec<Question>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(select!("where ask_at <= $1 order by ask_at limit $2 for update skip locked"))
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Whether a watch still wants to know about an account: it has not ended, a hop leads there, and nobody is known to hold
/// it.
pub(crate) async fn is_wanted(db: impl PgExecutor<'_>, watch: WatchId, account: &Account) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
            select from watch w join known_account a on a.watch_id = w.id
            where w.id = $1 and a.account = $2 and w.state <> 'ended' and a.standing = 'open'
              and exists (
                select from movement m where m.watch_id = w.id and m.payee = a.account and m.hop_finality <> 'retracted'
              )
         )",
    )
    .bind(watch.0)
    .bind(account.to_string())
    .fetch_one(db)
    .await
}

/// Has a watch's questions about these accounts asked again that nobody has settled and nothing else would bring back:
/// while no hop led there, they rested.
pub(crate) async fn wake(
    conn: &mut PgConnection,
    watch: WatchId,
    accounts: &[String],
    now: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update question set ask_at = $3
         where watch_id = $1 and account = any($2) and ask_at is null
           and (answer in ('unknown', 'unavailable', 'refused-for-now') or (answer = 'pending' and coalesce(expires_at, $3) <= $3))",
    )
    .bind(watch.0)
    .bind(accounts)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Questions that exchanges have not settled.
pub(crate) async fn open(db: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let open: i64 = sqlx::query_scalar(
        "select count(*) from question where answer in ('pending', 'unknown', 'unavailable', 'refused', 'refused-for-now')",
    )
    .fetch_one(db)
    .await?;
    unsigned("count", open)
}

/// Stores a confirm-address request. False where it is there already.
pub(crate) async fn insert_confirmation(
    conn: &mut PgConnection,
    request: RequestId,
    target: &Target,
) -> Result<bool, sqlx::Error> {
    let inserted =
        sqlx::query("insert into confirmation (request_id, account, memo) values ($1, $2, $3) on conflict do nothing")
            .bind(request.0)
            .bind(target.account.to_string())
            .bind(&target.memo)
            .execute(conn)
            .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What a confirm-address request is about.
pub(crate) async fn confirmation(db: impl PgExecutor<'_>, request: RequestId) -> Result<Option<Target>, sqlx::Error> {
    let row: Option<(String, Option<String>)> =
        sqlx::query_as("select account, memo from confirmation where request_id = $1")
            .bind(request.0)
            .fetch_optional(db)
            .await?;
    row.map(|(account, memo)| Ok(Target { account: read("account", &account)?, memo })).transpose()
}

/// Locks a confirm-address request, so that its answers are heard one after the other.
pub(crate) async fn lock_confirmation(conn: &mut PgConnection, request: RequestId) -> Result<(), sqlx::Error> {
    sqlx::query("select from confirmation where request_id = $1 for update").bind(request.0).execute(conn).await?;
    Ok(())
}

/// Notes what is said of an account or of a request's target from now on. False where that was said last.
pub(crate) async fn conclude(
    conn: &mut PgConnection,
    asker: Asker,
    account: &Account,
    conclusion: &Conclusion,
) -> Result<bool, sqlx::Error> {
    let (now, account) = (write_conclusion(conclusion), account.to_string());
    let changed = match asker {
        Asker::Watch(id) => {
            sqlx::query(
                "update known_account set concluded = $3
                 where watch_id = $1 and account = $2 and concluded <> $3",
            )
            .bind(id.0)
            .bind(account)
            .bind(now)
            .execute(conn)
            .await?
        }
        Asker::Request(id) => {
            sqlx::query("update confirmation set concluded = $2 where request_id = $1 and concluded <> $2")
                .bind(id.0)
                .bind(now)
                .execute(conn)
                .await?
        }
    };
    Ok(changed.rows_affected() == 1)
}

fn read_asker(watch: Option<Uuid>, request: Option<Uuid>) -> Result<Asker, sqlx::Error> {
    match (watch, request) {
        (Some(id), None) => Ok(Asker::Watch(WatchId(id))),
        (None, Some(id)) => Ok(Asker::Request(RequestId(id))),
        _ => Err(damaged("watch_id")),
    }
}

fn write_answer(answer: &Answer) -> (&'static str, Option<&Confirmation>) {
    match answer {
        Answer::Pending => ("pending", None),
        Answer::Unavailable => ("unavailable", None),
        Answer::Refused { retry: false } => ("refused", None),
        Answer::Refused { retry: true } => ("refused-for-now", None),
        Answer::Said(said) => {
            let text = match said.answer {
                ConfirmationAnswer::Held => "held",
                ConfirmationAnswer::NotHeld => "not-held",
                ConfirmationAnswer::Unknown => "unknown",
            };
            (text, Some(said))
        }
    }
}

impl Row {
    fn read(self) -> Result<Question, sqlx::Error> {
        let account: Account = read("account", &self.account)?;
        let hop = match (&self.hop_transaction, &self.hop_index) {
            (Some(transaction), Some(index)) => Some(TransferId {
                chain: account.chain().clone(),
                transaction: transaction.clone(),
                index: read("hop_index", index)?,
            }),
            _ => None,
        };
        Ok(Question {
            asker: read_asker(self.watch_id, self.request_id)?,
            leg: LegId(self.leg_id),
            exchange: read("exchange", &self.exchange)?,
            line: AuthorisationId(self.line),
            hop,
            orders: self
                .orders
                .iter()
                .map(|order| order.as_slice().try_into().map_err(|_| damaged("orders")))
                .collect::<Result<_, _>>()?,
            expires_at: self.expires_at,
            answered: unsigned("answered", self.answered)?,
            heard_at: self.heard_at,
            ask_at: self.ask_at,
            answer: self.answer()?,
            subject: self.subject,
            target: Target { account, memo: self.memo },
            statement: self.statement,
        })
    }

    fn answer(&self) -> Result<Answer, sqlx::Error> {
        let said = |answer| {
            Ok(Answer::Said(Confirmation {
                answer,
                as_of: self.as_of.ok_or_else(|| damaged("as_of"))?,
                searched: self.searched.iter().map(|role| read_role(role)).collect::<Result<_, _>>()?,
                role: self.wallet_role.as_deref().map(read_role).transpose()?,
            }))
        };
        match self.answer.as_str() {
            "pending" => Ok(Answer::Pending),
            "unavailable" => Ok(Answer::Unavailable),
            "refused" => Ok(Answer::Refused { retry: false }),
            "refused-for-now" => Ok(Answer::Refused { retry: true }),
            "held" => said(ConfirmationAnswer::Held),
            "not-held" => said(ConfirmationAnswer::NotHeld),
            "unknown" => said(ConfirmationAnswer::Unknown),
            _ => Err(damaged("answer")),
        }
    }
}
