use haetae_wire::{
    exchange::v1::Target,
    tracking::v1::{Attribution, FinalityChanged, Payer, WaitingPayment},
};

use super::*;

const COIN: &str = "eip155:1/slip44:60";

fn transfer(name: &str) -> Transfer {
    Transfer { chain: "eip155:1".into(), transaction: name.into(), index: "native".into() }
}

fn hop(name: &str, from: &str, to: &str, depth: u32) -> Item {
    Item::Hop(Hop {
        hop_id: name.into(),
        transfer: Some(transfer(name)),
        from: from.into(),
        to: to.into(),
        asset: COIN.into(),
        amount: "90".into(),
        traced_amount: if depth == 1 { "90" } else { "60" }.into(),
        depth,
        finality: Finality::Seen.into(),
        block_number: 10 + u64::from(depth),
        provisional: to == "D",
        ..Hop::default()
    })
}

fn arrived(by: &str, state: ArrivalState) -> Item {
    Item::Arrived(Arrived {
        arrival: Some(Arrival {
            arrival_id: format!("arrival of {by}"),
            transfer: Some(transfer(by)),
            exchange: "upbit".into(),
            asset: COIN.into(),
            traced_amount: "60".into(),
            ..Arrival::default()
        }),
        wallet_role: WalletRole::CustomerDeposit.into(),
        state: state.into(),
    })
}

fn ended(by: &str, at: &str) -> Item {
    Item::Ended(TrailEnded {
        account: at.into(),
        asset: COIN.into(),
        reason: TrailEndReason::HopLimit.into(),
        traced_amount: "60".into(),
        transfer: Some(transfer(by)),
        ..TrailEnded::default()
    })
}

fn finality(hop: &str, finality: Finality) -> Item {
    let finality = finality.into();
    Item::Finality(FinalityChanged { hop_id: hop.into(), finality, block_number: 12, ..Default::default() })
}

fn items(items: impl IntoIterator<Item = Item>) -> Vec<TrailItem> {
    items.into_iter().zip(1..).map(|(item, number)| TrailItem { number, time: None, item: Some(item) }).collect()
}

fn printed(found: impl IntoIterator<Item = Item>) -> String {
    Trail::of(&items(found)).print(&Look::default())
}

#[test]
fn money_stands_below_the_hop_that_brought_it_and_ends_with_their_reasons() {
    let held = AddressConcluded {
        target: Some(Target { account: "C".into(), memo: String::new() }),
        conclusion: Conclusion::Held.into(),
        exchange: "upbit".into(),
        ..Default::default()
    };
    let found = [
        hop("1", "A", "B", 1),
        hop("2", "B", "C", 2),
        hop("3", "B", "D", 2),
        Item::Address(AddressConcluded { conclusion: Conclusion::Open.into(), ..held.clone() }),
        Item::Address(held),
        arrived("2", ArrivalState::Settled),
        hop("4", "D", "E", 3),
        ended("4", "E"),
        finality("1", Finality::Final),
    ];
    assert_eq!(
        printed(found),
        "└─ #1 A → B  90 of eip155:1/slip44:60  final in block 12\n   \
            ├─ #2 B → C  90 of eip155:1/slip44:60, traced 60  seen in block 12\n   \
            │  └─ ARRIVED at upbit: 60 of eip155:1/slip44:60, customer deposit, settled\n   \
            └─ #3 B → D  90 of eip155:1/slip44:60, traced 60  seen in block 12, provisional\n      \
               └─ #7 D → E  90 of eip155:1/slip44:60, traced 60  seen in block 13\n         \
                  └─ ends at E: hop limit; 60 of eip155:1/slip44:60 traced there\n\
         \nWhat exchanges say about addresses on the way\n  C  HELD by upbit\n"
    );
}

#[test]
fn an_end_at_a_label_says_what_the_label_says_and_from_where() {
    let label = KnownLabel {
        says: Some(Attribution { label: "Tornado Cash".into(), ..Attribution::default() }),
        title: "Mixers".into(),
        confidence: 100,
        ..KnownLabel::default()
    };
    let Item::Ended(at) = ended("1", "B") else { panic!("an end") };
    let at = TrailEnded { reason: TrailEndReason::Mixer.into(), label: Some(label), ..at };
    let text = printed([hop("1", "A", "B", 1), Item::Ended(at)]);
    assert!(text.contains("ends at B: mixer “Tornado Cash” (Mixers, 100 of 100); 60 of"), "{text}");
}

#[test]
fn a_newer_word_about_an_arrival_replaces_the_older_one() {
    let text =
        printed([hop("1", "A", "B", 1), arrived("1", ArrivalState::HeldBack), arrived("1", ArrivalState::Settled)]);
    assert_eq!(text.matches("ARRIVED").count(), 1);
    assert!(text.contains("settled") && !text.contains("held back"), "{text}");
}

#[test]
fn a_retracted_hop_stays_and_says_so() {
    let text = printed([hop("1", "A", "B", 1), finality("1", Finality::Retracted)]);
    assert!(text.contains("retracted in block 12"), "{text}");
}

#[test]
fn a_hop_seen_again_after_a_reorganisation_is_one_hop() {
    let text = printed([hop("1", "A", "B", 1), finality("1", Finality::Retracted), hop("1", "A", "B", 1)]);
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("seen in block 11"), "{text}");
}

#[test]
fn a_trail_of_two_thousand_hops_is_printed() {
    let long =
        (1..=2_000_u32).map(|depth| hop(&depth.to_string(), &depth.to_string(), &(depth + 1).to_string(), depth));
    assert_eq!(printed(long).lines().count(), 2_000);
}

#[test]
fn a_watch_without_findings_says_so() {
    assert_eq!(printed([]), "No money has moved yet.\n");
}

fn waits(transaction: &str, state: WaitingState) -> Item {
    let payment = WaitingPayment { from: "A".into(), to: "B".into(), asset: COIN.into(), amount: "7".into() };
    let payments = if state == WaitingState::Seen { vec![payment] } else { Vec::new() };
    let replaced_by = if state == WaitingState::Replaced { "t9".into() } else { String::new() };
    let state = state.into();
    Item::Waiting(Waiting { transaction: transaction.into(), state, replaced_by, payments, ..Waiting::default() })
}

#[test]
fn what_waits_stands_apart_from_the_trail_and_leaves_when_it_is_in_a_block() {
    use WaitingState::{Included, Replaced, Seen};
    let found = [waits("t1", Seen), waits("t2", Seen), waits("t3", Seen), waits("t1", Included), waits("t2", Replaced)];
    let text = printed(found);
    assert!(text.contains("t2 replaced by t9; A → B  7 of eip155:1/slip44:60\n"), "{text}");
    assert!(text.contains("t3 waits to be included; A → B"), "{text}");
    assert!(!text.contains("t1"), "{text}");
}

#[test]
fn a_hop_of_several_payers_says_how_many() {
    let Item::Hop(hop) = hop("1", "A", "B", 1) else { unreachable!() };
    let payer = |account: &str| Payer { account: account.into(), traced_amount: "30".into() };
    let text = printed([Item::Hop(Hop { payers: vec![payer("A"), payer("C"), payer("D")], ..hop })]);
    assert!(text.contains("A and 2 more → B"), "{text}");
}
