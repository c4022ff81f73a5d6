//! A Bitcoin node as Bitcoin Core answers that keeps no index of transactions. Core cannot run here: this stands before the
//! node that does, passes on what that says, and says otherwise what Core says otherwise (of version 23 and later).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Amount, Block, ScriptBuf, Sequence, Transaction, TxOut};
use haetae_core::{TaintRule, WatchId};
use haetae_testkit::bcoin::{Bcoin, BcoinOptions, FEE, Kind, Wallet, sign};
use haetae_wire::intake::v1::watch::Start;
use haetae_wire::tracking::v1 as wire;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::coins::{Coins, of, short, watch_of};
use crate::mesh::{WatchOf, eventually};

/// It ends when this is dropped.
struct Front {
    core: Arc<Core>,
    _served: AbortOnDropHandle<()>,
}

struct Core {
    node: Url,
    client: Client,
    /// It keeps an index of transactions.
    indexed: AtomicBool,
}

impl Front {
    /// Tracking that reads a chain through it.
    async fn started() -> (Self, Coins) {
        let node = Bcoin::start(BcoinOptions::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        let node_url = node.url_with_key().parse().unwrap();
        let core = Arc::new(Core { node: node_url, client: Client::new(), indexed: AtomicBool::new(false) });
        let app = Router::new().fallback(serve).with_state(Arc::clone(&core));
        let served = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (Self { core, _served: AbortOnDropHandle::new(served) }, Coins::reading(node, http).await)
    }
}

async fn serve(State(core): State<Arc<Core>>, body: Bytes) -> (StatusCode, Json<Value>) {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    match core.answer(asked["method"].as_str().unwrap(), &asked["params"]).await {
        Ok(result) => (StatusCode::OK, Json(json!({"result": result, "error": null, "id": asked["id"]}))),
        // Core's errors are those of HTTP, too.
        Err((code, message)) => {
            let error = json!({"code": code, "message": message});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"result": null, "error": error, "id": asked["id"]})))
        }
    }
}

impl Core {
    async fn answer(&self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        match method {
            "getindexinfo" if self.indexed.load(Ordering::Relaxed) => {
                Ok(json!({"txindex": {"synced": true, "best_block_height": 500}}))
            }
            "getindexinfo" => Ok(json!({})),
            "getrawtransaction" if !self.indexed.load(Ordering::Relaxed) => {
                let told = self.pass("getrawtransaction", &json!([params[0], true])).await;
                if told.is_ok_and(|told| told["blockhash"].is_string()) {
                    let message = "No such mempool transaction. Use -txindex or provide a block hash to enable \
                                   blockchain transaction queries. Use gettransaction for wallet transactions.";
                    return Err((-5, message.to_owned()));
                }
                self.pass(method, params).await
            }
            "getblock" if params[1] == 3 => self.with_previous(&params[0]).await,
            "getblock" | "getblockheader" => {
                self.pass(method, params).await.map_err(|_| (-5, "Block not found".to_owned()))
            }
            _ => self.pass(method, params).await,
        }
    }

    /// What the node says.
    async fn pass(&self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        let call = json!({"jsonrpc": "1.0", "id": 1, "method": method, "params": params});
        let sent =
            self.client.post(self.node.clone()).header("content-type", "application/json").body(call.to_string());
        let answer: Value = serde_json::from_slice(&sent.send().await.unwrap().bytes().await.unwrap()).unwrap();
        let error = &answer["error"];
        if error.is_null() {
            return Ok(answer["result"].clone());
        }
        Err((error["code"].as_i64().unwrap_or(-1), error["message"].as_str().unwrap_or_default().to_owned()))
    }

    /// A block with what its inputs spend; money in whole coins, as a number with a point.
    async fn with_previous(&self, block: &Value) -> Result<Value, (i64, String)> {
        let raw = self.pass("getblock", &json!([block, false])).await?;
        let decoded: Block = deserialize_hex(raw.as_str().unwrap()).unwrap();
        let mut transactions = Vec::new();
        for transaction in &decoded.txdata {
            let mut inputs = Vec::new();
            for input in &transaction.input {
                if transaction.is_coinbase() {
                    inputs.push(json!({"coinbase": input.script_sig.to_hex_string(), "sequence": input.sequence}));
                    continue;
                }
                let at = input.previous_output;
                let raw = self.pass("getrawtransaction", &json!([at.txid, false])).await?;
                let made: Transaction = deserialize_hex(raw.as_str().unwrap()).unwrap();
                let output = &made.output[at.vout as usize];
                inputs.push(json!({
                    "txid": at.txid, "vout": at.vout, "scriptSig": {"hex": input.script_sig.to_hex_string()},
                    "prevout": {"generated": made.is_coinbase(), "height": 1, "value": output.value.to_btc(),
                                "scriptPubKey": {"hex": output.script_pubkey.to_hex_string(), "type": "unknown"}},
                    "sequence": input.sequence
                }));
            }
            transactions.push(json!({"txid": transaction.compute_txid(), "vin": inputs}));
        }
        Ok(json!({"hash": decoded.block_hash(), "tx": transactions}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_index_what_is_spent_is_read_from_the_block_that_spends_it() {
    let (_front, mesh) = Front::started().await;
    let _replica = mesh.replica().await;
    // Sums that no binary fraction hits.
    let amounts = [123_456_789, 300_001, 2_100_000_003, 70_000_007];
    let mut roots = Vec::new();
    for (kind, satoshi) in [Kind::P2pkh, Kind::P2shP2wpkh, Kind::P2wpkh, Kind::P2tr].into_iter().zip(amounts) {
        let mut root = Wallet::new(kind, "root");
        mesh.endow(&mut root, &[satoshi]).await;
        let watch = mesh.watch_from(of(&root), &watch_of(TaintRule::Haircut, satoshi)).await;
        roots.push((kind, satoshi, root, watch));
    }
    // One transaction of all of them, beside a coinbase and what has nothing to do with it.
    let coins: Vec<_> = roots
        .iter()
        .map(|(_, _, root, _)| {
            let (coin, output) = root.coins().next().unwrap().clone();
            (coin, output, root)
        })
        .collect();
    let payee = Wallet::new(Kind::P2wpkh, "payee");
    let sum: u64 = amounts.iter().sum();
    let paid = TxOut { value: Amount::from_sat(sum - FEE), script_pubkey: payee.address().script_pubkey() };
    let note = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return([7; 8]) };
    let joined = sign(&coins, vec![paid, note], Sequence::MAX).unwrap();
    let other = mesh.chain.fund(&Wallet::new(Kind::P2pkh, "bystander").address(), 5_000_000).await.unwrap();
    mesh.chain.mine_on(mesh.chain.tip().await.unwrap(), &[other, joined]).await.unwrap();
    for (kind, satoshi, _, watch) in roots {
        let hops = mesh.hops(watch, 1).await;
        let (to, index, traced, depth) = short(&hops).remove(0);
        assert_eq!((to, index.as_str(), depth), (of(&payee).to_string(), "out/0", 1), "{kind:?}");
        let fee: u64 = mesh
            .of_kind::<wire::TrailEnded>(watch, "trail-ended")
            .await
            .iter()
            .map(|ended| ended.traced_amount.parse::<u64>().unwrap())
            .sum();
        assert_eq!(traced + fee, satoshi, "{kind:?}: not a satoshi is lost");
    }
}

/// That a node without an index does not find a transaction does not say that there is none.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_index_a_watch_that_begins_with_a_transaction_waits_for_one() {
    let (front, mesh) = Front::started().await;
    let mut thief = Wallet::new(Kind::P2wpkh, "thief");
    mesh.endow(&mut thief, &[500_000]).await;
    let theft = thief.pay(&[(Wallet::new(Kind::P2wpkh, "second").address(), 400_000)]).unwrap();
    mesh.chain.send(&theft).await.unwrap();
    mesh.chain.mine(3).await.unwrap();
    let _replica = mesh.replica().await;
    let start = Some(Start::Transaction(theft.compute_txid().to_string()));
    let begins = WatchOf { start, ..watch_of(TaintRule::TracedFirst, 500_000) };
    let watch: WatchId = mesh.grant_watch_from(of(&thief), &begins).await;
    let said = async |kind: &str| mesh.stream(watch).await.iter().any(|said| said.kind == kind);
    eventually("it is taken up", async || said("watch-catching-up").await).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(!said("watch-refused").await && !said("watch-ended").await && !said("watch-active").await);

    front.core.indexed.store(true, Ordering::Relaxed);
    eventually("it has come to the head", async || said("watch-active").await).await;
    assert_eq!(short(&mesh.hops(watch, 1).await)[0].2, 400_000);
}
