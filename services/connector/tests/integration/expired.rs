//! Orders whose time is over: they are not sent, the exchange is asked what it knows.

use haetae_core::Order;
use haetae_wire::connector::v1::{OrderUndelivered, ReceiptReceived};
use haetae_wire::signed::{OpenedOrder, open_order_envelope};
use serde_json::json;

use crate::police::Case;
use crate::scene::{Scene, eventually};

/// The exchange took this order in while there was time.
fn took_in(scene: &Scene, envelope: &[u8]) -> Vec<u8> {
    let mut book = scene.exchange.book();
    let opened: OpenedOrder = open_order_envelope(envelope, book.keys()).unwrap();
    book.takes_in(envelope, &opened)
}

async fn nothing_is_owed(scene: &Scene, order: &Order) {
    let replica = scene.replica().await;
    eventually("the order is settled", async || {
        let asked = scene.exchange.book().asked.contains(&order.leg);
        (asked && replica.status().await.undelivered == 0).then_some(())
    })
    .await;
    assert_eq!(scene.exchange.book().submitted.len(), 0, "what has expired is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_order_that_the_exchange_never_saw_is_undelivered_once() {
    let scene = Scene::new().await;
    let case = Case::of_yesterday();
    let order = case.freeze(1);
    scene.order(&case, &order).await;
    nothing_is_owed(&scene, &order).await;
    nothing_is_owed(&scene, &order).await;
    let said = scene.facts::<OrderUndelivered>("undelivered").await;
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].exchange.as_str(), &said[0].leg_id, said[0].revision), ("upbit", &order.leg.to_string(), 1));
    assert_eq!(scene.facts::<ReceiptReceived>("receipt").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_order_that_the_exchange_has_gives_its_receipt() {
    let scene = Scene::new().await;
    let case = Case::of_yesterday();
    let order = case.freeze(1);
    let envelope = scene.order(&case, &order).await;
    let receipt = took_in(&scene, &envelope);
    nothing_is_owed(&scene, &order).await;
    let said = scene.facts::<ReceiptReceived>("receipt").await;
    assert_eq!(said.iter().map(|fact| &fact.receipt).collect::<Vec<_>>(), [&receipt]);
    assert_eq!(scene.facts::<OrderUndelivered>("undelivered").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_revision_of_a_leg_that_the_exchange_knows_only_by_a_lower_one_is_undelivered() {
    let scene = Scene::new().await;
    let case = Case::of_yesterday();
    let (seen, order) = (case.freeze(1), case.release(2));
    took_in(&scene, &scene.police.sign(&case, &seen));
    scene.order(&case, &order).await;
    nothing_is_owed(&scene, &order).await;
    let said = scene.facts::<OrderUndelivered>("undelivered").await;
    assert_eq!(said.iter().map(|fact| fact.revision).collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_little_behind_still_has_its_orders_sent() {
    let scene = Scene::with(json!({"clock_tolerance_seconds": 2 * 86_400})).await;
    let _replica = scene.replica().await;
    let case = Case::of_yesterday();
    let order = case.freeze(1);
    scene.order(&case, &order).await;
    // Its own clock is right, so the exchange does not take it in.
    eventually("it is sent", async || (scene.exchange.book().refused > 0).then_some(())).await;
    assert_eq!(scene.exchange.book().asked, []);
}
