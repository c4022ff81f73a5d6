//! What is not an exchange's word on an order of ours changes nothing.

use haetae_core::{LegState, Receipt};
use haetae_ledger::parked;
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_wire::signed::sign_receipt;

use crate::world::{Approved, World, bithumb, cap, receipt, request, revision, state, upbit};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_not_the_exchanges_on_this_order_changes_nothing() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    world.arrive(2, &bithumb(), 2, 30).await;
    let orders = world.wait_for_orders(2).await;
    let (ours, theirs) = (&orders[0], &orders[1]);
    let good = receipt(ours, LegState::FrozenFull);

    // Signed by another exchange's key.
    world.store_receipt(&upbit(), ours, world.sign_as(&bithumb(), &good)).await;
    // Another exchange's own true word, in this connector's log.
    let of_bithumb = receipt(theirs, LegState::FrozenFull);
    world.store_receipt(&upbit(), theirs, world.sign_as(&bithumb(), &of_bithumb)).await;
    // This exchange about a leg of the other.
    let foreign = Receipt { exchange: upbit(), ..of_bithumb.clone() };
    world.store_receipt(&upbit(), theirs, world.sign_as(&upbit(), &foreign)).await;
    // About other bytes than were sent, and about a revision that was never ordered.
    let mut other = good.clone();
    other.report.order_sha256 = [1; 32];
    world.store_receipt(&upbit(), ours, world.sign_as(&upbit(), &other)).await;
    let mut future = good.clone();
    future.report.revision = revision(2);
    world.store_receipt(&upbit(), ours, world.sign_as(&upbit(), &future)).await;
    world.caught_up(&world.connectors[&upbit()], "freeze<-connector/upbit").await;
    for leg in world.legs(request(1)).await {
        assert_eq!((leg.reported, leg.binding_at), (0, None));
    }

    // The true one still counts.
    world.store_receipt(&upbit(), ours, world.sign_as(&upbit(), &good)).await;
    world.wait_for_leg(ours.order.leg, "frozen", |leg| leg.reported == state(LegState::FrozenFull)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_exchange_may_have_lost_is_ordered_again() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    world.arrive(2, &upbit(), 2, 20).await;
    world.arrive(3, &bithumb(), 3, 10).await;
    let orders = world.wait_for_orders(3).await;
    for order in &orders {
        world.answer(order, LegState::Binding).await;
    }
    let released = orders[1].order.leg;
    world.approve_release(request(1), &[released]).await;
    let release = world.wait_for_orders(4).await.remove(3);
    world.answer(&release, LegState::Released).await;
    world.wait_for_leg(released, "released", |leg| leg.reported == state(LegState::Released)).await;

    world.begin_log_anew(&upbit()).await;
    let again = world.wait_for_orders(6).await.split_off(4);
    let again: Vec<_> = again.iter().map(|order| (order.order.leg, order.order.revision, cap(order))).collect();
    let (frozen, other) = (orders[0].order.leg, released);
    let mut expected = [(frozen, revision(2), Some(30_u64.into())), (other, revision(3), None)];
    expected.sort_by_key(|(leg, ..)| again.iter().position(|(of, ..)| of == leg));
    assert_eq!(again, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_with_a_key_that_is_not_known_is_ordered_again_and_holds_up_nothing() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    let order = world.wait_for_orders(1).await.remove(0);
    let new_key = SigningKey::generate(Algorithm::EcdsaP256Sha256);
    let early = sign_receipt(&receipt(&order, LegState::Binding), &new_key);
    world.store_receipt(&upbit(), &order, early).await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!((orders[1].order.leg, orders[1].order.revision), (order.order.leg, revision(2)));
    world.answer(&orders[1], LegState::Binding).await;
    world.wait_for_leg(order.order.leg, "binding", |leg| leg.reported == state(LegState::Binding)).await;
    assert!(parked::list(&world.freeze.db.pool, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_or_an_authorisation_that_others_signed_freezes_nothing() {
    let world = World::new().await;
    let forger = World::new().await;
    forger.approve_watch(request(1), Approved::default()).await;
    let forged: Vec<(String, Vec<u8>)> = sqlx::query_as("select kind, payload from ledger.entry order by id")
        .fetch_all(&forger.intake.db.pool)
        .await
        .unwrap();
    for (kind, payload) in forged {
        let kind = if kind == "authorisation" { "authorisation" } else { "request-granted" };
        world.intake.say(kind, "case/knp/2026-2", payload).await;
    }
    world.arrive(1, &upbit(), 1, 30).await;
    world.caught_up(&world.intake, "freeze<-intake").await;
    world.caught_up(&world.tracking, "freeze<-tracking").await;
    assert_eq!((world.orders().await, world.legs(request(1)).await), (vec![], vec![]));
}
