//! Making and opening signed messages. What is opened has been verified: signatures by keys pinned for the purpose, the
//! proof that it stands in the signer's log, and that an order lies inside its authorisation.
//!
//! An envelope is kept and passed on as the bytes it came in; nothing here encodes one again.

mod envelope;
mod fault;
mod order;
mod statement;

use haetae_core::{Arrival, Authorisation, Event, Order, Receipt};
use haetae_seal::dsse::SigningKey;
use prost::Message as _;
use sha2::{Digest, Sha256};

use crate::{
    convert::order::write_order,
    exchange::v1,
    keys::{Keyring, Purpose},
    read,
};

pub(crate) use fault::in_words;
pub use fault::{EnvelopeFault, OrderFault, ProofFault, StatementFault};
pub use order::{OpenedOrder, open_order_envelope, open_signed_order};
pub use statement::{OrderRef, open_event, open_receipt};

/// Payload type of an [`Authorisation`].
pub const AUTHORISATION: &str = "application/vnd.haetae.authorisation.v1+protobuf";
/// Payload type of an [`Arrival`].
pub const ARRIVAL: &str = "application/vnd.haetae.arrival.v1+protobuf";
/// Payload type of an [`Order`].
pub const ORDER: &str = "application/vnd.haetae.order.v1+protobuf";
/// Payload type of a [`Receipt`].
pub const RECEIPT: &str = "application/vnd.haetae.receipt.v1+protobuf";
/// Payload type of an [`Event`].
pub const EVENT: &str = "application/vnd.haetae.event.v1+protobuf";

/// Signs an authorisation with intake's key; the answer is the envelope's bytes.
pub fn sign_authorisation(authorisation: &Authorisation, key: &SigningKey) -> Vec<u8> {
    envelope::seal(AUTHORISATION, v1::Authorisation::from(authorisation).encode_to_vec(), key)
}

/// Signs an arrival with tracking's key; the answer is the envelope's bytes.
pub fn sign_arrival(arrival: &Arrival, key: &SigningKey) -> Vec<u8> {
    envelope::seal(ARRIVAL, v1::Arrival::from(arrival).encode_to_vec(), key)
}

/// Signs an order; the answer is the envelope's bytes. The authorisation and the arrivals are embedded as the envelopes
/// they came in, which must be those of the authorisation in force and of [`Order::arrivals`], in that order.
///
/// Ask [`haetae_core::within`] before: who opens the order will.
pub fn sign_order(order: &Order, authorisation: &[u8], arrivals: &[Vec<u8>], key: &SigningKey) -> Vec<u8> {
    envelope::seal(ORDER, write_order(order, authorisation, arrivals).encode_to_vec(), key)
}

/// Signs a receipt with the exchange's key; the answer is the envelope's bytes.
pub fn sign_receipt(receipt: &Receipt, key: &SigningKey) -> Vec<u8> {
    envelope::seal(RECEIPT, v1::Receipt::from(receipt).encode_to_vec(), key)
}

/// Signs an event with the exchange's key; the answer is the envelope's bytes.
pub fn sign_event(event: &Event, key: &SigningKey) -> Vec<u8> {
    envelope::seal(EVENT, v1::Event::from(event).encode_to_vec(), key)
}

/// An order's identity: SHA-256 over the bytes of its envelope.
pub fn order_identity(envelope: &[u8]) -> [u8; 32] {
    Sha256::digest(envelope).into()
}

/// Opens an authorisation that intake signed.
///
/// # Errors
/// [`EnvelopeFault`].
pub fn open_authorisation(envelope: &[u8], keys: &Keyring) -> Result<Authorisation, EnvelopeFault> {
    let payload = envelope::open(envelope, AUTHORISATION, &Purpose::Authorise, keys)?;
    read_payload::<v1::Authorisation, _>(&payload)
}

/// Opens an arrival that tracking signed.
///
/// # Errors
/// [`EnvelopeFault`].
pub fn open_arrival(envelope: &[u8], keys: &Keyring) -> Result<Arrival, EnvelopeFault> {
    let payload = envelope::open(envelope, ARRIVAL, &Purpose::Arrive, keys)?;
    read_payload::<v1::Arrival, _>(&payload)
}

fn read_payload<W: prost::Message + Default + read::Read<T>, T>(payload: &[u8]) -> Result<T, EnvelopeFault> {
    let wire =
        W::decode(payload).map_err(|_| EnvelopeFault::Malformed("its payload is not the message it should be"))?;
    read::message(&wire).map_err(EnvelopeFault::Content)
}
