//! The exchange's own signature under what it says.

use haetae_core::{Event, ExchangeId, LegReport, Moment, Receipt};
use haetae_seal::dsse::{PublicKey, SigningKey};
use haetae_wire::signed::{sign_event, sign_receipt};

/// Signs for one exchange.
#[derive(Debug)]
pub(crate) struct Signer {
    exchange: ExchangeId,
    key: SigningKey,
}

impl Signer {
    pub(crate) fn new(exchange: ExchangeId, key: SigningKey) -> Self {
        Self { exchange, key }
    }

    pub(crate) fn exchange(&self) -> &ExchangeId {
        &self.exchange
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// A receipt's envelope.
    pub(crate) fn receipt(&self, report: LegReport, at: Moment) -> Vec<u8> {
        sign_receipt(&Receipt { exchange: self.exchange.clone(), report, at }, &self.key)
    }

    /// An event's envelope.
    pub(crate) fn event(&self, event: &Event) -> Vec<u8> {
        sign_event(event, &self.key)
    }
}
