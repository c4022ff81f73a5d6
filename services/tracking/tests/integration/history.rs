//! Watches that begin in the past.

use std::time::Duration;

use haetae_core::{Amount, ConfirmationAnswer, Moment, TaintRule, WatchId};
use haetae_wire::convert::timestamp;
use haetae_wire::intake::v1::watch::Start;
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tokio::time::Instant;
use tonic::Request;

use crate::mesh::{Mesh, WatchOf, eventually};

async fn hops(mesh: &Mesh, watch: WatchId) -> Vec<wire::Hop> {
    mesh.of_kind(watch, "hop").await
}

/// What moved: from block, traced amount and depth.
fn short(hops: &[wire::Hop]) -> Vec<(u64, &str, u32)> {
    hops.iter().map(|hop| (hop.block_number, hop.traced_amount.as_str(), hop.depth)).collect()
}

async fn is_active(mesh: &Mesh, watch: WatchId) -> bool {
    mesh.stream(watch).await.iter().any(|said| said.kind == "watch-active")
}

/// A watch of coins at an account, once it is active.
async fn watch_from(mesh: &Mesh, root: usize, start: Start) -> WatchId {
    let watch = mesh.grant_watch(&WatchOf { start: Some(start), ..WatchOf::coins(root, 1_000) }).await;
    eventually("it has come to the head", async || is_active(mesh, watch).await).await;
    watch
}

async fn shown(mesh: &Mesh, watch: WatchId) -> wire::Watch {
    let replica = mesh.replica().await;
    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    replica.api().get_watch(Request::new(request)).await.unwrap().into_inner().watch.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theft_of_hours_ago_is_followed_to_the_head_and_on_without_a_gap_or_a_double() {
    let mesh = Mesh::start().await;
    mesh.chain.pay(0, 5, 50).await;
    mesh.chain.mine_ahead(2, 100).await;
    let theft = mesh.chain.pay(0, 1, 700).await;
    let at = mesh.chain.block_of(&theft).await;
    mesh.chain.mine(300).await;
    mesh.chain.pay(1, 2, 600).await;
    mesh.chain.mine(300).await;
    let _replica = mesh.replica().await;
    let watch = watch_from(&mesh, 0, Start::Since(timestamp(mesh.chain.time_of(at).await))).await;
    mesh.chain.pay(2, 3, 500).await;
    eventually("three hops", async || hops(&mesh, watch).await.len() >= 3).await;
    mesh.chain.mine(2).await;
    mesh.caught_up().await;
    let found = hops(&mesh, watch).await;
    let live = mesh.chain.number().await - 2;
    assert_eq!(short(&found), [(at, "700", 1), (at + 301, "600", 2), (live, "500", 3)]);

    let stream = mesh.stream(watch).await;
    let kinds: Vec<_> = stream.iter().map(|said| said.kind.as_str()).collect();
    assert_eq!(kinds[..2], ["watch-catching-up", "watch-catching-up"], "taken up, and begun: {kinds:?}");
    let active = kinds.iter().position(|kind| *kind == "watch-active").unwrap();
    let moved = |said: &&crate::mesh::Said| said.kind == "hop-finality";
    let finals: Vec<_> = stream[..active].iter().filter(moved).map(|s| s.read::<wire::FinalityChanged>()).collect();
    let finals: Vec<_> = finals.iter().map(|changed| (changed.hop_id.as_str(), changed.finality())).collect();
    let old = found[..2].iter().map(|hop| (hop.hop_id.as_str(), wire::Finality::Final));
    assert_eq!(finals, old.collect::<Vec<_>>(), "old hops are final at once");
    // Of those that wait at a connector, the last is sent first.
    let asked = mesh.all_questions("upbit").await.into_iter().map(|(order, _)| order.target.account);
    assert_eq!(asked.collect::<Vec<_>>(), [1, 2, 3].map(|n| mesh.chain.account(n)), "where money is now is asked last");

    for (account, exchange) in [(1, "upbit"), (1, "bithumb"), (2, "upbit"), (2, "bithumb")] {
        mesh.answer(exchange, &mesh.chain.account(account), ConfirmationAnswer::NotHeld).await;
    }
    mesh.answer("upbit", &mesh.chain.account(3), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_arrived_before_the_watch_was_asked_for_is_an_arrival_that_can_be_frozen() {
    let mesh = Mesh::start().await;
    let theft = mesh.chain.pay(0, 1, 700).await;
    let at = mesh.chain.time_of(mesh.chain.block_of(&theft).await).await;
    mesh.chain.mine(100).await;
    eventually("the block lies in the past", async || Moment::now_utc() > at).await;
    let _replica = mesh.replica().await;
    let watch = watch_from(&mesh, 0, Start::Transaction(theft.clone())).await;
    mesh.answer("bithumb", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    let arrival = async || mesh.stream(watch).await.into_iter().find(|said| said.kind == "arrival");
    eventually("it arrived", async || arrival().await.is_some()).await;
    let arrival = open_arrival(&arrival().await.unwrap().payload, &mesh.keyring).unwrap();
    assert_eq!((arrival.transfer.transaction, arrival.traced), (theft, Amount::from(700u64)));
    assert_eq!(arrival.seen_at, at, "it was not seen then, and did not happen now");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_while_it_catches_up_counts() {
    let mesh = Mesh::start().await;
    let theft = mesh.chain.pay(0, 1, 700).await;
    mesh.chain.mine(50).await;
    let replica = mesh.replica().await;
    let watch = watch_from(&mesh, 0, Start::Transaction(theft)).await;
    mesh.asked("upbit", &mesh.chain.account(1), 1).await;
    drop(replica);
    mesh.set_back(watch, mesh.chain.number().await - 40).await;
    mesh.answer("upbit", &mesh.chain.account(1), ConfirmationAnswer::Held).await;
    let _replica = mesh.replica().await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_pays_the_root_is_where_it_begins_and_what_it_brings_is_the_most_that_was_stolen() {
    let mesh = Mesh::start().await;
    mesh.chain.pay(0, 5, 100).await;
    let theft = mesh.chain.pay(7, 0, 900).await;
    mesh.chain.mine(50).await;
    mesh.chain.pay(0, 1, 950).await;
    let _replica = mesh.replica().await;
    let watch = watch_from(&mesh, 0, Start::Transaction(theft)).await;
    let found = hops(&mesh, watch).await;
    assert_eq!(found.iter().map(|hop| (&*hop.amount, &*hop.traced_amount)).collect::<Vec<_>>(), [("950", "900")]);
    let shown = shown(&mesh, watch).await;
    assert_eq!((shown.totals[0].stolen.as_str(), shown.totals[0].in_flight.as_str()), ("900", "900"));
    assert_eq!((shown.state(), shown.catching_up), (wire::WatchState::Active, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_cannot_begin_where_it_was_asked_to_is_refused_with_its_reason() {
    let mesh = Mesh::start().await;
    let theft = mesh.chain.pay(0, 1, 700).await;
    let others = mesh.chain.pay(5, 6, 700).await;
    mesh.chain.mine_ahead(2, 100).await;
    let _replica = mesh.replica().await;
    let begin = |transaction: &str| Some(Start::Transaction(transaction.to_owned()));
    let unknown = format!("0x{}", "ab".repeat(32));
    let too_old = Some(mesh.chain.time_of(mesh.chain.number().await).await);
    for (start, not_before, reason) in [
        (begin(&unknown), None, "START_NOT_FOUND"),
        (begin(&others), None, "START_NOT_FOUND"),
        (begin(&theft), too_old, "PERIOD_OVER_LIMIT"),
    ] {
        let watch = mesh.grant_watch(&WatchOf { start, not_before, ..WatchOf::coins(0, 1_000) }).await;
        let refused = async || mesh.of_kind::<wire::WatchRefused>(watch, "watch-refused").await;
        eventually("it is refused", async || !refused().await.is_empty()).await;
        assert_eq!(refused().await[0].reason, reason);
        assert!(hops(&mesh, watch).await.is_empty());
        assert_eq!(shown(&mesh, watch).await.state(), wire::WatchState::Ended);
    }
    assert_eq!(mesh.parked().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_on_the_way_is_taken_over_from_where_it_was() {
    let mesh = Mesh::start().await;
    let theft = mesh.chain.pay(0, 1, 900).await;
    for (payer, amount) in [(1, 800), (2, 700), (3, 600), (4, 500)] {
        mesh.chain.mine(600).await;
        mesh.chain.pay(payer, payer + 1, amount).await;
    }
    let begun = mesh.chain.block_of(&theft).await;
    let head = mesh.chain.number().await;
    // Each step takes a while, and is written down.
    mesh.note_steps(Duration::from_millis(100)).await;
    let killed = mesh.replica().await;
    let start = Some(Start::Transaction(theft));
    let watch = mesh.grant_watch(&WatchOf { start, ..WatchOf::coins(0, 1_000) }).await;
    eventually("it is on its way", async || hops(&mesh, watch).await.len() >= 2).await;
    drop(killed);
    let before = mesh.steps().await;
    let reached = before.iter().copied().max().unwrap();
    assert!(begun < reached && reached < head, "from {begun} to {head} it came to {reached}");
    let _replica = mesh.replica().await;
    eventually("it has come to the head", async || is_active(&mesh, watch).await).await;
    let after = mesh.steps().await.split_off(before.len());
    // One that was under way when it was killed may have been written after all.
    assert!(after.iter().all(|step| *step >= reached), "it went on from {reached}: {after:?}");
    assert!(!after.is_empty());
    let found = hops(&mesh, watch).await;
    let traced: Vec<_> = found.iter().map(|hop| hop.traced_amount.as_str()).collect();
    assert_eq!(traced, ["900", "800", "700", "600", "500"]);
    let active = mesh.stream(watch).await.into_iter().filter(|said| said.kind == "watch-active");
    assert_eq!(active.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_leave_the_chain_while_it_catches_up_leave_nothing_behind() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let theft = mesh.chain.pay(0, 1, 700).await;
    let begin = mesh.chain.block_of(&theft).await;
    let stays = mesh.chain.pay(1, 2, 400).await;
    mesh.chain.mine(3).await;
    mesh.chain.pay(1, 3, 200).await;
    mesh.chain.mine(2).await;
    mesh.caught_up().await;
    let watch = watch_from(&mesh, 0, Start::Transaction(theft)).await;
    assert_eq!(hops(&mesh, watch).await.len(), 3);
    drop(replica);
    // As it stands where a replica is killed before the last block.
    mesh.set_back(watch, mesh.chain.number().await - 1).await;
    mesh.chain.reorg(4).await;
    mesh.chain.mine(2).await;
    let _replica = mesh.replica().await;
    eventually("it is active again", async || {
        mesh.stream(watch).await.iter().filter(|said| said.kind == "watch-active").count() == 2
    })
    .await;
    let retracted: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
    let retracted: Vec<_> = retracted.iter().filter(|f| f.finality() == wire::Finality::Retracted).collect();
    let found = hops(&mesh, watch).await;
    assert_eq!(retracted.iter().map(|f| &*f.hop_id).collect::<Vec<_>>(), [&*found[2].hop_id], "and nothing else");
    assert_eq!(found.len(), 3, "what stays is not said again");
    assert_eq!((found[0].block_number, found[1].block_number), (begin, mesh.chain.block_of(&stays).await));
    mesh.chain.pay(1, 4, 250).await;
    eventually("what was free again moves on", async || {
        hops(&mesh, watch).await.last().is_some_and(|hop| hop.traced_amount == "250")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theft_that_leaves_the_chain_and_comes_back_is_begun_with_once_more() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    mesh.chain.mine(3).await;
    let theft = mesh.chain.pay(7, 0, 900).await;
    let raw = mesh.chain.raw(&theft).await;
    mesh.chain.mine(1).await;
    mesh.caught_up().await;
    let watch = watch_from(&mesh, 0, Start::Transaction(theft.clone())).await;
    mesh.chain.pay(0, 1, 900).await;
    eventually("a hop", async || hops(&mesh, watch).await.len() == 1).await;
    mesh.chain.reorg(3).await;
    mesh.chain.mine(1).await;
    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    let state = async || {
        let answer = replica.api().get_watch(Request::new(request.clone())).await.unwrap().into_inner();
        answer.watch.unwrap().state()
    };
    eventually("it waits for the theft", async || state().await == wire::WatchState::CatchingUp).await;
    mesh.chain.pay(0, 2, 100).await;
    mesh.chain.send_raw(raw).await;
    mesh.chain.mine(1).await;
    eventually("it is active again", async || state().await == wire::WatchState::Active).await;
    mesh.chain.pay(0, 3, 850).await;
    eventually("two hops", async || hops(&mesh, watch).await.len() == 2).await;
    let found = hops(&mesh, watch).await;
    assert_eq!(found.iter().map(|hop| &*hop.traced_amount).collect::<Vec<_>>(), ["900", "850"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_the_past_finds_what_one_that_was_there_found() {
    for rule in [TaintRule::TracedFirst, TaintRule::Poison, TaintRule::Haircut, TaintRule::Fifo] {
        let mesh = Mesh::start().await;
        mesh.chain.without_gas().await;
        mesh.chain.endow(0, 1_500).await;
        mesh.chain.endow(1, 500).await;
        let _replica = mesh.replica().await;
        let of = WatchOf { rule, ..WatchOf::coins(0, 1_000) };
        let there = mesh.watch(&of).await;
        mesh.chain.mine_ahead(2, 100).await;
        let began = mesh.chain.number().await;
        for (from, to, amount) in
            [(0, 1, 600), (0, 2, 300), (6, 1, 400), (1, 3, 700), (2, 3, 200), (3, 4, 650), (1, 2, 90)]
        {
            mesh.chain.pay(from, to, amount).await;
            mesh.chain.mine(20).await;
        }
        mesh.caught_up().await;
        let start = Some(Start::Since(timestamp(mesh.chain.time_of(began).await)));
        let later = mesh.grant_watch(&WatchOf { start, ..of }).await;
        eventually("it has come to the head", async || is_active(&mesh, later).await).await;
        let found = |hops: Vec<wire::Hop>| {
            let ids = |hop: wire::Hop| (hop.transfer, hop.traced_amount, hop.depth, hop.block_hash, hop.provisional);
            hops.into_iter().map(ids).collect::<Vec<_>>()
        };
        let (one, other) = (found(hops(&mesh, there).await), found(hops(&mesh, later).await));
        assert!(one.len() >= 2, "{rule:?}: {one:?}");
        assert_eq!(one, other, "{rule:?}");
        let ended = async |watch| {
            let ended: Vec<wire::TrailEnded> = mesh.of_kind(watch, "trail-ended").await;
            ended.into_iter().map(|end| (end.account, end.reason, end.traced_amount)).collect::<Vec<_>>()
        };
        assert_eq!(ended(there).await, ended(later).await, "{rule:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_tokens_alone_the_same_is_found_whether_or_not_all_blocks_are_read() {
    let mesh = Mesh::start().await;
    let first = mesh.chain.pay_token(0, 1, 900).await;
    let start = timestamp(mesh.chain.time_of(mesh.chain.block_of(&first).await).await);
    // Money that comes and goes on within few blocks, and what has nothing to do with it.
    for (n, (from, to)) in
        (1u64..).zip([(1, 2), (5, 6), (2, 3), (1, 3), (3, 4), (6, 5), (4, 2), (2, 7), (7, 0), (0, 8)])
    {
        mesh.chain.mine(n % 4).await;
        mesh.chain.pay_token(from, to, 450 - n * 20).await;
    }
    mesh.chain.mine(300).await;
    mesh.chain.pay_token(3, 8, 40).await;
    let _replica = mesh.replica().await;
    let tokens = WatchOf {
        stolen: std::collections::BTreeMap::from([(mesh.chain.token(), Amount::from(800u64))]),
        start: Some(Start::Since(start)),
        ..WatchOf::coins(0, 1_000)
    };
    // Of coins every block has to be read.
    let mut both = WatchOf { start: tokens.start.clone(), ..WatchOf::coins(0, 1_000) };
    both.stolen.extend(tokens.stolen.clone());
    let mut found = Vec::new();
    for of in [&tokens, &both] {
        let watch = mesh.grant_watch(of).await;
        eventually("it has come to the head", async || is_active(&mesh, watch).await).await;
        let of_tokens = hops(&mesh, watch).await.into_iter().filter(|hop| hop.asset == mesh.chain.token().to_string());
        let said = |hop: wire::Hop| (hop.block_hash, hop.transfer, hop.traced_amount, hop.depth, hop.provisional);
        found.push(of_tokens.map(said).collect::<Vec<_>>());
    }
    assert!(found[0].len() >= 6, "{found:?}");
    assert_eq!(found[0], found[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_is_read_from_its_newest_finding_back() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    for n in 1..=3 {
        mesh.chain.pay(0, n, 100).await;
    }
    eventually("three hops", async || hops(&mesh, watch).await.len() == 3).await;
    let page = async |newest_first, page_token: &str| {
        let page_token = page_token.to_owned();
        let request = wire::ListTrailRequest { watch_id: watch.to_string(), page_size: 2, page_token, newest_first };
        replica.api().list_trail(Request::new(request)).await.map(tonic::Response::into_inner)
    };
    let first = page(true, "").await.unwrap();
    let numbers = |page: &wire::ListTrailResponse| page.items.iter().map(|item| item.number).collect::<Vec<_>>();
    let newest = numbers(&first)[0];
    assert_eq!(numbers(&first), [newest, newest - 1]);
    assert_eq!(numbers(&page(true, &first.next_page_token).await.unwrap())[0], newest - 2);
    let turned = page(false, &first.next_page_token).await.unwrap_err();
    assert_eq!(turned.code(), tonic::Code::InvalidArgument, "a page belongs to its order");
}

/// How long it takes from the grant to the chain's head, half of the blocks with times that no clock shows yet.
async fn from_far_back(blocks: u64) -> Duration {
    let mesh = Mesh::start().await;
    let theft = mesh.chain.pay(0, 1, 900).await;
    let at = mesh.chain.block_of(&theft).await;
    mesh.chain.mine(blocks / 3).await;
    mesh.chain.pay(1, 2, 800).await;
    mesh.chain.mine(blocks / 6).await;
    mesh.chain.mine_ahead(blocks / 2, 1_000_000).await;
    mesh.chain.pay(2, 3, 700).await;
    let _replica = mesh.replica().await;
    let start = Some(Start::Since(timestamp(mesh.chain.time_of(at).await)));
    let granted = Instant::now();
    let watch = mesh.grant_watch(&WatchOf { start, ..WatchOf::coins(0, 1_000) }).await;
    let deadline = granted + Duration::from_secs(120);
    while !is_active(&mesh, watch).await {
        assert!(Instant::now() < deadline, "never at the head");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let taken = granted.elapsed();
    assert_eq!(hops(&mesh, watch).await.len(), 3);
    println!("{blocks} blocks back: at the head after {taken:?}");
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_blocks_whose_times_lie_beyond_the_clock_are_read_to_the_end() {
    from_far_back(1_200).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: 1,800 blocks are six hours of Ethereum"]
async fn six_hours_back_is_at_the_head_within_a_minute() {
    assert!(from_far_back(1_800).await < Duration::from_secs(60));
    assert!(from_far_back(5_400).await < Duration::from_secs(60));
}

/// The same where much happens in every block: 250 transfers of a token that has nothing to do with it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: 1,800 blocks are six hours of Ethereum"]
async fn six_hours_back_is_at_the_head_within_a_minute_through_full_blocks() {
    let mesh = Mesh::start().await;
    let batch = mesh.chain.batch_token().await;
    let theft = mesh.chain.pay(0, 1, 900).await;
    let others = alloy_primitives::Address::left_padding_from(&1_000_000u64.to_be_bytes());
    for n in 0..1_800 {
        if n == 900 {
            mesh.chain.pay(1, 2, 800).await;
        }
        mesh.chain.pay_batch(batch, 7, others, 5, 250).await;
    }
    let _replica = mesh.replica().await;
    let begun = Instant::now();
    let watch = watch_from(&mesh, 0, Start::Transaction(theft)).await;
    let taken = begun.elapsed();
    assert_eq!(hops(&mesh, watch).await.len(), 2);
    println!("1,800 blocks of 250 transfers back: at the head after {taken:?}");
    assert!(taken < Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_from_now_on_is_active_at_once_and_a_start_at_the_head_too() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    let later = timestamp(Moment::now_utc() + Duration::from_secs(3_600));
    let watch = watch_from(&mesh, 0, Start::Since(later)).await;
    mesh.chain.pay(0, 1, 700).await;
    eventually("a hop", async || hops(&mesh, watch).await.len() == 1).await;
}
