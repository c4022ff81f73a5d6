//! An exchange's customers, and its bad days.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use haetae_wire::{
    exchange::v1::AssetAmount,
    sandbox::v1::{
        Balance, GetAccountRequest, OpenAccountRequest, SetOutageRequest, WithdrawRequest, WithdrawResponse,
        sandbox_service_client::SandboxServiceClient,
    },
};
use tonic::transport::{Channel, Endpoint};

use crate::{CHAIN, EXCHANGES, House, agency::client_tls};

/// Drives the rehearsal exchanges.
#[derive(Clone)]
pub struct Customers {
    exchanges: BTreeMap<&'static str, SandboxServiceClient<Channel>>,
}

impl Customers {
    /// Makes connections; nothing is called yet.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn gather(house: &House) -> Result<Self> {
        let connect = |(exchange, _): (&'static str, &str)| {
            let tls = client_tls(&house.path("certs/ops"), &format!("control-{exchange}"))?;
            let uri = format!("https://127.0.0.1:{}", house.control(exchange)?.calls);
            let channel = Endpoint::from_shared(uri)?.tls_config(tls)?.connect_lazy();
            anyhow::Ok((exchange, SandboxServiceClient::new(channel)))
        };
        Ok(Self { exchanges: EXCHANGES.into_iter().map(connect).collect::<Result<_>>()? })
    }

    fn at(&self, exchange: &str) -> SandboxServiceClient<Channel> {
        self.exchanges[exchange].clone()
    }

    /// Opens an account; its deposit address (CAIP-10) on the chain of Ethereum's kind.
    ///
    /// # Errors
    /// When the exchange does not do it.
    pub async fn open(&self, exchange: &str, customer: &str) -> Result<String> {
        self.open_on(CHAIN, exchange, customer).await
    }

    /// The same on any chain (CAIP-2).
    ///
    /// # Errors
    /// When the exchange does not do it.
    pub async fn open_on(&self, chain: &str, exchange: &str, customer: &str) -> Result<String> {
        let request = OpenAccountRequest { customer: customer.to_owned() };
        let account = self.at(exchange).open_account(request).await?.into_inner();
        let on_chain = |account: &String| account.rsplit_once(':').is_some_and(|(on, _)| on == chain);
        account.deposit_accounts.into_iter().find(on_chain).context("an account without a deposit address")
    }

    /// What a customer has of an asset.
    ///
    /// # Errors
    /// When the exchange does not say.
    pub async fn balance(&self, exchange: &str, customer: &str, asset: &str) -> Result<Balance> {
        let request = GetAccountRequest { customer: customer.to_owned() };
        let account = self.at(exchange).get_account(request).await?.into_inner();
        let of_asset = account.balances.into_iter().find(|balance| balance.asset == asset);
        Ok(of_asset.unwrap_or_else(|| Balance {
            asset: asset.to_owned(),
            total: "0".to_owned(),
            withheld: "0".to_owned(),
            pending: "0".to_owned(),
        }))
    }

    /// A customer wants to withdraw.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn withdraw(
        &self,
        exchange: &str,
        customer: &str,
        asset: &str,
        amount: u128,
        to: &str,
    ) -> Result<WithdrawResponse> {
        let amount = AssetAmount { asset: asset.to_owned(), amount: amount.to_string() };
        let request = WithdrawRequest { customer: customer.to_owned(), amount: Some(amount), to: to.to_owned() };
        Ok(self.at(exchange).withdraw(request).await?.into_inner())
    }

    /// Takes an exchange's API down or brings it back.
    ///
    /// # Errors
    /// When the exchange does not do it.
    pub async fn set_outage(&self, exchange: &str, api_down: bool) -> Result<()> {
        self.at(exchange).set_outage(SetOutageRequest { api_down }).await?;
        Ok(())
    }
}
