//! Halting and resuming.

use haetae_core::LegState;
use haetae_wire::freeze::v1::UnservedReason;

use crate::world::{Approved, World, bithumb, cap, request, upbit};

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_stops_freezes_at_the_exchange_and_a_resume_sends_what_waited() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.halt(&upbit()).await;
    let told = world.wait_for_dispatch("dispatch-halted").await;
    assert_eq!((told.exchange.as_str(), told.case), ("upbit", None));

    world.arrive(1, &upbit(), 1, 30).await;
    world.arrive(2, &bithumb(), 2, 30).await;
    world.wait_for_unserved(UnservedReason::Halted).await;
    let orders = world.wait_for_orders(1).await;
    assert_eq!(orders.iter().map(|order| order.order.recipient.clone()).collect::<Vec<_>>(), [bithumb()]);

    world.resume(&upbit()).await;
    world.wait_for_dispatch("dispatch-resumed").await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!((orders[1].order.recipient.clone(), cap(&orders[1])), (upbit(), Some(30_u64.into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_when_dispatch_resumes_is_sent_once_it_can_be() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.approve_watch(request(2), Approved::default()).await;
    world.halt(&upbit()).await;
    world.wait_for_dispatch("dispatch-halted").await;
    world.arrive(1, &upbit(), 1, 30).await;
    world.wait_for_unserved(UnservedReason::Halted).await;
    world.lose_authorisations(request(1)).await;
    world.resume(&upbit()).await;
    world.wait_for_dispatch("dispatch-resumed").await;
    let orders = world.wait_for_orders(1).await;
    assert_eq!(orders[0].authorisation.request, request(2), "the other is not held up");
    world.find_authorisations().await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!((orders[1].authorisation.request, cap(&orders[1])), (request(1), Some(30_u64.into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_never_stops_a_release() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    let order = world.wait_for_orders(1).await.remove(0);
    world.answer(&order, LegState::Binding).await;
    world.halt(&upbit()).await;
    world.wait_for_dispatch("dispatch-halted").await;
    world.approve_release(request(1), &[]).await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!(orders[1].order.desired, haetae_core::Desired::Released);
}
