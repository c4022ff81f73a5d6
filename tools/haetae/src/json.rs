//! What the services say, for programs: the contract's own field names, from the contract's own descriptors. Amounts and
//! 64-bit numbers are strings, times RFC 3339, bytes base64, enums by name.

use std::sync::LazyLock;

use anyhow::Context;
use haetae_wire::{freeze::v1 as freeze, intake::v1 as intake, operations::v1 as operations, tracking::v1 as tracking};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(haetae_wire::DESCRIPTORS).ok());

/// A message with its full name in the contracts.
pub(crate) trait Contract: Message {
    const NAME: &'static str;
}

macro_rules! contracts {
    ($($package:literal: $($message:ty = $name:literal),+;)+) => {$($(
        impl Contract for $message {
            const NAME: &'static str = concat!($package, ".", $name);
        }
    )+)+};
}

contracts! {
    "haetae.intake.v1":
        intake::Request = "Request",
        intake::ListRequestsResponse = "ListRequestsResponse",
        intake::ListExchangesResponse = "ListExchangesResponse",
        intake::ListTrailResponse = "ListTrailResponse",
        intake::ListTrailEndsResponse = "ListTrailEndsResponse",
        intake::GetLabelsResponse = "GetLabelsResponse",
        intake::ListLabelPacksResponse = "ListLabelPacksResponse",
        intake::ListWatchesResponse = "ListWatchesResponse",
        intake::ListLegsResponse = "ListLegsResponse",
        intake::TraceResponse = "TraceResponse",
        intake::GetSignedOrderResponse = "GetSignedOrderResponse",
        intake::FollowUpdatesResponse = "FollowUpdatesResponse";
    "haetae.tracking.v1":
        tracking::Confirmation = "Confirmation",
        tracking::Watch = "Watch";
    "haetae.freeze.v1": freeze::Leg = "Leg";
    "haetae.operations.v1":
        operations::GetMeshStatusResponse = "GetMeshStatusResponse",
        operations::ListParkedResponse = "ListParkedResponse",
        operations::ParkedEntry = "ParkedEntry",
        operations::Replica = "Replica";
}

/// A message as JSON. Fields without a value are there too, so that programs find them; absent messages are not.
pub(crate) fn of<M: Contract>(message: &M) -> anyhow::Result<Value> {
    let pool = POOL.as_ref().context("the contracts do not decode")?;
    let described = pool.get_message_by_name(M::NAME).with_context(|| format!("no contract describes {}", M::NAME))?;
    let dynamic = DynamicMessage::decode(described, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use haetae_wire::exchange::v1::{Target, WalletRole};
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_the_contracts_and_values_survive() {
        let line = tracking::ConfirmationLine {
            exchange: "upbit".into(),
            answer: tracking::Answer::Held.into(),
            as_of: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 250_000_000 }),
            wallet_role: WalletRole::CustomerDeposit.into(),
            statement: vec![1, 2, 3],
            ..Default::default()
        };
        let confirmation = tracking::Confirmation {
            request_id: "r".into(),
            target: Some(Target { account: "eip155:1:0x00".into(), memo: String::new() }),
            conclusion: tracking::Conclusion::Held.into(),
            lines: vec![line],
        };
        assert_eq!(
            of(&confirmation).unwrap(),
            json!({
                "request_id": "r",
                "target": {"account": "eip155:1:0x00", "memo": ""},
                "conclusion": "CONCLUSION_HELD",
                "lines": [{
                    "exchange": "upbit",
                    "answer": "ANSWER_HELD",
                    "as_of": "2026-09-21T14:13:20.250Z",
                    "wallets_searched": [],
                    "wallet_role": "WALLET_ROLE_CUSTOMER_DEPOSIT",
                    "statement": "AQID",
                    "order": "",
                }],
            })
        );
    }

    #[test]
    fn amounts_and_large_numbers_are_strings() {
        let totals = tracking::TracedTotals { stolen: "250000000000".into(), ..Default::default() };
        let watch = tracking::Watch { active_after_block: u64::MAX, totals: vec![totals], ..Default::default() };
        let json = of(&watch).unwrap();
        assert_eq!(json["active_after_block"], "18446744073709551615");
        assert_eq!(json["totals"][0]["stolen"], "250000000000");
    }

    #[test]
    fn every_message_that_is_shown_is_in_the_contracts() {
        fn described<M: Contract + Default>() {
            of(&M::default()).unwrap_or_else(|error| panic!("{}: {error:#}", M::NAME));
        }
        described::<intake::Request>();
        described::<intake::ListRequestsResponse>();
        described::<intake::ListExchangesResponse>();
        described::<intake::ListTrailResponse>();
        described::<intake::ListTrailEndsResponse>();
        described::<intake::GetLabelsResponse>();
        described::<intake::ListLabelPacksResponse>();
        described::<intake::ListWatchesResponse>();
        described::<intake::ListLegsResponse>();
        described::<intake::TraceResponse>();
        described::<intake::GetSignedOrderResponse>();
        described::<intake::FollowUpdatesResponse>();
        described::<tracking::Confirmation>();
        described::<tracking::Watch>();
        described::<freeze::Leg>();
        described::<operations::GetMeshStatusResponse>();
        described::<operations::ListParkedResponse>();
        described::<operations::ParkedEntry>();
        described::<operations::Replica>();
    }
}
