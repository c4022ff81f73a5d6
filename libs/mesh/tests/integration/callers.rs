use haetae_mesh::{ContractFault, Identity, Peer, Role, ServeError};
use haetae_testkit::certs::{Ca, Leaf};
use prost_reflect::{DescriptorPool, prost::Message, prost_types::FileDescriptorSet};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::world::{Audit, AuditServiceClient, DOMAIN, METHOD, Running, World, ask, refused, until};

#[tokio::test]
async fn whom_the_contract_names_may_call_and_nobody_else() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    assert_eq!(ask(&world.peer("auditor/court", &[server.at])).await.unwrap(), "head");
    assert_eq!(ask(&world.peer("intake", &[server.at])).await.unwrap(), "head");
    for other in ["tracking", "stranger", "auditor/court/clerk"] {
        let told = refused(&world.peer(other, &[server.at])).await;
        assert_eq!(told.code, Code::PermissionDenied, "{other}");
        assert_eq!(told.reason.as_deref(), Some("CALLER_NOT_ALLOWED"), "{other}");
        assert_eq!(told.metadata["method"], METHOD);
    }
}

#[tokio::test]
async fn a_role_that_nobody_has_lets_nobody_in() {
    let world = World::new();
    let mut config = world.server_config("tracking");
    config.roles.insert(Role::Auditor, Vec::new());
    let server = haetae_mesh::Server::new("tracking", &config).add(Audit::saying("head"));
    let server = Running::start(server).await;
    assert_eq!(refused(&world.peer("auditor/court", &[server.at])).await.code, Code::PermissionDenied);
}

#[tokio::test]
async fn a_handler_sees_who_calls() {
    let world = World::new();
    let audit = Audit::answering(async |request| {
        let caller = request.extensions().get::<Identity>().unwrap();
        Ok(format!("{} {:?}", caller.spiffe, caller.role))
    });
    let server = Running::start(world.server("tracking").add(audit)).await;
    let told = ask(&world.peer("auditor/court", &[server.at])).await.unwrap();
    assert_eq!(told, format!("{DOMAIN}/auditor/court Some(Auditor)"));
}

#[tokio::test]
async fn a_public_service_is_for_those_whom_configuration_lists() {
    let world = World::new();
    let listed = [format!("{DOMAIN}/connector/*").parse().unwrap()];
    let server = Running::start(world.server("upbit").add_public(Audit::saying("head"), listed)).await;
    assert_eq!(ask(&world.peer("connector/upbit", &[server.at])).await.unwrap(), "head");
    assert_eq!(refused(&world.peer("auditor/court", &[server.at])).await.code, Code::PermissionDenied);

    let nobody = Running::start(world.server("upbit").add_public(Audit::saying("head"), [])).await;
    assert_eq!(refused(&world.peer("connector/upbit", &[nobody.at])).await.code, Code::PermissionDenied);
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_connect() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    let mut config = world.peer_config("auditor/court", &[server.at]);
    let tls = config.tls.as_mut().unwrap();
    let spiffe = format!("{DOMAIN}/auditor/court");
    let forged = Ca::new("mesh").unwrap().issue(&Leaf { spiffe: Some(&spiffe), ..Leaf::default() }).unwrap();
    std::fs::write(&tls.cert, forged.cert_pem).unwrap();
    std::fs::write(&tls.key, forged.key_pem).unwrap();
    let peer = Peer::connect("audit", &config).unwrap();
    assert_eq!(ask(&peer).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_caller_expects_whom_it_was_told_to_expect() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    for (name, served) in [
        (format!("{DOMAIN}/tracking"), true),
        (format!("{DOMAIN}/freeze"), false),
        ("localhost".to_owned(), true),
        ("elsewhere".to_owned(), false),
    ] {
        let mut config = world.peer_config("auditor/court", &[server.at]);
        config.server_name = Some(name.clone());
        let peer = Peer::connect("audit", &config).unwrap();
        assert_eq!(ask(&peer).await.is_ok(), served, "{name}");
    }
}

#[tokio::test]
async fn a_connection_in_plain_text_is_refused() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", server.at)).unwrap().connect_lazy();
    let answer = AuditServiceClient::new(plain).get_checkpoint(haetae_wire::audit::v1::GetCheckpointRequest {}).await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_method_that_names_no_callers_stops_the_start() {
    let world = World::new();
    // Typed descriptors do not know the option, so encoding them again drops it.
    let pool = DescriptorPool::decode(haetae_wire::DESCRIPTORS).unwrap();
    let file = pool.file_descriptor_protos().cloned().collect();
    let without = FileDescriptorSet { file }.encode_to_vec();
    let server = world.server("tracking").descriptors(without).add(Audit::saying("head"));
    match server.listen().await {
        Err(ServeError::Contract(ContractFault::NoCallers(method))) => assert_eq!(method, METHOD),
        Err(other) => panic!("another fault: {other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn health_follows_what_the_replica_needs() {
    let world = World::new();
    let (database, seen) = tokio::sync::watch::channel(false);
    let server = world.server("tracking").add(Audit::saying("head")).ready("database", move || {
        let up = *seen.borrow();
        async move { if up { Ok(()) } else { anyhow::bail!("refused") } }
    });
    let server = Running::start(server).await;
    let peer = world.peer("auditor/court", &[server.at]);
    let health = async || {
        let service = "haetae.audit.v1.AuditService".to_owned();
        let answer = HealthClient::new(peer.clone()).check(HealthCheckRequest { service }).await;
        answer.unwrap().into_inner().status().as_str_name()
    };
    assert_eq!(server.probe("/livez").await.0, 200);
    until("not serving", async || health().await == "NOT_SERVING").await;
    let (code, body) = server.probe("/readyz").await;
    assert_eq!(code, 503);
    assert!(body.contains("database") && !body.contains("refused"), "{body}");

    database.send_replace(true);
    until("ready", async || server.probe("/readyz").await.0 == 200).await;
    until("serving", async || health().await == "SERVING").await;
    assert!(server.probe("/status").await.1.contains("certificate_ends"));
}

#[tokio::test]
async fn reflection_lists_what_is_served_to_those_who_may_ask() {
    let world = World::new();
    let server = Running::start(world.server("tracking").add(Audit::saying("head"))).await;
    let ask = async |caller: &str| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new(world.peer(caller, &[server.at]));
        let mut answers = client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
        answers.message().await
    };
    let answer = ask("operator").await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("a list expected") };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    assert!(names.contains(&"haetae.audit.v1.AuditService".to_owned()), "{names:?}");
    assert!(!names.iter().any(|n| n.contains("intake")), "{names:?}");
    assert_eq!(ask("auditor/court").await.unwrap_err().code(), Code::PermissionDenied);
}
