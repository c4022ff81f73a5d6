//! What a watch found, put in order: each movement of the money below the one that brought it there.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use haetae_wire::{
    exchange::v1::{Arrival, Transfer, WalletRole},
    tracking::v1::{
        AddressConcluded, AddressReached, ArrivalState, Arrived, Conclusion, Finality, Hop, KnownLabel, TrailEndReason,
        TrailEnded, TrailItem, Waiting, WaitingState, trail_item::Item,
    },
};

use crate::show::{Look, Tone, safe, word, words};

/// A movement of traced money, as it stands after everything found later.
#[derive(Debug)]
struct Step<'a> {
    number: u64,
    hop: &'a Hop,
    finality: i32,
    block_number: u64,
    outcomes: Vec<Outcome<'a>>,
    next: Vec<usize>,
}

/// What became of the money at a step's payee.
#[derive(Debug)]
enum Outcome<'a> {
    Arrived(&'a Arrived),
    Ended(&'a TrailEnded),
}

/// A watch's trail.
#[derive(Debug, Default)]
pub(crate) struct Trail<'a> {
    steps: Vec<Step<'a>>,
    roots: Vec<usize>,
    /// What is not at any step that is known: ends at the root itself.
    loose: Vec<Outcome<'a>>,
    /// The newest conclusion about each address, in the order in which the addresses were first concluded on.
    addresses: Vec<&'a AddressConcluded>,
    /// The newest word on whether a hop leads to an address, of those to which none did at some time.
    reached: Vec<&'a AddressReached>,
    /// Transactions that waited to be included, each with what it would pay and how it stands.
    waiting: Vec<(&'a Waiting, &'a Waiting)>,
}

impl<'a> Trail<'a> {
    /// Puts together what was found, in the order in which it was found.
    pub(crate) fn of(items: &'a [TrailItem]) -> Self {
        let mut trail = Self::default();
        let mut by_id = HashMap::new();
        let mut by_transfer = HashMap::new();
        for (number, item) in items.iter().filter_map(|item| Some((item.number, item.item.as_ref()?))) {
            match item {
                Item::Hop(hop) => {
                    // A transfer that comes back after a reorganisation is the same hop, seen again.
                    if let Some(at) = by_id.get(hop.hop_id.as_str()) {
                        let step: &mut Step<'_> = &mut trail.steps[*at];
                        (step.hop, step.finality, step.block_number) = (hop, hop.finality, hop.block_number);
                        continue;
                    }
                    let at = trail.steps.len();
                    match trail.led_to(hop) {
                        Some(before) => trail.steps[before].next.push(at),
                        None => trail.roots.push(at),
                    }
                    by_id.insert(hop.hop_id.as_str(), at);
                    by_transfer.insert(identity(hop.transfer.as_ref()), at);
                    let (finality, block_number) = (hop.finality, hop.block_number);
                    trail.steps.push(Step {
                        number,
                        hop,
                        finality,
                        block_number,
                        outcomes: Vec::new(),
                        next: Vec::new(),
                    });
                }
                Item::Finality(changed) => {
                    if let Some(at) = by_id.get(changed.hop_id.as_str()) {
                        let step = &mut trail.steps[*at];
                        (step.finality, step.block_number) = (changed.finality, changed.block_number);
                    }
                }
                Item::Arrived(arrived) => {
                    let arrival = arrived.arrival.as_ref();
                    let at = by_transfer.get(&identity(arrival.and_then(|arrival| arrival.transfer.as_ref())));
                    let place = trail.outcomes(at.copied());
                    // A newer word about the same arrival takes the older one's place.
                    match place.iter_mut().find(|outcome| outcome.is_about(arrival)) {
                        Some(older) => *older = Outcome::Arrived(arrived),
                        None => place.push(Outcome::Arrived(arrived)),
                    }
                }
                Item::Ended(ended) => {
                    let at = by_transfer.get(&identity(ended.transfer.as_ref())).copied();
                    let place = trail.outcomes(at);
                    match place.iter_mut().find(|outcome| outcome.is_end_of(ended)) {
                        Some(older) => *older = Outcome::Ended(ended),
                        None => place.push(Outcome::Ended(ended)),
                    }
                }
                Item::Reached(reached) => {
                    trail.reached.retain(|known| known.target != reached.target);
                    trail.reached.push(reached);
                }
                Item::Waiting(now) => {
                    match trail.waiting.iter_mut().find(|(seen, _)| seen.transaction == now.transaction) {
                        Some((_, last)) => *last = now,
                        None => trail.waiting.push((now, now)),
                    }
                }
                Item::Address(concluded) => {
                    match trail.addresses.iter_mut().find(|known| known.target == concluded.target) {
                        Some(known) => *known = concluded,
                        None => trail.addresses.push(concluded),
                    }
                }
            }
        }
        trail
    }

    /// The earliest step whose payee pays this hop, one nearer to the root, in the same asset where there is one.
    fn led_to(&self, hop: &Hop) -> Option<usize> {
        let before = |step: &&Step<'_>| step.hop.to == hop.from && step.hop.depth.checked_add(1) == Some(hop.depth);
        let mut found = None;
        for (at, step) in self.steps.iter().enumerate().filter(|(_, step)| before(step)) {
            if step.hop.asset == hop.asset {
                return Some(at);
            }
            found = found.or(Some(at));
        }
        found
    }

    fn outcomes(&mut self, at: Option<usize>) -> &mut Vec<Outcome<'a>> {
        match at {
            Some(at) => &mut self.steps[at].outcomes,
            None => &mut self.loose,
        }
    }

    /// The trail as an indented tree, then what exchanges say about addresses on the way.
    pub(crate) fn print(&self, look: &Look) -> String {
        let mut text = String::new();
        if self.steps.is_empty() && self.loose.is_empty() {
            text.push_str("No money has moved yet.\n");
        }
        let loose = self.loose.len();
        for (i, outcome) in self.loose.iter().enumerate() {
            let last = i + 1 == loose && self.roots.is_empty();
            text.push_str(&format!("{} {}\n", branch(last), outcome.print(look)));
        }
        // Depth first with a stack of our own: trails can be as long as money is moved.
        let mut open: Vec<(usize, String, bool)> = Vec::new();
        push_all(&mut open, &self.roots, "");
        while let Some((at, indent, last)) = open.pop() {
            let step = &self.steps[at];
            text.push_str(&format!("{indent}{} {}\n", branch(last), step.print(look)));
            let below = format!("{indent}{}", if last { "   " } else { "│  " });
            for (i, outcome) in step.outcomes.iter().enumerate() {
                let last = step.next.is_empty() && i + 1 == step.outcomes.len();
                text.push_str(&format!("{below}{} {}\n", branch(last), outcome.print(look)));
            }
            push_all(&mut open, &step.next, &below);
        }
        let mut outside = self.waiting.iter().filter(|(_, last)| last.state() != WaitingState::Included).peekable();
        if outside.peek().is_some() {
            text.push_str("\nNot in a block: warnings, nothing is frozen because of these\n");
        }
        for (seen, last) in outside {
            text.push_str(&format!("  {}\n", waiting(seen, last, look)));
        }
        if !self.addresses.is_empty() {
            text.push_str("\nWhat exchanges say about addresses on the way\n");
        }
        for concluded in &self.addresses {
            let account = concluded.target.as_ref().map(|target| safe(&target.account)).unwrap_or_default();
            let (tone, what) = conclusion(concluded.conclusion());
            let exchange = match concluded.exchange.as_str() {
                "" => String::new(),
                exchange => format!(" by {}", safe(exchange)),
            };
            let unreached = self.reached.iter().any(|known| known.target == concluded.target && !known.reached);
            let unreached = if unreached { ", but no hop leads there any more" } else { "" };
            text.push_str(&format!("  {account}  {}{exchange}{unreached}\n", look.toned(tone, what)));
        }
        text
    }
}

impl Step<'_> {
    fn print(&self, look: &Look) -> String {
        let hop = self.hop;
        let tone = match Finality::try_from(self.finality) {
            Ok(Finality::Retracted) => Tone::Bad,
            Ok(Finality::Final) => Tone::Good,
            _ => Tone::Wait,
        };
        let finality = look.toned(tone, &words(self.finality, Finality::as_str_name, "FINALITY_"));
        let traced = if hop.traced_amount == hop.amount {
            String::new()
        } else {
            format!(", traced {}", look.amount_alone(&hop.asset, &hop.traced_amount))
        };
        // The first payer is one of those that are listed, where they are.
        let others = match hop.payers.len() {
            0 | 1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        let provisional =
            if hop.provisional { format!(", {}", look.toned(Tone::Wait, "provisional")) } else { String::new() };
        format!(
            "#{} {}{others} → {}  {}{traced}  {finality} in block {}{provisional}",
            self.number,
            safe(&hop.from),
            safe(&hop.to),
            look.amount(&hop.asset, &hop.amount),
            self.block_number,
        )
    }
}

impl Outcome<'_> {
    fn is_about(&self, arrival: Option<&Arrival>) -> bool {
        let id = |arrival: Option<&Arrival>| arrival.map(|arrival| arrival.arrival_id.clone());
        matches!(self, Self::Arrived(known) if id(known.arrival.as_ref()) == id(arrival))
    }

    fn is_end_of(&self, ended: &TrailEnded) -> bool {
        matches!(self, Self::Ended(known) if known.account == ended.account && known.asset == ended.asset
            && known.transfer == ended.transfer)
    }

    fn print(&self, look: &Look) -> String {
        match self {
            Self::Arrived(arrived) => {
                let none = Default::default();
                let arrival = arrived.arrival.as_ref().unwrap_or(&none);
                let (tone, state) = match arrived.state() {
                    ArrivalState::Settled => (Tone::Good, "settled"),
                    ArrivalState::HeldBack => (Tone::Wait, "held back: an open question lies before it"),
                    ArrivalState::Retracted => (Tone::Bad, "retracted"),
                    ArrivalState::Unspecified => (Tone::Wait, "unknown state"),
                };
                format!(
                    "ARRIVED at {}: {}, {}, {}",
                    safe(&arrival.exchange),
                    look.amount(&arrival.asset, &arrival.traced_amount),
                    words(arrived.wallet_role, WalletRole::as_str_name, "WALLET_ROLE_"),
                    look.toned(tone, state),
                )
            }
            Self::Ended(ended) if ended.retracted => {
                format!("ends at {}: {}", safe(&ended.account), look.toned(Tone::Bad, "retracted"))
            }
            Self::Ended(ended) => format!(
                "ends at {}: {}{}; {} traced there",
                safe(&ended.account),
                look.toned(Tone::Wait, &words(ended.reason, TrailEndReason::as_str_name, "TRAIL_END_REASON_")),
                ended.label.as_ref().map(|label| format!(" {}", said(label))).unwrap_or_default(),
                look.amount(&ended.asset, &ended.traced_amount),
            ),
        }
    }
}

/// What a label says, where it is from, and what that is worth.
pub(crate) fn said(label: &KnownLabel) -> String {
    let says = label.says.clone().unwrap_or_default();
    format!("“{}” ({}, {} of 100)", safe(&says.label), safe(&label.title), label.confidence)
}

/// A finding in one line, for streams.
pub(crate) fn line(item: &TrailItem, look: &Look) -> String {
    match &item.item {
        Some(Item::Hop(hop)) => {
            let (finality, block_number) = (hop.finality, hop.block_number);
            Step { number: item.number, hop, finality, block_number, outcomes: Vec::new(), next: Vec::new() }
                .print(look)
        }
        Some(Item::Arrived(arrived)) => format!("#{} {}", item.number, Outcome::Arrived(arrived).print(look)),
        Some(Item::Ended(ended)) => format!("#{} {}", item.number, Outcome::Ended(ended).print(look)),
        Some(Item::Finality(changed)) => format!(
            "#{} hop {} is {} in block {}",
            item.number,
            safe(&changed.hop_id),
            words(changed.finality, Finality::as_str_name, "FINALITY_"),
            changed.block_number
        ),
        Some(Item::Address(concluded)) => {
            let account = concluded.target.as_ref().map(|target| safe(&target.account)).unwrap_or_default();
            let conclusion = word(concluded.conclusion, Conclusion::as_str_name, "CONCLUSION_");
            format!("#{} {account}: {conclusion} {}", item.number, safe(&concluded.exchange)).trim_end().to_owned()
        }
        Some(Item::Reached(reached)) => {
            let account = reached.target.as_ref().map(|target| safe(&target.account)).unwrap_or_default();
            let leads = if reached.reached { "a hop leads there again" } else { "no hop leads there any more" };
            format!("#{} {account}: {leads}", item.number)
        }
        Some(Item::Waiting(now)) => format!("#{} {}", item.number, waiting(now, now, look)),
        None => format!("#{} (newer than this program)", item.number),
    }
}

/// A transaction outside the chain: what it would pay, as it was `seen`, and how it stands.
fn waiting(seen: &Waiting, last: &Waiting, look: &Look) -> String {
    let (tone, state) = match last.state() {
        WaitingState::Seen => (Tone::Wait, "waits to be included".to_owned()),
        WaitingState::Replaced => (Tone::Bad, format!("replaced by {}", safe(&last.replaced_by))),
        WaitingState::Dropped => (Tone::Quiet, "dropped: no node keeps it".to_owned()),
        WaitingState::Included => (Tone::Good, format!("included in block {}", last.block_number)),
        WaitingState::Unspecified => (Tone::Wait, "unknown state".to_owned()),
    };
    let mut text = format!("{} {}", safe(&seen.transaction), look.toned(tone, &state));
    for payment in &seen.payments {
        let amount = look.amount(&payment.asset, &payment.amount);
        text.push_str(&format!("; {} → {}  {amount}", safe(&payment.from), safe(&payment.to)));
    }
    text
}

/// What follows from the answers, in a tone.
pub(crate) const fn conclusion(conclusion: Conclusion) -> (Tone, &'static str) {
    match conclusion {
        Conclusion::Held => (Tone::Good, "HELD"),
        Conclusion::NotHeld => (Tone::Quiet, "NOT_HELD"),
        Conclusion::Conflict => (Tone::Bad, "CONFLICT"),
        Conclusion::Open | Conclusion::Unspecified => (Tone::Wait, "OPEN"),
    }
}

fn push_all(open: &mut Vec<(usize, String, bool)>, steps: &[usize], indent: &str) {
    let last = steps.len().saturating_sub(1);
    open.extend(steps.iter().enumerate().rev().map(|(i, at)| (*at, indent.to_owned(), i == last)));
}

const fn branch(last: bool) -> &'static str {
    if last { "└─" } else { "├─" }
}

fn identity(transfer: Option<&Transfer>) -> (&str, &str, &str) {
    transfer.map_or(("", "", ""), |transfer| (&transfer.chain, &transfer.transaction, &transfer.index))
}
