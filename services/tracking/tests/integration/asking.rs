//! Questions to exchanges, and what comes of their answers.

use std::time::Duration;

use haetae_core::{ConfirmationAnswer, ExchangeId, Moment, micros};
use haetae_tracking::QuestionsConfig;
use haetae_wire::connector::v1::{ExchangeUnavailable, OrderUndelivered};
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use prost::Message;
use tonic::Request;

use crate::mesh::{Mesh, Replica, WatchOf, eventually};

fn hasty() -> QuestionsConfig {
    QuestionsConfig { valid_for_ms: 1_000, ask_again_after_ms: 100, slowest_ms: 400 }
}

async fn confirmation(replica: &Replica, request: haetae_core::RequestId) -> Option<wire::Confirmation> {
    let request = wire::GetConfirmationRequest { request_id: request.to_string() };
    replica.api().get_confirmation(Request::new(request)).await.ok()?.into_inner().confirmation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_address_request_is_answered_with_the_exchanges_own_statements() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    let request = mesh.ask_about(&account).await;
    mesh.answer("upbit", &account, ConfirmationAnswer::NotHeld).await;
    mesh.answer("bithumb", &account, ConfirmationAnswer::Held).await;
    eventually("it is concluded", async || {
        confirmation(&replica, request).await.is_some_and(|c| {
            c.conclusion() == wire::Conclusion::Held && c.lines.iter().all(|line| !line.statement.is_empty())
        })
    })
    .await;
    let lines = confirmation(&replica, request).await.unwrap().lines;
    let answers: Vec<_> = lines.iter().map(|line| (line.exchange.as_str(), line.answer())).collect();
    assert_eq!(answers, [("bithumb", wire::Answer::Held), ("upbit", wire::Answer::NotHeld)]);
    let statement = &lines[0].statement;
    let receipt =
        haetae_wire::signed::open_receipt(statement, &mesh.keyring, &"bithumb".parse().unwrap(), None).unwrap();
    assert_eq!(receipt.report.confirmation.as_ref().unwrap().answer, ConfirmationAnswer::Held);
    // Whoever has only the line finds the address under the exchange's signature.
    let order = haetae_wire::signed::open_order_envelope(&lines[0].order, &mesh.keyring).unwrap();
    assert_eq!(order.identity, receipt.report.order_sha256);
    assert_eq!(order.order.target.account, account);

    let said = mesh.said().await;
    let answered: Vec<wire::ConfirmationAnswered> =
        said.iter().filter(|said| said.kind == "confirmation-answered").map(crate::mesh::Said::read).collect();
    assert_eq!(answered.len(), 2);
    assert!(answered.iter().all(|answered| answered.request_id == request.to_string()));
    let told: Vec<_> = answered.into_iter().filter_map(|answered| answered.line).collect();
    assert!(lines.iter().all(|line| told.contains(line)), "the log tells the same lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_exchange_did_not_sign_is_not_heard() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    let request = mesh.ask_about(&account).await;
    mesh.forge("upbit", &account, ConfirmationAnswer::Held).await;
    mesh.answer("upbit", &account, ConfirmationAnswer::NotHeld).await;
    eventually("the true answer is heard", async || {
        let lines = confirmation(&replica, request).await.map(|c| c.lines).unwrap_or_default();
        lines.iter().any(|line| line.exchange == "upbit" && line.answer() == wire::Answer::NotHeld)
    })
    .await;
    let said = mesh.said().await;
    assert_eq!(said.iter().filter(|said| said.kind == "confirmation-answered").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_by_a_key_that_is_not_pinned_yet_is_asked_for_again() {
    let mut mesh = Mesh::with(hasty()).await;
    mesh.forget_key_of(Some("upbit"));
    let replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    let request = mesh.ask_about(&account).await;
    mesh.answer("upbit", &account, ConfirmationAnswer::Held).await;
    mesh.asked("upbit", &account, 2).await;
    let held = async |replica: &Replica| {
        confirmation(replica, request).await.is_some_and(|c| c.conclusion() == wire::Conclusion::Held)
    };
    assert!(!held(&replica).await && mesh.parked().await == 0);
    drop(replica);
    mesh.remember_keys();
    let replica = mesh.replica().await;
    mesh.answer_all("upbit", &account, ConfirmationAnswer::Held).await;
    eventually("it is heard", async || held(&replica).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_by_a_clock_that_is_ahead_is_asked_when_its_time_comes() {
    let mut mesh = Mesh::start().await;
    mesh.begins_in = Some(Duration::from_secs(7));
    let _replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    mesh.ask_about(&account).await;
    let (order, _) = mesh.asked("upbit", &account, 1).await;
    assert!(order.issued_at + time::Duration::seconds(1) > micros(Moment::now_utc()), "not before, and at once then");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_since_no_key_is_pinned_for_its_authority_is_asked_once_one_is() {
    let mut mesh = Mesh::with(hasty()).await;
    let replica = mesh.replica().await;
    mesh.watch(&WatchOf::coins(0, 1_000)).await;
    drop(replica);
    mesh.forget_key_of(None);
    let replica = mesh.replica().await;
    mesh.chain.pay(0, 1, 700).await;
    mesh.caught_up().await;
    let account = mesh.chain.account(1);
    assert!(mesh.questions("upbit", &account).await.is_empty());
    drop(replica);
    mesh.remember_keys();
    let _replica = mesh.replica().await;
    mesh.asked("upbit", &account, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_is_asked_again_as_the_next_revision_of_the_same_leg() {
    let mesh = Mesh::with(hasty()).await;
    let _replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    mesh.ask_about(&account).await;
    let (first, _) = mesh.asked("upbit", &account, 1).await;
    mesh.answer("upbit", &account, ConfirmationAnswer::Unknown).await;
    let (second, _) = mesh.asked("upbit", &account, 2).await;
    assert_eq!((first.leg, first.target), (second.leg, second.target));
    assert!(second.issued_at - first.issued_at >= time::Duration::milliseconds(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_in_time_is_shown_as_such_and_asked_again_when_the_order_has_expired() {
    let mesh = Mesh::with(hasty()).await;
    let replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    let request = mesh.ask_about(&account).await;
    let exchange: ExchangeId = "upbit".parse().unwrap();
    let (first, _) = mesh.asked("upbit", &account, 1).await;
    let fact =
        ExchangeUnavailable { exchange: exchange.to_string(), leg_id: first.leg.to_string(), revision: 1, since: None };
    mesh.tell(&exchange, "unavailable", first.leg, fact.encode_to_vec()).await;
    eventually("it is shown", async || {
        confirmation(&replica, request).await.is_some_and(|c| {
            c.conclusion() == wire::Conclusion::Open
                && c.lines.iter().any(|line| line.answer() == wire::Answer::Unavailable)
        })
    })
    .await;
    let (second, _) = mesh.asked("upbit", &account, 2).await;
    assert!(second.issued_at >= first.expires_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_expired_undelivered_is_issued_again() {
    let mesh = Mesh::with(hasty()).await;
    let _replica = mesh.replica().await;
    let account = mesh.chain.account(1);
    mesh.ask_about(&account).await;
    let exchange: ExchangeId = "upbit".parse().unwrap();
    let (first, _) = mesh.asked("upbit", &account, 1).await;
    let fact = OrderUndelivered { exchange: exchange.to_string(), leg_id: first.leg.to_string(), revision: 1 };
    mesh.tell(&exchange, "undelivered", first.leg, fact.encode_to_vec()).await;
    mesh.asked("upbit", &account, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_period_and_finds_nothing_more() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf { period: Duration::from_secs(1), ..WatchOf::coins(0, 1_000) }).await;
    eventually("it ended", async || mesh.stream(watch).await.iter().any(|said| said.kind == "watch-ended")).await;
    mesh.chain.pay(0, 1, 500).await;
    mesh.caught_up().await;
    assert!(mesh.stream(watch).await.iter().all(|said| said.kind != "hop"));
    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    let shown = replica.api().get_watch(Request::new(request)).await.unwrap().into_inner().watch.unwrap();
    assert_eq!(shown.state(), wire::WatchState::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_people_end_finds_nothing_more_and_what_is_answered_later_is_no_arrival() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let other = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 500).await;
    mesh.asked("upbit", &mesh.chain.account(1), 1).await;
    mesh.end_watch(watch).await;
    eventually("it ended", async || mesh.stream(watch).await.iter().any(|said| said.kind == "watch-ended")).await;
    mesh.answer_all("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    eventually("the other's arrival", async || mesh.stream(other).await.iter().any(|said| said.kind == "arrival"))
        .await;
    mesh.chain.pay(0, 2, 100).await;
    mesh.caught_up().await;
    let kinds: Vec<_> = mesh.stream(watch).await.into_iter().map(|said| said.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "hop").count(), 1);
    assert!(kinds.iter().all(|kind| kind != "arrival" && kind != "address-concluded"), "{kinds:?}");

    let watch_ids = vec![watch.to_string(), other.to_string(), uuid::Uuid::new_v4().to_string()];
    let asked = wire::BatchGetWatchesRequest { watch_ids };
    let mut found = replica.api().batch_get_watches(Request::new(asked)).await.unwrap().into_inner().watches;
    found.sort_by_key(|watch| watch.state);
    let states: Vec<_> = found.iter().map(|found| (found.watch_id.clone(), found.state())).collect();
    let expected = [(other, wire::WatchState::Active), (watch, wire::WatchState::Ended)];
    assert_eq!(states, expected.map(|(id, state)| (id.to_string(), state)));
}
