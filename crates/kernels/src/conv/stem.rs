//! 3x3 convolution of few input channels, as the first layer of a network has them.
//!
//! Within a kernel row the `3 C` numbers that an output pixel sees lie beside each other, and those of the next
//! pixel begin `C` numbers further on. Once rows have their zeros at the sides, the product can therefore read
//! them in place: nothing is gathered. Outputs that see nothing but zeros (a padding of 100 makes many of them)
//! are not computed.

use super::direct::PanelWidth;
use super::shape::Conv2dShape;
use crate::Isa;
use crate::gemm::panel_width;
use crate::scratch::with_scratch;
use crate::simd::{Simd, SimdOp};
use crate::threads::{SharedMut, parallel_for};

/// Most input channels.
const MOST: usize = 5;
/// Rows of the register tile, on every instruction set: pixels of the output, or weights of the gradient.
const MR: usize = 6;
/// Output rows of a task.
const ROWS: usize = 8;
/// Pixels of the gradient that go through all tiles together: with as many more on their way, they stay in the L1
/// cache.
const PIXELS: usize = 32;
/// Most parts that the gradient's sum is cut into.
const PARTS: usize = 64;
/// Fewest rows worth a part of their own.
const FEWEST: usize = 8;

/// Whether this way is taken forward and for the weights' gradient.
pub(super) fn applies(s: &Conv2dShape) -> bool {
    s.kernel == [3, 3] && s.stride == [1, 1] && (1..=MOST).contains(&s.c) && !s.is_full()
}

/// The outputs that see the image: what is left when the padding is cut to two rows and columns.
#[derive(Clone, Copy)]
struct Inner {
    /// Padding that counts.
    pad: [usize; 2],
    /// First output row and column.
    first: [usize; 2],
    /// Output rows and columns.
    out: [usize; 2],
    /// Numbers in a padded row.
    row: usize,
}

impl Inner {
    fn new(s: &Conv2dShape) -> Inner {
        let pad = s.padding.map(|p| p.min(2));
        let first = [s.padding[0] - pad[0], s.padding[1] - pad[1]];
        let inner = Conv2dShape { padding: pad, ..*s };
        let out = [inner.out_h(), inner.out_w()];
        // A tile reads as many pixels as it has rows, used or not.
        Inner { pad, first, out, row: (out[1].max(MR) + 2) * s.c }
    }

    /// Writes the padded rows that output rows from `y` on see.
    #[inline(always)]
    fn pad(&self, s: &Conv2dShape, x: &[f32], image: usize, y: usize, rows: &mut [f32]) {
        let len = s.w * s.c;
        for (i, row) in rows.chunks_exact_mut(self.row).enumerate() {
            let (left, rest) = row.split_at_mut(self.pad[1] * s.c);
            let (middle, right) = rest.split_at_mut(len);
            left.fill(0.0);
            right.fill(0.0);
            match (y + i).checked_sub(self.pad[0]).filter(|&y| y < s.h) {
                Some(y) => middle.copy_from_slice(&x[(image * s.h + y) * len..][..len]),
                None => middle.fill(0.0),
            }
        }
    }
}

/// `acc[i] += sum_j a[i][j * a_step] * b[j]` for `j < depth`; rows of `b` have a panel's width and begin `b_step`
/// apart. Asks the cache for what lies `ahead` numbers after each row, if that is not 0.
///
/// # Safety
/// All numbers of the sum must be readable.
#[inline(always)]
unsafe fn product<S: Simd>(
    simd: S,
    acc: &mut [[S::V; 2]; MR],
    depth: usize,
    a: [*const f32; MR],
    a_step: usize,
    b: *const f32,
    b_step: usize,
    ahead: usize,
) {
    for j in 0..depth {
        // SAFETY: within the bounds that the caller promises.
        unsafe {
            let b = b.add(j * b_step);
            let (b0, b1) = (simd.load(b), simd.load(b.add(S::LANES)));
            if ahead > 0 {
                simd.prefetch(b.wrapping_add(ahead));
            }
            for i in 0..MR {
                let v = simd.splat(*a[i].add(j * a_step));
                acc[i] = [simd.mul_add(v, b0, acc[i][0]), simd.mul_add(v, b1, acc[i][1])];
            }
        }
    }
}

/// `y = conv(x) (+ bias) (, ReLU)`, with weights as `pack::forward` leaves them.
pub(super) fn forward(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    if y.is_empty() {
        return;
    }
    let inner = Inner::new(s);
    let columns = packed.len() / (9 * s.c);
    let blocks = s.out_h().div_ceil(ROWS);
    with_scratch(columns, |start| {
        // Sums start at the bias.
        start.fill(0.0);
        if let Some(bias) = bias {
            start[..s.k].copy_from_slice(bias);
        }
        let (start, y) = (&*start, SharedMut::new(y));
        parallel_for(s.n * blocks, |task| {
            let (image, first) = (task / blocks, task % blocks * ROWS);
            with_scratch((ROWS + 2) * inner.row, |rows| {
                isa.run(Forward { s, inner, x, packed, start, relu, y: &y, rows, image, first });
            });
        });
    });
}

/// Some output rows of an image.
struct Forward<'a> {
    s: &'a Conv2dShape,
    inner: Inner,
    x: &'a [f32],
    packed: &'a [f32],
    /// What sums start at: a number for each column of the packed weights.
    start: &'a [f32],
    relu: bool,
    y: &'a SharedMut<'a, f32>,
    /// Room for the padded rows.
    rows: &'a mut [f32],
    image: usize,
    first: usize,
}

impl SimdOp for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Forward { s, inner, .. } = self;
        let (k, width) = (s.k, s.out_w());
        let end = s.out_h().min(self.first + ROWS);
        // Of the inner rows, those of this task.
        let from = self.first.clamp(inner.first[0], inner.first[0] + inner.out[0]);
        let to = end.clamp(from, inner.first[0] + inner.out[0]);
        let rows = if from < to { &mut self.rows[..(to - from + 2) * inner.row] } else { &mut [] };
        inner.pad(s, self.x, self.image, from - inner.first[0], rows);
        for row in self.first..end {
            let at = (self.image * s.out_h() + row) * width * k;
            // SAFETY: this task alone writes its rows.
            let y = unsafe { self.y.slice(at..at + width * k) };
            if row < from || row >= to {
                outside(self.start, self.relu, y, k);
                continue;
            }
            let (left, rest) = y.split_at_mut(inner.first[1] * k);
            let (middle, right) = rest.split_at_mut(inner.out[1] * k);
            outside(self.start, self.relu, left, k);
            outside(self.start, self.relu, right, k);
            let rows = &rows[(row - from) * inner.row..][..3 * inner.row];
            let mut pixel = 0;
            while pixel < inner.out[1] {
                // The last tile goes over pixels of the one before it again.
                let first = pixel.min(inner.out[1].saturating_sub(MR));
                tile(simd, s.c, rows, inner.row, first, self.packed, self.start, self.relu, middle, k);
                pixel = first + MR;
            }
        }
    }
}

/// Pixels that see zeros only.
#[inline(always)]
fn outside(start: &[f32], relu: bool, y: &mut [f32], k: usize) {
    for y in y.chunks_exact_mut(k) {
        y.copy_from_slice(&start[..k]);
    }
    if relu {
        for y in y {
            *y = if *y < 0.0 { 0.0 } else { *y };
        }
    }
}

/// MR pixels from `first` on of an output row, from the three padded rows that it sees; pixels beyond `y`, a
/// multiple of `k`, are left out.
#[inline(always)]
fn tile<S: Simd>(
    simd: S,
    c: usize,
    rows: &[f32],
    row: usize,
    first: usize,
    packed: &[f32],
    start: &[f32],
    relu: bool,
    y: &mut [f32],
    k: usize,
) {
    let nr = panel_width::<S>();
    let zero = simd.splat(0.0);
    let y = &mut y[first * k..];
    let pixels = MR.min(y.len() / k);
    assert!(rows.len() == 3 * row && row >= (first + MR + 2) * c && S::NV == 2);
    for (panel, (packed, start)) in packed.chunks_exact(9 * c * nr).zip(start.chunks_exact(nr)).enumerate() {
        let k0 = panel * nr;
        // Where the next tile goes: its lines come while this one is computed.
        for i in 0..MR {
            simd.prefetch(y.as_ptr().wrapping_add((i + MR) * k + k0));
        }
        // SAFETY: pixel `first + i` reads 3 C numbers from `(first + i) C` on in each of the rows, which the
        // assertion bounds; a panel has 9 C rows of `nr` numbers; stores go to numbers below `k` of `pixels` pixels.
        unsafe {
            let start = [simd.load(start.as_ptr()), simd.load(start.as_ptr().add(S::LANES))];
            let mut acc = [start; MR];
            for r in 0..3 {
                let mut a = [rows.as_ptr(); MR];
                for i in 0..MR {
                    a[i] = a[i].add(r * row + (first + i) * c);
                }
                product(simd, &mut acc, 3 * c, a, 1, packed.as_ptr().add(r * 3 * c * nr), nr, 0);
            }
            if relu {
                for i in 0..MR {
                    // With the zero first, NaN stays NaN.
                    acc[i] = [simd.max(zero, acc[i][0]), simd.max(zero, acc[i][1])];
                }
            }
            let y = y.as_mut_ptr().add(k0);
            if pixels == MR && k0 + nr <= k {
                for i in 0..MR {
                    simd.store(y.add(i * k), acc[i][0]);
                    simd.store(y.add(i * k + S::LANES), acc[i][1]);
                }
            } else {
                let mut part = [0.0f32; 32];
                for i in 0..pixels {
                    simd.store(part.as_mut_ptr(), acc[i][0]);
                    simd.store(part.as_mut_ptr().add(S::LANES), acc[i][1]);
                    for j in 0..nr.min(k - k0) {
                        *y.add(i * k + j) = part[j];
                    }
                }
            }
        }
    }
}

/// How the gradient's sum is cut, a function of the shape (and of the instruction set) alone.
#[derive(Clone, Copy)]
struct Cut {
    /// Inner output rows of all images, and those of a part.
    rows: usize,
    part: usize,
    /// Columns of a part's sum: output channels, up to whole panels.
    columns: usize,
    /// Columns of a panel.
    panel: usize,
    /// Numbers in a part's sum: (kernel row, kernel column, input channel) up to whole tiles, columns.
    len: usize,
}

impl Cut {
    fn new(isa: Isa, s: &Conv2dShape, inner: &Inner) -> Cut {
        let rows = if inner.out[1] == 0 { 0 } else { s.n * inner.out[0] };
        let panel = isa.run(PanelWidth);
        let columns = s.k.next_multiple_of(panel);
        let len = (9 * s.c).next_multiple_of(MR) * columns;
        Cut { rows, part: rows.div_ceil(PARTS).max(FEWEST), columns, panel, len }
    }

    fn parts(&self) -> usize {
        self.rows.div_ceil(self.part)
    }
}

/// `dw (+)=` the gradient, in PyTorch's order.
pub(super) fn weight_grad(
    isa: Isa,
    s: &Conv2dShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: bool,
) {
    if dw.is_empty() {
        return;
    }
    let inner = Inner::new(s);
    let cut = Cut::new(isa, s, &inner);
    with_scratch(cut.parts() * cut.len, |sums| {
        let shared = SharedMut::new(sums);
        parallel_for(cut.parts(), |part| {
            // SAFETY: each part has its own sum.
            let sum = unsafe { shared.slice(part * cut.len..(part + 1) * cut.len) };
            with_scratch(3 * inner.row + PIXELS * cut.panel, |scratch| {
                isa.run(Part { s, inner, cut, x, dy, sum, scratch, part });
            });
        });
        let (sums, dw) = (&*sums, SharedMut::new(dw));
        parallel_for(9 * s.c, |weight| {
            let (tap, c) = (weight / s.c, weight % s.c);
            with_scratch(s.k, |sum| {
                sum.fill(0.0);
                for part in sums.chunks_exact(cut.len) {
                    for (sum, x) in sum.iter_mut().zip(&part[weight * cut.columns..]) {
                        *sum += x;
                    }
                }
                for (k, sum) in sum.iter().enumerate() {
                    let at = (k * s.c + c) * 9 + tap;
                    // SAFETY: this task alone writes this weight of each output channel.
                    let dw = unsafe { &mut dw.slice(at..at + 1)[0] };
                    *dw = if accumulate { *dw + sum } else { *sum };
                }
            });
        });
    });
}

/// Scratch of a task and of all together, in numbers.
pub(super) fn scratch(isa: Isa, s: &Conv2dShape) -> (usize, usize) {
    let inner = Inner::new(s);
    let cut = Cut::new(isa, s, &inner);
    let task = ((ROWS + 2) * inner.row).max(3 * inner.row + PIXELS * cut.panel);
    (task, cut.parts() * cut.len + cut.columns)
}

/// A part of the sum.
struct Part<'a> {
    s: &'a Conv2dShape,
    inner: Inner,
    cut: Cut,
    x: &'a [f32],
    dy: &'a [f32],
    sum: &'a mut [f32],
    scratch: &'a mut [f32],
    part: usize,
}

impl SimdOp for Part<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Part { s, inner, cut, sum, .. } = self;
        let nr = panel_width::<S>();
        let (rows, last) = self.scratch.split_at_mut(3 * inner.row);
        sum.fill(0.0);
        for row in self.part * cut.part..cut.rows.min((self.part + 1) * cut.part) {
            let (image, y) = (row / inner.out[0], row % inner.out[0]);
            inner.pad(s, self.x, image, y, rows);
            let start = (image * s.out_h() + inner.first[0] + y) * s.out_w() + inner.first[1];
            for first in (0..inner.out[1]).step_by(PIXELS) {
                let pixels = PIXELS.min(inner.out[1] - first);
                let grad = &self.dy[(start + first) * s.k..][..pixels * s.k];
                // A panel that is not full is copied, with zeros.
                let used = s.k % nr;
                if used > 0 {
                    for (to, from) in last.chunks_exact_mut(nr).zip(grad.chunks_exact(s.k)) {
                        to[..used].copy_from_slice(&from[s.k - used..]);
                        to[used..].fill(0.0);
                    }
                }
                for (weight, sum) in sum.chunks_exact_mut(MR * cut.columns).enumerate() {
                    let mut a = [rows.as_ptr(); MR];
                    for i in 0..MR {
                        // What a last tile has too much sees the first weight's numbers; nobody reads its sum.
                        let weight = if weight * MR + i < 9 * s.c { weight * MR + i } else { 0 };
                        let at = weight / (3 * s.c) * inner.row + weight % (3 * s.c) + first * s.c;
                        // SAFETY: kernel row * row + (kernel column + pixel) * C + channel is inside the three rows.
                        a[i] = unsafe { a[i].add(at) };
                    }
                    for k0 in (0..s.k).step_by(nr) {
                        // SAFETY: as above, up to `pixels` pixels further; `grad`, or `last`, holds as many rows of the panel; a
                        // tile's sums have `columns` numbers for each weight.
                        unsafe {
                            let mut acc = [[simd.splat(0.0); 2]; MR];
                            let (b, b_step) = match k0 + nr <= s.k {
                                true => (grad.as_ptr().add(k0), s.k),
                                false => (last.as_ptr(), nr),
                            };
                            let ahead = if weight == 0 { PIXELS * b_step } else { 0 };
                            product(simd, &mut acc, pixels, a, s.c, b, b_step, ahead);
                            for i in 0..MR {
                                for j in 0..2 {
                                    let to = sum.as_mut_ptr().add(i * cut.columns + k0 + j * S::LANES);
                                    simd.store(to, simd.add(simd.load(to), acc[i][j]));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
