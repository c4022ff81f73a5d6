//! What is signed when a request is granted.

use std::num::NonZeroU32;

use haetae_core::{
    Act, Authorisation, Desired, ExchangeId, FreezeScope, LegId, Moment, Order, OrderKind, Subject, Target, within,
};
use haetae_wire::{
    freeze::v1 as freeze_wire,
    intake::v1::{self, request_content::Kind},
    signed,
};
use prost::Message;

use super::scene::*;
use crate::follow;

/// The authorisations in the log, opened with the pinned key.
async fn authorisations(scene: &Scene) -> Vec<Authorisation> {
    let entries = scene.entries("authorisation").await;
    entries
        .iter()
        .map(|(audience, payload)| {
            let opened = signed::open_authorisation(payload, &scene.intake.keyring).unwrap();
            assert_eq!(audience.as_deref(), Some(opened.exchange.as_str()), "each exchange sees its own only");
            opened
        })
        .collect()
}

async fn fact(scene: &Scene) -> v1::RequestGranted {
    let (_, payload) = scene.entries("request-granted").await.pop().unwrap();
    v1::RequestGranted::decode(payload.as_slice()).unwrap()
}

fn names(authorisations: &[Authorisation]) -> Vec<&str> {
    authorisations.iter().map(|authorisation| authorisation.exchange.as_str()).collect()
}

#[tokio::test]
async fn a_watch_that_freezes_authorises_both_at_every_exchange_on_its_chain() {
    let scene = Scene::new().await;
    let request = scene.granted(watch()).await;
    let signed = authorisations(&scene).await;
    assert_eq!(names(&signed), ["bithumb", "upbit"], "korbit is on another chain and is told nothing");
    let told = fact(&scene).await;
    assert_eq!(told.watch_id, request.watch_id);
    assert_eq!(told.authorisations, request.authorisations);
    assert_eq!(told.content.as_ref().unwrap().exchanges, ["bithumb", "upbit"]);
    let Some(Kind::Watch(content)) = told.content.unwrap().kind else { panic!("not a watch") };
    assert_eq!(content.limits.unwrap().max_hops, 30, "what was left open is the basis' own");

    for one in &signed {
        assert_eq!(one.act, Act::Grant);
        assert_eq!(one.line, one.id);
        assert_eq!(one.permitted, [OrderKind::ConfirmAddress, OrderKind::Freeze].into());
        assert!(matches!(&one.subject, Subject::Watch { watch, .. } if watch.to_string() == request.watch_id));
        assert_eq!(one.caps.values().map(ToString::to_string).collect::<Vec<_>>(), ["900"]);
        assert_eq!(one.decisions.len(), 2);
        assert!(one.ground.citation.contains("Article 215"));
        let document = one.ground.document.as_ref().unwrap();
        assert!(one.valid_until <= document.valid_until);
        assert_eq!(one.freeze_until, Some(one.valid_from + time::Duration::days(30)));
        assert_eq!((one.budgets.max_questions, one.budgets.max_legs_per_hour), (2000, 100));
    }
}

#[tokio::test]
async fn the_authorisations_stand_in_the_log_before_the_grant_that_names_them() {
    let scene = Scene::new().await;
    scene.granted(watch()).await;
    let kinds: Vec<String> = sqlx::query_scalar("select kind from ledger.entry order by id")
        .fetch_all(scene.intake.log.pool())
        .await
        .unwrap();
    assert_eq!(kinds, ["request-submitted", "request-approved", "authorisation", "authorisation", "request-granted"]);
}

#[tokio::test]
async fn orders_are_issued_no_longer_than_the_document_is_valid() {
    let scene = Scene::new().await;
    let content = v1::RequestContent { ..freeze() };
    scene.granted(content).await;
    let one = authorisations(&scene).await.pop().unwrap();
    assert_eq!(Some(one.valid_until), one.ground.document.as_ref().map(|document| document.valid_until));
    assert!(one.freeze_until.unwrap() > one.valid_until, "what was frozen stays frozen");
}

#[tokio::test]
async fn a_freeze_of_two_accounts_authorises_both_caps_together() {
    let scene = Scene::new().await;
    scene.granted(freeze()).await;
    let one = authorisations(&scene).await.pop().unwrap();
    assert_eq!(one.permitted, [OrderKind::Freeze].into());
    assert_eq!(one.caps.values().map(ToString::to_string).collect::<Vec<_>>(), ["1000"]);
    assert_eq!(one.budgets.max_legs_per_hour, 2);
    let now = Moment::now_utc();
    let target = Target::account(ADDRESS.parse().unwrap());
    let asset = COIN.parse().ok();
    let order = Order {
        recipient: one.exchange.clone(),
        leg: LegId::of(one.line, &one.exchange, &target, asset.as_ref()),
        revision: NonZeroU32::MIN,
        target,
        asset,
        desired: Desired::Frozen {
            cap: "500".parse().unwrap(),
            until: one.freeze_until.unwrap(),
            scope: FreezeScope::BalanceAndLaterCredits,
        },
        issued_at: now,
        expires_at: now + time::Duration::MINUTE,
        arrivals: Vec::new(),
        hop: None,
    };
    assert_eq!(within(&order, &one), Ok(()), "freeze can order what was granted");
}

#[tokio::test]
async fn a_question_is_put_to_the_exchanges_named() {
    let scene = Scene::new().await;
    let content = v1::RequestContent { exchanges: vec!["upbit".to_owned()], ..confirm() };
    scene.submit(JI_WOO, content).await.unwrap();
    let signed = authorisations(&scene).await;
    assert_eq!(names(&signed), ["upbit"]);
    assert_eq!(signed[0].permitted, [OrderKind::ConfirmAddress].into());
    assert!(signed[0].caps.is_empty() && signed[0].freeze_until.is_none());
}

#[tokio::test]
async fn how_old_the_transaction_may_be_that_a_watch_begins_with_is_granted_with_it() {
    let scene = Scene::new().await;
    let hash = format!("0x{}", "ab".repeat(32));
    let start = Some(v1::watch::Start::Transaction(hash.clone()));
    let before = Moment::now_utc();
    scene.granted(under("warrant", Kind::Watch(v1::Watch { start, ..watch_terms() }))).await;
    let fact = fact(&scene).await;
    let Some(Kind::Watch(granted)) = fact.content.unwrap().kind else { panic!("a watch was granted") };
    assert_eq!(granted.start, Some(v1::watch::Start::Transaction(hash)));
    let hours = (before.unix_timestamp() - fact.watch_not_before.unwrap().seconds) / 3_600;
    assert!((719..=720).contains(&hours), "{hours}");
}

fn standing(watch: &v1::Request, cap: &str) -> v1::RequestContent {
    under(
        "warrant",
        Kind::StandingFreeze(v1::StandingFreeze {
            watch_id: watch.watch_id.clone(),
            terms: Some(v1::StandingFreezeTerms {
                caps: vec![amount(COIN, cap)],
                freeze_period: days(20),
                ..v1::StandingFreezeTerms::default()
            }),
        }),
    )
}

#[tokio::test]
async fn a_standing_freeze_is_armed_on_a_watch_of_the_same_case_within_what_was_stolen() {
    let scene = Scene::new().await;
    let watching = v1::Watch { standing_freeze: None, ..watch_terms() };
    let watch = scene.granted(under("warrant", Kind::Watch(watching))).await;
    let status = scene.submit(JI_WOO, standing(&watch, "1001")).await.unwrap_err();
    assert_eq!(refused_as(&status), "CAP_OVER_LIMIT");
    let status = scene.submit(SEO_YEON, standing(&watch, "700")).await.unwrap_err();
    assert_eq!(refused_as(&status), "NOT_FOUND", "another unit's watch");
    let other_case = v1::RequestContent { case_number: "2026-7".to_owned(), ..standing(&watch, "700") };
    assert!(scene.submit(JI_WOO, other_case).await.is_err());

    scene.granted(standing(&watch, "700")).await;
    assert_eq!(fact(&scene).await.watch_id, watch.watch_id);
    let signed = authorisations(&scene).await;
    let armed: Vec<_> = signed.iter().filter(|one| one.permitted == [OrderKind::Freeze].into()).collect();
    assert_eq!(armed.len(), 2);
    let watching = signed.iter().find(|one| one.permitted == [OrderKind::ConfirmAddress].into()).unwrap();
    assert!(armed.iter().all(|one| one.subject == watching.subject && one.valid_until <= watching.valid_until));
}

#[tokio::test]
async fn a_release_needs_approval_and_cancels_the_line_that_froze() {
    let scene = Scene::new().await;
    let frozen = scene.granted(freeze()).await;
    let status = scene.submit(SEO_YEON, release(&frozen.request_id, &[])).await.unwrap_err();
    assert_eq!(refused_as(&status), "NOT_FOUND");
    let released = scene.submit(JI_WOO, release(&frozen.request_id, &[])).await.unwrap();
    assert_eq!(released.approvals_needed, 1);
    scene.approve(MIN_JUN, &released.request_id).await.unwrap();
    let [granted, cancelled] = authorisations(&scene).await.try_into().unwrap();
    assert_eq!(cancelled.act, Act::Cancel { legs: [].into() });
    assert_eq!((cancelled.line, cancelled.amendment), (granted.line, 2));
    assert_eq!(cancelled.request.to_string(), released.request_id);
    let status = scene.submit(JI_WOO, release(&frozen.request_id, &[])).await.unwrap_err();
    assert_eq!(refused_as(&status), "WRONG_STATE", "it is released already");
}

#[tokio::test]
async fn releasing_leg_by_leg_never_takes_back_an_earlier_release() {
    let scene = Scene::new().await;
    scene.follow(follow::Freeze(scene.intake.clone()));
    let frozen = scene.granted(freeze()).await;
    let exchange: ExchangeId = "upbit".parse().unwrap();
    let unknown = LegId::of(some_line(), &exchange, &Target::account(ADDRESS.parse().unwrap()), None).to_string();
    let status = scene.submit(JI_WOO, release(&frozen.request_id, &[unknown])).await.unwrap_err();
    assert_eq!(refused_as(&status), "NOT_FOUND");

    let legs: Vec<String> = [ADDRESS, OTHER]
        .map(|account| {
            let line = frozen.authorisations[0].authorisation_id.parse().unwrap();
            LegId::of(line, &exchange, &Target::account(account.parse().unwrap()), COIN.parse().ok().as_ref())
                .to_string()
        })
        .into();
    for leg in &legs {
        let leg = freeze_wire::Leg {
            leg_id: leg.clone(),
            request_id: frozen.request_id.clone(),
            desired: freeze_wire::DesiredState::Frozen.into(),
            ..freeze_wire::Leg::default()
        };
        scene.says("leg", &freeze_wire::LegChanged { leg: Some(leg) }).await;
    }
    scene.until(&frozen.request_id, v1::RequestState::InEffect).await;
    // Both are known when the second has been taken in.
    let known = async {
        while sqlx::query_scalar::<_, i64>("select count(*) from leg").fetch_one(scene.intake.log.pool()).await.unwrap()
            < 2
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), known).await.unwrap();
    for leg in &legs {
        scene.granted(release(&frozen.request_id, std::slice::from_ref(leg))).await;
    }
    let last = authorisations(&scene).await.pop().unwrap();
    assert_eq!(last.amendment, 3);
    let Act::Cancel { legs: released } = last.act else { panic!("not a cancellation") };
    assert_eq!(released.len(), 2);
}
