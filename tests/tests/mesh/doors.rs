//! Who is let in, as stock gRPC clients find out.

use std::time::Duration;

use haetae_testkit::oidc::Issuer;
use haetae_tests::{
    Agency, Mesh, Options, Who,
    agency::{client_tls, confirm, under_warrant, watch_and_freeze},
    until,
};
use haetae_wire::{
    audit::v1::{ListLeavesRequest, audit_service_client::AuditServiceClient},
    intake::v1::{ListExchangesRequest, SubmitRequestRequest, intake_service_client::IntakeServiceClient},
    tracking::v1::{ListChainsRequest, tracking_service_client::TrackingServiceClient},
};
use tonic::{Code, Status, transport::Endpoint};
use tonic_types::StatusExt;

use crate::alone;

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

async fn list_with(mesh: &Mesh, token: &str) -> Result<(), Status> {
    let mut intake = mesh.people.with_token("knp-portal", format!("Bearer {token}").parse().unwrap());
    intake.list_exchanges(ListExchangesRequest { purpose: "test".into() }).await.map(drop)
}

/// A question that would be in order, coming from its investigator.
fn question() -> SubmitRequestRequest {
    let content = under_warrant(confirm(&haetae_tests::Actor::named("anyone").account()));
    SubmitRequestRequest { request_id: uuid::Uuid::new_v4().to_string(), content: Some(content) }
}

/// What intake has said since it started, as an auditor sees it.
async fn said(mesh: &Mesh) -> Vec<String> {
    let mut audit = AuditServiceClient::new(endpoint(mesh, "intake", "inspector").await.connect_lazy());
    let leaves = audit.list_leaves(ListLeavesRequest::default()).await.unwrap().into_inner().leaves;
    leaves.into_iter().map(|leaf| leaf.kind).filter(|kind| kind != "registry-read").collect()
}

async fn endpoint(mesh: &Mesh, service: &str, certificate: &str) -> Endpoint {
    let tls = client_tls(&mesh.house.path("certs").join(certificate), service).unwrap();
    Endpoint::from_shared(mesh.house.endpoints(service).unwrap().remove(0)).unwrap().tls_config(tls).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_refuses_whom_it_must_and_says_why() {
    let alone = alone(Options::default()).await;
    let mesh = &alone.mesh;
    let day = time::Duration::DAY;

    // Tokens.
    let own = Who::JiWoo.person();
    list_with(mesh, &mesh.house.issuer.token(&own, day).unwrap()).await.unwrap();
    let expired = mesh.house.issuer.token(&own, -day).unwrap();
    let elsewhere = Issuer::new("https://login.elsewhere.test", "haetae").unwrap().token(&own, day).unwrap();
    let forged = Issuer::new(mesh.house.issuer.url(), mesh.house.issuer.audience()).unwrap().token(&own, day).unwrap();
    let supervisor = mesh.house.issuer.token(&Who::HaEun.person(), day).unwrap();
    for (token, expected) in [
        (expired.as_str(), "TOKEN_EXPIRED"),
        (&elsewhere, "TOKEN_FOREIGN"),
        (&supervisor, "TOKEN_FOREIGN"),
        (&forged, "TOKEN_FOREIGN"),
        ("nonsense", "TOKEN_INVALID"),
    ] {
        let mut intake = mesh.people.with_token("knp-portal", format!("Bearer {token}").parse().unwrap());
        let refused = intake.submit_request(question()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, expected));
    }
    let mut bare = IntakeServiceClient::new(endpoint(mesh, "intake", "knp-portal").await.connect_lazy());
    let refused = bare.submit_request(question()).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_MISSING");

    // Certificates: an agency's system has one door, and a connector is no agency.
    let mut connector = IntakeServiceClient::new(endpoint(mesh, "intake", "connector-upbit").await.connect_lazy());
    let refused = connector.submit_request(question()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    let mut past = TrackingServiceClient::new(endpoint(mesh, "tracking", "knp-portal").await.connect_lazy());
    let refused = past.list_chains(ListChainsRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));

    // Without a certificate, or with one of the exchanges' world, there is no connection at all.
    let exchange_world = endpoint(mesh, "intake", "at-upbit").await;
    assert!(exchange_world.connect().await.is_err());

    // None of them has left a trace: between two reads that were allowed, nothing was said. What is sealed has no gaps.
    list_with(mesh, &mesh.house.issuer.token(&own, day).unwrap()).await.unwrap();
    let said = until("both reads are sealed", Duration::from_secs(10), async || {
        let said = said(mesh).await;
        Ok((said.iter().filter(|kind| *kind == "read").count() == 2).then_some(said))
    });
    assert_eq!(said.await.unwrap(), ["read", "read"]);

    // Persons: the supervisor asks but never freezes; another unit sees nothing; a repeated id is the same request.
    let thief = haetae_tests::Actor::named("someone").account();
    let supervisor = mesh.people.agency(Who::HaEun);
    let mut content = under_warrant(watch_and_freeze(&thief, &[(haetae_tests::COIN, 5)], &[]));
    content.legal_basis = "information-request".to_owned();
    let refused = supervisor.submit(content).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_REQUEST", "the period and the cap are over that basis' limits, too");
    let named = haetae_mesh::explain(&refused).violations;
    assert!(named.iter().any(|violation| violation.reason == "KIND_NOT_ALLOWED"));

    let investigator: Agency = mesh.people.agency(Who::JiWoo);
    let id = uuid::Uuid::new_v4();
    let question = under_warrant(confirm(&thief));
    let first = investigator.submit_as(id, question.clone()).await.unwrap();
    let again = investigator.submit_as(id, question).await.unwrap();
    assert_eq!(first.request_id, again.request_id);
    let other = under_warrant(confirm(&haetae_tests::Actor::named("someone else").account()));
    let refused = investigator.submit_as(id, other).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    let refused = mesh.people.agency(Who::SeoYeon).request(&first.request_id).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "NOT_FOUND"));

    // All faults of a bad request in one answer.
    let mut bad = under_warrant(watch_and_freeze("eip155:31337:0x123", &[("eip155:1/slip44:60", 0)], &[]));
    bad.exchanges = vec!["mtgox".to_owned()];
    bad.case_number = String::new();
    let refused = investigator.submit(bad).await.unwrap_err();
    let fields: Vec<_> =
        refused.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
    for expected in ["case_number", "exchanges", "root", "stolen"] {
        assert!(fields.iter().any(|field| field.contains(expected)), "{expected} is not among {fields:?}");
    }
}
