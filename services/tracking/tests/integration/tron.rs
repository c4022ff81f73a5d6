//! Tron through the whole service. No Tron node can run here: one is played, which answers in the shape that Tron's
//! documentation and its node's source give, and knows what such a node knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alloy_primitives::{Address, B256, hex};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Json;
use haetae_core::{Account, Amount, Asset, ChainId, ConfirmationAnswer, TaintRule};
use haetae_tracking::{ChainConfig, NodeConfig, QuestionsConfig};
use haetae_wire::convert::asset_amounts;
use haetae_wire::intake::v1::{self as intake, watch::Start};
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::mesh::{Mesh, WatchOf, eventually, eventually_within};

const USDT: &str = "a614f803b6fd780986a42c78ec9c7f77e6ded13c";
/// Blocks of three seconds, from this time on.
const BEGAN: u64 = 1_790_000_000;

fn chain() -> ChainId {
    ChainId::tron(728_126_428)
}

fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn account(n: u8) -> Account {
    Account::of_bytes(chain(), address(n)).unwrap()
}

fn coin() -> Asset {
    Asset::coin(chain()).unwrap()
}

fn usdt() -> Asset {
    format!("{}/trc20:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", chain()).parse().unwrap()
}

/// Who pays whom how much, in Tron's own coin or in USDT.
#[derive(Clone, Copy)]
struct Payment {
    from: u8,
    to: u8,
    amount: u64,
    coin: bool,
}

/// The node: its blocks, each with its payments. The last is 20 blocks after the last solid one, as long as there are so many.
#[derive(Default)]
struct Node(Vec<Vec<Payment>>);

impl Node {
    /// A block's id begins with its number.
    fn id(number: usize) -> String {
        format!("{number:016x}{:048x}", number * 7 + 1)
    }

    fn id_before(number: usize) -> String {
        number.checked_sub(1).map_or_else(|| "0".repeat(64), Self::id)
    }

    fn transaction(number: usize, place: usize) -> String {
        format!("{:064x}", (number << 8) + place + 1)
    }

    fn last(&self) -> usize {
        self.0.len() - 1
    }

    fn numbered(&self, tag: &Value) -> Option<usize> {
        let number = match tag.as_str()? {
            "latest" => self.last(),
            number => usize::from_str_radix(number.trim_start_matches("0x"), 16).ok()?,
        };
        (number < self.0.len()).then_some(number)
    }

    fn with_id(&self, id: &str) -> Option<usize> {
        let number = usize::from_str_radix(id.get(..16)?, 16).ok()?;
        (number < self.0.len() && Self::id(number) == id).then_some(number)
    }

    fn place_of(&self, transaction: &str) -> Option<(usize, usize)> {
        let at = usize::from_str_radix(transaction.trim_start_matches("0x").trim_start_matches('0'), 16).ok()? - 1;
        let (number, place) = (at >> 8, at & 0xff);
        (place < self.0.get(number)?.len()).then_some((number, place))
    }

    fn header(number: usize) -> Value {
        let (hash, parent) = (format!("0x{}", Self::id(number)), format!("0x{}", Self::id_before(number)));
        json!({"number": format!("0x{number:x}"), "hash": hash, "parentHash": parent,
               "timestamp": format!("0x{:x}", BEGAN + number as u64 * 3), "transactions": []})
    }

    fn named(&self, number: usize) -> Value {
        let mut header = Self::header(number);
        let names = (0..self.0[number].len()).map(|place| format!("0x{}", Self::transaction(number, place)));
        header["transactions"] = names.map(Value::from).collect();
        header
    }

    fn log(number: usize, place: usize, payment: Payment) -> Value {
        let word = |n: u8| address(n).into_word();
        json!({"address": format!("0x{USDT}"), "data": format!("0x{:064x}", payment.amount), "removed": false,
               "blockNumber": format!("0x{number:x}"), "blockHash": format!("0x{}", Self::id(number)),
               "transactionHash": format!("0x{}", Self::transaction(number, place)), "logIndex": "0x0",
               "topics": ["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
                          word(payment.from), word(payment.to)]})
    }

    fn sent(number: usize, place: usize, payment: Payment) -> Value {
        let tagged = |n: u8| format!("41{}", hex::encode(address(n)));
        let (kind, value) = if payment.coin {
            let (owner, to) = (tagged(payment.from), tagged(payment.to));
            ("TransferContract", json!({"amount": payment.amount, "owner_address": owner, "to_address": to}))
        } else {
            let (owner, contract) = (tagged(payment.from), format!("41{USDT}"));
            ("TriggerSmartContract", json!({"data": "a9059cbb", "owner_address": owner, "contract_address": contract}))
        };
        let url = format!("type.googleapis.com/protocol.{kind}");
        json!({"ret": [{"contractRet": "SUCCESS"}], "txID": Self::transaction(number, place), "raw_data": {
               "contract": [{"type": kind, "parameter": {"value": value, "type_url": url}}]}})
    }

    /// What became of a transaction, in the API's own spelling.
    fn info(number: usize, place: usize, payment: Payment) -> Value {
        let bare = |value: &Value| value.as_str().unwrap_or_default().trim_start_matches("0x").to_owned();
        let mut info = json!({"id": Self::transaction(number, place), "fee": 1_000, "blockNumber": number});
        if !payment.coin {
            let log = Self::log(number, place, payment);
            let topics: Vec<String> = log["topics"].as_array().into_iter().flatten().map(bare).collect();
            info["contract_address"] = json!(format!("41{USDT}"));
            info["log"] = json!([{"address": USDT, "topics": topics, "data": bare(&log["data"])}]);
        }
        info
    }

    fn logs(&self, filter: &Value) -> Option<Value> {
        let (first, last) = (self.numbered(&filter["fromBlock"])?, self.numbered(&filter["toBlock"])?);
        let by: Vec<B256> = serde_json::from_value(filter["topics"][1].clone()).ok()?;
        let mut logs = Vec::new();
        for number in first..=last {
            for (place, payment) in self.0[number].iter().enumerate() {
                if !payment.coin && by.contains(&address(payment.from).into_word()) {
                    logs.push(Self::log(number, place, *payment));
                }
            }
        }
        Some(logs.into())
    }

    /// None where a node would not know the method, or has nothing of that name.
    fn answer(&self, method: &str, asked: &Value) -> Option<Value> {
        let text = |at: usize| asked[at].as_str();
        Some(match method {
            "eth_chainId" => json!("0x2b6653dc"),
            "eth_getBlockByNumber" => self.numbered(&asked[0]).map_or(Value::Null, |number| self.named(number)),
            "eth_getBlockByHash" => {
                let number = self.with_id(text(0)?.trim_start_matches("0x"));
                number.map_or(Value::Null, |number| self.named(number))
            }
            "eth_getTransactionByHash" => self.place_of(text(0)?).map_or(Value::Null, |(number, _)| {
                json!({"blockHash": format!("0x{}", Self::id(number)), "blockNumber": format!("0x{number:x}")})
            }),
            "eth_getLogs" => self.logs(&asked[0])?,
            "eth_getCode" if asked[1] != "latest" => return None,
            "eth_getCode" if asked[0] == format!("0x{USDT}") => json!("0x60"),
            "eth_getCode" => json!("0x"),
            "/wallet/getblockbyid" => {
                let number = self.with_id(asked["value"].as_str()?)?;
                let sent = self.0[number].iter().enumerate();
                let sent: Vec<Value> = sent.map(|(place, payment)| Self::sent(number, place, *payment)).collect();
                json!({"blockID": Self::id(number), "transactions": sent,
                       "block_header": {"raw_data": {"number": number, "parentHash": Self::id_before(number)}}})
            }
            "/wallet/gettransactioninfobyblocknum" => {
                let number = usize::try_from(asked["num"].as_u64()?).ok()?;
                let about = self.0.get(number)?.iter().enumerate();
                about.map(|(place, payment)| Self::info(number, place, *payment)).collect()
            }
            "/walletsolidity/getnowblock" => {
                let solid = self.last().saturating_sub(20);
                json!({"blockID": Self::id(solid), "block_header": {"raw_data": {"number": solid}}})
            }
            _ => return None,
        })
    }
}

/// The node, where it is served. It ends when this is dropped.
struct Tron {
    node: Arc<Mutex<Node>>,
    _served: AbortOnDropHandle<()>,
}

impl Tron {
    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap()
    }

    /// A block with these payments; gives the last one's transaction.
    fn block(&self, payments: &[Payment]) -> String {
        let mut node = self.node();
        node.0.push(payments.to_vec());
        Node::transaction(node.last(), payments.len().saturating_sub(1))
    }

    fn pay(&self, from: u8, to: u8, amount: u64) -> String {
        self.block(&[Payment { from, to, amount, coin: false }])
    }

    fn empty(&self, blocks: usize) {
        for _ in 0..blocks {
            self.block(&[]);
        }
    }
}

async fn serve(State(node): State<Arc<Mutex<Node>>>, uri: Uri, body: Bytes) -> Json<Value> {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let node = node.lock().unwrap();
    let call = |call: &Value| {
        let id = &call["id"];
        match node.answer(call["method"].as_str().unwrap_or_default(), &call["params"]) {
            Some(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            None => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "the method does not exist"}})
            }
        }
    };
    Json(match (uri.path(), &asked) {
        ("/jsonrpc", Value::Array(calls)) => calls.iter().map(call).collect(),
        ("/jsonrpc", one) => call(one),
        (path, asked) => node.answer(path, asked).unwrap_or(json!({})),
    })
}

/// Tracking that reads a node of Tron, after some empty blocks.
async fn started() -> Mesh<Tron> {
    let node = Arc::new(Mutex::new(Node::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = format!("http://{}/jsonrpc", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(Arc::clone(&node));
    let served = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let tron = Tron { node, _served: AbortOnDropHandle::new(served) };
    tron.empty(30);
    let config = ChainConfig {
        id: chain().to_string(),
        nodes: vec![NodeConfig { http, ..NodeConfig::default() }],
        confirmations: 3,
        final_after: None,
        max_reorg_depth: 64,
        block_time_ms: 1_000,
        poll_ms: 50,
        look_at_waiting: false,
    };
    Mesh::of(tron, config, QuestionsConfig::default()).await
}

fn watch_of(assets: &[Asset], start: Option<Start>) -> WatchOf {
    let of =
        |amount: u64| assets.iter().map(move |asset| (asset.clone(), Amount::from(amount))).collect::<BTreeMap<_, _>>();
    let limits = intake::WatchLimits {
        max_hops: 10,
        dust: asset_amounts(&of(10)),
        max_addresses: 50,
        max_questions: 100,
        max_degree: 1_000,
    };
    let (stolen, period) = (of(1_000), Duration::from_secs(3_600));
    WatchOf { root: 0, stolen, limits, period, rule: TaintRule::TracedFirst, start, not_before: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_on_tron_is_followed_to_the_exchange_that_holds_it_and_becomes_final_with_solid_blocks() {
    let mesh = started().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch_from(account(1), &watch_of(&[usdt(), coin()], None)).await;
    let paid = mesh.chain.pay(1, 2, 700);
    let coins = mesh.chain.block(&[
        Payment { from: 7, to: 8, amount: 5, coin: false },
        Payment { from: 1, to: 3, amount: 400, coin: true },
    ]);
    mesh.chain.pay(2, 4, 600);
    let hops = async || mesh.of_kind::<wire::Hop>(watch, "hop").await;
    eventually("three hops", async || hops().await.len() == 3).await;
    let found: Vec<_> = hops()
        .await
        .iter()
        .map(|hop| (hop.to.clone(), hop.asset.clone(), hop.traced_amount.clone(), hop.depth))
        .collect();
    let expected = [(2, usdt(), "700", 1), (3, coin(), "400", 1), (4, usdt(), "600", 2)];
    let expected =
        expected.map(|(n, asset, traced, depth)| (account(n).to_string(), asset.to_string(), traced.to_owned(), depth));
    assert_eq!(found, expected);
    let transfers: Vec<_> = hops().await.into_iter().map(|hop| hop.transfer.unwrap()).collect();
    assert_eq!((transfers[0].transaction.as_str(), transfers[0].index.as_str()), (paid.as_str(), "log/0"));
    assert_eq!((transfers[1].transaction.as_str(), transfers[1].index.as_str()), (coins.as_str(), "native"));

    for exchange in ["upbit", "bithumb"] {
        mesh.answer(exchange, &account(2), ConfirmationAnswer::NotHeld).await;
    }
    mesh.answer("upbit", &account(4), ConfirmationAnswer::Held).await;
    let arrival = async || mesh.stream(watch).await.into_iter().find(|said| said.kind == "arrival");
    eventually("it arrived", async || arrival().await.is_some()).await;
    let arrival = open_arrival(&arrival().await.unwrap().payload, &mesh.keyring).unwrap();
    assert_eq!((arrival.target.account, arrival.asset, arrival.traced), (account(4), usdt(), Amount::from(600u64)));

    let finality = async |wanted: wire::Finality| {
        let said: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
        said.iter().filter(|said| said.finality() == wanted).count()
    };
    mesh.chain.empty(3);
    eventually("they are confirmed", async || finality(wire::Finality::Confirmed).await == 3).await;
    assert_eq!(finality(wire::Finality::Final).await, 0);
    mesh.chain.empty(20);
    eventually("they are final", async || {
        // How far the chain is solid is asked with each block.
        mesh.chain.empty(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        finality(wire::Finality::Final).await == 3
    })
    .await;
    drop(replica);
}

/// By a transaction as Tron spells it, of tokens alone and of coins as well: these need every block, those only some.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_tron_begins_with_a_transaction_of_the_past() {
    let mesh = started().await;
    let theft = mesh.chain.pay(1, 2, 900);
    mesh.chain.empty(300);
    mesh.chain.pay(2, 3, 800);
    mesh.chain.empty(100);
    let _replica = mesh.replica().await;
    for assets in [vec![usdt()], vec![usdt(), coin()]] {
        let start = Some(Start::Transaction(theft.clone()));
        let watch = mesh.watch_from(account(1), &watch_of(&assets, start)).await;
        let hops: Vec<wire::Hop> = mesh.of_kind(watch, "hop").await;
        let found: Vec<_> = hops.iter().map(|hop| (hop.to.clone(), hop.traced_amount.as_str(), hop.depth)).collect();
        assert_eq!(found, [(account(2).to_string(), "900", 1), (account(3).to_string(), "800", 2)]);
        assert_eq!(hops[0].transfer.as_ref().unwrap().transaction, theft);
        mesh.asked("upbit", &account(3), 1).await;
    }
}

/// 7,200 blocks are six hours of Tron; in each there are 100 payments that have nothing to do with it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn six_hours_back_is_at_the_head_within_a_minute() {
    let mesh = started().await;
    let theft = mesh.chain.pay(1, 2, 900);
    let others = |coin| Payment { from: 7, to: 8, amount: 5, coin };
    let others: Vec<Payment> = (0..100).map(|n| others(n % 2 == 0)).collect();
    for n in 0..7_200 {
        if n == 3_600 {
            mesh.chain.pay(2, 3, 800);
        }
        mesh.chain.block(&others);
    }
    let _replica = mesh.replica().await;
    for (what, assets) in [("tokens", vec![usdt()]), ("tokens and coins", vec![usdt(), coin()])] {
        let start = Some(Start::Transaction(theft.clone()));
        let begun = Instant::now();
        let watch = mesh.grant_watch_from(account(1), &watch_of(&assets, start)).await;
        let active = async || mesh.stream(watch).await.iter().any(|said| said.kind == "watch-active");
        eventually_within(Duration::from_secs(120), "it has come to the head", active).await;
        let taken = begun.elapsed();
        println!("7,200 blocks of 100 payments back, of {what}: at the head after {taken:?}");
        assert!(taken < Duration::from_secs(60), "{what}");
    }
}
