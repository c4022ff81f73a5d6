//! What arrives is bound, frozen and refused; nobody else is touched; what an open question holds back waits.

use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use haetae_wire::{
    exchange::v1::LegState,
    freeze::v1::Leg,
    intake::v1::Request,
    sandbox::v1::WithdrawalOutcome,
    tracking::v1::{ArrivalState, TrailEndReason, trail_item::Item},
};
use tokio::time::timeout;

use super::{PATIENCE, Play, looking::arrivals};
use crate::{
    Actor, COIN,
    chain::{ETHER, TOKEN},
};

impl Play<'_> {
    /// Binding before the deposit is credited, then frozen as it is credited, and the thief is refused.
    pub(super) async fn frozen(&mut self, request: &Request) -> Result<()> {
        let binding = self
            .legs(request, "three legs are binding", |legs| {
                legs.iter().filter(|leg| leg.binding_at.is_some()).count() == 3
            })
            .await?;
        let times = self.block_to_binding(request, &binding).await?;
        for (leg, ms) in &times {
            self.tell.step(&format!("{:<8} binding {ms} ms after the block was first heard of", leg));
        }
        self.outcome.block_to_binding_ms = times.into_iter().map(|(_, ms)| ms).collect();
        let frozen = self
            .legs(request, "three legs are frozen in full", |legs| {
                legs.iter().filter(|leg| leg.reported() == LegState::FrozenFull).count() == 3
            })
            .await?;
        self.withheld(&frozen).await?;
        self.outcome.bound_before_credit = self.bound_before_credit(request, &frozen).await?;
        match self.outcome.bound_before_credit {
            bound if bound == frozen.len() => {
                self.tell.step("The deposits are credited, and withheld as they are credited");
            }
            bound => {
                self.tell.step(&format!("The deposits are credited and withheld; {bound} freezes were binding before"));
            }
        }
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        let token = self.token.clone();
        self.refused("upbit", &token, tokens(250)).await?;
        self.refused("bithumb", &token, tokens(150)).await?;
        self.refused("bithumb", COIN, 78 * ETHER / 10).await
    }

    /// The exchanges' own books withhold what each leg says, no less and no more: nothing is frozen twice.
    pub(super) async fn withheld(&self, legs: &[Leg]) -> Result<()> {
        for leg in legs {
            let balance = self.mesh.customers.balance(&leg.exchange, "mallory", &leg.asset).await?;
            let (withheld, cap) = (&balance.withheld, &leg.cap);
            ensure!(withheld == cap, "{} withholds {withheld} of {}, not {cap}", leg.exchange, leg.asset);
        }
        Ok(())
    }

    /// How many of these legs their exchange called binding while nothing was withheld yet, before it withheld all.
    pub(super) async fn bound_before_credit(&self, request: &Request, legs: &[Leg]) -> Result<usize> {
        let told = self.investigator.legs_told(&request.request_id, |told| {
            let full =
                |leg: &Leg| told.iter().any(|now| now.leg_id == leg.leg_id && now.reported() == LegState::FrozenFull);
            legs.iter().all(full)
        });
        let told = timeout(PATIENCE, told).await.context("that the legs are frozen in full was not told")??;
        let bound = |leg: &&Leg| {
            let of_leg = || told.iter().filter(|now| now.leg_id == leg.leg_id);
            let first = |state| of_leg().position(|now| now.reported() == state);
            let unfrozen = of_leg()
                .find(|now| now.reported() == LegState::Binding)
                .is_some_and(|now| matches!(now.frozen_amount.as_str(), "" | "0"));
            unfrozen && first(LegState::Binding) < first(LegState::FrozenFull)
        };
        Ok(legs.iter().filter(bound).count())
    }

    pub(super) async fn refused(&mut self, exchange: &str, asset: &str, amount: u128) -> Result<()> {
        self.refused_to(&Actor::named("thief exit").account(), exchange, asset, amount).await
    }

    pub(super) async fn refused_to(&mut self, to: &str, exchange: &str, asset: &str, amount: u128) -> Result<()> {
        let answer = self.mesh.customers.withdraw(exchange, "mallory", asset, amount, to).await?;
        ensure!(answer.outcome() == WithdrawalOutcome::Frozen, "{exchange} answered {:?}", answer.outcome());
        self.outcome.withdrawals_refused += 1;
        self.tell.step(&format!("{exchange:<8} refuses the thief's withdrawal: it is frozen"));
        Ok(())
    }

    /// Nobody else is touched.
    pub(super) async fn bystanders(&mut self, request: &Request) -> Result<()> {
        let token = self.token.clone();
        let free = [
            ("upbit", "mallory", token.as_str(), 500 * TOKEN as u128, "the thief's own older balance"),
            ("upbit", "dong-hyun", token.as_str(), 250 * TOKEN as u128, "the dusted bystander's account"),
            ("bithumb", "ji-eun", COIN, ETHER, "an uninvolved customer's account"),
        ];
        for (exchange, customer, asset, amount, whose) in free {
            let to = Actor::named(&format!("{customer} at home")).account();
            let answer = self.mesh.customers.withdraw(exchange, customer, asset, amount, &to).await?;
            ensure!(answer.outcome() == WithdrawalOutcome::Paid, "{whose}: {:?}", answer.outcome());
            self.outcome.bystanders_unharmed += 1;
            self.tell.step(&format!("{exchange:<8} pays a withdrawal from {whose}"));
        }
        let bystander = &self.cast.bystander;
        let trail = self.investigator.trail(&request.watch_id).await?;
        let items = || trail.iter().filter_map(|item| item.item.as_ref());
        let dusted = items().any(|item| {
            matches!(item, Item::Ended(end) if end.reason() == TrailEndReason::Dust && end.account == *bystander)
        });
        ensure!(dusted, "the dust that the bystander got was not seen");
        let touched = items().any(|item| match item {
            Item::Hop(hop) => hop.to == *bystander,
            Item::Address(asked) => asked.target.as_ref().is_some_and(|target| target.account == *bystander),
            _ => false,
        });
        ensure!(!touched, "the dusted bystander came under watch");
        Ok(())
    }

    /// The branch behind the open question waits until the exchange is back.
    pub(super) async fn open_branch(&mut self, request: &Request) -> Result<()> {
        let legs = self.investigator.legs(&request.request_id).await?;
        ensure!(legs.iter().all(|leg| leg.exchange != "binance"), "something was frozen beyond an open question");
        self.tell.step("Nothing is frozen at Binance: Gopax might hold the wallet before it");
        self.mesh.customers.set_outage("gopax", false).await?;
        self.tell.step("Gopax is back");
        self.trail(request, "the last arrival is settled", |items| arrivals(items, ArrivalState::Settled) == 4).await?;
        let legs = self
            .legs(request, "the last leg is frozen", |legs| {
                legs.iter().filter(|leg| leg.reported() == LegState::FrozenFull).count() == 4
            })
            .await?;
        let late: Vec<Leg> = legs.iter().filter(|leg| leg.exchange == "binance").cloned().collect();
        let times = self.block_to_binding(request, &late).await?;
        self.outcome.delayed_ms = times.into_iter().map(|(_, ms)| ms).collect();
        self.tell.step("Gopax: NOT_HELD. The arrival is settled and frozen");
        self.refused("binance", COIN, 88 * ETHER / 10).await?;
        self.withheld(&legs).await?;
        self.outcome.legs_frozen += legs.len();
        self.outcome.arrivals += 4;
        Ok(())
    }

    /// Per leg: from the first sight of its arrivals' last block to binding.
    pub(super) async fn block_to_binding(&self, request: &Request, legs: &[Leg]) -> Result<Vec<(String, u64)>> {
        let trail = self.investigator.trail(&request.watch_id).await?;
        let mut times = Vec::new();
        for leg in legs {
            let blocks = trail.iter().filter_map(|item| match &item.item {
                Some(Item::Arrived(arrived)) => arrived.arrival.as_ref(),
                _ => None,
            });
            let heard = blocks
                .filter(|arrival| leg.arrival_ids.contains(&arrival.arrival_id))
                .filter_map(|arrival| self.mesh.first_heard(&arrival.block_hash))
                .min()
                .context("the block of an arrival was not heard of")?;
            let binding = leg.binding_at.context("a leg without its time of binding")?;
            let binding = SystemTime::try_from(binding).context("a time before 1970")?;
            let took = binding.duration_since(heard).context("binding before the block of its arrival was heard of")?;
            times.push((leg.exchange.clone(), u64::try_from(took.as_millis())?));
        }
        Ok(times)
    }
}
