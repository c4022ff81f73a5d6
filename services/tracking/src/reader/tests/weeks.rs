//! A watch lives for weeks: nodes restart and are exchanged for others that disagree for a while, processes are killed and
//! replaced by newer ones that run their migrations. Nothing is lost, and nothing is said twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use haetae_core::{ConfirmationAnswer, TaintRule, WatchId};
use haetae_wire::tracking::v1 as wire;
use prost::Message as _;
use time::Duration;
use uuid::Uuid;

use super::world::{EXCHANGES, Granted, Keys, World};
use crate::scripted::Scripted;
use crate::timers;

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_three_weeks_survives_its_nodes_its_processes_and_their_upgrades() {
    let (keys, node) = (Arc::new(Keys::new()), Arc::new(Scripted::new()));
    node.show(node.mine_empty(node.shown(), 20));
    let mut world = World::new(&keys, &node).await;
    let begun = world.now();
    let watch = WatchId(Uuid::from_u128(7));
    let until = begun + Duration::days(21);
    let of = Granted { watch, stolen: 400, rule: TaintRule::TracedFirst, until };
    world.act_on(&keys.grant(&of, begun)).await;

    let mut paid = 0;
    for day in 0..21u64 {
        // A payment of the thief's each day, by turns from the root and on from where it went.
        let (from, to) = if day % 2 == 0 { (0, 1) } else { (1, 2) };
        let before = node.shown();
        let block = node.mine(before, &[], &[(from, to, 10 + day)]);
        let here = node.mine_empty(block, 2);
        paid += 1;
        node.show(here);
        match day % 7 {
            // The node restarts: for a while it does not answer, and what it has meanwhile is read when it does.
            1 => {
                node.go_down(true);
                assert!(world.read().await.is_err());
                node.go_down(false);
            }
            // Another node is asked, which has the payment in another block, and then the first again, which has come to
            // agree with it.
            3 => {
                world.read().await.unwrap();
                let again = node.branch(block).last().unwrap().transfers().to_vec();
                let there = node.mine(node.mine_empty(before, 1), &again, &[]);
                node.show(there);
                world.read().await.unwrap();
                node.show(here);
                world.read().await.unwrap();
                node.show(node.mine_empty(there, 3));
            }
            // The mesh is upgraded in the middle of a day's blocks.
            5 => {
                node.show(block);
                world.read().await.unwrap();
                world.restart().await;
                node.show(here);
            }
            _ => {}
        }
        world.read().await.unwrap();
        if day == 2 {
            for exchange in EXCHANGES {
                world.answer(exchange, 1, ConfirmationAnswer::NotHeld).await;
            }
            world.answer(EXCHANGES[0], 2, ConfirmationAnswer::Unknown).await;
        }
        world.wait(Duration::DAY);
        timers::ask_again(&world.voice, world.now()).await.unwrap();
        timers::end_watches(&world.voice, world.now()).await.unwrap();
        timers::end_watches(&world.voice, world.now()).await.unwrap();
    }
    world.read().await.unwrap();
    let after = node.mine(node.shown(), &[], &[(0, 1, 5)]);
    node.show(after);
    world.read().await.unwrap();

    let mut hops: BTreeMap<String, Vec<wire::Hop>> = BTreeMap::new();
    let (mut ended, mut active) = (0, 0);
    for (kind, _, payload) in world.log().await {
        match kind.as_str() {
            "hop" => {
                let hop = wire::Hop::decode(payload.as_slice()).unwrap();
                hops.entry(hop.hop_id.clone()).or_default().push(hop);
            }
            "watch-ended" => ended += 1,
            "watch-active" => active += 1,
            _ => {}
        }
    }
    assert_eq!((hops.len(), active, ended), (paid, 1, 1));
    // A hop is said again where it was provisional before, and never in the same words.
    for said in hops.values() {
        assert!(said.windows(2).all(|pair| pair[0].provisional && !pair[1].provisional), "{said:#?}");
    }
    let (stands, _) = world.stands(watch).await;
    assert_eq!(stands.len(), paid);
    let said = world.said(watch).await;
    assert_eq!(said.keys().filter(|key| key.starts_with("hop ") && !key.ends_with(" is")).count(), paid);
    let asked: i64 = sqlx::query_scalar("select sum(cardinality(orders)) from question where exchange = $1")
        .bind(EXCHANGES[0])
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert!(asked > 2, "what stayed open was asked again, and account 1 only once: {asked}");
}
