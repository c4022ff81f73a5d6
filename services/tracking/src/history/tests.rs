use alloy_primitives::{Address, B256, U256};
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, TxIn, TxOut};
use haetae_core::{Amount, TaintRule, TransferIndex};

use super::begin::with_outputs;
use super::*;
use crate::knowledge::AccountFacts;
use crate::said::Change;
use crate::scene;
use crate::source::{BalanceAt, Body, Transaction, Transfer};
use crate::terms::Terms;
use crate::trail::Place;
use crate::watched::{Stored, Watched};

fn at(number: u64) -> BlockRef {
    BlockRef { number, hash: B256::with_last_byte(number.try_into().unwrap()) }
}

fn address(n: u8) -> Address {
    scene::account(n).evm_address().unwrap()
}

fn block(number: u64, moves: &[(u8, u8, u64)]) -> Block {
    let transfers = moves.iter().zip(0u8..).map(|(&(from, to, amount), n)| Transfer {
        transaction: B256::with_last_byte(n),
        index: TransferIndex::Log(0),
        from: address(from),
        to: address(to),
        token: scene::token().contract(),
        amount: U256::from(amount),
    });
    let body = Body::Transfers(transfers.collect());
    Block { at: at(number), parent: at(number - 1).hash, time: Moment::UNIX_EPOCH, body }
}

#[test]
fn blocks_are_taken_as_far_as_each_is_the_child_of_the_one_before() {
    let chain = vec![block(5, &[]), block(6, &[]), Block { parent: B256::ZERO, ..block(7, &[]) }, block(8, &[])];
    let taken: Vec<u64> = follow(at(4), chain.clone()).iter().map(|block| block.at.number).collect();
    assert_eq!(taken, [5, 6]);
    assert!(follow(at(3), chain).is_empty());
}

#[test]
fn a_watch_begins_with_its_transaction_also_where_another_node_tells_of_more_before_it() {
    let begins = Some(Place { block: 5, position: 1 });
    let terms = Terms { begins, ..scene::terms(900) };
    let (watch, theft) = (terms.watch, B256::with_last_byte(2).to_string());
    let mut book = Book::new(scene::chain());
    book.put(Watched::restore(terms, Stored::default()).unwrap());
    // The theft is the third transfer; when it was looked for, the first was not told of.
    let told = block(5, &[(8, 9, 1), (0, 6, 40), (0, 1, 100)]);
    begin::place_anew(&mut book, &told, &BTreeMap::from([(watch, theft.clone())]));
    assert_eq!(book.get(watch).unwrap().terms().begins, Some(Place { block: 5, position: 2 }));
    begin::place_anew(&mut book, &block(6, &[(0, 6, 40), (0, 1, 1), (0, 1, 100)]), &BTreeMap::from([(watch, theft)]));
    assert_eq!(book.get(watch).unwrap().terms().begins, Some(Place { block: 5, position: 2 }), "of that block alone");
}

#[test]
fn a_watch_counts_from_its_place_within_a_block_on_and_knows_what_lay_at_its_root_there() {
    let begins = Some(Place { block: 1, position: 2 });
    let terms = Terms { begins, rule: TaintRule::Haircut, ..scene::terms(900) };
    let watch = terms.watch;
    let mut book = Book::new(scene::chain());
    book.put(Watched::restore(terms, Stored::default()).unwrap());

    assert!(book.needs(&[Block { at: at(0), ..block(9, &[]) }]).balances.is_empty(), "it has not begun");
    // The theft comes first, then a payment that is none of its business, then one of money that came with the theft.
    let block = block(1, &[(5, 0, 900), (0, 4, 100), (0, 1, 400)]);
    let balance = |n: u8, amount: u64| {
        let at = BalanceAt { account: address(n), token: scene::token().contract(), block: block.parent };
        (at, Some(U256::from(amount)))
    };
    let asked = Asked {
        facts: (0..9).map(|n| (address(n), AccountFacts::default())).collect(),
        balances: [balance(0, 200), balance(1, 0), balance(4, 0)].into(),
        ..Asked::default()
    };
    book.take_in(&block, Moment::UNIX_EPOCH, &asked).unwrap();
    let hops: Vec<_> = book
        .settle(watch)
        .changes
        .into_iter()
        .filter_map(|change| match change {
            Change::Hop { sighting, hop } => Some((sighting.place.position, hop.traced)),
            _ => None,
        })
        .collect();
    // Of 1,000 that lay there 900 are stolen.
    assert_eq!(hops, [(2, Amount::from(360u64))]);
}

#[test]
fn where_money_is_kept_in_outputs_change_to_the_root_is_not_what_was_stolen() {
    use crate::scene::coins::{coin, script, terms, txid};
    let pays = |n: u8, amount: u64| TxOut { value: bitcoin::Amount::from_sat(amount), script_pubkey: script(n) };
    let spends = OutPoint { txid: txid(1), vout: 0 };
    let input = TxIn { previous_output: spends, ..TxIn::default() };
    let begins = |payer: u8, output: Vec<TxOut>| {
        let body = bitcoin::Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input.clone()],
            output,
        };
        let transaction = Transaction { id: body.compute_txid(), body };
        let body = Body::Transactions(vec![transaction.clone()]);
        let block = Block { at: at(5), parent: B256::ZERO, time: Moment::UNIX_EPOCH, body };
        let spent = HashMap::from([(spends, pays(payer, 100))]);
        let begins = with_outputs(&terms(TaintRule::TracedFirst, 95), &block, &transaction, &spent)?;
        Some((begins.place.position, begins.stolen[&coin()]))
    };
    // Account 0 is the root.
    assert_eq!(begins(7, vec![pays(0, 60), pays(0, 30)]), Some((1, Amount::from(90u64))), "what it brings");
    assert_eq!(
        begins(0, vec![pays(7, 60), pays(0, 35)]),
        Some((0, Amount::from(65u64))),
        "what it takes, its cost too"
    );
    assert_eq!(begins(7, vec![pays(8, 99)]), None);
}
