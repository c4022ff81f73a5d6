use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{Sequence, Transaction as Body, WPubkeyHash, Witness};
use haetae_core::{TaintRule, Target};

use super::*;
use crate::book::Needs;
use crate::scene::coins::{account, chain, script, terms, txid};
use crate::source::{Block, BlockRef, Body as Does};
use crate::terms::Terms;
use crate::watched::Stored;

/// A key; nobody checks signatures here.
const KEY: [u8; 33] = [2; 33];

fn root() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&KEY))
}

fn of_root(script: &ScriptBuf) -> Terms {
    let root = Target::account(Account::of_script(chain(), script).unwrap());
    Terms { root, ..terms(TaintRule::TracedFirst, 100) }
}

fn book(of: &ScriptBuf) -> Book {
    let mut book = Book::new(chain());
    book.put(Watched::restore(of_root(of), Stored::default()).unwrap());
    book
}

fn spend(output: OutPoint, witness: &[&[u8]]) -> TxIn {
    TxIn { previous_output: output, witness: Witness::from_slice(witness), ..TxIn::default() }
}

fn by_key(output: OutPoint) -> TxIn {
    spend(output, &[&[0x30; 71], &KEY])
}

fn by_taproot(output: OutPoint) -> TxIn {
    spend(output, &[&[1; 64]])
}

fn out(n: u32) -> OutPoint {
    OutPoint { txid: txid(n), vout: 0 }
}

fn pays(script: ScriptBuf, amount: u64) -> TxOut {
    TxOut { value: bitcoin::Amount::from_sat(amount), script_pubkey: script }
}

fn transaction(input: Vec<TxIn>, output: Vec<TxOut>) -> Transaction {
    let input = input.into_iter().map(|input| TxIn { sequence: Sequence::MAX, ..input }).collect();
    let body = Body { version: Version::TWO, lock_time: LockTime::ZERO, input, output };
    Transaction { id: body.compute_txid(), body }
}

fn block(number: u64, transactions: &[Transaction]) -> Block {
    Block {
        at: BlockRef { number, hash: B256::with_last_byte(number.try_into().unwrap()) },
        parent: B256::ZERO,
        time: Moment::UNIX_EPOCH,
        body: Does::Transactions(transactions.to_vec()),
    }
}

fn wanted(needs: &Needs) -> BTreeSet<OutPoint> {
    needs.outputs.iter().map(|spent| spent.output).collect()
}

fn asked(outputs: &[(OutPoint, ScriptBuf, u64)]) -> Asked {
    let outputs = outputs.iter().map(|(at, script, amount)| (*at, pays(script.clone(), *amount))).collect();
    let payees = (0..10).map(|n| (account(n), AccountFacts::default())).collect();
    Asked { outputs, payees, ..Asked::default() }
}

#[test]
fn all_that_a_transaction_spends_is_asked_for_where_it_may_carry_traced_money_and_nothing_else() {
    let first = transaction(vec![by_key(out(1)), spend(out(2), &[&[0; 9]])], vec![pays(script(3), 90)]);
    let on = transaction(vec![by_taproot(OutPoint { txid: first.id, vout: 0 })], vec![pays(script(4), 80)]);
    let other = transaction(vec![by_taproot(out(5)), spend(out(6), &[&[0; 9]])], vec![pays(script(5), 70)]);
    let blocks = [block(1, &[first.clone(), other]), block(2, &[on])];
    let needs = book(&root()).needs(&blocks);
    let made = OutPoint { txid: first.id, vout: 0 };
    assert_eq!(wanted(&needs), BTreeSet::from([out(1), out(2), made]));
    assert_eq!(needs.payees, BTreeSet::from([account(3), account(4)]));
    assert_eq!(made_in(&blocks, &needs.outputs), HashMap::from([(made, pays(script(3), 90))]));
}

#[test]
fn where_a_root_shows_nothing_every_output_that_may_be_its_is_asked_for() {
    let taproot = ScriptBuf::new_p2tr_tweaked(bitcoin::key::TweakedPublicKey::dangerous_assume_tweaked(
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".parse().unwrap(),
    ));
    let mut book = book(&taproot);
    let its = transaction(vec![by_taproot(out(1)), spend(out(2), &[&[0; 9]])], vec![pays(script(3), 90)]);
    let other = transaction(vec![by_taproot(out(5)), spend(out(6), &[&[0; 9]])], vec![pays(script(5), 70)]);
    let block = block(1, &[its, other]);
    assert_eq!(wanted(&book.needs(std::slice::from_ref(&block))), BTreeSet::from([out(1), out(5)]));

    let known = [(out(1), taproot, 60), (out(5), script(8), 60)];
    let missing = book.take_in(&block, Moment::UNIX_EPOCH, &asked(&known)).unwrap_err();
    assert_eq!(wanted(&missing.into()), BTreeSet::from([out(1), out(2)]), "it is the root's: all of it");
    let known = [known.as_slice(), &[(out(2), script(8), 40)]].concat();
    assert_eq!(book.take_in(&block, Moment::UNIX_EPOCH, &asked(&known)).unwrap().len(), 1);
}

#[test]
fn what_only_shows_the_roots_key_is_not_the_roots() {
    let mut book = book(&root());
    let pretends = block(1, &[transaction(vec![by_key(out(1))], vec![pays(script(3), 90)])]);
    assert!(book.take_in(&pretends, Moment::UNIX_EPOCH, &asked(&[(out(1), script(7), 90)])).unwrap().is_empty());
}

#[test]
fn an_output_is_under_watch_before_the_next_transaction_and_again_when_its_spending_left_the_chain() {
    let mut book = book(&root());
    let id = of_root(&root()).watch;
    let first = transaction(vec![by_key(out(1))], vec![pays(script(3), 100)]);
    let coin = OutPoint { txid: first.id, vout: 0 };
    let on = |to: u8| transaction(vec![spend(coin, &[&[0; 9]])], vec![pays(script(to), 100)]);
    let known = asked(&[(out(1), root(), 100), (coin, script(3), 100)]);
    let see = |book: &mut Book, block: &Block| book.take_in(block, Moment::UNIX_EPOCH, &known).unwrap();

    assert_eq!(see(&mut book, &block(1, &[first, on(4)])), BTreeSet::from([id]));
    assert_eq!(book.settle(id).movements.len(), 2);
    book.rewind(0);
    assert!(see(&mut book, &block(1, &[on(5)])).is_empty(), "the root has not paid on this branch");

    let mut book = self::book(&root());
    let first = transaction(vec![by_key(out(1))], vec![pays(script(3), 100)]);
    see(&mut book, &block(1, &[first]));
    see(&mut book, &block(2, &[on(4)]));
    // As after a restart: only what is unspent is looked for.
    let watched = book.get(id).unwrap().clone();
    book.put(watched);
    book.rewind(1);
    assert_eq!(see(&mut book, &block(2, &[on(5)])), BTreeSet::from([id]));
    let paid =
        book.settle(id).movements.into_iter().find(|movement| movement.live && movement.sighting.to == account(5));
    assert!(paid.is_some());
}
