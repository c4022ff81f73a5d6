//! Questions to exchanges: what their answers come to, and when to ask again.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use haetae_core::{
    Authorisation, AuthorisationId, Breach, ConfirmationAnswer, Desired, ExchangeId, LegId, LegReport, LegState,
    Moment, Order, RequestId, Target, TransferId, WalletRole, WatchId, micros, within,
};

use crate::knowledge::{Holder, Standing};

/// How far the clock of the service that grants may be ahead.
const SKEW: Duration = Duration::from_secs(5);

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Watch(WatchId),
    Request(RequestId),
}

/// One exchange asked about one account: one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) leg: LegId,
    pub(crate) asker: Asker,
    /// Subject of its entries in the log.
    pub(crate) subject: String,
    pub(crate) exchange: ExchangeId,
    pub(crate) line: AuthorisationId,
    pub(crate) target: Target,
    /// The transfer that led to the target, with a watch.
    pub(crate) hop: Option<TransferId>,
    /// Identities of the orders sent so far, by revision from 1.
    pub(crate) orders: Vec<[u8; 32]>,
    /// When the last of them expires.
    pub(crate) expires_at: Option<Moment>,
    pub(crate) answer: Answer,
    /// The revision that the answer is to.
    pub(crate) answered: u32,
    /// When the answer was heard: who was first to say HELD is the holder.
    pub(crate) heard_at: Option<Moment>,
    /// The exchange's signed statement; empty without one.
    pub(crate) statement: Vec<u8>,
    /// When to ask again, if no better answer comes.
    pub(crate) ask_at: Option<Moment>,
}

/// What an exchange answered, or that it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its time is not over.
    Pending,
    /// It said so; signed.
    Said(Confirmation),
    /// No answer within its declared time.
    Unavailable,
    /// It does not answer; signed.
    Refused {
        /// It may answer another time.
        retry: bool,
    },
}

/// What an exchange said about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    pub(crate) answer: ConfirmationAnswer,
    pub(crate) as_of: Moment,
    pub(crate) searched: BTreeSet<WalletRole>,
    pub(crate) role: Option<WalletRole>,
}

/// What the answers of all exchanges asked come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// Some have not answered, and their time is not over.
    Pending,
    /// Some that are awaited cannot or will not say.
    Open,
    Held(Holder),
    NotHeld,
    /// More than one say that they hold it; the first is taken for the holder until a person has looked.
    Conflict(Holder),
}

/// How questions are paced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long an order may be delivered.
    pub(crate) valid_for: Duration,
    /// The wait before asking a second time; it doubles from there.
    pub(crate) first: Duration,
    pub(crate) slowest: Duration,
}

impl Conclusion {
    /// What it means for money that goes on from the account.
    pub(crate) fn standing(&self) -> Standing {
        match self {
            Self::Pending | Self::Open => Standing::Open,
            Self::Held(holder) | Self::Conflict(holder) => Standing::Held(holder.clone()),
            Self::NotHeld => Standing::NotHeld,
        }
    }
}

/// What the answers about one account come to.
pub(crate) fn conclude(questions: &[Question]) -> Conclusion {
    let said = |question: &Question| match &question.answer {
        Answer::Said(confirmation) => Some(confirmation.answer),
        _ => None,
    };
    let mut holders: Vec<&Question> =
        questions.iter().filter(|question| said(question) == Some(ConfirmationAnswer::Held)).collect();
    holders.sort_by_key(|question| (question.heard_at, &question.exchange));
    if let Some(first) = holders.first() {
        let role = match &first.answer {
            Answer::Said(confirmation) => confirmation.role,
            _ => None,
        };
        let holder = Holder { exchange: first.exchange.clone(), role };
        return if holders.len() > 1 { Conclusion::Conflict(holder) } else { Conclusion::Held(holder) };
    }
    // Where nobody was asked, nobody has said no.
    if questions.is_empty() {
        return Conclusion::Open;
    }
    if questions.iter().all(|question| said(question) == Some(ConfirmationAnswer::NotHeld)) {
        return Conclusion::NotHeld;
    }
    let silent = |question: &Question| {
        matches!(question.answer, Answer::Unavailable | Answer::Refused { .. })
            || said(question) == Some(ConfirmationAnswer::Unknown)
    };
    if questions.iter().any(silent) { Conclusion::Open } else { Conclusion::Pending }
}

impl Question {
    /// The revision sent last; 0 before the first.
    pub(crate) fn revision(&self) -> u32 {
        u32::try_from(self.orders.len()).unwrap_or(u32::MAX)
    }

    /// The identity of the order of a revision.
    pub(crate) fn order(&self, revision: u32) -> Option<&[u8; 32]> {
        self.orders.get(usize::try_from(revision).ok()?.checked_sub(1)?)
    }

    /// Takes in a signed report about an order of this question. False where it says nothing that counts.
    pub(crate) fn hear(&mut self, report: &LegReport, statement: &[u8], now: Moment, pace: &Pace) -> bool {
        let answer = match (report.state, &report.confirmation, &report.refusal) {
            (LegState::Answered, Some(said), _) => Answer::Said(Confirmation {
                answer: said.answer,
                as_of: said.as_of,
                searched: said.wallets_searched.clone(),
                role: said.wallet_role,
            }),
            (LegState::Refused, _, Some(refusal)) => Answer::Refused { retry: refusal.is_for_now() },
            _ => return false,
        };
        let known = self.order(report.revision.get()) == Some(&report.order_sha256);
        if !known || !self.gives_way_to(&answer, report.revision.get()) {
            return false;
        }
        self.statement = statement.to_vec();
        self.take(answer, report.revision.get(), now, pace);
        true
    }

    /// Notes that there was no answer in time. False where there is one already.
    pub(crate) fn miss(&mut self, revision: u32, now: Moment, pace: &Pace) -> bool {
        let waiting = self.answer == Answer::Pending || self.answered < revision;
        if revision != self.revision() || !waiting || self.is_settled() {
            return false;
        }
        self.statement = Vec::new();
        self.take(Answer::Unavailable, revision, now, pace);
        true
    }

    /// Notes that an order expired before the exchange saw it: the next may be sent. False where it was not the last.
    pub(crate) fn expire(&mut self, revision: u32, now: Moment, pace: &Pace) -> bool {
        if revision != self.revision() || self.is_settled() {
            return false;
        }
        self.ask_at = Some(micros(now + self.wait(pace)));
        true
    }

    /// An exchange that holds the account has said so; who said that it does not may still say that it does.
    fn gives_way_to(&self, answer: &Answer, revision: u32) -> bool {
        let is = |answer: &Answer, wanted| matches!(answer, Answer::Said(said) if said.answer == wanted);
        let affirms = is(answer, ConfirmationAnswer::Held);
        if is(&self.answer, ConfirmationAnswer::Held) {
            false
        } else if is(&self.answer, ConfirmationAnswer::NotHeld) {
            affirms
        } else {
            // HELD and NOT_HELD answer the question whichever of its orders they answer.
            affirms || is(answer, ConfirmationAnswer::NotHeld) || (revision >= self.answered && *answer != self.answer)
        }
    }

    fn take(&mut self, answer: Answer, revision: u32, now: Moment, pace: &Pace) {
        let again = now + self.wait(pace);
        self.ask_at = match &answer {
            Answer::Pending => None,
            Answer::Said(said) if said.answer == ConfirmationAnswer::Unknown => Some(again),
            Answer::Said(_) => None,
            // The connector goes on delivering this order until it expires.
            Answer::Unavailable => Some(self.expires_at.map_or(again, |expires| expires.max(again))),
            Answer::Refused { retry } => retry.then_some(again),
        }
        .map(micros);
        self.answer = answer;
        self.answered = revision;
        self.heard_at = Some(now);
    }

    /// Nobody needs to ask again.
    fn is_settled(&self) -> bool {
        matches!(&self.answer, Answer::Said(said) if said.answer != ConfirmationAnswer::Unknown)
    }

    fn wait(&self, pace: &Pace) -> Duration {
        let doublings = self.revision().saturating_sub(1).min(16);
        pace.first.saturating_mul(1 << doublings).min(pace.slowest)
    }

    /// The next order for this question.
    ///
    /// # Errors
    /// When the authorisation does not allow it, or not any more.
    pub(crate) fn next_order(
        &self,
        authorisation: &Authorisation,
        now: Moment,
        pace: &Pace,
    ) -> Result<Order, Vec<Breach>> {
        // Between two machines' clocks, what was just granted may not have begun yet.
        let ahead = authorisation.valid_from - now;
        let now = if ahead.is_positive() && ahead <= SKEW { authorisation.valid_from } else { micros(now) };
        let order = Order {
            recipient: self.exchange.clone(),
            leg: self.leg,
            revision: NonZeroU32::MIN.saturating_add(self.revision()),
            target: self.target.clone(),
            asset: None,
            desired: Desired::ConfirmAddress,
            issued_at: now,
            expires_at: micros(now + pace.valid_for),
            arrivals: Vec::new(),
            hop: self.hop.clone(),
        };
        within(&order, authorisation)?;
        Ok(order)
    }

    /// Notes that an order was signed.
    pub(crate) fn asked(&mut self, order: &Order, identity: [u8; 32]) {
        self.orders.push(identity);
        self.expires_at = Some(order.expires_at);
        self.ask_at = None;
    }
}

#[cfg(test)]
mod tests;
