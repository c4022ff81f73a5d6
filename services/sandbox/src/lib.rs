//! A rehearsal exchange: it implements the public contract for real, over books of its own that live on a real chain.

mod contract;
