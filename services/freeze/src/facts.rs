//! The facts of freeze's log.

use haetae_core::{CaseRef, ExchangeId, LegId, Moment, RequestId};
use haetae_ledger::{Expected, NewEntry};
use haetae_wire::{
    convert::{asset_amounts, timestamp},
    exchange::v1::{LegState, RefusalReason},
    freeze::v1,
};
use prost::Message;

use crate::leg::{Desired, Leg};
use crate::standing::{Found, Terms, Unserved};

const ACTOR: &str = "service:freeze";

/// Kind of a signed order.
pub(crate) const ORDER: &str = "order";

/// The signed order of a leg, addressed to its exchange.
pub(crate) fn order(leg: LegId, exchange: &ExchangeId, envelope: Vec<u8>, now: Moment) -> NewEntry {
    NewEntry { audience: Some(exchange.to_string()), ..about_leg(leg, ORDER, envelope, now) }
}

/// A leg as it is now.
pub(crate) fn leg(leg: &Leg, now: Moment) -> NewEntry {
    let fact = v1::LegChanged { leg: Some(leg_message(leg)) };
    about_leg(leg.id, "leg", fact.encode_to_vec(), now)
}

/// Arrivals of a watch will be frozen.
pub(crate) fn armed(request: RequestId, terms: &Terms, now: Moment) -> NewEntry {
    let fact = v1::StandingFreezeArmed {
        request_id: request.to_string(),
        watch_id: terms.watch.to_string(),
        caps: asset_amounts(&terms.caps),
        until: Some(timestamp(terms.until)),
    };
    about_watch(request, terms, "standing-freeze-armed", fact.encode_to_vec(), now)
}

/// An arrival is not frozen, or not in full.
pub(crate) fn unserved(request: RequestId, terms: &Terms, found: &Found, why: Unserved, now: Moment) -> NewEntry {
    let fact = v1::ArrivalUnserved {
        unserved: Some(v1::Unserved {
            arrival_id: found.arrival.to_string(),
            watch_id: terms.watch.to_string(),
            request_id: request.to_string(),
            reason: reason(why).into(),
            exchange: found.exchange.to_string(),
        }),
    };
    about_watch(request, terms, "arrival-unserved", fact.encode_to_vec(), now)
}

/// Nothing more is frozen under a request.
pub(crate) fn ended(request: RequestId, case: &CaseRef, now: Moment) -> NewEntry {
    let fact = v1::AuthorityEnded { request_id: request.to_string() };
    let subject = format!("case/{}/{}", case.agency, case.number);
    entry(format!("authority/{request}"), subject, "authority-ended", fact.encode_to_vec(), now)
}

/// A halt or a resume, addressed to an exchange that it reaches; `case` where it reaches one case only.
pub(crate) fn dispatch(
    halted: bool,
    request: RequestId,
    exchange: &ExchangeId,
    case: Option<&CaseRef>,
    now: Moment,
) -> NewEntry {
    let fact = v1::DispatchMoved {
        request_id: request.to_string(),
        exchange: exchange.to_string(),
        case: case.map(Into::into),
    };
    let kind = if halted { "dispatch-halted" } else { "dispatch-resumed" };
    let about = format!("exchange/{exchange}");
    NewEntry {
        audience: Some(exchange.to_string()),
        ..entry(format!("dispatch/{exchange}"), about, kind, fact.encode_to_vec(), now)
    }
}

/// A leg as others see it.
pub(crate) fn leg_message(leg: &Leg) -> v1::Leg {
    let (desired, cap, until) = match leg.desired {
        Desired::Frozen { cap, until } => (v1::DesiredState::Frozen, cap.to_string(), Some(timestamp(until))),
        Desired::Released => (v1::DesiredState::Released, String::new(), None),
    };
    let word = leg.reported;
    v1::Leg {
        leg_id: leg.id.to_string(),
        request_id: leg.request.to_string(),
        watch_id: leg.watch.map(|watch| watch.to_string()).unwrap_or_default(),
        exchange: leg.exchange.to_string(),
        target: Some((&leg.target).into()),
        asset: leg.asset.to_string(),
        revision: leg.revision(),
        desired: desired.into(),
        cap,
        until,
        reported: word.map_or(LegState::Unspecified, |word| word.state.into()).into(),
        reported_revision: word.map(|word| word.revision.get()).unwrap_or_default(),
        frozen_amount: word.and_then(|word| word.frozen).map(|amount| amount.to_string()).unwrap_or_default(),
        ordered_at: leg.ordered_at.map(timestamp),
        binding_at: leg.binding_at.map(timestamp),
        under_review: leg.under_review(),
        refusal: word.and_then(|word| word.refusal).map_or(RefusalReason::Unspecified, Into::into).into(),
        arrival_ids: leg.grounds.iter().map(|ground| ground.arrival.to_string()).collect(),
    }
}

fn reason(why: Unserved) -> v1::UnservedReason {
    match why {
        Unserved::NoCap => v1::UnservedReason::NoCap,
        Unserved::CapExhausted => v1::UnservedReason::CapExhausted,
        Unserved::Halted => v1::UnservedReason::Halted,
        Unserved::LegsPerHour => v1::UnservedReason::LegsPerHour,
        Unserved::Holders => v1::UnservedReason::Holders,
        Unserved::ExchangeNotAuthorised => v1::UnservedReason::ExchangeNotAuthorised,
        Unserved::AuthorityOver => v1::UnservedReason::AuthorityOver,
        Unserved::WalletRole => v1::UnservedReason::WalletRole,
    }
}

/// Stream and subject of what becomes of a leg.
pub(crate) fn about(leg: LegId) -> String {
    format!("leg/{leg}")
}

fn about_leg(leg: LegId, kind: &'static str, payload: Vec<u8>, now: Moment) -> NewEntry {
    entry(about(leg), about(leg), kind, payload, now)
}

fn about_watch(request: RequestId, terms: &Terms, kind: &'static str, payload: Vec<u8>, now: Moment) -> NewEntry {
    entry(format!("authority/{request}"), format!("watch/{}", terms.watch), kind, payload, now)
}

fn entry(stream: String, subject: String, kind: &'static str, payload: Vec<u8>, now: Moment) -> NewEntry {
    // Whoever decides holds the turn, so no decision is overtaken: any version of the stream will do.
    let (expected, actor) = (Expected::Any, ACTOR.to_owned());
    NewEntry { stream, expected, kind, subject, actor, audience: None, payload, time: now }
}
