//! The flow and its layout as JSON, for programs that draw or count for themselves.
//!
//! `schema` names the form; within it members are only added. Amounts are strings in the asset's smallest unit, places are
//! in the picture's own units, and nodes are named by their number.

use serde_json::{Value, json};

use super::{
    flow::{Flow, Hold, Hop, Link, Node},
    sheet::Sheet,
    svg::{kind_class, line_class},
};

const SCHEMA: &str = "haetae.flow/1";

pub(super) fn json(flow: &Flow) -> Value {
    let sheet = Sheet::of(flow);
    let title = &flow.title;
    let watches = title.watches.iter().map(
        |watch| json!({"watch_id": watch.id, "root": watch.root, "taint_rule": watch.rule, "stolen": watch.stolen}),
    );
    let assets = flow
        .assets
        .iter()
        .map(|coin| json!({"asset": coin.id, "unit": coin.unit.name, "decimals": coin.unit.decimals}));
    json!({
        "schema": SCHEMA,
        "case_number": title.case,
        "scope": title.question.scope,
        "start": title.question.start,
        "filter": title.question.filter,
        "as_of": title.as_of,
        "complete": flow.is_complete(),
        "missing": title.missing,
        "watches": watches.collect::<Value>(),
        "assets": assets.collect::<Value>(),
        "width": rounded(sheet.layout.width),
        "height": rounded(sheet.layout.height),
        "nodes": flow.nodes.iter().enumerate().map(|(at, node)| of_node(flow, &sheet, at, node)).collect::<Value>(),
        "links": flow.links.iter().enumerate().map(|(at, link)| of_link(flow, &sheet, at, link)).collect::<Value>(),
    })
}

fn of_node(flow: &Flow, sheet: &Sheet<'_>, at: usize, node: &Node) -> Value {
    let rect = sheet.rect(at);
    let asset = |number: usize| flow.assets.get(number).map(|coin| coin.id.clone()).unwrap_or_default();
    let sums = node.sums.iter().map(|sums| {
        json!({"asset": asset(sums.asset), "traced_in": sums.came, "traced_out": sums.went, "left": sums.left, "fees": sums.fees})
    });
    let ends = node
        .ends
        .iter()
        .map(|end| json!({"reason": end.reason, "asset": asset(end.asset), "traced_amount": end.traced}));
    let freezes = node.freezes.iter().map(|freeze| {
        json!({
            "leg_id": freeze.leg,
            "exchange": freeze.exchange,
            "asset": freeze.asset,
            "cap": freeze.cap,
            "frozen_amount": freeze.frozen,
            "hold": hold(freeze.hold),
            "says": freeze.says,
        })
    });
    let labels = node.labels.iter().map(|(label, source)| json!({"label": label, "source": source}));
    json!({
        "node": at,
        "account": node.account,
        "kind": kind_class(node.kind),
        "what": node.what,
        "open": node.open,
        "depth": node.depth,
        "sums": sums.collect::<Value>(),
        "ends": ends.collect::<Value>(),
        "freezes": freezes.collect::<Value>(),
        "labels": labels.collect::<Value>(),
        "first_seen": node.first,
        "last_seen": node.last,
        "more_out": node.more_out,
        "more_in": node.more_in,
        "layer": sheet.layout.layers.get(at),
        "x": rounded(rect.x),
        "y": rounded(rect.y),
        "width": rounded(rect.width),
        "height": rounded(rect.height),
    })
}

fn of_link(flow: &Flow, sheet: &Sheet<'_>, at: usize, link: &Link) -> Value {
    let points =
        sheet.layout.routes.get(at).map(|route| {
            route.points.iter().map(|point| json!([rounded(point.x), rounded(point.y)])).collect::<Value>()
        });
    json!({
        "from": link.from,
        "to": link.to,
        "asset": flow.assets.get(link.asset).map(|coin| coin.id.clone()),
        "kind": line_class(link.kind, link.provisional),
        "amount": link.amount.to_string(),
        "traced_amount": link.traced.to_string(),
        "points": points,
        "transfers": link.hops.iter().map(of_hop).collect::<Value>(),
    })
}

fn of_hop(hop: &Hop) -> Value {
    json!({
        "hop_id": hop.id,
        "watch_id": hop.watch,
        "chain": hop.chain,
        "transaction": hop.transaction,
        "index": hop.index,
        "amount": hop.amount,
        "traced_amount": hop.traced,
        "time": hop.time,
        "block_number": hop.block,
        "finality": hop.finality,
        "provisional": hop.provisional,
        "depth": hop.depth,
        "arrival_id": hop.arrival,
        "arrival_state": hop.arrival_state,
    })
}

pub(super) fn hold(hold: Hold) -> &'static str {
    match hold {
        Hold::Firm => "firm",
        Hold::Waiting => "waiting",
        Hold::Refused => "refused",
        Hold::Over => "over",
    }
}

fn rounded(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}
