//! `haetae watch ends`: where the money of a watch is.

use haetae_wire::{
    exchange::v1::TaintRule,
    intake::v1::ListTrailEndsResponse,
    tracking::v1::{TrailEndReason, TrailPlace},
};
use uuid::Uuid;

use super::Desk;
use crate::{
    failure::Failure,
    json,
    show::{Look, NOTHING, Tone, safe, time, words},
    table::{Rows, plain},
    trail::said,
};

const PREFIX: &str = "TRAIL_END_REASON_";

pub(super) async fn run(desk: &Desk, watch: Uuid, reasons: &[i32]) -> Result<(), Failure> {
    let ends = desk.intake()?.ends(&watch.to_string(), reasons).await?;
    desk.out.print(|| json::of(&ends), |look| text(&ends, look))
}

fn text(ends: &ListTrailEndsResponse, look: &Look) -> String {
    if ends.places.is_empty() {
        return "No money of this watch is anywhere, for these reasons.\n".to_owned();
    }
    let mut totals = Rows::new(look, &["asset", "why", "traced", "places"]);
    for total in &ends.totals {
        totals.row([
            plain(look.asset(&total.asset)),
            why(total.reason, ""),
            plain(look.amount_alone(&total.asset, &total.traced_amount)),
            plain(total.places.to_string()),
        ]);
    }
    // What is largest matters most.
    let mut places: Vec<&TrailPlace> = ends.places.iter().collect();
    let size = |place: &TrailPlace| place.traced_amount.parse::<haetae_core::Amount>().unwrap_or_default();
    places.sort_by(|one, other| one.asset.cmp(&other.asset).then_with(|| size(other).cmp(&size(one))));
    let mut rows = Rows::new(look, &["where", "traced", "why", "since", "by the transfer"]);
    for place in places {
        let open = if place.provisional { "\nan open question lies before it" } else { "" };
        let (tone, reason) = why(place.reason, &place.exchange);
        let said = place.label.as_ref().map(|label| format!("\n{}", said(label))).unwrap_or_default();
        rows.row([
            plain(safe(&place.account)),
            plain(look.amount(&place.asset, &place.traced_amount)),
            (tone, format!("{reason}{said}{open}")),
            plain(time(place.since.as_ref())),
            plain(led(place)),
        ]);
    }
    let rule = words(ends.taint_rule, TaintRule::as_str_name, "TAINT_RULE_");
    format!("Traced by the rule {rule}.\n\n{}\n{}", totals.print(), rows.print())
}

/// Why money is there, in words.
fn why(reason: i32, exchange: &str) -> (Tone, String) {
    let words = words(reason, TrailEndReason::as_str_name, PREFIX);
    match TrailEndReason::try_from(reason) {
        Ok(TrailEndReason::Held) if !exchange.is_empty() => (Tone::Good, format!("held by {}", safe(exchange))),
        Ok(TrailEndReason::Held) => (Tone::Good, "held by an exchange".to_owned()),
        Ok(TrailEndReason::Unspent) => (Tone::Wait, words),
        _ => (Tone::Plain, words),
    }
}

fn led(place: &TrailPlace) -> String {
    let Some(transfer) = &place.transfer else { return NOTHING.to_owned() };
    let more = match place.transfers {
        0 | 1 => String::new(),
        all => format!("\nthe last of {all}"),
    };
    format!(
        "{} {}\nblock {}, from {}{more}",
        safe(&transfer.transaction),
        safe(&transfer.index),
        place.block_number,
        safe(&place.from)
    )
}

/// A reason as people write it: its name in the contract in small letters; `parked` is another word for `unspent`.
pub(crate) fn parse_reason(name: &str) -> Result<i32, String> {
    let name = if name == "parked" { "unspent" } else { name };
    let full = format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"));
    let known = TrailEndReason::from_str_name(&full).filter(|reason| *reason != TrailEndReason::Unspecified);
    known.map(Into::into).ok_or_else(|| {
        "the reasons are parked, held, contract, service-like, dust, hop-limit, address-limit, question-limit, \
         balance-unknown, no-address, fee, left-before, mixer, bridge, privacy-pool"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use haetae_wire::{
        exchange::v1::Transfer,
        tracking::v1::{Attribution, KnownLabel, PlaceTotal},
    };

    use super::*;

    #[test]
    fn a_place_is_shown_with_its_reason_its_label_and_what_led_there() {
        let label = KnownLabel {
            says: Some(Attribution { label: "Tornado Cash".into(), ..Attribution::default() }),
            title: "Sanctions".into(),
            confidence: 60,
            ..KnownLabel::default()
        };
        let transfer = Transfer { chain: "eip155:1".into(), transaction: "0xaa".into(), index: "native".into() };
        let place = TrailPlace {
            account: "eip155:1:0xab".into(),
            asset: "eip155:1/slip44:60".into(),
            traced_amount: "60".into(),
            reason: TrailEndReason::PrivacyPool.into(),
            label: Some(label),
            transfer: Some(transfer),
            transfers: 3,
            block_number: 7,
            ..TrailPlace::default()
        };
        let total =
            PlaceTotal { asset: place.asset.clone(), reason: place.reason, traced_amount: "60".into(), places: 1 };
        let taint_rule = TaintRule::Haircut.into();
        let ends = ListTrailEndsResponse { places: vec![place], totals: vec![total], taint_rule, ..Default::default() };
        let text = text(&ends, &Look::default());
        for part in [
            "by the rule haircut",
            "privacy pool",
            "“Tornado Cash” (Sanctions, 60 of 100)",
            "0xaa native",
            "the last of 3",
            "block 7",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn reasons_are_written_as_words() {
        assert_eq!(parse_reason("parked"), Ok(TrailEndReason::Unspent.into()));
        assert_eq!(parse_reason("privacy-pool"), Ok(TrailEndReason::PrivacyPool.into()));
        assert!(parse_reason("unspecified").is_err() && parse_reason("lost").is_err());
    }
}
