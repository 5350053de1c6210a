//! Exact nearest neighbours of rows by matrix products.
//!
//! Squared distances of two blocks of rows are one product, `|x|^2 + |y|^2 - 2 x y` with the norms as two
//! more columns, and serve both blocks. What lies below a row's threshold goes into its list of candidates; a
//! full list keeps its nearest and lowers the threshold. The distances of the last candidates are computed again
//! from the differences, because the product loses digits where rows are near each other and far from the origin;
//! a row whose list could lack a neighbour for that reason is searched again without products.
//! Time is N^2 D but for pairs of blocks whose bounding balls are further apart than all thresholds; memory
//! is N (D + k).
//!
//! Pairs of blocks are taken in rounds of disjoint pairs, so that each list meets its candidates in one order
//! at any number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Isa;
use crate::aligned::AlignedVec;
use crate::dispatch::dispatch;
use crate::gemm::{KC, TileArgs, panel_width, row_stride, tile_with_stride};
use crate::scratch::with_scratch;
use crate::simd::Simd;
use crate::threads::{parallel_chunks_mut, parallel_for};

/// Rows in a block: a multiple of every panel's width.
const BLOCK: usize = 256;

/// Rows whose distances to a block are computed before they are looked through; a multiple of 6 and 14 and 4.
const STRIP: usize = 84;

/// The `k` nearest neighbours of each row, the nearest first, equal distances by index.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// Neighbours of a row.
    pub k: usize,
    /// N x k indices.
    pub index: Vec<u32>,
    /// N x k squared distances.
    pub squared: Vec<f32>,
}

/// The `k` nearest other rows of each of the N rows of `x` (N x D). Rows that lie near each other in memory
/// should lie near each other in space: the search is then faster. `progress` hears the share that is done.
///
/// # Panics
/// When `k` is not below N, N is above 2^32 - 1, or the length of `x` does not fit `d`.
pub fn nearest(isa: Isa, x: &[f32], d: usize, k: usize, progress: &(dyn Fn(f64) + Sync)) -> Neighbours {
    let blocks = Blocks::new(isa, x, d);
    let n = blocks.n;
    assert!(k < n.max(1) && u32::try_from(n).is_ok(), "k = {k} neighbours of {n} rows");
    let lists: Vec<Mutex<Lists>> = (0..blocks.count()).map(|_| Mutex::new(Lists::new(k))).collect();
    let count = blocks.count();
    let done = AtomicUsize::new(0);
    let pair = |i: usize, j: usize| {
        let mut first = lists[i].lock().expect("no task panics");
        if i == j {
            compare(isa, &blocks, i, &blocks, j, &mut first, Others::Same);
        } else {
            let mut second = lists[j].lock().expect("no task panics");
            let reach = first.reach(blocks.rows(i)).max(second.reach(blocks.rows(j)));
            if blocks.gap_squared(i, j) <= reach {
                compare(isa, &blocks, i, &blocks, j, &mut first, Others::Both(&mut second));
            }
        }
        let done = done.fetch_add(1, Ordering::Relaxed);
        if done.is_multiple_of(count) {
            progress(done as f64 / (count * (count + 1) / 2) as f64);
        }
    };
    parallel_for(count, |i| pair(i, i));
    // The circle method: one player stays, the others move on; an odd number gets a player that does not exist.
    let players = count.next_multiple_of(2);
    for round in 0..players.saturating_sub(1) {
        parallel_for(players / 2, |table| {
            let place = |seat: usize| if seat == 0 { 0 } else { (seat - 1 + round) % (players - 1) + 1 };
            let (a, b) = (place(table), place(players - 1 - table));
            if a < count && b < count {
                pair(a.min(b), a.max(b));
            }
        });
    }
    finish(isa, x, x, true, &blocks, k, lists)
}

/// The `k` nearest rows of `x` (N x D) for each row of `queries` (M x D).
///
/// # Panics
/// When `k` is above N, or a length does not fit `d`.
pub fn nearest_to(isa: Isa, queries: &[f32], x: &[f32], d: usize, k: usize) -> Neighbours {
    let (blocks, others) = (Blocks::new(isa, queries, d), Blocks::new(isa, x, d));
    assert!(k <= others.n && u32::try_from(others.n).is_ok(), "k = {k} neighbours of {} rows", others.n);
    let lists: Vec<Mutex<Lists>> = (0..blocks.count()).map(|_| Mutex::new(Lists::new(k))).collect();
    parallel_for(blocks.count(), |i| {
        let mut list = lists[i].lock().expect("no task panics");
        for j in 0..others.count() {
            compare(isa, &blocks, i, &others, j, &mut list, Others::Left);
        }
    });
    finish(isa, queries, x, false, &others, k, lists)
}

/// Rows packed for products, block by block.
struct Blocks {
    n: usize,
    /// With the two columns of norms.
    depth: usize,
    /// Each block: for each `KC` of the depth, `BLOCK` rows (and what a tile reads beyond them) at their stride.
    left: AlignedVec,
    left_block: usize,
    /// Each block: for each `KC` of the depth, panels.
    right: AlignedVec,
    right_block: usize,
    /// Centre of each block, and the distance of its furthest row.
    centres: Vec<f64>,
    radii: Vec<f64>,
}

impl Blocks {
    fn new(isa: Isa, x: &[f32], d: usize) -> Blocks {
        let n = x.len().checked_div(d).unwrap_or(0);
        assert_eq!(x.len(), n * d);
        let depth = d + 2;
        let count = n.div_ceil(BLOCK);
        let strides: usize = (0..depth).step_by(KC).map(|k| row_stride(KC.min(depth - k))).sum();
        let left_block = BLOCK.next_multiple_of(STRIP) * strides;
        let right_block = BLOCK * depth;
        let mut left = AlignedVec::zeroed(count * left_block + 16 * strides);
        let mut right = AlignedVec::zeroed(count * right_block);
        let norms: Vec<f32> = x.chunks_exact(d.max(1)).map(squared).collect();
        let panel = panel_of(isa);
        parallel_chunks_mut(&mut left[..count * left_block], left_block, |block, left| {
            let rows = &x[block * BLOCK * d..n.min((block + 1) * BLOCK) * d];
            for (i, row) in rows.chunks_exact(d).enumerate() {
                let norm = norms[block * BLOCK + i];
                let mut at = 0;
                for start in (0..depth).step_by(KC) {
                    let end = depth.min(start + KC);
                    let stride = row_stride(end - start);
                    for p in start..end {
                        left[at + i * stride + p - start] = match p.checked_sub(d) {
                            None => -2.0 * row[p],
                            Some(0) => norm,
                            Some(_) => 1.0,
                        };
                    }
                    at += BLOCK.next_multiple_of(STRIP) * stride;
                }
            }
        });
        parallel_chunks_mut(&mut right, right_block, |block, right| {
            let rows = &x[block * BLOCK * d..n.min((block + 1) * BLOCK) * d];
            for i in 0..BLOCK {
                let row = rows.chunks_exact(d).nth(i);
                for start in (0..depth).step_by(KC) {
                    let length = KC.min(depth - start);
                    for p in start..start + length {
                        let number = match (row, p.checked_sub(d)) {
                            (Some(row), None) => row[p],
                            (Some(_), Some(0)) => 1.0,
                            (Some(_), Some(_)) => norms[block * BLOCK + i],
                            // Rows that fill up the last block are infinitely far away.
                            (None, Some(1)) => f32::INFINITY,
                            (None, _) => 0.0,
                        };
                        right[BLOCK * start + (i / panel * length + p - start) * panel + i % panel] = number;
                    }
                }
            }
        });
        let mut centres = vec![0.0; count * d];
        let mut radii = vec![0.0; count];
        for (block, radius) in radii.iter_mut().enumerate() {
            let rows = &x[block * BLOCK * d..n.min((block + 1) * BLOCK) * d];
            let centre = &mut centres[block * d..(block + 1) * d];
            for row in rows.chunks_exact(d) {
                for (c, x) in centre.iter_mut().zip(row) {
                    *c += f64::from(*x);
                }
            }
            let count = (rows.len() / d) as f64;
            for c in centre.iter_mut() {
                *c /= count;
            }
            let distance = |row: &[f32]| -> f64 {
                centre.iter().zip(row).map(|(c, x)| (c - f64::from(*x)).powi(2)).sum()
            };
            *radius = rows.chunks_exact(d).map(distance).fold(0.0, f64::max).sqrt();
        }
        Blocks { n, depth, left, left_block, right, right_block, centres, radii }
    }

    fn count(&self) -> usize {
        self.radii.len()
    }

    fn rows(&self, block: usize) -> usize {
        BLOCK.min(self.n - block * BLOCK)
    }

    /// A lower bound of the squared distance between rows of two blocks, with room for rounding.
    fn gap_squared(&self, i: usize, j: usize) -> f32 {
        let d = self.depth - 2;
        let (a, b) = (&self.centres[i * d..(i + 1) * d], &self.centres[j * d..(j + 1) * d]);
        let between = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let gap = (between - self.radii[i] - self.radii[j]).max(0.0);
        (gap * gap * 0.999) as f32
    }
}

fn squared(row: &[f32]) -> f32 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() as f32
}

fn panel_of(isa: Isa) -> usize {
    dispatch! { fn width<'a>(_unused: &'a ()) -> usize = width_body }
    #[inline(always)]
    fn width_body<S: Simd>(_: S, _: &()) -> usize {
        panel_width::<S>()
    }
    width(isa, &())
}

/// Candidates of the rows of a block.
struct Lists {
    /// How many a full list keeps: more than asked for, because distances of products are inexact.
    keep: usize,
    capacity: usize,
    /// BLOCK x capacity: a distance's bits above an index, so that they sort as one number.
    entries: Vec<u64>,
    lengths: Vec<usize>,
    /// Candidates must be nearer than this.
    thresholds: Vec<f32>,
}

impl Lists {
    fn new(k: usize) -> Lists {
        let keep = k + 8.max(k / 8);
        let capacity = 2 * keep + 64;
        Lists {
            keep,
            capacity,
            entries: Vec::new(),
            lengths: vec![0; BLOCK],
            thresholds: vec![f32::INFINITY; BLOCK],
        }
    }

    /// The largest threshold of the first `rows` rows.
    fn reach(&self, rows: usize) -> f32 {
        self.thresholds[..rows].iter().copied().fold(0.0, f32::max)
    }

    fn insert(&mut self, row: usize, distance: f32, index: u32) {
        if self.entries.is_empty() {
            self.entries.resize(BLOCK * self.capacity, 0);
        }
        let list = &mut self.entries[row * self.capacity..(row + 1) * self.capacity];
        list[self.lengths[row]] = u64::from(distance.max(0.0).to_bits()) << 32 | u64::from(index);
        self.lengths[row] += 1;
        if self.lengths[row] == self.capacity {
            let (_, last, _) = list.select_nth_unstable(self.keep - 1);
            self.thresholds[row] = f32::from_bits((*last >> 32) as u32);
            self.lengths[row] = self.keep;
        }
    }
}

/// Whom the distances of two blocks serve.
enum Others<'a> {
    /// The rows of the first block only.
    Left,
    /// The rows of both blocks.
    Both(&'a mut Lists),
    /// The blocks are one: its rows, but no row for itself.
    Same,
}

fn compare(isa: Isa, a: &Blocks, i: usize, b: &Blocks, j: usize, first: &mut Lists, mut others: Others<'_>) {
    let never = [f32::NEG_INFINITY; BLOCK];
    with_scratch(STRIP * BLOCK, |distances| {
        for start in (0..a.rows(i)).step_by(STRIP) {
            let rows = STRIP.min(a.rows(i) - start);
            strip(isa, a, i, start, rows, b, j, distances);
            for row in 0..rows {
                let line = &distances[row * BLOCK..(row + 1) * BLOCK];
                let at = start + row;
                let mut found = [0u32; BLOCK / 4];
                let columns = match &others {
                    Others::Both(second) => &second.thresholds[..],
                    _ => &never[..],
                };
                if !below_any(isa, line, first.thresholds[at], columns, &mut found) {
                    continue;
                }
                let lanes = BLOCK / found.len();
                debug_assert_eq!(lanes, 4);
                for (group, bits) in found.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                    for lane in (0..4).filter(|lane| bits >> lane & 1 == 1) {
                        let column = group * 4 + lane;
                        let distance = line[column];
                        let (left, right) = ((i * BLOCK + at) as u32, (j * BLOCK + column) as u32);
                        if distance < first.thresholds[at]
                            && !(matches!(others, Others::Same) && at == column)
                        {
                            first.insert(at, distance, right);
                        }
                        if let Others::Both(second) = &mut others
                            && distance < second.thresholds[column]
                        {
                            second.insert(column, distance, left);
                        }
                    }
                }
            }
        }
    });
}

dispatch! {
    fn strip<'a>(
        a: &'a Blocks, i: usize, start: usize, rows: usize, b: &'a Blocks, j: usize, out: &'a mut [f32]
    ) = strip_body
}

/// Squared distances of `rows` rows of block `i` of `a`, from row `start`, to all rows of block `j` of `b`.
#[inline(always)]
fn strip_body<S: Simd>(
    simd: S,
    a: &Blocks,
    i: usize,
    start: usize,
    rows: usize,
    b: &Blocks,
    j: usize,
    out: &mut [f32],
) {
    let panel = panel_width::<S>();
    assert!(out.len() >= STRIP * BLOCK && rows <= STRIP && start + rows <= BLOCK && a.depth == b.depth);
    let right = &b.right[j * b.right_block..(j + 1) * b.right_block];
    let mut at = 0;
    for first in (0..a.depth).step_by(KC) {
        let depth = KC.min(a.depth - first);
        let stride = row_stride(depth);
        // What a tile reads beyond the last row lies in the filling of the block, or of the buffer.
        let left = &a.left[i * a.left_block + at + start * stride..];
        assert!(left.len() >= rows.next_multiple_of(S::MR) * stride);
        for column in (0..BLOCK).step_by(panel) {
            let b = &right[BLOCK * first + column * depth..][..panel * depth];
            for row in (0..rows).step_by(S::MR) {
                let args = TileArgs {
                    k: depth,
                    a: left[row * stride..].as_ptr(),
                    a_k: 1,
                    b: b.as_ptr(),
                    b_k: panel,
                    c: out[row * BLOCK + column..].as_mut_ptr(),
                    c_row: BLOCK,
                    rows: S::MR.min(rows - row),
                    cols: panel,
                    accumulate: first > 0,
                };
                // SAFETY: a tile reads rows and columns inside the slices (asserted), and writes inside `out`.
                unsafe { tile_with_stride(simd, stride, args) }
            }
        }
        at += BLOCK.next_multiple_of(STRIP) * stride;
    }
}

dispatch! {
    fn below_any<'a>(line: &'a [f32], row: f32, columns: &'a [f32], found: &'a mut [u32; BLOCK / 4]) -> bool
        = below_any_body
}

/// Whether any distance is below its row's or its column's threshold; which ones, four to a number.
#[inline(always)]
fn below_any_body<S: Simd>(
    simd: S,
    line: &[f32],
    row: f32,
    columns: &[f32],
    found: &mut [u32; BLOCK / 4],
) -> bool {
    assert!(line.len() == BLOCK && columns.len() == BLOCK);
    let row = simd.splat(row);
    let mut any = 0;
    for at in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: LANES divides BLOCK.
        let bits = unsafe {
            let limit = simd.max(row, simd.load(columns.as_ptr().add(at)));
            simd.below(simd.load(line.as_ptr().add(at)), limit)
        };
        any |= bits;
        for part in 0..S::LANES / 4 {
            found[at / 4 + part] = bits >> (4 * part) & 15;
        }
    }
    any != 0
}

/// Rounding of a product relative to the largest norm in it: twice what was seen in any of a few million.
const ROUNDING: f32 = 1e-6;

/// The `k` nearest of each list, by distances computed from differences. `others` are the packed rows `x`;
/// `same`: a query is the row of its own index.
fn finish(
    isa: Isa,
    queries: &[f32],
    x: &[f32],
    same: bool,
    others: &Blocks,
    k: usize,
    lists: Vec<Mutex<Lists>>,
) -> Neighbours {
    let d = others.depth - 2;
    let n = queries.len().checked_div(d).unwrap_or(0);
    let mut found: Vec<(Vec<u32>, Vec<f32>)> = vec![Default::default(); lists.len()];
    let lists: Vec<Mutex<Option<Lists>>> =
        lists.into_iter().map(|list| Mutex::new(list.into_inner().ok())).collect();
    parallel_chunks_mut(&mut found, 1, |block, found| {
        // Taken out, so that lists go as results come.
        let Some(mut lists) = lists[block].lock().expect("no task panics").take() else { return };
        let (indices, distances) = &mut found[0];
        let mut exact = Vec::new();
        for row in 0..BLOCK.min(n - block * BLOCK) {
            let at = block * BLOCK + row;
            let query = &queries[at * d..][..d];
            let list = lists.entries.get_mut(row * lists.capacity..).unwrap_or_default();
            let mut list = &mut list[..lists.lengths[row]];
            let mut limit = f32::INFINITY;
            if list.len() > lists.keep || lists.thresholds[row] < f32::INFINITY {
                let (_, last, _) = list.select_nth_unstable(lists.keep - 1);
                limit = f32::from_bits((*last >> 32) as u32);
                list = &mut list[..lists.keep];
            }
            list.sort_unstable_by_key(|entry| *entry as u32);
            exact.clear();
            direct(isa, query, x, list.iter().map(|entry| *entry as u32), &mut exact);
            sort(&mut exact);
            // What was left out is at least this far away.
            let norm = squared(query).sqrt() + limit.sqrt();
            let furthest = exact.get(k.wrapping_sub(1)).map_or(0.0, |last| last.0);
            if limit.is_finite() && furthest > (limit - ROUNDING * norm * norm).max(0.0) {
                search_directly(isa, query, same.then_some(at), x, others, k, &mut exact);
            }
            indices.extend(exact[..k].iter().map(|(_, index)| index));
            distances.extend(exact[..k].iter().map(|(distance, _)| distance));
        }
    });
    let mut result = Neighbours { k, index: Vec::with_capacity(n * k), squared: Vec::with_capacity(n * k) };
    for (indices, distances) in found {
        result.index.extend(indices);
        result.squared.extend(distances);
    }
    result
}

fn sort(found: &mut [(f32, u32)]) {
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
}

/// Finds a row's neighbours without products, block by block, leaving out blocks whose ball is too far away.
/// `found` holds some neighbours when it begins.
fn search_directly(
    isa: Isa,
    query: &[f32],
    same: Option<usize>,
    x: &[f32],
    others: &Blocks,
    k: usize,
    found: &mut Vec<(f32, u32)>,
) {
    let d = query.len();
    let limit = f64::from(found[k - 1].0).sqrt();
    found.clear();
    for block in 0..others.count() {
        let centre = &others.centres[block * d..(block + 1) * d];
        let between: f64 = centre.iter().zip(query).map(|(c, x)| (c - f64::from(*x)).powi(2)).sum();
        if between.sqrt() - others.radii[block] <= limit * 1.001 {
            let rows = block * BLOCK..block * BLOCK + others.rows(block);
            let rows = rows.filter(|row| Some(*row) != same).map(|row| row as u32);
            direct(isa, query, x, rows, found);
            if found.len() > k {
                sort(found);
                found.truncate(k);
            }
        }
    }
    sort(found);
}

/// Adds the squared distances of `query` to the given rows of `x`, computed from differences.
fn direct(isa: Isa, query: &[f32], x: &[f32], rows: impl Iterator<Item = u32>, out: &mut Vec<(f32, u32)>) {
    let d = query.len();
    out.extend(rows.map(|index| (distance(isa, query, &x[index as usize * d..][..d]), index)));
}

dispatch! { fn distance<'a>(a: &'a [f32], b: &'a [f32]) -> f32 = distance_body }

#[inline(always)]
fn distance_body<S: Simd>(_: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += (a - b) * (a - b);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{normal, on_threads, to_f64};

    fn naive(queries: &[f32], x: &[f32], d: usize, k: usize, skip_self: bool) -> Vec<Vec<(f64, u32)>> {
        let (queries, x) = (to_f64(queries), to_f64(x));
        let rows = |q: usize| {
            let query = &queries[q * d..(q + 1) * d];
            let mut all: Vec<(f64, u32)> = x
                .chunks_exact(d)
                .enumerate()
                .filter(|(i, _)| !(skip_self && *i == q))
                .map(|(i, row)| (row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum(), i as u32))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            all.truncate(k);
            all
        };
        (0..queries.len() / d).map(rows).collect()
    }

    #[track_caller]
    fn check(found: &Neighbours, want: &[Vec<(f64, u32)>]) {
        assert_eq!(found.index.len(), want.len() * found.k);
        for (i, want) in want.iter().enumerate() {
            for (j, (distance, _)) in want.iter().enumerate() {
                let got = f64::from(found.squared[i * found.k + j]);
                assert!((got - distance).abs() <= 2e-6 * (1e-3 + distance), "{i} {j}: {got}, not {distance}");
            }
        }
    }

    #[test]
    fn neighbours_are_those_of_plain_loops() {
        for isa in Isa::available() {
            for (n, d, k) in [
                (1, 3, 0),
                (2, 1, 1),
                (5, 2, 4),
                (97, 7, 10),
                (256, 50, 30),
                (257, 50, 90),
                (800, 3, 40),
                (1100, 300, 15),
                (530, 255, 20),
            ] {
                let x = normal(5, n * d);
                on_threads(|| {
                    let result = nearest(isa, &x, d, k, &|_| ());
                    result
                        .index
                        .iter()
                        .map(|i| f32::from_bits(*i))
                        .chain(result.squared.iter().copied())
                        .collect()
                });
                let result = nearest(isa, &x, d, k, &|_| ());
                check(&result, &naive(&x, &x, d, k, true));
                for i in 0..n {
                    let row = |i: usize| &x[i * d..(i + 1) * d];
                    for (j, squared) in (i * k..(i + 1) * k).map(|at| (result.index[at], result.squared[at]))
                    {
                        assert!(j as usize != i && distance(isa, row(i), row(j as usize)) == squared);
                    }
                }
            }
        }
    }

    #[test]
    fn rows_far_from_the_origin_and_of_each_other() {
        // Two clusters a thousand of their widths apart, and far from the origin: blocks are skipped, and
        // products lose digits.
        let isa = Isa::best();
        let (n, d, k) = (1500, 6, 12);
        let mut x = normal(6, n * d);
        for (i, x) in x.iter_mut().enumerate() {
            *x += if i / d < n / 2 { 300.0 } else { -700.0 };
        }
        check(&nearest(isa, &x, d, k, &|_| ()), &naive(&x, &x, d, k, true));
    }

    #[test]
    fn equal_rows() {
        let isa = Isa::best();
        let found = nearest(isa, &vec![1.5; 600 * 4], 4, 20, &|_| ());
        assert!(found.squared.iter().all(|squared| *squared == 0.0));
        for (row, indices) in found.index.chunks(20).enumerate() {
            assert!(!indices.contains(&(row as u32)));
        }
    }

    #[test]
    fn neighbours_of_other_rows() {
        for isa in Isa::available() {
            for (m, n, d, k) in [(1, 1, 2, 1), (7, 300, 5, 9), (300, 257, 50, 30), (0, 4, 2, 1)] {
                let (queries, x) = (normal(7, m * d), normal(8, n * d));
                check(&nearest_to(isa, &queries, &x, d, k), &naive(&queries, &x, d, k, false));
            }
        }
    }
}
