//! How values stand in columns. What cannot be read back is damage, not absence.

use std::str::FromStr;

use haetae_core::{Crossing, WalletRole};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::knowledge::{Holder, Standing};
use crate::question::Conclusion;
use crate::said::{ArrivalState, Finality, SaidHop, TrailEnd};
use crate::trail::{EndReason, Payer};

/// A column that does not hold what it must.
#[derive(Debug, thiserror::Error)]
#[error("the column {0} cannot be read")]
struct Damaged(&'static str);

pub(super) fn damaged(column: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Damaged(column)))
}

pub(super) fn read<T: FromStr>(column: &'static str, text: &str) -> Result<T, sqlx::Error> {
    text.parse().map_err(|_| damaged(column))
}

pub(super) fn unsigned<T: TryFrom<i64>>(column: &'static str, number: i64) -> Result<T, sqlx::Error> {
    T::try_from(number).map_err(|_| damaged(column))
}

/// Numbers of blocks and the like; far below the limit.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An enum and the texts it has in a column.
macro_rules! texts {
    ($write:ident, $read:ident, $type:ty, $column:literal, { $($value:pat => $text:literal => $back:expr),* $(,)? }) => {
        pub(super) fn $write(value: $type) -> &'static str {
            match value { $($value => $text,)* }
        }

        pub(super) fn $read(text: &str) -> Result<$type, sqlx::Error> {
            match text {
                $($text => Ok($back),)*
                _ => Err(damaged($column)),
            }
        }
    };
}

texts!(write_role, read_role, WalletRole, "wallet_role", {
    WalletRole::CustomerDeposit => "customer-deposit" => WalletRole::CustomerDeposit,
    WalletRole::OmnibusWithMemo => "omnibus-with-memo" => WalletRole::OmnibusWithMemo,
    WalletRole::ExchangeOwn => "exchange-own" => WalletRole::ExchangeOwn,
});

texts!(write_finality, read_finality, Finality, "hop_finality", {
    Finality::Seen => "seen" => Finality::Seen,
    Finality::Confirmed => "confirmed" => Finality::Confirmed,
    Finality::Final => "final" => Finality::Final,
    Finality::Retracted => "retracted" => Finality::Retracted,
});

texts!(write_arrival, read_arrival, ArrivalState, "arrival_state", {
    ArrivalState::Settled => "settled" => ArrivalState::Settled,
    ArrivalState::HeldBack => "held-back" => ArrivalState::HeldBack,
    ArrivalState::Retracted => "retracted" => ArrivalState::Retracted,
});

texts!(write_end, read_end, TrailEnd, "end_reason", {
    TrailEnd::Held => "held" => TrailEnd::Held,
    TrailEnd::Dust => "dust" => TrailEnd::Dust,
    TrailEnd::Fee => "fee" => TrailEnd::Fee,
    TrailEnd::LeftBefore => "left-before" => TrailEnd::LeftBefore,
    TrailEnd::Other(EndReason::Contract) => "contract" => TrailEnd::Other(EndReason::Contract),
    TrailEnd::Other(EndReason::ServiceLike) => "service-like" => TrailEnd::Other(EndReason::ServiceLike),
    TrailEnd::Other(EndReason::HopLimit) => "hop-limit" => TrailEnd::Other(EndReason::HopLimit),
    TrailEnd::Other(EndReason::AddressLimit) => "address-limit" => TrailEnd::Other(EndReason::AddressLimit),
    TrailEnd::Other(EndReason::QuestionLimit) => "question-limit" => TrailEnd::Other(EndReason::QuestionLimit),
    TrailEnd::Other(EndReason::BalanceUnknown) => "balance-unknown" => TrailEnd::Other(EndReason::BalanceUnknown),
    TrailEnd::Other(EndReason::NoAddress) => "no-address" => TrailEnd::Other(EndReason::NoAddress),
    TrailEnd::Other(EndReason::Crossing(Crossing::Mixer)) => "mixer"
        => TrailEnd::Other(EndReason::Crossing(Crossing::Mixer)),
    TrailEnd::Other(EndReason::Crossing(Crossing::Bridge)) => "bridge"
        => TrailEnd::Other(EndReason::Crossing(Crossing::Bridge)),
    TrailEnd::Other(EndReason::Crossing(Crossing::PrivacyPool)) => "privacy-pool"
        => TrailEnd::Other(EndReason::Crossing(Crossing::PrivacyPool)),
});

/// Who brought traced money and how much; null where it was one account.
pub(super) fn write_payers(hop: &SaidHop) -> Option<Value> {
    let pair = |payer: &Payer| json!([payer.account.to_string(), payer.traced.to_string()]);
    (!hop.payers.is_empty()).then(|| hop.payers.iter().map(pair).collect())
}

pub(super) fn read_payers(column: Option<&Value>) -> Result<Vec<Payer>, sqlx::Error> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let pairs: Vec<(String, String)> = Deserialize::deserialize(column).map_err(|_| damaged("hop_payers"))?;
    let payer = |(account, traced): (String, String)| {
        Ok(Payer { account: read("hop_payers", &account)?, traced: read("hop_payers", &traced)? })
    };
    pairs.into_iter().map(payer).collect()
}

pub(super) fn write_standing(standing: &Standing) -> (&'static str, Option<&Holder>) {
    match standing {
        Standing::NotAsked => ("not-asked", None),
        Standing::Open => ("open", None),
        Standing::Held(holder) => ("held", Some(holder)),
        Standing::NotHeld => ("not-held", None),
    }
}

pub(super) fn read_standing(text: &str, holder: Option<Holder>) -> Result<Standing, sqlx::Error> {
    match (text, holder) {
        ("not-asked", None) => Ok(Standing::NotAsked),
        ("open", None) => Ok(Standing::Open),
        ("held", Some(holder)) => Ok(Standing::Held(holder)),
        ("not-held", None) => Ok(Standing::NotHeld),
        _ => Err(damaged("standing")),
    }
}

/// What was last said of an account; who holds it stands elsewhere.
pub(crate) fn write_conclusion(conclusion: &Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Pending => "pending",
        Conclusion::Open => "open",
        Conclusion::Held(_) => "held",
        Conclusion::NotHeld => "not-held",
        Conclusion::Conflict(_) => "conflict",
    }
}
