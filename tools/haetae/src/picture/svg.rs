//! The picture as SVG: complete by itself, readable on screen (light or dark) and on paper.

use super::{
    details,
    flow::{Flow, Hold, Kind, LinkKind},
    layout::Rect,
    sheet::{Contents, SMALL, Sheet, spoken},
    text::{escaped, fit, width},
};

/// What is common to the picture alone and within a page.
pub(super) const STYLE: &str = include_str!("picture.css");
/// Room around everything.
const MARGIN: f64 = 28.0;
const LINE: f64 = 17.0;
/// The narrowest sheet, so that title and legend have room.
const NARROWEST: f64 = 900.0;
/// Colours of assets are used again after so many.
pub(super) const COLOURS: usize = 6;

/// The whole document.
pub(super) fn document(flow: &Flow) -> String {
    let sheet = Sheet::of(flow);
    let wide = sheet.layout.width.max(NARROWEST) + 2.0 * MARGIN;
    let (title, below) = title(flow, wide - 2.0 * MARGIN);
    let top = below + 22.0;
    let foot = top + sheet.layout.height + 34.0;
    let (legend, end) = legend(flow, wide - 2.0 * MARGIN, foot);
    let high = end + MARGIN;
    let left = MARGIN;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" class=\"haetae\" viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" \
         height=\"{high:.0}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{title}\
         <g transform=\"translate({left:.0} {top:.0})\">\n{}</g>\n{legend}</svg>\n",
        escaped(&heading(flow)),
        graph(&sheet),
    )
}

/// Only what flows: links below, boxes above them, labels on top. The upper left corner is 0, 0.
pub(super) fn graph(sheet: &Sheet<'_>) -> String {
    let mut out = String::new();
    // Wide ones first, so that thin ones are not hidden.
    let mut order: Vec<usize> = (0..sheet.lines.len()).collect();
    order.sort_by(|one, two| sheet.lines[*two].width.total_cmp(&sheet.lines[*one].width).then(one.cmp(two)));
    for at in order {
        let (link, stroke) = (&sheet.flow.links[at], &sheet.lines[at]);
        let class = line_class(link.kind, link.provisional);
        let [tip, one, two] = stroke.head;
        out.push_str(&format!(
            "<g class=\"link {class} a{}\" data-l=\"{at}\"><title>{}</title><path d=\"{}\" stroke-width=\"{:.1}\"/>\
             <path class=\"head\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>\n",
            link.asset % COLOURS,
            tooltip(&details::link(sheet.flow, link)),
            stroke.path,
            stroke.width,
            tip.x,
            tip.y,
            one.x,
            one.y,
            two.x,
            two.y,
            stroke.at.x,
            stroke.at.y,
            escaped(&stroke.label),
        ));
    }
    for (at, contents) in sheet.boxes.iter().enumerate() {
        out.push_str(&node(sheet, at, contents));
    }
    out
}

fn node(sheet: &Sheet<'_>, at: usize, contents: &Contents) -> String {
    let node = &sheet.flow.nodes[at];
    let rect = sheet.rect(at);
    let mut out = format!(
        "<g class=\"node {}\" data-n=\"{at}\" tabindex=\"0\" role=\"button\" aria-label=\"{}\"><title>{}</title>{}",
        kind_class(node.kind),
        escaped(&spoken(sheet, at)),
        tooltip(&details::node(sheet.flow, node)),
        outline(node.kind, rect),
    );
    for (place, (class, text)) in contents.lines.iter().enumerate() {
        out.push_str(&format!(
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            rect.x + 10.0,
            rect.y + Contents::foot(place),
            escaped(text)
        ));
    }
    if node.open {
        let (x, y) = (rect.x + rect.width - 14.0, rect.y + 14.0);
        out.push_str(&format!(
            "<circle class=\"asked\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"/><text class=\"asked\" x=\"{x:.1}\" y=\"{:.1}\">?</text>",
            y + 4.0
        ));
    }
    for (place, (hold, says)) in contents.badges.iter().enumerate() {
        let (x, y) = (rect.x + 5.0, rect.y + rect.height - contents.badge(place));
        out.push_str(&badge(*hold, says, x, y, rect.width - 10.0));
    }
    out.push_str("</g>\n");
    out
}

/// Kinds differ in form too, so that no colour is needed to tell them apart.
fn outline(kind: Kind, rect: Rect) -> String {
    let Rect { x, y, width, height } = rect;
    let (right, bottom) = (x + width, y + height);
    match kind {
        Kind::Contract => {
            let cut = f64::min(9.0, height / 3.0);
            format!(
                "<path class=\"box\" d=\"M{:.1} {y:.1}H{:.1}L{right:.1} {:.1}V{:.1}L{:.1} {bottom:.1}H{:.1}L{x:.1} {:.1}V{:.1}Z\"/>",
                x + cut,
                right - cut,
                y + cut,
                bottom - cut,
                right - cut,
                x + cut,
                bottom - cut,
                y + cut
            )
        }
        Kind::Service | Kind::Other => {
            let (point, middle) = (8.0, f64::midpoint(y, bottom));
            format!(
                "<path class=\"box\" d=\"M{x:.1} {y:.1}H{right:.1}L{:.1} {middle:.1}L{right:.1} {bottom:.1}H{x:.1}L{:.1} {middle:.1}Z\"/>",
                right + point,
                x - point
            )
        }
        Kind::Group => format!(
            "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/>\
             <rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/>",
            x + 5.0,
            y + 5.0
        ),
        Kind::Exchange => format!(
            "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\
             <rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"5\" height=\"{height:.1}\"/>"
        ),
        Kind::Root => format!(
            "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"12\"/>"
        ),
        Kind::Wallet => format!(
            "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\"/>"
        ),
    }
}

/// What is frozen, with a sign that says whether it holds.
fn badge(hold: Hold, says: &str, x: f64, y: f64, width: f64) -> String {
    let (class, sign) = match hold {
        Hold::Firm => ("firm", "M-4 0h8v6h-8zM-2.5 0v-2.2a2.5 2.5 0 0 1 5 0v2.2"),
        Hold::Waiting => ("waiting", "M0 -4.5v5l3 2M5.5 1a5.5 5.5 0 1 1-11 0a5.5 5.5 0 1 1 11 0"),
        Hold::Refused => ("refused", "M-4 -3l8 8M4 -3l-8 8"),
        Hold::Over => ("over", "M-4 0h8v6h-8zM-2.5 0v-2.2a2.5 2.5 0 0 1 4.8 -1"),
    };
    format!(
        "<g class=\"badge {class}\"><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"17\" rx=\"4\"/>\
         <path d=\"{sign}\" transform=\"translate({:.1} {:.1})\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
        x + 10.0,
        y + 7.2,
        x + 20.0,
        y + 12.5,
        escaped(says)
    )
}

pub(super) fn kind_class(kind: Kind) -> &'static str {
    match kind {
        Kind::Root => "root",
        Kind::Wallet => "wallet",
        Kind::Exchange => "exchange",
        Kind::Contract => "contract",
        Kind::Service => "service",
        Kind::Other => "other",
        Kind::Group => "group",
    }
}

pub(super) fn line_class(kind: LinkKind, provisional: bool) -> &'static str {
    match kind {
        LinkKind::Hop if provisional => "provisional",
        LinkKind::Hop => "hop",
        LinkKind::Dust => "dust",
        LinkKind::Untraced => "untraced",
        LinkKind::Retracted => "retracted",
    }
}

/// A tooltip, line by line, escaped. It holds what fits one; the rest is in the page's panel, and in the other documents.
fn tooltip(details: &details::Details) -> String {
    let rows =
        |rows: &[(String, String)]| rows.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
    let mut lines = vec![details.heading.clone()];
    lines.extend(rows(&details.rows));
    for (name, items) in &details.lists {
        lines.push(name.clone());
        lines.extend(items.iter().take(3).map(|item| rows(item).join("; ")));
        if items.len() > 3 {
            lines.push(format!("… and {} more", items.len() - 3));
        }
    }
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("&#10;")
}

pub(super) fn heading(flow: &Flow) -> String {
    match flow.title.case.as_str() {
        "" => "Money flow".to_owned(),
        case => format!("Money flow · case {case}"),
    }
}

/// The facts of the title, line by line; true where a line is a warning.
pub(super) fn facts(flow: &Flow) -> Vec<(bool, String)> {
    let title = &flow.title;
    let mut lines = Vec::new();
    let question = [&title.question.start, &title.question.scope, &title.question.filter];
    let question: Vec<&str> = question.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    lines.push((false, question.join(" · ")));
    for watch in &title.watches {
        let stolen =
            if watch.stolen.is_empty() { String::new() } else { format!(" · stolen {}", watch.stolen.join(", ")) };
        lines.push((false, format!("watch {} · root {} · taint rule: {}{stolen}", watch.id, watch.root, watch.rule)));
    }
    let seen = match &title.seen {
        (first, last) if first.is_empty() && last.is_empty() => String::new(),
        (first, last) if first == last => format!(" · movements of {first}"),
        (first, last) => format!(" · movements from {first} to {last}"),
    };
    lines.push((false, format!("as of {}{seen}", title.as_of)));
    lines.extend(title.missing.iter().map(|missing| (true, missing.clone())));
    lines
}

fn title(flow: &Flow, room: f64) -> (String, f64) {
    let mut y = MARGIN + 18.0;
    let mut out = format!(
        "<text class=\"heading\" x=\"{MARGIN:.0}\" y=\"{y:.0}\">{}</text>\n",
        escaped(&fit(&heading(flow), 22.0, room))
    );
    y += 6.0;
    for (warning, line) in facts(flow) {
        y += LINE;
        let class = if warning { "warning" } else { "fact" };
        out.push_str(&format!(
            "<text class=\"{class}\" x=\"{MARGIN:.0}\" y=\"{y:.0}\">{}</text>\n",
            escaped(&fit(&line, 12.0, room))
        ));
    }
    (out, y)
}

/// What signs and colours mean, of those that are there.
fn legend(flow: &Flow, room: f64, top: f64) -> (String, f64) {
    let mut items: Vec<(String, String)> = Vec::new();
    let box_of = |kind: Kind| outline(kind, Rect { x: 8.0, y: -9.0, width: 22.0, height: 13.0 });
    for (kind, text) in [
        (Kind::Root, "root of a watch"),
        (Kind::Wallet, "wallet"),
        (Kind::Exchange, "held by an exchange"),
        (Kind::Contract, "contract"),
        (Kind::Service, "service"),
        (Kind::Group, "several wallets"),
    ] {
        if flow.nodes.iter().any(|node| node.kind == kind) {
            items.push((format!("<g class=\"node {}\">{}</g>", kind_class(kind), box_of(kind)), text.to_owned()));
        }
    }
    for (class, text) in [
        ("provisional", "provisional: an open question before it"),
        ("dust", "dust"),
        ("untraced", "other money"),
        ("retracted", "retracted"),
    ] {
        if flow.links.iter().any(|link| line_class(link.kind, link.provisional) == class) {
            let line = "<path d=\"M4 -3H34\" stroke-width=\"2.5\"/>";
            items.push((format!("<g class=\"link {class} a0\">{line}</g>"), text.to_owned()));
        }
    }
    for (number, coin) in
        flow.assets.iter().enumerate().filter(|(number, _)| flow.links.iter().any(|l| l.asset == *number))
    {
        let line = "<path d=\"M4 -3H34\" stroke-width=\"6\"/>";
        let text = if coin.unit.decimals.is_some() {
            format!("{}: {}", coin.unit.name, coin.id)
        } else {
            format!("smallest units of {}", coin.id)
        };
        items.push((format!("<g class=\"link hop a{}\">{line}</g>", number % COLOURS), text));
    }
    for (hold, text) in [
        (Hold::Firm, "signed by the exchange: binding or frozen"),
        (Hold::Waiting, "ordered, not binding yet"),
        (Hold::Refused, "refused by the exchange"),
        (Hold::Over, "released or expired"),
    ] {
        if flow.nodes.iter().flat_map(|node| &node.freezes).any(|freeze| freeze.hold == hold) {
            items.push((badge(hold, "", 8.0, -12.0, 22.0), text.to_owned()));
        }
    }
    if flow.nodes.iter().any(|node| node.open) {
        let sign =
            "<circle class=\"asked\" cx=\"19\" cy=\"-3\" r=\"7\"/><text class=\"asked\" x=\"19\" y=\"1\">?</text>";
        items.push((sign.to_owned(), "exchanges asked, not all have answered".to_owned()));
    }
    items.push((String::new(), "Width of a line: its traced amount, by asset. Times are UTC.".to_owned()));
    let (mut x, mut y) = (0.0, top);
    let mut out = String::from("<g class=\"legend\">\n");
    for (sign, text) in items {
        let text = fit(&text, SMALL, room - 50.0);
        let wide = 42.0 + width(&text, SMALL) + 22.0;
        if x > 0.0 && x + wide > room {
            (x, y) = (0.0, y + 24.0);
        }
        let at = if sign.is_empty() { 4.0 } else { 40.0 };
        out.push_str(&format!(
            "<g transform=\"translate({:.0} {y:.0})\">{sign}<text x=\"{at:.0}\" y=\"0\">{}</text></g>\n",
            MARGIN + x,
            escaped(&text)
        ));
        x += wide;
    }
    out.push_str("</g>\n");
    (out, y)
}
