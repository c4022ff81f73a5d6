//! The heights at which the things of each layer stand, in their order.

use super::{GAP, Item, Net};

const SWEEPS: usize = 16;
/// How much straighter links are kept that pass layers.
const PASSING: f64 = 6.0;

/// The middle of each thing, such that order and distances are kept and every thing is near to its neighbours.
pub(super) fn place(net: &Net, height: impl Fn(Item) -> f64) -> Vec<f64> {
    let heights: Vec<f64> = net.items.iter().map(|item| height(*item)).collect();
    let mut at = vec![0.0; net.items.len()];
    for layer in &net.layers {
        let mut y = 0.0;
        for item in layer {
            at[*item] = y + heights[*item] / 2.0;
            y += heights[*item] + GAP;
        }
        // Around one middle line.
        let half = (y - GAP) / 2.0;
        layer.iter().for_each(|item| at[*item] -= half);
    }
    let count = net.layers.len();
    for sweep in 0..SWEEPS {
        for step in 0..count {
            let layer = if sweep % 2 == 0 { step } else { count - 1 - step };
            // First each side for itself, in the end both together.
            let both = sweep + 4 >= SWEEPS;
            let sides: &[&Vec<Vec<usize>>] = match (both, sweep % 2 == 0) {
                (true, _) => &[&net.before, &net.after],
                (false, true) => &[&net.before],
                (false, false) => &[&net.after],
            };
            settle(net, &net.layers[layer], sides, &heights, &mut at);
        }
    }
    at
}

/// Solves one layer: the weighted squares of the distances from where each thing would like to stand are the least that
/// order and distance allow (pool adjacent violators).
fn settle(net: &Net, layer: &[usize], sides: &[&Vec<Vec<usize>>], heights: &[f64], at: &mut [f64]) {
    struct Pool {
        sum: f64,
        weight: f64,
        count: usize,
    }
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    let mut pools: Vec<Pool> = Vec::with_capacity(layer.len());
    for (place, item) in layer.iter().enumerate() {
        if place > 0 {
            offset += (heights[layer[place - 1]] + heights[*item]) / 2.0 + GAP;
        }
        offsets.push(offset);
        let (wish, weight) = wish(net, *item, sides, at);
        let mut pool = Pool { sum: (wish - offset) * weight, weight, count: 1 };
        while let Some(above) = pools.pop_if(|above| above.sum / above.weight > pool.sum / pool.weight) {
            pool.sum += above.sum;
            pool.weight += above.weight;
            pool.count += above.count;
        }
        pools.push(pool);
    }
    let mut place = 0;
    for pool in pools {
        for _ in 0..pool.count {
            at[layer[place]] = pool.sum / pool.weight + offsets[place];
            place += 1;
        }
    }
}

/// Where a thing would like to stand, and how much.
fn wish(net: &Net, item: usize, sides: &[&Vec<Vec<usize>>], at: &[f64]) -> (f64, f64) {
    let (mut sum, mut weight) = (0.0, 0.0);
    for other in sides.iter().flat_map(|side| &side[item]) {
        let passing = net.items[item] == Item::Passing && net.items[*other] == Item::Passing;
        let pull = if passing { PASSING } else { 1.0 };
        sum += at[*other] * pull;
        weight += pull;
    }
    // Without neighbours it stays, if nobody needs its place.
    if weight == 0.0 { (at[item], 0.05) } else { (sum / weight, weight) }
}
