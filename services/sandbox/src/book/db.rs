//! All SQL of the books.

mod chain;
mod coins;
mod customers;
mod payments;

use haetae_core::Amount;

pub(super) use chain::{
    Head, block_hash, credited, depositors, due, head, lock_due, move_head, put_block, put_deposit, take_back,
};
pub(super) use coins::{Coin, Output, credited_coins, hot_coins, put_change, put_coins, spend};
pub(super) use customers::{
    balance, credits, customer, lock_customer, open_account, owner, pending, put_deposit_address, set_balance,
};
pub(super) use payments::{
    Asked, Signed, ToSweep, Unpaid, has_wallet, hold_wallet, mined, next_nonce, paid, put_outgoing, put_wallet,
    put_withdrawal, swept, to_sweep, transaction_of, unmined, unpaid,
};

/// A stored value that cannot be read: only by meddling with the tables.
pub(super) fn damaged<E>(what: &'static str) -> impl Fn(E) -> sqlx::Error {
    move |_| sqlx::Error::Decode(format!("a stored {what} cannot be read").into())
}

fn amount(text: &str) -> Result<Amount, sqlx::Error> {
    text.parse().map_err(damaged("amount"))
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
