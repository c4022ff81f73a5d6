//! The lives of requests, through the door.

use haetae_core::{Moment, Reason};
use haetae_wire::{
    convert::timestamp,
    intake::v1::{self, RequestState as State, intake_service_server::IntakeService, request_content::Kind},
};
use uuid::Uuid;

use super::scene::*;

#[tokio::test]
async fn a_watch_waits_for_another_person_and_a_question_does_not() {
    let scene = Scene::new().await;
    let watch = scene.submit(JI_WOO, watch()).await.unwrap();
    assert_eq!((watch.state(), watch.approvals_needed), (State::AwaitingApproval, 1));
    assert!(watch.authorisations.is_empty() && scene.entries("authorisation").await.is_empty());
    let confirm = scene.submit(JI_WOO, confirm()).await.unwrap();
    assert_eq!((confirm.state(), confirm.approvals_needed), (State::Approved, 0));

    let approved = scene.approve(MIN_JUN, &watch.request_id).await.unwrap();
    assert_eq!(approved.state(), State::Approved);
    assert!(!approved.watch_id.is_empty());
    let persons: Vec<&str> = approved.decisions.iter().map(|decision| decision.person.as_str()).collect();
    assert_eq!(persons, [JI_WOO.id, MIN_JUN.id]);
    assert_eq!(scene.get(&watch.request_id).await, approved);
}

#[tokio::test]
async fn what_is_rejected_or_withdrawn_cannot_be_approved_any_more() {
    let scene = Scene::new().await;
    let first = scene.submit(JI_WOO, watch()).await.unwrap().request_id;
    let rejection = v1::RejectRequestRequest {
        request_id: Uuid::new_v4().to_string(),
        rejected_request_id: first.clone(),
        reason: "the wrong address".to_owned(),
    };
    let rejected = scene.api.reject_request(MIN_JUN.calls(rejection)).await.unwrap().into_inner().request.unwrap();
    assert_eq!((rejected.state(), rejected.reason.as_str()), (State::Rejected, "the wrong address"));

    let second = scene.submit(JI_WOO, watch()).await.unwrap().request_id;
    let withdrawal = v1::CancelRequestRequest {
        request_id: Uuid::new_v4().to_string(),
        cancelled_request_id: second.clone(),
        reason: "a mistake".to_owned(),
    };
    let foreign = scene.api.cancel_request(MIN_JUN.calls(withdrawal.clone())).await.unwrap_err();
    assert_eq!(refused_as(&foreign), "ROLE_MISSING");
    let cancelled = scene.api.cancel_request(JI_WOO.calls(withdrawal)).await.unwrap().into_inner().request.unwrap();
    assert_eq!(cancelled.state(), State::Cancelled);

    for request in [first, second] {
        assert_eq!(refused_as(&scene.approve(MIN_JUN, &request).await.unwrap_err()), "WRONG_STATE");
    }
    assert!(scene.entries("request-granted").await.is_empty());
}

#[tokio::test]
async fn an_approval_sent_twice_under_its_id_happens_once() {
    let scene = Scene::new().await;
    let watch = scene.submit(JI_WOO, watch()).await.unwrap().request_id;
    let approval = v1::ApproveRequestRequest { request_id: Uuid::new_v4().to_string(), approved_request_id: watch };
    let first = scene.api.approve_request(MIN_JUN.calls(approval.clone())).await.unwrap().into_inner();
    let weight = scene.weight().await;
    let second = scene.api.approve_request(MIN_JUN.calls(approval)).await.unwrap().into_inner();
    assert_eq!(first, second);
    assert_eq!(scene.weight().await, weight);
}

#[tokio::test]
async fn two_approvals_at_once_grant_once() {
    let scene = Scene::new().await;
    let watch = scene.submit(JI_WOO, watch()).await.unwrap().request_id;
    let other = Who { id: "knp-ha-rin", ..MIN_JUN };
    let (one, two) = tokio::join!(scene.approve(MIN_JUN, &watch), scene.approve(other, &watch));
    assert!(one.is_ok() != two.is_ok(), "one of them comes too late");
    assert_eq!(scene.entries("request-granted").await.len(), 1);
}

#[tokio::test]
async fn what_was_asked_under_a_document_that_has_expired_meanwhile_is_not_approved() {
    let scene = Scene::new().await;
    let now = Moment::now_utc();
    let mut content = watch();
    content.document.as_mut().unwrap().valid_until = Some(timestamp(now + time::Duration::HOUR));
    let asked = scene.submit(JI_WOO, content).await.unwrap();
    let before = scene.weight().await;
    assert_eq!(
        scene.approve_at(MIN_JUN, &asked.request_id, now + 2 * time::Duration::HOUR).await,
        Err(Reason::DocumentExpired)
    );
    assert_eq!(scene.weight().await, before);
    assert_eq!(scene.get(&asked.request_id).await.state(), State::AwaitingApproval);
    assert_eq!(scene.approve_at(MIN_JUN, &asked.request_id, now).await, Ok(()), "in time it is granted");
}

#[tokio::test]
async fn what_nobody_approves_in_time_lapses() {
    let scene = Scene::new().await;
    let watch = scene.submit(JI_WOO, watch()).await.unwrap().request_id;
    let now = Moment::now_utc();
    assert_eq!(scene.intake.end_overdue(now).await.unwrap(), 0);
    assert_eq!(scene.intake.end_overdue(now + time::Duration::hours(25)).await.unwrap(), 1);
    assert_eq!(scene.get(&watch).await.state(), State::Lapsed);
    assert_eq!(scene.intake.end_overdue(now + time::Duration::hours(25)).await.unwrap(), 0);
    assert_eq!(scene.entries("request-lapsed").await.len(), 1);
}

#[tokio::test]
async fn a_freeze_is_closed_when_its_period_is_over() {
    let scene = Scene::new().await;
    let freeze = scene.granted(freeze()).await.request_id;
    let now = Moment::now_utc();
    assert_eq!(scene.intake.end_overdue(now + time::Duration::days(9)).await.unwrap(), 0);
    assert_eq!(scene.intake.end_overdue(now + time::Duration::days(11)).await.unwrap(), 1);
    assert_eq!(scene.get(&freeze).await.state(), State::Closed);
}

#[tokio::test]
async fn one_person_halts_two_resume_and_the_halt_is_over() {
    let scene = Scene::new().await;
    let halt = under("operations", Kind::Halt(v1::Halt { scope: halt_scope("upbit") }));
    let halt = scene.submit(MIN_JUN, halt).await.unwrap();
    assert_eq!(halt.state(), State::Approved);
    let resume = |exchange: &str| under("operations", Kind::Resume(v1::Resume { scope: halt_scope(exchange) }));
    let status = scene.submit(JI_WOO, resume("bithumb")).await.unwrap_err();
    assert_eq!(refused_as(&status), "WRONG_STATE", "nothing is halted there");
    let resumed = scene.submit(JI_WOO, resume("upbit")).await.unwrap();
    assert_eq!(resumed.state(), State::AwaitingApproval);
    assert_eq!(scene.get(&halt.request_id).await.state(), State::Approved);
    scene.approve(MIN_JUN, &resumed.request_id).await.unwrap();
    assert_eq!(scene.get(&halt.request_id).await.state(), State::Closed);
}
