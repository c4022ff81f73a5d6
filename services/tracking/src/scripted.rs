//! A chain that is written beforehand, every branch of it, and a node that shows the branch it is told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use haetae_core::{Moment, TransferIndex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::knowledge::AccountFacts;
use crate::scene;
use crate::source::{BalanceAt, Block, BlockRef, Body, ChainSource, Dated, Paying, Payments, Transfer};

/// Who pays whom how much, by numbers of [`scene::account`].
pub(crate) type Move = (u8, u8, u64);

/// What everybody has before the first block.
const HAD: u64 = 500;

#[derive(Debug)]
pub(crate) struct Scripted(Mutex<Tree>);

#[derive(Debug)]
struct Tree {
    blocks: HashMap<B256, Block>,
    /// The newest block of the branch that the node shows.
    shown: BlockRef,
    made: u64,
    /// It does not answer.
    down: bool,
    /// Blocks that it was asked for whole.
    asked: Vec<u64>,
}

impl Scripted {
    /// The first block, and nothing else.
    pub(crate) fn new() -> Self {
        let at = BlockRef { number: 0, hash: name(0) };
        let genesis = block(at, B256::ZERO, Vec::new());
        Self(Mutex::new(Tree {
            blocks: HashMap::from([(at.hash, genesis)]),
            shown: at,
            made: 1,
            down: false,
            asked: Vec::new(),
        }))
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap()
    }

    pub(crate) fn show(&self, tip: BlockRef) {
        self.tree().shown = tip;
    }

    pub(crate) fn shown(&self) -> BlockRef {
        self.tree().shown
    }

    /// The blocks that the node was asked for whole since the last call, in that order.
    pub(crate) fn take_asked(&self) -> Vec<u64> {
        std::mem::take(&mut self.tree().asked)
    }

    pub(crate) fn go_down(&self, down: bool) {
        self.tree().down = down;
    }

    /// The block that is so many below another.
    pub(crate) fn below(&self, tip: BlockRef, back: u64) -> BlockRef {
        let tree = self.tree();
        let mut at = tip;
        for _ in 0..back.min(tip.number) {
            let parent = tree.blocks[&at.hash].parent;
            at = tree.blocks[&parent].at;
        }
        at
    }

    /// The blocks of a branch, from the first.
    pub(crate) fn branch(&self, tip: BlockRef) -> Vec<Block> {
        self.tree().branch(tip.hash)
    }

    /// A block on top of another, with the transfers that can be afforded. `again` are included first: the same
    /// transactions as in another branch.
    pub(crate) fn mine(&self, on: BlockRef, again: &[Transfer], moves: &[Move]) -> BlockRef {
        let mut tree = self.tree();
        let mut balances = tree.balances(on.hash);
        let mut transfers = Vec::new();
        let mut include = |transfer: Transfer| {
            let has = balances.entry((transfer.from, transfer.token)).or_insert(U256::from(HAD));
            if transfer.amount.is_zero() || transfer.from == transfer.to || *has < transfer.amount {
                return;
            }
            *has -= transfer.amount;
            *balances.entry((transfer.to, transfer.token)).or_insert(U256::from(HAD)) += transfer.amount;
            transfers.push(transfer);
        };
        again.iter().cloned().for_each(&mut include);
        for (from, to, amount) in moves {
            tree.made += 1;
            include(Transfer {
                transaction: name(tree.made),
                index: TransferIndex::Log(0),
                from: address(*from),
                to: address(*to),
                token: scene::token().contract(),
                amount: U256::from(*amount),
            });
        }
        tree.made += 1;
        let at = BlockRef { number: on.number + 1, hash: name(tree.made) };
        tree.blocks.insert(at.hash, block(at, on.hash, transfers));
        at
    }

    /// Blocks without transfers.
    pub(crate) fn mine_empty(&self, on: BlockRef, count: u64) -> BlockRef {
        (0..count).fold(on, |on, _| self.mine(on, &[], &[]))
    }
}

impl Tree {
    fn branch(&self, tip: B256) -> Vec<Block> {
        let mut branch: Vec<Block> =
            std::iter::successors(self.blocks.get(&tip), |block| self.blocks.get(&block.parent)).cloned().collect();
        branch.reverse();
        branch
    }

    fn balances(&self, tip: B256) -> BTreeMap<(Address, Option<Address>), U256> {
        let mut balances = BTreeMap::new();
        for transfer in self.branch(tip).into_iter().flat_map(|block| block.transfers().to_vec()) {
            *balances.entry((transfer.from, transfer.token)).or_insert(U256::from(HAD)) -= transfer.amount;
            *balances.entry((transfer.to, transfer.token)).or_insert(U256::from(HAD)) += transfer.amount;
        }
        balances
    }

    fn answers(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.down, "the node does not answer");
        Ok(())
    }
}

fn block(at: BlockRef, parent: B256, transfers: Vec<Transfer>) -> Block {
    Block { at, parent, time: Moment::UNIX_EPOCH, body: Body::Transfers(transfers) }
}

pub(crate) fn address(n: u8) -> Address {
    scene::account(n).evm_address().unwrap()
}

/// The hash of the block or transaction that was made as this.
fn name(made: u64) -> B256 {
    alloy_primitives::keccak256(made.to_be_bytes())
}

#[async_trait]
impl ChainSource for Scripted {
    async fn newest(&self) -> anyhow::Result<BlockRef> {
        let tree = self.tree();
        tree.answers()?;
        Ok(tree.shown)
    }

    async fn finalized(&self) -> anyhow::Result<Option<BlockRef>> {
        Ok(None)
    }

    async fn at(&self, number: u64) -> anyhow::Result<Option<BlockRef>> {
        let tree = self.tree();
        tree.answers()?;
        Ok(tree.branch(tree.shown.hash).get(usize::try_from(number)?).map(|block| block.at))
    }

    async fn dated(&self, number: u64) -> anyhow::Result<Option<Dated>> {
        let at = self.at(number).await?;
        Ok(at.map(|at| Dated { at, time: i64::try_from(at.number).unwrap_or(i64::MAX) }))
    }

    async fn block_with(&self, transaction: &str) -> anyhow::Result<Option<BlockRef>> {
        let tree = self.tree();
        tree.answers()?;
        let branch = tree.branch(tree.shown.hash);
        let has =
            |block: &&Block| block.transfers().iter().any(|transfer| transfer.transaction.to_string() == transaction);
        Ok(branch.iter().find(has).map(|block| block.at))
    }

    async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let mut tree = self.tree();
        tree.answers()?;
        let block = tree.blocks.get(&hash).cloned();
        tree.asked.extend(block.iter().map(|block| block.at.number));
        Ok(block)
    }

    async fn outlines(&self, first: u64, last: u64) -> anyhow::Result<Vec<Block>> {
        let tree = self.tree();
        tree.answers()?;
        let branch = tree.branch(tree.shown.hash).into_iter().filter(|block| (first..=last).contains(&block.at.number));
        Ok(branch.map(|of| block(of.at, of.parent, Vec::new())).collect())
    }

    async fn paying(&self, payments: &Payments, first: u64, last: u64) -> anyhow::Result<Option<Paying>> {
        let tree = self.tree();
        tree.answers()?;
        let paid = |transfer: &Transfer| {
            payments.by.contains(&transfer.from) && transfer.token.is_some_and(|token| payments.of.contains(&token))
        };
        let branch = tree.branch(tree.shown.hash).into_iter().filter(|block| (first..=last).contains(&block.at.number));
        let branch: Vec<Block> = branch.collect();
        let Some(last) = branch.last().map(|block| block.at) else { return Ok(None) };
        let paying = branch.iter().filter(|block| block.transfers().iter().any(paid));
        Ok(Some(Paying { blocks: paying.map(|block| block.at.number).collect(), last }))
    }

    async fn facts(&self, accounts: &[Address], _: u64) -> anyhow::Result<Vec<AccountFacts>> {
        let tree = self.tree();
        tree.answers()?;
        // One account is a contract.
        let of = |account: &Address| AccountFacts { contract: *account == address(7), ..AccountFacts::default() };
        Ok(accounts.iter().map(of).collect())
    }

    async fn balances(&self, of: &[BalanceAt]) -> anyhow::Result<Vec<Option<U256>>> {
        let tree = self.tree();
        tree.answers()?;
        let at = |of: &BalanceAt| {
            let known = tree.balances(of.block);
            Some(known.get(&(of.account, of.token)).copied().unwrap_or(U256::from(HAD)))
        };
        Ok(of.iter().map(at).collect())
    }

    async fn tell_newest(&self, _: watch::Sender<Option<BlockRef>>, _: Duration, _: CancellationToken) {}
}
