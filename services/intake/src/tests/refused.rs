//! What is refused, with which reason, and that it changes nothing.

use haetae_core::Moment;
use haetae_wire::{
    convert::timestamp,
    exchange::v1::TaintRule,
    intake::v1::{self, intake_service_server::IntakeService, request_content::Kind},
};
use uuid::Uuid;

use super::scene::*;

/// Submits, expects a refusal that leaves everything as it was, and tells the fields at fault.
async fn refusal(scene: &Scene, content: v1::RequestContent) -> Vec<(String, String)> {
    let before = scene.weight().await;
    let status = scene.submit(JI_WOO, content).await.unwrap_err();
    assert_eq!(scene.weight().await, before, "a refusal changes nothing");
    let (explained, fields) = faults(&status);
    let fields: Vec<_> = fields.into_iter().collect();
    if let [(_, only)] = fields.as_slice() {
        assert_eq!(explained.reason.as_ref(), Some(only), "a single fault gives the call its reason");
    } else {
        assert_eq!(explained.reason.as_deref(), Some("INVALID_REQUEST"), "several faults have one name together");
    }
    fields
}

fn fault(field: &str, reason: &str) -> Vec<(String, String)> {
    vec![(format!("content.{field}"), reason.to_owned())]
}

#[tokio::test]
async fn every_bad_content_is_refused_with_its_own_reason() {
    let scene = Scene::new().await;
    let confirming =
        |account: &str| under("warrant", Kind::ConfirmAddress(v1::ConfirmAddress { target: target(account) }));
    let watching = |change: &dyn Fn(&mut v1::Watch)| {
        let mut terms = watch_terms();
        change(&mut terms);
        under("warrant", Kind::Watch(terms))
    };
    let freezing = |change: &dyn Fn(&mut v1::Freeze)| {
        let mut terms = freeze_terms();
        change(&mut terms);
        v1::RequestContent { exchanges: vec!["upbit".to_owned()], ..under("warrant", Kind::Freeze(terms)) }
    };
    let changed = |change: &dyn Fn(&mut v1::RequestContent)| {
        let mut content = confirm();
        change(&mut content);
        content
    };
    let expired = timestamp(Moment::now_utc() - time::Duration::MINUTE);
    let over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let too_much = "1000000000000000000000001";
    let elsewhere = "eip155:1/slip44:60";
    // No exchange takes deposits on this chain; Korbit takes them on another than the addresses are on.
    let (on_nobodys, nobodys_coin) = (ADDRESS.replace(CHAIN, "eip155:999"), "eip155:999/slip44:60");
    let to_korbit = || vec!["upbit".to_owned(), "korbit".to_owned()];

    let start = v1::watch::Start::Transaction;
    let begun = |at: Moment| Some(v1::watch::Start::Since(timestamp(at)));
    let (soon, long_ago) = (Moment::now_utc() + time::Duration::HOUR, Moment::now_utc() - time::Duration::days(31));

    for (content, expected) in [
        (watching(&|terms| terms.start = begun(soon)), fault("watch.since", "FIELD_MALFORMED")),
        (watching(&|terms| terms.start = begun(long_ago)), fault("watch.since", "PERIOD_OVER_LIMIT")),
        (watching(&|terms| terms.start = Some(start("ab".repeat(32)))), fault("watch.transaction", "FIELD_MALFORMED")),
        (watching(&|terms| terms.start = Some(start(String::new()))), fault("watch.transaction", "FIELD_MISSING")),
        (confirming("eip155:31337:0x5aAeb6053F3E"), fault("confirm_address.target.account", "ADDRESS_MALFORMED")),
        (
            confirming("eip155:31337:0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
            fault("confirm_address.target.account", "ADDRESS_CHECKSUM"),
        ),
        (confirming("bip122:0:bc1qxyz"), fault("confirm_address.target.account", "CHAIN_NOT_SUPPORTED")),
        (
            confirming("bip122:000000000019d6689c085ae165831e93:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
            fault("confirm_address.target.account", "CHAIN_NOT_SUPPORTED"),
        ),
        (confirming(&on_nobodys), fault("confirm_address.target.account", "CHAIN_NOT_SUPPORTED")),
        (
            watching(&|terms| {
                terms.root = target(&on_nobodys);
                terms.stolen[0].asset = nobodys_coin.into();
                terms.standing_freeze.as_mut().unwrap().caps[0].asset = nobodys_coin.into();
            }),
            fault("watch.root.account", "CHAIN_NOT_SUPPORTED"),
        ),
        (
            watching(&|terms| {
                let tron = "tron:728126428/slip44:195";
                terms.root = target("tron:728126428:TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t");
                terms.stolen[0].asset = tron.into();
                terms.standing_freeze.as_mut().unwrap().caps[0].asset = tron.into();
                terms.taint_rule = TaintRule::Haircut.into();
            }),
            vec![
                ("content.watch.root.account".into(), "CHAIN_NOT_SUPPORTED".into()),
                ("content.watch.taint_rule".into(), "TAINT_RULE_NOT_SUPPORTED".into()),
            ],
        ),
        (
            freezing(&|terms| {
                terms.targets = vec![target(&on_nobodys).unwrap()];
                terms.caps[0].asset = nobodys_coin.into();
            }),
            fault("freeze.targets[0].account", "CHAIN_NOT_SUPPORTED"),
        ),
        (changed(&|content| content.exchanges = to_korbit()), fault("exchanges[1]", "WRONG_CHAIN")),
        (v1::RequestContent { exchanges: to_korbit(), ..watch() }, fault("exchanges[1]", "WRONG_CHAIN")),
        (v1::RequestContent { exchanges: to_korbit(), ..freeze() }, fault("exchanges[1]", "WRONG_CHAIN")),
        (freezing(&|terms| terms.caps[0].amount = "-1".into()), fault("freeze.caps[0].amount", "AMOUNT_MALFORMED")),
        (freezing(&|terms| terms.caps[0].amount = "1.5".into()), fault("freeze.caps[0].amount", "AMOUNT_MALFORMED")),
        (freezing(&|terms| terms.caps[0].amount = over.into()), fault("freeze.caps[0].amount", "AMOUNT_MALFORMED")),
        (freezing(&|terms| terms.caps[0].amount = "0".into()), fault("freeze.caps[0].amount", "AMOUNT_ZERO")),
        (freezing(&|terms| terms.caps[0].amount = too_much.into()), fault("freeze.caps[0].amount", "CAP_OVER_LIMIT")),
        (freezing(&|terms| terms.freeze_period = days(91)), fault("freeze.freeze_period", "PERIOD_OVER_LIMIT")),
        (freezing(&|terms| terms.freeze_period = days(0)), fault("freeze.freeze_period", "FIELD_MALFORMED")),
        (freezing(&|terms| terms.caps.push(amount(elsewhere, "5"))), fault("freeze.caps[1].asset", "WRONG_CHAIN")),
        (watching(&|terms| terms.stolen.push(amount(elsewhere, "5"))), fault("watch.stolen[1].asset", "WRONG_CHAIN")),
        (watching(&|terms| terms.period = days(91)), fault("watch.period", "PERIOD_OVER_LIMIT")),
        (
            watching(&|terms| terms.limits = Some(v1::WatchLimits { max_hops: 31, ..Default::default() })),
            fault("watch.limits.max_hops", "LIMIT_OVER_LIMIT"),
        ),
        (
            watching(&|terms| terms.standing_freeze.as_mut().unwrap().caps[0].amount = "1001".into()),
            fault("watch.standing_freeze.caps[0].amount", "CAP_OVER_LIMIT"),
        ),
        (changed(&|content| content.legal_basis = "habit".into()), fault("legal_basis", "UNKNOWN_LEGAL_BASIS")),
        (
            v1::RequestContent { legal_basis: "information-request".into(), ..freeze() },
            vec![
                ("content.freeze.caps[0].amount".into(), "CAP_OVER_LIMIT".into()),
                ("content.freeze.freeze_period".into(), "PERIOD_OVER_LIMIT".into()),
                ("content.legal_basis".into(), "KIND_NOT_ALLOWED".into()),
            ],
        ),
        (changed(&|content| content.legal_basis = "operations".into()), fault("legal_basis", "KIND_NOT_ALLOWED")),
        (changed(&|content| content.document = None), fault("document", "DOCUMENT_MISSING")),
        (
            changed(&|content| content.document.as_mut().unwrap().valid_until = Some(expired)),
            fault("document", "DOCUMENT_EXPIRED"),
        ),
        (changed(&|content| content.exchanges = vec!["mtgox".into()]), fault("exchanges[0]", "UNKNOWN_EXCHANGE")),
        (v1::RequestContent { exchanges: Vec::new(), ..freeze() }, fault("exchanges", "FIELD_MISSING")),
        (changed(&|content| content.officer = None), fault("officer", "FIELD_MISSING")),
        (changed(&|content| content.case_number = "x".repeat(201)), fault("case_number", "FIELD_MALFORMED")),
        (changed(&|content| content.kind = None), fault("kind", "FIELD_MISSING")),
        (release(&Uuid::new_v4().to_string(), &[]), fault("release.frozen_by_request_id", "NOT_FOUND")),
        (
            under("operations", Kind::Resume(v1::Resume { scope: halt_scope("upbit") })),
            fault("resume.scope", "WRONG_STATE"),
        ),
    ] {
        assert_eq!(refusal(&scene, content).await, expected);
    }
}

#[tokio::test]
async fn several_faults_of_form_and_law_come_in_one_answer() {
    let scene = Scene::new().await;
    let mut content = freeze();
    content.summary = String::new();
    content.document.as_mut().unwrap().valid_until = Some(timestamp(Moment::now_utc() - time::Duration::MINUTE));
    content.exchanges.push("mtgox".to_owned());
    let Some(Kind::Freeze(terms)) = &mut content.kind else { unreachable!() };
    terms.targets[0].account = "nonsense".to_owned();
    terms.caps[0].amount = "+5".to_owned();
    terms.freeze_period = days(1_000);
    let found = refusal(&scene, content).await;
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "content.document",
            "content.exchanges[1]",
            "content.freeze.caps[0].amount",
            "content.freeze.freeze_period",
            "content.freeze.targets[0].account",
            "content.summary",
        ]
    );
}

#[tokio::test]
async fn an_id_used_for_other_content_is_refused_whoever_comes_with_it() {
    let scene = Scene::new().await;
    let id = Uuid::new_v4().to_string();
    scene.submit_as(&id, JI_WOO, confirm()).await.unwrap();
    let before = scene.weight().await;
    for who in [JI_WOO, DO_YUN, SEO_YEON] {
        let status = scene.submit_as(&id, who, watch()).await.unwrap_err();
        assert_eq!(refused_as(&status), "REQUEST_ID_REUSED");
    }
    assert_eq!(scene.weight().await, before);
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_however_it_is_spelled() {
    let scene = Scene::new().await;
    let id = Uuid::new_v4().to_string();
    let first = scene.submit_as(&id, JI_WOO, confirm()).await.unwrap();
    let before = scene.weight().await;
    let lower = ADDRESS.to_lowercase();
    let again = under("warrant", Kind::ConfirmAddress(v1::ConfirmAddress { target: target(&lower) }));
    let again = v1::RequestContent { document: confirm_document(&first), ..again };
    assert_eq!(scene.submit_as(&id, JI_WOO, again).await.unwrap(), first);
    assert_eq!(scene.weight().await, before, "it happened once");
}

/// The document that was sent, its moments included.
fn confirm_document(request: &v1::Request) -> Option<haetae_wire::exchange::v1::Document> {
    request.content.as_ref().unwrap().document.clone()
}

#[tokio::test]
async fn nobody_approves_what_they_asked_for_nor_without_the_role_nor_twice() {
    let scene = Scene::new().await;
    let watch = scene.submit(JI_WOO, watch()).await.unwrap();
    let before = scene.weight().await;
    for (who, reason) in [(JI_WOO, "SELF_APPROVAL"), (DO_YUN, "ROLE_MISSING"), (SEO_YEON, "NOT_FOUND")] {
        let status = scene.approve(who, &watch.request_id).await.unwrap_err();
        assert_eq!(refused_as(&status), reason, "{}", who.id);
    }
    assert_eq!(scene.weight().await, before);
    scene.approve(MIN_JUN, &watch.request_id).await.unwrap();
    let status = scene.approve(MIN_JUN, &watch.request_id).await.unwrap_err();
    assert_eq!(refused_as(&status), "WRONG_STATE");
}

#[tokio::test]
async fn an_investigator_does_not_halt_and_an_approver_does_not_submit() {
    let scene = Scene::new().await;
    let halt = under("operations", Kind::Halt(v1::Halt { scope: halt_scope("upbit") }));
    assert_eq!(refused_as(&scene.submit(DO_YUN, halt).await.unwrap_err()), "ROLE_MISSING");
    assert_eq!(refused_as(&scene.submit(MIN_JUN, watch()).await.unwrap_err()), "ROLE_MISSING");
}

#[tokio::test]
async fn a_read_without_a_purpose_or_of_another_unit_is_refused_and_not_recorded() {
    let scene = Scene::new().await;
    let request = scene.submit(JI_WOO, confirm()).await.unwrap().request_id;
    let before = scene.weight().await;
    let read = |purpose: &str| v1::GetRequestRequest { request_id: request.clone(), purpose: purpose.to_owned() };
    for purpose in ["", "  "] {
        let status = scene.api.get_request(JI_WOO.calls(read(purpose))).await.unwrap_err();
        assert_eq!(refused_as(&status), "PURPOSE_MISSING");
    }
    let status = scene.api.get_request(SEO_YEON.calls(read("curiosity"))).await.unwrap_err();
    assert_eq!(refused_as(&status), "NOT_FOUND");
    let missing = v1::FollowUpdatesRequest::default();
    assert_eq!(refused_as(&scene.api.follow_updates(JI_WOO.calls(missing)).await.err().unwrap()), "PURPOSE_MISSING");
    let missing = v1::ListExchangesRequest::default();
    assert_eq!(refused_as(&scene.api.list_exchanges(JI_WOO.calls(missing)).await.unwrap_err()), "PURPOSE_MISSING");
    assert_eq!(scene.weight().await, before);
}
