//! An order on paper: printed by the agency, checked by the exchange without any network.

use std::{collections::BTreeMap, num::NonZeroU32};

use haetae_core::{
    Account, Act, Amount, Asset, Authorisation, AuthorisationId, Budgets, CaseRef, Confidentiality, Decision,
    DecisionRole, Desired, Document, FreezeScope, LegId, LegalGround, Moment, Officer, Order, OrderKind, RequestId,
    Subject, Target, micros,
};
use haetae_seal::{
    checkpoint::{Checkpoint, LogKey},
    dsse::{Algorithm, SigningKey},
    leaf::{Leaf, commitment},
};
use haetae_wire::{
    convert::timestamp,
    exchange::v1::{Hotline, SignedOrder},
    intake::v1::{GetSignedOrderResponse, intake_service_server::IntakeServiceServer},
    log::v1::{InclusionProof, LeafOpening},
    signed::{sign_authorisation, sign_order},
};
use time::Duration;
use uuid::Uuid;

use crate::{
    intake::Intake,
    world::{ROOT, Ran, Running, World, run},
};

/// The agency's side: its keys, its log, and an intake that hands out the order.
struct Office {
    world: World,
    intake: Intake,
    _running: Running,
    authorise: SigningKey,
    freeze: SigningKey,
    log: LogKey,
}

impl Office {
    async fn open() -> Self {
        let (world, intake) = (World::new(), Intake::default());
        let running = Running::start(world.server().add(IntakeServiceServer::new(intake.clone()))).await;
        world.profile(running.at, "registry = \"exchanges.toml\"", "");
        let [authorise, freeze] = [(); 2].map(|()| SigningKey::generate(Algorithm::Ed25519));
        let log = LogKey::generate();
        let key = |purpose: &str, key: &SigningKey| {
            let pem = key.public_key().to_spki_pem();
            format!("[[agency.key]]\npurpose = \"{purpose}\"\npublic_key = '''{pem}'''\n")
        };
        let registry = format!(
            "{}{}[[agency.log]]\nservice = \"freeze\"\nverifier = \"{}\"\n",
            key("authorise", &authorise),
            key("freeze", &freeze),
            log.verifier("police.example/freeze").unwrap()
        );
        world.write("exchanges.toml", &registry);
        let office = Self { world, intake, _running: running, authorise, freeze, log };
        office.hands_out(office.signed(&order(), &office.freeze));
        office
    }

    /// The order as it stands in freeze's log, its only entry.
    fn signed(&self, order: &Order, key: &SigningKey) -> SignedOrder {
        let authorisation = sign_authorisation(&authorisation(), &self.authorise);
        let envelope = sign_order(order, &authorisation, &[], key);
        let opening = LeafOpening {
            kind: "order".into(),
            version: 1,
            time: Some(timestamp(Moment::UNIX_EPOCH)),
            header: b"header".to_vec(),
            salt: vec![9; 32],
        };
        let commitment = commitment(&[9; 32], &opening.header, &envelope);
        let leaf = Leaf { kind: "order".into(), version: 1, time_us: 0, commitment };
        let checkpoint = Checkpoint { origin: "police.example/freeze".into(), size: 1, root: leaf.hash() };
        SignedOrder {
            envelope,
            opening: Some(opening),
            inclusion: Some(InclusionProof { leaf_index: 0, tree_size: 1, hashes: Vec::new() }),
            checkpoint: checkpoint.sign(&self.log).unwrap(),
        }
    }

    fn hands_out(&self, order: SignedOrder) {
        let hotline = Hotline { name: "Compliance desk".into(), phone: "+82-2-1".into(), email: String::new() };
        let answer =
            GetSignedOrderResponse { order: Some(order), display_name: "Upbit".into(), hotline: Some(hotline) };
        self.intake.with(|script| script.order = Some(answer));
    }

    /// Prints the leg's order.
    async fn print(&self) -> Ran {
        self.world.haetae(&["freeze", "order", &leg().to_string()]).await
    }

    /// Checks a page as the exchange does: with its own registry, without a profile.
    async fn verify(&self, page: &str) -> Ran {
        self.world.write("page.txt", page);
        let path = |name: &str| self.world.path(name).display().to_string();
        let words = ["order", "verify", &path("page.txt"), "--registry", &path("exchanges.toml")];
        run(Some("/nowhere/profile.toml".into()), &words).await
    }
}

fn line() -> AuthorisationId {
    AuthorisationId(Uuid::from_u128(1))
}

fn asset() -> Asset {
    "eip155:1/slip44:60".parse().unwrap()
}

fn target() -> Target {
    Target::account(ROOT.parse::<Account>().unwrap())
}

fn leg() -> LegId {
    LegId::of(line(), &"upbit".parse().unwrap(), &target(), Some(&asset()))
}

fn now() -> Moment {
    micros(Moment::now_utc())
}

fn order() -> Order {
    Order {
        recipient: "upbit".parse().unwrap(),
        leg: leg(),
        revision: NonZeroU32::MIN,
        target: target(),
        asset: Some(asset()),
        desired: Desired::Frozen {
            cap: Amount::from(500u64),
            until: now() + Duration::days(10),
            scope: FreezeScope::BalanceAndLaterCredits,
        },
        issued_at: now(),
        expires_at: now() + Duration::minutes(10),
        arrivals: Vec::new(),
        hop: None,
    }
}

fn authorisation() -> Authorisation {
    let decided = |role, person: &str| Decision { role, person: person.parse().unwrap(), at: now() };
    Authorisation {
        id: line(),
        act: Act::Grant,
        line: line(),
        amendment: 1,
        exchange: "upbit".parse().unwrap(),
        request: RequestId(Uuid::from_u128(2)),
        case: CaseRef { agency: "knp".parse().unwrap(), unit: "cyber-1".parse().unwrap(), number: "2026-412".into() },
        ground: LegalGround {
            basis: "warrant".into(),
            citation: "Criminal Procedure Act, Art. 215".into(),
            document: Some(Document {
                number: "2026-10412".into(),
                issuer: "Seoul Central District Court".into(),
                issued_at: now() - Duration::DAY,
                valid_until: now() + Duration::DAY,
                sha256: [0xab; 32],
            }),
            ratify_by: None,
        },
        permitted: [OrderKind::Freeze].into(),
        subject: Subject::Targets([target()].into()),
        caps: BTreeMap::from([(asset(), Amount::from(500u64))]),
        valid_from: now() - Duration::DAY,
        valid_until: now() + Duration::DAY,
        freeze_until: Some(now() + Duration::days(20)),
        confidentiality: Confidentiality::Open,
        officer: Officer {
            name: "Kim".into(),
            title: "Inspector".into(),
            address: "Seoul".into(),
            email: "k@police.example".into(),
            phone: "+82-2-112".into(),
        },
        decisions: vec![decided(DecisionRole::Requested, "ji-woo"), decided(DecisionRole::Approved, "min-jun")],
        issued_at: now() - Duration::DAY,
        budgets: Budgets { max_questions: 0, max_legs_per_hour: 1 },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_is_printed_as_a_page_that_says_everything_and_is_verified_without_a_network() {
    let office = Office::open().await;
    let page = office.print().await;
    assert_eq!(page.code(), 0, "{page:?}");
    for word in [
        "Upbit (upbit)",
        "Compliance desk, +82-2-1",
        "FREEZE",
        ROOT,
        "eip155:1/slip44:60",
        "500 in the asset's smallest unit",
        "the balance, and what is credited later",
        "2026-412 of knp, cyber-1",
        "warrant: Criminal Procedure Act, Art. 215",
        "2026-10412, Seoul Central District Court",
        &"ab".repeat(32),
        "approved by",
        "min-jun at",
        "Inspector, Kim, +82-2-112",
        &office.freeze.public_key().key_id(),
        &office.authorise.public_key().key_id(),
        "leaf 0 of 1 in police.example/freeze",
        &leg().to_string(),
    ] {
        assert!(page.out().contains(word), "{word} in {}", page.out());
    }
    let verified = office.verify(page.out()).await;
    assert_eq!(verified.code(), 0, "{verified:?}");
    assert!(verified.out().ends_with("VERIFIED\n") && verified.out().matches("good").count() == 4, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_into_a_file_and_programs_get_the_same() {
    let office = Office::open().await;
    let file = office.world.path("order.txt").display().to_string();
    let ran = office.world.haetae(&["freeze", "order", &leg().to_string(), "--out", &file]).await;
    assert_eq!((ran.code(), ran.out().starts_with("freeze order of leg")), (0, true), "{ran:?}");
    let ran = office.world.haetae(&["order", "verify", &file, "--json"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let json = ran.json();
    assert_eq!((&json["verified"], &json["wanted"], &json["expired"]), (&true.into(), &"freeze".into(), &false.into()));
    assert_eq!(json["checks"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_tampered_with_is_not_verified_and_it_says_where() {
    let office = Office::open().await;
    let page = office.print().await.out().to_owned();
    let bad = async |page: &str, check: &str| {
        let ran = office.verify(page).await;
        assert_eq!(ran.code(), 1, "{ran:?}");
        let line = ran.out().lines().find(|line| line.starts_with(check)).unwrap_or_default();
        assert!(line.contains("BAD") && ran.out().contains("NOT VERIFIED"), "{check}: {ran:?}");
    };
    bad(&page.replacen("500 in the", "900 in the", 1), "words").await;

    // Somebody else's signature, no proof, more than was authorised.
    let reprinted = |signed: &SignedOrder| {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.encode(prost::Message::encode_to_vec(signed));
        let (head, _) = page.split_once("-----BEGIN").unwrap();
        format!("{head}-----BEGIN HAETAE SIGNED ORDER-----\n{bytes}\n-----END HAETAE SIGNED ORDER-----\n")
    };
    let stranger = SigningKey::generate(Algorithm::Ed25519);
    bad(&reprinted(&office.signed(&order(), &stranger)), "signatures").await;
    let good = office.signed(&order(), &office.freeze);
    bad(&reprinted(&SignedOrder { inclusion: None, ..good }), "proof").await;
    let scope = FreezeScope::BalanceAndLaterCredits;
    let desired = Desired::Frozen { cap: Amount::from(501u64), until: now() + Duration::days(10), scope };
    bad(&reprinted(&office.signed(&Order { desired, ..order() }, &office.freeze)), "within").await;

    let ran = office.verify("a page without an order").await;
    assert_eq!((ran.code(), ran.out()), (1, ""), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_time_is_over_is_shown_as_such() {
    let office = Office::open().await;
    let late = Order { issued_at: now() - Duration::HOUR, expires_at: now() - Duration::minutes(50), ..order() };
    office.hands_out(office.signed(&late, &office.freeze));
    let page = office.print().await;
    assert!(page.code() == 0 && page.err().contains("is over"), "{page:?}");
    let verified = office.verify(page.out()).await;
    assert_eq!(verified.code(), 0, "{verified:?}");
    assert!(verified.out().contains("EXPIRED"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_to_be_believed_is_not_printed() {
    let office = Office::open().await;
    office.hands_out(office.signed(&order(), &SigningKey::generate(Algorithm::Ed25519)));
    let ran = office.print().await;
    assert_eq!((ran.code(), ran.out()), (1, ""), "{ran:?}");
    assert!(ran.err().contains("not to be believed"), "{ran:?}");

    let other = office.world.haetae(&["freeze", "order", &Uuid::from_u128(9).to_string()]).await;
    assert_eq!(other.code(), 1, "the order of another leg");
}
