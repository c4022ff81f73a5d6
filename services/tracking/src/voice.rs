//! Saying it: what was found is signed where it must be, stored, and appended to the log, in one transaction with what it
//! was found from.

use std::collections::HashMap;
use std::sync::Arc;

use haetae_core::{Account, AuthorisationId, ChainId, LegId, Moment, Target, TransferId, WatchId, micros};
use haetae_ledger::{AppendError, Log};
use haetae_seal::dsse::SigningKey;
use haetae_wire::keys::Keyring;
use haetae_wire::signed::{open_authorisation, order_identity, sign_order};
use opentelemetry::KeyValue;
use sqlx::PgConnection;

use crate::db;
use crate::db::watch::Line;
use crate::metrics::METRICS;
use crate::question::{Answer, Asker, Pace, Question};
use crate::said::{ArrivalState, Change, Finality, TrailEnd};
use crate::tell::{self, Told};
use crate::terms::Terms;
use crate::trail::EndReason;
use crate::watched::{Ask, News};

/// The keys it signs with, and the log it writes.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) log: Log,
    pub(crate) arrive: SigningKey,
    pub(crate) confirm: SigningKey,
    pub(crate) keyring: Keyring,
    pub(crate) pace: Pace,
    pub(crate) clock: Clock,
}

/// What time it is: the machine's, or that of a story that is told.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    pub(crate) fn of_the_machine() -> Self {
        Self(Arc::new(Moment::now_utc))
    }

    #[cfg(test)]
    pub(crate) fn told(tell: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// What a watch found, to be said.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) terms: Terms,
    pub(crate) news: News,
}

/// How final a watch's hop has become.
pub(crate) type Mark = (WatchId, TransferId, Finality);

impl Voice {
    /// Now, as it is stored.
    pub(crate) fn now(&self) -> Moment {
        micros((self.clock.0)())
    }

    /// Says and stores what watches of a chain found, and what else there is to say of them. The chain's head is locked.
    /// Gives the version of the change.
    pub(crate) async fn say(
        &self,
        conn: &mut PgConnection,
        chain: &ChainId,
        found: &[Found],
        more: Vec<Told>,
        now: Moment,
    ) -> Result<i64, AppendError> {
        let mut told = Vec::new();
        let mut questions = Vec::new();
        let asking = Authority::of(conn, found).await?;
        for Found { terms, news } in found {
            db::trail::save(conn, terms.watch, news).await?;
            let again: Vec<String> = news.changes.iter().filter_map(reached_again).collect();
            if !again.is_empty() {
                db::question::wake(conn, terms.watch, &again, now).await?;
            }
            let labelled: Vec<_> = news.changes.iter().filter_map(crossed).collect();
            let labels = db::label::of_known(conn, terms.watch, &labelled).await?;
            for change in &news.changes {
                count(change);
                let label = crossed(change).and_then(|account| labels.get(account));
                told.push(tell::change(terms, change, label, &self.arrive, now));
            }
            for ask in &news.asks {
                for line in asking.lines(terms.watch) {
                    let mut question = about(terms, ask, line);
                    told.extend(self.ask(&mut question, asking.envelope(line.line), now));
                    questions.push(question);
                }
            }
        }
        told.extend(more);
        db::question::insert(conn, &questions).await?;

        let mut touched: Vec<WatchId> = found.iter().map(|found| found.terms.watch).collect();
        touched.extend(told.iter().filter_map(|told| told.item.as_ref().map(|(watch, _)| *watch)));
        touched.sort_unstable();
        touched.dedup();
        let version = db::chain::bump(conn, chain).await?;
        db::watch::touch(conn, &touched, version).await?;
        self.append(conn, told).await?;
        Ok(version)
    }

    /// Says which hops of a chain have become more final: those up to `confirmed`, and those up to `finalized`. The chain's head
    /// is locked. Gives the version of the change, if there was one, and the hops.
    pub(crate) async fn finalise(
        &self,
        conn: &mut PgConnection,
        chain: &ChainId,
        confirmed: Option<u64>,
        finalized: Option<u64>,
        now: Moment,
    ) -> Result<(Option<i64>, Vec<Mark>), AppendError> {
        let finalised = db::trail::finalise(conn, chain, confirmed, finalized).await?;
        if finalised.is_empty() {
            return Ok((None, Vec::new()));
        }
        let told = finalised
            .iter()
            .map(|hop| {
                tell::finality_changed(hop.watch, &hop.transfer, hop.finality, hop.block_number, &hop.block_hash, now)
            })
            .collect();
        let version = self.say(conn, chain, &[], told, now).await?;
        Ok((Some(version), finalised.into_iter().map(|hop| (hop.watch, hop.transfer, hop.finality)).collect()))
    }

    /// Says something, in this order.
    pub(crate) async fn append(&self, conn: &mut PgConnection, told: Vec<Told>) -> Result<(), AppendError> {
        let (entries, items): (Vec<_>, Vec<_>) = told.into_iter().map(|told| (told.entry, told.item)).unzip();
        let items: Vec<_> = items.into_iter().flatten().collect();
        db::trail::add_items(conn, &items).await?;
        self.log.append_all(conn, entries).await?;
        Ok(())
    }

    /// The order that a question's statement answers, as it was signed; empty without a statement.
    pub(crate) async fn order_answered(
        &self,
        conn: &mut PgConnection,
        question: &Question,
    ) -> Result<Vec<u8>, sqlx::Error> {
        let answered = question.order(question.answered).filter(|_| !question.statement.is_empty());
        let Some(identity) = answered else { return Ok(Vec::new()) };
        let sent = self.log.entries_of_stream(conn, &tell::question_stream(question.leg)).await?;
        let mut orders =
            sent.into_iter().filter(|entry| entry.kind == tell::QUESTION).filter_map(|entry| entry.payload);
        Ok(orders.find(|order| order_identity(order) == *identity).unwrap_or_default())
    }

    /// Signs the next order of a question. None where no authorisation allows it: it stays open then, and is asked when its
    /// time comes or the authorisation can be read.
    pub(crate) fn ask(&self, question: &mut Question, authorisation: Option<&[u8]>, now: Moment) -> Option<Told> {
        question.ask_at = None;
        let envelope = authorisation?;
        let Ok(authorisation) = open_authorisation(envelope, &self.keyring) else {
            question.ask_at = Some(micros(now + self.pace.slowest));
            METRICS.unaskable.add(1, &[KeyValue::new("exchange", question.exchange.to_string())]);
            tracing::warn!(exchange = %question.exchange, "an authorisation is signed with a key that is not pinned");
            return None;
        };
        let Ok(order) = question.next_order(&authorisation, now, &self.pace) else {
            question.ask_at = (authorisation.valid_from > now).then_some(authorisation.valid_from);
            return None;
        };
        let signed = sign_order(&order, envelope, &[], &self.confirm);
        question.asked(&order, order_identity(&signed));
        Some(tell::question(question, signed, now))
    }
}

/// The question that a step of a watch raises, for one of the exchanges.
fn about(terms: &Terms, ask: &Ask, line: &Line) -> Question {
    let target = Target::account(ask.account.clone());
    unasked(Asker::Watch(terms.watch), tell::watch_subject(terms.watch), line, target, Some(ask.hop.clone()))
}

/// A question before its first order.
pub(crate) fn unasked(asker: Asker, subject: String, line: &Line, target: Target, hop: Option<TransferId>) -> Question {
    Question {
        leg: LegId::of(line.line, &line.exchange, &target, None),
        asker,
        subject,
        exchange: line.exchange.clone(),
        line: line.line,
        target,
        hop,
        orders: Vec::new(),
        expires_at: None,
        answer: Answer::Pending,
        answered: 0,
        heard_at: None,
        statement: Vec::new(),
        ask_at: None,
    }
}

/// Whom watches may ask, and the authorisations in force for it.
#[derive(Debug, Default)]
struct Authority {
    lines: HashMap<WatchId, Vec<Line>>,
    envelopes: HashMap<AuthorisationId, Vec<u8>>,
}

impl Authority {
    /// Of the watches that have something to ask.
    async fn of(conn: &mut PgConnection, found: &[Found]) -> Result<Self, sqlx::Error> {
        let asking: Vec<WatchId> =
            found.iter().filter(|found| !found.news.asks.is_empty()).map(|found| found.terms.watch).collect();
        if asking.is_empty() {
            return Ok(Self::default());
        }
        let lines = db::watch::lines(conn, &asking).await?;
        let ids: Vec<_> = lines.values().flatten().map(|line| line.line.0).collect();
        Ok(Self { envelopes: db::authorisation::in_force(conn, &ids).await?, lines })
    }

    fn lines(&self, watch: WatchId) -> &[Line] {
        self.lines.get(&watch).map(Vec::as_slice).unwrap_or_default()
    }

    fn envelope(&self, line: AuthorisationId) -> Option<&[u8]> {
        self.envelopes.get(&line).map(Vec::as_slice)
    }
}

/// The account to which a hop leads again.
fn reached_again(change: &Change) -> Option<String> {
    match change {
        Change::Reached { account, reached: true } => Some(account.to_string()),
        _ => None,
    }
}

/// The account at which a trail ends because of a label.
fn crossed(change: &Change) -> Option<&Account> {
    match change {
        Change::Ended { account, end, .. } if matches!(end.reason, TrailEnd::Other(EndReason::Crossing(_))) => {
            Some(account)
        }
        _ => None,
    }
}

fn count(change: &Change) {
    match change {
        Change::Hop { .. } => METRICS.hops.add(1, &[]),
        Change::Arrival { arrival, .. } if arrival.state == ArrivalState::Settled => METRICS.arrivals.add(1, &[]),
        _ => {}
    }
}
