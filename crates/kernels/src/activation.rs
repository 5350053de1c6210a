//! The rectified linear unit, in place.

use crate::Isa;
use crate::chunks::CHUNK;
use crate::dispatch::dispatch;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// `x = max(x, 0)`. NaN stays NaN, as in PyTorch, so that a broken step is seen.
pub fn relu(isa: Isa, x: &mut [f32]) {
    parallel_chunks_mut(x, CHUNK, |_, x| relu_part(isa, x));
}

dispatch! { fn relu_part<'a>(x: &'a mut [f32]) = relu_body }

// (Explicit vectors in both passes: the compiler makes masked stores, which are slow, of a choice between 0 and what is
// there.)
#[inline(always)]
fn relu_body<S: Simd>(simd: S, x: &mut [f32]) {
    let whole = x.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: LANES numbers from `at` on are in the slice.
        unsafe {
            let x = x.as_mut_ptr().add(at);
            // With the zero first, NaN stays NaN.
            simd.store(x, simd.max(simd.splat(0.0), simd.load(x)));
        }
    }
    for x in &mut x[whole..] {
        *x = if *x < 0.0 { 0.0 } else { *x };
    }
}

/// The gradient, in place: `dy = 0` where the output `y` is 0 or less, else `dy` stays (also where `y`
/// is NaN).
///
/// # Panics
/// When the lengths differ.
pub fn relu_grad(isa: Isa, y: &[f32], dy: &mut [f32]) {
    assert_eq!(y.len(), dy.len());
    parallel_chunks_mut(dy, CHUNK, |i, dy| {
        let start = i * CHUNK;
        relu_grad_part(isa, &y[start..start + dy.len()], dy);
    });
}

dispatch! { fn relu_grad_part<'a>(y: &'a [f32], dy: &'a mut [f32]) = relu_grad_body }

#[inline(always)]
fn relu_grad_body<S: Simd>(simd: S, y: &[f32], dy: &mut [f32]) {
    assert_eq!(y.len(), dy.len());
    let whole = y.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: LANES numbers from `at` on are in both slices.
        unsafe {
            let dy = dy.as_mut_ptr().add(at);
            simd.store(dy, simd.keep_positive(simd.load(y.as_ptr().add(at)), simd.load(dy)));
        }
    }
    for (dy, y) in dy[whole..].iter_mut().zip(&y[whole..]) {
        *dy = if *y <= 0.0 { 0.0 } else { *dy };
    }
}

/// Writes a bit for each output `y` of a ReLU, eight to a byte, the lowest first: whether [`relu_grad`] lets
/// its gradient pass. A thirty-second of the memory of `y`, for when `y` itself cannot stay.
///
/// # Panics
/// When `passes` has not `y.len() / 8` bytes, rounded up.
pub fn relu_passes(isa: Isa, y: &[f32], passes: &mut [u8]) {
    assert_eq!(y.len().div_ceil(8), passes.len());
    parallel_chunks_mut(passes, CHUNK / 8, |i, passes| {
        let y = &y[i * CHUNK..y.len().min((i + 1) * CHUNK)];
        relu_passes_part(isa, y, passes);
    });
}

dispatch! { fn relu_passes_part<'a>(y: &'a [f32], passes: &'a mut [u8]) = relu_passes_body }

#[inline(always)]
fn relu_passes_body<S: Simd>(_: S, y: &[f32], passes: &mut [u8]) {
    let (eights, rest) = y.as_chunks::<8>();
    for (byte, y) in passes.iter_mut().zip(eights) {
        let mut bits = 0_u32;
        for (i, y) in y.iter().enumerate() {
            bits |= u32::from(*y <= 0.0) << i;
        }
        *byte = !(bits as u8);
    }
    if let Some(byte) = passes.get_mut(eights.len()) {
        *byte = !rest.iter().rev().fold(0, |bits, y| bits << 1 | u8::from(*y <= 0.0));
    }
}

/// [`relu_grad`] with what [`relu_passes`] wrote in place of the output.
///
/// # Panics
/// When `passes` has not `dy.len() / 8` bytes, rounded up.
pub fn relu_grad_where(isa: Isa, passes: &[u8], dy: &mut [f32]) {
    assert_eq!(dy.len().div_ceil(8), passes.len());
    parallel_chunks_mut(dy, CHUNK, |i, dy| {
        let start = i * (CHUNK / 8);
        relu_grad_where_part(isa, &passes[start..start + dy.len().div_ceil(8)], dy);
    });
}

dispatch! { fn relu_grad_where_part<'a>(passes: &'a [u8], dy: &'a mut [f32]) = relu_grad_where_body }

#[inline(always)]
fn relu_grad_where_body<S: Simd>(_: S, passes: &[u8], dy: &mut [f32]) {
    let (eights, rest) = dy.as_chunks_mut::<8>();
    for (byte, dy) in passes.iter().zip(eights.iter_mut()) {
        for (i, dy) in dy.iter_mut().enumerate() {
            *dy = if u32::from(*byte) & (1 << i) == 0 { 0.0 } else { *dy };
        }
    }
    for (i, dy) in rest.iter_mut().enumerate() {
        *dy = if passes[eights.len()] & (1 << i) == 0 { 0.0 } else { *dy };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LENGTHS, normal, on_threads};

    #[test]
    fn relu_and_its_gradient() {
        for isa in Isa::available() {
            for len in LENGTHS {
                let (x, dy) = (normal(1, len), normal(2, len));
                let y = on_threads(|| {
                    let mut y = x.clone();
                    relu(isa, &mut y);
                    y
                });
                let dx = on_threads(|| {
                    let mut dx = dy.clone();
                    relu_grad(isa, &y, &mut dx);
                    dx
                });
                for i in 0..len {
                    assert_eq!(y[i], x[i].max(0.0));
                    assert_eq!(dx[i], if x[i] > 0.0 { dy[i] } else { 0.0 });
                }
            }
        }
    }

    #[test]
    fn the_gradient_by_bits_is_the_gradient() {
        for isa in Isa::available() {
            for len in LENGTHS {
                let mut y: Vec<f32> = normal(1, len).iter().map(|x| x.max(0.0)).collect();
                if let Some(y) = y.get_mut(len / 2) {
                    *y = f32::NAN;
                }
                let mut want = normal(2, len);
                relu_grad(isa, &y, &mut want);
                let got = on_threads(|| {
                    let mut passes = vec![0xa5; len.div_ceil(8)];
                    relu_passes(isa, &y, &mut passes);
                    let mut dy = normal(2, len);
                    relu_grad_where(isa, &passes, &mut dy);
                    dy
                });
                assert_eq!(got, want, "{isa:?} {len}");
            }
        }
    }

    #[test]
    fn nan_stays() {
        for isa in Isa::available() {
            let mut x = vec![f32::NAN; 33];
            relu(isa, &mut x);
            assert!(x.iter().all(|x| x.is_nan()));
            let mut dy = vec![2.0; 33];
            relu_grad(isa, &x, &mut dy);
            assert_eq!(dy, vec![2.0; 33]);
            relu_grad(isa, &[0.0; 33], &mut dy);
            assert_eq!(dy, vec![0.0; 33]);
        }
    }
}
