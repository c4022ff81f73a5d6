//! Real parts for tests and for `cargo xtask`: Postgres, Redis, an Ethereum and a Bitcoin node, development
//! certificates and tokens, service processes, and a proxy that breaks connections on purpose.
//!
//! Whatever is started here belongs to the value that started it: it is stopped when that value is dropped,
//! and it dies with the process even when that process is killed. The one exception is
//! [`postgres::Cluster::shared`], which outlives a test binary so that the next one need not wait for it, and
//! stops by itself when it has not been used for a while.

pub mod anvil;
pub mod bcoin;
pub mod binaries;
pub mod certs;
mod files;
mod json_rpc;
pub mod keys;
pub mod oidc;
pub mod parts;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;
mod until;
mod workspace;
