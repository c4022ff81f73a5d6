//! Between the wire and the core, by subject. Reading is [`read::Read`] (and `TryFrom`, for whole messages), which names every
//! fault; writing is `From`, which cannot fail.

mod account;
mod authorisation;
mod choice;
pub(crate) mod order;
mod statement;
mod time;

use haetae_core as core;

use crate::{exchange::v1, read};

pub use account::asset_amounts;
pub use time::{duration, timestamp};

/// A reader of a whole message for each type that [`Read`] reads.
macro_rules! whole_messages {
    ($($wire:ident => $core:ident)*) => {$(
        impl TryFrom<&v1::$wire> for core::$core {
            type Error = Vec<core::Violation>;

            fn try_from(wire: &v1::$wire) -> Result<Self, Self::Error> {
                read::message(wire)
            }
        }
    )*};
}

whole_messages! {
    Arrival => Arrival
    Authorisation => Authorisation
    Case => CaseRef
    Confidentiality => Confidentiality
    Confirmation => Confirmation
    Decision => Decision
    Document => Document
    Event => Event
    LegReport => LegReport
    Officer => Officer
    Receipt => Receipt
    Target => Target
    Transfer => TransferId
}
