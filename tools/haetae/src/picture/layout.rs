//! Where everything stands: layers from left to right, few crossings, straight ways.
//!
//! Each box stands in the layer after the last of those that lead to it (longest path). Links over several layers get a
//! place of their own in each, so that nothing is drawn across a box. The order within layers comes from sweeps that put
//! each thing at the middle of its neighbours (barycentre) and keep the order with the fewest crossings; the heights come
//! from solving, layer by layer, for the places nearest to the neighbours that keep order and distance.
//!
//! Links come to boxes at ports of their own with a straight piece before each: that is where their labels stand, and why
//! no label can lie on another.

mod order;
mod place;

/// Width of a box.
pub(super) const BOX: f64 = 216.0;
/// Room before a layer in which links run straight, with their labels.
pub(super) const RUN: f64 = 208.0;
/// Room after a layer in which links bend.
pub(super) const BEND: f64 = 76.0;
/// From one port to the next.
pub(super) const PORT: f64 = 19.0;
/// Between things of a layer.
const GAP: f64 = 16.0;
/// Height of a link that passes a layer.
const PASSING: f64 = 8.0;

/// A box to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// What its text needs; ports may need more.
    pub(super) height: f64,
    /// Its place in time: links lead from lower to higher ranks, except those that go back.
    pub(super) rank: usize,
    /// It stands in the first layer that it can, also where nothing leads to it.
    pub(super) start: bool,
}

/// A link to be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A box that has its place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The way of a link. It begins at a box's right side and ends at another's left, also where the money goes the other way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Route {
    /// From left to right: where it begins, then for every layer passed the height at which it passes, then where it ends.
    pub(super) points: Vec<Point>,
    /// The money goes from right to left.
    pub(super) back: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Everything in its place; the upper left corner is 0, 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) boxes: Vec<Rect>,
    pub(super) layers: Vec<usize>,
    pub(super) routes: Vec<Route>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A thing in a layer: a box, or a link that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Block(usize),
    Passing,
}

/// All things, with their layers, and who leads to whom in the next layer.
#[derive(Debug, Default)]
struct Net {
    items: Vec<Item>,
    layer: Vec<usize>,
    after: Vec<Vec<usize>>,
    before: Vec<Vec<usize>>,
    /// Things by layer, in their order from above.
    layers: Vec<Vec<usize>>,
}

pub(super) fn layout(blocks: &[Block], arcs: &[Arc]) -> Layout {
    if blocks.is_empty() {
        return Layout::default();
    }
    let turned: Vec<(usize, usize, bool)> = arcs.iter().map(|arc| turn(blocks, *arc)).collect();
    let layers = layered(blocks, &turned);
    let (mut net, ways) = net(&layers, &turned, blocks);
    order::arrange(&mut net);
    let heights = heights(blocks, &turned);
    let mut at = place::place(&net, |item| match item {
        Item::Block(block) => heights[block],
        Item::Passing => PASSING,
    });
    let top = (0..net.items.len()).map(|i| at[i] - height(&net, &heights, i) / 2.0).fold(f64::INFINITY, f64::min);
    at.iter_mut().for_each(|y| *y -= top);
    let boxes: Vec<Rect> = (0..blocks.len())
        .map(|block| Rect {
            x: column(layers[block]),
            y: at[block] - heights[block] / 2.0,
            width: BOX,
            height: heights[block],
        })
        .collect();
    let routes = routes(&turned, &ways, &boxes, &layers, &at);
    let bottom = (0..net.items.len()).map(|i| at[i] + height(&net, &heights, i) / 2.0).fold(0.0, f64::max);
    let last = layers.iter().copied().max().unwrap_or_default();
    Layout { boxes, layers, routes, width: column(last) + BOX, height: bottom }
}

fn height(net: &Net, heights: &[f64], item: usize) -> f64 {
    match net.items[item] {
        Item::Block(block) => heights[block],
        Item::Passing => PASSING,
    }
}

fn column(layer: usize) -> f64 {
    layer as f64 * (BOX + BEND + RUN)
}

/// A link from the lower rank to the higher, and whether it was turned for that.
fn turn(blocks: &[Block], arc: Arc) -> (usize, usize, bool) {
    let rank = |block: usize| (blocks[block].rank, block);
    match rank(arc.from) < rank(arc.to) {
        true => (arc.from, arc.to, false),
        false => (arc.to, arc.from, true),
    }
}

fn layered(blocks: &[Block], arcs: &[(usize, usize, bool)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|block| (blocks[*block].rank, *block));
    let (mut into, mut out) = (vec![Vec::new(); blocks.len()], vec![Vec::new(); blocks.len()]);
    for (from, to, _) in arcs {
        into[*to].push(*from);
        out[*from].push(*to);
    }
    let mut layers = vec![0usize; blocks.len()];
    for block in &order {
        layers[*block] = into[*block].iter().map(|before| layers[*before] + 1).max().unwrap_or(0);
    }
    // What nothing leads to stands just before what it leads to.
    for block in order.iter().rev().filter(|block| into[**block].is_empty() && !blocks[**block].start) {
        if let Some(next) = out[*block].iter().map(|next| layers[*next]).min() {
            layers[*block] = next.saturating_sub(1);
        }
    }
    let first = layers.iter().copied().min().unwrap_or_default();
    layers.iter_mut().for_each(|layer| *layer -= first);
    layers
}

/// Puts a thing into every layer that a link passes. Gives those things for each link, from left to right.
fn net(layers: &[usize], arcs: &[(usize, usize, bool)], blocks: &[Block]) -> (Net, Vec<Vec<usize>>) {
    let mut net = Net::default();
    for (block, layer) in layers.iter().enumerate() {
        net.add(Item::Block(block), *layer);
    }
    let mut ways = Vec::with_capacity(arcs.len());
    for (from, to, _) in arcs {
        let mut way = Vec::new();
        let mut last = *from;
        for layer in layers[*from] + 1..layers[*to] {
            let passing = net.add(Item::Passing, layer);
            net.join(last, passing);
            way.push(passing);
            last = passing;
        }
        net.join(last, *to);
        ways.push(way);
    }
    let count = layers.iter().copied().max().map_or(0, |last| last + 1);
    net.layers = vec![Vec::new(); count];
    // What came first in time stands above, to begin with.
    let rank = |item: &usize| match net.items[*item] {
        Item::Block(block) => (blocks[block].rank, *item),
        Item::Passing => (usize::MAX, *item),
    };
    let mut items: Vec<usize> = (0..net.items.len()).collect();
    items.sort_by_key(rank);
    for item in items {
        net.layers[net.layer[item]].push(item);
    }
    (net, ways)
}

impl Net {
    fn add(&mut self, item: Item, layer: usize) -> usize {
        self.items.push(item);
        self.layer.push(layer);
        self.after.push(Vec::new());
        self.before.push(Vec::new());
        self.items.len() - 1
    }

    fn join(&mut self, from: usize, to: usize) {
        self.after[from].push(to);
        self.before[to].push(from);
    }
}

/// How high each box is: as high as its text, and high enough for its ports.
fn heights(blocks: &[Block], arcs: &[(usize, usize, bool)]) -> Vec<f64> {
    let (mut into, mut out) = (vec![0usize; blocks.len()], vec![0usize; blocks.len()]);
    for (from, to, _) in arcs {
        out[*from] += 1;
        into[*to] += 1;
    }
    let ports = |block: usize| into[block].max(out[block]) as f64 * PORT;
    blocks.iter().enumerate().map(|(at, block)| block.height.max(ports(at) + 6.0)).collect()
}

fn routes(
    arcs: &[(usize, usize, bool)],
    ways: &[Vec<usize>],
    boxes: &[Rect],
    layers: &[usize],
    at: &[f64],
) -> Vec<Route> {
    let mut routes: Vec<Route> = arcs.iter().map(|(.., back)| Route { points: Vec::new(), back: *back }).collect();
    let middle = |block: usize| boxes[block].y + boxes[block].height / 2.0;
    // The ports of a box are in the order of what lies at the other ends.
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); boxes.len()];
    let mut coming: Vec<Vec<usize>> = vec![Vec::new(); boxes.len()];
    for (arc, (from, to, _)) in arcs.iter().enumerate() {
        leaving[*from].push(arc);
        coming[*to].push(arc);
    }
    let next = |arc: usize| ways[arc].first().map_or_else(|| middle(arcs[arc].1), |item| at[*item]);
    let last = |arc: usize| ways[arc].last().map_or_else(|| middle(arcs[arc].0), |item| at[*item]);
    let mut begins = vec![0.0; arcs.len()];
    let mut ends = vec![0.0; arcs.len()];
    for (sides, ports, other) in [
        (&mut leaving, &mut begins, &next as &dyn Fn(usize) -> f64),
        (&mut coming, &mut ends, &last as &dyn Fn(usize) -> f64),
    ] {
        for (block, side) in sides.iter_mut().enumerate() {
            side.sort_by(|one, two| other(*one).total_cmp(&other(*two)).then(one.cmp(two)));
            let first = middle(block) - (side.len().saturating_sub(1)) as f64 * PORT / 2.0;
            for (place, arc) in side.iter().enumerate() {
                ports[*arc] = first + place as f64 * PORT;
            }
        }
    }
    for (arc, (from, to, _)) in arcs.iter().enumerate() {
        let points = &mut routes[arc].points;
        points.push(Point { x: boxes[*from].x + BOX, y: begins[arc] });
        for (step, item) in ways[arc].iter().enumerate() {
            points.push(Point { x: column(layers[*from] + 1 + step), y: at[*item] });
        }
        points.push(Point { x: boxes[*to].x, y: ends[arc] });
    }
    routes
}
