//! All that is known of an account or a link, as names and values: for tooltips, the side panel, and documents.

use super::{
    flow::{Flow, Kind, Link, LinkKind, Node},
    text::short_account,
};
use crate::show::{NOTHING, safe};

/// Names and values.
pub(super) type Rows = Vec<(String, String)>;

/// A heading, names and values, and lists of such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) heading: String,
    pub(super) rows: Rows,
    pub(super) lists: Vec<(String, Vec<Rows>)>,
}

impl Details {
    fn say(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() && value != NOTHING {
            self.rows.push((name.to_owned(), safe(&value)));
        }
    }

    fn list(&mut self, name: String, items: Vec<Rows>) {
        let told = |item: Rows| item.into_iter().map(|(name, value)| (name, safe(&value))).collect();
        if !items.is_empty() {
            self.lists.push((name, items.into_iter().map(told).collect()));
        }
    }
}

/// An account's.
pub(super) fn node(flow: &Flow, node: &Node) -> Details {
    let mut details = Details { heading: safe(&name(node)), ..Details::default() };
    details.say("account", &node.account);
    details.say("what", &node.what);
    for (label, source) in &node.labels {
        details.say("label", format!("{label} (says {source})"));
    }
    if node.open {
        details.say("exchanges", "asked; not all have answered");
    }
    for sums in &node.sums {
        let unit = flow.unit(sums.asset);
        details.say("asset", flow.assets.get(sums.asset).map(|coin| coin.id.clone()).unwrap_or_default());
        details.say("traced in, shown", unit.exact(&sums.came));
        details.say("traced out, shown", unit.exact(&sums.went));
        details.say("traced and still here", unit.exact(&sums.left));
        if sums.fees != "0" {
            details.say("spent on transactions", unit.exact(&sums.fees));
        }
    }
    for end in &node.ends {
        details.say("trail ends here", format!("{}: {}", end.reason, flow.unit(end.asset).exact(&end.traced)));
    }
    details.say("first seen", &node.first);
    details.say("last seen", &node.last);
    if !node.account.is_empty() {
        details.say("transfers from the start", node.depth.to_string());
    }
    details.say("not shown, onward", more(node.more_out));
    details.say("not shown, back", more(node.more_in));
    details.list("Freezes".to_owned(), node.freezes.iter().map(|freeze| freeze.rows.clone()).collect());
    let members = node
        .members
        .iter()
        .map(|(account, amount)| vec![("account".to_owned(), account.clone()), ("amount".to_owned(), amount.clone())]);
    details.list(format!("{} accounts", node.members.len()), members.collect());
    details
}

/// A link's.
pub(super) fn link(flow: &Flow, link: &Link) -> Details {
    let (from, to) = (&flow.nodes[link.from], &flow.nodes[link.to]);
    let unit = flow.unit(link.asset);
    let heading = safe(&format!("{} → {}", name(from), name(to)));
    let mut details = Details { heading, ..Details::default() };
    details.say("from", &from.account);
    details.say("to", &to.account);
    details.say("asset", flow.assets.get(link.asset).map(|coin| coin.id.clone()).unwrap_or_default());
    details.say("moved", unit.exact(&link.amount.to_string()));
    details.say("traced of it", unit.exact(&link.traced.to_string()));
    match link.kind {
        LinkKind::Hop if link.provisional => details.say("stands", "provisional: beyond an open question"),
        LinkKind::Hop => {}
        LinkKind::Dust => details.say("what", "dust: too little to be followed"),
        LinkKind::Untraced => details.say("what", "other money: none of it is traced"),
        LinkKind::Retracted => details.say("what", "retracted: left the chain, or turned out not to be traced"),
    }
    let hops = link.hops.iter().map(|hop| {
        let mut rows = Vec::new();
        let mut say = |name: &str, value: String| {
            if !value.is_empty() && value != NOTHING {
                rows.push((name.to_owned(), value));
            }
        };
        say("time", hop.time.clone());
        say("moved", unit.exact(&hop.amount));
        say("traced", unit.exact(&hop.traced));
        say("transaction", hop.transaction.clone());
        say("index", hop.index.clone());
        say("chain", hop.chain.clone());
        say("block", hop.block.to_string());
        say("finality", hop.finality.clone());
        if hop.provisional {
            say("stands", "provisional".to_owned());
        }
        say("hop", hop.id.clone());
        say("watch", hop.watch.clone());
        if !hop.arrival.is_empty() {
            say("arrival", format!("{} ({})", hop.arrival, hop.arrival_state));
        }
        rows
    });
    let count = link.hops.len();
    details.list(format!("{count} transfer{}", if count == 1 { "" } else { "s" }), hops.collect());
    details
}

/// What a node is called: by its label or its exchange, where it has one.
pub(super) fn name(node: &Node) -> String {
    let address = short_account(&node.account);
    match (node.labels.first(), node.kind) {
        (Some((label, _)), _) => format!("{label} {address}"),
        (None, Kind::Exchange) => format!("{} {address}", node.what.split(" · ").next().unwrap_or_default()),
        (None, Kind::Group) => node.what.clone(),
        (None, _) => address,
    }
}

fn more(count: u32) -> String {
    match count {
        0 => String::new(),
        1 => "at least 1 movement".to_owned(),
        n => format!("at least {n} movements"),
    }
}
