//! The real parts do what tests rely on.

mod bitcoin;
mod certificates;
mod chain;
mod databases;
mod faults;
mod persons;
mod processes;
mod programs;
mod redis_server;
