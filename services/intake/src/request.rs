//! A request as it is kept, and as it travels.

use haetae_core::{AuthorisationId, CaseRef, ExchangeId, Moment, RequestId, WatchId};
use haetae_wire::{convert::timestamp, intake::v1};

use crate::{
    approval::{Life, State},
    grant::Granted,
    proposal::{Asked, Proposal},
};

/// A request and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    /// The system it was submitted through.
    pub(crate) system: String,
    pub(crate) case: CaseRef,
    pub(crate) proposal: Proposal,
    pub(crate) life: Life,
    pub(crate) submitted_at: Moment,
    /// Why it was rejected or cancelled, or closed without having been carried out.
    pub(crate) reason: String,
    /// The watch it started or armed, once granted.
    pub(crate) watch: Option<WatchId>,
    pub(crate) watch_until: Option<Moment>,
    pub(crate) freeze_until: Option<Moment>,
    pub(crate) ends_at: Option<Moment>,
    /// What was signed for it.
    pub(crate) authorisations: Vec<(ExchangeId, AuthorisationId)>,
    /// Version of its stream in the log.
    pub(crate) version: u64,
}

impl Request {
    /// Its stream in the log.
    pub(crate) fn stream(&self) -> String {
        format!("request/{}", self.id)
    }

    /// What its entries are about.
    pub(crate) fn subject(&self) -> String {
        format!("case/{}/{}", self.case.agency, self.case.number)
    }

    /// Takes in what a grant settled.
    pub(crate) fn take(&mut self, granted: &Granted) {
        self.watch = granted.watch;
        self.watch_until = granted.watch_until;
        self.freeze_until = granted.freeze_until;
        self.ends_at = granted.ends_at;
        self.proposal.exchanges.clone_from(&granted.exchanges);
        self.authorisations =
            granted.authorisations.iter().map(|signed| (signed.exchange.clone(), signed.id)).collect();
    }

    /// The authorisations as they travel.
    pub(crate) fn refs(&self) -> Vec<v1::AuthorisationRef> {
        let refs = self.authorisations.iter().map(|(exchange, id)| v1::AuthorisationRef {
            exchange: exchange.to_string(),
            authorisation_id: id.to_string(),
        });
        refs.collect()
    }
}

impl From<&Request> for v1::Request {
    fn from(request: &Request) -> Self {
        let started = matches!(request.proposal.asked, Asked::Watch(_));
        Self {
            request_id: request.id.to_string(),
            state: v1::RequestState::from(request.life.state).into(),
            case: Some((&request.case).into()),
            content: Some((&request.proposal).into()),
            decisions: request.life.decisions.iter().map(Into::into).collect(),
            approvals_needed: request.life.needed,
            submitted_at: Some(timestamp(request.submitted_at)),
            lapses_at: Some(timestamp(request.life.lapses_at)),
            watch_id: request.watch.filter(|_| started).map(|id| id.to_string()).unwrap_or_default(),
            authorisations: request.refs(),
            reason: request.reason.clone(),
        }
    }
}

impl From<State> for v1::RequestState {
    fn from(state: State) -> Self {
        match state {
            State::AwaitingApproval => Self::AwaitingApproval,
            State::Approved => Self::Approved,
            State::InEffect => Self::InEffect,
            State::Closed => Self::Closed,
            State::Rejected => Self::Rejected,
            State::Cancelled => Self::Cancelled,
            State::Lapsed => Self::Lapsed,
        }
    }
}

impl State {
    /// The state a list is narrowed to; none for all.
    pub(crate) fn from_wire(state: v1::RequestState) -> Option<Self> {
        Self::ALL.into_iter().find(|own| v1::RequestState::from(*own) == state)
    }
}
