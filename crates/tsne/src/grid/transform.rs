//! Two-dimensional transforms of a grid whose other half, in both directions, is empty.
//!
//! Rows go through in pairs, as real and imaginary part. Columns are taken in blocks: transformed, multiplied by the
//! kernels and transformed back in one go, for a column and its mirror image together, so that a block stays in the
//! cache. Only the half of rows and columns that is wanted is transformed back.

use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::kernels::Spectra;
use hectare_kernels::threads::parallel_chunks_mut;

/// Columns in a task.
pub(super) const COLUMNS: usize = 8;

/// Pairs of rows in a task.
const PAIRS: usize = 4;

const ZERO: Complex32 = Complex32::new(0.0, 0.0);

/// Transforms of one length.
pub(super) struct Plan {
    pub length: usize,
    forward: Arc<dyn Fft<f32>>,
    backward: Arc<dyn Fft<f32>>,
    /// Pairs of rows, transformed.
    rows: Vec<Complex32>,
    /// For each block of columns: rows of `COLUMNS` numbers, then the same for the mirrored columns.
    blocks: Vec<Complex32>,
    sums: Vec<f64>,
}

/// The field at the nodes: x and y of the force, row by row.
#[derive(Default)]
pub(super) struct Field {
    pub data: Vec<f32>,
}

impl Plan {
    pub(super) fn new(length: usize) -> Plan {
        let mut planner = FftPlanner::new();
        Plan {
            length,
            forward: planner.plan_fft_forward(length),
            backward: planner.plan_fft_inverse(length),
            rows: Vec::new(),
            blocks: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Blocks of columns from frequency 0 to the highest.
    fn column_blocks(&self) -> usize {
        (self.length / 2 + 1).div_ceil(COLUMNS)
    }

    /// Convolves a square of charges (half the length a side). Fills the field with the forces at the nodes, and
    /// returns the sum of charge times charge times the even kernel over all pairs of nodes.
    pub(super) fn convolve(&mut self, charges: &[f32], spectra: &Spectra, field: &mut Field) -> f64 {
        let (length, nodes) = (self.length, self.length / 2);
        assert_eq!(charges.len(), nodes * nodes);
        self.rows.resize(nodes / 2 * length, ZERO);
        let forward = &self.forward;
        parallel_chunks_mut(&mut self.rows, PAIRS * length, |task, rows| {
            for (i, row) in rows.chunks_exact_mut(length).enumerate() {
                let pair = &charges[(task * PAIRS + i) * 2 * nodes..][..2 * nodes];
                let (a, b) = pair.split_at(nodes);
                for ((x, a), b) in row.iter_mut().zip(a).zip(b) {
                    *x = Complex32::new(*a, *b);
                }
                row[nodes..].fill(ZERO);
            }
            process(forward, rows);
        });
        let block = 2 * nodes * COLUMNS;
        let blocks = self.column_blocks();
        self.blocks.resize(blocks * block, ZERO);
        self.sums.clear();
        self.sums.resize(blocks, 0.0);
        let (rows, backward) = (&self.rows, &self.backward);
        let mut tasks: Vec<_> = self.blocks.chunks_exact_mut(block).zip(&mut self.sums).collect();
        parallel_chunks_mut(&mut tasks, 1, |index, task| {
            let (out, sum) = &mut task[0];
            **sum = columns(index * COLUMNS, length, rows, spectra, forward, backward, out);
        });
        field.data.resize(2 * nodes * nodes, 0.0);
        let columns = &self.blocks;
        parallel_chunks_mut(&mut field.data, 2 * PAIRS * 2 * nodes, |task, lines| {
            let mut buffer = vec![ZERO; lines.len() / (2 * nodes) * length];
            for (i, row) in buffer.chunks_exact_mut(length).enumerate() {
                let r = task * 2 * PAIRS + i;
                for (index, block) in columns.chunks_exact(block).enumerate() {
                    let first = index * COLUMNS;
                    let (straight, mirrored) = block.split_at(nodes * COLUMNS);
                    for j in 0..COLUMNS.min(nodes + 1 - first) {
                        let kx = first + j;
                        row[kx] = straight[r * COLUMNS + j];
                        if kx > 0 && kx < nodes {
                            row[length - kx] = mirrored[r * COLUMNS + j];
                        }
                    }
                }
            }
            process(backward, &mut buffer);
            for (line, row) in lines.chunks_exact_mut(2 * nodes).zip(buffer.chunks_exact(length)) {
                for (force, x) in line.as_chunks_mut::<2>().0.iter_mut().zip(row) {
                    *force = [x.re, x.im];
                }
            }
        });
        self.sums.iter().sum()
    }

    /// The transform of a full square that `fill` gives row by row; columns of frequency 0 to the highest, one after the
    /// other.
    pub(super) fn spectrum(&self, fill: impl Fn(usize, &mut [Complex32]) + Sync + Send) -> Vec<Complex32> {
        let length = self.length;
        let mut rows = vec![ZERO; length * length];
        parallel_chunks_mut(&mut rows, PAIRS * length, |task, part| {
            for (i, row) in part.chunks_exact_mut(length).enumerate() {
                fill(task * PAIRS + i, row);
            }
            process(&self.forward, part);
        });
        let mut columns = vec![ZERO; (length / 2 + 1) * length];
        parallel_chunks_mut(&mut columns, COLUMNS * length, |task, part| {
            for (r, row) in rows.chunks_exact(length).enumerate() {
                for (j, x) in row[task * COLUMNS..].iter().take(part.len() / length).enumerate() {
                    part[j * length + r] = *x;
                }
            }
            process(&self.forward, part);
        });
        columns
    }
}

fn process(fft: &Arc<dyn Fft<f32>>, data: &mut [Complex32]) {
    let mut scratch = vec![ZERO; fft.get_inplace_scratch_len()];
    fft.process_with_scratch(data, &mut scratch);
}

/// A block of columns from `first` on: there, times the kernels, and back. Returns its share of the sum.
fn columns(
    first: usize,
    length: usize,
    rows: &[Complex32],
    spectra: &Spectra,
    forward: &Arc<dyn Fft<f32>>,
    backward: &Arc<dyn Fft<f32>>,
    out: &mut [Complex32],
) -> f64 {
    let nodes = length / 2;
    let count = COLUMNS.min(nodes + 1 - first);
    let mut straight = vec![ZERO; count * length];
    let mut mirrored = vec![ZERO; count * length];
    // A pair of real rows a, b went through as a + ib; their spectra are its even and odd part.
    for (pair, row) in rows.chunks_exact(length).enumerate() {
        for j in 0..count {
            let k = first + j;
            let (x, y) = (row[k], row[(length - k) % length].conj());
            let (sum, difference) = ((x + y) * 0.5, (x - y) * 0.5);
            straight[j * length + 2 * pair] = sum;
            straight[j * length + 2 * pair + 1] = Complex32::new(difference.im, -difference.re);
        }
    }
    process(forward, &mut straight);
    let mut total = 0.0;
    for j in 0..count {
        let (column, back) =
            (&mut straight[j * length..(j + 1) * length], &mut mirrored[j * length..(j + 1) * length]);
        let kernel = &spectra.values[(first + j) * length..(first + j + 1) * length];
        let mut sums = [0.0_f64; 4];
        for (ky, (c, [gx, gy, g])) in column.iter_mut().zip(kernel).enumerate() {
            sums[ky % 4] += f64::from(c.norm_sqr() * g);
            let (a, b) = (c.re, c.im);
            *c = Complex32::new(-a * gy - b * gx, a * gx - b * gy);
            back[(length - ky) % length] = Complex32::new(a * gy - b * gx, -a * gx - b * gy);
        }
        let weight = if first + j == 0 || first + j == nodes { 1.0 } else { 2.0 };
        total += weight * sums.iter().sum::<f64>();
    }
    process(backward, &mut straight);
    process(backward, &mut mirrored);
    let (out_straight, out_mirrored) = out.split_at_mut(nodes * COLUMNS);
    for (out, columns) in [(out_straight, &straight), (out_mirrored, &mirrored)] {
        for (r, line) in out.chunks_exact_mut(COLUMNS).enumerate() {
            for j in 0..count {
                line[j] = columns[j * length + r];
            }
        }
    }
    total
}
