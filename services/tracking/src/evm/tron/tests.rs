//! Against answers of the shape that Tron's documentation and its node's source give: no Tron node runs here.

use std::slice::from_ref;

use haetae_core::{Account, ChainId, ChainKind, TransferId};
use serde_json::Value;

use super::*;
use crate::config::NodeConfig;
use crate::evm::Nodes;
use crate::evm::scripted::Scripted;

const BLOCK: &str = "00000000032a1b2c9f0e4d5c6b7a89980102030405060708090a0b0c0d0e0f10";
const SOLID: &str = "00000000032a1b19c0ffee00000000000000000000000000000000000000abcd";
const NUMBER: u64 = 0x032a_1b2c;
const USDT: &str = "a614f803b6fd780986a42c78ec9c7f77e6ded13c";

fn account(n: u8) -> String {
    format!("41{}", hex(n))
}

fn hex(n: u8) -> String {
    format!("{n:02x}").repeat(20)
}

fn id(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn sent(n: u8, kind: &str, contract_ret: &str, value: Value) -> Value {
    json!({"ret": [{"contractRet": contract_ret}], "signature": ["00"], "txID": id(n), "raw_data_hex": "00",
           "raw_data": {"contract": [{"type": kind, "parameter": {
               "value": value, "type_url": format!("type.googleapis.com/protocol.{kind}")}}],
               "ref_block_bytes": "1b2b", "expiration": 1_700_000_060_000_u64, "timestamp": 1_700_000_000_000_u64}})
}

/// Of a plain transfer, one of another asset, a call with coins, and one that failed.
fn block() -> Value {
    json!({"blockID": BLOCK,
    "block_header": {"raw_data": {"number": NUMBER, "timestamp": 1_700_000_003_000_u64, "parentHash": SOLID}},
    "transactions": [
        sent(1, "TransferContract", "SUCCESS",
            json!({"amount": 5_000_000, "owner_address": account(1), "to_address": account(2)})),
        sent(2, "TransferAssetContract", "SUCCESS",
            json!({"amount": 9, "asset_name": "31303032", "owner_address": account(1), "to_address": account(2)})),
        sent(3, "TriggerSmartContract", "SUCCESS",
            json!({"data": "a9059cbb", "owner_address": account(1), "contract_address": account(7), "call_value": 70})),
        sent(4, "TriggerSmartContract", "OUT_OF_ENERGY",
            json!({"data": "a9059cbb", "owner_address": account(1), "contract_address": account(7), "call_value": 80})),
        sent(5, "VoteWitnessContract", "SUCCESS",
            json!({"owner_address": account(1), "votes": [{"vote_address": account(9), "vote_count": 1_000}]})),
    ]})
}

fn inner(note: &str, to: u8, values: Value, more: Value) -> Value {
    let note: String = note.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut call = json!({"hash": id(0x77), "caller_address": account(7), "transferTo_address": account(to), "note": note,
                          "callValueInfo": values});
    if let Value::Object(more) = more {
        call.as_object_mut().unwrap().extend(more);
    }
    call
}

fn infos() -> Value {
    let info = |n: u8, fee: u64| json!({"id": id(n), "fee": fee, "blockNumber": NUMBER, "receipt": {"net_fee": fee}});
    let mut called = info(3, 13_000_000);
    called["contract_address"] = json!(account(7));
    called["log"] = json!([transfer(1, 2, 600)]);
    called["internal_transactions"] = json!([
        inner("call", 3, json!([{}]), Value::Null),
        inner("call", 4, json!([{"callValue": 30}, {"callValue": 5, "tokenId": "1002000"}]), Value::Null),
        inner("call", 5, json!([{"callValue": 31}]), json!({"rejected": true})),
        inner("delegateResourceOfEnergy", 6, json!([{"callValue": 40_000_000}]), Value::Null),
        inner("suicide", 8, json!([{"callValue": 32}]), Value::Null),
    ]);
    // Whoever has bandwidth of his own pays nothing, which is left out.
    let free = json!({"id": id(1), "blockNumber": NUMBER, "receipt": {"net_usage": 268}});
    let mut failed = info(4, 2_000);
    failed["result"] = json!("FAILED");
    failed["resMessage"] = json!("4e6f7420656e6f75676820656e65726779");
    json!([free, info(2, 1_000), called, failed, info(5, 3_000)])
}

fn header() -> Value {
    json!({"number": format!("0x{NUMBER:x}"), "hash": format!("0x{BLOCK}"), "parentHash": format!("0x{SOLID}"),
           "timestamp": "0x6553f103", "baseFeePerGas": "0x0", "uncles": []})
}

fn transfer(from: u8, to: u8, amount: u64) -> Value {
    let word = |n: u8| format!("{}{}", "00".repeat(12), hex(n));
    json!({"address": USDT, "data": format!("{amount:064x}"),
           "topics": ["ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef", word(from), word(to)]})
}

/// What a node of Tron answers. It knows no tracers.
fn script(method: &str, asked: &Value) -> Option<Value> {
    Some(match method {
        "eth_chainId" => json!("0x2b6653dc"),
        "eth_getBlockByNumber" => header(),
        "eth_getBlockByHash" => {
            assert_eq!(*asked, json!([format!("0x{BLOCK}"), false]), "what its JSON-RPC says of transactions misleads");
            let mut block = header();
            block["transactions"] = (1..=5).map(|n| json!(format!("0x{}", id(n)))).collect();
            block
        }
        "eth_getCode" if asked[1] != "latest" => return None,
        "eth_getCode" if asked[0] == format!("0x{USDT}") => json!("0x60"),
        "eth_getCode" => json!("0x"),
        "/wallet/getblockbyid" if asked["value"] == BLOCK => block(),
        "/wallet/gettransactioninfobyblocknum" if asked["num"] == NUMBER => infos(),
        "/walletsolidity/getnowblock" => {
            json!({"blockID": SOLID, "block_header": {"raw_data": {"number": NUMBER - 19}}})
        }
        _ => return None,
    })
}

fn hash() -> B256 {
    BLOCK.parse().unwrap()
}

fn chain() -> ChainId {
    ChainId::tron(728_126_428)
}

fn of(nodes: &[NodeConfig]) -> Tron {
    let nodes = Nodes::new(chain().node_number().unwrap(), nodes, Duration::from_secs(3)).unwrap();
    Tron::new(Evm::new(chain(), nodes)).unwrap()
}

#[tokio::test]
async fn a_block_of_tron_has_coins_tokens_calls_and_what_they_cost() {
    let node = Scripted::start(script).await;
    let tron = of(from_ref(&node.config));
    assert_eq!(tron.newest().await.unwrap(), BlockRef { number: NUMBER, hash: hash() });
    let block = tron.block(hash()).await.unwrap().unwrap();
    let bytes = |n: u8| Address::repeat_byte(n);
    let usdt: Address = USDT.parse().unwrap();
    let found: Vec<_> = block
        .transfers()
        .iter()
        .map(|t| (t.transaction.0[0], t.index.to_string(), t.from, t.to, t.token, t.amount.to::<u64>()))
        .collect();
    let coin = |n, index: &str, from, to, amount| (n, index.to_owned(), bytes(from), bytes(to), None, amount);
    assert_eq!(
        found,
        [
            coin(1, "native", 1, 2, 5_000_000),
            coin(2, "fee", 1, 1, 1_000),
            coin(3, "fee", 1, 1, 13_000_000),
            coin(3, "native", 1, 7, 70),
            coin(3, "trace/1", 7, 4, 30),
            coin(3, "trace/4", 7, 8, 32),
            (3, "log/0".to_owned(), bytes(1), bytes(2), Some(usdt), 600),
            coin(4, "fee", 1, 1, 2_000),
            coin(5, "fee", 1, 1, 3_000),
        ]
    );
    assert!(tron.condition().internal_transfers);
}

#[tokio::test]
async fn solid_blocks_are_final_and_accounts_are_looked_at_as_they_are_now() {
    let node = Scripted::start(script).await;
    let tron = of(from_ref(&node.config));
    let solid = BlockRef { number: NUMBER - 19, hash: SOLID.parse().unwrap() };
    assert_eq!(tron.finalized().await.unwrap(), Some(solid));
    let accounts = [USDT.parse().unwrap(), Address::repeat_byte(1), Address::ZERO];
    let facts = tron.facts(&accounts, NUMBER).await.unwrap();
    assert_eq!(facts.iter().map(|facts| facts.contract).collect::<Vec<_>>(), [true, false, true]);
    let balance = BalanceAt { account: accounts[1], token: None, block: hash() };
    assert_eq!(tron.balances(&[balance]).await.unwrap(), [None]);
}

/// What was asked for by number may be about another block by then.
#[tokio::test]
async fn a_block_that_leaves_the_chain_while_it_is_read_is_none() {
    let mut headers = 0;
    let node = Scripted::start(move |method, asked| {
        let mut answer = script(method, asked)?;
        headers += u32::from(method == "eth_getBlockByNumber");
        if method == "eth_getBlockByNumber" && headers > 1 {
            answer["hash"] = json!(format!("0x{SOLID}"));
        }
        Some(answer)
    })
    .await;
    assert_eq!(of(from_ref(&node.config)).block(hash()).await.unwrap(), None);
}

#[tokio::test]
async fn a_block_whose_outcomes_are_missing_is_asked_of_another_node() {
    let lacking = Scripted::start(|method, asked| match method {
        "/wallet/gettransactioninfobyblocknum" => Some(json!([])),
        _ => script(method, asked),
    })
    .await;
    let whole = Scripted::start(script).await;
    assert!(of(from_ref(&lacking.config)).block(hash()).await.is_err());
    assert!(of(&[lacking.config.clone(), whole.config.clone()]).block(hash()).await.unwrap().is_some());
}

#[test]
fn what_is_said_of_tron_is_spelled_as_tron_spells_it() {
    assert_eq!(chain().hash(hash()), BLOCK);
    TransferId::check_transaction(ChainKind::Tron, &chain().hash(hash())).unwrap();
    let usdt = Account::of_bytes(chain(), USDT.parse().unwrap()).unwrap();
    assert_eq!(usdt.to_string(), "tron:728126428:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t");
}
