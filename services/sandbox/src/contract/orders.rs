//! Taking orders in: the same bytes get the same receipt, what is not believed is refused, the rest is decided on the
//! leg, all of it in one transaction with what follows from it.

use haetae_core::{Authorisation, LegReport, LegState, Moment, Order, Refusal, RefusalReason, Violation, Violations};
use haetae_wire::exchange::v1;
use haetae_wire::keys::Keyring;
use haetae_wire::read;
use haetae_wire::signed::{OrderFault, open_signed_order, order_identity};
use prost::Message as _;
use sqlx::{PgConnection, PgPool};

use super::book::{Book, Holding};
use super::budget::{self, Exceeded};
use super::leg::{Found, Leg, Taken, Verified, refused};
use super::legs::Legs;
use super::{db, terms::Terms};

/// The longest refusal in words that travels.
const WORDS: usize = 1_000;

/// Takes orders for one exchange.
#[derive(Debug)]
pub(crate) struct Orders<B> {
    pool: PgPool,
    book: B,
    legs: Legs,
    terms: Terms,
    keys: Keyring,
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoReceipt {
    /// It does not even say which leg and revision it is about, so that no answer could be bound to it.
    #[error("the message names no leg and revision")]
    Unanswerable(Vec<Violation>),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl<B: Book> Orders<B> {
    pub(crate) fn new(pool: PgPool, book: B, legs: Legs, terms: Terms, keys: Keyring) -> Self {
        Self { pool, book, legs, terms, keys }
    }

    pub(super) fn legs(&self) -> &Legs {
        &self.legs
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn book(&self) -> &B {
        &self.book
    }

    /// Takes an order in; the answer is the receipt's envelope.
    pub(super) async fn submit(&self, signed: &v1::SignedOrder, now: Moment) -> Result<Vec<u8>, NoReceipt> {
        let sha256 = order_identity(&signed.envelope);
        let message = order_identity(&signed.encode_to_vec());
        if let Some(receipt) = db::receipt(&self.pool, &[sha256, message]).await? {
            return Ok(receipt);
        }
        let here = self.legs.log().signer().exchange();
        match open_signed_order(signed, &self.keys, here, now, self.terms.clock_tolerance) {
            Ok(opened) => Ok(self.take(&opened.authorisation, Verified { order: &opened.order, sha256 }, now).await?),
            Err(fault) => self.refuse(signed, &fault, message, now).await,
        }
    }

    async fn take(
        &self,
        authorisation: &Authorisation,
        verified: Verified<'_>,
        now: Moment,
    ) -> Result<Vec<u8>, sqlx::Error> {
        let order = verified.order;
        let mut tx = self.legs.begin().await?;
        db::lock_leg(&mut tx, order.leg).await?;
        let report = match self.spend(&mut tx, authorisation, order).await? {
            Err(exceeded) => over_budget(verified, exceeded),
            Ok(()) => {
                let found = self.find(&mut tx, order).await?;
                let before = db::leg(&mut tx, order.leg).await?;
                match Leg::take(before.as_ref(), verified, &found, now) {
                    Taken::Aside(report) => report,
                    Taken::Highest(leg) => {
                        self.legs.changed(&mut tx, &leg, now).await?;
                        leg.report
                    }
                }
            }
        };
        let receipt = self.legs.log().signer().receipt(report, now);
        // Where the same bytes came twice at once, the receipt is the one that the first were given.
        let receipt = db::keep_receipt(&mut tx, &verified.sha256, receipt, now).await?;
        self.legs.commit(tx).await?;
        Ok(receipt)
    }

    /// Takes what a new leg uses from its line's budgets, where there is room.
    async fn spend(
        &self,
        tx: &mut PgConnection,
        authorisation: &Authorisation,
        order: &Order,
    ) -> Result<Result<(), Exceeded>, sqlx::Error> {
        let Some(new) = budget::used_by(order) else { return Ok(Ok(())) };
        if db::is_counted(tx, order.leg).await? {
            return Ok(Ok(()));
        }
        db::lock_line(tx, authorisation.line).await?;
        let used = db::used(tx, authorisation.line).await?;
        let allowed = budget::allows(authorisation, &used, new, order.issued_at);
        if allowed.is_ok() {
            db::count(tx, authorisation.line, order.leg, new).await?;
        }
        Ok(allowed)
    }

    /// What the book says about the target. From here on it keeps a customer's account as it is.
    async fn find(&self, tx: &mut PgConnection, order: &Order) -> Result<Found, sqlx::Error> {
        let holding = self.book.holding(tx, &order.target).await?;
        let position = match (&holding, &order.asset) {
            (Holding::Customer { account, .. }, Some(asset)) => {
                let transfers: Vec<_> = order.arrivals.iter().map(|arrival| arrival.transfer.clone()).collect();
                self.book.position(tx, account, asset, &transfers).await?
            }
            _ => None,
        };
        Ok(Found { holding, searched: self.book.searched(), position })
    }

    /// Answers an order that is not believed. It touches no leg, and its receipt is kept under the whole message, so that
    /// the same envelope with a better proof is looked at again; one whose time has not come is not kept at all.
    async fn refuse(
        &self,
        signed: &v1::SignedOrder,
        fault: &OrderFault,
        message: [u8; 32],
        now: Moment,
    ) -> Result<Vec<u8>, NoReceipt> {
        let mut refusal = Refusal::from(fault);
        refusal.message = refusal.message.chars().take(WORDS).collect();
        tracing::warn!(reason = ?refusal.reason, "an order was refused");
        let retry = refusal.retry;
        let report = named(signed, refusal).map_err(NoReceipt::Unanswerable)?;
        let receipt = self.legs.log().signer().receipt(report, now);
        if retry {
            return Ok(receipt);
        }
        let mut conn = self.pool.acquire().await?;
        Ok(db::keep_receipt(&mut conn, &message, receipt, now).await?)
    }
}

/// The answer to an order for which its line's budget has no room. It touches no leg.
fn over_budget(verified: Verified<'_>, exceeded: Exceeded) -> LegReport {
    tracing::warn!(%exceeded, "an order was refused");
    refused(verified, RefusalReason::OutsideAuthorisation, &exceeded.to_string())
}

/// A refusal addressed to what the message names as leg and revision, without believing anything else of it.
fn named(signed: &v1::SignedOrder, refusal: Refusal) -> Result<LegReport, Vec<Violation>> {
    let mut v = Violations::new();
    let order = v1::Envelope::decode(signed.envelope.as_slice())
        .and_then(|envelope| v1::Order::decode(envelope.payload.as_slice()))
        .unwrap_or_default();
    let leg = read::parse(&mut v, "order.leg_id", &order.leg_id);
    let revision = read::counted(&mut v, "order.revision", order.revision);
    let report = leg.zip(revision).map(|(leg, revision)| LegReport {
        leg,
        revision,
        order_sha256: order_identity(&signed.envelope),
        state: LegState::Refused,
        frozen: None,
        refusal: Some(refusal),
        confirmation: None,
        holder: None,
    });
    v.finish(report)
}
