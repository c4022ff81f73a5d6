//! What the tests of the pure modules are told with: accounts by number, one token, blocks of transfers.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use haetae_core::{
    Account, Amount, Asset, ChainId, Moment, RequestId, Target, TransferId, TransferIndex, WalletRole, WatchId,
};
use uuid::Uuid;

use crate::knowledge::{AccountFacts, Holder, Standing};
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

#[expect(clippy::unnecessary_wraps, reason = "has the form of a look-up")]
pub(crate) fn plain(_: &Account) -> Option<AccountFacts> {
    Some(AccountFacts::default())
}

pub(crate) fn held() -> Standing {
    Standing::Held(Holder { exchange: "upbit".parse().unwrap(), role: Some(WalletRole::CustomerDeposit) })
}
