//! What goes wrong in the open tools that people use today, each under its name: here it does not.

use haetae_wire::{
    intake::v1::{self, RequestState as State, intake_service_server::IntakeService},
    tracking::v1::{self as tracking, Answer, Conclusion},
};

use super::scene::*;
use crate::follow;

/// A service that is down is named as such, and what does not exist as that. An exchange that does not answer is not one
/// that does not hold the address: the request stays open on it.
#[tokio::test]
async fn not_found_returned_when_a_server_was_down() {
    let scene = Scene::new().await;
    let purpose = || "case 2026-cyber-00412".to_owned();
    let watch = scene.granted(watch()).await;
    let confirm = scene.submit(JI_WOO, confirm()).await.unwrap().request_id;

    let read = |watch_id: &str| v1::GetWatchRequest { watch_id: watch_id.to_owned(), purpose: purpose() };
    let down = scene.api.get_watch(JI_WOO.calls(read(&watch.watch_id))).await.unwrap_err();
    assert_eq!(refused_as(&down), "PEER_UNREACHABLE");
    let unknown = uuid::Uuid::new_v4().to_string();
    assert_eq!(refused_as(&scene.api.get_watch(JI_WOO.calls(read(&unknown))).await.unwrap_err()), "NOT_FOUND");
    let read = v1::GetConfirmationRequest { request_id: confirm.clone(), purpose: purpose() };
    assert_eq!(refused_as(&scene.api.get_confirmation(JI_WOO.calls(read)).await.unwrap_err()), "PEER_UNREACHABLE");

    // One of two exchanges says no, the other nothing in its time.
    scene.follow(follow::Tracking(scene.intake.clone()));
    let says = async |exchange: &str, answer: Answer, conclusion: Conclusion| {
        let line = tracking::ConfirmationLine {
            exchange: exchange.to_owned(),
            answer: answer.into(),
            ..tracking::ConfirmationLine::default()
        };
        let answered = tracking::ConfirmationAnswered { request_id: confirm.clone(), line: Some(line) };
        scene.says("confirmation-answered", &answered).await;
        let (request_id, conclusion) = (confirm.clone(), conclusion.into());
        let concluded = tracking::AddressConcluded { request_id, conclusion, ..tracking::AddressConcluded::default() };
        scene.says("address-concluded", &concluded).await;
    };
    says("upbit", Answer::NotHeld, Conclusion::Open).await;
    says("bithumb", Answer::Unavailable, Conclusion::Open).await;
    let active = tracking::Watch { watch_id: watch.watch_id.clone(), ..tracking::Watch::default() };
    scene.says("watch-active", &tracking::WatchMoved { watch: Some(active) }).await;
    scene.until(&watch.request_id, State::InEffect).await;
    assert_eq!(scene.get(&confirm).await.state(), State::InEffect, "nobody's silence is an answer");
    says("bithumb", Answer::NotHeld, Conclusion::NotHeld).await;
    scene.until(&confirm, State::Closed).await;
}
