//! The flow as GraphML, for Gephi, yEd and the like: one edge per movement, typed attributes, places as laid out.

use super::{
    details,
    flow::{Flow, Hop, Link, Node},
    layout::Rect,
    sheet::Sheet,
    svg::{heading, kind_class, line_class},
    text::escaped,
};

/// Name, what it is an attribute of, its type, and its id, which is its name with the side before it.
const KEYS: [(&str, &str, &str); 28] = [
    ("label", "node", "string"),
    ("account", "node", "string"),
    ("kind", "node", "string"),
    ("what", "node", "string"),
    ("exchange_asked", "node", "boolean"),
    ("depth", "node", "int"),
    ("frozen", "node", "string"),
    ("ends", "node", "string"),
    ("traced_in", "node", "string"),
    ("traced_left", "node", "string"),
    ("first_seen", "node", "string"),
    ("last_seen", "node", "string"),
    ("more_out", "node", "int"),
    ("more_in", "node", "int"),
    ("x", "node", "double"),
    ("y", "node", "double"),
    ("label", "edge", "string"),
    ("kind", "edge", "string"),
    ("asset", "edge", "string"),
    ("amount", "edge", "string"),
    ("traced_amount", "edge", "string"),
    ("weight", "edge", "double"),
    ("time", "edge", "string"),
    ("chain", "edge", "string"),
    ("transaction", "edge", "string"),
    ("index", "edge", "string"),
    ("block", "edge", "long"),
    ("finality", "edge", "string"),
];

pub(super) fn document(flow: &Flow) -> String {
    let sheet = Sheet::of(flow);
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd\">\n",
    );
    for (name, side, kind) in KEYS {
        out.push_str(&format!(
            "  <key id=\"{side}_{name}\" for=\"{side}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>\n"
        ));
    }
    let missing = flow.title.missing.join(" ");
    out.push_str(&format!(
        "  <graph id=\"flow\" edgedefault=\"directed\">\n    <desc>{}</desc>\n",
        escaped(format!("{} as of {} {missing}", heading(flow), flow.title.as_of).trim())
    ));
    for (at, node) in flow.nodes.iter().enumerate() {
        out.push_str(&of_node(flow, at, node, sheet.rect(at)));
    }
    for link in &flow.links {
        link.hops.iter().for_each(|hop| out.push_str(&of_hop(flow, link, hop)));
    }
    out.push_str("  </graph>\n</graphml>\n");
    out
}

fn of_node(flow: &Flow, at: usize, node: &Node, rect: Rect) -> String {
    let amounts = |pick: fn(&super::flow::Sums) -> &String| {
        let told = node.sums.iter().filter(|sums| !pick(sums).is_empty());
        told.map(|sums| flow.unit(sums.asset).exact(pick(sums))).collect::<Vec<_>>().join(", ")
    };
    let frozen = node.freezes.iter().map(|freeze| format!("{} at {}", freeze.says, freeze.exchange));
    let ends = node.ends.iter().map(|end| format!("{}: {}", end.reason, flow.unit(end.asset).exact(&end.traced)));
    let values = [
        ("label", details::name(node)),
        ("account", node.account.clone()),
        ("kind", kind_class(node.kind).to_owned()),
        ("what", node.what.clone()),
        ("exchange_asked", node.open.to_string()),
        ("depth", node.depth.to_string()),
        ("frozen", frozen.collect::<Vec<_>>().join("; ")),
        ("ends", ends.collect::<Vec<_>>().join("; ")),
        ("traced_in", amounts(|sums| &sums.came)),
        ("traced_left", amounts(|sums| &sums.left)),
        ("first_seen", node.first.clone()),
        ("last_seen", node.last.clone()),
        ("more_out", node.more_out.to_string()),
        ("more_in", node.more_in.to_string()),
        ("x", format!("{:.1}", rect.x)),
        ("y", format!("{:.1}", rect.y)),
    ];
    format!("    <node id=\"n{at}\">\n{}    </node>\n", data("node", values))
}

fn of_hop(flow: &Flow, link: &Link, hop: &Hop) -> String {
    let unit = flow.unit(link.asset);
    let traced = if hop.traced == "0" { &hop.amount } else { &hop.traced };
    let values = [
        ("label", unit.brief(traced)),
        ("kind", line_class(link.kind, hop.provisional).to_owned()),
        ("asset", flow.assets.get(link.asset).map(|coin| coin.id.clone()).unwrap_or_default()),
        ("amount", hop.amount.clone()),
        ("traced_amount", hop.traced.clone()),
        // For the eye of other programs only: a double does not hold every amount.
        ("weight", format!("{}", traced.parse::<f64>().unwrap_or_default())),
        ("time", hop.time.clone()),
        ("chain", hop.chain.clone()),
        ("transaction", hop.transaction.clone()),
        ("index", hop.index.clone()),
        ("block", hop.block.to_string()),
        ("finality", hop.finality.clone()),
    ];
    format!(
        "    <edge id=\"e{}\" source=\"n{}\" target=\"n{}\">\n{}    </edge>\n",
        hop.order,
        link.from,
        link.to,
        data("edge", values)
    )
}

fn data<const N: usize>(side: &str, values: [(&str, String); N]) -> String {
    let line = |(name, value): (&str, String)| match value.as_str() {
        "" => String::new(),
        value => format!("      <data key=\"{side}_{name}\">{}</data>\n", escaped(value)),
    };
    values.into_iter().map(line).collect()
}
