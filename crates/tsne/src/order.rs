//! Orders in which near points are near in memory.

/// Rows of a block of the neighbour search; splits fall between blocks.
const BLOCK: usize = 256;

/// Ranges of this many rows are not split any more.
const LEAF: usize = 32;

/// Rows from which a range's variances are estimated.
const SAMPLE: usize = 128;

/// An order of N rows (`data` is N x `columns`): halves along the column of the largest variance, again and again.
pub(crate) fn by_halves(data: &[f32], columns: usize) -> Vec<u32> {
    let n = data.len() / columns;
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut waiting = vec![(0, n)];
    while let Some((start, end)) = waiting.pop() {
        let len = end - start;
        if len <= LEAF {
            continue;
        }
        let part = &mut order[start..end];
        let column = widest(data, columns, part);
        let half = if len > BLOCK { (len / 2).next_multiple_of(BLOCK).min(len - 1) } else { len / 2 };
        let key = |row: &u32| data[*row as usize * columns + column];
        part.select_nth_unstable_by(half, |a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
        waiting.push((start, start + half));
        waiting.push((start + half, end));
    }
    order
}

fn widest(data: &[f32], columns: usize, rows: &[u32]) -> usize {
    let step = rows.len().div_ceil(SAMPLE);
    let (mut sums, mut squares) = (vec![0.0_f64; columns], vec![0.0_f64; columns]);
    let mut count = 0.0;
    for row in rows.iter().step_by(step) {
        let row = &data[*row as usize * columns..][..columns];
        for ((sum, square), x) in sums.iter_mut().zip(&mut squares).zip(row) {
            *sum += f64::from(*x);
            *square += f64::from(*x) * f64::from(*x);
        }
        count += 1.0;
    }
    let variance = |c: usize| squares[c] - sums[c] * sums[c] / count;
    (0..columns).fold(0, |best, c| if variance(c) > variance(best) { c } else { best })
}

/// An order of points of the plane along a curve that stays near itself (Morton's).
pub(crate) fn along_curve(points: &[f32]) -> Vec<u32> {
    let points = points.as_chunks::<2>().0;
    let extent = Extent::of(points.as_flattened());
    let scale = if extent.side > 0.0 { 1023.0 / extent.side } else { 0.0 };
    let mut keys: Vec<u64> = points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            let cell = |c: usize| (((point[c] - extent.low[c]) * scale) as u32).min(1023);
            u64::from(spread(cell(0)) | spread(cell(1)) << 1) << 32 | i as u64
        })
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

/// Ten bits with a gap after each.
fn spread(x: u32) -> u32 {
    let x = (x | x << 8) & 0x00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f;
    let x = (x | x << 2) & 0x3333_3333;
    (x | x << 1) & 0x5555_5555
}

/// Where points of the plane lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// The least x and y.
    pub low: [f32; 2],
    /// The longer of width and height.
    pub side: f32,
}

impl Extent {
    /// Of points x, y, x, y.
    pub(crate) fn of(points: &[f32]) -> Extent {
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for point in points.as_chunks::<2>().0 {
            for c in 0..2 {
                low[c] = if point[c] < low[c] { point[c] } else { low[c] };
                high[c] = if point[c] > high[c] { point[c] } else { high[c] };
            }
        }
        if points.is_empty() {
            return Extent { low: [0.0; 2], side: 0.0 };
        }
        Extent { low, side: (high[0] - low[0]).max(high[1] - low[1]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations() {
        for n in [1, 31, 33, 255, 600, 1025] {
            let data: Vec<f32> = (0..3 * n).map(|i| ((i * 37) % 101) as f32).collect();
            let mut order = by_halves(&data, 3);
            order.sort();
            assert!(order.iter().copied().eq(0..n as u32));
            let mut order = along_curve(&data[..2 * n]);
            order.sort();
            assert!(order.iter().copied().eq(0..n as u32));
        }
    }

    #[test]
    fn near_points_are_near_in_the_order() {
        // A grid of 32 x 32: a quarter of the order is a quarter of the square.
        let points: Vec<f32> = (0..1024).flat_map(|i| [(i % 32) as f32, (i / 32) as f32]).collect();
        for order in [along_curve(&points), by_halves(&points, 2)] {
            let part: Vec<f32> = order[..256]
                .iter()
                .flat_map(|i| [points[2 * *i as usize], points[2 * *i as usize + 1]])
                .collect();
            assert!(Extent::of(&part).side <= 16.0);
        }
    }
}
