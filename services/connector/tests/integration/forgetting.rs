//! Settled orders leave the queue in the end, others never.

use haetae_wire::connector::v1::{OrderUndelivered, ReceiptReceived};

use crate::exchange::Mood;
use crate::police::Case;
use crate::scene::{Scene, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_long_ago_is_removed_and_what_is_not_settled_stays() {
    let scene = Scene::new().await;
    let (answered, undelivered) = (Case::new(), Case::of_yesterday());
    let waiting = Case::new();
    let replica = scene.replica().await;
    scene.order(&answered, &answered.freeze(1)).await;
    scene.order(&undelivered, &undelivered.freeze(1)).await;
    scene.order(&waiting, &waiting.freeze(1)).await;
    scene.wait_for::<ReceiptReceived>("receipt", 2).await;
    scene.wait_for::<OrderUndelivered>("undelivered", 1).await;
    scene.exchange.feels(Mood::Unavailable);
    scene.order(&waiting, &waiting.release(2)).await;
    eventually("the release waits", async || (replica.status().await.undelivered == 1).then_some(())).await;
    replica.dies().await;
    scene.age(40).await;

    // A replica looks when it starts. What is due keeps the earlier orders of its leg.
    let replica = scene.replica().await;
    let leg = waiting.freeze(1).leg;
    eventually("nothing else is left", async || (scene.queued().await == [(leg, 1), (leg, 2)]).then_some(())).await;

    scene.exchange.feels(Mood::Answers);
    let receipts = scene.wait_for::<ReceiptReceived>("receipt", 3).await;
    assert_eq!((receipts[2].leg_id.as_str(), receipts[2].revision), (leg.to_string().as_str(), 2));
    assert_eq!(replica.status().await.undelivered, 0);
    assert!(scene.queued().await.contains(&(leg, 2)), "settled a moment ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_is_kept_and_sent_whatever_its_age() {
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    let replica = scene.replica().await;
    let case = Case::new();
    scene.order(&case, &case.freeze(1)).await;
    scene.attempts_at(case.freeze(1).leg, 1).await;
    replica.dies().await;
    scene.age(4_000).await;
    scene.exchange.feels(Mood::Answers);
    let _replica = scene.replica().await;
    assert_eq!(scene.receipt_of(case.freeze(1).leg).await.len(), 1);
}
