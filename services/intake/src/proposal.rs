//! What an agency asks for, once it has been read: nothing in it can be malformed any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use haetae_core::{
    Amount, Asset, Confidentiality, Document, ExchangeId, LegId, Officer, RequestId, RequestKind, TaintRule, Target,
    WatchId, WatchStart,
};
use haetae_wire::{
    convert,
    exchange::v1 as exchange,
    intake::v1::{self, request_content::Kind},
};
use prost::Message;
use sha2::{Digest, Sha256};

/// A request's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) case_number: String,
    pub(crate) basis: String,
    pub(crate) document: Option<Document>,
    /// There for every kind that is put to exchanges.
    pub(crate) officer: Option<Officer>,
    /// There for every kind that is put to exchanges.
    pub(crate) confidentiality: Option<Confidentiality>,
    pub(crate) summary: String,
    /// Empty where the agency left it open.
    pub(crate) exchanges: BTreeSet<ExchangeId>,
    pub(crate) asked: Asked,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    ConfirmAddress(Target),
    Watch(Watch),
    StandingFreeze { watch: WatchId, terms: StandingTerms },
    Freeze { targets: BTreeSet<Target>, caps: BTreeMap<Asset, Amount>, period: Duration },
    Release { frozen_by: RequestId, legs: BTreeSet<LegId> },
    Halt(HaltScope),
    Resume(HaltScope),
    EndWatch(WatchId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) root: Target,
    pub(crate) stolen: BTreeMap<Asset, Amount>,
    pub(crate) period: Duration,
    pub(crate) limits: WatchLimits,
    pub(crate) standing_freeze: Option<StandingTerms>,
    /// None where it was left open, until the law has been applied.
    pub(crate) rule: Option<TaintRule>,
    /// None where it begins when it is taken up.
    pub(crate) start: Option<WatchStart>,
}

/// 0 stands for the basis' own limit until the law has been applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchLimits {
    pub(crate) max_hops: u32,
    pub(crate) dust: BTreeMap<Asset, Amount>,
    pub(crate) max_addresses: u32,
    pub(crate) max_questions: u32,
    pub(crate) max_degree: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StandingTerms {
    pub(crate) caps: BTreeMap<Asset, Amount>,
    pub(crate) period: Duration,
    /// 0 stands for the basis' own limit until the law has been applied.
    pub(crate) max_legs_per_hour: u32,
    pub(crate) max_holders: u32,
}

/// Which orders a halt stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HaltScope {
    Everything,
    Exchange(ExchangeId),
    /// A case of the caller's own agency.
    Case(String),
}

impl Asked {
    /// Its kind.
    pub(crate) fn kind(&self) -> RequestKind {
        match self {
            Self::ConfirmAddress(_) => RequestKind::ConfirmAddress,
            Self::Watch(_) => RequestKind::Watch,
            Self::StandingFreeze { .. } => RequestKind::StandingFreeze,
            Self::Freeze { .. } => RequestKind::Freeze,
            Self::Release { .. } => RequestKind::Release,
            Self::Halt(_) => RequestKind::Halt,
            Self::Resume(_) => RequestKind::Resume,
            Self::EndWatch(_) => RequestKind::EndWatch,
        }
    }
}

impl HaltScope {
    /// One spelling for each scope, by which a resume finds its halt.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Everything => "everything".to_owned(),
            Self::Exchange(exchange) => format!("exchange/{exchange}"),
            Self::Case(number) => format!("case/{number}"),
        }
    }
}

impl Proposal {
    /// Tells one content from another, however it was spelled.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(v1::RequestContent::from(self).encode_to_vec()).into()
    }
}

impl From<&Proposal> for v1::RequestContent {
    fn from(proposal: &Proposal) -> Self {
        Self {
            case_number: proposal.case_number.clone(),
            legal_basis: proposal.basis.clone(),
            document: proposal.document.as_ref().map(Into::into),
            officer: proposal.officer.as_ref().map(Into::into),
            confidentiality: proposal.confidentiality.as_ref().map(Into::into),
            summary: proposal.summary.clone(),
            exchanges: proposal.exchanges.iter().map(ToString::to_string).collect(),
            kind: Some((&proposal.asked).into()),
        }
    }
}

impl From<&Asked> for Kind {
    fn from(asked: &Asked) -> Self {
        match asked {
            Asked::ConfirmAddress(target) => Self::ConfirmAddress(v1::ConfirmAddress { target: Some(target.into()) }),
            Asked::Watch(watch) => Self::Watch(watch.into()),
            Asked::StandingFreeze { watch, terms } => {
                Self::StandingFreeze(v1::StandingFreeze { watch_id: watch.to_string(), terms: Some(terms.into()) })
            }
            Asked::Freeze { targets, caps, period } => Self::Freeze(v1::Freeze {
                targets: targets.iter().map(Into::into).collect(),
                caps: amounts(caps),
                freeze_period: Some(convert::duration(*period)),
            }),
            Asked::Release { frozen_by, legs } => Self::Release(v1::Release {
                frozen_by_request_id: frozen_by.to_string(),
                leg_ids: legs.iter().map(ToString::to_string).collect(),
            }),
            Asked::Halt(scope) => Self::Halt(v1::Halt { scope: Some(scope.into()) }),
            Asked::Resume(scope) => Self::Resume(v1::Resume { scope: Some(scope.into()) }),
            Asked::EndWatch(watch) => Self::EndWatch(v1::EndWatch { watch_id: watch.to_string() }),
        }
    }
}

impl From<&Watch> for v1::Watch {
    fn from(watch: &Watch) -> Self {
        Self {
            root: Some((&watch.root).into()),
            stolen: amounts(&watch.stolen),
            period: Some(convert::duration(watch.period)),
            limits: Some(v1::WatchLimits {
                max_hops: watch.limits.max_hops,
                dust: amounts(&watch.limits.dust),
                max_addresses: watch.limits.max_addresses,
                max_questions: watch.limits.max_questions,
                max_degree: watch.limits.max_degree,
            }),
            standing_freeze: watch.standing_freeze.as_ref().map(Into::into),
            taint_rule: watch.rule.map_or(exchange::TaintRule::Unspecified, Into::into).into(),
            start: watch.start.as_ref().map(|start| match start {
                WatchStart::Since(since) => v1::watch::Start::Since(convert::timestamp(*since)),
                WatchStart::Transaction(hash) => v1::watch::Start::Transaction(hash.clone()),
            }),
        }
    }
}

impl From<&StandingTerms> for v1::StandingFreezeTerms {
    fn from(terms: &StandingTerms) -> Self {
        Self {
            caps: amounts(&terms.caps),
            freeze_period: Some(convert::duration(terms.period)),
            max_legs_per_hour: terms.max_legs_per_hour,
            max_holders: terms.max_holders,
        }
    }
}

impl From<&HaltScope> for v1::HaltScope {
    fn from(scope: &HaltScope) -> Self {
        use v1::halt_scope::Scope;
        let scope = match scope {
            HaltScope::Everything => Scope::Everything(true),
            HaltScope::Exchange(exchange) => Scope::Exchange(exchange.to_string()),
            HaltScope::Case(number) => Scope::CaseNumber(number.clone()),
        };
        Self { scope: Some(scope) }
    }
}

fn amounts(amounts: &BTreeMap<Asset, Amount>) -> Vec<exchange::AssetAmount> {
    amounts.iter().map(Into::into).collect()
}
