//! What is done about a connector's facts: answers are verified, heard, and what follows from them is said.

use std::sync::Arc;

use anyhow::anyhow;
use async_trait::async_trait;
use haetae_core::{EventContent, ExchangeId, LegId, LegReport, Moment};
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use haetae_wire::connector::v1::{EventReceived, ExchangeUnavailable, OrderUndelivered, ReceiptReceived};
use haetae_wire::signed::{open_event, open_receipt};
use prost::Message as _;
use sqlx::PgConnection;

use crate::db;
use crate::metrics::METRICS;
use crate::question::{Asker, Question, conclude};
use crate::tell;
use crate::voice::{Found, Voice};

/// Follows the connector of one exchange, and believes it about that exchange only.
pub(crate) struct Answers {
    pub(crate) exchange: ExchangeId,
    pub(crate) voice: Arc<Voice>,
}

/// What a connector's fact says about a question.
enum News {
    /// The exchange said so, and signed it.
    Report(Box<LegReport>, Vec<u8>),
    Unavailable {
        revision: u32,
    },
    Undelivered {
        revision: u32,
    },
    /// The exchange answered, and it cannot be verified here.
    Unheard,
}

#[async_trait]
impl Handler for Answers {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        self.act(tx, &entry.kind, &entry.payload).await
    }
}

impl Answers {
    /// Acts on a fact of the connector's.
    pub(crate) async fn act(&self, tx: &mut PgConnection, kind: &str, payload: &[u8]) -> Result<(), HandleError> {
        let (exchange, leg, news) = match kind {
            "receipt" => {
                let fact = ReceiptReceived::decode(payload)?;
                let receipt = open_receipt(&fact.receipt, &self.voice.keyring, &self.exchange, None);
                let news = receipt.map(|receipt| News::Report(Box::new(receipt.report), fact.receipt));
                (fact.exchange, fact.leg_id, news.map_err(Some))
            }
            "event" => {
                let fact = EventReceived::decode(payload)?;
                if fact.leg_id.is_empty() {
                    return Ok(());
                }
                let event = open_event(&fact.event, &self.voice.keyring, &self.exchange);
                let news = match event.map(|event| event.content) {
                    Ok(EventContent::Report(report)) => Ok(News::Report(Box::new(report), fact.event)),
                    Ok(EventContent::SuspiciousActivity(_)) => Err(None),
                    Err(fault) => Err(Some(fault)),
                };
                (fact.exchange, fact.leg_id, news)
            }
            "unavailable" => {
                let fact = ExchangeUnavailable::decode(payload)?;
                (fact.exchange, fact.leg_id, Ok(News::Unavailable { revision: fact.revision }))
            }
            "undelivered" => {
                let fact = OrderUndelivered::decode(payload)?;
                (fact.exchange, fact.leg_id, Ok(News::Undelivered { revision: fact.revision }))
            }
            _ => return Ok(()),
        };
        let Ok(leg) = leg.parse::<LegId>() else { return self.disregard() };
        // Most legs are freeze's, and none of our business.
        let Some(asker) = db::question::asker(&mut *tx, leg).await? else { return Ok(()) };
        match news {
            Ok(news) if exchange == self.exchange.as_str() => self.hear(tx, leg, asker, news, self.voice.now()).await,
            // The connector wrote it down because it verified it: our registry may be the older one, and an exchange answers
            // a question only once. It is asked anew.
            Err(Some(fault)) if fault.is_unknown_key() => {
                self.hear(tx, leg, asker, News::Unheard, self.voice.now()).await?;
                self.disregard()
            }
            _ => self.disregard(),
        }
    }

    /// A statement that does not verify is no poison, and is not acted on.
    fn disregard(&self) -> Result<(), HandleError> {
        METRICS.disregarded.add(1, &[opentelemetry::KeyValue::new("exchange", self.exchange.to_string())]);
        tracing::warn!(exchange = %self.exchange, "a statement is disregarded");
        Ok(())
    }

    async fn hear(
        &self,
        tx: &mut PgConnection,
        leg: LegId,
        asker: Asker,
        news: News,
        now: Moment,
    ) -> Result<(), HandleError> {
        // Locks in the order in which everyone takes them: what the question is part of, then the question.
        match asker {
            Asker::Watch(watch) => {
                let chain = db::watch::chain_of(&mut *tx, watch).await?;
                let chain = chain.ok_or_else(|| HandleError::poison(anyhow!("a question of no watch")))?;
                db::chain::lock_head(tx, &chain).await?;
            }
            Asker::Request(request) => db::question::lock_confirmation(tx, request).await?,
        }
        let Some(mut question) = db::question::lock(tx, leg).await? else { return Ok(()) };
        if question.exchange != self.exchange {
            return self.disregard();
        }
        let pace = &self.voice.pace;
        let answered = match &news {
            News::Report(report, statement) if report.leg == leg => question.hear(report, statement, now, pace),
            News::Report(..) => return self.disregard(),
            News::Unavailable { revision } => question.miss(*revision, now, pace),
            News::Undelivered { revision } => return self.ask_anew(tx, question, *revision, now).await,
            News::Unheard => {
                let last = question.revision();
                return self.ask_anew(tx, question, last, now).await;
            }
        };
        if !answered {
            return Ok(());
        }
        db::question::update(tx, &question).await?;
        match asker {
            Asker::Watch(_) => self.learn(tx, &question, now).await,
            Asker::Request(_) => self.answer(tx, &question, now).await,
        }
    }

    /// No answer to this order counts, or will come. Where it was the last one, the next goes out in time.
    async fn ask_anew(
        &self,
        tx: &mut PgConnection,
        mut question: Question,
        revision: u32,
        now: Moment,
    ) -> Result<(), HandleError> {
        if question.expire(revision, now, &self.voice.pace) {
            db::question::update(tx, &question).await?;
        }
        Ok(())
    }

    /// What follows for a watch. The head of its chain is locked.
    async fn learn(&self, tx: &mut PgConnection, question: &Question, now: Moment) -> Result<(), HandleError> {
        let (Asker::Watch(watch), account) = (question.asker, &question.target.account) else { return Ok(()) };
        let (row, mut watched) =
            db::watch::load(tx, watch).await?.ok_or_else(|| HandleError::poison(anyhow!("a question of no watch")))?;
        // A watch that has ended finds nothing more, and nothing arrives for it.
        if !row.active && row.catching_up.is_none() {
            return Ok(());
        }
        let conclusion = conclude(&db::question::about(&mut *tx, watch, account).await?);
        if !db::question::conclude(tx, question.asker, account, &conclusion).await? {
            return Ok(());
        }
        watched.learn(account, conclusion.standing());
        let found = Found { terms: row.terms, news: watched.settle() };
        let told = tell::concluded(question.asker, &question.subject, &question.target, &conclusion, now);
        // What an address is comes before what follows from it.
        self.voice.append(tx, vec![told]).await?;
        self.voice.say(tx, account.chain(), &[found], Vec::new(), now).await?;
        Ok(())
    }

    /// What follows for a confirm-address request, which is locked.
    async fn answer(&self, tx: &mut PgConnection, question: &Question, now: Moment) -> Result<(), HandleError> {
        let Asker::Request(request) = question.asker else { return Ok(()) };
        let order = self.voice.order_answered(tx, question).await?;
        let mut told = vec![tell::answered(request, question, order, now)];
        let conclusion = conclude(&db::question::of_request(&mut *tx, request).await?);
        if db::question::conclude(tx, question.asker, &question.target.account, &conclusion).await? {
            told.push(tell::concluded(question.asker, &question.subject, &question.target, &conclusion, now));
        }
        Ok(self.voice.append(tx, told).await?)
    }
}
