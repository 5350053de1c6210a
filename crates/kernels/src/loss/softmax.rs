//! Softmax, many pixels beside each other.

use crate::Isa;
use crate::chunks::rows_per_task;
use crate::dispatch::dispatch;
use crate::math::exp;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Pixels that are worked on together, one to a lane.
pub(super) const LANES: usize = 32;

/// The softmax of each row of `x` (P x `classes`) into `y`. A row of NaN, or with +infinity, gives NaN.
///
/// # Panics
/// When a length does not fit.
pub fn softmax(isa: Isa, x: &[f32], classes: usize, y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    if classes == 0 {
        return;
    }
    assert_eq!(x.len() % classes, 0);
    let chunk = rows_per_task(classes).next_multiple_of(LANES) * classes;
    parallel_chunks_mut(y, chunk, |i, y| softmax_part(isa, &x[i * chunk..i * chunk + y.len()], classes, y));
}

dispatch! { fn softmax_part<'a>(x: &'a [f32], c: usize, y: &'a mut [f32]) = softmax_body }

#[inline(always)]
fn softmax_body<S: Simd>(simd: S, x: &[f32], c: usize, y: &mut [f32]) {
    let mut block = Block::new(c);
    for (x, y) in x.chunks(LANES * c).zip(y.chunks_mut(LANES * c)) {
        block.softmax(simd, x, c);
        for row in &mut block.rows {
            for (x, sum) in row.iter_mut().zip(&block.sum) {
                *x /= sum;
            }
        }
        block.store(y, c);
    }
}

/// Some pixels' numbers, turned so that pixels lie beside each other.
pub(super) struct Block {
    /// A row for each class.
    pub(super) rows: Vec<[f32; LANES]>,
    pub(super) max: [f32; LANES],
    pub(super) sum: [f32; LANES],
}

impl Block {
    pub(super) fn new(c: usize) -> Block {
        Block { rows: vec![[0.0; LANES]; c], max: [0.0; LANES], sum: [0.0; LANES] }
    }

    /// Reads up to [`LANES`] pixels of `c` numbers and leaves `e^(x - max)` in the rows.
    #[inline(always)]
    pub(super) fn softmax<S: Simd>(&mut self, simd: S, x: &[f32], c: usize) {
        let pixels = x.len() / c.max(1);
        if pixels == LANES {
            let rows = &mut self.rows[..];
            match c {
                2 => load::<2>(x, rows),
                3 => load::<3>(x, rows),
                4 => load::<4>(x, rows),
                5 => load::<5>(x, rows),
                6 => load::<6>(x, rows),
                7 => load::<7>(x, rows),
                8 => load::<8>(x, rows),
                _ => load_any(c, x, rows),
            }
        } else {
            for (class, row) in self.rows.iter_mut().enumerate() {
                row.fill(0.0);
                for lane in 0..pixels {
                    row[lane] = x[lane * c + class];
                }
            }
        }
        self.max = [f32::NEG_INFINITY; LANES];
        for row in &self.rows {
            for (max, x) in self.max.iter_mut().zip(row) {
                *max = if *x > *max { *x } else { *max };
            }
        }
        self.sum = [0.0; LANES];
        for row in &mut self.rows {
            for ((x, max), sum) in row.iter_mut().zip(&self.max).zip(&mut self.sum) {
                *x = exp(simd, *x - max);
                *sum += *x;
            }
        }
    }

    /// Writes the rows back as pixels.
    #[inline(always)]
    pub(super) fn store(&self, y: &mut [f32], c: usize) {
        match (y.len() / c.max(1) == LANES, c) {
            (true, 2) => store::<2>(&self.rows, y),
            (true, 3) => store::<3>(&self.rows, y),
            (true, 4) => store::<4>(&self.rows, y),
            (true, 5) => store::<5>(&self.rows, y),
            (true, 6) => store::<6>(&self.rows, y),
            (true, 7) => store::<7>(&self.rows, y),
            (true, 8) => store::<8>(&self.rows, y),
            _ => store_any(c, &self.rows, y),
        }
    }
}

/// Turns [`LANES`] pixels of `C` numbers into a row for each class.
#[inline(always)]
fn load<const C: usize>(x: &[f32], rows: &mut [[f32; LANES]]) {
    if let Ok(rows) = <&mut [[f32; LANES]; C]>::try_from(&mut *rows) {
        for (lane, x) in x.as_chunks::<C>().0.iter().take(LANES).enumerate() {
            for class in 0..C {
                rows[class][lane] = x[class];
            }
        }
    }
}

/// Turns the rows back into [`LANES`] pixels.
#[inline(always)]
fn store<const C: usize>(rows: &[[f32; LANES]], y: &mut [f32]) {
    if let Ok(rows) = <&[[f32; LANES]; C]>::try_from(rows) {
        for (lane, y) in y.as_chunks_mut::<C>().0.iter_mut().take(LANES).enumerate() {
            for class in 0..C {
                y[class] = rows[class][lane];
            }
        }
    }
}

/// [`load`] of any number of classes.
#[inline(always)]
fn load_any(c: usize, x: &[f32], rows: &mut [[f32; LANES]]) {
    for (class, row) in rows.iter_mut().enumerate() {
        for (lane, to) in row.iter_mut().enumerate() {
            *to = x[lane * c + class];
        }
    }
}

/// [`store`] of any number of classes and pixels.
#[inline(always)]
fn store_any(c: usize, rows: &[[f32; LANES]], y: &mut [f32]) {
    for (lane, y) in y.chunks_exact_mut(c).enumerate() {
        for (y, row) in y.iter_mut().zip(rows) {
            *y = row[lane];
        }
    }
}
