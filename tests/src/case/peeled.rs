//! The same on Bitcoin: stolen coins go through a peel chain into an exchange, and are bound before they are credited.

use anyhow::{Result, ensure};
use haetae_testkit::bcoin::FEE;
use haetae_wire::{exchange::v1::LegState, tracking::v1::ArrivalState};

use super::{Play, looking::arrivals};
use crate::{
    Bitcoin,
    regtest::{BITCOIN, BTC, SATOSHI, account, address},
};

/// What is taken from the victim.
const STOLEN: u64 = 8 * BTC;
/// What is peeled off each time.
const PEEL: u64 = BTC / 4;
/// Less than this is not followed, in satoshi.
const DUST: u128 = 10_000;

impl Play<'_> {
    /// Nothing where the mesh has no Bitcoin.
    pub(super) async fn peeled(&mut self) -> Result<()> {
        if self.mesh.bitcoin.is_none() {
            return Ok(());
        }
        self.tell.act("Act three: the same on Bitcoin");
        let deposit = self.mesh.customers.open_on(BITCOIN, "bithumb", "mallory").await?;
        let mut carrier = Bitcoin::wallet("thief");
        let mut victim = Bitcoin::wallet("hana");
        self.bitcoin()?.give(&mut victim, STOLEN + BTC).await?;
        let theft = self.bitcoin()?.pay(&mut victim, &[(carrier.address(), STOLEN)]).await?;
        carrier.note(&theft);
        self.tell.step("8 bitcoins are taken from Hana's wallet");
        let (root, dust) = (account(&carrier), [(SATOSHI, DUST)]);
        let request = self.asked(&root, &[(SATOSHI, STOLEN.into())], &dust).await?;
        let request = self.approved(&request).await?;
        self.tell.step("Team leader Min-jun approves; the watch is active");

        for peel in ["first", "second"] {
            let (shop, mut next) = (Bitcoin::wallet(&format!("{peel} peel")), Bitcoin::wallet(&format!("{peel} rest")));
            let rest = carrier.balance() - PEEL - FEE;
            let parts = [(shop.address(), PEEL), (next.address(), rest)];
            let paid = self.bitcoin()?.pay(&mut carrier, &parts).await?;
            next.note(&paid);
            self.concluded(&request, &[account(&shop), account(&next)]).await?;
            self.tell.step(&format!(
                "The {peel} peel: a quarter of a bitcoin goes aside, the rest to a new address; nobody holds either"
            ));
            carrier = next;
        }
        let amount = carrier.balance() - PEEL - FEE;
        let parts = [(Bitcoin::wallet("third peel").address(), PEEL), (address(&deposit)?, amount)];
        self.bitcoin()?.pay(&mut carrier, &parts).await?;
        self.tell.step("The third: the rest goes into Bithumb");
        self.trail(&request, "the deposit is an arrival", |items| arrivals(items, ArrivalState::Settled) == 1).await?;

        // Nobody mines but we: the deposit has one confirmation, and Bithumb credits after two.
        let legs = self
            .legs(&request, "the leg is binding", |legs| legs.iter().any(|leg| leg.reported() == LegState::Binding))
            .await?;
        ensure!(legs.len() == 1, "{} legs for one deposit", legs.len());
        for (exchange, ms) in self.block_to_binding(&request, &legs).await? {
            self.tell.step(&format!("{exchange:<8} binding {ms} ms after the block could first be heard of"));
            self.outcome.block_to_binding_ms.push(ms);
        }
        self.bitcoin()?.mine().await?;
        let legs = self
            .legs(&request, "the leg is frozen in full", |legs| {
                legs.iter().all(|leg| leg.reported() == LegState::FrozenFull)
            })
            .await?;
        self.withheld(&legs).await?;
        self.outcome.bound_before_credit += self.bound_before_credit(&request, &legs).await?;
        self.tell.step("The deposit is credited, and withheld as it is credited");
        self.outcome.arrivals += 1;
        self.outcome.legs_frozen += legs.len();
        let exit = account(&Bitcoin::wallet("thief exit"));
        self.refused_to(&exit, "bithumb", SATOSHI, amount.into()).await
    }

    fn bitcoin(&self) -> Result<&Bitcoin> {
        self.mesh.bitcoin.as_ref().ok_or_else(|| anyhow::anyhow!("this mesh has no Bitcoin"))
    }
}
