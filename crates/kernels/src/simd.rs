//! The vectors that kernels are written in: one trait, an implementation for each instruction set.
//!
//! A value of an implementing type is a token: its constructor checks the CPU, so the operations can be
//! safe functions. The bodies are `#[inline(always)]`, and the feature is switched on by the shim in
//! [`crate::Isa::run`], the only caller.

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// A computation that can be compiled for any instruction set.
pub trait SimdOp {
    /// What it returns.
    type Output;
    /// Does the work. Must be marked `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Operations on vectors of `f32`.
pub trait Simd: crate::gemm::Tile + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] numbers.
    type V: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Rows of the matrix product's register tile.
    const MR: usize;
    /// Vectors in a row of the matrix product's register tile.
    const NV: usize;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Reads a vector.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` numbers.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes a vector.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` numbers.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// `a * b + c`, rounded once where the hardware does so.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`, rounded correctly on every machine.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// A bit for each lane, the first in bit 0: whether `a < b`.
    fn below(self, a: Self::V, b: Self::V) -> u32;
    /// Lane-wise maximum.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane, `v` and `other` where `v` is above `best` or NaN, else `best` and `tag`.
    fn larger(self, best: Self::V, tag: Self::V, v: Self::V, other: Self::V) -> (Self::V, Self::V);
    /// `x` where `y` is above 0 or NaN, else 0.
    fn keep_positive(self, y: Self::V, x: Self::V) -> Self::V;
    /// `a * b + c` on single numbers, with the rounding of [`Simd::mul_add`]; loops of it vectorise.
    fn mul_add_scalar(self, a: f32, b: f32, c: f32) -> f32;
    /// Transposes 8 x 8 numbers: row `i` is read at `i * step` and written down the rows of `to` at place `i`.
    ///
    /// # Safety
    /// `from` must be valid for reading 8 numbers at each `i * step`, each of `to` for writing 8.
    #[inline(always)]
    unsafe fn transpose8(self, from: *const f32, step: usize, to: [*mut f32; 8]) {
        for (j, to) in to.iter().enumerate() {
            for i in 0..8 {
                // SAFETY: within the bounds that the caller promises.
                unsafe { *to.add(i) = *from.add(i * step + j) }
            }
        }
    }
    /// The points (x, y) of `LANES` indices, x and y apart; a point is two consecutive numbers.
    ///
    /// # Safety
    /// `at` must be valid for reading `LANES` indices, `points` for the two numbers at each of them.
    #[inline(always)]
    unsafe fn load_points(self, points: *const f32, at: *const u32) -> (Self::V, Self::V) {
        let mut parts = [[0.0_f32; 16]; 2];
        // SAFETY: within the bounds that the caller promises; no set has more than 16 lanes.
        unsafe {
            for lane in 0..Self::LANES {
                let point = points.add(2 * *at.add(lane) as usize);
                parts[0][lane] = *point;
                parts[1][lane] = *point.add(1);
            }
            (self.load(parts[0].as_ptr()), self.load(parts[1].as_ptr()))
        }
    }
    /// Asks the cache for the line at `p`; never faults.
    #[inline(always)]
    fn prefetch(self, _p: *const f32) {}
}

/// Plain Rust, for CPUs without a listed instruction set and for checking the others.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const MR: usize = 4;
    const NV: usize = 2;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; 4] {
        // SAFETY: the caller promises four readable numbers.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: [f32; 4]) {
        // SAFETY: the caller promises four writable numbers.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn below(self, a: [f32; 4], b: [f32; 4]) -> u32 {
        (0..4).fold(0, |bits, i| bits | u32::from(a[i] < b[i]) << i)
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn larger(self, best: [f32; 4], tag: [f32; 4], v: [f32; 4], other: [f32; 4]) -> ([f32; 4], [f32; 4]) {
        let wins = |i: usize| v[i] > best[i] || v[i].is_nan();
        (
            std::array::from_fn(|i| if wins(i) { v[i] } else { best[i] }),
            std::array::from_fn(|i| if wins(i) { other[i] } else { tag[i] }),
        )
    }
    #[inline(always)]
    fn keep_positive(self, y: [f32; 4], x: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if y[i] <= 0.0 { 0.0 } else { x[i] })
    }
    #[inline(always)]
    fn mul_add_scalar(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}
