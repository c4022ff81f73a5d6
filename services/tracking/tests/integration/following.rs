//! Money is followed from the root to an exchange.

use haetae_core::{Amount, ConfirmationAnswer, TransferIndex, WatchId};
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tonic::Request;

use crate::chain::Chain;
use crate::mesh::{EXCHANGES, Mesh, WatchOf, eventually};

async fn hops(mesh: &Mesh, watch: WatchId) -> Vec<wire::Hop> {
    mesh.of_kind(watch, "hop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn coins_and_tokens_are_followed_and_every_new_account_is_asked_about_at_every_exchange() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let mut of = WatchOf::coins(0, 1_000);
    of.stolen.insert(mesh.chain.token(), Amount::from(500u64));
    let watch = mesh.watch(&of).await;

    mesh.chain.pay(0, 1, 700).await;
    mesh.chain.pay_token(0, 2, 800).await;
    mesh.chain.pay(1, 3, 600).await;
    eventually("three hops", async || hops(&mesh, watch).await.len() == 3).await;

    let found = hops(&mesh, watch).await;
    let short: Vec<_> =
        found.iter().map(|hop| (hop.amount.as_str(), hop.traced_amount.as_str(), hop.depth, hop.provisional)).collect();
    assert_eq!(short, [("700", "700", 1, false), ("800", "500", 1, false), ("600", "600", 2, true)]);
    let indexes: Vec<_> = found.iter().map(|hop| hop.transfer.as_ref().unwrap().index.clone()).collect();
    assert_eq!(indexes, ["native", "log/0", "native"]);
    assert_eq!(found[1].asset, mesh.chain.token().to_string());

    for exchange in EXCHANGES {
        for account in [1, 2, 3] {
            let (order, _) = mesh.asked(exchange, &mesh.chain.account(account), 1).await;
            assert_eq!(
                order.hop.unwrap().index,
                if account == 2 { TransferIndex::Log(0) } else { TransferIndex::Native }
            );
        }
        assert!(mesh.questions(exchange, &mesh.chain.account(0)).await.is_empty(), "nobody is asked about the root");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_by_one_exchange_is_an_arrival_before_the_others_have_answered() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let transaction = mesh.chain.pay(0, 1, 700).await;
    mesh.answer("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;

    let said = mesh.stream(watch).await;
    let kinds: Vec<_> = said.iter().map(|said| said.kind.as_str()).filter(|kind| *kind != "hop-finality").collect();
    assert_eq!(kinds, ["watch-active", "hop", "address-concluded", "arrival", "trail-ended"]);
    let envelope = &said.iter().find(|said| said.kind == "arrival").unwrap().payload;
    let arrival = open_arrival(envelope, &mesh.keyring).unwrap();
    assert_eq!((arrival.exchange.as_str(), arrival.traced), ("upbit", Amount::from(700u64)));
    assert_eq!(arrival.transfer.transaction, transaction);
    assert_eq!(arrival.id, arrival.transfer.arrival(watch));
    assert_eq!(arrival.wallet_role, Some(haetae_core::WalletRole::CustomerDeposit));

    // What the exchange does with the money is its own affair.
    mesh.chain.pay(1, 2, 700).await;
    mesh.caught_up().await;
    assert_eq!(hops(&mesh, watch).await.len(), 1);

    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    let shown = replica.api().get_watch(Request::new(request)).await.unwrap().into_inner().watch.unwrap();
    let totals = &shown.totals[0];
    assert_eq!((totals.stolen.as_str(), totals.arrived.as_str(), totals.in_flight.as_str()), ("1000", "700", "300"));
    assert_eq!((shown.state(), shown.addresses, shown.questions), (wire::WatchState::Active, 2, 2));
}

/// 0 → 1 (asked, no answer) → 2 (held by upbit).
async fn held_back() -> (Mesh, crate::mesh::Replica, WatchId) {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 700).await;
    mesh.chain.pay(1, 2, 600).await;
    mesh.answer("upbit", &mesh.chain.account(2), ConfirmationAnswer::Held).await;
    eventually("it is held back", async || {
        mesh.stream(watch).await.iter().any(|said| said.kind == "arrival-held-back")
    })
    .await;
    assert!(mesh.stream(watch).await.iter().all(|said| said.kind != "arrival"));
    (mesh, replica, watch)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_beyond_an_open_question_is_issued_when_all_have_said_no() {
    let (mesh, _replica, watch) = held_back().await;
    mesh.answer("upbit", &mesh.chain.account(1), ConfirmationAnswer::NotHeld).await;
    mesh.answer("bithumb", &mesh.chain.account(1), ConfirmationAnswer::NotHeld).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    let provisional: Vec<_> = hops(&mesh, watch).await.iter().map(|hop| (hop.depth, hop.provisional)).collect();
    assert_eq!(provisional, [(1, false), (2, true), (2, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_beyond_an_open_question_is_none_when_one_has_said_yes() {
    let (mesh, _replica, watch) = held_back().await;
    mesh.answer("bithumb", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;

    let stream = mesh.stream(watch).await;
    let envelope = &stream.iter().find(|said| said.kind == "arrival").unwrap().payload;
    let arrival = open_arrival(envelope, &mesh.keyring).unwrap();
    assert_eq!((arrival.exchange.as_str(), arrival.traced), ("bithumb", Amount::from(700u64)));
    let retracted: Vec<wire::ArrivalMoved> = mesh.of_kind(watch, "arrival-retracted").await;
    assert_eq!(retracted[0].arrived.as_ref().unwrap().state(), wire::ArrivalState::Retracted);
    let finality: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
    let beyond = &hops(&mesh, watch).await[1];
    assert!(finality.iter().any(|f| f.hop_id == beyond.hop_id && f.finality() == wire::Finality::Retracted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_holder_is_a_conflict_and_changes_nothing_else() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 700).await;
    mesh.answer("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    mesh.answer("bithumb", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    let concluded = async || mesh.of_kind::<wire::AddressConcluded>(watch, "address-concluded").await;
    eventually("a conflict", async || {
        let said = concluded().await;
        said.iter().any(|c| c.conclusion() == wire::Conclusion::Conflict && c.exchange == "upbit")
    })
    .await;
    let stream = mesh.stream(watch).await;
    assert_eq!(stream.iter().filter(|said| said.kind.starts_with("arrival")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trails_end_at_contracts_and_dust_leaves_bystanders_alone() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    // A contract that takes coins: code that stops at once.
    let contract = alloy_primitives::Address::repeat_byte(0xc0);
    mesh.chain.anvil.rpc("anvil_setCode", serde_json::json!([contract, "0x00"])).await.unwrap();
    mesh.chain.pay_to(0, contract, 400).await;
    mesh.chain.pay(0, 1, 9).await;
    let ended = async || mesh.of_kind::<wire::TrailEnded>(watch, "trail-ended").await;
    eventually("two ends", async || ended().await.len() == 2).await;
    let reasons: Vec<_> = ended().await.iter().map(|e| (e.reason(), e.traced_amount.clone())).collect();
    let expected = [(wire::TrailEndReason::Contract, "400"), (wire::TrailEndReason::Dust, "9")];
    assert_eq!(reasons, expected.map(|(reason, amount)| (reason, amount.to_owned())));
    assert!(mesh.questions("upbit", &mesh.chain.account(1)).await.is_empty());

    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    let shown = replica.api().get_watch(Request::new(request)).await.unwrap().into_inner().watch.unwrap();
    assert_eq!((shown.totals[0].ended.as_str(), shown.totals[0].in_flight.as_str()), ("409", "591"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_is_shown_in_pages_and_grows_at_its_end() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    for n in 1..=5 {
        mesh.chain.pay(0, n, 100).await;
    }
    eventually("five hops", async || hops(&mesh, watch).await.len() == 5).await;
    let mut token = String::new();
    let mut numbers = Vec::new();
    loop {
        let request = wire::ListTrailRequest {
            watch_id: watch.to_string(),
            page_size: 2,
            page_token: token,
            newest_first: false,
        };
        let page = replica.api().list_trail(Request::new(request)).await.unwrap().into_inner();
        numbers.extend(page.items.iter().map(|item| item.number));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(numbers.len() >= 5);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());

    let refused = |id: &str, token: &str| {
        let request = wire::ListTrailRequest {
            watch_id: id.to_owned(),
            page_size: 0,
            page_token: token.to_owned(),
            newest_first: false,
        };
        let api = replica.api();
        async move { api.list_trail(Request::new(request)).await.unwrap_err().code() }
    };
    assert_eq!(refused(&watch.to_string(), "rubbish").await, tonic::Code::InvalidArgument);
    assert_eq!(refused(&uuid::Uuid::new_v4().to_string(), "").await, tonic::Code::NotFound);
    assert_eq!(refused("no id", "").await, tonic::Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn hops_become_confirmed_and_final_as_blocks_come() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 100).await;
    let finality = async || {
        let said: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
        said.iter().map(wire::FinalityChanged::finality).collect::<Vec<_>>()
    };
    mesh.chain.mine(2).await;
    eventually("it is confirmed", async || finality().await.contains(&wire::Finality::Confirmed)).await;
    eventually("it is final", async || {
        mesh.chain.mine(1).await;
        finality().await.contains(&wire::Finality::Final)
    })
    .await;
    assert_eq!(finality().await, [wire::Finality::Confirmed, wire::Finality::Final]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_a_chain_that_is_not_read_is_refused_and_nothing_waits_behind_it() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let elsewhere = mesh.chain.account(0).to_string().replace(Chain::id().as_str(), "eip155:999").parse().unwrap();
    let watch = mesh.grant_watch_from(elsewhere, &WatchOf::coins(0, 1_000)).await;
    mesh.watch(&WatchOf::coins(0, 1_000)).await;
    let refused: Vec<wire::WatchRefused> = mesh.of_kind(watch, "watch-refused").await;
    let [refused] = refused.as_slice() else { panic!("refused {} times", refused.len()) };
    assert_eq!((&refused.watch_id, refused.reason.as_str()), (&watch.to_string(), "CHAIN_NOT_SUPPORTED"));
    assert_eq!(mesh.parked().await, 0);
}
