//! What tracking's log says: stolen money reached an exchange, or did not after all; or nobody watches any more.

use anyhow::anyhow;
use async_trait::async_trait;
use haetae_core::{Arrival, ArrivalId, ExchangeId, Target, WatchId};
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use haetae_wire::read;
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1::{AddressConcluded, ArrivalMoved, Conclusion, WatchMoved};
use prost::Message;
use sqlx::PgConnection;

use crate::authority::Command;
use crate::db;
use crate::decisions::{Decisions, now};
use crate::granted::read_all;
use crate::standing::Found;

/// Follows tracking.
pub(crate) struct Arrivals(pub(crate) Decisions);

#[async_trait]
impl Handler for Arrivals {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        match entry.kind.as_str() {
            "arrival" => self.arrived(tx, entry).await,
            "arrival-retracted" => self.retracted(tx, &ArrivalMoved::decode(entry.payload.as_slice())?).await,
            "watch-ended" => self.watch_ended(tx, &WatchMoved::decode(entry.payload.as_slice())?).await,
            "address-concluded" => self.concluded(tx, &AddressConcluded::decode(entry.payload.as_slice())?).await,
            _ => Ok(()),
        }
    }
}

impl Arrivals {
    /// Kept in any case: a standing freeze may be approved later.
    async fn arrived(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let arrival = open_arrival(&entry.payload, &self.0.orders.keyring).map_err(HandleError::poison)?;
        if arrival.id != arrival.transfer.arrival(arrival.watch) {
            return Err(HandleError::Poison(anyhow!("the arrival's id does not follow from its watch and transfer")));
        }
        db::take_turn(tx).await?;
        let number = i64::try_from(entry.position).unwrap_or(i64::MAX);
        if !db::store_arrival(tx, &arrival, &entry.payload, number).await? {
            return Ok(());
        }
        for request in db::standing_on(tx, arrival.watch).await? {
            self.0.decide(tx, request, Command::Arrived(found(&arrival)), now()).await?;
        }
        Ok(())
    }

    async fn retracted(&self, tx: &mut PgConnection, fact: &ArrivalMoved) -> Result<(), HandleError> {
        let arrival = fact.arrived.as_ref().and_then(|arrived| arrived.arrival.as_ref());
        let (arrival, exchange) = read_all(|v| {
            let arrival = read::present(v, "arrived.arrival", arrival)?;
            let id = read::parse::<ArrivalId>(v, "arrived.arrival.arrival_id", &arrival.arrival_id);
            let exchange = read::parse::<ExchangeId>(v, "arrived.arrival.exchange", &arrival.exchange);
            Some((id?, exchange?))
        })?;
        db::take_turn(tx).await?;
        // One that was held back until it was retracted was never told to us.
        let Some(watch) = db::retract_arrival(tx, arrival, &exchange).await? else { return Ok(()) };
        for request in db::standing_on(tx, watch).await? {
            let command = Command::Retracted { arrival, exchange: exchange.clone() };
            self.0.decide(tx, request, command, now()).await?;
        }
        Ok(())
    }

    /// Its period is over, or people have ended it: what waits is not frozen any more.
    async fn watch_ended(&self, tx: &mut PgConnection, fact: &WatchMoved) -> Result<(), HandleError> {
        let watch = read_all(|v| {
            let watch = read::present(v, "watch", fact.watch.as_ref())?;
            read::parse::<WatchId>(v, "watch.watch_id", &watch.watch_id)
        })?;
        db::take_turn(tx).await?;
        for request in db::standing_on(tx, watch).await? {
            self.0.decide(tx, request, Command::WatchEnded, now()).await?;
        }
        Ok(())
    }

    async fn concluded(&self, tx: &mut PgConnection, fact: &AddressConcluded) -> Result<(), HandleError> {
        let contested = match fact.conclusion() {
            Conclusion::Conflict => true,
            Conclusion::Held | Conclusion::NotHeld => false,
            Conclusion::Open | Conclusion::Unspecified => return Ok(()),
        };
        // Without a watch it is the answer to a question of its own, and nothing is frozen by that.
        if fact.watch_id.is_empty() {
            return Ok(());
        }
        let (watch, target) = read_all(|v| {
            let watch = read::parse::<WatchId>(v, "watch_id", &fact.watch_id);
            let target = read::required::<_, Target>(v, "target", fact.target.as_ref());
            Some((watch?, target?))
        })?;
        db::take_turn(tx).await?;
        db::contest(tx, watch, &target, contested).await?;
        for request in db::frozen_at(tx, watch, &target).await? {
            let command = Command::Contested { target: target.clone(), contested };
            self.0.decide(tx, request, command, now()).await?;
        }
        Ok(())
    }
}

fn found(arrival: &Arrival) -> Found {
    Found {
        arrival: arrival.id,
        exchange: arrival.exchange.clone(),
        target: arrival.target.clone(),
        asset: arrival.asset.clone(),
        traced: arrival.traced,
        wallet_role: arrival.wallet_role,
    }
}
