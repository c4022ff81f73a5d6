use std::{collections::BTreeSet, num::NonZeroU32};

use haetae_core::{
    Confirmation as Said, ConfirmationAnswer, LegId, LegReport, LegState, Moment, Receipt, WalletRole as Role,
};
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_wire::{
    exchange::v1::{ConfirmAddress, Envelope, Order, Target, WalletRole, order::Desired},
    intake::v1::{
        FollowUpdatesResponse, RequestState, follow_updates_response::Update,
        intake_service_server::IntakeServiceServer, request_content::Kind,
    },
    signed::{order_identity, sign_receipt},
    tracking::v1::{Answer, Conclusion, Confirmation, ConfirmationLine},
};

use prost::Message;

use crate::{
    intake::Intake,
    world::{ROOT, Running, World},
};

/// A mesh with two exchanges whose keys are pinned.
struct Mesh {
    world: World,
    intake: Intake,
    _running: Running,
    upbit: SigningKey,
    korbit: SigningKey,
}

impl Mesh {
    async fn start() -> Self {
        let (world, intake) = (World::new(), Intake::default());
        let running = Running::start(world.server().add(IntakeServiceServer::new(intake.clone()))).await;
        let officer =
            "[officer]\nname = \"Kim\"\ntitle = \"Inspector\"\naddress = \"Seoul\"\nemail = \"a@b\"\nphone = \"1\"";
        world.profile(running.at, "registry = \"exchanges.toml\"\ndefault_case = \"2026-1\"", officer);
        let [upbit, korbit] = [(); 2].map(|()| SigningKey::generate(Algorithm::Ed25519));
        let exchange = |id: &str, key: &SigningKey| {
            format!(
                "[[exchange]]\nid = \"{id}\"\ndisplay_name = \"{id}\"\nendpoints = [\"https://{id}.example\"]\n\
                 server_name = \"{id}.example\"\nca = \"ca.crt\"\nconfirm_within = \"2s\"\nfreeze_within = \"2s\"\n\
                 chains = [\"eip155:1\"]\n[[exchange.key]]\npublic_key = '''{}'''\n",
                key.public_key().to_spki_pem()
            )
        };
        let registry = format!("{}{}[agency]\n", exchange("upbit", &upbit), exchange("korbit", &korbit));
        world.write("exchanges.toml", &registry);
        intake.with(|script| script.state = RequestState::InEffect);
        Self { world, intake, _running: running, upbit, korbit }
    }

    fn will_answer(&self, steps: impl IntoIterator<Item = (Conclusion, Vec<ConfirmationLine>)>) {
        let confirmation = |(conclusion, lines): (Conclusion, Vec<ConfirmationLine>)| Confirmation {
            target: Some(Target { account: ROOT.into(), memo: String::new() }),
            conclusion: conclusion.into(),
            lines,
            ..Default::default()
        };
        self.intake.with(|script| script.confirmations = steps.into_iter().map(confirmation).collect());
    }
}

fn pending(exchange: &str) -> ConfirmationLine {
    ConfirmationLine { exchange: exchange.into(), answer: Answer::Pending.into(), ..Default::default() }
}

fn about() -> Option<Target> {
    Some(Target { account: ROOT.into(), memo: String::new() })
}

/// The question as the exchange was asked it.
fn question(exchange: &str) -> Vec<u8> {
    let order = Order {
        recipient: exchange.into(),
        leg_id: LegId(uuid::Uuid::from_u128(1)).to_string(),
        revision: 1,
        target: about(),
        desired: Some(Desired::ConfirmAddress(ConfirmAddress {})),
        ..Order::default()
    };
    Envelope { payload: order.encode_to_vec(), ..Envelope::default() }.encode_to_vec()
}

fn signed(exchange: &str, key: &SigningKey, held: bool) -> ConfirmationLine {
    let (said, answer) = match held {
        true => (ConfirmationAnswer::Held, Answer::Held),
        false => (ConfirmationAnswer::NotHeld, Answer::NotHeld),
    };
    let receipt = Receipt {
        exchange: exchange.parse().unwrap(),
        report: LegReport {
            leg: LegId(uuid::Uuid::from_u128(1)),
            revision: NonZeroU32::MIN,
            order_sha256: order_identity(&question(exchange)),
            state: LegState::Answered,
            frozen: None,
            refusal: None,
            confirmation: Some(Said {
                answer: said,
                as_of: Moment::UNIX_EPOCH,
                wallets_searched: BTreeSet::from([Role::CustomerDeposit]),
                wallet_role: held.then_some(Role::CustomerDeposit),
            }),
            holder: None,
        },
        at: Moment::UNIX_EPOCH,
    };
    ConfirmationLine {
        exchange: exchange.into(),
        answer: answer.into(),
        wallet_role: if held { WalletRole::CustomerDeposit.into() } else { 0 },
        statement: sign_receipt(&receipt, key),
        target: about(),
        order: question(exchange),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_confirmed_by_the_exchanges_own_signature() {
    let mesh = Mesh::start().await;
    mesh.will_answer([
        (Conclusion::Open, vec![pending("upbit"), pending("korbit")]),
        (Conclusion::Held, vec![signed("upbit", &mesh.upbit, true), pending("korbit")]),
        (Conclusion::Held, vec![signed("upbit", &mesh.upbit, true), signed("korbit", &mesh.korbit, false)]),
    ]);
    let update = Update::Confirmation(pending("upbit"));
    let updates = vec![Ok(FollowUpdatesResponse { update: Some(update), ..Default::default() })];
    mesh.intake.with(|script| script.updates = [updates].into());

    let bare = ROOT.rsplit_once(':').unwrap().1;
    let ran = mesh.world.haetae(&["confirm", bare, "--exchange", "upbit", "--wait", "20s"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().ends_with("HELD by upbit\n"), "{ran:?}");
    assert_eq!(ran.out().matches("verified").count(), 2, "{ran:?}");

    let submitted = mesh.intake.with(|script| script.submitted.clone());
    let content = submitted[0].content.clone().unwrap();
    assert_eq!((content.case_number.as_str(), content.legal_basis.as_str()), ("2026-1", "information-request"));
    assert_eq!(content.exchanges, ["upbit"]);
    assert_eq!(content.officer.unwrap().name, "Kim");
    let Some(Kind::ConfirmAddress(confirm)) = content.kind else { panic!("another kind was submitted") };
    assert_eq!(confirm.target.unwrap().account, ROOT);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_hold_it_are_a_conflict() {
    let mesh = Mesh::start().await;
    let both = vec![signed("upbit", &mesh.upbit, true), signed("korbit", &mesh.korbit, true)];
    mesh.will_answer([(Conclusion::Conflict, both)]);
    let ran = mesh.world.haetae(&["confirm", ROOT, "--json"]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["verdict"], "CONFLICT");
    assert_eq!(json["confirmation"]["lines"][0]["answer"], "ANSWER_HELD");
    assert_eq!(json["statements"][1], serde_json::json!({"exchange": "korbit", "checked": "VERIFIED", "fault": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_signed_by_another_exchange_is_not_believed() {
    let mesh = Mesh::start().await;
    mesh.will_answer([(Conclusion::Held, vec![signed("upbit", &mesh.korbit, true)])]);
    let ran = mesh.world.haetae(&["confirm", ROOT]).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.out().contains("NOT BELIEVED") && !ran.out().contains("HELD by"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_address_than_was_typed_is_not_believed() {
    let mesh = Mesh::start().await;
    mesh.will_answer([(Conclusion::Held, vec![signed("upbit", &mesh.upbit, true)])]);
    let ran = mesh.world.haetae(&["confirm", "eip155:1:0x0000000000000000000000000000000000000001"]).await;
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.out().contains("NOT BELIEVED: the exchange answered about another address"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_no_conclusion_and_ends_with_4() {
    let mesh = Mesh::start().await;
    let silent = ConfirmationLine { answer: Answer::Unavailable.into(), ..pending("korbit") };
    mesh.will_answer([(Conclusion::Open, vec![signed("upbit", &mesh.upbit, false), silent])]);
    let ran = mesh.world.haetae(&["confirm", ROOT, "--wait", "100ms"]).await;
    assert_eq!(ran.code(), 4, "{ran:?}");
    assert!(ran.out().contains("UNAVAILABLE") && ran.err().contains("haetae request answers"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_needs_approval_says_so_at_once() {
    let mesh = Mesh::start().await;
    mesh.intake.with(|script| script.state = RequestState::AwaitingApproval);
    mesh.will_answer([(Conclusion::Open, Vec::new())]);
    let ran = mesh.world.haetae(&["confirm", ROOT, "--wait", "1h"]).await;
    assert_eq!(ran.code(), 4, "{ran:?}");
    assert!(ran.out().contains("awaiting approval: 0 of 1 given"), "{ran:?}");
    assert!(ran.err().contains("haetae request approve"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_address_is_not_sent() {
    let mesh = Mesh::start().await;
    let ran = mesh.world.haetae(&["confirm", &ROOT.replacen("EE7", "Ee7", 1)]).await;
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(ran.err().contains("content.confirm_address.target.account") && ran.err().contains("checksum"), "{ran:?}");
    mesh.intake.with(|script| assert!(script.submitted.is_empty()));
}
