//! Which orders are believed, and what is answered.

use haetae_core::{
    Account, Amount, ChainId, ConfirmationAnswer, Desired, FreezeScope, LegState, RefusalReason, WalletRole,
};
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_wire::exchange::v1::{DescribeRequest, GetOrderRequest, SignedOrder, SubmitRequest};
use haetae_wire::signed::order_identity;
use time::Duration;
use tonic::Code;

use crate::police::{Case, now};
use crate::scene::{CHAIN, ETHER, Scene, coin, hot_wallet};

async fn refusal(scene: &mut Scene, order: &SignedOrder) -> RefusalReason {
    let report = scene.submit(order).await;
    assert_eq!(report.order_sha256, order_identity(&order.envelope));
    report.refusal.expect("a refusal").reason
}

#[tokio::test]
async fn an_order_that_is_not_as_it_must_be_is_refused_for_its_own_reason_and_changes_nothing() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    let case = Case::now(&account, &coin());
    let good = scene.police.sign(&case, &case.freeze(1, ETHER)).await;

    let mut altered = good.clone();
    let last = altered.envelope.len() - 1;
    altered.envelope[last] ^= 1;
    assert_eq!(refusal(&mut scene, &altered).await, RefusalReason::SignatureInvalid);

    let mut unproven = good.clone();
    unproven.inclusion = None;
    assert_eq!(refusal(&mut scene, &unproven).await, RefusalReason::ProofInvalid);
    let foreign = SignedOrder { checkpoint: other_checkpoint(&scene, &case).await, ..good.clone() };
    assert_eq!(refusal(&mut scene, &foreign).await, RefusalReason::ProofInvalid);

    let elsewhere = Case { exchange: "bithumb".parse().unwrap(), ..case.clone() };
    let order = scene.police.sign(&elsewhere, &elsewhere.freeze(1, ETHER)).await;
    assert_eq!(refusal(&mut scene, &order).await, RefusalReason::NotForThisExchange);

    let narrow = Case { limit: ETHER / 2, ..case.clone() };
    let order = scene.police.sign(&narrow, &narrow.freeze(1, ETHER)).await;
    assert_eq!(refusal(&mut scene, &order).await, RefusalReason::OutsideAuthorisation);

    let mut late = case.freeze(1, ETHER);
    (late.issued_at, late.expires_at) = (now() - Duration::minutes(10), now() - Duration::minutes(5));
    let order = scene.police.sign(&case, &late).await;
    assert_eq!(refusal(&mut scene, &order).await, RefusalReason::OrderExpired);

    let stolen = std::mem::replace(&mut scene.police.freeze, SigningKey::generate(Algorithm::Ed25519));
    let order = scene.police.sign(&case, &case.freeze(1, ETHER)).await;
    scene.police.freeze = stolen;
    assert_eq!(refusal(&mut scene, &order).await, RefusalReason::SignatureInvalid);

    assert_eq!(scene.stands(&case).await, None, "no leg was touched");
    assert_eq!(scene.submit(&good).await.state, LegState::Binding, "the same envelope with its proof is believed");
}

/// A checkpoint of the right form, of another log.
async fn other_checkpoint(scene: &Scene, case: &Case) -> String {
    scene.police.sign(case, &case.question(1)).await.checkpoint
}

#[tokio::test]
async fn what_names_no_leg_is_not_answered() {
    let mut scene = Scene::new().await;
    let request = SubmitRequest { order: Some(SignedOrder { envelope: vec![1, 2, 3], ..SignedOrder::default() }) };
    assert_eq!(scene.exchange.submit(request).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(scene.exchange.submit(SubmitRequest { order: None }).await.unwrap_err().code(), Code::InvalidArgument);
    let request = GetOrderRequest { leg_id: "leg".into() };
    assert_eq!(scene.exchange.get_order(request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_same_bytes_get_the_same_receipt_whatever_happened_since() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    let case = Case::now(&account, &coin());
    let order = scene.police.sign(&case, &case.freeze(1, ETHER)).await;
    let first = scene.submit_bytes(&order).await;
    assert_eq!(scene.receipt(&first).report.state, LegState::Binding);
    scene.release(&case, 2).await;
    assert_eq!(scene.submit_bytes(&order).await, first);
    let altered = SignedOrder { inclusion: None, ..order.clone() };
    assert_eq!(scene.submit_bytes(&altered).await, first, "the order is its envelope");

    let refused = SignedOrder { envelope: scene.police.sign(&case, &case.freeze(3, ETHER)).await.envelope, ..order };
    let first = scene.submit_bytes(&refused).await;
    assert_eq!(scene.submit_bytes(&refused).await, first);
}

#[tokio::test]
async fn the_same_bytes_at_the_same_moment_get_the_same_receipt() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    for _ in 0..5 {
        let case = Case::now(&account, &coin());
        let order = scene.police.sign(&case, &case.freeze(1, ETHER)).await;
        let receipts = (0..4).map(|_| {
            let (mut exchange, order) = (scene.exchange.clone(), Some(order.clone()));
            async move { exchange.submit(SubmitRequest { order }).await.unwrap().into_inner().receipt.unwrap().envelope }
        });
        let receipts = futures::future::join_all(receipts).await;
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
        assert_eq!(scene.receipt(&receipts[0]).report.state, LegState::Binding);
    }
    let mut events = scene.follow("", 0, 0).await;
    for sequence in 1..=5 {
        assert_eq!(events.next().await.sequence, sequence, "each freeze was told of once");
    }
}

#[tokio::test]
async fn the_highest_revision_wins_and_a_release_seen_first_is_a_tombstone() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    let case = Case::now(&account, &coin());
    let late = scene.police.sign(&case, &case.freeze(1, ETHER)).await;
    assert_eq!(scene.release(&case, 2).await.state, LegState::Released);
    let report = scene.submit(&late).await;
    assert_eq!((report.state, report.revision.get()), (LegState::Superseded, 1));

    let reused = scene.police.sign(&case, &case.freeze(2, ETHER)).await;
    assert_eq!(refusal(&mut scene, &reused).await, RefusalReason::RevisionReused);
    let stands = scene.stands(&case).await.unwrap();
    assert_eq!((stands.state, stands.revision.get()), (LegState::Released, 2));
    assert_eq!(scene.freeze(&case, 3, ETHER).await.state, LegState::Binding);
}

#[tokio::test]
async fn an_address_is_confirmed_with_what_kind_of_wallet_it_is() {
    let mut scene = Scene::new().await;
    let customer = scene.open_account("mallory").await;
    let chain = || ChainId::evm(CHAIN);
    let (own, nobody) = (Account::evm(chain(), hot_wallet()), Account::evm(chain(), scene.rich));
    let held = ConfirmationAnswer::Held;
    for (account, answer, role) in [
        (customer, held, Some(WalletRole::CustomerDeposit)),
        (own, held, Some(WalletRole::ExchangeOwn)),
        (nobody, ConfirmationAnswer::NotHeld, None),
    ] {
        let case = Case::now(&account, &coin());
        let order = scene.police.sign(&case, &case.question(1)).await;
        let report = scene.submit(&order).await;
        let confirmation = report.confirmation.unwrap();
        assert_eq!((report.state, confirmation.answer, confirmation.wallet_role), (LegState::Answered, answer, role));
        assert_eq!(confirmation.wallets_searched.len(), 2);
    }
}

#[tokio::test]
async fn only_a_customers_deposit_address_can_be_frozen() {
    let mut scene = Scene::new().await;
    for address in [hot_wallet(), scene.rich] {
        let case = Case::now(&Account::evm(ChainId::evm(CHAIN), address), &coin());
        let order = scene.police.sign(&case, &case.freeze(1, ETHER)).await;
        assert_eq!(refusal(&mut scene, &order).await, RefusalReason::DataNotHeld);
        assert_eq!(scene.stands(&case).await.unwrap().state, LegState::Refused);
    }
}

#[tokio::test]
async fn a_standing_freeze_covers_credits_only() {
    let mut scene = Scene::new().await;
    let (account, transfer) = scene.deposit("mallory", ETHER).await;
    let case = Case::standing(&account, &coin(), &[(transfer, ETHER)]);
    let mut order = case.freeze(1, ETHER);
    let scope = FreezeScope::BalanceAndLaterCredits;
    order.desired = Desired::Frozen { cap: Amount::from(ETHER), until: case.freeze_until, scope };
    let order = scene.police.sign(&case, &order).await;
    assert_eq!(refusal(&mut scene, &order).await, RefusalReason::OutsideAuthorisation);
}

#[tokio::test]
async fn the_exchange_describes_itself() {
    let mut scene = Scene::new().await;
    let described = scene.exchange.describe(DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!((described.exchange.as_str(), described.epoch), ("upbit", 1));
    let chain = &described.chains[0];
    assert_eq!((chain.chain.as_str(), chain.confirmations_before_credit), ("eip155:31337", 2));
    assert_eq!(chain.assets, [coin().to_string()]);
    let pinned = scene.keys.purpose(&described.keys[0].key_id);
    assert!(pinned.is_some(), "it signs with the key that was exchanged out of band");
}
