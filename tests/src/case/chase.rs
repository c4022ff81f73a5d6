//! The chase: three hops, with what goes wrong in between.

use anyhow::{Context, Result};
use haetae_wire::{
    intake::v1::Request,
    tracking::v1::{ArrivalState, TrailEndReason, trail_item::Item},
};

use super::{Disturbance, Play, looking::arrivals};
use crate::{
    Actor,
    chain::{ETHER, Kind, TOKEN, address},
};

impl Play<'_> {
    /// The thief splits, parks, dusts and swaps.
    pub(super) async fn first_hops(&mut self, request: &Request) -> Result<()> {
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        let parts = [
            (cast.a.address(), Kind::Tokens, tokens(250)),
            (cast.b.address(), Kind::Tokens, tokens(150)),
            (cast.b.address(), Kind::Coins, 8 * ETHER),
            (cast.c.address(), Kind::Coins, 9 * ETHER),
            (cast.parked.address(), Kind::Tokens, tokens(100)),
            (address(&cast.bystander)?, Kind::Tokens, 1),
        ];
        chain.split(&cast.root, &parts).await?;
        chain.swap_tokens(&cast.root, tokens(50)).await?;
        self.tell.step("The thief splits the loot four ways, dusts a bystander and swaps a part through a contract");
        let not_held = [&cast.a, &cast.b, &cast.c, &cast.parked].map(Actor::account);
        self.concluded(request, &not_held).await?;
        let swap = chain.swap_address().to_checksum(None);
        self.trail(request, "the swap ends its trail", |items| {
            items.iter().any(|item| {
                matches!(item, Item::Ended(end) if end.reason() == TrailEndReason::Contract && end.account.ends_with(&swap))
            })
        })
        .await?;
        self.tell.step("Four new addresses: none of the six exchanges holds them. The swap's trail ends: CONTRACT");
        Ok(())
    }

    pub(super) async fn second_hops(&mut self, request: &Request) -> Result<()> {
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        let b = [(cast.b2.address(), Kind::Tokens, tokens(150)), (cast.b2.address(), Kind::Coins, 79 * ETHER / 10)];
        tokio::try_join!(
            async { chain.send_tokens(&cast.a, cast.a2.address(), tokens(250)).await.map(drop) },
            chain.split(&cast.b, &b)
        )?;
        self.concluded(request, &[cast.a2.account(), cast.b2.account()]).await?;
        self.tell.step("A second hop each; again nobody holds them");
        Ok(())
    }

    pub(super) async fn disturb(&mut self, disturbance: &Disturbance) -> Result<()> {
        match disturbance {
            Disturbance::None => Ok(()),
            Disturbance::RedisStops => {
                self.mesh.redis.as_mut().context("there is no Redis to stop")?.stop();
                self.tell.step("Redis stops");
                Ok(())
            }
            Disturbance::Kill(processes) => {
                for name in processes {
                    self.tell.step(&format!("{name} is killed with -9 and started again"));
                    let process = self.mesh.process(name)?;
                    process.kill9();
                    process.restart()?;
                }
                Ok(())
            }
        }
    }

    /// The third hop, into three exchanges, while one exchange's API is down.
    pub(super) async fn deposits(&mut self, request: &Request) -> Result<()> {
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        self.mesh.customers.set_outage("gopax", true).await?;
        self.tell.step("Gopax's API goes down; its chain side goes on");
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let upbit = address(&cast.deposits["upbit"])?;
        let bithumb = address(&cast.deposits["bithumb"])?;
        let b2 = [(bithumb, Kind::Tokens, tokens(150)), (bithumb, Kind::Coins, 78 * ETHER / 10)];
        tokio::try_join!(
            async { chain.send_tokens(&cast.a2, upbit, tokens(250)).await.map(drop) },
            chain.split(&cast.b2, &b2),
            async { chain.send_coins(&cast.c, cast.d.address(), 89 * ETHER / 10).await.map(drop) },
        )?;
        chain.send_coins(&cast.d, address(&cast.deposits["binance"])?, 88 * ETHER / 10).await?;
        self.tell.step("The third hop: into Upbit and Bithumb; by another wallet, which Gopax has not answered about, into Binance");
        self.trail(request, "three arrivals are settled", |items| arrivals(items, ArrivalState::Settled) == 3).await?;
        self.trail(request, "one arrival is held back", |items| arrivals(items, ArrivalState::HeldBack) == 1).await?;
        self.tell.step("Three arrivals are settled; the one beyond the open question is held back");
        Ok(())
    }
}
