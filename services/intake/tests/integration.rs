//! Two replicas as processes, called over mutual TLS with persons' tokens.
#![expect(clippy::unwrap_used, reason = "a scene that cannot be set fails its test")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use haetae_mesh::explain;
use haetae_seal::checkpoint::LogKey;
use haetae_testkit::{
    certs::{Ca, Leaf},
    keys::SigningKey,
    oidc::{Issuer, Person},
    ports::free_ports,
    postgres::Database,
    process::{ProcessSpec, Service},
};
use haetae_wire::{
    convert::{duration, timestamp},
    exchange::v1::{AssetAmount, Confidentiality, Document, Officer, Target},
    intake::v1::{
        ApproveRequestRequest, FollowUpdatesRequest, FollowUpdatesResponse, Request, RequestContent, RequestState,
        SubmitRequestRequest, Watch, follow_updates_response::Update,
        intake_log_service_client::IntakeLogServiceClient, intake_service_client::IntakeServiceClient,
        request_content::Kind,
    },
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    folder: TempDir,
    ca: Ca,
    issuer: Issuer,
    database: Database,
    replicas: Vec<(Service, u16)>,
}

impl World {
    async fn start() -> Self {
        let ca = Ca::new("test").unwrap();
        let issuer = Issuer::new("https://login.police.test", "haetae").unwrap();
        let database = Database::fresh().await.unwrap();
        let mut world = Self { folder: tempfile::tempdir().unwrap(), ca, issuer, database, replicas: Vec::new() };
        world.furnish();
        for name in ["intake-1", "intake-2"] {
            let [calls, probes] = free_ports().unwrap();
            let config = world.configure(name, calls, probes);
            let replica = Service::spawn(ProcessSpec {
                name: name.to_owned(),
                program: env!("CARGO_BIN_EXE_haetae-intake").into(),
                args: vec!["--config".into(), config.into()],
                env: Vec::new(),
                log: world.path(&format!("{name}.log")),
            });
            world.replicas.push((replica.unwrap(), calls));
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificates, keys, the registry, the issuer's keys.
    fn furnish(&self) {
        for (name, spiffe) in [("intake", "intake"), ("knp-portal", "agency/knp-portal"), ("freeze", "freeze")] {
            let spiffe = format!("spiffe://haetae.test/{spiffe}");
            let leaf = Leaf { dns: &[name], spiffe: Some(&spiffe), ..Leaf::default() };
            self.ca.issue(&leaf).unwrap().write_to(&self.path(name)).unwrap();
        }
        fs::write(self.path("jwks.json"), self.issuer.jwks_json()).unwrap();
        let authorise = SigningKey::ed25519().unwrap();
        authorise.write_to(self.folder.path(), "authorise").unwrap();
        fs::write(self.path("log.pem"), LogKey::generate().to_pkcs8_pem().as_bytes()).unwrap();
        let mut registry = format!(
            "[agency]\n[[agency.key]]\npurpose = \"authorise\"\npublic_key = '''\n{}'''\n",
            authorise.public_pem
        );
        for service in ["tracking", "freeze", "connector/upbit"] {
            let verifier = LogKey::generate().verifier(&format!("haetae.test/{service}")).unwrap();
            registry += &format!("[[agency.log]]\nservice = \"{service}\"\nverifier = \"{verifier}\"\n");
        }
        registry += &format!(
            "[[exchange]]\nid = \"upbit\"\ndisplay_name = \"Upbit\"\nendpoints = [\"https://upbit.test\"]\n\
             server_name = \"upbit.test\"\nca = \"ca.pem\"\nconfirm_within = \"2s\"\nfreeze_within = \"2s\"\n\
             chains = [\"eip155:1\"]\n[[exchange.key]]\npublic_key = '''\n{}'''\n",
            SigningKey::p256().unwrap().public_pem
        );
        fs::write(self.path("exchanges.toml"), registry).unwrap();
    }

    /// Its peers are down: intake starts and decides without them.
    fn configure(&self, name: &str, calls: u16, probes: u16) -> PathBuf {
        let at = |file: &str| self.path(file).display().to_string();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("legal-basis.toml");
        let peers = ["tracking", "freeze", "connector-upbit"]
            .map(|peer| format!("[peers.{peer}]\nendpoints = [\"https://127.0.0.1:1\"]\nserver_name = \"{peer}\"\n"))
            .concat();
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:{calls}"
probe_listen = "127.0.0.1:{probes}"
tls = {{ cert = "{}", key = "{}", client_ca = "{}" }}
roles = {{ agency = ["spiffe://haetae.test/agency/*"], freeze = ["spiffe://haetae.test/freeze"] }}
persons = {{ issuer = "https://login.police.test", audience = "haetae", jwks = "{}" }}
drain = {{ grace_ms = 10, limit_ms = 2000 }}
[server.systems."spiffe://haetae.test/agency/knp-portal"]
agency = "knp"
name = "Police investigation portal"
[database]
url = "{}"
[log]
origin = "haetae.test/intake"
key = "{}"
[telemetry]
format = "text"
[service]
rules = "{}"
registry = "{}"
keys = {{ authorise = "{}" }}
{peers}"#,
            at("intake/tls.crt"),
            at("intake/tls.key"),
            at("intake/ca.crt"),
            at("jwks.json"),
            self.database.url,
            at("log.pem"),
            rules.display(),
            at("exchanges.toml"),
            at("authorise.pem"),
        );
        let path = self.path(&format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        path
    }

    fn channel(&self, replica: usize, caller: &str) -> Channel {
        let read = |file: &str| fs::read(self.path(caller).join(file)).unwrap();
        let tls = ClientTlsConfig::new()
            .domain_name("intake")
            .ca_certificate(Certificate::from_pem(read("ca.crt")))
            .identity(Identity::from_pem(read("tls.crt"), read("tls.key")));
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.replicas[replica].1)).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }

    fn intake(&self, replica: usize) -> IntakeServiceClient<Channel> {
        IntakeServiceClient::new(self.channel(replica, "knp-portal"))
    }

    /// A call with this person's token.
    fn by<T>(&self, person: &str, message: T) -> tonic::Request<T> {
        let person = Person {
            subject: person.to_owned(),
            name: "somebody".to_owned(),
            agency: "knp".to_owned(),
            unit: "cyber-1".to_owned(),
            roles: vec!["investigator".to_owned(), "approver".to_owned()],
            on_duty: true,
        };
        let token = self.issuer.token(&person, time::Duration::HOUR).unwrap();
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    async fn submit(&self, replica: usize, message: &SubmitRequestRequest) -> Result<Request, Status> {
        let call = self.by("ji-woo", message.clone());
        Ok(self.intake(replica).submit_request(call).await?.into_inner().request.unwrap())
    }

    /// Calls until the replica answers anything but that it is not there.
    async fn submit_patiently(&self, replica: usize, message: &SubmitRequestRequest) -> Request {
        let begun = std::time::Instant::now();
        loop {
            match self.submit(replica, message).await {
                Ok(request) => return request,
                Err(status) if begun.elapsed() < PATIENCE && status.code() == Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(status) => panic!("{status}: {}", fs::read_to_string(self.path("intake-1.log")).unwrap()),
            }
        }
    }

    async fn approve(&self, replica: usize, person: &str, request: &str) -> Result<Request, Status> {
        let message =
            ApproveRequestRequest { request_id: Uuid::new_v4().to_string(), approved_request_id: request.to_owned() };
        let answer = self.intake(replica).approve_request(self.by(person, message)).await?;
        Ok(answer.into_inner().request.unwrap())
    }

    async fn updates(&self, replica: usize, cursor: &str) -> Streaming<FollowUpdatesResponse> {
        let message = FollowUpdatesRequest {
            cursor: cursor.to_owned(),
            purpose: "test".to_owned(),
            ..FollowUpdatesRequest::default()
        };
        self.intake(replica).follow_updates(self.by("min-jun", message)).await.unwrap().into_inner()
    }
}

/// The state that the next update tells, and the cursor after it.
async fn next(updates: &mut Streaming<FollowUpdatesResponse>) -> (RequestState, String) {
    let update = tokio::time::timeout(PATIENCE, updates.message()).await.unwrap().unwrap().unwrap();
    let Some(Update::Request(request)) = update.update else { panic!("not a request's update") };
    (request.state(), update.cursor)
}

fn watch() -> SubmitRequestRequest {
    let now = OffsetDateTime::now_utc();
    let coin = "eip155:1/slip44:60";
    let account = "eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let watch = Watch {
        root: Some(Target { account: account.to_owned(), memo: String::new() }),
        stolen: vec![AssetAmount { asset: coin.to_owned(), amount: "1000".to_owned() }],
        period: Some(duration(Duration::from_secs(86_400))),
        ..Watch::default()
    };
    let content = RequestContent {
        case_number: "2026-cyber-00412".to_owned(),
        legal_basis: "warrant".to_owned(),
        document: Some(Document {
            number: "2026-1".to_owned(),
            issuer: "Seoul Central District Court".to_owned(),
            issued_at: Some(timestamp(now - time::Duration::HOUR)),
            valid_until: Some(timestamp(now + time::Duration::WEEK)),
            sha256: vec![7; 32],
        }),
        officer: Some(Officer {
            name: "somebody".to_owned(),
            title: "Inspector".to_owned(),
            address: "Seoul".to_owned(),
            email: "somebody@police.test".to_owned(),
            phone: "+82-2-1".to_owned(),
        }),
        confidentiality: Some(Confidentiality { customer_may_be_told: true, ..Confidentiality::default() }),
        summary: "Coins were taken from a private wallet.".to_owned(),
        exchanges: Vec::new(),
        kind: Some(Kind::Watch(watch)),
    };
    SubmitRequestRequest { request_id: Uuid::new_v4().to_string(), content: Some(content) }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_truth_and_a_killed_one_loses_nothing() {
    let mut world = World::start().await;
    let message = watch();
    let submitted = world.submit_patiently(0, &message).await;
    assert_eq!(world.submit_patiently(1, &message).await, submitted, "the other replica gives the same answer");

    let bare = world.intake(0).submit_request(message.clone()).await.unwrap_err();
    assert_eq!(explain(&bare).reason.as_deref(), Some("TOKEN_MISSING"));
    let mut as_service = IntakeServiceClient::new(world.channel(0, "freeze"));
    let foreign = as_service.submit_request(world.by("ji-woo", message)).await.unwrap_err();
    assert_eq!(explain(&foreign).reason.as_deref(), Some("CALLER_NOT_ALLOWED"));
    let mut as_agency = IntakeLogServiceClient::new(world.channel(0, "knp-portal"));
    let foreign = as_agency.follow(haetae_wire::intake::v1::FollowRequest::default()).await.unwrap_err();
    assert_eq!(explain(&foreign).reason.as_deref(), Some("CALLER_NOT_ALLOWED"));

    let mut updates = world.updates(1, "").await;
    let (state, cursor) = next(&mut updates).await;
    assert_eq!(state, RequestState::AwaitingApproval);
    let own = world.approve(0, "ji-woo", &submitted.request_id).await.unwrap_err();
    assert_eq!(explain(&own).reason.as_deref(), Some("SELF_APPROVAL"));
    let approved = world.approve(0, "min-jun", &submitted.request_id).await.unwrap();
    assert_eq!(approved.authorisations.len(), 1);
    assert_eq!(next(&mut updates).await.0, RequestState::Approved, "told by the replica that did not decide");

    world.replicas[1].0.kill9();
    let mut updates = world.updates(0, &cursor).await;
    assert_eq!(next(&mut updates).await.0, RequestState::Approved, "resumed at the other replica");
}
