//! A leg's order, to be handed over by a person: what the exchange would have got over the line.

use haetae_core::{Desired, LegId, LegState, Moment};
use haetae_wire::signed::{OpenedOrder, open_signed_order};
use time::Duration;

use crate::world::{Approved, World, request, revision, until, upbit};

impl World {
    /// The leg's order, opened as an exchange does that takes it in: with the proof.
    async fn handed_over(&self, leg: LegId) -> OpenedOrder {
        let signed = until("the order is sealed", async || self.api.signed_order(&leg.to_string()).await.ok()).await;
        let mut keys = self.keys.keyring.clone();
        keys.pin_log("freeze", self.freeze.log.verifier().clone());
        open_signed_order(&signed, &keys, &upbit(), Moment::now_utc(), Duration::seconds(5)).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_leg_is_handed_over_with_its_proof_and_is_the_latest_one() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    let frozen = world.wait_for_orders(1).await.remove(0);
    let leg = frozen.order.leg;
    assert_eq!(world.handed_over(leg).await, frozen);

    world.answer(&frozen, LegState::Binding).await;
    world.approve_release(request(1), &[]).await;
    let release = world.wait_for_orders(2).await.remove(1);
    let handed = until("the release is sealed", async || {
        Some(world.handed_over(leg).await).filter(|handed| handed.order.revision == revision(2))
    })
    .await;
    assert_eq!((&handed, &handed.order.desired), (&release, &Desired::Released));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_nothing_was_ordered_of_has_no_order_to_hand_over() {
    let world = World::new().await;
    let nobody = LegId(uuid::Uuid::from_u128(7)).to_string();
    assert_eq!(world.api.signed_order(&nobody).await.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(world.api.signed_order("leg").await.unwrap_err().code(), tonic::Code::InvalidArgument);
}
