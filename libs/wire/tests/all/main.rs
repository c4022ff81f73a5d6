//! The contracts and the core, there and back; and what becomes of messages that were tampered with.

mod arbitrary;
mod orders;
mod party;
mod registry;
mod round_trip;
mod statements;
mod violations;
