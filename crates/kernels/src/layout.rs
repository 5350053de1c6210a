//! Moving numbers: memory orders, crops, borders, joining channels.

use crate::chunks::{for_each_row, rows_per_task};
use crate::threads::parallel_chunks_mut;

/// Rows and columns of a block of a transposition: one cache line each. A block goes through a copy, as its
/// rows in memory may all fall on one set of the cache.
const BLOCK: usize = 16;

/// From N x C x H x W to N x H x W x C.
///
/// # Panics
/// When a length does not fit.
pub fn nchw_to_nhwc(x: &[f32], n: usize, c: usize, h: usize, w: usize, y: &mut [f32]) {
    assert!(x.len() == n * c * h * w && y.len() == x.len());
    transpose(x, n, c, h * w, y);
}

/// From N x H x W x C to N x C x H x W.
///
/// # Panics
/// When a length does not fit.
pub fn nhwc_to_nchw(x: &[f32], n: usize, h: usize, w: usize, c: usize, y: &mut [f32]) {
    assert!(x.len() == n * c * h * w && y.len() == x.len());
    transpose(x, n, h * w, c, y);
}

/// N matrices of `rows` x `columns` to `columns` x `rows`.
fn transpose(x: &[f32], n: usize, rows: usize, columns: usize, y: &mut [f32]) {
    if n * rows * columns == 0 {
        return;
    }
    // Tasks are runs of the output's rows that do not cross a matrix.
    let step = rows_per_task(rows).next_multiple_of(BLOCK).min(columns);
    parallel_chunks_mut(y, rows * columns, |matrix, y| {
        let x = &x[matrix * rows * columns..][..rows * columns];
        parallel_chunks_mut(y, step * rows, |task, y| {
            let first = task * step;
            let here = y.len() / rows;
            for column in (0..here).step_by(BLOCK) {
                for row in (0..rows).step_by(BLOCK) {
                    let (down, right) = (BLOCK.min(rows - row), BLOCK.min(here - column));
                    let mut block = [[0.0; BLOCK]; BLOCK];
                    for (i, line) in block.iter_mut().take(down).enumerate() {
                        let x = &x[(row + i) * columns + first + column..][..right];
                        line[..right].copy_from_slice(x);
                    }
                    for j in 0..right {
                        let y = &mut y[(column + j) * rows + row..][..down];
                        y.iter_mut().zip(&block).for_each(|(y, line)| *y = line[j]);
                    }
                }
            }
        });
    });
}

/// The part of `x` (N x H x W x C) that begins at row `top` and column `left`, OH x OW large, into `y`.
///
/// # Panics
/// When the part does not lie inside, or a length does not fit.
pub fn crop(
    x: &[f32],
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    top: usize,
    left: usize,
    oh: usize,
    ow: usize,
    y: &mut [f32],
) {
    assert!(top + oh <= h && left + ow <= w, "a crop lies inside");
    assert!(x.len() == n * h * w * c && y.len() == n * oh * ow * c);
    for_each_row(y, ow * c, |row, y| {
        let (n, row) = (row / oh, row % oh);
        y.copy_from_slice(&x[((n * h + top + row) * w + left) * c..][..ow * c]);
    });
}

/// The gradient of [`crop`]: `dy` (N x OH x OW x C) in its place in `dx` (N x H x W x C, overwritten), zeros
/// around it.
///
/// # Panics
/// As [`crop`].
pub fn crop_grad(
    dy: &[f32],
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    top: usize,
    left: usize,
    oh: usize,
    ow: usize,
    dx: &mut [f32],
) {
    assert!(top + oh <= h && left + ow <= w, "a crop lies inside");
    assert!(dx.len() == n * h * w * c && dy.len() == n * oh * ow * c);
    for_each_row(dx, w * c, |row, dx| {
        let (n, row) = (row / h, row % h);
        if row < top || row >= top + oh {
            return dx.fill(0.0);
        }
        dx[..left * c].fill(0.0);
        dx[left * c..][..ow * c].copy_from_slice(&dy[(n * oh + row - top) * ow * c..][..ow * c]);
        dx[(left + ow) * c..].fill(0.0);
    });
}

/// `x` (N x H x W x C) with zeros below and to the right, up to OH x OW, into `y`. Its gradient is
/// [`crop`] at 0, 0.
///
/// # Panics
/// When OH < H or OW < W, or a length does not fit.
pub fn pad_bottom_right(
    x: &[f32],
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    oh: usize,
    ow: usize,
    y: &mut [f32],
) {
    crop_grad(x, n, oh, ow, c, 0, 0, h, w, y);
}

/// Joins the channels of `parts` (pixels x channels each, with its number of channels) into `y`.
///
/// # Panics
/// When a length does not fit.
pub fn concat(parts: &[(&[f32], usize)], pixels: usize, y: &mut [f32]) {
    let c: usize = parts.iter().map(|part| part.1).sum();
    assert_eq!(y.len(), pixels * c);
    assert!(parts.iter().all(|(x, c)| x.len() == pixels * c));
    for_each_row(y, c, |pixel, mut y| {
        for &(x, c) in parts {
            let (here, rest) = y.split_at_mut(c);
            here.copy_from_slice(&x[pixel * c..][..c]);
            y = rest;
        }
    });
}

/// The gradient of [`concat()`]: takes `dy` apart into `parts` (overwritten). An empty part is nobody's: its
/// numbers are left out.
///
/// # Panics
/// When a length does not fit.
pub fn concat_grad(dy: &[f32], pixels: usize, parts: &mut [(&mut [f32], usize)]) {
    let total: usize = parts.iter().map(|part| part.1).sum();
    assert_eq!(dy.len(), pixels * total);
    let mut first = 0;
    for (dx, c) in parts {
        assert!(dx.is_empty() || dx.len() == pixels * *c);
        for_each_row(dx, *c, |pixel, dx| dx.copy_from_slice(&dy[pixel * total + first..][..*c]));
        first += *c;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{normal, on_threads};

    fn numbered(len: usize) -> Vec<f32> {
        (0..len).map(|i| i as f32).collect()
    }

    #[test]
    fn orders() {
        for (n, c, h, w) in
            [(0, 3, 2, 2), (1, 1, 1, 1), (2, 3, 5, 7), (3, 17, 4, 4), (1, 100, 33, 31), (2, 64, 1, 1)]
        {
            let x = numbered(n * c * h * w);
            let y = on_threads(|| {
                let mut y = vec![f32::NAN; x.len()];
                nchw_to_nhwc(&x, n, c, h, w, &mut y);
                y
            });
            for (at, y) in y.iter().enumerate() {
                let (pixel, c_at) = (at / c, at % c);
                let (n_at, pixel) = (pixel / (h * w), pixel % (h * w));
                assert_eq!(*y, x[(n_at * c + c_at) * h * w + pixel]);
            }
            let mut back = vec![f32::NAN; x.len()];
            nhwc_to_nchw(&y, n, h, w, c, &mut back);
            assert_eq!(back, x);
        }
    }

    #[test]
    fn crops_and_borders() {
        let (n, h, w, c) = (2, 7, 5, 3);
        let x = numbered(n * h * w * c);
        for (top, left, oh, ow) in [(0, 0, 7, 5), (2, 1, 3, 4), (6, 4, 1, 1), (3, 2, 0, 2), (1, 0, 6, 5)] {
            let mut y = vec![f32::NAN; n * oh * ow * c];
            crop(&x, n, h, w, c, top, left, oh, ow, &mut y);
            let mut dx = vec![f32::NAN; x.len()];
            crop_grad(&y, n, h, w, c, top, left, oh, ow, &mut dx);
            for (at, x) in x.iter().enumerate() {
                let (row, column) = (at / c / w % h, at / c % w);
                let inside = (top..top + oh).contains(&row) && (left..left + ow).contains(&column);
                assert_eq!(dx[at], if inside { *x } else { 0.0 });
            }
        }
        let mut y = vec![f32::NAN; n * 9 * 8 * c];
        pad_bottom_right(&x, n, h, w, c, 9, 8, &mut y);
        let mut back = vec![f32::NAN; x.len()];
        crop(&y, n, 9, 8, c, 0, 0, h, w, &mut back);
        assert_eq!(back, x);
        assert_eq!(y.iter().sum::<f32>(), x.iter().sum::<f32>());
    }

    #[test]
    fn joining_and_taking_apart() {
        let pixels = 4_003;
        let (a, b, c) = (normal(1, pixels * 3), normal(2, pixels), normal(3, pixels * 17));
        let y = on_threads(|| {
            let mut y = vec![f32::NAN; pixels * 21];
            concat(&[(&a, 3), (&b, 1), (&[], 0), (&c, 17)], pixels, &mut y);
            y
        });
        assert_eq!(y[21 * 5..21 * 6], [&a[15..18], &b[5..6], &c[85..102]].concat());
        let [mut da, mut db, mut dc] = [a.len(), b.len(), c.len()].map(|len| vec![f32::NAN; len]);
        concat_grad(&y, pixels, &mut [(&mut da, 3), (&mut db, 1), (&mut [], 0), (&mut dc, 17)]);
        assert!(da == a && db == b && dc == c);
        dc.fill(f32::NAN);
        concat_grad(&y, pixels, &mut [(&mut [], 3), (&mut [], 1), (&mut [], 0), (&mut dc, 17)]);
        assert!(dc == c, "parts that nobody wants");
    }
}
