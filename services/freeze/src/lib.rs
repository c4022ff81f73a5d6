//! What must be frozen, and is it?
pub mod authority;
pub mod brake;
pub mod leg;
pub mod standing;
