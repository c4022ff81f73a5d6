//! The order within layers.

use super::Net;

/// There and back so many times; more changes little.
const SWEEPS: usize = 12;
/// Layers with more things than this are not gone through pair by pair.
const PAIRS: usize = 400;

/// Puts the things of each layer into an order with few crossings.
pub(super) fn arrange(net: &mut Net) {
    let mut best = net.layers.clone();
    let mut fewest = crossings(net);
    for _ in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        sweep(net, true);
        sweep(net, false);
        exchange(net);
        let now = crossings(net);
        if now < fewest {
            fewest = now;
            best.clone_from(&net.layers);
        }
    }
    net.layers = best;
}

/// Sorts each layer by the middle of the neighbours in the layer gone before.
fn sweep(net: &mut Net, forward: bool) {
    let mut at = places(net);
    let count = net.layers.len();
    for step in 1..count {
        let layer = if forward { step } else { count - 1 - step };
        let neighbours = if forward { &net.before } else { &net.after };
        let middle = |item: usize| match neighbours[item].as_slice() {
            [] => at[item],
            near => near.iter().map(|other| at[*other]).sum::<f64>() / near.len() as f64,
        };
        let mut keyed: Vec<(f64, usize)> = net.layers[layer].iter().map(|item| (middle(*item), *item)).collect();
        keyed.sort_by(|one, two| one.0.total_cmp(&two.0));
        net.layers[layer] = keyed.into_iter().map(|(_, item)| item).collect();
        number(&net.layers[layer], &mut at);
    }
}

/// Exchanges neighbours in a layer wherever that takes crossings away.
fn exchange(net: &mut Net) {
    let mut at = places(net);
    for layer in 0..net.layers.len() {
        if net.layers[layer].len() > PAIRS {
            continue;
        }
        for above in 0..net.layers[layer].len().saturating_sub(1) {
            let (one, two) = (net.layers[layer][above], net.layers[layer][above + 1]);
            let crossing = |sides: &[Vec<usize>], one: usize, two: usize| {
                let pairs = sides[one].iter().flat_map(|a| sides[two].iter().map(move |b| (*a, *b)));
                pairs.filter(|(a, b)| at[*a] > at[*b]).count()
            };
            let now = crossing(&net.before, one, two) + crossing(&net.after, one, two);
            let then = crossing(&net.before, two, one) + crossing(&net.after, two, one);
            if then < now {
                net.layers[layer].swap(above, above + 1);
                number(&net.layers[layer], &mut at);
            }
        }
    }
}

fn places(net: &Net) -> Vec<f64> {
    let mut at = vec![0.0; net.items.len()];
    net.layers.iter().for_each(|layer| number(layer, &mut at));
    at
}

/// Places from 0 to 1, so that layers of different sizes compare.
fn number(layer: &[usize], at: &mut [f64]) {
    for (place, item) in layer.iter().enumerate() {
        at[*item] = (place as f64 + 0.5) / layer.len() as f64;
    }
}

/// How many links cross, over all layers.
pub(super) fn crossings(net: &Net) -> usize {
    let mut place = vec![0usize; net.items.len()];
    for layer in &net.layers {
        for (at, item) in layer.iter().enumerate() {
            place[*item] = at;
        }
    }
    let between = |(left, right): (&Vec<usize>, &Vec<usize>)| {
        let mut ends: Vec<(usize, usize)> = Vec::new();
        for item in left {
            ends.extend(net.after[*item].iter().map(|next| (place[*item], place[*next])));
        }
        ends.sort_unstable();
        inversions(ends.into_iter().map(|(_, to)| to), right.len())
    };
    net.layers.iter().zip(net.layers.iter().skip(1)).map(between).sum()
}

/// Pairs in the wrong order, by a tree of partial counts.
fn inversions(ends: impl Iterator<Item = usize>, size: usize) -> usize {
    let mut counts = vec![0usize; size + 1];
    let mut crossings = 0;
    for (seen, end) in ends.enumerate() {
        let mut not_above = 0;
        let mut i = end + 1;
        while i > 0 {
            not_above += counts[i];
            i &= i - 1;
        }
        crossings += seen - not_above;
        let mut i = end + 1;
        while i <= size {
            counts[i] += 1;
            i += i & i.wrapping_neg();
        }
    }
    crossings
}
