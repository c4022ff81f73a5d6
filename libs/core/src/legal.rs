//! What a legal basis allows: rules that an agency's lawyers write, as data.
//!
//! Which provision allows which kind of request to which agency, under how many further persons' approval, for how
//! long, up to how much: none of it is in code, because all of it changes with the law. What *is* in code is what no
//! rules may switch off: an act against someone's property is never one person's decision.

mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use thiserror::Error;
use time::Duration;

use crate::{AgencyId, Amount, Asset, ChainId, Document, ExchangeId, Moment, Reason};

/// What an agency may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKind {
    /// Which exchange holds an address?
    ConfirmAddress,
    /// Follow the money from an address.
    Watch,
    /// Freeze what a watch finds arriving.
    StandingFreeze,
    /// Freeze at named accounts now.
    Freeze,
    /// Release what was frozen.
    Release,
    /// Stop orders going out.
    Halt,
    /// Let orders go out again.
    Resume,
    /// End a watch before its period is over.
    EndWatch,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::ConfirmAddress,
        Self::Watch,
        Self::StandingFreeze,
        Self::Freeze,
        Self::Release,
        Self::Halt,
        Self::Resume,
        Self::EndWatch,
    ];

    /// The name in rules and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfirmAddress => "confirm-address",
            Self::Watch => "watch",
            Self::StandingFreeze => "standing-freeze",
            Self::Freeze => "freeze",
            Self::Release => "release",
            Self::Halt => "halt",
            Self::Resume => "resume",
            Self::EndWatch => "end-watch",
        }
    }

    /// Whether a person alone may ever have it done: a question touches nobody's property, a brake must not wait, and nobody
    /// is harmed by not being watched.
    const fn may_go_unapproved(self) -> bool {
        matches!(self, Self::ConfirmAddress | Self::Halt | Self::EndWatch)
    }

    /// Whether it is done under the document. Giving back, braking and ending need none, and must not end with it.
    pub const fn needs_document(self) -> bool {
        !matches!(self, Self::Release | Self::Halt | Self::Resume | Self::EndWatch)
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RequestKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{name}` is no kind of request; the kinds are {known}")
        })
    }
}

/// All legal bases, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalRules(BTreeMap<String, LegalBasis>);

/// What one legal basis allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalBasis {
    name: String,
    citation: String,
    document_required: bool,
    exchanges: Option<BTreeSet<ExchangeId>>,
    approve_within: Duration,
    question_period: Duration,
    watch_period: Option<Duration>,
    look_back: Option<Duration>,
    freeze_period: Option<Duration>,
    limits: Limits,
    caps: Caps,
    agencies: BTreeMap<AgencyId, BTreeMap<RequestKind, u32>>,
}

/// How far a watch and its standing freeze may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Transfers from the root.
    pub max_hops: u32,
    /// Addresses under watch.
    pub max_addresses: u32,
    /// Questions to exchanges.
    pub max_questions: u32,
    /// Counterparties beyond which an address is taken for a service.
    pub max_degree: u32,
    /// Legs opened within an hour.
    pub max_legs_per_hour: u32,
    /// Distinct account holders.
    pub max_holders: u32,
    /// Watches of one case that are under way at the same time; none where it does not matter how many.
    pub max_watches_of_case: Option<u32>,
    /// Watches of the agency that are under way at the same time, under whatever basis; likewise.
    pub max_watches_of_agency: Option<u32>,
}

/// The most that may be frozen: for an asset, else for any asset of its chain, else for any asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Caps {
    assets: BTreeMap<Asset, Amount>,
    chains: BTreeMap<ChainId, Amount>,
    any: Option<Amount>,
}

/// What a legal basis does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAllowed {
    /// The rules have no such basis.
    #[error("the rules know no legal basis of this name")]
    UnknownBasis,
    /// Not this kind, or not to this agency.
    #[error("the legal basis does not allow {0} to this agency")]
    Kind(RequestKind),
    /// Not to this exchange.
    #[error("the legal basis does not reach this exchange")]
    Exchange,
    /// No document where one is required.
    #[error("the legal basis requires a document")]
    DocumentMissing,
    /// The document is over.
    #[error("the document is not valid any more")]
    DocumentExpired,
    /// The document is dated later than now.
    #[error("the document is not valid yet")]
    DocumentNotYet,
    /// Too long.
    #[error("the legal basis allows at most {} hours", .0.whole_hours())]
    Period(Duration),
    /// No period at all.
    #[error("the legal basis allows none")]
    NoPeriod,
    /// Too much.
    #[error("the legal basis allows at most {0} of this asset")]
    Cap(Amount),
    /// None of this asset.
    #[error("the legal basis allows no freeze of this asset")]
    NoCap,
    /// Too wide.
    #[error("the legal basis allows at most {0}")]
    Limit(u32),
    /// Too many watches of the case.
    #[error("the legal basis allows at most {0} watches of a case at the same time")]
    WatchesOfCase(u32),
    /// Too many watches of the agency.
    #[error("the legal basis allows at most {0} watches of an agency at the same time")]
    WatchesOfAgency(u32),
}

impl From<NotAllowed> for Reason {
    fn from(fault: NotAllowed) -> Self {
        match fault {
            NotAllowed::UnknownBasis => Self::UnknownLegalBasis,
            NotAllowed::Kind(_) | NotAllowed::Exchange => Self::KindNotAllowed,
            NotAllowed::DocumentMissing => Self::DocumentMissing,
            NotAllowed::DocumentExpired | NotAllowed::DocumentNotYet => Self::DocumentExpired,
            NotAllowed::Period(_) | NotAllowed::NoPeriod => Self::PeriodOverLimit,
            NotAllowed::Cap(_) | NotAllowed::NoCap => Self::CapOverLimit,
            NotAllowed::Limit(_) => Self::LimitOverLimit,
            NotAllowed::WatchesOfCase(_) | NotAllowed::WatchesOfAgency(_) => Self::TooManyWatches,
        }
    }
}

impl LegalRules {
    /// The basis of that name.
    ///
    /// # Errors
    /// [`NotAllowed::UnknownBasis`].
    pub fn basis(&self, name: &str) -> Result<&LegalBasis, NotAllowed> {
        self.0.get(name).ok_or(NotAllowed::UnknownBasis)
    }
}

impl LegalBasis {
    /// Its name in the rules.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provision, as printed on an order.
    pub fn citation(&self) -> &str {
        &self.citation
    }

    /// How long a request may wait for approval.
    pub fn approve_within(&self) -> Duration {
        self.approve_within
    }

    /// How long a question about an address may be put, counted from the approval. Zero where none is allowed.
    pub fn question_period(&self) -> Duration {
        self.question_period
    }

    /// How many other persons must approve.
    ///
    /// # Errors
    /// [`NotAllowed::Kind`].
    pub fn approvals(&self, agency: &AgencyId, kind: RequestKind) -> Result<u32, NotAllowed> {
        let kinds = self.agencies.get(agency).ok_or(NotAllowed::Kind(kind))?;
        kinds.get(&kind).copied().ok_or(NotAllowed::Kind(kind))
    }

    /// Whether it reaches this exchange.
    ///
    /// # Errors
    /// [`NotAllowed::Exchange`].
    pub fn exchange(&self, exchange: &ExchangeId) -> Result<(), NotAllowed> {
        let reached = self.exchanges.as_ref().is_none_or(|only| only.contains(exchange));
        if reached { Ok(()) } else { Err(NotAllowed::Exchange) }
    }

    /// Whether the document, or its absence, carries this kind of request now. To be asked again when the request is
    /// approved: a warrant may have run out meanwhile.
    ///
    /// # Errors
    /// [`NotAllowed::DocumentMissing`], [`NotAllowed::DocumentExpired`], [`NotAllowed::DocumentNotYet`].
    pub fn document(&self, kind: RequestKind, document: Option<&Document>, now: Moment) -> Result<(), NotAllowed> {
        match document {
            _ if !kind.needs_document() => Ok(()),
            None if self.document_required => Err(NotAllowed::DocumentMissing),
            Some(document) if document.valid_until <= now => Err(NotAllowed::DocumentExpired),
            Some(document) if document.issued_at > now => Err(NotAllowed::DocumentNotYet),
            _ => Ok(()),
        }
    }

    /// Whether a watch may last so long.
    ///
    /// # Errors
    /// [`NotAllowed::Period`], [`NotAllowed::NoPeriod`].
    pub fn watch_period(&self, period: Duration) -> Result<Duration, NotAllowed> {
        within(period, self.watch_period)
    }

    /// Whether a watch may begin so long ago.
    ///
    /// # Errors
    /// [`NotAllowed::Period`], [`NotAllowed::NoPeriod`].
    pub fn look_back(&self, period: Duration) -> Result<Duration, NotAllowed> {
        within(period, self.look_back)
    }

    /// The earliest moment at which a watch may begin that is asked for now; none where it may not begin in the past.
    pub fn not_before(&self, now: Moment) -> Option<Moment> {
        now.checked_sub(self.look_back?)
    }

    /// Whether a freeze may last so long.
    ///
    /// # Errors
    /// [`NotAllowed::Period`], [`NotAllowed::NoPeriod`].
    pub fn freeze_period(&self, period: Duration) -> Result<Duration, NotAllowed> {
        within(period, self.freeze_period)
    }

    /// Whether so much of an asset may be frozen.
    ///
    /// # Errors
    /// [`NotAllowed::Cap`], [`NotAllowed::NoCap`].
    pub fn cap(&self, asset: &Asset, amount: Amount) -> Result<(), NotAllowed> {
        let caps = &self.caps;
        let most = caps.assets.get(asset).or_else(|| caps.chains.get(asset.chain())).or(caps.any.as_ref());
        match most {
            None => Err(NotAllowed::NoCap),
            Some(most) if amount > *most => Err(NotAllowed::Cap(*most)),
            Some(_) => Ok(()),
        }
    }

    /// Whether one more watch may begin where so many of the case and of the agency are under way.
    ///
    /// # Errors
    /// [`NotAllowed::WatchesOfCase`], [`NotAllowed::WatchesOfAgency`].
    pub fn another_watch(&self, of_case: u64, of_agency: u64) -> Result<(), NotAllowed> {
        let full = |most: Option<u32>, now: u64| most.filter(|most| now >= u64::from(*most));
        match (full(self.limits.max_watches_of_case, of_case), full(self.limits.max_watches_of_agency, of_agency)) {
            (Some(most), _) => Err(NotAllowed::WatchesOfCase(most)),
            (None, Some(most)) => Err(NotAllowed::WatchesOfAgency(most)),
            (None, None) => Ok(()),
        }
    }

    /// One of the [`Limits`]: what was asked for, or the basis' own where 0 was.
    ///
    /// # Errors
    /// [`NotAllowed::Limit`] where more was asked for.
    pub fn limit(&self, which: fn(&Limits) -> u32, asked: u32) -> Result<u32, NotAllowed> {
        let most = which(&self.limits);
        match asked {
            0 => Ok(most),
            asked if asked <= most => Ok(asked),
            _ => Err(NotAllowed::Limit(most)),
        }
    }
}

fn within(period: Duration, most: Option<Duration>) -> Result<Duration, NotAllowed> {
    match most {
        None => Err(NotAllowed::NoPeriod),
        Some(most) if period > most => Err(NotAllowed::Period(most)),
        Some(_) => Ok(period),
    }
}
