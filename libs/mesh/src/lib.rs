//! How a service is served and how it is called: one builder that listens ([`Server`]), one way to
//! call ([`Peer`]), and what both need — configuration, identities, refusals, telemetry.
//!
//! A service's `main.rs`:
//!
//! ```no_run
//! # use haetae_mesh as mesh;
//! # #[derive(serde::Deserialize, serde::Serialize)]
//! # struct Config {}
//! # impl mesh::config::Section for Config {}
//! fn main() -> std::process::ExitCode {
//!     let serve = async |boot: mesh::Boot<Config>| {
//!         let server = boot.server();
//!         // .add(IntakeServiceServer::new(…)).with_person().ready("database", …)
//!         server.run(boot.shutdown()).await?;
//!         Ok(())
//!     };
//!     mesh::main("haetae-intake", serve, async |job| {
//!         // bring the tables of `job.database` up to date
//!         Ok(())
//!     })
//! }
//! ```

mod boot;
mod command;
mod contracts;
mod deadline;
mod drain;
mod identity;
mod layers;
mod peer;
mod primary;
mod rates;
mod ready;
mod reload;
mod server;
mod tls;

pub mod config;
pub mod person;
pub mod refusal;
pub mod telemetry;

pub use boot::{Boot, Migration, main};
pub use contracts::{ContractFault, Method};
pub use deadline::Deadline;
pub use drain::Drain;
pub use identity::{Identity, Role};
pub use peer::Peer;
pub use person::Person;
pub use primary::Primary;
pub use refusal::{Explained, FieldViolation, Refusal, explain};
pub use server::{Listening, Servable, ServeError, Server};
