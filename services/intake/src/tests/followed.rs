//! What others' logs say moves requests on, and is told.

use futures::StreamExt;
use haetae_core::Moment;
use haetae_wire::{
    connector::v1 as connector,
    convert::timestamp,
    freeze::v1 as freeze_wire,
    intake::v1::{
        self, RequestState as State, follow_updates_response::Update, intake_service_server::IntakeService,
        request_content::Kind,
    },
    tracking::v1 as tracking,
};

use super::scene::*;
use crate::follow;

fn moved(watch: &v1::Request, state: tracking::WatchState) -> tracking::WatchMoved {
    tracking::WatchMoved {
        watch: Some(tracking::Watch {
            watch_id: watch.watch_id.clone(),
            request_id: watch.request_id.clone(),
            state: state.into(),
            ..tracking::Watch::default()
        }),
    }
}

fn line(exchange: &str, answer: tracking::Answer) -> tracking::ConfirmationLine {
    tracking::ConfirmationLine {
        exchange: exchange.to_owned(),
        answer: answer.into(),
        ..tracking::ConfirmationLine::default()
    }
}

fn leg(
    request: &str,
    desired: freeze_wire::DesiredState,
    reported: haetae_wire::exchange::v1::LegState,
) -> freeze_wire::LegChanged {
    freeze_wire::LegChanged {
        leg: Some(freeze_wire::Leg {
            leg_id: "6f0c7f6e-8d4f-4c86-9c53-5c0b4c1f7c11".to_owned(),
            request_id: request.to_owned(),
            desired: desired.into(),
            reported: reported.into(),
            ..freeze_wire::Leg::default()
        }),
    }
}

#[tokio::test]
async fn a_watch_is_in_effect_when_it_is_active_and_closed_when_it_ends() {
    let scene = Scene::new().await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let watching = v1::Watch { standing_freeze: None, ..watch_terms() };
    let watch = scene.granted(under("warrant", Kind::Watch(watching))).await;
    scene.says("watch-active", &moved(&watch, tracking::WatchState::Active)).await;
    scene.until(&watch.request_id, State::InEffect).await;
    scene.says("watch-active", &moved(&watch, tracking::WatchState::Active)).await;
    scene.says("watch-ended", &moved(&watch, tracking::WatchState::Ended)).await;
    scene.until(&watch.request_id, State::Closed).await;
    assert_eq!(scene.entries("request-in-effect").await.len(), 1);
    assert_eq!(scene.entries("request-closed").await.len(), 1);
}

#[tokio::test]
async fn a_watch_that_begins_in_the_past_is_in_effect_while_it_catches_up_and_closed_where_it_cannot_begin() {
    let scene = Scene::new().await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let start = Some(v1::watch::Start::Transaction(format!("0x{}", "ab".repeat(32))));
    let watching = v1::Watch { standing_freeze: None, start, ..watch_terms() };
    let watch = scene.granted(under("warrant", Kind::Watch(watching))).await;
    scene.says("watch-catching-up", &moved(&watch, tracking::WatchState::CatchingUp)).await;
    scene.until(&watch.request_id, State::InEffect).await;
    let reason = "START_NOT_FOUND".to_owned();
    let refused =
        tracking::WatchRefused { watch_id: watch.watch_id.clone(), request_id: watch.request_id.clone(), reason };
    scene.says("watch-refused", &refused).await;
    assert_eq!(scene.until(&watch.request_id, State::Closed).await.reason, "START_NOT_FOUND");
}

#[tokio::test]
async fn a_watch_whose_freezes_last_longer_stays_open_until_they_end() {
    let scene = Scene::new().await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let watch = scene.granted(watch()).await;
    scene.says("watch-active", &moved(&watch, tracking::WatchState::Active)).await;
    scene.says("watch-ended", &moved(&watch, tracking::WatchState::Ended)).await;
    scene.until(&watch.request_id, State::InEffect).await;
    let later = Moment::now_utc() + time::Duration::days(31);
    assert_eq!(scene.intake.end_overdue(later).await.unwrap(), 1);
    assert_eq!(scene.get(&watch.request_id).await.state(), State::Closed);
}

#[tokio::test]
async fn a_trail_is_told_item_by_item_in_its_order_and_what_nobody_asked_for_is_passed_over() {
    let scene = Scene::new().await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let watch = scene.granted(watch()).await;
    let hop =
        |watch_id: &str, depth| tracking::Hop { watch_id: watch_id.to_owned(), depth, ..tracking::Hop::default() };
    scene.says("hop", &hop("6f0c7f6e-8d4f-4c86-9c53-5c0b4c1f7c11", 9)).await;
    scene.says("hop", &hop("not an id", 9)).await;
    scene.says("hop", &hop(&watch.watch_id, 1)).await;
    scene.says("hop", &hop(&watch.watch_id, 2)).await;
    let finality =
        tracking::FinalityChanged { watch_id: watch.watch_id.clone(), ..tracking::FinalityChanged::default() };
    scene.says("hop-finality", &finality).await;

    let follow = v1::FollowUpdatesRequest {
        request_id: watch.request_id.clone(),
        purpose: "test".to_owned(),
        ..v1::FollowUpdatesRequest::default()
    };
    let stream = scene.api.follow_updates(JI_WOO.calls(follow)).await.unwrap().into_inner();
    let trail = stream.filter_map(async |update| match update.unwrap().update {
        Some(Update::Trail(item)) => Some(item),
        _ => None,
    });
    let told: Vec<_> =
        tokio::time::timeout(std::time::Duration::from_secs(10), trail.take(3).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(told.iter().map(|item| item.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(&told[1].item, Some(tracking::trail_item::Item::Hop(hop)) if hop.depth == 2));
    assert!(matches!(&told[2].item, Some(tracking::trail_item::Item::Finality(_))));
}

#[tokio::test]
async fn a_question_is_done_when_it_is_concluded_and_nobody_is_silent() {
    let scene = Scene::new().await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let question = scene.submit(JI_WOO, confirm()).await.unwrap().request_id;
    let answered = |exchange, answer| tracking::ConfirmationAnswered {
        request_id: question.clone(),
        line: Some(line(exchange, answer)),
    };
    let concluded = |conclusion: tracking::Conclusion| tracking::AddressConcluded {
        request_id: question.clone(),
        conclusion: conclusion.into(),
        ..tracking::AddressConcluded::default()
    };
    scene.says("confirmation-answered", &answered("upbit", tracking::Answer::Held)).await;
    scene.says("address-concluded", &concluded(tracking::Conclusion::Held)).await;
    scene.until(&question, State::InEffect).await;
    scene.says("confirmation-answered", &answered("bithumb", tracking::Answer::NotHeld)).await;
    scene.until(&question, State::Closed).await;
    assert_eq!(scene.entries("request-in-effect").await.len(), 1);
}

#[tokio::test]
async fn a_release_is_done_when_the_exchange_has_acknowledged_it() {
    use freeze_wire::DesiredState::{Frozen, Released};
    use haetae_wire::exchange::v1::LegState;
    let scene = Scene::new().await;
    scene.follow(follow::Freeze(scene.intake.clone()));
    let frozen = scene.granted(freeze()).await.request_id;
    scene.says("leg", &leg(&frozen, Frozen, LegState::FrozenFull)).await;
    scene.until(&frozen, State::InEffect).await;
    let released = scene.granted(release(&frozen, &[])).await.request_id;
    let ended = freeze_wire::AuthorityEnded { request_id: frozen.clone() };
    scene.says("authority-ended", &ended).await;
    scene.says("leg", &leg(&frozen, Released, LegState::FrozenFull)).await;
    scene.until(&released, State::InEffect).await;
    assert_eq!(scene.get(&frozen).await.state(), State::InEffect);
    scene.says("leg", &leg(&frozen, Released, LegState::Released)).await;
    scene.until(&released, State::Closed).await;
    scene.until(&frozen, State::Closed).await;
}

#[tokio::test]
async fn a_release_of_what_never_froze_anything_is_done_when_the_authority_has_ended() {
    let scene = Scene::new().await;
    scene.follow(follow::Freeze(scene.intake.clone()));
    let frozen = scene.granted(freeze()).await.request_id;
    let released = scene.granted(release(&frozen, &[])).await.request_id;
    scene.says("authority-ended", &freeze_wire::AuthorityEnded { request_id: frozen.clone() }).await;
    scene.until(&released, State::Closed).await;
    scene.until(&frozen, State::Closed).await;
}

#[tokio::test]
async fn brakes_take_effect_when_freeze_says_so() {
    let scene = Scene::new().await;
    scene.follow(follow::Freeze(scene.intake.clone()));
    let dispatch = |request: &str| freeze_wire::DispatchMoved {
        request_id: request.to_owned(),
        exchange: "upbit".to_owned(),
        case: None,
    };
    let halt = under("operations", Kind::Halt(v1::Halt { scope: halt_scope("upbit") }));
    let halt = scene.submit(MIN_JUN, halt).await.unwrap().request_id;
    scene.says("dispatch-halted", &dispatch(&halt)).await;
    scene.until(&halt, State::InEffect).await;
    let resume = scene.granted(under("operations", Kind::Resume(v1::Resume { scope: halt_scope("upbit") }))).await;
    scene.says("dispatch-resumed", &dispatch(&resume.request_id)).await;
    scene.until(&resume.request_id, State::Closed).await;
    scene.until(&halt, State::Closed).await;
}

#[tokio::test]
async fn an_exchange_is_reachable_unless_its_last_failure_is_newer_than_its_last_answer() {
    let scene = Scene::new().await;
    scene.follow(follow::Connector { exchange: "upbit".parse().unwrap(), intake: scene.intake.clone() });
    let upbit = async || {
        let list = v1::ListExchangesRequest { purpose: "test".to_owned() };
        let list = scene.api.list_exchanges(JI_WOO.calls(list)).await.unwrap().into_inner().exchanges;
        assert_eq!(list.iter().map(|line| line.exchange.as_str()).collect::<Vec<_>>(), ["bithumb", "korbit", "upbit"]);
        list.into_iter().next_back().unwrap()
    };
    let becomes = async |reachable: bool| {
        let wait = async {
            while upbit().await.reachable != reachable {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.unwrap();
    };
    let unasked = upbit().await;
    assert!(unasked.reachable && unasked.last_answer.is_none(), "{unasked:?}");
    scene.says("receipt", &connector::ReceiptReceived::default()).await;
    let answered = async {
        while upbit().await.last_answer.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), answered).await.unwrap();
    assert!(upbit().await.reachable);
    let unavailable = connector::ExchangeUnavailable {
        exchange: "upbit".to_owned(),
        since: Some(timestamp(Moment::now_utc())),
        ..connector::ExchangeUnavailable::default()
    };
    scene.says("unavailable", &unavailable).await;
    becomes(false).await;
    scene.says("event", &connector::EventReceived::default()).await;
    becomes(true).await;
    assert!(upbit().await.confirm_within.is_some());
}

#[tokio::test]
async fn an_order_that_an_exchange_does_not_answer_is_told_to_those_who_follow() {
    let scene = Scene::new().await;
    scene.follow(follow::Connector { exchange: "upbit".parse().unwrap(), intake: scene.intake.clone() });
    let frozen = scene.granted(freeze()).await.request_id;
    let known = scene.told_of_leg(&frozen).await;
    let overdue = |exchange: &str, leg: &str, reminders| connector::OrderOverdue {
        exchange: exchange.to_owned(),
        leg_id: leg.to_owned(),
        revision: 1,
        reminders,
        ..connector::OrderOverdue::default()
    };
    scene.says("overdue", &overdue("bithumb", &known, 0)).await;
    scene.says("overdue", &overdue("upbit", &uuid::Uuid::new_v4().to_string(), 0)).await;
    scene.says("overdue", &overdue("upbit", &known, 1)).await;

    let purpose = "test".to_owned();
    let request = v1::FollowUpdatesRequest { request_id: frozen.clone(), purpose, ..Default::default() };
    let mut updates = scene.api.follow_updates(JI_WOO.calls(request)).await.unwrap().into_inner();
    let told = async {
        loop {
            if let Some(Update::Overdue(overdue)) = updates.next().await.unwrap().unwrap().update {
                break overdue;
            }
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(10), told).await.unwrap();
    assert_eq!(told, overdue("upbit", &known, 1), "only of its own exchange, only about legs that are known");
}
