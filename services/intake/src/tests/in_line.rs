//! Commands, timers and followers of a unit queue at its row before they touch anything of its requests, and whoever
//! takes more than one unit's row queues before the first: none blocks another crosswise.

use haetae_core::Moment;
use haetae_wire::{
    intake::v1::{self, RequestState as State, request_content::Kind},
    tracking::v1 as tracking,
};
use sqlx::PgConnection;

use super::scene::*;
use crate::{
    approval::Command,
    commands::{By, Said},
    db::{self, Unit},
    follow,
};

fn unit(name: &str) -> Unit {
    Unit { agency: "knp".parse().unwrap(), unit: name.parse().unwrap() }
}

fn hop(watch: &v1::Request) -> tracking::Hop {
    tracking::Hop { watch_id: watch.watch_id.clone(), ..tracking::Hop::default() }
}

/// Waits until somebody waits for a lock in the scene's database.
async fn someone_waits(scene: &Scene) {
    eventually("someone waits for a lock", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(scene.intake.log.pool())
        .await
        .unwrap();
        waiting > 0
    })
    .await;
}

/// Whether nobody holds the request's row but this transaction, which holds it then.
async fn takes_request(tx: &mut PgConnection, request: &v1::Request) -> bool {
    let id: uuid::Uuid = request.request_id.parse().unwrap();
    let free = sqlx::query("select from request where id = $1 for update skip locked").bind(id).execute(tx).await;
    free.unwrap().rows_affected() == 1
}

/// Whether nobody holds the unit's row but this transaction, which holds it then.
async fn takes_unit(tx: &mut PgConnection, unit: &Unit) -> bool {
    let free = sqlx::query("select from unit_updates where agency = $1 and unit = $2 for update skip locked")
        .bind(unit.agency.as_str())
        .bind(unit.unit.as_str())
        .execute(tx)
        .await;
    free.unwrap().rows_affected() == 1
}

#[tokio::test]
async fn what_a_trail_gains_waits_for_a_command_of_its_unit_and_holds_nothing_meanwhile() {
    let scene = Scene::new().await;
    let watch = scene.granted(watch()).await;
    let mut command = scene.intake.log.begin().await.unwrap();
    db::updates::lock_unit(&mut command, &unit("cyber-1")).await.unwrap();
    scene.follow(follow::Tracking(scene.intake.clone()));
    scene.says("hop", &hop(&watch)).await;
    someone_waits(&scene).await;
    assert!(takes_request(&mut command, &watch).await, "the follower holds what the command needs next");

    let (id, by) = (watch.request_id.parse().unwrap(), By::service());
    let (said, now) = (Said { by: &by, why: "" }, Moment::now_utc());
    let unit = unit("cyber-1");
    scene.intake.decide(&mut command, &unit, id, Command::TakeEffect, said, now).await.unwrap();
    scene.intake.log.commit(command).await.unwrap();
    eventually("the hop is told", async || {
        let items: i64 = sqlx::query_scalar("select trail_items from request where id = $1")
            .bind(id.0)
            .fetch_one(scene.intake.log.pool())
            .await
            .unwrap();
        items == 1
    })
    .await;
}

#[tokio::test]
async fn batches_that_touch_two_units_in_opposite_order_come_one_after_the_other() {
    let scene = Scene::new().await;
    let watch = scene.granted(watch()).await;
    let question = scene.submit(SEO_YEON, confirm()).await.unwrap();
    // One batch: first cyber-1, then cyber-2.
    scene.says("hop", &hop(&watch)).await;
    let line = tracking::ConfirmationLine {
        exchange: "upbit".to_owned(),
        answer: tracking::Answer::NotHeld.into(),
        ..tracking::ConfirmationLine::default()
    };
    let answered = tracking::ConfirmationAnswered { request_id: question.request_id.clone(), line: Some(line) };
    scene.says("confirmation-answered", &answered).await;

    // Another follower's batch: first cyber-2, then cyber-1.
    let mut batch = scene.intake.log.begin().await.unwrap();
    follow::held(&mut batch, question.request_id.parse().unwrap()).await.unwrap();
    scene.follow(follow::Tracking(scene.intake.clone()));
    someone_waits(&scene).await;
    assert!(takes_unit(&mut batch, &unit("cyber-1")).await, "the first batch holds what the second needs next");
    follow::held(&mut batch, watch.request_id.parse().unwrap()).await.unwrap();
    scene.intake.log.commit(batch).await.unwrap();
    eventually("both are told of", async || {
        let message = v1::GetRequestRequest { request_id: question.request_id.clone(), purpose: "test".to_owned() };
        use v1::intake_service_server::IntakeService;
        let request = scene.api.get_request(SEO_YEON.calls(message)).await.unwrap().into_inner().request.unwrap();
        request.state() == State::InEffect
    })
    .await;
}

#[tokio::test]
async fn a_resume_that_closes_other_units_halts_queues_before_it_holds_its_own_unit() {
    let scene = Scene::new().await;
    let halt = under("operations", Kind::Halt(v1::Halt { scope: halt_scope("upbit") }));
    let halt = scene.submit(MIN_JUN, halt).await.unwrap().request_id;
    let resume = under("operations", Kind::Resume(v1::Resume { scope: halt_scope("upbit") }));
    let resume = scene.submit(JI_WOO, resume).await.unwrap().request_id;

    let mut batch = scene.intake.log.begin().await.unwrap();
    db::updates::lock_several(&mut batch).await.unwrap();
    let meanwhile = async {
        someone_waits(&scene).await;
        assert!(takes_unit(&mut batch, &unit("cyber-1")).await, "the resume holds its unit while it waits for others");
        scene.intake.log.commit(batch).await.unwrap();
    };
    let (approved, ()) = tokio::join!(scene.approve(MIN_JUN, &resume), meanwhile);
    approved.unwrap();
    assert_eq!(scene.get(&halt).await.state(), State::Closed);
}
