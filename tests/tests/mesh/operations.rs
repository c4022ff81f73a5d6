//! Keeping the mesh running, by the command line: how it stands, a replica sent away, what could not be handled tried
//! again, the brakes.

use std::time::Duration;

use haetae_tests::{
    Actor, COIN, Mesh, Options, Replicas, Who,
    agency::{confirm, release, under_warrant, watch_and_freeze},
    chain::{ETHER, address},
    until,
};
use haetae_wire::{
    exchange::v1::LegState,
    intake::v1::{Request, RequestState},
    tracking::v1::WatchState,
};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tokio::process::Command;

use crate::{alone, haetae};

const PATIENCE: Duration = Duration::from_secs(60);

/// How the program ended, and the document it printed.
struct Ran {
    code: i32,
    said: Value,
    text: String,
}

/// What a person has the command line do.
async fn by(who: Who, mesh: &Mesh, words: &[&str]) -> Ran {
    let profile = mesh.house.write_profile(&mesh.chain.token()).unwrap();
    let mut command = Command::new(haetae());
    command.arg("--profile").arg(profile).args(["--json", "--as", who.slug()]).args(words);
    let output = command.output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ran { code: output.status.code().unwrap(), said, text }
}

/// Meddles with the database of a process.
async fn meddle(mesh: &Mesh, process: &str, sql: &'static str) {
    let mut database = PgConnection::connect(&mesh.database(process).unwrap()).await.unwrap();
    database.execute(sql).await.unwrap();
}

async fn reaches(mesh: &Mesh, request: &str, state: RequestState) -> Request {
    let agency = mesh.people.agency(Who::JiWoo);
    let found = until("the request moves on", PATIENCE, async || {
        Ok(Some(agency.request(request).await?).filter(|found| found.state() == state))
    });
    found.await.unwrap()
}

fn services(status: &Value) -> Vec<&str> {
    status["services"].as_array().unwrap().iter().filter_map(|report| report["service"].as_str()).collect()
}

fn status_of<'a>(status: &'a Value, service: &str) -> &'a Value {
    let reports = status["services"].as_array().unwrap();
    &reports.iter().find(|report| report["service"] == service).unwrap()["status"]
}

fn names(of: &Value) -> Vec<&str> {
    of.as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_mesh_send_a_replica_away_and_have_what_was_parked_tried_again() {
    let mut alone = alone(Options { replicas: Replicas::Two, ..Options::default() }).await;
    let mesh = &mut alone.mesh;

    // Everything is seen, and nothing needs a person. Nobody but an operator sees it.
    let well = until("nothing needs a person", PATIENCE, async || {
        let ran = by(Who::SuBin, mesh, &["status", "--all", "--check"]).await;
        Ok((ran.code == 0).then_some(ran.said))
    });
    let status = well.await.unwrap();
    assert_eq!(services(&status)[..3], ["intake", "tracking", "freeze"]);
    assert_eq!(services(&status).len(), 9);
    assert_eq!(names(&status_of(&status, "intake")["replicas"]), ["intake-1", "intake-2"]);
    assert_eq!(names(&status_of(&status, "tracking")["followers"]).len(), 1 + 6 + 1);
    let connector = status_of(&status, "connector/upbit");
    assert_eq!(
        names(&connector["followers"]),
        ["connector<-freeze", "connector<-intake/operations", "connector<-tracking"]
    );
    assert_eq!(connector["line"]["deliveries"].as_array().unwrap().len(), 3);
    assert_eq!(status_of(&status, "tracking")["chains"][0]["chain"], haetae_tests::CHAIN);
    let refused = by(Who::MinJun, mesh, &["status"]).await;
    assert!(refused.code == 1 && refused.text.contains("ROLE_MISSING"), "{}", refused.text);

    // One of two replicas finishes its work and ends; the other goes on.
    let drained = by(Who::SuBin, mesh, &["drain", "intake", "intake-1"]).await;
    assert_eq!(drained.code, 0, "{}", drained.text);
    assert_eq!(drained.said["gone"], true);
    let ended = until("the process has ended", PATIENCE, async || Ok(mesh.process("intake-1")?.exit_status()));
    assert!(ended.await.unwrap().success());
    let someone = Actor::named("someone").account();
    let asked = by(Who::JiWoo, mesh, &["confirm", &someone, "--wait", "20s"]).await;
    assert_eq!(asked.code, 0, "{}", asked.text);
    mesh.process("intake-1").unwrap().restart().unwrap();
    mesh.ready().await.unwrap();

    // A fact that tracking cannot take up is parked, and what comes later in the case waits behind it.
    meddle(mesh, "tracking-1", "alter table watch add constraint mistaken check (false) not valid").await;
    let (investigator, leader) = (mesh.people.agency(Who::JiWoo), mesh.people.agency(Who::MinJun));
    let content = under_warrant(watch_and_freeze(&Actor::named("thief").account(), &[(COIN, ETHER)], &[]));
    let watch = investigator.submit(content).await.unwrap();
    let watch = leader.approve(&watch.request_id).await.unwrap();
    let question = investigator.submit(under_warrant(confirm(&someone))).await.unwrap();
    let parked = until("it is parked, and the question waits", PATIENCE, async || {
        let ran = by(Who::SuBin, mesh, &["parked", "list", "--service", "tracking"]).await;
        let parked = ran.said["parked"].as_array().and_then(|parked| parked.first()).cloned();
        Ok(parked.filter(|parked| parked["waiting"].as_str().is_some_and(|waiting| waiting != "0")))
    });
    let parked = parked.await.unwrap();
    assert_eq!(
        (parked["kind"].as_str(), parked["follower"].as_str()),
        (Some("request-granted"), Some("tracking<-intake"))
    );
    assert!(parked["error"].as_str().unwrap().contains("mistaken"), "{parked}");
    assert!(!parked.to_string().contains("00412"), "a case number is not for operators: {parked}");
    let ran = by(Who::SuBin, mesh, &["status", "--check"]).await;
    assert!(ran.code == 1 && ran.said["findings"][0]["part"] == "follower/tracking<-intake", "{}", ran.text);

    let id = parked["parked_id"].as_str().unwrap();
    let again = by(Who::SuBin, mesh, &["parked", "retry", "tracking", id]).await;
    assert!(again.code == 1 && again.text.contains("failed again"), "{}", again.text);
    meddle(mesh, "tracking-1", "alter table watch drop constraint mistaken").await;
    let handled = by(Who::SuBin, mesh, &["parked", "retry", "tracking", id]).await;
    assert_eq!((handled.code, &handled.said["outcome"]), (0, &Value::from("handled")), "{}", handled.text);
    let active = until("the watch is active", PATIENCE, async || {
        Ok((investigator.watch(&watch.watch_id).await?.state() == WatchState::Active).then_some(()))
    });
    active.await.unwrap();
    reaches(mesh, &question.request_id, RequestState::Closed).await;
    let ran = by(Who::SuBin, mesh, &["status", "--check"]).await;
    assert_eq!(ran.code, 0, "{}", ran.text);

    // Each act is a fact with its person, and all of it verifies.
    let mut database = PgConnection::connect(&mesh.database("intake-1").unwrap()).await.unwrap();
    let acts: Vec<String> =
        sqlx::query_scalar("select kind from ledger.entry where kind in ('drain-asked', 'retry-asked') order by id")
            .fetch_all(&mut database)
            .await
            .unwrap();
    assert_eq!(acts, ["drain-asked", "retry-asked", "retry-asked"]);
    let verified = by(Who::SuBin, mesh, &["log", "verify"]).await;
    assert_eq!(verified.code, 0, "{}", verified.text);
}

async fn withheld(mesh: &Mesh, exchange: &str, customer: &str) -> u128 {
    mesh.customers.balance(exchange, customer, COIN).await.unwrap().withheld.parse().unwrap()
}

async fn credited(mesh: &Mesh, exchange: &str, customer: &str, amount: u128) {
    let credited = until("a deposit is credited", PATIENCE, async || {
        let balance = mesh.customers.balance(exchange, customer, COIN).await?;
        Ok((balance.total.parse::<u128>()? >= amount).then_some(()))
    });
    credited.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_stops_freezes_at_one_exchange_and_no_release_until_two_persons_resume() {
    let alone = alone(Options::default()).await;
    let mesh = &alone.mesh;
    let (investigator, leader) = (mesh.people.agency(Who::JiWoo), mesh.people.agency(Who::MinJun));
    let thief = Actor::named("halted thief");
    mesh.chain.give_coins(thief.address(), 40 * ETHER).await.unwrap();
    let mut deposits = Vec::new();
    for (exchange, customer) in [("upbit", "early"), ("upbit", "late"), ("bithumb", "other")] {
        deposits.push(address(&mesh.customers.open(exchange, customer).await.unwrap()).unwrap());
    }
    let content = under_warrant(watch_and_freeze(&thief.account(), &[(COIN, 30 * ETHER)], &[]));
    let watch = investigator.submit(content).await.unwrap();
    let watch = leader.approve(&watch.request_id).await.unwrap();
    reaches(mesh, &watch.request_id, RequestState::InEffect).await;
    mesh.chain.send_coins(&thief, deposits[0], 2 * ETHER).await.unwrap();
    let frozen = until("the first arrival is frozen", PATIENCE, async || {
        let legs = investigator.legs(&watch.request_id).await?;
        Ok(legs.into_iter().find(|leg| leg.reported() == LegState::FrozenFull))
    });
    let early = frozen.await.unwrap();

    // One approver halts alone. What arrives at that exchange is not frozen, what arrives at others is.
    let halted = by(Who::MinJun, mesh, &["halt", "exchange", "upbit", "--summary", "matching engine at fault"]).await;
    assert_eq!(halted.code, 0, "{}", halted.text);
    reaches(mesh, halted.said["request"]["request_id"].as_str().unwrap(), RequestState::InEffect).await;
    mesh.chain.send_coins(&thief, deposits[1], 3 * ETHER).await.unwrap();
    mesh.chain.send_coins(&thief, deposits[2], 4 * ETHER).await.unwrap();
    credited(mesh, "upbit", "late", 3 * ETHER).await;
    let other = until("what arrived elsewhere is frozen", PATIENCE, async || {
        Ok((withheld(mesh, "bithumb", "other").await == 4 * ETHER).then_some(()))
    });
    other.await.unwrap();
    let status = by(Who::SuBin, mesh, &["status", "--check"]).await;
    assert_eq!(status.code, 0, "a halt is wanted: {}", status.text);
    let halts = status_of(&status.said, "freeze")["halts"].as_array().unwrap();
    assert_eq!((halts.len(), &halts[0]["exchange"], &halts[0]["agency"]), (1, &"upbit".into(), &"knp".into()));

    // A release is not stopped.
    let freed =
        investigator.submit(under_warrant(release(&watch.request_id, vec![early.leg_id.clone()]))).await.unwrap();
    leader.approve(&freed.request_id).await.unwrap();
    let released = until("the first leg is released under the halt", PATIENCE, async || {
        Ok((withheld(mesh, "upbit", "early").await == 0).then_some(()))
    });
    released.await.unwrap();
    assert_eq!(withheld(mesh, "upbit", "late").await, 0, "nothing goes out while it is halted");

    // One person alone does not resume; a second does, and what waited is frozen.
    let resumed = by(Who::MinJun, mesh, &["resume", "exchange", "upbit"]).await;
    assert_eq!(resumed.code, 0, "{}", resumed.text);
    let id = resumed.said["request"]["request_id"].as_str().unwrap().to_owned();
    assert_eq!(resumed.said["request"]["state"], "REQUEST_STATE_AWAITING_APPROVAL");
    let alone = by(Who::MinJun, mesh, &["request", "approve", &id]).await;
    assert!(alone.code == 1 && alone.text.contains("SELF_APPROVAL"), "{}", alone.text);
    assert_eq!(withheld(mesh, "upbit", "late").await, 0);
    let second = by(Who::JiWoo, mesh, &["request", "approve", &id]).await;
    assert_eq!(second.code, 0, "{}", second.text);
    let late = until("what waited is frozen", PATIENCE, async || {
        Ok((withheld(mesh, "upbit", "late").await == 3 * ETHER).then_some(()))
    });
    late.await.unwrap();
}
