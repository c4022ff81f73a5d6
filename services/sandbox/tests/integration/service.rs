//! Restarts, outages, and who may call.

use alloy::primitives::Address;
use haetae_core::LegState;
use haetae_wire::exchange::v1::{DescribeRequest, FollowRequest};
use haetae_wire::sandbox::v1::{SetOutageRequest, WithdrawalOutcome};
use time::Duration;
use tonic::Code;

use crate::police::{Case, now};
use crate::scene::{ETHER, Scene, coin, eventually};

#[tokio::test]
async fn an_exchange_that_dies_goes_on_where_it_was() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    let stolen = scene.send(&account, ETHER).await;
    let case = Case::standing(&account, &coin(), &[(stolen, ETHER)]);
    let mut events = scene.follow("", 0, 0).await;
    let order = scene.police.sign(&case, &case.freeze(1, ETHER)).await;
    let receipt = scene.submit_bytes(&order).await;
    let binding = events.next().await;
    assert_eq!(binding.sequence, 1);

    scene.kill().await;
    scene.mine(3).await;
    scene.restart().await;

    assert_eq!(scene.submit_bytes(&order).await, receipt, "the receipt is the one that was given");
    let mut events = scene.follow(&binding.log_id, binding.epoch, 1).await;
    let (sequence, frozen) = events.until(&case, LegState::FrozenFull).await;
    assert_eq!(
        (sequence, frozen),
        (2, ETHER.to_string()),
        "what came meanwhile was withheld, and nothing is said twice"
    );
    let to = scene.rich;
    assert_eq!(scene.withdraw("mallory", &coin(), 1, to).await.outcome(), WithdrawalOutcome::Frozen);

    let mut again = scene.follow("another log", 7, 2).await;
    assert_eq!(again.next().await.sequence, 1, "a cursor of another log starts from the beginning");
}

#[tokio::test]
async fn two_replicas_credit_once_and_pay_once() {
    let mut scene = Scene::new().await;
    let _other = scene.replica().await;
    let to = Address::repeat_byte(0x77);
    let mut paid = 0;
    for round in 1..=5 {
        let (account, _) = scene.deposit("mallory", ETHER).await;
        let case = Case { freeze_until: now() + Duration::HOUR, ..Case::now(&account, &coin()) };
        assert_eq!(scene.freeze(&case, 1, ETHER / 2).await.state, LegState::FrozenFull);
        assert_eq!(scene.release(&case, 2).await.state, LegState::Released);
        assert_eq!(scene.withdraw("mallory", &coin(), ETHER, to).await.outcome(), WithdrawalOutcome::Paid, "{round}");
        paid += ETHER;
    }
    eventually("everything is paid", async || (scene.coin_of(to).await == paid).then_some(())).await;
    scene.mine(5).await;
    scene.deposit("other", ETHER).await;
    assert_eq!(scene.coin_of(to).await, paid);
    assert_eq!(scene.balance("mallory", &coin()).await.total, "0");
}

#[tokio::test]
async fn a_cursor_ahead_of_the_log_is_refused() {
    let mut scene = Scene::new().await;
    let described = scene.exchange.describe(DescribeRequest {}).await.unwrap().into_inner();
    let request = FollowRequest { log_id: described.log_id, epoch: described.epoch, after_sequence: 1 };
    let refused = scene.exchange.follow(request).await.unwrap_err();
    assert_eq!(haetae_mesh::explain(&refused).reason.as_deref(), Some("CURSOR_AHEAD"));
}

#[tokio::test]
async fn streams_end_resumable_when_the_exchange_goes_down_in_good_order() {
    let mut scene = Scene::new().await;
    let mut events = scene.follow("", 0, 0).await;
    scene.stop().await;
    assert!(events.stream.message().await.is_ok_and(|end| end.is_none()), "it ends without an error");
}

#[tokio::test]
async fn in_an_outage_every_call_fails_while_the_chain_goes_on() {
    let mut scene = Scene::new().await;
    let account = scene.open_account("mallory").await;
    let mut events = scene.follow("", 0, 0).await;
    scene.control.set_outage(SetOutageRequest { api_down: true }).await.unwrap();
    let ended = eventually("the stream ends", async || events.stream.message().await.err()).await;
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(scene.exchange.describe(DescribeRequest {}).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(scene.exchange.follow(FollowRequest::default()).await.unwrap_err().code(), Code::Unavailable);

    scene.send(&account, ETHER).await;
    scene.mine(1).await;
    scene.credited("mallory", ETHER).await;
    scene.control.set_outage(SetOutageRequest { api_down: false }).await.unwrap();
    let case = Case::now(&account, &coin());
    assert_eq!(scene.freeze(&case, 1, ETHER).await.state, LegState::FrozenFull);
}

#[tokio::test]
async fn only_the_agencys_connector_may_call_the_contract() {
    let mut scene = Scene::new().await;
    let mut stranger = scene.as_stranger();
    assert_eq!(stranger.describe(DescribeRequest {}).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(scene.exchange.describe(DescribeRequest {}).await.is_ok());
}
