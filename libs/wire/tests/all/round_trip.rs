//! What is written is read back as it was.

use haetae_core::*;
use haetae_wire::{
    convert,
    exchange::v1,
    keys::{Keyring, Purpose},
    read, signed,
};
use proptest::prelude::*;
use prost::Message as _;

use crate::{arbitrary, party::Mesh};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_authorisation(authorisation in arbitrary::authorisation()) {
        let wire = v1::Authorisation::from(&authorisation);
        prop_assert_eq!(Authorisation::try_from(&wire), Ok(authorisation));
    }

    #[test]
    fn an_arrival(arrival in arbitrary::arrival()) {
        let wire = v1::Arrival::from(&arrival);
        prop_assert_eq!(Arrival::try_from(&wire), Ok(arrival));
    }

    #[test]
    fn a_receipt(receipt in arbitrary::receipt()) {
        let wire = v1::Receipt::from(&receipt);
        prop_assert_eq!(Receipt::try_from(&wire), Ok(receipt));
    }

    #[test]
    fn an_event(event in arbitrary::event()) {
        let wire = v1::Event::from(&event);
        prop_assert_eq!(Event::try_from(&wire), Ok(event));
    }

    #[test]
    fn a_moment(moment in arbitrary::moment()) {
        let mut violations = Violations::new();
        let read = read::moment(&mut violations, "at", Some(&convert::timestamp(moment)));
        prop_assert_eq!(violations.finish(read), Ok(moment));
    }

    #[test]
    fn a_duration(duration in 1..u64::from(u32::MAX), nanos in 0..1_000_000_000u32) {
        let duration = std::time::Duration::new(duration, nanos);
        let mut violations = Violations::new();
        let read = read::duration(&mut violations, "period", Some(&convert::duration(duration)));
        prop_assert_eq!(violations.finish(read), Ok(duration));
    }

    #[test]
    fn a_lawful_order_with_what_it_carries((authorisation, order) in arbitrary::lawful_order()) {
        let mesh = Mesh::new();
        let envelope = mesh.sign(&order, &authorisation);
        let opened = signed::open_order_envelope(&envelope, &mesh.keyring).unwrap();
        prop_assert_eq!(opened.identity, signed::order_identity(&envelope));
        prop_assert_eq!(opened.order, order);
        prop_assert_eq!(opened.authorisation, authorisation);
    }

    #[test]
    fn envelopes_inside_an_order_keep_their_bytes((authorisation, order) in arbitrary::lawful_order()) {
        let mesh = Mesh::new();
        let inner = signed::sign_authorisation(&authorisation, &mesh.authorise);
        let arrivals = mesh.arrivals(&order.arrivals);
        let envelope = signed::sign_order(&order, &inner, &arrivals, mesh.signer(&order));
        let wire = v1::Envelope::decode(envelope.as_slice()).unwrap();
        let wire = v1::Order::decode(wire.payload.as_slice()).unwrap();
        prop_assert_eq!(wire.authorisation, inner);
        prop_assert_eq!(wire.arrivals, arrivals);
    }

    #[test]
    fn what_an_exchange_signed(receipt in arbitrary::receipt(), event in arbitrary::event()) {
        let mesh = Mesh::new();
        let event = Event { exchange: receipt.exchange.clone(), ..event };
        let mut keyring = Keyring::new();
        keyring.pin(Purpose::Exchange(receipt.exchange.clone()), mesh.stranger.public_key()).unwrap();
        let bytes = signed::sign_receipt(&receipt, &mesh.stranger);
        prop_assert_eq!(&signed::open_receipt(&bytes, &keyring, &receipt.exchange, None), &Ok(receipt.clone()));
        let bytes = signed::sign_event(&event, &mesh.stranger);
        prop_assert_eq!(signed::open_event(&bytes, &keyring, &receipt.exchange), Ok(event));
    }

    #[test]
    fn no_bytes_make_opening_panic(bytes: Vec<u8>, order: Vec<u8>) {
        let mesh = Mesh::new();
        let exchange: ExchangeId = "upbit".parse().unwrap();
        prop_assert!(signed::open_order_envelope(&bytes, &mesh.keyring).is_err());
        prop_assert!(signed::open_receipt(&bytes, &mesh.keyring, &exchange, None).is_err());
        let envelope = v1::Envelope { payload_type: signed::ORDER.into(), payload: order, signatures: Vec::new() };
        prop_assert!(signed::open_order_envelope(&envelope.encode_to_vec(), &mesh.keyring).is_err());
    }
}
