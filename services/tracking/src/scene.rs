//! What the tests of the pure modules are told with: accounts by number, one token, blocks of transfers.

pub(crate) mod coins;

use std::collections::BTreeMap;

use alloy_primitives::Address;
use haetae_core::{
    Account, Amount, Asset, ChainId, Moment, RequestId, TaintRule, Target, TransferId, TransferIndex, WalletRole,
    WatchId,
};
use uuid::Uuid;

use crate::knowledge::{AccountFacts, Holder, Look, Opening, Standing};
use crate::terms::{Limits, Terms};
use crate::trail::{Place, Sighting};

pub(crate) fn chain() -> ChainId {
    ChainId::evm(31_337)
}

/// Account number 0 is the root.
pub(crate) fn account(n: u8) -> Account {
    Account::evm(chain(), Address::repeat_byte(n + 1))
}

pub(crate) fn token() -> Asset {
    Asset::erc20(chain(), Address::repeat_byte(0xee))
}

pub(crate) fn terms(stolen: u64) -> Terms {
    Terms {
        watch: WatchId(Uuid::from_u128(7)),
        request: RequestId(Uuid::from_u128(8)),
        root: Target::account(account(0)),
        stolen: BTreeMap::from([(token(), Amount::from(stolen))]),
        limits: Limits {
            max_hops: 10,
            dust: BTreeMap::from([(token(), Amount::from(2u64))]),
            max_addresses: 100,
            max_questions: 100,
            max_degree: 50,
        },
        rule: TaintRule::TracedFirst,
        begins: None,
        exchanges: 1,
    }
}

/// Transfer `n`, in block `block`.
pub(crate) fn transfer(n: u32, block: u64, from: u8, to: u8, amount: u64) -> Sighting {
    Sighting {
        transfer: TransferId { chain: chain(), transaction: format!("0x{n:064x}"), index: TransferIndex::Log(0) },
        from: account(from),
        to: account(to),
        asset: token(),
        amount: Amount::from(amount),
        place: Place { block, position: n },
        block_hash: format!("0x{block:064x}"),
        seen_at: Moment::UNIX_EPOCH,
    }
}

/// Facts are enough where the rule needs no balances.
impl<F: Fn(&Account) -> Option<AccountFacts>> Look for F {
    fn facts(&self, account: &Account) -> Option<AccountFacts> {
        self(account)
    }

    fn opening(&self, _: &Account, _: &Asset) -> Option<Opening> {
        None
    }
}

/// What everybody has: the root 150, and 50 more for each account number to begin with.
#[derive(Clone, Debug)]
pub(crate) struct World(BTreeMap<Account, Amount>);

impl Default for World {
    fn default() -> Self {
        Self((0u8..10).map(|n| (account(n), Amount::from(u64::from(n + 3) * 50))).collect())
    }
}

impl World {
    pub(crate) fn of(&self, account: &Account) -> Amount {
        self.0.get(account).copied().unwrap_or_default()
    }

    /// The transfer, of no more than there is. What somebody pays to himself is what a transaction costs.
    pub(crate) fn affordable(&self, mut transfer: Sighting) -> Sighting {
        transfer.amount = transfer.amount.min(self.of(&transfer.from));
        if transfer.from == transfer.to {
            transfer.transfer.index = TransferIndex::Fee;
        }
        transfer
    }

    pub(crate) fn move_on(&mut self, transfer: &Sighting) {
        let left = self.of(&transfer.from).saturating_sub(transfer.amount);
        self.0.insert(transfer.from.clone(), left);
        if !transfer.is_fee() {
            let more = self.of(&transfer.to).saturating_add(transfer.amount);
            self.0.insert(transfer.to.clone(), more);
        }
    }

    pub(crate) fn before(&self, transfer: &Sighting) -> Balances<'_> {
        Balances { place: transfer.place, of: &self.0 }
    }
}

/// What everybody has before a transfer.
pub(crate) struct Balances<'a> {
    pub(crate) place: Place,
    pub(crate) of: &'a BTreeMap<Account, Amount>,
}

impl Look for Balances<'_> {
    fn facts(&self, account: &Account) -> Option<AccountFacts> {
        plain(account)
    }

    fn opening(&self, account: &Account, _: &Asset) -> Option<Opening> {
        Some(Opening { since: self.place, balance: Some(self.of.get(account).copied().unwrap_or_default()) })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "has the form of a look-up")]
pub(crate) fn plain(_: &Account) -> Option<AccountFacts> {
    Some(AccountFacts::default())
}

pub(crate) fn held() -> Standing {
    Standing::Held(Holder { exchange: "upbit".parse().unwrap(), role: Some(WalletRole::CustomerDeposit) })
}
