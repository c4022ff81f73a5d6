//! From what was found to what is said: entries of the log, and items that are shown.

use haetae_core::{
    Account, Arrival, Asset, ChainId, Crossing, LegId, Moment, Reason, RequestId, Target, TransferId, WatchId,
};
use haetae_ledger::{Expected, NewEntry};
use haetae_seal::dsse::SigningKey;
use haetae_wire::convert::timestamp;
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::signed::sign_arrival;
use haetae_wire::tracking::v1::{self as wire, trail_item::Item};
use prost::Message as _;

use crate::db::watch::WatchRow;
use crate::knowledge::Holder;
use crate::labels::Found;
use crate::question::{Answer, Asker, Conclusion, Question};
use crate::said::{ArrivalState, Change, Finality, SaidArrival, SaidEnd, SaidHop, TrailEnd};
use crate::terms::Terms;
use crate::trail::{EndReason, Payer, Sighting};
use crate::waiting::{Fate, Payment, Waits};
use crate::watched::Watched;

/// Who says it, in the log.
pub(crate) const ACTOR: &str = "service:tracking";

/// Kinds of what becomes of a watch.
pub(crate) const WATCH_ACTIVE: &str = "watch-active";
pub(crate) const WATCH_CATCHING_UP: &str = "watch-catching-up";

/// Kind of a question as it goes to its exchange.
pub(crate) const QUESTION: &str = "question";

/// Something to be said: an entry of the log, and where it belongs to a watch, an item that is shown.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) entry: NewEntry,
    pub(crate) item: Option<(WatchId, Vec<u8>)>,
}

/// An entry that any state of its stream allows: what keeps decisions apart is a lock on the chain or the request.
pub(crate) fn entry(stream: String, subject: String, kind: &'static str, payload: Vec<u8>, now: Moment) -> NewEntry {
    let (expected, actor) = (Expected::Any, ACTOR.to_owned());
    NewEntry { stream, expected, kind, subject, actor, audience: None, payload, time: now }
}

fn of_watch(watch: WatchId, kind: &'static str, payload: Vec<u8>, item: Option<Item>, now: Moment) -> Told {
    let subject = watch_subject(watch);
    // Numbers are given when it is stored.
    let item = item.map(|item| wire::TrailItem { number: 0, time: Some(timestamp(now)), item: Some(item) });
    Told {
        entry: entry(subject.clone(), subject, kind, payload, now),
        item: item.map(|item| (watch, item.encode_to_vec())),
    }
}

/// Stream and subject of what a watch finds.
pub(crate) fn watch_subject(watch: WatchId) -> String {
    format!("watch/{watch}")
}

/// A change to what was said about a transfer. What arrived and is settled is signed; what ends because of a label names
/// that.
pub(crate) fn change(terms: &Terms, change: &Change, label: Option<&Found>, arrive: &SigningKey, now: Moment) -> Told {
    let watch = terms.watch;
    match change {
        Change::Hop { sighting, hop } => {
            let hop = hop_message(terms, sighting, hop);
            of_watch(watch, "hop", hop.encode_to_vec(), Some(Item::Hop(hop)), now)
        }
        Change::Finality { sighting, finality } => {
            finality_changed(watch, &sighting.transfer, *finality, sighting.place.block, &sighting.block_hash, now)
        }
        Change::Arrival { sighting, arrival } => arrived(terms, sighting, arrival, arrive, now),
        Change::Ended { sighting, account, end } => {
            let ended = wire::TrailEnded {
                label: label.map(Found::shown),
                ..ended_message(terms, &sighting.asset, Some(&sighting.transfer), account, end)
            };
            of_watch(watch, "trail-ended", ended.encode_to_vec(), Some(Item::Ended(ended)), now)
        }
        Change::NotEnded { sighting, account, end } => {
            let ended = ended_message(terms, &sighting.asset, Some(&sighting.transfer), account, end);
            let ended = wire::TrailEnded { retracted: true, ..ended };
            of_watch(watch, "trail-ended", ended.encode_to_vec(), Some(Item::Ended(ended)), now)
        }
        Change::Reached { account, reached } => {
            let target = Some(exchange::Target::from(&Target::account(account.clone())));
            let message = wire::AddressReached { watch_id: watch.to_string(), target, reached: *reached };
            of_watch(watch, "address-reached", message.encode_to_vec(), Some(Item::Reached(message)), now)
        }
        Change::EndedAtRoot { account, asset, end } => {
            let ended = ended_message(terms, asset, None, account, end);
            of_watch(watch, "trail-ended", ended.encode_to_vec(), Some(Item::Ended(ended)), now)
        }
    }
}

/// How final a hop is changed.
pub(crate) fn finality_changed(
    watch: WatchId,
    transfer: &TransferId,
    finality: Finality,
    block_number: u64,
    block_hash: &str,
    now: Moment,
) -> Told {
    let changed = wire::FinalityChanged {
        hop_id: transfer.hop(watch).to_string(),
        watch_id: watch.to_string(),
        finality: finality_of(finality).into(),
        block_number,
        block_hash: block_hash.to_owned(),
    };
    of_watch(watch, "hop-finality", changed.encode_to_vec(), Some(Item::Finality(changed)), now)
}

/// A transaction waits, or waits no more.
pub(crate) fn waiting(chain: &ChainId, waits: &Waits, fate: Fate, payments: &[Payment], now: Moment) -> Told {
    use wire::WaitingState as State;
    let (state, by, block) = match fate {
        Fate::Seen => (State::Seen, None, 0),
        Fate::Replaced { by } => (State::Replaced, Some(by), 0),
        Fate::Dropped => (State::Dropped, None, 0),
        Fate::Included { block } => (State::Included, None, block),
    };
    let payment = |payment: &Payment| wire::WaitingPayment {
        from: payment.from.to_string(),
        to: payment.to.to_string(),
        asset: payment.asset.to_string(),
        amount: payment.amount.to_string(),
    };
    let message = wire::Waiting {
        watch_id: waits.watch.to_string(),
        chain: chain.to_string(),
        transaction: chain.hash(waits.transaction),
        state: state.into(),
        replaced_by: by.map(|by| chain.hash(by)).unwrap_or_default(),
        block_number: block,
        payments: payments.iter().map(payment).collect(),
    };
    of_watch(waits.watch, "waiting", message.encode_to_vec(), Some(Item::Waiting(message)), now)
}

fn arrived(terms: &Terms, sighting: &Sighting, said: &SaidArrival, key: &SigningKey, now: Moment) -> Told {
    let watch = terms.watch;
    let arrival = Arrival {
        id: sighting.transfer.arrival(watch),
        watch,
        transfer: sighting.transfer.clone(),
        target: Target::account(sighting.to.clone()),
        exchange: said.holder.exchange.clone(),
        asset: sighting.asset.clone(),
        amount: sighting.amount,
        traced: said.traced,
        rule: terms.rule,
        block_number: sighting.place.block,
        block_hash: sighting.block_hash.clone(),
        seen_at: sighting.seen_at,
        wallet_role: said.holder.role,
    };
    let message = wire::Arrived {
        arrival: Some(exchange::Arrival::from(&arrival)),
        wallet_role: role_of(&said.holder).into(),
        state: arrival_state_of(said.state).into(),
    };
    let moved = || wire::ArrivalMoved { request_id: terms.request.to_string(), arrived: Some(message.clone()) };
    let (kind, payload) = match said.state {
        ArrivalState::Settled => ("arrival", sign_arrival(&arrival, key)),
        ArrivalState::HeldBack => ("arrival-held-back", moved().encode_to_vec()),
        ArrivalState::Retracted => ("arrival-retracted", moved().encode_to_vec()),
    };
    of_watch(watch, kind, payload, Some(Item::Arrived(message)), now)
}

/// What exchanges say about an account changed.
pub(crate) fn concluded(asker: Asker, subject: &str, target: &Target, conclusion: &Conclusion, now: Moment) -> Told {
    let (watch_id, request_id) = match asker {
        Asker::Watch(id) => (id.to_string(), String::new()),
        Asker::Request(id) => (String::new(), id.to_string()),
    };
    let holder = match conclusion {
        Conclusion::Held(holder) | Conclusion::Conflict(holder) => Some(holder.exchange.to_string()),
        _ => None,
    };
    let message = wire::AddressConcluded {
        watch_id,
        request_id,
        target: Some(exchange::Target::from(target)),
        conclusion: conclusion_of(conclusion).into(),
        exchange: holder.unwrap_or_default(),
    };
    let kind = "address-concluded";
    match asker {
        Asker::Watch(watch) => of_watch(watch, kind, message.encode_to_vec(), Some(Item::Address(message)), now),
        Asker::Request(request) => {
            let entry = entry(request_stream(request), subject.to_owned(), kind, message.encode_to_vec(), now);
            Told { entry, item: None }
        }
    }
}

/// An exchange answered a confirm-address request, or did not. `order` is as for [`confirmation_line`].
pub(crate) fn answered(request: RequestId, question: &Question, order: Vec<u8>, now: Moment) -> Told {
    let line = Some(confirmation_line(question, order));
    let message = wire::ConfirmationAnswered { request_id: request.to_string(), line };
    let subject = question.subject.clone();
    let entry = entry(request_stream(request), subject, "confirmation-answered", message.encode_to_vec(), now);
    Told { entry, item: None }
}

/// A question as it goes to its exchange: the exact bytes of the order's envelope.
pub(crate) fn question(question: &Question, envelope: Vec<u8>, now: Moment) -> Told {
    let entry = entry(question_stream(question.leg), question.subject.clone(), QUESTION, envelope, now);
    Told { entry: NewEntry { audience: Some(question.exchange.to_string()), ..entry }, item: None }
}

/// Stream of what an exchange is asked about an account.
pub(crate) fn question_stream(leg: LegId) -> String {
    format!("question/{leg}")
}

/// A watch begins or ends.
pub(crate) fn watch_moved(kind: &'static str, row: &WatchRow, watched: &Watched, now: Moment) -> Told {
    let message = wire::WatchMoved { watch: Some(watch(row, watched)) };
    of_watch(row.terms.watch, kind, message.encode_to_vec(), None, now)
}

/// A watch is not taken up.
pub(crate) fn watch_refused(terms: &Terms, reason: Reason, now: Moment) -> Told {
    let message = wire::WatchRefused {
        watch_id: terms.watch.to_string(),
        request_id: terms.request.to_string(),
        reason: reason.name().to_owned(),
    };
    of_watch(terms.watch, "watch-refused", message.encode_to_vec(), None, now)
}

/// A watch, for those who ask.
pub(crate) fn watch(row: &WatchRow, watched: &Watched) -> wire::Watch {
    let totals = watched.totals().into_iter().map(|(asset, totals)| wire::TracedTotals {
        asset: asset.to_string(),
        stolen: totals.stolen.to_string(),
        arrived: totals.arrived.to_string(),
        in_flight: totals.in_flight.to_string(),
        ended: totals.ended.to_string(),
    });
    let state = match row.catching_up {
        Some(_) => wire::WatchState::CatchingUp,
        None if row.active => wire::WatchState::Active,
        None => wire::WatchState::Ended,
    };
    wire::Watch {
        watch_id: row.terms.watch.to_string(),
        request_id: row.terms.request.to_string(),
        root: Some(exchange::Target::from(&row.terms.root)),
        state: state.into(),
        active_after_block: row.active_after,
        until: Some(timestamp(row.until)),
        totals: totals.collect(),
        // With the root.
        addresses: watched.knowledge().admitted().saturating_add(1),
        questions: watched.knowledge().questions(),
        taint_rule: exchange::TaintRule::from(row.terms.rule).into(),
        catching_up: row.catching_up.map(|way| wire::CatchingUp {
            begun: way.read.is_some(),
            read_block: way.read.unwrap_or_default(),
            head_block: way.head,
        }),
    }
}

/// The answers to a confirm-address request.
pub(crate) fn confirmation(
    request: RequestId,
    target: &Target,
    conclusion: &Conclusion,
    lines: Vec<wire::ConfirmationLine>,
) -> wire::Confirmation {
    wire::Confirmation {
        request_id: request.to_string(),
        target: Some(exchange::Target::from(target)),
        conclusion: conclusion_of(conclusion).into(),
        lines,
    }
}

/// What an exchange says about an account. `order` is the order that its statement answers, as
/// [`Voice::order_answered`](crate::voice::Voice::order_answered) has it.
pub(crate) fn confirmation_line(question: &Question, order: Vec<u8>) -> wire::ConfirmationLine {
    use haetae_core::ConfirmationAnswer::{Held, NotHeld, Unknown};
    let said = match &question.answer {
        Answer::Said(said) => Some(said),
        _ => None,
    };
    let answer = match (&question.answer, said.map(|said| said.answer)) {
        (_, Some(Held)) => wire::Answer::Held,
        (_, Some(NotHeld)) => wire::Answer::NotHeld,
        (_, Some(Unknown)) => wire::Answer::Unknown,
        (Answer::Unavailable, _) => wire::Answer::Unavailable,
        (Answer::Refused { .. }, _) => wire::Answer::Refused,
        (Answer::Pending | Answer::Said(_), _) => wire::Answer::Pending,
    };
    let role = |role: haetae_core::WalletRole| i32::from(exchange::WalletRole::from(role));
    wire::ConfirmationLine {
        exchange: question.exchange.to_string(),
        answer: answer.into(),
        as_of: said.map(|said| timestamp(said.as_of)),
        wallets_searched: said.map(|said| said.searched.iter().copied().map(role).collect()).unwrap_or_default(),
        wallet_role: said.and_then(|said| said.role).map(role).unwrap_or_default(),
        statement: question.statement.clone(),
        target: Some(exchange::Target::from(&question.target)),
        order,
    }
}

fn hop_message(terms: &Terms, sighting: &Sighting, hop: &SaidHop) -> wire::Hop {
    let watch = terms.watch;
    wire::Hop {
        hop_id: sighting.transfer.hop(watch).to_string(),
        watch_id: watch.to_string(),
        transfer: Some(exchange::Transfer::from(&sighting.transfer)),
        from: sighting.from.to_string(),
        to: sighting.to.to_string(),
        asset: sighting.asset.to_string(),
        amount: sighting.amount.to_string(),
        traced_amount: hop.traced.to_string(),
        depth: hop.depth,
        finality: finality_of(hop.finality).into(),
        block_number: sighting.place.block,
        block_hash: sighting.block_hash.clone(),
        provisional: hop.provisional,
        taint_rule: exchange::TaintRule::from(terms.rule).into(),
        payers: hop.payers.iter().map(payer).collect(),
    }
}

/// One of several who brought traced money to a transaction, on the wire.
pub(crate) fn payer(payer: &Payer) -> wire::Payer {
    wire::Payer { account: payer.account.to_string(), traced_amount: payer.traced.to_string() }
}

fn ended_message(
    terms: &Terms,
    asset: &Asset,
    transfer: Option<&TransferId>,
    account: &Account,
    end: &SaidEnd,
) -> wire::TrailEnded {
    wire::TrailEnded {
        watch_id: terms.watch.to_string(),
        account: account.to_string(),
        asset: asset.to_string(),
        reason: end_reason(end.reason).into(),
        traced_amount: end.traced.to_string(),
        transfer: transfer.map(exchange::Transfer::from),
        taint_rule: exchange::TaintRule::from(terms.rule).into(),
        retracted: false,
        label: None,
    }
}

/// Why a trail ends, as it is told.
pub(crate) fn end_reason(end: TrailEnd) -> wire::TrailEndReason {
    use wire::TrailEndReason as Reason;
    match end {
        TrailEnd::Held => Reason::Held,
        TrailEnd::Dust => Reason::Dust,
        TrailEnd::Other(EndReason::Contract) => Reason::Contract,
        TrailEnd::Other(EndReason::ServiceLike) => Reason::ServiceLike,
        TrailEnd::Other(EndReason::HopLimit) => Reason::HopLimit,
        TrailEnd::Other(EndReason::AddressLimit) => Reason::AddressLimit,
        TrailEnd::Other(EndReason::QuestionLimit) => Reason::QuestionLimit,
        TrailEnd::Other(EndReason::BalanceUnknown) => Reason::BalanceUnknown,
        TrailEnd::Other(EndReason::NoAddress) => Reason::NoAddress,
        TrailEnd::Other(EndReason::Crossing(Crossing::Mixer)) => Reason::Mixer,
        TrailEnd::Other(EndReason::Crossing(Crossing::Bridge)) => Reason::Bridge,
        TrailEnd::Other(EndReason::Crossing(Crossing::PrivacyPool)) => Reason::PrivacyPool,
        TrailEnd::Fee => Reason::Fee,
        TrailEnd::LeftBefore => Reason::LeftBefore,
    }
}

/// Where an arrival stands, on the wire.
pub(crate) fn arrival_state_of(state: ArrivalState) -> wire::ArrivalState {
    match state {
        ArrivalState::Settled => wire::ArrivalState::Settled,
        ArrivalState::HeldBack => wire::ArrivalState::HeldBack,
        ArrivalState::Retracted => wire::ArrivalState::Retracted,
    }
}

/// How final a hop is, on the wire.
pub(crate) fn finality_of(finality: Finality) -> wire::Finality {
    match finality {
        Finality::Seen => wire::Finality::Seen,
        Finality::Confirmed => wire::Finality::Confirmed,
        Finality::Final => wire::Finality::Final,
        Finality::Retracted => wire::Finality::Retracted,
    }
}

fn conclusion_of(conclusion: &Conclusion) -> wire::Conclusion {
    match conclusion {
        Conclusion::Pending | Conclusion::Open => wire::Conclusion::Open,
        Conclusion::Held(_) => wire::Conclusion::Held,
        Conclusion::NotHeld => wire::Conclusion::NotHeld,
        Conclusion::Conflict(_) => wire::Conclusion::Conflict,
    }
}

fn role_of(holder: &Holder) -> exchange::WalletRole {
    holder.role.map_or(exchange::WalletRole::Unspecified, exchange::WalletRole::from)
}

/// Stream of what becomes of a confirm-address request here.
fn request_stream(request: RequestId) -> String {
    format!("confirmation/{request}")
}
