use haetae_mesh::{
    Explained, Peer, Person, Role, Server,
    config::{PersonsConfig, ServerConfig, SystemConfig},
    explain,
};
use haetae_testkit::oidc::{self, Issuer};
use haetae_wire::audit::v1::GetCheckpointRequest;
use time::Duration;
use tonic::{Code, Request};

use crate::world::{Audit, AuditServiceClient, DOMAIN, Running, World, until};

const URL: &str = "https://id.police.test";
const AUDIENCE: &str = "haetae";

fn config(world: &World, issuer: &Issuer) -> ServerConfig {
    let mut config = world.server_config("intake-server");
    let jwks = world.folder.path().join("jwks.json");
    std::fs::write(&jwks, issuer.jwks_json()).unwrap();
    config.persons = Some(PersonsConfig { issuer: URL.into(), audience: AUDIENCE.into(), jwks, leeway_seconds: 0 });
    // The audit contract names auditors; here one of them stands in for an agency's system.
    let system = SystemConfig { agency: "NPA".into(), name: "KICS".into() };
    config.systems.insert(format!("{DOMAIN}/auditor/kics"), system);
    config
}

fn hong() -> oidc::Person {
    oidc::Person {
        subject: "p-1".into(),
        name: "Hong Gildong".into(),
        agency: "NPA".into(),
        unit: "cyber-1".into(),
        roles: vec!["investigator".into()],
        on_duty: true,
    }
}

fn served() -> crate::world::Audited {
    Audit::answering(async |request| {
        let person = request.extensions().get::<Person>().unwrap();
        Ok(format!("{} {} {} {:?} {}", person.id, person.agency, person.unit, person.roles, person.on_duty))
    })
}

async fn call(peer: &Peer, token: Option<&str>) -> Result<String, Explained> {
    let mut request = Request::new(GetCheckpointRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    match AuditServiceClient::new(peer.clone()).get_checkpoint(request).await {
        Ok(answer) => Ok(answer.into_inner().checkpoint),
        Err(status) => Err(explain(&status)),
    }
}

async fn reason(peer: &Peer, token: Option<&str>) -> String {
    let told = call(peer, token).await.unwrap_err();
    assert_eq!(told.code, Code::Unauthenticated);
    assert!(!told.message.contains("Hong"));
    told.reason.unwrap()
}

#[tokio::test]
async fn a_service_for_persons_knows_who_asks_and_refuses_what_does_not_hold() {
    let world = World::new();
    let issuer = Issuer::new(URL, AUDIENCE).unwrap();
    let server = Server::new("intake", &config(&world, &issuer)).add(served()).with_person();
    let server = Running::start(server).await;
    let peer = world.peer("auditor/kics", &[server.at]);
    let minute = Duration::MINUTE;

    let good = issuer.token(&hong(), minute).unwrap();
    assert_eq!(call(&peer, Some(&good)).await.unwrap(), r#"p-1 NPA cyber-1 ["investigator"] true"#);

    assert_eq!(reason(&peer, None).await, "TOKEN_MISSING");
    assert_eq!(reason(&peer, Some(&issuer.token(&hong(), -minute).unwrap())).await, "TOKEN_EXPIRED");
    assert_eq!(reason(&peer, Some("not.a.token")).await, "TOKEN_INVALID");

    let mut later = issuer.claims(&hong(), minute);
    later["nbf"] = (time::OffsetDateTime::now_utc() + minute).unix_timestamp().into();
    assert_eq!(reason(&peer, Some(&issuer.token_with(&later).unwrap())).await, "TOKEN_INVALID");

    let same_names_other_key = Issuer::new(URL, AUDIENCE).unwrap();
    let other_issuer = Issuer::with_key("https://id.elsewhere", AUDIENCE, issuer.key().clone()).unwrap();
    let other_audience = Issuer::with_key(URL, "payroll", issuer.key().clone()).unwrap();
    for foreign in [same_names_other_key, other_issuer, other_audience] {
        assert_eq!(reason(&peer, Some(&foreign.token(&hong(), minute).unwrap())).await, "TOKEN_FOREIGN");
    }
}

#[tokio::test]
async fn a_person_of_another_agency_cannot_come_through_this_system() {
    let world = World::new();
    let issuer = Issuer::new(URL, AUDIENCE).unwrap();
    let server = Server::new("intake", &config(&world, &issuer)).add(served()).with_person();
    let server = Running::start(server).await;
    let of_another = oidc::Person { agency: "FSS".into(), ..hong() };
    let token = issuer.token(&of_another, Duration::MINUTE).unwrap();
    assert_eq!(reason(&world.peer("auditor/kics", &[server.at]), Some(&token)).await, "TOKEN_FOREIGN");
    // A system that is not configured has no agency, so nobody comes through it.
    let token = issuer.token(&hong(), Duration::MINUTE).unwrap();
    assert_eq!(reason(&world.peer("auditor/other", &[server.at]), Some(&token)).await, "TOKEN_FOREIGN");
}

#[tokio::test]
async fn the_issuers_new_key_is_taken_up_without_a_restart() {
    let world = World::new();
    let config = config(&world, &Issuer::new(URL, AUDIENCE).unwrap());
    let jwks = config.persons.as_ref().unwrap().jwks.clone();
    let server = Running::start(Server::new("intake", &config).add(served()).with_person()).await;
    let peer = world.peer("auditor/kics", &[server.at]);
    let next = Issuer::new(URL, AUDIENCE).unwrap();
    let token = next.token(&hong(), Duration::HOUR).unwrap();
    assert_eq!(reason(&peer, Some(&token)).await, "TOKEN_FOREIGN");
    std::fs::write(&jwks, next.jwks_json()).unwrap();
    until("the new key holds", async || call(&peer, Some(&token)).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_for_persons_that_trusts_no_issuer_does_not_start() {
    let world = World::new();
    let server = world.server("intake").add(served()).with_person();
    assert!(matches!(server.listen().await, Err(haetae_mesh::ServeError::PersonsMissing(_))));
    assert!(matches!(
        world.server("intake").with_person().listen().await,
        Err(haetae_mesh::ServeError::PersonForNothing)
    ));
}

#[tokio::test]
async fn a_person_has_a_budget_and_a_bad_token_does_not_spend_it() {
    let world = World::new();
    let issuer = Issuer::new(URL, AUDIENCE).unwrap();
    let mut config = config(&world, &issuer);
    config.limits.rates.person = haetae_mesh::config::Rate::new(1, 2);
    config.roles.remove(&Role::Agency);
    let server = Running::start(Server::new("intake", &config).add(served()).with_person()).await;
    let peer = world.peer("auditor/kics", &[server.at]);
    let forged = Issuer::new(URL, AUDIENCE).unwrap().token(&hong(), Duration::MINUTE).unwrap();
    for _ in 0..10 {
        assert_eq!(reason(&peer, Some(&forged)).await, "TOKEN_FOREIGN");
    }
    let token = issuer.token(&hong(), Duration::MINUTE).unwrap();
    assert!(call(&peer, Some(&token)).await.is_ok());
    assert!(call(&peer, Some(&token)).await.is_ok());
    let told = call(&peer, Some(&token)).await.unwrap_err();
    assert_eq!((told.code, told.reason.as_deref()), (Code::ResourceExhausted, Some("RATE_LIMITED")));
    assert!(told.retry_after.unwrap() <= std::time::Duration::from_secs(1));
    let colleague = oidc::Person { subject: "p-2".into(), ..hong() };
    assert!(call(&peer, Some(&issuer.token(&colleague, Duration::MINUTE).unwrap())).await.is_ok());
}
