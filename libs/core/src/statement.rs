//! What an exchange says back: where a leg stands there, and whether it holds an address.

use std::{collections::BTreeSet, num::NonZeroU32};

use crate::{Amount, ExchangeId, LegId, Moment, Target, TransferId, WalletRole};

/// The answer to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who says so.
    pub exchange: ExchangeId,
    /// Where the leg stood when the order was taken in.
    pub report: LegReport,
    /// When.
    pub at: Moment,
}

/// One entry of an exchange's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who says so.
    pub exchange: ExchangeId,
    /// Which log; a new one after the exchange lost its log.
    pub log_id: String,
    /// Rises when the log was restored from a backup; sequences start anew.
    pub epoch: u64,
    /// Consecutive within log and epoch, from 1.
    pub sequence: u64,
    /// When it happened.
    pub at: Moment,
    /// What happened.
    pub content: EventContent,
}

/// What an exchange's log entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventContent {
    /// A leg changed.
    Report(LegReport),
    /// The exchange reports by itself.
    SuspiciousActivity(SuspiciousActivity),
}

/// Where a leg stands at the exchange: complete, not a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// The leg.
    pub leg: LegId,
    /// The revision that this state answers.
    pub revision: NonZeroU32,
    /// SHA-256 over the envelope of that order.
    pub order_sha256: [u8; 32],
    /// The state.
    pub state: LegState,
    /// Running total withheld under the leg; none where nothing can be.
    pub frozen: Option<Amount>,
    /// Why not: there if and only if the state is [`LegState::Refused`].
    pub refusal: Option<Refusal>,
    /// The answer: there if and only if the state is [`LegState::Answered`].
    pub confirmation: Option<Confirmation>,
    /// Pseudonym of the account holder, the same for all accounts of a person; none where none is known.
    pub holder: Option<String>,
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LegState {
    /// Taken in, not yet effective: a person at the exchange must act.
    Accepted,
    /// Effective; nothing is withheld yet.
    Binding,
    /// Effective, and less than the cap is withheld.
    FrozenPartial,
    /// Effective, and the whole cap is withheld.
    FrozenFull,
    /// Not done.
    Refused,
    /// A higher revision is in force.
    Superseded,
    /// Nothing is withheld any more, because an order said so.
    Released,
    /// Nothing is withheld any more, because the period ended.
    Expired,
    /// The question was answered.
    Answered,
}

impl LegState {
    /// The freeze is effective: whatever is credited is withheld, up to the cap.
    pub const fn is_binding_or_later(self) -> bool {
        matches!(self, Self::Binding | Self::FrozenPartial | Self::FrozenFull)
    }

    /// Nothing more happens under this revision; only a higher one can change it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Refused | Self::Superseded | Self::Released | Self::Expired | Self::Answered)
    }
}

/// Why an exchange does not do as ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The ground.
    pub reason: RefusalReason,
    /// In words, without personal data.
    pub message: String,
    /// True where the same order may succeed later.
    pub retry: bool,
}

impl Refusal {
    /// Whether it says "not now": the same is then ordered again, as the next revision. So it does where the exchange says so,
    /// and where it judged not what was ordered but how that came: too late, or signed or proven by keys that it does not
    /// know, or not any more.
    pub fn is_for_now(&self) -> bool {
        use RefusalReason::{OrderExpired, ProofInvalid, SignatureInvalid};
        self.retry || matches!(self.reason, OrderExpired | SignatureInvalid | ProofInvalid)
    }
}

/// Grounds of refusal: those of Regulation (EU) 2023/1543, then what a machine finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// A required part is missing.
    Incomplete,
    /// It contains manifest errors.
    ManifestErrors,
    /// It does not say enough to be carried out.
    InsufficientInformation,
    /// The exchange does not hold what it is about.
    DataNotHeld,
    /// It cannot be done in fact.
    DeFactoImpossible,
    /// The issuing authority is not competent.
    InvalidIssuingAuthority,
    /// The offence is not covered.
    OffenceNotCovered,
    /// The service is not covered.
    ServiceNotCovered,
    /// Immunities or privileges stand against it.
    ImmunitiesOrPrivileges,
    /// It conflicts with the law that binds the exchange.
    ConflictOfLaw,
    /// A signature is missing, wrong, or by a key that is not pinned for the purpose.
    SignatureInvalid,
    /// The proof does not lead from the envelope to a checkpoint signed by the sender's log.
    ProofInvalid,
    /// It is for another exchange.
    NotForThisExchange,
    /// The authorisation does not allow it.
    OutsideAuthorisation,
    /// It arrived after its expiry.
    OrderExpired,
    /// Another envelope was received with this leg and revision.
    RevisionReused,
}

/// Whether an exchange holds an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The answer.
    pub answer: ConfirmationAnswer,
    /// The time that the answer is true of.
    pub as_of: Moment,
    /// Which wallets were searched.
    pub wallets_searched: BTreeSet<WalletRole>,
    /// With [`ConfirmationAnswer::Held`]: what the wallet is for, where the exchange says.
    pub wallet_role: Option<WalletRole>,
}

/// What an exchange can answer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfirmationAnswer {
    /// The address is the exchange's or a customer's there.
    Held,
    /// It was searched for and is not there.
    NotHeld,
    /// It could not be established now.
    Unknown,
}

/// A report that an exchange files by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspiciousActivity {
    /// The account.
    pub account: Target,
    /// The transfers it is about.
    pub transfers: Vec<TransferId>,
    /// In words, without personal data.
    pub summary: String,
}

#[cfg(test)]
mod tests {
    use super::LegState::{
        Accepted, Answered, Binding, Expired, FrozenFull, FrozenPartial, Refused, Released, Superseded,
    };

    #[test]
    fn a_state_that_binds_is_not_final_and_the_other_way_round() {
        for state in [Binding, FrozenPartial, FrozenFull] {
            assert!(state.is_binding_or_later() && !state.is_final(), "{state:?}");
        }
        for state in [Refused, Superseded, Released, Expired, Answered] {
            assert!(state.is_final() && !state.is_binding_or_later(), "{state:?}");
        }
        assert!(!Accepted.is_binding_or_later() && !Accepted.is_final());
    }
}
