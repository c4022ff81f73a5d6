use haetae_mesh::{FieldViolation, Refusal};
use haetae_wire::intake::v1::{FollowUpdatesResponse, intake_service_server::IntakeServiceServer};
use tonic::{Code, Status};

use crate::{
    intake::Intake,
    world::{Running, World},
};

const ID: &str = "0d1c7f7e-52a7-4a0e-8a1c-0c4d7a0f3b11";

async fn intake() -> (World, Intake, Running) {
    let (world, intake) = (World::new(), Intake::default());
    let running = Running::start(world.server().add(IntakeServiceServer::new(intake.clone()))).await;
    world.profile(running.at, "", "");
    (world, intake, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_with_1_and_names_every_field_at_fault() {
    let (world, intake, _running) = intake().await;
    let violations = vec![FieldViolation::new("first", "is wrong"), FieldViolation::new("second", "is wrong too")];
    let refusal = Refusal::new(Code::InvalidArgument, "INVALID_REQUEST", "2 fields").violations(violations);
    intake.with(|script| script.refusal = Some(refusal.into()));
    let ran = world.haetae(&["request", "approve", ID]).await;
    assert_eq!((ran.code(), ran.out()), (1, ""));
    for part in ["INVALID_REQUEST", "first: is wrong", "second: is wrong too", "Mend every violation"] {
        assert!(ran.err().contains(part), "{part} in {ran:?}");
    }
    intake.with(|script| assert_eq!(script.tokens, ["Bearer of-ji-woo"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_whose_outcome_is_unknown_can_be_repeated() {
    let (world, intake, _running) = intake().await;
    intake.with(|script| script.refusal = Some(Status::unavailable("restarting")));
    let ran = world.haetae(&["request", "approve", ID]).await;
    assert_eq!(ran.code(), 4);
    assert!(ran.err().contains("repeat the same command with --request-id "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_ends_with_3() {
    let (world, _intake, _running) = intake().await;
    for words in [["request", "show", ID], ["watch", "show", ID], ["freeze", "show", ID], ["request", "answers", ID]] {
        let ran = world.haetae(&words).await;
        assert_eq!((ran.code(), ran.out()), (3, ""), "{words:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_from_its_cursor_when_a_replica_goes_down() {
    let (world, intake, _running) = intake().await;
    let update = |cursor: &str| Ok(FollowUpdatesResponse { cursor: cursor.into(), ..Default::default() });
    intake.with(|script| {
        script.updates = [
            vec![update("c1"), update("c2"), Err(Status::unavailable("draining"))],
            vec![update("c3"), Err(Status::permission_denied("no longer"))],
        ]
        .into();
    });
    let ran = world.haetae(&["request", "follow", "--after", "c0", "--json"]).await;
    assert_eq!(ran.code(), 1);
    let lines: Vec<serde_json::Value> = ran.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["cursor"].as_str().unwrap()).collect::<Vec<_>>(), ["c1", "c2", "c3"]);
    assert!(ran.err().contains("--after c3"), "{ran:?}");
    intake.with(|script| assert_eq!(script.cursors, ["c0", "c2"]));
}
