//! A reorganisation takes a deposit out of the chain; mined again in another block, it is the same arrival.

use anyhow::Result;
use haetae_wire::{
    exchange::v1::LegState,
    intake::v1::Request,
    tracking::v1::{ArrivalState, Finality, trail_item::Item},
};

use super::{Play, looking::arrivals};
use crate::chain::{TOKEN, address};

/// How many blocks are replaced.
const DEPTH: u64 = 2;

impl Play<'_> {
    pub(super) async fn moved(&mut self, request: &Request) -> Result<()> {
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let amount = 100_000 * u128::from(TOKEN);
        let deposit = address(&cast.deposits["coinone"])?;
        let transaction = chain.send_tokens(&cast.parked, deposit, amount).await?;
        let raw = chain.raw(transaction).await?;
        self.tell.step("What was parked moves: into Coinone");
        self.trail(request, "the fifth arrival is settled", |items| arrivals(items, ArrivalState::Settled) == 5)
            .await?;
        chain.reorganise(DEPTH).await?;
        self.trail(request, "the hop is retracted", |items| retracted(items) > 0).await?;
        self.trail(request, "its arrival is retracted", |items| arrivals(items, ArrivalState::Retracted) == 1).await?;
        self.tell.step("Two blocks are replaced by others, without that deposit: hop and arrival are retracted");
        chain.send_again(&raw).await?;
        self.trail(request, "it arrived again", |items| arrivals(items, ArrivalState::Settled) == 5).await?;
        self.trail(request, "the hop is seen again", came_back).await?;
        self.outcome.reorg_retracted = retracted(&self.items(request).await?);
        self.tell.step("Its transaction is mined again, in another block: the same hop, the same arrival");
        let legs = self
            .legs(request, "the fifth leg is frozen", |legs| {
                legs.iter().filter(|leg| leg.reported() == LegState::FrozenFull).count() == 5
            })
            .await?;
        self.withheld(&legs).await?;
        self.outcome.arrivals += 1;
        self.outcome.legs_frozen += legs.len() - 4;
        let token = self.token.clone();
        self.refused("coinone", &token, amount).await
    }
}

/// Hops of which it was said that they left the chain.
fn retracted(items: &[Item]) -> usize {
    items.iter().filter(|item| finality(item) == Some(Finality::Retracted)).count()
}

/// Whether what was said last of finality is that hops are there.
fn came_back(items: &[Item]) -> bool {
    let last = items.iter().rev().find_map(finality);
    last.is_some_and(|last| last != Finality::Retracted)
}

fn finality(item: &Item) -> Option<Finality> {
    match item {
        Item::Finality(changed) => Some(changed.finality()),
        _ => None,
    }
}
