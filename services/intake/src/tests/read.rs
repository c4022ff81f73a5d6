//! Reads are recorded, within the unit, and go on where they were told to.

use futures::StreamExt;
use haetae_core::Reason;
use haetae_mesh::explain;
use haetae_wire::intake::v1::{self, intake_service_server::IntakeService, trace_request::Scope};
use prost::Message;

use super::scene::*;

const PURPOSE: &str = "case 2026-cyber-00412";
const CASE: &str = "2026-cyber-00412";

#[tokio::test]
async fn a_read_stands_in_the_log_with_its_purpose_before_it_is_answered() {
    let scene = Scene::new().await;
    let request = scene.submit(JI_WOO, confirm()).await.unwrap().request_id;
    let read = v1::GetRequestRequest { request_id: request.clone(), purpose: PURPOSE.to_owned() };
    scene.api.get_request(MIN_JUN.calls(read)).await.unwrap();
    let (_, payload) = scene.entries("read").await.pop().unwrap();
    let recorded = v1::ReadRecorded::decode(payload.as_slice()).unwrap();
    assert_eq!(recorded.method, "GetRequest");
    assert_eq!(recorded.resource, request);
    assert_eq!(recorded.purpose, PURPOSE);
    assert_eq!((recorded.person.as_str(), recorded.system.as_str()), (MIN_JUN.id, "knp-portal"));
}

#[tokio::test]
async fn every_kind_of_read_is_recorded_once_also_where_the_answer_lies_with_others() {
    let scene = Scene::new().await;
    let (watch, api) = (scene.granted(watch()).await, &scene.api);
    let (request_id, watch_id, purpose) = (watch.request_id.clone(), watch.watch_id.clone(), PURPOSE.to_owned());
    let id = || request_id.clone();
    let (page_size, page_token, state) = (0, String::new(), 0);

    let read = v1::GetRequestRequest { request_id: id(), purpose: purpose.clone() };
    drop(api.get_request(JI_WOO.calls(read)).await);
    let read = v1::ListRequestsRequest { page_size, page_token: page_token.clone(), state, purpose: purpose.clone() };
    drop(api.list_requests(JI_WOO.calls(read)).await);
    let read = v1::FollowUpdatesRequest { request_id: id(), cursor: String::new(), purpose: purpose.clone() };
    drop(api.follow_updates(JI_WOO.calls(read)).await);
    let read = v1::GetConfirmationRequest { request_id: id(), purpose: purpose.clone() };
    drop(api.get_confirmation(JI_WOO.calls(read)).await);
    let read = v1::GetWatchRequest { watch_id: watch_id.clone(), purpose: purpose.clone() };
    drop(api.get_watch(JI_WOO.calls(read)).await);
    let read = v1::ListTrailRequest {
        watch_id: watch_id.clone(),
        page_size,
        page_token: page_token.clone(),
        purpose: purpose.clone(),
        newest_first: true,
    };
    drop(api.list_trail(JI_WOO.calls(read)).await);
    for scope in [Scope::WatchId(watch_id.clone()), Scope::CaseNumber(CASE.to_owned())] {
        let read = v1::TraceRequest { scope: Some(scope), purpose: purpose.clone(), ..Default::default() };
        drop(api.trace(JI_WOO.calls(read)).await);
    }
    let read = v1::ListLegsRequest { request_id: id(), page_size, page_token, purpose: purpose.clone() };
    drop(api.list_legs(JI_WOO.calls(read)).await);
    drop(api.list_exchanges(JI_WOO.calls(v1::ListExchangesRequest { purpose })).await);

    let recorded: Vec<_> = scene
        .entries("read")
        .await
        .iter()
        .map(|(_, payload)| v1::ReadRecorded::decode(payload.as_slice()).unwrap())
        .inspect(|read| assert_eq!((read.purpose.as_str(), read.person.as_str()), (PURPOSE, JI_WOO.id)))
        .map(|read| (read.method, read.resource))
        .collect();
    let expected = [
        ("GetRequest", id()),
        ("ListRequests", String::new()),
        ("FollowUpdates", id()),
        ("GetConfirmation", id()),
        ("GetWatch", watch_id.clone()),
        ("ListTrail", watch_id.clone()),
        ("Trace", watch_id.clone()),
        ("Trace", format!("case/{CASE}")),
        ("ListLegs", id()),
        ("ListExchanges", String::new()),
    ];
    assert_eq!(recorded, expected.map(|(method, resource)| (method.to_owned(), resource)));
}

#[tokio::test]
async fn a_list_shows_the_unit_its_requests_newest_first_page_by_page() {
    let scene = Scene::new().await;
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(scene.submit(JI_WOO, confirm()).await.unwrap().request_id);
    }
    scene.submit(SEO_YEON, confirm()).await.unwrap();
    submitted.reverse();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let list = v1::ListRequestsRequest {
            page_size: 2,
            page_token,
            purpose: PURPOSE.to_owned(),
            ..v1::ListRequestsRequest::default()
        };
        let page = scene.api.list_requests(MIN_JUN.calls(list)).await.unwrap().into_inner();
        assert!(page.requests.len() <= 2);
        seen.extend(page.requests.into_iter().map(|request| request.request_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, submitted);

    let list = v1::ListRequestsRequest {
        page_token: "nonsense".to_owned(),
        purpose: PURPOSE.to_owned(),
        ..v1::ListRequestsRequest::default()
    };
    assert_eq!(refused_as(&scene.api.list_requests(JI_WOO.calls(list)).await.unwrap_err()), "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn a_service_that_is_down_is_named_as_such_with_a_time_to_try_again() {
    let scene = Scene::new().await;
    let watch = scene.granted(watch()).await;
    let read = v1::GetWatchRequest { watch_id: watch.watch_id.clone(), purpose: PURPOSE.to_owned() };
    let status = scene.api.get_watch(JI_WOO.calls(read.clone())).await.unwrap_err();
    let explained = explain(&status);
    assert_eq!(explained.reason.as_deref(), Some(Reason::PeerUnavailable.name()));
    assert!(explained.retry_after.is_some());
    assert_eq!(scene.entries("read").await.len(), 1, "what was tried is recorded");
    let status = scene.api.get_watch(SEO_YEON.calls(read)).await.unwrap_err();
    assert_eq!(refused_as(&status), "NOT_FOUND");
    let legs = v1::ListLegsRequest {
        request_id: watch.request_id,
        purpose: PURPOSE.to_owned(),
        ..v1::ListLegsRequest::default()
    };
    assert_eq!(refused_as(&scene.api.list_legs(JI_WOO.calls(legs)).await.unwrap_err()), Reason::PeerUnavailable.name());
}

#[tokio::test]
async fn a_trace_goes_through_the_units_own_watches_only() {
    let scene = Scene::new().await;
    let watch = scene.granted(watch()).await;
    let traced = async |who: Who, scope| {
        let read = v1::TraceRequest { scope, purpose: PURPOSE.to_owned(), ..Default::default() };
        refused_as(&scene.api.trace(who.calls(read)).await.unwrap_err())
    };
    let of_watch = || Some(Scope::WatchId(watch.watch_id.clone()));
    let of_case = |case: &str| Some(Scope::CaseNumber(case.to_owned()));
    // Tracking is down: whoever may ask hears that.
    let down = Reason::PeerUnavailable.name();
    assert_eq!((traced(JI_WOO, of_watch()).await, traced(JI_WOO, of_case(CASE)).await), (down.into(), down.into()));
    let hidden = (traced(SEO_YEON, of_watch()).await, traced(SEO_YEON, of_case(CASE)).await);
    assert_eq!(hidden, ("NOT_FOUND".into(), "NOT_FOUND".into()));
    assert_eq!(traced(JI_WOO, of_case("2026-cyber-00413")).await, "NOT_FOUND");
    assert_eq!(traced(JI_WOO, None).await, "FIELD_MISSING");
}

/// The next `count` updates after a cursor, as (cursor, request).
async fn updates(scene: &Scene, who: Who, cursor: &str, request: &str, count: usize) -> Vec<(String, String)> {
    let follow = v1::FollowUpdatesRequest {
        cursor: cursor.to_owned(),
        request_id: request.to_owned(),
        purpose: PURPOSE.to_owned(),
    };
    let stream = scene.api.follow_updates(who.calls(follow)).await.unwrap().into_inner();
    let taken = stream.take(count).map(|update| {
        let update = update.unwrap();
        (update.cursor, update.request_id)
    });
    tokio::time::timeout(std::time::Duration::from_secs(10), taken.collect()).await.unwrap()
}

#[tokio::test]
async fn updates_resume_after_a_cursor_without_gap_or_double() {
    let scene = Scene::new().await;
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.push(scene.submit(JI_WOO, watch()).await.unwrap().request_id);
        scene.submit(SEO_YEON, watch()).await.unwrap();
    }
    scene.approve(MIN_JUN, &requests[0]).await.unwrap();
    let told = [0, 1, 2, 3, 0].map(|index: usize| requests[index].clone());

    let all = updates(&scene, MIN_JUN, "", "", 5).await;
    assert_eq!(all.iter().map(|(_, request)| request.clone()).collect::<Vec<_>>(), told);
    for cut in 1..5 {
        let (head, tail) = all.split_at(cut);
        assert_eq!(updates(&scene, JI_WOO, &head[cut - 1].0, "", 5 - cut).await, tail, "resumed after {cut}");
    }
    let one = updates(&scene, JI_WOO, "", &requests[0], 2).await;
    assert_eq!(one, [all[0].clone(), all[4].clone()]);
}

#[tokio::test]
async fn updates_that_are_made_at_once_are_all_told_in_one_order() {
    let scene = Scene::new().await;
    let work = (0..12).map(|_| scene.submit(JI_WOO, confirm()));
    let follower = updates(&scene, MIN_JUN, "", "", 12);
    let (seen, submitted) = tokio::join!(follower, futures::future::join_all(work));
    let mut told: Vec<String> = seen.iter().map(|(_, request)| request.clone()).collect();
    let mut made: Vec<String> = submitted.into_iter().map(|request| request.unwrap().request_id).collect();
    assert_eq!(updates(&scene, MIN_JUN, "", "", 12).await, seen);
    told.sort();
    made.sort();
    assert_eq!(told, made);
}
