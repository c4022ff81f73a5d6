//! A victim holds a transaction of a while ago. The money has moved on since, and lies at an exchange by now.

use std::time::Duration;

use haetae_tests::agency::{under_warrant, watch_and_freeze};
use haetae_tests::chain::{ETHER, address};
use haetae_tests::{Actor, COIN, Options, Who, until};
use haetae_wire::exchange::v1::LegState;
use haetae_wire::intake::v1::{EndWatch, request_content::Kind, watch::Start};

use crate::alone;
use crate::labels::by;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_theft_of_a_while_ago_is_followed_to_where_the_money_is_and_frozen_there() {
    let alone = alone(Options::default()).await;
    let mesh = &alone.mesh;
    let chain = &mesh.chain;
    let [victim, thief, second] = ["victim", "thief", "second"].map(Actor::named);
    for wallet in [&victim, &thief, &second] {
        chain.give_coins(wallet.address(), 20 * ETHER).await.unwrap();
    }
    let deposit = mesh.customers.open("bithumb", "thief").await.unwrap();
    let theft = chain.send_coins(&victim, thief.address(), 10 * ETHER).await.unwrap();
    chain.send_coins(&thief, second.address(), 8 * ETHER).await.unwrap();
    chain.send_coins(&second, address(&deposit).unwrap(), 6 * ETHER).await.unwrap();

    // Asked for with the transaction, at the thief's address, and approved by another.
    let (asks, approves) = (mesh.people.agency(Who::JiWoo), mesh.people.agency(Who::MinJun));
    let Kind::Watch(watch) = watch_and_freeze(&thief.account(), &[(COIN, 10 * ETHER)], &[(COIN, ETHER / 100)]) else {
        panic!("it is a watch");
    };
    let start = Some(Start::Transaction(theft.to_string()));
    let kind = Kind::Watch(haetae_wire::intake::v1::Watch { start, ..watch });
    let request = asks.submit(under_warrant(kind)).await.unwrap();
    let request = approves.approve(&request.request_id).await.unwrap();
    let frozen = until("six ether are frozen", PATIENCE, async || {
        let legs = asks.legs(&request.request_id).await.unwrap_or_default();
        Ok(legs.into_iter().find(|leg| leg.reported() == LegState::FrozenFull))
    });
    let leg = frozen.await.unwrap();
    assert_eq!((leg.exchange.as_str(), leg.frozen_amount.as_str()), ("bithumb", (6 * ETHER).to_string().as_str()));

    // Where it stands, as the command line shows it.
    let (code, listed, text) = by(Who::JiWoo, mesh, &["watch", "list", "--state", "active"]).await;
    assert_eq!(code, 0, "{text}");
    let watch = listed["watches"][0]["watch"]["watch_id"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned();
    assert_eq!(watch, request.watch_id);
    let (code, ends, text) = by(Who::JiWoo, mesh, &["watch", "ends", &watch, "--reason", "held"]).await;
    assert_eq!(code, 0, "{text}");
    let held = &ends["places"][0];
    assert_eq!((held["exchange"].as_str(), held["account"].as_str()), (Some("bithumb"), Some(deposit.as_str())));
    let (code, newest, text) = by(Who::JiWoo, mesh, &["watch", "show", &watch, "--newest", "1"]).await;
    assert!(code == 0 && newest["items"].as_array().is_some_and(|items| items.len() == 1), "{text}");

    // And it is ended before its period is over.
    let end = asks.submit(under_warrant(Kind::EndWatch(EndWatch { watch_id: watch.clone() }))).await.unwrap();
    approves.approve(&end.request_id).await.ok();
    until("it has ended", PATIENCE, async || {
        let (_, listed, _) = by(Who::JiWoo, mesh, &["watch", "list", "--state", "ended"]).await;
        Ok((listed["watches"][0]["watch"]["watch_id"] == watch.as_str()).then_some(()))
    })
    .await
    .unwrap();
}
