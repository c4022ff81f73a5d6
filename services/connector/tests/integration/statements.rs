//! What the exchange sends and cannot have meant.

use haetae_wire::connector::v1::{InvalidStatement, ReceiptReceived};

use crate::exchange::{Lie, Mood};
use crate::police::Case;
use crate::scene::{Scene, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_does_not_verify_is_a_fact_with_its_fault_and_the_order_stays_due() {
    let scene = Scene::new().await;
    let replica = scene.replica().await;
    let lies = [
        (Lie::WrongKey, "SIGNATURE_INVALID"),
        (Lie::OtherLeg, "OTHER_LEG"),
        (Lie::OtherExchange, "OTHER_EXCHANGE"),
        (Lie::OtherBytes, "OTHER_ORDER"),
    ];
    for (place, (lie, fault)) in lies.into_iter().enumerate() {
        scene.exchange.feels(Mood::Lies(lie));
        let case = Case::new();
        let order = case.freeze(1);
        scene.order(&case, &order).await;
        let said = scene.wait_for::<InvalidStatement>("invalid-statement", place + 1).await;
        let last = said.last().unwrap();
        assert_eq!((last.fault.as_str(), &last.leg_id, last.revision), (fault, &order.leg.to_string(), 1));
        assert_eq!(last.statement_sha256.len(), 32);

        // However often it is said again.
        scene.attempts_at(order.leg, 4).await;
        assert_eq!(scene.facts::<InvalidStatement>("invalid-statement").await.len(), place + 1);
        assert_eq!(scene.facts::<ReceiptReceived>("receipt").await.len(), place);
        assert_eq!(replica.status().await.undelivered, 1);

        scene.exchange.feels(Mood::Answers);
        assert_eq!(scene.receipt_of(order.leg).await.len(), 1);
        eventually("nothing is owed", async || (replica.status().await.undelivered == 0).then_some(())).await;
    }
}
