//! An exchange holds the agency to the budgets that its people approved.

use haetae_core::{Account, Budgets, ChainId, LegReport, LegState, Order, RefusalReason};
use haetae_wire::exchange::v1::SubmitRequest;
use time::Duration;

use crate::police::Case;
use crate::scene::{CHAIN, ETHER, Scene, coin};

fn account(n: u64) -> Account {
    Account::evm(ChainId::evm(CHAIN), alloy::primitives::Address::left_padding_from(&n.to_be_bytes()))
}

fn within(max_questions: u32, max_legs_per_hour: u32) -> Case {
    Case { budgets: Budgets { max_questions, max_legs_per_hour }, ..Case::now(&account(1), &coin()) }
}

async fn answer(scene: &mut Scene, case: &Case, order: &Order) -> LegReport {
    let order = scene.police.sign(case, order).await;
    scene.submit(&order).await
}

fn is_over_budget(report: &LegReport) -> bool {
    report.refusal.as_ref().is_some_and(|refusal| {
        refusal.reason == RefusalReason::OutsideAuthorisation && refusal.message.contains("budget") && !refusal.retry
    })
}

#[tokio::test]
async fn no_more_addresses_are_asked_about_than_approved_and_the_same_one_again_and_again() {
    let mut scene = Scene::new().await;
    let first = within(2, 0);
    let (second, third) = (first.about(&account(2)), first.about(&account(3)));
    for case in [&first, &second] {
        assert_eq!(answer(&mut scene, case, &case.question(1)).await.state, LegState::Answered);
    }
    let refused = scene.police.sign(&third, &third.question(1)).await;
    let receipt = scene.submit_bytes(&refused).await;
    assert!(is_over_budget(&scene.receipt(&receipt).report));
    assert_eq!(scene.submit_bytes(&refused).await, receipt, "the same bytes, the same receipt");
    assert_eq!(scene.stands_of(third.question(1).leg).await, None, "no leg was touched");

    assert_eq!(answer(&mut scene, &first, &first.question(2)).await.state, LegState::Answered, "asked again");
    let other_line = Case { line: Case::now(&account(3), &coin()).line, ..third };
    assert_eq!(answer(&mut scene, &other_line, &other_line.question(1)).await.state, LegState::Answered);
}

#[tokio::test]
async fn no_more_legs_are_opened_within_an_hour_than_approved() {
    let mut scene = Scene::new().await;
    let accounts = [scene.open_account("mallory").await, scene.open_account("oscar").await];
    let first =
        Case { budgets: Budgets { max_questions: 0, max_legs_per_hour: 1 }, ..Case::now(&accounts[0], &coin()) };
    let second = first.about(&accounts[1]);
    assert_eq!(answer(&mut scene, &first, &first.freeze(1, ETHER)).await.state, LegState::Binding);
    assert!(is_over_budget(&answer(&mut scene, &second, &second.freeze(1, ETHER)).await));
    assert!(is_over_budget(&answer(&mut scene, &first, &first.question(1)).await), "none was approved");

    assert_eq!(answer(&mut scene, &first, &first.freeze(2, ETHER / 2)).await.state, LegState::Binding, "the same leg");
    assert_eq!(scene.release(&first, 3).await.state, LegState::Released, "a release only gives back");
    assert_eq!(scene.release(&second, 2).await.state, LegState::Released);
}

#[tokio::test]
async fn what_was_opened_over_hours_may_come_at_once() {
    let mut scene = Scene::new().await;
    let accounts = [scene.open_account("mallory").await, scene.open_account("oscar").await];
    let first =
        Case { budgets: Budgets { max_questions: 0, max_legs_per_hour: 1 }, ..Case::now(&accounts[0], &coin()) };
    let second = first.about(&accounts[1]);
    let now = first.freeze(1, ETHER);
    let earlier = Order { issued_at: now.issued_at - Duration::minutes(61), ..now };
    assert_eq!(answer(&mut scene, &first, &earlier).await.state, LegState::Binding);
    assert_eq!(answer(&mut scene, &second, &second.freeze(1, ETHER)).await.state, LegState::Binding);

    // Its first order was never delivered: when it was opened, nobody here knows.
    let third = first.about(&scene.open_account("trent").await);
    assert_eq!(answer(&mut scene, &third, &third.freeze(2, ETHER)).await.state, LegState::Binding);
}

#[tokio::test]
async fn a_budget_is_not_overdrawn_by_orders_that_come_at_the_same_moment() {
    let scene = Scene::new().await;
    let first = within(3, 0);
    let mut orders = Vec::new();
    for n in 1..=8 {
        let case = first.about(&account(n));
        orders.push(scene.police.sign(&case, &case.question(1)).await);
    }
    let receipts = orders.into_iter().map(|order| {
        let mut exchange = scene.exchange.clone();
        async move {
            let request = SubmitRequest { order: Some(order) };
            exchange.submit(request).await.unwrap().into_inner().receipt.unwrap().envelope
        }
    });
    let receipts = futures::future::join_all(receipts).await;
    let reports: Vec<_> = receipts.iter().map(|receipt| scene.receipt(receipt).report).collect();
    assert_eq!(reports.iter().filter(|report| report.state == LegState::Answered).count(), 3);
    assert_eq!(reports.iter().filter(|report| is_over_budget(report)).count(), 5);
}
