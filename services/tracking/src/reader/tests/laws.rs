//! Laws of the reader, on a real database: whatever a chain does, what stands is what a fresh reading of the branch that
//! won finds, and a chain that is read twice is told twice in the same words.

use std::sync::Arc;

use haetae_core::{ConfirmationAnswer, TaintRule, WatchId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use super::world::{EXCHANGES, Granted, Keys, World};
use crate::scripted::{Move, Scripted};
use crate::source::{BlockRef, Transfer};

/// Stories that are told by each law; `STORIES` in the environment tells more.
const STORIES: usize = 24;

/// What may happen while a chain is read.
#[derive(Clone, Debug)]
enum Happens {
    /// One of two nodes puts blocks on the branch that it knows, after `back` of its blocks have left it. Of the transfers
    /// in those, `again` are included in the first of the new.
    Mined {
        node: usize,
        back: u64,
        again: usize,
        blocks: Vec<Vec<Move>>,
    },
    /// A node takes over the other's branch.
    Agreed {
        node: usize,
    },
    /// All that a node shows is read.
    Read {
        node: usize,
    },
    Answered {
        account: u8,
        exchange: usize,
        unknown: bool,
    },
    /// The process is killed.
    Killed,
    /// Another watch begins.
    Watched,
}

fn stories() -> impl Strategy<Value = (TaintRule, Vec<Happens>)> {
    let moves = prop::collection::vec((0u8..7, 1u8..9, 0u64..90), 0..4);
    let blocks = prop::collection::vec(moves, 1..4);
    let back = prop_oneof![4 => Just(0u64), 3 => 1u64..3, 2 => 3u64..12];
    let mined = (0usize..2, back, 0usize..5, blocks).prop_map(|(node, back, again, blocks)| Happens::Mined {
        node,
        back,
        again,
        blocks,
    });
    let happens = prop_oneof![
        6 => mined,
        2 => (0usize..2).prop_map(|node| Happens::Agreed { node }),
        6 => (0usize..2).prop_map(|node| Happens::Read { node }),
        4 => (1u8..9, 0usize..2, prop::bool::weighted(0.2))
            .prop_map(|(account, exchange, unknown)| Happens::Answered { account, exchange, unknown }),
        1 => Just(Happens::Killed),
        1 => Just(Happens::Watched),
    ];
    (prop::sample::select(&TaintRule::ALL[..]), prop::collection::vec(happens, 4..28))
}

/// What an exchange says in the end: account 3 is bithumb's, account 5 upbit's; nobody ever answers about account 6.
fn says(account: u8, exchange: usize) -> Option<ConfirmationAnswer> {
    match (account, EXCHANGES[exchange]) {
        (6, _) => None,
        (3, "bithumb") | (5, "upbit") => Some(ConfirmationAnswer::Held),
        _ => Some(ConfirmationAnswer::NotHeld),
    }
}

fn watch(n: usize) -> WatchId {
    WatchId(Uuid::from_u128(n as u128 + 1))
}

/// A story that is being told.
struct Teller<'a> {
    world: &'a mut World,
    keys: &'a Keys,
    rule: TaintRule,
    tips: [BlockRef; 2],
    watches: usize,
}

impl Teller<'_> {
    async fn begin<'a>(world: &'a mut World, keys: &'a Keys, rule: TaintRule, begun: BlockRef) -> Teller<'a> {
        world.node.show(begun);
        world.begin_anew().await;
        let mut teller = Teller { world, keys, rule, tips: [begun; 2], watches: 0 };
        teller.watch().await;
        teller
    }

    async fn watch(&mut self) {
        let of = Granted {
            watch: watch(self.watches),
            stolen: 100 + 50 * self.watches as u64,
            rule: self.rule,
            until: self.world.now() + time::Duration::days(7),
        };
        self.watches += 1;
        self.world.act_on(&self.keys.grant(&of, self.world.now())).await;
    }

    async fn tell(&mut self, event: &Happens) {
        match event {
            Happens::Mined { node, back, again, blocks } => {
                let on = self.world.node.below(self.tips[*node], *back);
                let left = &self.world.node.branch(self.tips[*node])[usize::try_from(on.number).unwrap() + 1..];
                let mut again: Vec<Transfer> =
                    left.iter().flat_map(|block| block.transfers().to_vec()).take(*again).collect();
                let mut tip = on;
                for moves in blocks {
                    tip = self.world.node.mine(tip, &std::mem::take(&mut again), moves);
                }
                self.tips[*node] = tip;
            }
            Happens::Agreed { node } => self.tips[*node] = self.tips[1 - *node],
            Happens::Read { node } => {
                self.world.node.show(self.tips[*node]);
                // Two nodes that are too far apart halt the chain until the one that was read before shows itself again.
                let _ = self.world.read().await;
            }
            Happens::Answered { account, exchange, unknown } => {
                if let Some(said) = says(*account, *exchange) {
                    let answer = if *unknown { ConfirmationAnswer::Unknown } else { said };
                    self.world.answer(EXCHANGES[*exchange], *account, answer).await;
                }
            }
            Happens::Killed => self.world.restart().await,
            Happens::Watched if self.watches < 3 => self.watch().await,
            Happens::Watched => {}
        }
    }

    /// The branch of the first node wins, and everybody answers.
    async fn end(&mut self) -> BlockRef {
        let tip = self.world.node.mine_empty(self.tips[0], 3);
        self.world.node.show(tip);
        if self.world.read().await.is_err() {
            // A person has looked, and allows for more.
            self.world.depth = 1_000;
            self.world.restart().await;
            self.world.read().await.unwrap();
        }
        self.answer_all().await;
        tip
    }

    async fn answer_all(&self) {
        for account in 0..10 {
            for (exchange, name) in EXCHANGES.iter().enumerate() {
                if let Some(answer) = says(account, exchange) {
                    self.world.answer(name, account, answer).await;
                }
            }
        }
    }
}

/// The same stories every time.
fn told() -> Vec<(TaintRule, Vec<Happens>)> {
    let count = std::env::var("STORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(STORIES);
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| stories().new_tree(&mut runner).unwrap().current()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_after_any_reorganisations_is_what_a_fresh_reading_of_the_branch_that_won_finds() {
    let (keys, node) = (Arc::new(Keys::new()), Arc::new(Scripted::new()));
    let begun = node.mine_empty(node.shown(), 20);
    let (mut lived, mut fresh) = (World::new(&keys, &node).await, World::new(&keys, &node).await);
    let mut retracted = 0;
    for (rule, story) in told() {
        let mut teller = Teller::begin(&mut lived, &keys, rule, begun).await;
        for event in &story {
            teller.tell(event).await;
        }
        let tip = teller.end().await;
        let watches = teller.watches;
        let branch = node.branch(tip);
        let after = |number: u64| branch[usize::try_from(number).unwrap()].at;

        let mut began: Vec<(u64, usize)> = Vec::new();
        for n in 0..watches {
            began.push((lived.active_after(watch(n)).await, n));
        }
        began.sort_unstable();
        node.show(after(began[0].0));
        fresh.begin_anew().await;
        let mut again = Teller { world: &mut fresh, keys: &keys, rule, tips: [tip; 2], watches: 0 };
        for (number, n) in began {
            node.show(after(number));
            again.world.read().await.unwrap();
            again.watches = n;
            again.watch().await;
        }
        node.show(tip);
        again.world.read().await.unwrap();
        again.answer_all().await;

        for n in (0..watches).map(watch) {
            assert_eq!(lived.stands(n).await, fresh.stands(n).await, "{rule:?} {story:#?}");
            assert_eq!(lived.said(n).await, fresh.said(n).await, "{rule:?} {story:#?}");
            retracted += lived.retracted(n).await;
        }
    }
    assert!(retracted > 0, "the stories are about something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_replayed_with_the_same_answers_is_told_in_the_same_words() {
    let (keys, node) = (Arc::new(Keys::new()), Arc::new(Scripted::new()));
    let begun = node.mine_empty(node.shown(), 20);
    let mut said = 0;
    for (rule, story) in told().into_iter().take(12) {
        let mut first = World::new(&keys, &node).await;
        let mut teller = Teller::begin(&mut first, &keys, rule, begun).await;
        let mut tips = Vec::new();
        for event in &story {
            teller.tell(event).await;
            tips.push(teller.tips);
        }
        let mut second = World::new(&keys, &node).await;
        let mut teller = Teller::begin(&mut second, &keys, rule, begun).await;
        for (event, tips) in story.iter().zip(tips) {
            match event {
                // The blocks are there already.
                Happens::Mined { .. } | Happens::Agreed { .. } => teller.tips = tips,
                event => teller.tell(event).await,
            }
        }
        let log = first.log().await;
        said += log.len();
        assert_eq!(log, second.log().await);
    }
    assert!(said > 30, "the stories are about something: {said}");
}
