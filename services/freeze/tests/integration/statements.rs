//! What is not an exchange's word on an order of ours changes nothing.

use haetae_core::{LegState, Receipt};

use crate::world::{Approved, World, bithumb, receipt, request, revision, state, upbit};

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
