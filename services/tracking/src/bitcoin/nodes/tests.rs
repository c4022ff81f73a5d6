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
    told: Arc<Mutex<Told>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy)]
struct Told {
    first: BlockHash,
    height: u64,
    tip: BlockHash,
}

impl Says {
    async fn of(first: Network, height: u64) -> Self {
        let first = genesis_block(first).block_hash();
        let told = Arc::new(Mutex::new(Told { first, height, tip: first }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&told));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { config: NodeConfig { http, ..NodeConfig::default() }, told, _task: AbortOnDropHandle::new(task) }
    }

    fn grow(&self, height: u64) {
        self.told.lock().unwrap().height = height;
    }

    /// Its chain ends with this block.
    fn end_with(&self, tip: u8) {
        self.told.lock().unwrap().tip = BlockHash::from_byte_array([tip; 32]);
    }
}

async fn answer(State(told): State<Arc<Mutex<Told>>>, body: Bytes) -> Json<Value> {
    let Told { first, height, tip } = *told.lock().unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    Json(match asked["method"].as_str().unwrap() {
        "getblockhash" => json!({"result": first, "error": null}),
        "getblockchaininfo" => json!({"result": {"blocks": height, "bestblockhash": tip}, "error": null}),
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
async fn a_node_that_stays_behind_or_falls_silent_gives_its_place_to_another() {
    let (one, two) = (Says::of(Network::Regtest, 7).await, Says::of(Network::Regtest, 8).await);
    let both = nodes(&[&one, &two]);
    both.look_around().await;
    assert_eq!(height(&both).await, 7, "a block takes some seconds from node to node");
    both.past().behind_since = Instant::now().checked_sub(BEHIND);
    assert_eq!(height(&both).await, 8);
    one.grow(8);
    both.look_around().await;
    assert_eq!(height(&both).await, 8);
    assert_eq!(both.following.load(Ordering::Relaxed), 1, "the one that is followed keeps its place among equals");
    one.grow(9);
    drop(two);
    assert_eq!(height(&both).await, 9, "nobody waits for one that is silent");
    assert_eq!(both.condition().answering, 1);
}

#[tokio::test]
async fn a_node_that_takes_anothers_place_does_not_lead_backwards() {
    let (one, two) = (Says::of(Network::Regtest, 8).await, Says::of(Network::Regtest, 8).await);
    one.end_with(1);
    two.end_with(2);
    let both = nodes(&[&one, &two]);
    both.look_around().await;
    both.note_read(both.newest().await.unwrap());
    drop(one);
    assert!(both.newest().await.is_err(), "as long, and another branch");
    two.grow(9);
    assert_eq!(height(&both).await, 9);
    two.grow(8);
    assert_eq!(height(&both).await, 8, "it is followed now, wherever it leads");
}

#[tokio::test]
async fn a_branch_that_lasts_counts_in_the_end() {
    let (one, two) = (Says::of(Network::Regtest, 8).await, Says::of(Network::Regtest, 7).await);
    let both = nodes(&[&one, &two]);
    both.note_read(both.newest().await.unwrap());
    drop(one);
    assert!(both.newest().await.is_err());
    both.past().in_place_since = Instant::now().checked_sub(LASTS);
    assert_eq!(height(&both).await, 7);
}

#[test]
fn one_that_is_followed_keeps_its_place_among_equals() {
    let at = |number| Known {
        answers: true,
        tip: Some(BlockRef { number, hash: B256::from(BlockHash::all_zeros().to_byte_array()) }),
        stranger: false,
    };
    let silent = Known { answers: false, ..at(50) };
    assert_eq!(best(&[at(10), at(10)], 1), 1);
    assert_eq!(best(&[at(10), at(11), at(11)], 0), 1);
    assert_eq!(best(&[at(10), at(11), silent], 2), 1);
    assert_eq!(best(&[silent, Known::default()], 1), 1);
}
