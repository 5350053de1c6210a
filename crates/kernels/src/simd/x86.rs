//! AVX2 with FMA, and AVX-512.

use super::Simd;
use std::arch::x86_64::*;

macro_rules! x86_simd {
    ($(#[$doc:meta])* $name:ident, $vec:ty, $lanes:expr, $mr:expr, $nv:expr, [$($feature:tt),*],
     $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident, $sub:ident, $mul:ident, $max:ident, $larger:ident, $keep_positive:ident,
     $div:ident, $below:ident, $load_points:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(());

        impl $name {
            /// The token, if the CPU has the instructions.
            #[inline]
            pub fn detect() -> Option<$name> {
                ($(is_x86_feature_detected!($feature))&&*).then_some($name(()))
            }
        }

        impl Simd for $name {
            type V = $vec;
            const LANES: usize = $lanes;
            const MR: usize = $mr;
            const NV: usize = $nv;

            #[inline(always)]
            fn splat(self, x: f32) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(self, p: *const f32) -> $vec {
                // SAFETY: the token proves the feature; the caller promises the memory.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut f32, v: $vec) {
                // SAFETY: the token proves the feature; the caller promises the memory.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            fn mul_add(self, a: $vec, b: $vec, c: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            fn add(self, a: $vec, b: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: $vec, b: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: $vec, b: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: $vec, b: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn below(self, a: $vec, b: $vec) -> u32 {
                // SAFETY: the token proves the feature.
                unsafe { $below(a, b) }
            }
            #[inline(always)]
            unsafe fn load_points(self, points: *const f32, at: *const u32) -> ($vec, $vec) {
                // SAFETY: the token proves the feature; the caller promises the memory.
                unsafe { $load_points(points, at) }
            }
            #[inline(always)]
            fn max(self, a: $vec, b: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn larger(self, best: $vec, tag: $vec, v: $vec, other: $vec) -> ($vec, $vec) {
                // SAFETY: the token proves the feature.
                unsafe { $larger(best, tag, v, other) }
            }
            #[inline(always)]
            fn keep_positive(self, y: $vec, x: $vec) -> $vec {
                // SAFETY: the token proves the feature.
                unsafe { $keep_positive(y, x) }
            }
            #[inline(always)]
            fn mul_add_scalar(self, a: f32, b: f32, c: f32) -> f32 {
                a.mul_add(b, c)
            }
            #[inline(always)]
            unsafe fn transpose8(self, from: *const f32, step: usize, to: [*mut f32; 8]) {
                // SAFETY: the token proves AVX; the caller promises the memory.
                unsafe { transpose8(from, step, to) }
            }
            #[inline(always)]
            fn prefetch(self, p: *const f32) {
                // SAFETY: a prefetch of any address is harmless.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
        }
    };
}

x86_simd!(
    /// Eight lanes; the register tile is 6 x 16.
    Avx2, __m256, 8, 6, 2, ["avx2", "fma"],
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_sub_ps,
    _mm256_mul_ps, _mm256_max_ps, larger8, keep_positive256, _mm256_div_ps, below8, load_points8
);
x86_simd!(
    /// Sixteen lanes; the register tile is 14 x 32.
    Avx512, __m512, 16, 14, 2, ["avx512f", "avx512vl", "avx512dq", "avx512bw", "avx2", "fma"],
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_sub_ps,
    _mm512_mul_ps, _mm512_max_ps, larger16, keep_positive512, _mm512_div_ps, below16, load_points16
);

/// [`Simd::larger`] of 8 lanes.
///
/// # Safety
/// The CPU must have AVX.
#[inline(always)]
unsafe fn larger8(best: __m256, tag: __m256, v: __m256, other: __m256) -> (__m256, __m256) {
    // SAFETY: the caller promises the feature.
    unsafe {
        let above = _mm256_cmp_ps::<_CMP_GT_OQ>(v, best);
        let wins = _mm256_or_ps(above, _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        (_mm256_blendv_ps(best, v, wins), _mm256_blendv_ps(tag, other, wins))
    }
}

/// [`Simd::larger`] of 16 lanes.
///
/// # Safety
/// The CPU must have AVX-512F.
#[inline(always)]
unsafe fn larger16(best: __m512, tag: __m512, v: __m512, other: __m512) -> (__m512, __m512) {
    // SAFETY: the caller promises the feature.
    unsafe {
        let wins = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, best) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        (_mm512_mask_blend_ps(wins, best, v), _mm512_mask_blend_ps(wins, tag, other))
    }
}

/// Halves of rows `i` and `i + 4` side by side, then 4 x 4 transposes in both halves at once.
///
/// # Safety
/// As [`Simd::transpose8`]; the CPU must have AVX.
#[inline(always)]
unsafe fn transpose8(from: *const f32, step: usize, to: [*mut f32; 8]) {
    // SAFETY: the caller promises memory and feature.
    unsafe {
        for half in 0..2 {
            let mut r = [_mm256_setzero_ps(); 4];
            for i in 0..4 {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(from.add(i * step + 4 * half)));
                r[i] = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add((i + 4) * step + 4 * half)));
            }
            let (a, b) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
            let (c, d) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
            _mm256_storeu_ps(to[4 * half], _mm256_shuffle_ps::<0b01_00_01_00>(a, c));
            _mm256_storeu_ps(to[4 * half + 1], _mm256_shuffle_ps::<0b11_10_11_10>(a, c));
            _mm256_storeu_ps(to[4 * half + 2], _mm256_shuffle_ps::<0b01_00_01_00>(b, d));
            _mm256_storeu_ps(to[4 * half + 3], _mm256_shuffle_ps::<0b11_10_11_10>(b, d));
        }
    }
}

/// # Safety
/// The CPU must have AVX.
#[inline(always)]
unsafe fn keep_positive256(y: __m256, x: __m256) -> __m256 {
    // SAFETY: the caller promises the feature.
    unsafe { _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(y, _mm256_setzero_ps()), x) }
}

/// # Safety
/// The CPU must have AVX-512F.
#[inline(always)]
unsafe fn keep_positive512(y: __m512, x: __m512) -> __m512 {
    // SAFETY: the caller promises the feature.
    unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(y, _mm512_setzero_ps()), x) }
}

/// # Safety
/// The CPU must have AVX.
#[inline(always)]
unsafe fn below8(a: __m256, b: __m256) -> u32 {
    // SAFETY: the caller promises the feature.
    unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) as u32 }
}

/// # Safety
/// The CPU must have AVX-512F.
#[inline(always)]
unsafe fn below16(a: __m512, b: __m512) -> u32 {
    // SAFETY: the caller promises the feature.
    unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b)) }
}

/// [`Simd::load_points`] of 8 lanes: a point is one load of 64 bits, which is faster than gather instructions.
///
/// # Safety
/// As [`Simd::load_points`]; the CPU must have AVX.
#[inline(always)]
unsafe fn load_points8(points: *const f32, at: *const u32) -> (__m256, __m256) {
    // SAFETY: the caller promises memory and feature.
    unsafe {
        let point = |lane: usize| points.add(2 * *at.add(lane) as usize);
        let two = |lane: usize| {
            let low = _mm_castsi128_ps(_mm_loadl_epi64(point(lane).cast()));
            _mm_castpd_ps(_mm_loadh_pd(_mm_castps_pd(low), point(lane + 1).cast()))
        };
        let even = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(two(0)), two(4));
        let odd = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(two(2)), two(6));
        (_mm256_shuffle_ps::<0b10_00_10_00>(even, odd), _mm256_shuffle_ps::<0b11_01_11_01>(even, odd))
    }
}

/// [`Simd::load_points`] of 16 lanes.
///
/// # Safety
/// As [`Simd::load_points`]; the CPU must have AVX-512F and AVX-512DQ.
#[inline(always)]
unsafe fn load_points16(points: *const f32, at: *const u32) -> (__m512, __m512) {
    // SAFETY: the caller promises memory and feature.
    unsafe {
        let (x0, y0) = load_points8(points, at);
        let (x1, y1) = load_points8(points, at.add(8));
        let join = |a, b| _mm512_insertf32x8::<1>(_mm512_castps256_ps512(a), b);
        (join(x0, x1), join(y0, y1))
    }
}
