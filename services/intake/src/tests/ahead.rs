//! What agency systems read before, and from, the services that carry requests out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use haetae_mesh::{Peer, Server, config::PeerConfig};
use haetae_service::refuse;
use haetae_testkit::certs::{Ca, Leaf};
use haetae_wire::{
    exchange::v1::{Envelope, Order, SignedOrder},
    freeze::v1::{self as freeze_wire, freeze_service_server},
    intake::v1::{self, intake_service_server::IntakeService, request_content::Kind, trace_request::Scope},
    tracking::v1::{self as tracking, tracking_service_server},
};
use prost::Message;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::scene::*;
use crate::follow;

const PURPOSE: &str = "case 2026-cyber-00412";

/// Tracking and freeze that have not read of anything, except for the orders of some legs, or a trace and legs on it.
#[derive(Clone, Default)]
struct Unread {
    orders: Arc<BTreeMap<String, SignedOrder>>,
    trace: Option<tracking::Trace>,
    legs: Arc<Mutex<Vec<freeze_wire::Leg>>>,
}

fn unknown<T>() -> Result<Response<T>, Status> {
    Err(refuse(haetae_core::Reason::NotFound).into())
}

#[async_trait]
impl tracking_service_server::TrackingService for Unread {
    async fn get_watch(
        &self,
        _: Request<tracking::GetWatchRequest>,
    ) -> Result<Response<tracking::GetWatchResponse>, Status> {
        unknown()
    }

    async fn batch_get_watches(
        &self,
        _: Request<tracking::BatchGetWatchesRequest>,
    ) -> Result<Response<tracking::BatchGetWatchesResponse>, Status> {
        Ok(Response::new(tracking::BatchGetWatchesResponse::default()))
    }

    async fn list_trail(
        &self,
        _: Request<tracking::ListTrailRequest>,
    ) -> Result<Response<tracking::ListTrailResponse>, Status> {
        unknown()
    }

    async fn list_trail_ends(
        &self,
        _: Request<tracking::ListTrailEndsRequest>,
    ) -> Result<Response<tracking::ListTrailEndsResponse>, Status> {
        unknown()
    }

    async fn trace(&self, _: Request<tracking::TraceRequest>) -> Result<Response<tracking::TraceResponse>, Status> {
        match &self.trace {
            Some(trace) => Ok(Response::new(tracking::TraceResponse { trace: Some(trace.clone()) })),
            None => unknown(),
        }
    }

    async fn get_confirmation(
        &self,
        _: Request<tracking::GetConfirmationRequest>,
    ) -> Result<Response<tracking::GetConfirmationResponse>, Status> {
        unknown()
    }

    async fn list_chains(
        &self,
        _: Request<tracking::ListChainsRequest>,
    ) -> Result<Response<tracking::ListChainsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[async_trait]
impl freeze_service_server::FreezeService for Unread {
    async fn list_legs(
        &self,
        asked: Request<freeze_wire::ListLegsRequest>,
    ) -> Result<Response<freeze_wire::ListLegsResponse>, Status> {
        let all = self.legs.lock().unwrap().clone();
        let legs = all.into_iter().filter(|leg| leg.request_id == asked.get_ref().request_id).collect();
        Ok(Response::new(freeze_wire::ListLegsResponse { legs, ..Default::default() }))
    }

    async fn get_signed_order(
        &self,
        asked: Request<freeze_wire::GetSignedOrderRequest>,
    ) -> Result<Response<freeze_wire::GetSignedOrderResponse>, Status> {
        match self.orders.get(&asked.get_ref().leg_id) {
            Some(order) => Ok(Response::new(freeze_wire::GetSignedOrderResponse { order: Some(order.clone()) })),
            None => unknown(),
        }
    }

    async fn list_halts(
        &self,
        _: Request<freeze_wire::ListHaltsRequest>,
    ) -> Result<Response<freeze_wire::ListHaltsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

/// The peers at work, over mutual TLS.
async fn at_work(peers: Unread) -> (Peer, DropGuard) {
    let folder = tempfile::tempdir().unwrap();
    let spiffe = "spiffe://haetae.test/intake";
    let leaf = Leaf { spiffe: Some(spiffe), ..Leaf::default() };
    Ca::new("test").unwrap().issue(&leaf).unwrap().write_to(folder.path()).unwrap();
    let at = |file: &str| folder.path().join(file);
    let tls = format!("cert = {:?}\nkey = {:?}\n", at("tls.crt"), at("tls.key"));
    let config = format!(
        "listen = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\nroles = {{ intake = [\"{spiffe}\"] }}\n\
         [tls]\n{tls}client_ca = {:?}\n",
        at("ca.crt")
    );
    let server = Server::new("peers", &toml::from_str(&config).unwrap())
        .add(tracking_service_server::TrackingServiceServer::new(peers.clone()))
        .add(freeze_service_server::FreezeServiceServer::new(peers));
    let listening = server.listen().await.unwrap();
    let config =
        format!("endpoints = [\"https://{}\"]\n[tls]\n{tls}ca = {:?}\n", listening.local_addr().unwrap(), at("ca.crt"));
    let peer = Peer::connect("peers", &toml::from_str::<PeerConfig>(&config).unwrap()).unwrap();
    let cancel = CancellationToken::new();
    tokio::spawn(listening.run(cancel.clone()));
    (peer, cancel.drop_guard())
}

#[tokio::test]
async fn a_question_that_is_not_asked_yet_is_open_and_only_what_nobody_knows_is_not_found() {
    let (peer, _peers) = at_work(Unread::default()).await;
    let scene = Scene::among(peer.clone(), peer).await;
    let read = async |who: Who, request: &str| {
        let read = v1::GetConfirmationRequest { request_id: request.to_owned(), purpose: PURPOSE.to_owned() };
        let answer = scene.api.get_confirmation(who.calls(read)).await;
        answer.map(|answer| answer.into_inner().confirmation.unwrap())
    };
    let request = scene.submit(JI_WOO, confirm()).await.unwrap().request_id;
    let open = read(MIN_JUN, &request).await.unwrap();
    assert_eq!((open.request_id.as_str(), open.conclusion()), (request.as_str(), tracking::Conclusion::Open));
    assert_eq!((open.target, open.lines), (target(ADDRESS), Vec::new()));

    let freeze = scene.submit(JI_WOO, freeze()).await.unwrap().request_id;
    let strange = [(SEO_YEON, request), (JI_WOO, Uuid::new_v4().to_string()), (JI_WOO, freeze)];
    for (who, request) in strange {
        assert_eq!(refused_as(&read(who, &request).await.unwrap_err()), "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_watch_that_is_never_taken_up_has_ended_and_nothing_can_be_armed_on_it() {
    let (peer, _peers) = at_work(Unread::default()).await;
    let scene = Scene::among(peer.clone(), peer).await;
    scene.follow(follow::Tracking(scene.intake.clone()));
    let request = scene.granted(watch()).await;
    let refused = tracking::WatchRefused {
        watch_id: request.watch_id.clone(),
        request_id: request.request_id.clone(),
        reason: "CHAIN_NOT_SUPPORTED".to_owned(),
    };
    scene.says("watch-refused", &refused).await;
    let closed = scene.until(&request.request_id, v1::RequestState::Closed).await;
    assert_eq!(closed.reason, "CHAIN_NOT_SUPPORTED");
    let (_, payload) = scene.entries("request-closed").await.pop().unwrap();
    assert_eq!(v1::RequestMoved::decode(payload.as_slice()).unwrap().reason, "CHAIN_NOT_SUPPORTED");

    let read = v1::GetWatchRequest { watch_id: request.watch_id.clone(), purpose: PURPOSE.to_owned() };
    let ended = scene.api.get_watch(JI_WOO.calls(read)).await.unwrap().into_inner().watch.unwrap();
    assert_eq!(ended.state(), tracking::WatchState::Ended);
    let standing = v1::StandingFreeze { watch_id: request.watch_id, terms: watch_terms().standing_freeze };
    let arm = scene.submit(JI_WOO, under("warrant", Kind::StandingFreeze(standing))).await;
    assert_eq!(refused_as(&arm.unwrap_err()), "WRONG_STATE");
}

#[tokio::test]
async fn a_watch_that_is_not_taken_up_yet_is_pending_and_has_found_nothing() {
    let (peer, _peers) = at_work(Unread::default()).await;
    let scene = Scene::among(peer.clone(), peer).await;
    let request = scene.granted(watch()).await;
    let read = v1::GetWatchRequest { watch_id: request.watch_id.clone(), purpose: PURPOSE.to_owned() };
    let pending = scene.api.get_watch(JI_WOO.calls(read.clone())).await.unwrap().into_inner().watch.unwrap();
    assert_eq!((pending.state(), pending.root), (tracking::WatchState::Pending, target(ADDRESS)));
    assert_eq!((&pending.watch_id, &pending.request_id), (&request.watch_id, &request.request_id));
    let total = &pending.totals[0];
    assert_eq!([&total.stolen, &total.in_flight, &total.arrived, &total.ended], ["1000", "1000", "0", "0"]);
    assert!(pending.until.is_some());
    assert_eq!(refused_as(&scene.api.get_watch(SEO_YEON.calls(read)).await.unwrap_err()), "NOT_FOUND");

    let trail = v1::ListTrailRequest { watch_id: request.watch_id, purpose: PURPOSE.to_owned(), ..Default::default() };
    assert_eq!(scene.api.list_trail(JI_WOO.calls(trail)).await.unwrap().into_inner().items, []);
}

#[tokio::test]
async fn a_legs_order_is_read_with_whom_to_call_within_the_unit_and_on_record() {
    let order = Order { recipient: "upbit".to_owned(), ..Order::default() };
    let envelope = Envelope { payload: order.encode_to_vec(), ..Envelope::default() }.encode_to_vec();
    let order = SignedOrder { envelope, checkpoint: "as it stands".to_owned(), ..SignedOrder::default() };
    let leg = Uuid::new_v4().to_string();
    let (peer, _peers) =
        at_work(Unread { orders: Arc::new(BTreeMap::from([(leg.clone(), order.clone())])), ..Default::default() })
            .await;
    let scene = Scene::among(peer.clone(), peer).await;
    let frozen = scene.granted(freeze()).await.request_id;
    scene.leg(&frozen, &leg).await;

    let read = |leg: &str| v1::GetSignedOrderRequest { leg_id: leg.to_owned(), purpose: PURPOSE.to_owned() };
    let answer = scene.api.get_signed_order(MIN_JUN.calls(read(&leg))).await.unwrap().into_inner();
    assert_eq!((answer.order, answer.display_name.as_str()), (Some(order), "upbit"));
    assert_eq!(answer.hotline.unwrap().phone, "+82");
    let (_, payload) = scene.entries("read").await.pop().unwrap();
    let recorded = v1::ReadRecorded::decode(payload.as_slice()).unwrap();
    assert_eq!((recorded.method.as_str(), &recorded.resource), ("GetSignedOrder", &leg));

    let unordered = scene.told_of_leg(&frozen).await;
    for (who, leg) in [(SEO_YEON, &leg), (JI_WOO, &Uuid::new_v4().to_string()), (JI_WOO, &unordered)] {
        let status = scene.api.get_signed_order(who.calls(read(leg))).await.unwrap_err();
        assert_eq!(refused_as(&status), "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_trace_brings_what_its_case_froze_at_the_accounts_it_shows() {
    let node = tracking::TraceNode { account: ADDRESS.to_owned(), ..Default::default() };
    let trace = tracking::Trace { nodes: vec![node], ..Default::default() };
    let peers = Unread { trace: Some(trace.clone()), ..Default::default() };
    let legs = Arc::clone(&peers.legs);
    let (peer, _peers) = at_work(peers).await;
    let scene = Scene::among(peer.clone(), peer).await;
    let (watch, frozen) = (scene.granted(watch()).await, scene.granted(freeze()).await.request_id);
    let leg = |id: &str, request: &str, account: &str| freeze_wire::Leg {
        leg_id: id.to_owned(),
        request_id: request.to_owned(),
        target: target(account),
        ..Default::default()
    };
    let told = [
        leg("standing", &watch.request_id, ADDRESS),
        leg("now", &frozen, ADDRESS),
        leg("not shown", &frozen, OTHER),
        leg("another case", &Uuid::new_v4().to_string(), ADDRESS),
    ];
    legs.lock().unwrap().extend(told);

    let read = |with_legs| v1::TraceRequest {
        scope: Some(Scope::WatchId(watch.watch_id.clone())),
        purpose: PURPOSE.to_owned(),
        with_legs,
        ..Default::default()
    };
    let answer = scene.api.trace(JI_WOO.calls(read(true))).await.unwrap().into_inner();
    assert!(answer.trace == Some(trace));
    assert_eq!(answer.case_number, "2026-cyber-00412");
    assert_eq!(answer.legs.iter().map(|leg| leg.leg_id.as_str()).collect::<Vec<_>>(), ["standing", "now"]);
    let answer = scene.api.trace(JI_WOO.calls(read(false))).await.unwrap().into_inner();
    assert!(answer.legs.is_empty());
}
