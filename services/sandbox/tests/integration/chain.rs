//! Money that comes, rests and goes.

use alloy::primitives::Address;
use haetae_wire::sandbox::v1::WithdrawalOutcome;
use serde_json::json;

use crate::scene::{ETHER, Scene, coin, eventually, hot_wallet, total};

#[tokio::test]
async fn a_deposit_is_pending_credited_after_two_confirmations_and_swept() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    assert_eq!(account, scene.open_account("mallory").await, "the same customer keeps the address");
    scene.send(&account, ETHER).await;
    eventually("the deposit is pending", async || {
        (scene.balance("mallory", &coin()).await.pending == ETHER.to_string()).then_some(())
    })
    .await;
    assert_eq!(total(&scene.balance("mallory", &coin()).await), 0, "one confirmation is not enough");

    scene.mine(1).await;
    scene.credited("mallory", ETHER).await;
    assert_eq!(scene.balance("mallory", &coin()).await.pending, "0");
    eventually("it is swept", async || (scene.coin_of(hot_wallet()).await > ETHER + ETHER / 10 * 9).then_some(()))
        .await;
    assert_eq!(scene.coin_of(account.evm_address().unwrap()).await, 0, "all minus gas");
}

#[tokio::test]
async fn a_token_is_swept_with_gas_that_is_no_deposit() {
    let mut scene = Scene::with_token().await;
    let token = scene.token_asset();
    let account = scene.open_account("mallory").await;
    scene.send_tokens(&account, 500).await;
    scene.mine(1).await;
    eventually("the token is credited", async || (total(&scene.balance("mallory", &token).await) == 500).then_some(()))
        .await;
    eventually("it is swept", async || (scene.tokens_of(hot_wallet()).await == 500).then_some(())).await;
    scene.mine(3).await;
    let after = scene.open_account("after").await;
    scene.send(&after, ETHER).await;
    scene.mine(1).await;
    scene.credited("after", ETHER).await;
    let gas = scene.balance("mallory", &coin()).await;
    assert_eq!((gas.total.as_str(), gas.pending.as_str()), ("0", "0"), "blocks with the gas have been read");

    let to = Address::repeat_byte(0x77);
    let paid = scene.withdraw("mallory", &token, 200, to).await;
    assert_eq!(paid.outcome(), WithdrawalOutcome::Paid);
    eventually("the token is paid out", async || (scene.tokens_of(to).await == 200).then_some(())).await;
    assert_eq!(total(&scene.balance("mallory", &token).await), 300);
}

#[tokio::test]
async fn a_withdrawal_waits_for_the_hot_wallet_to_be_filled() {
    let mut scene = Scene::new().await;
    scene.anvil.rpc("anvil_setBalance", json!([hot_wallet(), "0x0"])).await.unwrap();
    scene.deposit("mallory", 2 * ETHER).await;
    let to = Address::repeat_byte(0x77);
    assert_eq!(scene.withdraw("mallory", &coin(), ETHER, to).await.outcome(), WithdrawalOutcome::Paid);
    eventually("it is paid", async || (scene.coin_of(to).await == ETHER).then_some(())).await;
}

#[tokio::test]
async fn nobody_withdraws_more_than_is_owned_and_strangers_nothing() {
    let mut scene = Scene::new().await;
    scene.deposit("mallory", ETHER).await;
    let to = Address::repeat_byte(0x77);
    let refused = scene.withdraw("mallory", &coin(), ETHER + 1, to).await;
    assert_eq!((refused.outcome(), refused.transaction.as_str()), (WithdrawalOutcome::Insufficient, ""));
    let request = haetae_wire::sandbox::v1::GetAccountRequest { customer: "nobody".into() };
    assert_eq!(scene.control.get_account(request).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_block_that_is_replaced_takes_its_pending_deposit_with_it() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    scene.mine(3).await;
    scene.send(&account, ETHER).await;
    eventually("the deposit is pending", async || {
        (scene.balance("mallory", &coin()).await.pending == ETHER.to_string()).then_some(())
    })
    .await;
    scene.anvil.rpc("anvil_reorg", json!([1, []])).await.unwrap();
    eventually("it is gone", async || (scene.balance("mallory", &coin()).await.pending == "0").then_some(())).await;
    scene.mine(5).await;
    scene.deposit("other", ETHER).await;
    assert_eq!(total(&scene.balance("mallory", &coin()).await), 0);
}
