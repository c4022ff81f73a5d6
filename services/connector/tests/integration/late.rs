//! No answer in the time that the exchange declares.

use haetae_wire::connector::v1::{ExchangeUnavailable, OrderOverdue, ReceiptReceived};
use haetae_wire::signed::order_identity;

use crate::exchange::{Mood, now};
use crate::police::Case;
use crate::scene::{Scene, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_in_time_is_said_so_once_and_answered_later() {
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    let replicas = [scene.replica().await, scene.replica().await];
    let case = Case::new();
    let question = case.question();
    scene.order(&case, &question).await;

    let said = scene.wait_for::<ExchangeUnavailable>("unavailable", 1).await.remove(0);
    assert_eq!((said.exchange.as_str(), said.leg_id, said.revision), ("upbit", question.leg.to_string(), 1));
    let tried = scene.exchange.attempts_at(question.leg);
    scene.attempts_at(question.leg, tried + 5).await;
    scene.exchange.feels(Mood::Answers);
    assert_eq!(scene.receipt_of(question.leg).await.len(), 1);
    assert_eq!(scene.facts::<ExchangeUnavailable>("unavailable").await.len(), 1);
    assert_eq!(replicas[0].status().await.undelivered, 0);
}

async fn said_of(scene: &Scene, leg: haetae_core::LegId) -> Vec<OrderOverdue> {
    let said = scene.facts::<OrderOverdue>("overdue").await;
    said.into_iter().filter(|fact| fact.leg_id == leg.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_an_answer_in_time_is_said_so_and_again_when_the_wait_has_doubled() {
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    let replicas = [scene.replica().await, scene.replica().await];
    let (frozen, released) = (Case::new(), Case::new());
    let orders = [frozen.freeze(1), released.release(2)];
    let taken_in = now();
    let envelopes = [scene.order(&frozen, &orders[0]).await, scene.order(&released, &orders[1]).await];
    for (order, envelope) in orders.iter().zip(&envelopes) {
        let said = eventually("a person is asked to call, and asked again", async || {
            Some(said_of(&scene, order.leg).await).filter(|said| said.len() >= 3)
        })
        .await;
        assert_eq!(said.iter().map(|fact| fact.reminders).take(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(said.iter().all(|fact| fact.since == said[0].since), "it is one wait");
        assert_eq!((said[0].exchange.as_str(), said[0].revision), ("upbit", order.revision.get()));
        assert_eq!(said[0].order_sha256, order_identity(envelope));
    }
    // After one, two and four times what the exchange declares.
    assert!(now() - taken_in >= std::time::Duration::from_secs(4));
    assert_eq!(replicas[0].status().await.overdue, 2);
    assert_eq!(scene.facts::<ExchangeUnavailable>("unavailable").await, []);

    scene.exchange.feels(Mood::Answers);
    scene.wait_for::<ReceiptReceived>("receipt", 2).await;
    assert_eq!(replicas[1].status().await.overdue, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_a_halt_holds_back_is_not_overdue_and_waits_from_the_resume_on() {
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    scene.halt(None).await;
    let _replica = scene.replica().await;
    let (held, sent) = (Case::new(), Case::new());
    let (freeze, release) = (held.freeze(1), sent.release(1));
    scene.order(&held, &freeze).await;
    scene.order(&sent, &release).await;
    eventually("the release is overdue", async || (!said_of(&scene, release.leg).await.is_empty()).then_some(())).await;
    assert_eq!(said_of(&scene, freeze.leg).await, []);

    let resumed = now();
    scene.resume(None).await;
    let said = eventually("so is the freeze", async || said_of(&scene, freeze.leg).await.pop()).await;
    let since = said.since.unwrap();
    assert!((since.seconds, since.nanos) >= (resumed.unix_timestamp(), resumed.nanosecond().cast_signed()));
}
