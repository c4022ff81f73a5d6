//! `haetae freeze`.

use haetae_wire::{
    exchange::v1::{LegState, RefusalReason},
    freeze::v1::{DesiredState, Leg},
    intake::v1::ListLegsResponse,
};

use super::{Desk, order};
use crate::{
    args::FreezeCommand,
    failure::{Failure, counted},
    json,
    show::{Look, NOTHING, Tone, between, safe, time, words},
    table::{Rows, plain},
};

pub(super) async fn run(desk: &Desk, command: FreezeCommand) -> Result<(), Failure> {
    match command {
        FreezeCommand::Show { request_id } => {
            let legs = desk.intake()?.legs(&request_id.to_string()).await?;
            let list = ListLegsResponse { legs, next_page_token: String::new() };
            desk.out.print(|| json::of(&list), |look| table(&list.legs, look))
        }
        FreezeCommand::Order { leg_id, out } => order::print(desk, &leg_id.to_string(), out.as_deref()).await,
    }
}

fn table(legs: &[Leg], look: &Look) -> String {
    if legs.is_empty() {
        return "Nothing has been ordered yet.\n".to_owned();
    }
    let mut rows = Rows::new(look, &["exchange, leg", "account, asset", "desired", "reported", "binding after"]);
    for leg in legs {
        let account = leg.target.as_ref().map_or(NOTHING.to_owned(), |target| match target.memo.as_str() {
            "" => safe(&target.account),
            memo => format!("{} memo {}", safe(&target.account), safe(memo)),
        });
        rows.row([
            plain(format!("{}\n{}", safe(&leg.exchange), safe(&leg.leg_id))),
            plain(format!("{account}\n{}", look.asset(&leg.asset))),
            plain(desired(leg, look)),
            reported(leg, look),
            plain(between(leg.ordered_at.as_ref(), leg.binding_at.as_ref()).unwrap_or_else(|| NOTHING.to_owned())),
        ]);
    }
    use LegState::{Binding, Expired, FrozenFull, FrozenPartial, Released};
    let reported = |states: &[LegState]| legs.iter().filter(|leg| states.contains(&leg.reported())).count();
    let (bound, over) = (reported(&[Binding, FrozenPartial, FrozenFull]), reported(&[Released, Expired]));
    let over = if over > 0 { format!(", {over} over") } else { String::new() };
    format!("{}{bound} of {} binding{over}\n", rows.print(), counted(legs.len(), "leg"))
}

fn desired(leg: &Leg, look: &Look) -> String {
    let state = words(leg.desired, DesiredState::as_str_name, "DESIRED_STATE_");
    match leg.desired() {
        DesiredState::Frozen => format!(
            "{state}, revision {}\nat most {}\nuntil {}",
            leg.revision,
            look.amount_alone(&leg.asset, &leg.cap),
            time(leg.until.as_ref())
        ),
        _ => format!("{state}, revision {}", leg.revision),
    }
}

fn reported(leg: &Leg, look: &Look) -> (Tone, String) {
    let tone = match leg.reported() {
        LegState::FrozenFull | LegState::FrozenPartial | LegState::Released => Tone::Good,
        LegState::Refused => Tone::Bad,
        _ => Tone::Wait,
    };
    let mut lines = vec![words(leg.reported, LegState::as_str_name, "LEG_STATE_")];
    if leg.reported != 0 && leg.reported_revision != leg.revision {
        lines[0].push_str(&format!(", on revision {}", leg.reported_revision));
    }
    if !leg.frozen_amount.is_empty() {
        lines.push(format!("withheld {}", look.amount_alone(&leg.asset, &leg.frozen_amount)));
    }
    if leg.refusal != 0 {
        lines.push(words(leg.refusal, RefusalReason::as_str_name, "REFUSAL_REASON_"));
    }
    if leg.under_review {
        lines.push("UNDER REVIEW: a person must look".to_owned());
    }
    (if leg.under_review { Tone::Bad } else { tone }, lines.join("\n"))
}

/// A leg in one line, for streams.
pub(super) fn line(leg: &Leg, look: &Look) -> String {
    let (tone, reported) = reported(leg, look);
    let account = leg.target.as_ref().map(|target| safe(&target.account)).unwrap_or_default();
    format!(
        "leg {} at {} on {account}: desired {}, reported {}",
        safe(&leg.leg_id),
        safe(&leg.exchange),
        desired(leg, look).replace('\n', ", "),
        look.toned(tone, &reported.replace('\n', ", "))
    )
}

#[cfg(test)]
mod tests {
    use haetae_wire::exchange::v1::Target;
    use prost_types::Timestamp;

    use super::*;

    fn leg() -> Leg {
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        Leg {
            leg_id: "1b2e".into(),
            exchange: "upbit".into(),
            target: Some(Target { account: "eip155:1:0xA".into(), memo: String::new() }),
            asset: "eip155:1/slip44:60".into(),
            revision: 2,
            desired: DesiredState::Frozen.into(),
            cap: "100".into(),
            until: at(1_790_000_000, 0),
            reported: LegState::FrozenPartial.into(),
            reported_revision: 1,
            frozen_amount: "60".into(),
            ordered_at: at(1_780_000_000, 0),
            binding_at: at(1_780_000_000, 312_000_000),
            ..Leg::default()
        }
    }

    #[test]
    fn desired_and_reported_stand_side_by_side() {
        let text = table(&[leg()], &Look::default());
        let rows: Vec<_> = text.lines().skip(3).take(3).map(str::trim_end).collect();
        assert!(rows[0].contains("frozen, revision 2") && rows[0].contains("frozen partial, on revision 1"), "{text}");
        assert!(rows[0].ends_with("312ms"), "{text}");
        assert!(rows[1].contains("at most 100") && rows[1].contains("withheld 60"), "{text}");
        assert!(rows[2].contains("until 2026-09-21 14:13:20Z"), "{text}");
        assert!(text.ends_with("1 of 1 leg binding\n"), "{text}");
        let released = Leg { reported: LegState::Released.into(), ..leg() };
        let text = table(&[leg(), released], &Look::default());
        assert!(text.ends_with("1 of 2 legs binding, 1 over\n"), "{text}");
    }

    #[test]
    fn a_refusal_says_its_ground_and_a_review_calls_for_a_person() {
        let refused = Leg {
            reported: LegState::Refused.into(),
            refusal: RefusalReason::DataNotHeld.into(),
            under_review: true,
            frozen_amount: String::new(),
            ..leg()
        };
        let (tone, text) = reported(&refused, &Look::default());
        assert_eq!(tone, Tone::Bad);
        assert_eq!(text, "refused, on revision 1\ndata not held\nUNDER REVIEW: a person must look");
    }

    #[test]
    fn a_leg_is_one_line_in_a_stream() {
        assert_eq!(
            line(&leg(), &Look::default()),
            "leg 1b2e at upbit on eip155:1:0xA: desired frozen, revision 2, at most 100, until 2026-09-21 14:13:20Z, \
             reported frozen partial, on revision 1, withheld 60"
        );
    }
}
