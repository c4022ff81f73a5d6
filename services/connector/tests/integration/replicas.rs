//! Two replicas, and one that dies.

use std::collections::BTreeSet;
use std::time::Duration;

use haetae_wire::connector::v1::ReceiptReceived;
use prost::Message;
use serde_json::json;

use crate::exchange::Mood;
use crate::police::Case;
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_deliver_each_order_once() {
    const ORDERS: usize = 30;
    let scene = Scene::with(json!({"attempt_ms": 20_000})).await;
    let replicas = [scene.replica().await, scene.replica().await];
    for n in 0..ORDERS {
        let case = Case::new();
        let order = if n % 2 == 0 { case.freeze(1) } else { case.question() };
        scene.order(&case, &order).await;
    }
    let receipts = scene.wait_for::<ReceiptReceived>("receipt", ORDERS).await;
    let legs: BTreeSet<_> = receipts.iter().map(|receipt| &receipt.leg_id).collect();
    assert_eq!((receipts.len(), legs.len()), (ORDERS, ORDERS));
    assert_eq!(scene.exchange.book().submitted.len(), ORDERS);
    for replica in &replicas {
        assert_eq!(replica.status().await.undelivered, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_the_hands_of_a_replica_that_dies_is_taken_over_when_the_claim_has_run_out() {
    let scene = Scene::with(json!({"attempt_ms": 1_500})).await;
    scene.exchange.feels(Mood::Silent);
    let doomed = scene.replica().await;
    let case = Case::new();
    let order = case.freeze(1);
    scene.order(&case, &order).await;
    scene.attempts_at(order.leg, 1).await;
    doomed.dies().await;
    scene.exchange.feels(Mood::Answers);

    let _other = scene.replica().await;
    assert_eq!(scene.receipt_of(order.leg).await.len(), 1);
    let book = scene.exchange.book();
    let [first, second] = book.submitted.as_slice() else { panic!("{} attempts", book.submitted.len()) };
    assert_eq!(first.order.encode_to_vec(), second.order.encode_to_vec());
    assert!(second.at - first.at >= Duration::from_millis(1_500), "while the first might still be answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_the_database_cannot_wake_looks_by_itself() {
    let scene = Scene::new().await;
    let _replica = scene.replica().await;
    let (before, after) = (Case::new(), Case::new());
    scene.order(&before, &before.question()).await;
    scene.receipt_of(before.question().leg).await;
    scene.deafen().await;
    scene.order(&after, &after.question()).await;
    scene.receipt_of(after.question().leg).await;
    assert_eq!(scene.exchange.book().submitted.len(), 2);
}
