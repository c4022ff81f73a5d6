use haetae_core::{Crossing, TaintRule};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::knowledge::{AccountFacts, Look, Opening};
use crate::labels::Labelled;
use crate::scene::{Balances, World, account, held, terms, token, transfer};
use crate::terms::Terms;
use crate::trail::Place;
use crate::watched::Stored;

/// Account 7 has a label that calls it a mixer, account 6 has code.
struct Labelling<'a>(Balances<'a>);

impl Look for Labelling<'_> {
    fn facts(&self, of: &Account) -> Option<AccountFacts> {
        let label = Labelled { crossing: Crossing::Mixer, pack: [1; 32], number: 3 };
        Some(AccountFacts {
            contract: *of == account(6) || *of == account(7),
            label: (*of == account(7)).then_some(label),
            ..AccountFacts::default()
        })
    }

    fn opening(&self, account: &Account, asset: &Asset) -> Option<Opening> {
        self.0.opening(account, asset)
    }
}

fn watch(terms: Terms) -> Watched {
    Watched::restore(terms, Stored::default()).unwrap()
}

fn see(watched: &mut Watched, world: &mut World, transfers: &[Sighting]) {
    for transfer in transfers {
        let transfer = world.affordable(transfer.clone());
        watched.see(transfer.clone(), &Labelling(world.before(&transfer))).unwrap();
        world.move_on(&transfer);
    }
    watched.settle();
}

fn short(watched: &Watched) -> Vec<(Account, Why, u64, Option<u32>, u32)> {
    let short = |spot: Spot<'_>| {
        let traced = spot.traced.to_string().parse().unwrap();
        (spot.account.clone(), spot.why, traced, spot.last.map(|last| last.place.position), spot.depth)
    };
    let mut spots: Vec<_> = spots(watched).into_iter().map(short).collect();
    spots.sort_by_key(|(account, .., traced, _, _)| (account.clone(), *traced));
    spots
}

#[test]
fn every_place_is_listed_with_its_reason_and_what_led_there() {
    let mut watched = watch(terms(100));
    let moves = [
        transfer(1, 1, 0, 1, 50),
        transfer(2, 1, 1, 2, 20),
        transfer(3, 2, 1, 2, 5),
        transfer(4, 2, 0, 7, 15),
        transfer(5, 3, 0, 6, 10),
        transfer(6, 3, 0, 3, 1),
        transfer(7, 4, 1, 4, 8),
    ];
    see(&mut watched, &mut World::default(), &moves);
    watched.learn(&account(4), held());
    let other = |reason| Why::Ended(TrailEnd::Other(reason));
    assert_eq!(
        short(&watched),
        [
            (account(0), Why::Unspent, 24, None, 0),
            (account(1), Why::Unspent, 17, Some(1), 1),
            (account(2), Why::Unspent, 25, Some(3), 2),
            (account(3), Why::Ended(TrailEnd::Dust), 1, Some(6), 1),
            (account(4), Why::Ended(TrailEnd::Held), 8, Some(7), 2),
            (account(6), other(EndReason::Contract), 10, Some(5), 1),
            (account(7), other(EndReason::Crossing(Crossing::Mixer)), 15, Some(4), 1),
        ]
    );
    let holders: Vec<_> = spots(&watched).into_iter().filter_map(|spot| spot.exchange).collect();
    assert_eq!(holders, ["upbit".parse().unwrap()]);
    let two = spots(&watched).into_iter().find(|spot| *spot.account == account(2)).unwrap();
    assert_eq!(two.transfers, 2);
}

#[test]
fn what_left_the_chain_led_nowhere() {
    let mut watched = watch(terms(100));
    see(&mut watched, &mut World::default(), &[transfer(1, 5, 0, 1, 60), transfer(2, 6, 1, 7, 60)]);
    watched.rewind(5);
    assert_eq!(short(&watched).len(), 2, "the root and account 1");
    watched.rewind(4);
    assert_eq!(short(&watched), [(account(0), Why::Unspent, 100, None, 0)]);
}

proptest! {
    #[test]
    fn the_places_come_to_what_the_totals_say(
        rule in select(&TaintRule::ALL[..]),
        stolen in 1u64..200,
        moves in prop::collection::vec((0u8..8, 0u8..8, 0u64..120), 0..40),
    ) {
        let mut terms = terms(stolen);
        terms.rule = rule;
        terms.limits.max_degree = 3;
        terms.limits.max_hops = 4;
        let mut watched = watch(terms);
        let mut world = World::default();
        if rule.needs_balances() {
            let since = Place { block: 0, position: u32::MAX };
            watched.open_root(&token(), Opening { since, balance: Some(world.of(&account(0))) });
        }
        let moves: Vec<_> = (1u32..)
            .zip(moves)
            .map(|(n, (from, to, amount))| transfer(n, 1 + u64::from(n) / 3, from, to, amount))
            .collect();
        see(&mut watched, &mut world, &moves);
        watched.learn(&account(5), held());
        let totals = watched.totals()[&token()];
        let sum = |of: fn(&Why) -> bool| -> Amount {
            spots(&watched).iter().filter(|spot| of(&spot.why)).map(|spot| spot.traced).sum()
        };
        prop_assert_eq!(sum(|why| *why == Why::Unspent), totals.in_flight);
        prop_assert_eq!(sum(|why| *why == Why::Ended(TrailEnd::Held)), totals.arrived);
        let ended = |why: &Why| !matches!(why, Why::Unspent | Why::Ended(TrailEnd::Held));
        prop_assert_eq!(sum(ended), totals.ended);
        let names: std::collections::BTreeSet<_> =
            spots(&watched).iter().map(|spot| format!("{} {} {:?}", spot.account, spot.asset, spot.why)).collect();
        prop_assert_eq!(names.len(), spots(&watched).len(), "no place is there twice");
    }
}
