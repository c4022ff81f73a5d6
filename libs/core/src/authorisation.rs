//! What people approved, as one exchange needs to see it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    AgencyId, Amount, Asset, AuthorisationId, ExchangeId, LegId, Moment, PersonId, RequestId, Target, UnitId, WatchId,
};

/// One request's authority towards one exchange. A revision is a new authorisation of the same *line*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorisation {
    /// Its own id.
    pub id: AuthorisationId,
    /// Grants, replaces, or ends.
    pub act: Act,
    /// The first authorisation of its line; its own id for a grant. Legs belong to the line.
    pub line: AuthorisationId,
    /// 1 for the grant, then rising; the highest is in force.
    pub amendment: u32,
    /// The exchange it is for.
    pub exchange: ExchangeId,
    /// The request that was approved.
    pub request: RequestId,
    /// The agency's case.
    pub case: CaseRef,
    /// The law it rests on.
    pub ground: LegalGround,
    /// What may be ordered.
    pub permitted: BTreeSet<OrderKind>,
    /// What about.
    pub subject: Subject,
    /// The most that may be frozen, per asset, over all legs. An asset without a cap is never frozen.
    pub caps: BTreeMap<Asset, Amount>,
    /// From when orders may be issued.
    pub valid_from: Moment,
    /// Until when orders may be issued.
    pub valid_until: Moment,
    /// The latest end of a freeze; none where none is permitted.
    pub freeze_until: Option<Moment>,
    /// Whether and when the customer may be told.
    pub confidentiality: Confidentiality,
    /// Whom the exchange may contact.
    pub officer: Officer,
    /// Who decided, in order of time.
    pub decisions: Vec<Decision>,
    /// When it was signed.
    pub issued_at: Moment,
    /// How much may be asked and ordered.
    pub budgets: Budgets,
}

/// What an authorisation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Gives authority for the first time.
    Grant,
    /// Replaces what the line allowed.
    Revise,
    /// Ends the line; or, where legs are named, releases only those.
    Cancel {
        /// The legs released; empty means all.
        legs: BTreeSet<LegId>,
    },
}

/// What may be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderKind {
    /// Say whether you hold an address.
    ConfirmAddress,
    /// Keep an amount from leaving, and release it again.
    Freeze,
}

/// What may be ordered about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// These accounts and no others.
    Targets(BTreeSet<Target>),
    /// Whatever a watch finds.
    Watch {
        /// The watch.
        watch: WatchId,
        /// Where it started.
        root: Target,
    },
}

/// An agency's case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseRef {
    /// The agency.
    pub agency: AgencyId,
    /// The unit.
    pub unit: UnitId,
    /// The agency's own case number.
    pub number: String,
}

/// The law an authorisation rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalGround {
    /// Name of the basis in the agency's rules.
    pub basis: String,
    /// The provision, as printed on an order.
    pub citation: String,
    /// The document, where there is one.
    pub document: Option<Document>,
    /// In an emergency, approval before the document exists: by when it must be filed.
    pub ratify_by: Option<Moment>,
}

/// A warrant or other document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its number.
    pub number: String,
    /// The court or office.
    pub issuer: String,
    /// When it was issued.
    pub issued_at: Moment,
    /// When it ceases to be valid.
    pub valid_until: Moment,
    /// SHA-256 of the document as filed.
    pub sha256: [u8; 32],
}

/// Whether and when the customer may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confidentiality {
    /// At once.
    Open,
    /// Later.
    Deferred {
        /// Why.
        ground: String,
        /// The day notice falls due.
        notice_due: Moment,
    },
}

/// The officer whom an exchange may contact. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Officer {
    /// Full name.
    pub name: String,
    /// Title or rank.
    pub title: String,
    /// Official address.
    pub address: String,
    /// Official e-mail address.
    pub email: String,
    /// Official telephone number.
    pub phone: String,
}

impl std::fmt::Debug for Officer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Officer(…)")
    }
}

/// Who decided what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Asked or approved.
    pub role: DecisionRole,
    /// Who.
    pub person: PersonId,
    /// When.
    pub at: Moment,
}

/// A person's part in a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionRole {
    /// Asked for it.
    Requested,
    /// Approved it.
    Approved,
}

/// How much may be asked and ordered under one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Confirmations at most.
    pub max_questions: u32,
    /// Legs opened within any hour at most.
    pub max_legs_per_hour: u32,
}
