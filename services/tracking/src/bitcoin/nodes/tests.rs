use std::sync::Arc;

use alloy_primitives::B256;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Json;
use bitcoin::Network;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// A node that says where its chain begins and ends. It ends when this is dropped.
struct Says {
    config: NodeConfig,
    told: Arc<Mutex<(BlockHash, u64)>>,
    _task: AbortOnDropHandle<()>,
}

impl Says {
    async fn of(first: Network, height: u64) -> Self {
        let told = Arc::new(Mutex::new((genesis_block(first).block_hash(), height)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&told));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { config: NodeConfig { http, ..NodeConfig::default() }, told, _task: AbortOnDropHandle::new(task) }
    }

    fn grow(&self, height: u64) {
        self.told.lock().unwrap().1 = height;
    }
}

async fn answer(State(told): State<Arc<Mutex<(BlockHash, u64)>>>, body: Bytes) -> Json<Value> {
    let (first, height) = *told.lock().unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    Json(match asked["method"].as_str().unwrap() {
        "getblockhash" => json!({"result": first, "error": null}),
        "getblockchaininfo" => json!({"result": {"blocks": height, "bestblockhash": first}, "error": null}),
        "getblockcount" => json!({"result": height, "error": null}),
        _ => json!({"result": null, "error": {"code": -32_601, "message": "Method not found"}}),
    })
}

fn nodes(of: &[&Says]) -> Nodes {
    let configs: Vec<NodeConfig> = of.iter().map(|node| node.config.clone()).collect();
    Nodes::new(&configs, genesis_block(Network::Regtest).block_hash()).unwrap()
}

async fn height(nodes: &Nodes) -> u64 {
    nodes.newest().await.unwrap().number
}

#[tokio::test]
async fn a_node_of_another_chain_is_asked_nothing() {
    let (stranger, node) = (Says::of(Network::Bitcoin, 900_000).await, Says::of(Network::Regtest, 7).await);
    let both = nodes(&[&stranger, &node]);
    assert_eq!(height(&both).await, 7);
    assert_eq!(both.ask::<u64>("getblockcount", json!([])).await.unwrap(), 7);
    assert_eq!(both.condition(), Condition { nodes: 2, answering: 1, internal_transfers: false });
    let alone = nodes(&[&stranger]);
    assert!(alone.newest().await.is_err() && alone.ask::<u64>("getblockcount", json!([])).await.is_err());
    assert!(alone.ask::<u64>("getblockcount", json!([])).await.is_err_and(|error| !is_refusal(&error)));
}

#[tokio::test]
async fn a_node_that_falls_behind_or_silent_gives_its_place_to_another() {
    let (one, two) = (Says::of(Network::Regtest, 7).await, Says::of(Network::Regtest, 9).await);
    let both = nodes(&[&one, &two]);
    both.look_around().await;
    assert_eq!(height(&both).await, 7, "two blocks behind is not far");
    two.grow(10);
    both.look_around().await;
    assert_eq!(height(&both).await, 10);
    one.grow(11);
    both.look_around().await;
    assert_eq!(height(&both).await, 10, "the one that is followed keeps its place");
    drop(two);
    assert_eq!(height(&both).await, 11);
    assert_eq!(both.condition().answering, 1);
}

#[test]
fn one_that_is_followed_keeps_its_place_among_equals() {
    let at = |number| Known {
        answers: true,
        tip: Some(BlockRef { number, hash: B256::from(BlockHash::all_zeros().to_byte_array()) }),
        stranger: false,
    };
    let silent = Known { answers: false, ..at(50) };
    assert_eq!(choose(&[at(10), at(12)], 0), 0);
    assert_eq!(choose(&[at(10), at(13)], 0), 1);
    assert_eq!(choose(&[at(10), at(11), silent], 2), 0);
    assert_eq!(choose(&[silent, Known::default()], 1), 1);
}
