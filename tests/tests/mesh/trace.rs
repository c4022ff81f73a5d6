//! What a mesh tells of itself: one trace from the block to the exchange's answer, metrics as they are described, and
//! nothing about anybody.

use std::{collections::BTreeSet, time::Duration};

use haetae_tests::{
    Actor, COIN, Mesh, Options, Who,
    agency::{release, under_warrant, watch_and_freeze},
    chain::{ETHER, address},
    until,
};
use haetae_wire::{exchange::v1::LegState, freeze::v1::Leg, intake::v1::Request, tracking::v1::WatchState};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::Code;

use crate::{
    alone, metrics,
    otlp::{Arrived, Collector, Span},
};

const PATIENCE: Duration = Duration::from_secs(60);

const CASE: &str = "2026-cyber-00412";

/// What is told only when something is amiss, besides counters.
const UNTOLD: [&str; 2] = ["haetae.follower.stopped", "haetae.database.synchronous"];

/// A watch on a thief, who then deposits at an exchange; until the exchange's word that the freeze binds is stored.
async fn bound(mesh: &Mesh, thief: &Actor, deposit: &str) -> (Request, Leg) {
    let (investigator, leader) = (mesh.people.agency(Who::JiWoo), mesh.people.agency(Who::MinJun));
    mesh.chain.give_coins(thief.address(), 10 * ETHER).await.unwrap();
    let kind = watch_and_freeze(&thief.account(), &[(COIN, 5 * ETHER)], &[(COIN, ETHER / 100)]);
    let request = investigator.submit(under_warrant(kind)).await.unwrap();
    let request = leader.approve(&request.request_id).await.unwrap();
    until("the watch is active", PATIENCE, async || match investigator.watch(&request.watch_id).await {
        Ok(watch) => Ok((watch.state() == WatchState::Active).then_some(())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    })
    .await
    .unwrap();
    mesh.chain.send_coins(thief, address(deposit).unwrap(), 5 * ETHER).await.unwrap();
    let leg = until("the freeze binds", PATIENCE, async || {
        let legs = investigator.legs(&request.request_id).await?;
        Ok(legs.into_iter().find(|leg| leg.binding_at.is_some()))
    });
    (request.clone(), leg.await.unwrap())
}

async fn released(mesh: &Mesh, request: &Request, leg: &Leg) {
    let (investigator, leader) = (mesh.people.agency(Who::JiWoo), mesh.people.agency(Who::MinJun));
    let content = under_warrant(release(&request.request_id, vec![leg.leg_id.clone()]));
    let asked = investigator.submit(content).await.unwrap();
    leader.approve(&asked.request_id).await.unwrap();
    until("the leg is released", PATIENCE, async || {
        let legs = investigator.legs(&request.request_id).await?;
        Ok(legs.iter().any(|leg| leg.reported() == LegState::Released).then_some(()))
    })
    .await
    .unwrap();
}

/// A span and what it follows from, as far back as is known.
fn line(arrived: &Arrived, from: &Span) -> Vec<Span> {
    let mut line = vec![from.clone()];
    while let Some(parent) = arrived.spans.iter().find(|span| {
        let child = &line[line.len() - 1];
        span.id == child.parent && span.trace == child.trace
    }) {
        line.push(parent.clone());
    }
    line
}

fn short(line: &[Span]) -> Vec<String> {
    line.iter().map(|span| format!("{}: {}", span.service, span.name)).collect()
}

/// The ways of orders from the exchange back to where they come from.
fn ways(arrived: &Arrived) -> impl Iterator<Item = Vec<Span>> {
    let submitted = arrived.spans.iter().filter(|span| {
        span.replica == "sandbox-upbit"
            && span.kind == SpanKind::Server
            && span.name == "haetae.exchange.v1.ExchangeService/Submit"
    });
    submitted.map(|span| line(arrived, span))
}

/// The way of the first freeze from the exchange back to the block, and freeze's storing of the exchange's answer.
fn way(arrived: &Arrived) -> Option<(Vec<Span>, Span)> {
    ways(arrived).filter(|way| way.iter().any(|span| span.service == "haetae-freeze")).find_map(|way| {
        let delivery = way.iter().find(|span| span.service == "haetae-connector" && span.name == "deliver")?;
        let stored = arrived.spans.iter().find(|span| {
            span.service == "haetae-freeze" && span.name == "handle receipt" && span.parent == delivery.id
        })?;
        Some((way, stored.clone()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_runs_from_the_block_to_the_exchanges_answer_and_tells_of_nobody() {
    let collector = Collector::start().await;
    // As it is operated; what a role may not do would stop the case.
    let options = Options { otlp: Some(collector.endpoint()), least_privilege: true, ..Options::default() };
    let mut alone = alone(options).await;
    let mesh = &alone.mesh;
    let thief = Actor::named("thief of the trace");
    let deposit = mesh.customers.open("upbit", "mallory").await.unwrap();
    let (request, leg) = bound(mesh, &thief, &deposit).await;
    released(mesh, &request, &leg).await;

    let (way, stored) = until("the spans arrive", PATIENCE, async || {
        let arrived = collector.arrived();
        Ok(way(&arrived).filter(|(way, _)| way.last().is_some_and(|first| first.parent.is_empty())))
    })
    .await
    .unwrap_or_else(|error| {
        let arrived = collector.arrived();
        let ways: Vec<_> = ways(&arrived).map(|way| short(&way)).collect();
        panic!("{error:#}; {} spans, and these ways: {ways:#?}", arrived.spans.len())
    });
    let traces: BTreeSet<&Vec<u8>> = way.iter().chain([&stored]).map(|span| &span.trace).collect();
    assert_eq!(traces.len(), 1, "{:?}", short(&way));
    assert_eq!(
        short(&way),
        [
            "haetae-sandbox: haetae.exchange.v1.ExchangeService/Submit",
            "haetae-connector: haetae.exchange.v1.ExchangeService/Submit",
            "haetae-connector: deliver",
            "haetae-freeze: handle arrival",
            "haetae-tracking: handle receipt",
            "haetae-connector: deliver",
            "haetae-tracking: read blocks",
        ]
    );
    assert_eq!(way[0].kind, SpanKind::Server);
    assert_eq!(way[1].kind, SpanKind::Client);
    assert_eq!(way[3].kind, SpanKind::Consumer);
    assert_eq!((way[2].replica.as_str(), way[6].replica.as_str()), ("connector-upbit", "tracking"));

    let documented = metrics::documented();
    let wanted: Vec<_> = documented
        .iter()
        .filter(|(name, metric)| metric.kind != "counter" && !UNTOLD.contains(&name.as_str()))
        .map(|(name, _)| name.clone())
        .chain(["haetae.follower.handled", "haetae.delivery.attempts", "haetae.tracking.arrivals"].map(str::to_owned))
        .collect();
    let missing = || -> Vec<String> {
        let arrived = collector.arrived();
        wanted.iter().filter(|name| !arrived.metrics.contains_key(*name)).cloned().collect()
    };
    let all = until("every metric arrives", PATIENCE, async || Ok(missing().is_empty().then_some(()))).await;
    assert!(all.is_ok(), "{:?} did not arrive", missing());
    let arrived = collector.arrived();
    for (name, told) in &arrived.metrics {
        let said = documented.get(name).unwrap_or_else(|| panic!("{name} is not described"));
        assert_eq!((told.kind, told.unit.as_str()), (said.kind.as_str(), said.unit.as_str()), "{name}");
        for attributes in &told.attributes {
            assert_eq!(attributes, &said.attributes, "{name}");
        }
    }

    let secrets = about_people(mesh, &thief, &deposit);
    for told in &arrived.texts {
        let told = told.to_lowercase();
        for secret in &secrets {
            assert!(!told.contains(secret), "`{secret}` is told in `{told}`");
        }
    }
    drop(arrived);
    alone.mesh.all_running().unwrap();
}

/// What nobody who reads telemetry may learn: addresses, persons and their tokens, the case.
fn about_people(mesh: &Mesh, thief: &Actor, deposit: &str) -> Vec<String> {
    let mut secrets = vec![CASE.to_owned(), "mallory".to_owned(), "압수".to_owned(), "phishing".to_owned()];
    for account in [thief.account().as_str(), deposit] {
        let address = account.rsplit(':').next().unwrap().to_lowercase();
        secrets.push(address.trim_start_matches("0x").to_owned());
    }
    for who in Who::ALL {
        let token = std::fs::read_to_string(mesh.house.path("tokens").join(who.slug())).unwrap();
        // Its last part is the signature, which is of this token alone.
        secrets.extend(token.rsplit('.').next().map(str::to_lowercase));
        secrets.extend([who.slug().to_owned(), who.person().name]);
    }
    secrets
}
