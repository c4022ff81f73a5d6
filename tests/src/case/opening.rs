//! Before and at the beginning: honest money, a question to the exchanges, the theft, and two persons who ask and approve.

use anyhow::{Context, Result, ensure};
use haetae_wire::{
    exchange::v1::WalletRole,
    intake::v1::Request,
    tracking::v1::{Answer, Conclusion, WatchState},
};
use tonic::Code;
use tonic_types::StatusExt;

use super::{
    Cast, DUST_COINS, DUST_TOKENS, PATIENCE, Play, STOLEN_COINS, STOLEN_TOKENS,
    looking::{unless_unavailable, words},
};
use crate::{
    Actor, COIN,
    agency::{Amounts, confirm, under_warrant, watch_and_freeze},
    chain::{ETHER, Kind, TOKEN, address},
    until,
};

impl Play<'_> {
    pub(super) async fn older_money(&mut self) -> Result<()> {
        self.tell.act("Before: people have accounts and money of their own");
        let chain = &self.mesh.chain;
        let Cast { a, a2, b, b2, c, d, parked, .. } = &self.cast;
        for wallet in [a, a2, b, b2, c, d, parked] {
            chain.give_coins(wallet.address(), ETHER / 10).await?;
        }
        chain.give_coins(self.cast.hana.address(), 50 * ETHER).await?;
        chain.give_tokens(self.cast.hana.address(), 1_000_000 * TOKEN as u128).await?;

        let clean = Actor::named("salary");
        chain.give_coins(clean.address(), 100 * ETHER).await?;
        let ji_eun = self.mesh.customers.open("bithumb", "ji-eun").await?;
        chain.give_tokens(clean.address(), 1_000 * TOKEN as u128).await?;
        let parts = [
            (address(&self.cast.deposits["upbit"])?, Kind::Tokens, 500 * TOKEN as u128),
            (address(&self.cast.bystander)?, Kind::Tokens, 250 * TOKEN as u128),
            (address(&ji_eun)?, Kind::Coins, 3 * ETHER),
        ];
        chain.split(&clean, &parts).await?;
        let token = self.token.clone();
        self.credited("upbit", "mallory", &token, 500 * TOKEN as u128).await?;
        self.credited("upbit", "dong-hyun", &token, 250 * TOKEN as u128).await?;
        self.credited("bithumb", "ji-eun", COIN, 3 * ETHER).await?;
        self.tell.step(
            "Mallory, Dong-hyun and Ji-eun have honest balances at Upbit and Bithumb, credited after two confirmations",
        );
        Ok(())
    }

    /// A victim's address is confirmed while one exchange does not answer.
    pub(super) async fn act_one(&mut self) -> Result<()> {
        self.tell.act("Act one: who holds this address?");
        let account = self.mesh.customers.open("coinone", "hana").await?;
        self.mesh.customers.set_outage("korbit", true).await?;
        self.tell.step("Korbit's API is down");
        let request = self.investigator.submit(under_warrant(confirm(&account))).await?;
        let confirmation = until("the exchanges have answered", PATIENCE, async || {
            let read = self.investigator.confirmation(&request.request_id).await;
            let Some(confirmation) = unless_unavailable(read)? else { return Ok(None) };
            let pending = confirmation.lines.iter().any(|line| line.answer() == Answer::Pending);
            Ok((confirmation.lines.len() == 6 && !pending).then_some(confirmation))
        })
        .await?;
        for line in &confirmation.lines {
            let expected = match line.exchange.as_str() {
                "coinone" => Answer::Held,
                "korbit" => Answer::Unavailable,
                _ => Answer::NotHeld,
            };
            ensure!(line.answer() == expected, "{} answered {:?}", line.exchange, line.answer());
            let signed = if line.statement.is_empty() { "no statement" } else { "signed" };
            self.tell.step(&format!("{:<8} {:<11} {signed}", line.exchange, words(line.answer())));
        }
        let held = confirmation.lines.iter().find(|line| line.exchange == "coinone");
        ensure!(
            held.is_some_and(|line| line.wallet_role() == WalletRole::CustomerDeposit),
            "the wallet's role is not said"
        );
        self.mesh.customers.set_outage("korbit", false).await?;
        until("Korbit answers when it is back", PATIENCE, async || {
            let confirmation = self.investigator.confirmation(&request.request_id).await?;
            Ok((confirmation.conclusion() == Conclusion::Held
                && confirmation.lines.iter().all(|line| matches!(line.answer(), Answer::Held | Answer::NotHeld)))
            .then_some(()))
        })
        .await?;
        self.tell.step("Korbit is back and answers the same question: NOT_HELD");
        Ok(())
    }

    /// The theft, the request, and two persons.
    pub(super) async fn open_the_case(&mut self) -> Result<Request> {
        self.tell.act("Act two: the chase");
        let chain = &self.mesh.chain;
        let root = &self.cast.root;
        let parts = [(root.address(), Kind::Tokens, STOLEN_TOKENS), (root.address(), Kind::Coins, STOLEN_COINS)];
        chain.split(&self.cast.hana, &parts).await?;
        self.tell.step("600,000 rKRW and 20 ether are taken from Hana's wallet");

        let token = self.token.clone();
        let stolen = [(token.as_str(), STOLEN_TOKENS), (COIN, STOLEN_COINS)];
        let dust = [(token.as_str(), DUST_TOKENS), (COIN, DUST_COINS)];
        let root = root.account();
        let request = self.asked(&root, &stolen, &dust).await?;
        let refused = self.investigator.approve(&request.request_id).await.err().context("she approved it herself")?;
        ensure!(refused.code() == Code::PermissionDenied, "self-approval was refused as {:?}", refused.code());
        let reason = refused.get_details_error_info().map(|info| info.reason);
        ensure!(reason.as_deref() == Some("SELF_APPROVAL"), "self-approval was refused for {reason:?}");
        self.tell.step("Her attempt to approve it herself is refused: SELF_APPROVAL");
        let request = self.approved(&request).await?;
        self.tell.step("Team leader Min-jun approves; the watch is active: every later block is matched against it");
        Ok(request)
    }

    /// A watch with a standing freeze is asked for.
    pub(super) async fn asked(&mut self, root: &str, stolen: Amounts<'_>, dust: Amounts<'_>) -> Result<Request> {
        let request = self.investigator.submit(under_warrant(watch_and_freeze(root, stolen, dust))).await?;
        self.tell.step("Inspector Ji-woo asks for a watch with a standing freeze, under a warrant");
        Ok(request)
    }

    /// A second person approves, and the watch is active.
    pub(super) async fn approved(&self, request: &Request) -> Result<Request> {
        let request = self.leader.approve(&request.request_id).await?;
        ensure!(!request.watch_id.is_empty(), "an approved watch has no id");
        until("the watch is active", PATIENCE, async || match self.investigator.watch(&request.watch_id).await {
            Ok(watch) => Ok((watch.state() == WatchState::Active).then_some(())),
            Err(status) => Err(status.into()),
        })
        .await?;
        Ok(request)
    }
}
