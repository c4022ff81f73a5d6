//! Releasing, and orders that the exchange never saw.

use haetae_core::{Act, Desired, LegState};
use haetae_wire::freeze::v1::{AuthorityEnded, UnservedReason};

use crate::world::{Approved, World, bithumb, cap, facts_of, request, revision, state, upbit};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_carries_the_cancellation_and_is_chased_until_it_is_acknowledged() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    world.arrive(2, &bithumb(), 2, 30).await;
    let frozen = world.wait_for_orders(2).await;
    world.answer(&frozen[0], LegState::FrozenFull).await;

    world.approve_release(request(1), &[]).await;
    let orders = world.wait_for_orders(4).await;
    for release in &orders[2..] {
        assert_eq!((&release.order.desired, release.order.revision), (&Desired::Released, revision(2)));
        assert!(matches!(release.authorisation.act, Act::Cancel { .. }));
    }
    let ended = facts_of::<AuthorityEnded>(&world.freeze, "authority-ended", None).await;
    assert_eq!(ended[0].request_id, request(1).to_string());

    // Refused, and refused again: never given up.
    let of_upbit = |orders: &[haetae_wire::signed::OpenedOrder]| {
        orders.iter().rfind(|order| order.order.recipient == upbit()).cloned().unwrap()
    };
    for count in [5, 6] {
        world.answer(&of_upbit(&world.orders().await), LegState::Refused).await;
        let orders = world.wait_for_orders(count).await;
        assert_eq!(of_upbit(&orders).order.desired, Desired::Released);
    }
    let last = of_upbit(&world.orders().await);
    assert_eq!(last.order.revision, revision(4));
    world.answer(&last, LegState::Released).await;
    let leg = world.wait_for_leg(last.order.leg, "released", |leg| leg.reported == state(LegState::Released)).await;
    assert_eq!(leg.reported_revision, 4);

    world.arrive(3, &upbit(), 3, 10).await;
    world.wait_for_unserved(UnservedReason::AuthorityOver).await;
    assert_eq!(world.orders().await.len(), 6, "nothing more is frozen under an authority that is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_one_leg_leaves_the_others_and_gives_its_cap_to_what_waits() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 60).await;
    world.arrive(2, &upbit(), 2, 40).await;
    world.arrive(3, &bithumb(), 3, 50).await;
    let frozen = world.wait_for_orders(2).await;
    world.wait_for_unserved(UnservedReason::CapExhausted).await;

    world.approve_release(request(1), &[frozen[0].order.leg]).await;
    let release = world.wait_for_orders(3).await.remove(2);
    assert_eq!((release.order.leg, &release.order.desired), (frozen[0].order.leg, &Desired::Released));
    // Only when the exchange has let go is the cap free.
    world.answer(&release, LegState::Released).await;
    let served = world.wait_for_orders(4).await.remove(3);
    assert_eq!((served.order.recipient.clone(), cap(&served)), (bithumb(), Some(50_u64.into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_exchange_never_saw_goes_out_as_the_next_revision() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 60).await;
    let lost = world.wait_for_orders(1).await.remove(0);
    world.lose(&lost).await;
    world.lose(&lost).await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!((orders[1].order.leg, orders[1].order.revision), (lost.order.leg, revision(2)));
    assert_eq!(cap(&orders[1]), cap(&lost));
    assert!(orders[1].order.expires_at > lost.order.expires_at);
    world.caught_up(&world.connectors[&upbit()], "freeze<-connector/upbit").await;
    assert_eq!(world.orders().await.len(), 2);
}
