//! From an arrival to a freeze that binds.

use haetae_core::{Arrival, FreezeScope, LegId, LegState, WalletRole};
use haetae_wire::freeze::v1::{ListLegsRequest, StandingFreezeArmed, UnservedReason};
use haetae_wire::tracking::v1::Conclusion;

use crate::world::{
    Approved, World, account, arrival, bithumb, cap, ether, facts_of, line, request, revision, state, upbit,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_becomes_an_order_within_its_authorisation_and_the_answer_makes_it_binding() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    let arrival = world.arrive(1, &upbit(), 1, 60).await;

    let order = world.wait_for_orders(1).await.remove(0);
    assert_eq!(order.order.leg, LegId::of(line(request(1), &upbit()), &upbit(), &account(1), Some(&ether())));
    assert_eq!((order.order.revision, cap(&order)), (revision(1), Some(60_u64.into())));
    assert_eq!(order.order.arrivals, [arrival]);
    let haetae_core::Desired::Frozen { scope, .. } = order.order.desired else { panic!("a freeze") };
    assert_eq!(scope, FreezeScope::CreditsOfTransactions);
    let audience: Vec<Option<String>> = sqlx::query_scalar("select audience from ledger.entry where kind = 'order'")
        .fetch_all(&world.freeze.db.pool)
        .await
        .unwrap();
    assert_eq!(audience, [Some("upbit".to_owned())], "only its exchange's connector receives it");

    world.answer(&order, LegState::Accepted).await;
    let leg = world.wait_for_leg(order.order.leg, "accepted", |leg| leg.reported == state(LegState::Accepted)).await;
    assert_eq!(leg.binding_at, None);
    world.happen(&order, LegState::FrozenFull).await;
    let leg = world.wait_for_leg(order.order.leg, "binding", |leg| leg.binding_at.is_some()).await;
    assert_eq!((leg.reported, leg.frozen_amount.as_str()), (state(LegState::FrozenFull), "1"));

    let listed = world.legs(request(1)).await;
    assert_eq!(listed, [leg]);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrivals_that_came_before_the_approval_are_frozen_with_it() {
    let world = World::new().await;
    world.arrive(1, &upbit(), 1, 60).await;
    world.arrive(2, &bithumb(), 2, 60).await;
    world.caught_up(&world.tracking, "freeze<-tracking").await;
    assert_eq!(world.orders().await, []);

    world.approve_watch(request(1), Approved::default()).await;
    let orders = world.wait_for_orders(2).await;
    let caps: Vec<_> = orders.iter().map(|order| (order.order.recipient.clone(), cap(order))).collect();
    assert_eq!(caps, [(upbit(), Some(60_u64.into())), (bithumb(), Some(40_u64.into()))]);
    assert_eq!(facts_of::<StandingFreezeArmed>(&world.freeze, "standing-freeze-armed", None).await.len(), 1);
    world.wait_for_unserved(UnservedReason::CapExhausted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_arrival_at_the_same_account_raises_the_cap_of_the_same_leg() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    let first = world.arrive(1, &upbit(), 1, 30).await;
    let second = world.arrive(2, &upbit(), 1, 20).await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!(orders[0].order.leg, orders[1].order.leg);
    assert_eq!((orders[1].order.revision, cap(&orders[1])), (revision(2), Some(50_u64.into())));
    assert_eq!(orders[1].order.arrivals, [first, second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_leg_frees_the_cap_and_the_waiting_arrival_is_served() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    world.arrive(1, &upbit(), 1, 100).await;
    world.arrive(2, &bithumb(), 2, 80).await;
    let refused = world.wait_for_orders(1).await.remove(0);
    world.wait_for_unserved(UnservedReason::CapExhausted).await;
    assert_eq!(world.orders().await.len(), 1);

    world.answer(&refused, LegState::Refused).await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!((orders[1].order.recipient.clone(), cap(&orders[1])), (bithumb(), Some(80_u64.into())));
    assert_eq!(world.legs(request(1)).await[0].reported, state(LegState::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_legs_within_the_hour_than_allowed_wait_for_a_person() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved { legs_per_hour: 1, ..Approved::default() }).await;
    world.arrive(1, &upbit(), 1, 10).await;
    world.arrive(2, &upbit(), 2, 10).await;
    world.wait_for_unserved(UnservedReason::LegsPerHour).await;
    assert_eq!(world.orders().await.len(), 1);
    // Two persons who approve another standing freeze on the watch let it go.
    world.approve_watch(request(2), Approved::default()).await;
    let orders = world.wait_for_orders(3).await;
    assert!(orders[1..].iter().all(|order| order.authorisation.request == request(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_not_a_customers_and_an_exchange_that_nobody_named_are_left_alone() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved { exchanges: vec![upbit()], ..Approved::default() }).await;
    let hot = Arrival { wallet_role: Some(WalletRole::ExchangeOwn), ..arrival(1, &upbit(), 1, 10) };
    world.announce(&hot).await;
    world.arrive(2, &bithumb(), 2, 10).await;
    world.wait_for_unserved(UnservedReason::WalletRole).await;
    world.wait_for_unserved(UnservedReason::ExchangeNotAuthorised).await;
    assert_eq!(world.orders().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retracted_arrival_puts_its_leg_under_review_and_undoes_nothing() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    let arrival = world.arrive(1, &upbit(), 1, 60).await;
    let order = world.wait_for_orders(1).await.remove(0);
    world.retract(&arrival).await;
    world.wait_for_leg(order.order.leg, "under review", |leg| leg.under_review).await;
    assert_eq!(world.orders().await.len(), 1);
    world.announce(&arrival).await;
    world.wait_for_leg(order.order.leg, "not under review", |leg| !leg.under_review).await;
    assert_eq!(world.orders().await.len(), 1, "the same arrival is not frozen twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_that_returns_worth_less_lowers_its_freeze_and_what_comes_later_is_frozen_on_top() {
    let world = World::new().await;
    world.approve_watch(request(1), Approved::default()).await;
    let first = world.arrive(1, &upbit(), 1, 60).await;
    let order = world.wait_for_orders(1).await.remove(0);
    world.answer(&order, LegState::Binding).await;
    world.retract(&first).await;
    let less = Arrival { traced: 40_u64.into(), ..first };
    world.announce(&less).await;
    let orders = world.wait_for_orders(2).await;
    assert_eq!((orders[1].order.revision, cap(&orders[1])), (revision(2), Some(40_u64.into())));
    assert_eq!(orders[1].order.arrivals, std::slice::from_ref(&less), "as it is stated now");
    world.answer(&orders[1], LegState::Binding).await;
    let second = world.arrive(2, &upbit(), 1, 20).await;
    let orders = world.wait_for_orders(3).await;
    assert_eq!(
        (cap(&orders[2]), orders[2].order.arrivals.as_slice()),
        (Some(60_u64.into()), [less, second].as_slice())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_frozen_at_an_account_that_two_exchanges_claim_is_under_review_whenever_it_is_frozen() {
    let world = World::new().await;
    let arrival = arrival(1, &upbit(), 1, 60);
    world.conclude(&arrival, Conclusion::Conflict).await;
    world.announce(&arrival).await;
    world.approve_watch(request(1), Approved::default()).await;
    let leg = world.wait_for_orders(1).await[0].order.leg;
    world.wait_for_leg(leg, "under review", |leg| leg.under_review).await;
    world.conclude(&arrival, Conclusion::Held).await;
    world.wait_for_leg(leg, "not under review", |leg| !leg.under_review).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn named_accounts_are_frozen_at_once_with_their_balance_and_listed_page_by_page() {
    let world = World::new().await;
    let accounts: Vec<_> = (0..5).map(account).collect();
    world.approve_freeze(request(1), &accounts).await;
    let orders = world.wait_for_orders(5).await;
    for order in &orders {
        let haetae_core::Desired::Frozen { cap, scope, .. } = order.order.desired else { panic!("a freeze") };
        assert_eq!((cap, scope), (100_u64.into(), FreezeScope::BalanceAndLaterCredits));
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListLegsRequest { request_id: request(1).to_string(), page_size: 2, page_token };
        let (legs, next) = world.api.legs(request).await.unwrap();
        assert!(legs.len() <= 2);
        listed.extend(legs.into_iter().map(|leg| leg.leg_id));
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    let mut ordered: Vec<_> = orders.iter().map(|order| order.order.leg.to_string()).collect();
    listed.sort();
    ordered.sort();
    assert_eq!(listed, ordered);

    let wrong = ListLegsRequest { request_id: "x".into(), page_size: -1, page_token: "x".into() };
    assert_eq!(world.api.legs(wrong).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}
