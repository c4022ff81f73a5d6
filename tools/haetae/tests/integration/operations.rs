//! What operators are shown, and what became of what they asked for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use haetae_wire::operations::v1::{
    operations_service_server::{OperationsService, OperationsServiceServer},
    *,
};
use tonic::{Request as Asked, Response, Status, async_trait};

use crate::world::{Ran, Running, World};

/// An operators' door, as the test writes its answers.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    status: GetMeshStatusResponse,
    /// The answers to `ListParked`; the last one stays.
    parked: VecDeque<ListParkedResponse>,
    /// What was asked to be tried again: service, entry, purpose.
    retried: Vec<(String, String, String)>,
}

impl Door {
    fn with<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn opened(&self) -> (World, Running) {
        let world = World::new();
        let running = Running::start(world.server().add(OperationsServiceServer::new(self.clone()))).await;
        world.profile(running.at, "", "");
        (world, running)
    }
}

#[async_trait]
impl OperationsService for Door {
    async fn get_mesh_status(&self, _: Asked<GetMeshStatusRequest>) -> Result<Response<GetMeshStatusResponse>, Status> {
        Ok(Response::new(self.with(|script| script.status.clone())))
    }

    async fn list_parked(&self, _: Asked<ListParkedRequest>) -> Result<Response<ListParkedResponse>, Status> {
        let next = self.with(|script| match script.parked.len() {
            0 | 1 => script.parked.front().cloned(),
            _ => script.parked.pop_front(),
        });
        Ok(Response::new(next.unwrap_or_default()))
    }

    async fn retry_parked(&self, asked: Asked<RetryParkedRequest>) -> Result<Response<RetryParkedResponse>, Status> {
        let asked = asked.into_inner();
        let parked = ParkedEntry { service: asked.service.clone(), ..entry(1) };
        self.with(|script| script.retried.push((asked.service, asked.parked_id, asked.purpose)));
        Ok(Response::new(RetryParkedResponse { parked: Some(parked) }))
    }

    async fn drain_replica(&self, _: Asked<DrainReplicaRequest>) -> Result<Response<DrainReplicaResponse>, Status> {
        Err(haetae_mesh::Refusal::new(tonic::Code::NotFound, "NOT_FOUND", "there is nothing of that id").into())
    }
}

fn entry(tries: u32) -> ParkedEntry {
    ParkedEntry {
        service: "freeze".into(),
        parked_id: "tracking@57".into(),
        error: "not signed by a pinned key".into(),
        tries,
        waiting: 2,
        ..ParkedEntry::default()
    }
}

fn list(entries: &[ParkedEntry]) -> ListParkedResponse {
    ListParkedResponse { parked: entries.to_vec(), unreachable: Vec::new() }
}

fn finding(severity: Severity) -> Finding {
    Finding {
        severity: severity.into(),
        service: "tracking".into(),
        part: "service".into(),
        what: "no replica answers (PEER_UNREACHABLE)".into(),
        remedy: "Look at its pods.".into(),
    }
}

#[tokio::test]
async fn a_check_fails_only_where_something_needs_a_person() {
    let door = Door::default();
    let (world, _running) = door.opened().await;
    door.with(|script| script.status.findings = vec![finding(Severity::Watch)]);
    let ran = world.haetae(&["status", "--check"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().contains("Nothing needs a person."), "{ran:?}");

    door.with(|script| script.status.findings.push(finding(Severity::Person)));
    let ran = world.haetae(&["status", "--check"]).await;
    assert_eq!(ran.code(), 1);
    assert!(ran.out().contains("needs a person: tracking service: no replica answers"), "{ran:?}");
    assert!(ran.err().contains("1 thing needs a person"), "{ran:?}");
    assert_eq!(world.haetae(&["status"]).await.code(), 0, "looking is no check");

    let json = world.haetae(&["status", "--json"]).await.json();
    assert_eq!(json["findings"][1]["severity"], "SEVERITY_PERSON");
}

async fn retried(door: &Door, after: &[ListParkedResponse]) -> Ran {
    let (world, _running) = door.opened().await;
    door.with(|script| script.parked = after.to_vec().into());
    world.haetae(&["parked", "retry", "freeze", "tracking@57", "--wait", "10s"]).await
}

#[tokio::test]
async fn a_retry_says_that_the_entry_was_handled_with_what_waited() {
    let door = Door::default();
    let ran = retried(&door, &[list(&[entry(1)]), list(&[])]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().contains("Handled: freeze tracking@57, and 2 that waited behind it"), "{ran:?}");
    let asked = door.with(|script| script.retried.clone());
    assert_eq!(asked, [("freeze".to_owned(), "tracking@57".to_owned(), "test".to_owned())]);
}

#[tokio::test]
async fn a_retry_that_fails_again_says_why_and_what_to_do() {
    let ran = retried(&Door::default(), &[list(&[entry(1)]), list(&[entry(2)])]).await;
    assert_eq!((ran.code(), ran.out()), (1, ""));
    assert!(ran.err().contains("not signed by a pinned key") && ran.err().contains("Mend the cause"), "{ran:?}");
}

#[tokio::test]
async fn a_list_that_is_not_whole_says_so() {
    let door = Door::default();
    let (world, _running) = door.opened().await;
    let partly = ListParkedResponse { parked: vec![entry(1)], unreachable: vec!["intake".into()] };
    door.with(|script| script.parked.push_back(partly));
    let ran = world.haetae(&["parked", "list"]).await;
    assert_eq!(ran.code(), 4);
    assert!(ran.out().contains("tracking@57") && ran.err().contains("no answer from intake"), "{ran:?}");
}

#[tokio::test]
async fn a_replica_that_is_not_there_cannot_be_drained() {
    let (world, _running) = Door::default().opened().await;
    let ran = world.haetae(&["drain", "intake", "intake-7"]).await;
    assert_eq!(ran.code(), 3);
    assert!(ran.err().contains("`haetae status` names the replicas."), "{ran:?}");
}
