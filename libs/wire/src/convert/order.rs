//! What an exchange is told to do, and the arrivals that are its ground.

use haetae_core::{Amount, Arrival, Asset, Desired, Order, TaintRule, Target, TransferId, Violations};

use super::{
    account::{read_hash, same_chain},
    timestamp,
};
use crate::{
    exchange::v1,
    read::{self, Read},
};

/// Reads an order whose arrivals have been opened from their envelopes.
pub(crate) fn read_order(wire: &v1::Order, arrivals: Vec<Arrival>, v: &mut Violations) -> Option<Order> {
    let recipient = read::parse(v, "recipient", &wire.recipient);
    let leg = read::parse(v, "leg_id", &wire.leg_id);
    let revision = read::counted(v, "revision", wire.revision);
    let target = read::required::<_, Target>(v, "target", wire.target.as_ref());
    let asset = read::parse_optional::<Asset>(v, "asset", &wire.asset);
    let asset_chain = asset.as_ref().and_then(Option::as_ref).map(Asset::chain);
    same_chain(v, "asset", asset_chain, target.as_ref().map(|target| target.account.chain()));
    let desired = read::present(v, "desired", wire.desired.as_ref()).and_then(|desired| read_desired(v, desired));
    let issued_at = read::moment(v, "issued_at", wire.issued_at.as_ref());
    let expires_at = read::moment(v, "expires_at", wire.expires_at.as_ref());
    read::not_empty(v, "authorisation", &wire.authorisation);
    let hop = read::optional(v, "hop", wire.hop.as_ref());
    Some(Order {
        recipient: recipient?,
        leg: leg?,
        revision: revision?,
        target: target?,
        asset: asset?,
        desired: desired?,
        issued_at: issued_at?,
        expires_at: expires_at?,
        arrivals,
        hop: hop?,
    })
}

fn read_desired(v: &mut Violations, wire: &v1::order::Desired) -> Option<Desired> {
    match wire {
        v1::order::Desired::ConfirmAddress(v1::ConfirmAddress {}) => Some(Desired::ConfirmAddress),
        v1::order::Desired::Released(v1::Released {}) => Some(Desired::Released),
        v1::order::Desired::Frozen(wire) => v.within("frozen", |v| {
            let cap = read::parse::<Amount>(v, "cap", &wire.cap);
            let until = read::moment(v, "until", wire.until.as_ref());
            let scope = read::choice(v, "scope", wire.scope);
            Some(Desired::Frozen { cap: cap?, until: until?, scope: scope? })
        }),
    }
}

/// Writes an order around the envelopes of its authorisation and arrivals; those of the core order are not looked at.
pub(crate) fn write_order(order: &Order, authorisation: &[u8], arrivals: &[Vec<u8>]) -> v1::Order {
    v1::Order {
        recipient: order.recipient.to_string(),
        leg_id: order.leg.to_string(),
        revision: order.revision.get(),
        target: Some((&order.target).into()),
        asset: order.asset.as_ref().map(ToString::to_string).unwrap_or_default(),
        desired: Some(match &order.desired {
            Desired::ConfirmAddress => v1::order::Desired::ConfirmAddress(v1::ConfirmAddress {}),
            Desired::Frozen { cap, until, scope } => v1::order::Desired::Frozen(v1::Frozen {
                cap: cap.to_string(),
                until: Some(timestamp(*until)),
                scope: v1::FreezeScope::from(*scope).into(),
            }),
            Desired::Released => v1::order::Desired::Released(v1::Released {}),
        }),
        issued_at: Some(timestamp(order.issued_at)),
        expires_at: Some(timestamp(order.expires_at)),
        authorisation: authorisation.to_vec(),
        arrivals: arrivals.to_vec(),
        hop: order.hop.as_ref().map(Into::into),
    }
}

impl Read<Arrival> for v1::Arrival {
    fn read(&self, v: &mut Violations) -> Option<Arrival> {
        let id = read::parse(v, "arrival_id", &self.arrival_id);
        let watch = read::parse(v, "watch_id", &self.watch_id);
        let transfer = read::required::<_, TransferId>(v, "transfer", self.transfer.as_ref());
        let target = read::required::<_, Target>(v, "target", self.target.as_ref());
        let exchange = read::parse(v, "exchange", &self.exchange);
        let asset = read::parse::<Asset>(v, "asset", &self.asset);
        let chain = target.as_ref().map(|target| target.account.chain());
        same_chain(v, "transfer.chain", transfer.as_ref().map(|transfer| &transfer.chain), chain);
        same_chain(v, "asset", asset.as_ref().map(Asset::chain), chain);
        let amount = read::parse::<Amount>(v, "amount", &self.amount);
        let traced = read::parse::<Amount>(v, "traced_amount", &self.traced_amount);
        let rule = read::choice_optional::<TaintRule>(v, "taint_rule", self.taint_rule);
        let block_hash = read_hash(v, "block_hash", chain, &self.block_hash);
        let seen_at = read::moment(v, "seen_at", self.seen_at.as_ref());
        let wallet_role = read::choice_optional(v, "wallet_role", self.wallet_role);
        Some(Arrival {
            id: id?,
            watch: watch?,
            transfer: transfer?,
            target: target?,
            exchange: exchange?,
            asset: asset?,
            amount: amount?,
            traced: traced?,
            // Before a rule could be chosen, there was this one.
            rule: rule?.unwrap_or_default(),
            block_number: self.block_number,
            block_hash: block_hash?,
            seen_at: seen_at?,
            wallet_role: wallet_role?,
        })
    }
}

impl From<&Arrival> for v1::Arrival {
    fn from(arrival: &Arrival) -> Self {
        Self {
            arrival_id: arrival.id.to_string(),
            watch_id: arrival.watch.to_string(),
            transfer: Some((&arrival.transfer).into()),
            target: Some((&arrival.target).into()),
            exchange: arrival.exchange.to_string(),
            asset: arrival.asset.to_string(),
            amount: arrival.amount.to_string(),
            traced_amount: arrival.traced.to_string(),
            taint_rule: v1::TaintRule::from(arrival.rule).into(),
            block_number: arrival.block_number,
            block_hash: arrival.block_hash.clone(),
            seen_at: Some(timestamp(arrival.seen_at)),
            wallet_role: arrival.wallet_role.map_or(v1::WalletRole::Unspecified, Into::into).into(),
        }
    }
}
