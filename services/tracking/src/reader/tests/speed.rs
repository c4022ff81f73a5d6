//! What a million watches cost.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256, U256};
use haetae_core::{Moment, TaintRule, TransferIndex, WatchId};
use uuid::Uuid;

use super::world::{Granted, Keys, World};
use crate::asked::Asked;
use crate::db;
use crate::scene;
use crate::scripted::Scripted;
use crate::source::{Block, BlockRef, Body, Transfer};
use crate::timers;

const WATCHES: u32 = 1_000_000;
/// Transfers a second that are matched at least, on one core.
const TRANSFERS: f64 = 10_000.0;
const BLOCKS: u64 = 20;

fn root(n: u32) -> Address {
    Address::left_padding_from(&(u64::from(n) + 1_000_000).to_be_bytes())
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// Payments between strangers, but for one from a root.
fn block(number: u64, transfers: u32) -> Block {
    let transfers = (0..transfers).map(|n| {
        let transaction = B256::left_padding_from(&((number << 32) | u64::from(n)).to_be_bytes());
        let from = if n == 7 { root(u32::try_from(number).unwrap()) } else { Address::from_word(transaction) };
        let to = Address::repeat_byte(u8::try_from(n % 200).unwrap() + 1);
        let token = scene::token().contract();
        Transfer { transaction, index: TransferIndex::Log(0), from, to, token, amount: U256::from(50) }
    });
    let at = BlockRef { number, hash: B256::left_padding_from(&number.to_be_bytes()) };
    Block { at, parent: B256::ZERO, time: Moment::UNIX_EPOCH, body: Body::Transfers(transfers.collect()) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a million rows, and times are asserted"]
async fn a_million_watches_are_read_in_parts_and_ten_thousand_transfers_a_second_matched_against_them() {
    let (keys, node) = (Arc::new(Keys::new()), Arc::new(Scripted::new()));
    node.show(node.mine_empty(node.shown(), 20));
    let mut world = World::new(&keys, &node).await;
    let began = Instant::now();
    for sql in [
        "insert into watch (id, request_id, chain, root, active_after, until, max_hops, max_addresses, max_questions,
                            max_degree, version)
         select gen_random_uuid(), gen_random_uuid(), $1, $1 || ':0x' || lpad(to_hex(n + 1000000), 40, '0'), 20,
                now() + interval '7 days', 10, 100, 100, 100, 1 + n / 7
         from generate_series(0, $2 - 1) n",
        "insert into watch_asset (watch_id, asset, stolen)
         select id, $1 || '/erc20:0x' || repeat('ee', 20), 100 from watch where $2 > 0",
        "update chain_head set watch_version = $2 where chain = $1",
    ] {
        let (chain, count) = (scene::chain().to_string(), i64::from(WATCHES));
        sqlx::query(sql).bind(chain).bind(count).execute(&world.db.pool).await.unwrap();
    }
    sqlx::query("analyze").execute(&world.db.pool).await.unwrap();
    println!("{WATCHES} watches: stored in {:?}", began.elapsed());

    world.restart().await;
    let head = db::chain::head(&world.db.pool, &scene::chain()).await.unwrap().unwrap();
    let mut conn = world.db.pool.acquire().await.unwrap();
    let (before, began) = (resident(), Instant::now());
    world.reader.refresh(&mut conn, head).await.unwrap();
    let each = resident().saturating_sub(before) / WATCHES as usize;
    println!("{WATCHES} watches: read in {:?}, {each} bytes each", began.elapsed());
    assert_eq!(world.reader.sleepers.len(), WATCHES as usize);
    assert!(each < 300, "{each} bytes for a watch of which nothing has happened");

    let blocks: Vec<Block> = (21..21 + BLOCKS).map(|number| block(number, 10_000)).collect();
    let began = Instant::now();
    let mut found = 0;
    for block in &blocks {
        world.reader.wake(&mut conn, block.transfers().iter()).await.unwrap();
        let needs = world.reader.book.needs(std::slice::from_ref(block));
        let facts = needs.facts.into_iter().map(|account| (account, Default::default())).collect();
        let asked = Asked { facts, ..Asked::default() };
        found += world.reader.book.take_in(block, Moment::UNIX_EPOCH, &asked).unwrap().len();
    }
    let rate = BLOCKS as f64 * 10_000.0 / began.elapsed().as_secs_f64();
    println!("{rate:.0} transfers a second");
    assert_eq!(found as u64, BLOCKS, "each block pays from one root");
    assert!(rate > TRANSFERS, "{rate}");

    let began = Instant::now();
    let until = world.now() + time::Duration::days(7);
    let of = Granted { watch: WatchId(Uuid::from_u128(7)), stolen: 100, rule: TaintRule::TracedFirst, until };
    world.act_on(&keys.grant(&of, world.now())).await;
    let head = db::chain::head(&world.db.pool, &scene::chain()).await.unwrap().unwrap();
    world.reader.refresh(&mut conn, head).await.unwrap();
    let added = began.elapsed();
    println!("one more: stored, said and known to the reader in {added:?}");
    let woken = usize::try_from(BLOCKS).unwrap();
    assert_eq!(world.reader.sleepers.len(), WATCHES as usize + 1 - woken);

    let began = Instant::now();
    let mut tx = world.voice.log.begin().await.unwrap();
    assert!(timers::end(&mut tx, &world.voice, of.watch, world.now()).await.unwrap());
    world.voice.log.commit(tx).await.unwrap();
    let head = db::chain::head(&world.db.pool, &scene::chain()).await.unwrap().unwrap();
    world.reader.refresh(&mut conn, head).await.unwrap();
    let removed = began.elapsed();
    println!("one less: ended, said and forgotten by the reader in {removed:?}");
    assert_eq!(world.reader.sleepers.len(), WATCHES as usize - woken);

    let ids: Vec<Uuid> = sqlx::query_scalar("select id from watch limit 200").fetch_all(&world.db.pool).await.unwrap();
    let began = Instant::now();
    assert_eq!(db::watch::load_all(&mut conn, &ids).await.unwrap().len(), 200);
    let listed = began.elapsed();
    println!("a page of 200: read in {listed:?}");
    let began = Instant::now();
    timers::end_watches(&world.voice, world.now()).await.unwrap();
    let looked = began.elapsed();
    println!("whether any is over: known in {looked:?}");
    for took in [added, removed, listed, looked] {
        assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    }
}
