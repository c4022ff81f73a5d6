//! Opening orders: as an exchange does before it obeys, and as the mesh does with its own.

use haetae_core::{Arrival, Authorisation, ExchangeId, Moment, Order, Violations, within};
use haetae_seal::{
    checkpoint::Checkpoint,
    leaf::{Leaf, commitment},
    merkle::{Hash, verify_inclusion},
};
use prost::Message as _;

use super::{EnvelopeFault, ORDER, OrderFault, ProofFault, envelope, open_arrival, open_authorisation, order_identity};
use crate::{
    convert::order::read_order,
    exchange::v1::{self, order::Desired},
    keys::{Keyring, Purpose},
};

/// An order that lies inside the authorisation it carries, all of it signed by whom it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedOrder {
    /// The order, with its arrivals.
    pub order: Order,
    /// What allows it.
    pub authorisation: Authorisation,
    /// SHA-256 over the envelope.
    pub identity: [u8; 32],
}

/// Opens an order's envelope: the signature by the key for what it desires, the authorisation and the arrivals in it by
/// theirs, and the order inside the authorisation. It is not checked whom it is for, whether it stands in a log, or the
/// time: see [`open_signed_order`].
///
/// # Errors
/// [`OrderFault`].
pub fn open_order_envelope(envelope: &[u8], keys: &Keyring) -> Result<OpenedOrder, OrderFault> {
    open(envelope, keys, |_| Ok(())).map(|(opened, _)| opened)
}

/// Opens an order as the exchange that it was handed to: in addition to [`open_order_envelope`], it is for this
/// exchange, it stands in the log of the service that must have signed it, and `now` it is neither from the future nor
/// expired, by more than clocks may differ.
///
/// # Errors
/// [`OrderFault`]; the first fault in the order: signature, recipient, authority, proof, time.
pub fn open_signed_order(
    signed: &v1::SignedOrder,
    keys: &Keyring,
    here: &ExchangeId,
    now: Moment,
    tolerance: time::Duration,
) -> Result<OpenedOrder, OrderFault> {
    let for_us = |recipient: &ExchangeId| {
        if recipient == here {
            Ok(())
        } else {
            Err(OrderFault::OtherExchange { recipient: recipient.clone(), here: here.clone() })
        }
    };
    let (opened, signer) = open(&signed.envelope, keys, for_us)?;
    verify_proof(signed, keys, signer.log)?;
    if now > opened.order.expires_at.saturating_add(tolerance) {
        return Err(OrderFault::Expired);
    }
    if opened.order.issued_at > now.saturating_add(tolerance) {
        return Err(OrderFault::NotYet);
    }
    Ok(opened)
}

/// Who signs an order, and in whose log it stands.
struct Signer {
    purpose: Purpose,
    log: &'static str,
}

impl Signer {
    fn of(desired: &Desired) -> Self {
        match desired {
            Desired::ConfirmAddress(_) => Self { purpose: Purpose::Confirm, log: "tracking" },
            Desired::Frozen(_) | Desired::Released(_) => Self { purpose: Purpose::Freeze, log: "freeze" },
        }
    }
}

fn open(
    bytes: &[u8],
    keys: &Keyring,
    recipient_is_right: impl Fn(&ExchangeId) -> Result<(), OrderFault>,
) -> Result<(OpenedOrder, Signer), OrderFault> {
    let (wire, signer) = open_wire(bytes, keys).map_err(OrderFault::Order)?;

    // The order before its ground: whoever it is not for need not look further.
    let mut violations = Violations::new();
    let order = read_order(&wire, Vec::new(), &mut violations);
    let mut order = violations.finish(order).map_err(|faults| OrderFault::Order(EnvelopeFault::Content(faults)))?;
    recipient_is_right(&order.recipient)?;

    let authorisation = open_authorisation(&wire.authorisation, keys).map_err(OrderFault::Authorisation)?;
    let arrivals = wire
        .arrivals
        .iter()
        .enumerate()
        .map(|(index, bytes)| open_arrival(bytes, keys).map_err(|fault| OrderFault::Arrival { index, fault }));
    order.arrivals = arrivals.collect::<Result<Vec<Arrival>, _>>()?;
    within(&order, &authorisation).map_err(OrderFault::Outside)?;
    Ok((OpenedOrder { order, authorisation, identity: order_identity(bytes) }, signer))
}

/// Which key must have signed depends on what is desired, so that is read first; nothing is believed of it before the
/// signature has been verified.
fn open_wire(bytes: &[u8], keys: &Keyring) -> Result<(v1::Order, Signer), EnvelopeFault> {
    let envelope = envelope::decode(bytes)?;
    let wire = v1::Order::decode(envelope.payload.as_slice())
        .map_err(|_| EnvelopeFault::Malformed("its payload is not an order"))?;
    let Some(desired) = &wire.desired else {
        return Err(EnvelopeFault::Malformed("it desires nothing that the contract knows"));
    };
    let signer = Signer::of(desired);
    envelope::verify(envelope, ORDER, &signer.purpose, keys)?;
    Ok((wire, signer))
}

/// The way from the envelope over its leaf to the root that the signer's log has signed.
fn verify_proof(signed: &v1::SignedOrder, keys: &Keyring, service: &'static str) -> Result<(), ProofFault> {
    let opening = signed.opening.as_ref().ok_or(ProofFault::Malformed("the opening"))?;
    let inclusion = signed.inclusion.as_ref().ok_or(ProofFault::Malformed("the inclusion proof"))?;
    let salt = opening.salt.as_slice().try_into().map_err(|_| ProofFault::Malformed("the salt"))?;
    let leaf = Leaf {
        kind: opening.kind.clone(),
        version: opening.version,
        time_us: opening.time.as_ref().and_then(microseconds).ok_or(ProofFault::Malformed("the leaf's time"))?,
        commitment: commitment(salt, &opening.header, &signed.envelope),
    };
    let path = inclusion.hashes.iter().map(|hash| Hash::try_from(hash.as_slice()));
    let path: Vec<Hash> = path.collect::<Result<_, _>>().map_err(|_| ProofFault::Malformed("the inclusion proof"))?;

    let verifier = keys.log(service).ok_or(ProofFault::NoLogKey(service))?;
    let checkpoint =
        Checkpoint::open(&signed.checkpoint, verifier).map_err(|error| ProofFault::Checkpoint { service, error })?;
    if inclusion.tree_size != checkpoint.size {
        return Err(ProofFault::OtherTree { proven: inclusion.tree_size, signed: checkpoint.size });
    }
    verify_inclusion(&leaf.hash(), inclusion.leaf_index, checkpoint.size, &path, &checkpoint.root)?;
    Ok(())
}

/// Whole microseconds since the Unix epoch; none where the timestamp has no such value.
fn microseconds(time: &prost_types::Timestamp) -> Option<i64> {
    let micros = (0..1_000_000_000).contains(&time.nanos).then_some(time.nanos / 1_000)?;
    let whole = time.nanos % 1_000 == 0;
    time.seconds.checked_mul(1_000_000)?.checked_add(micros.into()).filter(|_| whole)
}
