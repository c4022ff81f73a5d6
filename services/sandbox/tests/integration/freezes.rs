//! Money that must not leave.

use alloy::primitives::Address;
use haetae_core::LegState;
use haetae_wire::sandbox::v1::WithdrawalOutcome;
use time::Duration;

use crate::police::{Case, now};
use crate::scene::{ETHER, Scene, coin, eventually, total};

const THIEF: Address = Address::repeat_byte(0x66);

#[tokio::test]
async fn what_arrives_is_withheld_as_it_is_credited_and_older_money_stays_free() {
    let mut scene = Scene::new().await;
    let (account, _) = scene.deposit("mallory", ETHER).await;
    let stolen = scene.send(&account, 2 * ETHER).await;
    let case = Case::standing(&account, &coin(), &[(stolen, 2 * ETHER)]);
    let mut events = scene.follow("", 0, 0).await;
    let report = scene.freeze(&case, 1, 2 * ETHER).await;
    assert_eq!(report.state, LegState::Binding, "it binds before the money is there");
    assert!(report.holder.is_some_and(|holder| !holder.contains("mallory")));

    scene.mine(1).await;
    let (_, frozen) = events.until(&case, LegState::FrozenFull).await;
    assert_eq!(frozen, (2 * ETHER).to_string());
    let balance = scene.balance("mallory", &coin()).await;
    assert_eq!((total(&balance), balance.withheld), (3 * ETHER, (2 * ETHER).to_string()));

    let refused = scene.withdraw("mallory", &coin(), ETHER + 1, THIEF).await;
    assert_eq!(refused.outcome(), WithdrawalOutcome::Frozen);
    let paid = scene.withdraw("mallory", &coin(), ETHER, THIEF).await;
    assert_eq!(paid.outcome(), WithdrawalOutcome::Paid, "what was there before is not under the freeze");
    assert_eq!(scene.withdraw("mallory", &coin(), 1, THIEF).await.outcome(), WithdrawalOutcome::Frozen);

    assert_eq!(scene.release(&case, 2).await.state, LegState::Released);
    events.until(&case, LegState::Released).await;
    let paid = scene.withdraw("mallory", &coin(), 2 * ETHER, THIEF).await;
    assert_eq!(paid.outcome(), WithdrawalOutcome::Paid);
    assert!(!paid.transaction.is_empty());
    eventually("both were paid on the chain", async || (scene.coin_of(THIEF).await == 3 * ETHER).then_some(())).await;
}

#[tokio::test]
async fn a_freeze_that_comes_after_the_credit_takes_what_is_still_there() {
    let mut scene = Scene::new().await;
    let (account, stolen) = scene.deposit("mallory", 3 * ETHER).await;
    scene.withdraw("mallory", &coin(), 2 * ETHER, THIEF).await;
    let case = Case::standing(&account, &coin(), &[(stolen, 3 * ETHER)]);
    let report = scene.freeze(&case, 1, 3 * ETHER).await;
    assert_eq!((report.state, report.frozen.unwrap().to_string()), (LegState::FrozenPartial, ETHER.to_string()));
    assert_eq!(scene.withdraw("mallory", &coin(), 1, THIEF).await.outcome(), WithdrawalOutcome::Frozen);
}

#[tokio::test]
async fn legs_that_share_a_ground_withhold_the_larger_cap_and_others_add_up() {
    let mut scene = Scene::new().await;
    let (account, first) = scene.deposit("mallory", ETHER).await;
    let (_, second) = scene.deposit("mallory", ETHER).await;
    let tenth = ETHER / 10;
    let one = Case::standing(&account, &coin(), &[(first.clone(), ETHER)]);
    let same_ground = Case::standing(&account, &coin(), &[(first, ETHER)]);
    let another = Case::standing(&account, &coin(), &[(second, ETHER)]);

    let mut withheld = async |case: &Case, revision: u32, cap: u128| {
        match cap {
            0 => scene.release(case, revision).await,
            cap => scene.freeze(case, revision, cap).await,
        };
        scene.balance("mallory", &coin()).await.withheld.parse::<u128>().unwrap() / tenth
    };
    assert_eq!(withheld(&one, 1, 6 * tenth).await, 6);
    assert_eq!(withheld(&same_ground, 1, 8 * tenth).await, 8, "the larger, not the sum");
    assert_eq!(withheld(&another, 1, 5 * tenth).await, 13, "another ground adds up");
    assert_eq!(withheld(&same_ground, 2, 0).await, 11, "the smaller one still stands");
    assert_eq!(withheld(&one, 2, 9 * tenth).await, 14, "a revision raises the cap");
    assert_eq!(withheld(&another, 2, 0).await, 9);
    assert_eq!(withheld(&one, 3, 0).await, 0, "free when no leg withholds it");
}

#[tokio::test]
async fn a_freeze_ends_by_itself_when_its_period_ends() {
    let mut scene = Scene::new().await;
    let (account, _) = scene.deposit("mallory", ETHER).await;
    let mut events = scene.follow("", 0, 0).await;
    let case = Case { freeze_until: now() + Duration::seconds(2), ..Case::now(&account, &coin()) };
    assert_eq!(scene.freeze(&case, 1, ETHER).await.state, LegState::FrozenFull);
    assert_eq!(scene.withdraw("mallory", &coin(), ETHER, THIEF).await.outcome(), WithdrawalOutcome::Frozen);
    let (_, frozen) = events.until(&case, LegState::Expired).await;
    assert_eq!(frozen, "0");
    assert_eq!(scene.stands(&case).await.unwrap().state, LegState::Expired);
    assert_eq!(scene.withdraw("mallory", &coin(), ETHER, THIEF).await.outcome(), WithdrawalOutcome::Paid);
}

#[tokio::test]
async fn a_withdrawal_and_a_freeze_at_the_same_moment_never_both_have_the_money() {
    let mut scene = Scene::new().await;
    let rounds = 12;
    for round in 0..rounds {
        let customer = format!("customer-{round}");
        let (account, transfer) = scene.deposit(&customer, ETHER / 100).await;
        let case = match round % 2 {
            0 => Case::now(&account, &coin()),
            _ => Case::standing(&account, &coin(), &[(transfer, ETHER / 100)]),
        };
        let order = scene.police.sign(&case, &case.freeze(1, ETHER / 100)).await;
        let mut exchange = scene.exchange.clone();
        let submit = async {
            let request = haetae_wire::exchange::v1::SubmitRequest { order: Some(order) };
            exchange.submit(request).await.unwrap().into_inner().receipt.unwrap().envelope
        };
        let mut control = scene.control.clone();
        let withdraw = async {
            let request = haetae_wire::sandbox::v1::WithdrawRequest {
                customer: customer.clone(),
                amount: Some(haetae_wire::exchange::v1::AssetAmount {
                    asset: coin().to_string(),
                    amount: (ETHER / 100).to_string(),
                }),
                to: haetae_core::Account::evm(haetae_core::ChainId::evm(crate::scene::CHAIN), THIEF).to_string(),
            };
            control.withdraw(request).await.unwrap().into_inner().outcome()
        };
        // Either may be first.
        let (receipt, outcome) = if round % 3 == 0 {
            let (outcome, receipt) = tokio::join!(withdraw, submit);
            (receipt, outcome)
        } else {
            tokio::join!(submit, withdraw)
        };
        let state = scene.receipt(&receipt).report.state;
        let left = total(&scene.balance(&customer, &coin()).await);
        match outcome {
            WithdrawalOutcome::Paid => assert_eq!((state, left), (LegState::Binding, 0)),
            WithdrawalOutcome::Frozen => assert_eq!((state, left), (LegState::FrozenFull, ETHER / 100)),
            other => panic!("{other:?}"),
        }
    }
}
