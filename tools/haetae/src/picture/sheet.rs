//! A flow laid out: what stands in each box, how each link looks, and where.

use haetae_core::Amount;

use super::{
    details,
    flow::{Flow, Hold, Kind, Link, LinkKind, Node},
    layout::{Arc, BOX, Block, Layout, Point, RUN, Rect, Route, layout},
    text::{fit, short_account},
};

/// Sizes of text.
pub(super) const NAME: f64 = 13.0;
pub(super) const SMALL: f64 = 11.0;
const LINE: f64 = 15.0;
const PAD: f64 = 9.0;
/// Height of a line that says what is frozen, with the room above it.
const BADGE: f64 = 20.0;
/// From the thinnest link to the widest.
const STROKES: (f64, f64) = (1.4, 12.0);

/// A flow, ready to be written down.
#[derive(Clone, Debug)]
pub(super) struct Sheet<'a> {
    pub(super) flow: &'a Flow,
    pub(super) layout: Layout,
    pub(super) boxes: Vec<Contents>,
    pub(super) lines: Vec<Stroke>,
}

/// What stands in a box.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) lines: Vec<(&'static str, String)>,
    /// What is frozen.
    pub(super) badges: Vec<(Hold, String)>,
}

/// How a link looks.
#[derive(Clone, Debug)]
pub(super) struct Stroke {
    /// The path's `d`.
    pub(super) path: String,
    pub(super) width: f64,
    /// The arrow's corners.
    pub(super) head: [Point; 3],
    pub(super) label: String,
    /// Where the label's right end stands.
    pub(super) at: Point,
}

impl<'a> Sheet<'a> {
    pub(super) fn of(flow: &'a Flow) -> Self {
        let boxes: Vec<Contents> = flow.nodes.iter().map(|node| contents(flow, node)).collect();
        let ranks = ranks(flow);
        let blocks: Vec<Block> = flow
            .nodes
            .iter()
            .zip(&boxes)
            .zip(&ranks)
            .map(|((node, contents), rank)| Block { height: contents.height(), rank: *rank, start: node.depth == 0 })
            .collect();
        let arcs: Vec<Arc> = flow.links.iter().map(|link| Arc { from: link.from, to: link.to }).collect();
        let layout = layout(&blocks, &arcs);
        let most = most(flow);
        let lines = flow
            .links
            .iter()
            .zip(&layout.routes)
            .map(|(link, route)| stroke(flow, link, route, most.get(link.asset).copied().unwrap_or(1.0)))
            .collect();
        Self { flow, layout, boxes, lines }
    }

    pub(super) fn rect(&self, node: usize) -> Rect {
        self.layout.boxes.get(node).copied().unwrap_or_default()
    }
}

impl Contents {
    fn height(&self) -> f64 {
        PAD * 2.0 + self.lines.len() as f64 * LINE + self.badges.len() as f64 * BADGE - 3.0
    }

    /// How far below the box's upper edge the foot of a line stands.
    pub(super) fn foot(line: usize) -> f64 {
        PAD + 11.0 + line as f64 * LINE
    }

    /// Upper edge of a badge, from the box's lower edge.
    pub(super) fn badge(&self, badge: usize) -> f64 {
        (self.badges.len() - badge) as f64 * BADGE + 4.0
    }
}

/// An account's rank is the place, in the order of the chains, of the first movement that brought something: money moves on
/// only after it came. What nothing comes to stands first.
fn ranks(flow: &Flow) -> Vec<usize> {
    let mut ranks = vec![0; flow.nodes.len()];
    for link in &flow.links {
        let first = link.hops.iter().map(|hop| hop.order + 1).min().unwrap_or(0);
        let rank = &mut ranks[link.to];
        *rank = if *rank == 0 { first } else { first.min(*rank) };
    }
    for (rank, node) in ranks.iter_mut().zip(&flow.nodes) {
        if node.kind == Kind::Root {
            *rank = 0;
        }
    }
    ranks
}

/// The largest amount that a link of each asset moves.
fn most(flow: &Flow) -> Vec<f64> {
    let mut most = vec![1.0; flow.assets.len()];
    for link in &flow.links {
        if let Some(most) = most.get_mut(link.asset) {
            *most = f64::max(*most, weight(link));
        }
    }
    most
}

fn weight(link: &Link) -> f64 {
    let of = |amount: Amount| amount.to_string().parse().unwrap_or(0.0);
    if link.traced.is_zero() { of(link.amount) } else { of(link.traced) }
}

fn contents(flow: &Flow, node: &Node) -> Contents {
    let room = BOX - 2.0 * PAD;
    let mut contents = Contents::default();
    let mut say = |class: &'static str, text: &str| {
        let size = if class == "name" { NAME * 1.05 } else { SMALL };
        let mark = if class == "name" && node.open { 18.0 } else { 0.0 };
        contents.lines.push((class, fit(text, size, room - mark)));
    };
    let address = short_account(&node.account);
    match (node.labels.first(), node.kind) {
        (Some((label, _)), _) => {
            say("name", label);
            say("what", &format!("{} · {address}", node.what));
        }
        (None, Kind::Exchange) => {
            say("name", &node.what);
            say("what", &address);
        }
        (None, Kind::Group) => say("name", &node.what),
        (None, _) => {
            say("name", &address);
            say("what", &node.what);
        }
    }
    let moved = node.sums.iter().filter(|sums| sums.came != "0" || sums.went != "0" || sums.left != "0");
    let (shown, rest) = (2, moved.clone().count().saturating_sub(2));
    for sums in moved.take(shown) {
        let unit = flow.unit(sums.asset);
        match sums.came.as_str() {
            "0" if sums.went != "0" => say("sum", &format!("out {}", unit.brief(&sums.went))),
            "0" => {}
            came => say("sum", &format!("in {}", unit.brief(came))),
        }
        if !["", "0", sums.came.as_str()].contains(&sums.left.as_str()) {
            say("sum", &format!("still here {}", unit.brief(&sums.left)));
        }
    }
    if rest > 0 {
        say("what", &format!("and {rest} more assets"));
    }
    let mut reasons: Vec<&str> = node.ends.iter().map(|end| end.reason.as_str()).collect();
    reasons.dedup();
    // What the kind of the account says already.
    let said = match node.kind {
        Kind::Exchange => "held",
        Kind::Contract => "contract",
        Kind::Service if node.what.starts_with("service") => "service like",
        Kind::Service => node.what.split(':').next().unwrap_or_default(),
        _ => "",
    };
    let reasons: Vec<&str> = reasons.into_iter().filter(|reason| *reason != said).collect();
    if !reasons.is_empty() {
        say("end", &format!("trail ends: {}", reasons.join(", ")));
    }
    match node.more_out.saturating_add(node.more_in) {
        0 => {}
        more => say("more", &format!("+{more} or more not shown")),
    }
    let badge = |freeze: &super::flow::Freeze| (freeze.hold, fit(&freeze.says, SMALL, room - 22.0));
    contents.badges = node.freezes.iter().map(badge).collect();
    contents
}

fn stroke(flow: &Flow, link: &Link, route: &Route, most: f64) -> Stroke {
    let share = (weight(link) / most).clamp(0.0, 1.0).sqrt();
    let (thin, wide) = STROKES;
    let width = match link.kind {
        LinkKind::Hop => thin + share * (wide - thin),
        LinkKind::Dust | LinkKind::Untraced | LinkKind::Retracted => thin,
    };
    let arrow = 6.0 + width * 0.45;
    let (first, last) =
        (route.points.first().copied().unwrap_or_default(), route.points.last().copied().unwrap_or_default());
    let half = 4.0 + width * 0.5;
    let (tip, base) = if route.back { (first.x, first.x + arrow) } else { (last.x, last.x - arrow) };
    let y = if route.back { first.y } else { last.y };
    let head = [Point { x: tip, y }, Point { x: base, y: y - half }, Point { x: base, y: y + half }];
    let at = Point { x: last.x - arrow - 4.0, y: last.y - width / 2.0 - 3.5 };
    let label = fit(&label(flow, link, route.back), SMALL, RUN - arrow - 6.0);
    Stroke { path: path(route, arrow), width, head, label, at }
}

/// Bends between the layers, straight where a layer is passed and where the label stands. The line ends inside the arrow.
fn path(route: &Route, arrow: f64) -> String {
    let Some((first, rest)) = route.points.split_first() else { return String::new() };
    let inset = arrow - 1.0;
    let start = if route.back { first.x + inset } else { first.x };
    let mut path = format!("M{:.1} {:.1}", start, first.y);
    let (mut x, mut y) = (first.x, first.y);
    for (place, point) in rest.iter().enumerate() {
        let bend = point.x - RUN;
        let middle = f64::midpoint(x, bend);
        if (point.y - y).abs() > 0.05 {
            path.push_str(&format!("C{middle:.1} {y:.1} {middle:.1} {:.1} {bend:.1} {:.1}", point.y, point.y));
        }
        let last = place + 1 == rest.len();
        let end = match (last, route.back) {
            (true, false) => point.x - inset,
            (true, true) => point.x,
            (false, _) => point.x + BOX,
        };
        path.push_str(&format!("H{end:.1}"));
        (x, y) = (end, point.y);
    }
    path
}

/// Amount, how many, and when.
fn label(flow: &Flow, link: &Link, back: bool) -> String {
    let unit = flow.unit(link.asset);
    let amount = if link.traced.is_zero() { link.amount } else { link.traced };
    let count = match link.hops.len() {
        0 | 1 => String::new(),
        n => format!(" ×{n}"),
    };
    let when = link.hops.first().map(|hop| moment(&hop.time, flow.is_of_one_day())).unwrap_or_default();
    let word = match link.kind {
        LinkKind::Retracted => "RETRACTED ",
        LinkKind::Dust => "dust ",
        LinkKind::Untraced => "untraced ",
        LinkKind::Hop => "",
    };
    let arrow = if back { "← " } else { "" };
    format!("{arrow}{word}{}{count} · {when}", unit.brief(&amount.to_string()))
}

/// The time, with the day where the title does not say it. The year is in the title.
fn moment(time: &str, one_day: bool) -> String {
    let from = if one_day { "2026-11-30 ".len() } else { "2026-".len() };
    time.get(from..).map_or_else(|| time.to_owned(), |rest| rest.trim_end_matches('Z').to_owned())
}

/// The name under which an account or a link is read out.
pub(super) fn spoken(sheet: &Sheet<'_>, node: usize) -> String {
    let node = &sheet.flow.nodes[node];
    let mut parts = vec![details::name(node), node.what.clone()];
    parts.extend(node.freezes.iter().map(|freeze| format!("{} at {}", freeze.says, freeze.exchange)));
    parts.dedup();
    parts.join(", ")
}
