//! Accounts, amounts and transfers.

use std::collections::BTreeMap;

use haetae_core::{Amount, Asset, ChainId, Collect, Reason, Target, TransferId, TransferIndex, Violations};

use crate::{
    exchange::v1,
    read::{self, Read},
};

const MEMO: usize = 128;
const HASH: usize = 128;

impl Read<Target> for v1::Target {
    fn read(&self, v: &mut Violations) -> Option<Target> {
        let account = read::parse(v, "account", &self.account);
        let memo = read::text_optional(v, "memo", &self.memo, MEMO);
        Some(Target { account: account?, memo: memo? })
    }
}

impl From<&Target> for v1::Target {
    fn from(target: &Target) -> Self {
        Self { account: target.account.to_string(), memo: target.memo.clone().unwrap_or_default() }
    }
}

impl Read<TransferId> for v1::Transfer {
    fn read(&self, v: &mut Violations) -> Option<TransferId> {
        let chain = read::parse::<ChainId>(v, "chain", &self.chain);
        let transaction = read_hash(v, "transaction", chain.as_ref(), &self.transaction);
        let index = read::parse::<TransferIndex>(v, "index", &self.index);
        Some(TransferId { chain: chain?, transaction: transaction?, index: index? })
    }
}

/// A transaction's or block's hash, in its chain's form where the chain is known.
pub(super) fn read_hash(v: &mut Violations, field: &str, chain: Option<&ChainId>, hash: &str) -> Option<String> {
    let text = read::text(v, field, hash, 1..=HASH)?;
    if let Some(kind) = chain.and_then(ChainId::kind) {
        TransferId::check_transaction(kind, &text).collect(v, field)?;
    }
    Some(text)
}

impl From<&TransferId> for v1::Transfer {
    fn from(transfer: &TransferId) -> Self {
        Self {
            chain: transfer.chain.to_string(),
            transaction: transfer.transaction.clone(),
            index: transfer.index.to_string(),
        }
    }
}

impl From<(&Asset, &Amount)> for v1::AssetAmount {
    fn from((asset, amount): (&Asset, &Amount)) -> Self {
        Self { asset: asset.to_string(), amount: amount.to_string() }
    }
}

/// Amounts per asset as they travel, in the order of the assets.
pub fn asset_amounts(amounts: &BTreeMap<Asset, Amount>) -> Vec<v1::AssetAmount> {
    amounts.iter().map(v1::AssetAmount::from).collect()
}

/// Notes that an asset is on another chain than what holds it.
pub(super) fn same_chain(v: &mut Violations, field: &str, chain: Option<&ChainId>, expected: Option<&ChainId>) {
    if let Some((chain, expected)) = chain.zip(expected)
        && chain != expected
    {
        v.add(field, Reason::WrongChain, "is on another chain than the account");
    }
}
