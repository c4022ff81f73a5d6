//! Transactions that wait to be included, as the block shows them that the node would make next. What they would do is
//! known before only of the plainest: a payment of the coin, and of a token by a call of its own.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256, Bytes, U64, U256, hex};
use anyhow::ensure;
use futures::future::try_join_all;
use haetae_core::TransferIndex;
use serde::Deserialize;
use serde_json::json;

use super::answers::Placed;
use super::node::{NoAnswer, Node};
use crate::source::{Body, Pending, Transfer, Waiting};
use crate::waiting::{Claim, Whereabouts};

/// `transfer(address,uint256)` and `transferFrom(address,address,uint256)` (ERC-20).
const TRANSFER: [u8; 4] = hex!("a9059cbb");
const TRANSFER_FROM: [u8; 4] = hex!("23b872dd");

/// The block that the node would make next.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Next {
    parent_hash: B256,
    /// None, or anything, of a block that is not made yet.
    hash: Option<B256>,
    transactions: Vec<Sent>,
}

#[derive(Debug, Deserialize)]
struct Sent {
    hash: B256,
    from: Address,
    to: Option<Address>,
    value: U256,
    nonce: U64,
    input: Bytes,
}

/// What waits; none where the node does not show it.
///
/// # Errors
/// When the node does not answer, or a block came meanwhile.
pub(super) async fn waiting(node: &Node, known: &HashSet<B256>) -> anyhow::Result<Option<Waiting>> {
    let newest = node.look().await?;
    let next = match node.ask_aside::<Option<Next>>("eth_getBlockByNumber", json!(["pending", true])).await {
        Err(error) if error.is_refusal() => return Ok(None),
        answer => answer?,
    };
    // Some nodes make none, and show their newest in its place.
    let Some(next) = next.filter(|next| next.hash != Some(newest.hash)) else { return Ok(None) };
    ensure!(next.parent_hash == newest.hash, "a block came meanwhile");
    let all = next.transactions.iter().map(|sent| sent.hash).collect();
    let new = next.transactions.into_iter().filter(|sent| !known.contains(&sent.hash)).map(Sent::pending).collect();
    Ok(Some(Waiting { new, all, newest }))
}

/// Where transactions are that the next block does not hold: what does not fit into it waits for another.
pub(super) async fn whereabouts(node: &Node, of: &[B256]) -> Result<HashMap<B256, Whereabouts>, NoAnswer> {
    let about = of.iter().map(|hash| node.ask_aside::<Option<Placed>>("eth_getTransactionByHash", json!([hash])));
    let found = try_join_all(about).await?;
    let place = |found: Placed| found.at().map_or(Whereabouts::Waits, |at| Whereabouts::InBlock(at.number));
    Ok(of.iter().zip(found).filter_map(|(hash, found)| Some((*hash, place(found?)))).collect())
}

impl Sent {
    fn pending(self) -> Pending {
        let claims = vec![Claim::Turn(self.from, self.nonce.to())];
        let coins = self.to.map(|to| (self.from, to, None, self.value));
        let paid = coins.into_iter().chain(self.token_payment());
        let paid = paid.filter(|(from, to, _, amount)| from != to && !amount.is_zero());
        let transfer = |(from, to, token, amount): (_, _, Option<Address>, _)| Transfer {
            transaction: self.hash,
            index: if token.is_none() { TransferIndex::Native } else { TransferIndex::Log(0) },
            from,
            to,
            token,
            amount,
        };
        Pending { id: self.hash, claims, body: Body::Transfers(paid.map(transfer).collect()) }
    }

    /// Who would pay whom, which token, and how many: as the call asks for.
    fn token_payment(&self) -> Option<(Address, Address, Option<Address>, U256)> {
        let (selector, words) = self.input.split_at_checked(4)?;
        let word = |n: usize| words.get(n * 32..(n + 1) * 32);
        let account = |n: usize| Address::try_from(word(n)?.get(12..)?).ok();
        let amount = |n: usize| word(n).map(U256::from_be_slice);
        let (from, to, amount) = match selector.try_into() {
            Ok(TRANSFER) => (self.from, account(0)?, amount(1)?),
            Ok(TRANSFER_FROM) => (account(0)?, account(1)?, amount(2)?),
            _ => return None,
        };
        Some((from, to, Some(self.to?), amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payments(to: Option<u8>, value: u64, input: &str) -> Vec<(Address, Address, Option<Address>, u64)> {
        let sent: Sent = serde_json::from_value(json!({
            "hash": B256::repeat_byte(9), "from": Address::repeat_byte(1), "to": to.map(Address::repeat_byte),
            "value": U256::from(value), "nonce": "0x5", "input": input, "blockHash": null
        }))
        .unwrap();
        let pending = sent.pending();
        assert_eq!(pending.claims, [Claim::Turn(Address::repeat_byte(1), 5)]);
        let Body::Transfers(transfers) = pending.body else { panic!("transfers") };
        transfers.into_iter().map(|t| (t.from, t.to, t.token, t.amount.to())).collect()
    }

    #[test]
    fn what_a_transaction_would_pay_is_read_from_its_call() {
        let account = Address::repeat_byte;
        let word = |n: u8| format!("{}{}", "00".repeat(12), format!("{n:02x}").repeat(20));
        let amount = format!("{:064x}", 70);
        let token = Some(account(7));
        assert_eq!(payments(Some(2), 50, "0x"), [(account(1), account(2), None, 50)]);
        let transfer = format!("0xa9059cbb{}{amount}", word(2));
        assert_eq!(payments(Some(7), 0, &transfer), [(account(1), account(2), token, 70)]);
        let of_another = format!("0x23b872dd{}{}{amount}", word(3), word(2));
        assert_eq!(payments(Some(7), 0, &of_another), [(account(3), account(2), token, 70)]);
        for (to, value, input) in [
            (Some(1), 50, "0x"),
            (Some(7), 0, "0xa9059cbb00"),
            (Some(7), 0, "0x1234"),
            (None, 50, "0x6000"),
            (Some(7), 0, &format!("0xa9059cbb{}{:064x}", word(2), 0)),
        ] {
            assert_eq!(payments(to, value, input), [], "{to:?} {input}");
        }
    }
}
