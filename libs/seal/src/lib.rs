//! What makes a message worth something in front of a court, as pure functions over opaque bytes. Four words:
//!
//! - **signed** ([`dsse`]): *who* said it. A DSSE envelope binds payload and payload type to a pinned key, and every
//!   signature names its algorithm.
//! - **proven** ([`leaf`], [`merkle`], [`checkpoint`]): *that it was said, and when in the order of things*. A leaf
//!   commits to a log entry without revealing it, a Merkle proof ties the leaf to a root, a checkpoint is the log's
//!   signature under that root.
//! - **sealed**: *who may read it*. Personal data encrypted (HPKE) to the agency that asked; joins this crate later.
//! - **blinded**: *asking without telling*. Private confirmation of an address (OPRF); joins this crate later.
//!
//! The crate does no IO, reads no clock and knows no message format: callers hand it bytes, and load or store what it names.

pub mod checkpoint;
pub mod dsse;
mod ed25519;
pub mod leaf;
pub mod merkle;
