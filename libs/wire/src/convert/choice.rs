//! Enums that are the same on both sides, choice by choice.

use haetae_core as core;

use crate::{exchange::v1, read::Choice};

macro_rules! choices {
    ($($name:ident { $($choice:ident),* $(,)? })*) => {$(
        impl From<core::$name> for v1::$name {
            fn from(choice: core::$name) -> Self {
                match choice { $(core::$name::$choice => Self::$choice,)* }
            }
        }

        impl Choice for core::$name {
            type Wire = v1::$name;

            fn from_wire(wire: v1::$name) -> Option<Self> {
                match wire {
                    v1::$name::Unspecified => None,
                    $(v1::$name::$choice => Some(Self::$choice),)*
                }
            }
        }
    )*};
}

choices! {
    OrderKind { ConfirmAddress, Freeze }
    DecisionRole { Requested, Approved }
    FreezeScope { CreditsOfTransactions, BalanceAndLaterCredits }
    LegState {
        Accepted, Binding, FrozenPartial, FrozenFull, Refused, Superseded, Released, Expired, Answered,
    }
    RefusalReason {
        Incomplete, ManifestErrors, InsufficientInformation, DataNotHeld, DeFactoImpossible, InvalidIssuingAuthority,
        OffenceNotCovered, ServiceNotCovered, ImmunitiesOrPrivileges, ConflictOfLaw, SignatureInvalid, ProofInvalid,
        NotForThisExchange, OutsideAuthorisation, OrderExpired, RevisionReused,
    }
    ConfirmationAnswer { Held, NotHeld, Unknown }
    WalletRole { CustomerDeposit, OmnibusWithMemo, ExchangeOwn }
    TaintRule { TracedFirst, Poison, Haircut, Fifo }
}
