//! How a service is put together: its database, its log, the logs it follows, its tasks and its server. What every
//! `main` needs, once; what differs is the service's own.

mod assembly;
pub mod database;
pub mod logs;
mod operations;
mod presence;
mod refuse;
mod status;
mod tables;

pub use assembly::Assembly;
pub use operations::Operations;
pub use refuse::{refuse, refuse_all};
pub use status::{Own, StatusApi};
pub use tables::{Standing, Tables};
