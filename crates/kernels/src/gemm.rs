//! The register tile of the matrix product, `C += A B`, and the packing of `B`.
//!
//! `B` (`k` rows of `n` columns) is packed into panels of [`panel_width`] columns, each panel holding its
//! rows one after the other, the last one filled up with zeros. `A` is read where it lies, a number at a
//! time, with a fixed distance between the rows of a tile (a constant, so that it becomes part of the
//! instruction) and any distance between consecutive values of `k`.

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, Simd};

/// Largest depth of a block of `A`: a tile's rows of `A` and a panel of `B` of this depth share the L1
/// cache.
pub(crate) const KC: usize = 256;

/// Row distances of `A` that tiles are compiled for. The 16 numbers above a power of two keep the rows of a
/// tile out of each other's cache sets.
pub(crate) const ROW_STRIDES: [usize; 3] = [80, 144, KC + 16];

/// The smallest compiled row distance that holds `k` numbers (`k <= KC`).
pub(crate) fn row_stride(k: usize) -> usize {
    *ROW_STRIDES.iter().find(|&&s| k + 16 <= s).expect("k is at most KC")
}

/// Columns of a panel of `B`.
#[inline(always)]
pub(crate) const fn panel_width<S: Simd>() -> usize {
    S::NV * S::LANES
}

/// Where a tile reads and writes. All distances are in numbers.
#[derive(Clone, Copy, Debug)]
pub struct TileArgs {
    /// Depth of the product.
    pub k: usize,
    /// First number of `A`.
    pub a: *const f32,
    /// Distance between consecutive `k` in `A`.
    pub a_k: usize,
    /// First number of `B`.
    pub b: *const f32,
    /// Distance between consecutive `k` in `B`.
    pub b_k: usize,
    /// First number of `C`.
    pub c: *mut f32,
    /// Distance between rows of `C`.
    pub c_row: usize,
    /// Rows of `C` to write, at most `MR`.
    pub rows: usize,
    /// Columns of `C` to write, at most the panel's width.
    pub cols: usize,
    /// Whether to add to `C` or to overwrite it.
    pub accumulate: bool,
}

/// The compiled tiles of a SIMD type. (Public only because [`Simd`] names it; the module is private, so no
/// other crate can implement either.)
pub trait Tile: Copy {
    /// One tile of `C`: `MR` rows and a panel's width of columns of `A B`, of which `rows` x `cols` are
    /// written. `A` has `RS` numbers between the rows of the tile.
    ///
    /// # Safety
    /// `a` must be readable at `i * RS + p * a_k` for all `i < MR`, `p < k`; `b` at `p * b_k` and the panel's
    /// width after it; `c` writable (readable, if accumulating) at `i * c_row + j` for `i < rows`, `j < cols`.
    unsafe fn tile<const RS: usize>(self, args: TileArgs);
}

macro_rules! impl_tile {
    ($($simd:ty),*) => {$(
        impl Tile for $simd {
            #[inline(always)]
            unsafe fn tile<const RS: usize>(self, args: TileArgs) {
                // SAFETY: the caller's promises are the callee's.
                unsafe { tile::<Self, { <$simd as Simd>::MR }, { <$simd as Simd>::NV }, RS>(self, args) }
            }
        }
    )*};
}
impl_tile!(Portable);
#[cfg(target_arch = "x86_64")]
impl_tile!(Avx2, Avx512);

#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const RS: usize>(simd: S, t: TileArgs) {
    let mut acc = [[simd.splat(0.0); NV]; MR];
    let (mut a, mut b) = (t.a, t.b);
    // SAFETY (all of the following): within the bounds that the caller promises.
    unsafe {
        for _ in 0..t.k {
            let mut bv = [simd.splat(0.0); NV];
            for j in 0..NV {
                bv[j] = simd.load(b.add(j * S::LANES));
            }
            for i in 0..MR {
                let av = simd.splat(*a.add(i * RS));
                for j in 0..NV {
                    acc[i][j] = simd.mul_add(av, bv[j], acc[i][j]);
                }
            }
            a = a.add(t.a_k);
            b = b.add(t.b_k);
        }
        if t.rows == MR && t.cols == NV * S::LANES {
            for i in 0..MR {
                for j in 0..NV {
                    let p = t.c.add(i * t.c_row + j * S::LANES);
                    let v = if t.accumulate { simd.add(simd.load(p), acc[i][j]) } else { acc[i][j] };
                    simd.store(p, v);
                }
            }
        } else {
            let mut part = [0.0f32; 64];
            for i in 0..t.rows.min(MR) {
                for j in 0..NV {
                    simd.store(part.as_mut_ptr().add(j * S::LANES), acc[i][j]);
                }
                for j in 0..t.cols {
                    let p = t.c.add(i * t.c_row + j);
                    *p = if t.accumulate { *p + part[j] } else { part[j] };
                }
            }
        }
    }
}

/// Calls a tile with the row distance `rs`, one of [`ROW_STRIDES`].
///
/// # Safety
/// As [`Tile::tile`].
#[inline(always)]
pub(crate) unsafe fn tile_with_stride<S: Simd>(simd: S, rs: usize, args: TileArgs) {
    // SAFETY: the caller's promises are the callee's.
    unsafe {
        if rs == ROW_STRIDES[0] {
            simd.tile::<{ ROW_STRIDES[0] }>(args)
        } else if rs == ROW_STRIDES[1] {
            simd.tile::<{ ROW_STRIDES[1] }>(args)
        } else {
            debug_assert_eq!(rs, ROW_STRIDES[2]);
            simd.tile::<{ ROW_STRIDES[2] }>(args)
        }
    }
}
