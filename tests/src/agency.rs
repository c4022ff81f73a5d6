//! Persons at an agency's system, as stock gRPC clients see intake.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use haetae_testkit::oidc::Person;
use haetae_wire::{
    convert::duration,
    exchange::v1::{AssetAmount, Confidentiality, Document, Officer, Target},
    freeze::v1::Leg,
    intake::v1::{
        ApproveRequestRequest, ConfirmAddress, FollowUpdatesRequest, GetConfirmationRequest, GetRequestRequest,
        GetWatchRequest, ListLegsRequest, ListRequestsRequest, ListTrailRequest, Release, Request, RequestContent,
        StandingFreezeTerms, SubmitRequestRequest, Watch, WatchLimits, follow_updates_response::Update,
        intake_service_client::IntakeServiceClient, request_content::Kind,
    },
    tracking::v1::{Confirmation, TrailItem},
};
use tonic::{
    Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use uuid::Uuid;

use crate::House;

const DAY: Duration = Duration::from_secs(86_400);

/// What people say they read for.
const PURPOSE: &str = "rehearsal of case 2026-cyber-00412";

/// The rehearsal's people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Investigator; may also approve, but never what she asked for.
    JiWoo,
    /// Her team leader, who approves.
    MinJun,
    /// Investigator in another unit.
    SeoYeon,
    /// Examiner at the financial supervisor, who may ask but never freeze.
    HaEun,
    /// She keeps the mesh running, and sees no case.
    SuBin,
}

impl Who {
    /// Everybody.
    pub const ALL: [Self; 5] = [Self::JiWoo, Self::MinJun, Self::SeoYeon, Self::HaEun, Self::SuBin];

    /// The name used on the command line.
    pub fn slug(self) -> &'static str {
        match self {
            Self::JiWoo => "ji-woo",
            Self::MinJun => "min-jun",
            Self::SeoYeon => "seo-yeon",
            Self::HaEun => "ha-eun",
            Self::SuBin => "su-bin",
        }
    }

    /// The agency's system that the person uses.
    pub fn system(self) -> &'static str {
        if self == Self::HaEun { "fss-portal" } else { "knp-portal" }
    }

    /// Who the person's token says they are.
    pub fn person(self) -> Person {
        let (name, agency, unit) = match self {
            Self::JiWoo => ("김지우", "knp", "cyber-1"),
            Self::MinJun => ("이민준", "knp", "cyber-1"),
            Self::SeoYeon => ("박서연", "knp", "cyber-2"),
            Self::HaEun => ("최하은", "fss", "virtual-assets"),
            Self::SuBin => ("정수빈", "knp", "operations"),
        };
        let roles: &[&str] = if self == Self::SuBin { &["operator"] } else { &["investigator", "approver"] };
        Person {
            subject: format!("{agency}-{}", self.slug()),
            name: name.to_owned(),
            agency: agency.to_owned(),
            unit: unit.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            on_duty: true,
        }
    }
}

/// Everybody's tokens, and a connection for each agency's system.
#[derive(Clone)]
pub struct People {
    tokens: BTreeMap<Who, AsciiMetadataValue>,
    channels: BTreeMap<&'static str, Channel>,
}

/// Adds a person's token to each call.
#[derive(Clone)]
pub struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Intake as a person sees it.
pub type Intake = IntakeServiceClient<InterceptedService<Channel, Bearer>>;

impl People {
    /// Issues tokens and makes connections; nothing is called yet.
    ///
    /// # Errors
    /// When certificates or tokens cannot be made.
    pub fn gather(house: &House) -> Result<Self> {
        let mut tokens = BTreeMap::new();
        let folder = house.path("tokens");
        fs::create_dir_all(&folder)?;
        for who in Who::ALL {
            let token = house.issuer.token(&who.person(), time::Duration::hours(12))?;
            fs::write(folder.join(who.slug()), &token)?;
            tokens.insert(who, format!("Bearer {token}").parse()?);
        }
        let endpoints = house.endpoints("intake")?;
        let connect = |system: &'static str| {
            let tls = client_tls(&house.path("certs").join(system), "intake")?;
            let endpoints = endpoints
                .iter()
                .map(|uri| {
                    let endpoint = Endpoint::from_shared(uri.clone())?.tls_config(tls.clone())?;
                    Ok(endpoint.connect_timeout(Duration::from_secs(1)))
                })
                .collect::<Result<Vec<_>>>()?;
            anyhow::Ok((system, Channel::balance_list(endpoints.into_iter())))
        };
        let channels = ["knp-portal", "fss-portal"].into_iter().map(connect).collect::<Result<_>>()?;
        Ok(Self { tokens, channels })
    }

    /// Intake, through the person's own system and with the person's own token.
    pub fn intake(&self, who: Who) -> Intake {
        self.with_token(who.system(), self.tokens[&who].clone())
    }

    /// Intake, through a system and with a token that need not belong together.
    pub fn with_token(&self, system: &str, token: AsciiMetadataValue) -> Intake {
        IntakeServiceClient::with_interceptor(self.channels[system].clone(), Bearer(token))
    }

    /// A person at work.
    pub fn agency(&self, who: Who) -> Agency {
        Agency { intake: self.intake(who) }
    }
}

/// TLS as a client whose certificate is in the folder.
///
/// # Errors
/// When a file cannot be read.
pub fn client_tls(folder: &Path, server_name: &str) -> Result<ClientTlsConfig> {
    let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("{}/{name}", folder.display()));
    Ok(ClientTlsConfig::new()
        .domain_name(server_name)
        .ca_certificate(Certificate::from_pem(read("ca.crt")?))
        .identity(Identity::from_pem(read("tls.crt")?, read("tls.key")?)))
}

/// A person at work: what investigators do, in their words.
#[derive(Clone)]
pub struct Agency {
    intake: Intake,
}

/// What is stolen and may be frozen, per asset.
pub type Amounts<'a> = &'a [(&'a str, u128)];

impl Agency {
    /// Hands in a request under a fresh request id.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn submit(&self, content: RequestContent) -> Result<Request, Status> {
        self.submit_as(Uuid::new_v4(), content).await
    }

    /// Hands in a request under this request id.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn submit_as(&self, id: Uuid, content: RequestContent) -> Result<Request, Status> {
        let request = SubmitRequestRequest { request_id: id.to_string(), content: Some(content) };
        let answer = self.intake.clone().submit_request(request).await?.into_inner();
        answer.request.ok_or_else(|| Status::internal("an answer without a request"))
    }

    /// Approves a request.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn approve(&self, request: &str) -> Result<Request, Status> {
        let approval =
            ApproveRequestRequest { request_id: Uuid::new_v4().to_string(), approved_request_id: request.to_owned() };
        let answer = self.intake.clone().approve_request(approval).await?.into_inner();
        answer.request.ok_or_else(|| Status::internal("an answer without a request"))
    }

    /// Reads a request.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn request(&self, id: &str) -> Result<Request, Status> {
        let read = GetRequestRequest { request_id: id.to_owned(), purpose: PURPOSE.to_owned() };
        let answer = self.intake.clone().get_request(read).await?.into_inner();
        answer.request.ok_or_else(|| Status::internal("an answer without a request"))
    }

    /// The newest requests of the person's unit.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn requests(&self) -> Result<Vec<Request>, Status> {
        let read = ListRequestsRequest { page_size: 50, purpose: PURPOSE.to_owned(), ..Default::default() };
        Ok(self.intake.clone().list_requests(read).await?.into_inner().requests)
    }

    /// What exchanges answered to a confirm-address request.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn confirmation(&self, request: &str) -> Result<Confirmation, Status> {
        let read = GetConfirmationRequest { request_id: request.to_owned(), purpose: PURPOSE.to_owned() };
        let answer = self.intake.clone().get_confirmation(read).await?.into_inner();
        answer.confirmation.ok_or_else(|| Status::internal("an answer without a confirmation"))
    }

    /// A watch.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn watch(&self, watch: &str) -> Result<haetae_wire::tracking::v1::Watch, Status> {
        let read = GetWatchRequest { watch_id: watch.to_owned(), purpose: PURPOSE.to_owned() };
        let answer = self.intake.clone().get_watch(read).await?.into_inner();
        answer.watch.ok_or_else(|| Status::internal("an answer without a watch"))
    }

    /// Everything a watch found.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn trail(&self, watch: &str) -> Result<Vec<TrailItem>, Status> {
        let mut items = Vec::new();
        let mut page_token = String::new();
        loop {
            let read = ListTrailRequest {
                watch_id: watch.to_owned(),
                page_size: 1_000,
                page_token,
                purpose: PURPOSE.to_owned(),
                newest_first: false,
            };
            let page = self.intake.clone().list_trail(read).await?.into_inner();
            items.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(items);
            }
        }
    }

    /// The legs of a request.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn legs(&self, request: &str) -> Result<Vec<Leg>, Status> {
        let read = ListLegsRequest {
            request_id: request.to_owned(),
            page_size: 200,
            purpose: PURPOSE.to_owned(),
            ..Default::default()
        };
        Ok(self.intake.clone().list_legs(read).await?.into_inner().legs)
    }

    /// What was told of a request's legs, from its beginning until it is enough.
    ///
    /// # Errors
    /// As intake refuses.
    pub async fn legs_told(&self, request: &str, enough: impl Fn(&[Leg]) -> bool) -> Result<Vec<Leg>, Status> {
        let follow =
            FollowUpdatesRequest { cursor: String::new(), request_id: request.to_owned(), purpose: PURPOSE.to_owned() };
        let mut updates = self.intake.clone().follow_updates(follow).await?.into_inner();
        let mut told = Vec::new();
        while !enough(&told) {
            let update = updates.message().await?.ok_or_else(|| Status::unavailable("the updates ended"))?;
            if let Some(Update::Leg(leg)) = update.update {
                told.push(leg);
            }
        }
        Ok(told)
    }
}

/// The form that every request under the rehearsal's warrant has.
pub fn under_warrant(kind: Kind) -> RequestContent {
    RequestContent {
        case_number: "2026-cyber-00412".to_owned(),
        legal_basis: "warrant".to_owned(),
        document: Some(warrant()),
        officer: Some(officer()),
        confidentiality: Some(Confidentiality {
            customer_may_be_told: false,
            deferral_ground: "telling the customer would let the rest be moved".to_owned(),
            notice_due: in_a_month(),
        }),
        summary: "Tokens and coins were taken from a private wallet by a phishing site.".to_owned(),
        exchanges: Vec::new(),
        kind: Some(kind),
    }
}

/// The rehearsal's warrant, issued an hour ago and valid for a week.
pub fn warrant() -> Document {
    let now = SystemTime::now();
    Document {
        number: "2026-압수-10412".to_owned(),
        issuer: "Seoul Central District Court".to_owned(),
        issued_at: Some((now - Duration::from_secs(3_600)).into()),
        valid_until: Some((now + 7 * DAY).into()),
        sha256: vec![0x5a; 32],
    }
}

/// When notice to customers falls due.
pub fn in_a_month() -> Option<prost_types::Timestamp> {
    Some((SystemTime::now() + 30 * DAY).into())
}

/// The rehearsal's officer.
pub fn officer() -> Officer {
    Officer {
        name: "김지우".to_owned(),
        title: "Inspector".to_owned(),
        address: "97 Tongil-ro, Seodaemun-gu, Seoul".to_owned(),
        email: "ji-woo@police.test".to_owned(),
        phone: "+82-2-3150-0000".to_owned(),
    }
}

/// Who holds this address?
pub fn confirm(account: &str) -> Kind {
    Kind::ConfirmAddress(ConfirmAddress { target: Some(target(account)) })
}

/// Follow the money from this address and freeze what arrives at exchanges.
pub fn watch_and_freeze(root: &str, stolen: Amounts<'_>, dust: Amounts<'_>) -> Kind {
    Kind::Watch(Watch {
        root: Some(target(root)),
        stolen: amounts(stolen),
        period: Some(duration(6 * DAY)),
        limits: Some(WatchLimits { dust: amounts(dust), ..Default::default() }),
        standing_freeze: Some(StandingFreezeTerms {
            caps: amounts(stolen),
            freeze_period: Some(duration(30 * DAY)),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// Release everything that a request froze.
pub fn release(frozen_by: &str, legs: Vec<String>) -> Kind {
    Kind::Release(Release { frozen_by_request_id: frozen_by.to_owned(), leg_ids: legs })
}

/// A target without a memo.
pub fn target(account: &str) -> Target {
    Target { account: account.to_owned(), memo: String::new() }
}

fn amounts(amounts: Amounts<'_>) -> Vec<AssetAmount> {
    let one = |(asset, amount): &(&str, u128)| AssetAmount { asset: (*asset).to_owned(), amount: amount.to_string() };
    amounts.iter().map(one).collect()
}
