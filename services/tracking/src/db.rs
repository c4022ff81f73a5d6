//! All SQL, by subject.

pub(crate) mod authorisation;
pub(crate) mod chain;
mod code;
pub(crate) mod history;
mod knowledge;
pub(crate) mod label;
mod pool;
pub(crate) mod question;
pub(crate) mod trace;
pub(crate) mod trail;
pub(crate) mod waiting;
pub(crate) mod watch;

use std::sync::LazyLock;

use sqlx::migrate::Migrator;

/// The service's own tables.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!("./migrations"));
