//! The same where money is kept in outputs: accounts by number, transactions of outputs.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::Hash as _;
use bitcoin::{Network, OutPoint, ScriptBuf, Txid, WPubkeyHash};
use haetae_core::{Account, Amount, Asset, ChainId, Moment, TaintRule, Target};

use crate::terms::Terms;
use crate::trail::{Input, Output, Place, Pool};

pub(crate) fn chain() -> ChainId {
    ChainId::bitcoin(Network::Regtest).unwrap()
}

/// Account number 0 is the root.
pub(crate) fn account(n: u8) -> Account {
    Account::of_script(chain(), &script(n)).unwrap()
}

pub(crate) fn script(n: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([n + 1; 20]))
}

pub(crate) fn coin() -> Asset {
    Asset::coin(chain()).unwrap()
}

pub(crate) fn terms(rule: TaintRule, stolen: u64) -> Terms {
    let of_accounts = super::terms(0);
    let mut limits = of_accounts.limits.clone();
    limits.dust = BTreeMap::from([(coin(), Amount::from(2u64))]);
    let stolen = BTreeMap::from([(coin(), Amount::from(stolen))]);
    Terms { root: Target::account(account(0)), stolen, limits, rule, ..of_accounts }
}

pub(crate) fn txid(n: u32) -> Txid {
    let mut bytes = [0; 32];
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    Txid::from_byte_array(bytes)
}

/// What lies at everybody before anything happens: outputs of transaction 0.
pub(crate) fn endowment(outputs: &[(u8, u64)]) -> Ledger {
    let mut ledger = Ledger::default();
    for ((account, amount), place) in outputs.iter().zip(0u32..) {
        ledger.0.insert(OutPoint { txid: txid(0), vout: place }, (Some(*account), *amount));
    }
    ledger
}

/// All outputs that were ever made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(pub(crate) BTreeMap<OutPoint, (Option<u8>, u64)>);

impl Ledger {
    /// Transaction `n` in block `block`: what it spends, by transaction and place, and what it makes; to nobody where there
    /// is no account.
    pub(crate) fn pool(&mut self, n: u32, block: u64, spends: &[(u32, u32)], makes: &[(Option<u8>, u64)]) -> Pool {
        let distinct: BTreeSet<_> = spends.iter().collect();
        assert_eq!(distinct.len(), spends.len(), "spent twice");
        let inputs = spends.iter().map(|&(of, vout)| {
            let spends = OutPoint { txid: txid(of), vout };
            let (owner, amount) = self.0[&spends];
            Input { spends, account: owner.map(account), amount: Amount::from(amount) }
        });
        let pool = Pool {
            asset: coin(),
            id: txid(n),
            inputs: inputs.collect(),
            outputs: makes
                .iter()
                .map(|(to, amount)| Output { account: to.map(account), amount: (*amount).into() })
                .collect(),
            place: Place { block, position: n },
            block_hash: format!("{block:064x}"),
            seen_at: Moment::UNIX_EPOCH,
        };
        for ((to, amount), place) in makes.iter().zip(0u32..) {
            self.0.insert(OutPoint { txid: txid(n), vout: place }, (*to, *amount));
        }
        pool
    }
}
