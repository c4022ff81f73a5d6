//! What those read and have done who keep the mesh running.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use haetae_ledger::{FollowedEntry, HandleError, Handler, replica};
use haetae_wire::{
    intake::v1::{ReadRecorded, RequestMoved},
    operations::v1::{self as wire, Severity, operations_service_server::OperationsService},
};
use prost::Message;
use sqlx::{PgConnection, PgPool};
use tonic::Status;
use uuid::Uuid;

use super::scene::*;

const PURPOSE: &str = "the follower is behind";

/// Cannot handle what is called `bad` until somebody has mended it. What it has handled stands in the database: a batch
/// that is rolled back is handled again, and only its effect happens once.
#[derive(Clone)]
struct Picky {
    mended: Arc<AtomicBool>,
    pool: PgPool,
}

impl Picky {
    async fn new(scene: &Scene) -> Self {
        let pool = scene.intake.log.pool().clone();
        sqlx::query("create table handled (place bigint generated always as identity, called text)")
            .execute(&pool)
            .await
            .unwrap();
        Self { mended: Arc::default(), pool }
    }

    async fn handled(&self) -> Vec<String> {
        sqlx::query_scalar("select called from handled order by place").fetch_all(&self.pool).await.unwrap()
    }
}

#[async_trait]
impl Handler for Picky {
    async fn handle(&self, conn: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        let called = RequestMoved::decode(entry.payload.as_slice())?.request_id;
        if called == "bad" && !self.mended.load(Ordering::SeqCst) {
            return Err(HandleError::Poison(anyhow::anyhow!("nobody has mended it")));
        }
        sqlx::query("insert into handled (called) values ($1)").bind(called).execute(conn).await?;
        Ok(())
    }
}

impl Scene {
    async fn says_in_order(&self, called: &[&str]) {
        for called in called {
            self.says("thing", &RequestMoved { request_id: (*called).to_owned(), ..RequestMoved::default() }).await;
        }
    }

    async fn parked(&self) -> Vec<wire::ParkedEntry> {
        let list = wire::ListParkedRequest { service: "intake".to_owned(), purpose: PURPOSE.to_owned() };
        self.api.list_parked(SU_BIN.calls(list)).await.unwrap().into_inner().parked
    }

    async fn retry(&self, id: &str, parked_id: &str) -> Result<wire::ParkedEntry, Status> {
        let retry = wire::RetryParkedRequest {
            request_id: id.to_owned(),
            service: "intake".to_owned(),
            parked_id: parked_id.to_owned(),
            purpose: PURPOSE.to_owned(),
        };
        Ok(self.api.retry_parked(SU_BIN.calls(retry)).await?.into_inner().parked.unwrap())
    }

    async fn drain(&self, who: Who, replica: &str) -> Result<wire::Replica, Status> {
        let drain = wire::DrainReplicaRequest {
            request_id: Uuid::new_v4().to_string(),
            service: "intake".to_owned(),
            replica: replica.to_owned(),
            purpose: PURPOSE.to_owned(),
        };
        Ok(self.api.drain_replica(who.calls(drain)).await?.into_inner().replica.unwrap())
    }
}

#[tokio::test]
async fn a_parked_entry_passes_once_its_cause_is_mended_and_what_waited_passes_in_order() {
    let scene = Scene::new().await;
    let picky = Picky::new(&scene).await;
    scene.follow(picky.clone());
    scene.operate();
    scene.says_in_order(&["good", "bad", "later", "latest"]).await;
    eventually("it is parked, and two wait", async || {
        scene.parked().await.first().is_some_and(|parked| parked.waiting == 2)
    })
    .await;
    let parked = scene.parked().await.remove(0);
    assert_eq!((parked.parked_id.as_str(), parked.follower.as_str()), ("other@1", "intake<-other"));
    assert_eq!((parked.kind.as_str(), parked.subject.as_str(), parked.tries), ("thing", "any", 1));
    assert_eq!(parked.error, "nobody has mended it");

    scene.retry(&Uuid::new_v4().to_string(), "other@1").await.unwrap();
    eventually("it has failed again", async || scene.parked().await[0].tries == 2).await;
    assert_eq!(picky.handled().await, ["good"]);

    picky.mended.store(true, Ordering::SeqCst);
    let id = Uuid::new_v4().to_string();
    scene.retry(&id, "other@1").await.unwrap();
    eventually("nothing is parked", async || scene.parked().await.is_empty()).await;
    assert_eq!(picky.handled().await, ["good", "bad", "later", "latest"]);

    let asked = scene.entries("retry-asked").await.len();
    scene.retry(&id, "other@1").await.expect("a repetition is answered though the entry is gone");
    assert_eq!(scene.entries("retry-asked").await.len(), asked, "and happens once");
    let gone = scene.retry(&Uuid::new_v4().to_string(), "other@1").await.unwrap_err();
    assert_eq!(refused_as(&gone), "NOT_FOUND");
    assert_eq!(picky.handled().await.len(), 4);
}

#[tokio::test]
async fn what_is_done_is_a_fact_with_its_person_and_holds_nothing_back() {
    let scene = Scene::new().await;
    replica::arrive(scene.intake.log.pool(), "intake-1", "0.1.0").await.unwrap();
    let asked = scene.drain(SU_BIN, "intake-1").await.unwrap();
    assert_eq!((asked.name.as_str(), asked.draining_since), ("intake-1", None));
    let (audience, payload) = scene.entries("drain-asked").await.pop().unwrap();
    let fact = wire::DrainAsked::decode(payload.as_slice()).unwrap();
    assert_eq!((fact.person.as_str(), fact.system.as_str()), (SU_BIN.id, "knp-portal"));
    assert_eq!((fact.replica.as_str(), fact.purpose.as_str(), audience), ("intake-1", PURPOSE, None));
    let stream: String = sqlx::query_scalar("select stream from ledger.entry where kind = 'drain-asked'")
        .fetch_one(scene.intake.log.pool())
        .await
        .unwrap();
    assert!(stream.starts_with("operation/"), "{stream}");

    scene.operate();
    eventually("the replica is told", async || {
        let replicas = replica::list(scene.intake.log.pool()).await.unwrap();
        replicas.iter().any(|replica| replica.draining_since.is_some())
    })
    .await;
}

#[tokio::test]
async fn nobody_but_an_operator_looks_after_the_mesh_and_a_refusal_changes_nothing() {
    let scene = Scene::new().await;
    replica::arrive(scene.intake.log.pool(), "intake-1", "0.1.0").await.unwrap();
    let before = scene.weight().await;
    assert_eq!(refused_as(&scene.drain(JI_WOO, "intake-1").await.unwrap_err()), "ROLE_MISSING");
    let status = wire::GetMeshStatusRequest { purpose: PURPOSE.to_owned() };
    assert_eq!(refused_as(&scene.api.get_mesh_status(MIN_JUN.calls(status)).await.unwrap_err()), "ROLE_MISSING");
    assert_eq!(refused_as(&scene.drain(SU_BIN, "intake-7").await.unwrap_err()), "NOT_FOUND");
    let elsewhere = wire::ListParkedRequest { service: "connector/mtgox".to_owned(), purpose: PURPOSE.to_owned() };
    assert_eq!(refused_as(&scene.api.list_parked(SU_BIN.calls(elsewhere)).await.unwrap_err()), "NOT_FOUND");
    let silent = wire::GetMeshStatusRequest::default();
    assert_eq!(refused_as(&scene.api.get_mesh_status(SU_BIN.calls(silent)).await.unwrap_err()), "PURPOSE_MISSING");
    assert_eq!(scene.weight().await, before);
}

#[tokio::test]
async fn the_status_tells_of_a_service_that_does_not_answer_and_is_recorded() {
    let scene = Scene::new().await;
    scene.submit(JI_WOO, confirm()).await.unwrap();
    let status = wire::GetMeshStatusRequest { purpose: PURPOSE.to_owned() };
    let status = scene.api.get_mesh_status(SU_BIN.calls(status)).await.unwrap().into_inner();
    let names: Vec<_> = status.services.iter().map(|report| report.service.as_str()).collect();
    assert_eq!(names, ["intake", "tracking"]);
    let own = status.services[0].status.as_ref().unwrap();
    assert!(own.log.as_ref().unwrap().size > 0);
    assert_eq!(status.services[1].unreachable, "PEER_UNREACHABLE");
    let found = &status.findings[0];
    assert_eq!(
        (found.severity(), found.service.as_str(), found.part.as_str()),
        (Severity::Person, "tracking", "service")
    );

    let (_, payload) = scene.entries("read").await.pop().unwrap();
    let recorded = ReadRecorded::decode(payload.as_slice()).unwrap();
    assert_eq!((recorded.method.as_str(), recorded.person.as_str()), ("GetMeshStatus", SU_BIN.id));
}
