//! What several nodes of one chain are asked, and what is made of their answers.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haetae_testkit::anvil::{Anvil, AnvilOptions};
use haetae_testkit::proxy::{FaultProxy, Mode};

use super::scripted::{Scripted, refusal};
use super::*;
use crate::config::NodeConfig;

const CHAIN: u64 = 137;

fn hash(number: u64) -> B256 {
    B256::with_last_byte(number.try_into().unwrap())
}

fn block(number: u64) -> Value {
    json!({"number": U64::from(number), "hash": hash(number), "parentHash": hash(number - 1), "timestamp": "0x65",
           "transactions": [{"hash": B256::repeat_byte(1), "from": Address::repeat_byte(1),
                             "to": Address::repeat_byte(2), "value": "0x9"}]})
}

fn receipts(number: u64) -> Value {
    json!([{"transactionHash": B256::repeat_byte(1), "blockHash": hash(number), "status": "0x1", "logs": [],
            "from": Address::repeat_byte(1), "contractAddress": null}])
}

fn flat_traces(number: u64) -> Value {
    let call = |path: &[u32], from: u8, to: u8| {
        json!({"type": "call", "traceAddress": path, "blockHash": hash(number), "transactionHash": B256::repeat_byte(1),
               "action": {"callType": "call", "from": Address::repeat_byte(from), "to": Address::repeat_byte(to),
                          "value": "0x9"}})
    };
    json!([call(&[], 1, 2), call(&[0], 2, 3)])
}

/// A node whose chain ends at block 7.
fn plain(method: &str, params: &Value) -> Option<Value> {
    Some(match method {
        "eth_chainId" => json!(U64::from(CHAIN)),
        "eth_getBlockByNumber" => block(7),
        "eth_getBlockByHash" if params[0] == json!(hash(7)) => block(7),
        "eth_getBlockByHash" => Value::Null,
        "eth_getBlockReceipts" => receipts(7),
        _ => return None,
    })
}

fn tracing(method: &str, params: &Value) -> Option<Value> {
    if method == "trace_block" { Some(flat_traces(7)) } else { plain(method, params) }
}

fn evm(nodes: &[NodeConfig]) -> Evm {
    Evm::new(ChainId::evm(CHAIN), Nodes::new(CHAIN, nodes, Duration::from_secs(2)).unwrap())
}

fn ids(block: &Block) -> Vec<String> {
    block.transfers().iter().map(|transfer| transfer.index.to_string()).collect()
}

#[tokio::test]
async fn a_node_of_another_chain_is_asked_nothing() {
    let stranger = Scripted::start(|method, _| match method {
        "eth_chainId" => Some(json!("0x1")),
        other => panic!("a node of another chain was asked {other}"),
    })
    .await;
    let node = Scripted::start(plain).await;
    let both = evm(&[stranger.config.clone(), node.config.clone()]);
    assert_eq!(both.newest().await.unwrap().number, 7);
    assert!(both.block(hash(7)).await.unwrap().is_some());
    assert!(both.facts(&[Address::ZERO], 7).await.is_err(), "the node that is of the chain does not know the calls");
    assert_eq!(both.condition(), Condition { nodes: 2, answering: 1, internal_transfers: false });
    let alone = evm(from_ref(&stranger.config));
    assert!(alone.newest().await.is_err() && alone.block(hash(7)).await.is_err());
}

#[tokio::test]
async fn a_node_that_comes_back_as_one_of_another_chain_is_noticed() {
    let chain = Arc::new(AtomicU64::new(CHAIN));
    let said = Arc::clone(&chain);
    let node = Scripted::start(move |method, params| match method {
        "eth_chainId" => Some(json!(U64::from(said.load(Ordering::Relaxed)))),
        _ => plain(method, params),
    })
    .await;
    let port: std::net::SocketAddr = node.config.http["http://".len()..].trim_end_matches("/jsonrpc").parse().unwrap();
    let proxy = FaultProxy::start(port).await.unwrap();
    let http = format!("http://{}/jsonrpc", proxy.address());
    let evm = evm(&[NodeConfig { http, ..NodeConfig::default() }]);
    assert_eq!(evm.newest().await.unwrap().number, 7);

    proxy.set(Mode::Refuse).await.unwrap();
    proxy.cut().await.unwrap();
    assert!(evm.newest().await.is_err());
    assert_eq!(evm.condition().answering, 0);
    chain.store(1, Ordering::Relaxed);
    proxy.set(Mode::Pass).await.unwrap();
    assert!(evm.newest().await.unwrap_err().to_string().contains("another chain"));
    chain.store(CHAIN, Ordering::Relaxed);
    assert_eq!(evm.newest().await.unwrap().number, 7);
}

#[tokio::test]
async fn a_block_is_taken_whole_from_one_node() {
    let without_receipts = Scripted::start(|method, params| match method {
        "eth_getBlockReceipts" => Some(Value::Null),
        _ => plain(method, params),
    })
    .await;
    let of_another_block = Scripted::start(|method, params| match method {
        "eth_getBlockReceipts" => Some(receipts(6)),
        _ => plain(method, params),
    })
    .await;
    let whole = Scripted::start(plain).await;
    let lacking = [without_receipts.config.clone(), of_another_block.config.clone()];
    assert_eq!(evm(&lacking[..1]).block(hash(7)).await.unwrap(), None);
    assert!(evm(&lacking).block(hash(7)).await.is_err());
    let all = [lacking.as_slice(), from_ref(&whole.config)].concat();
    assert_eq!(ids(&evm(&all).block(hash(7)).await.unwrap().unwrap()), ["native"]);
    assert_eq!(evm(&all).block(hash(8)).await.unwrap(), None, "no node has it");
}

#[tokio::test]
async fn what_calls_moved_is_asked_of_the_node_that_can_tell() {
    let (silent, telling) = (Scripted::start(plain).await, Scripted::start(tracing).await);
    let both = evm(&[silent.config.clone(), telling.config.clone()]);
    both.newest().await.unwrap();
    both.nodes.look_around().await;
    both.newest().await.unwrap();
    assert!(both.condition().internal_transfers);
    assert_eq!(ids(&both.block(hash(7)).await.unwrap().unwrap()), ["native", "trace/0"]);
    let alone = evm(from_ref(&silent.config));
    assert_eq!(ids(&alone.block(hash(7)).await.unwrap().unwrap()), ["native"]);
    assert!(!alone.condition().internal_transfers);
}

/// A transaction that calls a precompiled contract, pays, writes a log, makes a contract that ends at once, tries to pay
/// more than it has, and pays again.
#[tokio::test(flavor = "multi_thread")]
async fn both_tracers_of_a_real_node_tell_the_same() {
    let payee = "77".repeat(20);
    let pay = |amount: &str| format!("6000600060006000{amount}73{payee}5af150");
    let ends = format!("7573{payee}ff6000526016600a6002f050");
    let code =
        ["600060006000600060045afa50", &pay("6001"), "60006000a0", &ends, &pay(&format!("6f{}", "ff".repeat(16)))];
    let code = format!("0x{}{}00", code.concat(), pay("6003"));
    let anvil = Anvil::start(AnvilOptions { chain_id: CHAIN, ..AnvilOptions::default() }).await.unwrap();
    let from = anvil.rpc("eth_accounts", json!([])).await.unwrap()[0].clone();
    let sent = json!([{"from": from, "data": code, "value": "0x64", "gas": "0x100000"}]);
    let transaction = anvil.rpc("eth_sendTransaction", sent).await.unwrap();
    let evm = evm(&[NodeConfig { http: anvil.http_url(), ..NodeConfig::default() }]);
    let receipt = loop {
        let receipt = anvil.rpc("eth_getTransactionReceipt", json!([transaction])).await.unwrap();
        if !receipt.is_null() {
            break receipt;
        }
    };
    assert_eq!(receipt["status"], "0x1");

    let at = evm.newest().await.unwrap();
    let node = evm.nodes.followed();
    assert_eq!(node.known().tracer, Some(Tracer::Calls));
    let hash: B256 = serde_json::from_value(transaction).unwrap();
    let (method, params) = Tracer::Calls.question(at);
    let calls: Vec<TracedTransaction> = node.ask_traces(method, params).await.unwrap();
    let mut calls = traces::from_calls(&calls, &[hash]).unwrap().remove(&hash).unwrap();
    let (method, params) = Tracer::Flat.question(at);
    let flat: Vec<FlatCall> = node.ask_traces(method, params).await.unwrap();
    let flat = traces::from_flat(&flat, at.hash).unwrap().remove(&hash).unwrap();
    let block = evm.block(at.hash).await.unwrap().unwrap();
    assert_eq!(ids(&block), ["fee", "native", "trace/0", "trace/1", "trace/1/0", "trace/2"]);
    let amounts: Vec<u64> = block.transfers()[1..].iter().map(|transfer| transfer.amount.to()).collect();
    assert_eq!(amounts, [100, 1, 2, 2, 3]);
    assert!(matches!(calls[1], traces::Step::Logged(_)), "{calls:?}");
    calls.retain(|step| matches!(step, traces::Step::Moved { .. }));
    assert_eq!(calls, flat);
}

#[tokio::test]
async fn a_block_that_cannot_be_traced_is_read_without() {
    let mut asked = 0;
    let forgetful = Scripted::start(move |method, params| match method {
        "trace_block" => {
            asked += 1;
            // It can tell when it is asked whether it can, and has lost the state later.
            (asked == 1).then(|| flat_traces(7))
        }
        _ => plain(method, params),
    })
    .await;
    let evm = evm(from_ref(&forgetful.config));
    evm.newest().await.unwrap();
    assert!(evm.condition().internal_transfers);
    assert_eq!(ids(&evm.block(hash(7)).await.unwrap().unwrap()), ["native"]);
}

#[tokio::test]
async fn what_is_burnt_and_what_the_node_itself_executes_goes_no_further() {
    let node = Scripted::start(|method, params| match method {
        "eth_getCode" if params[0] == json!(Address::repeat_byte(7)) => Some(json!("0x6000")),
        "eth_getCode" if params[0] == json!(Address::repeat_byte(8)) => Some(json!("0xef01000707")),
        "eth_getCode" => Some(json!("0x")),
        "eth_getTransactionCount" => Some(json!("0x3")),
        _ => plain(method, params),
    })
    .await;
    let accounts = [
        Address::ZERO,
        BURNT[1],
        Address::with_last_byte(9),
        Address::repeat_byte(7),
        Address::repeat_byte(8),
        Address::repeat_byte(9),
    ];
    let facts = evm(from_ref(&node.config)).facts(&accounts, 7).await.unwrap();
    let contracts: Vec<bool> = facts.iter().map(|facts| facts.contract).collect();
    assert_eq!(contracts, [true, true, true, true, false, false]);
}

/// A node that answers about so many blocks at once; there is a payment in every tenth.
async fn with_logs(at_once: u64, asked: &Arc<AtomicU64>) -> Scripted {
    let asked = Arc::clone(asked);
    Scripted::start(move |method, params| match method {
        "eth_getLogs" => {
            asked.fetch_add(1, Ordering::Relaxed);
            let number = |of: &str| serde_json::from_value::<U64>(params[0][of].clone()).unwrap().to::<u64>();
            let (first, last) = (number("fromBlock"), number("toBlock"));
            let logs = (first..=last).filter(|number| number % 10 == 0);
            let logs = logs.map(|number| json!({"blockNumber": U64::from(number)})).collect();
            Some(if last - first < at_once { logs } else { refusal() })
        }
        _ => plain(method, params),
    })
    .await
}

fn payments(accounts: u64) -> Payments {
    let by = (1..=accounts).map(|n| Address::left_padding_from(&n.to_be_bytes())).collect();
    Payments { by, of: BTreeSet::from([Address::repeat_byte(7)]) }
}

#[tokio::test]
async fn payments_are_looked_for_in_as_many_blocks_at_once_as_the_node_answers_for() {
    for (at_once, questions) in [(2_000, 1..2), (300, 5..10), (7, 143..160)] {
        let asked = Arc::default();
        let node = with_logs(at_once, &asked).await;
        let evm = evm(from_ref(&node.config));
        let found = evm.paying(&payments(3), 1, 1_000).await.unwrap().unwrap();
        assert_eq!(found.blocks, (1..=100).map(|n| n * 10).collect());
        assert_eq!(found.last.hash, hash(7), "as that node has it");
        let asked = asked.load(Ordering::Relaxed);
        assert!(questions.contains(&asked), "{asked} questions where {at_once} blocks are answered for");
    }
}

#[tokio::test]
async fn where_payments_cannot_be_looked_for_all_blocks_are_to_be_read() {
    let asked = Arc::default();
    let without = Scripted::start(plain).await;
    let refusing = with_logs(0, &asked).await;
    for node in [&without, &refusing] {
        assert_eq!(evm(from_ref(&node.config)).paying(&payments(3), 1, 100).await.unwrap(), None);
    }
    let node = with_logs(1_000, &asked).await;
    assert_eq!(evm(from_ref(&node.config)).paying(&payments(257), 1, 100).await.unwrap(), None);
}
