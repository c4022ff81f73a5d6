//! `haetae freeze order` and `haetae order verify`.

use std::{fs, path::Path};

use haetae_core::Moment;
use haetae_wire::{keys::Keyring, registry::Registry};
use serde_json::json;

use super::Desk;
use crate::{
    failure::Failure,
    json,
    out::Out,
    page::{self, Checks, Outcome},
    show::{Look, Tone},
    table::facts,
};

pub(super) fn no_registry() -> Failure {
    Failure::usage("no keys are pinned to check the order with")
        .hint("Set registry in the profile, or give --registry FILE. Never take keys from the order itself.")
}

/// Prints a leg's order as a page. What is not to be believed is not handed to anybody.
pub(super) async fn print(desk: &Desk, leg: &str, to: Option<&Path>) -> Result<(), Failure> {
    let registry = desk.profile.registry()?.ok_or_else(no_registry)?;
    let answer = desk.intake()?.signed_order(leg.to_owned()).await?;
    let signed = answer.order.clone().unwrap_or_default();
    let checks = Checks::of(&signed, &Keyring::from_registry(&registry), Moment::now_utc());
    let opened = checks.believed().map_err(|fault| {
        Failure::failed(format!("the order that came is not to be believed: {fault}"))
            .hint("Hand it to nobody; tell the mesh's operators.")
    })?;
    if opened.order.leg.to_string() != leg {
        return Err(Failure::failed("the order that came is of another leg"));
    }
    let page = page::print(&answer, &signed, opened);
    if checks.expired {
        desk.out.note(
            "The time for taking this order in is over. The next revision comes when the exchange answers again.",
        );
    }
    let document = || Ok(json!({"answer": json::of(&answer)?, "expired": checks.expired, "page": page}));
    match to {
        None => desk.out.print(document, |_| page.clone()),
        Some(path) => {
            let shown = path.display();
            fs::write(path, &page).map_err(|error| Failure::failed(format!("cannot write {shown}: {error}")))?;
            desk.out
                .print(document, |_| format!("{} order of leg {leg} written to {shown}\n", page::wanted(&opened.order)))
        }
    }
}

/// Checks a page against pinned keys and says what holds.
pub(super) fn verify(out: &Out, file: &Path, registry: &Registry) -> Result<(), Failure> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| Failure::usage(format!("cannot read the page {shown}: {error}")))?;
    let signed =
        page::read(&text).map_err(|error| Failure::failed(format!("{shown} is not to be believed: {error}")))?;
    let checks = Checks::of(&signed, &Keyring::from_registry(registry), Moment::now_utc());
    let words = checks.opened.as_ref().map(|opened| match page::has_the_words(&text, &signed, opened) {
        true => Ok("those on the page follow from the signed bytes".to_owned()),
        false => Err("those on the page are not those of the signed bytes; below they are".to_owned()),
    });
    let all = [
        ("signatures", Some(&checks.signatures)),
        ("within", checks.within.as_ref()),
        ("proof", checks.proof.as_ref()),
        ("words", words.as_ref()),
    ];
    let holds = checks.believed().is_ok() && words.as_ref().is_some_and(Result::is_ok);
    let document = || {
        let checks_made = all.iter().map(|(name, outcome)| {
            let (holds, what) = match outcome {
                Some(Ok(what)) => (Some(true), Some(what)),
                Some(Err(fault)) => (Some(false), Some(fault)),
                None => (None, None),
            };
            json!({"check": name, "holds": holds, "what": what})
        });
        Ok(json!({
            "verified": holds,
            "order": checks.opened.as_ref().map(|opened| hex::encode(opened.identity)),
            "wanted": checks.opened.as_ref().map(|opened| page::wanted(&opened.order)),
            "expired": checks.expired,
            "checks": checks_made.collect::<Vec<_>>(),
        }))
    };
    let text = |look: &Look| {
        let checked = facts(&all.map(|(name, outcome)| (name, said(outcome, look))));
        let words = checks.opened.as_ref().map(|opened| format!("\n{}", page::words(&signed, opened)));
        let verdict = match (holds, checks.expired) {
            (false, _) => look.toned(Tone::Bad, "NOT VERIFIED: do not act on it"),
            (true, false) => look.toned(Tone::Good, "VERIFIED"),
            (true, true) => format!(
                "{}, and {}",
                look.toned(Tone::Good, "VERIFIED"),
                look.toned(Tone::Wait, "EXPIRED: it shows what is wanted; the next revision orders it")
            ),
        };
        format!("{checked}{}\n{verdict}\n", words.unwrap_or_default())
    };
    out.print(document, text)?;
    if holds { Ok(()) } else { Err(Failure::failed(format!("the order in {shown} is not to be believed"))) }
}

fn said(outcome: Option<&Outcome>, look: &Look) -> String {
    match outcome {
        Some(Ok(what)) => format!("{}: {what}", look.toned(Tone::Good, "good")),
        Some(Err(fault)) => format!("{}: {fault}", look.toned(Tone::Bad, "BAD")),
        None => "not looked at".to_owned(),
    }
}
