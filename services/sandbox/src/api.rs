//! How the rehearsal exchange is driven: `haetae.sandbox.v1` on the wire.

use haetae_core::{Account, Amount, Asset, Moment, Reason, Violations, micros};
use haetae_service::{refuse, refuse_all};
use haetae_wire::convert::timestamp;
use haetae_wire::read;
use haetae_wire::sandbox::v1::{
    Balance, GetAccountRequest, GetAccountResponse, OpenAccountRequest, OpenAccountResponse, SetOutageRequest,
    SetOutageResponse, WithdrawRequest, WithdrawResponse, WithdrawalOutcome, sandbox_service_server::SandboxService,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use crate::book::{Customers, NotWithdrawn, Outcome};
use crate::contract::broken;
use crate::outage::Outage;

/// The longest name of a customer.
const NAME: usize = 100;

/// Serves the driving contract.
#[derive(Debug)]
pub(crate) struct SandboxApi {
    pub(crate) customers: Customers,
    pub(crate) outage: Outage,
}

fn now() -> Moment {
    micros(OffsetDateTime::now_utc())
}

fn customer(name: &str) -> Result<String, Status> {
    let mut v = Violations::new();
    let name = read::text(&mut v, "customer", name, 1..=NAME);
    v.finish(name).map_err(|violations| refuse_all(violations).into())
}

/// A withdrawal, read.
struct Wanted {
    customer: String,
    asset: Asset,
    amount: Amount,
    to: Account,
}

fn wanted(request: &WithdrawRequest) -> Result<Wanted, Status> {
    let mut v = Violations::new();
    let customer = read::text(&mut v, "customer", &request.customer, 1..=NAME);
    let amount = read::present(&mut v, "amount", request.amount.as_ref()).and_then(|amount| {
        v.within("amount", |v| {
            let asset = read::parse::<Asset>(v, "asset", &amount.asset);
            let amount = read::amount(v, "amount", &amount.amount);
            asset.zip(amount)
        })
    });
    let to = read::parse::<Account>(&mut v, "to", &request.to);
    if let (Some((asset, _)), Some(to)) = (&amount, &to)
        && asset.chain() != to.chain()
    {
        v.add("to", Reason::WrongChain, "is on another chain than the asset");
    }
    let read =
        customer.zip(amount).zip(to).map(|((customer, (asset, amount)), to)| Wanted { customer, asset, amount, to });
    v.finish(read).map_err(|violations| refuse_all(violations).into())
}

#[tonic::async_trait]
impl SandboxService for SandboxApi {
    async fn open_account(
        &self,
        request: Request<OpenAccountRequest>,
    ) -> Result<Response<OpenAccountResponse>, Status> {
        let name = customer(&request.get_ref().customer)?;
        let accounts = self.customers.books().open_account(&name, now()).await.map_err(broken)?;
        let deposit_accounts = accounts.iter().map(ToString::to_string).collect();
        Ok(Response::new(OpenAccountResponse { deposit_accounts }))
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> Result<Response<GetAccountResponse>, Status> {
        let name = customer(&request.get_ref().customer)?;
        let balances = self.customers.balances(&name, now()).await.map_err(broken)?;
        let balances = balances.ok_or_else(|| refuse(Reason::NotFound))?.into_iter().map(|balance| Balance {
            asset: balance.asset.to_string(),
            total: balance.total.to_string(),
            withheld: balance.withheld.to_string(),
            pending: balance.pending.to_string(),
        });
        Ok(Response::new(GetAccountResponse { balances: balances.collect() }))
    }

    async fn withdraw(&self, request: Request<WithdrawRequest>) -> Result<Response<WithdrawResponse>, Status> {
        let Wanted { customer, asset, amount, to } = wanted(request.get_ref())?;
        let at = now();
        let withdrawal = self.customers.withdraw(&customer, &asset, amount, &to, at).await;
        let withdrawal = withdrawal.map_err(|error| match error {
            NotWithdrawn::UnknownCustomer => refuse(Reason::NotFound).into(),
            NotWithdrawn::UnknownAsset => refuse(Reason::ChainNotSupported).into(),
            NotWithdrawn::Database(error) => broken(error),
        })?;
        let outcome = match withdrawal.outcome {
            Outcome::Paid => WithdrawalOutcome::Paid,
            Outcome::Frozen => WithdrawalOutcome::Frozen,
            Outcome::Insufficient => WithdrawalOutcome::Insufficient,
        };
        Ok(Response::new(WithdrawResponse {
            outcome: outcome.into(),
            transaction: withdrawal.transaction.unwrap_or_default(),
            at: Some(timestamp(at)),
        }))
    }

    async fn set_outage(&self, request: Request<SetOutageRequest>) -> Result<Response<SetOutageResponse>, Status> {
        let down = request.get_ref().api_down;
        tracing::info!(down, "outage");
        self.outage.set(down);
        Ok(Response::new(SetOutageResponse {}))
    }
}
