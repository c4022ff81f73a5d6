//! The picture as a page of its own: to be looked through with mouse or keyboard, without any network.
//!
//! The page's policy names the one style and the one script that may run by their hashes, and allows nothing else. What
//! comes from elsewhere stands in the page as escaped text, or as data that the script only ever writes as text.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    details::{self, Details},
    flow::{Flow, LinkKind},
    group,
    sheet::Sheet,
    svg::{self, COLOURS, facts, graph, heading},
    text::escaped,
};
use crate::show::safe;

const PAGE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

pub(super) fn document(flow: &Flow) -> anyhow::Result<String> {
    document_with(flow, SCRIPT)
}

/// With a script instead of the page's own.
pub(super) fn document_with(flow: &Flow, script: &str) -> anyhow::Result<String> {
    let grouped = group::grouped(flow);
    let mut views = Vec::new();
    views.extend(grouped.as_ref().map(|flow| ("grouped", flow)));
    views.push(("all", flow));
    let mut pictures = String::new();
    let mut data = Vec::new();
    for (place, (name, flow)) in views.iter().enumerate() {
        let sheet = Sheet::of(flow);
        let (wide, high) = (sheet.layout.width + 2.0 * ROOM, sheet.layout.height + 2.0 * ROOM);
        pictures.push_str(&format!(
            "<svg id=\"view-{name}\" class=\"haetae\" viewBox=\"0 0 {wide:.0} {high:.0}\" role=\"group\" aria-label=\"The flow\"{}>\n\
             <g transform=\"translate({ROOM:.0} {ROOM:.0})\">\n{}</g></svg>\n",
            if place == 0 { "" } else { " hidden" },
            graph(&sheet)
        ));
        data.push(view(name, flow));
    }
    let data = json!({"views": data});
    let style = format!("{}{PAGE}", svg::STYLE);
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(&style),
        hash(script)
    );
    let heading = escaped(&heading(flow));
    let facts: String = facts(flow)
        .into_iter()
        .map(|(warning, line)| {
            let class = if warning { " class=\"warning\"" } else { "" };
            format!("<p{class}>{}</p>\n", escaped(&line))
        })
        .collect();
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{heading}</title>\n<style>{style}</style>\n</head>\n<body>\n\
         <header>\n<h1>{heading}</h1>\n<div id=\"facts\">\n{facts}</div>\n</header>\n\
         <div id=\"bar\" role=\"toolbar\" aria-label=\"View\">\n\
         <input id=\"search\" type=\"search\" placeholder=\"Search addresses, transactions, exchanges ( / )\" aria-label=\"Search\" \
         autocomplete=\"off\" spellcheck=\"false\"><span id=\"found\" role=\"status\"></span>\n\
         <span class=\"set\">{}</span>\n\
         <span class=\"set\"><button id=\"upstream\" title=\"Where the money of the chosen one came from (u)\">◀ upstream</button>\
         <button id=\"downstream\" title=\"Where it went (d)\">downstream ▶</button>\
         <button id=\"clear\" title=\"Nothing chosen (Esc)\">clear</button></span>\n\
         <span class=\"set\"><button id=\"out\" title=\"Smaller (−)\">−</button><button id=\"in\" title=\"Larger (+)\">+</button>\
         <button id=\"fit\" title=\"All of it (0)\">fit</button>{}</span>\n\
         </div>\n<main>\n<div id=\"stage\">\n{pictures}<svg id=\"map\" aria-hidden=\"true\" hidden></svg>\n</div>\n\
         <aside id=\"panel\" aria-label=\"Details\" tabindex=\"-1\"><p class=\"hint\">Choose a box or a line for its details. Drag \
         to move, turn the wheel to zoom; the arrows, + − and 0 do the same.</p></aside>\n</main>\n\
         <footer>{}</footer>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n<script>{script}</script>\n</body>\n</html>\n",
        assets(flow),
        if grouped.is_some() {
            "<button id=\"expand\" title=\"Every account apart (e)\">expand groups</button>"
        } else {
            ""
        },
        legend(flow),
        embedded(&data)?,
    ))
}

/// Room around the flow.
const ROOM: f64 = 24.0;

/// A box for each asset, by which its links are hidden.
fn assets(flow: &Flow) -> String {
    let used = flow.assets.iter().enumerate().filter(|(number, _)| flow.links.iter().any(|link| link.asset == *number));
    let of = |(number, coin): (usize, &super::flow::Coin)| {
        format!(
            "<label class=\"asset\" title=\"{}\"><input type=\"checkbox\" data-asset=\"{number}\" checked>\
             <i class=\"c{}\"></i>{}</label>",
            escaped(&coin.id),
            number % COLOURS,
            escaped(&coin.unit.name)
        )
    };
    used.map(of).collect()
}

/// What the signs mean, in words.
fn legend(flow: &Flow) -> String {
    let mut parts = vec![
        "Money flows from left to right; ← marks a line that goes back.",
        "Width: traced amount, by asset. Times are UTC.",
        "Thick rounded frame: root. Bar at the left: held by an exchange. Cut corners: contract. Pointed sides: service.",
    ];
    if flow.links.iter().any(|link| link.kind == LinkKind::Retracted) {
        parts.push("Red and struck through: retracted.");
    }
    if flow.links.iter().any(|link| link.provisional && link.kind == LinkKind::Hop) {
        parts.push("Dashed: provisional, an open question lies before it.");
    }
    if flow.nodes.iter().any(|node| node.open) {
        parts.push("?: exchanges were asked and not all have answered.");
    }
    if flow.nodes.iter().any(|node| !node.freezes.is_empty()) {
        parts.push(
            "Filled lock: the exchange has signed that it binds or withholds. Outlined: ordered, not binding yet.",
        );
    }
    parts.iter().map(|part| format!("<span>{part}</span> ")).collect()
}

fn view(name: &str, flow: &Flow) -> Value {
    let nodes = flow.nodes.iter().map(|node| {
        let frozen = node.freezes.iter().map(|freeze| safe(&format!("{} at {}", freeze.says, freeze.exchange)));
        let mut value = told(details::node(flow, node));
        value["kind"] = svg::kind_class(node.kind).into();
        value["what"] = safe(&node.what).into();
        value["frozen"] = frozen.collect();
        value
    });
    let links = flow.links.iter().map(|link| {
        let mut value = told(details::link(flow, link));
        value["from"] = link.from.into();
        value["to"] = link.to.into();
        value["asset"] = link.asset.into();
        value
    });
    json!({"name": name, "nodes": nodes.collect::<Value>(), "links": links.collect::<Value>()})
}

fn told(details: Details) -> Value {
    json!({"heading": details.heading, "rows": details.rows, "lists": details.lists})
}

/// JSON as a script element may hold it: nothing in it ends the element or begins a comment.
fn embedded(data: &Value) -> anyhow::Result<String> {
    let text = serde_json::to_string(data)?;
    Ok(text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}
