//! Two replicas, and the same facts read again.

use std::collections::BTreeSet;

use haetae_core::LegState;

use crate::world::{Approved, World, bithumb, cap, orders_of, request, until, upbit};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_order_nothing_twice_and_keep_the_cap() {
    let world = World::with_replicas(2).await;
    world.approve_watch(request(1), Approved { cap: 100, legs_per_hour: 100, ..Approved::default() }).await;
    // Ten accounts, two arrivals of 10 each: the cap holds for ten of the twenty.
    for n in 0..20 {
        let exchange = if n % 2 == 0 { upbit() } else { bithumb() };
        world.arrive(n, &exchange, n % 10, 10).await;
    }
    world.wait_for_orders(10).await;
    world.caught_up(&world.tracking, "freeze<-tracking").await;
    assert_eq!(world.orders().await.len(), 10);

    // Whatever is refused makes room for what waits.
    for place in 0..20 {
        let order = world.wait_for_orders(place + 1).await.remove(place);
        world.answer(&order, LegState::Refused).await;
    }
    for exchange in [upbit(), bithumb()] {
        world.caught_up(&world.connectors[&exchange], &format!("freeze<-connector/{exchange}")).await;
    }
    let orders = world.orders().await;
    let revisions: BTreeSet<_> = orders.iter().map(|order| (order.order.leg, order.order.revision)).collect();
    let named: BTreeSet<_> =
        orders.iter().flat_map(|order| order.order.arrivals.iter().map(|found| found.id)).collect();
    assert_eq!((orders.len(), revisions.len(), named.len()), (20, 20, 20), "each arrival was ordered once");
    assert!(revisions.iter().all(|(_, revision)| revision.get() <= 2));
    let reserved: Option<String> =
        sqlx::query_scalar("select sum(reserve)::text from leg").fetch_one(&world.freeze.db.pool).await.unwrap();
    assert_eq!(reserved.as_deref(), Some("0"), "all was refused, so nothing is reserved");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_facts_read_again_make_the_same_orders() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 30).await;
    world.arrive(2, &upbit(), 1, 20).await;
    world.arrive(3, &bithumb(), 2, 30).await;
    world.wait_for_orders(3).await;
    let orders = world.orders().await;

    let (again, _running) = world.read_again().await;
    let repeated = until("the orders are made again", async || {
        Some(orders_of(&again, &world.keys).await).filter(|repeated| repeated.len() >= orders.len())
    })
    .await;
    let parts = |orders: &[haetae_wire::signed::OpenedOrder]| -> Vec<_> {
        let part = |order: &haetae_wire::signed::OpenedOrder| (order.order.leg, order.order.revision, cap(order));
        orders.iter().map(part).collect()
    };
    assert_eq!(parts(&repeated), parts(&orders), "the same legs, revisions and caps");
}
