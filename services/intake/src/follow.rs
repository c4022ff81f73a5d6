//! What others' logs say about requests: it moves them on and is told to those who follow updates.
//!
//! Nothing here is acted on towards an exchange, so the facts of tracking and freeze are taken as their sealed logs have
//! them. What a fact names that intake does not know is passed over: it is no reason to stop following.

use std::sync::Arc;

use async_trait::async_trait;
use haetae_core::{AuthorisationId, ExchangeId, LegId, Moment, RequestId, WatchId};
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use haetae_wire::{
    connector::v1 as connector,
    convert::timestamp,
    exchange::v1 as exchange,
    freeze::v1 as freeze,
    intake::v1::follow_updates_response::Update,
    tracking::v1::{self as tracking, trail_item::Item},
};
use prost::Message;
use sqlx::PgConnection;

use crate::{
    approval::Command,
    commands::{Fault, Intake},
    db::{self, Unit, watches::WatchState},
    proposal::Asked,
};

/// Acts on tracking's log.
pub(crate) struct Tracking(pub(crate) Arc<Intake>);

/// Acts on freeze's log.
pub(crate) struct Freeze(pub(crate) Arc<Intake>);

/// Reads from the log of an exchange's connector how the line is doing, and which orders a person has to call about.
pub(crate) struct Connector {
    pub(crate) exchange: ExchangeId,
    pub(crate) intake: Arc<Intake>,
}

#[async_trait]
impl Handler for Tracking {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let bytes = entry.payload.as_slice();
        match entry.kind.as_str() {
            "watch-catching-up" | "watch-active" | "watch-ended" => {
                let Some(watch) = tracking::WatchMoved::decode(bytes)?.watch else { return Ok(()) };
                self.watch_moved(tx, watch, entry).await
            }
            "watch-refused" => {
                let refused = tracking::WatchRefused::decode(bytes)?;
                let Some((id, unit)) = of_watch(tx, &refused.watch_id).await? else { return Ok(()) };
                db::updates::lock_unit(tx, &unit).await?;
                db::watches::put_state(tx, id, WatchState::Ended).await?;
                if let Ok(watch) = refused.watch_id.parse::<WatchId>() {
                    self.end_with(tx, watch, entry).await?;
                }
                self.0.advance_because(tx, id, Command::Close, &refused.reason, entry.time).await?;
                Ok(())
            }
            "hop" => {
                let hop = tracking::Hop::decode(bytes)?;
                self.found(tx, hop.watch_id.clone(), Item::Hop(hop), entry).await
            }
            "hop-finality" => {
                let finality = tracking::FinalityChanged::decode(bytes)?;
                self.found(tx, finality.watch_id.clone(), Item::Finality(finality), entry).await
            }
            "trail-ended" => {
                let ended = tracking::TrailEnded::decode(bytes)?;
                self.found(tx, ended.watch_id.clone(), Item::Ended(ended), entry).await
            }
            "address-reached" => {
                let reached = tracking::AddressReached::decode(bytes)?;
                self.found(tx, reached.watch_id.clone(), Item::Reached(reached), entry).await
            }
            "waiting" => {
                let waiting = tracking::Waiting::decode(bytes)?;
                self.found(tx, waiting.watch_id.clone(), Item::Waiting(waiting), entry).await
            }
            "arrival" => {
                let arrival = exchange::Arrival::decode(envelope(bytes)?.payload.as_slice())?;
                let arrived = tracking::Arrived {
                    wallet_role: arrival.wallet_role,
                    state: tracking::ArrivalState::Settled.into(),
                    arrival: Some(arrival),
                };
                self.arrived(tx, arrived, entry).await
            }
            "arrival-held-back" | "arrival-retracted" => {
                let Some(arrived) = tracking::ArrivalMoved::decode(bytes)?.arrived else { return Ok(()) };
                self.arrived(tx, arrived, entry).await
            }
            "address-concluded" => {
                let concluded = tracking::AddressConcluded::decode(bytes)?;
                if concluded.request_id.is_empty() {
                    return self.found(tx, concluded.watch_id.clone(), Item::Address(concluded), entry).await;
                }
                self.concluded(tx, &concluded, entry.time).await
            }
            "confirmation-answered" => self.answered(tx, tracking::ConfirmationAnswered::decode(bytes)?, entry).await,
            "question" => self.asked(tx, bytes, entry.time).await,
            _ => Ok(()),
        }
    }
}

impl Tracking {
    /// Who asked for the end of a watch has it.
    async fn end_with(&self, tx: &mut PgConnection, watch: WatchId, entry: &FollowedEntry) -> Result<(), HandleError> {
        for ending in db::watches::ending(tx, watch).await? {
            self.0.advance(tx, ending, Command::TakeEffect, entry.time).await?;
            self.0.advance(tx, ending, Command::Close, entry.time).await?;
        }
        Ok(())
    }

    async fn watch_moved(
        &self,
        tx: &mut PgConnection,
        watch: tracking::Watch,
        entry: &FollowedEntry,
    ) -> Result<(), HandleError> {
        let Some((id, unit)) = of_watch(tx, &watch.watch_id).await? else { return Ok(()) };
        let ended = entry.kind == "watch-ended";
        let state = match entry.kind.as_str() {
            "watch-ended" => WatchState::Ended,
            "watch-catching-up" => WatchState::CatchingUp,
            _ => WatchState::Active,
        };
        db::updates::lock_unit(tx, &unit).await?;
        db::watches::put_state(tx, id, state).await?;
        if let (true, Ok(watch)) = (ended, watch.watch_id.parse()) {
            self.end_with(tx, watch, entry).await?;
        }
        self.0.tell(tx, id, &unit, Update::Watch(watch), entry.time).await?;
        if !ended {
            self.0.advance(tx, id, Command::TakeEffect, entry.time).await?;
            return Ok(());
        }
        // What it froze may stay frozen longer than it watched: then its period is over later.
        let freezes_on = db::request_for_update(tx, id)
            .await?
            .and_then(|request| request.freeze_until)
            .is_some_and(|until| until > entry.time);
        if !freezes_on {
            self.0.advance(tx, id, Command::Close, entry.time).await?;
        }
        Ok(())
    }

    async fn arrived(
        &self,
        tx: &mut PgConnection,
        arrived: tracking::Arrived,
        entry: &FollowedEntry,
    ) -> Result<(), HandleError> {
        let watch = arrived.arrival.as_ref().map(|arrival| arrival.watch_id.clone()).unwrap_or_default();
        self.found(tx, watch, Item::Arrived(arrived), entry).await
    }

    /// Tells an item of a watch's trail.
    async fn found(
        &self,
        tx: &mut PgConnection,
        watch: String,
        item: Item,
        entry: &FollowedEntry,
    ) -> Result<(), HandleError> {
        let Some((id, unit)) = of_watch(tx, &watch).await? else { return Ok(()) };
        let number = db::updates::count_trail_item(tx, id).await?;
        let item =
            tracking::TrailItem { number: number.unsigned_abs(), time: Some(timestamp(entry.time)), item: Some(item) };
        Ok(self.0.tell(tx, id, &unit, Update::Trail(item), entry.time).await?)
    }

    /// A question went out; where it is that of a request, the request is in effect.
    async fn asked(&self, tx: &mut PgConnection, bytes: &[u8], time: Moment) -> Result<(), HandleError> {
        let order = exchange::Order::decode(envelope(bytes)?.payload.as_slice())?;
        let authorisation = envelope(order.authorisation.as_slice())?;
        let authorisation = exchange::Authorisation::decode(authorisation.payload.as_slice())?;
        let Some((id, _)) = of_request(tx, &authorisation.request_id).await? else { return Ok(()) };
        let request = db::request_for_update(tx, id).await?;
        if request.is_some_and(|request| matches!(request.proposal.asked, Asked::ConfirmAddress(_))) {
            self.0.advance(tx, id, Command::TakeEffect, time).await?;
        }
        Ok(())
    }

    async fn answered(
        &self,
        tx: &mut PgConnection,
        answered: tracking::ConfirmationAnswered,
        entry: &FollowedEntry,
    ) -> Result<(), HandleError> {
        let Some((id, unit)) = of_request(tx, &answered.request_id).await? else { return Ok(()) };
        let Some(line) = answered.line else { return Ok(()) };
        let pending = matches!(line.answer(), tracking::Answer::Pending | tracking::Answer::Unspecified);
        let exchange = line.exchange.parse::<ExchangeId>();
        self.0.tell(tx, id, &unit, Update::Confirmation(line), entry.time).await?;
        if let Ok(exchange) = exchange {
            db::outcome::put_answer(tx, id, &exchange, pending).await?;
        }
        self.0.advance(tx, id, Command::TakeEffect, entry.time).await?;
        self.close_when_answered(tx, id, entry.time).await
    }

    async fn concluded(
        &self,
        tx: &mut PgConnection,
        concluded: &tracking::AddressConcluded,
        time: Moment,
    ) -> Result<(), HandleError> {
        let Some((id, _)) = of_request(tx, &concluded.request_id).await? else { return Ok(()) };
        let conclusive = matches!(concluded.conclusion(), tracking::Conclusion::Held | tracking::Conclusion::NotHeld);
        db::outcome::put_concluded(tx, id, conclusive).await?;
        self.close_when_answered(tx, id, time).await
    }

    /// A question is done when its answers allow a conclusion and every exchange that was asked has said something.
    async fn close_when_answered(&self, tx: &mut PgConnection, id: RequestId, time: Moment) -> Result<(), HandleError> {
        let (concluded, answered) = db::outcome::answers_of(tx, id).await?;
        let Some(request) = db::request_for_update(tx, id).await? else { return Ok(()) };
        let asked: Vec<&(ExchangeId, AuthorisationId)> = request.authorisations.iter().collect();
        if concluded && asked.iter().all(|(exchange, _)| answered.contains(exchange)) {
            self.0.advance(tx, id, Command::Close, time).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Freeze {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let bytes = entry.payload.as_slice();
        let time = entry.time;
        match entry.kind.as_str() {
            "standing-freeze-armed" => {
                let armed = freeze::StandingFreezeArmed::decode(bytes)?;
                self.advance(tx, &armed.request_id, &[Command::TakeEffect], time).await
            }
            "leg" => {
                let Some(leg) = freeze::LegChanged::decode(bytes)?.leg else { return Ok(()) };
                self.leg_changed(tx, leg, time).await
            }
            "arrival-unserved" => {
                let Some(unserved) = freeze::ArrivalUnserved::decode(bytes)?.unserved else { return Ok(()) };
                let Some((id, unit)) = of_request(tx, &unserved.request_id).await? else { return Ok(()) };
                Ok(self.0.tell(tx, id, &unit, Update::Unserved(unserved), time).await?)
            }
            "dispatch-halted" => {
                let moved = freeze::DispatchMoved::decode(bytes)?;
                self.advance(tx, &moved.request_id, &[Command::TakeEffect], time).await
            }
            "dispatch-resumed" => {
                let moved = freeze::DispatchMoved::decode(bytes)?;
                self.advance(tx, &moved.request_id, &[Command::TakeEffect, Command::Close], time).await
            }
            "authority-ended" => {
                let ended = freeze::AuthorityEnded::decode(bytes)?;
                let Some((id, _)) = of_request(tx, &ended.request_id).await? else { return Ok(()) };
                self.released(tx, id, true, time).await
            }
            _ => Ok(()),
        }
    }
}

impl Freeze {
    async fn advance(
        &self,
        tx: &mut PgConnection,
        request: &str,
        commands: &[Command<'_>],
        time: Moment,
    ) -> Result<(), HandleError> {
        let Some((id, _)) = of_request(tx, request).await? else { return Ok(()) };
        for command in commands {
            self.0.advance(tx, id, *command, time).await?;
        }
        Ok(())
    }

    async fn leg_changed(&self, tx: &mut PgConnection, leg: freeze::Leg, time: Moment) -> Result<(), HandleError> {
        let Some((id, unit)) = of_request(tx, &leg.request_id).await? else { return Ok(()) };
        let Ok(leg_id) = leg.leg_id.parse::<LegId>() else { return Ok(()) };
        let releasing = leg.desired() == freeze::DesiredState::Released;
        let over = is_over(&leg);
        self.0.tell(tx, id, &unit, Update::Leg(leg), time).await?;
        db::outcome::put_leg(tx, leg_id, id, over).await?;
        self.0.advance(tx, id, Command::TakeEffect, time).await?;
        if releasing { self.released(tx, id, false, time).await } else { Ok(()) }
    }

    /// Moves on the releases of what a request froze: in effect when freeze acts on them, done when nothing that they
    /// name is withheld. With a whole release, the request that froze is done too, unless it still watches.
    async fn released(
        &self,
        tx: &mut PgConnection,
        frozen_by: RequestId,
        authority_ended: bool,
        time: Moment,
    ) -> Result<(), HandleError> {
        let known = db::outcome::legs_of(tx, frozen_by).await?;
        for id in db::outcome::releases_of(tx, frozen_by).await? {
            let Some(release) = db::request_for_update(tx, id).await? else { continue };
            let Asked::Release { legs, .. } = &release.proposal.asked else { continue };
            let whole = legs.is_empty();
            if whole && known.is_empty() && !authority_ended {
                continue;
            }
            self.0.advance(tx, id, Command::TakeEffect, time).await?;
            if known.iter().all(|(leg, over)| *over || !(whole || legs.contains(leg))) {
                self.0.advance(tx, id, Command::Close, time).await?;
                let froze = db::request_for_update(tx, frozen_by).await?;
                let watches = froze.is_some_and(|froze| matches!(froze.proposal.asked, Asked::Watch(_)));
                if whole && !watches {
                    self.0.advance(tx, frozen_by, Command::Close, time).await?;
                }
            }
        }
        Ok(())
    }
}

/// Whether nothing is withheld under a leg and nothing will be. A refused *release* withholds on.
fn is_over(leg: &freeze::Leg) -> bool {
    match leg.reported() {
        exchange::LegState::Released | exchange::LegState::Expired => true,
        exchange::LegState::Refused => leg.desired() == freeze::DesiredState::Frozen,
        _ => false,
    }
}

#[async_trait]
impl Handler for Connector {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        match entry.kind.as_str() {
            "receipt" | "event" => Ok(db::outcome::answered(tx, self.exchange.as_str(), entry.time).await?),
            "unavailable" => Ok(db::outcome::failed(tx, self.exchange.as_str(), entry.time).await?),
            "overdue" => self.overdue(tx, connector::OrderOverdue::decode(entry.payload.as_slice())?, entry.time).await,
            _ => Ok(()),
        }
    }
}

impl Connector {
    /// An order has no answer for too long. A connector is believed about its own exchange only.
    async fn overdue(
        &self,
        tx: &mut PgConnection,
        overdue: connector::OrderOverdue,
        time: Moment,
    ) -> Result<(), HandleError> {
        let Ok(leg) = overdue.leg_id.parse::<LegId>() else { return Ok(()) };
        let Some(id) = db::outcome::request_of_leg(tx, leg).await? else { return Ok(()) };
        if overdue.exchange == self.exchange.as_str() {
            let Some((id, unit)) = held(tx, id).await? else { return Ok(()) };
            self.intake.tell(tx, id, &unit, Update::Overdue(overdue), time).await?;
            db::outcome::failed(tx, self.exchange.as_str(), time).await?;
        }
        Ok(())
    }
}

fn envelope(bytes: &[u8]) -> Result<exchange::Envelope, prost::DecodeError> {
    exchange::Envelope::decode(bytes)
}

async fn of_watch(tx: &mut PgConnection, watch: &str) -> Result<Option<(RequestId, Unit)>, Fault> {
    let Ok(watch) = watch.parse::<WatchId>() else { return Ok(None) };
    match db::request_of_watch(tx, watch).await? {
        Some(id) => held(tx, id).await,
        None => Ok(None),
    }
}

async fn of_request(tx: &mut PgConnection, request: &str) -> Result<Option<(RequestId, Unit)>, Fault> {
    let Ok(id) = request.parse::<RequestId>() else { return Ok(None) };
    held(tx, id).await
}

/// A request with its unit, whose row is held from here on: before anything of the request's, as commands do.
pub(crate) async fn held(tx: &mut PgConnection, id: RequestId) -> Result<Option<(RequestId, Unit)>, Fault> {
    let Some(unit) = db::unit_of(tx, id).await? else { return Ok(None) };
    db::updates::lock_several(tx).await?;
    db::updates::lock_unit(tx, &unit).await?;
    Ok(Some((id, unit)))
}
