//! A whole mesh of real processes, for rehearsals (`cargo xtask demo`, `up`) and for the tests beside this library.
//!
//! [`House`] lays out what a mesh needs on disk: certificates, keys, the registry, one configuration per process.
//! [`Mesh`] runs it: Postgres, Redis, an Ethereum and a Bitcoin node, intake, tracking, freeze, and for each exchange a rehearsal
//! exchange and its connector. [`Agency`] is a person at an agency's system, [`Customers`] an exchange's customers,
//! [`Chain`] and [`Bitcoin`] everybody's wallets. [`case`] is the story that is played on it, step by step, each checked.

pub mod agency;
pub mod case;
pub mod chain;
mod customers;
mod house;
mod mesh;
pub mod practice;
pub mod regtest;
mod wait;

pub use agency::{Agency, People, Who};
pub use chain::{Actor, Chain};
pub use customers::Customers;
pub use house::{CHAIN, EXCHANGES, House, Listener, Replicas, Room, Surroundings, hot_wallet};
pub use mesh::{Mesh, Options, probe};
pub use regtest::Bitcoin;
pub use wait::until;

/// The chain's own coin.
pub const COIN: &str = "eip155:31337/slip44:60";
