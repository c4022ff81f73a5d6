//! The real parts do what tests rely on.

mod certificates;
mod databases;
mod redis_server;
