//! What the contract asks of an exchange's books: the one trait between the two.

use std::collections::BTreeSet;
use std::future::Future;

use haetae_core::{Amount, Asset, Target, TransferId, WalletRole};
use sqlx::PgConnection;

/// An account of the book's, under a key that only the book understands: one customer with all deposit addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountKey(pub(crate) String);

/// Which wallets a book searches for an address.
pub(crate) type Searched = BTreeSet<WalletRole>;

/// An exchange's books, kept in the same database as the contract: whatever either of them decides holds in one
/// transaction. The other way round, a book tells the contract of every [`Credit`], and asks it what of a balance is
/// withheld before it lets any of it go.
pub(crate) trait Book: Send + Sync + 'static {
    /// Which wallets [`holding`](Self::holding) searches.
    fn searched(&self) -> Searched;

    /// Whose wallet a target is.
    fn holding(
        &self,
        tx: &mut PgConnection,
        target: &Target,
    ) -> impl Future<Output = Result<Holding, sqlx::Error>> + Send;

    /// What an account owns of an asset, and which of these transfers have been credited to it, in order of credit;
    /// none where the book does not take the asset. Until the transaction ends, nothing is credited to the account and
    /// nothing leaves it.
    fn position(
        &self,
        tx: &mut PgConnection,
        account: &AccountKey,
        asset: &Asset,
        transfers: &[TransferId],
    ) -> impl Future<Output = Result<Option<Position>, sqlx::Error>> + Send;
}

/// Whose wallet a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// A customer's deposit address.
    Customer {
        /// The customer's account.
        account: AccountKey,
        /// Pseudonym of the customer, the same for all accounts of a person.
        holder: String,
    },
    /// The exchange's own.
    ExchangeOwn,
    /// None of ours.
    Nobody,
}

impl Holding {
    /// What the wallet is for; none where it is not ours.
    pub(crate) fn wallet_role(&self) -> Option<WalletRole> {
        match self {
            Self::Customer { .. } => Some(WalletRole::CustomerDeposit),
            Self::ExchangeOwn => Some(WalletRole::ExchangeOwn),
            Self::Nobody => None,
        }
    }

    /// The customer's pseudonym.
    pub(crate) fn holder(&self) -> Option<String> {
        match self {
            Self::Customer { holder, .. } => Some(holder.clone()),
            Self::ExchangeOwn | Self::Nobody => None,
        }
    }
}

/// What an account owns of an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// All of it, withheld or not.
    pub(crate) balance: Amount,
    /// Of the transfers asked for, those that were credited, in order of credit.
    pub(crate) credits: Vec<(TransferId, Amount)>,
}

/// Money that became a customer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credit {
    /// Whose.
    pub(crate) account: AccountKey,
    /// The deposit address it came to.
    pub(crate) target: Target,
    /// What.
    pub(crate) asset: Asset,
    /// How much.
    pub(crate) amount: Amount,
    /// By which transfer.
    pub(crate) transfer: TransferId,
}
