//! What has to be known before blocks can be taken in, and who is asked: the chain's nodes, and the labels that are kept.

use std::collections::{BTreeSet, HashMap};

use alloy_primitives::{Address, U256};
use bitcoin::{OutPoint, TxOut};
use haetae_core::{Account, ChainId};
use sqlx::PgPool;
use thiserror::Error;

use crate::book::made_in;
use crate::config::LabelsConfig;
use crate::db;
use crate::knowledge::AccountFacts;
use crate::labels::{self, Labelled};
use crate::source::{BalanceAt, Block, ChainSource, Spent};

/// What the chain has to be asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) facts: BTreeSet<Address>,
    pub(crate) balances: BTreeSet<BalanceAt>,
    pub(crate) outputs: BTreeSet<Spent>,
    /// Accounts that are paid where money is kept in outputs.
    pub(crate) payees: BTreeSet<Account>,
}

/// What the chain has to be asked about before a block can be taken in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Needed {
    #[error("an account's facts are needed first")]
    Facts(Address),
    #[error("an account's balance is needed first")]
    Balance(BalanceAt),
    #[error("what a transaction spends is needed first")]
    Outputs(BTreeSet<Spent>),
    #[error("what is known of those whom a transaction pays is needed first")]
    Payees(BTreeSet<Account>),
}

/// What the chain has said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) facts: HashMap<Address, AccountFacts>,
    /// None where no node could say.
    pub(crate) balances: HashMap<BalanceAt, Option<U256>>,
    pub(crate) outputs: HashMap<OutPoint, TxOut>,
    pub(crate) payees: HashMap<Account, AccountFacts>,
}

/// Who can say.
pub(crate) struct Witnesses<'a> {
    pub(crate) chain: &'a ChainId,
    pub(crate) source: &'a dyn ChainSource,
    pub(crate) labels: LabelsConfig,
    pub(crate) pool: &'a PgPool,
}

impl Asked {
    /// Asks what is needed and not known yet: what accounts are at the newest block, and what labels say of them; what lay
    /// at them after others; and the outputs that `blocks` spend and do not make themselves.
    pub(crate) async fn complete(
        &mut self,
        needs: Needs,
        blocks: &[Block],
        witnesses: &Witnesses<'_>,
        newest: u64,
    ) -> anyhow::Result<()> {
        let source = witnesses.source;
        let facts: Vec<_> = needs.facts.into_iter().filter(|account| !self.facts.contains_key(account)).collect();
        if !facts.is_empty() {
            let learnt = source.facts(&facts, newest).await?;
            anyhow::ensure!(learnt.len() == facts.len(), "the node did not answer about every account");
            let spelled = |address: &Address| Account::of_bytes(witnesses.chain.clone(), *address);
            let labels = witnesses.labels(facts.iter().map(spelled)).await?;
            let known = learnt.into_iter().zip(labels).map(|(learnt, label)| AccountFacts { label, ..learnt });
            self.facts.extend(facts.into_iter().zip(known));
        }
        let balances: Vec<_> = needs.balances.into_iter().filter(|at| !self.balances.contains_key(at)).collect();
        if !balances.is_empty() {
            let learnt = source.balances(&balances).await?;
            anyhow::ensure!(learnt.len() == balances.len(), "the node did not answer about every balance");
            self.balances.extend(balances.into_iter().zip(learnt));
        }
        // The chain itself says nothing of an account that is only a script.
        let payees: Vec<_> = needs.payees.into_iter().filter(|account| !self.payees.contains_key(account)).collect();
        let labels = witnesses.labels(payees.iter().cloned().map(Some)).await?;
        let known = labels.into_iter().map(|label| AccountFacts { label, ..AccountFacts::default() });
        self.payees.extend(payees.into_iter().zip(known));
        self.outputs.extend(made_in(blocks, &needs.outputs));
        let outputs: Vec<_> =
            needs.outputs.into_iter().filter(|spent| !self.outputs.contains_key(&spent.output)).collect();
        if !outputs.is_empty() {
            let learnt = source.outputs(&outputs).await?;
            anyhow::ensure!(learnt.len() == outputs.len(), "the node did not answer about every output");
            self.outputs.extend(outputs.iter().map(|spent| spent.output).zip(learnt));
        }
        Ok(())
    }
}

impl Witnesses<'_> {
    /// What labels say of accounts, where it ends a trail, as it is known now.
    async fn labels(&self, accounts: impl Iterator<Item = Option<Account>>) -> anyhow::Result<Vec<Option<Labelled>>> {
        let address = |account: Account| account.address().to_owned();
        let addresses: Vec<String> = accounts.map(|account| account.map(address).unwrap_or_default()).collect();
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let found = db::label::about(self.pool, self.chain, &addresses).await?;
        let verdict = |address| labels::verdict(found.get(address)?, self.labels.min_confidence);
        Ok(addresses.iter().map(verdict).collect())
    }
}

impl From<Needed> for Needs {
    fn from(needed: Needed) -> Self {
        match needed {
            Needed::Facts(account) => Self { facts: BTreeSet::from([account]), ..Self::default() },
            Needed::Balance(at) => Self { balances: BTreeSet::from([at]), ..Self::default() },
            Needed::Outputs(outputs) => Self { outputs, ..Self::default() },
            Needed::Payees(payees) => Self { payees, ..Self::default() },
        }
    }
}
