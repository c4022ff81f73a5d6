//! What makes a transfer the same transfer, whatever block it is in.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{ArrivalId, ChainId, ChainKind, HopId, WatchId, derived};

/// (chain, transaction, index in it). The block is not part of it: the same transfer included again
/// after a reorganisation is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId {
    /// The chain.
    pub chain: ChainId,
    /// Transaction hash as the chain prints it.
    pub transaction: String,
    /// Which of the transaction's transfers.
    pub index: TransferIndex,
}

/// Which of a transaction's transfers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferIndex {
    /// The value the transaction itself carries.
    Native,
    /// A token's event: its ordinal among the logs *of the transaction*. Its ordinal in the block changes when a
    /// reorganisation puts the transaction elsewhere.
    Log(u32),
    /// A value moved by a call inside the transaction: the path of call ordinals, such as `0/2`.
    Trace(String),
    /// An output of the transaction, where money is kept in outputs.
    Output(u32),
    /// What the transaction cost its sender. Nobody is paid by it: it is never a hop nor an arrival.
    Fee,
}

/// A text that is not a transfer's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MalformedTransfer {
    /// Not one of the forms.
    #[error("must be `native`, `log/<ordinal>`, `trace/<path>`, `out/<ordinal>` or `fee`")]
    Index,
    /// Not a transaction hash.
    #[error("must be a transaction hash as its chain prints it: {0}64 lowercase hexadecimal digits")]
    Transaction(&'static str),
}

impl TransferId {
    /// The hop that this transfer is for a watch.
    pub fn hop(&self, watch: WatchId) -> HopId {
        HopId(self.derive("hop", watch))
    }

    /// The arrival that this transfer is for a watch.
    pub fn arrival(&self, watch: WatchId) -> ArrivalId {
        ArrivalId(self.derive("arrival", watch))
    }

    fn derive(&self, kind: &str, watch: WatchId) -> uuid::Uuid {
        derived(kind, &[&watch.to_string(), self.chain.as_str(), &self.transaction, &self.index.to_string()])
    }

    /// Checks that `transaction` is a transaction's or block's hash as chains of the kind print it.
    ///
    /// # Errors
    /// [`MalformedTransfer::Transaction`].
    pub fn check_transaction(kind: ChainKind, transaction: &str) -> Result<(), MalformedTransfer> {
        let prefix = match kind {
            ChainKind::Evm(_) => "0x",
            ChainKind::Tron | ChainKind::Bitcoin(_) => "",
        };
        let wrong = MalformedTransfer::Transaction(if prefix.is_empty() { "" } else { "0x and " });
        let digits = transaction.strip_prefix(prefix).ok_or(wrong)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() == 64 && digits.bytes().all(hex) { Ok(()) } else { Err(wrong) }
    }
}

impl fmt::Display for TransferIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Log(ordinal) => write!(f, "log/{ordinal}"),
            Self::Trace(path) => write!(f, "trace/{path}"),
            Self::Output(ordinal) => write!(f, "out/{ordinal}"),
            Self::Fee => f.write_str("fee"),
        }
    }
}

impl FromStr for TransferIndex {
    type Err = MalformedTransfer;

    fn from_str(text: &str) -> Result<Self, MalformedTransfer> {
        let index = match text.split_once('/') {
            None if text == "native" => Self::Native,
            None if text == "fee" => Self::Fee,
            Some(("log", ordinal)) => Self::Log(ordinal.parse().map_err(|_| MalformedTransfer::Index)?),
            Some(("out", ordinal)) => Self::Output(ordinal.parse().map_err(|_| MalformedTransfer::Index)?),
            Some(("trace", path)) if path.split('/').all(|step| step.parse::<u32>().is_ok()) => {
                Self::Trace(path.to_owned())
            }
            _ => return Err(MalformedTransfer::Index),
        };
        // One spelling only: ids are derived from it.
        if index.to_string() == text { Ok(index) } else { Err(MalformedTransfer::Index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_one_spelling() {
        for good in ["native", "log/0", "log/17", "trace/0", "trace/0/2/1", "out/0", "out/12", "fee"] {
            assert_eq!(good.parse::<TransferIndex>().unwrap().to_string(), good);
        }
        for bad in ["", "Native", "log/", "log/-1", "log/01", "log/1/2", "trace/", "trace/a", "out/x", "out/", "fee/0"]
        {
            assert_eq!(bad.parse::<TransferIndex>(), Err(MalformedTransfer::Index), "{bad}");
        }
    }

    #[test]
    fn a_hash_has_the_form_that_its_chain_prints() {
        let (digits, evm) = ("ab".repeat(32), format!("0x{}", "ab".repeat(32)));
        let bitcoin = ChainKind::Bitcoin(bitcoin::Network::Bitcoin);
        for (kind, text, good) in [
            (ChainKind::Evm(1), &evm, true),
            (ChainKind::Evm(1), &digits, false),
            (ChainKind::Tron, &digits, true),
            (bitcoin, &digits, true),
            (bitcoin, &evm, false),
            (bitcoin, &digits.to_uppercase(), false),
        ] {
            assert_eq!(TransferId::check_transaction(kind, text).is_ok(), good, "{kind:?} {text}");
        }
    }

    #[test]
    fn a_hop_and_an_arrival_of_the_same_transfer_have_different_ids() {
        let transfer = TransferId {
            chain: ChainId::evm(1),
            transaction: format!("0x{}", "ab".repeat(32)),
            index: TransferIndex::Log(0),
        };
        let watch = WatchId(uuid::Uuid::from_u128(1));
        assert_ne!(transfer.hop(watch).0, transfer.arrival(watch).0);
        assert_eq!(transfer.hop(watch), transfer.clone().hop(watch));
    }
}
