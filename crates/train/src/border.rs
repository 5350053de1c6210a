//! How far each pixel of a mask is from a class border, and how large the region is that it belongs to.

use hectare_data::Mask;

/// A squared distance that no pixel of a mask has.
const FAR: u32 = u32::MAX;

/// For each pixel the squared Euclidean distance, in pixels, to the nearest pixel of another class: 1 beside a
/// straight border, `u32::MAX` where the whole mask is of one class. What lies outside the mask is no class.
///
/// Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions" (2012), once for each class.
pub fn squared_distance_to_border(mask: &Mask) -> Vec<u32> {
    let [width, height] = mask.size();
    let mut found = vec![FAR; width * height];
    let mut line = Envelope::default();
    for (class, _) in mask.counts(256).iter().enumerate().filter(|(_, pixels)| **pixels > 0) {
        let inside = |x: usize, y: usize| usize::from(mask.ids[y * width + x]) == class;
        // Along the columns: squared distance to the nearest pixel of another class, above or below.
        let mut columns = vec![FAR; width * height];
        for x in 0..width {
            let mut visit = |last: &mut Option<u32>, y: usize| {
                *last = if inside(x, y) { last.map(|d| d + 1) } else { Some(0) };
                let at = &mut columns[y * width + x];
                *at = (*at).min(last.map_or(FAR, |d| d * d));
            };
            let (mut above, mut below) = (None, None);
            (0..height).for_each(|y| visit(&mut above, y));
            (0..height).rev().for_each(|y| visit(&mut below, y));
        }
        for y in 0..height {
            let start = y * width;
            line.transform(&columns[start..start + width], |x, squared| {
                if inside(x, y) {
                    found[start + x] = squared;
                }
            });
        }
    }
    found
}

/// The lower envelope of the parabolas (x - p)^2 + f(p) over a line.
#[derive(Default)]
struct Envelope {
    /// Where each parabola of the envelope stands, and from which x on it is the lowest.
    parts: Vec<(usize, f64)>,
}

impl Envelope {
    /// Gives for each x the least (x - p)^2 + `line[p]` over all p.
    fn transform(&mut self, line: &[u32], mut give: impl FnMut(usize, u32)) {
        self.parts.clear();
        for (p, &height) in line.iter().enumerate().filter(|(_, height)| **height != FAR) {
            let key = |p: usize| f64::from(line[p]) + (p * p) as f64;
            loop {
                let Some(&(last, from)) = self.parts.last() else {
                    self.parts.push((p, f64::NEG_INFINITY));
                    break;
                };
                let meet = (f64::from(height) + (p * p) as f64 - key(last)) / (2 * (p - last)) as f64;
                if meet > from {
                    self.parts.push((p, meet));
                    break;
                }
                self.parts.pop();
            }
        }
        let mut part = 0;
        for x in 0..line.len() {
            while self.parts.get(part + 1).is_some_and(|(_, from)| *from <= x as f64) {
                part += 1;
            }
            let squared = self.parts.get(part).map_or(FAR, |&(p, _)| {
                let along = x.abs_diff(p) as u32;
                along * along + line[p]
            });
            give(x, squared);
        }
    }
}

/// For each pixel the number of pixels of its region: the pixels of its class that can be reached over edges.
pub fn region_sizes(mask: &Mask) -> Vec<u32> {
    let [width, height] = mask.size();
    let mut sizes = vec![0; width * height];
    let mut region = Vec::new();
    for start in 0..sizes.len() {
        if sizes[start] != 0 {
            continue;
        }
        region.clear();
        region.push(start);
        sizes[start] = 1;
        let mut next = 0;
        while let Some(&at) = region.get(next) {
            next += 1;
            let (x, y) = (at % width, at / width);
            let near = [
                (x > 0).then(|| at - 1),
                (x + 1 < width).then(|| at + 1),
                (y > 0).then(|| at - width),
                (y + 1 < height).then(|| at + width),
            ];
            for neighbour in near.into_iter().flatten() {
                if sizes[neighbour] == 0 && mask.ids[neighbour] == mask.ids[start] {
                    sizes[neighbour] = 1;
                    region.push(neighbour);
                }
            }
        }
        let size = region.len() as u32;
        region.iter().for_each(|at| sizes[*at] = size);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_kernels::rng::Key;

    #[test]
    fn distances_are_those_of_all_pairs() {
        for (seed, [width, height]) in [[1, 1], [7, 1], [1, 9], [13, 8], [31, 17]].into_iter().enumerate() {
            let key = Key { seed: seed as u64, stream: 3, step: 0 };
            // Patches of a few pixels, of three classes.
            let mask = Mask::from_fn(width, height, |x, y| key.below((x / 4 * 50 + y / 3) as u64, 3) as u8);
            let found = squared_distance_to_border(&mask);
            for (at, &squared) in found.iter().enumerate() {
                let (x, y) = (at % width, at / width);
                let others = (0..mask.ids.len()).filter(|other| mask.ids[*other] != mask.ids[at]);
                let distance = |other: usize| {
                    (x.abs_diff(other % width).pow(2) + y.abs_diff(other / width).pow(2)) as u32
                };
                assert_eq!(squared, others.map(distance).min().unwrap_or(u32::MAX), "{width}x{height}: {at}");
            }
        }
    }

    #[test]
    fn regions_are_connected_over_edges() {
        let ids = vec![1, 1, 0, 0, 1, 0, 1, 0, 0];
        let mask = Mask { width: 3, height: 3, ids };
        assert_eq!(region_sizes(&mask), [3, 3, 4, 1, 3, 4, 1, 4, 4]);
    }
}
