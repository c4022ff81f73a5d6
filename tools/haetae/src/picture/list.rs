//! The flow as two tables, for those who read on a terminal: what moved, and where it came.

use super::{
    flow::{Flow, Hold, LinkKind},
    svg::{facts, heading},
};
use crate::{
    failure::counted,
    show::{Look, Tone, safe},
    table::{Rows, plain},
};

/// Accounts and movements, nothing shortened.
pub(crate) fn list(flow: &Flow, look: &Look) -> String {
    let mut text = format!("{}\n", safe(&heading(flow)));
    for (warning, line) in facts(flow) {
        let line = safe(&line);
        text.push_str(&format!("{}\n", if warning { look.toned(Tone::Bad, &line) } else { line }));
    }
    if flow.links.is_empty() {
        return format!("{text}\nNo money has moved.\n");
    }
    let mut moved = Rows::new(look, &["time", "from, to", "moved, traced of it", "transfer"]);
    let mut hops: Vec<_> = flow.links.iter().flat_map(|link| link.hops.iter().map(move |hop| (link, hop))).collect();
    hops.sort_by_key(|(_, hop)| hop.order);
    for (link, hop) in &hops {
        let unit = flow.unit(link.asset);
        let (tone, stands) = match link.kind {
            LinkKind::Hop if hop.provisional => (Tone::Wait, format!("{}, provisional", hop.finality)),
            LinkKind::Hop => (Tone::Plain, hop.finality.clone()),
            LinkKind::Dust => (Tone::Quiet, "dust".to_owned()),
            LinkKind::Untraced => (Tone::Quiet, "not traced".to_owned()),
            LinkKind::Retracted => (Tone::Bad, "RETRACTED".to_owned()),
        };
        moved.row([
            plain(format!("{}\nblock {}", hop.time, hop.block)),
            plain(format!("{}\n{}", safe(&flow.nodes[link.from].account), safe(&flow.nodes[link.to].account))),
            plain(format!("{}\n{}", unit.exact(&hop.amount), unit.exact(&hop.traced))),
            (tone, format!("{}\n{}, {stands}", safe(&hop.transaction), safe(&hop.index))),
        ]);
    }
    let mut accounts = Rows::new(look, &["account", "traced in", "still here", "frozen"]);
    for node in &flow.nodes {
        let amounts = |pick: fn(&super::flow::Sums) -> &String| {
            let told = node.sums.iter().filter(|sums| !["", "0"].contains(&pick(sums).as_str()));
            told.map(|sums| flow.unit(sums.asset).exact(pick(sums))).collect::<Vec<_>>().join("\n")
        };
        let mut what = vec![safe(&node.account), safe(&node.what)];
        what.extend(node.labels.iter().map(|(label, source)| format!("{} (says {})", safe(label), safe(source))));
        if node.open {
            what.push("exchanges asked, not all have answered".to_owned());
        }
        what.extend(node.ends.iter().map(|end| format!("trail ends: {}", end.reason)));
        let more = node.more_out.saturating_add(node.more_in);
        if more > 0 {
            what.push(format!("at least {} not shown", counted(more as usize, "movement")));
        }
        let frozen: Vec<String> =
            node.freezes.iter().map(|freeze| format!("{} at {}", safe(&freeze.says), safe(&freeze.exchange))).collect();
        let tone = match node.freezes.first().map(|freeze| freeze.hold) {
            Some(Hold::Firm) => Tone::Good,
            Some(Hold::Waiting) => Tone::Wait,
            Some(Hold::Refused) => Tone::Bad,
            Some(Hold::Over) | None => Tone::Quiet,
        };
        accounts.row([
            plain(what.join("\n")),
            plain(amounts(|sums| &sums.came)),
            plain(amounts(|sums| &sums.left)),
            (tone, frozen.join("\n")),
        ]);
    }
    let (movements, nodes) = (counted(hops.len(), "movement"), counted(flow.nodes.len(), "account"));
    format!("{text}\n{movements}\n{}\n{nodes}\n{}", moved.print(), accounts.print())
}
