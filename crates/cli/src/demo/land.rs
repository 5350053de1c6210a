//! Small tiles of an invented country seen from above, with their land-cover masks, for the demo's
//! segmentation networks: striped fields, forest, rangeland, bare ground, towns, rivers and lakes.

use super::dice::{Dice, Noise};
use hectare_data::{Image, Mask};

const URBAN: u8 = 0;
const AGRICULTURE: u8 = 1;
const RANGELAND: u8 = 2;
const FOREST: u8 = 3;
const WATER: u8 = 4;
const UNKNOWN: u8 = 6;

/// How often a patch of land is urban, agriculture, rangeland, forest, water (drawn apart) and barren.
const WEIGHTS: [f32; 6] = [0.19, 0.34, 0.17, 0.18, 0.0, 0.17];

/// One patch of land: the points that are nearest to its centre.
struct Patch {
    class: u8,
    centre: [f32; 2],
    /// Direction of its rows, streets or furrows.
    angle: f32,
    /// Distance between rows, or between streets.
    period: f32,
    tint: [f32; 3],
}

/// Tile number `index` of the set that `stream` names, `side` x `side` pixels, with its mask.
pub fn draw(seed: u64, stream: u64, index: usize, side: usize) -> (Image, Mask) {
    let mut dice = Dice::new(seed, stream, index as u64);
    let patches = patches(&mut dice, side as f32);
    let [bend_x, bend_y, coarse, fine] = std::array::from_fn(|_| Noise::new(&mut dice));
    let water = Waters::new(&mut dice, side as f32);
    let blind_corner = if dice.chance(0.06) { dice.between(0.1, 0.3) * side as f32 } else { 0.0 };
    let light = dice.between(0.9, 1.1);
    let mut image = Image { width: side, height: side, pixels: Vec::with_capacity(side * side * 3) };
    let mut mask = Mask { width: side, height: side, ids: Vec::with_capacity(side * side) };
    for row in 0..side {
        for column in 0..side {
            let (x, y) = (column as f32, row as f32);
            let (n, f) = (coarse.at(x, y, 14.0), fine.at(x, y, 2.6));
            let (class, colour) = if x + y < blind_corner {
                (UNKNOWN, [0.0; 3])
            } else if water.covers(x, y, bend_x.at(x, y, 22.0), coarse.at(x, y, 30.0)) {
                (WATER, [30.0 + 14.0 * n, 62.0 + 22.0 * n, 84.0 + 24.0 * n])
            } else {
                let (u, v) = (x + 11.0 * bend_x.at(x, y, 17.0), y + 11.0 * bend_y.at(x, y, 17.0));
                let patch = patches.iter().min_by(|a, b| a.distance(u, v).total_cmp(&b.distance(u, v)));
                let patch = patch.expect("a tile has patches");
                (patch.class, patch.colour(x, y, n, f, &fine))
            };
            mask.ids.push(class);
            let grain = if class == UNKNOWN { 0.0 } else { 5.0 };
            for value in colour {
                image.pixels.push((value * light + grain * dice.normal()).clamp(0.0, 255.0) as u8);
            }
        }
    }
    (image, mask)
}

fn patches(dice: &mut Dice, side: f32) -> Vec<Patch> {
    let count = 4 + dice.below(3);
    (0..count)
        .map(|_| Patch {
            class: dice.weighted(&WEIGHTS) as u8,
            centre: [dice.between(0.0, side + 8.0), dice.between(0.0, side + 8.0)],
            angle: dice.between(0.0, std::f32::consts::PI),
            period: dice.between(3.5, 6.0),
            tint: [dice.between(-1.0, 1.0), dice.between(-1.0, 1.0), dice.between(-1.0, 1.0)],
        })
        .collect()
}

impl Patch {
    fn distance(&self, x: f32, y: f32) -> f32 {
        (x - self.centre[0]).hypot(y - self.centre[1])
    }

    /// The colour at (`x`, `y`); `n` and `f` are the coarse and the fine noise there.
    fn colour(&self, x: f32, y: f32, n: f32, f: f32, fine: &Noise) -> [f32; 3] {
        let (sin, cos) = self.angle.sin_cos();
        let (u, v) = (cos * x + sin * y, cos * y - sin * x);
        let [a, b, c] = self.tint;
        match self.class {
            URBAN => {
                // Blocks of bright roofs between grey streets.
                let step = self.period + 2.5;
                let (i, j) = ((u / step).floor(), (v / step).floor());
                if u - i * step < 1.8 || v - j * step < 1.8 {
                    return [112.0 + 10.0 * f, 110.0 + 10.0 * f, 112.0 + 10.0 * f];
                }
                let (roof, warm) = (fine.at(i * 31.0, j * 37.0, 3.0), fine.at(j * 29.0, i * 23.0, 3.0));
                if warm > 0.68 {
                    [172.0 + 40.0 * roof, 112.0 + 20.0 * roof, 96.0]
                } else {
                    [150.0 + 95.0 * roof, 150.0 + 93.0 * roof, 152.0 + 90.0 * roof]
                }
            }
            AGRICULTURE => {
                // Parcels, each with furrows and a tint of its own.
                let (i, j) = ((u / 26.0).floor(), (v / 17.0).floor());
                let (ripe, strong) = (fine.at(i * 41.0, j * 43.0, 3.0), fine.at(j * 17.0, i * 19.0, 3.0));
                let furrow = (v * std::f32::consts::TAU / self.period).sin() * (10.0 + 16.0 * strong);
                let edge = if v - j * 17.0 < 1.0 || u - i * 26.0 < 1.0 { -22.0 } else { 0.0 };
                let base = [96.0 + 84.0 * ripe, 132.0 + 24.0 * ripe, 62.0 + 30.0 * ripe];
                [
                    base[0] + furrow + edge + 8.0 * a,
                    base[1] + furrow + edge + 8.0 * b,
                    base[2] + 0.7 * furrow + edge,
                ]
            }
            RANGELAND => {
                let shrub = if f > 0.8 { -36.0 } else { 0.0 };
                [
                    134.0 + 26.0 * n + shrub + 8.0 * a,
                    130.0 + 20.0 * n + 0.7 * shrub + 6.0 * b,
                    92.0 + 16.0 * n + shrub + 6.0 * c,
                ]
            }
            FOREST => {
                let crown = 46.0 * f + 16.0 * n;
                [22.0 + 0.8 * crown + 6.0 * a, 50.0 + crown + 8.0 * b, 24.0 + 0.6 * crown]
            }
            _ => {
                let stone = 16.0 * f + 26.0 * n;
                [178.0 + stone + 10.0 * a, 164.0 + stone + 8.0 * a, 142.0 + stone + 8.0 * b]
            }
        }
    }
}

/// A river across the tile, a lake, both or neither.
struct Waters {
    /// A point of the river's line, its direction and half its width.
    river: Option<([f32; 2], f32, f32)>,
    /// Centre and radius.
    lake: Option<([f32; 2], f32)>,
}

impl Waters {
    fn new(dice: &mut Dice, side: f32) -> Waters {
        let point = |dice: &mut Dice| [dice.between(0.2, 0.8) * side, dice.between(0.2, 0.8) * side];
        let river = dice
            .chance(0.6)
            .then(|| (point(dice), dice.between(0.0, std::f32::consts::PI), dice.between(2.5, 5.5)));
        let lake = dice.chance(0.3).then(|| (point(dice), dice.between(0.09, 0.2) * side));
        Waters { river, lake }
    }

    /// Whether water covers (`x`, `y`); `meander` and `shore` are noise in 0..1.
    fn covers(&self, x: f32, y: f32, meander: f32, shore: f32) -> bool {
        let river = self.river.is_some_and(|(at, angle, half)| {
            let across = angle.cos() * (y - at[1]) - angle.sin() * (x - at[0]);
            (across + 30.0 * (meander - 0.5)).abs() < half
        });
        let lake =
            self.lake.is_some_and(|(at, radius)| (x - at[0]).hypot(y - at[1]) < radius * (0.6 + 0.9 * shore));
        river || lake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_repeat_and_hold_every_class() {
        let mut pixels = [0usize; 7];
        for index in 0..24 {
            let (image, mask) = draw(7, 1, index, 64);
            assert_eq!(image.pixels.len(), 64 * 64 * 3);
            mask.ids.iter().for_each(|&id| pixels[usize::from(id)] += 1);
        }
        let (a, b) = (draw(7, 1, 3, 64), draw(7, 1, 3, 64));
        assert_eq!((a.0.pixels, a.1.ids), (b.0.pixels, b.1.ids));
        let total = (24 * 64 * 64) as f32;
        for (class, &count) in pixels.iter().enumerate().take(6) {
            assert!(count as f32 / total > 0.02, "class {class} has {count} pixels of {total}");
        }
    }
}
