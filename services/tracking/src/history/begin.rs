//! Where a watch begins that begins with a transaction. Pure.

use std::collections::{BTreeMap, HashMap};

use bitcoin::{OutPoint, TxOut};
use haetae_core::{Amount, Asset, Moment, WatchId};

use crate::book::Book;
use crate::source::{Block, Transaction};
use crate::terms::Terms;
use crate::trail::{Place, Sighting};
use crate::watched::Watched;

/// Where it begins, and what is stolen at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// The first place that counts.
    pub(crate) place: Place,
    pub(crate) stolen: BTreeMap<Asset, Amount>,
}

/// Reads it from the transfers of the transaction's block. Where the transaction pays the root, it begins when the last of
/// that has come; else with the first that the root pays in it. None where it does neither with anything that was stolen.
pub(crate) fn with_transaction(terms: &Terms, block: &[Sighting], transaction: &str) -> Option<Beginning> {
    let root = &terms.root.account;
    let of_it: Vec<&Sighting> = block
        .iter()
        .filter(|s| s.transfer.transaction == transaction && !s.is_fee() && s.from != s.to)
        .filter(|s| terms.stolen.contains_key(&s.asset))
        .collect();
    let moved = |sightings: &[&Sighting]| {
        let mut moved = BTreeMap::<Asset, Amount>::new();
        for sighting in sightings {
            let sum = moved.entry(sighting.asset.clone()).or_default();
            *sum = sum.saturating_add(sighting.amount);
        }
        let stolen = |(asset, most): (&Asset, &Amount)| {
            (asset.clone(), moved.get(asset).copied().unwrap_or_default().min(*most))
        };
        terms.stolen.iter().map(stolen).collect()
    };
    let paid: Vec<&Sighting> = of_it.iter().copied().filter(|s| s.to == *root).collect();
    if let Some(last) = paid.last() {
        let place = Place { position: last.place.position + 1, ..last.place };
        return Some(Beginning { place, stolen: moved(&paid) });
    }
    let pays: Vec<&Sighting> = of_it.into_iter().filter(|s| s.from == *root).collect();
    Some(Beginning { place: pays.first()?.place, stolen: moved(&pays) })
}

/// Finds again where watches begin within a block that is read for them, by the transactions that they begin with: places count
/// what calls moved, and the node that tells now may tell of more, or of less, than the one that told then.
pub(super) fn place_anew(book: &mut Book, block: &Block, begun_with: &BTreeMap<WatchId, String>) {
    let here = |begins: Place| begins.block == block.at.number;
    for (id, transaction) in begun_with {
        let Some(terms) = book.get(*id).map(Watched::terms).filter(|terms| terms.begins.is_some_and(here)) else {
            continue;
        };
        let sightings = book.sightings(block, Moment::UNIX_EPOCH);
        if let Some(beginning) = with_transaction(terms, &sightings, transaction)
            && let Some(watched) = book.get_mut(*id)
        {
            watched.begin_at(beginning.place);
        }
    }
}

/// The same where money is kept in outputs. `spent` is what the transaction spends, by the outputs' names. Where the root pays
/// in it, what comes back to the root is change.
pub(crate) fn with_outputs(
    terms: &Terms,
    block: &Block,
    transaction: &Transaction,
    spent: &HashMap<OutPoint, TxOut>,
) -> Option<Beginning> {
    let script = terms.root.account.script()?;
    let (asset, stated) = terms.stolen.first_key_value()?;
    let of_root = |output: &&TxOut| output.script_pubkey == script;
    let sum =
        |outputs: &mut dyn Iterator<Item = &TxOut>| outputs.map(|output| Amount::from(output.value.to_sat())).sum();
    let inputs = transaction.body.input.iter().filter_map(|input| spent.get(&input.previous_output));
    let paid: Amount = sum(&mut inputs.filter(of_root));
    let brought: Amount = sum(&mut transaction.body.output.iter().filter(of_root));
    let position = block.transactions().iter().position(|other| other.id == transaction.id)?;
    let position = u32::try_from(position).ok()?;
    let (position, moved) = match paid.is_zero() {
        true => (position + 1, brought),
        false => (position, paid.saturating_sub(brought)),
    };
    let stolen = BTreeMap::from([(asset.clone(), moved.min(*stated))]);
    (!moved.is_zero()).then_some(Beginning { place: Place { block: block.at.number, position }, stolen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene;

    fn theft() -> String {
        scene::transfer(2, 5, 0, 0, 0).transfer.transaction
    }

    /// A block in which transfers `n`, `m`, … are all of the same transaction.
    fn block(moves: &[(u32, u8, u8, u64)]) -> Vec<Sighting> {
        let mut block: Vec<_> =
            moves.iter().map(|&(n, from, to, amount)| scene::transfer(n, 5, from, to, amount)).collect();
        for sighting in &mut block {
            if sighting.place.position > 2 {
                sighting.transfer.transaction = theft();
            }
        }
        block
    }

    fn stolen(amount: u64) -> BTreeMap<Asset, Amount> {
        BTreeMap::from([(scene::token(), Amount::from(amount))])
    }

    #[test]
    fn what_it_brings_to_the_root_counts_from_there_on_and_is_the_most_that_was_stolen() {
        let block = block(&[(1, 0, 4, 9), (2, 7, 0, 60), (3, 7, 0, 30), (4, 0, 5, 20)]);
        let begins = with_transaction(&scene::terms(100), &block, &theft()).unwrap();
        assert_eq!(begins, Beginning { place: Place { block: 5, position: 4 }, stolen: stolen(90) });
        let begins = with_transaction(&scene::terms(80), &block, &theft()).unwrap();
        assert_eq!(begins.stolen, stolen(80), "no more than people stated");
    }

    #[test]
    fn where_the_root_only_pays_in_it_that_is_the_beginning() {
        let block = block(&[(1, 0, 4, 9), (2, 0, 5, 60), (3, 5, 6, 60)]);
        let begins = with_transaction(&scene::terms(100), &block, &theft()).unwrap();
        assert_eq!(begins, Beginning { place: Place { block: 5, position: 2 }, stolen: stolen(60) });
    }

    #[test]
    fn a_transaction_that_the_root_has_no_part_in_begins_nothing() {
        let block = block(&[(1, 0, 4, 9), (2, 5, 6, 60)]);
        assert_eq!(with_transaction(&scene::terms(100), &block, &theft()), None);
        assert_eq!(with_transaction(&scene::terms(100), &block, "0x00"), None);
    }
}
