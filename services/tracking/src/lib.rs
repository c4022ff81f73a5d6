//! Where is the money? Chains, watches, hops, arrivals.
#![allow(dead_code)]

mod knowledge;
mod said;
#[cfg(test)]
mod scene;
mod terms;
mod trail;
mod watched;
