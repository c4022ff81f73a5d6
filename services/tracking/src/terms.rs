//! What a watch was granted: where it starts, how much was stolen, where it stops.

use std::collections::BTreeMap;

use haetae_core::{Amount, Asset, ChainKind, RequestId, TaintRule, Target, WatchId};

use crate::trail::Place;

/// A watch as people approved it. It never changes, but for where it begins and how much was stolen at most, where those
/// are taken from the chain when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) watch: WatchId,
    pub(crate) request: RequestId,
    pub(crate) root: Target,
    /// The traced amount at the root. An asset that is not listed is not followed.
    pub(crate) stolen: BTreeMap<Asset, Amount>,
    pub(crate) limits: Limits,
    /// How stolen money is told from other money.
    pub(crate) rule: TaintRule,
    /// The first place that counts, where it began in the past: what comes before in the chain is none of its business.
    pub(crate) begins: Option<Place>,
    /// How many exchanges are asked about each address.
    pub(crate) exchanges: u32,
}

/// Where a watch stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Transfers from the root at most.
    pub(crate) max_hops: u32,
    /// Transfers of less are not followed.
    pub(crate) dust: BTreeMap<Asset, Amount>,
    /// Accounts that may come under watch, the root not counted.
    pub(crate) max_addresses: u32,
    /// Questions to exchanges, over all of them; asking the same one again about the same address is not another.
    pub(crate) max_questions: u32,
    /// An account that has sent more transactions, or to more payees, is taken for a service.
    pub(crate) max_degree: u64,
}

impl Terms {
    pub(crate) fn is_dust(&self, asset: &Asset, amount: Amount) -> bool {
        self.limits.dust.get(asset).is_some_and(|threshold| amount < *threshold)
    }

    /// Whether its chain keeps money in outputs rather than in accounts.
    fn keeps_outputs(&self) -> bool {
        matches!(self.root.account.chain().kind(), Some(ChainKind::Bitcoin(_)))
    }

    /// Whether it has to be known what else lies at an account, and comes to it and leaves it. Where money is kept in
    /// outputs a transaction says all of that by itself.
    pub(crate) fn needs_balances(&self) -> bool {
        self.rule.needs_balances() && !self.keeps_outputs()
    }

    /// How stolen money is told from other money at the root. Of outputs that lay there before, nobody has said which are
    /// the stolen ones.
    pub(crate) fn rule_at_root(&self) -> TaintRule {
        match self.rule {
            TaintRule::Haircut | TaintRule::Fifo if self.keeps_outputs() => TaintRule::TracedFirst,
            rule => rule,
        }
    }
}
