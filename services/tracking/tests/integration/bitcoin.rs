//! Bitcoin: a real node, real signatures, money in outputs.

use bitcoin::opcodes::all::{OP_2DROP, OP_PUSHNUM_1};
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, absolute::LockTime};
use haetae_core::{ConfirmationAnswer, Moment, TaintRule, TransferIndex};
use haetae_testkit::bcoin::{BcoinOptions, FEE, Kind, Wallet, sign};
use haetae_wire::convert::timestamp;
use haetae_wire::intake::v1::watch::Start;
use haetae_wire::signed::open_arrival;
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::tracking_service_server::TrackingService;
use tonic::Request;

use crate::coins::{Coins, account, of, short, watch_of};
use crate::mesh::{WatchOf, eventually};

fn to(wallet: &Wallet, satoshi: u64) -> TxOut {
    TxOut { value: Amount::from_sat(satoshi), script_pubkey: wallet.address().script_pubkey() }
}

fn wallet(name: &str) -> Wallet {
    Wallet::new(Kind::P2wpkh, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peel_chain_is_followed_to_the_exchange_that_holds_its_end() {
    let mesh = Coins::started().await;
    let (mut thief, mut second, mut small, deposit) =
        (wallet("thief"), wallet("second"), wallet("small"), wallet("deposit"));
    mesh.endow(&mut thief, &[1_000_000]).await;
    let replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::TracedFirst, 1_000_000)).await;

    // Most goes on to an address of its own; a little is peeled off; what is left comes back.
    let first = thief.pay(&[(small.address(), 100_000), (second.address(), 800_000)]).unwrap();
    mesh.chain.send(&first).await.unwrap();
    second.note(&first);
    small.note(&first);
    let peeled = second.pay(&[(deposit.address(), 300_000)]).unwrap();
    mesh.chain.send(&peeled).await.unwrap();
    mesh.chain.mine(1).await.unwrap();

    let hops = mesh.hops(watch, 3).await;
    assert_eq!(
        short(&hops),
        [
            (of(&small).to_string(), "out/0".to_owned(), 100_000, 1),
            (of(&second).to_string(), "out/1".to_owned(), 800_000, 1),
            (of(&deposit).to_string(), "out/0".to_owned(), 300_000, 2),
        ]
    );
    assert_eq!(hops[2].transfer.as_ref().unwrap().transaction, peeled.compute_txid().to_string());
    assert!(hops[2].provisional, "nobody has answered about the second");
    let (order, _) = mesh.asked("upbit", &of(&deposit), 1).await;
    assert_eq!(order.hop.unwrap().index, TransferIndex::Output(0));
    assert!(mesh.questions("upbit", &of(&thief)).await.is_empty(), "change is no news");

    for exchange in ["bithumb", "upbit"] {
        mesh.answer(exchange, &of(&second), ConfirmationAnswer::NotHeld).await;
    }
    mesh.answer("upbit", &of(&deposit), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;
    let stream = mesh.stream(watch).await;
    let arrival = stream.iter().find(|said| said.kind == "arrival").unwrap();
    let arrival = open_arrival(&arrival.payload, &mesh.keyring).unwrap();
    assert_eq!((arrival.target.account, arrival.traced), (of(&deposit), 300_000u64.into()));

    // The exchange sweeps its deposits: nobody follows into its hot wallet.
    let mut deposit = deposit;
    deposit.note(&peeled);
    let swept = deposit.pay(&[(wallet("hot").address(), 200_000)]).unwrap();
    mesh.chain.send(&swept).await.unwrap();
    mesh.chain.mine(5).await.unwrap();
    mesh.read_all().await;
    assert_eq!(mesh.hops(watch, 4).await.last().map(|hop| hop.provisional), Some(false), "said anew, as settled");
    let request = wire::GetWatchRequest { watch_id: watch.to_string() };
    let shown = replica.api().get_watch(Request::new(request)).await.unwrap().into_inner().watch.unwrap();
    let totals = &shown.totals[0];
    let parts = [&totals.arrived, &totals.in_flight, &totals.ended].map(|part| part.parse::<u64>().unwrap());
    assert_eq!(parts, [300_000, 1_000_000 - 300_000 - 2 * FEE, 2 * FEE]);
    let fees: Vec<wire::TrailEnded> = mesh.of_kind(watch, "trail-ended").await;
    assert_eq!(fees.iter().filter(|ended| ended.reason() == wire::TrailEndReason::Fee).count(), 2);
    eventually("it is final", async || {
        let said: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
        said.iter().filter(|said| said.finality() == wire::Finality::Final).count() == 3
    })
    .await;
}

/// The root's 400,000 stolen, and 600,000 of somebody honest, are joined and parted again.
#[tokio::test(flavor = "multi_thread")]
async fn several_inputs_and_outputs_are_traced_as_each_rule_says() {
    let mesh = Coins::started().await;
    let (mut honest, mut thief) = (wallet("honest"), wallet("thief"));
    let (one, two) = (wallet("one"), wallet("two"));
    mesh.endow(&mut honest, &[600_000]).await;
    mesh.endow(&mut thief, &[400_000]).await;
    let _replica = mesh.replica().await;
    let mut watches = Vec::new();
    for rule in TaintRule::ALL {
        watches.push((rule, mesh.watch_from(of(&thief), &watch_of(rule, 400_000)).await));
    }
    let inputs: Vec<_> = [&honest, &thief]
        .into_iter()
        .map(|wallet| {
            let (coin, output) = wallet.coins().next().unwrap().clone();
            (coin, output, wallet)
        })
        .collect();
    let joined = sign(&inputs, vec![to(&one, 330_000), to(&two, 640_000)], Sequence::MAX).unwrap();
    mesh.chain.send(&joined).await.unwrap();
    mesh.chain.mine(1).await.unwrap();

    for (rule, watch) in watches {
        let (one, two) = (of(&one).to_string(), of(&two).to_string());
        let out = |index: &str| index.to_owned();
        let expected = match rule {
            TaintRule::TracedFirst => vec![(one, out("out/0"), 330_000, 1), (two, out("out/1"), 70_000, 1)],
            TaintRule::Poison => vec![(one, out("out/0"), 330_000, 1), (two, out("out/1"), 640_000, 1)],
            TaintRule::Haircut => vec![(one, out("out/0"), 132_000, 1), (two, out("out/1"), 256_000, 1)],
            TaintRule::Fifo => vec![(two, out("out/1"), 370_000, 1)],
        };
        let hops = mesh.hops(watch, expected.len()).await;
        assert_eq!(short(&hops), expected, "{rule}");
        assert!(hops.iter().all(|hop| hop.from == of(&thief).to_string() && hop.payers.is_empty()), "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_may_be_an_address_of_any_kind() {
    let mesh = Coins::started().await;
    let _replica = mesh.replica().await;
    let mut roots = Vec::new();
    for kind in [Kind::P2pkh, Kind::P2shP2wpkh, Kind::P2wpkh, Kind::P2tr] {
        let mut root = Wallet::new(kind, "root");
        mesh.endow(&mut root, &[500_000]).await;
        let watch = mesh.watch_from(of(&root), &watch_of(TaintRule::Fifo, 500_000)).await;
        roots.push((kind, root, watch));
    }
    let payee = wallet("payee");
    let mut payments = Vec::new();
    for (_, root, _) in &mut roots {
        payments.push(root.pay(&[(payee.address(), 400_000)]).unwrap());
    }
    // The node's mempool knows nothing of Taproot.
    mesh.chain.mine_on(mesh.chain.tip().await.unwrap(), &payments).await.unwrap();
    for (kind, root, watch) in roots {
        let hops = mesh.hops(watch, 1).await;
        assert_eq!(short(&hops)[0].2, 400_000, "{kind:?}");
        assert_eq!(hops[0].from, of(&root).to_string());
    }
}

/// Anybody can show another's key where a script asks for no signature.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_only_pretends_to_be_of_the_root_is_not() {
    let mesh = Coins::started().await;
    let (mut root, mut other) = (Wallet::new(Kind::P2pkh, "root"), wallet("other"));
    mesh.endow(&mut root, &[500_000]).await;
    mesh.endow(&mut other, &[500_000]).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&root), &watch_of(TaintRule::TracedFirst, 500_000)).await;

    let trap = Builder::new().push_opcode(OP_2DROP).push_opcode(OP_PUSHNUM_1).into_script();
    let (coin, output) = other.coins().next().unwrap().clone();
    let set = TxOut { value: Amount::from_sat(400_000), script_pubkey: trap };
    let set = sign(&[(coin, output, &other)], vec![set], Sequence::MAX).unwrap();
    let genuine = root.pay(&[(other.address(), 300_000)]).unwrap();
    let pretends = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: set.compute_txid(), vout: 0 },
            script_sig: genuine.input[0].script_sig.clone(),
            ..TxIn::default()
        }],
        output: vec![to(&wallet("nobody"), 390_000)],
    };
    mesh.chain.mine_on(mesh.chain.tip().await.unwrap(), &[set, pretends, genuine]).await.unwrap();
    let hops = mesh.hops(watch, 1).await;
    assert_eq!(short(&hops), [(of(&other).to_string(), "out/0".to_owned(), 300_000, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_moves_a_deposit() {
    let mesh = Coins::started().await;
    let mut thief = wallet("thief");
    mesh.endow(&mut thief, &[500_000]).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::TracedFirst, 500_000)).await;
    let (before, deposit, elsewhere) = (thief.clone(), wallet("deposit"), wallet("elsewhere"));
    let fork = mesh.chain.tip().await.unwrap();

    let paid = thief.pay(&[(deposit.address(), 400_000)]).unwrap();
    mesh.chain.mine_on(fork, &[paid]).await.unwrap();
    mesh.hops(watch, 1).await;
    mesh.answer("upbit", &of(&deposit), ConfirmationAnswer::Held).await;
    eventually("it arrived", async || mesh.stream(watch).await.iter().any(|said| said.kind == "arrival")).await;

    let mut before = before;
    let otherwise = before.pay(&[(elsewhere.address(), 450_000)]).unwrap();
    let other = mesh.chain.mine_on(fork, &[otherwise]).await.unwrap();
    mesh.chain.mine_on(other, &[]).await.unwrap();
    let hops = mesh.hops(watch, 2).await;
    assert_eq!(short(&hops)[1], (of(&elsewhere).to_string(), "out/0".to_owned(), 450_000, 1));
    let stream = mesh.stream(watch).await;
    assert_eq!(stream.iter().filter(|said| said.kind == "arrival-retracted").count(), 1);
    let finality: Vec<wire::FinalityChanged> = mesh.of_kind(watch, "hop-finality").await;
    let retracted: Vec<_> = finality.iter().filter(|said| said.finality() == wire::Finality::Retracted).collect();
    assert_eq!(retracted.iter().map(|said| said.hop_id.clone()).collect::<Vec<_>>(), [hops[0].hop_id.clone()]);
}

/// What is mined again in another block is the same hop and the same arrival.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_a_reorganisation_includes_again_is_the_same_arrival() {
    let mesh = Coins::started().await;
    let (mut thief, deposit) = (wallet("thief"), wallet("deposit"));
    mesh.endow(&mut thief, &[500_000]).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::Fifo, 500_000)).await;
    let paid = thief.pay(&[(deposit.address(), 400_000)]).unwrap();
    mesh.chain.send(&paid).await.unwrap();
    let first = mesh.chain.mine(1).await.unwrap()[0];
    mesh.hops(watch, 1).await;
    mesh.answer("upbit", &of(&deposit), ConfirmationAnswer::Held).await;
    let arrivals = async || {
        let stream = mesh.stream(watch).await;
        let said = stream.iter().filter(|said| said.kind == "arrival");
        said.map(|said| open_arrival(&said.payload, &mesh.keyring).unwrap()).collect::<Vec<_>>()
    };
    eventually("it arrived", async || arrivals().await.len() == 1).await;

    let blocks = mesh.chain.reorganise(1, 2).await.unwrap();
    assert!(blocks[0] != first && mesh.chain.block(blocks[0]).await.unwrap().txdata.contains(&paid));
    let finality = async || mesh.of_kind::<wire::FinalityChanged>(watch, "hop-finality").await;
    eventually("it is seen in the other block", async || {
        finality()
            .await
            .iter()
            .any(|said| said.finality() == wire::Finality::Seen && said.block_hash == blocks[0].to_string())
    })
    .await;
    mesh.read_all().await;
    let said = arrivals().await;
    assert!(said.iter().all(|arrival| (arrival.id, arrival.traced) == (said[0].id, said[0].traced)), "{said:?}");
    let retracted = mesh.stream(watch).await.iter().filter(|said| said.kind == "arrival-retracted").count();
    assert_eq!(retracted + 1, said.len(), "it stands in the end");
    assert_eq!(mesh.all_questions("upbit").await.len(), 1, "nobody is asked anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_as_a_warning_and_what_became_of_it() {
    let mesh = Coins::started().await;
    let mut thief = wallet("thief");
    mesh.endow(&mut thief, &[500_000, 300_000]).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::TracedFirst, 800_000)).await;
    let waiting = async || mesh.of_kind::<wire::Waiting>(watch, "waiting").await;
    let (one, two) = (wallet("one"), wallet("two"));

    let first = thief.pay(&[(one.address(), 495_000)]).unwrap();
    mesh.chain.send(&first).await.unwrap();
    eventually("it is told", async || waiting().await.len() == 1).await;
    let seen = waiting().await.remove(0);
    assert_eq!((seen.state(), &seen.transaction), (wire::WaitingState::Seen, &first.compute_txid().to_string()));
    assert_eq!((&seen.payments[0].to, seen.payments[0].amount.as_str()), (&of(&one).to_string(), "495000"));
    assert!(mesh.questions("upbit", &of(&one)).await.is_empty(), "nobody is asked because of it");
    mesh.chain.mine(1).await.unwrap();
    mesh.hops(watch, 1).await;
    let states = async || waiting().await.iter().map(wire::Waiting::state).collect::<Vec<_>>();
    assert_eq!(states().await, [wire::WaitingState::Seen, wire::WaitingState::Included]);

    let mut before = thief.clone();
    let second = thief.pay(&[(one.address(), 200_000)]).unwrap();
    mesh.chain.send(&second).await.unwrap();
    eventually("another is told", async || waiting().await.len() == 3).await;
    let conflict = before.pay(&[(two.address(), 250_000)]).unwrap();
    mesh.chain.mine_on(mesh.chain.tip().await.unwrap(), std::slice::from_ref(&conflict)).await.unwrap();
    mesh.hops(watch, 2).await;
    let last = waiting().await.pop().unwrap();
    assert_eq!((last.state(), &last.transaction), (wire::WaitingState::Replaced, &second.compute_txid().to_string()));
    assert_eq!(last.replaced_by, conflict.compute_txid().to_string());
    mesh.read_all().await;
    assert_eq!(waiting().await.len(), 4, "it is not dropped besides");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pays_more_takes_the_place_of_what_waits_and_only_what_a_block_holds_is_followed() {
    let mesh = Coins::started_with(BcoinOptions { replace_by_fee: true, ..BcoinOptions::default() }).await;
    let mut thief = wallet("thief");
    mesh.endow(&mut thief, &[500_000]).await;
    let _replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::TracedFirst, 500_000)).await;
    let waiting = async |count: usize| {
        let told = async || mesh.of_kind::<wire::Waiting>(watch, "waiting").await;
        eventually("it is told", async || told().await.len() >= count).await;
        told().await
    };
    let (coin, output) = thief.coins().next().unwrap().clone();
    let pay = |payee: &str, fee: u64| {
        let paid = vec![to(&wallet(payee), 500_000 - fee)];
        sign(&[(coin, output.clone(), &thief)], paid, Sequence::ENABLE_RBF_NO_LOCKTIME).unwrap()
    };
    let [first, second, third] = [pay("one", FEE), pay("two", 2 * FEE), pay("three", 3 * FEE)];
    mesh.chain.send(&first).await.unwrap();
    waiting(1).await;
    mesh.chain.send(&second).await.unwrap();
    waiting(3).await;
    mesh.chain.send(&third).await.unwrap();
    waiting(5).await;
    mesh.chain.mine(1).await.unwrap();
    let told = waiting(6).await;

    use wire::WaitingState::{Included, Replaced, Seen};
    let [first, second, third] = [first, second, third].map(|transaction| transaction.compute_txid().to_string());
    let of_one = |transaction: &str| -> Vec<_> {
        let told = told.iter().filter(|told| told.transaction == transaction);
        told.map(|told| (told.state(), told.replaced_by.clone())).collect()
    };
    assert_eq!(of_one(&first), [(Seen, String::new()), (Replaced, second.clone())]);
    assert_eq!(of_one(&second), [(Seen, String::new()), (Replaced, third.clone())]);
    assert_eq!(of_one(&third), [(Seen, String::new()), (Included, String::new())]);
    let hops = mesh.hops(watch, 1).await;
    assert_eq!(short(&hops), [(of(&wallet("three")).to_string(), "out/0".to_owned(), 500_000 - 3 * FEE, 1)]);
    for payee in ["one", "two"] {
        assert!(mesh.questions("upbit", &of(&wallet(payee))).await.is_empty(), "{payee} was never paid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_starts_anew_knows_what_outputs_to_look_for() {
    let mesh = Coins::started().await;
    let (mut thief, mut second) = (wallet("thief"), wallet("second"));
    mesh.endow(&mut thief, &[300_000, 200_000]).await;
    let replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::Haircut, 400_000)).await;
    let first = thief.pay(&[(second.address(), 450_000)]).unwrap();
    second.note(&first);
    mesh.chain.send(&first).await.unwrap();
    mesh.chain.mine(1).await.unwrap();
    let traced = short(&mesh.hops(watch, 1).await)[0].2;
    drop(replica);

    let _another = mesh.replica().await;
    let note = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return([7; 8]) };
    let (coin, output) = second.coins().next().unwrap().clone();
    let end = wallet("end");
    let on = sign(&[(coin, output, &second)], vec![note, to(&end, 440_000)], Sequence::MAX).unwrap();
    mesh.chain.send(&on).await.unwrap();
    mesh.chain.mine(1).await.unwrap();
    let hops = mesh.hops(watch, 2).await;
    let fee: u64 = mesh
        .of_kind::<wire::TrailEnded>(watch, "trail-ended")
        .await
        .iter()
        .filter(|ended| ended.transfer.as_ref().is_some_and(|t| t.transaction == on.compute_txid().to_string()))
        .map(|ended| ended.traced_amount.parse::<u64>().unwrap())
        .sum();
    assert_eq!(short(&hops)[1].2 + fee, traced, "not a satoshi is lost");
    assert_eq!(hops[1].to, account(&end.address()).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_in_the_past_with_a_time_or_a_transaction_and_goes_on_at_the_head() {
    let mesh = Coins::started().await;
    let (mut thief, mut second) = (wallet("thief"), wallet("second"));
    mesh.endow(&mut thief, &[300_000, 200_000]).await;
    let theft = thief.pay(&[(second.address(), 150_000)]).unwrap();
    second.note(&theft);
    mesh.chain.send(&theft).await.unwrap();
    let at = mesh.chain.mine(20).await.unwrap()[0];
    let on = second.pay(&[(wallet("third").address(), 100_000)]).unwrap();
    mesh.chain.send(&on).await.unwrap();
    let on_at = mesh.chain.mine(20).await.unwrap()[0];
    let times = [mesh.chain.block(at).await.unwrap(), mesh.chain.block(on_at).await.unwrap()]
        .map(|block| Moment::from_unix_timestamp(block.header.time.into()).unwrap());
    let replica = mesh.replica().await;
    let mut watches = Vec::new();
    for start in [Start::Since(timestamp(times[0])), Start::Transaction(theft.compute_txid().to_string())] {
        let of_it = WatchOf { start: Some(start), ..watch_of(TaintRule::TracedFirst, 500_000) };
        watches.push(mesh.watch_from(of(&thief), &of_it).await);
    }
    for watch in &watches {
        assert_eq!(mesh.hops(*watch, 2).await.len(), 2);
        let request = wire::ListTrailEndsRequest { watch_id: watch.to_string(), ..Default::default() };
        let ends = replica.api().list_trail_ends(Request::new(request)).await.unwrap().into_inner();
        let third = ends.places.iter().find(|place| place.account == of(&wallet("third")).to_string()).unwrap();
        let since = Moment::from_unix_timestamp(third.since.unwrap().seconds).unwrap();
        // The node's blocks state times that are still to come.
        assert!(since <= times[1], "it came there when its block says, or when it was seen");
    }
    let last = thief.pay(&[(wallet("fourth").address(), 50_000)]).unwrap();
    mesh.chain.send(&last).await.unwrap();
    mesh.chain.mine(1).await.unwrap();
    for watch in watches {
        let hops = mesh.hops(watch, 3).await;
        let transactions: Vec<_> = hops.iter().map(|hop| hop.transfer.as_ref().unwrap().transaction.clone()).collect();
        assert_eq!(transactions, [&theft, &on, &last].map(|moved| moved.compute_txid().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_block_itself_pays_lies_at_the_root_and_is_followed_from_there() {
    let mesh = Coins::started().await;
    let mut thief = wallet("thief");
    let _replica = mesh.replica().await;
    let watch = mesh.watch_from(of(&thief), &watch_of(TaintRule::TracedFirst, 700_000)).await;
    let mined = mesh.chain.mine_to(1, &thief.address()).await.unwrap();
    thief.note(&mesh.chain.block(mined[0]).await.unwrap().txdata[0]);
    // It may be spent after a hundred blocks.
    mesh.chain.mine(100).await.unwrap();
    let paid = thief.pay(&[(wallet("one").address(), 600_000)]).unwrap();
    mesh.chain.send(&paid).await.unwrap();
    mesh.chain.mine(1).await.unwrap();
    let hops = mesh.hops(watch, 1).await;
    assert_eq!((hops[0].to.clone(), hops[0].traced_amount.as_str()), (of(&wallet("one")).to_string(), "600000"));
}
