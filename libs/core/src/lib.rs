//! What the field's words mean, without IO: typed ids, accounts, assets, amounts, authorisations,
//! orders, and whether an order lies inside its authorisation.
//!
//! Everything here is parsed once, at the edge of a service, and cannot be wrong afterwards: an
//! [`Account`] has a valid checksum, an [`Amount`] is an integer of at most 2^256−1, an
//! [`ExchangeId`] is a name that may stand in a certificate. What is refused is refused with a
//! [`Reason`], whose table (`reason.rs`) is also the table in the guide for callers.

mod account;
mod amount;
mod asset;
mod authorisation;
mod chain;
mod field;
mod id;
mod label;
mod legal;
mod order;
pub mod reason;
mod start;
mod statement;
mod taint;
mod transfer;

pub use account::{Account, MalformedAccount, Target};
pub use amount::{Amount, MalformedAmount};
pub use asset::Asset;
pub use authorisation::{
    Act, Authorisation, Budgets, CaseRef, Confidentiality, Decision, DecisionRole, Document, LegalGround, Officer,
    OrderKind, Subject,
};
pub use chain::{ChainId, ChainKind};
pub use field::{Collect, Violation, Violations};
pub use id::{
    AgencyId, ArrivalId, AuthorisationId, ExchangeId, HopId, LegId, MalformedId, PersonId, RequestId, UnitId, WatchId,
    derived,
};
pub use label::{Crossing, UnknownCrossing, confidence, is_confidence, labelled_account, labelled_chain};
pub use legal::{LegalBasis, LegalRules, Limits, NotAllowed, RequestKind};
pub use order::{Arrival, Breach, Desired, FreezeScope, Order, WalletRole, within};
pub use reason::Reason;
pub use start::WatchStart;
pub use statement::{
    Confirmation, ConfirmationAnswer, Event, EventContent, LegReport, LegState, Receipt, Refusal, RefusalReason,
    SuspiciousActivity,
};
pub use taint::{TaintRule, UnknownTaintRule};
pub use transfer::{MalformedTransfer, TransferId, TransferIndex};

/// A moment, UTC. Everything that is stored or signed has whole microseconds: see [`micros`].
pub type Moment = time::OffsetDateTime;

/// Cuts a moment to whole microseconds, as the log and Postgres keep it.
pub fn micros(moment: Moment) -> Moment {
    let excess = moment.nanosecond() % 1_000;
    moment - time::Duration::nanoseconds(i64::from(excess))
}
