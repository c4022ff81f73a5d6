//! How a service is put together: its database, its log, the logs it follows, its tasks and its server. What every
//! `main` needs, once; what differs is the service's own.

mod assembly;
pub mod logs;
mod refuse;

pub use assembly::Assembly;
pub use refuse::{refuse, refuse_all};
