//! Why a signed message is not believed. No fault repeats what the message says: it can be logged and sent back.

use haetae_core::{Breach, ExchangeId, LegId, Reason, Refusal, RefusalReason, Violation};
use haetae_seal::{checkpoint::CheckpointError, dsse::SignatureError, merkle::ProofError};

use crate::keys::Purpose;

/// What is wrong with an envelope or with what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(&'static str),
    /// It is not signed as it must be.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is signed with a key that is pinned for something else.
    #[error("key {key_id:?} is pinned for {pinned}, not for {wanted}")]
    OtherPurpose {
        /// The key.
        key_id: String,
        /// What it is pinned for.
        pinned: Purpose,
        /// What it would have to be pinned for.
        wanted: Purpose,
    },
    /// It is signed, but what it says has faults; all of them.
    #[error("it has faults: {}", in_words(.0))]
    Content(Vec<Violation>),
}

impl EnvelopeFault {
    /// The ground of refusal that it is.
    pub fn refusal(&self) -> RefusalReason {
        match self {
            Self::Signature(_) | Self::OtherPurpose { .. } => RefusalReason::SignatureInvalid,
            Self::Content(faults) if faults.iter().any(|fault| fault.reason == Reason::FieldMissing) => {
                RefusalReason::Incomplete
            }
            Self::Content(_) | Self::Malformed(_) => RefusalReason::ManifestErrors,
        }
    }
}

/// Where the way from an order's envelope to its log's checkpoint breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// A part of the proof is missing or has not the form it must have.
    #[error("{0} is missing or malformed")]
    Malformed(&'static str),
    /// No key is pinned for the log that must hold this kind of order.
    #[error("no key is pinned for the log of {0}")]
    NoLogKey(&'static str),
    /// The checkpoint is not one of that log.
    #[error("the checkpoint is not of the log of {service}: {error}")]
    Checkpoint {
        /// The service whose log it must be.
        service: &'static str,
        /// What is wrong.
        error: CheckpointError,
    },
    /// The proof is about another tree than the checkpoint.
    #[error("the proof is for a tree of {proven} leaves, the checkpoint for one of {signed}")]
    OtherTree {
        /// Size that the proof names.
        proven: u64,
        /// Size that the log signed.
        signed: u64,
    },
    /// The envelope's leaf is not in the tree.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// The order itself.
    #[error("the order: {0}")]
    Order(EnvelopeFault),
    /// The authorisation in it.
    #[error("the authorisation: {0}")]
    Authorisation(EnvelopeFault),
    /// An arrival in it.
    #[error("arrival {index}: {fault}")]
    Arrival {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        fault: EnvelopeFault,
    },
    /// It goes beyond its authorisation; every breach.
    #[error("the order is outside its authorisation: {}", join(.0))]
    Outside(Vec<Breach>),
    /// It is made out to another exchange.
    #[error("the order is for {recipient}, not for {here}")]
    OtherExchange {
        /// Whom it is for.
        recipient: ExchangeId,
        /// Who was asked to carry it out.
        here: ExchangeId,
    },
    /// It is not shown to stand in its signer's log.
    #[error("the proof: {0}")]
    Proof(#[from] ProofFault),
    /// It came too late.
    #[error("the order has expired")]
    Expired,
    /// It was signed later than now, by more than clocks may differ.
    #[error("the order was signed in the future")]
    NotYet,
}

impl OrderFault {
    /// The ground of refusal that it is.
    pub fn refusal(&self) -> RefusalReason {
        match self {
            Self::Order(fault) | Self::Authorisation(fault) | Self::Arrival { fault, .. } => fault.refusal(),
            Self::Outside(_) => RefusalReason::OutsideAuthorisation,
            Self::OtherExchange { .. } => RefusalReason::NotForThisExchange,
            Self::Proof(_) => RefusalReason::ProofInvalid,
            Self::Expired => RefusalReason::OrderExpired,
            Self::NotYet => RefusalReason::ManifestErrors,
        }
    }
}

impl From<&OrderFault> for Refusal {
    /// The answer to the order. Only an order whose time has not come may succeed as it is.
    fn from(fault: &OrderFault) -> Self {
        Self { reason: fault.refusal(), message: fault.to_string(), retry: *fault == OrderFault::NotYet }
    }
}

/// Why a statement of an exchange is not acted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    /// It is not signed with a key that is pinned for the exchange.
    #[error("the statement is not signed by the exchange: {0}")]
    Signature(EnvelopeFault),
    /// It cannot be read, or contradicts itself.
    #[error("the statement: {0}")]
    Content(EnvelopeFault),
    /// The exchange's key signed it, but it speaks for another exchange.
    #[error("the statement speaks for {stated}, but was expected of {expected}")]
    OtherExchange {
        /// Whom it speaks for.
        stated: ExchangeId,
        /// Who was asked.
        expected: ExchangeId,
    },
    /// It is about another leg than the order.
    #[error("the statement is about leg {stated}, but leg {expected} was ordered")]
    OtherLeg {
        /// The leg it is about.
        stated: LegId,
        /// The leg of the order.
        expected: LegId,
    },
    /// It is about the leg, but answers another revision or other bytes than were sent.
    #[error("the statement answers another order for the leg")]
    OtherOrder,
}

impl StatementFault {
    /// It is signed with a key that is pinned for nothing. Whoever passed it on has verified it, so that he may know a newer
    /// registry.
    pub fn is_unknown_key(&self) -> bool {
        matches!(self, Self::Signature(EnvelopeFault::Signature(SignatureError::UnknownKey { .. })))
    }

    /// A name for logs and facts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Signature(_) => "SIGNATURE_INVALID",
            Self::Content(_) => "CONTENT_INVALID",
            Self::OtherExchange { .. } => "OTHER_EXCHANGE",
            Self::OtherLeg { .. } => "OTHER_LEG",
            Self::OtherOrder => "OTHER_ORDER",
        }
    }
}

impl From<EnvelopeFault> for StatementFault {
    fn from(fault: EnvelopeFault) -> Self {
        match fault {
            EnvelopeFault::Signature(_) | EnvelopeFault::OtherPurpose { .. } => Self::Signature(fault),
            EnvelopeFault::Malformed(_) | EnvelopeFault::Content(_) => Self::Content(fault),
        }
    }
}

/// Faults in one line, each with its field.
pub(crate) fn in_words(faults: &[Violation]) -> String {
    let word = |fault: &Violation| format!("{} {}", fault.field, fault.description);
    faults.iter().map(word).collect::<Vec<_>>().join("; ")
}

fn join(breaches: &[Breach]) -> String {
    breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
