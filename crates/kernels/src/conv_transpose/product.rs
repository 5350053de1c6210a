//! The register tile of the transposed convolution.

use crate::simd::Simd;

/// Most vectors in a row of the tile.
pub(super) const TILE: usize = 3;

/// `out[i][j] += sum_r a[i * a_row + r * a_step] * b[r][j]` for `i < m`, `r < depth` and `j` over `vectors`
/// vectors; rows of `b` and `out` begin `b_row` and `out_row` apart, and those of `out` may overlap.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    m: usize,
    depth: usize,
    a: &[f32],
    a_row: usize,
    a_step: usize,
    b: &[f32],
    b_row: usize,
    vectors: usize,
    out: &mut [f32],
    out_row: usize,
) {
    if m == 0 || depth == 0 {
        return;
    }
    let width = vectors * S::LANES;
    assert!(a.len() > (m - 1) * a_row + (depth - 1) * a_step);
    assert!(b.len() >= (depth - 1) * b_row + width && out.len() >= (m - 1) * out_row + width);
    let p =
        Product { depth, a: a.as_ptr(), a_row, a_step, b: b.as_ptr(), b_row, out: out.as_mut_ptr(), out_row };
    // SAFETY: the assertions bound every access of rows below m.
    unsafe {
        match vectors {
            1 => rows::<S, 1>(simd, m, p),
            2 => rows::<S, 2>(simd, m, p),
            3 => rows::<S, 3>(simd, m, p),
            _ => unreachable!("a tile has at most {TILE} vectors"),
        }
    }
}

/// The operands of [`product`].
#[derive(Clone, Copy)]
struct Product {
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_step: usize,
    b: *const f32,
    b_row: usize,
    out: *mut f32,
    out_row: usize,
}

/// # Safety
/// As asserted by [`product`].
#[inline(always)]
unsafe fn rows<S: Simd, const V: usize>(simd: S, m: usize, p: Product) {
    let mut i = 0;
    // SAFETY: rows i.. below m, by the caller's promise.
    unsafe {
        // 8 x 3 accumulators need 32 registers.
        while S::LANES == 16 && i + 8 <= m {
            micro::<S, 8, V>(simd, i, p);
            i += 8;
        }
        while i + 4 <= m {
            micro::<S, 4, V>(simd, i, p);
            i += 4;
        }
        if i + 2 <= m {
            micro::<S, 2, V>(simd, i, p);
            i += 2;
        }
        if i < m {
            micro::<S, 1, V>(simd, i, p);
        }
    }
}

/// The register tile: M rows, from row `first`, of V vectors.
///
/// # Safety
/// All addressed numbers of the operands must be valid.
#[inline(always)]
unsafe fn micro<S: Simd, const M: usize, const V: usize>(simd: S, first: usize, p: Product) {
    let mut sums = [[simd.splat(0.0); V]; M];
    // SAFETY: by the caller's promise.
    unsafe {
        let a = p.a.add(first * p.a_row);
        for r in 0..p.depth {
            let mut row = [simd.splat(0.0); V];
            for v in 0..V {
                row[v] = simd.load(p.b.add(r * p.b_row + v * S::LANES));
            }
            for i in 0..M {
                let x = simd.splat(*a.add(i * p.a_row + r * p.a_step));
                for v in 0..V {
                    sums[i][v] = simd.mul_add(x, row[v], sums[i][v]);
                }
            }
        }
        for i in 0..M {
            for v in 0..V {
                let at = p.out.add((first + i) * p.out_row + v * S::LANES);
                simd.store(at, simd.add(simd.load(at), sums[i][v]));
            }
        }
    }
}
