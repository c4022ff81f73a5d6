//! Watches are listed, ended before their time, and no more than the law allows.

use haetae_wire::{
    intake::v1::{self, RequestState as State, intake_service_server::IntakeService},
    tracking::v1 as tracking,
};
use prost::Message;

use super::scene::*;
use crate::{
    db::{self, After, Unit, watches::WatchState},
    follow,
};

const LAW: &str = include_str!("../../legal-basis.toml");

async fn tell(scene: &Scene, kind: &'static str, watch: &v1::Request, state: tracking::WatchState) {
    let watch = tracking::Watch {
        watch_id: watch.watch_id.clone(),
        request_id: watch.request_id.clone(),
        state: state.into(),
        ..tracking::Watch::default()
    };
    scene.says(kind, &tracking::WatchMoved { watch: Some(watch) }).await;
}

#[tokio::test]
async fn one_person_ends_a_watch_and_it_is_over_when_tracking_says_so() {
    let scene = Scene::new().await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let watch = scene.granted(watch()).await;
    tell(&scene, "watch-active", &watch, tracking::WatchState::Active).await;
    scene.until(&watch.request_id, State::InEffect).await;

    let foreign = scene.submit(SEO_YEON, end_watch(&watch.watch_id)).await.unwrap_err();
    let field = |reason: &str| ("content.end_watch.watch_id".to_owned(), reason.to_owned());
    assert!(faults(&foreign).1.contains(&field("NOT_FOUND")), "another unit sees no such watch");
    let ending = scene.submit(MIN_JUN, end_watch(&watch.watch_id)).await.unwrap();
    assert_eq!((ending.state(), ending.approvals_needed), (State::Approved, 0));
    let (_, granted) = scene.entries("request-granted").await.pop().unwrap();
    assert_eq!(v1::RequestGranted::decode(granted.as_slice()).unwrap().watch_id, watch.watch_id);

    tell(&scene, "watch-ended", &watch, tracking::WatchState::Ended).await;
    scene.until(&ending.request_id, State::Closed).await;
    // What it froze stays frozen for its own time, which keeps the request open.
    assert_eq!(scene.get(&watch.request_id).await.state(), State::InEffect);
    let again = scene.submit(JI_WOO, end_watch(&watch.watch_id)).await.unwrap_err();
    assert!(faults(&again).1.contains(&field("WRONG_STATE")));
}

#[tokio::test]
async fn a_case_has_no_more_watches_under_way_than_its_legal_basis_allows() {
    let scene = Scene::under(&LAW.replace("max_watches_of_case = 200", "max_watches_of_case = 2")).await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    // What only waits is not under way: three may be asked for, and two approved.
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(scene.submit(JI_WOO, watch()).await.unwrap().request_id);
    }
    let first = scene.approve(MIN_JUN, &asked[0]).await.unwrap();
    scene.approve(MIN_JUN, &asked[1]).await.unwrap();
    let full = scene.approve(MIN_JUN, &asked[2]).await.unwrap_err();
    assert_eq!(refused_as(&full), "TOO_MANY_WATCHES");
    let (_, fields) = faults(&scene.submit(JI_WOO, watch()).await.unwrap_err());
    assert!(fields.contains(&("content.watch".to_owned(), "TOO_MANY_WATCHES".to_owned())), "{fields:?}");
    let other = v1::RequestContent { case_number: "2026-cyber-00413".to_owned(), ..watch() };
    scene.submit(JI_WOO, other).await.unwrap();

    tell(&scene, "watch-ended", &first, tracking::WatchState::Ended).await;
    eventually("there is room again", async || scene.approve(MIN_JUN, &asked[2]).await.is_ok()).await;
}

#[tokio::test]
async fn two_units_that_approve_at_once_do_not_pass_their_agencys_limit_together() {
    let scene = Scene::under(&LAW.replace("max_watches_of_agency = 20000", "max_watches_of_agency = 1")).await;
    let one = scene.submit(JI_WOO, watch()).await.unwrap().request_id;
    let other = v1::RequestContent { case_number: "2026-cyber-00413".to_owned(), ..watch() };
    let other = scene.submit(SEO_YEON, other).await.unwrap().request_id;
    let approver = Who { id: "knp-ha-rin", ..SEO_YEON };
    let (one, two) = tokio::join!(scene.approve(MIN_JUN, &one), scene.approve(approver, &other));
    assert!(one.is_ok() != two.is_ok(), "one of them comes too late");
}

#[tokio::test]
async fn watches_are_listed_by_case_page_by_page_and_the_read_is_recorded() {
    let scene = Scene::new().await;
    let mut watches = Vec::new();
    for number in ["1", "2", "2", "2"] {
        let content = v1::RequestContent { case_number: number.to_owned(), ..watch() };
        watches.push(scene.granted(content).await.watch_id);
    }
    let list = v1::ListWatchesRequest {
        case_number: "2".to_owned(),
        state: tracking::WatchState::Pending.into(),
        page_size: 2,
        page_token: String::new(),
        purpose: "case 2".to_owned(),
    };
    // Where the watches stand lies with tracking, which is down; that it was asked is recorded.
    let down = scene.api.list_watches(JI_WOO.calls(list)).await.unwrap_err();
    assert_eq!(refused_as(&down), "PEER_UNREACHABLE");
    let (_, read) = scene.entries("read").await.pop().unwrap();
    let read = v1::ReadRecorded::decode(read.as_slice()).unwrap();
    assert_eq!((read.method.as_str(), read.purpose.as_str()), ("ListWatches", "case 2"));

    let unit = Unit { agency: "knp".parse().unwrap(), unit: "cyber-1".parse().unwrap() };
    let page = async |after| {
        let wanted = (Some("2"), Some(WatchState::Pending));
        db::watches::list(scene.intake.log.pool(), &unit, wanted, after, 2).await.unwrap()
    };
    let first = page(None).await;
    let last = &first[1].1;
    let second = page(Some(After { submitted_at: last.submitted_at, id: last.id })).await;
    let listed: Vec<_> = first.iter().chain(&second).map(|(watch, _)| watch.to_string()).collect();
    let newest_first: Vec<_> = watches[1..].iter().rev().cloned().collect();
    assert_eq!(listed, newest_first);
}
