//! How the field's values stand in columns.

use std::str::FromStr;

use haetae_core::{Account, Amount, LegState, Moment, RefusalReason, Target, WalletRole};

use crate::leg::Owed;
use crate::standing::{Rest, Unserved};

/// A value that a column's check or the code that wrote it should have kept out.
pub(super) fn damaged(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a column does not hold {what}").into())
}

pub(super) fn parse<T: FromStr>(text: &str, what: &'static str) -> Result<T, sqlx::Error> {
    text.parse().map_err(|_| damaged(what))
}

pub(super) fn amount(text: &str) -> Result<Amount, sqlx::Error> {
    parse(text, "an amount")
}

pub(super) fn amount_optional(text: Option<&str>) -> Result<Option<Amount>, sqlx::Error> {
    text.map(amount).transpose()
}

pub(super) fn target(account: &str, memo: Option<String>) -> Result<Target, sqlx::Error> {
    Ok(Target { account: parse::<Account>(account, "an account")?, memo })
}

pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn owed(on_resume: bool, at: Option<Moment>) -> Option<Owed> {
    if on_resume { Some(Owed::OnResume) } else { at.map(Owed::At) }
}

/// Both ways between an enum and its names in a column.
macro_rules! names {
    ($to:ident $from:ident $type:ty { $($value:pat => $text:literal = $made:expr,)* }) => {
        pub(super) fn $to(value: $type) -> &'static str {
            match value { $($value => $text,)* }
        }

        pub(super) fn $from(text: &str) -> Result<$type, sqlx::Error> {
            match text {
                $($text => Ok($made),)*
                _ => Err(damaged(stringify!($type))),
            }
        }
    };
    ($to:ident $from:ident $type:ty { $($variant:path = $text:literal,)* }) => {
        names!($to $from $type { $($variant => $text = $variant,)* });
    };
}

names!(state_text state LegState {
    LegState::Accepted = "accepted",
    LegState::Binding = "binding",
    LegState::FrozenPartial = "frozen-partial",
    LegState::FrozenFull = "frozen-full",
    LegState::Refused = "refused",
    LegState::Superseded = "superseded",
    LegState::Released = "released",
    LegState::Expired = "expired",
    LegState::Answered = "answered",
});

names!(role_text role WalletRole {
    WalletRole::CustomerDeposit = "customer-deposit",
    WalletRole::OmnibusWithMemo = "omnibus-with-memo",
    WalletRole::ExchangeOwn = "exchange-own",
});

names!(rest_text rest Rest {
    Rest::None => "none" = Rest::None,
    // What is withdrawn is closed as well; which it is stands in a column of its own.
    Rest::Closed | Rest::Withdrawn => "closed" = Rest::Closed,
    Rest::Waits(Unserved::NoCap) => "no-cap" = Rest::Waits(Unserved::NoCap),
    Rest::Waits(Unserved::CapExhausted) => "cap-exhausted" = Rest::Waits(Unserved::CapExhausted),
    Rest::Waits(Unserved::Halted) => "halted" = Rest::Waits(Unserved::Halted),
    Rest::Waits(Unserved::LegsPerHour) => "legs-per-hour" = Rest::Waits(Unserved::LegsPerHour),
    Rest::Waits(Unserved::Holders) => "holders" = Rest::Waits(Unserved::Holders),
    Rest::Waits(Unserved::ExchangeNotAuthorised) => "exchange-not-authorised" =
        Rest::Waits(Unserved::ExchangeNotAuthorised),
    Rest::Waits(Unserved::AuthorityOver) => "authority-over" = Rest::Waits(Unserved::AuthorityOver),
    Rest::Waits(Unserved::WalletRole) => "wallet-role" = Rest::Waits(Unserved::WalletRole),
});

names!(refusal_text refusal RefusalReason {
    RefusalReason::Incomplete = "incomplete",
    RefusalReason::ManifestErrors = "manifest-errors",
    RefusalReason::InsufficientInformation = "insufficient-information",
    RefusalReason::DataNotHeld = "data-not-held",
    RefusalReason::DeFactoImpossible = "de-facto-impossible",
    RefusalReason::InvalidIssuingAuthority = "invalid-issuing-authority",
    RefusalReason::OffenceNotCovered = "offence-not-covered",
    RefusalReason::ServiceNotCovered = "service-not-covered",
    RefusalReason::ImmunitiesOrPrivileges = "immunities-or-privileges",
    RefusalReason::ConflictOfLaw = "conflict-of-law",
    RefusalReason::SignatureInvalid = "signature-invalid",
    RefusalReason::ProofInvalid = "proof-invalid",
    RefusalReason::NotForThisExchange = "not-for-this-exchange",
    RefusalReason::OutsideAuthorisation = "outside-authorisation",
    RefusalReason::OrderExpired = "order-expired",
    RefusalReason::RevisionReused = "revision-reused",
});
