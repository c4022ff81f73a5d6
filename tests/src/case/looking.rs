//! Waiting until the mesh says what is expected of it.

use std::collections::BTreeMap;

use anyhow::Result;
use haetae_wire::{
    freeze::v1::Leg,
    intake::v1::Request,
    tracking::v1::{Answer, ArrivalState, Conclusion, TrailItem, trail_item::Item},
};
use tonic::Code;

use super::{PATIENCE, Play};
use crate::until;

impl Play<'_> {
    pub(super) async fn credited(&self, exchange: &str, customer: &str, asset: &str, amount: u128) -> Result<()> {
        until(&format!("{customer}'s deposit is credited at {exchange}"), PATIENCE, async || {
            let balance = self.mesh.customers.balance(exchange, customer, asset).await?;
            Ok((balance.total.parse::<u128>()? >= amount).then_some(()))
        })
        .await
    }

    pub(super) async fn concluded(&self, request: &Request, accounts: &[String]) -> Result<()> {
        self.trail(request, "nobody holds the new addresses", |items| {
            accounts.iter().all(|account| {
                items.iter().any(|item| {
                    matches!(item, Item::Address(said) if said.conclusion() == Conclusion::NotHeld
                        && said.target.as_ref().is_some_and(|target| target.account == *account))
                })
            })
        })
        .await
    }

    pub(super) async fn trail(&self, request: &Request, what: &str, holds: impl Fn(&[Item]) -> bool) -> Result<()> {
        until(what, PATIENCE, async || Ok(holds(&self.items(request).await?).then_some(()))).await
    }

    /// What was said of a watch so far.
    pub(super) async fn items(&self, request: &Request) -> Result<Vec<Item>> {
        let trail = unless_unavailable(self.investigator.trail(&request.watch_id).await)?.unwrap_or_default();
        Ok(trail.into_iter().filter_map(|item: TrailItem| item.item).collect())
    }

    pub(super) async fn legs(&self, request: &Request, what: &str, hold: impl Fn(&[Leg]) -> bool) -> Result<Vec<Leg>> {
        until(what, PATIENCE, async || {
            let legs = unless_unavailable(self.investigator.legs(&request.request_id).await)?.unwrap_or_default();
            Ok(hold(&legs).then_some(legs))
        })
        .await
    }
}

/// A service that was just killed is not there for a moment; that is no fault of the case.
pub(super) fn unless_unavailable<T>(answer: Result<T, tonic::Status>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// How many arrivals stand so by what was said last of each.
pub(super) fn arrivals(items: &[Item], state: ArrivalState) -> usize {
    let mut last = BTreeMap::new();
    for item in items {
        if let Item::Arrived(arrived) = item
            && let Some(arrival) = &arrived.arrival
        {
            last.insert(arrival.arrival_id.as_str(), arrived.state());
        }
    }
    last.values().filter(|now| **now == state).count()
}

pub(super) fn words(answer: Answer) -> &'static str {
    match answer {
        Answer::Unspecified => "?",
        Answer::Pending => "PENDING",
        Answer::Held => "HELD",
        Answer::NotHeld => "NOT_HELD",
        Answer::Unknown => "UNKNOWN",
        Answer::Unavailable => "UNAVAILABLE",
        Answer::Refused => "REFUSED",
    }
}
